/* Pre-training of BERT: which words are masked and by what, rows of two sentences, learning, wrong use,
 * allocation failures. Losses and gradients are held against PyTorch in check_towers. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "models/bert_pretrain.h"
#include "nn/optim.h"
#include "tests/module_sweep.h"
#include "tests/suite.h"
#include "tests/values.h"

enum { V = 30, CLS = 1, SEP = 2, MASK = 3 };
static const int32_t special[] = {0, CLS, SEP, MASK};

static et_bert_masking masking(void)
{
    return (et_bert_masking){.mask = MASK, .vocabulary = V, .special = special, .n_special = 4};
}

static et_bert_config little(void)
{
    return (et_bert_config){.vocabulary = V, .width = 32, .hidden = 64, .layers = 2, .heads = 2,
                            .positions = 14, .types = 2, .pooler = true, .eps = 1e-12};
}

START_TEST(sizes)
{
    et_bert_config c = little();
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, NULL);

    ck_assert_msg(m != NULL, "%s", et_error_message());
    /* beside BERT: c, W and b, the norm, V and d; the decoder is the embedding */
    ck_assert_int_eq(et_module_count(&m->module), et_module_count(&m->bert->module) + V + 33 * 32 + 64 + 66);
    ck_assert_ptr_eq(et_module_find(&m->module, "cls.predictions.decoder.weight"), m->bert->word->weight);
    et_module_free(&m->module);
}
END_TEST

/* The bias is the logarithm of each word's share, one more of each, so that a new model begins near
 * the entropy of the frequencies. */
START_TEST(begins_with_frequencies)
{
    enum { B = 40, T = 14 };
    et_bert_config c = little();
    c.plain_init = true;
    et_rng rng = et_rng_make(3, 0);
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, &rng);
    double counts[V] = {0}, entropy = 0;

    ck_assert_msg(m != NULL, "%s", et_error_message());
    const float *position = et_data(m->bert->position->weight);
    for (int t = 0; t < 14; t++) /* a wave and the same a quarter later: sin^2 + cos^2 */
        for (int i = 0; i < 32; i += 2)
            ck_assert_double_eq_tol(hypot((double)position[t * 32 + i], (double)position[t * 32 + i + 1]),
                                    sqrt(2), 1e-5);
    ck_assert_double_eq_tol((double)position[5 * 32], sqrt(2) * sin(5), 1e-5);
    ck_assert_double_eq_tol((double)((const float *)et_data(m->norm->weight))[7], 1 / sqrt(32), 1e-6);
    for (int v = 4; v < V; v++)
        counts[v] = v == 9 ? 400 : v;
    double total = V;
    for (int v = 0; v < V; v++)
        total += counts[v];
    ck_assert_int_eq(et_bert_pretrain_frequencies(m, counts), ET_OK);
    for (int v = 0; v < V; v++)
        ck_assert_double_eq_tol(((const float *)et_data(m->bias))[v], log((counts[v] + 1) / total), 1e-5);
    /* words drawn by these frequencies are guessed at their entropy, but for what the random weights add */
    et_tensor *ids = et_empty(ET_I32, ET_SHAPE(B, T)),
              *targets = et_full(ET_I32, ET_SHAPE(B, T), ET_BERT_NO_TARGET);
    for (int64_t i = 0; i < B * T; i++) {
        double u = et_rng_uniform(&rng) * (total - V);
        int v = 4;
        while (v < V - 1 && (u -= counts[v]) >= 0)
            v++;
        ((int32_t *)et_data_mut(ids))[i] = v;
        if (i % T == 3) {
            ((int32_t *)et_data_mut(ids))[i] = MASK;
            ((int32_t *)et_data_mut(targets))[i] = v;
            entropy -= log((counts[v] + 1) / total) / B;
        }
    }
    et_module_eval(&m->module);
    const double loss = et_item(et_bert_pretrain_loss(m, ids, NULL, NULL, targets, NULL));
    ck_assert_msg(fabs(loss - entropy) < 1, "%g beside %g", loss, entropy);

    counts[5] = -1;
    FAILS_STATUS(et_bert_pretrain_frequencies(m, counts), ET_EINVAL, "a count of -1 for word 5");
    counts[5] = NAN;
    FAILS_STATUS(et_bert_pretrain_frequencies(m, counts), ET_EINVAL, "for word 5");
    counts[5] = INFINITY;
    FAILS_STATUS(et_bert_pretrain_frequencies(m, counts), ET_EINVAL, "a count of inf for word 5");
    counts[5] = counts[6] = 1.5e308; /* each is a number, their sum is none */
    FAILS_STATUS(et_bert_pretrain_frequencies(m, counts), ET_EINVAL, "for word 6");
    ck_assert_double_eq_tol(((const float *)et_data(m->bias))[0], log(1 / total), 1e-5);
    FAILS_STATUS(et_bert_pretrain_frequencies(m, NULL), ET_EINVAL, "counts");
    FAILS_STATUS(et_bert_pretrain_frequencies(NULL, counts), ET_EINVAL, "no model");
    et_module_free(&m->module);
}
END_TEST

