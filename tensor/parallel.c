/* How loops are cut into pieces, and which thread runs which of them. The threads themselves are in
 * workers.c. */
#include "config.h"

#include "tensor/parallel.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "tensor/ints.h"
#include "tensor/os.h"
#include "tensor/workers.h"

enum { FINE_THREADS = 4 };

static atomic_int threads; /* 0: not decided yet */
static _Thread_local bool inside;
static _Thread_local et_cutting cutting;

/* The number that an environment variable holds, or starts with; 0 if none in range. */
static int number_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    long n;

    if (!text)
        return 0;
    n = strtol(text, &end, 10);
    return end != text && n >= 1 && n <= ET_MAX_THREADS ? (int)n : 0;
}

et_status et_set_num_threads(int n)
{
    if (n < 1 || n > ET_MAX_THREADS)
        return et_raise(ET_EINVAL, "et_set_num_threads: %d is not within 1..%d", n, ET_MAX_THREADS);
    atomic_store(&threads, n);
    return ET_OK;
}

int et_get_num_threads(void)
{
    int n = atomic_load_explicit(&threads, memory_order_relaxed);
    if (n == 0) {
        int undecided = 0;

        n = number_in("ETUDE_NUM_THREADS");
        if (n == 0)
            n = number_in("OMP_NUM_THREADS");
        if (n == 0)
            n = et_os_processors();
        if (n > ET_MAX_THREADS)
            n = ET_MAX_THREADS;
        if (!atomic_compare_exchange_strong(&threads, &undecided, n))
            n = undecided;
    }
    return n;
}

void et_parallel_alone(bool on) { inside = on; }

void et_set_cutting(et_cutting how) { cutting = how; }

int64_t et_cut(int64_t usual, int64_t fine) { return cutting == ET_CUT_USUAL ? usual : fine; }

int64_t et_elem_grain(void) { return et_cut(ET_GRAIN_ELEMS, ET_FINE_ELEMS); }

bool et_in_parallel(void)
{
    return inside;
}

int et_threads_for(double flops)
{
    const int most = inside ? 1 : cutting == ET_CUT_USUAL ? et_get_num_threads() : FINE_THREADS;
    const double worth = flops / (double)et_cut(ET_GRAIN_FLOPS, ET_FINE_FLOPS);

    return worth < 2 ? 1 : worth < most ? (int)worth : most;
}

/* A parallel loop. */
typedef struct loop {
    int64_t n, grain, pieces;
    void (*body)(int64_t lo, int64_t hi, void *user);
    void *user;
    et_cutting cutting;
} loop;

/* The pieces of thread `rank` of `size`. */
static void run_share(int rank, int size, void *user)
{
    const loop *l = user;
    const int64_t each = l->pieces / size, more = l->pieces % size;
    const int64_t first = rank * each + min64(rank, more), last = first + each + (rank < more);
    const et_cutting cut_before = cutting;
    const bool inside_before = inside;

    inside = true;
    cutting = l->cutting;
    for (int64_t i = first; i < last; i++) {
        const int64_t lo = (cutting == ET_CUT_FINE_REVERSED ? last - 1 - (i - first) : i) * l->grain;
        l->body(lo, lo + min64(l->grain, l->n - lo), l->user);
    }
    inside = inside_before;
    cutting = cut_before;
}

void et_parallel_for(int64_t n, int64_t grain, void (*body)(int64_t lo, int64_t hi, void *user), void *user)
{
    loop l = {.n = n, .grain = max64(1, grain), .body = body, .user = user, .cutting = cutting};

    if (n <= l.grain) {
        if (n > 0)
            body(0, n, user);
        return;
    }
    l.pieces = (n - 1) / l.grain + 1;
    const bool alone = inside || cutting == ET_CUT_FINE_REVERSED;
    et_workers_run(alone ? 1 : (int)min64(l.pieces, et_get_num_threads()), run_share, &l);
}

int64_t et_row_grain(int64_t n, int64_t cost)
{
    int64_t grain;

    if (cost < 1)
        cost = 1;
    grain = (et_elem_grain() - 1) / cost + 1;
    return grain > n ? (n > 0 ? n : 1) : grain;
}
