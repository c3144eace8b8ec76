/* Convolutions of stride 1 with kernels of several rows and few input channels, like the first layers that
 * look at most of a spectrum at once, by minimal filtering down the column (tensor/kernels/conv_tall.h): the
 * kernel's rows are taken three at a time, and a tile of four rows of y is made of six products for each
 * three taps and column instead of twelve.
 *
 *   y[4 i ..] = sum over c, g, q of the taps w[c][3 g ..][q] (three) on x[c][4 i + 3 g ..][.. + q] (six)
 *
 * Rows of x are transformed once for all i and g that read them, V[6][in][row]; kernels are,
 * U[6][out][(c, g, q)]. The products M[k] = U[k] V[k] are those of tensor/conv.c: all taps q read one row of
 * V, each one element further on. Six rows of M become four of y. The gradient of the weight goes back the
 * same way: dM from dy, dU[k] = sum over positions of dM[k] V[k], dw from dU. Kernels and their gradients are
 * transformed in double.
 *
 * The gradient of x, being such a convolution of dy, comes this way too where it fits (tensor/conv.c); what
 * is said of x and y holds of dy and dx then.
 *
 * Only for float32. Of normally distributed numbers, the rms error of y is 1.3 (86 x 7 taps) to 1.4 (38 x 3,
 * 5 x 5 on 8 channels) times that of plain sums, products added up in float one after the other; with smaller
 * kernels up to about 1.5 times, with those of one column 1.8, and without fused multiply-add a tenth more.
 * It is 0.6 to 0.9 times where x lies far from zero; dw's is 0.2 to 0.6 times. An infinity or NaN in x makes
 * NaN, in the columns that see it, of all results of the tiles (of four rows) and of all taps of the groups
 * that read it; these lie up to five rows beyond those that see it. Sums run in an order that sizes alone
 * decide. */
#include "config.h"

#include <string.h>

#include "tensor/conv.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

enum {
    ROWS = 4, TAPS = 3, PRODUCTS = 6, /* of y, of the kernel, and what they take */
    V_BYTES = 640 * 1024,             /* transformed rows of a block, about */
    COLS = 64,                        /* a block has a multiple of these, if it is not a whole row, */
    MOST_COLS = 256,
    LEAST_TILES = 16,                 /* and as many rows of tiles, where there are more */
    LEAST_BLOCKS = 16,                /* of all samples */
    GROUP = 24,                       /* output channels: a multiple of every tile's height */
    PANEL_VECS = 2,                   /* of output channels, in the weight's gradient */
    SHARDS = 8,                       /* of the blocks, in the weight's gradient */
    MOST_U = 128 * 1024,              /* elements of the transformed kernels, */
    MOST_V = 512 * 1024,              /* of the smallest block's rows */
    LEAST_WORK = 48,                  /* products for each element of V, about, */
    LEAST_GAIN = 24                   /* and spared for each of y, where transforms pay */
};

typedef struct tall_job {
    et_conv s;
    const et_kernels *kr;
    int64_t groups, terms;     /* three rows of taps; summands of a product, in groups kw */
    int64_t tiles, per, bands; /* four rows of y; those of a block, blocks below each other */
    int64_t seg, segs;         /* columns of a block, blocks side by side */
    int64_t rows, ld, v_step;  /* transformed rows of a channel, elements of each, of all channels */
    int64_t ldm, m_step;       /* a row of M, all rows of a group of channels */
    int64_t *off;              /* [terms] where the row of (c, g, q) starts */
    const float *x, *w, *bias, *dy;
    float *y, *dw, *u, *scratch;
    int64_t slot, chunk;       /* scratch elements a piece; items a piece */
    int64_t ldo, shards;       /* weight's gradient: outputs, rounded up to vectors */
    double *sums;              /* of dy, [shards][out]; or NULL */
    int acc;
} tall_job;

/* --- blocks --- */

/* Rows of tiles of a block: so many that blocks below each other do not transform most of x twice. */
static int64_t tiles_of_block(const et_conv *s)
{
    const int64_t tiles = ceil_div(s->oh, ROWS), least = max64(LEAST_TILES, ceil_div(s->kh, ROWS));

    return ceil_div(tiles, ceil_div(tiles, least));
}

