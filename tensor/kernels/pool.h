/* Max pooling and batch norm. Included once by variant.c, after rows.h. */

/* --- max pooling ----------------------------------------------------------------- */

/* Lists of lanes: every second or third element of what follows p, where the last vector begins early so that
 * nothing behind the last element taken is read; and three vectors interleaved. */
#if defined(V_SHUFFLES)
#if LANES == 16
#define POOL_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31
#define POOL_THIRD_A 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0
#define POOL_THIRD_B 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19, 22, 25, 28, 31
#define POOL_MIX_A0 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5
#define POOL_MIX_B0 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15
#define POOL_MIX_A1 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26
#define POOL_MIX_B1 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15
#define POOL_MIX_A2 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0
#define POOL_MIX_B2 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31
#elif LANES == 8
#define POOL_EVEN 0, 2, 4, 6, 9, 11, 13, 15
#define POOL_THIRD_A 0, 3, 6, 9, 12, 15, 0, 0
#define POOL_THIRD_B 0, 1, 2, 3, 4, 5, 12, 15
#define POOL_MIX_A0 0, 8, 0, 1, 9, 0, 2, 10
#define POOL_MIX_B0 0, 1, 8, 3, 4, 9, 6, 7
#define POOL_MIX_A1 0, 3, 11, 0, 4, 12, 0, 5
#define POOL_MIX_B1 10, 1, 2, 11, 4, 5, 12, 7
#define POOL_MIX_A2 13, 0, 6, 14, 0, 7, 15, 0
#define POOL_MIX_B2 0, 13, 2, 3, 14, 5, 6, 15
#elif LANES == 4
#define POOL_EVEN 0, 2, 5, 7
#define POOL_THIRD_A 0, 3, 6, 0
#define POOL_THIRD_B 0, 1, 2, 7
#define POOL_MIX_A0 0, 4, 0, 1
#define POOL_MIX_B0 0, 1, 4, 3
#define POOL_MIX_A1 5, 0, 2, 6
#define POOL_MIX_B1 0, 5, 2, 3
#define POOL_MIX_A2 0, 3, 7, 0
#define POOL_MIX_B2 6, 1, 2, 7
#endif

typedef uint8_t pool_bytes __attribute__((vector_size(LANES)));

/* LANES elements, `step` apart: 1, 2 or 3. */
V_INLINE vr pool_pick(const real *p, int step)
{
    const vr a = v_load(p);

    if (step == 1)
        return a;
    if (step == 2)
        return __builtin_shufflevector(a, v_load(p + LANES - 1), POOL_EVEN);
    return __builtin_shufflevector(__builtin_shufflevector(a, v_load(p + LANES), POOL_THIRD_A),
                                   v_load(p + 2 * LANES - 2), POOL_THIRD_B);
}

/* The same for n < LANES elements, and a step of 1 or 2. */
V_INLINE vr pool_pick_n(const real *p, int step, int n)
{
    vr b;

    if (step == 1)
        return v_load_n(p, n);
    const vr a = v_load_two(p, 2 * n - 1, &b);
    return V_EVEN(a, b);
}

/* LANES bytes as the bit patterns of a vector, and back. */
V_INLINE vr pool_widen(const uint8_t *at)
{
    pool_bytes b;

    memcpy(&b, at, sizeof b);
    return v_from_bits(__builtin_convertvector(b, vi));
}

V_INLINE void pool_narrow(uint8_t *at, vr which)
{
    const pool_bytes b = __builtin_convertvector(v_bits(which), pool_bytes);

    memcpy(at, &b, sizeof b);
}

/* Fewer windows than lanes. Returns how many were done. */
V_INLINE int64_t pool_few(int n, const real *p, int64_t ldx, int step, int rows, int i0, int kw, real *y,
                          uint8_t *at)
{
    uint8_t places[LANES];

    if (step > 2 || n < 2)
        return 0;
    vr most = pool_pick_n(p, step, n), which = v_from_bits(vi_set((uint32_t)(i0 * kw)));
    for (int i = 0; i < rows; i++, p += ldx)
        for (int j = i == 0; j < kw; j++) {
            const vr v = pool_pick_n(p + j, step, n);
            const vm more = m_and(m_not(v_le(v, most)), v_eq(most, most));
            most = v_sel(more, v, most);
            which = v_sel(more, v_from_bits(vi_set((uint32_t)((i0 + i) * kw + j))), which);
        }
    v_store_n(y, most, n);
    pool_narrow(places, which);
    memcpy(at, places, (size_t)n);
    return n;
}

