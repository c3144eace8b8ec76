/* The pool: blocks apart, aligned and whole whatever is asked for and given back; what is joined, kept and
 * returned; its counters; blocks of malloc's. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tensor/alloc.h"
#include "tensor/error.h"
#include "tensor/pool.h"
#include "tests/suite.h"

enum { KIB = 1 << 10, REGION = 32 << 20, SIDE = 3 * ET_ALIGN /* what of a region no block can have */ };

static et_pool_stats now(void)
{
    et_pool_stats stats;

    et_pool_get_stats(&stats);
    return stats;
}

/* False where every block comes from malloc. Asked in another process: this one is still to choose. */
static bool pool_cuts_regions(void)
{
    const pid_t pid = fork();
    int status;

    if (pid == 0) {
        alarm(10); /* a lock that is never opened is for the tests to tell */
        et_pool_free(et_pool_alloc(1));
        et_pool_free(et_pool_alloc(1));
        _exit(now().system_allocs == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || WIFSIGNALED(status)) {
        fprintf(stderr, "check_pool: two blocks, one after the other, took too long or could not be tried\n");
        exit(EXIT_FAILURE);
    }
    return WEXITSTATUS(status) == EXIT_SUCCESS;
}

static size_t rounded(size_t bytes) { return (bytes + !bytes + ET_ALIGN - 1) / ET_ALIGN * ET_ALIGN; }

static char *must_have(size_t bytes)
{
    char *p = et_pool_alloc(bytes);

    ck_assert_msg(p != NULL, "%s", et_error_message());
    ck_assert_uint_eq((uintptr_t)p % ET_ALIGN, 0);
    return p;
}

/* --- blocks -------------------------------------------------------------------------------------- */

enum { SLOTS = 200, TURNS = 5000 };

typedef struct held {
    unsigned char *p;
    size_t bytes;
    unsigned char mark;
} held;

static uint32_t draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Of any order of magnitude up to a MiB, half of them small, some of a few sizes again and again. */
static size_t draw_size(uint32_t *state)
{
    const uint32_t kind = draw(state) % 8;

    if (kind == 0)
        return (size_t)(1 + draw(state) % 4) * 100 * KIB;
    if (kind < 4)
        return draw(state) % (64u << draw(state) % 15);
    return draw(state) % (2 * KIB);
}

/* Whether a block still holds what was written to it. */
static bool is_marked(const held *h)
{
    return !h->bytes || (h->p[0] == h->mark && memcmp(h->p, h->p + 1, h->bytes - 1) == 0);
}

/* Asks and gives back at random; NULL, or what is wrong. */
static void *struggle(void *seed)
{
    uint32_t state = *(const uint32_t *)seed;
    held slots[SLOTS] = {{NULL, 0, 0}};
    const char *wrong = NULL;

    for (int turn = 0; turn < TURNS && !wrong; turn++) {
        held *h = &slots[draw(&state) % SLOTS];

        if (h->p && !is_marked(h))
            wrong = "a block was written over";
        et_pool_free(h->p);
        *h = (held){.bytes = draw_size(&state), .mark = (unsigned char)draw(&state)};
        if (!(h->p = et_pool_alloc(h->bytes)))
            wrong = "no memory";
        else if ((uintptr_t)h->p % ET_ALIGN)
            wrong = "not aligned";
        else
            memset(h->p, h->mark, h->bytes);
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].p && !is_marked(&slots[i]))
            wrong = "a block was written over";
        et_pool_free(slots[i].p);
    }
    return (void *)wrong;
}

/* Nobody's block is anybody else's, and at the end nothing is left behind. */
START_TEST(blocks_stay_apart)
{
    et_pool_trim();
    const et_pool_stats before = now();

    for (uint32_t seed = 1; seed <= 3; seed++) {
        const char *wrong = struggle(&seed);
        ck_assert_msg(!wrong, "%s", wrong);
    }
    ck_assert_uint_eq(now().current, before.current);
    et_pool_trim();
    ck_assert_uint_eq(now().reserved, before.reserved);
}
END_TEST

/* One small block after another, so that threads meet in the pool at every moment. */
static void *hurry(void *seed)
{
    const uint32_t mark = *(const uint32_t *)seed;
    const char *wrong = NULL;

    for (int turn = 0; turn < 1000000 && !wrong; turn++) {
        volatile uint32_t *p = et_pool_alloc(sizeof *p);
        if (p)
            *p = mark;
        wrong = !p ? "no memory" : *p != mark ? "a block was written over" : NULL;
        et_pool_free((void *)p);
    }
    return (void *)wrong;
}

