/* Standardising features: (x - mean) / std, fitted on the training part alone. */
#ifndef ETUDE_DATASETS_STANDARDIZE_H
#define ETUDE_DATASETS_STANDARDIZE_H

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Over what mean and deviation are taken. */
typedef enum et_standardize_kind {
    ET_STANDARDIZE_FEATURE, /* each feature of the last axis, over items and steps: [F] */
    ET_STANDARDIZE_CENTRE,  /* a mean for each feature, one deviation for all about those: [F] */
    ET_STANDARDIZE_ELEMENT, /* each element of an item, over items: [...] without the first axis */
    ET_STANDARDIZE_ALL      /* one mean, one deviation */
} et_standardize_kind;

/* Owned by the caller, freed by et_standardizer_free. Both tensors are float32 of the same
 * shape, which is the end of an item's shape ([F], the whole item, or [1]); a
 * checkpoint can hold them as buffers. */
typedef struct et_standardizer {
    et_tensor *mean, *std;
    double clip; /* results are cut to -clip .. clip; 0: not */
} et_standardizer;

/** Fits to the items index[0 .. n-1] (the training part), steps behind a sequence's end
 *  left out; index NULL means all items. Sums are taken in double, in two passes; the
 *  deviation is the biased one. A feature that does not vary (deviation below 1e-6 of its
 *  largest magnitude) gets the deviation 1. EINVAL without any item or for a bad index,
 *  ENONFINITE for NaN or infinity in the data, ENOMEM. */
et_status et_standardizer_fit(et_standardizer *s, const et_dataset *ds, const int32_t *index, int64_t n,
                              et_standardize_kind kind);

/** Makes one from values that were saved (copied). ESHAPE if they differ in shape, EINVAL
 *  for a deviation that is not positive and finite. */
et_status et_standardizer_set(et_standardizer *s, const et_tensor *mean, const et_tensor *std);

/** x -> (x - mean) / std in place for every item; steps behind a sequence's end become 0.
 *  ESHAPE if the values do not fit the items. */
et_status et_standardizer_apply(const et_standardizer *s, et_dataset *ds);

/** Subtracts from each item its own mean over all valid steps and features, in place: its
 *  level no longer matters. Needs no fitting; apply it before a standardizer is fitted. */
et_status et_centre_items(et_dataset *ds);

/** Subtracts from the first n features (0: all) of each sequence [T, F] their own means over its valid steps,
 *  in place. Of levels of bands, what is constant goes: the mean spectrum, and with it how a recording was
 *  made; how the sound changes stays (Furui 1981, for cepstral coefficients). ESHAPE for other items, EINVAL
 *  for n outside 0 .. F. */
et_status et_centre_features(et_dataset *ds, int64_t n);

/** Widens sequences [N, T, F] to [N, T, 2F]: behind each frame's features come their flux,
 *  |x_t - x_(t-1)|, which is 0 at the first frame and past a sequence's end. ESHAPE for
 *  other items, ENOMEM. */
et_status et_append_flux(et_dataset *ds);

/** Widens sequences [N, T, F] to [N, T, F + n]: behind each frame's features comes the roughness of its first
 *  n (0: of all), |x_(f-1) - 2 x_f + x_(f+1)|, which is 0 at the first and the n-th and past a sequence's
 *  end. In levels of bands it is large at the peaks of partials and small in noise. ESHAPE for other items,
 *  EINVAL for n outside 0 .. F, ENOMEM. */
et_status et_append_roughness(et_dataset *ds, int64_t n);

void et_standardizer_free(et_standardizer *s);

#ifdef __cplusplus
}
#endif
#endif
