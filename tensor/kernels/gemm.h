/* The inner part of matrix products, for tensor/gemm.c: register tiles, dot products
 * and the packing of B. Included by variant.c, which defines `real` and LANES.
 *
 * A tile of R rows and N vectors of C stays in registers while k runs; one element of A
 * is broadcast against N vectors of B. With gcc 12 an array of vectors spills, so every
 * accumulator has a name of its own, made by the macros below. All tiles add the
 * products of an element in the same order (k ascending, one accumulator), so the bits
 * of an element do not depend on the tile that it falls into. */
#include "tensor/kernels/transpose.h"

#if LANES > 1
typedef real gemm_vec __attribute__((vector_size(LANES * sizeof(real))));
typedef real gemm_vec_u __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#else
typedef real gemm_vec;
typedef real gemm_vec_u;
#endif

/* clang halves 64-byte vectors (and spills) unless it is told that they are meant. */
#if defined(__clang__) && LANES * 4 == 64
#define GEMM_FN __attribute__((min_vector_width(512)))
#else
#define GEMM_FN
#endif

/* Kept out of their callers, where their accumulators would compete for registers. */
#if defined(__GNUC__)
#define GEMM_ALONE __attribute__((noinline))
#else
#define GEMM_ALONE
#endif

#define GEMM_LD(p) ((gemm_vec)(*(const gemm_vec_u *)(p)))
#define GEMM_ST(p, v) (*(gemm_vec_u *)(p) = (v))

/* F(i) for rows 0 .. R-1. */
#define GEMM_ROWS_1(F) F(0)
#define GEMM_ROWS_2(F) GEMM_ROWS_1(F) F(1)
#define GEMM_ROWS_3(F) GEMM_ROWS_2(F) F(2)
#define GEMM_ROWS_4(F) GEMM_ROWS_3(F) F(3)
#define GEMM_ROWS_5(F) GEMM_ROWS_4(F) F(4)
#define GEMM_ROWS_6(F) GEMM_ROWS_5(F) F(5)
#define GEMM_ROWS_7(F) GEMM_ROWS_6(F) F(6)
#define GEMM_ROWS_8(F) GEMM_ROWS_7(F) F(7)
#define GEMM_ROWS_9(F) GEMM_ROWS_8(F) F(8)
#define GEMM_ROWS_10(F) GEMM_ROWS_9(F) F(9)
#define GEMM_ROWS_11(F) GEMM_ROWS_10(F) F(10)
#define GEMM_ROWS_12(F) GEMM_ROWS_11(F) F(11)

/* Element of A in row i: every third row has a pointer, so that three addresses hang on one. */
#define GEMM_A_0 a0[0]
#define GEMM_A_1 a0[rsa]
#define GEMM_A_2 a0[2 * rsa]
#define GEMM_A_3 a3[0]
#define GEMM_A_4 a3[rsa]
#define GEMM_A_5 a3[2 * rsa]
#define GEMM_A_6 a6[0]
#define GEMM_A_7 a6[rsa]
#define GEMM_A_8 a6[2 * rsa]
#define GEMM_A_9 a9[0]
#define GEMM_A_10 a9[rsa]
#define GEMM_A_11 a9[2 * rsa]

/* Accumulators x<row>_<vector>: set to zero, multiply and add, store; by width. */
#define GEMM_ZERO_1(i) gemm_vec x##i##_0 = zero;
#define GEMM_ZERO_2(i) GEMM_ZERO_1(i) gemm_vec x##i##_1 = zero;
#define GEMM_ZERO_3(i) GEMM_ZERO_2(i) gemm_vec x##i##_2 = zero;
#define GEMM_ZERO_4(i) GEMM_ZERO_3(i) gemm_vec x##i##_3 = zero;

#define GEMM_LOAD_1 const gemm_vec b0 = GEMM_LD(bp);
#define GEMM_LOAD_2 GEMM_LOAD_1 const gemm_vec b1 = GEMM_LD(bp + LANES);
#define GEMM_LOAD_3 GEMM_LOAD_2 const gemm_vec b2 = GEMM_LD(bp + 2 * LANES);
#define GEMM_LOAD_4 GEMM_LOAD_3 const gemm_vec b3 = GEMM_LD(bp + 3 * LANES);

