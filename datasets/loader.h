/* Batches of sounds or features, prepared by background threads while the last one is computed with.
 *
 *     et_loader_options o = {.front_end = fe, .rows = 626, .crop = ET_CROP_RANDOM, .size = 16,
 *                            .shuffle = true, .seed = seed, .threads = 2, .ahead = 4};
 *     et_loader *loader = et_loader_new(collection, train.items, train.n, &o);
 *     for (int64_t epoch = 0; epoch < epochs; epoch++) {
 *         if (et_loader_start(loader, epoch) < 0) ...
 *         for (;;) {
 *             et_loader_batch b;
 *             et_scope *step = et_scope_open();
 *             if (et_loader_next(loader, &b) < 0) ...
 *             if (b.n == 0) break;                            (and close the scope)
 *
 * An item's rows are the frames of its features, or its samples at a rate; a crop of them is what a model
 * reads. Which batches come, and every number in them, depends on the seed and the epoch alone: not on the
 * number of threads, on the epochs before, or on whether there is a cache.
 *
 * An item that cannot be read is left out of its batch, which is smaller then, and is noted once by name. */
#ifndef ETUDE_DATASETS_LOADER_H
#define ETUDE_DATASETS_LOADER_H

#include "datasets/collection.h"
#include "datasets/feature_cache.h"
#include "datasets/front_end.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_crop {
    ET_CROP_FIRST,  /* the first rows */
    ET_CROP_CENTRE, /* the middle */
    ET_CROP_RANDOM, /* another place every epoch, all equally likely */
    ET_CROP_CHUNKS, /* `chunks` crops, one behind the other, each an entry of its own */
    ET_CROP_SPREAD  /* `chunks` crops, crop i at row i * ((n - rows) / chunks) of an item's n rows, rounded
                     * down: they overlap. An item that fits into one crop has that alone */
} et_crop;

typedef struct et_loader_options {
    const et_front_end *front_end; /* features; NULL: samples */
    int64_t rate;                  /* of samples, frames a second; with a front end its own */
    const et_feature_cache *cache; /* where the features are, of the same collection and front end; or NULL */
    int64_t rows;                  /* of a crop; an item with fewer is followed by zeros */
    et_crop crop;
    int chunks;   /* of ET_CROP_CHUNKS (a sound of 30 s and crops of 10 s take 3) and ET_CROP_SPREAD */
    int64_t size; /* entries of a batch */
    bool shuffle, drop_last; /* as et_batch_options */
    uint64_t seed;
    int threads;   /* 0 .. 256; 0: the work is done in et_loader_next */
    int64_t ahead; /* batches that may wait, at least 1; 0: two for each thread */
} et_loader_options;

typedef struct et_loader_batch {
    et_tensor *x;       /* float32 [B, rows, bins], or [B, rows] of samples */
    et_tensor *lengths; /* int32 [B], rows that are not padding */
    et_tensor *y;       /* int32 [B], or NULL if the collection has no classes */
    et_tensor *tags;    /* uint8 [B, L], or NULL likewise */
    et_tensor *item;    /* int32 [B], which items of the collection (for captions, say) */
    et_tensor *chunk;   /* int32 [B], which chunk of the item */
    int64_t n;          /* B; 0 at the end of the epoch, the tensors are NULL then */
} et_loader_batch;

typedef struct et_loader et_loader;

/** A loader over the items index[0 .. n-1], which are copied (NULL: all). Collection, front end and cache
 *  must outlive it. NULL and EINVAL for options outside of their range, ENOMEM. */
et_loader *et_loader_new(const et_collection *c, const int32_t *index, int64_t n,
                         const et_loader_options *options);

/** Ends the threads and releases it, at any moment; an item that is being read is waited for. */
void et_loader_free(et_loader *loader);

/** Entries of an epoch (items times chunks, broken ones counted); batches, at most. */
int64_t et_loader_entries(const et_loader *loader);
int64_t et_loader_count(const et_loader *loader);

/** Goes to the start of epoch 0, 1, ...; what is left of another is given up.
 *  Needed before et_loader_next. */
et_status et_loader_start(et_loader *loader, int64_t epoch);

/** The next batch, in tensors that the open scope owns.
 *  ESCOPE without one, ENOMEM; what else a broken item says is no error. */
et_status et_loader_next(et_loader *loader, et_loader_batch *out);

/** What is wrong with the items left out so far, "NAME: message", each once,
 *  in the order in which they came. */
const et_names *et_loader_broken(const et_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
