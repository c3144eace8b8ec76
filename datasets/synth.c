/* Playing a piece: each note by its instrument, mixed, with a room, scaled to a peak. */
#include "config.h"

#include "datasets/synth.h"

#include <math.h>
#include <string.h>

#include "datasets/synth_internal.h"
#include "tensor/alloc.h"

enum {
    LONGEST_NOTE = 60,    /* seconds: after these a held note is let go */
    STREAM_TABLES = 0x51, /* streams of random numbers: the noise table; note i has STREAM_NOTES + i */
    STREAM_NOTES = 0x1000
};

et_synth_options et_synth_defaults(void)
{
    et_synth_options o = {.rate = 22050,
                          .channels = 2,
                          .reverb = 0.15,
                          .peak = 0.8,
                          .begin = 0,
                          .end = 0,
                          .max_seconds = 1800,
                          .tuning = 0,
                          .brightness = 0,
                          .seed = 1};
    return o;
}

static et_status check_options(const et_synth_options *o)
{
    if (o->rate < 4000 || o->rate > 192000)
        return et_raise(ET_EINVAL, "synth: %lld frames a second are outside 4000 .. 192000",
                        (long long)o->rate);
    if (o->channels != 1 && o->channels != 2)
        return et_raise(ET_EINVAL, "synth: %d channels, not 1 or 2", o->channels);
    if (!(o->reverb >= 0 && o->reverb <= 1) || !(o->peak >= 0 && o->peak <= 1) ||
        !(o->brightness >= -1 && o->brightness <= 1) || !(fabs(o->tuning) <= 1200))
        return et_raise(ET_EINVAL, "synth: reverb %g, peak %g, brightness %g or tuning %g is out of range",
                        o->reverb, o->peak, o->brightness, o->tuning);
    if (!(o->begin >= 0 && o->begin < 1e9) || !(o->end == 0 || (o->end > o->begin && o->end < 1e9)) ||
        !(o->max_seconds > 0))
        return et_raise(ET_EINVAL, "synth: from %g to %g s is no stretch of a piece", o->begin, o->end);
    return ET_OK;
}

static void make_tables(synth *s, const et_synth_options *o)
{
    et_rng rng = et_rng_make(o->seed, STREAM_TABLES);

    s->rate = (double)o->rate;
    s->tuning = exp2(o->tuning / 1200);
    s->brightness = o->brightness;
    for (int i = 0; i <= SYNTH_SINE; i++)
        s->sine[i] = (float)sin(2 * SYNTH_PI * i / SYNTH_SINE);
    for (int i = 0; i < SYNTH_NOISE; i++)
        s->noise[i] = (float)(et_rng_u32(&rng) * (2 / 4294967296.0) - 1);
}

/* Where a note stands in the sound: frames from its beginning, and how many it sounds. */
typedef struct span {
    int64_t start, held, frames;
} span;

static span span_of(const synth *s, const et_midi *m, const et_midi_note *n, double begin)
{
    double from = et_midi_seconds(m, (double)n->start),
           to = et_midi_seconds(m, (double)(n->start + n->duration));
    span at;

    if (to - from > LONGEST_NOTE)
        to = from + LONGEST_NOTE;
    at.start = (int64_t)floor((from - begin) * s->rate + 0.5);
    at.held = (int64_t)floor((to - from) * s->rate + 0.5);
    at.frames = n->channel == ET_MIDI_DRUMS ? synth_drum_frames(s, n->pitch)
                                            : synth_voice_frames(s, synth_program(n->program), at.held);
    return at;
}

/* Length of the sound: to the given end, or to where the last note has died away. */
static et_status measure(const synth *s, const et_midi *m, const et_synth_options *o, int64_t *frames,
                         int64_t *longest)
{
    double end = 0, seconds;

    *longest = 1;
    for (int64_t i = 0; i < m->n_notes; i++) {
        double from = et_midi_seconds(m, (double)m->notes[i].start) - o->begin;
        if (from * s->rate < 1e15) { /* what is later cannot be played anyway */
            span at = span_of(s, m, &m->notes[i], o->begin);
            if (at.frames > *longest)
                *longest = at.frames;
            from = (double)(at.start + at.frames) / s->rate;
        }
        if (from > end)
            end = from;
    }
    if (o->begin > 0 && o->end <= 0 && end <= 0)
        return et_raise(ET_EINVAL, "synth: nothing sounds from %g s on", o->begin);
    seconds = o->end > 0 ? o->end - o->begin : end + (end > 0 && o->reverb > 0 ? 0.5 : 0);
    if (seconds > o->max_seconds)
        return et_raise(ET_EINVAL, "synth: the piece lasts %.6g s, more than %g", seconds, o->max_seconds);
    *frames = (int64_t)ceil(seconds * s->rate - 1e-6);
    if (*frames < 1)
        *frames = 1;
    return ET_OK;
}

