#include "config.h"

#include "bench/model_step.h"

#include <math.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/os.h"
#include "tensor/pool.h"


enum { PARTS = 4 };

const bench_column bench_model_columns[BENCH_MODEL_COLUMNS] = {
    {"step ms", 1}, {"forward", 1}, {"backward", 1}, {"optimiser", 1}, {"items/s", 1},
    {"GFLOP/s", 1}, {"% of peak", 1}, {"own MiB", 1}, {"beyond", 1}};

double bench_model_step(const bench_model *m, double at[4])
{
    double unused[PARTS], loss = NAN;

    at = at ? at : unused;
    at[0] = bench_clock(m->threads);
    et_scope *scope = et_scope_open();
    et_tensor *l = m->loss(m->user, NULL);
    at[1] = bench_clock(m->threads);
    et_backward(l);
    at[2] = bench_clock(m->threads);
    if (et_optim_step_zero(m->optim, m->clip, NULL) == ET_OK)
        loss = et_item(l);
    et_scope_close(scope);
    at[3] = bench_clock(m->threads);
    return loss;
}

bool bench_model_save(const bench_model *m, const char *path, const et_named_tensor *more, int count)
{
    enum { MOST = 256, STEPS = 3 };
    et_named_tensor out[MOST];
    et_tensor *logits = NULL;
    double losses[STEPS];
    int64_t n = 0, own;
    const et_entry *e;

    et_module_eval(m->module);
    while ((e = et_module_entry(m->module, n)) && n < MOST - 2 - count) {
        out[n] = (et_named_tensor){e->name, et_clone(e->tensor)};
        n++;
    }
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    m->loss(m->user, &logits);
    logits = et_scope_return(scope, et_contiguous(logits));
    et_no_grad_end();
    et_scope_close(scope);
    for (int i = 0; i < STEPS; i++)
        losses[i] = bench_model_step(m, NULL);
    et_module_train(m->module);
    out[n++] = (et_named_tensor){"logits", logits};
    out[n++] = (et_named_tensor){"losses", et_from(ET_F64, ET_SHAPE(STEPS), losses)};
    own = n;
    for (int i = 0; i < count; i++)
        out[n++] = more[i];
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    for (int64_t i = 0; i < own; i++)
        et_free((et_tensor *)(uintptr_t)out[i].tensor);
    return !et_error_status();
}

static bool train(void *user) { return !isnan(bench_model_step(user, NULL)); }

bool bench_model_serve(const bench_model *m) { return bench_serve(train, (void *)(uintptr_t)m, m->optim); }

bool bench_model_measure(bench_report *r, const bench_options *o, const bench_model *model, const char *name,
                         double items, double flop)
{
    static bench_samples s[PARTS];
    bench_summary m[PARTS];
    et_pool_stats pool;
    double at[PARTS];
    bool good = true;

    const double own = bench_at_rest(model->optim); /* weights, gradients, moments, batch */
    for (int i = 0; i < 2 && good; i++)
        good = !isnan(bench_model_step(model, NULL));
    et_pool_reset_peak();
    for (int p = 0; p < PARTS; p++)
        s[p].n = 0;
    for (double end = et_os_seconds() + o->seconds; good && (s[0].n < 3 || et_os_seconds() < end) &&
                                                    s[0].n < BENCH_SAMPLES;) {
        good = !isnan(bench_model_step(model, at));
        bench_add(&s[0], at[3] - at[0]);
        for (int p = 1; p < PARTS; p++)
            bench_add(&s[p], at[p] - at[p - 1]);
    }
    if (!good)
        return false;
    for (int p = 0; p < PARTS; p++)
        m[p] = bench_summarise(&s[p]);
    et_pool_get_stats(&pool);
    const double rate = 1e-9 * flop / m[0].median;
    bench_row(r, name, (double[]){1e3 * m[0].median, 1e3 * m[1].median, 1e3 * m[2].median, 1e3 * m[3].median,
                                  items / m[0].median, rate, 100 * rate / bench_peak(o->threads),
                                  own / (1 << 20), ((double)pool.peak - own) / (1 << 20)});
    return true;
}
