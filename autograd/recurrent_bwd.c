/* Recurrent layers over time, backward.
 *
 * Each shard walks its own steps from last to first: a step kernel turns dh into the gates'
 * gradients d, and one product with W_hh carries them to the step before. What is left are
 * products of many rows, with d' the gates' gradients as the input product gave them and d''
 * as the recurrent one did (they differ for a GRU's candidate):
 *
 *   dx = d' W_ih,  dW_ih = sum d'^T x,  dW_hh = sum d''^T h,  db_ih = sum d',  db_hh = sum d''
 *
 * summed over a shard's rows and steps by itself and then over the shards in their order. */
#include "config.h"

#include "autograd/recurrent.h"
#include "autograd/shards.h"

#include <string.h>

#include "tensor/alloc.h"
#include "tensor/gemm.h"

typedef struct backward {
    et_rec_call c;
    void *w_hh;                      /* packed for the product with d'' */
    const void *dy, *dh_n, *dc_n;    /* NULL: zero */
    const void *y, *saved, *zeros;   /* zeros: [H] */
    void *d;                         /* [B, T, n_grads H] */
    void *x_valid;                   /* [B, T, F] x with zeros past the lengths; or NULL: x itself */
    void *dx, *dh0, *dc0;            /* NULL: not needed */
    int dx_acc, dh0_acc, dc0_acc;
    et_shard_grad w_ih, w_hh_grad, bias;     /* bias: [n_grads H], of both */
    char *own;
    size_t own_bytes, dc_at, g_at, first_at, rows_at;
    et_status *status;               /* [n_shards] */
} backward;

/* The state before the step that row b took at `frame`. */
static const void *state_before(const backward *p, int64_t b, int64_t frame)
{
    const et_rec_call *c = &p->c;

    if (c->reverse ? frame + 1 < et_rec_length(c, b) : frame > 0)
        return et_rec_at(c, p->y, (b * c->T + (c->reverse ? frame + 1 : frame - 1)) * c->H);
    return c->h0 ? et_rec_at(c, c->h0, b * c->H) : p->zeros;
}

/* The walk over the steps: fills in the shard's rows of d, and dh0, dc0. */
static void walk(const backward *p, int64_t lo, int64_t rows, char *own)
{
    const et_rec_call *c = &p->c;
    const int64_t width = c->n_grads * c->H, steps = et_rec_steps(c, lo, lo + rows);
    void **at = (void **)(void *)(own + p->rows_at);
    et_rec_back s = {.rows = rows, .units = c->H, .g = own + p->g_at, .ldg = c->gates * c->H,
                     .dh = own, .dc = own + p->dc_at, .d = at};
    const void **dy = (const void **)(at + rows), **y = dy + rows, **h = y + rows;

    s.dy = dy;
    s.y = y;
    s.h = h;
    c->k->rec_tile(c->H, rows, p->dh_n ? et_rec_at(c, p->dh_n, lo * c->H) : NULL, c->H, s.dh);
    if (c->cell == ET_CELL_LSTM)
        c->k->rec_tile(c->H, rows, p->dc_n ? et_rec_at(c, p->dc_n, lo * c->H) : NULL, c->H, s.dc);
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t frame = et_rec_frame(c, step, steps);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t row = (lo + i) * c->T + frame;
            at[i] = frame < et_rec_length(c, lo + i) ? et_rec_at(c, p->d, row * width) : NULL;
            dy[i] = p->dy ? et_rec_at(c, p->dy, row * c->H) : p->zeros;
            y[i] = et_rec_at(c, p->y, row * c->H);
            h[i] = state_before(p, lo + i, frame);
        }
        if (c->n_saved > 0)
            s.saved = et_rec_at(c, p->saved, (lo * c->T + step * rows) * c->n_saved * c->ldh);
        c->k->rec_back[c->cell](&s);
        if (step > 0 || p->dh0)
            c->k->rec_product(1, c->H, rows, s.ldg, s.g, s.ldg, p->w_hh, NULL, s.dh);
    }
    for (int64_t b = lo; b < lo + rows; b++) {
        const int64_t length = et_rec_length(c, b);
        memset(et_rec_at(c, p->d, (b * c->T + length) * width), 0,
               (size_t)((c->T - length) * width) * c->size);
    }
    if (p->dh0)
        c->k->rec_untile(c->H, rows, s.dh, et_rec_at(c, p->dh0, lo * c->H), c->H, p->dh0_acc);
    if (p->dc0)
        c->k->rec_untile(c->H, rows, s.dc, et_rec_at(c, p->dc0, lo * c->H), c->H, p->dc0_acc);
}

/* Start of the shard's rows of x. What lies past a row's length may be anything, and 0 times
 * NaN is NaN: it is replaced by zeros. */
