/* Losses and what samples of latent variables are:
 * values and gradients written by hand, golden values, and wrong use. */
#include "config.h"

#include "tests/values.h"

START_TEST(other_losses)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((4), 1000, -1000, 1000, -1000), *y;

    y = et_bce_with_logits(x, REAL((4), 1, 0, 0, 1), ET_REDUCE_NONE);
    HOLDS(y, (4), 0, 0, 1000, 1000);
    WORKS(et_backward_from(y, NULL, 0)); /* s(x) - t */
    GRAD_HOLDS(x, (4), 0, 0, 1, -1);
    HOLDS_ONE(et_bce_with_logits(REAL((2), 0, 0), REAL((2), 0.5, 1), ET_REDUCE_MEAN), log(2));
    FAILS(et_bce_with_logits(x, REAL((2), 0, 1), ET_REDUCE_MEAN), ET_ESHAPE, "[2]");

    x = PARAM((2), 3, 1);
    y = et_mse(x, REAL((2), 1, 2), ET_REDUCE_MEAN);
    HOLDS_ONE(y, 2.5);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (2), 2, -1);
    HOLDS_ONE(et_mse(x, REAL((2), 1, 2), ET_REDUCE_SUM), 5);
    HOLDS(et_mse(x, REAL((2), 1, 2), ET_REDUCE_NONE), (2), 4, 1);
}
END_TEST

START_TEST(contrasts)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 2), 3, 1, 2, 5), *y;

    /* -3 + ln(e^1 + e^2) and -5 + ln(e^2 + e^1) */
    HOLDS_ONE(et_mulan_loss(x), log(exp(1) + exp(2)) - 4);
    HOLDS_ONE(et_decoupled_loss(x), 1.5 - 4);
    /* rows and columns of softmax: 3 against 1 and 2, 5 against 2 and 1 */
    HOLDS_ONE(et_clip_loss(x), (log1p(exp(-2)) + log1p(exp(-3)) + log1p(exp(-1)) + log1p(exp(-4))) / 4);
    HOLDS_ONE(et_sigmoid_pair_loss(x),
              (log1p(exp(-3)) + log1p(exp(1)) + log1p(exp(2)) + log1p(exp(-5))) / 2);
    y = et_decoupled_loss(x);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (2, 2), -0.5, 0.5, 0.5, -0.5);

    /* A match as far off as anything: finite, and the match is not in the denominator. */
    x = PARAM((2, 2), 1e4, -1e4, -1e4, 1e4);
    HOLDS_ONE(et_mulan_loss(x), -2e4 + log(2));
    HOLDS_ONE(et_clip_loss(x), 0);

    FAILS(et_clip_loss(REAL((1, 2), 1, 2)), ET_ESHAPE, "[1, 2], expected a square matrix");
    FAILS(et_mulan_loss(REAL((1, 1), 1)), ET_ESHAPE, "mulan_loss: 1 pairs, expected at least 2");
    FAILS(et_decoupled_loss(REAL((4), 1, 2, 3, 4)), ET_ESHAPE, "decoupled_loss: logits are [4]");
    FAILS(et_sigmoid_pair_loss(NULL), ET_EINVAL, "sigmoid_pair_loss: operand 0 is NULL");
    FAILS(et_sigmoid_pair_loss(et_zeros(values_real, ET_SHAPE(0, 0))), ET_ESHAPE, "0 pairs");
}
END_TEST

START_TEST(scales)
{
    values_real = values_reals[_i];
    et_tensor *s = REAL((2), 0.5, -1), *t = et_set_requires_grad(et_scalar(values_real, log(10)), true), *y;

    y = et_scale_logits(s, t, ET_SCALE_EXP, 100);
    HOLDS(y, (2), 5, -10);
    WORKS(et_backward_from(y, REAL((2), 1, 1), 0)); /* d/dt s exp t = s exp t */
    ck_assert_double_eq_tol(et_item(et_grad_of(t)), -5, 1e-5);
    HOLDS(et_scale_logits(s, REAL((1), 0.07), ET_SCALE_DIVIDE, INFINITY), (2), 0.5 / 0.07, -1 / 0.07);

    t = PARAM((1), log(200));
    y = et_scale_logits(s, t, ET_SCALE_EXP, 100);
    HOLDS(y, (2), 50, -100);
    WORKS(et_backward_from(y, REAL((2), 1, 1), 0));
    GRAD_HOLDS(t, (1), 0);
    FAILS(et_scale_logits(s, s, ET_SCALE_EXP, 100), ET_ESHAPE, "the scale is [2], expected one element");
    FAILS(et_scale_logits(s, t, ET_SCALE_EXP, 0), ET_EINVAL, "the limit is 0");
    FAILS(et_scale_logits(s, t, ET_SCALE_EXP, NAN), ET_EINVAL, "the limit is nan");
}
END_TEST

