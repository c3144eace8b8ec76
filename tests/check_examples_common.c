/* The run folder of the example programs. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datasets/folder.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "examples/common/run_train.h"
#include "examples/common/runfolder.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/os.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"
#include "tests/toy_program.h"

static char base[64];

static void make_base(void)
{
    et_error_clear();
    snprintf(base, sizeof base, "run-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
}

static void remove_base(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

/* base/name, in one of a few buffers that are used in turn. */
static const char *in_base(const char *name)
{
    static char paths[8][512];
    static int next;

    next = (next + 1) % 8;
    snprintf(paths[next], sizeof paths[next], "%s/%s", base, name);
    return paths[next];
}

static void put(const char *name, const char *text)
{
    ck_assert_int_eq(et_file_write(in_base(name), text, strlen(text)), ET_OK);
}

static void holds(const char *name, const char *text)
{
    unsigned char *data = NULL;
    size_t size;

    ck_assert_msg(et_file_read(in_base(name), 1 << 20, &data, &size) == ET_OK, "%s", et_error_message());
    ck_assert_str_eq((char *)data, text);
    et_dealloc(data);
}

static bool exists(const char *name)
{
    struct stat st;

    return stat(in_base(name), &st) == 0;
}

/* The folder for a verb with all the options that there are for one. */
static et_run *open_run(const char *dir, et_run_mode mode)
{
    et_cli *cli = parse("train");
    et_run *run = cli ? et_run_open(cli, dir, mode) : NULL;

    et_cli_free(cli);
    return run;
}

static et_run *must_open(const char *name, et_run_mode mode)
{
    et_run *run = open_run(in_base(name), mode);

    ck_assert_msg(run != NULL, "%s", et_error_message());
    return run;
}

static void must_fail(const char *name, et_run_mode mode, et_status status, const char *words)
{
    et_error_clear();
    ck_assert_ptr_null(open_run(in_base(name), mode));
    ck_assert_int_eq(et_error_status(), status);
    ck_assert_msg(strstr(et_error_message(), words) != NULL, "\"%s\" lacks \"%s\"", et_error_message(),
                  words);
    et_error_clear();
}

/* Opens the folder to overwrite what is in it, and writes the new configuration. */
static void overwrite(const char *name, et_status status)
{
    et_cli *cli = parse("train --hidden 4");
    et_run *run = must_open(name, ET_RUN_OVERWRITE);
    et_json_writer w;

    ck_assert_int_eq(et_run_config_begin(run, cli, &w), ET_OK);
    ck_assert_int_eq(et_run_config_end(run, &w), status);
    et_run_close(run);
    et_cli_free(cli);
}

START_TEST(run_is_not_lost)
{
    const et_figure f[] = {{"loss", 1.5}};
    et_run *run = must_open("a/b/c/", ET_RUN_NEW);

    ck_assert_int_eq(et_run_log(run, 1, f, 1), ET_OK);
    ck_assert_int_eq(et_run_log(run, 2, f, 1), ET_OK);
    et_run_close(run);
    must_fail("a/b/c", ET_RUN_NEW, ET_EINVAL, "already holds a run (2 epochs): add --resume");
    et_cli *cli = parse("explain --out x y"); /* which cannot go on with one */
    ck_assert_ptr_null(et_run_open(cli, in_base("a/b/c"), ET_RUN_NEW));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "(2 epochs): add --overwrite to start again"));
    et_error_clear();
    et_cli_free(cli);
    put("a/b/c/mine.txt", "keep");
    put("a/b/c/last.ckpt", "x");
    run = must_open("a/b/c", ET_RUN_OVERWRITE);
    ck_assert_int_eq(et_run_log_rows(run), 0);
    ck_assert(exists("a/b/c/log.jsonl") && exists("a/b/c/last.ckpt")); /* nothing is in its place yet */
    et_run_close(run);
    overwrite("a/b/c", ET_OK);
    ck_assert(exists("a/b/c/mine.txt") && !exists("a/b/c/log.jsonl") && !exists("a/b/c/last.ckpt"));
    ck_assert_int_eq(unlink(in_base("a/b/c/config.json")), 0);
    et_run_close(must_open("a/b/c", ET_RUN_NEW)); /* other people's files do not matter */
    et_run_close(must_open("never/was", ET_RUN_RESUME));
    must_fail("no", ET_RUN_READ, ET_EIO, "No such file");
    must_fail("a/b/c", ET_RUN_READ, ET_EIO, "no run folder");
    must_fail("a/b/c/mine.txt", ET_RUN_NEW, ET_EIO, "in the way");
    must_fail("a/b/c/mine.txt/x", ET_RUN_NEW, ET_EIO, "cannot make");
    ck_assert_ptr_null(open_run("", ET_RUN_NEW));
    put("a/b/c/last.ckpt", "x");
    must_fail("a/b/c", ET_RUN_RESUME, ET_EIO, "a checkpoint, but no config.json");
    put("a/b/c/config.json", "{broken");
    must_fail("a/b/c", ET_RUN_READ, ET_EFORMAT, "config.json");
    must_fail("a/b/c", ET_RUN_RESUME, ET_EFORMAT, "config.json");
}
END_TEST