/* Of 40 words in each row 6 are chosen, of which 80% are [MASK], 10% any word, 10% as they were. */
START_TEST(words_are_masked)
{
    enum { B = 500, T = 50 };
    et_bert_masking how = masking();
    et_rng rng = et_rng_make(5, 0), same = et_rng_make(5, 0);
    et_tensor *ids = et_empty(ET_I32, ET_SHAPE(B, T)), *valid = et_zeros(ET_U8, ET_SHAPE(B, T)), *to,
              *targets, *again, *unused;
    int32_t *p = et_data_mut(ids);
    uint8_t *keep = et_data_mut(valid);
    int chosen = 0, masked = 0, stayed = 0, place[T] = {0};

    for (int b = 0; b < B; b++)
        for (int t = 0; t < T; t++) {
            p[b * T + t] = t == 0 ? CLS : t == 41 ? SEP : t > 41 ? 7 : 4 + (b + t) % (V - 4);
            keep[b * T + t] = t <= 41;
        }
    ck_assert_int_eq(et_bert_mask_words(&how, ids, valid, &rng, &to, &targets), ET_OK);
    ck_assert_int_eq(et_bert_mask_words(&how, ids, valid, &same, &again, &unused), ET_OK);
    ck_assert(et_equal(to, again));
    const int32_t *q = et_data(to), *w = et_data(targets);
    for (int b = 0; b < B; b++) {
        int in_row = 0;
        for (int t = 0; t < T; t++) {
            const int i = b * T + t;
            if (w[i] == ET_BERT_NO_TARGET) {
                ck_assert_int_eq(q[i], p[i]);
                continue;
            }
            ck_assert(t >= 1 && t <= 40);
            ck_assert_int_eq(w[i], p[i]);
            ck_assert(q[i] == MASK || (q[i] > MASK && q[i] < V));
            masked += q[i] == MASK;
            stayed += q[i] == p[i];
            place[t]++;
            in_row++;
        }
        ck_assert_int_eq(in_row, 6);
        chosen += in_row;
    }
    ck_assert_int_eq(chosen, 3000);
    ck_assert_msg(masked > 2320 && masked < 2480, "%d", masked); /* 2400 +- 3.6 sigma */
    ck_assert_msg(stayed > 240 && stayed < 385, "%d", stayed);   /* 300 + 300 / 26 */
    for (int t = 1; t <= 40; t++)
        ck_assert_msg(place[t] > 40 && place[t] < 115, "%d at %d", place[t], t); /* 75 */
    /* other shares; a row always has one, unless all are special */
    how.share = 0.01;
    how.masked = 1;
    ids = INTS((2, 4), CLS, 9, 8, SEP, CLS, SEP, 0, 0);
    ck_assert_int_eq(et_bert_mask_words(&how, ids, NULL, &rng, &to, &targets), ET_OK);
    q = et_data(to);
    ck_assert_int_eq((q[1] == MASK) + (q[2] == MASK), 1);
    ck_assert(memcmp(q + 4, (int32_t[]){CLS, SEP, 0, 0}, 4 * sizeof *q) == 0);
}
END_TEST

START_TEST(pairs)
{
    static const int32_t a[] = {10, 11, 12, 13}, b[] = {20, 21, 22};
    static const struct {
        int64_t T, na, nb, n;
        int32_t row[10];
    } cases[] = {
        {10, 4, 3, 10, {1, 10, 11, 12, 13, 2, 20, 21, 22, 2}},
        {10, 2, 3, 8, {1, 10, 11, 2, 20, 21, 22, 2, 0, 0}},
        {9, 4, 3, 9, {1, 10, 11, 12, 2, 20, 21, 22, 2}},
        {8, 4, 3, 8, {1, 10, 11, 12, 2, 20, 21, 2}},
        {8, 4, 1, 8, {1, 10, 11, 12, 13, 2, 20, 2}},
        {7, 4, 1, 7, {1, 10, 11, 12, 2, 20, 2}},
        {6, 1, 3, 6, {1, 10, 2, 20, 21, 2}},
        {3, 4, 3, 3, {1, 2, 2}},
        {6, 0, 2, 5, {1, 2, 20, 21, 2, 0}},
    };
    int32_t row[10], types[10];
    uint8_t mask[10];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t T = cases[i].T;
        ck_assert_int_eq(et_bert_pair(a, cases[i].na, b, cases[i].nb, CLS, SEP, 0, T, row, types, mask),
                         cases[i].n);
        int ends = 0;
        for (int t = 0; t < T; t++) {
            ck_assert_msg(row[t] == cases[i].row[t], "case %d, token %d", (int)i, t);
            ck_assert_int_eq(types[t], ends == 1);
            ck_assert_int_eq(mask[t], t < cases[i].n);
            ends += row[t] == SEP;
        }
    }
    ck_assert_int_eq(et_bert_pair(a, 4, NULL, 0, CLS, SEP, 0, 5, row, NULL, NULL), 5);
    ck_assert(memcmp(row, (int32_t[]){1, 10, 11, 12, 2}, 5 * sizeof *row) == 0);
    ck_assert_int_eq(et_bert_pair(a, 4, b, 3, CLS, SEP, 0, 2, row, NULL, NULL), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_bert_pair(a, -1, b, 3, CLS, SEP, 0, 9, row, NULL, NULL), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_bert_pair(NULL, 2, b, 3, CLS, SEP, 0, 9, row, NULL, NULL), ET_EINVAL);
    et_error_clear();
}
END_TEST

