/* The command line that the example programs share. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/common/internal.h"
#include "tensor/file.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"
#include "tests/toy_program.h"

static void reset(void)
{
    et_error_clear();
}

static const struct {
    const char *line, *words;
} misuse[] = {
    {"", "say what to do: train, eval, explain"},
    {"~", "say what to do"},
    {"trian", "unknown verb trian; did you mean train?"},
    {"tr", "did you mean train?"},
    {"dance", "unknown verb dance; there are train, eval, explain"},
    {"--epochs 3", "a verb comes first, then --epochs"},
    {"help dance", "unknown verb dance"},
    {"train --epoch 3", "unknown option --epoch; did you mean --epochs?"},
    {"train --epochs3", "did you mean --epochs?"},
    {"train --eopchs 3", "did you mean --epochs?"},
    {"train --ep 3", "did you mean --epochs?"},
    {"train -epochs 3", "unknown option -epochs; did you mean --epochs?"},
    {"train -e", "unknown option -e"},
    {"train --xyzzy", "unknown option --xyzzy (see toy train --help)"},
    {"train --xyzzy=3", "unknown option --xyzzy=3"},
    {"train --", NULL},
    {"train --= 3", "unknown option --="},
    {"train --a-name-that-is-longer-than-any-option-could-ever-be 1", "unknown option"},
    {"eval --epochs 3 --out x", "--epochs is an option of train, not of eval"},
    {"explain --cell gru --out x y", "--cell is an option of train, not of explain"},
    {"explain --cel gru --out x y", "unknown option --cel (see toy explain --help)"},
    {"train -o", "--out needs a value: DIR"},
    {"train -o=x", "unknown option -o=x"},
    {"explain -k", "--k needs a value: N"},
    {"train -k 1", "--k is an option of explain, not of train"},
    {"train -O x", "unknown option -O"},
    {"train --o x", "unknown option --o"},
    {"train --epochs", "--epochs needs a value: N"},
    {"train --epochs --batch 3", "--epochs needs a value: N"},
    {"train --epochs --help", "--epochs needs a value: N"},
    {"train --out --resume", "--out needs a value: DIR"},
    {"train --out=", "--out: the value is empty"},
    {"train --out ~", "--out: the value is empty"},
    {"train --epochs=", "--epochs: the value is empty"},
    {"train --epochs 0", "--epochs 0: outside 1 .. 1000000"},
    {"train --epochs -3", "--epochs -3: outside"},
    {"train --epochs 3x", "--epochs 3x: not a whole number"},
    {"train --epochs 3.0", "not a whole number"},
    {"train --epochs 1e3", "not a whole number"},
    {"train --epochs 0x10", "not a whole number"},
    {"train --epochs 99999999999999999999", "the number is too large"},
    {"train --epochs 1000001", "outside 1 .. 1000000"},
    {"train --seed -1", "outside 0 .. 9007199254740991"},
    {"train --lr abc", "--lr abc: not a finite number"},
    {"train --lr nan", "--lr nan: not a finite number"},
    {"train --lr inf", "not a finite number"},
    {"train --lr 1e999", "not a finite number"},
    {"train --lr 0", "--lr 0: outside"},
    {"train --lr 11", "--lr 11: outside 1e-12 .. 10"},
    {"train --lr 1e-3x", "not a finite number"},
    {"train --lr 0,1", "not a finite number"},
    {"train --config big", "--config big: not one of small|paper"},
    {"train --config sma", "not one of small|paper"},
    {"train --config small|paper", "not one of"},
    {"train --cell GRU", "not one of gru|lstm|rnn"},
    {"train --threads 0", "outside 1 .. 256"},
    {"train --threads 257", "outside 1 .. 256"},
    {"train --resume=yes", "--resume takes no value"},
    {"train --resume=", "--resume takes no value"},
    {"train file.wav", "unexpected argument file.wav"},
    {"train -- --epochs", "unexpected argument --epochs"},
    {"eval", "eval needs --out DIR"},
    {"eval --data x", "eval needs --out DIR"},
    {"explain --out x", "explain needs FILE..."},
    {"explain --out x a b c d", "unexpected argument d"},
    {"explain a --out x --top 0", "outside 1 .. 100"},
};
enum { N_MISUSE = sizeof misuse / sizeof misuse[0] };

START_TEST(cli_misuse)
{
    et_cli *cli = parse(misuse[_i].line);

    if (!misuse[_i].words) { /* not wrong after all */
        ck_assert_msg(cli != NULL, "'%s': %s", misuse[_i].line, et_error_message());
        et_cli_free(cli);
        return;
    }
    ck_assert_msg(cli == NULL, "'%s' was accepted", misuse[_i].line);
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    ck_assert_msg(strstr(et_error_message(), misuse[_i].words) != NULL, "'%s': \"%s\" lacks \"%s\"",
                  misuse[_i].line, et_error_message(), misuse[_i].words);
    ck_assert_ptr_null(strchr(et_error_message(), '\n'));
}
END_TEST

