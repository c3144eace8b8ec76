/* Batches prepared in the background: a batch is a job (ordered.h). */
#include "config.h"

#include "datasets/loader.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/batch.h"
#include "datasets/ordered.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"
#include "tensor/scope.h"

/* Epoch e takes the places of random crops from stream CROP_STREAM + e,
 * item i from its words 2 i and 2 i + 1. */
#define CROP_STREAM ((uint64_t)1 << 49)

struct et_loader {
    const et_collection *c;
    et_loader_options o;
    int32_t *entries; /* [n] item times chunks + chunk, as given */
    int32_t *order;   /* [n] of this epoch */
    int64_t n, epoch, bins;
    et_ordered *work; /* NULL before the first epoch */
    bool *noted;      /* [items] whose failure is in `broken` */
    et_names broken;
};

/* --- one item -------------------------------------------------------------------------------- */

/* An item's rows, in memory or in the cache. */
typedef struct source {
    float *rows; /* NULL: in the cache */
    int64_t n;
} source;

static int64_t chunks_of(const et_loader_options *o)
{
    return o->crop == ET_CROP_CHUNKS || o->crop == ET_CROP_SPREAD ? o->chunks : 1;
}

static et_status open_samples(const et_loader *l, int64_t i, source *s)
{
    et_audio a;
    const float *samples;

    if (et_collection_audio(l->c, i, &a) < 0)
        return et_error_status();
    if (et_audio_to_mono(&a) < 0 || et_audio_to_rate(&a, l->o.rate) < 0 ||
        !(samples = et_data_f32(a.samples)) ||
        !(s->rows = et_alloc((size_t)a.samples->numel * sizeof *s->rows))) {
        et_audio_free(&a);
        return et_fail_status(l->c->names.items[i]);
    }
    s->n = a.samples->numel;
    memcpy(s->rows, samples, (size_t)s->n * sizeof *s->rows);
    et_audio_free(&a);
    return s->n > 0 ? ET_OK : et_raise(ET_EFORMAT, "%s: no samples", l->c->names.items[i]);
}

static et_status open_item(const et_loader *l, int64_t i, source *s)
{
    *s = (source){NULL, 0};
    if (l->o.cache) {
        const char *problem = et_feature_cache_problem(l->o.cache, i);
        if (problem)
            return et_raise(ET_EFORMAT, "%s", problem);
        s->n = et_feature_cache_frames(l->o.cache, i);
        return ET_OK;
    }
    return l->o.front_end ? et_item_features(l->c, i, l->o.front_end, &s->rows, &s->n)
                          : open_samples(l, i, s);
}

/* Copies the crop of an item to out[rows][bins];
 * *length: how much of it is no padding, 0 if there is nothing. */
static et_status take_crop(const et_loader *l, const source *s, int64_t item, int64_t chunk, float *out,
                           int32_t *length)
{
    int64_t rows = l->o.rows, from = 0, n;

    if (l->o.crop == ET_CROP_CHUNKS)
        from = chunk * rows;
    else if (l->o.crop == ET_CROP_SPREAD)
        from = s->n > rows ? chunk * ((s->n - rows) / l->o.chunks) : chunk > 0 ? s->n : 0;
    else if (l->o.crop == ET_CROP_CENTRE && s->n > rows)
        from = (s->n - rows) / 2;
    else if (l->o.crop == ET_CROP_RANDOM && s->n > rows) {
        et_rng r = et_rng_make(l->o.seed, CROP_STREAM + (uint64_t)l->epoch);
        r.counter = 2 * (uint64_t)item;
        from = et_rng_below(&r, s->n - rows + 1);
    }
    n = from >= s->n ? 0 : s->n - from < rows ? s->n - from : rows;
    *length = (int32_t)n;
    memset(out + n * l->bins, 0, (size_t)((rows - n) * l->bins) * sizeof *out);
    if (n == 0)
        return ET_OK;
    if (!s->rows)
        return et_feature_cache_read(l->o.cache, item, from, n, out);
    memcpy(out, s->rows + from * l->bins, (size_t)(n * l->bins) * sizeof *out);
    return ET_OK;
}

