/* The transforms of tensor/conv_winograd.c. Included by variant.c after gemm.h.
 *
 * With g a kernel of 3 x 3, d a patch of 4 x 4 and y the 2 x 2 results that it gives (Winograd 1980; Lavin
 * and Gray 2016, arXiv 1509.09308):
 *
 *   y = A' ((G g G') . (B' d B)) A
 *
 *   B' = 1  0 -1  0    G =  1    0    0    A' = 1  1  1  0
 *        0  1  1  0        1/2  1/2  1/2        0  1 -1 -1
 *        0 -1  1  0        1/2 -1/2  1/2
 *        0  1  0 -1         0    0    1
 *
 * Along one axis alone it is y = A' ((G g) . (B' d)).
 *
 * Patches of a row of tiles lie side by side, LANES of them go through a transform at once. Vectors that
 * reach beyond the end of a row are stored whole: what is too much is overwritten by the next row's, or is
 * room between channels. */

/* even[t] = row[start + 2 t], odd[t] = row[start + 2 t + 1],
 * 0 outside row[0 .. width), for t < n; both have room for n + LANES. */
static void wino_split(const real *row, int64_t width, int64_t start, int64_t n, real *even, real *odd)
{
    int64_t t = 0, inside = width > start ? (width - start) / 2 : 0;

    if (inside > n)
        inside = n;
    for (; t < n && start + 2 * t < 0; t++) {
        const int64_t p = start + 2 * t;
        even[t] = 0;
        odd[t] = p + 1 >= 0 && p + 1 < width ? row[p + 1] : 0;
    }
#if defined(V_SHUFFLES)
    for (; t < inside; t += LANES) {
        vr b;
        const vr a = v_load_two(row + start + 2 * t, 2 * (inside - t), &b);
        v_store(even + t, V_EVEN(a, b));
        v_store(odd + t, V_ODD(a, b));
    }
    if (t > inside)
        t = inside;
#else
    for (; t < inside; t++) {
        even[t] = row[start + 2 * t];
        odd[t] = row[start + 2 * t + 1];
    }
#endif
    for (; t < n; t++) {
        const int64_t p = start + 2 * t;
        even[t] = p >= 0 && p < width ? row[p] : 0;
        odd[t] = 0;
    }
}

/* B' d, for the columns and then for the rows of d. */
#define WINO_B(o, a, b, c, d) const vr o##0 = (a) - (c), o##1 = (b) + (c), o##2 = (c) - (b), o##3 = (b) - (d);
#define WINO_DOWN(j) WINO_B(v##j, r0_##j, r1_##j, r2_##j, r3_##j)
#define WINO_PUT(i, j) v_store(to + (4 * (i) + (j)) * s->step, v##j##i);
#define WINO_PUT_ROW(i) WINO_PUT(i, 0) WINO_PUT(i, 1) WINO_PUT(i, 2) WINO_PUT(i, 3)
#define WINO_ACROSS(I)                                                                              \
    const real *e##I = line + 2 * (I) * ld + i;                                                     \
    const vr a##I = v_load(e##I), b##I = v_load(e##I + ld), c##I = v_load(e##I + 1);                \
    const vr d##I = v_load(e##I + ld + 1);                                                          \
    const vr r##I##_0 = a##I - c##I, r##I##_1 = b##I + c##I, r##I##_2 = c##I - b##I, r##I##_3 = b##I - d##I;

static void wino_input(const et_winograd *s, int64_t channels, const void *vx, void *vlines, void *vv)
{
    const int64_t ld = WINO_LINE(s->cols, LANES), n = s->cols + 1;
    const real *x = vx;
    real *lines = vlines, *v = vv;

    memset(lines, 0, (size_t)(4 * (s->rows + 1) * ld) * sizeof(real));
    for (int64_t c = 0; c < channels; c++, x += s->h * s->w, v += s->ld) {
        for (int64_t r = 0; r < 2 * s->rows + 2; r++) {
            const int64_t y = 2 * s->row0 + r - s->ph;
            const bool inside = y >= 0 && y < s->h;
            wino_split(inside ? x + y * s->w : x, inside ? s->w : 0, -s->pw, n, lines + 2 * r * ld,
                       lines + (2 * r + 1) * ld);
        }
        for (int64_t q = 0; q < s->rows; q++) {
            const real *line = lines + 4 * q * ld;
            for (int64_t i = 0; i < s->cols; i += LANES) {
                real *to = v + q * s->cols + i;
                WINO_ACROSS(0)
                WINO_ACROSS(1)
                WINO_ACROSS(2)
                WINO_ACROSS(3)
                WINO_DOWN(0)
                WINO_DOWN(1)
                WINO_DOWN(2)
                WINO_DOWN(3)
                WINO_PUT_ROW(0)
                WINO_PUT_ROW(1)
                WINO_PUT_ROW(2)
                WINO_PUT_ROW(3)
            }
        }
        for (int64_t k = 0; k < 16; k++)
            v_store(v + k * s->step + s->rows * s->cols, v_set(0));
    }
}

