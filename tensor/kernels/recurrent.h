/* Recurrent layers: packed weights, the product of a few rows with them, and one step of
 * each cell forward and backward (autograd/recurrent.c walks the time).
 *
 * Vectors of columns. A matrix of `gates` x `units` outputs is seen as vectors of LANES
 * outputs: first all gates of units 0 .. LANES-1, then of the next LANES, so that the gates
 * of one unit come out of a product together. Vectors are gathered into groups: the gates of
 * one block of units, or, where there is one gate, as many blocks as make a panel. A group's
 * first vector is v0 and its width gv:
 *
 *   packed weights  [groups][panels of the group][k][panel width][LANES]
 *   tiled rows      [groups][rows][gv][LANES], a group starting at real v0 rows LANES
 *
 * What sticks out beyond `units` is zero in packed weights. A panel is at most three vectors
 * wide: with eight rows these are 24 accumulators, one weight vector is loaded for eight
 * multiplications, and a row's number is broadcast from memory. */

enum { REC_MR = VREGS >= 32 ? 8 : 4, REC_MAX_GATES = 4 };

/* Width of the next panel when `left` vectors remain: 3, but 2 + 2 for 4. */
static inline int64_t rec_cut(int64_t left)
{
    return left == 4 ? 2 : left < 3 ? left : 3;
}

static inline int64_t rec_blocks(int64_t units)
{
    return (units + LANES - 1) / LANES;
}

/* Width of the group that starts at vector v0. */
static inline int64_t rec_group_width(int gates, int64_t units, int64_t v0)
{
    return gates > 1 ? gates : rec_cut(rec_blocks(units) - v0);
}

static int64_t K(rec_packed)(int gates, int64_t units, int64_t k)
{
    return gates * rec_blocks(units) * LANES * k;
}

/* Weight of output (gate g, unit j) and input p is w[(g units + j) rs + p cs]. */
static void K(rec_pack)(int gates, int64_t units, int64_t k, const void *weights, int64_t rs, int64_t cs,
                        void *packed)
{
    const int64_t nv = gates * rec_blocks(units);
    const real *w = weights;
    real *out = packed;
    int64_t v0, v, gv, width, i, p, lane;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(gates, units, v0);
        for (v = v0; v < v0 + gv; v += width) {
            width = rec_cut(v0 + gv - v);
            for (i = 0; i < width; i++) {
                const int64_t gate = (v + i) % gates, first = (v + i) / gates * LANES;
                const int64_t n = units - first < LANES ? units - first : LANES;
                const real *from = w + (gate * units + first) * rs;
                for (p = 0; p < k; p++) {
                    real *to = out + (p * width + i) * LANES;
                    for (lane = 0; lane < n; lane++)
                        to[lane] = from[lane * rs + p * cs];
                    for (; lane < LANES; lane++)
                        to[lane] = 0;
                }
            }
            out += k * width * LANES;
        }
    }
}

/* --- the product: c = start + a w, for R rows and a panel of W vectors ----------------- */

#define REC_EACH1(M) M(0)
#define REC_EACH2(M) M(0) M(1)
#define REC_EACH4(M) REC_EACH2(M) M(2) M(3)
#define REC_EACH8(M) REC_EACH4(M) M(4) M(5) M(6) M(7)

#define REC_OPEN1(i)                     \
    const real *a##i = a + (i) * lda;    \
    V c##i##0 = vloadu(start + (i) * lds);
#define REC_OPEN2(i) REC_OPEN1(i) V c##i##1 = vloadu(start + (i) * lds + LANES);
#define REC_OPEN3(i) REC_OPEN2(i) V c##i##2 = vloadu(start + (i) * lds + 2 * LANES);

#define REC_WEIGHT1 const V w0 = vloadu(w);
#define REC_WEIGHT2 REC_WEIGHT1 const V w1 = vloadu(w + LANES);
#define REC_WEIGHT3 REC_WEIGHT2 const V w2 = vloadu(w + 2 * LANES);

#define REC_STEP1(i) s = vset1(a##i[p]); c##i##0 += s * w0;
#define REC_STEP2(i) REC_STEP1(i) c##i##1 += s * w1;
#define REC_STEP3(i) REC_STEP2(i) c##i##2 += s * w2;

#define REC_CLOSE1(i) vstoreu(c + (i) * ldc, c##i##0);
#define REC_CLOSE2(i) REC_CLOSE1(i) vstoreu(c + (i) * ldc + LANES, c##i##1);
#define REC_CLOSE3(i) REC_CLOSE2(i) vstoreu(c + (i) * ldc + 2 * LANES, c##i##2);

