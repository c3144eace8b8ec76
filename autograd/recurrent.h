/* What the recurrent layers' ops share: shape rule, forward and backward through time.
 *
 * Operands: x [B,T,F], h0 [B,H]?, (LSTM: c0 [B,H]?,) w_ih [gates H, F], w_hh [gates H, H],
 * b_ih [gates H]?, b_hh [gates H]?, lengths int32 [B]?.
 * Outputs: y [B,T,H], h_n [B,H] (, LSTM: c_n [B,H]). */
#ifndef ETUDE_AUTOGRAD_RECURRENT_H
#define ETUDE_AUTOGRAD_RECURRENT_H

#include "autograd/op.h"
#include "autograd/shards.h"
#include "tensor/ints.h"

/* The attributes of the three ops. */
typedef struct et_rec_attr {
    et_cell cell;
    bool reverse;
    const et_kernels *kernels; /* those of forward, which saves states in their layout; NULL before it */
} et_rec_attr;

/* Saved-extra slot 0: the gates, as the step kernels lay them out:
 * [shards][steps in the order they ran][et_rec_step.saved]. Slot 1, LSTM: c before the first step of every
 * chunk, [shards][chunks][rows][ldh]. What lies between backward makes again: a GRU's W_hn h + b_hn of the
 * states, an LSTM's c of the gates. */

/* Operand numbers; c0 is -1 where there is none. */
typedef struct et_rec_operands {
    int x, h0, c0, w_ih, w_hh, b_ih, b_hh, lengths;
} et_rec_operands;

et_rec_operands et_rec_operand(et_cell cell);

et_status et_rec_shape(et_node *n);
unsigned et_rec_saves(const et_node *n);
et_status et_rec_fwd(et_node *n);
et_status et_rec_bwd(et_node *n);
double et_rec_flops(const et_node *n, bool backward); /* of all T frames, whatever the lengths */

/* --- what forward and backward share ------------------------------------------------ */

/* A call's sizes and operands, and the cut of the batch into shards: fixed by shapes, so that
 * the same rows are walked by the same thread forward and backward and sums over shards have
 * one order. Every shard runs its whole sequence by itself. */
typedef struct et_rec_call {
    const et_kernels *k;
    et_dtype dtype;
    bool mixed;                 /* backward's large products are of bfloat16 */
    size_t size;                /* of a real */
    et_cell cell;
    et_rec_operands at;
    int gates;                  /* of the weights: 1, 3 or 4 */
    int n_saved;                /* reals saved a unit: 0, 3 or 4 */
    int n_grads;                /* gate gradients a unit: 1, 4 or 4 */
    bool reverse;
    int64_t B, T, F, H;
    int64_t ldh;                /* H in whole vectors */
    int64_t rows;               /* of a shard (the last may have fewer) */
    int64_t chunk, n_chunks;    /* steps whose products backward makes together */
    et_lanes lanes;
    const void *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh;
    const int32_t *lengths;     /* or NULL: all T */
} et_rec_call;

/* Fills in *c from the node; reads the operands' data. */
et_status et_rec_open(et_node *n, et_rec_call *c);

/* Address of element i. */
static inline void *et_rec_at(const et_rec_call *c, const void *p, int64_t i)
{
    return (char *)(uintptr_t)p + (size_t)i * c->size;
}

/* Bytes of `count` reals in whole cache lines. */
static inline int64_t et_rec_bytes(const et_rec_call *c, int64_t count)
{
    return round_up(count * (int64_t)c->size, 64);
}

/* Frames of row b. */
static inline int64_t et_rec_length(const et_rec_call *c, int64_t b)
{
    return c->lengths ? c->lengths[b] : c->T;
}

/* c before step `step`, the first of a chunk, of the rows from lo on. */
static inline void *et_rec_cells(const et_rec_call *c, const void *cells, int64_t lo, int64_t rows,
                                 int64_t step)
{
    return et_rec_at(c, cells, (lo * c->n_chunks + step / c->chunk * rows) * c->ldh);
}

/* Steps that the longest of rows lo..hi-1 takes. */
int64_t et_rec_steps(const et_rec_call *c, int64_t lo, int64_t hi);

/* Frame of step `step` of `steps`: forward from 0, in reverse from the last. */
static inline int64_t et_rec_frame(const et_rec_call *c, int64_t step, int64_t steps)
{
    return c->reverse ? steps - 1 - step : step;
}

#endif
