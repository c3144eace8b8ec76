/* Fourier transforms against the sum in double, of every length and instruction set. */
#include "config.h"

#include "datasets/fft.h"

#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/spectra_signal.h"

static const double pi = 3.14159265358979323846;

/* Arrays of either dtype */
static void put(et_dtype dtype, void *p, int64_t i, double v)
{
    if (dtype == ET_F32)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

static double get(et_dtype dtype, const void *p, int64_t i)
{
    return dtype == ET_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void *room(et_dtype dtype, int64_t n)
{
    void *p = malloc((size_t)n * et_dtype_size(dtype) + 64);

    ck_assert_ptr_nonnull(p);
    for (int64_t i = 0; i < n; i++)
        put(dtype, p, i, -77);
    return p;
}

/* Noise, the same in both dtypes */
static void fill(et_dtype dtype, void *p, int64_t n)
{
    uint32_t state = 99;

    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        put(dtype, p, i, (double)(state >> 8) / 8388608.0 - 1);
    }
}

/* Transforms `count` sequences that begin `x_step` apart, compares with the sum, goes back. */
static void compare(et_dtype dtype, int64_t n, int64_t count, int64_t x_step)
{
    const double tolerance = dtype == ET_F32 ? 5e-7 : 5e-15;
    const int64_t bins = n / 2 + 1, X_step = 2 * bins + 3, end = (count - 1) * x_step + n;
    void *x = room(dtype, end), *X = room(dtype, count * X_step), *y = room(dtype, count * (n + 2));
    et_fft *plan = et_fft_new(dtype, n);
    double *c = malloc((size_t)n * sizeof *c), *s = malloc((size_t)n * sizeof *s), error = 0, largest = 0;

    ck_assert_msg(plan != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_fft_length(plan), n);
    ck_assert_int_eq(et_fft_bins(plan), bins);
    fill(dtype, x, end);
    ck_assert(et_fft_forward(plan, count, x, x_step, X, X_step) == ET_OK);
    ck_assert(et_fft_inverse(plan, count, X, X_step, y, n + 2) == ET_OK);
    for (int64_t j = 0; j < n; j++) {
        c[j] = cos(2 * pi * (double)j / (double)n);
        s[j] = sin(2 * pi * (double)j / (double)n);
    }
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < bins; k++) {
            double re = 0, im = 0;
            for (int64_t j = 0; j < n; j++) {
                re += get(dtype, x, i * x_step + j) * c[j * k % n];
                im -= get(dtype, x, i * x_step + j) * s[j * k % n];
            }
            largest = fmax(largest, hypot(re, im));
            error = fmax(error, hypot(get(dtype, X, i * X_step + 2 * k) - re,
                                      get(dtype, X, i * X_step + 2 * k + 1) - im));
        }
        for (int64_t j = 2 * bins; j < X_step; j++)
            ck_assert_msg(get(dtype, X, i * X_step + j) == -77, "length %d: written behind the bins", (int)n);
        for (int64_t j = 0; j < n; j++)
            ck_assert_msg(fabs(get(dtype, y, i * (n + 2) + j) - get(dtype, x, i * x_step + j)) <= 2 *
                          tolerance,
                          "%s, length %d, sequence %d: sample %d is %.9g after both ways, was %.9g", et_isa(),
                          (int)n, (int)i, (int)j, get(dtype, y, i * (n + 2) + j),
                          get(dtype, x, i * x_step + j));
        ck_assert(get(dtype, y, i * (n + 2) + n) == -77);
    }
    ck_assert_msg(error <= tolerance * largest,
                  "%s %s, length %d, %d sequences: error %.3g of the largest bin", et_isa(),
                  et_dtype_name(dtype), (int)n, (int)count, error / largest);
    et_fft_free(plan);
    free(x);
    free(X);
    free(y);
    free(c);
    free(s);
}

START_TEST(lengths_to_64)
{
    ck_assert(et_set_isa(spectra_isa(_i)) == ET_OK);
    for (int64_t n = 1; n <= 64; n++) {
        compare(ET_F32, n, 1, n);
        compare(ET_F32, n, 37, n);
        compare(ET_F32, n, 5, n / 2);
        compare(ET_F64, n, 3, n + 1);
    }
}
END_TEST

