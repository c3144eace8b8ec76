/* Pooling: the maximum or the mean over windows of one or two axes, or over all positions. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

enum { MOST_TAPS = 256 }; /* the place of a maximum is kept in a byte */

typedef struct pool_attr {
    int64_t kh, kw, sh, sw, ph, pw;
} pool_attr;

typedef struct pool_job {
    pool_attr a;
    const et_kernels *k;
    int64_t h, w, oh, ow, size;
    const char *x; /* or dy */
    char *y;       /* or dx */
    uint8_t *at;
    int64_t grain;
    int acc;
} pool_job;

static et_status pool_shape(et_node *n, int ndim)
{
    pool_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    const int64_t kernel[] = {a->kh, a->kw}, pad[] = {a->ph, a->pw};
    int64_t *const stride[] = {&a->sh, &a->sw};
    int64_t shape[4];

    if (x->ndim != ndim)
        return et_op_raise(n, ET_ESHAPE, "x is %s, expected %s", et_shape_str(x),
                           ndim == 3 ? "[batch, channels, length]" : "[batch, channels, height, width]");
    shape[0] = x->shape[0];
    shape[1] = x->shape[1];
    for (int d = 2; d < ndim; d++) {
        const int i = d - ndim + 2;
        if (kernel[i] < 1 || *stride[i] < 1)
            return et_op_raise(n, ET_EINVAL, "a window of %lld and a stride of %lld, expected at least 1",
                               (long long)kernel[i], (long long)*stride[i]);
        if (pad[i] < 0 || pad[i] > kernel[i] / 2)
            return et_op_raise(n, ET_EINVAL, "a padding of %lld, expected at most half the window of %lld",
                               (long long)pad[i], (long long)kernel[i]);
        const int64_t size = x->shape[d] + 2 * pad[i];
        if (x->shape[d] == 0 || size < kernel[i])
            return et_op_raise(n, ET_ESHAPE, "a window of %lld is longer than dimension %d of x %s",
                               (long long)kernel[i], d, et_shape_str(x));
        *stride[i] = min64(*stride[i], size); /* a longer one does as much, but its products might not fit */
        shape[d] = (size - kernel[i]) / *stride[i] + 1;
    }
    return et_out(n, 0, x->dtype, ndim, shape);
}

static et_status max_shape(et_node *n, int ndim)
{
    const pool_attr *a = ET_ATTR(n, pool_attr);

    if (pool_shape(n, ndim))
        return et_error_status();
    if (a->kh > MOST_TAPS / a->kw)
        return et_op_raise(n, ET_EINVAL, "a window of more than %d elements", MOST_TAPS);
    return ET_OK;
}

static et_status pool1d_shape(et_node *n) { return pool_shape(n, 3); }
static et_status pool2d_shape(et_node *n) { return pool_shape(n, 4); }
static et_status max1d_shape(et_node *n) { return max_shape(n, 3); }
static et_status max2d_shape(et_node *n) { return max_shape(n, 4); }

static int64_t planes(const et_node *n) { return n->in[0]->shape[0] * n->in[0]->shape[1]; }

static void start(et_node *n, pool_job *j)
{
    const et_tensor *x = n->in[0], *y = n->out[0];

    *j = (pool_job){.a = *ET_ATTR(n, pool_attr), .k = et_k(n), .h = x->ndim == 4 ? x->shape[2] : 1,
                    .w = x->shape[x->ndim - 1], .oh = x->ndim == 4 ? y->shape[2] : 1,
                    .ow = y->shape[x->ndim - 1], .size = (int64_t)et_dtype_size(x->dtype)};
    j->grain = et_row_grain(planes(n), j->oh * j->ow * j->a.kh * j->a.kw);
}

/* --- maxima --- */

