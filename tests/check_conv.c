/* Convolutions against their definition on every table of the machine, with sizes around the edges of tiles,
 * blocks and shards; the same bits on any number of threads; wrong use; the layer. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/conv.h"
#include "tensor/conv.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tests/alloc_sweep.h"
#include "tests/kernel_arrays.h"
#include "tests/misuse.h"
#include "tests/suite.h"

static double noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 23) - 1;
}

/* n numbers of the table's type and the same as doubles. */
typedef struct pair {
    void *real;
    double *exact;
    int64_t n;
} pair;

static pair pair_of(et_dtype dtype, int64_t n, uint32_t seed)
{
    pair p = {malloc((size_t)n * 8 + 8), malloc((size_t)n * 8 + 8), n};

    ck_assert(p.real && p.exact);
    for (int64_t i = 0; i < n; i++) {
        const float v = (float)noise(&seed);
        p.exact[i] = (double)v;
        if (dtype == ET_F32)
            ((float *)p.real)[i] = v;
        else
            ((double *)p.real)[i] = (double)v;
    }
    return p;
}

static void pair_free(pair *p)
{
    free(p->real);
    free(p->exact);
}

static double get_real(et_dtype dtype, const void *p, int64_t i)
{
    return dtype == ET_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

/* The part of one row of y, number s, and one element of w, (k, l): see slow. */
static void slow_row(const et_conv *c, int what, int64_t s, int64_t k, int64_t l, double *x, double *w,
                     double *y)
{
    const int64_t r = s * c->sh - c->ph + k;
    int64_t from = 0, to = c->ow; /* where x is not padding */
    double sum = 0;

    while (from < to && from * c->sw - c->pw + l < 0)
        from++;
    while (to > from && (to - 1) * c->sw - c->pw + l >= c->w)
        to--;
    if (r < 0 || r >= c->h || from == to)
        return;
    x += r * c->w + from * c->sw - c->pw + l;
    w += k * c->kw + l;
    y += s * c->ow + from;
    for (int64_t t = 0; what == 0 && t < to - from; t++)
        y[t] += x[t * c->sw] * *w;
    for (int64_t t = 0; what == 1 && t < to - from; t++)
        x[t * c->sw] += *w * y[t];
    for (int64_t t = 0; what == 2 && t < to - from; t++)
        sum += x[t * c->sw] * y[t];
    *w += sum;
}

/* The three products by their definition. what: 0 y, 1 dx, 2 dw; the third operand is computed. */
static void slow(const et_conv *c, int what, double *x, double *w, double *y)
{
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t o = 0; o < c->out; o++)
            for (int64_t i = 0; i < c->in; i++)
                for (int64_t k = 0; k < c->kh; k++)
                    for (int64_t l = 0; l < c->kw; l++)
                        for (int64_t s = 0; s < c->oh; s++)
                            slow_row(c, what, s, k, l, x + (b * c->in + i) * c->h * c->w,
                                     w + (o * c->in + i) * c->kh * c->kw,
                                     y + (b * c->out + o) * c->oh * c->ow);
}

static void compare(const et_kernels *k, const et_conv *c, const char *what, const void *got,
                    const double *want, int64_t n, double terms)
{
    const double tol = (k->dtype == ET_F32 ? (double)FLT_EPSILON : DBL_EPSILON) * 2 * (terms + 4);

    for (int64_t i = 0; i < n; i++) {
        const double g = get_real(k->dtype, got, i);
        ck_assert_msg(fabs(g - want[i]) <= tol,
                      "%s %s of x [%d, %d, %d, %d], w [%d, %d, %d, %d], stride %d %d, padding %d %d: element "
                      "%d is %g, expected %g", k->name, what, (int)c->batch, (int)c->in, (int)c->h, (int)c->w,
                      (int)c->out, (int)c->in, (int)c->kh, (int)c->kw, (int)c->sh, (int)c->sw, (int)c->ph,
                      (int)c->pw, (int)i, g, want[i]);
    }
}

static void check_one(const et_kernels *k, et_conv c)
{
    c.oh = (c.h + 2 * c.ph - c.kh) / c.sh + 1;
    c.ow = (c.w + 2 * c.pw - c.kw) / c.sw + 1;
    const et_dtype d = k->dtype;
    const int64_t nx = c.batch * c.in * c.h * c.w, nw = c.out * c.in * c.kh * c.kw,
                  ny = c.batch * c.out * c.oh * c.ow;
    pair x = pair_of(d, nx, 1), w = pair_of(d, nw, 2), y = pair_of(d, ny, 3), bias = pair_of(d, c.out, 4);
    pair gx = pair_of(d, nx, 5), gw = pair_of(d, nw, 6), out = pair_of(d, ny, 7);
    double sums[2][4100];

    ck_assert_int_le(c.out, 4100);
    et_conv_sums(d, &c, y.real, sums[1]);
    ck_assert_int_eq(et_conv_forward(d, &c, x.real, w.real, bias.real, out.real), ET_OK);
    for (int64_t i = 0; i < ny; i++)
        out.exact[i] = bias.exact[i / (c.oh * c.ow) % c.out];
    slow(&c, 0, x.exact, w.exact, out.exact);
    compare(k, &c, "y", out.real, out.exact, ny, (double)(c.in * c.kh * c.kw));
    for (int acc = 1; acc >= 0; acc--) { /* added to what is there, then overwritten */
        ck_assert_int_eq(et_conv_input_grad(d, &c, w.real, y.real, gx.real, acc), ET_OK);
        ck_assert_int_eq(et_conv_weight_grad(d, &c, x.real, y.real, gw.real, acc, sums[0]), ET_OK);
        if (!acc) {
            memset(gx.exact, 0, (size_t)nx * sizeof(double));
            memset(gw.exact, 0, (size_t)nw * sizeof(double));
        }
        slow(&c, 1, gx.exact, w.exact, y.exact);
        slow(&c, 2, x.exact, gw.exact, y.exact);
        compare(k, &c, "dx", gx.real, gx.exact, nx, (double)(c.out * c.kh * c.kw));
        compare(k, &c, "dw", gw.real, gw.exact, nw, (double)(c.batch * c.oh * c.ow));
    }
    for (int64_t o = 0; o < c.out; o++) {
        double sum = 0;
        for (int64_t b = 0; b < c.batch; b++)
            for (int64_t q = 0; q < c.oh * c.ow; q++)
                sum += y.exact[(b * c.out + o) * c.oh * c.ow + q];
        for (int i = 0; i < 2; i++)
            ck_assert_msg(fabs(sums[i][o] - sum) < 1e-9, "%s: sum %d of dy is %g, expected %g", k->name,
                          (int)o, sums[i][o], sum);
    }
    pair_free(&x), pair_free(&w), pair_free(&y), pair_free(&bias), pair_free(&gx), pair_free(&gw),
    pair_free(&out);
}

