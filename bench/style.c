/* Training steps of the style VAE in the paper's sizes (11.0 M parameters with HyperLSTM cells), 64 segments
 * of 48 events; half: with the encoder run again in backward. */
#include "config.h"

#include <string.h>

#include "bench/model_step.h"
#include "models/style_vae.h"
#include "tensor/rng.h"

enum { BATCH = 64, EVENTS = 48, STEP = 20000 /* of training: the weight of the divergence */ };

static const struct style_case {
    const char *name;
    et_vae_cell cell;
    bool recompute;
} cases[] = {{"style/paper", ET_VAE_HYPER_LSTM, false}, {"style/paper-half", ET_VAE_HYPER_LSTM, true},
             {"style/gru", ET_VAE_GRU, false},
             {"style/gru-half", ET_VAE_GRU, true}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct work {
    bench_model m;
    et_style_vae *model;
    et_style_batch b;
} work;

static et_tensor *loss_of(void *user, et_tensor **logits)
{
    const work *w = user;
    et_style_loss loss;

    return et_style_vae_loss(w->model, &w->b, STEP, NULL, &loss, NULL, logits) == ET_OK ? loss.total : NULL;
}

static bool work_make(work *w, const char *name, int threads)
{
    et_style_vae_config c = et_style_vae_paper();
    et_rng rng = et_rng_make(1, 0);

    *w = (work){.m = {.loss = loss_of, .user = w, .threads = threads, .clip = 1}};
    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, name)) {
            c.cell = cases[i].cell;
            c.recompute = cases[i].recompute;
        }
    w->model = et_style_vae_new(NULL, NULL, &c, &rng);
    w->m.module = w->model ? &w->model->module : NULL;
    w->m.optim = w->model ? et_adam_new(&w->model->module, 5e-4) : NULL;
    w->b = (et_style_batch){et_zeros(ET_F32, ET_SHAPE(BATCH, EVENTS, 3)),
                            et_full(ET_I32, ET_SHAPE(BATCH), EVENTS), et_zeros(ET_I32, ET_SHAPE(BATCH))};
    float *x = w->b.x ? et_data_mut(w->b.x) : NULL;
    int32_t *labels = w->b.labels ? et_data_mut(w->b.labels) : NULL;
    if (!w->m.optim || !w->b.lengths || !x || !labels)
        return false;
    for (int64_t i = 0; i < BATCH; i++) {
        labels[i] = (int32_t)(i % c.styles);
        for (int64_t t = 0; t < EVENTS; t++, x += 3) {
            x[0] = (float)(t < EVENTS - 1 ? et_rng_below(&rng, c.pitches) : c.pitches);
            x[1] = (float)et_rng_below(&rng, c.steps + 1);
            x[2] = (float)et_rng_below(&rng, c.steps + 1);
        }
    }
    return !et_error_status();
}

static void work_free(work *w)
{
    et_optim_free(w->m.optim);
    if (w->model)
        et_module_free(&w->model->module);
    et_free(w->b.x);
    et_free(w->b.lengths);
    et_free(w->b.labels);
}

bool bench_style_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

bool bench_style_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads);
    const et_named_tensor batch[] = {{"x", w.b.x}, {"labels", w.b.labels}};

    good = good && (!o->save || bench_model_save(&w.m, o->save, batch, 2)) && bench_model_serve(&w.m);
    work_free(&w);
    return good;
}

/* Floating-point operations of the products of a step: three times those of forward. */
static double step_flop(const et_style_vae *m)
{
    const et_style_vae_config *c = &m->config;
    const double n = (double)c->units, k = (double)c->hyper_units, e = (double)c->hyper_embedding;
    const double in = (double)(c->pitch_embedding + 2 * (c->steps + 1)),
                 out = (double)(c->pitches + 1 + 2 * (c->steps + 1));
    const bool hyper = c->cell == ET_VAE_HYPER_LSTM;
    const double cell = hyper ? 4 * n * (in + n) + 4 * k * (in + n + k) + 12 * e * (k + n) : 3 * n * (in + n);
    const double state = hyper ? 2 * (n + k) : n;
    const double heads = 2 * (2 * state * (double)c->head) + 2 * (double)(c->head * c->content) +
                         (double)(c->content + c->style) * state;

    return 6.0 * BATCH * ((2 * (EVENTS - 1) + EVENTS) * cell + EVENTS * n * out + heads);
}

bool bench_style(bench_report *r, const bench_options *o)
{
    bool good = true;

    bench_table(r, "style", "Training step of the style VAE in the paper's sizes, 64 segments of 48 events\n"
                            "(own: weights, gradients, moments, batch; beyond: the pool's peak without "
                            "these)",
                bench_model_columns, BENCH_MODEL_COLUMNS);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_style_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief ||
            cases[i].cell == ET_VAE_GRU) {
            work w;
            good = work_make(&w, cases[i].name, o->threads) &&
                   bench_model_measure(r, o, &w.m, cases[i].name, BATCH, step_flop(w.model));
            work_free(&w);
        }
    bench_table_end(r);
    return good;
}