static void max_piece(int64_t lo, int64_t hi, void *user)
{
    const pool_job *j = user;
    const pool_attr *a = &j->a;

    for (int64_t p = lo; p < hi; p++)
        for (int64_t s = 0; s < j->oh; s++) {
            const int64_t top = s * a->sh - a->ph, i0 = top < 0 ? -top : 0;
            const int64_t rows = (j->h - top < a->kh ? j->h - top : a->kh) - i0, to = (p * j->oh + s) * j->ow;
            j->k->max_pool(j->ow, j->x + (p * j->h + top + i0) * j->w * j->size, j->w, j->w, -a->pw, a->sw,
                           rows, i0, a->kw, j->y + to * j->size, j->at + to);
        }
}

static et_status max_fwd(et_node *n)
{
    const et_tensor *y = n->out[0];
    pool_job j;

    start(n, &j);
    j.x = et_contig(n, n->in[0]);
    j.y = et_out_data(n, 0);
    if (n->recording) {
        et_tensor *at = et_save_extra(n, 0, ET_U8, y->ndim, y->shape);
        j.at = at ? et_data_mut(at) : NULL;
    } else {
        j.at = et_scratch(n, (size_t)y->numel);
    }
    if (!j.x || !j.y || !j.at)
        return et_error_status();
    et_parallel_for(planes(n), j.grain, max_piece, &j);
    return ET_OK;
}

static void max_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const pool_job *j = user;
    const pool_attr *a = &j->a;
    const int64_t plane = j->h * j->w;
    /* wide windows: a number among zeros is written faster than it is sought in every place */
    const bool tiles = a->sh == a->kh && a->sw == a->kw && !a->ph && !a->pw && a->kw <= 3;
    int64_t tap[MOST_TAPS];

    for (int64_t t = 0; t < a->kh * a->kw; t++)
        tap[t] = t / a->kw * j->w + t % a->kw;
    for (int64_t p = lo; p < hi; p++) {
        char *dx = j->y + p * plane * j->size;
        if (!j->acc && (!tiles || j->oh * a->sh != j->h || j->ow * a->sw != j->w))
            memset(dx, 0, (size_t)(plane * j->size));
        for (int64_t s = 0; s < j->oh; s++) {
            const int64_t from = (p * j->oh + s) * j->ow;
            if (tiles)
                j->k->max_pool_bwd(j->ow, a->kh, a->sw, j->x + from * j->size, j->at + from,
                                   dx + s * a->sh * j->w * j->size, j->w, j->acc);
            else
                j->k->max_pool_scatter(j->ow, j->x + from * j->size, j->at + from, tap,
                                       (s * a->sh - a->ph) * j->w - a->pw, a->sw, dx);
        }
    }
}

static et_status max_bwd(et_node *n)
{
    pool_job j;

    start(n, &j);
    j.x = et_gy_data(n, 0);
    j.at = et_data_mut(n->saved[0]);
    j.y = et_gx(n, 0, &j.acc);
    if (!j.x || !j.at || !j.y)
        return et_error_status();
    et_parallel_for(planes(n), j.grain, max_bwd_piece, &j);
    return ET_OK;
}

