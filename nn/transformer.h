/* Transformer encoder: blocks of self-attention and a two-layer perceptron, each with a residual
 * connection and a layer norm.
 *
 *   pre-norm  (Xiong et al. 2020; ViT, AST):   x + A(LN1(x)),   then x + M(LN2(x))
 *   post-norm (Vaswani et al. 2017; BERT):     LN1(x + A(x)),   then LN2(x + M(x))
 *
 * with A multi-head attention and M(x) = [act](W_1 act(W_0 x + b_0) + b_1). Each residual branch
 * may be left out at random in training (stochastic depth, Huang et al. 2016). What the parts are
 * called in the state dict is a table, so that files of other libraries fit. */
#ifndef ETUDE_NN_TRANSFORMER_H
#define ETUDE_NN_TRANSFORMER_H

#include "nn/layer_norm.h"
#include "nn/multi_head_attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Names of a block's parts, dotted or not. */
typedef struct et_transformer_names {
    const char *attention;             /* the module of the projections ... */
    const char *q, *k, *v, *qkv, *out; /* ... and they, below it (either q, k, v or qkv is used) */
    const char *norm1, *norm2;         /* LN1, LN2 */
    const char *mlp[2];                /* W_0, W_1 */
} et_transformer_names;

/** attn.{q,k,v,o} (or attn.qkv), ln1, ln2, mlp.0, mlp.1. */
extern const et_transformer_names et_transformer_names_plain;
/** BERT and its family: attention.self.{query,key,value}, attention.output.dense, attention.output.LayerNorm,
 *  intermediate.dense, output.dense, output.LayerNorm. */
extern const et_transformer_names et_transformer_names_bert;
/** ViT and AST as Hugging Face has them: attention.attention.{query,key,value}, attention.output.dense,
 *  layernorm_before, layernorm_after, intermediate.dense, output.dense. */
extern const et_transformer_names et_transformer_names_vit;

typedef struct et_transformer_config {
    int64_t width;            /* d of x */
    int heads;
    int64_t head_width;       /* 0: d / heads */
    bool fused;               /* one layer attn.qkv for queries, keys and values */
    int64_t hidden;           /* of the perceptron */
    bool post_norm;
    et_act act;               /* behind the perceptron's first layer */
    bool act_twice;           /* and behind its second */
    bool gelu_tanh;           /* GELU in its tanh form */
    double eps;               /* of the layer norms; 0: 1e-6 */
    double attention_dropout; /* of the attention's weights */
    double out_dropout;       /* of the attention's result */
    double hidden_dropout;    /* behind the perceptron's first layer */
    double mlp_dropout;       /* behind its second */
    double drop_path;         /* chance that an item skips a residual branch */
    const et_transformer_names *names; /* read by the constructor alone; NULL: et_transformer_names_plain */
} et_transformer_config;

typedef struct et_transformer_block {
    et_module module;
    et_transformer_config config; /* names NULL */
    et_layer_norm_layer *ln1, *ln2;
    et_mha *attn;
    et_linear_layer *mlp[2];
    et_rng *rng; /* for dropout; NULL: the thread's default generator. See et_transformer_block_set_rng. */
} et_transformer_block;

/** A block under parent and name. Linear layers are initialised U(+-1/sqrt(fan_in)). EINVAL for
 *  sizes below 1 or chances outside [0, 1), and as et_mha_new. */
et_transformer_block *et_transformer_block_new(et_module *parent, const char *name,
                                               const et_transformer_config *config, et_rng *rng);

/** Sets the generator of all dropout in the block; NULL: the thread's default one. */
void et_transformer_block_set_rng(et_transformer_block *b, et_rng *rng);

/** x [B, T, d] -> [B, T, d]. call: masks, and where the attention's weights go (see
 *  nn/multi_head_attention.h); or NULL. Owned by the open scope. */
et_tensor *et_transformer_block_forward(const et_transformer_block *b, et_tensor *x, const et_mha_call *call);

/** The n tokens in front of that, [B, n, d], for those who read no others: queries, perceptron and norms are
 *  computed for them alone, and keys and values may not be needed at all (et_mha_attend). mask as
 *  et_mha_call's, or NULL. EINVAL unless 1 <= n <= T; ESHAPE for a mask of another number of queries. */
et_tensor *et_transformer_block_front(const et_transformer_block *b, et_tensor *x, et_tensor *mask,
                                      int64_t n);

/** What follows the attention alone: from the block's input x [.., d] and what its heads found,
 *  `attended` [.., H d_head] (et_mha_attend). */
et_tensor *et_transformer_block_finish(const et_transformer_block *b, et_tensor *x, et_tensor *attended);

/* Blocks "0" .. "layers - 1", one after the other. */
typedef struct et_transformer {
    et_module module;
    et_transformer_block **blocks;
    int layers;
    /* Blocks in training are computed again during backward instead of keeping what is inside
     * (et_checkpoint), but not the last `kept`, nor those with a generator of their own, nor where
     * attention's weights are asked for. Both may be set. */
    bool checkpoint;
    int kept;
} et_transformer;

/** `layers` >= 1 blocks. The chance of skipping grows evenly from 0 at the first block to
 *  config->drop_path at the last. */
et_transformer *et_transformer_new(et_module *parent, const char *name, int layers,
                                   const et_transformer_config *config, et_rng *rng);

/** x [B, T, d] through all blocks. mask (or NULL) as et_mha_call's. weights, where not NULL, receives each
 *  block's attention, weights[layers] of [B, heads, T, T]. */
et_tensor *et_transformer_forward(const et_transformer *t, et_tensor *x, et_tensor *mask,
                                  et_tensor **weights);

/** x through blocks first .. layers - 1 alone (EINVAL unless 0 <= first <= layers). hidden, where not NULL,
 *  receives what each of them made, hidden[i] of block i, so hidden[layers]. */
et_tensor *et_transformer_forward_from(const et_transformer *t, int first, et_tensor *x, et_tensor *mask,
                                       et_tensor **hidden);

/** The n tokens in front of that, [B, n, d]. The last block computes no others (et_transformer_block_front)
 *  where n < T, and then keeps the little that is inside, `checkpoint` or not. Errors as those of both. */
et_tensor *et_transformer_forward_front(const et_transformer *t, int first, et_tensor *x, et_tensor *mask,
                                        int64_t n);

/** Trains the last `n` blocks (at most all) and freezes the others, which stay in evaluation mode then.
 *  EINVAL for a negative n. */
et_status et_transformer_train_last(et_transformer *t, int n);

#ifdef __cplusplus
}
#endif
#endif
