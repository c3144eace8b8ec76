/* Training of style-vae: see style_train.h. */
#include "config.h"

#include "examples/style_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/ops.h"
#include "examples/common/run_train.h"
#include "nn/optim.h"
#include "tensor/alloc.h"

enum { STREAM_SHIFT = 1000, TERMS = 7 };

style_source style_source_of(const et_cli *cli)
{
    return (style_source){.dir = et_cli_text(cli, "data"), .songs = et_cli_int(cli, "songs"),
                          .styles = et_cli_text(cli, "styles"),
                          .melody = strcmp(et_cli_text(cli, "tracks"), "melody") == 0,
                          .longest = et_cli_int(cli, "longest"), .most = et_cli_int(cli, "most")};
}

et_status style_recipe_defaults(et_cli *cli)
{
    const char *config = et_cli_text(cli, "config");
    const bool paper = strcmp(config, "paper") == 0, medium = strcmp(config, "medium") == 0;

    if (et_cli_text(cli, "data") && et_cli_refuse(cli, "songs", "with --data"))
        return et_error_status();
    et_cli_default(cli, "tracks", paper ? "all" : "melody");
    et_cli_default_int(cli, "longest", paper ? 0 : 40);
    et_cli_default_int(cli, "epochs", paper ? 400 : medium ? 20 : 60);
    et_cli_default_int(cli, "batch", paper ? 64 : 32);
    et_cli_default_real(cli, "lr", paper ? 5e-4 * pow(0.95, -2) : 3e-3);
    et_cli_default(cli, "schedule", paper ? "exponential" : "cosine");
    et_cli_default_int(cli, "transpose", 5);
    return style_model_defaults(cli);
}

/* What the training loop's callbacks work on. */
typedef struct job {
    et_cli *cli;
    et_run *run;
    const style_data *d;
    et_style_vae *model;
    int32_t *order;       /* of this epoch */
    int64_t batch, at, steps; /* items of a batch and of the epoch so far; steps made in all */
    et_style_batch now;
    int64_t events;
    et_rng shift;
    double terms[TERMS], beta; /* sums over the epoch's items, as in `report` */
    int64_t items;
    style_verdict valid;
    et_run_loop loop;
} job;

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;
    const uint64_t seed = (uint64_t)et_cli_int(j->cli, "seed");

    if (!j->loop.begun)
        j->steps = epoch * (j->d->train.n / j->batch);
    j->shift = et_rng_make(seed, STREAM_SHIFT + (uint64_t)epoch);
    j->at = j->items = 0;
    memset(j->terms, 0, sizeof j->terms);
    if (et_run_loop_epoch(&j->loop, epoch, j->d->train.n / j->batch * j->batch))
        return et_error_status();
    return style_order(j->d, j->batch, seed, epoch, j->order);
}

static int64_t next_batch(void *user)
{
    job *j = user;
    const int64_t most = et_cli_int(j->cli, "transpose");

    if (j->at + j->batch > j->d->train.n)
        return 0;
    const int shift = (int)(et_rng_below(&j->shift, 2 * most + 1) - most);
    if (style_batch(j->d, j->order + j->at, j->batch, shift, &j->now))
        return et_error_status();
    j->at += j->batch;
    return j->batch;
}

static et_tensor *batch_loss(void *user)
{
    job *j = user;
    et_style_loss l;

    if (et_style_vae_loss(j->model, &j->now, j->steps, NULL, &l, NULL, NULL))
        return NULL;
    const et_tensor *const parts[TERMS] = {l.total, l.pitch, l.dt, l.dur, l.kl, l.style, l.mu};
    for (int i = 0; i < TERMS; i++)
        j->terms[i] += et_item(parts[i]) * (double)j->batch;
    j->beta = l.beta;
    j->items += j->batch;
    j->steps++;
    return l.total;
}

