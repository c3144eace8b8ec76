/* Layer normalisation over the last axis (Ba, Kiros and Hinton 2016):
 * y = (x - mean) / sqrt(var + eps) weight + bias. */
#ifndef ETUDE_NN_LAYER_NORM_H
#define ETUDE_NN_LAYER_NORM_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters: weight [d], bias [d]. */
typedef struct et_layer_norm_layer {
    et_module module;
    et_tensor *weight, *bias;
    double eps;
} et_layer_norm_layer;

/** weight 1, bias 0. EINVAL unless d >= 1 and eps > 0. */
et_layer_norm_layer *et_layer_norm_layer_new(et_module *parent, const char *name, int64_t d, double eps);
/** x [.., d]; the same shape. */
et_tensor *et_layer_norm_layer_forward(const et_layer_norm_layer *l, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
