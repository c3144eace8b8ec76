/* Reverse-mode differentiation.
 *
 * Ops (ops.h) record themselves on the tape of the outermost open scope in the order
 * they ran, so that the tape is a topological order already and backward is one
 * reverse sweep: a loop, never a recursion. Nothing is recorded between
 * et_no_grad_begin and et_no_grad_end, nor for a branch that leads to no tensor with
 * requires_grad.
 *
 * A step: open a scope, compute, et_backward, step the optimiser, close the scope. */
#ifndef ETUDE_AUTOGRAD_AUTOGRAD_H
#define ETUDE_AUTOGRAD_AUTOGRAD_H

#include <stdio.h>

#include "tensor/scope.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Between these, ops on this thread record nothing. They nest. */
void et_no_grad_begin(void);
void et_no_grad_end(void);
/** True if ops record (no et_no_grad_begin is open). */
bool et_grad_enabled(void);

/** Mixed precision: float32 calls of et_matmul, et_matmul_t, et_linear, et_linear_act and attention
 *  between these round what they multiply to bfloat16 and sum in float32 (et_gemm_bf16), and so do their
 *  backward rules, whenever they run. Recurrent layers do in backward, where they multiply over many
 *  steps at once (dx, dW), and compute forward as without. Results, gradients and parameters, and all
 *  other ops, stay float32; float64 is not touched. They nest. For this thread.
 *
 *      et_mixed_begin();
 *      et_tensor *loss = model(x);
 *      et_mixed_end();
 *      et_backward(loss); */
void et_mixed_begin(void);
void et_mixed_end(void);
/** True between them. */
bool et_mixed_enabled(void);

/** Adds d loss / d t to the gradient of every leaf t that needs one.
 *
 *  loss: a real tensor with one element, computed in the open outermost scope.
 *  Buffers are released as soon as backward has used them, except leaves, the loss and
 *  tensors marked with et_keep; using a released tensor later is ESCOPE. That holds for
 *  all that ran before the loss, whether it led to the loss or not: of independent losses
 *  begin with the one computed first, or retain the graph.
 *  Errors: EINVAL (more than one element), EGRAD (nothing requires a gradient),
 *  ESCOPE (already released), EVERSION (a saved tensor was changed), ENOMEM. After an error
 *  in the middle some leaves have parts of the sum: set their gradients to zero before another try. */
et_status et_backward(et_tensor *loss);

enum {
    ET_RETAIN_GRAPH = 1, /* release nothing: backward can run again */
    ET_CREATE_GRAPH = 2  /* record backward itself, so that gradients can be differentiated
                            again; implies ET_RETAIN_GRAPH. Reads what et_gelu, et_gelu_tanh,
                            et_quick_gelu and et_silu were called with, which otherwise goes
                            with its scope: et_keep it there */
};

/** As et_backward for any output: grad is the cotangent of y (y's shape and dtype), NULL
 *  for ones. flags: ET_RETAIN_GRAPH or 0. */
et_status et_backward_from(et_tensor *y, const et_tensor *grad, int flags);

/** Gradients of the n_out tensors `outputs` with cotangents grad_outputs (NULL, or
 *  entries NULL, for ones) with respect to the n_in tensors `inputs`, written to
 *  grads[i] as tensors of the current scope; leaves' own gradients are not touched.
 *  grads[i] is NULL where inputs[i] does not reach any output.
 *  Errors: as et_backward, and EGRAD when ET_CREATE_GRAPH meets an op that can be
 *  differentiated only once (the message names it). */
et_status et_grad(int n_out, et_tensor *const *outputs, et_tensor *const *grad_outputs, int n_in,
                  et_tensor *const *inputs, et_tensor **grads, int flags);

/** A piece of a model, for et_checkpoint: reads in[0 .. n_in) and returns its result. */
typedef et_tensor *(*et_segment)(et_tensor *const *in, int n_in, void *user);

/** In anomaly mode every op checks its results, forward and backward, and the first that
 *  makes a NaN or infinity of finite operands fails with ENONFINITE, its name and place; one
 *  that was in the operands already (a leaf's, say) passes. For this thread. */
void et_set_anomaly(bool on);
bool et_anomaly(void);

/** The tape of this thread: its number of nodes; as text, one line an op;
 *  as a Graphviz graph (`dot -Tsvg`). */
int64_t et_tape_length(void);
et_status et_tape_print(FILE *out);
et_status et_tape_dot(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
