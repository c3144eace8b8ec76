/* Transformer encoder: blocks of self-attention and a two-layer perceptron, each with a residual
 * connection and a layer norm.
 *
 *   pre-norm  (Xiong et al. 2020; ViT, AST):   x + A(LN1(x)),   then x + M(LN2(x))
 *   post-norm (Vaswani et al. 2017; BERT):     LN1(x + A(x)),   then LN2(x + M(x))
 *
 * with A multi-head attention and M(x) = [act](W_1 act(W_0 x + b_0) + b_1). Each residual branch
 * may be left out at random in training (stochastic depth, Huang et al. 2016). */
#ifndef ETUDE_NN_TRANSFORMER_H
#define ETUDE_NN_TRANSFORMER_H

#include "nn/layer_norm.h"
#include "nn/multi_head_attention.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_transformer_config {
    int64_t width;            /* d of x */
    int heads;
    int64_t head_width;       /* 0: d / heads */
    bool fused;               /* one layer attn.qkv for queries, keys and values */
    int64_t hidden;           /* of the perceptron */
    bool post_norm;
    et_act act;               /* behind the perceptron's first layer */
    bool act_twice;           /* and behind its second */
    double eps;               /* of the layer norms; 0: 1e-6 */
    double attention_dropout; /* of the attention's weights */
    double out_dropout;       /* of the attention's result */
    double hidden_dropout;    /* behind the perceptron's first layer */
    double mlp_dropout;       /* behind its second */
    double drop_path;         /* chance that an item skips a residual branch */
} et_transformer_config;

/* State dict: ln1.weight, ln1.bias, attn.{q,k,v,o}.{weight,bias} (or attn.qkv, attn.o), ln2, mlp.0, mlp.1. */
typedef struct et_transformer_block {
    et_module module;
    et_transformer_config config;
    et_layer_norm_layer *ln1, *ln2;
    et_mha *attn;
    et_linear_layer *mlp[2];
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_transformer_block;

/** A block under parent and name. Linear layers are initialised U(+-1/sqrt(fan_in)). EINVAL for
 *  sizes below 1 or chances outside [0, 1), and as et_mha_new. */
et_transformer_block *et_transformer_block_new(et_module *parent, const char *name,
                                               const et_transformer_config *config, et_rng *rng);

/** x [B, T, d] -> [B, T, d]. call: masks, and where the attention's weights go (see
 *  nn/multi_head_attention.h); or NULL. Owned by the open scope. */
et_tensor *et_transformer_block_forward(const et_transformer_block *b, et_tensor *x, const et_mha_call *call);

/* Blocks "0" .. "layers - 1", one after the other. */
typedef struct et_transformer {
    et_module module;
    et_transformer_block **blocks;
    int layers;
} et_transformer;

/** `layers` >= 1 blocks. The chance of skipping grows evenly from 0 at the first block to
 *  config->drop_path at the last. */
et_transformer *et_transformer_new(et_module *parent, const char *name, int layers,
                                   const et_transformer_config *config, et_rng *rng);

/** x [B, T, d] through all blocks. mask (or NULL) as et_mha_call's. weights, where not NULL, receives each
 *  block's attention, weights[layers] of [B, heads, T, T]. */
et_tensor *et_transformer_forward(const et_transformer *t, et_tensor *x, et_tensor *mask, et_tensor **weights);

#ifdef __cplusplus
}
#endif
#endif
