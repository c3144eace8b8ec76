/* A small task to train on: two classes by the sign of a sum, learned with dropout, noise on the inputs and,
 * where that is asked for, made-up metrics. Used inside Check tests. */
#ifndef ETUDE_TESTS_TRAIN_TASK_H
#define ETUDE_TESTS_TRAIN_TASK_H

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "nn/dropout.h"
#include "nn/linear.h"
#include "nn/train.h"
#include "tests/files.h"
#include "tests/suite.h"

static inline void reset(void) { et_error_clear(); }

enum { ITEMS = 40, WIDTH = 6, BATCH = 8 };

typedef struct task {
    et_module *m;
    et_linear_layer *hidden, *out;
    et_dropout_layer *drop;
    et_optim *o;
    et_rng own; /* a generator of the task's: noise on the inputs */
    int32_t order[ITEMS];
    int64_t at, seed, fail_at, steps;
    et_tensor *x, *y;
    double metrics[8]; /* scripted, where not all 0 */
    int64_t n_metrics, validations;
    int64_t stop_at; /* interrupt before this step; -1: never */
} task;

static task *current; /* asked by `interrupted`, which has no argument */

static inline bool interrupted(void) { return current->stop_at >= 0 && current->steps >= current->stop_at; }

static inline void item(int64_t i, float *x, int32_t *y)
{
    float sum = 0;

    for (int k = 0; k < WIDTH; k++)
        sum += x[k] = (float)sin(1.7 * (double)(i * WIDTH + k) + 0.3);
    *y = sum > 0;
}

static inline et_status begin(void *user, int64_t epoch)
{
    task *t = user;
    et_rng rng = et_rng_make((uint64_t)t->seed, (uint64_t)epoch);

    for (int i = 0; i < ITEMS; i++)
        t->order[i] = i;
    et_shuffle(&rng, t->order, ITEMS);
    t->at = 0;
    return ET_OK;
}

static inline int64_t next(void *user)
{
    task *t = user;

    if (t->at + BATCH > ITEMS)
        return 0;
    t->x = et_empty(ET_F32, ET_SHAPE(BATCH, WIDTH));
    t->y = et_empty(ET_I32, ET_SHAPE(BATCH));
    if (!t->x || !t->y)
        return et_error_status();
    float *x = et_data_mut(t->x);
    for (int i = 0; i < BATCH; i++) {
        item(t->order[t->at + i], x + i * WIDTH, (int32_t *)et_data_mut(t->y) + i);
        for (int k = 0; k < WIDTH; k++)
            x[i * WIDTH + k] += 0.01f * (float)et_rng_normal(&t->own);
    }
    t->at += BATCH;
    t->steps++;
    return BATCH;
}

static inline et_tensor *logits(task *t, et_tensor *x)
{
    et_tensor *h = et_dropout_layer_forward(t->drop, et_linear_layer_forward_act(t->hidden, x, ET_ACT_TANH));

    return et_linear_layer_forward(t->out, h);
}

static inline et_tensor *loss(void *user)
{
    task *t = user;
    et_tensor *z = logits(t, t->x);

    if (t->fail_at && t->steps == t->fail_at) /* 0 / 0 */
        z = et_add(z, et_log(et_sub(et_mul_scalar(z, 0), et_ones(ET_F32, ET_SHAPE(1)))));
    return et_cross_entropy(z, t->y);
}

static inline et_status validate(void *user, double *metric)
{
    task *t = user;
    et_scope *s = et_scope_open();
    double sum = 0;

    if (!s)
        return et_error_status();
    ck_assert(!t->m->training && !et_grad_enabled());
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(ITEMS, WIDTH)), *y = et_empty(ET_I32, ET_SHAPE(ITEMS));
    if (x && y) {
        for (int i = 0; i < ITEMS; i++)
            item(1000 + i, (float *)et_data_mut(x) + i * WIDTH, (int32_t *)et_data_mut(y) + i);
        et_tensor *l = et_cross_entropy(logits(t, x), y);
        sum = l ? et_item(l) : 0;
    }
    *metric = t->n_metrics ? t->metrics[t->validations % t->n_metrics] : sum;
    t->validations++;
    et_scope_close(s);
    return et_error_status();
}

static inline bool task_make(task *t)
{
    et_rng rng = et_rng_make(9, 0);
    const et_optim_options adam = {.kind = ET_ADAMW, .lr = 0.02, .weight_decay = 0.01};

    *t = (task){.seed = 5, .stop_at = -1};
    current = t;
    t->own = et_rng_make(77, 1);
    t->m = et_module_new(sizeof *t->m, "Task", NULL, NULL);
    if (!t->m)
        return false;
    t->hidden = et_linear_layer_new(t->m, "hidden", WIDTH, 16, true, &rng);
    t->drop = et_dropout_layer_new(t->m, "drop", 0.2);
    t->out = et_linear_layer_new(t->m, "out", 16, 2, true, &rng);
    t->m = et_module_done(t->m);
    t->o = t->m ? et_optim_new(t->m, &adam, NULL, 0) : NULL;
    return t->o != NULL;
}

static inline void task_free(task *t)
{
    et_optim_free(t->o);
    et_module_free(t->m);
}

static inline et_train_task callbacks(task *t)
{
    return (et_train_task){.user = t, .begin = begin, .next = next, .loss = loss, .validate = validate};
}

/* Parameters, as one array. */
static inline et_tensor *weights(const task *t)
{
    const et_entry *e;
    et_tensor *all = et_zeros(ET_F32, ET_SHAPE(512));
    int64_t n = 0;

    for (int64_t i = 0; (e = et_module_entry(t->m, i)); i++) {
        memcpy((float *)et_data_mut(all) + n, et_data(e->tensor), (size_t)e->tensor->numel * 4);
        n += e->tensor->numel;
    }
    return all;
}

/* A tensor of a file. */
static inline et_tensor *stored(const char *path, const char *name)
{
    et_safetensors *f = et_safetensors_open(path);
    et_tensor *t = f ? et_safetensors_load(f, name) : NULL;

    ck_assert_msg(t, "%s: %s", path, et_error_message());
    et_safetensors_close(f);
    return t;
}

#endif