START_TEST(latents)
{
    values_real = values_reals[_i];
    et_tensor *mu = PARAM((2, 2), 1, 2, 3, 8), *y;

    HOLDS(et_gaussian_kl(REAL((3), 0, 2, 0), REAL((3), 0, 0, log(4))), (3), 0, 2, 0.5 * (3 - log(4)));
    HOLDS_ONE(et_latent_variance(mu, ET_VARIANCE_MEAN), 5); /* variances 1 and 9 */
    HOLDS_ONE(et_latent_variance(mu, ET_VARIANCE_HALF_SUM), 5);
    HOLDS_ONE(et_latent_variance(REAL((2, 1), 0, 2), ET_VARIANCE_HALF_SUM), 0.5);
    HOLDS_ONE(et_mu_forcing(mu, 4.5, ET_VARIANCE_MEAN), 0);
    y = et_mu_forcing(mu, 7, ET_VARIANCE_MEAN);
    HOLDS_ONE(y, 2);
    WORKS(et_backward(y)); /* -(2 / N) (mu - mean) / D */
    GRAD_HOLDS(mu, (2, 2), 0.5, 1.5, -0.5, -1.5);
    FAILS(et_mu_forcing(REAL((2), 1, 2), 1, ET_VARIANCE_MEAN), ET_ESHAPE,
          "mu is [2], expected [items, dimensions]");
    FAILS(et_latent_variance(et_zeros(values_real, ET_SHAPE(0, 2)), ET_VARIANCE_MEAN), ET_ESHAPE, "[0, 2]");
}
END_TEST

/* The draws have the mean and variance they should, follow their generator, and pass gradients. */
START_TEST(gaussian_draws)
{
    enum { N = 20000 };
    values_real = values_reals[_i];
    et_rng rng = et_rng_make(2, 0), same = rng;
    et_tensor *mu = et_set_requires_grad(et_full(values_real, ET_SHAPE(N), 3), true);
    et_tensor *logvar = et_set_requires_grad(et_full(values_real, ET_SHAPE(N), log(4)), true);
    et_tensor *z = et_reparameterize(mu, logvar, &rng), *again = et_reparameterize(mu, logvar, &same);
    double sum = 0, square = 0;

    WORKS(et_backward_from(z, NULL, 0));
    for (int64_t i = 0; i < N; i++) {
        double v = et_get(z, &i), e = (v - 3) / 2;
        sum += e;
        square += e * e;
        ck_assert(v == et_get(again, &i));
        ck_assert(et_get(et_grad_of(mu), &i) == 1);
        ck_assert_double_eq_tol(et_get(et_grad_of(logvar), &i), e, 1e-5); /* half of 2 e */
    }
    ck_assert_double_eq_tol(sum / N, 0, 0.03);
    ck_assert_double_eq_tol(square / N, 1, 0.04);
    FAILS(et_reparameterize(REAL((2), 1, 2), REAL((1), 1), NULL), ET_ESHAPE, "shapes differ, [2] and [1]");
    FAILS(et_reparameterize(NULL, mu, NULL), ET_EINVAL, "reparameterize: operand 0 is NULL");
    FAILS(et_reparameterize(MASK((1), 1), MASK((1), 1), NULL), ET_EDTYPE, "uint8");
}
END_TEST

