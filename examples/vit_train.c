/* Training of genre-vit: see vit_train.h. */
#include "config.h"

#include "examples/vit_train.h"

#include <stdio.h>
#include <string.h>

#include "datasets/augment.h"
#include "examples/common/textplot.h"
#include "nn/optim.h"
#include "tensor/alloc.h"

enum { STREAM_AUGMENT = 1000, CURVE_TERMS = 4 /* cosines of a random equaliser */ };

/* --- the loop's callbacks --------------------------------------------------------------------- */

static et_status begin_epoch(void *user, int64_t epoch)
{
    vit_job *j = user;

    j->right = 0;
    j->augment = et_rng_make((uint64_t)et_cli_int(j->cli, "seed"), STREAM_AUGMENT + (uint64_t)epoch);
    if (et_run_loop_epoch(&j->loop, epoch, et_batches_items(j->batches)))
        return et_error_status();
    return et_batches_start(j->batches, epoch);
}

/* Inputs x [B, T, F] of a batch as training sees them: windows, moved and coloured. */
static et_tensor *vary(vit_job *j, et_tensor *x)
{
    const int64_t channels = vit_channels(j->source->kind), shift = et_cli_int(j->cli, "shift");
    const double equalise = et_cli_real(j->cli, "equalise");

    if (x && j->frames < x->shape[1])
        x = vit_spreads(j->cli) ? et_augment_pick(x, NULL, j->frames, &j->augment)
                                : et_augment_crop(x, NULL, j->frames, &j->augment);
    if (x && shift > 0 && et_augment_transpose(x, NULL, channels, shift, &j->augment))
        return NULL;
    if (x && equalise > 0 &&
        et_augment_equalise(x, NULL, x->shape[2] / channels, CURVE_TERMS, equalise, &j->augment))
        return NULL;
    return x;
}

static int64_t next_batch(void *user)
{
    vit_job *j = user;
    const genre_inputs inputs = vit_inputs(j->source);
    double mixup = et_cli_real(j->cli, "mixup");
    et_batch *b = &j->batch;

    if (!et_batches_more(j->batches))
        return 0;
    if (et_batches_next(j->batches, b))
        return et_error_status();
    b->x = vary(j, inputs.read ? inputs.read(inputs.user, b->index, b->n) : b->x);
    j->targets = et_augment_one_hot(b->y, et_dataset_classes(j->ds), et_cli_real(j->cli, "smoothing"));
    if (!b->x || !j->targets || (mixup > 0 && et_augment_mixup(b->x, j->targets, NULL, mixup, &j->augment)))
        return et_error_status();
    return b->n;
}

static et_tensor *batch_loss(void *user)
{
    vit_job *j = user;
    int64_t right;
    et_tensor *loss = genre_model_loss(j->model, j->batch.x, NULL, j->targets, &right);

    j->right += right;
    return loss;
}

static bool by_accuracy(const vit_job *j) { return strcmp(et_cli_text(j->cli, "keep"), "accuracy") == 0; }

static et_status validate(void *user, double *metric)
{
    vit_job *j = user;
    et_status status = genre_judge(j->model, j->windows, vit_inputs(j->source), &j->valid_windows, &j->valid);

    *metric = by_accuracy(j) ? j->valid.accuracy : j->valid.loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    vit_job *j = user;
    et_figure figures[GENRE_FIGURES + 5];

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    if (!j->quiet)
        et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  accuracy %.3f%s", e->loss, j->valid.loss,
                        j->valid.accuracy, e->improved ? "  best" : "");
    if (!j->run)
        return ET_OK;
    int n = genre_figures(&j->valid, true, figures);
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"train_accuracy", (double)j->right / (double)e->items};
    figures[n++] = (et_figure){"lr", e->lr};
    figures[n++] = (et_figure){"fold", (double)j->fold};
    return et_run_loop_log(&j->loop, e, figures, n);
}

/* --- one fold ---------------------------------------------------------------------------------- */

