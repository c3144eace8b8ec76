/* Training steps of the paper's Vision Transformer (21.5 M parameters, 64 spectrograms of 512 x 129): in float32, with half
 * of the blocks computed again in backward, and with bfloat16 products. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "bench/bench.h"
#include "models/vit.h"
#include "nn/optim.h"
#include "tensor/os.h"
#include "tensor/pool.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"

enum { BATCH = 64, PARTS = 4 };

static const struct vit_case {
    const char *name;
    bool mixed;     /* products of bfloat16 */
    int recomputed; /* blocks that backward computes again */
} cases[] = {{"vit/paper", false, 0}, {"vit/paper-half", false, 4}, {"vit/paper-bf16", true, 0}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct work {
    const struct vit_case *c;
    et_vit *model;
    et_optim *optim;
    et_tensor *x, *labels; /* [B, T, F], int32 [B] */
    int threads;
} work;

static bool work_make(work *w, const char *name, int threads)
{
    et_rng rng = et_rng_make(1, 0);
    et_vit_config c = et_vit_paper();

    *w = (work){.threads = threads};
    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            w->c = &cases[i];
    c.recomputed = w->c->recomputed;
    w->model = et_vit_new(NULL, NULL, &c, &rng);
    const et_optim_options o = {.kind = ET_ADAMW, .lr = 1e-4, .weight_decay = 1e-4};
    w->optim = w->model ? et_optim_new(&w->model->module, &o, NULL, 0) : NULL;
    w->x = et_empty(ET_F32, ET_SHAPE(BATCH, c.frames, c.bins));
    w->labels = et_empty(ET_I32, ET_SHAPE(BATCH));
    if (!w->optim || !w->x || !w->labels || et_fill_normal(w->x, &rng, 0, 1))
        return false;
    for (int64_t b = 0; b < BATCH; b++)
        et_set(w->labels, &b, (double)(b % c.classes));
    return !et_error_status();
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (w->model)
        et_module_free(&w->model->module);
    et_free(w->x);
    et_free(w->labels);
}

static et_tensor *loss_of(const work *w, et_tensor **logits)
{
    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *y = et_vit_forward(w->model, w->x, NULL);
    if (w->c->mixed)
        et_mixed_end();
    if (logits)
        *logits = y;
    return et_cross_entropy(y, w->labels);
}

/* Forward, backward, AdamW; the clock before, between and after. The loss, NaN after an error. */
static double step(const work *w, double at[PARTS])
{
    double unused[PARTS], loss = NAN;

    at = at ? at : unused;
    at[0] = bench_clock(w->threads);
    et_scope *scope = et_scope_open();
    et_tensor *l = loss_of(w, NULL);
    at[1] = bench_clock(w->threads);
    et_backward(l);
    at[2] = bench_clock(w->threads);
    if (et_optim_step_zero(w->optim, 0, NULL) == ET_OK)
        loss = et_item(l);
    et_scope_close(scope);
    at[3] = bench_clock(w->threads);
    return loss;
}

/* The weights, the batch, and what a peer must reach without dropout: logits, and the losses of three steps, after which
 * dropout is on. The weights are trained on. */
static bool save(const work *w, const char *path)
{
    enum { MOST = 256, STEPS = 3 };
    et_named_tensor out[MOST];
    et_tensor *logits = NULL;
    double losses[STEPS];
    int64_t n = 0, own;
    const et_entry *e;

    et_module_eval(&w->model->module);
    while ((e = et_module_entry(&w->model->module, n)) && n < MOST - 4) {
        out[n] = (et_named_tensor){e->name, et_clone(e->tensor)};
        n++;
    }
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    loss_of(w, &logits);
    logits = et_scope_return(scope, logits);
    et_no_grad_end();
    et_scope_close(scope);
    for (int i = 0; i < STEPS; i++)
        losses[i] = step(w, NULL);
    et_module_train(&w->model->module);
    out[n++] = (et_named_tensor){"logits", logits};
    out[n++] = (et_named_tensor){"losses", et_from(ET_F64, ET_SHAPE(STEPS), losses)};
    own = n;
    out[n++] = (et_named_tensor){"x", w->x};
    out[n++] = (et_named_tensor){"labels", w->labels};
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    for (int64_t i = 0; i < own; i++)
        et_free((et_tensor *)(uintptr_t)out[i].tensor);
    return !et_error_status();
}

bool bench_vit_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

static bool train(void *user) { return !isnan(step(user, NULL)); }

bool bench_vit_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads) && (!o->save || save(&w, o->save)) && bench_serve(train, &w);

    work_free(&w);
    return good;
}

/* Floating-point operations of the matrix products of a step: three times those of forward, but for the first layer,
 * whose input needs no gradient, and the resizing, which is no layer. */
static double step_flop(const et_vit *m)
{
    const et_vit_config *c = &m->config;
    const double N = (double)(m->rows * m->cols), d = (double)c->d, inner = (double)(c->heads * c->head_width);
    const double patch = N * d * (double)(c->patch_h * c->patch_w);
    const double block = N * (4 * d * inner + 2 * d * (double)c->hidden + 2 * N * inner);
    double head = 0, in = N * d;

    for (int i = 0; i < m->n_head; in = (double)c->head[i++])
        head += in * (double)c->head[i];
    return 2.0 * BATCH * (2 * patch + 3 * (c->layers * block + head + in * (double)c->classes));
}

static bool measure(bench_report *r, const bench_options *o, const char *name)
{
    static bench_samples s[PARTS];
    work w;
    bench_summary m[PARTS];
    et_pool_stats pool;
    double at[PARTS];
    bool good = work_make(&w, name, o->threads);

    for (int i = 0; i < 2 && good; i++)
        good = !isnan(step(&w, NULL));
    et_pool_reset_peak();
    for (int p = 0; p < PARTS; p++)
        s[p].n = 0;
    for (double end = et_os_seconds() + o->seconds; good && (s[0].n < 3 || et_os_seconds() < end) &&
                                                    s[0].n < BENCH_SAMPLES;) {
        good = !isnan(step(&w, at));
        bench_add(&s[0], at[3] - at[0]);
        for (int p = 1; p < PARTS; p++)
            bench_add(&s[p], at[p] - at[p - 1]);
    }
    if (good) {
        for (int p = 0; p < PARTS; p++)
            m[p] = bench_summarise(&s[p]);
        et_pool_get_stats(&pool);
        const double rate = 1e-9 * step_flop(w.model) / m[0].median;
        const double own = 16.0 * (double)et_module_count(&w.model->module); /* weights, gradients, two moments */
        bench_row(r, name,
                  (double[]){1e3 * m[0].median, 1e3 * m[1].median, 1e3 * m[2].median, 1e3 * m[3].median,
                             BATCH / m[0].median, rate, 100 * rate / bench_peak(o->threads), own / (1 << 20),
                             ((double)pool.peak - own) / (1 << 20)});
    }
    work_free(&w);
    return good;
}

bool bench_vit(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"step ms", 1},    {"forward", 1},   {"backward", 1}, {"AdamW", 1},
                                           {"segments/s", 1}, {"GFLOP/s", 1},   {"% of peak", 1}, {"own MiB", 1},
                                           {"beyond", 1}};
    bool good = true;

    bench_table(r, "vit", "Training step of the paper's Vision Transformer, 21.5 M parameters, batch 64\n"
                          "(own: weights, gradients, moments; beyond: the pool's peak without these)", columns, 9);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_vit_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || i == 0)
            good = measure(r, o, cases[i].name);
    bench_table_end(r);
    return good;
}