/* Composites of each radix, primes by passes (31) and by convolution (37, 509, 2 509), powers of two. */
START_TEST(long_lengths)
{
    static const int64_t lengths[] = {100,  120,  128, 210, 243, 256, 343,  360,  400,  490,  512,  605, 625,
                                      1001, 1024, 37 * 2, 509, 1018, 1021, 961, 1000, 1536, 2048, 31 * 32,
                                      4096};

    ck_assert(et_set_isa(spectra_isa(_i)) == ET_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        compare(ET_F32, lengths[i], 1, lengths[i]);
        if (lengths[i] <= 1024)
            compare(ET_F32, lengths[i], 17, lengths[i]);
        compare(ET_F64, lengths[i], 1, lengths[i]);
    }
}
END_TEST

typedef struct spectrum {
    const float *X;
    double tolerance;
} spectrum;

static void look(int64_t part, int64_t bin, double value, void *user)
{
    const spectrum *s = user;
    const double got = (double)s->X[2 * bin + part];

    ck_assert_msg(fabs(got - value) <= s->tolerance, "bin %d: %.9g, expected %.9g", (int)bin, got, value);
}

START_TEST(reference_values)
{
    static const int64_t lengths[] = {360, 509, 1021, 1024, 2002};

    for (int i = 0; i < 5; i++) {
        const int64_t n = lengths[i];
        et_fft *plan = et_fft_new(ET_F32, n);
        float *x = spectra_signal(n), *X = malloc((size_t)(n + 2) * sizeof *X);
        char what[32];
        ck_assert(et_fft_forward(plan, 1, x, n, X, n + 2) == ET_OK);
        snprintf(what, sizeof what, "fft/%d", (int)n);
        ck_assert_int_eq(spectra_values("fixtures/spectra.csv", what, look, &(spectrum){X, 1e-4}), 12);
        et_fft_free(plan);
        free(x);
        free(X);
    }
}
END_TEST

/* Parseval: sum of x^2 = (|X[0]|^2 + 2 sum |X[k]|^2 + |X[n/2]|^2) / n, the last term for even n alone. */
START_TEST(parseval)
{
    static const int64_t lengths[] = {1, 2, 3, 30, 97, 127, 400, 512, 1023, 4096, 65536, 100003, 1 << 20};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const int64_t n = lengths[i];
        et_fft *plan = et_fft_new(ET_F32, n);
        float *x = room(ET_F32, n), *X = room(ET_F32, n + 2);
        double energy = 0, power = 0;
        fill(ET_F32, x, n);
        ck_assert(et_fft_forward(plan, 1, x, n, X, n + 2) == ET_OK);
        for (int64_t j = 0; j < n; j++)
            energy += (double)x[j] * (double)x[j];
        for (int64_t k = 0; k <= n / 2; k++) {
            const double p = (double)X[2 * k] * (double)X[2 * k] + (double)X[2 * k + 1] *
                             (double)X[2 * k + 1];
            power += k == 0 || 2 * k == n ? p : 2 * p;
        }
        ck_assert_msg(fabs(power / (double)n - energy) <= 1e-6 * energy, "length %d: %.9g, not %.9g", (int)n,
                      power / (double)n, energy);
        et_fft_free(plan);
        free(x);
        free(X);
    }
}
END_TEST

/* One impulse at j gives exp(-2 pi i j k / n), for every j and k. */
START_TEST(impulses)
{
    static const int64_t lengths[] = {512, 600, 74}; /* the last by convolution, which costs a digit */

    for (int i = 0; i < 3; i++)
        for (int64_t n = lengths[i], j = 0; j < n; j += 7) {
            const double tolerance = i < 2 ? 4e-7 : 1e-6;
            et_fft *plan = et_fft_new(ET_F32, n);
            float *x = calloc((size_t)n, sizeof *x), *X = room(ET_F32, n + 2);
            x[j] = 1;
            ck_assert(et_fft_forward(plan, 1, x, n, X, n + 2) == ET_OK);
            for (int64_t k = 0; k <= n / 2; k++) {
                const double a = 2 * pi * (double)(j * k % n) / (double)n;
                ck_assert_msg(hypot((double)X[2 * k] - cos(a), (double)X[2 * k + 1] + sin(a)) <= tolerance,
                              "length %d, impulse at %d, bin %d: off by %.3g", (int)n, (int)j, (int)k,
                              hypot((double)X[2 * k] - cos(a), (double)X[2 * k + 1] + sin(a)));
            }
            et_fft_free(plan);
            free(x);
            free(X);
        }
}
END_TEST

