/* Convolution by implicit matrix products around the register tiles of tensor/kernels/conv.h.
 *
 * Forward, y[o, q] = sum over p = (c, i, j) of w[o, p] x[c, row of q + i, column of q + j], is a product
 * of the weight with a matrix of patches that never exists as a whole: for a block of positions q and of
 * channels, its rows are gathered into a buffer in the second-level cache, and the weight's rows go past.
 * With stride 1 along the row, the rows for taps j = 0 .. kw-1 are one gathered row (*line*) read from
 * j elements further on; the gathering costs 1/kw of what a copy for each tap would. With stride s there are
 * s such lines, of every s-th element each (*phases*), and tap j reads line j % s from element j / s on.
 * Where kernels overlap down the column, tap i + s of a row is tap i of the next: each row is gathered once
 * for a block. Where rows are short, positions of several rows are packed densely instead, with a line for
 * each tap.
 *
 * Kernels of one position and stride 1 on maps that fill a panel are plain matrix products; those of 3 x 3
 * or 3 taps with enough channels and positions are left to tensor/conv_winograd.c, those of several rows with
 * few input channels, and the gradient of their weight, to tensor/conv_tall.c.
 *
 * The gradient of x is, for stride 1, the convolution of dy with the weight turned around, and goes by any of
 * these ways (by that of tall kernels where there are few outputs); else, and where there are fewer than four
 * channels or little padding for large kernels, the patches' gradients are made for a block of positions and
 * added where they came from. The gradient of the weight is a product over positions,
 * w[p, o] += patch[p, q] dy[o, q], with dy transposed into panels; small weights, whose sums cost less than
 * that, are left to tensor/conv_small.c.
 *
 * Work is cut along samples and positions, for large weights' gradients along the weight; sums run in an
 * order that sizes alone decide. */
#include "config.h"

#include <string.h>

#include "tensor/conv.h"
#include "tensor/gemm.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

enum {
    ROWS = 512,               /* taps x channels of a block, about */
    BLOCK_BYTES = 384 * 1024, /* gathered lines of a block */
    LONGEST = 512,            /* positions of a block, */
    SHORT_BYTES = 64 * 1024,  /* more where its lines are no longer than this together */
    FEW_TAPS = 64,            /* x channels, where rows of the weight are so short that each may pass alone */
    PANEL_ELEMS = 128 * 1024, /* of dy, transposed, for a block */
    LEAST_BLOCKS = 16,        /* of all samples */
    OUT_CHUNK = 256,          /* output channels of a block of the weight's gradient */
    TURNED = 16,              /* rows of it that are turned back together: whole lines of the sums */
    LEAST_AREA = 48,          /* positions of a sample whose product with a 1 x 1 kernel is worth a call */
    ROW_GROUP = 24,           /* a multiple of every tile's height */
    SHARDS = 8,               /* of the batch, for gradients of weights */
    SHARD_ELEMS = 64 * 1024,  /* up to this many elements; larger ones are cut themselves */
    /* Where work is cut finely: */
    FINE_ROWS = 16,
    FINE_LONGEST = 1,
    FINE_OUT_CHUNK = 16,
    FINE_SHARD_ELEMS = 512
};

typedef struct conv_job {
    et_conv s;
    const et_kernels *kr;
    int64_t es;
    int64_t taps, positions;
    bool shared;              /* a line of each phase serves all taps of a row, */
    bool lapped;              /* and taps below each other read the same rows */
    int64_t phases, lines;    /* of a row of taps, of a channel */
    int64_t seg;              /* shared: positions of a segment (part of an output row), */
    int64_t seg_ld, segs;     /* elements from one to the next in a line, segments a row */
    int64_t per_block;        /* shared: segments of a block; else positions */
    int64_t channels;         /* of a block */
    int64_t plane;            /* elements from the line of a tap or phase to the next's, */
    int64_t ld;               /* from a row of taps to the next, */
    int64_t channel;          /* from a channel to the next */
    int64_t *off;             /* [channels taps] where the row of (c, i, j) starts */
    const char *x, *w, *bias, *dy;
    char *y, *dw, *scratch;
    int64_t slot, chunk;      /* scratch bytes a piece; items a piece */
    int64_t ldo;              /* weight's gradient: outputs, rounded up to vectors */
    int64_t shards;
    int acc;
} conv_job;

/* --- blocks --- */

