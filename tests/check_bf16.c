/* bfloat16: conversion by every instruction set against the definition, and products with the
 * CPU's own instruction and without against float64 products of the rounded operands. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/scope.h"
#include "tensor/tensor.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

enum { MAX_ISAS = 8 };

static void use_isa(int i)
{
    const et_kernels *all[MAX_ISAS];

    ck_assert_int_lt(i, et_kernels_available(all, MAX_ISAS));
    ck_assert_int_eq(et_set_isa(all[i]->name), ET_OK);
}

/* --- conversion -------------------------------------------------------------------------------- */

static float from_bits(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

/* The nearest bfloat16, by comparing the distances to both neighbours: the one below x (towards
 * zero) and the next. In double, where the next after the largest is 2^128. */
static uint16_t nearest(float x)
{
    const uint32_t u = bits_of(x);
    const uint16_t below = (uint16_t)(u >> 16);

    if (isnan(x))
        return (uint16_t)(below | 0x40);
    if (isinf(x))
        return below;
    const uint16_t above = (uint16_t)(below + 1);
    double lo = fabs((double)et_bf16_to_f32(below)), hi = fabs((double)et_bf16_to_f32(above));
    double v = fabs((double)x);
    if (isinf(hi))
        hi = 0x1p128;
    return v - lo < hi - v ? below : v - lo > hi - v ? above : below & 1 ? above : below;
}

/* All upper halves, with lower halves at and about the ties. */
START_TEST(conversions)
{
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { N = 6 * 256 + 5 };
    static float x[N], back[N], rounded[N];
    static uint16_t y[N];

    use_isa(_i);
    const et_kernels *kr = et_kernels_for(ET_F32);
    for (uint32_t page = 0; page < 256; page++) {
        uint32_t bad = N;
        if (suite_skips(page))
            continue;
        for (uint32_t i = 0; i < N; i++)
            x[i] = from_bits((page << 8 | (i / 6 & 255)) << 16 | lower[i % 6]);
        kr->to_bf16(N, x, y);
        kr->from_bf16(N, y, back);
        kr->round_bf16(N, x, rounded);
        for (uint32_t i = 0; i < N && bad == N; i++)
            if (y[i] != nearest(x[i]) || bits_of(back[i]) != (uint32_t)y[i] << 16 ||
                bits_of(rounded[i]) != (uint32_t)y[i] << 16 || et_f32_to_bf16(x[i]) != y[i])
                bad = i;
        ck_assert_msg(bad == N, "%08x gave %04x, %08x and back %08x, not %04x", bits_of(x[bad]), y[bad],
                      bits_of(rounded[bad]), bits_of(back[bad]), nearest(x[bad]));
    }
}
END_TEST

/* Through tensors, contiguous and not. */
START_TEST(tensors)
{
    et_scope *scope = et_scope_open();

    use_isa(_i);
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(37, 5));
    for (int64_t i = 0; i < x->numel; i++)
        ((float *)et_data_mut(x))[i] = (float)sin((double)i);
    et_tensor *y = et_to(x, ET_BF16), *z = et_to(y, ET_F32);
    int64_t shape[2] = {5, 37}, strides[2] = {1, 5};
    et_tensor *turned = et_to(et_raw_view(x, 2, shape, strides, 0), ET_BF16);
    for (int64_t i = 0; i < 37; i++)
        for (int64_t j = 0; j < 5; j++) {
            double want = et_bf16_to_f32(nearest((float)sin((double)(i * 5 + j))));
            ck_assert(et_get(z, (const int64_t[]){i, j}) == want);
            ck_assert(et_bf16_to_f32(((const uint16_t *)et_data(turned))[j * 37 + i]) == (float)want);
        }
    et_scope_close(scope);
}
END_TEST

/* --- products ------------------------------------------------------------------------------------ */

static double draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1.0;
}

enum { LAYOUT_N, LAYOUT_T, LAYOUT_STRIDED, N_LAYOUTS };

