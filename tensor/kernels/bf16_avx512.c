/* Products of bfloat16 by VDPBF16PS, which adds two products to each of sixteen sums. The tile is 8
 * rows by 3 vectors: 24 sums, 3 vectors of B and a pair of A in each lane are 28 of 32 registers. */
#include "config.h"

#include <immintrin.h>
#include <math.h>

#include "tensor/bf16.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = ET_BF16_LANES, ROWS = ET_BF16_ROWS };

extern const et_bf16_kernels et_bf16_avx512;

/* --- packing -------------------------------------------------------------------------------- */

/* Elements at .. at + n - 1 from p, widened to float32; zero beyond sixteen or n. */
INLINE __m512 load(et_dtype from, const void *p, int64_t at, int64_t n)
{
    const __mmask16 m = n >= LANES ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);

    if (from == ET_F32)
        return _mm512_maskz_loadu_ps(m, (const float *)p + at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, (const uint16_t *)p + at)), 16));
}

/* The elements of a, then those of b, rounded to the nearest bfloat16, ties to even: sixteen words of two. */
INLINE __m512i rounded(__m512 a, __m512 b) { return (__m512i)_mm512_cvtne2ps_pbh(b, a); }

/* Lines side by side: element q of all of them is one load. */
INLINE void pack_across(et_dtype from, int64_t k, int64_t lines, const void *src, int64_t ks, uint32_t *out,
                        int64_t step)
{
    const __m512i paired = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                            7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);

    for (int64_t q = 0; q < k; q += 2) {
        const __m512 even = load(from, src, q * ks, lines);
        const __m512 odd = load(from, src, (q + 1) * ks, q + 1 < k ? lines : 0);
        _mm512_storeu_si512(out + q / 2 * step, _mm512_permutexvar_epi16(paired, rounded(even, odd)));
    }
}

/* Turns sixteen rows of sixteen words. */
INLINE void transpose(__m512i r[LANES])
{
    __m512i t[LANES];

    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < LANES; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < LANES; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}

/* Lines along k: sixteen pairs of each are read, and turned. */
INLINE void pack_along(et_dtype from, int64_t k, int64_t lines, const void *src, int64_t ls, uint32_t *out,
                       int64_t step)
{
    for (int64_t q = 0; q < k; q += 2 * LANES) {
        const int64_t pairs = (k - q + 1) / 2 < LANES ? (k - q + 1) / 2 : LANES;
        __m512i r[LANES];

        for (int j = 0; j < LANES; j++) { /* the sixteen lines after these are asked for meanwhile */
            const char *next = (const char *)src + ((LANES + j) * ls + q) * (from == ET_F32 ? 4 : 2);
            _mm_prefetch(next, _MM_HINT_T1);
            if (from == ET_F32)
                _mm_prefetch(next + 64, _MM_HINT_T1);
        }
        for (int j = 0; j < LANES; j++) {
            const int64_t n = j < lines ? k - q : 0;
            r[j] = rounded(load(from, src, j * ls + q, n), load(from, src, j * ls + q + LANES, n - LANES));
        }
        transpose(r);
        for (int64_t p = 0; p < pairs; p++)
            _mm512_storeu_si512(out + (q / 2 + p) * step, r[p]);
    }
}

/* One element, rounded; of float32 a subnormal number is zero, as it is to the instruction that rounds. */
static uint32_t bits(et_dtype from, const void *p, int64_t at)
{
    if (from == ET_BF16)
        return ((const uint16_t *)p)[at];
    const float x = ((const float *)p)[at];
    return et_f32_to_bf16(fpclassify(x) == FP_SUBNORMAL ? copysignf(0, x) : x);
}

