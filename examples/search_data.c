/* The data of music-search: see search_data.h. */
#include "config.h"

#include "examples/search_data.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datasets/batch.h"
#include "datasets/corpora.h"
#include "datasets/corpus.h"
#include "datasets/folder.h"
#include "datasets/sound_fit.h"
#include "datasets/synthetic.h"
#include "examples/common/run_features.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/parallel.h"

/* ENOUGH: clips of MusicCaps for parts as the published ones, else by shares. */
enum { ENOUGH = 3000, TASK_TRAIN = 2000, TASK_TEST = 128, SPLIT_SEED = 1 };

static const char *const kinds[SEARCH_KINDS] = {"S-XM", "corpus", "rendered", "musiccaps", "recorded"};

const char *search_kind_name(search_kind kind) { return kinds[kind]; }

static bool there(const char *dir, const char *name)
{
    char *path = et_path_join(dir, name);
    const bool is = path && access(path, R_OK) == 0;

    et_dealloc(path);
    return is;
}

int search_kind_of(const char *dir, const char *task)
{
    if (!dir)
        return strcmp(task, "S-XM") == 0 ? SEARCH_TASK : SEARCH_CORPUS;
    if (there(dir, "logmel96x128.npy"))
        return SEARCH_RENDERED;
    if (there(dir, "musiccaps.csv"))
        return SEARCH_MUSICCAPS;
    if (there(dir, "clips.csv"))
        return SEARCH_RECORDED;
    return et_raise(ET_EINVAL, "%s: no logmel96x128.npy, musiccaps.csv or clips.csv there", dir);
}

et_collection *search_plain_sounds(const char *dir, int top)
{
    if (there(dir, "logmel96x128.npy") || there(dir, "musiccaps.csv") || there(dir, "clips.csv"))
        return NULL;
    if (there(dir, "annotations_final.csv"))
        return et_magnatagatune(dir, &(et_tag_files){.top = top});
    return et_genre_folders(dir);
}

static bool hears_with(const search_input *input, const char *front_end)
{
    return strcmp(input->front_end, front_end) == 0;
}

et_status search_input_of(search_kind kind, const char *front_end, search_input *out)
{
    *out = (search_input){.frames = 64, .bins = 16};
    if (kind == SEARCH_TASK)
        return ET_OK;
    snprintf(out->front_end, sizeof out->front_end, "%s",
             front_end && kind != SEARCH_RENDERED ? front_end : "mel96");
    et_front_end *fe = et_front_end_new(out->front_end);
    if (!fe)
        return et_error_status();
    out->seconds = kind == SEARCH_RENDERED ? 6 : 10;
    out->bins = et_front_end_bins(fe);
    /* The sizes that these models were published with, or that the table has. */
    out->frames = hears_with(out, "ast128") ? 1024
                  : kind == SEARCH_RENDERED
                      ? 128
                      : et_front_end_frames(fe, (int64_t)(out->seconds * (double)et_front_end_rate(fe)));
    et_front_end_free(fe);
    return ET_OK;
}

et_status search_hear(const search_input *input, const et_front_end *fe, et_audio *a)
{
    if (et_audio_to_mono(a) || et_audio_to_rate(a, et_front_end_rate(fe)))
        return et_error_status();
    if (!hears_with(input, "laion64"))
        return ET_OK;
    const int64_t n = a->samples->numel, want = (int64_t)(input->seconds * (double)a->rate);
    if (et_sound_quantise(et_data_mut(a->samples), n))
        return et_error_status();
    if (n == 0 || n >= want)
        return ET_OK;
    et_tensor *filled = et_dataset_tensor(ET_F32, ET_SHAPE(1, want));
    if (!filled || et_sound_fit(et_data(a->samples), n, ET_FIT_REPEAT_PAD, NULL, want, et_data_mut(filled))) {
        et_free(filled);
        return et_error_status();
    }
    et_free(a->samples);
    a->samples = filled;
    return ET_OK;
}

void search_scale(const search_input *input, int64_t n, float *x)
{
    if (hears_with(input, "mel96"))
        for (int64_t i = 0; i < n; i++)
            x[i] = 4 * (x[i] < 0 ? 0 : x[i] > 1 ? 1 : x[i]) - 2;
}

