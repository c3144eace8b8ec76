/* music-tagger: several tags for a piece of music, and what the model listens to.
 *
 *     music-tagger train [--data DIR] [--model spec-att] [--config paper]   data -> model -> training -> report
 *     music-tagger eval --out RUN [--data DIR]
 *     music-tagger explain --out RUN [--item NAME]      attention and contributions over time, with the sound
 *     music-tagger splice --out RUN [--first A --second B]   half of a quiet clip, half of a loud one
 *
 * The models are those of models/tagger.c; data and recipes are tagger_data.c, figures tagger_judge.c, maps
 * tagger_maps.c, pictures tagger_report.c. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/ops.h"
#include "datasets/folder.h"
#include "examples/common/cli.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "examples/common/runfolder.h"
#include "examples/common/run_model.h"
#include "examples/tagger_batches.h"
#include "examples/tagger_judge.h"
#include "examples/tagger_maps.h"
#include "examples/tagger_report.h"
#include "nn/optim.h"
#include "nn/train.h"
#include "tensor/alloc.h"

enum {
    LOCALISED = 200, /* events that the localisation score is a mean of, at most */
    PHASES = 4       /* of the paper's schedule */
};

/* --- what the options describe ----------------------------------------------------------------- */

static bool is_sample_cnn(const et_cli *cli) { return strcmp(et_cli_text(cli, "model"), "sample-cnn") == 0; }

static et_tagger_front front_of(const et_cli *cli)
{
    return strncmp(et_cli_text(cli, "model"), "spec", 4) == 0 ? ET_FRONT_SPEC : ET_FRONT_RAW;
}

static et_tagger_back back_of(const et_cli *cli)
{
    const char *model = et_cli_text(cli, "model");

    return strstr(model, "-att") ? ET_BACK_ATT : strstr(model, "-cnn-p") ? ET_BACK_CNN_P : ET_BACK_CNN_L;
}

static bool is_paper(const et_cli *cli) { return strcmp(et_cli_text(cli, "config"), "paper") == 0; }

static tagger_source source_of(const et_cli *cli)
{
    return (tagger_source){.dir = et_cli_text(cli, "data"), .task = et_cli_text(cli, "task"),
                           .lists = et_cli_text(cli, "lists"), .tags = et_cli_text(cli, "tags"),
                           .songs = et_cli_int(cli, "songs"), .front = front_of(cli)};
}

/* Model and data must fit; the tasks have a front end each, which is their default. */
static et_status check_front(et_cli *cli, int *kind)
{
    const char *task = et_cli_text(cli, "data") ? "" : et_cli_text(cli, "task");

    et_cli_default(cli, "model", strcmp(task, "tones") == 0 ? "raw-att" : "spec-att");
    const tagger_source from = source_of(cli);
    if ((*kind = tagger_kind_of(&from)) < 0)
        return et_error_status();
    const int only = tagger_only_front((tagger_kind)*kind);
    if (only >= 0 && only != (int)from.front)
        return et_raise(ET_EINVAL, "--task %s is for models that begin with %s", task,
                        only == ET_FRONT_SPEC ? "spec" : "raw");
    if (is_sample_cnn(cli) && *kind == TAGGER_TONES)
        return et_raise(ET_EINVAL, "--model sample-cnn needs sounds longer than those of --task tones");
    return ET_OK;
}

/* The defaults that depend on data and configuration. */
static et_status recipe_defaults(et_cli *cli, tagger_kind kind)
{
    const tagger_recipe r = tagger_recipe_of(kind, front_of(cli), back_of(cli), is_paper(cli));
    const struct { const char *name; int64_t value; } ints[] = {
        {"channels", r.net.front == ET_FRONT_SPEC ? r.net.channels : r.net.first}, {"width", r.net.width},
        {"layers", r.net.layers}, {"heads", r.net.heads}, {"hidden", r.net.hidden}, {"wide", r.net.wide},
        {"window", is_sample_cnn(cli) && r.window == 65610 ? 59049 : r.window}, {"epochs", r.epochs},
        {"batch", is_sample_cnn(cli) && is_paper(cli) ? 23 : r.batch}, {"chunks", r.chunks}};
    const struct { const char *name; double value; } reals[] = {
        {"lr", r.lr}, {"weight-decay", r.weight_decay}, {"dropout", r.net.dropout},
        {"out-dropout", r.net.out_dropout}, {"mixup", r.mixup}, {"switch-eps", is_paper(cli) ? 1e-9 : 1e-3}};

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        et_cli_default_int(cli, ints[i].name, ints[i].value);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        et_cli_default_real(cli, reals[i].name, reals[i].value);
    return et_cli_default(cli, "schedule", r.schedule);
}

