/* Augmentation and the synthetic task. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/augment.h"
#include "datasets/sound_fit.h"
#include "datasets/synthetic.h"
#include "tensor/scope.h"
#include "tests/files.h"
#include "tests/suite.h"

static et_scope *scope;

static void setup(void)
{
    et_error_clear();
    scope = et_scope_open();
}

static void teardown(void)
{
    et_error_clear();
    et_scope_close(scope);
}

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())

static void near(double got, double want, double tol)
{
    ck_assert_msg(fabs(got - want) <= tol, "%.17g, expected %.17g", got, want);
}

enum { B = 40, T = 12, F = 6 };

/* x[b, t, f] = 1000 b + 10 t + f + 1, never 0. */
static et_tensor *batch(void)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(B, T, F));
    float *p = et_data_mut(x);
    for (int i = 0; i < B * T * F; i++)
        p[i] = (float)(1000 * (i / (T * F)) + 10 * (i / F % T) + i % F + 1);
    return x;
}

/* Lengths 3 .. 12. */
static et_tensor *some_lengths(void)
{
    et_tensor *l = et_empty(ET_I32, ET_SHAPE(B));
    int32_t *p = et_data_mut(l);
    for (int i = 0; i < B; i++)
        p[i] = 3 + i % 10;
    return l;
}

/* --- sounds of a fixed length ------------------------------------------------------------ */

START_TEST(sound_bits)
{
    float x[] = {0, 1, -1, 2.5f, -7, 0.5f, -0.5f, 1e-5f, -3e-5f, 3.1e-5f, NAN};
    const double want[] = {0, 32767, -32767, 32767, -32767, 16383, -16383, 0, 0, 1, 0}; /* of 32767 */

    ok(et_sound_quantise(x, 11));
    for (int i = 0; i < 11; i++)
        near((double)x[i] * 32767, want[i], 1e-3);
    ck_assert_int_eq(et_sound_quantise(NULL, 0), ET_OK);
    ck_assert_int_eq(et_sound_quantise(NULL, 1), ET_EINVAL);
}
END_TEST

START_TEST(sound_lengths)
{
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float want[][8] = {
        {1, 2, 3, 0, 0, 0, 0, 0}, {1, 2, 3, 1, 2, 3, 1, 2}, {1, 2, 3, 1, 2, 3, 0, 0}, /* of three samples */
    };
    float y[8];
    int seen[2] = {0, 0};
    et_rng rng = et_rng_make(5, 0);

    for (int how = ET_FIT_PAD; how <= ET_FIT_REPEAT_PAD; how++) {
        ok(et_sound_fit(x, 3, (et_fit)how, &rng, 8, y));
        ck_assert_int_eq(memcmp(y, want[how], sizeof y), 0);
        ok(et_sound_fit(x, 8, (et_fit)how, &rng, 8, y));
        ck_assert_int_eq(memcmp(y, x, sizeof y), 0);
        ok(et_sound_fit(NULL, 0, (et_fit)how, NULL, 8, y));
        for (int i = 0; i < 8; i++)
            ck_assert(y[i] == 0);
        ok(et_sound_fit(x, 9, (et_fit)how, NULL, 8, y));
        ck_assert_int_eq(memcmp(y, x, sizeof y), 0);
    }
    ok(et_sound_fit(x, 4, ET_FIT_REPEAT_PAD, NULL, 8, y)); /* twice, nothing is left */
    ck_assert(y[3] == 4 && y[4] == 1 && y[7] == 4);
    for (int i = 0; i < 200; i++) { /* either place of nine samples */
        ok(et_sound_fit(x, 9, ET_FIT_PAD, &rng, 8, y));
        ck_assert(y[0] == 1 || y[0] == 2);
        ck_assert(y[7] == y[0] + 7);
        seen[y[0] == 2]++;
    }
    ck_assert(seen[0] > 60 && seen[1] > 60);
    ck_assert_int_eq(et_sound_fit(NULL, 3, ET_FIT_PAD, NULL, 8, y), ET_EINVAL);
    ck_assert_int_eq(et_sound_fit(x, -1, ET_FIT_PAD, NULL, 8, y), ET_EINVAL);
    ck_assert_int_eq(et_sound_fit(x, 3, ET_FIT_PAD, NULL, 0, y), ET_EINVAL);
    ck_assert_int_eq(et_sound_fit(x, 3, ET_FIT_PAD, NULL, 8, NULL), ET_EINVAL);
    ck_assert_int_eq(et_sound_fit(x, 3, (et_fit)3, NULL, 8, y), ET_EINVAL);
}
END_TEST

/* --- crops and masks ------------------------------------------------------------------- */

