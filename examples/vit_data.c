#include "config.h"

#include "examples/vit_data.h"

#include <math.h>
#include <string.h>

#include "datasets/corpus.h"
#include "datasets/front_end.h"
#include "datasets/gtzan.h"
#include "datasets/standardize.h"
#include "datasets/synthetic.h"
#include "tensor/alloc.h"

vit_recipe vit_recipe_of(vit_kind kind, bool paper)
{
    vit_recipe r = {.net = et_vit_paper(), .members = 1, .epochs = 30, .batch = 32, .lr = 1e-4, .weight_decay = 1e-4,
                    .folds = kind == VIT_MUSIC ? 2 : 0};

    if (paper)
        return r;
    if (kind == VIT_WAVES) {
        r.net = et_vit_small();
        r.epochs = 8;
        r.lr = 1e-3;
        return r;
    }
    /* Little music: a small encoder with a mean over tokens, and all that keeps it from learning by heart. */
    r.net = (et_vit_config){.height = 28, .width = 128, .patch_h = 1, .patch_w = 128, .d = 64, .layers = 2, .heads = 4,
                            .head_width = 16, .hidden = 128, .act_once = true, .pooling = ET_VIT_MEAN, .dropout = 0.1,
                            .head_dropout = 0.3};
    r.window = 28;
    r.epochs = 80;
    r.batch = 16;
    r.lr = 1e-3;
    r.weight_decay = 0.05;
    r.mixup = 0.4;
    r.smoothing = 0.1;
    r.clip = 1;
    r.cosine = true;
    r.members = 3;
    if (kind == VIT_MUSIC) {
        r.net.height = 128;
        r.net.width = 32;
        r.net.patch_h = 8;
        r.net.patch_w = 8;
        r.window = 0;
        r.epochs = 30;
        r.members = 1;
    }
    return r;
}

const char *vit_kind_name(vit_kind kind)
{
    return kind == VIT_WAVES ? "waves" : kind == VIT_MUSIC ? "corpus" : "spectrogram";
}

double vit_frame_seconds(vit_kind kind)
{
    return kind == VIT_SPECTROGRAM ? 1920.0 / 22050 : kind == VIT_MUSIC ? 256.0 / 22050 : 0;
}

int64_t vit_channels(vit_kind kind) { return kind == VIT_SPECTROGRAM ? 3 : 1; }
bool vit_standardizes(vit_kind kind) { return kind == VIT_SPECTROGRAM; }

enum { WAVES_TRAIN = 2400, WAVES_VALID = 600, WAVES_TEST = 1000, SEGMENT = 512 };

/* Gives ds the splits "train" and "valid": the first n items, and the others. */
static et_status mark_splits(et_dataset *ds, int64_t n_train)
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

