/* Training: schedules, early stopping, checkpoints, the loop; a resumed run has the bits of
 * one that was not interrupted. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "nn/dropout.h"
#include "nn/linear.h"
#include "nn/train.h"
#include "tensor/parallel.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static void reset(void) { et_error_clear(); }

/* --- schedules and early stopping ----------------------------------------------------------- */

START_TEST(schedules)
{
    const et_schedule step = {.kind = ET_SCHEDULE_STEP, .lr = 2, .gamma = 0.5, .every = 3};
    const et_schedule expo = {.kind = ET_SCHEDULE_EXPONENTIAL, .lr = 2, .gamma = 0.9};
    const et_schedule noam = {.kind = ET_SCHEDULE_NOAM, .lr = 1, .width = 64, .warmup = 4};
    const et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = 8, .warmup = 4, .total = 12};
    const et_schedule flat = {.kind = ET_SCHEDULE_CONSTANT, .lr = 0.1};

    ck_assert_double_eq(et_schedule_lr(&flat, 1000), 0.1);
    ck_assert_double_eq(et_schedule_lr(&step, 2), 2);
    ck_assert_double_eq(et_schedule_lr(&step, 6), 0.5);
    ck_assert_double_eq_tol(et_schedule_lr(&expo, 2), 1.62, 1e-15);
    const et_schedule floored = {.kind = ET_SCHEDULE_EXPONENTIAL, .lr = 2, .gamma = 0.9, .least = 1.7};
    ck_assert_double_eq_tol(et_schedule_lr(&floored, 1), 1.8, 1e-15);
    ck_assert_double_eq(et_schedule_lr(&floored, 2), 1.7);
    ck_assert_double_eq(et_schedule_lr(&(et_schedule){.kind = ET_SCHEDULE_STEP, .lr = 2, .gamma = 0.5, .every = 3,
                                                      .least = 0.75}, 6), 0.75);
    fails(et_schedule_check(&(et_schedule){.lr = 1, .least = 2}), ET_EINVAL, "least rate");
    fails(et_schedule_check(&(et_schedule){.lr = 1, .least = -1}), ET_EINVAL, "least rate");
    ck_assert_double_eq_tol(et_schedule_lr(&noam, 0), 1.0 / 64, 1e-15);  /* 1/8 * 1/8 */
    ck_assert_double_eq_tol(et_schedule_lr(&noam, 3), 1.0 / 16, 1e-15);  /* the peak: 1/8 * 1/2 */
    ck_assert_double_eq_tol(et_schedule_lr(&noam, 15), 1.0 / 32, 1e-15); /* 1/8 * 1/4 */
    ck_assert_double_eq(et_schedule_lr(&cosine, 0), 2);
    ck_assert_double_eq(et_schedule_lr(&cosine, 3), 8);
    ck_assert_double_eq(et_schedule_lr(&cosine, 4), 8);
    ck_assert_double_eq_tol(et_schedule_lr(&cosine, 8), 4, 1e-12);
    ck_assert_double_eq(et_schedule_lr(&cosine, 12), 0);
    ck_assert_double_eq(et_schedule_lr(&cosine, 99), 0);
    ck_assert(isnan(et_schedule_lr(&cosine, -1)));
    fails(et_schedule_check(&(et_schedule){.kind = ET_SCHEDULE_STEP, .gamma = 1}), ET_EINVAL, "every");
    fails(et_schedule_check(&(et_schedule){.kind = ET_SCHEDULE_EXPONENTIAL}), ET_EINVAL, "gamma");
    fails(et_schedule_check(&(et_schedule){.kind = ET_SCHEDULE_NOAM, .width = 1}), ET_EINVAL, "warm-up");
    fails(et_schedule_check(&(et_schedule){.kind = ET_SCHEDULE_WARMUP_COSINE, .warmup = 3, .total = 3}),
          ET_EINVAL, "warm-up");
    fails(et_schedule_check(&(et_schedule){.lr = NAN}), ET_EINVAL, "rate");
    fails(et_schedule_check(NULL), ET_EINVAL, "NULL");
}
END_TEST

