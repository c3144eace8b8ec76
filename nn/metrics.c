/* Accuracy, F1, areas, ranks and attention measures. */
#include "config.h"

#include "nn/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"

/* --- one class per item -------------------------------------------------------- */

et_status et_metric_argmax(int64_t n, int64_t K, const float *scores, int32_t *out)
{
    if (n < 0 || K < 1 || !scores || !out)
        return et_raise(ET_EINVAL, "argmax: n %" PRId64 ", K %" PRId64 ", or NULL", n, K);
    for (int64_t i = 0; i < n; i++) {
        const float *s = scores + i * K;
        int64_t best = 0;
        for (int64_t k = 0; k < K; k++) {
            if (isnan(s[k]))
                return et_raise(ET_ENONFINITE, "argmax: score of item %" PRId64 " is NaN", i);
            if (s[k] > s[best])
                best = k;
        }
        out[i] = (int32_t)best;
    }
    return ET_OK;
}

et_status et_metric_accuracy(int64_t n, const int32_t *predicted, const int32_t *truth, double *out)
{
    int64_t right = 0;

    if (n < 1 || !predicted || !truth || !out)
        return et_raise(ET_EINVAL, "accuracy: no items, or NULL");
    for (int64_t i = 0; i < n; i++)
        right += predicted[i] == truth[i];
    *out = (double)right / (double)n;
    return ET_OK;
}

/* Number of entries of s[0 .. n-1] that stand before entry `it` in descending order, the
 * smaller index first among equal ones; -1 if there is a NaN. */
static int64_t rank_of(int64_t n, const float *s, int64_t it)
{
    int64_t before = 0;
    for (int64_t j = 0; j < n; j++) {
        if (isnan(s[j]))
            return -1;
        before += s[j] > s[it] || (s[j] == s[it] && j < it);
    }
    return before;
}

static et_status bad_label(const char *what, int32_t label, int64_t item, int64_t K)
{
    return et_raise(ET_EINVAL, "%s: label %" PRId32 " of item %" PRId64 " is not in 0 .. %" PRId64, what,
                    label, item, K - 1);
}

et_status et_metric_top_k(int64_t n, int64_t K, const float *scores, const int32_t *truth, int64_t k,
                          double *out)
{
    int64_t right = 0;

    if (n < 1 || K < 1 || k < 1 || !scores || !truth || !out)
        return et_raise(ET_EINVAL, "top k: bad size, or NULL");
    for (int64_t i = 0; i < n; i++) {
        int64_t rank;
        if (truth[i] < 0 || truth[i] >= K)
            return bad_label("top k", truth[i], i, K);
        rank = rank_of(K, scores + i * K, truth[i]);
        if (rank < 0)
            return et_raise(ET_ENONFINITE, "top k: score of item %" PRId64 " is NaN", i);
        right += rank < k;
    }
    *out = (double)right / (double)n;
    return ET_OK;
}

et_status et_metric_confusion(int64_t n, int64_t K, const int32_t *predicted, const int32_t *truth,
                              int64_t *counts)
{
    if (n < 0 || K < 1 || !predicted || !truth || !counts)
        return et_raise(ET_EINVAL, "confusion: bad size, or NULL");
    for (int64_t i = 0; i < K * K; i++)
        counts[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0 || truth[i] >= K)
            return bad_label("confusion", truth[i], i, K);
        if (predicted[i] < 0 || predicted[i] >= K)
            return bad_label("confusion", predicted[i], i, K);
        counts[truth[i] * K + predicted[i]]++;
    }
    return ET_OK;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0.0; }

et_status et_metric_report(int64_t K, const int64_t *counts, et_class_report *out, double *per_class)
{
    et_class_report r = {0, 0, 0, 0, 0};
    double all = 0, right = 0;

    if (K < 1 || !counts || !out)
        return et_raise(ET_EINVAL, "report: K %" PRId64 ", or NULL", K);
    for (int64_t k = 0; k < K; k++) {
        double tp = (double)counts[k * K + k], row = 0, column = 0, f1;
        for (int64_t j = 0; j < K; j++) {
            if (counts[k * K + j] < 0)
                return et_raise(ET_EINVAL, "report: negative count");
            row += (double)counts[k * K + j];
            column += (double)counts[j * K + k];
        }
        f1 = ratio(2 * tp, row + column); /* row = TP + FN, column = TP + FP */
        if (per_class)
            per_class[k] = f1;
        r.f1_macro += f1;
        r.recall_macro += ratio(tp, row);
        r.precision_macro += ratio(tp, column);
        right += tp;
        all += row;
    }
    if (!(all > 0))
        return et_raise(ET_EINVAL, "report: all counts are 0");
    r.f1_macro /= (double)K;
    r.recall_macro /= (double)K;
    r.precision_macro /= (double)K;
    r.accuracy = right / all;
    r.f1_micro = 2 * right / (2 * all); /* every miss is one FP and one FN */
    *out = r;
    return ET_OK;
}

