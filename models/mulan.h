/* MuLan: sounds and texts in one space (Huang et al. 2022, arXiv 2208.12415).
 *
 *   g = unit(W_a A(x) + b_a),   f = unit(W_t BERT(ids)[CLS] + b_t)
 *   loss of the similarities f_i . g_j / t (et_mulan_loss);
 *   t is learned, 1 / t at most 100, and the parameter is ln(1 / t)
 *
 * A is a ResNet-50 over 64 mel bands, or the Audio Spectrogram Transformer over 128. A public rendition in
 * another form is models/mulan_compact.h.
 *
 * State dict: audio (models/resnet.h or models/ast.h), text (models/bert.h), audio_projection,
 * text_projection, logit_scale (a scalar, ln(1 / t)). */
#ifndef ETUDE_MODELS_MULAN_H
#define ETUDE_MODELS_MULAN_H

#include "models/ast.h"
#include "models/bert.h"
#include "models/resnet.h"
#include "nn/contrastive.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_mulan_audio_kind { ET_MULAN_RESNET, ET_MULAN_AST } et_mulan_audio_kind;

typedef struct et_mulan_config {
    et_mulan_audio_kind audio;
    et_resnet_config resnet; /* either of the two */
    et_ast_config ast;
    et_bert_config text;
    int64_t latent;            /* width of the shared space */
    et_contrastive_form loss;
    double temperature, limit; /* t at first; 1 / t is `limit` at most */
} et_mulan_config;

/** M-ResNet-50 and M-AST with BERT-base, 128 wide, MuLan's loss, t 0.07. */
et_mulan_config et_mulan_resnet50(void);
et_mulan_config et_mulan_ast(void);
/** S-XM's size: ResNet of width 8 and one block a stage, BERT of 2 layers of width 32, 16 wide:
 *  151 993 parameters. */
et_mulan_config et_mulan_small(void);

typedef struct et_mulan {
    et_module module;
    et_mulan_config config;
    et_resnet *resnet; /* or NULL */
    et_ast *ast;       /* or NULL */
    et_bert *text;
    et_linear_layer *audio_projection, *text_projection;
    et_tensor *logit_scale;
} et_mulan;

/** A model under parent and name (both NULL: a root). NULL on failure: EINVAL for what is out of range, and
 *  as the towers' constructors. */
et_mulan *et_mulan_new(et_module *parent, const char *name, const et_mulan_config *config, et_rng *rng);

/** Unit vectors [B, latent] of log-mel spectrograms x [B, frames, bands]. */
et_tensor *et_mulan_audio(const et_mulan *m, et_tensor *x);
/** Unit vectors [B, latent] of ids int32 [B, T]; mask uint8 [B, T], 0 for padding, or NULL. */
et_tensor *et_mulan_text(const et_mulan *m, et_tensor *ids, et_tensor *mask);
/** The loss of B pairs of texts f and sounds g [B, latent]. */
et_tensor *et_mulan_pair_loss(const et_mulan *m, et_tensor *f, et_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
