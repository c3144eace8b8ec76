/* Models of pairs: training steps of the small CLAP and MuLan (32 pairs of S-XM's size), and one clip of 10 s
 * through the audio towers of the papers: HTS-AT, CNN14, ResNet-50, the compact rendition of MuLan. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "bench/model_step.h"
#include "models/clap.h"
#include "models/mulan.h"
#include "models/mulan_compact.h"
#include "tensor/alloc.h"
#include "tensor/os.h"

enum { PAIRS = 32, TOKENS = 14, SMALL_FRAMES = 64, SMALL_BANDS = 16 };

static const struct pair_case {
    const char *name;
    int64_t frames, bands; /* of the clip */
} cases[] = {
    {"pairs/clap-small", SMALL_FRAMES, SMALL_BANDS}, {"pairs/mulan-small", SMALL_FRAMES, SMALL_BANDS},
    {"pairs/htsat", 1001, 64}, {"pairs/cnn14", 1001, 64}, {"pairs/resnet50", 1000, 64},
    {"pairs/compact", 65, 1000},
};
enum { CLAP_SMALL, MULAN_SMALL, HTSAT, CNN14, RESNET, COMPACT, N_CASES };

typedef struct work {
    int number;
    et_module *module;
    et_clap *clap;
    et_mulan *mulan;
    et_htsat *htsat;
    et_cnn14 *cnn14;
    et_resnet *resnet;
    et_mulan_compact_model *compact;
    et_optim *optim;
    et_tensor *x, *ids;
    int threads;
} work;

static bool trains(const work *w) { return w->number <= MULAN_SMALL; }

static void make_model(work *w, et_rng *rng)
{
    et_clap_config clap = et_clap_small();
    et_mulan_config mulan = et_mulan_small();
    const et_htsat_config htsat = et_htsat_tiny();
    et_cnn14_config cnn14 = et_cnn14_base();
    const et_resnet_config resnet = et_resnet_50(1, 0);
    const et_mulan_compact_config compact = et_mulan_compact();

    clap.cnn14.classes = cnn14.classes = 0;
    if (w->number == CLAP_SMALL && (w->clap = et_clap_new(NULL, NULL, &clap, rng)))
        w->module = &w->clap->module;
    if (w->number == MULAN_SMALL && (w->mulan = et_mulan_new(NULL, NULL, &mulan, rng)))
        w->module = &w->mulan->module;
    if (w->number == HTSAT && (w->htsat = et_htsat_new(NULL, NULL, &htsat, rng)))
        w->module = &w->htsat->module;
    if (w->number == CNN14 && (w->cnn14 = et_cnn14_new(NULL, NULL, &cnn14, rng)))
        w->module = &w->cnn14->module;
    if (w->number == RESNET && (w->resnet = et_resnet_new(NULL, NULL, &resnet, rng)))
        w->module = &w->resnet->module;
    if (w->number == COMPACT && (w->compact = et_mulan_compact_new(NULL, NULL, &compact, rng)))
        w->module = &w->compact->module;
}

static bool work_make(work *w, const char *name, int threads)
{
    et_rng rng = et_rng_make(1, 0);

    *w = (work){.threads = threads};
    while (strcmp(cases[w->number].name, name) != 0)
        w->number++;
    make_model(w, &rng);
    const int64_t B = trains(w) ? PAIRS : 1;
    w->x = et_empty(ET_F32, ET_SHAPE(B, cases[w->number].frames, cases[w->number].bands));
    w->ids = et_empty(ET_I32, ET_SHAPE(B, TOKENS));
    if (!w->module || !w->x || !w->ids)
        return false;
    et_fill_normal(w->x, &rng, 0, 1);
    for (int64_t i = 0; i < w->ids->numel; i++)
        ((int32_t *)et_data_mut(w->ids))[i] = (int32_t)et_rng_below(&rng, 32);
    if (trains(w))
        w->optim = et_adam_new(w->module, 1e-3);
    else
        et_module_eval(w->module);
    return !et_error_status();
}

static void work_free(work *w)
{
    et_optim_free(w->optim);
    if (w->module)
        et_module_free(w->module);
    et_free(w->x);
    et_free(w->ids);
}

