/* The inner part of convolutions, for tensor/conv.c: register tiles over gathered rows, and the
 * gathering. Included by variant.c after gemm.h, whose accumulators and loads these tiles use.
 *
 * A tile is that of a matrix product with one change: the rows of one operand start at offsets
 * that a table gives. Rows for the taps of a kernel that are one column apart are then one gathered
 * row, read from one element further on, and need not be stored once for each tap. */

/* Row i of A against vectors of B, as GEMM_FMA_N, with a pointer for each row of A. */
#define CONV_FMA_1(i) { const real s = q##i[p]; GEMM_MADD_1(i) }
#define CONV_FMA_2(i) { const real s = q##i[p]; GEMM_MADD_2(i) }
#define CONV_FMA_3(i) { const real s = q##i[p]; GEMM_MADD_3(i) }
#define CONV_FMA_4(i) { const real s = q##i[p]; GEMM_MADD_4(i) }
#define CONV_ROW(i) const real *q##i = a + off[i];

/* Accumulators begin with the row's bias. */
#define CONV_BEGIN_1(i) const gemm_vec c##i = zero + (bias ? bias[i] : (real)0); gemm_vec x##i##_0 = c##i;
#define CONV_BEGIN_2(i) CONV_BEGIN_1(i) gemm_vec x##i##_1 = c##i;
#define CONV_BEGIN_3(i) CONV_BEGIN_2(i) gemm_vec x##i##_2 = c##i;
#define CONV_BEGIN_4(i) CONV_BEGIN_3(i) gemm_vec x##i##_3 = c##i;

#define CONV_ADD(i, v) x##i##_##v += GEMM_LD(cp + (v) * LANES);
#define CONV_STORE(i, N)             \
    if (acc) {                       \
        GEMM_EACH_##N(CONV_ADD, i)   \
    }                                \
    GEMM_EACH_##N(GEMM_OUT, i)       \
    cp += ldc;
#define CONV_STORE_1(i) CONV_STORE(i, 1)
#define CONV_STORE_2(i) CONV_STORE(i, 2)
#define CONV_STORE_3(i) CONV_STORE(i, 3)
#define CONV_STORE_4(i) CONV_STORE(i, 4)

/* conv_tile: c[R, count N LANES] (+)= a b + bias[R], element (p, j) of B's tile t at
 * b + off[p] + t N LANES + j.
 * conv_wtile: c[R, count N LANES] (+)= a b, element (i, p) of A at a + off[i] + p, B in packed
 * panels of k rows. */
#define CONV_TILES(R, N)                                                                                    \
    GEMM_FN static void conv_tile_##R##x##N(int64_t count, int64_t k, const void *va, int64_t rsa,          \
                                            const void *vb, const int64_t *off, void *vc, int64_t ldc,      \
                                            const void *vbias, int acc)                                     \
    {                                                                                                       \
        const gemm_vec zero = (gemm_vec){0};                                                                \
        const real *a = va, *b = vb, *bias = vbias;                                                         \
        real *c = vc;                                                                                       \
                                                                                                            \
        for (; count > 0; count--) {                                                                        \
            const real *a0 = a;                                                                             \
            const real *a3 = a + (R > 3 ? 3 : 0) * rsa, *a6 = a + (R > 6 ? 6 : 0) * rsa;                    \
            const real *a9 = a + (R > 9 ? 9 : 0) * rsa;                                                     \
            real *cp = c;                                                                                   \
            GEMM_ROWS_##R(CONV_BEGIN_##N)                                                                   \
            for (int64_t p = 0; p < k; p++) {                                                               \
                const real *bp = b + off[p];                                                                \
                GEMM_LOAD_##N                                                                               \
                GEMM_ROWS_##R(GEMM_FMA_##N)                                                                 \
                a0++;                                                                                       \
                a3++;                                                                                       \
                a6++;                                                                                       \
                a9++;                                                                                       \
            }                                                                                               \
            (void)a3, (void)a6, (void)a9;                                                                   \
            GEMM_ROWS_##R(CONV_STORE_##N)                                                                   \
            b += N * LANES;                                                                                 \
            c += N * LANES;                                                                                 \
        }                                                                                                   \
    }                                                                                                       \
    GEMM_FN static void conv_wtile_##R##x##N(int64_t count, int64_t k, const void *va, const int64_t *off,  \
                                             const void *vb, void *vc, int64_t ldc, int acc)                \
    {                                                                                                       \
        const gemm_vec zero = (gemm_vec){0};                                                                \
        const real *a = va, *bp = vb;                                                                       \
        real *c = vc;                                                                                       \
        GEMM_ROWS_##R(CONV_ROW)                                                                             \
                                                                                                            \
        for (; count > 0; count--) {                                                                        \
            real *cp = c;                                                                                   \
            GEMM_ROWS_##R(GEMM_ZERO_##N)                                                                    \
            for (int64_t p = 0; p < k; p++) {                                                               \
                GEMM_LOAD_##N                                                                               \
                GEMM_ROWS_##R(CONV_FMA_##N)                                                                 \
                bp += N * LANES;                                                                            \
            }                                                                                               \
            GEMM_ROWS_##R(CONV_STORE_##N)                                                                   \
            c += N * LANES;                                                                                 \
        }                                                                                                   \
    }
