/* Layer-norm LSTM and HyperLSTM over time, backward.
 *
 * Each shard walks its own steps from last to first. A step makes its scales and gates again and turns dh
 * and dc into
 *
 *   dpre_g,   dxw_g = s_gx dpre_g,   dhw_g = s_gh dpre_g
 *   ds_gx = xw_g dpre_g,   ds_gh = hw_g dpre_g,   dd_g = dpre_g
 *   dz_i = ds_i A_i^T,   du = dz Z^T,   dh = dhw W_hh^T
 *
 * then the small cell's gates, whose gradient carries on to [h, u] before the step. The gradients of the
 * weights are products over the rows of some steps at a time, summed in a shard, then over the shards in
 * their order. */
#include "config.h"

#include <string.h>

#include "autograd/norm_lstm.h"
#include "tensor/ints.h"

enum { GATES = ET_NL_GATES, SCALES = ET_NL_SCALES, CHUNK_ROWS = 128 /* of the products for the weights */,
       CHUNK_FINE = 2 };

/* Operands whose gradients are sums over the shards. */
static const int weights[] = {ET_NL_W_HH, ET_NL_NORM, ET_NL_BIAS, ET_NL_W_U, ET_NL_NORM_U, ET_NL_ZW, ET_NL_ZB,
                              ET_NL_ALPHA};
enum { N_WEIGHTS = sizeof weights / sizeof *weights };

typedef struct backward {
    et_norm_call c;
    et_step_matrix w_hh, w_u, zw, alpha_back[SCALES]; /* transposed */
    et_step_matrix alpha[SCALES];
    const void *dy, *dlast;                           /* NULL: zero */
    void *dxw, *dxu, *dkeep, *dstate;                 /* NULL: not needed */
    int dxw_acc, dxu_acc, dstate_acc;
    et_shard_grad sum[ET_NL_IN];                      /* of the weights */
    void *unread[ET_NL_IN];                           /* [lanes] where gradients go that nobody needs */
    int64_t chunk;                                    /* steps whose gradients are together */
    char *own;                                        /* [lanes][own_bytes] */
    size_t own_bytes;
} backward;

/* A shard at work; what holds a chunk has its steps in the order of time. */
typedef struct shard {
    const backward *p;
    int64_t lo, rows, steps, index, lane;
    char *dhu, *dcv;   /* [rows][n + k]: gradients of the state */
    char *dhw;         /* chunk: [rows][4n] */
    char *dscale;      /* chunk: [rows][12][n] */
    char *dz;          /* chunk: [rows][12e] */
    char *dpre_u;      /* chunk: [rows][4k] */
    char *scale;       /* [rows][12][n] */
    char *row;         /* a row's numbers */
} shard;

/* Reals that a row of a cell of u units needs: pre, act, tanh_c, stats, c', h', dpre, and the cell's work. */
static int64_t row_reals(int64_t u)
{
    return (3 * GATES + 3 + GATES + 1) * u + ET_NL_STATS;
}

/* Lays the shard's memory out from s->dhu on (NULL to count); the bytes. */
static size_t lay_out(const backward *p, shard *s)
{
    const et_norm_call *c = &p->c;
    const int64_t all = p->chunk * c->rows, state = c->rows * (c->n + c->k), k = c->k ? 1 : 0;
    const struct {
        char **to;
        int64_t reals;
    } parts[] = {{&s->dhu, state}, {&s->dcv, state}, {&s->dhw, all * GATES * c->n},
                 {&s->dscale, k * all * SCALES * c->n}, {&s->dz, all * SCALES * c->e},
                 {&s->dpre_u, all * GATES * c->k}, {&s->scale, k * c->rows * SCALES * c->n},
                 {&s->row, row_reals(max64(c->n, c->k))}};
    char *base = s->dhu;
    size_t bytes = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (base)
            *parts[i].to = base + bytes;
        bytes += (size_t)round_up(parts[i].reals * (int64_t)c->size, 64);
    }
    return bytes;
}

/* The shard's sum for the gradient of operand i. */
static void *sum_of(const shard *s, int i)
{
    const et_norm_call *c = &s->p->c;
    const et_shard_grad *g = &s->p->sum[i];

    return g->to ? g->part[s->index] : et_norm_at(c, s->p->unread[i], s->lane * g->count);
}

