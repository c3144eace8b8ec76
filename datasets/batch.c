/* Gathering items into batches. */
#include "config.h"

#include "datasets/batch.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tensor/scope.h"

/* Epoch e shuffles with stream BATCH_STREAM + e, far from the small numbers that other
 * parts of a program use. */
#define BATCH_STREAM ((uint64_t)1 << 48)

struct et_batches {
    const et_dataset *ds;
    et_batch_options options;
    int32_t *index; /* [n] as given */
    int32_t *order; /* [n] of this epoch */
    int64_t n, next;
};

static et_status check_index(const et_dataset *ds, const int32_t *index, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= et_dataset_size(ds))
            return et_raise(ET_EINVAL, "batch: index %" PRId32 " is outside %" PRId64 " items", index[i],
                            et_dataset_size(ds));
    return ET_OK;
}

et_batches *et_batches_new(const et_dataset *ds, const int32_t *index, int64_t n,
                           const et_batch_options *options)
{
    et_batches *b;
    size_t bytes;

    if (et_dataset_check(ds) < 0)
        return NULL;
    if (!options || options->size < 1 || n < 0) {
        et_raise(ET_EINVAL, "batch: needs options with a size of at least 1");
        return NULL;
    }
    if (!index)
        n = et_dataset_size(ds);
    else if (check_index(ds, index, n) < 0)
        return NULL;
    b = et_alloc_zero(1, sizeof *b);
    if (!b)
        return NULL;
    b->ds = ds;
    b->options = *options;
    b->n = n;
    if (et_mul_size((size_t)n, sizeof *b->index, &bytes)) {
        b->index = et_alloc(bytes);
        b->order = b->index ? et_alloc(bytes) : NULL;
    }
    if (!b->order) {
        et_raise(ET_ENOMEM, "batch: no memory for an order of %" PRId64 " items", n);
        et_batches_free(b);
        return NULL;
    }
    for (int64_t i = 0; i < n; i++)
        b->index[i] = index ? index[i] : (int32_t)i;
    if (et_batches_start(b, 0) < 0) {
        et_batches_free(b);
        return NULL;
    }
    return b;
}

void et_batches_free(et_batches *b)
{
    if (!b)
        return;
    et_dealloc(b->index);
    et_dealloc(b->order);
    et_dealloc(b);
}

int64_t et_batches_count(const et_batches *b)
{
    if (!b)
        return 0;
    return b->options.drop_last ? b->n / b->options.size : (b->n + b->options.size - 1) / b->options.size;
}

int64_t et_batches_items(const et_batches *b)
{
    if (!b)
        return 0;
    return b->options.drop_last ? b->n / b->options.size * b->options.size : b->n;
}

void et_batch_order(const int32_t *index, int64_t n, bool shuffle, uint64_t seed, int64_t epoch,
                    int32_t *order)
{
    if (n > 0)
        memcpy(order, index, (size_t)n * sizeof *order);
    if (shuffle) {
        et_rng rng = et_rng_make(seed, BATCH_STREAM + (uint64_t)epoch);
        et_shuffle(&rng, order, n);
    }
}

et_status et_batches_start(et_batches *b, int64_t epoch)
{
    if (!b)
        return et_raise(ET_EINVAL, "batch: NULL");
    if (epoch < 0)
        return et_raise(ET_EINVAL, "batch: epoch %" PRId64, epoch);
    et_batch_order(b->index, b->n, b->options.shuffle, b->options.seed, epoch, b->order);
    b->next = 0;
    return ET_OK;
}

bool et_batches_more(const et_batches *b) { return b && b->next < et_batches_items(b); }

et_status et_batches_next(et_batches *b, et_batch *out)
{
    int64_t n;

    if (!b || !out)
        return et_raise(ET_EINVAL, "batch: NULL");
    if (!et_batches_more(b))
        return et_raise(ET_EINVAL, "batch: the epoch is over");
    n = et_batches_items(b) - b->next;
    if (n > b->options.size)
        n = b->options.size;
    if (et_batch_gather(b->ds, b->order + b->next, n, out) < 0)
        return et_error_status();
    b->next += n;
    return ET_OK;
}

typedef struct copy {
    const char *src;
    char *dst;
    const int32_t *index;
    size_t row;
} copy;

static void copy_rows(int64_t lo, int64_t hi, void *user)
{
    const copy *c = user;
    for (int64_t i = lo; i < hi; i++)
        memcpy(c->dst + (size_t)i * c->row, c->src + (size_t)c->index[i] * c->row, c->row);
}

/* Rows index[0 .. n-1] of t in a new tensor of the open scope. */
static et_tensor *gather(const et_tensor *t, const int32_t *index, int64_t n)
{
    int64_t shape[ET_MAX_DIMS], elems = 1;
    et_tensor *out;
    copy c;

    memcpy(shape, t->shape, sizeof shape);
    shape[0] = n;
    for (int d = 1; d < t->ndim; d++)
        elems *= t->shape[d];
    out = et_empty(t->dtype, t->ndim, shape);
    if (!out)
        return NULL;
    c.src = et_data(t);
    c.dst = et_data_mut(out);
    c.index = index;
    c.row = (size_t)elems * et_dtype_size(t->dtype);
    if (!c.src || !c.dst)
        return NULL;
    if (c.row > 0 && n > 0)
        et_parallel_for(n, et_row_grain(n, elems), copy_rows, &c);
    return out;
}

et_status et_batch_gather(const et_dataset *ds, const int32_t *index, int64_t n, et_batch *out)
{
    if (!ds || !ds->x || !ds->y || !out || n < 0 || (n > 0 && !index))
        return et_raise(ET_EINVAL, "batch: NULL");
    if (!et_scope_current())
        return et_raise(ET_ESCOPE, "batch: no scope is open");
    if (check_index(ds, index, n) < 0)
        return et_error_status();
    memset(out, 0, sizeof *out);
    out->index = index;
    out->n = n;
    if (!(out->x = gather(ds->x, index, n)) || !(out->y = gather(ds->y, index, n)) ||
        (ds->lengths && !(out->lengths = gather(ds->lengths, index, n))) ||
        (ds->tags && !(out->tags = gather(ds->tags, index, n))))
        return et_fail_status("batch");
    return ET_OK;
}
