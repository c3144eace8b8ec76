/* Reductions, row kernels, rows of convolutions and optimiser steps of every table of this machine
 * against slow definitions in double, or wider. */
#include "config.h"

#include <stdio.h>

#include "tests/kernel_arrays.h"
#include "tests/suite.h"

static array x, y, z, w, g, mask, mean, rstd, gamma_, beta_;

/* --- reductions ------------------------------------------------------------------ */

/* A sum in twice the precision of double (Dekker 1971): long double is no wider everywhere. */
typedef struct exact {
    double high, low;
} exact;

/* *s += a b. */
static void add_product(exact *s, double a, double b)
{
    double p = a * b, sum = s->high + p, part = sum - s->high;

    s->low += (s->high - (sum - part)) + (p - part) + fma(a, b, -p);
    s->high = sum;
}

START_TEST(sums)
{
    const et_kernels *k = table_at(_i);
    const int64_t lengths[] = {0,   1,   2,    15,   16,   17,   63,   64,   65,
                               127, 129, 1000, 1023, 1024, 1025, 2049, 4096, 4200};

    fill_random(&x, k->dtype, 1, 1);
    fill_random(&y, k->dtype, 2, 1e3);
    for (int64_t i = 0; i < ARRAY_MAX; i += 7)
        put(&x, i, get(&x, i) * 1e6); /* much cancels */
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        const int64_t n = lengths[l];
        exact s = {0, 0}, sq = {0, 0}, dot = {0, 0};
        double as = 0, adot = 0;

        for (int64_t i = 0; i < n; i++) {
            double p = get(&x, i), q = get(&y, i);
            add_product(&s, p, 1);
            as += fabs(p);
            add_product(&sq, p, p);
            add_product(&dot, p, q);
            adot += fabs(p * q);
        }
        assert_near(k->sum(n, at(&x, 0)), s.high + s.low, 4 * DBL_EPSILON * as, "%s sum of %d", k->name,
                    (int)n);
        assert_near(k->sum_sq(n, at(&x, 0)), sq.high + sq.low, 16 * DBL_EPSILON * sq.high, "%s sum_sq of %d",
                    k->name, (int)n);
        assert_near(k->dot(n, at(&x, 0), at(&y, 0)), dot.high + dot.low, 16 * DBL_EPSILON * adot,
                    "%s dot of %d", k->name, (int)n);
    }
    /* ten million equal terms: a sum in float would stop growing */
    if (k->dtype == ET_F32) {
        const float tenth = 0.1f; /* the constant itself may be wider (FLT_EVAL_METHOD) */
        float *many = malloc(sizeof *many * 10000000);

        ck_assert_ptr_nonnull(many);
        for (int i = 0; i < 10000000; i++)
            many[i] = tenth;
        assert_near(k->sum(10000000, many), 1e7 * (double)tenth, 1e-6, "%s long sum", k->name);
        free(many);
    }
}
END_TEST

START_TEST(extremes)
{
    const et_kernels *k = table_at(_i);
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);

    ck_assert(k->max(0, NULL) == (double)-INFINITY && k->min(0, NULL) == (double)INFINITY);
    ck_assert_int_eq(k->all_finite(0, NULL), 1);
    for (int l = 0; l < n_lengths; l++) {
        const int64_t n = lengths[l];
        double most = -INFINITY, least = INFINITY;
        int64_t first = 0;

        if (n < 1)
            continue;
        fill_random(&x, k->dtype, 60 + (uint32_t)l, 3);
        for (int64_t i = 0; i < n; i++) {
            put(&x, i, floor(get(&x, i) * 4)); /* ties */
            least = get(&x, i) < least ? get(&x, i) : least;
            if (get(&x, i) > most) {
                most = get(&x, i);
                first = i;
            }
        }
        put(&x, n, 1e9); /* beyond the end */
        ck_assert(k->max(n, at(&x, 0)) == most && k->min(n, at(&x, 0)) == least);
        ck_assert_int_eq(k->extremum(n, at(&x, 0), false), first);
        for (int64_t i = 0; i < n; i++)
            if (get(&x, i) == least) {
                ck_assert_int_eq(k->extremum(n, at(&x, 0), true), i);
                break;
            }
        ck_assert_int_eq(k->all_finite(n, at(&x, 0)), 1);
        for (int64_t i = 0; i<n; i += n> 40 ? 13 : 1) {
            const double old = get(&x, i);

            put(&x, i, NAN);
            ck_assert_msg(isnan(k->max(n, at(&x, 0))) && isnan(k->min(n, at(&x, 0))), "%s NaN at %d of %d",
                          k->name, (int)i, (int)n);
            ck_assert_int_eq(k->extremum(n, at(&x, 0), false), i);
            ck_assert_int_eq(k->extremum(n, at(&x, 0), true), i);
            ck_assert_int_eq(k->all_finite(n, at(&x, 0)), 0);
            put(&x, i, INFINITY);
            ck_assert(k->max(n, at(&x, 0)) == (double)INFINITY);
            ck_assert_int_eq(k->extremum(n, at(&x, 0), false), i);
            ck_assert_int_eq(k->all_finite(n, at(&x, 0)), 0);
            put(&x, i, -INFINITY);
            ck_assert(k->min(n, at(&x, 0)) == (double)-INFINITY);
            ck_assert_int_eq(k->all_finite(n, at(&x, 0)), 0);
            put(&x, i, old);
        }
    }
    for (int64_t i = 0; i < 100; i++)
        put(&x, i, -INFINITY);
    ck_assert(k->max(100, at(&x, 0)) == (double)-INFINITY);
    ck_assert_int_eq(k->extremum(100, at(&x, 0), false), 0);
    /* of more than is looked at together */
    fill_random(&x, k->dtype, 59, 3);
    for (int64_t n = ARRAY_MAX - 9; n <= ARRAY_MAX; n++)
        for (int64_t i = n; i > 0; i -= i > 4000 ? 1 : 500) {
            const double old = get(&x, i);
            put(&x, i, NAN);
            ck_assert_int_eq(k->all_finite(n, at(&x, 0)), i == n);
            put(&x, i, old);
        }
}
END_TEST

