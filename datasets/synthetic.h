/* Tasks that a program makes for itself: small, the same on every machine, solvable by
 * the model that they are meant for and not by a simpler one. */
#ifndef ETUDE_DATASETS_SYNTHETIC_H
#define ETUDE_DATASETS_SYNTHETIC_H

#include <stdbool.h>

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Planted prototypes ("S-RNN"): noise sequences x ~ N(0,1) of T steps and F features. Class
 * k has a fixed prototype ~ N(0,1) of `window` steps; at a random position the window
 * becomes `keep` x + prototype. */
typedef struct et_planted_options {
    int64_t steps, features, window, classes;
    double keep;
    uint64_t seed; /* of prototypes and items */
    int part;      /* 0, 1, 2, ...: disjoint draws with the same prototypes (train, valid, test) */
} et_planted_options;

/** 64 steps, 16 features, window 8, 6 classes, keep 0.5, seed 1, part 0. */
et_planted_options et_planted_defaults(void);

/** n items; labels uniform over the classes, positions over all where the window fits, both
 *  in `events` (first step and one past the last) and y. An item is a function of (seed,
 *  part, its number) alone: the first 100 of 1000 are the 100. Class names are
 *  "prototype 0", "prototype 1", ...; the caller frees the set. `options` NULL means the
 *  defaults. EINVAL, ENOMEM. */
et_dataset *et_planted(int64_t n, const et_planted_options *options);

/** Melodies in two styles ("S-VAE") as events (pitch 0 .. 23, 24 for END; dt, dur 0 .. 8): x float32
 *  [n, 15, 3], lengths with END counted, y the style. 8 to 14 notes from a random root (0 .. 4) and
 *  degree (0 .. 6); style 0: major scale, steps of -1, 0 or 1 degree, durations 4, 4 or 8; style 1: minor
 *  scale, steps of 2, 2, -2, 4 or -4, durations 1, 2 or 2. dt is the duration before (0 first); END has dt
 *  and dur -1. An item is a function of (seed, part, its number) alone. EINVAL, ENOMEM. */
et_dataset *et_melodies(int64_t n, uint64_t seed, int part);

/** Sounds with captions ("S-XM"): x float32 [n, 64, 16], y one of 128 combinations of instrument (a fixed
 *  timbre over the 16 bins), tempo (on and off with a period of 32, 16, 8 or 4 steps, random phase),
 *  register (a bump of height 2 and width 1.5 at bin 2, 6, 10 or 14) and noise (deviation 0.3 or 0.9).
 *  `captions` (empty before) gets a sentence for each, from three templates over 28 words. `each`: item i
 *  is combination i mod 128, so that 128 items are a test set; otherwise they are drawn. An item is a
 *  function of (seed, part, its number) alone. EINVAL, ENOMEM. */
et_dataset *et_captioned(int64_t n, uint64_t seed, int part, bool each, et_names *captions);

/** Sequences to reverse ("S-REV"): x float32 [n, 8], symbols 3 .. 11 of a vocabulary of 12, whose first
 *  three are for padding, beginning and end; y all 0. EINVAL, ENOMEM. */
et_dataset *et_reversal(int64_t n, uint64_t seed, int part);

/* Waves in noise ("S-VIT"): images of T rows and F columns, noise N(0, noise^2) plus a unit sine of random
 * phase. Classes 0, 1, 2 vary along the rows (time) with a period of 4, 8, 16, classes 3, 4, 5 along the
 * columns. */
typedef struct et_waves_options {
    int64_t steps, features;
    double noise;
    uint64_t seed;
    int part; /* as in et_planted_options */
} et_waves_options;

/** 32 steps, 16 features, noise 0.7, seed 1, part 0. */
et_waves_options et_waves_defaults(void);

/** n items [T, F] of the six classes "time 4" .. "feature 16"; each a function of (seed, part, its number).
 *  The caller frees the set. `options` NULL means the defaults. EINVAL, ENOMEM. */
et_dataset *et_waves(int64_t n, const et_waves_options *options);

/* Tagged patterns ("S-TAG"): noise spectrograms x ~ N(0,1) of bands x frames. Each tag is on with a chance of
 * its own; one that is on adds its fixed prototype ~ N(0, strength^2) of `window` frames at a random
 * position. */
typedef struct et_tagged_options {
    int64_t bands, frames, window, tags;
    double chance, strength;
    uint64_t seed; /* of prototypes and items */
    int part;      /* as above */
} et_tagged_options;

/** 24 bands, 64 frames, window 8, 8 tags, chance 0.25, strength 1.5, seed 1, part 0. */
et_tagged_options et_tagged_defaults(void);

/** n items x [bands, frames] with `tags`, and in `events` the frames of the first tag that is on (0, 0
 *  without one). Items are functions of (seed, part, number) as above; tag names are "tag 0", ...; the caller
 *  frees the set. There is one class, "any". NULL options: the defaults. EINVAL, ENOMEM. */
et_dataset *et_tagged_patterns(int64_t n, const et_tagged_options *options);

/* Tagged tones ("S-RAW"): samples of noise. Each of six tags that is on adds a sine of 20, 37, 61, 95, 140 or
 * 210 cycles in 2187 samples, of random phase, under a Hann envelope at a random position. */
typedef struct et_tones_options {
    int64_t samples, envelope;
    double chance, noise; /* noise: standard deviation */
    uint64_t seed;
    int part;
} et_tones_options;

/** 2187 samples, envelope 729, chance 0.3, noise 0.5, seed 1, part 0. */
et_tones_options et_tones_defaults(void);

/** n items x [samples], else as et_tagged_patterns. */
et_dataset *et_tagged_tones(int64_t n, const et_tones_options *options);

#ifdef __cplusplus
}
#endif
#endif
