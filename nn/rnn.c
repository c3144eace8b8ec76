/* Recurrent layers. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/rnn.h"
#include "tensor/alloc.h"

static const int gates[] = {1, 1, 3, 4};
static const char *const names[] = {"RNN", "RNN", "GRU", "LSTM"};

static int directions(const et_rnn_layer *l) { return l->config.bidirectional ? 2 : 1; }

int64_t et_rnn_layer_width(const et_rnn_layer *l) { return l ? directions(l) * l->config.hidden : -1; }

static void release(et_module *m) { et_dealloc(((et_rnn_layer *)m)->weights); }

/* Adds the parameter "what_l<layer>[_reverse]". */
static et_tensor *param(et_rnn_layer *l, const char *what, int layer, int direction, int64_t columns,
                        et_rng *rng)
{
    const int64_t shape[2] = {gates[l->config.kind] * l->config.hidden, columns};
    char name[48];
    et_tensor *w;

    snprintf(name, sizeof name, "%s_l%d%s", what, layer, direction ? "_reverse" : "");
    w = et_module_param(&l->module, name, columns ? 2 : 1, shape);
    if (w)
        et_init_fan(w, l->config.hidden, rng);
    return w;
}

et_rnn_layer *et_rnn_layer_new(et_module *parent, const char *name, const et_rnn_config *config, et_rng *rng)
{
    et_rnn_layer *l;
    et_rnn_config *c;

    if (et_error_status())
        return NULL;
    if (!config || config->kind < ET_RNN_TANH || config->kind > ET_RNN_LSTM || config->in < 1 ||
        config->hidden < 1 || config->layers < 0 || !(config->dropout >= 0 && config->dropout < 1)) {
        et_raise(ET_EINVAL, "recurrent layer %s: %s", name ? name : "",
                 config ? "kind, sizes or dropout are out of range" : "no configuration");
        return NULL;
    }
    l = et_module_new(sizeof *l, names[config->kind], parent, name);
    if (!l)
        return NULL;
    c = &l->config;
    *c = *config;
    if (!c->layers)
        c->layers = 1;
    l->module.release = release;
    l->weights = et_alloc_zero((size_t)c->layers, (size_t)directions(l) * sizeof *l->weights);
    et_module_note(&l->module, "%" PRId64 " -> %" PRId64 "%s%s", c->in, et_rnn_layer_width(l),
                   c->bidirectional ? ", two directions" : "", c->layers > 1 ? ", stacked" : "");
    for (int i = 0; l->weights && i < c->layers; i++)
        for (int d = 0; d < directions(l); d++) {
            et_rnn_weights *w = &l->weights[i * directions(l) + d];
            w->w_ih = param(l, "weight_ih", i, d, i ? et_rnn_layer_width(l) : c->in, rng);
            w->w_hh = param(l, "weight_hh", i, d, c->hidden, rng);
            if (c->no_bias)
                continue;
            w->b_ih = param(l, "bias_ih", i, d, 0, rng);
            w->b_hh = param(l, "bias_hh", i, d, 0, rng);
        }
    return et_module_done(&l->module);
}

static et_tensor *run(const et_rnn_layer *l, const et_rnn_weights *w, et_tensor *x, et_tensor *lengths,
                      bool reverse, et_tensor **h_n)
{
    const et_rnn_opts opts = {.reverse = reverse, .relu = l->config.kind == ET_RNN_RELU};

    if (l->config.kind == ET_RNN_LSTM)
        return et_lstm(x, NULL, NULL, w->w_ih, w->w_hh, w->b_ih, w->b_hh, lengths, &opts, h_n, NULL);
    if (l->config.kind == ET_RNN_GRU)
        return et_gru(x, NULL, w->w_ih, w->w_hh, w->b_ih, w->b_hh, lengths, &opts, h_n);
    return et_rnn(x, NULL, w->w_ih, w->w_hh, w->b_ih, w->b_hh, lengths, &opts, h_n);
}

et_tensor *et_rnn_layer_forward(const et_rnn_layer *l, et_tensor *x, et_tensor *lengths, et_tensor **h_n)
{
    if (h_n)
        *h_n = NULL;
    if (!l)
        return et_fail("recurrent layer");
    for (int i = 0; i < l->config.layers; i++) {
        const et_rnn_weights *w = &l->weights[i * directions(l)];
        const bool last = i == l->config.layers - 1;
        et_tensor *h[2] = {NULL, NULL}, **want = last && h_n ? h : NULL;
        et_tensor *y = run(l, &w[0], x, lengths, false, want);
        if (l->config.bidirectional) {
            et_tensor *back = run(l, &w[1], x, lengths, true, want ? want + 1 : NULL);
            y = et_concat(2, (et_tensor *const[]){y, back}, -1);
        }
        if (want)
            *h_n = l->config.bidirectional ? et_concat(2, (et_tensor *const[]){h[0], h[1]}, -1) : h[0];
        x = last ? y : et_dropout(y, l->config.dropout, l->module.training, l->rng);
    }
    return x ? x : et_fail(l->module.path);
}
