/* Dropout as a layer: on in training, nothing in evaluation. */
#ifndef ETUDE_NN_DROPOUT_H
#define ETUDE_NN_DROPOUT_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_dropout_layer {
    et_module module;
    double p;
    et_rng *rng; /* NULL: the thread's default generator, which a training loop sets. May be set. */
} et_dropout_layer;

/** p: probability that an element becomes 0, the others are divided by 1 - p.
 *  EINVAL unless 0 <= p < 1. */
et_dropout_layer *et_dropout_layer_new(et_module *parent, const char *name, double p);
/** x of any shape; x itself in evaluation. */
et_tensor *et_dropout_layer_forward(const et_dropout_layer *l, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
