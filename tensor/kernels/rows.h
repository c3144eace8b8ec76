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
    if (isinf(*top)) /* so is the result, unless it is NaN */
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

/* y = (x - mean) rstd gamma + beta, one row */
static void norm_row(int64_t cols, const real *xs, const real *gs, const real *bs, real mean, real rstd,
                     real *ys)
{
    const vr m = v_set(mean), s = v_set(rstd);
    if (gs && bs)
        EACH(cols, { ST(ys, v_fma((LD(xs) - m) * s, LD(gs), LD(bs))); });
    else if (gs)
        EACH(cols, { ST(ys, (LD(xs) - m) * s * LD(gs)); });
    else if (bs)
        EACH(cols, { ST(ys, v_fma(LD(xs) - m, s, LD(bs))); });
    else
        EACH(cols, { ST(ys, (LD(xs) - m) * s); });
}

static void layer_norm_again(int64_t rows, int64_t cols, const void *vx, const void *vgamma,
                             const void *vbeta, const void *vmean, const void *vrstd, void *vy)
{
    const real *xs = vx, *means = vmean, *rstds = vrstd;
    real *ys = vy;
    for (int64_t r = 0; r < rows; r++, xs += cols, ys += cols)
        norm_row(cols, xs, vgamma, vbeta, means[r], rstds[r], ys);
}

static void layer_norm(int64_t rows, int64_t cols, const void *vx, const void *vgamma, const void *vbeta,
                       double eps, void *vy, void *vmean, void *vrstd)
{
    const real *xs = vx;
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
        norm_row(cols, xs, vgamma, vbeta, mean, rstd, ys);
        if (means)
            means[r] = mean;
        if (rstds)
            rstds[r] = rstd;
    }
}

/* Backward goes some rows at a time: one walk over the columns makes the rows' two sums and adds to
 * those over rows, while x and dy come into the first-level cache, where dx finds them again. */
enum { NORM_ROWS = 2, NORM_COLS = 1024, NORM_GROUP = 16 };

/* Sums over rows for up to NORM_COLS columns: of up to NORM_GROUP rows in g and b, then in double. */
typedef struct norm_params {
    vw wide_g[NORM_COLS / LANES], wide_b[NORM_COLS / LANES];
    real g[NORM_COLS], b[NORM_COLS];
} norm_params;

static void norm_params_start(norm_params *p, int64_t cols)
{
    for (int64_t v = 0; v < (cols + LANES - 1) / LANES; v++)
        p->wide_g[v] = p->wide_b[v] = w_zero();
    fill(cols, 0, p->g);
    fill(cols, 0, p->b);
}

static void norm_params_widen(norm_params *p, int64_t cols)
{
    const vr zero = v_set(0);
    EACH(cols, {
        p->wide_g[i / LANES] = w_add(p->wide_g[i / LANES], w_from(LD(p->g)));
        p->wide_b[i / LANES] = w_add(p->wide_b[i / LANES], w_from(LD(p->b)));
        ST(p->g, zero);
        ST(p->b, zero);
    });
}

static void norm_params_add(norm_params *p, int64_t cols, real *dgamma, real *dbeta)
{
    norm_params_widen(p, cols);
    if (dgamma)
        EACH(cols, { ST(dgamma, LD(dgamma) + w_narrow(p->wide_g[i / LANES])); });
    if (dbeta)
        EACH(cols, { ST(dbeta, LD(dbeta) + w_narrow(p->wide_b[i / LANES])); });
}

/* For `rows` (1 or NORM_ROWS, a constant) rows, ld apart: sums of g = dy gamma and of g xhat, and where p is
 * given dy xhat and dy added to it. */
