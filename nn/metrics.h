/* Measures of a model's answers, over plain arrays. Scores are float32 as models give
 * them, sums are double. Where a score is compared with another, NaN is an error
 * (ENONFINITE), never a silent order. */
#ifndef ETUDE_NN_METRICS_H
#define ETUDE_NN_METRICS_H

#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- one class per item -------------------------------------------------------- */

/** Class of the largest score of each row of scores [n, K] (the first of equal ones). */
et_status et_metric_argmax(int64_t n, int64_t K, const float *scores, int32_t *out);

/** Share of equal entries of two label arrays; EINVAL for n < 1. */
et_status et_metric_accuracy(int64_t n, const int32_t *predicted, const int32_t *truth, double *out);

/** Share of items whose true class is among the k largest of its row of scores [n, K];
 *  among equal scores the smaller class comes first. */
et_status et_metric_top_k(int64_t n, int64_t K, const float *scores, const int32_t *truth, int64_t k,
                          double *out);

/** counts[K, K]: row = true class, column = predicted one. EINVAL for a label outside. */
et_status et_metric_confusion(int64_t n, int64_t K, const int32_t *predicted, const int32_t *truth,
                              int64_t *counts);

/* From a confusion matrix. A ratio whose denominator is 0 counts as 0. */
typedef struct et_class_report {
    double accuracy;
    double f1_macro; /* mean over all K classes of 2TP / (2TP + FP + FN) */
    double f1_micro; /* the same of the sums; equals accuracy when there is one label each */
    double precision_macro, recall_macro;
} et_class_report;

/** per_class receives K F1 values where not NULL. EINVAL if all counts are 0. */
et_status et_metric_report(int64_t K, const int64_t *counts, et_class_report *out, double *per_class);

/** Mean of -ln p[truth], p clipped to at least 1e-15; probabilities [n, K]. */
et_status et_metric_log_loss(int64_t n, int64_t K, const float *probabilities, const int32_t *truth,
                             double *out);

/* --- several tags per item ------------------------------------------------------ */

/** Area under the ROC curve of one tag: (sum of the positives' ranks - P(P+1)/2) / (P N),
 *  equal scores sharing their average rank. labels are 0 or not 0; `step` is the distance
 *  from one item to the next in both arrays (1, or K for a column of [n, K]). *out is NaN
 *  if there is no positive or no negative. ENOMEM, ENONFINITE (a NaN score). */
et_status et_metric_roc_auc(int64_t n, const float *scores, const uint8_t *labels, int64_t step, double *out);

/** Average precision of one tag: sum over thresholds of (R_k - R_{k-1}) P_k, equal scores
 *  being one threshold. *out is NaN without a positive. Otherwise as above. */
et_status et_metric_average_precision(int64_t n, const float *scores, const uint8_t *labels, int64_t step,
                                      double *out);

typedef struct et_tag_report {
    double roc_auc, pr_auc; /* unweighted means over the tags that have both kinds of item; NaN if none has */
    int64_t used, skipped;  /* tags in the means; tags without a positive or without a negative */
} et_tag_report;

/** Both measures over the tags of scores [n, K], labels [n, K]. per_tag_auc and per_tag_ap
 *  receive K values (NaN where skipped) unless NULL. */
et_status et_metric_tags(int64_t n, int64_t K, const float *scores, const uint8_t *labels, et_tag_report *out,
                         double *per_tag_auc, double *per_tag_ap);

/* --- retrieval -------------------------------------------------------------------- */

/** Zero-based rank of each query's true item among n_items, similarities [n, n_items]:
 *  the number of items with a larger one, plus equal ones with a smaller index. truth NULL
 *  means item i for query i. */
et_status et_metric_ranks(int64_t n, int64_t n_items, const float *similarities, const int32_t *truth,
                          int64_t *ranks);

typedef struct et_retrieval_report {
    double r_at_1, r_at_5, r_at_10; /* share of ranks < K (zero-based) */
    double map10;                   /* mean of 1/(rank + 1) where rank < 10, else 0 */
    double mean_rank, median_rank;  /* plus rank_base */
} et_retrieval_report;

/** rank_base 0 (default of the literature's tables) or 1. The median of an even number is
 *  the mean of the middle two. EINVAL for n < 1 or a negative rank. */
et_status et_metric_retrieval(int64_t n, const int64_t *ranks, int rank_base, et_retrieval_report *out);

/** Share of zero-based ranks below k. */
double et_metric_recall_at(int64_t n, const int64_t *ranks, int64_t k);

/* --- attention -------------------------------------------------------------------- */

/** Entropy in nats, -sum a ln a, of each row of weights [n, T] over its first lengths[i]
 *  steps (lengths NULL: T); 0 ln 0 = 0. */
et_status et_metric_attention_entropy(int64_t n, int64_t T, const float *weights, const int32_t *lengths,
                                      double *out);

/** Share of each row's weight that lies on steps events[i][0] .. events[i][1] + tail - 1
 *  (cut at T), events [n, 2] being first step and one past the last: a recurrent state
 *  shows an event a little later. */
et_status et_metric_attention_mass(int64_t n, int64_t T, const float *weights, const int32_t *events,
                                   int64_t tail, double *out);

/* --- sequences -------------------------------------------------------------------- */

/** BLEU of n results against one reference each (Papineni et al. 2002): exp of the mean of ln p_1 .. ln p_4,
 *  p_k being the share of the results' k-grams that the references have (each at most as often as its
 *  reference has it), times exp(1 - r / c) if the results' tokens c are fewer than the references' r. 0 where
 *  a p_k is. Rows are int32 [n, T] and end before the first token `end`. EINVAL for sizes below 1. */
et_status et_metric_bleu(int64_t n, int64_t T, const int32_t *results, const int32_t *references, int32_t end,
                         double *out);

#ifdef __cplusplus
}
#endif
#endif
