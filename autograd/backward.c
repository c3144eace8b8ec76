/* The reverse sweep: backward walks the tape from its end, asks every node that a gradient has reached for
 * the gradients of its operands, and gives back what nobody will read any more. sweep.h says what a sweep
 * is. */
#include "config.h"

#include "autograd/ops.h"
#include "autograd/sweep.h"
#include "tensor/pool.h"

_Thread_local et_sweep *et_sweep_running;

/* --- what rules read ------------------------------------------------------------------------ */

static et_status make_again(et_tensor *t);

/* What `saves` names of the operands and outputs of n must be there, made again if need be, and be what it
 * was when n was recorded. */
static et_status check_saved(const et_node *n, unsigned saves)
{
    for (int i = 0; i < n->n_in && i < ET_MAX_ARGS; i++) {
        et_tensor *t = n->in[i];
        if (t && saves & ET_SAVE_IN(i) && !t->storage && t->remakable && t->node && !t->node->released &&
            make_again(t))
            return et_error_status();
    }
    if (n->file)
        et_here(n->file, n->line);
    for (int i = 0; i < n->n_in && i < ET_MAX_ARGS; i++) {
        const et_tensor *t = n->in[i];
        if (!t || !(saves & ET_SAVE_IN(i)))
            continue;
        if (!t->storage)
            return et_op_raise(n, ET_ESCOPE, "backward: operand %d was released%s", i,
                               n->saves & ET_SAVE_IN(i) ? "" : ": for ET_CREATE_GRAPH mark it with et_keep");
        if (et_version(t) != n->in_version[i])
            return et_op_raise(n, ET_EVERSION,
                               "backward: operand %d%s%s was changed after the op had read it", i,
                               t->name ? " " : "", t->name ? t->name : "");
    }
    for (int k = 0; k < n->n_out; k++) {
        const et_tensor *t = n->out[k];
        if (!(saves & ET_SAVE_OUT(k)))
            continue;
        if (!t->storage)
            return et_op_raise(n, ET_ESCOPE, "backward: the result was released");
        if (et_version(t) != n->out_version[k])
            return et_op_raise(n, ET_EVERSION, "backward: the result was changed after the op had made it");
    }
    return ET_OK;
}

/* Makes the elements of t again, which its op's rule `remake` can and which therefore went with t's scope.
 * What the rule reads never goes in that way itself (note_operands in tape.c), so this recurses no
 * further. */
static et_status make_again(et_tensor *t)
{
    et_node *n = t->node;
    et_status status = check_saved(n, n->saves & n->op->remake_reads);
    et_span span;

    if (status)
        return status;
    if (et_profiled)
        et_span_begin(&span);
    void *y = et_scope_restore(t);
    status = y ? n->op->remake(n, y) : et_error_status();
    et_scratch_free(n);
    if (et_profiled)
        et_span_end(&span, n, ET_PROFILE_FORWARD, 0,
                    2.0 * (double)t->numel * (double)et_dtype_size(t->dtype)); /* read, written */
    if (!status) {
        n->remade = true;
        return ET_OK;
    }
    et_release(t);
    t->remakable = true;
    if (!et_error_status())
        et_op_raise(n, status, "its result could not be made again");
    return et_fail_status(n->op->name);
}

/* --- one node ------------------------------------------------------------------------------- */

/* For a capture sweep: needs[i] only where operand i leads to a wanted input. */
static bool narrow(const et_node *n, const et_sweep *s, bool *needs)
{
    bool any = s->outside && n->op->flags & ET_OP_OUTSIDE;

    for (int i = 0; i < n->n_in; i++) {
        const et_tensor *t = n->in[i];
        needs[i] = t && n->needs[i] && et_sweep_leads(s, t);
        any = any || needs[i];
    }
    return any;
}

static bool has_gradient(const et_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]->acc)
            return true;
    return false;
}

/* What is there of the gradient of operand i. */
static const et_tensor *gathered(const et_node *n, int i)
{
    const et_tensor *t = n->in[i];

    return t->node || et_sweep_running->capture ? t->acc : t->reached ? t->grad : NULL;
}