float search_silence(const search_input *input)
{
    return hears_with(input, "mel96")     ? -2
           : hears_with(input, "ast128")  ? 0.4670324f
           : hears_with(input, "laion64") ? -100 /* dB */
                                          : 0;
}

/* --- splits ------------------------------------------------------------------------------------ */

/* held: two ninths of the groups for the test, a tenth of the rest for validation. */
static et_status split_by_group(search_data *d)
{
    et_indices rest = {0};
    et_status status = et_split_random(d->ds, 2.0 / 9, SPLIT_SEED, &rest, &d->test);
    et_dataset *inner = status ? NULL : et_dataset_subset(d->ds, rest.items, rest.n);

    if (inner && !(status = et_split_random(inner, 0.1, SPLIT_SEED + 1, &d->train, &d->valid))) {
        for (int64_t i = 0; i < d->train.n; i++)
            d->train.items[i] = rest.items[d->train.items[i]];
        for (int64_t i = 0; i < d->valid.n; i++)
            d->valid.items[i] = rest.items[d->valid.items[i]];
    }
    et_dataset_free(inner);
    et_indices_free(&rest);
    return status ? status : et_error_status();
}

static int by_number(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* As the published experiment counts them: any 1000 clips for the test, 500 for validation,
 * the rest to train on. */
static et_status split_by_count(search_data *d)
{
    static const int64_t counts[] = {1000, 500};
    et_indices all = {0}, *const parts[] = {&d->test, &d->valid, &d->train};
    et_status status = et_split_all(d->ds, &all);
    int32_t *order = status ? NULL : et_alloc((size_t)all.n * sizeof *order);
    int64_t at = 0;

    if (order)
        et_batch_order(all.items, all.n, true, SPLIT_SEED, 0, order);
    for (int p = 0; p < 3 && order; p++) {
        const int64_t n = p < 2 ? counts[p] : all.n - at;
        if (!(parts[p]->items = et_alloc((size_t)n * sizeof *order)))
            break;
        memcpy(parts[p]->items, order + at, (size_t)n * sizeof *order);
        qsort(parts[p]->items, (size_t)n, sizeof *order, by_number);
        parts[p]->n = n;
        at += n;
    }
    et_dealloc(order);
    et_indices_free(&all);
    return status ? status : et_error_status();
}

static et_status split(search_data *d)
{
    const et_dataset *ds = d->ds;

    if (d->from.whole)
        return et_split_all(ds, &d->test);
    if (d->from.kind == SEARCH_TASK || d->from.kind == SEARCH_CORPUS) {
        if (et_split_named(ds, "train", &d->train) || et_split_named(ds, "valid", &d->valid) ||
            et_split_named(ds, "test", &d->test))
            return et_error_status();
    } else if (d->from.kind == SEARCH_MUSICCAPS && search_data_size(d) >= ENOUGH ? split_by_count(d)
                                                                                 : split_by_group(d)) {
        return et_error_status();
    }
    if (d->train.n < 2 || d->valid.n < 1 || d->test.n < 1)
        return et_raise(ET_EINVAL, "%s: %lld item%s too few to train, validate and test on",
                        kinds[d->from.kind], (long long)search_data_size(d),
                        search_data_size(d) == 1 ? " is" : "s are");
    return ET_OK;
}

/* --- kinds ------------------------------------------------------------------------------------- */

/* A part of S-XM at its place; parts 0 and 1 are drawn, part 2 has every combination once. */
static et_status task_part(search_data *d, int part, int64_t n, int64_t from)
{
    et_names captions = {0};
    et_dataset *ds = et_captioned(n, 1, part, part > 0, &captions);
    const int64_t size = d->input.frames * d->input.bins;
    et_status status = ds ? et_names_copy(&d->captions, &captions) : et_error_status();

    if (!status) {
        memcpy((float *)et_data_mut(d->ds->x) + from * size, et_data(ds->x),
               (size_t)(n * size) * sizeof(float));
        memcpy((int32_t *)et_data_mut(d->ds->y) + from, et_data(ds->y), (size_t)n * sizeof(int32_t));
        for (int64_t i = 0; i < n; i++)
            ((int32_t *)et_data_mut(d->ds->split))[from + i] = part;
        if (part == 0)
            status = et_names_copy(&d->ds->classes, &ds->classes);
    }
    et_names_free(&captions);
    et_dataset_free(ds);
    return status;
}

static et_status load_task(search_data *d)
{
    static const char *const parts[] = {"train", "valid", "test"};
    const int64_t n = TASK_TRAIN + 2 * TASK_TEST;

    d->ds = et_dataset_new();
    if (!d->ds || !(d->ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(n, d->input.frames, d->input.bins))) ||
        !(d->ds->y = et_dataset_tensor(ET_I32, ET_SHAPE(n))) ||
        !(d->ds->split = et_dataset_tensor(ET_I32, ET_SHAPE(n))))
        return et_error_status();
    for (int p = 0; p < 3; p++)
        if (et_names_add(&d->ds->splits, parts[p]) ||
            task_part(d, p, p ? TASK_TEST : TASK_TRAIN, p == 0 ? 0 : TASK_TRAIN + (p - 1) * TASK_TEST))
            return et_error_status();
    return ET_OK;
}

