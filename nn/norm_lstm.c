/* Layer-norm LSTM and HyperLSTM: see norm_lstm.h. Shapes: x_t [B, m], h and c [B, n], the small
 * LSTM's u [B, k]. A step's products are here, the rest of it is et_norm_lstm_gates. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/norm_lstm.h"
#include "tensor/alloc.h"

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
        et_raise(ET_EINVAL, "HyperLSTM %s: %" PRId64 " -> %" PRId64 ", %" PRId64
                 " hyper units, embedding %" PRId64
                 ", keep %g", l->module.path, m, n, k, e, config->keep);
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

/* A walk through time. Products of the input with all weights are made for all steps at once. */
typedef struct {
    int64_t B, T, n;
    et_dtype dtype;
    const int32_t *lengths;
    int64_t shortest, longest;
} walk;

/* Reads sizes and lengths; *x becomes time-major [T, B, m]. False after an error. */
static bool begin(walk *w, const char *layer, et_tensor **x, et_tensor *lengths, bool reverse, int64_t in,
                  int64_t n)
{
    if (!*x || et_error_status())
        return false;
    char text[ET_SHAPE_TEXT];
    if ((*x)->ndim != 3 || (*x)->shape[2] != in || (*x)->shape[1] < 1) {
        et_raise(ET_ESHAPE, "%s: x is %s, expected [B, T, %" PRId64 "]", layer,
                 et_shape_text(text, (*x)->ndim, (*x)->shape), in);
        return false;
    }
    *w = (walk){.B = (*x)->shape[0], .T = (*x)->shape[1], .n = n, .dtype = (*x)->dtype};
    w->shortest = w->longest = w->T;
    if (lengths) {
        if (lengths->dtype != ET_I32 || lengths->ndim != 1 || lengths->shape[0] != w->B) {
            et_raise(ET_ESHAPE, "%s: lengths are %s %s, expected int32 [%" PRId64 "]", layer,
                     et_dtype_name(lengths->dtype), et_shape_text(text, lengths->ndim, lengths->shape), w->B);
            return false;
        }
        lengths = et_contiguous(lengths);
        if (!lengths)
            return false;
        w->lengths = et_data(lengths);
        w->longest = 0;
        for (int64_t b = 0; b < w->B; b++) {
            const int64_t len = w->lengths[b];
            if (len < 0 || len > w->T) {
                et_raise(ET_EINVAL, "%s: length %" PRId64 " of row %" PRId64 " is outside 0 .. %" PRId64,
                         layer, len, b, w->T);
                return false;
            }
            w->shortest = len < w->shortest ? len : w->shortest;
            w->longest = len > w->longest ? len : w->longest;
        }
    }
    if (reverse)
        *x = lengths ? et_reverse_by_length(*x, lengths) : et_flip(*x, 1);
    *x = et_contiguous(et_permute(*x, ET_DIMS(1, 0, 2)));
    return *x != NULL;
}

/* uint8 [B, 1]: rows that go on at step t; NULL: all of them. */
static et_tensor *alive(const walk *w, int64_t t)
{
    if (t < w->shortest)
        return NULL;
    et_tensor *m = et_zeros(ET_U8, ET_SHAPE(w->B, 1));
    uint8_t *p = m ? et_data_mut(m) : NULL;
    for (int64_t b = 0; p && b < w->B; b++)
        p[b] = t < w->lengths[b];
    return m;
}

static et_tensor *go_on(et_tensor *mask, et_tensor *next, et_tensor *old)
{
    return mask ? et_where(mask, next, old) : next;
}

/* Factor of the candidates, [B, n]; NULL for none. */
static et_tensor *keep_mask(const walk *w, double keep, bool training, et_rng *rng)
{
    return training && keep < 1 ? et_dropout(et_ones(w->dtype, ET_SHAPE(w->B, w->n)), 1 - keep, true, rng)
                                : NULL;
}

/* [B, T, n] of the T states [B, n]. */
static et_tensor *collect(const walk *w, et_tensor *const *h, et_tensor *lengths, bool reverse)
{
    et_tensor *y = et_concat((int)w->T, h, 0);

    y = et_permute(et_view(y, ET_SHAPE(w->T, w->B, w->n)), ET_DIMS(1, 0, 2));
    if (!reverse)
        return y;
    return lengths ? et_reverse_by_length(y, lengths) : et_flip(y, 1);
}

static et_tensor *zeros_unless(et_tensor *t, et_dtype dtype, int64_t rows, int64_t columns)
{
    return t ? t : et_zeros(dtype, ET_SHAPE(rows, columns));
}

/* Ends a forward: hands out the result, and no states after an error. */
static et_tensor *finish(const et_module *m, et_tensor *y, et_norm_lstm_state *state)
{
    if (y && !et_error_status())
        return y;
    *state = (et_norm_lstm_state){NULL, NULL, NULL, NULL};
    return et_fail(m ? m->path : "layer-norm LSTM");
}

