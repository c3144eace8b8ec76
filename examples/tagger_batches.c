/* Batches for music-tagger: see tagger_batches.h. */
#include "config.h"

#include "examples/tagger_batches.h"

#include <string.h>

#include "autograd/ops.h"
#include "datasets/augment.h"
#include "datasets/batch.h"
#include "datasets/loader.h"
#include "tensor/alloc.h"

enum { STREAM_AUGMENT = 1000 };

struct tagger_batches {
    const tagger_data *d;
    tagger_batch_options o;
    et_batches *memory; /* one of these two */
    et_loader *stream;
    int64_t chunk, epoch;
    et_rng rng;
};

/* An item in memory that fits into one crop has one chunk. */
static int64_t chunks_in_memory(const tagger_batches *b)
{
    return b->o.train || b->d->rows <= b->o.rows ? 1 : b->o.chunks;
}

tagger_batches *tagger_batches_new(const tagger_data *d, const et_indices *items,
                                   const tagger_batch_options *o)
{
    tagger_batches *b = et_alloc_zero(1, sizeof *b);

    if (!b)
        return NULL;
    b->d = d;
    b->o = *o;
    const bool drop_last = o->train && items->n >= o->size;
    if (d->streamed) {
        const et_loader_options lo = {.front_end = d->fe, .rate = d->rate, .cache = d->cache, .rows = o->rows,
                                      .crop = o->train ? ET_CROP_RANDOM : ET_CROP_SPREAD, .chunks = o->chunks,
                                      .size = o->size, .shuffle = o->train, .drop_last = drop_last,
                                      .seed = o->seed, .threads = o->workers};
        b->stream = et_loader_new(d->sounds, items->items, items->n, &lo);
    } else {
        const et_batch_options bo = {.size = o->size, .shuffle = o->train, .drop_last = drop_last,
                                     .seed = o->seed};
        b->memory = et_batches_new(d->ds, items->items, items->n, &bo);
    }
    if (b->stream || b->memory)
        return b;
    tagger_batches_free(b);
    return NULL;
}

void tagger_batches_free(tagger_batches *b)
{
    if (!b)
        return;
    et_loader_free(b->stream);
    et_batches_free(b->memory);
    et_dealloc(b);
}

int64_t tagger_batches_items(const tagger_batches *b)
{
    return b->stream ? et_loader_entries(b->stream) : et_batches_items(b->memory) * chunks_in_memory(b);
}

int64_t tagger_batches_count(const tagger_batches *b)
{
    return b->stream ? et_loader_count(b->stream) : et_batches_count(b->memory) * chunks_in_memory(b);
}

et_status tagger_batches_start(tagger_batches *b, int64_t epoch)
{
    b->chunk = 0;
    b->epoch = epoch;
    b->rng = et_rng_make(b->o.seed, STREAM_AUGMENT + (uint64_t)epoch);
    return b->stream ? et_loader_start(b->stream, epoch) : et_batches_start(b->memory, epoch);
}

/* The crop of items in memory, x [B, T, bands] or [B, T]; zeros behind items that are shorter. */
static et_tensor *crop(tagger_batches *b, et_tensor *x)
{
    const int64_t B = x->shape[0], T = b->d->rows, rows = b->o.rows, bands = b->d->bands;
    const bool flat = x->ndim == 2;

    if (T == rows)
        return x;
    if (T > rows && !b->o.train) {
        const int64_t from = b->chunk * ((T - rows) / b->o.chunks);
        return et_contiguous(et_slice(x, 1, from, from + rows, 1));
    }
    x = flat ? et_view(x, ET_SHAPE(B, T, 1)) : x;
    if (T > rows) {
        x = et_augment_crop(x, NULL, rows, &b->rng);
    } else {
        et_tensor *rest = et_zeros(ET_F32, ET_SHAPE(B, rows - T, bands));
        x = et_concat(2, (et_tensor *const[]){x, rest}, 1);
    }
    return flat && x ? et_view(x, ET_SHAPE(B, rows)) : x;
}

static et_status next_in_memory(tagger_batches *b, tagger_batch *out)
{
    et_batch m;

    if (!et_batches_more(b->memory)) {
        if (b->chunk + 1 >= chunks_in_memory(b))
            return ET_OK;
        b->chunk++;
        if (et_batches_start(b->memory, b->epoch))
            return et_error_status();
    }
    if (et_batches_next(b->memory, &m))
        return et_error_status();
    out->x = crop(b, m.x);
    out->item = m.index;
    out->n = m.n;
    return out->x && b->o.train && out->x->ndim == 2 ? et_augment_sound(out->x, NULL, &b->o.sound, &b->rng)
                                                     : et_error_status();
}

static et_status next_of_sounds(tagger_batches *b, tagger_batch *out)
{
    et_loader_batch l;

    if (et_loader_next(b->stream, &l))
        return et_error_status();
    out->x = l.x;
    out->n = l.n;
    out->item = l.n ? et_data_i32(l.item) : NULL;
    return l.n && b->o.train && l.x->ndim == 2 ? et_augment_sound(l.x, l.lengths, &b->o.sound, &b->rng)
                                               : ET_OK;
}

et_status tagger_batches_next(tagger_batches *b, tagger_batch *out)
{
    const int64_t L = tagger_data_tags(b->d);
    const uint8_t *tags = et_data(b->d->ds->tags);

    *out = (tagger_batch){.n = 0};
    et_status status = b->stream ? next_of_sounds(b, out) : next_in_memory(b, out);
    if (status || out->n == 0)
        return status;
    out->targets = et_empty(ET_F32, ET_SHAPE(out->n, L));
    float *to = out->targets ? et_data_mut(out->targets) : NULL;
    for (int64_t i = 0; to && i < out->n; i++)
        for (int64_t k = 0; k < L; k++)
            to[i * L + k] = tags[out->item[i] * L + k];
    if (to && b->o.train && b->o.mixup > 0)
        et_augment_mixup(out->x, out->targets, NULL, b->o.mixup, &b->rng);
    if (out->x->ndim == 3)
        out->x = et_contiguous(et_permute(out->x, ET_DIMS(0, 2, 1)));
    return et_error_status();
}

const et_names *tagger_batches_broken(const tagger_batches *b)
{
    return b->stream ? et_loader_broken(b->stream) : NULL;
}
