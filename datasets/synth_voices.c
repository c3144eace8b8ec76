/* Tones: sums of partials, frequency modulation, plucked strings. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "datasets/synth_internal.h"

enum { BLOCK = 64 /* frames between two settings of an amplitude, which moves in a straight line between */ };

/* Partials fade out between these parts of the sampling rate, so that none is above the Nyquist frequency. */
#define FADE_FROM 0.4
#define FADE_TO 0.47

static double fade(double hz, double rate)
{
    double x = (FADE_TO - hz / rate) / (FADE_TO - FADE_FROM);

    return x <= 0 ? 0 : x >= 1 ? 1 : x;
}

/* One pole at `hz`: how much of a partial is left. */
static double low_passed(double hz, double cutoff)
{
    return cutoff > 0 ? 1 / sqrt(1 + pow(hz / cutoff, 4)) : 1;
}

int64_t synth_voice_frames(const synth *s, const synth_instrument *p, int64_t frames)
{
    return frames + (int64_t)(p->release * s->rate) + 1;
}

/* --- envelopes ------------------------------------------------------------------------------ */

/* Linear attack, exponential decay to the level `sustain`, exponential release that ends at 0. */
static void envelope(const synth *s, const synth_instrument *p, int64_t held, float *out, int64_t n)
{
    double attack = p->attack * s->rate, fall = exp(-1 / (p->decay * s->rate));
    double release = p->release * s->rate, let = exp(-5 / release), level = 0, from = 1;
    int64_t i = 0;

    for (; i < n && i < held && (double)i < attack; i++)
        out[i] = (float)(level = (double)i / attack);
    for (; i < n && i < held; i++, from *= fall)
        out[i] = (float)(level = p->sustain + (1 - p->sustain) * from);
    for (from = level; i < n; i++, from *= let) {
        double left = (double)(held - i) / release + 1; /* 1 .. 0 */
        out[i] = (float)(from * (left > 0.2 ? 1 : left > 0 ? left / 0.2 : 0));
    }
}

/* --- sums of partials ------------------------------------------------------------------------ */

static double partial_level(const synth *s, const synth_instrument *p, const synth_note *note, int k,
                            double hz)
{
    double a = p->partials ? p->partials[k - 1] : pow(k, -p->tilt);
    /* softer notes and duller settings have weaker high partials */
    double bright = 0.8 * s->brightness + 0.7 * (note->velocity - 0.7);

    return a * pow(k, bright) * fade(hz, s->rate) * low_passed(hz, p->low_pass);
}

/* sin(k x) for k = 1, 2, ... comes from sin((k+1) x) = 2 cos x sin(k x) - sin((k-1) x). */
static void harmonic(const synth *s, const synth_instrument *p, synth_note *note, float *out, int64_t n)
{
    int voices = p->voices > 0 ? p->voices : 1;
    float level[SYNTH_PARTIALS], total = 0;
    int partials = 0;

    for (int k = 1; k <= p->n_partials; k++) {
        level[k - 1] = (float)partial_level(s, p, note, k, k * note->pitch);
        total += fabsf(level[k - 1]);
        if (level[k - 1] > 0)
            partials = k;
    }
    memset(out, 0, (size_t)n * sizeof *out);
    for (int v = 0; v < voices; v++) {
        double cents = voices > 1 ? p->spread * (2.0 * v / (voices - 1) - 1) : 0;
        double turns = et_rng_uniform(&note->rng), step = note->pitch * exp2(cents / 1200) / s->rate;
        double wave = et_rng_uniform(&note->rng), wave_step = p->vibrato_rate / s->rate * (1 + 0.07 * v);
        double depth = p->vibrato / 1200 * 0.6931;
        float scale = 1 / (total > 0 ? total : 1) / sqrtf((float)voices);

        for (int64_t at = 0; at < n; at += BLOCK) {
            int m = (int)(n - at < BLOCK ? n - at : BLOCK);
            float twice[BLOCK], now[BLOCK], before[BLOCK], sum[BLOCK];
            /* vibrato sets in over a third of a second */
            double grown = (double)at / (0.35 * s->rate);
            double pace = step * (1 + depth * (grown < 1 ? grown : 1) * synth_sine(s, wave));

            for (int i = 0; i < BLOCK; i++) {
                double here = turns + i * pace;
                twice[i] = 2 * synth_sine(s, here + 0.25);
                now[i] = synth_sine(s, here);
                before[i] = 0;
                sum[i] = level[0] * now[i];
            }
            turns += BLOCK * pace;
            turns -= (double)(int64_t)turns;
            wave += BLOCK * wave_step;
            for (int k = 2; k <= partials; k++) {
                float a = level[k - 1];
                for (int i = 0; i < BLOCK; i++) {
                    float next = twice[i] * now[i] - before[i];
                    before[i] = now[i];
                    now[i] = next;
                    sum[i] += a * next;
                }
            }
            for (int i = 0; i < m; i++)
                out[at + i] += scale * sum[i];
        }
    }
}

