/* Elementary functions on vectors of float32, correct on the whole range: subnormal
 * arguments and results, infinities, NaN and signed zeros.
 *
 * The polynomials are minimax fits (tests/oracle/fit_polynomials.py prints them); the
 * measured errors are in doc/accuracy.md. Constants that are subtracted n times are
 * split so that the products are exact without a fused multiply-add too. */
#ifndef ETUDE_TENSOR_KERNELS_MATH_H
#define ETUDE_TENSOR_KERNELS_MATH_H

#include "tensor/kernels/vec.h"

#define V_LOG2E 1.44269504f
#define V_LN2_HI 0.693145752f     /* 16 bits */
#define V_LN2_LO 1.42860682e-06f  /* the rest of ln 2 */
#define V_ROUND 12582912.0f       /* 1.5 2^23: adding it rounds to an integer in the low bits */

/* c0 + x (c1 + x (...)) */
#define V_POLY1(x, c0, c1) v_fma(v_set(c1), (x), v_set(c0))
#define V_POLY2(x, c0, ...) v_fma(V_POLY1(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY3(x, c0, ...) v_fma(V_POLY2(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY4(x, c0, ...) v_fma(V_POLY3(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY5(x, c0, ...) v_fma(V_POLY4(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY6(x, c0, ...) v_fma(V_POLY5(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY7(x, c0, ...) v_fma(V_POLY6(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY8(x, c0, ...) v_fma(V_POLY7(x, __VA_ARGS__), (x), v_set(c0))
#define V_POLY9(x, c0, ...) v_fma(V_POLY8(x, __VA_ARGS__), (x), v_set(c0))

/* --- exp and what is made of it ------------------------------------------------- */

/* p 2^n for an integer n in -150 .. 128, rounded once; t is n + V_ROUND. */
V_INLINE vr v_scale(vr p, vr n, vr t)
{
#if defined(ET_ISA_AVX512)
    (void)t;
    return _mm512_scalef_ps(p, n);
#else
    vi k = v_bits(t) - v_bits(v_set(V_ROUND)), half = ((k + 256) >> 1) - 128;
    (void)n;
    return p * v_from_bits((half + 127) << 23) * v_from_bits((k - half + 127) << 23);
#endif
}

/* e^r for |r| <= 0.41 */
V_INLINE vr v_exp_poly(vr r)
{
    vr p = V_POLY4(r, 0.49999994f, 0.166665211f, 0.0416682921f, 0.00836870167f, 0.0013818522f);
    return v_fma(p, r * r, r) + 1;
}

/* e^(x + lo), |lo| < 0.06; x within -104 .. 89. */
V_INLINE vr v_exp_parts(vr x, vr lo)
{
    vr t = v_fma(x, v_set(V_LOG2E), v_set(V_ROUND)), n = t - V_ROUND;
    vr r = v_fnma(n, v_set(V_LN2_LO), v_fnma(n, v_set(V_LN2_HI), x)) + lo;
    return v_scale(v_exp_poly(r), n, t);
}

V_INLINE vr v_exp(vr x)
{
    vr c = v_max(v_set(-104), v_min(v_set(89), x)); /* 0 and infinity beyond; NaN stays */
    vr t = v_fma(c, v_set(V_LOG2E), v_set(V_ROUND)), n = t - V_ROUND;
    vr r = v_fnma(n, v_set(V_LN2_LO), v_fnma(n, v_set(V_LN2_HI), c));
    return v_scale(v_exp_poly(r), n, t);
}

/* e^x for x <= 88, 0 where that is below about 2^-126. */
V_INLINE vr v_exp_neg(vr x)
{
    const vr round = v_set(V_ROUND + 127); /* leaves the exponent field in the low bits */
    vr c = v_max(v_set(-88), x), t = v_fma(c, v_set(V_LOG2E), round), n = t - round;
    vr r = v_fnma(n, v_set(V_LN2_LO), v_fnma(n, v_set(V_LN2_HI), c));
    return v_exp_poly(r) * v_from_bits(v_bits(t) << 23);
}

