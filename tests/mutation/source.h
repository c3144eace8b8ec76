/* A C source as the mutation test sees it: tokens, functions and the op objects. */
#ifndef ETUDE_TESTS_MUTATION_SOURCE_H
#define ETUDE_TESTS_MUTATION_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum token_kind { T_WORD, T_NUMBER, T_TEXT, T_SIGN } token_kind;

typedef struct token {
    token_kind kind;
    size_t start, end; /* in the text */
    int line;
} token;

/* A function definition; or the arguments of a macro that makes an op, NAME(op, ..., rule), that
 * hold a rule: they speak of gy. */
typedef struct function {
    char name[64];
    int first, last;    /* its braces, or what encloses the arguments, as token numbers */
    bool returns_status, returns_nothing;
    bool named_so;      /* "bwd", "back", "gradient" or "_grad" is in its declaration, other than for a bool;
                         * or only functions named so reach it */
    bool backward;      /* reached from bwd, bwd_graph or remake of an op */
    bool forward;       /* reached from anything else */
} function;

typedef struct op_object {
    char name[64];
    bool composed;      /* it has no backward of its own */
    bool *calls;        /* for each function: the op's bwd, bwd_graph or remake can reach it */
} op_object;

typedef struct source {
    char *path, *text;
    const char *given; /* "rnn,@check_recurrent": ops and suites that use a file without ops, or "" */
    size_t size;
    token *tokens;
    int n_tokens;
    function *functions;
    int n_functions;
    op_object *ops;
    int n_ops;
} source;

/* Reads and understands the file named in "FILE" or "FILE=OP,@SUITE". Which functions the ops reach is
 * found out in the text that `preprocess FILE` prints, with all macros expanded. False after a
 * message on stderr. */
bool source_read(source *s, const char *top, const char *file, const char *preprocess);
void source_free(source *s);

/* True if token i is exactly `text`. */
bool token_is(const source *s, int i, const char *text);
/* The token that closes the bracket at token i, or -1. */
int token_match(const source *s, int i);
/* Memory or exit. */
void *must_resize(void *old, size_t bytes);

#endif
