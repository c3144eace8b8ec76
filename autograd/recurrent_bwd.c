/* Recurrent layers over time, backward.
 *
 * Each shard walks its own steps from last to first: a step kernel turns dh into the gates'
 * gradients d, and one product with W_hh carries them to the step before. What is left are
 * products of many rows, made for some steps at a time while their d are in the caches, with d'
 * the gates' gradients as the input product gave them and d'' as the recurrent one did (they
 * differ for a GRU's candidate):
 *
 *   dx = d' W_ih,  dW_ih = sum d'^T x,  dW_hh = sum d''^T h,  db_ih = sum d',  db_hh = sum d''
 *
 * summed over a shard's rows and steps by itself and then over the shards in their order. d' takes the place
 * of the gates that forward saved, unless the graph is retained; where d'' differs it has memory of its own.
 *
 * A step kernel also reads q = W_hn h + b_hn of a GRU, made again step by step, and c of an LSTM, made
 * again for a chunk of steps from the one that was kept. */
#include "config.h"

#include "autograd/recurrent.h"

#include <string.h>

#include "tensor/gemm.h"
#include "tensor/ints.h"

typedef struct backward {
    et_rec_call c;
    void *w_hh;                      /* packed for the product with d'' */
    void *w_hn, *b_hn;               /* GRU: packed */
    const void *dy, *dh_n, *dc_n;    /* NULL: zero */
    const void *y, *saved, *cells, *zeros; /* zeros: [H] */
    void *over;                      /* `saved`, if the gates' gradients may take its place */
    void *dx, *dh0, *dc0;            /* NULL: not needed */
    int dx_acc, dh0_acc, dc0_acc;
    et_shard_grad w_ih, w_hh_grad, bias;     /* bias: [n_grads H], of both */
    /* A lane's memory, of own_bytes: dh (at 0), dc, g and q of a step; d, dq, h and then x, c of a chunk; row
     * pointers. */
    char *own;
    int64_t own_bytes, dc_at, g_at, q_at, d_at, dq_at, h_at, c_at, rows_at; /* offsets */
} backward;

/* The state before the step that row b took at `frame`. */
static const void *state_before(const backward *p, int64_t b, int64_t frame)
{
    const et_rec_call *c = &p->c;

    if (c->reverse ? frame + 1 < et_rec_length(c, b) : frame > 0)
        return et_rec_at(c, p->y, (b * c->T + (c->reverse ? frame + 1 : frame - 1)) * c->H);
    return c->h0 ? et_rec_at(c, c->h0, b * c->H) : p->zeros;
}

static et_status product(const et_rec_call *c, const et_gemm_args *args)
{
    return c->mixed ? et_gemm_bf16(ET_F32, args) : et_gemm(c->dtype, args);
}

/* to [m, n] += a^T b, where a has k rows lda apart and b k rows of n. */
static et_status add_product(const et_rec_call *c, int64_t m, int64_t n, int64_t k, const void *a,
                             int64_t lda, const void *b, void *to)
{
    const et_gemm_args args = {.m = m, .n = n, .k = k, .a = a, .rsa = 1, .csa = lda, .b = b, .rsb = n,
                               .csb = 1, .c = to, .ldc = n, .alpha = 1, .beta = 1};

    return product(c, &args);
}

/* to [gates H, H] += d''^T h; d, dq and h have k rows. */
static et_status add_recurrent(const et_rec_call *c, int64_t k, const void *d, const void *dq, const void *h,
                               void *to)
{
    const int64_t G = c->gates * c->H, same = c->cell == ET_CELL_GRU ? 2 * c->H : G;
    et_status status = add_product(c, same, c->H, k, d, G, h, to);

    if (!status && same < G) /* n is left out: W_hn h has a gradient of its own */
        status = add_product(c, c->H, c->H, k, dq, c->H, h, et_rec_at(c, to, same * c->H));
    return status;
}

/* A shard at work. */
typedef struct shard {
    const backward *p;
    int64_t index, lo, rows, steps;
    char *own;
} shard;

/* What forward saved of a step. */
static const void *saved_at(const shard *s, int64_t step)
{
    const et_rec_call *c = &s->p->c;

    return et_rec_at(c, s->p->saved, (s->lo * c->T + step * s->rows) * c->n_saved * c->H);
}

/* The gates' gradients of `step`, whose chunk's begin `at` rows before. */
static void *d_at(const shard *s, int64_t step, int64_t at)
{
    const backward *p = s->p;

    return p->over ? (void *)(uintptr_t)saved_at(s, step)
                   : et_rec_at(&p->c, s->own + p->d_at, at * p->c.gates * p->c.H);
}

/* The products of `count` steps from step `from` on. What lies in x past a row's length may be anything, and
 * 0 times NaN is NaN: zeros stand for it. */
