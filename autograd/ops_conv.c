/* Convolutions over one and two axes (cross-correlations: the kernel is not turned around). */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/conv.h"
#include "tensor/ints.h"

typedef struct conv_attr {
    int64_t sh, sw, ph, pw;
} conv_attr;

/* Sizes of the call, once its shapes have been checked. */
static et_conv sizes(const et_node *n)
{
    const conv_attr *a = ET_ATTR(n, conv_attr);
    const et_tensor *x = n->in[0], *w = n->in[1];
    const bool two = x->ndim == 4;
    et_conv c = {.batch = x->shape[0], .in = x->shape[1], .h = two ? x->shape[2] : 1,
                 .w = x->shape[x->ndim - 1], .out = w->shape[0], .kh = two ? w->shape[2] : 1,
                 .kw = w->shape[w->ndim - 1], .sh = a->sh, .sw = a->sw, .ph = a->ph, .pw = a->pw};

    c.sh = min64(c.sh, c.h + 2 * c.ph); /* longer ones do as much, but their products might not fit */
    c.sw = min64(c.sw, c.w + 2 * c.pw);
    c.oh = (c.h + 2 * c.ph - c.kh) / c.sh + 1;
    c.ow = (c.w + 2 * c.pw - c.kw) / c.sw + 1;
    return c;
}

static et_status conv_shape(et_node *n, int ndim)
{
    const conv_attr *a = ET_ATTR(n, conv_attr);
    const et_tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    const char *form = ndim == 3 ? "[batch, channels, length]" : "[batch, channels, height, width]";
    int64_t shape[4];

    if (x->ndim != ndim)
        return et_op_raise(n, ET_ESHAPE, "x is %s, expected %s", et_shape_str(x), form);
    if (w->ndim != ndim)
        return et_op_raise(n, ET_ESHAPE, "the weight is %s, expected %s", et_shape_str(w),
                           ndim == 3 ? "[out, in, kernel]" : "[out, in, kernel height, kernel width]");
    if (w->numel == 0)
        return et_op_raise(n, ET_ESHAPE, "the weight is %s, it has no elements", et_shape_str(w));
    if (x->shape[1] != w->shape[1])
        return et_op_raise(n, ET_ESHAPE, "x %s has %lld channels, the weight %s is for %lld", et_shape_str(x),
                           (long long)x->shape[1], et_shape_str(w), (long long)w->shape[1]);
    if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
        return et_op_raise(n, ET_ESHAPE, "the bias must be [%lld] for a weight %s, it is %s",
                           (long long)w->shape[0], et_shape_str(w), et_shape_str(b));
    if (a->sh < 1 || a->sw < 1)
        return et_op_raise(n, ET_EINVAL, "a stride of %lld, expected at least 1",
                           (long long)(a->sw < 1 ? a->sw : a->sh));
    if (a->ph < 0 || a->pw < 0)
        return et_op_raise(n, ET_EINVAL, "a padding of %lld, expected at least 0",
                           (long long)(a->pw < 0 ? a->pw : a->ph));
    for (int d = 2; d < ndim; d++) {
        const int64_t pad = d == ndim - 1 ? a->pw : a->ph, stride = d == ndim - 1 ? a->sw : a->sh;
        if (pad > (INT64_MAX / 4 - x->shape[d]) / 2 || x->shape[d] + 2 * pad < w->shape[d])
            return et_op_raise(n, ET_ESHAPE, "the kernel of %s is longer than x %s padded by %lld",
                               et_shape_str(w), et_shape_str(x), (long long)pad);
        shape[d] = (x->shape[d] + 2 * pad - w->shape[d]) / stride + 1;
    }
    shape[0] = x->shape[0];
    shape[1] = w->shape[0];
    return et_out(n, 0, x->dtype, ndim, shape);
}

static et_status conv1d_shape(et_node *n) { return conv_shape(n, 3); }
static et_status conv2d_shape(et_node *n) { return conv_shape(n, 4); }

