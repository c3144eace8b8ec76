/* Errors of the float32 functions in units in the last place, against libm in double:
 * the functions, their bounds, and the measurement. Used by check_kernels, which sweeps
 * a part of all floats, and by ulp, which can sweep them all. Figures: doc/accuracy.md. */
#ifndef ETUDE_TESTS_ACCURACY_H
#define ETUDE_TESTS_ACCURACY_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/kernels.h"

/* The exact value. *scale is the size whose last place counts: mostly the value's own, but
 * see accuracy_product and accuracy_terms. */
typedef double (*accuracy_ref)(double x, double *scale);

typedef struct accuracy_fn {
    const char *name;
    et_unary op;
    int slope; /* 1: the second output of unary_d */
    accuracy_ref ref;
    double bound; /* ulp, every instruction set */
} accuracy_fn;

#define ACCURACY_REF(name, value)                          \
    static double accuracy_##name(double x, double *scale) \
    {                                                      \
        double y = (value);                                \
        *scale = y;                                        \
        return y;                                          \
    }
static inline double accuracy_logistic(double x)
{
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
static inline double accuracy_cdf(double x) { return 0.5 * erfc(x * -0.70710678118654752440); }
static inline double accuracy_inner(double x) { return 1.59576912160573071176 * (x + 0.044715 * x * x * x); }
static inline double accuracy_finite(double x) { return x < -1e6 ? -1e6 : x > 1e6 ? 1e6 : x; }

ACCURACY_REF(exp, exp(x))
ACCURACY_REF(expm1, expm1(x))
ACCURACY_REF(log, x < 0 ? NAN : log(x))
ACCURACY_REF(log1p, x < -1 ? NAN : log1p(x))
ACCURACY_REF(sqrt, x < 0 ? NAN : sqrt(x))
ACCURACY_REF(rsqrt, x < 0 ? NAN : 1 / sqrt(x))
ACCURACY_REF(reciprocal, 1 / x)
ACCURACY_REF(sin, isinf(x) ? NAN : sin(x))
ACCURACY_REF(cos, isinf(x) ? NAN : cos(x))
ACCURACY_REF(tanh, tanh(x))
ACCURACY_REF(sigmoid, accuracy_logistic(x))
ACCURACY_REF(erf, erf(x))
ACCURACY_REF(softplus, (x > 0 ? x : 0) + log1p(exp(-fabs(x))))
ACCURACY_REF(log_sigmoid, (x < 0 ? x : 0) - log1p(exp(-fabs(x))))
ACCURACY_REF(elu, x > 0 ? x : expm1(x))

/* x times a cdf that is e^u or so in its tail: an argument u that was rounded is worth |u|
 * ulp, and a cdf below 2^-126 has its last place |x| times too large. */
static double accuracy_product(double x, double cdf, double u, double *scale)
{
    double y = (x < -1e6 ? -1e6 : x) * cdf, least = FLT_MIN * fmin(fmax(1, fabs(x)), 1e6);
    *scale = fmax(fabs(y) * (1 + fabs(fmin(u, 0))), least);
    return y;
}

static double accuracy_gelu(double x, double *scale)
{
    return accuracy_product(x, accuracy_cdf(x), 0, scale);
}

static double accuracy_gelu_tanh(double x, double *scale)
{
    double u = accuracy_inner(accuracy_finite(x));
    return accuracy_product(x, accuracy_logistic(u), u, scale);
}

static double accuracy_quick_gelu(double x, double *scale)
{
    return accuracy_product(x, accuracy_logistic(1.702 * x), 1.702 * accuracy_finite(x), scale);
}

static double accuracy_silu(double x, double *scale)
{
    return accuracy_product(x, accuracy_logistic(x), 0, scale);
}

/* a + b, the terms of a derivative, which cancel where it is 0; slope as x above. */
static double accuracy_terms(double slope, double a, double b, double u, double *scale)
{
    double least = FLT_MIN * fmin(fmax(1, fabs(slope)), 1e6);
    *scale = fmax((fabs(a) + fabs(b)) * (1 + fabs(fmin(u, 0))), least);
    return a + b;
}

static double accuracy_gelu_slope(double x, double *scale)
{
    double pdf = exp(-0.5 * x * x) * 0.39894228040143267794;
    return accuracy_terms(x, accuracy_cdf(x), accuracy_finite(x) * pdf, 0, scale);
}

/* s(u) + x s'(u) u', with xdu = x u' */
static double accuracy_swish_slope(double u, double xdu, double loss, double *scale)
{
    double s = accuracy_logistic(u);
    return accuracy_terms(xdu, s, s * accuracy_logistic(-u) * xdu, loss * u, scale);
}

static double accuracy_gelu_tanh_slope(double x, double *scale)
{
    double slope;
    x = accuracy_finite(x);
    slope = 1.59576912160573071176 * (1 + 3 * 0.044715 * x * x);
    return accuracy_swish_slope(accuracy_inner(x), x * slope, 1, scale);
}

static double accuracy_quick_gelu_slope(double x, double *scale)
{
    x = accuracy_finite(x);
    return accuracy_swish_slope(1.702 * x, 1.702 * x, 1, scale);
}

static double accuracy_silu_slope(double x, double *scale)
{
    x = accuracy_finite(x);
    return accuracy_swish_slope(x, x, 0, scale);
}

static const accuracy_fn accuracy_fns[] = {
    {"exp", ET_U_EXP, 0, accuracy_exp, 1.1},
    {"expm1", ET_U_EXPM1, 0, accuracy_expm1, 1.6},
    {"log", ET_U_LOG, 0, accuracy_log, 1.1},
    {"log1p", ET_U_LOG1P, 0, accuracy_log1p, 1.75},
    {"sqrt", ET_U_SQRT, 0, accuracy_sqrt, 0.5},
    {"rsqrt", ET_U_RSQRT, 0, accuracy_rsqrt, 1.5},
    {"reciprocal", ET_U_RECIPROCAL, 0, accuracy_reciprocal, 0.5},
    {"sin", ET_U_SIN, 0, accuracy_sin, 2.0},
    {"cos", ET_U_COS, 0, accuracy_cos, 2.0},
    {"tanh", ET_U_TANH, 0, accuracy_tanh, 2.6},
    {"sigmoid", ET_U_SIGMOID, 0, accuracy_sigmoid, 2.5},
    {"erf", ET_U_ERF, 0, accuracy_erf, 1.2},
    {"softplus", ET_U_SOFTPLUS, 0, accuracy_softplus, 2.0},
    {"log_sigmoid", ET_U_LOG_SIGMOID, 0, accuracy_log_sigmoid, 2.0},
    {"elu", ET_U_ELU, 0, accuracy_elu, 1.6},
    {"gelu", ET_U_GELU, 0, accuracy_gelu, 6.5},
    {"gelu'", ET_U_GELU, 1, accuracy_gelu_slope, 6.5},
    {"gelu_tanh", ET_U_GELU_TANH, 0, accuracy_gelu_tanh, 3.0},
    {"gelu_tanh'", ET_U_GELU_TANH, 1, accuracy_gelu_tanh_slope, 3.0},
    {"quick_gelu", ET_U_QUICK_GELU, 0, accuracy_quick_gelu, 3.0},
    {"quick_gelu'", ET_U_QUICK_GELU, 1, accuracy_quick_gelu_slope, 3.0},
    {"silu", ET_U_SILU, 0, accuracy_silu, 4.0},
    {"silu'", ET_U_SILU, 1, accuracy_silu_slope, 4.0},
};
enum { ACCURACY_FNS = sizeof accuracy_fns / sizeof accuracy_fns[0] };

/* |y - exact| in units in the last place of a float32 of the size of `scale`; infinity
 * where one is NaN and the other not. What is beyond the largest float counts as 2^128. */
static inline double accuracy_ulp(float y, double exact, double scale)
{
    double top = ldexp(1, 128), v = isinf(y) ? copysign(top, (double)y) : (double)y;
    int e;

    if (isnan(exact) || isnan(y))
        return isnan(exact) && isnan(y) ? 0 : (double)INFINITY;
    if (fabs(exact) > top)
        exact = copysign(top, exact);
    scale = fabs(scale) > top ? top : fabs(scale);
    frexp(scale, &e); /* scale = f 2^e, 1/2 <= f < 1 */
    return fabs(v - exact) / ldexp(1, scale == 0 || e < -125 ? -149 : e > 128 ? 104 : e - 24);
}

typedef struct accuracy_result {
    double worst; /* ulp */
    float at;     /* where */
    float got;
} accuracy_result;

/* The worst error of fn in table k over the floats whose bit patterns are first,
 * first + step, ... below `limit`. */
static inline accuracy_result accuracy_sweep(const et_kernels *k, const accuracy_fn *fn, uint64_t first,
                                             uint64_t limit, uint64_t step)
{
    enum { BATCH = 1000 }; /* ends in a partial vector */
    float x[BATCH], y[BATCH], d[BATCH];
    accuracy_result r = {-1, 0, 0};

    for (uint64_t b = first; b < limit;) {
        int n = 0;

        for (; n < BATCH && b < limit; n++, b += step) {
            uint32_t bits = (uint32_t)b;
            memcpy(&x[n], &bits, sizeof bits);
        }
        if (fn->slope)
            k->unary_d[fn->op](n, x, y, d);
        else
            k->unary[fn->op](n, x, y);
        for (int i = 0; i < n; i++) {
            float got = fn->slope ? d[i] : y[i];
            double scale, exact = fn->ref((double)x[i], &scale), error = accuracy_ulp(got, exact, scale);

            if (error > r.worst) {
                r.worst = error;
                r.at = x[i];
                r.got = got;
            }
        }
    }
    return r;
}

#endif
