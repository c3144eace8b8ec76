/* Transformer blocks: golden values, stochastic depth, stacks, wrong use, allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "datasets/csv.h"
#include "nn/init.h"
#include "nn/transformer.h"
#include "tensor/pool.h"
#include "tests/module_sweep.h"
#include "tests/values.h"

enum { D = 8, T = 4 };

static et_transformer_config small(bool post_norm)
{
    return (et_transformer_config){.width = D, .heads = 2, .hidden = 16, .post_norm = post_norm,
                                   .act = ET_ACT_GELU, .eps = post_norm ? 1e-12 : 1e-6};
}

/* Element n of tensor t is 0.2 sin(1 + 0.37 n + 1.7 t). */
static void fill_golden(et_transformer_block *b)
{
    static const char *const order[] = {
        "attn.q.weight", "attn.q.bias", "attn.k.weight", "attn.k.bias",  "attn.v.weight", "attn.v.bias",
        "attn.o.weight", "attn.o.bias", "ln1.weight",    "ln1.bias",     "mlp.0.weight",  "mlp.0.bias",
        "mlp.1.weight",  "mlp.1.bias",  "ln2.weight",    "ln2.bias"};

    for (int t = 0; t < 16; t++) {
        et_tensor *p = et_module_find(&b->module, order[t]);
        ck_assert_msg(p != NULL, "no %s", order[t]);
        double *v = et_data_mut(p);
        for (int64_t n = 0; n < p->numel; n++)
            v[n] = 0.2 * sin(1 + 0.37 * (double)n + 1.7 * t);
    }
}

/* The values of tests/fixtures/golden-blocks.csv called `name`, against x. */
static void golden(const char *name, const et_tensor *x)
{
    char path[4096];
    et_csv *table = et_csv_read(suite_file(path, sizeof path, "fixtures/golden-blocks.csv"), NULL);
    int seen = 0;

    ck_assert_msg(table != NULL && x != NULL, "%s", et_error_message());
    for (int64_t i = 0; i < et_csv_rows(table); i++)
        if (strcmp(et_csv_text(table, i, 0), name) == 0) {
            int at = atoi(et_csv_text(table, i, 1));
            double expected = strtod(et_csv_text(table, i, 2), NULL), got = et_data_f64(x)[at];
            ck_assert_msg(fabs(got - expected) < 2e-10, "%s[%d]: %.12f, expected %.12f", name, at, got,
                          expected);
            seen++;
        }
    ck_assert_int_eq(seen, x->numel);
    et_csv_free(table);
}

START_TEST(golden_blocks)
{
    const bool post = _i;
    et_transformer_config c = small(post);
    et_transformer_block *b = et_transformer_block_new(NULL, NULL, &c, NULL);
    et_tensor *mask = NULL, *x = et_empty(ET_F64, ET_SHAPE(1, T, D));

    ck_assert_msg(b != NULL, "%s", et_error_message());
    et_module_to(&b->module, ET_F64);
    fill_golden(b);
    for (int n = 0; n < T * D; n++)
        ((double *)et_data_mut(x))[n] = cos(0.5 * n + 0.1);
    if (post) {
        mask = et_zeros(ET_F64, ET_SHAPE(1, 1, 1, T));
        et_set(mask, (const int64_t[]){0, 0, 0, 3}, -1e4);
    }
    et_tensor *y = et_transformer_block_forward(b, x, &(et_mha_call){.mask = mask});
    golden(post ? "post_block.out" : "pre_block.out", y);
    ck_assert_int_eq(et_backward(et_sum(post ? y : et_square(y), 0, NULL, false)), ET_OK);
    if (post) {
        golden("post_block.grad_q_bias", et_grad_of(b->attn->q->bias));
    } else {
        golden("pre_block.grad_k_bias", et_grad_of(b->attn->k->bias));
        golden("pre_block.grad_v_bias", et_grad_of(b->attn->v->bias));
    }
    et_module_free(&b->module);
}
END_TEST

