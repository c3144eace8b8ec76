/* Tensors of random numbers: independence from threads and strides, the formulas, the
 * distributions. Seeds are fixed: a statistical test either always passes or always fails;
 * its bounds are those that a true sample breaks once in a thousand. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tests/files.h"
#include "tests/rng_word.h"
#include "tests/suite.h"

enum { N = 100000 };

/* --- filling --------------------------------------------------------------------------- */

typedef et_status (*filler)(et_tensor *x, et_rng *r);

static et_status uniform(et_tensor *x, et_rng *r) { return et_fill_uniform(x, r, -2, 3); }
static et_status normal(et_tensor *x, et_rng *r) { return et_fill_normal(x, r, 1, 2); }
static et_status truncated(et_tensor *x, et_rng *r) { return et_fill_trunc_normal(x, r, 1, 2, 0.5, 4); }
static et_status tail(et_tensor *x, et_rng *r) { return et_fill_trunc_normal(x, r, 0, 1, 5, INFINITY); }
static et_status lower_tail(et_tensor *x, et_rng *r)
{
    return et_fill_trunc_normal(x, r, 0, 1, -INFINITY, -3);
}
static et_status bernoulli(et_tensor *x, et_rng *r) { return et_fill_bernoulli(x, r, 0.3); }
static et_status gumbel(et_tensor *x, et_rng *r) { return et_fill_gumbel(x, r); }

static double cdf_normal(double z) { return 0.5 * erfc(-z / sqrt(2)); }
static double cdf_uniform(double x) { return (x + 2) / 5; }
static double cdf_normal12(double x) { return cdf_normal((x - 1) / 2); }
static double cdf_truncated(double x)
{
    return (cdf_normal((x - 1) / 2) - cdf_normal(-0.25)) / (cdf_normal(1.5) - cdf_normal(-0.25));
}
static double cdf_tail(double x) { return 1 - cdf_normal(-x) / cdf_normal(-5); }
static double cdf_lower_tail(double x) { return cdf_normal(x) / cdf_normal(-3); }
static double cdf_gumbel(double x) { return exp(-exp(-x)); }

static const struct distribution {
    const char *name;
    filler fill;
    double (*cdf)(double x); /* NULL: not continuous */
    double lo, hi;           /* holds all but a negligible part */
} distributions[] = {{"uniform", uniform, cdf_uniform, -2, 3},
                     {"normal", normal, cdf_normal12, -19, 21},
                     {"truncated", truncated, cdf_truncated, 0.5, 4},
                     {"tail", tail, cdf_tail, 5, 9},
                     {"lower tail", lower_tail, cdf_lower_tail, -9, -3},
                     {"gumbel", gumbel, cdf_gumbel, -4, 40},
                     {"bernoulli", bernoulli, NULL, 0, 1}};
enum { N_DISTRIBUTIONS = sizeof distributions / sizeof distributions[0], N_CONTINUOUS = N_DISTRIBUTIONS - 1 };

