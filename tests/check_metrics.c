/* Metrics: golden values, slow definitions, reference values of scikit-learn
 * (tests/oracle/metrics.py), wrong input. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "nn/metrics.h"
#include "tensor/alloc.h"
#include "tests/files.h"
#include "tests/suite.h"

/* A deterministic number in 0 .. n-1. */
static int64_t pick(uint32_t *state, int64_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (int64_t)(*state >> 8) % n;
}

static void near(double got, double want, double tol)
{
    ck_assert_msg(fabs(got - want) <= tol, "%.17g, expected %.17g", got, want);
}

START_TEST(golden_areas)
{
    const float s[8] = {.9f, .8f, .7f, .7f, .4f, .4f, .4f, .1f};
    const uint8_t y[8] = {1, 0, 1, 0, 0, 1, 0, 0};
    const float equal[4] = {.3f, .3f, .3f, .3f};
    const uint8_t z[4] = {0, 1, 0, 1};
    double v;

    ck_assert_int_eq(et_metric_roc_auc(8, s, y, 1, &v), ET_OK);
    near(v, 0.7, 1e-15);
    ck_assert_int_eq(et_metric_average_precision(8, s, y, 1, &v), ET_OK);
    near(v, 0.642857, 5e-7);
    ck_assert_int_eq(et_metric_roc_auc(4, equal, z, 1, &v), ET_OK);
    near(v, 0.5, 0);
    ck_assert_int_eq(et_metric_average_precision(4, equal, z, 1, &v), ET_OK);
    near(v, 0.5, 0);
}
END_TEST

/* The area as the share of pairs in the right order; the precision at every threshold. */
START_TEST(areas_by_definition)
{
    uint32_t state = (uint32_t)_i + 1;
    enum { N = 37, K = 3 };
    float s[N * K];
    uint8_t y[N * K];

    for (int i = 0; i < N * K; i++) {
        s[i] = (float)(pick(&state, 9) - 4); /* many ties */
        y[i] = (uint8_t)(pick(&state, 4) == 0 ? 255 : 0);
    }
    for (int k = 0; k < K; k++) {
        double wins = 0, pairs = 0, ap = 0, positives = 0, before = 0, v;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                if (y[i * K + k] && !y[j * K + k]) {
                    float a = s[i * K + k], b = s[j * K + k];
                    pairs++;
                    wins += a > b ? 1 : a == b ? 0.5 : 0;
                }
        for (int i = 0; i < N; i++)
            positives += y[i * K + k] != 0;
        for (int threshold = 4; threshold >= -4; threshold--) {
            double hits = 0, chosen = 0;
            for (int i = 0; i < N; i++)
                if (s[i * K + k] >= (float)threshold) {
                    chosen++;
                    hits += y[i * K + k] != 0;
                }
            if (chosen > 0)
                ap += (hits - before) / positives * hits / chosen;
            before = hits;
        }
        ck_assert_int_eq(et_metric_roc_auc(N, s + k, y + k, K, &v), ET_OK);
        near(v, wins / pairs, 1e-14);
        ck_assert_int_eq(et_metric_average_precision(N, s + k, y + k, K, &v), ET_OK);
        near(v, ap, 1e-14);
    }
}
END_TEST

START_TEST(skipped_tags)
{
    /* Tag 0 has both kinds, 1 no positive, 2 no negative. */
    const float s[9] = {1, 1, 1, 2, 2, 2, 3, 3, 3};
    const uint8_t y[9] = {0, 0, 1, 1, 0, 1, 0, 0, 1};
    et_tag_report r;
    double auc[3], ap[3];

    ck_assert_int_eq(et_metric_tags(3, 3, s, y, &r, auc, ap), ET_OK);
    ck_assert_int_eq(r.used, 1);
    ck_assert_int_eq(r.skipped, 2);
    near(r.roc_auc, 0.5, 0);
    near(r.pr_auc, 0.5, 0);
    ck_assert(isnan(auc[1]) && isnan(auc[2]) && isnan(ap[1]) && isnan(ap[2]));
    ck_assert_int_eq(et_metric_tags(3, 1, s, y + 1, &r, NULL, NULL), ET_OK);
    ck_assert_int_eq(et_metric_tags(1, 3, s, y, &r, NULL, NULL), ET_OK);
    ck_assert(isnan(r.roc_auc) && r.used == 0 && r.skipped == 3);
}
END_TEST