/* While one process writes a run, no other begins one in its folder, or goes on with it; reading is free. */
START_TEST(run_is_locked)
{
    char here[4096], byte;
    int ready[2], done[2], status;

    ck_assert_int_eq(pipe(ready) + pipe(done), 0);
    et_run_close(must_open("runs/toy", ET_RUN_NEW));
    const int lock = et_os_lock_folder(in_base("runs/toy"));
    if (lock < 0) /* nobody can lock there */
        return;
    close(lock);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        et_run *run = open_run(in_base("runs/toy"), ET_RUN_NEW);
        const bool good = run && write(ready[1], "x", 1) == 1 && read(done[0], &byte, 1) == 1;
        et_run_close(run);
        _exit(!good);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    must_fail("runs/toy", ET_RUN_NEW, ET_EINVAL, "another process is writing a run there");
    must_fail("runs/toy", ET_RUN_OVERWRITE, ET_EINVAL, "another process");
    must_fail("runs/toy", ET_RUN_RESUME, ET_EINVAL, "another process");
    put("runs/toy/config.json", "{\"program\": \"toy\"}");
    et_run_close(must_open("runs/toy", ET_RUN_READ));
    ck_assert_int_eq(unlink(in_base("runs/toy/config.json")), 0);

    et_cli *cli = parse("train"); /* without --out the next folder is taken */
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(base), 0);
    et_run *run = et_run_for_training(cli);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_run_dir(run), "runs/toy-2");
    et_run_close(run);
    et_cli_free(cli);

    ck_assert_int_eq(write(done[1], "x", 1), 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    et_run_close(must_open("runs/toy", ET_RUN_NEW));
}
END_TEST

START_TEST(log_appends_and_cuts)
{
    const et_figure f[] = {{"loss", 0.1}, {"n", 3}, {"bad", NAN}, {"\"q\"", -2.5e-9}};
    double column[3];
    et_run *run = must_open("r", ET_RUN_NEW);

    ck_assert_int_eq(et_run_log(run, 1, f, 4), ET_OK);
    ck_assert_int_eq(et_run_log(run, 2, f, 1), ET_OK);
    ck_assert_int_eq(et_run_log(run, 5, f, 2), ET_OK);
    ck_assert_int_eq(et_run_log(run, 5, f, 2), ET_EINVAL);
    et_error_clear();
    holds("r/log.jsonl", "{\"epoch\": 1, \"loss\": 0.1, \"n\": 3, \"bad\": null, \"\\\"q\\\"\": -2.5e-09}\n"
                         "{\"epoch\": 2, \"loss\": 0.1}\n{\"epoch\": 5, \"loss\": 0.1, \"n\": 3}\n");
    ck_assert_int_eq(et_run_log_rows(run), 3);
    ck_assert_int_eq(et_run_log_column(run, "n", column), ET_OK);
    ck_assert(column[0] == 3 && isnan(column[1]) && column[2] == 3);
    ck_assert_int_eq(et_run_log_column(run, "bad", column), ET_OK);
    ck_assert(isnan(column[0]));
    ck_assert_int_eq(et_run_log_cut(run, 4), ET_OK);
    ck_assert_int_eq(et_run_log_rows(run), 2);
    ck_assert_int_eq(et_run_log(run, 3, f, 1), ET_OK);
    et_run_close(run);
    run = must_open("r", ET_RUN_RESUME);
    ck_assert_int_eq(et_run_log_rows(run), 3);
    ck_assert_int_eq(et_run_log_cut(run, 1), ET_OK);
    et_run_close(run);
    holds("r/log.jsonl", "{\"epoch\": 1, \"loss\": 0.1, \"n\": 3, \"bad\": null, \"\\\"q\\\"\": -2.5e-09}\n");
}
END_TEST

