/* The verb collapse: the same model with and without mu-forcing,
 * what its latent space holds over training. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "examples/common/interrupt.h"
#include "examples/common/run_train.h"
#include "examples/style_report.h"
#include "examples/style_train.h"
#include "examples/style_verbs.h"
#include "tensor/alloc.h"

enum { VARIANTS = 2, ROWS = 6, COLS = 9 };
static const char *const folders[VARIANTS] = {"without", "with"};

/* Where a divergence of this weight on so few dimensions outweighs what the content saves of the
 * reconstruction, nothing but mu-forcing keeps the content in use. Its hinge asks for more variance with
 * slope 1, the divergence for less with slope kl-weight / 2: the hinge wins below 2. */
static et_status defaults(et_cli *cli)
{
    if (style_recipe_defaults(cli))
        return et_error_status();
    et_cli_default_int(cli, "content", 8);
    et_cli_default_real(cli, "kl-weight", 1.5);
    et_cli_default_real(cli, "kl-k", 40);
    return et_error_status();
}

/* Rows spread over the epochs, the last among them. */
static void table(et_report *r, et_run *const runs[VARIANTS])
{
    static const char *const columns[4] = {"valid_kl", "valid_mutual_information", "valid_active_units",
                                           "valid_pitch_accuracy"};
    static const char *const header[COLS] = {"epoch", "KL without", "KL with", "MI without", "MI with",
                                             "active units without", "active units with",
                                             "pitches right without", "pitches right with"};
    const int64_t rows = et_run_log_rows(runs[0]);
    double *y = et_alloc_zero((size_t)rows, 4 * VARIANTS * sizeof *y);
    char text[ROWS][COLS][24];
    const char *cells[ROWS * COLS];
    int n = 0;

    for (int c = 0; y && c < 4; c++)
        for (int v = 0; v < VARIANTS; v++)
            if (et_run_log_rows(runs[v]) != rows || et_run_log_column(runs[v], columns[c],
                                                                      y + (c * VARIANTS + v) * rows)) {
                et_dealloc(y);
                return;
            }
    printf("%5s  %8s %8s  %8s %8s  %8s %8s  %8s %8s\n", "", "KL", "KL", "MI", "MI", "active", "active",
           "pitches", "pitches");
    printf("%5s  %8s %8s  %8s %8s  %8s %8s  %8s %8s\n", "epoch", "without", "with", "without", "with",
           "without", "with", "without", "with");
    for (int i = 0; y && i < ROWS; i++) {
        const int64_t row = rows - 1 - (ROWS - 1 - i) * (rows - 1) / (ROWS - 1);
        if (i > 0 && row == rows - 1 - (ROWS - i) * (rows - 1) / (ROWS - 1))
            continue;
        snprintf(text[n][0], 24, "%" PRId64, row + 1);
        for (int c = 1; c < COLS; c++)
            snprintf(text[n][c], 24, c < 5 ? "%.2f" : c < 7 ? "%.0f" : "%.3f", y[(c - 1) * rows + row]);
        for (int c = 0; c < COLS; c++)
            cells[n * COLS + c] = text[n][c];
        printf("%5s  %8s %8s  %8s %8s  %8s %8s  %8s %8s\n", text[n][0], text[n][1], text[n][2], text[n][3],
               text[n][4], text[n][5], text[n][6], text[n][7], text[n][8]);
        n++;
    }
    if (y)
        et_report_table(r, "Validation data; KL and mutual information in nats a segment", COLS, header,
                        n, cells);
    et_dealloc(y);
}

static et_status show(et_cli *cli, et_run *const runs[VARIANTS])
{
    const et_run *const four[4] = {runs[0], runs[1], runs[0], runs[1]};
    et_report *r = et_report_new("Posterior collapse, and mu-forcing",
                                 "The same model trained twice: without mu-forcing and with it.");
    et_strbuf path = ET_STRBUF_INIT;

    style_report_columns(r, 4, four,
                         (const char *const[]){"valid_kl", "valid_kl", "valid_mutual_information",
                                               "valid_mutual_information"},
                         (const char *const[]){"KL without", "KL with", "mutual information without",
                                               "mutual information with"},
                         "nats a segment",
                         "KL(q(z|x) || p) and I(x; z) on validation data after each epoch.");
    style_report_columns(r, 2, four, (const char *const[]){"valid_active_units", "valid_active_units"},
                         (const char *const[]){"without", "with"}, "active units", NULL);
    style_report_columns(r, 2, four, (const char *const[]){"valid_pitch_accuracy", "valid_pitch_accuracy"},
                         (const char *const[]){"without", "with"}, "pitches right", NULL);
    table(r, runs);
    et_strbuf_printf(&path, "%s/collapse.html", et_cli_text(cli, "out"));
    const et_status status = path.failed ? ET_ENOMEM : et_report_write(r, path.data);
    if (!status)
        printf("page: %s\n", path.data);
    et_strbuf_free(&path);
    et_report_free(r);
    return status;
}

int style_verb_collapse(et_cli *cli)
{
    et_run *runs[VARIANTS] = {NULL, NULL};
    const et_run_mode mode = et_cli_flag(cli, "overwrite") ? ET_RUN_OVERWRITE : ET_RUN_NEW;
    et_train_result result = {0};
    style_data d = {0};
    et_status status = et_interrupt_catch() ? et_error_status() : defaults(cli);
    const style_source from = style_source_of(cli);

    for (int v = 0; !status && v < VARIANTS; v++) {
        et_strbuf dir = ET_STRBUF_INIT;
        et_strbuf_printf(&dir, "%s/%s", et_cli_text(cli, "out"), folders[v]);
        runs[v] = dir.failed ? NULL : et_run_open(cli, dir.data, mode);
        status = runs[v] ? ET_OK : dir.failed ? ET_ENOMEM : et_error_status();
        et_strbuf_free(&dir);
    }
    if (!status)
        status = style_data_load(&from, &d);
    for (int v = 0; !status && !result.interrupted && v < VARIANTS; v++) {
        et_style_vae *model = NULL;
        result = (et_train_result){0};
        status = et_cli_default(cli, "mu-forcing", v ? "per-dim" : "none");
        if (!status)
            printf("%s mu-forcing: %s\n", folders[v], et_run_dir(runs[v]));
        if (!status)
            status = style_train(cli, runs[v], &d, false, &model, &result);
        if (model)
            et_module_free(&model->module);
    }
    if (!status && !result.interrupted)
        status = show(cli, runs);
    for (int v = VARIANTS - 1; v >= 0; v--) /* the folder around both was made with the first */
        et_run_close(runs[v]);
    style_data_free(&d);
    return et_run_exit(NULL, cli, status, &result);
}
