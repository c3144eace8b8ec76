/* Matrix products: every instruction set of this machine, and float64,
 * against the definition summed in long double. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tests/suite.h"

enum { MAX_ISAS = 8, KC = 512 };
static const double GUARD = 12345.0;

/* Deterministic numbers in [-1, 1). */
static double draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1.0;
}

/* --- arrays of either dtype --- */

typedef struct array {
    et_dtype dtype;
    int64_t n;
    void *data;
} array;

static void put(const array *x, int64_t i, double v)
{
    if (x->dtype == ET_F32)
        ((float *)x->data)[i] = (float)v;
    else
        ((double *)x->data)[i] = v;
}

static double get(const array *x, int64_t i)
{
    return x->dtype == ET_F32 ? (double)((const float *)x->data)[i] : ((const double *)x->data)[i];
}

static array make(et_dtype dtype, int64_t n, uint32_t seed)
{
    array x = {dtype, n, malloc(et_dtype_size(dtype) * (size_t)(n ? n : 1))};

    ck_assert_ptr_nonnull(x.data);
    for (int64_t i = 0; i < n; i++)
        put(&x, i, seed ? draw(&seed) : GUARD);
    return x;
}

static array copy_of(const array *x)
{
    array y = make(x->dtype, x->n, 0);

    memcpy(y.data, x->data, et_dtype_size(x->dtype) * (size_t)x->n);
    return y;
}

/* --- the definition --- */

static long double act_ref(et_act act, long double x)
{
    switch (act) {
    case ET_ACT_RELU: return x > 0 ? x : 0;
    case ET_ACT_TANH: return tanhl(x);
    case ET_ACT_SIGMOID: return 1 / (1 + expl(-x));
    case ET_ACT_GELU: return x * 0.5L * erfcl(-x * sqrtl(0.5L));
    default: return x;
    }
}

/* Operands with room around C: rows ldc = n + 3 apart and one more row at the end, to see writes outside. */
typedef struct problem {
    et_gemm_args g;
    array a, b, c, bias, out;
} problem;

enum { LAYOUT_N, LAYOUT_T, LAYOUT_STRIDED, N_LAYOUTS };

static int64_t layout(int kind, int64_t rows, int64_t cols, int64_t *rs, int64_t *cs)
{
    *rs = kind == LAYOUT_N ? cols + 2 : kind == LAYOUT_T ? 1 : 2 * cols + 1;
    *cs = kind == LAYOUT_N ? 1 : kind == LAYOUT_T ? rows + 1 : 2;
    return kind == LAYOUT_T ? (rows + 1) * (cols + 1) : (rows + 1) * *rs + 1;
}

static problem make_problem(et_dtype dtype, int64_t m, int64_t n, int64_t k, int la, int lb, int64_t batch)
{
    problem p = {.g = {.m = m, .n = n, .k = k, .alpha = 1, .batch = batch}};
    int64_t size_a = layout(la, m, k, &p.g.rsa, &p.g.csa), size_b = layout(lb, k, n, &p.g.rsb, &p.g.csb);

    p.g.ldc = p.g.ldo = n + 3;
    p.g.sa = size_a;
    p.g.sb = size_b;
    p.g.sc = p.g.so = (m + 1) * (n + 3);
    p.a = make(dtype, size_a * batch, 1);
    p.b = make(dtype, size_b * batch, 2);
    p.c = make(dtype, p.g.sc * batch, 0);
    p.bias = make(dtype, n, 3);
    p.out = make(dtype, p.g.so * batch, 0);
    for (int64_t i = 0; i < batch * (m + 1); i++)
        for (int64_t j = 0; j < n; j++)
            if (i % (m + 1) < m)
                put(&p.c, i * (n + 3) + j, NAN); /* beta 0 must not read it */
    p.g.a = p.a.data;
    p.g.b = p.b.data;
    p.g.c = p.c.data;
    return p;
}

static void free_problem(problem *p)
{
    free(p->a.data);
    free(p->b.data);
    free(p->c.data);
    free(p->bias.data);
    free(p->out.data);
}