START_TEST(retrieval)
{
    /* Query 0: its item is the largest. 1: an equal one stands before it. 2: equal ones stand
     * behind. 3: two are larger. */
    const float s[16] = {9, 1, 1, 1, /**/ 5, 5, 1, 1, /**/ 1, 1, 5, 5, /**/ 3, 3, 0, 1};
    const int64_t even[4] = {0, 1, 12, 30}, odd[3] = {30, 0, 4};
    const int32_t truth[2] = {3, 0};
    int64_t ranks[4];
    et_retrieval_report r;

    ck_assert_int_eq(et_metric_ranks(4, 4, s, NULL, ranks), ET_OK);
    ck_assert_int_eq(ranks[0], 0);
    ck_assert_int_eq(ranks[1], 1);
    ck_assert_int_eq(ranks[2], 0);
    ck_assert_int_eq(ranks[3], 2);
    ck_assert_int_eq(et_metric_ranks(2, 4, s, truth, ranks), ET_OK);
    ck_assert_int_eq(ranks[0], 3);
    ck_assert_int_eq(ranks[1], 0);

    ck_assert_int_eq(et_metric_retrieval(4, even, 0, &r), ET_OK);
    near(r.r_at_1, 0.25, 0);
    near(r.r_at_5, 0.5, 0);
    near(r.r_at_10, 0.5, 0);
    near(r.map10, (1 + 0.5) / 4, 1e-15);
    near(r.mean_rank, 43 / 4.0, 0);
    near(r.median_rank, 6.5, 0);
    ck_assert_int_eq(et_metric_retrieval(3, odd, 1, &r), ET_OK);
    near(r.mean_rank, 34 / 3.0 + 1, 1e-14);
    near(r.median_rank, 5, 0);
    near(r.r_at_1, 1 / 3.0, 0);
    near(et_metric_recall_at(4, even, 13), 0.75, 0);
    near(et_metric_recall_at(2, even + 1, 13), 1, 0);
    near(et_metric_recall_at(0, even, 1), 0, 0);
}
END_TEST

START_TEST(attention)
{
    const float a[10] = {.25f, .25f, .25f, .25f, 0, /**/ 0, 0, 0, .5f, .5f};
    const float scores[6] = {1, 6, 1, /**/ 0, 0, 0}; /* that sum to anything */
    const int32_t lengths[2] = {4, 5}, events[4] = {1, 2, 3, 4}, middle[4] = {1, 2, 1, 2};
    double v[2];

    ck_assert_int_eq(et_metric_attention_entropy(2, 5, a, lengths, v), ET_OK);
    near(v[0], log(4), 1e-15);
    near(v[1], log(2), 1e-15);
    ck_assert_int_eq(et_metric_attention_entropy(2, 5, a, NULL, v), ET_OK);
    near(v[0], log(4), 1e-15);
    ck_assert_int_eq(et_metric_attention_mass(2, 5, a, events, 0, v), ET_OK);
    near(v[0], 0.25, 1e-15);
    near(v[1], 0.5, 1e-15);
    ck_assert_int_eq(et_metric_attention_mass(2, 5, a, events, 2, v), ET_OK);
    near(v[0], 0.75, 1e-15);
    near(v[1], 1, 1e-15);
    ck_assert_int_eq(et_metric_attention_mass(2, 5, a, events, INT64_MAX, v), ET_OK);
    near(v[0], 0.75, 1e-15);
    ck_assert_int_eq(et_metric_attention_mass(2, 3, scores, middle, 0, v), ET_OK);
    near(v[0], 0.75, 0);
    near(v[1], 0, 0);
}
END_TEST

START_TEST(report_with_empty_class)
{
    /* Class 2 never occurs and is never predicted: its F1 is 0 and counts. */
    const int32_t truth[4] = {0, 0, 1, 1}, predicted[4] = {0, 1, 1, 1};
    int64_t counts[9];
    double f1[3], accuracy;
    et_class_report r;

    ck_assert_int_eq(et_metric_accuracy(4, predicted, truth, &accuracy), ET_OK);
    near(accuracy, 0.75, 0);
    ck_assert_int_eq(et_metric_confusion(4, 3, predicted, truth, counts), ET_OK);
    ck_assert_int_eq(counts[0], 1);
    ck_assert_int_eq(counts[1], 1); /* row: truth */
    ck_assert_int_eq(counts[3], 0);
    ck_assert_int_eq(counts[4], 2);
    ck_assert_int_eq(et_metric_report(3, counts, &r, f1), ET_OK);
    near(f1[0], 2 / 3.0, 1e-15);
    near(f1[1], 4 / 5.0, 1e-15);
    near(f1[2], 0, 0);
    near(r.f1_macro, (2 / 3.0 + 4 / 5.0) / 3, 1e-15);
    near(r.f1_micro, 0.75, 0);
    near(r.accuracy, 0.75, 0);
}
END_TEST

