/* Spectra: Fourier transforms alone, and 30 seconds of sound to features; and the server that
 * bench/compare-audio drives beside its peers. */
#include "config.h"

#include "bench/bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/fft.h"
#include "datasets/front_end.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"
#include "tensor/tensor.h"

enum { SEQUENCES = 64, TRANSFORMS = 1024, SECONDS = 30 };

typedef struct work {
    et_fft *fft; /* or */
    et_front_end *fe;
    bool together; /* all sequences in one call */
    int64_t n;     /* reals of a sequence, or samples */
    et_tensor *x, *y;
    const float *in;
    float *out;
} work;

static void work_free(work *w)
{
    et_fft_free(w->fft);
    et_front_end_free(w->fe);
    et_free(w->x);
    et_free(w->y);
}

/* Memory and input of w, whose plan or front end is made. */
static bool prepare(work *w, int x_ndim, const int64_t *x, int y_ndim, const int64_t *y)
{
    et_rng rng = et_rng_make(4, 0);

    w->x = et_empty(ET_F32, x_ndim, x);
    w->y = et_zeros(ET_F32, y_ndim, y);
    if (!w->x || !w->y || et_fill_uniform(w->x, &rng, -0.5, 0.5) < 0)
        return false;
    w->in = et_data_f32(w->x);
    w->out = et_data_mut(w->y);
    return w->in && w->out;
}

static bool make_fft(work *w, int64_t n, bool together)
{
    *w = (work){.fft = et_fft_new(ET_F32, n), .together = together, .n = n};
    return w->fft && prepare(w, ET_SHAPE(SEQUENCES, n), ET_SHAPE(SEQUENCES, n + 2));
}

static bool make_front_end(work *w, const char *name)
{
    *w = (work){.fe = et_front_end_new(name)};
    if (!w->fe)
        return false;
    w->n = SECONDS * et_front_end_rate(w->fe);
    return prepare(w, ET_SHAPE(w->n), ET_SHAPE(et_front_end_frames(w->fe, w->n), et_front_end_bins(w->fe)));
}

/* The 64 sequences of the plan, one after the other or together. */
static bool transform(const work *w)
{
    if (w->together)
        return et_fft_forward(w->fft, SEQUENCES, w->in, w->n, w->out, w->n + 2) == ET_OK;
    for (int64_t i = 0; i < SEQUENCES; i++)
        if (et_fft_forward(w->fft, 1, w->in + i * w->n, w->n, w->out + i * (w->n + 2), w->n + 2) < 0)
            return false;
    return true;
}

/* A step that is long enough for a clock. */
static bool step(void *user)
{
    const work *w = user;
    bool good = true;

    if (w->fe)
        return et_front_end_run(w->fe, w->in, w->n, w->out) == ET_OK;
    for (int i = 0; i < TRANSFORMS / SEQUENCES && good; i++)
        good = transform(w);
    return good;
}

static void body(void *user) { (void)step(user); }

/* "audio/fft/512", one by one; "audio/ffts/512", together; "audio/won96" */
static bool make(work *w, const char *name)
{
    name += strlen("audio/");
    if (!strncmp(name, "fft/", 4))
        return make_fft(w, strtol(name + 4, NULL, 10), false);
    if (!strncmp(name, "ffts/", 5))
        return make_fft(w, strtol(name + 5, NULL, 10), true);
    return make_front_end(w, name);
}

bool bench_audio_serve(const bench_options *o)
{
    work w = {0};
    bool good = make(&w, o->model) && step(&w);

    if (good && o->save) {
        const et_named_tensor out[] = {{"x", w.x}, {"y", w.y}};
        good = et_safetensors_write(o->save, out, 2, NULL, 0) == ET_OK;
    }
    good = good && bench_serve(step, &w, NULL);
    work_free(&w);
    return good;
}

static bool fft_rows(bench_report *r, const bench_options *o)
{
    static const int64_t lengths[] = {256, 400, 512, 1000, 1024, 2048, 4096, 65536};
    static const bench_column columns[] = {
        {"one by one", 0}, {"p90", 0}, {"together", 0}, {"p90 of these", 0}, {"GFLOP/s", 1}};
    bench_options one = *o; /* transforms run on one thread */
    bool good = true;

    one.threads = 1;
    bench_table(r, "fft", "Real Fourier transforms on one thread, ns each; GFLOP/s: 2.5 n log2 n, together",
                columns, 5);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0] && good; i++) {
        const double n = (double)lengths[i];
        double values[5];
        char name[BENCH_NAME];

        if (o->brief && lengths[i] != 512 && lengths[i] != 1024 && lengths[i] != 2048)
            continue;
        for (int together = 0; together < 2 && good; together++) {
            work w = {0};
            bench_summary m;
            good = make_fft(&w, lengths[i], together);
            m = good ? bench_measure(&one, body, &w) : (bench_summary){0};
            values[2 * together] = 1e9 * m.median / TRANSFORMS;
            values[2 * together + 1] = 1e9 * m.high / TRANSFORMS;
            work_free(&w);
        }
        values[4] = 2.5 * n * log2(n) / values[2];
        snprintf(name, sizeof name, "%" PRId64, lengths[i]);
        bench_row(r, name, values);
    }
    bench_table_end(r);
    return good;
}

static bool front_end_rows(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"ms", 3}, {"p90", 3}, {"times real time", 0}};
    bool good = true;

    bench_table(r, "front_ends", "30 seconds of sound to features", columns, 3);
    for (const char *const *name = et_front_end_names(); *name && good; name++) {
        work w = {0};
        bench_summary m;

        if (strchr(*name, ':') || (o->brief && strcmp(*name, "won96") != 0))
            continue;
        good = make_front_end(&w, *name);
        m = good ? bench_measure(o, body, &w) : (bench_summary){0};
        bench_row(r, *name, (double[]){1e3 * m.median, 1e3 * m.high, SECONDS / m.median});
        work_free(&w);
    }
    bench_table_end(r);
    return good;
}

bool bench_audio(bench_report *r, const bench_options *o)
{
    return fft_rows(r, o) && front_end_rows(r, o) && !et_error_status();
}