/* Of a collection whose source is the data: their sound as the model hears it. */
static et_status load_heard(const et_collection *c, int64_t i, et_audio *out)
{
    const search_data *d = c->source;

    if (d->c->load(d->c, i, out))
        return et_error_status();
    if (!et_audio_check_finite(out) && !search_hear(&d->input, d->fe, out))
        return ET_OK;
    et_audio_free(out);
    return et_error_status();
}

/* Sounds to features, once. */
static et_status open_cache(search_data *d)
{
    et_collection heard = *d->c;
    char key[64];

    d->fe = et_front_end_new(d->input.front_end);
    if (!d->fe)
        return et_error_status();
    heard.source = d;
    heard.load = d->c->load ? load_heard : NULL;
    snprintf(key, sizeof key, "%s songs=%lld seconds=%g", kinds[d->from.kind], (long long)d->from.songs,
             d->input.seconds);
    const char *what = d->from.kind == SEARCH_CORPUS ? "playing the built-in corpus" : "reading sounds";
    d->cache = et_run_features(&heard, d->fe, what,
                               (et_feature_cache_options){.path = d->from.cache, .key = key,
                                                          .threads = et_get_num_threads()});
    return d->cache ? ET_OK : et_error_status();
}

/* The collection without the items that cannot be heard: they stay but are in no part. */
static void leave_out(et_indices *items, const et_feature_cache *cache)
{
    int64_t n = 0;

    for (int64_t i = 0; i < items->n; i++)
        if (et_feature_cache_frames(cache, items->items[i]) > 0)
            items->items[n++] = items->items[i];
    items->n = n;
}

static et_collection *open_collection(const search_source *from)
{
    char *table = NULL, *clips = NULL;
    et_corpus_options o = et_corpus_defaults();
    et_collection *c = NULL;

    switch (from->kind) {
    case SEARCH_CORPUS:
        o.songs = from->songs;
        o.seconds = 10;
        o.rate = 22050;
        return et_corpus(&o);
    case SEARCH_RENDERED:
        return et_rendered_excerpts(from->dir);
    case SEARCH_RECORDED:
        return et_recorded_clips(from->dir);
    default:
        if ((table = et_path_join(from->dir, "musiccaps.csv")) && (clips = et_path_join(from->dir, "clips")))
            c = et_musiccaps(table, clips);
        et_dealloc(table);
        et_dealloc(clips);
        if (c && et_collection_size(c) == 0) {
            et_collection_free(c);
            et_raise(ET_EINVAL, "%s/clips: no clip of musiccaps.csv is there (YTID.wav)", from->dir);
            c = NULL;
        }
        return c;
    }
}

static et_status load_collection(search_data *d)
{
    if (!(d->c = open_collection(&d->from)))
        return et_error_status();
    if (d->c->captions.n != et_collection_size(d->c))
        return et_raise(ET_EINVAL, "%s: the data have no captions", d->from.dir);
    d->ds = d->from.kind == SEARCH_RENDERED ? et_rendered_mels(d->from.dir) : et_collection_labels(d->c);
    if (!d->ds || et_names_copy(&d->captions, &d->c->captions))
        return et_error_status();
    if (d->from.kind != SEARCH_RENDERED) { /* features are in the cache; splits want some */
        d->ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(et_collection_size(d->c), 1));
        return d->ds->x && !et_fill(d->ds->x, 0) ? open_cache(d) : et_error_status();
    }
    if (d->ds->x->shape[1] != d->input.frames || d->ds->x->shape[2] != d->input.bins)
        return et_raise(ET_EFORMAT, "%s: spectrograms of %lld frames and %lld bands, expected %lld and %lld",
                        d->from.dir, (long long)d->ds->x->shape[1], (long long)d->ds->x->shape[2],
                        (long long)d->input.frames, (long long)d->input.bins);
    search_scale(&d->input, d->ds->x->numel, et_data_mut(d->ds->x));
    return ET_OK;
}

