/* The data of music-tagger: see tagger_data.h. */
#include "config.h"

#include "examples/tagger_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/corpora.h"
#include "datasets/corpus.h"
#include "datasets/folder.h"
#include "datasets/synthetic.h"
#include "examples/common/run_features.h"
#include "tensor/alloc.h"

/* Hop of front end won96 and its rate; hop of rendered/logmel96x128.npy and its rate. */
#define WON_SECONDS (256.0 / 16000)
#define RENDERED_SECONDS (1024.0 / 22050)

enum { RATE = 16000, TRAINING_ITEMS = 4800, VALIDATION_ITEMS = 400 };

/* --- recipes ------------------------------------------------------------------------------ */

/* Small networks for sound: the paper's forms with fewer channels. */
static et_tagger_config small_net(tagger_kind kind, et_tagger_front front, et_tagger_back back)
{
    if (kind == TAGGER_PATTERNS || kind == TAGGER_TONES)
        return et_tagger_small(front, back);
    et_tagger_config c = et_tagger_paper(front, back);
    c.channels = 4;
    c.first = 32;
    c.raw_widths[0] = 32;
    c.raw_widths[1] = c.raw_widths[2] = c.raw_widths[3] = 64;
    c.wide = c.dense = 96;
    for (int i = 0; i < c.long_blocks; i++)
        c.long_widths[i] = 96;
    c.width = 96;
    c.hidden = 192;
    c.heads = 4;
    c.dropout = 0.1;
    c.out_dropout = 0.3;
    return c;
}

tagger_recipe tagger_recipe_of(tagger_kind kind, et_tagger_front front, et_tagger_back back, bool paper)
{
    const bool spec = front == ET_FRONT_SPEC, planted = kind == TAGGER_PATTERNS || kind == TAGGER_TONES;
    tagger_recipe r = {.net = paper ? et_tagger_paper(front, back) : small_net(kind, front, back)};

    r.window = planted ? (spec ? 64 : 2187) : spec ? 256 : 65610;
    if (kind == TAGGER_RENDERED && spec)
        r.window = 128;
    if (kind == TAGGER_DIGITS && !paper) /* 0.68 s: all of nineteen in twenty */
        r.window = spec ? 43 : 10935;
    if (kind == TAGGER_DIGITS && !paper && !spec)
        r.sound = (et_sound_augment){.speed = 0.12, .place = true, .gain = 6};
    /* The tasks' sizes are theirs; dropout and mixup keep maps at one event apart from those of others. */
    if (planted) {
        r.net = et_tagger_small(front, back);
        r.net.dropout = 0.1;
    }
    r.schedule = paper ? "paper" : "cosine";
    r.epochs = paper ? 120 : planted ? 5 : kind == TAGGER_CORPUS ? 12 : 40;
    r.batch = 16;
    r.chunks = planted || (kind == TAGGER_RENDERED && spec) ? 1 : paper ? 16 : 2;
    r.lr = paper ? 1e-4 : 2e-3;
    r.mixup = planted ? 0.3 : paper ? 0 : 0.2;
    if (kind == TAGGER_DIGITS &&
        !paper) { /* a spoken digit is one event: no mixtures, and judged as a whole */
        r.mixup = 0;
        r.chunks = 1;
        r.lr = 4e-3;
    }
    return r;
}

int tagger_only_front(tagger_kind kind)
{
    return kind == TAGGER_PATTERNS ? ET_FRONT_SPEC : kind == TAGGER_TONES ? ET_FRONT_RAW : -1;
}

/* --- finding ------------------------------------------------------------------------------ */

static bool has_file(const char *dir, const char *name)
{
    char *path = et_path_join(dir, name);
    bool found = path && et_exists(path);

    et_dealloc(path);
    return found;
}