/* Golden values of another program, with ten decimals. */
START_TEST(kl_weights)
{
    ck_assert_double_eq_tol(et_kl_weight(1800, 0), 0.0005552471, 6e-11);
    ck_assert_double_eq_tol(et_kl_weight(1800, 1800), 0.0015078794, 6e-11);
    ck_assert_double_eq_tol(et_kl_weight(1800, 13492), 0.5000034029, 6e-11);
    ck_assert_double_eq_tol(et_kl_weight(1800, 30000), 0.9998960113, 6e-11);
    ck_assert_double_eq(et_kl_weight(1800, INT64_MAX), 1);
    ck_assert(isnan(et_kl_weight(0, 1)) && isnan(et_kl_weight(1, -1)));
}
END_TEST

START_TEST(early_stopping)
{
    et_early_stop s = et_early_stop_make(false, 2, 0.1);

    ck_assert(!et_early_stop_update(&s, 0, NAN));
    ck_assert(et_early_stop_update(&s, 1, 5));
    ck_assert(!et_early_stop_update(&s, 2, 4.95)); /* less than min_delta */
    ck_assert(!et_early_stop_done(&s));
    ck_assert(et_early_stop_update(&s, 3, 4.5));
    ck_assert(!et_early_stop_update(&s, 4, NAN) && !et_early_stop_update(&s, 5, 6));
    ck_assert(et_early_stop_done(&s));
    ck_assert(s.best == 4.5 && s.best_epoch == 3);
    s = et_early_stop_make(true, 0, 0);
    ck_assert(et_early_stop_update(&s, 0, 1) && !et_early_stop_update(&s, 1, 1) &&
              et_early_stop_update(&s, 2, 2));
    s.waited = 100;
    ck_assert(!et_early_stop_done(&s));
}
END_TEST

/* --- a small task: two classes by the sign of a sum, learned with dropout --------------------- */

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

static bool interrupted(void) { return current->stop_at >= 0 && current->steps >= current->stop_at; }

static void item(int64_t i, float *x, int32_t *y)
{
    float sum = 0;

    for (int k = 0; k < WIDTH; k++)
        sum += x[k] = (float)sin(1.7 * (double)(i * WIDTH + k) + 0.3);
    *y = sum > 0;
}

static et_status begin(void *user, int64_t epoch)
{
    task *t = user;
    et_rng rng = et_rng_make((uint64_t)t->seed, (uint64_t)epoch);

    for (int i = 0; i < ITEMS; i++)
        t->order[i] = i;
    et_shuffle(&rng, t->order, ITEMS);
    t->at = 0;
    return ET_OK;
}

static int64_t next(void *user)
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

static et_tensor *logits(task *t, et_tensor *x)
{
    et_tensor *h = et_dropout_layer_forward(t->drop, et_linear_layer_forward_act(t->hidden, x, ET_ACT_TANH));

    return et_linear_layer_forward(t->out, h);
}

static et_tensor *loss(void *user)
{
    task *t = user;
    et_tensor *z = logits(t, t->x);

    if (t->fail_at && t->steps == t->fail_at) /* 0 / 0 */
        z = et_add(z, et_log(et_sub(et_mul_scalar(z, 0), et_ones(ET_F32, ET_SHAPE(1)))));
    return et_cross_entropy(z, t->y);
}

static et_status validate(void *user, double *metric)
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

static bool task_make(task *t)
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

static void task_free(task *t)
{
    et_optim_free(t->o);
    et_module_free(t->m);
}

static et_train_task callbacks(task *t)
{
    return (et_train_task){.user = t, .begin = begin, .next = next, .loss = loss, .validate = validate};
}

/* Parameters, as one array. */
static et_tensor *weights(const task *t)
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

/* Runs a fresh task from files (or anew) to `epochs`; its weights. */
static et_tensor *train(const char *name, int64_t epochs, bool resume, int64_t stop_at,
                        et_train_result *result)
{
    const et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = 0.03, .warmup = 5, .total = 40};
    char last[600], best[600];
    task t;

    ck_assert(task_make(&t));
    t.stop_at = stop_at;
    snprintf(last, sizeof last, "%s.ckpt", name);
    snprintf(best, sizeof best, "%s.safetensors", name);
    et_named_rng own = {"noise", &t.own};
    const et_metadata sizes = {"hidden", "16"};
    et_train_options p = {.epochs = epochs,
                          .clip = 0.5,
                          .schedule = &cosine,
                          .seed = 3,
                          .resume = resume,
                          .last_path = last,
                          .best_path = best,
                          .rngs = &own,
                          .n_rngs = 1,
                          .interrupted = interrupted,
                          .metadata = &sizes,
                          .n_metadata = 1};
    et_train_task calls = callbacks(&t);
    ck_assert_msg(et_train_run(t.m, t.o, &calls, &p, result) == ET_OK, "%s", et_error_message());
    et_tensor *w = weights(&t);
    task_free(&t);
    return w;
}

