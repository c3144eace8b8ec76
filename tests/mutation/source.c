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
    static const char *const signs[] = {"<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=",
                                        "&&",  "||",  "*=",  "/=", "%=", "+=", "-=", "&=", "|=", "^=", "##"};

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
                while (isalnum((unsigned char)*p) || *p == '.' || ((*p == '+' || *p == '-') && (p[-1] == 'e' || p[-1] == 'E')))
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

/* --- functions and ops --------------------------------------------------------------------- */

static int find_function(const source *s, int word)
{
    for (int f = 0; f < s->n_functions; f++)
        if (token_is(s, word, s->functions[f].name))
            return f;
    return -1;
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
    s->functions = must_resize(s->functions, (size_t)(s->n_functions + 1) * sizeof f);
    s->functions[s->n_functions++] = f;
    return f.last;
}

static void find_functions(source *s)
{
    int declaration = 0;

    for (int i = 0; i < s->n_tokens; i++) {
        int last = -1;

        if (token_is(s, i, "(") && i > 0 && (s->tokens[i - 1].kind == T_WORD || token_is(s, i - 1, ")")))
            last = add_function(s, i, declaration);
        if (last < 0 && (token_is(s, i, "{") || (token_is(s, i, "(") && token_match(s, i) > 0 &&
                                                  !token_is(s, token_match(s, i) + 1, "("))))
            last = token_match(s, i);
        if (last > i)
            i = last;
        if (token_is(s, i, ";") || token_is(s, i, "}"))
            declaration = i + 1;
    }
}

static void add_root(source *s, op_object *op, int word)
{
    int f = find_function(s, word);

    if (f < 0)
        return;
    op->roots = must_resize(op->roots, (size_t)(op->n_roots + 1) * sizeof(int));
    op->roots[op->n_roots++] = f;
}

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

bool source_calls(const source *s, int op, int f)
{
    bool *seen = must_resize(NULL, (size_t)s->n_functions), result;

    memset(seen, 0, (size_t)s->n_functions);
    for (int r = 0; r < s->ops[op].n_roots; r++)
        reach(s, s->ops[op].roots[r], seen);
    result = seen[f];
    free(seen);
    return result;
}

/* The objects "et_op et_op_NAME = { ... }", and which functions their backward needs. */
static void find_ops(source *s)
{
    bool *back = must_resize(NULL, (size_t)s->n_functions + 1), *forth = must_resize(NULL, (size_t)s->n_functions + 1);

    memset(back, 0, (size_t)s->n_functions);
    memset(forth, 0, (size_t)s->n_functions);
    for (int i = 0; i + 2 < s->n_tokens; i++) {
        if (!token_is(s, i, "=") || !token_is(s, i + 1, "{") || s->tokens[i - 1].kind != T_WORD)
            continue;
        op_object op = {.n_roots = 0};
        int last = token_match(s, i + 1);

        copy_word(s, i - 1, op.name);
        if (strncmp(op.name, "et_op_", 6) != 0 || last < 0)
            continue;
        memmove(op.name, op.name + 6, strlen(op.name + 6) + 1);
        for (int t = i + 2; t < last; t++) {
            bool root = token_is(s, t - 1, "=") && (token_is(s, t - 2, "bwd") || token_is(s, t - 2, "bwd_graph"));
            int f = s->tokens[t].kind == T_WORD ? find_function(s, t) : -1;

            if (root)
                add_root(s, &op, t);
            else if (f >= 0)
                reach(s, f, forth);
        }
        s->ops = must_resize(s->ops, (size_t)(s->n_ops + 1) * sizeof op);
        s->ops[s->n_ops++] = op;
    }
    for (int o = 0; o < s->n_ops; o++)
        for (int r = 0; r < s->ops[o].n_roots; r++)
            reach(s, s->ops[o].roots[r], back);
    for (int f = 0; f < s->n_functions; f++) {
        if (strncmp(s->functions[f].name, "et_", 3) == 0)
            reach(s, f, forth);
        s->functions[f].backward = back[f];
    }
    for (int f = 0; f < s->n_functions; f++)
        s->functions[f].forward = forth[f];
    free(back);
    free(forth);
}

/* --- a file -------------------------------------------------------------------------------------- */

bool source_read(source *s, const char *top, const char *path)
{
    char name[4096];
    FILE *in;
    long size;

    memset(s, 0, sizeof *s);
    snprintf(name, sizeof name, "%s/%s", top, path);
    in = fopen(name, "rb");
    if (!in || fseek(in, 0, SEEK_END) || (size = ftell(in)) < 0 || fseek(in, 0, SEEK_SET)) {
        perror(name);
        if (in)
            fclose(in);
        return false;
    }
    s->path = must_resize(NULL, strlen(path) + 1);
    strcpy(s->path, path);
    s->text = must_resize(NULL, (size_t)size + 1);
    s->size = fread(s->text, 1, (size_t)size, in);
    s->text[s->size] = 0;
    fclose(in);
    tokenise(s);
    find_functions(s);
    find_ops(s);
    return true;
}

void source_free(source *s)
{
    for (int o = 0; o < s->n_ops; o++)
        free(s->ops[o].roots);
    free(s->path);
    free(s->text);
    free(s->tokens);
    free(s->functions);
    free(s->ops);
    memset(s, 0, sizeof *s);
}
