/* Masks from lengths. */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "nn/mask.h"

static et_status check(const et_tensor *lengths, int64_t T)
{
    char text[ET_SHAPE_TEXT];

    if (!lengths)
        return et_raise(ET_EINVAL, "mask: the lengths are NULL");
    if (lengths->dtype != ET_I32)
        return et_raise(ET_EDTYPE, "mask: lengths are %s, expected int32", et_dtype_name(lengths->dtype));
    if (lengths->ndim != 1 || T < 0)
        return et_raise(ET_ESHAPE, "mask: lengths are %s, expected [B]",
                        et_shape_text(text, lengths->ndim, lengths->shape));
    const int32_t *n = et_data_i32(lengths);
    for (int64_t i = 0; n && i < lengths->shape[0]; i++) {
        const int32_t len = n[i * lengths->strides[0]];
        if (len < 0 || len > T)
            return et_raise(ET_EINVAL, "mask: length %" PRId32 " of row %" PRId64 " is not in 0 .. %" PRId64,
                            len, i, T);
    }
    return n ? ET_OK : et_error_status();
}

/* A tensor of `shape` (whose elements are [B, T]) with 1 or 0, or 0 or -inf. */
static et_tensor *make(const et_tensor *lengths, int64_t T, et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *m = et_empty(dtype, ndim, shape);
    const int32_t *n = et_data_i32(lengths);
    void *to = m ? et_data_mut(m) : NULL;

    if (!to)
        return NULL;
    for (int64_t i = 0; i < lengths->shape[0]; i++)
        for (int64_t t = 0; t < T; t++) {
            const bool valid = t < n[i * lengths->strides[0]];
            if (dtype == ET_U8)
                ((uint8_t *)to)[i * T + t] = valid;
            else if (dtype == ET_F32)
                ((float *)to)[i * T + t] = valid ? 0 : -INFINITY;
            else
                ((double *)to)[i * T + t] = valid ? 0 : -INFINITY;
        }
    return m;
}

et_tensor *et_mask_lengths(const et_tensor *lengths, int64_t T)
{
    return check(lengths, T) ? NULL : make(lengths, T, ET_U8, ET_SHAPE(lengths->shape[0], T));
}

et_tensor *et_mask_keys(const et_tensor *lengths, int64_t T)
{
    return check(lengths, T) ? NULL : make(lengths, T, ET_U8, ET_SHAPE(lengths->shape[0], 1, 1, T));
}

et_tensor *et_mask_additive(const et_tensor *lengths, int64_t T, et_dtype dtype)
{
    if (!et_dtype_is_real(dtype)) {
        et_raise(ET_EDTYPE, "mask: %s is no type for scores", et_dtype_name(dtype));
        return NULL;
    }
    return check(lengths, T) ? NULL : make(lengths, T, dtype, ET_SHAPE(lengths->shape[0], T));
}