/* Uses the table at _i of the machine; float64 stands last. */
static const et_kernels *use_table(int i)
{
    const et_kernels *k = table_at(i);

    if (k->dtype == ET_F32)
        ck_assert_int_eq(et_set_isa(k->name), ET_OK);
    return k;
}

START_TEST(tile_edges)
{
    const et_kernels *k = use_table(_i);
    const int64_t nr = (int64_t)k->gemm_vecs * k->lanes, mr = k->gemm_rows[k->gemm_vecs];
    const int64_t outs[] = {1, mr - 1, mr, mr + 1, 25}, lengths[] = {1, k->lanes + 1, nr - 1, nr, nr + 1,
                                                                     2 * nr + 3};

    for (size_t o = 0; o < 5; o++)
        for (size_t l = 0; l < 6; l++) {
            if (outs[o] < 1 || lengths[l] < 1)
                continue;
            check_one(k, (et_conv){.batch = 2, .in = 5, .h = 1, .w = lengths[l], .out = outs[o], .kh = 1,
                                   .kw = 3, .sh = 1, .sw = 1, .pw = 1});
            check_one(k, (et_conv){.batch = 1, .in = 2, .h = 3, .w = lengths[l], .out = outs[o], .kh = 2,
                                   .kw = 1, .sh = 1, .sw = 1, .ph = 1});
        }
}
END_TEST

