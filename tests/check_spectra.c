/* Windows, short-time transforms, filter banks, cepstra, levels. */
#include "config.h"

#include "datasets/fft.h"
#include "datasets/level.h"
#include "datasets/mel.h"
#include "datasets/stft.h"
#include "datasets/window.h"
#include "tensor/parallel.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/spectra_signal.h"

static const char values[] = "fixtures/spectra.csv";

static float *floats(int64_t n)
{
    float *p = malloc((size_t)n * sizeof *p);

    ck_assert_ptr_nonnull(p);
    return p;
}

/* --- windows ----------------------------------------------------------------------------- */

START_TEST(windows)
{
    static const struct {
        const char *what;
        et_window_kind kind;
    } rows[] = {{"window/hann", ET_WINDOW_HANN}, {"window/hamming", ET_WINDOW_HAMMING},
                {"window/blackman", ET_WINDOW_BLACKMAN}};
    float w[22];

    for (int i = 0; i < 3; i++) {
        spectra_matrix m = {rows[i].what, w, 11, 1e-7, 0};
        ck_assert(et_window(rows[i].kind, false, 11, w) == ET_OK);
        ck_assert(et_window(rows[i].kind, true, 11, w + 11) == ET_OK);
        ck_assert_int_eq(spectra_values(values, rows[i].what, spectra_look, &m), 12);
    }
    ck_assert(et_window(ET_WINDOW_RECTANGULAR, false, 5, w) == ET_OK);
    for (int j = 0; j < 5; j++)
        ck_assert(w[j] == 1);
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        ck_assert(et_window(ET_WINDOW_HANN, symmetric, 1, w) == ET_OK);
        ck_assert(w[0] == 1);
    }
    fails(et_window(ET_WINDOW_HANN, false, 0, w), ET_EINVAL, "0 places");
    fails(et_window(ET_WINDOW_HANN, false, 4, NULL), ET_EINVAL, "NULL");
    fails(et_window((et_window_kind)4, false, 4, w), ET_EINVAL, "no window number 4");
    fails(et_window((et_window_kind)-1, false, 4, w), ET_EINVAL, "no window number -1");
}
END_TEST

/* --- short-time transforms --------------------------------------------------------------- */

static const struct {
    const char *name;
    et_stft_options o;
} cases[] = {
    {"centred", {.n_fft = 64, .hop = 16, .window = ET_WINDOW_HANN}},
    {"odd", {.n_fft = 45, .frame = 30, .hop = 10, .window = ET_WINDOW_HAMMING}},
    {"inside", {.n_fft = 100, .hop = 33, .window = ET_WINDOW_BLACKMAN, .ends = ET_STFT_INSIDE}},
};
enum { CASES = 3 };

static void look_one(int64_t row, int64_t column, double value, void *user)
{
    (void)row;
    (void)column;
    *(double *)user = value;
}

START_TEST(reference_transforms)
{
    const int c = _i % CASES;
    const int64_t n = 1000;
    float *x = spectra_signal(n), *X;
    char what[32];
    double want;
    et_stft *s;
    int64_t frames, bins;
    spectra_matrix m = {cases[c].name, NULL, 0, 1e-5, 0};

    ck_assert(et_set_isa(spectra_isa(_i / CASES)) == ET_OK);
    s = et_stft_new(&cases[c].o);
    ck_assert_msg(s != NULL, "%s", et_error_message());
    frames = et_stft_frames(s, n);
    bins = et_stft_bins(s);
    snprintf(what, sizeof what, "frames/%s", cases[c].name);
    spectra_values(values, what, look_one, &want);
    ck_assert_int_eq(frames, (int64_t)want);
    ck_assert_int_eq(bins, cases[c].o.n_fft / 2 + 1);
    X = floats(frames * bins * 2);
    ck_assert(et_stft_forward(s, x, n, X) == ET_OK);
    snprintf(what, sizeof what, "stft/%s", cases[c].name);
    m.values = X;
    m.columns = 2 * bins;
    ck_assert_int_eq(spectra_values(values, what, spectra_look, &m), 28);
    free(x);
    free(X);
    et_stft_free(s);
}
END_TEST

