/* Windows: what a frame of a signal is multiplied with before its transform. */
#ifndef ETUDE_DATASETS_WINDOW_H
#define ETUDE_DATASETS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* With a = 2 pi j / N: */
typedef enum et_window_kind {
    ET_WINDOW_RECTANGULAR, /* 1 */
    ET_WINDOW_HANN,        /* 0.5 - 0.5 cos a */
    ET_WINDOW_HAMMING,     /* 0.54 - 0.46 cos a */
    ET_WINDOW_BLACKMAN     /* 0.42 - 0.5 cos a + 0.08 cos 2a */
} et_window_kind;

/** Writes w[0 .. n-1]. Periodic: N = n, one period of the cosine, for spectra; symmetric: N = n - 1,
 *  both ends equal, for filters. n = 1 gives 1. EINVAL for NULL, n < 1 or another kind. */
et_status et_window(et_window_kind kind, bool symmetric, int64_t n, float *w);

#ifdef __cplusplus
}
#endif
#endif