ET_CALL(max1d_third, et_max_pool1d(in[0], 3, 3, 0))
ET_CALL(max1d_half, et_max_pool1d(in[0], 2, 2, 0))
ET_CALL(max1d_over, et_max_pool1d(in[0], 5, 2, 2))
ET_CALL(max2d_over, et_max_pool2d(in[0], 3, 3, 2, 2, 1, 1))
ET_CALL(max2d_tiles, et_max_pool2d(in[0], 2, 2, 2, 2, 0, 0))
ET_CALL(max2d_uneven, et_max_pool2d(in[0], 1, 4, 1, 4, 0, 0))
ET_CALL(max2d_columns, et_max_pool2d(in[0], 2, 1, 2, 1, 0, 0))
#define D3(b, c, l) {.ndim = 3, .shape = {b, c, l}, .lo = -8, .hi = 8, .kind = ET_ARG_DISTINCT}
#define D4(b, c, h, w) {.ndim = 4, .shape = {b, c, h, w}, .lo = -8, .hi = 8, .kind = ET_ARG_DISTINCT}
static const et_sample max1d_samples[] = {
    {.name = "thirds", .n_in = 1, .in = {D3(2, 3, 12)}, .call = max1d_third},
    {.name = "thirds past a vector", .n_in = 1, .in = {D3(1, 2, 113)}, .call = max1d_third},
    {.name = "halves with a remainder", .n_in = 1, .in = {D3(2, 1, 71)}, .call = max1d_half},
    {.name = "overlapping, padded", .n_in = 1, .in = {D3(1, 2, 41)}, .call = max1d_over},
    {.name = "empty", .n_in = 1, .in = {D3(0, 2, 6)}, .call = max1d_half},
};
const et_op et_op_max_pool1d = {
    .name = "max_pool1d", .args = "r", .n_out = 1, .flags = ET_OP_KINK | ET_OP_ONCE, .saves = ET_SAVE_NONE,
    .shape = max1d_shape, .fwd = max_fwd, .bwd = max_bwd, ET_SAMPLES(max1d_samples),
};

/** Maxima over windows along one axis: x [B, C, L] to [B, C, (L + 2 padding - kernel) / stride + 1], rounded
 *  down. The padding counts as -inf. The gradient goes to the first maximum of a window; NaN is the largest.
 *  ESHAPE; EINVAL for a kernel or stride below 1, a kernel above 256, a padding above half the kernel. */
et_tensor *(et_max_pool1d)(et_tensor *x, int64_t kernel, int64_t stride, int64_t padding)
{
    pool_attr a = {1, kernel, 1, stride, 0, padding};

    return et_apply1(&et_op_max_pool1d, 1, &x, &a, sizeof a);
}

static const et_sample max2d_samples[] = {
    {.name = "3 x 3, half size", .n_in = 1, .in = {D4(2, 1, 5, 9)}, .call = max2d_over},
    {.name = "2 x 2", .n_in = 1, .in = {D4(1, 2, 4, 8)}, .call = max2d_tiles},
    {.name = "2 x 2 with a remainder", .n_in = 1, .in = {D4(1, 1, 5, 23)}, .call = max2d_tiles},
    {.name = "1 x 4", .n_in = 1, .in = {D4(1, 1, 3, 16)}, .call = max2d_uneven},
    {.name = "1 x 4 with a remainder", .n_in = 1, .in = {D4(1, 1, 3, 17)}, .call = max2d_uneven},
    {.name = "2 x 1", .n_in = 1, .in = {D4(1, 2, 4, 19)}, .call = max2d_columns},
};
const et_op et_op_max_pool2d = {
    .name = "max_pool2d", .args = "r", .n_out = 1, .flags = ET_OP_KINK | ET_OP_ONCE, .saves = ET_SAVE_NONE,
    .shape = max2d_shape, .fwd = max_fwd, .bwd = max_bwd, ET_SAMPLES(max2d_samples),
};

/** Maxima over windows along two axes, x [B, C, H, W]; else as et_max_pool1d.
 *  At most 256 elements a window. */
et_tensor *(et_max_pool2d)(et_tensor *x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h,
                           int64_t stride_w, int64_t pad_h, int64_t pad_w)
{
    pool_attr a = {kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w};

    return et_apply1(&et_op_max_pool2d, 1, &x, &a, sizeof a);
}

/* --- means --- */

/* Columns that are summed together; windows from LONG columns on go one by one. */
enum { LINE = 1024, LONG = 64, FINE_WINDOWS = 3 };

/* Windows whose columns fit a line. */
static int64_t line_windows(const pool_attr *a)
{
    return a->kw < LONG ? min64(et_cut(LINE, FINE_WINDOWS), (LINE - a->kw) / a->sw + 1) : 1;
}