/* The first n of two vectors that are interleaved, added to what is there where acc is set. */
V_INLINE void wino_store(real *to, vr even, vr odd, int64_t n, int acc)
{
#if defined(V_SHUFFLES)
    const vr parts[2] = {V_ZIP_LOW(even, odd), V_ZIP_HIGH(even, odd)};

    for (int p = 0; p < 2 && n > 0; p++, to += LANES, n -= LANES) {
        const int k = n < LANES ? (int)n : LANES;
        const vr old = acc ? v_load_k(to, k, k == LANES) : v_set(0);
        v_store_k(to, acc ? parts[p] + old : parts[p], k, k == LANES);
    }
#else
    real a[LANES], b[LANES];

    v_store(a, even);
    v_store(b, odd);
    for (int64_t t = 0; t < n && t < 2 * LANES; t++) {
        const real value = t % 2 ? b[t / 2] : a[t / 2];
        to[t] = acc ? to[t] + value : value;
    }
#endif
}

#define WINO_GET(i) const vr m##i = v_load(from + (i) * s->step);
#define WINO_A(o, a, b, c, d) const vr o##0 = (a) + (b) + (c), o##1 = (b) - (c) - (d);

static void wino_output(const et_winograd *s, int64_t channels, const void *vm_, const void *vbias, int acc,
                        void *vy)
{
    const real *m = vm_, *bias = vbias;
    real *y = vy;

    for (int64_t c = 0; c < channels; c++, m += s->ld, y += s->oh * s->ow) {
        const vr shift = v_set(bias ? bias[c] : 0);
        for (int64_t q = 0; q < s->rows; q++) {
            const int64_t row = 2 * (s->row0 + q);
            for (int64_t i = 0; i < s->cols; i += LANES) {
                const real *from = m + q * s->cols + i;
                real *to = y + row * s->ow + 2 * i;
                const int64_t n = s->ow - 2 * i;
                WINO_GET(0) WINO_GET(1) WINO_GET(2) WINO_GET(3)
                WINO_GET(4) WINO_GET(5) WINO_GET(6) WINO_GET(7)
                WINO_GET(8) WINO_GET(9) WINO_GET(10) WINO_GET(11)
                WINO_GET(12) WINO_GET(13) WINO_GET(14) WINO_GET(15)
                WINO_A(p0, m0, m4, m8, m12)
                WINO_A(p1, m1, m5, m9, m13)
                WINO_A(p2, m2, m6, m10, m14)
                WINO_A(p3, m3, m7, m11, m15)
                WINO_A(u, p00, p10, p20, p30)
                WINO_A(l, p01, p11, p21, p31)
                wino_store(to, u0 + shift, u1 + shift, n, acc);
                if (row + 1 < s->oh)
                    wino_store(to + s->ow, l0 + shift, l1 + shift, n, acc);
            }
        }
    }
}

/* G g: three rows or columns give four. */
#define WINO_G(o, a, b, c)                                                                    \
    const vr o##0 = (a), o##s = half * ((a) + (c)), o##h = half * (b), o##1 = o##s + o##h;    \
    const vr o##2 = o##s - o##h, o##3 = (c);
