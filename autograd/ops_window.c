/* Windows of maps [B, H, W, C], for attention within them (Liu et al. 2021, arXiv 2103.14030): partition,
 * shift, relative positions, merging of patches. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

/* A map of `height` x `width` tokens in windows of `window` x `window`,
 * rolled back by `shift` along both axes. */
typedef struct window_attr {
    int64_t height, width, window, shift;
} window_attr;

typedef struct window_job {
    window_attr a;
    const et_kernels *k;
    int64_t bytes, channels; /* of a token */
    const char *map, *windows; /* one of them is written */
    bool reverse;
    int acc;
} window_job;

static et_status window_check(const et_node *n)
{
    const window_attr *a = ET_ATTR(n, window_attr);

    if (a->window < 1 || a->height < 1 || a->width < 1 || a->height % a->window || a->width % a->window)
        return et_op_raise(n, ET_ESHAPE, "windows of %lld do not divide a map of %lld x %lld",
                           (long long)a->window, (long long)a->height, (long long)a->width);
    if (a->shift < 0 || a->shift >= a->window)
        return et_op_raise(n, ET_EINVAL, "a shift of %lld, expected 0 .. %lld", (long long)a->shift,
                           (long long)a->window - 1);
    return ET_OK;
}

/* Copies (or adds) n tokens. */
static void tokens(const window_job *j, const char *from, const char *to, int64_t n)
{
    if (j->acc)
        j->k->axpby(n * j->channels, 1, from, 1, (char *)to);
    else
        memcpy((char *)to, from, (size_t)(n * j->bytes));
}

/* Rows of windows: row i of all [B (H/w) (W/w) w] rows is w neighbouring tokens of the map, in two runs where
 * the map's edge cuts them. */
static void window_piece(int64_t lo, int64_t hi, void *user)
{
    const window_job *j = user;
    const window_attr *a = &j->a;
    const int64_t w = a->window, cols = a->width / w, rows = a->height / w;

    for (int64_t i = lo; i < hi; i++) {
        const int64_t in = i % w, at = i / w % (rows * cols), b = i / w / (rows * cols);
        const int64_t y = (at / cols * w + in + a->shift) % a->height, x = at % cols * w + a->shift;
        const char *line = j->map + (b * a->height + y) * a->width * j->bytes,
                   *row = j->windows + i * w * j->bytes;
        const int64_t first = a->width - x < w ? a->width - x : w;
        for (int part = 0; part < 2; part++) {
            const int64_t n = part ? w - first : first;
            const char *of_map = line + (part ? 0 : x * j->bytes),
                       *of_row = row + (part ? first * j->bytes : 0);
            if (n > 0)
                tokens(j, j->reverse ? of_row : of_map, j->reverse ? of_map : of_row, n);
        }
    }
}

/* reverse: windows to map. */
static et_status window_run(const et_node *n, const void *from, const void *to, bool reverse, int acc)
{
    const et_tensor *x = n->in[0];
    const window_attr *a = ET_ATTR(n, window_attr);
    const int64_t channels = x->shape[x->ndim - 1], tokens_all = channels ? x->numel / channels : 0;
    window_job j = {.a = *a, .k = et_k(n), .channels = channels,
                    .bytes = channels * (int64_t)et_dtype_size(x->dtype), .map = reverse ? to : from,
                    .windows = reverse ? from : to, .reverse = reverse, .acc = acc};

    if (!from || !to)
        return et_error_status();
    et_parallel_for(tokens_all / a->window, et_row_grain(tokens_all / a->window, a->window * channels),
                    window_piece, &j);
    return ET_OK;
}

static et_status partition_shape(et_node *n)
{
    window_attr *a = n->attr;
    const et_tensor *x = n->in[0];

    if (x->ndim != 4)
        return et_op_raise(n, ET_ESHAPE, "x is %s, expected [B, H, W, C]", et_shape_str(x));
    a->height = x->shape[1];
    a->width = x->shape[2];
    if (window_check(n))
        return et_error_status();
    const int64_t area = a->window * a->window;
    return et_out(n, 0, x->dtype, 3, (const int64_t[]){x->shape[0] * (a->height * a->width / area), area,
                                                       x->shape[3]});
}

