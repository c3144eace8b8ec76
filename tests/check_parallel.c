/* Threads, the choice of kernels and the processor: pieces cover the range once whatever
 * the number of threads, and sums over them have the same bits. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/cpu.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tests/suite.h"

enum { N = 200000, GRAIN = 1000 };

typedef struct cover {
    unsigned char hits[N]; /* written by the piece that owns the index: no two threads at one place */
    pthread_t owner[N];
    double part[N / GRAIN + 1];
    float x[N];
    int64_t n, grain;
} cover;

static cover c;

static void visit(int64_t lo, int64_t hi, void *user)
{
    cover *v = user;

    ck_assert(lo >= 0 && lo < hi && hi <= v->n && lo % v->grain == 0 && (hi == v->n || hi - lo == v->grain));
    for (int64_t i = lo; i < hi; i++) {
        v->hits[i]++;
        v->owner[i] = pthread_self();
    }
    v->part[lo / v->grain] = et_kernels_for(ET_F32)->sum(hi - lo, v->x + lo);
}

START_TEST(pieces)
{
    const int64_t sizes[][2] = {{1, 1},       {1, 100},     {2, 1},       {7, 3},
                                {1000, 1000}, {1001, 1000}, {50000, 333}, {200000, 1000}};
    const int threads[] = {1, 2, 3, 8};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            c.n = sizes[s][0];
            c.grain = sizes[s][1];
            memset(c.hits, 0, sizeof c.hits);
            ck_assert_int_eq(et_set_num_threads(threads[t]), ET_OK);
            et_parallel_for(c.n, c.grain, visit, &c);
            for (int64_t i = 0; i < N; i++)
                ck_assert_int_eq(c.hits[i], i < c.n);
            ck_assert(!et_in_parallel());
        }
    c.n = 1;
    et_parallel_for(0, 10, visit, &c);
    et_parallel_for(-5, 10, visit, &c);
    ck_assert_int_eq(c.hits[0], 1);
}
END_TEST

/* The same piece on the same thread in every call, neighbours on the same. */
START_TEST(affinity)
{
    static pthread_t before[N];
    int changes = 0;

    et_set_num_threads(2);
    c.n = N;
    c.grain = GRAIN;
    et_parallel_for(N, GRAIN, visit, &c);
    memcpy(before, c.owner, sizeof before);
    for (int round = 0; round < 5; round++) {
        et_parallel_for(N, GRAIN, visit, &c);
        for (int64_t i = 0; i < N; i++)
            ck_assert(pthread_equal(before[i], c.owner[i]));
    }
    for (int64_t i = 1; i < N; i++)
        changes += !pthread_equal(before[i], before[i - 1]);
    ck_assert_int_le(changes, 1);
}
END_TEST

START_TEST(same_bits)
{
    const int threads[] = {1, 2, 3, 8};
    static double first[N / GRAIN + 1];
    double total[4];

    for (int i = 0; i < N; i++)
        c.x[i] = (float)((i * 7919LL % 10007) - 5000) * 1e-3f;
    c.n = N;
    c.grain = GRAIN;
    for (int t = 0; t < 4; t++) {
        et_set_num_threads(threads[t]);
        memset(c.part, 0, sizeof c.part);
        et_parallel_for(N, GRAIN, visit, &c);
        total[t] = 0;
        for (int p = 0; p < N / GRAIN; p++)
            total[t] += c.part[p];
        if (t == 0)
            memcpy(first, c.part, sizeof first);
        ck_assert(memcmp(first, c.part, sizeof first) == 0);
        ck_assert(memcmp(&total[0], &total[t], sizeof total[0]) == 0);
    }
}
END_TEST

static void inner(int64_t lo, int64_t hi, void *user)
{
    (void)lo;
    (void)hi;
    ck_assert(et_in_parallel());
    ++*(int *)user;
}

static void outer(int64_t lo, int64_t hi, void *user)
{
    int *counts = user;

    for (int64_t i = lo; i < hi; i++)
        et_parallel_for(5, 1, inner, &counts[i]); /* on this thread: no race on the count */
}