/* Softmax in float may give a little more than 1, which costs nothing. */
START_TEST(certain)
{
    const float p[4] = {1, 0, 0, 1.000005f};
    double v;

    ck_assert_int_eq(et_metric_log_loss(2, 2, p, (const int32_t[]){0, 1}, &v), ET_OK);
    near(v, 0, 0);
}
END_TEST

START_TEST(scikit_learn)
{
    enum { N = 100, K = 5, TAGS = 4 };
    static float prob[N * K], score[N * TAGS];
    static uint8_t tag[N * TAGS];
    static int32_t truth[N], predicted[N];
    int64_t counts[K * K], seen = 0;
    double f1[K], auc[TAGS], ap[TAGS], accuracy, loss, top[4];
    et_class_report r;
    et_tag_report t;
    char path[1000], name[40];
    et_csv *in = et_csv_read(suite_file(path, sizeof path, "fixtures/metrics-input.csv"), NULL), *want;

    ck_assert_msg(in != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_csv_rows(in), N);
    for (int i = 0; i < N; i++) {
        int64_t v;
        double d;
        ck_assert_int_eq(et_csv_int(in, i, 0, 0, K - 1, &v), ET_OK);
        truth[i] = (int32_t)v;
        for (int k = 0; k < K; k++) {
            ck_assert_int_eq(et_csv_double(in, i, 1 + k, &d), ET_OK);
            prob[i * K + k] = (float)d;
        }
        for (int k = 0; k < TAGS; k++) {
            ck_assert_int_eq(et_csv_double(in, i, 1 + K + k, &d), ET_OK);
            score[i * TAGS + k] = (float)d;
            ck_assert_int_eq(et_csv_int(in, i, 1 + K + TAGS + k, 0, 1, &v), ET_OK);
            tag[i * TAGS + k] = (uint8_t)v;
        }
    }
    et_csv_free(in);

    ck_assert_int_eq(et_metric_argmax(N, K, prob, predicted), ET_OK);
    ck_assert_int_eq(et_metric_accuracy(N, predicted, truth, &accuracy), ET_OK);
    ck_assert_int_eq(et_metric_confusion(N, K, predicted, truth, counts), ET_OK);
    ck_assert_int_eq(et_metric_report(K, counts, &r, f1), ET_OK);
    ck_assert_int_eq(et_metric_log_loss(N, K, prob, truth, &loss), ET_OK);
    for (int k = 1; k <= 3; k++)
        ck_assert_int_eq(et_metric_top_k(N, K, prob, truth, k, &top[k]), ET_OK);
    ck_assert_int_eq(et_metric_tags(N, TAGS, score, tag, &t, auc, ap), ET_OK);
    ck_assert_int_eq(t.skipped, 1);

    want = et_csv_read(suite_file(path, sizeof path, "fixtures/metrics-expected.csv"), NULL);
    ck_assert_msg(want != NULL, "%s", et_error_message());
    for (int64_t row = 0; row < et_csv_rows(want); row++) {
        const char *what = et_csv_text(want, row, 0);
        double v;
        int a, b;
        ck_assert_int_eq(et_csv_double(want, row, 1, &v), ET_OK);
#define is(text, got)              \
    if (strcmp(what, text) == 0) { \
        near(got, v, 1e-12);       \
        seen++;                    \
    }
        is("accuracy", accuracy);
        is("accuracy", r.accuracy);
        is("f1_macro", r.f1_macro);
        is("f1_micro", r.f1_micro);
        is("precision_macro", r.precision_macro);
        is("recall_macro", r.recall_macro);
        is("log_loss", loss);
        is("roc_auc", t.roc_auc);
        is("pr_auc", t.pr_auc);
        for (a = 0; a < K; a++) {
            snprintf(name, sizeof name, "f1_%d", a);
            is(name, f1[a]);
            for (b = 0; b < K; b++) {
                snprintf(name, sizeof name, "confusion_%d_%d", a, b);
                is(name, (double)counts[a * K + b]);
            }
        }
        for (a = 1; a <= 3; a++) {
            snprintf(name, sizeof name, "top_%d", a);
            is(name, top[a]);
        }
        for (a = 0; a < 3; a++) {
            snprintf(name, sizeof name, "auc_%d", a);
            is(name, auc[a]);
            snprintf(name, sizeof name, "ap_%d", a);
            is(name, ap[a]);
        }
#undef is
    }
    ck_assert_int_eq(seen, et_csv_rows(want) + 1);
    et_csv_free(want);
}
END_TEST