/* Runs the product and compares every element, and what lies around C. */
static void run_and_compare(problem *p, const char *what)
{
    const et_gemm_args *g = &p->g;
    const et_dtype dtype = p->c.dtype;
    const double eps = dtype == ET_F32 ? 0x1p-24 : 0x1p-53;
    array before = copy_of(&p->c);

    ck_assert_int_eq(et_gemm(dtype, g), ET_OK);
    for (int64_t q = 0; q < g->batch; q++)
        for (int64_t i = 0; i <= g->m; i++)
            for (int64_t j = 0; j < g->ldc; j++) {
                int64_t at = q * g->sc + i * g->ldc + j;
                if (i == g->m || j >= g->n) {
                    ck_assert_msg(get(&p->c, at) == get(&before, at) &&
                                  (!g->out || get(&p->out, at) == GUARD),
                                  "%s: wrote outside C at %ld, %ld", what, (long)i, (long)j);
                    continue;
                }
                long double sum = 0, size = 0;
                for (int64_t l = 0; l < g->k; l++) {
                    long double t = (long double)get(&p->a, q * g->sa + i * g->rsa + l * g->csa) *
                                    (long double)get(&p->b, q * g->sb + l * g->rsb + j * g->csb);
                    sum += t;
                    size += fabsl(t);
                }
                sum *= g->alpha;
                size *= fabsl(g->alpha);
                if (g->beta != 0)
                    sum += g->beta * get(&before, at), size += fabs(g->beta * get(&before, at));
                if (g->bias)
                    sum += get(&p->bias, j), size += 1;
                long double want = act_ref(g->act, sum);
                double tol = eps * ((4 + sqrt((double)g->k)) * (double)size + (g->act ? 16 : 0));
                const double got = get(g->out ? &p->out : &p->c, at);
                ck_assert_msg(fabsl(got - want) <= tol,
                              "%s: %ldx%ldx%ld C[%ld][%ld][%ld] is %.9g, expected %.9g, tolerance %.2g", what,
                              (long)g->m, (long)g->n, (long)g->k, (long)q, (long)i, (long)j, got,
                              (double)want, tol);
                if (g->out)
                    ck_assert_msg(fabsl(get(&p->c, at) - sum) <= tol,
                                  "%s: before act [%ld][%ld] is %.9g, expected %.9g", what, (long)i, (long)j,
                                  get(&p->c, at), (double)sum);
            }
    free(before.data);
}

/* Loop index: the float32 tables of this machine, then float64. */
static const et_kernels *use_table(int i, et_dtype *dtype)
{
    const et_kernels *all[MAX_ISAS];
    int n = et_kernels_available(all, MAX_ISAS);

    ck_assert_int_gt(n, 0);
    *dtype = i < n ? ET_F32 : ET_F64;
    if (i < n)
        ck_assert_int_eq(et_set_isa(all[i]->name), ET_OK);
    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    return i < n ? all[i] : et_kernels_for(ET_F64);
}

static int table_count(void)
{
    const et_kernels *all[MAX_ISAS];

    return et_kernels_available(all, MAX_ISAS) + 1;
}

START_TEST(tile_edges)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t nr = (int64_t)kr->gemm_vecs * kr->lanes, mr = kr->gemm_rows[kr->gemm_vecs];
    const int64_t ms[] = {1, mr - 1, mr, mr + 1, 13, 25, 66}, ns[] = {1, 3, nr - 1, nr, nr + 1, 2 * nr + 5};
    const int64_t ks[] = {1, 7, 33};

    for (int i = 0; i < 7; i++)
        for (int j = 0; j < 6; j++)
            for (int l = 0; l < 3; l++)
                for (int t = 0; t < N_LAYOUTS * N_LAYOUTS; t++) {
                    if (suite_skips(i + 2 * j + 3 * l + t))
                        continue;
                    problem p = make_problem(dtype, ms[i], ns[j], ks[l], t / N_LAYOUTS, t % N_LAYOUTS, 1);
                    run_and_compare(&p, kr->name);
                    free_problem(&p);
                }
}
END_TEST

START_TEST(blocks_of_k)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t ks[] = {KC - 1, KC, KC + 1, 2 * KC + 3}, ms[] = {1, 9, 33, 70}, ns[] = {1, 9, 70};

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++)
            for (int l = 0; l < 4; l++)
                for (int t = 0; t < 4; t++) {
                    if (suite_skips(i + 2 * j + 3 * l + t))
                        continue;
                    problem p = make_problem(dtype, ms[i], ns[j], ks[l], t / 2, t % 2, 1);
                    p.g.alpha = 0.5;
                    p.g.bias = p.bias.data;
                    run_and_compare(&p, kr->name);
                    free_problem(&p);
                }
}
END_TEST

