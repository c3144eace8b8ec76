/* Tables of wrong calls. A table is a macro over its rows,
 *
 *     #define TENSOR_MISUSES(X) \
 *         X(et_empty(ET_F32, -1, NULL), ET_ESHAPE, "0 to 8 dimensions") \
 *         ...
 *     MISUSE_TABLE(tensor, TENSOR_MISUSES)
 *
 * each with the call, the status and words of the message that it must leave. Calls see
 * `f`, a fresh set of tensors in an open scope. Besides the error, the call must return
 * what failing calls return (NULL, the status, NaN, a negative number) and, after the
 * scope is closed, must have left nothing in the pool. */
#ifndef ETUDE_TESTS_MISUSE_H
#define ETUDE_TESTS_MISUSE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "autograd/ops.h"
#include "tensor/pool.h"
#include "tensor/scope.h"
#include "tensor/tensor.h"
#include "tests/suite.h"

typedef struct misuse_set {
    et_scope *outer, *scope;
    et_tensor *x;        /* float32 [2, 3] */
    et_tensor *y;        /* float32 [4] */
    et_tensor *d;        /* float64 [2, 3] */
    et_tensor *k;        /* int32 [2, 3] */
    et_tensor *m;        /* uint8 [2, 3] */
    et_tensor *b;        /* bfloat16 [2, 3] */
    et_tensor *none;     /* float32 [0, 3] */
    et_tensor *nan;      /* float32 [2, 2], the third a NaN */
    et_tensor *released; /* float32 [2, 3] without elements */
    et_tensor *leaf;     /* float32 [2, 3] that requires a gradient */
    et_tensor *computed; /* relu(leaf) */
    et_tensor *loss;     /* float32 [] computed from leaf */
} misuse_set;

static inline misuse_set misuse_begin(void)
{
    const float values[4] = {1, 2, NAN, 3};
    misuse_set f;

    f.outer = et_scope_open();
    f.scope = et_scope_open();
    f.x = et_ones(ET_F32, ET_SHAPE(2, 3));
    f.y = et_ones(ET_F32, ET_SHAPE(4));
    f.d = et_ones(ET_F64, ET_SHAPE(2, 3));
    f.k = et_ones(ET_I32, ET_SHAPE(2, 3));
    f.m = et_ones(ET_U8, ET_SHAPE(2, 3));
    f.b = et_ones(ET_BF16, ET_SHAPE(2, 3));
    f.none = et_ones(ET_F32, ET_SHAPE(0, 3));
    f.nan = et_from(ET_F32, ET_SHAPE(2, 2), values);
    f.released = et_ones(ET_F32, ET_SHAPE(2, 3));
    et_release(f.released);
    f.leaf = et_set_requires_grad(et_ones(ET_F32, ET_SHAPE(2, 3)), true);
    f.computed = et_relu(f.leaf);
    f.loss = et_sum_to_size(f.computed, 0, NULL);
    ck_assert_msg(f.loss && et_error_status() == ET_OK, "%s", et_error_message());
    return f;
}

static inline void misuse_end(misuse_set *f)
{
    et_error_clear();
    if (et_scope_current() == f->scope)
        et_scope_close(f->scope);
    et_scope_close(f->outer);
    ck_assert_int_eq(et_scope_depth(), 0);
}

static inline bool misuse_null(const void *result, et_status status)
{
    (void)status;
    return result == NULL;
}

static inline bool misuse_status(int result, et_status status) { return result == (int)status; }

static inline bool misuse_nan(double result, et_status status)
{
    (void)status;
    return isnan(result);
}

static inline bool misuse_negative(int64_t result, et_status status)
{
    (void)status;
    return result < 0;
}

#define MISUSE_FAILED(call, status) \
    _Generic((call), et_status: misuse_status, double: misuse_nan, int64_t: misuse_negative, \
             default: misuse_null)((call), (status))

#define MISUSE_COUNT(call, status, words) +1
#define MISUSE_RUN(call, status_, words_)                \
    if (row++ == wanted) {                               \
        text = #call;                                    \
        status = (status_);                              \
        words = (words_);                                \
        failed = MISUSE_FAILED(call, status_);           \
    }

#define MISUSE_TABLE(name, TABLE)                                                                           \
    enum { N_##name##_misuses = 0 TABLE(MISUSE_COUNT) };                                                    \
    START_TEST(name##_misuses)                                                                              \
    {                                                                                                       \
        int row = 0, wanted = _i;                                                                           \
        et_status status = ET_OK;                                                                           \
        const char *text = "", *words = "";                                                                 \
        et_pool_stats before, after;                                                                        \
        bool failed = false;                                                                                \
        misuse_set f;                                                                                       \
                                                                                                            \
        et_pool_get_stats(&before);                                                                         \
        f = misuse_begin();                                                                                 \
        TABLE(MISUSE_RUN)                                                                                   \
        ck_assert_msg(et_error_status() == status && strstr(et_error_message(), words) && failed,           \
                      "%s\nleft %s \"%s\"%s,\nexpected %s with \"%s\"", text,                               \
                      et_status_name(et_error_status()), et_error_message(),                                \
                      failed ? "" : " but did not return a failure", et_status_name(status), words);        \
        misuse_end(&f);                                                                                     \
        et_pool_get_stats(&after);                                                                          \
        ck_assert_msg(after.current == before.current, "%s\nleft %zu bytes in the pool", text,              \
                      after.current - before.current);                                                      \
    }                                                                                                       \
    END_TEST

#endif