#define EACH_WINDOW(type) \
    for (int64_t t = 0; t < n; t++) { \
        type total = 0; \
        for (int64_t i = 0; i < a->kw; i++) \
            total += ((const type *)x)[t * a->sw + i]; \
        ((type *)y)[t] = total * (type)scale; \
    }

/* y[t] = scale times the sum of the kw columns of x from t sw on, for t < n */
static void avg_windows(const pool_job *j, int64_t n, const char *x, double scale, char *y)
{
    const pool_attr *a = &j->a;

    if (a->sw == 1) {
        j->k->affine(n, x, scale, 0, y);
        for (int64_t i = 1; i < a->kw; i++)
            j->k->axpby(n, scale, x + i * j->size, 1, y);
    } else if (j->size == sizeof(float))
        EACH_WINDOW(float)
    else
        EACH_WINDOW(double)
}

static void avg_piece(int64_t lo, int64_t hi, void *user)
{
    const pool_job *j = user;
    const pool_attr *a = &j->a;
    const double scale = 1 / (double)(a->kh * a->kw);
    const int64_t row = j->w * j->size, wide = line_windows(a);
    double line[LINE];

    for (int64_t p = lo; p < hi; p++)
        for (int64_t s = 0; s < j->oh; s++) {
            const char *x = j->x + (p * j->h + s * a->sh) * row;
            char *y = j->y + (p * j->oh + s) * j->ow * j->size;
            if (a->kw == 2 && a->sw == 2) {
                j->k->avg_pairs(j->ow, a->kh, x, j->w, scale, y);
                continue;
            }
            for (int64_t n, at = 0; at < j->ow; at += n, x += n * a->sw * j->size, y += n * j->size) {
                n = min64(wide, j->ow - at);
                if (a->kw >= LONG) {
                    double total = 0;
                    for (int64_t i = 0; i < a->kh; i++)
                        total += j->k->sum(a->kw, x + i * row);
                    j->k->fill(1, total * scale, y);
                    continue;
                }
                const int64_t columns = (n - 1) * a->sw + a->kw;
                for (int64_t i = 1; i < a->kh; i++)
                    j->k->binary[ET_B_ADD](columns, i == 1 ? x : (const char *)line, 1, x + i * row, 1, line);
                avg_windows(j, n, a->kh > 1 ? (const char *)line : x, scale, y);
            }
        }
}

#define EACH_WINDOW_BWD(type) \
    for (int64_t t = 0; t < n; t++) { \
        const type g = ((const type *)dy)[t] * (type)scale; \
        for (int64_t i = 0; i < a->kw; i++) \
            ((type *)line)[t * a->sw + i] += g; \
    }

static void avg_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const pool_job *j = user;
    const pool_attr *a = &j->a;
    const double scale = 1 / (double)(a->kh * a->kw);
    const int64_t row = j->w * j->size, wide = line_windows(a);
    double line[LINE];
    const bool pairs = a->kw == 2 && a->sw == 2 && a->kh == a->sh,
               whole = pairs && 2 * j->ow == j->w && j->oh * a->kh == j->h;

    for (int64_t p = lo; p < hi; p++) {
        char *plane = j->y + p * j->h * row;
        if (!j->acc && !whole)
            memset(plane, 0, (size_t)(j->h * row));
        for (int64_t s = 0; s < j->oh; s++) {
            const char *dy = j->x + (p * j->oh + s) * j->ow * j->size;
            char *dx = plane + s * a->sh * row;
            if (pairs) {
                j->k->avg_pairs_bwd(j->ow, a->kh, dy, scale, dx, j->w, j->acc);
                continue;
            }
            for (int64_t n, at = 0; at < j->ow; at += n, dx += n * a->sw * j->size, dy += n * j->size) {
                n = min64(wide, j->ow - at);
                if (a->kw >= LONG) {
                    j->k->affine(1, dy, scale, 0, line);
                    for (int64_t i = 0; i < a->kh; i++)
                        j->k->binary[ET_B_ADD](a->kw, dx + i * row, 1, line, 0, dx + i * row);
                    continue;
                }
                const int64_t columns = (n - 1) * a->sw + a->kw;
                memset(line, 0, (size_t)(columns * j->size));
                if (j->size == sizeof(float))
                    EACH_WINDOW_BWD(float)
                else
                    EACH_WINDOW_BWD(double)
                for (int64_t i = 0; i < a->kh; i++)
                    j->k->binary[ET_B_ADD](columns, dx + i * row, 1, line, 1, dx + i * row);
            }
        }
    }
}

