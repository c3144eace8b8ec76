/* What the parts of etude-bench share: options, clocks, samples, tables of results. */
#ifndef ETUDE_BENCH_BENCH_H
#define ETUDE_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "nn/optim.h"
#include "tensor/json.h"

typedef struct bench_options {
    double seconds; /* of measuring, for each row of a table */
    int threads;
    int64_t steps; /* of the workload "steady" */
    bool brief;    /* fewer rows */
    bool json;
    const char *model; /* of the workload "rnn": "gtzan/gru", ...; NULL: all */
    const char *save;  /* file for the input and the results (and the model's weights); or NULL */
} bench_options;

/* --- clocks -------------------------------------------------------------------------- */

/** Seconds that the calling thread has had a processor: what other programs take is not
 *  in it, so it is the clock for work on one thread on a machine that is not quiet. */
double bench_cpu_seconds(void);
/** The clock to measure work on that many threads with: bench_cpu_seconds for one, else
 *  one that runs with the wall. */
double bench_clock(int threads);

/* --- samples ------------------------------------------------------------------------- */

enum { BENCH_SAMPLES = 1024 };

/* Timings of one thing. */
typedef struct bench_samples {
    int n;
    double value[BENCH_SAMPLES]; /* sorted by bench_summary */
} bench_samples;

typedef struct bench_summary {
    double median, low, high; /* low, high: a tenth of the samples lies below, above */
    double min;
    int n;
} bench_summary;

/** Forgets what comes after BENCH_SAMPLES. */
void bench_add(bench_samples *s, double value);
/** NaN everywhere without a sample. */
bench_summary bench_summarise(bench_samples *s);

/** Seconds of one call of body(user): called as often as a sample of some milliseconds
 *  needs, and sampled for o->seconds. */
bench_summary bench_measure(const bench_options *o, void (*body)(void *user), void *user);

/* --- tables -------------------------------------------------------------------------- */

typedef struct bench_column {
    const char *title; /* over the column, and its name in JSON */
    int decimals;
} bench_column;

enum { BENCH_COLUMNS = 10, BENCH_NAME = 22 };

/* What is printed: text as it comes, or one JSON object at the end. */
typedef struct bench_report {
    bool json;
    et_strbuf text;
    et_json_writer writer;
    const bench_column *columns;
    int n_columns;
} bench_report;

void bench_report_begin(bench_report *r, const bench_options *o);
/** Prints what is left; false if it could not be written. */
bool bench_report_end(bench_report *r);
/** A table: `key` in JSON, `title` above it in text. Rows follow, then bench_table_end. */
void bench_table(bench_report *r, const char *key, const char *title, const bench_column *columns, int n);
/** One value for each column; NaN where there is none. */
void bench_row(bench_report *r, const char *name, const double *values);
void bench_table_end(bench_report *r);

/* --- the machine --------------------------------------------------------------------- */

/** Multiplications and additions a second, in GFLOP/s, that the chosen instruction set's
 *  vectors reach in registers on that many threads; measured at the first call. */
double bench_peak(int threads);
/** Nanoseconds that one cache line takes from one core to another and back. About 50 when
 *  they share a cache ("near"), several hundred when they do not ("far"; a virtual machine
 *  may change from one to the other); NaN where threads cannot be tied to cores. */
double bench_round_trip(void);
enum { BENCH_FAR_NS = 150 }; /* from here on cores count as far */

/* What a process has asked of the system so far. */
typedef struct bench_memory {
    bool counted;            /* false: malloc and mmap could not be counted in this build */
    uint64_t mallocs, frees; /* every call of malloc's family, by anyone in the process */
    uint64_t maps;           /* mmap and munmap, by anyone but the C library itself */
    long minor_faults, major_faults;
    double resident_kib; /* NaN where the system does not tell */
} bench_memory;

void bench_memory_now(bench_memory *out);

/* --- workloads ----------------------------------------------------------------------- */

/* Each prints its tables; false after an error of the library, which stays pending. */
bool bench_limits(bench_report *r, const bench_options *o);
bool bench_overhead(bench_report *r, const bench_options *o);
bool bench_steady(bench_report *r, const bench_options *o);
bool bench_gemm(bench_report *r, const bench_options *o);
bool bench_elementwise(bench_report *r, const bench_options *o);
bool bench_rnn(bench_report *r, const bench_options *o);
bool bench_conv(bench_report *r, const bench_options *o);
bool bench_audio(bench_report *r, const bench_options *o);
bool bench_ops(bench_report *r, const bench_options *o);
bool bench_search(bench_report *r, const bench_options *o);
bool bench_vit(bench_report *r, const bench_options *o);
bool bench_towers(bench_report *r, const bench_options *o);
bool bench_paper(bench_report *r, const bench_options *o);
bool bench_style(bench_report *r, const bench_options *o);
bool bench_pairs(bench_report *r, const bench_options *o);
bool bench_tagger(bench_report *r, const bench_options *o);

/** The pool's bytes between two steps: what is there now, and the gradients of a training step's
 *  optimiser (NULL: none), which hold no memory then. */
double bench_at_rest(const et_optim *optim);

/** Says that it is ready, and the memory that step(user) takes at most beyond bench_at_rest(optim); then
 *  works as its standard input says (compare and compare-audio drive it): a line
 *  with a number of seconds calls step(user) for so long and answers with the number of steps
 *  and, in seconds, the median of a step by the wall, the shortest, and the mean by the
 *  processor's clock. Ends with the input, or when a step fails. */
bool bench_serve(bool (*step)(void *user), void *user, const et_optim *optim);

/** Serve what o->model names: training steps; a layer of the workload "conv", forward and
 *  backward; spectra, "audio/...". False after an error of the library, which stays pending. */
bool bench_rnn_serve(const bench_options *o);
bool bench_conv_serve(const bench_options *o);
bool bench_audio_serve(const bench_options *o);
bool bench_ops_serve(const bench_options *o);
bool bench_search_serve(const bench_options *o);
bool bench_vit_serve(const bench_options *o);
bool bench_towers_serve(const bench_options *o);
bool bench_style_serve(const bench_options *o);
bool bench_pairs_serve(const bench_options *o);
bool bench_tagger_serve(const bench_options *o);
/** True for the name of a row of the workload "conv", "ops", "rnn", "search", "vit", "towers", "style",
 *  "pairs", "tagger". */
bool bench_conv_has(const char *model);
bool bench_rnn_has(const char *model);
bool bench_ops_has(const char *model);
bool bench_search_has(const char *model);
bool bench_vit_has(const char *model);
bool bench_towers_has(const char *model);
bool bench_style_has(const char *model);
bool bench_pairs_has(const char *model);
bool bench_tagger_has(const char *model);

#endif
