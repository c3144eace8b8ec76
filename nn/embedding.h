/* Embedding: a learned row for every token. */
#ifndef ETUDE_NN_EMBEDDING_H
#define ETUDE_NN_EMBEDDING_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameter: weight [n, d]. */
typedef struct et_embedding_layer {
    et_module module;
    et_tensor *weight;
    int64_t padding; /* this row stays zero and gets no gradient; -1: none */
} et_embedding_layer;

/** n rows of width d, drawn from N(0, 1), row `padding` (-1: none) zero. EINVAL for sizes
 *  below 1 or a padding outside. */
et_embedding_layer *et_embedding_layer_new(et_module *parent, const char *name, int64_t n, int64_t d,
                                           int64_t padding, et_rng *rng);
/** ids int32 [..]; [.., d]. EINVAL for an id outside. */
et_tensor *et_embedding_layer_forward(const et_embedding_layer *l, et_tensor *ids);

#ifdef __cplusplus
}
#endif
#endif