START_TEST(log_survives_damage)
{
    static const struct {
        const char *text;
        int rows;
    } logs[] = {{"", 0},
                {"{\"epoch\": 1}\n{\"epoch\": 2, \"lo", 1},
                {"{\"epoch\": 1}\n{\"epoch\": 2}", 1},
                {"{\"epoch\": 1}\n\n{\"epoch\": 2}\n", 1},
                {"{\"epoch\": 2}\n{\"epoch\": 1}\n", 1},
                {"{\"epoch\": 1}\n{\"epoch\": 1}\n", 1},
                {"[1]\n", 0},
                {"{\"epoch\": 0}\n", 0},
                {"{\"epoch\": 1.5}\n", 0},
                {"\xFF\n", 0}};

    put("config.json", "{\"program\": \"toy\"}");
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        et_run *run;

        put("log.jsonl", logs[i].text);
        run = must_open("", ET_RUN_RESUME);
        ck_assert_int_eq(et_run_log_rows(run), logs[i].rows);
        ck_assert_int_eq(et_error_status(), ET_OK);
        ck_assert_int_eq(et_run_log(run, 9, NULL, 0), ET_OK);
        et_run_close(run);
        put("log.jsonl", logs[i].text);
        run = must_open("", ET_RUN_READ); /* what needs no log does without */
        ck_assert_int_eq(et_error_status(), ET_OK);
        ck_assert_int_eq(et_run_log_rows(run), logs[i].rows);
        ck_assert_int_eq(et_run_log_damage(run) != NULL, logs[i].text[0] != '\0');
        ck_assert(!logs[i].text[0] || strstr(et_run_log_damage(run), "log.jsonl: line"));
        et_run_close(run);
    }
    ck_assert_int_eq(unlink(in_base("log.jsonl")), 0);
    ck_assert_int_eq(mkdir(in_base("log.jsonl"), 0777), 0);
    et_run *run = must_open("", ET_RUN_READ);
    ck_assert(et_run_log_rows(run) == 0 && strstr(et_run_log_damage(run), "log.jsonl"));
    et_run_close(run);
    must_fail("", ET_RUN_RESUME, ET_EIO, "log.jsonl"); /* which would write it */
}
END_TEST

START_TEST(metrics_merge)
{
    const et_figure valid[] = {{"accuracy", 0.5}, {"loss", INFINITY}}, test[] = {{"accuracy", 0.25}},
                    train[] = {{"accuracy", 1}};
    et_run *run = must_open("m", ET_RUN_NEW);

    ck_assert_int_eq(et_run_metrics(run, "test", test, 1), ET_OK);
    ck_assert_int_eq(et_run_metrics(run, "valid", test, 1), ET_OK);
    ck_assert_int_eq(et_run_metrics(run, "train", train, 1), ET_OK);
    ck_assert_int_eq(et_run_metrics(run, "valid", valid, 2), ET_OK);
    holds("m/metrics.json",
          "{\n  \"train\": {\n    \"accuracy\": 1\n  },\n  \"valid\": {\n    \"accuracy\": 0.5,\n"
                            "    \"loss\": null\n  },\n  \"test\": {\n    \"accuracy\": 0.25\n  }\n}\n");
    put("m/metrics.json", "{\"valid\": {\"a\": [1, \"x\", {\"b\": null}]}, \"more\": true}");
    ck_assert_int_eq(et_run_metrics(run, "test", test, 1), ET_OK);
    ck_assert_int_eq(et_run_metrics(run, "train", train, 1), ET_OK);
    {
        et_json *j = et_json_read(in_base("m/metrics.json"), 1 << 20);
        const et_json_value *root = et_json_root(j);

        ck_assert_str_eq(root->first->key, "train");
        ck_assert_str_eq(root->first->next->key, "valid");
        ck_assert_uint_eq(et_json_get(et_json_get(root, "valid"), "a")->count, 3);
        ck_assert_str_eq(root->first->next->next->key, "test");
        ck_assert(et_json_get_bool(root, "more", false));
        et_json_free(j);
    }
    put("m/metrics.json", "{\"valid\":");
    ck_assert_int_eq(et_run_metrics(run, "test", test, 1), ET_EFORMAT);
    holds("m/metrics.json", "{\"valid\":"); /* not destroyed */
    et_error_clear();
    put("m/metrics.json", "[]");
    ck_assert_int_eq(et_run_metrics(run, "test", test, 1), ET_EFORMAT);
    et_run_close(run);
}
END_TEST

static et_run *train_with(const char *rest, et_cli **cli)
{
    char line[512];

    snprintf(line, sizeof line, "train --out %s %s", in_base("t"), rest);
    *cli = parse(line);
    ck_assert_msg(*cli != NULL, "%s", et_error_message());
    return et_run_for_training(*cli);
}