/* The largest of logits + G is category k with probability softmax(logits)_k. */
START_TEST(gumbel_draws)
{
    enum { N = 20000 };
    const double expected[3] = {1 / 8.0, 2 / 8.0, 5 / 8.0};
    values_real = values_reals[_i];
    et_rng rng = et_rng_make(4, 0);
    et_tensor *row = REAL((3), 0, log(2), log(5)), *logits = et_expand(row, ET_SHAPE(N, 3));
    et_tensor *hard = et_gumbel_softmax(logits, 0.5, true, &rng), *share = et_mean(hard, ET_DIMS(0), false);

    for (int64_t k = 0; k < 3; k++)
        ck_assert_double_eq_tol(et_get(share, &k), expected[k], 0.012);
    for (int64_t i = 0; i < 50; i++)
        for (int64_t k = 0; k < 3; k++) {
            double v = et_get(hard, (const int64_t[]){i, k});
            ck_assert(fabs(v) < 1e-6 || fabs(v - 1) < 1e-6);
        }

    /* Hard and soft draws of one generator have one gradient. */
    et_rng a = et_rng_make(9, 0), b = a;
    et_tensor *x = PARAM((2, 3), 1, 0, -1, 0, 2, 1), *y = PARAM((2, 3), 1, 0, -1, 0, 2, 1);
    et_tensor *weights = REAL((2, 3), 1, 2, 3, 4, 5, 7);
    WORKS(et_backward_from(et_gumbel_softmax(x, 0.7, true, &a), weights, ET_RETAIN_GRAPH));
    WORKS(et_backward_from(et_gumbel_softmax(y, 0.7, false, &b), weights, 0));
    for (int64_t i = 0; i < 2; i++)
        for (int64_t k = 0; k < 3; k++)
            ck_assert_double_eq_tol(et_get(et_grad_of(x), (const int64_t[]){i, k}),
                                    et_get(et_grad_of(y), (const int64_t[]){i, k}), 1e-6);
    FAILS(et_gumbel_softmax(x, 0, false, NULL), ET_EINVAL, "tau is 0");
    FAILS(et_gumbel_softmax(NULL, 1, false, NULL), ET_EINVAL, "gumbel_softmax: operand 0 is NULL");
}
END_TEST

/* Row-major element n of the input is cos(0.5 n + 0.1); the values are of float64 programs in
 * another library, with ten decimals. */
static et_tensor *cosines(int64_t rows, int64_t columns, double scale)
{
    et_tensor *x = et_empty(ET_F64, ET_SHAPE(rows, columns));
    double *p = et_data_mut(x);

    for (int64_t i = 0; i < rows * columns; i++)
        p[i] = scale * cos(0.5 * (double)i + 0.1);
    return x;
}

#define GOLDEN(call, v) ck_assert_double_eq_tol(et_item(call), (v), 6e-11)

START_TEST(golden_losses)
{
    et_tensor *s = cosines(3, 3, 0.5), *x = cosines(2, 3, 2), *mu = cosines(4, 3, 1),
              *logvar = cosines(4, 3, 0.3);
    et_tensor *kl = et_gaussian_kl(mu, logvar);
    et_cross_entropy_opts o = {.label_smoothing = 0.1};

    et_tensor *divided = et_scale_logits(s, et_scalar(ET_F64, 0.2), ET_SCALE_DIVIDE, INFINITY);
    et_tensor *scaled = et_scale_logits(s, et_scalar(ET_F64, 1), ET_SCALE_EXP, 100);

    GOLDEN(et_clip_loss(divided), 1.4855980710);
    GOLDEN(et_mulan_loss(divided), 2.0412775591);
    GOLDEN(et_decoupled_loss(divided), 0.7427341649);
    GOLDEN(et_clip_loss(scaled), 1.1553823147);
    GOLDEN(et_mulan_loss(scaled), 1.4880481537);
    GOLDEN(et_decoupled_loss(scaled), 0.6093195715);
    GOLDEN(et_bce_with_logits(x, REAL((2, 3), 1, 0, 1, 0, 1, 0), ET_REDUCE_MEAN), 0.7406404576);
    GOLDEN(et_cross_entropy_with(x, INTS((2), 2, 0), &o), 1.1413943909);
    GOLDEN(et_mean(kl, 0, NULL, false), 0.2506230643);
    GOLDEN(et_latent_variance(mu, ET_VARIANCE_MEAN), 0.4776151120);
    GOLDEN(et_latent_variance(mu, ET_VARIANCE_HALF_SUM), 0.7164226680);
    GOLDEN(et_mu_forcing(mu, 1.3, ET_VARIANCE_MEAN), 1.3 - 0.4776151120);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("losses");
    TCase *tc = tcase_create("semantics");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, other_losses, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, contrasts, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, scales, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, latents, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, gaussian_draws, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, gumbel_draws, 0, VALUES_N_REALS);
    tcase_add_test(tc, golden_losses);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