START_TEST(learns)
{
    et_train_result r;
    task t;

    ck_assert(task_make(&t));
    et_train_task calls = callbacks(&t);
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &(et_train_options){.epochs = 60, .seed = 1}, &r), ET_OK);
    ck_assert_int_eq(r.epochs, 60);
    ck_assert_int_eq(r.steps, 300);
    ck_assert(r.best < 0.25 && r.best_epoch > 5);
    ck_assert(!t.m->training);
    task_free(&t);
}
END_TEST

/* Going on after whole epochs, and after an interruption amid one (_i = 1), ends with the same
 * bits; so does any number of threads. */
START_TEST(resuming)
{
    et_train_result a, b;

    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    et_tensor *want = train(in_dir("whole"), 6, false, -1, &a);
    ck_assert_int_eq(et_set_num_threads(3), ET_OK);
    if (_i) {
        et_free(train(in_dir("parts"), 6, false, 17, &b));
        ck_assert(b.interrupted && b.epochs == 3);
    } else {
        et_free(train(in_dir("parts"), 3, false, -1, &b));
    }
    et_tensor *got = train(in_dir("parts"), 6, true, -1, &b);
    ck_assert(et_equal(got, want));
    ck_assert_int_eq(b.first_epoch, 3);
    ck_assert(a.best == b.best && a.best_epoch == b.best_epoch && a.loss == b.loss && a.steps == b.steps);
    et_free(got);
    /* A finished run that is resumed does nothing. */
    got = train(in_dir("parts"), 6, true, -1, &b);
    ck_assert(et_equal(got, want) && b.first_epoch == 6 && b.steps == a.steps);
    et_free(got);
    et_free(want);
}
END_TEST

/* A tensor of a file. */
static et_tensor *stored(const char *path, const char *name)
{
    et_safetensors *f = et_safetensors_open(path);
    et_tensor *t = f ? et_safetensors_load(f, name) : NULL;

    ck_assert_msg(t, "%s: %s", path, et_error_message());
    et_safetensors_close(f);
    return t;
}

/* Phases: Adam for two epochs, SGD from the best weights; a resumed run has the bits of one that was not interrupted.
 * _i: the epochs before the interruption. */
enum { PHASED = 7 };

static const et_train_phase phases[] = {
    {.epochs = 2, .optim = {.kind = ET_ADAM, .lr = 0.05}},
    {.epochs = 2, .optim = {.kind = ET_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-4}},
    {.epochs = 1, .optim = {.kind = ET_SWATS, .lr = 0.01, .switch_eps = 1}},
};

static int seen_phases[8];
static double seen_rates[8];

static et_status note_phase(void *user, const et_train_event *e)
{
    (void)user;
    if (e->epoch_ended) {
        seen_phases[e->epoch] = e->phase;
        seen_rates[e->epoch] = e->lr;
    }
    return ET_OK;
}

static et_tensor *train_phases(const char *name, int64_t epochs, bool resume)
{
    char last[600], best[600];
    task t;

    ck_assert(task_make(&t));
    /* the first epoch is the best: what follows begins there */
    memcpy(t.metrics, (const double[]){1, 2, 3, 4, 5, 6, 7}, PHASED * sizeof *t.metrics);
    t.n_metrics = 7;
    snprintf(last, sizeof last, "%s.ckpt", name);
    snprintf(best, sizeof best, "%s.safetensors", name);
    et_named_rng own = {"noise", &t.own};
    et_train_options p = {.epochs = epochs, .seed = 3, .resume = resume, .last_path = last, .best_path = best,
                          .phases = phases, .n_phases = 3, .rngs = &own, .n_rngs = 1, .report = note_phase};
    et_train_task calls = callbacks(&t);
    ck_assert_msg(et_train_run(t.m, t.o, &calls, &p, NULL) == ET_OK, "%s", et_error_message());
    task_free(&t);
    return stored(last, "model.out.weight");
}