/* The first of the equal, or the first NaN, down each column; columns in a wider matrix. */
START_TEST(column_extremes)
{
    const et_kernels *k = table_at(_i);
    static const int64_t heights[] = {1, 2, 3, 20};
    static int32_t places[ARRAY_MAX];
    int64_t lengths[16];
    const int n_lengths = lengths_of(k, lengths);

    for (int l = 0; l < 2 * 4 * n_lengths; l++) {
        const int64_t cols = lengths[l / 8], rows = heights[l / 2 % 4], ld = cols + 3;
        const int min = l % 2;

        if (cols < 0 || rows * ld > ARRAY_MAX)
            continue;
        fill_random(&x, k->dtype, 80 + (uint32_t)l, 3);
        for (int64_t i = 0; i < rows * ld; i++)
            put(&x, i, i % 37 == 5 ? (double)NAN : floor(get(&x, i)));
        places[cols] = 77;
        k->col_extremum(rows, cols, at(&x, 0), ld, min, places);
        ck_assert_int_eq(places[cols], 77);
        for (int64_t j = 0; j < cols; j++) {
            int64_t best = 0;
            for (int64_t r = 1; r < rows; r++) {
                const double v = get(&x, r * ld + j), top = get(&x, best * ld + j);
                if (!isnan(top) && (isnan(v) || (min ? v < top : v > top)))
                    best = r;
            }
            ck_assert_msg(places[j] == best, "%s: %s of column %d of %d: %d, not %d", k->name,
                          min ? "minimum" : "maximum", (int)j, (int)cols, places[j], (int)best);
        }
    }
}
END_TEST

/* Of none, of one and of many whole numbers, 0 among them or not. */
START_TEST(ranges)
{
    const et_kernels *k = table_at(_i);
    int32_t ids[40], least, most;
    uint32_t seed = 3;

    for (int n = 0; n <= 40; n++)
        for (int sign = -1; sign < 2; sign++) {
            int32_t low = 0, high = 0;
            for (int i = 0; i < n; i++) {
                const double v = 1 + (INT32_MAX - 1) * draw(&seed);
                ids[i] = (int32_t)(sign ? sign * fabs(v) : v);
                low = ids[i] < low ? ids[i] : low;
                high = ids[i] > high ? ids[i] : high;
            }
            k->range(n, ids, &least, &most);
            ck_assert(least == low && most == high);
        }
}
END_TEST

START_TEST(column_sums)
{
    const et_kernels *k = table_at(_i);
    const int64_t shapes[][3] = {{0, 5, 5},     {1, 1, 1},     {1, 17, 20},  {2, 16, 16},
                                 {15, 31, 31},  {16, 33, 40},  {17, 7, 7},   {33, 100, 101},
                                 {4, 300, 300}, {130, 32, 32}, {7, 513, 600}};

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int acc = 0; acc < 2; acc++) {
            const int64_t rows = shapes[s][0], cols = shapes[s][1], ld = shapes[s][2];

            fill_random(&x, k->dtype, 9, 2);
            fill_random(&y, k->dtype, 10, 2);
            z = y;
            k->col_sum(rows, cols, at(&x, 0), ld, at(&y, 0), acc);
            for (int64_t j = 0; j < cols; j++) {
                double sum = acc ? get(&z, j) : 0, size = fabs(sum);

                for (int64_t i = 0; i < rows; i++) {
                    sum += get(&x, i * ld + j);
                    size += fabs(get(&x, i * ld + j));
                }
                assert_near(get(&y, j), sum, 3 * eps_of(k) * size, "%s col_sum %dx%d [%d]", k->name,
                            (int)rows, (int)cols, (int)j);
            }
            ck_assert(same_bits(&y, &z, cols, ARRAY_MAX));
        }
}
END_TEST

