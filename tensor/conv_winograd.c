/* Convolutions of stride 1 by Winograd's minimal filtering (tensor/kernels/winograd.h): with 3 x 3 taps 16
 * products for each 2 x 2 results and pair of channels instead of 36, with 3 taps along one axis 4 for 2
 * results instead of 6.
 *
 * Patches of 4 x 4 (4) of a block of tiles are transformed, V[16][in][tiles]; kernels are, U[16][out][in];
 * then sixteen (four) matrix products M = U V for a group of output channels at a time, and M transformed
 * back. A block is part of a sample, or several samples with few tiles side by side. Where there are several
 * blocks, U is made once for all; where all tiles are one block, V is, and U for each group when its turn
 * comes, so that it need not leave the cache.
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
    LEAST_TILES = 48,           /* of all samples */
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
    int64_t matrices;         /* 16 or 4 */
    int64_t samples;          /* of a block; where that is one, */
    int64_t per, blocks;      /* rows of tiles of it, of one axis tiles; blocks of a sample */
    const float *x, *bias;
    et_winograd_weights w;
    float *y;
    float *u, *v;             /* kernels, all; patches, of the one block or one slot a piece */
    float *scratch;
    int64_t slot, chunk, u_step, v_size, m_size, lines;
    int acc;
} wino_job;

static bool one_axis(const et_conv *c) { return c->h == 1 && c->kh == 1 && c->oh == 1; }

bool et_conv_winograd_fits(et_dtype dtype, const et_conv *c)
{
    const int64_t cols = (c->ow + 1) / 2, rows = (c->oh + 1) / 2;

    if (dtype != ET_F32 || c->kw != 3 || c->sh != 1 || c->sw != 1 || c->in < LEAST_CHANNELS ||
        c->out < LEAST_CHANNELS || c->batch * cols * rows < LEAST_TILES)
        return false;
    if (one_axis(c))
        return 12 * cols < 7 * c->ow; /* few halves of tiles */
    return c->kh == 3 && cols <= MOST_COLS && 16 * cols * rows < 7 * c->oh * c->ow;
}

/* A block: the tiles t of samples b0 .. b1, those of a sample behind those of the one before it. */
typedef struct block {
    et_winograd t;
    int64_t b0, b1;
} block;

static block block_of(const wino_job *j, int64_t i)
{
    const int64_t b = i / j->blocks * j->samples, part = i % j->blocks;
    block k = {j->tiles, b, min64(b + j->samples, j->s.batch)};

    if (one_axis(&j->s)) {
        k.t.col0 = part * j->per;
        k.t.cols = min64(j->per, j->tiles.cols - k.t.col0);
    } else {
        k.t.row0 = part * j->per;
        k.t.rows = min64(j->per, j->tiles.rows - k.t.row0);
    }
    return k;
}

/* Patches of channels c0 .. c1 of a block. */
static void patches(const wino_job *j, const block *k, int64_t c0, int64_t c1, float *lines, float *v)
{
    const int64_t area = j->s.h * j->s.w, tiles = k->t.rows * k->t.cols;

    for (int64_t b = k->b0; b < k->b1; b++)
        j->to->input(&k->t, c1 - c0, j->x + (b * j->s.in + c0) * area, lines,
                     v + c0 * k->t.ld + (b - k->b0) * tiles);
}

static int64_t m_step_of(const wino_job *j, const et_winograd *t) { return GROUP * t->ld + j->kr->lanes; }

/* The kernels of output channels o0 .. o1, matrices u_step apart. */
static void kernels(const wino_job *j, int64_t o0, int64_t o1, float *u, int64_t u_step)
{
    et_winograd_weights w = j->w;

    w.w = (const float *)w.w + o0 * w.out_step;
    w.size -= o0 * w.out_step;
    j->to->weights(o1 - o0, j->s.in, &w, u, u_step);
}

/* m[k][o][tiles] = u[k][o][in] v[k][in][tiles] for n output channels */
static void multiply(const wino_job *j, const et_winograd *t, int64_t tiles, int64_t n, const float *u,
                     int64_t u_step, const float *v, float *m)
{
    const et_kernels *kr = j->kr;
    const int vecs = kr->gemm_vecs;
    const int64_t in = j->s.in, nr = (int64_t)vecs * kr->lanes;
    const int64_t full = tiles / nr, edge = ceil_div(tiles - full * nr, kr->lanes);
    const int64_t m_step = m_step_of(j, t);

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

/* Output channels o0 .. o1 of a block: u is that of o0. */
static void group(const wino_job *j, const block *k, int64_t o0, int64_t o1, const float *u, int64_t u_step,
                  const float *v, float *m)
{
    const int64_t tiles = k->t.rows * k->t.cols;
    et_winograd back = k->t;

    multiply(j, &k->t, (k->b1 - k->b0) * tiles, o1 - o0, u, u_step, v, m);
    back.step = m_step_of(j, &k->t);
    for (int64_t b = k->b0; b < k->b1; b++)
        j->to->output(&back, o1 - o0, m + (b - k->b0) * tiles, j->bias ? j->bias + o0 : NULL, j->acc,
                      j->y + (b * j->s.out + o0) * j->s.oh * j->s.ow);
}

/* --- many blocks --- */

static void weights_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;

    kernels(j, lo, hi, j->u + lo * j->s.in, j->u_step);
}

