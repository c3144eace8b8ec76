/* A data set of twelve items, and comparing numbers. Used inside Check tests. */
#ifndef ETUDE_TESTS_SMALL_SET_H
#define ETUDE_TESTS_SMALL_SET_H

#include <math.h>

#include "datasets/dataset.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())

static inline void near(double got, double want, double tol)
{
    ck_assert_msg(fabs(got - want) <= tol, "%.17g, expected %.17g", got, want);
}

enum { N = 12, T = 4, F = 3 };

/* Element (i, t, f) is 100 i + 10 t + f; classes i % 3, groups i / 2, lengths 2 .. 4. */
static inline et_dataset *small_set(void)
{
    et_dataset *ds = et_dataset_new();
    float *x;
    int32_t *y, *g, *len, *split;

    ck_assert_ptr_nonnull(ds);
    ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(N, T, F));
    ds->y = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    ds->groups = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    ds->lengths = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    ds->split = et_dataset_tensor(ET_I32, ET_SHAPE(N));
    x = et_data_mut(ds->x);
    y = et_data_mut(ds->y);
    g = et_data_mut(ds->groups);
    len = et_data_mut(ds->lengths);
    split = et_data_mut(ds->split);
    for (int i = 0; i < N; i++) {
        char name[24];
        y[i] = i % 3;
        g[i] = i / 2;
        len[i] = 2 + i % 3;
        split[i] = i < 8 ? 0 : i < 11 ? 1 : -1;
        for (int t = 0; t < T; t++)
            for (int f = 0; f < F; f++)
                x[(i * T + t) * F + f] = (float)(t < len[i] ? 100 * i + 10 * t + f : 0);
        snprintf(name, sizeof name, "item %d", i);
        ok(et_names_add(&ds->names, name));
    }
    ok(et_names_add(&ds->classes, "a"));
    ok(et_names_add(&ds->classes, "b"));
    ok(et_names_add(&ds->classes, "c"));
    ok(et_names_add(&ds->splits, "train"));
    ok(et_names_add(&ds->splits, "valid"));
    ok(et_dataset_check(ds));
    return ds;
}

#endif