START_TEST(run_takes_its_options_along)
{
    et_cli *cli;
    et_json_writer w;
    et_run *run = train_with("--hidden 7 --cell lstm --lr 0.1 --epochs 3 --threads 1", &cli);
    char line[512];

    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_run_config_begin(run, cli, &w), ET_OK);
    et_json_key(&w, "classes");
    et_json_int(&w, 10);
    ck_assert_int_eq(et_run_config_end(run, &w), ET_OK);
    et_run_close(run);
    et_cli_free(cli);
    holds("t/config.json", "{\n  \"program\": \"toy\",\n  \"verb\": \"train\",\n"
                           "  \"version\": \"" PACKAGE_VERSION
          "\",\n  \"options\": {\n"
                           "    \"epochs\": 3,\n    \"lr\": 0.1,\n    \"seed\": 1,\n    \"config\": "
                           "\"small\",\n    \"cell\": \"lstm\",\n    \"hidden\": 7\n  },\n  \"classes\": "
                           "10\n}\n");

    run = train_with("--resume --epochs 5 --lr 1e-1", &cli);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_cli_int(cli, "hidden"), 7);
    ck_assert_int_eq(et_cli_int(cli, "epochs"), 5);
    ck_assert_str_eq(et_cli_text(cli, "cell"), "lstm");
    ck_assert_int_eq(et_cli_default_int(cli, "hidden", 9), ET_OK); /* the run's own value stays */
    ck_assert_int_eq(et_cli_default_int(cli, "batch", 9), ET_OK);
    ck_assert_int_eq(et_cli_int(cli, "hidden"), 7);
    ck_assert_int_eq(et_cli_int(cli, "batch"), 9);
    ck_assert_int_eq(et_json_get_int(et_run_config(run), "classes", 0), 10);
    et_run_close(run);
    et_cli_free(cli);

    ck_assert_ptr_null(train_with("", &cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "already holds a run (0 epochs)"));
    et_cli_free(cli);
    et_error_clear();
    ck_assert_ptr_null(train_with("--resume --cell gru", &cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "--cell differs from the run in"));
    et_cli_free(cli);
    et_error_clear();
    ck_assert_ptr_null(train_with("--resume --overwrite", &cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "exclude each other"));
    et_cli_free(cli);
    et_error_clear();

    snprintf(line, sizeof line, "explain x --out %s", in_base("t"));
    cli = parse(line);
    run = et_run_for_reading(cli);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_cli_text(cli, "cell"), "lstm");
    ck_assert_int_eq(et_cli_int(cli, "hidden"), 7);
    et_run_close(run);
    put("t/config.json", "{\"program\": \"other\", \"options\": {}}");
    ck_assert_ptr_null(et_run_for_reading(cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "was made by other, not by toy"));
    et_cli_free(cli);
    et_error_clear();
    static const char *const bad[] = {
        "{\"program\": \"toy\"}",
        "{\"program\": \"toy\", \"options\": {\"hidden\": 0}}",
        "{\"program\": \"toy\", \"options\": {\"hidden\": \"many\"}}",
        "{\"program\": \"toy\", \"options\": {\"hidden\": true}}",
        "{\"program\": \"toy\", \"options\": {\"cell\": \"tape\"}}",
        "{\"program\": \"toy\", \"options\": {\"lr\": [1]}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("t/config.json", bad[i]);
        ck_assert_ptr_null(train_with("--resume", &cli));
        ck_assert_msg(et_error_status() == ET_EFORMAT, "%s: %s", bad[i], et_error_message());
        et_cli_free(cli);
        et_error_clear();
    }
}
END_TEST

/* What another verb has made is not gone on with, and stays as it is; it is read by any. */
START_TEST(run_knows_its_verb)
{
    static const char config[] =
        "{\"program\": \"toy\", \"verb\": \"pretrain\", \"options\": {\"hidden\": 3}}";
    et_cli *cli;

    ck_assert_int_eq(mkdir(in_base("t"), 0777), 0);
    put("t/config.json", config);
    ck_assert_ptr_null(train_with("--resume", &cli));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "was made by toy pretrain, not by toy train"));
    et_cli_free(cli);
    et_error_clear();
    holds("t/config.json", config);

    char line[512];
    snprintf(line, sizeof line, "eval --out %s", in_base("t"));
    cli = parse(line);
    et_run *run = et_run_for_reading(cli);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_run_verb(run), "pretrain");
    et_run_close(run);
    et_cli_free(cli);
}
END_TEST

/* Begins a run, as a program does that trains, and leaves it at once. */
static void begin(const char *line)
{
    et_cli *cli = parse(line);
    et_run *run = et_run_for_training(cli);
    et_json_writer w;

    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert(et_run_config_begin(run, cli, &w) == ET_OK && et_run_config_end(run, &w) == ET_OK);
    et_run_close(run);
    et_cli_free(cli);
}

