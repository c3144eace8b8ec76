/* Max pooling and batch norm. Included once by variant.c, after rows.h. */

/* --- max pooling ----------------------------------------------------------------- */

/* One row of taps, base .. base + kw - 1, of n windows `step` apart that lie within the row: begins the
 * maxima when `first`, else goes on with them. Called with constants, so that loops turn into vectors. */
V_INLINE void pool_taps(int64_t n, const real *restrict x, int step, int kw, int base, int first, real *restrict y,
                        uint8_t *restrict at)
{
    for (int64_t t = 0; t < n; t++) {
        real most = first ? x[t * step] : y[t];
        int which = first ? base : at[t];
        for (int j = first ? 1 : 0; j < kw; j++) {
            const real v = x[t * step + j];
            const int more = !(v <= most) && most == most;
            most = more ? v : most;
            which = more ? base + j : which;
        }
        y[t] = most;
        at[t] = (uint8_t)which;
    }
}

static void pool_inside(int64_t n, const real *x, int64_t step, int64_t kw, int64_t base, int first, real *y,
                        uint8_t *at)
{
    if (step == 3 && kw == 3)
        pool_taps(n, x, 3, 3, (int)base, first, y, at);
    else if (step == 2 && kw == 2)
        pool_taps(n, x, 2, 2, (int)base, first, y, at);
    else if (step == 2 && kw == 3)
        pool_taps(n, x, 2, 3, (int)base, first, y, at);
    else
        pool_taps(n, x, (int)step, (int)kw, (int)base, first, y, at);
}

/* One window over the edge. */
static void pool_window(const real *x, int64_t ldx, int64_t width, int64_t column, int64_t rows, int64_t i0, int64_t kw,
                        real *y, uint8_t *at)
{
    const int64_t j0 = column < 0 ? -column : 0, j1 = width - column < kw ? width - column : kw;
    int64_t which = i0 * kw + j0;
    real most = x[column + j0];

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = j0; j < j1; j++) {
            const real v = x[i * ldx + column + j];
            if (!(v <= most) && most == most) {
                most = v;
                which = (i0 + i) * kw + j;
            }
        }
    *y = most;
    *at = (uint8_t)which;
}

static void max_pool(int64_t n, const void *vx, int64_t ldx, int64_t width, int64_t start, int64_t step, int64_t rows,
                     int64_t i0, int64_t kw, void *vy, uint8_t *at)
{
    const real *x = vx;
    real *y = vy;
    /* t0 .. t1-1 lie within the row */
    int64_t t0 = start < 0 ? (-start + step - 1) / step : 0;
    int64_t t1 = width - kw >= start ? (width - kw - start) / step + 1 : 0;

    if (t0 > n)
        t0 = n;
    if (t1 > n)
        t1 = n;
    if (t1 < t0)
        t1 = t0;
    for (int64_t t = 0; t < t0; t++)
        pool_window(x, ldx, width, start + t * step, rows, i0, kw, y + t, at + t);
    for (int64_t i = 0; i < rows && t0 < t1; i++)
        pool_inside(t1 - t0, x + i * ldx + start + t0 * step, step, kw, (i0 + i) * kw, i == 0, y + t0, at + t0);
    for (int64_t t = t1; t < n; t++)
        pool_window(x, ldx, width, start + t * step, rows, i0, kw, y + t, at + t);
}

V_INLINE void pool_spread(int64_t n, int step, int base, const real *restrict dy, const uint8_t *restrict at,
                          real *restrict dx, int acc)
{
    for (int64_t t = 0; t < n; t++)
        for (int j = 0; j < step; j++) {
            const real g = at[t] == base + j ? dy[t] : (real)0;
            dx[t * step + j] = acc ? dx[t * step + j] + g : g;
        }
}

static void max_pool_bwd(int64_t n, int64_t kh, int64_t step, const void *dy, const uint8_t *at, void *vdx, int64_t ldx,
                         int acc)
{
    real *dx = vdx;

    for (int64_t i = 0; i < kh; i++, dx += ldx) {
        const int base = (int)(i * step);
        if (step == 3 && !acc)
            pool_spread(n, 3, base, dy, at, dx, 0);
        else if (step == 3)
            pool_spread(n, 3, base, dy, at, dx, 1);
        else if (step == 2 && !acc)
            pool_spread(n, 2, base, dy, at, dx, 0);
        else if (step == 2)
            pool_spread(n, 2, base, dy, at, dx, 1);
        else
            pool_spread(n, (int)step, base, dy, at, dx, acc);
    }
}

static void max_pool_scatter(int64_t n, const void *vdy, const uint8_t *at, const int64_t *tap, int64_t start,
                             int64_t step, void *vdx)
{
    const real *dy = vdy;
    real *dx = vdx;

    for (int64_t t = 0; t < n; t++)
        dx[start + t * step + tap[at[t]]] += dy[t];
}

