/* Layer-norm LSTM and HyperLSTM: see norm_lstm.h. Shapes: x_t [B, m], h and c [B, n], the small
 * LSTM's u [B, k]. The products of the inputs are here, the walk through time is et_norm_lstm_walk. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/norm_lstm.h"

enum { GATES = 4 };

/* --- parameters --------------------------------------------------------------------------------- */

/* W_xh and W_hh of n units. Stored input x output, W_hh's gates are blocks of columns:
 * each an orthogonal matrix. */
static void weights(et_module *m, int64_t in, int64_t n, et_tensor **W_xh, et_tensor **W_hh, et_rng *rng)
{
    *W_xh = et_module_param(m, "W_xh", ET_SHAPE(in, GATES * n));
    *W_hh = et_module_param(m, "W_hh", ET_SHAPE(n, GATES * n));
    if (!*W_xh || !*W_hh || et_init_xavier_uniform(*W_xh, 1, rng))
        return;
    et_scope *s = et_scope_open();
    et_tensor *rows = et_zeros(ET_F32, ET_SHAPE(GATES * n, n));
    if (rows && et_init_orthogonal_gates(rows, GATES, 1, rng) == ET_OK)
        et_copy_into(*W_hh, et_permute(rows, ET_DIMS(1, 0)));
    et_scope_close(s);
}

static void norms(et_module *m, int64_t n, et_tensor **gamma, et_tensor **beta, et_tensor **gamma_c,
                  et_tensor **beta_c)
{
    *gamma = et_module_param(m, "ln_gamma", ET_SHAPE(GATES * n));
    *beta = et_module_param(m, "ln_beta", ET_SHAPE(GATES * n));
    *gamma_c = et_module_param(m, "lnc_gamma", ET_SHAPE(n));
    *beta_c = et_module_param(m, "lnc_beta", ET_SHAPE(n));
    if (*gamma && *gamma_c) {
        et_fill(*gamma, 1);
        et_fill(*gamma_c, 1);
    }
}

et_norm_lstm *et_norm_lstm_new(et_module *parent, const char *name, int64_t in, int64_t units, double keep,
                               et_rng *rng)
{
    et_norm_lstm *l = et_module_new(sizeof *l, "NormLSTM", parent, name);

    if (!l)
        return NULL;
    if (in < 1 || units < 1 || !(keep > 0 && keep <= 1)) {
        et_raise(ET_EINVAL, "layer-norm LSTM %s: %" PRId64 " -> %" PRId64 ", keep %g", l->module.path, in,
                 units, keep);
        return et_module_done(&l->module);
    }
    l->in = in;
    l->units = units;
    l->keep = keep;
    l->eps = 1e-3;
    et_module_note(&l->module, "%" PRId64 " -> %" PRId64, in, units);
    weights(&l->module, in, units, &l->W_xh, &l->W_hh, rng);
    norms(&l->module, units, &l->ln_gamma, &l->ln_beta, &l->lnc_gamma, &l->lnc_beta);
    return et_module_done(&l->module);
}

/* The parameter path.what of a HyperLSTM. */
static et_tensor *scale_param(et_module *m, const char *what, int64_t rows, int64_t columns)
{
    const int64_t shape[2] = {rows, columns};

    return columns ? et_module_param(m, what, 2, shape) : et_module_param(m, what, 1, shape);
}

