/* The data of style-vae: see style_data.h. */
#include "config.h"

#include "examples/style_data.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/batch.h"
#include "datasets/corpus.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"

enum {
    WINDOW = 4 /* batches whose segments are sorted by length together */,
    STREAM_MOST = 2,
    STREAM_WINDOWS = 3000
};
static const double CORPUS_SECONDS = 30, VALID_SHARE = 0.1;

et_event_options style_events(bool melody)
{
    et_event_options o = et_event_defaults();

    o.melody_only = melody;
    return o;
}

void style_data_free(style_data *d)
{
    et_dataset_free(d->ds);
    et_indices_free(&d->train);
    et_indices_free(&d->valid);
    et_indices_free(&d->test);
    et_names_free(&d->skipped);
    *d = (style_data){0};
}

/* --- reading ------------------------------------------------------------------------------------- */

/* The names between the commas. */
static et_status split_names(const char *text, et_names *out)
{
    char name[128];

    while (*text) {
        size_t n = strcspn(text, ",");
        if (n == 0 || n >= sizeof name)
            return et_raise(ET_EINVAL, "--styles: a name is empty or too long");
        memcpy(name, text, n);
        name[n] = '\0';
        if (et_names_find(out, name) >= 0)
            return et_raise(ET_EINVAL, "--styles: %s stands there twice", name);
        if (et_names_add(out, name))
            return et_error_status();
        text += n + (text[n] == ',');
    }
    return ET_OK;
}

static et_dataset *read_segments(const style_source *from, style_data *out)
{
    et_corpus_options o = et_corpus_defaults();
    et_dataset *ds = NULL;

    o.songs = from->songs;
    o.clips = 1;
    o.seconds = CORPUS_SECONDS;
    et_collection *c = from->dir ? et_midi_folder(from->dir) : et_corpus(&o);
    if (c)
        ds = et_segments_dataset(c, from->dir ? et_midi_folder_piece : et_corpus_midi, &out->events,
                                 &out->skipped);
    et_collection_free(c);
    return ds;
}

/* The segments of the styles (in their order) that are not too long, with the styles' new numbers. */
static et_dataset *choose(const et_dataset *all, const et_names *styles, int64_t longest, const char *where)
{
    const int64_t n = et_dataset_size(all);
    const int32_t *y = et_data_i32(all->y), *lengths = et_data_i32(all->lengths);
    int32_t *index = et_alloc((size_t)n * sizeof *index + 1),
            *to = et_alloc((size_t)all->classes.n * sizeof *to + 1);
    et_dataset *ds = NULL;
    int64_t kept = 0;

    for (int64_t k = 0; to && k < all->classes.n; k++)
        to[k] = (int32_t)et_names_find(styles, all->classes.items[k]);
    for (int64_t i = 0; index && to && i < n; i++)
        if (to[y[i]] >= 0 && (longest == 0 || lengths[i] <= longest))
            index[kept++] = (int32_t)i;
    if (index && to && kept == 0)
        et_raise(ET_EFORMAT, "%s: no segment of the wanted styles and length", where);
    else if (index && to)
        ds = et_dataset_subset(all, index, kept);
    int32_t *label = ds ? et_data_mut(ds->y) : NULL;
    for (int64_t i = 0; label && i < kept; i++)
        label[i] = to[label[i]];
    et_dealloc(index);
    et_dealloc(to);
    if (ds)
        et_names_free(&ds->classes);
    if (ds && et_names_copy(&ds->classes, styles)) {
        et_dataset_free(ds);
        ds = NULL;
    }
    return ds;
}

/* Keeps at most `most` training items of each style, drawn at random. */
static et_status thin(const et_dataset *ds, int64_t most, et_indices *train)
{
    const int32_t *y = et_data_i32(ds->y);
    const int64_t n = train->n, K = et_dataset_classes(ds);
    et_rng rng = et_rng_make(1, STREAM_MOST);
    int32_t *order = et_alloc((size_t)n * sizeof *order + 1);
    int64_t *left = et_alloc((size_t)K * sizeof *left + 1);
    uint8_t *keep = et_alloc_zero((size_t)n + 1, 1);

    train->n = order && left && keep ? 0 : n;
    for (int64_t k = 0; left && k < K; k++)
        left[k] = most;
    for (int64_t i = 0; order && i < n; i++)
        order[i] = (int32_t)i;
    if (train->n == 0) {
        et_shuffle(&rng, order, n);
        for (int64_t i = 0; i < n; i++)
            keep[order[i]] = left[y[train->items[order[i]]]]-- > 0;
        for (int64_t i = 0; i < n; i++)
            if (keep[i])
                train->items[train->n++] = train->items[i];
    }
    et_dealloc(order);
    et_dealloc(left);
    et_dealloc(keep);
    return et_error_status();
}

static et_status load(const style_source *from, const et_names *styles, int64_t longest, style_data *out)
{
    const char *where = from->dir ? from->dir : "the built-in corpus";

    *out = (style_data){.events = style_events(from->melody)};
    et_dataset *all = read_segments(from, out);
    if (!all)
        return et_error_status();
    if (!styles)
        styles = &all->classes;
    out->ds = choose(all, styles, longest, where);
    et_dataset_free(all);
    return out->ds ? ET_OK : et_error_status();
}