/* |X|^2, and a frame is the transform of its windowed samples, zeros behind. */
START_TEST(power_and_frames)
{
    const et_stft_options o = {.n_fft = 90, .frame = 70, .hop = 40, .window = ET_WINDOW_HANN,
                               .ends = ET_STFT_PADDED};
    et_stft *s = et_stft_new(&o);
    et_fft *plan = et_fft_new(ET_F32, 90);
    const int64_t n = 333, frames = et_stft_frames(s, n), bins = 46;
    float *x = spectra_signal(n), *X = floats(frames * bins * 2), *P = floats(frames * bins), w[70];

    ck_assert_int_eq(frames, 9); /* ceil(333 / 40) */
    ck_assert(et_window(ET_WINDOW_HANN, false, 70, w) == ET_OK);
    ck_assert(et_stft_forward(s, x, n, X) == ET_OK && et_stft_power(s, x, n, P) == ET_OK);
    for (int64_t t = 0; t < frames; t++) {
        float frame[90] = {0}, F[92];
        for (int64_t j = 0; j < 70; j++)
            frame[j] = t * 40 + j < n ? x[t * 40 + j] * w[j] : 0;
        ck_assert(et_fft_forward(plan, 1, frame, 90, F, 92) == ET_OK);
        for (int64_t k = 0; k < 2 * bins; k++)
            ck_assert(fabs((double)(F[k] - X[t * 2 * bins + k])) <= 1e-5);
        for (int64_t k = 0; k < bins; k++) {
            const float re = X[(t * bins + k) * 2], im = X[(t * bins + k) * 2 + 1];
            ck_assert(fabs((double)(P[t * bins + k] - (re * re + im * im))) <= 1e-6 *
                      (double)(1 + re * re + im * im));
        }
    }
    free(x);
    free(X);
    free(P);
    et_stft_free(s);
    et_fft_free(plan);
}
END_TEST

/* Kaldi's frames by their definition. */
START_TEST(kaldi_frames)
{
    const et_stft_options o = {.n_fft = 64, .frame = 50, .hop = 20, .window = ET_WINDOW_HANN,
                               .symmetric = true, .ends = ET_STFT_INSIDE, .kaldi = true};
    et_stft *s = et_stft_new(&o);
    et_fft *plan = et_fft_new(ET_F32, 64);
    const int64_t n = 700, frames = et_stft_frames(s, n);
    float *x = spectra_signal(n), *P = floats(frames * 33), w[50];

    ck_assert_int_eq(frames, 33);
    ck_assert(et_window(ET_WINDOW_HANN, true, 50, w) == ET_OK);
    ck_assert(et_stft_power(s, x, n, P) == ET_OK);
    for (int64_t t = 0; t < frames; t++) {
        const float *f = x + 20 * t;
        float frame[64] = {0}, F[66];
        double mean = 0;
        for (int j = 0; j < 50; j++)
            mean += (double)f[j] / 50;
        for (int j = 0; j < 50; j++) {
            const double now = (double)f[j] - mean, before = (double)f[j > 0 ? j - 1 : 0] - mean;
            frame[j] = (float)((now - 0.97 * before) * (double)w[j]);
        }
        ck_assert(et_fft_forward(plan, 1, frame, 64, F, 66) == ET_OK);
        for (int k = 0; k < 33; k++) {
            const double p = (double)F[2 * k] * (double)F[2 * k] + (double)F[2 * k + 1] *
                             (double)F[2 * k + 1];
            ck_assert(fabs((double)P[t * 33 + k] - p) <= 2e-6 * (1 + p));
        }
    }
    free(x);
    free(P);
    et_stft_free(s);
    et_fft_free(plan);
}
END_TEST

/* There and back, wherever windows cover the samples. */
START_TEST(inverse)
{
    static const struct {
        et_stft_options o;
        int64_t n, lo, hi; /* samples lo .. hi - 1 come back */
    } rows[] = {
        {{.n_fft = 512, .hop = 256, .window = ET_WINDOW_HANN}, 5000, 0, 4864 + 256},
        {{.n_fft = 512, .hop = 128, .window = ET_WINDOW_HANN}, 5120, 0, 5120},
        {{.n_fft = 45, .frame = 30, .hop = 10, .window = ET_WINDOW_HAMMING}, 1001, 0, 1001},
        {{.n_fft = 100, .frame = 80, .hop = 33, .window = ET_WINDOW_BLACKMAN, .ends = ET_STFT_INSIDE}, 740,
         10, 730},
        {{.n_fft = 64, .hop = 64, .window = ET_WINDOW_RECTANGULAR, .ends = ET_STFT_PADDED}, 199, 0, 199},
        {{.n_fft = 37, .hop = 9, .window = ET_WINDOW_HANN}, 400, 0, 400},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        et_stft *s = et_stft_new(&rows[i].o);
        const int64_t n = rows[i].n, frames = et_stft_frames(s, n);
        float *x = spectra_signal(n), *y = floats(n + 1), *X = floats(frames * et_stft_bins(s) * 2);
        y[n] = -77;
        ck_assert(et_stft_forward(s, x, n, X) == ET_OK);
        ck_assert_msg(et_stft_inverse(s, X, frames, y, n) == ET_OK, "%s", et_error_message());
        for (int64_t j = rows[i].lo; j < rows[i].hi && j < n; j++)
            ck_assert_msg(fabs((double)(x[j] - y[j])) <= 2e-6, "case %d: sample %d is %.8g, was %.8g",
                          (int)i, (int)j, (double)y[j], (double)x[j]);
        ck_assert(y[n] == -77);
        free(x);
        free(y);
        free(X);
        et_stft_free(s);
    }
}
END_TEST

