/* Layer-norm LSTM (Ba, Kiros, Hinton 2016) and HyperLSTM (Ha, Dai, Le 2016, "HyperNetworks", arXiv
 * 1609.09106, appendix A.2) over time: the cell, what a call shares, and the walk forward;
 * the walk backward is in norm_lstm_bwd.c.
 *
 * A HyperLSTM is a large LSTM, with state h, c, beside which a small one, with state u, v, runs. At every
 * step the small one reads [x, h], and linear maps of its u give the large one's gates factors and offsets of
 * their own (the paper's d_x, d_h and b; here the twelve `scales`). Without a small cell all of that is left
 * out. The products of x with the input weights come in ready, as xw and xu. */
#include "config.h"

#include <string.h>

#include "autograd/norm_lstm.h"
#include "tensor/ints.h"

enum { GATES = ET_NL_GATES, I = ET_NL_I, J = ET_NL_J, F = ET_NL_F, O = ET_NL_O, SCALES = ET_NL_SCALES };

/* --- the cell, for one row ------------------------------------------------------------------------ */

/* Address of element i. */
static void *of(const et_norm_cell *c, const void *p, int64_t i)
{
    return (char *)(uintptr_t)p + (size_t)i * c->size;
}

void et_norm_cell_fwd(const et_norm_cell *s, const et_norm_row *r)
{
    const et_kernels *k = s->kr;
    const int64_t u = s->units;
    const char *beta = of(s, s->norm, GATES * u), *gamma_c = of(s, s->norm, 2 * GATES * u);

    /* i = sigmoid(LN(pre_i)), j = tanh(LN(pre_j)), f = sigmoid(LN(pre_f) + 1), o = sigmoid(LN(pre_o)) */
    for (int g = 0; g < GATES; g++) {
        char *a = of(s, r->act, g * u);
        k->layer_norm(1, u, of(s, r->pre, g * u), of(s, s->norm, g * u), of(s, beta, g * u), s->eps, a,
                      of(s, r->stats, 2 * g), of(s, r->stats, 2 * g + 1));
        if (g == F)
            k->affine(u, a, 1, 1, a);
        k->unary[g == J ? ET_U_TANH : ET_U_SIGMOID](u, a, a);
    }
    /* c' = f c + i keep j */
    k->binary[ET_B_MUL](u, of(s, r->act, I * u), 1, of(s, r->act, J * u), 1, r->c_new);
    if (r->keep)
        k->binary[ET_B_MUL](u, r->c_new, 1, r->keep, 1, r->c_new);
    k->mul_acc(u, of(s, r->act, F * u), 1, r->c, 1, r->c_new, 1);
    /* h' = o tanh(LN(c')) */
    k->layer_norm(1, u, r->c_new, gamma_c, of(s, gamma_c, u), s->eps, r->tanh_c, of(s, r->stats, 2 * GATES),
                  of(s, r->stats, 2 * GATES + 1));
    k->unary[ET_U_TANH](u, r->tanh_c, r->tanh_c);
    k->binary[ET_B_MUL](u, of(s, r->act, O * u), 1, r->tanh_c, 1, r->h_new);
}

