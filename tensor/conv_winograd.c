/* Convolutions of stride 1 by Winograd's minimal filtering (tensor/kernels/winograd.h): with 3 x 3 taps 16
 * products for each 2 x 2 results and pair of channels instead of 36, with 3 taps along one axis 4 for 2
 * results instead of 6.
 *
 * Patches of 4 x 4 (4) of a block of tiles are transformed, V[16][in][tiles]; kernels are, U[16][out][in];
 * then sixteen (four) matrix products M = U V for a group of output channels at a time, and M transformed
 * back. Where a sample has many tiles, U is made once for all; where all tiles are one block, V is, and U for
 * each group when its turn comes, so that it need not leave the cache.
 *
 * Only for float32: an element's rounding error is a few times that of the plain sum, and an infinity among x
 * makes NaN of all four results of its tiles. Sums run in an order that sizes alone decide. */
#include "config.h"

#include "tensor/conv.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

enum {
    LEAST_CHANNELS = 24,        /* where transforms pay */
    LEAST_TILES = 48,           /* of a sample */
    MOST_COLS = 512,
    BLOCK_BYTES = 1024 * 1024,  /* transformed patches and results of a block, about */
    LEAST_BLOCK = 64,           /* tiles */
    MOST_BLOCK = 256,
    KC = 512,                   /* longest sum in one go */
    GROUP = 48,                 /* output channels: a multiple of every tile's height */
    SMALL_GROUP = 24            /* where kernels are transformed group by group */
};

typedef struct wino_job {
    et_conv s;
    et_winograd tiles;        /* of a whole sample */
    const et_kernels *kr;
    const et_winograd_kernels *to; /* transforms */
    int64_t matrices, taps;   /* 16 and 9, or 4 and 3 */
    int64_t per, blocks;      /* rows of tiles of a block, of one axis tiles; blocks of a sample */
    bool alone;               /* one block */
    const float *x, *w, *bias;
    float *y;
    float *u, *v;             /* kernels, all; patches, of the one block or one slot a piece */
    float *scratch;
    int64_t slot, chunk, v_size, m_size, lines;
    int acc;
} wino_job;

static bool one_axis(const et_conv *c) { return c->h == 1 && c->kh == 1 && c->oh == 1; }

bool et_conv_winograd_fits(et_dtype dtype, const et_conv *c)
{
    const int64_t cols = (c->ow + 1) / 2, rows = (c->oh + 1) / 2;

    if (dtype != ET_F32 || c->kw != 3 || c->sh != 1 || c->sw != 1 || c->in < LEAST_CHANNELS ||
        c->out < LEAST_CHANNELS || cols * rows < LEAST_TILES)
        return false;
    if (one_axis(c))
        return true;
    return c->kh == 3 && cols <= MOST_COLS && 16 * cols * rows < 7 * c->oh * c->ow; /* few halves of tiles */
}

/* The tiles of block `block`. */
static et_winograd part_of(const wino_job *j, int64_t block)
{
    et_winograd t = j->tiles;

    if (one_axis(&j->s)) {
        t.col0 = block * j->per;
        t.cols = min64(j->per, j->tiles.cols - t.col0);
    } else {
        t.row0 = block * j->per;
        t.rows = min64(j->per, j->tiles.rows - t.row0);
    }
    return t;
}

/* m[k][o][tiles] = u[k][o][in] v[k][in][tiles] for n output channels */
static void multiply(const wino_job *j, const et_winograd *t, int64_t n, const float *u, int64_t u_step,
                     const float *v, float *m)
{
    const et_kernels *kr = j->kr;
    const int vecs = kr->gemm_vecs;
    const int64_t in = j->s.in, tiles = t->rows * t->cols, nr = (int64_t)vecs * kr->lanes;
    const int64_t full = tiles / nr, edge = ceil_div(tiles - full * nr, kr->lanes);
    const int64_t m_step = t->ld * GROUP;

    for (int64_t k = 0; k < j->matrices; k++)
        for (int64_t p = 0, some; p < in; p += some) {
            const double beta = p ? 1 : 0;
            const float *a = u + k * u_step + p, *b = v + k * t->step + p * t->ld;
            float *c = m + k * m_step;
            some = min64(KC, in - p);
            for (int64_t o = 0, tall = kr->gemm_rows[vecs]; full && o < n; o += tall)
                kr->gemm_tile[vecs][min64(tall, n - o)](full, some, a + o * in, in, 1, b, t->ld, nr,
                                                        c + o * t->ld, t->ld, 1, beta, NULL);
            for (int64_t o = 0, tall = kr->gemm_rows[edge]; edge && o < n; o += tall)
                kr->gemm_tile[edge][min64(tall, n - o)](1, some, a + o * in, in, 1, b + full * nr, t->ld, 0,
                                                        c + o * t->ld + full * nr, t->ld, 1, beta, NULL);
        }
}

/* Output channels o0 .. o1 of sample b in the tiles t: u is that of o0. */
static void group(const wino_job *j, const et_winograd *t, int64_t b, int64_t o0, int64_t o1, const float *u,
                  int64_t u_step, const float *v, float *m)
{
    et_winograd back = *t;

    multiply(j, t, o1 - o0, u, u_step, v, m);
    back.step = t->ld * GROUP;
    j->to->output(&back, o1 - o0, m, j->bias ? j->bias + o0 : NULL, j->acc,
                  j->y + (b * j->s.out + o0) * j->s.oh * j->s.ow);
}

