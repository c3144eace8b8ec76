/* What frozen towers say of all training and validation items: computed once, kept in memory and in the run
 * folder (towers.safetensors), from where a run that is gone on with takes it. */
#ifndef ETUDE_EXAMPLES_SEARCH_BASES_H
#define ETUDE_EXAMPLES_SEARCH_BASES_H

#include "examples/search_model.h"

typedef struct search_bases search_bases;

/* Empty where nothing is frozen, and for a tower whose bases would take more than --base-memory: they are
 * computed in every step then. The file is used where it was made of the same weights, words, captions and
 * sounds. NULL on failure. */
search_bases *search_bases_open(search_model *m, const search_data *d, et_run *run, const et_cli *cli);
void search_bases_free(search_bases *b);

/* Bases of those items, in the open scope: of texts cut to T tokens, of sounds.
 * NULL without an error where there are none. */
et_tensor *search_base_of_texts(const search_bases *b, const int32_t *items, int64_t n, int64_t T);
et_tensor *search_base_of_sounds(const search_bases *b, const int32_t *items, int64_t n);

#endif