#define GEMM_MADD_1(i) x##i##_0 += s * b0;
#define GEMM_MADD_2(i) GEMM_MADD_1(i) x##i##_1 += s * b1;
#define GEMM_MADD_3(i) GEMM_MADD_2(i) x##i##_2 += s * b2;
#define GEMM_MADD_4(i) GEMM_MADD_3(i) x##i##_3 += s * b3;
#define GEMM_FMA_1(i) { const real s = GEMM_A_##i; GEMM_MADD_1(i) }
#define GEMM_FMA_2(i) { const real s = GEMM_A_##i; GEMM_MADD_2(i) }
#define GEMM_FMA_3(i) { const real s = GEMM_A_##i; GEMM_MADD_3(i) }
#define GEMM_FMA_4(i) { const real s = GEMM_A_##i; GEMM_MADD_4(i) }

#define GEMM_EACH_1(F, i) F(i, 0)
#define GEMM_EACH_2(F, i) GEMM_EACH_1(F, i) F(i, 1)
#define GEMM_EACH_3(F, i) GEMM_EACH_2(F, i) F(i, 2)
#define GEMM_EACH_4(F, i) GEMM_EACH_3(F, i) F(i, 3)
#define GEMM_SCALE(i, v) x##i##_##v *= al;
#define GEMM_BETA(i, v) x##i##_##v += be * GEMM_LD(cp + (v) * LANES);
#define GEMM_BIAS(i, v) x##i##_##v += GEMM_LD(bias + (v) * LANES);
#define GEMM_OUT(i, v) GEMM_ST(cp + (v) * LANES, x##i##_##v);
#define GEMM_STORE(i, N)           \
    if (al != 1) {                 \
        GEMM_EACH_##N(GEMM_SCALE, i) \
    }                              \
    if (be != 0) {                 \
        GEMM_EACH_##N(GEMM_BETA, i) \
    }                              \
    if (bias) {                    \
        GEMM_EACH_##N(GEMM_BIAS, i) \
    }                              \
    GEMM_EACH_##N(GEMM_OUT, i)     \
    cp += ldc;
#define GEMM_STORE_1(i) GEMM_STORE(i, 1)
#define GEMM_STORE_2(i) GEMM_STORE(i, 2)
#define GEMM_STORE_3(i) GEMM_STORE(i, 3)
#define GEMM_STORE_4(i) GEMM_STORE(i, 4)

/* Asking for memory ahead of time. Wide vectors leave room for it in each step: a line of C that this tile
 * or the next will be written to (all of this one's from k = 32 on, 64 for tall tiles), and one of A's in the
 * sixteen rows behind the tile or, if A is transposed, of the sixteenth step from here. (C's lines all at
 * once keep those of B waiting, and A's, not asked for, come too late: a tenth of a product whose A and C
 * come from memory.) Rows of A are asked into the second level only: where they are a multiple of a page
 * apart, sixteen lines ahead would push this tile's own out of their one set of eight (a sixth of a product
 * whose k is 3072). */
#if LANES == 16
#define GEMM_WANT_OPEN(R)                             \
    const int64_t mask = csa == 1 ? 15 : 0;           \
    const real *next = a + (csa == 1 ? R * rsa : 16 * csa);
#define GEMM_WANT_FIRST(R, N)
#define GEMM_WANT_ROW(R) (p & (R > 8 ? 15 : 7))
#define GEMM_WANT_VEC(R, N) (p >> (R > 8 ? 4 : 3) & (N > 2 ? 3 : N - 1))
#define GEMM_WANT(R, N)                                                                    \
    __builtin_prefetch(c + GEMM_WANT_ROW(R) * ldc + GEMM_WANT_VEC(R, N) * LANES, 1);       \
    if (mask)                                                                              \
        V_PREFETCH_L2(next + (p & mask) * rsa + (p & ~mask) * csa);                        \
    else                                                                                   \
        V_PREFETCH(next + p * csa);
#else
#define GEMM_WANT_OPEN(R)
#define GEMM_WANT_C(i, v) __builtin_prefetch(c + (i) * ldc + (v) * LANES, 1);
#define GEMM_WANT_1(i) GEMM_EACH_1(GEMM_WANT_C, i)
#define GEMM_WANT_2(i) GEMM_EACH_2(GEMM_WANT_C, i)
#define GEMM_WANT_3(i) GEMM_EACH_3(GEMM_WANT_C, i)
#define GEMM_WANT_4(i) GEMM_EACH_4(GEMM_WANT_C, i)
#define GEMM_WANT_FIRST(R, N) GEMM_ROWS_##R(GEMM_WANT_##N)
#define GEMM_WANT(R, N)
#endif