static double value(const et_tensor *x, int64_t i)
{
    return x->dtype == ET_F32 ? (double)et_data_f32(x)[i] : et_data_f64(x)[i];
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov, and mean and variance against those of the cdf. */
START_TEST(distribution_fits)
{
    const struct distribution *d = &distributions[_i / 2];
    et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    et_rng r = et_rng_make(11, (uint64_t)_i);
    et_tensor *x = et_empty(dtype, ET_SHAPE(N));
    static double sorted[N];
    double ks = 0, sum = 0, sum2 = 0, mean = 0, var = 0, step = (d->hi - d->lo) / 100000, p, m, error;
    int i;

    ck_assert_int_eq(d->fill(x, &r), ET_OK);
    for (i = 0; i < N; i++) {
        sorted[i] = value(x, i);
        sum += sorted[i];
    }
    sum /= N;
    for (i = 0; i < N; i++)
        sum2 += (sorted[i] - sum) * (sorted[i] - sum);
    sum2 /= N;
    qsort(sorted, N, sizeof sorted[0], ascending);
    for (i = 0; i < N; i++) {
        p = d->cdf(sorted[i]);
        ks = fmax(ks, fmax(p - (double)i / N, (double)(i + 1) / N - p));
    }
    ck_assert_msg(ks * sqrt(N) < 1.95, "%s %s: Kolmogorov-Smirnov %g", d->name, et_dtype_name(dtype),
                  ks * sqrt(N));
    for (i = 0; i < 100000; i++) {
        m = d->lo + (i + 0.5) * step;
        p = d->cdf(m + step / 2) - d->cdf(m - step / 2);
        mean += p * m;
        var += p * m * m;
    }
    var -= mean * mean;
    error = sqrt(var / N);
    ck_assert_msg(fabs(sum - mean) < 3.3 * error, "%s: mean %g, expected %g +- %g", d->name, sum, mean,
                  error);
    ck_assert_msg(fabs(sum2 / var - 1) < 0.05, "%s: variance %g, expected %g", d->name, sum2, var);
    if (d->fill != normal && d->fill != gumbel)
        ck_assert_msg(sorted[0] >= d->lo && (sorted[N - 1] <= d->hi || d->fill == tail), "%s: %g .. %g",
                      d->name, sorted[0], sorted[N - 1]);
    et_free(x);
}
END_TEST

/* Neighbours, and numbers of one Box-Muller pair above all, are independent. */
START_TEST(neighbours_are_uncorrelated)
{
    const struct distribution *d = &distributions[_i];
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(N));
    et_rng r = et_rng_make(12, 0);
    double mean = 0, var = 0, lag1 = 0, a, b;
    int i;

    ck_assert_int_eq(d->fill(x, &r), ET_OK);
    for (i = 0; i < N; i++)
        mean += value(x, i) / N;
    for (i = 0; i < N; i++)
        var += (value(x, i) - mean) * (value(x, i) - mean) / N;
    for (i = 0; i + 1 < N; i++) {
        a = (value(x, i) - mean) / sqrt(var);
        b = (value(x, i + 1) - mean) / sqrt(var);
        lag1 += a * b;
    }
    ck_assert_msg(fabs(lag1) < 3.3 * sqrt(N), "%s: correlation %g", d->name, lag1 / N);
    et_free(x);
}
END_TEST

/* The i-th element takes the i-th draw: by pieces, by strides, and by threads. */
START_TEST(layout_does_not_matter)
{
    const struct distribution *d = &distributions[_i / 2];
    et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    et_rng r = et_rng_make(13, 7), s;
    int64_t shape[3] = {7, 11, 13}, strides[3] = {1, 7, 77};
    et_tensor *whole = et_empty(dtype, 3, shape), *block = et_empty(dtype, ET_SHAPE(13, 11, 7)), *view, *copy;
    int64_t half = 1001 / 2 / 2 * 2, rest = 1001 - half, one = 1;
    et_tensor *a, *b;

    r.counter = 5; /* not at the start of a block */
    s = r;
    ck_assert_int_eq(d->fill(whole, &r), ET_OK);
    view = et_raw_view(block, 3, shape, strides, 0);
    ck_assert_int_eq(d->fill(view, &s), ET_OK);
    ck_assert_uint_eq(r.counter, s.counter);
    copy = et_clone(view);
    ck_assert(et_equal(whole, copy));
    s.counter = 5;
    a = et_raw_view(copy, 1, &half, &one, 0);
    b = et_raw_view(copy, 1, &rest, &one, half);
    ck_assert_int_eq(et_fill(copy, -1), ET_OK);
    ck_assert_int_eq(d->fill(a, &s), ET_OK);
    ck_assert_int_eq(d->fill(b, &s), ET_OK);
    ck_assert(et_equal(whole, copy));
    et_free(a);
    et_free(b);
    et_free(copy);
    et_free(view);
    et_free(block);
    et_free(whole);
}
END_TEST