#define WINO_U(i, j) v_store_k(to + (4 * (i) + (j)) * step, f##i##j, n, n == LANES);
#define WINO_G_ROW(i)                              \
    WINO_G(f##i, k0##i, k1##i, k2##i)              \
    WINO_U(i, 0) WINO_U(i, 1) WINO_U(i, 2) WINO_U(i, 3)

/* part[t][k] = tap t of n kernels that are `step` apart, zeros behind; elements before `end` may be read. */
V_INLINE void wino_taps(const real *from, int64_t step, const real *end, int taps, int n, real (*part)[LANES])
{
    if (LANES > 1 && n == LANES && end - from >= (LANES - 1) * step + (taps + LANES - 1) / LANES * LANES) {
        for (int t = 0; t < taps; t += LANES)
            v_transpose(from + t, step, LANES, NULL, part[t], LANES);
        return;
    }
    for (int t = 0; t < taps; t++)
        for (int k = 0; k < LANES; k++)
            part[t][k] = k < n ? from[k * step + t] : 0;
}

/* For LANES inputs at a time, in the order in which the kernels lie: part[t] of output o and inputs from c on
 * is tap t, `tap` the first of them as the convolution meets them and `next` from one to the next. */
#define WINO_EACH_WEIGHT(TAPS, ...)                                                                      \
    const int64_t groups = (in + LANES - 1) / LANES;                                                     \
    const vr half = v_set((real)0.5);                                                                    \
    const real *first = w->w;                                                                            \
    real part[TAPS + LANES][LANES];                                                                      \
    const real *tap = part[w->turned ? TAPS - 1 : 0];                                                    \
    const int next = w->turned ? -LANES : LANES;                                                         \
    for (int64_t i = 0; i < outs * groups; i++) {                                                        \
        const int64_t o = w->turned ? i % outs : i / groups;                                             \
        const int64_t c = (w->turned ? i / outs : i % groups) * LANES;                                   \
        const int n = in - c < LANES ? (int)(in - c) : LANES;                                            \
        real *to = (real *)vu + o * in + c;                                                              \
        wino_taps(first + o * w->out_step + c * w->in_step, w->in_step, first + w->size, TAPS, n, part); \
        __VA_ARGS__                                                                                      \
    }
#define WINO_TAP(t) v_load(tap + (t) * next)

static void wino_weights(int64_t outs, int64_t in, const et_winograd_weights *w, void *vu, int64_t step)
{
    WINO_EACH_WEIGHT(9,
        /* columns j of the kernel, f<j>: rows 0 .. 3; then the rows */
        WINO_G(k0, WINO_TAP(0), WINO_TAP(3), WINO_TAP(6))
        WINO_G(k1, WINO_TAP(1), WINO_TAP(4), WINO_TAP(7))
        WINO_G(k2, WINO_TAP(2), WINO_TAP(5), WINO_TAP(8))
        WINO_G_ROW(0)
        WINO_G_ROW(1)
        WINO_G_ROW(2)
        WINO_G_ROW(3))
}

/* --- one axis: 3 taps, patches of 4, tiles of 2 --- */

static void wino1_input(const et_winograd *s, int64_t channels, const void *vx, void *vlines, void *vv)
{
    const int64_t ld = WINO_LINE(s->cols, LANES);
    const real *x = vx;
    real *even = vlines, *odd = even + ld, *v = vv;

    memset(even, 0, (size_t)(2 * ld) * sizeof(real));
    for (int64_t c = 0; c < channels; c++, x += s->w, v += s->ld) {
        wino_split(x, s->w, 2 * s->col0 - s->pw, s->cols + 1, even, odd);
        for (int64_t i = 0; i < s->cols; i += LANES) {
            real *to = v + i;
            WINO_B(d, v_load(even + i), v_load(odd + i), v_load(even + i + 1), v_load(odd + i + 1))
            v_store(to, d0);
            v_store(to + s->step, d1);
            v_store(to + 2 * s->step, d2);
            v_store(to + 3 * s->step, d3);
        }
        for (int64_t k = 0; k < 4; k++)
            v_store(v + k * s->step + s->cols, v_set(0));
    }
}

static void wino1_output(const et_winograd *s, int64_t channels, const void *vm_, const void *vbias, int acc,
                         void *vy)
{
    const int64_t from = 2 * s->col0, end = 2 * (s->col0 + s->cols);
    const int64_t n = (end < s->ow ? end : s->ow) - from;
    const real *m = vm_, *bias = vbias;
    real *y = (real *)vy + from;

    for (int64_t c = 0; c < channels; c++, m += s->ld, y += s->ow) {
        const vr shift = v_set(bias ? bias[c] : 0);
        for (int64_t i = 0; i < s->cols; i += LANES) {
            const real *in = m + i;
            WINO_A(r, v_load(in), v_load(in + s->step), v_load(in + 2 * s->step), v_load(in + 3 * s->step))
            wino_store(y + 2 * i, r0 + shift, r1 + shift, n - 2 * i, acc);
        }
    }
}

static void wino1_weights(int64_t outs, int64_t in, const et_winograd_weights *w, void *vu, int64_t step)
{
    WINO_EACH_WEIGHT(3,
        WINO_G(f0, WINO_TAP(0), WINO_TAP(1), WINO_TAP(2))
        WINO_U(0, 0) WINO_U(0, 1) WINO_U(0, 2) WINO_U(0, 3))
}

#define WINO_TABLE                                          \
    .winograd = {[1] = {wino1_input, wino1_output, wino1_weights}, \
                 [2] = {wino_input, wino_output, wino_weights}}
