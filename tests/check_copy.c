/* Elements of any strides and dtype, copied, converted, filled and compared: every element against what a
 * plain loop over raw memory finds, and none beside them touched. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/parallel.h"
#include "tensor/tensor.h"
#include "tests/files.h"
#include "tests/suite.h"

static const et_dtype dtypes[] = {ET_F32, ET_F64, ET_I32, ET_U8, ET_BF16};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* [B, R, C], some longer than what a tile, the repetition of an element or a piece of a row is at once, some
 * a byte shorter than such a piece. */
static const int64_t sizes[][3] = {{1, 1, 1}, {2, 1, 1},  {2, 3, 5}, {2, 40, 2}, {1, 1, 5000}, {2, 17, 33},
                                   {2, 3, 3}, {2, 3, 15}, {2, 3, 16}, {2, 3, 63}, {2, 2, 300}};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

/* --- raw memory ----------------------------------------------------------------------------- */

static double raw_get(et_dtype dtype, const void *p, int64_t at)
{
    switch (dtype) {
    case ET_F32: return ((const float *)p)[at];
    case ET_F64: return ((const double *)p)[at];
    case ET_I32: return ((const int32_t *)p)[at];
    case ET_U8: return ((const uint8_t *)p)[at];
    case ET_BF16: return et_bf16_to_f32(((const uint16_t *)p)[at]);
    }
    return 0;
}

/* What becomes of v: towards zero and no further than the ends, NaN to 0, or to the nearest. */
static double converted(double v, et_dtype to)
{
    const double least = to == ET_U8 ? 0 : INT32_MIN, most = to == ET_U8 ? 255 : INT32_MAX;

    if (to == ET_F64)
        return v;
    if (to == ET_F32)
        return (float)v;
    if (to == ET_BF16)
        return et_bf16_to_f32(et_f32_to_bf16((float)v));
    return isnan(v) ? 0 : trunc(fmin(fmax(v, least), most));
}

/* Number k of values that differ from their neighbours, with all that is special among them. */
static double value(et_dtype dtype, int64_t k)
{
    static const double special[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1e10, -1e10, 255.75,
                                     256, -0.5, 2147483647, -2147483648.0, 254.5};
    const int64_t n = sizeof special / sizeof special[0];

    return converted(k % 3 == 1 ? special[k / 3 % n] : (double)(k * 7 % 1000) / 4 - 100, dtype);
}

