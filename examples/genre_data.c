/* The data of genre-rnn and how they are prepared: see genre_data.h. */
#include "config.h"

#include "examples/genre_data.h"

#include <string.h>

#include "datasets/gtzan.h"
#include "datasets/synthetic.h"
#include "examples/genre_corpus.h"

/* The planted task is the specification's: GRU 32, attention 16, Adam 3e-3, clip 1. For
 * GTZAN the recipes were chosen by training on one part of the artist-aware split and judging
 * on the other, both ways: against 443 training tracks random crops, mixup and moved spectra do most
 * of the work, for segments a random colour of each recording. */
const genre_recipe genre_recipes[GENRE_KINDS] = {
    [GENRE_PLANTED] = {.members = 1, .epochs = 8, .batch = 32, .hidden = 32, .attention = 16, .lr = 3e-3,
                       .clip_norm = 1, .patience = 4},
    [GENRE_SPECTROGRAM] = {.members = 3, .epochs = 80, .batch = 16, .hidden = 128, .attention = 64,
                           .crop = 28, .shift = 4, .lr = 4e-3, .dropout = 0.3, .mixup = 0.4, .smoothing = 0.1,
                           .clip_norm = 1, .cosine = true},
    [GENRE_SEGMENTS] = {.members = 1, .epochs = 60, .batch = 32, .hidden = 64, .attention = 32,
                        .lr = 2e-3, .dropout = 0.3, .feature_shift = 1, .smoothing = 0.1, .clip_norm = 1,
                        .cosine = true},
    [GENRE_CORPUS] = {.members = 1, .epochs = 12, .batch = 16, .hidden = 64, .attention = 32, .crop = 64,
                      .lr = 4e-3, .dropout = 0.3, .mixup = 0.2, .smoothing = 0.1, .clip_norm = 1,
                      .cosine = true},
};

const char *genre_kind_name(genre_kind kind)
{
    static const char *const names[GENRE_KINDS] = {"planted", "spectrogram", "segments", "corpus"};

    return names[kind];
}

double genre_frame_seconds(genre_kind kind)
{
    /* hop 1920 at 22050 Hz; segments of 3 s; hop 256 at 16000 Hz */
    return kind == GENRE_SPECTROGRAM ? 1920.0 / 22050
           : kind == GENRE_SEGMENTS  ? 3
           : kind == GENRE_CORPUS    ? GENRE_CORPUS_POOL * 256 / 16000.0
                                     : 0;
}

bool genre_is_made(genre_kind kind) { return kind == GENRE_PLANTED || kind == GENRE_CORPUS; }

int genre_kind_of(const char *dir, const char *table, const char *task)
{
    if (!dir)
        return strcmp(task, "planted") == 0 ? GENRE_PLANTED : GENRE_CORPUS;
    bool any = strcmp(table, "auto") == 0;
    if ((any || strcmp(table, "spectrogram") == 0) && et_gtzan_has(dir, ET_GTZAN_SPECTROGRAM))
        return GENRE_SPECTROGRAM;
    if ((any || strcmp(table, "segments") == 0) && et_gtzan_has(dir, ET_GTZAN_SEGMENTS))
        return GENRE_SEGMENTS;
    if (any)
        return (int)et_raise(ET_EIO,
                             "%s: no GTZAN tables there (spec128x57.npy with tracks.csv, or "
                             "features3_seq.csv)", dir);
    return (int)et_raise(ET_EIO, "%s: the files of the table %s are not there", dir, table);
}

/* --- preprocessing ------------------------------------------------------------------------- */

enum { SEGMENT_CLIP = 5 };
static const double segment_colour = 0.7; /* what was tried: doc/results.md */

genre_prep genre_prep_default(genre_kind kind)
{
    /* A spectrogram here is scaled between its track's extremes, a piece of the corpus to any peak:
     * its level means nothing. The mean level of a band, or of a cepstral coefficient, says how a record
     * was made. */
    return (genre_prep){.log_variances = kind == GENRE_SEGMENTS,
                        .colour = kind == GENRE_SEGMENTS ? segment_colour : 0,
                        .centre = kind == GENRE_SPECTROGRAM || kind == GENRE_CORPUS,
                        .flux = kind == GENRE_SPECTROGRAM,
                        .roughness = kind == GENRE_SPECTROGRAM,
                        .centre_features = kind == GENRE_SPECTROGRAM,
                        .clip = kind == GENRE_SEGMENTS ? SEGMENT_CLIP : 0};
}

void genre_prep_write(const genre_prep *p, et_json_writer *w)
{
    et_json_key(w, "preprocessing");
    et_json_open_object(w);
    et_json_key(w, "log_variances");
    et_json_bool(w, p->log_variances);
    et_json_key(w, "colour");
    et_json_number(w, p->colour);
    et_json_key(w, "centre");
    et_json_bool(w, p->centre);
    et_json_key(w, "flux");
    et_json_bool(w, p->flux);
    et_json_key(w, "roughness");
    et_json_bool(w, p->roughness);
    et_json_key(w, "centre_features");
    et_json_bool(w, p->centre_features);
    et_json_key(w, "standardize");
    et_json_string(w, "feature");
    et_json_key(w, "clip");
    et_json_number(w, p->clip);
    et_json_close(w);
}

