/* Splitting a data set: by the names that its table gives, or at random by group, so
 * that items of one group (artist, piece) never stand on two sides. */
#ifndef ETUDE_DATASETS_SPLIT_H
#define ETUDE_DATASETS_SPLIT_H

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Indices of items, ascending. Release with et_indices_free. */
typedef struct et_indices {
    int32_t *items;
    int64_t n;
} et_indices;

void et_indices_free(et_indices *indices);

/** All items. */
et_status et_split_all(const et_dataset *ds, et_indices *out);

/** The items whose split is `name`; none if the data have no such split (out->n 0). */
et_status et_split_named(const et_dataset *ds, const char *name, et_indices *out);

/** Numbers the items' folds 0 .. k-1 in fold[N], all items of a group alike, each class
 *  spread over the folds as evenly as the groups allow: groups in random order, the
 *  largest first, each to the fold that has the fewest of its classes so far. Depends on
 *  the data and the seed alone. EINVAL for k < 2. */
et_status et_split_folds(const et_dataset *ds, int k, uint64_t seed, int32_t *fold);

/** The items of fold j in `held`, the others in `rest`. */
et_status et_split_fold(const et_dataset *ds, const int32_t *fold, int j, et_indices *rest, et_indices *held);

/** A random split: about `fraction` (0 .. 1) of the items of each class in `held`, the
 *  others in `rest`; groups stay together, as in et_split_folds. */
et_status et_split_random(const et_dataset *ds, double fraction, uint64_t seed, et_indices *rest,
                          et_indices *held);

#ifdef __cplusplus
}
#endif
#endif
