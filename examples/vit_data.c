/* The data of genre-vit: see vit_data.h. */
#include "config.h"

#include "examples/vit_data.h"

#include <stdio.h>
#include <string.h>

#include "datasets/corpora.h"
#include "datasets/corpus.h"
#include "datasets/gtzan.h"
#include "datasets/standardize.h"
#include "datasets/synthetic.h"
#include "examples/genre_data.h"
#include "tensor/alloc.h"

vit_recipe vit_recipe_of(vit_kind kind, bool paper)
{
    vit_recipe r = {.net = et_vit_paper(), .members = 1, .epochs = 30, .batch = 32, .lr = 1e-4,
                    .weight_decay = 1e-4, .folds = kind == VIT_MUSIC || kind == VIT_AUDIO ? 5 : 0};

    if (paper) {
        r.by_accuracy = true;
        return r;
    }
    if (kind == VIT_WAVES) {
        r.net = et_vit_small();
        r.epochs = 8;
        r.lr = 1e-3;
        return r;
    }
    /* Little music: a small encoder, mean and deviation over tokens, and all that keeps it from learning by
     * heart. */
    r.net = (et_vit_config){.height = 57, .width = 128, .patch_h = 1, .patch_w = 128, .d = 64, .layers = 2,
                            .heads = 4, .head_width = 16, .hidden = 128, .act_once = true,
                            .pooling = ET_VIT_STATISTICS, .dropout = 0.1, .head_dropout = 0.3};
    r.spread = true;
    r.bands = true;
    r.shift = 4;
    r.epochs = 30;
    r.batch = 16;
    r.lr = 3e-3;
    r.weight_decay = 0.5;
    r.mixup = 0.4;
    r.smoothing = 0.1;
    r.clip = 1;
    r.cosine = true;
    r.members = 3;
    if (kind != VIT_SPECTROGRAM) {
        r.net.height = 128;
        r.net.width = 32;
        r.net.patch_h = 8;
        r.net.patch_w = 8;
        r.net.pooling = ET_VIT_MEAN;
        r.spread = false;
        r.bands = false;
        r.shift = 0;
        r.lr = 1e-3;
        r.weight_decay = 0.05;
        r.members = 1;
    }
    return r;
}

const char *vit_kind_name(vit_kind kind)
{
    static const char *const names[] = {"waves", "spectrogram", "corpus", "recordings"};

    return names[kind];
}

double vit_frame_seconds(vit_kind kind)
{
    return kind == VIT_SPECTROGRAM ? 1920.0 / 22050 : kind == VIT_WAVES ? 0 : 256.0 / 22050;
}

int64_t vit_channels(vit_kind kind) { return kind == VIT_SPECTROGRAM ? 3 : 1; }
bool vit_standardizes(vit_kind kind) { return kind == VIT_SPECTROGRAM; }

enum { WAVES_TRAIN = 2400, WAVES_VALID = 600, WAVES_TEST = 1000 };

static et_status load_music(bool test, vit_source *out)
{
    et_corpus_options o = et_corpus_defaults();
    char key[64];

    o.songs = 16;
    o.clips = 1;
    o.rate = 22050;
    if (test) {
        o.seed = 2;
        o.songs = 5;
    }
    snprintf(key, sizeof key, "songs %d, seed %d", (int)o.songs, (int)o.seed);
    et_collection *c = et_corpus(&o);
    et_status status = c ? vit_sounds_open(c, NULL, key, &out->sounds, &out->ds) : et_error_status();
    et_collection_free(c);
    return status;
}

static et_status load_audio(const char *dir, const char *cache, vit_source *out)
{
    et_collection *c = et_genre_folders(dir);
    et_status status = c ? vit_sounds_open(c, cache, NULL, &out->sounds, &out->ds)
                     : et_error_status() ? et_error_status()
                     : et_raise(ET_EIO, "%s: the folders of sounds are gone", dir);

    et_collection_free(c);
    return status;
}

