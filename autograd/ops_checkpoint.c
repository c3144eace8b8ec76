/* Recomputation instead of storage (Chen et al. 2016, arXiv 1604.06174).
 *
 * Forward runs the segment without recording and keeps its inputs alone. Backward runs
 * it again on a tape of its own, from copies of the handles, and sweeps that tape:
 * what else the segment reads gets its gradients there, inputs hand theirs on. */
#include "config.h"

#include "autograd/internal.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    et_segment segment;
    void *user;
    et_rng rng; /* the default generator when forward began */
} checkpoint_attr;

/* Runs the segment in `scope`, the innermost one. NULL after an error; a segment that comes back
 * with a scope of its own open, early perhaps, is one, and the scopes are closed. */
static et_tensor *run_segment(const et_node *n, et_scope *scope, et_tensor *const *in)
{
    const checkpoint_attr *a = ET_ATTR(n, checkpoint_attr);
    const int mixed = et_mixed_set(n->mixed); /* backward may run outside of what forward ran in, or inside */
    et_tensor *y = a->segment(in, n->n_in, a->user);
    et_mixed_set(mixed);
    const int left = et_scope_unwind(scope);

    if (left > 0 && y) /* y may be gone with them */
        et_op_raise(n, ET_ESCOPE, "the segment returned with %d scope%s of its own open", left,
                    left == 1 ? "" : "s");
    if (left != 0)
        return NULL;
    if (!y && !et_error_status())
        et_op_raise(n, ET_EINVAL, "the segment returned NULL");
    return y;
}

static et_status checkpoint_fwd(et_node *n)
{
    et_scope *scope = et_scope_open();

    if (!scope)
        return et_error_status();
    et_no_grad_begin();
    et_tensor *y = run_segment(n, scope, n->in);
    const bool made = y && y->scope == scope;
    y = et_scope_return(scope, y);
    et_no_grad_end();
    et_scope_close(scope);
    if (!y)
        return et_error_status();
    for (int i = 0; i < n->n_in; i++)
        if (y == n->in[i])
            return et_op_raise(n, ET_EINVAL, "the segment returned its operand %d", i);
    if (!made)
        return et_op_raise(n, ET_EINVAL, "the segment returned a tensor that was there before it");
    if (!et_dtype_is_real(y->dtype))
        return et_op_raise(n, ET_EDTYPE, "the segment returned a %s tensor", et_dtype_name(y->dtype));
    n->out[0] = y;
    n->recording = et_grad_enabled() && (n->recording || et_probe_found);
    return ET_OK;
}

static et_status checkpoint_bwd(et_node *n)
{
    const checkpoint_attr *a = ET_ATTR(n, checkpoint_attr);
    et_tensor *in[ET_MAX_ARGS];
    et_status status = ET_OK;
    et_rng now = *et_rng_default();

    et_scope *scope = et_scope_open_root();
    if (!scope)
        return et_error_status();
    for (int i = 0; i < n->n_in && !status; i++) {
        in[i] = et_detach(n->in[i]);
        if (!in[i])
            status = et_error_status();
        else if (et_needs(n, i))
            et_set_requires_grad(in[i], true);
    }
    if (!status) {
        *et_rng_default() = a->rng;
        const int no_grad = et_no_grad_set(0);
        et_tensor *y = run_segment(n, scope, in);
        et_no_grad_set(no_grad);
        *et_rng_default() = now;
        status = y ? et_backward_inside(y, et_gy(n, 0), n->n_in, in) : et_error_status();
    }
    for (int i = 0; i < n->n_in && !status; i++)
        if (et_needs(n, i))
            status = et_gx_sum(n, i, in[i]->grad ? in[i]->grad : in[i]->acc);
    et_scope_close(scope);
    return status;
}

static unsigned checkpoint_saves(const et_node *n) { return (1u << n->n_in) - 1; }

static et_tensor *sample_segment(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in;
    (void)user;
    return et_mul(et_tanh(in[0]), et_add(in[1], in[0]));
}

static et_tensor *sample_outer(et_tensor *const *in, int n_in, void *user)
{
    return et_checkpoint(sample_segment, in, n_in, user);
}

ET_CALL(call_plain, et_checkpoint(sample_segment, in, 2, NULL))
ET_CALL(call_nested, et_mul(et_checkpoint(sample_outer, in, 2, NULL), in[1]))

static const et_sample checkpoint_samples[] = {
    {.name = "plain", .n_in = 2, .in = {{2, {3, 4}}, {1, {4}}}, .call = call_plain},
    {.name = "nested", .n_in = 2, .in = {{2, {2, 3}}, {2, {2, 3}}}, .call = call_nested},
    {.name = "empty", .n_in = 2, .in = {{1, {0}}, {1, {0}}}, .call = call_plain},
};

const et_op et_op_checkpoint = {
    .name = "checkpoint",
    .args = "r*",
    .n_out = 1,
    .flags = ET_OP_ONCE | ET_OP_OUTSIDE,
    .saves_for = checkpoint_saves,
    .fwd = checkpoint_fwd,
    .bwd = checkpoint_bwd,
    ET_SAMPLES(checkpoint_samples),
};

/** y = segment(in), computed again during backward instead of keeping what is inside
 *  (Chen et al. 2016, arXiv 1604.06174).
 *
 *  in       n_in <= ET_MAX_ARGS real tensors
 *  segment  a function of these; parameters and results that it reads besides get their gradients too
 *  user     handed to segment, must stay valid until the outermost scope closes
 *  return   what segment returns, one real tensor
 *
 *  The default random generator is set back for the second run, so that dropout repeats.
 *  Can be differentiated once. Errors: EINVAL (no segment, too many operands, a result that the
 *  segment has not made), and those of the segment. */
et_tensor *(et_checkpoint)(et_segment segment, et_tensor *const *in, int n_in, void *user)
{
    checkpoint_attr a = {segment, user, *et_rng_default()};

    if (!segment || n_in < 0 || n_in > ET_MAX_ARGS) {
        et_raise_here(ET_EINVAL, "checkpoint: expected a segment and at most %d operands", ET_MAX_ARGS);
        return NULL;
    }
    bool found = et_probe_found;
    et_probe_found = false;
    et_tensor *y = et_apply1(&et_op_checkpoint, n_in, in, &a, sizeof a);
    et_probe_found = found || et_probe_found;
    return y;
}
