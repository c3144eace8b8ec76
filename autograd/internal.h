/* What the files of autograd/ share privately: the tape itself. */
#ifndef ETUDE_AUTOGRAD_INTERNAL_H
#define ETUDE_AUTOGRAD_INTERNAL_H

#include "autograd/op.h"
#include "autograd/profile.h"

typedef struct et_arena et_arena;

/* Nodes in the order in which they ran, and the memory they and their arrays are in. */
typedef struct et_tape {
    et_node **nodes;
    int64_t length, room;
    et_arena *arenas;
} et_tape;

/* The tape of this thread's root scope; NULL when there is none yet. */
et_tape *et_tape_current(void);

/* Copies the node that has just run to the tape and marks what it reads and made. */
et_status et_tape_record(const et_node *n);

/* A copy of `bytes` bytes that lives as long as the tape. */
void *et_tape_copy(const void *p, size_t bytes);

/* Gives back what the node alone keeps: extras, and saved tensors that no other node is
 * to read. Elements of its outputs go too, but for `root` and kept tensors. */
void et_node_release(et_node *n, const et_tensor *root);

/* Temporaries of a rule. */
void et_scratch_free(et_node *n);

/* Anomaly mode (et_set_anomaly). et_anomaly_finite: false if t holds a NaN or infinity.
 * et_anomaly_watches: the mode is on and the operands of n are finite, so that n is to blame for what is not.
 * et_anomaly_check: raises ENONFINITE, naming n, if t is not finite; `what` says what t is. */
bool et_anomaly_finite(const et_tensor *t);
bool et_anomaly_watches(const et_node *n);
et_status et_anomaly_check(const et_node *n, const et_tensor *t, const char *what);

/* Profiling (profile.h): what is on in this thread, or NULL. While something is, every rule runs inside a
 * span. FLOPs and bytes of a backward rule are asked for before it runs, because it releases what it read. */
typedef struct et_span {
    struct et_span *outer;
    double start, inside; /* seconds; of the spans inside */
} et_span;
extern _Thread_local et_profile *et_profiled;
void et_span_begin(et_span *s);
void et_span_end(et_span *s, const et_node *n, et_profile_kind kind, double flops, double bytes);
double et_span_bytes(const et_node *n, bool backward);
double et_span_flops(const et_node *n, bool backward);

/* Sets how many et_mixed_begin, or et_no_grad_begin, are open, to run something as it ran before; returns how
 * many were. */
int et_mixed_set(int depth);
int et_no_grad_set(int depth);

/* For a rule that computed y again, on a tape of its own: sweeps that tape in the way of the sweep in which
 * the rule runs, grad being the cotangent of y. Of the n leaves `in` made for it those that require a
 * gradient get theirs in `grad`, or for et_grad in `acc`. */
et_status et_backward_inside(et_tensor *y, const et_tensor *grad, int n, et_tensor *const *in);

/* A number s for a sweep: neither s nor s + 1 was given to one before. */
uint64_t et_next_sweep(void);

/* While an op is only tried out under no_grad (et_checkpoint): true once an operand would
 * have needed a gradient. */
extern _Thread_local bool et_probe_found;

#endif