static et_status avg_fwd(et_node *n)
{
    pool_job j;

    start(n, &j);
    j.x = et_contig(n, n->in[0]);
    j.y = et_out_data(n, 0);
    if (!j.x || !j.y)
        return et_error_status();
    et_parallel_for(planes(n), j.grain, avg_piece, &j);
    return ET_OK;
}

static et_status avg_bwd(et_node *n)
{
    pool_job j;

    start(n, &j);
    j.x = et_gy_data(n, 0);
    if (!j.x || !(j.y = et_gx(n, 0, &j.acc)))
        return et_error_status();
    et_parallel_for(planes(n), j.grain, avg_bwd_piece, &j);
    return ET_OK;
}

ET_CALL(avg1d_quarter, et_avg_pool1d(in[0], 4, 4))
ET_CALL(avg1d_over, et_avg_pool1d(in[0], 3, 2))
ET_CALL(avg1d_long, et_avg_pool1d(in[0], 66, 5))
ET_CALL(avg2d_step, et_avg_pool2d(in[0], 3, 3, 1, 1))
ET_CALL(avg2d_apart, et_avg_pool2d(in[0], 2, 2, 3, 4))
ET_CALL(avg2d_tiles, et_avg_pool2d(in[0], 2, 2, 2, 2))
ET_CALL(avg2d_over, et_avg_pool2d(in[0], 2, 3, 1, 2))
ET_CALL(avg2d_lap, et_avg_pool2d(in[0], 3, 2, 1, 2))
ET_CALL(avg2d_half, et_avg_pool2d(in[0], 2, 3, 2, 2))
ET_CALL(avg2d_one, et_avg_pool2d(in[0], 1, 1, 1, 1))
static const et_sample avg1d_samples[] = {
    {.name = "quarters", .n_in = 1, .in = {{3, {2, 3, 18}}}, .call = avg1d_quarter},
    {.name = "overlapping", .n_in = 1, .in = {{3, {2, 2, 38}}}, .call = avg1d_over},
    {.name = "long windows", .n_in = 1, .in = {{3, {1, 2, 78}}}, .call = avg1d_long},
    {.name = "empty", .n_in = 1, .in = {{3, {0, 2, 6}}}, .call = avg1d_over},
};
const et_op et_op_avg_pool1d = {
    .name = "avg_pool1d", .args = "r", .n_out = 1, .flags = ET_OP_ONCE, .saves = ET_SAVE_NONE,
    .shape = pool1d_shape, .fwd = avg_fwd, .bwd = avg_bwd, ET_SAMPLES(avg1d_samples),
};

/** Means over windows along one axis: x [B, C, L] to [B, C, (L - kernel) / stride + 1], rounded down.
 *  ESHAPE; EINVAL for a kernel or stride below 1. */
et_tensor *(et_avg_pool1d)(et_tensor *x, int64_t kernel, int64_t stride)
{
    pool_attr a = {1, kernel, 1, stride, 0, 0};

    return et_apply1(&et_op_avg_pool1d, 1, &x, &a, sizeof a);
}