START_TEST(crop)
{
    et_rng r = et_rng_make(1, 0), again = et_rng_make(1, 0);
    et_tensor *x = batch(), *len = some_lengths(), *y = et_augment_crop(x, NULL, 5, &r), *z;
    int starts[8] = {0};

    ck_assert(y && y->shape[0] == B && y->shape[1] == 5 && y->shape[2] == F);
    for (int b = 0; b < B; b++) {
        const float *p = et_data_f32(y) + b * 5 * F;
        int from = ((int)p[0] - 1000 * b - 1) / 10;
        ck_assert(from >= 0 && from <= 7);
        starts[from]++;
        ck_assert(memcmp(p, et_data_f32(x) + (b * T + from) * F, 5 * F * sizeof *p) == 0);
    }
    ck_assert(starts[0] > 0 && starts[7] > 0); /* both ends are reached (40 draws of 8) */
    ck_assert(et_equal(y, et_augment_crop(x, NULL, 5, &again)));

    z = et_augment_crop(x, len, 5, &r);
    for (int b = 0; b < B; b++) {
        int had = 3 + b % 10, has = had < 5 ? had : 5, from;
        const float *p = et_data_f32(z) + b * 5 * F;
        ck_assert_int_eq(et_data_i32(len)[b], has);
        from = ((int)p[0] - 1000 * b - 1) / 10;
        ck_assert(from >= 0 && from + has <= had);
        for (int j = has * F; j < 5 * F; j++)
            ck_assert(p[j] == 0);
    }
    fails_null(et_augment_crop(x, NULL, 0, &r), ET_EINVAL, "0 of 12 steps");
    fails_null(et_augment_crop(x, NULL, 13, &r), ET_EINVAL, "13 of 12");
    fails_null(et_augment_crop(x, NULL, 5, NULL), ET_EINVAL, "no generator");
    fails_null(et_augment_crop(et_zeros(ET_F32, ET_SHAPE(2, 3)), NULL, 1, &r), ET_ESHAPE, "[2, 3]");
    fails_null(et_augment_crop(NULL, NULL, 1, &r), ET_EINVAL, "NULL");
    fails_null(et_augment_crop(x, et_zeros(ET_I32, ET_SHAPE(3)), 1, &r), ET_ESHAPE, "lengths");
}
END_TEST

/* Any set of steps, in order, all of them equally often. */
START_TEST(pick)
{
    et_rng r = et_rng_make(8, 0), again = et_rng_make(8, 0);
    enum { ROWS = 1200 };
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(ROWS, 4, 2)), *y, *len = some_lengths(), *z;
    float *p = et_data_mut(x);
    int seen[4][4] = {{0}};

    for (int i = 0; i < ROWS * 4 * 2; i++)
        p[i] = (float)(i % 8); /* step t: 2t, 2t + 1 */
    y = et_augment_pick(x, NULL, 2, &r);
    ck_assert(y && y->shape[0] == ROWS && y->shape[1] == 2 && y->shape[2] == 2);
    for (int b = 0; b < ROWS; b++) {
        const float *q = et_data_f32(y) + b * 4;
        ck_assert(q[1] == q[0] + 1 && q[3] == q[2] + 1 && q[0] < q[2]);
        seen[(int)q[0] / 2][(int)q[2] / 2]++;
    }
    for (int t = 0; t < 4; t++)
        for (int u = t + 1; u < 4; u++)
            near(seen[t][u], ROWS / 6.0, 5 * sqrt(ROWS * 5.0 / 36));
    ck_assert(et_equal(y, et_augment_pick(x, NULL, 2, &again)));
    ck_assert(et_equal(x, et_augment_pick(x, NULL, 4, &r)));

    x = batch();
    z = et_augment_pick(x, len, 5, &r);
    for (int b = 0; b < B; b++) {
        const int had = 3 + b % 10, has = had < 5 ? had : 5;
        const float *q = et_data_f32(z) + b * 5 * F;
        ck_assert_int_eq(et_data_i32(len)[b], has);
        for (int t = 0, last = -1; t < has; t++) {
            const int from = ((int)q[t * F] - 1000 * b - 1) / 10;
            ck_assert(from > last && from < had);
            ck_assert(memcmp(q + t * F, et_data_f32(x) + (b * T + from) * F, F * sizeof *q) == 0);
            last = from;
        }
        for (int j = has * F; j < 5 * F; j++)
            ck_assert(q[j] == 0);
    }
    fails_null(et_augment_pick(x, NULL, 0, &r), ET_EINVAL, "pick: 0 of 12 steps");
    fails_null(et_augment_pick(x, NULL, 13, &r), ET_EINVAL, "13 of 12");
    fails_null(et_augment_pick(x, NULL, 5, NULL), ET_EINVAL, "no generator");
    fails_null(et_augment_pick(x, et_full(ET_I32, ET_SHAPE(B), 13), 5, &r), ET_EINVAL, "length 13");
    fails_null(et_augment_pick(et_zeros(ET_I32, ET_SHAPE(1, 2, 3)), NULL, 1, &r), ET_EDTYPE, "int32");
}
END_TEST

