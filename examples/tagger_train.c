/* The verb train of music-tagger: see tagger_train.h. */
#include "config.h"

#include "examples/tagger_train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/ops.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/tagger_measure.h"
#include "examples/tagger_model.h"
#include "examples/tagger_report.h"
#include "nn/optim.h"

enum { PHASES = 5 /* of a schedule, at most */ };

/* What the training loop's callbacks work on. */
typedef struct job {
    et_cli *cli;
    et_run *run;
    tagger_data *d;
    et_indices train_items, valid_items;
    et_tagger *model;
    tagger_batches *batches, *valid_batches;
    tagger_batch batch; /* the step's */
    tagger_verdict valid;
    et_run_loop loop;
    et_optim *optim;
    et_train_phase phases[PHASES]; /* of the schedules "paper" and "plateau" */
    int n_phases;
    int phase;                     /* of the last epoch that was begun, from 1; 0: none */
} job;

/* The paper's schedule: half of the epochs with Adam, then SGD at three rates,
 * each from the best weights so far. */
static int paper_phases(const et_cli *cli, const et_optim_options *adam, et_train_phase phases[PHASES])
{
    const int64_t epochs = et_cli_int(cli, "epochs"), part = epochs / 6 > 0 ? epochs / 6 : 1;

    phases[0] = (et_train_phase){.epochs = epochs / 2 > 0 ? epochs / 2 : 1, .optim = *adam};
    for (int i = 1; i < 4; i++)
        phases[i] = (et_train_phase){.epochs = part, .optim = {.kind = ET_SGD,
                                                               .lr = adam->lr * pow(10, 2 - i),
                                                               .momentum = 0.9, .nesterov = true,
                                                               .weight_decay = 1e-4}};
    return 4;
}

/* SampleCNN's: SGD, a fifth of the rate when nothing has improved for some epochs,
 * from the best weights so far. */
static int plateau_phases(const et_cli *cli, et_train_phase phases[PHASES])
{
    for (int i = 0; i < PHASES; i++)
        phases[i] = (et_train_phase){.epochs = et_cli_int(cli, "epochs"),
                                     .patience = et_cli_int(cli, "patience"),
                                     .optim = {.kind = ET_SGD, .lr = et_cli_real(cli, "lr") * pow(5, -i),
                                               .momentum = 0.9, .nesterov = true,
                                               .weight_decay = et_cli_real(cli, "weight-decay")}};
    return PHASES;
}

/* Says which optimiser goes on from here. */
static void tell_phase(job *j, int phase, double sgd_rate)
{
    if (j->phase > 0 && phase > j->phase && isnan(sgd_rate))
        et_progress_note(&j->loop.progress, "phase %d: SGD at rate %g, from the best weights so far", phase,
                         j->phases[phase - 1].optim.lr);
    else if (j->phase > 0 && phase > j->phase)
        et_progress_note(&j->loop.progress,
                         "phase %d: Adam gave way to SGD at rate %.4g, after step %" PRId64, phase, sgd_rate,
                         et_optim_switched(j->optim, NULL));
    j->phase = phase;
}

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    if (et_run_loop_epoch(&j->loop, epoch, tagger_batches_items(j->batches)))
        return et_error_status();
    return tagger_batches_start(j->batches, epoch);
}

static int64_t next_batch(void *user)
{
    job *j = user;

    return tagger_batches_next(j->batches, &j->batch) ? et_error_status() : j->batch.n;
}

static et_tensor *batch_loss(void *user)
{
    job *j = user;

    return et_bce_with_logits(et_tagger_forward(j->model, j->batch.x, NULL), j->batch.targets,
                              ET_REDUCE_MEAN);
}

