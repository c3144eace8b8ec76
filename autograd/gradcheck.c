/* Gradient checks: which gradients are computed and what they must agree with. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "autograd/gradcheck_internal.h"
#include "tensor/alloc.h"

/* --- the report ------------------------------------------------------------------------ */

char *et_gradcheck_text(const et_gradcheck_report *r, char *buf, size_t size)
{
    char where[96] = "";
    size_t used = 0;

    if (r->input >= 0)
        used = (size_t)snprintf(where, sizeof where, "input %d", r->input);
    else if (r->output >= 0)
        used = (size_t)snprintf(where, sizeof where, "output %d", r->output);
    if (used && r->element >= 0)
        snprintf(where + used, sizeof where - used, ", element %" PRId64, r->element);
    else if (used)
        snprintf(where + used, sizeof where - used, ", along a direction");

    switch (r->verdict) {
    case ET_GRADCHECK_PASSED:
        snprintf(buf, size, "passed: %" PRId64 " comparisons, the largest error is %.2g of its tolerance",
                 r->compared, r->worst);
        break;
    case ET_GRADCHECK_WRONG:
        snprintf(buf, size,
                 "%s: %s: wrong gradient: numeric %.12g (error about %.1e), analytic %.12g, tolerance %.1e",
                 r->check, where, r->numeric, r->estimate, r->analytic, r->tolerance);
        break;
    case ET_GRADCHECK_ROUGH:
        snprintf(buf, size,
                 "%s: %s: cannot be judged: numeric %.12g is uncertain by %.1e, analytic %.12g, tolerance "
                 "%.1e (a kink or a jump near this point, or a step that is too large?)",
                 r->check, where, r->numeric, r->estimate, r->analytic, r->tolerance);
        break;
    case ET_GRADCHECK_DIFFERS:
        snprintf(buf, size, "%s: %s: differs: expected %.17g, got %.17g, tolerance of the norm %.1e",
                 r->check, where, r->numeric, r->analytic, r->tolerance);
        break;
    case ET_GRADCHECK_FAILED:
        snprintf(buf, size, "%s: %s", r->check, r->message);
        break;
    }
    return buf;
}

et_status et_gc_finish(et_status status, const et_gradcheck_report *report)
{
    char text[640];

    et_error_clear();
    if (status == ET_OK)
        return ET_OK;
    return et_raise(status, "gradcheck: %s", et_gradcheck_text(report, text, sizeof text));
}

/* --- first derivatives ------------------------------------------------------------------- */

static uint64_t all_outs(const et_gc *gc) { return ((uint64_t)1 << gc->n_out) - 1; }

static int count(uint64_t mask)
{
    int n = 0;

    for (; mask; mask &= mask - 1)
        n++;
    return n;
}

/* Gradients of the inputs in `needs` against the numeric ones. */
static et_status check_needs(et_gc *gc, const char *what, uint64_t needs, uint64_t outs, double *g)
{
    et_gc_way way = {.needs = needs, .outs = outs};
    et_status status = et_gc_run(gc, &way, NULL, g);

    return status ? status : et_gc_compare(gc, what, &way, g);
}

/* Inputs in turn: alone, and all others without it. Outputs in turn. */
static et_status check_subsets(et_gc *gc, double *g)
{
    char what[96];
    et_status status = ET_OK;

    for (int i = 0; i < gc->n_in && status == ET_OK && count(gc->active) > 1; i++) {
        uint64_t one = (uint64_t)1 << i;

        if (!(gc->active & one))
            continue;
        snprintf(what, sizeof what, "first derivatives, input %d alone needs a gradient", i);
        status = check_needs(gc, what, one, all_outs(gc), g);
        if (status == ET_OK && count(gc->active) > 2) {
            snprintf(what, sizeof what, "first derivatives, all but input %d need gradients", i);
            status = check_needs(gc, what, gc->active & ~one, all_outs(gc), g);
        }
    }
    for (int k = 0; k < gc->n_out && status == ET_OK && gc->n_out > 1; k++) {
        snprintf(what, sizeof what, "first derivatives of output %d alone", k);
        status = check_needs(gc, what, gc->active, (uint64_t)1 << k, g);
    }
    return status;
}

