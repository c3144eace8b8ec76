/* What style_vae.c and style_vae_sample.c share. */
#ifndef ETUDE_MODELS_STYLE_VAE_INTERNAL_H
#define ETUDE_MODELS_STYLE_VAE_INTERNAL_H

#include "models/style_vae.h"

/** Number of logits of an event: P + 1 + 2 (D + 1). */
int64_t et_style_vae_classes(const et_style_vae *m);

/** [.., E + 2 (D + 1)] of int32 classes [..]: the pitch's embedding, dt and dur one-hot. */
et_tensor *et_style_vae_features(const et_style_vae *m, et_tensor *pitch, et_tensor *dt, et_tensor *dur);
/** What the decoder reads first, [rows, 1, ..]: the embedding of pitch 0, no dt, no dur. */
et_tensor *et_style_vae_start(const et_style_vae *m, int64_t rows);

/** What the decoder reads of events x [rows, T, ..]:
 *  with style_always z_s of z' [rows or 1, ..] beside each. */
et_tensor *et_style_vae_inputs(const et_style_vae *m, et_tensor *z, et_tensor *x);

/** The decoder's state before the first event. */
et_status et_style_vae_first_state(const et_style_vae *m, et_tensor *z, et_norm_lstm_state *s);

/** One of the three networks over time. */
et_tensor *et_style_vae_run(const et_style_vae *m, et_vae_net net, et_tensor *x, et_tensor *lengths,
                            bool reverse, et_norm_lstm_state *state);

/** Temperature of the Gumbel softmax at a step. */
double et_style_vae_tau(const et_style_vae_config *c, int64_t step);

#endif