/* Elements of a line that n positions read. */
static int64_t line_elems(const conv_job *j, int64_t n)
{
    return round_up(n, j->kr->lanes) + (j->s.kw - 1) / j->s.sw;
}

/* Rows of x that n rows of positions read. */
static int64_t rows_of(const conv_job *j, int64_t n) { return (n - 1) * j->s.sh + j->s.kh; }

/* Decides lines and blocks; rows of positions shorter than `shortest` are packed densely, and so
 * is what follows them, for `samples` samples. */
static void plan(conv_job *j, et_dtype dtype, const et_conv *s, int64_t shortest, int64_t samples)
{
    j->s = *s;
    j->kr = et_kernels_for(dtype);
    j->es = (int64_t)et_dtype_size(dtype);
    j->taps = s->kh * s->kw;
    j->positions = s->oh * s->ow;
    const int64_t lanes = j->kr->lanes, nr = lanes * j->kr->gemm_vecs;
    j->shared = s->kw > s->sw && s->ow >= shortest && 8 * round_up(s->ow, lanes) <= 9 * s->ow;
    j->phases = j->shared ? s->sw : s->kw;
    j->lines = s->kh * j->phases;

    int64_t c_blocks = ceil_div(s->in, max64(1, et_cut(ROWS, FINE_ROWS) / j->taps));
    j->channels = ceil_div(s->in, c_blocks);
    int64_t most = BLOCK_BYTES / (j->channels * j->lines * j->es) / nr * nr;
    int64_t longest = et_cut(LONGEST, FINE_LONGEST);
    if (!shortest) /* few taps: rows of y in long runs, of which several threads have some */
        longest = max64(longest, min64(SHORT_BYTES / (j->channels * j->lines * j->es),
                                       samples * j->positions / LEAST_BLOCKS));
    most = max64(nr, min64(most, longest));
    if (j->shared) {
        j->segs = ceil_div(s->ow, most);
        j->seg = j->segs == 1 ? s->ow : round_up(ceil_div(s->ow, j->segs), nr);
        j->segs = ceil_div(s->ow, j->seg);
        j->seg_ld = round_up(line_elems(j, j->seg), lanes);
        j->lapped = s->kh > s->sh && j->segs == 1;
        if (j->lapped && most / j->seg_ld < s->kh) { /* what there is room for, or several threads' work */
            const int64_t rows = BLOCK_BYTES / (j->channels * j->phases * j->seg_ld * j->es);
            const int64_t fit = rows < s->kh ? 0 : (rows - s->kh) / s->sh + 1;
            const int64_t some = shortest ? PANEL_ELEMS / min64(round_up(s->out, lanes), OUT_CHUNK) / j->seg
                                          : ceil_div(s->oh, ceil_div(LEAST_BLOCKS, samples));
            most = max64(most, min64(fit, some) * j->seg_ld);
        }
        j->per_block = min64(s->oh * j->segs, max64(1, most / j->seg_ld));
        j->ld = j->lapped ? j->seg_ld : j->phases * j->per_block * j->seg_ld;
        j->plane = j->lapped ? rows_of(j, j->per_block) * j->seg_ld : j->per_block * j->seg_ld;
        j->channel = j->lapped ? j->phases * j->plane : s->kh * j->ld;
    } else {
        if (!shortest && s->in * j->taps > FEW_TAPS)
            most = nr; /* a panel of a matrix product */
        const int64_t all = samples * j->positions, blocks = ceil_div(all, most);
        j->per_block = min64(all, round_up(ceil_div(all, blocks), nr));
        j->plane = round_up(j->per_block, lanes);
        j->ld = s->kw * j->plane;
        j->channel = s->kh * j->ld;
    }
}

static int64_t lines_bytes(const conv_job *j) { return round_up(j->channels * j->channel * j->es, 64); }

static int64_t off_bytes(const conv_job *j)
{
    return round_up(j->channels * j->taps * (int64_t)sizeof *j->off, 64);
}

static void set_offsets(conv_job *j, void *memory)
{
    int64_t r = 0;

    j->off = memory;
    for (int64_t c = 0; c < j->channels; c++)
        for (int64_t i = 0; i < j->s.kh; i++)
            for (int64_t k = 0; k < j->s.kw; k++)
                j->off[r++] = c * j->channel + i * j->ld + k % j->phases * j->plane + k / j->phases;
}

/* A block: segments of one sample where a line is shared; else positions, those of a sample behind those of
 * the one before it. Both are counted through all samples. */
typedef struct block {
    int64_t first, n;
    int64_t runs;
} block;

