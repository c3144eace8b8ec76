/* Finding sounds by texts: training steps of two small towers (four pre-norm layers of width 128 over 64
 * tokens each, 64 pairs), in float32 and with bfloat16 products, and the nearest of a million vectors. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "bench/bench.h"
#include "nn/contrastive.h"
#include "nn/embedding.h"
#include "nn/init.h"
#include "nn/nearest.h"
#include "nn/optim.h"
#include "nn/transformer.h"
#include "tensor/os.h"
#include "tensor/pool.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"

enum { BATCH = 64, TOKENS = 64, WIDTH = 128, HIDDEN = 256, HEADS = 4, LAYERS = 4, WORDS = 1000, BANDS = 64,
       PARTS = 4 };
enum { VECTORS = 1000000, NEAREST = 10 };

static const struct search_case {
    const char *name;
    bool mixed;
} cases[] = {{"two-tower/small", false}, {"two-tower/small-bf16", true}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* unit(W mean LN(blocks(x + P)) + b), x words or frames. */
typedef struct tower {
    et_module module;
    et_linear_layer *frames;   /* either of the two */
    et_embedding_layer *words;
    et_tensor *position;
    et_transformer *blocks;
    et_layer_norm_layer *ln;
    et_linear_layer *out;
} tower;

static tower *tower_new(et_module *parent, const char *name, bool text, et_rng *rng)
{
    tower *t = et_module_new(sizeof *t, "Tower", parent, name);

    if (!t)
        return NULL;
    if (text)
        t->words = et_embedding_layer_new(&t->module, "words", WORDS, WIDTH, -1, rng);
    else
        t->frames = et_linear_layer_new(&t->module, "frames", BANDS, WIDTH, true, rng);
    if ((t->position = et_module_param(&t->module, "position", ET_SHAPE(1, TOKENS, WIDTH))))
        et_init_normal(t->position, 0.02, rng);
    t->blocks = et_transformer_new(&t->module, "blocks", LAYERS,
                                   &(et_transformer_config){.width = WIDTH, .heads = HEADS, .hidden = HIDDEN,
                                                            .fused = true, .act = ET_ACT_GELU, .eps = 1e-5},
                                   rng);
    t->ln = et_layer_norm_layer_new(&t->module, "ln", WIDTH, 1e-5);
    t->out = et_linear_layer_new(&t->module, "out", WIDTH, WIDTH, true, rng);
    return et_module_done(&t->module);
}

static et_tensor *tower_forward(const tower *t, et_tensor *x)
{
    x = t->words ? et_embedding_layer_forward(t->words, x) : et_linear_layer_forward(t->frames, x);
    x = et_transformer_forward(t->blocks, et_add(x, t->position), NULL, NULL);
    x = et_mean(et_layer_norm_layer_forward(t->ln, x), ET_DIMS(1), false);
    return et_l2_normalize(et_linear_layer_forward(t->out, x), 1e-12);
}

typedef struct work {
    const struct search_case *c;
    et_module *root;
    tower *text, *audio;
    et_optim *optim;
    et_tensor *words, *frames; /* int32 [B, T], float32 [B, T, F] */
    int threads;
} work;