START_TEST(nested)
{
    static int counts[64];

    et_set_num_threads(3);
    memset(counts, 0, sizeof counts);
    et_parallel_for(64, 1, outer, counts);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(counts[i], 5);
    ck_assert(!et_in_parallel());
}
END_TEST

START_TEST(numbers_of_threads)
{
    const int bad[] = {0, -1, 257, 100000};

    ck_assert_int_ge(et_get_num_threads(), 1);
    ck_assert_int_eq(et_set_num_threads(256), ET_OK);
    ck_assert_int_eq(et_set_num_threads(5), ET_OK);
    ck_assert_int_eq(et_get_num_threads(), 5);
    for (int i = 0; i < 4; i++) {
        int before = et_get_num_threads();

        ck_assert_int_eq(et_set_num_threads(bad[i]), ET_EINVAL);
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        ck_assert_ptr_nonnull(strstr(et_error_message(), "et_set_num_threads"));
        ck_assert_int_eq(et_get_num_threads(), before);
        et_error_clear();
    }
    ck_assert_int_eq(et_row_grain(1000, ET_GRAIN_ELEMS), 1);
    ck_assert_int_eq(et_row_grain(1000, 10 * ET_GRAIN_ELEMS), 1);
    ck_assert_int_eq(et_row_grain(1000, ET_GRAIN_ELEMS / 8), 8);
    ck_assert_int_eq(et_row_grain(1000, 0), 1000);
    ck_assert_int_eq(et_row_grain(0, 1), 1);
}
END_TEST

static void note_threads(int64_t lo, int64_t hi, void *user)
{
    (void)hi;
    ((int *)user)[lo] = et_threads_for(1e12);
}

/* A thread for each piece of work that is worth one, as many as there are at most; one inside of a body. */
START_TEST(worth)
{
    const int before = et_get_num_threads();
    int inside[2] = {0, 0};

    et_set_num_threads(4);
    ck_assert_int_eq(et_threads_for(0), 1);
    ck_assert_int_eq(et_threads_for(1.9 * ET_GRAIN_FLOPS), 1);
    ck_assert_int_eq(et_threads_for(2.0 * ET_GRAIN_FLOPS), 2);
    ck_assert_int_eq(et_threads_for(3.9 * ET_GRAIN_FLOPS), 3);
    ck_assert_int_eq(et_threads_for(1e12), 4);
    et_parallel_for(2, 1, note_threads, inside);
    ck_assert(inside[0] == 1 && inside[1] == 1);
    et_set_num_threads(before);
}
END_TEST

typedef struct order {
    int64_t n, first[8];
    int64_t cut; /* as seen from inside */
} order;

static void note_order(int64_t lo, int64_t hi, void *user)
{
    order *o = user;

    (void)hi;
    o->first[o->n++] = lo;
    o->cut = et_cut(100, 3);
}

/* Fine cutting makes several pieces of a few elements; bodies cut in the same way; reversed, one thread runs
 * them from the last to the first. */
START_TEST(cutting)
{
    order usual = {0}, fine = {0}, reversed = {0};

    et_set_num_threads(1);
    ck_assert_int_eq(et_cut(100, 3), 100);
    et_parallel_for(40, et_row_grain(40, 1), note_order, &usual);
    ck_assert_int_eq(usual.n, 1);
    ck_assert_int_eq(et_elem_grain(), ET_GRAIN_ELEMS);
    et_set_cutting(ET_CUT_FINE);
    ck_assert_int_eq(et_cut(100, 3), 3);
    ck_assert_int_eq(et_elem_grain(), ET_FINE_ELEMS);
    ck_assert_int_gt(et_threads_for(1000), 1); /* whatever the number of threads */
    et_parallel_for(40, et_row_grain(40, 1), note_order, &fine);
    ck_assert_int_eq(fine.n, 5);
    ck_assert_int_eq(fine.cut, 3);
    et_set_cutting(ET_CUT_FINE_REVERSED);
    et_set_num_threads(3);
    et_parallel_for(40, et_row_grain(40, 1), note_order, &reversed);
    ck_assert_int_eq(reversed.n, 5);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(fine.first[i], 8 * i);
        ck_assert_int_eq(reversed.first[i], 8 * (4 - i));
    }
    et_set_cutting(ET_CUT_USUAL);
    ck_assert_int_eq(et_cut(100, 3), 100);
    ck_assert_int_eq(et_row_grain(40, 1), 40);
}
END_TEST

