/* The engine of the gradient checks: a function at a point,
 * and its gradients by every way that backward offers. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/gradcheck_internal.h"
#include "tensor/alloc.h"
#include "tensor/pool.h"
#include "tensor/rng.h"

/* --- filing -------------------------------------------------------------------------- */

void et_gc_file(et_gc *gc, et_gradcheck_verdict verdict, const char *what)
{
    et_gradcheck_report *r = gc->report;

    r->verdict = verdict;
    r->input = r->output = -1;
    r->element = -1;
    snprintf(r->check, sizeof r->check, "%s%s%s", gc->label, gc->label[0] ? ": " : "", what);
}

et_status et_gc_failed(et_gc *gc, const char *what, const char *message)
{
    et_status status = et_error_status();

    et_gc_file(gc, ET_GRADCHECK_FAILED, what);
    snprintf(gc->report->message, sizeof gc->report->message, "%s",
             message ? message : status ? et_error_message()
                                        : "the function returned an error without a message");
    return status == ET_ENOMEM ? ET_ENOMEM : ET_EGRAD;
}

/* --- memory -------------------------------------------------------------------------- */

double *et_gc_new_values(const et_gc *gc)
{
    return et_alloc_zero((size_t)gc->out_off[gc->n_out] + 1, sizeof(double));
}

double *et_gc_new_grads(const et_gc *gc)
{
    return et_alloc_zero((size_t)gc->in_off[gc->n_in] + 1, sizeof(double));
}

/* Fills memory that the pool is about to hand out with NaN, so that a rule which adds to a
 * gradient instead of setting it cannot pass by luck. */
static void poison(const et_gc *gc)
{
    enum { ROUNDS = 3, MAX_BLOCKS = ROUNDS * 2 * ET_GRADCHECK_MAX + 1, LARGE = 1 << 18 };
    void *block[MAX_BLOCKS];
    int n = 0;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < gc->n_in + gc->n_out; i++) {
            const int64_t *off = i < gc->n_in ? gc->in_off + i : gc->out_off + (i - gc->n_in);
            size_t bytes = (size_t)(off[1] - off[0]) * sizeof(double);

            block[n] = bytes ? et_pool_alloc(bytes) : NULL;
            if (block[n])
                memset(block[n++], 0xff, bytes);
        }
    }
    block[n] = et_pool_alloc(LARGE);
    if (block[n])
        memset(block[n++], 0xff, LARGE);
    while (n > 0)
        et_pool_free(block[--n]);
    if (et_error_status() == ET_ENOMEM)
        et_error_clear(); /* poisoning is not needed to go on */
}

/* Elements of t as doubles, row-major. */
static et_status read_values(const et_tensor *t, double *out)
{
    if (t->numel == 0)
        return ET_OK;
    if (t->dtype != ET_F64 || !et_is_contiguous(t)) {
        t = et_to(t, ET_F64);
        if (!t)
            return et_error_status();
    }
    const double *p = et_data(t);
    if (!p)
        return et_error_status();
    memcpy(out, p, (size_t)t->numel * sizeof(double));
    return ET_OK;
}

/* --- one call of the function ----------------------------------------------------------- */

/* Runs fn in the open scope; negative after an error. One that leaves scopes of its own open is an
 * error, and they are closed. */
static int run(et_gc *gc, et_tensor *const *in, et_tensor **out)
{
    et_scope *scope = et_scope_current();
    const int n = gc->fn(in, gc->n_in, out, gc->user), left = et_scope_unwind(scope);

    if (left > 0)
        et_raise(ET_ESCOPE, "the function returned with %d scope%s of its own open", left,
                 left == 1 ? "" : "s");
    return left ? -1 : n;
}

/* Runs fn in the open scope and checks that its outputs are what they were at first. */
static et_status call(et_gc *gc, et_tensor *const *in, et_tensor **out, const char *what)
{
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT], text[2 * ET_SHAPE_TEXT + 64];
    int n = run(gc, in, out);

    if (n < 0)
        return et_gc_failed(gc, what, NULL);
    if (n != gc->n_out) {
        snprintf(text, sizeof text, "the function returned %d outputs, %d at first", n, gc->n_out);
        return et_gc_failed(gc, what, text);
    }
    for (int k = 0; k < n; k++) {
        if (!out[k])
            return et_gc_failed(gc, what, NULL);
        if (out[k]->ndim == gc->out_ndim[k] &&
            memcmp(out[k]->shape, gc->out_shape[k], (size_t)gc->out_ndim[k] * sizeof(int64_t)) == 0)
            continue;
        snprintf(text, sizeof text, "output %d has shape %s, at first %s", k,
                 et_shape_text(a, out[k]->ndim, out[k]->shape),
                 et_shape_text(b, gc->out_ndim[k], gc->out_shape[k]));
        return et_gc_failed(gc, what, text);
    }
    return ET_OK;
}

