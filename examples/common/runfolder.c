/* Run folders: see runfolder.h. What is read out of their JSON files is in runfolder_json.c. */
#include "config.h"

#include "examples/common/runfolder_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "datasets/folder.h"
#include "examples/common/internal.h"
#include "examples/common/interrupt.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/os.h"

enum { MAX_FOLDERS = 10000 };

/* In the order in which overwriting removes them: without a configuration nobody takes
 * what is left for a run. */
static const char *const run_files[] = {ET_RUN_CONFIG, ET_RUN_LAST,    ET_RUN_LOG,
                                        ET_RUN_BEST,   ET_RUN_METRICS, ET_RUN_REPORT};
enum { N_RUN_FILES = sizeof run_files / sizeof run_files[0] };

/* What programs write beside these, of further folds and by other verbs, and might take for the new run's;
 * '#' stands for digits. vocab.txt is not among them: --vocab may name that of the old run, and whoever reads
 * it from the folder has written it before. Caches of features are not either: they tell themselves whether
 * they fit, and that of the new run may be there before its configuration is. */
static const char *const by_products[] = {
    "last-#.ckpt",      "best-#.safetensors", "towers.safetensors", "index.safetensors", "judge.safetensors",
    "tags.csv",         "explain.html",       "splice.html",        "judge.html",        "generate.html",
    "reconstruct.html", "transfer.html",      "interpolate.html"};
enum { N_BY_PRODUCTS = sizeof by_products / sizeof by_products[0] };

typedef struct path_node {
    struct path_node *next;
    char text[];
} path_node;

/* --- folders ------------------------------------------------------------------------ */

