/* The vector layer: what the kernels are written on.
 *
 * A kernel sees `LANES` numbers of type `real` at a time as a `vr`, the lane-wise
 * result of a comparison as a `vm`, and (float32 only) their bit patterns as a `vi` of unsigned integers.
 * Arithmetic (+ - * /) on a `vr` and shifts and logic on a `vi` are the compiler's
 * own, on its vector types; what these lack (minimum, square root, fused
 * multiply-add, blending, partial loads) is an inline function here, with one
 * definition for each instruction set. The -D option chooses it:
 *
 *   ET_ISA_GENERIC   float,  1 lane, no vector extension
 *   ET_ISA_SSE2      float,  4 lanes, the x86-64 baseline
 *   ET_ISA_AVX2      float,  8 lanes, with FMA
 *   ET_ISA_AVX512    float, 16 lanes (F, DQ, BW, VL)
 *   ET_ISA_NEON      float,  4 lanes, aarch64
 *   ET_ISA_F64       double, 1 lane, libm's functions
 *
 * Conventions: partial loads fill with zeros; v_min(a, b) is `a < b ? a : b` and
 * v_max(a, b) is `a > b ? a : b`, so that b comes out when either is NaN. v_fma(a, b, c)
 * is a b + c, rounded once where V_HAS_FMA says so; v_fnma(a, b, c) is c - a b. */
#ifndef ETUDE_TENSOR_KERNELS_VEC_H
#define ETUDE_TENSOR_KERNELS_VEC_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define V_INLINE static inline __attribute__((always_inline, unused))
#define V_LIKELY(x) __builtin_expect(!!(x), 1)
#define V_PREFETCH(p) __builtin_prefetch(p)
#define V_PREFETCH_L2(p) __builtin_prefetch(p, 0, 2) /* into the second level alone */
#else
#define V_INLINE static inline
#define V_LIKELY(x) (x)
#define V_PREFETCH(p) ((void)0)
#define V_PREFETCH_L2(p) ((void)0)
#endif

#if defined(ET_ISA_AVX512)
#include <immintrin.h>
#define LANES 16
#define V_TABLE et_kernels_avx512
#define V_NAME "avx512"
#elif defined(ET_ISA_AVX2)
#include <immintrin.h>
#define LANES 8
#define V_TABLE et_kernels_avx2
#define V_NAME "avx2"
#elif defined(ET_ISA_SSE2)
#include <emmintrin.h>
#define LANES 4
#define V_TABLE et_kernels_sse2
#define V_NAME "sse2"
#elif defined(ET_ISA_NEON)
#include <arm_neon.h>
#define LANES 4
#define V_TABLE et_kernels_neon
#define V_NAME "neon"
#elif defined(ET_ISA_GENERIC)
#define LANES 1
#define V_TABLE et_kernels_generic
#define V_NAME "generic"
#elif defined(ET_ISA_F64)
#define LANES 1
#define V_TABLE et_kernels_f64
#define V_NAME "float64"
#else
#error "define one of ET_ISA_GENERIC, _SSE2, _AVX2, _AVX512, _NEON, _F64"
#endif

#if defined(ET_ISA_AVX512) || defined(ET_ISA_AVX2) || defined(ET_ISA_NEON) || \
    (LANES == 1 && (defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMA)))
#define V_HAS_FMA 1 /* v_fma rounds once */
#endif

#if defined(ET_ISA_F64)
typedef double real;
#define V_DTYPE ET_F64
#define V_FN(name) name /* libm's function of this precision */
#else
typedef float real;
#define V_DTYPE ET_F32
#define V_FN(name) name##f
#endif

/* ---------------------------------------------------------------- one lane --- */
#if LANES == 1

typedef real vr;
typedef int vm;
typedef struct { double lo; } vw; /* LANES doubles, for sums */

