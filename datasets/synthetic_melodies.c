/* Melodies in two styles. */
#include "config.h"

#include "datasets/synthetic.h"

#include <inttypes.h>

#include "tensor/rng.h"

enum { LEAST_NOTES = 8, MOST_NOTES = 14, EVENTS = MOST_NOTES + 1, END = 24, TOP = END - 1, TOP_DEGREE = 12 };

/* Item i of part p has stream (p + 1) 2^32 + i. */
#define PART_STREAMS ((uint64_t)1 << 32)

static const int scales[2][7] = {{0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}};
static const int steps[2][5] = {{-1, 0, 1, 0, 0}, {2, 2, -2, 4, -4}};
static const int n_steps[2] = {3, 5};
static const int durations[2][3] = {{4, 4, 8}, {1, 2, 2}};

/* One melody; returns its length with END. */
static int32_t melody(int style, et_rng *rng, float *events)
{
    const int64_t root = et_rng_below(rng, 5),
                  notes = LEAST_NOTES + et_rng_below(rng, MOST_NOTES - LEAST_NOTES + 1);
    int64_t degree = et_rng_below(rng, 7);
    int before = 0;

    for (int64_t i = 0; i < notes; i++, events += 3) {
        int64_t pitch = root + scales[style][degree % 7] + 12 * (degree / 7);
        const int duration = durations[style][et_rng_below(rng, 3)];
        events[0] = (float)(pitch > TOP ? TOP : pitch);
        events[1] = (float)before;
        events[2] = (float)duration;
        before = duration;
        degree += steps[style][et_rng_below(rng, n_steps[style])];
        degree = degree < 0 ? 0 : degree > TOP_DEGREE ? TOP_DEGREE : degree;
    }
    events[0] = END;
    events[1] = events[2] = -1;
    return (int32_t)notes + 1;
}

et_dataset *et_melodies(int64_t n, uint64_t seed, int part)
{
    et_dataset *ds;

    if (n < 0 || n > INT32_MAX || part < 0) {
        et_raise(ET_EINVAL, "melodies: %" PRId64 " of part %d", n, part);
        return NULL;
    }
    ds = et_dataset_new();
    if (!ds)
        return NULL;
    ds->x = et_dataset_tensor(ET_F32, 3, (const int64_t[]){n, EVENTS, 3});
    ds->y = ds->x ? et_dataset_tensor(ET_I32, 1, &n) : NULL;
    ds->lengths = ds->y ? et_dataset_tensor(ET_I32, 1, &n) : NULL;
    if (!ds->lengths || et_names_add(&ds->classes, "major, in steps") < 0 ||
        et_names_add(&ds->classes, "minor, in leaps") < 0) {
        et_dataset_free(ds);
        return NULL;
    }
    et_fill(ds->x, 0);
    float *x = et_data_mut(ds->x);
    int32_t *y = et_data_mut(ds->y), *lengths = et_data_mut(ds->lengths);
    for (int64_t i = 0; i < n; i++) {
        et_rng rng = et_rng_make(seed, ((uint64_t)part + 1) * PART_STREAMS + (uint64_t)i);
        y[i] = (int32_t)et_rng_below(&rng, 2);
        lengths[i] = melody(y[i], &rng, x + i * EVENTS * 3);
    }
    return ds;
}