static int64_t layout(int kind, int64_t rows, int64_t cols, int64_t *rs, int64_t *cs)
{
    *rs = kind == LAYOUT_N ? cols + 2 : kind == LAYOUT_T ? 1 : 2 * cols + 1;
    *cs = kind == LAYOUT_N ? 1 : kind == LAYOUT_T ? rows + 1 : 2;
    return kind == LAYOUT_T ? (rows + 1) * (cols + 1) : (rows + 1) * *rs + 1;
}

/* One array as float32, as bfloat16, and as float64 of the rounded numbers. */
typedef struct thrice {
    float *f;
    uint16_t *h;
    double *d;
} thrice;

static thrice make(int64_t n, uint32_t seed)
{
    const size_t size = (size_t)(n > 0 ? n : 1);
    thrice x = {malloc(size * sizeof *x.f), malloc(size * sizeof *x.h), malloc(size * sizeof *x.d)};

    ck_assert(x.f && x.h && x.d);
    for (int64_t i = 0; i < n; i++) {
        x.f[i] = (float)draw(&seed);
        x.h[i] = et_f32_to_bf16(x.f[i]);
        x.d[i] = et_bf16_to_f32(x.h[i]);
    }
    return x;
}

static void drop(thrice *x)
{
    free(x->f);
    free(x->h);
    free(x->d);
}

typedef struct options {
    int la, lb;
    int64_t batch;
    bool share_b;
    double alpha, beta;
    bool bias, out;
    et_act act;
    bool threads; /* on three, too */
} options;

/* Both forms of the operands against float64. */
static void check_product(int64_t m, int64_t n, int64_t k, const options *o)
{
    et_gemm_args g = {.m = m, .n = n, .k = k, .alpha = o->alpha, .beta = o->beta, .act = o->act};
    const int64_t size_a = layout(o->la, m, k, &g.rsa, &g.csa), size_b = layout(o->lb, k, n, &g.rsb, &g.csb);
    const int64_t ld = n + 3, size_c = (m + 1) * ld;

    g.batch = o->batch;
    g.ldc = g.ldo = ld;
    g.sa = size_a;
    g.sb = o->share_b ? 0 : size_b;
    g.sc = g.so = size_c;
    thrice a = make(size_a * o->batch, 1), b = make(size_b * o->batch, 2), c = make(size_c * o->batch, 3);
    thrice bias = make(n, 4), out = make(size_c * o->batch, 6);
    const size_t bytes = (size_t)(size_c * o->batch) * sizeof(float);
    float *got = malloc(bytes), *acted = malloc(bytes), *first = malloc(bytes);
    ck_assert(got && acted && first);
    for (int64_t i = 0; i < size_c * o->batch; i++) /* what is added is not rounded */
        c.d[i] = c.f[i];
    for (int64_t i = 0; i < n; i++)
        bias.d[i] = bias.f[i];

    et_gemm_args want = g;
    want.a = a.d, want.b = b.d, want.c = c.d;
    want.bias = o->bias ? bias.d : NULL;
    want.out = o->out ? out.d : NULL;
    ck_assert_int_eq(et_gemm(ET_F64, &want), ET_OK);
    g.bias = o->bias ? bias.f : NULL;
    g.c = got;
    for (int way = 0; way < (o->threads ? 4 : 2); way++) {
        const et_dtype from = way & 1 ? ET_BF16 : ET_F32;
        memcpy(got, c.f, bytes);
        memcpy(acted, out.f, bytes);
        g.out = o->out ? acted : NULL;
        g.a = way & 1 ? (const void *)a.h : a.f;
        g.b = way & 1 ? (const void *)b.h : b.f;
        ck_assert_int_eq(et_set_num_threads(way & 2 ? 3 : 1), ET_OK);
        ck_assert_int_eq(et_gemm_bf16(from, &g), ET_OK);
        if (way == 0)
            memcpy(first, got, bytes);
        ck_assert_msg(memcmp(first, got, bytes) == 0, "%dx%dx%d: the bits differ, way %d", (int)m, (int)n,
                      (int)k, way);
        for (int64_t i = 0; i < size_c * o->batch; i++) {
            const int64_t row = i % size_c / ld, col = i % ld;
            const bool inside = row < m && col < n;
            const double tol = 0x1p-24 * ((4 + sqrt((double)k)) * ((double)k * fabs(o->alpha) + 4) + 16);
            const double expected = inside ? c.d[i] : (double)c.f[i];
            if (!(fabs(got[i] - expected) <= (inside ? tol : 0)))
                ck_abort_msg("%s: %dx%dx%d, element %d of row %d is %.9g, expected %.9g", et_isa(), (int)m,
                             (int)n, (int)k, (int)col, (int)row, (double)got[i], expected);
            if (o->out &&
                !(fabs(acted[i] - (inside ? out.d[i] : (double)out.f[i])) <= (inside ? tol : 0)))
                ck_abort_msg("%s: act, %d of row %d is %.9g", et_isa(), (int)col, (int)row,
                             (double)acted[i]);
        }
    }
    free(got);
    free(acted);
    free(first);
    drop(&a);
    drop(&b);
    drop(&c);
    drop(&bias);
    drop(&out);
}

