/* Moving reals between vectors: squares of LANES vectors transposed, even and odd places
 * taken apart and put together, the order reversed. */
#ifndef ETUDE_TENSOR_KERNELS_TRANSPOSE_H
#define ETUDE_TENSOR_KERNELS_TRANSPOSE_H

#include "tensor/kernels/vec.h"

#if LANES > 1

#if defined(__clang__) || __GNUC__ >= 12
#define V_SHUFFLE(a, b, ...) __builtin_shufflevector((a), (b), __VA_ARGS__)
#define V_SHUFFLES 1 /* also to other widths */
#else
#define V_SHUFFLE(a, b, ...) __builtin_shuffle((a), (b), (vs){__VA_ARGS__})
#endif

/* LOW and HIGH: in each quarter of 128 bits the lower or upper two of a and b, one by one or two
 * by two. EVEN and ODD: places of both, in order. ZIP: a's and b's in turn. */
#if LANES == 4
#define V_LOW1(a, b) V_SHUFFLE(a, b, 0, 4, 1, 5)
#define V_HIGH1(a, b) V_SHUFFLE(a, b, 2, 6, 3, 7)
#define V_LOW2(a, b) V_SHUFFLE(a, b, 0, 1, 4, 5)
#define V_HIGH2(a, b) V_SHUFFLE(a, b, 2, 3, 6, 7)
#define V_EVEN(a, b) V_SHUFFLE(a, b, 0, 2, 4, 6)
#define V_ODD(a, b) V_SHUFFLE(a, b, 1, 3, 5, 7)
#define V_ZIP_LOW(a, b) V_LOW1(a, b)
#define V_ZIP_HIGH(a, b) V_HIGH1(a, b)
#define V_REVERSE(a) V_SHUFFLE(a, a, 3, 2, 1, 0)
#elif LANES == 8
#define V_LOW1(a, b) V_SHUFFLE(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define V_HIGH1(a, b) V_SHUFFLE(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define V_LOW2(a, b) V_SHUFFLE(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define V_HIGH2(a, b) V_SHUFFLE(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define V_LOW4(a, b) V_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define V_HIGH4(a, b) V_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define V_EVEN(a, b) V_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define V_ODD(a, b) V_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define V_ZIP_LOW(a, b) V_SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define V_ZIP_HIGH(a, b) V_SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define V_REVERSE(a) V_SHUFFLE(a, a, 7, 6, 5, 4, 3, 2, 1, 0)
#elif LANES == 16
#define V_LOW1(a, b) V_SHUFFLE(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define V_HIGH1(a, b) V_SHUFFLE(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define V_LOW2(a, b) V_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define V_HIGH2(a, b) V_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
/* quarters 0 and 2, or 1 and 3, of a, then of b */
#define V_EVEN4(a, b) V_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define V_ODD4(a, b) V_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
#define V_EVEN(a, b) V_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define V_ODD(a, b) V_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define V_ZIP_LOW(a, b) V_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define V_ZIP_HIGH(a, b) V_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define V_REVERSE(a) V_SHUFFLE(a, a, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#endif

/* Transposes the four vectors a .. d in each quarter of 128 bits. */
#define V_SQUARE4(a, b, c, d) \
    do { \
        vr l0 = V_LOW1(a, b), l1 = V_HIGH1(a, b), l2 = V_LOW1(c, d), l3 = V_HIGH1(c, d); \
        a = V_LOW2(l0, l2); \
        b = V_HIGH2(l0, l2); \
        c = V_LOW2(l1, l3); \
        d = V_HIGH2(l1, l3); \
    } while (0)

/* Stores the columns t, t + 4, ... from the vectors that hold their quarters. */
#if LANES == 4
#define V_COLUMNS(t, a) v_store(to + (t) * to_step, a)
#elif LANES == 8
#define V_COLUMNS(t, a, b) \
    do { \
        v_store(to + (t) * to_step, V_LOW4(a, b)); \
        v_store(to + ((t) + 4) * to_step, V_HIGH4(a, b)); \
    } while (0)
#else
#define V_COLUMNS(t, a, b, c, d) \
    do { \
        vr e0 = V_EVEN4(a, b), e1 = V_ODD4(a, b), e2 = V_EVEN4(c, d), e3 = V_ODD4(c, d); \
        v_store(to + (t) * to_step, V_EVEN4(e0, e2)); \
        v_store(to + ((t) + 4) * to_step, V_EVEN4(e1, e3)); \
        v_store(to + ((t) + 8) * to_step, V_ODD4(e0, e2)); \
        v_store(to + ((t) + 12) * to_step, V_ODD4(e1, e3)); \
    } while (0)
#endif

/* to[c][r] = from[r][c] factor[c] (factor may be NULL) for a square of LANES vectors, from_step and to_step
 * apart; rows of `from` from n on count as zero. */