static et_status add_chunk(const shard *s, int64_t from, int64_t count)
{
    const backward *p = s->p;
    const et_rec_call *c = &p->c;
    const int64_t G = c->gates * c->H, k = count * s->rows;
    const char *d = d_at(s, from, 0), *dq = s->own + p->dq_at;
    char *h = s->own + p->h_at, *x = h;
    et_status status = ET_OK;

    if (p->w_hh_grad.to)
        status = add_recurrent(c, k, d, dq, h, p->w_hh_grad.part[s->index]);
    for (int64_t at = 0; p->w_ih.to && at < k; at++) {
        const int64_t b = s->lo + at % s->rows, frame = et_rec_frame(c, from + at / s->rows, s->steps);
        if (frame < et_rec_length(c, b))
            memcpy(et_rec_at(c, x, at * c->F), et_rec_at(c, c->x, (b * c->T + frame) * c->F),
                   (size_t)c->F * c->size);
        else
            memset(et_rec_at(c, x, at * c->F), 0, (size_t)c->F * c->size);
    }
    if (!status && p->w_ih.to)
        status = add_product(c, G, c->F, k, d, G, x, p->w_ih.part[s->index]);
    if (p->bias.to)
        c->k->col_sum(k, G, d, G, p->bias.part[s->index], 1);
    if (p->bias.to && c->cell == ET_CELL_GRU)
        c->k->col_sum(k, c->H, dq, c->H, et_rec_at(c, p->bias.part[s->index], G), 1);
    if (!p->dx || status)
        return status;
    const et_gemm_args args = {.m = k, .n = c->F, .k = G, .a = d, .rsa = G, .csa = 1, .b = c->w_ih,
                               .rsb = c->F, .csb = 1, .c = x, .ldc = c->F, .alpha = 1};
    status = product(c, &args);
    for (int64_t at = 0; at < k && !status; at++) {
        const int64_t b = s->lo + at % s->rows, frame = et_rec_frame(c, from + at / s->rows, s->steps);
        if (frame < et_rec_length(c, b))
            c->k->axpby(c->F, 1, et_rec_at(c, x, at * c->F), p->dx_acc,
                        et_rec_at(c, p->dx, (b * c->T + frame) * c->F));
    }
    return status;
}

/* LSTM: c before each of `count` steps from step `from` on. */
static void cells_again(const shard *s, int64_t from, int64_t count)
{
    const backward *p = s->p;
    const et_rec_call *c = &p->c;
    const int64_t all = s->rows * c->ldh;
    char *cells = s->own + p->c_at;
    void **runs = (void **)(void *)(s->own + p->rows_at);

    memcpy(cells, et_rec_cells(c, p->cells, s->lo, s->rows, from), (size_t)all * c->size);
    for (int64_t step = from; step < from + count - 1; step++) {
        et_rec_back back = {.rows = s->rows, .units = c->H, .saved = saved_at(s, step), .d = runs,
                            .c = et_rec_at(c, cells, (step - from) * all), .ldh = c->ldh};
        for (int64_t i = 0; i < s->rows; i++)
            runs[i] = et_rec_frame(c, step, s->steps) < et_rec_length(c, s->lo + i) ? cells : NULL;
        c->k->rec_cell(&back, et_rec_at(c, cells, (step - from + 1) * all));
    }
}

/* One step: its d, in place `at` of the chunk's rows, and dh before it. */
static void back_step(const shard *s, int64_t step, int64_t at, et_rec_back *back)
{
    const backward *p = s->p;
    const et_rec_call *c = &p->c;
    const int64_t G = c->gates * c->H, frame = et_rec_frame(c, step, s->steps);
    void **d = (void **)(void *)(s->own + p->rows_at);
    const void **dy = (const void **)(d + s->rows), **y = dy + s->rows, **h = y + s->rows;
    char *states = et_rec_at(c, s->own + p->h_at, at * c->H), *all = d_at(s, step, at);

    back->dq = et_rec_at(c, s->own + p->dq_at, at * c->H);
    for (int64_t i = 0; i < s->rows; i++) {
        const int64_t row = (s->lo + i) * c->T + frame;
        void *to = et_rec_at(c, all, i * G);
        d[i] = frame < et_rec_length(c, s->lo + i) ? to : NULL;
        if (!d[i])
            memset(to, 0, (size_t)G * c->size);
        if (!d[i] && c->cell == ET_CELL_GRU)
            memset(et_rec_at(c, back->dq, i * c->H), 0, (size_t)c->H * c->size);
        dy[i] = p->dy ? et_rec_at(c, p->dy, row * c->H) : p->zeros;
        y[i] = et_rec_at(c, p->y, row * c->H);
        h[i] = memcpy(et_rec_at(c, states, i * c->H), d[i] ? state_before(p, s->lo + i, frame) : p->zeros,
                      (size_t)c->H * c->size);
    }
    back->d = d;
    back->dy = dy;
    back->y = y;
    back->h = h;
    if (c->n_saved > 0)
        back->saved = saved_at(s, step);
    if (c->cell == ET_CELL_GRU)
        c->k->rec_product(1, c->H, s->rows, c->H, states, c->H, p->w_hn, p->b_hn, s->own + p->q_at);
    if (c->cell == ET_CELL_LSTM)
        back->c = et_rec_at(c, s->own + p->c_at, at * c->ldh);
    c->k->rec_back[c->cell](back);
    if (step > 0 || p->dh0)
        c->k->rec_product(1, c->H, s->rows, back->ldg, back->g, back->ldg, p->w_hh, NULL, back->dh);
}

