/* genre-vit: music genres from patches of spectrograms.
 *
 *     genre-vit train [--data DIR] [--config paper]    data -> model -> training -> report
 *     genre-vit eval --out RUN [--data DIR]
 *     genre-vit explain --out RUN                      which patches decided?
 *     genre-vit ablate [--data DIR]                    the paper's choices beside others, one table
 *
 * The model is models/vit.c; data and recipes are vit_data.c, pictures vit_report.c. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/augment.h"
#include "datasets/batch.h"
#include "datasets/gtzan.h"
#include "examples/common/cli.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "examples/common/runfolder.h"
#include "examples/genre_judge.h"
#include "examples/genre_model.h"
#include "examples/vit_data.h"
#include "examples/vit_report.h"
#include "nn/optim.h"
#include "nn/train.h"
#include "tensor/alloc.h"

/* --- the model that the options describe -------------------------------------------------- */

static et_module *make_vit(const void *config, et_module *parent, const char *name, et_rng *rng)
{
    et_vit *m = et_vit_new(parent, name, config, rng);

    return m ? &m->module : NULL;
}

static et_tensor *ask_vit(const et_module *m, et_tensor *x, et_tensor *lengths, et_tensor **attention)
{
    (void)lengths;
    if (attention)
        *attention = NULL;
    return et_vit_forward((const et_vit *)m, x, NULL);
}

static const char *const poolings[] = {"flatten", "mean", "class"};

static vit_kind kind_of(const et_cli *cli)
{
    return et_cli_text(cli, "data") ? VIT_SPECTROGRAM
           : strcmp(et_cli_text(cli, "task"), "corpus") == 0 ? VIT_MUSIC : VIT_WAVES;
}

static et_vit_config config_of(const et_cli *cli, const et_dataset *windows)
{
    const char *pooling = et_cli_text(cli, "pooling");
    int64_t channels = vit_channels(kind_of(cli));

    return (et_vit_config){
        .frames = windows->x->shape[1],
        .bins = windows->x->shape[2] / channels,
        .channels = channels,
        .height = et_cli_int(cli, "image-height"),
        .width = et_cli_int(cli, "image-width"),
        .transpose = et_cli_flag(cli, "transpose"),
        .patch_h = et_cli_int(cli, "patch-height"),
        .patch_w = et_cli_int(cli, "patch-width"),
        .step_h = et_cli_int(cli, "step-height"),
        .step_w = et_cli_int(cli, "step-width"),
        .d = et_cli_int(cli, "width"),
        .layers = (int)et_cli_int(cli, "blocks"),
        .heads = (int)et_cli_int(cli, "heads"),
        .head_width = et_cli_int(cli, "head-width"),
        .hidden = et_cli_int(cli, "hidden"),
        .act_once = et_cli_int(cli, "acts") == 1,
        .pooling = (et_vit_pooling)(pooling[0] == 'f' ? 0 : pooling[0] == 'm' ? 1 : 2),
        .head = {et_cli_int(cli, "head1"), et_cli_int(cli, "head2")},
        .classes = et_dataset_classes(windows),
        .dropout = et_cli_real(cli, "dropout"),
        .head_dropout = et_cli_real(cli, "head-dropout"),
        .drop_path = et_cli_real(cli, "drop-path"),
    };
}

/* The defaults that depend on data and configuration. */
static et_status recipe_defaults(et_cli *cli)
{
    const vit_recipe r = vit_recipe_of(kind_of(cli), strcmp(et_cli_text(cli, "config"), "paper") == 0);
    const struct { const char *name; int64_t value; } ints[] = {
        {"image-height", r.net.height}, {"image-width", r.net.width}, {"patch-height", r.net.patch_h},
        {"patch-width", r.net.patch_w}, {"width", r.net.d}, {"blocks", r.net.layers}, {"heads", r.net.heads},
        {"head-width", r.net.head_width}, {"hidden", r.net.hidden}, {"head1", r.net.head[0]}, {"head2", r.net.head[1]},
        {"acts", r.net.act_once ? 1 : 2}, {"window", r.window}, {"epochs", r.epochs}, {"batch", r.batch},
        {"members", r.members}, {"folds", r.folds}};
    const struct { const char *name; double value; } reals[] = {
        {"lr", r.lr}, {"weight-decay", r.weight_decay}, {"dropout", r.net.dropout}, {"head-dropout", r.net.head_dropout},
        {"drop-path", r.net.drop_path}, {"mixup", r.mixup}, {"smoothing", r.smoothing}, {"clip", r.clip}};

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        et_cli_default_int(cli, ints[i].name, ints[i].value);
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        et_cli_default_real(cli, reals[i].name, reals[i].value);
    et_cli_default(cli, "pooling", poolings[r.net.pooling]);
    et_cli_default(cli, "schedule", r.cosine ? "cosine" : "constant");
    return et_error_status();
}