et_hyper_lstm *et_hyper_lstm_new(et_module *parent, const char *name, const et_hyper_lstm_config *config,
                                 et_rng *rng)
{
    static const char *const names[8] = {"ix", "jx", "fx", "ox", "ih", "jh", "fh", "oh"};
    et_hyper_lstm *l = et_module_new(sizeof *l, "HyperLSTM", parent, name);

    if (!l)
        return NULL;
    const int64_t m = config->in, n = config->units, k = config->hyper_units, e = config->embedding;
    if (m < 1 || n < 1 || k < 1 || e < 1 || !(config->keep > 0 && config->keep <= 1)) {
        et_raise(ET_EINVAL,
                 "HyperLSTM %s: %" PRId64 " -> %" PRId64 ", %" PRId64 " hyper units, embedding %" PRId64
                 ", keep %g",
                 l->module.path, m, n, k, e, config->keep);
        return et_module_done(&l->module);
    }
    l->in = m;
    l->units = n;
    l->hyper_units = k;
    l->embedding = e;
    l->keep = config->keep;
    l->eps = 1e-3;
    et_module_note(&l->module, "%" PRId64 " -> %" PRId64 ", hyper %" PRId64, m, n, k);
    weights(&l->module, m, n, &l->W_xh, &l->W_hh, rng);
    l->bias = et_module_param(&l->module, "bias", ET_SHAPE(GATES * n));
    l->hyper = et_norm_lstm_new(&l->module, "hyper", m + n, k, 1, rng);
    et_module *norm = et_module_new(sizeof *norm, "HyperNorm", &l->module, "norm");
    for (int i = 0; norm && i < 8; i++) {
        et_module *gate = et_module_new(sizeof *gate, "Scale", norm, names[i]);
        if (!gate)
            break;
        l->zw_w[i] = scale_param(gate, "zw_w", k, e);
        l->zw_b[i] = scale_param(gate, "zw_b", e, 0);
        l->alpha[i] = scale_param(gate, "alpha", e, n);
        if (l->zw_b[i] && l->alpha[i]) {
            et_fill(l->zw_b[i], 1);
            et_fill(l->alpha[i], 0.1 / (double)e);
        }
        if (i < 4)
            continue;
        l->zb_w[i - 4] = scale_param(gate, "zb_w", k, e);
        l->beta[i - 4] = scale_param(gate, "beta", e, n);
        if (l->zb_w[i - 4])
            et_init_normal(l->zb_w[i - 4], 0.01, rng);
    }
    norms(&l->module, n, &l->ln_gamma, &l->ln_beta, &l->lnc_gamma, &l->lnc_beta);
    return et_module_done(&l->module);
}

/* --- over time ------------------------------------------------------------------------------------ */

static bool good_input(const et_module *m, const et_tensor *x, int64_t in)
{
    char text[ET_SHAPE_TEXT];

    if (!x || et_error_status())
        return false;
    if (x->ndim == 3 && x->shape[2] == in && x->shape[1] >= 1)
        return true;
    et_raise(ET_ESHAPE, "%s: x is %s, expected [B, T, %" PRId64 "]", m->path,
             et_shape_text(text, x->ndim, x->shape), in);
    return false;
}

static et_tensor *zeros_unless(et_tensor *t, et_dtype dtype, int64_t rows, int64_t columns)
{
    return t ? t : et_zeros(dtype, ET_SHAPE(rows, columns));
}

/* Factors of the candidates, [B, T, n]; NULL for none. */
static et_tensor *keep_mask(const et_module *m, const et_tensor *x, int64_t n, double keep, et_rng *rng)
{
    if (!m->training || keep == 1)
        return NULL;
    return et_dropout(et_ones(x->dtype, ET_SHAPE(x->shape[0], x->shape[1], n)), 1 - keep, true, rng);
}

/* Gains and shifts as the op reads them. */
static et_tensor *joined_norms(et_tensor *gamma, et_tensor *beta, et_tensor *gamma_c, et_tensor *beta_c)
{
    return et_concat(4, (et_tensor *const[]){gamma, beta, gamma_c, beta_c}, 0);
}

/* Columns lo .. hi - 1 of the last state, handed out of the layer's scope. */
static et_tensor *part(et_scope *own, et_tensor *last, int64_t lo, int64_t hi)
{
    return lo < hi && last ? et_scope_return(own, et_contiguous(et_slice(last, 1, lo, hi, 1))) : NULL;
}