/* Places, in the memory for one row, of what the cell makes again of a step; *rest is what is left of it. */
static et_norm_row row_again(const shard *s, const et_norm_cell *cell, char **rest)
{
    const et_norm_call *c = &s->p->c;
    const int64_t u = cell->units;
    et_norm_row r = {.act = s->row};

    r.tanh_c = et_norm_at(c, r.act, GATES * u);
    r.c_new = et_norm_at(c, r.tanh_c, u);
    r.h_new = et_norm_at(c, r.c_new, u);
    r.stats = et_norm_at(c, r.h_new, u);
    *rest = et_norm_at(c, r.stats, ET_NL_STATS);
    return r;
}

/* The large cell's rule for row i at `step`, from dh and dc (in s->dhu, s->dcv) to the gradients that the
 * comment at the top lists. at: the row's place among those of the chunk. dh is used up: the product with
 * W_hh, once all rows are done, adds that of the step before. */
static void large_row(const shard *s, int64_t i, int64_t step, int64_t at)
{
    const et_norm_call *c = &s->p->c;
    const et_kernels *k = c->kr;
    const int64_t n = c->n, both = n + c->k, width = GATES * n, b = s->lo + i,
                  frame = et_norm_frame(c, b, step);
    const int64_t in_x = (b * c->T + frame) * width;
    const char *hw = et_norm_at(c, et_norm_saved(c, ET_NL_HW, s->lo, s->rows, step), i * width);
    const char *scale = c->k ? et_norm_at(c, s->scale, i * SCALES * n) : NULL;
    char *dhu = et_norm_at(c, s->dhu, i * both), *dhw = et_norm_at(c, s->dhw, at * width), *pre, *dpre;
    char *dxw = s->p->dxw ? et_norm_at(c, s->p->dxw, in_x) : NULL;
    et_norm_row r = row_again(s, &c->cell, &pre);

    if (s->p->dy)
        k->axpby(n, 1, et_norm_at(c, s->p->dy, (b * c->T + frame) * n), 1, dhu);
    dpre = et_norm_at(c, pre, width);
    if (scale)
        et_norm_pre(c, b, frame, scale, hw, pre);
    r.pre = scale ? pre : hw;
    r.c = et_norm_at(c, et_norm_saved(c, ET_NL_CV, s->lo, s->rows, step), i * both);
    r.keep = c->in[ET_NL_KEEP] ? et_norm_at(c, c->in[ET_NL_KEEP], (b * c->T + frame) * n) : NULL;
    et_norm_cell_fwd(&c->cell, &r);
    et_norm_cell_bwd(&c->cell, &r, dhu, et_norm_at(c, s->dcv, i * both),
                     s->p->dkeep ? et_norm_at(c, s->p->dkeep, (b * c->T + frame) * n) : NULL, dpre,
                     sum_of(s, ET_NL_NORM), et_norm_at(c, dpre, width));
    k->fill(n, 0, dhu);
    if (c->in[ET_NL_BIAS])
        k->axpby(width, 1, dpre, 1, sum_of(s, ET_NL_BIAS));
    if (!scale) {
        k->axpby(width, 1, dpre, 0, dhw);
        if (dxw)
            k->axpby(width, 1, dpre, s->p->dxw_acc, dxw);
        return;
    }
    char *dscale = et_norm_at(c, s->dscale, at * SCALES * n);
    k->binary[ET_B_MUL](width, dpre, 1, et_norm_at(c, scale, width), 1, dhw);
    if (dxw)
        k->mul_acc(width, dpre, 1, scale, 1, dxw, s->p->dxw_acc);
    k->binary[ET_B_MUL](width, dpre, 1, et_norm_at(c, c->in[ET_NL_XW], in_x), 1, dscale);
    k->binary[ET_B_MUL](width, dpre, 1, hw, 1, et_norm_at(c, dscale, width));
    k->axpby(width, 1, dpre, 0, et_norm_at(c, dscale, 2 * width));
}