/* x[t][f] -> x[t][f - n] within each group, for one n of each sequence. */
START_TEST(transpose)
{
    et_rng r = et_rng_make(9, 0), again = et_rng_make(9, 0);
    const int width = F / 2;
    et_tensor *x = batch(), *was = batch(), *y = batch(), *len = some_lengths();
    int seen[5] = {0};

    ok(et_augment_transpose(x, len, 2, 2, &r));
    ok(et_augment_transpose(y, len, 2, 2, &again));
    ck_assert(et_equal(x, y));
    for (int b = 0; b < B; b++) {
        const float *p = et_data_f32(x) + b * T * F, *q = et_data_f32(was) + b * T * F;
        /* middle of a run of three: 1 moved by n shows 1 - n, held at 0 and 2; the ends tell the rest */
        const int n = p[0] == q[2] ? -2 : p[2] == q[0] ? 2 : (int)(q[1] - p[1]);
        ck_assert(n >= -2 && n <= 2);
        seen[n + 2]++;
        for (int t = 0; t < T; t++)
            for (int f = 0; f < F; f++) {
                const int from = f % width - n, held = from < 0 ? 0 : from >= width ? width - 1 : from;
                ck_assert(p[t * F + f] == q[t * F + (t < 3 + b % 10 ? f / width * width + held : f)]);
            }
    }
    for (int n = 0; n < 5; n++)
        ck_assert_int_gt(seen[n], 0); /* 40 draws of five */
    y = et_clone(x);
    ok(et_augment_transpose(x, NULL, 6, 0, &r));
    ck_assert(et_equal(x, y));
    fails(et_augment_transpose(x, NULL, 4, 1, &r), ET_EINVAL, "6 features in 4 groups");
    fails(et_augment_transpose(x, NULL, 0, 1, &r), ET_EINVAL, "0 groups");
    fails(et_augment_transpose(x, NULL, -1, 1, &r), ET_EINVAL, "-1 groups");
    fails(et_augment_transpose(x, NULL, 2, 3, &r), ET_EINVAL, "by 3 of 3 features");
    fails(et_augment_transpose(x, NULL, 2, -1, &r), ET_EINVAL, "by -1 of 3");
    fails(et_augment_transpose(x, NULL, 7, 0, &r), ET_EINVAL, "7 groups");
    fails(et_augment_transpose(x, NULL, 2, 1, NULL), ET_EINVAL, "no generator");
    fails(et_augment_transpose(NULL, NULL, 2, 1, &r), ET_EINVAL, "NULL");
    fails(et_augment_transpose(x, et_zeros(ET_I32, ET_SHAPE(3)), 2, 1, &r), ET_ESHAPE, "lengths");
    ck_assert(et_equal(x, y)); /* a refused call changes nothing */
}
END_TEST

/* What is added is the same at all steps, and made of the first cosines alone, evenly spread up to `most`. */
START_TEST(equalise)
{
    et_rng r = et_rng_make(10, 0), again = et_rng_make(10, 0);
    enum { ROWS = 500, BANDS = 5, TERMS = 3 };
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(ROWS, 4, BANDS + 1)), *y = et_clone(x),
              *len = et_full(ET_I32, ET_SHAPE(ROWS), 3);
    double square[BANDS] = {0}, greatest[BANDS] = {0};

    ok(et_augment_equalise(x, len, BANDS, TERMS, 0.5, &r));
    ok(et_augment_equalise(y, len, BANDS, TERMS, 0.5, &again));
    ck_assert(et_equal(x, y));
    for (int b = 0; b < ROWS; b++) {
        const float *p = et_data_f32(x) + b * 4 * (BANDS + 1);
        for (int f = 0; f <= BANDS; f++) {
            ck_assert(p[f] == p[BANDS + 1 + f] && p[f] == p[2 * (BANDS + 1) + f]);
            ck_assert(p[3 * (BANDS + 1) + f] == 0 && p[BANDS] == 0);
        }
        for (int k = 0; k < BANDS; k++) { /* the cosines are orthogonal: this is a_k */
            double a = 0;
            for (int f = 0; f < BANDS; f++)
                a += p[f] * cos(acos(-1) * k * (f + 0.5) / BANDS) * (k ? 2.0 : 1.0) / BANDS;
            square[k] += a * a / ROWS;
            greatest[k] = fmax(greatest[k], fabs(a));
        }
    }
    for (int k = 0; k < BANDS; k++) {
        near(square[k], k < TERMS ? 0.25 / 3 : 0, k < TERMS ? 0.017 : 1e-12); /* 5 deviations of the mean */
        ck_assert(k < TERMS ? greatest[k] > 0.48 && greatest[k] < 0.5 + 1e-6 : greatest[k] < 1e-6);
    }
    y = et_clone(x);
    ok(et_augment_equalise(x, NULL, BANDS, TERMS, 0, &r));
    ok(et_augment_equalise(x, NULL, BANDS, 0, 1, &r));
    ck_assert(et_equal(x, y));
    fails(et_augment_equalise(x, NULL, BANDS + 2, 1, 1, &r), ET_EINVAL, "7 of 6 features");
    fails(et_augment_equalise(x, NULL, 0, 0, 1, &r), ET_EINVAL, "0 of 6 features");
    fails(et_augment_equalise(x, NULL, 3, 4, 1, &r), ET_EINVAL, "4 terms");
    fails(et_augment_equalise(x, NULL, 3, -1, 1, &r), ET_EINVAL, "-1 terms");
    fails(et_augment_equalise(x, NULL, 3, 1, -1, &r), ET_EINVAL, "by -1");
    fails(et_augment_equalise(x, NULL, 3, 1, NAN, &r), ET_EINVAL, "by nan");
    fails(et_augment_equalise(x, NULL, 3, 1, 1, NULL), ET_EINVAL, "no generator");
    fails(et_augment_equalise(NULL, NULL, 3, 1, 1, &r), ET_EINVAL, "NULL");
    ck_assert(et_equal(x, y)); /* a refused call changes nothing */
}
END_TEST

