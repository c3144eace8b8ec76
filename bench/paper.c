/* Two towers of the published sizes: a training step of the row "model-8" (the last five layers of BERT-base,
 * one extra attention layer on each tower) with 32 pairs of 128 tokens and 10 s, layers computed again in
 * backward and products of bfloat16, as
 *
 *     music-search train --config model-8 --checkpoint --precision bfloat16
 *
 * does it; with what the frozen tower makes of the sounds kept, and with it computed in the step. Random
 * weights: what counts is memory, and time. */
#include "config.h"

#include <math.h>

#include "autograd/autograd.h"
#include "bench/bench.h"
#include "models/two_tower.h"
#include "nn/optim.h"
#include "tensor/pool.h"

enum { BATCH = 32, TOKENS = 128 };

typedef struct work {
    et_two_tower *model;
    et_optim *optim;
    et_tensor *ids, *x; /* int32 [B, T], float32 [B, frames, bands] */
    et_tensor *base;    /* what could be kept of x, [B, N, d] */
} work;

static bool work_make(work *w)
{
    et_two_tower_config c = et_two_tower_base();
    et_rng rng = et_rng_make(1, 0);

    et_two_tower_named("model-8", &c);
    c.checkpoint = true;
    w->model = et_two_tower_new(NULL, NULL, &c, &rng);
    w->optim = w->model ? et_adam_new(&w->model->module, 3e-4) : NULL;
    w->ids = et_empty(ET_I32, ET_SHAPE(BATCH, TOKENS));
    w->x = et_empty(ET_F32, ET_SHAPE(BATCH, c.audio.frames, c.audio.bands));
    if (!w->optim || !w->ids || !w->x || et_fill_normal(w->x, &rng, 0, 0.5))
        return false;
    const int64_t tokens = 2 + w->model->audio->rows * w->model->audio->cols;
    w->base = et_empty(ET_F32, ET_SHAPE(BATCH, tokens, c.audio.width));
    if (!w->base || et_fill_normal(w->base, &rng, 0, 1))
        return false;
    for (int64_t i = 0; i < w->ids->numel; i++)
        ((int32_t *)et_data_mut(w->ids))[i] = (int32_t)et_rng_below(&rng, c.text.vocabulary);
    return true;
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (w->model)
        et_module_free(&w->model->module);
    et_free(w->ids);
    et_free(w->x);
    et_free(w->base);
}

/* The clock before, after the frozen tower of sounds, and at the end; the loss, NaN after an error. */
static double step(const work *w, bool kept, int threads, double at[3])
{
    double loss = NAN;

    at[0] = bench_clock(threads);
    et_scope *scope = et_scope_open();
    et_mixed_begin();
    et_tensor *base = kept ? w->base : et_two_tower_audio_base(w->model, w->x);
    at[1] = bench_clock(threads);
    et_tensor *l = et_two_tower_loss(w->model, et_two_tower_text(w->model, w->ids, NULL),
                                     et_two_tower_audio_rest(w->model, base));
    et_mixed_end();
    et_backward(l);
    if (et_optim_step_zero(w->optim, 0, NULL) == ET_OK)
        loss = et_item(l);
    et_scope_close(scope);
    at[2] = bench_clock(threads);
    return loss;
}

bool bench_paper(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"step s", 1},     {"of it frozen", 1}, {"loss", 3},
                                           {"parameters", 0}, {"trained", 0},      {"pool GiB", 2},
                                           {"resident GiB", 2}};
    work w = {0};
    bool good = work_make(&w);

    bench_table(r, "paper", "A training step of two towers of the published sizes, 32 pairs\n"
                            "(frozen: the sounds through the layers that are not trained; GiB: the most in "
                            "use)", columns, 7);
    for (int i = 0; i < (o->brief ? 1 : 2) && good; i++) {
        double at[3];
        const double loss = step(&w, i == 0, o->threads, at);
        et_pool_stats pool;
        bench_memory memory;
        et_pool_get_stats(&pool);
        bench_memory_now(&memory);
        if ((good = !isnan(loss)))
            bench_row(r, i ? "model-8" : "model-8, sounds kept",
                      (double[]){at[2] - at[0], at[1] - at[0], loss,
                                 (double)et_module_count(&w.model->module), (double)et_optim_size(w.optim),
                                 (double)pool.peak / (1 << 30), memory.resident_kib / (1 << 20)});
    }
    bench_table_end(r);
    work_free(&w);
    return good;
}