static const et_sample avg2d_samples[] = {
    {.name = "2 x 2", .n_in = 1, .in = {{4, {2, 2, 5, 6}}}, .call = avg2d_tiles},
    {.name = "2 x 2 past a vector", .n_in = 1, .in = {{4, {1, 2, 4, 71}}}, .call = avg2d_tiles},
    {.name = "2 x 2 of even size", .n_in = 1, .in = {{4, {2, 1, 4, 34}}}, .call = avg2d_tiles},
    {.name = "rows that overlap", .n_in = 1, .in = {{4, {1, 2, 4, 10}}}, .call = avg2d_lap},
    {.name = "overlapping", .n_in = 1, .in = {{4, {1, 2, 4, 9}}}, .call = avg2d_over},
    {.name = "half size", .n_in = 1, .in = {{4, {1, 3, 5, 21}}}, .call = avg2d_half},
    {.name = "one further on", .n_in = 1, .in = {{4, {1, 2, 4, 21}}}, .call = avg2d_step},
    {.name = "apart", .n_in = 1, .in = {{4, {1, 2, 6, 23}}}, .call = avg2d_apart},
    {.name = "1 x 1", .n_in = 1, .in = {{4, {1, 2, 2, 3}}}, .call = avg2d_one},
};
const et_op et_op_avg_pool2d = {
    .name = "avg_pool2d", .args = "r", .n_out = 1, .flags = ET_OP_ONCE, .saves = ET_SAVE_NONE,
    .shape = pool2d_shape, .fwd = avg_fwd, .bwd = avg_bwd, ET_SAMPLES(avg2d_samples),
};

/** Means over windows along two axes, x [B, C, H, W]; else as et_avg_pool1d. */
et_tensor *(et_avg_pool2d)(et_tensor *x, int64_t kernel_h, int64_t kernel_w, int64_t stride_h,
                           int64_t stride_w)
{
    pool_attr a = {kernel_h, kernel_w, stride_h, stride_w, 0, 0};

    return et_apply1(&et_op_avg_pool2d, 1, &x, &a, sizeof a);
}

/* --- over all positions --- */

/* [B, C, positions] */
static et_tensor *flat(et_tensor *x, const char *name)
{
    if (x && x->ndim < 3) {
        et_raise_here(ET_ESHAPE, "%s: x is %s, expected [batch, channels, positions ..]", name,
                      et_shape_str(x));
        return NULL;
    }
    return x && x->ndim == 3 ? x : et_flatten(x, 2, -1);
}

ET_CALL(global_max, et_global_max_pool(in[0]))
ET_CALL(global_avg, et_global_avg_pool(in[0]))
static const et_sample global_max_samples[] = {
    {.name = "sequence", .n_in = 1, .in = {D3(2, 3, 7)}, .call = global_max},
    {.name = "image", .n_in = 1, .in = {D4(2, 3, 3, 4)}, .call = global_max},
};
const et_op et_op_global_max_pool = {.name = "global_max_pool", .args = "r", .flags = ET_OP_KINK, .n_out = 1,
                                     ET_SAMPLES(global_max_samples)};
/** Maximum over all axes but the first two: x [B, C, ..] to [B, C];
 *  the gradient goes to the first maximum. */
et_tensor *(et_global_max_pool)(et_tensor *x)
{
    et_tensor *f = flat(x, "global_max_pool");

    return f ? et_max(f, -1, false, NULL) : NULL;
}

static const et_sample global_avg_samples[] = {
    {.name = "sequence", .n_in = 1, .in = {{3, {2, 3, 7}}}, .call = global_avg},
    {.name = "image", .n_in = 1, .in = {{4, {2, 3, 3, 4}}}, .call = global_avg},
};
const et_op et_op_global_avg_pool = {.name = "global_avg_pool", .args = "r", .n_out = 1,
                                     ET_SAMPLES(global_avg_samples)};
/** Mean over all axes but the first two: x [B, C, ..] to [B, C]. */
et_tensor *(et_global_avg_pool)(et_tensor *x)
{
    et_tensor *f = flat(x, "global_avg_pool");

    return f ? et_mean(f, ET_DIMS(-1), false) : NULL;
}
