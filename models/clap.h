/* CLAP: sounds and texts in one space. Two systems have that name:
 *
 *   LAION      (Wu et al. 2023, arXiv 2211.06687): HTS-AT or CNN14, with fusion for long sounds;
 *              RoBERTa's pooled output;
 *              W_2 relu(W_1 x + b_1) + b_2 to 512
 *   Microsoft  (Elizalde et al. 2022, arXiv 2206.04769): CNN14;
 *              BERT's [CLS];
 *              LN(p + dropout(W_2 gelu(p))), p = W_1 x, to 1024
 *
 *   f = unit(head_t(text)),  g = unit(head_a(sound))
 *   loss: cross entropies of f_i . g_j exp(t) both ways, t learned
 *
 * State dict of the former, with the names of the Hugging Face checkpoint: audio_model.audio_encoder
 * (models/htsat.h, models/cnn14.h), text_model (models/bert.h), {audio,text}_projection.linear{1,2},
 * logit_scale_a, logit_scale_t; {audio,text}_transform.sequential.{0,3}, which embeddings do without.
 * Of the latter: audio_encoder.base, caption_encoder.base, logit_scale,
 * {audio,caption}_encoder.projection.{linear1,linear2,layer_norm}. */
#ifndef ETUDE_MODELS_CLAP_H
#define ETUDE_MODELS_CLAP_H

#include "models/bert.h"
#include "models/cnn14.h"
#include "models/htsat.h"
#include "nn/contrastive.h"
#include "nn/projection.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_clap_audio_kind { ET_CLAP_HTSAT, ET_CLAP_CNN14 } et_clap_audio_kind;

typedef struct et_clap_config {
    et_clap_audio_kind audio;
    et_htsat_config htsat; /* either of the two */
    et_cnn14_config cnn14;
    et_bert_config text;
    bool microsoft;        /* the names and heads of that system, and [CLS] instead of the pooled output */
    int64_t joint;         /* width of the shared space */
    bool transforms;       /* LAION: the perceptrons that nobody asks */
    bool one_scale;        /* LAION: logit_scale_a alone */
    double dropout;        /* of Microsoft's heads */
    et_contrastive_form loss;
    double limit;          /* of the scale */
} et_clap_config;

/** LAION's models, HTSAT-tiny and HTSAT-base, without what nobody asks:
 *  153 492 890 and 193 913 882 parameters. */
et_clap_config et_clap_tiny(void);
et_clap_config et_clap_base(void);
/** All that LAION's checkpoints hold: *c with classifiers and transforms.
 *  Tiny 157 250 713, base 198 481 177. */
void et_clap_complete(et_clap_config *c);
/** Microsoft's model of 2022: 195 220 688. */
et_clap_config et_clap_microsoft(void);
/** S-XM's size: BERT of 2 layers of width 32, convolutions 8, 16, 32, joint 32: 45 809. */
et_clap_config et_clap_small(void);

typedef struct et_clap {
    et_module module;
    et_clap_config config;
    et_htsat *htsat; /* or NULL */
    et_cnn14 *cnn14; /* or NULL */
    et_bert *text;
    et_projection *audio_head, *text_head;
    et_tensor *scale;       /* logarithm of the loss's scale, a scalar */
    et_tensor *other_scale; /* or NULL */
} et_clap;

/** A model under parent and name (both NULL: a root). NULL on failure: EINVAL for what is out of range, and
 *  as the towers' constructors. */
et_clap *et_clap_new(et_module *parent, const char *name, const et_clap_config *config, et_rng *rng);

/** Unit vectors [B, joint] of log-mel spectrograms;
 *  x and longer as et_htsat_forward, or et_cnn14_forward (longer NULL). */
et_tensor *et_clap_audio(const et_clap *m, et_tensor *x, et_tensor *longer);
/** Unit vectors [B, joint] of ids int32 [B, T]; mask uint8 [B, T], 0 for padding, or NULL. */
et_tensor *et_clap_text(const et_clap *m, et_tensor *ids, et_tensor *mask);
/** The loss of B pairs of texts f and sounds g [B, joint]. */
et_tensor *et_clap_pair_loss(const et_clap *m, et_tensor *f, et_tensor *g);

/** Reads a safetensors file with the names above, or with those of LAION's own checkpoints: a leading
 *  "module.", text_branch, audio_branch (bn0; norm1, norm2, attn.{qkv,proj,relative_position_bias_table},
 *  mlp.fc{1,2} of blocks), {text,audio}_projection.{0,2}. Passed over: what makes their spectrograms, and
 *  classifiers and transforms that the model does not have. report (or NULL) tells what was missing,
 *  unexpected or misshaped: an error, and nothing is changed then. Errors as et_module_load. */
et_status et_clap_load(et_clap *m, const char *path, et_load_report *report);

#ifdef __cplusplus
}
#endif
#endif
