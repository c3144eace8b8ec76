/* Sums, extremes and searches. Included once by variant.c.
 *
 * Sums run in double: each block of SUM_BLOCK elements in four vector accumulators,
 * the blocks' sums added pairwise. The order depends on n alone. */

enum { SUM_BLOCK = LANES == 1 ? 128 : 1024 };

/* Adds numbers pairwise as they come: part[i] is a sum of 2^i of them, there if bit i
 * of `count` is set. */
typedef struct pairwise {
    double part[64];
    uint64_t count;
} pairwise;

V_INLINE void pairwise_add(pairwise *p, double s)
{
    int level = 0;
    for (; p->count >> level & 1; level++)
        s += p->part[level];
    p->part[level] = s;
    p->count++;
}

V_INLINE double pairwise_sum(const pairwise *p)
{
    double s = 0;
    for (int level = 0; p->count >> level; level++)
        if (p->count >> level & 1)
            s += p->part[level];
    return s;
}

/* A sum over the elements of x (and y), ADD(s, a, b) adding those of one vector to s. */
#define SUM_STEP(s, at, k, full) \
    s = ADD(s, w_from(v_load_k(x + (at), k, full)), w_from(v_load_k(y + (at), k, full)))
#define SUM_FN(name) \
    static double name##_of(int64_t n, const real *x, const real *y) \
    { \
        pairwise total; \
        total.count = 0; \
        for (int64_t end, i = 0; i < n; i = end) { \
            vw s0 = w_zero(), s1 = s0, s2 = s0, s3 = s0; \
            end = n - i > SUM_BLOCK ? i + SUM_BLOCK : n; \
            for (; i <= end - 4 * LANES; i += 4 * LANES) { \
                SUM_STEP(s0, i, LANES, 1); \
                SUM_STEP(s1, i + LANES, LANES, 1); \
                SUM_STEP(s2, i + 2 * LANES, LANES, 1); \
                SUM_STEP(s3, i + 3 * LANES, LANES, 1); \
            } \
            for (; i <= end - LANES; i += LANES) \
                SUM_STEP(s0, i, LANES, 1); \
            if (i < end) \
                SUM_STEP(s1, i, (int)(end - i), 0); \
            pairwise_add(&total, w_sum(w_add(w_add(s0, s1), w_add(s2, s3)))); \
        } \
        return pairwise_sum(&total); \
    }

#define ADD(s, a, b) ((void)(b), w_add(s, a))
SUM_FN(sum)
#undef ADD
#define ADD(s, a, b) w_fma(a, b, s)
SUM_FN(dot)
#undef ADD

static double sum(int64_t n, const void *x) { return sum_of(n, x, x); }
static double sum_sq(int64_t n, const void *x) { return dot_of(n, x, x); }
static double dot(int64_t n, const void *x, const void *y) { return dot_of(n, x, y); }

#define SIDE_ADD(r, k, full) s##r = w_add(s##r, w_from(v_load_k(x##r + i, k, full)));
#define SIDE_ROWS(k, full) SIDE_ADD(0, k, full) SIDE_ADD(1, k, full) SIDE_ADD(2, k, full) SIDE_ADD(3, k, full)

/* Up to four rows side by side, a missing one being the first again: short ones one number after the other,
 * those of a block or less vector after vector. A row's sum does not depend on those beside it. */
