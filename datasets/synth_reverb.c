/* The room: four combs in parallel and two all-passes in a row for each side (Schroeder 1962),
 * the combs dulled in their loops. */
#include "config.h"

#include "datasets/synth_internal.h"
#include "tensor/alloc.h"

enum { COMBS = 4, PASSES = 2 };

static const double comb_seconds[COMBS] = {0.0297, 0.0371, 0.0411, 0.0437};
static const double pass_seconds[PASSES] = {0.005, 0.0017};
static const double side_seconds = 0.0011; /* the right side's delays are longer */

typedef struct line {
    float *samples;
    int64_t length, at;
    float held; /* the low-pass in the loop */
} line;

static et_status make(line *l, double seconds, double rate)
{
    l->length = (int64_t)(seconds * rate) + 1;
    l->at = 0;
    l->held = 0;
    l->samples = et_alloc_zero((size_t)l->length, sizeof *l->samples);
    return l->samples ? ET_OK : ET_ENOMEM;
}

static inline float comb(line *l, float x)
{
    float y = l->samples[l->at];

    l->held = 0.75f * y + 0.25f * l->held;
    l->samples[l->at] = x + 0.79f * l->held;
    l->at = l->at + 1 < l->length ? l->at + 1 : 0;
    return y;
}

static inline float pass(line *l, float x)
{
    float held = l->samples[l->at], y = held - 0.6f * x;

    l->samples[l->at] = x + 0.6f * y;
    l->at = l->at + 1 < l->length ? l->at + 1 : 0;
    return y;
}

static et_status one_side(const synth *s, float *samples, int64_t n, float share, double longer)
{
    line combs[COMBS] = {{0}}, passes[PASSES] = {{0}};
    et_status status = ET_OK;

    for (int k = 0; k < COMBS && status == ET_OK; k++)
        status = make(&combs[k], comb_seconds[k] + longer, s->rate);
    for (int k = 0; k < PASSES && status == ET_OK; k++)
        status = make(&passes[k], pass_seconds[k] + longer / 4, s->rate);
    for (int64_t i = 0; i < n && status == ET_OK; i++) {
        float x = samples[i], y = 0;
        for (int k = 0; k < COMBS; k++)
            y += comb(&combs[k], x);
        for (int k = 0; k < PASSES; k++)
            y = pass(&passes[k], y);
        samples[i] = (1 - 0.5f * share) * x + 0.5f * share * y;
    }
    for (int k = 0; k < COMBS; k++)
        et_dealloc(combs[k].samples);
    for (int k = 0; k < PASSES; k++)
        et_dealloc(passes[k].samples);
    return status;
}

et_status synth_reverb(const synth *s, float *samples, int channels, int64_t n, double share)
{
    et_status status = ET_OK;

    for (int c = 0; c < channels && status == ET_OK && share > 0; c++)
        status = one_side(s, samples + c * n, n, (float)share, c * side_seconds);
    return status;
}
