/* Making a collection item by item. */
#ifndef ETUDE_DATASETS_CORPORA_BUILD_H
#define ETUDE_DATASETS_CORPORA_BUILD_H

#include "datasets/collection.h"
#include "datasets/csv.h"
#include "datasets/tokens.h"
#include "datasets/vocabulary.h"

/* The first failure sticks (status); everything after it does nothing. */
typedef struct et_build {
    et_collection *c;
    et_vocabulary *classes, *tags, *groups;
    et_tokens y, group, split; /* of each item, -1: none */
    et_tokens marks;           /* item, tag, item, tag, ... */
    bool sound;                /* an item has a file */
    et_status status;
} et_build;

void et_build_begin(et_build *b, const char *name);
/** A new item; what follows is said of it. `file` may be NULL. */
void et_build_item(et_build *b, const char *name, const char *file);
void et_build_class(et_build *b, const char *name);
void et_build_split(et_build *b, const char *name);
void et_build_group(et_build *b, const char *name, size_t n);
void et_build_tag(et_build *b, const char *name, size_t n);
/** Tags with blanks between. */
void et_build_tags(et_build *b, const char *names);
void et_build_caption(et_build *b, const char *text);
/** The collection, or NULL; b is released. With `sorted`, classes and tags are in the order of their bytes,
 *  else in the order in which they were first named. */
et_collection *et_build_end(et_build *b, bool sorted);

/** Path of the sound `stem` in a folder, with whichever ending exists; NULL without error if there is none.
 *  ENOMEM. Released with et_dealloc. */
char *et_find_sound(const char *dir, const char *stem);
/** Bytes of a file's name without an ending that stands for a sound; all of it otherwise. */
size_t et_sound_stem(const char *name, bool *is_sound);
/** Reads dir/name. */
et_csv *et_csv_in(const char *dir, const char *name);

#endif
