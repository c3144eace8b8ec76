/* Random numbers one by one: the published vectors of Philox and of the Mersenne Twister,
 * the order of the stream, permutations and samples. Seeds are fixed: a statistical test
 * either always passes or always fails; its bounds are those that a true sample breaks
 * once in a thousand. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/mt19937.h"
#include "tensor/rng.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/rng_word.h"
#include "tests/suite.h"

enum { N = 100000 };

/* --- the generator ------------------------------------------------------------------- */

START_TEST(philox_vectors)
{
    static const uint32_t ctr[3][4] = {{0, 0, 0, 0},
                                       {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                                       {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}};
    static const uint32_t key[3][2] = {{0, 0}, {0xffffffff, 0xffffffff}, {0xa4093822, 0x299f31d0}};
    static const uint32_t want[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    uint32_t got[4];
    int i;

    for (i = 0; i < 3; i++) {
        et_philox(ctr[i], key[i], got);
        ck_assert_mem_eq(got, want[i], sizeof got);
    }
}
END_TEST

START_TEST(words_in_order)
{
    et_rng r = et_rng_make(UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210));
    uint64_t i, v;

    for (i = 0; i < 300; i++)
        ck_assert_uint_eq(et_rng_u32(&r), word(r.seed, r.stream, i));
    ck_assert_uint_eq(r.counter, 300);
    r.counter = (UINT64_C(1) << 34) - 1; /* across the carry of the block number */
    v = et_rng_u64(&r);
    ck_assert_uint_eq(v >> 32, word(r.seed, r.stream, (UINT64_C(1) << 34) - 1));
    ck_assert_uint_eq(v & 0xffffffff, word(r.seed, r.stream, UINT64_C(1) << 34));
}
END_TEST

START_TEST(each_advances_by_its_words)
{
    et_rng r = et_rng_make(1, 2);

    et_rng_u32(&r);
    ck_assert_uint_eq(r.counter, 1);
    et_rng_u64(&r);
    ck_assert_uint_eq(r.counter, 3);
    et_rng_uniform(&r);
    ck_assert_uint_eq(r.counter, 5);
    et_rng_normal(&r);
    ck_assert_uint_eq(r.counter, 9);
    et_rng_below(&r, 7);
    ck_assert_uint_eq(r.counter, 11);
    ck_assert_int_eq(et_rng_below(&r, 0), 0);
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
}
END_TEST

START_TEST(below_is_even)
{
    et_rng r = et_rng_make(3, 0);
    int count[6] = {0}, i;
    double chi2 = 0;

    for (i = 0; i < 60000; i++) {
        int64_t k = et_rng_below(&r, 6);

        ck_assert(k >= 0 && k < 6);
        count[k]++;
    }
    for (i = 0; i < 6; i++)
        chi2 += (count[i] - 10000.0) * (count[i] - 10000.0) / 10000.0;
    ck_assert_msg(chi2 < 20.5, "chi-square %g with 5 degrees of freedom", chi2);
    for (i = 0; i < 1000; i++) {
        int64_t k = et_rng_below(&r, INT64_MAX);

        ck_assert(k >= 0 && k < INT64_MAX);
    }
}
END_TEST

START_TEST(bytes_are_even)
{
    et_rng r = et_rng_make(4, (uint64_t)_i);
    static int count[4][256];
    double chi2;
    uint32_t w;
    int i, k;

    memset(count, 0, sizeof count);
    for (i = 0; i < 256000; i++) {
        w = et_rng_u32(&r);
        for (k = 0; k < 4; k++)
            count[k][w >> (8 * k) & 255]++;
    }
    for (k = 0; k < 4; k++) {
        for (chi2 = 0, i = 0; i < 256; i++)
            chi2 += (count[k][i] - 1000.0) * (count[k][i] - 1000.0) / 1000.0;
        ck_assert_msg(chi2 > 190 && chi2 < 330, "chi-square %g with 255 degrees of freedom", chi2);
    }
}
END_TEST

START_TEST(streams_are_uncorrelated)
{
    et_rng a = et_rng_make(5, 0), b = et_rng_make(5, 1), c = et_rng_make(6, 0);
    double ab = 0, ac = 0, aa = 0, last = 0.5, x;
    int i;

    for (i = 0; i < N; i++) {
        x = et_rng_uniform(&a) - 0.5;
        ab += x * (et_rng_uniform(&b) - 0.5);
        ac += x * (et_rng_uniform(&c) - 0.5);
        aa += x * last;
        last = x;
    }
    /* The sum of N products of variance 1/144. */
    ck_assert_msg(fabs(ab) < 3.3 * sqrt(N) / 12 && fabs(ac) < 3.3 * sqrt(N) / 12 &&
                      fabs(aa) < 3.3 * sqrt(N) / 12,
                  "%g %g %g", ab, ac, aa);
}
END_TEST

START_TEST(mersenne_twister)
{
    static const double first[5] = {0.5488135, 0.71518937, 0.60276338, 0.54488318, 0.4236548};
    et_mt19937 mt;
    uint32_t v = 0;
    double x;
    int i;

    et_mt19937_init(&mt, 5489); /* the 10000th of the C++ standard, [rand.predef] */
    for (i = 0; i < 10000; i++)
        v = et_mt19937_u32(&mt);
    ck_assert_uint_eq(v, UINT32_C(4123659995));
    et_mt19937_init(&mt, 0); /* numpy.random.RandomState(0).random_sample(512) */
    for (i = 0; i < 512; i++) {
        x = et_mt19937_uniform(&mt);
        if (i < 5)
            ck_assert_double_eq_tol(x, first[i], 5e-9);
        if (i == 255)
            ck_assert_double_eq_tol(x, 0.08342244, 5e-9);
        if (i == 511)
            ck_assert_double_eq_tol(x, 0.34847599, 5e-9);
    }
}
END_TEST

/* --- permutations and samples ------------------------------------------------------------ */

START_TEST(permutation_is_one)
{
    et_rng r = et_rng_make(24, 0);
    static bool seen[5000];
    et_tensor *p;
    int64_t n = _i == 0 ? 0 : _i == 1 ? 1 : 5000, i;

    memset(seen, 0, sizeof seen);
    p = et_permutation(&r, n);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(p->dtype, ET_I32);
    ck_assert_int_eq(p->ndim, 1);
    ck_assert_int_eq(p->numel, n);
    for (i = 0; i < n; i++) {
        int32_t k = et_data_i32(p)[i];

        ck_assert(k >= 0 && k < n && !seen[k]);
        seen[k] = true;
    }
    et_free(p);
}
END_TEST

/* All 120 orders of five are equally frequent. */
START_TEST(orders_are_even)
{
    et_rng r = et_rng_make(25, 0);
    int count[120] = {0}, i, k, j, code;
    int32_t v[5];
    double chi2 = 0;

    for (i = 0; i < 60000; i++) {
        for (k = 0; k < 5; k++)
            v[k] = k;
        et_shuffle(&r, v, 5);
        for (code = 0, k = 0; k < 5; k++) {
            int smaller = 0;

            for (j = k + 1; j < 5; j++)
                smaller += v[j] < v[k];
            code = code * (5 - k) + smaller;
        }
        count[code]++;
    }
    for (i = 0; i < 120; i++)
        chi2 += (count[i] - 500.0) * (count[i] - 500.0) / 500.0;
    ck_assert_msg(chi2 > 74 && chi2 < 173, "chi-square %g with 119 degrees of freedom", chi2);
    et_shuffle(&r, v, 0);
    et_shuffle(&r, NULL, 0);
}
END_TEST

START_TEST(categorical_frequencies)
{
    const double logits[5] = {0, 1, -INFINITY, 2, -1};
    et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    double temperature = _i < 2 ? 1 : 2.5, sum = 0, p[5], chi2 = 0;
    et_tensor *row = et_empty(dtype, ET_SHAPE(5)), *x, *y;
    int64_t shape[3] = {200, 100, 5}, strides[3] = {0, 0, 1}, i, k;
    et_rng r = et_rng_make(26, 0);
    int count[5] = {0};

    for (k = 0; k < 5; k++) {
        et_set(row, &k, logits[k]);
        sum += p[k] = exp(logits[k] / temperature);
    }
    x = et_raw_view(row, 3, shape, strides, 0);
    y = et_categorical(&r, x, temperature);
    ck_assert_ptr_nonnull(y);
    ck_assert(y->dtype == ET_I32 && y->ndim == 2 && y->shape[0] == 200 && y->shape[1] == 100);
    for (i = 0; i < y->numel; i++)
        count[et_data_i32(y)[i]]++;
    ck_assert_int_eq(count[2], 0);
    for (k = 0; k < 5; k++)
        if (k != 2)
            chi2 += pow(count[k] - 20000 * p[k] / sum, 2) / (20000 * p[k] / sum);
    ck_assert_msg(chi2 < 16.3, "chi-square %g with 3 degrees of freedom", chi2);
    et_free(y);
    et_free(x);
    et_free(row);
}
END_TEST

START_TEST(categorical_wrong)
{
    float bad[2][3] = {{0, NAN, 1}, {-INFINITY, -INFINITY, -INFINITY}}, inf[3] = {0, INFINITY, 1};
    et_tensor *x = et_from(ET_F32, ET_SHAPE(3), bad[0]), *y = et_from(ET_F32, ET_SHAPE(1, 3), bad[1]);
    et_tensor *z = et_from(ET_F32, ET_SHAPE(3), inf), *k = et_zeros(ET_I32, ET_SHAPE(3)),
              *s = et_scalar(ET_F32, 0);
    et_tensor *none = et_zeros(ET_F32, ET_SHAPE(4, 0));

    fails(et_categorical(NULL, NULL, 1) == NULL ? et_error_status() : ET_OK, ET_EINVAL, "NULL");
    fails(et_categorical(NULL, x, 1) == NULL ? et_error_status() : ET_OK, ET_ENONFINITE, "NaN");
    fails(et_categorical(NULL, y, 1) == NULL ? et_error_status() : ET_OK, ET_ENONFINITE, "row 0");
    fails(et_categorical(NULL, z, 1) == NULL ? et_error_status() : ET_OK, ET_ENONFINITE, "+inf");
    fails(et_categorical(NULL, k, 1) == NULL ? et_error_status() : ET_OK, ET_EDTYPE, "int32");
    fails(et_categorical(NULL, s, 1) == NULL ? et_error_status() : ET_OK, ET_ESHAPE, "[..., K]");
    fails(et_categorical(NULL, none, 1) == NULL ? et_error_status() : ET_OK, ET_ESHAPE, "[4, 0]");
    fails(et_categorical(NULL, x, 0) == NULL ? et_error_status() : ET_OK, ET_EINVAL, "temperature");
    fails(et_categorical(NULL, x, NAN) == NULL ? et_error_status() : ET_OK, ET_EINVAL, "temperature");
    fails(et_permutation(NULL, -1) == NULL ? et_error_status() : ET_OK, ET_EINVAL, "permutation");
    et_free(x);
    et_free(y);
    et_free(z);
    et_free(k);
    et_free(s);
    et_free(none);
}
END_TEST

static bool sample(void *user)
{
    et_tensor *p = et_permutation(user, 10), *x = et_zeros(ET_F32, ET_SHAPE(4, 3)),
              *y = x ? et_categorical(user, x, 1) : NULL;
    bool ok = p && x && y;

    et_free(p);
    et_free(x);
    et_free(y);
    return ok;
}

START_TEST(memory_runs_out)
{
    et_rng r = et_rng_make(27, 0);

    ck_assert_int_ge(alloc_sweep("samples", sample, &r), 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rng");
    TCase *tc = tcase_create("generator");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, philox_vectors);
    tcase_add_test(tc, words_in_order);
    tcase_add_test(tc, each_advances_by_its_words);
    tcase_add_test(tc, below_is_even);
    tcase_add_loop_test(tc, bytes_are_even, 0, 3);
    tcase_add_test(tc, streams_are_uncorrelated);
    tcase_add_test(tc, mersenne_twister);
    suite_add_tcase(s, tc);
    tc = tcase_create("samples");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, permutation_is_one, 0, 3);
    tcase_add_test(tc, orders_are_even);
    tcase_add_loop_test(tc, categorical_frequencies, 0, 4);
    tcase_add_test(tc, categorical_wrong);
    tcase_add_test(tc, memory_runs_out);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