/* An item whose branches are skipped comes out as it went in; the others' branches are scaled. */
START_TEST(stochastic_depth)
{
    et_transformer_config c = small(false);
    et_rng rng = et_rng_make(3, 0);
    int skipped = 0;

    c.drop_path = 0.5;
    et_transformer_block *b = et_transformer_block_new(NULL, NULL, &c, &rng);
    ck_assert_msg(b != NULL, "%s", et_error_message());
    b->rng = &rng;
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(400, 2, D));
    et_init_uniform(x, 1, &rng);
    et_tensor *y = et_transformer_block_forward(b, x, NULL);
    for (int i = 0; i < 400; i++)
        skipped += memcmp(et_data_f32(x) + i * 2 * D, et_data_f32(y) + i * 2 * D, 2 * D * sizeof(float)) == 0;
    ck_assert_int_gt(skipped, 60); /* a quarter of 400: both branches */
    ck_assert_int_lt(skipped, 140);
    skipped = 0; /* of the tokens in front alone */
    y = et_transformer_block_front(b, x, NULL, 1);
    for (int i = 0; i < 400; i++)
        skipped += memcmp(et_data_f32(x) + i * 2 * D, et_data_f32(y) + i * D, D * sizeof(float)) == 0;
    ck_assert_int_gt(skipped, 60);
    ck_assert_int_lt(skipped, 140);
    et_module_eval(&b->module);
    y = et_transformer_block_forward(b, x, NULL);
    for (int i = 0; i < 400; i++)
        ck_assert_int_ne(memcmp(et_data_f32(x) + i * 2 * D, et_data_f32(y) + i * 2 * D,
                                2 * D * sizeof(float)), 0);
    et_module_free(&b->module);
}
END_TEST

/* A stack is its blocks one after the other; chances to skip grow evenly; weights are handed out. */
START_TEST(stacks)
{
    et_transformer_config c = small(_i);
    et_tensor *weights[3];

    c.drop_path = 0.3;
    c.act_twice = true;
    et_transformer *t = et_transformer_new(NULL, NULL, 3, &c, NULL);
    ck_assert_msg(t != NULL, "%s", et_error_message());
    ck_assert_ptr_nonnull(et_module_find(&t->module, "2.mlp.1.bias"));
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(t->blocks[i]->config.drop_path, 0.15 * i, 1e-15);
    et_module_eval(&t->module);
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(2, T, D));
    et_init_uniform(x, 1, NULL);
    et_tensor *y = et_transformer_forward(t, x, NULL, weights), *z = x;
    for (int i = 0; i < 3; i++) {
        z = et_transformer_block_forward(t->blocks[i], z, NULL);
        ck_assert_int_eq(weights[i]->shape[1], 2);
        ck_assert(et_allclose(et_sum(weights[i], ET_DIMS(3), false), et_ones(ET_F32, ET_SHAPE(2, 2, T)),
                              0, 1e-5, 0));
    }
    ck_assert(et_allclose(y, z, 1e-5, 1e-5, false));
    /* Unlike without the second activation. */
    t->blocks[2]->config.act_twice = false;
    ck_assert(!et_allclose(et_transformer_forward(t, x, NULL, NULL), z, 1e-3, 1e-3, false));
    et_module_free(&t->module);
}
END_TEST

/* The first tokens alone are those of the whole, and so are the gradients: of blocks of both orders, with
 * fused projections too, all tokens, all but one and one, every kind of mask, blocks computed again. */