/* Rows of V that they read. */
static int64_t rows_of(const et_conv *s, int64_t tiles)
{
    return ROWS * (tiles - 1) + TAPS * (ceil_div(s->kh, TAPS) - 1) + 1;
}

/* With kernels of one column less has to be spared: the plain way gathers a row for every tap then, where
 * with more columns one row serves all taps beside each other. */
bool et_conv_tall_fits(et_dtype dtype, const et_conv *c)
{
    const int64_t groups = ceil_div(c->kh, TAPS), tiles = ceil_div(c->oh, ROWS);
    const int64_t terms = c->in * groups * c->kw;

    if (dtype != ET_F32 || c->sh != 1 || c->sw != 1 || groups * c->kw * c->out < LEAST_WORK ||
        PRODUCTS * terms * c->out > MOST_U)
        return false;
    const double here = (double)PRODUCTS * (double)terms * (double)tiles * (double)round_up(c->ow, 16);
    const double plain = (double)(c->in * c->kh * c->kw) * (double)(c->oh * c->ow);
    const double gain = (plain - here) / (double)(c->oh * c->ow);
    return 4 * here < 3 * plain && gain >= (c->kw == 1 ? LEAST_GAIN / 3 : LEAST_GAIN) &&
           PRODUCTS * c->in * rows_of(c, tiles_of_block(c)) * (COLS + c->kw) <= MOST_V;
}

static void plan(tall_job *j, const et_conv *s)
{
    j->s = *s;
    j->kr = et_kernels_for(ET_F32);
    const int64_t lanes = j->kr->lanes, channel = PRODUCTS * s->in * (int64_t)sizeof(float);

    j->groups = ceil_div(s->kh, TAPS);
    j->terms = s->in * j->groups * s->kw;
    j->tiles = ceil_div(s->oh, ROWS);
    j->per = tiles_of_block(s);
    j->bands = ceil_div(j->tiles, j->per);
    j->rows = rows_of(s, j->per);

    const int64_t fit = V_BYTES / (channel * j->rows) - s->kw + 1;
    const int64_t some = ceil_div(s->ow, ceil_div(LEAST_BLOCKS, s->batch * j->bands)); /* several threads' */
    const int64_t most = max64(COLS, min64(min64(fit / COLS * COLS, MOST_COLS), round_up(some, COLS)));
    j->segs = ceil_div(s->ow, most);
    j->seg = j->segs == 1 ? s->ow : round_up(ceil_div(s->ow, j->segs), COLS);
    j->segs = ceil_div(s->ow, j->seg);
    j->ld = round_up(round_up(j->seg, lanes) + s->kw - 1, lanes);
    j->v_step = s->in * j->rows * j->ld;
    j->ldm = round_up(j->seg, lanes);
    j->m_step = GROUP * j->ldm;
}

static int64_t items_of(const tall_job *j) { return j->s.batch * j->bands * j->segs; }

typedef struct block {
    int64_t b, tile, tiles, q, n; /* sample, rows of tiles, columns */
} block;

static block block_of(const tall_job *j, int64_t item)
{
    const int64_t q = item % j->segs * j->seg, tile = item / j->segs % j->bands * j->per;

    return (block){item / j->segs / j->bands, tile, min64(j->per, j->tiles - tile), q,
                   min64(j->seg, j->s.ow - q)};
}

/* --- what a block reads --- */

static void set_offsets(tall_job *j, int64_t *off)
{
    j->off = off;
    for (int64_t r = 0; r < j->s.in * j->groups; r++)
        for (int64_t k = 0; k < j->s.kw; k++)
            *off++ = (r / j->groups * j->rows + r % j->groups * TAPS) * j->ld + k;
}

/* Elements of the rows of x that a channel's transformed ones are made of. */
static int64_t lines_size(const tall_job *j) { return (j->rows + PRODUCTS - 1) * j->ld; }

