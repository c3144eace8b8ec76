/* The verbs of genre-vit that read a run: see vit_read.h. */
#include "config.h"

#include "examples/vit_read.h"

#include <stdio.h>
#include <string.h>

#include "examples/common/run_model.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/vit_report.h"
#include "examples/vit_train.h"

/* A trained model and the data to judge it on, prepared as in training. */
typedef struct reading {
    et_run *run;
    vit_source source;
    et_dataset *windows; /* of the items; with sounds the items themselves */
    et_indices items;
    genre_model *model;
    genre_verdict v;
} reading;

static et_status open_reading(et_cli *cli, reading *s)
{
    const char *dir;
    int kind;

    if (!(s->run = et_run_for_reading(cli)))
        return et_error_status();
    dir = et_cli_text(cli, "data");
    bool learned_data = et_json_get(et_json_get(et_run_config(s->run), "options"), "data") != NULL;
    if ((dir != NULL) != learned_data)
        return et_raise(ET_EINVAL, "%s learned %s: judge it with%s --data", et_run_dir(s->run),
                        learned_data ? "recordings" : "a built-in task", learned_data ? "" : "out");
    if ((kind = vit_kind_of(dir, et_cli_text(cli, "task"))) < 0 || vit_refuse(cli, (vit_kind)kind) ||
        vit_load((vit_kind)kind, dir, et_run_cache_fits(s->run, cli) ? et_cli_text(cli, "cache") : NULL,
                 vit_centres_bands(cli), true, &s->source) ||
        et_run_check_names(s->run, "genres", &s->source.ds->classes))
        return et_error_status();
    s->windows = s->source.sounds ? s->source.ds : vit_windows_of(cli, s->source.ds);
    et_status status = s->windows ? et_split_all(s->windows, &s->items) : et_error_status();
    if (!status) {
        et_vit_config c = vit_config_of(cli, s->source.kind,
                                        s->source.sounds ? VIT_SEGMENT : s->windows->x->shape[1],
                                        vit_features(&s->source), et_dataset_classes(s->windows));
        status = (s->model = vit_build(cli, &c)) ? ET_OK : et_error_status();
    }
    if (!status)
        status = genre_model_load(s->model, et_run_path(s->run, ET_RUN_BEST));
    if (!status && s->source.sounds && strcmp(et_cli_text(cli, "standardize"), "training") == 0)
        status = vit_sounds_standardize(s->source.sounds,
                                        et_data_f32(et_module_find(s->model->root, "input_mean")),
                                        et_data_f32(et_module_find(s->model->root, "input_std")));
    if (!status && vit_standardizes(s->source.kind))
        status = genre_model_standardize(s->model, 0, s->windows);
    if (!status)
        et_module_eval(s->model->root);
    return status ? status : genre_judge(s->model, s->windows, vit_inputs(&s->source), &s->items, &s->v);
}

static void close_reading(reading *s)
{
    genre_verdict_free(&s->v);
    et_indices_free(&s->items);
    if (s->windows != s->source.ds)
        et_dataset_free(s->windows);
    vit_unload(&s->source);
    genre_model_free(s->model);
    et_run_close(s->run);
}

int vit_eval(et_cli *cli)
{
    reading s = {0};
    et_figure figures[GENRE_FIGURES + 1];
    et_status status = open_reading(cli, &s);
    const char *judged = status ? NULL : et_run_judged(s.run, cli);

    if (!status)
        status = et_run_metrics(s.run, judged, figures, vit_figures(s.windows, &s.items, &s.v, figures));
    if (!status)
        status = vit_report(s.run, &s.source, s.windows, &s.items, &s.v, judged, s.model);
    if (!status)
        printf("%s: %lld segment%s, accuracy %.3f a segment, %.3f a track, macro F1 %.3f, loss "
               "%.3f\nreport: %s\n",
               judged, (long long)s.v.n, et_plural(s.v.n), s.v.accuracy,
               vit_track_accuracy(s.windows, &s.items, &s.v),
               s.v.f1_macro, s.v.loss, et_run_path(s.run, ET_RUN_REPORT));
    close_reading(&s);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}

/* Prints the strongest patches of some items, and draws them: explain.html. */
int vit_explain(et_cli *cli)
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
        status = vit_report_item(r, stdout, &s.source, s.windows, &s.items, &s.v, i, s.model);
        shown++;
    }
    if (!status && wanted && shown == 0)
        status = et_raise(ET_EINVAL, "no item is called %s", wanted);
    status = et_run_page_end(r, s.run, "explain.html", status);
    close_reading(&s);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}
