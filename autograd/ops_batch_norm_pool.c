/* Batch norm, ReLU and max pooling in one: what lies between is made block by block and never as a whole. */
#include "config.h"

#include <string.h>

#include "autograd/batch_norm.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

enum {
    MOST_TAPS = 256 /* the place of a maximum is kept in a byte */,
    BLOCK = 8192 /* elements of a block, at most; more than two windows */,
    FINE_BLOCK = 12
};

/* A row of bn is a plane [h, w] of one sample and channel, cut into blocks: parts of a row of windows. */
typedef struct bnp_job {
    et_bn_job bn; /* y and gy are the pooled ones, dx the gradient of x */
    int64_t h, w, kh, kw, oh, ow;
    int64_t block;  /* elements of a block, at most, where that is two windows */
    int64_t part;   /* windows of a block */
    int64_t cost;   /* of an element */
    char *dx;
    uint8_t *at;
} bnp_job;

static et_status bnp_shape(et_node *n)
{
    const et_bn_attr *a = ET_ATTR(n, et_bn_attr);
    const et_tensor *x = n->in[ET_BN_X];

    if (x->ndim != 3 && x->ndim != 4)
        return et_op_raise(n, ET_ESHAPE,
                           "x is %s, expected [batch, channels, length] or [batch, channels, height, width]",
                           et_shape_str(x));
    if (et_bn_check(n))
        return et_error_status();
    const int64_t h = x->ndim == 4 ? x->shape[2] : 1, w = x->shape[x->ndim - 1];
    if (a->kh < 1 || a->kw < 1 || a->kh > MOST_TAPS || a->kw > MOST_TAPS || a->kh * a->kw > MOST_TAPS)
        return et_op_raise(n, ET_EINVAL, "a window of %lld x %lld, expected 1 to %d elements",
                           (long long)a->kh, (long long)a->kw, MOST_TAPS);
    if (a->kh > h || a->kw > w)
        return et_op_raise(n, ET_ESHAPE, "a window of %lld x %lld is larger than those of x %s",
                           (long long)a->kh, (long long)a->kw, et_shape_str(x));
    if (x->ndim == 4)
        return et_out(n, 0, x->dtype, ET_SHAPE(x->shape[0], x->shape[1], h / a->kh, w / a->kw));
    return et_out(n, 0, x->dtype, ET_SHAPE(x->shape[0], x->shape[1], w / a->kw));
}

static et_status bnp_start(et_node *n, bnp_job *j, int64_t cost)
{
    const et_bn_attr *a = ET_ATTR(n, et_bn_attr);
    const et_tensor *x = n->in[ET_BN_X];

    *j = (bnp_job){.h = x->ndim == 4 ? x->shape[2] : 1, .w = x->shape[x->ndim - 1], .kh = a->kh, .kw = a->kw};
    if (et_bn_start(n, &j->bn, false))
        return et_error_status();
    j->oh = j->h / j->kh;
    j->ow = j->w / j->kw;
    j->block = et_cut(BLOCK, FINE_BLOCK);
    /* the last has a remainder */
    j->part = j->kh * j->w <= j->block ? j->ow : max64(1, j->block / (j->kh * j->kw) - 1);
    j->cost = cost;
    return ET_OK;
}

/* A block of row r: what it reads and where its windows are. */
typedef struct block {
    int64_t x, windows;      /* first element of x; first window of the row of windows, and in y */
    int64_t rows, across, n; /* [rows, across] elements of x; windows */
} block;

static int64_t blocks_of(const bnp_job *j) { return j->oh * ceil_div(j->ow, j->part); }

