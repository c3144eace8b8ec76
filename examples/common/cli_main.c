/* What main of every program does: parses the command line, runs the verb, turns its outcome into an exit
 * status. */
#include "config.h"

#include "examples/common/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "autograd/profile.h"
#include "tensor/parallel.h"

/* "PROGRAM: message" as one line: control characters, which an argument or file name may
 * hold, are shown as question marks. */
static void print_line(const char *program, const char *message)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", program);
    for (; *message; message++)
        fputc((unsigned char)*message < 0x20 || *message == 0x7F ? '?' : *message, stderr);
    fputc('\n', stderr);
}

int et_cli_fail(const et_cli *cli)
{
    et_status s = et_error_status();

    print_line(et_cli_program(cli)->name, s == ET_OK ? "failed" : et_error_message());
    return s == ET_EIO || s == ET_EFORMAT || s == ET_EDTYPE || s == ET_EINVAL ? ET_EXIT_USAGE
                                                                              : ET_EXIT_FAILURE;
}

int et_cli_misuse(const et_cli *cli, const char *fmt, ...)
{
    char message[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    print_line(et_cli_program(cli)->name, message);
    return ET_EXIT_USAGE;
}

/* Help and version go to the standard output; a full disk or closed pipe is a failure. */
static int print_page(const et_cli *cli)
{
    et_strbuf text = ET_STRBUF_INIT;
    int status = ET_EXIT_OK;

    if (et_cli_wants_version(cli))
        et_strbuf_printf(&text, "%s (Etude) %s\n", et_cli_program(cli)->name, PACKAGE_VERSION);
    else
        et_cli_help(et_cli_program(cli), et_cli_verb(cli), &text);
    if (text.failed) {
        status = et_cli_fail(cli);
    } else if (fputs(text.data, stdout) == EOF || fflush(stdout) == EOF) {
        print_line(et_cli_program(cli)->name, "cannot write to the standard output");
        status = ET_EXIT_FAILURE;
    }
    et_strbuf_free(&text);
    return status;
}

enum { PROFILE_EVENTS = 20000 }; /* about 5 MB of trace */

/* The verb, with --profile inside a profile whose table and trace come at the end, or when it is stopped. */
static int run_verb(et_cli *cli)
{
    const char *path = et_cli_given(cli, "profile") ? et_cli_text(cli, "profile") : NULL;
    et_profile *p;
    int status;

    if (!path)
        return et_cli_verb(cli)->run(cli);
    p = et_profile_begin(PROFILE_EVENTS);
    if (!p)
        return et_cli_fail(cli);
    status = et_cli_verb(cli)->run(cli);
    et_profile_end(p);
    if (status == ET_EXIT_OK || status == ET_EXIT_INTERRUPTED) {
        putchar('\n');
        if (et_profile_print(p, stdout) || et_profile_write(p, path))
            status = et_cli_fail(cli);
        else
            printf("trace: %s\n", path);
    }
    et_profile_free(p);
    return status;
}

/* Of standard input, output and errors, what the caller has closed is opened to something that neither can be
 * read nor written: the first file that the program opens would have its number otherwise, and get what is
 * printed. */
static void occupy_standard(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int et_cli_main(const et_program *program, int argc, char **argv)
{
    et_cli *cli;
    int status;

    occupy_standard();
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* a limit on the sizes of files is a full disk: writing fails */
#endif
    et_error_clear();
    cli = et_cli_parse(program, argc, argv);
    if (!cli) {
        print_line(program->name, et_error_message());
        return et_error_status() == ET_EINVAL ? ET_EXIT_USAGE : ET_EXIT_FAILURE;
    }
    if (et_cli_wants_help(cli) || et_cli_wants_version(cli))
        status = print_page(cli);
    else if (et_cli_given(cli, "threads") && et_set_num_threads((int)et_cli_int(cli, "threads")) != ET_OK)
        status = et_cli_fail(cli);
    else if ((status = run_verb(cli)) == ET_EXIT_OK && (fflush(stdout) == EOF || ferror(stdout))) {
        print_line(program->name, "cannot write to the standard output");
        status = ET_EXIT_FAILURE;
    }
    et_cli_free(cli);
    return status;
}