/* _i: of all sizes; of one */
START_TEST(threads)
{
    enum { THREADS = 4 };
    uint32_t seeds[THREADS];
    pthread_t thread[THREADS];
    void *wrong;

    et_pool_trim();
    const et_pool_stats before = now();
    for (uint32_t i = 0; i < THREADS; i++) {
        seeds[i] = i;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, _i ? hurry : struggle, &seeds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &wrong), 0);
        ck_assert_msg(!wrong, "%s", (const char *)wrong);
    }
    ck_assert_uint_eq(now().current, before.current);
    et_pool_trim();
    ck_assert_uint_eq(now().reserved, before.reserved);
}
END_TEST

/* A block of that size is as large, and not much larger. */
static void check_size(size_t bytes)
{
    const size_t before = now().current;
    char *p = must_have(bytes);
    const size_t more = now().current - before;

    ck_assert_msg(more >= bytes && more <= rounded(bytes) + ET_ALIGN, "%zu bytes took %zu", bytes, more);
    memset(p, 1, bytes);
    et_pool_free(p);
    ck_assert_uint_eq(now().current, before);
}

/* Small ones, large ones, and those around the size of a region. */
START_TEST(sizes)
{
    char *none = must_have(0), *other = must_have(0);

    ck_assert_ptr_ne(none, other);
    et_pool_free(none);
    et_pool_free(other);
    et_pool_free(NULL);
    for (size_t bytes = 1; bytes < REGION; bytes += bytes < 5 * KIB ? 61 : bytes / 3)
        check_size(bytes);
    for (int lines = -5; lines <= 1; lines++) {
        et_pool_trim();
        check_size((size_t)(REGION + (2 << 20) + lines * ET_ALIGN));
    }
}
END_TEST

/* --- what is joined and kept ---------------------------------------------------------------------- */

enum { MANY = 60 };

/* _i: the order in which neighbours are given back */
START_TEST(neighbours_join)
{
    enum { EACH = 20 * KIB };
    char *blocks[MANY], *all;

    et_pool_trim();
    char *rest = must_have(REGION - SIDE - MANY * (EACH + ET_ALIGN)); /* no more is free */
    const et_pool_stats before = now();
    for (int i = 0; i < MANY; i++)
        blocks[i] = must_have(EACH);
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
    for (int i = 0; i < MANY; i++)
        et_pool_free(blocks[_i == 0 ? i : _i == 1 ? MANY - 1 - i : i * 7 % MANY]);
    all = must_have(MANY * EACH);
    memset(all, 1, MANY * EACH);
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
    ck_assert_uint_eq(now().hits, before.hits + MANY + 1);
    et_pool_free(all);
    et_pool_free(rest);
}
END_TEST

/* Small blocks wait for the next of their size, the last to come goes first, until the pool is trimmed. */
START_TEST(small_ones_wait)
{
    et_pool_trim();
    for (size_t bytes = ET_ALIGN; bytes <= KIB; bytes += ET_ALIGN) {
        char *a = must_have(bytes), *b = must_have(bytes), *c = must_have(bytes - 1);

        et_pool_free(b);
        et_pool_free(a);
        char *other = must_have(bytes + ET_ALIGN);
        ck_assert_ptr_eq(must_have(bytes), a);
        ck_assert_ptr_eq(must_have(bytes - ET_ALIGN + 1), b);
        et_pool_free(a);
        et_pool_free(b);
        et_pool_free(c);
        et_pool_free(other);
    }
}
END_TEST

/* A large block waits for the next of its size, whatever is given back beside it or asked for
 * meanwhile, ... */
START_TEST(large_ones_wait)
{
    const size_t sizes[] = {32 * KIB, 33 * KIB, 1 << 20};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        char *a, *b, *other;

        et_pool_trim();
        a = must_have(sizes[s]);
        b = must_have(sizes[s]);
        et_pool_free(a);
        et_pool_free(b);
        other = must_have(sizes[s] / 5);
        ck_assert_ptr_eq(must_have(sizes[s]), b);
        ck_assert_ptr_eq(must_have(sizes[s]), a);
        et_pool_free(other);
        et_pool_free(b);
        et_pool_free(a);
    }
}
END_TEST

/* ... but the system is not asked while the blocks that wait, taken together, are enough; nor do many
 * sizes, each asked for once, take more than those in use at once. */
START_TEST(joins_before_it_grows)
{
    enum { EACH = 1 << 20, COUNT = 12, SIZES = 3000 };
    char *blocks[COUNT], *all;

    et_pool_trim();
    const size_t none = now().reserved;
    for (int i = 0; i < COUNT; i++)
        blocks[i] = must_have(EACH);
    for (int i = 0; i < COUNT; i++)
        et_pool_free(blocks[i]);
    const et_pool_stats before = now();
    all = must_have((size_t)COUNT * EACH);
    memset(all, 1, (size_t)COUNT * EACH);
    et_pool_free(all);
    for (int i = 0; i < SIZES; i++) {
        all = must_have((size_t)EACH / 4 + 64 * (size_t)i);
        memset(all, 1, (size_t)EACH / 4 + 64 * (size_t)i);
        et_pool_free(all);
    }
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
    ck_assert_uint_eq(now().current, before.current);
    et_pool_trim();
    ck_assert_uint_eq(now().reserved, none);
}
END_TEST

