/* Batches as taggers read them: x [B, bands, frames] or [B, samples], targets float32 [B, L]. */
#ifndef ETUDE_EXAMPLES_TAGGER_BATCHES_H
#define ETUDE_EXAMPLES_TAGGER_BATCHES_H

#include "examples/tagger_data.h"
#include "tensor/rng.h"

typedef struct tagger_batch_options {
    int64_t size, rows; /* items of a batch; rows (frames, samples) of a crop */
    bool train;         /* shuffled, crops at random places; else `chunks` crops of an item, evenly spaced */
    int chunks;
    double mixup;
    et_sound_augment sound; /* of training with samples */
    uint64_t seed;
    int workers;        /* background threads, where data are not in memory */
} tagger_batch_options;

typedef struct tagger_batch {
    et_tensor *x, *targets;
    const int32_t *item; /* [n], of the data; until the next batch */
    int64_t n;           /* 0 at the end of the epoch */
} tagger_batch;

typedef struct tagger_batches tagger_batches;

/** Over the given items, which are copied; the data must outlive it. Chunk i of `chunks` of an item of n rows
 *  begins at row i ((n - rows) / chunks), rounded down; an item that is not longer than a crop has one,
 *  filled up with zeros. NULL and EINVAL, ENOMEM. */
tagger_batches *tagger_batches_new(const tagger_data *d, const et_indices *items,
                                   const tagger_batch_options *o);
void tagger_batches_free(tagger_batches *b);

/** Items of an epoch (chunks counted one by one); batches, at most. */
int64_t tagger_batches_items(const tagger_batches *b);
int64_t tagger_batches_count(const tagger_batches *b);

et_status tagger_batches_start(tagger_batches *b, int64_t epoch);

/** The next batch, owned by the open scope. */
et_status tagger_batches_next(tagger_batches *b, tagger_batch *out);

/** "NAME: what is wrong" of the sounds that were left out; NULL where data are in memory. */
const et_names *tagger_batches_broken(const tagger_batches *b);

#endif
