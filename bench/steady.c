/* A long training: what it asks of the system once it is warm, which is nothing. */
#include "config.h"

#include "bench/rnn.h"

#include <math.h>
#include <stdio.h>

#include "tensor/pool.h"

enum { WARM_UP = 50, LOOKS = 10 };

bool bench_steady(bench_report *r, const bench_options *o)
{
    static const bench_model_case small = {"small/gru", ET_RNN_GRU, 40, 16, 32, 16, 6, 32, true};
    static const bench_column columns[] = {{"value", 1}};
    int64_t steps = o->steps > 0 ? o->steps : 10000;
    bench_memory before, now;
    et_pool_stats pool0, pool1;
    bench_trainer t;
    bool good = bench_trainer_make(&t, &small);

    for (int i = 0; i < WARM_UP && good; i++)
        good = !isnan(bench_train_step(&t, o->threads, NULL));
    et_pool_reset_peak();
    et_pool_get_stats(&pool0);
    bench_memory_now(&before);
    double least = before.resident_kib, most = before.resident_kib, begin = bench_clock(o->threads);
    now = before;
    for (int64_t i = 1; i <= steps && good; i++) {
        good = !isnan(bench_train_step(&t, o->threads, NULL));
        if (i == steps || i % (steps / LOOKS + 1) == 0) {
            bench_memory_now(&now);
            least = now.resident_kib < least ? now.resident_kib : least;
            most = now.resident_kib > most ? now.resident_kib : most;
        }
    }
    double seconds = bench_clock(o->threads) - begin;
    et_pool_get_stats(&pool1);
    bench_trainer_free(&t);
    if (!good)
        return false;

    bench_table(r, "steady",
                "Training steps of a small model (T 40, F 16, H 32, A 16, batch 32) after 50 others", columns,
                1);
    bench_row(r, "steps", (double[]){(double)steps});
    bench_row(r, "us a step", (double[]){1e6 * seconds / (double)steps});
    bench_row(r, "malloc and the like",
              (double[]){now.counted ? (double)(now.mallocs - before.mallocs) : NAN});
    bench_row(r, "free", (double[]){now.counted ? (double)(now.frees - before.frees) : NAN});
    bench_row(r, "mmap, munmap", (double[]){now.counted ? (double)(now.maps - before.maps) : NAN});
    bench_row(r, "minor page faults", (double[]){(double)(now.minor_faults - before.minor_faults)});
    bench_row(r, "major page faults", (double[]){(double)(now.major_faults - before.major_faults)});
    bench_row(r, "resident KiB, least", (double[]){least});
    bench_row(r, "resident KiB, most", (double[]){most});
    bench_row(r, "pool: blocks a step",
              (double[]){(double)(pool1.requests - pool0.requests) / (double)steps});
    bench_row(r, "pool: from the system", (double[]){(double)(pool1.system_allocs - pool0.system_allocs)});
    bench_row(r, "pool: peak KiB", (double[]){(double)pool1.peak / 1024});
    bench_row(r, "pool: reserved KiB", (double[]){(double)pool1.reserved / 1024});
    bench_table_end(r);
    return true;
}
