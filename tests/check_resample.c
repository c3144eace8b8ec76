/* Resampling: values of an independent implementation (tests/oracle/audio.py), the formula summed in
 * double precision, and quality in decibels: tones up to three quarters of half the lower rate keep their
 * level, those above 1.23 times that half vanish, nothing else appears. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/audio.h"
#include "tensor/npy.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static const double pi = 3.14159265358979323846;

static et_audio make(int64_t channels, int64_t frames, int64_t rate)
{
    return (et_audio){et_zeros(ET_F32, ET_SHAPE(channels, frames)), rate};
}

static double noise(int64_t n) { return (float)((double)((n * 7919 + n * n * 31) % 1000) / 1000.0 - 0.5); }

/* --- values -------------------------------------------------------------------------------------- */

static const struct {
    int from, to;
} pairs[] = {{44100, 16000}, {48000, 16000}, {22050, 16000}, {44100, 48000},
             {22050, 48000}, {16000, 44100}, {8000, 16000},  {44101, 16000}};
enum { N_PAIRS = sizeof pairs / sizeof pairs[0] };

START_TEST(independent_values)
{
    et_audio a = make(1, 300, pairs[_i].from);
    float *x = et_data_mut(a.samples);
    char path[1024], name[64];
    et_tensor *want;

    for (int64_t n = 0; n < 300; n++)
        x[n] = (float)noise(n);
    ck_assert_int_eq(et_audio_to_rate(&a, pairs[_i].to), ET_OK);
    ck_assert_int_eq(a.rate, pairs[_i].to);
    snprintf(name, sizeof name, "fixtures/audio/resample-%d-%d.npy", pairs[_i].from, pairs[_i].to);
    want = et_npy_read(suite_file(path, sizeof path, name));
    ck_assert_msg(want != NULL, "%s", et_error_message());
    ck_assert_int_eq(a.samples->shape[1], want->numel);
    ck_assert_int_eq(want->numel, (300 * (int64_t)pairs[_i].to + pairs[_i].from - 1) / pairs[_i].from);
    for (int64_t j = 0; j < want->numel; j++)
        ck_assert_msg(fabs((double)et_data_f32(a.samples)[j] - et_data_f32(want)[j]) <= 3e-7,
                      "%s: %d: %.8g, not %.8g", name, (int)j, (double)et_data_f32(a.samples)[j],
                      (double)et_data_f32(want)[j]);
    et_free(want);
    et_audio_free(&a);
}
END_TEST

/* y(t) of the definition at the time t (in inputs), x zero outside. */
static double by_formula(const double *x, int64_t n, double from, double to, double t)
{
    double c = 0.99 * fmin(from, to) / from, sum = 0;

    for (int64_t i = 0; i < n; i++) {
        double u = c * ((double)i - t);

        if (fabs(u) < 6)
            sum += x[i] * c * pow(cos(pi * u / 12), 2) * (u == 0 ? 1 : sin(pi * u) / (pi * u));
    }
    return sum;
}

