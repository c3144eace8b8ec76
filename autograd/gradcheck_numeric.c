/* Numeric derivatives, and the comparison of gradients with them. */
#include "config.h"

#include <float.h>
#include <math.h>

#include "autograd/gradcheck_internal.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"

enum { MANY = 4096 }; /* with more elements in an input or in the outputs, an eighth of the probes */

/* Chooses what to differentiate: every element, or max_elements of them and a direction. */
static et_status choose_probes(et_gc *gc)
{
    et_rng r = et_rng_make(gc->opt.seed, 0x70726f6265); /* "probe": a stream of its own */
    int64_t room = (int64_t)gc->n_in * (gc->opt.max_elements + 1);

    gc->points = et_alloc_zero((size_t)gc->out_off[gc->n_out], 6 * sizeof(double));
    gc->direction = et_gc_new_grads(gc);
    gc->probe = et_alloc_zero((size_t)room, sizeof *gc->probe);
    gc->deriv = et_alloc_zero((size_t)room, (size_t)gc->n_out * sizeof(double));
    gc->estimate = et_alloc_zero((size_t)room, (size_t)gc->n_out * sizeof(double));
    gc->rounding = et_alloc_zero((size_t)room, (size_t)gc->n_out * sizeof(double));
    if (!gc->points || !gc->direction || !gc->probe || !gc->deriv || !gc->estimate || !gc->rounding)
        return et_gc_failed(gc, "numeric derivatives", NULL);
    for (int i = 0; i < gc->n_in; i++) {
        int64_t n = gc->in[i]->numel, most = gc->opt.max_elements;
        most = n > MANY || gc->out_off[gc->n_out] > MANY ? (most + 7) / 8 : most;
        int64_t want = n < most ? n : most;

        if (!et_gc_bit(gc->active, i))
            continue;
        for (int64_t p = 0; p < want; p++) /* one from each of `want` equal stretches */
            gc->probe[gc->n_probe++] = (et_gc_probe){
                i, want == n ? p : p * n / want + et_rng_below(&r, (p + 1) * n / want - p * n / want)};
        if (want < n) {
            gc->probe[gc->n_probe++] = (et_gc_probe){i, -1};
            for (int64_t e = 0; e < n; e++)
                gc->direction[gc->in_off[i] + e] = 2 * et_rng_uniform(&r) - 1;
        }
    }
    return ET_OK;
}

static int64_t strided(const et_tensor *x, int64_t element)
{
    int64_t at = 0;

    for (int d = x->ndim - 1; d >= 0; d--) {
        at += element % x->shape[d] * x->strides[d];
        element /= x->shape[d];
    }
    return at;
}

/* Sets the input of a probe to `before` moved by t; before has one value, or all. */
static et_status move(et_gc *gc, const et_gc_probe *p, const double *before, double t)
{
    et_tensor *x = gc->in[p->input];
    double *data = et_data_mut(x);

    if (!data)
        return et_gc_failed(gc, "numeric derivatives", NULL);
    if (p->element >= 0)
        data[strided(x, p->element)] = before[0] + t;
    else
        for (int64_t e = 0; e < x->numel; e++)
            data[strided(x, e)] = before[e] + t * gc->direction[gc->in_off[p->input] + e];
    return ET_OK;
}

/* The derivative of each weighted output at probe number q, from values at +-h/2, +-h, +-2h. */
static et_status differentiate(et_gc *gc, int64_t q, double h)
{
    static const double at[6] = {-2, -1, -0.5, 0.5, 1, 2};
    const et_gc_probe *p = &gc->probe[q];
    const et_tensor *x = gc->in[p->input];
    int64_t n = gc->out_off[gc->n_out], numel = p->element < 0 ? x->numel : 1;
    et_status status = ET_OK;
    double *before = et_alloc_zero((size_t)numel, sizeof(double));
    const double *data = et_data(x);

    if (!before || !data) {
        et_dealloc(before);
        return et_gc_failed(gc, "numeric derivatives", NULL);
    }
    for (int64_t e = 0; e < numel; e++)
        before[e] = data[strided(x, p->element < 0 ? e : p->element)];
    if (p->element >= 0)
        h *= fmax(1, fabs(before[0]) / 1024);
    for (int j = 0; j < 6 && status == ET_OK; j++) {
        status = move(gc, p, before, at[j] * h);
        if (status == ET_OK)
            status = et_gc_values(gc, gc->points + j * n, "numeric derivatives");
    }
    if (move(gc, p, before, 0) && status == ET_OK)
        status = ET_EGRAD;
    et_dealloc(before);
    for (int k = 0; k < gc->n_out && status == ET_OK; k++) {
        double half = 0, one = 0, two = 0, size = 0, all = 0;

        for (int64_t e = gc->out_off[k]; e < gc->out_off[k + 1]; e++) {
            const double *y = gc->points + e;
            double c = gc->cot[e];

            two += c * (y[5 * n] - y[0]);
            one += c * (y[4 * n] - y[n]);
            half += c * (y[3 * n] - y[2 * n]);
            all += fabs(c) * fmax(1, fabs(y[0]));
            if (y[5 * n] != y[0] || y[4 * n] != y[n])
                size += fabs(c * y[0]);
        }
        double coarse = (8 * one - two) / (12 * h), fine = (8 * half - one) / (6 * h);
        gc->deriv[q * gc->n_out + k] = fine;
        gc->estimate[q * gc->n_out + k] = fabs(fine - coarse);
        gc->rounding[q * gc->n_out + k] = DBL_EPSILON * (3 * size / h + all);
    }
    return status;
}

