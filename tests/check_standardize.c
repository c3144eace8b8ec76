/* Standardising data, and the features that are added to it. */
#include "config.h"

#include <math.h>

#include "datasets/standardize.h"
#include "tests/small_set.h"

/* Mean and deviation of the valid steps of items 0 .. n-1, feature f (-1: all). */
static void slow_stats(const et_dataset *ds, int n, int f, double *mean, double *dev)
{
    const float *x = et_data_f32(ds->x);
    double sum = 0, sq = 0, count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++)
            for (int t = 0; t < et_data_i32(ds->lengths)[i]; t++)
                for (int g = 0; g < F; g++)
                    if (f < 0 || g == f) {
                        double v = x[(i * T + t) * F + g];
                        if (pass == 0)
                            sum += v, count++;
                        else
                            sq += (v - sum / count) * (v - sum / count);
                    }
    *mean = sum / count;
    *dev = sqrt(sq / count);
}

START_TEST(standardize_kinds)
{
    const int32_t train[3] = {0, 1, 2};
    et_dataset *ds = small_set(), *copy = et_dataset_subset(ds, (const int32_t[]){0, 5}, 2);
    et_standardizer s, saved;
    double mean[F], dev[F], m, d;

    for (int f = 0; f < F; f++)
        slow_stats(ds, 3, f, &mean[f], &dev[f]);
    ok(et_standardizer_fit(&s, ds, train, 3, ET_STANDARDIZE_FEATURE));
    ck_assert(s.mean->ndim == 1 && s.mean->shape[0] == F);
    for (int f = 0; f < F; f++) {
        near(et_data_f32(s.mean)[f], mean[f], 1e-5);
        near(et_data_f32(s.std)[f], dev[f], 1e-5);
    }
    ok(et_standardizer_set(&saved, s.mean, s.std));
    et_standardizer_free(&s);
    saved.clip = 3;
    ok(et_standardizer_apply(&saved, copy));
    near(et_data_f32(copy->x)[4], (11 - mean[1]) / dev[1], 1e-5);
    near(et_data_f32(copy->x)[T * F], 3, 0); /* (500 - mean) / dev is beyond the clip */
    for (int j = 2 * F; j < T * F; j++)
        near(et_data_f32(copy->x)[j], 0, 0); /* behind the end */
    et_standardizer_free(&saved);
    et_dataset_free(copy);

    ok(et_standardizer_fit(&s, ds, NULL, 0, ET_STANDARDIZE_ALL));
    slow_stats(ds, N, -1, &m, &d);
    near(et_data_f32(s.mean)[0], m, 1e-4);
    near(et_data_f32(s.std)[0], d, 1e-4);
    ok(et_standardizer_apply(&s, ds));
    near(et_data_f32(ds->x)[T * F + F], (110 - m) / d, 1e-5);
    et_standardizer_free(&s);
    et_dataset_free(ds);

    ds = small_set();
    ok(et_standardizer_fit(&s, ds, train, 3, ET_STANDARDIZE_CENTRE));
    near(et_data_f32(s.mean)[2], mean[2], 1e-5);
    near(et_data_f32(s.std)[0], sqrt((dev[0] * dev[0] + dev[1] * dev[1] + dev[2] * dev[2]) / 3), 1e-4);
    near(et_data_f32(s.std)[1], et_data_f32(s.std)[0], 0);
    et_standardizer_free(&s);
    fails(et_standardizer_fit(&s, ds, train, 3, ET_STANDARDIZE_ELEMENT), ET_EINVAL, "one length");
    et_free(ds->lengths);
    ds->lengths = NULL;
    ok(et_standardizer_fit(&s, ds, (const int32_t[]){2, 5}, 2, ET_STANDARDIZE_ELEMENT)); /* lengths 4 */
    ck_assert(s.mean->ndim == 2 && s.mean->shape[0] == T && s.mean->shape[1] == F);
    near(et_data_f32(s.mean)[4], 361, 1e-4);
    near(et_data_f32(s.std)[4], 150, 1e-4);
    ok(et_standardizer_apply(&s, ds));
    near(et_data_f32(ds->x)[2 * T * F + 4], -1, 1e-6);
    et_standardizer_free(&s);
    et_dataset_free(ds);
}
END_TEST