/* `count` tiles side by side: c[R, count N LANES] = alpha a b + beta c + bias. Element
 * (p, j) of B's tile t is at b + t bstep + p ldb + j. */
#define GEMM_TILE(R, N)                                                                                     \
    GEMM_FN static void gemm_tile_##R##x##N(int64_t count, int64_t k, const void *va, int64_t rsa,          \
                                            int64_t csa, const void *vb, int64_t ldb, int64_t bstep,        \
                                            void *vc, int64_t ldc, double alpha, double beta,               \
                                            const void *vbias)                                              \
    {                                                                                                       \
        const gemm_vec zero = (gemm_vec){0};                                                                \
        const real *a = va, *b = vb, *bias = vbias;                                                         \
        real *c = vc;                                                                                       \
        const real al = (real)alpha, be = (real)beta;                                                       \
        GEMM_WANT_OPEN(R)                                                                                   \
                                                                                                            \
        for (; count > 0; count--) {                                                                        \
            const real *a0 = a, *bp = b;                                                                    \
            const real *a3 = a + (R > 3 ? 3 : 0) * rsa, *a6 = a + (R > 6 ? 6 : 0) * rsa;                    \
            const real *a9 = a + (R > 9 ? 9 : 0) * rsa;                                                     \
            real *cp = c;                                                                                   \
            GEMM_ROWS_##R(GEMM_ZERO_##N)                                                                    \
            GEMM_WANT_FIRST(R, N)                                                                           \
            for (int64_t p = 0; p < k; p++) {                                                               \
                GEMM_WANT(R, N)                                                                             \
                GEMM_LOAD_##N                                                                               \
                GEMM_ROWS_##R(GEMM_FMA_##N)                                                                 \
                bp += ldb;                                                                                  \
                a0 += csa;                                                                                  \
                a3 += csa;                                                                                  \
                a6 += csa;                                                                                  \
                a9 += csa;                                                                                  \
            }                                                                                               \
            (void)a3, (void)a6, (void)a9;                                                                   \
            GEMM_ROWS_##R(GEMM_STORE_##N)                                                                   \
            b += bstep;                                                                                     \
            c += N * LANES;                                                                                 \
            if (bias)                                                                                       \
                bias += N * LANES;                                                                          \
        }                                                                                                   \
    }

/* Tile sizes: 24 accumulators of 32 registers, 12 of 16 (8 without a fused multiply-add, which
 * needs registers for the products). */
#if LANES == 16 || defined(__aarch64__)
#define GEMM_TILES(X)                                                                                   \
    X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 4) X(6, 4)                                                     \
    X(1, 3) X(2, 3) X(3, 3) X(4, 3) X(5, 3) X(6, 3) X(7, 3) X(8, 3)                                     \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2)  \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1)
enum { GEMM_VECS = 4, GEMM_MR_1 = 12, GEMM_MR_2 = 12, GEMM_MR_3 = 8, GEMM_MR_4 = 6, GEMM_MR_FULL = 6,
       GEMM_DOT_ROWS = 4 };
#elif LANES == 8
#define GEMM_TILES(X)                                                                                   \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) X(5, 2) X(6, 2)                                                     \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1)
enum { GEMM_VECS = 2, GEMM_MR_1 = 12, GEMM_MR_2 = 6, GEMM_MR_3 = 0, GEMM_MR_4 = 0, GEMM_MR_FULL = 6,
       GEMM_DOT_ROWS = 2 };
#else
#define GEMM_TILES(X)               \
    X(1, 2) X(2, 2) X(3, 2) X(4, 2) \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1)
enum { GEMM_VECS = 2, GEMM_MR_1 = 8, GEMM_MR_2 = 4, GEMM_MR_3 = 0, GEMM_MR_4 = 0, GEMM_MR_FULL = 4,
       GEMM_DOT_ROWS = 2 };
#endif

GEMM_TILES(GEMM_TILE)

/* --- dot products, for few rows or columns --- */

