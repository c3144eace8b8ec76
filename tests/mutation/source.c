#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mutation/source.h"

void *must_resize(void *old, size_t bytes)
{
    void *p = realloc(old, bytes ? bytes : 1);

    if (!p) {
        fputs("mutate: out of memory\n", stderr);
        exit(2);
    }
    return p;
}

/* --- tokens ---------------------------------------------------------------------------- */

bool token_is(const source *s, int i, const char *text)
{
    if (i < 0 || i >= s->n_tokens)
        return false;
    const token *t = &s->tokens[i];
    return strlen(text) == t->end - t->start && memcmp(s->text + t->start, text, t->end - t->start) == 0;
}

static void add_token(source *s, token_kind kind, size_t start, size_t end, int line)
{
    if ((s->n_tokens & (s->n_tokens - 1)) == 0)
        s->tokens = must_resize(s->tokens, (size_t)(s->n_tokens ? 2 * s->n_tokens : 1) * sizeof(token));
    s->tokens[s->n_tokens++] = (token){kind, start, end, line};
}

static size_t sign_length(const char *p)
{
    static const char *const signs[] = {"<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=",
                                        "==", "!=", "&&",  "||",  "*=",  "/=", "%=", "+=", "-=", "&=", "|=",
                                        "^=", "##"};

    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strncmp(p, signs[i], strlen(signs[i])) == 0)
            return strlen(signs[i]);
    return 1;
}

/* Splits the text. Lines of the preprocessor are left out, but for the bodies of macros with
 * several lines, which hold functions: there the backslashes are left out. */
static void tokenise(source *s)
{
    const char *p = s->text;
    int line = 1;
    bool fresh = true; /* nothing on this line yet */

    while (*p) {
        const char *q = p;

        if (*p == '\n') {
            line++;
            p++;
            fresh = true;
        } else if (isspace((unsigned char)*p) || (*p == '\\' && p[1] == '\n')) {
            p++;
        } else if (p[0] == '/' && (p[1] == '*' || p[1] == '/')) {
            const char *end = p[1] == '*' ? strstr(p + 2, "*/") : strchr(p, '\n');

            end = !end ? p + strlen(p) : p[1] == '*' ? end + 2 : end;
            for (; p < end; p++)
                line += *p == '\n';
        } else if (*p == '#' && fresh) {
            while (*p && *p != '\n' && !(*p == '\\' && p[1] == '\n'))
                p++;
        } else {
            token_kind kind = T_SIGN;

            fresh = false;
            if (*p == '"' || *p == '\'') {
                kind = T_TEXT;
                for (p++; *p && *p != *q; p++)
                    p += *p == '\\' && p[1];
                p += *p != 0;
            } else if (isdigit((unsigned char)*p) || (*p == '.' && isdigit((unsigned char)p[1]))) {
                kind = T_NUMBER;
                while (isalnum((unsigned char)*p) || *p == '.' || ((*p == '+' || *p == '-') &&
                                                                   (p[-1] == 'e' || p[-1] == 'E')))
                    p++;
            } else if (isalpha((unsigned char)*p) || *p == '_') {
                kind = T_WORD;
                while (isalnum((unsigned char)*p) || *p == '_')
                    p++;
            } else {
                p += sign_length(p);
            }
            add_token(s, kind, (size_t)(q - s->text), (size_t)(p - s->text), line);
        }
    }
}

int token_match(const source *s, int i)
{
    int depth = 0;

    for (; i < s->n_tokens; i++) {
        if (token_is(s, i, "(") || token_is(s, i, "[") || token_is(s, i, "{"))
            depth++;
        else if ((token_is(s, i, ")") || token_is(s, i, "]") || token_is(s, i, "}")) && --depth == 0)
            return i;
    }
    return -1;
}

static void copy_word(const source *s, int i, char out[64])
{
    const token *t = &s->tokens[i];
    size_t n = t->end - t->start;

    if (n > 63)
        n = 63;
    memcpy(out, s->text + t->start, n);
    out[n] = 0;
}

/* --- functions ----------------------------------------------------------------------------- */

static int find_function(const source *s, int word)
{
    for (int f = 0; f < s->n_functions; f++)
        if (token_is(s, word, s->functions[f].name))
            return f;
    return -1;
}

static void keep_function(source *s, function f)
{
    s->functions = must_resize(s->functions, (size_t)(s->n_functions + 1) * sizeof f);
    s->functions[s->n_functions++] = f;
}

static bool holds(const source *s, int i, const char *word)
{
    const token *t = &s->tokens[i];
    size_t n = strlen(word);

    for (size_t at = t->start; at + n <= t->end; at++)
        if (memcmp(s->text + at, word, n) == 0)
            return true;
    return false;
}

