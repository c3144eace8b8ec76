/* The task S-XM for models of pairs: trained on made-up sounds with captions,
 * judged by finding 128 of them. */
#ifndef ETUDE_TESTS_CAPTIONED_H
#define ETUDE_TESTS_CAPTIONED_H

#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/batch.h"
#include "datasets/synthetic.h"
#include "datasets/wordpiece.h"
#include "nn/contrastive.h"
#include "nn/metrics.h"
#include "nn/optim.h"
#include "tests/suite.h"

enum { CAPTIONED_ITEMS = 2000, CAPTIONED_JUDGED = 128, CAPTIONED_BATCH = 32 };

/* A model under test: how it is made for a vocabulary, and asked; vectors are of unit length. */
typedef struct captioned_model {
    et_module *(*make)(int32_t vocabulary, et_rng *rng);
    et_tensor *(*text)(const et_module *m, et_tensor *ids, et_tensor *mask);
    et_tensor *(*audio)(const et_module *m, et_tensor *x);
    et_tensor *(*loss)(const et_module *m, et_tensor *f, et_tensor *g);
    int64_t positions; /* longest text */
} captioned_model;

/* Rows of ids of captions, and which are no padding. */
static inline et_tensor *captioned_ids(const et_wordpiece *w, const et_names *captions, const int32_t *index,
                                       int64_t n, int64_t length, et_tensor **mask)
{
    et_tensor *rows = et_empty(ET_I32, ET_SHAPE(n, length));
    *mask = et_empty(ET_U8, ET_SHAPE(n, length));

    ck_assert_msg(rows && *mask, "%s", et_error_message());
    for (int64_t i = 0; i < n; i++) {
        et_tokens tokens = {NULL, 0, 0};
        const char *text = captions->items[index ? index[i] : i];
        ck_assert_int_eq(et_wordpiece_encode(w, text, strlen(text), &tokens), ET_OK);
        ck_assert_int_gt(et_tokens_row(&tokens, et_wordpiece_special(w, ET_TOKEN_BEGIN),
                                       et_wordpiece_special(w, ET_TOKEN_END),
                                       et_wordpiece_special(w, ET_TOKEN_PAD), length,
                                       (int32_t *)et_data_mut(rows) + i * length,
                                       (uint8_t *)et_data_mut(*mask) + i * length), 2);
        et_tokens_free(&tokens);
    }
    return rows;
}

/* `steps` steps of 32 with Adam at 1e-3, all drawn from the seed;
 * then how well 128 captions find their sounds. */
static inline et_retrieval_report captioned_learn(const captioned_model *t, int steps, uint64_t seed)
{
    et_names captions[2] = {{0, NULL}, {0, NULL}};
    et_dataset *train = et_captioned(CAPTIONED_ITEMS, 1, 0, false, &captions[0]);
    et_dataset *test = et_captioned(CAPTIONED_JUDGED, 1, 1, true, &captions[1]);
    et_wordpiece *w = et_wordpiece_new(et_vocabulary_of_words(&captions[0], 64, 1));
    et_rng rng = et_rng_make(seed, 0);
    const et_batch_options o = {.size = CAPTIONED_BATCH, .shuffle = true, .drop_last = true, .seed = seed};
    et_retrieval_report r;
    int64_t ranks[CAPTIONED_JUDGED];
    et_tensor *mask;

    ck_assert_msg(w && train && test, "%s", et_error_message());
    et_module *m = t->make(et_vocabulary_size(et_wordpiece_vocabulary(w)), &rng);
    et_optim *opt = m ? et_adam_new(m, 1e-3) : NULL;
    et_batches *batches = et_batches_new(train, NULL, 0, &o);
    ck_assert_msg(opt && batches, "%s", et_error_message());
    for (int step = 0; step < steps; step++) {
        et_scope *s = et_scope_open();
        et_batch b;
        if (!et_batches_more(batches))
            et_batches_start(batches, step);
        ck_assert_int_eq(et_batches_next(batches, &b), ET_OK);
        et_tensor *ids = captioned_ids(w, &captions[0], b.index, b.n, t->positions, &mask);
        et_tensor *loss = t->loss(m, t->text(m, ids, mask), t->audio(m, b.x));
        ck_assert_msg(loss && et_backward(loss) == ET_OK && et_optim_step_zero(opt, 0, NULL) == ET_OK, "%s",
                      et_error_message());
        et_scope_close(s);
    }
    et_scope *s = et_scope_open();
    et_module_eval(m);
    et_no_grad_begin();
    et_tensor *ids = captioned_ids(w, &captions[1], NULL, CAPTIONED_JUDGED, t->positions, &mask);
    et_tensor *S = et_contiguous(et_similarity(t->text(m, ids, mask), t->audio(m, test->x)));
    et_no_grad_end();
    ck_assert_msg(S != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_metric_ranks(CAPTIONED_JUDGED, CAPTIONED_JUDGED, et_data(S), NULL, ranks), ET_OK);
    ck_assert_int_eq(et_metric_retrieval(CAPTIONED_JUDGED, ranks, 0, &r), ET_OK);
    printf("# S-XM: R@1 %.3f, R@5 %.3f, R@10 %.3f, mean rank %.2f, median rank %.1f\n", r.r_at_1, r.r_at_5,
           r.r_at_10, r.mean_rank, r.median_rank);
    et_scope_close(s);
    et_optim_free(opt);
    et_batches_free(batches);
    et_module_free(m);
    et_wordpiece_free(w);
    et_names_free(&captions[0]);
    et_names_free(&captions[1]);
    et_dataset_free(train);
    et_dataset_free(test);
    return r;
}

#endif