/* The model with its standardisation as buffers: input_mean and input_std [F]. */
static genre_model *build(const et_cli *cli, const et_vit_config *c)
{
    static const genre_network network = {false, make_vit, ask_vit};
    genre_model *m = genre_model_new(&network, c, (int)et_cli_int(cli, "members"), (uint64_t)et_cli_int(cli, "seed"));

    if (m && genre_model_inputs(m, c->channels * c->bins)) {
        genre_model_free(m);
        return NULL;
    }
    return m;
}

/* --- training --------------------------------------------------------------------------------- */

/* What the training loop's callbacks work on: one fold. */
typedef struct job {
    et_cli *cli;
    vit_kind kind;
    et_dataset *ds;       /* whole items */
    et_dataset *windows;  /* what is judged: stretches of them */
    et_indices train_items, valid_items;        /* of ds */
    et_indices train_windows, valid_windows;    /* of windows */
    int64_t fold, epochs;
    genre_model *model;
    et_batches *batches;
    et_batch batch;
    et_tensor *targets;   /* [B, K], its labels as probabilities */
    et_rng augment;
    genre_verdict valid;
    et_progress progress;
    et_run *run;          /* NULL: nothing is written */
    bool begun, quiet;
    double epoch_began;
} job;

enum { STREAM_AUGMENT = 1000, FOLDS = 5, STRETCHES = 3 };

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    if (!j->begun && j->run) { /* what the log has beyond the checkpoint is trained again */
        j->begun = true;
        if (et_run_log_cut(j->run, j->fold * j->epochs + epoch))
            return et_error_status();
    }
    j->augment = et_rng_make((uint64_t)et_cli_int(j->cli, "seed"), STREAM_AUGMENT + (uint64_t)epoch);
    j->epoch_began = et_seconds();
    if (!j->quiet)
        et_progress_begin(&j->progress, stdout, et_batches_items(j->batches), "epoch %lld/%lld", (long long)epoch + 1,
                          (long long)j->epochs);
    return et_batches_start(j->batches, epoch);
}

static int64_t next_batch(void *user)
{
    job *j = user;
    int64_t window = j->windows->x->shape[1];
    double mixup = et_cli_real(j->cli, "mixup");

    if (!et_batches_more(j->batches))
        return 0;
    if (et_batches_next(j->batches, &j->batch))
        return et_error_status();
    et_batch *b = &j->batch;
    if (window < b->x->shape[1])
        b->x = et_augment_crop(b->x, NULL, window, &j->augment);
    j->targets = et_augment_one_hot(b->y, et_dataset_classes(j->ds), et_cli_real(j->cli, "smoothing"));
    if (!b->x || !j->targets || (mixup > 0 && et_augment_mixup(b->x, j->targets, NULL, mixup, &j->augment)))
        return et_error_status();
    return b->n;
}

static et_tensor *batch_loss(void *user)
{
    job *j = user;

    return genre_model_loss(j->model, j->batch.x, NULL, j->targets);
}

static et_status validate(void *user, double *metric)
{
    job *j = user;
    et_status status = genre_judge(j->model, j->windows, &j->valid_windows, &j->valid);

    *metric = j->valid.loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;
    et_figure figures[GENRE_FIGURES + 4];

    if (!e->epoch_ended) {
        if (!j->quiet)
            et_progress_step(&j->progress, e->items, "loss %.3f", e->loss);
        return ET_OK;
    }
    if (!j->quiet)
        et_progress_end(&j->progress, "loss %.3f  valid %.3f  accuracy %.3f%s", e->loss, j->valid.loss,
                        j->valid.accuracy, e->improved ? "  best" : "");
    if (!j->run)
        return ET_OK;
    int n = genre_figures(&j->valid, true, figures);
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"lr", e->lr};
    figures[n++] = (et_figure){"fold", (double)j->fold};
    figures[n++] = (et_figure){"seconds", et_seconds() - j->epoch_began};
    return et_run_log(j->run, j->fold * j->epochs + e->epoch + 1, figures, n);
}

