/* The mutants of a source: one small change each. */
#ifndef ETUDE_TESTS_MUTATION_MUTANTS_H
#define ETUDE_TESTS_MUTATION_MUTANTS_H

#include "tests/mutation/source.h"

typedef struct mutant {
    int function;
    int line;
    const char *kind;
    size_t start, end; /* what is replaced, in the text */
    char *with;
} mutant;

typedef struct mutants {
    mutant *all;
    int n;
} mutants;

/* Every mutant of function f. */
void make_mutants(const source *s, int f, mutants *out);
void free_mutants(mutants *m);

/* "file: function: kind: line as it is => line as it becomes", blanks squeezed: says what a
 * mutant is, as long as its line stays what it is. Released with free. */
char *mutant_key(const source *s, const mutant *m);

#endif