static et_status reverse_shape(et_node *n)
{
    const window_attr *a = ET_ATTR(n, window_attr);
    const et_tensor *x = n->in[0];

    if (window_check(n))
        return et_error_status();
    int64_t area = 0, each = 0; /* tokens of a window, windows of a map */
    if (!et_mul_i64(a->window, a->window, &area) ||
        !et_mul_i64(a->height / a->window, a->width / a->window, &each) || x->ndim != 3 ||
        x->shape[1] != area || x->shape[0] % each)
        return et_op_raise(n, ET_ESHAPE, "windows are %s, expected [B * %lld, %lld, C]", et_shape_str(x),
                           (long long)each, (long long)area);
    return et_out(n, 0, x->dtype, 4, (const int64_t[]){x->shape[0] / each, a->height, a->width, x->shape[2]});
}

static et_status partition_fwd(et_node *n)
{
    return window_run(n, et_contig(n, n->in[0]), et_out_data(n, 0), false, 0);
}
static et_status reverse_fwd(et_node *n)
{
    return window_run(n, et_contig(n, n->in[0]), et_out_data(n, 0), true, 0);
}

static et_status window_bwd(et_node *n, bool reverse)
{
    const void *gy = et_gy_data(n, 0);
    int acc;
    void *gx = et_gx(n, 0, &acc);

    return window_run(n, gy, gx, reverse, acc);
}

static et_status partition_bwd(et_node *n) { return window_bwd(n, true); }
static et_status reverse_bwd(et_node *n) { return window_bwd(n, false); }

static et_status partition_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const window_attr *a = ET_ATTR(n, window_attr);

    gx[0] = et_window_reverse(et_contiguous(gy[0]), a->height, a->width, a->window, a->shift);
    return gx[0] ? ET_OK : et_error_status();
}

static et_status reverse_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const window_attr *a = ET_ATTR(n, window_attr);

    gx[0] = et_window_partition(gy[0], a->window, a->shift);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(partition_plain, et_window_partition(in[0], 2, 0))
ET_CALL(partition_shifted, et_window_partition(in[0], 3, 1))
static const et_sample partition_samples[] = {
    {.name = "plain", .n_in = 1, .in = {{4, {2, 4, 6, 3}}}, .call = partition_plain},
    {.name = "shifted", .n_in = 1, .in = {{4, {1, 3, 6, 2}}}, .call = partition_shifted},
    {.name = "no maps", .n_in = 1, .in = {{4, {0, 3, 6, 2}}}, .call = partition_shifted},
};
const et_op et_op_window_partition = {
    .name = "window_partition", .args = "r", .n_out = 1, .shape = partition_shape, .fwd = partition_fwd,
    .bwd = partition_bwd, .bwd_graph = partition_graph, ET_SAMPLES(partition_samples),
};

/** x [B, H, W, C], rolled by -shift along both axes, in windows: [B (H/w) (W/w), w w, C] for w = window,
 *  windows and the tokens of each in row-major order. ESHAPE unless w divides H and W; EINVAL for a shift
 *  outside 0 .. w - 1. */
et_tensor *(et_window_partition)(et_tensor *x, int64_t window, int64_t shift)
{
    return et_apply1(&et_op_window_partition, 1, (et_tensor *const[]){x}, &(window_attr){0, 0, window, shift},
                     sizeof(window_attr));
}

ET_CALL(reverse_plain, et_window_reverse(in[0], 4, 6, 2, 0))
ET_CALL(reverse_shifted, et_window_reverse(in[0], 3, 6, 3, 2))
static const et_sample reverse_samples[] = {
    {.name = "plain", .n_in = 1, .in = {{3, {12, 4, 3}}}, .call = reverse_plain},
    {.name = "shifted", .n_in = 1, .in = {{3, {2, 9, 2}}}, .call = reverse_shifted},
};
const et_op et_op_window_reverse = {
    .name = "window_reverse", .args = "r", .n_out = 1, .shape = reverse_shape, .fwd = reverse_fwd,
    .bwd = reverse_bwd, .bwd_graph = reverse_graph, ET_SAMPLES(reverse_samples),
};