/* A definition whose parameters open at token i: "name (" or "(name) (" at file level. */
static int add_function(source *s, int i, int declaration)
{
    int close = token_match(s, i), name = token_is(s, i - 1, ")") ? i - 2 : i - 1;
    function f = {.first = close + 1};

    if (close < 0 || !token_is(s, close + 1, "{") || s->tokens[name].kind != T_WORD)
        return -1;
    f.last = token_match(s, close + 1);
    if (f.last < 0)
        return -1;
    copy_word(s, name, f.name);
    for (int t = declaration; t < name; t++) {
        f.returns_status |= token_is(s, t, "et_status");
        f.returns_nothing |= token_is(s, t, "void") && !token_is(s, t + 1, "*");
    }
    for (int t = declaration; t < f.first; t++)
        f.named_so |= !token_is(s, t - 1, "bool") && (holds(s, t, "bwd") || holds(s, t, "back") ||
                                                      holds(s, t, "gradient") || holds(s, t, "_grad"));
    keep_function(s, f);
    return f.last;
}

/* Arguments with gy in "MACRO(op, ..., rule)", the bracket being token i. */
static void add_rules(source *s, int i)
{
    int close = token_match(s, i), from = i;
    bool rule = false;

    if (s->tokens[i + 1].kind != T_WORD || !token_is(s, i + 2, ","))
        return;
    for (int t = i + 1; t <= close; t++) {
        rule |= token_is(s, t, "gy");
        if (t == close || token_is(s, t, ",")) {
            function f = {.first = from, .last = t};

            copy_word(s, i + 1, f.name);
            if (rule)
                keep_function(s, f);
            from = t;
            rule = false;
        } else if (token_is(s, t, "(")) {
            int end = token_match(s, t);

            for (; t < end; t++)
                rule |= token_is(s, t, "gy");
        }
    }
}

static void find_functions(source *s)
{
    int declaration = 0;

    for (int i = 0; i < s->n_tokens; i++) {
        int last = -1;

        if (token_is(s, i, "(") && i > 0 && (s->tokens[i - 1].kind == T_WORD || token_is(s, i - 1, ")")))
            last = add_function(s, i, declaration);
        if (last < 0 && token_is(s, i, "(") && i - 1 == declaration && token_match(s, i) > 0)
            add_rules(s, i);
        if (last < 0 && (token_is(s, i, "{") || (token_is(s, i, "(") && token_match(s, i) > 0 &&
                                                  !token_is(s, token_match(s, i) + 1, "("))))
            last = token_match(s, i);
        if (last > i)
            i = last;
        if (token_is(s, i, ";") || token_is(s, i, "}"))
            declaration = i + 1;
    }
}

/* --- ops, in the expanded text ----------------------------------------------------------------- */

/* Marks what function f can call, itself included. */
static void reach(const source *s, int f, bool *seen)
{
    if (seen[f])
        return;
    seen[f] = true;
    for (int t = s->functions[f].first; t <= s->functions[f].last; t++) {
        int g = s->tokens[t].kind == T_WORD ? find_function(s, t) : -1;

        if (g >= 0)
            reach(s, g, seen);
    }
}

static bool *new_marks(const source *s)
{
    bool *marks = must_resize(NULL, (size_t)s->n_functions + 1);

    memset(marks, 0, (size_t)s->n_functions + 1);
    return marks;
}

/* The objects "et_op et_op_NAME = { ... }", and which functions their backward needs. */
static void find_ops(source *s)
{
    bool *forth = new_marks(s);

    for (int i = 0; i + 2 < s->n_tokens; i++) {
        if (!token_is(s, i, "=") || !token_is(s, i + 1, "{") || s->tokens[i - 1].kind != T_WORD)
            continue;
        op_object op = {.composed = true};
        int last = token_match(s, i + 1);

        copy_word(s, i - 1, op.name);
        if (strncmp(op.name, "et_op_", 6) != 0 || last < 0)
            continue;
        memmove(op.name, op.name + 6, strlen(op.name + 6) + 1);
        op.calls = new_marks(s);
        for (int t = i + 2; t < last; t++) {
            bool root = token_is(s, t - 1, "=") &&
                        (token_is(s, t - 2, "bwd") || token_is(s, t - 2, "bwd_graph") ||
                         token_is(s, t - 2, "remake"));
            int f = s->tokens[t].kind == T_WORD ? find_function(s, t) : -1;

            op.composed &= !root;
            if (f >= 0)
                reach(s, f, root ? op.calls : forth);
        }
        s->ops = must_resize(s->ops, (size_t)(s->n_ops + 1) * sizeof op);
        s->ops[s->n_ops++] = op;
    }
    for (int f = 0; f < s->n_functions; f++)
        if (strncmp(s->functions[f].name, "et_", 3) == 0)
            reach(s, f, forth);
    for (int f = 0; f < s->n_functions; f++) {
        s->functions[f].forward = forth[f];
        for (int o = 0; o < s->n_ops; o++)
            s->functions[f].backward |= s->ops[o].calls[f];
    }
    free(forth);
}