/* What nothing came into goes again, but not what another has made in its place. */
START_TEST(unused_folders_go)
{
    et_run *a = open_run(in_base("unused"), ET_RUN_NEW), *b;

    ck_assert_msg(a != NULL, "%s", et_error_message());
    ck_assert_ptr_null(open_run(in_base("unused"), ET_RUN_NEW)); /* locked */
    et_error_clear();
    ck_assert_int_eq(access(in_base("unused"), F_OK), 0);
    ck_assert_int_eq(rmdir(in_base("unused")), 0);
    b = open_run(in_base("unused"), ET_RUN_NEW);
    ck_assert_msg(b != NULL, "%s", et_error_message());
    et_run_close(a);
    ck_assert_int_eq(access(in_base("unused"), F_OK), 0);
    et_run_close(b);
    ck_assert_int_eq(access(in_base("unused"), F_OK), -1);

    /* Nor do the folders above it stay, where they were not there before and hold nothing else. */
    char name[320] = "";
    et_run_close(must_open("some/of//b/../a/run", ET_RUN_NEW));
    ck_assert_int_eq(access(in_base("some"), F_OK), -1);
    ck_assert_int_eq(mkdir(in_base("mine"), 0777), 0);
    a = must_open("mine/of/a/run", ET_RUN_NEW);
    b = must_open("mine/of/b/run", ET_RUN_NEW);
    et_run_close(a);
    ck_assert_int_eq(access(in_base("mine/of/a"), F_OK), -1);
    ck_assert_int_eq(access(in_base("mine/of/b/run"), F_OK), 0);
    et_run_close(b);
    ck_assert_int_eq(access(in_base("mine/of"), F_OK), 0); /* b had not made it */
    ck_assert_int_eq(rmdir(in_base("mine/of")), 0);
    memset(name, 'x', sizeof name - 1);
    memcpy(name, "mine/of/", 8);
    must_fail(name, ET_RUN_NEW, ET_EIO, "cannot make");
    ck_assert_int_eq(access(in_base("mine/of"), F_OK), -1);
    ck_assert_int_eq(access(in_base("mine"), F_OK), 0);
}
END_TEST

/* So one that was there may be gone when what is below it is made: it is then made, too. */
START_TEST(folders_go_meanwhile)
{
    enum { TIMES = 1000 };
    char above[512];
    const pid_t child = fork();

    ck_assert_int_ge(child, 0);
    snprintf(above, sizeof above, "%s", in_base("above"));
    if (child == 0) {
        alarm(60);
        for (;;) {
            mkdir(above, 0777);
            rmdir(above);
        }
    }
    int made = 0;
    for (int i = 0; i < TIMES; i++) {
        made += et_folder_make(in_base("above/below")) == ET_OK;
        rmdir(in_base("above/below"));
        rmdir(above);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert_msg(made == TIMES, "%d of %d: %s", made, (int)TIMES, et_error_message());
}
END_TEST

/* A run that learned from a folder knows it again, from wherever it is asked. */
START_TEST(run_knows_its_data)
{
    static const char *const given[] = {"", " --data mine", " --data ./here/../mine", " --data other",
                                        " --data nowhere"};
    static const et_run_data what[] = {ET_RUN_DATA_OWN, ET_RUN_DATA_OWN, ET_RUN_DATA_OWN, ET_RUN_DATA_OTHER,
                                       ET_RUN_DATA_OTHER};
    char here[4096], line[512];
    et_cli *cli;

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(base), 0);
    ck_assert_int_eq(mkdir("mine", 0777) + mkdir("other", 0777) + mkdir("here", 0777), 0);
    for (int own = 1; own >= 0; own--) {
        begin(own ? "train --data mine --out own" : "train --out made");
        for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
            snprintf(line, sizeof line, "eval --out %s%s", own ? "own" : "made", given[i]);
            cli = parse(line);
            et_run *run = et_run_for_reading(cli);
            ck_assert_msg(run != NULL, "%s", et_error_message());
            ck_assert_int_eq(et_run_data_given(run, cli), own || i == 0 ? what[i] : ET_RUN_DATA_OTHER);
            et_run_close(run);
            et_cli_free(cli);
        }
    }
    ck_assert_int_eq(chdir("here"), 0);
    for (int moved = 0; moved < 2; moved++) {
        cli = parse(moved ? "eval --out ../own --data ../moved" : "eval --out ../own --data ../mine");
        et_run *run = et_run_for_reading(cli);
        ck_assert_msg(run != NULL, "%s", et_error_message());
        ck_assert_int_eq(et_run_data_given(run, cli), moved ? ET_RUN_DATA_UNKNOWN : ET_RUN_DATA_OWN);
        et_run_close(run);
        et_cli_free(cli);
        cli = parse("eval --out ../own");
        ck_assert_msg((run = et_run_for_reading(cli)) != NULL, "%s", et_error_message());
        ck_assert_int_eq(access(et_cli_text(cli, "data"), F_OK), moved ? -1 : 0);
        et_run_close(run);
        et_cli_free(cli);
        if (!moved)
            ck_assert_int_eq(rename("../mine", "../moved"), 0);
    }
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

