/* Augmentation of a training batch of sequences x [B, T, F], as et_batches_next gathers
 * it. What is drawn depends on the generator and the sizes alone, so that an epoch can be
 * repeated: a training loop makes a generator per epoch, et_rng_make(seed, stream + epoch).
 *
 * `lengths` int32 [B] may be NULL (all T). Functions work in place unless they return a
 * tensor, which then belongs to the open scope. Steps behind a sequence's end are left
 * as they are. Errors: EDTYPE and ESHAPE for other tensors than described, EINVAL for bad
 * parameters. */
#ifndef ETUDE_DATASETS_AUGMENT_H
#define ETUDE_DATASETS_AUGMENT_H

#include "tensor/rng.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** [B, steps, F]: of each sequence a run of `steps` steps from a random place. A sequence
 *  that is shorter comes whole, with zeros behind. lengths, where given, is changed to
 *  min(length, steps). 1 <= steps <= T. */
et_tensor *et_augment_crop(const et_tensor *x, et_tensor *lengths, int64_t steps, et_rng *rng);

/** Sets `count` runs of 0 .. max_width steps (uniform) in each sequence to `value`: time
 *  masking of Park et al., "SpecAugment" (2019). Of standardised data 0 is the mean. */
et_status et_augment_time_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                               double value, et_rng *rng);

/** The same along the features, over all valid steps: frequency masking. */
et_status et_augment_feature_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                                  double value, et_rng *rng);

/** x -> (1 + scale n1) x + shift n2 with two draws n ~ N(0,1) for each sequence: another
 *  level and another contrast of the recording, where x is a standardised level in dB. */
et_status et_augment_gain(et_tensor *x, const et_tensor *lengths, double scale, double shift, et_rng *rng);

/** x[t][f] -> x[t][f] + std n[f] with a draw for each feature of each sequence, the same at
 *  all its steps: another recording's colour. Where few recordings share an artist or a
 *  studio, this keeps a model from learning theirs. */
et_status et_augment_feature_shift(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng);

/** x -> x + std n with a draw for every element. */
et_status et_augment_noise(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng);

/** float32 [B, K]: the labels y int32 [B] as rows with 1 - smoothing at the class and
 *  smoothing / K added everywhere. EINVAL for a label outside 0 .. K-1, smoothing outside [0, 1). */
et_tensor *et_augment_one_hot(const et_tensor *y, int64_t K, double smoothing);

/** Mixup (Zhang et al. 2018): x[i] -> l x[i] + (1 - l) x[p(i)] with one l ~ Beta(alpha,
 *  alpha) for the batch and a random permutation p; the same for targets float32 [B, K].
 *  lengths, where given, becomes the smaller of the two. Works on any x float32 [B, ...].
 *  alpha 0 does nothing. */
et_status et_augment_mixup(et_tensor *x, et_tensor *targets, et_tensor *lengths, double alpha, et_rng *rng);

/** A draw from Beta(a, a), 0 < a, by two gamma variates (Marsaglia and Tsang 2000). */
double et_rng_beta(et_rng *rng, double a);

#ifdef __cplusplus
}
#endif
#endif