/* Each partial is a resonator of its own: y[i] = 2 r cos w y[i-1] - r^2 y[i-2], which dies away by r. */
static void struck(const synth *s, const synth_instrument *p, synth_note *note, float *out, int64_t n)
{
    double total = 0;
    /* high strings ring for a shorter time */
    double decay = p->decay * pow(220 / note->pitch, 0.35);

    memset(out, 0, (size_t)n * sizeof *out);
    for (int k = 1; k <= p->n_partials; k++) {
        double ratio = p->ratios ? p->ratios[k - 1] : k * sqrt(1 + p->stretch * k * k);
        double hz = ratio * note->pitch, w = 2 * SYNTH_PI * hz / s->rate,
               a = partial_level(s, p, note, k, hz);
        double r = exp(-(1 + p->damping * (k - 1)) / (decay * s->rate));
        double c = 2 * r * cos(w), rr = r * r, y1 = 0, y2 = -sin(w) / r;

        total += fabs(a);
        if (a == 0)
            continue;
        for (int64_t i = 0; i < n; i++) { /* a sin(w i) r^i */
            out[i] += (float)(a * y1);
            double y = c * y1 - rr * y2;
            y2 = y1;
            y1 = y;
        }
    }
    for (int64_t i = 0; i < n; i++)
        out[i] *= (float)(1.6 / (total > 0 ? total : 1));
}

/* --- frequency modulation (Chowning 1973) ----------------------------------------------------- */

static void modulated(const synth *s, const synth_instrument *p, synth_note *note, float *out, int64_t n)
{
    double step = note->pitch / s->rate, turns = 0, mod = 0, wave = et_rng_uniform(&note->rng);
    double fall = exp(-1 / (p->index_decay * s->rate)), from = 1;
    double index = p->index * exp2(s->brightness) * (0.5 + 0.7 * note->velocity);
    /* side bands reach to f (1 + ratio (index + 2)): the index stays where they are below Nyquist's */
    double most = ((FADE_TO / step - 1) / p->ratio - 2);
    double depth = p->vibrato / 1200 * 0.6931;

    if (most < 0)
        most = 0;
    for (int64_t i = 0; i < n; i++) {
        double strength = index * (p->index_sustain + (1 - p->index_sustain) * from);
        double grown = (double)i / (0.35 * s->rate);
        double pace = step * (1 + depth * (grown < 1 ? grown : 1) * synth_sine(s, wave));

        if (strength > most)
            strength = most;
        out[i] = synth_sine(s, 64 + turns + strength * synth_sine(s, mod) / (2 * SYNTH_PI));
        turns += pace;
        mod += pace * p->ratio;
        wave += p->vibrato_rate / s->rate;
        from *= fall;
    }
    if (step > FADE_FROM)
        for (int64_t i = 0; i < n; i++)
            out[i] *= (float)fade(note->pitch, s->rate);
}

/* --- plucked strings (Karplus and Strong 1983, with the tuning of Jaffe and Smith 1983) -------------- */

