/* The built-in corpus as a collection: what is known of its items, and the sound of each on demand. */
#include "config.h"

#include "datasets/corpus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/corpus_internal.h"
#include "datasets/synth.h"
#include "tensor/alloc.h"

/* Streams of an item, behind those of the songs: OTHERS numbers songs that no item is made of. */
#define STREAM_ITEMS ((uint64_t)1 << 62)
#define OTHERS ((uint64_t)1 << 32)

enum { STREAM_CAPTION = 0, STREAM_SOUND = 1, STREAM_NOISE = 2, ITEM_STREAMS = 4 };

et_corpus_options et_corpus_defaults(void)
{
    et_corpus_options o = {.songs = 48,
                           .clips = 2,
                           .seconds = 6,
                           .rate = 16000,
                           .channels = 1,
                           .mixing = 0.04,
                           .noise = 0.05,
                           .overlap = 0.05,
                           .seed = 1};
    return o;
}

static et_status check_options(const et_corpus_options *o)
{
    if (o->songs < 1 || o->songs > 100000 || o->clips < 1 || o->clips > 100)
        return et_raise(ET_EINVAL, "corpus: %" PRId64 " songs of %" PRId64
                        " clips are outside 1 .. 100000 and 1 .. 100", o->songs, o->clips);
    if (!(o->seconds >= 0.5 && o->seconds <= 120) || o->rate < 4000 || o->rate > 192000 ||
        (o->channels != 1 && o->channels != 2))
        return et_raise(ET_EINVAL, "corpus: no clips of %g s at %" PRId64 " Hz in %d channels", o->seconds,
                        o->rate, o->channels);
    if (!(o->mixing >= 0 && o->mixing <= 1) || !(o->noise >= 0 && o->noise <= 1) ||
        !(o->overlap >= 0 && o->overlap <= 1))
        return et_raise(ET_EINVAL, "corpus: mixing %g, noise %g or overlap %g is outside 0 .. 1", o->mixing,
                        o->noise, o->overlap);
    return ET_OK;
}

/* What item i is: items stand by genre, song, clip. */
typedef struct place {
    int genre;
    int64_t song, clip;
} place;

static place place_of(const et_corpus_options *o, int64_t i)
{
    place p;

    p.clip = i % o->clips;
    p.song = i / o->clips % o->songs;
    p.genre = (int)(i / o->clips / o->songs);
    return p;
}

static song song_of(const et_corpus_options *o, int64_t i)
{
    place p = place_of(o, i);
    song s;

    corpus_song(o, p.genre, (uint64_t)p.song, &s);
    return s;
}

static et_rng rng_of(const et_corpus_options *o, int64_t i, int purpose)
{
    return et_rng_make(o->seed, STREAM_ITEMS + ITEM_STREAMS * (uint64_t)i + (uint64_t)purpose);
}

/* --- sound --------------------------------------------------------------------------------- */

/* Clips of a song follow each other, some bars apart. */
static et_midi *notes_of(const et_corpus_options *o, int64_t i, song *s)
{
    place p = place_of(o, i);
    double bar;

    *s = song_of(o, i);
    bar = s->steps * CORPUS_STEP / (double)CORPUS_TICKS * 60 / s->bpm;
    return corpus_compose(s, p.clip * ((int64_t)ceil(o->seconds / bar) + 1), o->seconds);
}

static et_status render(const et_corpus_options *o, const song *s, const et_midi *m, uint64_t seed,
                        et_audio *out)
{
    et_synth_options synth = et_synth_defaults();

    synth.rate = o->rate;
    synth.channels = o->channels;
    synth.end = o->seconds;
    synth.max_seconds = o->seconds + 1;
    synth.reverb = s->room;
    synth.peak = s->peak;
    synth.tuning = s->tuning;
    synth.brightness = s->brightness;
    synth.seed = seed;
    return et_synth(m, &synth, out);
}