START_TEST(masks)
{
    et_rng r = et_rng_make(2, 0);
    et_tensor *x = batch(), *y = batch(), *len = some_lengths();
    int widths[5] = {0};

    ok(et_augment_time_mask(x, len, 1, 4, -5, &r));
    for (int b = 0; b < B; b++) {
        int masked = 0, runs = 0;
        for (int t = 0; t < T; t++) {
            const float *p = et_data_f32(x) + (b * T + t) * F;
            bool is = p[0] == -5, before = t > 0 && p[-F] == -5;
            for (int f = 0; f < F; f++)
                ck_assert((p[f] == -5) == is); /* whole steps */
            masked += is;
            runs += is && !before;
            ck_assert(!is || t < 3 + b % 10);
        }
        ck_assert(masked <= 4 && runs <= 1);
        widths[masked]++;
    }
    for (int w = 0; w < 5; w++)
        ck_assert_int_gt(widths[w], 0);

    ok(et_augment_feature_mask(y, len, 2, 2, 0, &r));
    for (int b = 0; b < B; b++) {
        int masked = 0;
        for (int f = 0; f < F; f++) {
            bool is = et_data_f32(y)[b * T * F + f] == 0;
            masked += is;
            for (int t = 0; t < T; t++)
                ck_assert((et_data_f32(y)[(b * T + t) * F + f] == 0) == (is && t < 3 + b % 10));
        }
        ck_assert_int_le(masked, 4);
    }
    ok(et_augment_time_mask(x, NULL, 3, 1000, 0, &r)); /* wider than the sequence: at most all of it */
    fails(et_augment_time_mask(x, NULL, -1, 2, 0, &r), ET_EINVAL, "count -1");
    fails(et_augment_feature_mask(x, NULL, 1, -2, 0, &r), ET_EINVAL, "width -2");
    fails(et_augment_feature_mask(et_zeros(ET_I32, ET_SHAPE(1, 1, 1)), NULL, 1, 2, 0, &r), ET_EDTYPE,
          "int32");
    fails(et_augment_time_mask(x, et_full(ET_I32, ET_SHAPE(B), 13), 1, 2, 0, &r), ET_EINVAL, "length 13");
}
END_TEST

/* Of x[b, t, f] = t, a warped sequence tells where each step came from. */
START_TEST(time_warp)
{
    et_rng r = et_rng_make(5, 0), again = et_rng_make(5, 0);
    enum { N = 200, STEPS = 30, W = 6 };
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(N, STEPS, 2)), *y, *len = et_full(ET_I32, ET_SHAPE(N), 25);
    float *p = et_data_mut(x);
    int moved[2 * W + 1] = {0};

    for (int i = 0; i < N * STEPS * 2; i++)
        p[i] = (float)(i / 2 % STEPS);
    ((int32_t *)et_data_mut(len))[3] = 2 * W + 2; /* too short */
    y = et_clone(x);
    ok(et_augment_time_warp(x, len, W, &r));
    ok(et_augment_time_warp(y, len, W, &again));
    ck_assert(et_equal(x, y));
    for (int b = 0; b < N; b++) {
        const float *q = et_data_f32(x) + b * STEPS * 2;
        double before = q[2] - q[0], behind = q[2 * 24] - q[2 * 23], place = 0, shift;
        for (int t = 0; t < STEPS; t++)
            ck_assert(q[2 * t] == q[2 * t + 1]); /* features go together */
        for (int t = 25; t < STEPS; t++)
            ck_assert(q[2 * t] == (float)t);
        near(q[0], 0, 0);
        near(q[2 * 24], 24, 1e-5);
        if (b == 3) {
            for (int t = 0; t < 25; t++)
                ck_assert(q[2 * t] == (float)t);
            continue;
        }
        /* two straight pieces: before t through the origin, behind through (24, 24) */
        if (fabs(before - behind) < 1e-5) {
            near(before, 1, 1e-5);
            moved[W]++;
            continue;
        }
        place = 24 * (1 - behind) / (before - behind); /* where they meet: the new place */
        shift = place - place * before;
        near(shift, round(shift), 1e-3);
        ck_assert(fabs(shift) < W + 0.5 && place * before > W + 0.5 && place * before < 24 - W - 0.5);
        moved[(int)round(shift) + W]++;
        for (int t = 0; t < 25; t++)
            near(q[2 * t], t < place ? t * before : 24 - (24 - t) * behind, 1e-3);
    }
    for (int w = 0; w <= 2 * W; w++)
        ck_assert_int_gt(moved[w], 0);
    ok(et_augment_time_warp(x, NULL, 0, &r));
    ok(et_augment_time_warp(x, NULL, INT64_MAX, &r)); /* no sequence is long enough */
    fails(et_augment_time_warp(x, NULL, -1, &r), ET_EINVAL, "-1 steps");
    fails(et_augment_time_warp(NULL, NULL, 1, &r), ET_EINVAL, "NULL");
    fails(et_augment_time_warp(x, NULL, 1, NULL), ET_EINVAL, "no generator");
}
END_TEST