/* The same for the small cell, from du and dv to dpre_u, which is also the gradient of xu. */
static void small_row(const shard *s, int64_t i, int64_t step, int64_t at)
{
    const et_norm_call *c = &s->p->c;
    const int64_t n = c->n, k = c->k, both = n + k, width = GATES * k, b = s->lo + i;
    char *du = et_norm_at(c, s->dhu, i * both + n), *dpre = et_norm_at(c, s->dpre_u, at * width), *work;
    et_norm_row r = row_again(s, &c->small, &work);

    r.pre = et_norm_at(c, et_norm_saved(c, ET_NL_PRE_U, s->lo, s->rows, step), i * width);
    r.c = et_norm_at(c, et_norm_saved(c, ET_NL_CV, s->lo, s->rows, step), i * both + n);
    et_norm_cell_fwd(&c->small, &r);
    et_norm_cell_bwd(&c->small, &r, du, et_norm_at(c, s->dcv, i * both + n), NULL, dpre,
                     sum_of(s, ET_NL_NORM_U), work);
    c->kr->fill(k, 0, du);
    if (s->p->dxu)
        c->kr->axpby(width, 1, dpre, s->p->dxu_acc,
                     et_norm_at(c, s->p->dxu, (b * c->T + et_norm_frame(c, b, step)) * width));
}

/* One step, in place `first` of the chunk. A row past its end has no part in it: its gradients wait. */
static et_status back_step(const shard *s, int64_t step, int64_t first)
{
    const backward *p = s->p;
    const et_norm_call *c = &p->c;
    const int64_t n = c->n, k = c->k, e = c->e, both = n + k, rows = s->rows;
    et_status status = ET_OK;

    if (k)
        status = et_norm_scales(c, p->alpha, rows, et_norm_saved(c, ET_NL_Z, s->lo, rows, step), s->scale);
    for (int64_t i = 0; i < rows && !status; i++)
        if (step < et_norm_length(c, s->lo + i)) {
            large_row(s, i, step, first + i);
        } else {
            c->kr->fill(GATES * n, 0, et_norm_at(c, s->dhw, (first + i) * GATES * n));
            if (k)
                c->kr->fill(SCALES * n, 0, et_norm_at(c, s->dscale, (first + i) * SCALES * n));
        }
    if (!status)
        status = et_step_product(c, &p->w_hh, rows, et_norm_at(c, s->dhw, first * GATES * n), GATES * n, NULL,
                                 1, s->dhu, both);
    if (!k)
        return status;
    char *dz = et_norm_at(c, s->dz, first * SCALES * e),
         *dpre_u = et_norm_at(c, s->dpre_u, first * GATES * k);
    for (int i = 0; i < SCALES && !status; i++)
        status =
            et_step_product(c, &p->alpha_back[i], rows, et_norm_at(c, s->dscale, (first * SCALES + i) * n),
                            SCALES * n, NULL, 0, et_norm_at(c, dz, i * e), SCALES * e);
    if (!status)
        status = et_step_product(c, &p->zw, rows, dz, SCALES * e, NULL, 1, et_norm_at(c, s->dhu, n), both);
    for (int64_t i = 0; i < rows && !status; i++)
        if (step < et_norm_length(c, s->lo + i))
            small_row(s, i, step, first + i);
        else
            c->kr->fill(GATES * k, 0, et_norm_at(c, dpre_u, i * GATES * k));
    return status ? status : et_step_product(c, &p->w_u, rows, dpre_u, GATES * k, NULL, 1, s->dhu, both);
}

/* sum [m, cols] += a^T b over r rows, lda and ldb apart; `count` of them side by side. */
static et_status add_product(const shard *s, int operand, int64_t r, int64_t m, const void *a, int64_t lda,
                             int64_t cols, const void *b, int64_t ldb, int64_t count)
{
    if (!s->p->sum[operand].to)
        return ET_OK;
    const et_gemm_args args = {.m = m, .n = cols, .k = r, .a = a, .rsa = 1, .csa = lda, .b = b, .rsb = ldb,
                               .csb = 1, .c = sum_of(s, operand), .ldc = cols, .alpha = 1, .beta = 1,
                               .batch = count, .sa = m, .sb = cols, .sc = m * cols};
    return s->p->c.mixed ? et_gemm_bf16(ET_F32, &args) : et_gemm(s->p->c.dtype, &args);
}