#if defined(V_SHUFFLES)
typedef real gemm_four_u __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
#if LANES == 16
typedef real gemm_eight __attribute__((vector_size(8 * sizeof(real))));
#endif
#endif

/* Sums of the lanes of four vectors. The order is fixed. */
static inline void gemm_sum4(gemm_vec x0, gemm_vec x1, gemm_vec x2, gemm_vec x3, real out[4])
{
#if defined(V_SHUFFLES)
    gemm_vec y0 = V_ZIP_LOW(x0, x2) + V_ZIP_HIGH(x0, x2), y1 = V_ZIP_LOW(x1, x3) + V_ZIP_HIGH(x1, x3);
    gemm_vec z = V_ZIP_LOW(y0, y1) + V_ZIP_HIGH(y0, y1); /* x0 x1 x2 x3, LANES / 4 times */
#if LANES == 16
    gemm_eight e = __builtin_shufflevector(z, z, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(z, z, 8, 9, 10, 11, 12, 13, 14, 15);
    *(gemm_four_u *)out = __builtin_shufflevector(e, e, 0, 1, 2, 3) +
                          __builtin_shufflevector(e, e, 4, 5, 6, 7);
#elif LANES == 8
    *(gemm_four_u *)out = __builtin_shufflevector(z, z, 0, 1, 2, 3) +
                          __builtin_shufflevector(z, z, 4, 5, 6, 7);
#else
    GEMM_ST(out, z);
#endif
#else
    const gemm_vec x[4] = {x0, x1, x2, x3};
    for (int j = 0; j < 4; j++) {
        real lanes[LANES];
        GEMM_ST(lanes, x[j]);
        for (int w = LANES / 2; w > 0; w /= 2)
            for (int l = 0; l < w; l++)
                lanes[l] += lanes[l + w];
        out[j] = lanes[0];
    }
#endif
}

#define GEMM_DOT_ZERO(i) gemm_vec x##i##_0 = zero, x##i##_1 = zero, x##i##_2 = zero, x##i##_3 = zero;
#define GEMM_DOT_FMA(i)                              \
    {                                                \
        const gemm_vec s = GEMM_LD(a + (i) * lda + p); \
        x##i##_0 += s * b0;                          \
        x##i##_1 += s * b1;                          \
        x##i##_2 += s * b2;                          \
        x##i##_3 += s * b3;                          \
    }
#define GEMM_DOT_SUM(i) gemm_sum4(x##i##_0, x##i##_1, x##i##_2, x##i##_3, sum + 4 * (i));

/* R rows of A against four columns of B (b[0 .. 3], all contiguous along k). */
#define GEMM_DOT(R)                                                                                       \
    GEMM_FN GEMM_ALONE static void gemm_dot_##R(int64_t k, const real *a, int64_t lda, \
                                                const real *const b[4], real *sum) \
    {                                                                                                     \
        const gemm_vec zero = (gemm_vec){0};                                                              \
        int64_t p = 0;                                                                                    \
        GEMM_ROWS_##R(GEMM_DOT_ZERO)                                                                      \
        for (; p + LANES <= k; p += LANES) {                                                              \
            const gemm_vec b0 = GEMM_LD(b[0] + p), b1 = GEMM_LD(b[1] + p);                                \
            const gemm_vec b2 = GEMM_LD(b[2] + p), b3 = GEMM_LD(b[3] + p);                                \
            GEMM_ROWS_##R(GEMM_DOT_FMA)                                                                   \
        }                                                                                                 \
        GEMM_ROWS_##R(GEMM_DOT_SUM)                                                                       \
        for (; p < k; p++)                                                                                \
            for (int i = 0; i < R; i++)                                                                   \
                for (int j = 0; j < 4; j++)                                                               \
                    sum[4 * i + j] += a[i * lda + p] * b[j][p];                                           \
    }
GEMM_DOT(1)
GEMM_DOT(2)
#if LANES == 16 || defined(__aarch64__)
GEMM_DOT(3)
GEMM_DOT(4)
#endif

/* Columns so short, and so many of them (in elements) that they come from memory. */
enum { GEMM_DOT_SHORT = 512, GEMM_DOT_STREAM = 256 * 1024 };

/* As gemm_dot_1, with the same bits, but one column of B after the other. Four short columns read at once are
 * four streams that end before the hardware has seen that they are streams: from memory that took three times
 * as long. */