/* Sentences count upwards in steps of one; the second goes on where the first ended, or somewhere else. A
 * masked word can be told from its neighbours, and both tasks are learned:
 * from ln 8 = 2.08 and ln 2 = 0.69. */
START_TEST(learns)
{
    enum { B = 16, T = 12, STEPS = 1500, N = 8 };
    et_bert_config c = little();
    et_bert_masking how = masking();
    c.vocabulary = how.vocabulary = 4 + N;
    et_rng rng = et_rng_make(7, 0);
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, &rng);
    et_optim *opt = et_adam_new(&m->module, 2e-3);
    double words = 0, next = 0;
    const int steps = suite_skips(1) ? 20 : STEPS;

    ck_assert_msg(m && opt, "%s", et_error_message());
    for (int step = 0; step < steps; step++) {
        et_scope *s = et_scope_open();
        et_tensor *ids = et_empty(ET_I32, ET_SHAPE(B, T)), *types = et_empty(ET_I32, ET_SHAPE(B, T));
        et_tensor *valid = et_empty(ET_U8, ET_SHAPE(B, T)), *labels = et_empty(ET_I32, ET_SHAPE(B)), *masked,
                  *targets;
        for (int i = 0; i < B; i++) {
            int32_t a[5], b[4];
            const int from = (int)et_rng_below(&rng, N), na = 3 + (int)et_rng_below(&rng, 3);
            ((int32_t *)et_data_mut(labels))[i] = i % 2;
            for (int k = 0; k < na; k++)
                a[k] = 4 + (from + k) % (N);
            for (int k = 0; k < 4; k++)
                b[k] = 4 + (from + na + k + (i % 2 ? 2 + from % 4 : 0)) % (N);
            et_bert_pair(a, na, b, 4, CLS, SEP, 0, T, (int32_t *)et_data_mut(ids) + i * T,
                         (int32_t *)et_data_mut(types) + i * T, (uint8_t *)et_data_mut(valid) + i * T);
        }
        ck_assert_msg(!et_bert_mask_words(&how, ids, valid, &rng, &masked, &targets), "%s",
                      et_error_message());
        et_tensor *x = et_bert_forward(m->bert, masked, types, valid, NULL);
        et_tensor *w = et_bert_masked_loss(m, x, targets), *n = et_bert_next_loss(m, x, labels);
        if (step >= STEPS - 50) {
            words += et_item(w) / 50;
            next += et_item(n) / 50;
        }
        ck_assert_int_eq(et_backward(et_add(w, n)), ET_OK);
        ck_assert_int_eq(et_optim_step_zero(opt, 1, NULL), ET_OK);
        et_scope_close(s);
    }
    if (steps == STEPS) {
        ck_assert_msg(words < 0.5, "masked words %g", words);
        ck_assert_msg(next < 0.3, "next sentences %g", next);
    }
    et_optim_free(opt);
    et_module_free(&m->module);
}
END_TEST