V_INLINE void norm_sums_of(int rows, int64_t cols, int64_t ld, const real *x, const real *gamma,
                           const real *mean, const real *rstd, const real *dy, norm_params *p, double *sum_g,
                           double *sum_gx)
{
    enum { SHORT = 16 * LANES };
    const vr zero = v_set(0);
#define NORM_EACH(step) step(0) step(1)
#define NORM_CONST(j) const vr m##j = v_set(rows > j ? mean[j] : 0), s##j = v_set(rows > j ? rstd[j] : 0);
#define NORM_ZERO(j) vr a##j = zero, b##j = zero;
#define NORM_CLEAR(j) vr c##j = zero, d##j = zero;
#define NORM_STEP(j) \
    if (rows > j) { \
        const vr d = v_load_k(dy + j * ld + i, k, full), w = gamma ? d * weight : d; \
        const vr h = (v_load_k(x + j * ld + i, k, full) - m##j) * s##j; \
        pg = v_fma(d, h, pg); \
        pb = pb + d; \
        c##j = c##j + w; \
        d##j = v_fma(w, h, d##j); \
    }
#define NORM_FOLD(j) a##j = a##j + c##j, b##j = b##j + d##j;
#define NORM_WIDEN(j) \
    if (rows > j) { \
        sum_g[j] += (double)v_hsum(a##j); \
        sum_gx[j] += (double)v_hsum(b##j); \
    }
    NORM_EACH(NORM_CONST)
    for (int64_t at = 0; at < cols; at += ROW_BLOCK) {
        const int64_t end = cols - at < ROW_BLOCK ? cols : at + ROW_BLOCK;
        NORM_EACH(NORM_ZERO)
        for (int64_t from = at; from < end; from += SHORT) {
            const int64_t here = end - from < SHORT ? end : from + SHORT;
            NORM_EACH(NORM_CLEAR)
            /* Lanes beyond the end are of dy = 0. */
#define NORM_VECTOR \
    { \
        const vr weight = gamma ? v_load_k(gamma + i, k, full) : zero; \
        vr pg = p ? v_load_k(p->g + i, k, full) : zero, pb = p ? v_load_k(p->b + i, k, full) : zero; \
        NORM_EACH(NORM_STEP) \
        if (p) { \
            v_store_k(p->g + i, pg, k, full); \
            v_store_k(p->b + i, pb, k, full); \
        } \
    }
            int64_t i = from;
            for (; i <= here - LANES; i += LANES) {
                enum { k = LANES, full = 1 };
                NORM_VECTOR
            }
            if (i < here) {
                const int k = (int)(here - i);
                enum { full = 0 };
                NORM_VECTOR
            }
            NORM_EACH(NORM_FOLD)
        }
        NORM_EACH(NORM_WIDEN)
    }
#undef NORM_EACH
#undef NORM_CONST
#undef NORM_ZERO
#undef NORM_CLEAR
#undef NORM_STEP
#undef NORM_FOLD
#undef NORM_WIDEN
#undef NORM_VECTOR
}

#define NORM_SUMS(name, rows, GAMMA, P) \
    static void name(int64_t cols, int64_t ld, const real *x, const real *gamma, const real *mean, \
                     const real *rstd, const real *dy, norm_params *p, double *sum_g, double *sum_gx) \
    { \
        (void)gamma; \
        (void)p; \
        norm_sums_of(rows, cols, ld, x, GAMMA, mean, rstd, dy, P, sum_g, sum_gx); \
    }
NORM_SUMS(norm_sums_1, 1, NULL, NULL)
NORM_SUMS(norm_sums_1g, 1, gamma, NULL)
NORM_SUMS(norm_sums_1p, 1, NULL, p)
NORM_SUMS(norm_sums_1gp, 1, gamma, p)
NORM_SUMS(norm_sums_n, NORM_ROWS, NULL, NULL)
NORM_SUMS(norm_sums_ng, NORM_ROWS, gamma, NULL)
NORM_SUMS(norm_sums_np, NORM_ROWS, NULL, p)
NORM_SUMS(norm_sums_ngp, NORM_ROWS, gamma, p)
#undef NORM_SUMS

/* dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy gamma, one row */
static void norm_dx(int64_t cols, const real *xs, const real *gs, real mean, real rstd, const real *ds,
                    double mean_g, double mean_gx, real *os, int acc)
{
    const vr m = v_set(mean), s = v_set(rstd), mg = v_set((real)mean_g), mgx = v_set((real)mean_gx);
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

static void layer_norm_bwd(int64_t rows, int64_t cols, const void *vx, const void *vgamma, const void *vmean,
                           const void *vrstd, const void *vdy, void *vdx, int acc, void *vdgamma,
                           void *vdbeta)
{
    typedef void (*sums)(int64_t cols, int64_t ld, const real *x, const real *gamma, const real *mean,
                         const real *rstd, const real *dy, norm_params *p, double *sum_g, double *sum_gx);
    static const sums one[] = {norm_sums_1, norm_sums_1g, norm_sums_1p, norm_sums_1gp};
    static const sums some[] = {norm_sums_n, norm_sums_ng, norm_sums_np, norm_sums_ngp};
    const real *xs = vx, *gs = vgamma, *means = vmean, *rstds = vrstd, *ds = vdy;
    real *os = vdx, *dgamma = vdgamma, *dbeta = vdbeta;
    const double inverse = 1 / (double)cols;
    const int wanted = dgamma || dbeta, together = wanted && os && cols <= NORM_COLS;
    norm_params p;

    /* First, for dx may be dy: sums over rows alone, for some columns at a time. */
    for (int64_t left = 0, width; wanted && !together && left < cols; left += width) {
        double unused[2][NORM_ROWS] = {0};
        width = cols - left < NORM_COLS ? cols - left : NORM_COLS;
        norm_params_start(&p, width);
        for (int64_t r = 0, n; r < rows; r += n) {
            n = rows - r < NORM_ROWS ? 1 : NORM_ROWS;
            (n == 1 ? one : some)[2](width, cols, xs + r * cols + left, NULL, means + r, rstds + r,
                                     ds + r * cols + left, &p, unused[0], unused[1]);
            if ((r + n) % NORM_GROUP == 0)
                norm_params_widen(&p, width);
        }
        norm_params_add(&p, width, dgamma ? dgamma + left : NULL, dbeta ? dbeta + left : NULL);
    }
    if (together)
        norm_params_start(&p, cols);
    for (int64_t r = 0, n; os && r < rows; r += n) {
        double sum_g[NORM_ROWS] = {0}, sum_gx[NORM_ROWS] = {0};
        const int form = (gs ? 1 : 0) + (together ? 2 : 0);
        n = rows - r < NORM_ROWS ? 1 : NORM_ROWS;
        (n == 1 ? one : some)[form](cols, cols, xs, gs, means + r, rstds + r, ds, &p, sum_g, sum_gx);
        for (int64_t j = 0; j < n; j++, xs += cols, ds += cols, os += cols)
            norm_dx(cols, xs, gs, means[r + j], rstds[r + j], ds, sum_g[j] * inverse, sum_gx[j] * inverse,
                    os, acc);
        if (together && (r + n) % NORM_GROUP == 0)
            norm_params_widen(&p, cols);
    }
    if (together)
        norm_params_add(&p, cols, dgamma, dbeta);
}