/* The policy is its three parts, one after the other; the share bounds the width of a time mask. */
START_TEST(spec_augment)
{
    et_rng r = et_rng_make(6, 0), parts = et_rng_make(6, 0);
    const et_spec_augment all = {1, 1, 3, 2, 4, 1, -5}, share = {0, 0, 0, 1, 100, 0.25, -5}, none = {0};
    et_spec_augment bad = all;
    et_tensor *x = batch(), *y = batch(), *len = some_lengths();

    ok(et_augment_spec(x, len, &all, &r));
    ok(et_augment_time_warp(y, len, 1, &parts));
    ok(et_augment_feature_mask(y, len, 1, 3, -5, &parts));
    ok(et_augment_time_mask(y, len, 2, 4, -5, &parts));
    ck_assert(et_equal(x, y));
    x = batch();
    ok(et_augment_spec(x, len, &none, &r));
    ck_assert(et_equal(x, batch()));
    ok(et_augment_spec(x, len, &share, &r));
    for (int b = 0, most = 0; b < B; b++) {
        int masked = 0;
        for (int t = 0; t < T; t++)
            masked += et_data_f32(x)[(b * T + t) * F] == -5;
        ck_assert_int_le(masked, (3 + b % 10) / 4);
        most = masked > most ? masked : most;
        ck_assert(b < B - 1 || most >= 2);
    }
    fails(et_augment_spec(x, len, NULL, &r), ET_EINVAL, "no policy");
    bad.time_share = 1.5;
    fails(et_augment_spec(x, len, &bad, &r), ET_EINVAL, "share");
    bad.time_share = NAN;
    fails(et_augment_spec(x, len, &bad, &r), ET_EINVAL, "share");
    bad = all;
    bad.time_masks = -1;
    y = et_clone(x);
    fails(et_augment_spec(x, len, &bad, &r), ET_EINVAL, "count -1");
    bad = all;
    bad.feature_width = -2;
    fails(et_augment_spec(x, len, &bad, &r), ET_EINVAL, "width -2");
    bad = all;
    bad.warp = -1;
    fails(et_augment_spec(x, len, &bad, &r), ET_EINVAL, "-1 steps");
    ck_assert(et_equal(x, y)); /* a refused call changes nothing */
}
END_TEST

START_TEST(gain_and_noise)
{
    et_rng r = et_rng_make(3, 0);
    et_tensor *x = batch(), *y = et_zeros(ET_F32, ET_SHAPE(50, 40, 10)), *len = some_lengths();
    double sum = 0, sq = 0, slope = 0;

    ok(et_augment_gain(x, len, 0.1, 2, &r));
    for (int b = 0; b < B; b++) {
        const float *p = et_data_f32(x) + b * T * F;
        double a = p[F - 1] - p[0], c;
        a /= F - 1;
        c = p[0] - a * (1000 * b + 1);
        slope += (a - 1) * (a - 1) / B;
        for (int t = 0; t < T; t++)
            for (int f = 0; f < F; f++) {
                double was = 1000 * b + 10 * t + f + 1;
                near(p[t * F + f], t < 3 + b % 10 ? a * was + c : was, 0.3);
            }
    }
    near(sqrt(slope), 0.1, 0.04);
    ok(et_augment_noise(y, NULL, 0.5, &r));
    for (int i = 0; i < 20000; i++) {
        sum += et_data_f32(y)[i];
        sq += (double)et_data_f32(y)[i] * et_data_f32(y)[i];
    }
    near(sum / 20000, 0, 0.02);
    near(sq / 20000, 0.25, 0.02);
    x = batch();
    ok(et_augment_feature_shift(x, len, 2, &r));
    sq = 0;
    for (int b = 0; b < B; b++)
        for (int f = 0; f < F; f++) {
            double shift = et_data_f32(x)[b * T * F + f] - (1000 * b + f + 1);
            sq += shift * shift / (B * F);
            for (int t = 0; t < T; t++)
                near(et_data_f32(x)[(b * T + t) * F + f],
                     1000 * b + 10 * t + f + 1 + (t < 3 + b % 10 ? shift : 0), 0.01);
        }
    near(sq, 4, 1.2);
    fails(et_augment_feature_shift(x, NULL, -1, &r), ET_EINVAL, "deviation -1");
    fails(et_augment_gain(x, NULL, NAN, 0, &r), ET_EINVAL, "gain");
    fails(et_augment_noise(x, NULL, -1, &r), ET_EINVAL, "deviation -1");
}
END_TEST