/* --- batch norm -------------------------------------------------------------------- */

enum { MOMENT_BLOCK = 4096 }; /* stays in the first-level cache between the passes */

/* Two passes over each block; blocks are joined as in Chan, Golub and LeVeque 1979. */
static void moments(int64_t n, const void *vx, double *mean, double *m2)
{
    const real *xs = vx;
    double all = 0, squares = 0;

    for (int64_t begin = 0; begin < n; begin += MOMENT_BLOCK, xs += MOMENT_BLOCK) {
        const int64_t size = n - begin < MOMENT_BLOCK ? n - begin : MOMENT_BLOCK;
        double total = 0, around = 0;
#define TERM LD(xs)
        ROW_SUM(total, size);
#undef TERM
        const double here = total / (double)size, delta = here - all;
        const vr m = v_set((real)here);
#define TERM square(v_keep_k(LD(xs) - m, v_set(0), k, full))
        ROW_SUM(around, size);
#undef TERM
        const double share = (double)size / (double)(begin + size);
        all += delta * share;
        squares += around + delta * delta * share * (double)begin;
    }
    *mean = all;
    *m2 = squares;
}

/* The mean rounded to a real, and what the rounding moves to the shift. */
V_INLINE real norm_centre(const et_norm *n, double *shift)
{
    const real m = (real)n->mean;

    *shift = n->shift + ((double)m - n->mean) * n->scale;
    return m;
}

static void norm_apply(int64_t n, const void *vx, const et_norm *norm, void *vy)
{
    const real *xs = vx;
    real *ys = vy;
    double shift;
    const vr m = v_set(norm_centre(norm, &shift)), s = v_set((real)norm->scale), b = v_set((real)shift);
    const vr zero = v_set(0);

    if (norm->relu)
        EACH(n, { ST(ys, v_max(zero, v_fma(LD(xs) - m, s, b))); });
    else
        EACH(n, { ST(ys, v_fma(LD(xs) - m, s, b)); });
}

/* dy where the output is above 0 */
#define NORM_OPEN(d) v_sel(v_lt(zero, v_fma(LD(xs) - m, s, b)), (d), zero)

static void norm_sums(int64_t n, const void *vx, const et_norm *norm, const void *vdy, double *sum, double *dot)
{
    const real *xs = vx, *ds = vdy;
    double shift, total = 0, product = 0;
    const real centre = norm_centre(norm, &shift);
    const vr m = v_set(centre), s = v_set((real)norm->scale), b = v_set((real)shift), zero = v_set(0);

    for (int64_t begin = 0; begin < n; begin += MOMENT_BLOCK, xs += MOMENT_BLOCK, ds += MOMENT_BLOCK) {
        const int64_t size = n - begin < MOMENT_BLOCK ? n - begin : MOMENT_BLOCK;
        if (norm->relu) {
#define TERM v_keep_k(NORM_OPEN(LD(ds)), zero, k, full)
            ROW_SUM(total, size);
#undef TERM
#define TERM v_keep_k(NORM_OPEN(LD(ds)) * (LD(xs) - m), zero, k, full)
            ROW_SUM(product, size);
#undef TERM
        } else {
#define TERM LD(ds)
            ROW_SUM(total, size);
#undef TERM
#define TERM LD(ds) * (LD(xs) - m)
            ROW_SUM(product, size);
#undef TERM
        }
    }
    *sum = total;
    *dot = product + ((double)centre - norm->mean) * total;
}

static void norm_bwd(int64_t n, const void *vx, const et_norm *norm, const void *vdy, double a, double b_, double c_,
                     void *vdx, int acc)
{
    const real *xs = vx, *ds = vdy;
    real *os = vdx;
    double shift;
    const real centre = norm_centre(norm, &shift);
    const vr m = v_set(centre), s = v_set((real)norm->scale), b = v_set((real)shift), zero = v_set(0);
    const vr ga = v_set((real)a), gb = v_set((real)b_), gc = v_set((real)(c_ + ((double)centre - norm->mean) * b_));

#define NORM_DX(d) v_fma(d, ga, v_fma(LD(xs) - m, gb, gc))
    if (norm->relu && acc)
        EACH(n, { ST(os, LD(os) + NORM_DX(NORM_OPEN(LD(ds)))); });
    else if (norm->relu)
        EACH(n, { ST(os, NORM_DX(NORM_OPEN(LD(ds)))); });
    else if (acc)
        EACH(n, { ST(os, LD(os) + NORM_DX(LD(ds))); });
    else
        EACH(n, { ST(os, NORM_DX(LD(ds))); });
#undef NORM_DX
}

#define POOL_TABLE                                                                         \
    .max_pool = max_pool, .max_pool_bwd = max_pool_bwd,                                   \
    .max_pool_scatter = max_pool_scatter, .moments = moments,                              \
    .norm_apply = norm_apply, .norm_sums = norm_sums, .norm_bwd = norm_bwd
