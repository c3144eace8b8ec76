/* AST: the Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778). A spectrogram is cut into
 * patches that overlap, each becomes a token, and a pre-norm transformer encoder reads them behind a class
 * token and a distillation token.
 *
 *   z_0 = [cls; dist; x_p E + b] + E_pos,   z_L through the layers,   y = LN(z_L),   pooled = (y_0 + y_1) / 2
 *   logits = W LN(pooled) + b
 *
 * Patches are in the order frequency (outer), time (inner). State dict, with the names of the Hugging Face
 * checkpoint: embeddings.{cls_token,distillation_token,position_embeddings},
 * embeddings.patch_embeddings.projection, encoder.layer.{i} (et_transformer_names_vit), layernorm,
 * classifier.{layernorm,dense}. */
#ifndef ETUDE_MODELS_AST_H
#define ETUDE_MODELS_AST_H

#include "nn/transformer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_ast_config {
    int64_t bands, frames;            /* F and T of the spectrogram */
    int64_t patch_bands, patch_frames;
    int64_t step_bands, step_frames;  /* from a patch to the next */
    int64_t width, hidden;            /* d; of the layers' perceptrons */
    int layers, heads;
    bool single;                      /* no distillation token: pooled = y_0 */
    int64_t classes;                  /* of the classifier; 0: none */
    double eps;                       /* of the layer norms */
    double dropout, attention_dropout;
} et_ast_config;

/** AST-base for 10 s clips: 128 x 1024, patches 16 x 16, steps 10, d 768, 12 layers of 12 heads, 3072, no
 *  classifier: 86 187 264 parameters (with classes = 527: 86 594 063). eps 1e-12. */
et_ast_config et_ast_base(void);
/** The same with the tokens of DeiT-small (d 384, 6 heads) and DeiT-tiny (d 192, 3 heads). */
et_ast_config et_ast_small(void);
et_ast_config et_ast_tiny(void);
/** One of the above by name: "ast-base", "ast-small", "ast-tiny". EINVAL lists them. */
et_status et_ast_named(const char *name, et_ast_config *config);

typedef struct et_ast {
    et_module module;
    et_ast_config config;
    int64_t rows, cols;                 /* of the grid of patches: frequency, time */
    int special;                        /* tokens in front of the patches: 2, or 1 */
    et_module *embeddings;
    et_tensor *cls, *dist;              /* [1, 1, d]; dist may be NULL */
    et_tensor *position;                /* [1, special + rows cols, d] */
    et_tensor *patch_weight, *patch_bias; /* [d, 1, patch_bands, patch_frames], [d] */
    et_transformer *encoder;            /* its `checkpoint` may be set */
    et_layer_norm_layer *norm;
    et_layer_norm_layer *class_norm;    /* the classifier's, or NULL */
    et_linear_layer *classifier;        /* or NULL */
    et_rng *rng;                        /* for the embeddings' dropout; see et_ast_set_rng */
} et_ast;

/** A model under parent and name (both NULL: a root). Matrices, positions and tokens are N(0, 0.02) cut at
 *  0.04, biases 0. NULL on failure: EINVAL for sizes below 1, a spectrogram smaller than a patch, heads that
 *  do not divide the width, dropouts outside [0, 1). */
et_ast *et_ast_new(et_module *parent, const char *name, const et_ast_config *config, et_rng *rng);

/** Sets the generator of all dropout; NULL: the thread's default one. */
void et_ast_set_rng(et_ast *m, et_rng *rng);

/** Hidden states y [B, N, d], N = special + rows cols, of spectrograms x [B, frames, bands]. hidden, where
 *  not NULL, receives the embedded input and what each layer made (before the last norm), hidden[layers + 1].
 *  Owned by the open scope. ESHAPE for other sizes. */
et_tensor *et_ast_forward(const et_ast *m, et_tensor *x, et_tensor **hidden);

/** Its two halves: the tokens [B, N, d] of spectrograms, and those through layers first .. layers - 1 and the
 *  last norm, of which hidden, where not NULL, receives [first] = x and [i + 1] what layer i made. */
et_tensor *et_ast_embed(const et_ast *m, et_tensor *x);
et_tensor *et_ast_encode(const et_ast *m, int first, et_tensor *x, et_tensor **hidden);

/** [B, d]: the mean of the tokens in front of y [B, N, d]. */
et_tensor *et_ast_pool(const et_ast *m, et_tensor *y);
/** et_ast_pool of et_ast_encode, [B, d]: x through layers first .. layers - 1 and the last norm, pooled; the
 *  last layer computes the tokens in front alone. Errors as those of both. */
et_tensor *et_ast_encode_pooled(const et_ast *m, int first, et_tensor *x);
/** Logits [B, classes] of pooled [B, d]. EINVAL without a classifier. */
et_tensor *et_ast_classify(const et_ast *m, et_tensor *pooled);

/** Trains the last n layers, the last norm (if n > 0) and the classifier alone: the rest is frozen and stays
 *  in evaluation mode. EINVAL for a negative n. */
et_status et_ast_train_last(et_ast *m, int n);

/** Reads a safetensors file in the layout of Hugging Face (prefix "audio_spectrogram_transformer.") or of the
 *  authors (module.v.blocks.{i}.attn.qkv and so on, whose unused DeiT heads are passed over); a classifier
 *  may be missing or too many. A position table for another length of clip is adapted: the time axis of its
 *  grid is cut around the middle (from old / 2 - new / 2 on) or, if it is too short, interpolated. report, or
 *  NULL, tells what was missing, unexpected or misshaped: an error, and nothing is changed then. Errors as
 *  et_module_load. */
et_status et_ast_load(et_ast *m, const char *path, et_load_report *report);

#ifdef __cplusplus
}
#endif
#endif
