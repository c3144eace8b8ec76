/* log.jsonl of a run folder: one object an epoch. */
#include "config.h"

#include "examples/common/runfolder_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/file.h"

enum { LOG_LIMIT = 1 << 28 };

/* Epoch of one line, -1 (and no error) if it is no object with an epoch. */
static int64_t line_epoch(const char *line, size_t n)
{
    bool pending = et_error_status() != ET_OK;
    et_json *json = et_json_parse(line, n, ET_RUN_LOG);
    int64_t epoch = json ? et_json_get_int(et_json_root(json), "epoch", -1) : -1;

    et_json_free(json);
    if (!json && !pending && et_error_status() != ET_ENOMEM)
        et_error_clear();
    return epoch;
}

/* Keeps the whole lines, in rising order, of epochs up to `limit`. */
static et_status keep_lines(et_run *run, int64_t limit)
{
    size_t at = 0;

    run->rows = 0;
    run->last_epoch = 0;
    while (at < run->log.size) {
        const char *end = memchr(run->log.data + at, '\n', run->log.size - at);
        int64_t epoch = end ? line_epoch(run->log.data + at, (size_t)(end - run->log.data) - at) : -1;

        if (et_error_status() != ET_OK)
            return et_error_status();
        if (epoch <= run->last_epoch || epoch > limit)
            break;
        run->last_epoch = epoch;
        run->rows++;
        at = (size_t)(end + 1 - run->log.data);
    }
    run->log.size = at;
    if (run->log.data)
        run->log.data[at] = '\0';
    return ET_OK;
}

et_status et_run_load_log(et_run *run)
{
    const char *path = et_run_path(run, ET_RUN_LOG);
    unsigned char *data = NULL;
    size_t size = 0;
    int has = et_run_has(run->dir, ET_RUN_LOG);

    if (!path || has < 0)
        return ET_ENOMEM;
    if (!has)
        return ET_OK;
    if (et_file_read(path, LOG_LIMIT, &data, &size) != ET_OK)
        return et_error_status();
    et_strbuf_add(&run->log, data, size);
    et_dealloc(data);
    if (run->log.failed || keep_lines(run, INT64_MAX) != ET_OK)
        return et_error_status();
    if (run->log.size != size)
        return et_raise(ET_EFORMAT, "%s: line %" PRId64 " is not an epoch's object, or out of order", path,
                        run->rows + 1);
    return ET_OK;
}

static et_status save_log(et_run *run)
{
    const char *path = et_run_path(run, ET_RUN_LOG);

    if (!path || run->log.failed)
        return ET_ENOMEM;
    return et_file_write(path, run->log.data ? run->log.data : "", run->log.size);
}

void et_run_write_figure(et_json_writer *w, et_figure f)
{
    et_json_key(w, f.name);
    if (fabs(f.value) < 9007199254740992.0 && f.value == floor(f.value))
        et_json_int(w, (int64_t)f.value);
    else
        et_json_number(w, f.value);
}

et_status et_run_log(et_run *run, int64_t epoch, const et_figure *figures, int n)
{
    size_t before = run->log.size;
    et_json_writer w;
    et_status status;

    if (epoch <= run->last_epoch)
        return et_raise(ET_EINVAL, "%s/" ET_RUN_LOG ": epoch %" PRId64 " after epoch %" PRId64, run->dir,
                        epoch, run->last_epoch);
    et_json_begin(&w, &run->log, 0);
    et_json_open_object(&w);
    et_json_key(&w, "epoch");
    et_json_int(&w, epoch);
    for (int i = 0; i < n; i++)
        et_run_write_figure(&w, figures[i]);
    et_json_close(&w);
    status = et_json_end(&w);
    if (status == ET_OK && !et_strbuf_putc(&run->log, '\n'))
        status = ET_ENOMEM;
    if (status == ET_OK)
        status = save_log(run);
    if (status != ET_OK) { /* as if it had not been asked for */
        run->log.size = before;
        if (run->log.data)
            run->log.data[before] = '\0';
        return status;
    }
    run->rows++;
    run->last_epoch = epoch;
    return ET_OK;
}

et_status et_run_log_cut(et_run *run, int64_t epoch)
{
    et_status status = keep_lines(run, epoch);

    return status == ET_OK ? save_log(run) : status;
}

const char *et_run_log_damage(const et_run *run)
{
    return run->log_damage;
}

int64_t et_run_log_rows(const et_run *run)
{
    return run->rows;
}

et_status et_run_log_column(const et_run *run, const char *name, double *out)
{
    const char *line = run->log.data;

    for (int64_t i = 0; i < run->rows; i++) {
        const char *end = strchr(line, '\n');
        et_json *json = et_json_parse(line, (size_t)(end - line), ET_RUN_LOG);

        if (!json)
            return et_error_status();
        out[i] = et_json_get_number(et_json_root(json), name, NAN);
        et_json_free(json);
        line = end + 1;
    }
    return ET_OK;
}