/* Two channels of any length, down to none; rates far apart and without a common divisor. */
START_TEST(values_of_the_formula)
{
    static const struct {
        int64_t from, to, n;
    } cases[] = {{44100, 16000, 0},  {44100, 16000, 1}, {48000, 16000, 2}, {16000, 48000, 3},
                 {44100, 44101, 50}, {9973, 44100, 40}, {96000, 8000, 77}, {800000, 801, 3000},
                 {801, 800000, 7},   {7, 3, 100}};
    int64_t n = cases[_i].n, from = cases[_i].from, to = cases[_i].to, m = (n * to + from - 1) / from;
    et_audio a = make(2, n, from);
    float *p = et_data_mut(a.samples);
    double *x = calloc((size_t)n + 1, sizeof *x);

    for (int64_t i = 0; i < n; i++) {
        x[i] = p[i] = (float)noise(i);
        p[n + i] = (float)(-0.5 * x[i]);
    }
    ck_assert_msg(et_audio_to_rate(&a, to) == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(a.samples->shape[0], 2);
    ck_assert_int_eq(a.samples->shape[1], m);
    for (int64_t j = 0; j<m; j += m> 1000 ? 37 : 1) {
        double y = by_formula(x, n, (double)from, (double)to, (double)j * (double)from / (double)to);

        ck_assert_msg(fabs(et_data_f32(a.samples)[j] - y) <= 5e-7, "%d: %.9g, not %.9g", (int)j,
                      (double)et_data_f32(a.samples)[j], y);
        ck_assert(et_data_f32(a.samples)[m + j] == -0.5f * et_data_f32(a.samples)[j]);
    }
    free(x);
    et_audio_free(&a);
}
END_TEST

/* --- quality ------------------------------------------------------------------------------------- */

/* Level of the tone of frequency f among the n samples in the middle, in dB of its amplitude, and in
 * *rest that of everything else. Least squares over sine and cosine. */
static double tone_level(const float *x, int64_t n, double f, double rate, double *rest)
{
    double ss = 0, cc = 0, sc = 0, xs = 0, xc = 0, a, b, det, other = 0;

    for (int64_t i = 0; i < n; i++) {
        double s = sin(2 * pi * f * (double)i / rate), c = cos(2 * pi * f * (double)i / rate);
        ss += s * s;
        cc += c * c;
        sc += s * c;
        xs += x[i] * s;
        xc += x[i] * c;
    }
    det = ss * cc - sc * sc;
    a = (xs * cc - xc * sc) / det;
    b = (xc * ss - xs * sc) / det;
    for (int64_t i = 0; i < n; i++) {
        double e = x[i] - a * sin(2 * pi * f * (double)i / rate) - b * cos(2 * pi * f * (double)i / rate);
        other += e * e;
    }
    *rest = 10 * log10(2 * other / (double)n + 1e-30);
    return 10 * log10(a * a + b * b + 1e-30);
}

/* A tone of level 0 dB: its level afterwards, and that of all that was not in it. */
static double level_after(double f, int64_t from, int64_t to, double *rest)
{
    et_audio a = make(1, from, from);
    float *x = et_data_mut(a.samples);
    double level;

    for (int64_t n = 0; n < from; n++)
        x[n] = (float)sin(2 * pi * f * (double)n / (double)from);
    ck_assert_int_eq(et_audio_to_rate(&a, to), ET_OK);
    level = tone_level(et_data_f32(a.samples) + 200, to - 400, f, (double)to, rest);
    et_audio_free(&a);
    return level;
}

/* Gain that the definition promises at frequency f: the transform of its window, in dB. */
static double promised(double f, double from, double to)
{
    double c = 0.99 * fmin(from, to) / from, w = 2 * pi * f / from, sum = 0, step = 1 / 64.0;

    for (double d = -6 / c; d <= 6 / c; d += step) {
        double u = c * d;
        sum += step * c * pow(cos(pi * u / 12), 2) * (u == 0 ? 1 : sin(pi * u) / (pi * u)) * cos(w * d);
    }
    return 20 * log10(fabs(sum) + 1e-15);
}

START_TEST(ripple_and_alias)
{
    int64_t from = pairs[_i].from, to = pairs[_i].to;
    double half = (double)(from < to ? from : to) / 2, ripple = 0, alias = -200, image = -200, rest;

    for (double part = 0.02; part < 0.76; part += 0.05) { /* passed: three quarters */
        double level = level_after(part * half, from, to, &rest);

        ck_assert_msg(fabs(level - promised(part * half, (double)from, (double)to)) < 0.01,
                      "%g Hz: %g dB, not %g", part * half, level,
                      promised(part * half, (double)from, (double)to));
        ripple = fmax(ripple, fabs(level));
        image = fmax(image, rest);
    }
    for (double part = 1.23; from > to && part * half < 0.99 * (double)from / 2; part += 0.11) { /* stopped */
        level_after(part * half, from, to, &rest);
        alias = fmax(alias, rest);
    }
    printf("# %d -> %d Hz: ripple %.3f dB, images %.1f dB, aliases %.1f dB\n", (int)from, (int)to, ripple,
           image, alias);
    ck_assert_msg(ripple < 0.06, "a ripple of %g dB", ripple);
    ck_assert_msg(image < -44, "images of %g dB", image);
    ck_assert_msg(alias < -55, "aliases of %g dB", alias);
}
END_TEST

/* --- what goes wrong ----------------------------------------------------------------------------- */

static bool resample_one(void *user)
{
    et_audio a = {et_empty_owned(ET_F32, ET_SHAPE(2, 100)), 44100};
    bool ok;

    (void)user;
    if (!a.samples)
        return false;
    et_fill(a.samples, 0.5);
    ok = et_audio_to_rate(&a, 16000) == ET_OK;
    ck_assert(a.samples != NULL && a.rate == (ok ? 16000 : 44100)); /* as it was, after a failure */
    et_audio_free(&a);
    return ok;
}

START_TEST(wrong_use)
{
    et_audio a = make(1, 1000, 44100), none = {NULL, 0};
    const float *before = et_data_f32(a.samples);

    fails(et_audio_to_rate(&a, 0), ET_EINVAL, "a rate of 0 Hz");
    fails(et_audio_to_rate(&a, -1), ET_EINVAL, "a rate of -1 Hz");
    fails(et_audio_to_rate(&a, 44), ET_EINVAL, "44100 Hz and 44 Hz are too far apart");
    fails(et_audio_to_rate(&a, 100000000), ET_EINVAL, "a rate of 100000000 Hz");
    fails(et_audio_to_rate(&none, 16000), ET_EINVAL, "NULL");
    fails(et_audio_to_rate(NULL, 16000), ET_EINVAL, "NULL");
    a.rate = 1;
    fails(et_audio_to_rate(&a, 16000), ET_EINVAL, "too far apart");
    a.rate = 0;
    fails(et_audio_to_rate(&a, 16000), ET_EINVAL, "a rate of 0 Hz");
    a.rate = INT64_MAX;
    fails(et_audio_to_rate(&a, 10000000), ET_EINVAL, "too far apart");
    a.rate = 44100;
    ck_assert_int_eq(et_audio_to_rate(&a, 44100), ET_OK);
    ck_assert(et_data_f32(a.samples) == before); /* nothing to do */
    et_audio_free(&a);
    ck_assert_int_ge(alloc_sweep("resample", resample_one, NULL), 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resample");
    TCase *tc = tcase_create("resample");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, independent_values, 0, N_PAIRS);
    tcase_add_loop_test(tc, values_of_the_formula, 0, 10);
    tcase_add_loop_test(tc, ripple_and_alias, 0, N_PAIRS);
    tcase_add_test(tc, wrong_use);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
