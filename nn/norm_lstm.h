/* Recurrent layers with layer norms inside their gates: the layer-norm LSTM, and the HyperLSTM,
 * in which a small layer-norm LSTM scales the weights of a larger one anew at every step (Ha, Dai
 * and Le 2016, arXiv 1609.09106). Gates are in the order i, j, f, o; weights are stored input x
 * output, as in the sketch-rnn code base that published models of this kind come from. */
#ifndef ETUDE_NN_NORM_LSTM_H
#define ETUDE_NN_NORM_LSTM_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Layer-norm LSTM. Parameters: W_xh [m, 4n], W_hh [n, 4n], ln_gamma, ln_beta [4n],
 * lnc_gamma, lnc_beta [n]. */
typedef struct et_norm_lstm {
    et_module module;
    int64_t in, units; /* m, n */
    double keep;       /* probability that a candidate is kept (recurrent dropout), in training */
    double eps;        /* of the layer norms: 1e-3 */
    et_tensor *W_xh, *W_hh, *ln_gamma, *ln_beta, *lnc_gamma, *lnc_beta;
    et_rng *rng; /* for dropout; NULL: the thread's default generator. May be set. */
} et_norm_lstm;

/** W_xh is Glorot uniform, W_hh orthogonal for each gate, gains 1, shifts 0. EINVAL for sizes below
 *  1 or a keep outside (0, 1]. */
et_norm_lstm *et_norm_lstm_new(et_module *parent, const char *name, int64_t in, int64_t units, double keep,
                               et_rng *rng);

/** What a cell remembers between steps; each is owned by the open scope. */
typedef struct et_norm_lstm_state {
    et_tensor *h, *c;             /* [B, n] */
    et_tensor *hyper_h, *hyper_c; /* [B, k]: of the small LSTM; NULL in a layer-norm LSTM */
} et_norm_lstm_state;

/** Over a whole sequence.
 *
 *  x        [B, T, m]
 *  lengths  int32 [B], steps of each row (0 .. T), or NULL: T. Behind its end a row's state stays
 *           and its output repeats it
 *  reverse  each row begins with its own last step; outputs stand where their inputs do
 *  state    before the first step (h NULL: zeros), replaced by that after the last (NULLs after an
 *           error)
 *  return   [B, T, n], owned by the open scope; NULL after an error. */
et_tensor *et_norm_lstm_forward(const et_norm_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                et_norm_lstm_state *state);

/* HyperLSTM. Parameters: W_xh [m, 4n], W_hh [n, 4n], bias [4n]; hyper.* of a layer-norm LSTM m + n -> k;
 * for s in x, h and g in i, j, f, o (norm.ix, norm.jx, ...): norm.gs.zw_w [k, e], zw_b [e], alpha [e, n],
 * and for s = h zb_w [k, e], beta [e, n]; ln_gamma, ln_beta [4n], lnc_gamma, lnc_beta [n]. */
typedef struct et_hyper_lstm {
    et_module module;
    int64_t in, units, hyper_units, embedding; /* m, n, k, e */
    double keep, eps; /* eps: of the layer norms of both cells; hyper->eps is not read */
    et_tensor *W_xh, *W_hh, *bias, *ln_gamma, *ln_beta, *lnc_gamma, *lnc_beta;
    et_norm_lstm *hyper;
    et_tensor *zw_w[8], *zw_b[8], *alpha[8]; /* ix, jx, fx, ox, ih, jh, fh, oh */
    et_tensor *zb_w[4], *beta[4];            /* ih, jh, fh, oh */
    et_rng *rng;
} et_hyper_lstm;

typedef struct et_hyper_lstm_config {
    int64_t in, units, hyper_units, embedding;
    double keep; /* of the large cell's candidates */
} et_hyper_lstm_config;

/** zw_w 0, zw_b 1, alpha 0.1 / e, so that all scales begin at 0.1; zb_w N(0, 0.01), beta 0;
 *  the rest as above. */
et_hyper_lstm *et_hyper_lstm_new(et_module *parent, const char *name, const et_hyper_lstm_config *config,
                                 et_rng *rng);

/** As et_norm_lstm_forward. */
et_tensor *et_hyper_lstm_forward(const et_hyper_lstm *l, et_tensor *x, et_tensor *lengths, bool reverse,
                                 et_norm_lstm_state *state);

#ifdef __cplusplus
}
#endif
#endif
