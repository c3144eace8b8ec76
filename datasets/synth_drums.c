/* The drum kit: falling tones, filtered noise and clusters of sines. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "datasets/synth_internal.h"

/* A drum: a sine that falls from `high` to `low` Hz with time constant `fall`; noise between two cutoffs;
 * a cluster of six sines above `metal` Hz. Each has a level and a decay in seconds. */
typedef struct drum {
    double gain, pan;
    double tone, high, low, fall, tone_decay;
    double noise, from, to, noise_decay;
    double cluster, metal, cluster_decay;
    int bursts; /* claps begin with this many short ones */
} drum;

enum { KICK, RIM, SNARE, CLAP, TOM, CLOSED_HAT, OPEN_HAT, CRASH, RIDE, COWBELL, TAMBOURINE, CONGA, SHAKER,
       CLAVES };

static const drum kit[] = {
    [KICK] = {1.0, 0, 1, 160, 48, 0.035, 0.16, 0.12, 800, 5000, 0.008, 0, 0, 1, 0},
    [RIM] = {0.4, 0.1, 0.8, 1700, 1650, 0.01, 0.02, 0.4, 1500, 7000, 0.012, 0, 0, 1, 0},
    [SNARE] = {0.75, 0, 0.5, 240, 180, 0.02, 0.08, 0.7, 1200, 9000, 0.11, 0, 0, 1, 0},
    [CLAP] = {0.6, 0.1, 0, 0, 0, 1, 1, 1, 900, 5000, 0.09, 0, 0, 1, 3},
    [TOM] = {0.7, -0.3, 1, 180, 110, 0.06, 0.18, 0.1, 500, 4000, 0.03, 0, 0, 1, 0},
    [CLOSED_HAT] = {0.3, 0.3, 0, 0, 0, 1, 1, 0.8, 6000, 14000, 0.03, 0.3, 5200, 0.03, 0},
    [OPEN_HAT] = {0.3, 0.3, 0, 0, 0, 1, 1, 0.8, 5500, 14000, 0.2, 0.4, 5000, 0.2, 0},
    [CRASH] = {0.4, -0.4, 0, 0, 0, 1, 1, 0.8, 3500, 14000, 0.7, 0.5, 3800, 0.6, 0},
    [RIDE] = {0.25, 0.4, 0, 0, 0, 1, 1, 0.35, 5000, 12000, 0.15, 0.9, 3300, 0.3, 0},
    [COWBELL] = {0.3, 0.2, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 560, 0.1, 0},
    [TAMBOURINE] = {0.3, -0.2, 0, 0, 0, 1, 1, 0.6, 6000, 14000, 0.08, 0.6, 6500, 0.09, 0},
    [CONGA] = {0.6, -0.3, 1, 330, 260, 0.02, 0.13, 0.15, 800, 4000, 0.015, 0, 0, 1, 0},
    [SHAKER] = {0.25, 0.35, 0, 0, 0, 1, 1, 1, 5000, 12000, 0.05, 0, 0, 1, 0},
    [CLAVES] = {0.4, -0.1, 1, 2500, 2480, 0.01, 0.04, 0, 0, 0, 1, 0, 0, 1, 0},
};

/* General MIDI's keys 35 .. 82; others get the nearest. */
static const uint8_t keys[48] = {
    KICK, KICK, RIM, SNARE, CLAP, SNARE, TOM, CLOSED_HAT, TOM, CLOSED_HAT, TOM, OPEN_HAT, TOM, TOM,
    CRASH, TOM, RIDE, CRASH, RIDE, TAMBOURINE, CRASH, COWBELL, CRASH, COWBELL, RIDE, CONGA, CONGA, CONGA,
    CONGA, CONGA, CONGA, CONGA, COWBELL, COWBELL, SHAKER, SHAKER, SHAKER, SHAKER, SHAKER, SHAKER, CLAVES,
    CLAVES, CLAVES, CONGA, CONGA, TAMBOURINE, TAMBOURINE, SHAKER};

static const drum *drum_of(int key) { return &kit[keys[key < 35 ? 0 : key > 82 ? 47 : key - 35]]; }

/* Toms and congas have a pitch by their key. */
static double tuning_of(int key)
{
    static const double toms[] = {0.7, 0.7, 0.8, 0.8, 0.95, 0.95, 1.1, 1.25, 1.25, 1.45}; /* 41 .. 50 */

    if (key >= 41 && key <= 50)
        return toms[key - 41];
    if (key >= 60 && key <= 66)
        return key == 61 || key == 64 || key == 66 ? 0.75 : 1.1;
    return 1;
}