START_TEST(blocks)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        /* long rows */
        {.batch = 1, .in = 3, .h = 1, .w = 1100, .out = 4, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        /* channels */
        {.batch = 2, .in = 260, .h = 1, .w = 9, .out = 5, .kh = 1, .kw = 5, .sh = 1, .sw = 1, .pw = 2},
        {.batch = 3, .in = 4, .h = 5, .w = 32, .out = 7, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 4, .h = 40, .w = 16, .out = 3, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 5, .h = 23, .w = 23, .out = 6, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 5, .h = 4, .w = 130, .out = 6, .kh = 2, .kw = 4, .sh = 1, .sw = 1, .pw = 3},
        /* tall */
        {.batch = 2, .in = 1, .h = 30, .w = 64, .out = 16, .kh = 26, .kw = 7, .sh = 1, .sw = 1, .pw = 3},
        /* tall, rows of several positions' lines lapping over each other, in one block and in several */
        {.batch = 16, .in = 1, .h = 15, .w = 95, .out = 3, .kh = 11, .kw = 4, .sh = 1, .sw = 1, .ph = 2,
         .pw = 2},
        {.batch = 2, .in = 3, .h = 37, .w = 128, .out = 5, .kh = 13, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 40, .h = 9, .w = 112, .out = 4, .kh = 7, .kw = 2, .sh = 1, .sw = 1, .ph = 4},
        /* more than shards */
        {.batch = 11, .in = 2, .h = 6, .w = 6, .out = 3, .kh = 3, .kw = 3, .sh = 1, .sw = 1},
        /* large weight */
        {.batch = 2, .in = 70, .h = 3, .w = 3, .out = 270, .kh = 2, .kw = 2, .sh = 1, .sw = 1},
        {.batch = 2, .in = 4, .h = 9, .w = 11, .out = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 2, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 3, .h = 1, .w = 1000, .out = 5, .kh = 1, .kw = 3, .sh = 1, .sw = 3, .pw = 1},
        {.batch = 1, .in = 2, .h = 12, .w = 13, .out = 5, .kh = 4, .kw = 4, .sh = 3, .sw = 2, .ph = 2,
         .pw = 5},
        {.batch = 1, .in = 40, .h = 7, .w = 7, .out = 5, .kh = 4, .kw = 4, .sh = 3, .sw = 3, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 5, .h = 4, .w = 4, .out = 5, .kh = 2, .kw = 2, .sh = 1, .sw = 1, .ph = 3, .pw = 3},
        {.batch = 1, .in = 5, .h = 2, .w = 3, .out = 4, .kh = 2, .kw = 2, .sh = 5, .sw = 6}, /* gaps */
        /* blocks over samples, channels in several */
        {.batch = 30, .in = 130, .h = 3, .w = 3, .out = 7, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 37, .in = 6, .h = 3, .w = 7, .out = 30, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        /* wide */
        {.batch = 9, .in = 5, .h = 3, .w = 2, .out = 6, .kh = 7, .kw = 7, .sh = 1, .sw = 1, .ph = 3, .pw = 3},
        {.batch = 5, .in = 9, .h = 6, .w = 8, .out = 6, .kh = 1, .kw = 1, .sh = 1, .sw = 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_one(k, cases[i]);
}
END_TEST

/* 3 x 3 kernels that go in tiles of 2 x 2 results, kernels of 3 in tiles of 2: odd and even sizes, rows
 * shorter and longer than a vector, no and wide padding, one block and several, of one sample or of several
 * side by side, groups of channels, sums in several parts; what has too few tiles or too many halves of them;
 * and kernels of one position. */
START_TEST(tiles_and_points)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        {.batch = 1, .in = 24, .h = 14, .w = 14, .out = 25, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 3, .in = 26, .h = 9, .w = 33, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 24, .h = 15, .w = 20, .out = 49, .kh = 3, .kw = 3, .sh = 1, .sw = 1},
        {.batch = 1, .in = 25, .h = 60, .w = 4, .out = 30, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 24, .h = 20, .w = 35, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 2,
         .pw = 2},
        {.batch = 2, .in = 24, .h = 24, .w = 17, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 0,
         .pw = 3},
        {.batch = 1, .in = 24, .h = 26, .w = 80, .out = 26, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 5, .in = 27, .h = 24, .w = 7, .out = 25, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 530, .h = 24, .w = 8, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 24, .h = 1, .w = 95, .out = 25, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 3, .in = 26, .h = 1, .w = 1100, .out = 50, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 2, .in = 30, .h = 1, .w = 643, .out = 24, .kh = 1, .kw = 3, .sh = 1, .sw = 1},
        {.batch = 1, .in = 530, .h = 1, .w = 200, .out = 24, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 2},
        {.batch = 1, .in = 24, .h = 1, .w = 521, .out = 49, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 5},
        {.batch = 4, .in = 25, .h = 7, .w = 7, .out = 26, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 37, .in = 40, .h = 8, .w = 5, .out = 51, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 70, .in = 24, .h = 4, .w = 4, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1},
        {.batch = 9, .in = 33, .h = 1, .w = 27, .out = 25, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 61, .in = 24, .h = 1, .w = 21, .out = 30, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 2},
        {.batch = 20, .in = 24, .h = 1, .w = 3, .out = 24, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 12, .in = 24, .h = 3, .w = 3, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 24, .h = 8, .w = 8, .out = 24, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 2, .in = 7, .h = 5, .w = 13, .out = 9, .kh = 1, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 3, .h = 6, .w = 7, .out = 5, .kh = 1, .kw = 1, .sh = 2, .sw = 2},
        {.batch = 1, .in = 3, .h = 6, .w = 7, .out = 5, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .ph = 1, .pw = 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        et_conv c = cases[i];
        c.oh = (c.h + 2 * c.ph - c.kh) / c.sh + 1;
        c.ow = (c.w + 2 * c.pw - c.kw) / c.sw + 1;
        ck_assert_msg(et_conv_winograd_fits(ET_F32, &c) == (i < 19), "case %d", (int)i);
        ck_assert(!et_conv_winograd_fits(ET_F64, &c));
        check_one(k, cases[i]);
    }
}
END_TEST

/* Rows of every s-th element: strides of two to five, alone or down the column too, where taps of
 * neighbouring rows are the same rows of x and where they are not; one channel and several, rows of one
 * segment and of several, taps in all phases and not, wide padding. */
START_TEST(strided_rows)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        {.batch = 2, .in = 3, .h = 1, .w = 400, .out = 7, .kh = 1, .kw = 80, .sh = 1, .sw = 4},
        {.batch = 1, .in = 2, .h = 1, .w = 5300, .out = 4, .kh = 1, .kw = 7, .sh = 1, .sw = 5, .pw = 6},
        {.batch = 3, .in = 9, .h = 1, .w = 64, .out = 5, .kh = 1, .kw = 3, .sh = 1, .sw = 2, .pw = 1},
        {.batch = 2, .in = 3, .h = 33, .w = 33, .out = 6, .kh = 7, .kw = 7, .sh = 2, .sw = 2, .ph = 3,
         .pw = 3},
        {.batch = 2, .in = 5, .h = 34, .w = 32, .out = 6, .kh = 4, .kw = 4, .sh = 2, .sw = 2, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 40, .h = 20, .w = 95, .out = 3, .kh = 5, .kw = 5, .sh = 3, .sw = 3, .ph = 1,
         .pw = 2},
        {.batch = 1, .in = 6, .h = 40, .w = 130, .out = 5, .kh = 3, .kw = 4, .sh = 4, .sw = 2, .ph = 2,
         .pw = 1},
        {.batch = 2, .in = 4, .h = 21, .w = 47, .out = 9, .kh = 5, .kw = 3, .sh = 1, .sw = 3, .ph = 2,
         .pw = 2},
        {.batch = 1, .in = 7, .h = 25, .w = 31, .out = 4, .kh = 5, .kw = 3, .sh = 2, .sw = 1, .ph = 4,
         .pw = 1},
        {.batch = 2, .in = 3, .h = 40, .w = 50, .out = 6, .kh = 16, .kw = 16, .sh = 10, .sw = 10, .ph = 3,
         .pw = 9},
        {.batch = 1, .in = 2, .h = 1, .w = 111, .out = 3, .kh = 1, .kw = 35, .sh = 1, .sw = 3, .pw = 40},
        {.batch = 3, .in = 2, .h = 5, .w = 9, .out = 3, .kh = 2, .kw = 8, .sh = 3, .sw = 4, .ph = 1},
        {.batch = 1, .in = 2, .h = 9, .w = 2500, .out = 3, .kh = 4, .kw = 6, .sh = 2, .sw = 2, .ph = 1,
         .pw = 5},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_one(k, cases[i]);
}
END_TEST

/* Kernels of several rows, taken three at a time for four rows of results: one group and many, full ones and
 * not, the same with tiles; wide padding, one channel and several, one column and more, rows of one block and
 * of several, not a multiple of any vector; bands of tiles; and shapes that go another way. */