/* Imaginary parts that a real sequence cannot have are not read. */
START_TEST(hermitian)
{
    for (int64_t n = 1; n <= 9; n++) {
        et_fft *plan = et_fft_new(ET_F64, n);
        double X[12] = {1, 0, 2, 1, 3, -1, 4, 2, 5, 0}, y[9], z[9];
        X[n % 2 == 0 ? n + 1 : 1] = 0;
        ck_assert(et_fft_inverse(plan, 1, X, 12, y, 9) == ET_OK);
        X[1] = 50;
        if (n % 2 == 0)
            X[n + 1] = -20;
        ck_assert(et_fft_inverse(plan, 1, X, 12, z, 9) == ET_OK);
        ck_assert_msg(memcmp(y, z, (size_t)n * sizeof *y) == 0, "length %d", (int)n);
        et_fft_free(plan);
    }
}
END_TEST

START_TEST(misuse)
{
    et_fft *plan = et_fft_new(ET_F32, 8);
    float x[32] = {0}, X[40];

    fails_null(et_fft_new(ET_F32, 0), ET_EINVAL, "length 0 is not within 1..67108864");
    fails_null(et_fft_new(ET_F32, -3), ET_EINVAL, "length -3");
    fails_null(et_fft_new(ET_F64, (int64_t)ET_FFT_LONGEST + 1), ET_EINVAL, "67108865");
    fails_null(et_fft_new(ET_F64, INT64_MAX), ET_EINVAL, "9223372036854775807");
    fails_null(et_fft_new(ET_I32, 8), ET_EDTYPE, "int32 is not float32 or float64");
    fails(et_fft_forward(NULL, 1, x, 8, X, 10), ET_EINVAL, "et_fft_forward: no plan");
    fails(et_fft_inverse(NULL, 1, X, 10, x, 8), ET_EINVAL, "et_fft_inverse: no plan");
    fails(et_fft_forward(plan, -1, x, 8, X, 10), ET_EINVAL, "-1 sequences");
    fails(et_fft_forward(plan, 1, NULL, 8, X, 10), ET_EINVAL, "NULL");
    fails(et_fft_forward(plan, 1, x, 8, NULL, 10), ET_EINVAL, "NULL");
    fails(et_fft_forward(plan, 2, x, -1, X, 10), ET_EINVAL, "sequences -1 apart");
    fails(et_fft_forward(plan, 2, x, 8, X, 9), ET_EINVAL, "spectra 9; the least are 0 and 10");
    fails(et_fft_inverse(plan, 2, X, 10, x, 7), ET_EINVAL, "sequences 7 apart");
    ck_assert(et_fft_forward(plan, 0, NULL, 0, NULL, 0) == ET_OK);
    ck_assert(et_fft_inverse(plan, 0, NULL, 0, NULL, 0) == ET_OK);
    et_fft_free(plan);
    et_fft_free(NULL);
}
END_TEST

typedef struct sweep {
    int64_t n, count;
    float *x, *X;
} sweep;

static bool both_ways(void *user)
{
    const sweep *s = user;
    et_fft *plan = et_fft_new(ET_F32, s->n);
    bool good = plan && et_fft_forward(plan, s->count, s->x, s->n, s->X, s->n + 2) == ET_OK &&
                et_fft_inverse(plan, s->count, s->X, s->n + 2, s->x, s->n) == ET_OK;

    et_fft_free(plan);
    return good;
}

START_TEST(out_of_memory)
{
    static const int64_t lengths[] = {1, 6, 45, 74, 512};
    sweep s = {0, 0, room(ET_F32, 5120), room(ET_F32, 5140)};

    fill(ET_F32, s.x, 5120);
    for (int i = 0; i < 10; i++) {
        s.n = lengths[i / 2];
        s.count = i % 2 ? 10 : 1;
        ck_assert_int_ge(alloc_sweep("a transform", both_ways, &s), 4);
    }
    free(s.x);
    free(s.X);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("fft");
    TCase *tc = tcase_create("fft");

    tcase_add_loop_test(tc, lengths_to_64, 0, spectra_isas());
    tcase_add_loop_test(tc, long_lengths, 0, spectra_isas());
    tcase_add_test(tc, reference_values);
    tcase_add_test(tc, parseval);
    tcase_add_test(tc, impulses);
    tcase_add_test(tc, hermitian);
    tcase_add_test(tc, misuse);
    tcase_add_test(tc, out_of_memory);
    suite_add_tcase(s, tc);
    return s;
}

int main(void) { return suite_run(make_suite()); }
