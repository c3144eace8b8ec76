/* The command line that every example program shares.
 *
 *     PROGRAM VERB [--option value | --option=value | --flag | FILE]...
 *
 * -o is short for --out, -h for --help; an option whose name is one letter may have one dash.
 *
 * Verbs and options are tables; parsing, checking, defaults and `--help` come from them.
 * A wrong command line gives one line on the error output and exit status 2. */
#ifndef ETUDE_EXAMPLES_COMMON_CLI_H
#define ETUDE_EXAMPLES_COMMON_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"
#include "tensor/json.h"

/* Exit statuses. */
enum {
    ET_EXIT_OK = 0,
    ET_EXIT_FAILURE = 1,     /* any failure that is not the next one: out of memory, a full disk */
    ET_EXIT_USAGE = 2,       /* wrong command line; a file that is missing or malformed */
    ET_EXIT_INTERRUPTED = 130 /* stopped by Ctrl-C after saving */
};

typedef enum et_option_kind {
    ET_OPTION_FLAG,  /* no value; present or not */
    ET_OPTION_INT,   /* a whole number from lo to hi */
    ET_OPTION_REAL,  /* a finite number from lo to hi */
    ET_OPTION_TEXT,  /* not empty: a title, or a path where help names the value DIR, FILE or PATH */
    ET_OPTION_CHOICE /* one of the words of `value` */
} et_option_kind;

typedef struct et_option {
    const char *name;    /* without the dashes */
    et_option_kind kind;
    const char *value;   /* how help names the value: "N", "DIR"; of a choice "small|paper" */
    const char *initial; /* default, as text; NULL if there is none or the program decides */
    double lo, hi;       /* range of a number, both included */
    const char *help;    /* what it does, in one or two sentences without a final point */
} et_option;

typedef struct et_cli et_cli;

typedef struct et_verb {
    const char *name;
    const char *help;      /* one line */
    const char *options;   /* names of its options, blanks between; "out!" means required, "cell@"
                              that it comes from the run's config.json, not the command line */
    const char *operands;  /* how help names what is not an option ("FILE..."), or NULL */
    int min_operands, max_operands;
    int (*run)(et_cli *cli); /* returns the exit status */
} et_verb;

typedef struct et_program {
    const char *name;
    const char *summary;      /* one line, what it does */
    const char *about;        /* further paragraphs for --help, or NULL */
    const et_verb *verbs;     /* ended by a name of NULL */
    const et_option *options; /* its own, ended by a name of NULL; a name that the shared
                                 options have too replaces that one. Or NULL */
} et_program;

/** The options of all programs: data, out, epochs, batch, lr, seed, threads, config,
 *  profile, resume, overwrite. Ended by a name of NULL. */
extern const et_option et_shared_options[];

/** What `main` returns: parses, answers --help and --version, applies --threads, runs
 *  the verb, inside a profile (autograd/profile.h) if --profile asks for it. */
int et_cli_main(const et_program *program, int argc, char **argv);

/* --- inside a verb ------------------------------------------------------------------ */

/** Value of an option of this verb: from the command line, else from the run's config.json
 *  (et_cli_adopt), else what a default function below set, else the table's. Without any: false, 0, 0.0,
 *  NULL. Asking for an option that the verb does not have, or by the wrong kind, raises EINVAL. */
bool et_cli_flag(const et_cli *cli, const char *name);
int64_t et_cli_int(const et_cli *cli, const char *name);
double et_cli_real(const et_cli *cli, const char *name);
const char *et_cli_text(const et_cli *cli, const char *name);
/** Whether the command line itself gave it. */
bool et_cli_given(const et_cli *cli, const char *name);
/** EINVAL, "--NAME has no meaning WHEN", where the command line gave one of `names` (blanks between): options
 *  that would change nothing here. `when` is a printf format: "with --data", "without --folds". */
et_status et_cli_refuse(const et_cli *cli, const char *names, const char *when, ...) ET_PRINTF(3, 4);

/** Sets the default of an option that neither the command line nor the run's config.json
 *  gave, from a chosen configuration for example. The value is checked as one from the command line. */
et_status et_cli_default(et_cli *cli, const char *name, const char *value);
et_status et_cli_default_int(et_cli *cli, const char *name, int64_t value);
et_status et_cli_default_real(et_cli *cli, const char *name, double value);

/** The options with a value, as one JSON object, for config.json. Options that do not
 *  describe the run (out, resume, overwrite, threads, profile) are left out; paths become
 *  paths from the root. */
void et_cli_write_options(const et_cli *cli, et_json_writer *w);
/** The reverse, for resuming and evaluating: options that the command line did not give
 *  take their values from this object. Members that the verb does not know are ignored.
 *  EFORMAT for a value that does not fit its option; `path` stands in the message. */
et_status et_cli_adopt(et_cli *cli, const et_json_value *options, const char *path);

/** Name of the first option that the command line gave another value than this object
 *  has, NULL if there is none; options named in `except` (blanks between) may differ. */
const char *et_cli_conflict(const et_cli *cli, const et_json_value *options, const char *except);

/** How the program was called: argv[0]. */
const char *et_cli_command(const et_cli *cli);
/** Prints the text as one word of the shell, in quotes where it needs them. */
void et_cli_print_word(const char *text, FILE *out);
int et_cli_operands(const et_cli *cli);
const char *et_cli_operand(const et_cli *cli, int i);
const et_program *et_cli_program(const et_cli *cli);
const et_verb *et_cli_verb(const et_cli *cli);

/** Ends a verb that failed: prints "PROGRAM: the pending error" in one line and returns
 *  ET_EXIT_USAGE where what the user gave is at fault (EINVAL; a file's EIO, EFORMAT, EDTYPE),
 *  else ET_EXIT_FAILURE. */
int et_cli_fail(const et_cli *cli);
/** Ends a verb whose command line proves wrong only now: prints the line, returns
 *  ET_EXIT_USAGE. */
int et_cli_misuse(const et_cli *cli, const char *fmt, ...) ET_PRINTF(2, 3);

/* --- the parts, for tests ----------------------------------------------------------- */

/** Parses argv. NULL and EINVAL with the line to print if it is wrong. Where --help or
 *  --version was asked for, nothing else is checked; et_cli_verb is then the verb that
 *  help is wanted of, or NULL for the program. Release with et_cli_free. */
et_cli *et_cli_parse(const et_program *program, int argc, char **argv);
bool et_cli_wants_help(const et_cli *cli);
bool et_cli_wants_version(const et_cli *cli);
void et_cli_free(et_cli *cli);
/** The text of --help: of the program (verb NULL) or of one verb. */
et_status et_cli_help(const et_program *program, const et_verb *verb, et_strbuf *out);

#endif
