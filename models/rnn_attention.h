/* Attention-based recurrent classifier.
 *
 * A recurrent network reads a sequence of spectral frames, an additive attention scores
 * each hidden state, and the weighted sum of the states feeds a softmax: the weights are a
 * curve over time that can be looked at. Formulas: feed-forward attention (Raffel and
 * Ellis 2015, arXiv 1512.08756) on the additive score of Bahdanau et al. (arXiv
 * 1409.0473).
 *
 * State dict: rnn.weight_ih_l0 [gH, F], rnn.weight_hh_l0 [gH, H], rnn.bias_ih_l0,
 * rnn.bias_hh_l0 [gH] (and the same with _reverse), attention.W.weight [A, D],
 * attention.W.bias [A], attention.v.weight [1, A] (other scores: see
 * nn/additive_attention.h), classifier.weight [K, D], classifier.bias [K]; D is H, 2H in
 * two directions. */
#ifndef ETUDE_MODELS_RNN_ATTENTION_H
#define ETUDE_MODELS_RNN_ATTENTION_H

#include "nn/additive_attention.h"
#include "nn/linear.h"
#include "nn/rnn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the classifier reads. */
typedef enum et_rnn_pooling {
    ET_POOL_ATTENTION, /* c = sum_t alpha_t u_t */
    ET_POOL_LAST,      /* c = h_T: the state after the last frame */
    ET_POOL_MEAN       /* c = mean_t h_t */
} et_rnn_pooling;

/* Hyper-parameters. Defaults: et_rnn_attention_paper and _small. */
typedef struct et_rnn_attention_config {
    int64_t features;         /* F, of a frame */
    int64_t hidden;           /* H, of the recurrent state */
    int64_t attention;        /* A, width of the score's hidden layer */
    int64_t classes;          /* K */
    et_rnn_kind cell;         /* tanh RNN, GRU, LSTM */
    bool bidirectional;
    et_score_kind score;     /* additive, dot, general */
    bool attend_over_input;   /* u_t = x_t instead of h_t */
    et_rnn_pooling pooling;
    double input_dropout;     /* on x, in training */
    double dropout;           /* on c, in training */
} et_rnn_attention_config;

/** F 64, H 128, A 64, K 10, GRU, additive: 84 106 parameters. */
et_rnn_attention_config et_rnn_attention_paper(void);
/** F 16, H 32, A 16, K 6, GRU, additive: 5 542 parameters. */
et_rnn_attention_config et_rnn_attention_small(void);

typedef struct et_rnn_attention {
    et_module module;
    et_rnn_attention_config config;
    et_rnn_layer *rnn;
    et_additive_attention *attention; /* NULL for the other poolings */
    et_linear_layer *classifier;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_rnn_attention;

/** A model under parent and name (both NULL: a root), initialised from rng as the layers
 *  are. Free the root with et_module_free. NULL on failure: EINVAL for a size below 1 or a
 *  bad dropout. */
et_rnn_attention *et_rnn_attention_new(et_module *parent, const char *name,
                                       const et_rnn_attention_config *config, et_rng *rng);

/** Logits [B, K] of x [B, T, F]; lengths int32 [B] (at least 1 each) or NULL. alpha, where
 *  not NULL, receives the weights of the frames [B, T], zero past a row's end; uniform for
 *  ET_POOL_MEAN, one at the last frame for ET_POOL_LAST. Owned by the open scope. */
et_tensor *et_rnn_attention_forward(const et_rnn_attention *m, et_tensor *x, et_tensor *lengths,
                                    et_tensor **alpha);

#ifdef __cplusplus
}
#endif
#endif
