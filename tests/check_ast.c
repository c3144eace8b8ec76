/* AST: sizes, the embedding against its formula, halves, pooling, freezing, wrong use,
 * allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "models/ast.h"
#include "nn/init.h"
#include "nn/optim.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

/* 64 x 16, patches 8 x 8, steps (4, 8): 3 x 8 patches; d 32, 2 layers, 2 heads, 64. */
static et_ast_config little(void)
{
    return (et_ast_config){.bands = 16, .frames = 64, .patch_bands = 8, .patch_frames = 8, .step_bands = 4,
                           .step_frames = 8, .width = 32, .hidden = 64, .layers = 2, .heads = 2,
                           .eps = 1e-12};
}

static et_ast *made(et_ast_config c, et_rng *rng)
{
    et_ast *m = et_ast_new(NULL, NULL, &c, rng);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

static int64_t parameters(et_ast_config c)
{
    et_ast *m = made(c, NULL);
    const int64_t n = et_module_count(&m->module);

    et_module_free(&m->module);
    return n;
}

START_TEST(sizes)
{
    et_ast_config c = et_ast_base();

    ck_assert_int_eq(parameters(little()), 20128);
    if (suite_skips(1))
        return;
    ck_assert_int_eq(parameters(c), 86187264);
    c.classes = 527;
    ck_assert_int_eq(parameters(c), 86594063);
    ck_assert_int_eq(et_ast_named("ast-tiny", &c), ET_OK);
    ck_assert_int_eq(c.width, 192);
    ck_assert_int_eq(c.heads, 3);
    ck_assert_int_eq(et_ast_small().hidden, 1536);
}
END_TEST

/* Token 2 + r cols + c is the product of the patch at band 4 r and frame 8 c with the kernel. */
START_TEST(tokens)
{
    et_rng rng = et_rng_make(1, 0);
    et_ast *m = made(little(), &rng);
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(2, 64, 16));

    et_init_normal(x, 1, &rng);
    et_init_normal(m->patch_bias, 1, &rng);
    et_tensor *z = et_ast_embed(m, x);
    ck_assert_msg(z != NULL, "%s", et_error_message());
    ck_assert_int_eq(z->shape[1], 26);
    const float *w = et_data(m->patch_weight), *bias = et_data(m->patch_bias), *e = et_data(m->position);
    for (int b = 0; b < 2; b++)
        for (int t = 0; t < 26; t++)
            for (int o = 0; o < 32; o++) {
                double y = e[t * 32 + o];
                if (t < 2)
                    y += ((const float *)et_data(t ? m->dist : m->cls))[o];
                for (int f = 0; t >= 2 && f < 8; f++)
                    for (int s = 0; s < 8; s++) {
                        const int band = 4 * ((t - 2) / 8) + f, frame = 8 * ((t - 2) % 8) + s;
                        y += w[(o * 8 + f) * 8 + s] * et_get(x, (const int64_t[]){b, frame, band});
                    }
                y += t >= 2 ? bias[o] : 0;
                ck_assert_double_eq_tol(et_get(z, (const int64_t[]){b, t, o}), y, 1e-5);
            }
    et_module_free(&m->module);
}
END_TEST

START_TEST(halves)
{
    et_ast_config c = little();
    et_rng rng = et_rng_make(2, 0);
    et_tensor *hidden[3], *x = et_empty(ET_F32, ET_SHAPE(2, 64, 16));

    c.classes = 5;
    et_ast *m = made(c, &rng);
    et_module_eval(&m->module);
    et_init_normal(x, 1, &rng);
    et_tensor *y = et_ast_forward(m, x, hidden);
    ck_assert_msg(y != NULL, "%s", et_error_message());
    ck_assert(et_allclose(y, et_layer_norm(hidden[2], m->norm->weight, m->norm->bias, 1e-12), 1e-6, 1e-6,
                          false));
    ck_assert(et_allclose(y, et_ast_encode(m, 1, hidden[1], NULL), 0, 0, false));
    et_tensor *pooled = et_ast_pool(m, y);
    ck_assert(et_allclose(pooled, et_mul_scalar(et_add(et_select(y, 1, 0), et_select(y, 1, 1)), 0.5), 1e-6,
                          1e-6, false));
    for (int first = 0; first <= 2; first++)
        ck_assert(et_allclose(et_ast_encode_pooled(m, first, hidden[first]), pooled, 1e-5, 1e-5, false));
    et_tensor *logits = et_ast_classify(m, pooled);
    ck_assert_int_eq(logits->shape[1], 5);
    et_module_free(&m->module);
    /* without the distillation token */
    c.single = true;
    m = made(c, &rng);
    ck_assert_int_eq(et_module_count(&m->module), 20128 - 64 + 64 + 5 * 33);
    y = et_ast_forward(m, x, NULL);
    ck_assert_int_eq(y->shape[1], 25);
    ck_assert(et_allclose(et_ast_pool(m, y), et_select(y, 1, 0), 0, 0, false));
    pooled = et_ast_encode_pooled(m, 0, et_ast_embed(m, x));
    ck_assert(et_allclose(pooled, et_select(y, 1, 0), 1e-5, 1e-5, false));
    et_module_free(&m->module);
}
END_TEST

START_TEST(freezing)
{
    et_ast_config c = little();
    c.dropout = c.attention_dropout = 0.5;
    et_ast *m = made(c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1, 64, 16)), *hidden[3], *again[3];

    ck_assert_int_eq(et_ast_train_last(m, 0), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(&m->module), 0);
    ck_assert_int_eq(et_ast_train_last(m, 1), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(&m->module), 8544 + 64);
    et_module_train(&m->module);
    ck_assert(et_ast_forward(m, x, hidden) && et_ast_forward(m, x, again));
    ck_assert(et_allclose(hidden[1], again[1], 0, 0, false));
    ck_assert(!et_allclose(hidden[2], again[2], 1e-3, 1e-3, false));
    ck_assert_int_eq(et_ast_train_last(m, -2), ET_EINVAL);
    et_error_clear();
    et_module_free(&m->module);
}
END_TEST

