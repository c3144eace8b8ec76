/* Multi-layer perceptron: linear layers with an activation (and dropout) between them. */
#ifndef ETUDE_NN_MLP_H
#define ETUDE_NN_MLP_H

#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_mlp_config {
    const int64_t *widths; /* of the input, of each hidden layer, of the output */
    int n_widths;          /* at least 2 */
    et_act act;            /* after every layer but the last */
    double dropout;        /* behind it, in training */
    bool no_bias;
} et_mlp_config;

/* Layers fc1, fc2, ... */
typedef struct et_mlp {
    et_module module;
    et_linear_layer **layers;
    int n_layers;
    et_act act;
    double dropout;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_mlp;

/** EINVAL for fewer than two widths or one below 1, or a dropout outside [0, 1). */
et_mlp *et_mlp_new(et_module *parent, const char *name, const et_mlp_config *config, et_rng *rng);
/** x [.., first width]; [.., last width]. */
et_tensor *et_mlp_forward(const et_mlp *m, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