/* In anomaly mode: true if all that backward of n starts from is finite, so that it is to blame for what
 * is not. */
static bool starts_finite(const et_node *n)
{
    bool clean = et_anomaly_watches(n);

    for (int k = 0; k < n->n_out && clean; k++)
        clean = et_anomaly_finite(n->out[k]->acc);
    for (int i = 0; i < n->n_in && clean; i++)
        clean = !et_needs(n, i) || et_anomaly_finite(gathered(n, i));
    return clean;
}

static et_status check_new_gradients(const et_node *n)
{
    et_status status = ET_OK;

    for (int i = 0; i < n->n_in && !status; i++)
        if (et_needs(n, i))
            status = et_anomaly_check(n, gathered(n, i), "backward made a NaN or infinity");
    return status;
}

/* Backward of one node, into memory. */
static et_status step(et_node *n)
{
    et_status status = check_saved(n, n->saves);

    if (status)
        return status;
    const bool clean = starts_finite(n);
    status = n->op->bwd(n);
    et_scratch_free(n);
    if (!status && clean)
        status = check_new_gradients(n);
    return status;
}

/* Backward of one node, as recorded ops. */
static et_status step_graph(et_node *n)
{
    et_tensor *gy[ET_MAX_OUT], *few[ET_MAX_ARGS], **gx = few;
    et_status status = check_saved(n, n->saves | n->op->graph_reads);

    if (status)
        return status;
    if (!n->op->bwd_graph)
        return et_op_raise(n, ET_EGRAD,
                           "can be differentiated once only (no ET_CREATE_GRAPH through this op)");
    if (n->n_in > ET_MAX_ARGS && !(gx = et_pool_alloc((size_t)n->n_in * sizeof(*gx))))
        return et_error_status();
    for (int k = 0; k < n->n_out; k++)
        gy[k] = n->out[k]->acc;
    for (int i = 0; i < n->n_in; i++)
        gx[i] = NULL;
    status = n->op->bwd_graph(n, gy, gx);
    et_scratch_free(n);
    for (int i = 0; !status && i < n->n_in; i++) {
        et_tensor *x = n->in[i];
        if (!gx[i] || !et_needs(n, i))
            continue;
        et_tensor *g = et_same_shape(gx[i], x) ? gx[i] : et_sum_to_size(gx[i], x->ndim, x->shape);
        x->acc = g && x->acc ? et_add(x->acc, g) : g;
        status = et_error_status();
    }
    if (gx != few)
        et_pool_free(gx);
    return status;
}

/* The step of n inside a span of the profile. */
static et_status profiled_step(et_node *n, bool graph)
{
    const double flops = graph ? 0 : et_span_flops(n, true), bytes = graph ? 0 : et_span_bytes(n, true);
    et_status status;
    et_span span;

    et_span_begin(&span);
    status = graph ? step_graph(n) : step(n);
    et_span_end(&span, n, ET_PROFILE_BACKWARD, flops, bytes);
    return status;
}

/* Gives every gathered gradient back, after an error. */
static void forget(et_tape *tape, int64_t length, bool graph)
{
    for (int64_t i = 0; i < length; i++) {
        et_node *n = tape->nodes[i];
        for (int k = 0; k < n->n_in + n->n_out; k++) {
            et_tensor *t = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
            if (!t)
                continue;
            if (!graph)
                et_free(t->acc);
            t->acc = NULL;
        }
    }
}

/* The step of n where a gradient has reached it; in a capture sweep for operands alone that lead to a wanted
 * input. */
