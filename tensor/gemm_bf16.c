/* C = act(alpha A B + beta C + bias) with A and B in bfloat16.
 *
 * Where the CPU has the instruction: k is cut into blocks, and of each both operands are packed as pairs of
 * bfloat16, A into groups of LANES rows, B into panels of COLS columns: some panels at a time, which all
 * packed rows meet while they are in the second-level cache. Tiles of C are computed by threads, which share
 * C in chunks; with many rows or columns each, they pack and compute pieces for themselves. An element's sum
 * runs over k in one order, so its bits do not depend on the threads. Elsewhere: float32 copies of the
 * rounded operands, and et_gemm. */
#include "config.h"

#include <string.h>

#include "tensor/bf16.h"
#include "tensor/cpu.h"
#include "tensor/gemm.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

#if defined(ET_WITH_AVX512_BF16)
extern const et_bf16_kernels et_bf16_avx512;
#endif

enum {
    LANES = ET_BF16_LANES,
    COLS = ET_BF16_COLS,
    DEEP = 768,         /* longest block of k: a panel of B is 72 KiB */
    MAX_A = 1 << 18,    /* pairs of A that are packed at once: 1 MiB, half of it where B is whole */
    MAX_B = 1 << 17,    /* the same of B: 512 KiB, */
    CHUNKS = 8,         /* or a panel for each of the pieces into which C is cut where it is large enough */
    CHUNK_ROWS = 64,    /* of C that a thread computes: their part of A is 96 KiB */
    PRIVATE = 192       /* rows or columns of a thread that packs for itself */
};

static const et_bf16_kernels *native(void)
{
#if defined(ET_WITH_AVX512_BF16)
    if (et_cpu_info()->avx512_bf16 && strcmp(et_isa(), "avx512") == 0)
        return &et_bf16_avx512;
#endif
    return NULL;
}

bool et_bf16_native(void) { return native() != NULL; }

/* Product number (i2, i1) of the batch, as one of its own. */
static et_gemm_args nth(et_dtype from, const et_gemm_args *args, int64_t i2, int64_t i1)
{
    const int64_t size = (int64_t)et_dtype_size(from);
    et_gemm_args g = *args;

    g.a = (const char *)g.a + (i2 * g.sa2 + i1 * g.sa) * size;
    g.b = (const char *)g.b + (i2 * g.sb2 + i1 * g.sb) * size;
    g.c = (float *)g.c + i2 * g.sc2 + i1 * g.sc;
    if (g.out)
        g.out = (float *)g.out + i2 * g.so2 + i1 * g.so;
    g.batch = g.batch2 = 1;
    return g;
}

/* --- with the instruction --------------------------------------------------------------------- */

/* A product, or a block of k of it. */
typedef struct job {
    const et_bf16_kernels *kr;
    et_dtype from;
    et_gemm_args g;
    int64_t pairs;                    /* of k */
    int64_t panels;                   /* of B */
    int64_t row0, rows;               /* of A that are packed */
    int64_t chunk_panels, col_chunks; /* of C */
    uint32_t *a, *b;
} job;

static const void *element(const job *w, const void *p, int64_t at)
{
    return (const char *)p + at * (int64_t)et_dtype_size(w->from);
}

/* Columns of a panel. */
static int64_t cols_of(const job *w, int64_t panel) { return min64(COLS, w->g.n - panel * COLS); }

static uint32_t *panel_at(const job *w, int64_t panel) { return w->b + panel * COLS * w->pairs; }
static uint32_t *group_at(const job *w, int64_t group) { return w->a + group * LANES * w->pairs; }

/* Lines of LANES columns to their ends, which are few enough for the hardware to follow at once. */
static void pack_b(int64_t lo, int64_t hi, void *user)
{
    const job *w = user;
    const et_gemm_args *g = &w->g;

    for (int64_t col = lo * LANES; col < hi * LANES; col += LANES) {
        const int64_t panel = col / COLS, width = round_up(cols_of(w, panel), LANES);
        w->kr->pack(w->from, g->k, min64(LANES, g->n - col), element(w, g->b, col * g->csb), g->csb, g->rsb,
                    panel_at(w, panel) + col % COLS, width);
    }
}