static void pack(et_dtype from, int64_t k, int64_t lines, const void *src, int64_t ls, int64_t ks,
                 uint32_t *out, int64_t step)
{
    if (ks == 1 && from == ET_F32) {
        pack_along(ET_F32, k, lines, src, ls, out, step);
    } else if (ks == 1) {
        pack_along(ET_BF16, k, lines, src, ls, out, step);
    } else if (ls == 1 && from == ET_F32) {
        pack_across(ET_F32, k, lines, src, ks, out, step);
    } else if (ls == 1) {
        pack_across(ET_BF16, k, lines, src, ks, out, step);
    } else {
        for (int64_t q = 0; q < k; q += 2)
            for (int64_t j = 0; j < LANES; j++) {
                uint32_t even = j < lines ? bits(from, src, j * ls + q * ks) : 0;
                uint32_t odd = j < lines && q + 1 < k ? bits(from, src, j * ls + (q + 1) * ks) : 0;
                out[q / 2 * step + j] = even | odd << 16;
            }
    }
}

/* --- the tile ------------------------------------------------------------------------------------ */

INLINE void finish(__m512 sum, float *c, __mmask16 m, float alpha, float beta, const float *bias)
{
    if (alpha != 1)
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(alpha));
    if (bias)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(m, bias));
    if (beta != 0)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(beta), _mm512_maskz_loadu_ps(m, c), sum);
    if (m == 0xffff)
        _mm512_storeu_ps(c, sum);
    else
        _mm512_mask_storeu_ps(c, m, sum);
}

#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

/* vecs is a constant wherever this is inlined: sums of vectors beyond it go away. */
INLINE void tile_of(int vecs, int64_t rows, int64_t cols, int64_t pairs, const uint32_t *a, const uint32_t *b,
                    float *c, int64_t ldc, float alpha, float beta, const float *bias)
{
    const __mmask16 last = (__mmask16)(0xffffu >> (vecs * LANES - cols));
#define ZERO(i) __m512 s##i##0 = _mm512_setzero_ps(), s##i##1 = s##i##0, s##i##2 = s##i##0;
    EACH_ROW(ZERO)
#undef ZERO

    for (int64_t p = 0; p < pairs; p++) {
        __builtin_prefetch(c + (p & 7) * ldc + (p >> 3 & 3) * LANES, 1);
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        const __m512bh b1 = vecs > 1 ? (__m512bh)_mm512_loadu_si512(b + LANES) : b0;
        const __m512bh b2 = vecs > 2 ? (__m512bh)_mm512_loadu_si512(b + 2 * LANES) : b0;
#define ADD(i)                                                              \
    {                                                                       \
        const __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[i]);          \
        s##i##0 = _mm512_dpbf16_ps(s##i##0, x, b0);                         \
        if (vecs > 1)                                                       \
            s##i##1 = _mm512_dpbf16_ps(s##i##1, x, b1);                     \
        if (vecs > 2)                                                       \
            s##i##2 = _mm512_dpbf16_ps(s##i##2, x, b2);                     \
    }
        EACH_ROW(ADD)
#undef ADD
        a += LANES;
        b += vecs * LANES;
    }
#define DONE(i)                                                                                              \
    if (i < rows) {                                                                                          \
        float *row = c + i * ldc;                                                                            \
        finish(s##i##0, row, vecs > 1 ? 0xffff : last, alpha, beta, bias);                                   \
        if (vecs > 1)                                                                                        \
            finish(s##i##1, row + LANES, vecs > 2 ? 0xffff : last, alpha, beta, bias ? bias + LANES : NULL); \
        if (vecs > 2)                                                                                        \
            finish(s##i##2, row + 2 * LANES, last, alpha, beta, bias ? bias + 2 * LANES : NULL);             \
    }
    EACH_ROW(DONE)
#undef DONE
}

static void tile(int64_t rows, int64_t cols, int64_t pairs, const uint32_t *a, const uint32_t *b, float *c,
                 int64_t ldc, float alpha, float beta, const float *bias)
{
    if (cols > 2 * LANES)
        tile_of(3, rows, cols, pairs, a, b, c, ldc, alpha, beta, bias);
    else if (cols > LANES)
        tile_of(2, rows, cols, pairs, a, b, c, ldc, alpha, beta, bias);
    else
        tile_of(1, rows, cols, pairs, a, b, c, ldc, alpha, beta, bias);
}

_Static_assert(ROWS == 8 && ET_BF16_COLS == 3 * LANES, "what EACH_ROW and tile are written for");

const et_bf16_kernels et_bf16_avx512 = {.pack = pack, .tile = tile};
