/* C = act(alpha A B + beta C + bias): blocking, packing and threads around the
 * register tiles of tensor/kernels/gemm.h.
 *
 * k is cut into blocks of at most KC. For each, B is packed into panels as wide as a register
 * tile (zero-padded to whole vectors) that stay in the second-level cache while the rows of A
 * go past, a few rows at a time: those rows stay in the first-level cache, so A is packed only
 * where it is transposed and its lines lie badly for tiles or caches. Threads share C by rows,
 * by columns or both, in whole tiles. An element's sum runs over p ascending within a block of
 * k and over the blocks in turn, whatever tile or thread computes it, so its bits depend on the
 * shapes and strides alone.
 * Few rows or columns do not pay for packing: they read B where it lies, or are dot products.
 * Nor do short rows of B.
 *
 * Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008;
 * Van Zee and van de Geijn, "BLIS", 2015. */
#include "config.h"

#include <string.h>

#include "tensor/gemm.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

enum {
    KC = 512,                     /* longest block of k */
    KC_ACROSS = 128,              /* the same for a transposed A copied in groups or over short rows of B */
    SHORT_ROW = 128,              /* bytes of a short row of B for each lane of a vector */
    L2_BYTES = 512 * 1024,        /* packed B that one thread works on */
    SHARED_BYTES = 4 << 20,       /* most of a packed B that threads share */
    PRIVATE_ELEMS = 128 * 1024,   /* a smaller B is packed by every thread for itself, */
    PRIVATE_ROWS = 192,           /* and any B for so many rows a thread: handing it over costs more */
    ROW_GROUP = 24,               /* a multiple of every tile height */
    A_GROUP = 48,                 /* rows of A packed together: whole lines of a transposed one, */
    A_STRIP = 1056,               /* and most rows of groups that stay packed while blocks of B go past */
    A_GAP = 16,                   /* elements between packed tiles' rows, against equal places in the cache */
    MIN_TALL = 4,                 /* least height of the widest tile */
    FEW_ROWS = 24,                /* packing B does not pay for so few, */
    SOME_ROWS = 64,               /* nor for these where its rows do not fall onto each other in the cache, */
    MORE_ROWS = 512,              /* nor for these where its rows are short */
    FEW_COLS = 4,                 /* columns for which a tile would be mostly padding */
    STACK_BYTES = 4096            /* packed without asking the pool */
};

/* One product, or a batch of them, and how it is cut. */
typedef struct gemm_job {
    et_gemm_args g;
    const et_kernels *kr;
    int64_t es;               /* bytes of an element */
    int64_t nr;               /* columns of a full panel */
    int64_t kc, nc;           /* longest block of k, widest block of columns */
    int64_t rows_per, cols_per, row_chunks, col_chunks; /* pieces of C */
    bool direct;              /* B is read where it lies but for a ragged edge */
    int64_t strip;            /* A is packed, so many rows at a time at most; 0: read where it lies */
    bool stays;               /* a strip stays while blocks of B go past, not the other way round */
    char *pack;               /* packed B, or one slot a piece */
    int64_t slot, slot_a;     /* bytes of a slot; of these at its end, for A */
    int64_t j0, j1, p0, kb;   /* the block in hand, for shared packing, */
    int64_t shared;           /* whose packed B has so many bytes */
    int64_t chunk;            /* products a thread, for batches */
    bool dots;                /* by dot products */
} gemm_job;

static const char *at(const gemm_job *w, const void *base, int64_t elems)
{
    return (const char *)base + elems * w->es;
}

static char *at_mut(const gemm_job *w, void *base, int64_t elems)
{
    return (char *)base + elems * w->es;
}

/* --- the epilogue that tiles do not do --- */