START_TEST(row_sums)
{
    const et_kernels *k = table_at(_i);
    const int64_t shapes[][3] = {{1, 0, 3},   {1, 1, 1},    {3, 2, 2},      {4, 5, 5},   {7, 8, 9},
                                 {9, 31, 31}, {5, 32, 33},  {6, 33, 40},    {8, 64, 70}, {3, 100, 101},
                                 {5, 131, 131}, {2, 1024, 1030}, {2, 1025, 1025}};
    double sum[16], alone;

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t rows = shapes[s][0], cols = shapes[s][1], ld = shapes[s][2];
        fill_random(&x, k->dtype, 11, 2);
        sum[rows] = 77;
        k->row_sums(rows, cols, at(&x, 0), ld, sum);
        ck_assert(sum[rows] == 77);
        for (int64_t r = 0; r < rows; r++) {
            double want = 0, size = 0;
            for (int64_t j = 0; j < cols; j++) {
                want += get(&x, r * ld + j);
                size += fabs(get(&x, r * ld + j));
            }
            assert_near(sum[r], want, 8 * DBL_EPSILON * size, "%s row_sums %dx%d [%d]", k->name, (int)rows,
                        (int)cols, (int)r);
            k->row_sums(1, cols, at(&x, r * ld), ld, &alone); /* whatever rows are beside it */
            ck_assert(alone == sum[r]);
        }
    }
}
END_TEST

/* What lies where, by its bits, from memory that ends with the last element; and nothing beside it. */
START_TEST(transposes)
{
    const et_kernels *k = table_at(_i);
    const int64_t shapes[][4] = {{1, 1, 1, 1},    {3, 5, 3, 5},    {16, 16, 16, 16}, {17, 33, 20, 40},
                                 {40, 2, 41, 2},  {2, 40, 2, 41},  {32, 48, 32, 48}, {8, 4, 9, 7},
                                 {7, 50, 7, 51},  {45, 6, 47, 6},  {4, 4, 4, 4},     {5, 3, 6, 3},
                                 {3, 37, 3, 37},  {2, 21, 2, 21},  {1, 8, 1, 8},     {50, 2, 50, 3},
                                 {2, 6, 3, 7}};
    const size_t size = et_dtype_size(k->dtype);

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t m = shapes[s][0], n = shapes[s][1], ldf = shapes[s][2], ldt = shapes[s][3];
        fill_random(&x, k->dtype, 12, 2);
        fill_random(&y, k->dtype, 13, 2);
        memset(at(&x, 0), 0xff, size);    /* a NaN, */
        memset(at(&x, ldf), 0x01, size); /* and a number that is next to nothing */
        z = y;
        const size_t bytes = (size_t)((n - 1) * ldf + m) * size;
        void *source = malloc(bytes);
        ck_assert(source != NULL);
        memcpy(source, at(&x, 0), bytes);
        k->transpose(m, n, source, ldf, at(&y, 0), ldt);
        free(source);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++)
                memcpy(at(&z, i * ldt + j), at(&x, j * ldf + i), size);
        ck_assert_msg(same_bits(&y, &z, 0, ARRAY_MAX), "%s transpose %dx%d", k->name, (int)m, (int)n);
    }
}
END_TEST

/* --- softmax and its relatives ----------------------------------------------------- */

/* p = softmax(x + mask), by definition; returns ln sum e^(x + mask), -inf for a row of -inf. */
static double softmax_by_definition(int64_t n, const array *from, int64_t first, const array *m,
                                    int64_t mfirst, double *p)
{
    double top = -INFINITY, sum = 0;

    for (int64_t j = 0; j < n; j++) {
        p[j] = get(from, first + j) + (m ? get(m, mfirst + j) : 0);
        top = p[j] > top ? p[j] : top;
    }
    if (top == (double)-INFINITY) {
        memset(p, 0, (size_t)n * sizeof *p);
        return -INFINITY;
    }
    for (int64_t j = 0; j < n; j++) {
        p[j] = exp(p[j] - top);
        sum += p[j];
    }
    for (int64_t j = 0; j < n; j++)
        p[j] /= sum;
    return top + log(sum);
}