GEMM_TILES(CONV_TILES)

#if LANES > 1
/* Two vectors that follow each other at p, of which n > 0 elements may be read; zeros behind. */
V_INLINE vr v_load_two(const real *p, int64_t n, vr *second)
{
    *second = n >= 2 * LANES ? v_load(p + LANES) : n > LANES ? v_load_n(p + LANES, (int)n - LANES) : v_set(0);
    return n >= LANES ? v_load(p) : v_load_n(p, (int)n);
}
#endif

#if defined(V_SHUFFLES)
/* conv_gather for steps of 1 and 2: a vector of every row, then the next one; elements t0 .. t1-1 lie
 * within. */
static void conv_gather_lanes(int64_t count, const real *src, int64_t lds, int64_t start, int step, real *dst,
                              int64_t ldd, int64_t n, int64_t t0, int64_t t1)
{
    for (int64_t i = 0; i < n; i += LANES) {
        const int out = n - i < LANES ? (int)(n - i) : LANES;
        const int lo = t0 <= i ? 0 : t0 - i < out ? (int)(t0 - i) : out,
                  hi = t1 <= i ? 0 : t1 - i < out ? (int)(t1 - i) : out;
        const real *in = src + start + (i + lo) * step;
        real *to = dst + i;
        if (hi <= lo) {
            for (int64_t c = 0; c < count; c++, to += ldd)
                v_store_k(to, v_set(0), out, out == LANES);
        } else if (step == 1 && hi == LANES && lo == 0) {
            for (int64_t c = 0; c < count; c++, in += lds, to += ldd)
                v_store(to, v_load(in));
        } else {
            const int64_t read = (hi - lo - 1) * step + 1;
            for (int64_t c = 0; c < count; c++, in += lds, to += ldd) {
                vr b = v_set(0), v = step == 1 ? v_load_n(in, (int)read) : v_load_two(in, read, &b);
                if (step == 2)
                    v = V_EVEN(v, b);
                if (lo > 0)
                    v_store_n(to, v_set(0), lo);
                v_store_k(to + lo, v, out - lo, out - lo == LANES);
            }
        }
    }
}
#endif

/* `count` rows, lds apart in the source and ldd in the destination:
 * out[t] = row[start + t step] where that lies within 0 .. width-1, else 0, for t < n. */
static void conv_gather(int64_t count, const void *vsrc, int64_t lds, int64_t width, int64_t start,
                        int64_t step, void *vdst, int64_t ldd, int64_t n)
{
    const real *src = vsrc;
    real *dst = vdst;
    /* t0 .. t1-1 lie within */
    int64_t t0 = start < 0 ? -start : 0, t1 = width > start ? width - start : 0;

    if (step > 1) {
        t0 = (t0 + step - 1) / step;
        t1 = (t1 + step - 1) / step;
    }

    if (t0 > n)
        t0 = n;
    if (t1 > n)
        t1 = n;
    if (t1 < t0)
        t1 = t0;
#if defined(V_SHUFFLES)
    if (step <= 2) { /* short rows together */
        const int64_t some = n <= 4 * LANES ? count : 1;
        for (; count > 0; count -= some, src += some * lds, dst += some * ldd)
            conv_gather_lanes(some, src, lds, start, (int)step, dst, ldd, n, t0, t1);
        return;
    }
#endif
    for (; count > 0; count--, src += lds, dst += ldd) {
        const real *in = src + start + t0 * step;
        for (int64_t t = 0; t < t0; t++)
            dst[t] = 0;
        for (int64_t t = t0; t < t1; t++, in += step)
            dst[t] = *in;
        for (int64_t t = t1; t < n; t++)
            dst[t] = 0;
    }
}