int et_run_has(const char *dir, const char *name)
{
    struct stat st;
    char *path = et_path_join(dir, name);
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
        found = strcmp(run_files[i], ET_RUN_REPORT) == 0 ? 0 : et_run_has(dir, run_files[i]);
    return found;
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

static bool was_killed(const char *name)
{
    long pid = writer_of(name);

    return pid != 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* Whether a name is of the form, in which '#' stands for digits. */
static bool fits(const char *form, const char *name)
{
    for (; *form; form++) {
        size_t n = *form == '#' ? strspn(name, "0123456789") : *form == *name;

        if (n == 0)
            return false;
        name += n;
    }
    return !*name;
}

static bool is_by_product(const char *name)
{
    for (int i = 0; i < N_BY_PRODUCTS; i++)
        if (fits(by_products[i], name))
            return true;
    return false;
}

static et_status remove_file(et_run *run, const char *name)
{
    const char *path = et_run_path(run, name);

    if (!path)
        return ET_ENOMEM;
    if (unlink(path) != 0 && errno != ENOENT)
        return et_raise(ET_EIO, "cannot remove %s: %s", path, strerror(errno));
    return ET_OK;
}

/* Removes the files whose names are chosen. A folder that cannot be listed is left as it is; strict: so is
 * none of the files. */
static et_status remove_chosen(et_run *run, bool (*chosen)(const char *), bool strict)
{
    DIR *dir = opendir(run->dir);
    const struct dirent *e;
    et_status status = ET_OK;

    if (!dir)
        return strict ? et_raise(ET_EIO, "%s: %s", run->dir, strerror(errno)) : ET_OK;
    while (!status && (e = readdir(dir)) != NULL) {
        if (!chosen(e->d_name))
            continue;
        status = remove_file(run, e->d_name);
        if (status == ET_EIO && !strict) {
            et_error_clear();
            status = ET_OK;
        }
    }
    closedir(dir);
    return status;
}

/* The configuration first, the checkpoint only after the by-products: what a process leaves that is killed
 * meanwhile is either the whole old run, or no run to go on with. */
et_status et_run_remove_old(et_run *run)
{
    et_status status = remove_file(run, run_files[0]);

    if (!status)
        status = remove_chosen(run, is_by_product, true);
    for (int i = 1; !status && i < N_RUN_FILES; i++)
        status = remove_file(run, run_files[i]);
    return status;
}

/* --- opening ------------------------------------------------------------------------ */

static et_status refuse(et_run *run, const et_cli *cli)
{
    const bool resumes = et_cli_takes(et_cli_verb(cli), "resume");

    et_run_load_log(run);
    et_error_clear();
    return et_raise(ET_EINVAL,
                    "%s already holds a run (%" PRId64
                    " epoch%s): add %s--overwrite to start again, or give another folder with --out",
                    run->dir, run->rows, et_plural(run->rows), resumes ? "--resume to go on with it, " : "");
}

/* The length of the shortest beginning of a path that is not there, of those that end at a '/' or with it. */
static size_t first_missing(char *dir)
{
    struct stat st;

    for (size_t n = 1;; n++) {
        const char after = dir[n];

        if (after && after != '/')
            continue;
        dir[n] = '\0';
        const bool there = stat(dir, &st) == 0;
        dir[n] = after;
        if (!there || !after)
            return n;
    }
}

/* Takes the folders away that were not there before, but those that have something in them by now (which
 * rmdir leaves), the lowest first. */
static void remove_folders(et_run *run)
{
    for (size_t n = strlen(run->dir); run->made && n >= run->made; n--) {
        const char after = run->dir[n];

        if (after && after != '/')
            continue;
        run->dir[n] = '\0';
        rmdir(run->dir);
        run->dir[n] = after;
    }
}

/* Of a log that is damaged what stands before is kept: only pages show it. Who goes on with the run writes a
 * new one in its place, where that can be done. */
static et_status take_log(et_run *run, et_run_mode mode)
{
    const et_status status = et_run_load_log(run);

    if (!status || status == ET_ENOMEM || (status != ET_EFORMAT && mode != ET_RUN_READ))
        return status;
    run->log_damage = et_alloc_string(et_error_message());
    if (run->log_damage)
        et_error_clear();
    return run->log_damage ? ET_OK : ET_ENOMEM;
}

static et_status open_run(et_run *run, et_run_mode mode, const et_cli *cli)
{
    const char *config = et_run_path(run, ET_RUN_CONFIG);
    struct stat st;
    int has;

    if (!config)
        return ET_ENOMEM;
    const bool there = stat(run->dir, &st) == 0;
    if (mode == ET_RUN_READ && !there)
        return et_raise(ET_EIO, "%s: %s", run->dir, strerror(errno));
    if (mode != ET_RUN_READ && !there)
        run->made = first_missing(run->dir);
    if (mode != ET_RUN_READ && et_folder_make(run->dir) != ET_OK) {
        remove_folders(run);
        return et_error_status();
    }
    if (mode != ET_RUN_READ && (run->lock = et_os_lock_folder(run->dir)) == ET_OS_LOCKED)
        return et_raise(ET_EINVAL, "%s: another process is writing a run there", run->dir);
    /* Better known before training, and only now, as it may be wanted in the run's folder. */
    if (mode != ET_RUN_READ && et_cli_given(cli, "profile") && et_writer_try(et_cli_text(cli, "profile")))
        return et_error_status();
    has = holds_run(run->dir);
    const int features = et_run_has(run->dir, ET_RUN_FEATURES);
    if (has < 0 || features < 0)
        return ET_ENOMEM;
    run->unread = mode != ET_RUN_READ && !features;
    if (mode == ET_RUN_NEW && has)
        return refuse(run, cli);
    if (mode != ET_RUN_READ && remove_chosen(run, was_killed, false) != ET_OK)
        return et_error_status();
    run->replaces = mode == ET_RUN_OVERWRITE;
    if (mode == ET_RUN_NEW || mode == ET_RUN_OVERWRITE)
        return ET_OK;
    has = et_run_has(run->dir, ET_RUN_CONFIG);
    if (has < 0)
        return ET_ENOMEM;
    if (!has && mode == ET_RUN_READ)
        return et_raise(ET_EIO, "%s is no run folder: it has no " ET_RUN_CONFIG, run->dir);
    if (!has && et_run_has(run->dir, ET_RUN_LAST) > 0) /* of a run that was being removed, perhaps */
        return et_raise(ET_EIO, "%s has a checkpoint, but no " ET_RUN_CONFIG ": start again with --overwrite",
                        run->dir);
    if (has && !(run->config = et_json_read(config, ET_RUN_CONFIG_LIMIT)))
        return et_error_status();
    return take_log(run, mode);
}

et_run *et_run_open(const et_cli *cli, const char *dir, et_run_mode mode)
{
    et_run *run;

    if (!dir || !dir[0]) {
        et_raise(ET_EINVAL, "run folder: the path is empty");
        return NULL;
    }
    run = et_alloc_zero(1, sizeof *run);
    if (!run)
        return NULL;
    run->lock = -1;
    run->dir = et_alloc_string(dir);
    for (size_t n = run->dir ? strlen(run->dir) : 0; n > 1 && run->dir[n - 1] == '/';)
        run->dir[--n] = '\0';
    if (!run->dir || open_run(run, mode, cli) != ET_OK) {
        et_run_close(run);
        return NULL;
    }
    return run;
}

/* Of a run that did not begin its features go, and the folder that was made for it if nothing else came into
 * it, and those above it: while the lock keeps others from it, and unless another stands in its place. */
static void remove_unused(et_run *run)
{
    const char *features = run->unread ? et_run_path(run, ET_RUN_FEATURES) : NULL;
    struct stat locked, there;

    if (run->lock < 0 || fstat(run->lock, &locked) != 0 || stat(run->dir, &there) != 0 ||
        locked.st_dev != there.st_dev || locked.st_ino != there.st_ino)
        return;
    if (features)
        unlink(features);
    if (run->made)
        remove_folders(run);
}

void et_run_close(et_run *run)
{
    if (!run)
        return;
    remove_unused(run);
    if (run->lock >= 0)
        close(run->lock);
    while (run->paths) {
        path_node *next = run->paths->next;

        et_dealloc(run->paths);
        run->paths = next;
    }
    et_json_free(run->config);
    et_strbuf_free(&run->text);
    et_strbuf_free(&run->log);
    et_dealloc(run->log_damage);
    et_dealloc(run->dir);
    et_dealloc(run);
}

/* "runs/PROGRAM", or the first of -2, -3, ... that holds no run, nor is about to. */
static et_run *open_next(const et_cli *cli)
{
    const char *program = et_cli_program(cli)->name;

    for (int i = 1; i <= MAX_FOLDERS; i++) {
        et_strbuf dir = ET_STRBUF_INIT;
        et_run *run = NULL;
        int taken;

        et_strbuf_printf(&dir, "runs/%s", program);
        if (i > 1)
            et_strbuf_printf(&dir, "-%d", i);
        taken = dir.failed ? -1 : holds_run(dir.data);
        if (taken == 0)
            run = et_run_open(cli, dir.data, ET_RUN_NEW);
        et_strbuf_free(&dir);
        if (taken == 0 && !run && et_error_status() == ET_EINVAL) { /* another process was quicker */
            et_error_clear();
            continue;
        }
        if (taken <= 0)
            return run;
    }
    et_raise(ET_EINVAL, "runs/%s-%d exists already: give a folder with --out", program, MAX_FOLDERS);
    return NULL;
}

/* The configuration is of this program, and for training of this verb; given options agree, others are taken
 * over. */
static et_status take_over(et_run *run, et_cli *cli, bool training)
{
    const et_json_value *root = et_run_config(run), *options = et_json_get(root, "options");
    const char *name = et_cli_program(cli)->name, *verb = et_cli_verb(cli)->name,
               *path = et_run_path(run, ET_RUN_CONFIG), *other;

    if (!path)
        return ET_ENOMEM;
    other = et_json_get_string(root, "program", "");
    if (strcmp(other, name) != 0)
        return et_raise(ET_EINVAL, "%s was made by %s, not by %s", run->dir,
                        other[0] ? other : "an unknown program", name);
    other = et_run_verb(run);
    if (training && other[0] && strcmp(other, verb) != 0)
        return et_raise(ET_EINVAL, "%s was made by %s %s, not by %s %s", run->dir, name, other, name, verb);
    if (!options)
        return et_raise(ET_EFORMAT, "%s: no options in it", path);
    other = training ? et_cli_conflict(cli, options, "epochs data") : NULL;
    if (other)
        return et_raise(ET_EINVAL,
                        "--%s differs from the run in %s: leave it out to resume, or start another with "
                        "--out", other, run->dir);
    return et_cli_adopt(cli, options, path);
}

et_run *et_run_for_training(et_cli *cli)
{
    const char *dir = et_cli_text(cli, "out");
    bool resume = et_cli_flag(cli, "resume"), overwrite = et_cli_flag(cli, "overwrite");
    et_run *run;

    if (et_error_status() != ET_OK || et_interrupt_catch())
        return NULL;
    if (resume && overwrite) {
        et_raise(ET_EINVAL, "--resume and --overwrite exclude each other");
        return NULL;
    }
    if (!dir && (resume || overwrite)) {
        et_raise(ET_EINVAL, "--%s needs --out DIR: which run?", resume ? "resume" : "overwrite");
        return NULL;
    }
    if (!dir)
        return open_next(cli);
    run = et_run_open(cli, dir, resume ? ET_RUN_RESUME : overwrite ? ET_RUN_OVERWRITE : ET_RUN_NEW);
    if (run && run->config && take_over(run, cli, true) != ET_OK) {
        et_run_close(run);
        return NULL;
    }
    if (run && resume && !et_run_has_checkpoint(run)) {
        printf("%s has no run to go on with: a new one begins\n", run->dir);
        fflush(stdout);
    }
    return run;
}

et_run *et_run_for_reading(et_cli *cli)
{
    et_run *run = et_run_open(cli, et_cli_text(cli, "out"), ET_RUN_READ);

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
    char *path = et_path_join(run->dir, name);
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
    return et_run_has(run->dir, ET_RUN_LAST) > 0;
}

const et_json_value *et_run_config(const et_run *run)
{
    return run->config ? et_json_root(run->config) : NULL;
}

const char *et_run_verb(const et_run *run)
{
    return et_json_get_string(et_run_config(run), "verb", "");
}

et_run_data et_run_data_given(const et_run *run, const et_cli *cli)
{
    const char *own = et_json_get_string(et_json_get(et_run_config(run), "options"), "data", NULL);

    if (!et_cli_given(cli, "data"))
        return ET_RUN_DATA_OWN;
    if (!own || !et_exists(et_cli_text(cli, "data")))
        return ET_RUN_DATA_OTHER;
    if (!et_exists(own))
        return ET_RUN_DATA_UNKNOWN;
    return et_same_file(own, et_cli_text(cli, "data")) ? ET_RUN_DATA_OWN : ET_RUN_DATA_OTHER;
}

const char *et_run_judged(const et_run *run, const et_cli *cli)
{
    const bool has_data = et_json_get(et_json_get(et_run_config(run), "options"), "data") != NULL;

    return has_data && et_run_data_given(run, cli) == ET_RUN_DATA_OWN ? "all" : "test";
}

bool et_run_cache_fits(const et_run *run, const et_cli *cli)
{
    return et_cli_given(cli, "cache") || et_run_data_given(run, cli) == ET_RUN_DATA_OWN;
}

/* --- stopping ----------------------------------------------------------------------- */

void et_run_print_resume(const et_run *run, const et_cli *cli, int64_t epoch, FILE *out)
{
    if (epoch > 0)
        fprintf(out, "Stopped after epoch %" PRId64 "; everything is saved. To go on:\n  ", epoch);
    else
        fputs("\nStopped before another epoch. To go on:\n  ", out);
    et_cli_print_word(et_cli_command(cli), out);
    fprintf(out, " %s --out ", et_cli_verb(cli)->name);
    et_cli_print_word(run->dir, out);
    fputs(" --resume\n", out);
    fflush(out);
}