START_TEST(wrong_use)
{
    const float s[4] = {.1f, .2f, .3f, .4f}, bad[4] = {.1f, NAN, .3f, .4f}, negative[2] = {-1, 0};
    const uint8_t y[4] = {0, 1, 0, 1};
    const int32_t labels[2] = {0, 1}, outside[2] = {0, 2}, below[2] = {-1, 0};
    const int64_t zero[4] = {0}, minus[1] = {-1}, around[5] = {0, 5, 1, 1, -1};
    int64_t counts[4], ranks[2];
    int32_t out[2];
    double v, w[2];
    et_class_report r;
    et_tag_report t;
    et_retrieval_report q;

    fails(et_metric_argmax(2, 2, bad, out), ET_ENONFINITE, "item 0 is NaN");
    fails(et_metric_argmax(1, 2, bad + 1, out), ET_ENONFINITE, "item 0 is NaN");
    fails(et_metric_argmax(2, 0, s, out), ET_EINVAL, "argmax");
    fails(et_metric_argmax(2, 2, NULL, out), ET_EINVAL, "argmax");
    fails(et_metric_accuracy(0, labels, labels, &v), ET_EINVAL, "no items");
    fails(et_metric_accuracy(2, NULL, labels, &v), ET_EINVAL, "accuracy");
    fails(et_metric_top_k(2, 2, s, outside, 1, &v), ET_EINVAL, "label 2 of item 1 is not in 0 .. 1");
    fails(et_metric_top_k(2, 2, bad, labels, 1, &v), ET_ENONFINITE, "NaN");
    fails(et_metric_top_k(2, 2, s, labels, 0, &v), ET_EINVAL, "top k");
    fails(et_metric_confusion(2, 2, outside, labels, counts), ET_EINVAL, "label 2");
    fails(et_metric_confusion(2, 2, labels, below, counts), ET_EINVAL, "label -1 of item 0");
    fails(et_metric_report(2, zero, &r, NULL), ET_EINVAL, "all counts are 0");
    fails(et_metric_report(1, minus, &r, NULL), ET_EINVAL, "negative");
    fails(et_metric_report(2, around + 1, &r, NULL), ET_EINVAL, "negative");
    fails(et_metric_log_loss(2, 2, bad, labels, &v), ET_OK, "");
    fails(et_metric_log_loss(2, 2, bad, (const int32_t[]){1, 1}, &v), ET_ENONFINITE, "not a probability");
    fails(et_metric_log_loss(1, 2, negative, labels, &v), ET_ENONFINITE, "-1 of item 0");
    fails(et_metric_log_loss(2, 2, s, outside, &v), ET_EINVAL, "label 2");
    fails(et_metric_roc_auc(4, bad, y, 1, &v), ET_ENONFINITE, "ROC-AUC: score of item 1 is NaN");
    fails(et_metric_roc_auc(0, s, y, 1, &v), ET_EINVAL, "no items");
    fails(et_metric_roc_auc(4, s, y, 0, &v), ET_EINVAL, "ROC-AUC");
    fails(et_metric_average_precision(4, s, NULL, 1, &v), ET_EINVAL, "average precision");
    fails(et_metric_average_precision(4, s, y, 1, NULL), ET_EINVAL, "average precision");
    fails(et_metric_tags(2, 2, bad, y, &t, NULL, NULL), ET_ENONFINITE, "NaN");
    fails(et_metric_ranks(3, 2, s, NULL, ranks), ET_EINVAL, "3 queries");
    fails(et_metric_ranks(2, 2, s, outside, ranks), ET_EINVAL, "item 2 of query 1 is not in 0 .. 1");
    fails(et_metric_ranks(2, 2, bad, labels, ranks), ET_ENONFINITE, "query 0");
    fails(et_metric_retrieval(0, ranks, 0, &q), ET_EINVAL, "no queries");
    fails(et_metric_retrieval(1, zero, 2, &q), ET_EINVAL, "rank base");
    fails(et_metric_retrieval(1, minus, 0, &q), ET_EINVAL, "negative rank");
    fails(et_metric_attention_entropy(1, 2, negative, NULL, w), ET_ENONFINITE, "row 0");
    fails(et_metric_attention_entropy(1, 2, s, (const int32_t[]){3}, w), ET_EINVAL, "length 3");
    fails(et_metric_attention_mass(1, 2, s, (const int32_t[]){1, 3}, 0, w), ET_EINVAL, "1 .. 3");
    fails(et_metric_attention_mass(1, 2, s, (const int32_t[]){1, 2}, -1, w), ET_EINVAL, "attention mass");
    fails(et_metric_attention_mass(1, 2, negative, (const int32_t[]){1, 2}, 0, w), ET_ENONFINITE, "row 0");
}
END_TEST