START_TEST(edges)
{
    static const int64_t ms[] = {1, 7, 8, 9, 17, 65}, ns[] = {1, 15, 16, 17, 33, 48, 49, 100};
    static const int64_t ks[] = {1, 2, 3, 31, 32, 37};

    use_isa(_i);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 8; j++)
            for (int l = 0; l < 6; l++)
                for (int t = 0; t < N_LAYOUTS * N_LAYOUTS; t++)
                    if (!suite_skips(i + 2 * j + 3 * l + t))
                        check_product(
                            ms[i], ns[j], ks[l],
                            &(options){.la = t / N_LAYOUTS, .lb = t % N_LAYOUTS, .batch = 1, .alpha = 1});
}
END_TEST

START_TEST(blocks)
{
    static const int64_t ks[] = {767, 768, 769, 1540};

    use_isa(_i);
    for (int l = 0; l < 4; l++)
        for (int t = 0; t < 4; t++)
            if (!suite_skips(l + t))
                check_product(
                    70, 101, ks[l],
                    &(options){
                        .la = t / 2, .lb = t % 2, .batch = 1, .alpha = -0.5, .bias = true, .threads = true});
    check_product(9000, 20, 60, &(options){.batch = 1, .alpha = 1}); /* rows in two parts */
    for (int t = 0; t < 2; t++) /* k in three blocks, B in parts, the last panel not full */
        check_product(5, 1020, 2050, &(options){.la = 1 - t, .lb = t, .batch = 2, .share_b = t, .alpha = 0.5,
                                                .beta = 1, .bias = true, .threads = true});
    if (!suite_skips(2)) /* rows and B in parts */
        check_product(1601, 400, 680, &(options){.lb = LAYOUT_T, .batch = 1, .alpha = 1, .beta = 1});
    if (!suite_skips(1))
        check_product(300, 200, 600, /* several chunks */
                      &(options){.lb = LAYOUT_T, .batch = 1, .alpha = 1, .beta = 1, .threads = true});
    for (int t = 0; t < 2; t++) /* a piece for each of three threads: rows, columns */
        check_product(t ? 90 : 700, t ? 700 : 90, 70,
                      &(options){.la = t, .lb = t, .batch = 1 + t, .alpha = 1, .beta = 1, .bias = true,
                                 .threads = true});
}
END_TEST

START_TEST(epilogues)
{
    static const et_act acts[] = {ET_ACT_NONE, ET_ACT_TANH, ET_ACT_SIGMOID, ET_ACT_GELU};

    use_isa(_i);
    for (int t = 0; t < 40; t++)
        if (!suite_skips(t))
            check_product(9, 50, t % 4 == 3 ? 780 : 20,
                          &(options){.la = t & 1,
                                     .lb = t >> 1 & 1,
                                     .batch = 1 + t % 3,
                                     .share_b = t % 5 == 0,
                                     .alpha = t % 2 ? 1 : -0.75,
                                     .beta = t % 3 ? 0.5 : 0,
                                     .bias = t & 4,
                                     .act = acts[t % 4],
                                     .out = t % 4 && t & 16});
}
END_TEST