et_status et_metric_log_loss(int64_t n, int64_t K, const float *probabilities, const int32_t *truth,
                             double *out)
{
    double sum = 0;

    if (n < 1 || K < 1 || !probabilities || !truth || !out)
        return et_raise(ET_EINVAL, "log loss: bad size, or NULL");
    for (int64_t i = 0; i < n; i++) {
        double p;
        if (truth[i] < 0 || truth[i] >= K)
            return bad_label("log loss", truth[i], i, K);
        p = probabilities[i * K + truth[i]];
        if (!(p >= 0 && p <= 1 + 1e-5))
            return et_raise(ET_ENONFINITE, "log loss: %g of item %" PRId64 " is not a probability", p, i);
        sum -= log(p < 1e-15 ? 1e-15 : p > 1 ? 1 : p);
    }
    *out = sum / (double)n;
    return ET_OK;
}

/* --- several tags per item ------------------------------------------------------ */

typedef struct scored {
    float score;
    uint8_t label;
} scored;

static int descending(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

/* The items sorted by falling score, in `room` for n of them; counts the positives. */
static et_status sort_scores(const char *what, int64_t n, const float *scores, const uint8_t *labels,
                             int64_t step, scored *room, int64_t *positives)
{
    *positives = 0;
    for (int64_t i = 0; i < n; i++) {
        room[i].score = scores[i * step];
        room[i].label = labels[i * step] != 0;
        if (isnan(room[i].score))
            return et_raise(ET_ENONFINITE, "%s: score of item %" PRId64 " is NaN", what, i);
        *positives += room[i].label;
    }
    qsort(room, (size_t)n, sizeof *room, descending);
    return ET_OK;
}

/* Both areas of sorted items: runs of equal scores are one step of either curve. */
static void areas(int64_t n, const scored *s, int64_t P, double *auc, double *ap)
{
    double wins = 0, precision = 0; /* wins: pairs in the right order, ties one half */
    int64_t N = n - P, tp = 0, seen = 0;

    for (int64_t i = 0; i < n;) {
        int64_t hits = 0, run = 0;
        for (; i < n && s[i].score == s[seen].score; i++, run++)
            hits += s[i].label;
        /* Positives of this run beat all negatives behind it and tie with those in it. */
        double misses = (double)(run - hits), behind = (double)(N - (seen - tp)) - misses;
        wins += (double)hits * (behind + 0.5 * misses);
        tp += hits;
        seen += run;
        precision += (double)hits * ((double)tp / (double)seen);
    }
    *auc = P > 0 && N > 0 ? wins / ((double)P * (double)N) : NAN;
    *ap = P > 0 ? precision / (double)P : NAN;
}

static et_status one_tag(const char *what, int64_t n, const float *scores, const uint8_t *labels,
                         int64_t step, double *auc, double *ap)
{
    scored *s;
    int64_t P;
    size_t bytes;
    et_status status;

    if (n < 1 || step < 1 || !scores || !labels)
        return et_raise(ET_EINVAL, "%s: no items, or NULL", what);
    if (!et_mul_size((size_t)n, sizeof *s, &bytes))
        return et_raise(ET_ENOMEM, "%s: too many items", what);
    s = et_alloc(bytes);
    if (!s)
        return et_fail_status(what);
    status = sort_scores(what, n, scores, labels, step, s, &P);
    if (status == ET_OK)
        areas(n, s, P, auc, ap);
    et_dealloc(s);
    return status;
}

et_status et_metric_roc_auc(int64_t n, const float *scores, const uint8_t *labels, int64_t step, double *out)
{
    double ap;
    if (!out)
        return et_raise(ET_EINVAL, "ROC-AUC: NULL");
    return one_tag("ROC-AUC", n, scores, labels, step, out, &ap);
}

et_status et_metric_average_precision(int64_t n, const float *scores, const uint8_t *labels, int64_t step,
                                      double *out)
{
    double auc;
    if (!out)
        return et_raise(ET_EINVAL, "average precision: NULL");
    return one_tag("average precision", n, scores, labels, step, &auc, out);
}

et_status et_metric_tags(int64_t n, int64_t K, const float *scores, const uint8_t *labels, et_tag_report *out,
                         double *per_tag_auc, double *per_tag_ap)
{
    et_tag_report r = {0, 0, 0, 0};

    if (n < 1 || K < 1 || !scores || !labels || !out)
        return et_raise(ET_EINVAL, "tags: bad size, or NULL");
    for (int64_t k = 0; k < K; k++) {
        double auc, ap;
        if (one_tag("tags", n, scores + k, labels + k, K, &auc, &ap) < 0)
            return et_error_status();
        if (isnan(auc)) {
            r.skipped++;
            ap = NAN;
        } else {
            r.used++;
            r.roc_auc += auc;
            r.pr_auc += ap;
        }
        if (per_tag_auc)
            per_tag_auc[k] = auc;
        if (per_tag_ap)
            per_tag_ap[k] = ap;
    }
    r.roc_auc = r.used > 0 ? r.roc_auc / (double)r.used : NAN;
    r.pr_auc = r.used > 0 ? r.pr_auc / (double)r.used : NAN;
    *out = r;
    return ET_OK;
}

/* --- retrieval -------------------------------------------------------------------- */

et_status et_metric_ranks(int64_t n, int64_t n_items, const float *similarities, const int32_t *truth,
                          int64_t *ranks)
{
    if (n < 0 || n_items < 1 || !similarities || !ranks || (!truth && n > n_items))
        return et_raise(ET_EINVAL, "ranks: %" PRId64 " queries, %" PRId64 " items, or NULL", n, n_items);
    for (int64_t i = 0; i < n; i++) {
        int64_t it = truth ? truth[i] : i;
        if (it < 0 || it >= n_items)
            return et_raise(ET_EINVAL, "ranks: item %" PRId64 " of query %" PRId64 " is not in 0 .. %" PRId64,
                            it, i, n_items - 1);
        ranks[i] = rank_of(n_items, similarities + i * n_items, it);
        if (ranks[i] < 0)
            return et_raise(ET_ENONFINITE, "ranks: a similarity of query %" PRId64 " is NaN", i);
    }
    return ET_OK;
}

double et_metric_recall_at(int64_t n, const int64_t *ranks, int64_t k)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++)
        hits += ranks[i] < k;
    return n > 0 ? (double)hits / (double)n : 0.0;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