static block block_of(const bnp_job *j, int64_t r, int64_t i)
{
    const int64_t parts = ceil_div(j->ow, j->part), s = i / parts, t = i % parts * j->part;
    const int64_t plane = r / j->bn.some * j->bn.channels + et_bn_channel(&j->bn, r);
    const bool last = t + j->part >= j->ow;

    return (block){.x = et_bn_row(&j->bn, r) / j->bn.size + s * j->kh * j->w + t * j->kw,
                   .windows = (plane * j->oh + s) * j->ow + t, .rows = j->kh,
                   .across = last ? j->w - t * j->kw : j->part * j->kw, .n = last ? j->ow - t : j->part};
}

/* The lines of x in a block: the whole block where nothing is left out between its rows. */
static int64_t lines_of(const bnp_job *j, const block *b) { return b->across == j->w ? 1 : b->rows; }

static int64_t line_length(const bnp_job *j, const block *b)
{
    return b->across == j->w ? b->rows * b->across : b->across;
}

static void over(bnp_job *j, void (*piece)(int64_t lo, int64_t hi, void *user))
{
    const int64_t rows = j->bn.rows * j->bn.some;

    et_parallel_for(rows, et_row_grain(rows, j->cost * j->bn.n), piece, j);
}

static void pool_piece(int64_t lo, int64_t hi, void *user)
{
    const bnp_job *j = user;
    const et_kernels *k = j->bn.k;
    double memory[BLOCK];
    char *act = (char *)memory;

    for (int64_t r = lo; r < hi; r++)
        for (int64_t i = 0; i < blocks_of(j); i++) {
            const block b = block_of(j, r, i);
            for (int64_t l = 0; l < lines_of(j, &b); l++)
                k->norm_apply(line_length(j, &b), j->bn.x + (b.x + l * j->w) * j->bn.size,
                              &j->bn.norms[et_bn_channel(&j->bn, r)], act + l * b.across * j->bn.size);
            k->max_pool(b.n, act, b.across, b.across, 0, j->kw, b.rows, 0, j->kw,
                        j->bn.y + b.windows * j->bn.size, j->at + b.windows);
        }
}

static et_status bnp_fwd(et_node *n)
{
    const void *gamma, *beta;
    void *rm, *rv;
    bnp_job j;

    if (bnp_start(n, &j, 3))
        return et_error_status();
    if (!n->in[ET_BN_X]->numel)
        return ET_OK;
    et_tensor *stats = et_save_extra(n, 0, ET_F64, ET_SHAPE(j.bn.channels, 2));
    char *y = et_out_data(n, 0);
    if (n->recording) {
        et_tensor *at = et_save_extra(n, 1, ET_U8, n->out[0]->ndim, n->out[0]->shape);
        j.at = at ? et_data_mut(at) : NULL;
    } else {
        j.at = et_scratch(n, (size_t)n->out[0]->numel);
    }
    j.bn.x = et_contig(n, n->in[ET_BN_X]);
    j.bn.y = y;
    if (!stats || !(j.bn.stats = et_data_mut(stats)) || !j.bn.x || !y || !j.at ||
        et_bn_affine(n, &gamma, &beta) || et_bn_running(n, &rm, &rv))
        return et_error_status();
    const int64_t step = et_bn_group(&j.bn, 1);
    for (j.bn.c0 = 0; j.bn.c0 < j.bn.channels; j.bn.c0 += step) {
        j.bn.some = j.bn.channels - j.bn.c0 < step ? j.bn.channels - j.bn.c0 : step;
        et_bn_stats(n, &j.bn, rm, rv);
        et_bn_set_norms(n, &j.bn, gamma, beta);
        over(&j, pool_piece);
    }
    return ET_OK;
}

/* --- backward --- */

/* The gradients of a block's elements before the pooling. */
static void spread(const bnp_job *j, const block *b, char *g)
{
    if (b->n * j->kw != b->across)
        memset(g, 0, (size_t)(b->rows * b->across * j->bn.size));
    j->bn.k->max_pool_bwd(b->n, b->rows, j->kw, j->bn.gy + b->windows * j->bn.size, j->at + b->windows, g,
                          b->across, 0);
}