static et_dataset *load_gtzan(const char *dir, bool apart)
{
    et_dataset *ds = et_gtzan_load(dir, ET_GTZAN_SPECTROGRAM);

    int64_t bands = ds ? ds->x->shape[2] : 0;

    if (ds && (et_centre_items(ds) || et_append_flux(ds) || et_append_roughness(ds, bands) ||
               (apart && et_centre_features(ds, bands)))) {
        et_dataset_free(ds);
        return NULL;
    }
    return ds;
}

static et_dataset *load_waves(bool test)
{
    et_waves_options o = et_waves_defaults();

    o.part = test;
    et_dataset *ds = et_waves(test ? WAVES_TEST : WAVES_TRAIN + WAVES_VALID, &o);
    if (ds && !test && genre_mark_splits(ds, WAVES_TRAIN)) {
        et_dataset_free(ds);
        return NULL;
    }
    return ds;
}

int vit_kind_of(const char *dir, const char *task)
{
    et_collection *c;

    if (!dir)
        return strcmp(task, "corpus") == 0 ? VIT_MUSIC : VIT_WAVES;
    if (et_gtzan_has(dir, ET_GTZAN_SPECTROGRAM))
        return VIT_SPECTROGRAM;
    if (!(c = et_genre_folders(dir))) {
        if (et_error_status())
            return et_error_status();
        return (int)et_raise(ET_EIO, "%s: neither GTZAN's spectrograms (spec128x57.npy and tracks.csv) nor a "
                                     "folder of sounds for each genre there", dir);
    }
    et_collection_free(c);
    return VIT_AUDIO;
}

et_status vit_load(vit_kind kind, const char *dir, const char *cache, bool bands, bool test, vit_source *out)
{
    *out = (vit_source){.kind = kind};
    if (bands && kind != VIT_SPECTROGRAM)
        return et_raise(ET_EINVAL, "--centre bands is for GTZAN's spectrograms");
    if (kind == VIT_MUSIC)
        return load_music(test, out);
    if (kind == VIT_AUDIO)
        return load_audio(dir, cache, out);
    out->ds = kind == VIT_WAVES ? load_waves(test) : load_gtzan(dir, bands);
    return out->ds ? ET_OK : et_error_status();
}

void vit_unload(vit_source *source)
{
    et_dataset_free(source->ds);
    vit_sounds_free(source->sounds);
    *source = (vit_source){0};
}

int64_t vit_frames(const vit_source *s) { return s->sounds ? VIT_SEGMENT : s->ds->x->shape[1]; }
int64_t vit_features(const vit_source *s)
{
    return s->sounds ? vit_sounds_bins(s->sounds) : s->ds->x->shape[2];
}

genre_inputs vit_inputs(const vit_source *s)
{
    return s->sounds ? (genre_inputs){vit_sounds_read, s->sounds} : (genre_inputs){0};
}

/* The frame of T that is number t of window k of `count` with `window` frames each. */
static int64_t frame_of(int64_t T, int64_t window, int64_t t, int64_t k, int64_t count, bool spread)
{
    if (spread)
        return (t * T + k * T / count) / window;
    return t + (count > 1 ? (T - window) * k / (count - 1) : (T - window) / 2);
}

et_dataset *vit_windows(const et_dataset *ds, int64_t window, int64_t count, bool spread)
{
    int64_t n = et_dataset_size(ds), T = ds->x->shape[1], F = ds->x->shape[2];

    if (window == 0 || window >= T) {
        window = T;
        count = 1;
    }
    int32_t *index = et_alloc_zero((size_t)n, (size_t)count * sizeof *index);
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
    for (int64_t i = 0; i < n * count * window; i++) {
        const int64_t w = i / window, frame = frame_of(T, window, i % window, w % count, count, spread);
        memcpy(to + i * F, et_data_f32(ds->x) + (w / count * T + frame) * F, (size_t)F * sizeof *to);
    }
    et_free(out->x);
    out->x = x;
    return out;
}