et_status et_gc_values(et_gc *gc, double *y, const char *what)
{
    et_tensor *out[ET_GRADCHECK_MAX] = {NULL};
    et_scope *scope = et_scope_open();

    if (!scope)
        return et_gc_failed(gc, what, NULL);
    et_status status = call(gc, gc->in, out, what);
    for (int k = 0; k < gc->n_out && status == ET_OK; k++)
        if (read_values(out[k], y + gc->out_off[k]))
            status = et_gc_failed(gc, what, NULL);
    et_scope_close(scope);
    return status;
}

/* --- beginning and end ------------------------------------------------------------------ */

void et_gc_clear_report(et_gradcheck_report *report)
{
    memset(report, 0, sizeof *report);
    report->input = report->output = -1;
    report->element = -1;
}

/* Magnitudes in [0.5, 1.5) of random sign, exact in float32. */
static void fill_cotangent(et_rng *r, int64_t n, double *c)
{
    for (int64_t e = 0; e < n; e++) {
        double u = et_rng_uniform(r);
        c[e] = (float)(u < 0.5 ? u + 0.5 : -u);
    }
}

static et_status check_arguments(et_gc *gc)
{
    char text[128];

    for (int i = 0; i < gc->n_in; i++) {
        const et_tensor *x = gc->in[i];
        const char *why = !x                                                        ? "is NULL"
                          : x->node                                                 ? "is not a leaf"
                          : et_gc_bit(gc->active, i) && x->dtype != ET_F64                ? "is not float64"
                                                                                    : NULL;
        for (int j = 0; j < i && !why; j++)
            if (gc->in[j] == x)
                why = "is given twice";
        for (int d = 0; !why && d < x->ndim; d++)
            if (et_gc_bit(gc->active, i) && x->strides[d] == 0 && x->shape[d] > 1)
                why = "is expanded: its elements cannot be moved one by one";
        if (why) {
            snprintf(text, sizeof text, "input %d %s", i, why);
            et_gc_failed(gc, "arguments", text);
            return ET_EINVAL;
        }
    }
    return ET_OK;
}

/* Runs fn once without gradients to learn the outputs. */
static et_status learn_outputs(et_gc *gc)
{
    et_tensor *out[ET_GRADCHECK_MAX] = {NULL};
    et_scope *scope = et_scope_open();
    et_status status = ET_OK;
    char text[96];

    if (!scope)
        return et_gc_failed(gc, "forward", NULL);
    int n = run(gc, gc->in, out);
    if (n < 0) {
        status = et_gc_failed(gc, "forward", NULL);
    } else if (n == 0 || n > ET_GRADCHECK_MAX) {
        snprintf(text, sizeof text, "the function returned %d outputs, 1 to %d are allowed", n,
                 ET_GRADCHECK_MAX);
        status = et_gc_failed(gc, "forward", text);
    }
    for (int k = 0; k < n && status == ET_OK; k++) {
        if (!out[k]) {
            status = et_gc_failed(gc, "forward", NULL);
            break;
        }
        gc->out_ndim[k] = out[k]->ndim;
        memcpy(gc->out_shape[k], out[k]->shape, sizeof gc->out_shape[k]);
        gc->out_off[k + 1] = gc->out_off[k] + out[k]->numel;
    }
    if (status == ET_OK) {
        gc->n_out = n;
        gc->value = et_gc_new_values(gc);
        for (int k = 0; k < n && gc->value; k++)
            if (read_values(out[k], gc->value + gc->out_off[k]))
                status = et_gc_failed(gc, "forward", NULL);
        if (!gc->value)
            status = et_gc_failed(gc, "forward", NULL);
    }
    et_scope_close(scope);
    return status;
}