static const void *valid_inputs(const backward *p, int64_t lo, int64_t rows)
{
    const et_rec_call *c = &p->c;

    for (int64_t b = lo; p->x_valid && b < lo + rows; b++) {
        const int64_t at = b * c->T * c->F, used = et_rec_length(c, b) * c->F;
        memcpy(et_rec_at(c, p->x_valid, at), et_rec_at(c, c->x, at), (size_t)used * c->size);
        memset(et_rec_at(c, p->x_valid, at + used), 0, (size_t)(c->T * c->F - used) * c->size);
    }
    return et_rec_at(c, p->x_valid ? p->x_valid : c->x, lo * c->T * c->F);
}

static et_status product(const et_rec_call *c, const et_gemm_args *args)
{
    return c->mixed ? et_gemm_bf16(ET_F32, args) : et_gemm(c->dtype, args);
}

/* to [m, n] = a^T b + beta to, where a has k rows lda apart and b k rows of n. */
static et_status transposed_product(const et_rec_call *c, int64_t m, int64_t n, int64_t k, const void *a,
                                    int64_t lda, const void *b, double beta, void *to)
{
    const et_gemm_args args = {.m = m, .n = n, .k = k, .a = a, .rsa = 1, .csa = lda, .b = b, .rsb = n,
                               .csb = 1, .c = to, .ldc = n, .alpha = 1, .beta = beta};

    return product(c, &args);
}

/* to [gates H, H] = d''^T h + beta to; d'' and h have k rows. */
static et_status recurrent_product(const et_rec_call *c, int64_t k, const void *d, const void *h, double beta,
                                   void *to)
{
    const int64_t width = c->n_grads * c->H, same = c->cell == ET_CELL_GRU ? 2 * c->H : width;
    et_status status = transposed_product(c, same, c->H, k, d, width, h, beta, to);

    if (!status && same < width) /* n is left out: W_hn h has a gradient of its own */
        status = transposed_product(c, c->H, c->H, k, et_rec_at(c, d, 3 * c->H), width, h, beta,
                                    et_rec_at(c, to, same * c->H));
    return status;
}

/* The shard's part of dW_hh. The states are the output's rows shifted by one; where a row's
 * first step would meet its neighbour's last output, its gradients are moved out of the way
 * to meet h0. This is the last use of d. */
static et_status recurrent_weights(const backward *p, int64_t lo, int64_t rows, char *own, double beta,
                                   void *to)
{
    const et_rec_call *c = &p->c;
    const int64_t width = c->n_grads * c->H, shift = c->reverse ? 0 : 1, all = rows * c->T;
    const size_t bytes = (size_t)width * c->size;
    char *first = own + p->first_at;
    const char *d = et_rec_at(c, p->d, lo * c->T * width), *y = et_rec_at(c, p->y, lo * c->T * c->H);
    et_status status;

    for (int64_t i = 0; i < rows; i++) {
        const int64_t length = et_rec_length(c, lo + i), frame = c->reverse ? length - 1 : 0;
        void *row = et_rec_at(c, d, (i * c->T + frame) * width);
        memset(first + (size_t)i * bytes, 0, bytes);
        if (length == 0)
            continue;
        memcpy(first + (size_t)i * bytes, row, bytes);
        memset(row, 0, bytes);
    }
    status = recurrent_product(c, all > 0 ? all - 1 : 0, et_rec_at(c, d, shift * width),
                               et_rec_at(c, y, (1 - shift) * c->H), beta, to);
    if (!status && c->h0)
        status = recurrent_product(c, rows, first, et_rec_at(c, c->h0, lo * c->H), 1, to);
    return status;
}

static et_status backward_shard(const backward *p, int64_t shard)
{
    const et_rec_call *c = &p->c;
    const int64_t lo = shard * c->rows, rows = c->B - lo < c->rows ? c->B - lo : c->rows;
    const int64_t all = rows * c->T, width = c->n_grads * c->H, G = c->gates * c->H;
    const void *d = et_rec_at(c, p->d, lo * c->T * width);
    char *own = p->own + (size_t)shard * p->own_bytes;
    const bool alone = c->n_shards == 1;
    et_status status = ET_OK;

    walk(p, lo, rows, own);
    if (p->dx) {
        const et_gemm_args args = {.m = all, .n = c->F, .k = G, .a = d, .rsa = width, .csa = 1,
                                   .b = c->w_ih, .rsb = c->F, .csb = 1,
                                   .c = et_rec_at(c, p->dx, lo * c->T * c->F), .ldc = c->F, .alpha = 1,
                                   .beta = p->dx_acc};
        status = product(c, &args);
    }
    if (!status && p->w_ih.to)
        status = transposed_product(c, G, c->F, all, d, width, valid_inputs(p, lo, rows),
                                    alone ? p->w_ih.acc : 0,
                                    et_rec_at(c, p->w_ih.parts, shard * p->w_ih.count));
    if (p->bias.to)
        c->k->col_sum(all, width, d, width, et_rec_at(c, p->bias.parts, shard * p->bias.count), 0);
    if (!status && p->w_hh_grad.to)
        status = recurrent_weights(p, lo, rows, own, alone ? p->w_hh_grad.acc : 0,
                                   et_rec_at(c, p->w_hh_grad.parts, shard * p->w_hh_grad.count));
    return status;
}

