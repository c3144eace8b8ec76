/* The encoders of two towers at their published sizes: BERT-base over 8 texts of 64 tokens, forward and
 * training its last five layers (whole, and where the last layer computes what the loss reads alone), and
 * AST-base over one clip of 10 s, forward. Each also with bfloat16 products. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "bench/bench.h"
#include "models/ast.h"
#include "models/bert.h"
#include "nn/optim.h"
#include "tensor/os.h"
#include "tensor/pool.h"
#include "tensor/safetensors.h"

enum { TEXTS = 8, TOKENS = 64, TRAINED = 5 };

static const struct tower_case {
    const char *name;
    bool sound, train, cls, mixed; /* AST; a training step; its last layer at [CLS]; bfloat16 products */
} cases[] = {
    {.name = "bert/forward"},
    {.name = "bert/last-5", .train = true},
    {.name = "bert/last-5-cls", .train = true, .cls = true},
    {.name = "ast/forward", .sound = true},
    {.name = "bert/forward-bf16", .mixed = true},
    {.name = "bert/last-5-bf16", .train = true, .mixed = true},
    {.name = "bert/last-5-cls-bf16", .train = true, .cls = true, .mixed = true},
    {.name = "ast/forward-bf16", .sound = true, .mixed = true},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct work {
    const struct tower_case *c;
    et_bert *bert;
    et_ast *ast;
    et_optim *optim;
    et_tensor *x;      /* tokens int32 [B, T], or a spectrogram [1, frames, bands] */
    et_tensor *target; /* of the first token's last hidden state, [B, d] */
    int threads;
} work;

static et_module *module_of(const work *w)
{
    return w->bert ? &w->bert->module : w->ast ? &w->ast->module : NULL;
}

static bool work_make(work *w, const char *name, int threads)
{
    et_rng rng = et_rng_make(1, 0);
    const et_bert_config text = et_bert_base();
    const et_ast_config sound = et_ast_base();

    *w = (work){.threads = threads};
    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            w->c = &cases[i];
    if (w->c->sound) {
        w->ast = et_ast_new(NULL, NULL, &sound, &rng);
        w->x = et_empty(ET_F32, ET_SHAPE(1, sound.frames, sound.bands));
        if (!w->ast || !w->x)
            return false;
        et_fill_normal(w->x, &rng, 0, 0.5);
    } else {
        w->bert = et_bert_new(NULL, NULL, &text, &rng);
        w->x = et_empty(ET_I32, ET_SHAPE(TEXTS, TOKENS));
        w->target = et_empty(ET_F32, ET_SHAPE(TEXTS, text.width));
        if (!w->bert || !w->x || !w->target)
            return false;
        for (int64_t i = 0; i < w->x->numel; i++)
            ((int32_t *)et_data_mut(w->x))[i] = (int32_t)et_rng_below(&rng, text.vocabulary);
        et_fill_normal(w->target, &rng, 0, 1);
    }
    if (w->c->train) {
        et_bert_train_last(w->bert, TRAINED);
        w->optim = et_adam_new(&w->bert->module, 1e-4);
        return w->optim != NULL;
    }
    et_module_eval(module_of(w));
    return !et_error_status();
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (module_of(w))
        et_module_free(module_of(w));
    et_free(w->x);
    et_free(w->target);
}

static et_tensor *hidden(const work *w)
{
    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *y = w->ast ? et_ast_forward(w->ast, w->x, NULL)
                          : et_bert_forward(w->bert, w->x, NULL, NULL, NULL);
    if (w->c->mixed)
        et_mixed_end();
    return y;
}

/* The last hidden states of the first tokens, [B, d]. */
static et_tensor *first_tokens(const work *w)
{
    if (!w->c->cls)
        return et_select(hidden(w), 1, 0);
    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *y = et_bert_encode_pooled(w->bert, 0, et_bert_embed(w->bert, w->x, NULL), NULL, ET_BERT_CLS);
    if (w->c->mixed)
        et_mixed_end();
    return y;
}

/* Forward alone, or with the squared error of the first tokens, backward and Adam:
 * the loss, 0, or NaN after an error. */
static double step(const work *w)
{
    double loss = NAN;

    et_scope *scope = et_scope_open();
    if (w->c->train) {
        et_tensor *l = et_mse(first_tokens(w), w->target, ET_REDUCE_MEAN);
        et_backward(l);
        if (et_optim_step_zero(w->optim, 0, NULL) == ET_OK)
            loss = et_item(l);
    } else {
        et_no_grad_begin();
        loss = hidden(w) ? 0 : NAN;
        et_no_grad_end();
    }
    et_scope_close(scope);
    return loss;
}

/* The weights, the input, and what a peer must reach without dropout: hidden states, and the losses of three
 * steps, after which dropout is on. The weights are trained on. */
static bool save(const work *w, const char *path)
{
    enum { MOST = 256, STEPS = 3 };
    et_named_tensor out[MOST];
    double losses[STEPS];
    int64_t n = 0, own;
    const et_entry *e;

    et_module_eval(module_of(w));
    while ((e = et_module_entry(module_of(w), n)) && n < MOST - 4) {
        out[n] = (et_named_tensor){e->name, et_clone(e->tensor)};
        n++;
    }
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    out[n++] = (et_named_tensor){"hidden", et_scope_return(scope, hidden(w))};
    et_no_grad_end();
    et_scope_close(scope);
    if (w->c->train) {
        for (int i = 0; i < STEPS; i++)
            losses[i] = step(w);
        et_module_train(module_of(w));
        out[n++] = (et_named_tensor){"losses", et_from(ET_F64, ET_SHAPE(STEPS), losses)};
    }
    own = n;
    out[n++] = (et_named_tensor){"x", w->x};
    if (w->target)
        out[n++] = (et_named_tensor){"target", w->target};
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    for (int64_t i = 0; i < own; i++)
        et_free((et_tensor *)(uintptr_t)out[i].tensor);
    return !et_error_status();
}

bool bench_towers_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

static bool run(void *user) { return !isnan(step(user)); }

bool bench_towers_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads) && (!o->save || save(&w, o->save)) &&
                bench_serve(run, &w, w.optim);

    work_free(&w);
    return good;
}