START_TEST(softmaxes)
{
    const et_kernels *k = table_at(_i);
    const int64_t widths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 57, 63, 64, 65, 100, 255, 700, 1300};
    const double eps = eps_of(k);
    static double p[ARRAY_MAX];

    for (size_t c = 0; c < sizeof widths / sizeof widths[0]; c++)
        for (int masked = 0; masked < 3; masked++) {
            const int64_t n = widths[c], rows = 3, ldm = masked == 2 ? n : 0;

            fill_random(&x, k->dtype, 70, 8);
            fill_random(&mask, k->dtype, 71, 1);
            fill_random(&y, k->dtype, 72, 1);
            fill_random(&g, k->dtype, 73, 1);
            z = y;
            for (int64_t i = 0; i < rows * n; i++)
                if (get(&mask, i) < -0.5)
                    put(&mask, i, -INFINITY);
            if (n > 1)
                put(&x, n + 1, -INFINITY);
            for (int64_t j = 0; j < n; j++)
                put(&x, 2 * n + j, masked ? get(&x, 2 * n + j) : -INFINITY);
            k->softmax(rows, n, at(&x, 0), masked ? at(&mask, 0) : NULL, ldm, at(&y, 0));
            for (int64_t r = 0; r < rows; r++) {
                softmax_by_definition(n, &x, r * n, masked ? &mask : NULL, r * ldm, p);
                for (int64_t j = 0; j < n; j++)
                    assert_near(get(&y, r * n + j), p[j], 24 * eps * p[j] + 1e-38,
                                "%s softmax row %d of %d [%d]", k->name, (int)r, (int)n, (int)j);
            }
            ck_assert(same_bits(&y, &z, rows * n, ARRAY_MAX));
            z = x;
            k->softmax(rows, n, at(&z, 0), masked ? at(&mask, 0) : NULL, ldm, at(&z, 0));
            ck_assert_msg(same_bits(&z, &y, 0, rows * n), "%s softmax in place, %d", k->name, (int)n);

            for (int acc = 0; acc < 2; acc++) {
                z = x;
                for (int64_t j = 0; j < n; j++)
                    put(&z, 2 * n + j, 0.5), put(&z, n + 1, 0.5);
                w = z;
                k->softmax_bwd(rows, n, at(&y, 0), at(&g, 0), at(&z, 0), acc);
                for (int64_t r = 0; r < rows; r++) {
                    double inner = 0;

                    for (int64_t j = 0; j < n; j++)
                        inner += get(&y, r * n + j) * get(&g, r * n + j);
                    for (int64_t j = 0; j < n; j++) {
                        double old = acc ? get(&w, r * n + j) : 0;
                        double exact = get(&y, r * n + j) * (get(&g, r * n + j) - inner) + old;
                        assert_near(get(&z, r * n + j), exact, 8 * eps * (1 + fabs(old)), "%s softmax_bwd %d",
                                    k->name, (int)n);
                    }
                }
                ck_assert(same_bits(&z, &w, rows * n, ARRAY_MAX));
            }
            z = g;
            k->softmax_bwd(rows, n, at(&y, 0), at(&z, 0), at(&z, 0), 0);
            w = g;
            k->softmax_bwd(rows, n, at(&y, 0), at(&g, 0), at(&w, 0), 0);
            ck_assert(same_bits(&z, &w, 0, rows * n));
        }
    /* a NaN spoils its row, beside -inf too, and no other */
    fill_random(&x, k->dtype, 74, 1);
    for (int64_t j = 0; j < 40; j++)
        put(&x, 40 + j, -INFINITY);
    put(&x, 47, NAN);
    k->softmax(3, 40, at(&x, 0), NULL, 0, at(&y, 0));
    ck_assert(isfinite(get(&y, 39)) && isnan(get(&y, 40)) && isnan(get(&y, 47)) && isnan(get(&y, 79)) &&
              isfinite(get(&y, 80)));
    /* large numbers do not overflow */
    for (int64_t j = 0; j < 20; j++)
        put(&x, j, 3e38);
    k->softmax(1, 20, at(&x, 0), NULL, 0, at(&y, 0));
    assert_near(get(&y, 19), 0.05, 2 * eps, "%s softmax of large numbers", k->name);
}
END_TEST