/* n windows `step` apart that lie within their rows, by whole vectors, the last of which may overlap the one
 * before. Returns how many windows were done: n, or none. */
V_INLINE int64_t pool_vectors(int64_t n, const real *x, int64_t ldx, int step, int rows, int i0, int kw,
                              real *y, uint8_t *at)
{
    if (n < LANES)
        return pool_few((int)n, x, ldx, step, rows, i0, kw, y, at);
    for (int64_t t = 0; t < n; t += LANES) {
        const int64_t from = t + LANES <= n ? t : n - LANES;
        const real *p = x + from * step;
        vr most = pool_pick(p, step), which = v_from_bits(vi_set((uint32_t)(i0 * kw)));
        for (int i = 0; i < rows; i++, p += ldx)
            for (int j = i == 0; j < kw; j++) {
                const vr v = pool_pick(p + j, step);
                const vm more = m_and(m_not(v_le(v, most)), v_eq(most, most));
                most = v_sel(more, v, most);
                which = v_sel(more, v_from_bits(vi_set((uint32_t)((i0 + i) * kw + j))), which);
            }
        v_store(y + from, most);
        pool_narrow(at + from, which);
    }
    return n;
}
#else
#define pool_vectors(n, x, ldx, step, rows, i0, kw, y, at) ((int64_t)0)
#endif

/* The usual windows, as constants. */
static int64_t pool_inside(int64_t n, const real *x, int64_t ldx, int64_t step, int64_t rows, int64_t i0,
                           int64_t kw, real *y, uint8_t *at)
{
    (void)n, (void)x, (void)ldx, (void)rows, (void)i0, (void)y, (void)at;
    if (step == 3 && kw == 3)
        return pool_vectors(n, x, ldx, 3, (int)rows, (int)i0, 3, y, at);
    if (step == 2 && kw == 2)
        return pool_vectors(n, x, ldx, 2, (int)rows, (int)i0, 2, y, at);
    if (step == 2 && kw == 3)
        return pool_vectors(n, x, ldx, 2, (int)rows, (int)i0, 3, y, at);
    if (step == 1 && kw == 1)
        return pool_vectors(n, x, ldx, 1, (int)rows, (int)i0, 1, y, at);
    return step <= 3 ? pool_vectors(n, x, ldx, (int)step, (int)rows, (int)i0, (int)kw, y, at) : 0;
}

/* One window, which may reach over the edge. */
static void pool_window(const real *x, int64_t ldx, int64_t width, int64_t column, int64_t rows, int64_t i0,
                        int64_t kw, real *y, uint8_t *at)
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

static void max_pool(int64_t n, const void *vx, int64_t ldx, int64_t width, int64_t start, int64_t step,
                     int64_t rows, int64_t i0, int64_t kw, void *vy, uint8_t *at)
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
    for (int64_t t = t0 + pool_inside(t1 - t0, x + start + t0 * step, ldx, step, rows, i0, kw, y + t0,
                                      at + t0); t < t1; t++)
        pool_window(x, ldx, width, start + t * step, rows, i0, kw, y + t, at + t);
    for (int64_t t = t1; t < n; t++)
        pool_window(x, ldx, width, start + t * step, rows, i0, kw, y + t, at + t);
}

