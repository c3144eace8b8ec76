/* The verb train of genre-vit: a model for each of the folds that --fold names, one after the other. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/textplot.h"
#include "examples/vit_read.h"
#include "examples/vit_report.h"
#include "examples/vit_train.h"

enum { MOST_FOLDS = 20 };

/* What is said of each fold in the end. */
typedef struct fold_figures {
    int64_t fold, best_epoch;
    double segment, track, loss;
} fold_figures;

/* "0,1" to numbers below `parts`; their count, or 0 and EINVAL. Without folds there is one run. */
static int folds_of(const et_cli *cli, int64_t *out)
{
    const int64_t parts = et_cli_int(cli, "folds");
    const char *p = et_cli_text(cli, "fold");
    int n = 0;

    out[0] = 0;
    if (parts == 0)
        return 1;
    if (parts < 2) {
        et_raise(ET_EINVAL, "--folds %lld: two parts or more, or 0 for the data's own split",
                 (long long)parts);
        return 0;
    }
    for (;; p++) {
        char *end;
        long k = strtol(p, &end, 10);
        bool twice = false;
        for (int i = 0; i < n; i++)
            twice = twice || out[i] == k;
        if (end == p || *p < '0' || *p > '9' || k >= parts || twice || n == MOST_FOLDS ||
            (*end && *end != ',')) {
            et_raise(ET_EINVAL, "--fold %s: expected numbers from 0 to %lld with commas between, each once",
                     et_cli_text(cli, "fold"), (long long)parts - 1);
            return 0;
        }
        out[n++] = k;
        if (!*end)
            return n;
        p = end;
    }
}

/* A fold's epochs come after those of the folds before it in the log: when a run of several is gone on with,
 * they stay as many. */
static et_status check_epochs(const et_cli *cli, const et_run *run, int folds)
{
    const int64_t asked = et_cli_int(cli, "epochs");
    const int64_t had = et_json_get_int(et_json_get(et_run_config(run), "options"), "epochs", asked);

    if (folds > 1 && had != asked)
        return et_raise(ET_EINVAL,
                        "--epochs %lld: the folds of the run in %s have %lld each, which cannot be changed: "
                        "leave it out to resume", (long long)asked, et_run_dir(run), (long long)had);
    return ET_OK;
}

/* What a run that is gone on with leaves unsaid is as it was when it was made, before there was a choice. */
static void keep_as_made(et_cli *cli, et_run *run)
{
    const et_json_value *options = et_json_get(et_run_config(run), "options");

    if (!et_json_get(options, "centre"))
        et_cli_default(cli, "centre", "track");
    if (!et_json_get(options, "frames"))
        et_cli_default(cli, "frames", "stretch");
}

/* The first fold's trained model on its training and validation data: metrics.json and report.html. */
static et_status conclude(vit_job *j)
{
    et_figure figures[GENRE_FIGURES + 1];
    genre_verdict v = {0};
    const genre_inputs inputs = vit_inputs(j->source);
    et_status status = genre_judge(j->model, j->windows, inputs, &j->train_windows, &v);

    if (!status)
        status = et_run_metrics(j->run, "train", figures, vit_figures(j->windows, &j->train_windows, &v,
                                                                      figures));
    if (!status)
        status = genre_judge(j->model, j->windows, inputs, &j->valid_windows, &v);
    if (!status)
        status = et_run_metrics(j->run, "valid", figures, vit_figures(j->windows, &j->valid_windows, &v,
                                                                      figures));
    if (!status)
        status = vit_report(j->run, j->source, j->windows, &j->valid_windows, &v, "validation", j->model);
    if (!status)
        printf("validation: accuracy %.3f a segment, %.3f a track, macro F1 %.3f, loss %.3f\nreport: %s\n",
               v.accuracy, vit_track_accuracy(j->windows, &j->valid_windows, &v), v.f1_macro, v.loss,
               et_run_path(j->run, ET_RUN_REPORT));
    genre_verdict_free(&v);
    return status;
}

static et_status one_fold(vit_job *j, fold_figures *f, et_train_result *result)
{
    et_status status = vit_job_load(j);

    if (!status)
        status = vit_job_train(j, NULL, result);
    if (status || result->interrupted)
        return status;
    status = genre_judge(j->model, j->windows, vit_inputs(j->source), &j->valid_windows, &j->valid);
    *f = (fold_figures){j->fold, result->best_epoch, j->valid.accuracy,
                        status ? 0 : vit_track_accuracy(j->windows, &j->valid_windows, &j->valid),
                        j->valid.loss};
    return status;
}

