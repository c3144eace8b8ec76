/* Attention-based recurrent classifier: see rnn_attention.h.
 *
 * Numbers (2.7) to (2.13) are those of the note on such classifiers that this one follows. Shapes:
 * x [B, T, F], h [B, T, D], alpha [B, T], c [B, D], p [B, K].
 *
 * Differs: the note sums over x_t in (2.9), but scores h_t in (2.12); here u_t is h_t in both, or x_t
 * with attend_over_input. The weights, written alpha_t, a_t and a_i there, are alpha. */
#include "config.h"

#include "models/rnn_attention.h"

et_rnn_attention_config et_rnn_attention_paper(void)
{
    return (et_rnn_attention_config){
        .features = 64, .hidden = 128, .attention = 64, .classes = 10, .cell = ET_RNN_GRU, .dropout = 0.3};
}

et_rnn_attention_config et_rnn_attention_small(void)
{
    return (et_rnn_attention_config){
        .features = 16, .hidden = 32, .attention = 16, .classes = 6, .cell = ET_RNN_GRU};
}

et_rnn_attention *et_rnn_attention_new(et_module *parent, const char *name,
                                       const et_rnn_attention_config *config, et_rng *rng)
{
    const et_rnn_attention_config *c = config;

    if (!(c->dropout >= 0 && c->dropout < 1) || !(c->input_dropout >= 0 && c->input_dropout < 1)) {
        et_raise(ET_EINVAL, "rnn_attention: dropouts are %g and %g, expected 0 <= p < 1", c->dropout,
                 c->input_dropout);
        return NULL;
    }
    et_rnn_attention *m = et_module_new(sizeof *m, "RnnAttention", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    m->rnn = et_rnn_layer_new(
        &m->module, "rnn",
        &(et_rnn_config){.kind = c->cell, .in = c->features, .hidden = c->hidden,
                         .bidirectional = c->bidirectional},
        rng);
    int64_t states = m->rnn ? et_rnn_layer_width(m->rnn) : 0;
    int64_t attended = c->attend_over_input && c->pooling == ET_POOL_ATTENTION ? c->features : states;
    if (c->pooling == ET_POOL_ATTENTION)
        m->attention = et_additive_attention_new(&m->module, "attention", c->score, attended, c->attention,
                                                 false, rng);
    m->classifier = et_linear_layer_new(&m->module, "classifier", attended, c->classes, true, rng);
    return et_module_done(&m->module);
}

/* [B, T]: the weight 1 / length on every frame of a row, or 1 on its last one. */
static et_tensor *fixed_weights(const et_tensor *x, const et_tensor *lengths, et_rnn_pooling pooling)
{
    et_tensor *w = et_zeros(x->dtype, 2, x->shape);

    for (int64_t b = 0; w && b < x->shape[0]; b++) {
        int64_t n = lengths ? (int64_t)et_get(lengths, &b) : x->shape[1];
        for (int64_t t = pooling == ET_POOL_LAST && n > 0 ? n - 1 : 0; t < n; t++)
            et_set(w, (const int64_t[]){b, t}, pooling == ET_POOL_LAST ? 1 : 1 / (double)n);
    }
    return w;
}

et_tensor *et_rnn_attention_forward(const et_rnn_attention *m, et_tensor *x, et_tensor *lengths,
                                    et_tensor **alpha)
{
    const et_rnn_attention_config *cfg = &m->config;
    bool training = m->module.training;
    et_tensor *c, *h_T;

    x = et_dropout(x, cfg->input_dropout, training, m->rng);

    /* h_t = cell(x_t, h_(t-1)), h_0 = 0   (2.7, 2.12) */
    et_tensor *h = et_rnn_layer_forward(m->rnn, x, lengths, &h_T);

    if (cfg->pooling == ET_POOL_ATTENTION) {
        /* e_t = v . tanh(W u_t + b)              (2.12)
         * alpha_t = exp(e_t) / sum_i exp(e_i)    (2.8, 2.13)
         * c = sum_t alpha_t u_t                  (2.9) */
        c = et_additive_attention_forward(m->attention, cfg->attend_over_input ? x : h, lengths, alpha);
    } else if (cfg->pooling == ET_POOL_LAST) {
        c = h_T;
    } else {
        et_tensor *w = h ? fixed_weights(h, lengths, ET_POOL_MEAN) : NULL;
        c = et_sum(et_mul(h, et_unsqueeze(w, -1)), ET_DIMS(1), false);
    }
    if (alpha && cfg->pooling != ET_POOL_ATTENTION)
        *alpha = h ? fixed_weights(h, lengths, cfg->pooling) : NULL;

    /* p = softmax(W_c c + b_c): the logits; the loss takes the softmax   (2.11) */
    c = et_dropout(c, cfg->dropout, training, m->rng);
    et_tensor *logits = et_linear_layer_forward(m->classifier, c);
    if (!logits)
        return et_fail("rnn_attention");
    return logits;
}
