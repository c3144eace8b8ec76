/* Multi-head attention (Vaswani et al. 2017):
 *
 *   head_i = softmax(q_i k_i^T / sqrt(d_head) + mask) v_i,   y = W_o [head_1 .. head_H] + b_o
 *
 * with q = W_q x + b_q, and k, v likewise from x (self-attention) or from a memory (cross). */
#ifndef ETUDE_NN_MULTI_HEAD_ATTENTION_H
#define ETUDE_NN_MULTI_HEAD_ATTENTION_H

#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_mha_config {
    int64_t width;        /* d of x and of the result */
    int heads;            /* H */
    int64_t head_width;   /* d_head; 0: d / H */
    int64_t memory;       /* width of the memory, for cross attention; 0: d */
    bool fused;           /* one layer makes q, k and v: faster, self-attention alone */
    bool no_bias;         /* in any projection */
    double dropout;       /* of the weights, in training */
    bool no_folding;      /* keys and values are made also where that can be avoided; may be set */
    const char *names[4]; /* of the layers q, k, v, out (fused: the first and the last count), dotted
                             or not; NULL: "q", "k", "v", "out", "qkv" */
} et_mha_config;

/* Layers q, k, v [H d_head, d] (or qkv [3 H d_head, d]: queries, keys, values of all heads,
 * one after the other) and out [d, H d_head]. */
typedef struct et_mha {
    et_module module;
    et_mha_config config; /* head_width and memory filled in, names NULL */
    et_linear_layer *q, *k, *v, *out;
    et_linear_layer *qkv; /* instead of the first three */
    et_rng *rng;          /* for dropout; NULL: the thread's default generator. May be set. */
} et_mha;

/* Options of one call; NULL for none. */
typedef struct et_mha_call {
    /* As et_attention's: real, added to the scores, or uint8, 0 where not to look; broadcasts to
     * [B, H, Tq, Tk] (et_mask_keys makes one from lengths). */
    et_tensor *mask;
    bool causal;
    /* Receives [B, H, Tq, Tk], before dropout; or NULL (then they are never made as a whole). */
    et_tensor **weights;
} et_mha_call;

/** Projections are initialised U(+-1/sqrt(fan_in)). EINVAL for sizes below 1, a width that the
 *  heads do not divide (where head_width is 0), a dropout outside [0, 1), or fused with a memory
 *  of another width; and as et_module_new. */
et_mha *et_mha_new(et_module *parent, const char *name, const et_mha_config *config, et_rng *rng);

/** x [B, T, H d] as [B, H, T, d], a view: what et_attention takes of a projection. NULL stays NULL. */
et_tensor *et_mha_heads(et_tensor *x, int64_t heads);

/** x [B, Tq, d]; memory [B, Tk, dm], or NULL for x itself; result [B, Tq, d], owned by the open
 *  scope. NULL after an error: ESHAPE; EINVAL for a memory with fused projections.
 *
 *  Plain self-attention (no call or one with nothing set, layers q, k and v) of heads at least as wide as x
 *  is computed without keys and values: W_k and W_v are multiplied into W_q and W_o first, which is the same
 *  function, with half of the products and half of the memory. Only rounding, and the numbers that dropout
 *  draws, differ from et_mha_attend. k.bias, which no result depends on, then gets no gradient at all rather
 *  than one of rounding errors: et_module_unreached names it. */
et_tensor *et_mha_forward(const et_mha *m, et_tensor *x, et_tensor *memory, const et_mha_call *call);

/** The same before the last projection: what the heads found, side by side, [B, Tq, H d_head].
 *
 *  Where it takes less than half of the multiplications, so always for few queries of many keys, keys and
 *  values are not made here either: the queries are multiplied by W_k, and what they find by W_v. (q, k and v
 *  must be layers of their own, the mask, if any, the same for all heads and queries of an item, and nothing
 *  else be set.) k.bias gets no gradient then, as above. */
et_tensor *et_mha_attend(const et_mha *m, et_tensor *x, et_tensor *memory, const et_mha_call *call);

#ifdef __cplusplus
}
#endif
#endif