/* Adds the gradients of the matrices from the chunk's steps, of which `from` is the first. */
static et_status add_chunk(const shard *s, int64_t from, int64_t count)
{
    const et_norm_call *c = &s->p->c;
    const int64_t n = c->n, k = c->k, e = c->e, both = n + k, r = count * s->rows;
    const char *hu = et_norm_saved(c, ET_NL_HU, s->lo, s->rows, from);
    et_status status = add_product(s, ET_NL_W_HH, r, n, hu, both, GATES * n, s->dhw, GATES * n, 1);

    if (!k || status)
        return status;
    const char *u = et_norm_at(c, et_norm_saved(c, ET_NL_HU, s->lo, s->rows, from + 1), n);
    if ((status = add_product(s, ET_NL_W_U, r, both, hu, both, GATES * k, s->dpre_u, GATES * k, 1)) ||
        (status = add_product(s, ET_NL_ZW, r, k, u, both, SCALES * e, s->dz, SCALES * e, 1)))
        return status;
    c->kr->col_sum(r, SCALES * e, s->dz, SCALES * e, sum_of(s, ET_NL_ZB), 1);
    return add_product(s, ET_NL_ALPHA, r, e, et_norm_saved(c, ET_NL_Z, s->lo, s->rows, from), SCALES * e, n,
                       s->dscale, SCALES * n, SCALES);
}

/* The gradients of the state after the last step: those of the result `last`, and of the frames past a row's
 * length, in which y repeats that state. */
static void open_state(const shard *s)
{
    const backward *p = s->p;
    const et_norm_call *c = &p->c;
    const int64_t both = c->n + c->k;

    for (int64_t i = 0; i < s->rows; i++) {
        char *dhu = et_norm_at(c, s->dhu, i * both), *dcv = et_norm_at(c, s->dcv, i * both);
        if (p->dlast) {
            const char *d = et_norm_at(c, p->dlast, (s->lo + i) * 2 * both);
            c->kr->axpby(both, 1, d, 0, dhu);
            c->kr->axpby(both, 1, et_norm_at(c, d, both), 0, dcv);
        } else {
            c->kr->fill(both, 0, dhu);
            c->kr->fill(both, 0, dcv);
        }
        for (int64_t t = et_norm_length(c, s->lo + i); t < c->T; t++) {
            const int64_t at = (s->lo + i) * c->T + t;
            if (p->dy)
                c->kr->axpby(c->n, 1, et_norm_at(c, p->dy, at * c->n), 1, dhu);
            if (p->dxw && !p->dxw_acc)
                c->kr->fill(GATES * c->n, 0, et_norm_at(c, p->dxw, at * GATES * c->n));
            if (p->dxu && !p->dxu_acc)
                c->kr->fill(GATES * c->k, 0, et_norm_at(c, p->dxu, at * GATES * c->k));
        }
    }
}

static et_status backward_shard(const void *user, int64_t index, int64_t lane)
{
    const backward *p = user;
    const et_norm_call *c = &p->c;
    const int64_t lo = index * c->rows, both = c->n + c->k;
    shard s = {.p = p, .lo = lo, .rows = min64(c->rows, c->B - lo), .index = index,
               .lane = lane, .dhu = p->own + (size_t)lane * p->own_bytes};
    et_status status = ET_OK;

    lay_out(p, &s);
    for (int i = 0; i < N_WEIGHTS; i++) {
        et_shard_begin(c->kr, &p->sum[weights[i]], index);
        if (p->unread[weights[i]])
            c->kr->fill(p->sum[weights[i]].count, 0, sum_of(&s, weights[i]));
    }
    for (int64_t i = 0; i < s.rows; i++)
        s.steps = max64(s.steps, et_norm_length(c, lo + i));
    open_state(&s);
    for (int64_t step = s.steps - 1; step >= 0 && !status; step--) {
        const int64_t from = step / p->chunk * p->chunk;
        status = back_step(&s, step, (step - from) * s.rows);
        if (step == from && !status)
            status = add_chunk(&s, from, min64(p->chunk, s.steps - from));
    }
    for (int i = 0; i < N_WEIGHTS; i++)
        et_shard_end(c->kr, &c->lanes, &p->sum[weights[i]], index);
    for (int64_t i = 0; p->dstate && i < s.rows; i++) {
        char *d = et_norm_at(c, p->dstate, (lo + i) * 2 * both);
        c->kr->axpby(both, 1, et_norm_at(c, s.dhu, i * both), p->dstate_acc, d);
        c->kr->axpby(both, 1, et_norm_at(c, s.dcv, i * both), p->dstate_acc, et_norm_at(c, d, both));
    }
    return status;
}