static double longest(const drum *d)
{
    double t = 0;

    if (d->tone > 0 && d->tone_decay > t)
        t = d->tone_decay;
    if (d->noise > 0 && d->noise_decay > t)
        t = d->noise_decay;
    if (d->cluster > 0 && d->cluster_decay > t)
        t = d->cluster_decay;
    return t;
}

int64_t synth_drum_frames(const synth *s, int key)
{
    return (int64_t)(5.5 * longest(drum_of(key)) * s->rate) + 1;
}

static void tone(const synth *s, const drum *d, double pitch, float *out, int64_t n)
{
    double turns = 0, fall = exp(-1 / (d->fall * s->rate)), drop = 1, r = exp(-1 / (d->tone_decay * s->rate)),
           a = d->tone;

    for (int64_t i = 0; i < n; i++) {
        out[i] += (float)(a * synth_sine(s, turns));
        turns += pitch * (d->low + (d->high - d->low) * drop) / s->rate;
        drop *= fall;
        a *= r;
    }
}

/* Two one-pole low-passes at `to`, two high-passes at `from`. */
static void noise(const synth *s, const drum *d, synth_note *note, float *out, int64_t n)
{
    double to = d->to * exp2(0.5 * s->brightness), r = exp(-1 / (d->noise_decay * s->rate)), a = d->noise;
    float low = (float)(1 - exp(-2 * SYNTH_PI * (to < 0.45 * s->rate ? to : 0.45 * s->rate) / s->rate));
    float high = (float)(1 - exp(-2 * SYNTH_PI * (d->from < 0.4 * s->rate ? d->from
                                                                          : 0.4 * s->rate) / s->rate));
    float l1 = 0, l2 = 0, h1 = 0, h2 = 0;
    int64_t offset = et_rng_below(&note->rng, SYNTH_NOISE), burst = (int64_t)(0.011 * s->rate);

    for (int64_t i = 0; i < n; i++) {
        float x = s->noise[(offset + i) & (SYNTH_NOISE - 1)], y;

        if (d->bursts > 0 && i < d->bursts * burst && i % burst == 0)
            a = d->noise; /* struck again */
        l1 += low * (x - l1);
        l2 += low * (l1 - l2);
        h1 += high * (l2 - h1);
        y = l2 - h1;
        h2 += high * (y - h2);
        out[i] += (float)a * (y - h2) * 1.6f;
        a *= d->bursts > 0 && i < d->bursts * burst ? pow(r, 8) : r;
    }
}

static void cluster(const synth *s, const drum *d, synth_note *note, float *out, int64_t n)
{
    static const double ratios[6] = {1, 1.342, 1.523, 1.781, 2.19, 2.63};
    double r = exp(-1 / (d->cluster_decay * s->rate));

    for (int k = 0; k < 6; k++) {
        double w = 2 * SYNTH_PI * d->metal * ratios[k] / s->rate,
               phase = 2 * SYNTH_PI * et_rng_uniform(&note->rng);
        double c = 2 * r * cos(w), rr = r * r, y1 = sin(phase), y2 = sin(phase - w) / r, y;

        if (w > 0.9 * SYNTH_PI)
            continue;
        for (int64_t i = 0; i < n; i++) {
            out[i] += (float)(d->cluster / 3 * y1);
            y = c * y1 - rr * y2;
            y2 = y1;
            y1 = y;
        }
    }
}

void synth_drum(const synth *s, int key, synth_note *note, float *out, int64_t n, double *pan)
{
    const drum *d = drum_of(key);
    int64_t rise = (int64_t)(0.0015 * s->rate), fall = (int64_t)(0.005 * s->rate);

    memset(out, 0, (size_t)n * sizeof *out);
    if (d->tone > 0)
        tone(s, d, tuning_of(key), out, n);
    if (d->noise > 0)
        noise(s, d, note, out, n);
    if (d->cluster > 0)
        cluster(s, d, note, out, n);
    for (int64_t i = 0; i < n; i++)
        out[i] *= (float)d->gain;
    for (int64_t i = 0; i < rise && i < n; i++) /* no clicks at the ends */
        out[i] *= (float)i / (float)rise;
    for (int64_t i = 0; i < fall && i < n; i++)
        out[n - 1 - i] *= (float)i / (float)fall;
    *pan = d->pan;
}