/* --- targets and mixtures ------------------------------------------------------------------ */

START_TEST(one_hot)
{
    const int64_t n = 3;
    const int32_t labels[3] = {2, 0, 1};
    et_tensor *y = et_from(ET_I32, 1, &n, labels), *p = et_augment_one_hot(y, 4, 0.2);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 4; k++)
            near(et_data_f32(p)[i * 4 + k], k == labels[i] ? 0.85 : 0.05, 1e-7);
    fails_null(et_augment_one_hot(y, 2, 0), ET_EINVAL, "label 2 of item 0");
    fails_null(et_augment_one_hot(y, 4, 1), ET_EINVAL, "smoothing 1");
    fails_null(et_augment_one_hot(p, 4, 0), ET_ESHAPE, "int32 [B]");
}
END_TEST

START_TEST(mixup)
{
    et_rng r = et_rng_make(4, 0);
    bool moved = false;

    for (int round = 0; round < 20; round++) {
        et_tensor *x = batch(), *t = et_zeros(ET_F32, ET_SHAPE(B, B)), *len = some_lengths();
        float *p = et_data_mut(t);
        for (int i = 0; i < B; i++)
            p[i * B + i] = 1;
        ok(et_augment_mixup(x, t, len, 0.4, &r));
        for (int i = 0; i < B; i++) {
            double sum = 0, mean = 0, shortest = 12;
            for (int k = 0; k < B; k++) {
                double w = et_data_f32(t)[i * B + k];
                sum += w;
                mean += w * 1000 * k;
                if (w > 0 && 3 + k % 10 < shortest)
                    shortest = 3 + k % 10;
            }
            near(sum, 1, 1e-6);
            /* The target tells which two were mixed, and how; x agrees. */
            near(et_data_f32(x)[i * T * F + 3 * F + 2], mean + 33, 0.05);
            ck_assert(et_data_i32(len)[i] <= 3 + i % 10);
            if (shortest > et_data_i32(len)[i] + 0.5)
                ck_assert_msg(0, "length of item %d", i);
            moved |= et_data_f32(t)[i * B + i] < 0.9f;
        }
    }
    ck_assert(moved);
    et_tensor *x = batch(), *t = et_zeros(ET_F32, ET_SHAPE(B, 2));
    ok(et_augment_mixup(x, t, NULL, 0, &r));
    ck_assert(et_equal(x, batch()));
    fails(et_augment_mixup(x, et_zeros(ET_F32, ET_SHAPE(B - 1, 2)), NULL, 1, &r), ET_ESHAPE,
          "targets [39, 2]");
    fails(et_augment_mixup(x, t, NULL, -1, &r), ET_EINVAL, "alpha -1");
    fails(et_augment_mixup(x, t, NULL, 1, NULL), ET_EINVAL, "NULL");
}
END_TEST

/* Mean 1/2 and variance 1 / (4 (2a + 1)) of Beta(a, a). */
START_TEST(beta)
{
    const double alphas[] = {0.05, 0.2, 0.4, 1, 3, 20};
    et_rng r = et_rng_make(5, 0);
    for (int k = 0; k < 6; k++) {
        double sum = 0, sq = 0;
        for (int i = 0; i < 20000; i++) {
            double v = et_rng_beta(&r, alphas[k]);
            ck_assert(v >= 0 && v <= 1);
            sum += v;
            sq += (v - 0.5) * (v - 0.5);
        }
        near(sum / 20000, 0.5, 0.015);
        near(sq / 20000 * 4 * (2 * alphas[k] + 1), 1, 0.04);
    }
}
END_TEST

/* --- the synthetic task --------------------------------------------------------------------- */