START_TEST(tall_kernels)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        {.batch = 2, .in = 1, .h = 96, .w = 70, .out = 16, .kh = 86, .kw = 7, .sh = 1, .sw = 1, .pw = 3},
        {.batch = 1, .in = 1, .h = 47, .w = 256, .out = 5, .kh = 38, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 1, .in = 1, .h = 30, .w = 300, .out = 33, .kh = 27, .kw = 4, .sh = 1, .sw = 1, .ph = 1},
        {.batch = 3, .in = 1, .h = 24, .w = 47, .out = 49, .kh = 21, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 1, .h = 18, .w = 94, .out = 17, .kh = 13, .kw = 7, .sh = 1, .sw = 1, .ph = 3,
         .pw = 2},
        {.batch = 20, .in = 1, .h = 16, .w = 41, .out = 7, .kh = 10, .kw = 11, .sh = 1, .sw = 1, .ph = 9,
         .pw = 7},
        {.batch = 2, .in = 3, .h = 20, .w = 62, .out = 9, .kh = 11, .kw = 4, .sh = 1, .sw = 1, .ph = 4,
         .pw = 2},
        {.batch = 1, .in = 7, .h = 170, .w = 49, .out = 18, .kh = 6, .kw = 3, .sh = 1, .sw = 1, .ph = 2,
         .pw = 1},
        {.batch = 1, .in = 9, .h = 28, .w = 94, .out = 26, .kh = 5, .kw = 5, .sh = 1, .sw = 1, .ph = 2,
         .pw = 2},
        {.batch = 1, .in = 12, .h = 8, .w = 31, .out = 40, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1},
        {.batch = 1, .in = 1, .h = 40, .w = 64, .out = 16, .kh = 38, .kw = 3, .sh = 2, .sw = 1, .pw = 1},
        {.batch = 1, .in = 1, .h = 40, .w = 64, .out = 16, .kh = 38, .kw = 3, .sh = 1, .sw = 2, .pw = 1},
        {.batch = 1, .in = 1, .h = 40, .w = 64, .out = 16, .kh = 8, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 1, .in = 1, .h = 38, .w = 64, .out = 16, .kh = 38, .kw = 3, .sh = 1, .sw = 1, .pw = 1},
        {.batch = 1, .in = 48, .h = 20, .w = 32, .out = 16, .kh = 20, .kw = 3, .sh = 1, .sw = 1, .ph = 9},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        et_conv c = cases[i];
        c.oh = (c.h + 2 * c.ph - c.kh) / c.sh + 1;
        c.ow = (c.w + 2 * c.pw - c.kw) / c.sw + 1;
        ck_assert_msg(et_conv_tall_fits(ET_F32, &c) == (i < 10), "case %d", (int)i);
        ck_assert(!et_conv_tall_fits(ET_F64, &c));
        check_one(k, c);
    }
}
END_TEST

/* y and dw as plain sums in float, one product after the other; both are 0 before. */
static void plain_sums(const et_conv *c, const float *x, const float *w, const float *dy, float *y, float *dw)
{
    for (int64_t f = 0; f < c->batch * c->out * c->in; f++) {
        const int64_t b = f / c->in / c->out, o = f / c->in % c->out, i = f % c->in;
        const float *xf = x + (b * c->in + i) * c->h * c->w;
        const int64_t wf = (o * c->in + i) * c->kh * c->kw;
        for (int64_t s = 0; s < c->oh; s++)
            for (int64_t t = 0; t < c->ow; t++) {
                const int64_t ye = ((b * c->out + o) * c->oh + s) * c->ow + t;
                for (int64_t k = 0; k < c->kh * c->kw; k++) {
                    const int64_t r = s - c->ph + k / c->kw, q = t - c->pw + k % c->kw;
                    if (r < 0 || r >= c->h || q < 0 || q >= c->w)
                        continue;
                    y[ye] += xf[r * c->w + q] * w[wf + k];
                    dw[wf + k] += xf[r * c->w + q] * dy[ye];
                }
            }
    }
}

static double rms_error(const float *got, const pair *want)
{
    double sum = 0;

    for (int64_t e = 0; e < want->n; e++)
        sum += ((double)got[e] - want->exact[e]) * ((double)got[e] - want->exact[e]);
    return sqrt(sum / (double)want->n);
}