static et_status conv_fwd(et_node *n)
{
    const et_conv c = sizes(n);
    const void *x = et_contig(n, n->in[0]), *w = et_contig(n, n->in[1]);
    const void *b = n->in[2] ? et_contig(n, n->in[2]) : NULL;
    void *y = et_out_data(n, 0);

    if (!x || !w || !y || (n->in[2] && !b))
        return et_error_status();
    return et_conv_forward(n->in[0]->dtype, &c, x, w, b, y);
}

/* --- backward --- */

/* The gradient of the bias from its channels' sums. */
static et_status give_bias(et_node *n, const double *sums)
{
    const int64_t out = n->in[2]->shape[0];
    int acc;
    void *db = et_gx(n, 2, &acc);

    if (!db)
        return et_error_status();
    for (int64_t o = 0; o < out; o++)
        et_set_real(n->in[2], db, o, sums[o] + (acc ? et_real_at(n->in[2], db, o) : 0));
    return ET_OK;
}

static et_status conv_bwd(et_node *n)
{
    const et_conv c = sizes(n);
    const et_dtype dtype = n->in[0]->dtype;
    const void *dy = et_gy_data(n, 0);
    double *sums = et_needs(n, 2) ? et_scratch(n, (size_t)c.out * sizeof(double)) : NULL;
    et_status status = ET_OK;
    int acc;

    if (!dy || (et_needs(n, 2) && !sums))
        return et_error_status();
    if (et_needs(n, 0)) {
        const void *w = et_contig(n, n->in[1]);
        void *dx = et_gx(n, 0, &acc);
        status = w && dx ? et_conv_input_grad(dtype, &c, w, dy, dx, acc) : et_error_status();
    }
    if (status == ET_OK && et_needs(n, 1)) {
        const void *x = et_contig(n, n->in[0]);
        void *dw = et_gx(n, 1, &acc);
        status = x && dw ? et_conv_weight_grad(dtype, &c, x, dy, dw, acc, sums) : et_error_status();
    } else if (sums) {
        et_conv_sums(dtype, &c, dy, sums);
    }
    if (status == ET_OK && sums)
        status = give_bias(n, sums);
    return status;
}

static unsigned conv_saves(const et_node *n)
{
    return (n->needs[1] ? ET_SAVE_IN(0) : 0u) | (n->needs[0] ? ET_SAVE_IN(1) : 0u);
}

/* --- samples --- */

#define X1(b, c, l) {.ndim = 3, .shape = {b, c, l}}
#define X2(b, c, h, w) {.ndim = 4, .shape = {b, c, h, w}}
#define V(n) {.ndim = 1, .shape = {n}}

ET_CALL(conv1d_plain, et_conv1d(in[0], in[1], in[2], 1, 0))
ET_CALL(conv1d_same, et_conv1d(in[0], in[1], in[2], 1, 1))
ET_CALL(conv1d_bare, et_conv1d(in[0], in[1], NULL, 1, 1))
ET_CALL(conv1d_third, et_conv1d(in[0], in[1], in[2], 3, 1))
ET_CALL(conv1d_far, et_conv1d(in[0], in[1], in[2], 1, 4))
static const et_sample conv1d_samples[] = {
    {.name = "plain", .n_in = 3, .in = {X1(2, 3, 7), X1(4, 3, 3), V(4)}, .call = conv1d_plain},
    {.name = "same length", .n_in = 3, .in = {X1(3, 2, 21), X1(7, 2, 3), V(7)}, .call = conv1d_same},
    {.name = "no bias", .n_in = 2, .in = {X1(2, 3, 8), X1(5, 3, 3)}, .call = conv1d_bare},
    {.name = "stride 3", .n_in = 3, .in = {X1(2, 3, 20), X1(5, 3, 3), V(5)}, .call = conv1d_third},
    {.name = "stride 3, long kernel", .n_in = 3, .in = {X1(2, 2, 19), X1(3, 2, 7), V(3)},
     .call = conv1d_third},
    {.name = "kernel 1", .n_in = 3, .in = {X1(2, 5, 6), X1(3, 5, 1), V(3)}, .call = conv1d_plain},
    {.name = "padding past the kernel", .n_in = 3, .in = {X1(1, 2, 3), X1(2, 2, 3), V(2)},
     .call = conv1d_far},
    {.name = "few taps", .n_in = 3, .in = {X1(1, 1, 600), X1(2, 1, 3), V(2)}, .call = conv1d_same},
    {.name = "few taps, stride 3", .n_in = 3, .in = {X1(2, 2, 140), X1(3, 2, 5), V(3)}, .call = conv1d_third},
    {.name = "past a block", .n_in = 3, .in = {X1(1, 1, 600), X1(2, 1, 33), V(2)}, .call = conv1d_same},
    {.name = "many channels", .n_in = 3, .in = {X1(1, 171, 3), X1(3, 171, 3), V(3)}, .call = conv1d_same},
    {.name = "wide output", .n_in = 3, .in = {X1(2, 1, 4), X1(67, 1, 3), V(67)}, .call = conv1d_same},
    {.name = "no samples", .n_in = 3, .in = {X1(0, 2, 6), X1(3, 2, 3), V(3)}, .call = conv1d_same},
};
const et_op et_op_conv1d = {
    .name = "conv1d", .args = "rrr?", .n_out = 1, .flags = ET_OP_ONCE, .saves_for = conv_saves,
    .shape = conv1d_shape, .fwd = conv_fwd, .bwd = conv_bwd, ET_SAMPLES(conv1d_samples),
};

