/* The threads behind parallel loops: each rank is one thread, and once in every region; they sleep and wake, leave
 * other threads' regions and children of fork alone, take no signals, leave at the end of the process and of who
 * started them, and are fewer where the system has no more. */
#include "config.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tensor/workers.h"
#include "tests/suite.h"

#if !defined(__has_feature)
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define ADDRESSES 1 /* watched by a sanitizer, which needs memory of its own and each thread's return */
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define RACES 1 /* watched, by one that knows no threads of children */
#endif

enum { MOST = 9 };

typedef struct seen {
    int size[MOST], times[MOST];
    pthread_t thread[MOST];
    long pause[MOST]; /* nanoseconds that a rank takes */
} seen;

static void rest(long nanoseconds)
{
    if (nanoseconds > 0)
        nanosleep(&(struct timespec){nanoseconds / 1000000000, nanoseconds % 1000000000}, NULL);
}

static void note(int rank, int size, void *user)
{
    seen *s = user;

    rest(s->pause[rank]);
    s->size[rank] = size;
    s->times[rank]++;
    s->thread[rank] = pthread_self();
}

static void expect_all(const seen *s, int size, int times)
{
    for (int r = 0; r < MOST; r++) {
        ck_assert_int_eq(s->times[r], r < size ? times : 0);
        ck_assert_int_eq(s->size[r], r < size ? size : 0);
    }
    ck_assert(pthread_equal(s->thread[0], pthread_self()));
    for (int r = 1; r < size; r++)
        for (int other = 0; other < r; other++)
            ck_assert(!pthread_equal(s->thread[r], s->thread[other]));
}

START_TEST(ranks)
{
    const int wanted[] = {1, 3, 2, MOST, 1, 5};
    pthread_t thread[MOST];
    int known = 1;

    thread[0] = pthread_self();
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        seen s = {.size = {0}};
        for (int times = 0; times < 300; times++)
            et_workers_run(wanted[i], note, &s);
        expect_all(&s, wanted[i], 300);
        for (int r = 0; r < wanted[i]; r++) {
            if (r >= known)
                thread[known++] = s.thread[r];
            ck_assert(pthread_equal(thread[r], s.thread[r]));
        }
    }
}
END_TEST

/* Whoever waits, a worker for the next body or the caller for a worker, and however long. */
START_TEST(pauses)
{
    const long pauses[] = {0, 20000, 110000, 2000000, 6000000}; /* the last outlasts all looking */

    for (int size = 2; size < MOST; size += 5)
        for (int late = -1; late < size; late++)
            for (int i = 0; i < 5; i++) {
                seen s = {.size = {0}};
                if (late >= 0)
                    s.pause[late] = pauses[i];
                for (int times = 0; times < 5; times++) {
                    et_workers_run(size, note, &s);
                    rest(late < 0 ? pauses[i] : 0);
                }
                expect_all(&s, size, 5);
            }
}
END_TEST

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Threads that have nothing to do soon take no time, more of them than processors or not, also where a second
 * ends while they look for what to do. */
START_TEST(idle)
{
    const int size = _i ? MOST : 2;
    seen s = {.size = {0}};

    const double now = seconds(CLOCK_MONOTONIC), end = ceil(now + 0.02);
    rest((long)(1e9 * (end - now)) - 20000000);
    do
        et_workers_run(size, note, &s);
    while (seconds(CLOCK_MONOTONIC) < end - 0.002);
    rest(50000000);
    const double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    rest(300000000);
    ck_assert_double_lt(seconds(CLOCK_PROCESS_CPUTIME_ID) - before, 0.1);
    s = (seen){.size = {0}};
    et_workers_run(size, note, &s);
    expect_all(&s, size, 1);
}
END_TEST

static void *of_another_thread(void *user)
{
    et_workers_run(3, note, user);
    return NULL;
}

static void with_another(int rank, int size, void *user)
{
    pthread_t other;

    (void)size;
    if (rank != 1)
        return;
    ck_assert(!pthread_create(&other, NULL, of_another_thread, user));
    ck_assert(!pthread_join(other, NULL));
}

/* While the workers run one thread's body, another thread runs its own by itself. */
START_TEST(two_callers)
{
    seen s = {.size = {0}};

    et_workers_run(2, with_another, &s);
    ck_assert_int_eq(s.size[0], 1);
    ck_assert_int_eq(s.times[0], 1);
    ck_assert_int_eq(s.times[1], 0);
    s = (seen){.size = {0}};
    et_workers_run(3, note, &s);
    expect_all(&s, 3, 1);
}
END_TEST

