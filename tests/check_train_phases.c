/* Training in phases: an optimiser for each, which begins from the best weights so far. */
#include "config.h"

#include <string.h>

#include "tests/train_task.h"

/* Phases: Adam for two epochs, SGD from the best weights; a resumed run has the bits of one that was not
 * interrupted. _i: the epochs before the interruption. */
enum { PHASED = 7 };

static const et_train_phase phases[] = {
    {.epochs = 2, .optim = {.kind = ET_ADAM, .lr = 0.05}},
    {.epochs = 2, .optim = {.kind = ET_SGD, .lr = 0.1, .momentum = 0.9, .nesterov = true,
                            .weight_decay = 1e-4}},
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
    et_train_options p = {.epochs = 4, .seed = 3, .phases = still, .n_phases = 2,
                          .last_path = in_dir("still.ckpt"), .best_path = in_dir("still.safetensors")};
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
                ck_assert(et_train_run(t.m, t.o, &calls, &p, &r) == ET_OK && r.epochs == 8 &&
                          r.first_epoch == 8);
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

int main(void)
{
    Suite *s = suite_create("train_phases");
    TCase *tc = tcase_create("phases");

    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, phased, 1, 6);
    tcase_add_test(tc, phases_begin_with_the_best);
    tcase_add_loop_test(tc, phases_with_patience, 1, 8);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