/* out = act(c); they may be the same. */
static void activate(const gemm_job *w, int64_t n, const void *c, void *out)
{
    static const et_unary unary[] = {[ET_ACT_RELU] = ET_U_RELU,
                                     [ET_ACT_TANH] = ET_U_TANH,
                                     [ET_ACT_SIGMOID] = ET_U_SIGMOID,
                                     [ET_ACT_GELU] = ET_U_GELU};

    if (w->g.act != ET_ACT_NONE)
        w->kr->unary[unary[w->g.act]](n, c, out);
    else if (out != c)
        memcpy(out, c, (size_t)(n * w->es));
}

static void finish(const gemm_job *w, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    const et_gemm_args *g = &w->g;

    if (g->act == ET_ACT_NONE && !g->out)
        return;
    for (int64_t i = i0; i < i1; i++) {
        char *c = at_mut(w, g->c, i * g->ldc + j0);
        activate(w, j1 - j0, c, g->out ? at_mut(w, g->out, i * g->ldo + j0) : c);
    }
}

/* --- blocks --- */

/* Packed width of a panel that holds n columns. */
static int64_t panel_width(const gemm_job *w, int64_t n)
{
    return n >= w->nr ? w->nr : round_up(n, w->kr->lanes);
}

/* Packs columns j0 .. j1 of a block of k, panel after panel. */
static void pack_panels(const gemm_job *w, int64_t j0, int64_t j1, int64_t p0, int64_t kb, char *out)
{
    const et_gemm_args *g = &w->g;

    for (int64_t j = j0; j < j1; j += w->nr) {
        int64_t n = min64(w->nr, j1 - j);
        w->kr->gemm_pack(kb, n, at(w, g->b, p0 * g->rsb + j * g->csb), g->rsb, g->csb,
                         out + (j - j0) * kb * w->es, panel_width(w, n));
    }
}

/* The part of B that a block of tiles reads. */
typedef struct panels {
    const char *full; int64_t ld, step; /* whole panels: rows ld apart, panels step apart */
    const char *edge; int64_t edge_ld;  /* the last, narrower one */
} panels;

/* Rows of A that a block of tiles reads, from row `first` on. */
typedef struct lines {
    const char *p;
    int64_t first;
    int64_t rsa, csa;
    int64_t tall, step; /* packed: so many rows stand together, element by element, `step` elements after
                           those before them; tall 0: as they lie */
} lines;

/* `rows` rows from row i on, which begin a tile. */
static const char *lines_at(const gemm_job *w, const lines *a, int64_t i, int64_t rows, int64_t *rsa,
                            int64_t *csa)
{
    const int64_t r = i - a->first;

    *rsa = a->tall ? 1 : a->rsa;
    *csa = a->tall ? rows : a->csa;
    return at(w, a->p, a->tall ? r / a->tall * a->step : r * a->rsa);
}

/* Rows i0 .. i1 of A: packed into `out` where A is packed, else as they lie. */
static lines take_rows(const gemm_job *w, int64_t i0, int64_t i1, int64_t p0, int64_t kb, char *out)
{
    const et_gemm_args *g = &w->g;
    const int64_t tall = w->kr->gemm_rows[w->kr->gemm_vecs], step = kb * tall + A_GAP;

    if (!w->strip)
        return (lines){at(w, g->a, i0 * g->rsa + p0 * g->csa), i0, g->rsa, g->csa, 0, 0};
    for (int64_t i = i0; i < i1; i += A_GROUP)
        w->kr->gemm_pack_rows(kb, min64(A_GROUP, i1 - i), at(w, g->a, i * g->rsa + p0 * g->csa), g->rsa,
                              g->csa, at_mut(w, out, (i - i0) / tall * step), step);
    return (lines){out, i0, 1, tall, tall, step};
}

/* Tiles of one ragged panel, n < nr columns wide, through a small copy of C where n is not a
 * whole number of vectors. */