V_INLINE void pool_spread(int64_t n, int step, int base, const real *dy, const uint8_t *at, real *dx, int acc)
{
    int64_t t = 0;

#if defined(V_SHUFFLES)
    for (; step <= 3 && t < n; t += LANES) {
        const int some = n - t < LANES ? (int)(n - t) : LANES;
        uint8_t few[LANES] = {0};
        if (some < LANES)
            memcpy(few, at + t, (size_t)some);
        const vr d = some < LANES ? v_load_n(dy + t, some) : v_load(dy + t);
        const vi which = v_bits(pool_widen(some < LANES ? few : at + t));
        vr part[3] = {d, d, d}, mixed[3];
        for (int j = 0; j < step; j++) { /* 0 where `which` is another tap, all ones where it is this one */
            const vi same = (vi)(which == vi_set((uint32_t)(base + j)));
            part[j] = v_from_bits(v_bits(d) & same);
        }
        if (step == 1) {
            mixed[0] = part[0];
        } else if (step == 2) {
            mixed[0] = V_ZIP_LOW(part[0], part[1]);
            mixed[1] = V_ZIP_HIGH(part[0], part[1]);
        } else {
            mixed[0] = __builtin_shufflevector(__builtin_shufflevector(part[0], part[1], POOL_MIX_A0),
                                               part[2], POOL_MIX_B0);
            mixed[1] = __builtin_shufflevector(__builtin_shufflevector(part[0], part[1], POOL_MIX_A1),
                                               part[2], POOL_MIX_B1);
            mixed[2] = __builtin_shufflevector(__builtin_shufflevector(part[0], part[1], POOL_MIX_A2),
                                               part[2], POOL_MIX_B2);
        }
        for (int j = 0; j < step && j * LANES < some * step; j++) {
            real *to = dx + t * step + j * LANES;
            const int left = some * step - j * LANES, k = left < LANES ? left : LANES;
            v_store_k(to, acc ? mixed[j] + v_load_k(to, k, k == LANES) : mixed[j], k, k == LANES);
        }
    }
#endif
    for (; t < n; t++)
        for (int j = 0; j < step; j++) {
            const real g = at[t] == base + j ? dy[t] : (real)0;
            dx[t * step + j] = acc ? dx[t * step + j] + g : g;
        }
}

static void max_pool_bwd(int64_t n, int64_t kh, int64_t step, const void *dy, const uint8_t *at, void *vdx,
                         int64_t ldx, int acc)
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
        else if (step == 1)
            pool_spread(n, 1, base, dy, at, dx, acc);
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

/* As ROW_SUM of D and of D * (LD(xs) - m), in one pass: xs and dy come from a far cache. */
#define NORM_TERM(t, p, at, lanes, whole)    \
    {                                        \
        const int64_t i = (at);              \
        enum { full = (whole) };             \
        const int k = (lanes);               \
        (void)k;                             \
        const vr d = D;                      \
        t = t + d;                           \
        p = p + d * (LD(xs) - m);            \
    }
#define NORM_TWO_SUMS(size)                                                            \
    for (int64_t end, at = 0; at < (size); at = end) {                                 \
        vr t0 = v_set(0), t1 = t0, t2 = t0, t3 = t0, p0 = t0, p1 = t0, p2 = t0, p3 = t0; \
        end = (size) - at > ROW_BLOCK ? at + ROW_BLOCK : (size);                       \
        for (; at <= end - 4 * LANES; at += 4 * LANES) {                               \
            NORM_TERM(t0, p0, at, LANES, 1)                                            \
            NORM_TERM(t1, p1, at + LANES, LANES, 1)                                    \
            NORM_TERM(t2, p2, at + 2 * LANES, LANES, 1)                                \
            NORM_TERM(t3, p3, at + 3 * LANES, LANES, 1)                                \
        }                                                                              \
        for (; at <= end - LANES; at += LANES)                                         \
            NORM_TERM(t0, p0, at, LANES, 1)                                            \
        if (at < end)                                                                  \
            NORM_TERM(t1, p1, at, (int)(end - at), 0)                                  \
        total += (double)v_hsum((t0 + t1) + (t2 + t3));                                \
        product += (double)v_hsum((p0 + p1) + (p2 + p3));                              \
    }

static void norm_sums(int64_t n, const void *vx, const et_norm *norm, const void *vdy, double *sum,
                      double *dot)
{
    const real *xs = vx, *ds = vdy;
    double shift, total = 0, product = 0;
    const real centre = norm_centre(norm, &shift);
    const vr m = v_set(centre), s = v_set((real)norm->scale), b = v_set((real)shift), zero = v_set(0);

    if (norm->relu) {
#define D v_keep_k(NORM_OPEN(LD(ds)), zero, k, full)
        NORM_TWO_SUMS(n)
#undef D
    } else {
#define D LD(ds)
        NORM_TWO_SUMS(n)
#undef D
    }
    *sum = total;
    *dot = product + ((double)centre - norm->mean) * total;
}

