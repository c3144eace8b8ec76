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

/** [B, steps, F]: of each sequence `steps` of its steps in their order, every choice equally likely: all of
 *  the recording at another pace. Shorter sequences, lengths and errors as et_augment_crop. */
et_tensor *et_augment_pick(const et_tensor *x, et_tensor *lengths, int64_t steps, et_rng *rng);

/** Sets `count` runs of 0 .. max_width steps (uniform) in each sequence to `value`: time
 *  masking of Park et al., "SpecAugment" (2019). Of standardised data 0 is the mean. */
et_status et_augment_time_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                               double value, et_rng *rng);

/** The same along the features, over all valid steps: frequency masking. */
et_status et_augment_feature_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                                  double value, et_rng *rng);

/** Bends time (the same paper, with straight pieces instead of a spline): of a sequence of more than
 *  2 warp + 2 steps a random step, at least warp + 1 from either end, moves by -warp .. warp steps;
 *  what lies before and behind is stretched or pressed to fit, neighbouring steps interpolated. The
 *  first and the last step stay; shorter sequences do, too. ENOMEM besides. */
et_status et_augment_time_warp(et_tensor *x, const et_tensor *lengths, int64_t warp, et_rng *rng);

/* A policy of SpecAugment. The paper's, as {warp, features, width, times, width, share}: LB {80, 1, 27,
 * 1, 100, 1}, LD {80, 2, 27, 2, 100, 1}, SM {40, 2, 15, 2, 70, 0.2}, SS {40, 2, 27, 2, 70, 0.2}. */
typedef struct et_spec_augment {
    int64_t warp; /* 0: none */
    int feature_masks;
    int64_t feature_width;
    int time_masks;
    int64_t time_width;
    double time_share; /* a mask covers at most this share of its sequence, 0 .. 1 */
    double value;      /* of what is masked */
} et_spec_augment;

/** Warps, then masks features, then steps. EINVAL for a share outside 0 .. 1, and as above. */
et_status et_augment_spec(et_tensor *x, const et_tensor *lengths, const et_spec_augment *policy, et_rng *rng);

/** x -> (1 + scale n1) x + shift n2 with two draws n ~ N(0,1) for each sequence: another
 *  level and another contrast of the recording, where x is a standardised level in dB. */
et_status et_augment_gain(et_tensor *x, const et_tensor *lengths, double scale, double shift, et_rng *rng);

/** x[t][f] -> x[t][f] + std n[f] with a draw for each feature of each sequence, the same at
 *  all its steps: another recording's colour. Where few recordings share an artist or a
 *  studio, this keeps a model from learning theirs. */
et_status et_augment_feature_shift(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng);

/** Moves the features of each sequence by n places, n uniform in -most .. most and the same at all its steps:
 *  x[t][f] -> x[t][f - n]. The features are `groups` runs of as many, each of which moves by itself; places
 *  that come free repeat the run's first or last feature. Of bands of about equal pitch: another key. EINVAL
 *  for groups that do not divide F, for `most` below 0 or not below F / groups. */
et_status et_augment_transpose(et_tensor *x, const et_tensor *lengths, int64_t groups, int64_t most,
                               et_rng *rng);

/** Adds a smooth curve to the first `features` of each sequence, the same at all its steps: the sum over
 *  k < terms of a_k cos(pi k (f + 1/2) / features), every a_k uniform in -most .. most: level, tilt and tone
 *  of another recording. EINVAL for features outside 1 .. F, terms outside 0 .. features. ENOMEM besides. */
et_status et_augment_equalise(et_tensor *x, const et_tensor *lengths, int64_t features, int64_t terms,
                              double most, et_rng *rng);

/** x -> x + std n with a draw for every element. */
et_status et_augment_noise(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng);

/* What becomes of a sound in training; zero: nothing. */
typedef struct et_sound_augment {
    double speed; /* 0 .. 1: played slower or faster by up to (1 + speed), and with it lower or higher */
    bool place;   /* one that is shorter than the row begins anywhere in it, of a longer one any part is
                   * heard */
    double gain;  /* dB, 0 .. 120: softer or louder by up to so much */
    double noise; /* white noise of up to this share of the sound's root mean square, 0 .. 100 */
} et_sound_augment;

/** Changes sounds x float32 [B, samples] with draws for each, all equally likely (of speed the logarithm).
 *  `lengths` are those before; the row behind a sound is zeros afterwards, noise covers all of it. Other
 *  speeds are read off cubics through four samples (Catmull and Rom 1974), without a filter: a faster sound's
 *  highest frequencies fold. An empty sound stays as it is. ENOMEM besides. */
et_status et_augment_sound(et_tensor *x, const et_tensor *lengths, const et_sound_augment *o, et_rng *rng);

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
