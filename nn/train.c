/* The training loop. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "autograd/autograd.h"
#include "autograd/profile.h"
#include "nn/train.h"

/* Streams of the default generator: this ("tr", far from small numbers) plus the epoch. */
#define EPOCH_STREAM UINT64_C(0x7472000000000000)

typedef struct run {
    et_module *m;
    et_optim *o;
    const et_train_task *task;
    const et_train_options *options;
    et_checkpoint_state at; /* where the run stands */
    et_weights *best;       /* the best weights, where no file holds them */
    et_train_result *result;
} run;

static et_status check(const et_module *m, const et_optim *o, const et_train_task *t,
                       const et_train_options *p)
{
    if (et_error_status())
        return et_fail_status("train");
    if (!m || !o || !t || !p || !t->next || !t->loss)
        return et_raise(ET_EINVAL, "train: %s",
                        !m   ? "the module is NULL"
                        : !o ? "the optimiser is NULL"
                        : !p ? "the options are NULL"
                             : "the task has no batches or no loss");
    if (p->epochs < 0 || p->patience < 0 || !(p->clip >= 0) || !(p->min_delta >= 0))
        return et_raise(ET_EINVAL, "train: epochs, patience, clip and min_delta must be 0 or more");
    if (p->resume && !p->last_path)
        return et_raise(ET_EINVAL, "train: there is no checkpoint's path to resume from");
    if (p->patience && !t->validate)
        return et_raise(ET_EINVAL, "train: patience needs validation");
    if (p->last_path && t->validate && !p->best_path)
        return et_raise(ET_EINVAL, "train: a checkpoint with validation needs a path for the best weights");
    if (et_scope_depth())
        return et_raise(ET_ESCOPE, "train: a scope is open");
    if (p->phases && (p->n_phases < 1 || p->schedule))
        return et_raise(ET_EINVAL, "train: %s", p->schedule ? "phases have no schedule" : "no phases");
    for (int i = 0; p->phases && i < p->n_phases; i++)
        if (p->phases[i].epochs < 1)
            return et_raise(ET_EINVAL, "train: phase %d has no epochs", i + 1);
        else if (p->phases[i].patience < 0 || (p->phases[i].patience && !t->validate))
            return et_raise(ET_EINVAL, "train: phase %d: patience is 0 or more and needs validation", i + 1);
    return p->schedule ? et_schedule_check(p->schedule) : ET_OK;
}

/* The task's loss, in the precision that was asked for. */
static et_tensor *loss_of(const run *r)
{
    if (r->options->mixed)
        et_mixed_begin();
    et_tensor *loss = r->task->loss(r->task->user);
    if (r->options->mixed)
        et_mixed_end();
    return loss;
}

/* --- a loss or gradient that is not finite -------------------------------------------------- */

/* Runs the step again with every op checked. The message of the first that fails, or what is
 * known else, goes to text. */
static void investigate(run *r, const et_rng *rng, char *text, size_t size)
{
    const bool before = et_anomaly();

    et_error_clear();
    *et_rng_default() = *rng;
    et_set_anomaly(true);
    et_scope *scope = et_scope_current();
    et_tensor *loss = loss_of(r);
    if (et_scope_unwind(scope) == 0 && loss)
        et_backward(loss);
    et_set_anomaly(before);
    if (et_error_status() == ET_ENONFINITE) {
        snprintf(text, size, "%s", et_error_message());
        et_error_clear();
        return;
    }
    et_error_clear();
    snprintf(text, size, "no op made it of finite values: the batch holds it");
    if (et_module_check_finite(r->m)) {
        snprintf(text, size, "%s", et_error_message());
        et_error_clear();
    }
}

static et_status not_finite(run *r, const et_rng *rng, const char *what)
{
    char text[512];

    investigate(r, rng, text, sizeof text);
    et_optim_zero_grad(r->o);
    return et_raise(ET_ENONFINITE, "%s is not finite; the first: %s", what, text);
}

/* --- the task's functions ------------------------------------------------------------------- */

/* After a call of the task's function `what`, which ran in `scope` (NULL: outside of all): scopes
 * that it left open, by an early return perhaps, are closed; they are an error. */
static et_status settle(et_scope *scope, const char *what)
{
    const int left = et_scope_unwind(scope);

    if (left > 0)
        et_raise(ET_ESCOPE, "it returned with %d scope%s of its own open", left, left == 1 ? "" : "s");
    return et_error_status() ? et_fail_status(what) : ET_OK;
}

/* --- phases --------------------------------------------------------------------------------- */

