/* Tables of results, as text and as JSON. */
#include "config.h"

#include "bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/kernels.h"

void bench_report_begin(bench_report *r, const bench_options *o)
{
    *r = (bench_report){.json = o->json};
    if (!r->json) {
        printf("%s kernels, %d thread%s%s\n", et_isa(), o->threads, o->threads == 1 ? "" : "s",
               o->threads == 1 ? ", times by the thread's own clock" : ", times by the wall");
        return;
    }
    et_json_begin(&r->writer, &r->text, 1);
    et_json_open_object(&r->writer);
    et_json_key(&r->writer, "isa");
    et_json_string(&r->writer, et_isa());
    et_json_key(&r->writer, "threads");
    et_json_int(&r->writer, o->threads);
    et_json_key(&r->writer, "clock");
    et_json_string(&r->writer, o->threads == 1 ? "thread" : "wall");
}

bool bench_report_end(bench_report *r)
{
    bool good = true;

    if (r->json) {
        et_json_close(&r->writer);
        good = et_json_end(&r->writer) == ET_OK &&
               fwrite(r->text.data, 1, r->text.size, stdout) == r->text.size && putchar('\n') != EOF;
    }
    et_strbuf_free(&r->text);
    return good;
}

/* Columns are as wide as their title, and wide enough for a number. */
static int width(const bench_column *c)
{
    int title = (int)strlen(c->title);

    return title > 9 ? title : 9;
}

void bench_table(bench_report *r, const char *key, const char *title, const bench_column *columns, int n)
{
    r->columns = columns;
    r->n_columns = n;
    if (r->json) {
        et_json_key(&r->writer, key);
        et_json_open_array(&r->writer);
        return;
    }
    printf("\n%s\n%-*s", title, BENCH_NAME, "");
    for (int i = 0; i < n; i++)
        printf("  %*s", width(&columns[i]), columns[i].title);
    putchar('\n');
    fflush(stdout);
}

void bench_row(bench_report *r, const char *name, const double *values)
{
    if (r->json) {
        et_json_open_object(&r->writer);
        et_json_key(&r->writer, "name");
        et_json_string(&r->writer, name);
        for (int i = 0; i < r->n_columns; i++) {
            et_json_key(&r->writer, r->columns[i].title);
            et_json_number(&r->writer, values[i]);
        }
        et_json_close(&r->writer);
        return;
    }
    printf("%-*s", BENCH_NAME, name);
    for (int i = 0; i < r->n_columns; i++) {
        if (isnan(values[i]))
            printf("  %*s", width(&r->columns[i]), "-");
        else
            printf("  %*.*f", width(&r->columns[i]), r->columns[i].decimals, values[i]);
    }
    putchar('\n');
    fflush(stdout);
}

void bench_table_end(bench_report *r)
{
    if (r->json)
        et_json_close(&r->writer);
}