/* What tensor/conv_tall.c says of errors beside those of plain sums, and of the largest. */
START_TEST(tall_errors)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        {.batch = 1, .in = 1, .h = 96, .w = 64, .out = 4, .kh = 86, .kw = 7, .sh = 1, .sw = 1, .pw = 3,
         .oh = 11, .ow = 64},
        {.batch = 1, .in = 1, .h = 96, .w = 64, .out = 6, .kh = 38, .kw = 3, .sh = 1, .sw = 1, .pw = 1,
         .oh = 59, .ow = 64},
        {.batch = 1, .in = 8, .h = 24, .w = 64, .out = 8, .kh = 5, .kw = 5, .sh = 1, .sw = 1, .ph = 2,
         .pw = 2, .oh = 24, .ow = 64},
    };

    for (size_t i = 0; k->dtype == ET_F32 && i < sizeof cases / sizeof cases[0]; i++) {
        const et_conv *c = &cases[i];
        const int64_t n[3] = {c->batch * c->in * c->h * c->w, c->out * c->in * c->kh * c->kw,
                              c->batch * c->out * c->oh * c->ow};
        pair x = pair_of(ET_F32, n[0], 1), w = pair_of(ET_F32, n[1], 2), dy = pair_of(ET_F32, n[2], 3);
        pair dw = pair_of(ET_F32, n[1], 4), y = pair_of(ET_F32, n[2], 5);
        float *plain_y = calloc((size_t)n[2], sizeof(float)), *plain_dw = calloc((size_t)n[1], sizeof(float));

        ck_assert(plain_y && plain_dw);
        ck_assert(et_conv_tall_fits(ET_F32, c));
        ck_assert_int_eq(et_conv_forward(ET_F32, c, x.real, w.real, NULL, y.real), ET_OK);
        ck_assert_int_eq(et_conv_weight_grad(ET_F32, c, x.real, dy.real, dw.real, 0, NULL), ET_OK);
        memset(y.exact, 0, (size_t)n[2] * sizeof(double));
        memset(dw.exact, 0, (size_t)n[1] * sizeof(double));
        slow(c, 0, x.exact, w.exact, y.exact);
        slow(c, 2, x.exact, dw.exact, dy.exact);
        plain_sums(c, x.real, w.real, dy.real, plain_y, plain_dw);
        const double of_y = rms_error(y.real, &y) / rms_error(plain_y, &y);
        const double of_dw = rms_error(dw.real, &dw) / rms_error(plain_dw, &dw);
        const pair *made[] = {&y, &dw};
        for (int p = 0; p < 2; p++) {
            double most = 0, error = 0;
            for (int64_t e = 0; e < made[p]->n; e++) {
                most = fmax(most, fabs(made[p]->exact[e]));
                error = fmax(error, fabs(get_real(ET_F32, made[p]->real, e) - made[p]->exact[e]));
            }
            ck_assert_msg(error <= 2e-6 * most, "%s: %s of %d taps: %g of the largest", k->name,
                          p ? "dw" : "y", (int)(c->kh * c->kw), error / most);
        }
        ck_assert_msg(of_y < 1.7 && of_dw < 0.8, "%s, %d x %d taps: y %g, dw %g times plain sums' error",
                      k->name, (int)c->kh, (int)c->kw, of_y, of_dw);
        free(plain_y), free(plain_dw);
        pair_free(&x), pair_free(&w), pair_free(&dy), pair_free(&dw), pair_free(&y);
    }
}
END_TEST

/* An infinity in x reaches all results and taps that see it, and none that are more than five rows away from
 * those or in other columns. */
START_TEST(tall_infinity)
{
    const et_kernels *k = use_table(_i);
    const et_conv c = {.batch = 1, .in = 1, .h = 45, .w = 60, .out = 8, .kh = 22, .kw = 5, .sh = 1, .sw = 1,
                       .pw = 2, .oh = 24, .ow = 60};
    const int64_t rows[] = {0, 10, 23, 40, 44}, col = 1;

    for (size_t i = 0; k->dtype == ET_F32 && i < sizeof rows / sizeof rows[0]; i++) {
        pair x = pair_of(ET_F32, c.h * c.w, 1), w = pair_of(ET_F32, c.out * c.kh * c.kw, 2);
        pair y = pair_of(ET_F32, c.out * c.oh * c.ow, 3), dw = pair_of(ET_F32, w.n, 4);
        const int64_t r = rows[i];

        ck_assert(et_conv_tall_fits(ET_F32, &c));
        ((float *)x.real)[r * c.w + col] = INFINITY;
        ck_assert_int_eq(et_conv_weight_grad(ET_F32, &c, x.real, y.real, dw.real, 0, NULL), ET_OK);
        ck_assert_int_eq(et_conv_forward(ET_F32, &c, x.real, w.real, NULL, y.real), ET_OK);
        for (int64_t e = 0; e < y.n; e++) {
            const int64_t row = e / c.ow % c.oh, q = e % c.ow; /* sees rows row .. row + kh - 1 */
            const bool sees = q <= col + c.pw, in = r >= row && r < row + c.kh;
            const bool near = r >= row - 5 && r < row + c.kh + 5;
            const bool finite = isfinite(get_real(ET_F32, y.real, e));
            ck_assert_msg(sees && in ? !finite : finite || (sees && near), "%s: row %d, y %d", k->name,
                          (int)r, (int)e);
        }
        for (int64_t e = 0; e < w.n; e++) {
            const int64_t tap = e / c.kw % c.kh, q = e % c.kw; /* sees rows tap .. tap + oh - 1 */
            const bool sees = q <= col + c.pw, in = r >= tap && r < tap + c.oh;
            const bool near = r >= tap - 5 && r < tap + c.oh + 5;
            const bool finite = isfinite(get_real(ET_F32, dw.real, e));
            ck_assert_msg(sees && in ? !finite : finite || (sees && near), "%s: row %d, dw %d", k->name,
                          (int)r, (int)e);
        }
        pair_free(&x), pair_free(&w), pair_free(&y), pair_free(&dw);
    }
}
END_TEST

static bool run_tall(void *user)
{
    const et_conv *c = user;
    pair x = pair_of(ET_F32, c->batch * c->h * c->w, 1), w = pair_of(ET_F32, c->out * c->kh * c->kw, 2);
    pair y = pair_of(ET_F32, c->batch * c->out * c->oh * c->ow, 3);
    double sums[16];
    const bool ok = et_conv_tall(c, x.real, w.real, NULL, y.real, 0) == ET_OK &&
                    et_conv_tall_weight_grad(c, x.real, y.real, w.real, 0, sums) == ET_OK;

    pair_free(&x), pair_free(&w), pair_free(&y);
    return ok;
}

START_TEST(tall_memory)
{
    et_conv c = {.batch = 2, .in = 1, .h = 40, .w = 64, .out = 16, .kh = 38, .kw = 3, .sh = 1, .sw = 1,
                 .ph = 10, .oh = 23, .ow = 62};

    ck_assert_int_gt(alloc_sweep("convolution with a tall kernel", run_tall, &c), 0);
}
END_TEST

