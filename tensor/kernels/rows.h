/* Kernels over the rows of a matrix: softmax and its relatives, layer norm. Included
 * once by variant.c.
 *
 * Sums along a row run in four vector accumulators over blocks of ROW_BLOCK elements,
 * the blocks' sums in double. */

enum { ROW_BLOCK = 64 * LANES };

/* Adds TERM, an expression of i, k and full, over the vectors of 0..n into `total`.
 * Lanes beyond the end are TERM of zeros: the term must be zero there. */
#define ROW_TERM(s, at, lanes, whole) \
    { \
        const int64_t i = (at); \
        enum { full = (whole) }; \
        const int k = (lanes); \
        (void)k; \
        s = s + (TERM); \
    }
#define ROW_SUM(total, n) \
    do { \
        for (int64_t end, at = 0; at < (n); at = end) { \
            vr s0 = v_set(0), s1 = s0, s2 = s0, s3 = s0; \
            end = (n) - at > ROW_BLOCK ? at + ROW_BLOCK : (n); \
            for (; at <= end - 4 * LANES; at += 4 * LANES) { \
                ROW_TERM(s0, at, LANES, 1) \
                ROW_TERM(s1, at + LANES, LANES, 1) \
                ROW_TERM(s2, at + 2 * LANES, LANES, 1) \
                ROW_TERM(s3, at + 3 * LANES, LANES, 1) \
            } \
            for (; at <= end - LANES; at += LANES) \
                ROW_TERM(s0, at, LANES, 1) \
            if (at < end) \
                ROW_TERM(s1, at, (int)(end - at), 0) \
            (total) += (double)v_hsum((s0 + s1) + (s2 + s3)); \
        } \
    } while (0)

V_INLINE vr square(vr a) { return a * a; }

/* The largest of x + mask; a NaN may be passed over. */
static real row_max(int64_t n, const real *xs, const real *ms)
{
    const vr least = v_set((real)-INFINITY);
    vr m = least;
    if (ms)
        EACH(n, { m = v_max(m, v_keep_k(LD(xs) + LD(ms), least, k, full)); });
    else
        EACH(n, { m = v_max(m, v_keep_k(LD(xs), least, k, full)); });
    return v_hmax(m);
}

/* True if x + mask holds a NaN. */
static int row_has_nan(int64_t n, const real *xs, const real *ms)
{
    vm bad = m_none();
    if (ms)
        EACH(n, { bad = m_or(bad, v_isnan(LD(xs) + LD(ms))); });
    else
        EACH(n, { bad = m_or(bad, v_isnan(LD(xs))); });
    return m_any(bad);
}

/* y = e^(x + mask - top), and their sum. */
V_INLINE vr exp_store(real *ys, vr x, vr top, int k, int full)
{
    vr e = v_exp_neg(x - top);
    v_store_k(ys, e, k, full);
    return v_keep_k(e, v_set(0), k, full);
}

static double row_exp(int64_t n, const real *xs, const real *ms, real top, real *ys)
{
    const vr t = v_set(top);
    double total = 0;
    if (ms) {
#define TERM exp_store(ys + i, LD(xs) + LD(ms), t, k, full)
        ROW_SUM(total, n);
#undef TERM
    } else {
#define TERM exp_store(ys + i, LD(xs), t, k, full)
        ROW_SUM(total, n);
#undef TERM
    }
    return total;
}

static double row_exp_sum(int64_t n, const real *xs, real top)
{
    const vr t = v_set(top);
    double total = 0;
#define TERM v_keep_k(v_exp_neg(LD(xs) - t), v_set(0), k, full)
    ROW_SUM(total, n);
#undef TERM
    return total;
}

static void softmax(int64_t rows, int64_t cols, const void *vx, const void *vmask, int64_t ldm, void *vy)
{
    const real *xs = vx, *ms = vmask;
    real *ys = vy;
    for (int64_t r = 0; r < rows; r++, xs += cols, ys += cols) {
        const real top = row_max(cols, xs, ms);
        if (top == (real)-INFINITY) {
            fill(cols, row_has_nan(cols, xs, ms) ? (double)NAN : 0, ys);
        } else {
            const vr scale = v_set((real)(1 / row_exp(cols, xs, ms, top, ys)));
            EACH(cols, { ST(ys, LD(ys) * scale); });
        }
        if (ms)
            ms += ldm;
    }
}

