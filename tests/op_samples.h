/* Running the gradient-check samples of an op for other purposes than gradients: simple
 * operands, the call, one backward pass. */
#ifndef ETUDE_TESTS_OP_SAMPLES_H
#define ETUDE_TESTS_OP_SAMPLES_H

#include <math.h>

#include "autograd/op.h"
#include "tensor/rng.h"

/* dtype of an operand in a float32 call. */
static inline et_dtype sample_dtype(const et_arg *arg)
{
    return arg->kind == ET_ARG_INDEX ? ET_I32 : arg->kind == ET_ARG_MASK ? ET_U8 : ET_F32;
}

static inline bool sample_trains(const et_arg *arg)
{
    return arg->kind == ET_ARG_REAL || arg->kind == ET_ARG_AWAY || arg->kind == ET_ARG_DISTINCT;
}

/* An operand as float32, int32 or uint8 in the current scope, elements in the sample's
 * range; NULL when memory is refused. */
static inline et_tensor *sample_operand(const et_arg *arg, uint64_t stream)
{
    et_rng r = et_rng_make(1, stream);
    double lo = arg->lo, hi = arg->hi;
    et_tensor *x = et_empty(sample_dtype(arg), arg->ndim, arg->shape);
    void *p = x ? et_data_mut(x) : NULL;

    if (arg->lo == 0 && arg->hi == 0) {
        lo = sample_trains(arg) || arg->kind == ET_ARG_CONST ? -1 : 0;
        hi = 1;
    }
    for (int64_t i = 0; p && i < x->numel; i++) {
        double v = lo + (hi - lo) * et_rng_uniform(&r);

        if (x->dtype == ET_F32)
            ((float *)p)[i] = (float)v;
        else if (x->dtype == ET_I32)
            ((int32_t *)p)[i] = (int32_t)floor(v);
        else
            ((uint8_t *)p)[i] = v < (lo + hi) / 2;
    }
    if (x && sample_trains(arg))
        et_set_requires_grad(x, true);
    return x;
}

/* Makes all operands; false when memory is refused. */
static inline bool sample_operands(const et_sample *s, et_tensor **in)
{
    for (int i = 0; i < s->n_in; i++) {
        in[i] = sample_operand(&s->in[i], (uint64_t)i);
        if (!in[i])
            return false;
    }
    return true;
}

/* Calls the sample and runs backward from each of its results. */
static inline bool sample_step(const et_sample *s)
{
    et_tensor *in[ET_MAX_ARGS] = {NULL}, *out[ET_MAX_OUT] = {NULL};
    int n;

    if (!sample_operands(s, in))
        return false;
    n = s->call(in, out);
    if (n < 0)
        return false;
    for (int k = 0; k < n; k++)
        if (out[k]->requires_grad && out[k]->node &&
            et_backward_from(out[k], NULL, k + 1 < n ? ET_RETAIN_GRAPH : 0) != ET_OK)
            return false;
    return true;
}

/* Calls the sample, differentiates its first result with the graph, and differentiates
 * that again. */
static inline bool sample_second_step(const et_sample *s)
{
    et_tensor *in[ET_MAX_ARGS] = {NULL}, *out[ET_MAX_OUT] = {NULL}, *wanted[ET_MAX_ARGS], *g[ET_MAX_ARGS];
    int n = 0;

    if (!sample_operands(s, in) || s->call(in, out) < 0)
        return false;
    if (!out[0]->requires_grad || !out[0]->node)
        return true;
    for (int i = 0; i < s->n_in; i++)
        if (sample_trains(&s->in[i]))
            wanted[n++] = in[i];
    if (et_grad(1, out, NULL, n, wanted, g, ET_CREATE_GRAPH) != ET_OK)
        return false;
    for (int i = 0; i < n; i++)
        if (g[i] && g[i]->requires_grad && g[i]->node &&
            et_backward_from(g[i], NULL, ET_RETAIN_GRAPH) != ET_OK)
            return false;
    return true;
}

#endif