START_TEST(threads_do_not_matter)
{
    const struct distribution *d = &distributions[_i / 2];
    et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    et_tensor *one = et_empty(dtype, ET_SHAPE(200003)), *many = et_empty(dtype, ET_SHAPE(200003));
    int threads = et_get_num_threads(), t;
    et_rng r = et_rng_make(14, 0);

    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    ck_assert_int_eq(d->fill(one, &r), ET_OK);
    for (t = 2; t <= 8; t = t == 2 ? 3 : t + 5) {
        r = et_rng_make(14, 0);
        ck_assert_int_eq(et_set_num_threads(t), ET_OK);
        ck_assert_int_eq(d->fill(many, &r), ET_OK);
        ck_assert(et_equal(one, many));
    }
    et_set_num_threads(threads);
    et_free(one);
    et_free(many);
}
END_TEST

START_TEST(uniform_by_definition)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(1000)), *y = et_empty(ET_F64, ET_SHAPE(1000));
    et_rng r = et_rng_make(15, 3);
    uint64_t i;

    ck_assert_int_eq(et_fill_uniform(x, &r, 0, 1), ET_OK);
    ck_assert_uint_eq(r.counter, 1000);
    ck_assert_int_eq(et_fill_uniform(y, &r, 0, 1), ET_OK);
    ck_assert_uint_eq(r.counter, 3000);
    for (i = 0; i < 1000; i++) {
        double u = (word(15, 3, 1000 + 2 * i) >> 5) * 67108864.0 + (word(15, 3, 1001 + 2 * i) >> 6);

        ck_assert(et_data_f32(x)[i] == (float)ldexp(word(15, 3, i) >> 8, -24));
        ck_assert(et_data_f64(y)[i] == ldexp(u, -53));
    }
    et_free(x);
    et_free(y);
}
END_TEST

/* Box and Muller's formula; float32 to its precision. */
START_TEST(normal_by_definition)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(501)), *y = et_empty(ET_F64, ET_SHAPE(501));
    et_rng r = et_rng_make(16, 0), s = et_rng_make(17, 0);
    const double pi = acos(-1);
    uint64_t i, w;

    ck_assert_int_eq(et_fill_normal(x, &r, 0, 1), ET_OK);
    ck_assert_uint_eq(r.counter, 502);
    ck_assert_int_eq(et_fill_normal(y, &s, 0, 1), ET_OK);
    ck_assert_uint_eq(s.counter, 1004);
    for (i = 0; i < 501; i++) {
        double u, v, want;

        w = i / 2 * 2;
        u = (word(16, 0, w) + 0.5) / 4294967296.0;
        v = word(16, 0, w + 1) / 256 / 16777216.0;
        want = sqrt(-2 * log(u)) * (i % 2 ? sin(2 * pi * v) : cos(2 * pi * v));
        ck_assert_double_eq_tol(et_data_f32(x)[i], want, 3e-6);
        w = i / 2 * 4;
        u = ((word(17, 0, w) >> 5) * 67108864.0 + (word(17, 0, w + 1) >> 6) + 0.5) / 9007199254740992.0;
        v = ((word(17, 0, w + 2) >> 5) * 67108864.0 + (word(17, 0, w + 3) >> 6)) / 9007199254740992.0;
        want = sqrt(-2 * log(u)) * (i % 2 ? sin(2 * pi * v) : cos(2 * pi * v));
        ck_assert_double_eq_tol(et_data_f64(y)[i], want, 1e-13);
    }
    et_free(x);
    et_free(y);
}
END_TEST

