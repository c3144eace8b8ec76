/* Spectral front ends by name: from mono samples to the features that a model reads. The figures of
 * each stand in front_end.c, one row each: won96, ast128, laion64, ms64, mulan, vit129, rnn64, mel96, and the
 * variants won96:power, ast128:log, laion64:htk, mulan:128, mulan:power. doc/spectra.md explains them. */
#ifndef ETUDE_DATASETS_FRONT_END_H
#define ETUDE_DATASETS_FRONT_END_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_front_end et_front_end;

/** The front end `name`. The caller owns it; it may be used
 *  by several threads at once. NULL and EINVAL (the message lists the names), or ENOMEM. */
et_front_end *et_front_end_new(const char *name);
void et_front_end_free(et_front_end *fe);

/** Its name; the rate its samples must have; the number of features of a frame; the number of frames
 *  that n samples give (0 where they are too few). */
const char *et_front_end_name(const et_front_end *fe);
int64_t et_front_end_rate(const et_front_end *fe);
int64_t et_front_end_bins(const et_front_end *fe);
int64_t et_front_end_frames(const et_front_end *fe, int64_t n);

/** Features of n samples at the front end's rate: out[frames][bins], which the caller has. ESHAPE for
 *  too few samples, ENOMEM. Several threads are used where the sound is long; the bits are the same. */
et_status et_front_end_run(const et_front_end *fe, const float *samples, int64_t n, float *out);

/** What frames behind a sound's end are filled with where a model wants a fixed number of them: 0 before
 *  the front end's own normalisation (0.467 for ast128, 0 for those without one). */
double et_front_end_padding(const et_front_end *fe);

/** A text that changes when the features would: parameters and version, for caches. */
const char *et_front_end_signature(const et_front_end *fe);

/** The names, one after the other, ending with NULL. */
const char *const *et_front_end_names(void);

#ifdef __cplusplus
}
#endif
#endif