static void softmax_bwd(int64_t rows, int64_t cols, const void *vy, const void *vg, void *vx, int acc)
{
    const real *ys = vy, *gs = vg;
    real *xs = vx;
    for (int64_t r = 0; r < rows; r++, ys += cols, gs += cols, xs += cols) {
        double total = 0;
#define TERM LD(ys) * LD(gs)
        ROW_SUM(total, cols);
#undef TERM
        const vr t = v_set((real)total);
        if (acc)
            EACH(cols, { ST(xs, v_fma(LD(ys), LD(gs) - t, LD(xs))); });
        else
            EACH(cols, { ST(xs, LD(ys) * (LD(gs) - t)); });
    }
}

/* ln sum e^x of a row, as its maximum and the logarithm of the rest. */
V_INLINE double row_lse(int64_t cols, const real *xs, real *top)
{
    *top = row_max(cols, xs, NULL);
    if (*top == (real)-INFINITY)
        return row_has_nan(cols, xs, NULL) ? (double)NAN : 0;
    if (*top == (real)INFINITY)
        return row_has_nan(cols, xs, NULL) ? (double)NAN : 0;
    return log(row_exp_sum(cols, xs, *top));
}

static void log_softmax(int64_t rows, int64_t cols, const void *vx, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    for (int64_t r = 0; r < rows; r++, xs += cols, ys += cols) {
        real top;
        const vr rest = v_set((real)row_lse(cols, xs, &top)), t = v_set(top);
        EACH(cols, { ST(ys, (LD(xs) - t) - rest); });
    }
}

static void log_softmax_bwd(int64_t rows, int64_t cols, const void *vy, const void *vg, void *vx, int acc)
{
    const real *ys = vy, *gs = vg;
    real *xs = vx;
    for (int64_t r = 0; r < rows; r++, ys += cols, gs += cols, xs += cols) {
        double total = 0;
#define TERM LD(gs)
        ROW_SUM(total, cols);
#undef TERM
        const vr t = v_set((real)total);
        if (acc)
            EACH(cols, { ST(xs, LD(xs) + v_fnma(v_exp_neg(LD(ys)), t, LD(gs))); });
        else
            EACH(cols, { ST(xs, v_fnma(v_exp_neg(LD(ys)), t, LD(gs))); });
    }
}

static void logsumexp(int64_t rows, int64_t cols, const void *vx, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    for (int64_t r = 0; r < rows; r++, xs += cols) {
        real top;
        const double rest = row_lse(cols, xs, &top);
        ys[r] = (real)((double)top + rest);
    }
}

/* --- layer norm ----------------------------------------------------------------- */

static void layer_norm(int64_t rows, int64_t cols, const void *vx, const void *vgamma, const void *vbeta,
                       double eps, void *vy, void *vmean, void *vrstd)
{
    const real *xs = vx, *gs = vgamma, *bs = vbeta;
    real *ys = vy, *means = vmean, *rstds = vrstd;
    const double inverse = 1 / (double)cols;
    for (int64_t r = 0; r < rows; r++, xs += cols, ys += cols) {
        double total = 0, squares = 0;
#define TERM LD(xs)
        ROW_SUM(total, cols);
#undef TERM
        const real mean = (real)(total * inverse);
        const vr m = v_set(mean);
#define TERM square(v_keep_k(LD(xs) - m, v_set(0), k, full))
        ROW_SUM(squares, cols);
#undef TERM
        const real rstd = (real)(1 / sqrt(squares * inverse + eps));
        const vr s = v_set(rstd);
        if (gs && bs)
            EACH(cols, { ST(ys, v_fma((LD(xs) - m) * s, LD(gs), LD(bs))); });
        else if (gs)
            EACH(cols, { ST(ys, (LD(xs) - m) * s * LD(gs)); });
        else if (bs)
            EACH(cols, { ST(ys, v_fma(LD(xs) - m, s, LD(bs))); });
        else
            EACH(cols, { ST(ys, (LD(xs) - m) * s); });
        if (means)
            means[r] = mean;
        if (rstds)
            rstds[r] = rstd;
    }
}

/* dgamma += sum over rows of dy xhat, dbeta += sum of dy, for one panel of columns:
 * 16 rows at a time, their sums in double. */