/* A B that was packed before, over few rows and many, on one thread and three. How it lies must not
 * depend on A: 300 transposed rows would read a plain B in place, 1023, a power of two apart, are copied. */
START_TEST(packed_before)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t nr = (int64_t)kr->gemm_vecs * kr->lanes, ms[] = {1, 13, 70, 300, 1023};
    const int64_t ns[] = {1, nr, 2 * nr + 5}, ks[] = {1, 33, KC + 9};

    for (int s = 0; s < 45; s++)
        for (int t = 0; t < 2 * N_LAYOUTS; t++) {
            if (suite_skips(s + t) || (s % 5 >= 3 && (t / 2 != LAYOUT_T || s < 30)))
                continue;
            problem p = make_problem(dtype, ms[s % 5], ns[s / 5 % 3], ks[s / 15], t / 2, t % 2, 1);
            array packed = make(dtype, (int64_t)(et_gemm_packed_bytes(dtype, p.g.k, p.g.n) /
                                                 et_dtype_size(dtype)), 0);
            p.g.bias = p.bias.data;
            et_gemm_pack(dtype, p.g.k, p.g.n, p.g.b, p.g.rsb, p.g.csb, packed.data);
            p.g.packed = packed.data;
            for (int threads = 1; threads <= 3; threads += 2) {
                ck_assert_int_eq(et_set_num_threads(threads), ET_OK);
                run_and_compare(&p, kr->name);
            }
            free(packed.data);
            free_problem(&p);
        }
    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
}
END_TEST

/* A transposed A whose lines are a power of two apart is packed, some rows at a time. */
START_TEST(packed_rows)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t nr = (int64_t)kr->gemm_vecs * kr->lanes, ks[] = {5, 33, KC + 3};

    for (int l = 0; l < 3; l++)
        for (int t = 0; t < N_LAYOUTS; t++) {
            if (suite_skips(l * N_LAYOUTS + t))
                continue;
            problem p = make_problem(dtype, 1023, 2 * nr + 5, ks[l], LAYOUT_T, t, 1);
            ck_assert_int_eq(p.g.csa & (p.g.csa - 1), 0);
            run_and_compare(&p, kr->name);
            free_problem(&p);
        }
}
END_TEST

/* Several strips of such rows, against several blocks of columns; on three threads 511 rows share what is
 * packed of B. */
START_TEST(packed_strips)
{
    static const int64_t ms[] = {511, 1535};
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);

    for (int l = 0; l < 2; l++) {
        if (suite_skips(l))
            continue;
        problem p = make_problem(dtype, ms[l], 261, KC + 3, LAYOUT_T, l ? LAYOUT_N : LAYOUT_T, 1);
        p.g.bias = p.bias.data;
        p.g.act = ET_ACT_RELU;
        p.g.out = p.out.data;
        p.g.alpha = 0.5;
        ck_assert_int_eq(et_set_num_threads(l ? 1 : 3), ET_OK);
        run_and_compare(&p, kr->name);
        free_problem(&p);
    }
    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
}
END_TEST

START_TEST(epilogues)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t ms[] = {1, 5, 70}, ns[] = {1, 19, 70}, ks[] = {0, 1, 20, KC + 9};

    for (int s = 0; s < 36; s++)
        for (int variant = 0; variant < 20; variant++) {
            if (suite_skips(s + variant))
                continue;
            problem p = make_problem(dtype, ms[s % 3], ns[s / 3 % 3], ks[s / 9], variant & 1,
                                     variant >> 1 & 1, 2);
            p.g.act = (et_act)(variant % 5);
            p.g.alpha = variant % 3 == 0 ? 1 : -0.75;
            if (variant & 1)
                p.g.bias = p.bias.data;
            if (variant & 4)
                p.g.out = p.out.data;
            if (variant & 8) {
                uint32_t seed = 9;
                for (int64_t i = 0; i < p.c.n; i++)
                    put(&p.c, i, draw(&seed));
                p.g.beta = variant & 1 ? 1 : 0.25;
            }
            run_and_compare(&p, kr->name);
            free_problem(&p);
        }
}
END_TEST