/* --- one batch ------------------------------------------------------------------------------- */

/* What a job makes: tensors that nobody owns yet, and what was wrong with items. */
typedef struct made {
    et_loader_batch b;
    et_names broken;   /* messages */
    int32_t *which;    /* their items */
} made;

static void drop(void *result)
{
    made *m = result;
    et_free(m->b.x);
    et_free(m->b.lengths);
    et_free(m->b.y);
    et_free(m->b.tags);
    et_free(m->b.item);
    et_free(m->b.chunk);
    et_names_free(&m->broken);
    et_dealloc(m->which);
    *m = (made){.which = NULL};
}

/* Tensors for n entries. */
static et_status allocate(const et_loader *l, made *m, int64_t n)
{
    const et_collection *c = l->c;

    m->b.x = l->o.front_end ? et_dataset_tensor(ET_F32, ET_SHAPE(n, l->o.rows, l->bins))
                            : et_dataset_tensor(ET_F32, ET_SHAPE(n, l->o.rows));
    m->b.lengths = et_dataset_tensor(ET_I32, ET_SHAPE(n));
    m->b.item = et_dataset_tensor(ET_I32, ET_SHAPE(n));
    m->b.chunk = et_dataset_tensor(ET_I32, ET_SHAPE(n));
    m->b.y = c->y ? et_dataset_tensor(ET_I32, ET_SHAPE(n)) : NULL;
    m->b.tags = c->tags ? et_dataset_tensor(ET_U8, ET_SHAPE(n, c->tags->shape[1])) : NULL;
    m->which = et_alloc_zero((size_t)n, sizeof *m->which);
    if (!m->b.x || !m->b.lengths || !m->b.item || !m->b.chunk || (c->y && !m->b.y) ||
        (c->tags && !m->b.tags) || !m->which)
        return et_error_status();
    return ET_OK;
}

/* Cuts t to its first n rows, when items were left out. */
static et_status shorten(et_tensor **t, int64_t n)
{
    et_tensor *less;
    int64_t shape[ET_MAX_DIMS];

    if (!*t || (*t)->shape[0] == n)
        return ET_OK;
    memcpy(shape, (*t)->shape, sizeof shape);
    shape[0] = n;
    less = et_dataset_tensor((*t)->dtype, (*t)->ndim, shape);
    if (!less)
        return et_error_status();
    if (less->numel > 0)
        memcpy(et_data_mut(less), et_data(*t), (size_t)less->numel * et_dtype_size(less->dtype));
    et_free(*t);
    *t = less;
    return ET_OK;
}

static et_status note_broken(made *m, int64_t item)
{
    char message[1024];

    strncpy(message, et_error_message(), sizeof message - 1);
    message[sizeof message - 1] = '\0';
    et_error_clear();
    if (et_names_add(&m->broken, message) < 0)
        return et_error_status();
    m->which[m->broken.n - 1] = (int32_t)item;
    return ET_OK;
}

/* Writes entry k's row of the batch behind the good ones. */
static et_status fill_entry(const et_loader *l, made *m, int64_t item, int64_t chunk, const source *s)
{
    int64_t at = m->b.n;
    const et_collection *c = l->c;
    int32_t *lengths = et_data_mut(m->b.lengths);
    float *x = et_data_mut(m->b.x);

    if (take_crop(l, s, item, chunk, x + at * l->o.rows * l->bins, &lengths[at]) < 0)
        return et_error_status();
    if (lengths[at] == 0)
        return ET_OK; /* a chunk behind the end of a short sound */
    ((int32_t *)et_data_mut(m->b.item))[at] = (int32_t)item;
    ((int32_t *)et_data_mut(m->b.chunk))[at] = (int32_t)chunk;
    if (c->y)
        ((int32_t *)et_data_mut(m->b.y))[at] = et_data_i32(c->y)[item];
    if (c->tags)
        memcpy((uint8_t *)et_data_mut(m->b.tags) + at * c->tags->shape[1],
               (const uint8_t *)et_data(c->tags) + item * c->tags->shape[1], (size_t)c->tags->shape[1]);
    m->b.n++;
    return ET_OK;
}