static void sums_piece(int64_t lo, int64_t hi, void *user)
{
    const bnp_job *j = user;
    double memory[BLOCK];
    char *g = (char *)memory;

    for (int64_t r = lo; r < hi; r++) {
        double *sum = &j->bn.first[et_bn_sum(&j->bn, r)], *dot = &j->bn.second[et_bn_sum(&j->bn, r)], s, d;
        *sum = *dot = 0;
        for (int64_t i = 0; i < blocks_of(j); i++) {
            const block b = block_of(j, r, i);
            spread(j, &b, g);
            for (int64_t l = 0; l < lines_of(j, &b); l++) {
                j->bn.k->norm_sums(line_length(j, &b), j->bn.x + (b.x + l * j->w) * j->bn.size,
                                   &j->bn.norms[et_bn_channel(&j->bn, r)], g + l * b.across * j->bn.size, &s,
                                   &d);
                *sum += s;
                *dot += d;
            }
        }
    }
}

/* n elements of x from `from` on: their gradient is made of g. */
static void give_line(const bnp_job *j, int64_t r, int64_t from, int64_t n, const char *g)
{
    const int64_t c = et_bn_channel(&j->bn, r), size = j->bn.size;
    const double *f = j->bn.coeffs + 3 * c;

    j->bn.k->norm_bwd(n, j->bn.x + from * size, &j->bn.norms[c], g, f[0], f[1], f[2], j->dx + from * size,
                      j->bn.acc);
}

static void bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const bnp_job *j = user;
    double memory[BLOCK];
    char *g = (char *)memory;

    for (int64_t r = lo; r < hi; r++) {
        for (int64_t i = 0; i < blocks_of(j); i++) {
            const block b = block_of(j, r, i);
            spread(j, &b, g);
            for (int64_t l = 0; l < lines_of(j, &b); l++)
                give_line(j, r, b.x + l * j->w, line_length(j, &b), g + l * b.across * j->bn.size);
        }
        /* rows that no window has */
        const int64_t from = et_bn_row(&j->bn, r) / j->bn.size, end = j->h * j->w;
        memset(g, 0, j->oh * j->kh < j->h ? sizeof memory : 0);
        for (int64_t at = j->oh * j->kh * j->w, n; at < end; at += n) {
            n = min64(end - at, j->block);
            give_line(j, r, from + at, n, g);
        }
    }
}

static et_status bnp_bwd(et_node *n)
{
    const void *gamma, *beta;
    bnp_job j;

    if (!n->in[ET_BN_X]->numel)
        return et_bn_give_nothing(n);
    if (bnp_start(n, &j, 5) || et_bn_affine(n, &gamma, &beta))
        return et_error_status();
    j.bn.coeffs = et_scratch(n, (size_t)(3 * j.bn.channels) * sizeof(double));
    j.bn.stats = et_data_mut(n->saved[0]);
    j.at = et_data_mut(n->saved[1]);
    j.bn.x = et_contig(n, n->in[ET_BN_X]);
    j.bn.gy = et_gy_data(n, 0);
    if (!j.bn.coeffs || !j.bn.stats || !j.at || !j.bn.x || !j.bn.gy)
        return et_error_status();
    if (et_needs(n, ET_BN_X) && !(j.dx = et_gx(n, ET_BN_X, &j.bn.acc)))
        return et_error_status();
    const int64_t step = et_bn_group(&j.bn, 2);
    for (j.bn.c0 = 0; j.bn.c0 < j.bn.channels; j.bn.c0 += step) {
        j.bn.some = j.bn.channels - j.bn.c0 < step ? j.bn.channels - j.bn.c0 : step;
        et_bn_set_norms(n, &j.bn, gamma, beta);
        over(&j, sums_piece);
        et_bn_join(n, &j.bn);
        if (j.dx)
            over(&j, bwd_piece);
    }
    return et_bn_give(n, &j.bn);
}