/* The best weights back into the module. */
static et_status restore(run *r)
{
    if (r->at.progress.best_epoch < 0)
        return ET_OK;
    return r->best ? et_weights_restore(r->best) : et_module_load(r->m, r->options->best_path, NULL, NULL);
}

/* Whether the epochs done end the phase that the last of them belongs to. */
static bool phase_over(const run *r)
{
    const et_train_options *p = r->options;
    const et_checkpoint_state *at = &r->at;

    if (!p->phases)
        return false;
    const et_train_phase *phase = &p->phases[at->phase];
    const int64_t best = at->progress.best_epoch + 1,
                  since = at->epoch - (best > at->phase_began ? best : at->phase_began);
    return (phase->patience && since >= phase->patience) ||
           (at->phase + 1 < p->n_phases && at->epoch - at->phase_began >= phase->epochs);
}

/* Goes over to the next phase: the best weights so far, and its optimiser. */
static et_status next_phase(run *r)
{
    const et_status status = restore(r);

    if (status)
        return status;
    r->at.phase++;
    r->at.phase_began = r->at.epoch;
    return et_optim_restart(r->o, &r->options->phases[r->at.phase].optim);
}

static bool run_over(const run *r)
{
    return r->at.epoch >= r->options->epochs || r->result->interrupted ||
           et_early_stop_done(&r->at.progress) || (phase_over(r) && r->at.phase + 1 == r->options->n_phases);
}

/* A checkpoint holds the optimiser of the phase of the epoch before it. */
static et_status load(run *r)
{
    const et_train_options *p = r->options;
    int64_t phase;
    et_status status = ET_OK;

    if (p->phases) {
        status = et_checkpoint_phase(p->last_path, &phase);
        if (!status && phase >= p->n_phases)
            status = et_raise(ET_EINVAL, "%s is of phase %" PRId64 " of %d", p->last_path, phase + 1,
                              p->n_phases);
        if (!status)
            status = et_optim_restart(r->o, &p->phases[phase].optim);
    }
    return status ? status : et_checkpoint_load(&r->at, p->last_path);
}

/* --- steps and epochs ----------------------------------------------------------------------- */

static et_status tell(run *r, et_train_event *e)
{
    e->epoch = r->at.epoch;
    e->step = r->at.step;
    e->lr = et_optim_lr(r->o);
    e->phase = (int)r->at.phase;
    e->progress = &r->at.progress;
    if (!r->options->report)
        return ET_OK;
    const et_status status = r->options->report(r->options->report_user, e), after = settle(NULL, "report");
    return after || !status ? after : et_fail_status("report");
}

/* One step inside its scope. *items is 0 at the end of the epoch. */
static et_status step(run *r, et_scope *scope, int64_t *items, double *value)
{
    const et_train_options *p = r->options;
    et_status status;

    et_profile_part_begin("batch");
    *items = r->task->next(r->task->user);
    et_profile_part_end();
    if (settle(scope, "batch") || *items < 0)
        return et_error_status() ? et_error_status() : et_fail_status("batch");
    if (*items == 0)
        return ET_OK;
    const et_rng rng = *et_rng_default();
    et_profile_part_begin("loss");
    et_tensor *loss = loss_of(r);
    et_profile_part_end();
    if (settle(scope, "loss") || !loss)
        return et_error_status() ? et_error_status() : et_fail_status("loss");
    *value = et_item(loss);
    if (et_error_status())
        return et_fail_status("loss");
    if (!isfinite(*value))
        return not_finite(r, &rng, "the loss");
    et_profile_part_begin("backward");
    status = et_backward(loss);
    et_profile_part_end();
    if (!status && p->schedule)
        status = et_optim_set_lr(
            r->o, et_schedule_lr(p->schedule, p->schedule->by_epoch ? r->at.epoch : r->at.step));
    if (status)
        return status;
    status = et_optim_step_zero(r->o, p->clip, NULL);
    return status == ET_ENONFINITE ? not_finite(r, &rng, "a gradient") : status;
}

/* Puts epoch and step in front of the pending message. */
static et_status located(const run *r, et_status status)
{
    char where[80];

    if (!status)
        return ET_OK;
    snprintf(where, sizeof where, "epoch %" PRId64 ", step %" PRId64, r->at.epoch + 1, r->at.step + 1);
    return et_fail_status(where);
}

