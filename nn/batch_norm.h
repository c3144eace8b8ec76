/* Batch normalisation as a layer, with running statistics. */
#ifndef ETUDE_NN_BATCH_NORM_H
#define ETUDE_NN_BATCH_NORM_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Parameters: weight (ones), bias (zeros) [channels].
 * Buffers: running_mean (zeros), running_var (ones) [channels], num_batches_tracked (int32, one element).
 * In training the batch's statistics normalise, and the running ones move towards them by a tenth;
 * in evaluation the running ones normalise. */
typedef struct et_batch_norm_layer {
    et_module module;
    et_tensor *weight, *bias, *running_mean, *running_var, *num_batches_tracked;
    double momentum, eps; /* 0.1 and 1e-5; may be set */
} et_batch_norm_layer;

/** EINVAL for fewer than one channel, and as et_module_new. */
et_batch_norm_layer *et_batch_norm_layer_new(et_module *parent, const char *name, int64_t channels);

/** x [B, channels, ..]; with relu, of the result. Errors as et_batch_norm. */
et_tensor *et_batch_norm_layer_forward(const et_batch_norm_layer *l, et_tensor *x);
et_tensor *et_batch_norm_layer_forward_relu(const et_batch_norm_layer *l, et_tensor *x);
/** The maxima of that over windows of kernel_h x kernel_w, as et_batch_norm_relu_max_pool. */
et_tensor *et_batch_norm_layer_forward_relu_pool(const et_batch_norm_layer *l, et_tensor *x, int64_t kernel_h,
                                                 int64_t kernel_w);
/** x with the channels along `axis` (from the end when negative): one for each band of a spectrogram, say. */
et_tensor *et_batch_norm_layer_forward_axis(const et_batch_norm_layer *l, et_tensor *x, int axis);

#ifdef __cplusplus
}
#endif
#endif
