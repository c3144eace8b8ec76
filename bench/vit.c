/* Training steps of the paper's Vision Transformer (21.5 M parameters, 64 spectrograms of 512 x 129): in
 * float32, with one of the blocks computed again in backward, with bfloat16 products, and with keys and
 * values made as tensors, as other libraries do (see et_mha_forward). */
#include "config.h"

#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "bench/model_step.h"
#include "models/vit.h"
#include "tensor/rng.h"

enum { BATCH = 64 };

static const struct vit_case {
    const char *name;
    bool mixed;     /* products of bfloat16 */
    int recomputed; /* blocks that backward computes again */
    bool kv;        /* keys and values are made */
} cases[] = {{"vit/paper", false, 0, false},     {"vit/paper-half", false, 1, false},
             {"vit/paper-bf16", true, 0, false}, {"vit/paper-half-bf16", true, 1, false},
             {"vit/paper-kv", false, 0, true}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct work {
    bench_model m;
    const struct vit_case *c;
    et_vit *model;
    et_optim *optim;
    et_tensor *x, *labels; /* [B, T, F], int32 [B] */
} work;

static et_tensor *loss_of(void *user, et_tensor **logits);

static bool work_make(work *w, const char *name, int threads)
{
    et_rng rng = et_rng_make(1, 0);
    et_vit_config c = et_vit_paper();

    *w = (work){.m = {.loss = loss_of, .user = w, .threads = threads}};
    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            w->c = &cases[i];
    c.recomputed = w->c->recomputed;
    w->model = et_vit_new(NULL, NULL, &c, &rng);
    for (int i = 0; w->model && i < c.layers; i++)
        w->model->blocks->blocks[i]->attn->config.no_folding = w->c->kv;
    const et_optim_options o = {.kind = ET_ADAMW, .lr = 1e-4, .weight_decay = 1e-4};
    w->optim = w->model ? et_optim_new(&w->model->module, &o, NULL, 0) : NULL;
    w->m.module = w->model ? &w->model->module : NULL;
    w->m.optim = w->optim;
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

static et_tensor *loss_of(void *user, et_tensor **logits)
{
    const work *w = user;

    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *y = et_vit_forward(w->model, w->x, NULL);
    if (w->c->mixed)
        et_mixed_end();
    if (logits)
        *logits = y;
    return et_cross_entropy(y, w->labels);
}

bool bench_vit_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

bool bench_vit_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads);
    const et_named_tensor batch[] = {{"x", w.x}, {"labels", w.labels}};

    good = good && (!o->save || bench_model_save(&w.m, o->save, batch, 2)) && bench_model_serve(&w.m);
    work_free(&w);
    return good;
}

/* Floating-point operations of the matrix products of a step: three times those of forward, but for the first
 * layer, whose input needs no gradient, and the resizing, which is no layer. */
static double step_flop(const et_vit *m, bool kv)
{
    const et_vit_config *c = &m->config;
    const double N = (double)(m->rows * m->cols), d = (double)c->d,
                 inner = (double)(c->heads * c->head_width);
    const double patch = N * d * (double)(c->patch_h * c->patch_w);
    const double block = N * ((kv ? 4 : 2) * d * inner + 2 * d * (double)c->hidden + 2 * N * inner);
    double head = 0, in = N * d;

    for (int i = 0; i < m->n_head; in = (double)c->head[i++])
        head += in * (double)c->head[i];
    return 2.0 * BATCH * (2 * patch + 3 * (c->layers * block + head + in * (double)c->classes));
}

static bool measure(bench_report *r, const bench_options *o, const char *name)
{
    work w;
    const bool good = work_make(&w, name, o->threads) &&
                      bench_model_measure(r, o, &w.m, name, BATCH, step_flop(w.model, w.c->kv));

    work_free(&w);
    return good;
}

bool bench_vit(bench_report *r, const bench_options *o)
{
    bool good = true;

    bench_table(r, "vit", "Training step of the paper's Vision Transformer, 21.5 M parameters, batch 64\n"
                          "(own: weights, gradients, moments, batch; beyond: the pool's peak without these)",
                          bench_model_columns, BENCH_MODEL_COLUMNS);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_vit_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || i == 0)
            good = measure(r, o, cases[i].name);
    bench_table_end(r);
    return good;
}