et_status genre_prep_read(const et_json_value *config, const char *path, genre_kind kind, genre_prep *out)
{
    const et_json_value *steps = et_json_get(config, "preprocessing");

    *out = genre_prep_default(kind);
    if (config)
        out->colour = 0; /* runs begun before there was this step */
    if (!steps)
        return ET_OK;
    *out = (genre_prep){0};
    if (steps->type != ET_JSON_OBJECT)
        return et_raise(ET_EFORMAT, "%s: \"preprocessing\" is not an object", path);
    for (const et_json_value *v = steps->first; v; v = v->next) {
        bool known = false;
        if (strcmp(v->key, "log_variances") == 0) {
            out->log_variances = v->boolean;
            known = v->type == ET_JSON_BOOL && (kind == GENRE_SEGMENTS || !v->boolean);
        } else if (strcmp(v->key, "colour") == 0) {
            out->colour = v->number;
            known = v->type == ET_JSON_NUMBER && v->number >= 0 && v->number <= 1 &&
                    (kind == GENRE_SEGMENTS || v->number == 0);
        } else if (strcmp(v->key, "centre") == 0) {
            out->centre = v->boolean;
            known = v->type == ET_JSON_BOOL;
        } else if (strcmp(v->key, "flux") == 0) {
            out->flux = v->boolean;
            known = v->type == ET_JSON_BOOL;
        } else if (strcmp(v->key, "roughness") == 0) {
            out->roughness = v->boolean;
            known = v->type == ET_JSON_BOOL;
        } else if (strcmp(v->key, "centre_features") == 0) {
            out->centre_features = v->boolean;
            known = v->type == ET_JSON_BOOL;
        } else if (strcmp(v->key, "standardize") == 0) {
            known = v->type == ET_JSON_STRING && strcmp(v->string, "feature") == 0;
        } else if (strcmp(v->key, "clip") == 0) {
            out->clip = v->number;
            known = v->type == ET_JSON_NUMBER && v->number >= 0;
        } else {
            return et_raise(ET_EFORMAT, "%s: this program does not know the preprocessing \"%s\"", path,
                            v->key);
        }
        if (!known)
            return et_raise(ET_EFORMAT,
                            "%s: this program does not know that value of the preprocessing \"%s\"", path,
                            v->key);
    }
    return ET_OK;
}

/* --- loading --------------------------------------------------------------------------------- */

/* All that comes before standardising. Takes ds, NULL after an error, and returns it. */
static et_dataset *prepare(et_dataset *ds, genre_kind kind, const genre_prep *p)
{
    et_status status = ET_OK;
    int64_t F = ds ? ds->x->shape[2] : 0;

    if (ds && p->log_variances && kind == GENRE_SEGMENTS)
        status = et_gtzan_log_variances(ds, ET_GTZAN_SEGMENTS);
    if (ds && !status && p->colour > 0)
        status = et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, p->colour);
    if (ds && !status && p->centre)
        status = et_centre_items(ds);
    if (ds && !status && p->flux)
        status = et_append_flux(ds);
    if (ds && !status && p->roughness)
        status = et_append_roughness(ds, F);
    if (ds && !status && p->centre_features)
        status = et_centre_features(ds, F);
    if (!status)
        return ds;
    et_dataset_free(ds);
    return NULL;
}

static et_dataset *load_gtzan(genre_kind kind, const char *dir)
{
    return et_gtzan_load(dir, kind == GENRE_SPECTROGRAM ? ET_GTZAN_SPECTROGRAM : ET_GTZAN_SEGMENTS);
}

enum { PLANTED_TRAIN = 2400, PLANTED_VALID = 600, PLANTED_TEST = 1000 };

et_status genre_mark_splits(et_dataset *ds, int64_t n_train)
{
    int64_t n = et_dataset_size(ds);

    ds->split = et_dataset_tensor(ET_I32, 1, &n);
    if (!ds->split || et_names_add(&ds->splits, "train") || et_names_add(&ds->splits, "valid"))
        return et_error_status();
    int32_t *split = et_data_mut(ds->split);
    for (int64_t i = 0; i < n; i++)
        split[i] = i >= n_train;
    return ET_OK;
}

et_status genre_load_train(const genre_source *from, const genre_prep *prep, et_dataset **ds,
                           et_indices *train, et_indices *valid)
{
    genre_kind kind = from->kind;

    if (kind == GENRE_CORPUS) {
        *ds = genre_corpus(from->songs, false);
    } else if (kind == GENRE_PLANTED) {
        et_planted_options o = et_planted_defaults();
        *ds = et_planted(PLANTED_TRAIN + PLANTED_VALID, &o);
        if (*ds && genre_mark_splits(*ds, PLANTED_TRAIN))
            return et_error_status();
    } else {
        *ds = load_gtzan(kind, from->dir);
    }
    if (!(*ds = prepare(*ds, kind, prep)))
        return et_error_status();
    et_status status = et_split_named(*ds, "train", train);
    if (!status)
        status = et_split_named(*ds, "valid", valid);
    if (!status && train->n == 0)
        return et_raise(ET_EFORMAT, "%s: no track has the split \"train\"", from->dir);
    if (!status && valid->n == 0) { /* no validation split: a fifth of each genre, tracks whole */
        et_indices_free(train);
        et_indices_free(valid);
        status = et_split_random(*ds, 0.2, 1, train, valid);
    }
    if (!status && (train->n == 0 || valid->n == 0))
        return et_raise(ET_EFORMAT, "%s: too few tracks to learn from some and to validate on others",
                        from->dir);
    return status;
}

et_status genre_load_test(const genre_source *from, const genre_prep *prep, et_dataset **ds, et_indices *all)
{
    if (from->kind == GENRE_CORPUS) {
        *ds = genre_corpus(from->songs, true);
    } else if (from->kind == GENRE_PLANTED) {
        et_planted_options o = et_planted_defaults();
        o.part = 1;
        *ds = et_planted(PLANTED_TEST, &o);
    } else {
        *ds = load_gtzan(from->kind, from->dir);
    }
    *ds = prepare(*ds, from->kind, prep);
    return *ds ? et_split_all(*ds, all) : et_error_status();
}