int tagger_kind_of(const tagger_source *from)
{
    if (!from->dir)
        return strcmp(from->task, "patterns") == 0 ? TAGGER_PATTERNS
               : strcmp(from->task, "tones") == 0  ? TAGGER_TONES
                                                   : TAGGER_CORPUS;
    if (has_file(from->dir, "annotations_final.csv"))
        return TAGGER_MTAT;
    if (from->lists)
        return TAGGER_LIST;
    if (has_file(from->dir, "clips.csv"))
        return TAGGER_RENDERED;
    if (has_file(from->dir, "files.csv"))
        return TAGGER_DIGITS;
    return et_raise(ET_EIO,
                    "%s: none of annotations_final.csv (MagnaTagATune), clips.csv (rendered excerpts), "
                    "files.csv (spoken digits) is there; --lists names a list of clips",
                    from->dir);
}

/* --- loading ------------------------------------------------------------------------------- */

/* [N, bands, frames] to [N, frames, bands], in place. */
static et_status turn(et_dataset *ds)
{
    int64_t n = ds->x->shape[0], bands = ds->x->shape[1], frames = ds->x->shape[2];
    et_tensor *x = et_dataset_tensor(ET_F32, ET_SHAPE(n, frames, bands));
    const float *from = et_data_f32(ds->x);
    float *to = x ? et_data_mut(x) : NULL;

    if (!from || !to)
        return et_error_status();
    for (int64_t i = 0; i < n; i++, from += bands * frames, to += bands * frames)
        for (int64_t b = 0; b < bands; b++)
            for (int64_t t = 0; t < frames; t++)
                to[t * bands + b] = from[b * frames + t];
    et_free(ds->x);
    ds->x = x;
    return ET_OK;
}

static et_status load_planted(tagger_data *d, bool test)
{
    int64_t n = test ? VALIDATION_ITEMS : TRAINING_ITEMS + VALIDATION_ITEMS;
    et_tagged_options patterns = et_tagged_defaults();
    et_tones_options tones = et_tones_defaults();

    patterns.part = tones.part = test;
    d->ds = d->kind == TAGGER_PATTERNS ? et_tagged_patterns(n, &patterns) : et_tagged_tones(n, &tones);
    if (!d->ds || (d->kind == TAGGER_PATTERNS && turn(d->ds)))
        return et_error_status();
    d->row_seconds = d->kind == TAGGER_PATTERNS ? 0 : 1.0 / RATE;
    if (test)
        return ET_OK;
    d->ds->split = et_dataset_tensor(ET_I32, ET_SHAPE(n));
    int32_t *split = d->ds->split ? et_data_mut(d->ds->split) : NULL;
    if (!split || et_names_add(&d->ds->splits, "train") < 0 || et_names_add(&d->ds->splits, "valid") < 0)
        return et_error_status();
    for (int64_t i = 0; i < n; i++)
        split[i] = i >= TRAINING_ITEMS;
    return ET_OK;
}

/* Front end and labels of sounds. */
static et_status load_sounds(tagger_data *d, const tagger_source *from)
{
    if (!d->sounds || !(d->ds = et_collection_labels(d->sounds)))
        return et_error_status();
    /* counts items, is never read */
    d->ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(et_collection_size(d->sounds), 1));
    if (!d->ds->x || et_fill(d->ds->x, 0))
        return et_error_status();
    d->streamed = true;
    d->rate = RATE;
    d->row_seconds = from->front == ET_FRONT_SPEC ? WON_SECONDS : 1.0 / RATE;
    if (from->front == ET_FRONT_RAW)
        return ET_OK;
    if (!(d->fe = et_front_end_new("won96")))
        return et_error_status();
    d->bands = et_front_end_bins(d->fe);
    if (d->kind == TAGGER_CORPUS)
        snprintf(d->key, sizeof d->key, "songs %" PRId64, from->songs);
    return ET_OK;
}

