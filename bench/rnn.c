/* Training steps of the recurrent classifier with attention: the figures, and the server
 * that bench/compare drives beside the peer. */
#include "config.h"

#include "bench/rnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "tensor/os.h"
#include "tensor/pool.h"
#include "tensor/safetensors.h"

static const bench_model_case cases[] = {
    {"gtzan/gru", ET_RNN_GRU, 57, 128, 128, 64, 10, 32, true},
    {"gtzan/lstm", ET_RNN_LSTM, 57, 128, 128, 64, 10, 32, false},
    {"gtzan/rnn", ET_RNN_TANH, 57, 128, 128, 64, 10, 32, false},
    {"long/gru", ET_RNN_GRU, 128, 64, 128, 128, 10, 32, false},
    {"long/lstm", ET_RNN_LSTM, 128, 64, 128, 128, 10, 32, false},
    {"long/rnn", ET_RNN_TANH, 128, 64, 128, 128, 10, 32, false},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static const bench_model_case *find(const char *name)
{
    for (int i = 0; name && i < N_CASES; i++)
        if (!strcmp(cases[i].name, name))
            return &cases[i];
    return NULL;
}

bool bench_rnn_has(const char *model) { return find(model) != NULL; }

/* What a peer needs to do the same work, and to show that it does: the weights, the batch,
 * the logits [B, K] and the losses of the first steps. The weights are trained on. */
static bool save(bench_trainer *t, const char *path)
{
    enum { MOST = 32, LOSSES = 5 };
    et_named_tensor out[MOST];
    double losses[LOSSES];
    int64_t n = 0, own;
    const et_entry *e;

    while ((e = et_module_entry(&t->model->module, n)) && n < MOST - 4) {
        out[n] = (et_named_tensor){e->name, et_clone(e->tensor)};
        n++;
    }
    et_scope *scope = et_scope_open();
    et_no_grad_begin();
    et_tensor *logits = et_scope_return(scope, et_rnn_attention_forward(t->model, t->x, NULL, NULL));
    et_no_grad_end();
    et_scope_close(scope);
    for (int i = 0; i < LOSSES; i++)
        losses[i] = bench_train_step(t, 1, NULL);
    out[n++] = (et_named_tensor){"logits", logits};
    out[n++] = (et_named_tensor){"losses", et_from(ET_F64, ET_SHAPE(LOSSES), losses)};
    own = n;
    out[n++] = (et_named_tensor){"x", t->x};
    out[n++] = (et_named_tensor){"labels", t->labels};
    if (!et_error_status())
        et_safetensors_write(path, out, n, NULL, 0);
    for (int64_t i = 0; i < own; i++)
        et_free((et_tensor *)(uintptr_t)out[i].tensor);
    return !et_error_status();
}

typedef struct served {
    bench_trainer *trainer;
    int threads;
} served;

static bool train(void *user)
{
    const served *s = user;

    return !isnan(bench_train_step(s->trainer, s->threads, NULL));
}

bool bench_rnn_serve(const bench_options *o)
{
    bench_trainer t = {0};
    bool good = bench_trainer_make(&t, find(o->model)) && (!o->save || save(&t, o->save)) &&
                bench_serve(train, &(served){&t, o->threads}, t.optim);

    bench_trainer_free(&t);
    return good;
}

static bool measure(bench_report *r, const bench_options *o, const bench_model_case *work)
{
    enum { PARTS = 4 };
    static bench_samples s[PARTS];
    bench_trainer t;
    bench_summary m[PARTS];
    et_pool_stats pool;
    bool good = bench_trainer_make(&t, work) && (!o->save || save(&t, o->save));

    for (int i = 0; i < 3 && good; i++)
        good = !isnan(bench_train_step(&t, o->threads, NULL));
    et_pool_reset_peak();
    for (int p = 0; p < PARTS; p++)
        s[p].n = 0;
    double end = et_os_seconds() + o->seconds, at[4];
    while (good && (s[0].n < 5 || et_os_seconds() < end) && s[0].n < BENCH_SAMPLES) {
        good = !isnan(bench_train_step(&t, o->threads, at));
        bench_add(&s[0], at[3] - at[0]);
        for (int p = 1; p < PARTS; p++)
            bench_add(&s[p], at[p] - at[p - 1]);
    }
    for (int p = 0; p < PARTS; p++)
        m[p] = bench_summarise(&s[p]);
    et_pool_get_stats(&pool);
    double rate = 1e-9 * bench_step_flop(work) / m[0].median;
    if (good)
        bench_row(r, work->name,
                  (double[]){1e3 * m[0].median, 1e3 * m[0].low, 1e3 * m[0].high, 1e3 * m[1].median,
                             1e3 * m[2].median, 1e3 * m[3].median, (double)work->batch / m[0].median, rate,
                             100 * rate / bench_peak(o->threads), (double)pool.peak / (1 << 20)});
    bench_trainer_free(&t);
    return good;
}

bool bench_rnn(bench_report *r, const bench_options *o)
{
    static const bench_column columns[] = {
        {"step ms", 3},   {"p10", 3},       {"p90", 3},     {"forward", 3},   {"backward", 3},
        {"optimiser", 3}, {"samples/s", 0}, {"GFLOP/s", 1}, {"% of peak", 1}, {"peak MiB", 1}};
    const bench_model_case *only = find(o->model);
    bool good = true;

    bench_table(r, "rnn",
                "Training step of the recurrent classifier with attention, batch 32, H 128, 10 classes\n"
                "(gtzan: 57 steps of 128 features, A 64; long: 128 steps of 64, A 128)",
                columns, 10);
    for (int i = 0; i < N_CASES && good; i++)
        if (only ? only == &cases[i] : !o->brief || cases[i].brief)
            good = measure(r, o, &cases[i]);
    bench_table_end(r);
    return good;
}
