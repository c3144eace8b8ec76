#include "config.h"

#include "tensor/os.h"
#include "tensor/parallel.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(_OPENMP)
#include <omp.h>
#endif

enum { MAX_THREADS = 256, FINE_THREADS = 4 };

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
    return end != text && n >= 1 && n <= MAX_THREADS ? (int)n : 0;
}

et_status et_set_num_threads(int n)
{
    if (n < 1 || n > MAX_THREADS)
        return et_raise(ET_EINVAL, "et_set_num_threads: %d is not within 1..%d", n, MAX_THREADS);
    atomic_store(&threads, n);
    return ET_OK;
}

int et_get_num_threads(void)
{
    int n = atomic_load_explicit(&threads, memory_order_relaxed);

#if !defined(_OPENMP)
    n = 1;
#endif
    if (n == 0) {
        int undecided = 0;

        n = number_in("ETUDE_NUM_THREADS");
        if (n == 0)
            n = number_in("OMP_NUM_THREADS");
        if (n == 0)
            n = et_os_processors();
        if (n > MAX_THREADS)
            n = MAX_THREADS;
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

/* Pieces first .. last - 1 on this thread. */
static void run_pieces(int64_t first, int64_t last, int64_t n, int64_t grain,
                       void (*body)(int64_t lo, int64_t hi, void *user), void *user)
{
    for (int64_t i = first; i < last; i++) {
        const int64_t p = cutting == ET_CUT_FINE_REVERSED ? last - 1 - (i - first) : i, lo = p * grain;

        body(lo, n - lo < grain ? n : lo + grain, user);
    }
}

void et_parallel_for(int64_t n, int64_t grain, void (*body)(int64_t lo, int64_t hi, void *user), void *user)
{
    int64_t pieces;

    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    pieces = (n - 1) / grain + 1;

#if defined(_OPENMP)
    if (pieces > 1 && !inside && cutting != ET_CUT_FINE_REVERSED) {
        const int64_t most = et_get_num_threads();
        const int team = (int)(pieces < most ? pieces : most);
        const et_cutting as_here = cutting;

        if (team > 1) {
#pragma omp parallel num_threads(team)
            {
                /* The team may be smaller than asked for. */
                const int64_t size = omp_get_num_threads(), rank = omp_get_thread_num();
                const int64_t each = pieces / size, more = pieces % size;
                const int64_t first = rank * each + (rank < more ? rank : more);

                inside = true;
                cutting = as_here;
                run_pieces(first, first + each + (rank < more), n, grain, body, user);
                inside = false;
                cutting = rank == 0 ? as_here : ET_CUT_USUAL;
            }
            return;
        }
    }
#endif
    {
        const bool before = inside;

        inside = pieces > 1 || before;
        run_pieces(0, pieces, n, grain, body, user);
        inside = before;
    }
}

int64_t et_row_grain(int64_t n, int64_t cost)
{
    int64_t grain;

    if (cost < 1)
        cost = 1;
    grain = (et_elem_grain() - 1) / cost + 1;
    return grain > n ? (n > 0 ? n : 1) : grain;
}