/* Memory and packed weights. */
static et_status open_walk(et_node *n, backward *p)
{
    et_norm_call *c = &p->c;
    shard none = {.dhu = NULL};

    c->kept = true;
    for (int i = 0; i < (c->k ? ET_NL_SAVED : ET_NL_PRE_U); i++)
        if (!(c->saved[i] = et_data_mut(n->saved[i])))
            return et_error_status();
    p->chunk = max64(1, min64(c->T, et_cut(CHUNK_ROWS, CHUNK_FINE) / c->rows));
    p->own_bytes = lay_out(p, &none);
    p->own = et_scratch(n, p->own_bytes * (size_t)c->lanes.count);
    if (!p->own ||
        et_step_matrix_open(n, c, GATES * c->n, c->n, c->in[ET_NL_W_HH], 1, GATES * c->n, &p->w_hh))
        return et_error_status();
    if (c->k &&
        (et_step_matrix_open(n, c, GATES * c->k, c->n + c->k, c->in[ET_NL_W_U], 1, GATES * c->k, &p->w_u) ||
         et_step_matrix_open(n, c, SCALES * c->e, c->k, c->in[ET_NL_ZW], 1, SCALES * c->e, &p->zw) ||
         et_norm_alpha_open(n, c, false, p->alpha) || et_norm_alpha_open(n, c, true, p->alpha_back)))
        return et_error_status();
    return ET_OK;
}

/* True if rows add to the gradient of operand i one by one; the others are products, left out where nobody
 * needs them. */
static bool row_adds(int i)
{
    return i == ET_NL_NORM || i == ET_NL_NORM_U || i == ET_NL_BIAS || i == ET_NL_ZB;
}

/* Memory for the gradients, those of operands that need none included where rows add to them. */
static et_status open_gradients(et_node *n, backward *p)
{
    et_norm_call *c = &p->c;

    p->dy = et_gy(n, 0) ? et_gy_data(n, 0) : NULL;
    p->dlast = et_gy(n, 1) ? et_gy_data(n, 1) : NULL;
    if ((et_needs(n, ET_NL_XW) && !(p->dxw = et_gx(n, ET_NL_XW, &p->dxw_acc))) ||
        (et_needs(n, ET_NL_KEEP) && !(p->dkeep = et_gx_add(n, ET_NL_KEEP))) ||
        (et_needs(n, ET_NL_XU) && !(p->dxu = et_gx(n, ET_NL_XU, &p->dxu_acc))) ||
        (et_needs(n, ET_NL_STATE) && !(p->dstate = et_gx(n, ET_NL_STATE, &p->dstate_acc))))
        return et_error_status();
    for (int i = 0; i < N_WEIGHTS; i++) {
        const int w = weights[i];
        if (!n->in[w])
            continue;
        if (et_shard_grad_open(n, w, &c->lanes, n->in[w]->numel, &p->sum[w]))
            return et_error_status();
        if (!p->sum[w].to && row_adds(w) &&
            !(p->unread[w] = et_scratch(n, (size_t)(c->lanes.count * p->sum[w].count) * c->size)))
            return et_error_status();
    }
    return et_error_status();
}

et_status et_norm_lstm_bwd(et_node *n)
{
    backward p = {.own = NULL};
    et_norm_call *c = &p.c;

    if (et_norm_open(n, n->saves, c) != ET_OK)
        return et_error_status();
    if (c->B == 0) { /* no sequence: all zero */
        for (int i = 0; i < n->n_in; i++)
            if (et_needs(n, i) && !et_gx_add(n, i))
                return et_error_status();
        return ET_OK;
    }
    if (open_gradients(n, &p) != ET_OK || open_walk(n, &p) != ET_OK ||
        et_shards_run(n, &c->lanes, backward_shard, &p) != ET_OK)
        return et_error_status();
    for (int i = 0; i < N_WEIGHTS; i++)
        et_shard_grad_sum(c->kr, &c->lanes, &p.sum[weights[i]]);
    return ET_OK;
}
