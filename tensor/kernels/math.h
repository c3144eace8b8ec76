/* Elementary functions on vectors of float32. */
#ifndef ETUDE_TENSOR_KERNELS_MATH_H
#define ETUDE_TENSOR_KERNELS_MATH_H

#include "tensor/kernels/vec.h"

#define V_LANE(v, l) (((float *)&(v))[l])
#define V_EACH_LANE(name, expr) \
    V_INLINE vr name(vr x) \
    { \
        for (int l = 0; l < LANES; l++) { \
            double t = (double)V_LANE(x, l); \
            V_LANE(x, l) = (float)(expr); \
        } \
        return x; \
    }
V_EACH_LANE(v_exp, exp(t))
V_EACH_LANE(v_exp_neg, exp(t))
V_EACH_LANE(v_expm1, expm1(t))
V_EACH_LANE(v_log, log(t))
V_EACH_LANE(v_log1p, log1p(t))
V_EACH_LANE(v_sin, sin(t))
V_EACH_LANE(v_cos, cos(t))
V_EACH_LANE(v_tanh, tanh(t))
V_EACH_LANE(v_erf, erf(t))
V_EACH_LANE(v_sigmoid, 1 / (1 + exp(-t)))
V_EACH_LANE(v_cosigmoid, 1 / (1 + exp(t)))
V_EACH_LANE(v_softplus, (t > 0 ? t : 0) + log1p(exp(-fabs(t))))
V_EACH_LANE(v_exp_minus_square, exp(-t * t))
V_EACH_LANE(v_cdf, 0.5 * erfc(t * -0.70710678118654752440))
V_INLINE vr v_pow(vr x, vr e)
{
    for (int l = 0; l < LANES; l++)
        V_LANE(x, l) = (float)pow((double)V_LANE(x, l), (double)V_LANE(e, l));
    return x;
}
V_INLINE vr v_gelu(vr x, vr *d)
{
    vr cdf = v_cdf(x), xc = v_max(v_set(-1e30f), v_min(v_set(1e30f), x));
    *d = cdf + xc * v_exp_minus_square(x * 0.70710678f) * 0.39894228f;
    return v_max(v_set(-1e30f), x) * cdf;
}
V_INLINE vr v_gelu_tanh(vr x, vr *d)
{
    vr xc = v_max(v_set(-1e12f), v_min(v_set(1e12f), x)), u = 1.5957691f * (xc + 0.044715f * xc * xc * xc);
    vr s = v_sigmoid(u);
    *d = s + xc * s * v_cosigmoid(u) * (1.5957691f * (1 + 0.134145f * xc * xc));
    return v_max(v_set(-1e30f), x) * s;
}
V_INLINE vr v_swish(vr x, vr a, vr *d)
{
    vr xc = v_max(v_set(-1e30f), v_min(v_set(1e30f), x)), s = v_sigmoid(a * x);
    *d = s + a * xc * s * v_cosigmoid(a * x);
    return v_max(v_set(-1e30f), x) * s;
}
V_INLINE vr v_silu(vr x, vr *d) { return v_swish(x, v_set(1), d); }
V_INLINE vr v_quick_gelu(vr x, vr *d) { return v_swish(x, v_set(1.702f), d); }
#undef V_EACH_LANE
#undef V_LANE

#endif