/**
 * Convolution along one axis.
 *
 *   y[b, o, t] = bias[o] + sum over c, j of weight[o, c, j] x[b, c, t stride + j - padding]
 *
 * x       [B, in, L], zeros beyond both ends
 * weight  [out, in, kernel]
 * bias    [out], or NULL for none
 * return  [B, out, (L + 2 padding - kernel) / stride + 1], rounded down
 *
 * Kernels of 3 in float32 with stride 1 and many channels go by minimal filtering: an infinity or NaN in x
 * makes NaN of results, and one in the gradient of y of gradients of x, up to one place beyond those that see
 * it.
 *
 * Errors: ESHAPE if sizes do not fit or the kernel is longer than the padded row; EINVAL for a stride below 1
 * or a padding below 0. Can be differentiated once.
 */
et_tensor *(et_conv1d)(et_tensor *x, et_tensor *weight, et_tensor *bias, int64_t stride, int64_t padding)
{
    const conv_attr attr = {1, stride, 0, padding};

    return et_apply1(&et_op_conv1d, 3, (et_tensor *const[]){x, weight, bias}, &attr, sizeof attr);
}

ET_CALL(conv2d_plain, et_conv2d(in[0], in[1], in[2], 1, 1, 0, 0))
ET_CALL(conv2d_same, et_conv2d(in[0], in[1], in[2], 1, 1, 1, 1))
ET_CALL(conv2d_bare, et_conv2d(in[0], in[1], NULL, 1, 1, 1, 1))
ET_CALL(conv2d_half, et_conv2d(in[0], in[1], in[2], 2, 2, 1, 1))
ET_CALL(conv2d_uneven, et_conv2d(in[0], in[1], in[2], 3, 2, 0, 2))
ET_CALL(conv2d_patches, et_conv2d(in[0], in[1], in[2], 4, 4, 0, 0))
ET_CALL(conv2d_down, et_conv2d(in[0], in[1], in[2], 2, 1, 1, 1))
ET_CALL(conv2d_tall, et_conv2d(in[0], in[1], in[2], 1, 1, 0, 1))
static const et_sample conv2d_samples[] = {
    {.name = "plain", .n_in = 3, .in = {X2(2, 3, 5, 6), X2(4, 3, 3, 2), V(4)}, .call = conv2d_plain},
    {.name = "same size", .n_in = 3, .in = {X2(2, 2, 4, 16), X2(3, 2, 3, 3), V(3)}, .call = conv2d_same},
    {.name = "no bias", .n_in = 2, .in = {X2(2, 4, 5, 6), X2(3, 4, 3, 3)}, .call = conv2d_bare},
    {.name = "stride 2", .n_in = 3, .in = {X2(2, 2, 6, 7), X2(3, 2, 3, 3), V(3)}, .call = conv2d_half},
    {.name = "stride 2, many channels", .n_in = 3, .in = {X2(2, 3, 14, 17), X2(17, 3, 3, 3), V(17)},
     .call = conv2d_half},
    {.name = "uneven stride", .n_in = 3, .in = {X2(1, 2, 8, 5), X2(3, 2, 2, 4), V(3)}, .call = conv2d_uneven},
    {.name = "patches", .n_in = 3, .in = {X2(2, 1, 9, 8), X2(5, 1, 4, 4), V(5)}, .call = conv2d_patches},
    {.name = "tall kernel", .n_in = 3, .in = {X2(2, 6, 18, 16), X2(9, 6, 8, 3), V(9)}, .call = conv2d_tall},
    {.name = "tall kernel, long rows", .n_in = 3, .in = {X2(4, 1, 16, 82), X2(6, 1, 13, 5), V(6)},
     .call = conv2d_tall},
    {.name = "tall kernel, long columns", .n_in = 3, .in = {X2(1, 3, 75, 16), X2(6, 3, 8, 3), V(6)},
     .call = conv2d_tall},
    {.name = "few taps", .n_in = 3, .in = {X2(1, 1, 20, 32), X2(2, 1, 3, 3), V(2)}, .call = conv2d_same},
    {.name = "few taps, many channels", .n_in = 3, .in = {X2(3, 2, 13, 34), X2(13, 2, 3, 3), V(13)},
     .call = conv2d_down},
    {.name = "few taps, stride 2", .n_in = 3, .in = {X2(2, 1, 9, 70), X2(3, 1, 3, 3), V(3)},
     .call = conv2d_half},
    {.name = "few taps, long rows", .n_in = 3, .in = {X2(1, 1, 3, 96), X2(2, 1, 3, 3), V(2)},
     .call = conv2d_same},
    {.name = "rows past a block", .n_in = 3, .in = {X2(1, 1, 20, 32), X2(2, 1, 6, 6), V(2)},
     .call = conv2d_same},
    {.name = "rows for shared lines", .n_in = 3, .in = {X2(1, 1, 7, 100), X2(2, 1, 7, 7), V(2)},
     .call = conv2d_same},
    {.name = "no samples", .n_in = 3, .in = {X2(0, 2, 6, 6), X2(3, 2, 3, 3), V(3)}, .call = conv2d_same},
};
const et_op et_op_conv2d = {
    .name = "conv2d", .args = "rrr?", .n_out = 1, .flags = ET_OP_ONCE, .saves_for = conv_saves,
    .shape = conv2d_shape, .fwd = conv_fwd, .bwd = conv_bwd, ET_SAMPLES(conv2d_samples),
};