static et_status validate(void *user, double *metric)
{
    job *j = user;
    const et_status status = style_judge(j->model, j->d, &j->d->valid, &j->valid);

    *metric = j->valid.loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    static const char *const names[TERMS] = {"train_loss", "train_pitch_loss", "train_dt_loss",
                                             "train_dur_loss", "train_kl_loss", "train_style_loss",
                                             "train_mu_loss"};
    job *j = user;
    char text[STYLE_FIGURES][32];
    et_figure figures[STYLE_FIGURES + TERMS + 3];

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    int n = style_figures(&j->valid, "valid_", text, figures);
    for (int i = 0; i < TERMS; i++)
        figures[n++] = (et_figure){names[i], j->terms[i] / (double)j->items};
    figures[n++] = (et_figure){"beta", j->beta};
    figures[n++] = (et_figure){"lr", e->lr};
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  pitch %.3f  KL %.1f  MI %.2f%s", e->loss,
                    j->valid.loss, j->valid.accuracy[0], j->valid.kl_nats, j->valid.mutual,
                    e->improved ? "  best" : "");
    return et_run_loop_log(&j->loop, e, figures, n);
}

/* The paper's rate is lr 0.95^(t / 5000), not below 1e-4. */
static et_schedule schedule_of(const et_cli *cli, int64_t steps)
{
    const char *name = et_cli_text(cli, "schedule");
    et_schedule s = {.kind = ET_SCHEDULE_CONSTANT, .lr = et_cli_real(cli, "lr")};

    if (strcmp(name, "cosine") == 0) {
        s.kind = ET_SCHEDULE_WARMUP_COSINE;
        s.total = steps;
    } else if (strcmp(name, "exponential") == 0) {
        s.kind = ET_SCHEDULE_EXPONENTIAL;
        s.gamma = pow(0.95, 1.0 / 5000);
        s.least = 1e-4;
    }
    return s;
}

static et_status write_metrics(et_run *run, const char *section, const style_verdict *v)
{
    char names[STYLE_FIGURES][32];
    et_figure figures[STYLE_FIGURES];
    const int n = style_figures(v, "", names, figures);

    return et_run_metrics(run, section, figures, n);
}

static et_status run_loop(job *j, et_optim *opt, bool resume, et_train_result *result)
{
    et_cli *cli = j->cli;
    const int64_t steps = j->d->train.n / j->batch * et_cli_int(cli, "epochs");
    et_json_writer w;

    if (et_run_config_begin(j->run, cli, &w))
        return et_error_status();
    et_run_write_names(&w, "styles", &j->d->ds->classes);
    if (et_run_config_end(j->run, &w))
        return et_error_status();
    const et_schedule schedule = schedule_of(cli, steps);
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                          .validate = validate};
    const et_train_options options = {
        .clip = 1,
        .schedule = &schedule,
        .resume = resume,
        .report = report,
    };
    et_status status = et_run_loop_train(&j->loop, &j->model->module, opt, &task, options, result);
    if (!status && !result->interrupted)
        status = style_judge(j->model, j->d, &j->d->valid, &j->valid);
    if (!status && !result->interrupted)
        status = write_metrics(j->run, "valid", &j->valid);
    return status;
}

et_status style_train(et_cli *cli, et_run *run, const style_data *d, bool resume, et_style_vae **model,
                      et_train_result *result)
{
    job j = {.cli = cli, .run = run, .d = d, .batch = et_cli_int(cli, "batch"),
             .loop = {.cli = cli, .run = run}};
    et_optim *opt = NULL;
    et_status status = ET_OK;

    if (j.batch > d->train.n)
        j.batch = d->train.n;
    j.order = et_alloc((size_t)d->train.n * sizeof *j.order + 1);
    j.model = j.order ? style_model_new(cli, et_dataset_classes(d->ds)) : NULL;
    if (j.model)
        opt = et_adam_new(&j.model->module, et_cli_real(cli, "lr"));
    status = opt ? run_loop(&j, opt, resume, result) : et_error_status();
    et_optim_free(opt);
    et_dealloc(j.order);
    style_verdict_free(&j.valid);
    *model = j.model;
    return status;
}
