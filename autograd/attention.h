/* What the op (ops_attention.c) and the work (attention.c) of attention share. */
#ifndef ETUDE_AUTOGRAD_ATTENTION_H
#define ETUDE_AUTOGRAD_ATTENTION_H

#include <stdatomic.h>

#include "autograd/op.h"

typedef struct et_attn_attr {
    bool causal;
    bool merge;     /* the output is [B, Tq, H dv] */
    int heads;      /* q, k and v are one operand of so many heads; 0: three operands */
    double scale, dropout;
    et_rng rng;     /* weight i of all, in row-major order, takes the i-th word from here on */
} et_attn_attr;

/* [B, H, T, d], with strides in elements. */
typedef struct et_attn_heads {
    char *p;
    int64_t sb, sh, st, sd;
    int64_t period; /* batch b is read at b mod period; 0: at b */
} et_attn_heads;

/* Where batch b of x begins, in elements. */
static inline int64_t et_attn_batch(const et_attn_heads *x, int64_t b)
{
    return (x->period ? b % x->period : b) * x->sb;
}

typedef struct et_attn_job {
    const et_kernels *kr;
    et_dtype dtype;
    bool mixed;                /* products of bfloat16 */
    int64_t es;                /* bytes of an element */
    int64_t b, h, tq, tk, dk, dv;
    et_attn_attr at;
    et_attn_heads q, k, v;
    et_attn_heads bias, mask;  /* real, and uint8; strides 0 where broadcast, p NULL where absent */
    et_attn_heads y;           /* the output, or its gradient (p may then be NULL); sd is 1 */
    char *w, *lse;             /* dense: weights or their gradient; ln sum e^score. NULL where not wanted */
    et_attn_heads gq, gk, gv;  /* gradients, p NULL where not wanted; sd is 1 */
    int acc_q, acc_k, acc_v;
    et_attn_heads gbias;       /* always added to; strides 0 where it sums */
    int64_t units_b, units_h;  /* heads go in units of b / units_b (units_b apart) by h / units_h */
    int64_t chunks;            /* forward: pieces of each head's queries */
    int64_t block;             /* queries that go through together */
    char *scratch;
    int64_t slot, per;         /* bytes of scratch for a thread, units for one */
    atomic_bool failed;
} et_attn_job;

/* Both take a job with shapes, operands and results set and cut it themselves; scratch is n's. */
et_status et_attn_forward(et_node *n, et_attn_job *w);
et_status et_attn_backward(et_node *n, et_attn_job *w);

#endif
