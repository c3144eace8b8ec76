/* The index of a library: a vector for every sound below a folder, and what the sounds were when they were
 * embedded, so that an index that is no longer true is noticed. */
#ifndef ETUDE_EXAMPLES_SEARCH_INDEX_H
#define ETUDE_EXAMPLES_SEARCH_INDEX_H

#include "examples/search_model.h"

typedef struct search_index {
    char *folder;       /* absolute, as it was given */
    et_names names;     /* [n] paths below the folder */
    et_tensor *vectors; /* float32 [n, width], owned */
    int64_t broken;     /* sounds that could not be read, which are not in it */
} search_index;

/* The vector [width] of one sound, as in an index.
 * EINVAL where the model has heard no sounds; errors of the file. */
et_status search_embed_sound(search_model *m, et_run *run, const char *path, float *out);

/* Vectors [items, width] of those sounds of a collection; the ones that cannot be read are told of and go
 * from the items. Released with et_dealloc. EINVAL where none can be read, or the model has heard no
 * sounds. */
float *search_embed_collection(search_model *m, et_run *run, const et_collection *c, et_indices *items);

/* Embeds every sound below the folder, chunk by chunk, and writes the file. Sounds that cannot be read are
 * told of and left out. EINVAL where there are none. */
search_index *search_index_make(search_model *m, et_run *run, const char *folder, const char *path);

/* Reads the file, if it is whole, of this model and of what is in the folder now; else makes it anew, and
 * says why. EIO where there is no such file, EFORMAT where it is none of ours. */
search_index *search_index_open(search_model *m, et_run *run, const char *path);
void search_index_free(search_index *x);

#endif