/* Blocks of samples b0 .. b1. */
static int64_t blocks_of(const conv_job *j, int64_t b0, int64_t b1)
{
    return j->shared ? (b1 - b0) * ceil_div(j->s.oh * j->segs, j->per_block)
                     : ceil_div((b1 - b0) * j->positions, j->per_block);
}

static block block_of(const conv_job *j, int64_t b0, int64_t b1, int64_t i)
{
    if (j->shared) {
        const int64_t segments = j->s.oh * j->segs, a_sample = ceil_div(segments, j->per_block);
        const int64_t first = i % a_sample * j->per_block, n = min64(j->per_block, segments - first);
        return (block){(b0 + i / a_sample) * segments + first, n, n};
    }
    const int64_t first = b0 * j->positions + i * j->per_block,
                  n = min64(j->per_block, b1 * j->positions - first);
    return (block){first, n, (first + n - 1) / j->positions - first / j->positions + 1};
}

/* A part of a block whose positions follow each other in y and in the lines. */
typedef struct run {
    int64_t sample, q, at, n; /* first position, where it stands in the lines, number */
} run;

static run run_of(const conv_job *j, const block *k, int64_t r)
{
    if (j->shared) {
        const int64_t segments = j->s.oh * j->segs, g = (k->first + r) % segments;
        const int64_t oh = g / j->segs, ow = g % j->segs * j->seg;
        return (run){(k->first + r) / segments, oh * j->s.ow + ow, (j->lapped ? r * j->s.sh : r) * j->seg_ld,
                     min64(j->seg, j->s.ow - ow)};
    }
    const int64_t b = k->first / j->positions + r, begin = max64(k->first, b * j->positions);
    return (run){b, begin - b * j->positions, begin - k->first,
                 min64(k->first + k->n, (b + 1) * j->positions) - begin};
}

/* Gathers the lines of channels c0 .. c1 for one block of positions. */
static void gather_block(const conv_job *j, int64_t c0, int64_t c1, const block *at, char *lines)
{
    const et_conv *s = &j->s;
    const int64_t lanes = j->kr->lanes, area = s->h * s->w;

    for (int64_t r = 0; r < at->runs; r++) {
        const run u = run_of(j, at, r);
        const char *x = j->x + (u.sample * s->in + c0) * area * j->es;
        char *to = lines + u.at * j->es;
        if (j->shared && j->segs == 1 && (j->lapped || c1 - c0 < at->runs)) { /* a block's rows together */
            const int64_t rows = j->lapped ? rows_of(j, at->runs) : at->runs, step = j->lapped ? 1 : s->sh;
            for (int64_t c = c0; c < c1; c++, x += area * j->es, to += j->channel * j->es)
                for (int64_t i = 0; i < (j->lapped ? 1 : s->kh); i++)
                    for (int64_t p = 0; p < j->phases; p++)
                        j->kr->conv_rows(rows, x, s->h, s->w, u.q / s->ow * s->sh - s->ph + i, step,
                                         p - s->pw, s->sw, to + (i * j->ld + p * j->plane) * j->es, j->seg_ld,
                                         line_elems(j, u.n));
            return;
        }
        if (j->shared) { /* positions of one row */
            for (int64_t i = 0; i < s->kh; i++, to += j->ld * j->es) {
                const int64_t row = u.q / s->ow * s->sh - s->ph + i;
                const bool inside = row >= 0 && row < s->h;
                for (int64_t p = 0; p < j->phases; p++)
                    j->kr->conv_gather(c1 - c0, x + (inside ? row * s->w : 0) * j->es, area,
                                       inside ? s->w : 0, u.q % s->ow * s->sw + p - s->pw, s->sw,
                                       to + p * j->plane * j->es, j->channel, line_elems(j, u.n));
            }
            continue;
        }
        j->kr->conv_lines(c1 - c0, x, s->h, s->w, s->sh, s->sw, s->kh, s->kw, s->ph, s->pw, s->ow,
                          u.q / s->ow, u.q % s->ow, u.n, to, j->plane);
    }
    if (!j->shared && at->n % lanes)
        j->kr->conv_gather((c1 - c0) * j->taps, lines, 0, 0, 0, 1, lines + at->n * j->es, j->plane,
                           lanes - at->n % lanes);
}

/* --- the product of rows with gathered lines --- */