/* No more than 1024 large ones wait: with the next, those before it are joined. */
START_TEST(few_wait)
{
    enum { COUNT = 1030, EACH = 32 * KIB };
    static char *blocks[COUNT];

    et_pool_trim();
    for (int i = 0; i < COUNT; i++)
        blocks[i] = must_have(EACH);
    char *end = must_have(KIB); /* so that the last are not joined with what was never used */
    for (int i = 0; i < COUNT; i++)
        et_pool_free(blocks[i]);
    for (int i = COUNT - 1; i >= 1024; i--)
        ck_assert_ptr_eq(must_have(EACH), blocks[i]);
    char *joined = must_have(EACH);
    ck_assert_ptr_ne(joined, blocks[1023]);
    et_pool_free(joined);
    for (int i = COUNT - 1; i >= 1024; i--)
        et_pool_free(blocks[i]);
    et_pool_free(end);
}
END_TEST

/* A block that fits goes before larger ones, and whole if what is left over could hold nothing. */
START_TEST(close_fit)
{
    et_pool_trim();
    char *left = must_have(20 * KIB), *right = must_have(20 * KIB), *end = must_have(KIB);
    et_pool_free(left);
    et_pool_free(right);
    ck_assert_ptr_eq(must_have(40 * KIB), left); /* joined, though there is more elsewhere */
    et_pool_free(left);
    et_pool_free(end);

    et_pool_trim();
    char *a = must_have(2 * KIB), *between = must_have(KIB);
    char *b = must_have(2 * KIB + ET_ALIGN), *behind = must_have(KIB);
    const size_t before = now().current - 4 * KIB - ET_ALIGN;

    et_pool_free(a);
    et_pool_free(b);
    ck_assert_uint_eq(now().current, before);
    ck_assert_ptr_eq(must_have(2 * KIB), b);
    ck_assert_uint_eq(now().current, before + 2 * KIB + ET_ALIGN);
    ck_assert_ptr_eq(must_have(2 * KIB), a);
    ck_assert_uint_eq(now().current, before + 4 * KIB + ET_ALIGN);
    et_pool_free(a);
    et_pool_free(b);
    et_pool_free(between);
    et_pool_free(behind);
    ck_assert_uint_eq(now().current, before - 2 * KIB);
}
END_TEST

/* The free block that is just large enough shares its class with some that are not. */
START_TEST(nearest_class)
{
    const size_t all = REGION - SIDE;

    et_pool_trim();
    const size_t none = now().reserved;
    et_pool_free(must_have(all)); /* takes a region, and waits */
    const et_pool_stats before = now();
    ck_assert_uint_eq(before.reserved, none + REGION);
    char *p = must_have(all - 3 * ET_ALIGN);
    memset(p, 1, all - 3 * ET_ALIGN);
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
    char *little = must_have(ET_ALIGN); /* what was cut off */
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
    ck_assert_ptr_eq(little, p + all - 2 * ET_ALIGN);
    et_pool_free(p);
    et_pool_free(little);
    et_pool_trim();
    ck_assert_uint_eq(now().reserved, none);
}
END_TEST

/* --- the system ------------------------------------------------------------------------------------ */

/* A region stays while one block of it is in use, and goes with the last. */
START_TEST(trims)
{
    et_pool_trim();
    const et_pool_stats before = now();
    char *kept = must_have(5 * KIB), *large = must_have(3 * (size_t)REGION), *small = must_have(40);

    ck_assert_uint_ge(now().reserved, before.reserved + 3 * (size_t)REGION);
    ck_assert_uint_le(now().reserved, before.reserved + 4 * (size_t)REGION + (4 << 20));
    strcpy(kept, "kept");
    et_pool_free(large);
    et_pool_free(small);
    et_pool_trim();
    ck_assert_uint_le(now().reserved, before.reserved + REGION);
    ck_assert_str_eq(kept, "kept");
    et_pool_free(kept);
    et_pool_trim();
    ck_assert_uint_eq(now().reserved, before.reserved);
    ck_assert_uint_eq(now().current, before.current);
}
END_TEST

