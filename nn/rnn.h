/* Recurrent layers: tanh RNN, GRU and LSTM, stacked and in one or two directions. The
 * equations are those of et_rnn, et_gru, et_lstm (ops.h) and of cells.h. */
#ifndef ETUDE_NN_RNN_H
#define ETUDE_NN_RNN_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_rnn_kind { ET_RNN_TANH, ET_RNN_RELU, ET_RNN_GRU, ET_RNN_LSTM } et_rnn_kind;

typedef struct et_rnn_config {
    et_rnn_kind kind;
    int64_t in, hidden; /* F, H */
    int layers;         /* at least 1; 0 for 1 */
    bool bidirectional;
    bool no_bias;
    double dropout; /* on the output of every layer but the last, in training */
} et_rnn_config;

/* One direction of one layer, g being 1 (tanh, relu), 3 (GRU) or 4 (LSTM). Parameters
 * weight_ih_l0 [g H, F], weight_hh_l0 [g H, H], bias_ih_l0, bias_hh_l0 [g H]; the second
 * direction's end in _reverse, the next layer's (F = directions H) are called _l1. */
typedef struct et_rnn_weights {
    et_tensor *w_ih, *w_hh, *b_ih, *b_hh;
} et_rnn_weights;

typedef struct et_rnn_layer {
    et_module module;
    et_rnn_config config;
    et_rnn_weights *weights; /* [layers][directions] */
    et_rng *rng;             /* for dropout; NULL: the thread's default generator. May be set. */
} et_rnn_layer;

/** Initialised U(+-1/sqrt(H)), all of it. NULL on failure: EINVAL for sizes below 1 or a
 *  dropout outside [0, 1), and as et_module_new. */
et_rnn_layer *et_rnn_layer_new(et_module *parent, const char *name, const et_rnn_config *config, et_rng *rng);

/** Width of the output: H, or 2 H in two directions. */
int64_t et_rnn_layer_width(const et_rnn_layer *l);

/** x        [B, T, F]
 *  lengths  int32 [B], frames of each row (0 .. T), or NULL: outputs behind them are 0, and
 *           the reverse direction begins at each row's own last frame
 *  h_n      receives [B, directions H]: the last layer's states after the last frame, the two
 *           directions side by side; or NULL
 *  return   [B, T, directions H]
 *
 *  All begin from zero states. Owned by the open scope; NULL after an error (as et_gru). */
et_tensor *et_rnn_layer_forward(const et_rnn_layer *l, et_tensor *x, et_tensor *lengths, et_tensor **h_n);

#ifdef __cplusplus
}
#endif
#endif