static et_tensor *sound(const work *w)
{
    switch (w->number) {
    case CLAP_SMALL:
        return et_clap_audio(w->clap, w->x, NULL);
    case MULAN_SMALL:
        return et_mulan_audio(w->mulan, w->x);
    case HTSAT:
        return et_htsat_forward(w->htsat, w->x, NULL);
    case CNN14:
        return et_cnn14_forward(w->cnn14, w->x);
    case RESNET:
        return et_resnet_forward(w->resnet, et_unsqueeze(w->x, 1));
    default:
        return et_mulan_compact_audio(w->compact, w->x);
    }
}

static et_tensor *loss(void *user, et_tensor **logits)
{
    const work *w = user;
    et_tensor *g = sound(w);
    et_tensor *f = w->clap ? et_clap_text(w->clap, w->ids, NULL) : et_mulan_text(w->mulan, w->ids, NULL);

    if (logits)
        *logits = g;
    return w->clap ? et_clap_pair_loss(w->clap, f, g) : et_mulan_pair_loss(w->mulan, f, g);
}

static bool forward(void *user)
{
    et_scope *scope = et_scope_open();

    et_no_grad_begin();
    const bool good = sound(user) != NULL;
    et_no_grad_end();
    et_scope_close(scope);
    return good;
}

/* The weights, the clip and the tower's answer. */
static bool save(const work *w, const char *path)
{
    const int64_t most = et_module_n_entries(w->module) + 2;
    et_named_tensor *out = et_alloc((size_t)most * sizeof *out);
    int64_t n = 0;

    if (!out)
        return false;
    for (; n < most - 2; n++)
        out[n] = (et_named_tensor){et_module_entry(w->module, n)->name,
                                   et_module_entry(w->module, n)->tensor};
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    out[n++] = (et_named_tensor){"answer", et_contiguous(sound(w))};
    out[n++] = (et_named_tensor){"x", w->x};
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    et_no_grad_end();
    et_scope_close(scope);
    et_dealloc(out);
    return !et_error_status();
}

static bench_model model_of(work *w)
{
    return (bench_model){.module = w->module, .optim = w->optim, .loss = loss, .user = w,
                         .threads = w->threads};
}

bool bench_pairs_has(const char *model)
{
    for (int i = 0; model && i < N_CASES; i++)
        if (!strcmp(cases[i].name, model))
            return true;
    return false;
}

bool bench_pairs_serve(const bench_options *o)
{
    work w;
    bool good = work_make(&w, o->model, o->threads);
    const bench_model m = model_of(&w);

    if (trains(&w)) {
        const et_named_tensor batch[] = {{"x", w.x}, {"ids", w.ids}};
        good = good && (!o->save || bench_model_save(&m, o->save, batch, 2)) && bench_model_serve(&m);
    } else {
        good = good && (!o->save || save(&w, o->save)) && bench_serve(forward, &w, NULL);
    }
    work_free(&w);
    return good;
}

bool bench_pairs(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {{"step ms", 2}, {"p10", 2}, {"p90", 2}};
    static bench_samples s;
    bool good = true;

    bench_table(r, "pairs", "Training steps of 32 pairs (small), one clip of 10 s through audio towers",
                columns, 3);
    for (int i = 0; i < N_CASES && good; i++) {
        work w;
        if (bench_pairs_has(o->model) ? strcmp(o->model, cases[i].name) != 0 : o->brief && i > MULAN_SMALL)
            continue;
        good = work_make(&w, cases[i].name, o->threads);
        const bench_model m = model_of(&w);
        s.n = 0;
        for (double end = et_os_seconds() + o->seconds; good && (s.n < 3 || et_os_seconds() < end) &&
             s.n < BENCH_SAMPLES;) {
            const double begin = bench_clock(o->threads);
            good = trains(&w) ? !isnan(bench_model_step(&m, NULL)) : forward(&w);
            bench_add(&s, bench_clock(o->threads) - begin);
        }
        if (good) {
            const bench_summary b = bench_summarise(&s);
            bench_row(r, cases[i].name, (double[]){1e3 * b.median, 1e3 * b.low, 1e3 * b.high});
        }
        work_free(&w);
    }
    bench_table_end(r);
    return good;
}