/* Blocks of back end CNN_L, each of which thirds the time, that `steps` leave room for. */
static int room_for(int64_t steps, int most)
{
    int n = 0;

    while (n < most && steps >= 3) {
        steps /= 3;
        n++;
    }
    return n > 0 ? n : 1;
}

static et_tagger_config config_of(const et_cli *cli, const tagger_data *d)
{
    const bool paper = is_paper(cli), alone = is_sample_cnn(cli);
    et_tagger_config c = tagger_recipe_of(d->kind, front_of(cli), back_of(cli), paper).net;
    const int64_t channels = et_cli_int(cli, "channels"), wide = et_cli_int(cli, "wide");
    int64_t steps = et_cli_int(cli, "window");

    if (alone)
        c = et_tagger_sample_cnn();
    c.tags = tagger_data_tags(d);
    if (c.front == ET_FRONT_SPEC) {
        c.bands = d->bands;
        c.channels = channels;
        for (int i = 0; i < 2 && !paper && c.tall[i] > c.bands; i++)
            c.tall[i] = c.bands * (i ? 2 : 9) / (i ? 5 : 10);
    } else {
        for (int i = 0; i < c.raw_blocks; i++) /* the paper's proportions */
            c.raw_widths[i] = c.raw_widths[i] * channels / c.first;
        c.first = channels;
        steps /= 3;
        for (int i = 0; i < c.raw_blocks; i++)
            steps /= 3;
    }
    if (alone) {
        for (int i = 0; i < c.long_blocks; i++)
            c.long_widths[i] = c.long_widths[i] * channels / 128;
    } else if (c.back == ET_BACK_CNN_L) {
        for (int i = 0; i < c.long_blocks; i++)
            c.long_widths[i] = c.long_widths[i] * wide / tagger_recipe_of(d->kind, c.front, c.back, paper).net.wide;
    }
    if (c.back == ET_BACK_CNN_L)
        c.long_blocks = room_for(steps, c.long_blocks);
    c.wide = wide;
    c.dense = paper ? c.dense : wide;
    c.width = et_cli_int(cli, "width");
    c.hidden = et_cli_int(cli, "hidden");
    c.heads = (int)et_cli_int(cli, "heads");
    c.layers = (int)et_cli_int(cli, "layers");
    c.dropout = et_cli_real(cli, "dropout");
    c.out_dropout = et_cli_real(cli, "out-dropout");
    c.learned_cls = et_cli_flag(cli, "learned-cls");
    return c;
}

static et_tagger *build(const et_cli *cli, const tagger_data *d)
{
    const et_tagger_config c = config_of(cli, d);
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), 1);

    return et_tagger_new(NULL, NULL, &c, &rng);
}

static tagger_batch_options judging(const et_cli *cli)
{
    return (tagger_batch_options){.size = 16, .rows = et_cli_int(cli, "window"),
                                  .chunks = (int)et_cli_int(cli, "chunks"),
                                  .workers = (int)et_cli_int(cli, "workers")};
}

/* The file that keeps features: --cache, or one in the run folder; none for "none". */
static const char *cache_of(const et_cli *cli, et_run *run)
{
    const char *given = et_cli_text(cli, "cache");

    if (given)
        return strcmp(given, "none") == 0 ? NULL : given;
    return et_run_path(run, "features.cache");
}

/* --- training ---------------------------------------------------------------------------------- */

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
    et_progress progress;
    bool begun;
    double epoch_began;
    et_optim *optim;
    et_train_phase phases[PHASES]; /* of the paper's schedule */
    int phase;                     /* of the last epoch that was begun, from 1; 0: none */
} job;

/* The paper's schedule: half of the epochs with Adam, then SGD at three rates, each from the best weights so far. */
static void paper_phases(const et_cli *cli, const et_optim_options *adam, et_train_phase phases[PHASES])
{
    const int64_t epochs = et_cli_int(cli, "epochs"), part = epochs / 6 > 0 ? epochs / 6 : 1;

    phases[0] = (et_train_phase){epochs / 2 > 0 ? epochs / 2 : 1, *adam};
    for (int i = 1; i < PHASES; i++)
        phases[i] = (et_train_phase){part, {.kind = ET_SGD, .lr = adam->lr * pow(10, 2 - i), .momentum = 0.9,
                                            .nesterov = true, .weight_decay = 1e-4}};
}