static void edge_tiles(const gemm_job *w, int64_t i0, int64_t i1, int64_t j, int64_t n, int64_t kb,
                       const lines *a, const panels *b, double beta, const char *bias)
{
    enum { TILE_BYTES = ET_TILE_ROWS * ET_TILE_VECS * 64, ROW_BYTES = ET_TILE_VECS * 64 };
    const et_gemm_args *g = &w->g;
    int64_t width = round_up(n, w->kr->lanes);
    int v = (int)(width / w->kr->lanes);
    int64_t tall = a->tall ? a->tall : w->kr->gemm_rows[v], rsa, csa;
    size_t bytes = (size_t)(n * w->es);
    char tile[TILE_BYTES], row[ROW_BYTES];

    if (width != n) {
        memset(tile, 0, sizeof tile);
        if (bias) {
            memset(row, 0, sizeof row);
            memcpy(row, bias, bytes);
            bias = row;
        }
    }
    for (int64_t i = i0; i < i1; i += tall) {
        int64_t rows = min64(tall, i1 - i);
        const char *ai = lines_at(w, a, i, rows, &rsa, &csa);
        char *c = at_mut(w, g->c, i * g->ldc + j);
        if (width == n) {
            w->kr->gemm_tile[v][rows](1, kb, ai, rsa, csa, b->edge, b->edge_ld, 0, c, g->ldc, g->alpha,
                                      beta, bias);
            continue;
        }
        if (beta != 0)
            for (int64_t r = 0; r < rows; r++)
                memcpy(tile + r * width * w->es, c + r * g->ldc * w->es, bytes);
        w->kr->gemm_tile[v][rows](1, kb, ai, rsa, csa, b->edge, b->edge_ld, 0, tile, width, g->alpha,
                                  beta, bias);
        for (int64_t r = 0; r < rows; r++)
            memcpy(c + r * g->ldc * w->es, tile + r * width * w->es, bytes);
    }
}

/* C[i0 .. i1, j0 .. j1] += A[.., p0 .. p0+kb] B[p0 .. p0+kb, ..]. */
static void rows_block(const gemm_job *w, int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t p0,
                       int64_t kb, const lines *a, const panels *b)
{
    const et_gemm_args *g = &w->g;
    const bool last = p0 + kb == g->k;
    const double beta = p0 == 0 ? g->beta : 1.0;
    const int64_t full = (j1 - j0) / w->nr, edge = (j1 - j0) % w->nr;
    const int vecs = w->kr->gemm_vecs, tall = w->kr->gemm_rows[vecs];
    int64_t rsa, csa;
    const char *bias = last && g->bias ? at(w, g->bias, j0) : NULL;

    for (int64_t i = i0; i < i1; i += ROW_GROUP) {
        const int64_t ie = min64(i + ROW_GROUP, i1);
        if (full)
            for (int64_t r = i; r < ie; r += tall) {
                const int64_t rows = min64(tall, ie - r);
                const char *ar = lines_at(w, a, r, rows, &rsa, &csa);
                w->kr->gemm_tile[vecs][rows](full, kb, ar, rsa, csa, b->full, b->ld, b->step,
                                             at_mut(w, g->c, r * g->ldc + j0), g->ldc, g->alpha, beta, bias);
            }
        if (edge) {
            int64_t j = j0 + full * w->nr;
            edge_tiles(w, i, ie, j, edge, kb, a, b, beta, bias ? bias + full * w->nr * w->es : NULL);
        }
        if (last)
            finish(w, i, ie, j0, j1);
    }
}

/* Panels of columns j0 .. j1 as pack_panels left them. */
static panels packed_panels(const gemm_job *w, const char *pack, int64_t j0, int64_t j1, int64_t kb)
{
    int64_t full = (j1 - j0) / w->nr * w->nr;

    return (panels){pack, w->nr, kb * w->nr, pack + full * kb * w->es, panel_width(w, j1 - j0 - full)};
}