/* --- samples --- */

/* Shifts that open some channels wholly and close one. */
static et_tensor *pooled(et_tensor *const *in, int64_t kh, int64_t kw)
{
    const double shift[] = {8, -8, 8};
    et_tensor *far = et_mul_scalar(in[2], 1); /* NULL where no scope would own the shifts */

    far = far ? et_add(far, et_to(et_from(ET_F64, ET_SHAPE(3), shift), far->dtype)) : NULL;
    return et_batch_norm_relu_max_pool(in[0], NULL, NULL, in[1], far, true, 0.1, 1e-5, kh, kw);
}

ET_CALL(bnp_thirds, pooled(in, 1, 3))
ET_CALL(bnp_tiles, pooled(in, 2, 2))
ET_CALL(bnp_columns, pooled(in, 4, 1))
#define D3(b, l) {.ndim = 3, .shape = {b, 3, l}, .lo = -8, .hi = 8, .kind = ET_ARG_DISTINCT}
#define D4(b, h, w) {.ndim = 4, .shape = {b, 3, h, w}, .lo = -8, .hi = 8, .kind = ET_ARG_DISTINCT}
#define SCALE {.ndim = 1, .shape = {3}, .lo = 0.5, .hi = 2}
static const et_sample bnp_samples[] = {
    {.name = "thirds", .n_in = 3, .in = {D3(2, 12), SCALE, {1, {3}}}, .call = bnp_thirds},
    {.name = "two channels and one", .n_in = 3, .in = {D3(1, 15), SCALE, {1, {3}}}, .call = bnp_thirds},
    {.name = "thirds with a remainder", .n_in = 3, .in = {D3(2, 23), SCALE, {1, {3}}}, .call = bnp_thirds},
    {.name = "tiles with remainders", .n_in = 3, .in = {D4(1, 5, 13), SCALE, {1, {3}}}, .call = bnp_tiles},
    {.name = "whole columns", .n_in = 3, .in = {D4(2, 4, 5), SCALE, {1, {3}}}, .call = bnp_columns},
    {.name = "one value a row", .n_in = 3, .in = {D4(6, 4, 1), SCALE, {1, {3}}}, .call = bnp_columns},
    {.name = "empty", .n_in = 3, .in = {{3, {0, 3, 4}}, {1, {3}}, {1, {3}}}, .call = bnp_thirds},
};
const et_op et_op_batch_norm_relu_max_pool = {
    .name = "batch_norm_relu_max_pool", .args = "r r? r? r? r?", .n_out = 1, .flags = ET_OP_ONCE | ET_OP_KINK,
    .saves_for = et_bn_saves, .shape = bnp_shape, .fwd = bnp_fwd, .bwd = bnp_bwd, ET_SAMPLES(bnp_samples),
};

/** The maxima of et_batch_norm_relu(..) over windows of kernel_h x kernel_w that lie side by side:
 *  x [B, C, L] (kernel_h 1) to [B, C, L / kernel_w], or [B, C, H, W] to [B, C, H / kernel_h, W / kernel_w],
 *  rounded down. The same numbers as et_max_pool1d or et_max_pool2d of it; what lies between is not kept,
 *  forward or backward.
 *  Errors: as et_batch_norm; EINVAL for windows of no or more than 256 elements, ESHAPE for ones larger
 *  than x. */
et_tensor *(et_batch_norm_relu_max_pool)(et_tensor *x, et_tensor *running_mean, et_tensor *running_var,
                                         et_tensor *weight, et_tensor *bias, bool training, double momentum,
                                         double eps, int64_t kernel_h, int64_t kernel_w)
{
    et_bn_attr a = {1, training, true, momentum, eps, kernel_h, kernel_w};

    return et_apply1(&et_op_batch_norm_relu_max_pool, 5,
                     (et_tensor *const[]){x, running_mean, running_var, weight, bias}, &a, sizeof a);
}
