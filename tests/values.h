/* Writing down small tensors and what is expected of them. Reals are made in the dtype that the
 * running test sets, values_real, so that one test serves float32 and float64. */
#ifndef ETUDE_TESTS_VALUES_H
#define ETUDE_TESTS_VALUES_H

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/pool.h"
#include "tests/suite.h"

static const et_dtype values_reals[] = {ET_F32, ET_F64};
enum { VALUES_N_REALS = 2 };

static et_dtype values_real = ET_F64;
static et_scope *values_scope;
static size_t values_held;

/* A fixture: every test runs in a scope, which in the end must leave nothing behind. */
static inline void values_begin(void)
{
    et_pool_stats stats;

    et_pool_get_stats(&stats);
    values_held = stats.current;
    values_real = ET_F64;
    values_scope = et_scope_open();
    ck_assert_ptr_nonnull(values_scope);
}

static inline void values_end(void)
{
    et_pool_stats stats;

    ck_assert_msg(et_error_status() == ET_OK, "an error is pending: %s", et_error_message());
    ck_assert_int_eq(et_scope_close(values_scope), ET_OK);
    et_pool_get_stats(&stats);
    ck_assert_uint_eq(stats.current, values_held);
}

static inline et_tensor *values_make(et_dtype dtype, int ndim, const int64_t *shape, int n, const double *v)
{
    et_tensor *t = et_empty(ET_F64, ndim, shape);

    ck_assert_msg(t != NULL, "%s", et_error_message());
    ck_assert_int_eq(t->numel, n);
    memcpy(et_data_mut(t), v, (size_t)n * sizeof *v);
    return et_to(t, dtype);
}

/* REAL((2, 3), 1, 2, 3, 4, 5, 6) and the like; PARAM is one to be trained. */
#define VALUES_LIST(...) (int)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), (double[]){__VA_ARGS__}
#define REAL(shape, ...) values_make(values_real, ET_SHAPE shape, VALUES_LIST(__VA_ARGS__))
#define PARAM(shape, ...) et_set_requires_grad(REAL(shape, __VA_ARGS__), true)
#define INTS(shape, ...) values_make(ET_I32, ET_SHAPE shape, VALUES_LIST(__VA_ARGS__))
#define MASK(shape, ...) values_make(ET_U8, ET_SHAPE shape, VALUES_LIST(__VA_ARGS__))

static inline void values_check(int line, const et_tensor *y, int ndim, const int64_t *shape, int n,
                                const double *v)
{
    double tol = y && y->dtype == ET_F64 ? 1e-12 : 2e-6;
    int64_t index[ET_MAX_DIMS];

    ck_assert_msg(y != NULL, "line %d: no tensor: %s", line, et_error_message());
    ck_assert_msg(y->ndim == ndim, "line %d: %d dimensions, expected %d", line, y->ndim, ndim);
    for (int d = 0; d < ndim; d++)
        ck_assert_msg(y->shape[d] == shape[d], "line %d: dimension %d is %lld, expected %lld", line, d,
                      (long long)y->shape[d], (long long)shape[d]);
    ck_assert_msg(y->numel == n, "line %d: %lld elements, %d expected", line, (long long)y->numel, n);
    for (int i = 0; i < n; i++) {
        double got;
        int rest = i;

        for (int d = ndim - 1; d >= 0; d--) {
            index[d] = rest % shape[d];
            rest /= (int)shape[d];
        }
        got = et_get(y, index);
        if (isnan(v[i]) ? !isnan(got) : !(got == v[i] || fabs(got - v[i]) <= tol * fmax(1, fabs(v[i]))))
            ck_abort_msg("line %d: element %d is %.12g, expected %.12g", line, i, got, v[i]);
    }
}

#define HOLDS(y, shape, ...) values_check(__LINE__, (y), ET_SHAPE shape, VALUES_LIST(__VA_ARGS__))
#define HOLDS_ONE(y, v) values_check(__LINE__, (y), 0, NULL, 1, &(const double){v})
#define HOLDS_NONE(y, shape) values_check(__LINE__, (y), ET_SHAPE shape, 0, NULL)
#define GRAD_HOLDS(x, shape, ...) HOLDS(et_grad_of(x), shape, __VA_ARGS__)

static inline void values_fails(int line, bool failed, et_status status, const char *words)
{
    ck_assert_msg(failed, "line %d: success, expected %s", line, et_status_name(status));
    ck_assert_msg(et_error_status() == status && strstr(et_error_message(), words),
                  "line %d: %s \"%s\", expected %s \"%s\"", line, et_status_name(et_error_status()),
                  et_error_message(), et_status_name(status), words);
    et_error_clear();
}

/* A call that returns a tensor, or one that returns a status. */
#define FAILS(call, status, words) values_fails(__LINE__, !(call), (status), (words))
#define FAILS_STATUS(call, status, words) values_fails(__LINE__, (call) == (status), (status), (words))
#define WORKS(call) ck_assert_msg((call) == ET_OK, "line %d: %s", __LINE__, et_error_message())

#endif