/* B's block of columns j0 .. j1, packed into `slot` where it is not read as it lies or packed already. */
static panels block_panels(const gemm_job *w, int64_t j0, int64_t j1, int64_t p0, int64_t kb, char *slot)
{
    const et_gemm_args *g = &w->g;
    const int64_t full = (j1 - j0) / w->nr * w->nr, edge = j1 - j0 - full;

    if (g->packed)
        return packed_panels(w, at(w, g->packed, p0 * round_up(g->n, w->kr->lanes) + j0 * kb), j0, j1, kb);
    if (!w->direct) {
        pack_panels(w, j0, j1, p0, kb, slot);
        return packed_panels(w, slot, j0, j1, kb);
    }
    const char *first = at(w, g->b, p0 * g->rsb + j0);
    panels b = {first, g->rsb, w->nr, first + full * w->es, g->rsb};
    if (edge % w->kr->lanes) {
        b.edge = slot;
        b.edge_ld = panel_width(w, edge);
        w->kr->gemm_pack(kb, edge, first + full * w->es, g->rsb, 1, slot, b.edge_ld);
    }
    return b;
}

/* One piece of C by one thread, which packs what it needs of B into `slot`, and at that one's end of A. */
static void private_piece(const gemm_job *w, int64_t i0, int64_t i1, int64_t j0, int64_t j1, char *slot)
{
    const et_gemm_args *g = &w->g;
    char *scratch = w->strip ? slot + (w->slot - w->slot_a) : NULL;

    if (w->stays) {
        for (int64_t i = i0; i < i1; i += w->strip)
            for (int64_t p = 0, kb; p < g->k; p += kb) {
                const int64_t ie = min64(i + w->strip, i1);
                kb = min64(w->kc, g->k - p);
                const lines a = take_rows(w, i, ie, p, kb, scratch);
                for (int64_t j = j0; j < j1; j += w->nc) {
                    const int64_t je = min64(j + w->nc, j1);
                    const panels b = block_panels(w, j, je, p, kb, slot);
                    rows_block(w, i, ie, j, je, p, kb, &a, &b);
                }
            }
        return;
    }
    for (int64_t j = j0; j < j1; j += w->nc) {
        const int64_t je = min64(j + w->nc, j1), strip = w->strip ? w->strip : i1 - i0;
        int64_t p = 0;
        do {
            const int64_t kb = min64(w->kc, g->k - p);
            const panels b = block_panels(w, j, je, p, kb, slot);
            for (int64_t i = i0; i < i1; i += strip) {
                const int64_t ie = min64(i + strip, i1);
                const lines a = take_rows(w, i, ie, p, kb, scratch);
                rows_block(w, i, ie, j, je, p, kb, &a, &b);
            }
            p += kb;
        } while (p < g->k);
    }
}

static void private_body(int64_t lo, int64_t hi, void *user)
{
    const gemm_job *w = user;

    for (int64_t t = lo; t < hi; t++) {
        int64_t i0 = t / w->col_chunks * w->rows_per, j0 = t % w->col_chunks * w->cols_per;
        int64_t i1 = min64(i0 + w->rows_per, w->g.m), j1 = min64(j0 + w->cols_per, w->g.n);
        if (i0 < i1 && j0 < j1)
            private_piece(w, i0, i1, j0, j1, w->pack ? w->pack + t * w->slot : NULL);
    }
}

/* --- B packed once for all threads --- */

static void shared_pack_body(int64_t lo, int64_t hi, void *user)
{
    const gemm_job *w = user;
    int64_t j0 = w->j0 + lo * w->nr, j1 = min64(w->j0 + hi * w->nr, w->j1);

    pack_panels(w, j0, j1, w->p0, w->kb, w->pack + lo * w->nr * w->kb * w->es);
}

