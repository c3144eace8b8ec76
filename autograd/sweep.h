/* What the two halves of backward share: the sweep that is running. backward.c walks the tape, gradients.c
 * gives the rules memory for gradients.
 *
 * While a sweep runs, t->acc holds what has been gathered of the gradient of t: for an intermediate tensor
 * from its last reader down to the op that made it. A leaf's gradient is added straight to t->grad. In a
 * graph sweep (ET_CREATE_GRAPH) t->acc is an ordinary tensor of the scope, made by recorded ops. */
#ifndef ETUDE_AUTOGRAD_SWEEP_H
#define ETUDE_AUTOGRAD_SWEEP_H

#include "autograd/internal.h"

/* One walk down the tape, and the one that is running in this thread.
 *
 * There are two kinds. That of et_backward adds to the `grad` of every leaf it reaches. That of et_grad
 * *captures*: it computes the gradients of named tensors, the wanted inputs, leaves them in their `acc`, and
 * touches no `grad`. To walk only where that leads somewhere, tensors are marked beforehand (t->mark): `mark`
 * says that t was made from a wanted input, `mark + 1` that it is one. Every sweep has a fresh pair, so old
 * marks need not be cleared. */
typedef struct et_sweep {
    const et_tensor *root;  /* the tensor that backward started from, not to be released */
    bool capture;           /* et_grad's */
    uint64_t mark;          /* capture: see above */
    bool outside;           /* capture: an op that may read more than its operands (ET_OP_OUTSIDE: a
                               checkpoint, whose segment reads parameters) may lead to a wanted input too */
    bool retain;            /* ET_RETAIN_GRAPH: nothing is released */
    et_node *spoiled;       /* a node whose rule has begun to write over what forward saved for it
                               (et_saved_over): from then till its release backward cannot be tried again */
} et_sweep;

extern _Thread_local et_sweep *et_sweep_running; /* NULL: none */

/* For a capture sweep: t is one of the inputs whose gradient et_grad was asked for. */
static inline bool et_sweep_wants(const et_sweep *s, const et_tensor *t)
{
    return s->capture && t->mark == s->mark + 1;
}

/* The same, or t was made from one. */
static inline bool et_sweep_leads(const et_sweep *s, const et_tensor *t)
{
    return t->mark == s->mark || et_sweep_wants(s, t);
}

/* A copy of its own in place of a gradient whose elements another tensor's shares (et_gx_share). False if
 * there is no memory. */
bool et_gradient_unshare(et_tensor **g);

#endif