static void pack_a(int64_t lo, int64_t hi, void *user)
{
    const job *w = user;
    const et_gemm_args *g = &w->g;

    for (int64_t group = lo; group < hi; group++) {
        const int64_t row = group * LANES;
        w->kr->pack(w->from, g->k, min64(LANES, w->rows - row), element(w, g->a, (w->row0 + row) * g->rsa),
                    g->rsa, g->csa, group_at(w, group), LANES);
    }
}

/* Chunks of C. */
static void multiply(int64_t lo, int64_t hi, void *user)
{
    const job *w = user;
    const et_gemm_args *g = &w->g;

    for (int64_t t = lo; t < hi; t++) {
        const int64_t r0 = t / w->col_chunks * CHUNK_ROWS, r1 = min64(w->rows, r0 + CHUNK_ROWS);
        const int64_t p0 = t % w->col_chunks * w->chunk_panels, p1 = min64(w->panels, p0 + w->chunk_panels);
        for (int64_t panel = p0; panel < p1; panel++) {
            const int64_t col = panel * COLS;
            const float *bias = g->bias ? (const float *)g->bias + col : NULL;
            for (int64_t r = r0; r < r1; r += ET_BF16_ROWS)
                w->kr->tile(min64(ET_BF16_ROWS, r1 - r), cols_of(w, panel), w->pairs,
                            group_at(w, r / LANES) + r % LANES, panel_at(w, panel),
                            (float *)g->c + (w->row0 + r) * g->ldc + col, g->ldc, (float)g->alpha,
                            (float)g->beta, bias);
        }
    }
}

static int64_t grain_of(int64_t n, double flops)
{
    const int64_t most = (int64_t)(flops / ET_GRAIN_FLOPS) + 1;

    return max64(1, ceil_div(n, min64(most, n)));
}

static void pack_rows(job *w, int64_t row0, int64_t count)
{
    w->row0 = row0;
    w->rows = min64(count, w->g.m - row0);
    const int64_t groups = ceil_div(w->rows, LANES);
    et_parallel_for(groups, et_row_grain(groups, LANES * w->g.k), pack_a, w);
}

static void pack_panels(job *w)
{
    const int64_t groups = ceil_div(w->g.n, LANES);

    et_parallel_for(groups, et_row_grain(groups, LANES * w->g.k), pack_b, w);
}

/* The packed rows times the packed panels. */
static void multiply_packed(job *w)
{
    const double flops = 2.0 * (double)w->rows * (double)w->g.n * (double)w->g.k;
    const int64_t row_chunks = ceil_div(w->rows, CHUNK_ROWS), wanted = max64(1, CHUNKS / row_chunks);

    w->chunk_panels = ceil_div(w->panels, wanted);
    w->col_chunks = ceil_div(w->panels, w->chunk_panels);
    et_parallel_for(row_chunks * w->col_chunks, grain_of(row_chunks * w->col_chunks, flops), multiply, w);
}

/* `count` panels of B from number `first` on, as a product of their own. */
static job some_panels(const job *w, int64_t first, int64_t count)
{
    const int64_t col = first * COLS;
    job part = *w;

    part.panels = min64(count, w->panels - first);
    part.g.n = min64(part.panels * COLS, w->g.n - col);
    part.g.b = element(w, w->g.b, col * w->g.csb);
    part.g.c = (float *)w->g.c + col;
    part.g.bias = w->g.bias ? (const float *)w->g.bias + col : NULL;
    return part;
}

/* All that tiles do not do, as a product without k. */
static et_status finish(const et_gemm_args *g)
{
    et_gemm_args rest = *g;

    if (g->act == ET_ACT_NONE && !g->out)
        return ET_OK;
    rest.k = 0;
    rest.beta = 1;
    rest.bias = NULL;
    return et_gemm(ET_F32, &rest);
}

/* Elements p .. p + deep of the sums over k, as a product that adds to those before. */
static et_gemm_args block_of(const job *w, const et_gemm_args *all, int64_t p, int64_t deep)
{
    et_gemm_args g = *all;

    g.k = min64(deep, g.k - p);
    g.a = element(w, g.a, p * g.csa);
    g.b = element(w, g.b, p * g.rsb);
    if (p > 0) {
        g.beta = 1;
        g.bias = NULL;
    }
    return g;
}