et_status et_gc_begin(et_gc *gc, const char *label, et_gradcheck_fn fn, void *user, int n_in,
                      et_tensor *const *in, uint64_t active, const et_gradcheck_options *opt,
                      et_gradcheck_report *report)
{
    memset(gc, 0, sizeof *gc);
    gc->fn = fn;
    gc->user = user;
    gc->label = label;
    gc->report = report;
    gc->n_in = n_in;
    gc->active = active;
    if (opt)
        gc->opt = *opt;
    if (!(gc->opt.tol > 0))
        gc->opt.tol = 1e-6;
    if (!(gc->opt.step > 0))
        gc->opt.step = ldexp(1, -10);
    if (gc->opt.max_elements <= 0)
        gc->opt.max_elements = 64;
    for (int i = 0; i < n_in; i++)
        gc->in[i] = in[i];

    et_status status = check_arguments(gc);
    if (status)
        return status;
    for (int i = 0; i < n_in; i++) {
        gc->in_off[i + 1] = gc->in_off[i] + in[i]->numel;
        gc->required[i] = in[i]->requires_grad;
        if (in[i]->requires_grad)
            et_set_requires_grad(in[i], false);
    }
    status = learn_outputs(gc);
    if (status == ET_OK) {
        int64_t n = gc->out_off[gc->n_out];
        et_rng r = et_rng_make(gc->opt.seed, 0x636f74); /* "cot": a stream of its own */

        gc->cot = et_gc_new_values(gc);
        gc->cot2 = et_gc_new_values(gc);
        gc->start = et_gc_new_grads(gc);
        if (gc->cot && gc->cot2 && gc->start) {
            fill_cotangent(&r, n, gc->cot);
            fill_cotangent(&r, n, gc->cot2);
            fill_cotangent(&r, gc->in_off[gc->n_in], gc->start);
        } else {
            status = et_gc_failed(gc, "forward", NULL);
        }
    }
    if (status)
        et_gc_end(gc);
    return status;
}

void et_gc_end(et_gc *gc)
{
    for (int i = 0; i < gc->n_in; i++) {
        et_zero_grad_of(gc->in[i]);
        if (et_dtype_is_real(gc->in[i]->dtype))
            et_set_requires_grad(gc->in[i], gc->required[i]);
    }
    et_dealloc(gc->value);
    et_dealloc(gc->cot);
    et_dealloc(gc->cot2);
    et_dealloc(gc->start);
    et_dealloc(gc->points);
    et_dealloc(gc->direction);
    et_dealloc(gc->probe);
    et_dealloc(gc->deriv);
    et_dealloc(gc->estimate);
    et_dealloc(gc->rounding);
    memset(gc, 0, sizeof *gc);
}

/* --- gradients ----------------------------------------------------------------------------- */

/* values as a tensor shaped and typed as x */
static et_tensor *cotangent(const et_tensor *x, const double *values)
{
    et_tensor *c = et_from(ET_F64, x->ndim, x->shape, values);

    return c && x->dtype != ET_F64 ? et_to(c, x->dtype) : c;
}

/* The gradients themselves, the outputs being there. grads[i] NULL: zero. */
static et_status gradients(et_gc *gc, const et_gc_way *way, et_tensor *const *in, et_tensor *const *out,
                           et_tensor **grads)
{
    et_tensor *y[3 * ET_GRADCHECK_MAX], *c[3 * ET_GRADCHECK_MAX], *x[ET_GRADCHECK_MAX], *gx[ET_GRADCHECK_MAX];
    int slot[ET_GRADCHECK_MAX], n_x = 0, n_y = 0;
    et_status status = ET_OK;

    for (int k = 0; k < gc->n_out * (way->twice ? 2 : 1); k++) {
        if (!et_gc_bit(way->outs, k % gc->n_out) || !out[k]->requires_grad)
            continue;
        gc->leaf_output |= !out[k]->node;
        y[n_y] = out[k];
        c[n_y] = cotangent(out[k], (k >= gc->n_out ? gc->cot2 : way->cot ? way->cot : gc->cot) +
                                       gc->out_off[k % gc->n_out]);
        if (!c[n_y++])
            return et_error_status();
    }
    for (int i = 0; i < gc->n_in; i++) {
        if (!et_gc_bit(way->needs, i))
            continue;
        slot[n_x] = i;
        x[n_x++] = in[i];
        if (!way->started)
            continue;
        y[n_y] = in[i];
        c[n_y] = cotangent(in[i], gc->start + gc->in_off[i]);
        if (!c[n_y++])
            return et_error_status();
    }
    if (way->backward) {
        for (int again = 0; again < way->backward; again++)
            for (int k = 0; k < n_y && status == ET_OK; k++)
                status = et_backward_from(y[k], c[k], ET_RETAIN_GRAPH);
        for (int i = 0; i < n_x && status == ET_OK; i++)
            grads[slot[i]] = et_grad_of(x[i]);
    } else if (n_x && n_y) {
        status = et_grad(n_y, y, c, n_x, x, gx, way->flags);
        for (int i = 0; i < n_x && status == ET_OK; i++)
            grads[slot[i]] = gx[i];
    }
    return status;
}

