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
#include <stdlib.h>

#include "tensor/os.h"

enum {
    LINE = 128,      /* bytes: what one core writes and others read lies so far apart (two lines: some
                             processors fetch them in pairs) */
    LOOKS = 64,      /* at a place between two looks at the clock */
    STACK = 4 << 20, /* bytes; what the system gives by itself may be little (musl: 128 KiB) */
    LATER = 1024     /* regions until threads that the system refused are asked for again */
};

static const double MOST = 4e-3;  /* seconds of looking before a thread sleeps, */
static const double LEAST = 4e-5; /* where all looking was in vain: what waking it takes */

typedef enum order { IDLE, ASLEEP, RUN, LEAVE } order;

/* A place where one thread waits for others. */
typedef struct place {
    _Alignas(LINE) atomic_int state; /* a worker's: an order */
    pthread_mutex_t lock;            /* of who sleeps here */
    pthread_cond_t changed;
    double patience; /* seconds of looking, from LEAST to MOST */
} place;

typedef struct worker {
    place at;
    pthread_t thread;
    int rank;
} worker;

static worker workers[ET_MAX_THREADS]; /* number 0 is whoever calls */
/* Set for the thread that started workers last. Where it ends they do, or a program whose first thread has ended
 * would go on for their sake, unless they are another's just then. */
static pthread_key_t owner;
static atomic_bool no_owner;
static atomic_flag taken = ATOMIC_FLAG_INIT; /* the workers are somebody's, as are these: */
static int started = 1;
static int refused; /* regions until more are asked for */
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

static void place_init(place *p)
{
    atomic_store(&p->state, IDLE);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->patience = MOST;
}

static void place_free(place *p)
{
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
}

/* At its place a thread looks at *state until it is `least` or more; false where it has no more patience. */
static bool look(place *at, atomic_int *state, int least, bool crowded)
{
    double end = 0;

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
        const double now = et_os_seconds();
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

static void dismiss(void)
{
    for (int i = 1; i < started; i++)
        give(&workers[i], LEAVE);
    while (started > 1) {
        worker *w = &workers[--started];
        pthread_join(w->thread, NULL);
        place_free(&w->at);
    }
}

/* The process ends, or the library is unloaded. Whoever comes later finds the workers taken. */
static void at_exit(void)
{
    if (atomic_flag_test_and_set(&taken)) /* in use: the process ends anyway */
        return;
    dismiss();
    pthread_key_delete(owner);
}

static void owner_ends(void *value)
{
    (void)value;
    if (atomic_flag_test_and_set(&taken)) {
        atomic_store(&no_owner, true);
        return;
    }
    dismiss();
    atomic_flag_clear(&taken);
}

/* A child of fork has none of its parent's workers. */
static void forget(void)
{
    started = 1;
    refused = 0;
    atomic_store(&region.caller_sleeps, false);
    place_init(&workers[0].at);
    atomic_flag_clear(&taken);
}

static bool prepared;

static void prepare(void)
{
    if (pthread_key_create(&owner, owner_ends))
        return;
    place_init(&workers[0].at);
    pthread_atfork(NULL, NULL, forget);
    atexit(at_exit);
    prepared = true;
}

int et_thread_start(pthread_t *thread, void *(*run)(void *user), void *user)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t mask, before;
    pthread_attr_t attr;
    int failed = pthread_attr_init(&attr);

    if (failed)
        return failed;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&mask, faults[i]);
    pthread_attr_setstacksize(&attr, STACK);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    failed = pthread_create(thread, &attr, run, user);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return failed;
}

static bool start(worker *w, int rank)
{
    place_init(&w->at);
    w->rank = rank;
    if (et_thread_start(&w->thread, work, w) == 0)
        return true;
    place_free(&w->at);
    return false;
}

/* As many of the threads wanted as there are. */
static int assemble(int wanted)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, prepare);
    if (!prepared)
        return 1;
    if (started < wanted && refused > 0)
        refused--;
    else if (started < wanted || atomic_load_explicit(&no_owner, memory_order_relaxed)) {
        atomic_store(&no_owner, false);
        pthread_setspecific(owner, workers);
        while (started < wanted && start(&workers[started], started))
            started++;
        refused = started < wanted ? LATER : 0;
    }
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
    int cancel;

    if (wanted < 2 || atomic_flag_test_and_set(&taken)) {
        body(0, 1, user);
        return;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* the workers may work on this thread's stack */
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
    pthread_setcancelstate(cancel, &cancel);
}
