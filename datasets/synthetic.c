/* The planted-prototype task, and waves in noise. */
#include "config.h"

#include "datasets/synthetic.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "tensor/alloc.h"
#include "tensor/rng.h"

/* Streams: 0 holds the prototypes; part p, item i has stream (p + 1) 2^32 + i. */
#define PART_STREAMS ((uint64_t)1 << 32)

et_planted_options et_planted_defaults(void)
{
    et_planted_options o = {
        .steps = 64, .features = 16, .window = 8, .classes = 6, .keep = 0.5, .seed = 1, .part = 0};
    return o;
}

/* n items of which x, y and events are to be filled. */
static et_dataset *make(int64_t n, const et_planted_options *o)
{
    const int64_t xs[3] = {n, o->steps, o->features}, es[2] = {n, 2};
    et_dataset *ds = et_dataset_new();
    char name[32];

    if (!ds)
        return NULL;
    ds->x = et_dataset_tensor(ET_F32, 3, xs);
    ds->y = ds->x ? et_dataset_tensor(ET_I32, 1, xs) : NULL;
    ds->events = ds->y ? et_dataset_tensor(ET_I32, 2, es) : NULL;
    if (!ds->events)
        goto fail;
    for (int64_t k = 0; k < o->classes; k++) {
        snprintf(name, sizeof name, "prototype %" PRId64, k);
        if (et_names_add(&ds->classes, name) < 0)
            goto fail;
    }
    return ds;
fail:
    et_dataset_free(ds);
    return NULL;
}

et_dataset *et_planted(int64_t n, const et_planted_options *options)
{
    et_planted_options o = options ? *options : et_planted_defaults();
    et_dataset *ds;
    float *x, *prototypes;
    int32_t *y, *events;
    int64_t size, all, items;
    et_rng rng;

    if (n < 0 || n > INT32_MAX || o.steps < 1 || o.steps > INT32_MAX || o.features < 1 || o.window < 1 ||
        o.window > o.steps || o.classes < 1 || o.classes > 100000 || o.part < 0 ||
        !et_mul_i64(o.window, o.features, &size) || !et_mul_i64(size, o.classes, &all) ||
        !et_mul_i64(o.steps, o.features, &items)) {
        et_raise(ET_EINVAL,
                 "planted: bad sizes (n %" PRId64 ", steps %" PRId64 ", window %" PRId64 ", classes %" PRId64
                 ")",
                 n, o.steps, o.window, o.classes);
        return NULL;
    }
    prototypes = et_alloc_zero((size_t)all, sizeof *prototypes);
    ds = prototypes ? make(n, &o) : NULL;
    x = ds ? et_data_mut(ds->x) : NULL;
    y = ds ? et_data_mut(ds->y) : NULL;
    events = ds ? et_data_mut(ds->events) : NULL;
    if (!x || !y || !events) {
        et_dealloc(prototypes);
        et_dataset_free(ds);
        return NULL;
    }
    rng = et_rng_make(o.seed, 0);
    for (int64_t i = 0; i < all; i++)
        prototypes[i] = (float)et_rng_normal(&rng);

    for (int64_t i = 0; i < n; i++) {
        float *item = x + i * items, *window;
        const float *p;
        int64_t at;

        rng = et_rng_make(o.seed, ((uint64_t)o.part + 1) * PART_STREAMS + (uint64_t)i);
        y[i] = (int32_t)et_rng_below(&rng, o.classes);
        at = et_rng_below(&rng, o.steps - o.window + 1);
        for (int64_t j = 0; j < items; j++)
            item[j] = (float)et_rng_normal(&rng);
        window = item + at * o.features;
        p = prototypes + y[i] * size;
        for (int64_t j = 0; j < size; j++)
            window[j] = (float)o.keep * window[j] + p[j];
        events[2 * i] = (int32_t)at;
        events[2 * i + 1] = (int32_t)(at + o.window);
    }
    et_dealloc(prototypes);
    return ds;
}

et_waves_options et_waves_defaults(void)
{
    return (et_waves_options){.steps = 32, .features = 16, .noise = 0.7, .seed = 1, .part = 0};
}

et_dataset *et_waves(int64_t n, const et_waves_options *options)
{
    static const char *const names[] = {"time 4", "time 8", "time 16", "feature 4", "feature 8",
                                        "feature 16"};
    const double two_pi = 6.283185307179586;
    et_waves_options o = options ? *options : et_waves_defaults();
    int64_t item, all;

    if (n < 0 || n > INT32_MAX || o.steps < 1 || o.features < 1 || !(o.noise >= 0) || o.part < 0 ||
        !et_mul_i64(o.steps, o.features, &item) || !et_mul_i64(item, n, &all)) {
        et_raise(ET_EINVAL, "waves: bad sizes (n %" PRId64 ", steps %" PRId64 ", features %" PRId64 ")",
                 n, o.steps, o.features);
        return NULL;
    }
    et_dataset *ds = et_dataset_new();
    if (!ds)
        return NULL;
    ds->x = et_dataset_tensor(ET_F32, 3, (const int64_t[]){n, o.steps, o.features});
    ds->y = ds->x ? et_dataset_tensor(ET_I32, 1, &n) : NULL;
    float *x = ds->y ? et_data_mut(ds->x) : NULL;
    int32_t *y = x ? et_data_mut(ds->y) : NULL;
    for (int k = 0; y && k < 6; k++)
        if (et_names_add(&ds->classes, names[k]))
            y = NULL;
    if (!y) {
        et_dataset_free(ds);
        return NULL;
    }
    for (int64_t i = 0; i < n; i++) {
        et_rng rng = et_rng_make(o.seed, ((uint64_t)o.part + 1) * PART_STREAMS + (uint64_t)i);
        y[i] = (int32_t)et_rng_below(&rng, 6);
        double phase = two_pi * et_rng_uniform(&rng), period = (double)(4 << y[i] % 3);
        for (int64_t t = 0; t < o.steps; t++)
            for (int64_t f = 0; f < o.features; f++)
                *x++ = (float)(o.noise * et_rng_normal(&rng) +
                               sin(two_pi * (double)(y[i] < 3 ? t : f) / period + phase));
    }
    return ds;
}