/* The class of a bump's band and of its half of the clip is learned: 8 classes, new items right. */
START_TEST(learns)
{
    enum { B = 16, STEPS = 250, N = 8 };
    et_ast_config c = little();
    et_rng rng = et_rng_make(5, 0);
    const int steps = suite_skips(1) ? 5 : STEPS;
    int right = 0;

    c.classes = N;
    et_ast *m = made(c, &rng);
    et_optim *opt = et_adam_new(&m->module, 2e-3);
    ck_assert_ptr_nonnull(opt);
    for (int step = 0; step < steps + 10; step++) {
        et_scope *s = et_scope_open();
        et_tensor *x = et_empty(ET_F32, ET_SHAPE(B, 64, 16)), *labels = et_empty(ET_I32, ET_SHAPE(B));
        et_init_normal(x, 0.5, &rng);
        float *p = et_data_mut(x);
        int32_t *label = et_data_mut(labels);
        for (int b = 0; b < B; b++) {
            label[b] = (int32_t)et_rng_below(&rng, N);
            for (int t = 0; t < 20; t++)
                p[(b * 64 + 6 + t + 32 * (label[b] / 4)) * 16 + 2 + 4 * (label[b] % 4)] += 2;
        }
        if (step == steps)
            et_module_eval(&m->module);
        et_tensor *logits = et_ast_classify(m, et_ast_pool(m, et_ast_forward(m, x, NULL)));
        if (step < steps) {
            ck_assert_int_eq(et_backward(et_cross_entropy(logits, labels)), ET_OK);
            ck_assert_int_eq(et_optim_step_zero(opt, 1, NULL), ET_OK);
        } else {
            const int32_t *best = et_data(et_argmax(logits, 1, false));
            for (int b = 0; b < B; b++)
                right += best[b] == label[b];
        }
        et_scope_close(s);
    }
    ck_assert_msg(right >= 150 || steps < STEPS, "%d of 160", right);
    et_optim_free(opt);
    et_module_free(&m->module);
}
END_TEST

START_TEST(wrong_use)
{
    et_ast_config c = little(), bad;
    et_ast *m = made(c, NULL);

    for (int i = 0; i < 10; i++) {
        bad = c;
        switch (i) {
        case 0: bad.bands = 7; break;
        case 1: bad.frames = 0; break;
        case 2: bad.patch_bands = 0; break;
        case 3: bad.patch_frames = -1; break;
        case 4: bad.step_bands = 0; break;
        case 5: bad.step_frames = 0; break;
        case 6: bad.heads = 3; break;
        case 7: bad.layers = 0; break;
        case 8: bad.dropout = NAN; break;
        default: bad.classes = -1;
        }
        ck_assert_msg(et_ast_new(NULL, NULL, &bad, NULL) == NULL, "case %d", i);
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        et_error_clear();
    }
    ck_assert_ptr_null(et_ast_new(NULL, NULL, NULL, NULL));
    et_error_clear();
    ck_assert_int_eq(et_ast_named("ast", &bad), ET_EINVAL);
    et_error_clear();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(1, 64, 16)), *y = et_ast_forward(m, x, NULL);
    FAILS(et_ast_forward(NULL, x, NULL), ET_EINVAL, "ast: an argument is NULL");
    FAILS(et_ast_forward(m, NULL, NULL), ET_EINVAL, "ast: an argument is NULL");
    FAILS(et_ast_forward(m, et_zeros(ET_F32, ET_SHAPE(1, 16, 64)), NULL), ET_ESHAPE, "expected [B, 64, 16]");
    FAILS(et_ast_forward(m, et_zeros(ET_F32, ET_SHAPE(64, 16)), NULL), ET_ESHAPE, "expected [B, 64, 16]");
    FAILS(et_ast_forward(m, et_zeros(ET_F64, ET_SHAPE(1, 64, 16)), NULL), ET_EDTYPE, "dtypes differ");
    FAILS(et_ast_encode(m, 3, y, NULL), ET_EINVAL, "cannot begin at block 3 of 2");
    FAILS(et_ast_encode(m, 0, x, NULL), ET_ESHAPE, "gamma is [32], expected [16]");
    FAILS(et_ast_pool(m, et_select(y, 1, 0)), ET_ESHAPE, "expected [B, 2 or more, 32]");
    FAILS(et_ast_classify(m, et_ast_pool(m, y)), ET_EINVAL, "no classifier");
    et_module_free(&m->module);
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_ast_config c = little();
    c.classes = 3;
    et_ast *m = et_ast_new(NULL, NULL, &c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1, 64, 16));

    *out = m ? &m->module : NULL;
    return m && et_ast_classify(m, et_ast_pool(m, et_ast_forward(m, x, NULL)));
}

START_TEST(allocations) { module_sweep(build_and_run, 60); }
END_TEST

int main(void)
{
    Suite *s = suite_create("ast");
    TCase *tc = tcase_create("values"), *alone = tcase_create("allocations");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, tokens);
    tcase_add_test(tc, halves);
    tcase_add_test(tc, freezing);
    tcase_add_test(tc, learns);
    tcase_add_test(tc, wrong_use);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(alone, et_error_clear, NULL);
    tcase_add_test(alone, allocations);
    suite_add_tcase(s, alone);
    return suite_run(s);
}
