/* Workers wait for a body each at a place of its own, and the caller for the workers at one: first looking at it
 * again and again, since within a training step whatever they wait for comes within microseconds and waking a
 * thread takes tens of them, and asleep if it takes longer, so that a program that waits leaves the processor to
 * others. How long a thread looks follows from how that ended before. Alone on the machine it hardly ever looks in
 * vain. Where other programs run, what it waits for may be a thread that has no processor, which it would go on
 * keeping one from. */
#include "config.h"

#include "tensor/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "tensor/os.h"

enum {
    LINE = 128,     /* bytes: what one core writes and others read lies so far apart (two lines: some
                            processors fetch them in pairs) */
    LOOKS = 64,     /* at a place between two looks at the clock */
    MOST = 4000000, /* nanoseconds of looking before a thread sleeps, */
    LEAST = 40000,  /* where all looking was in vain: what waking it takes */
    STACK = 4 << 20 /* bytes; what the system gives by itself may be little (musl: 128 KiB) */
};

typedef enum order { IDLE, ASLEEP, RUN, LEAVE } order;

/* A place where one thread waits for others. */
typedef struct place {
    _Alignas(LINE) atomic_int state; /* a worker's: an order */
    pthread_mutex_t lock;            /* of who sleeps here */
    pthread_cond_t changed;
    int64_t patience; /* nanoseconds of looking, from LEAST to MOST */
} place;

typedef struct worker {
    place at;
    pthread_t thread;
    int rank;
} worker;

static worker workers[ET_MAX_THREADS]; /* number 0 is whoever calls */
static int started = 1;
static atomic_flag taken = ATOMIC_FLAG_INIT; /* the workers are somebody's, as are these: */
static struct {
    void (*body)(int rank, int size, void *user);
    void *user;
    int size;
    bool crowded; /* more threads than processors: whoever looks on keeps others from working */
    _Alignas(LINE) atomic_int done; /* less than 0 by the workers that are not */
    _Alignas(LINE) atomic_bool caller_sleeps;
} region;

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void place_init(place *p)
{
    atomic_store(&p->state, IDLE);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->patience = MOST;
}

/* At its place a thread looks at *state until it is `least` or more; false where it has no more patience. */
static bool look(place *at, atomic_int *state, int least, bool crowded)
{
    int64_t end = 0;

    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load_explicit(state, memory_order_acquire) >= least) {
                at->patience += (MOST - at->patience) / 256;
                return true;
            }
            relax();
        }
        if (crowded)
            return false;
        const int64_t now = nanoseconds();
        if (end && now > end) {
            at->patience = LEAST + at->patience / 8;
            return false;
        }
        end = end ? end : now + at->patience;
    }
}

/* --- a worker ------------------------------------------------------------------------------------- */

static order next_order(worker *w, bool crowded)
{
    int idle = IDLE;

    if (!look(&w->at, &w->at.state, RUN, crowded) &&
        atomic_compare_exchange_strong(&w->at.state, &idle, ASLEEP)) {
        pthread_mutex_lock(&w->at.lock);
        while (atomic_load(&w->at.state) < RUN)
            pthread_cond_wait(&w->at.changed, &w->at.lock);
        pthread_mutex_unlock(&w->at.lock);
    }
    return (order)atomic_load(&w->at.state);
}

static void *work(void *user)
{
    worker *w = user;
    bool crowded = false;

    while (next_order(w, crowded) == RUN) {
        region.body(w->rank, region.size, region.user);
        crowded = region.crowded;
        atomic_store(&w->at.state, IDLE);
        if (atomic_fetch_add(&region.done, 1) == -1 && atomic_load(&region.caller_sleeps)) {
            pthread_mutex_lock(&workers[0].at.lock);
            pthread_cond_signal(&workers[0].at.changed);
            pthread_mutex_unlock(&workers[0].at.lock);
        }
    }
    return NULL;
}

static void give(worker *w, order o)
{
    if (atomic_exchange(&w->at.state, o) != ASLEEP)
        return;
    pthread_mutex_lock(&w->at.lock);
    pthread_cond_signal(&w->at.changed);
    pthread_mutex_unlock(&w->at.lock);
}

/* --- their number ---------------------------------------------------------------------------------- */

/* At the end of the process, or when the library is unloaded. */
static void dismiss(void)
{
    if (atomic_flag_test_and_set(&taken)) /* in use: the process ends anyway */
        return;
    for (int i = 1; i < started; i++)
        give(&workers[i], LEAVE);
    while (started > 1)
        pthread_join(workers[--started].thread, NULL);
}

/* A child of fork has none of its parent's workers. */
static void forget(void)
{
    started = 1;
    atomic_store(&region.caller_sleeps, false);
    place_init(&workers[0].at);
    atomic_flag_clear(&taken);
}

static void prepare(void)
{
    place_init(&workers[0].at);
    pthread_atfork(NULL, NULL, forget);
    atexit(dismiss);
}

static bool start(worker *w, int rank)
{
    sigset_t all, before;
    pthread_attr_t attr;

    place_init(&w->at);
    w->rank = rank;
    if (pthread_attr_init(&attr))
        return false;
    pthread_attr_setstacksize(&attr, STACK);
    sigfillset(&all); /* signals are the program's own threads' */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool failed = pthread_create(&w->thread, &attr, work, w) != 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return !failed;
}

/* As many of the threads wanted as there are. */
static int assemble(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, prepare);
    while (started < wanted && start(&workers[started], started))
        started++;
    return started < wanted ? started : wanted;
}

/* --- a region -------------------------------------------------------------------------------------- */

static void wait_for_workers(void)
{
    if (look(&workers[0].at, &region.done, 0, region.crowded))
        return;
    pthread_mutex_lock(&workers[0].at.lock);
    atomic_store(&region.caller_sleeps, true);
    while (atomic_load(&region.done) < 0)
        pthread_cond_wait(&workers[0].at.changed, &workers[0].at.lock);
    atomic_store(&region.caller_sleeps, false);
    pthread_mutex_unlock(&workers[0].at.lock);
}

void et_workers_run(int wanted, void (*body)(int rank, int size, void *user), void *user)
{
    static int processors;

    if (wanted < 2 || atomic_flag_test_and_set(&taken)) {
        body(0, 1, user);
        return;
    }
    if (!processors)
        processors = et_os_processors();
    region.size = assemble(wanted);
    region.body = body;
    region.user = user;
    region.crowded = region.size > processors;
    atomic_store(&region.done, 1 - region.size);
    for (int i = 1; i < region.size; i++)
        give(&workers[i], RUN);
    body(0, region.size, user);
    wait_for_workers();
    atomic_flag_clear(&taken);
}