/* Samples behind the last frame are under no window. */
START_TEST(uncovered)
{
    et_stft *s = et_stft_new(&(et_stft_options){.n_fft = 32, .hop = 40, .ends = ET_STFT_INSIDE});
    float *x = spectra_signal(100), y[100], X[2 * 34];

    ck_assert_int_eq(et_stft_frames(s, 100), 2);
    ck_assert(et_stft_forward(s, x, 100, X) == ET_OK && et_stft_inverse(s, X, 2, y, 100) == ET_OK);
    for (int j = 0; j < 100; j++) {
        const bool covered = j < 32 || (j >= 40 && j < 72);
        ck_assert(covered ? fabs((double)(x[j] - y[j])) <= 1e-6 : y[j] == 0);
    }
    free(x);
    et_stft_free(s);
}
END_TEST

START_TEST(transform_threads)
{
    et_stft *s = et_stft_new(&(et_stft_options){.n_fft = 400, .hop = 100, .window = ET_WINDOW_HANN});
    const int64_t n = 60000, count = et_stft_frames(s, n) * et_stft_bins(s) * 2;
    float *x = spectra_signal(n), *one = floats(count), *more = floats(count);

    et_set_num_threads(1);
    ck_assert(et_stft_forward(s, x, n, one) == ET_OK);
    for (int t = 2; t <= 4; t++) {
        et_set_num_threads(t);
        ck_assert(et_stft_forward(s, x, n, more) == ET_OK);
        ck_assert(memcmp(one, more, (size_t)count * sizeof *one) == 0);
    }
    free(x);
    free(one);
    free(more);
    et_stft_free(s);
}
END_TEST

START_TEST(stft_misuse)
{
    const et_stft_options good = {.n_fft = 16, .hop = 4};
    et_stft_options o;
    et_stft *s = et_stft_new(&good), *k;
    float x[40] = {0}, X[11 * 18];

    fails_null(et_stft_new(NULL), ET_EINVAL, "no options");
#define BAD(field, value, words) \
    o = good; \
    o.field = (value); \
    fails_null(et_stft_new(&o), ET_EINVAL, words)
    BAD(n_fft, 1, "frames of 1 in transforms of 1");
    BAD(n_fft, -16, "transforms of -16");
    BAD(n_fft, INT64_MAX, "length 9223372036854775807");
    BAD(frame, 17, "frames of 17 in transforms of 16");
    BAD(frame, -1, "frames of -1");
    BAD(hop, 0, "hop 0");
    BAD(hop, INT64_MAX, "hop 9223372036854775807");
    BAD(ends, (et_stft_ends)3, "ends 3");
    BAD(window, (et_window_kind)9, "no window number 9");
#undef BAD
    fails(et_stft_power(NULL, x, 40, X), ET_EINVAL, "et_stft_power: NULL");
    fails(et_stft_power(s, NULL, 40, X), ET_EINVAL, "NULL");
    fails(et_stft_forward(s, x, 40, NULL), ET_EINVAL, "et_stft_forward: NULL");
    fails(et_stft_forward(s, x, 8, X), ET_ESHAPE, "8 samples are too few for one frame of 16");
    fails(et_stft_inverse(NULL, X, 11, x, 40), ET_EINVAL, "NULL");
    fails(et_stft_inverse(s, NULL, 11, x, 40), ET_EINVAL, "NULL");
    fails(et_stft_inverse(s, X, 11, NULL, 40), ET_EINVAL, "NULL");
    fails(et_stft_inverse(s, X, 10, x, 40), ET_ESHAPE, "40 samples have 11 frames, not 10");
    fails(et_stft_inverse(s, X, 0, x, 4), ET_ESHAPE, "4 samples have 0 frames, not 0");
    o = good;
    o.kaldi = true;
    k = et_stft_new(&o);
    fails(et_stft_inverse(k, X, 11, x, 40), ET_EINVAL, "lost their mean");
    et_stft_free(k);
    et_stft_free(s);
    et_stft_free(NULL);
}
END_TEST

