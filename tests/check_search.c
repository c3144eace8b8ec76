/* What retrieval is made of: heads, losses of two towers, the nearest of many vectors. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "nn/contrastive.h"
#include "nn/init.h"
#include "nn/nearest.h"
#include "nn/projection.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

/* --- heads --------------------------------------------------------------------------------- */

static et_projection_config head(et_projection_kind kind, int64_t in, int64_t hidden, int64_t out)
{
    return (et_projection_config){.kind = kind, .in = in, .hidden = hidden, .out = out, .dropout = 0.1};
}

/* The parameters of the published variants for encoders 768 wide. */
START_TEST(head_sizes)
{
    static const int64_t parameters[] = {98432, 459392, 115200};

    for (int k = 0; k < 3; k++) {
        et_projection_config c = head((et_projection_kind)k, 768, 512, 128);
        et_projection *p = et_projection_new(NULL, NULL, &c, NULL);
        ck_assert_msg(p != NULL, "%s", et_error_message());
        ck_assert_int_eq(et_module_count(&p->module), parameters[k]);
        et_module_free(&p->module);
    }
    et_projection_config c = head(ET_PROJECTION_SKIP, 768, 0, 128);
    c.no_bias = true;
    et_projection *p = et_projection_new(NULL, NULL, &c, NULL);
    ck_assert_int_eq(et_module_count(&p->module), 115200 - 256);
    et_module_free(&p->module);
}
END_TEST

static double gelu(double x) { return 0.5 * x * (1 + erf(x / sqrt(2))); }

/* One input, two outputs, by hand. */
START_TEST(heads_by_hand)
{
    const double x = 0.7, w1[2] = {0.5, -1.5}, b1[2] = {0.1, 0.3}, w2[4] = {0.25, -0.5, 1, 2},
                 b2[2] = {-0.2, 0.4};
    double p[2], y[2];

    for (int kind = 0; kind < 3; kind++) {
        et_projection_config c = head((et_projection_kind)kind, 1, 2, 2);
        et_projection *h = et_projection_new(NULL, NULL, &c, NULL);
        ck_assert_msg(h != NULL, "%s", et_error_message());
        et_module_to(&h->module, ET_F64);
        et_module_eval(&h->module);
        et_scope *s = et_scope_open();
        et_copy_into(h->linear1->weight, et_from(ET_F64, ET_SHAPE(2, 1), w1));
        et_copy_into(h->linear1->bias, et_from(ET_F64, ET_SHAPE(2), b1));
        if (h->linear2) {
            et_copy_into(h->linear2->weight, et_from(ET_F64, ET_SHAPE(2, 2), w2));
            et_copy_into(h->linear2->bias, et_from(ET_F64, ET_SHAPE(2), b2));
        }
        for (int i = 0; i < 2; i++)
            y[i] = p[i] = w1[i] * x + b1[i];
        for (int i = 0; i < 2 && kind > 0; i++)
            y[i] = w2[2 * i] * gelu(p[0]) + w2[2 * i + 1] * gelu(p[1]) + b2[i] + (kind == 2 ? p[i] : 0);
        if (kind == 2) { /* two values at the same distance from their mean */
            double mean = (y[0] + y[1]) / 2, half = (y[0] - y[1]) / 2;
            y[0] = half / sqrt(half * half + 1e-5);
            y[1] = -y[0];
            ck_assert_double_gt(fabs(mean), 0.01);
        }
        et_tensor *got = et_projection_forward(h, et_from(ET_F64, ET_SHAPE(1, 1), &x));
        HOLDS(got, (1, 2), y[0], y[1]);
        et_scope_close(s);
        et_module_free(&h->module);
    }
}
END_TEST

START_TEST(head_dropout)
{
    et_projection_config c = head(ET_PROJECTION_SKIP, 4, 0, 64);
    c.dropout = 0.5;
    et_projection *h = et_projection_new(NULL, NULL, &c, NULL);
    et_scope *s = et_scope_open();
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1, 4));

    ck_assert_double_gt(et_relative_error(et_projection_forward(h, x), et_projection_forward(h, x)), 1e-3);
    et_module_eval(&h->module);
    ck_assert_double_eq(et_relative_error(et_projection_forward(h, x), et_projection_forward(h, x)), 0);
    et_scope_close(s);
    et_module_free(&h->module);
}
END_TEST

START_TEST(wrong_heads)
{
    et_projection_config bad[] = {head(ET_PROJECTION_LINEAR, 0, 0, 2), head(ET_PROJECTION_LINEAR, 2, 0, 0),
                                  head(ET_PROJECTION_MLP, 2, 0, 2), head(ET_PROJECTION_SKIP, 2, 0, 2)};

    bad[3].dropout = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        FAILS(et_projection_new(NULL, NULL, &bad[i], NULL), ET_EINVAL, "projection");
    FAILS(et_projection_new(NULL, NULL, NULL, NULL), ET_EINVAL, "no configuration");
    FAILS(et_projection_forward(NULL, NULL), ET_EINVAL, "projection");
}
END_TEST