static void backward_shards(int64_t lo, int64_t hi, void *user)
{
    const backward *p = user;

    for (; lo < hi; lo++) {
        p->status[lo] = backward_shard(p, lo);
        if (p->status[lo])
            et_error_clear(); /* raised again by the thread that called */
    }
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

static size_t align_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Memory of the walk. */
static et_status open_walk(et_node *n, backward *p)
{
    const et_rec_call *c = &p->c;
    const int64_t width = c->n_grads * c->H, G = c->gates * c->H;
    const size_t tiled = align_up((size_t)c->k->rec_packed(1, c->H, c->rows) * c->size);
    void *zeros;

    p->dc_at = tiled;
    p->g_at = p->dc_at + tiled;
    p->first_at = p->g_at + align_up((size_t)(c->rows * G) * c->size);
    p->rows_at = p->first_at + align_up((size_t)(c->rows * width) * c->size);
    p->own_bytes = p->rows_at + align_up(4 * (size_t)c->rows * sizeof(void *));
    p->own = et_scratch(n, p->own_bytes * (size_t)c->n_shards);
    p->status = et_scratch(n, (size_t)c->n_shards * sizeof *p->status);
    p->zeros = zeros = et_scratch(n, (size_t)c->H * c->size);
    p->w_hh = et_scratch(n, (size_t)c->k->rec_packed(1, c->H, G) * c->size);
    p->d = et_scratch(n, (size_t)(c->B * c->T * width) * c->size);
    if (!p->own || !p->status || !zeros || !p->w_hh || !p->d)
        return et_error_status();
    memset(zeros, 0, (size_t)c->H * c->size);
    c->k->rec_pack(1, c->H, G, c->w_hh, 1, c->H, p->w_hh);
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
    if (!(p.y = et_data(n->out[0])) || (c->n_saved > 0 && !(p.saved = et_data(n->saved[0]))))
        return et_error_status();
    p.dy = et_gy_data(n, 0);
    p.dh_n = et_gy_data(n, 1);
    p.dc_n = lstm ? et_gy_data(n, 2) : NULL;
    if (et_needs(n, c->at.x) && !(p.dx = et_gx(n, c->at.x, &p.dx_acc)))
        return et_error_status();
    if (et_needs(n, c->at.h0) && !(p.dh0 = et_gx(n, c->at.h0, &p.dh0_acc)))
        return et_error_status();
    if (lstm && et_needs(n, c->at.c0) && !(p.dc0 = et_gx(n, c->at.c0, &p.dc0_acc)))
        return et_error_status();
    if ((status = et_shard_grad_open(n, c->at.w_ih, c->n_shards, c->gates * c->H * c->F, &p.w_ih)) ||
        (status = et_shard_grad_open(n, c->at.w_hh, c->n_shards, c->gates * c->H * c->H, &p.w_hh_grad)))
        return status;
    if (et_needs(n, c->at.b_ih) || et_needs(n, c->at.b_hh)) {
        p.bias.count = c->n_grads * c->H;
        p.bias.to = et_scratch(n, (size_t)p.bias.count * c->size);
        p.bias.parts = et_scratch(n, (size_t)(c->n_shards * p.bias.count) * c->size);
        if (!p.bias.to || !p.bias.parts)
            return et_error_status();
    }
    if ((status = open_walk(n, &p)))
        return status;
    if (p.w_ih.to && c->lengths && !(p.x_valid = et_scratch(n, (size_t)(c->B * c->T * c->F) * c->size)))
        return et_error_status();
    et_parallel_for(c->n_shards, 1, backward_shards, &p);
    for (int64_t i = 0; i < c->n_shards; i++)
        if (p.status[i])
            return et_op_raise(n, p.status[i], "a product of the backward pass failed");
    et_shard_grad_sum(c->k, c->n_shards, &p.w_ih);
    et_shard_grad_sum(c->k, c->n_shards, &p.w_hh_grad);
    et_shard_grad_sum(c->k, c->n_shards, &p.bias);
    return write_biases(n, &p);
}