/* Weights so small that their gradient is made of dot products: numbers of channels and taps around those of
 * a tile, rows with and without a rest, of one part and of several, bands of rows, wide padding, strides
 * shorter and longer than the kernel, more sums than shards would have; and the first sizes that are not. */
START_TEST(small_weights)
{
    const et_kernels *k = use_table(_i);
    static const et_conv cases[] = {
        {.batch = 2, .in = 1, .h = 13, .w = 64, .out = 7, .kh = 3, .kw = 3, .sh = 1, .sw = 1,
         .ph = 1, .pw = 1},
        {.batch = 3, .in = 1, .h = 5, .w = 39, .out = 8, .kh = 3, .kw = 3, .sh = 1, .sw = 1,
         .ph = 1, .pw = 1},
        {.batch = 1, .in = 3, .h = 9, .w = 47, .out = 6, .kh = 3, .kw = 3, .sh = 2, .sw = 1,
         .ph = 1, .pw = 1},
        {.batch = 1, .in = 2, .h = 150, .w = 34, .out = 4, .kh = 5, .kw = 3, .sh = 1, .sw = 1,
         .ph = 2, .pw = 0},
        {.batch = 2, .in = 1, .h = 4, .w = 1100, .out = 2, .kh = 2, .kw = 4, .sh = 3, .sw = 1,
         .ph = 1, .pw = 3},
        {.batch = 1, .in = 1, .h = 1, .w = 2083, .out = 5, .kh = 1, .kw = 31, .sh = 1, .sw = 1, .pw = 15},
        {.batch = 1, .in = 5, .h = 1, .w = 40, .out = 1, .kh = 1, .kw = 2, .sh = 1, .sw = 1, .pw = 3},
        {.batch = 20, .in = 1, .h = 2, .w = 32, .out = 13, .kh = 1, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 32, .h = 3, .w = 35, .out = 3, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .ph = 1},
        {.batch = 1, .in = 4, .h = 6, .w = 35, .out = 3, .kh = 4, .kw = 2, .sh = 5, .sw = 1,
         .ph = 3, .pw = 0},
        {.batch = 1, .in = 32, .h = 1, .w = 33, .out = 4100, .kh = 1, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 1, .h = 6, .w = 70, .out = 3, .kh = 3, .kw = 3, .sh = 1, .sw = 2,
         .ph = 1, .pw = 1},
        {.batch = 3, .in = 1, .h = 1, .w = 4000, .out = 13, .kh = 1, .kw = 3, .sh = 1, .sw = 3, .pw = 1},
        {.batch = 2, .in = 2, .h = 7, .w = 230, .out = 4, .kh = 2, .kw = 3, .sh = 3, .sw = 7,
         .ph = 1, .pw = 2},
        {.batch = 1, .in = 1, .h = 3, .w = 64, .out = 5, .kh = 32, .kw = 1, .sh = 1, .sw = 1, .ph = 16},
        /* long vectors alone */
        {.batch = 2, .in = 3, .h = 11, .w = 97, .out = 7, .kh = 2, .kw = 5, .sh = 2, .sw = 2,
         .ph = 1, .pw = 3},
        {.batch = 2, .in = 2, .h = 1, .w = 7203, .out = 3, .kh = 1, .kw = 7, .sh = 1, .sw = 3, .pw = 6},
        {.batch = 1, .in = 1, .h = 90, .w = 64, .out = 5, .kh = 60, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 4, .h = 5, .w = 111, .out = 4, .kh = 4, .kw = 4, .sh = 1, .sw = 1,
         .ph = 1, .pw = 2},
        /* none */
        {.batch = 1, .in = 4, .h = 5, .w = 112, .out = 4, .kh = 4, .kw = 4, .sh = 1, .sw = 1,
         .ph = 1, .pw = 2},
        {.batch = 1, .in = 5, .h = 5, .w = 113, .out = 4, .kh = 12, .kw = 1, .sh = 1, .sw = 1, .ph = 5},
        {.batch = 1, .in = 1, .h = 1, .w = 676, .out = 4, .kh = 1, .kw = 13, .sh = 1, .sw = 13},
        {.batch = 1, .in = 1, .h = 51, .w = 64, .out = 16, .kh = 12, .kw = 5, .sh = 1, .sw = 1,
         .pw = 2}, /* a tall one */
        {.batch = 1, .in = 65, .h = 3, .w = 64, .out = 3, .kh = 1, .kw = 1, .sh = 1, .sw = 1},
        {.batch = 1, .in = 1, .h = 3, .w = 31, .out = 3, .kh = 3, .kw = 3, .sh = 1, .sw = 1,
         .ph = 1, .pw = 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        et_conv c = cases[i];
        c.oh = (c.h + 2 * c.ph - c.kh) / c.sh + 1;
        c.ow = (c.w + 2 * c.pw - c.kw) / c.sw + 1;
        ck_assert_msg(et_conv_small_fits(k->dtype, &c) == (i < 15 || (i < 19 && k->lanes >= 16)), "case %d",
                      (int)i);
        check_one(k, c);
    }
}
END_TEST

/* What x holds behind a row's end, where a vector of dy has no positions any more, does not matter: an
 * infinity that no position of a tap sees must not come into its sum. */
START_TEST(infinity_behind_the_end)
{
    const et_kernels *k = use_table(_i);
    /* without padding the last column of x belongs to the last tap alone */
    const et_conv c = {.batch = 1, .in = 1, .h = 2, .w = 41, .out = 2, .kh = 1, .kw = 3, .sh = 1, .sw = 1,
                       .oh = 2, .ow = 39};
    pair x = pair_of(k->dtype, 2 * 41, 1), dy = pair_of(k->dtype, 4 * 39, 2), dw = pair_of(k->dtype, 6, 3);

    ck_assert(et_conv_small_fits(k->dtype, &c));
    if (k->dtype == ET_F32)
        ((float *)x.real)[40] = INFINITY;
    else
        ((double *)x.real)[40] = (double)INFINITY;
    ck_assert_int_eq(et_conv_weight_grad(k->dtype, &c, x.real, dy.real, dw.real, 0, NULL), ET_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_msg(isfinite(get_real(k->dtype, dw.real, i)) == (i % 3 != 2), "%s: dw %d is %g", k->name, i,
                      get_real(k->dtype, dw.real, i));
    pair_free(&x), pair_free(&dy), pair_free(&dw);
}
END_TEST

/* Results on one thread and on several, to the bit. */
START_TEST(threads)
{
    static const et_conv cases[] = {
        {.batch = 5, .in = 24, .h = 30, .w = 32, .out = 32, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1, .oh = 30, .ow = 32},
        {.batch = 1, .in = 150, .h = 30, .w = 15, .out = 130, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1, .oh = 30,
         .ow = 15}, /* tiles of one block */
        {.batch = 3, .in = 96, .h = 20, .w = 15, .out = 200, .kh = 1, .kw = 1, .sh = 1, .sw = 1, .oh = 20,
         .ow = 15},
        {.batch = 1, .in = 64, .h = 1, .w = 300, .out = 192, .kh = 1, .kw = 7, .sh = 1, .sw = 1, .pw = 3,
         .oh = 1, .ow = 300},
        {.batch = 3, .in = 32, .h = 1, .w = 1300, .out = 48, .kh = 1, .kw = 3, .sh = 1, .sw = 1, .pw = 1,
         .oh = 1, .ow = 1300},
        {.batch = 7, .in = 16, .h = 1, .w = 3000, .out = 64, .kh = 1, .kw = 3, .sh = 1, .sw = 3, .pw = 1,
         .oh = 1, .ow = 1000},
        {.batch = 3, .in = 1, .h = 90, .w = 200, .out = 40, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1, .oh = 90, .ow = 200}, /* small weight */
        {.batch = 3, .in = 2, .h = 60, .w = 128, .out = 20, .kh = 20, .kw = 5, .sh = 1, .sw = 1, .pw = 2,
         .oh = 41, .ow = 128}, /* tall */
        {.batch = 1, .in = 1, .h = 96, .w = 250, .out = 16, .kh = 86, .kw = 7, .sh = 1, .sw = 1, .pw = 3,
         .oh = 11, .ow = 250},
        {.batch = 1, .in = 4, .h = 400, .w = 60, .out = 40, .kh = 9, .kw = 5, .sh = 1, .sw = 1, .ph = 4,
         .pw = 2, .oh = 400, .ow = 60},
        {.batch = 13, .in = 96, .h = 7, .w = 7, .out = 128, .kh = 3, .kw = 3, .sh = 1, .sw = 1, .ph = 1,
         .pw = 1, .oh = 7, .ow = 7},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const et_conv *c = &cases[i];
        const int64_t nx = c->batch * c->in * c->h * c->w, nw = c->out * c->in * c->kh * c->kw;
        const int64_t ny = c->batch * c->out * c->oh * c->ow;
        pair x = pair_of(ET_F32, nx, 1), w = pair_of(ET_F32, nw, 2), dy = pair_of(ET_F32, ny, 3);
        pair y[2], dx[2], dw[2];
        double sums[2][200];

        ck_assert_int_le(c->out, 200);
        for (int t = 0; t < 4; t++) { /* one thread, then 2, 3 and 7 */
            const int n = t > 0;
            static const int count[] = {1, 2, 3, 7};
            y[n] = pair_of(ET_F32, ny, 4), dx[n] = pair_of(ET_F32, nx, 5), dw[n] = pair_of(ET_F32, nw, 6);
            ck_assert_int_eq(et_set_num_threads(count[t]), ET_OK);
            ck_assert_int_eq(et_conv_forward(ET_F32, c, x.real, w.real, NULL, y[n].real), ET_OK);
            ck_assert_int_eq(et_conv_input_grad(ET_F32, c, w.real, dy.real, dx[n].real, 0), ET_OK);
            ck_assert_int_eq(et_conv_weight_grad(ET_F32, c, x.real, dy.real, dw[n].real, 0, sums[n]),
                             ET_OK);
            if (!n)
                continue;
            ck_assert_int_eq(memcmp(y[0].real, y[1].real, (size_t)ny * 4), 0);
            ck_assert_int_eq(memcmp(dx[0].real, dx[1].real, (size_t)nx * 4), 0);
            ck_assert_int_eq(memcmp(dw[0].real, dw[1].real, (size_t)nw * 4), 0);
            ck_assert_int_eq(memcmp(sums[0], sums[1], (size_t)c->out * sizeof(double)), 0);
            pair_free(&y[1]), pair_free(&dx[1]), pair_free(&dw[1]);
        }
        pair_free(&x), pair_free(&w), pair_free(&dy), pair_free(&y[0]), pair_free(&dx[0]), pair_free(&dw[0]);
    }
}
END_TEST

/* --- wrong use --- */

#define ONES(...) et_ones(ET_F32, ET_SHAPE(__VA_ARGS__))
#define CONV_MISUSES(X)                                                                              \
    X(et_conv1d(f.x, ONES(1, 3, 3), NULL, 1, 0), ET_ESHAPE,                                          \
      "x is [2, 3], expected [batch, channels, length]")                                             \
    X(et_conv1d(ONES(1, 3, 5), f.x, NULL, 1, 0), ET_ESHAPE,                                          \
      "the weight is [2, 3], expected [out, in, kernel]")                                            \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 4, 3), NULL, 1, 0), ET_ESHAPE, "has 3 channels, the weight")  \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 3, 3), f.y, 1, 0), ET_ESHAPE, "the bias must be [2]")         \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 3, 3), NULL, 0, 0), ET_EINVAL, "a stride of 0")               \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 3, 3), NULL, 1, -1), ET_EINVAL, "a padding of -1")            \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 3, 8), NULL, 1, 1), ET_ESHAPE,                                \
      "is longer than x [1, 3, 5] padded by 1")                                                      \
    X(et_conv1d(ONES(1, 3, 5), ONES(2, 3, 3), NULL, 1, INT64_MAX / 2), ET_ESHAPE, "padded by")       \
    X(et_conv1d(ONES(1, 0, 5), ONES(2, 0, 3), NULL, 1, 0), ET_ESHAPE, "has no elements")             \
    X(et_conv2d(ONES(1, 3, 5), ONES(2, 3, 3), NULL, 1, 1, 0, 0), ET_ESHAPE,                          \
      "expected [batch, channels, height, width]")                                                   \
    X(et_conv2d(ONES(1, 3, 5, 5), ONES(2, 3, 6, 1), NULL, 1, 1, 0, 0), ET_ESHAPE, "is longer than")  \
    X(et_conv2d(ONES(1, 3, 5, 5), ONES(2, 3, 1, 6), NULL, 1, 1, 2, 0), ET_ESHAPE, "is longer than")  \
    X(et_conv2d(ONES(1, 3, 5, 5), ONES(2, 3, 1, 1), NULL, -1, 1, 0, 0), ET_EINVAL, "a stride of -1") \
    X(et_conv_layer_forward(NULL, f.x), ET_EINVAL, "convolution")