V_INLINE vr v_set(real a) { return a; }
V_INLINE vr v_load(const real *p) { return *p; }
V_INLINE void v_store(real *p, vr v) { *p = v; }
V_INLINE vr v_load_n(const real *p, int n) { return n > 0 ? *p : 0; }
V_INLINE void v_store_n(real *p, vr v, int n) { if (n > 0) *p = v; }
V_INLINE vm v_lt(vr a, vr b) { return a < b; }
V_INLINE vm v_le(vr a, vr b) { return a <= b; }
V_INLINE vm v_eq(vr a, vr b) { return a == b; }
V_INLINE vm v_isnan(vr a) { return a != a; }
V_INLINE vm m_and(vm a, vm b) { return a & b; }
V_INLINE vm m_or(vm a, vm b) { return a | b; }
V_INLINE vm m_not(vm a) { return !a; }
V_INLINE vm m_none(void) { return 0; }
V_INLINE int m_any(vm a) { return a; }
V_INLINE vm m_bytes(const uint8_t *p) { return *p != 0; }
V_INLINE vm m_bytes_n(const uint8_t *p, int n) { return n > 0 && *p != 0; }
V_INLINE vm m_first(int n) { return n > 0; }
V_INLINE vr v_sel(vm m, vr a, vr b) { return m ? a : b; }
V_INLINE vr v_min(vr a, vr b) { return a < b ? a : b; }
V_INLINE vr v_max(vr a, vr b) { return a > b ? a : b; }
V_INLINE vr v_abs(vr a) { return V_FN(fabs)(a); }
V_INLINE vr v_copysign(vr a, vr b) { return V_FN(copysign)(a, b); }
V_INLINE vr v_sqrt(vr a) { return V_FN(sqrt)(a); }
#if defined(V_HAS_FMA)
V_INLINE vr v_fma(vr a, vr b, vr c) { return V_FN(fma)(a, b, c); }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return V_FN(fma)(-a, b, c); }
#else
V_INLINE vr v_fma(vr a, vr b, vr c) { return a * b + c; }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return c - a * b; }
#endif
V_INLINE real v_hsum(vr a) { return a; }
V_INLINE real v_hmax(vr a) { return a; }
V_INLINE real v_hmin(vr a) { return a; }

#if !defined(ET_ISA_F64)
typedef uint32_t vi;
V_INLINE vi v_bits(vr a) { vi b; memcpy(&b, &a, sizeof b); return b; }
V_INLINE vr v_from_bits(vi a) { vr b; memcpy(&b, &a, sizeof b); return b; }
V_INLINE vi vi_set(uint32_t a) { return a; }
V_INLINE vr v_from_int(vi a) { return (float)(int32_t)a; }
V_INLINE vi v_to_int(vr a) { return (vi)(int32_t)a; }
V_INLINE vm m_bits(vi a, uint32_t bits) { return (a & bits) != 0; }
#endif

V_INLINE vw w_zero(void) { vw w = {0}; return w; }
V_INLINE vw w_from(vr a) { vw w; w.lo = (double)a; return w; }
V_INLINE vw w_add(vw a, vw b) { a.lo += b.lo; return a; }
V_INLINE vw w_mul(vw a, vw b) { a.lo *= b.lo; return a; }
#if defined(V_HAS_FMA)
V_INLINE vw w_fma(vw a, vw b, vw c) { a.lo = fma(a.lo, b.lo, c.lo); return a; }
#else
V_INLINE vw w_fma(vw a, vw b, vw c) { a.lo = a.lo * b.lo + c.lo; return a; }
#endif
V_INLINE vr w_narrow(vw a) { return (real)a.lo; }
V_INLINE double w_sum(vw a) { return a.lo; }

/* -------------------------------------------------------------- many lanes --- */
#else

typedef float vr __attribute__((vector_size(LANES * 4)));
typedef uint32_t vi __attribute__((vector_size(LANES * 4)));
typedef int32_t vs __attribute__((vector_size(LANES * 4)));
typedef double vd __attribute__((vector_size(LANES * 4))); /* LANES / 2 doubles */
typedef uint64_t vl __attribute__((vector_size(LANES * 4)));
typedef struct { vd lo, hi; } vw;                          /* LANES doubles, for sums */

V_INLINE vr v_set(real a) { return a - (vr){0}; }
V_INLINE vr v_load(const real *p) { vr v; memcpy(&v, p, sizeof v); return v; }
V_INLINE void v_store(real *p, vr v) { memcpy(p, &v, sizeof v); }
V_INLINE vi v_bits(vr a) { return (vi)a; }
V_INLINE vr v_from_bits(vi a) { return (vr)a; }
V_INLINE vi vi_set(uint32_t a) { return a - (vi){0}; }
V_INLINE vr v_from_int(vi a) { return __builtin_convertvector((vs)a, vr); }
V_INLINE vi v_to_int(vr a) { return (vi)__builtin_convertvector(a, vs); } /* towards 0, within int32 */
V_INLINE vr v_abs(vr a) { return (vr)((vi)a & 0x7fffffff); }
V_INLINE vr v_copysign(vr a, vr b)
{
    return (vr)(((vi)a & 0x7fffffff) | ((vi)b & 0x80000000u));
}