START_TEST(centred_items)
{
    et_dataset *ds = small_set();

    /* Item 4 has 3 steps: its mean is 400 + 10 + 1. */
    ok(et_centre_items(ds));
    near(et_data_f32(ds->x)[4 * T * F], -11, 1e-4);
    near(et_data_f32(ds->x)[4 * T * F + 2 * F + 2], 11, 1e-4);
    near(et_data_f32(ds->x)[4 * T * F + 3 * F], 0, 0); /* behind the end */
    fails(et_centre_items(NULL), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

/* Of the first two features each sequence's own means are off; the third stays. */
START_TEST(centred_features)
{
    et_dataset *ds = small_set();
    const float *item = et_data_f32(ds->x) + 4 * T * F; /* 400 + 10 t + f, three steps */

    et_set(ds->x, (const int64_t[]){4, 1, 1}, 501);     /* 401, 501, 421: mean 441 */
    ok(et_centre_features(ds, 2));
    near(item[0], -10, 1e-4);
    near(item[F], 0, 1e-4);
    near(item[2 * F], 10, 1e-4);
    near(item[1], -40, 1e-4);
    near(item[F + 1], 60, 1e-4);
    near(item[2 * F + 1], -20, 1e-4);
    near(item[2], 402, 0);
    near(item[2 * F + 2], 422, 0);
    near(item[3 * F], 0, 0); /* behind the end */
    ok(et_centre_features(ds, 0));
    near(item[2], -10, 1e-4);
    near(item[2 * F + 1], -20, 1e-4);
    fails(et_centre_features(ds, F + 1), ET_EINVAL, "features of");
    fails(et_centre_features(ds, -1), ET_EINVAL, "features of");
    fails(et_centre_features(NULL, 0), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

/* Flux is the change since the frame before: 0 at the first frame and behind the end. */
START_TEST(flux)
{
    et_dataset *ds = small_set();

    et_set(ds->x, (const int64_t[]){4, 1, 2}, -3);
    ok(et_append_flux(ds));
    ck_assert_int_eq(ds->x->shape[2], 2 * F);
    const float *item = et_data_f32(ds->x) + 4 * T * 2 * F; /* 400 + 10 t + f, three steps */
    near(item[2 * F + 0], 410, 0);
    near(item[2 * F + 2], -3, 0);
    near(item[F + 1], 0, 0);             /* the first frame's */
    near(item[2 * F + F + 0], 10, 0);    /* 410 - 400 */
    near(item[2 * F + F + 2], 405, 0);   /* |-3 - 402| */
    near(item[4 * F + F + 2], 425, 0);   /* |422 + 3| */
    near(item[6 * F + F + 0], 0, 0);     /* behind the end */
    fails(et_append_flux(NULL), ET_EINVAL, "NULL");
    et_dataset_free(ds);
}
END_TEST

/* Roughness is the second difference along the first n features: 0 at their ends and behind the end. */
START_TEST(roughness)
{
    et_dataset *ds = small_set();

    et_set(ds->x, (const int64_t[]){4, 1, 1}, 400);
    ok(et_append_roughness(ds, 3));
    ck_assert_int_eq(ds->x->shape[2], F + 3);
    const float *item = et_data_f32(ds->x) + 4 * T * (F + 3); /* 400 + 10 t + f, three steps */
    near(item[F + 1], 0, 0);                  /* 400, 401, 402 */
    near(item[(F + 3) + 1], 400, 0);          /* the features stay */
    near(item[(F + 3) + F + 0], 0, 0);
    near(item[(F + 3) + F + 1], 22, 0);       /* |410 - 800 + 412| */
    near(item[(F + 3) + F + 2], 0, 0);
    near(item[3 * (F + 3) + F + 1], 0, 0);    /* behind the end */
    fails(et_append_roughness(ds, F + 4), ET_EINVAL, "features of");
    fails(et_append_roughness(NULL, 0), ET_EINVAL, "NULL");
    ok(et_append_roughness(ds, 0));
    ck_assert_int_eq(ds->x->shape[2], 2 * (F + 3));
    et_dataset_free(ds);
}
END_TEST

START_TEST(standardize_wrong)
{
    et_dataset *ds = small_set();
    et_standardizer s;
    et_tensor *a = et_ones(ET_F32, ET_SHAPE(2)), *b = et_ones(ET_F32, ET_SHAPE(F)),
              *zero = et_zeros(ET_F32, ET_SHAPE(F));
    float *x = et_data_mut(ds->x);

    for (int i = 0; i < N * T; i++)
        x[i * F + 1] = 7; /* does not vary */
    ok(et_standardizer_fit(&s, ds, NULL, 0, ET_STANDARDIZE_FEATURE));
    near(et_data_f32(s.std)[1], 1, 0);
    et_standardizer_free(&s);
    x[F + 2] = NAN;
    fails(et_standardizer_fit(&s, ds, NULL, 0, ET_STANDARDIZE_FEATURE), ET_ENONFINITE,
          "item 0 (item 0) is not finite in feature 2");
    fails(et_standardizer_fit(&s, ds, &(int32_t){0}, 0, ET_STANDARDIZE_FEATURE), ET_EINVAL, "no items");
    fails(et_standardizer_fit(&s, ds, &(int32_t){N}, 1, ET_STANDARDIZE_FEATURE), ET_EINVAL, "index 12");
    fails(et_standardizer_set(&s, a, b), ET_ESHAPE, "one shape");
    fails(et_standardizer_set(&s, b, zero), ET_EINVAL, "deviation 0 at 0");
    fails(et_standardizer_set(&s, NULL, b), ET_EINVAL, "NULL");
    ok(et_standardizer_set(&s, a, a));
    fails(et_standardizer_apply(&s, ds), ET_ESHAPE, "values are [2], the data [12, 4, 3]");
    et_standardizer_free(&s);
    fails(et_standardizer_apply(&s, ds), ET_EINVAL, "not fitted");
    et_free(a);
    et_free(b);
    et_free(zero);
    et_dataset_free(ds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("standardize");
    TCase *tc = tcase_create("standardize");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, standardize_kinds);
    tcase_add_test(tc, standardize_wrong);
    tcase_add_test(tc, centred_items);
    tcase_add_test(tc, centred_features);
    tcase_add_test(tc, flux);
    tcase_add_test(tc, roughness);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
