/* Convolution layers over one and two axes. */
#ifndef ETUDE_NN_CONV_H
#define ETUDE_NN_CONV_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sizes of a layer. Along one axis only the fields ending in _w count. */
typedef struct et_conv_config {
    int64_t in, out;
    int64_t kernel_h, kernel_w;
    int64_t stride_h, stride_w; /* 0 counts as 1 */
    int64_t pad_h, pad_w;
    bool no_bias;
} et_conv_config;

/* Parameters: weight [out, in, kernel_w] or [out, in, kernel_h, kernel_w], bias [out]. */
typedef struct et_conv_layer {
    et_module module;
    et_conv_config config;
    et_tensor *weight;
    et_tensor *bias; /* or NULL */
} et_conv_layer;

/** Initialised U(+-1/sqrt(in kernel)), weight and bias. rng NULL: the thread's default generator. NULL on
 *  failure: EINVAL for sizes that make no sense, and as et_module_new. */
et_conv_layer *et_conv1d_layer_new(et_module *parent, const char *name, const et_conv_config *config,
                                   et_rng *rng);
et_conv_layer *et_conv2d_layer_new(et_module *parent, const char *name, const et_conv_config *config,
                                   et_rng *rng);

/** x [B, in, L] or [B, in, H, W], as the layer was made. Errors as et_conv1d, et_conv2d. */
et_tensor *et_conv_layer_forward(const et_conv_layer *l, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
