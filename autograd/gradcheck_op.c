/* Gradient checks of an op on its samples: every check, in every layout of its operands
 * and with every instruction set. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/gradcheck_internal.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"

/* A sample at work. */
typedef struct trial {
    const et_op *op;
    const et_sample *sample;
    const et_gradcheck_options *opt;
    et_gradcheck_report *report;
    char label[128];
    et_tensor *in[ET_MAX_ARGS];
    int expanded; /* operand that call_expanded expands */
} trial;

typedef enum layout { TRANSPOSED, SLICED, N_LAYOUTS } layout;

static const char *const layout_name[] = {"transposed", "sliced out of a larger tensor"};

static int call_sample(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    const trial *t = user;

    (void)n_in;
    return t->sample->call(in, out);
}

/* --- operands ------------------------------------------------------------------------------ */

static bool is_real(et_arg_kind kind) { return kind != ET_ARG_INDEX && kind != ET_ARG_MASK; }

/* Draws the elements of one operand. Reals are exact in float32, so that the same point can
 * be used in both precisions. 0 if the range is too narrow for DISTINCT. */
static int draw(const et_arg *arg, et_rng *r, int64_t n, double *x)
{
    double lo = arg->lo, hi = arg->hi, width, spread;

    if (arg->lo == 0 && arg->hi == 0) {
        lo = is_real(arg->kind) ? -1 : 0;
        hi = is_real(arg->kind) ? 1 : 0.5; /* of a mask: the probability */
    }
    for (int64_t e = 0; e < n; e++) {
        double u = et_rng_uniform(r);

        switch (arg->kind) {
        case ET_ARG_REAL:
        case ET_ARG_CONST: x[e] = (float)(lo + (hi - lo) * u); break;
        case ET_ARG_AWAY:
            u = lo + (hi - lo) * u;
            x[e] = (float)(floor(u) + 0.101 + 0.798 * (u - floor(u)));
            break;
        case ET_ARG_INDEX: x[e] = floor(lo + (hi - lo) * u); break;
        case ET_ARG_MASK: x[e] = u < hi; break;
        case ET_ARG_DISTINCT:
            width = (hi - lo) / (double)n;
            if (width < 0.021)
                return 0;
            spread = fmin(0.9, 1 - 0.021 / width);
            x[e] = (float)(lo + width * ((double)e + 0.5 + spread * (u - 0.5)));
            break;
        }
    }
    for (int64_t e = n - 1; e > 0 && arg->kind == ET_ARG_DISTINCT; e--) {
        int64_t other = et_rng_below(r, e + 1);
        double swap = x[e];

        x[e] = x[other];
        x[other] = swap;
    }
    return 1;
}

static et_status file_failure(trial *t, const char *what, const char *message)
{
    et_gc gc = {.report = t->report, .label = t->label};

    return et_gc_failed(&gc, what, message);
}

/* Operand i of the sample, contiguous. */
static et_tensor *make_operand(trial *t, int i, int sample_index)
{
    const et_arg *arg = &t->sample->in[i];
    et_dtype dtype = arg->kind == ET_ARG_INDEX ? ET_I32 : arg->kind == ET_ARG_MASK ? ET_U8 : ET_F64;
    et_rng r = et_rng_make(t->opt->seed + 1, (uint64_t)(sample_index * ET_MAX_ARGS + i));
    et_tensor *made = NULL, *real = et_empty(ET_F64, arg->ndim, arg->shape);

    if (!real)
        return NULL;
    if (real->numel == 0 || draw(arg, &r, real->numel, et_data_mut(real)))
        made = dtype == ET_F64 ? real : et_to(real, dtype);
    else
        et_raise(ET_EINVAL, "the range of operand %d is too narrow for that many distinct values", i);
    if (made != real)
        et_free(real);
    return made;
}

/* The same elements as x in another layout; *base receives the storage's first owner. What
 * lies between the elements is NaN, so that reading it shows. */