/* Files that a run was given are found from another folder, and recognised when they are given again. */
START_TEST(run_finds_its_files)
{
    static const struct { const char *line; bool agrees; } again[] = {
        {"train --out ../own --resume", true},
        {"train --out ../own --resume --words ../list.txt", true},
        {"train --out ../own --resume --title list.txt", true},
        {"train --out ../own --resume --words ../other.txt", false},
        {"train --out ../own --resume --words list.txt", false}};
    char here[4096];

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    put("list.txt", "a\n");
    put("other.txt", "a\n");
    ck_assert_int_eq(chdir(base), 0);
    ck_assert_int_eq(mkdir("here", 0777), 0);
    begin("train --words list.txt --title list.txt --out own");
    ck_assert_int_eq(chdir("here"), 0);
    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++) {
        et_cli *cli = parse(again[i].line);
        et_run *run = et_run_for_training(cli);
        ck_assert_msg((run != NULL) == again[i].agrees, "%s: %s", again[i].line, et_error_message());
        if (run) {
            ck_assert_int_eq(access(et_cli_text(cli, "words"), F_OK), 0);
            ck_assert_str_eq(et_cli_text(cli, "title"), "list.txt");
        }
        et_error_clear();
        et_run_close(run);
        et_cli_free(cli);
    }
    ck_assert_int_eq(chdir(".."), 0);
    ck_assert_int_eq(remove("list.txt"), 0); /* as a cache that is to be made anew */
    et_cli *cli = parse("train --out own --resume --words list.txt");
    et_run *run = et_run_for_training(cli);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    et_run_close(run);
    et_cli_free(cli);
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

/* In a folder whose name is no UTF-8, which config.json cannot hold, paths stay as they were given. */
START_TEST(run_in_any_folder)
{
    char here[4096];

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(base), 0);
    if (mkdir("l\366we", 0777) || chdir("l\366we"))
        return; /* this file system has no such names */
    FILE *list = fopen("list.txt", "w");
    ck_assert(list && fclose(list) == 0);
    begin("train --words list.txt --out own");
    et_cli *cli = parse("train --out own --resume --words list.txt");
    et_run *run = et_run_for_training(cli);
    ck_assert_msg(run != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_cli_text(cli, "words"), "list.txt");
    et_run_close(run);
    et_cli_free(cli);
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

/* Who stops the program while data are read has not failed. */
START_TEST(stopping_is_no_failure)
{
    const et_train_result none = {0}, one = {.epochs = 1}, stopped = {.epochs = 1, .interrupted = true};
    et_cli *cli = parse("train");
    et_json_writer w;
    et_run *run;

    ck_assert_int_eq(et_interrupt_catch(), ET_OK);
    et_interrupt_reset();
    et_raise(ET_EINVAL, "given up");
    ck_assert_int_eq(et_run_exit(NULL, cli, ET_EINVAL, &none), ET_EXIT_USAGE);
    ck_assert_int_eq(raise(SIGINT), 0);
    ck_assert_int_eq(et_run_exit(NULL, cli, ET_EINVAL, &one), ET_EXIT_USAGE);
    ck_assert_int_eq(et_run_exit(NULL, cli, ET_EINVAL, &none), ET_EXIT_INTERRUPTED);
    ck_assert_int_eq(et_error_status(), ET_OK);
    ck_assert_int_eq(et_run_exit(NULL, cli, ET_OK, &stopped), ET_EXIT_INTERRUPTED); /* no run to resume */
    et_raise(ET_EIO, "no space");
    ck_assert_int_ne(et_run_exit(NULL, cli, ET_EIO, &none), ET_EXIT_INTERRUPTED);
    et_error_clear();

    run = must_open("stopped", ET_RUN_NEW); /* and no run begins */
    ck_assert_int_eq(et_run_config_begin(run, cli, &w), ET_EINVAL);
    et_run_close(run);
    ck_assert_int_eq(access(in_base("stopped"), F_OK), -1);
    et_error_clear();
    et_interrupt_reset();
    et_cli_free(cli);
}
END_TEST

START_TEST(run_without_out)
{
    char here[4096];
    et_cli *cli;

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(base), 0);
    for (int i = 1; i <= 3; i++) {
        et_run *run;
        char want[32];

        cli = parse("train");
        run = et_run_for_training(cli);
        snprintf(want, sizeof want, i > 1 ? "runs/toy-%d" : "runs/toy", i);
        ck_assert_msg(run != NULL, "%s", et_error_message());
        ck_assert_str_eq(et_run_dir(run), want);
        ck_assert_int_eq(et_run_log(run, 1, NULL, 0), ET_OK);
        et_run_close(run);
        et_cli_free(cli);
    }
    cli = parse("train --resume");
    ck_assert_ptr_null(et_run_for_training(cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "--resume needs --out DIR"));
    et_cli_free(cli);
    et_error_clear();
    cli = parse("train --overwrite");
    ck_assert_ptr_null(et_run_for_training(cli));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "--overwrite needs --out DIR"));
    et_cli_free(cli);
    ck_assert_int_eq(chdir(here), 0);
}
END_TEST

