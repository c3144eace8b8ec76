/* What transformer.c and transformer_decode.c share. */
#ifndef ETUDE_MODELS_TRANSFORMER_INTERNAL_H
#define ETUDE_MODELS_TRANSFORMER_INTERNAL_H

#include "models/transformer.h"

/** Part p (0 queries, 1 keys, 2 values) of the projection of x [B, T, d], as [B, H, T, d / H]. */
et_tensor *et_joint_project(const et_encoder_decoder *m, const et_joint_attention *a, int p, et_tensor *x);
/** W_o of softmax(q k^T / sqrt(d / H) + mask) v, heads side by side; [B, Tq, d]. */
et_tensor *et_joint_attend(const et_encoder_decoder *m, const et_joint_attention *a, et_tensor *q,
                           et_tensor *k, et_tensor *v, et_tensor *mask, bool causal);
/** x or LN(x), as a sublayer reads it; and x with a sublayer's output added. */
et_tensor *et_coder_before(const et_encoder_decoder *m, const et_layer_norm_layer *norm, et_tensor *x);
et_tensor *et_coder_after(const et_encoder_decoder *m, const et_layer_norm_layer *norm, et_tensor *x,
                          et_tensor *out);
/** W_2 max(0, W_1 x + b_1) + b_2. */
et_tensor *et_coder_feed_forward(const et_encoder_decoder *m, const et_coder_layer *l, et_tensor *x);
/** Logits: x times the shared embedding, transposed. */
et_tensor *et_coder_logits(const et_encoder_decoder *m, et_tensor *x);
/** Keys that may be seen, uint8 [B, 1, 1, S]; NULL for all of them, or after an error. */
et_tensor *et_coder_source_mask(et_tensor *lengths, int64_t S);

#endif