static et_status make_batch(void *user, int64_t job, void *result)
{
    const et_loader *l = user;
    made *m = result;
    int64_t first = job * l->o.size, n = l->n - first < l->o.size ? l->n - first : l->o.size, open = -1;
    int64_t chunks = chunks_of(&l->o);
    source s = {NULL, 0};
    et_status status = allocate(l, m, n), opened = ET_OK;

    for (int64_t k = 0; status == ET_OK && k < n; k++) {
        int64_t item = l->order[first + k] / chunks, chunk = l->order[first + k] % chunks;

        if (item != open) { /* chunks of one item often follow each other */
            et_dealloc(s.rows);
            opened = open_item(l, item, &s);
            open = item;
            if (opened < 0 && opened != ET_ENOMEM)
                status = note_broken(m, item);
        }
        if (opened == ET_ENOMEM)
            status = ET_ENOMEM;
        else if (opened == ET_OK && status == ET_OK)
            status = fill_entry(l, m, item, chunk, &s);
    }
    et_dealloc(s.rows);
    if (status == ET_OK && m->b.n < n &&
        (shorten(&m->b.x, m->b.n) < 0 || shorten(&m->b.lengths, m->b.n) < 0 ||
         shorten(&m->b.item, m->b.n) < 0 || shorten(&m->b.chunk, m->b.n) < 0 ||
         shorten(&m->b.y, m->b.n) < 0 || shorten(&m->b.tags, m->b.n) < 0))
        status = et_error_status();
    if (status < 0)
        drop(m);
    return status;
}

/* --- the loader ------------------------------------------------------------------------------ */

static et_status check(const et_collection *c, int64_t n, const et_loader_options *o)
{
    if (!c || !o || n < 0)
        return et_raise(ET_EINVAL, "loader: NULL");
    if (o->rows < 1 || o->rows > INT32_MAX || o->size < 1 || o->threads < 0 || o->threads > 256 ||
        o->ahead < 0 || o->ahead > 1024)
        return et_raise(ET_EINVAL, "loader: rows and size are at least 1, threads 0 .. 256, ahead 0 .. 1024");
    if ((int)o->crop < 0 || o->crop > ET_CROP_SPREAD || chunks_of(o) < 1)
        return et_raise(ET_EINVAL, "loader: no such crop, or less than one chunk");
    if (!o->front_end && (o->cache || o->rate < 1))
        return et_raise(ET_EINVAL, "loader: without a front end there must be a rate and no cache");
    if (o->cache && (et_feature_cache_size(o->cache) != c->names.n ||
                     et_feature_cache_bins(o->cache) != et_front_end_bins(o->front_end)))
        return et_raise(ET_EINVAL, "loader: the cache is of another collection or front end");
    return et_collection_check(c);
}