/* More rows than are taken together; of them one of -inf, one with NaN beside numbers, one beside -inf. */
START_TEST(attention_rows)
{
    const et_kernels *k = table_at(_i);
    const int64_t shapes[][2] = {{1, 1}, {4, 1}, {5, 7}, {6, 64}, {3, 700}, {64, 33}, {65, 16}, {131, 31}};
    const double eps = eps_of(k);
    static double p[ARRAY_MAX];

    for (size_t c = 0; c < sizeof shapes / sizeof shapes[0]; c++)
        for (int masked = 0; masked < 3; masked++) {
            const int64_t rows = shapes[c][0], n = shapes[c][1], ldm = masked == 2 ? n : 0;
            const int64_t none = rows / 2, spoilt = rows - 1, both = rows - 2;
            const void *m = masked ? at(&mask, 0) : NULL;

            fill_random(&x, k->dtype, 90, 8);
            fill_random(&mask, k->dtype, 91, 1);
            fill_random(&mean, k->dtype, 92, 1);
            fill_random(&rstd, k->dtype, 93, 1);
            for (int64_t i = 1; i < rows * n; i++)
                if (get(&mask, i) < -0.5 && i % n)
                    put(&mask, i, -INFINITY);
            for (int64_t j = 0; j < n && rows > 3; j++)
                put(&x, none * n + j, -INFINITY), put(&x, both * n + j, -INFINITY);
            if (rows > 3)
                put(&x, spoilt * n + n / 2, NAN), put(&x, both * n + n - 1, NAN);
            y = x, z = x, w = mean, g = rstd;
            k->attn_softmax(rows, n, at(&y, 0), m, ldm, at(&mean, 0), at(&rstd, 0));
            for (int64_t r = 0; r < rows; r++) {
                const double inv = get(&rstd, r);
                const bool bad = rows > 3 && (r == spoilt || r == both);
                const double lse = softmax_by_definition(n, &x, r * n, masked ? &mask : NULL, r * ldm, p);
                double top = 0;

                assert_near(get(&mean, r), bad ? (double)NAN : lse, 8 * eps * (1 + fabs(lse)),
                            "%s lse %d of %d", k->name, (int)r, (int)rows);
                for (int64_t j = 0; j < n; j++) {
                    const double s = get(&y, r * n + j);
                    assert_near(s * inv, bad ? (double)NAN : p[j], 24 * eps * p[j] + 1e-38,
                                "%s attn_softmax row %d of %d [%d]", k->name, (int)r, (int)rows, (int)j);
                    top = s > top ? s : top;
                }
                if (!bad)
                    assert_near(top, rows > 3 && r == none ? 0 : 1, 4 * eps, "%s largest of row %d", k->name,
                                (int)r);
            }
            ck_assert(same_bits(&y, &x, rows * n, ARRAY_MAX + ARRAY_GUARD));
            ck_assert(same_bits(&mean, &w, rows, ARRAY_MAX) && same_bits(&rstd, &g, rows, ARRAY_MAX));
            w = x;
            k->attn_softmax(rows, n, at(&w, 0), m, ldm, NULL, at(&g, 0)); /* the logarithms are not wanted */
            ck_assert(same_bits(&w, &y, 0, rows * n) && same_bits(&g, &rstd, 0, rows));

            k->attn_weights(rows, n, at(&z, 0), m, ldm, at(&mean, 0));
            for (int64_t r = 0; r < rows; r++) {
                const bool bad = rows > 3 && (r == spoilt || r == both);
                softmax_by_definition(n, &x, r * n, masked ? &mask : NULL, r * ldm, p);
                for (int64_t j = 0; j < n; j++)
                    assert_near(get(&z, r * n + j), bad ? (double)NAN : p[j], 64 * eps * p[j] + 1e-38,
                                "%s attn_weights row %d of %d [%d]", k->name, (int)r, (int)rows, (int)j);
            }
            ck_assert(same_bits(&z, &x, rows * n, ARRAY_MAX + ARRAY_GUARD));
        }
    /* scores that are made again may be a little larger than they were: no weight is more than 1 */
    for (int64_t i = 0; i < 40; i++)
        put(&x, i, 1), put(&mask, i, 0), put(&mean, i, 0.999);
    for (int masked = 0; masked < 2; masked++) {
        y = x;
        k->attn_weights(2, 20, at(&y, 0), masked ? at(&mask, 0) : NULL, 0, at(&mean, 0));
        for (int64_t i = 0; i < 40; i++)
            assert_near(get(&y, i), 1, 0, "%s attn_weights at most", k->name);
    }
}
END_TEST

/* --- rows of convolutions ---------------------------------------------------------------- */

START_TEST(scatters)
{
    const et_kernels *k = table_at(_i);
    const int64_t widths[] = {1, 2, 5, 16, 17, 40}, counts[] = {1, 3, 8, 17, 35};

    for (size_t a = 0; a < sizeof widths / sizeof *widths; a++)
        for (size_t b = 0; b < sizeof counts / sizeof *counts; b++)
            for (int64_t step = 1; step < 4; step++)
                for (int64_t start = -9; start < widths[a] + 2; start++) {
                    const int64_t rows = 3, width = widths[a], n = counts[b], lds = n + 2, ldd = width + 3;

                    fill_random(&x, k->dtype, 95, 1);
                    fill_random(&y, k->dtype, 96, 1);
                    z = y;
                    for (int64_t i = 0; i < rows * n; i++) {
                        const int64_t r = i / n, to = start + i % n * step;
                        if (to >= 0 && to < width)
                            put(&z, r * ldd + to, get(&z, r * ldd + to) + get(&x, r * lds + i % n));
                    }
                    k->conv_scatter(rows, at(&x, 0), lds, at(&y, 0), ldd, width, start, step, n);
                    ck_assert_msg(same_bits(&y, &z, 0, ARRAY_MAX), "%s: %d numbers to %d .. by %d of %d",
                                  k->name, (int)n, (int)start, (int)step, (int)width);
                }
}
END_TEST

START_TEST(dots)
{
    const et_kernels *k = table_at(_i);
    const int64_t l = k->lanes, lengths[] = {1, l - 1, l, l + 1, 3 * l + 2};
    enum { OUTS = 8, TAPS = 20 };
    int64_t off[TAPS];
    double sums[OUTS * TAPS + 1];

    fill_random(&x, k->dtype, 97, 1);
    fill_random(&y, k->dtype, 98, 1);
    for (int64_t t = 0; t < TAPS; t++)
        off[t] = 3 + t * 31 % 47;
    for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++)
        for (int64_t outs = 1; outs <= OUTS; outs++)
            for (int64_t taps = 1; taps <= TAPS; taps++) {
                const int64_t n = lengths[c], rows = 1 + taps % 3, ld_row = n + 1, ld_out = rows * ld_row + 2;
                const int64_t step = 2 * n + 5;

                for (int64_t i = 0; i <= outs * taps; i++)
                    sums[i] = (double)i;
                if (n > 0)
                    k->conv_dots(outs, taps, rows, n, at(&x, 0), ld_out, ld_row, at(&y, 0), off, step, sums);
                for (int64_t i = 0; n > 0 && i < outs * taps; i++) {
                    double sum = 0, size = 0;

                    for (int64_t q = 0; q < rows * n; q++) {
                        const double p = get(&x, i / taps * ld_out + q / n * ld_row + q % n) *
                                         get(&y, off[i % taps] + q / n * step + q % n);
                        sum += p;
                        size += fabs(p);
                    }
                    assert_near(sums[i] - (double)i, sum, 16 * eps_of(k) * size + 1e-13,
                                "%s conv_dots of %d, channel %d of %d, tap %d of %d", k->name, (int)n,
                                (int)(i / taps), (int)outs, (int)(i % taps), (int)taps);
                }
                ck_assert(sums[outs * taps] == (double)(outs * taps));
            }
}
END_TEST