/* Features as deviations from the training part's means, which the model keeps. Segments of sound are
 * standardised one by one unless --standardize says otherwise; the model's buffers then are 0 and 1. */
static et_status standardize(vit_job *j)
{
    et_tensor *mean = et_module_find(j->model->root, "input_mean"),
              *std = et_module_find(j->model->root, "input_std");
    et_status status;

    if (j->source->sounds && strcmp(et_cli_text(j->cli, "standardize"), "training") == 0) {
        status = vit_sounds_fit(j->source->sounds, &j->train_items, et_data_mut(mean), et_data_mut(std));
        return status ? status
                      : vit_sounds_standardize(j->source->sounds, et_data_f32(mean), et_data_f32(std));
    }
    if (!vit_standardizes(j->source->kind))
        return et_fill(std, 1);
    status = genre_model_fit(j->model, j->ds, &j->train_items);
    if (!status)
        status = genre_model_standardize(j->model, 0, j->ds);
    return status ? status : genre_model_standardize(j->model, 0, j->windows);
}

/* The windows of the items. Their number is the same for each. */
static et_status windows_of(const et_indices *items, int64_t each, et_indices *out)
{
    *out = (et_indices){.items = et_alloc_zero((size_t)items->n, (size_t)each * sizeof *out->items),
                        .n = items->n * each};
    for (int64_t i = 0; out->items && i < out->n; i++)
        out->items[i] = (int32_t)(items->items[i / each] * each + i % each);
    return out->items ? ET_OK : et_error_status();
}

static et_status split(vit_job *j)
{
    const int parts = (int)et_cli_int(j->cli, "folds");
    et_status status = ET_OK;

    if (parts > 0) {
        int32_t *fold = et_alloc((size_t)et_dataset_size(j->ds) * sizeof *fold + 1);
        et_tensor *groups = j->ds->groups;
        if (strcmp(et_cli_text(j->cli, "split"), "segment") == 0)
            j->ds->groups = NULL;
        status = fold ? et_split_folds(j->ds, parts, 1, fold) : ET_ENOMEM;
        j->ds->groups = groups;
        if (!status)
            status = et_split_fold(j->ds, fold, (int)j->fold, &j->train_items, &j->valid_items);
        et_dealloc(fold);
    } else {
        status = et_split_named(j->ds, "train", &j->train_items);
        if (!status)
            status = et_split_named(j->ds, "valid", &j->valid_items);
    }
    if (!status && (j->train_items.n == 0 || j->valid_items.n == 0))
        status = parts ? et_raise(ET_EFORMAT, "there are too few recordings for %d folds", parts)
                       : et_raise(ET_EFORMAT,
                                  "the data have no training or no validation part: --folds makes them");
    return status;
}

et_status vit_job_load(vit_job *j)
{
    int64_t window = et_cli_int(j->cli, "window");
    et_indices all = {0};
    et_status status = et_split_all(j->source->ds, &all);

    if (!status && !(j->ds = et_dataset_subset(j->source->ds, all.items, all.n)))
        status = et_error_status();
    et_indices_free(&all);
    if (!status)
        status = split(j);
    const int64_t bands = vit_features(j->source) / vit_channels(j->source->kind),
                  shift = et_cli_int(j->cli, "shift");
    if (!status && shift >= bands && shift > 0)
        status = et_raise(ET_EINVAL, "--shift %lld: the spectra have %lld bands", (long long)shift,
                          (long long)bands);
    if (!status && j->source->sounds && window > 0)
        status = et_raise(ET_EINVAL, "--window is for tables: segments of sound have %d frames", VIT_SEGMENT);
    if (!status)
        j->windows = j->source->sounds ? j->ds : vit_windows_of(j->cli, j->ds);
    if (!status && !j->windows)
        status = et_error_status();
    j->frames = j->windows && !j->source->sounds ? j->windows->x->shape[1] : VIT_SEGMENT;
    int64_t each = j->windows ? et_dataset_size(j->windows) / et_dataset_size(j->ds) : 1;
    if (!status)
        status = windows_of(&j->train_items, each, &j->train_windows);
    if (!status)
        status = windows_of(&j->valid_items, each, &j->valid_windows);
    return status ? et_error_status() : ET_OK;
}