/* True if flat element e belongs to an input that is differentiated. */
static bool in_mask(const et_gc *gc, int64_t e)
{
    int i = 0;

    while (e >= gc->in_off[i + 1])
        i++;
    return et_gc_bit(gc->active, i);
}

/* Values y and gradients g are those of one run: another must give the same bits. */
static et_status check_repeats(et_gc *gc, const et_gc_way *all, const double *y, const double *g, double *y2,
                               double *g2)
{
    et_status status = et_gc_run(gc, all, y2, g2);

    if (status == ET_OK)
        status = et_gc_agree(gc, "a second run must repeat every bit of the values", false, y, y2, 0);
    if (status == ET_OK)
        status = et_gc_agree(gc, "a second run must repeat every bit of the gradients", true, g, g2, 0);
    return status;
}

/* g are the gradients that et_grad gives: et_backward must give the same, and run twice their double. */
static et_status check_backward(et_gc *gc, const et_gc_way *all, const double *g, double *g2, double *sum)
{
    const int64_t n = gc->in_off[gc->n_in];
    et_status status = ET_OK;

    for (int runs = 1; runs <= 2 && status == ET_OK; runs++) {
        et_gc_way way = *all;
        way.backward = runs;
        status = et_gc_run(gc, &way, NULL, g2);
        for (int64_t e = 0; e < n && status == ET_OK; e++)
            sum[e] = runs * g[e];
        if (status == ET_OK)
            status = et_gc_agree(gc, runs == 1 ? "backward against et_grad"
                                               : "backward run twice must double the gradients", true, sum,
                                               g2, 1e-12);
    }
    return status;
}

/* A rule adds to a gradient that has begun: of an input used twice in one graph, where the second use adds to
 * the first, and of one that had a gradient before (gc->start). */
static et_status check_adding(et_gc *gc, const et_gc_way *all, const double *g, double *g2, double *sum)
{
    const int64_t n = gc->in_off[gc->n_in];
    et_gc_way second = *all, twice = *all, started = *all;
    et_status status;

    second.cot = gc->cot2;
    twice.twice = true;
    started.started = true;
    status = et_gc_run(gc, &second, NULL, g2);
    for (int64_t e = 0; e < n && status == ET_OK; e++)
        sum[e] = g[e] + g2[e];
    if (status == ET_OK)
        status = et_gc_run(gc, &twice, NULL, g2);
    if (status == ET_OK)
        status = et_gc_agree(gc, "used twice in one graph, gradients must add", true, sum, g2, 1e-12);
    if (status == ET_OK)
        status = et_gc_run(gc, &started, NULL, g2);
    for (int64_t e = 0; e < n && status == ET_OK; e++)
        sum[e] = g[e] + (in_mask(gc, e) ? gc->start[e] : 0);
    if (status == ET_OK)
        status = et_gc_agree(gc, "gradients must add to what is there", true, sum, g2, 1e-12);
    return status;
}

et_status et_gc_first_order(et_gc *gc)
{
    const et_gc_way all = {.needs = gc->active, .outs = all_outs(gc)};
    double *y = et_gc_new_values(gc), *y2 = et_gc_new_values(gc), *g = et_gc_new_grads(gc);
    double *g2 = et_gc_new_grads(gc), *sum = et_gc_new_grads(gc);
    et_status status = y && y2 && g && g2 && sum ? ET_OK : et_gc_failed(gc, "first derivatives", NULL);

    if (status == ET_OK)
        status = et_gc_run(gc, &all, y, g);
    if (status == ET_OK)
        status = et_gc_agree(gc, "values recorded for backward against those that are not", false,
                             gc->value, y, 1e-13);
    if (status == ET_OK)
        status = et_gc_compare(gc, "first derivatives", &all, g);
    if (status == ET_OK)
        status = check_subsets(gc, g2);
    if (status == ET_OK)
        status = check_repeats(gc, &all, y, g, y2, g2);
    if (status == ET_OK && !gc->leaf_output) /* an output that is an input itself has no backward */
        status = check_backward(gc, &all, g, g2, sum);
    if (status == ET_OK)
        status = check_adding(gc, &all, g, g2, sum);
    et_dealloc(y);
    et_dealloc(y2);
    et_dealloc(g);
    et_dealloc(g2);
    et_dealloc(sum);
    return status;
}