/* `rows` rows of an image x [h, w], every sh-th from `first` on: dst[r ldd + t] = x[first + r sh][start + t
 * sw], 0 outside, for t < n. */
static void conv_rows(int64_t rows, const void *vx, int64_t h, int64_t w, int64_t first, int64_t sh,
                      int64_t start, int64_t sw, void *vdst, int64_t ldd, int64_t n)
{
    const real *x = vx;
    real *dst = vdst;
    /* r0 .. r1-1 are inside */
    int64_t r0 = first < 0 ? (-first + sh - 1) / sh : 0, r1 = first < h ? (h - first + sh - 1) / sh : 0;

    r0 = r0 < rows ? r0 : rows;
    r1 = r1 < r0 ? r0 : r1 < rows ? r1 : rows;
    if (r0)
        conv_gather(r0, x, 0, 0, 0, 1, dst, ldd, n);
    if (r1 > r0)
        conv_gather(r1 - r0, x + (first + r0 * sh) * w, sh * w, w, start, sw, dst + r0 * ldd, ldd, n);
    if (rows > r1)
        conv_gather(rows - r1, x, 0, 0, 0, 1, dst + r1 * ldd, ldd, n);
}

/* One row of n positions as a row of kw taps sees it in the row x of each of `count` images, `image` apart
 * (not inside: zeros): out[t] = x[start + k + t sw], 0 outside. Lines are ldd apart, those of the next image
 * `next`. Positions t0 .. t1-1, all of whose taps lie within, are a matrix, transposed where steps are
 * long. */
static void conv_taps(int64_t count, const real *x, int64_t image, int64_t width, int inside, int64_t start,
                      int64_t sw, int64_t kw, int64_t n, real *dst, int64_t ldd, int64_t next)
{
    int64_t t0 = start < 0 ? (sw - 1 - start) / sw : 0,
            t1 = width - kw < start ? 0 : (width - kw - start) / sw + 1;

    if (t1 > n)
        t1 = n;
    if (sw <= 2 || !inside || t1 <= t0)
        t0 = t1 = n;
    for (int64_t c = 0; c < count && t0 < t1; c++)
        transpose(kw, t1 - t0, x + c * image + start + t0 * sw, sw, dst + c * next + t0, ldd);
    for (int64_t k = 0; k < kw; k++, dst += ldd) {
        if (t0)
            conv_gather(count, x, image, inside ? width : 0, start + k, sw, dst, next, t0);
        if (t1 < n)
            conv_gather(count, x, image, inside ? width : 0, start + k + t1 * sw, sw, dst + t1, next, n - t1);
    }
}

/* n positions of a grid with rows of ow, from (row, col) on, as each tap (i, k) sees each of `count` images x
 * [h, w]: for position (r, c), out[t] = x[r sh + i - ph][c sw + k - pw], 0 outside. Lines are ldd apart, a
 * tap's behind each other, then the next image's. */
static void conv_lines(int64_t count, const void *vx, int64_t h, int64_t w, int64_t sh, int64_t sw,
                       int64_t kh, int64_t kw, int64_t ph, int64_t pw, int64_t ow, int64_t row, int64_t col,
                       int64_t n, void *vdst, int64_t ldd)
{
    const real *x = vx;
    real *dst = vdst;
    /* the rest of a row, whole rows, part of one */
    const int64_t head = col && n > ow - col ? ow - col : col ? n : 0, whole = (n - head) / ow,
                  tail = n - head - whole * ow;

    if (whole < count || sw > 2) { /* all images' parts of a row together */
        for (int64_t done = 0, some; done < n; done += some, row++, col = 0) {
            some = n - done < ow - col ? n - done : ow - col;
            for (int64_t i = 0; i < kh; i++) {
                const int64_t from = row * sh + i - ph;
                const int inside = from >= 0 && from < h;
                conv_taps(count, x + (inside ? from * w : 0), h * w, w, inside, col * sw - pw, sw, kw, some,
                          dst + i * kw * ldd + done, ldd, kh * kw * ldd);
            }
        }
        return;
    }
    for (; count > 0; count--, x += h * w) /* an image's rows together */
        for (int64_t i = -ph; i < kh - ph; i++)
            for (int64_t k = -pw; k < kw - pw; k++, dst += ldd) {
                const int64_t top = row * sh + i, next = top + (head ? sh : 0);
                if (head)
                    conv_rows(1, x, h, w, top, sh, col * sw + k, sw, dst, ow, head);
                if (whole)
                    conv_rows(whole, x, h, w, next, sh, k, sw, dst + head, ow, ow);
                if (tail)
                    conv_rows(1, x, h, w, next + whole * sh, sh, k, sw, dst + head + whole * ow, ow, tail);
            }
}