static void shared_body(int64_t lo, int64_t hi, void *user)
{
    const gemm_job *w = user;

    for (int64_t t = lo; t < hi; t++) {
        int64_t i0 = t / w->col_chunks * w->rows_per, j0 = w->j0 + t % w->col_chunks * w->cols_per;
        int64_t i1 = min64(i0 + w->rows_per, w->g.m), j1 = min64(j0 + w->cols_per, w->j1);
        const int64_t strip = w->strip ? w->strip : w->rows_per;
        char *scratch = w->pack + w->shared + t * w->slot_a;
        for (int64_t i = i0; i < i1; i += strip) {
            const int64_t ie = min64(i + strip, i1);
            const lines a = take_rows(w, i, ie, w->p0, w->kb, scratch);
            for (int64_t j = j0; j < j1; j += w->nc) {
                const int64_t je = min64(j + w->nc, j1);
                const panels b = packed_panels(w, w->pack + (j - w->j0) * w->kb * w->es, j, je, w->kb);
                rows_block(w, i, ie, j, je, w->p0, w->kb, &a, &b);
            }
        }
    }
}

/* --- cutting --- */

/* Sizes of the blocks, from the shapes alone. */
static void plan_blocks(gemm_job *w)
{
    const et_gemm_args *g = &w->g;
    const int64_t stride = g->csa * w->es;
    const bool near = g->csb == 1 && !g->packed && g->m <= MORE_ROWS &&
                      g->rsb * w->es <= SHORT_ROW * w->kr->lanes;
    const bool across = near && g->csa != 1;

    w->nr = (int64_t)w->kr->gemm_vecs * w->kr->lanes;
    w->direct = !g->packed && g->csb == 1 &&
                (near || g->m <= FEW_ROWS ||
                 (g->m <= SOME_ROWS &&
                  (g->rsb * w->es % 4096 != 0 || g->k * g->n * w->es <= L2_BYTES / 2)));
    /* Rows across the lines of memory: a copy, in which those of a tile lie together, pays where tiles are
     * narrow and read A often, and where the lines fall onto each other in the cache (strides of half pages)
     * and A is more than the second level holds. */
    const bool pack_a = !w->direct && g->csa != 1 && g->k > 0 && g->n >= 2 * w->nr &&
                        (w->kr->lanes < 16
                             ? stride >= 1024
                             : stride && stride % 2048 == 0 && g->m * g->k * w->es > 2 * L2_BYTES);
    /* Shallow blocks leave room for wide ones of B, for each of which A is copied anew, or read again line by
     * line; two panels do not need it. The widest vectors copy A once instead, for they wait for C too often
     * in shallow blocks. (With four lanes a tile's products do not pay for reading C so often either.) */
    w->stays = pack_a && w->kr->lanes == 16;
    const bool shallow = (across && g->n > 2 * w->nr) || (pack_a && !g->packed && w->kr->lanes == 8);
    const int64_t blocks = max64(1, ceil_div(g->k, shallow ? KC_ACROSS : KC));
    w->kc = max64(1, min64(g->k, round_up(ceil_div(g->k, blocks), 8)));
    w->nc = max64(w->nr, L2_BYTES / (w->kc * w->es) / w->nr * w->nr);
    w->strip = pack_a ? A_GROUP : 0;
}

/* Strips of A for pieces that have so many rows; those that stay are cut evenly. */
static void plan_strips(gemm_job *w, int64_t rows, int64_t most)
{
    if (w->stays)
        w->strip = round_up(ceil_div(rows, ceil_div(rows, most)), A_GROUP);
    w->slot_a = round_up((w->kc * w->strip + w->strip / MIN_TALL * A_GAP) * w->es, 64);
}

/* Bytes of a slot for a piece of C. */
static void plan_slot(gemm_job *w, int64_t rows, int64_t n)
{
    int64_t width = w->direct ? (w->g.n % w->kr->lanes ? w->nr : 0) : round_up(min64(n, w->nc), w->kr->lanes);

    if (w->g.packed)
        width = 0;
    plan_strips(w, rows, A_STRIP);
    w->slot = round_up(width * w->kc * w->es, 64) + w->slot_a;
}

/* Cuts C into at most `threads` pieces: by rows, which then stay with their thread from one product to the
 * next; by columns where B is more than A and C, for what a thread packs of it stays in its own cache. The
 * other way, or both, where that is clearly more even. */