et_status et_gc_run(et_gc *gc, const et_gc_way *way, double *y, double *g)
{
    static const char what[] = "gradients";
    et_tensor *out[2 * ET_GRADCHECK_MAX] = {NULL}, *grads[ET_GRADCHECK_MAX] = {NULL};
    et_tensor *const *in = way->in ? way->in : gc->in;
    et_status status = ET_OK;
    char text[2 * ET_SHAPE_TEXT + 64], a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];

    memset(g, 0, (size_t)gc->in_off[gc->n_in] * sizeof(double));
    poison(gc);
    et_scope *scope = et_scope_open();
    if (!scope)
        return et_gc_failed(gc, what, NULL);
    for (int i = 0; i < gc->n_in; i++) {
        et_zero_grad_of(in[i]);
        if (et_dtype_is_real(in[i]->dtype))
            et_set_requires_grad(in[i], et_gc_bit(way->needs, i));
    }
    et_set_cutting(way->cutting);
    status = call(gc, in, out, what);
    if (way->twice && status == ET_OK)
        status = call(gc, in, out + gc->n_out, what);
    for (int k = 0; k < gc->n_out && y && status == ET_OK; k++)
        if (read_values(out[k], y + gc->out_off[k]))
            status = et_gc_failed(gc, what, NULL);
    if (status == ET_OK && gradients(gc, way, in, out, grads))
        status = et_gc_failed(gc, what, NULL);
    for (int i = 0; i < gc->n_in && status == ET_OK; i++) {
        if (!grads[i])
            continue;
        if (!et_same_shape(grads[i], in[i]) || grads[i]->dtype != in[i]->dtype) {
            snprintf(text, sizeof text, "input %d is %s %s, its gradient %s %s", i,
                     et_dtype_name(in[i]->dtype), et_shape_text(a, in[i]->ndim, in[i]->shape),
                     et_dtype_name(grads[i]->dtype), et_shape_text(b, grads[i]->ndim, grads[i]->shape));
            status = et_gc_failed(gc, what, text);
        } else if (read_values(grads[i], g + gc->in_off[i])) {
            status = et_gc_failed(gc, what, NULL);
        }
    }
    et_scope_close(scope);
    et_set_cutting(ET_CUT_USUAL);
    for (int i = 0; i < gc->n_in; i++) {
        et_zero_grad_of(in[i]);
        if (et_dtype_is_real(in[i]->dtype))
            et_set_requires_grad(in[i], false);
    }
    return status;
}

/* --- comparing ------------------------------------------------------------------------------ */

et_status et_gc_agree(et_gc *gc, const char *what, bool of_inputs, const double *expected, const double *got,
                      double rel)
{
    const int64_t *off = of_inputs ? gc->in_off : gc->out_off;
    int n = of_inputs ? gc->n_in : gc->n_out;
    double norm[ET_GRADCHECK_MAX], largest = 1e-6; /* cotangents are near 1 */
    et_gradcheck_report *r = gc->report;

    for (int i = 0; i < n; i++) {
        norm[i] = 0;
        for (int64_t e = off[i]; e < off[i + 1]; e++)
            norm[i] += expected[e] * expected[e];
        norm[i] = sqrt(norm[i]);
        largest = fmax(largest, norm[i]);
    }
    for (int i = 0; i < n; i++) {
        double sum = 0, tol = rel * fmax(norm[i], 1e-2 * largest);
        int64_t at = -1;

        for (int64_t e = off[i]; e < off[i + 1]; e++) {
            if (memcmp(&expected[e], &got[e], sizeof(double)) == 0 || (isnan(expected[e]) && isnan(got[e])))
                continue; /* equal infinities too */
            if (at < 0 || !(fabs(got[e] - expected[e]) <= fabs(got[at] - expected[at])))
                at = e;
            sum += (got[e] - expected[e]) * (got[e] - expected[e]);
        }
        r->compared++;
        if (at < 0 || (rel > 0 && sqrt(sum) <= tol))
            continue;
        et_gc_file(gc, ET_GRADCHECK_DIFFERS, what);
        *(of_inputs ? &r->input : &r->output) = i;
        r->element = at - off[i];
        r->numeric = expected[at];
        r->analytic = got[at];
        r->tolerance = tol;
        r->estimate = 0;
        return ET_EGRAD;
    }
    return ET_OK;
}