static et_status visit(et_node *n, const et_sweep *s, bool graph)
{
    bool *needs = n->needs, few[ET_MAX_ARGS], *narrowed = few, reached = true;
    et_status status = ET_OK;

    if (!has_gradient(n))
        return ET_OK;
    if (n->released) {
        if (n->file)
            et_here(n->file, n->line);
        return et_op_raise(n, ET_ESCOPE, "backward has run through this op already; the first time, pass "
                                         "ET_RETAIN_GRAPH");
    }
    if (s->capture) {
        if (n->n_in > ET_MAX_ARGS && !(narrowed = et_pool_alloc((size_t)n->n_in * sizeof *narrowed)))
            return et_error_status();
        reached = narrow(n, s, narrowed);
        n->needs = narrowed;
    }
    if (reached)
        status = et_profiled ? profiled_step(n, graph) : graph ? step_graph(n) : step(n);
    if (status && !et_error_status())
        et_op_raise(n, status, "backward failed");
    if (status == ET_ENOMEM)
        et_fail_status(n->op->name);
    n->needs = needs;
    if (narrowed != few)
        et_pool_free(narrowed);
    return status;
}

/* The gradients of n's outputs, once its rule has run: those of kept tensors stay to be looked at, wanted
 * ones where they are, the others go. */
static et_status settle_outputs(const et_node *n, const et_sweep *s, bool graph)
{
    for (int k = 0; k < n->n_out; k++) {
        et_tensor *t = n->out[k];
        if (!t->acc || et_sweep_wants(s, t))
            continue;
        if (!graph && t->keep && !s->capture) {
            if (et_storage_shared(t->acc) && !et_gradient_unshare(&t->acc))
                return et_error_status();
            et_free(t->grad);
            t->grad = t->acc;
        } else if (!graph) {
            et_free(t->acc);
        }
        t->acc = NULL;
    }
    return ET_OK;
}

/* Releases n, but not the wanted gradients of its outputs. */
static void release(et_node *n, et_sweep *s)
{
    et_tensor *held[ET_MAX_OUT];

    for (int k = 0; k < n->n_out; k++) {
        held[k] = n->out[k]->acc;
        n->out[k]->acc = NULL;
    }
    et_node_release(n, s->root);
    for (int k = 0; k < n->n_out; k++)
        n->out[k]->acc = held[k];
    s->spoiled = NULL;
}

/* --- the sweep ------------------------------------------------------------------------------ */

/* Visits the nodes from `last` down to the first. In a capture sweep, wanted intermediates keep
 * their gradient in t->acc. `graph`: by recorded ops (ET_CREATE_GRAPH). */
static et_status walk(et_tape *tape, int64_t last, et_sweep *s, bool graph)
{
    et_sweep *outer = et_sweep_running;
    et_status status = ET_OK;

    et_sweep_running = s;
    for (int64_t i = last; !status && i >= 0; i--) {
        et_node *n = tape->nodes[i];
        status = visit(n, s, graph);
        if (!status)
            status = settle_outputs(n, s, graph);
        if (!status && !s->retain && !n->released)
            release(n, s);
    }
    et_sweep_running = outer;
    if (status)
        forget(tape, tape->length, graph);
    if (s->spoiled) /* its rule failed: nothing is there any more for another try */
        et_node_release(s->spoiled, s->root);
    return status;
}

/* Starts y->acc with the cotangent of y: grad, or ones. `only`: backward starts from y alone. */
static et_status seed(et_tensor *y, const et_tensor *grad, bool graph, bool only)
{
    if (grad && (!et_same_shape(grad, y) || grad->dtype != y->dtype))
        return et_raise(ET_ESHAPE, "backward: the gradient is %s %s, the tensor %s %s",
                        et_dtype_name(grad->dtype), et_shape_str(grad), et_dtype_name(y->dtype),
                        et_shape_str(y));
    if (graph) { /* with its history: gradients can be differentiated by the cotangent too */
        et_tensor *g = grad ? (et_tensor *)grad : et_ones(y->dtype, y->ndim, y->shape);
        y->acc = g && y->acc ? et_add(y->acc, g) : g;
        return et_error_status();
    }
    /* Where backward starts the gradient is read alone (may_hand_on), so the caller's own memory will do,
     * unless it is that of a leaf's gradient, to which rules add before others have read it. */
    const bool borrowed = only && grad && !y->keep && et_is_contiguous(grad) && !et_storage_may_gather(grad);
    et_tensor *g = borrowed ? et_raw_view(grad, grad->ndim, grad->shape, grad->strides, grad->offset)
                            : et_empty_owned(y->dtype, y->ndim, y->shape);
    if (!g)
        return et_error_status();
    et_status status = borrowed ? ET_OK : grad ? et_copy_into(g, grad) : et_fill(g, 1);
    if (status) {
        et_free(g);
    } else if (!y->acc) {
        y->acc = g;
    } else { /* an output named twice */
        et_kernels_for(g->dtype)->axpby(g->numel, 1, et_data(g), 1, et_data_mut(y->acc));
        et_free(g);
    }
    return status;
}