static et_status run_all_native(const et_bf16_kernels *kr, et_dtype from, const et_gemm_args *args)
{
    job w = {.kr = kr, .from = from, .panels = ceil_div(args->n, COLS)};
    const int64_t batch = max64(1, args->batch), batch2 = max64(1, args->batch2);
    /* blocks of k, rows of A and panels of B that are packed at once */
    const int64_t deep = round_up(ceil_div(args->k, ceil_div(args->k, DEEP)), 2 * LANES), pairs = deep / 2;
    const int64_t fit = max64(CHUNKS, MAX_B / (pairs * COLS));
    const int64_t panels = ceil_div(w.panels, ceil_div(w.panels, fit));
    /* a B in parts is packed anew for each part of A */
    const int64_t a = panels < w.panels ? MAX_A : MAX_A / 2;
    const int64_t most = max64(1, a / pairs / CHUNK_ROWS) * CHUNK_ROWS;
    const int64_t rows = round_up(ceil_div(args->m, ceil_div(args->m, most)), LANES);
    et_gemm_args packed = {.b = NULL}; /* the block whose B is packed, as a whole */
    et_status status = ET_OK;

    w.a = et_pool_alloc((size_t)(pairs * rows) * sizeof(uint32_t));
    w.b = w.a ? et_pool_alloc((size_t)(pairs * panels * COLS) * sizeof(uint32_t)) : NULL;
    if (!w.b)
        status = et_error_status();
    for (int64_t i = 0; i < batch * batch2 && !status; i++) {
        const et_gemm_args product = nth(from, args, i / batch, i % batch);
        for (int64_t p = 0; p < args->k; p += deep) {
            w.g = block_of(&w, &product, p, deep);
            w.pairs = ceil_div(w.g.k, 2);
            for (int64_t row = 0; row < args->m; row += rows) {
                pack_rows(&w, row, rows);
                for (int64_t panel = 0; panel < w.panels; panel += panels) {
                    job part = some_panels(&w, panel, panels);
                    if (panels < w.panels || w.g.b != packed.b || w.g.k != packed.k) /* else it is shared */
                        pack_panels(&part);
                    multiply_packed(&part);
                }
                packed = w.g;
            }
        }
        status = finish(&product);
    }
    et_pool_free(w.b);
    et_pool_free(w.a);
    return status;
}

/* A large product, some rows or columns of C for each thread. */
typedef struct pieces {
    const et_bf16_kernels *kr;
    et_dtype from;
    const et_gemm_args *args;
    bool by_cols;
    int64_t per;       /* rows or columns of a piece */
    et_status *status; /* [pieces] */
} pieces;

static void piece_body(int64_t lo, int64_t hi, void *user)
{
    const pieces *w = user;
    const int64_t size = (int64_t)et_dtype_size(w->from);

    for (int64_t t = lo; t < hi; t++) {
        const int64_t at = t * w->per;
        et_gemm_args g = *w->args;
        const int64_t row = w->by_cols ? 0 : at, col = w->by_cols ? at : 0;
        g.m = w->by_cols ? g.m : min64(w->per, g.m - at);
        g.n = w->by_cols ? min64(w->per, g.n - at) : g.n;
        g.a = (const char *)g.a + row * g.rsa * size;
        g.b = (const char *)g.b + col * g.csb * size;
        g.c = (float *)g.c + row * g.ldc + col;
        g.bias = g.bias ? (const float *)g.bias + col : NULL;
        g.out = g.out ? (float *)g.out + row * g.ldo + col : NULL;
        if ((w->status[t] = run_all_native(w->kr, w->from, &g)))
            et_error_clear(); /* raised again by the thread that called */
    }
}

/* Threads with large pieces pack what they need of both operands for themselves: to hand packed lines from
 * core to core costs more than to pack the smaller operand twice. */
