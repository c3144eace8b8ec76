/* Post-norm encoder layer with the names of the BERT family (Devlin et al. 2019):
 *
 *   x = LN(x + O(attention(Q x, K x, V x))),   x = LN(x + W_2 gelu(W_1 x))
 *
 * State dict: attention.self.{query,key,value}, attention.output.dense, attention.output.LayerNorm,
 * intermediate.dense, output.dense, output.LayerNorm, each with weight and bias. */
#ifndef ETUDE_NN_BERT_LAYER_H
#define ETUDE_NN_BERT_LAYER_H

#include "nn/layer_norm.h"
#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_bert_layer_config {
    int64_t width, hidden; /* d of x, and of the inner layer */
    int heads;             /* divide the width */
    double attention_dropout, hidden_dropout;
    double eps;            /* of the layer norms; 0: 1e-12 */
} et_bert_layer_config;

typedef struct et_bert_layer {
    et_module module;
    et_bert_layer_config config;
    et_linear_layer *query, *key, *value, *attended;
    et_layer_norm_layer *attended_norm;
    et_linear_layer *inner, *out;
    et_layer_norm_layer *out_norm;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_bert_layer;

/** Linear layers are initialised U(+-1/sqrt(fan_in)). EINVAL for sizes below 1, heads that do not divide the width,
 *  dropouts outside [0, 1); and as et_module_new. */
et_bert_layer *et_bert_layer_new(et_module *parent, const char *name, const et_bert_layer_config *config, et_rng *rng);

/** x [B, T, d] -> [B, T, d]. mask (or NULL) as et_attention's; weights (or NULL) receives the attention,
 *  [B, heads, T, T]. */
et_tensor *et_bert_layer_forward(const et_bert_layer *l, et_tensor *x, et_tensor *mask, et_tensor **weights);

/** The second half alone: what follows from x [.., d] and the heads' results `attended` [.., d], side by side. */
et_tensor *et_bert_layer_finish(const et_bert_layer *l, et_tensor *x, et_tensor *attended);

#ifdef __cplusplus
}
#endif
#endif