START_TEST(first_tokens)
{
    enum { LONG = 24 };
    et_transformer_config c = small(_i & 1);
    et_rng rng = et_rng_make(5, 0);

    c.fused = _i & 2;
    et_transformer *t = et_transformer_new(NULL, NULL, 2, &c, &rng);
    ck_assert_msg(t != NULL, "%s", et_error_message());
    et_module_to(&t->module, ET_F64);
    t->checkpoint = _i & 4;
    et_tensor *x = et_empty(ET_F64, ET_SHAPE(2, LONG, D)), *grads[2][40];
    et_fill_normal(x, &rng, 0, 1);
    et_tensor *rows = et_empty(ET_F64, ET_SHAPE(LONG, LONG)), *keys = et_ones(ET_U8, ET_SHAPE(2, 1, 1, LONG));
    et_fill_normal(rows, &rng, 0, 1);
    for (int i = LONG - 3; i < LONG; i++)
        et_set(keys, (const int64_t[]){1, 0, 0, i}, 0);
    et_tensor *const masks[] = {NULL, rows, keys};
    const int64_t n_entries = et_module_n_entries(&t->module);
    ck_assert_int_le(n_entries, 40);

    for (int mask = 0; mask < 3; mask++)
        for (int64_t n = 1; n <= LONG; n += n == 1 ? LONG - 2 : 1)
            for (int first = 0; first <= 2; first++) {
                et_scope *s = et_scope_open();
                et_tensor *y[2];
                for (int k = 0; k < 2; k++) {
                    et_zero_grad(&t->module);
                    et_tensor *r =
                        k ? et_transformer_forward_front(t, first, x, masks[mask], n)
                          : et_slice(et_transformer_forward_from(t, first, x, masks[mask], NULL), 1, 0, n, 1);
                    ck_assert_msg(r != NULL, "%s", et_error_message());
                    y[k] = et_clone(r);
                    ck_assert(first == 2 || et_backward(et_sum(et_square(r), 0, NULL, false)) == ET_OK);
                    for (int64_t i = 0; i < n_entries; i++) {
                        et_tensor *g = et_grad_of(et_module_entry(&t->module, i)->tensor);
                        grads[k][i] = g ? et_clone(g) : NULL;
                    }
                }
                ck_assert_msg(et_same_shape(y[0], y[1]) && et_allclose(y[0], y[1], 1e-12, 1e-12, false),
                              "mask %d, %d tokens from block %d", mask, (int)n, first);
                for (int64_t i = 0; i < n_entries; i++)
                    if (grads[1][i] && grads[0][i])
                        ck_assert_msg(et_allclose(grads[1][i], grads[0][i], 1e-10, 1e-10, false), "%s",
                                      et_module_entry(&t->module, i)->name);
                    else /* no result depends on the bias of keys */
                        ck_assert_msg(!grads[1][i] &&
                                          (!grads[0][i] ||
                                           strstr(et_module_entry(&t->module, i)->name, ".k.bias")),
                                      "%s", et_module_entry(&t->module, i)->name);
                if (n == 1 && mask != 1 && !c.fused) { /* one query without keys; of 0 once there was one */
                    et_tensor *unused = et_grad_of(t->blocks[1]->attn->k->bias);
                    for (int i = 0; unused && i < D; i++)
                        ck_assert_double_eq(et_data_f64(unused)[i], 0);
                }
                et_scope_close(s);
            }
    et_module_free(&t->module);
}
END_TEST

/* Bytes of the pool that a forward takes at most, without gradients. */
static size_t forward_peak(int layers, bool post_norm)
{
    et_rng rng = et_rng_make(3, 0);
    const et_transformer_config c = small(post_norm);
    et_transformer *t = et_transformer_new(NULL, NULL, layers, &c, &rng);
    et_tensor *x = et_full(ET_F32, ET_SHAPE(64, 32, D), 0.5);
    et_pool_stats stats;

    ck_assert_msg(t && x, "%s", et_error_message());
    et_module_eval(&t->module);
    et_no_grad_begin();
    et_scope *scope = et_scope_open();
    et_pool_get_stats(&stats);
    const size_t before = stats.current;
    et_pool_reset_peak();
    ck_assert_msg(et_transformer_forward(t, x, NULL, NULL) != NULL, "%s", et_error_message());
    et_pool_get_stats(&stats);
    et_scope_close(scope);
    et_no_grad_end();
    et_module_free(&t->module);
    return stats.peak - before;
}