static et_tensor *lay_out(const et_tensor *x, layout how, et_tensor **base)
{
    int64_t shape[ET_MAX_DIMS] = {3}, strides[ET_MAX_DIMS], offset = 0;
    int ndim = x->ndim ? x->ndim : 1;

    for (int d = 0; d < x->ndim; d++)
        shape[d] = how == SLICED ? x->shape[d] + 3 : x->shape[x->ndim - 1 - d];
    if (how == TRANSPOSED && x->ndim == 1)
        shape[ndim++] = 2; /* every second element */
    *base = et_empty(x->dtype, ndim, shape);
    if (!*base || et_fill(*base, et_dtype_is_real(x->dtype) ? NAN : 255))
        return NULL;
    for (int d = 0; d < x->ndim; d++) {
        strides[d] = (*base)->strides[how == SLICED || x->ndim == 1 ? d : x->ndim - 1 - d];
        offset += how == SLICED ? (d == 0 ? 2 : 1) * strides[d] : 0;
    }
    et_tensor *view = et_raw_view(*base, x->ndim, x->shape, strides, x->ndim ? offset : 1);
    if (view && et_copy_into(view, x)) {
        et_free(view);
        view = NULL;
    }
    return view;
}

/* --- checks ----------------------------------------------------------------------------------- */

static et_gradcheck_options options_for(const trial *t)
{
    et_gradcheck_options opt = *t->opt;

    if (t->sample->tol > 0)
        opt.tol = t->sample->tol;
    return opt;
}

/* True if the sample can be called on `in`. A view cannot be made in every layout. */
static bool can_call(trial *t, et_tensor *const *in)
{
    et_tensor *out[ET_GRADCHECK_MAX];
    et_scope *scope = et_scope_open();
    bool ok = scope && t->sample->call(in, out) > 0;

    et_scope_close(scope);
    et_error_clear();
    return ok;
}

/* Operands in another layout: all of them, then each alone. */
static et_status check_layout(trial *t, et_gc *gc, layout how)
{
    et_tensor *view[ET_MAX_ARGS] = {NULL}, *base[ET_MAX_ARGS] = {NULL}, *in[ET_MAX_ARGS];
    int n = t->sample->n_in;
    et_status status = ET_OK;
    char what[96];

    for (int i = 0; i < n && status == ET_OK; i++) {
        view[i] = lay_out(t->in[i], how, &base[i]);
        if (!view[i])
            status = file_failure(t, layout_name[how], NULL);
    }
    for (int alone = -1; alone < n && status == ET_OK; alone++) {
        if (alone >= 0 && n == 1)
            break;
        for (int i = 0; i < n; i++)
            in[i] = alone < 0 || alone == i ? view[i] : t->in[i];
        if ((t->op->flags & ET_OP_VIEW) && !can_call(t, in))
            continue;
        if (alone < 0)
            snprintf(what, sizeof what, "operands %s", layout_name[how]);
        else
            snprintf(what, sizeof what, "operand %d %s", alone, layout_name[how]);
        status = et_gc_same_at(gc, what, in, 1e-12);
        if (status == ET_OK && gc->active && !(t->op->flags & ET_OP_ONCE))
            status = et_gc_recorded_at(gc, what, in);
    }
    for (int i = 0; i < n; i++) {
        et_free(view[i]);
        et_free(base[i]);
    }
    return status;
}

static int call_expanded(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    const trial *t = user;
    et_tensor *full[ET_MAX_ARGS];
    const et_arg *arg = &t->sample->in[t->expanded];

    for (int i = 0; i < n_in; i++)
        full[i] = in[i];
    full[t->expanded] = et_expand(in[t->expanded], arg->ndim, arg->shape);
    return full[t->expanded] ? t->sample->call(full, out) : -1;
}

/* `wide`, an operand i whose rows share memory, against its copy `full`: the same values and derivatives. */
static et_status expanded_as_copied(trial *t, int i, et_tensor *wide, et_tensor *full)
{
    const et_gradcheck_options opt = options_for(t);
    et_tensor *in[ET_MAX_ARGS];
    et_status status;
    char what[64];
    et_gc gc;

    memcpy(in, t->in, sizeof in);
    in[i] = full;
    status = et_gc_begin(&gc, t->label, call_sample, t, t->sample->n_in, in, (uint64_t)1 << i, &opt,
                         t->report);
    if (status)
        return status;
    snprintf(what, sizeof what, "operand %d expanded", i);
    in[i] = wide;
    status = et_gc_same_at(&gc, what, in, 1e-12);
    et_gc_end(&gc);
    return status;
}