typedef struct rows_product {
    const char *a; int64_t rsa;  /* rows of the weight, contiguous along k */
    int64_t k;
    const char *b;               /* lines, at the first column */
    const int64_t *off;
    int64_t first, n;            /* columns first .. first + n - 1 of the result: */
    char *c; int64_t ldc;        /* column q in row i at c + (q / stretch) next + i ldc + q % stretch */
    int64_t stretch, next;
    const char *bias;            /* a number a row or NULL */
    int acc;
} rows_product;

static char *element(const conv_job *w, const rows_product *g, int64_t row, int64_t column)
{
    const int64_t q = g->first + column;
    return g->c + (q / g->stretch * g->next + row * g->ldc + q % g->stretch) * w->es;
}

/* Columns at .. at + n - 1 of some rows: from the result to a tile, or the other way. */
static void move_columns(const conv_job *w, const rows_product *g, int64_t row, int64_t rows, int64_t at,
                         int64_t n, char *tile, int64_t width, bool to_tile)
{
    for (int64_t t = 0, piece; t < n; t += piece) {
        piece = min64(n - t, g->stretch - (g->first + at + t) % g->stretch);
        char *c = element(w, g, row, at + t), *in = tile + t * w->es;
        for (int64_t i = 0; i < rows; i++, c += g->ldc * w->es, in += width * w->es)
            memcpy(to_tile ? in : c, to_tile ? c : in, (size_t)(piece * w->es));
    }
}

/* Rows r0 .. r1 of columns at .. at + n - 1, which are fewer than a panel's or not all neighbours. */
static void ragged(const conv_job *w, const rows_product *g, int64_t r0, int64_t r1, int64_t at, int64_t n)
{
    enum { TILE_BYTES = ET_TILE_ROWS * ET_TILE_VECS * 64 };
    const int64_t width = round_up(n, w->kr->lanes);
    const int v = (int)(width / w->kr->lanes), tall = w->kr->gemm_rows[v];
    const bool whole = width == n && (g->first + at) % g->stretch + n <= g->stretch;
    char tile[TILE_BYTES];

    if (width != n && g->acc)
        memset(tile, 0, sizeof tile);
    for (int64_t r = r0; r < r1; r += tall) {
        const int64_t rows = min64(tall, r1 - r);
        const char *a = g->a + r * g->rsa * w->es, *bias = g->bias ? g->bias + r * w->es : NULL;
        if (!whole && g->acc)
            move_columns(w, g, r, rows, at, n, tile, width, true);
        w->kr->conv_tile[v][rows](1, g->k, a, g->rsa, g->b + at * w->es, g->off,
                                  whole ? element(w, g, r, at) : tile, whole ? g->ldc : width, bias, g->acc);
        if (!whole)
            move_columns(w, g, r, rows, at, n, tile, width, false);
    }
}

static void rows_times_lines(const conv_job *w, const rows_product *g, int64_t r0, int64_t r1)
{
    const int vecs = w->kr->gemm_vecs, tall = w->kr->gemm_rows[vecs];
    const int64_t nr = (int64_t)vecs * w->kr->lanes;

    for (int64_t at = 0, n; at < g->n; at += n) {
        const int64_t full = min64(g->n - at, g->stretch - (g->first + at) % g->stretch) / nr;
        n = full ? full * nr : min64(nr, g->n - at);
        if (!full)
            ragged(w, g, r0, r1, at, n);
        for (int64_t r = r0; full && r < r1; r += tall)
            w->kr->conv_tile[vecs][min64(tall, r1 - r)](full, g->k, g->a + r * g->rsa * w->es, g->rsa,
                                                        g->b + at * w->es, g->off, element(w, g, r, at),
                                                        g->ldc, g->bias ? g->bias + r * w->es : NULL, g->acc);
    }
}

/* --- threads --- */

/* Cuts `items` into a piece for each thread that is worth one, with scratch memory for each. */
static et_status cut(conv_job *j, int64_t items, double flops, int64_t slot)
{
    j->chunk = ceil_div(items, et_threads_for(flops));
    j->slot = round_up(slot, 64);
    j->scratch = et_pool_alloc((size_t)(ceil_div(items, j->chunk) * j->slot + off_bytes(j)));
    if (!j->scratch)
        return et_error_status();
    set_offsets(j, j->scratch + ceil_div(items, j->chunk) * j->slot);
    return ET_OK;
}

static char *slot_of(const conv_job *j, int64_t lo) { return j->scratch + lo / j->chunk * j->slot; }