START_TEST(counts)
{
    et_pool_trim();
    et_pool_free(must_have(3 * KIB)); /* the region is there */
    et_pool_reset_peak();
    const et_pool_stats before = now();
    char *a = must_have(2 * KIB), *b = must_have(4 * KIB);

    ck_assert_uint_eq(before.peak, before.current);
    et_pool_free(a);
    et_pool_free(must_have(KIB));
    const et_pool_stats after = now();
    ck_assert_uint_eq(after.peak, before.current + 6 * KIB);
    ck_assert_uint_eq(after.current, before.current + 4 * KIB);
    ck_assert_uint_eq(after.requests, before.requests + 3);
    ck_assert_uint_eq(after.hits, before.hits + 3);
    ck_assert_uint_eq(after.system_allocs, before.system_allocs);
    char *more = must_have(after.reserved);
    ck_assert_uint_eq(now().requests, before.requests + 4);
    ck_assert_uint_eq(now().hits, before.hits + 3);
    ck_assert_uint_eq(now().system_allocs, before.system_allocs + 1);
    et_pool_free(more);
    et_pool_free(b);
}
END_TEST

static bool refuse(size_t bytes, void *user)
{
    *(size_t *)user = bytes;
    return false;
}

START_TEST(refusals)
{
    const size_t huge[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - ET_ALIGN, SIZE_MAX / 2 + 1, SIZE_MAX / 2 - 1};
    const et_pool_stats before = now();
    size_t asked = 0;

    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        et_error_clear();
        ck_assert_ptr_null(et_pool_alloc(huge[i]));
        ck_assert_int_eq(et_error_status(), ET_ENOMEM);
        ck_assert_ptr_nonnull(strstr(et_error_message(), "out of memory"));
    }
    et_error_clear();
    et_set_alloc_hook(refuse, &asked);
    ck_assert_ptr_null(et_pool_alloc(77));
    et_set_alloc_hook(NULL, NULL);
    ck_assert_int_eq(et_error_status(), ET_ENOMEM);
    ck_assert_uint_eq(asked, 77);
    et_error_clear();
    ck_assert_uint_eq(now().requests, before.requests);
    ck_assert_uint_eq(now().current, before.current);
    ck_assert_uint_eq(now().reserved, before.reserved);
    et_pool_free(must_have(77));
}
END_TEST

START_TEST(system_refuses)
{
    const et_pool_stats before = now();

    ck_assert_ptr_null(et_pool_alloc(SIZE_MAX / 4));
    ck_assert_int_eq(et_error_status(), ET_ENOMEM);
    et_error_clear();
    ck_assert_uint_eq(now().requests, before.requests);
    ck_assert_uint_eq(now().current, before.current);
    ck_assert_uint_eq(now().reserved, before.reserved);
    ck_assert_uint_eq(now().system_allocs, before.system_allocs);
}
END_TEST

/* In a process that has asked for nothing yet. */
START_TEST(blocks_of_malloc)
{
    uint32_t seed = 5;

    setenv("ETUDE_POOL", "system", 1);
    char *a = must_have(100), *b = must_have(100);
    ck_assert_uint_eq(now().current, 256);
    ck_assert_uint_eq(now().reserved, 256);
    ck_assert_uint_eq(now().hits, 0);
    ck_assert_uint_eq(now().requests, 2);
    ck_assert_uint_eq(now().system_allocs, 2);
    et_pool_free(a);
    ck_assert_uint_eq(now().current, 128);
    ck_assert_uint_eq(now().reserved, 128);
    ck_assert_uint_eq(now().peak, 256);
    et_pool_free(b);
    const char *wrong = struggle(&seed);
    ck_assert_msg(!wrong, "%s", wrong);
    ck_assert_uint_eq(now().reserved, 0);
    ck_assert_ptr_null(et_pool_alloc(SIZE_MAX - ET_ALIGN));
    et_error_clear();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    const bool regions = pool_cuts_regions();

    if (regions) {
        tcase_add_test(tc, sizes);
        tcase_add_loop_test(tc, neighbours_join, 0, 3);
        tcase_add_test(tc, small_ones_wait);
        tcase_add_test(tc, large_ones_wait);
        tcase_add_test(tc, joins_before_it_grows);
        tcase_add_test(tc, few_wait);
        tcase_add_test(tc, close_fit);
        tcase_add_test(tc, nearest_class);
        tcase_add_test(tc, trims);
        tcase_add_test(tc, counts);
        if (sizeof(size_t) > 4) /* a quarter of all addresses of 32 bits might be had */
            tcase_add_test(tc, system_refuses);
    }
    if (suite_forks())
        tcase_add_test(tc, blocks_of_malloc);
    tcase_add_test(tc, blocks_stay_apart);
    tcase_add_loop_test(tc, threads, 0, regions ? 2 : 1);
    tcase_add_test(tc, refusals);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
