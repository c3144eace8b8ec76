/* Layer-norm LSTM and HyperLSTM: golden values, variable lengths, directions, bad input. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/norm_lstm.h"
#include "tensor/parallel.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

/* Row-major element n of parameter tensor t is 0.2 sin(1 + 0.37 n + 1.7 t); the values are of float64
 * programs in another library, with ten decimals. */
static void golden(et_tensor *p, int t, int64_t first)
{
    double *d = et_data_mut(p);

    for (int64_t n = 0; n < p->numel; n++)
        d[n] = 0.2 * sin(1 + 0.37 * (double)(first + n) + 1.7 * t);
}

static et_tensor *input(void)
{
    et_tensor *x = et_zeros(ET_F64, ET_SHAPE(1, 2, 3));
    double *d = et_data_mut(x);

    for (int64_t n = 0; n < 6; n++)
        d[n] = cos(0.5 * (double)n + 0.1);
    return x;
}

static void same(const et_tensor *got, const double *want, int64_t n, const char *what)
{
    ck_assert_msg(got && got->numel == n, "%s: %s", what, et_error_message());
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(et_data_f64(got)[i] - want[i]) <= 1e-9, "%s[%d]: %.12f, expected %.12f",
                      what, (int)i, et_data_f64(got)[i], want[i]);
}

START_TEST(golden_norm_lstm)
{
    static const double h[] = {-0.0282051346, -0.0134430090, -0.0577886167, -0.0998791836};
    static const double c[] = {0.1542855436, 0.1709516064, 0.1649931619, 0.1549500900};
    et_norm_lstm *l = et_norm_lstm_new(NULL, NULL, 3, 4, 1, NULL);
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};

    ck_assert_msg(l != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(&l->module), 4 * 4 * (3 + 4) + 8 * 4 + 2 * 4);
    et_module_to(&l->module, ET_F64);
    et_tensor *p[] = {l->W_xh, l->W_hh, l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta};
    for (int t = 0; t < 6; t++)
        golden(p[t], t, 0);
    et_scope *scope = et_scope_open();
    ck_assert_ptr_nonnull(et_norm_lstm_forward(l, input(), NULL, false, &s));
    same(s.h, h, 4, "h");
    same(s.c, c, 4, "c");
    et_scope_close(scope);
    et_module_free(&l->module);
}
END_TEST

START_TEST(golden_hyper_lstm)
{
    static const double h[] = {-0.0917347860, -0.0731850249, -0.1135170227, -0.1540242779};
    static const double c[] = {-0.1587438221, -0.0905041121, -0.0004380323, 0.0420754423};
    static const double u[] = {0.1333815352, 0.0369158738, -0.0053827477};
    const et_hyper_lstm_config config = {.in = 3, .units = 4, .hyper_units = 3, .embedding = 2, .keep = 1};
    et_hyper_lstm *l = et_hyper_lstm_new(NULL, NULL, &config, NULL);
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};

    ck_assert_msg(l != NULL, "%s", et_error_message());
    et_module_to(&l->module, ET_F64);
    et_norm_lstm *i = l->hyper;
    et_tensor *first[] = {l->W_xh, l->W_hh, l->bias, i->W_xh, i->W_hh, i->ln_gamma, i->ln_beta, i->lnc_gamma,
                          i->lnc_beta};
    et_tensor *last[] = {l->ln_gamma, l->ln_beta, l->lnc_gamma, l->lnc_beta};
    for (int t = 0; t < 9; t++)
        golden(first[t], t, 0);
    for (int g = 0; g < 8; g++) { /* Z, z0, A are single tensors [8, ...] in the table */
        golden(l->zw_w[g], 9, g * l->zw_w[g]->numel);
        golden(l->zw_b[g], 10, g * l->zw_b[g]->numel);
        golden(l->alpha[g], 11, g * l->alpha[g]->numel);
    }
    for (int g = 0; g < 4; g++) {
        golden(l->zb_w[g], 12, g * l->zb_w[g]->numel);
        golden(l->beta[g], 13, g * l->beta[g]->numel);
        golden(last[g], 14 + g, 0);
    }
    et_scope *scope = et_scope_open();
    ck_assert_ptr_nonnull(et_hyper_lstm_forward(l, input(), NULL, false, &s));
    same(s.h, h, 4, "h");
    same(s.c, c, 4, "c");
    same(s.hyper_h, u, 3, "u");
    et_scope_close(scope);
    et_module_free(&l->module);
}
END_TEST