et_status tagger_data_cache(tagger_data *d, const char *path, int workers)
{
    char what[256];

    if (!d->fe || !path)
        return ET_OK;
    snprintf(what, sizeof what, "features of %s", d->sounds->name);
    d->cache = et_run_features(d->sounds, d->fe, what,
                               (et_feature_cache_options){.path = path, .key = d->key[0] ? d->key : NULL,
                                                          .threads = workers});
    return d->cache ? ET_OK : et_error_status();
}

static et_status load(tagger_data *d, const tagger_source *from)
{
    const et_tag_files files = {.audio = from->dir, .lists = from->lists, .tags = from->tags};
    et_corpus_options corpus = et_corpus_defaults();

    switch (d->kind) {
    case TAGGER_PATTERNS:
    case TAGGER_TONES:
        return load_planted(d, from->test);
    case TAGGER_CORPUS:
        corpus.songs = from->songs;
        d->sounds = et_corpus(&corpus);
        break;
    case TAGGER_MTAT:
        d->sounds = et_magnatagatune(from->dir, &files);
        break;
    case TAGGER_LIST:
        d->sounds = et_tag_list("list", &files);
        break;
    case TAGGER_DIGITS:
        d->sounds = et_spoken_digits(from->dir);
        break;
    case TAGGER_RENDERED:
        d->sounds = et_rendered_clips(from->dir);
        if (from->front == ET_FRONT_SPEC) {
            d->ds = d->sounds ? et_rendered_mels(from->dir) : NULL;
            d->row_seconds = RENDERED_SECONDS;
            return d->ds ? ET_OK : et_error_status();
        }
        break;
    }
    return load_sounds(d, from);
}

tagger_data *tagger_data_load(const tagger_source *from)
{
    int kind = tagger_kind_of(from);
    tagger_data *d = kind >= 0 ? et_alloc_zero(1, sizeof *d) : NULL;

    if (!d)
        return NULL;
    d->kind = (tagger_kind)kind;
    d->front = from->front;
    d->bands = 1;
    et_status status = load(d, from);
    if (!status && !d->streamed) {
        d->rows = d->ds->x->shape[1];
        d->bands = d->ds->x->ndim == 3 ? d->ds->x->shape[2] : 1;
    }
    if (!status && !d->ds->tags)
        status = et_raise(ET_EFORMAT, "%s: the items have no tags", from->dir ? from->dir : from->task);
    if (!status && et_dataset_size(d->ds) == 0)
        status = et_raise(ET_EFORMAT, "%s: there are no items", from->dir ? from->dir : from->task);
    if (status) {
        tagger_data_free(d);
        return NULL;
    }
    return d;
}

void tagger_data_free(tagger_data *d)
{
    if (!d)
        return;
    et_feature_cache_free(d->cache);
    et_front_end_free(d->fe);
    et_dataset_free(d->ds);
    et_collection_free(d->sounds);
    et_dealloc(d);
}

int64_t tagger_data_tags(const tagger_data *d) { return d->ds->tag_names.n; }

et_status tagger_data_align(tagger_data *d, const et_names *names)
{
    int64_t n = et_dataset_size(d->ds), L = d->ds->tag_names.n, found = 0;
    et_tensor *tags = et_dataset_tensor(ET_U8, ET_SHAPE(n, names->n));
    const uint8_t *from = et_data(d->ds->tags);
    uint8_t *to = tags ? et_data_mut(tags) : NULL;

    if (!to || et_fill(tags, 0))
        return et_error_status();
    for (int64_t k = 0; k < names->n; k++) {
        int64_t at = et_names_find(&d->ds->tag_names, names->items[k]);
        found += at >= 0;
        for (int64_t i = 0; at >= 0 && i < n; i++)
            to[i * names->n + k] = from[i * L + at];
    }
    et_free(d->ds->tags);
    d->ds->tags = tags;
    et_names_free(&d->ds->tag_names);
    if (et_names_copy(&d->ds->tag_names, names) < 0)
        return et_error_status();
    return found ? ET_OK : et_raise(ET_EINVAL, "the data have none of the tags that the model knows");
}

/* --- which items ------------------------------------------------------------------------------ */