START_TEST(batches)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t ms[] = {1, 6, 40}, ns[] = {1, 10, 70}, ks[] = {1, 40};

    for (int s = 0; s < 18; s++)
        for (int t = 0; t < 6; t++) {
            problem p = make_problem(dtype, ms[s % 3], ns[s / 3 % 3], ks[s / 9], t & 1, t >> 1 & 1, 3);
            if (t & 4)
                p.g.sa = 0;
            if (t & 2)
                p.g.sb = 0;
            run_and_compare(&p, kr->name);
            free_problem(&p);
        }
    /* a shared B and rows that follow each other: one product inside */
    problem p = make_problem(dtype, 5, 30, 16, LAYOUT_N, LAYOUT_T, 4);
    p.g.sb = 0;
    p.g.sa = p.g.m * p.g.rsa;
    p.g.sc = p.g.m * p.g.ldc;
    p.g.batch = 4;
    p.g.m = 5;
    et_gemm_args one = p.g;
    ck_assert_int_eq(et_gemm(dtype, &p.g), ET_OK);
    array merged = copy_of(&p.c);
    for (int64_t q = 0; q < 4; q++) {
        one.batch = 1;
        one.a = (const char *)p.g.a + (size_t)(q * p.g.sa) * et_dtype_size(dtype);
        one.c = (char *)p.g.c + (size_t)(q * p.g.sc) * et_dtype_size(dtype);
        ck_assert_int_eq(et_gemm(dtype, &one), ET_OK);
    }
    for (int64_t i = 0; i < 20; i++)
        for (int64_t j = 0; j < 30; j++)
            ck_assert(fabs(get(&merged, i * p.g.ldc + j) - get(&p.c, i * p.g.ldc + j)) < 1e-5);
    free(merged.data);
    free_problem(&p);
    /* two levels: [2, 3] products with gaps between the outer ones */
    p = make_problem(dtype, 9, 11, 13, LAYOUT_T, LAYOUT_N, 8);
    one = p.g;
    one.batch = 3;
    one.batch2 = 2;
    one.sa2 = 4 * one.sa;
    one.sb2 = 0;
    one.sc2 = 5 * one.sc;
    ck_assert_int_eq(et_gemm(dtype, &one), ET_OK);
    merged = copy_of(&p.c);
    one.batch = one.batch2 = 1;
    for (int64_t q = 0; q < 6; q++) {
        int64_t outer = q / 3, inner = q % 3, at = outer * 5 * p.g.sc + inner * p.g.sc;
        one.a = (const char *)p.g.a + (size_t)((outer * 4 + inner) * p.g.sa) * et_dtype_size(dtype);
        one.b = (const char *)p.g.b + (size_t)(inner * p.g.sb) * et_dtype_size(dtype);
        one.c = (char *)p.g.c + (size_t)at * et_dtype_size(dtype);
        ck_assert_int_eq(et_gemm(dtype, &one), ET_OK);
        for (int64_t i = 0; i < 9; i++)
            for (int64_t j = 0; j < 11; j++)
                ck_assert(get(&merged, at + i * p.g.ldc + j) == get(&p.c, at + i * p.g.ldc + j));
    }
    free(merged.data);
    free_problem(&p);
}
END_TEST

START_TEST(empty)
{
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);
    const int64_t sizes[][3] = {{0, 5, 3}, {5, 0, 3}, {5, 3, 0}, {0, 0, 0}, {1, 1, 0}, {100, 70, 0}};

    for (int s = 0; s < 6; s++)
        for (int beta = 0; beta < 2; beta++) {
            problem p = make_problem(dtype, sizes[s][0], sizes[s][1], sizes[s][2], LAYOUT_N, LAYOUT_N, 1);
            if (beta)
                for (int64_t i = 0; i < p.c.n; i++)
                    put(&p.c, i, (double)i);
            p.g.beta = beta;
            p.g.bias = p.bias.data;
            run_and_compare(&p, kr->name);
            free_problem(&p);
        }
}
END_TEST