START_TEST(cli_values)
{
    et_cli *cli = parse("train --epochs 7 --lr=1e-2 --data /a=b --resume --config paper --epochs=9 --seed 0");

    ck_assert_msg(cli != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_cli_verb(cli)->name, "train");
    ck_assert_int_eq(et_cli_int(cli, "epochs"), 9); /* the last one counts */
    ck_assert(et_cli_real(cli, "lr") == 1e-2);
    ck_assert_str_eq(et_cli_text(cli, "data"), "/a=b");
    ck_assert_str_eq(et_cli_text(cli, "config"), "paper");
    ck_assert_str_eq(et_cli_text(cli, "cell"), "gru");
    ck_assert(et_cli_flag(cli, "resume") && !et_cli_flag(cli, "overwrite"));
    ck_assert(et_cli_given(cli, "seed") && !et_cli_given(cli, "cell") && !et_cli_given(cli, "hidden"));
    ck_assert_int_eq(et_cli_int(cli, "hidden"), 0);
    ck_assert_ptr_null(et_cli_text(cli, "out"));
    ck_assert_int_eq(et_cli_refuse(cli, "hidden cell top", "with --%s", "data"), ET_OK); /* not given */
    ck_assert_int_eq(et_cli_refuse(cli, "hidden seed", "with --%s", "data"), ET_EINVAL);
    ck_assert_str_eq(et_error_message(), "--seed has no meaning with --data");
    et_error_clear();
    ck_assert_int_eq(et_cli_default_int(cli, "hidden", 128), ET_OK);
    ck_assert_int_eq(et_cli_default_int(cli, "epochs", 50), ET_OK);
    ck_assert_int_eq(et_cli_default_real(cli, "lr", 5), ET_OK);
    ck_assert_int_eq(et_cli_int(cli, "hidden"), 128);
    ck_assert_int_eq(et_cli_int(cli, "epochs"), 9);
    ck_assert(et_cli_real(cli, "lr") == 1e-2);
    ck_assert_int_eq(et_cli_default_int(cli, "batch", 0), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_cli_int(cli, "lr"), 0); /* the wrong kind */
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_cli_text(cli, "top");
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_cli_free(cli);
    et_error_clear();
    for (int dashes = 1; dashes <= 2; dashes++) {
        cli = parse(dashes == 1 ? "explain -k 5 one.wav -o dir" : "explain --k 5 one.wav --out dir");
        ck_assert_msg(cli != NULL, "%s", et_error_message());
        ck_assert_int_eq(et_cli_int(cli, "k"), 5);
        ck_assert_str_eq(et_cli_text(cli, "out"), "dir");
        et_cli_free(cli);
    }
    cli = parse("explain one.wav -o dir - -- --three");
    ck_assert_str_eq(et_cli_text(cli, "out"), "dir");
    ck_assert_int_eq(et_cli_operands(cli), 3);
    ck_assert_str_eq(et_cli_operand(cli, 0), "one.wav");
    ck_assert_str_eq(et_cli_operand(cli, 1), "-");
    ck_assert_str_eq(et_cli_operand(cli, 2), "--three");
    ck_assert_ptr_null(et_cli_operand(cli, 3));
    ck_assert_int_eq(et_cli_int(cli, "top"), 5);
    et_cli_free(cli);
    cli = parse("train --threads 2 --lr -1");
    ck_assert_ptr_null(cli);
    et_error_clear();
}
END_TEST

START_TEST(cli_help_is_complete)
{
    for (int v = -1; v < 3; v++) {
        et_strbuf b = ET_STRBUF_INIT;

        ck_assert_int_eq(et_cli_help(&program, v < 0 ? NULL : &verbs[v], &b), ET_OK);
        for (int w = 0; w < 3; w++) {
            const char *at = verbs[w].options;
            char word[ET_CLI_WORD], line[64], mark;

            if (v >= 0 && w != v)
                continue;
            ck_assert_ptr_nonnull(strstr(b.data, verbs[w].name));
            ck_assert_ptr_nonnull(strstr(b.data, verbs[w].help));
            while (et_cli_next_word(&at, word, &mark)) {
                bool shown, wanted = mark != '@' || (v < 0 && et_cli_takes(&verbs[0], word));

                snprintf(line, sizeof line, "\n  %s--%s ",
                         strcmp(word, "out") == 0 ? "-o, " : strcmp(word, "k") == 0 ? "-k, " : "", word);
                shown = strstr(b.data, line) != NULL;
                ck_assert_msg(shown == wanted, "--%s is%s in\n%s", word, shown ? "" : " not", b.data);
            }
        }
        ck_assert_ptr_nonnull(strstr(b.data, "\n  -h, --help "));
        ck_assert_int_eq(strstr(b.data, " [-k N] ") != NULL, v != 0 && v != 1);
        for (const char *s = b.data; *s;) {
            size_t n = strcspn(s, "\n");

            ck_assert_msg(n <= 80, "a line of %zu columns: %.*s", n, (int)n, s);
            ck_assert(n == 0 || s[n - 1] != ' ');
            s += n + 1;
        }
        et_strbuf_free(&b);
    }
}
END_TEST