static void norm_bwd(int64_t n, const void *vx, const et_norm *norm, const void *vdy, double a, double b_,
                     double c_, void *vdx, int acc)
{
    const real *xs = vx, *ds = vdy;
    real *os = vdx;
    double shift;
    const real centre = norm_centre(norm, &shift);
    const vr m = v_set(centre), s = v_set((real)norm->scale), b = v_set((real)shift), zero = v_set(0);
    const vr ga = v_set((real)a), gb = v_set((real)b_),
             gc = v_set((real)(c_ + ((double)centre - norm->mean) * b_));

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

/* --- batch norm of channels side by side ----------------------------------------------- */

V_INLINE void w_lanes(vw a, double *out) { memcpy(out, &a, sizeof a); }

/* Sums over rows of one vector of columns run in two accumulators over 16 rows, then in double. */
enum { COLS_ROWS = 16 };

/* Of x - from, or of its squares. */
V_INLINE vw cols_total(int64_t rows, const real *x, int64_t ld, int k, int full, vr from, int squares)
{
    vw total = w_zero();

    for (int64_t r0 = 0; r0 < rows; r0 += COLS_ROWS) {
        const int64_t r1 = rows - r0 < COLS_ROWS ? rows : r0 + COLS_ROWS;
        vr a0 = v_set(0), a1 = a0;
        for (int64_t r = r0; r < r1; r += 2) {
            const vr d = v_load_k(x + r * ld, k, full) - from;
            a0 = squares ? v_fma(d, d, a0) : a0 + d;
            if (r + 1 < r1) {
                const vr e = v_load_k(x + (r + 1) * ld, k, full) - from;
                a1 = squares ? v_fma(e, e, a1) : a1 + e;
            }
        }
        total = w_add(total, w_from(a0 + a1));
    }
    return total;
}

static void cols_moments(int64_t rows, int64_t cols, const void *vx, int64_t ld, double *mean, double *m2)
{
    const real *xs = vx;
    const vr zero = v_set(0);

    EACH(cols, {
        double lanes[LANES];
        real centre[LANES];
        w_lanes(cols_total(rows, xs + i, ld, k, full, zero, 0), lanes);
        for (int l = 0; l < LANES; l++) {
            lanes[l] /= (double)rows;
            centre[l] = (real)lanes[l];
        }
        for (int l = 0; l < k; l++)
            mean[i + l] = lanes[l];
        w_lanes(cols_total(rows, xs + i, ld, k, full, v_load(centre), 1), lanes);
        for (int l = 0; l < k; l++)
            m2[i + l] = lanes[l];
    });
}

static void cols_apply(int64_t rows, int64_t cols, const void *vx, int64_t ld, const void *const norm[3],
                       int relu, void *vy)
{
    const real *xs = vx, *ms = norm[0], *ss = norm[1], *bs = norm[2];
    real *ys = vy;
    const vr zero = v_set(0);

    for (int64_t r = 0; r < rows; r++, xs += ld, ys += ld)
        if (relu)
            EACH(cols, { ST(ys, v_max(zero, v_fma(LD(xs) - LD(ms), LD(ss), LD(bs)))); });
        else
            EACH(cols, { ST(ys, v_fma(LD(xs) - LD(ms), LD(ss), LD(bs))); });
}

/* Row r's g, added to a, and g (x - mean), to b. */
V_INLINE void cols_term(const real *x, const real *dy, int k, int full, vr m, vr s, vr shift, int relu,
                        vr *a, vr *b)
{
    const vr zero = v_set(0), d = v_load_k(x, k, full) - m;
    vr g = v_load_k(dy, k, full);

    if (relu)
        g = v_sel(v_lt(zero, v_fma(d, s, shift)), g, zero);
    *a = *a + g;
    *b = v_fma(g, d, *b);
}

static void cols_sums(int64_t rows, int64_t cols, const void *vx, int64_t ld, const void *const norm[3],
                      int relu, const void *vdy, double *sum, double *dot)
{
    const real *xs = vx, *ds = vdy, *ms = norm[0], *ss = norm[1], *bs = norm[2];

    EACH(cols, {
        const vr m = LD(ms), s = LD(ss), b = LD(bs);
        vw total = w_zero(), product = w_zero();
        double lanes[LANES];
        for (int64_t r0 = 0; r0 < rows; r0 += COLS_ROWS) {
            const int64_t r1 = rows - r0 < COLS_ROWS ? rows : r0 + COLS_ROWS;
            vr a0 = v_set(0), a1 = a0, b0 = a0, b1 = a0;
            for (int64_t r = r0; r < r1; r += 2) {
                cols_term(xs + r * ld + i, ds + r * ld + i, k, full, m, s, b, relu, &a0, &b0);
                if (r + 1 < r1)
                    cols_term(xs + (r + 1) * ld + i, ds + (r + 1) * ld + i, k, full, m, s, b, relu, &a1, &b1);
            }
            total = w_add(total, w_from(a0 + a1));
            product = w_add(product, w_from(b0 + b1));
        }
        w_lanes(total, lanes);
        for (int l = 0; l < k; l++)
            sum[i + l] = lanes[l];
        w_lanes(product, lanes);
        for (int l = 0; l < k; l++)
            dot[i + l] = lanes[l];
    });
}

static void cols_bwd(int64_t rows, int64_t cols, const void *vx, int64_t ld, const void *const norm[3],
                     int relu, const void *vdy, const void *const coeffs[3], void *vdx, int acc)
{
    const real *xs = vx, *ds = vdy, *ms = norm[0], *ss = norm[1], *shifts = norm[2];
    const real *as = coeffs[0], *bs = coeffs[1], *cs = coeffs[2];
    real *os = vdx;
    const vr zero = v_set(0);

    for (int64_t r = 0; r < rows; r++, xs += ld, ds += ld, os += ld)
        EACH(cols, {
            const vr x = LD(xs) - LD(ms);
            vr g = LD(ds);
            if (relu)
                g = v_sel(v_lt(zero, v_fma(x, LD(ss), LD(shifts))), g, zero);
            g = v_fma(g, LD(as), v_fma(x, LD(bs), LD(cs)));
            ST(os, acc ? LD(os) + g : g);
        });
}

/* --- means of pairs -------------------------------------------------------------------- */

/* y[t] = scale sum of x[2 t], x[2 t + 1] in `rows` rows */
static void avg_pairs(int64_t n, int64_t rows, const void *vx, int64_t ldx, double scale, void *vy)
{
    const real *x = vx;
    real *y = vy;

#if defined(V_SHUFFLES)
    for (int64_t t = 0; t < n; t += LANES) {
        const int k = n - t < LANES ? (int)(n - t) : LANES;
        vr a = v_set(0), b = a, d;
        for (int64_t r = 0; r < rows; r++) {
            a += v_load_two(x + r * ldx + 2 * t, 2 * k, &d);
            b += d;
        }
        v_store_k(y + t, (V_EVEN(a, b) + V_ODD(a, b)) * v_set((real)scale), k, k == LANES);
    }
#else
    for (int64_t t = 0; t < n; t++) {
        real total = 0;
        for (int64_t r = 0; r < rows; r++)
            total += x[r * ldx + 2 * t] + x[r * ldx + 2 * t + 1];
        y[t] = total * (real)scale;
    }
#endif
}

/* The way back: dx[2 t] and dx[2 t + 1] of `rows` rows (+)= scale dy[t]. */
static void avg_pairs_bwd(int64_t n, int64_t rows, const void *vdy, double scale, void *vdx, int64_t ldx,
                          int acc)
{
    const real *dy = vdy;
    real *dx = vdx;

#if defined(V_SHUFFLES)
    for (int64_t t = 0; t < n; t += LANES) {
        const int k = n - t < LANES ? (int)(n - t) : LANES, low = 2 * k < LANES ? 2 * k : LANES,
                  high = 2 * k - low;
        const vr d = v_load_k(dy + t, k, k == LANES) * v_set((real)scale), a = V_ZIP_LOW(d, d),
                 b = V_ZIP_HIGH(d, d);
        for (int64_t r = 0; r < rows; r++) {
            real *to = dx + r * ldx + 2 * t;
            v_store_k(to, acc ? a + v_load_k(to, low, low == LANES) : a, low, low == LANES);
            if (high)
                v_store_k(to + LANES, acc ? b + v_load_k(to + LANES, high, high == LANES) : b, high,
                          high == LANES);
        }
    }
#else
    for (int64_t t = 0; t < n; t++)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 2 * t; j < 2 * t + 2; j++)
                dx[r * ldx + j] = dy[t] * (real)scale + (acc ? dx[r * ldx + j] : (real)0);
#endif
}

#define POOL_TABLE                                                                         \
    .avg_pairs = avg_pairs, .avg_pairs_bwd = avg_pairs_bwd,                                \
    .max_pool = max_pool, .max_pool_bwd = max_pool_bwd,                                   \
    .max_pool_scatter = max_pool_scatter, .moments = moments,                              \
    .cols_moments = cols_moments, .cols_apply = cols_apply, .cols_sums = cols_sums,        \
    .cols_bwd = cols_bwd, .norm_apply = norm_apply, .norm_sums = norm_sums, .norm_bwd = norm_bwd