static void plan_pieces(gemm_job *w, int64_t n, int threads)
{
    const int64_t tall = w->kr->gemm_rows[panel_width(w, n) / w->kr->lanes];
    const int64_t rows = ceil_div(w->g.m, tall), cols = ceil_div(n, w->nr);
    const bool by_cols = w->g.m * (w->g.k + n) < w->g.k * n;
    int64_t best = INT64_MAX;

    for (int64_t i = 1; i <= threads; i++) {
        const int64_t pc = by_cols ? threads + 1 - i : i;
        const int64_t pr = min64(threads / pc, rows), pcols = min64(pc, cols);
        const int64_t span = ceil_div(rows, pr) * ceil_div(cols, pcols);
        if (best == INT64_MAX || span + span / 16 < best) {
            best = span;
            w->rows_per = ceil_div(rows, pr) * tall;
            w->cols_per = ceil_div(cols, pcols) * w->nr;
        }
    }
    w->row_chunks = ceil_div(w->g.m, w->rows_per);
    w->col_chunks = ceil_div(n, w->cols_per);
}

/* --- products --- */

static et_status shared_product(gemm_job *w, int threads)
{
    const et_gemm_args *g = &w->g;
    const int64_t ns = max64(w->nr, SHARED_BYTES / (w->kc * w->es) / w->nr * w->nr);

    plan_strips(w, w->rows_per, PRIVATE_ROWS);
    w->shared = round_up(min64(ns, round_up(g->n, w->nr)) * min64(w->kc, g->k) * w->es, 64);
    w->pack = et_pool_alloc((size_t)(w->shared + (int64_t)threads * w->slot_a));
    if (!w->pack)
        return et_error_status();
    for (w->j0 = 0; w->j0 < g->n; w->j0 = w->j1) {
        w->j1 = min64(w->j0 + ns, g->n);
        plan_pieces(w, w->j1 - w->j0, threads);
        for (w->p0 = 0; w->p0 < g->k; w->p0 += w->kb) {
            int64_t cols = ceil_div(w->j1 - w->j0, w->nr);
            w->kb = min64(w->kc, g->k - w->p0);
            et_parallel_for(cols, ceil_div(cols, threads), shared_pack_body, w);
            et_parallel_for(w->row_chunks * w->col_chunks, 1, shared_body, w);
        }
    }
    et_pool_free(w->pack);
    return ET_OK;
}

/* One product on `threads` threads. */
static et_status product(gemm_job *w, int threads)
{
    const et_gemm_args *g = &w->g;
    char stack[STACK_BYTES];
    char *heap = NULL;

    plan_pieces(w, g->n, threads);
    if (w->row_chunks > 1 && w->rows_per < PRIVATE_ROWS && !w->direct && !g->packed &&
        g->k * g->n > PRIVATE_ELEMS)
        return shared_product(w, threads);
    plan_slot(w, w->rows_per, min64(w->cols_per, g->n));
    int64_t pieces = w->row_chunks * w->col_chunks, bytes = pieces * w->slot;
    if (bytes <= (int64_t)sizeof stack)
        w->pack = bytes ? stack : NULL;
    else if (!(w->pack = heap = et_pool_alloc((size_t)bytes)))
        return et_error_status();
    et_parallel_for(pieces, 1, private_body, w);
    et_pool_free(heap);
    return ET_OK;
}

/* --- dot products --- */

/* Pieces of the larger of m and n. */
static void dots_body(int64_t lo, int64_t hi, void *user)
{
    const gemm_job *w = user;
    const et_gemm_args *g = &w->g;
    int64_t i0 = 0, i1 = g->m, j0 = 0, j1 = g->n;

    if (g->m > g->n)
        i0 = lo, i1 = hi;
    else
        j0 = lo, j1 = hi;
    w->kr->gemm_dots(i1 - i0, j1 - j0, g->k, at(w, g->a, i0 * g->rsa), g->rsa, at(w, g->b, j0 * g->csb),
                     g->csb, at_mut(w, g->c, i0 * g->ldc + j0), g->ldc, g->alpha, g->beta,
                     g->bias ? at(w, g->bias, j0) : NULL);
    finish(w, i0, i1, j0, j1);
}

