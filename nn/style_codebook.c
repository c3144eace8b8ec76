/* The codebook of styles. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/style_codebook.h"

et_tensor *et_style_codebook_new(et_module *owner, const char *name, int64_t styles, int64_t width,
                                 et_rng *rng)
{
    if (et_error_status())
        return NULL;
    if (styles < 1 || width < 1) {
        et_raise(ET_EINVAL, "style codebook %s: %" PRId64 " rows of width %" PRId64, name ? name : "",
                 styles, width);
        return NULL;
    }
    et_tensor *rows = et_module_param(owner, name, ET_SHAPE(styles, width));
    return rows && et_init_uniform(rows, 1, rng) == ET_OK ? rows : NULL;
}

et_tensor *et_style_codebook(et_tensor *rows, et_tensor *weights)
{
    if (et_error_status() || !rows || !weights)
        return et_fail("style codebook");
    if (rows->ndim != 2 || weights->ndim != 2 || weights->shape[1] != rows->shape[0]) {
        char of_rows[ET_SHAPE_TEXT], of_weights[ET_SHAPE_TEXT];
        et_raise(ET_ESHAPE,
                 "style codebook: rows are %s and weights %s, expected [styles, width] and [B, styles]",
                 et_shape_text(of_rows, rows->ndim, rows->shape),
                 et_shape_text(of_weights, weights->ndim, weights->shape));
        return NULL;
    }
    return et_matmul(weights, rows); /* z_s = z_cat * codebook */
}