static void norm_params_bwd(int64_t rows, int64_t cols, int64_t width, const real *x, const real *mean,
                            const real *rstd, const real *dy, real *dgamma, real *dbeta)
{
    vw sg[COL_PANEL / LANES], sb[COL_PANEL / LANES];
    for (int64_t v = 0; v < (width + LANES - 1) / LANES; v++)
        sg[v] = sb[v] = w_zero();
    for (int64_t r0 = 0; r0 < rows; r0 += 16) {
        const int64_t r1 = rows - r0 < 16 ? rows : r0 + 16;
        EACH(width, {
            vr g0 = v_set(0), g1 = g0, b0 = g0, b1 = g0;
            int64_t r = r0;
            for (; r + 1 < r1; r += 2) {
                const real *xs = x + r * cols, *ds = dy + r * cols;
                vr d = LD(ds);
                g0 = v_fma(d, (LD(xs) - v_set(mean[r])) * v_set(rstd[r]), g0);
                b0 = b0 + d;
                xs += cols;
                ds += cols;
                d = LD(ds);
                g1 = v_fma(d, (LD(xs) - v_set(mean[r + 1])) * v_set(rstd[r + 1]), g1);
                b1 = b1 + d;
            }
            if (r < r1) {
                const real *xs = x + r * cols, *ds = dy + r * cols;
                vr d = LD(ds);
                g0 = v_fma(d, (LD(xs) - v_set(mean[r])) * v_set(rstd[r]), g0);
                b0 = b0 + d;
            }
            sg[i / LANES] = w_add(sg[i / LANES], w_from(g0 + g1));
            sb[i / LANES] = w_add(sb[i / LANES], w_from(b0 + b1));
        });
    }
    if (dgamma)
        EACH(width, { ST(dgamma, LD(dgamma) + w_narrow(sg[i / LANES])); });
    if (dbeta)
        EACH(width, { ST(dbeta, LD(dbeta) + w_narrow(sb[i / LANES])); });
}

static void layer_norm_bwd(int64_t rows, int64_t cols, const void *vx, const void *vgamma, const void *vmean,
                           const void *vrstd, const void *vdy, void *vdx, int acc, void *vdgamma,
                           void *vdbeta)
{
    const real *xs = vx, *gs = vgamma, *means = vmean, *rstds = vrstd, *ds = vdy;
    real *os = vdx, *dgamma = vdgamma, *dbeta = vdbeta;
    const double inverse = 1 / (double)cols;

    /* First, for dx may be dy. */
    if (dgamma || dbeta)
        for (int64_t left = 0; left < cols; left += COL_PANEL)
            norm_params_bwd(rows, cols, cols - left < COL_PANEL ? cols - left : COL_PANEL, xs + left, means,
                            rstds, ds + left, dgamma ? dgamma + left : NULL, dbeta ? dbeta + left : NULL);
    if (!os)
        return;

    /* dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy gamma */
    for (int64_t r = 0; r < rows; r++, xs += cols, ds += cols, os += cols) {
        const vr m = v_set(means[r]), s = v_set(rstds[r]);
        double sum_g = 0, sum_gx = 0;
        if (gs) {
#define TERM LD(ds) * LD(gs)
            ROW_SUM(sum_g, cols);
#undef TERM
#define TERM LD(ds) * LD(gs) * ((LD(xs) - m) * s)
            ROW_SUM(sum_gx, cols);
#undef TERM
        } else {
#define TERM LD(ds)
            ROW_SUM(sum_g, cols);
#undef TERM
#define TERM LD(ds) * ((LD(xs) - m) * s)
            ROW_SUM(sum_gx, cols);
#undef TERM
        }
        const vr mg = v_set((real)(sum_g * inverse)), mgx = v_set((real)(sum_gx * inverse));
#define DX(g) (s * v_fnma((LD(xs) - m) * s, mgx, (g) - mg))
        if (gs && acc)
            EACH(cols, { ST(os, LD(os) + DX(LD(ds) * LD(gs))); });
        else if (gs)
            EACH(cols, { ST(os, DX(LD(ds) * LD(gs))); });
        else if (acc)
            EACH(cols, { ST(os, LD(os) + DX(LD(ds))); });
        else
            EACH(cols, { ST(os, DX(LD(ds))); });
#undef DX
    }
}