/* A line for each fold and their mean, and the section "folds" of metrics.json. */
static et_status tell(et_run *run, const fold_figures *f, int n)
{
    char names[2 * MOST_FOLDS][32];
    et_figure figures[2 * MOST_FOLDS + 2];
    double segment = 0, track = 0;

    for (int i = 0; i < n; i++) {
        printf("fold %lld: validation accuracy %.3f a segment, %.3f a track, loss %.3f (epoch %lld)\n",
               (long long)f[i].fold, f[i].segment, f[i].track, f[i].loss, (long long)f[i].best_epoch + 1);
        snprintf(names[2 * i], sizeof *names, "accuracy_%lld", (long long)f[i].fold);
        snprintf(names[2 * i + 1], sizeof *names, "segment_accuracy_%lld", (long long)f[i].fold);
        figures[2 * i] = (et_figure){names[2 * i], f[i].track};
        figures[2 * i + 1] = (et_figure){names[2 * i + 1], f[i].segment};
        segment += f[i].segment / n;
        track += f[i].track / n;
    }
    figures[2 * n] = (et_figure){"accuracy", track};
    figures[2 * n + 1] = (et_figure){"segment_accuracy", segment};
    printf("mean of %d fold%s: accuracy %.3f a segment, %.3f a track\n", n, et_plural(n), segment,
           track);
    return et_run_metrics(run, "folds", figures, 2 * n + 2);
}

/* The options, and the genres in their order. */
static et_status write_config(et_run *run, et_cli *cli, const et_names *genres)
{
    et_json_writer w;

    if (et_run_config_begin(run, cli, &w))
        return et_error_status();
    et_run_write_names(&w, "genres", genres);
    return et_run_config_end(run, &w);
}

/* The folds in turn; then the first one's model is judged for the report, as the curves of all are in the log
 * by then. When the run is gone on with, folds that are done end at once. */
static et_status all_folds(et_cli *cli, const vit_source *source, et_run *run, et_train_result *result)
{
    int64_t folds[MOST_FOLDS];
    fold_figures figures[MOST_FOLDS];
    const int n = folds_of(cli, folds);
    et_status status = n ? ET_OK : et_error_status();

    for (int i = 0; !status && !result->interrupted && i < n; i++) {
        vit_job j = {.cli = cli, .source = source, .fold = folds[i], .place = i, .run = run};
        status = one_fold(&j, &figures[i], result);
        if (!status && !result->interrupted && n == 1)
            status = conclude(&j);
        vit_job_unload(&j);
    }
    if (status || result->interrupted || n == 1)
        return status;
    if ((status = tell(run, figures, n)))
        return status;
    vit_job j = {.cli = cli, .source = source, .fold = folds[0], .run = run};
    if (!(status = vit_job_load(&j)) && !(status = vit_job_model(&j, NULL)) &&
        !(status = genre_model_load(j.model, et_run_path(run, ET_RUN_BEST)))) {
        et_module_eval(j.model->root);
        status = conclude(&j);
    }
    vit_job_unload(&j);
    return status;
}

int vit_train(et_cli *cli)
{
    et_train_result result = {0};
    vit_source source = {0};
    int64_t folds[MOST_FOLDS];
    et_run *run = et_run_for_training(cli); /* which says what the data are of one that is gone on with */
    et_status status = run ? ET_OK : et_error_status();
    const bool is_new = !status && !et_run_config(run);
    int n_folds = 0;

    const char *dir = et_cli_text(cli, "data");
    int kind = status ? -1 : vit_kind_of(dir, et_cli_text(cli, "task"));
    if (!status)
        status = kind < 0 ? et_error_status() : vit_defaults(cli, (vit_kind)kind);
    if (!status && !is_new)
        keep_as_made(cli, run);
    if (!status && (n_folds = folds_of(cli, folds)) == 0)
        status = et_error_status();
    if (!status && !is_new)
        status = check_epochs(cli, run, n_folds);
    if (!status)
        status = vit_load((vit_kind)kind, dir, et_cli_text(cli, "cache"), vit_centres_bands(cli),
                          false, &source);
    if (!status)
        status = et_run_check_names(run, "genres", &source.ds->classes);
    if (!status && is_new) { /* whether the model fits the data, before an old run is overwritten */
        vit_job j = {.cli = cli, .source = &source, .fold = folds[0]};
        if (!(status = vit_job_load(&j)))
            status = vit_job_model(&j, NULL);
        vit_job_unload(&j);
    }
    if (!status)
        status = write_config(run, cli, &source.ds->classes);
    if (!status)
        status = all_folds(cli, &source, run, &result);
    const int code = et_run_exit(run, cli, status, &result);
    vit_unload(&source);
    et_run_close(run);
    return code;
}