static bool use_head(et_module **out)
{
    et_projection_config c = head(ET_PROJECTION_SKIP, 3, 0, 2);
    et_projection *h = et_projection_new(NULL, NULL, &c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 3)), *y = h ? et_projection_forward(h, x) : NULL;

    *out = h ? &h->module : NULL;
    return y && et_contrastive_loss_at(ET_CONTRASTIVE_MULAN, ET_SCALE_DIVIDE, 0.5, y, y);
}

START_TEST(refused_memory) { module_sweep(use_head, 10); }
END_TEST

/* --- losses ---------------------------------------------------------------------------------- */

/* The scales of S: "TAU" as an exponent and as a divisor; every form is that of its op. */
START_TEST(losses)
{
    et_tensor *f = REAL((2, 2), 1, 0, 0.6, 0.8), *g = REAL((2, 2), 0.8, 0.6, 0, 1);
    const double S[2][2] = {{0.8, 0}, {0.96, 0.8}};

    HOLDS(et_similarity(f, g), (2, 2), S[0][0], S[0][1], S[1][0], S[1][1]);
    for (int mode = 0; mode < 2; mode++) {
        const double t = 0.2, k = mode == 0 ? exp(t) : 1 / t;
        double rows = 0, columns = 0, mulan = 0;
        for (int i = 0; i < 2; i++) {
            rows += log(exp(k * S[i][0]) + exp(k * S[i][1])) - k * S[i][i];
            columns += log(exp(k * S[0][i]) + exp(k * S[1][i])) - k * S[i][i];
            mulan += log(exp(k * S[i][1 - i]) + exp(k * S[1 - i][i])) - k * S[i][i];
        }
        const et_scale_mode m = mode == 0 ? ET_SCALE_EXP : ET_SCALE_DIVIDE;
        HOLDS_ONE(et_contrastive_loss_at(ET_CONTRASTIVE_CLIP, m, t, f, g), (rows + columns) / 4);
        HOLDS_ONE(et_contrastive_loss_at(ET_CONTRASTIVE_MULAN, m, t, f, g), mulan / 2);
        et_tensor *logits = REAL((2, 2), k * S[0][0], k * S[0][1], k * S[1][0], k * S[1][1]);
        HOLDS_ONE(et_contrastive_loss_at(ET_CONTRASTIVE_DECOUPLED, m, t, f, g),
                  et_item(et_decoupled_loss(logits)));
        HOLDS_ONE(et_contrastive_loss_at(ET_CONTRASTIVE_SIGMOID, m, t, f, g),
                  et_item(et_sigmoid_pair_loss(logits)));
    }
    for (int form = 0; form < 4; form++) { /* a learned one, below its limit and at it */
        et_tensor *t = REAL((1), 0.2), *free = et_contrastive_loss_learned((et_contrastive_form)form, t,
                                                                           2, f, g);
        HOLDS_ONE(free, et_item(et_contrastive_loss_at((et_contrastive_form)form, ET_SCALE_EXP, 0.2, f, g)));
        et_tensor *held = et_contrastive_loss_learned((et_contrastive_form)form, t, 1.1, f, g);
        HOLDS_ONE(held, et_item(et_contrastive_loss_at((et_contrastive_form)form, ET_SCALE_EXP, log(1.1),
                                                       f, g)));
    }
    FAILS(et_contrastive_loss_at(ET_CONTRASTIVE_CLIP, ET_SCALE_DIVIDE, 0, f, g), ET_EINVAL, "a scale of 0");
    FAILS(et_contrastive_loss_at(ET_CONTRASTIVE_CLIP, ET_SCALE_EXP, 1e9, f, g), ET_EINVAL,
          "a scale of 1e+09");
    FAILS(et_contrastive_loss((et_contrastive_form)9, f), ET_EINVAL, "no form 9");
    FAILS(et_contrastive_loss_at(ET_CONTRASTIVE_CLIP, ET_SCALE_EXP, 1, f, REAL((1, 2), 1, 0)), ET_ESHAPE,
          "[2, 1]");
}
END_TEST

/* --- the nearest ------------------------------------------------------------------------------- */

/* Whole numbers, so that many products are equal: the order of equal ones counts. */
static void draw(int64_t n, float *out, uint64_t stream)
{
    et_rng rng = et_rng_make(5, stream);

    for (int64_t i = 0; i < n; i++)
        out[i] = (float)et_rng_below(&rng, 5) - 2;
}