static et_status backward_shard(const void *user, int64_t index, int64_t lane)
{
    const backward *p = user;
    const et_rec_call *c = &p->c;
    const int64_t lo = index * c->rows, rows = c->B - lo < c->rows ? c->B - lo : c->rows;
    const shard s =
        {p, index, lo, rows, et_rec_steps(c, lo, lo + rows), p->own + lane * p->own_bytes};
    const et_shard_grad *sums[] = {&p->w_ih, &p->w_hh_grad, &p->bias};
    et_rec_back back = {.rows = rows, .units = c->H, .g = s.own + p->g_at, .ldg = c->gates * c->H,
                        .q = s.own + p->q_at, .dh = s.own, .dc = s.own + p->dc_at, .ldh = c->ldh};
    et_status status = ET_OK;

    for (int i = 0; i < 3; i++)
        et_shard_begin(c->k, sums[i], index);
    c->k->rec_tile(c->H, rows, p->dh_n ? et_rec_at(c, p->dh_n, lo * c->H) : NULL, c->H, back.dh);
    if (c->cell == ET_CELL_LSTM)
        c->k->rec_tile(c->H, rows, p->dc_n ? et_rec_at(c, p->dc_n, lo * c->H) : NULL, c->H, back.dc);
    for (int64_t step = s.steps - 1; step >= 0 && !status; step--) {
        const int64_t from = step / c->chunk * c->chunk, count = min64(c->chunk, s.steps - from);
        if (c->cell == ET_CELL_LSTM && step == from + count - 1)
            cells_again(&s, from, count);
        back_step(&s, step, (step - from) * rows, &back);
        if (step == from)
            status = add_chunk(&s, from, count);
    }
    for (int i = 0; i < 3; i++)
        et_shard_end(c->k, &c->lanes, sums[i], index);
    for (int64_t b = lo; p->dx && !p->dx_acc && b < lo + rows; b++) {
        const int64_t length = et_rec_length(c, b);
        memset(et_rec_at(c, p->dx, (b * c->T + length) * c->F), 0,
               (size_t)((c->T - length) * c->F) * c->size);
    }
    if (p->dh0)
        c->k->rec_untile(c->H, rows, back.dh, et_rec_at(c, p->dh0, lo * c->H), c->H, p->dh0_acc);
    if (p->dc0)
        c->k->rec_untile(c->H, rows, back.dc, et_rec_at(c, p->dc0, lo * c->H), c->H, p->dc0_acc);
    return status;
}

/* db_ih from the first `gates` sums of d; db_hh takes n's from W_hn h for a GRU. */
static et_status write_biases(et_node *n, const backward *p)
{
    const et_rec_call *c = &p->c;
    const int64_t G = c->gates * c->H, same = c->cell == ET_CELL_GRU ? 2 * c->H : G;
    void *to;
    int acc;

    if (et_needs(n, c->at.b_ih)) {
        if (!(to = et_gx(n, c->at.b_ih, &acc)))
            return et_error_status();
        c->k->axpby(G, 1, p->bias.to, acc, to);
    }
    if (et_needs(n, c->at.b_hh)) {
        if (!(to = et_gx(n, c->at.b_hh, &acc)))
            return et_error_status();
        c->k->axpby(same, 1, p->bias.to, acc, to);
        if (same < G)
            c->k->axpby(c->H, 1, et_rec_at(c, p->bias.to, 3 * c->H), acc, et_rec_at(c, to, same));
    }
    return ET_OK;
}

/* --- the rule ------------------------------------------------------------------------------ */