void et_norm_cell_bwd(const et_norm_cell *s, const et_norm_row *r, const void *dh, void *dc, void *dkeep,
                      void *dpre, void *dnorm, void *work)
{
    const et_kernels *k = s->kr;
    const int64_t u = s->units;
    const char *gamma_c = of(s, s->norm, 2 * GATES * u);
    char *d_beta = of(s, dnorm, GATES * u), *d_gamma_c = of(s, dnorm, 2 * GATES * u);
    char *grad = work, *t = of(s, work, GATES * u);

    /* of h' = o tanh(LN(c')):  do = dh' tanh(LN(c')),  and dc' += what o dh' gives through tanh and LN */
    k->binary[ET_B_MUL](u, dh, 1, r->tanh_c, 1, of(s, grad, O * u));
    k->binary[ET_B_MUL](u, dh, 1, of(s, r->act, O * u), 1, t);
    k->unary_bwd[ET_U_TANH](u, r->tanh_c, t, t, 0);
    k->layer_norm_bwd(1, u, r->c_new, gamma_c, of(s, r->stats, 2 * GATES), of(s, r->stats, 2 * GATES + 1), t,
                      dc, 1, d_gamma_c, of(s, d_gamma_c, u));
    /* of c' = f c + i keep j:  df = dc' c,  dkeep += dc' i j,  di = dc' keep j,  dj = dc' keep i,  dc = dc'
     * f */
    k->binary[ET_B_MUL](u, dc, 1, r->c, 1, of(s, grad, F * u));
    if (dkeep) {
        k->binary[ET_B_MUL](u, of(s, r->act, I * u), 1, of(s, r->act, J * u), 1, t);
        k->mul_acc(u, dc, 1, t, 1, dkeep, 1);
    }
    if (r->keep)
        k->binary[ET_B_MUL](u, dc, 1, r->keep, 1, t);
    const void *dij = r->keep ? t : dc;
    k->binary[ET_B_MUL](u, dij, 1, of(s, r->act, J * u), 1, of(s, grad, I * u));
    k->binary[ET_B_MUL](u, dij, 1, of(s, r->act, I * u), 1, of(s, grad, J * u));
    k->binary[ET_B_MUL](u, dc, 1, of(s, r->act, F * u), 1, dc);
    /* through the gates' functions, then their layer norms */
    for (int g = 0; g < GATES; g++) {
        char *d = of(s, grad, g * u);
        k->unary_bwd[g == J ? ET_U_TANH : ET_U_SIGMOID](u, of(s, r->act, g * u), d, d, 0);
        k->layer_norm_bwd(1, u, of(s, r->pre, g * u), of(s, s->norm, g * u), of(s, r->stats, 2 * g),
                          of(s, r->stats, 2 * g + 1), d, of(s, dpre, g * u), 0, of(s, dnorm, g * u),
                          of(s, d_beta, g * u));
    }
}

/* --- the call ------------------------------------------------------------------------------------- */

et_status et_norm_open(et_node *n, unsigned operands, et_norm_call *c)
{
    const et_norm_lstm_attr *attr = ET_ATTR(n, et_norm_lstm_attr);
    const et_tensor *xw = n->in[ET_NL_XW], *xu = n->in[ET_NL_XU], *zw = n->in[ET_NL_ZW];

    *c = (et_norm_call){.kr = et_k(n), .dtype = xw->dtype, .mixed = n->mixed && xw->dtype == ET_F32,
                        .reverse = attr->reverse, .size = et_dtype_size(xw->dtype), .B = xw->shape[0],
                        .T = xw->shape[1], .n = xw->shape[2] / GATES};
    if (xu) {
        c->k = xu->shape[2] / GATES;
        c->e = zw->shape[1] / SCALES;
    }
    const double weights = (double)c->n * (double)(GATES * c->n) +
                           (double)(c->n + c->k) * (double)(GATES * c->k) +
                           (double)(SCALES * c->e) * (double)(c->k + c->n);
    c->rows = et_shard_rows(c->B, c->T, weights);
    c->lanes = et_lanes_for(c->rows ? ceil_div(c->B, c->rows) : 0);
    for (int i = 0; i < ET_NL_IN; i++)
        if (n->in[i] && operands & ET_SAVE_IN(i) && !(c->in[i] = et_contig(n, n->in[i])))
            return et_error_status();
    c->lengths = c->in[ET_NL_LENGTHS];
    c->cell = (et_norm_cell){c->kr, c->size, c->n, c->in[ET_NL_NORM], attr->eps};
    c->small = (et_norm_cell){c->kr, c->size, c->k, c->in[ET_NL_NORM_U], attr->eps};
    return ET_OK;
}

int64_t et_norm_width(const et_norm_call *c, int what)
{
    switch (what) {
    case ET_NL_HW: return GATES * c->n;
    case ET_NL_PRE_U: return GATES * c->k;
    case ET_NL_Z: return SCALES * c->e;
    default: return c->n + c->k;
    }
}

/* Steps that saved[what] has room for: all where backward is to read them, else one, and of the states, which
 * a step reads and writes, one more. */
static int64_t slots(const et_norm_call *c, int what)
{
    const bool state = what <= ET_NL_CV;

    return (c->kept ? c->T : 1) + state;
}

