/* A collection of twelve short sounds, one of them broken. Used inside Check tests. */
#ifndef ETUDE_TESTS_CHIRPS_H
#define ETUDE_TESTS_CHIRPS_H

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "datasets/collection.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())
#define made(pointer) ck_assert_msg((pointer) != NULL, "%s", et_error_message())

enum { N = 12, BROKEN = 5, SHORT = 7, L = 2 };

/* Item i is a chirp of 0.2 + 0.05 i seconds at 8000 or 16000 Hz; item 5 is broken, item 7 has no samples to
 * speak of. Slow enough to be overtaken. */
static inline et_status load(const et_collection *c, int64_t i, et_audio *out)
{
    const struct timespec pause = {0, (i % 3) * 300000};
    int64_t n;
    float *v;

    (void)c;
    nanosleep(&pause, NULL);
    if (i == BROKEN)
        return et_raise(ET_EFORMAT, "item5.wav: truncated");
    out->rate = i % 2 ? 8000 : 16000;
    n = i == SHORT ? 1 : (int64_t)((0.2 + 0.05 * (double)i) * (double)out->rate);
    out->samples = et_empty_owned(ET_F32, ET_SHAPE(1 + i % 2, n));
    v = out->samples ? et_data_mut(out->samples) : NULL;
    if (!v)
        return et_error_status();
    for (int64_t k = 0; k < out->samples->numel; k++)
        v[k] = (float)sin(0.01 * (double)(i + 1) * (double)k);
    return ET_OK;
}

static inline et_collection *make_collection(void)
{
    et_collection *c = et_collection_new("chirps");
    int32_t *y;
    uint8_t *tags;

    if (!c)
        return NULL;
    c->load = load;
    c->y = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    c->tags = c->y ? et_dataset_tensor(ET_U8, ET_SHAPE(N, L)) : NULL;
    if (!c->tags)
        goto fail;
    y = et_data_mut(c->y);
    tags = et_data_mut(c->tags);
    for (int i = 0; i < N; i++) {
        char name[16];
        y[i] = i % 3;
        tags[i * L] = i % 2;
        tags[i * L + 1] = i > 6;
        snprintf(name, sizeof name, "item%d", i);
        if (et_names_add(&c->names, name) < 0)
            goto fail;
    }
    if (et_names_add(&c->classes, "a") < 0 || et_names_add(&c->classes, "b") < 0 ||
        et_names_add(&c->classes, "c") < 0 || et_names_add(&c->tag_names, "s") < 0 ||
        et_names_add(&c->tag_names, "t") < 0)
        goto fail;
    return c;
fail:
    et_collection_free(c);
    return NULL;
}

#endif