/* Says which optimiser goes on from here. */
static void tell_phase(job *j, int phase, double sgd_rate)
{
    if (j->phase > 0 && phase > j->phase && isnan(sgd_rate))
        et_progress_note(&j->progress, "phase %d: SGD at rate %g, from the best weights so far", phase,
                         j->phases[phase - 1].optim.lr);
    else if (j->phase > 0 && phase > j->phase)
        et_progress_note(&j->progress, "phase %d: Adam gave way to SGD at rate %.4g, after step %" PRId64, phase,
                         sgd_rate, et_optim_switched(j->optim, NULL));
    j->phase = phase;
}

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    if (!j->begun) { /* what the log has beyond the checkpoint is trained again */
        j->begun = true;
        if (epoch > 0)
            printf("going on after epoch %lld\n", (long long)epoch);
        if (et_run_log_cut(j->run, epoch))
            return et_error_status();
    }
    j->epoch_began = et_seconds();
    et_progress_begin(&j->progress, stdout, tagger_batches_items(j->batches), "epoch %lld/%lld", (long long)epoch + 1,
                      (long long)et_cli_int(j->cli, "epochs"));
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

    return et_bce_with_logits(et_tagger_forward(j->model, j->batch.x, NULL), j->batch.targets, ET_REDUCE_MEAN);
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
    if (!e->epoch_ended) {
        et_progress_step(&j->progress, e->items, "loss %.3f", e->loss);
        return ET_OK;
    }
    int n = tagger_figures(&j->valid, true, figures);
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"lr", e->lr};
    if (strcmp(et_cli_text(j->cli, "schedule"), "swats") == 0 || strcmp(et_cli_text(j->cli, "schedule"), "paper") == 0)
        figures[n++] = (et_figure){"phase", phase};
    if (!isnan(rate))
        figures[n++] = (et_figure){"sgd_rate", rate};
    figures[n++] = (et_figure){"seconds", et_seconds() - j->epoch_began};
    et_progress_end(&j->progress, "loss %.3f  valid %.3f  ROC-AUC %.4f  AP %.3f%s", e->loss, j->valid.loss,
                    j->valid.roc_auc, j->valid.pr_auc, e->improved ? "  best" : "");
    return et_run_log(j->run, e->epoch + 1, figures, n);
}

/* Tells which sounds could not be read. */
static void tell_broken(const tagger_batches *b)
{
    const et_names *broken = tagger_batches_broken(b);

    for (int64_t i = 0; broken && i < broken->n && i < 3; i++)
        fprintf(stderr, "left out: %s\n", broken->items[i]);
    if (broken && broken->n > 3)
        fprintf(stderr, "left out: %" PRId64 " more\n", broken->n - 3);
}

/* One part of the data into metrics.json. */
static et_status measure(job *j, const char *section, const et_indices *items, tagger_verdict *v)
{
    et_figure figures[TAGGER_FIGURES];
    tagger_batch_options o = judging(j->cli);
    tagger_batches *b = tagger_batches_new(j->d, items, &o);
    et_status status = b ? tagger_judge(j->model, j->d, b, v) : et_error_status();

    if (!status)
        status = tagger_localisation(j->model, j->d, items, o.rows, LOCALISED, &v->localisation);
    if (!status)
        status = et_run_metrics(j->run, section, figures, tagger_figures(v, false, figures));
    if (b && !status)
        tell_broken(b);
    tagger_batches_free(b);
    return status;
}

static void print_verdict(const char *name, const tagger_verdict *v, et_run *run)
{
    printf("%s: ROC-AUC %.4f, average precision %.4f over %" PRId64 " tags (%" PRId64 " skipped), loss %.3f", name,
           v->roc_auc, v->pr_auc, v->used, v->skipped, v->loss);
    if (!isnan(v->accuracy))
        printf(", accuracy %.4f", v->accuracy);
    if (!isnan(v->localisation))
        printf(", localisation %.3f", v->localisation);
    printf("\nreport: %s\n", et_run_path(run, "report.html"));
}