#if defined(V_SHUFFLES)
/* out[2 t] += in[t] for t < n; to those between -0 is added, which changes none. */
V_INLINE void conv_scatter_even(const real *in, real *out, int64_t n)
{
    const vr none = v_set((real)-0.0);

    for (; n > 0; n -= LANES, in += LANES, out += 2 * LANES) {
        const vr v = n >= LANES ? v_load(in) : v_load_n(in, (int)n);
        const int64_t wide = 2 * n - 1;
        vr second, first = v_load_two(out, wide, &second);
        first += V_ZIP_LOW(v, none);
        second += V_ZIP_HIGH(v, none);
        v_store_k(out, first, wide < LANES ? (int)wide : LANES, wide >= LANES);
        if (wide > LANES)
            v_store_k(out + LANES, second, wide < 2 * LANES ? (int)wide - LANES : LANES, wide >= 2 * LANES);
    }
}
#endif

/* The way back: row[start + t step] += in[t] where that lies within 0 .. width-1. */
static void conv_scatter(int64_t count, const void *vsrc, int64_t lds, void *vdst, int64_t ldd, int64_t width,
                         int64_t start, int64_t step, int64_t n)
{
    const real *src = vsrc;
    real *dst = vdst;
    const int64_t t0 = start < 0 ? (-start + step - 1) / step : 0;
    int64_t t1 = width > start ? (width - start + step - 1) / step : 0;

    if (t1 > n)
        t1 = n;
    for (; count > 0; count--, src += lds, dst += ldd) {
        if (step == 1) {
            const real *in = src + t0;
            real *out = dst + start + t0;
            EACH(t1 - t0, { ST(out, LD(out) + LD(in)); });
            continue;
        }
#if defined(V_SHUFFLES)
        if (step == 2) {
            conv_scatter_even(src + t0, dst + start + 2 * t0, t1 - t0);
            continue;
        }
#endif
        for (int64_t t = t0; t < t1; t++)
            dst[start + t * step] += src[t];
    }
}

/* --- gradients of small weights, as dot products --- */

/* Sums of the products of some channels' rows with the rows that some taps see stay in registers while
 * positions run. gcc would read a row's vector again for each channel, and these are the reads that cross
 * lines of the cache: HOLD keeps it. The rows of the channels that come next are asked for: their first reads
 * would wait for memory otherwise. */
