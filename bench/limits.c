/* What the machine can do: arithmetic in registers, and a cache line's way between cores. */
#include "config.h"
#undef _POSIX_C_SOURCE
#define _GNU_SOURCE 1 /* sched_setaffinity, not in POSIX */

#include "bench/bench.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#if HAVE_SCHED_GETAFFINITY
#include <sched.h>
#endif

#include "bench/peak.h"
#include "tensor/kernels.h"
#include "tensor/os.h"
#include "tensor/parallel.h"

/* --- arithmetic -------------------------------------------------------------------------- */

typedef double (*peak_loop)(int64_t rounds, float scale, float shift);

static peak_loop chosen_loop(void)
{
    static const struct {
        const char *isa;
        peak_loop loop;
    } loops[] = {
#if defined(ET_WITH_AVX512)
        {"avx512", et_kernels_avx512_peak},
#endif
#if defined(ET_WITH_AVX2)
        {"avx2", et_kernels_avx2_peak},
#endif
#if defined(ET_WITH_SSE2)
        {"sse2", et_kernels_sse2_peak},
#endif
#if defined(ET_WITH_NEON)
        {"neon", et_kernels_neon_peak},
#endif
        {"generic", et_kernels_generic_peak},
    };
    enum { N = sizeof loops / sizeof loops[0] };

    for (int i = 0; i < N; i++)
        if (!strcmp(loops[i].isa, et_isa()))
            return loops[i].loop;
    return et_kernels_generic_peak;
}

typedef struct peak_run {
    peak_loop loop;
    int64_t rounds;
    double sums[256]; /* one a piece: at most as many as threads */
} peak_run;

static void run_peak(int64_t lo, int64_t hi, void *user)
{
    peak_run *p = user;

    for (int64_t i = lo; i < hi; i++)
        p->sums[i] = p->loop(p->rounds, 0.999f, 1e-3f);
}

double bench_peak(int threads)
{
    enum { TRIES = 15 };
    static double known[257];
    peak_run p = {chosen_loop(), 400 * 1000, {0}};

    if (threads > 256)
        threads = 256;
    if (known[threads] > 0)
        return known[threads];
    /* The best of several tries, each as long as some milliseconds: this is a limit. */
    double flop = 2.0 * BENCH_PEAK_CHAINS * et_kernels_for(ET_F32)->lanes * (double)p.rounds * threads;
    for (int i = 0; i < TRIES; i++) {
        double begin = bench_clock(threads);
        et_parallel_for(threads, 1, run_peak, &p);
        double rate = 1e-9 * flop / (bench_clock(threads) - begin);
        if (rate > known[threads])
            known[threads] = rate;
    }
    return known[threads];
}

/* --- from core to core --------------------------------------------------------------------- */

#if HAVE_SCHED_GETAFFINITY && defined(CPU_SET)

enum { ROUNDS = 400, CHUNKS = 60, LINE = 128 };

typedef struct table_tennis {
    _Alignas(LINE) atomic_int ball; /* odd: the other's turn */
    _Alignas(LINE) int core;        /* the other's */
} table_tennis;

/* Ties the calling thread to one core; false if that is not allowed. */
static bool tie(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

static void *return_balls(void *user)
{
    table_tennis *t = user;

    tie(t->core);
    for (int i = 0; i < ROUNDS * CHUNKS; i++) {
        while (atomic_load_explicit(&t->ball, memory_order_acquire) != 2 * i + 1)
            ;
        atomic_store_explicit(&t->ball, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

double bench_round_trip(void)
{
    cpu_set_t allowed;
    int cores[2], n = 0;
    pthread_t other;
    table_tennis t;
    bench_samples s = {0};

    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return NAN;
    for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
        if (CPU_ISSET(i, &allowed))
            cores[n++] = i;
    if (n < 2 || !tie(cores[0]))
        return NAN;
    atomic_init(&t.ball, 0);
    t.core = cores[1];
    if (pthread_create(&other, NULL, return_balls, &t)) {
        sched_setaffinity(0, sizeof allowed, &allowed);
        return NAN;
    }
    for (int c = 0; c < CHUNKS; c++) {
        double begin = et_os_seconds();
        for (int i = c * ROUNDS; i < (c + 1) * ROUNDS; i++) {
            atomic_store_explicit(&t.ball, 2 * i + 1, memory_order_release);
            while (atomic_load_explicit(&t.ball, memory_order_acquire) != 2 * i + 2)
                ;
        }
        bench_add(&s, (et_os_seconds() - begin) / ROUNDS);
    }
    pthread_join(other, NULL);
    sched_setaffinity(0, sizeof allowed, &allowed);
    /* Chunks in which one of the two lost its core are long: the shorter ones count. */
    return 1e9 * bench_summarise(&s).low;
}

#else

double bench_round_trip(void) { return NAN; }

#endif

bool bench_limits(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"value", 1}};
    double trip = bench_round_trip();

    bench_table(r, "limits", "The machine", columns, 1);
    bench_row(r, "FMA peak, GFLOP/s", (double[]){bench_peak(o->threads)});
    bench_row(r, "core to core, ns", (double[]){trip});
    bench_table_end(r);
    if (!r->json && !isnan(trip))
        printf("cores are %s\n", trip < BENCH_FAR_NS ? "near" : "far");
    return true;
}
