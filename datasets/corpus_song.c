/* Drawing a song, and putting its parts together. */
#include "config.h"

#include <math.h>

#include "datasets/corpus_internal.h"

/* Random streams of a song, added to its own number; a bar's parts have STREAM_BARS + 8 bar + part. */
enum { STREAM_PLAN = 0, STREAM_BARS = 16 };

static const uint8_t scales[][7] = {
    [MAJOR] = {0, 2, 4, 5, 7, 9, 11},
    [MINOR] = {0, 2, 3, 5, 7, 8, 10},
    [DORIAN] = {0, 2, 3, 5, 7, 9, 10},
    [MIXOLYDIAN] = {0, 2, 4, 5, 7, 9, 10},
    [HARMONIC_MINOR] = {0, 2, 3, 5, 7, 8, 11},
    [PHRYGIAN] = {0, 1, 3, 5, 7, 8, 10},
};

static double between(et_rng *rng, double lo, double hi) { return lo + (hi - lo) * et_rng_uniform(rng); }

static int one_of(et_rng *rng, const uint8_t choices[4]) { return choices[et_rng_below(rng, 4)]; }

/* The style that a part is written in: the song's own, or, by chance, that of any genre. */
static const genre_style *style_for(et_rng *rng, const et_corpus_options *o, int genre)
{
    bool other = et_rng_uniform(rng) < o->mixing;
    int64_t which = et_rng_below(rng, ET_GTZAN_GENRES);

    return &corpus_styles[other ? which : genre];
}

void corpus_song(const et_corpus_options *o, int genre, uint64_t number, song *s)
{
    et_rng rng;
    const genre_style *g;
    int64_t meter;

    *s = (song){.genre = genre, .seed = o->seed,
                .stream = (number * ET_GTZAN_GENRES + (uint64_t)genre + 1) << 20};
    rng = et_rng_make(s->seed, s->stream + STREAM_PLAN);

    g = style_for(&rng, o, genre);
    s->bpm = g->slow * pow(g->quick / g->slow, et_rng_uniform(&rng));
    s->swing = between(&rng, g->swing_lo, g->swing_hi);
    meter = et_rng_below(&rng, 16);
    s->numerator = meter < g->waltz ? 3 : meter < g->waltz + g->compound ? 6 : 4;
    s->denominator = s->numerator == 6 ? 8 : 4;
    s->steps = s->numerator == 4 ? 16 : 12;

    g = style_for(&rng, o, genre);
    s->tonic = (int)et_rng_below(&rng, 12);
    s->mode = (scale)one_of(&rng, g->scales);
    s->chords = &corpus_progressions[one_of(&rng, g->progressions)];

    g = style_for(&rng, o, genre);
    s->drums = (drumming)one_of(&rng, g->drums);
    g = style_for(&rng, o, genre);
    s->bass = (bass_line)one_of(&rng, g->bass);
    s->bass_program = one_of(&rng, g->bass_programs);
    g = style_for(&rng, o, genre);
    s->kind = (chord_kind)one_of(&rng, g->chords);
    s->comp = (comping)one_of(&rng, g->comping);
    g = style_for(&rng, o, genre);
    s->chord_program = one_of(&rng, g->chord_programs);
    g = style_for(&rng, o, genre);
    s->pad = et_rng_uniform(&rng) < g->pad;
    s->pad_program = one_of(&rng, g->pad_programs);
    g = style_for(&rng, o, genre);
    s->lead = et_rng_uniform(&rng) < g->lead;
    s->lead_program = one_of(&rng, g->lead_programs);
    s->density = between(&rng, g->density_lo, g->density_hi);
    s->leaps = g->leaps;
    s->held = g->short_notes;
    s->low = g->lead_low;
    s->high = g->lead_high;

    g = style_for(&rng, o, genre);
    s->loud = g->loud * between(&rng, 0.85, 1.1);
    s->bass_level = g->bass_level * between(&rng, 0.9, 1.1);
    s->drum_level = g->drum_level * between(&rng, 0.9, 1.1);
    s->brightness = between(&rng, g->bright_lo, g->bright_hi);
    s->room = between(&rng, g->room_lo, g->room_hi);
    s->tuning = between(&rng, -30, 30);
    s->peak = between(&rng, 0.6, 0.95);
}

int corpus_degree(const song *s, int degree)
{
    int octave = degree >= 0 ? degree / 7 : -((6 - degree) / 7);

    return 60 + s->tonic + 12 * octave + scales[s->mode][degree - 7 * octave];
}

/* The eighth between two beats is moved to the song's swing, what stands around it in proportion. */
static double swung(const song *s, double step)
{
    double beat = s->numerator == 6 ? 0 : floor(step / 4), within = step / 4 - beat;

    if (s->numerator == 6) /* has its own lilt */
        return step;
    return 4 * (beat + (within < 0.5 ? 2 * within * s->swing : s->swing + (2 * within - 1) * (1 - s->swing)));
}