search_data *search_data_load(const search_source *from, const search_input *input)
{
    search_data *d = et_alloc_zero(1, sizeof *d);

    if (!d)
        return NULL;
    d->from = *from;
    d->input = *input;
    et_status status = from->kind == SEARCH_TASK ? load_task(d) : load_collection(d);
    if (!status)
        status = split(d);
    if (!status && d->cache) {
        leave_out(&d->train, d->cache);
        leave_out(&d->valid, d->cache);
        leave_out(&d->test, d->cache);
        if ((!from->whole && (d->train.n < 2 || d->valid.n < 1)) || d->test.n < 1)
            status = et_raise(ET_EINVAL,
                              "%s: %lld of %lld sound%s cannot be read, what is left is too little (%s)",
                              from->dir ? from->dir : kinds[from->kind],
                              (long long)et_feature_cache_broken(d->cache), (long long)search_data_size(d),
                              et_plural(search_data_size(d)), et_feature_cache_problem(d->cache, 0));
    }
    if (!status)
        return d;
    search_data_free(d);
    return NULL;
}

void search_data_free(search_data *d)
{
    if (!d)
        return;
    et_feature_cache_free(d->cache);
    et_front_end_free(d->fe);
    et_indices_free(&d->train);
    et_indices_free(&d->valid);
    et_indices_free(&d->test);
    et_names_free(&d->captions);
    et_dataset_free(d->ds);
    et_collection_free(d->c);
    et_dealloc(d);
}

int64_t search_data_size(const search_data *d) { return d->captions.n; }

const char *search_item_name(const search_data *d, int64_t i, char buf[64])
{
    if (d->c)
        return d->c->names.items[i];
    snprintf(buf, 64, "item %lld", (long long)i);
    return buf;
}

et_tensor *search_sounds(const search_data *d, const int32_t *items, int64_t n)
{
    const int64_t frames = d->input.frames, bins = d->input.bins, size = frames * bins;
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(n, frames, bins));
    float *out = x ? et_data_mut(x) : NULL;

    if (!x)
        return NULL;
    et_fill(x, (double)search_silence(&d->input));
    for (int64_t i = 0; i < n; i++, out += size) {
        if (!d->cache) {
            memcpy(out, (const float *)et_data(d->ds->x) + items[i] * size, (size_t)size * sizeof *out);
            continue;
        }
        int64_t have = et_feature_cache_frames(d->cache, items[i]);
        have = have < frames ? have : frames;
        if (have > 0 && et_feature_cache_read(d->cache, items[i], 0, have, out))
            return NULL;
        search_scale(&d->input, have * bins, out);
    }
    return x;
}

/* --- texts --------------------------------------------------------------------------------------- */

static bool same_letter(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

static bool letter(char c) { return isalnum((unsigned char)c) != 0; }

/* True if the words of `tag` stand in the text, with no letter before or behind. */
static bool names(const char *text, const char *tag)
{
    for (const char *at = text; *at; at++) {
        size_t k = 0;
        if (at > text && letter(at[-1]))
            continue;
        while (tag[k] && at[k] && (same_letter(at[k], tag[k]) || (tag[k] == ' ' && at[k] == '-')))
            k++;
        if (!tag[k] && k > 0 && !letter(at[k]))
            return true;
    }
    return false;
}

void search_mentions(const et_names *tags, int64_t n, const char *const *texts, uint8_t *mentions)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < tags->n; k++)
            mentions[i * tags->n + k] = names(texts[i], tags->items[k]);
}

et_status search_captions_of(const search_data *d, const et_indices *items, et_names *out)
{
    et_status status = ET_OK;

    for (int64_t i = 0; !status && i < items->n; i++)
        status = et_names_add(out, d->captions.items[items->items[i]]);
    return status;
}