V_INLINE void v_transpose(const real *from, int64_t from_step, int64_t n, const real *factor, real *to,
                          int64_t to_step)
{
#define LINE(i) v_load(from + (i) * from_step)
#define R(i) vr r##i = (i) >= n ? v_set(0) : factor ? LINE(i) * v_load(factor) : LINE(i)
    R(0); R(1); R(2); R(3);
    V_SQUARE4(r0, r1, r2, r3);
#if LANES == 4
    V_COLUMNS(0, r0); V_COLUMNS(1, r1); V_COLUMNS(2, r2); V_COLUMNS(3, r3);
#else
    R(4); R(5); R(6); R(7);
    V_SQUARE4(r4, r5, r6, r7);
#if LANES == 8
    V_COLUMNS(0, r0, r4); V_COLUMNS(1, r1, r5); V_COLUMNS(2, r2, r6); V_COLUMNS(3, r3, r7);
#else
    R(8); R(9); R(10); R(11);
    V_SQUARE4(r8, r9, r10, r11);
    R(12); R(13); R(14); R(15);
    V_SQUARE4(r12, r13, r14, r15);
    V_COLUMNS(0, r0, r4, r8, r12);
    V_COLUMNS(1, r1, r5, r9, r13);
    V_COLUMNS(2, r2, r6, r10, r14);
    V_COLUMNS(3, r3, r7, r11, r15);
#endif
#endif
#undef R
#undef LINE
}

#else /* one lane */

V_INLINE void v_transpose(const real *from, int64_t from_step, int64_t n, const real *factor, real *to,
                          int64_t to_step)
{
    (void)from_step;
    (void)to_step;
    *to = n < 1 ? 0 : factor ? *from * *factor : *from;
}

#endif

/* Where a square that would begin at i begins: so early that it does not reach beyond n, if there is room for
 * one. It moves some of what the one before has moved once more then. */
V_INLINE int64_t square_at(int64_t i, int64_t n, int64_t side)
{
    return n >= side && n - i < side ? n - side : i;
}

#if defined(V_SHUFFLES)
typedef real v4 __attribute__((vector_size(16)));

/* `wide` lines of `high` reals, at most 4 of each; four of each line are read. */
V_INLINE void transpose_four(int wide, int high, const real *from, int64_t ldf, real *to, int64_t ldt)
{
    v4 r[4] = {{0}}, t[4];

    for (int i = 0; i < wide; i++)
        memcpy(&r[i], from + i * ldf, sizeof r[i]);
    for (int i = 0; i < 2; i++) {
        t[i] = V_SHUFFLE(r[2 * i], r[2 * i + 1], 0, 4, 1, 5);
        t[i + 2] = V_SHUFFLE(r[2 * i], r[2 * i + 1], 2, 6, 3, 7);
    }
    for (int i = 0; i < 2; i++) {
        r[2 * i] = V_SHUFFLE(t[2 * i], t[2 * i + 1], 0, 1, 4, 5);
        r[2 * i + 1] = V_SHUFFLE(t[2 * i], t[2 * i + 1], 2, 3, 6, 7);
    }
    for (int i = 0; i < high; i++)
        memcpy(to + i * ldt, &r[i], (size_t)wide * sizeof(real));
}

/* A strip that is too narrow for squares of LANES, by squares of 4. Lines that may be read follow after it:
 * `after` of them. Returns how many of its own are done. */
V_INLINE int64_t transpose_strip(int64_t m, int64_t n, int64_t after, const real *from, int64_t ldf, real *to,
                                 int64_t ldt)
{
    int64_t c = 0;

    for (; c < n && n >= 2 && m >= 4; c += 4)
        for (int64_t r = 0; r < m; r += 4) {
            const int64_t k = square_at(c, n, 4), i = square_at(r, m, 4);
            const real *f = from + k * ldf + i;
            real *t = to + i * ldt + k;
            if (n >= 4) /* numbers known when this is compiled: no calls of memcpy */
                transpose_four(4, 4, f, ldf, t, ldt);
            else if (n == 3)
                transpose_four(3, 4, f, ldf, t, ldt);
            else
                transpose_four(2, 4, f, ldf, t, ldt);
        }
    for (; c + 4 <= n && (n - c - 4 + after) * ldf + m >= 4; c += 4)
        transpose_four(4, (int)m, from + c * ldf, ldf, to + c, ldt);
    return c;
}
#endif

/* to[i ldt + k] = from[k ldf + i] for i < m, k < n, bit by bit. */
static void transpose(int64_t m, int64_t n, const void *vfrom, int64_t ldf, void *vto, int64_t ldt)
{
    enum { SIDE = LANES > 1 ? LANES : 8 };
    const real *from = vfrom;
    real *to = vto;

    for (int64_t c0 = 0; c0 < n; c0 += SIDE)
        for (int64_t r0 = 0; r0 < m; r0 += SIDE) {
            const int64_t k = square_at(c0, n, SIDE), i = square_at(r0, m, SIDE);
            const int64_t wide = n - k < SIDE ? n - k : SIDE, high = m - i < SIDE ? m - i : SIDE;
            if (LANES > 1 && wide == SIDE && high == SIDE) {
                v_transpose(from + k * ldf + i, ldf, LANES, NULL, to + i * ldt + k, ldt);
                continue;
            }
            int64_t c = k;
#if defined(V_SHUFFLES)
            c += transpose_strip(high, wide, n - k - wide, from + k * ldf + i, ldf, to + i * ldt + k, ldt);
#endif
            for (; c < k + wide; c++)
                for (int64_t r = i; r < i + high; r++)
                    memcpy(to + r * ldt + c, from + c * ldf + r, sizeof(real));
        }
}

#endif