static void transform(const tall_job *j, const block *at, float *v, float *lines)
{
    const et_conv *s = &j->s;
    const int64_t rows = rows_of(s, at->tiles);

    for (int64_t c = 0; c < s->in; c++) {
        j->kr->conv_rows(rows + PRODUCTS - 1, j->x + (at->b * s->in + c) * s->h * s->w, s->h, s->w,
                         ROWS * at->tile - s->ph, 1, at->q - s->pw, 1, lines, j->ld, j->ld);
        j->kr->tall_input(rows, j->ld, lines, v + c * j->rows * j->ld, j->v_step);
    }
}

/* Cuts `items` into a piece for each thread that is worth one, with `slot` elements of scratch memory for
 * each. */
static et_status cut(tall_job *j, int64_t items, int64_t slot)
{
    const et_conv *s = &j->s;
    const double flops = 2.0 * PRODUCTS * (double)(s->batch * s->out) * (double)(j->tiles * s->ow) *
                         (double)j->terms;
    const size_t offsets = (size_t)round_up(j->terms * (int64_t)sizeof *j->off, 64);

    j->chunk = ceil_div(items, et_threads_for(flops));
    j->slot = round_up(slot, 16);
    char *memory = et_pool_alloc(offsets + (size_t)(ceil_div(items, j->chunk) * j->slot) * sizeof(float));
    if (!memory)
        return et_error_status();
    set_offsets(j, (int64_t *)(void *)memory);
    j->scratch = (float *)(void *)(memory + offsets);
    return ET_OK;
}

/* --- forward --- */

/* U of output channels lo .. hi. */
static void weights_body(int64_t lo, int64_t hi, void *user)
{
    const tall_job *j = user;
    const double a = ET_TALL_A, b = ET_TALL_B, a2 = a * a, b2 = b * b;
    const double p = 1 / (2 * a2 * (a2 - b2)), q = 1 / (2 * b2 * (b2 - a2));
    const int64_t kw = j->s.kw, step = j->s.out * j->terms;
    float *u = j->u + lo * j->terms;

    for (int64_t r = lo * j->s.in; r < hi * j->s.in; r++)
        for (int64_t g = 0; g < j->groups; g++)
            for (int64_t k = 0; k < kw; k++, u++) {
                const float *w = j->w + (r * j->s.kh + g * TAPS) * kw + k;
                const int64_t left = j->s.kh - g * TAPS; /* behind the last row are zeros */
                const double w0 = (double)w[0], w1 = left > 1 ? (double)w[kw] : 0;
                const double w2 = left > 2 ? (double)w[2 * kw] : 0;
                const double ea = p * (w0 + a2 * w2), oa = p * a * w1;
                const double eb = q * (w0 + b2 * w2), ob = q * b * w1;
                u[0] = (float)(w0 / (a2 * b2));
                u[step] = (float)(ea + oa);
                u[2 * step] = (float)(ea - oa);
                u[3 * step] = (float)(eb + ob);
                u[4 * step] = (float)(eb - ob);
                u[5 * step] = (float)w2;
            }
}

/* m[k][outs][n] = u[k] v[k] for `outs` output channels */
static void multiply(const tall_job *j, int64_t outs, int64_t n, const float *u, const float *v, float *m)
{
    const et_kernels *kr = j->kr;
    const int vecs = kr->gemm_vecs;
    const int64_t lanes = kr->lanes, nr = vecs * lanes, full = n / nr, edge = ceil_div(n - full * nr, lanes);

    for (int64_t k = 0; k < PRODUCTS; k++, u += j->s.out * j->terms, v += j->v_step, m += j->m_step) {
        for (int64_t o = 0, tall = kr->gemm_rows[vecs]; full && o < outs; o += tall)
            kr->conv_tile[vecs][min64(tall, outs - o)](full, j->terms, u + o * j->terms, j->terms, v, j->off,
                                                       m + o * j->ldm, j->ldm, NULL, 0);
        for (int64_t o = 0, tall = kr->gemm_rows[edge]; edge && o < outs; o += tall)
            kr->conv_tile[edge][min64(tall, outs - o)](1, j->terms, u + o * j->terms, j->terms, v + full * nr,
                                                       j->off, m + o * j->ldm + full * nr, j->ldm, NULL, 0);
    }
}