static void side_sums(int64_t rows, int64_t cols, const real *x0, int64_t ld, double *out)
{
    enum { SHORT = 32 };
    const real *x1 = x0 + (rows > 1 ? ld : 0), *x2 = x0 + (rows > 2 ? 2 * ld : 0),
               *x3 = x0 + (rows > 3 ? 3 * ld : 0);
    double sums[4] = {0};

    if (cols < SHORT) {
        for (int64_t i = 0; i < cols; i++) {
            sums[0] += (double)x0[i];
            sums[1] += (double)x1[i];
            sums[2] += (double)x2[i];
            sums[3] += (double)x3[i];
        }
    } else {
        vw s0 = w_zero(), s1 = s0, s2 = s0, s3 = s0;
        int64_t i = 0;
        for (; i <= cols - LANES; i += LANES) {
            SIDE_ROWS(LANES, 1)
        }
        if (i < cols) {
            SIDE_ROWS((int)(cols - i), 0)
        }
        sums[0] = w_sum(s0);
        sums[1] = w_sum(s1);
        sums[2] = w_sum(s2);
        sums[3] = w_sum(s3);
    }
    memcpy(out, sums, (size_t)rows * sizeof *out);
}

static void row_sums(int64_t rows, int64_t cols, const void *vx, int64_t ld, double *out)
{
    const real *x = vx;

    for (int64_t r = 0, some; r < rows; r += some, x += some * ld) {
        some = cols > SUM_BLOCK ? 1 : rows - r < 4 ? rows - r : 4;
        if (cols > SUM_BLOCK)
            out[r] = sum(cols, x);
        else
            side_sums(some, cols, x, ld, out + r);
    }
}

/* The extreme of x, NaN if there is one. */
#define EXTREME_FN(name, worst, op, hop) \
    static double name(int64_t n, const void *vx) \
    { \
        const real *xs = vx; \
        const vr start = v_set((real)(worst)); \
        vr m0 = start, m1 = start; \
        vm bad = m_none(); \
        int64_t i = 0; \
        for (; i <= n - 2 * LANES; i += 2 * LANES) { \
            vr a = v_load(xs + i), b = v_load(xs + i + LANES); \
            bad = m_or(bad, m_or(v_isnan(a), v_isnan(b))); \
            m0 = op(m0, a); \
            m1 = op(m1, b); \
        } \
        for (; i < n; i += LANES) { \
            int64_t k = n - i < LANES ? n - i : LANES; \
            vr a = k < LANES ? v_sel(m_first((int)k), v_load_n(xs + i, (int)k), start) : v_load(xs + i); \
            bad = m_or(bad, v_isnan(a)); \
            m0 = op(m0, a); \
        } \
        return m_any(bad) ? (double)NAN : (double)hop(op(m0, m1)); \
    }
EXTREME_FN(maximum, -INFINITY, v_max, v_hmax)
EXTREME_FN(minimum, INFINITY, v_min, v_hmin)

/* The place of the first maximum (or minimum); NaN goes before all. */
static int64_t extremum(int64_t n, const void *vx, int min)
{
    const real *xs = vx;
    const double best = min ? minimum(n, vx) : maximum(n, vx);
    const int nan = best != best;
    const vr t = v_set((real)best);
    int64_t i = 0;

    for (; i <= n - LANES; i += LANES) {
        vr x = v_load(xs + i);
        if (m_any(nan ? v_isnan(x) : v_eq(x, t)))
            break;
    }
    for (; i < n; i++)
        if (nan ? xs[i] != xs[i] : xs[i] == (real)best)
            return i;
    return 0;
}

#if LANES > 1
/* The same for `vecs` vectors of columns, down the rows. */
V_INLINE void vec_extremum(int vecs, int64_t rows, const real *x, int64_t ld, int min, int32_t *at)
{
    enum { MOST = 4 };
    vr best[MOST], place[MOST];

    for (int i = 0; i < vecs; i++) {
        best[i] = v_load(x + i * LANES);
        place[i] = v_from_bits(vi_set(0));
    }
    for (int64_t r = 1; r < rows; r++)
        for (int i = 0; i < vecs; i++) {
            const vr v = v_load(x + r * ld + i * LANES);
            const vm better = m_or(min ? v_lt(v, best[i]) : v_lt(best[i], v), v_isnan(v)),
                     take = m_and(better, m_not(v_isnan(best[i])));
            best[i] = v_sel(take, v, best[i]);
            place[i] = v_sel(take, v_from_bits(vi_set((uint32_t)r)), place[i]);
        }
    for (int i = 0; i < vecs; i++)
        memcpy(at + i * LANES, &place[i], sizeof place[i]);
}
#endif