#define GEMM_DOT_LINE(j)                        \
    gemm_vec x##j = (gemm_vec){0};              \
    for (int64_t p = 0; p + LANES <= k; p += LANES) \
        x##j += GEMM_LD(a + p) * GEMM_LD(b[j] + p);
GEMM_FN GEMM_ALONE static void gemm_dot_lines(int64_t k, const real *a, const real *const b[4], real *sum)
{
    GEMM_DOT_LINE(0)
    GEMM_DOT_LINE(1)
    GEMM_DOT_LINE(2)
    GEMM_DOT_LINE(3)
    gemm_sum4(x0, x1, x2, x3, sum);
    for (int64_t p = k / LANES * LANES; p < k; p++)
        for (int j = 0; j < 4; j++)
            sum[j] += a[p] * b[j][p];
}

/* sum[4 r + l] = row r of x . lines[l], for 1 .. GEMM_DOT_ROWS rows. */
GEMM_FN static void gemm_dot_rows(int rows, int64_t k, const real *x, int64_t ldx, const real *const lines[4],
                                  real *sum)
{
    switch (rows) {
#if LANES == 16 || defined(__aarch64__)
    case 4:
        gemm_dot_4(k, x, ldx, lines, sum);
        break;
    case 3:
        gemm_dot_3(k, x, ldx, lines, sum);
        break;
#endif
    case 2:
        gemm_dot_2(k, x, ldx, lines, sum);
        break;
    default:
        gemm_dot_1(k, x, ldx, lines, sum);
        break;
    }
}

/* Puts rows x w sums where they belong; bias[0] is that of the first, bias[r] of the r-th row when
 * `by_row`, else bias[l] of the l-th sum of each row. */
GEMM_FN GEMM_ALONE static void gemm_dot_store(int rows, int w, const real *sum, real *out, int64_t step_row,
                                              int64_t step, real al, real be, const real *bias, bool by_row)
{
    for (int r = 0; r < rows; r++, sum += 4, out += step_row) {
#if defined(V_SHUFFLES)
        if (w == 4 && step == 1) {
            gemm_four_u v = al * *(const gemm_four_u *)sum;
            if (be != 0)
                v += be * *(const gemm_four_u *)out;
            if (bias && by_row)
                v += bias[r];
            else if (bias)
                v += *(const gemm_four_u *)bias;
            *(gemm_four_u *)out = v;
            continue;
        }
#endif
        real *o = out;
        for (int l = 0; l < w; l++, o += step) {
            real v = al * sum[l];
            if (be != 0)
                v += be * *o;
            if (bias)
                v += bias[by_row ? r : l];
            *o = v;
        }
    }
}

/* C[m, n] = alpha A B + beta C + bias by dot products: rows of A and columns of B are
 * contiguous, lda and ldb apart. Of the two, four of the more numerous are taken at a time. */
static void gemm_dots(int64_t m, int64_t n, int64_t k, const void *va, int64_t lda, const void *vb,
                      int64_t ldb, void *vc, int64_t ldc, double alpha, double beta, const void *vbias)
{
    const bool flip = m > n; /* fours of A's rows against B's columns, else the other way round */
    const real *fours = flip ? va : vb, *ones = flip ? vb : va, *bias = vbias;
    const int64_t n_fours = flip ? m : n, n_ones = flip ? n : m, ld_fours = flip ? lda : ldb;
    const int64_t ld_ones = flip ? ldb : lda, step_fours = flip ? ldc : 1, step_ones = flip ? 1 : ldc;
    const real al = (real)alpha, be = (real)beta;
    const bool stream = n_ones == 1 && k <= GEMM_DOT_SHORT && n_fours * k >= GEMM_DOT_STREAM;
    real *c = vc;

    for (int64_t j = 0; j < n_fours; j += 4) {
        const int w = n_fours - j < 4 ? (int)(n_fours - j) : 4;
        const real *lines[4];
        for (int l = 0; l < 4; l++)
            lines[l] = fours + (j + (l < w ? l : w - 1)) * ld_fours;
        for (int64_t i = 0; i < n_ones; i += GEMM_DOT_ROWS) {
            const int rows = n_ones - i < GEMM_DOT_ROWS ? (int)(n_ones - i) : GEMM_DOT_ROWS;
            real sum[4 * GEMM_DOT_ROWS];
            if (stream)
                gemm_dot_lines(k, ones, lines, sum);
            else
                gemm_dot_rows(rows, k, ones + i * ld_ones, ld_ones, lines, sum);
            gemm_dot_store(rows, w, sum, c + i * step_ones + j * step_fours, step_ones, step_fours, al, be,
                           bias ? bias + (flip ? i : j) : NULL, flip);
        }
    }
}