static void forward_body(int64_t lo, int64_t hi, void *user)
{
    const tall_job *j = user;
    const et_conv *s = &j->s;
    float *v = j->scratch + lo / j->chunk * j->slot, *m = v + PRODUCTS * j->v_step;

    for (int64_t item = lo; item < hi; item++) {
        const block at = block_of(j, item);
        transform(j, &at, v, m);
        for (int64_t i = 0; i < at.tiles; i++)
            for (int64_t o = 0; o < s->out; o += GROUP) {
                const int64_t outs = min64(GROUP, s->out - o), row = ROWS * (at.tile + i);
                multiply(j, outs, at.n, j->u + o * j->terms, v + ROWS * i * j->ld, m);
                j->kr->tall_output(outs, at.n, m, j->ldm, j->m_step, (int)min64(ROWS, s->oh - row),
                                   j->bias ? j->bias + o : NULL, j->acc,
                                   j->y + ((at.b * s->out + o) * s->oh + row) * s->ow + at.q, s->oh * s->ow,
                                   s->ow);
            }
    }
}

et_status et_conv_tall(const et_conv *c, const float *x, const float *weight, const float *bias, float *y,
                       int acc)
{
    tall_job j = {.x = x, .w = weight, .bias = bias, .y = y, .acc = acc};

    plan(&j, c);
    if (!(j.u = et_pool_alloc((size_t)(PRODUCTS * c->out * j.terms) * sizeof(float))))
        return et_error_status();
    const int64_t slot = PRODUCTS * j.v_step + max64(PRODUCTS * j.m_step, lines_size(&j));
    const et_status status = cut(&j, items_of(&j), slot);
    if (status == ET_OK) {
        et_parallel_for(c->out, et_row_grain(c->out, 4 * PRODUCTS * j.terms), weights_body, &j);
        et_parallel_for(items_of(&j), j.chunk, forward_body, &j);
        et_pool_free(j.off);
    }
    et_pool_free(j.u);
    return status;
}

/* --- gradient of the weight --- */

/* dM of output channels o .. o + outs - 1 in one row of tiles, six panels of [n][width]. Where sums are
 * wanted rows of dy are added up just before they are packed, so that they come from memory once. */
static void transform_back(const tall_job *j, const block *at, int64_t tile, int64_t o, int64_t outs,
                           int64_t width, float *dy, float *dm, double *sums)
{
    const et_conv *s = &j->s;
    const int64_t size = at->n * width, row = ROWS * tile, rows = min64(ROWS, s->oh - row);
    const int64_t some = j->segs == 1 ? rows : 1; /* whole rows follow each other */

    for (int64_t r = 0; r < rows; r += some) {
        const float *from = j->dy + ((at->b * s->out + o) * s->oh + row + r) * s->ow + at->q;
        for (int64_t i = 0; sums && i < outs; i++)
            sums[o + i] += j->kr->sum(some * at->n, from + i * s->oh * s->ow);
        j->kr->gemm_pack(some * at->n, outs, from, 1, s->oh * s->ow, dy + r * size, width);
    }
    memset(dy + rows * size, 0, (size_t)((ROWS - rows) * size) * sizeof(float));
    j->kr->tall_output_grad(size, dy, dm, size);
}

/* Each shard of the blocks has a gradient of its own, dU[6][terms][ldo]. */
static void shard_body(int64_t lo, int64_t hi, void *user)
{
    const tall_job *j = user;
    const et_kernels *kr = j->kr;
    const int64_t items = items_of(j), most = PANEL_VECS * (int64_t)kr->lanes;
    float *v = j->scratch + lo / j->chunk * j->slot, *dy = v + PRODUCTS * j->v_step;
    float *dm = dy + ROWS * j->seg * most;

    for (int64_t g = lo; g < hi; g++) {
        const int64_t first = g * items / j->shards, end = (g + 1) * items / j->shards;
        float *du = j->u + g * PRODUCTS * j->terms * j->ldo;
        double *sums = j->sums ? j->sums + g * j->s.out : NULL;
        for (int64_t o = 0; sums && o < j->s.out; o++)
            sums[o] = 0;
        for (int64_t item = first; item < end; item++) {
            const block at = block_of(j, item);
            transform(j, &at, v, dy);
            for (int64_t i = 0; i < at.tiles; i++)
                for (int64_t o = 0; o < j->s.out; o += most) {
                    const int64_t outs = min64(most, j->s.out - o), width = round_up(outs, kr->lanes);
                    const int vecs = (int)(width / kr->lanes), tall = kr->gemm_rows[vecs];
                    transform_back(j, &at, at.tile + i, o, outs, width, dy, dm, sums);
                    for (int64_t k = 0; k < PRODUCTS; k++)
                        for (int64_t t = 0; t < j->terms; t += tall)
                            kr->conv_wtile[vecs][min64(tall, j->terms - t)](
                                1, at.n, v + k * j->v_step + ROWS * i * j->ld, j->off + t,
                                dm + k * at.n * width, du + (k * j->terms + t) * j->ldo + o, j->ldo,
                                item > first || i > 0);
                }
        }
    }
}

