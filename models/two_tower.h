/* Two towers that bring texts and sounds into one space: BERT for captions, the Audio Spectrogram Transformer
 * for clips, and heads on both whose unit vectors are close where caption and clip belong together.
 *
 *   f = unit(head_text(pool(extra(BERT(ids))))),   g = unit(head_audio(pool(LN(extra(AST(x))))))
 *   loss of S_ij = f_i . g_j in a form of nn/contrastive.h
 *
 * Of each tower the last n layers are trained, with the extra attention layers and the heads; what lies below
 * is frozen, stays in evaluation mode and may be computed once (the "base"). The rows of the published
 * tables (doc/music-search.md) are configurations by name, with BERT-base and AST-base: et_two_tower_named.
 *
 * State dict: text (models/bert.h), audio (models/ast.h), text_extra.{i}, audio_extra.{i} (nn/transformer.h,
 * plain names, or attn and norm where attention stands alone), audio_norm, text_head, audio_head
 * (nn/projection.h). */
#ifndef ETUDE_MODELS_TWO_TOWER_H
#define ETUDE_MODELS_TWO_TOWER_H

#include "models/ast.h"
#include "models/bert.h"
#include "nn/contrastive.h"
#include "nn/projection.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_TWO_TOWER_ALL = -1, ET_TWO_TOWER_EXTRA = 12 };

typedef struct et_two_tower_config {
    et_bert_config text;
    et_ast_config audio;
    /* How many of the last layers are trained; ET_TWO_TOWER_ALL: the whole tower, embeddings too. */
    int train_text, train_audio;
    /* Attention layers behind the tower, up to ET_TWO_TOWER_EXTRA: of the tower's own form (post-norm for
     * texts, pre-norm and one more layer norm for sounds), or without the perceptron. */
    int extra_text, extra_audio;
    bool attention_only;
    et_bert_pooling pooling;
    et_projection_kind head;
    int64_t embedding, head_hidden; /* width of the shared space; of the mlp's hidden layer */
    et_contrastive_form loss;
    et_scale_mode scale;
    double tau;
    bool checkpoint; /* trained layers are computed again in backward instead of kept (nn/transformer.h) */
} et_two_tower_config;

/** BERT-base and AST-base, linear heads to 128, loss in CLIP's form of S exp(tau), tau 1, the last five
 *  layers of BERT trained: "model-1". */
et_two_tower_config et_two_tower_base(void);

/** S-XM's size: 2 layers of width 32 for 14 tokens out of 32, the same for 64 x 16 "sounds", heads to 16,
 *  tau 2; everything is trained but the pooler. 40 928 parameters. */
et_two_tower_config et_two_tower_small(void);

/* A row of the tables. */
typedef struct et_two_tower_row {
    const char *name; /* "model-1" .. "model-10", "zero-shot" */
    double tau;
    int train_text, train_audio, extra_text, extra_audio;
    int64_t trainable; /* parameters of BERT-base, AST-base and linear heads to 128 that are trained so */
} et_two_tower_row;

/** The i-th row, NULL behind the last. */
const et_two_tower_row *et_two_tower_row_at(int i);

/** Sets tau, the trained and the extra layers of *c to those of the row (trained layers to no more than the
 *  tower has). EINVAL with the names for one that is unknown. */
et_status et_two_tower_named(const char *name, et_two_tower_config *c);

typedef struct et_two_tower {
    et_module module;
    et_two_tower_config config;
    et_bert *text;
    et_ast *audio;
    et_transformer *text_extra, *audio_extra; /* or NULL */
    et_mha *text_attn[ET_TWO_TOWER_EXTRA], *audio_attn[ET_TWO_TOWER_EXTRA]; /* with attention_only */
    et_layer_norm_layer *text_attn_norm[ET_TWO_TOWER_EXTRA], *audio_attn_norm[ET_TWO_TOWER_EXTRA];
    et_layer_norm_layer *audio_norm; /* behind the extra layers, or NULL */
    et_projection *text_head, *audio_head;
} et_two_tower;

/** A model under parent and name (both NULL: a root). NULL on failure: EINVAL for what is out of range, and
 *  as the towers' constructors. */
et_two_tower *et_two_tower_new(et_module *parent, const char *name, const et_two_tower_config *config,
                               et_rng *rng);

/** Whether the base of a tower is frozen: the same for the same input, whatever is learned. */
bool et_two_tower_text_frozen(const et_two_tower *m);
bool et_two_tower_audio_frozen(const et_two_tower *m);

/** The base of texts: ids int32 [B, T], mask uint8 [B, T] (0 for padding) or NULL, through the embeddings and
 *  the layers that come before the trained ones; [B, T, d]. Of sounds x [B, frames, bins]: [B, N, d]. Where
 *  nothing of a tower is trained and nothing follows but the head, the pooled vector [B, d] alone. Owned by
 *  the open scope. */
et_tensor *et_two_tower_text_base(const et_two_tower *m, et_tensor *ids, et_tensor *mask);
et_tensor *et_two_tower_audio_base(const et_two_tower *m, et_tensor *x);

/** The rest: unit vectors [B, embedding] of bases. */
et_tensor *et_two_tower_text_rest(const et_two_tower *m, et_tensor *base, et_tensor *mask);
et_tensor *et_two_tower_audio_rest(const et_two_tower *m, et_tensor *base);

/** Both together: unit vectors [B, embedding] of texts, of sounds. */
et_tensor *et_two_tower_text(const et_two_tower *m, et_tensor *ids, et_tensor *mask);
et_tensor *et_two_tower_audio(const et_two_tower *m, et_tensor *x);

/** The loss of B pairs f, g [B, embedding], as the configuration says. */
et_tensor *et_two_tower_loss(const et_two_tower *m, et_tensor *f, et_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
