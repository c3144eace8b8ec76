/* Sine, cosine and power on vectors of float32; see math.h. */
#ifndef ETUDE_TENSOR_KERNELS_TRIG_POW_H
#define ETUDE_TENSOR_KERNELS_TRIG_POW_H

#include "tensor/kernels/math.h"

/* --- sine and cosine ------------------------------------------------------------ */

/* Arguments up to here are reduced with a quarter turn in four parts of 11 bits, whose
 * products with the number of turns (13 bits) are exact. Larger ones go to libm. */
#define V_TRIG_MAX 8192.0f

/* sin(x + quarters pi / 2) */
V_INLINE vr v_sin_shifted(vr x, uint32_t quarters)
{
    vr t = v_fma(x, v_set(0.636619772f), v_set(V_ROUND)), n = t - V_ROUND;
    vr r = v_fnma(n, v_set(1.5703125f), x);
    r = v_fnma(n, v_set(0.000483751297f), r);
    r = v_fnma(n, v_set(7.54953362e-08f), r);
    r = v_fnma(n, v_set(2.56334415e-12f), r);
    vi turn = v_bits(t) + quarters;
    vr u = r * r;
    vr s = V_POLY2(u, -0.166666552f, 0.0083321901f, -0.000195184082f);
    vr c = V_POLY2(u, 0.0416666456f, -0.00138873013f, 2.44306775e-05f);
    s = v_fma(s * u, r, r);
    c = v_fma(c, u * u, v_fma(u, v_set(-0.5f), v_set(1)));
    s = v_sel(m_bits(turn, 1), c, s);
    return v_from_bits(v_bits(s) ^ ((turn & 2) << 30));
}

/* y, with the lanes whose x is too large or not finite replaced by f(x). */
static inline vr v_trig_large(vr x, vr y, double (*f)(double))
{
    float xs[LANES], ys[LANES];
    v_store(xs, x);
    v_store(ys, y);
    for (int l = 0; l < LANES; l++)
        if (!(fabsf(xs[l]) <= V_TRIG_MAX))
            ys[l] = (float)f((double)xs[l]);
    return v_load(ys);
}

V_INLINE vr v_sin(vr x)
{
    vr y = v_sin_shifted(x, 0);
    y = v_sel(v_eq(x, v_set(0)), x, y); /* keeps -0 */
    if (V_LIKELY(!m_any(m_not(v_le(v_abs(x), v_set(V_TRIG_MAX))))))
        return y;
    return v_trig_large(x, y, sin);
}

V_INLINE vr v_cos(vr x)
{
    vr y = v_sin_shifted(x, 1);
    if (V_LIKELY(!m_any(m_not(v_le(v_abs(x), v_set(V_TRIG_MAX))))))
        return y;
    return v_trig_large(x, y, cos);
}

/* --- power, through base-2 logarithm and exponential in double ------------------ */

#if LANES == 1
typedef double vd;
typedef uint64_t vl;
V_INLINE vl d_bits(vd a) { vl b; memcpy(&b, &a, sizeof b); return b; }
V_INLINE vd d_from_bits(vl a) { vd b; memcpy(&b, &a, sizeof b); return b; }
V_INLINE vd d_below(vd a, vd limit) { return a > limit ? limit : a; }
V_INLINE vd d_above(vd a, vd limit) { return a < limit ? limit : a; }
V_INLINE vd d_set(double a) { return a; }
#else
V_INLINE vl d_bits(vd a) { return (vl)a; }
V_INLINE vd d_from_bits(vl a) { return (vd)a; }
V_INLINE vd d_pick(vl m, vd a, vd b) { return (vd)((m & (vl)a) | (~m & (vl)b)); }
V_INLINE vd d_below(vd a, vd limit) { return d_pick((vl)(a > limit), limit, a); }
V_INLINE vd d_above(vd a, vd limit) { return d_pick((vl)(a < limit), limit, a); }
V_INLINE vd d_set(double a) { return a - (vd){0}; }
#endif

/* a^e for a positive, finite a; infinities and zeros stand for results that are too
 * large and too small for float32. a = 2^k m, sqrt(1/2) <= m < sqrt(2);
 * log2 m = s P(s^2) with s = (m - 1) / (m + 1). */
V_INLINE vd d_pow(vd a, vd e)
{
    const double round = 6755399441055744.0; /* 1.5 2^52 */
    const uint64_t one = UINT64_C(1023) << 52;
    vl k = (d_bits(a) - UINT64_C(0x3fe6a09e667f3bcd) + one) >> 52; /* biased by 1023 */
    vd m = d_from_bits(d_bits(a) - (k << 52) + one);
    vd kd = d_from_bits(k | UINT64_C(0x4330000000000000)) - (4503599627370496.0 + 1023);
    vd s = (m - 1) / (m + 1), u = s * s;
    vd p = u * 0.2829123765797989 + 0.31990481949025473;
    p = p * u + 0.4122092744141892;
    p = p * u + 0.5770779421391663;
    p = p * u + 0.96179669411415392;
    p = p * u + 2.8853900817778495;
    vd x = d_above(d_below(e * (p * s + kd), d_set(1000)), d_set(-1000));
    vd t = x + round, f = x - (t - round);
    p = f * 1.5201597072918355e-05 + 0.00015469264511359617;
    p = p * f + 0.0013333923715819146;
    p = p * f + 0.0096180273385727266;
    p = p * f + 0.055504103524774251;
    p = p * f + 0.24022651197619771;
    p = p * f + 0.69314718072837511;
    p = p * f + 0.9999999999617315;
    return p * d_from_bits((d_bits(t) + 1023) << 52);
}

/* C's pow, special cases included. */
V_INLINE vr v_pow(vr x, vr e)
{
    const vr zero = v_set(0), one = v_set(1), inf = v_set(INFINITY);
    vr a = v_abs(x), ae = v_abs(e), whole = v_set(16777216.0f); /* from here on all are even */
    vw wa = w_from(a), we = w_from(e);
    wa.lo = d_pow(wa.lo, we.lo);
#if LANES > 1
    wa.hi = d_pow(wa.hi, we.hi);
#endif
    vr r = w_narrow(wa);
    vi ei = v_to_int(v_min(whole, v_max(-whole, v_sel(v_isnan(e), zero, e))));
    vm even_or_odd = m_or(v_le(whole, ae), v_eq(v_from_int(ei), e)), grows = v_lt(zero, e);
    r = v_sel(v_eq(a, zero), v_sel(grows, zero, inf), r);
    r = v_sel(v_eq(a, inf), v_sel(grows, inf, zero), r);
    r = v_sel(m_and(v_eq(a, one), v_eq(ae, inf)), one, r);
    r = v_from_bits(v_bits(r) ^ (v_bits(x) & ((ei & 1) << 31)));
    r = v_sel(m_and(v_lt(x, zero), m_and(v_lt(a, inf), m_not(even_or_odd))), v_set(NAN), r);
    r = v_sel(v_isnan(e), e, v_sel(v_isnan(x), x, r));
    return v_sel(m_or(v_eq(e, zero), v_eq(x, one)), one, r);
}

#endif