/* y must be what backward can start from: made by an op of the open tape or, with leaf_too, a leaf, whose
 * gradient is then the cotangent. */
static et_status check_output(const et_tensor *y, bool leaf_too)
{
    if (!y)
        return et_raise(ET_EINVAL, "backward: tensor is NULL");
    if (!et_dtype_is_real(y->dtype))
        return et_raise(ET_EDTYPE, "backward: a %s tensor has no gradient", et_dtype_name(y->dtype));
    if (leaf_too && y->requires_grad && !y->node)
        return ET_OK;
    if (!y->node || !y->requires_grad)
        return et_raise(ET_EGRAD,
                        "backward: no recorded op made this tensor from one that requires a gradient");
    if (y->node->tape != et_tape_current())
        return et_raise(ET_ESCOPE, "backward: the tensor belongs to another tape than the open scope's");
    return ET_OK;
}

/* --- the calls ------------------------------------------------------------------------------ */

et_status et_backward_from(et_tensor *y, const et_tensor *grad, int flags)
{
    et_status status = et_error_status();

    if (status)
        return status;
    if ((status = check_output(y, false)))
        return status;
    if (flags & ~ET_RETAIN_GRAPH)
        return et_raise(ET_EINVAL,
                        "backward: only ET_RETAIN_GRAPH can be asked for; for ET_CREATE_GRAPH use et_grad");
    if ((status = seed(y, grad, false, true)))
        return status;
    et_sweep s = {.root = y, .retain = flags & ET_RETAIN_GRAPH};
    return walk(y->node->tape, y->node->id, &s, false);
}

et_status et_backward(et_tensor *loss)
{
    if (loss && loss->numel != 1)
        return et_raise(ET_EINVAL,
                        "backward: the loss has shape %s, expected one element (reduce it with et_mean or "
                        "et_sum, or use et_backward_from)",
                        et_shape_str(loss));
    return et_backward_from(loss, NULL, 0);
}

/* Marks what is made from a wanted input: one pass over the tape, from its beginning. */
static void mark_leading(const et_tape *tape, const et_sweep *s)
{
    for (int64_t i = 0; tape && i < tape->length; i++) {
        const et_node *n = tape->nodes[i];
        bool found = s->outside && n->op->flags & ET_OP_OUTSIDE;
        for (int k = 0; k < n->n_in && !found; k++)
            found = n->in[k] && n->needs[k] && et_sweep_leads(s, n->in[k]);
        for (int k = 0; found && k < n->n_out; k++)
            if (!et_sweep_wants(s, n->out[k]))
                n->out[k]->mark = s->mark;
    }
}

et_status et_backward_inside(et_tensor *y, const et_tensor *grad, int n, et_tensor *const *in)
{
    if (!et_sweep_running->capture)
        return et_backward_from(y, grad, 0);
    /* With the marks of the sweep outside: what it wants is wanted here too. */
    const et_sweep *outer = et_sweep_running;
    et_sweep s = {.root = y, .mark = outer->mark, .capture = true, .outside = outer->outside};
    et_status status;

    for (int i = 0; i < n; i++)
        if (in[i]->requires_grad)
            in[i]->mark = s.mark + 1;
    if (!y->node)
        return ET_OK;
    if ((status = check_output(y, false)) || (status = seed(y, grad, false, true)))
        return status;
    mark_leading(y->node->tape, &s);
    return walk(y->node->tape, y->node->id, &s, false);
}

