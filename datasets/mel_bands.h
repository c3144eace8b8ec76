/* The inside of a filter bank, for those who apply it to rows (front_end.c). */
#ifndef ETUDE_DATASETS_MEL_BANDS_H
#define ETUDE_DATASETS_MEL_BANDS_H

#include "datasets/mel.h"
#include "tensor/kernels.h"

struct et_mel {
    int64_t filters, bins;
    et_band *bands; /* [filters] */
    float *weights; /* of all bands, one after the other */
};

#endif