/* --- one tensor for two inputs ------------------------------------------------------------- */

typedef struct alias {
    const et_gc *gc;
    int i, j; /* i < j: input i is given for both */
} alias;

static int call_alias(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    const alias *a = user;
    et_tensor *full[ET_GRADCHECK_MAX];

    for (int i = 0; i <= n_in; i++)
        full[i] = in[i == a->j ? a->i : i > a->j ? i - 1 : i];
    return a->gc->fn(full, n_in + 1, out, a->gc->user);
}

et_status et_gc_alias(et_gc *gc, int i, int j)
{
    alias a = {gc, i, j};
    et_tensor *in[ET_GRADCHECK_MAX];
    char label[160];
    et_gc one;
    double *g = NULL;

    snprintf(label, sizeof label, "%s%sone tensor for inputs %d and %d", gc->label, gc->label[0] ? ", " : "",
             i, j);
    for (int m = 0, n = 0; m < gc->n_in; m++)
        if (m != j)
            in[n++] = gc->in[m];
    et_status status = et_gc_begin(&one, label, call_alias, &a, gc->n_in - 1, in, (uint64_t)1 << i, &gc->opt,
                                   gc->report);
    if (status)
        return status;
    status = et_gc_numeric(&one);
    g = et_gc_new_grads(&one);
    if (!g && status == ET_OK)
        status = et_gc_failed(&one, "first derivatives", NULL);
    if (status == ET_OK)
        status = check_needs(&one, "first derivatives", (uint64_t)1 << i, all_outs(&one), g);
    et_dealloc(g);
    et_gc_end(&one);
    return status;
}

/* --- second derivatives ---------------------------------------------------------------------- */

/* The gradients as a function of the inputs and of the cotangents. */
typedef struct second {
    et_gc *gc;
    bool record;
} second;

static int call_second(et_tensor *const *in, int n_in, et_tensor **out, void *user)
{
    const second *s = user;
    et_tensor *y[ET_GRADCHECK_MAX], *c[ET_GRADCHECK_MAX], *x[ET_GRADCHECK_MAX];
    int n_x = s->gc->n_in, n_active = 0, n_y = 0;

    for (int i = 0; i < n_x; i++) {
        if (!(s->gc->active >> i & 1))
            continue;
        x[n_active++] = in[i];
        if (!s->record)
            et_set_requires_grad(in[i], true);
    }
    int n_out = s->gc->fn(in, n_x, y, s->gc->user);
    if (n_out != n_in - n_x)
        return n_out < 0 ? n_out : -1;
    for (int k = 0; k < n_out; k++) {
        if (!y[k])
            return -1;
        if (!y[k]->requires_grad)
            continue;
        y[n_y] = y[k];
        c[n_y++] = in[n_x + k];
    }
    for (int i = 0; i < n_active; i++)
        out[i] = NULL;
    if (n_y && et_grad(n_y, y, c, n_active, x, out, s->record ? ET_CREATE_GRAPH : 0))
        return -1;
    for (int i = 0; i < n_active; i++) {
        if (!out[i])
            out[i] = et_zeros_like(x[i]);
        if (!out[i])
            return -1;
        if (!s->record)
            et_set_requires_grad(x[i], false);
    }
    return n_active;
}

static const char recorded[] = "gradients recorded for second derivatives against plain ones";

