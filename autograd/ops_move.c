/* Elements moved about: flip, roll, repeat, pad. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

#if 0
/* ops.h: begin */
/* What et_pad puts around a tensor. */
typedef enum et_pad_mode {
    ET_PAD_CONSTANT,
    ET_PAD_REFLECT,  /* mirrored, without repeating the edge: c b | a b c | b a */
    ET_PAD_REPLICATE /* the edge repeated: a a | a b c | c c */
} et_pad_mode;
/* ops.h: end */
#endif

/* Rows of x along dim by a list of `count` numbers that `at` computes. */
static et_tensor *by_index(et_tensor *x, int dim, int64_t count,
                           int64_t (*at)(int64_t i, int64_t size, int64_t by), int64_t by)
{
    et_tensor *index = et_empty(ET_I32, 1, &count);
    int32_t *p = index ? et_data_mut(index) : NULL;

    for (int64_t i = 0; p && i < count; i++)
        p[i] = (int32_t)at(i, et_size(x, dim), by);
    return p ? et_index_select(x, dim, index) : NULL;
}

/* x and dim are fit for by_index; raises the error otherwise. */
static bool fit(const char *op, const et_tensor *x, int dim)
{
    if (!x)
        et_raise_here(ET_EINVAL, "%s: operand 0 is NULL", op);
    else if (dim < -x->ndim || dim >= x->ndim)
        et_raise_here(ET_EINVAL, "%s: dimension %d of %s", op, dim, et_shape_str(x));
    else
        return et_op_scope(op);
    return false;
}

static int64_t flipped(int64_t i, int64_t size, int64_t by)
{
    (void)by;
    return size - 1 - i;
}

static int64_t rolled(int64_t i, int64_t size, int64_t by) { return ((i - by % size) % size + size) % size; }