/* The pluck, in the string's line: noise, softened, without the partials that have a node where it plucks,
 * with no mean and of one loudness. */
static void pluck(const synth *s, const synth_instrument *p, synth_note *note, float *line, int64_t length)
{
    const double bright = p->bright + 0.25 * s->brightness + 0.3 * (note->velocity - 0.7);
    const float a = (float)(bright < 0.05 ? 0.05 : bright > 1 ? 1 : bright);
    const int64_t offset = et_rng_below(&note->rng, SYNTH_NOISE);
    const int64_t place = (int64_t)(p->place * (double)length);
    double mean = 0, power = 1e-9;
    float hold = 0;

    for (int64_t i = 0; i < length; i++) {
        hold += a * (s->noise[(offset + i) & (SYNTH_NOISE - 1)] - hold);
        line[i] = hold;
    }
    if (place > 0)
        for (int64_t i = length - 1; i >= place; i--)
            line[i] -= line[i - place];
    for (int64_t i = 0; i < length; i++)
        mean += line[i];
    mean /= (double)length;
    for (int64_t i = 0; i < length; i++) {
        line[i] -= (float)mean;
        power += (double)line[i] * line[i];
    }
    power = 0.35 / sqrt(power / (double)length);
    for (int64_t i = 0; i < length; i++)
        line[i] *= (float)power;
}

/* The line: a delay of `length` samples and an all-pass for the rest of the period, a two-point average
 * that takes the high partials away. A string that does not fit into the line stays silent. */
static void plucked(const synth *s, const synth_instrument *p, synth_note *note, float *out, float *line,
                    int64_t room, int64_t n)
{
    double period = s->rate / note->pitch;
    /* weight of the older sample in the average, and its delay;
     * less for high notes, which it damps more often */
    double dull = (0.5 - 0.35 * p->bright) * (note->pitch > 220 ? pow(220 / note->pitch, 0.8) : 1);
    double rest, gain, ring = p->ring * pow(220 / note->pitch, 0.4);
    int64_t length, at = 0;
    float all_pass, x1 = 0, y1 = 0, old = 0;

    memset(out, 0, (size_t)n * sizeof *out);
    length = (int64_t)(period - dull - 0.2);
    if (length < 2 || length > room)
        return;
    rest = period - dull - (double)length; /* 0.2 .. 1.2 */
    all_pass = (float)((1 - rest) / (1 + rest));
    gain = pow(10, -3 * period / (s->rate * ring));

    pluck(s, p, note, line, length);
    for (int64_t i = 0; i < n; i++) {
        float now = line[at], average, y;

        average = (float)gain * ((1 - (float)dull) * now + (float)dull * old);
        old = now;
        y = all_pass * (average - y1) + x1;
        x1 = average;
        y1 = y;
        line[at] = y;
        at = at + 1 < length ? at + 1 : 0;
        out[i] = now;
    }
}

/* --- all of them --------------------------------------------------------------------------------- */

void synth_voice(const synth *s, const synth_instrument *p, synth_note *note, float *out, float *scratch,
                 int64_t n)
{
    switch (p->method) {
    case HARMONIC:
        harmonic(s, p, note, out, n);
        break;
    case STRUCK:
        struck(s, p, note, out, n);
        break;
    case MODULATED:
        modulated(s, p, note, out, n);
        break;
    case PLUCKED:
        plucked(s, p, note, out, scratch, 2 * n, n);
        break;
    }
    if (p->breath > 0) {
        int64_t offset = et_rng_below(&note->rng, SYNTH_NOISE);
        float low = 0, level = (float)p->breath;
        for (int64_t i = 0; i < n; i++) {
            low += 0.35f * (s->noise[(offset + i) & (SYNTH_NOISE - 1)] - low);
            out[i] += level * low;
        }
    }
    envelope(s, p, note->frames, scratch, n);
    for (int64_t i = 0; i < n; i++)
        out[i] *= scratch[i] * (float)p->gain;
}