#if defined(__GNUC__) && defined(ET_ISA_AVX512)
#define CONV_DOT_HOLD(w) __asm__("" : "+v"(w));
#else
#define CONV_DOT_HOLD(w)
#endif
#if defined(__GNUC__)
#define CONV_DOT_WANT(o) __builtin_prefetch(d##o + ahead + p, 0, 2);
#else
#define CONV_DOT_WANT(o)
#endif
#if LANES == 16 || defined(__aarch64__)
enum { CONV_DOT_OUTS = 3, CONV_DOT_TAPS = 9 };
#define CONV_DOT_TILES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9)
#define CONV_DOT_OUT(F) F(0) F(1) F(2)
#define CONV_DOT_SUM(t) gemm_vec s0_##t = zero, s1_##t = zero, s2_##t = zero;
#define CONV_DOT_MADD(t, v) \
    { gemm_vec w = v; CONV_DOT_HOLD(w) s0_##t += w * y0; s1_##t += w * y1; s2_##t += w * y2; }
#define CONV_DOT_GIVE(t) CONV_DOT_GIVE_1(t, 0) CONV_DOT_GIVE_1(t, 1) CONV_DOT_GIVE_1(t, 2)
#else
enum { CONV_DOT_OUTS = 2, CONV_DOT_TAPS = 5 };
#define CONV_DOT_TILES(X) X(1) X(2) X(3) X(4) X(5)
#define CONV_DOT_OUT(F) F(0) F(1)
#define CONV_DOT_SUM(t) gemm_vec s0_##t = zero, s1_##t = zero;
#define CONV_DOT_MADD(t, v) { gemm_vec w = v; CONV_DOT_HOLD(w) s0_##t += w * y0; s1_##t += w * y1; }
#define CONV_DOT_GIVE(t) CONV_DOT_GIVE_1(t, 0) CONV_DOT_GIVE_1(t, 1)
#endif
#define CONV_DOT_ROW(o) const real *d##o = dy + ((o) < outs ? (o) : outs - 1) * ld_out;
#define CONV_DOT_TAP(t) const real *q##t = lines + off[t];
#define CONV_DOT_LD(o) const gemm_vec y##o = GEMM_LD(d##o + p);
#define CONV_DOT_FMA(t) CONV_DOT_MADD(t, GEMM_LD(q##t + p))
#define CONV_DOT_LD_N(o) const gemm_vec y##o = v_load_n(d##o + p, (int)(n - p));
#define CONV_DOT_FMA_N(t) CONV_DOT_MADD(t, v_load_n(q##t + p, (int)(n - p)))
#define CONV_DOT_NEXT(o) d##o += ld_row;
#define CONV_DOT_DOWN(t) q##t += step;
#define CONV_DOT_GIVE_1(t, o) if ((o) < outs) sums[(o) * ld + (t)] += (double)v_hsum(s##o##_##t);

#define CONV_DOT(T)                                                                                         \
    GEMM_FN static void conv_dot_##T(int64_t outs, int64_t rows, int64_t n, const real *dy, int64_t ld_out, \
                                     int64_t ld_row, const real *lines, const int64_t *off, int64_t step,   \
                                     double *sums, int64_t ld)                                              \
    {                                                                                                       \
        const gemm_vec zero = (gemm_vec){0};                                                                \
        const int64_t ahead = CONV_DOT_OUTS * ld_out;                                                       \
        (void)ahead;                                                                                        \
        CONV_DOT_OUT(CONV_DOT_ROW)                                                                          \
        GEMM_ROWS_##T(CONV_DOT_TAP)                                                                         \
        GEMM_ROWS_##T(CONV_DOT_SUM)                                                                         \
        for (; rows > 0; rows--) {                                                                          \
            int64_t p = 0;                                                                                  \
            for (; p + LANES <= n; p += LANES) {                                                            \
                CONV_DOT_OUT(CONV_DOT_WANT)                                                                 \
                CONV_DOT_OUT(CONV_DOT_LD)                                                                   \
                GEMM_ROWS_##T(CONV_DOT_FMA)                                                                 \
            }                                                                                               \
            if (p < n) {                                                                                    \
                CONV_DOT_OUT(CONV_DOT_LD_N)                                                                 \
                GEMM_ROWS_##T(CONV_DOT_FMA_N)                                                               \
            }                                                                                               \
            CONV_DOT_OUT(CONV_DOT_NEXT)                                                                     \
            GEMM_ROWS_##T(CONV_DOT_DOWN)                                                                    \
        }                                                                                                   \
        GEMM_ROWS_##T(CONV_DOT_GIVE)                                                                        \
    }
CONV_DOT_TILES(CONV_DOT)

/* sums[o, t] += the sum over `rows` rows of n positions of dy[o ld_out + r ld_row + q]
 * lines[off[t] + r step + q]. */
static void conv_dots(int64_t outs, int64_t taps, int64_t rows, int64_t n, const void *vdy, int64_t ld_out,
                      int64_t ld_row, const void *lines, const int64_t *off, int64_t step, double *sums)
{
    typedef void dot(int64_t, int64_t, int64_t, const real *, int64_t, int64_t, const real *, const int64_t *,
                     int64_t, double *, int64_t);
#define CONV_DOT_NAME(T) conv_dot_##T,
    static dot *const by_taps[] = {CONV_DOT_TILES(CONV_DOT_NAME)};
#undef CONV_DOT_NAME
    const int64_t groups = (taps + CONV_DOT_TAPS - 1) / CONV_DOT_TAPS;

    for (int64_t o = 0; o < outs; o += CONV_DOT_OUTS)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t t = g * taps / groups, many = (g + 1) * taps / groups - t;
            by_taps[many - 1](outs - o, rows, n, (const real *)vdy + o * ld_out, ld_out, ld_row, lines,
                              off + t, step, sums + o * taps + t, taps);
        }
}

#define CONV_TILE_FIELD(R, N) [N][R] = conv_tile_##R##x##N,
#define CONV_WTILE_FIELD(R, N) [N][R] = conv_wtile_##R##x##N,
#define CONV_TABLE                                    \
    .conv_tile = {GEMM_TILES(CONV_TILE_FIELD)},       \
    .conv_wtile = {GEMM_TILES(CONV_WTILE_FIELD)},     \
    .conv_gather = conv_gather, .conv_rows = conv_rows, .conv_lines = conv_lines, \
    .conv_scatter = conv_scatter, .conv_dots = conv_dots