et_status corpus_note(composer *c, double step, double steps, int pitch, double velocity)
{
    double from = swung(c->s, step) + 0.12 * (et_rng_uniform(&c->rng) - 0.5), to = swung(c->s, step + steps);
    double v = 127 * velocity * c->level * c->s->loud * (0.9 + 0.2 * et_rng_uniform(&c->rng));
    int64_t start = c->at + llrint(from * CORPUS_STEP), end = c->at + llrint(to * CORPUS_STEP);

    if (start < 0)
        start = 0;
    if (end < start + 20)
        end = start + 20;
    return et_midi_add_note(c->m, (et_midi_note){.start = start,
                                                 .duration = end - start,
                                                 .track = c->track,
                                                 .pitch = (uint8_t)(pitch < 0 ? 0 : pitch > 127
                                                                    ? 127 : pitch),
                                                 .velocity = (uint8_t)(v < 1 ? 1 : v > 127 ? 127 : v),
                                                 .channel = (uint8_t)c->channel,
                                                 .program = (uint8_t)c->program});
}

/* The chord's tones, each in the octave between f sharp below the middle C and f above. */
static void set_chord(composer *c)
{
    static const int dominant[] = {0, 4, 7, 10}, power[] = {0, 7, 12};
    const song *s = c->s;
    int root = corpus_degree(s, c->degree);

    c->n_pitches = s->kind == SEVENTH || s->kind == DOMINANT ? 4 : 3;
    for (int i = 0; i < c->n_pitches; i++) {
        int p = s->kind == DOMINANT ? root + dominant[i]
                : s->kind == POWER  ? root + power[i] - 24
                                    : corpus_degree(s, c->degree + 2 * i);
        if (s->kind != POWER)
            p = 54 + ((p - 54) % 12 + 12) % 12;
        c->pitches[i] = p;
    }
    if (s->kind == POWER) { /* root, fifth and octave, low */
        int down = c->pitches[0] > 52 ? 12 : 0;
        for (int i = 0; i < c->n_pitches; i++)
            c->pitches[i] -= down;
        return;
    }
    for (int i = 1; i < c->n_pitches; i++) /* from low to high */
        for (int k = i; k > 0 && c->pitches[k] < c->pitches[k - 1]; k--) {
            int p = c->pitches[k];
            c->pitches[k] = c->pitches[k - 1];
            c->pitches[k - 1] = p;
        }
}

/* The parts of a song: which there are, and who plays them. */
typedef struct part {
    const char *name;
    et_status (*write)(composer *c);
    bool present;
    int program, channel;
    double level;
} part;

/* Leaves out what begins after the end, and cuts what lasts beyond. */
static void cut(et_midi *m, int64_t end)
{
    int64_t kept = 0;

    for (int64_t i = 0; i < m->n_notes; i++) {
        et_midi_note n = m->notes[i];
        if (n.start >= end)
            continue;
        if (n.start + n.duration > end)
            n.duration = end - n.start;
        m->notes[kept++] = n;
    }
    m->n_notes = kept;
}

/* Sharps of the major keys on C, C sharp, D, ...; 7 and more are 12 less, as flats. */
static const uint8_t major_sharps[12] = {0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10, 5};

et_midi *corpus_compose(const song *s, int64_t first, double seconds)
{
    const part parts[] = {
        {"lead", corpus_lead, s->lead, s->lead_program, 0, 1},
        {"chords", corpus_chords, true, s->chord_program, 1, 0.9},
        {"bass", corpus_bass, s->bass != NO_BASS, s->bass_program, 2, s->bass_level},
        {"pad", corpus_pad, s->pad, s->pad_program, 3, 1},
        {"drums", corpus_drums, s->drums != NO_DRUMS, 0, ET_MIDI_DRUMS, s->drum_level},
    };
    /* how far above the tonic the tonic of the major scale with the same notes is */
    static const int relative[] = {[MAJOR] = 0, [MINOR] = 3, [DORIAN] = 10, [MIXOLYDIAN] = 5,
                                   [HARMONIC_MINOR] = 3, [PHRYGIAN] = 8};
    int64_t end = (int64_t)ceil(seconds * s->bpm / 60 * CORPUS_TICKS),
            bar_ticks = (int64_t)s->steps * CORPUS_STEP;
    int sharps = major_sharps[(s->tonic + relative[s->mode]) % 12];
    bool minor = s->mode != MAJOR && s->mode != MIXOLYDIAN;
    composer c = {.s = s, .m = et_midi_new(CORPUS_TICKS)};

    if (!c.m || et_midi_add_track(c.m, "") < 0 || et_midi_add_tempo(c.m, 0, s->bpm) < 0 ||
        et_midi_add_meter(c.m, 0, s->numerator, s->denominator) < 0 ||
        et_midi_add_key(c.m, 0, sharps > 6 ? sharps - 12 : sharps, minor) < 0)
        goto fail;
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        if (!parts[p].present)
            continue;
        c.track = (int32_t)c.m->tracks.n;
        c.channel = parts[p].channel;
        c.program = parts[p].program;
        c.level = parts[p].level;
        if (et_midi_add_track(c.m, parts[p].name) < 0)
            goto fail;
        for (c.bar = first, c.at = 0; c.at < end; c.bar++, c.at += bar_ticks) {
            c.degree = s->chords->degrees[c.bar % s->chords->n];
            c.next = s->chords->degrees[(c.bar + 1) % s->chords->n];
            c.rng = et_rng_make(s->seed, s->stream + STREAM_BARS + 8 * (uint64_t)c.bar + p);
            set_chord(&c);
            if (parts[p].write(&c) < 0)
                goto fail;
        }
    }
    et_midi_sort(c.m);
    cut(c.m, end);
    c.m->end = end;
    return c.m;
fail:
    et_midi_free(c.m);
    return NULL;
}