/* Derivatives by `small`, of which et_expand makes operand i. */
static et_status derivatives_through_expand(trial *t, int i, et_tensor *small)
{
    const et_gradcheck_options opt = options_for(t);
    const et_gc_way way = {.needs = (uint64_t)1 << i, .outs = ~(uint64_t)0};
    et_tensor *in[ET_MAX_ARGS];
    et_status status;
    char what[64];
    et_gc gc;

    memcpy(in, t->in, sizeof in);
    in[i] = small;
    t->expanded = i;
    status = et_gc_begin(&gc, t->label, call_expanded, t, t->sample->n_in, in, (uint64_t)1 << i, &opt,
                         t->report);
    if (status)
        return status;
    status = et_gc_numeric(&gc);
    double *g = et_gc_new_grads(&gc);
    if (!g && status == ET_OK)
        status = file_failure(t, "expanded", NULL);
    if (status == ET_OK)
        status = et_gc_run(&gc, &way, NULL, g);
    snprintf(what, sizeof what, "first derivatives, operand %d through et_expand", i);
    if (status == ET_OK)
        status = et_gc_compare(&gc, what, &way, g);
    et_dealloc(g);
    et_gc_end(&gc);
    /* Equal rows can put an op on a kink (the maximum of equals): no judgement there. */
    if (status == ET_EGRAD && t->report->verdict == ET_GRADCHECK_ROUGH) {
        t->report->verdict = ET_GRADCHECK_PASSED;
        status = ET_OK;
    }
    return status;
}

/* Operand i with stride 0 along its first dimension: as a leaf, against a copy that is not
 * expanded; and by et_expand, which must sum its gradient. */
static et_status check_expanded(trial *t, int i)
{
    const et_tensor *x = t->in[i];
    et_tensor *in[ET_MAX_ARGS];
    int64_t shape[ET_MAX_DIMS], strides[ET_MAX_DIMS];
    et_status status = ET_OK;

    memcpy(shape, x->shape, sizeof shape);
    memcpy(strides, x->strides, sizeof strides);
    shape[0] = 1;
    strides[0] = 0;
    et_tensor *first = et_raw_view(x, x->ndim, shape, x->strides, 0);
    et_tensor *small = first ? et_clone(first) : NULL;
    et_tensor *wide = small ? et_raw_view(small, x->ndim, x->shape, strides, 0) : NULL;
    et_tensor *full = wide ? et_clone(wide) : NULL;
    memcpy(in, t->in, sizeof in);
    in[i] = wide;
    if (!full) {
        status = file_failure(t, "expanded", NULL);
    } else if (!(t->op->flags & ET_OP_VIEW) || can_call(t, in)) {
        status = expanded_as_copied(t, i, wide, full);
        if (status == ET_OK)
            status = derivatives_through_expand(t, i, small);
    }
    et_free(wide);
    et_free(first);
    et_free(small);
    et_free(full);
    return status;
}

/* An op that can be differentiated once must say so, by name. */
static et_status check_once(trial *t, et_gc *gc)
{
    et_gc_way way = {.needs = gc->active, .outs = ~(uint64_t)0, .flags = ET_CREATE_GRAPH};
    double *g = et_gc_new_grads(gc);
    et_status status = g ? et_gc_run(gc, &way, NULL, g) : file_failure(t, "ET_CREATE_GRAPH", NULL);
    const char *message = et_error_message();

    et_dealloc(g);
    if (!g)
        return status;
    if (status == ET_OK)
        return file_failure(t, "ET_CREATE_GRAPH", "accepted, but the op is flagged ET_OP_ONCE");
    if (et_error_status() != ET_EGRAD || (t->op->bwd && !strstr(message, t->op->name)))
        return status; /* the report holds the message, which is not the one that was due */
    et_error_clear();
    t->report->verdict = ET_GRADCHECK_PASSED;
    return ET_OK;
}

static et_status check_second(trial *t, et_gc *gc)
{
    if (t->op->flags & ET_OP_ONCE)
        return check_once(t, gc);
    if (t->op->bwd && !t->op->bwd_graph)
        return file_failure(t, "second derivatives", "the op has no bwd_graph and is not flagged ET_OP_ONCE");
    return et_gc_second_order(gc);
}

static et_status check_isas(et_gc *gc)
{
    const et_kernels *kernels[16];
    int n = et_kernels_available(kernels, 16);
    const char *before = et_isa();
    et_status status = ET_OK;
    char what[64];

    for (int i = 0; i < n && status == ET_OK; i++) {
        snprintf(what, sizeof what, "float32 (%s) against float64", kernels[i]->name);
        status = et_set_isa(kernels[i]->name) ? et_gc_failed(gc, what, NULL) : et_gc_float32(gc, what);
    }
    et_set_isa(before);
    return status;
}