START_TEST(phased)
{
    const int want[PHASED] = {0, 0, 1, 1, 2, 2, 2};

    et_tensor *whole = train_phases(in_dir("phases"), PHASED, false);
    for (int e = 0; e < PHASED; e++) {
        ck_assert_int_eq(seen_phases[e], want[e]);
        ck_assert_double_eq(seen_rates[e], phases[want[e]].optim.lr);
    }
    et_free(train_phases(in_dir("parts"), _i, false));
    et_tensor *parts = train_phases(in_dir("parts"), PHASED, true);
    ck_assert(et_equal(whole, parts));
    et_free(whole);
    et_free(parts);
}
END_TEST

/* A rate of zero changes nothing: after the second phase the model is that of the best epoch. */
START_TEST(phases_begin_with_the_best)
{
    const et_train_phase still[] = {{.epochs = 3, .optim = {.kind = ET_ADAM, .lr = 0.05}},
                                    {.epochs = 1, .optim = {.kind = ET_SGD, .lr = 0}}};
    et_train_options p = {.epochs = 4, .seed = 3, .phases = still, .n_phases = 2, .last_path = in_dir("still.ckpt"),
                          .best_path = in_dir("still.safetensors")};
    task t;

    ck_assert(task_make(&t));
    memcpy(t.metrics, (const double[]){3, 1, 2, 4}, 4 * sizeof *t.metrics);
    t.n_metrics = 4;
    et_train_task calls = callbacks(&t);
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_OK);
    et_tensor *best = stored(p.best_path, "out.weight");
    et_tensor *last = stored(p.last_path, "model.out.weight");
    ck_assert(et_equal(best, last));
    et_free(best), et_free(last);
    p.schedule = &(et_schedule){.lr = 1};
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_EINVAL, "no schedule");
    p.schedule = NULL, p.n_phases = 0;
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_EINVAL, "no phases");
    p.phases = &(et_train_phase){.epochs = 0}, p.n_phases = 1;
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_EINVAL, "has no epochs");
    task_free(&t);
}
END_TEST

/* Phases that end when nothing improves; the last one ends the run. _i: the epochs before an interruption. */
START_TEST(phases_with_patience)
{
    static const et_train_phase waiting[] = {{20, {.kind = ET_ADAM, .lr = 0.05}, 2},
                                             {20, {.kind = ET_SGD, .lr = 0.1, .momentum = 0.9}, 2},
                                             {20, {.kind = ET_SGD, .lr = 0.02}, 1}};
    const double metrics[] = {5, 4, 6, 6, 3, 7, 7, 8};
    const int want[] = {0, 0, 0, 0, 1, 1, 1, 2};
    et_train_options p = {.epochs = 30, .seed = 3, .phases = waiting, .n_phases = 3, .report = note_phase};
    et_tensor *last[2];
    et_train_result r;

    for (int part = 0; part < 2; part++) {
        p.last_path = part ? in_dir("patient.ckpt") : in_dir("whole.ckpt");
        p.best_path = part ? in_dir("patient.safetensors") : in_dir("whole.safetensors");
        p.resume = false;
        for (int half = !part; half < 2; half++) {
            task t;
            ck_assert(task_make(&t));
            memcpy(t.metrics, metrics, sizeof metrics);
            t.n_metrics = 8;
            et_named_rng own = {"noise", &t.own};
            p.rngs = &own, p.n_rngs = 1;
            p.epochs = half ? 30 : _i;
            t.validations = part && half ? _i : 0;
            et_train_task calls = callbacks(&t);
            ck_assert_msg(et_train_run(t.m, t.o, &calls, &p, &r) == ET_OK, "%s", et_error_message());
            p.resume = true;
            if (half) {
                ck_assert(r.early && r.epochs == 8 && r.best_epoch == 4);
                for (int e = part ? _i : 0; e < 8; e++)
                    ck_assert_int_eq(seen_phases[e], want[e]);
            }
            if (half && !part) { /* nothing is left to do */
                ck_assert(et_train_run(t.m, t.o, &calls, &p, &r) == ET_OK && r.epochs == 8 && r.first_epoch == 8);
                p.n_phases = 2;
                fails(et_train_run(t.m, t.o, &calls, &p, &r), ET_EINVAL, "of phase 3 of 2");
                p.n_phases = 3;
                calls.validate = NULL;
                fails(et_train_run(t.m, t.o, &calls, &p, &r), ET_EINVAL, "phase 1: patience");
            }
            task_free(&t);
        }
        last[part] = stored(p.last_path, "model.out.weight");
    }
    ck_assert(et_equal(last[0], last[1]));
    et_free(last[0]), et_free(last[1]);
}
END_TEST