START_TEST(planted)
{
    et_planted_options o = et_planted_defaults();
    et_dataset *a = et_planted(600, &o), *b = et_planted(100, NULL), *c;
    const float *x = et_data_f32(a->x);
    const int32_t *e = et_data_i32(a->events), *y = et_data_i32(a->y);
    int64_t counts[6];
    double mean[2][128] = {{0}}, outside = 0, n_outside = 0, sum = 0, count[2] = {0};

    ck_assert(a->x->shape[1] == 64 && a->x->shape[2] == 16 && a->classes.n == 6);
    ok(et_dataset_check(a));
    /* The first hundred are the hundred. */
    ck_assert(memcmp(x, et_data_f32(b->x), 100 * 64 * 16 * sizeof *x) == 0);
    ck_assert(memcmp(y, et_data_i32(b->y), 100 * sizeof *y) == 0);
    o.part = 1;
    c = et_planted(100, &o);
    ck_assert(memcmp(x, et_data_f32(c->x), 100 * 64 * 16 * sizeof *x) != 0);
    ok(et_dataset_count(a, counts));
    for (int k = 0; k < 6; k++)
        near((double)counts[k], 100, 40);
    for (int i = 0; i < 600; i++) {
        ck_assert(e[2 * i] >= 0 && e[2 * i + 1] == e[2 * i] + 8 && e[2 * i + 1] <= 64);
        for (int t = 0; t < 64; t++)
            for (int f = 0; f < 16; f++) {
                double v = x[(i * 64 + t) * 16 + f];
                if (t < e[2 * i] || t >= e[2 * i + 1]) {
                    outside += v * v;
                    sum += v;
                    n_outside++;
                } else if (y[i] == 2) {
                    mean[0][(t - e[2 * i]) * 16 + f] += v;
                }
            }
        count[0] += y[i] == 2;
    }
    near(sum / n_outside, 0, 0.01);
    near(outside / n_outside, 1, 0.02);
    /* The mean window of a class is its prototype, in the other part too. */
    for (int i = 0; i < 100; i++)
        if (et_data_i32(c->y)[i] == 2) {
            count[1]++;
            for (int j = 0; j < 128; j++)
                mean[1][j] += et_data_f32(c->x)[(i * 64 + et_data_i32(c->events)[2 * i]) * 16 + j];
        }
    double diff = 0, power = 0;
    for (int j = 0; j < 128; j++) {
        double p = mean[0][j] / count[0], q = mean[1][j] / count[1];
        diff += (p - q) * (p - q) / 128;
        power += p * p / 128;
    }
    near(diff, 0.25 / count[0] + 0.25 / count[1], 0.01);
    near(power, 1, 0.4);
    et_dataset_free(a);
    et_dataset_free(b);
    et_dataset_free(c);
    o.window = 65;
    fails_null(et_planted(1, &o), ET_EINVAL, "window 65");
    fails_null(et_planted(-1, NULL), ET_EINVAL, "n -1");
}
END_TEST

/* --- sounds ---------------------------------------------------------------------------- */

enum { N = 240, SHORT = 80 };

/* Rows of B sounds of SHORT samples, a slow cosine that begins and ends at its height. */
static et_tensor *sounds(et_tensor **lengths)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(B, N));
    float *p = et_data_mut(x);
    int32_t *l = et_data_mut(*lengths = et_empty(ET_I32, ET_SHAPE(B)));

    for (int b = 0; b < B; b++) {
        l[b] = SHORT;
        for (int t = 0; t < SHORT; t++)
            p[b * N + t] = (float)cos(2 * acos(-1) * t * 2 / (SHORT - 1));
    }
    return x;
}

/* First and last sample of row b that is not zero, and its largest. */
static void extent(const et_tensor *x, int b, int *first, int *last, double *most)
{
    const float *p = et_data_f32(x) + (int64_t)b * N;

    *first = N;
    *last = -1;
    *most = 0;
    for (int t = 0; t < N; t++)
        if (p[t] != 0) {
            *first = *first < t ? *first : t;
            *last = t;
            *most = fmax(*most, fabs((double)p[t]));
        }
}

START_TEST(sound_place_and_gain)
{
    et_rng r = et_rng_make(1, 0), again = r;
    et_tensor *lengths, *x = sounds(&lengths), *y = sounds(&lengths), *same = sounds(&lengths);
    int first, last, least = N, most = 0;
    double peak, low = 9, high = 0;

    ok(et_augment_sound(x, lengths, &(et_sound_augment){.speed = 0}, &r));
    ck_assert(et_equal(x, same));
    ck_assert_uint_eq(r.counter, (uint64_t)B * 8); /* draws do not depend on the options */
    ok(et_augment_sound(x, lengths, &(et_sound_augment){.place = true, .gain = 6}, &r));
    for (int b = 0; b < B; b++) {
        extent(x, b, &first, &last, &peak);
        ck_assert_int_eq(last - first, SHORT - 1);
        for (int t = 0; t < SHORT; t++) /* the same sound, times one number */
            near((double)et_data_f32(x)[b * N + first + t], peak * (double)et_data_f32(same)[b * N + t],
                 1e-6);
        least = least < first ? least : first;
        most = most > first ? most : first;
        low = fmin(low, peak);
        high = fmax(high, peak);
    }
    ck_assert(least < 20 && most > N - SHORT - 20); /* 40 draws of 161 places */
    ck_assert(low >= pow(10, -0.3) - 1e-6 && low < 0.6 && high <= pow(10, 0.3) + 1e-6 && high > 1.7);
    ok(et_augment_sound(y, lengths, &(et_sound_augment){.speed = 0}, &again));
    ok(et_augment_sound(y, lengths, &(et_sound_augment){.place = true, .gain = 6}, &again));
    ck_assert(et_equal(x, y));
}
END_TEST