/* True if function `of` of the expanded text comes from function f of the source: they have one
 * name, or f stands in a macro and is named with ##, so that only the end of its name is known. */
static bool comes_from(const function *of, const function *f)
{
    size_t n = strlen(of->name), m = strlen(f->name);

    return strcmp(of->name, f->name) == 0 || (f->name[0] == '_' && n > m &&
                                              strcmp(of->name + n - m, f->name) == 0);
}

/* Carries what is known of the expanded text over to the source. */
static void learn_from(source *s, const source *expanded)
{
    for (int o = 0; o < expanded->n_ops; o++) {
        const op_object *from = &expanded->ops[o];
        op_object op = *from;

        op.calls = new_marks(s);
        for (int f = 0; f < s->n_functions; f++) {
            function *fn = &s->functions[f];

            if (!token_is(s, fn->first, "{")) { /* a rule among the arguments of a macro */
                op.calls[f] = strcmp(fn->name, op.name) == 0;
                fn->backward |= op.calls[f];
            }
            for (int g = 0; g < expanded->n_functions && token_is(s, fn->first, "{"); g++) {
                if (!comes_from(&expanded->functions[g], fn))
                    continue;
                op.calls[f] |= from->calls[g];
                fn->backward |= from->calls[g];
                fn->forward |= expanded->functions[g].forward;
            }
        }
        s->ops = must_resize(s->ops, (size_t)(s->n_ops + 1) * sizeof op);
        s->ops[s->n_ops++] = op;
    }
}

/* Without op objects: what functions named so reach, and others only through them, is theirs too. */
static void find_helpers(source *s)
{
    bool *back = new_marks(s), *forth = new_marks(s);

    for (int f = 0; f < s->n_functions; f++) {
        if (s->functions[f].named_so)
            reach(s, f, back);
        forth[f] = s->functions[f].named_so; /* goes no further there */
    }
    for (int f = 0; f < s->n_functions; f++)
        if (!back[f])
            reach(s, f, forth);
    for (int f = 0; f < s->n_functions; f++)
        s->functions[f].named_so |= back[f] && !forth[f];
    free(back);
    free(forth);
}

/* --- a file -------------------------------------------------------------------------------------- */

static bool read_stream(source *s, FILE *in)
{
    size_t got;

    s->text = must_resize(NULL, 1);
    do {
        s->text = must_resize(s->text, s->size + 65537);
        got = fread(s->text + s->size, 1, 65536, in);
        s->size += got;
    } while (got > 0);
    s->text[s->size] = 0;
    return !ferror(in) && s->size > 0;
}

bool source_read(source *s, const char *top, const char *file, const char *preprocess)
{
    char name[4096], command[8192];
    const char *equals = strchr(file, '=');
    size_t length = equals ? (size_t)(equals - file) : strlen(file);
    source expanded = {.n_tokens = 0};

    memset(s, 0, sizeof *s);
    s->given = equals ? equals + 1 : "";
    snprintf(name, sizeof name, "%s/%.*s", top, (int)length, file);
    s->path = must_resize(NULL, length + 1);
    memcpy(s->path, file, length);
    s->path[length] = 0;
    FILE *in = fopen(name, "rb");
    if (!in || !read_stream(s, in)) {
        perror(name);
        if (in)
            fclose(in);
        return false;
    }
    fclose(in);
    tokenise(s);
    find_functions(s);
    if (equals) {
        find_helpers(s);
        return true;
    }

    snprintf(command, sizeof command, "%s %s", preprocess, name);
    in = popen(command, "r");
    if (!in || !read_stream(&expanded, in) || pclose(in) != 0) {
        fprintf(stderr, "mutate: failed: %s\n", command);
        return false;
    }
    tokenise(&expanded);
    find_functions(&expanded);
    find_ops(&expanded);
    learn_from(s, &expanded);
    source_free(&expanded);
    return true;
}

void source_free(source *s)
{
    for (int o = 0; o < s->n_ops; o++)
        free(s->ops[o].calls);
    free(s->path);
    free(s->text);
    free(s->tokens);
    free(s->functions);
    free(s->ops);
    memset(s, 0, sizeof *s);
}
