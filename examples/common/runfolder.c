#include "config.h"

#include "examples/common/runfolder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "tensor/alloc.h"
#include "tensor/file.h"

enum { CONFIG_LIMIT = 1 << 20, LOG_LIMIT = 1 << 28, MAX_FOLDERS = 10000 };

/* In the order in which overwriting removes them: without a configuration nobody takes
 * what is left for a run. */
static const char *const run_files[] = {ET_RUN_CONFIG, ET_RUN_LAST,    ET_RUN_LOG,
                                        ET_RUN_BEST,   ET_RUN_METRICS, ET_RUN_REPORT};
enum { N_RUN_FILES = sizeof run_files / sizeof run_files[0] };

typedef struct path_node {
    struct path_node *next;
    char text[];
} path_node;

struct et_run {
    char *dir;
    path_node *paths;    /* what et_run_path gave out */
    et_json *config;     /* as read, or NULL */
    et_strbuf text;      /* config.json while it is being written */
    et_strbuf log;       /* the whole log */
    int64_t rows, last_epoch;
};

/* --- folders ------------------------------------------------------------------------ */

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir), m = strlen(name);
    char *path = et_alloc(n + m + 2);

    if (!path)
        return NULL;
    memcpy(path, dir, n);
    if (n > 0 && dir[n - 1] != '/')
        path[n++] = '/';
    memcpy(path + n, name, m + 1);
    return path;
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* 1 if the folder has the file, 0 if not, -1 after an error. */
static int has_file(const char *dir, const char *name)
{
    struct stat st;
    char *path = join(dir, name);
    int has;

    if (!path)
        return -1;
    has = stat(path, &st) == 0;
    et_dealloc(path);
    return has;
}

static int holds_run(const char *dir)
{
    int found = 0;

    for (int i = 0; i < N_RUN_FILES && found == 0; i++)
        found = strcmp(run_files[i], ET_RUN_REPORT) == 0 ? 0 : has_file(dir, run_files[i]);
    return found;
}

/* Makes the folder and those above it. */
static et_status make_folders(const char *dir)
{
    char *path = et_alloc_string(dir);
    size_t n = strlen(dir);
    et_status status = ET_OK;

    if (!path)
        return ET_ENOMEM;
    for (size_t i = 1; i <= n && status == ET_OK; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0) {
            int why = errno;

            if (!is_folder(path))
                status = et_raise(ET_EIO, "cannot make the folder %s: %s", path,
                                  why == EEXIST ? "a file of that name is in the way" : strerror(why));
        }
        path[i] = dir[i];
    }
    et_dealloc(path);
    return status;
}

static et_status remove_run(et_run *run)
{
    for (int i = 0; i < N_RUN_FILES; i++) {
        const char *path = et_run_path(run, run_files[i]);

        if (!path)
            return ET_ENOMEM;
        if (unlink(path) != 0 && errno != ENOENT)
            return et_raise(ET_EIO, "cannot remove %s: %s", path, strerror(errno));
    }
    return ET_OK;
}

/* The process that a file like ".et-123-0.tmp" belongs to, as et_writer names the file beside
 * its target; 0 if the name is another. */
static long writer_of(const char *name)
{
    const char *digits = name + 4;
    char *end;
    long pid, n;

    if (strncmp(name, ".et-", 4) != 0 || digits[0] < '1' || digits[0] > '9')
        return 0;
    errno = 0;
    pid = strtol(digits, &end, 10);
    if (errno != 0 || (long)(pid_t)pid != pid || end[0] != '-' || end[1] < '0' || end[1] > '9')
        return 0;
    n = strtol(end + 1, &end, 10);
    return n >= 0 && strcmp(end, ".tmp") == 0 ? pid : 0;
}

/* Removes what writers left that were killed before they could rename or remove it. A folder
 * that cannot be listed or changed is left as it is. */