/* Rows of A and columns of B made contiguous where they are not, then dot products. */
static et_status dots(gemm_job *w, int threads)
{
    et_gemm_args *g = &w->g;
    const int64_t ld = round_up(max64(g->k, 1), w->kr->lanes), long_side = max64(g->m, g->n);
    const bool copy_a = g->csa != 1 && g->k > 1, copy_b = g->rsb != 1 && g->k > 1;
    const int64_t bytes = ld * w->es * ((copy_a ? g->m : 0) + (copy_b ? g->n : 0));
    char stack[STACK_BYTES];
    char *heap = NULL, *p = stack;

    if (bytes > (int64_t)sizeof stack && !(p = heap = et_pool_alloc((size_t)bytes)))
        return et_error_status();
    if (copy_a) {
        w->kr->gemm_pack(g->m, g->k, g->a, g->rsa, g->csa, p, ld);
        g->a = p;
        g->rsa = ld;
        p += g->m * ld * w->es;
    }
    if (copy_b) {
        w->kr->gemm_pack(g->n, g->k, g->b, g->csb, g->rsb, p, ld);
        g->b = p;
        g->csb = ld;
    }
    et_parallel_for(long_side, max64(1, round_up(ceil_div(long_side, threads), 8)), dots_body, w);
    et_pool_free(heap);
    return ET_OK;
}

static et_gemm_args nth_product(const gemm_job *w, int64_t i)
{
    et_gemm_args g = w->g;
    const int64_t outer = i / g.batch, inner = i % g.batch;

    g.a = at(w, g.a, outer * g.sa2 + inner * g.sa);
    g.b = at(w, g.b, outer * g.sb2 + inner * g.sb);
    g.c = at_mut(w, g.c, outer * g.sc2 + inner * g.sc);
    if (g.out)
        g.out = at_mut(w, g.out, outer * g.so2 + inner * g.so);
    return g;
}

static void batch_body(int64_t lo, int64_t hi, void *user)
{
    const gemm_job *all = user;
    gemm_job w = *all;
    char *slot = all->slot ? all->pack + lo / all->chunk * all->slot : NULL;

    for (int64_t i = lo; i < hi; i++) {
        w.g = nth_product(all, i);
        if (w.dots)
            dots_body(0, max64(w.g.m, w.g.n), &w);
        else
            private_piece(&w, 0, w.g.m, 0, w.g.n, slot);
    }
}

/* True if dot products are the way: few columns over contiguous rows of A, or few rows over
 * contiguous columns of B, which packing would have to turn (the longer the sums, the more rows it
 * takes to pay for that). In a batch nothing may need a copy. */
static bool wants_dots(const gemm_job *w)
{
    const et_gemm_args *g = &w->g;
    const int64_t few = w->kr->lanes == 16 && g->k >= 384 ? 32 : g->k >= 128 ? 8 : 4;

    if (g->packed || g->k < 8 || (g->batch * g->batch2 > 1 && (g->csa != 1 || g->rsb != 1)))
        return false;
    return (g->n <= FEW_COLS && g->csa == 1 && g->m > 1) || (g->m <= few && g->rsb == 1 && g->csb != 1);
}

/* A column of C over a transposed A is a row over A as it lies. */
static void column_to_row(et_gemm_args *g)
{
    et_gemm_args t = *g;

    if (g->packed || g->n != 1 || g->m == 1 || g->ldc != 1 || g->rsa != 1 || g->bias || g->out ||
        g->batch * g->batch2 > 1)
        return;
    t.m = 1;
    t.n = g->m;
    t.a = g->b;
    t.rsa = g->csb;
    t.csa = g->rsb;
    t.b = g->a;
    t.rsb = g->csa;
    t.csb = g->rsa;
    t.ldc = t.n;
    *g = t;
}

