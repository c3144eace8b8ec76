/* The training step that "rnn" and "steady" measure. */
#include "config.h"

#include "bench/rnn.h"

#include <math.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/rng.h"

bool bench_trainer_make(bench_trainer *t, const bench_model_case *work)
{
    const bench_model_case *w = work;
    et_rng rng = et_rng_make(1, 0);

    *t = (bench_trainer){.work = work};
    t->model = et_rnn_attention_new(NULL, NULL,
                                    &(et_rnn_attention_config){.features = w->features,
                                                               .hidden = w->hidden,
                                                               .attention = w->attention,
                                                               .classes = w->classes,
                                                               .cell = w->cell},
                                    &rng);
    t->optim = t->model ? et_adam_new(&t->model->module, 1e-3) : NULL;
    t->x = et_empty(ET_F32, ET_SHAPE(w->batch, w->steps, w->features));
    t->labels = et_empty(ET_I32, ET_SHAPE(w->batch));
    if (!t->optim || !t->x || !t->labels || et_fill_normal(t->x, &rng, 0, 1))
        return false;
    for (int64_t b = 0; b < w->batch; b++)
        et_set(t->labels, &b, (double)(b % w->classes));
    return !et_error_status();
}

void bench_trainer_free(bench_trainer *t)
{
    et_optim_free(t->optim);
    if (t->model)
        et_module_free(&t->model->module);
    et_free(t->x);
    et_free(t->labels);
}

double bench_train_step(bench_trainer *t, int threads, double at[4])
{
    double unused[4], loss = NAN;

    at = at ? at : unused;
    at[0] = bench_clock(threads);
    et_scope *step = et_scope_open();
    et_tensor *l = et_cross_entropy(et_rnn_attention_forward(t->model, t->x, NULL, NULL), t->labels);
    at[1] = bench_clock(threads);
    et_backward(l);
    at[2] = bench_clock(threads);
    if (et_optim_step_zero(t->optim, 1.0, NULL) == ET_OK)
        loss = et_item(l);
    et_scope_close(step);
    at[3] = bench_clock(threads);
    return loss;
}

double bench_step_flop(const bench_model_case *w)
{
    double gates = w->cell == ET_RNN_GRU ? 3 : w->cell == ET_RNN_LSTM ? 4 : 1;
    double rows = 2.0 * (double)(w->steps * w->batch), h = (double)w->hidden;

    /* The input needs no gradient: two products of that size, not three. */
    return rows * (2 * gates * h * (double)w->features + 3 * gates * h * h + 3 * h * (double)w->attention);
}