static bool no_memory(size_t bytes, void *user)
{
    (void)bytes;
    (void)user;
    return false;
}

START_TEST(out_of_memory)
{
    const float s[4] = {.1f, .2f, .3f, .4f};
    const uint8_t y[4] = {0, 1, 0, 1};
    const int64_t ranks[2] = {0, 1};
    et_retrieval_report q;
    et_tag_report t;
    double v;

    et_set_alloc_hook(no_memory, NULL);
    fails(et_metric_roc_auc(4, s, y, 1, &v), ET_ENOMEM, "ROC-AUC");
    fails(et_metric_tags(2, 2, s, y, &t, NULL, NULL), ET_ENOMEM, "tags");
    fails(et_metric_retrieval(2, ranks, 0, &q), ET_ENOMEM, "retrieval");
    et_set_alloc_hook(NULL, NULL);
}
END_TEST

/* "5 1 2 3 4" against "1 2 3 4 5": what stands first in one is found anywhere in the other. */
START_TEST(bleu_of_turned)
{
    const int32_t made[5] = {5, 1, 2, 3, 4}, truth[5] = {1, 2, 3, 4, 5};
    double v;

    ck_assert_int_eq(et_metric_bleu(1, 5, made, truth, 0, &v), ET_OK);
    near(v, pow(5.0 / 5 * 3 / 4 * 2 / 3 * 1 / 2, 0.25), 1e-15);
}
END_TEST

/* "a b c d a b" against "a b c d e a": 1-grams a b c d a (5 of 6: the second b has no partner), 2-grams ab bc
 * cd (3 of 5), 3-grams abc bcd (2 of 4), 4-grams abcd (1 of 3). A shorter result is punished; tokens behind
 * the end count for nothing. */
START_TEST(bleu)
{
    const int32_t made[2][8] = {{1, 2, 3, 4, 1, 2, 0, 9}, {1, 2, 3, 4, 0, 0, 0, 0}};
    const int32_t truth[2][8] = {{1, 2, 3, 4, 5, 1, 0, 8}, {1, 2, 3, 4, 5, 0, 0, 0}};
    double v;

    ck_assert_int_eq(et_metric_bleu(1, 8, made[0], truth[0], 0, &v), ET_OK);
    near(v, pow(5.0 / 6 * 3 / 5 * 2 / 4 * 1 / 3, 0.25), 1e-15);
    ck_assert_int_eq(et_metric_bleu(1, 8, made[1], truth[1], 0, &v), ET_OK);
    near(v, exp(1 - 5.0 / 4), 1e-15);
    ck_assert_int_eq(et_metric_bleu(2, 8, made[0], truth[0], 0, &v), ET_OK); /* sums over both, not a mean */
    near(v, exp(1 - 11.0 / 10) * pow(9.0 / 10 * 6 / 8 * 4 / 6 * 2 / 4, 0.25), 1e-15);
    ck_assert_int_eq(et_metric_bleu(1, 8, truth[1], truth[1], 0, &v), ET_OK);
    near(v, 1, 0);
    ck_assert_int_eq(et_metric_bleu(1, 3, made[0], truth[0], 0, &v), ET_OK); /* no 4-gram */
    near(v, 0, 0);
    ck_assert_int_eq(et_metric_bleu(1, 1, (const int32_t[]){0}, truth[0], 0, &v), ET_OK);
    near(v, 0, 0);
    ck_assert_int_eq(et_metric_bleu(0, 8, made[0], truth[0], 0, &v), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_metric_bleu(1, 8, made[0], NULL, 0, &v), ET_EINVAL);
    et_error_clear();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tc = tcase_create("metrics");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, bleu);
    tcase_add_test(tc, bleu_of_turned);
    tcase_add_test(tc, golden_areas);
    tcase_add_loop_test(tc, areas_by_definition, 0, 50);
    tcase_add_test(tc, skipped_tags);
    tcase_add_test(tc, retrieval);
    tcase_add_test(tc, attention);
    tcase_add_test(tc, report_with_empty_class);
    tcase_add_test(tc, certain);
    tcase_add_test(tc, scikit_learn);
    tcase_add_test(tc, wrong_use);
    tcase_add_test(tc, out_of_memory);
    suite_add_tcase(suite, tc);

    return suite_run(suite);
}