/* Strides along sizes of one say nothing: those chosen let such a vector count as contiguous. */
static void settle_strides(et_gemm_args *g)
{
    if (g->k == 1)
        g->csa = g->rsb = 1;
    if (g->n == 1)
        g->csb = g->rsb == 1 ? max64(g->k, 2) : 1;
    if (g->batch == 0)
        g->batch = 1;
    if (g->batch2 == 0)
        g->batch2 = 1;
    if (g->batch == 1) {
        g->batch = g->batch2;
        g->batch2 = 1;
        g->sa = g->sa2, g->sb = g->sb2, g->sc = g->sc2, g->so = g->so2;
    }
}

/* A batch that shares B and whose rows follow each other evenly is one product. */
static void merge_batch(et_gemm_args *g)
{
    if (g->batch > 1 && g->sb == 0 && g->sa == g->m * g->rsa && g->sc == g->m * g->ldc &&
        (!g->out || g->so == g->m * g->ldo)) {
        g->m *= g->batch;
        g->batch = 1;
    }
}

size_t et_gemm_packed_bytes(et_dtype dtype, int64_t k, int64_t n)
{
    return (size_t)(k * round_up(n, et_kernels_for(dtype)->lanes)) * et_dtype_size(dtype);
}

/* Blocks of k behind each other, each of all panels. */
void et_gemm_pack(et_dtype dtype, int64_t k, int64_t n, const void *b, int64_t rsb, int64_t csb, void *packed)
{
    gemm_job w = {.g = {.m = 1, .n = n, .k = k, .b = b, .rsb = rsb, .csb = csb, .packed = packed},
                  .kr = et_kernels_for(dtype), .es = (int64_t)et_dtype_size(dtype)};

    plan_blocks(&w);
    for (int64_t p = 0; p < k; p += w.kc)
        pack_panels(&w, 0, n, p, min64(w.kc, k - p), at_mut(&w, packed, p * round_up(n, w.kr->lanes)));
}

et_status et_gemm(et_dtype dtype, const et_gemm_args *args)
{
    gemm_job w = {.g = *args};
    et_gemm_args *g = &w.g;

    if (!et_dtype_is_real(dtype))
        return et_raise(ET_EDTYPE, "gemm: expected float32 or float64, got %s", et_dtype_name(dtype));
    if (g->m == 0 || g->n == 0)
        return ET_OK;
    w.kr = et_kernels_for(dtype);
    w.es = (int64_t)et_dtype_size(dtype);
    settle_strides(g);
    merge_batch(g);
    settle_strides(g); /* an outer level may have become the only one */
    column_to_row(g);

    const double flops = 2.0 * (double)g->m * (double)g->n * (double)max64(g->k, 1);
    const int64_t products = g->batch * g->batch2;
    et_status status = ET_OK;
    plan_blocks(&w);
    w.dots = wants_dots(&w);
    int threads = et_threads_for(flops * (double)products);
    if (products > 1 &&
        (products % threads == 0 || products >= 2 * threads || flops < 4.0 * ET_GRAIN_FLOPS)) {
        w.chunk = ceil_div(products, threads);
        if (!w.dots)
            plan_slot(&w, g->m, g->n);
        if (w.slot && !(w.pack = et_pool_alloc((size_t)(ceil_div(products, w.chunk) * w.slot))))
            return et_error_status();
        et_parallel_for(products, w.chunk, batch_body, &w);
        et_pool_free(w.pack);
        return ET_OK;
    }
    threads = et_threads_for(flops);
    for (int64_t i = 0; i < products && status == ET_OK; i++) {
        gemm_job one = w;
        one.g = nth_product(&w, i);
        status = w.dots ? dots(&one, threads) : product(&one, threads);
    }
    return status;
}