/* The published sizes. */
START_TEST(counts)
{
    const et_hyper_lstm_config config = {.in = 98, .units = 512, .hyper_units = 256, .embedding = 32,
                                         .keep = 0.5};
    et_hyper_lstm *l = et_hyper_lstm_new(NULL, NULL, &config, NULL);

    ck_assert_msg(l != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_module_count(&l->module), 2440960);
    ck_assert_int_eq(et_module_count(&l->hyper->module), 889344);
    ck_assert_ptr_nonnull(et_module_find(&l->module, "norm.jh.beta"));
    ck_assert_ptr_null(et_module_find(&l->module, "norm.jx.beta"));
    et_module_free(&l->module);
}
END_TEST

/* One row of a padded batch is the row by itself, in either direction, and so are the states. */
START_TEST(lengths)
{
    enum { B = 3, T = 5, M = 2, N = 4 };
    static const int32_t len[B] = {5, 2, 3};
    const et_hyper_lstm_config config = {.in = M, .units = N, .hyper_units = 3, .embedding = 2, .keep = 1};
    const bool hyper = _i / 2, reverse = _i % 2;
    et_rng rng = et_rng_make(7, 0);
    et_module *root = et_module_new(sizeof *root, "Both", NULL, NULL);
    et_hyper_lstm *hl = et_hyper_lstm_new(root, "hyper", &config, &rng);
    et_norm_lstm *nl = et_norm_lstm_new(root, "norm", M, N, 1, &rng);

    ck_assert_msg(nl != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < et_module_n_entries(root); i++) /* also where initialisation is 0 */
        et_fill_normal(et_module_entry(root, i)->tensor, &rng, 0, 0.5);
    et_scope *scope = et_scope_open();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(B, T, M));
    et_fill_normal(x, &rng, 0, 1);
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};
    et_tensor *lengths = et_from(ET_I32, ET_SHAPE(B), len);
    et_tensor *y = hyper ? et_hyper_lstm_forward(hl, x, lengths, reverse, &s)
                         : et_norm_lstm_forward(nl, x, lengths, reverse, &s);
    ck_assert_msg(y != NULL, "%s", et_error_message());
    for (int64_t b = 0; b < B; b++) {
        et_norm_lstm_state s1 = {NULL, NULL, NULL, NULL};
        et_tensor *x1 = et_slice(et_slice(x, 0, b, b + 1, 1), 1, 0, len[b], 1);
        et_tensor *y1 = hyper ? et_hyper_lstm_forward(hl, x1, NULL, reverse, &s1)
                              : et_norm_lstm_forward(nl, x1, NULL, reverse, &s1);
        ck_assert_msg(y1 != NULL, "%s", et_error_message());
        for (int64_t j = 0; j < N; j++) {
            ck_assert_double_eq_tol(et_get(s.h, (const int64_t[]){b, j}),
                                    et_get(s1.h, (const int64_t[]){0, j}), 1e-6);
            ck_assert_double_eq_tol(et_get(s.c, (const int64_t[]){b, j}),
                                    et_get(s1.c, (const int64_t[]){0, j}), 1e-6);
            for (int64_t t = 0; t < len[b]; t++)
                ck_assert_double_eq_tol(et_get(y, (const int64_t[]){b, t, j}),
                                        et_get(y1, (const int64_t[]){0, t, j}), 1e-6);
        }
    }
    et_scope_close(scope);
    et_module_free(root);
}
END_TEST

/* In training, candidates are dropped and the rest scaled; in evaluation nothing is drawn. */
START_TEST(recurrent_dropout)
{
    et_norm_lstm *l = et_norm_lstm_new(NULL, NULL, 3, 8, 0.5, NULL);
    et_norm_lstm_state s[4] = {{NULL, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL},
                               {NULL, NULL, NULL, NULL}};
    int dropped = 0;

    ck_assert_msg(l != NULL, "%s", et_error_message());
    et_scope *scope = et_scope_open();
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(4, 1, 3));
    et_norm_lstm_forward(l, x, NULL, false, &s[0]);
    et_module_eval(&l->module);
    et_norm_lstm_forward(l, x, NULL, false, &s[1]);
    ck_assert_msg(s[1].c != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < 32; i++) { /* c = i keep tanh(j) from a cell of zeros: 0, or twice that */
        const double c = et_data_f32(s[0].c)[i], plain = et_data_f32(s[1].c)[i];
        dropped += c == 0;
        if (c != 0)
            ck_assert_double_eq_tol(c, 2 * plain, 1e-6);
    }
    ck_assert_int_gt(dropped, 4);
    ck_assert_int_lt(dropped, 28);
    et_scope_close(scope);
    et_module_free(&l->module);
}
END_TEST