MISUSE_TABLE(conv, CONV_MISUSES)

/* --- the layer --- */

START_TEST(layer)
{
    et_rng rng = et_rng_make(3, 0);
    et_conv_layer *one = et_conv1d_layer_new(
        NULL, NULL, &(et_conv_config){.in = 4, .out = 6, .kernel_w = 3, .stride_w = 3, .pad_w = 1}, &rng);
    et_conv_layer *two = et_conv2d_layer_new(
        NULL, NULL,
        &(et_conv_config){.in = 1, .out = 6, .kernel_h = 5, .kernel_w = 3, .pad_w = 1, .no_bias = true},
        &rng);

    ck_assert(one && two);
    ck_assert_int_eq(et_module_count(&one->module), 6 * 4 * 3 + 6);
    ck_assert_int_eq(et_module_count(&two->module), 6 * 5 * 3);
    ck_assert_ptr_null(two->bias);
    ck_assert_str_eq(et_module_entry(&one->module, 0)->name, "weight");
    ck_assert_str_eq(et_module_entry(&one->module, 1)->name, "bias");
    double most = 0;
    for (int64_t i = 0; i < one->weight->numel; i++)
        most = fmax(most, fabs((double)et_data_f32(one->weight)[i]));
    ck_assert(most <= 1 / sqrt(12) && most > 0.8 / sqrt(12));
    et_scope *s = et_scope_open();
    et_tensor *y = et_conv_layer_forward(one, et_ones(ET_F32, ET_SHAPE(2, 4, 9)));
    ck_assert(y && y->ndim == 3 && y->shape[0] == 2 && y->shape[1] == 6 && y->shape[2] == 3);
    y = et_conv_layer_forward(two, et_ones(ET_F32, ET_SHAPE(2, 1, 8, 9)));
    ck_assert(y && y->ndim == 4 && y->shape[1] == 6 && y->shape[2] == 4 && y->shape[3] == 9);
    et_scope_close(s);
    et_module_free(&one->module);
    et_module_free(&two->module);
    ck_assert_ptr_null(et_conv1d_layer_new(NULL, NULL, &(et_conv_config){.in = 4, .out = 0, .kernel_w = 3},
                                           &rng));
    ck_assert(et_error_status() == ET_EINVAL && strstr(et_error_message(), "4 -> 0 channels"));
    et_error_clear();
    ck_assert_ptr_null(et_conv2d_layer_new(NULL, NULL, &(et_conv_config){.in = 4, .out = 1, .kernel_w = 3},
                                           &rng));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
}
END_TEST