/* --- many blocks --- */

static void weights_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const int64_t in = j->s.in;

    j->to->weights(hi - lo, in, j->w + lo * in * j->taps, j->u + lo * in, j->s.out * in);
}

static void block_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const et_conv *s = &j->s;
    float *v = j->scratch + lo / j->chunk * j->slot, *m = v + j->v_size, *lines = m + j->m_size;

    for (int64_t item = lo; item < hi; item++) {
        const int64_t b = item / j->blocks;
        const et_winograd t = part_of(j, item % j->blocks);
        j->to->input(&t, s->in, j->x + b * s->in * s->h * s->w, lines, v);
        for (int64_t o = 0; o < s->out; o += GROUP)
            group(j, &t, b, o, min64(o + GROUP, s->out), j->u + o * s->in, s->out * s->in, v, m);
    }
}

/* --- one block --- */

static void patches_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const et_conv *s = &j->s;

    j->to->input(&j->tiles, hi - lo, j->x + lo * s->h * s->w, j->scratch + lo / j->chunk * j->slot,
                 j->v + lo * j->tiles.ld);
}

static void outs_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const et_conv *s = &j->s;
    float *u = j->scratch + lo / j->chunk * j->slot, *m = u + j->matrices * SMALL_GROUP * s->in;

    for (int64_t g = lo; g < hi; g++) {
        const int64_t o = g * SMALL_GROUP, n = min64(SMALL_GROUP, s->out - o);
        j->to->weights(n, s->in, j->w + o * s->in * j->taps, u, n * s->in);
        group(j, &j->tiles, 0, o, o + n, u, n * s->in, j->v, m);
    }
}

/* --- threads --- */

/* Runs `body` on `items` in pieces, each with a slot of scratch memory. */
static et_status run(wino_job *j, int64_t items, double flops, int64_t slot,
                     void (*body)(int64_t, int64_t, void *))
{
    j->chunk = ceil_div(items, et_threads_for(flops));
    j->slot = round_up(slot, 16);
    j->scratch = et_pool_alloc((size_t)(ceil_div(items, j->chunk) * j->slot) * sizeof(float));
    if (!j->scratch)
        return et_error_status();
    et_parallel_for(items, j->chunk, body, j);
    et_pool_free(j->scratch);
    return ET_OK;
}

et_status et_conv_winograd(const et_conv *c, const float *x, const float *weight, const float *bias, float *y,
                           int acc)
{
    const bool line = one_axis(c);
    wino_job j = {.s = *c, .kr = et_kernels_for(ET_F32), .matrices = line ? 4 : 16, .taps = line ? 3 : 9,
                  .x = x, .w = weight, .bias = bias, .y = y, .acc = acc};
    et_winograd *t = &j.tiles;

    *t = (et_winograd){.h = c->h, .w = c->w, .ph = c->ph, .pw = c->pw, .oh = c->oh, .ow = c->ow,
                       .rows = (c->oh + 1) / 2, .cols = (c->ow + 1) / 2};
    j.to = &j.kr->winograd[line ? 1 : 2];
    const double flops = 2.0 * (double)(c->batch * c->out * c->in * j.matrices) * (double)(t->rows * t->cols);
    const int64_t fit = BLOCK_BYTES / (j.matrices * (int64_t)sizeof(float) * (c->in + GROUP));
    const int64_t most = max64(LEAST_BLOCK, min64(fit, MOST_BLOCK)) / (line ? 1 : t->cols);
    const int64_t all = line ? t->cols : t->rows;
    j.alone = c->batch == 1 && t->rows * t->cols <= MOST_BLOCK;
    j.blocks = j.alone ? 1 : ceil_div(all, max64(1, most));
    j.per = ceil_div(all, j.blocks);
    if (line)
        j.per = round_up(j.per, j.kr->lanes);
    j.blocks = ceil_div(all, j.per);
    const et_winograd first = part_of(&j, 0);
    t->ld = round_up(first.rows * first.cols, j.kr->lanes) + j.kr->lanes;
    t->step = c->in * t->ld;
    j.v_size = j.matrices * t->step;
    j.m_size = j.matrices * GROUP * t->ld;
    j.lines = 4 * (first.rows + 1) * WINO_LINE(first.cols, j.kr->lanes);
    const int64_t kept = j.alone ? j.v_size : j.matrices * c->out * c->in;
    float *memory = et_pool_alloc((size_t)kept * sizeof(float));
    et_status status;
    if (!memory)
        return et_error_status();
    if (j.alone) {
        j.v = memory;
        status = run(&j, c->in, 4.0 * (double)j.matrices * (double)(c->in * t->rows * t->cols), j.lines,
                     patches_body);
        if (!status)
            status = run(&j, ceil_div(c->out, SMALL_GROUP), flops,
                         j.matrices * SMALL_GROUP * c->in + j.m_size, outs_body);
    } else {
        j.u = memory;
        et_parallel_for(c->out, et_row_grain(c->out, 2 * j.matrices * c->in), weights_body, &j);
        status = run(&j, c->batch * j.blocks, flops, j.v_size + j.m_size + j.lines, block_body);
    }
    et_pool_free(memory);
    return status;
}