et_tensor *et_norm_lstm_forward(const et_norm_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                et_norm_lstm_state *state)
{
    et_tensor **hs, *y = NULL;
    walk w;

    if (!l || !begin(&w, l->module.path, &x, lengths, reverse, l->in, l->units))
        return finish(l ? &l->module : NULL, NULL, state);
    hs = et_alloc_zero((size_t)w.T, sizeof(et_tensor *));
    state->h = zeros_unless(state->h, w.dtype, w.B, w.n);
    state->c = zeros_unless(state->c, w.dtype, w.B, w.n);
    et_tensor *xw = et_matmul(x, l->W_xh); /* [T, B, 4n] */
    for (int64_t t = 0; hs && t < w.T && !et_error_status(); t++) {
        et_scope *step = et_scope_open();
        et_tensor *c, *h, *mask = alive(&w, t), *keep = keep_mask(&w, l->keep, l->module.training, l->rng);
        /* z = x W_x + h W_h, layer-normalised gate by gate */
        h = et_norm_lstm_gates(et_select(xw, 0, t), et_matmul(state->h, l->W_hh), NULL, NULL, state->c,
                               l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta, keep, l->eps, &c);
        state->h = hs[t] = et_scope_return(step, go_on(mask, h, state->h));
        state->c = et_scope_return(step, go_on(mask, c, state->c));
        et_scope_close(step);
    }
    if (hs && !et_error_status())
        y = collect(&w, hs, lengths, reverse);
    et_dealloc(hs);
    return finish(&l->module, y, state);
}

/* The weights of a HyperLSTM as its steps read them. */
typedef struct {
    et_tensor *inner;  /* [n + k, 4k]: of [h, u] */
    et_tensor *zw, *zb; /* [k, 12e], [12e] */
    et_tensor *alpha;  /* [12, e, n] */
} joined;

static joined join(const et_hyper_lstm *l)
{
    et_tensor *zw[12], *zb[12], *a[12];
    joined j;

    for (int i = 0; i < 12; i++) {
        zw[i] = i < 8 ? l->zw_w[i] : l->zb_w[i - 8];
        zb[i] = i < 8 ? l->zw_b[i] : et_zeros(l->W_xh->dtype, ET_SHAPE(l->embedding));
        a[i] = i < 8 ? l->alpha[i] : l->beta[i - 8];
    }
    et_tensor *of_h = et_slice(l->hyper->W_xh, 0, l->in, l->in + l->units, 1);
    j.inner = et_concat(2, (et_tensor *const[]){of_h, l->hyper->W_hh}, 0);
    j.zw = et_concat(12, zw, 1);
    j.zb = et_concat(12, zb, 0);
    j.alpha = et_stack(12, a, 0);
    return j;
}

et_tensor *et_hyper_lstm_forward(const et_hyper_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                 et_norm_lstm_state *state)
{
    et_tensor **hs, *y = NULL;
    walk w;

    if (!l || !begin(&w, l->module.path, &x, lengths, reverse, l->in, l->units))
        return finish(l ? &l->module : NULL, NULL, state);
    const et_norm_lstm *in = l->hyper;
    const int64_t k = l->hyper_units, e = l->embedding;
    hs = et_alloc_zero((size_t)w.T, sizeof(et_tensor *));
    state->h = zeros_unless(state->h, w.dtype, w.B, w.n);
    state->c = zeros_unless(state->c, w.dtype, w.B, w.n);
    state->hyper_h = zeros_unless(state->hyper_h, w.dtype, w.B, k);
    state->hyper_c = zeros_unless(state->hyper_c, w.dtype, w.B, k);
    const joined weight = join(l);
    et_tensor *xw = et_matmul(x, l->W_xh);                                /* [T, B, 4n] */
    et_tensor *xi = et_matmul(x, et_slice(in->W_xh, 0, 0, l->in, 1)); /* [T, B, 4k] */
    for (int64_t t = 0; hs && t < w.T && !et_error_status(); t++) {
        et_scope *step = et_scope_open();
        et_tensor *u, *cu, *h, *c, *mask = alive(&w, t), *keep = keep_mask(&w, l->keep, l->module.training,
                                                                           l->rng);
        /* 1. the small LSTM on [x, h]: u */
        et_tensor *hu = et_concat(2, (et_tensor *const[]){state->h, state->hyper_h}, 1);
        u = et_norm_lstm_gates(et_select(xi, 0, t), et_matmul(hu, weight.inner), NULL, NULL, state->hyper_c,
                               in->ln_gamma, in->ln_beta, in->lnc_gamma, in->lnc_beta, NULL, in->eps, &cu);
        /* 2. a_gs = (u Z_gs + z0_gs) A_gs,  d_g = (u Zb_g) D_g: [12, B, n] */
        et_tensor *z = et_view(et_add(et_matmul(u, weight.zw), weight.zb), ET_SHAPE(w.B, 12, e));
        et_tensor *scale = et_matmul(et_permute(z, ET_DIMS(1, 0, 2)), weight.alpha);
        /* 3, 4. pre_g = a_gx (x W_x)_g + a_gh (h W_h)_g + d_g + bias_g, layer norm, gates */
        h = et_norm_lstm_gates(et_select(xw, 0, t), et_matmul(state->h, l->W_hh), scale, l->bias, state->c,
                               l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta, keep, l->eps, &c);
        /* 5. the state: h, u, c and the small LSTM's cell */
        state->h = hs[t] = et_scope_return(step, go_on(mask, h, state->h));
        state->hyper_h = et_scope_return(step, go_on(mask, u, state->hyper_h));
        state->c = et_scope_return(step, go_on(mask, c, state->c));
        state->hyper_c = et_scope_return(step, go_on(mask, cu, state->hyper_c));
        et_scope_close(step);
    }
    if (hs && !et_error_status())
        y = collect(&w, hs, lengths, reverse);
    et_dealloc(hs);
    return finish(&l->module, y, state);
}
