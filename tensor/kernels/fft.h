/* Fourier transforms of LANES sequences side by side, and what spectra are made with.
 *
 * A "row" is LANES reals, one of each sequence; a complex row is a row of real parts and one of
 * imaginary parts. On rows every step is plain arithmetic of whole vectors. A single sequence
 * comes to the same by Cooley and Tukey's first step: its N = LANES M numbers are LANES
 * interleaved sequences of M, side by side already; twiddles, a transposition and M transforms
 * of length LANES, on rows again, remain (fft_one).
 *
 * Passes decimate in frequency, in place: X[k] ends at the place whose digits are k's in
 * reversed order, which the plan lists (datasets/fft.c) and readers look up. */
#ifndef ETUDE_TENSOR_KERNELS_FFT_H
#define ETUDE_TENSOR_KERNELS_FFT_H

#include "tensor/kernels/transpose.h"

typedef struct vc { vr re, im; } vc;

V_INLINE vc c_load(const real *row) { return (vc){v_load(row), v_load(row + LANES)}; }
V_INLINE void c_store(real *row, vc a)
{
    v_store(row, a.re);
    v_store(row + LANES, a.im);
}
V_INLINE vc c_add(vc a, vc b) { return (vc){a.re + b.re, a.im + b.im}; }
V_INLINE vc c_sub(vc a, vc b) { return (vc){a.re - b.re, a.im - b.im}; }
V_INLINE vc c_mul(vc a, vr re, vr im)
{
    return (vc){v_fnma(a.im, im, a.re * re), v_fma(a.im, re, a.re * im)};
}
V_INLINE vc c_turn(vc a) { return (vc){a.im, -a.re}; } /* -i a */
/* Row to[0], times the twiddle w = (re, im) where there is one. */
V_INLINE void c_put(real *row, vc a, const real *w, int turned)
{
    c_store(row, turned ? c_mul(a, v_set(w[0]), v_set(w[1])) : a);
}

/* --- butterflies: radix rows, `step` reals apart; radix - 1 twiddles where `turned` --- */

V_INLINE void fft_2(real *z, int64_t step, const real *w, int turned)
{
    vc a = c_load(z), b = c_load(z + step);
    c_store(z, c_add(a, b));
    c_put(z + step, c_sub(a, b), w, turned);
}

V_INLINE void fft_four(vc *a, vc *b, vc *c, vc *d)
{
    vc p = c_add(*a, *c), q = c_sub(*a, *c), r = c_add(*b, *d), s = c_turn(c_sub(*b, *d));
    *a = c_add(p, r);
    *b = c_add(q, s);
    *c = c_sub(p, r);
    *d = c_sub(q, s);
}

V_INLINE void fft_4(real *z, int64_t step, const real *w, int turned)
{
    vc a = c_load(z), b = c_load(z + step), c = c_load(z + 2 * step), d = c_load(z + 3 * step);
    fft_four(&a, &b, &c, &d);
    c_store(z, a);
    c_put(z + step, b, w, turned);
    c_put(z + 2 * step, c, w + 2, turned);
    c_put(z + 3 * step, d, w + 4, turned);
}

V_INLINE void fft_8(real *z, int64_t step, const real *w, int turned)
{
    const vr h = v_set((real)0.70710678118654752440);
    vc a = c_load(z), c = c_load(z + 2 * step), e = c_load(z + 4 * step), g = c_load(z + 6 * step);
    fft_four(&a, &c, &e, &g);
    vc b = c_load(z + step), d = c_load(z + 3 * step), f = c_load(z + 5 * step), i = c_load(z + 7 * step);
    fft_four(&b, &d, &f, &i);
    d = (vc){(d.re + d.im) * h, (d.im - d.re) * h};
    f = c_turn(f);
    i = (vc){(i.im - i.re) * h, (i.re + i.im) * -h};
    c_store(z, c_add(a, b));
    c_put(z + 4 * step, c_sub(a, b), w + 6, turned);
    c_put(z + step, c_add(c, d), w, turned);
    c_put(z + 5 * step, c_sub(c, d), w + 8, turned);
    c_put(z + 2 * step, c_add(e, f), w + 2, turned);
    c_put(z + 6 * step, c_sub(e, f), w + 10, turned);
    c_put(z + 3 * step, c_add(g, i), w + 4, turned);
    c_put(z + 7 * step, c_sub(g, i), w + 12, turned);
}