static bool transform_both_ways(void *user)
{
    float *x = user, *X = x + 500;
    et_stft *s = et_stft_new(&(et_stft_options){.n_fft = 30, .hop = 10});
    const int64_t frames = s ? et_stft_frames(s, 500) : 0;
    bool good = s && et_stft_forward(s, x, 500, X) == ET_OK && et_stft_inverse(s, X, frames, x, 500) == ET_OK;

    et_stft_free(s);
    return good;
}

START_TEST(stft_out_of_memory)
{
    float *x = calloc(3000, sizeof *x);

    ck_assert_int_gt(alloc_sweep("a short-time transform", transform_both_ways, x), 6);
    free(x);
}
END_TEST

/* --- filter banks --------------------------------------------------------------------------- */

START_TEST(banks)
{
    static const struct {
        const char *name;
        et_mel_bank bank;
        int64_t n;
        double rate;
        int64_t n_fft;
        double low, high;
    } rows[] = {{"slaney", ET_MEL_SLANEY, 96, 16000, 512, 0, 8000},
                {"htk", ET_MEL_HTK, 40, 22050, 1024, 30, 11000},
                {"kaldi", ET_MEL_KALDI, 128, 16000, 512, 20, 8000}};

    for (int i = 0; i < 3; i++) {
        et_mel *mel = et_mel_new(rows[i].bank, rows[i].n, rows[i].rate, rows[i].n_fft, rows[i].low,
                                 rows[i].high);
        et_scope *scope = et_scope_open();
        et_tensor *matrix = et_mel_matrix(mel);
        const float *w = et_data_f32(matrix);
        const int64_t bins = rows[i].n_fft / 2 + 1;
        spectra_matrix m = {rows[i].name, w, bins, 2e-7, 0};
        double sum = 0, want;
        char what[32];

        ck_assert_int_eq(et_mel_filters(mel), rows[i].n);
        ck_assert_int_eq(et_mel_bins(mel), bins);
        ck_assert(matrix->ndim == 2 && matrix->shape[0] == rows[i].n && matrix->shape[1] == bins);
        snprintf(what, sizeof what, "mel/%s", rows[i].name);
        spectra_values(values, what, spectra_look, &m);
        for (int64_t j = 0; j < matrix->numel; j++)
            sum += (double)w[j];
        snprintf(what, sizeof what, "melsum/%s", rows[i].name);
        spectra_values(values, what, look_one, &want);
        ck_assert_msg(fabs(sum - want) <= 1e-6 * want, "%s: all weights %.9g, not %.9g", rows[i].name,
                      sum, want);
        et_scope_close(scope);
        et_mel_free(mel);
    }
}
END_TEST

/* Both directions, the kink at 1000 Hz, known pitches. */
START_TEST(scales)
{
    for (int bank = 0; bank < 3; bank++)
        for (double f = 0; f < 20000; f += 37) {
            const double back = et_mel_to_hz((et_mel_bank)bank, et_mel_from_hz((et_mel_bank)bank, f));
            ck_assert(fabs(back - f) <= 1e-12 * (f + 1));
        }
    ck_assert(fabs(et_mel_from_hz(ET_MEL_SLANEY, 1000) - 15) < 1e-12);
    ck_assert(fabs(et_mel_from_hz(ET_MEL_SLANEY, 6400) - 42) < 1e-12);
    ck_assert(fabs(et_mel_from_hz(ET_MEL_SLANEY, 500) - 7.5) < 1e-12);
    ck_assert(fabs(et_mel_from_hz(ET_MEL_HTK, 700) - 1127 * log(2)) < 1e-9);
    ck_assert(et_mel_from_hz(ET_MEL_KALDI, 0) == 0);
}
END_TEST

