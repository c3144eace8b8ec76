/* Running an op: checks, outputs, forward, recording; and the helpers of its rules. */
#include "config.h"

#include <stdarg.h>
#include <string.h>

#include "autograd/internal.h"
#include "tensor/iter.h"
#include "tensor/pool.h"

_Thread_local bool et_probe_found;

const et_op *et_op_find(const char *name)
{
    for (int i = 0; name && i < et_op_count; i++)
        if (strcmp(et_op_table[i]->name, name) == 0)
            return et_op_table[i];
    return NULL;
}

const char *et_shape_str(const et_tensor *t)
{
    static _Thread_local char text[6][ET_SHAPE_TEXT];
    static _Thread_local int turn;

    turn = (turn + 1) % 6;
    if (!t)
        return "NULL";
    return et_shape_text(text[turn], t->ndim, t->shape);
}

et_status et_op_raise(const et_node *n, et_status status, const char *fmt, ...)
{
    char text[768];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return et_raise_here(status, "%s: %s", n->op->name, text);
}

et_status et_op_dim(const et_node *n, int ndim, int dim, int *out)
{
    int d = dim < 0 ? dim + ndim : dim;

    if (d < 0 || d >= ndim)
        return et_op_raise(n, ET_EINVAL, "dimension %d of a tensor with %d", dim, ndim);
    *out = d;
    return ET_OK;
}

bool et_op_scope(const char *op)
{
    if (!et_scope_current())
        et_raise_here(ET_ESCOPE, "%s: no scope is open: call et_scope_open first", op);
    return et_scope_current() != NULL;
}

/* --- the call ------------------------------------------------------------------------ */

/* Checks the operands against op->args. */
static et_status check_args(const et_node *n)
{
    const char *a = n->op->args, *last = a;
    et_dtype real = ET_F32;
    bool have_real = false;

    for (int i = 0; i < n->n_in; i++) {
        while (*a == ' ')
            a++;
        if (*a)
            last = a;
        char kind = *last, mark = last[kind != '\0'];
        const et_tensor *t = n->in[i];
        if (*a && mark != '*')
            a += mark == '?' ? 2 : 1;
        if (!t) {
            if (mark == '?' && !et_error_status())
                continue;
            return et_op_raise(n, ET_EINVAL, "operand %d is NULL", i);
        }
        if (t->blank && !et_data(t)) /* a gradient set to zero */
            return et_error_status();
        if (!t->storage)
            return et_op_raise(n, ET_ESCOPE,
                               "the elements of operand %d, shape %s, were released by backward or with "
                               "their scope; mark it with et_keep or hand it on with et_scope_return",
                               i, et_shape_str(t));
        if (kind == 'r') {
            if (!et_dtype_is_real(t->dtype))
                return et_op_raise(n, ET_EDTYPE, "operand %d is %s, expected float32 or float64%s", i,
                                   et_dtype_name(t->dtype), t->dtype == ET_BF16 ? " (convert it with et_cast)"
                                                                                : "");
            if (have_real && t->dtype != real)
                return et_op_raise(n, ET_EDTYPE, "dtypes differ: %s and %s (convert one with et_cast)",
                                   et_dtype_name(real), et_dtype_name(t->dtype));
            real = t->dtype;
            have_real = true;
        } else if (kind == 'i' && t->dtype != ET_I32) {
            return et_op_raise(n, ET_EDTYPE, "operand %d is %s, expected int32", i, et_dtype_name(t->dtype));
        } else if (kind == 'm' && t->dtype != ET_U8) {
            return et_op_raise(n, ET_EDTYPE, "operand %d is %s, expected a uint8 mask", i,
                               et_dtype_name(t->dtype));
        }
    }
    return ET_OK;
}

/* Runs a node that is complete but for its outputs. */
static et_status run(et_node *n, size_t attr_size)
{
    et_status status = check_args(n);

    if (status)
        return status;
    status = n->op->shape ? n->op->shape(n) : ET_OK;
    if (!status)
        status = n->op->fwd(n);
    et_scratch_free(n);
    if (!status && et_anomaly_watches(n))
        for (int k = 0; !status && k < n->n_out; k++)
            status = et_anomaly_check(n, n->out[k], "made a NaN or infinity");
    if (!status && n->recording) {
        if (attr_size && !(n->attr = et_tape_copy(n->attr, attr_size)))
            status = ET_ENOMEM;
        else
            status = et_tape_record(n);
    }
    if (status || !n->recording) /* no backward will read the extras */
        while (n->n_saved > 0)
            et_free(n->saved[--n->n_saved]);
    return status;
}

/* run, timed where a profile is taken. */
static et_status run_profiled(et_node *n, size_t attr_size)
{
    et_span span;

    if (!et_profiled)
        return run(n, attr_size);
    et_span_begin(&span);
    const et_status status = run(n, attr_size);
    et_span_end(&span, n, ET_PROFILE_FORWARD, status ? 0 : et_span_flops(n, false),
                status ? 0 : et_span_bytes(n, false));
    return status;
}

/* The node of a call, but for what its operands need. The arrays of extras and versions are filled as they
 * are used. */
static void begin_node(et_node *n, const et_op *op, int n_in, et_tensor *const *in, const void *attr)
{
    n->op = op;
    n->n_in = n_in;
    n->n_out = op->n_out;
    n->n_saved = 0;
    n->in = (et_tensor **)in;
    n->attr = (void *)attr;
    n->file = et_here_file();
    n->line = et_here_line();
    n->tape = NULL;
    n->scratch = NULL;
    n->saves = 0;
    n->mixed = et_mixed_enabled();
    n->released = n->remade = false;
    n->id = -1;
    n->in_version = NULL;
    for (int k = 0; k < ET_MAX_OUT; k++)
        n->out[k] = NULL;
}