START_TEST(sound_speed_and_noise)
{
    et_rng r = et_rng_make(2, 0);
    et_tensor *lengths, *x = sounds(&lengths);
    int first, last, shortest = N, longest = 0;
    double peak;

    ok(et_augment_sound(x, lengths, &(et_sound_augment){.speed = 0.5}, &r));
    for (int b = 0; b < B; b++) {
        extent(x, b, &first, &last, &peak);
        const int m = last - first + 1;
        const float *p = et_data_f32(x) + (int64_t)b * N;
        double steps = m - 1, worst = 0;
        ck_assert_int_eq(first, 0);
        /* two periods in all of it, read at the nearest rate that gives m samples */
        for (int t = 0; t < m; t++)
            worst = fmax(worst, fabs((double)p[t] - cos(2 * acos(-1) * t * 2 / steps)));
        ck_assert_msg(worst < 0.3, "row %d: %d samples are off by %g", b, m, worst);
        shortest = shortest < m ? shortest : m;
        longest = longest > m ? longest : m;
    }
    /* 79 / 1.5 + 1, 79 * 1.5 + 1 */
    ck_assert(shortest >= 53 && shortest < 60 && longest <= 119 && longest > 105);

    x = sounds(&lengths);
    ok(et_augment_sound(x, lengths, &(et_sound_augment){.noise = 0.5}, &r));
    double total = 0;
    for (int b = 0; b < B; b++)
        for (int t = SHORT; t < N; t++)
            total += pow((double)et_data_f32(x)[b * N + t], 2) / (B * (N - SHORT));
    near(total, 0.5 * 0.25 / 3, 0.015); /* mean of u^2, u uniform below a half, times the power of a cosine */
}
END_TEST

/* A cubic is hit exactly between its samples by its own slopes only where it is a parabola. */
START_TEST(sound_curve)
{
    et_rng r = et_rng_make(3, 0);
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(1, 64));
    float *p = et_data_mut(x);

    for (int t = 0; t < 64; t++)
        p[t] = (float)(t * t);
    ok(et_augment_sound(x, NULL, &(et_sound_augment){.speed = 1}, &r));
    const double rate = sqrt((double)et_data_f32(x)[10]) / 10;
    ck_assert(rate > 0.5 && rate < 2 && fabs(rate - 1) > 0.01);
    for (int t = 2; t * rate < 61 && t < 64; t++)
        near((double)et_data_f32(x)[t], pow(t * rate, 2), 1e-2);
}
END_TEST

START_TEST(sound_misuse)
{
    et_rng r = et_rng_make(1, 0);
    et_tensor *lengths, *x = sounds(&lengths);
    const et_sound_augment all = {.speed = 0.1};

    fails(et_augment_sound(NULL, NULL, &all, &r), ET_EINVAL, "NULL");
    fails(et_augment_sound(x, NULL, NULL, &r), ET_EINVAL, "NULL");
    fails(et_augment_sound(x, NULL, &all, NULL), ET_EINVAL, "NULL");
    fails(et_augment_sound(batch(), NULL, &all, &r), ET_ESHAPE, "not contiguous [B, samples]");
    fails(et_augment_sound(lengths, NULL, &all, &r), ET_EDTYPE, "not float32");
    fails(et_augment_sound(x, x, &all, &r), ET_ESHAPE, "lengths must be int32 [40]");
    fails(et_augment_sound(x, NULL, &(et_sound_augment){.speed = 1.5}, &r), ET_EINVAL, "speed 1.5");
    fails(et_augment_sound(x, NULL, &(et_sound_augment){.gain = -1}, &r), ET_EINVAL, "gain -1");
    fails(et_augment_sound(x, NULL, &(et_sound_augment){.noise = (double)NAN}, &r), ET_EINVAL, "noise nan");
    ((int32_t *)et_data_mut(lengths))[3] = N + 1;
    fails(et_augment_sound(x, lengths, &all, &r), ET_EINVAL, "length 241 of 240");
    ((int32_t *)et_data_mut(lengths))[3] = 0; /* nothing to hear: stays */
    ok(et_augment_sound(x, lengths, &(et_sound_augment){.noise = 1}, &r));
    near((double)et_data_f32(x)[3 * N], 1, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("augment");
    TCase *tc = tcase_create("augment");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, sound_bits);
    tcase_add_test(tc, sound_lengths);
    tcase_add_test(tc, crop);
    tcase_add_test(tc, pick);
    tcase_add_test(tc, transpose);
    tcase_add_test(tc, equalise);
    tcase_add_test(tc, masks);
    tcase_add_test(tc, time_warp);
    tcase_add_test(tc, spec_augment);
    tcase_add_test(tc, gain_and_noise);
    tcase_add_test(tc, one_hot);
    tcase_add_test(tc, mixup);
    tcase_add_test(tc, beta);
    tcase_add_test(tc, sound_place_and_gain);
    tcase_add_test(tc, sound_speed_and_noise);
    tcase_add_test(tc, sound_curve);
    tcase_add_test(tc, sound_misuse);
    tcase_add_test(tc, planted);
    suite_add_tcase(suite, tc);

    return suite_run(suite);
}
