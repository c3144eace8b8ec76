/* The tagging tasks: planted patterns in spectrograms, tones in samples. */
#include "config.h"

#include "datasets/synthetic.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/rng.h"

/* Streams as in synthetic.c: 0 holds what is fixed; part p, item i has stream (p + 1) 2^32 + i. */
#define PART_STREAMS ((uint64_t)1 << 32)

et_tagged_options et_tagged_defaults(void)
{
    return (et_tagged_options){.bands = 24, .frames = 64, .window = 8, .tags = 8, .chance = 0.25,
                               .strength = 1.5, .seed = 1};
}

et_tones_options et_tones_defaults(void)
{
    return (et_tones_options){.samples = 2187, .envelope = 729, .chance = 0.3, .noise = 0.5, .seed = 1};
}

static et_dataset *make(int64_t n, const int64_t *shape, int ndim, int64_t tags)
{
    et_dataset *ds = et_dataset_new();
    char name[32];

    if (!ds)
        return NULL;
    ds->x = et_dataset_tensor(ET_F32, ndim, shape);
    ds->y = ds->x ? et_dataset_tensor(ET_I32, ET_SHAPE(n)) : NULL;
    ds->tags = ds->y && et_fill(ds->y, 0) == ET_OK ? et_dataset_tensor(ET_U8, ET_SHAPE(n, tags)) : NULL;
    ds->events = ds->tags ? et_dataset_tensor(ET_I32, ET_SHAPE(n, 2)) : NULL;
    bool good = ds->events != NULL && et_names_add(&ds->classes, "any") >= 0;
    for (int64_t k = 0; good && k < tags; k++) {
        snprintf(name, sizeof name, "tag %" PRId64, k);
        good = et_names_add(&ds->tag_names, name) >= 0;
    }
    if (good)
        return ds;
    et_dataset_free(ds);
    return NULL;
}

et_dataset *et_tagged_patterns(int64_t n, const et_tagged_options *options)
{
    const et_tagged_options o = options ? *options : et_tagged_defaults();
    int64_t size, all, items;

    if (n < 0 || n > INT32_MAX || o.bands < 1 || o.frames < 1 || o.frames > INT32_MAX || o.window < 1 ||
        o.window > o.frames || o.tags < 1 || o.tags > 100000 || o.part < 0 ||
        !(o.chance >= 0 && o.chance <= 1) || !et_mul_i64(o.bands, o.window, &size) ||
        !et_mul_i64(size, o.tags, &all) || !et_mul_i64(o.bands, o.frames, &items)) {
        et_raise(ET_EINVAL, "tagged patterns: sizes or chance are out of range");
        return NULL;
    }
    float *prototypes = et_alloc_zero((size_t)all, sizeof *prototypes);
    et_dataset *ds = prototypes ? make(n, (const int64_t[]){n, o.bands, o.frames}, 3, o.tags) : NULL;
    float *x = ds ? et_data_mut(ds->x) : NULL;
    uint8_t *tags = ds ? et_data_mut(ds->tags) : NULL;
    int32_t *events = ds ? et_data_mut(ds->events) : NULL;
    et_rng rng = et_rng_make(o.seed, 0);

    for (int64_t i = 0; events && i < all; i++)
        prototypes[i] = (float)(o.strength * et_rng_normal(&rng));
    for (int64_t i = 0; events && i < n; i++, x += items) {
        rng = et_rng_make(o.seed, ((uint64_t)o.part + 1) * PART_STREAMS + (uint64_t)i);
        for (int64_t j = 0; j < items; j++)
            x[j] = (float)et_rng_normal(&rng);
        events[2 * i] = events[2 * i + 1] = 0;
        for (int64_t k = 0; k < o.tags; k++) {
            const bool on = et_rng_uniform(&rng) < o.chance;
            const int64_t at = et_rng_below(&rng, o.frames - o.window + 1);
            tags[i * o.tags + k] = on;
            for (int64_t b = 0; on && b < o.bands; b++)
                for (int64_t t = 0; t < o.window; t++)
                    x[b * o.frames + at + t] += prototypes[(k * o.bands + b) * o.window + t];
            if (on && !events[2 * i + 1]) { /* of the first tag that is on */
                events[2 * i] = (int32_t)at;
                events[2 * i + 1] = (int32_t)(at + o.window);
            }
        }
    }
    et_dealloc(prototypes);
    return ds;
}

et_dataset *et_tagged_tones(int64_t n, const et_tones_options *options)
{
    enum { TAGS = 6 };
    static const double cycles[TAGS] = {20, 37, 61, 95, 140, 210}; /* in 2187 samples */
    const double pi = 3.14159265358979323846;
    const et_tones_options o = options ? *options : et_tones_defaults();
    int64_t all;

    if (n < 0 || n > INT32_MAX || o.samples < 1 || o.samples > INT32_MAX || o.envelope < 1 ||
        o.envelope > o.samples || o.part < 0 || !(o.chance >= 0 && o.chance <= 1) ||
        !et_mul_i64(n, o.samples, &all)) {
        et_raise(ET_EINVAL, "tagged tones: sizes or chance are out of range");
        return NULL;
    }
    et_dataset *ds = make(n, (const int64_t[]){n, o.samples}, 2, TAGS);
    float *x = ds ? et_data_mut(ds->x) : NULL;
    uint8_t *tags = ds ? et_data_mut(ds->tags) : NULL;
    int32_t *events = ds ? et_data_mut(ds->events) : NULL;

    for (int64_t i = 0; events && i < n; i++, x += o.samples) {
        et_rng rng = et_rng_make(o.seed, ((uint64_t)o.part + 1) * PART_STREAMS + (uint64_t)i);
        for (int64_t j = 0; j < o.samples; j++)
            x[j] = (float)(o.noise * et_rng_normal(&rng));
        events[2 * i] = events[2 * i + 1] = 0;
        for (int64_t k = 0; k < TAGS; k++) {
            const bool on = et_rng_uniform(&rng) < o.chance;
            const int64_t at = et_rng_below(&rng, o.samples - o.envelope + 1);
            const double phase = 2 * pi * et_rng_uniform(&rng);
            tags[i * TAGS + k] = on;
            for (int64_t j = 0; on && j < o.envelope; j++) {
                const double hann = 0.5 - 0.5 * cos(2 * pi * (double)j / (double)o.envelope);
                x[at + j] += (float)(hann * sin(2 * pi * cycles[k] * (double)(at + j) / 2187 + phase));
            }
            if (on && !events[2 * i + 1]) {
                events[2 * i] = (int32_t)at;
                events[2 * i + 1] = (int32_t)(at + o.envelope);
            }
        }
    }
    return ds;
}
