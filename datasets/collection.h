/* A collection of sounds: what is known of each item, and a way to hear it. Every corpus, on disk or
 * built in, is one of these; features and batches are made from it. */
#ifndef ETUDE_DATASETS_COLLECTION_H
#define ETUDE_DATASETS_COLLECTION_H

#include "datasets/audio.h"
#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_collection et_collection;

/* All of it is owned by the collection. Where a field is NULL (or its n 0), the corpus has none. */
struct et_collection {
    char *name;         /* such as "gtzan", "built-in" */
    et_names names;     /* [N], unique: "blues.00001" */
    et_names files;     /* [N] paths, or 0 where items are not files */
    et_names classes;   /* [K] genres or styles */
    et_tensor *y;       /* int32 [N], 0 .. K - 1 */
    et_names tag_names; /* [L] */
    et_tensor *tags;    /* uint8 [N, L], 0 or 1 */
    et_names captions;  /* [N] */
    et_tensor *groups;  /* int32 [N], equal for items that must stay together */
    et_tensor *split;   /* int32 [N], index into splits, -1 for none */
    et_names splits;
    /* The sound of item i. May be called by several threads at once, with or without open scopes. */
    et_status (*load)(const et_collection *c, int64_t i, et_audio *out);
    void *source; /* what load needs, released by free_source */
    void (*free_source)(void *source);
};

/** An empty collection whose items are read from `files`; the caller owns it. NULL and ENOMEM. */
et_collection *et_collection_new(const char *name);
void et_collection_free(et_collection *c);

/** Number of items. */
int64_t et_collection_size(const et_collection *c);

/** Checks that the fields fit each other: counts, dtypes, labels and splits inside their names, tags 0
 *  or 1, names of items, classes, tags and splits unique and not empty. ESHAPE, EDTYPE, EINVAL. */
et_status et_collection_check(const et_collection *c);

/** The sound of item i, as the corpus has it (any rate, any channels); the caller frees it. Safe to
 *  call from several threads. EINVAL for an index outside; ENONFINITE for samples that are no numbers; else
 *  what reading says, with the item's name. */
et_status et_collection_audio(const et_collection *c, int64_t i, et_audio *out);

/** A data set without features (x is the caller's to add: float32 [N, ...]) that has the collection's
 *  labels, tags, groups, splits and names, so that et_split_* and et_batches_* work on it once x is
 *  there. A collection without classes gives all items one class, named as the collection. The caller
 *  frees it. NULL: what et_collection_check says, ENOMEM. */
et_dataset *et_collection_labels(const et_collection *c);

#ifdef __cplusplus
}
#endif
#endif
