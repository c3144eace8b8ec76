/* The verb pretrain of music-search: a text tower that guesses masked words of captions. */
#ifndef ETUDE_EXAMPLES_SEARCH_PRETRAIN_H
#define ETUDE_EXAMPLES_SEARCH_PRETRAIN_H

#include "examples/common/cli.h"

/** Captions -> text tower -> how well it guesses, and what that helps; the exit status. */
int search_pretrain(et_cli *cli);

#endif