/* Which operands need a gradient, to needs [n_in]; whether the call is recorded. */
static void mark_needs(et_node *n, bool *needs)
{
    bool any = false;

    for (int i = 0; i < n->n_in; i++) {
        needs[i] = n->in[i] && n->in[i]->requires_grad && !(n->op->flags & ET_OP_NODIFF);
        any = any || needs[i];
    }
    if (any && !et_grad_enabled())
        et_probe_found = true;
    n->recording = any && et_grad_enabled();
    n->needs = needs;
    for (int i = 0; i < n->n_in && !n->recording; i++)
        needs[i] = false;
}

et_status et_apply(const et_op *op, int n_in, et_tensor *const *in, const void *attr, size_t attr_size,
                   et_tensor **out)
{
    const bool pending = et_error_status() != ET_OK;
    bool few[ET_MAX_ARGS], *needs = few;
    et_node n;

    for (int k = 0; k < op->n_out; k++)
        out[k] = NULL;
    if (!et_scope_current()) {
        if (n_in && !in[0] && pending)
            return et_error_status();
        et_op_scope(op->name);
        return et_error_status();
    }
    if (n_in > ET_MAX_ARGS && !(needs = et_pool_alloc((size_t)n_in * sizeof *needs)))
        return et_error_status();
    begin_node(&n, op, n_in, in, attr);
    mark_needs(&n, needs);
    const et_status status = run_profiled(&n, attr_size);
    if (needs != few)
        et_pool_free(needs);
    if (status) {
        if (!pending && status == ET_ENOMEM)
            et_fail_status(op->name);
        return et_error_status() ? et_error_status() : et_op_raise(&n, status, "failed");
    }
    for (int k = 0; k < op->n_out; k++)
        out[k] = n.out[k];
    return ET_OK;
}

et_tensor *et_apply1(const et_op *op, int n_in, et_tensor *const *in, const void *attr, size_t attr_size)
{
    et_tensor *out[ET_MAX_OUT] = {NULL};

    return et_apply(op, n_in, in, attr, attr_size, out) == ET_OK ? out[0] : NULL;
}

/* --- outputs and temporaries ----------------------------------------------------------- */

et_status et_out(et_node *n, int k, et_dtype dtype, int ndim, const int64_t *shape)
{
    n->out[k] = et_empty(dtype, ndim, shape);
    return n->out[k] ? ET_OK : et_error_status();
}

et_status et_out_like(et_node *n, int k, int i)
{
    return et_out(n, k, n->in[i]->dtype, n->in[i]->ndim, n->in[i]->shape);
}

et_status et_out_view(et_node *n, int ndim, const int64_t *shape, const int64_t *strides, int64_t offset)
{
    n->out[0] = et_raw_view(n->in[0], ndim, shape, strides, offset);
    return n->out[0] ? ET_OK : et_error_status();
}

void *et_out_data(et_node *n, int k) { return et_data_mut(n->out[k]); }

const et_kernels *et_k(const et_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] && et_dtype_is_real(n->out[k]->dtype))
            return et_kernels_for(n->out[k]->dtype);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && et_dtype_is_real(n->in[i]->dtype))
            return et_kernels_for(n->in[i]->dtype);
    return et_kernels_for(ET_F32);
}

typedef struct scratch {
    struct scratch *next;
    et_tensor *tensor; /* or NULL: the bytes follow */
} scratch;

enum { SCRATCH_HEAD = 64 };

static void *scratch_add(et_node *n, size_t bytes, et_tensor *tensor)
{
    scratch *s = et_pool_alloc(bytes < SIZE_MAX - SCRATCH_HEAD ? bytes + SCRATCH_HEAD : SIZE_MAX);

    if (!s)
        return NULL;
    s->next = n->scratch;
    s->tensor = tensor;
    n->scratch = s;
    return (char *)s + SCRATCH_HEAD;
}

void *et_scratch(et_node *n, size_t bytes) { return scratch_add(n, bytes, NULL); }

void et_scratch_free(et_node *n)
{
    for (scratch *s = n->scratch, *next; s; s = next) {
        next = s->next;
        et_free(s->tensor);
        et_pool_free(s);
    }
    n->scratch = NULL;
}

static et_tensor *temp(et_node *n, et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty_owned(dtype, ndim, shape);

    if (t && !scratch_add(n, 0, t)) {
        et_free(t);
        return NULL;
    }
    return t;
}

et_tensor *et_temp(et_node *n, int ndim, const int64_t *shape)
{
    return temp(n, et_k(n)->dtype, ndim, shape);
}

const void *et_contig(et_node *n, const et_tensor *t)
{
    if (et_is_contiguous(t))
        return et_data(t);
    et_tensor *copy = temp(n, t->dtype, t->ndim, t->shape);
    return copy && et_copy_into(copy, t) == ET_OK ? et_data(copy) : NULL;
}

et_tensor *et_save_extra(et_node *n, int slot, et_dtype dtype, int ndim, const int64_t *shape)
{
    et_tensor *t = et_empty_owned(dtype, ndim, shape);

    if (!t)
        return NULL;
    while (n->n_saved <= slot)
        n->saved[n->n_saved++] = NULL;
    n->saved[slot] = t;
    return t;
}