/* n numbers with mean 0 and deviation 1. */
static void standardize_segment(float *x, int64_t n)
{
    double sum = 0, squares = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    for (int64_t i = 0; i < n; i++)
        squares += ((double)x[i] - sum / (double)n) * ((double)x[i] - sum / (double)n);
    double std = sqrt(squares / (double)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(((double)x[i] - sum / (double)n) / (std > 1e-6 ? std : 1));
}

/* The whole segments of one sound; x NULL: only their number, negative: a status. */
static int64_t segments_of(const et_collection *c, const et_front_end *fe, int64_t i, float *x)
{
    et_audio audio = {0};
    int64_t count = -1, bins = et_front_end_bins(fe);
    et_status status = et_collection_audio(c, i, &audio);

    if (!status)
        status = et_audio_to_mono(&audio);
    if (!status)
        status = et_audio_to_rate(&audio, et_front_end_rate(fe));
    if (!status) {
        int64_t n = audio.samples->shape[1], frames = et_front_end_frames(fe, n);
        count = frames / SEGMENT;
        float *all = x && count ? et_alloc((size_t)(frames * bins) * sizeof *all) : NULL;
        if (x && count)
            status = all ? et_front_end_run(fe, et_data_f32(audio.samples), n, all) : ET_ENOMEM;
        for (int64_t k = 0; !status && all && k < count; k++) {
            memcpy(x + k * SEGMENT * bins, all + k * SEGMENT * bins, (size_t)(SEGMENT * bins) * sizeof *x);
            standardize_segment(x + k * SEGMENT * bins, SEGMENT * bins);
        }
        et_dealloc(all);
    }
    et_audio_free(&audio);
    return status ? (int64_t)et_error_status() : count;
}

/* Segments of all sounds, by the front end vit129. Each piece must give as many as the first. */
static et_dataset *of_collection(const et_collection *c)
{
    et_front_end *fe = et_front_end_new("vit129");
    int64_t n = et_collection_size(c), each = fe && n ? segments_of(c, fe, 0, NULL) : 0, F = fe ? et_front_end_bins(fe) : 0;
    et_dataset *labels = each > 0 ? et_collection_labels(c) : NULL, *ds = NULL;
    int32_t *index = labels ? et_alloc((size_t)(n * each) * sizeof *index) : NULL;

    if (fe && each == 0)
        et_raise(ET_EINVAL, "%s: no sound is as long as a segment of %d frames", c->name, SEGMENT);
    for (int64_t i = 0; index && i < n * each; i++)
        index[i] = (int32_t)(i / each);
    et_tensor *x = index ? et_dataset_tensor(ET_F32, 3, (const int64_t[]){n * each, SEGMENT, F}) : NULL;
    float *at = x ? et_data_mut(x) : NULL;
    for (int64_t i = 0; at && i < n; i++, at += each * SEGMENT * F) {
        int64_t got = segments_of(c, fe, i, at);
        if (got != each && got >= 0)
            et_raise(ET_EINVAL, "%s: sound %lld has %lld segments, the first has %lld", c->name, (long long)i,
                     (long long)got, (long long)each);
        if (got != each)
            at = NULL;
        if (!at)
            break;
    }
    if (at && !labels->x) {
        labels->x = et_dataset_tensor(ET_F32, 2, (const int64_t[]){n, 1});
        if (labels->x && et_fill(labels->x, 0) == ET_OK)
            ds = et_dataset_subset(labels, index, n * each);
    }
    if (ds) {
        et_free(ds->x);
        ds->x = x;
        x = NULL;
    }
    et_free(x);
    et_dealloc(index);
    et_dataset_free(labels);
    et_front_end_free(fe);
    return ds;
}

static et_dataset *load_music(bool test)
{
    et_corpus_options o = et_corpus_defaults();

    o.songs = 16;
    o.clips = 1;
    o.rate = 22050;
    if (test) {
        o.seed = 2;
        o.songs = 5;
    }
    et_collection *c = et_corpus(&o);
    et_dataset *ds = c ? of_collection(c) : NULL;
    et_collection_free(c);
    return ds;
}

static et_dataset *load_gtzan(const char *dir)
{
    et_dataset *ds = et_gtzan_load(dir, ET_GTZAN_SPECTROGRAM);

    int64_t bands = ds ? ds->x->shape[2] : 0;

    if (ds && (et_centre_items(ds) || et_append_flux(ds) || et_append_roughness(ds, bands))) {
        et_dataset_free(ds);
        return NULL;
    }
    return ds;
}

et_dataset *vit_load(vit_kind kind, const char *dir, bool test)
{
    if (kind == VIT_SPECTROGRAM)
        return load_gtzan(dir);
    if (kind == VIT_MUSIC)
        return load_music(test);
    et_waves_options o = et_waves_defaults();
    o.part = test;
    et_dataset *ds = et_waves(test ? WAVES_TEST : WAVES_TRAIN + WAVES_VALID, &o);
    if (ds && !test && mark_splits(ds, WAVES_TRAIN)) {
        et_dataset_free(ds);
        return NULL;
    }
    return ds;
}

et_dataset *vit_windows(const et_dataset *ds, int64_t window, int64_t count)
{
    int64_t n = et_dataset_size(ds), T = ds->x->shape[1], F = ds->x->shape[2];

    if (window == 0 || window >= T) {
        window = T;
        count = 1;
    }
    int32_t *index = et_alloc((size_t)(n * count) * sizeof *index + 1);
    for (int64_t i = 0; index && i < n * count; i++)
        index[i] = (int32_t)(i / count);
    et_dataset *out = index ? et_dataset_subset(ds, index, n * count) : NULL;
    et_tensor *x = out ? et_dataset_tensor(ET_F32, 3, (const int64_t[]){n * count, window, F}) : NULL;
    float *to = x ? et_data_mut(x) : NULL;
    if (to && !out->groups && (out->groups = et_dataset_tensor(ET_I32, 1, &x->shape[0])))
        memcpy(et_data_mut(out->groups), index, (size_t)(n * count) * sizeof *index);
    et_dealloc(index);
    if (!to || !out->groups) {
        et_free(x);
        et_dataset_free(out);
        return NULL;
    }
    for (int64_t i = 0; i < n * count; i++) {
        int64_t k = i % count, begin = count > 1 ? (T - window) * k / (count - 1) : (T - window) / 2;
        memcpy(to + i * window * F, et_data_f32(ds->x) + (i / count * T + begin) * F,
               (size_t)(window * F) * sizeof *to);
    }
    et_free(out->x);
    out->x = x;
    return out;
}
