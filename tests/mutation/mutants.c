#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mutation/mutants.h"

/* --- helpers --------------------------------------------------------------------------------- */

static void add(const source *s, mutants *out, int f, const char *kind, size_t start, size_t end,
                const char *fmt, ...)
{
    mutant m = {.function = f, .kind = kind, .start = start, .end = end, .line = 1};
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    m.with = must_resize(NULL, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(m.with, (size_t)n + 1, fmt, ap);
    va_end(ap);
    for (size_t at = 0; at < start; at++)
        m.line += s->text[at] == '\n';
    out->all = must_resize(out->all, (size_t)(out->n + 1) * sizeof m);
    out->all[out->n++] = m;
}

static const token *tok(const source *s, int i) { return &s->tokens[i]; }

/* Length and start of the text of tokens a .. b, for "%.*s". */
static int length(const source *s, int a, int b) { return (int)(tok(s, b)->end - tok(s, a)->start); }
static const char *text(const source *s, int a) { return s->text + tok(s, a)->start; }

static bool is_any(const source *s, int i, const char *const *list)
{
    for (; *list; list++)
        if (token_is(s, i, *list))
            return true;
    return false;
}

static bool is_type(const source *s, int i)
{
    static const char *const types[] = {"void", "char", "int", "double", "float", "real", "const", "struct",
                                        "unsigned", "restrict", "et_tensor", "et_node", "et_kernels", "vreal",
                                        "bool", NULL};
    const token *t = tok(s, i);
    size_t n = t->end - t->start;

    return t->kind == T_WORD && (is_any(s, i, types) || (n > 2 && memcmp(s->text + t->end - 2, "_t",
                                                                         2) == 0));
}

/* True if token i can end an operand, so that an operator after it has two. */
static bool ends_operand(const source *s, int i)
{
    static const char *const words[] = {"return", "case", "else", "do", NULL};

    if (tok(s, i)->kind == T_WORD)
        return !is_any(s, i, words);
    return tok(s, i)->kind == T_NUMBER || token_is(s, i, ")") || token_is(s, i, "]");
}

/* A * or / with two operands, not the star of a pointer. */
static bool is_product(const source *s, int i)
{
    static const char *const after[] = {")", "*", "const", "restrict", ",", ";", NULL};

    return ends_operand(s, i - 1) && !is_type(s, i - 1) && !is_any(s, i + 1, after) &&
           !token_is(s, i - 2, "const") && !(token_is(s, i, "*") && tok(s, i - 1)->kind == T_WORD &&
             (token_is(s, i - 2, ";") || token_is(s, i - 2, "{") || token_is(s, i - 2, "}")));
}

/* The last token of the operand that starts at token i. */
static int operand_end(const source *s, int i)
{
    while (token_is(s, i, "-") || token_is(s, i, "!") || token_is(s, i, "*") || token_is(s, i, "&"))
        i++;
    if (token_is(s, i, "(")) {
        int close = token_match(s, i);

        if (is_type(s, i + 1) && (tok(s, close + 1)->kind == T_WORD || tok(s, close + 1)->kind == T_NUMBER ||
                                  token_is(s, close + 1, "(")))
            return operand_end(s, close + 1); /* a cast */
        i = close;
    }
    for (;;) {
        if (token_is(s, i + 1, "(") || token_is(s, i + 1, "["))
            i = token_match(s, i + 1);
        else if (token_is(s, i + 1, "->") || token_is(s, i + 1, "."))
            i += 2;
        else
            return i;
    }
}

/* --- one token's mutants ------------------------------------------------------------------------ */

static void mutate_sign(const source *s, int f, int i, mutants *out)
{
    size_t a = tok(s, i)->start, b = tok(s, i)->end;

    if (token_is(s, i, "+=")) {
        add(s, out, f, "assigns instead of adding", a, b, "=");
        add(s, out, f, "sign", a, b, "-=");
    } else if (token_is(s, i, "-=")) {
        add(s, out, f, "sign", a, b, "+=");
    } else if (token_is(s, i, "*=")) {
        add(s, out, f, "lost factor", a, operand_end(s, i + 1) < 0 ? b : tok(s, operand_end(s, i + 1))->end,
            "*= 1");
    } else if (token_is(s, i, "/=")) {
        add(s, out, f, "factor", a, b, "*=");
    } else if (token_is(s, i, "+") && ends_operand(s, i - 1)) {
        add(s, out, f, "sign", a, b, "-");
    } else if (token_is(s, i, "-")) {
        if (ends_operand(s, i - 1))
            add(s, out, f, "sign", a, b, "+");
        else
            add(s, out, f, "sign", a, b, " ");
    } else if ((token_is(s, i, "*") || token_is(s, i, "/")) && is_product(s, i)) {
        int end = operand_end(s, i + 1);

        if (end > 0)
            add(s, out, f, "lost factor", a, tok(s, end)->end, " ");
    }
}

/* True if token i stands in the brackets of a call of `name`. */
static bool holds_call(const source *s, int f, int i, const char *name)
{
    int depth = 0;

    for (int t = i - 1; t > s->functions[f].first; t--) {
        depth += token_is(s, t, ")") - token_is(s, t, "(");
        if (depth < 0)
            return token_is(s, t - 1, name);
    }
    return false;
}

static void mutate_number(const source *s, int f, int i, mutants *out)
{
    const token *t = tok(s, i);
    bool real = false;
    double value = strtod(s->text + t->start, NULL);

    for (size_t c = t->start; c < t->end; c++)
        real |= s->text[c] == '.';
    if (real) {
        add(s, out, f, "constant", t->start, t->end, value == 1.0 ? "2.0" : "1.0");
    } else if (token_is(s, i - 1, "[") && token_is(s, i + 1, "]")) {
        /* "gx[0] ? ET_OK : error" and "if (!gx[0])" ask whether memory was there: nothing to find */
        if (value <= 2 && !(token_is(s, i + 2, "?") && token_is(s, i + 3, "ET_OK")) &&
            !token_is(s, i - 3, "!"))
            add(s, out, f, "operand", t->start, t->end, value == 0 ? "1" : "0");
    } else if ((token_is(s, i - 1, ",") || token_is(s, i - 1, "(")) &&
               (token_is(s, i + 1, ",") || token_is(s, i + 1, ")")) && value <= 2) {
        bool bytes = token_is(s, i + 1, ",") && token_is(s, i - 1, ",") && value == 0 &&
                     holds_call(s, f, i, "memset");

        add(s, out, f, "operand or flag", t->start, t->end,
            bytes ? "0xff" : value == 0 ? "1" : "0");
    }
}

static void mutate_word(const source *s, int f, int i, mutants *out)
{
    static const char *const sums[] = {"et_gx_sum", "et_sum_to", NULL};
    static const char *const ordered[] = {"et_sub", "et_div", "et_matmul", "et_pow", "et_bmm", "et_where",
                                          NULL};
    const token *t = tok(s, i);
    size_t n = t->end - t->start;
    int from = i; /* of a member, where the name of what it belongs to begins */

    while ((token_is(s, from - 1, "->") || token_is(s, from - 1, ".")) && tok(s, from - 2)->kind == T_WORD)
        from -= 2;
    if (token_is(s, from - 1, "->") || token_is(s, from - 1, "."))
        return; /* of something that is not named */
    if (n >= 3 && memcmp(s->text + t->start, "acc", 3) == 0 &&
        (n == 3 || !isalpha((unsigned char)s->text[t->start + 3])) && !is_type(s, from - 1) &&
        !token_is(s, from - 1, "&") && !token_is(s, i + 1, "=") && !token_is(s, from - 1, "*")) {
        add(s, out, f, "assigns instead of adding", tok(s, from)->start, t->end, "0");
        add(s, out, f, "adds instead of assigning", tok(s, from)->start, t->end, "1");
    } else if (token_is(s, i, "if") && token_is(s, i + 1, "(")) {
        int close = token_match(s, i + 1);
        bool of_needs = false;

        for (int c = i + 2; c < close; c++)
            of_needs |= token_is(s, c, "et_needs") || token_is(s, c, "needs");
        if (token_is(s, close + 1, "return") && !of_needs)
            return; /* of an error: turned round it stops everything, which proves nothing */
        add(s, out, f, "condition turned round", tok(s, i + 1)->start, tok(s, close)->end, "(!%.*s)",
            length(s, i + 1, close), text(s, i + 1));
    } else if (token_is(s, i, "for") && token_is(s, i + 1, "(")) {
        int close = token_match(s, i + 1), semicolon = i + 2;

        while (semicolon < close && !token_is(s, semicolon, ";")) {
            if (token_is(s, semicolon, "=") && token_is(s, semicolon + 1, "0"))
                add(s, out, f, "off by one", tok(s, semicolon + 1)->start, tok(s, semicolon + 1)->end, "1");
            semicolon++;
        }
        for (semicolon++; semicolon < close && !token_is(s, semicolon, ";"); semicolon++)
            if (token_is(s, semicolon, "<") && tok(s, semicolon + 1)->kind == T_WORD)
                add(s, out, f, "off by one", tok(s, semicolon)->end, tok(s, semicolon)->end, " -1 +");
    } else if (is_any(s, i, sums) && token_is(s, i + 1, "(")) {
        add(s, out, f, "no broadcast sum", t->start, tok(s, token_match(s, i + 1))->end, "ET_OK");
    } else if (is_any(s, i, ordered) && token_is(s, i + 1, "(")) {
        int close = token_match(s, i + 1), comma = -1, end = close;

        for (int c = i + 2; c < close; c++) {
            if (token_is(s, c, "(") || token_is(s, c, "[") || token_is(s, c, "{")) {
                c = token_match(s, c);
            } else if (token_is(s, c, ",")) {
                if (comma >= 0) {
                    end = c;
                    break;
                }
                comma = c;
            }
        }
        if (comma > 0 && end > comma + 1)
            add(s, out, f, "swapped operands", tok(s, i + 2)->start, tok(s, end - 1)->end, "%.*s, %.*s",
                length(s, comma + 1, end - 1), text(s, comma + 1), length(s, i + 2, comma - 1),
                text(s, i + 2));
    }
}

/* A statement that is a call of a kernel or helper: "k->x(...);", "et_x(...);". */
static void mutate_statement(const source *s, int f, int i, mutants *out)
{
    static const char *const no[] = {"if", "for", "while", "switch", "return", "sizeof", "case", NULL};

    if (!(token_is(s, i - 1, ";") || token_is(s, i - 1, "{") || token_is(s, i - 1, "}") ||
          token_is(s, i - 1, ")")) ||
        tok(s, i)->kind != T_WORD || is_any(s, i, no))
        return;
    int end = operand_end(s, i);
    if (end > i && token_is(s, end, ")") && token_is(s, end + 1, ";"))
        add(s, out, f, "call left out", tok(s, i)->start, tok(s, end)->end, "(void)0");
}

/* True if token i is where a function only says how work is cut into pieces for threads: in a call of
 * et_row_grain, in the second argument of et_parallel_for, or in the initial value of "grain". */
static bool is_cutting(const source *s, int first, int i)
{
    int depth = 0, commas = 0;

    for (int t = i - 1; t > first && !token_is(s, t, ";") && !token_is(s, t, "{"); t--) {
        if (token_is(s, t, ")") || token_is(s, t, "]"))
            depth++;
        else if (token_is(s, t, "(") || token_is(s, t, "["))
            depth--;
        else if (depth == 0 && token_is(s, t, ","))
            commas++;
        else if (depth == 0 && token_is(s, t, "=") && token_is(s, t - 1, "grain"))
            return true;
        if (depth < 0) {
            if (token_is(s, t - 1, "et_row_grain") || (token_is(s, t - 1, "et_parallel_for") && commas == 1))
                return true;
            depth = commas = 0;
        }
    }
    return false;
}

void make_mutants(const source *s, int f, mutants *out)
{
    const function *fn = &s->functions[f];

    if (fn->returns_status || fn->returns_nothing)
        add(s, out, f, "empty body", tok(s, fn->first)->end, tok(s, fn->first)->end,
            fn->returns_status ? " return ET_OK;" : " return;");
    for (int i = fn->first + 1; i < fn->last; i++) {
        if (is_cutting(s, fn->first, i))
            continue;
        mutate_sign(s, f, i, out);
        if (tok(s, i)->kind == T_NUMBER)
            mutate_number(s, f, i, out);
        if (tok(s, i)->kind == T_WORD)
            mutate_word(s, f, i, out);
        mutate_statement(s, f, i, out);
    }
}

void free_mutants(mutants *m)
{
    for (int i = 0; i < m->n; i++)
        free(m->all[i].with);
    free(m->all);
    m->all = NULL;
    m->n = 0;
}

/* --- names ---------------------------------------------------------------------------------------- */

/* Appends the n bytes at p with each run of blanks as one. */
static void squeeze(char *key, size_t size, const char *p, size_t n)
{
    size_t used = strlen(key);

    for (size_t i = 0; i < n && used + 1 < size; i++) {
        bool blank = isspace((unsigned char)p[i]);

        if (blank && (used == 0 || key[used - 1] == ' '))
            continue;
        key[used++] = blank ? ' ' : p[i];
    }
    key[used] = 0;
}

char *mutant_key(const source *s, const mutant *m)
{
    size_t from = m->start, to = m->end, size = 4096;
    char *key = must_resize(NULL, size);

    while (from > 0 && s->text[from - 1] != '\n')
        from--;
    while (s->text[to] && s->text[to] != '\n')
        to++;
    snprintf(key, size, "%s: %s: %s: ", s->path, s->functions[m->function].name, m->kind);
    squeeze(key, size, s->text + from, to - from);
    squeeze(key, size, " => ", 4);
    squeeze(key, size, s->text + from, m->start - from);
    squeeze(key, size, m->with, strlen(m->with));
    squeeze(key, size, s->text + m->end, to - m->end);
    while (*key && key[strlen(key) - 1] == ' ')
        key[strlen(key) - 1] = 0;
    return key;
}