et_status tagger_data_split(const tagger_data *d, et_indices *train, et_indices *valid)
{
    et_status status;

    if (!d->ds->split || d->ds->splits.n == 0)
        return et_split_random(d->ds, 0.2, 1, train, valid);
    status = et_split_named(d->ds, "train", train);
    if (!status)
        status = et_split_named(d->ds, "valid", valid);
    if (!status && (train->n == 0 || valid->n == 0))
        status = et_raise(ET_EFORMAT, "the data have no items in the split \"%s\"",
                          train->n ? "valid" : "train");
    return status;
}

et_status tagger_data_choose(const tagger_data *d, const char *split, et_indices *out, const char **judged)
{
    const bool automatic = strcmp(split, "auto") == 0, fresh = d->kind == TAGGER_PATTERNS ||
                                                               d->kind == TAGGER_TONES;
    et_status status = ET_OK;

    *judged = automatic ? "test" : split;
    if (strcmp(split, "all") != 0)
        status = et_split_named(d->ds, automatic ? "test" : split, out);
    if (status || out->n > 0)
        return status;
    if (strcmp(split, "all") == 0 || automatic) {
        et_indices_free(out);
        *judged = automatic && fresh ? "test" : "all";
        return et_split_all(d->ds, out);
    }
    return et_raise(ET_EINVAL, "the data have no items in the split \"%s\"", split);
}

const char *tagger_data_name(char buf[64], const tagger_data *d, int64_t item)
{
    if (d->ds->names.n > item)
        return d->ds->names.items[item];
    snprintf(buf, 64, "item %" PRId64, item);
    return buf;
}

/* --- sound -------------------------------------------------------------------------------------- */

/* Samples in memory as sound, half as loud as can be. */
static et_status sound_of_samples(const tagger_data *d, int64_t item, et_audio *out)
{
    const float *x = et_data_f32(d->ds->x) + item * d->rows;
    float most = 1e-6f, *to;

    *out = (et_audio){.samples = et_dataset_tensor(ET_F32, ET_SHAPE(1, d->rows)), .rate = RATE};
    if (!out->samples || !(to = et_data_mut(out->samples)))
        return et_error_status();
    for (int64_t i = 0; i < d->rows; i++)
        most = x[i] > most ? x[i] : -x[i] > most ? -x[i] : most;
    for (int64_t i = 0; i < d->rows; i++)
        to[i] = x[i] / most / 2;
    return ET_OK;
}

et_status tagger_data_sound(const tagger_data *d, int64_t item, double seconds, et_audio *out, bool *has)
{
    int64_t at = item;

    *has = false;
    *out = (et_audio){NULL, 0};
    if (!d->sounds && d->front == ET_FRONT_RAW) {
        *has = true;
        return sound_of_samples(d, item, out);
    }
    if (!d->streamed) /* of rendered excerpts some are there as sound, by name */
        at = d->sounds && d->ds->names.n > item ? et_names_find(&d->sounds->names, d->ds->names.items[item])
                                                : -1;
    if (at < 0 || (!d->streamed && d->sounds->files.n == 0) ||
        (d->sounds->files.n > at && d->sounds->files.items[at][0] == '\0'))
        return ET_OK;
    et_status status = et_collection_audio(d->sounds, at, out);
    if (!status)
        status = et_audio_to_mono(out);
    int64_t keep = status ? 0 : (int64_t)(seconds * (double)out->rate + 0.5);
    if (!status && keep > 0 && keep < out->samples->shape[1]) {
        et_tensor *cut = et_dataset_tensor(ET_F32, ET_SHAPE(1, keep));
        float *to = cut ? et_data_mut(cut) : NULL;
        if (to) {
            memcpy(to, et_data(out->samples), (size_t)keep * sizeof *to);
            et_free(out->samples);
            out->samples = cut;
        } else {
            status = et_error_status();
        }
    }
    if (status)
        et_audio_free(out);
    *has = !status;
    return status;
}