void *et_norm_saved(const et_norm_call *c, int what, int64_t lo, int64_t rows, int64_t step)
{
    const int64_t steps = slots(c, what);

    return et_norm_at(c, c->saved[what], (lo * steps + step % steps * rows) * et_norm_width(c, what));
}

et_status et_step_matrix_open(et_node *n, const et_norm_call *c, int64_t k, int64_t cols, const void *b,
                              int64_t rsb, int64_t csb, et_step_matrix *m)
{
    void *packed = NULL;

    if (c->T > 1) {
        if (!(packed = et_scratch(n, et_gemm_packed_bytes(c->dtype, k, cols))))
            return et_error_status();
        et_gemm_pack(c->dtype, k, cols, b, rsb, csb, packed);
    }
    *m = (et_step_matrix){k, cols, b, rsb, csb, packed};
    return ET_OK;
}

et_status et_step_product(const et_norm_call *c, const et_step_matrix *m, int64_t rows, const void *a,
                          int64_t lda, const void *bias, double beta, void *to, int64_t ldc)
{
    const et_gemm_args args = {.m = rows, .n = m->n, .k = m->k, .a = a, .rsa = lda, .csa = 1, .b = m->b,
                               .rsb = m->rsb, .csb = m->csb, .packed = m->packed, .c = to, .ldc = ldc,
                               .alpha = 1, .beta = beta, .bias = bias};

    return et_gemm(c->dtype, &args);
}

et_status et_norm_alpha_open(et_node *n, const et_norm_call *c, bool turned, et_step_matrix m[ET_NL_SCALES])
{
    for (int i = 0; i < SCALES; i++) {
        const void *a = et_norm_at(c, c->in[ET_NL_ALPHA], i * c->e * c->n);
        if (turned ? et_step_matrix_open(n, c, c->n, c->e, a, 1, c->n, &m[i])
                   : et_step_matrix_open(n, c, c->e, c->n, a, c->n, 1, &m[i]))
            return et_error_status();
    }
    return ET_OK;
}

et_status et_norm_scales(const et_norm_call *c, const et_step_matrix m[ET_NL_SCALES], int64_t rows,
                         const void *z, void *scale)
{
    et_status status = ET_OK;

    for (int i = 0; i < SCALES && !status; i++)
        status = et_step_product(c, &m[i], rows, et_norm_at(c, z, i * c->e), SCALES * c->e, NULL, 0,
                                 et_norm_at(c, scale, i * c->n), SCALES * c->n);
    return status;
}

void et_norm_pre(const et_norm_call *c, int64_t b, int64_t frame, const void *scale, const void *hw,
                 void *pre)
{
    const et_kernels *k = c->kr;
    const int64_t width = GATES * c->n;
    const void *xw = et_norm_at(c, c->in[ET_NL_XW], (b * c->T + frame) * width);

    if (scale) {
        k->binary[ET_B_MUL](width, scale, 1, xw, 1, pre);
        k->mul_acc(width, et_norm_at(c, scale, width), 1, hw, 1, pre, 1);
        k->axpby(width, 1, et_norm_at(c, scale, 2 * width), 1, pre);
    } else {
        k->binary[ET_B_ADD](width, xw, 1, hw, 1, pre);
    }
    if (c->in[ET_NL_BIAS])
        k->axpby(width, 1, c->in[ET_NL_BIAS], 1, pre);
}

/* --- forward ---------------------------------------------------------------------------------------- */

typedef struct forward {
    et_norm_call c;
    et_step_matrix w_hh, w_u, zw, alpha[SCALES];
    void *y, *last;
    char *own;          /* [lanes][own_bytes]: scales of a step, then a row's numbers */
    size_t own_bytes;
    int64_t row_at;     /* reals */
} forward;

/* Reals that a row of a cell of u units needs beside those that are kept: act, tanh_c, pre; stats. */
static int64_t row_reals(int64_t u)
{
    return (GATES + 1 + GATES) * u + ET_NL_STATS;
}

/* A step of the small LSTM, on [x, h] with its state u, v:
 *
 *   pre_u = xu + [h, u] W_u,   (u', v') = cell(pre_u, v)
 *
 * then the large one's scales, in `own`: s_i = z_i A_i with z_i = u' Z_i + z0_i (appendix A.2 of the paper).
 * Rows past their length keep their state. */