/* The trained model on the training and validation data: metrics.json, tags.csv and report.html. */
static et_status conclude(job *j)
{
    tagger_verdict v = {0};
    et_status status = measure(j, "train", &j->train_items, &v);

    if (!status)
        status = measure(j, "valid", &j->valid_items, &v);
    if (!status)
        status = tagger_write_tags(j->run, j->d, &v);
    if (!status)
        status = tagger_report(j->run, j->d, &v, "validation", j->model, et_cli_int(j->cli, "window"));
    if (!status)
        print_verdict("validation", &v, j->run);
    tagger_verdict_free(&v);
    return status;
}

/* config.json: the options, and the names of the model's tags in their order. */
static et_status write_config(job *j)
{
    et_json_writer w;

    if (et_run_config_begin(j->run, j->cli, &w))
        return et_error_status();
    et_json_key(&w, "tags");
    et_json_open_array(&w);
    for (int64_t k = 0; k < tagger_data_tags(j->d); k++)
        et_json_string(&w, j->d->ds->tag_names.items[k]);
    et_json_close(&w);
    return et_run_config_end(j->run, &w);
}

/* The names of a trained model's tags, from config.json. */
static et_status read_tags(et_run *run, et_names *names)
{
    const et_json_value *list = et_json_get(et_run_config(run), "tags");

    if (!list || list->type != ET_JSON_ARRAY || !list->first)
        return et_raise(ET_EFORMAT, "%s: no list of tags", et_run_path(run, ET_RUN_CONFIG));
    for (const et_json_value *v = list->first; v; v = v->next)
        if (v->type != ET_JSON_STRING || et_names_add(names, v->string) < 0)
            return et_error_status() ? et_error_status()
                                     : et_raise(ET_EFORMAT, "%s: a tag that is no text", et_run_path(run, ET_RUN_CONFIG));
    return ET_OK;
}

/* Makes the data's tags those of the run. */
static et_status align(et_run *run, tagger_data *d)
{
    et_names names = {0};
    et_status status = read_tags(run, &names);

    if (!status)
        status = tagger_data_align(d, &names);
    et_names_free(&names);
    return status;
}

/* Data, model, optimiser, loop. */
static et_status train_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    const tagger_batch_options o = {.size = et_cli_int(cli, "batch"), .rows = et_cli_int(cli, "window"), .train = true,
                                    .chunks = 1, .mixup = et_cli_real(cli, "mixup"),
                                    .seed = (uint64_t)et_cli_int(cli, "seed"),
                                    .workers = (int)et_cli_int(cli, "workers")};
    const tagger_batch_options vo = judging(cli);
    const int64_t epochs = et_cli_int(cli, "epochs");

    j->model = build(cli, j->d);
    j->batches = tagger_batches_new(j->d, &j->train_items, &o);
    j->valid_batches = tagger_batches_new(j->d, &j->valid_items, &vo);
    if (!j->model || !j->batches || !j->valid_batches || write_config(j))
        return et_error_status();
    printf("%lld training and %lld validation items, %lld %s at a time, %lld tags\n", (long long)j->train_items.n,
           (long long)j->valid_items.n, (long long)o.rows, j->d->front == ET_FRONT_SPEC ? "frames" : "samples",
           (long long)tagger_data_tags(j->d));
    et_module_print(&j->model->module, stdout);

    const char *schedule = et_cli_text(cli, "schedule");
    const bool swats = strcmp(schedule, "swats") == 0;
    const et_optim_options oo = {.kind = swats ? ET_SWATS : ET_ADAM, .lr = et_cli_real(cli, "lr"),
                                 .weight_decay = et_cli_real(cli, "weight-decay"),
                                 .switch_eps = et_cli_real(cli, "switch-eps")};
    paper_phases(cli, &oo, j->phases);
    if (!(j->optim = et_optim_new(&j->model->module, &oo, NULL, 0)))
        return et_error_status();
    const int64_t steps = tagger_batches_count(j->batches) * epochs;
    const et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = oo.lr, .warmup = steps / 20, .total = steps};
    const et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                                .validate = validate};
    const et_train_options options = {
        .epochs = epochs,
        .mixed = strcmp(et_cli_text(cli, "precision"), "bfloat16") == 0,
        .schedule = strcmp(schedule, "cosine") == 0 ? &cosine : NULL,
        .phases = strcmp(schedule, "paper") == 0 ? j->phases : NULL,
        .n_phases = strcmp(schedule, "paper") == 0 ? PHASES : 0,
        .maximise = true,
        .seed = o.seed,
        .last_path = et_run_path(j->run, ET_RUN_LAST),
        .best_path = et_run_path(j->run, ET_RUN_BEST),
        .resume = et_cli_flag(cli, "resume"),
        .interrupted = et_interrupted,
        .report = report,
        .report_user = j,
    };
    et_status status = et_train_run(&j->model->module, j->optim, &task, &options, result);
    et_progress_drop(&j->progress);
    if (!status)
        tell_broken(j->batches);
    if (!status && !result->interrupted)
        status = conclude(j);
    return status;
}

