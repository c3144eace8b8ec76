/* The transforms of tensor/conv_tall.c. Included by variant.c after vec.h.
 *
 * With g three taps below each other, d six rows and y the four results that they give (Winograd 1980; the
 * points are 0, +-a, +-b and infinity):
 *
 *   y = A' ((G g) . (B' d))
 *
 *   A' = 1  1  1  1  1  0      B' = a2 b2    0   -s    0   1  0      G = 1 / (a2 b2)  (1  0  0)
 *        0  a -a  b -b  0             0 -a b2  -b2    a   1  0          1 / p        (1  a  a2)
 *        0 a2 a2 b2 b2  0             0  a b2  -b2   -a   1  0          1 / p        (1 -a  a2)
 *        0 a3 -a3 b3 -b3 1            0 -a2 b  -a2    b   1  0          1 / q        (1  b  b2)
 *                                     0  a2 b  -a2   -b   1  0          1 / q        (1 -b  b2)
 *                                     0  a2 b2   0   -s   0  1                       (0  0  1)
 *
 * where a2 = a a and so on, s = a2 + b2, p = 2 a2 (a2 - b2), q = 2 b2 (b2 - a2). Rows of reals are
 * transformed side by side. */

/* u +- v */
#define TALL_PAIR(to, step, k, u, v)         \
    v_store((to) + (k) * (step), (u) + (v)); \
    v_store((to) + ((k) + 1) * (step), (u) - (v));

static void tall_input(int64_t rows, int64_t ld, const void *vx, void *vv, int64_t step)
{
    const real a = (real)ET_TALL_A, b = (real)ET_TALL_B, a2 = a * a, b2 = b * b;
    const vr ones[] = {v_set(a), v_set(b)}, squares[] = {v_set(a2), v_set(b2)};
    const vr product = v_set(a2 * b2), sum = v_set(a2 + b2);
    const real *x = vx;
    real *v = vv;

    for (int64_t i = 0; i < rows * ld; i += LANES) { /* six rows, whatever column */
        const vr d0 = v_load(x + i), d1 = v_load(x + i + ld), d2 = v_load(x + i + 2 * ld);
        const vr d3 = v_load(x + i + 3 * ld), d4 = v_load(x + i + 4 * ld), d5 = v_load(x + i + 5 * ld);
        v_store(v + i, v_fma(product, d0, v_fnma(sum, d2, d4)));
        for (int k = 0; k < 2; k++) {
            const vr other = squares[1 - k];
            const vr even = v_fnma(other, d2, d4), odd = v_fnma(other, d1, d3);
            v_store(v + i + (2 * k + 1) * step, v_fma(ones[k], odd, even));
            v_store(v + i + (2 * k + 2) * step, v_fnma(ones[k], odd, even));
        }
        v_store(v + i + 5 * step, v_fma(product, d1, v_fnma(sum, d3, d5)));
    }
}

static void tall_output(int64_t outs, int64_t n, const void *vm_, int64_t ld, int64_t step, int rows,
                        const void *vbias, int acc, void *vy, int64_t area, int64_t w)
{
    const real a = (real)ET_TALL_A, b = (real)ET_TALL_B;
    const vr a1 = v_set(a), a2 = v_set(a * a), a3 = v_set(a * a * a);
    const vr b1 = v_set(b), b2 = v_set(b * b), b3 = v_set(b * b * b);
    const real *m = vm_, *bias = vbias;
    real *y = vy;

    for (int64_t o = 0; o < outs; o++, m += ld, y += area) {
        const vr shift = v_set(bias ? bias[o] : 0);
        for (int64_t i = 0; i < n; i += LANES) {
            const int some = n - i < LANES ? (int)(n - i) : LANES;
            const vr m1 = v_load(m + i + step), m2 = v_load(m + i + 2 * step);
            const vr m3 = v_load(m + i + 3 * step), m4 = v_load(m + i + 4 * step);
            const vr ea = m1 + m2, oa = m1 - m2, eb = m3 + m4, ob = m3 - m4;
            const vr r[4] = {v_load(m + i) + ea + eb, v_fma(a1, oa, b1 * ob), v_fma(a2, ea, b2 * eb),
                             v_fma(a3, oa, v_fma(b3, ob, v_load(m + i + 5 * step)))};
            for (int k = 0; k < rows; k++) {
                real *to = y + k * w + i;
                const vr old = acc ? v_load_k(to, some, some == LANES) : shift;
                v_store_k(to, r[k] + old, some, some == LANES);
            }
        }
    }
}

static void tall_output_grad(int64_t n, const void *vdy, void *vm_, int64_t step)
{
    const real a = (real)ET_TALL_A, b = (real)ET_TALL_B;
    const vr a1 = v_set(a), a2 = v_set(a * a), a3 = v_set(a * a * a);
    const vr b1 = v_set(b), b2 = v_set(b * b), b3 = v_set(b * b * b);
    const real *dy = vdy;
    real *m = vm_;

    for (int64_t i = 0; i < n; i += LANES) {
        const vr d0 = v_load(dy + i), d1 = v_load(dy + i + n), d2 = v_load(dy + i + 2 * n);
        const vr d3 = v_load(dy + i + 3 * n);
        v_store(m + i, d0);
        TALL_PAIR(m + i, step, 1, v_fma(a2, d2, d0), v_fma(a3, d3, a1 * d1))
        TALL_PAIR(m + i, step, 3, v_fma(b2, d2, d0), v_fma(b3, d3, b1 * d1))
        v_store(m + i + 5 * step, d3);
    }
}

#define TALL_TABLE \
    .tall_input = tall_input, .tall_output = tall_output, .tall_output_grad = tall_output_grad
