/* Short-time Fourier transforms: spectra of frames that follow each other at equal distances.
 *
 *   X[t][k] = sum over j < n_fft of w[j] x[t hop + j - before] exp(-2 pi i j k / n_fft)
 *
 * and back by overlap-add (Griffin and Lim 1984, eq. 6). Samples are mono float32. */
#ifndef ETUDE_DATASETS_STFT_H
#define ETUDE_DATASETS_STFT_H

#include "datasets/window.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What happens at the ends of n samples. */
typedef enum et_stft_ends {
    ET_STFT_CENTRED, /* n_fft/2 samples mirrored at both ends, the ends themselves not repeated: frame t is
                        around sample t hop; 1 + floor(n / hop) frames (n - 1 for odd n_fft); needs n >
                        n_fft/2 */
    ET_STFT_INSIDE,  /* frame t begins at sample t hop; 1 + floor((n - frame) / hop) frames */
    ET_STFT_PADDED   /* the same with zeros behind the end: ceil(n / hop) frames */
} et_stft_ends;

typedef struct et_stft_options {
    int64_t n_fft; /* length of the transform, at least 2 */
    int64_t frame; /* length of the window, at most n_fft; 0: n_fft. The rest is zeros: behind the frame, or
                      on both its sides where frames are centred */
    int64_t hop;   /* samples from frame to frame */
    et_window_kind window;
    bool symmetric; /* of the window; false: periodic */
    et_stft_ends ends;
    bool kaldi; /* before the window each frame loses its mean and is sharpened: y[j] = x[j] - 0.97 x[j-1],
                   y[0] = 0.03 x[0]. Such a transform has no inverse here. */
} et_stft_options;

typedef struct et_stft et_stft;

/** The caller owns it; it may be used by several threads at once. EINVAL for bad options, ENOMEM. */
et_stft *et_stft_new(const et_stft_options *options);
void et_stft_free(et_stft *s);

/** Bins of a frame, n_fft/2 + 1; frames of n samples, 0 where they are too few. */
int64_t et_stft_bins(const et_stft *s);
int64_t et_stft_frames(const et_stft *s, int64_t n);

/** out[frames][bins] = |X|^2; out[frames][bins][2] = X, real and imaginary parts. ESHAPE for too few
 *  samples, EINVAL for NULL, ENOMEM. Long sounds are cut among threads; the bits are the same. */
et_status et_stft_power(const et_stft *s, const float *samples, int64_t n, float *out);
et_status et_stft_forward(const et_stft *s, const float *samples, int64_t n, float *out);

/** The n samples whose transform is X[frames][bins][2], or the nearest where there are none: frames back in
 *  time, times the window, added where they lie and divided by the sum of the squared windows there.
 *  Samples that no window covers become 0. ESHAPE if n samples do not give that many frames; EINVAL for
 *  NULL and with `kaldi`; ENOMEM. */
et_status et_stft_inverse(const et_stft *s, const float *X, int64_t frames, float *samples, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