/* The run folder and the data; a new run touches the folder only when its data are there. */
static et_status open_job(job *j)
{
    et_cli *cli = j->cli;
    const bool resume = et_cli_flag(cli, "resume");
    int kind = 0;

    if (resume && !(j->run = et_run_for_training(cli)))
        return et_error_status();
    if (check_front(cli, &kind) || recipe_defaults(cli, (tagger_kind)kind))
        return et_error_status();
    const tagger_source from = source_of(cli);
    if (!(j->d = tagger_data_load(&from)) || tagger_data_split(j->d, &j->train_items, &j->valid_items))
        return et_error_status();
    if (!j->run && !(j->run = et_run_for_training(cli)))
        return et_error_status();
    if ((et_run_config(j->run) && align(j->run, j->d)) || et_interrupt_catch())
        return et_error_status();
    return tagger_data_cache(j->d, cache_of(cli, j->run), (int)et_cli_int(cli, "workers"));
}

static int train(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = open_job(&j);
    int code = ET_EXIT_OK;

    if (!status)
        status = train_job(&j, &result);
    if (status && et_interrupted() && !result.epochs) { /* while features were made */
        et_error_clear();
        printf("\nstopped before the first epoch\n");
        code = ET_EXIT_INTERRUPTED;
    } else if (status) {
        code = et_cli_fail(cli);
    } else if (result.interrupted) {
        et_run_print_resume(j.run, cli, result.epochs, stdout);
        code = ET_EXIT_INTERRUPTED;
    }
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

/* --- reading a run ------------------------------------------------------------------------------- */

typedef struct reading {
    et_run *run;
    tagger_data *d;
    et_indices items;
    et_tagger *model;
    int64_t rows;
} reading;

static et_status open_reading(et_cli *cli, reading *s)
{
    int kind;

    if (!(s->run = et_run_for_reading(cli)))
        return et_error_status();
    const bool learned_data = et_json_get(et_json_get(et_run_config(s->run), "options"), "data") != NULL;
    if ((et_cli_text(cli, "data") != NULL) != learned_data)
        return et_raise(ET_EINVAL, "%s learned %s: judge it with%s --data", et_run_dir(s->run),
                        learned_data ? "data of a folder" : "what the program makes", learned_data ? "" : "out");
    if (check_front(cli, &kind))
        return et_error_status();
    tagger_source from = source_of(cli);
    const char *cache = cache_of(cli, s->run);
    from.test = true;
    if (cache && et_cli_given(cli, "data") && !et_cli_text(cli, "cache"))
        cache = et_run_path(s->run, "features-test.cache");
    if (!(s->d = tagger_data_load(&from)) || align(s->run, s->d) ||
        tagger_data_cache(s->d, cache, (int)et_cli_int(cli, "workers")))
        return et_error_status();
    if (tagger_data_choose(s->d, et_cli_text(cli, "split"), &s->items))
        return et_error_status();
    if (!(s->model = build(cli, s->d)))
        return et_error_status();
    et_status status = et_run_load_weights(&s->model->module, et_run_path(s->run, ET_RUN_BEST));
    et_module_eval(&s->model->module);
    s->rows = et_cli_int(cli, "window");
    return status;
}

static void close_reading(reading *s)
{
    et_indices_free(&s->items);
    if (s->model)
        et_module_free(&s->model->module);
    tagger_data_free(s->d);
    et_run_close(s->run);
}

static void print_tags(const tagger_data *d, const tagger_verdict *v)
{
    printf("%-20s %7s %8s %8s\n", "tag", "items", "ROC-AUC", "AP");
    for (int64_t k = 0; k < v->tags; k++)
        if (isnan(v->tag_auc[k]))
            printf("%-20s %7" PRId64 " %8s %8s\n", d->ds->tag_names.items[k], v->positives[k], "-", "-");
        else
            printf("%-20s %7" PRId64 " %8.4f %8.4f\n", d->ds->tag_names.items[k], v->positives[k], v->tag_auc[k],
                   v->tag_ap[k]);
}

static int eval(et_cli *cli)
{
    reading s = {.rows = 0};
    tagger_verdict v = {0};
    et_status status = open_reading(cli, &s);
    job j = {.cli = cli, .run = s.run, .d = s.d, .model = s.model};

    if (!status)
        status = measure(&j, "test", &s.items, &v);
    if (!status)
        status = tagger_write_tags(s.run, s.d, &v);
    if (!status)
        status = tagger_report(s.run, s.d, &v, "test", s.model, s.rows);
    if (!status) {
        print_tags(s.d, &v);
        printf("%" PRId64 " items; ", v.n);
        print_verdict("test", &v, s.run);
    }
    tagger_verdict_free(&v);
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- what it listens to ----------------------------------------------------------------------------- */

/* The folder of pictures in the run's folder, made where it is not there. */
static const char *picture_folder(et_run *run)
{
    const char *folder = et_run_path(run, "pictures");

    return folder && et_folder_make(folder) == ET_OK ? folder : NULL;
}

/* Ends a page of pictures. */
static et_status write_page(et_report *r, et_run *run, const char *name, et_status status)
{
    const char *path = status ? NULL : et_run_path(run, name);

    if (!status && !(status = path ? et_report_write(r, path) : et_error_status()))
        printf("page: %s\npictures: %s\n", path, et_run_path(run, "pictures"));
    et_report_free(r);
    return status;
}

/* The event of an item as a span over the time axis. */
static int event_span(const tagger_data *d, int64_t item, et_span *span)
{
    const int32_t *events = d->ds->events ? et_data_i32(d->ds->events) : NULL;

    if (!events || events[2 * item + 1] <= events[2 * item])
        return 0;
    *span = (et_span){tagger_time(d, events[2 * item]), tagger_time(d, events[2 * item + 1]), "event"};
    return 1;
}

static et_status explain_item(reading *s, et_report *r, int64_t item, const char *folder)
{
    et_scope *scope = et_scope_open();
    tagger_clip clip;
    tagger_maps maps = {.steps = 0};
    et_span span;
    char name[64];
    et_status status = tagger_item_clip(s->d, item, s->rows, &clip);

    clip.name = tagger_data_name(name, s->d, item);
    clip.spans = &span;
    clip.n_spans = event_span(s->d, item, &span);
    if (!status)
        status = tagger_maps_make(s->model, clip.x, &maps);
    if (!status)
        status = tagger_report_clip(r, stdout, s->d, &clip, &maps, NULL, -1, folder);
    tagger_maps_free(&maps);
    et_audio_free(&clip.sound);
    if (scope)
        et_scope_close(scope);
    return status;
}

/* Prints and draws what some items are tagged for: explain.html and pictures. */
static int explain(et_cli *cli)
{
    reading s = {.rows = 0};
    const char *wanted = et_cli_text(cli, "item"), *folder = NULL;
    int64_t left = et_cli_int(cli, "count"), shown = 0;
    et_status status = open_reading(cli, &s);
    et_report *r = status ? NULL : et_report_new("What the tagger listens to", NULL);

    if (!status && !(folder = picture_folder(s.run)))
        status = et_error_status();
    for (int64_t i = 0; !status && i < s.items.n && shown < left; i++) {
        char name[64];
        if (wanted && strcmp(tagger_data_name(name, s.d, s.items.items[i]), wanted) != 0)
            continue;
        status = explain_item(&s, r, s.items.items[i], folder);
        shown++;
    }
    if (!status && wanted && shown == 0)
        status = et_raise(ET_EINVAL, "no item is called %s", wanted);
    status = write_page(r, s.run, "explain.html", status);
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- the command line ----------------------------------------------------------------------------------- */

#define MODEL_OPTIONS \
    "model channels width layers heads hidden wide dropout out-dropout learned-cls window chunks "
#define OF_THE_RUN                                                                                                  \
    "task@ songs@ lists tags model@ config@ channels@ width@ layers@ heads@ hidden@ wide@ dropout@ out-dropout@ "     \
    "learned-cls@ seed@ window chunks cache workers "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     "data task songs lists tags config seed threads workers cache epochs batch lr weight-decay schedule switch-eps mixup precision "
     MODEL_OPTIONS "out resume overwrite profile", NULL, 0, 0, train},
    {"eval", "judge a trained model: every tag, and their means", OF_THE_RUN "out! data split threads", NULL, 0, 0, eval},
    {"explain", "show what the model listens to: attention and contributions over time, with the sound",
     OF_THE_RUN "out! data split threads item count", NULL, 0, 0, explain},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder: MagnaTagATune (annotations_final.csv and clips), clips of a list (--lists), rendered excerpts "
     "(clips.csv), spoken digits (files.csv); data that the program makes without it"},
    {"task", ET_OPTION_CHOICE, "corpus|patterns|tones", "corpus", 0, 0,
     "Without --data: pieces that the program composes and plays, planted patterns in spectrograms, or tones in noise"},
    {"songs", ET_OPTION_INT, "N", "48", 5, 10000, "Songs of each genre in the corpus; two clips of 6 s are cut from each"},
    {"lists", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "A table of clips (columns clip, split, tags): those to be taken"},
    {"tags", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "Names of the tags to be taken, a line each or a table with a column tag"},
    {"model", ET_OPTION_CHOICE, "spec-att|spec-cnn-p|spec-cnn-l|raw-att|raw-cnn-p|raw-cnn-l|sample-cnn", NULL, 0, 0,
     "Front end (mel spectra or samples) and back end"},
    {"channels", ET_OPTION_INT, "N", NULL, 1, 4096, "Channels of the front end's first layer; others in proportion"},
    {"width", ET_OPTION_INT, "N", NULL, 2, 65536, "Width of the encoder (att)"},
    {"layers", ET_OPTION_INT, "N", NULL, 1, ET_TAGGER_LAYERS, "Its layers"},
    {"heads", ET_OPTION_INT, "N", NULL, 1, 1024, "Its attention heads"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the hidden layer of its perceptrons"},
    {"wide", ET_OPTION_INT, "N", NULL, 1, 65536, "Channels of the back end (cnn-p, cnn-l)"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the encoder"},
    {"out-dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout before the classifier"},
    {"learned-cls", ET_OPTION_FLAG, NULL, NULL, 0, 0, "The vector at which the encoder answers is learned, not fixed"},
    {"window", ET_OPTION_INT, "N", NULL, 9, 10000000,
     "Frames (16 ms) or samples (16 kHz) that the model reads: a random stretch in training. 1024 or 262440 are 16.4 s"},
    {"chunks", ET_OPTION_INT, "N", NULL, 1, 1024, "Evenly spaced stretches of an item that are judged and averaged"},
    {"cache", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Keeps the features of all sounds; \"none\": they are computed anew in the background. Default: in the run folder"},
    {"workers", ET_OPTION_INT, "N", "2", 0, 256, "Background threads that read sounds"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine|paper|swats", NULL, 0, 0,
     "Adam at a constant rate or one that falls along a cosine after a warm-up; the paper's: half of the epochs Adam, then "
     "SGD at 10, 1 and 0.1 times its rate, each from the best weights so far; or Adam until SWATS goes over to SGD"},
    {"switch-eps", ET_OPTION_REAL, "X", NULL, 1e-15, 1e6,
     "How well SWATS must know the rate of SGD before it takes it (its paper: 1e-9)"},
    {"weight-decay", ET_OPTION_REAL, "X", NULL, 0, 10, "Weight decay"},
    {"mixup", ET_OPTION_REAL, "A", NULL, 0, 100, "Mixup with weights drawn from Beta(A, A); 0: none"},
    {"precision", ET_OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "Of matrix products in training"},
    {"split", ET_OPTION_TEXT, "NAME", "auto", 0, 0,
     "Which items: a split of the data, \"all\", or \"auto\": the split test where there is one, else all"},
    {"item", ET_OPTION_TEXT, "NAME", NULL, 0, 0, "The item to explain, by name; the first ones without it"},
    {"count", ET_OPTION_INT, "N", "5", 1, 1000, "How many items to explain"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "music-tagger",
    .summary = "tags for music, and what the model listens to",
    .about = "Without --data it learns the tags of pieces that it composes and plays itself. --config paper is the "
             "paper's model and training. Defaults depend on data and configuration and are written to config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