#define REC_TILE(R, W)                                                                               \
    static void rec_tile##R##x##W(int64_t k, const real *a, int64_t lda, const real *w,              \
                                  const real *start, int64_t lds, real *c, int64_t ldc)              \
    {                                                                                                \
        int64_t p;                                                                                   \
        V s;                                                                                         \
        REC_EACH##R(REC_OPEN##W)                                                                     \
        for (p = 0; p < k; p++, w += (W) * LANES) {                                                  \
            REC_WEIGHT##W                                                                            \
            REC_EACH##R(REC_STEP##W)                                                                 \
        }                                                                                            \
        REC_EACH##R(REC_CLOSE##W)                                                                    \
    }

#define REC_ROWS_FROM(R, W)                                                                          \
    for (; rows >= (R); rows -= (R), a += (R) * lda, start += (R) * lds, c += (R) * ldc)             \
        rec_tile##R##x##W(k, a, lda, w, start, lds, c, ldc);

#if VREGS >= 32
#define REC_TILES(W) REC_TILE(8, W) REC_TILE(4, W) REC_TILE(2, W) REC_TILE(1, W)
#define REC_ROWS(W) REC_ROWS_FROM(8, W) REC_ROWS_FROM(4, W) REC_ROWS_FROM(2, W) REC_ROWS_FROM(1, W)
#else
#define REC_TILES(W) REC_TILE(4, W) REC_TILE(2, W) REC_TILE(1, W)
#define REC_ROWS(W) REC_ROWS_FROM(4, W) REC_ROWS_FROM(2, W) REC_ROWS_FROM(1, W)
#endif

REC_TILES(1)
REC_TILES(2)
REC_TILES(3)

/* c[i] = start[i] + a[i] w for one group of gv vectors. */
static void rec_group(int64_t rows_all, int64_t k, const real *a_all, int64_t lda, const real *w, int64_t gv,
                      const real *start_all, int64_t lds, real *c_all, int64_t ldc)
{
    int64_t v, width;

    for (v = 0; v < gv; v += width, w += width * LANES * k) {
        const real *a = a_all, *start = start_all + v * LANES;
        real *c = c_all + v * LANES;
        int64_t rows = rows_all;
        width = rec_cut(gv - v);
        if (width == 3) {
            REC_ROWS(3)
        } else if (width == 2) {
            REC_ROWS(2)
        } else {
            REC_ROWS(1)
        }
    }
}

/* c (tiled) = bias + a w, or c += a w when bias is NULL. bias is packed with k = 1. */
static void K(rec_product)(int gates, int64_t units, int64_t rows, int64_t k, const void *a, int64_t lda,
                           const void *packed, const void *bias, void *c)
{
    const int64_t nv = gates * rec_blocks(units);
    int64_t v0, gv;

    for (v0 = 0; v0 < nv; v0 += gv) {
        real *out = (real *)c + v0 * rows * LANES;
        gv = rec_group_width(gates, units, v0);
        rec_group(rows, k, a, lda, (const real *)packed + v0 * k * LANES, gv,
                  bias ? (const real *)bias + v0 * LANES : out, bias ? 0 : gv * LANES, out, gv * LANES);
    }
}

/* The first n of LANES reals, zeros beyond; n >= LANES: all. */
static inline V rec_load(const real *p, int64_t n)
{
    real part[LANES] = {0};

    if (n >= LANES)
        return vloadu(p);
    memcpy(part, p, (size_t)n * sizeof *p);
    return vloadu(part);
}

static inline void rec_store(real *p, V x, int64_t n)
{
    real part[LANES];

    if (n >= LANES) {
        vstoreu(p, x);
        return;
    }
    vstoreu(part, x);
    memcpy(p, part, (size_t)n * sizeof *p);
}

/* Plain rows of `units` reals, ld apart, to tiled ones of one gate (NULL: zeros), and back. */
static void K(rec_tile)(int64_t units, int64_t rows, const void *from, int64_t ld, void *tiled)
{
    const int64_t nv = rec_blocks(units);
    int64_t v0, gv, i, v;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(1, units, v0);
        for (i = 0; i < rows; i++)
            for (v = 0; v < gv; v++) {
                const int64_t first = (v0 + v) * LANES;
                vstoreu((real *)tiled + (v0 * rows + i * gv + v) * LANES,
                        from ? rec_load((const real *)from + i * ld + first, units - first) : vset1(0));
            }
    }
}

static void K(rec_untile)(int64_t units, int64_t rows, const void *tiled, void *to, int64_t ld, int acc)
{
    const int64_t nv = rec_blocks(units);
    int64_t v0, gv, i, v;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(1, units, v0);
        for (i = 0; i < rows; i++)
            for (v = 0; v < gv; v++) {
                const int64_t first = (v0 + v) * LANES, n = units - first;
                real *p = (real *)to + i * ld + first;
                V x = vloadu((const real *)tiled + (v0 * rows + i * gv + v) * LANES);
                rec_store(p, acc ? rec_load(p, n) + x : x, n);
            }
    }
}