/* Features as deviations from the training part's means; the model keeps these. */
static et_status standardize(job *j)
{
    et_status status;

    if (!vit_standardizes(j->kind))
        return et_fill(et_module_find(j->model->root, "input_std"), 1);
    status = genre_model_fit(j->model, j->ds, &j->train_items);
    if (!status)
        status = genre_model_standardize(j->model, 0, j->ds);
    return status ? status : genre_model_standardize(j->model, 0, j->windows);
}

/* The windows of the items. Their number is the same for each. */
static et_status windows_of(const et_indices *items, int64_t each, et_indices *out)
{
    *out = (et_indices){.items = et_alloc((size_t)(items->n * each) * sizeof *out->items + 1), .n = items->n * each};
    for (int64_t i = 0; out->items && i < out->n; i++)
        out->items[i] = (int32_t)(items->items[i / each] * each + i % each);
    return out->items ? ET_OK : et_error_status();
}

/* Data of the fold: five parts of whole tracks (or, as the paper seems to have done, of single segments),
 * one held out; without folds the data's own split. */
static et_status load(job *j)
{
    et_cli *cli = j->cli;
    et_status status = ET_OK;

    j->kind = kind_of(cli);
    j->ds = vit_load(j->kind, et_cli_text(cli, "data"), false);
    if (!j->ds)
        return et_error_status();
    if (et_cli_int(cli, "folds") > 0) {
        int64_t n = et_dataset_size(j->ds);
        int32_t *fold = et_alloc((size_t)n * sizeof *fold + 1);
        et_tensor *groups = j->ds->groups;
        if (strcmp(et_cli_text(cli, "split"), "segment") == 0)
            j->ds->groups = NULL;
        status = fold ? et_split_folds(j->ds, FOLDS, 1, fold) : ET_ENOMEM;
        j->ds->groups = groups;
        if (!status)
            status = et_split_fold(j->ds, fold, (int)j->fold, &j->train_items, &j->valid_items);
        et_dealloc(fold);
    } else {
        status = et_split_named(j->ds, "train", &j->train_items);
        if (!status)
            status = et_split_named(j->ds, "valid", &j->valid_items);
        if (!status && (j->train_items.n == 0 || j->valid_items.n == 0))
            status = et_raise(ET_EFORMAT, "the data have no training or no validation part: --folds makes them");
    }
    if (!status && !(j->windows = vit_windows(j->ds, et_cli_int(cli, "window"), STRETCHES)))
        status = et_error_status();
    int64_t each = j->windows ? et_dataset_size(j->windows) / et_dataset_size(j->ds) : 1;
    if (!status)
        status = windows_of(&j->train_items, each, &j->train_windows);
    if (!status)
        status = windows_of(&j->valid_items, each, &j->valid_windows);
    return status ? et_error_status() : ET_OK;
}

static void unload(job *j)
{
    et_batches_free(j->batches);
    et_indices_free(&j->train_items);
    et_indices_free(&j->valid_items);
    et_indices_free(&j->train_windows);
    et_indices_free(&j->valid_windows);
    genre_verdict_free(&j->valid);
    et_dataset_free(j->ds);
    et_dataset_free(j->windows);
    genre_model_free(j->model);
}