/* A bank applied is its matrix times the bins; frames need not fill the lanes. */
START_TEST(application)
{
    et_mel *mel = et_mel_new(ET_MEL_SLANEY, 20, 8000, 256, 100, 3800);
    et_scope *scope = et_scope_open();
    const float *w = et_data_f32(et_mel_matrix(mel));
    float *x = spectra_signal(37 * 129), *y = floats(37 * 20);

    ck_assert(et_set_isa(spectra_isa(_i)) == ET_OK);
    ck_assert(et_mel_apply(mel, 37, x, y) == ET_OK);
    for (int t = 0; t < 37; t++)
        for (int i = 0; i < 20; i++) {
            double sum = 0;
            for (int b = 0; b < 129; b++)
                sum += (double)w[i * 129 + b] * (double)x[t * 129 + b];
            ck_assert(fabs(sum - (double)y[t * 20 + i]) <= 1e-7);
        }
    ck_assert(et_mel_apply(mel, 0, NULL, NULL) == ET_OK);
    fails(et_mel_apply(NULL, 1, x, y), ET_EINVAL, "NULL");
    fails(et_mel_apply(mel, 1, NULL, y), ET_EINVAL, "NULL");
    fails(et_mel_apply(mel, -1, x, y), ET_EINVAL, "-1 frames");
    fails_null(et_mel_matrix(NULL), ET_EINVAL, "NULL");
    et_scope_close(scope);
    free(x);
    free(y);
    et_mel_free(mel);
    et_mel_free(NULL);
}
END_TEST

START_TEST(mel_misuse)
{
    fails_null(et_mel_new((et_mel_bank)3, 10, 8000, 256, 0, 4000), ET_EINVAL, "bank 3");
    fails_null(et_mel_new(ET_MEL_HTK, 0, 8000, 256, 0, 4000), ET_EINVAL, "0 filters");
    fails_null(et_mel_new(ET_MEL_HTK, INT64_MAX, 8000, 256, 0, 4000), ET_EINVAL, "filters");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 0, 256, 0, 4000), ET_EINVAL, "rate 0");
    fails_null(et_mel_new(ET_MEL_HTK, 10, NAN, 256, 0, 4000), ET_EINVAL, "rate");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 8000, 1, 0, 4000), ET_EINVAL, "transforms of 1");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 8000, 256, -1, 4000), ET_EINVAL, "from -1");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 8000, 256, 4000, 4000), ET_EINVAL, "from 4000 to 4000");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 8000, 256, 0, 4001), ET_EINVAL, "to 4001");
    fails_null(et_mel_new(ET_MEL_HTK, 10, 8000, 256, NAN, 4000), ET_EINVAL, "from");
}
END_TEST

/* --- cepstra and levels ------------------------------------------------------------------------ */

START_TEST(cepstra)
{
    float *x = spectra_signal(120), y[6 * 20];
    spectra_matrix m = {"mfcc", y, 13, 5e-7, 0};

    ck_assert(et_mfcc(6, 20, x, 13, y) == ET_OK);
    ck_assert_int_eq(spectra_values(values, "mfcc", spectra_look, &m), 8);
    ck_assert(et_mfcc(6, 20, x, 20, y) == ET_OK); /* all of them: an orthonormal matrix keeps the energy */
    for (int t = 0; t < 6; t++) {
        double before = 0, after = 0;
        for (int i = 0; i < 20; i++) {
            before += (double)x[t * 20 + i] * (double)x[t * 20 + i];
            after += (double)y[t * 20 + i] * (double)y[t * 20 + i];
        }
        ck_assert(fabs(before - after) <= 1e-6 * before);
    }
    ck_assert(et_mfcc(0, 20, NULL, 3, NULL) == ET_OK);
    fails(et_mfcc(1, 20, x, 21, y), ET_EINVAL, "21 coefficients of 1 frames of 20 bands");
    fails(et_mfcc(1, 20, x, 0, y), ET_EINVAL, "0 coefficients");
    fails(et_mfcc(1, 0, x, 1, y), ET_EINVAL, "of 0 bands");
    fails(et_mfcc(-1, 20, x, 1, y), ET_EINVAL, "-1 frames");
    fails(et_mfcc(1, 20, NULL, 1, y), ET_EINVAL, "NULL");
    if (sizeof(size_t) == 4) /* a matrix of 4 GiB */
        fails(et_mfcc(0, 32768, NULL, 32768, NULL), ET_ENOMEM, "out of memory");
    free(x);
}
END_TEST