static double flops_of(const et_conv *s)
{
    return 2.0 * (double)(s->batch * s->out) * (double)(s->oh * s->ow) * (double)(s->in * s->kh * s->kw);
}

/* --- forward --- */

static void forward_body(int64_t lo, int64_t hi, void *user)
{
    const conv_job *j = user;
    const et_conv *s = &j->s;
    const int64_t k = s->in * j->taps, group = k <= FEW_TAPS ? j->kr->gemm_rows[j->kr->gemm_vecs] : ROW_GROUP;
    char *lines = slot_of(j, lo);

    for (int64_t item = lo; item < hi; item++) {
        const block at = block_of(j, 0, s->batch, item);
        for (int64_t c0 = 0; c0 < s->in; c0 += j->channels) {
            const int64_t c1 = min64(c0 + j->channels, s->in);
            rows_product g = {.a = j->w + c0 * j->taps * j->es, .rsa = k, .k = (c1 - c0) * j->taps,
                              .b = lines, .off = j->off, .first = at.first, .n = at.n, .c = j->y,
                              .ldc = j->positions, .stretch = j->positions, .next = s->out * j->positions,
                              .bias = c0 ? NULL : j->bias, .acc = c0 > 0 || j->acc};
            gather_block(j, c0, c1, &at, lines);
            for (int64_t o = 0; o < s->out; o += group)
                for (int64_t r = 0; r < (j->shared ? at.runs : 1); r++) {
                    if (j->shared) {
                        const run u = run_of(j, &at, r);
                        g.first = u.sample * j->positions + u.q;
                        g.n = u.n;
                        g.b = lines + u.at * j->es;
                    }
                    rows_times_lines(j, &g, o, min64(o + group, s->out));
                }
        }
    }
}

/* Kernels of one position: products of the weight with each sample as it lies. */
static et_status products(et_dtype dtype, const et_conv *c, const void *x, const void *weight,
                          const void *bias, void *y, int acc)
{
    const et_kernels *k = et_kernels_for(dtype);
    const int64_t area = c->h * c->w, es = (int64_t)et_dtype_size(dtype);
    const et_gemm_args g = {.m = c->out, .n = area, .k = c->in, .a = weight, .rsa = c->in, .csa = 1, .b = x,
                            .rsb = area, .csb = 1, .c = y, .ldc = area, .alpha = 1,
                            .beta = acc || bias ? 1 : 0, .batch = c->batch, .sb = c->in * area,
                            .sc = c->out * area};

    for (int64_t r = 0; bias && r < c->batch * c->out; r++) {
        const int64_t o = r % c->out;
        const double b = dtype == ET_F64 ? ((const double *)bias)[o] : (double)((const float *)bias)[o];
        k->fill(area, b, (char *)y + r * area * es);
    }
    return et_gemm(dtype, &g);
}

/* With acc, y is added to (and bias must be NULL). */
static et_status run_forward(et_dtype dtype, const et_conv *c, const void *x, const void *weight,
                             const void *bias, void *y, int acc)
{
    conv_job j = {.x = x, .w = weight, .bias = bias, .y = y, .acc = acc};

    if (!c->batch || !c->out || !c->oh || !c->ow)
        return ET_OK;
    if (c->kh == 1 && c->kw == 1 && c->sh == 1 && c->sw == 1 && !c->ph && !c->pw && c->h * c->w >= LEAST_AREA)
        return products(dtype, c, x, weight, bias, y, acc);
    if (et_conv_winograd_fits(dtype, c))
        return et_conv_winograd(c, x, weight, false, bias, y, acc);
    if (et_conv_tall_fits(dtype, c))
        return et_conv_tall(c, x, weight, bias, y, acc);
    plan(&j, dtype, c, 0, c->batch);
    const int64_t items = blocks_of(&j, 0, c->batch);
    if (cut(&j, items, flops_of(c), lines_bytes(&j)))
        return et_error_status();
    et_parallel_for(items, j.chunk, forward_body, &j);
    et_pool_free(j.scratch);
    return ET_OK;
}

et_status et_conv_forward(et_dtype dtype, const et_conv *c, const void *x, const void *weight,
                          const void *bias, void *y)
{
    return run_forward(dtype, c, x, weight, bias, y, 0);
}

/* --- gradient of x --- */

typedef struct turn_job {
    const et_conv *s;
    const et_kernels *kr;
    int64_t es;
    const char *w;
    char *to;
} turn_job;