#if defined(ET_ISA_AVX512)

typedef __mmask16 vm;
V_INLINE vm m_first(int n) { return (vm)((1u << n) - 1); }
V_INLINE vr v_load_n(const real *p, int n) { return _mm512_maskz_loadu_ps(m_first(n), p); }
V_INLINE void v_store_n(real *p, vr v, int n) { _mm512_mask_storeu_ps(p, m_first(n), v); }
V_INLINE vm v_lt(vr a, vr b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
V_INLINE vm v_le(vr a, vr b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
V_INLINE vm v_eq(vr a, vr b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
V_INLINE vm v_isnan(vr a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
V_INLINE vm m_and(vm a, vm b) { return (vm)(a & b); }
V_INLINE vm m_or(vm a, vm b) { return (vm)(a | b); }
V_INLINE vm m_not(vm a) { return (vm)~a; }
V_INLINE vm m_none(void) { return 0; }
V_INLINE int m_any(vm a) { return a != 0; }
V_INLINE vm m_bits(vi a, uint32_t bits) { return _mm512_test_epi32_mask((__m512i)a, (__m512i)vi_set(bits)); }
V_INLINE vm m_bytes(const uint8_t *p)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm_test_epi8_mask(b, b);
}
V_INLINE vm m_bytes_n(const uint8_t *p, int n)
{
    __m128i b = _mm_maskz_loadu_epi8(m_first(n), p);
    return _mm_test_epi8_mask(b, b);
}
V_INLINE vr v_sel(vm m, vr a, vr b) { return _mm512_mask_blend_ps(m, b, a); }
V_INLINE vr v_min(vr a, vr b) { return _mm512_min_ps(a, b); }
V_INLINE vr v_max(vr a, vr b) { return _mm512_max_ps(a, b); }
V_INLINE vr v_sqrt(vr a) { return _mm512_sqrt_ps(a); }
V_INLINE vr v_fma(vr a, vr b, vr c) { return _mm512_fmadd_ps(a, b, c); }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return _mm512_fnmadd_ps(a, b, c); }
V_INLINE vd vd_fma(vd a, vd b, vd c) { return _mm512_fmadd_pd(a, b, c); }
V_INLINE vw w_from(vr a)
{
    vw w = {_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
    return w;
}
V_INLINE vr w_narrow(vw a)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a.lo)), _mm512_cvtpd_ps(a.hi), 1);
}
/* Folds the sixteen lanes to four, lane i of the result from lanes i, i + 4, ... */
#define V_FOLD(name, op256, op128) \
    V_INLINE __m128 name(vr a) \
    { \
        __m256 h = op256(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)); \
        return op128(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)); \
    }

#elif defined(ET_ISA_AVX2)

typedef vs vm;
V_INLINE vm m_first(int n)
{
    static const int32_t edge[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
    vm m;
    memcpy(&m, edge + LANES - n, sizeof m);
    return m;
}
V_INLINE vr v_load_n(const real *p, int n) { return _mm256_maskload_ps(p, (__m256i)m_first(n)); }
V_INLINE void v_store_n(real *p, vr v, int n) { _mm256_maskstore_ps(p, (__m256i)m_first(n), v); }
V_INLINE int m_any(vm a) { return _mm256_movemask_ps((__m256)a) != 0; }
V_INLINE vr v_sel(vm m, vr a, vr b) { return _mm256_blendv_ps(b, a, (__m256)m); }
V_INLINE vr v_min(vr a, vr b) { return _mm256_min_ps(a, b); }
V_INLINE vr v_max(vr a, vr b) { return _mm256_max_ps(a, b); }
V_INLINE vr v_sqrt(vr a) { return _mm256_sqrt_ps(a); }
V_INLINE vr v_fma(vr a, vr b, vr c) { return _mm256_fmadd_ps(a, b, c); }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return _mm256_fnmadd_ps(a, b, c); }
V_INLINE vd vd_fma(vd a, vd b, vd c) { return _mm256_fmadd_pd(a, b, c); }
V_INLINE vw w_from(vr a)
{
    vw w = {_mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1))};
    return w;
}
V_INLINE vr w_narrow(vw a) { return _mm256_set_m128(_mm256_cvtpd_ps(a.hi), _mm256_cvtpd_ps(a.lo)); }
V_INLINE vm m_bytes(const uint8_t *p)
{
    __m256i b = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return (vm)_mm256_cmpgt_epi32(b, _mm256_setzero_si256());
}
#define V_FOLD(name, op256, op128) \
    V_INLINE __m128 name(vr a) { return op128(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)); }