et_status et_metric_retrieval(int64_t n, const int64_t *ranks, int rank_base, et_retrieval_report *out)
{
    et_retrieval_report r = {0, 0, 0, 0, 0, 0};
    int64_t *sorted;
    size_t bytes;

    if (n < 1 || !ranks || !out || (rank_base != 0 && rank_base != 1))
        return et_raise(ET_EINVAL, "retrieval: no queries, NULL, or a rank base other than 0 and 1");
    if (!et_mul_size((size_t)n, sizeof *sorted, &bytes))
        return et_raise(ET_ENOMEM, "retrieval: too many queries");
    sorted = et_alloc(bytes);
    if (!sorted)
        return et_fail_status("retrieval");
    for (int64_t i = 0; i < n; i++) {
        if (ranks[i] < 0) {
            et_dealloc(sorted);
            return et_raise(ET_EINVAL, "retrieval: negative rank");
        }
        sorted[i] = ranks[i];
        r.mean_rank += (double)ranks[i];
        if (ranks[i] < 10)
            r.map10 += 1.0 / (double)(ranks[i] + 1);
    }
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    r.median_rank = n % 2 ? (double)sorted[n / 2] : 0.5 * ((double)sorted[n / 2 - 1] + (double)sorted[n / 2]);
    et_dealloc(sorted);
    r.map10 /= (double)n;
    r.mean_rank = r.mean_rank / (double)n + rank_base;
    r.median_rank += rank_base;
    r.r_at_1 = et_metric_recall_at(n, ranks, 1);
    r.r_at_5 = et_metric_recall_at(n, ranks, 5);
    r.r_at_10 = et_metric_recall_at(n, ranks, 10);
    *out = r;
    return ET_OK;
}