START_TEST(log_softmaxes)
{
    const et_kernels *k = table_at(_i);
    const int64_t widths[] = {1, 2, 3, 10, 15, 16, 17, 33, 64, 100, 257, 1300};
    const double eps = eps_of(k);
    static double p[ARRAY_MAX];

    for (size_t c = 0; c < sizeof widths / sizeof widths[0]; c++) {
        const int64_t n = widths[c], rows = 3;

        fill_random(&x, k->dtype, 80, 8);
        fill_random(&g, k->dtype, 81, 1);
        fill_random(&y, k->dtype, 82, 1);
        z = y;
        k->log_softmax(rows, n, at(&x, 0), at(&y, 0));
        k->logsumexp(rows, n, at(&x, 0), at(&w, 0));
        w.dtype = k->dtype;
        for (int64_t r = 0; r < rows; r++) {
            double lse = softmax_by_definition(n, &x, r * n, NULL, 0, p);

            assert_near(get(&w, r), lse, 4 * eps * (1 + fabs(lse)), "%s logsumexp of %d", k->name, (int)n);
            for (int64_t j = 0; j < n; j++)
                assert_near(get(&y, r * n + j), get(&x, r * n + j) - lse, 16 * eps * (1 + fabs(lse)),
                            "%s log_softmax of %d", k->name, (int)n);
        }
        ck_assert(same_bits(&y, &z, rows * n, ARRAY_MAX));
        for (int acc = 0; acc < 2; acc++) {
            z = x;
            k->log_softmax_bwd(rows, n, at(&y, 0), at(&g, 0), at(&z, 0), acc);
            for (int64_t r = 0; r < rows; r++) {
                double sum = 0, size = 1;

                for (int64_t j = 0; j < n; j++) {
                    sum += get(&g, r * n + j);
                    size += fabs(get(&g, r * n + j));
                }
                for (int64_t j = 0; j < n; j++) {
                    double old = acc ? get(&x, r * n + j) : 0;
                    assert_near(get(&z, r * n + j), get(&g, r * n + j) - exp(get(&y, r * n + j)) * sum + old,
                                4 * eps * (size + fabs(old)), "%s log_softmax_bwd of %d", k->name, (int)n);
                }
            }
            ck_assert(same_bits(&z, &x, rows * n, ARRAY_MAX));
        }
    }
    for (int64_t j = 0; j < 20; j++)
        put(&x, j, -INFINITY), put(&x, 20 + j, j == 3 ? (double)INFINITY : 0),
            put(&x, 40 + j, j == 3 ? NAN : (double)-INFINITY);
    k->logsumexp(3, 20, at(&x, 0), at(&w, 0));
    ck_assert(get(&w, 0) == (double)-INFINITY && get(&w, 1) == (double)INFINITY && isnan(get(&w, 2)));
}
END_TEST

/* --- layer norm --------------------------------------------------------------------- */