/* A row of B that stands for all of them has one address in all blocks of k, which are not equally long. */
START_TEST(one_row)
{
    enum { M = 3, N = 50, K = 800 };
    float a[M * K], b[N], c[M * N];

    use_isa(_i);
    for (int i = 0; i < M * K; i++)
        a[i] = (float)(i % 7);
    for (int j = 0; j < N; j++)
        b[j] = (float)j;
    et_gemm_args g = {.m = M, .n = N, .k = K, .alpha = 1, .a = a, .rsa = K, .csa = 1, .b = b, .csb = 1, .c = c,
                      .ldc = N};
    ck_assert_int_eq(et_gemm_bf16(ET_F32, &g), ET_OK);
    for (int i = 0; i < M; i++) {
        double sum = 0;
        for (int p = 0; p < K; p++)
            sum += a[i * K + p];
        for (int j = 0; j < N; j++)
            ck_assert_double_eq(c[i * N + j], sum * j);
    }
}
END_TEST

/* Four pieces of rows, which are computed one after the other. */
enum { PIECES_M = 4 * 192, PIECES_N = 16, PIECES_K = 8 };

typedef struct in_pieces {
    et_gemm_args g;
    const float *want;
} in_pieces;

/* What is said to have been computed has been. */
static bool product_fits(void *user)
{
    const in_pieces *p = user;
    const size_t bytes = PIECES_M * PIECES_N * sizeof(float);

    memset(p->g.c, 0xff, bytes);
    if (et_gemm_bf16(ET_F32, &p->g) != ET_OK)
        return false;
    ck_assert(memcmp(p->g.c, p->want, bytes) == 0);
    return true;
}

/* Memory refused to the last piece, in either order, is an error. */
START_TEST(refused)
{
    static const et_cutting orders[] = {ET_CUT_FINE, ET_CUT_FINE_REVERSED};
    static float want[PIECES_M * PIECES_N], c[PIECES_M * PIECES_N];
    thrice a = make(PIECES_M * PIECES_K, 1), b = make(PIECES_K * PIECES_N, 2);
    in_pieces p = {{.m = PIECES_M, .n = PIECES_N, .k = PIECES_K, .a = a.f, .rsa = PIECES_K, .csa = 1,
                    .b = b.f, .rsb = PIECES_N, .csb = 1, .c = want, .ldc = PIECES_N, .alpha = 1}, want};

    use_isa(_i);
    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    ck_assert_int_eq(et_gemm_bf16(ET_F32, &p.g), ET_OK);
    p.g.c = c;
    for (int o = 0; o < 2; o++) {
        et_set_cutting(orders[o]);
        ck_assert_int_ge(alloc_sweep("gemm_bf16", product_fits, &p), et_bf16_native() ? 1 + 4 * 2 : 2);
        et_set_cutting(ET_CUT_USUAL);
    }
    drop(&a);
    drop(&b);
}
END_TEST

/* Without k C = beta C + bias; without rows or columns nothing happens; integers are refused. */
START_TEST(nothing)
{
    float c[2] = {3, 5}, bias[2] = {1, 2}, x = 7;
    et_gemm_args g = {.m = 1, .n = 2, .a = &x, .b = &x, .c = c, .ldc = 2, .alpha = 1, .beta = 2};

    use_isa(_i);
    g.bias = bias;
    ck_assert_int_eq(et_gemm_bf16(ET_F32, &g), ET_OK);
    ck_assert(c[0] == 7 && c[1] == 12);
    g.m = 0;
    g.k = 4;
    ck_assert_int_eq(et_gemm_bf16(ET_BF16, &g), ET_OK);
    ck_assert(c[0] == 7 && c[1] == 12);
    ck_assert_int_eq(et_gemm_bf16(ET_I32, &g), ET_EDTYPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "operands of int32"));
    et_error_clear();
}
END_TEST

