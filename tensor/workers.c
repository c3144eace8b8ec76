/* The library's threads. A *region* is one call of et_workers_run: the calling thread is rank 0 and runs the
 * body beside its workers, ranks 1 .. size - 1, which are started when first needed and stay.
 *
 * Every worker waits for its next region at a *place* of its own, and the caller waits at one for the workers
 * to be done. A thread that waits first looks at its place again and again (it spins), for within a training
 * step whatever it waits for comes within microseconds, and waking a sleeping thread takes tens of them. If
 * nothing comes it sleeps on a condition variable, so that a program that waits leaves the processor to
 * others.
 *
 * How long it looks, its *patience*, follows from how looking ended before. Alone on the machine a thread
 * hardly ever looks in vain, and patience grows towards MOST. Where other programs run, what it waits for may
 * be a thread that has no processor, and looking on may be what keeps that processor busy: patience falls
 * towards LEAST. */
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

/* Seconds of looking before a thread sleeps: at most; and where all looking was in vain, about what waking it
 * takes. */
static const double MOST = 4e-3, LEAST = 4e-5;

/* State of a worker's place. The worker itself writes IDLE (it looks) and ASLEEP, the caller RUN and LEAVE,
 * which are the larger two: orders to go by. */
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

static worker workers[ET_MAX_THREADS]; /* workers[0] is only the place of whoever calls */

/* The thread that started workers last owns them: a key of thread-specific data, set for that thread alone,
 * whose destructor ends them when it ends. Otherwise a program whose first thread has ended would go on for
 * their sake. If they run another thread's region just then they stay, without an owner until the next caller
 * becomes it. */
static pthread_key_t owner;
static atomic_bool no_owner;

/* One caller at a time: whoever has set `taken` may use the workers, and what follows here. */
static atomic_flag taken = ATOMIC_FLAG_INIT;
static int started = 1; /* threads there are, the caller being one */
static int refused;     /* after the system has refused a thread: regions until more are asked for */
static struct {
    void (*body)(int rank, int size, void *user);
    void *user;
    int size;
    bool crowded; /* more threads than processors: whoever looks on keeps others from working */
    _Alignas(LINE) atomic_int done; /* minus the number of workers that are not done yet */
    _Alignas(LINE) atomic_bool caller_sleeps;
} region;

/* Tells the processor that this is a loop that waits. */
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

/* The thread whose place is `at` looks at *state until that is `least` or more. False once it has no more
 * patience; at once in a crowd. */
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

/* Waits at w's place for the next order, awake as long as there is patience, then asleep. */
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

/* A worker's thread. The last one to finish a region wakes the caller if it sleeps. */
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

/* Writes an order to w's place, and wakes w if it sleeps there. */
static void give(worker *w, order o)
{
    if (atomic_exchange(&w->at.state, o) != ASLEEP)
        return;
    pthread_mutex_lock(&w->at.lock);
    pthread_cond_signal(&w->at.changed);
    pthread_mutex_unlock(&w->at.lock);
}

/* --- their number ---------------------------------------------------------------------------------- */

/* Ends all workers. */
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

/* The destructor of `owner`. */
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

/* Starts the threads that are missing, and makes their starter the owner. Returns how many of those wanted
 * there are. */
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
