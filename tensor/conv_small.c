/* The gradient of small weights, those of first layers: dw[o, (c, i, j)] is the dot product of channel o of
 * dy with channel c of x as tap (i, j) sees it. Rows of x are gathered with their padding once for a block of
 * positions, with stride s in s lines of every s-th element each (phases), where all taps find theirs, and dy
 * is read as it lies: the product of matrices of
 * tensor/conv.c would transpose it first, which for so few taps costs more than the sums themselves. The sums
 * of dy, the gradient of the bias, are taken on the way.
 *
 * Each block's sums are added in double. Shards of the blocks have sums of their own, added in order: sizes
 * alone decide on both. */
#include "config.h"

#include "tensor/conv.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

enum {
    FEW_TAPS = 12,       /* of all channels: so few never pay for transposing, */
    SOME_TAPS = 32,      /* so many not with stride 1, with long vectors nor where kernels overlap, */
    MOST_TAPS = 64,      /* so many not with long vectors that rows fill */
    MANY_LANES = 16,     /* long vectors, of which there are registers for more sums */
    LEAST_ROW = 32,      /* positions */
    BLOCK = 4096,        /* positions of a block, about, */
    LONGEST = 1024,      /* of a row's part, */
    FINE_BLOCK = 48,     /* and where work is cut finely */
    FINE_LONGEST = 16,
    SOME = 12,           /* output channels at a time: dy is in a cache when summed for the bias */
    SHARDS = 16,         /* at most, */
    SUMS = 1 << 17       /* with so many sums together */
};

typedef struct small_job {
    et_conv s;
    const et_kernels *kr;
    int64_t es, taps;            /* of all channels */
    int64_t seg, segs;           /* positions of a part of a row, parts */
    int64_t rows, bands;         /* rows of a block, blocks below each other */
    int64_t height, ld;          /* gathered rows of a channel, elements of each, */
    int64_t phases;              /* for each phase */
    int64_t shards, slot;        /* bytes a shard */
    int64_t off[MOST_TAPS];
    const char *x, *dy;
    char *scratch;
    void *dw;
    double *bias;
    int acc;
} small_job;

bool et_conv_small_fits(et_dtype dtype, const et_conv *c)
{
    const int64_t taps = c->in * c->kh * c->kw, lanes = et_kernels_for(dtype)->lanes;
    const bool many = lanes >= MANY_LANES, full = 8 * round_up(c->ow, lanes) <= 9 * c->ow;
    const bool apart = c->sw > 1 && (c->kw <= c->sw || !many);

    if (taps > SOME_TAPS && (!many || !full || (c->kw > 1 && et_conv_tall_fits(dtype, c))))
        return false;
    return taps <= (apart ? FEW_TAPS : MOST_TAPS) && c->ow >= LEAST_ROW;
}

static double *sums_of(const small_job *j, int64_t shard) { return (double *)(j->scratch + shard * j->slot); }

/* Rows first .. first + rows - 1 of sample b, n elements of each phase as positions from q on see them. */
static void gather(const small_job *j, int64_t b, int64_t first, int64_t rows, int64_t q, int64_t n,
                   char *lines)
{
    const et_conv *s = &j->s;
    const int64_t phase = j->height * j->ld;
    const char *x = j->x + b * s->in * s->h * s->w * j->es;

    if (s->sw == 1) {
        for (int64_t c = 0; c < s->in; c++)
            j->kr->conv_rows(rows, x + c * s->h * s->w * j->es, s->h, s->w, first, 1, q - s->pw, 1,
                             lines + c * phase * j->es, j->ld, n);
        return;
    }
    for (int64_t r = 0; r < rows; r++) /* a phase is what a tap sees */
        j->kr->conv_lines(s->in, x, s->h, s->w, 1, s->sw, 1, j->phases, 0, s->pw, q + n, first + r, q, n,
                          lines + r * j->ld * j->es, phase);
}

static void block_sums(const small_job *j, int64_t item, double *sums, char *lines)
{
    const et_conv *s = &j->s;
    const int64_t part = item % j->segs, band = item / j->segs % j->bands, b = item / j->segs / j->bands;
    const int64_t q = part * j->seg, n = min64(j->seg, s->ow - q), r = band * j->rows;
    const int64_t rows = min64(j->rows, s->oh - r), area = s->oh * s->ow;
    double *bias = sums + s->out * j->taps;

    gather(j, b, r * s->sh - s->ph, (rows - 1) * s->sh + s->kh, q, n + (s->kw - 1) / s->sw, lines);
    for (int64_t o = 0; o < s->out; o += SOME) {
        const int64_t outs = min64(SOME, s->out - o);
        const char *dy = j->dy + ((b * s->out + o) * area + r * s->ow + q) * j->es;
        j->kr->conv_dots(outs, j->taps, rows, n, dy, area, s->ow, lines, j->off, s->sh * j->ld,
                         sums + o * j->taps);
        for (int64_t i = o; j->bias && i < o + outs; i++, dy += area * j->es)
            for (int64_t k = 0; k < (j->segs == 1 ? 1 : rows); k++) /* whole rows follow each other */
                bias[i] += j->kr->sum(j->segs == 1 ? rows * n : n, dy + k * s->ow * j->es);
    }
}