static void col_extremum(int64_t rows, int64_t cols, const void *vx, int64_t ld, int min, int32_t *at)
{
    const real *x = vx;
    int64_t j = 0;

#if LANES > 1
    for (; j <= cols - 4 * LANES; j += 4 * LANES)
        vec_extremum(4, rows, x + j, ld, min, at + j);
    for (; j <= cols - LANES; j += LANES)
        vec_extremum(1, rows, x + j, ld, min, at + j);
#endif
    for (; j < cols; j++) {
        real best = x[j];
        at[j] = 0;
        for (int64_t r = 1; r < rows; r++) {
            const real v = x[r * ld + j];
            if (best == best && (v != v || (min ? v < best : v > best))) {
                best = v;
                at[j] = (int32_t)r;
            }
        }
    }
}

static int all_finite(int64_t n, const void *vx)
{
    const real *xs = vx;
    const vr zero = v_set(0);
    vm bad = m_none();
    for (int64_t lo = 0; lo < n && !m_any(bad); lo += 4096) {
        const real *ps = xs + lo;
        int64_t m = n - lo < 4096 ? n - lo : 4096;
        EACH(m, { /* x - x is 0 for every finite x and NaN for the others */
            vr x = LD(ps);
            bad = m_or(bad, m_not(v_eq(x - x, zero)));
        });
    }
    return !m_any(bad);
}

/* Sums over rows: 16 rows at a time in a tree, the trees' sums in double, for a panel
 * of columns after the other. */
enum { COL_PANEL = 256 };

V_INLINE vr col_tree(int64_t rows, const real *x, int64_t ld, int k, int full)
{
#define ROW(r) v_load_k(x + (r) * ld, k, full)
    if (rows == 16) {
        vr a = (ROW(0) + ROW(1)) + (ROW(2) + ROW(3)), b = (ROW(4) + ROW(5)) + (ROW(6) + ROW(7));
        vr c = (ROW(8) + ROW(9)) + (ROW(10) + ROW(11)), d = (ROW(12) + ROW(13)) + (ROW(14) + ROW(15));
        return (a + b) + (c + d);
    }
    vr s0 = ROW(0), s1 = v_set(0);
    for (int64_t r = 1; r < rows; r++)
        if (r & 1)
            s1 = s1 + ROW(r);
        else
            s0 = s0 + ROW(r);
    return s0 + s1;
#undef ROW
}

static void range(int64_t n, const int32_t *x, int32_t *least, int32_t *most)
{
    int32_t lo = 0, hi = 0;

    for (int64_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *least = lo;
    *most = hi;
}

static void col_sum(int64_t rows, int64_t cols, const void *vx, int64_t ld, void *vy, int acc)
{
    const real *x = vx;
    real *y = vy;
    for (int64_t left = 0; left < cols; left += COL_PANEL) {
        const int64_t width = cols - left < COL_PANEL ? cols - left : COL_PANEL;
        vw sums[COL_PANEL / LANES];
        real *ys = y + left;

        for (int64_t v = 0; v < (width + LANES - 1) / LANES; v++)
            sums[v] = w_zero();
        for (int64_t r = 0; r < rows; r += 16) {
            const real *xs = x + r * ld + left;
            const int64_t h = rows - r < 16 ? rows - r : 16;
            EACH(width, {
                vw *s = &sums[i / LANES];
                *s = w_add(*s, w_from(col_tree(h, xs + i, ld, k, full)));
            });
        }
        if (acc)
            EACH(width, { ST(ys, LD(ys) + w_narrow(sums[i / LANES])); });
        else
            EACH(width, { ST(ys, w_narrow(sums[i / LANES])); });
    }
}
