/* Arrays of either real type for the tests of the kernels, with room behind their end
 * that nobody may touch. */
#ifndef ETUDE_TESTS_KERNEL_ARRAYS_H
#define ETUDE_TESTS_KERNEL_ARRAYS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/kernels.h"
#include "tests/suite.h"

enum { ARRAY_MAX = 4200, ARRAY_GUARD = 32, MAX_TABLES = 8 };

/* The tables to test: float32 ones of this machine, then float64. */
static inline int tables_of(const et_kernels *tables[MAX_TABLES + 1])
{
    int n = et_kernels_available(tables, MAX_TABLES);

    tables[n] = et_kernels_for(ET_F64);
    return n + 1;
}

static inline const et_kernels *table_at(int index)
{
    const et_kernels *tables[MAX_TABLES + 1];

    ck_assert_int_lt(index, tables_of(tables));
    return tables[index];
}

static inline int table_count(void)
{
    const et_kernels *tables[MAX_TABLES + 1];

    return tables_of(tables);
}

typedef struct array {
    et_dtype dtype;
    union {
        float f[ARRAY_MAX + ARRAY_GUARD];
        double d[ARRAY_MAX + ARRAY_GUARD];
    } u;
} array;

static inline void put(array *x, int64_t i, double v)
{
    if (x->dtype == ET_F32)
        x->u.f[i] = (float)v;
    else
        x->u.d[i] = v;
}

static inline double get(const array *x, int64_t i)
{
    return x->dtype == ET_F32 ? (double)x->u.f[i] : x->u.d[i];
}

/* Address of element i. */
static inline void *at(array *x, int64_t i)
{
    return x->dtype == ET_F32 ? (void *)(x->u.f + i) : (void *)(x->u.d + i);
}

/* Spacing of numbers just above 1. */
static inline double eps_of(const et_kernels *k)
{
    return k->dtype == ET_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
}

/* A deterministic number in [-1, 1). */
static inline double draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1.0;
}

/* Everything, room behind the end included, drawn from `scale` times [-1, 1). */
static inline void fill_random(array *x, et_dtype dtype, uint32_t seed, double scale)
{
    x->dtype = dtype;
    for (int64_t i = 0; i < ARRAY_MAX + ARRAY_GUARD; i++)
        put(x, i, scale * draw(&seed));
}

static inline int same_bits(const array *a, const array *b, int64_t from, int64_t to)
{
    size_t size = a->dtype == ET_F32 ? sizeof(float) : sizeof(double);

    return from >= to || memcmp((const char *)&a->u + (size_t)from * size,
                                (const char *)&b->u + (size_t)from * size, (size_t)(to - from) * size) == 0;
}

/* Lengths around the edges of vectors and of unrolled loops. */
static inline int lengths_of(const et_kernels *k, int64_t out[16])
{
    const int64_t l = k->lanes;
    const int64_t all[] = {0,         1,         2,         l - 1,     l,         l + 1, 2 * l - 1, 2 * l + 1,
                           3 * l - 1, 4 * l - 1, 4 * l + 1, 5 * l + 3, 8 * l - 1, 100,   257,       1000};
    memcpy(out, all, sizeof all);
    return (int)(sizeof all / sizeof all[0]);
}

/* |a - b| <= tol, both NaN, or the same infinity. */
#define assert_near(a, b, tol, ...)                                                   \
    do {                                                                              \
        const double a_ = (a), b_ = (b), tol_ = (tol);                                \
        if (!(fabs(a_ - b_) <= tol_) && !(a_ == b_) && !(isnan(a_) && isnan(b_))) {   \
            char what_[128];                                                          \
            snprintf(what_, sizeof what_, __VA_ARGS__);                               \
            ck_abort_msg("%s: %.17g, expected %.17g within %g", what_, a_, b_, tol_); \
        }                                                                             \
    } while (0)

#endif