/* Ends a forward and its scope: hands out the result and the parts of the last state, none after an error. */
static et_tensor *finish(const et_module *m, et_scope *own, et_tensor *y, et_tensor *last, int64_t n,
                         int64_t k, et_norm_lstm_state *state)
{
    *state = (et_norm_lstm_state){part(own, last, 0, n), part(own, last, n + k, 2 * n + k),
                                  part(own, last, n, n + k), part(own, last, 2 * n + k, 2 * (n + k))};
    y = et_scope_return(own, y);
    et_scope_close(own);
    if (y && !et_error_status())
        return y;
    *state = (et_norm_lstm_state){NULL, NULL, NULL, NULL};
    return et_fail(m ? m->path : "layer-norm LSTM");
}

et_tensor *et_norm_lstm_forward(const et_norm_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                et_norm_lstm_state *state)
{
    if (!l || !good_input(&l->module, x, l->in))
        return finish(l ? &l->module : NULL, NULL, NULL, NULL, 0, 0, state);
    et_scope *own = et_scope_open();
    const int64_t B = x->shape[0], n = l->units;
    et_tensor *h = zeros_unless(state->h, x->dtype, B, n), *c = zeros_unless(state->c, x->dtype, B, n), *last;
    et_tensor *y =
        et_norm_lstm_walk(et_matmul(x, l->W_xh), et_concat(2, (et_tensor *const[]){h, c}, 1), l->W_hh,
                          joined_norms(l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta), NULL,
                          keep_mask(&l->module, x, n, l->keep, l->rng), lengths, NULL, l->eps, reverse,
                          &last);

    return finish(&l->module, own, y, last, n, 0, state);
}

/* The small cell as the op reads it. */
static et_hyper_cell small_cell(const et_hyper_lstm *l, et_tensor *x)
{
    const et_norm_lstm *u = l->hyper;
    const int64_t m = l->in, n = l->units;
    et_tensor *zw[12], *zb[12], *a[12];

    for (int i = 0; i < 12; i++) {
        zw[i] = i < 8 ? l->zw_w[i] : l->zb_w[i - 8];
        zb[i] = i < 8 ? l->zw_b[i] : et_zeros(l->W_xh->dtype, ET_SHAPE(l->embedding));
        a[i] = i < 8 ? l->alpha[i] : l->beta[i - 8];
    }
    return (et_hyper_cell){
        .xu = et_matmul(x, et_slice(u->W_xh, 0, 0, m, 1)),
        .w_u = et_concat(2, (et_tensor *const[]){et_slice(u->W_xh, 0, m, m + n, 1), u->W_hh}, 0),
        .norm = joined_norms(u->ln_gamma, u->ln_beta, u->lnc_gamma, u->lnc_beta),
        .zw = et_concat(12, zw, 1), .zb = et_concat(12, zb, 0), .alpha = et_stack(12, a, 0)};
}

et_tensor *et_hyper_lstm_forward(const et_hyper_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                 et_norm_lstm_state *state)
{
    if (!l || !good_input(&l->module, x, l->in))
        return finish(l ? &l->module : NULL, NULL, NULL, NULL, 0, 0, state);
    et_scope *own = et_scope_open();
    const int64_t B = x->shape[0], n = l->units, k = l->hyper_units;
    et_tensor *first[] = {zeros_unless(state->h, x->dtype, B, n),
                          zeros_unless(state->hyper_h, x->dtype, B, k),
                          zeros_unless(state->c, x->dtype, B, n),
                          zeros_unless(state->hyper_c, x->dtype, B, k)};
    const et_hyper_cell hyper = small_cell(l, x);
    et_tensor *last;
    et_tensor *y = et_norm_lstm_walk(et_matmul(x, l->W_xh), et_concat(4, first, 1), l->W_hh,
                                     joined_norms(l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta),
                                     l->bias, keep_mask(&l->module, x, n, l->keep, l->rng), lengths, &hyper,
                                     l->eps, reverse, &last);

    return finish(&l->module, own, y, last, n, k, state);
}
