/* One step of a recurrent cell, composed of elementary ops and written as in the papers: to
 * be read, to be changed, and to be differentiated more than once. A whole sequence is
 * faster with the layers of rnn.h, which compute the same. */
#ifndef ETUDE_NN_CELLS_H
#define ETUDE_NN_CELLS_H

#include "nn/rnn.h"

#ifdef __cplusplus
extern "C" {
#endif

/** x [B, F], h [B, H]; the new h [B, H]. Biases may be NULL. All results are owned by the
 *  open scope; NULL after an error. Elman 1990. */
et_tensor *et_rnn_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h);

/** Cho et al. 2014, gates in the order r, z, n. */
et_tensor *et_gru_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h);

/** Hochreiter and Schmidhuber 1997, gates in the order i, f, g, o; *c [B, H] is replaced by
 *  the new one (NULL after an error). */
et_tensor *et_lstm_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h, et_tensor **c);

#ifdef __cplusplus
}
#endif
#endif
