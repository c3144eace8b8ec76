/* Spectra of as many frames as a vector has lanes, for those who go on with them (front_end.c). */
#ifndef ETUDE_DATASETS_STFT_ROWS_H
#define ETUDE_DATASETS_STFT_ROWS_H

#include "datasets/stft.h"
#include "tensor/kernels.h"

/** What to do with the frames first .. first + count - 1: rows [bins] of |X|^2, or complex rows, of
 *  table k, and `more` reals of room. Runs on several threads at once; raises nothing. */
typedef void (*et_stft_body)(const et_kernels *k, int64_t first, int count, const float *rows, float *more,
                             void *user);

/** The table whose rows et_stft_each gives. */
const et_kernels *et_stft_kernels(const et_stft *s);

/** Calls body for all frames of the samples, in pieces. Errors as of et_stft_power; `what` stands in them. */
et_status et_stft_each(const char *what, const et_stft *s, const float *samples, int64_t n, bool power,
                       int64_t more, et_stft_body body, void *user);

#endif
