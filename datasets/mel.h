/* Mel filter banks: triangles that stand evenly on a scale of perceived pitch.
 *
 *   HTK and Kaldi scale   m(f) = 1127 ln(1 + f / 700)
 *   Slaney's scale        m(f) = 3 f / 200 below 1000 Hz, 15 + 27 ln(f / 1000) / ln 6.4 above
 *
 * A bank of n filters has n + 2 points p[0 .. n+1], evenly spaced on its scale from `low` to `high`;
 * filter i rises from p[i] to p[i+1] and falls to p[i+2].
 * Sources: Young et al., "The HTK Book"; Slaney, "Auditory Toolbox" (1998); Povey et al., "The Kaldi
 * speech recognition toolkit" (2011). */
#ifndef ETUDE_DATASETS_MEL_H
#define ETUDE_DATASETS_MEL_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_mel_bank {
    ET_MEL_SLANEY, /* Slaney's scale, straight in Hz, times 2 / (p[i+2] - p[i]): equal areas */
    ET_MEL_HTK,    /* HTK's scale, straight in Hz, peak 1 */
    ET_MEL_KALDI   /* the same scale, straight in mel, peak 1, and nothing from the last bin */
} et_mel_bank;

/** Pitch of a frequency on the bank's scale, and back. */
double et_mel_from_hz(et_mel_bank bank, double hz);
double et_mel_to_hz(et_mel_bank bank, double mel);

typedef struct et_mel et_mel;

/** n filters over the n_fft/2 + 1 bins of spectra at `rate`, 0 <= low < high <= rate / 2 in Hz. A filter
 *  may be too narrow to hold a bin; its sum is 0. The caller owns it; it may be used by several threads
 *  at once. EINVAL for what is out of range, ENOMEM. */
et_mel *et_mel_new(et_mel_bank bank, int64_t n, double rate, int64_t n_fft, double low, double high);
void et_mel_free(et_mel *mel);

/** n, and n_fft/2 + 1. */
int64_t et_mel_filters(const et_mel *mel);
int64_t et_mel_bins(const et_mel *mel);

/** The bank as a float32 matrix [filters, bins], owned by the open scope. ENOMEM. */
et_tensor *et_mel_matrix(const et_mel *mel);

/** out[frames][filters] = the filters' sums over x[frames][bins]. EINVAL for NULL or frames < 0, ENOMEM. */
et_status et_mel_apply(const et_mel *mel, int64_t frames, const float *x, float *out);

/** The first n coefficients of each frame's cosine transform (DCT II, orthonormal): of the logarithm of
 *  mel bands these are the mel frequency cepstral coefficients, MFCC.
 *    out[t][k] = s(k) sum over i < bands of x[t][i] cos(pi k (2 i + 1) / (2 bands)),
 *    s(0) = sqrt(1 / bands), s(k) = sqrt(2 / bands)
 *  1 <= n <= bands, else EINVAL; ENOMEM. Source: Davis and Mermelstein 1980. */
et_status et_mfcc(int64_t frames, int64_t bands, const float *x, int64_t n, float *out);

#ifdef __cplusplus
}
#endif
#endif
