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
 * What sticks out beyond `units` is zero in packed weights. Included by variant.c after
 * gemm.h and the vector functions. */

/* The widest panel of which eight rows fit the register file (three vectors) or, with fewer
 * registers, of which there are tiles; rows that share a pass over a group's weights. */
enum { REC_VECS = GEMM_VECS < 3 ? GEMM_VECS : 3, REC_MR = 8 };

/* Width of the next panel when `left` vectors remain: as wide as can be, but 2 + 2 for 4. */
static inline int64_t rec_cut(int64_t left)
{
    return left == 4 ? 2 : left < REC_VECS ? left : REC_VECS;
}

/* Rows of the next tile when `left` remain: as few tiles as can be, of nearly equal height. */
static inline int64_t rec_rows(int64_t left, int64_t width)
{
    const int64_t most = width == 1 ? GEMM_MR_1 : width == 2 ? GEMM_MR_2 : GEMM_MR_3;
    const int64_t tiles = (left + most - 1) / most;

    return (left + tiles - 1) / tiles;
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

static int64_t rec_packed(int gates, int64_t units, int64_t k)
{
    return gates * rec_blocks(units) * LANES * k;
}

/* Weight of output (gate g, unit j) and input p is w[(g units + j) rs + p cs]. */
static void rec_pack(int gates, int64_t units, int64_t k, const void *weights, int64_t rs, int64_t cs,
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
                p = 0;
#if LANES > 1
                if (cs == 1)
                    for (; p + LANES <= k; p += LANES)
                        v_transpose(from + p, rs, n, NULL, out + (p * width + i) * LANES, width * LANES);
#endif
                for (; p < k; p++) {
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

/* --- the product, from the register tiles of gemm.h --------------------------------- */

typedef void (*rec_tile_fn)(int64_t, int64_t, const void *, int64_t, int64_t, const void *, int64_t, int64_t,
                            void *, int64_t, double, double, const void *);
static const rec_tile_fn rec_tiles[ET_TILE_VECS + 1][ET_TILE_ROWS + 1] = {GEMM_TILES(GEMM_TILE_FIELD)};

/* c[i] = a[i] w + beta c[i] + bias for one group of gv vectors; bias may be NULL. */
static void rec_group(int64_t rows, int64_t k, const real *a, int64_t lda, const real *w, int64_t gv,
                      const real *bias, double beta, real *c, int64_t ldc)
{
    int64_t v, width, r, n;

    for (v = 0; v < gv; v += width, w += width * LANES * k) {
        width = rec_cut(gv - v);
        for (r = 0; r < rows; r += n) {
            n = rec_rows(rows - r, width);
            rec_tiles[width][n](1, k, a + r * lda, lda, 1, w, width * LANES, 0, c + r * ldc + v * LANES, ldc,
                                1, beta, bias ? bias + v * LANES : NULL);
        }
    }
}

/* c (tiled) = bias + a w, or c += a w when bias is NULL. bias is packed with k = 1. */
static void rec_product(int gates, int64_t units, int64_t rows, int64_t k, const void *a, int64_t lda,
                        const void *packed, const void *bias, void *c)
{
    const int64_t nv = gates * rec_blocks(units);
    int64_t v0, gv;

    for (v0 = 0; v0 < nv; v0 += gv) {
        real *out = (real *)c + v0 * rows * LANES;
        gv = rec_group_width(gates, units, v0);
        rec_group(rows, k, a, lda, (const real *)packed + v0 * k * LANES, gv,
                  bias ? (const real *)bias + v0 * LANES : NULL, bias ? 0 : 1, out, gv * LANES);
    }
}

/* The first n of LANES reals, zeros beyond; n >= LANES: all. */
static inline vr rec_load(const real *p, int64_t n)
{
    return n >= LANES ? v_load(p) : v_load_n(p, (int)n);
}

static inline void rec_store(real *p, vr x, int64_t n)
{
    if (n >= LANES)
        v_store(p, x);
    else
        v_store_n(p, x, (int)n);
}

/* Plain rows of `units` reals, ld apart, to tiled ones of one gate (NULL: zeros), and back. */
static void rec_tile(int64_t units, int64_t rows, const void *from, int64_t ld, void *tiled)
{
    const int64_t nv = rec_blocks(units);
    int64_t v0, gv, i, v;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(1, units, v0);
        for (i = 0; i < rows; i++)
            for (v = 0; v < gv; v++) {
                const int64_t first = (v0 + v) * LANES;
                v_store((real *)tiled + (v0 * rows + i * gv + v) * LANES,
                        from ? rec_load((const real *)from + i * ld + first, units - first) : v_set(0));
            }
    }
}

static void rec_untile(int64_t units, int64_t rows, const void *tiled, void *to, int64_t ld, int acc)
{
    const int64_t nv = rec_blocks(units);
    int64_t v0, gv, i, v;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(1, units, v0);
        for (i = 0; i < rows; i++)
            for (v = 0; v < gv; v++) {
                const int64_t first = (v0 + v) * LANES, n = units - first;
                real *p = (real *)to + i * ld + first;
                vr x = v_load((const real *)tiled + (v0 * rows + i * gv + v) * LANES);
                rec_store(p, acc ? rec_load(p, n) + x : x, n);
            }
    }
}