/* e^x - 1 but for the sign of zero; x within -18 .. 89. */
V_INLINE vr v_expm1_core(vr x)
{
    const vr round = v_set(V_ROUND + 126); /* 2^(n - 1) is finite for every n */
    vr t = v_fma(x, v_set(V_LOG2E), round), n = t - round;
    vr r = v_fnma(n, v_set(V_LN2_LO), v_fnma(n, v_set(V_LN2_HI), x));
    vr p = V_POLY5(r, 0.5f, 0.166666672f, 0.0416664891f, 0.00833320804f, 0.00139327068f, 0.000199441041f);
    vr q = v_fma(p, r * r, r), s = v_from_bits(v_bits(t) << 23);
    s = v_fma(s, q, s - 0.5f);
    return s + s;
}

V_INLINE vr v_expm1(vr x)
{
    return v_copysign(v_expm1_core(v_max(v_set(-18), v_min(v_set(89), x))), x);
}

/* With t = e^(-2|x|) - 1: tanh |x| = -t / (2 + t). */
V_INLINE vr v_tanh(vr x)
{
    vr t = v_expm1_core(v_max(v_set(-18), v_abs(x) * -2));
    return v_copysign(t / (t + 2), x);
}

V_INLINE vr v_sigmoid(vr x)
{
    vr e = v_exp(-v_abs(x));
    return v_sel(v_lt(x, v_set(0)), e, v_set(1)) / (e + 1);
}

/* The same, and *c = 1 - it, both without cancellation. */
V_INLINE vr v_sigmoid2(vr x, vr *c)
{
    vm negative = v_lt(x, v_set(0));
    vr e = v_exp(-v_abs(x)), d = 1 / (e + 1), ed = e * d;
    *c = v_sel(negative, d, ed);
    return v_sel(negative, ed, d);
}

/* --- logarithms ----------------------------------------------------------------- */

/* ln(1 + f) for -1/3 <= f <= 1/3 */
V_INLINE vr v_log_poly(vr f)
{
    vr p = V_POLY8(f, -0.5f, 0.333332241f, -0.249996886f, 0.200100288f, -0.166854739f, 0.140112132f,
                   -0.121148802f, 0.139607877f, -0.131934434f);
    return v_fma(p, f * f, f);
}

/* r, or what ln u is where u is not positive and finite. */
V_INLINE vr v_log_special(vr u, vr r)
{
    const vr zero = v_set(0);
    r = v_sel(v_lt(u, v_set(INFINITY)), r, u);
    return v_sel(v_le(u, zero), v_sel(v_eq(u, zero), v_set(-INFINITY), v_set(NAN)), r);
}

/* x = 2^e m with 2/3 <= m < 4/3, for positive normal x: the bits of e 2^23. */
V_INLINE vi v_log_exponent(vr x)
{
    return (v_bits(x) - 0x3f2aaaabu) & 0xff800000u;
}

V_INLINE vr v_log(vr x)
{
    vm tiny = v_lt(x, v_set(FLT_MIN));
    vr u = v_sel(tiny, x * 8388608.0f, x), shift = v_sel(tiny, v_set(-23), v_set(0));
    vi k = v_log_exponent(u);
    vr e = v_fma(v_from_int(k), v_set(1.1920929e-07f), shift);
    vr r = v_log_poly(v_from_bits(v_bits(u) - k) - 1);
    r = v_fma(e, v_set(V_LN2_HI), v_fma(e, v_set(V_LN2_LO), r));
    return v_log_special(x, r);
}

/* u = 1 + x rounded, c what was lost; ln(1 + x) = e ln 2 + ln(2^-e u + 2^-e c). */
V_INLINE vr v_log1p(vr x)
{
    vr u = x + 1, b = u - 1, c = (1 - (u - b)) + (x - b);
    vi k = v_log_exponent(u);
    vr lost = v_sel(v_lt(u, v_set(1e9f)), c * v_from_bits(0x3f800000u - k), v_set(0));
    vr e = v_from_int(k) * 1.1920929e-07f, r = v_log_poly((v_from_bits(v_bits(u) - k) - 1) + lost);
    r = v_fma(e, v_set(V_LN2_HI), v_fma(e, v_set(V_LN2_LO), r));
    return v_copysign(v_log_special(u, r), x);
}

/* ln(1 + e^x) = max(x, 0) + ln(1 + e), e = e^-|x| <= 1; above 1/3, 1 + e is halved. */
V_INLINE vr v_softplus(vr x)
{
    vr e = v_exp(-v_abs(x));
    vm large = v_lt(v_set(0.333333333f), e);
    vr f = v_sel(large, (e - 1) * 0.5f, e), base = v_sel(large, v_set(0.693147181f), v_set(0));
    return v_max(v_set(0), x) + (base + v_log_poly(f));
}