START_TEST(resume_line_can_be_typed)
{
    et_cli *cli = parse("train");
    et_run *run = must_open("it's a run", ET_RUN_NEW);
    FILE *f = tmpfile();
    char text[512], want[256];

    et_run_print_resume(run, cli, 7, f);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    snprintf(want, sizeof want,
             "after epoch 7; everything is saved. To go on:\n  toy train --out '%s/it'\\''s a run' "
             "--resume\n", base);
    ck_assert_msg(strstr(text, want) != NULL, "%s", text);
    et_run_close(run);
    et_cli_free(cli);
}
END_TEST

static bool run_body(void *user)
{
    const et_figure f[] = {{"loss", 1.5}};
    et_cli *cli = parse("train --hidden 4");
    et_run *run = cli ? et_run_open(cli, user, ET_RUN_RESUME) : NULL;
    et_json_writer w;
    double column[1];
    bool ok = run && et_run_log_cut(run, 0) == ET_OK && et_run_log(run, 1, f, 1) == ET_OK &&
              et_run_log_column(run, "loss", column) == ET_OK &&
              et_run_metrics(run, "valid", f, 1) == ET_OK && et_run_config_begin(run, cli, &w) == ET_OK &&
              et_run_config_end(run, &w) == ET_OK;

    et_run_close(run);
    et_cli_free(cli);
    return ok;
}

START_TEST(run_memory)
{
    char dir[256];

    snprintf(dir, sizeof dir, "%s", in_base("sweep"));
    ck_assert(run_body(dir));
    ck_assert_int_gt(alloc_sweep("run folder", run_body, dir), 20);
    holds("sweep/log.jsonl", "{\"epoch\": 1, \"loss\": 1.5}\n");
}
END_TEST

/* A child writes as fast as it can, is watched and then killed;
 * whatever the moment, every file is whole. */
START_TEST(killed_while_writing)
{
    enum { ROUNDS = 12 };
    size_t seen = 0;

    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        et_run *run;
        int status;

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            run = open_run(in_base("k"), ET_RUN_RESUME);
            ck_assert_ptr_nonnull(run);
            for (int64_t i = et_run_log_rows(run);; i++) {
                const et_figure f[] = {{"loss", 1.0 / (double)(i + 3)}, {"accuracy", 0.123456789}};

                et_run_log(run, i + 1, f, 2);
                et_run_metrics(run, "valid", f, 2);
            }
        }
        double end = et_seconds() + 0.002 + 0.003 * round;
        const double late = end + 20; /* for the last, on the slowest of machines */
        while (et_seconds() < end || (round == ROUNDS - 1 && !exists("k/log.jsonl") && et_seconds() < late))
            if (exists("k/log.jsonl")) { /* at no moment is less than before to be seen */
                unsigned char *data = NULL;
                size_t size = 0;

                ck_assert_int_eq(et_file_read(in_base("k/log.jsonl"), 1 << 20, &data, &size), ET_OK);
                ck_assert_uint_ge(size, seen);
                ck_assert(size > 0 && data[size - 1] == '\n');
                seen = size;
                et_dealloc(data);
            }
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        if (exists("k/metrics.json")) {
            et_json *j = et_json_read(in_base("k/metrics.json"), 1 << 20);

            ck_assert_msg(j != NULL, "%s", et_error_message());
            et_json_free(j);
        }
        if (exists("k/log.jsonl")) {
            put("k/config.json", "{\"program\": \"toy\"}");
            run = must_open("k", ET_RUN_READ);
            ck_assert_msg(!et_run_log_damage(run), "%s", et_run_log_damage(run));
            et_run_close(run);
        }
    }
    ck_assert(exists("k/log.jsonl"));
}
END_TEST

START_TEST(leftovers_are_removed)
{
    static const char *const others[] = {".et-.tmp",        ".et-0-0.tmp",   ".et-x-0.tmp",   ".et-7-.tmp",
                                         ".et-7-0.tmpx", ".et-7-0",         "et-7-0.tmp",    ".et--7-0.tmp",
                                         ".et-7--1.tmp", ".et-7 -0.tmp",    "notes.tmp",
                                         ".et-99999999999999999999-0.tmp"};
    static const et_run_mode modes[] = {ET_RUN_NEW, ET_RUN_RESUME, ET_RUN_OVERWRITE};
    char gone[64], mine[64], name[128];
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0); /* a process that is no more */
    ck_assert_int_eq(mkdir(in_base("left"), 0777), 0);
    snprintf(gone, sizeof gone, "left/.et-%ld-3.tmp", (long)child);
    snprintf(mine, sizeof mine, "left/.et-%ld-3.tmp", (long)getpid());
    put(mine, "");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(name, sizeof name, "left/%s", others[i]);
        put(name, "");
    }
    for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
        put(gone, "half");
        et_run_close(must_open("left", modes[m]));
        ck_assert_msg(!exists(gone), "mode %d", (int)modes[m]);
    }
    put("left/config.json", "{}");
    put(gone, "half");
    must_fail("left", ET_RUN_NEW, ET_EINVAL, "already holds a run");
    et_run_close(must_open("left", ET_RUN_READ));
    ck_assert(exists(gone) && exists(mine));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(name, sizeof name, "left/%s", others[i]);
        ck_assert_msg(exists(name), "%s is gone", name);
    }
}
END_TEST

