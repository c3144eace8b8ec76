/* Training: schedules, early stopping, checkpoints, the loop; a resumed run has the bits of
 * one that was not interrupted. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "tensor/parallel.h"
#include "tests/alloc_sweep.h"
#include "tests/train_task.h"

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
    ck_assert_double_eq(et_schedule_lr(&(et_schedule){.kind = ET_SCHEDULE_STEP, .lr = 2, .gamma = 0.5,
                                                      .every = 3, .least = 0.75}, 6), 0.75);
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

static et_status end_in_fourth_epoch(void *user, const et_train_event *e)
{
    (void)user;
    return e->epoch_ended && e->epoch == 3 ? et_raise(ET_EIO, "the end") : ET_OK;
}

/* A run that ends by force between its checkpoint and the best weights, or before either:
 * what is there is enough. */
START_TEST(best_of_a_killed_run)
{
    static const double falling[] = {8, 7, 6, 5, 4, 3, 2, 1};
    et_train_options p = {.epochs = 3, .seed = 3, .last_path = in_dir("kill.ckpt"),
                          .best_path = in_dir("kill.best")};
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

/* What no op has made was there before: in the weights, which are named, or in the batch. */
static et_tensor *nan_batch(void *user)
{
    task *t = user;

    return et_fill(t->x, NAN) ? NULL : loss(t);
}

START_TEST(not_finite_before)
{
    const et_train_options p = {.epochs = 1};
    task t;

    ck_assert(task_make(&t));
    et_train_task calls = callbacks(&t);
    calls.loss = nan_batch;
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_ENONFINITE, "the batch holds it");
    calls.loss = loss;
    ((float *)et_data_mut(t.out->bias))[1] = NAN;
    fails(et_train_run(t.m, t.o, &calls, &p, NULL), ET_ENONFINITE, "out.bias: element [1] is not finite");
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

/* Functions of the task that come back early, with a scope open:
 * each says so, and the thread is as it was. */
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
    const et_train_task calls = {.user = &t, .begin = leaving_begin, .next = leaving_next,
                                 .loss = leaving_loss, .validate = leaving_validate};
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

/* A copy of "all.ckpt" with a number of its metadata damaged. */
static const char *damaged(const char *key, const char *with)
{
    put_damaged(in_dir("damaged.ckpt"), in_dir("all.ckpt"), key, with);
    return in_dir("damaged.ckpt");
}

/* A copy of "all.ckpt" in which tensor number `which` is of float64, or has another name. */
static const char *altered(int64_t which, bool renamed)
{
    et_safetensors *f = et_safetensors_open(in_dir("all.ckpt"));
    et_named_tensor tensors[32];
    et_metadata meta[32];
    int64_t n = et_safetensors_count(f), n_meta = 0;

    ck_assert_int_le(n, 32);
    for (int64_t i = 0; i < n; i++) {
        const et_safetensors_entry *e = et_safetensors_at(f, i);
        et_tensor *x = et_safetensors_load(f, e->name);
        tensors[i] = (et_named_tensor){i == which && renamed ? "other" : e->name,
                                       i == which && !renamed ? et_to(x, ET_F64) : x};
        if (tensors[i].tensor != x)
            et_free(x);
    }
    while (n_meta < 32 && et_safetensors_meta_at(f, n_meta, &meta[n_meta].key, &meta[n_meta].value))
        n_meta++;
    ck_assert_int_eq(et_safetensors_write(in_dir("altered.ckpt"), tensors, n, meta, n_meta), ET_OK);
    for (int64_t i = 0; i < n; i++)
        et_free((et_tensor *)tensors[i].tensor);
    et_safetensors_close(f);
    return in_dir("altered.ckpt");
}

/* A run goes on from what it was, not from something like it: every tensor is there, and of its dtype. */
START_TEST(altered_checkpoints)
{
    et_checkpoint_state c = {.epoch = 1};
    et_safetensors *f;
    task t;

    ck_assert(task_make(&t));
    c.module = t.m, c.optim = t.o;
    ck_assert_int_eq(et_checkpoint_save(&c, in_dir("all.ckpt")), ET_OK);
    f = et_safetensors_open(in_dir("all.ckpt"));
    const int64_t n = et_safetensors_count(f);
    et_safetensors_close(f);
    ck_assert_int_gt(n, 4);
    for (int64_t i = 0; i < n; i++) {
        fails(et_checkpoint_load(&c, altered(i, false)), ET_EDTYPE, "is F64 in the file, expected float32");
        fails(et_checkpoint_load(&c, altered(i, true)), ET_EINVAL, "the file has no tensor \"");
    }
    ck_assert_msg(et_checkpoint_load(&c, altered(n, false)) == ET_OK, "%s", et_error_message());
    task_free(&t);
}
END_TEST

/* All of a checkpoint comes back; where one number is damaged nothing does. */
START_TEST(whole_checkpoints)
{
    static const char *const keys[] = {"epoch", "step", "phase", "phase_began", "best_epoch", "waited",
                                       "optim.steps"};
    et_rng from[2] = {{1, 20, 300}, {4, 50, UINT64_MAX}}, to[2] = {{0}}, none[2] = {{0}};
    et_named_rng names[2][2] = {{{"a", &from[0]}, {"b", &from[1]}}, {{"b", &to[1]}, {"a", &to[0]}}};
    const et_metadata meta[2] = {{"size", "1"}, {"depth", "2"}};
    int64_t phase;
    task t[2];

    ck_assert(task_make(&t[0]) && task_make(&t[1]));
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(et_optim_step(t[0].o), ET_OK);
    et_checkpoint_state c = {.module = t[0].m, .optim = t[0].o, .rngs = names[0], .n_rngs = 2,
                             .metadata = meta, .n_metadata = 2, .epoch = 14, .step = 44, .phase = 13,
                             .phase_began = 12, .progress = {.best = 1.0 / 3, .best_epoch = 11, .waited = 15}};
    et_checkpoint_state d = {.module = t[1].m, .optim = t[1].o, .rngs = names[1], .n_rngs = 2,
                             .metadata = meta, .n_metadata = 2};
    ck_assert_int_eq(et_checkpoint_save(&c, in_dir("all.ckpt")), ET_OK);
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (int negative = 0; negative < 2; negative++)
            fails(et_checkpoint_load(&d, damaged(keys[k], negative ? "-4" : "x")), ET_EFORMAT, keys[k]);
    fails(et_checkpoint_load(&d, damaged("best", "x")), ET_EFORMAT, "\"best\"");
    fails(et_checkpoint_load(&d, damaged("rng.a", "1_20")), ET_EFORMAT, "\"a\" is damaged");
    fails(et_checkpoint_load(&d, damaged("rng.b", "x")), ET_EFORMAT, "\"b\" is damaged");
    fails(et_checkpoint_load(&d, damaged("run.size", "3")), ET_EINVAL, "size = 3, not 1");
    fails(et_checkpoint_load(&d, damaged("run.depth", "3")), ET_EINVAL, "depth = 3, not 2");
    fails(et_checkpoint_phase(damaged("etude.checkpoint", "x"), &phase), ET_EFORMAT, "no checkpoint");
    ck_assert(!d.epoch && !d.step && !d.phase && !d.phase_began && memcmp(to, none, sizeof to) == 0);
    ck_assert(d.progress.best == 0 && !d.progress.best_epoch && !d.progress.waited);
    ck_assert_int_eq(et_optim_steps(t[1].o), 0);

    ck_assert_msg(et_checkpoint_load(&d, in_dir("all.ckpt")) == ET_OK, "%s", et_error_message());
    ck_assert(d.epoch == 14 && d.step == 44 && d.phase == 13 && d.phase_began == 12);
    ck_assert(d.progress.best == 1.0 / 3 && d.progress.best_epoch == 11 && d.progress.waited == 15);
    for (int i = 0; i < 2; i++)
        ck_assert(to[i].seed == from[i].seed && to[i].stream == from[i].stream &&
                  to[i].counter == from[i].counter);
    ck_assert_int_eq(et_optim_steps(t[1].o), 10);
    ck_assert_int_eq(et_checkpoint_phase(in_dir("all.ckpt"), &phase), ET_OK);
    ck_assert_int_eq(phase, 13);
    c.epoch = c.step = c.phase = c.phase_began = c.progress.waited = 0; /* before the first epoch */
    c.progress.best_epoch = -1;
    ck_assert_int_eq(et_checkpoint_save(&c, in_dir("all.ckpt")), ET_OK);
    ck_assert_int_eq(et_checkpoint_load(&d, in_dir("all.ckpt")), ET_OK);
    ck_assert(d.epoch == 0 && d.progress.best_epoch == -1);
    ck_assert_int_eq(et_checkpoint_phase(in_dir("all.ckpt"), &phase), ET_OK);
    ck_assert_int_eq(phase, 0);
    task_free(&t[0]);
    task_free(&t[1]);
}
END_TEST

START_TEST(wrong_checkpoints)
{
    et_rng rng = {0};
    et_named_rng rngs[2] = {{"a", &rng}, {"b", &rng}};
    et_metadata meta[2] = {{"k", "v"}, {"l", "w"}};
    et_module m = {0}; /* not looked at */
    et_checkpoint_state c = {.rngs = rngs, .n_rngs = 2, .metadata = meta, .n_metadata = 2};

    fails(et_checkpoint_save(NULL, "x"), ET_EINVAL, "checkpoint_save: the checkpoint is NULL");
    fails(et_checkpoint_save(&c, "x"), ET_EINVAL, "the module is NULL");
    c.module = &m;
    fails(et_checkpoint_load(&c, NULL), ET_EINVAL, "checkpoint_load: the path is NULL");
    rngs[1].name = NULL;
    fails(et_checkpoint_save(&c, "x"), ET_EINVAL, "generator 1");
    rngs[0].rng = NULL;
    fails(et_checkpoint_save(&c, "x"), ET_EINVAL, "generator 0");
    c.n_rngs = 0, meta[1].value = NULL;
    fails(et_checkpoint_load(&c, "x"), ET_EINVAL, "metadata 1");
    meta[0].key = NULL;
    fails(et_checkpoint_load(&c, "x"), ET_EINVAL, "metadata 0");
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
    tcase_add_test(tc, best_of_a_killed_run);
    tcase_add_test(tc, not_finite);
    tcase_add_test(tc, not_finite_before);
    tcase_add_test(tc, steady);
    tcase_add_test(tc, scopes_left_open);
    tcase_add_test(tc, wrong_options);
    tcase_add_test(tc, foreign_checkpoints);
    tcase_add_test(tc, altered_checkpoints);
    tcase_add_test(tc, whole_checkpoints);
    tcase_add_test(tc, wrong_checkpoints);
    tcase_add_test(tc, allocations);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