START_TEST(layer_norms)
{
    const et_kernels *k = table_at(_i);
    const int64_t shapes[][2] = {{3, 1},  {1, 2},   {2, 15},   {3, 16},  {2, 17},
                                 {5, 33}, {17, 64}, {33, 100}, {3, 300}, {2, 1300}};
    const double eps = eps_of(k), e = 1e-3;

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int form = 0; form < 8; form++) {
            const int64_t rows = shapes[s][0], n = shapes[s][1];
            const int with_gamma = form & 1, with_beta = form >> 1 & 1, acc = form >> 2;
            static double dgamma[1500], dbeta[1500], gsize[1500];

            fill_random(&x, k->dtype, 90, 1);
            for (int64_t i = 0; i < rows * n; i++)
                put(&x, i, get(&x, i) + 20); /* mean large against the spread */
            fill_random(&gamma_, k->dtype, 91, 2);
            fill_random(&beta_, k->dtype, 92, 2);
            fill_random(&g, k->dtype, 93, 1);
            fill_random(&y, k->dtype, 94, 1);
            mean.dtype = rstd.dtype = k->dtype;
            z = y;
            k->layer_norm(rows, n, at(&x, 0), with_gamma ? at(&gamma_, 0) : NULL,
                          with_beta ? at(&beta_, 0) : NULL, e, at(&y, 0), at(&mean, 0), at(&rstd, 0));
            ck_assert(same_bits(&y, &z, rows * n, ARRAY_MAX));
            w = x;
            k->layer_norm(rows, n, at(&w, 0), with_gamma ? at(&gamma_, 0) : NULL,
                          with_beta ? at(&beta_, 0) : NULL, e, at(&w, 0), NULL, NULL);
            ck_assert(same_bits(&w, &y, 0, rows * n));
            fill_random(&w, k->dtype, 97, 1);
            k->layer_norm_again(rows, n, at(&x, 0), with_gamma ? at(&gamma_, 0) : NULL,
                                with_beta ? at(&beta_, 0) : NULL, at(&mean, 0), at(&rstd, 0), at(&w, 0));
            ck_assert(same_bits(&w, &y, 0, rows * n));

            /* what backward adds to */
            fill_random(&w, k->dtype, 95, 1);
            z = w;
            array *old_gamma = &mask, *old_beta = &beta_; /* spare arrays */
            fill_random(old_gamma, k->dtype, 96, 1);
            for (int64_t j = 0; j < n; j++) {
                dgamma[j] = get(old_gamma, j);
                dbeta[j] = get(old_beta, j);
                gsize[j] = 1;
            }
            const array beta_before = beta_;
            k->layer_norm_bwd(rows, n, at(&x, 0), with_gamma ? at(&gamma_, 0) : NULL, at(&mean, 0),
                              at(&rstd, 0), at(&g, 0), at(&w, 0), acc, at(old_gamma, 0), at(old_beta, 0));
            for (int64_t r = 0; r < rows; r++) {
                double m = 0, v = 0, sg = 0, sgx = 0, scale;

                for (int64_t j = 0; j < n; j++)
                    m += get(&x, r * n + j);
                m /= (double)n;
                for (int64_t j = 0; j < n; j++)
                    v += (get(&x, r * n + j) - m) * (get(&x, r * n + j) - m);
                scale = 1 / sqrt(v / (double)n + e);
                assert_near(get(&mean, r), m, 2 * eps * 20, "%s mean %dx%d", k->name, (int)rows, (int)n);
                assert_near(get(&rstd, r), scale, 100 * eps * scale, "%s rstd %dx%d", k->name, (int)rows,
                            (int)n);
                for (int64_t j = 0; j < n; j++) {
                    double xhat = (get(&x, r * n + j) - m) * scale, gj = get(&g, r * n + j);
                    double out = xhat * (with_gamma ? get(&gamma_, j) : 1) +
                                 (with_beta ? get(&beta_before, j) : 0);

                    assert_near(get(&y, r * n + j), out, 60 * eps * (1 + scale), "%s layer_norm %dx%d",
                                k->name, (int)rows, (int)n);
                    dgamma[j] += gj * xhat;
                    gsize[j] += fabs(gj) * (1 + fabs(xhat) + scale);
                    dbeta[j] += gj;
                    gj *= with_gamma ? get(&gamma_, j) : 1;
                    sg += gj;
                    sgx += gj * xhat;
                }
                for (int64_t j = 0; j < n; j++) {
                    double xhat = (get(&x, r * n + j) - m) * scale,
                           gj = get(&g, r * n + j) * (with_gamma ? get(&gamma_, j) : 1);
                    double dx = scale * (gj - sg / (double)n - xhat * sgx / (double)n) +
                                (acc ? get(&z, r * n + j) : 0);

                    assert_near(get(&w, r * n + j), dx, 200 * eps * (1 + scale * scale),
                                "%s layer_norm_bwd %dx%d", k->name, (int)rows, (int)n);
                }
            }
            for (int64_t j = 0; j < n; j++) {
                assert_near(get(old_gamma, j), dgamma[j], 40 * eps * gsize[j], "%s dgamma %dx%d", k->name,
                            (int)rows, (int)n);
                assert_near(get(old_beta, j), dbeta[j], 4 * eps * gsize[j], "%s dbeta %dx%d", k->name,
                            (int)rows, (int)n);
            }
            if (!acc) { /* dx may be dy, and the parameters' gradients may be absent */
                z = g;
                k->layer_norm_bwd(rows, n, at(&x, 0), with_gamma ? at(&gamma_, 0) : NULL, at(&mean, 0),
                                  at(&rstd, 0), at(&z, 0), at(&z, 0), 0, NULL, NULL);
                ck_assert(same_bits(&z, &w, 0, rows * n));
            }
        }
}
END_TEST

/* Sums of float over many equal rows do not lose what is small beside them; with dx and without. */
START_TEST(layer_norm_of_many_rows)
{
    enum { ROWS = 100000, COLS = 3, ALL = ROWS * COLS };
    const et_kernels *k = table_at(_i);
    const float tenth = 0.1f;
    float *one = malloc(sizeof *one * ALL), *dy = malloc(sizeof *dy * ALL), *dx = malloc(sizeof *dx * ALL);
    float *none = calloc(ROWS, sizeof *none);

    ck_assert(one && dy && dx && none);
    for (int i = 0; i < ALL; i++)
        one[i] = 1, dy[i] = tenth;
    for (int with_dx = 0; with_dx < 2 && k->dtype == ET_F32; with_dx++) {
        float dgamma[COLS] = {0}, dbeta[COLS] = {0};

        k->layer_norm_bwd(ROWS, COLS, one, NULL, none, one, dy, with_dx ? dx : NULL, 0, dgamma, dbeta);
        for (int j = 0; j < COLS; j++) {
            assert_near(dgamma[j], ROWS * (double)tenth, 0.02, "%s dgamma of many rows", k->name);
            assert_near(dbeta[j], ROWS * (double)tenth, 0.02, "%s dbeta of many rows", k->name);
        }
    }
    free(one), free(dy), free(dx), free(none);
}
END_TEST