et_status style_data_load(const style_source *from, style_data *out)
{
    et_names styles = {0};
    et_status status = from->styles ? split_names(from->styles, &styles) : ET_OK;

    *out = (style_data){0};
    if (!status)
        status = load(from, from->styles ? &styles : NULL, from->longest, out);
    et_names_free(&styles);
    if (status)
        return status;
    et_dataset *ds = out->ds;
    int64_t count[1024];
    if (et_dataset_classes(ds) > 1024)
        return et_raise(ET_EINVAL, "%s: more than 1024 styles", from->dir);
    status = et_dataset_count(ds, count);
    for (int64_t k = 0; !status && k < et_dataset_classes(ds); k++)
        if (count[k] == 0)
            status = et_raise(ET_EINVAL, "%s: no segments of the style %s",
                              from->dir ? from->dir : "the built-in corpus", ds->classes.items[k]);
    if (!status && et_names_find(&ds->splits, "valid") >= 0) {
        status = et_split_named(ds, "train", &out->train);
        if (!status)
            status = et_split_named(ds, "valid", &out->valid);
        if (!status)
            status = et_split_named(ds, "test", &out->test);
    } else if (!status) {
        status = et_split_random(ds, VALID_SHARE, 1, &out->train, &out->valid);
    }
    if (!status && (out->train.n < 2 || out->valid.n < 2))
        status = et_raise(ET_EFORMAT, "%s: %" PRId64 " training and %" PRId64
                          " validation segment%s are too few", from->dir ? from->dir : "the built-in corpus",
                          out->train.n, out->valid.n, et_plural(out->valid.n));
    if (!status && from->most > 0)
        status = thin(ds, from->most, &out->train);
    return status;
}

et_status style_data_judged(const style_source *from, const et_names *styles, style_data *out)
{
    et_status status = load(from, styles, 0, out);

    return status ? status : et_split_all(out->ds, &out->test);
}

et_status style_piece(const char *path, const et_event_options *o, et_segments *out)
{
    et_midi *m = et_midi_read(path);
    et_status status = m ? et_segments_from_midi(m, o, out) : et_error_status();

    et_midi_free(m);
    if (!status && out->n == 0) {
        et_segments_free(out);
        status = et_raise(ET_EFORMAT, "%s: no stretch of %d whole bars with %d notes", path, o->bars,
                          o->min_notes);
    }
    return status;
}

/* --- batches ------------------------------------------------------------------------------------------ */

typedef struct ranked {
    int32_t item, length, rank;
} ranked;

static int by_length(const void *x, const void *y)
{
    const ranked *a = x, *b = y;

    return a->length != b->length ? a->length - b->length : a->rank - b->rank;
}

et_status style_order(const style_data *d, int64_t batch, uint64_t seed, int64_t epoch, int32_t *order)
{
    const int64_t n = d->train.n, window = WINDOW * batch, whole = n / batch;
    const int32_t *lengths = et_data_i32(d->ds->lengths);
    ranked *r = et_alloc((size_t)n * sizeof *r + 1);
    int32_t *turn = et_alloc((size_t)whole * sizeof *turn + 1),
            *copy = et_alloc((size_t)n * sizeof *copy + 1);

    if (r && turn && copy) {
        et_batch_order(d->train.items, n, true, seed, epoch, order);
        for (int64_t i = 0; i < n; i++)
            r[i] = (ranked){order[i], lengths[order[i]], (int32_t)i};
        for (int64_t i = 0; i < n; i += window)
            et_sort_elements(r + i, (size_t)(n - i < window ? n - i : window), sizeof *r, by_length);
        for (int64_t i = 0; i < n; i++)
            copy[i] = order[i] = r[i].item;
        /* batches in random order again, the incomplete one last */
        et_rng rng = et_rng_make(seed, STREAM_WINDOWS + (uint64_t)epoch);
        for (int64_t i = 0; i < whole; i++)
            turn[i] = (int32_t)i;
        et_shuffle(&rng, turn, whole);
        for (int64_t i = 0; i < whole; i++)
            memcpy(order + i * batch, copy + turn[i] * batch, (size_t)batch * sizeof *order);
    }
    et_dealloc(r);
    et_dealloc(turn);
    et_dealloc(copy);
    return et_error_status();
}

et_status style_batch(const style_data *d, const int32_t *index, int64_t n, int shift, et_style_batch *out)
{
    et_batch b;
    int64_t longest = 1;

    if (et_batch_gather(d->ds, index, n, &b))
        return et_error_status();
    for (int64_t i = 0; i < n; i++)
        longest = et_data_i32(b.lengths)[i] > longest ? et_data_i32(b.lengths)[i] : longest;
    *out = (et_style_batch){et_contiguous(et_slice(b.x, 1, 0, longest, 1)), b.lengths, b.y};
    if (!out->x)
        return et_error_status();
    return shift ? et_events_transpose(out->x, out->lengths, shift, &d->events) : ET_OK;
}

et_status style_piece_batch(const et_segments *s, int32_t label, et_style_batch *out)
{
    int64_t longest = 1;

    for (int64_t i = 0; i < s->n; i++)
        longest = s->begin[i + 1] - s->begin[i] > longest ? s->begin[i + 1] - s->begin[i] : longest;
    *out = (et_style_batch){et_zeros(ET_F32, ET_SHAPE(s->n, longest, 3)), et_zeros(ET_I32, ET_SHAPE(s->n)),
                            et_full(ET_I32, ET_SHAPE(s->n), label)};
    float *x = out->x ? et_data_mut(out->x) : NULL;
    int32_t *lengths = out->lengths ? et_data_mut(out->lengths) : NULL;
    for (int64_t i = 0; x && lengths && i < s->n; i++) {
        lengths[i] = (int32_t)(s->begin[i + 1] - s->begin[i]);
        for (int64_t t = 0; t < lengths[i]; t++) {
            const et_event *e = &s->events[s->begin[i] + t];
            float *to = x + (i * longest + t) * 3;
            to[0] = e->pitch;
            to[1] = e->dt;
            to[2] = e->dur;
        }
    }
    return et_error_status();
}
