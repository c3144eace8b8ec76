/* Weighted sums of neighbouring bins: what filter banks and the cosine transform of them are. */
#ifndef ETUDE_DATASETS_BANDS_H
#define ETUDE_DATASETS_BANDS_H

#include "tensor/kernels.h"

/** out[frames][n] from x[frames][bins]; band i sums its weights times its bins. ENOMEM. */
et_status et_bands_apply(int64_t n, const et_band *bands, const float *weights, int64_t frames, int64_t bins,
                         const float *x, float *out);

#endif
