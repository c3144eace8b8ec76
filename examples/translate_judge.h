/* How well translate-toy translates. */
#ifndef ETUDE_EXAMPLES_TRANSLATE_JUDGE_H
#define ETUDE_EXAMPLES_TRANSLATE_JUDGE_H

#include "examples/translate_data.h"
#include "models/transformer.h"

typedef struct translate_verdict {
    double loss;  /* nats a token, without smoothing */
    double exact; /* share of results that agree to the last token */
    double bleu;
    int64_t n;    /* results judged */
} translate_verdict;

/* A batch of pairs: tensors that the open scope owns, cut to the longest.
 * lengths is NULL where all are equal. */
typedef struct translate_batch {
    et_tensor *source, *lengths, *target;
    int64_t tokens; /* targets that count */
} translate_batch;

et_status translate_gather(const translate_data *d, const int32_t *index, int64_t n, translate_batch *out);

/* The loss on all of the items, and results for the first `most` of them (0: none, exact and bleu NaN). The
 * model is in evaluation mode. results (or NULL) receives int32 [most, d->T - 1]. */
et_status translate_judge(const et_encoder_decoder *m, const translate_data *d, const et_indices *items,
                          int64_t most, const et_translate_options *how, translate_verdict *v,
                          int32_t *results);

#endif