static void small_body(int64_t lo, int64_t hi, void *user)
{
    const small_job *j = user;
    const int64_t items = j->s.batch * j->bands * j->segs, many = j->s.out * (j->taps + 1);

    for (int64_t g = lo; g < hi; g++) {
        double *sums = sums_of(j, g);
        for (int64_t i = 0; i < many; i++)
            sums[i] = 0;
        for (int64_t item = g * items / j->shards; item < (g + 1) * items / j->shards; item++)
            block_sums(j, item, sums, (char *)sums + round_up(many * (int64_t)sizeof(double), 64));
    }
}

et_status et_conv_small_weight_grad(et_dtype dtype, const et_conv *c, const void *x, const void *dy,
                                    void *dweight, int acc, double *bias)
{
    small_job j = {.s = *c, .kr = et_kernels_for(dtype), .es = (int64_t)et_dtype_size(dtype),
                   .taps = c->in * c->kh * c->kw, .x = x, .dy = dy, .bias = bias};
    const int64_t lanes = j.kr->lanes, many = c->out * (j.taps + 1);

    j.segs = ceil_div(c->ow, et_cut(LONGEST, FINE_LONGEST));
    j.seg = j.segs == 1 ? c->ow : round_up(ceil_div(c->ow, j.segs), lanes);
    j.segs = ceil_div(c->ow, j.seg);
    j.bands = ceil_div(c->oh, max64(1, et_cut(BLOCK, FINE_BLOCK) / j.seg));
    j.rows = ceil_div(c->oh, j.bands);
    j.bands = ceil_div(c->oh, j.rows);
    j.height = (j.rows - 1) * c->sh + c->kh;
    j.phases = min64(c->sw, c->kw);
    j.ld = round_up(j.seg + (c->kw - 1) / c->sw, lanes);
    for (int64_t i = 0, t = 0; i < c->in * c->kh; i++)
        for (int64_t k = 0; k < c->kw; k++)
            j.off[t++] = ((i / c->kh * j.phases + k % c->sw) * j.height + i % c->kh) * j.ld + k / c->sw;
    const int64_t items = c->batch * j.bands * j.segs;
    j.shards = min64(min64(SHARDS, items), max64(1, SUMS / many));
    const int64_t lines = c->in * j.phases * j.height * j.ld;
    j.slot = round_up(many * (int64_t)sizeof(double), 64) + round_up(lines * j.es, 64);
    if (!(j.scratch = et_pool_alloc((size_t)(j.shards * j.slot))))
        return et_error_status();
    const double flops = 2.0 * (double)(c->batch * c->out) * (double)(c->oh * c->ow) * (double)j.taps;
    et_parallel_for(j.shards, ceil_div(j.shards, et_threads_for(flops)), small_body, &j);
    double *all = sums_of(&j, 0);
    for (int64_t g = 1; g < j.shards; g++)
        for (int64_t i = 0; i < many; i++)
            all[i] += sums_of(&j, g)[i];
    for (int64_t i = 0; i < c->out * j.taps; i++) {
        if (dtype == ET_F64)
            ((double *)dweight)[i] = all[i] + (acc ? ((double *)dweight)[i] : 0);
        else
            ((float *)dweight)[i] = (float)(all[i] + (acc ? (double)((float *)dweight)[i] : 0));
    }
    for (int64_t o = 0; bias && o < c->out; o++)
        bias[o] = all[c->out * j.taps + o];
    et_pool_free(j.scratch);
    return ET_OK;
}

/* --- sums of dy alone --- */

static void sums_body(int64_t lo, int64_t hi, void *user)
{
    const small_job *j = user;
    const int64_t area = j->s.oh * j->s.ow;

    for (int64_t o = lo; o < hi; o++) {
        j->bias[o] = 0;
        for (int64_t b = 0; b < j->s.batch; b++)
            j->bias[o] += j->kr->sum(area, j->dy + (b * j->s.out + o) * area * j->es);
    }
}

void et_conv_sums(et_dtype dtype, const et_conv *c, const void *dy, double *sums)
{
    small_job j = {.s = *c, .kr = et_kernels_for(dtype), .es = (int64_t)et_dtype_size(dtype), .dy = dy,
                   .bias = sums};

    et_parallel_for(c->out, et_row_grain(c->out, c->batch * c->oh * c->ow), sums_body, &j);
}