static void raw_set(et_dtype dtype, void *p, int64_t at, double v)
{
    switch (dtype) {
    case ET_F32: ((float *)p)[at] = (float)v; break;
    case ET_F64: ((double *)p)[at] = v; break;
    case ET_I32: ((int32_t *)p)[at] = (int32_t)v; break;
    case ET_U8: ((uint8_t *)p)[at] = (uint8_t)v; break;
    case ET_BF16: ((uint16_t *)p)[at] = et_f32_to_bf16((float)v); break;
    }
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* --- layouts --------------------------------------------------------------------------------- */

/* The first five hold every element once and can be written to; the others are broadcast, or overlap. */
enum { PLAIN, TURNED, STEPPED, CUT, REVERSED, WRITABLE, SAME_ROWS = WRITABLE, SAME_COLUMNS, SCALAR, MATRIX,
       WINDOWS, LAYOUTS };

/* A view on *base, whose elements are value(0), value(1), ... */
static et_tensor *layout(int which, et_dtype dtype, const int64_t size[3], et_tensor **base)
{
    const int64_t B = size[0], R = size[1], C = size[2];
    const struct { int64_t size; int ndim; int64_t shape[3], strides[3], offset; } views[LAYOUTS] = {
        [PLAIN] = {B * R * C, 3, {B, R, C}, {R * C, C, 1}, 0},
        [TURNED] = {B * R * C, 3, {B, R, C}, {R * C, 1, R}, 0},
        [STEPPED] = {2 * B * R * C, 3, {B, R, C}, {2 * R * C, 2 * C, 2}, 1},
        [CUT] = {B * R * (C + 3), 3, {B, R, C}, {R * (C + 3), C + 3, 1}, 2},
        [REVERSED] = {B * R * C, 3, {B, R, C}, {1, B, B * R}, 0},
        [SAME_ROWS] = {B * C, 3, {B, R, C}, {C, 0, 1}, 0},
        [SAME_COLUMNS] = {B * R, 3, {B, R, C}, {R, 1, 0}, 0},
        [SCALAR] = {1, 0, {0}, {0}, 0},
        [MATRIX] = {R * C, 2, {R, C}, {C, 1}, 0},
        [WINDOWS] = {B * (R + C), 3, {B, R, C}, {R + C, 1, 1}, 0}};
    et_tensor *x;

    *base = et_empty(dtype, ET_SHAPE(views[which].size));
    ck_assert_msg(*base != NULL, "%s", et_error_message());
    void *p = et_data_mut(*base);
    for (int64_t k = 0; k < views[which].size; k++)
        raw_set(dtype, p, k, value(dtype, k));
    x = et_raw_view(*base, views[which].ndim, views[which].shape, views[which].strides, views[which].offset);
    ck_assert_msg(x != NULL, "%s", et_error_message());
    return x;
}

/* Where element (i, r, c) of the shape to which x is broadcast lies in x's base. */
static int64_t place(const et_tensor *x, const int64_t *index)
{
    int64_t at = x->offset;

    for (int d = 0; d < x->ndim; d++)
        at += index[3 - x->ndim + d] * x->strides[d];
    return at;
}

/* The whole of dst's base must hold what it held, and in the view what `wanted` of each index is. */
static void check_base(const et_tensor *dst, const et_tensor *base, const et_tensor *src,
                       const et_tensor *src_base, double fill)
{
    double *want = malloc((size_t)base->numel * sizeof *want);
    int64_t i[3];

    for (int64_t k = 0; k < base->numel; k++)
        want[k] = value(dst->dtype, k);
    for (i[0] = 0; i[0] < dst->shape[0]; i[0]++)
        for (i[1] = 0; i[1] < dst->shape[1]; i[1]++)
            for (i[2] = 0; i[2] < dst->shape[2]; i[2]++)
                want[place(dst, i)] = converted(
                    src ? raw_get(src->dtype, et_data(src_base), place(src, i)) : fill, dst->dtype);
    for (int64_t k = 0; k < base->numel; k++)
        if (!same(raw_get(dst->dtype, et_data(base), k), want[k]))
            ck_abort_msg("%s [%d, %d, %d], strides %d, %d, %d: element %d is %g, not %g",
                         et_dtype_name(dst->dtype), (int)dst->shape[0], (int)dst->shape[1],
                         (int)dst->shape[2], (int)dst->strides[0], (int)dst->strides[1],
                         (int)dst->strides[2], (int)k,
                         raw_get(dst->dtype, et_data(base), k), want[k]);
    free(want);
}

/* --- copying ----------------------------------------------------------------------------------- */

/* With the work in one piece, in many, and in many from the last to the first. */
START_TEST(copies)
{
    static const et_cutting cuttings[] = {ET_CUT_USUAL, ET_CUT_FINE, ET_CUT_FINE_REVERSED};
    const et_dtype to = dtypes[_i / N_DTYPES % N_DTYPES], from = dtypes[_i % N_DTYPES];
    et_tensor *bases[2];

    et_set_cutting(cuttings[_i / (N_DTYPES * N_DTYPES)]);
    for (int s = 0; s < N_SIZES; s++)
        for (int k = 0; k < WRITABLE * LAYOUTS; k++) {
            if (suite_skips(k) || (sizes[s][2] > 1000 && k / LAYOUTS != PLAIN))
                continue;
            et_tensor *dst = layout(k / LAYOUTS, to, sizes[s], &bases[0]);
            et_tensor *src = layout(k % LAYOUTS, from, sizes[s], &bases[1]);
            ck_assert_msg(et_copy_into(dst, src) == ET_OK, "%s", et_error_message());
            check_base(dst, bases[0], src, bases[1], 0);
            et_free(dst), et_free(src), et_free(bases[0]), et_free(bases[1]);
        }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

/* Elements keep their bits, whatever they say, in every order of four dimensions. */
START_TEST(permutations)
{
    const et_dtype dtype = dtypes[_i];
    const size_t size = et_dtype_size(dtype);
    static const int64_t shapes[][4] = {{3, 18, 2, 35}, {70, 1, 33, 2}, {2, 3, 16, 16}};
    uint32_t seed = 1;

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        et_tensor *x = et_empty(dtype, 4, shapes[s]);
        uint8_t *bytes = et_data_mut(x);
        for (size_t k = 0; k < (size_t)x->numel * size; k++)
            bytes[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
        for (int p = 0; p < 256; p++) {
            const int order[4] = {p & 3, p >> 2 & 3, p >> 4 & 3, p >> 6};
            int64_t shape[4], strides[4], at = 0, i[4];
            if ((1 << order[0] | 1 << order[1] | 1 << order[2] | 1 << order[3]) != 15)
                continue;
            for (int d = 0; d < 4; d++) {
                shape[d] = x->shape[order[d]];
                strides[d] = x->strides[order[d]];
            }
            et_tensor *view = et_raw_view(x, 4, shape, strides, 0), *y = et_empty(dtype, 4, shape);
            ck_assert_int_eq(et_copy_into(y, view), ET_OK);
            const uint8_t *got = et_data(y);
            for (i[0] = 0; i[0] < shape[0]; i[0]++)
                for (i[1] = 0; i[1] < shape[1]; i[1]++)
                    for (i[2] = 0; i[2] < shape[2]; i[2]++)
                        for (i[3] = 0; i[3] < shape[3]; i[3]++, at++) {
                            const int64_t from = i[0] * strides[0] + i[1] * strides[1] + i[2] * strides[2] +
                                                 i[3] * strides[3];
                            ck_assert_msg(!memcmp(got + (size_t)at * size, bytes + (size_t)from * size, size),
                                          "%s in the order %d%d%d%d: element %d", et_dtype_name(dtype),
                                          order[0], order[1], order[2], order[3], (int)at);
                        }
            et_free(view), et_free(y);
        }
        et_free(x);
    }
}
END_TEST

START_TEST(fills)
{
    static const double with[] = {7, -3.5, 300, (double)NAN, -3e9};
    et_tensor *base;

    for (int s = 0; s < N_SIZES; s++)
        for (int k = 0; k <= WRITABLE; k++)
            for (int v = 0; v < 5; v++) {
                et_tensor *x = layout(k < WRITABLE ? k : WINDOWS, dtypes[_i], sizes[s], &base);
                ck_assert_int_eq(et_fill(x, with[v]), ET_OK);
                check_base(x, base, NULL, NULL, with[v]);
                et_free(x), et_free(base);
            }
}
END_TEST

START_TEST(single_elements)
{
    et_tensor *base, *x = layout(REVERSED, dtypes[_i], sizes[2], &base);
    int64_t i[3];

    for (i[0] = 0; i[0] < 2; i[0]++)
        for (i[1] = 0; i[1] < 3; i[1]++)
            for (i[2] = 0; i[2] < 5; i[2]++) {
                ck_assert(same(et_get(x, i), raw_get(x->dtype, et_data(base), place(x, i))));
                ck_assert_int_eq(et_set(x, i, 1), ET_OK);
                ck_assert(raw_get(x->dtype, et_data(base), place(x, i)) == 1 && et_get(x, i) == 1);
            }
    et_free(x), et_free(base);
}
END_TEST

/* --- comparing ------------------------------------------------------------------------------------ */

/* Copies of 24 elements, of other strides. */
static et_tensor *twin(const et_tensor *x, et_dtype dtype, et_tensor **base)
{
    et_tensor *y = layout(TURNED, dtype, x->shape, base);

    ck_assert_int_eq(et_copy_into(y, x), ET_OK);
    return y;
}

START_TEST(closeness)
{
    et_tensor *base, *x = et_full(ET_F32, ET_SHAPE(2, 3, 4), 10), *y = twin(x, ET_F64, &base);

    ck_assert(et_allclose(x, y, 0, 0, false) && et_allclose(y, x, 0, 0, false));
    for (int64_t k = 0; k < 24; k++) {
        const int64_t i[3] = {k / 12, k / 4 % 3, k % 4};
        et_set(y, i, 8);
        ck_assert(!et_allclose(x, y, 0, 1.99, false) && et_allclose(x, y, 0, 2, false));
        ck_assert(et_allclose(y, x, 0.2, 0, false)); /* of the second: 2 <= 0.2 * 10 */
        ck_assert(!et_allclose(x, y, 0.2, 0, false) && et_allclose(x, y, 0.2, 0.5, false));
        et_set(y, i, (double)NAN);
        ck_assert(!et_allclose(x, y, 1, 1, true) && !et_allclose(y, x, 1, 1, true));
        et_set(x, i, (double)NAN);
        ck_assert(!et_allclose(x, y, 1, 1, false) && et_allclose(x, y, 0, 0, true));
        /* An infinity is close to itself alone, however much is allowed. */
        et_set(x, i, (double)INFINITY);
        et_set(y, i, 10);
        ck_assert(!et_allclose(x, y, 0.5, 100, true) && !et_allclose(y, x, 0.5, 100, true));
        et_set(y, i, -(double)INFINITY);
        ck_assert(!et_allclose(x, y, 0.5, 100, true));
        et_set(y, i, (double)INFINITY);
        ck_assert(et_allclose(x, y, 0, 0, false));
        et_set(x, i, 10), et_set(y, i, 10);
    }
    et_tensor *other = et_full(ET_F32, ET_SHAPE(2, 4, 3), 10), *none = et_zeros(ET_F32, ET_SHAPE(2, 0));
    ck_assert(!et_allclose(x, other, 1, 1, true) && et_allclose(none, none, 0, 0, false));
    et_free(x), et_free(y), et_free(base), et_free(other), et_free(none);
}
END_TEST

START_TEST(equality)
{
    et_tensor *base, *x = et_zeros(dtypes[_i], ET_SHAPE(2, 3, 4)), *y;

    for (int64_t k = 0; k < 24; k++)
        et_set(x, (const int64_t[]){k / 12, k / 4 % 3, k % 4}, value(x->dtype, k));
    y = twin(x, x->dtype, &base); /* NaN among them */
    ck_assert(et_equal(x, y));
    for (int64_t k = 0; k < 24; k++) {
        const int64_t i[3] = {k / 12, k / 4 % 3, k % 4};
        const double was = et_get(x, i);
        et_set(y, i, was == 1 ? 2 : 1);
        ck_assert(!et_equal(x, y) && !et_equal(y, x));
        et_set(y, i, 0), et_set(x, i, -0.0);
        ck_assert(et_equal(x, y) == (x->dtype == ET_I32 || x->dtype == ET_U8)); /* the sign is a bit */
        et_set(y, i, was), et_set(x, i, was);
    }
    et_tensor *other = et_to(x, x->dtype == ET_F32 ? ET_F64 : ET_F32);
    ck_assert(!et_equal(x, other));
    et_free(x), et_free(y), et_free(base), et_free(other);
}
END_TEST

START_TEST(relative_errors)
{
    const double inf = (double)INFINITY;
    et_tensor *x = et_from(ET_F64, ET_SHAPE(3), (const double[]){3, 0, 7});
    et_tensor *y = et_from(ET_F64, ET_SHAPE(3), (const double[]){0, 4, 7});
    et_tensor *zero = et_zeros(ET_F64, ET_SHAPE(3));
    et_tensor *large = et_from(ET_F64, ET_SHAPE(3), (const double[]){inf, -inf, 7});

    ck_assert_double_eq_tol(et_relative_error(x, y), 5 / sqrt(65), 1e-15);
    ck_assert_double_eq_tol(et_relative_error(y, x), 5 / sqrt(58), 1e-15);
    ck_assert(et_relative_error(x, x) == 0 && et_relative_error(large, large) == 0);
    ck_assert(et_relative_error(zero, zero) == 0 && et_relative_error(x, zero) > 1e300 &&
              isfinite(et_relative_error(x, zero)));
    ck_assert(!(et_relative_error(large, x) <= 1e300) && !(et_relative_error(x, large) <= 1e300));
    et_free(x), et_free(y), et_free(zero), et_free(large);
}
END_TEST

/* The first that is not finite is named by its index, whatever the strides. */
START_TEST(finiteness)
{
    et_tensor *base, *x = layout(_i % WRITABLE, dtypes[_i / WRITABLE], (const int64_t[]){2, 3, 4}, &base);
    const bool real = x->dtype != ET_I32 && x->dtype != ET_U8;
    char words[40];

    ck_assert_int_eq(et_fill(x, 2), ET_OK);
    ck_assert_int_eq(et_check_finite(x, "x"), ET_OK);
    for (int64_t k = 23; k >= 0; k--) {
        const int64_t i[3] = {k / 12, k / 4 % 3, k % 4};
        et_set(x, i, k % 2 ? (double)NAN : -(double)INFINITY);
        snprintf(words, sizeof words, "x: element [%d, %d, %d] is", (int)i[0], (int)i[1], (int)i[2]);
        fails(et_check_finite(x, "x"), real ? ET_ENONFINITE : ET_OK, real ? words : "");
    }
    et_free(x), et_free(base);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("copy");
    TCase *tc = tcase_create("copy");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, copies, 0, 3 * N_DTYPES * N_DTYPES);
    tcase_add_loop_test(tc, permutations, 0, N_DTYPES);
    tcase_add_loop_test(tc, fills, 0, N_DTYPES);
    tcase_add_loop_test(tc, single_elements, 0, N_DTYPES);
    tcase_add_test(tc, closeness);
    tcase_add_loop_test(tc, equality, 0, N_DTYPES);
    tcase_add_test(tc, relative_errors);
    tcase_add_loop_test(tc, finiteness, 0, N_DTYPES * WRITABLE);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
