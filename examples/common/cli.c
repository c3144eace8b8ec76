/* Reading of command lines: see cli.h. Verbs, options and their defaults are tables of the program; what
 * --help prints of them is in cli_help.c, what main does with them in cli_main.c. */
#include "config.h"

#include "examples/common/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datasets/folder.h"
#include "tensor/alloc.h"
#include "tensor/number.h"

enum { FOLDER = 4096 }; /* bytes of a folder's path */

/* An option of the chosen verb and what it holds. */
typedef struct slot {
    const et_option *option;
    bool required, given;
    bool adopted; /* has its value from config.json */
    bool fixed;   /* not to be given on the command line */
    char *text;       /* NULL: no value */
    int64_t integer;  /* of an INT */
    double real;      /* of a REAL */
} slot;

struct et_cli {
    const et_program *program;
    const et_verb *verb;
    slot *slots;
    int n_slots;
    const char *command; /* argv[0] */
    char **operands;     /* into argv */
    int n_operands;
    bool help, version;
};

/* --- values ------------------------------------------------------------------------- */

/* Whether `word` is one of the words of "small|paper". */
static bool is_choice(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *s = words; n > 0;) {
        size_t len = strcspn(s, "|");

        if (len == n && memcmp(s, word, n) == 0)
            return true;
        if (s[len] == '\0')
            return false;
        s += len + 1;
    }
    return false;
}

/* Checks text against the option and stores it in the slot; `wrong` is raised if it does
 * not fit, with a message that begins as `where` and `between` make it: "--epochs 0" or
 * "config.json: epochs = 0". */
static et_status set_slot(slot *s, const char *text, et_status wrong, const char *where, const char *between)
{
    const et_option *o = s->option;
    char lo[ET_NUMBER_TEXT], hi[ET_NUMBER_TEXT], *copy;
    int64_t integer = 0;
    double real = 0;

    if (text[0] == '\0')
        return et_raise(wrong, "%s%s: the value is empty", where, o->name);
    switch (o->kind) {
    case ET_OPTION_FLAG:
    case ET_OPTION_TEXT:
        break;
    case ET_OPTION_INT:
        if (!et_parse_i64(text, strlen(text), &integer)) {
            bool digits = strspn(text, "0123456789") == strlen(text);

            return et_raise(wrong, "%s%s%s%s: %s", where, o->name, between, text,
                            digits ? "the number is too large" : "not a whole number");
        }
        real = (double)integer;
        break;
    case ET_OPTION_REAL:
        if (!et_parse_double(text, strlen(text), &real) || !isfinite(real))
            return et_raise(wrong, "%s%s%s%s: not a finite number", where, o->name, between, text);
        break;
    case ET_OPTION_CHOICE:
        if (!is_choice(o->value, text))
            return et_raise(wrong, "%s%s%s%s: not one of %s", where, o->name, between, text, o->value);
        break;
    }
    if ((o->kind == ET_OPTION_INT || o->kind == ET_OPTION_REAL) && !(real >= o->lo && real <= o->hi))
        return et_raise(wrong, "%s%s%s%s: outside %s .. %s", where, o->name, between, text,
                        et_format_double(lo, o->lo), et_format_double(hi, o->hi));
    copy = et_alloc_string(text);
    if (!copy)
        return ET_ENOMEM;
    et_dealloc(s->text);
    s->text = copy;
    s->integer = integer;
    s->real = real;
    return ET_OK;
}

static slot *find_slot(const et_cli *cli, const char *name)
{
    for (int i = 0; i < cli->n_slots; i++)
        if (strcmp(cli->slots[i].option->name, name) == 0)
            return &cli->slots[i];
    return NULL;
}

/* --- parsing ------------------------------------------------------------------------ */

/* The nearest of the names that stands close enough to `word` to be what was meant: at
 * most a third of it is wrong, or it is the beginning of the name. */
typedef struct guess {
    const char *word, *name;
    int distance;
} guess;

static void consider(guess *g, const char *name)
{
    size_t n = strlen(g->word);
    int d = n >= 2 && strncmp(g->word, name, n) == 0 ? 1 : et_cli_distance(g->word, name);
    int limit = n < 3 ? 1 : (int)(n + 2) / 3;

    if (d <= limit && (!g->name || d < g->distance)) {
        g->name = name;
        g->distance = d;
    }
}