/* Without gradients the memory of a stack is that of a block or two, however high it is. */
START_TEST(forward_memory)
{
    const size_t two = forward_peak(2, _i), twelve = forward_peak(12, _i), x = sizeof(float) * 64 * 32 * D;

    ck_assert_msg(twelve < two + x / 2, "%zu bytes for two blocks, %zu for twelve", two, twelve);
    ck_assert_msg(two < 10 * x, "%zu bytes for an input of %zu", two, x);
}
END_TEST

START_TEST(wrong_use)
{
    const et_transformer_config bad[] = {
        {.heads = 2, .hidden = 4},
        {.width = 8, .heads = 2},
        {.width = 8, .heads = 3, .hidden = 4},
        {.width = 8, .heads = 2, .hidden = 4, .drop_path = 1},
        {.width = 8, .heads = 2, .hidden = 4, .out_dropout = -0.1},
        {.width = 8, .heads = 2, .hidden = 4, .mlp_dropout = NAN},
        {.width = 8, .heads = 2, .hidden = 4, .attention_dropout = 2},
        {.width = 8, .heads = 2, .hidden = 4, .eps = -1},
    };
    et_transformer_config c = small(false);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(et_transformer_block_new(NULL, NULL, &bad[i], NULL));
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        et_error_clear();
    }
    ck_assert_ptr_null(et_transformer_new(NULL, NULL, 0, &c, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_transformer_block_new(NULL, NULL, NULL, NULL));
    et_error_clear();
    et_transformer *t = et_transformer_new(NULL, NULL, 1, &c, NULL);
    ck_assert_ptr_null(et_transformer_forward(t, et_zeros(ET_F32, ET_SHAPE(2, 3, D + 1)), NULL, NULL));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    et_error_clear();
    ck_assert_ptr_null(et_transformer_forward(t, NULL, NULL, NULL));
    et_error_clear();
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(2, 3, D));
    ck_assert_ptr_null(et_transformer_forward_front(t, 0, x, NULL, 0));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "the first 0 tokens of [2, 3, 8]"));
    et_error_clear();
    ck_assert_ptr_null(et_transformer_forward_front(t, 0, x, NULL, 4));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_transformer_forward_front(t, 2, x, NULL, 1));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "cannot begin at block 2 of 1"));
    et_error_clear();
    for (int n = -1; n <= 4; n += n == -1 ? 1 : 4) { /* no block is left */
        ck_assert_ptr_null(et_transformer_forward_front(t, 1, x, NULL, n));
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        et_error_clear();
    }
    ck_assert_ptr_null(et_transformer_forward_front(t, 0, x, et_ones(ET_U8, ET_SHAPE(2, 3)), 1));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "the mask is [2, 3], which does not fit 3 tokens"));
    et_error_clear();
    ck_assert_ptr_null(et_transformer_block_front(NULL, x, NULL, 1));
    et_error_clear();
    et_module_free(&t->module);
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_transformer_config c = small(false);
    et_transformer *t = et_transformer_new(NULL, NULL, 2, &c, NULL);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(1, 2, D)), *w[2];

    *out = t ? &t->module : NULL;
    return t && et_transformer_forward(t, x, NULL, w) && et_transformer_forward_front(t, 0, x, NULL, 1);
}

START_TEST(allocations) { module_sweep(build_and_run, 60); }
END_TEST

int main(void)
{
    Suite *s = suite_create("transformer");
    TCase *tc = tcase_create("values"), *alone = tcase_create("allocations");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, golden_blocks, 0, 2);
    tcase_add_test(tc, stochastic_depth);
    tcase_add_loop_test(tc, stacks, 0, 2);
    tcase_add_loop_test(tc, first_tokens, 0, 8);
    tcase_add_loop_test(tc, forward_memory, 0, 2);
    tcase_add_test(tc, wrong_use);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(alone, et_error_clear, NULL);
    tcase_add_test(alone, allocations);
    suite_add_tcase(s, alone);
    return suite_run(s);
}