/* Floating-point operations of the matrix products of a step. */
static double step_flop(const work *w)
{
    const double N = w->ast ? (double)(w->ast->rows * w->ast->cols + 2) : TOKENS, B = w->ast ? 1 : TEXTS;
    const double d = w->ast ? (double)w->ast->config.width : (double)w->bert->config.width;
    const double hidden_width = w->ast ? (double)w->ast->config.hidden : (double)w->bert->config.hidden;
    const double layers = w->ast ? w->ast->config.layers : w->bert->config.layers;
    const double patches = w->ast ? N * d * (double)(w->ast->config.patch_bands * w->ast->config.patch_frames)
                                  : 0;
    const double block = N * (4 * d * d + 2 * d * hidden_width + 2 * N * d);
    /* of a last layer at one token, the H heads' products with the layer's input as keys and values */
    const double last = w->c->cls ? 4 * d * d + 2 * d * hidden_width + 2 * w->bert->config.heads * N * d
                                  : block;
    const double passes = w->c->train ? layers + 2 * TRAINED : layers;

    return 2 * B * (patches + block * passes + (last - block) * (w->c->train ? 3 : 1));
}

static bool measure(bench_report *r, const bench_options *o, const char *name)
{
    static bench_samples s;
    work w;
    et_pool_stats pool;
    bool good = work_make(&w, name, o->threads);

    s.n = 0;
    for (int i = 0; i < 2 && good; i++)
        good = run(&w);
    const double at_rest = bench_at_rest(w.optim);
    et_pool_reset_peak();
    for (double end = et_os_seconds() + o->seconds; good && (s.n < 3 || et_os_seconds() < end) &&
         s.n < BENCH_SAMPLES;) {
        const double begin = bench_clock(o->threads);
        good = run(&w);
        bench_add(&s, bench_clock(o->threads) - begin);
    }
    if (good) {
        const bench_summary m = bench_summarise(&s);
        et_pool_get_stats(&pool);
        const double rate = 1e-9 * step_flop(&w) / m.median;
        bench_row(r, name, (double[]){1e3 * m.median, 1e3 * m.low, 1e3 * m.high, rate,
                                      100 * rate / bench_peak(o->threads),
                                      ((double)pool.peak - at_rest) / (1 << 20)});
    }
    work_free(&w);
    return good;
}

bool bench_towers(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"step ms", 1}, {"p10", 1}, {"p90", 1}, {"GFLOP/s", 1},
                                           {"% of peak", 1}, {"beyond", 1}};
    bool good = true;

    bench_table(r, "towers", "BERT-base over 8 x 64 tokens, AST-base over one clip of 10 s\n"
                             "(beyond: MiB of the pool's peak besides weights, gradients and moments)",
                             columns, 6);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_towers_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || i == 0)
            good = measure(r, o, cases[i].name);
    bench_table_end(r);
    return good;
}
