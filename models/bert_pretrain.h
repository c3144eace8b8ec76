/* Pre-training of BERT (Devlin et al. 2019, section 3.1): words that were masked are guessed, and whether the
 * second of two sentences follows the first.
 *
 *   p(word at t) = softmax(E LN(gelu(W x_t + b)) + c),   E the word embedding     (masked words)
 *   p(not next)  = softmax(V tanh(W_p x_CLS + b_p) + d)                           (next sentence)
 *
 * State dict, with the public names: bert (models/bert.h),
 * cls.predictions.{bias,transform.dense,transform.LayerNorm, decoder.weight} (the last one is the word
 * embedding), cls.seq_relationship. */
#ifndef ETUDE_MODELS_BERT_PRETRAIN_H
#define ETUDE_MODELS_BERT_PRETRAIN_H

#include "models/bert.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_bert_pretrain {
    et_module module;
    et_bert *bert;
    et_linear_layer *transform; /* W, b */
    et_layer_norm_layer *norm;
    et_tensor *bias;            /* c [V] */
    et_linear_layer *next;      /* V [2, d], d: class 0 follows, 1 does not; NULL without a pooler */
} et_bert_pretrain;

/** A model under parent and name (both NULL: a root); bert-base: 110 106 428 parameters. Initialised and
 *  refused as et_bert_new, but that with plain_init positions begin as waves, and the last norm's weights at
 *  1/sqrt(d), so that logits begin with a deviation of 1. */
et_bert_pretrain *et_bert_pretrain_new(et_module *parent, const char *name, const et_bert_config *config,
                                       et_rng *rng);

/** Sets c to the logarithm of each word's share, ln((counts[v] + 1) / (sum of counts + V)): a new model then
 *  begins near the loss that frequencies alone give. counts: [V], none negative, their sum finite;
 *  EINVAL. */
et_status et_bert_pretrain_frequencies(et_bert_pretrain *m, const double *counts);

/** Reads a file with the public names, as et_bert_load, but with the heads. Errors as et_module_load. */
et_status et_bert_pretrain_load(et_bert_pretrain *m, const char *path, et_load_report *report);

/* --- data ------------------------------------------------------------------------------------ */

enum { ET_BERT_NO_TARGET = -100 };

/* How words are masked. */
typedef struct et_bert_masking {
    double share;         /* of a row's words that are chosen; 0: 0.15 */
    double masked, random; /* of these: become `mask`, any word (others stay); both 0: 0.8, 0.1 */
    int32_t mask;         /* number of [MASK] */
    int32_t vocabulary;   /* words are 0 .. vocabulary - 1 */
    const int32_t *special; /* numbers that are neither chosen nor drawn ([PAD], [CLS], ...) */
    int n_special;
} et_bert_masking;

/** Chooses round(share n) of each row's n words that are not special, but at least one, for ids int32 [B, T]:
 *  *masked receives the row with them replaced and *targets the words that they were, ET_BERT_NO_TARGET
 *  elsewhere; both int32 [B, T]. mask: uint8 [B, T], 0 where there is padding, or NULL. Owned by the open
 *  scope. EINVAL for shares outside [0, 1], an id outside, a vocabulary of special numbers alone; EDTYPE,
 *  ESHAPE, ENOMEM. */
et_status et_bert_mask_words(const et_bert_masking *how, const et_tensor *ids, const et_tensor *mask,
                             et_rng *rng, et_tensor **masked, et_tensor **targets);

/** A row of a batch: [CLS] a [SEP] b [SEP], then pad up to T, with types 0 up to the first [SEP] and 1 behind
 *  it; with b NULL a single sentence. What is too long is cut at the end of the longer one. row, types, mask:
 *  [T]; the last two may be NULL. Returns the tokens of the row, padding not counted; EINVAL if not even the
 *  special ones fit. */
int64_t et_bert_pair(const int32_t *a, int64_t na, const int32_t *b, int64_t nb, int32_t cls, int32_t sep,
                     int32_t pad, int64_t T, int32_t *row, int32_t *types, uint8_t *mask);

/* --- losses ---------------------------------------------------------------------------------- */

/** Logits [M, V] of the words at rows `at` (int32 [M]) of hidden states x [B, T, d] seen as [B T, d]. */
et_tensor *et_bert_predict(const et_bert_pretrain *m, et_tensor *x, et_tensor *at);

/** The mean cross entropy of the targets int32 [B, T] that are not ET_BERT_NO_TARGET, from hidden states
 *  x [B, T, d]: logits are made of these places alone. EINVAL if there is none. */
et_tensor *et_bert_masked_loss(const et_bert_pretrain *m, et_tensor *x, const et_tensor *targets);

/** The cross entropy of whether sentences follow each other: labels int32 [B], 0 follows, 1 does not.
 *  EINVAL without a pooler. */
et_tensor *et_bert_next_loss(const et_bert_pretrain *m, et_tensor *x, et_tensor *labels);

/** What is trained: the sum of both losses for ids, types and mask as et_bert_forward's;
 *  labels NULL: of the first alone. Scalar. */
et_tensor *et_bert_pretrain_loss(const et_bert_pretrain *m, et_tensor *ids, et_tensor *types, et_tensor *mask,
                                 const et_tensor *targets, et_tensor *labels);

#ifdef __cplusplus
}
#endif
#endif