et_loader *et_loader_new(const et_collection *c, const int32_t *index, int64_t n,
                         const et_loader_options *options)
{
    et_loader *l;
    int64_t chunks, items;

    if (check(c, n, options) < 0)
        return NULL;
    items = index ? n : c->names.n;
    chunks = chunks_of(options);
    for (int64_t i = 0; index && i < n; i++)
        if (index[i] < 0 || index[i] >= c->names.n) {
            et_raise(ET_EINVAL, "loader: index %" PRId32 " is outside %" PRId64 " items", index[i],
                     c->names.n);
            return NULL;
        }
    if (chunks > INT32_MAX / (c->names.n + 1)) {
        et_raise(ET_EINVAL, "loader: %" PRId64 " chunks of %" PRId64 " items are too many", chunks,
                 c->names.n);
        return NULL;
    }
    if (!(l = et_alloc_zero(1, sizeof *l)))
        return NULL;
    l->c = c;
    l->o = *options;
    l->n = items * chunks;
    l->bins = options->front_end ? et_front_end_bins(options->front_end) : 1;
    if (l->o.ahead == 0)
        l->o.ahead = l->o.threads > 0 ? 2 * l->o.threads : 1;
    if (!(l->entries = et_alloc_zero((size_t)l->n, sizeof *l->entries)) ||
        !(l->order = et_alloc_zero((size_t)l->n, sizeof *l->order)) ||
        !(l->noted = et_alloc_zero((size_t)c->names.n, sizeof *l->noted))) {
        et_loader_free(l);
        return NULL;
    }
    for (int64_t k = 0; k < l->n; k++)
        l->entries[k] = (int32_t)((index ? index[k / chunks] : k / chunks) * chunks + k % chunks);
    return l;
}

void et_loader_free(et_loader *l)
{
    if (!l)
        return;
    et_ordered_stop(l->work);
    et_dealloc(l->entries);
    et_dealloc(l->order);
    et_dealloc(l->noted);
    et_names_free(&l->broken);
    et_dealloc(l);
}

int64_t et_loader_entries(const et_loader *l) { return l ? l->n : 0; }

int64_t et_loader_count(const et_loader *l)
{
    if (!l)
        return 0;
    return l->o.drop_last ? l->n / l->o.size : (l->n + l->o.size - 1) / l->o.size;
}

const et_names *et_loader_broken(const et_loader *l) { return l ? &l->broken : NULL; }

et_status et_loader_start(et_loader *l, int64_t epoch)
{
    et_ordered_jobs jobs = {.size = sizeof(made), .work = make_batch, .drop = drop, .user = l};

    if (!l || epoch < 0)
        return et_raise(ET_EINVAL, "loader: epoch %" PRId64, epoch);
    et_ordered_stop(l->work);
    l->epoch = epoch;
    et_batch_order(l->entries, l->n, l->o.shuffle, l->o.seed, epoch, l->order);
    jobs.n = et_loader_count(l);
    jobs.threads = l->o.threads;
    jobs.ahead = l->o.ahead;
    l->work = et_ordered_start(&jobs);
    return l->work ? ET_OK : et_fail_status("loader");
}

/* Notes the items left out of a batch, each once. */
static et_status note_all(et_loader *l, const made *m)
{
    for (int64_t k = 0; k < m->broken.n; k++)
        if (!l->noted[m->which[k]]) {
            if (et_names_add(&l->broken, m->broken.items[k]) < 0)
                return et_error_status();
            l->noted[m->which[k]] = true;
        }
    return ET_OK;
}

et_status et_loader_next(et_loader *l, et_loader_batch *out)
{
    if (!l || !out)
        return et_raise(ET_EINVAL, "loader: NULL");
    memset(out, 0, sizeof *out);
    if (!l->work)
        return et_raise(ET_EINVAL, "loader: no epoch was started");
    if (!et_scope_current())
        return et_raise(ET_ESCOPE, "loader: no scope is open");
    while (et_ordered_left(l->work) > 0) {
        made m = {.which = NULL};

        if (et_ordered_take(l->work, &m) < 0)
            return et_fail_status("loader");
        if (note_all(l, &m) < 0) {
            drop(&m);
            return et_fail_status("loader");
        }
        if (m.b.n == 0) { /* all of its items were broken */
            drop(&m);
            continue;
        }
        *out = m.b;
        et_scope_take(out->x);
        et_scope_take(out->lengths);
        et_scope_take(out->y);
        et_scope_take(out->tags);
        et_scope_take(out->item);
        et_scope_take(out->chunk);
        m.b = (et_loader_batch){.n = 0};
        drop(&m);
        return ET_OK;
    }
    return ET_OK;
}