START_TEST(levels)
{
    float x[6], y[6];
    const float from[6] = {1, 10, 1e-7f, 0, 100, 2};

#define LEVELS(kind, floor, top) \
    memcpy(x, from, sizeof x); \
    ck_assert(et_level(kind, floor, top, 6, x) == ET_OK)
    LEVELS(ET_LEVEL_POWER_DB, 1e-10, 0);
    ck_assert(x[0] == 0 && fabs((double)x[1] - 10) < 1e-5 && fabs((double)x[2] + 70) < 1e-5 &&
              fabs((double)x[3] + 100) < 1e-5 && fabs((double)x[4] - 20) < 1e-5);
    LEVELS(ET_LEVEL_POWER_DB, 1e-10, 80);
    ck_assert(fabs((double)x[3] + 60) < 1e-5 && fabs((double)x[2] + 60) < 1e-5 &&
              fabs((double)x[1] - 10) < 1e-5);
    LEVELS(ET_LEVEL_AMPLITUDE_DB, 1e-5, 0); /* twice the decibels of the same number, and a floor of -100 */
    ck_assert(fabs((double)x[1] - 20) < 1e-5 && fabs((double)x[3] + 100) < 1e-5 &&
              fabs((double)x[2] + 100) < 1e-5);
    LEVELS(ET_LEVEL_LN, 1e-3, 0);
    ck_assert(fabs((double)x[5] - log(2)) < 1e-7 && fabs((double)x[3] - log(1e-3)) < 1e-6);
    x[0] = NAN;
    x[1] = 1;
    x[2] = 1e-9f;
    ck_assert(et_level(ET_LEVEL_POWER_DB, 1e-10, 10, 3, x) == ET_OK);
    ck_assert(isnan(x[0]) && x[1] == 0 && fabs((double)x[2] + 90) < 1e-4);
    ck_assert(et_level(ET_LEVEL_LN, 1, 0, 0, NULL) == ET_OK);
    memcpy(y, from, sizeof y);
    fails(et_level((et_level_kind)3, 1, 0, 6, y), ET_EINVAL, "kind 3");
    fails(et_level(ET_LEVEL_LN, 0, 0, 6, y), ET_EINVAL, "floor 0");
    fails(et_level(ET_LEVEL_LN, NAN, 0, 6, y), ET_EINVAL, "floor");
    fails(et_level(ET_LEVEL_LN, 1, -1, 6, y), ET_EINVAL, "top -1");
    fails(et_level(ET_LEVEL_LN, 1, 0, -1, y), ET_EINVAL, "-1 values");
    fails(et_level(ET_LEVEL_LN, 1, 0, 6, NULL), ET_EINVAL, "NULL");
    ck_assert(memcmp(y, from, sizeof y) == 0);
}
END_TEST

static bool make_bank(void *user)
{
    float *x = user;
    et_mel *mel = et_mel_new(ET_MEL_HTK, 10, 8000, 64, 0, 4000);
    et_scope *scope = et_scope_open();
    bool good = mel && scope && et_mel_matrix(mel) && et_mel_apply(mel, 3, x, x + 200) == ET_OK &&
                et_mfcc(3, 10, x, 4, x + 300) == ET_OK;

    if (scope)
        et_scope_close(scope);
    et_mel_free(mel);
    return good;
}

START_TEST(mel_out_of_memory)
{
    float *x = calloc(400, sizeof *x);

    ck_assert_int_gt(alloc_sweep("a filter bank", make_bank, x), 6);
    free(x);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("spectra");
    TCase *tc = tcase_create("spectra");

    tcase_add_test(tc, windows);
    tcase_add_loop_test(tc, reference_transforms, 0, CASES * spectra_isas());
    tcase_add_test(tc, power_and_frames);
    tcase_add_test(tc, kaldi_frames);
    tcase_add_test(tc, inverse);
    tcase_add_test(tc, uncovered);
    tcase_add_test(tc, transform_threads);
    tcase_add_test(tc, stft_misuse);
    tcase_add_test(tc, stft_out_of_memory);
    tcase_add_test(tc, banks);
    tcase_add_test(tc, scales);
    tcase_add_loop_test(tc, application, 0, spectra_isas());
    tcase_add_test(tc, mel_misuse);
    tcase_add_test(tc, cepstra);
    tcase_add_test(tc, levels);
    tcase_add_test(tc, mel_out_of_memory);
    suite_add_tcase(s, tc);
    return s;
}

int main(void) { return suite_run(make_suite()); }