/* Two shards of the batch, rows of several lengths: the same bits on any number of threads. */
START_TEST(threads)
{
    enum { B = 40, T = 9, M = 6 };
    const et_hyper_lstm_config config = {.in = M,
                                         .units = 96,
                                         .hyper_units = 48,
                                         .embedding = 8,
                                         .keep = 0.7};
    static const int counts[] = {1, 2, 3, 8};
    float *first = NULL;
    et_rng rng = et_rng_make(3, 0);
    et_hyper_lstm *l = et_hyper_lstm_new(NULL, NULL, &config, &rng);
    int32_t len[B];

    ck_assert_msg(l != NULL, "%s", et_error_message());
    for (int b = 0; b < B; b++)
        len[b] = b % (T + 1);
    for (int i = 0; i < 4; i++) {
        int64_t at = 0;
        ck_assert_int_eq(et_set_num_threads(counts[i]), ET_OK);
        et_seed(5);
        et_rng draws = et_rng_make(4, 0);
        et_scope *scope = et_scope_open();
        et_tensor *x = et_zeros(ET_F32, ET_SHAPE(B, T, M));
        et_norm_lstm_state s = {NULL, NULL, NULL, NULL};
        et_fill_normal(x, &draws, 0, 1);
        et_tensor *y = et_hyper_lstm_forward(l, x, et_from(ET_I32, ET_SHAPE(B), len), true, &s);
        ck_assert_msg(y != NULL, "%s", et_error_message());
        const int64_t all = y->numel + et_module_count(&l->module);
        float *now = malloc((size_t)all * sizeof *now);
        ck_assert_ptr_nonnull(now);
        memcpy(now, et_data_f32(y), (size_t)y->numel * sizeof *now);
        ck_assert_msg(et_backward(et_sum(et_square(y), 0, NULL, false)) == ET_OK, "%s", et_error_message());
        at = y->numel;
        for (int64_t p = 0; p < et_module_n_entries(&l->module); p++) {
            const et_tensor *g = et_module_entry(&l->module, p)->tensor->grad;
            ck_assert_ptr_nonnull(g);
            memcpy(now + at, et_data_f32(g), (size_t)g->numel * sizeof *now);
            at += g->numel;
        }
        ck_assert_int_eq(at, all);
        et_scope_close(scope);
        et_zero_grad(&l->module);
        if (first)
            ck_assert_msg(!memcmp(first, now, (size_t)all * sizeof *now), "%d threads differ", counts[i]);
        free(i ? now : NULL);
        first = i ? first : now;
    }
    free(first);
    et_set_num_threads(1);
    et_module_free(&l->module);
}
END_TEST

static bool once(void *user)
{
    et_hyper_lstm *l = et_hyper_lstm_new(NULL, NULL, user, NULL);
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};

    if (!l)
        return false;
    et_scope *scope = et_scope_open();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(2, 3, 3));
    et_tensor *y =
        et_hyper_lstm_forward(l, x, et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){3, 1}), true, &s);
    const bool good = y && et_backward(et_sum(y, 0, NULL, false)) == ET_OK;

    et_scope_close(scope);
    et_module_free(&l->module);
    return good;
}

START_TEST(out_of_memory)
{
    et_hyper_lstm_config config = {3, 4, 3, 2, 1};

    ck_assert_int_gt(alloc_sweep("HyperLSTM", once, &config), 50);
}
END_TEST

START_TEST(misuse)
{
    et_norm_lstm *l = et_norm_lstm_new(NULL, NULL, 3, 4, 1, NULL);
    et_norm_lstm_state s = {NULL, NULL, NULL, NULL};
    et_scope *scope = et_scope_open();

    ck_assert_ptr_null(et_norm_lstm_forward(l, et_zeros(ET_F32, ET_SHAPE(2, 5, 4)), NULL, false, &s));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "[2, 5, 4]"));
    et_error_clear();
    ck_assert_ptr_null(et_norm_lstm_forward(l, et_zeros(ET_F32, ET_SHAPE(2, 5, 3)),
                                            et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){3, 6}),
                                            false, &s));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    ck_assert_ptr_null(s.h);
    et_error_clear();
    ck_assert_ptr_null(et_norm_lstm_forward(l, et_zeros(ET_F32, ET_SHAPE(2, 5, 3)),
                                            et_from(ET_I32, ET_SHAPE(1), (const int32_t[]){3}), false, &s));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    et_error_clear();
    et_scope_close(scope);
    et_module_free(&l->module);
    ck_assert_ptr_null(et_norm_lstm_new(NULL, NULL, 3, 0, 1, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_hyper_lstm_new(NULL, NULL, &(et_hyper_lstm_config){3, 4, 3, 2, 0}, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layer-norm LSTM, HyperLSTM");
    TCase *tc = tcase_create("layers");
    tcase_set_timeout(tc, 60);

    tcase_add_test(tc, golden_norm_lstm);
    tcase_add_test(tc, golden_hyper_lstm);
    tcase_add_test(tc, counts);
    tcase_add_loop_test(tc, lengths, 0, 4);
    tcase_add_test(tc, recurrent_dropout);
    tcase_add_test(tc, threads);
    tcase_add_test(tc, out_of_memory);
    tcase_add_test(tc, misuse);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