static et_status small_step(const forward *f, int64_t lo, int64_t rows, int64_t step, char *own)
{
    const et_norm_call *c = &f->c;
    const int64_t n = c->n, k = c->k, both = n + k, width = GATES * k;
    const char *hu = et_norm_saved(c, ET_NL_HU, lo, rows, step),
               *cv = et_norm_saved(c, ET_NL_CV, lo, rows, step);
    char *next_hu = et_norm_saved(c, ET_NL_HU, lo, rows, step + 1);
    char *next_cv = et_norm_saved(c, ET_NL_CV, lo, rows, step + 1);
    char *pre = et_norm_saved(c, ET_NL_PRE_U, lo, rows, step), *z = et_norm_saved(c, ET_NL_Z, lo, rows, step);
    et_norm_row r = {.act = et_norm_at(c, own, f->row_at)};
    et_status status = et_step_product(c, &f->w_u, rows, hu, both, NULL, 0, pre, width);

    r.tanh_c = et_norm_at(c, r.act, width);
    r.stats = et_norm_at(c, r.tanh_c, k);
    for (int64_t i = 0; i < rows && !status; i++) {
        r.c = et_norm_at(c, cv, i * both + n);
        r.c_new = et_norm_at(c, next_cv, i * both + n);
        r.h_new = et_norm_at(c, next_hu, i * both + n);
        if (step < et_norm_length(c, lo + i)) {
            char *p = et_norm_at(c, pre, i * width);
            const int64_t frame = et_norm_frame(c, lo + i, step);
            c->kr->axpby(width, 1, et_norm_at(c, c->in[ET_NL_XU], ((lo + i) * c->T + frame) * width), 1, p);
            r.pre = p;
            et_norm_cell_fwd(&c->small, &r);
        } else {
            memcpy(r.c_new, r.c, (size_t)k * c->size);
            memcpy(r.h_new, et_norm_at(c, hu, i * both + n), (size_t)k * c->size);
        }
    }
    if (!status)
        status = et_step_product(c, &f->zw, rows, et_norm_at(c, next_hu, n), both, c->in[ET_NL_ZB], 0, z,
                                 SCALES * c->e);
    return status ? status : et_norm_scales(c, f->alpha, rows, z, own);
}

/* A step of the large LSTM, with the scales in `own` (without a small cell: 1, 1 and 0):
 *
 *   pre_g = s_gx xw_g + s_gh (h W_hh)_g + d_g + bias_g,   (h', c') = cell(pre, c) */
static et_status large_step(const forward *f, int64_t lo, int64_t rows, int64_t step, char *own)
{
    const et_norm_call *c = &f->c;
    const int64_t n = c->n, both = n + c->k, width = GATES * n;
    const char *hu = et_norm_saved(c, ET_NL_HU, lo, rows, step),
               *cv = et_norm_saved(c, ET_NL_CV, lo, rows, step);
    char *next_hu = et_norm_saved(c, ET_NL_HU, lo, rows, step + 1);
    char *next_cv = et_norm_saved(c, ET_NL_CV, lo, rows, step + 1);
    char *hw = et_norm_saved(c, ET_NL_HW, lo, rows, step);
    et_norm_row r = {.act = et_norm_at(c, own, f->row_at)};
    const et_status status = et_step_product(c, &f->w_hh, rows, hu, both, NULL, 0, hw, width);

    r.tanh_c = et_norm_at(c, r.act, width);
    r.stats = et_norm_at(c, r.tanh_c, n);
    for (int64_t i = 0; i < rows && !status; i++) {
        const int64_t b = lo + i, frame = et_norm_frame(c, b, step);
        r.c = et_norm_at(c, cv, i * both);
        r.c_new = et_norm_at(c, next_cv, i * both);
        r.h_new = et_norm_at(c, next_hu, i * both);
        if (step >= et_norm_length(c, b)) {
            memcpy(r.c_new, r.c, (size_t)n * c->size);
            memcpy(r.h_new, et_norm_at(c, hu, i * both), (size_t)n * c->size);
            continue;
        }
        char *h = et_norm_at(c, hw, i * width), *pre = c->k ? et_norm_at(c, r.stats, ET_NL_STATS) : h;
        et_norm_pre(c, b, frame, c->k ? et_norm_at(c, own, i * SCALES * n) : NULL, h, pre);
        r.pre = pre;
        r.keep = c->in[ET_NL_KEEP] ? et_norm_at(c, c->in[ET_NL_KEEP], (b * c->T + frame) * n) : NULL;
        et_norm_cell_fwd(&c->cell, &r);
        memcpy(et_norm_at(c, f->y, (b * c->T + frame) * n), r.h_new, (size_t)n * c->size);
    }
    return status;
}