/* Plain gradients against recorded ones, these with `in` in place of gc->in, unless it is NULL. */
static et_status check_recorded(et_gc *gc, const char *what, uint64_t needs, et_tensor *const *in, double *g,
                                double *g2)
{
    et_gc_way way = {.needs = needs, .outs = all_outs(gc)};
    et_status status = et_gc_run(gc, &way, NULL, g);

    way.flags = ET_CREATE_GRAPH;
    way.in = in;
    if (status == ET_OK)
        status = et_gc_run(gc, &way, NULL, g2);
    if (status == ET_OK)
        status = et_gc_agree(gc, what, true, g, g2, 1e-12);
    return status;
}

static et_status check_second(et_gc *gc)
{
    second s = {gc, false};
    et_tensor *in[ET_GRADCHECK_MAX] = {NULL};
    et_gradcheck_options opt = gc->opt;
    int n = gc->n_in + gc->n_out;
    et_status status = ET_OK;
    double *g = NULL;
    et_gc two;

    opt.seed += 0x9e3779b97f4a7c15u;
    opt.max_elements = opt.max_elements < 24 ? opt.max_elements : 24;
    for (int i = 0; i < gc->n_in; i++)
        in[i] = gc->in[i];
    for (int k = 0; k < gc->n_out && status == ET_OK; k++) {
        in[gc->n_in + k] = et_from(ET_F64, gc->out_ndim[k], gc->out_shape[k], gc->cot + gc->out_off[k]);
        if (!in[gc->n_in + k])
            status = et_gc_failed(gc, "second derivatives", NULL);
    }
    if (status == ET_OK)
        status = et_gc_begin(&two, gc->label, call_second, &s, n, in,
                             gc->active | (((uint64_t)1 << n) - ((uint64_t)1 << gc->n_in)), &opt, gc->report);
    if (status == ET_OK) {
        et_gc_way way = {.needs = two.active, .outs = all_outs(&two)};

        status = et_gc_numeric(&two);
        g = et_gc_new_grads(&two);
        if (!g && status == ET_OK)
            status = et_gc_failed(&two, "second derivatives", NULL);
        s.record = true;
        if (status == ET_OK)
            status = et_gc_run(&two, &way, NULL, g);
        if (status == ET_OK)
            status = et_gc_compare(&two, "second derivatives", &way, g);
        et_dealloc(g);
        et_gc_end(&two);
    }
    for (int k = 0; k < gc->n_out; k++)
        et_free(in[gc->n_in + k]);
    return status;
}

et_status et_gc_second_order(et_gc *gc)
{
    double *g = et_gc_new_grads(gc), *g2 = et_gc_new_grads(gc);
    et_status status = g && g2 ? check_recorded(gc, recorded, gc->active, NULL, g, g2)
                               : et_gc_failed(gc, "second derivatives", NULL);

    for (int i = 0; i < gc->n_in && status == ET_OK && count(gc->active) > 1; i++)
        if (gc->active >> i & 1)
            status = check_recorded(gc, recorded, (uint64_t)1 << i, NULL, g, g2);
    if (status == ET_OK && gc->n_in + gc->n_out <= ET_GRADCHECK_MAX)
        status = check_second(gc);
    et_dealloc(g);
    et_dealloc(g2);
    return status;
}

/* --- the same at other tensors ------------------------------------------------------------------ */

/* Values and gradients in another way against those at the point. */
static et_status same(et_gc *gc, const char *what, et_gc_way there, double rel)
{
    double *y = et_gc_new_values(gc), *g = et_gc_new_grads(gc), *g2 = et_gc_new_grads(gc);
    et_status status = y && g && g2 ? ET_OK : et_gc_failed(gc, what, NULL);
    char text[128];

    for (int started = 0; started < 2 && status == ET_OK; started++) {
        et_gc_way here = {.needs = gc->active, .outs = all_outs(gc), .started = started};

        there.needs = here.needs;
        there.outs = here.outs;
        there.started = started;
        status = et_gc_run(gc, &here, NULL, g);
        if (status == ET_OK)
            status = et_gc_run(gc, &there, y, g2);
        snprintf(text, sizeof text, "values, %s", what);
        if (status == ET_OK && !started)
            status = et_gc_agree(gc, text, false, gc->value, y, rel);
        snprintf(text, sizeof text, "gradients%s, %s", started ? " added to what is there" : "", what);
        if (status == ET_OK)
            status = et_gc_agree(gc, text, true, g, g2, rel);
    }
    et_dealloc(y);
    et_dealloc(g);
    et_dealloc(g2);
    return status;
}