static et_status unknown_verb(const et_program *program, const char *word)
{
    guess g = {word, NULL, 0};
    et_strbuf names = ET_STRBUF_INIT;

    for (const et_verb *v = program->verbs; v->name; v++) {
        consider(&g, v->name);
        et_strbuf_printf(&names, "%s%s", v == program->verbs ? "" : ", ", v->name);
    }
    if (names.failed)
        et_raise(ET_ENOMEM, "out of memory");
    else if (!word[0])
        et_raise(ET_EINVAL, "say what to do: %s (see %s --help)", names.data, program->name);
    else if (g.name)
        et_raise(ET_EINVAL, "unknown verb %s; did you mean %s?", word, g.name);
    else
        et_raise(ET_EINVAL, "unknown verb %s; there are %s", word, names.data);
    et_strbuf_free(&names);
    return et_error_status();
}

static et_status unknown_option(const et_cli *cli, const char *arg, const char *name)
{
    guess g = {name, NULL, 0};

    for (const et_verb *v = cli->program->verbs; v->name; v++)
        if (!et_cli_takes(cli->verb, name) && et_cli_takes(v, name))
            return et_raise(ET_EINVAL, "--%s is an option of %s, not of %s", name, v->name, cli->verb->name);
    for (int i = 0; i < cli->n_slots; i++)
        if (!cli->slots[i].fixed)
            consider(&g, cli->slots[i].option->name);
    consider(&g, "help");
    if (g.name)
        return et_raise(ET_EINVAL, "unknown option %s; did you mean --%s?", arg, g.name);
    return et_raise(ET_EINVAL, "unknown option %s (see %s %s --help)", arg, cli->program->name,
                    cli->verb->name);
}

static slot *find_letter(const et_cli *cli, char letter)
{
    for (int i = 0; i < cli->n_slots; i++)
        if (letter && et_cli_letter(cli->slots[i].option->name) == letter)
            return &cli->slots[i];
    return NULL;
}

/* One "--name", "--name=value" or "--name value", or "-k value" by an option's letter; *used counts the
 * arguments taken. */
static et_status parse_option(et_cli *cli, int left, char **argv, int *used)
{
    const char *name = argv[0][1] == '-' ? argv[0] + 2 : argv[0] + 1, *value = NULL,
               *next = left > 1 ? argv[1] : NULL;
    size_t n = strcspn(name, "=");
    char word[ET_CLI_WORD];
    slot *s = NULL;

    *used = 1;
    if (n < sizeof word) {
        memcpy(word, name, n);
        word[n] = '\0';
        if (argv[0][1] == '-')
            s = find_slot(cli, word);
        else if (n == 1 && name[n] == '\0')
            s = find_letter(cli, name[0]);
    }
    if (!s || s->fixed)
        return unknown_option(cli, argv[0], n < sizeof word ? word : name);
    if (name[n] == '=')
        value = name + n + 1;
    if (s->option->kind == ET_OPTION_FLAG) {
        if (value)
            return et_raise(ET_EINVAL, "--%s takes no value", s->option->name);
        value = "yes";
    } else if (!value) {
        char following[ET_CLI_WORD];

        if (next && next[0] == '-' && next[1] == '-') { /* another option, not a value */
            size_t len = strcspn(next + 2, "=");

            if (len < sizeof following) {
                memcpy(following, next + 2, len);
                following[len] = '\0';
                if (len == 0 || strcmp(following, "help") == 0 || find_slot(cli, following))
                    next = NULL;
            }
        }
        if (!next)
            return et_raise(ET_EINVAL, "--%s needs a value: %s", s->option->name, s->option->value);
        value = next;
        *used = 2;
    }
    s->given = true;
    return set_slot(s, value, ET_EINVAL, "--", " ");
}