/* How many rows stand before row i: those with a larger product, and equal ones before it. */
START_TEST(nearest)
{
    enum { N = 20000, K = 300, WIDEST = 131 };
    const int D = _i ? WIDEST : 7; /* the wide ones come from memory, row by row */
    float *v = malloc((size_t)(N * D) * sizeof *v), query[WIDEST], *product = malloc(N * sizeof *product),
          score[K];
    int32_t index[K];

    draw(N * D, v, 1);
    draw(D, query, 2);
    for (int64_t i = 0; i < N; i++) {
        product[i] = 0;
        for (int j = 0; j < D; j++)
            product[i] += v[i * D + j] * query[j];
    }
    static const int64_t sizes[] = {0, 1, 2, 299, 8192, 8193, N};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int64_t k = 1; k <= K; k = k < 4 ? k + 1 : k * 10 > K ? k == K ? K + 1 : K : k * 10) {
            const int64_t n = sizes[s], got = et_nearest(n, D, v, query, k, index, score);
            ck_assert_int_eq(got, k < n ? k : n);
            for (int64_t r = 0; r < got; r++) {
                int64_t before = 0;
                ck_assert_float_eq(score[r], product[index[r]]);
                for (int64_t i = 0; i < n; i++)
                    before += product[i] > score[r] || (product[i] == score[r] && i < index[r]);
                ck_assert_int_eq(before, r);
                if (n > 300 && r > 20)
                    break;
            }
        }
    free(v);
    free(product);
}
END_TEST

START_TEST(nearest_on_threads)
{
    enum { N = 30000, D = 128, K = 10 };
    float *v = malloc(N * D * sizeof *v), query[D], score[2][K];
    int32_t index[2][K];
    et_rng rng = et_rng_make(1, 1);

    for (int64_t i = 0; i < N * D; i++)
        v[i] = (float)et_rng_normal(&rng);
    for (int j = 0; j < D; j++)
        query[j] = v[777 * D + j];
    et_unit_rows(N, D, v);
    et_unit_rows(1, D, query);
    for (int t = 0; t < 2; t++) {
        ck_assert_int_eq(et_set_num_threads(t ? 3 : 1), ET_OK);
        ck_assert_int_eq(et_nearest(N, D, v, query, K, index[t], score[t]), K);
    }
    ck_assert_int_eq(index[0][0], 777);
    ck_assert_float_eq_tol(score[0][0], 1, 1e-5);
    ck_assert_mem_eq(index[0], index[1], sizeof index[0]);
    ck_assert_mem_eq(score[0], score[1], sizeof score[0]);
    free(v);
}
END_TEST

START_TEST(nearest_misuse)
{
    enum { MANY = 9001 }; /* more than are multiplied at a time */
    static float many[MANY];
    float v[4] = {1, NAN, 0, 1}, query[2] = {1, 1}, score[2];
    int32_t index[2];

    FAILS_STATUS(et_nearest(2, 2, v, query, 2, index, score), ET_ENONFINITE, "vector 0 is NaN");
    many[MANY - 1] = NAN;
    FAILS_STATUS(et_nearest(MANY, 1, many, query, 2, index, score), ET_ENONFINITE, "vector 9000 is NaN");
    FAILS_STATUS(et_nearest(2, 0, v, query, 2, index, score), ET_EINVAL, "nearest");
    FAILS_STATUS(et_nearest(-1, 2, v, query, 2, index, score), ET_EINVAL, "nearest");
    FAILS_STATUS(et_nearest(2, 2, v, query, 0, index, score), ET_EINVAL, "nearest");
    FAILS_STATUS(et_nearest(2, 2, NULL, query, 1, index, score), ET_EINVAL, "NULL");
    FAILS_STATUS(et_nearest(2, 2, v, NULL, 1, index, score), ET_EINVAL, "NULL");
    float zero[2] = {0, 0};
    et_unit_rows(1, 2, zero);
    ck_assert_float_eq(zero[0], 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("search");
    TCase *heads = tcase_create("heads"), *values = tcase_create("values"), *list = tcase_create("nearest");

    tcase_add_checked_fixture(heads, et_error_clear, NULL);
    tcase_add_test(heads, head_sizes);
    tcase_add_test(heads, heads_by_hand);
    tcase_add_test(heads, head_dropout);
    tcase_add_test(heads, wrong_heads);
    tcase_add_test(heads, refused_memory);
    suite_add_tcase(s, heads);
    tcase_add_checked_fixture(values, values_begin, values_end);
    tcase_add_test(values, losses);
    suite_add_tcase(s, values);
    tcase_add_checked_fixture(list, et_error_clear, NULL);
    tcase_add_loop_test(list, nearest, 0, 2);
    tcase_add_test(list, nearest_on_threads);
    tcase_add_test(list, nearest_misuse);
    suite_add_tcase(s, list);
    return suite_run(s);
}
