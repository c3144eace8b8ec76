/* Clocks and samples. */
#include "config.h"

#include "bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tensor/os.h"
#include "tensor/pool.h"

double bench_cpu_seconds(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return et_os_seconds();
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_clock(int threads) { return threads == 1 ? bench_cpu_seconds() : et_os_seconds(); }

void bench_add(bench_samples *s, double value)
{
    if (s->n < BENCH_SAMPLES)
        s->value[s->n++] = value;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

bench_summary bench_summarise(bench_samples *s)
{
    if (s->n == 0)
        return (bench_summary){NAN, NAN, NAN, NAN, 0};
    qsort(s->value, (size_t)s->n, sizeof s->value[0], by_value);
    return (bench_summary){s->value[s->n / 2], s->value[s->n / 10], s->value[s->n - 1 - s->n / 10],
                           s->value[0], s->n};
}

bench_summary bench_measure(const bench_options *o, void (*body)(void *user), void *user)
{
    const double sample = 2e-3; /* long against a clock's own cost, short against a disturbance */
    bench_samples s = {0};
    int64_t calls = 1;

    body(user);
    for (;;) {
        double begin = bench_clock(o->threads);
        for (int64_t i = 0; i < calls; i++)
            body(user);
        if (bench_clock(o->threads) - begin >= sample || calls >= INT64_C(1) << 40)
            break;
        calls *= 2;
    }
    double end = et_os_seconds() + o->seconds;
    do {
        double begin = bench_clock(o->threads);
        for (int64_t i = 0; i < calls; i++)
            body(user);
        bench_add(&s, (bench_clock(o->threads) - begin) / (double)calls);
    } while ((et_os_seconds() < end || s.n < 5) && s.n < BENCH_SAMPLES);
    return bench_summarise(&s);
}

double bench_at_rest(const et_optim *optim)
{
    et_pool_stats pool;

    et_pool_get_stats(&pool);
    return (double)pool.current + (double)et_optim_size(optim) * sizeof(float);
}

bool bench_serve(bool (*step)(void *user), void *user, const et_optim *optim)
{
    static bench_samples s;
    et_pool_stats pool;
    char line[64];
    bool good = true;

    for (int i = 0; i < 3 && good; i++)
        good = step(user);
    const double at_rest = bench_at_rest(optim);
    et_pool_reset_peak();
    if (good && (good = step(user))) {
        et_pool_get_stats(&pool);
        printf("ready, %.1f MiB beyond\n", ((double)pool.peak - at_rest) / (1 << 20));
        fflush(stdout);
    }
    while (good && fgets(line, sizeof line, stdin)) {
        double end = et_os_seconds() + strtod(line, NULL), cpu = 0;
        s.n = 0;
        do {
            double wall = et_os_seconds(), begin = bench_cpu_seconds();
            good = step(user);
            cpu += bench_cpu_seconds() - begin;
            bench_add(&s, et_os_seconds() - wall);
        } while (good && (s.n < 3 || et_os_seconds() < end) && s.n < BENCH_SAMPLES);
        bench_summary m = bench_summarise(&s);
        printf("%d %.9f %.9f %.9f\n", m.n, m.median, m.min, cpu / m.n);
        fflush(stdout);
    }
    return good;
}