/* Model, optimiser, loop for data that are loaded. c: the model's sizes, or NULL for what the options say. */
static et_status train_fold(job *j, const et_vit_config *sizes, et_train_result *result)
{
    et_cli *cli = j->cli;
    et_vit_config c = sizes ? *sizes : config_of(cli, j->windows);
    et_batch_options bo = {.size = et_cli_int(cli, "batch"), .shuffle = true, .seed = (uint64_t)et_cli_int(cli, "seed")};
    char last[48], best[48], last_path[4096], best_path[4096];

    bo.drop_last = j->train_items.n >= bo.size;
    j->epochs = et_cli_int(cli, "epochs");
    j->model = build(cli, &c);
    if (!j->model || standardize(j))
        return et_error_status();
    j->batches = et_batches_new(j->ds, j->train_items.items, j->train_items.n, &bo);
    const et_optim_options oo = {.kind = ET_ADAMW, .lr = et_cli_real(cli, "lr"),
                                 .weight_decay = et_cli_real(cli, "weight-decay")};
    et_optim *opt = j->batches ? et_optim_new(j->model->root, &oo, NULL, 0) : NULL;
    if (!opt)
        return et_error_status();
    if (!j->quiet && j->fold == 0) {
        printf("%lld training and %lld validation items of %lld frames, %lld features, %lld classes\n",
               (long long)j->train_items.n, (long long)j->valid_items.n, (long long)j->windows->x->shape[1],
               (long long)j->windows->x->shape[2], (long long)et_dataset_classes(j->ds));
        et_module_print(j->model->root, stdout);
    }
    snprintf(last, sizeof last, j->fold ? "last-%lld.ckpt" : "last.ckpt", (long long)j->fold);
    snprintf(best, sizeof best, j->fold ? "best-%lld.safetensors" : "best.safetensors", (long long)j->fold);
    if (j->run) {
        snprintf(last_path, sizeof last_path, "%s", et_run_path(j->run, last));
        snprintf(best_path, sizeof best_path, "%s", et_run_path(j->run, best));
    }
    int64_t steps = et_batches_count(j->batches) * j->epochs;
    double clip = et_cli_real(cli, "clip");
    et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"), .warmup = steps / 20,
                          .total = steps};
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                          .validate = j->run ? validate : NULL};
    et_train_options options = {
        .epochs = j->epochs,
        .clip = clip > 0 ? genre_model_clip(j->model, clip) : 0,
        .schedule = strcmp(et_cli_text(cli, "schedule"), "cosine") == 0 ? &cosine : NULL,
        .seed = bo.seed,
        .last_path = j->run ? last_path : NULL,
        .best_path = j->run ? best_path : NULL,
        .resume = j->run && et_cli_flag(cli, "resume"),
        .interrupted = et_interrupted,
        .report = report,
        .report_user = j,
    };
    et_status status = et_train_run(j->model->root, opt, &task, &options, result);
    et_progress_drop(&j->progress);
    et_optim_free(opt);
    return status;
}

/* The trained model of the first fold on its training and validation data: metrics.json and report.html. */
static et_status conclude(job *j)
{
    et_figure figures[GENRE_FIGURES + 1];
    genre_verdict v = {0};
    et_status status = genre_judge(j->model, j->windows, &j->train_windows, &v);

    if (!status)
        status = et_run_metrics(j->run, "train", figures, vit_figures(j->windows, &j->train_windows, &v, figures));
    if (!status)
        status = genre_judge(j->model, j->windows, &j->valid_windows, &v);
    if (!status)
        status = et_run_metrics(j->run, "valid", figures, vit_figures(j->windows, &j->valid_windows, &v, figures));
    if (!status)
        status = vit_report(j->run, j->kind, j->windows, &j->valid_windows, &v, "validation", j->model, j->epochs);
    if (!status)
        printf("validation: accuracy %.3f a segment, %.3f a track, macro F1 %.3f, loss %.3f\nreport: %s\n", v.accuracy,
               vit_track_accuracy(j->windows, &j->valid_windows, &v), v.f1_macro, v.loss,
               et_run_path(j->run, "report.html"));
    genre_verdict_free(&v);
    return status;
}

/* A fold that is done already ends at once when the run is gone on with. */
static et_status one_fold(et_cli *cli, et_run *run, int64_t fold, bool final, et_train_result *result)
{
    job j = {.cli = cli, .run = run, .fold = fold};
    et_status status = load(&j);

    if (!status)
        status = train_fold(&j, NULL, result);
    if (!status && !result->interrupted && !final)
        printf("fold %lld: best validation loss %.3f in epoch %lld\n", (long long)fold + 1, result->best,
               (long long)result->best_epoch + 1);
    if (!status && !result->interrupted && final)
        status = conclude(&j);
    unload(&j);
    return status;
}