static et_status check_gradients(trial *t, et_gc *gc)
{
    const et_arg *arg = t->sample->in;
    int n = t->sample->n_in;
    et_status status = et_gc_numeric(gc);

    if (status == ET_OK)
        status = et_gc_first_order(gc);
    for (int j = 1; j < n; j++)
        for (int i = 0; i < j && status == ET_OK; i++)
            if ((gc->active >> i & gc->active >> j & 1) && arg[i].kind == arg[j].kind &&
                arg[i].lo == arg[j].lo && arg[i].hi == arg[j].hi && et_same_shape(t->in[i], t->in[j]))
                status = et_gc_alias(gc, i, j);
    if (status == ET_OK)
        status = check_second(t, gc);
    for (int i = 0; i < n && status == ET_OK; i++)
        if ((arg[i].kind == ET_ARG_REAL || arg[i].kind == ET_ARG_AWAY) && arg[i].ndim > 0 &&
            arg[i].shape[0] > 1 && t->in[i]->numel > 0)
            status = check_expanded(t, i);
    return status;
}

/* Values repeat, bit for bit. */
static et_status check_values(et_gc *gc)
{
    et_gc_way way = {0};
    double *y = et_gc_new_values(gc), *g = et_gc_new_grads(gc);
    et_status status = y && g ? et_gc_run(gc, &way, y, g) : et_gc_failed(gc, "values", NULL);

    if (status == ET_OK)
        status = et_gc_agree(gc, "a second run must repeat every bit", false, gc->value, y, 0);
    et_dealloc(y);
    et_dealloc(g);
    return status;
}

static et_status check_sample(const et_op *op, int index, const et_gradcheck_options *opt,
                              et_gradcheck_report *report)
{
    trial t = {.op = op, .sample = &op->samples[index], .opt = opt, .report = report};
    uint64_t active = 0;
    et_status status = ET_OK;
    et_gc gc;

    snprintf(t.label, sizeof t.label, "%s, sample %d (%s)", op->name, index,
             t.sample->name ? t.sample->name : "unnamed");
    if (t.sample->n_in < 1 || t.sample->n_in > ET_MAX_ARGS)
        return file_failure(&t, "sample", "n_in is not in 1 .. ET_MAX_ARGS");
    for (int i = 0; i < t.sample->n_in && status == ET_OK; i++) {
        t.in[i] = make_operand(&t, i, index);
        if (!t.in[i])
            status = file_failure(&t, "sample", NULL);
        else if (is_real(t.sample->in[i].kind) && t.sample->in[i].kind != ET_ARG_CONST)
            active |= (uint64_t)1 << i;
    }
    if (op->flags & ET_OP_NODIFF)
        active = 0;
    et_gradcheck_options with = options_for(&t);
    if (status == ET_OK)
        status = et_gc_begin(&gc, t.label, call_sample, &t, t.sample->n_in, t.in, active, &with, report);
    if (status == ET_OK) {
        status = active ? check_gradients(&t, &gc) : check_values(&gc);
        if (status == ET_OK)
            status = et_gc_finely(&gc);
        for (int how = 0; how < N_LAYOUTS && status == ET_OK; how++)
            status = check_layout(&t, &gc, (layout)how);
        if (status == ET_OK)
            status = check_isas(&gc);
        et_gc_end(&gc);
    }
    for (int i = 0; i < t.sample->n_in; i++)
        et_free(t.in[i]);
    return status;
}

et_status et_gradcheck_op(const et_op *op, const et_gradcheck_options *options, et_gradcheck_report *report)
{
    et_gradcheck_options none = {0};
    et_gradcheck_report own;
    et_status status = ET_OK;

    if (!report)
        report = &own;
    et_gc_clear_report(report);
    if (!options)
        options = &none;
    if (!op)
        return et_raise(ET_EINVAL, "gradcheck: the op is NULL");
    if (et_scope_depth() > 0)
        return et_raise(ET_ESCOPE, "gradcheck: a scope is open; it opens and closes its own");
    et_error_clear();
    if (op->n_samples < 1 || !op->samples) {
        snprintf(report->check, sizeof report->check, "%s", op->name);
        snprintf(report->message, sizeof report->message, "the op has no samples");
        report->verdict = ET_GRADCHECK_FAILED;
        status = ET_EGRAD;
    }
    for (int s = 0; s < op->n_samples && status == ET_OK; s++)
        status = check_sample(op, s, options, report);
    return et_gc_finish(status, report);
}