static bool make_layer(void *user)
{
    et_conv_layer *l = et_conv2d_layer_new(NULL, NULL, user, NULL);

    if (l)
        et_module_free(&l->module);
    return l != NULL;
}

START_TEST(layer_memory)
{
    et_conv_config c = {.in = 2, .out = 3, .kernel_h = 2, .kernel_w = 2};

    ck_assert_int_gt(alloc_sweep("convolution layer", make_layer, &c), 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conv");
    TCase *t = tcase_create("conv");

    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, et_error_clear, et_error_clear);
    tcase_add_loop_test(t, tile_edges, 0, table_count());
    tcase_add_loop_test(t, blocks, 0, table_count());
    tcase_add_loop_test(t, tiles_and_points, 0, table_count());
    tcase_add_loop_test(t, strided_rows, 0, table_count());
    tcase_add_loop_test(t, tall_kernels, 0, table_count());
    tcase_add_loop_test(t, tall_errors, 0, table_count());
    tcase_add_loop_test(t, tall_infinity, 0, table_count());
    tcase_add_test(t, tall_memory);
    tcase_add_loop_test(t, small_weights, 0, table_count());
    tcase_add_loop_test(t, infinity_behind_the_end, 0, table_count());
    tcase_add_test(t, threads);
    tcase_add_loop_test(t, conv_misuses, 0, N_conv_misuses);
    tcase_add_test(t, layer);
    tcase_add_test(t, layer_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