/* An odd radix p, by sums and differences of the rows r and p - r. roots: (cos, sin) of 2 pi j / p. */
V_INLINE void fft_odd(int p, real *z, int64_t step, const real *w, int turned, const real *roots)
{
    vc sum[ET_FFT_RADIX / 2], diff[ET_FFT_RADIX / 2], first = c_load(z), total = first;
    const int half = p / 2;

    for (int r = 0; r < half; r++) {
        vc a = c_load(z + (r + 1) * step), b = c_load(z + (p - 1 - r) * step);
        sum[r] = c_add(a, b);
        diff[r] = c_sub(a, b);
        total = c_add(total, sum[r]);
    }
    c_store(z, total);
    for (int k = 1; k <= half; k++) {
        vc even = first, odd = {v_set(0), v_set(0)};
        for (int r = 0, j = 0; r < half; r++) {
            j += k;
            j -= j >= p ? p : 0;
            vr c = v_set(roots[2 * j]), s = v_set(roots[2 * j + 1]);
            even = (vc){v_fma(sum[r].re, c, even.re), v_fma(sum[r].im, c, even.im)};
            odd = (vc){v_fma(diff[r].re, s, odd.re), v_fma(diff[r].im, s, odd.im)};
        }
        odd = c_turn(odd);
        c_put(z + k * step, c_add(even, odd), w + 2 * (k - 1), turned);
        c_put(z + (p - k) * step, c_sub(even, odd), w + 2 * (p - k - 1), turned);
    }
}

/* All butterflies of a pass: blocks of radix m rows, m butterflies each. */
#define FFT_EACH(radix, call) \
    do { \
        const int64_t step = m * 2 * LANES; \
        if (m == 1) \
            for (int64_t b = 0; b < blocks; b++, z += (radix) * step) { \
                enum { turned = 0 }; \
                call; \
            } \
        else \
            for (int64_t b = 0; b < blocks; b++, z += ((radix) - 1) * step) { \
                const real *w = twiddles; \
                for (int64_t j = 0; j < m; j++, z += 2 * LANES, w += 2 * ((radix) - 1)) { \
                    enum { turned = 1 }; \
                    call; \
                } \
            } \
    } while (0)

static void fft_pass(int radix, int64_t blocks, int64_t m, const real *twiddles, const real *roots, real *z)
{
    const real *const w = twiddles;

    switch (radix) {
    case 2: FFT_EACH(2, fft_2(z, step, w, turned)); break;
    case 3: FFT_EACH(3, fft_odd(3, z, step, w, turned, roots)); break;
    case 4: FFT_EACH(4, fft_4(z, step, w, turned)); break;
    case 5: FFT_EACH(5, fft_odd(5, z, step, w, turned, roots)); break;
    case 7: FFT_EACH(7, fft_odd(7, z, step, w, turned, roots)); break;
    case 8: FFT_EACH(8, fft_8(z, step, w, turned)); break;
    default: FFT_EACH(radix, fft_odd(radix, z, step, w, turned, roots)); break;
    }
}

static void fft_passes(const et_fft_passes *s, void *rows)
{
    int64_t blocks = 1, m = s->n;

    for (int i = 0; i < s->count; i++) {
        m /= s->radix[i];
        fft_pass(s->radix[i], blocks, m, s->twiddles[i], s->roots[i], rows);
        blocks *= s->radix[i];
    }
}

/* --- between sequences and rows --------------------------------------------------- */

static void fft_load(int64_t n, int count, const void *x, int64_t x_step, const void *window, void *rows,
                     int64_t row_step)
{
    const real *from = x, *w = window;
    real *to = rows, one[LANES];
    int64_t j = 0;

    if (count == LANES)
        for (; j <= n - LANES; j += LANES)
            v_transpose(from + j, x_step, LANES, w ? w + j : NULL, to + j * row_step, row_step);
    for (; j < n; j++) {
        for (int i = 0; i < LANES; i++)
            one[i] = i < count ? from[i * x_step + j] : 0;
        v_store(to + j * row_step, w ? v_load(one) * v_set(w[j]) : v_load(one));
    }
}

static void fft_store(int64_t n, int count, const void *rows, int64_t row_step, void *x, int64_t x_step)
{
    const real *from = rows;
    real *to = x;
    int64_t j = 0;

    if (count == LANES)
        for (; j <= n - LANES; j += LANES)
            v_transpose(from + j * row_step, row_step, LANES, NULL, to + j, x_step);
    for (; j < n; j++)
        for (int i = 0; i < count; i++)
            to[i * x_step + j] = from[j * row_step + i];
}

