/* Vision Transformer over spectrograms.
 *
 * A spectrogram is an image: it is resized, cut into patches, each patch becomes a token, a
 * pre-norm transformer encoder lets every token look at every other, and a perceptron reads the
 * tokens. Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021, arXiv 2010.11929), equations
 * 1 to 4, in the form of the Keras example "Image classification with Vision Transformer": no class
 * token, the tokens side by side into the perceptron, GELU behind both of a block's layers, heads
 * as wide as the model.
 *
 * State dict: patch.proj.weight [d, C h w], patch.proj.bias, patch.pos [N, d] (and patch.cls [d]),
 * blocks.{i}.ln1, .attn.{q,k,v,o}, .ln2, .mlp.{0,1}, ln, head.{0,1,..}, head.out; weight and bias each. */
#ifndef ETUDE_MODELS_VIT_H
#define ETUDE_MODELS_VIT_H

#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/transformer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the head reads of the encoder's N tokens. */
typedef enum et_vit_pooling {
    ET_VIT_FLATTEN,   /* all of them, one after the other: N d */
    ET_VIT_MEAN,      /* their mean: d */
    ET_VIT_CLASS,     /* the one of a learned token that is put in front: d */
    ET_VIT_STATISTICS /* their mean and their standard deviation, one after the other: 2 d */
} et_vit_pooling;

enum { ET_VIT_HEAD_LAYERS = 4 };

typedef struct et_vit_config {
    int64_t frames, bins;       /* of the spectrogram: axis 0 is time, axis 1 frequency */
    int64_t channels;           /* C: features are C runs of `bins`, one for each channel */
    int64_t height, width;      /* of the image that it is resized to */
    bool transpose;             /* time becomes the image's second axis */
    int64_t patch_h, patch_w;
    int64_t step_h, step_w;     /* from a patch to the next; 0: patch_h, patch_w */
    int64_t d;                  /* of a token */
    int layers, heads;
    int64_t head_width;         /* 0: d / heads */
    int64_t hidden;             /* of a block's perceptron */
    bool act_once;              /* GELU behind the perceptron's first layer alone, as in Dosovitskiy et al. */
    et_vit_pooling pooling;
    int64_t head[ET_VIT_HEAD_LAYERS]; /* widths of the head's hidden layers; 0: no more of them */
    int64_t classes;                  /* K */
    double dropout;                   /* of the attention's weights and in the blocks' perceptrons */
    double head_dropout;              /* before each of the head's hidden layers and its last one */
    double drop_path;                 /* chance to skip a branch of the last block; less before it */
    int recomputed;                   /* in training backward computes so many of the first blocks again, and
                                         does not keep their insides: less memory, more time */
} et_vit_config;

/** 512 x 129 to 128 x 32, patches 16 x 4, d 128, 8 blocks, 4 heads of 128, MLP 256, head 2048 and 1024, K 10:
 *  21 546 378 parameters. */
et_vit_config et_vit_paper(void);
/** 32 x 16, patches 8 x 4, d 32, 2 blocks, 2 heads of 16, MLP 64, head 64, K 6: 51 942 parameters. */
et_vit_config et_vit_small(void);

typedef struct et_vit {
    et_module module;
    et_vit_config config;     /* head_width and steps filled in */
    int64_t rows, cols;       /* patches down and across: N = rows cols */
    et_linear_layer *proj;
    et_tensor *pos;           /* [N, d], with a class token [N + 1, d] */
    et_tensor *cls;           /* [d] or NULL */
    et_transformer *blocks;
    et_layer_norm_layer *ln;
    et_linear_layer *head[ET_VIT_HEAD_LAYERS];
    int n_head;
    et_linear_layer *out;
    et_rng *rng; /* for the head's dropout; NULL: the thread's default generator. May be set. */
} et_vit;

/** A model under parent and name (both NULL: a root). Weights are Glorot uniform, biases 0, positions and
 *  class token U(-0.05, 0.05). NULL on failure: EINVAL for sizes below 1, an image smaller than a patch,
 *  bad dropouts, more recomputed blocks than there are. Free the root with et_module_free. */
et_vit *et_vit_new(et_module *parent, const char *name, const et_vit_config *config, et_rng *rng);

/** Logits [B, K] of spectrograms x [B, frames, C bins]. attention, where not NULL, receives the blocks'
 *  attention weights, attention[layers] of [B, heads, N, N] (N + 1 with a class token, which is the first).
 *  Owned by the open scope. ESHAPE for other sizes. */
et_tensor *et_vit_forward(const et_vit *m, et_tensor *x, et_tensor **attention);

/** The image that the patches are cut from: [B, C, height, width] of x as above. */
et_tensor *et_vit_image(const et_vit *m, et_tensor *x);

/** How much each patch counts for what the head reads, [B, rows cols], each row summing to 1: the mean over
 *  heads of the last block's attention (`rollout` false), or attention rollout (Abnar and Zuidema 2020, arXiv
 *  2005.00928): the product of (A_l + I) / 2 over the blocks, which follows attention through the residual
 *  connections. Read at the class token's row, else averaged over the rows. attention: from
 *  et_vit_forward. */
et_tensor *et_vit_relevance(const et_vit *m, et_tensor *const *attention, bool rollout);

#ifdef __cplusplus
}
#endif
#endif