static et_status end_in_fourth_epoch(void *user, const et_train_event *e)
{
    (void)user;
    return e->epoch_ended && e->epoch == 3 ? et_raise(ET_EIO, "the end") : ET_OK;
}

/* A run that ends by force between its checkpoint and the best weights, or before either: what is there is enough. */
START_TEST(best_of_a_killed_run)
{
    static const double falling[] = {8, 7, 6, 5, 4, 3, 2, 1};
    et_train_options p = {.epochs = 3, .seed = 3, .last_path = in_dir("kill.ckpt"), .best_path = in_dir("kill.best")};
    et_tensor *want[2];
    task t;

    ck_assert(task_make(&t));
    memcpy(t.metrics, falling, sizeof falling);
    t.n_metrics = 8;
    et_train_task calls = callbacks(&t);
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_OK);
    want[0] = stored(p.best_path, "out.weight");
    ck_assert_int_eq(remove(p.best_path), 0); /* the third epoch's were not written any more */
    p.resume = true;
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_OK);
    want[1] = stored(p.best_path, "out.weight");
    ck_assert(et_equal(want[0], want[1]));
    et_free(want[1]);
    p.epochs = 5; /* no epoch is better: the file stays */
    p.epochs = 5;
    p.report = end_in_fourth_epoch; /* whose checkpoint is not written, either */
    t.validations = 3;
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_EIO);
    et_error_clear();
    want[1] = stored(p.best_path, "out.weight");
    ck_assert(et_equal(want[0], want[1]));
    et_free(want[0]), et_free(want[1]);
    task_free(&t);
}
END_TEST

START_TEST(patience)
{
    et_train_result r;
    task t;

    ck_assert(task_make(&t));
    memcpy(t.metrics, (const double[]){1, 3, 2, 2.5, 9}, 5 * sizeof *t.metrics);
    t.n_metrics = 5;
    et_train_task calls = callbacks(&t);
    et_train_options p = {.epochs = 50, .maximise = true, .patience = 2, .seed = 1};
    if (_i) { /* the best weights are kept in a file, not in memory */
        p.best_path = in_dir("best.safetensors");
        p.last_path = in_dir("last.ckpt");
    }
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, &r), ET_OK);
    ck_assert(r.early && r.epochs == 4 && r.best == 3 && r.best_epoch == 1);
    et_tensor *w = weights(&t); /* those of the second epoch */
    task_free(&t);
    ck_assert(task_make(&t));
    calls = callbacks(&t);
    calls.validate = NULL;
    p = (et_train_options){.epochs = 2, .seed = 1};
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, &r), ET_OK);
    et_tensor *second = weights(&t);
    ck_assert(et_equal(w, second));
    et_free(w);
    et_free(second);
    task_free(&t);
}
END_TEST

/* A NaN stops the run with the step and the op; the files stay. */
START_TEST(not_finite)
{
    task t;
    size_t before_size, after_size;
    const char *last = in_dir("last.ckpt"), *best = in_dir("best.safetensors");

    ck_assert(task_make(&t));
    et_train_task calls = callbacks(&t);
    et_train_options p = {.epochs = 2, .clip = 1, .last_path = last, .best_path = best};
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_OK);
    unsigned char *before = get_file(last, &before_size);
    p.epochs = 5, p.resume = true;
    t.fail_at = t.steps + 3;
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_ENONFINITE);
    ck_assert_msg(strstr(et_error_message(), "epoch 3, step 13") && strstr(et_error_message(), "log"), "%s",
                  et_error_message());
    ck_assert(!et_anomaly());
    unsigned char *after = get_file(last, &after_size);
    ck_assert(before_size == after_size && memcmp(before, after, after_size) == 0);
    /* And nothing is written while the error is pending. */
    ck_assert_int_eq(et_checkpoint_save(&(et_checkpoint_state){.module = t.m}, last), ET_ENONFINITE);
    free(before);
    free(after);
    et_error_clear();
    task_free(&t);
}
END_TEST

