/* The verb ablate of genre-vit: variants of the model, trained and judged alike, in one table. */
#include "config.h"

#include <stdio.h>

#include "examples/common/interrupt.h"
#include "examples/common/run_train.h"
#include "examples/vit_report.h"
#include "examples/vit_train.h"

static const char *const names[] = {"as configured", "all tokens, flattened", "mean of tokens",
                                    "class token", "mean and deviation", "square patches",
                                    "time-only patches", "heads share the width"};
enum { VARIANTS = sizeof names / sizeof *names };

/* What the paper argues about, one change at a time. What 0 stands for is filled in. */
static void variant(int i, et_vit_config *c)
{
    int64_t area = c->patch_h * c->patch_w, side = 1;

    while ((side + 1) * (side + 1) <= area)
        side++;
    if (i >= 1 && i <= 4)
        c->pooling = (et_vit_pooling)(i - 1);
    if (i == 5)
        c->patch_h = c->patch_w = side;
    if (i == 6) {
        c->patch_h = area / c->width > 0 ? area / c->width : 1;
        c->patch_w = c->width;
    }
    if (i == 5 || i == 6)
        c->step_h = c->step_w = 0;
    if (i == 7)
        c->head_width = 0;
    c->step_h = c->step_h ? c->step_h : c->patch_h;
    c->step_w = c->step_w ? c->step_w : c->patch_w;
    if (c->head_width == 0 && c->heads > 0 && c->d % c->heads == 0)
        c->head_width = c->d / c->heads;
}

/* Whether two are the same model, in what variants change. */
static bool alike(const et_vit_config *a, const et_vit_config *b)
{
    return a->pooling == b->pooling && a->patch_h == b->patch_h && a->patch_w == b->patch_w &&
           a->step_h == b->step_h && a->step_w == b->step_w && a->head_width == b->head_width;
}

/* Trains variant i and prints its row, unless one of those before it, tried[i], is the same. */
static et_status row(et_cli *cli, const vit_source *source, et_vit_config *tried, int i,
                     et_train_result *result)
{
    vit_job j = {.cli = cli, .source = source, .quiet = true};
    const char *name = names[i];
    et_status status = vit_job_load(&j);
    int same = i;

    if (!status) {
        tried[i] = vit_config_of(cli, source->kind, j.frames, vit_features(source),
                                 et_dataset_classes(j.ds));
        variant(i, &tried[i]);
        for (int k = i - 1; k >= 0; k--)
            same = alike(&tried[k], &tried[i]) ? k : same;
        if (same == i)
            status = vit_job_train(&j, &tried[i], result);
    }
    if (!status && same < i) {
        printf("%-24s the same as \"%s\"\n", name, names[same]);
    } else if (!status && !result->interrupted) {
        et_module_eval(j.model->root);
        status = genre_judge(j.model, j.windows, vit_inputs(source), &j.valid_windows, &j.valid);
        if (!status)
            printf("%-24s %10lld %8.3f %8.3f %8.3f\n", name, (long long)et_module_count(j.model->root),
                   j.valid.accuracy, vit_track_accuracy(j.windows, &j.valid_windows, &j.valid), j.valid.loss);
    }
    fflush(stdout);
    vit_job_unload(&j);
    return status;
}

int vit_ablate(et_cli *cli)
{
    const char *dir = et_cli_text(cli, "data");
    vit_source source = {0};
    et_vit_config tried[VARIANTS];
    et_train_result result = {0};
    int kind = vit_kind_of(dir, et_cli_text(cli, "task"));
    et_status status = kind < 0 ? et_error_status() : vit_defaults(cli, (vit_kind)kind);

    if (!status)
        status = et_interrupt_catch();
    if (!status)
        status = vit_load((vit_kind)kind, dir, et_cli_text(cli, "cache"), vit_centres_bands(cli),
                          false, &source);
    if (!status)
        printf("%-24s %10s %8s %8s %8s\n", "variant", "parameters", "segment", "track", "loss");
    fflush(stdout);
    for (int i = 0; !status && !result.interrupted && i < VARIANTS; i++)
        status = row(cli, &source, tried, i, &result);
    vit_unload(&source);
    return et_run_exit(NULL, cli, status, &result);
}