/* All steps of the epoch; e tells of them. Stops early when interrupted. */
static et_status steps(run *r, et_train_event *e)
{
    const et_train_task *t = r->task;
    double sum = 0, value = 0;
    int64_t items = 1;
    et_status status;

    *et_rng_default() = et_rng_make(r->options->seed, EPOCH_STREAM + (uint64_t)r->at.epoch);
    et_module_train(r->m);
    status = t->begin ? t->begin(t->user, r->at.epoch) : ET_OK;
    if (settle(NULL, "begin") || status)
        return located(r, et_error_status() ? et_error_status() : et_fail_status("begin"));
    for (;;) {
        if (r->options->interrupted && r->options->interrupted()) {
            r->result->interrupted = true;
            return ET_OK;
        }
        et_scope *scope = et_scope_open();
        if (!scope)
            return located(r, et_error_status());
        et_profile_part_begin("step");
        status = step(r, scope, &items, &value);
        et_scope_close(scope);
        et_profile_part_end();
        if (status)
            return located(r, status);
        if (items == 0)
            return ET_OK;
        r->at.step++;
        e->epoch_step++;
        e->items += items;
        sum += value * (double)items;
        e->loss = sum / (double)e->items;
        status = tell(r, e);
        if (status)
            return status;
    }
}

static et_status validate(run *r, et_train_event *e)
{
    const et_train_task *t = r->task;
    et_status status;

    et_module_eval(r->m);
    if (!t->validate)
        return ET_OK;
    et_no_grad_begin();
    et_profile_part_begin("validation");
    status = t->validate(t->user, &e->metric);
    et_profile_part_end();
    et_no_grad_end();
    if (settle(NULL, "validation") || status)
        return et_error_status() ? et_error_status() : et_fail_status("validation");
    e->improved = et_early_stop_update(&r->at.progress, r->at.epoch, e->metric);
    return ET_OK;
}

/* The best weights to their file or copy. */
static et_status keep_best(run *r)
{
    if (r->options->best_path)
        return et_module_save(r->m, r->options->best_path, NULL, 0);
    if (r->best)
        return et_weights_store(r->best);
    r->best = et_weights_new(r->m);
    return r->best ? ET_OK : et_error_status();
}

static et_status save(run *r)
{
    return r->options->last_path ? et_checkpoint_save(&r->at, r->options->last_path) : ET_OK;
}

static et_status epoch(run *r)
{
    et_train_event e = {.loss = NAN, .metric = NAN};
    et_status status = phase_over(r) ? next_phase(r) : ET_OK;

    if (!status)
        status = steps(r, &e);
    if (status || r->result->interrupted)
        return status;
    status = validate(r, &e);
    if (status)
        return status;
    r->result->loss = e.loss;
    e.epoch_ended = true;
    status = tell(r, &e);
    if (status)
        return status;
    r->at.epoch++;
    status = save(r);
    /* After the checkpoint: the file is never of an epoch that is trained again. What is lost between the
     * two, the checkpoint has. */
    return status || !e.improved ? status : keep_best(r);
}

/* Goes back to the checkpoint, or begins a run and writes its first one. */
static et_status start(run *r)
{
    struct stat info;

    if (r->options->resume && !(stat(r->options->last_path, &info) && errno == ENOENT)) {
        const et_status loaded = load(r);
        const bool best = r->options->best_path && r->at.epoch > 0 &&
                          r->at.progress.best_epoch == r->at.epoch - 1;
        return loaded || !best ? loaded : keep_best(r);
    }
    et_status status = r->options->phases ? et_optim_restart(r->o, &r->options->phases[0].optim) : ET_OK;
    return status ? status : save(r);
}

et_status et_train_run(et_module *m, et_optim *o, const et_train_task *task, const et_train_options *options,
                       et_train_result *result)
{
    et_train_result own;
    run r = {.m = m, .o = o, .task = task, .options = options, .result = result ? result : &own};
    et_status status = check(m, o, task, options);

    *r.result = (et_train_result){.loss = NAN, .best = NAN, .best_epoch = -1};
    if (status)
        return status;
    r.at = (et_checkpoint_state){.module = m,
                                 .optim = o,
                                 .rngs = options->rngs,
                                 .n_rngs = options->n_rngs,
                                 .metadata = options->metadata,
                                 .n_metadata = options->n_metadata};
    r.at.progress = et_early_stop_make(options->maximise, options->patience, options->min_delta);
    status = start(&r);
    r.result->first_epoch = r.at.epoch;
    while (!status && !run_over(&r))
        status = epoch(&r);
    et_module_eval(m);
    if (!status && !r.result->interrupted)
        status = restore(&r);
    r.result->early = et_early_stop_done(&r.at.progress) ||
                      (phase_over(&r) && r.at.phase + 1 == options->n_phases);
    r.result->epochs = r.at.epoch;
    r.result->steps = r.at.step;
    r.result->best = r.at.progress.best;
    r.result->best_epoch = r.at.progress.best_epoch;
    et_weights_free(r.best);
    return status ? et_fail_status("train") : ET_OK;
}