/* --- normal distribution -------------------------------------------------------- */

/* Above 0.9375, erf x = 1 - e^(-x - x P(x)). */
V_INLINE vr v_erf(vr x)
{
    vr a = v_abs(x), u = x * x, t = v_min(v_set(4), a);
    vr small = V_POLY5(u, 0.128379151f, -0.376124889f, 0.112817168f, -0.02676199f, 0.00498536322f,
                       -0.000594715297f);
    vr large = V_POLY6(t, 0.12866202f, 0.635096252f, 0.106328152f, -0.0238408651f, 0.0036798045f,
                       -0.000332009891f, 1.21531966e-05f);
    large = v_copysign(1 - v_exp_neg(-v_fma(large, t, t)), x);
    return v_sel(v_lt(a, v_set(0.9375f)), v_fma(small, x, x), large);
}

/* a^2 = the value returned + *lo, exactly. */
V_INLINE vr v_square_parts(vr a, vr *lo)
{
#if defined(V_HAS_FMA)
    vr hi = a * a;
    *lo = v_fma(a, a, -hi);
    return hi;
#else
    vr upper = v_from_bits(v_bits(a) & 0xfffff000u); /* 12 bits */
    *lo = (a - upper) * (a + upper);
    return upper * upper;
#endif
}

/* e^(-x^2) */
V_INLINE vr v_exp_minus_square(vr x)
{
    vr lo, hi = v_square_parts(v_min(v_set(10.15f), v_abs(x)), &lo);
    return v_exp_parts(-hi, -lo);
}

/* x cdf(x) of the normal distribution and its derivative cdf(x) + x pdf(x).
 * cdf(-a) = e^(-a^2/2) P(u) / (1 + 1.25 a) with u = (a - 4.5) / (a + 4.5); one division
 * serves both quotients, and no sum cancels where cdf is small. */
V_INLINE vr v_gelu(vr x, vr *d)
{
    vr a = v_min(v_set(14.4f), v_abs(x)), lo, hi = v_square_parts(a, &lo);
    vr e = v_exp_parts(hi * -0.5f, lo * -0.5f);
    vr p = a + 4.5f, q = v_fma(a, v_set(1.25f), v_set(1)), r = 1 / (p * q), u = (a - 4.5f) * (q * r);
    vr g = V_POLY9(u, 0.561822474f, -0.0790852159f, -0.000383287377f, 0.0430882014f, -0.0480855517f,
                   0.0322951712f, -0.0143653434f, 0.00345691456f, 0.000375127507f, -0.000391661626f);
    vr tail = e * (g * (p * r)), cdf = v_sel(v_lt(x, v_set(0)), tail, 1 - tail);
    *d = v_fma(v_copysign(a, x), e * 0.398942280f, cdf);
    return v_max(v_set(-1e30f), x) * cdf;
}

/* --- x times a sigmoid ---------------------------------------------------------- */

/* x sigmoid(2 k (x + 0.044715 x^3)), which is 0.5 x (1 + tanh(...)), k = sqrt(2 / pi). */
V_INLINE vr v_gelu_tanh(vr x, vr *d)
{
    vr a = v_max(v_set(-100), v_min(v_set(100), x)), w = a * a, c;
    vr s = v_sigmoid2(a * v_fma(w, v_set(0.0713548163f), v_set(1.59576912f)), &c);
    *d = v_fma(a * s * c, v_fma(w, v_set(0.214064449f), v_set(1.59576912f)), s);
    return v_max(v_set(-1e30f), x) * s;
}

/* x sigmoid(k x) */
V_INLINE vr v_swish(vr x, vr k, vr *d)
{
    vr a = v_max(v_set(-200), v_min(v_set(200), x)), u = a * k, c, s = v_sigmoid2(u, &c);
    *d = v_fma(u * c, s, s);
    return v_max(v_set(-1e30f), x) * s;
}

V_INLINE vr v_silu(vr x, vr *d) { return v_swish(x, v_set(1), d); }
V_INLINE vr v_quick_gelu(vr x, vr *d) { return v_swish(x, v_set(1.702f), d); }

#endif