void vit_job_unload(vit_job *j)
{
    et_batches_free(j->batches);
    et_indices_free(&j->train_items);
    et_indices_free(&j->valid_items);
    et_indices_free(&j->train_windows);
    et_indices_free(&j->valid_windows);
    genre_verdict_free(&j->valid);
    if (j->windows != j->ds)
        et_dataset_free(j->windows);
    et_dataset_free(j->ds);
    genre_model_free(j->model);
}

et_status vit_job_model(vit_job *j, const et_vit_config *sizes)
{
    et_vit_config c = sizes ? *sizes
                            : vit_config_of(j->cli, j->source->kind, j->frames, vit_features(j->source),
                                            et_dataset_classes(j->ds));

    j->epochs = et_cli_int(j->cli, "epochs");
    j->model = vit_build(j->cli, &c);
    return j->model ? standardize(j) : et_error_status();
}

/* The path of a file of this fold's: NAME.ENDING, of later ones NAME-1.ENDING, ... */
static const char *file_of(const vit_job *j, const char *name, const char *ending)
{
    char file[64];

    if (!j->run)
        return NULL;
    if (j->place)
        snprintf(file, sizeof file, "%s-%lld.%s", name, (long long)j->place, ending);
    else
        snprintf(file, sizeof file, "%s.%s", name, ending);
    return et_run_path(j->run, file);
}

et_status vit_job_train(vit_job *j, const et_vit_config *sizes, et_train_result *result)
{
    et_cli *cli = j->cli;
    et_batch_options bo = {.size = et_cli_int(cli, "batch"), .shuffle = true,
                           .seed = (uint64_t)et_cli_int(cli, "seed")};

    bo.drop_last = j->train_items.n >= bo.size;
    if (vit_job_model(j, sizes))
        return et_error_status();
    j->batches = et_batches_new(j->ds, j->train_items.items, j->train_items.n, &bo);
    const et_optim_options oo = {.kind = ET_ADAMW, .lr = et_cli_real(cli, "lr"),
                                 .weight_decay = et_cli_real(cli, "weight-decay")};
    et_optim *opt = j->batches ? et_optim_new(j->model->root, &oo, NULL, 0) : NULL;
    if (!opt)
        return et_error_status();
    if (!j->quiet && j->place == 0) {
        printf("%lld training and %lld validation item%s of %lld frames, %lld features, %lld classes\n",
               (long long)j->train_items.n, (long long)j->valid_items.n, et_plural(j->valid_items.n),
               (long long)j->frames,
               (long long)vit_features(j->source), (long long)et_dataset_classes(j->ds));
        et_module_print(j->model->root, stdout);
    }
    int64_t steps = et_batches_count(j->batches) * j->epochs;
    double clip = et_cli_real(cli, "clip");
    et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"),
                          .warmup = steps / 20, .total = steps};
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                          .validate = j->run ? validate : NULL};
    const et_train_options options = {
        .mixed = et_run_mixed(cli),
        .clip = clip > 0 ? genre_model_clip(j->model, clip) : 0,
        .schedule = strcmp(et_cli_text(cli, "schedule"), "cosine") == 0 ? &cosine : NULL,
        .maximise = j->run && by_accuracy(j),
        .last_path = file_of(j, "last", "ckpt"),
        .best_path = file_of(j, "best", "safetensors"),
        .resume = j->run && et_cli_flag(cli, "resume"),
        .report = report,
    };
    j->loop = (et_run_loop){.cli = cli, .run = j->run, .before = j->place * j->epochs, .quiet = j->quiet};
    et_status status = et_run_loop_train(&j->loop, j->model->root, opt, &task, options, result);
    et_optim_free(opt);
    return status;
}