/* [in, out, kh, kw], kernels turned around: some inputs together, whose kernels lie beside each other */
static void turn_body(int64_t lo, int64_t hi, void *user)
{
    enum { SOME = 16 };
    const turn_job *t = user;
    const int64_t size = t->s->kh * t->s->kw * t->es, out = t->s->out;

    for (int64_t c0 = lo, c1; c0 < hi; c0 = c1) {
        c1 = min64(c0 + SOME, hi);
        for (int64_t o = 0; o < out; o++)
            for (int64_t c = c0; c < c1; c++)
                t->kr->reverse(size / t->es, t->w + (o * t->s->in + c) * size,
                               t->to + (c * out + o) * size, 0);
    }
}

/* [in, kh, kw, out] */
static void transpose_body(int64_t lo, int64_t hi, void *user)
{
    const turn_job *t = user;
    const int64_t taps = t->s->kh * t->s->kw, out = t->s->out;

    t->kr->transpose((hi - lo) * taps, out, t->w + lo * taps * t->es, t->s->in * taps,
                     t->to + lo * taps * out * t->es, out);
}

/* Strides, few channels: for a block of positions the patches' gradients, w^T dy, then added to dx. */
static void scatter_body(int64_t lo, int64_t hi, void *user)
{
    const conv_job *j = user;
    const et_conv *s = &j->s;
    const int64_t area = s->h * s->w, ldb = round_up(j->per_block, j->kr->lanes);
    char *dlines = slot_of(j, lo), *dy = dlines + lines_bytes(j);

    for (int64_t b = lo; b < hi; b++) {
        char *dx = j->y + b * s->in * area * j->es;
        if (!j->acc)
            memset(dx, 0, (size_t)(s->in * area * j->es));
        for (int64_t i = 0; i < blocks_of(j, 0, 1); i++) {
            const block at = block_of(j, 0, 1, i);
            const run u = run_of(j, &at, 0);
            j->kr->conv_gather(s->out, j->dy + (b * s->out * j->positions + u.q) * j->es, j->positions, u.n,
                               0, 1, dy, ldb, ldb);
            for (int64_t c0 = 0; c0 < s->in; c0 += j->channels) {
                const int64_t c1 = min64(c0 + j->channels, s->in), rows = (c1 - c0) * j->taps;
                const rows_product g = {.a = j->w + c0 * j->taps * s->out * j->es, .rsa = s->out, .k = s->out,
                                        .b = dy, .off = j->off, .c = dlines, .ldc = j->plane, .n = u.n,
                                        .stretch = u.n};
                for (int64_t r = 0; r < rows; r += ROW_GROUP)
                    rows_times_lines(j, &g, r, min64(r + ROW_GROUP, rows));
                for (int64_t t = 0; t < j->taps; t++)
                    for (int64_t q = u.q, n; q < u.q + u.n; q += n) {
                        const int64_t row = q / s->ow * s->sh - s->ph + t / s->kw, ow = q % s->ow;
                        n = min64(s->ow - ow, u.q + u.n - q);
                        if (row >= 0 && row < s->h)
                            j->kr->conv_scatter(c1 - c0, dlines + (t * j->plane + q - u.q) * j->es,
                                                j->taps * j->plane, dx + (c0 * area + row * s->w) * j->es,
                                                area, s->w, ow * s->sw - s->pw + t % s->kw, s->sw, n);
                    }
            }
        }
    }
}

static et_status scattered_input_grad(et_dtype dtype, const et_conv *c, const void *weight, const void *dy,
                                      void *dx, int acc)
{
    conv_job j = {.w = weight, .dy = dy, .y = dx, .acc = acc};

    plan(&j, dtype, c, INT64_MAX, 1);
    const int64_t ldb = round_up(j.per_block, j.kr->lanes), offsets = c->out * (int64_t)sizeof *j.off;
    if (cut(&j, c->batch, flops_of(c), lines_bytes(&j) + c->out * ldb * j.es))
        return et_error_status();
    int64_t *off = et_pool_alloc((size_t)offsets); /* the lines here are dy's rows */
    if (!off) {
        et_pool_free(j.scratch);
        return et_error_status();
    }
    for (int64_t o = 0; o < c->out; o++)
        off[o] = o * ldb;
    j.off = off;
    et_parallel_for(c->batch, j.chunk, scatter_body, &j);
    et_pool_free(off);
    et_pool_free(j.scratch);
    return ET_OK;
}