/* The same bits for 1, 2, 3 and 8 threads, in each of the driver's paths. */
START_TEST(threads)
{
    static const struct { int64_t m, n, k; int la, lb; int64_t batch; } shapes[] = {
        {300, 200, 150, LAYOUT_N, LAYOUT_N, 1},  /* rows, B packed by each thread */
        {300, 700, 600, LAYOUT_T, LAYOUT_T, 1},
        {390, 700, 600, LAYOUT_N, LAYOUT_T, 1},  /* rows, B packed by each of two threads, once for more */
        {511, 200, 150, LAYOUT_T, LAYOUT_N, 1},  /* B read in place under a transposed A */
        {1023, 200, 150, LAYOUT_T, LAYOUT_N, 1}, /* A packed as well */
        {511, 700, 600, LAYOUT_T, LAYOUT_N, 1},
        {70, 2500, 130, LAYOUT_N, LAYOUT_T, 1},  /* columns */
        {20, 3000, 130, LAYOUT_N, LAYOUT_N, 1},  /* B read in place */
        {7, 4001, 300, LAYOUT_N, LAYOUT_T, 1},   /* dot products along columns */
        {40001, 2, 64, LAYOUT_N, LAYOUT_T, 1},   /* and rows */
        {65, 66, 67, LAYOUT_N, LAYOUT_T, 20},    /* a batch by products */
        {260, 270, 130, LAYOUT_N, LAYOUT_N, 2},  /* a batch of large products */
        {3, 5, 64, LAYOUT_N, LAYOUT_T, 5000}};
    et_dtype dtype;
    const et_kernels *kr = use_table(_i, &dtype);

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        if (suite_skips((int64_t)s))
            continue;
        problem p = make_problem(dtype, shapes[s].m, shapes[s].n, shapes[s].k, shapes[s].la, shapes[s].lb,
                                 shapes[s].batch);
        const int counts[] = {2, 3, 8};
        p.g.bias = p.bias.data;
        p.g.act = ET_ACT_RELU;
        p.g.out = p.out.data;
        ck_assert_int_eq(et_gemm(dtype, &p.g), ET_OK);
        array first = copy_of(&p.c), outs = copy_of(&p.out);
        for (int t = 0; t < 3; t++) {
            for (int64_t i = 0; i < p.c.n; i++)
                put(&p.out, i, GUARD);
            ck_assert_int_eq(et_set_num_threads(counts[t]), ET_OK);
            ck_assert_int_eq(et_gemm(dtype, &p.g), ET_OK);
            ck_assert_msg(!memcmp(first.data, p.c.data, et_dtype_size(dtype) * (size_t)p.c.n) &&
                              !memcmp(outs.data, p.out.data, et_dtype_size(dtype) * (size_t)p.c.n),
                          "%s: %ldx%ldx%ld differs on %d threads", kr->name, (long)p.g.m, (long)p.g.n,
                          (long)p.g.k, counts[t]);
        }
        ck_assert_int_eq(et_set_num_threads(1), ET_OK);
        free(first.data);
        free(outs.data);
        free_problem(&p);
    }
}
END_TEST

static bool refuse(size_t bytes, void *user)
{
    (void)bytes;
    ++*(int *)user;
    return false;
}

START_TEST(errors)
{
    problem p = make_problem(ET_F32, 300, 300, 300, LAYOUT_N, LAYOUT_T, 3);
    int asked = 0;

    ck_assert_int_eq(et_gemm(ET_I32, &p.g), ET_EDTYPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "int32"));
    et_error_clear();
    et_set_alloc_hook(refuse, &asked);
    for (int threads = 1; threads <= 3; threads += 2)
        for (int batch = 1; batch <= 3; batch += 2) {
            et_set_num_threads(threads);
            p.g.batch = batch;
            ck_assert_int_eq(et_gemm(ET_F32, &p.g), ET_ENOMEM);
            ck_assert_int_eq(et_error_status(), ET_ENOMEM);
            et_error_clear();
        }
    et_set_alloc_hook(NULL, NULL);
    ck_assert_int_gt(asked, 0);
    ck_assert_int_eq(et_gemm(ET_F32, &p.g), ET_OK);
    free_problem(&p);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm");
    TCase *tc = tcase_create("gemm");
    int tables = table_count();

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, tile_edges, 0, tables);
    tcase_add_loop_test(tc, blocks_of_k, 0, tables);
    tcase_add_loop_test(tc, packed_rows, 0, tables);
    tcase_add_loop_test(tc, packed_strips, 0, tables);
    tcase_add_loop_test(tc, packed_before, 0, tables);
    tcase_add_loop_test(tc, epilogues, 0, tables);
    tcase_add_loop_test(tc, batches, 0, tables);
    tcase_add_loop_test(tc, empty, 0, tables);
    tcase_add_loop_test(tc, threads, 0, tables);
    tcase_add_test(tc, errors);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
