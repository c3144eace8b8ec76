/* The Transformer: an encoder and a decoder of attention (Vaswani et al. 2017, arXiv 1706.03762).
 *
 * Sequences of tokens in, sequences of tokens out; source and target share one embedding, which
 * is the output's weight too.
 *
 * State dict: embedding.weight [V, d]; for each encoder layer encoder.layers.{i}.self_attn.in_proj_weight
 * [3d, d] (queries, keys, values), .in_proj_bias, .out_proj.{weight,bias}, linear1, linear2, norm1, norm2;
 * encoder.norm; decoder.layers.{i} the same with multihead_attn.* (over the encoder's output) and norm3;
 * decoder.norm. */
#ifndef ETUDE_MODELS_TRANSFORMER_H
#define ETUDE_MODELS_TRANSFORMER_H

#include "nn/embedding.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/positions.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Hyper-parameters. Defaults: et_encoder_decoder_base, _big and _small. */
typedef struct et_encoder_decoder_config {
    int64_t vocabulary; /* V */
    int64_t width;      /* d */
    int64_t hidden;     /* of the feed-forward networks */
    int heads, encoder_layers, decoder_layers;
    int64_t max_length; /* of a source or a target */
    double dropout;     /* of attention weights, of every sublayer's output, of the embedded input */
    bool pre_norm;      /* x + f(LN(x)) instead of LN(x + f(x)) */
    bool no_final_norm; /* post-norm: leave out the norms behind both stacks */
} et_encoder_decoder_config;

/** d 512, 6 + 6 layers, 8 heads: 44 140 544 parameters besides the embedding. */
et_encoder_decoder_config et_encoder_decoder_base(int64_t vocabulary);
/** d 1024, 16 heads. */
et_encoder_decoder_config et_encoder_decoder_big(int64_t vocabulary);
/** d 32, 2 + 2 layers, 4 heads, no dropout: 42 880 besides the embedding. */
et_encoder_decoder_config et_encoder_decoder_small(int64_t vocabulary);

/* Multi-head attention with one projection for queries, keys and values. */
typedef struct et_joint_attention {
    et_module module;
    et_tensor *in_proj_weight, *in_proj_bias;
    et_linear_layer *out_proj;
} et_joint_attention;

/* A layer of either stack; cross and norm3 are NULL in the encoder's. */
typedef struct et_coder_layer {
    et_module module;
    et_joint_attention *self, *cross;
    et_linear_layer *linear1, *linear2;
    et_layer_norm_layer *norm1, *norm2, *norm3;
} et_coder_layer;

typedef struct et_encoder_decoder {
    et_module module;
    et_encoder_decoder_config config;
    et_embedding_layer *embedding;
    et_positions *positions;
    et_coder_layer **encoder, **decoder;
    et_layer_norm_layer *encoder_norm, *decoder_norm;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_encoder_decoder;

/** A model under parent and name (both NULL: a root). Matrices are Xavier uniform, the embedding
 *  N(0, d^-0.5). NULL on failure: EINVAL for sizes out of range, or a width that is odd or that the heads
 *  do not divide. */
et_encoder_decoder *et_encoder_decoder_new(et_module *parent, const char *name,
                                           const et_encoder_decoder_config *config, et_rng *rng);

/** The encoder's output [B, S, d] for source tokens int32 [B, S],
 *  the first lengths[b] of each (int32 [B], or NULL for all). */
et_tensor *et_encoder_decoder_encode(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths);

/** Logits [B, T, V] of the tokens after each of target int32 [B, T], from the encoder's output `memory`. */
et_tensor *et_encoder_decoder_decode(const et_encoder_decoder *m, et_tensor *memory, et_tensor *lengths,
                                     et_tensor *target);

/** The mean over tokens of the cross entropy, with label smoothing, of target[:, 1 ..] given source and
 *  target[:, .. T-2]; targets `pad` do not count. Scalar. */
et_tensor *et_encoder_decoder_loss(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths,
                                   et_tensor *target, int32_t pad, double smoothing);

typedef struct et_translate_options {
    int32_t begin, end;    /* tokens */
    int64_t max_length;    /* of a result, `end` counted; 0: the model's */
    int64_t beam;          /* width of the beam, at most 64; 0 or 1: greedy */
    double length_penalty; /* beam: score is log p / ((5 + length) / 6)^penalty (Wu et al. 2016) */
} et_translate_options;

/** Results for sources int32 [B, S]: tokens int32 [B, max_length], `end` from there on, without `begin`. Keys
 *  and values of earlier tokens are kept, not computed again. Owned by the open scope; nothing is recorded.
 *  NULL after an error: EINVAL, and as above. */
et_tensor *et_encoder_decoder_translate(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths,
                                        const et_translate_options *options);

#ifdef __cplusplus
}
#endif
#endif