static double loudness(const float *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* Another song underneath, one that is no item. */
static et_status add_overlap(const et_corpus_options *o, int64_t i, et_rng *rng, float *x, int64_t n,
                             double loud)
{
    int genre = (int)et_rng_below(rng, ET_GTZAN_GENRES);
    double level = o->overlap * (0.5 + 0.5 * et_rng_uniform(rng)), own;
    song s;
    et_midi *m;
    et_audio a;
    et_status status;
    const float *y;

    corpus_song(o, genre, OTHERS + (uint64_t)i, &s);
    m = corpus_compose(&s, 0, o->seconds);
    status = m ? render(o, &s, m, et_rng_u64(rng), &a) : ET_ENOMEM;
    et_midi_free(m);
    if (status < 0)
        return status;
    y = et_data(a.samples);
    own = loudness(y, n);
    for (int64_t k = 0; k < n && own > 0; k++)
        x[k] += (float)(level * loud / own) * y[k];
    et_audio_free(&a);
    return ET_OK;
}

/* Noise whose spectrum falls somewhere between white and pink: a mixture of four low-passed ones. */
static void add_noise(const et_corpus_options *o, int64_t i, et_rng *choice, float *x, int64_t n, double loud)
{
    static const float poles[4] = {1, 0.5f, 0.15f, 0.04f};
    double level = o->noise * (0.5 + 0.5 * et_rng_uniform(choice)), total = 0;
    et_rng rng = rng_of(o, i, STREAM_NOISE);
    float weights[4], held[4] = {0};

    for (int k = 0; k < 4; k++) {
        double w = et_rng_uniform(choice);
        total += w * w * poles[k] / (2 - poles[k]) / 3; /* power of a low-passed uniform noise */
        weights[k] = (float)w;
    }
    for (int64_t t = 0; t < n && total > 0; t++) {
        float u = (float)(et_rng_u32(&rng) * (2 / 4294967296.0) - 1), sum = 0;
        for (int k = 0; k < 4; k++) {
            held[k] += poles[k] * (u - held[k]);
            sum += weights[k] * held[k];
        }
        x[t] += (float)(level * loud / sqrt(total)) * sum;
    }
}

static et_status load(const et_collection *c, int64_t i, et_audio *out)
{
    const et_corpus_options *o = c->source;
    et_rng rng = rng_of(o, i, STREAM_SOUND);
    song s;
    et_midi *m = notes_of(o, i, &s);
    et_status status = m ? render(o, &s, m, et_rng_u64(&rng), out) : ET_ENOMEM;
    float *x, most = 0;
    int64_t n;
    double loud;

    et_midi_free(m);
    if (status < 0)
        return status;
    x = et_data_mut(out->samples);
    n = out->samples->numel;
    loud = loudness(x, n);
    if (o->overlap > 0)
        status = add_overlap(o, i, &rng, x, n, loud);
    if (o->noise > 0)
        add_noise(o, i, &rng, x, n, loud);
    for (int64_t k = 0; k < n; k++)
        most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
    for (int64_t k = 0; k < n && most > 0.98f; k++) /* no clipping */
        x[k] *= 0.98f / most;
    if (status < 0)
        et_audio_free(out);
    return status;
}

/* --- what is known ----------------------------------------------------------------------------- */

static et_status make_names(et_collection *c, int64_t n, const et_corpus_options *o)
{
    et_status status = ET_OK;

    for (int g = 0; status == ET_OK && g < ET_GTZAN_GENRES; g++)
        status = et_names_add(&c->classes, et_gtzan_genre(g));
    for (int t = 0; status == ET_OK && t < CORPUS_TAGS; t++)
        status = et_names_add(&c->tag_names, corpus_tag_names[t]);
    for (int k = 0; status == ET_OK && k < 3; k++)
        status = et_names_add(&c->splits, ((const char *const[]){"train", "valid", "test"})[k]);
    for (int64_t i = 0; status == ET_OK && i < n; i++) {
        place p = place_of(o, i);
        song s = song_of(o, i);
        et_rng rng = rng_of(o, i, STREAM_CAPTION);
        char name[64], *caption = corpus_caption(&s, &rng);

        snprintf(name, sizeof name, "%s.%05" PRId64 ".%" PRId64, et_gtzan_genre(p.genre), p.song, p.clip);
        status = caption ? et_names_add(&c->names, name) : ET_ENOMEM;
        if (status == ET_OK)
            status = et_names_add(&c->captions, caption);
        et_dealloc(caption);
    }
    return status;
}

static et_status make_labels(et_collection *c, int64_t n, const et_corpus_options *o)
{
    static const int32_t split_of[5] = {0, 0, 0, 1, 2};
    int32_t *y, *groups, *split;
    uint8_t *tags;

    c->y = et_dataset_tensor(ET_I32, 1, &n);
    c->groups = c->y ? et_dataset_tensor(ET_I32, 1, &n) : NULL;
    c->split = c->groups ? et_dataset_tensor(ET_I32, 1, &n) : NULL;
    c->tags = c->split ? et_dataset_tensor(ET_U8, 2, (const int64_t[2]){n, CORPUS_TAGS}) : NULL;
    if (!c->tags)
        return et_error_status();
    y = et_data_mut(c->y);
    groups = et_data_mut(c->groups);
    split = et_data_mut(c->split);
    tags = et_data_mut(c->tags);
    for (int64_t i = 0; i < n; i++) {
        place p = place_of(o, i);
        song s = song_of(o, i);
        y[i] = p.genre;
        groups[i] = (int32_t)(p.genre * o->songs + p.song);
        split[i] = split_of[p.song % 5];
        corpus_tags(&s, tags + i * CORPUS_TAGS);
    }
    return ET_OK;
}

et_collection *et_corpus(const et_corpus_options *options)
{
    et_corpus_options o = options ? *options : et_corpus_defaults();
    int64_t n = ET_GTZAN_GENRES * o.songs * o.clips;
    et_corpus_options *kept;
    et_collection *c;

    if (check_options(&o) < 0)
        return NULL;
    c = et_collection_new("built-in");
    kept = c ? et_alloc(sizeof *kept) : NULL;
    if (!kept) {
        et_collection_free(c);
        return NULL;
    }
    *kept = o;
    c->source = kept;
    c->free_source = et_dealloc;
    c->load = load;
    if (make_names(c, n, &o) < 0 || make_labels(c, n, &o) < 0) {
        et_collection_free(c);
        return NULL;
    }
    return c;
}

bool et_is_corpus(const et_collection *c) { return c && c->load == load; }

et_midi *et_corpus_midi(const et_collection *c, int64_t i)
{
    song s;

    if (!et_is_corpus(c) || i < 0 || i >= et_collection_size(c)) {
        et_raise(ET_EINVAL, "corpus: no item %" PRId64, i);
        return NULL;
    }
    return notes_of(c->source, i, &s);
}