/* The inverse of the distribution function: P(x) is the uniform number again. */
START_TEST(quantile_is_the_inverse)
{
    et_tensor *x = et_empty(ET_F64, ET_SHAPE(N));
    et_rng r = et_rng_make(18, 0);
    uint64_t i;

    ck_assert_int_eq(et_fill_trunc_normal(x, &r, 0, 1, -INFINITY, INFINITY), ET_OK);
    for (i = 0; i < N; i++) {
        double u = ((word(18, 0, 2 * i) >> 5) * 67108864.0 + (word(18, 0, 2 * i + 1) >> 6) + 0.5) /
                   9007199254740992.0;
        double p = cdf_normal(et_data_f64(x)[i]);

        ck_assert_msg(fabs(p - u) <= 2e-15 && fabs(p - u) <= 1e-13 * fmin(u, 1e9),
                      "P(%.17g) = %.17g, not %.17g", et_data_f64(x)[i], p, u);
    }
    et_free(x);
}
END_TEST

/* Rounding never lifts a draw to the upper bound. */
START_TEST(uniform_stays_below)
{
    static const double bounds[][2] = {
        {1, 1.0000002384185791}, {-1e-30, 1e-30}, {16777214, 16777216}, {-3, -1}, {0, 1.4e-45},
        {-1.5e38, 1.5e38}};
    et_tensor *x = et_empty(_i % 2 ? ET_F64 : ET_F32, ET_SHAPE(N));
    double lo = bounds[_i / 2][0], hi = bounds[_i / 2][1];
    et_rng r = et_rng_make(19, 0);
    int i;

    ck_assert_int_eq(et_fill_uniform(x, &r, lo, hi), ET_OK);
    for (i = 0; i < N; i++)
        ck_assert_msg(value(x, i) >= (_i % 2 ? lo : (double)(float)lo) &&
                          value(x, i) < (_i % 2 ? hi : (double)(float)hi),
                      "%.17g outside of [%.17g, %.17g)", value(x, i), lo, hi);
    ck_assert_int_eq(et_fill_uniform(x, &r, 2, 2), ET_OK);
    ck_assert(value(x, 0) == 2 && value(x, N - 1) == 2);
    et_free(x);
}
END_TEST

START_TEST(bernoulli_counts)
{
    static const double p[] = {0, 0.001, 0.3, 0.5, 0.999, 1};
    static const et_dtype dtypes[] = {ET_F32, ET_F64, ET_I32, ET_U8};
    et_tensor *x = et_empty(dtypes[_i], ET_SHAPE(N)), *real = et_empty(ET_F32, ET_SHAPE(N)), *same;
    size_t k;
    int i;

    for (k = 0; k < sizeof p / sizeof p[0]; k++) {
        et_rng r = et_rng_make(20, k), s = r;
        double ones = 0;

        ck_assert_int_eq(et_fill_bernoulli(x, &r, p[k]), ET_OK);
        ck_assert_int_eq(et_fill_bernoulli(real, &s, p[k]), ET_OK);
        same = et_to(x, ET_F32); /* the same draws whatever the dtype */
        ck_assert(et_equal(same, real));
        et_free(same);
        for (i = 0; i < N; i++) {
            double v = value(real, i);

            ck_assert(v == 0 || v == 1);
            ones += v;
        }
        ck_assert_msg(fabs(ones - N * p[k]) <= 3.3 * sqrt(N * p[k] * (1 - p[k])), "p %g: %g of %d", p[k],
                      ones, N);
    }
    et_free(x);
    et_free(real);
}
END_TEST

START_TEST(empty_and_scalar)
{
    et_tensor *none = et_empty(ET_F32, ET_SHAPE(3, 0, 2)), *one = et_empty(ET_F64, 0, NULL);
    et_rng r = et_rng_make(21, 0);
    int i;

    for (i = 0; i < N_DISTRIBUTIONS; i++) {
        r.counter = 0;
        ck_assert_int_eq(distributions[i].fill(none, &r), ET_OK);
        ck_assert_uint_eq(r.counter, 0);
        ck_assert_int_eq(distributions[i].fill(one, &r), ET_OK);
        ck_assert(isfinite(et_item(one)));
        ck_assert_uint_gt(r.counter, 0);
    }
    et_free(none);
    et_free(one);
}
END_TEST

