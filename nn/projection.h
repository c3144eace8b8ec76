/* Heads that bring the result of an encoder into a space shared with another's:
 *
 *   linear     y = W x + b
 *   mlp        y = W_2 act(W_1 x + b_1) + b_2, act being GELU or ReLU
 *   skip-mlp   p = W_1 x + b_1,   y = LN(p + dropout(W_2 gelu(p) + b_2))
 *
 * The third is the projection of Shariatnia's OpenAI-CLIP, and without biases that of Elizalde et al. 2022
 * (CLAP, arXiv 2206.04769). */
#ifndef ETUDE_NN_PROJECTION_H
#define ETUDE_NN_PROJECTION_H

#include "nn/layer_norm.h"
#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_projection_kind { ET_PROJECTION_LINEAR, ET_PROJECTION_MLP,
                                  ET_PROJECTION_SKIP } et_projection_kind;

typedef struct et_projection_config {
    et_projection_kind kind;
    int64_t in, out;
    int64_t hidden; /* of the mlp; the other two ignore it */
    bool relu;      /* in the mlp */
    bool no_bias;   /* in the linear layers */
    double dropout; /* of skip-mlp, in training */
    double eps;     /* of its layer norm; 0: 1e-5 */
    const char *norm_name; /* of that in the state dict, read by the constructor alone; NULL: "norm" */
} et_projection_config;

/* Children: linear1; mlp and skip-mlp have linear2; skip-mlp has norm. */
typedef struct et_projection {
    et_module module;
    et_projection_config config;
    et_linear_layer *linear1, *linear2;
    et_layer_norm_layer *norm;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_projection;

/** Linear layers are initialised U(+-1/sqrt(fan_in)). EINVAL for sizes below 1, a dropout outside [0, 1), no
 *  configuration; and as et_module_new. */
et_projection *et_projection_new(et_module *parent, const char *name, const et_projection_config *config,
                                 et_rng *rng);

/** x [.., in] -> [.., out], not normalised; owned by the open scope. */
et_tensor *et_projection_forward(const et_projection *p, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