static void note_cut(int64_t lo, int64_t hi, void *user)
{
    for (; lo < hi; lo++)
        ((int64_t *)user)[lo] = et_cut(100, 3);
}

/* Threads of a team cut as the one that calls, and as usual again afterwards. */
START_TEST(cutting_of_a_team)
{
    int64_t cut[64];

    et_set_num_threads(4);
    et_set_cutting(ET_CUT_FINE);
    et_parallel_for(64, 1, note_cut, cut);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(cut[i], 3);
    et_set_cutting(ET_CUT_USUAL);
    et_parallel_for(64, 1, note_cut, cut);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(cut[i], 100);
}
END_TEST

/* The environment is read when the number is first asked for: each test is a process. */
START_TEST(environment)
{
    static const char *const values[][2] = {
        {"3", "3"}, {"2,4", "2"}, {"0", NULL}, {"many", NULL}, {"9999", NULL}};

    setenv("ETUDE_NUM_THREADS", values[_i][0], 1);
    unsetenv("OMP_NUM_THREADS");
    if (values[_i][1])
        ck_assert_int_eq(et_get_num_threads(), atoi(values[_i][1]));
    ck_assert_int_ge(et_get_num_threads(), 1);
}
END_TEST

START_TEST(isa_by_name)
{
    const et_kernels *tables[8];
    int n = et_kernels_available(tables, 8);

    ck_assert_int_ge(n, 1);
    ck_assert_str_eq(tables[n - 1]->name, "generic");
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(tables[i]->dtype, ET_F32);
        ck_assert_int_eq(et_set_isa(tables[i]->name), ET_OK);
        ck_assert_str_eq(et_isa(), tables[i]->name);
        ck_assert_ptr_eq(et_kernels_for(ET_F32), tables[i]);
    }
    ck_assert_int_eq(et_kernels_for(ET_F64)->dtype, ET_F64);
    ck_assert_ptr_null(et_kernels_for(ET_I32));
    ck_assert_int_eq(et_set_isa("z80"), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "z80"));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "there are"));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "generic"));
    et_error_clear();
    ck_assert_int_eq(et_set_isa(NULL), ET_EINVAL);
    et_error_clear();
    ck_assert_str_eq(et_isa(), "generic");
    ck_assert_int_eq(et_kernels_available(tables, 0), n);
}
END_TEST

START_TEST(isa_by_environment)
{
    const et_kernels *best;

    et_kernels_available(&best, 1);
    setenv("ETUDE_ISA", _i == 0 ? "generic" : _i == 1 ? "no such" : "", 1);
    ck_assert_str_eq(et_isa(), _i == 0 ? "generic" : best->name);
    ck_assert_int_eq(et_error_status(), ET_OK);
}
END_TEST

START_TEST(processor)
{
    const et_cpu *cpu = et_cpu_info();

    ck_assert_ptr_eq(cpu, et_cpu_info());
    ck_assert(cpu->l1d >= 1024 && cpu->l2 >= cpu->l1d && cpu->l3 >= 1024);
    ck_assert(!cpu->avx512 || cpu->avx2);
    ck_assert(!cpu->avx2 || cpu->sse2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parallel");
    TCase *tc = tcase_create("parallel");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, pieces);
    tcase_add_test(tc, affinity);
    tcase_add_test(tc, same_bits);
    tcase_add_test(tc, nested);
    tcase_add_test(tc, numbers_of_threads);
    tcase_add_test(tc, worth);
    tcase_add_test(tc, cutting);
    tcase_add_test(tc, cutting_of_a_team);
    if (suite_forks())
        tcase_add_loop_test(tc, environment, 0, 5);
    tcase_add_test(tc, isa_by_name);
    if (suite_forks())
        tcase_add_loop_test(tc, isa_by_environment, 0, 3);
    tcase_add_test(tc, processor);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