/* --- optimisers ----------------------------------------------------------------------- */

START_TEST(sgd_steps)
{
    const et_kernels *k = table_at(_i);
    const double lr = 0.1, gscale = 0.5;

    for (int form = 0; form < 8; form++) {
        const double mu = form & 1 ? 0.9 : 0, decay = form & 2 ? 0.01 : 0;
        const int nesterov = form >> 2, n = 37;
        double dw[64], dbuf[64] = {0};

        fill_random(&w, k->dtype, 100, 1);
        fill_random(&y, k->dtype, 101, 1);
        for (int i = 0; i < n; i++)
            dw[i] = get(&w, i);
        for (int step = 0; step < 4; step++) {
            fill_random(&g, k->dtype, 102 + (uint32_t)step, 1);
            z = g;
            k->sgd(n, at(&w, 0), at(&g, 0), mu != 0 ? at(&y, 0) : NULL, lr, mu, nesterov, decay, gscale,
                   step == 0);
            for (int i = 0; i < n; i++) {
                double d = get(&z, i) * gscale + decay * dw[i];

                dbuf[i] = step == 0 ? d : mu * dbuf[i] + d;
                dw[i] -= lr * (mu == 0 ? d : nesterov ? d + mu * dbuf[i] : dbuf[i]);
                assert_near(get(&w, i), dw[i], 8 * eps_of(k), "%s sgd form %d step %d", k->name, form, step);
            }
            ck_assert(same_bits(&g, &z, 0, ARRAY_MAX));
        }
    }
}
END_TEST

START_TEST(adam_steps)
{
    const et_kernels *k = table_at(_i);
    const double lr = 0.01, b1 = 0.9, b2 = 0.999, e = 1e-8, gscale = 0.5;

    for (int form = 0; form < 4; form++) {
        const double decay = form & 1 ? 0.1 : 0;
        const int adamw = form >> 1, n = 45;
        double dw[64], dm[64] = {0}, dv[64] = {0};

        fill_random(&w, k->dtype, 110, 1);
        fill_random(&y, k->dtype, 0, 0);
        fill_random(&x, k->dtype, 0, 0);
        for (int i = 0; i < n; i++)
            dw[i] = get(&w, i);
        for (int step = 1; step <= 5; step++) {
            fill_random(&g, k->dtype, 120 + (uint32_t)step, 3);
            z = g;
            k->adam(n, at(&w, 0), at(&g, 0), at(&y, 0), at(&x, 0), lr, b1, b2, e, decay, adamw,
                    1 - pow(b1, step), 1 - pow(b2, step), gscale);
            for (int i = 0; i < n; i++) {
                double d = get(&z, i) * gscale + (adamw ? 0 : decay * dw[i]);

                dm[i] = b1 * dm[i] + (1 - b1) * d;
                dv[i] = b2 * dv[i] + (1 - b2) * d * d;
                if (adamw)
                    dw[i] -= lr * decay * dw[i];
                dw[i] -= lr * (dm[i] / (1 - pow(b1, step))) / (sqrt(dv[i] / (1 - pow(b2, step))) + e);
                assert_near(get(&w, i), dw[i], 8 * eps_of(k), "%s adam form %d step %d", k->name, form, step);
            }
            ck_assert(same_bits(&g, &z, 0, ARRAY_MAX));
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel rows");
    TCase *tc = tcase_create("rows");
    int tables = table_count();

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, sums, 0, tables);
    tcase_add_loop_test(tc, extremes, 0, tables);
    tcase_add_loop_test(tc, column_sums, 0, tables);
    tcase_add_loop_test(tc, column_extremes, 0, tables);
    tcase_add_loop_test(tc, ranges, 0, tables);
    tcase_add_loop_test(tc, row_sums, 0, tables);
    tcase_add_loop_test(tc, transposes, 0, tables);
    tcase_add_loop_test(tc, softmaxes, 0, tables);
    tcase_add_loop_test(tc, attention_rows, 0, tables);
    tcase_add_loop_test(tc, scatters, 0, tables);
    tcase_add_loop_test(tc, dots, 0, tables);
    tcase_add_loop_test(tc, log_softmaxes, 0, tables);
    tcase_add_loop_test(tc, layer_norms, 0, tables);
    tcase_add_loop_test(tc, layer_norm_of_many_rows, 0, tables);
    tcase_add_loop_test(tc, sgd_steps, 0, tables);
    tcase_add_loop_test(tc, adam_steps, 0, tables);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