/* After the first steps nothing more is asked of the system. */
static et_status watch(void *user, const et_train_event *e)
{
    uint64_t *seen = user;
    et_pool_stats s;

    et_pool_get_stats(&s);
    if (e->step <= 3)
        *seen = s.system_allocs;
    else if (s.hits > 0) /* without regions (sanitizers) every block is asked for anew */
        ck_assert_msg(s.system_allocs == *seen, "step %d asked the system for memory", (int)e->step);
    return e->step == 9 ? et_raise(ET_EIO, "the log is full") : ET_OK;
}

START_TEST(steady)
{
    uint64_t seen = 0;
    task t;

    ck_assert(task_make(&t));
    et_train_task calls = callbacks(&t);
    calls.validate = NULL;
    et_train_options p = {.epochs = 4, .clip = 1, .report = watch, .report_user = &seen};
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_EIO, "the log is full");
    task_free(&t);
}
END_TEST

/* Functions of the task that come back early, with a scope open: each says so, and the thread is
 * as it was. */
static int left_open; /* which of them does: 1 begin, 2 next, 3 loss, 4 validate, 5 report */

static void leave(int which)
{
    if (left_open == which) {
        ck_assert_ptr_nonnull(et_scope_open());
        ck_assert_ptr_nonnull(et_scope_open());
    }
}

static et_status leaving_begin(void *user, int64_t epoch)
{
    leave(1);
    return begin(user, epoch);
}

static int64_t leaving_next(void *user)
{
    int64_t n = next(user);

    leave(2);
    return n;
}

static et_tensor *leaving_loss(void *user)
{
    leave(3);
    return loss(user);
}

static et_status leaving_validate(void *user, double *metric)
{
    et_status status = validate(user, metric);

    leave(4);
    return status;
}

static et_status leaving_report(void *user, const et_train_event *e)
{
    (void)user;
    (void)e;
    leave(5);
    return ET_OK;
}

START_TEST(scopes_left_open)
{
    static const char *const names[] = {"begin", "batch", "loss", "validation", "report"};
    char want[96];
    task t;

    ck_assert(task_make(&t));
    const et_train_task calls = {.user = &t, .begin = leaving_begin, .next = leaving_next, .loss = leaving_loss,
                                 .validate = leaving_validate};
    const et_train_options p = {.epochs = 1, .report = leaving_report};
    left_open = 0;
    ck_assert_int_eq(et_train_run(t.m, t.o, &calls, &p, NULL), ET_OK);
    for (left_open = 1; left_open <= 5; left_open++) {
        snprintf(want, sizeof want, "%s: it returned with 2 scopes of its own open", names[left_open - 1]);
        fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_ESCOPE, want);
        ck_assert_int_eq(et_scope_depth(), 0);
        ck_assert(et_grad_enabled());
    }
    task_free(&t);
}
END_TEST

START_TEST(wrong_options)
{
    task t;

    ck_assert(task_make(&t));
    et_train_task calls = callbacks(&t);
    const et_schedule bad = {.lr = -1};
    et_train_options p = {.epochs = 1};
    fails(et_train_run(NULL, t.o, &calls, &p, NULL), ET_EINVAL, "module is NULL");
    fails(et_train_run(t.m, t.o, &(et_train_task){.next = next}, &p, NULL), ET_EINVAL, "no loss");
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.epochs = -1}, NULL), ET_EINVAL, "epochs");
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.clip = NAN}, NULL), ET_EINVAL, "clip");
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.resume = true}, NULL), ET_EINVAL, "path");
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.last_path = "x"}, NULL), ET_EINVAL,
          "best weights");
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.schedule = &bad}, NULL), ET_EINVAL, "rate");
    calls.validate = NULL;
    fails(et_train_run(t.m, t.o, &calls, &(et_train_options){.patience = 1}, NULL), ET_EINVAL, "validation");
    et_scope *s = et_scope_open();
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_ESCOPE, "scope");
    et_scope_close(s);
    task_free(&t);
}
END_TEST

/* --- checkpoints -------------------------------------------------------------------------------- */

