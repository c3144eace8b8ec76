/* Scopes: who owns what is computed.
 *
 * Everything computed belongs to the innermost open scope of the calling thread and
 * goes away with it: there is no per-tensor free in a training loop.
 *
 *     et_scope *step = et_scope_open();
 *     et_tensor *loss = et_cross_entropy(model(x), y);
 *     et_backward(loss);
 *     et_scope_close(step);
 *
 * Scopes close last-in first-out on the thread that opened them. There is one tape
 * (autograd.h) per outermost scope. An inner scope bounds storage only: when it
 * closes, buffers that no backward rule will read are recycled at once and the saved
 * ones pass to the tape, but for those that cost little to make again (layer norm's,
 * GELU's): these are recycled too, and made again when backward comes to them. */
#ifndef ETUDE_TENSOR_SCOPE_H
#define ETUDE_TENSOR_SCOPE_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Opens a scope. Opening an outermost scope clears the pending error.
 *  NULL and ENOMEM on failure. */
et_scope *et_scope_open(void);

/** Closes the scope, which must be the innermost of this thread (ESCOPE otherwise,
 *  and nothing is closed). NULL is an error unless one is already pending. */
et_status et_scope_close(et_scope *scope);

/** Closes the scopes that were opened inside `scope` (NULL: all of this thread) and not closed,
 *  innermost first: for who calls a function of the user's, which may come back early. Their
 *  number; negative, ESCOPE, and nothing closed, if `scope` is not open on this thread. */
int et_scope_unwind(et_scope *scope);

/** Hands t, which `scope` owns, to the enclosing scope (or, from an outermost scope,
 *  to the caller: t then loses its history). Returns t; NULL stays NULL. */
et_tensor *et_scope_return(et_scope *scope, et_tensor *t);

/** Does to t at once what the end of an inner scope does: the caller uses t no more. If an op has
 *  recorded it, its elements stay only while backward is still to read them; else t is gone. A tensor
 *  of the caller is freed (et_free). NULL is allowed. */
void et_scope_let_go(et_tensor *t);
/** y, which was made of `used`, for which that was wanted last: lets go of `used` unless y is the same
 *  tensor or, after an error, NULL. Returns y. */
et_tensor *et_scope_after(et_tensor *used, et_tensor *y);

/** Gives a tensor that the caller owns to the innermost scope, if one is open. Returns t. */
et_tensor *et_scope_take(et_tensor *t);

/** Innermost open scope of this thread, or NULL; number of open scopes. */
et_scope *et_scope_current(void);
int et_scope_depth(void);

/* --- for autograd -------------------------------------------------------------- */

/** As et_scope_open, but the new scope has a tape of its own, as if it were outermost. */
et_scope *et_scope_open_root(void);
/** The scope whose tape ops record on: the nearest enclosing root, or NULL. */
et_scope *et_scope_root(void);
/** Memory for the elements of a tensor that went as remakable with its scope, of the version they had: the
 *  elements, for the op that makes them again. NULL and ENOMEM on failure. */
void *et_scope_restore(et_tensor *t);
/** True if other handles have the elements of t too. */
bool et_storage_shared(const et_tensor *t);
/** Says that sweeps may add to the elements of t, a leaf's gradient; true if that was said of a tensor that
 *  has the same elements. */
void et_storage_gathers(et_tensor *t);
bool et_storage_may_gather(const et_tensor *t);
/** A blank gradient for x, of the caller: zeros without memory. NULL and ENOMEM on failure. */
et_tensor *et_blank_new(const et_tensor *x);
/** Memory for the elements of a blank gradient, which is blank no longer; they are not written.
 *  False and ENOMEM on failure. */
bool et_blank_open(et_tensor *t);
/** A tensor of the caller's with the elements of t, which has none from then on. NULL, and t as it was,
 *  where others share them or they are a part of more; NULL and ENOMEM on failure. */
et_tensor *et_scope_salvage(et_tensor *t);
/** The tape that hangs on a root scope; drop(tape) is called when the scope closes,
 *  before its tensors go. */
void *et_scope_tape(const et_scope *root);
void et_scope_set_tape(et_scope *root, void *tape, void (*drop)(void *tape));

#ifdef __cplusplus
}
#endif
#endif
