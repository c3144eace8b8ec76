/* The functions of math.h by libm, one number at a time: the float64 kernels. */
#ifndef ETUDE_TENSOR_KERNELS_MATH_LIBM_H
#define ETUDE_TENSOR_KERNELS_MATH_LIBM_H

#include "tensor/kernels/vec.h"

V_INLINE vr v_exp(vr x) { return exp(x); }
V_INLINE vr v_exp_neg(vr x) { return exp(x); }
V_INLINE vr v_expm1(vr x) { return expm1(x); }
V_INLINE vr v_log(vr x) { return log(x); }
V_INLINE vr v_log1p(vr x) { return log1p(x); }
V_INLINE vr v_sin(vr x) { return sin(x); }
V_INLINE vr v_cos(vr x) { return cos(x); }
V_INLINE vr v_tanh(vr x) { return tanh(x); }
V_INLINE vr v_erf(vr x) { return erf(x); }
V_INLINE vr v_pow(vr x, vr e) { return pow(x, e); }

/* 1 / (1 + e^-x); *c is 1 minus that, without cancellation. */
V_INLINE vr v_sigmoid2(vr x, vr *c)
{
    vr e = exp(-fabs(x)), r = 1 / (1 + e);
    *c = x < 0 ? r : e * r;
    return x < 0 ? e * r : r;
}

V_INLINE vr v_sigmoid(vr x)
{
    vr c;
    return v_sigmoid2(x, &c);
}

V_INLINE vr v_softplus(vr x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

/* e^(-x^2) */
V_INLINE vr v_exp_minus_square(vr x) { return exp(-x * x); }

/* x cdf(x) of the normal distribution and its derivative cdf(x) + x pdf(x). */
V_INLINE vr v_gelu(vr x, vr *d)
{
    vr cdf = 0.5 * erfc(x * -0.70710678118654752440);
    vr xc = v_max(v_set(-1e30), v_min(v_set(1e30), x)); /* infinities have finite products */
    *d = cdf + xc * (exp(-0.5 * x * x) * 0.39894228040143267794);
    return v_max(v_set(-1e30), x) * cdf;
}

/* x sigmoid(2 k (x + 0.044715 x^3)), which is 0.5 x (1 + tanh(...)), k = sqrt(2/pi). */
V_INLINE vr v_gelu_tanh(vr x, vr *d)
{
    const vr k2 = 1.59576912160573071176, c3 = 0.044715;
    vr xc = v_max(v_set(-1e30), v_min(v_set(1e30), x)), c, s = v_sigmoid2(k2 * (xc + c3 * xc * xc * xc), &c);
    *d = s + xc * s * c * (k2 * (1 + 3 * c3 * xc * xc));
    return v_max(v_set(-1e30), x) * s;
}

/* x sigmoid(a x) */
V_INLINE vr v_swish(vr x, vr a, vr *d)
{
    vr c, s = v_sigmoid2(a * x, &c), xc = v_max(v_set(-1e30), v_min(v_set(1e30), x));
    *d = s + a * xc * s * c;
    return v_max(v_set(-1e30), x) * s;
}

V_INLINE vr v_silu(vr x, vr *d) { return v_swish(x, 1, d); }
V_INLINE vr v_quick_gelu(vr x, vr *d) { return v_swish(x, 1.702, d); }

#endif