et_status et_conv_input_grad(et_dtype dtype, const et_conv *c, const void *weight, const void *dy, void *dx,
                             int acc)
{
    /* With few channels tiles would be low, and kernels as large as x would meet zeros most of the time. */
    const bool plain = c->sh == 1 && c->sw == 1 && c->in >= 4 && 2 * c->h * c->w <= 3 * c->oh * c->ow;
    const et_conv back = {.batch = c->batch, .in = c->out, .h = c->oh, .w = c->ow, .out = c->in,
                          .kh = c->kh, .kw = c->kw, .sh = 1, .sw = 1, .ph = c->kh - 1 - c->ph,
                          .pw = c->kw - 1 - c->pw, .oh = c->h, .ow = c->w};
    turn_job t = {.s = c, .kr = et_kernels_for(dtype), .es = (int64_t)et_dtype_size(dtype), .w = weight};
    const int64_t taps = c->kh * c->kw, size = c->out * c->in * taps;

    if (!c->batch || !c->in || !c->h || !c->w)
        return ET_OK;
    if (plain && et_conv_winograd_fits(dtype, &back))
        return et_conv_winograd(&back, dy, weight, true, NULL, dx, acc);
    if (!(t.to = et_pool_alloc((size_t)(max64(1, size) * t.es))))
        return et_error_status();
    et_parallel_for(c->in, et_row_grain(c->in, 4 * c->out * taps),
                    plain ? turn_body : transpose_body, &t);
    const et_status status = plain ? run_forward(dtype, &back, dy, t.to, NULL, dx, acc)
                                   : scattered_input_grad(dtype, c, t.to, dy, dx, acc);
    et_pool_free(t.to);
    return status;
}

/* --- gradient of the weight --- */

/* Rows (c, i, j) of channels ca .. cb of the transposed gradient, wt [in taps, ldo], summed over samples
 * b0 .. b1. */
static void weight_part(const conv_job *j, int64_t b0, int64_t b1, int64_t ca, int64_t cb, char *wt,
                        char *lines)
{
    const et_conv *s = &j->s;
    const int vecs = j->kr->gemm_vecs;
    const int64_t lanes = j->kr->lanes, nr = vecs * lanes, chunk = et_cut(OUT_CHUNK, FINE_OUT_CHUNK);
    char *panels = lines + lines_bytes(j);

    for (int64_t i = 0; i < blocks_of(j, b0, b1); i++) {
        const block at = block_of(j, b0, b1, i);
        const int64_t parts = j->shared ? at.runs : 1; /* each with panels of its own */
        for (int64_t o = 0; o < s->out; o += chunk) {
            const int64_t oe = min64(o + chunk, s->out), full = (oe - o) / nr;
            const int64_t edge = oe - o - full * nr, wide = round_up(edge, lanes);
            const int v = (int)(wide / lanes);
            char *panel = panels;
            for (int64_t r = 0; r < parts; r++) /* dy transposed, panel after panel */
                for (int64_t p = o; p < oe; p += nr) {
                    const int64_t width = min64(nr, round_up(oe - p, lanes));
                    for (int64_t e = r; e < (j->shared ? r + 1 : at.runs); e++) {
                        const run u = run_of(j, &at, e);
                        j->kr->gemm_pack(u.n, min64(nr, oe - p),
                                         j->dy + ((u.sample * s->out + p) * j->positions + u.q) * j->es,
                                         1, j->positions, panel, width);
                        panel += u.n * width * j->es;
                    }
                }
            for (int64_t c0 = ca; c0 < cb; c0 += j->channels) {
                const int64_t c1 = min64(c0 + j->channels, cb), rows = (c1 - c0) * j->taps;
                gather_block(j, c0, c1, &at, lines);
                panel = panels;
                for (int64_t r = 0; r < parts; r++) {
                    const run u = j->shared ? run_of(j, &at, r) : (run){.n = at.n};
                    const int acc = i > 0 || r > 0;
                    const char *a = lines + u.at * j->es;
                    char *c = wt + (c0 * j->taps * j->ldo + o) * j->es;
                    for (int64_t t = 0, tall = j->kr->gemm_rows[vecs]; full && t < rows; t += tall)
                        j->kr->conv_wtile[vecs][min64(tall, rows - t)](full, u.n, a, j->off + t, panel,
                                                                       c + t * j->ldo * j->es, j->ldo, acc);
                    panel += full * nr * u.n * j->es;
                    for (int64_t t = 0, tall = j->kr->gemm_rows[v]; edge && t < rows; t += tall)
                        j->kr->conv_wtile[v][min64(tall, rows - t)](1, u.n, a, j->off + t, panel,
                                                                    c + (t * j->ldo + full * nr) * j->es,
                                                                    j->ldo, acc);
                    panel += wide * u.n * j->es;
                }
            }
        }
    }
}