static et_status write_config(et_run *run, et_cli *cli)
{
    et_json_writer w;

    return et_run_config_begin(run, cli, &w) ? et_error_status() : et_run_config_end(run, &w);
}

/* Other folds first where there are several: the first one's model is what the report shows. */
static int train(et_cli *cli)
{
    et_train_result result = {0};
    et_status status = ET_OK;
    et_run *run = NULL;

    if (et_cli_text(cli, "data") && !et_gtzan_has(et_cli_text(cli, "data"), ET_GTZAN_SPECTROGRAM))
        status = et_raise(ET_EIO, "%s: no spectrograms of GTZAN there (spec128x57.npy with tracks.csv)",
                          et_cli_text(cli, "data"));
    if (!status && !(run = et_run_for_training(cli)))
        status = et_error_status();
    if (!status)
        status = recipe_defaults(cli);
    if (!status)
        status = write_config(run, cli);
    if (!status)
        status = et_interrupt_catch();
    int64_t folds = status ? 0 : et_cli_int(cli, "folds");
    folds = folds > 0 ? folds : 1;
    for (int64_t f = 0; !status && !result.interrupted && f < folds; f++)
        status = one_fold(cli, run, f, folds == 1, &result);
    if (!status && !result.interrupted && folds > 1) { /* nothing is left to train: judge the first fold */
        job j = {.cli = cli, .run = run};
        status = load(&j);
        if (!status) {
            et_vit_config c = config_of(cli, j.windows);
            j.epochs = et_cli_int(cli, "epochs");
            j.model = build(cli, &c);
            status = j.model ? standardize(&j) : et_error_status();
            if (!status)
                status = genre_model_load(j.model, et_run_path(run, "best.safetensors"));
            if (!status) {
                et_module_eval(j.model->root);
                status = conclude(&j);
            }
        }
        unload(&j);
    }
    int code = status ? et_cli_fail(cli) : ET_EXIT_OK;
    if (!status && result.interrupted) {
        et_run_print_resume(run, cli, result.epochs, stdout);
        code = ET_EXIT_INTERRUPTED;
    }
    et_run_close(run);
    return code;
}

/* --- reading a run ------------------------------------------------------------------------------- */

typedef struct reading {
    et_run *run;
    vit_kind kind;
    et_dataset *windows;
    et_indices items;
    genre_model *model;
    genre_verdict v;
} reading;

static et_status open_reading(et_cli *cli, reading *s)
{
    et_dataset *ds;

    if (!(s->run = et_run_for_reading(cli)))
        return et_error_status();
    s->kind = kind_of(cli);
    bool learned_data = et_json_get(et_json_get(et_run_config(s->run), "options"), "data") != NULL;
    if ((s->kind == VIT_SPECTROGRAM) != learned_data)
        return et_raise(ET_EINVAL, "%s learned %s: judge it with%s --data", et_run_dir(s->run),
                        learned_data ? "GTZAN's spectrograms" : "a built-in task", learned_data ? "" : "out");
    if (!(ds = vit_load(s->kind, et_cli_text(cli, "data"), true)))
        return et_error_status();
    s->windows = vit_windows(ds, et_cli_int(cli, "window"), STRETCHES);
    et_dataset_free(ds);
    et_status status = s->windows ? et_split_all(s->windows, &s->items) : et_error_status();
    if (!status) {
        et_vit_config c = config_of(cli, s->windows);
        status = (s->model = build(cli, &c)) ? ET_OK : et_error_status();
    }
    if (!status)
        status = genre_model_load(s->model, et_run_path(s->run, "best.safetensors"));
    if (!status && vit_standardizes(s->kind))
        status = genre_model_standardize(s->model, 0, s->windows);
    if (!status)
        et_module_eval(s->model->root);
    return status ? status : genre_judge(s->model, s->windows, &s->items, &s->v);
}

static void close_reading(reading *s)
{
    genre_verdict_free(&s->v);
    et_indices_free(&s->items);
    et_dataset_free(s->windows);
    genre_model_free(s->model);
    et_run_close(s->run);
}