START_TEST(cli_distance)
{
    ck_assert_int_eq(et_cli_distance("", "abc"), 3);
    ck_assert_int_eq(et_cli_distance("epochs", "epochs"), 0);
    ck_assert_int_eq(et_cli_distance("eopchs", "epochs"), 1);
    ck_assert_int_eq(et_cli_distance("kitten", "sitting"), 3);
}
END_TEST

/* Runs et_cli_main with both outputs in files; returns the status, and what was printed. */
static int run_main(const char *line, char *out, char *err, size_t size)
{
    FILE *fo = tmpfile(), *fe = tmpfile();
    int saved_out, saved_err, status, argc = 1;
    char text[256], *argv[MAX_ARGS + 1] = {(char *)"toy"};

    ck_assert(fo && fe);
    snprintf(text, sizeof text, "%s", line);
    for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    argv[argc] = NULL;
    fflush(NULL);
    saved_out = dup(1);
    saved_err = dup(2);
    dup2(fileno(fo), 1);
    dup2(fileno(fe), 2);
    status = et_cli_main(&program, argc, argv);
    fflush(NULL);
    dup2(saved_out, 1);
    dup2(saved_err, 2);
    close(saved_out);
    close(saved_err);
    rewind(fo);
    rewind(fe);
    out[fread(out, 1, size - 1, fo)] = '\0';
    err[fread(err, 1, size - 1, fe)] = '\0';
    fclose(fo);
    fclose(fe);
    return status;
}

START_TEST(cli_exit_statuses)
{
    static char out[8192], err[8192];

    last_status = 0;
    ck_assert_int_eq(run_main("train", out, err, sizeof out), 0);
    ck_assert_str_eq(err, "");
    ck_assert_int_eq(run_main("--help", out, err, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "Usage:"));
    ck_assert_int_eq(run_main("help eval", out, err, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "toy eval --out DIR"));
    ck_assert_int_eq(run_main("train --help", out, err, sizeof out), 0);
    ck_assert_int_eq(run_main("eval --help", out, err, sizeof out), 0);
    ck_assert_int_eq(run_main("--version", out, err, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, PACKAGE_VERSION));
    ck_assert_int_eq(run_main("train --epoch\n 3", out, err, sizeof out), 2);
    ck_assert_str_eq(err, "toy: unknown option --epoch?; did you mean --epochs?\n");
    ck_assert_str_eq(out, "");
    last_status = 1;
    ck_assert_int_eq(run_main("train --threads 1", out, err, sizeof out), 1);
}
END_TEST

/* Prints while a file is being written. */
static int write_and_say(et_cli *cli)
{
    et_writer *w = et_writer_open(in_dir("file"));

    (void)cli;
    puts("half of it");
    fflush(stdout);
    et_writer_put(w, "whole", 5);
    return et_writer_commit(w) ? ET_EXIT_FAILURE : ET_EXIT_OK;
}

/* With its standard output closed, a program does not print into the first file that it opens. */
START_TEST(cli_without_output)
{
    static const et_verb says[] = {{"say", "Print", "out", NULL, 0, 0, write_and_say},
                                   {NULL, NULL, NULL, NULL, 0, 0, NULL}};
    et_program sayer = program;
    char *argv[] = {(char *)"toy", (char *)"say", NULL};
    unsigned char *data;
    size_t size;
    int status;
    pid_t child;

    sayer.verbs = says;
    make_test_dir();
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(1); /* the least number that is free */
        _exit(et_cli_main(&sayer, 2, argv));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == ET_EXIT_FAILURE); /* it could not print */
    data = get_file(in_dir("file"), &size);
    ck_assert(size == 5 && memcmp(data, "whole", 5) == 0);
    free(data);
    remove_test_dir();
}
END_TEST

static bool parse_body(void *user)
{
    et_cli *cli = parse(user);
    bool ok = cli && et_cli_default_int(cli, "hidden", 3) == ET_OK;

    et_cli_free(cli);
    return ok;
}

START_TEST(cli_memory)
{
    alloc_sweep("command line", parse_body, (void *)"train --epochs 7 --out x --config paper");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples_cli");
    TCase *tc = tcase_create("command line");

    tcase_add_checked_fixture(tc, reset, NULL);
    tcase_add_loop_test(tc, cli_misuse, 0, N_MISUSE);
    tcase_add_test(tc, cli_values);
    tcase_add_test(tc, cli_help_is_complete);
    tcase_add_test(tc, cli_distance);
    tcase_add_test(tc, cli_exit_statuses);
    tcase_add_test(tc, cli_without_output);
    tcase_add_test(tc, cli_memory);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