/* Features that were read for a run that does not begin go with it; those that were there stay. */
START_TEST(features_of_no_run)
{
    et_run *run = must_open("f/g", ET_RUN_NEW);

    put("f/g/features.cache", "");
    et_run_close(run);
    ck_assert(!exists("f"));
    overwrite("f", ET_OK);
    run = must_open("f", ET_RUN_RESUME);
    put("f/features.cache", "");
    et_run_close(run);
    ck_assert(!exists("f/features.cache") && exists("f/config.json"));
    run = must_open("f", ET_RUN_READ);
    put("f/features.cache", ""); /* of another process that trains */
    et_run_close(run);
    ck_assert(exists("f/features.cache"));
    et_run_close(must_open("f", ET_RUN_OVERWRITE));
    ck_assert(exists("f/features.cache"));
}
END_TEST

/* An overwritten run leaves nothing that the new one could take for its own. */
START_TEST(by_products_are_removed)
{
    static const char *const gone[] = {"last-1.ckpt",         "last-19.ckpt",       "best-1.safetensors",
                                       "best-10.safetensors", "towers.safetensors", "judge.safetensors",
                                       "index.safetensors",   "tags.csv",           "explain.html",
                                       "judge.html"};
    static const char *const stay[] = {"last-.ckpt",    "last-x.ckpt", "last-1x.ckpt",   "xlast-1.ckpt",
                                       "last-1.ckpt.x", "best-1.txt",  "best-1",         "best-",
                                       "-1.ckpt",       "vocab.txt",   "my.safetensors", "features.cache"};
    char name[128];

    ck_assert_int_eq(mkdir(in_base("by"), 0777), 0);
    put("by/config.json", "{}");
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        snprintf(name, sizeof name, "by/%s", gone[i]);
        put(name, "old");
    }
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++) {
        snprintf(name, sizeof name, "by/%s", stay[i]);
        put(name, "mine");
    }
    et_run_close(must_open("by", ET_RUN_RESUME)); /* going on keeps all of it */
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        snprintf(name, sizeof name, "by/%s", gone[i]);
        ck_assert_msg(exists(name), "%s is gone", name);
    }
    overwrite("by", ET_OK);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        snprintf(name, sizeof name, "by/%s", gone[i]);
        ck_assert_msg(!exists(name), "%s is there still", name);
    }
    for (size_t i = 0; i < sizeof stay / sizeof stay[0]; i++) {
        snprintf(name, sizeof name, "by/%s", stay[i]);
        ck_assert_msg(exists(name), "%s is gone", name);
    }

    /* what cannot be removed is an error;
     * the checkpoint stays, so that nobody takes the folder for empty */
    put("by/config.json", "{}");
    put("by/last.ckpt", "old");
    ck_assert_int_eq(mkdir(in_base("by/judge.safetensors"), 0777), 0);
    overwrite("by", ET_EIO);
    ck_assert_msg(strstr(et_error_message(), "cannot remove") != NULL, "%s", et_error_message());
    et_error_clear();
    ck_assert(!exists("by/config.json") && exists("by/last.ckpt"));
    must_fail("by", ET_RUN_NEW, ET_EINVAL, "already holds a run");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples_common");
    TCase *run = tcase_create("run folder");

    tcase_set_timeout(run, 60);
    tcase_add_checked_fixture(run, make_base, remove_base);
    tcase_add_test(run, run_is_not_lost);
    tcase_add_test(run, run_is_locked);
    tcase_add_test(run, log_appends_and_cuts);
    tcase_add_test(run, log_survives_damage);
    tcase_add_test(run, metrics_merge);
    tcase_add_test(run, run_takes_its_options_along);
    tcase_add_test(run, run_knows_its_verb);
    tcase_add_test(run, run_knows_its_data);
    tcase_add_test(run, unused_folders_go);
    tcase_add_test(run, folders_go_meanwhile);
    tcase_add_test(run, run_finds_its_files);
    tcase_add_test(run, run_in_any_folder);
    tcase_add_test(run, stopping_is_no_failure);
    tcase_add_test(run, run_without_out);
    tcase_add_test(run, resume_line_can_be_typed);
    tcase_add_test(run, run_memory);
    tcase_add_test(run, killed_while_writing);
    tcase_add_test(run, leftovers_are_removed);
    tcase_add_test(run, by_products_are_removed);
    tcase_add_test(run, features_of_no_run);
    suite_add_tcase(suite, run);
    return suite_run(suite);
}
