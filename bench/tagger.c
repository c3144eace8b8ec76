/* Training steps of music taggers of the paper's sizes: Spec + Att (16 spectrograms of 96 x 256), in float32
 * and with bfloat16 products; Raw + CNN_L and SampleCNN (8 stretches of 65610 and 59049 samples). */
#include "config.h"

#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "bench/model_step.h"
#include "models/tagger.h"
#include "tensor/rng.h"

static const struct tagger_case {
    const char *name;
    int kind; /* 0: Spec + Att, 1: Raw + CNN_L, 2: SampleCNN */
    int64_t batch, rows;
    bool mixed; /* products of bfloat16 */
} cases[] = {{"tagger/spec-att", 0, 16, 256, false},
             {"tagger/spec-att-bf16", 0, 16, 256, true},
             {"tagger/raw-cnn-l", 1, 8, 65610, false},
             {"tagger/sample-cnn", 2, 8, 59049, false}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static double spec_att_flop(const et_tagger_config *c, double T)
{
    const double F = (double)c->bands, d = (double)c->width, L = T + 1;
    double first = 0;

    for (int i = 0; i < 2; i++) /* widths 7, 3, 1 of c, 2 c, 4 c channels: 17 c */
        first += 17.0 * (double)c->channels * (double)c->tall[i] * (F - (double)c->tall[i] + 1) * T;
    for (int i = 0; i < ET_TAGGER_HORIZONTAL; i++)
        first += (double)(c->channels << i) * (double)c->temporal[i] * T;
    const double rest = T * 29 * (double)c->channels * d +
                        (c->layers - 1) * L * (4 * d * d + 2 * d * (double)c->hidden + 2 * L * d) +
                        /* of the last layer one result is read; its heads look at the layer's input itself */
                        4 * d * d + 2 * d * (double)c->hidden + 2 * c->heads * L * d;
    return 3 * first + 3 * rest; /* the batch's norm wants their gradients */
}

static double raw_cnn_l_flop(const et_tagger_config *c, double samples)
{
    double n = samples / 3, in = (double)c->first, rest = 0;

    for (int i = 0; i < c->raw_blocks + c->long_blocks; i++, n /= 3) {
        const double out = (double)(i < c->raw_blocks ? c->raw_widths[i] : c->long_widths[i - c->raw_blocks]);
        rest += n * 3 * in * out;
        in = out;
    }
    return 2 * samples / 3 * 3 * (double)c->first + 3 * (rest + in * in);
}

static const struct tagger_case *find(const char *name)
{
    for (int i = 0; name && i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    return NULL;
}

typedef struct work {
    bench_model m;
    const struct tagger_case *c;
    et_tagger *model;
    et_tensor *x, *labels; /* the latter float32 [B, tags] */
    double flop;
} work;

static et_tensor *loss_of(void *user, et_tensor **logits)
{
    const work *w = user;

    if (w->c->mixed)
        et_mixed_begin();
    et_tensor *y = et_tagger_forward(w->model, w->x, NULL);
    if (w->c->mixed)
        et_mixed_end();
    if (logits)
        *logits = y;
    return et_bce_with_logits(y, w->labels, ET_REDUCE_MEAN);
}

static bool work_make(work *w, const struct tagger_case *c, int threads)
{
    et_rng rng = et_rng_make(1, 0);
    const et_tagger_config config = c->kind == 0   ? et_tagger_paper(ET_FRONT_SPEC, ET_BACK_ATT)
                                    : c->kind == 1 ? et_tagger_paper(ET_FRONT_RAW, ET_BACK_CNN_L)
                                                   : et_tagger_sample_cnn();

    *w = (work){.c = c, .m = {.loss = loss_of, .user = w, .threads = threads}};
    w->flop = 2 * (double)c->batch * (c->kind ? raw_cnn_l_flop(&config, (double)c->rows)
                                              : spec_att_flop(&config, (double)c->rows));
    if (!(w->model = et_tagger_new(NULL, NULL, &config, &rng)))
        return false;
    w->m.module = &w->model->module;
    w->m.optim = et_adam_new(w->m.module, 1e-4);
    w->x = c->kind ? et_empty(ET_F32, ET_SHAPE(c->batch, c->rows))
                   : et_empty(ET_F32, ET_SHAPE(c->batch, config.bands, c->rows));
    w->labels = et_empty(ET_F32, ET_SHAPE(c->batch, config.tags));
    float *y = w->labels ? et_data_mut(w->labels) : NULL;
    if (!w->m.optim || !w->x || !y || et_fill_normal(w->x, &rng, 0, 1))
        return false;
    for (int64_t i = 0; i < w->labels->numel; i++)
        y[i] = i * i % 7 == 1;
    return !et_error_status();
}

static void work_free(work *w)
{
    et_optim_free(w->m.optim);
    if (w->model)
        et_module_free(&w->model->module);
    et_free(w->x);
    et_free(w->labels);
}

bool bench_tagger_has(const char *model) { return find(model) != NULL; }

bool bench_tagger_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, find(o->model), o->threads);
    const et_named_tensor batch[] = {{"x", w.x}, {"labels", w.labels}};

    good = good && (!o->save || bench_model_save(&w.m, o->save, batch, 2)) && bench_model_serve(&w.m);
    work_free(&w);
    return good;
}

static bool measure(bench_report *r, const bench_options *o, const struct tagger_case *c)
{
    work w;
    const bool good = work_make(&w, c, o->threads) &&
                      bench_model_measure(r, o, &w.m, c->name, (double)c->batch, w.flop);

    work_free(&w);
    return good;
}

bool bench_tagger(bench_report *r, const bench_options *o)
{
    bool good = true;

    bench_table(r, "tagger",
                "Training steps of music taggers of the paper's sizes, batch 16 (Spec + Att) and 8\n"
                "(own: weights, gradients, moments, batch; beyond: the pool's peak without "
                "these)",
                bench_model_columns, BENCH_MODEL_COLUMNS);
    for (int i = 0; i < N_CASES && good; i++)
        if (bench_tagger_has(o->model) ? !strcmp(o->model, cases[i].name) : !o->brief || i == 0)
            good = measure(r, o, &cases[i]);
    bench_table_end(r);
    return good;
}