static void fft_emphasis(int64_t n, double coefficient, const void *window, void *rows, int64_t row_step)
{
    const real *w = window;
    real *x = rows;
    vr mean[4] = {v_set(0), v_set(0), v_set(0), v_set(0)}, before;

    for (int64_t j = 0; j < n; j++)
        mean[j % 4] = mean[j % 4] + v_load(x + j * row_step);
    mean[0] = ((mean[0] + mean[1]) + (mean[2] + mean[3])) * v_set((real)(1.0 / (double)n));
    before = v_load(x) - mean[0];
    for (int64_t j = 0; j < n; j++) {
        vr now = v_load(x + j * row_step) - mean[0];
        v_store(x + j * row_step, v_fnma(before, v_set((real)coefficient), now) * v_set(w[j]));
        before = now;
    }
}

/* --- complex rows ------------------------------------------------------------------- */

static void fft_scale(int64_t n, const int32_t *order, const void *rows, const void *factors, int swap,
                      void *out)
{
    const real *z = rows, *w = factors;
    real *to = out;

    for (int64_t k = 0; k < n; k++, to += 2 * LANES) {
        vc a = c_load(z + (order ? order[k] : k) * 2 * LANES);
        if (w)
            a = c_mul(a, v_set(w[2 * k]), v_set(w[2 * k + 1]));
        c_store(to, swap ? (vc){a.im, a.re} : a);
    }
}

/* X[k] as a complex row, or its power as a row. */
V_INLINE void fft_put(real *out, int64_t k, vc a, int power)
{
    if (power)
        v_store(out + k * LANES, v_fma(a.re, a.re, a.im * a.im));
    else
        c_store(out + k * 2 * LANES, a);
}

/* Z, the transform of x[2j] + i x[2j+1], to X: with a = Z[k], b = conj Z[n - k] and the halved
 * root w = exp(-i pi k / n) / 2, X[k] = (a + b) / 2 - i w (a - b). */
V_INLINE void fft_split_pair(vc a, vc b, vr re, vr im, vc *low, vc *high)
{
    const vr half = v_set((real)0.5);
    vr dr = a.im + b.im, di = b.re - a.re; /* -i (a - b) */
    vr tr = v_fnma(di, im, dr * re), ti = v_fma(di, re, dr * im), sr = a.re + b.re, si = a.im - b.im;
    *low = (vc){v_fma(sr, half, tr), v_fma(si, half, ti)};
    *high = (vc){v_fma(sr, half, -tr), v_fnma(si, half, ti)};
}

V_INLINE void fft_split_rows(int64_t n, const int32_t *order, const real *w, const real *z, real *out,
                             int power)
{
    for (int64_t k = 0; 2 * k <= n; k++) {
        int64_t l = k > 0 ? n - k : 0;
        vc low, high;
        fft_split_pair(c_load(z + order[k] * 2 * LANES), c_load(z + order[l] * 2 * LANES), v_set(w[2 * k]),
                       v_set(w[2 * k + 1]), &low, &high);
        fft_put(out, k, low, power);
        fft_put(out, n - k, high, power);
    }
}

static void fft_split(int64_t n, const int32_t *order, const void *roots, const void *rows, void *out,
                      int power)
{
    const real *z = rows;
    real *to = out;

    if (roots && power)
        fft_split_rows(n, order, roots, z, to, 1);
    else if (roots)
        fft_split_rows(n, order, roots, z, to, 0);
    else
        for (int64_t k = 0; k <= n / 2; k++)
            fft_put(to, k, c_load(z + order[k] * 2 * LANES), power);
}

static void fft_join(int64_t n, const void *roots, double scale, const void *spectrum, void *rows)
{
    const real *x = spectrum, *w = roots;
    const vr s = v_set((real)scale), s2 = v_set((real)(2 * scale)), zero = v_set(0);
    real *z = rows;

    if (!w) {
        c_store(z, (vc){zero, v_load(x) * s});
        for (int64_t k = 1; k <= n / 2; k++) {
            vc a = c_load(x + k * 2 * LANES);
            c_store(z + k * 2 * LANES, (vc){a.im * s, a.re * s});
            c_store(z + (n - k) * 2 * LANES, (vc){-a.im * s, a.re * s});
        }
        return;
    }
    for (int64_t k = 0; 2 * k <= n; k++) {
        vc a = c_load(x + k * 2 * LANES), b = c_load(x + (n - k) * 2 * LANES);
        if (k == 0)
            a.im = b.im = zero;
        vr dr = a.re - b.re, di = a.im + b.im, sr = (a.re + b.re) * s, si = (a.im - b.im) * s;
        vr re = v_set(w[2 * k]) * s2, im = v_set(w[2 * k + 1]) * s2;
        /* i conj(w) (a - conj b) */
        vr tr = v_fnma(di, re, dr * im), ti = v_fma(dr, re, di * im);
        c_store(z + k * 2 * LANES, (vc){si + ti, sr + tr});
        if (k > 0)
            c_store(z + (n - k) * 2 * LANES, (vc){ti - si, sr - tr});
    }
}

