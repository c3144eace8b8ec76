/* MuLan in the form of a public rendition (musiclm-pytorch), smaller and without pretrained parts:
 * transformers of cosine attention over patches of a plain power spectrogram and over words.
 *
 *   attention   q, k unit vectors times learned gains, scores 8 q.k + bias, no biases in projections
 *   branch      x + A(LN(x)),  x + W_2 geglu(W_1 LN(x)),  layer norms without biases
 *   sounds      patches 16 x 16 -> LN, linear, LN, + 2-D sinusoids;
 *               the bias is a network's of (row, column) offsets;  y = mean of LN(x_L)
 *   texts       [CLS] + words + learned positions;  y = LN(x_L)[CLS]
 *
 * State dict: audio.to_patch_tokens.{1,2,3}, audio.dynamic_pos_bias_mlp.{0,2,4}, audio.norm.gamma,
 * audio.transformer.layers.{i}.0.{norm.gamma, to_q.weight, to_kv.weight, q_scale, k_scale, to_out.0.weight},
 * audio.transformer.layers.{i}.1.{0.gamma, 1.weight, 4.weight}; text.{token_emb.weight, pos_emb.weight,
 * cls_token}, text.transformer.., text.norm.gamma; audio_to_latents, text_to_latents, temperature. */
#ifndef ETUDE_MODELS_MULAN_COMPACT_H
#define ETUDE_MODELS_MULAN_COMPACT_H

#include "nn/contrastive.h"
#include "nn/embedding.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_mulan_compact_config {
    int64_t width;          /* d */
    int layers, heads;
    int64_t head_width, hidden, patch;
    int64_t offsets;        /* width of the network of offsets */
    int64_t vocabulary, positions;
    int32_t pad;            /* ids that are not looked at */
    int64_t latent;
    double patch_dropout;   /* share of patches that a training batch leaves out */
    double dropout;         /* of attention weights and behind the perceptron's first layer */
    et_contrastive_form loss;
    double log_scale;       /* logarithm of the scale at first */
} et_mulan_compact_config;

/** d 512, 6 layers of 8 heads of 64, 1365 hidden, 49 408 words, 256 positions, 128 wide, decoupled loss:
 *  63 468 297 parameters (19 029 768 and 44 307 200 in the towers). */
et_mulan_compact_config et_mulan_compact(void);

/* A layer: attention and perceptron, each behind a norm. */
typedef struct et_compact_layer {
    et_module module;
    et_tensor *norm, *q_scale, *k_scale; /* [d]; [head_width] each */
    et_linear_layer *to_q, *to_kv, *out;
    et_tensor *mlp_norm;
    et_linear_layer *mlp[2];
} et_compact_layer;

typedef struct et_compact_tower {
    et_module module;
    et_compact_layer **layers;
    int n_layers;
    et_tensor *norm;                  /* [d] */
    et_layer_norm_layer *patch_norm[2]; /* sounds */
    et_linear_layer *patch;
    et_linear_layer *offsets[3];
    et_embedding_layer *words, *positions; /* texts */
    et_tensor *cls;
} et_compact_tower;

typedef struct et_mulan_compact_model {
    et_module module;
    et_mulan_compact_config config;
    et_compact_tower *audio, *text;
    et_linear_layer *audio_to_latents, *text_to_latents;
    et_tensor *temperature; /* logarithm of the scale, [1] */
    et_rng *rng;            /* for dropout; NULL: the thread's default generator. May be set. */
} et_mulan_compact_model;

/** A model under parent and name (both NULL: a root). Linear layers U(+-1/sqrt(fan_in)), embeddings N(0, 1).
 *  NULL on failure: EINVAL for sizes below 1, a width that is no multiple of 4, chances outside [0, 1). */
et_mulan_compact_model *et_mulan_compact_new(et_module *parent, const char *name,
                                             const et_mulan_compact_config *config, et_rng *rng);

/** Unit vectors [B, latent] of power spectrograms x [B, bins, frames], cut to whole patches.
 *  ESHAPE for less than one. */
et_tensor *et_mulan_compact_audio(const et_mulan_compact_model *m, et_tensor *x);
/** Unit vectors [B, latent] of ids int32 [B, T]; those that are `pad` are not looked at. */
et_tensor *et_mulan_compact_text(const et_mulan_compact_model *m, et_tensor *ids);
/** The loss of B pairs f (texts) and g (sounds). */
et_tensor *et_mulan_compact_loss(const et_mulan_compact_model *m, et_tensor *f, et_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