/**
 * Convolution along two axes.
 *
 *   y[b, o, s, t] = bias[o] + sum over c, i, j of
 *                   weight[o, c, i, j] x[b, c, s stride_h + i - pad_h, t stride_w + j - pad_w]
 *
 * x       [B, in, H, W], zeros beyond the edges
 * weight  [out, in, kernel height, kernel width]
 * bias    [out], or NULL for none
 * return  [B, out, H', W'] with H' = (H + 2 pad_h - kernel height) / stride_h + 1, rounded down, and W' alike
 *
 * In float32 with stride 1, kernels of 3 x 3 with many channels and those of several rows with few go by
 * minimal filtering: an infinity or NaN in x makes NaN of results beyond those that see it too, up to one row
 * and column, or five rows in the same columns; likewise in gradients.
 *
 * Errors: as et_conv1d. Can be differentiated once.
 */
et_tensor *(et_conv2d)(et_tensor *x, et_tensor *weight, et_tensor *bias, int64_t stride_h, int64_t stride_w,
                       int64_t pad_h, int64_t pad_w)
{
    const conv_attr attr = {stride_h, stride_w, pad_h, pad_w};

    return et_apply1(&et_op_conv2d, 3, (et_tensor *const[]){x, weight, bias}, &attr, sizeof attr);
}
