/* BERT: sizes, masks and padding, halves, pooling, RoBERTa's positions, freezing, wrong use,
 * allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "models/bert.h"
#include "nn/init.h"
#include "tensor/pool.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

/* 2 layers, d 32, 2 heads, 64, 14 positions. */
static et_bert_config little(void)
{
    return (et_bert_config){.vocabulary = 32, .width = 32, .hidden = 64, .layers = 2, .heads = 2,
                            .positions = 14, .types = 2, .pooler = true, .eps = 1e-12};
}

static et_bert *made(et_bert_config c, et_rng *rng)
{
    et_bert *m = et_bert_new(NULL, NULL, &c, rng);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

static int64_t parameters(et_bert_config c)
{
    et_bert *m = made(c, NULL);
    const int64_t n = et_module_count(&m->module);

    et_module_free(&m->module);
    return n;
}

START_TEST(sizes)
{
    et_bert_config c;

    ck_assert_int_eq(parameters(little()), 19744);
    ck_assert_int_eq(parameters(et_bert_tiny()), 4385920);
    if (suite_skips(1))
        return;
    ck_assert_int_eq(parameters(et_bert_base()), 109482240);
    ck_assert_int_eq(parameters(et_roberta_base()), 124645632);
    ck_assert_int_eq(parameters(et_bert_mini()), 11170560);
    ck_assert_int_eq(parameters(et_bert_small()), 28763648);
    ck_assert_int_eq(et_bert_named("bert-mini", &c), ET_OK);
    ck_assert_int_eq(c.width, 256);
}
END_TEST

/* What is padded changes nothing in what is not. */
START_TEST(padding)
{
    et_rng rng = et_rng_make(1, 0);
    et_bert *m = made(little(), &rng);

    et_module_eval(&m->module);
    et_tensor *hidden[3], *short_ids = INTS((2, 4), 3, 5, 7, 9, 4, 1, 8, 31);
    et_tensor *ids = INTS((2, 6), 3, 5, 7, 9, 17, 0, 4, 1, 8, 31, 2, 2);
    et_tensor *mask = MASK((2, 6), 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0);
    et_tensor *a = et_bert_forward(m, short_ids, NULL, NULL, NULL),
              *b = et_bert_forward(m, ids, NULL, mask, hidden);
    ck_assert_msg(a && b, "%s", et_error_message());
    ck_assert(et_allclose(a, et_slice(b, 1, 0, 4, 1), 1e-5, 1e-5, false));
    ck_assert(!et_allclose(a, et_slice(et_bert_forward(m, ids, NULL, NULL, NULL), 1, 0, 4, 1), 1e-3, 1e-3,
                           false));
    ck_assert_ptr_eq(hidden[2], b);
    ck_assert(et_allclose(hidden[0], et_bert_embed(m, ids, NULL), 0, 0, false));
    for (int how = ET_BERT_CLS; how <= ET_BERT_MAX; how++) {
        et_tensor *p = et_bert_pool(m, a, NULL, (et_bert_pooling)how),
                  *q = et_bert_pool(m, b, mask, (et_bert_pooling)how);
        ck_assert_msg(p && q, "%s", et_error_message());
        ck_assert_int_eq(q->ndim, 2);
        ck_assert(et_allclose(p, q, 1e-5, 1e-5, false));
        for (int first = 0; first <= 2; first++) { /* at once the same */
            p = et_bert_encode_pooled(m, first, hidden[first], mask, (et_bert_pooling)how);
            ck_assert(et_allclose(p, q, 1e-5, 1e-5, false));
        }
    }
    /* the halves make the whole; types of another kind do not */
    et_tensor *half = et_bert_encode(m, 1, hidden[1], mask, NULL);
    ck_assert(et_allclose(half, b, 0, 0, false));
    et_tensor *other = et_bert_forward(m, ids, INTS((2, 6), 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1), mask, NULL);
    ck_assert(!et_allclose(other, b, 1e-3, 1e-3, false));
    et_module_free(&m->module);
}
END_TEST

/* RoBERTa counts positions from pad + 1 and not at padding: padding in front shifts nothing. */
START_TEST(roberta)
{
    et_bert_config c = little();
    c.roberta = true;
    c.pad = 1;
    c.types = 1;
    et_rng rng = et_rng_make(2, 0);
    et_bert *m = made(c, &rng);

    et_module_eval(&m->module);
    et_tensor *a = et_bert_embed(m, INTS((1, 3), 0, 7, 2), NULL),
              *b = et_bert_embed(m, INTS((1, 5), 1, 1, 0, 7, 2), NULL);
    ck_assert(et_allclose(a, et_slice(b, 1, 2, 5, 1), 0, 0, false));
    /* x_0 = LN(word[0] + position[2] + type[0]) */
    et_tensor *sum = et_add(et_add(et_select(m->word->weight, 0, 0), et_select(m->position->weight, 0, 2)),
                            et_select(m->type->weight, 0, 0));
    et_tensor *expected = et_layer_norm(et_view(sum, ET_SHAPE(1, 32)), m->norm->weight, m->norm->bias, 1e-12);
    ck_assert(et_allclose(et_select(a, 1, 0), expected, 1e-6, 1e-6, false));
    ck_assert_ptr_nonnull(et_bert_embed(m, et_zeros(ET_I32, ET_SHAPE(1, 12)), NULL));
    ck_assert_ptr_null(et_bert_embed(m, et_zeros(ET_I32, ET_SHAPE(1, 13)), NULL));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    et_error_clear();
    et_module_free(&m->module);
}
END_TEST

/* Frozen layers keep still, do not drop and are not recorded. */
START_TEST(freezing)
{
    et_bert_config c = little();
    c.dropout = c.attention_dropout = 0.5;
    et_rng rng = et_rng_make(3, 0);
    et_bert *m = made(c, &rng);
    et_tensor *ids = INTS((1, 4), 3, 5, 7, 9), *hidden[3], *again[3];
    const int64_t layer = et_module_count(&m->encoder->blocks[1]->module);

    ck_assert_int_eq(et_bert_train_last(m, 1), ET_OK);
    ck_assert_int_eq(layer, 8544);
    ck_assert_int_eq(et_module_count_trainable(&m->module), layer);
    et_module_train(&m->module);
    et_tensor *y = et_bert_forward(m, ids, NULL, NULL, hidden);
    ck_assert_ptr_nonnull(et_bert_forward(m, ids, NULL, NULL, again));
    ck_assert(et_allclose(hidden[1], again[1], 0, 0, false));
    ck_assert(!et_allclose(hidden[2], again[2], 1e-3, 1e-3, false));
    ck_assert(!hidden[1]->requires_grad && y->requires_grad);
    ck_assert_int_eq(et_backward(et_sum(et_square(y), 0, NULL, false)), ET_OK);
    ck_assert_ptr_null(et_grad_of(m->encoder->blocks[0]->attn->q->weight));
    ck_assert_ptr_nonnull(et_grad_of(m->encoder->blocks[1]->attn->q->weight));
    ck_assert_int_eq(et_bert_train_last(m, 0), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(&m->module), 0);
    ck_assert_int_eq(et_bert_train_last(m, 9), ET_OK);
    ck_assert_int_eq(et_module_count_trainable(&m->module), 2 * layer);
    ck_assert_int_eq(et_bert_train_last(m, -1), ET_EINVAL);
    et_error_clear();
    et_module_free(&m->module);
}
END_TEST

/* Forward and backward with dropout, a mask and seven trained layers: the gradient of the first layer's input
 * and of the last layer's values, and what the pool held at most. */
static void step(bool again, et_tensor **input, et_tensor **values, size_t *peak)
{
    et_bert_config c = little();
    et_rng rng = et_rng_make(4, 0);
    c.layers = 8;
    c.dropout = c.attention_dropout = 0.2;
    et_bert *m = made(c, &rng);
    et_pool_stats stats;

    m->encoder->checkpoint = again;
    et_bert_train_last(m, 7);
    *et_rng_default() = et_rng_make(9, 0);
    et_tensor *x = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(16, 14, 32), 0), true),
              *mask = et_ones(ET_U8, ET_SHAPE(16, 14));
    et_tensor *r = et_empty_like(x);
    et_init_normal(x, 1, &rng);
    et_init_normal(r, 1, &rng);
    for (int64_t b = 0; b < 16; b++)
        ((uint8_t *)et_data_mut(mask))[b * 14 + 13] = 0;
    et_scope *s = et_scope_open();
    et_pool_reset_peak();
    et_pool_get_stats(&stats);
    const size_t before = stats.current;
    et_tensor *y = et_bert_encode(m, 0, x, mask, NULL);
    ck_assert_msg(et_backward(et_sum(et_mul(y, r), 0, NULL, false)) == ET_OK, "%s", et_error_message());
    et_pool_get_stats(&stats);
    *peak = stats.peak - before;
    et_scope_close(s);
    *input = et_clone(et_grad_of(x));
    *values = et_clone(et_grad_of(m->encoder->blocks[7]->attn->v->weight));
    et_module_free(&m->module);
}