/* The macro ROC-AUC chooses. */
static et_status validate(void *user, double *metric)
{
    job *j = user;
    et_status status = tagger_judge(j->model, j->d, j->valid_batches, &j->valid);

    *metric = j->valid.roc_auc;
    if (!status && isnan(*metric))
        status = et_raise(ET_EFORMAT, "no tag has both kinds of item among those of validation");
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;
    et_figure figures[TAGGER_FIGURES + 5];
    double rate;
    const int phase = 1 + e->phase + (et_optim_switched(j->optim, &rate) > 0);

    tell_phase(j, phase, rate);
    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    int n = tagger_figures(&j->valid, true, figures);
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"lr", e->lr};
    if (j->n_phases > 0 || strcmp(et_cli_text(j->cli, "schedule"), "swats") == 0)
        figures[n++] = (et_figure){"phase", phase};
    if (!isnan(rate))
        figures[n++] = (et_figure){"sgd_rate", rate};
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  ROC-AUC %.4f  AP %.3f%s", e->loss,
                    j->valid.loss, j->valid.roc_auc, j->valid.pr_auc, e->improved ? "  best" : "");
    return et_run_loop_log(&j->loop, e, figures, n);
}
/* The trained model on the training and validation data: metrics.json, tags.csv and report.html. */
static et_status conclude(job *j)
{
    tagger_verdict v = {0};
    et_status status = tagger_measure(j->cli, j->run, j->model, j->d, "train", &j->train_items, &v);

    if (!status)
        status = tagger_measure(j->cli, j->run, j->model, j->d, "valid", &j->valid_items, &v);
    if (!status)
        status = tagger_write_tags(j->run, j->d, &v);
    if (!status)
        status = tagger_report(j->run, j->d, &v, "validation", j->model, et_cli_int(j->cli, "window"));
    if (!status)
        tagger_print_verdict("validation", &v, j->run);
    tagger_verdict_free(&v);
    return status;
}
/* config.json: the options, and the names of the model's tags in their order. */
static et_status write_config(job *j)
{
    et_json_writer w;

    if (et_run_config_begin(j->run, j->cli, &w))
        return et_error_status();
    et_run_write_names(&w, "tags", &j->d->ds->tag_names);
    return et_run_config_end(j->run, &w);
}
/* Data, model, optimiser, loop. */
static et_status train_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    const tagger_batch_options o = tagger_training(cli);
    const tagger_batch_options vo = tagger_judging(cli);

    j->batches = tagger_batches_new(j->d, &j->train_items, &o);
    j->valid_batches = tagger_batches_new(j->d, &j->valid_items, &vo);
    if (!j->batches || !j->valid_batches || write_config(j))
        return et_error_status();
    printf("%lld training and %lld validation item%s, %lld %s at a time, %lld tag%s\n",
           (long long)j->train_items.n, (long long)j->valid_items.n, et_plural(j->valid_items.n),
           (long long)o.rows, j->d->front == ET_FRONT_SPEC ? "frames" : "samples",
           (long long)tagger_data_tags(j->d), et_plural(tagger_data_tags(j->d)));
    et_module_print(&j->model->module, stdout);

    const char *schedule = et_cli_text(cli, "schedule");
    const bool swats = strcmp(schedule, "swats") == 0;
    const et_optim_options oo = {.kind = swats ? ET_SWATS : ET_ADAM, .lr = et_cli_real(cli, "lr"),
                                 .weight_decay = et_cli_real(cli, "weight-decay"),
                                 .switch_eps = et_cli_real(cli, "switch-eps")};
    if (strcmp(schedule, "paper") == 0)
        j->n_phases = paper_phases(cli, &oo, j->phases);
    else if (strcmp(schedule, "plateau") == 0)
        j->n_phases = plateau_phases(cli, j->phases);
    if (!(j->optim = et_optim_new(&j->model->module, &oo, NULL, 0)))
        return et_error_status();
    const int64_t steps = tagger_batches_count(j->batches) * et_cli_int(cli, "epochs");
    const et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = oo.lr, .warmup = steps / 20,
                                .total = steps};
    const et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                                .validate = validate};
    const et_train_options options = {
        .mixed = et_run_mixed(cli),
        .schedule = strcmp(schedule, "cosine") == 0 ? &cosine : NULL,
        .phases = j->n_phases ? j->phases : NULL,
        .n_phases = j->n_phases,
        .maximise = true,
        .resume = et_cli_flag(cli, "resume"),
        .report = report,
    };
    j->loop = (et_run_loop){.cli = cli, .run = j->run};
    et_status status = et_run_loop_train(&j->loop, &j->model->module, j->optim, &task, options, result);
    if (!status)
        tagger_tell_broken(j->batches);
    if (!status && !result->interrupted)
        status = conclude(j);
    return status;
}

/* The run folder, which says what the data is of a run that is gone on with, data and model. */
static et_status open_job(job *j)
{
    et_cli *cli = j->cli;
    int kind = 0;

    if (!(j->run = et_run_for_training(cli)))
        return et_error_status();
    if (tagger_check_front(cli, &kind) || tagger_defaults(cli, (tagger_kind)kind))
        return et_error_status();
    const tagger_source from = tagger_source_of(cli);
    if (!(j->d = tagger_data_load(&from)) || tagger_data_split(j->d, &j->train_items, &j->valid_items))
        return et_error_status();
    if (et_run_check_names(j->run, "tags", &j->d->ds->tag_names))
        return et_error_status();
    if (!(j->model = tagger_build(cli, j->d)))
        return et_error_status();
    return tagger_data_cache(j->d, tagger_cache(cli, j->run), (int)et_cli_int(cli, "workers"));
}

int tagger_train(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = open_job(&j);

    if (!status)
        status = train_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    et_optim_free(j.optim);
    tagger_batches_free(j.batches);
    tagger_batches_free(j.valid_batches);
    et_indices_free(&j.train_items);
    et_indices_free(&j.valid_items);
    tagger_verdict_free(&j.valid);
    if (j.model)
        et_module_free(&j.model->module);
    tagger_data_free(j.d);
    et_run_close(j.run);
    return code;
}