/* The lanes' memory, and the weights that the steps multiply with, packed. */
static et_status open_walk(et_node *n, backward *p)
{
    const et_rec_call *c = &p->c;
    const int64_t G = c->gates * c->H, all = c->chunk * c->rows;
    const bool gru = c->cell == ET_CELL_GRU, lstm = c->cell == ET_CELL_LSTM;
    const int64_t tiled = et_rec_bytes(c, c->k->rec_packed(1, c->H, c->rows));
    void *zeros;

    p->dc_at = tiled;
    p->g_at = p->dc_at + (lstm ? tiled : 0);
    p->q_at = p->g_at + et_rec_bytes(c, c->rows * G);
    p->d_at = p->q_at + (gru ? tiled : 0);
    p->dq_at = p->d_at + (p->over ? 0 : et_rec_bytes(c, all * G));
    p->h_at = p->dq_at + (gru ? et_rec_bytes(c, all * c->H) : 0);
    p->c_at = p->h_at + et_rec_bytes(c, all * max64(c->F, c->H));
    p->rows_at = p->c_at + (lstm ? et_rec_bytes(c, all * c->ldh) : 0);
    p->own_bytes = p->rows_at + round_up(4 * c->rows * (int64_t)sizeof(void *), 64);
    p->own = et_scratch(n, (size_t)(p->own_bytes * c->lanes.count));
    p->zeros = zeros = et_scratch(n, (size_t)c->H * c->size);
    p->w_hh = et_scratch(n, (size_t)c->k->rec_packed(1, c->H, G) * c->size);
    if (!p->own || !zeros || !p->w_hh)
        return et_error_status();
    memset(zeros, 0, (size_t)c->H * c->size);
    c->k->rec_pack(1, c->H, G, c->w_hh, 1, c->H, p->w_hh);
    if (!gru)
        return ET_OK;
    p->w_hn = et_scratch(n, (size_t)c->k->rec_packed(1, c->H, c->H) * c->size);
    p->b_hn = et_scratch(n, (size_t)c->k->rec_packed(1, c->H, 1) * c->size);
    if (!p->w_hn || !p->b_hn)
        return et_error_status();
    c->k->rec_pack(1, c->H, c->H, et_rec_at(c, c->w_hh, 2 * c->H * c->H), c->H, 1, p->w_hn);
    c->k->rec_pack(1, c->H, 1, c->b_hh ? et_rec_at(c, c->b_hh, 2 * c->H) : zeros, 1, 0, p->b_hn);
    return ET_OK;
}

et_status et_rec_bwd(et_node *n)
{
    backward p = {.dx = NULL};
    et_rec_call *c = &p.c;
    const bool lstm = ET_ATTR(n, et_rec_attr)->cell == ET_CELL_LSTM;
    et_status status;

    if ((status = et_rec_open(n, c)))
        return status;
    if (c->B == 0) { /* no sequence: all zero */
        for (int i = 0; i < n->n_in; i++)
            if (et_needs(n, i) && !et_gx_add(n, i))
                return et_error_status();
        return ET_OK;
    }
    if (!(p.y = et_data(n->out[0])) || (c->n_saved > 0 && !(p.saved = et_data(n->saved[0]))) ||
        (lstm && !(p.cells = et_data(n->saved[1]))))
        return et_error_status();
    p.dy = et_gy_data(n, 0);
    p.dh_n = et_gy_data(n, 1);
    p.dc_n = lstm ? et_gy_data(n, 2) : NULL;
    p.over = c->n_saved > 0 ? et_saved_over(n, 0) : NULL;
    c->lanes.spent = c->n_saved > 0 ? p.over : et_gy_over(n);
    c->lanes.spent_bytes = c->rows * c->T * c->H * max64(c->n_saved, 1) * (int64_t)c->size;
    if (et_needs(n, c->at.x) && !(p.dx = et_gx(n, c->at.x, &p.dx_acc)))
        return et_error_status();
    if (et_needs(n, c->at.h0) && !(p.dh0 = et_gx(n, c->at.h0, &p.dh0_acc)))
        return et_error_status();
    if (lstm && et_needs(n, c->at.c0) && !(p.dc0 = et_gx(n, c->at.c0, &p.dc0_acc)))
        return et_error_status();
    if ((status = et_shard_grad_open(n, c->at.w_ih, &c->lanes, c->gates * c->H * c->F, &p.w_ih)) ||
        (status = et_shard_grad_open(n, c->at.w_hh, &c->lanes, c->gates * c->H * c->H, &p.w_hh_grad)))
        return status;
    if (et_needs(n, c->at.b_ih) || et_needs(n, c->at.b_hh)) {
        p.bias.count = c->n_grads * c->H;
        p.bias.to = et_scratch(n, (size_t)p.bias.count * c->size);
        if (!p.bias.to || (status = et_shard_parts_open(n, &c->lanes, c->size, &p.bias)))
            return et_error_status();
    }
    if ((status = open_walk(n, &p)))
        return status;
    if ((status = et_shards_run(n, &c->lanes, backward_shard, &p)))
        return status;
    et_shard_grad_sum(c->k, &c->lanes, &p.w_ih);
    et_shard_grad_sum(c->k, &c->lanes, &p.w_hh_grad);
    et_shard_grad_sum(c->k, &c->lanes, &p.bias);
    return write_biases(n, &p);
}