/* --- packing --- */

/* One panel: out[p][j] = b(p, j) for j < n and 0 for n <= j < width, a multiple of LANES. */
GEMM_FN static void gemm_pack(int64_t k, int64_t n, const void *vb, int64_t rsb, int64_t csb, void *vout,
                              int64_t width)
{
    const real *b = vb;
    real *out = vout;

    if (csb == 1) {
        for (int64_t p = 0; p < k; p++, b += rsb, out += width) {
            int64_t j = 0;
            for (; j + LANES <= n; j += LANES)
                GEMM_ST(out + j, GEMM_LD(b + j));
            for (; j < n; j++)
                out[j] = b[j];
            for (; j < width; j++)
                out[j] = 0;
        }
        return;
    }
    int64_t p = 0;
#if LANES > 1
    if (rsb == 1) { /* some columns to their ends: no more streams than the hardware follows at once; the
                       next ones are asked for meanwhile */
        p = k / LANES * LANES;
        for (int64_t j = 0; j < width; j += LANES)
            for (int64_t q = 0; q < p; q += LANES) {
                for (int64_t i = j + LANES; i < j + 2 * LANES; i++)
                    V_PREFETCH_L2(b + q + i * csb);
                v_transpose(b + q + j * csb, csb, n - j, NULL, out + q * width + j, width);
            }
    }
#endif
    for (; p < k; p++) {
        for (int64_t j = 0; j < n; j++)
            out[p * width + j] = b[p * rsb + j * csb];
        for (int64_t j = n; j < width; j++)
            out[p * width + j] = 0;
    }
}

/* Rows of A for tiles, GEMM_MR_FULL of them side by side and those `step` apart: each p's together. Goes some
 * p deep through all rows before the next, so that a line of a transposed A is fetched once. */
static void gemm_pack_rows(int64_t k, int64_t rows, const void *va, int64_t rsa, int64_t csa, void *vout,
                           int64_t step)
{
    enum { DEEP = 8, AHEAD = 16 };
    const real *a = va;
    real *out = vout;

    for (int64_t p0 = 0; p0 < k; p0 += DEEP) {
        const int64_t p1 = k - p0 < DEEP ? k : p0 + DEEP;
        if (rsa == 1) /* lines far apart: nobody else asks for them early; in the first level those half pages
                         apart would push each other out */
            for (int64_t p = p1; p < p1 + AHEAD && p < k; p++)
                for (int64_t r = 0; r < rows; r += 64 / (int64_t)sizeof(real))
                    V_PREFETCH_L2(a + r + p * csa);
        for (int64_t r = 0; r < rows; r += GEMM_MR_FULL) {
            const int64_t tall = rows - r < GEMM_MR_FULL ? rows - r : GEMM_MR_FULL;
            const real *from = a + r * rsa + p0 * csa;
            real *to = out + r / GEMM_MR_FULL * step + p0 * tall;
            if (rsa == 1 && tall == GEMM_MR_FULL)
                for (int64_t p = p0; p < p1; p++, from += csa, to += GEMM_MR_FULL)
                    memcpy(to, from, GEMM_MR_FULL * sizeof(real));
            else
                for (int64_t p = p0; p < p1; p++, from += csa, to += tall)
                    for (int64_t i = 0; i < tall; i++)
                        to[i] = from[i * rsa];
        }
    }
}

/* The fields of the table. */
#define GEMM_TILE_FIELD(R, N) [N][R] = gemm_tile_##R##x##N,
#define GEMM_TABLE                                                          \
    .gemm_vecs = GEMM_VECS,                                                 \
    .gemm_rows = {0, GEMM_MR_1, GEMM_MR_2, GEMM_MR_3, GEMM_MR_4},           \
    .gemm_tile = {GEMM_TILES(GEMM_TILE_FIELD)},                             \
    .gemm_dots = gemm_dots, .gemm_pack = gemm_pack, .gemm_pack_rows = gemm_pack_rows
