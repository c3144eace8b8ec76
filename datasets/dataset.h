/* A supervised data set in memory: items of equal shape, a class label for each, and
 * what is known about them (names, groups, splits, lengths, planted events). */
#ifndef ETUDE_DATASETS_DATASET_H
#define ETUDE_DATASETS_DATASET_H

#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Owned strings. */
typedef struct et_names {
    int64_t n;
    char **items;
} et_names;

/* All of it is owned by the data set. Where a field may be NULL (or its n be 0), the
 * data do not have it. */
typedef struct et_dataset {
    et_tensor *x;       /* float32 [N, ...]; sequences are [N, T, F], zero behind their end */
    et_tensor *y;       /* int32 [N], 0 .. classes.n - 1 */
    et_tensor *lengths; /* int32 [N], valid steps of each sequence; NULL: all T */
    et_tensor *groups;  /* int32 [N], equal for items that must stay together (an artist's); NULL: none */
    et_tensor *split;   /* int32 [N], index into splits, -1 for none; NULL: no split given */
    et_tensor *events;  /* int32 [N, 2], first step of a known event and one past its last; or NULL */
    et_tensor *tags;    /* uint8 [N, L], 1 where the item has the tag, else 0; or NULL */
    et_names classes;   /* [K] */
    et_names tag_names; /* [L] */
    et_names names;     /* [N] or 0 */
    et_names splits;    /* such as "train", "valid" */
} et_dataset;

/** An empty data set, all fields NULL; the caller owns it. NULL and ENOMEM. */
et_dataset *et_dataset_new(void);

/** Releases it and all that it owns; NULL is allowed. */
void et_dataset_free(et_dataset *ds);

/** Number of items; of classes. */
int64_t et_dataset_size(const et_dataset *ds);
int64_t et_dataset_classes(const et_dataset *ds);

/** Checks that the fields fit each other: x float32 with N >= 0 items and at least one
 *  further dimension, all others of their dtype with N rows, labels inside the classes,
 *  lengths in 1 .. T, splits inside the names, tags 0 or 1. ESHAPE, EDTYPE or EINVAL with what is wrong. */
et_status et_dataset_check(const et_dataset *ds);

/** A new data set of the items at index[0 .. n-1], in that order (repeats allowed);
 *  classes and splits keep their numbers. EINVAL for an index outside; ENOMEM. */
et_dataset *et_dataset_subset(const et_dataset *ds, const int32_t *index, int64_t n);

/** Number of items of each class, counts[classes.n]. */
et_status et_dataset_count(const et_dataset *ds, int64_t *counts);

/** Appends a copy of `name`, or copies of all names of another list; et_names_find gives a name's index
 *  or -1. et_names_free empties it. */
et_status et_names_add(et_names *names, const char *name);
et_status et_names_copy(et_names *names, const et_names *from);
int64_t et_names_find(const et_names *names, const char *name);
void et_names_free(et_names *names);

/** A tensor that no scope owns, whatever scope is open: for the fields above. */
et_tensor *et_dataset_tensor(et_dtype dtype, int ndim, const int64_t *shape);

#ifdef __cplusplus
}
#endif
#endif