static int64_t clamped(int64_t i, int64_t size, int64_t by)
{
    i -= by;
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

static int64_t mirrored(int64_t i, int64_t size, int64_t by)
{
    i -= by;
    return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
}

/** x in reverse order along dim. */
et_tensor *(et_flip)(et_tensor *x, int dim)
{
    return fit("flip", x, dim) ? by_index(x, dim, et_size(x, dim), flipped, 0) : NULL;
}

/** x moved by `shift` along dim; what leaves at one end enters at the other. */
et_tensor *(et_roll)(et_tensor *x, int64_t shift, int dim)
{
    return fit("roll", x, dim) ? by_index(x, dim, et_size(x, dim), rolled, shift) : NULL;
}

/** x repeated times[d] times along each dimension;
 *  further dimensions are put in front, as in PyTorch's repeat. */
et_tensor *(et_repeat)(et_tensor *x, int n, const int64_t *times)
{
    int64_t shape[2 * ET_MAX_DIMS], wide[2 * ET_MAX_DIMS], out[ET_MAX_DIMS];

    if (!x || n < x->ndim || n > ET_MAX_DIMS || !times) {
        et_raise_here(ET_EINVAL, "repeat: expected at least as many counts as %s has dimensions",
                      et_shape_str(x));
        return NULL;
    }
    if (n > ET_MAX_DIMS / 2) { /* one dimension at a time */
        for (int d = 0; x && d < n; d++) {
            et_tensor *copies[256];
            if (times[d] < 1 || times[d] > 256) {
                et_raise_here(ET_EINVAL, "repeat: %lld times along dimension %d", (long long)times[d], d);
                return NULL;
            }
            if (d == 0)
                while (x && x->ndim < n)
                    x = et_unsqueeze(x, 0);
            for (int64_t i = 0; i < times[d]; i++)
                copies[i] = x;
            x = et_concat((int)times[d], copies, d);
        }
        return x;
    }
    for (int d = 0; d < n; d++) {
        int xd = d - (n - x->ndim);
        int64_t size = xd < 0 ? 1 : x->shape[xd];
        shape[2 * d] = 1;
        shape[2 * d + 1] = wide[2 * d + 1] = size;
        wide[2 * d] = times[d];
        if (times[d] < 0 || !et_mul_i64(size, times[d], &out[d])) {
            et_raise_here(ET_EINVAL, "repeat: %lld times along dimension %d", (long long)times[d], d);
            return NULL;
        }
    }
    return et_reshape(et_expand(et_reshape(x, 2 * n, shape), 2 * n, wide), n, out);
}

/* --- pad -------------------------------------------------------------------------------------- */

static et_tensor *pad_one(et_tensor *x, int dim, int64_t before, int64_t after, et_pad_mode mode,
                          double value)
{
    int64_t size = et_size(x, dim), shape[ET_MAX_DIMS];

    if (before < 0 || after < 0) {
        et_raise_here(ET_EINVAL, "pad: negative widths are not taken; use et_slice");
        return NULL;
    }
    if (before > INT32_MAX || after > INT32_MAX) {
        et_raise_here(ET_ESHAPE, "pad: %lld and %lld elements around dimension %d are too many",
                      (long long)before, (long long)after, dim);
        return NULL;
    }
    if (before == 0 && after == 0)
        return x;
    if (mode == ET_PAD_CONSTANT) {
        et_tensor *parts[3];
        int count = 0;
        memcpy(shape, x->shape, sizeof shape);
        for (int i = 0; i < 3; i++) {
            shape[dim] = i == 0 ? before : after;
            if (i == 1)
                parts[count++] = x;
            else if (shape[dim] && !(parts[count++] = et_full(x->dtype, x->ndim, shape, value)))
                return NULL;
        }
        return et_concat(count, parts, dim);
    }
    if (size == 0 || (mode == ET_PAD_REFLECT && (before >= size || after >= size))) {
        et_raise_here(ET_ESHAPE, "pad: %lld and %lld elements around dimension %d of %s cannot be mirrored",
                      (long long)before, (long long)after, dim, et_shape_str(x));
        return NULL;
    }
    return by_index(x, dim, before + size + after, mode == ET_PAD_REFLECT ? mirrored : clamped, before);
}

/** x with widths[2 i] elements before and widths[2 i + 1] after dimension -1 - i, for i < n_dims: the last
 *  dimension first, as in torch.nn.functional.pad. value is for ET_PAD_CONSTANT. ESHAPE where a reflection is
 *  wider than the tensor. */
et_tensor *(et_pad)(et_tensor *x, int n_dims, const int64_t *widths, et_pad_mode mode, double value)
{
    if (!x || !widths || n_dims < 0 || n_dims > x->ndim) {
        et_raise_here(ET_EINVAL, "pad: widths for %d dimensions of %s", n_dims, et_shape_str(x));
        return NULL;
    }
    if (!et_op_scope("pad"))
        return NULL;
    for (int i = 0; x && i < n_dims; i++)
        x = pad_one(x, x->ndim - 1 - i, widths[2 * i], widths[2 * i + 1], mode, value);
    return x;
}

ET_CALL(flip_call, et_flip(in[0], -1))
ET_CALL(roll_call, et_roll(in[0], 2, 0))
ET_CALL(roll_back, et_roll(in[0], -3, 1))
ET_CALL(repeat_call, et_repeat(in[0], ET_SHAPE(2, 1, 3)))
ET_CALL(pad_constant, et_pad(in[0], 2, (const int64_t[]){1, 2, 0, 3}, ET_PAD_CONSTANT, 0.5))
ET_CALL(pad_reflect, et_pad(in[0], 1, (const int64_t[]){2, 3}, ET_PAD_REFLECT, 0))
ET_CALL(pad_replicate, et_pad(in[0], 2, (const int64_t[]){2, 1, 1, 1}, ET_PAD_REPLICATE, 0))
static const et_sample flip_samples[] = {{.name = "last", .n_in = 1, .in = {{2, {2, 5}}}, .call = flip_call}};
static const et_sample roll_samples[] = {
    {.name = "forth", .n_in = 1, .in = {{2, {5, 2}}}, .call = roll_call},
    {.name = "back", .n_in = 1, .in = {{2, {2, 4}}}, .call = roll_back},
};
static const et_sample repeat_samples[] = {{.name = "matrix", .n_in = 1, .in = {{2, {2, 3}}},
                                            .call = repeat_call}};
static const et_sample pad_samples[] = {
    {.name = "constant", .n_in = 1, .in = {{2, {2, 3}}}, .call = pad_constant},
    {.name = "reflect", .n_in = 1, .in = {{2, {2, 4}}}, .call = pad_reflect},
    {.name = "replicate", .n_in = 1, .in = {{3, {1, 2, 3}}}, .call = pad_replicate},
};
const et_op et_op_flip = {.name = "flip", .args = "r", .n_out = 1, ET_SAMPLES(flip_samples)};
const et_op et_op_roll = {.name = "roll", .args = "r", .n_out = 1, ET_SAMPLES(roll_samples)};
const et_op et_op_repeat = {.name = "repeat", .args = "r", .n_out = 1, ET_SAMPLES(repeat_samples)};
const et_op et_op_pad = {.name = "pad", .args = "r", .n_out = 1, ET_SAMPLES(pad_samples)};