/* A file that does not fit changes nothing. */
START_TEST(foreign_checkpoints)
{
    const char *path = in_dir("c.ckpt");
    et_rng rng = et_rng_make(UINT64_MAX, 2), other = rng;
    et_named_rng a = {"a", &rng}, b = {"b", &other};
    const et_metadata yes = {"size", "1"}, no = {"size", "2"};
    task t;

    ck_assert(task_make(&t));
    rng.counter = 12345;
    et_checkpoint_state c = {.module = t.m,
                             .optim = t.o,
                             .rngs = &a,
                             .n_rngs = 1,
                             .metadata = &yes,
                             .n_metadata = 1,
                             .epoch = 4,
                             .step = 44};
    c.progress = et_early_stop_make(true, 3, 0);
    et_early_stop_update(&c.progress, 2, 1.0 / 3);
    ck_assert_int_eq(et_checkpoint_save(&c, path), ET_OK);
    et_fill(t.hidden->weight, 7);
    et_tensor *was = weights(&t);

    et_checkpoint_state d = c;
    d.metadata = &no, d.epoch = 0;
    fails(et_checkpoint_load(&d, path), ET_EINVAL, "size = 1, not 2");
    d.metadata = &yes, d.rngs = &b;
    fails(et_checkpoint_load(&d, path), ET_EINVAL, "no random generator \"b\"");
    d.rngs = &a, d.optim = NULL;
    fails(et_checkpoint_load(&d, path), ET_EINVAL, "tensors, expected");
    et_optim *sgd = et_sgd_new(t.m, 1, 0.5);
    d.optim = sgd;
    fails(et_checkpoint_load(&d, path), ET_EINVAL, "optimiser adamw, not sgd");
    et_optim_free(sgd);
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_linear_layer_new(m, "hidden", WIDTH, 15, true, NULL);
    d.module = m, d.optim = NULL;
    fails(et_checkpoint_load(&d, path), ET_ESHAPE, "model.hidden.weight");
    et_module_free(m);
    d.module = t.m;
    put_file(in_dir("cut.ckpt"), "12345", 5);
    fails(et_checkpoint_load(&d, in_dir("cut.ckpt")), ET_EFORMAT, "cut.ckpt");
    ck_assert_int_eq(et_module_save(t.m, in_dir("weights"), NULL, 0), ET_OK);
    fails(et_checkpoint_load(&d, in_dir("weights")), ET_EFORMAT, "no checkpoint");
    et_tensor *now = weights(&t);
    ck_assert(et_equal(was, now) && d.epoch == 0);
    et_free(now);
    et_free(was);
    task_free(&t);
}
END_TEST

static bool save_and_load(void *user)
{
    task *t = user;
    et_named_rng own = {"own", &t->own};
    const et_metadata meta = {"k", "v"};
    et_checkpoint_state c = {
        .module = t->m, .optim = t->o, .rngs = &own, .n_rngs = 1, .metadata = &meta, .n_metadata = 1};

    return !et_checkpoint_save(&c, in_dir("sweep.ckpt")) && !et_checkpoint_load(&c, in_dir("sweep.ckpt"));
}

static bool whole_run(void *user)
{
    task t;
    bool ok = task_make(&t);
    et_train_task calls = callbacks(&t);

    (void)user;
    ok = ok && !et_train_run(t.m, t.o, &calls, &(et_train_options){.epochs = 1, .clip = 1}, NULL);
    task_free(&t);
    return ok;
}

START_TEST(allocations)
{
    task t;

    ck_assert(task_make(&t));
    alloc_sweep("checkpoint", save_and_load, &t);
    task_free(&t);
    alloc_sweep("run", whole_run, NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("train");
    TCase *tc = tcase_create("train");

    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_test(tc, schedules);
    tcase_add_test(tc, kl_weights);
    tcase_add_test(tc, early_stopping);
    tcase_add_test(tc, learns);
    tcase_add_loop_test(tc, resuming, 0, 2);
    tcase_add_loop_test(tc, patience, 0, 2);
    tcase_add_loop_test(tc, phased, 1, 6);
    tcase_add_test(tc, phases_begin_with_the_best);
    tcase_add_loop_test(tc, phases_with_patience, 1, 8);
    tcase_add_test(tc, best_of_a_killed_run);
    tcase_add_test(tc, not_finite);
    tcase_add_test(tc, steady);
    tcase_add_test(tc, scopes_left_open);
    tcase_add_test(tc, wrong_options);
    tcase_add_test(tc, foreign_checkpoints);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
