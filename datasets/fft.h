/* Fourier transforms of real sequences, of any length.
 *
 *   X[k] = sum over j of x[j] exp(-2 pi i j k / n),   k = 0 .. n/2 (the rest mirrors these)
 *
 * Lengths whose prime factors are at most 31 are cut into passes (radix 8, 4, 2 and odd ones);
 * others go through Bluestein's convolution of the next power of two above 2 n. Sequences that come
 * together are transformed side by side in the lanes of vectors, so several cost less than one by
 * one; powers of two are fast alone, too.
 * Sources: Cooley and Tukey 1965; Bluestein 1970. The rounding error grows with log n: measured
 * against the sum in double, relative to the largest |X[k]|, it is below 5e-7 for float32. */
#ifndef ETUDE_DATASETS_FFT_H
#define ETUDE_DATASETS_FFT_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A plan: factors and tables for one length. */
typedef struct et_fft et_fft;

enum { ET_FFT_LONGEST = 1 << 26 };

/** A plan for sequences of n reals, 1 <= n <= ET_FFT_LONGEST, in float32 or float64. The caller owns it; it
 *  may be used by several threads at once. NULL and EINVAL (n), EDTYPE or ENOMEM. */
et_fft *et_fft_new(et_dtype dtype, int64_t n);
void et_fft_free(et_fft *plan);

/** The length n of the plan's sequences, and the number n/2 + 1 of their bins. */
int64_t et_fft_length(const et_fft *plan);
int64_t et_fft_bins(const et_fft *plan);

/** Transforms `count` sequences. Sequence i is x[i x_step + j], j < n; its bins become
 *  X[i X_step + 2 k] (real part) and X[i X_step + 2 k + 1] (imaginary part), k <= n/2. Steps count
 *  reals of the plan's dtype; x_step may be less than n (frames that overlap), X_step is at least
 *  2 (n/2 + 1). X is other memory than x. EINVAL (NULL, count below 0, steps), ENOMEM. */
et_status et_fft_forward(const et_fft *plan, int64_t count, const void *x, int64_t x_step, void *X,
                         int64_t X_step);

/** The inverse, 1/n included: x from the bins of et_fft_forward. The imaginary part of bin 0, and for
 *  even n of bin n/2, is taken to be 0. Steps and errors as above, with x_step at least n. */
et_status et_fft_inverse(const et_fft *plan, int64_t count, const void *X, int64_t X_step, void *x,
                         int64_t x_step);

#ifdef __cplusplus
}
#endif
#endif
