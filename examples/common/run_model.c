/* Weights and report of a run's model: see run_model.h. */
#include "config.h"

#include "examples/common/run_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "examples/common/textplot.h"
#include "tensor/alloc.h"

enum { MARKS = 8 };

et_status et_run_load_weights(et_module *m, const char *path)
{
    const et_load_options options = {0};
    et_status status = path ? et_module_load(m, path, &options, NULL) : et_error_status();
    char why[512];

    if (!status)
        status = et_module_check_finite(m);
    if (status != ET_ESHAPE && status != ET_ENONFINITE)
        return status;
    snprintf(why, sizeof why, "%s", et_error_message());
    et_error_clear();
    return status == ET_ESHAPE ? et_raise(ET_EFORMAT, "%s: config.json describes another model", why)
                               : et_raise(ET_EFORMAT, "%s: %s", path, why);
}

void et_run_report_curves(et_report *r, const et_run *run, const char *train, const char *valid,
                          const char *label)
{
    int64_t rows = et_run_log_rows(run);
    double *y = et_alloc_zero((size_t)rows, 3 * sizeof *y), *phase = y ? y + 2 * rows : NULL;
    et_mark marks[MARKS];
    char text[MARKS][24];
    int n_marks = 0;

    if (!y || rows < 1) {
        et_dealloc(y);
        return;
    }
    et_series s[2];
    int n = 0;
    if (train && et_run_log_column(run, train, y) == ET_OK)
        s[n++] = (et_series){.name = "training", .n = rows, .y = y};
    if (et_run_log_column(run, valid, y + rows) == ET_OK)
        s[n++] = (et_series){.name = "validation", .n = rows, .y = y + rows};
    if (et_run_log_column(run, "phase", phase) == ET_OK)
        for (int64_t i = 1; i < rows && n_marks < MARKS; i++)
            if (phase[i] > phase[i - 1]) {
                snprintf(text[n_marks], sizeof text[n_marks], "phase %.0f", phase[i]);
                marks[n_marks] = (et_mark){(double)i + 0.5, text[n_marks]};
                n_marks++;
            }
    et_report_lines(r, &(et_chart){.what = label, .x_label = "epoch", .y_label = label, .series = s,
                                   .n_series = n, .marks = marks, .n_marks = n_marks}, NULL);
    et_dealloc(y);
}

/* Says, on the page and where errors are told, that curves are missing or end early. */
static void tell_damage(et_report *r, const et_run *run)
{
    const char *damage = et_run_log_damage(run);

    if (!damage)
        return;
    et_report_text(r, "Left out of the curves: %s.", damage);
    fputs("left out of the report's curves: ", stderr);
    et_text_print(stderr, damage, 0);
    fputc('\n', stderr);
}

et_status et_run_report_end(et_report *r, et_run *run, const et_module *m)
{
    char *summary = NULL;
    size_t size = 0;

    et_report_section(r, "Model");
    FILE *text = open_memstream(&summary, &size);
    if (text) {
        et_module_print(m, text);
        fclose(text);
        et_report_code(r, summary);
        free(summary);
    }
    et_report_object(r, "Options of the run", et_json_get(et_run_config(run), "options"));
    tell_damage(r, run);
    const char *path = et_run_path(run, ET_RUN_REPORT);
    et_status status = path ? et_report_write(r, path) : et_error_status();
    et_report_free(r);
    return status;
}

et_status et_run_page_end(et_report *page, et_run *run, const char *name, et_status status)
{
    const char *path = status ? NULL : et_run_path(run, name);

    if (!status && !(status = path ? et_report_write(page, path) : et_error_status()))
        printf("page: %s\n", path);
    et_report_free(page);
    return status;
}
