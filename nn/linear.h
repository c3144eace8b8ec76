/* Linear layer: y = act(x W^T + b). */
#ifndef ETUDE_NN_LINEAR_H
#define ETUDE_NN_LINEAR_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters: weight [out, in], bias [out]. */
typedef struct et_linear_layer {
    et_module module;
    et_tensor *weight;
    et_tensor *bias; /* or NULL */
} et_linear_layer;

/** Initialised U(+-1/sqrt(in)), weight and bias. rng NULL: the thread's default generator.
 *  NULL on failure: EINVAL for a size below 1, and as et_module_new. */
et_linear_layer *et_linear_layer_new(et_module *parent, const char *name, int64_t in, int64_t out, bool bias,
                                     et_rng *rng);

/** With a bias, as Glorot and Bengio 2010 begin: weight U(+-sqrt(6 / (in + out))), bias 0. Else as
 *  et_linear_layer_new. */
et_linear_layer *et_linear_layer_xavier_new(et_module *parent, const char *name, int64_t in, int64_t out,
                                            et_rng *rng);

/** x [.., in]; result [.., out], owned by the open scope. Errors as et_linear. */
et_tensor *et_linear_layer_forward(const et_linear_layer *l, et_tensor *x);
/** With the activation in the same pass. */
et_tensor *et_linear_layer_forward_act(const et_linear_layer *l, et_tensor *x, et_act act);

#ifdef __cplusplus
}
#endif
#endif
