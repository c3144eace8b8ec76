/* What the sources of the synthesizer share. */
#ifndef ETUDE_DATASETS_SYNTH_INTERNAL_H
#define ETUDE_DATASETS_SYNTH_INTERNAL_H

#include <stdint.h>

#include "datasets/synth.h"
#include "tensor/rng.h"

enum {
    SYNTH_SINE = 4096,    /* steps of a period in the table */
    SYNTH_NOISE = 32768,  /* samples of the noise table, a power of two */
    SYNTH_PARTIALS = 24   /* most that a tone has */
};

#define SYNTH_PI 3.14159265358979323846

/* Tables and settings of one call. */
typedef struct synth {
    double rate, tuning /* factor */, brightness;
    float sine[SYNTH_SINE + 1];
    float noise[SYNTH_NOISE]; /* uniform, -1 .. 1 */
} synth;

/* sin(2 pi turns), 0 <= turns < 2^18. */
static inline float synth_sine(const synth *s, double turns)
{
    double x = turns * SYNTH_SINE;
    int32_t i = (int32_t)x;
    float f = (float)(x - i);

    i &= SYNTH_SINE - 1;
    return s->sine[i] + f * (s->sine[i + 1] - s->sine[i]);
}

typedef enum synth_method {
    HARMONIC, /* sustained sums of partials k f */
    STRUCK,   /* partials at stretched or given ratios, each dying away at its own pace */
    MODULATED,
    PLUCKED
} synth_method;

/* How an instrument sounds. Times are seconds, levels factors. */
typedef struct synth_instrument {
    const char *name;
    synth_method method;
    double gain;
    double attack, decay, sustain, release; /* decay is the time constant towards the level `sustain` */
    /* HARMONIC and STRUCK: amplitude of partial k is partials[k - 1], or k^-tilt where there are none. */
    int n_partials;
    double tilt;
    const float *partials, *ratios; /* STRUCK: partials to pitch; NULL: k sqrt(1 + stretch k^2); */
    double stretch, damping;        /* partial k dies 1 + damping (k - 1) times as fast as the first */
    double vibrato, vibrato_rate;   /* cents, Hz */
    int voices;                     /* HARMONIC: players in unison, `spread` cents apart */
    double spread;
    double breath; /* level of noise beside the tone */
    /* MODULATED: sin(w t + index sin(ratio w t));
     * the index falls with index_decay to index_sustain of itself. */
    double ratio, index, index_decay, index_sustain;
    /* PLUCKED: seconds in which the string falls by 60 dB, how bright the pluck is (0 .. 1),
     * where along the string. */
    double ring, bright, place;
    /* Frequencies above are weakened: 0 for none. */
    double low_pass;
} synth_instrument;

/* A note to be played. */
typedef struct synth_note {
    double pitch;    /* Hz */
    double velocity; /* 0 .. 1 */
    int64_t frames;  /* until it is let go */
    et_rng rng;
} synth_note;

const synth_instrument *synth_program(int program);

/* Number of frames that the note sounds, its release included. */
int64_t synth_voice_frames(const synth *s, const synth_instrument *p, int64_t frames);

/* Adds nothing: fills out[n], n <= synth_voice_frames, with the note. `scratch` has 2 n elements. */
void synth_voice(const synth *s, const synth_instrument *p, synth_note *note, float *out, float *scratch,
                 int64_t n);

/* The same for a key 0 .. 127 of the drum kit; *pan gets where it stands, -1 .. 1. */
int64_t synth_drum_frames(const synth *s, int key);
void synth_drum(const synth *s, int key, synth_note *note, float *out, int64_t n, double *pan);

/* Adds the room's answer, `share` of the sound, to channels of n frames each; ENOMEM. */
et_status synth_reverb(const synth *s, float *samples, int channels, int64_t n, double share);

#endif