static int eval(et_cli *cli)
{
    reading s = {0};
    et_figure figures[GENRE_FIGURES + 1];
    et_status status = open_reading(cli, &s);

    if (!status)
        status = et_run_metrics(s.run, "test", figures, vit_figures(s.windows, &s.items, &s.v, figures));
    if (!status)
        status = vit_report(s.run, s.kind, s.windows, &s.items, &s.v, "test", s.model, et_cli_int(cli, "epochs"));
    if (!status)
        printf("test: %lld segments, accuracy %.3f a segment, %.3f a track, macro F1 %.3f, loss %.3f\nreport: %s\n",
               (long long)s.v.n, s.v.accuracy, vit_track_accuracy(s.windows, &s.items, &s.v), s.v.f1_macro, s.v.loss,
               et_run_path(s.run, "report.html"));
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* Prints the strongest patches of some items, and draws them: explain.html. */
static int explain(et_cli *cli)
{
    reading s = {0};
    const char *wanted = et_cli_text(cli, "item");
    int64_t left = et_cli_int(cli, "count"), shown = 0;
    et_status status = open_reading(cli, &s);
    et_report *r = status ? NULL : et_report_new("What the attention looked at", NULL);

    for (int64_t i = 0; !status && i < s.v.n && shown < left; i++) {
        int32_t at = s.items.items[i];
        if (wanted && (s.windows->names.n <= at || strcmp(s.windows->names.items[at], wanted) != 0))
            continue;
        status = vit_report_item(r, stdout, s.kind, s.windows, &s.items, &s.v, i, s.model);
        shown++;
    }
    if (!status && wanted && shown == 0)
        status = et_raise(ET_EINVAL, "no item is called %s", wanted);
    const char *path = status ? NULL : et_run_path(s.run, "explain.html");
    if (!status && !(status = path ? et_report_write(r, path) : et_error_status()))
        printf("pictures: %s\n", path);
    et_report_free(r);
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- ablation ---------------------------------------------------------------------------------------- */

/* What the paper argues about, one change at a time. */
static void variant(int i, et_vit_config *c, const char **name)
{
    static const char *const names[] = {"as configured", "all tokens, flattened", "mean of tokens", "class token",
                                        "square patches", "time-only patches", "heads share the width"};
    int64_t area = c->patch_h * c->patch_w, side = 1;

    *name = names[i];
    while ((side + 1) * (side + 1) <= area)
        side++;
    if (i == 1 || i == 2 || i == 3)
        c->pooling = (et_vit_pooling)(i - 1);
    if (i == 4)
        c->patch_h = c->patch_w = side;
    if (i == 5) {
        c->patch_h = area / c->width > 0 ? area / c->width : 1;
        c->patch_w = c->width;
    }
    if (i == 4 || i == 5)
        c->step_h = c->step_w = 0;
    if (i == 6)
        c->head_width = 0;
}

enum { VARIANTS = 7 };

static int ablate(et_cli *cli)
{
    et_status status = recipe_defaults(cli);

    printf("%-24s %10s %8s %8s %8s\n", "variant", "parameters", "segment", "track", "loss");
    for (int i = 0; !status && i < VARIANTS; i++) {
        job j = {.cli = cli, .quiet = true};
        et_train_result result = {0};
        const char *name;
        status = load(&j);
        if (!status) {
            et_vit_config c = config_of(cli, j.windows);
            variant(i, &c, &name);
            status = train_fold(&j, &c, &result);
        }
        if (!status)
            et_module_eval(j.model->root);
        if (!status)
            status = genre_judge(j.model, j.windows, &j.valid_windows, &j.valid);
        if (!status) {
            printf("%-24s %10lld %8.3f %8.3f %8.3f\n", name, (long long)et_module_count(j.model->root),
                   j.valid.accuracy, vit_track_accuracy(j.windows, &j.valid_windows, &j.valid), j.valid.loss);
            fflush(stdout);
        }
        unload(&j);
    }
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- the command line ----------------------------------------------------------------------------------- */

#define MODEL_OPTIONS                                                                                               \
    "members pooling image-height image-width transpose patch-height patch-width step-height step-width width "     \
    "blocks heads head-width hidden acts head1 head2 dropout head-dropout drop-path window "
#define TRAINING_OPTIONS \
    "data task config seed threads epochs batch lr weight-decay schedule clip mixup smoothing folds split "
/* What eval and explain take from the run. */
#define OF_THE_RUN                                                                                                  \
    "task@ members@ pooling@ image-height@ image-width@ transpose@ patch-height@ patch-width@ step-height@ "      \
    "step-width@ width@ blocks@ heads@ head-width@ hidden@ acts@ head1@ head2@ dropout@ head-dropout@ drop-path@ "   \
    "window@ seed@ epochs@ "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder", TRAINING_OPTIONS MODEL_OPTIONS "out resume overwrite profile",
     NULL, 0, 0, train},
    {"eval", "judge a trained model on a test set: every item of the data", OF_THE_RUN "out! data threads",
     NULL, 0, 0, eval},
    {"explain", "show which patches the attention weighs most", OF_THE_RUN "out! data threads item count",
     NULL, 0, 0, explain},
    {"ablate", "train variants of the model and compare them after the last epoch", TRAINING_OPTIONS MODEL_OPTIONS,
     NULL, 0, 0, ablate},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder with GTZAN's spectrograms (spec128x57.npy and tracks.csv); a built-in task without it"},
    {"task", ET_OPTION_CHOICE, "corpus|waves", "corpus", 0, 0,
     "Without --data: the genres of pieces that the program composes and plays, or a sine along time or frequency in noise"},
    {"pooling", ET_OPTION_CHOICE, "flatten|mean|class", NULL, 0, 0,
     "What the head reads: all tokens side by side, their mean, or a class token"},
    {"image-height", ET_OPTION_INT, "N", NULL, 1, 4096, "Rows (time) of the image that spectrograms are resized to"},
    {"image-width", ET_OPTION_INT, "N", NULL, 1, 4096, "Its columns (frequency)"},
    {"transpose", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Time along the image's columns instead"},
    {"patch-height", ET_OPTION_INT, "N", NULL, 1, 4096, "Rows of a patch"},
    {"patch-width", ET_OPTION_INT, "N", NULL, 1, 4096, "Columns of a patch"},
    {"step-height", ET_OPTION_INT, "N", "0", 0, 4096, "Rows from a patch to the next; 0: patches side by side"},
    {"step-width", ET_OPTION_INT, "N", "0", 0, 4096, "Columns from a patch to the next"},
    {"width", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of a token"},
    {"blocks", ET_OPTION_INT, "N", NULL, 1, 64, "Encoder blocks"},
    {"heads", ET_OPTION_INT, "N", NULL, 1, 1024, "Attention heads of a block"},
    {"head-width", ET_OPTION_INT, "N", NULL, 0, 65536, "Width of a head; 0: the heads share the token's width"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the hidden layer of a block's perceptron"},
    {"acts", ET_OPTION_INT, "N", NULL, 1, 2, "GELU behind the first of its layers alone (1) or behind both (2)"},
    {"head1", ET_OPTION_INT, "N", NULL, 0, 65536, "Width of the head's first hidden layer; 0: none"},
    {"head2", ET_OPTION_INT, "N", NULL, 0, 65536, "Width of its second; 0: none"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the blocks"},
    {"head-dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the head"},
    {"drop-path", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Chance that an item skips a branch of the last block"},
    {"window", ET_OPTION_INT, "N", NULL, 0, 100000,
     "Frames that the model sees: a random stretch in training, three in judging; 0: all"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine", NULL, 0, 0, "The rate over time; cosine begins with a warm-up"},
    {"clip", ET_OPTION_REAL, "X", NULL, 0, 1e6, "Clip a member's gradient to this norm; 0: not"},
    {"weight-decay", ET_OPTION_REAL, "X", NULL, 0, 10, "Decoupled weight decay (AdamW)"},
    {"folds", ET_OPTION_INT, "N", NULL, 0, FOLDS,
     "Train on so many of five parts of the data with the fifth held out, in turn; 0: on the data's own split"},
    {"split", ET_OPTION_CHOICE, "track|segment", "track", 0, 0,
     "Whether folds keep the segments of a track together"},
    GENRE_OPTIONS,
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "genre-vit",
    .summary = "music genres from patches of spectrograms",
    .about = "Without --data it learns a task that it makes itself. With GTZAN's spectrograms it learns genres. "
             "--config paper is the paper's model and training. Defaults depend on data and configuration and are "
             "written to config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