/* Small weights: shards of the batch, each with a gradient of its own. */
static void shard_body(int64_t lo, int64_t hi, void *user)
{
    const conv_job *j = user;
    const et_conv *s = &j->s;

    for (int64_t g = lo; g < hi; g++)
        weight_part(j, g * s->batch / j->shards, (g + 1) * s->batch / j->shards, 0, s->in,
                    j->y + g * s->in * j->taps * j->ldo * j->es, slot_of(j, lo));
}

/* Large ones: blocks of channels. */
static void channels_body(int64_t lo, int64_t hi, void *user)
{
    const conv_job *j = user;

    weight_part(j, 0, j->s.batch, lo, hi, j->y, slot_of(j, lo));
}

/* Rows of the gradient, TURNED at a time, from columns of the transposed one, shards added in order. */
static void turn_back_body(int64_t lo, int64_t hi, void *user)
{
    enum { WIDE = 256 };
    const conv_job *j = user;
    const int64_t k = j->s.in * j->taps;
    double block[TURNED * WIDE];

    for (int64_t o = lo * TURNED, oe; o < min64(hi * TURNED, j->s.out); o = oe) {
        oe = min64(o + TURNED, j->s.out);
        for (int64_t p = 0; p < k; p += WIDE) {
            const int64_t n = min64(WIDE, k - p), width = round_up(n, j->kr->lanes);
            for (int64_t g = 0; g < j->shards; g++) {
                const char *sums = j->y + ((g * k + p) * j->ldo + o) * j->es;
                j->kr->gemm_pack(oe - o, n, sums, 1, j->ldo, block, width);
                for (int64_t r = 0; r < oe - o; r++) {
                    const char *row = (const char *)block + r * width * j->es;
                    char *to = j->dw + ((o + r) * k + p) * j->es;
                    if (g > 0 || j->acc)
                        j->kr->binary[ET_B_ADD](n, to, 1, row, 1, to);
                    else
                        memcpy(to, row, (size_t)(n * j->es));
                }
            }
        }
    }
}

et_status et_conv_weight_grad(et_dtype dtype, const et_conv *c, const void *x, const void *dy, void *dweight,
                              int acc, double *sums)
{
    conv_job j = {.x = x, .dy = dy};
    const int64_t k = c->in * c->kh * c->kw;
    const bool some = c->batch && c->out && c->oh && c->ow && k;

    if (some && et_conv_small_fits(dtype, c))
        return et_conv_small_weight_grad(dtype, c, x, dy, dweight, acc, sums);
    if (some && et_conv_tall_fits(dtype, c))
        return et_conv_tall_weight_grad(c, x, dy, dweight, acc, sums);
    if (sums)
        et_conv_sums(dtype, c, dy, sums);
    if (!some) {
        if (!acc)
            memset(dweight, 0, (size_t)(c->out * k) * et_dtype_size(dtype));
        return ET_OK;
    }
    j.ldo = round_up(c->out, et_kernels_for(dtype)->lanes);
    const bool small = k * j.ldo <= et_cut(SHARD_ELEMS, FINE_SHARD_ELEMS);
    j.shards = small ? min64(SHARDS, c->batch) : 1;
    plan(&j, dtype, c, 96, ceil_div(c->batch, j.shards));
    const int64_t items = small ? j.shards : c->in;
    const int64_t columns = j.shared ? j.per_block * j.seg : j.per_block;
    const int64_t panel = columns * min64(j.ldo, round_up(OUT_CHUNK, j.kr->lanes));
    if (cut(&j, items, flops_of(c), lines_bytes(&j) + panel * j.es))
        return et_error_status();
    et_status status = ET_OK;
    j.dw = dweight;
    if ((j.y = et_pool_alloc((size_t)(j.shards * k * j.ldo * j.es)))) {
        et_parallel_for(items, j.chunk, small ? shard_body : channels_body, &j);
        j.acc = acc;
        const int64_t turns = ceil_div(c->out, TURNED);
        et_parallel_for(turns, et_row_grain(turns, TURNED * 2 * k * j.shards), turn_back_body, &j);
    } else {
        status = et_error_status();
    }
    et_pool_free(j.scratch);
    et_pool_free(j.y);
    return status;
}