static et_status make_slots(et_cli *cli)
{
    const char *at = cli->verb->options;
    char word[ET_CLI_WORD], mark;
    int n = 0;

    while (et_cli_next_word(&at, word, &mark))
        n++;
    cli->slots = et_alloc_zero((size_t)n + 1, sizeof *cli->slots);
    if (!cli->slots)
        return ET_ENOMEM;
    at = cli->verb->options;
    while (et_cli_next_word(&at, word, &mark)) {
        slot *s = &cli->slots[cli->n_slots];

        s->option = et_cli_find_option(cli->program, word);
        s->required = mark == '!';
        s->fixed = mark == '@';
        if (!s->option)
            return et_raise(ET_EINVAL, "the verb %s names an option %s that no table describes",
                            cli->verb->name, word);
        cli->n_slots++;
        if (s->option->initial && set_slot(s, s->option->initial, ET_EINVAL, "default of --", " ") != ET_OK)
            return et_error_status();
    }
    return ET_OK;
}

static et_status parse_verb(et_cli *cli, int argc, char **argv)
{
    bool only_operands = false;

    for (int i = 0; i < argc && !cli->help;) {
        int used = 1;

        if (only_operands || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (cli->n_operands >= cli->verb->max_operands)
                return et_raise(ET_EINVAL, "unexpected argument %s (see %s %s --help)", argv[i],
                                cli->program->name, cli->verb->name);
            cli->operands[cli->n_operands++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            cli->help = true;
        } else if (parse_option(cli, argc - i, argv + i, &used) != ET_OK) {
            return et_error_status();
        }
        i += used;
    }
    for (int i = 0; i < cli->n_slots && !cli->help; i++) {
        const et_option *o = cli->slots[i].option;

        if (cli->slots[i].required && !cli->slots[i].text)
            return et_raise(ET_EINVAL, "%s needs --%s %s", cli->verb->name, o->name,
                            o->value ? o->value : "");
    }
    if (!cli->help && cli->n_operands < cli->verb->min_operands)
        return et_raise(ET_EINVAL, "%s needs %s", cli->verb->name,
                        cli->verb->operands ? cli->verb->operands : "an argument");
    return ET_OK;
}

static et_status parse(et_cli *cli, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    bool wants_help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;

    if (strcmp(word, "--version") == 0) {
        cli->version = true;
        return ET_OK;
    }
    if (wants_help) {
        cli->help = true;
        word = argc > 2 ? argv[2] : "";
        if (!word[0])
            return ET_OK;
    }
    for (const et_verb *v = cli->program->verbs; v->name; v++)
        if (strcmp(v->name, word) == 0)
            cli->verb = v;
    if (!cli->verb && word[0] == '-')
        return et_raise(ET_EINVAL, "a verb comes first, then %s (see %s --help)", word, cli->program->name);
    if (!cli->verb)
        return unknown_verb(cli->program, word);
    if (wants_help)
        return ET_OK;
    cli->operands = et_alloc_zero((size_t)argc, sizeof *cli->operands);
    if (!cli->operands || make_slots(cli) != ET_OK)
        return et_error_status();
    return parse_verb(cli, argc - 2, argv + 2);
}

et_cli *et_cli_parse(const et_program *program, int argc, char **argv)
{
    et_cli *cli = et_alloc_zero(1, sizeof *cli);

    if (!cli)
        return NULL;
    cli->program = program;
    cli->command = argc > 0 && argv[0] ? argv[0] : program->name;
    if (parse(cli, argc, argv) != ET_OK) {
        et_cli_free(cli);
        return NULL;
    }
    return cli;
}

void et_cli_free(et_cli *cli)
{
    if (!cli)
        return;
    for (int i = 0; i < cli->n_slots; i++)
        et_dealloc(cli->slots[i].text);
    et_dealloc(cli->slots);
    et_dealloc(cli->operands);
    et_dealloc(cli);
}

/* --- inside a verb ------------------------------------------------------------------ */

/* The slot, or NULL and an error that names the mistake in the program. */
static const slot *ask(const et_cli *cli, const char *name, et_option_kind kind, et_option_kind or_kind)
{
    const slot *s = find_slot(cli, name);

    if (!s) {
        et_raise(ET_EINVAL, "the verb %s has no option --%s", cli->verb->name, name);
        return NULL;
    }
    if (s->option->kind != kind && s->option->kind != or_kind) {
        et_raise(ET_EINVAL, "--%s is asked for as another kind than its table says", name);
        return NULL;
    }
    return s;
}

bool et_cli_flag(const et_cli *cli, const char *name)
{
    const slot *s = ask(cli, name, ET_OPTION_FLAG, ET_OPTION_FLAG);

    return s && s->text;
}

int64_t et_cli_int(const et_cli *cli, const char *name)
{
    const slot *s = ask(cli, name, ET_OPTION_INT, ET_OPTION_INT);

    return s ? s->integer : 0;
}

double et_cli_real(const et_cli *cli, const char *name)
{
    const slot *s = ask(cli, name, ET_OPTION_REAL, ET_OPTION_REAL);

    return s ? s->real : 0;
}

const char *et_cli_text(const et_cli *cli, const char *name)
{
    const slot *s = ask(cli, name, ET_OPTION_TEXT, ET_OPTION_CHOICE);

    return s ? s->text : NULL;
}

bool et_cli_given(const et_cli *cli, const char *name)
{
    const slot *s = find_slot(cli, name);

    return s && s->given;
}

et_status et_cli_refuse(const et_cli *cli, const char *names, const char *when, ...)
{
    char word[ET_CLI_WORD], mark, text[256];
    va_list ap;

    while (et_cli_next_word(&names, word, &mark))
        if (et_cli_given(cli, word)) {
            va_start(ap, when);
            vsnprintf(text, sizeof text, when, ap);
            va_end(ap);
            return et_raise(ET_EINVAL, "--%s has no meaning %s", word, text);
        }
    return ET_OK;
}

et_status et_cli_default(et_cli *cli, const char *name, const char *value)
{
    slot *s = find_slot(cli, name);

    if (!s)
        return et_raise(ET_EINVAL, "the verb %s has no option --%s", cli->verb->name, name);
    return s->given || s->adopted ? ET_OK : set_slot(s, value, ET_EINVAL, "default of --", " ");
}

et_status et_cli_default_int(et_cli *cli, const char *name, int64_t value)
{
    char text[ET_NUMBER_TEXT];

    snprintf(text, sizeof text, "%" PRId64, value);
    return et_cli_default(cli, name, text);
}

et_status et_cli_default_real(et_cli *cli, const char *name, double value)
{
    char text[ET_NUMBER_TEXT];

    return et_cli_default(cli, name, et_format_double(text, value));
}

/* Options that say where and how, not what is trained. */
static bool describes_run(const char *name)
{
    static const char *const others[] = {"out", "resume", "overwrite", "threads", "profile"};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    return true;
}

/* Whether what was given is a path: the value of "DIR", of "FILE|none" but the word none. */
static bool is_path(const slot *s)
{
    static const char *const kinds[] = {"DIR", "FILE", "PATH"};
    const char *value = s->option->kind == ET_OPTION_TEXT && s->option->value ? s->option->value : "";
    const size_t length = strcspn(value, "|");

    for (int i = 0; i < 3; i++)
        if (strlen(kinds[i]) == length && memcmp(value, kinds[i], length) == 0)
            return !(value[length] && is_choice(value + length + 1, s->text));
    return false;
}

/* Of a path that was given from here the one from the root, to be released; else NULL, also where it has
 * bytes that config.json cannot hold, which are no UTF-8. */
static char *from_root(const slot *s)
{
    char here[FOLDER], *path = NULL;

    if (is_path(s) && s->text[0] != '/' && getcwd(here, sizeof here))
        path = et_path_join(here, s->text);
    for (size_t i = 0, left = path ? strlen(path) : 0, n; i < left; i += n)
        if ((n = (size_t)et_utf8_length(path + i, left - i)) == 0) {
            et_dealloc(path);
            return NULL;
        }
    return path;
}

/* A text; a path from the root, so that the run finds it from any folder, but as it was given where there is
 * no such file. */
static void write_text(et_json_writer *w, const slot *s)
{
    char *path = access(s->text, F_OK) == 0 ? from_root(s) : NULL;

    et_json_string(w, path ? path : s->text);
    et_dealloc(path);
}

void et_cli_write_options(const et_cli *cli, et_json_writer *w)
{
    et_json_open_object(w);
    for (int i = 0; i < cli->n_slots; i++) {
        const slot *s = &cli->slots[i];

        if (!s->text || !describes_run(s->option->name))
            continue;
        et_json_key(w, s->option->name);
        switch (s->option->kind) {
        case ET_OPTION_FLAG:
            et_json_bool(w, true);
            break;
        case ET_OPTION_INT:
            et_json_int(w, s->integer);
            break;
        case ET_OPTION_REAL:
            et_json_number(w, s->real);
            break;
        case ET_OPTION_TEXT:
        case ET_OPTION_CHOICE:
            write_text(w, s);
            break;
        }
    }
    et_json_close(w);
}

et_status et_cli_adopt(et_cli *cli, const et_json_value *options, const char *path)
{
    if (!options || options->type != ET_JSON_OBJECT)
        return et_raise(ET_EFORMAT, "%s: no options in it", path);
    for (int i = 0; i < cli->n_slots; i++) {
        slot *s = &cli->slots[i];
        const et_json_value *v = et_json_get(options, s->option->name);
        char number[ET_NUMBER_TEXT], where[256];
        const char *text;

        if (!v || s->given || !describes_run(s->option->name))
            continue;
        if (v->type == ET_JSON_BOOL) {
            if (!v->boolean)
                continue;
            text = "yes";
        } else if (v->type == ET_JSON_STRING && s->option->kind != ET_OPTION_FLAG) {
            text = v->string;
        } else if (v->type == ET_JSON_NUMBER && s->option->kind != ET_OPTION_FLAG) {
            if (v->is_int)
                snprintf(number, sizeof number, "%" PRId64, v->integer);
            else
                et_format_double(number, v->number);
            text = number;
        } else {
            return et_raise(ET_EFORMAT, "%s: %s is of another type", path, s->option->name);
        }
        if ((v->type == ET_JSON_BOOL) != (s->option->kind == ET_OPTION_FLAG))
            return et_raise(ET_EFORMAT, "%s: %s is of another type", path, s->option->name);
        snprintf(where, sizeof where, "%s: ", path);
        if (set_slot(s, text, ET_EFORMAT, where, " = ") != ET_OK)
            return et_error_status();
        s->adopted = true;
    }
    return ET_OK;
}

/* Whether a text says the same as another, or of a path leads to the same file, which may be gone. */
static bool same_text(const slot *s, const char *text)
{
    char *path = from_root(s);
    const bool same = strcmp(s->text, text) == 0 ||
                      (path && (strcmp(path, text) == 0 || et_same_file(s->text, text)));

    et_dealloc(path);
    return same;
}

/* Whether a slot says the same as the JSON value (NULL: absent). */
static bool agrees(const slot *s, const et_json_value *v)
{
    switch (s->option->kind) {
    case ET_OPTION_FLAG:
        return (v && v->type == ET_JSON_BOOL && v->boolean) == (s->text != NULL);
    case ET_OPTION_INT:
        return v && v->type == ET_JSON_NUMBER && v->is_int && v->integer == s->integer;
    case ET_OPTION_REAL:
        return v && v->type == ET_JSON_NUMBER && v->number == s->real;
    case ET_OPTION_TEXT:
    case ET_OPTION_CHOICE:
        return v && v->type == ET_JSON_STRING && s->text && same_text(s, v->string);
    }
    return false;
}

const char *et_cli_conflict(const et_cli *cli, const et_json_value *options, const char *except)
{
    for (int i = 0; i < cli->n_slots; i++) {
        const slot *s = &cli->slots[i];
        const char *name = s->option->name, *at = except;
        char word[ET_CLI_WORD], mark;
        bool excepted = !describes_run(name);

        while (at && et_cli_next_word(&at, word, &mark))
            excepted = excepted || strcmp(word, name) == 0;
        if (s->given && !excepted && !agrees(s, et_json_get(options, name)))
            return name;
    }
    return NULL;
}

const char *et_cli_command(const et_cli *cli)
{
    return cli->command;
}

void et_cli_print_word(const char *text, FILE *out)
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

int et_cli_operands(const et_cli *cli)
{
    return cli->n_operands;
}

const char *et_cli_operand(const et_cli *cli, int i)
{
    return i >= 0 && i < cli->n_operands ? cli->operands[i] : NULL;
}

const et_program *et_cli_program(const et_cli *cli)
{
    return cli->program;
}

const et_verb *et_cli_verb(const et_cli *cli)
{
    return cli->verb;
}

bool et_cli_wants_help(const et_cli *cli)
{
    return cli->help;
}

bool et_cli_wants_version(const et_cli *cli)
{
    return cli->version;
}