/* Positions from left to right, by track: bass and drums stay in the middle. */
static double pan_of(const et_midi *m, const et_midi_note *n)
{
    static const double places[] = {0, -0.35, 0.35, -0.6, 0.6, -0.15, 0.15};

    if (m->tracks.n < 3 || (n->program >= 32 && n->program < 40))
        return 0;
    return places[n->track % (int)(sizeof places / sizeof *places)];
}

/* The note's sound, mixed into out[channels][frames]. `work` has three times the longest note's frames. */
static void play(const synth *s, const et_midi *m, int64_t i, const et_synth_options *o, float *out,
                 int64_t frames, float *work)
{
    const et_midi_note *n = &m->notes[i];
    bool drums = n->channel == ET_MIDI_DRUMS;
    span at = span_of(s, m, n, o->begin);
    synth_note note = {.velocity = n->velocity / 127.0, .frames = at.held};
    double level, pan = pan_of(m, n), angle;
    int64_t from = at.start < 0 ? -at.start : 0;
    int64_t to = at.frames < frames - at.start ? at.frames : frames - at.start;

    if (from >= to)
        return;
    note.rng = et_rng_make(o->seed, STREAM_NOTES + (uint64_t)i);
    note.pitch = 440 * exp2((n->pitch - 69) / 12.0) * s->tuning * exp2((et_rng_uniform(&note.rng) - 0.5) *
                                                                       3 / 1200);
    level = pow(note.velocity, 1.6) * (0.95 + 0.1 * et_rng_uniform(&note.rng));
    if (drums)
        synth_drum(s, n->pitch, &note, work, to, &pan);
    else
        synth_voice(s, synth_program(n->program), &note, work, work + to, to);
    angle = (pan + 1) * SYNTH_PI / 4;
    for (int c = 0; c < o->channels; c++) {
        float gain = (float)(level * (o->channels == 1 ? 1 : 1.4142 * (c == 0 ? cos(angle) : sin(angle))));
        float *to_channel = out + c * frames + at.start;
        for (int64_t k = from; k < to; k++)
            to_channel[k] += gain * work[k];
    }
}

/* Without what is below 20 Hz, and scaled so that the largest sample has the magnitude `peak`. */
static void finish(const synth *s, float *out, int channels, int64_t frames, double peak)
{
    float keep = (float)(1 - 2 * SYNTH_PI * 20 / s->rate), most = 0, scale;

    for (int c = 0; c < channels; c++) {
        float *x = out + c * frames, before = 0, y = 0;
        for (int64_t i = 0; i < frames; i++) {
            y = keep * y + x[i] - before;
            before = x[i];
            x[i] = y;
            if (fabsf(y) > most)
                most = fabsf(y);
        }
    }
    scale = most > 0 ? (float)peak / most : 0;
    for (int64_t i = 0; i < channels * frames; i++)
        out[i] *= scale;
}

static et_status make_sound(synth *s, const et_midi *m, const et_synth_options *o, et_audio *out)
{
    int64_t frames = 0, longest = 1;
    float *samples, *work;
    et_status status;

    make_tables(s, o);
    if (measure(s, m, o, &frames, &longest) < 0)
        return ET_EINVAL;
    out->samples = et_dataset_tensor(ET_F32, 2, (const int64_t[2]){o->channels, frames});
    samples = out->samples ? et_data_mut(out->samples) : NULL;
    work = samples ? et_alloc_zero((size_t)longest, 3 * sizeof *work) : NULL;
    if (!work) {
        et_audio_free(out);
        return ET_ENOMEM;
    }
    memset(samples, 0, (size_t)(o->channels * frames) * sizeof *samples);
    for (int64_t i = 0; i < m->n_notes; i++)
        play(s, m, i, o, samples, frames, work);
    et_dealloc(work);
    status = synth_reverb(s, samples, o->channels, frames, o->reverb);
    finish(s, samples, o->channels, frames, o->peak);
    out->rate = o->rate;
    if (status < 0)
        et_audio_free(out);
    return status;
}

et_status et_synth(const et_midi *m, const et_synth_options *options, et_audio *out)
{
    et_synth_options o = options ? *options : et_synth_defaults();
    synth *s;
    et_status status;

    *out = (et_audio){NULL, 0};
    if (check_options(&o) < 0)
        return ET_EINVAL;
    s = et_alloc(sizeof *s);
    if (!s)
        return ET_ENOMEM;
    status = make_sound(s, m, &o, out);
    et_dealloc(s);
    return status;
}