/* The arguments of et_grad, but for the tensors in the lists. */
static et_status check_grad_call(int n_out, et_tensor *const *outputs, int n_in, et_tensor *const *inputs,
                                 et_tensor **grads, int flags)
{
    const char *wrong = n_out < 0 || n_in < 0 ? "a negative number of tensors"
                        : n_out && !outputs   ? "outputs is NULL"
                        : n_in && !inputs     ? "inputs is NULL"
                        : n_in && !grads      ? "grads is NULL" : NULL;

    if (wrong)
        return et_raise(ET_EINVAL, "grad: %s", wrong);
    for (int i = 0; i < n_in; i++)
        grads[i] = NULL;
    if (flags & ~(ET_RETAIN_GRAPH | ET_CREATE_GRAPH))
        return et_raise(ET_EINVAL, "grad: unknown flags %d", flags);
    return ET_OK;
}

/* Marks the tensors whose gradients are wanted. */
static et_status mark_wanted(const et_sweep *s, int n, et_tensor *const *inputs)
{
    for (int i = 0; i < n; i++) {
        if (!inputs[i])
            return et_raise(ET_EINVAL, "grad: input %d is NULL", i);
        if (!inputs[i]->requires_grad)
            return et_raise(ET_EGRAD, "grad: input %d does not require a gradient", i);
        inputs[i]->mark = s->mark + 1;
    }
    return ET_OK;
}

/* Hands what the sweep has gathered for the inputs to the caller. */
static void give_gradients(int n, et_tensor *const *inputs, et_tensor **grads, bool graph)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i && !grads[i]; k++) /* the same input again */
            grads[i] = inputs[k] == inputs[i] ? grads[k] : NULL;
        if (grads[i] || !inputs[i]->acc)
            continue;
        grads[i] = graph ? inputs[i]->acc : et_scope_take(inputs[i]->acc);
        inputs[i]->acc = NULL;
    }
}

/* After an error: forget() sees what is on the tape; a leaf that no op has read is not. */
static void forget_inputs(int n, et_tensor *const *inputs, bool graph)
{
    for (int i = 0; i < n; i++) {
        if (!graph)
            et_free(inputs[i]->acc);
        inputs[i]->acc = NULL;
    }
}

et_status et_grad(int n_out, et_tensor *const *outputs, et_tensor *const *grad_outputs, int n_in,
                  et_tensor *const *inputs, et_tensor **grads, int flags)
{
    const bool graph = flags & ET_CREATE_GRAPH;
    et_tape *tape = et_tape_current();
    int64_t last = -1; /* the node to walk down from: that of the latest output */
    et_status status = check_grad_call(n_out, outputs, n_in, inputs, grads, flags);
    et_sweep s = {.capture = true, .outside = !graph, .retain = graph || flags & ET_RETAIN_GRAPH,
                  .mark = et_next_sweep()};

    if (!status)
        status = et_error_status();
    for (int i = 0; i < n_out && !status; i++)
        status = check_output(outputs[i], true);
    if (!status)
        status = mark_wanted(&s, n_in, inputs);
    if (status)
        return status;
    if (graph && !et_grad_enabled())
        return et_raise(ET_EGRAD, "grad: ET_CREATE_GRAPH inside et_no_grad_begin");
    mark_leading(tape, &s);
    for (int i = 0; i < n_out && !status; i++) {
        et_tensor *y = outputs[i];
        if (!y->node && !et_sweep_wants(&s, y))
            continue; /* a leaf that is not asked for */
        status = seed(y, grad_outputs ? grad_outputs[i] : NULL, graph, false);
        if (y->node && y->node->id > last)
            last = y->node->id;
    }
    if (status)
        forget(tape, tape ? tape->length : 0, graph);
    else
        status = walk(tape, last, &s, graph);
    if (status)
        forget_inputs(n_in, inputs, graph);
    else
        give_gradients(n_in, inputs, grads, graph);
    return status;
}