/* --- bands -------------------------------------------------------------------------- */

static void band_sums(int64_t n, const et_band *bands, const void *weights, const void *rows, void *out)
{
    const real *w = weights, *x = rows;
    real *to = out;

    for (int64_t i = 0; i < n; i++, to += LANES) {
        const real *p = x + (int64_t)bands[i].first * LANES;
        vr a = v_set(0), b = a, c = a, d = a;
        int32_t j = 0;
        for (; j + 4 <= bands[i].count; j += 4, p += 4 * LANES, w += 4) {
            a = v_fma(v_load(p), v_set(w[0]), a);
            b = v_fma(v_load(p + LANES), v_set(w[1]), b);
            c = v_fma(v_load(p + 2 * LANES), v_set(w[2]), c);
            d = v_fma(v_load(p + 3 * LANES), v_set(w[3]), d);
        }
        for (; j < bands[i].count; j++, p += LANES, w++)
            a = v_fma(v_load(p), v_set(*w), a);
        v_store(to, (a + b) + (c + d));
    }
}

/* --- one sequence -------------------------------------------------------------------- */

#if LANES > 1

/* The complex transform of N = LANES M numbers, M a multiple of LANES: rows [M] in, spoiled; real
 * and imaginary parts [N] out, in order. */
V_INLINE void fft_one_complex(const et_fft_one *s, real *rows, real *re, real *im)
{
    const int64_t M = s->columns.n;
    const real *w = s->twiddles;

    fft_passes(&s->columns, rows);
    for (int64_t k = 0; k < M; k += LANES) {
        real turned[2 * LANES * LANES], square[2 * LANES * LANES];
        for (int r = 0; r < LANES; r++, w += 2 * LANES)
            c_store(turned + r * 2 * LANES,
                    c_mul(c_load(rows + s->column_order[k + r] * 2 * LANES), v_load(w), v_load(w + LANES)));
        v_transpose(turned, 2 * LANES, LANES, NULL, square, 2 * LANES);
        v_transpose(turned + LANES, 2 * LANES, LANES, NULL, square + LANES, 2 * LANES);
        fft_passes(&s->across, square);
        for (int l = 0; l < LANES; l++) {
            vc a = c_load(square + s->across_order[l] * 2 * LANES);
            v_store(re + l * M + k, a.re);
            v_store(im + l * M + k, a.im);
        }
    }
}

static void fft_one(const et_fft_one *s, const void *in, void *work, void *out)
{
    const int64_t M = s->columns.n, N = M * LANES;
    const real *x = in, *wr = s->roots, *wi = wr + N / 2;
    real *rows = work, *re = rows + 2 * N, *im = re + N + LANES, *to = out;

    for (int64_t j = 0; j < M; j++, x += 2 * LANES) {
        vr a = v_load(x), b = v_load(x + LANES);
        c_store(rows + j * 2 * LANES, (vc){V_EVEN(a, b), V_ODD(a, b)});
    }
    fft_one_complex(s, rows, re, im);
    re[N] = re[0];
    im[N] = im[0];
    for (int64_t k = 0; k < N / 2; k += LANES) {
        const int64_t l = N - k - LANES + 1;
        vr br = v_load(re + l), bi = v_load(im + l);
        vc low, high;
        fft_split_pair((vc){v_load(re + k), v_load(im + k)}, (vc){V_REVERSE(br), V_REVERSE(bi)},
                       v_load(wr + k), v_load(wi + k), &low, &high);
        br = V_REVERSE(high.re);
        bi = V_REVERSE(high.im);
        v_store(to + 2 * k, V_ZIP_LOW(low.re, low.im));
        v_store(to + 2 * k + LANES, V_ZIP_HIGH(low.re, low.im));
        v_store(to + 2 * l, V_ZIP_LOW(br, bi));
        v_store(to + 2 * l + LANES, V_ZIP_HIGH(br, bi));
    }
    to[N] = re[N / 2];
    to[N + 1] = -im[N / 2];
}

#define FFT_ONE fft_one
#else
#define FFT_ONE NULL /* rows are no wider than one sequence */
#endif

#define FFT_TABLE \
    .fft_passes = fft_passes, .fft_load = fft_load, .fft_store = fft_store, .fft_emphasis = fft_emphasis, \
    .fft_scale = fft_scale, .fft_split = fft_split, .fft_join = fft_join, .fft_one = FFT_ONE, \
    .band_sums = band_sums

#endif
