/* The verb match of music-search: captions are found by their aspects, texts by texts. */
#ifndef ETUDE_EXAMPLES_SEARCH_MATCH_H
#define ETUDE_EXAMPLES_SEARCH_MATCH_H

#include "examples/common/cli.h"

/* Captions with aspects -> a text tower -> how well each caption is found; the exit status. */
int search_match(et_cli *cli);

#endif
