/* CNN14: convolutions over log-mel spectrograms (Kong et al. 2020, PANNs, arXiv 1912.10211).
 *
 *   x = BN over each mel band;  block = pool(relu(BN(conv 3x3(relu(BN(conv 3x3 x))))))
 *   h = mean over bands, then the maximum over time + the mean over time;  y = relu(W h + b)
 *
 * pool is the mean of 2 x 2, and nothing in the last block. Dropout stands between the blocks.
 *
 * State dict: bn0.*, conv_block{1..}.{conv1,conv2}.weight, .{bn1,bn2}.*, fc1.*, fc_audioset.* (a classifier
 * that the embedding does without). */
#ifndef ETUDE_MODELS_CNN14_H
#define ETUDE_MODELS_CNN14_H

#include "nn/batch_norm.h"
#include "nn/conv.h"
#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_CNN14_BLOCKS = 8 };

typedef struct et_cnn14_config {
    int64_t bands;
    int blocks;
    int64_t widths[ET_CNN14_BLOCKS]; /* channels of each block */
    int64_t embedding;
    int64_t classes; /* of fc_audioset; 0: none */
    double dropout;
} et_cnn14_config;

/** 64 bands, widths 64 .. 2048, embedding 2048, 527 classes, dropout 0.2: 80 753 615 parameters. */
et_cnn14_config et_cnn14_base(void);

typedef struct et_cnn14_block {
    et_module module;
    et_conv_layer *conv[2];
    et_batch_norm_layer *bn[2];
} et_cnn14_block;

typedef struct et_cnn14 {
    et_module module;
    et_cnn14_config config;
    et_batch_norm_layer *bn0;
    et_cnn14_block *blocks[ET_CNN14_BLOCKS];
    et_linear_layer *fc1, *classifier; /* classifier may be NULL */
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_cnn14;

/** A model under parent and name (both NULL: a root). Weights are Xavier uniform, biases 0. NULL on failure:
 *  EINVAL for sizes below 1, more than ET_CNN14_BLOCKS blocks, a dropout outside [0, 1). */
et_cnn14 *et_cnn14_new(et_module *parent, const char *name, const et_cnn14_config *config, et_rng *rng);

/** The embedding [B, embedding] of log-mel spectrograms x [B, frames, bands].
 *  Owned by the open scope. ESHAPE. */
et_tensor *et_cnn14_forward(const et_cnn14 *m, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
