/* A codebook: a trained row for each of a few styles, picked by weights that gradients pass through (one-hot
 * rows, or draws of et_gumbel_softmax). Lim, Chan and Loo, Style-conditioned music generation (ICME 2020). */
#ifndef ETUDE_NN_STYLE_CODEBOOK_H
#define ETUDE_NN_STYLE_CODEBOOK_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The rows [styles, width], U(-1, 1), as parameter `name` of `owner`, which owns them. NULL on failure:
 *  EINVAL for sizes below 1, and as et_module_param. */
et_tensor *et_style_codebook_new(et_module *owner, const char *name, int64_t styles, int64_t width,
                                 et_rng *rng);

/** z_s [B, width] = weights [B, styles] . rows, owned by the open scope. ESHAPE for other sizes. */
et_tensor *et_style_codebook(et_tensor *rows, et_tensor *weights);

#ifdef __cplusplus
}
#endif
#endif