#else /* four lanes: SSE2 and NEON */

typedef vs vm;
V_INLINE vm m_first(int n) { return (vm){0, 1, 2, 3} < n; }
V_INLINE vr v_load_n(const real *p, int n)
{
    vr v = {0};
    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}
V_INLINE void v_store_n(real *p, vr v, int n) { memcpy(p, &v, (size_t)n * sizeof *p); }

#if defined(ET_ISA_SSE2)
V_INLINE int m_any(vm a) { return _mm_movemask_ps((__m128)a) != 0; }
V_INLINE vr v_sel(vm m, vr a, vr b) { return (vr)(((vs)a & m) | ((vs)b & ~m)); }
V_INLINE vr v_min(vr a, vr b) { return _mm_min_ps(a, b); }
V_INLINE vr v_max(vr a, vr b) { return _mm_max_ps(a, b); }
V_INLINE vr v_sqrt(vr a) { return _mm_sqrt_ps(a); }
V_INLINE vr v_fma(vr a, vr b, vr c) { return a * b + c; }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return c - a * b; }
V_INLINE vd vd_fma(vd a, vd b, vd c) { return a * b + c; }
V_INLINE vw w_from(vr a)
{
    vw w = {_mm_cvtps_pd(a), _mm_cvtps_pd(_mm_movehl_ps(a, a))};
    return w;
}
V_INLINE vr w_narrow(vw a) { return _mm_movelh_ps(_mm_cvtpd_ps(a.lo), _mm_cvtpd_ps(a.hi)); }
V_INLINE vm m_bytes(const uint8_t *p)
{
    int32_t four;
    __m128i b, zero = _mm_setzero_si128();
    memcpy(&four, p, 4);
    b = _mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
    return (vm)_mm_cmpgt_epi32(b, zero);
}
#define V_FOLD(name, op256, op128) V_INLINE __m128 name(vr a) { return a; }
#else
V_INLINE int m_any(vm a) { return vmaxvq_u32((uint32x4_t)a) != 0; }
V_INLINE vr v_sel(vm m, vr a, vr b) { return (vr)vbslq_f32((uint32x4_t)m, (float32x4_t)a, (float32x4_t)b); }
V_INLINE vr v_min(vr a, vr b) { return v_sel((vm)(a < b), a, b); }
V_INLINE vr v_max(vr a, vr b) { return v_sel((vm)(a > b), a, b); }
V_INLINE vr v_sqrt(vr a) { return (vr)vsqrtq_f32((float32x4_t)a); }
V_INLINE vr v_fma(vr a, vr b, vr c) { return (vr)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
V_INLINE vr v_fnma(vr a, vr b, vr c) { return (vr)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
V_INLINE vd vd_fma(vd a, vd b, vd c) { return (vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
V_INLINE vw w_from(vr a)
{
    vw w = {(vd)vcvt_f64_f32(vget_low_f32((float32x4_t)a)), (vd)vcvt_high_f64_f32((float32x4_t)a)};
    return w;
}
V_INLINE vr w_narrow(vw a)
{
    return (vr)vcvt_high_f32_f64(vcvt_f32_f64((float64x2_t)a.lo), (float64x2_t)a.hi);
}
V_INLINE vm m_bytes(const uint8_t *p) { return (vm){p[0], p[1], p[2], p[3]} != 0; }
#endif
#endif

#if !defined(ET_ISA_AVX512)
V_INLINE vm v_lt(vr a, vr b) { return (vm)(a < b); }
V_INLINE vm v_le(vr a, vr b) { return (vm)(a <= b); }
V_INLINE vm v_eq(vr a, vr b) { return (vm)(a == b); }
V_INLINE vm v_isnan(vr a) { return (vm)(a != a); }
V_INLINE vm m_and(vm a, vm b) { return a & b; }
V_INLINE vm m_or(vm a, vm b) { return a | b; }
V_INLINE vm m_not(vm a) { return ~a; }
V_INLINE vm m_none(void) { return (vm){0}; }
V_INLINE vm m_bits(vi a, uint32_t bits) { return (vm)((a & bits) != 0); }
V_INLINE vm m_bytes_n(const uint8_t *p, int n)
{
    uint8_t part[LANES] = {0};
    memcpy(part, p, (size_t)n);
    return m_bytes(part);
}
#endif

/* Sum and extremes over the lanes, in a fixed order: halves are combined until one
 * lane is left. */
#if defined(V_FOLD)
V_FOLD(v_fold_add, _mm256_add_ps, _mm_add_ps)
V_FOLD(v_fold_max, _mm256_max_ps, _mm_max_ps)
V_FOLD(v_fold_min, _mm256_min_ps, _mm_min_ps)
#define V_LAST(name, fold, op, op1) \
    V_INLINE real name(vr a) \
    { \
        __m128 f = fold(a); \
        f = op(f, _mm_movehl_ps(f, f)); \
        return _mm_cvtss_f32(op1(f, _mm_shuffle_ps(f, f, 1))); \
    }
V_LAST(v_hsum, v_fold_add, _mm_add_ps, _mm_add_ss)
V_LAST(v_hmax, v_fold_max, _mm_max_ps, _mm_max_ss)
V_LAST(v_hmin, v_fold_min, _mm_min_ps, _mm_min_ss)
#undef V_LAST
#undef V_FOLD
#else
V_INLINE real v_hsum(vr a) { return (a[0] + a[2]) + (a[1] + a[3]); }
V_INLINE real v_hmax(vr a)
{
    real p = a[0] > a[2] ? a[0] : a[2], q = a[1] > a[3] ? a[1] : a[3];
    return p > q ? p : q;
}
V_INLINE real v_hmin(vr a)
{
    real p = a[0] < a[2] ? a[0] : a[2], q = a[1] < a[3] ? a[1] : a[3];
    return p < q ? p : q;
}
#endif

V_INLINE vw w_zero(void) { vw w = {{0}, {0}}; return w; }
V_INLINE vw w_add(vw a, vw b) { a.lo += b.lo; a.hi += b.hi; return a; }
V_INLINE vw w_mul(vw a, vw b) { a.lo *= b.lo; a.hi *= b.hi; return a; }
V_INLINE vw w_fma(vw a, vw b, vw c)
{
    a.lo = vd_fma(a.lo, b.lo, c.lo);
    a.hi = vd_fma(a.hi, b.hi, c.hi);
    return a;
}
V_INLINE double w_sum(vw a)
{
    vd s = a.lo + a.hi;
    double t[LANES / 2];
    int half;
    memcpy(t, &s, sizeof t);
    for (half = LANES / 4; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            t[i] += t[i + half];
    return t[0];
}

#endif /* LANES > 1 */

/* Runs the statements for each vector of 0..n: `i` is the index of its first element
 * and `k` the number of its elements, LANES in all but the last. LD and ST load and
 * store the vector at i. A last, partial vector goes through the same arithmetic as
 * the others, so an element's result does not depend on where it stands. */
#if LANES > 1
#define EACH(n, ...) \
    do { \
        int64_t i = 0; \
        for (; i <= (n) - LANES; i += LANES) { \
            enum { k = LANES, full = 1 }; \
            __VA_ARGS__ \
        } \
        if (i < (n)) { \
            const int k = (int)((n) - i); \
            enum { full = 0 }; \
            __VA_ARGS__ \
        } \
    } while (0)
#else
#define EACH(n, ...) \
    do { \
        for (int64_t i = 0; i < (n); i++) { \
            enum { k = 1, full = 1 }; \
            __VA_ARGS__ \
        } \
    } while (0)
#endif
#define LD(p) v_load_k((p) + i, k, full)
#define ST(p, v) v_store_k((p) + i, (v), k, full)
#define LDM(p) m_load_k((p) + i, k, full)

V_INLINE vr v_load_k(const real *p, int k, int full) { return full ? v_load(p) : v_load_n(p, k); }
V_INLINE void v_store_k(real *p, vr v, int k, int full)
{
    if (full)
        v_store(p, v);
    else
        v_store_n(p, v, k);
}
V_INLINE vm m_load_k(const uint8_t *p, int k, int full) { return full ? m_bytes(p) : m_bytes_n(p, k); }
/* The first k lanes of v, `other` in the rest. */
V_INLINE vr v_keep_k(vr v, vr other, int k, int full) { return full ? v : v_sel(m_first(k), v, other); }

#endif