/* dw of groups of taps (c, g) lo .. hi, shards added in order. */
static void turn_back_body(int64_t lo, int64_t hi, void *user)
{
    const tall_job *j = user;
    const double a = ET_TALL_A, b = ET_TALL_B, a2 = a * a, b2 = b * b;
    const double p = 1 / (2 * a2 * (a2 - b2)), q = 1 / (2 * b2 * (b2 - a2));
    const int64_t kw = j->s.kw, filter = j->s.in * j->s.kh * kw, step = j->terms * j->ldo;

    for (int64_t t = lo * kw; t < hi * kw; t++)
        for (int64_t o = 0; o < j->s.out; o++) {
            const int64_t r = t / kw, row = r % j->groups * TAPS;
            float *w = j->dw + o * filter + (r / j->groups * j->s.kh + row) * kw + t % kw;
            double d[PRODUCTS] = {0};
            for (int64_t g = 0; g < j->shards; g++)
                for (int64_t k = 0; k < PRODUCTS; k++)
                    d[k] += (double)j->u[(g * PRODUCTS + k) * step + t * j->ldo + o];
            const double ea = p * (d[1] + d[2]), oa = p * (d[1] - d[2]);
            const double eb = q * (d[3] + d[4]), ob = q * (d[3] - d[4]);
            const double dw[TAPS] = {d[0] / (a2 * b2) + ea + eb, a * oa + b * ob, a2 * ea + b2 * eb + d[5]};
            for (int64_t k = 0; k < min64(TAPS, j->s.kh - row); k++)
                w[k * kw] = (float)(dw[k] + (j->acc ? (double)w[k * kw] : 0));
        }
}

et_status et_conv_tall_weight_grad(const et_conv *c, const float *x, const float *dy, float *dweight, int acc,
                                   double *sums)
{
    tall_job j = {.x = x, .dy = dy, .dw = dweight, .acc = acc};

    plan(&j, c);
    j.shards = min64(SHARDS, items_of(&j));
    j.ldo = round_up(c->out, j.kr->lanes);
    const int64_t panels = (ROWS + PRODUCTS) * j.seg * PANEL_VECS * j.kr->lanes;
    const size_t of_shards = (size_t)(j.shards * PRODUCTS * j.terms * j.ldo) * sizeof(float);
    char *memory = et_pool_alloc(of_shards + (size_t)(sums ? j.shards * c->out : 0) * sizeof *sums);
    if (!memory)
        return et_error_status();
    j.u = (float *)(void *)memory;
    j.sums = sums ? (double *)(void *)(memory + of_shards) : NULL;
    const et_status status = cut(&j, j.shards, PRODUCTS * j.v_step + max64(panels, lines_size(&j)));
    if (status == ET_OK) {
        et_parallel_for(j.shards, j.chunk, shard_body, &j);
        const int64_t all = c->in * j.groups, each = PRODUCTS * c->kw * c->out * j.shards;
        et_parallel_for(all, et_row_grain(all, each), turn_back_body, &j);
        for (int64_t o = 0; sums && o < c->out; o++) {
            sums[o] = 0;
            for (int64_t g = 0; g < j.shards; g++)
                sums[o] += j.sums[g * c->out + o];
        }
        et_pool_free(j.off);
    }
    et_pool_free(j.u);
    return status;
}