static void block_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const et_conv *s = &j->s;
    float *v = j->scratch + lo / j->chunk * j->slot, *m = v + j->v_size, *lines = m + j->m_size;

    for (int64_t item = lo; item < hi; item++) {
        const block k = block_of(j, item);
        patches(j, &k, 0, s->in, lines, v);
        for (int64_t o = 0; o < s->out; o += GROUP)
            group(j, &k, o, min64(o + GROUP, s->out), j->u + o * s->in, j->u_step, v, m);
    }
}

/* --- one block --- */

static void patches_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const block k = block_of(j, 0);

    patches(j, &k, lo, hi, j->scratch + lo / j->chunk * j->slot, j->v);
}

static void outs_body(int64_t lo, int64_t hi, void *user)
{
    const wino_job *j = user;
    const et_conv *s = &j->s;
    const block k = block_of(j, 0);
    const int64_t u_step = SMALL_GROUP * s->in + j->kr->lanes;
    float *u = j->scratch + lo / j->chunk * j->slot, *m = u + j->matrices * u_step;

    for (int64_t g = lo; g < hi; g++) {
        const int64_t o = g * SMALL_GROUP, n = min64(SMALL_GROUP, s->out - o);
        kernels(j, o, o + n, u, u_step);
        group(j, &k, o, o + n, u, u_step, j->v, m);
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

et_status et_conv_winograd(const et_conv *c, const float *x, const float *weight, bool turned,
                           const float *bias, float *y, int acc)
{
    const bool line = one_axis(c);
    const int64_t taps = c->kh * c->kw;
    wino_job j = {.s = *c, .kr = et_kernels_for(ET_F32), .matrices = line ? 4 : 16,
                  .x = x, .bias = bias, .y = y, .acc = acc};
    et_winograd *t = &j.tiles;

    *t = (et_winograd){.h = c->h, .w = c->w, .ph = c->ph, .pw = c->pw, .oh = c->oh, .ow = c->ow,
                       .rows = (c->oh + 1) / 2, .cols = (c->ow + 1) / 2};
    j.to = &j.kr->winograd[line ? 1 : 2];
    j.w = (et_winograd_weights){.w = weight, .out_step = turned ? taps : c->in * taps,
                                .in_step = turned ? c->out * taps : taps, .size = c->out * c->in * taps,
                                .turned = turned};
    const int64_t tiles = t->rows * t->cols; /* a sample's */
    const double flops = 2.0 * (double)(c->batch * c->out * c->in * j.matrices) * (double)tiles;
    const int64_t fit = BLOCK_BYTES / (j.matrices * (int64_t)sizeof(float) * (c->in + GROUP));
    const int64_t most = max64(LEAST_BLOCK, min64(fit, MOST_BLOCK));
    const bool alone = c->batch * tiles <= MOST_BLOCK;
    j.samples = alone ? c->batch : ceil_div(c->batch, ceil_div(c->batch, max64(1, most / tiles)));
    const int64_t all = line ? t->cols : t->rows, row = line ? 1 : t->cols;
    j.per = ceil_div(all, j.samples > 1 || alone ? 1 : ceil_div(all, max64(1, most / row)));
    if (line && j.per < all)
        j.per = round_up(j.per, j.kr->lanes);
    j.blocks = ceil_div(all, j.per);
    const et_winograd first = block_of(&j, 0).t;
    t->ld = round_up(j.samples * first.rows * first.cols, j.kr->lanes) + j.kr->lanes;
    t->step = c->in * t->ld + j.kr->lanes; /* other places of the cache for other matrices */
    j.u_step = c->out * c->in + j.kr->lanes;
    j.v_size = j.matrices * t->step;
    j.m_size = j.matrices * m_step_of(&j, t);
    j.lines = 4 * (first.rows + 1) * WINO_LINE(first.cols, j.kr->lanes);
    const int64_t kept = alone ? j.v_size : j.matrices * j.u_step;
    float *memory = et_pool_alloc((size_t)kept * sizeof(float));
    et_status status;
    if (!memory)
        return et_error_status();
    if (alone) {
        j.v = memory;
        status = run(&j, c->in, 4.0 * (double)(c->batch * j.matrices * c->in) * (double)tiles, j.lines,
                     patches_body);
        if (!status)
            status = run(&j, ceil_div(c->out, SMALL_GROUP), flops,
                         j.matrices * (SMALL_GROUP * c->in + j.kr->lanes) + j.m_size, outs_body);
    } else {
        j.u = memory;
        et_parallel_for(c->out, et_row_grain(c->out, 2 * j.matrices * c->in), weights_body, &j);
        status = run(&j, ceil_div(c->batch, j.samples) * j.blocks, flops,
                     j.v_size + j.m_size + j.lines, block_body);
    }
    et_pool_free(memory);
    return status;
}