static atomic_int turns;

static void turn(int rank, int size, void *user)
{
    (void)rank;
    (void)size;
    (void)user;
    atomic_fetch_add(&turns, 1);
}

static void *many_regions(void *user)
{
    for (int i = 0; i < 2000; i++) {
        int before = 0;
        seen s = {.size = {0}};
        et_workers_run(4, note, &s);
        for (int r = 0; r < MOST; r++)
            before += s.times[r];
        *(int *)user += before == s.size[0];
        et_workers_run(2, turn, NULL);
    }
    return NULL;
}

/* Threads that all ask for workers, again and again: all of every body is run. */
START_TEST(many_callers)
{
    pthread_t threads[4];
    int good[4] = {0};

    atomic_store(&turns, 0);
    for (int i = 0; i < 4; i++)
        ck_assert(!pthread_create(&threads[i], NULL, many_regions, &good[i]));
    for (int i = 0; i < 4; i++) {
        ck_assert(!pthread_join(threads[i], NULL));
        ck_assert_int_eq(good[i], 2000);
    }
    ck_assert_int_ge(atomic_load(&turns), 4 * 2000);
    ck_assert_int_le(atomic_load(&turns), 4 * 2000 * 2);
}
END_TEST

#if !defined(RACES)
/* In a child of fork, which has workers of its own that sleep and wake, as does their caller, and which ends
 * by itself. */
static void in_child(int first)
{
    alarm(20);
    for (int i = 0; i < 3; i++) {
        seen s = {.size = {0}, .pause = {0, 20000000}};
        et_workers_run(first + i, note, &s);
        for (int r = 0; r < MOST; r++)
            if (s.times[r] != (r < first + i) || s.size[r] != (r < first + i ? first + i : 0))
                exit(1);
        rest(20000000);
    }
    exit(0);
}