/** The inverse of et_window_partition: windows [B (H/w) (W/w), w w, C] to a map [B, height, width, C],
 *  rolled back. */
et_tensor *(et_window_reverse)(et_tensor *windows, int64_t height, int64_t width, int64_t window,
                               int64_t shift)
{
    return et_apply1(&et_op_window_reverse, 1, (et_tensor *const[]){windows},
                     &(window_attr){height, width, window, shift}, sizeof(window_attr));
}

/* --- merging and relative positions ------------------------------------------------------------------ */

ET_CALL(merge_call, et_patch_merge(in[0]))
static const et_sample merge_samples[] = {{.name = "4 x 6", .n_in = 1, .in = {{4, {2, 4, 6, 3}}},
                                           .call = merge_call}};
const et_op et_op_patch_merge = {.name = "patch_merge", .args = "r", .n_out = 1, ET_SAMPLES(merge_samples)};

/** Blocks of 2 x 2 tokens of x [B, H, W, C] side by side: [B, H/2, W/2, 4 C], in the order
 *  (row, column) = (even, even), (odd, even), (even, odd), (odd, odd). ESHAPE unless H and W are even. */
et_tensor *(et_patch_merge)(et_tensor *x)
{
    if (!x || x->ndim != 4 || x->shape[1] % 2 || x->shape[2] % 2) {
        et_raise_here(x ? ET_ESHAPE : ET_EINVAL,
                      "patch_merge: x is %s, expected [B, H, W, C] of even H and W", et_shape_str(x));
        return NULL;
    }
    if (!et_op_scope("patch_merge"))
        return NULL;
    const int64_t B = x->shape[0], H = x->shape[1] / 2, W = x->shape[2] / 2, C = x->shape[3];
    et_tensor *blocks = et_permute(et_reshape(x, ET_SHAPE(B, H, 2, W, 2, C)), ET_DIMS(0, 1, 3, 4, 2, 5));
    return et_reshape(blocks, ET_SHAPE(B, H, W, 4 * C));
}

ET_CALL(relative_call, et_relative_bias(in[0], 2, 3))
static const et_sample relative_samples[] = {{.name = "2 x 3", .n_in = 1, .in = {{2, {15, 2}}},
                                              .call = relative_call}};
const et_op et_op_relative_bias = {.name = "relative_bias", .args = "r", .n_out = 1,
                                   ET_SAMPLES(relative_samples)};

/** Attention bias by relative position in a window of height x width tokens (row-major): table
 *  [(2 height - 1) (2 width - 1), heads] gives [1, heads, N, N], N = height width, where tokens a (the query)
 *  and b have row (row_a - row_b + height - 1) (2 width - 1) + col_a - col_b + width - 1 of the table. */
et_tensor *(et_relative_bias)(et_tensor *table, int64_t height, int64_t width)
{
    if (height < 1 || width < 1 || height > INT32_MAX / 2 || width > INT32_MAX / 2) {
        et_raise_here(ET_ESHAPE, "relative_bias: a window of %lld x %lld tokens", (long long)height,
                      (long long)width);
        return NULL;
    }
    const int64_t rows = (2 * height - 1) * (2 * width - 1), N = height * width;
    if (!table || table->ndim != 2 || table->shape[0] != rows) {
        et_raise_here(table ? ET_ESHAPE : ET_EINVAL, "relative_bias: the table is %s, expected [%lld, heads]",
                      et_shape_str(table), (long long)rows);
        return NULL;
    }
    if (!et_op_scope("relative_bias"))
        return NULL;
    et_tensor *index = et_empty(ET_I32, 2, (const int64_t[]){N, N});
    int32_t *p = index ? et_data_mut(index) : NULL;
    for (int64_t a = 0; p && a < N; a++)
        for (int64_t b = 0; b < N; b++)
            p[a * N + b] = (int32_t)((a / width - b / width + height - 1) * (2 * width - 1) + a % width -
                                     b % width + width - 1);
    et_tensor *bias = p ? et_embedding(table, index, -1) : NULL; /* [N, N, heads] */
    return bias ? et_unsqueeze(et_contiguous(et_permute(bias, ET_DIMS(2, 0, 1))), 0) : NULL;
}
