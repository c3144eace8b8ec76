/* The options that all programs share, looking options up, and the pages of --help. */
#include "config.h"

#include "examples/common/internal.h"

#include <string.h>

#include "tensor/number.h"

enum { WIDTH = 80, MAX_HELP_COLUMN = 24, MAX_DISTANCE_WORD = 63 };

const et_option et_shared_options[] = {
    {"data", ET_OPTION_TEXT, "PATH", NULL, 0, 0,
     "Folder or file of the data; without it train takes the built-in synthetic corpus, other verbs the "
     "run's data"},
    {"out", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "Run folder: configuration, log, metrics, weights and report.html; train makes a new one under runs/ by "
     "itself"},
    {"epochs", ET_OPTION_INT, "N", NULL, 1, 1000000, "Passes over the training data"},
    {"batch", ET_OPTION_INT, "N", NULL, 1, 65536, "Samples in one training step"},
    {"lr", ET_OPTION_REAL, "X", NULL, 1e-12, 1e3, "Learning rate"},
    {"seed", ET_OPTION_INT, "N", "1", 0, 9007199254740991.0,
     "Seed of every random draw; equal seeds give equal runs"},
    {"threads", ET_OPTION_INT, "N", NULL, 1, 256,
     "Threads to compute on; the results do not depend on them (default: all processors)"},
    {"profile", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Print at the end where the time went, op by op, and write the first steps to FILE as a trace for "
     "ui.perfetto.dev or chrome://tracing"},
    {"config", ET_OPTION_CHOICE, "small|paper", "small", 0, 0,
     "Sizes of the model: small trains in seconds, paper has the published sizes"},
    {"resume", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Go on from the last checkpoint of the run folder"},
    {"overwrite", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "Start again in a folder that holds a run; the old run is lost"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL}};

const et_option *et_cli_find_option(const et_program *program, const char *name)
{
    for (const et_option *o = program->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    for (const et_option *o = et_shared_options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

char et_cli_letter(const char *name)
{
    if (strcmp(name, "out") == 0 || strcmp(name, "help") == 0)
        return name[0];
    return name[1] == '\0' ? name[0] : '\0';
}

bool et_cli_next_word(const char **at, char name[ET_CLI_WORD], char *mark)
{
    const char *s = *at ? *at : "";
    size_t n;

    s += strspn(s, " ");
    n = strcspn(s, " ");
    if (n == 0)
        return false;
    *at = s + n;
    *mark = s[n - 1] == '!' || s[n - 1] == '@' ? s[n - 1] : '\0';
    if (*mark)
        n--;
    if (n >= ET_CLI_WORD)
        n = ET_CLI_WORD - 1;
    memcpy(name, s, n);
    name[n] = '\0';
    return true;
}

bool et_cli_takes(const et_verb *verb, const char *name)
{
    const char *at = verb->options;
    char word[ET_CLI_WORD], mark;

    while (et_cli_next_word(&at, word, &mark))
        if (mark != '@' && strcmp(word, name) == 0)
            return true;
    return false;
}

int et_cli_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    int row[3][MAX_DISTANCE_WORD + 1]; /* two rows back, one row back, this one */

    na = na < MAX_DISTANCE_WORD ? na : MAX_DISTANCE_WORD;
    nb = nb < MAX_DISTANCE_WORD ? nb : MAX_DISTANCE_WORD;
    for (size_t j = 0; j <= nb; j++)
        row[2][j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
        row[2][0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int best = row[1][j - 1] + (a[i - 1] != b[j - 1]);

            if (row[1][j] + 1 < best)
                best = row[1][j] + 1;
            if (row[2][j - 1] + 1 < best)
                best = row[2][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && row[0][j - 2] + 1 < best)
                best = row[0][j - 2] + 1;
            row[2][j] = best;
        }
    }
    return row[2][nb];
}

/* Appends text broken at blanks, so that no line passes WIDTH; `column` is where the
 * current line stands, `indent` where further lines begin. */
static void wrap(et_strbuf *out, const char *text, size_t column, size_t indent)
{
    bool first = true;

    while (*text) {
        size_t n;

        if (*text == '\n') { /* a new paragraph line */
            et_strbuf_putc(out, '\n');
            text++;
            if (*text && *text != '\n')
                et_strbuf_fill(out, ' ', indent);
            column = indent;
            first = true;
            continue;
        }
        text += strspn(text, " ");
        n = strcspn(text, " \n");
        if (n == 0)
            continue;
        if (!first && column + 1 + n > WIDTH) {
            et_strbuf_putc(out, '\n');
            et_strbuf_fill(out, ' ', indent);
            column = indent;
        } else if (!first) {
            et_strbuf_putc(out, ' ');
            column++;
        }
        et_strbuf_add(out, text, n);
        column += n;
        text += n;
        first = false;
    }
    et_strbuf_putc(out, '\n');
}

/* "NAME VERB [--data PATH] --out DIR FILE...", wrapped between its parts. */
static void usage_line(const et_program *program, const et_verb *verb, et_strbuf *out)
{
    size_t indent = 2 + strlen(program->name) + 1 + strlen(verb->name) + 1, column = indent;
    const char *at = verb->options;
    char word[ET_CLI_WORD], mark;

    et_strbuf_printf(out, "  %s %s", program->name, verb->name);
    column--;
    for (;;) {
        et_strbuf part = ET_STRBUF_INIT;
        const et_option *o;
        bool more = et_cli_next_word(&at, word, &mark);

        if (more && mark == '@')
            continue;
        if (more) {
            o = et_cli_find_option(program, word);
            et_strbuf_printf(&part, "%s%s%s", mark == '!' ? "" : "[", word[1] ? "--" : "-", word);
            if (o && o->value)
                et_strbuf_printf(&part, " %s", o->value);
            if (mark != '!')
                et_strbuf_putc(&part, ']');
        } else if (verb->operands) {
            et_strbuf_printf(&part, verb->min_operands > 0 ? "%s" : "[%s]", verb->operands);
        }
        if (part.size > 0) {
            if (column + 1 + part.size > WIDTH) {
                et_strbuf_putc(out, '\n');
                et_strbuf_fill(out, ' ', indent);
                column = indent;
            } else {
                et_strbuf_putc(out, ' ');
                column++;
            }
            et_strbuf_puts(out, part.data);
            column += part.size;
        }
        if (part.failed)
            out->failed = true;
        et_strbuf_free(&part);
        if (!more)
            break;
    }
    et_strbuf_putc(out, '\n');
}

/* The columns of "  -o, --out DIR". */
static size_t option_width(const et_option *o)
{
    return (et_cli_letter(o->name) ? 8 : 4) + strlen(o->name) + (o->value ? 1 + strlen(o->value) : 0);
}

static void option_name(const et_option *o, et_strbuf *out)
{
    const char letter = et_cli_letter(o->name);

    et_strbuf_puts(out, "  ");
    if (letter)
        et_strbuf_printf(out, "-%c, ", letter);
    et_strbuf_printf(out, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
}

/* "0.5", or "" where there is no bound worth telling. */
static void range_text(const et_option *o, et_strbuf *out)
{
    char lo[ET_NUMBER_TEXT], hi[ET_NUMBER_TEXT];

    et_format_double(lo, o->lo);
    et_format_double(hi, o->hi);
    if (o->kind == ET_OPTION_INT || (o->kind == ET_OPTION_REAL && o->lo > 1e-9))
        et_strbuf_printf(out, "; %s .. %s", lo, hi);
}

static void option_line(const et_program *program, const et_option *o, const et_verb *verb,
                        size_t help_column, et_strbuf *out)
{
    size_t width = option_width(o);
    et_strbuf text = ET_STRBUF_INIT;
    int n_verbs = 0, n_takes = 0;

    option_name(o, out);
    if (width + 2 > help_column) {
        et_strbuf_putc(out, '\n');
        width = 0;
    }
    et_strbuf_fill(out, ' ', help_column - width);
    et_strbuf_puts(&text, o->help);
    if (o->kind == ET_OPTION_INT || o->kind == ET_OPTION_REAL)
        range_text(o, &text);
    if (o->initial)
        et_strbuf_printf(&text, " (default: %s)", o->initial);
    for (const et_verb *v = program->verbs; v->name; v++) {
        n_verbs++;
        n_takes += et_cli_takes(v, o->name);
    }
    if (!verb && n_takes < n_verbs) { /* the program's page tells where the option belongs */
        const char *between = " [";

        for (const et_verb *v = program->verbs; v->name; v++)
            if (et_cli_takes(v, o->name)) {
                et_strbuf_printf(&text, "%s%s", between, v->name);
                between = ", ";
            }
        et_strbuf_putc(&text, ']');
    }
    if (!text.failed)
        wrap(out, text.data, help_column, help_column);
    out->failed = out->failed || text.failed;
    et_strbuf_free(&text);
}

/* Calls option_line (or only measures) for the options of the verb, or of all verbs in
 * the order in which they are first named. */
static size_t each_option(const et_program *program, const et_verb *verb, size_t help_column, et_strbuf *out)
{
    size_t widest = 0;

    for (const et_verb *v = verb ? verb : program->verbs; v->name; v++) {
        const char *at = v->options;
        char word[ET_CLI_WORD], mark;

        while (et_cli_next_word(&at, word, &mark)) {
            const et_option *o = et_cli_find_option(program, word);
            bool seen = false;

            for (const et_verb *w = program->verbs; !verb && w < v; w++)
                seen = seen || et_cli_takes(w, word);
            if (!o || seen || mark == '@')
                continue;
            if (out)
                option_line(program, o, verb, help_column, out);
            else if (option_width(o) + 2 > widest && option_width(o) + 2 <= MAX_HELP_COLUMN)
                widest = option_width(o) + 2;
        }
        if (verb)
            break;
    }
    return widest;
}

et_status et_cli_help(const et_program *program, const et_verb *verb, et_strbuf *out)
{
    static const et_option help = {"help", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Show this page and stop"};
    size_t column, name_width = 4;

    et_strbuf_printf(out, "%s%s%s: ", program->name, verb ? " " : "", verb ? verb->name : "");
    wrap(out, verb ? verb->help : program->summary, strlen(program->name) + 2, 2);
    et_strbuf_puts(out, "\nUsage:\n");
    for (const et_verb *v = verb ? verb : program->verbs; v->name && (!verb || v == verb); v++)
        usage_line(program, v, out);
    if (!verb)
        et_strbuf_printf(out, "  %s VERB --help\n", program->name);
    if (!verb && program->about) {
        et_strbuf_putc(out, '\n');
        wrap(out, program->about, 0, 0);
    }
    if (!verb) {
        for (const et_verb *v = program->verbs; v->name; v++)
            if (strlen(v->name) > name_width)
                name_width = strlen(v->name);
        et_strbuf_puts(out, "\nVerbs:\n");
        for (const et_verb *v = program->verbs; v->name; v++) {
            et_strbuf_printf(out, "  %-*s  ", (int)name_width, v->name);
            wrap(out, v->help, name_width + 4, name_width + 4);
        }
    }
    column = each_option(program, verb, 0, NULL);
    if (column < option_width(&help) + 2)
        column = option_width(&help) + 2;
    et_strbuf_puts(out, "\nOptions:\n");
    each_option(program, verb, column, out);
    option_name(&help, out);
    et_strbuf_fill(out, ' ', column - option_width(&help));
    et_strbuf_printf(out, "%s\n", help.help);
    et_strbuf_puts(out, "\nExit status: 0 done; 1 failed; 2 wrong command line, missing or malformed file;\n"
                        "130 stopped by Ctrl-C, after saving.\n");
    return out->failed ? ET_ENOMEM : ET_OK;
}