static void expect_child(int first)
{
    int status;
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        in_child(first);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* Forked while workers look for a body, while they sleep, and while they run one whose caller sleeps. */
START_TEST(children)
{
    seen s = {.size = {0}}, slow = {.size = {0}, .pause = {0, 200000000, 200000000}};
    pthread_t other;

    et_workers_run(3, note, &s);
    expect_child(3);
    rest(20000000);
    expect_child(2);
    ck_assert(!pthread_create(&other, NULL, of_another_thread, &slow));
    rest(50000000);
    expect_child(3);
    ck_assert(!pthread_join(other, NULL));
    ck_assert_int_eq(slow.size[2], 3);
    s = (seen){.size = {0}};
    et_workers_run(3, note, &s);
    expect_all(&s, 3, 1);
}
END_TEST
#endif

static void at_end(void)
{
    seen s = {.size = {0}};

    et_workers_run(3, note, &s);
    _exit(s.size[0] == 1 ? 0 : 1);
}

/* Workers leave at the end of the process; whoever has a body then runs it alone. */
START_TEST(end)
{
    seen s = {.size = {0}};

    atexit(at_end);
    et_workers_run(3, note, &s);
    expect_all(&s, 3, 1);
    exit(2);
}
END_TEST

static atomic_int stage; /* 1: an owner has had its region; 2: it is to end */

static void *own_and_wait(void *user)
{
    et_workers_run(3, note, user);
    atomic_store(&stage, 1);
    while (atomic_load(&stage) < 2)
        rest(100000);
    return NULL;
}

static void begin_owner(pthread_t *other, seen *s)
{
    atomic_store(&stage, 0);
    ck_assert(!pthread_create(other, NULL, own_and_wait, s));
    while (atomic_load(&stage) < 1)
        rest(100000);
}

static void let_end(int rank, int size, void *user)
{
    (void)size;
    if (rank == 1) {
        atomic_store(&stage, 2);
        ck_assert(!pthread_join(*(pthread_t *)user, NULL));
    }
}

/* The thread that started workers ends; others have workers as before, also where they had them just then. */
START_TEST(owner_ends)
{
    pthread_t other;
    seen s;

    for (int times = 0; times < 2; times++) {
        s = (seen){.size = {0}};
        ck_assert(!pthread_create(&other, NULL, of_another_thread, &s));
        ck_assert(!pthread_join(other, NULL));
        ck_assert_int_eq(s.size[2], 3);
        begin_owner(&other, &s);
        et_workers_run(2, let_end, &other);
        s = (seen){.size = {0}};
        et_workers_run(3, note, &s);
        expect_all(&s, 3, 1);
    }
}
END_TEST

#if !defined(RACES) && !defined(ADDRESSES)
/* The first thread of a program may end before the program does, which then does not go on for the workers,
 * nor if somebody started them who ended while they were another's. */
START_TEST(first_thread_ends)
{
    pthread_t other;
    int status;
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        seen s = {.size = {0}};
        alarm(20);
        if (_i) {
            begin_owner(&other, &s);
            et_workers_run(2, let_end, &other);
        }
        et_workers_run(3, note, &s);
        pthread_exit(NULL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST
#endif

#if !defined(ADDRESSES)
static atomic_int late_number;

static void read_late(int rank, int size, void *user)
{
    (void)size;
    if (rank == 1) {
        rest(50000000);
        atomic_store(&late_number, *(int *)user);
    }
}

static void *cancelled(void *user)
{
    int number = 12345;

    et_workers_run(3, read_late, &number);
    pause(); /* where it is cancelled */
    return user;
}

/* A caller that is cancelled while it waits stays until the workers have done with its stack. */
START_TEST(cancelling)
{
    pthread_t caller;
    void *result;
    seen s = {.size = {0}};

    et_workers_run(3, note, &s);
    atomic_store(&late_number, 0);
    ck_assert(!pthread_create(&caller, NULL, cancelled, NULL));
    rest(20000000);
    ck_assert(!pthread_cancel(caller));
    ck_assert(!pthread_join(caller, &result));
    ck_assert(result == PTHREAD_CANCELED);
    ck_assert_int_eq(atomic_load(&late_number), 12345);
    s = (seen){.size = {0}};
    et_workers_run(3, note, &s);
    expect_all(&s, 3, 1);
}
END_TEST
#endif

static void note_mask(int rank, int size, void *user)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t mask;
    int *out = (int *)user + rank;

    (void)size;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    *out = sigismember(&mask, SIGINT) + 2 * sigismember(&mask, SIGUSR1);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        *out += 4 * sigismember(&mask, faults[i]);
}

/* Signals that are sent come to the program's threads; a fault is its thread's. */
START_TEST(signals)
{
    int masked[3];

    et_workers_run(3, note_mask, masked);
    ck_assert_int_eq(masked[0], 0);
    ck_assert_int_eq(masked[1], 3);
    ck_assert_int_eq(masked[2], 3);
}
END_TEST

#if !defined(ADDRESSES) && !defined(RACES)
static void set_memory(rlim_t bytes)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void *nothing(void *user) { return user; }

/* No memory for stacks: no workers, and later, when there is some, as many as there are. */
START_TEST(no_threads)
{
    struct rlimit before;
    pthread_t thread;
    bool some = false;
    int size = 1;

    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    set_memory(1 << 20);
    const bool refuses = et_thread_start(&thread, nothing, NULL) != 0;
    if (!refuses)
        pthread_join(thread, NULL);
    for (rlim_t mib = 1; refuses && mib < 8192 && size < MOST; mib += 10) {
        seen s = {.size = {0}};
        set_memory(mib << 20);
        for (int i = 0; i < 1030; i++) { /* refused threads are not asked for every time */
            s = (seen){.size = {0}};
            et_workers_run(MOST, note, &s);
        }
        ck_assert_int_ge(s.size[0], size);
        expect_all(&s, size = s.size[0], 1);
        some = some || (size > 1 && size < MOST);
    }
    set_memory(before.rlim_cur);
    if (refuses) { /* some systems do not keep what they promise */
        ck_assert_int_eq(size, MOST);
        ck_assert(some);
    }
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("workers");
    TCase *tc = tcase_create("workers");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, ranks);
    tcase_add_test(tc, pauses);
    tcase_add_loop_test(tc, idle, 0, 2);
    tcase_add_test(tc, two_callers);
    tcase_add_test(tc, many_callers);
    tcase_add_test(tc, owner_ends);
    tcase_add_test(tc, signals);
#if !defined(ADDRESSES)
    tcase_add_test(tc, cancelling);
#endif
    if (suite_forks())
        tcase_add_exit_test(tc, end, 0);
#if !defined(RACES)
    /* QEMU's user mode has no threads in children of programs with threads, and no limits of memory. */
    if (!getenv("ETUDE_EMULATED")) {
        tcase_add_test(tc, children);
#if !defined(ADDRESSES)
        tcase_add_loop_test(tc, first_thread_ends, 0, 2);
        if (suite_forks())
            tcase_add_test(tc, no_threads);
#endif
    }
#endif
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