/* Layers that are computed again give the same gradients and keep less. */
START_TEST(checkpoints)
{
    et_tensor *input[2], *values[2];
    size_t peak[2];

    for (int i = 0; i < 2; i++)
        step(i, &input[i], &values[i], &peak[i]);
    ck_assert(et_allclose(input[0], input[1], 1e-4, 1e-5, false));
    ck_assert(et_allclose(values[0], values[1], 1e-4, 1e-5, false));
    ck_assert(et_item(et_sum(et_square(values[0]), 0, NULL, false)) > 1e-3);
    ck_assert_msg(peak[1] < peak[0] / 2, "%zu instead of %zu", peak[1], peak[0]);
}
END_TEST

START_TEST(wrong_use)
{
    et_bert_config c = little(), bad;
    et_bert *m = made(c, NULL);

    for (int i = 0; i < 11; i++) {
        bad = c;
        switch (i) {
        case 0: bad.vocabulary = 0; break;
        case 1: bad.width = 0; break;
        case 2: bad.heads = 3; break;
        case 3: bad.layers = 0; break;
        case 4: bad.positions = 0; break;
        case 5: bad.types = 0; break;
        case 6: bad.dropout = 1; break;
        case 7: bad.attention_dropout = -1; break;
        case 8: bad.pad = 32; break;
        case 9: bad.roberta = true, bad.pad = 13; break;
        default: bad.eps = NAN;
        }
        ck_assert_msg(et_bert_new(NULL, NULL, &bad, NULL) == NULL, "case %d", i);
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        et_error_clear();
    }
    ck_assert_ptr_null(et_bert_new(NULL, NULL, NULL, NULL));
    et_error_clear();
    ck_assert_int_eq(et_bert_named("bert-huge", &bad), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "bert-tiny"));
    et_error_clear();
    et_tensor *ids = INTS((1, 3), 1, 2, 3), *x = et_bert_forward(m, ids, NULL, NULL, NULL);
    FAILS(et_bert_forward(NULL, ids, NULL, NULL, NULL), ET_EINVAL, "bert: an argument is NULL");
    FAILS(et_bert_forward(m, NULL, NULL, NULL, NULL), ET_EINVAL, "bert: an argument is NULL");
    FAILS(et_bert_forward(m, et_zeros(ET_I32, ET_SHAPE(1, 15)), NULL, NULL, NULL), ET_ESHAPE,
          "expected [B, at most 14]");
    FAILS(et_bert_forward(m, et_zeros(ET_I32, ET_SHAPE(3)), NULL, NULL, NULL), ET_ESHAPE, "ids are [3]");
    FAILS(et_bert_forward(m, et_zeros(ET_F32, ET_SHAPE(1, 3)), NULL, NULL, NULL), ET_EDTYPE, "must be int32");
    FAILS(et_bert_forward(m, INTS((1, 1), 32), NULL, NULL, NULL), ET_EINVAL, "index 32 is outside 0 .. 31");
    FAILS(et_bert_forward(m, INTS((1, 1), -1), NULL, NULL, NULL), ET_EINVAL, "index -1 is outside 0 .. 31");
    FAILS(et_bert_forward(m, ids, INTS((1, 3), 0, 1, 2), NULL, NULL), ET_EINVAL, "index 2 is outside 0 .. 1");
    FAILS(et_bert_forward(m, ids, INTS((1, 2), 0, 1), NULL, NULL), ET_ESHAPE, "types of the same shape");
    FAILS(et_bert_forward(m, ids, NULL, MASK((1, 2), 1, 1), NULL), ET_ESHAPE, "mask must be uint8 [1, 3]");
    FAILS(et_bert_forward(m, ids, NULL, INTS((1, 3), 1, 1, 1), NULL), ET_EDTYPE, "mask must be uint8 [1, 3]");
    FAILS(et_bert_encode(m, 3, x, NULL, NULL), ET_EINVAL, "cannot begin at block 3 of 2");
    FAILS(et_bert_encode(m, -1, x, NULL, NULL), ET_EINVAL, "cannot begin at block -1 of 2");
    FAILS(et_bert_encode(m, 0, et_select(x, 1, 0), NULL, NULL), ET_ESHAPE, "expected [B, T, 32]");
    FAILS(et_bert_pool(m, et_select(x, 1, 0), NULL, ET_BERT_CLS), ET_ESHAPE, "expected [B, T, 32]");
    FAILS(et_bert_pool(m, x, NULL, (et_bert_pooling)9), ET_EINVAL, "no such pooling");
    FAILS(et_bert_pool(m, x, MASK((1, 2), 1, 1), ET_BERT_MEAN), ET_ESHAPE, "mask must be uint8 [1, 3]");
    et_module_free(&m->module);
    c.pooler = false;
    m = made(c, NULL);
    FAILS(et_bert_pool(m, x, NULL, ET_BERT_POOLER), ET_EINVAL, "no pooler");
    et_module_free(&m->module);
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_bert_config c = little();
    et_bert *m = et_bert_new(NULL, NULL, &c, NULL);
    et_tensor *ids = et_zeros(ET_I32, ET_SHAPE(1, 3)), *mask = et_ones(ET_U8, ET_SHAPE(1, 3)), *hidden[3];
    et_tensor *x = m ? et_bert_forward(m, ids, NULL, mask, hidden) : NULL;

    *out = m ? &m->module : NULL;
    return x && et_bert_pool(m, x, mask, ET_BERT_MEAN);
}

START_TEST(allocations) { module_sweep(build_and_run, 60); }
END_TEST

int main(void)
{
    Suite *s = suite_create("bert");
    TCase *tc = tcase_create("values"), *alone = tcase_create("allocations");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, padding);
    tcase_add_test(tc, roberta);
    tcase_add_test(tc, freezing);
    tcase_add_test(tc, checkpoints);
    tcase_add_test(tc, wrong_use);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(alone, et_error_clear, NULL);
    tcase_add_test(alone, allocations);
    suite_add_tcase(s, alone);
    return suite_run(s);
}