et_status et_gc_same_at(et_gc *gc, const char *what, et_tensor *const *in, double rel)
{
    return same(gc, what, (et_gc_way){.in = in}, rel);
}

et_status et_gc_recorded_at(et_gc *gc, const char *what, et_tensor *const *in)
{
    double *g = et_gc_new_grads(gc), *g2 = et_gc_new_grads(gc);
    char text[192];

    snprintf(text, sizeof text, "%s, %s", recorded, what);
    et_status status = g && g2 ? check_recorded(gc, text, gc->active, in, g, g2)
                               : et_gc_failed(gc, text, NULL);
    et_dealloc(g);
    et_dealloc(g2);
    return status;
}

et_status et_gc_finely(et_gc *gc)
{
    static const char what[] = "gradients, pieces from the last to the first: every bit";
    et_gc_way way = {.needs = gc->active, .outs = all_outs(gc), .started = true};
    double *g = et_gc_new_grads(gc), *reversed = et_gc_new_grads(gc);
    et_status status = same(gc, "work cut finely", (et_gc_way){.cutting = ET_CUT_FINE}, 1e-12);

    if (status == ET_OK && (!g || !reversed))
        status = et_gc_failed(gc, what, NULL);
    way.cutting = ET_CUT_FINE;
    if (status == ET_OK)
        status = et_gc_run(gc, &way, NULL, g);
    way.cutting = ET_CUT_FINE_REVERSED;
    if (status == ET_OK)
        status = et_gc_run(gc, &way, NULL, reversed);
    if (status == ET_OK)
        status = et_gc_agree(gc, what, true, g, reversed, 0);
    et_dealloc(g);
    et_dealloc(reversed);
    return status;
}

/* Input i alone needs a gradient at `in`, where other kernels may make it: the same as with all others. */
static et_status alone_at(et_gc *gc, const char *what, et_tensor *const *in, int i, double rel)
{
    double *g = et_gc_new_grads(gc), *alone = et_gc_new_grads(gc);
    et_gc_way all = {.needs = gc->active, .outs = all_outs(gc)}, way = all;
    et_status status = g && alone ? et_gc_run(gc, &all, NULL, g) : et_gc_failed(gc, what, NULL);
    char text[128];

    way.in = in;
    way.needs = (uint64_t)1 << i;
    if (status == ET_OK)
        status = et_gc_run(gc, &way, NULL, alone);
    if (status == ET_OK) {
        for (int64_t e = 0; e < gc->in_off[gc->n_in]; e++) /* the tolerance is of all gradients */
            if (e < gc->in_off[i] || e >= gc->in_off[i + 1])
                alone[e] = g[e];
        snprintf(text, sizeof text, "gradient of input %d alone, %s", i, what);
        status = et_gc_agree(gc, text, true, g, alone, rel);
    }
    et_dealloc(g);
    et_dealloc(alone);
    return status;
}

et_status et_gc_float32(et_gc *gc, const char *what)
{
    et_tensor *in[ET_GRADCHECK_MAX], *made[ET_GRADCHECK_MAX] = {NULL};
    et_status status = ET_OK;
    char finely[128];

    for (int i = 0; i < gc->n_in && status == ET_OK; i++) {
        in[i] = gc->in[i];
        if (in[i]->dtype != ET_F64)
            continue;
        in[i] = made[i] = et_to(gc->in[i], ET_F32);
        if (!made[i])
            status = et_gc_failed(gc, what, NULL);
    }
    const double rel = gc->opt.tol > 1e-6 ? 10 * gc->opt.tol : 1e-5;
    if (status == ET_OK)
        status = et_gc_same_at(gc, what, in, rel);
    snprintf(finely, sizeof finely, "%s, work cut finely", what);
    if (status == ET_OK)
        status = same(gc, finely, (et_gc_way){.in = in, .cutting = ET_CUT_FINE}, rel);
    for (int i = 0; i < gc->n_in && status == ET_OK && count(gc->active) > 1; i++)
        if (gc->active >> i & 1)
            status = alone_at(gc, what, in, i, rel);
    for (int i = 0; i < gc->n_in; i++)
        et_free(made[i]);
    return status;
}