START_TEST(default_generator)
{
    et_tensor *a = et_empty(ET_F32, ET_SHAPE(100)), *b = et_empty(ET_F32, ET_SHAPE(100));
    et_rng r = et_rng_make(22, 0);

    et_seed(22);
    ck_assert_int_eq(et_fill_normal(a, NULL, 0, 1), ET_OK);
    ck_assert_int_eq(et_fill_normal(b, &r, 0, 1), ET_OK);
    ck_assert(et_equal(a, b));
    ck_assert_uint_eq(et_rng_default()->counter, 100);
    ck_assert_uint_eq(et_rng_u32(NULL), word(22, 0, 100));
    et_free(a);
    et_free(b);
}
END_TEST

START_TEST(wrong_parameters)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(4)), *k = et_empty(ET_I32, ET_SHAPE(4)),
              *b = et_empty(ET_BF16, ET_SHAPE(4));
    et_rng r = et_rng_make(23, 0);

    fails(et_fill_uniform(NULL, &r, 0, 1), ET_EINVAL, "fill_uniform: the tensor is NULL");
    fails(et_fill_uniform(k, &r, 0, 1), ET_EDTYPE, "int32");
    fails(et_fill_uniform(b, &r, 0, 1), ET_EDTYPE, "bfloat16");
    fails(et_fill_uniform(x, &r, 1, 0), ET_EINVAL, "in order");
    fails(et_fill_uniform(x, &r, NAN, 1), ET_EINVAL, "finite");
    fails(et_fill_uniform(x, &r, 0, INFINITY), ET_EINVAL, "finite");
    fails(et_fill_uniform(x, &r, -3e38, 3e38), ET_EINVAL, "finite");
    fails(et_fill_normal(x, &r, 0, -1), ET_EINVAL, "not negative");
    fails(et_fill_normal(x, &r, NAN, 1), ET_EINVAL, "finite");
    fails(et_fill_normal(x, &r, 0, 1e39), ET_EINVAL, "finite");
    fails(et_fill_normal(NULL, &r, 0, 1), ET_EINVAL, "fill_normal: the tensor is NULL");
    fails(et_fill_trunc_normal(x, &r, 0, 0, -1, 1), ET_EINVAL, "positive");
    fails(et_fill_trunc_normal(x, &r, 0, 1, 1, 1), ET_EINVAL, "in order");
    fails(et_fill_trunc_normal(x, &r, 0, 1, 50, 51), ET_EINVAL, "too far");
    fails(et_fill_trunc_normal(k, &r, 0, 1, 0, 1), ET_EDTYPE, "int32");
    fails(et_fill_bernoulli(x, &r, 1.01), ET_EINVAL, "0 .. 1");
    fails(et_fill_bernoulli(x, &r, NAN), ET_EINVAL, "0 .. 1");
    fails(et_fill_bernoulli(b, &r, 0.5), ET_EDTYPE, "bfloat16");
    fails(et_fill_gumbel(k, &r), ET_EDTYPE, "fill_gumbel");
    ck_assert_uint_eq(r.counter, 0);
    et_free(x);
    et_free(k);
    et_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rng_fill");
    TCase *tc;

    tc = tcase_create("filling");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, distribution_fits, 0, 2 * N_CONTINUOUS);
    tcase_add_loop_test(tc, neighbours_are_uncorrelated, 0, N_DISTRIBUTIONS);
    tcase_add_loop_test(tc, layout_does_not_matter, 0, 2 * N_DISTRIBUTIONS);
    tcase_add_loop_test(tc, threads_do_not_matter, 0, 2 * N_DISTRIBUTIONS);
    tcase_add_test(tc, uniform_by_definition);
    tcase_add_test(tc, normal_by_definition);
    tcase_add_test(tc, quantile_is_the_inverse);
    tcase_add_loop_test(tc, uniform_stays_below, 0, 12);
    tcase_add_loop_test(tc, bernoulli_counts, 0, 4);
    tcase_add_test(tc, empty_and_scalar);
    tcase_add_test(tc, default_generator);
    tcase_add_test(tc, wrong_parameters);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