static et_status remove_leftovers(et_run *run)
{
    DIR *dir = opendir(run->dir);
    const struct dirent *e;
    et_status status = ET_OK;

    if (!dir)
        return ET_OK;
    while (!status && (e = readdir(dir)) != NULL) {
        long pid = writer_of(e->d_name);
        char *path;

        if (pid == 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        path = join(run->dir, e->d_name);
        if (path)
            (void)unlink(path);
        else
            status = ET_ENOMEM;
        et_dealloc(path);
    }
    closedir(dir);
    return status;
}

/* --- the log ------------------------------------------------------------------------ */

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

static et_status load_log(et_run *run, bool strict)
{
    const char *path = et_run_path(run, ET_RUN_LOG);
    unsigned char *data = NULL;
    size_t size = 0;
    int has = has_file(run->dir, ET_RUN_LOG);

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
    if (strict && run->log.size != size)
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

static void write_figure(et_json_writer *w, et_figure f)
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
        return et_raise(ET_EINVAL, "%s/" ET_RUN_LOG ": epoch %" PRId64 " after epoch %" PRId64, run->dir, epoch,
                        run->last_epoch);
    et_json_begin(&w, &run->log, 0);
    et_json_open_object(&w);
    et_json_key(&w, "epoch");
    et_json_int(&w, epoch);
    for (int i = 0; i < n; i++)
        write_figure(&w, figures[i]);
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

/* --- opening ------------------------------------------------------------------------ */

static et_status refuse(et_run *run)
{
    load_log(run, false);
    et_error_clear();
    return et_raise(ET_EINVAL,
                    "%s already holds a run (%" PRId64 " epoch%s): add --resume to go on with it, --overwrite to start "
                    "again, or give another folder with --out",
                    run->dir, run->rows, run->rows == 1 ? "" : "s");
}

static et_status open_run(et_run *run, et_run_mode mode)
{
    const char *config = et_run_path(run, ET_RUN_CONFIG);
    struct stat st;
    int has;

    if (!config)
        return ET_ENOMEM;
    if (mode == ET_RUN_READ && stat(run->dir, &st) != 0)
        return et_raise(ET_EIO, "%s: %s", run->dir, strerror(errno));
    if (mode != ET_RUN_READ && make_folders(run->dir) != ET_OK)
        return et_error_status();
    has = holds_run(run->dir);
    if (has < 0)
        return ET_ENOMEM;
    if (mode == ET_RUN_NEW && has)
        return refuse(run);
    if (mode != ET_RUN_READ && remove_leftovers(run) != ET_OK)
        return et_error_status();
    if (mode == ET_RUN_OVERWRITE)
        return remove_run(run);
    if (mode == ET_RUN_NEW)
        return ET_OK;
    has = has_file(run->dir, ET_RUN_CONFIG);
    if (has < 0)
        return ET_ENOMEM;
    if (!has && mode == ET_RUN_READ)
        return et_raise(ET_EIO, "%s is no run folder: it has no " ET_RUN_CONFIG, run->dir);
    if (!has && has_file(run->dir, ET_RUN_LAST) > 0) /* of a run that was being removed, perhaps */
        return et_raise(ET_EIO, "%s has a checkpoint, but no " ET_RUN_CONFIG ": start again with --overwrite", run->dir);
    if (has && !(run->config = et_json_read(config, CONFIG_LIMIT)))
        return et_error_status();
    return load_log(run, mode == ET_RUN_READ);
}

et_run *et_run_open(const char *dir, et_run_mode mode)
{
    et_run *run;

    if (!dir || !dir[0]) {
        et_raise(ET_EINVAL, "run folder: the path is empty");
        return NULL;
    }
    run = et_alloc_zero(1, sizeof *run);
    if (!run)
        return NULL;
    run->dir = et_alloc_string(dir);
    for (size_t n = run->dir ? strlen(run->dir) : 0; n > 1 && run->dir[n - 1] == '/';)
        run->dir[--n] = '\0';
    if (!run->dir || open_run(run, mode) != ET_OK) {
        et_run_close(run);
        return NULL;
    }
    return run;
}

void et_run_close(et_run *run)
{
    if (!run)
        return;
    while (run->paths) {
        path_node *next = run->paths->next;

        et_dealloc(run->paths);
        run->paths = next;
    }
    et_json_free(run->config);
    et_strbuf_free(&run->text);
    et_strbuf_free(&run->log);
    et_dealloc(run->dir);
    et_dealloc(run);
}

/* "runs/PROGRAM", or the first of -2, -3, ... that holds no run. */
static et_run *open_next(const char *program)
{
    for (int i = 1; i <= MAX_FOLDERS; i++) {
        et_strbuf dir = ET_STRBUF_INIT;
        et_run *run = NULL;
        int taken;

        et_strbuf_printf(&dir, "runs/%s", program);
        if (i > 1)
            et_strbuf_printf(&dir, "-%d", i);
        taken = dir.failed ? -1 : holds_run(dir.data);
        if (taken == 0)
            run = et_run_open(dir.data, ET_RUN_NEW);
        et_strbuf_free(&dir);
        if (taken <= 0)
            return run;
    }
    et_raise(ET_EINVAL, "runs/%s-%d exists already: give a folder with --out", program, MAX_FOLDERS);
    return NULL;
}

/* The configuration is of this program; given options agree, others are taken over. */
static et_status take_over(et_run *run, et_cli *cli, bool training)
{
    const et_json_value *root = et_run_config(run), *options = et_json_get(root, "options");
    const char *name = et_cli_program(cli)->name, *path = et_run_path(run, ET_RUN_CONFIG), *other;

    if (!path)
        return ET_ENOMEM;
    other = et_json_get_string(root, "program", "");
    if (strcmp(other, name) != 0)
        return et_raise(ET_EINVAL, "%s was made by %s, not by %s", run->dir, other[0] ? other : "an unknown program",
                        name);
    if (!options)
        return et_raise(ET_EFORMAT, "%s: no options in it", path);
    other = training ? et_cli_conflict(cli, options, "epochs data") : NULL;
    if (other)
        return et_raise(ET_EINVAL, "--%s differs from the run in %s: leave it out to resume, or start another with --out",
                        other, run->dir);
    return et_cli_adopt(cli, options, path);
}

et_run *et_run_for_training(et_cli *cli)
{
    const char *dir = et_cli_text(cli, "out");
    bool resume = et_cli_flag(cli, "resume"), overwrite = et_cli_flag(cli, "overwrite");
    et_run *run;

    if (et_error_status() != ET_OK)
        return NULL;
    if (resume && overwrite) {
        et_raise(ET_EINVAL, "--resume and --overwrite exclude each other");
        return NULL;
    }
    if (!dir && resume) {
        et_raise(ET_EINVAL, "--resume needs --out DIR: which run?");
        return NULL;
    }
    if (!dir)
        return open_next(et_cli_program(cli)->name);
    run = et_run_open(dir, resume ? ET_RUN_RESUME : overwrite ? ET_RUN_OVERWRITE : ET_RUN_NEW);
    if (run && run->config && take_over(run, cli, true) != ET_OK) {
        et_run_close(run);
        return NULL;
    }
    return run;
}

et_run *et_run_for_reading(et_cli *cli)
{
    et_run *run = et_run_open(et_cli_text(cli, "out"), ET_RUN_READ);

    if (run && take_over(run, cli, false) != ET_OK) {
        et_run_close(run);
        return NULL;
    }
    return run;
}

const char *et_run_dir(const et_run *run)
{
    return run->dir;
}

const char *et_run_path(et_run *run, const char *name)
{
    char *path = join(run->dir, name);
    path_node *node = NULL;

    for (path_node *p = run->paths; p && path; p = p->next)
        if (strcmp(p->text, path) == 0) {
            et_dealloc(path);
            return p->text;
        }
    if (path)
        node = et_alloc(sizeof *node + strlen(path) + 1);
    if (node) {
        memcpy(node->text, path, strlen(path) + 1);
        node->next = run->paths;
        run->paths = node;
    }
    et_dealloc(path);
    return node ? node->text : NULL;
}

bool et_run_has_checkpoint(et_run *run)
{
    return has_file(run->dir, ET_RUN_LAST) > 0;
}

const et_json_value *et_run_config(const et_run *run)
{
    return run->config ? et_json_root(run->config) : NULL;
}

/* --- configuration and metrics ------------------------------------------------------ */

et_status et_run_config_begin(et_run *run, const et_cli *cli, et_json_writer *w)
{
    et_strbuf_free(&run->text);
    et_json_begin(w, &run->text, 2);
    et_json_open_object(w);
    et_json_key(w, "program");
    et_json_string(w, et_cli_program(cli)->name);
    et_json_key(w, "version");
    et_json_string(w, PACKAGE_VERSION);
    et_json_key(w, "options");
    et_cli_write_options(cli, w);
    return run->text.failed ? ET_ENOMEM : ET_OK;
}

et_status et_run_config_end(et_run *run, et_json_writer *w)
{
    const char *path = et_run_path(run, ET_RUN_CONFIG);
    et_status status;

    et_json_close(w);
    status = et_json_end(w);
    if (status == ET_OK && (!path || !et_strbuf_putc(&run->text, '\n')))
        status = ET_ENOMEM;
    if (status == ET_OK)
        status = et_file_write(path, run->text.data, run->text.size);
    et_strbuf_free(&run->text);
    return status;
}

/* Writes a value that was read; as deep as the reader allows. */
static void copy_value(et_json_writer *w, const et_json_value *v)
{
    if (v->key)
        et_json_key(w, v->key);
    switch (v->type) {
    case ET_JSON_NULL:
        et_json_null(w);
        break;
    case ET_JSON_BOOL:
        et_json_bool(w, v->boolean);
        break;
    case ET_JSON_NUMBER:
        if (v->is_int)
            et_json_int(w, v->integer);
        else
            et_json_number(w, v->number);
        break;
    case ET_JSON_STRING:
        et_json_string(w, v->string);
        break;
    case ET_JSON_ARRAY:
    case ET_JSON_OBJECT:
        if (v->type == ET_JSON_ARRAY)
            et_json_open_array(w);
        else
            et_json_open_object(w);
        for (const et_json_value *c = v->first; c; c = c->next)
            copy_value(w, c);
        et_json_close(w);
        break;
    }
}

static void write_section(et_json_writer *w, const char *section, const et_figure *figures, int n)
{
    et_json_key(w, section);
    et_json_open_object(w);
    for (int i = 0; i < n; i++)
        write_figure(w, figures[i]);
    et_json_close(w);
}

/* Place of a section in the file. */
static int section_rank(const char *section)
{
    return strcmp(section, "train") == 0 ? 0 : strcmp(section, "valid") == 0 ? 1 : strcmp(section, "test") == 0 ? 2 : 3;
}

et_status et_run_metrics(et_run *run, const char *section, const et_figure *figures, int n)
{
    const char *path = et_run_path(run, ET_RUN_METRICS);
    int has = has_file(run->dir, ET_RUN_METRICS), rank = section_rank(section);
    et_json *old = NULL;
    et_strbuf text = ET_STRBUF_INIT;
    et_json_writer w;
    et_status status;
    bool written = false;

    if (!path || has < 0)
        return ET_ENOMEM;
    if (has && !(old = et_json_read(path, CONFIG_LIMIT)))
        return et_error_status();
    if (old && et_json_root(old)->type != ET_JSON_OBJECT) {
        et_json_free(old);
        return et_raise(ET_EFORMAT, "%s: not an object", path);
    }
    et_json_begin(&w, &text, 2);
    et_json_open_object(&w);
    for (const et_json_value *v = old ? et_json_root(old)->first : NULL; v; v = v->next) {
        bool same = strcmp(v->key, section) == 0;

        if (!written && (same || section_rank(v->key) > rank)) {
            write_section(&w, section, figures, n);
            written = true;
        }
        if (!same)
            copy_value(&w, v);
    }
    if (!written)
        write_section(&w, section, figures, n);
    et_json_close(&w);
    status = et_json_end(&w);
    if (status == ET_OK && !et_strbuf_putc(&text, '\n'))
        status = ET_ENOMEM;
    if (status == ET_OK)
        status = et_file_write(path, text.data, text.size);
    et_strbuf_free(&text);
    et_json_free(old);
    return status;
}

/* --- stopping ----------------------------------------------------------------------- */

/* The text as one word of the shell. */
static void print_word(const char *text, FILE *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+:=,@%";

    if (text[0] && strspn(text, plain) == strlen(text)) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
    fputc('\'', out);
}

void et_run_print_resume(const et_run *run, const et_cli *cli, int64_t epoch, FILE *out)
{
    fprintf(out, "Stopped after epoch %" PRId64 "; everything is saved. To go on:\n  ", epoch);
    print_word(et_cli_command(cli), out);
    fprintf(out, " %s --out ", et_cli_verb(cli)->name);
    print_word(run->dir, out);
    fputs(" --resume\n", out);
    fflush(out);
}
