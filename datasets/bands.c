/* Filter banks: see bands.h. Each band is a run of weights over neighbouring bins, so a bank is a sparse
 * matrix. */
#include "config.h"

#include "datasets/bands.h"

#include "tensor/pool.h"

et_status et_bands_apply(int64_t n, const et_band *bands, const float *weights, int64_t frames, int64_t bins,
                         const float *x, float *out)
{
    const et_kernels *k = et_kernels_for(ET_F32);
    const int64_t lanes = k->lanes;
    float *rows = et_pool_alloc((size_t)((bins + n) * lanes) * sizeof *rows), *sums;

    if (!rows)
        return ET_ENOMEM;
    sums = rows + bins * lanes;
    for (int64_t t = 0; t < frames; t += lanes) {
        const int count = frames - t < lanes ? (int)(frames - t) : (int)lanes;
        k->fft_load(bins, count, x + t * bins, bins, NULL, rows, lanes);
        k->band_sums(n, bands, weights, rows, sums);
        k->fft_store(n, count, sums, lanes, out + t * n, n);
    }
    et_pool_free(rows);
    return ET_OK;
}