/* The whole walk of some rows of the batch. In frames past its length a row's y repeats its last state. */
static et_status forward_shard(const void *user, int64_t shard, int64_t lane)
{
    const forward *f = user;
    const et_norm_call *c = &f->c;
    const int64_t lo = shard * c->rows, rows = min64(c->rows, c->B - lo), both = c->n + c->k;
    char *own = f->own + (size_t)lane * f->own_bytes;
    const size_t bytes = (size_t)both * c->size;
    et_status status = ET_OK;
    int64_t steps = 0;

    for (int64_t i = 0; i < rows; i++) {
        const char *s = et_norm_at(c, c->in[ET_NL_STATE], (lo + i) * 2 * both);
        memcpy(et_norm_at(c, et_norm_saved(c, ET_NL_HU, lo, rows, 0), i * both), s, bytes);
        memcpy(et_norm_at(c, et_norm_saved(c, ET_NL_CV, lo, rows, 0), i * both), s + bytes, bytes);
        steps = max64(steps, et_norm_length(c, lo + i));
    }
    for (int64_t step = 0; step < steps && !status; step++) {
        status = c->k ? small_step(f, lo, rows, step, own) : ET_OK;
        if (!status)
            status = large_step(f, lo, rows, step, own);
    }
    for (int64_t i = 0; i < rows; i++) {
        const char *hu = et_norm_at(c, et_norm_saved(c, ET_NL_HU, lo, rows, steps), i * both);
        char *last = et_norm_at(c, f->last, (lo + i) * 2 * both);
        memcpy(last, hu, bytes);
        memcpy(last + bytes, et_norm_at(c, et_norm_saved(c, ET_NL_CV, lo, rows, steps), i * both), bytes);
        for (int64_t t = et_norm_length(c, lo + i); t < c->T; t++)
            memcpy(et_norm_at(c, f->y, ((lo + i) * c->T + t) * c->n), hu, (size_t)c->n * c->size);
    }
    return status;
}

et_status et_norm_lstm_fwd(et_node *n)
{
    forward f = {.own = NULL};
    et_norm_call *c = &f.c;

    if (et_norm_open(n, ~0u, c) != ET_OK)
        return et_error_status();
    f.y = et_out_data(n, 0);
    f.last = et_out_data(n, 1);
    if (!f.y || !f.last)
        return et_error_status();
    if (c->B == 0)
        return ET_OK;
    c->kept = n->recording;
    for (int i = 0; i < (c->k ? ET_NL_SAVED : ET_NL_PRE_U); i++) {
        et_tensor *t = et_save_extra(n, i, c->dtype, ET_SHAPE(c->B * slots(c, i) * et_norm_width(c, i)));
        if (!t || !(c->saved[i] = et_data_mut(t)))
            return et_error_status();
    }
    f.row_at = c->k ? c->rows * SCALES * c->n : 0;
    f.own_bytes = (size_t)round_up((f.row_at + row_reals(max64(c->n, c->k))) * (int64_t)c->size, 64);
    f.own = et_scratch(n, f.own_bytes * (size_t)c->lanes.count);
    if (!f.own ||
        et_step_matrix_open(n, c, c->n, GATES * c->n, c->in[ET_NL_W_HH], GATES * c->n, 1, &f.w_hh))
        return et_error_status();
    if (c->k &&
        (et_step_matrix_open(n, c, c->n + c->k, GATES * c->k, c->in[ET_NL_W_U], GATES * c->k, 1, &f.w_u) ||
         et_step_matrix_open(n, c, c->k, SCALES * c->e, c->in[ET_NL_ZW], SCALES * c->e, 1, &f.zw) ||
         et_norm_alpha_open(n, c, false, f.alpha)))
        return et_error_status();
    return et_shards_run(n, &c->lanes, forward_shard, &f);
}