static et_status run_pieces(const et_bf16_kernels *kr, et_dtype from, const et_gemm_args *g)
{
    const double products = (double)max64(1, g->batch) * (double)max64(1, g->batch2);
    const int threads = et_threads_for(2.0 * (double)g->m * (double)g->n * (double)g->k * products);
    pieces w = {.kr = kr, .from = from, .args = g, .by_cols = g->m < g->n};
    const int64_t size = w.by_cols ? g->n : g->m;
    et_status status = ET_OK;

    w.per = round_up(ceil_div(size, threads), w.by_cols ? COLS : LANES);
    if (threads == 1 || w.per < PRIVATE || 16 * w.per * threads > 17 * size) /* or too uneven */
        return run_all_native(kr, from, g);
    const int64_t count = ceil_div(size, w.per);
    if (!(w.status = et_pool_alloc((size_t)count * sizeof *w.status)))
        return et_error_status();
    et_parallel_for(count, 1, piece_body, &w);
    for (int64_t i = 0; i < count && !status; i++)
        if (w.status[i])
            status = et_raise(w.status[i], "gemm_bf16: a thread's part failed");
    et_pool_free(w.status);
    return status;
}

/* --- without ------------------------------------------------------------------------------------- */

/* Lines of a matrix that become float32, one after the other. */
typedef struct widening {
    const et_kernels *kr;
    et_dtype from;
    int64_t length, ls, ks; /* elements of a line; from line to line and along one, in the source */
    const char *src;
    float *out;
} widening;

static void widen_lines(int64_t lo, int64_t hi, void *user)
{
    const widening *w = user;

    for (int64_t i = lo; i < hi; i++) {
        const char *line = w->src + i * w->ls * (int64_t)et_dtype_size(w->from);
        float *out = w->out + i * w->length;
        if (w->ks != 1) {
            for (int64_t q = 0; q < w->length; q++)
                out[q] = w->from == ET_F32 ? et_bf16_to_f32(et_f32_to_bf16(((const float *)line)[q * w->ks]))
                                           : et_bf16_to_f32(((const uint16_t *)line)[q * w->ks]);
        } else if (w->from == ET_F32) {
            w->kr->round_bf16(w->length, (const float *)line, out);
        } else {
            w->kr->from_bf16(w->length, (const uint16_t *)line, out);
        }
    }
}

/* A matrix [rows, cols] as rounded float32 at out, in the order in which it lies. */
static const void *widen(et_dtype from, int64_t rows, int64_t cols, const void *src, int64_t *rs, int64_t *cs,
                         float *out)
{
    const bool by_column = *rs == 1 && *cs != 1;
    const int64_t lines = by_column ? cols : rows;
    widening w = {.kr = et_kernels_for(ET_F32), .from = from, .src = src, .out = out};

    w.length = by_column ? rows : cols;
    w.ls = by_column ? *cs : *rs;
    w.ks = by_column ? *rs : *cs;
    et_parallel_for(lines, et_row_grain(lines, w.length), widen_lines, &w);
    *rs = by_column ? 1 : cols;
    *cs = by_column ? rows : 1;
    return out;
}

static et_status run_all_widened(et_dtype from, const et_gemm_args *args)
{
    const int64_t batch = max64(1, args->batch), batch2 = max64(1, args->batch2);
    float *a = et_pool_alloc((size_t)(args->m * args->k) * sizeof *a);
    float *b = a ? et_pool_alloc((size_t)(args->k * args->n) * sizeof *b) : NULL;
    et_status status = b ? ET_OK : et_error_status();

    for (int64_t i = 0; i < batch * batch2 && !status; i++) {
        et_gemm_args g = nth(from, args, i / batch, i % batch);
        g.a = widen(from, g.m, g.k, g.a, &g.rsa, &g.csa, a);
        g.b = widen(from, g.k, g.n, g.b, &g.rsb, &g.csb, b);
        status = et_gemm(ET_F32, &g);
    }
    et_pool_free(b);
    et_pool_free(a);
    return status;
}

et_status et_gemm_bf16(et_dtype from, const et_gemm_args *args)
{
    const et_bf16_kernels *kr = native();

    if (from != ET_F32 && from != ET_BF16)
        return et_raise(ET_EDTYPE, "gemm_bf16: operands of %s", et_dtype_name(from));
    if (args->m <= 0 || args->n <= 0 || args->k <= 0)
        return et_gemm(ET_F32, args);
    return kr ? run_pieces(kr, from, args) : run_all_widened(from, args);
}
