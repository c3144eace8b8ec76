/* Batches: which items, in which order, gathered into tensors.
 *
 *     et_batch_options options = {.size = 32, .shuffle = true, .seed = seed};
 *     et_batches *loader = et_batches_new(ds, train.items, train.n, &options);
 *     for (int64_t epoch = 0; epoch < epochs; epoch++) {
 *         et_batch b;
 *         et_batches_start(loader, epoch);
 *         while (et_batches_more(loader)) {
 *             et_scope *step = et_scope_open();
 *             if (et_batches_next(loader, &b) < 0) ...
 *
 * The order of an epoch is a function of (seed, epoch) alone: it does not depend on
 * threads or on the epochs before, so that a run resumes at any epoch with the order it
 * would have had. */
#ifndef ETUDE_DATASETS_BATCH_H
#define ETUDE_DATASETS_BATCH_H

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_batch_options {
    int64_t size;   /* items of a batch, at least 1 */
    bool shuffle;   /* a new order every epoch; else the order of the index */
    bool drop_last; /* leave out a last batch that is not full */
    uint64_t seed;
} et_batch_options;

typedef struct et_batch {
    et_tensor *x;         /* float32 [B, ...] */
    et_tensor *y;         /* int32 [B] */
    et_tensor *lengths;   /* int32 [B], or NULL if the data have none */
    et_tensor *tags;      /* uint8 [B, L], or NULL likewise */
    const int32_t *index; /* [n] items of the data set; valid until the next epoch starts */
    int64_t n;            /* B */
} et_batch;

typedef struct et_batches et_batches;

/** Batches over the items index[0 .. n-1], which are copied (index NULL: all items). The
 *  data set must outlive it. Starts at epoch 0. NULL on failure: EINVAL for a size below
 *  1 or an index outside, ENOMEM. */
et_batches *et_batches_new(const et_dataset *ds, const int32_t *index, int64_t n,
                           const et_batch_options *options);
void et_batches_free(et_batches *b);

/** Batches in an epoch; items in an epoch. */
int64_t et_batches_count(const et_batches *b);
int64_t et_batches_items(const et_batches *b);

/** Goes to the start of epoch 0, 1, ... */
et_status et_batches_start(et_batches *b, int64_t epoch);

/** True while the epoch has another batch. */
bool et_batches_more(const et_batches *b);

/** Gathers the next batch into tensors that the open scope owns. Nothing is asked of the
 *  system: the memory is the pool's. EINVAL at the end of the epoch, ESCOPE without an
 *  open scope, ENOMEM. After a failure the same batch comes again. */
et_status et_batches_next(et_batches *b, et_batch *out);

/** The order of an epoch: index[0 .. n-1], or a permutation of it that depends on n, seed and epoch alone. */
void et_batch_order(const int32_t *index, int64_t n, bool shuffle, uint64_t seed, int64_t epoch,
                    int32_t *order);

/** Gathers any items of a data set, as above. */
et_status et_batch_gather(const et_dataset *ds, const int32_t *index, int64_t n, et_batch *out);

#ifdef __cplusplus
}
#endif
#endif
