/* ResNet with bottlenecks over spectrograms (He et al. 2016, arXiv 1512.03385):
 *
 *   stem   relu(BN(conv 7x7, stride 2)), max-pool 3, stride 2
 *   block  relu(BN(conv 1x1(relu(BN(conv 3x3, stride s(relu(BN(conv 1x1(x)))))))) + shortcut(x))
 *   y      mean over all positions [, W y + b]
 *
 * with a widening by 4 in each block's last convolution; the shortcut is x, or BN(conv 1x1, stride s) where
 * sizes change.
 *
 * State dict: conv1.weight, bn1.*, layer{1..}.{i}.conv{1,2,3}.weight, .bn{1,2,3}.*, .downsample.0.weight,
 * .downsample.1.*, fc.*. */
#ifndef ETUDE_MODELS_RESNET_H
#define ETUDE_MODELS_RESNET_H

#include "nn/batch_norm.h"
#include "nn/conv.h"
#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_RESNET_STAGES = 4, ET_RESNET_WIDENING = 4 };

typedef struct et_resnet_config {
    int64_t channels;             /* of the input */
    int64_t width;                /* of the stem; stage i has width 2^i */
    int blocks[ET_RESNET_STAGES]; /* at least 1 each */
    int64_t classes;              /* of fc; 0: none */
} et_resnet_config;

/** ResNet-50: width 64, blocks 3, 4, 6, 3. One channel and no fc: 23 501 760 parameters;
 *  three and 1000 classes: 25 557 032. */
et_resnet_config et_resnet_50(int64_t channels, int64_t classes);

typedef struct et_bottleneck {
    et_module module;
    et_conv_layer *conv[3], *shortcut; /* shortcut and its norm may be NULL */
    et_batch_norm_layer *bn[3], *shortcut_bn;
} et_bottleneck;

typedef struct et_resnet {
    et_module module;
    et_resnet_config config;
    et_conv_layer *conv1;
    et_batch_norm_layer *bn1;
    et_bottleneck **blocks; /* [n_blocks], of all stages */
    int n_blocks;
    et_linear_layer *fc; /* or NULL */
} et_resnet;

/** A model under parent and name (both NULL: a root). Convolutions are U(+-1/sqrt(fan_in)). NULL on failure:
 *  EINVAL for sizes below 1, and as et_module_new. */
et_resnet *et_resnet_new(et_module *parent, const char *name, const et_resnet_config *config, et_rng *rng);

/** Width of the result without fc. */
int64_t et_resnet_width(const et_resnet_config *config);

/** x [B, channels, H, W] -> [B, width], or [B, classes] with fc. Owned by the open scope. ESHAPE, also for
 *  images that vanish under the strides. */
et_tensor *et_resnet_forward(const et_resnet *m, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