static bool work_make(work *w, const char *name, int threads)
{
    et_rng rng = et_rng_make(1, 0);

    *w = (work){.threads = threads};
    for (int i = 0; i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            w->c = &cases[i];
    if (!(w->root = et_module_new(sizeof *w->root, "TwoTowers", NULL, NULL)))
        return false;
    w->text = tower_new(w->root, "text", true, &rng);
    w->audio = tower_new(w->root, "audio", false, &rng);
    const et_optim_options o = {.kind = ET_ADAM, .lr = 1e-3};
    w->optim = et_error_status() ? NULL : et_optim_new(w->root, &o, NULL, 0);
    w->words = et_empty(ET_I32, ET_SHAPE(BATCH, TOKENS));
    w->frames = et_empty(ET_F32, ET_SHAPE(BATCH, TOKENS, BANDS));
    if (!w->optim || !w->words || !w->frames || et_fill_normal(w->frames, &rng, 0, 1))
        return false;
    for (int64_t i = 0; i < BATCH * TOKENS; i++)
        ((int32_t *)et_data_mut(w->words))[i] = (int32_t)et_rng_below(&rng, WORDS);
    return true;
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (w->root)
        et_module_free(w->root);
    et_free(w->words);
    et_free(w->frames);
}

/* The sum of the cross entropies both ways at a temperature of 0.07. */
static et_tensor *loss_of(const work *w, et_tensor **similarity)
{
    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *f = tower_forward(w->text, w->words), *g = tower_forward(w->audio, w->frames);
    if (w->c->mixed)
        et_mixed_end();
    et_tensor *s = et_mul_scalar(et_similarity(f, g), 1 / 0.07);
    if (similarity)
        *similarity = s;
    return et_mul_scalar(et_clip_loss(s), 2);
}

/* Forward, backward, Adam; the clock before, between and after. The loss, NaN after an error. */
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

/* The weights, the batch, and what a peer must reach: similarities, and the losses of three steps. The
 * weights are trained on. */
static bool save(const work *w, const char *path)
{
    enum { MOST = 160, STEPS = 3 };
    et_named_tensor out[MOST];
    et_tensor *similarity = NULL;
    double losses[STEPS];
    int64_t n = 0, own;
    const et_entry *e;

    while ((e = et_module_entry(w->root, n)) && n < MOST - 4) {
        out[n] = (et_named_tensor){e->name, et_clone(e->tensor)};
        n++;
    }
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    loss_of(w, &similarity);
    similarity = et_scope_return(scope, similarity);
    et_no_grad_end();
    et_scope_close(scope);
    for (int i = 0; i < STEPS; i++)
        losses[i] = step(w, NULL);
    out[n++] = (et_named_tensor){"similarity", similarity};
    out[n++] = (et_named_tensor){"losses", et_from(ET_F64, ET_SHAPE(STEPS), losses)};
    own = n;
    out[n++] = (et_named_tensor){"words", w->words};
    out[n++] = (et_named_tensor){"frames_of_sounds", w->frames};
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    for (int64_t i = 0; i < own; i++)
        et_free((et_tensor *)(uintptr_t)out[i].tensor);
    return !et_error_status();
}

bool bench_search_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

static bool train(void *user) { return !isnan(step(user, NULL)); }

bool bench_search_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads) && (!o->save || save(&w, o->save)) &&
                bench_serve(train, &w, w.optim);

    work_free(&w);
    return good;
}

/* Floating-point operations of the matrix products of a step;
 * the inputs of the first layers need no gradient. */
static double step_flop(void)
{
    const double T = TOKENS, d = WIDTH, block = T * (4 * d * d + 2 * d * HIDDEN) + 2 * T * T * d;

    return 2.0 * BATCH * (3 * 2 * (LAYERS * block + d * d) + 2 * T * d * BANDS);
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
        const double rate = 1e-9 * step_flop() / m[0].median;
        bench_row(r, name,
                  (double[]){1e3 * m[0].median, 1e3 * m[1].median, 1e3 * m[2].median, 1e3 * m[3].median,
                             BATCH / m[0].median, rate, 100 * rate / bench_peak(o->threads),
                             (double)pool.peak / (1 << 20)});
    }
    work_free(&w);
    return good;
}

typedef struct crowd {
    float *vectors, *query;
    bool good;
} crowd;

static void find(void *user)
{
    crowd *c = user;
    int32_t index[NEAREST];
    float score[NEAREST];

    c->good = et_nearest(VECTORS, WIDTH, c->vectors, c->query, NEAREST, index, score) == NEAREST &&
              index[0] == 77777;
}

/* The ten nearest of a million unit vectors; the query is one of them. */
static bool nearest(bench_report *r, const bench_options *o)
{
    et_tensor *all = et_empty_owned(ET_F32, ET_SHAPE(VECTORS, WIDTH));
    crowd c = {all ? et_data_mut(all) : NULL, NULL, true};

    if (!c.vectors)
        return false;
    for (int64_t i = 0; i < (int64_t)VECTORS * WIDTH; i++) /* a hash is random enough, and fast */
        c.vectors[i] = (float)((uint32_t)(i * 2654435761u + 12345u) >> 8 & 0xffff) / 32768 - 1 +
                       (float)((i * i) % 251) / 251;
    et_unit_rows(VECTORS, WIDTH, c.vectors);
    c.query = c.vectors + 77777 * (int64_t)WIDTH;
    const bench_summary s = bench_measure(o, find, &c);
    if (c.good)
        bench_row(r, "search/1M", (double[]){1e3 * s.median, NAN, NAN, NAN, VECTORS / s.median,
                                             2e-9 * VECTORS * WIDTH / s.median, NAN,
                                             (double)VECTORS * WIDTH * 4 / (1 << 20)});
    et_free(all);
    return c.good;
}

bool bench_search(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"ms", 1},      {"forward", 1}, {"backward", 1},  {"Adam", 1},
                                           {"items/s", 0}, {"GFLOP/s", 1}, {"% of peak", 1}, {"peak MiB", 1}};
    bool good = true;

    bench_table(r, "search",
                "Training step of two small towers, 64 pairs; the ten nearest of a million vectors of 128",
                columns, 8);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_search_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || i == 0)
            good = measure(r, o, cases[i].name);
    if (good && !bench_search_has(o->model))
        good = nearest(r, o);
    bench_table_end(r);
    return good;
}