/* --- attention -------------------------------------------------------------------- */

et_status et_metric_attention_entropy(int64_t n, int64_t T, const float *weights, const int32_t *lengths,
                                      double *out)
{
    if (n < 0 || T < 1 || !weights || !out)
        return et_raise(ET_EINVAL, "attention entropy: bad size, or NULL");
    for (int64_t i = 0; i < n; i++) {
        int64_t steps = lengths ? lengths[i] : T;
        double sum = 0;
        if (steps < 0 || steps > T)
            return et_raise(ET_EINVAL, "attention entropy: length %" PRId64, steps);
        for (int64_t t = 0; t < steps; t++) {
            double a = weights[i * T + t];
            if (!(a >= 0))
                return et_raise(ET_ENONFINITE, "attention entropy: weight %g of row %" PRId64, a, i);
            if (a > 0)
                sum -= a * log(a);
        }
        out[i] = sum;
    }
    return ET_OK;
}

et_status et_metric_attention_mass(int64_t n, int64_t T, const float *weights, const int32_t *events,
                                   int64_t tail, double *out)
{
    if (n < 0 || T < 1 || tail < 0 || !weights || !events || !out)
        return et_raise(ET_EINVAL, "attention mass: bad size, or NULL");
    for (int64_t i = 0; i < n; i++) {
        int64_t from = events[2 * i], to = events[2 * i + 1];
        double on = 0, all = 0;
        if (from < 0 || to < from || to > T)
            return et_raise(ET_EINVAL, "attention mass: event %" PRId64 " .. %" PRId64 " of row %" PRId64,
                            from, to, i);
        to = tail > T - to ? T : to + tail;
        for (int64_t t = 0; t < T; t++) {
            double a = weights[i * T + t];
            if (!(a >= 0))
                return et_raise(ET_ENONFINITE, "attention mass: weight %g of row %" PRId64, a, i);
            all += a;
            if (t >= from && t < to)
                on += a;
        }
        out[i] = all > 0 ? on / all : 0.0;
    }
    return ET_OK;
}

/* --- sequences --------------------------------------------------------------------------------- */

enum { GRAMS = 4 };

static int64_t length_of(const int32_t *row, int64_t T, int32_t end)
{
    int64_t n = 0;

    while (n < T && row[n] != end)
        n++;
    return n;
}

/* How often the k-gram g is in row[0 .. n - 1]. */
static int64_t occurrences(const int32_t *g, int64_t k, const int32_t *row, int64_t n)
{
    int64_t count = 0;

    for (int64_t i = 0; i + k <= n; i++)
        count += memcmp(row + i, g, (size_t)k * sizeof *g) == 0;
    return count;
}

et_status et_metric_bleu(int64_t n, int64_t T, const int32_t *results, const int32_t *references, int32_t end,
                         double *out)
{
    int64_t matches[GRAMS] = {0}, all[GRAMS] = {0}, c = 0, r = 0;
    double sum = 0;

    if (n < 1 || T < 1 || !results || !references || !out)
        return et_raise(ET_EINVAL, "BLEU: bad size, or NULL");
    for (int64_t i = 0; i < n; i++) {
        const int32_t *made = results + i * T, *truth = references + i * T;
        const int64_t length = length_of(made, T, end), wanted = length_of(truth, T, end);
        c += length;
        r += wanted;
        for (int64_t k = 1; k <= GRAMS; k++)
            for (int64_t at = 0; at + k <= length; at++) {
                const int32_t *gram = made + at;
                all[k - 1]++;
                /* the j-th occurrence counts if the reference has j */
                matches[k - 1] += occurrences(gram, k, made, at + k) <= occurrences(gram, k, truth, wanted);
            }
    }
    for (int k = 0; k < GRAMS; k++)
        sum += matches[k] ? log((double)matches[k] / (double)all[k]) / GRAMS : -(double)INFINITY;
    *out = c ? exp(sum + (c < r ? 1 - (double)r / (double)c : 0)) : 0;
    return ET_OK;
}