/* Rounds the float64 inputs to float32 and checks in both. */
static et_status check_float32(et_gradcheck_fn fn, void *user, int n_in, et_tensor *const *inputs,
                               uint64_t active, const et_gradcheck_options *opt, et_gradcheck_report *report)
{
    et_tensor *in[ET_GRADCHECK_MAX], *made[ET_GRADCHECK_MAX] = {NULL};
    et_status status = ET_OK;
    et_gc gc = {.report = report, .label = ""};

    for (int i = 0; i < n_in && status == ET_OK; i++) {
        in[i] = inputs[i];
        if (in[i]->dtype != ET_F64)
            continue;
        et_tensor *rounded = et_to(inputs[i], ET_F32);
        in[i] = made[i] = rounded ? et_to(rounded, ET_F64) : NULL;
        et_free(rounded);
        if (!made[i])
            status = et_gc_failed(&gc, "float32 against float64", NULL);
    }
    if (status == ET_OK) {
        status = et_gc_begin(&gc, "", fn, user, n_in, in, active, opt, report);
        if (status == ET_OK) {
            status = et_gc_float32(&gc, "float32 against float64");
            et_gc_end(&gc);
        }
    }
    for (int i = 0; i < n_in; i++)
        et_free(made[i]);
    return status;
}

/* --- the public call ---------------------------------------------------------------------------- */

static et_status check_aliases(et_gc *gc)
{
    et_status status = ET_OK;

    for (int j = 1; j < gc->n_in; j++)
        for (int i = 0; i < j && status == ET_OK; i++)
            if ((gc->active >> i & gc->active >> j & 1) && et_same_shape(gc->in[i], gc->in[j]))
                status = et_gc_alias(gc, i, j);
    return status;
}

et_status et_gradcheck(et_gradcheck_fn fn, void *user, int n_in, et_tensor *const *inputs,
                       const et_gradcheck_options *options, et_gradcheck_report *report)
{
    et_gradcheck_options none = {0};
    et_gradcheck_report own;
    uint64_t active = 0;
    et_gc gc;

    if (!report)
        report = &own;
    et_gc_clear_report(report);
    if (!options)
        options = &none;
    if (et_scope_depth() > 0)
        return et_raise(ET_ESCOPE, "gradcheck: a scope is open; it opens and closes its own");
    if (!fn || !inputs)
        return et_raise(ET_EINVAL, "gradcheck: %s is NULL", fn ? "inputs" : "fn");
    if (n_in < 1 || n_in > ET_GRADCHECK_MAX)
        return et_raise(ET_EINVAL, "gradcheck: %d inputs, 1 to %d are allowed", n_in, ET_GRADCHECK_MAX);
    for (int i = 0; i < n_in; i++)
        if (inputs[i] && inputs[i]->dtype == ET_F64 && !(options->fixed >> i & 1))
            active |= (uint64_t)1 << i;

    et_error_clear();
    et_status status = et_gc_begin(&gc, "", fn, user, n_in, inputs, active, options, report);
    if (status)
        return et_gc_finish(status, report);
    status = et_gc_numeric(&gc);
    if (status == ET_OK)
        status = et_gc_first_order(&gc);
    if (status == ET_OK && (options->checks & ET_GRADCHECK_SECOND))
        status = et_gc_second_order(&gc);
    if (status == ET_OK && (options->checks & ET_GRADCHECK_ALIAS))
        status = check_aliases(&gc);
    et_gc_end(&gc);
    if (status == ET_OK && (options->checks & ET_GRADCHECK_F32))
        status = check_float32(fn, user, n_in, inputs, active, options, report);
    return et_gc_finish(status, report);
}