START_TEST(wrong_use)
{
    et_bert_config c = little();
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, NULL);
    et_tensor *ids = INTS((1, 3), 4, 5, 6), *none = INTS((1, 3), -100, -100, -100), *to = ids, *targets = ids;
    et_tensor *x = et_bert_forward(m->bert, ids, NULL, NULL, NULL);

    for (int i = 0; i < 11; i++) {
        et_bert_masking how = masking();
        et_tensor *words = ids, *valid = NULL;
        switch (i) {
        case 0: how.share = 1.5; break;
        case 1: how.masked = -0.1; break;
        case 2: how.masked = 0.8, how.random = 0.3; break;
        case 3: how.mask = V; break;
        case 4: how.vocabulary = 0; break;
        case 5: how.vocabulary = 4; break;
        case 6: how.special = NULL; break;
        case 7: words = INTS((1, 2), 4, V); break;
        case 8: words = INTS((1, 2), 4, -1); break;
        case 9: how.share = NAN; break;
        default: words = NULL;
        }
        ck_assert_msg(et_bert_mask_words(&how, words, valid, NULL, &to, &targets) == ET_EINVAL, "case %d", i);
        ck_assert(!to && !targets);
        et_error_clear();
    }
    et_bert_masking how = masking();
    ck_assert_int_eq(et_bert_mask_words(&how, et_zeros(ET_F32, ET_SHAPE(1, 3)), NULL, NULL, &to, &targets),
                     ET_EDTYPE);
    et_error_clear();
    ck_assert_int_eq(et_bert_mask_words(&how, et_zeros(ET_I32, ET_SHAPE(3)), NULL, NULL, &to, &targets),
                     ET_ESHAPE);
    et_error_clear();
    ck_assert_int_eq(et_bert_mask_words(&how, ids, MASK((1, 2), 1, 1), NULL, &to, &targets), ET_ESHAPE);
    et_error_clear();
    ck_assert_int_eq(et_bert_mask_words(NULL, ids, NULL, NULL, &to, &targets), ET_EINVAL);
    et_error_clear();

    FAILS(et_bert_masked_loss(m, x, none), ET_EINVAL, "no word is to be guessed");
    FAILS(et_bert_masked_loss(m, x, INTS((1, 3), -100, V, 3)), ET_EINVAL, "label 30 of item 0");
    FAILS(et_bert_masked_loss(m, x, INTS((3), 1, 2, 3)), ET_ESHAPE, "targets must be int32");
    FAILS(et_bert_masked_loss(m, x, et_zeros(ET_F32, ET_SHAPE(1, 3))), ET_EDTYPE, "targets must be int32");
    FAILS(et_bert_masked_loss(NULL, x, none), ET_EINVAL, "bert: an argument is NULL");
    FAILS(et_bert_next_loss(m, x, INTS((1), 2)), ET_EINVAL, "label 2 of item 0");
    FAILS(et_bert_next_loss(m, x, INTS((2), 0, 1)), ET_ESHAPE, "got [2]");
    FAILS(et_bert_predict(m, x, INTS((1), 3)), ET_EINVAL, "index 3 is outside 0 .. 2");
    FAILS(et_bert_predict(m, et_select(x, 1, 0), INTS((1), 0)), ET_ESHAPE, "must be [B, T, 32]");
    FAILS(et_bert_pretrain_loss(NULL, ids, NULL, NULL, ids, NULL), ET_EINVAL, "bert: an argument is NULL");
    ck_assert_int_eq(et_bert_pretrain_load(NULL, "x", NULL), ET_EINVAL);
    et_error_clear();
    et_module_free(&m->module);
    c.pooler = false;
    m = et_bert_pretrain_new(NULL, NULL, &c, NULL);
    FAILS(et_bert_next_loss(m, x, INTS((1), 0)), ET_EINVAL, "without a pooler");
    et_module_free(&m->module);
    c.heads = 5;
    ck_assert_ptr_null(et_bert_pretrain_new(NULL, NULL, &c, NULL));
    et_error_clear();
    ck_assert_ptr_null(et_bert_pretrain_new(NULL, NULL, NULL, NULL));
    et_error_clear();
}
END_TEST

static bool build_and_run(et_module **out)
{
    et_bert_config c = little();
    et_bert_masking how = masking();
    et_bert_pretrain *m = et_bert_pretrain_new(NULL, NULL, &c, NULL);
    et_tensor *ids = et_full(ET_I32, ET_SHAPE(1, 3), 5), *valid = et_ones(ET_U8, ET_SHAPE(1, 3)), *masked,
              *targets;

    *out = m ? &m->module : NULL;
    return m && !et_bert_mask_words(&how, ids, valid, NULL, &masked, &targets) &&
           !et_backward(et_bert_pretrain_loss(m, masked, NULL, valid, targets,
                                              et_zeros(ET_I32, ET_SHAPE(1))));
}

START_TEST(allocations) { module_sweep(build_and_run, 60); }
END_TEST

int main(void)
{
    Suite *s = suite_create("bert_pretrain");
    TCase *tc = tcase_create("values"), *alone = tcase_create("allocations");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, sizes);
    tcase_add_test(tc, begins_with_frequencies);
    tcase_add_test(tc, words_are_masked);
    tcase_add_test(tc, pairs);
    tcase_add_test(tc, learns);
    tcase_add_test(tc, wrong_use);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(alone, et_error_clear, NULL);
    tcase_add_test(alone, allocations);
    suite_add_tcase(s, alone);
    return suite_run(s);
}