/* Infinities and NaN go through; which way is taken can be asked. */
static float float_of(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

typedef struct special {
    uint32_t x, native, widened; /* what x rounds to */
} special;

/* [2, 3] of `from`, zero but for x at (row, p), with any strides, times 2^100 three times over. */
static void one_special(const special *s, et_dtype from, int64_t rs, int64_t cs, int row, int p)
{
    const float by = 0x1p100f;
    const uint32_t rounded = et_bf16_native() && from == ET_F32 ? s->native : s->widened;
    const bool zero = et_bf16_native() && fpclassify(float_of(rounded)) == FP_SUBNORMAL;
    const float y = zero ? 0 : by * float_of(rounded);
    float a[16] = {0}, b[3] = {by, by, by}, c[2] = {9, 9};
    uint16_t a16[16] = {0}, b16[3];

    a[row * rs + p * cs] = float_of(s->x);
    a16[row * rs + p * cs] = (uint16_t)(s->widened >> 16);
    for (int i = 0; i < 3; i++)
        b16[i] = et_f32_to_bf16(by);
    et_gemm_args g = {.m = 2, .n = 1, .k = 3, .a = a, .rsa = rs, .csa = cs, .b = b, .rsb = 1, .csb = 1,
                      .c = c, .ldc = 1, .alpha = 1};
    if (from == ET_BF16) {
        g.a = a16;
        g.b = b16;
    }
    ck_assert_int_eq(et_gemm_bf16(from, &g), ET_OK);
    ck_assert_msg(isnan(y) ? isnan(c[row]) : c[row] == y, "%08x, %s, strides %d, %d, at %d, %d: %g, not %g",
                  (unsigned)s->x, et_dtype_name(from), (int)rs, (int)cs, row, p, (double)c[row], (double)y);
    ck_assert(c[1 - row] == 0);
}

/* Infinities, overflow, ties, subnormal numbers, NaN: side by side along k, across it, and with gaps. */
START_TEST(specials)
{
    static const special all[] = {{0x7f800000, 0x7f800000, 0x7f800000}, {0xff800000, 0xff800000, 0xff800000},
                                  {0x7f7fffff, 0x7f800000, 0x7f800000}, {0x3f808000, 0x3f800000, 0x3f800000},
                                  {0x3f818000, 0x3f820000, 0x3f820000}, {0x3f808001, 0x3f810000, 0x3f810000},
                                  {0x007fffff, 0x00000000, 0x00800000}, {0x80400000, 0x80000000, 0x80400000},
                                  {0x7f800001, 0x7fc00000, 0x7fc00000}, {0xffc12345, 0xffc10000, 0xffc10000}};
    static const int64_t strides[3][2] = {{3, 1}, {1, 2}, {7, 3}};

    use_isa(_i);
    for (size_t s = 0; s < sizeof all / sizeof all[0]; s++)
        for (int l = 0; l < 3; l++)
            for (int at = 0; at < 6; at++) {
                one_special(&all[s], ET_F32, strides[l][0], strides[l][1], at / 3, at % 3);
                one_special(&all[s], ET_BF16, strides[l][0], strides[l][1], at / 3, at % 3);
            }
    ck_assert(!et_bf16_native() || strcmp(et_isa(), "avx512") == 0);
}
END_TEST

int main(void)
{
    const et_kernels *all[MAX_ISAS];
    const int n = et_kernels_available(all, MAX_ISAS);
    Suite *suite = suite_create("bf16");
    TCase *tc = tcase_create("bf16");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, conversions, 0, n);
    tcase_add_loop_test(tc, tensors, 0, n);
    tcase_add_loop_test(tc, edges, 0, n);
    tcase_add_loop_test(tc, blocks, 0, n);
    tcase_add_loop_test(tc, epilogues, 0, n);
    tcase_add_loop_test(tc, one_row, 0, n);
    tcase_add_loop_test(tc, refused, 0, n);
    tcase_add_loop_test(tc, nothing, 0, n);
    tcase_add_loop_test(tc, specials, 0, n);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
