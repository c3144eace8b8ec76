/* HTS-AT: a Swin transformer over log-mel spectrograms (Chen et al. 2022, arXiv 2202.00874; Liu et al. 2021,
 * arXiv 2103.14030), with attentional feature fusion for long sounds (Wu et al. 2023, arXiv 2211.06687; Dai
 * et al. 2021, arXiv 2009.14082).
 *
 *   image   BN over each band; time resized (bicubic); time cut into quarters, one below the other
 *           along frequency
 *   tokens  LN(conv(image)), side by side
 *   block   pre-norm transformer; attention within windows, in odd blocks of windows shifted by half;
 *           scores + a learned bias of the relative position
 *   stage   blocks, then 2 x 2 tokens side by side -> LN -> linear,
 *           half as many channels as they have together
 *   y       mean of LN(tokens)
 *
 * State dict, with the names of the Hugging Face checkpoint: batch_norm.*, patch_embed.{proj,norm},
 * layers.{i}.blocks.{j} (layernorm_before, attention.self.{relative_position_bias_table,query,key,value},
 * attention.output.dense, layernorm_after, intermediate.dense, output.dense),
 * layers.{i}.downsample.{reduction,norm}, norm; with fusion patch_embed.mel_conv2d and
 * patch_embed.fusion_model.{local_att.{0,1,3,4},global_att.{1,2,4,5}}; with classes tscam_conv and head,
 * which the embedding does without. */
#ifndef ETUDE_MODELS_HTSAT_H
#define ETUDE_MODELS_HTSAT_H

#include "nn/batch_norm.h"
#include "nn/conv.h"
#include "nn/transformer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_HTSAT_STAGES = 4, ET_HTSAT_CHUNKS = 4 };

typedef struct et_htsat_config {
    int64_t bands;
    int64_t image;  /* side of the image: a multiple of the bands */
    int64_t patch, window, width;
    int stages;
    int depths[ET_HTSAT_STAGES], heads[ET_HTSAT_STAGES];
    bool fusion;    /* takes ET_HTSAT_CHUNKS spectrograms of a long sound */
    int64_t classes; /* of the classifier that nobody asks; 0: none */
    double eps;     /* of the layer norms */
    double drop_path; /* at the last block; 0 at the first, evenly between */
} et_htsat_config;

/** HTSAT-tiny: width 96, depths 2 2 6 2, heads 4 8 16 32, no classifier: 27 534 488 parameters. */
et_htsat_config et_htsat_tiny(void);
/** HTSAT-base: width 128, depths 2 2 12 2: 67 824 408. */
et_htsat_config et_htsat_base(void);

/* A stage: blocks on a map of `side` x `side` tokens. */
typedef struct et_htsat_stage {
    et_module module;
    int64_t side, window;
    et_transformer *blocks;
    et_tensor **bias;  /* tables [(2 window - 1)^2, heads] of the blocks */
    et_tensor *mask;   /* [windows, 1, N, N]: -100 between regions of shifted windows, else 0; or NULL */
    et_layer_norm_layer *merge_norm; /* or NULL */
    et_linear_layer *merge;
} et_htsat_stage;

typedef struct et_htsat {
    et_module module;
    et_htsat_config config;
    et_batch_norm_layer *bn;
    et_conv_layer *proj, *local_proj; /* local_proj and the norms and convolutions of fusion may be NULL */
    et_layer_norm_layer *patch_norm;
    et_conv_layer *fuse_conv[2][2];      /* local, global; first, second */
    et_batch_norm_layer *fuse_bn[2][2];
    et_htsat_stage *stages[ET_HTSAT_STAGES];
    et_layer_norm_layer *norm;
    et_conv_layer *tscam;
    et_linear_layer *head;
} et_htsat;

/** A model under parent and name (both NULL: a root). Matrices are N(0, 0.02). NULL on failure: EINVAL for
 *  sizes that do not fit: bands that do not divide the image, patches, windows (a last stage smaller than a
 *  window has one window). */
et_htsat *et_htsat_new(et_module *parent, const char *name, const et_htsat_config *config, et_rng *rng);

/** Sets the generator of stochastic depth; NULL: the thread's default one. */
void et_htsat_set_rng(et_htsat *m, et_rng *rng);

/** Width of the embedding. */
int64_t et_htsat_width(const et_htsat_config *config);

/** The embedding [B, width] of log-mel spectrograms x: [B, frames, bands], or with fusion
 *  [B, ET_HTSAT_CHUNKS, frames, bands], the first of the whole sound. longer, uint8 [B]: 1 for sounds whose
 *  other three chunks are looked at; NULL: none is. Owned by the open scope. ESHAPE, also for more frames
 *  than the image holds. */
et_tensor *et_htsat_forward(const et_htsat *m, et_tensor *x, et_tensor *longer);

#ifdef __cplusplus
}
#endif
#endif