/* Derivative, estimate and rounding of the outputs in `outs`, together. */
static void probe_sum(const et_gc *gc, int64_t q, uint64_t outs, double *deriv, double *estimate,
                      double *rounding)
{
    *deriv = *estimate = *rounding = 0;
    for (int k = 0; k < gc->n_out; k++) {
        if (!et_gc_bit(outs, k))
            continue;
        *deriv += gc->deriv[q * gc->n_out + k];
        *estimate += gc->estimate[q * gc->n_out + k];
        *rounding += gc->rounding[q * gc->n_out + k];
    }
}

/* Root mean square of the derivatives by single elements of an input. */
static double rms(const et_gc *gc, int input, uint64_t outs)
{
    double sum = 0, d, est, round;
    int64_t n = 0;

    for (int64_t q = 0; q < gc->n_probe; q++) {
        if (gc->probe[q].input != input || gc->probe[q].element < 0)
            continue;
        probe_sum(gc, q, outs, &d, &est, &round);
        sum += d * d;
        n++;
    }
    return n ? sqrt(sum / (double)n) : 0;
}

/* The tolerance for a probe, given the rms of its input's derivatives. */
static double tolerance(const et_gc *gc, int64_t q, double scale, double deriv, double rounding)
{
    const et_gc_probe *p = &gc->probe[q];

    if (p->element < 0)
        scale *= sqrt((double)gc->in[p->input]->numel / 3);
    return gc->opt.tol * fmax(fabs(deriv), scale) + 16 * rounding;
}

et_status et_gc_numeric(et_gc *gc)
{
    uint64_t all = ~(uint64_t)0;
    double d, est, round, scale[ET_GRADCHECK_MAX];
    et_status status = choose_probes(gc);

    for (int64_t q = 0; q < gc->n_probe && status == ET_OK; q++)
        status = differentiate(gc, q, gc->opt.step);
    for (int i = 0; i < gc->n_in && status == ET_OK; i++)
        scale[i] = rms(gc, i, all);
    /* Where the two step sizes disagree, smaller ones. */
    for (int64_t q = 0; q < gc->n_probe && status == ET_OK; q++) {
        double h = gc->opt.step;

        for (int again = 0; again < 2 && status == ET_OK; again++) {
            probe_sum(gc, q, all, &d, &est, &round);
            if (est <= 0.1 * tolerance(gc, q, scale[gc->probe[q].input], d, round))
                break;
            h /= 16;
            status = differentiate(gc, q, h);
        }
    }
    return status;
}

et_status et_gc_compare(et_gc *gc, const char *what, const et_gc_way *way, const double *g)
{
    et_gradcheck_report *r = gc->report;

    for (int64_t q = 0; q < gc->n_probe; q++) {
        const et_gc_probe *p = &gc->probe[q];
        int64_t from = gc->in_off[p->input], n = gc->in_off[p->input + 1] - from;
        double numeric, estimate, rounding, analytic = 0;

        if (!et_gc_bit(way->needs, p->input))
            continue;
        probe_sum(gc, q, way->outs, &numeric, &estimate, &rounding);
        if (p->element >= 0)
            analytic = g[from + p->element];
        else
            for (int64_t e = 0; e < n; e++)
                analytic += g[from + e] * gc->direction[from + e];
        double tol = tolerance(gc, q, rms(gc, p->input, way->outs), numeric, rounding);
        double error = fabs(analytic - numeric);

        r->compared++;
        if (error <= tol) {
            if (tol > 0 && error / tol > r->worst)
                r->worst = error / tol;
            continue;
        }
        et_gc_file(gc, estimate <= tol ? ET_GRADCHECK_WRONG : ET_GRADCHECK_ROUGH, what);
        r->input = p->input;
        r->element = p->element;
        r->numeric = numeric;
        r->analytic = analytic;
        r->tolerance = tol;
        r->estimate = estimate;
        return ET_EGRAD;
    }
    return ET_OK;
}
