/* Sounds with captions, and sequences to reverse. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/synthetic.h"
#include "tensor/rng.h"

/* Stream 0 holds what all items share; item i of part p has stream (p + 1) 2^32 + i. */
#define PART_STREAMS ((uint64_t)1 << 32)

static et_rng item_rng(uint64_t seed, int part, int64_t i)
{
    return et_rng_make(seed, ((uint64_t)part + 1) * PART_STREAMS + (uint64_t)i);
}

static et_status check(const char *what, int64_t n, int part)
{
    if (n < 0 || n > INT32_MAX || part < 0)
        return et_raise(ET_EINVAL, "%s: %" PRId64 " of part %d", what, n, part);
    return ET_OK;
}

/* x of that shape [n, ...] and y. */
static et_dataset *make(int ndim, const int64_t *shape)
{
    et_dataset *ds = et_dataset_new();

    if (ds)
        ds->x = et_dataset_tensor(ET_F32, ndim, shape);
    if (ds && ds->x)
        ds->y = et_dataset_tensor(ET_I32, 1, shape);
    if (ds && ds->y)
        return ds;
    et_dataset_free(ds);
    return NULL;
}

/* --- captioned sounds -------------------------------------------------------------------- */

enum { STEPS = 64, BINS = 16, COMBINATIONS = 128, CAPTION_TEXT = 96 };

static const char *const instruments[] = {"piano", "guitar", "drum", "synth"};
static const char *const tempos[] = {"slow", "medium", "fast", "frantic"};
static const char *const registers[] = {"low", "mid", "high", "bright"};
static const char *const noises[] = {"clean", "noisy"};

/* A combination of attributes: number = ((instrument 4 + tempo) 4 + register) 2 + noise. */
static void caption(char out[CAPTION_TEXT], int number, int template)
{
    const char *instrument = instruments[number / 32], *tempo = tempos[number / 8 % 4];
    const char *where = registers[number / 2 % 4], *noise = noises[number % 2];

    if (template == 0)
        snprintf(out, CAPTION_TEXT, "a %s %s plays in the %s register with %s sound", tempo, instrument,
                 where, noise);
    else if (template == 1)
        snprintf(out, CAPTION_TEXT, "the %s recording of a %s %s at %s tempo", noise, where, instrument,
                 tempo);
    else
        snprintf(out, CAPTION_TEXT, "%s %s music and the tempo is %s %s", where, instrument, tempo, noise);
}

static void sound(float *x, int number, const float *timbre, et_rng *rng)
{
    int period = 32 >> (number / 8 % 4), centre = 2 + 4 * (number / 2 % 4);
    double noise = number % 2 ? 0.9 : 0.3;
    int64_t phase = et_rng_below(rng, period);

    for (int t = 0; t < STEPS; t++)
        for (int b = 0; b < BINS; b++) {
            bool on = (t + phase) % period < period / 2;
            double bump = 2 * exp(-0.5 * (b - centre) * (b - centre) / 2.25);
            x[t * BINS + b] = (float)((on ? timbre[b] + bump : 0) + noise * et_rng_normal(rng));
        }
}

et_dataset *et_captioned(int64_t n, uint64_t seed, int part, bool each, et_names *captions)
{
    et_rng shared = et_rng_make(seed, 0);
    float timbres[4 * BINS], *x;
    et_dataset *ds;
    char text[CAPTION_TEXT];
    et_status status = ET_OK;

    if (check("captioned", n, part) < 0 || !(ds = make(3, (const int64_t[3]){n, STEPS, BINS})))
        return NULL;
    for (int k = 0; k < 4 * BINS; k++)
        timbres[k] = (float)et_rng_normal(&shared);
    x = et_data_mut(ds->x);
    int32_t *y = et_data_mut(ds->y);
    for (int k = 0; status == ET_OK && k < COMBINATIONS; k++) {
        snprintf(text, sizeof text, "%s %s %s %s", instruments[k / 32], tempos[k / 8 % 4],
                 registers[k / 2 % 4], noises[k % 2]);
        status = et_names_add(&ds->classes, text);
    }
    for (int64_t i = 0; status == ET_OK && i < n; i++) {
        et_rng rng = item_rng(seed, part, i);
        int number = (int)et_rng_below(&rng, COMBINATIONS);
        y[i] = each ? (int32_t)(i % COMBINATIONS) : number;
        caption(text, y[i], (int)et_rng_below(&rng, 3));
        status = et_names_add(captions, text);
        sound(x + i * STEPS * BINS, y[i], timbres + y[i] / 32 * BINS, &rng);
    }
    if (status == ET_OK)
        return ds;
    et_dataset_free(ds);
    et_names_free(captions);
    return NULL;
}

/* --- reversal ------------------------------------------------------------------------------ */

enum { SYMBOLS = 8, FIRST_SYMBOL = 3, VOCABULARY = 12 };

et_dataset *et_reversal(int64_t n, uint64_t seed, int part)
{
    et_dataset *ds;

    if (check("reversal", n, part) < 0 || !(ds = make(2, (const int64_t[2]){n, SYMBOLS})))
        return NULL;
    if (et_names_add(&ds->classes, "sequence") < 0) {
        et_dataset_free(ds);
        return NULL;
    }
    et_fill(ds->y, 0);
    float *x = et_data_mut(ds->x);
    for (int64_t i = 0; i < n; i++) {
        et_rng rng = item_rng(seed, part, i);
        for (int k = 0; k < SYMBOLS; k++)
            x[i * SYMBOLS + k] = (float)(FIRST_SYMBOL + et_rng_below(&rng, VOCABULARY - FIRST_SYMBOL));
    }
    return ds;
}
