/* What the files of the command line share. */
#ifndef ETUDE_EXAMPLES_COMMON_INTERNAL_H
#define ETUDE_EXAMPLES_COMMON_INTERNAL_H

#include "examples/common/cli.h"

enum { ET_CLI_WORD = 32 }; /* longest name of an option, with its NUL */

/** The program's option of that name, else the shared one, else NULL. */
const et_option *et_cli_find_option(const et_program *program, const char *name);

/** Steps through the words of a verb's `options`: copies the next name to `name`, the "!" or "@"
 *  behind it (else NUL) to *mark, and moves *at behind both. False at the end. */
bool et_cli_next_word(const char **at, char name[ET_CLI_WORD], char *mark);

/** Whether the verb takes the option from the command line. */
bool et_cli_takes(const et_verb *verb, const char *name);

/** The letter that stands for an option behind one dash: "o" for out, "h" for help, of a name of one letter
 *  itself, else NUL. */
char et_cli_letter(const char *name);

/** How far two words are apart: insertions, deletions, substitutions and swaps of
 *  neighbours; long words are compared by their first 63 bytes. */
int et_cli_distance(const char *a, const char *b);

#endif
