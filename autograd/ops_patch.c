/* Images [B, C, H, W] as sequences of patches, and back. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

/* True if x is an image and the sizes are positive. */
static bool fit(const char *op, const et_tensor *x, int64_t h, int64_t w, int64_t step_h, int64_t step_w)
{
    if (!x)
        et_raise_here(ET_EINVAL, "%s: operand 0 is NULL", op);
    else if (x->ndim != 4)
        et_raise_here(ET_ESHAPE, "%s: x is %s, expected [B, C, H, W]", op, et_shape_str(x));
    else if (h < 1 || w < 1 || step_h < 1 || step_w < 1)
        et_raise_here(ET_EINVAL, "%s: patches of %lld x %lld, %lld and %lld apart", op, (long long)h,
                      (long long)w, (long long)step_h, (long long)step_w);
    else
        return et_op_scope(op);
    return false;
}

ET_CALL(patchify_call, et_patchify(in[0], 2, 3))
ET_CALL(patchify_whole, et_patchify(in[0], 2, 2))
static const et_sample patchify_samples[] = {
    {.name = "2 x 3", .n_in = 1, .in = {{4, {2, 3, 4, 6}}}, .call = patchify_call},
    {.name = "one patch", .n_in = 1, .in = {{4, {1, 1, 2, 2}}}, .call = patchify_whole},
    {.name = "no images", .n_in = 1, .in = {{4, {0, 1, 2, 2}}}, .call = patchify_whole},
};
const et_op et_op_patchify = {.name = "patchify", .args = "r", .n_out = 1, ET_SAMPLES(patchify_samples)};

/** x [B, C, H, W] cut into blocks of h x w: [B, (H/h) (W/w), C h w]. Patches are in row-major
 *  order, and so are the elements [C, h, w] of each, as in a convolution's weight. ESHAPE unless
 *  h divides H and w divides W. */
et_tensor *(et_patchify)(et_tensor *x, int64_t h, int64_t w)
{
    if (!fit("patchify", x, h, w, h, w))
        return NULL;
    int64_t B = x->shape[0], C = x->shape[1], rows = x->shape[2] / h, cols = x->shape[3] / w;
    if (rows * h != x->shape[2] || cols * w != x->shape[3]) {
        et_raise_here(ET_ESHAPE, "patchify: %s is not made of whole patches of %lld x %lld", et_shape_str(x),
                      (long long)h, (long long)w);
        return NULL;
    }
    et_tensor *blocks = et_permute(et_reshape(x, ET_SHAPE(B, C, rows, h, cols, w)),
                                   ET_DIMS(0, 2, 4, 1, 3, 5));
    return et_reshape(blocks, ET_SHAPE(B, rows * cols, C * h * w));
}

ET_CALL(unpatchify_call, et_unpatchify(in[0], 3, 4, 6, 2, 3))
ET_CALL(unpatchify_whole, et_unpatchify(in[0], 1, 2, 2, 2, 2))
static const et_sample unpatchify_samples[] = {
    {.name = "2 x 3", .n_in = 1, .in = {{3, {2, 4, 18}}}, .call = unpatchify_call},
    {.name = "one patch", .n_in = 1, .in = {{3, {1, 1, 4}}}, .call = unpatchify_whole},
};
const et_op et_op_unpatchify = {.name = "unpatchify", .args = "r", .n_out = 1,
                                ET_SAMPLES(unpatchify_samples)};

/** The inverse of et_patchify: patches [B, (H/h) (W/w), C h w] to images [B, C, H, W], for
 *  channels C, height H and width W. ESHAPE where these sizes do not fit. */
et_tensor *(et_unpatchify)(et_tensor *patches, int64_t channels, int64_t height, int64_t width, int64_t h,
                           int64_t w)
{
    int64_t count;

    if (!patches) {
        et_raise_here(ET_EINVAL, "unpatchify: operand 0 is NULL");
        return NULL;
    }
    if (!et_op_scope("unpatchify"))
        return NULL;
    if (h < 1 || w < 1 || channels < 1 || height < 0 || width < 0 || height % h || width % w ||
        patches->ndim != 3 || !et_mul_i64(height / h, width / w, &count) || patches->shape[1] != count ||
        patches->shape[2] / h / w != channels || patches->shape[2] % (h * w)) {
        et_raise_here(ET_ESHAPE,
                      "unpatchify: patches are %s, for %lld channels of %lld x %lld in blocks of %lld x %lld",
                      et_shape_str(patches), (long long)channels, (long long)height, (long long)width,
                      (long long)h, (long long)w);
        return NULL;
    }
    int64_t B = patches->shape[0];
    et_tensor *blocks = et_reshape(patches, ET_SHAPE(B, height / h, width / w, channels, h, w));
    return et_reshape(et_permute(blocks, ET_DIMS(0, 3, 1, 4, 2, 5)), ET_SHAPE(B, channels, height, width));
}

/* Dimension dim of x as `count` runs of `size` elements, `step` apart, end to end. */
static et_tensor *runs(et_tensor *x, int dim, int64_t count, int64_t size, int64_t step)
{
    if (step == size)
        return et_slice(x, dim, 0, count * size, 1);
    et_tensor *index = et_empty(ET_I32, 1, (const int64_t[]){count * size});
    int32_t *p = index ? et_data_mut(index) : NULL;
    for (int64_t i = 0; p && i < count * size; i++)
        p[i] = (int32_t)(i / size * step + i % size);
    return index ? et_index_select(x, dim, index) : NULL;
}

ET_CALL(patches_overlap, et_patches(in[0], 3, 2, 2, 1))
ET_CALL(patches_gaps, et_patches(in[0], 1, 2, 2, 3))
ET_CALL(patches_rest, et_patches(in[0], 2, 2, 2, 2))
static const et_sample patches_samples[] = {
    {.name = "overlapping", .n_in = 1, .in = {{4, {2, 2, 7, 4}}}, .call = patches_overlap},
    {.name = "with gaps", .n_in = 1, .in = {{4, {1, 2, 5, 6}}}, .call = patches_gaps},
    {.name = "a rest left out", .n_in = 1, .in = {{4, {1, 1, 5, 3}}}, .call = patches_rest},
};
const et_op et_op_patches = {.name = "patches", .args = "r", .n_out = 1, ET_SAMPLES(patches_samples)};

/** Patches of h x w of x [B, C, H, W] that begin step_h rows and step_w columns apart, and may
 *  overlap: [B, R S, C h w] with R = floor((H - h) / step_h) + 1 and S likewise; order as in
 *  et_patchify. A linear layer after it is a convolution without padding. ESHAPE for an image
 *  smaller than a patch. */
et_tensor *(et_patches)(et_tensor *x, int64_t h, int64_t w, int64_t step_h, int64_t step_w)
{
    if (!fit("patches", x, h, w, step_h, step_w))
        return NULL;
    if (x->shape[2] < h || x->shape[3] < w) {
        et_raise_here(ET_ESHAPE, "patches: %s is smaller than a patch of %lld x %lld", et_shape_str(x),
                      (long long)h, (long long)w);
        return NULL;
    }
    int64_t rows = (x->shape[2] - h) / step_h + 1, cols = (x->shape[3] - w) / step_w + 1;
    if (x->shape[2] > INT32_MAX || x->shape[3] > INT32_MAX) {
        et_raise_here(ET_ESHAPE, "patches: %s has too many rows or columns", et_shape_str(x));
        return NULL;
    }
    return et_patchify(runs(runs(x, 2, rows, h, step_h), 3, cols, w, step_w), h, w);
}
