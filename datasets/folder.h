/* Folders of files. */
#ifndef ETUDE_DATASETS_FOLDER_H
#define ETUDE_DATASETS_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "datasets/dataset.h"

/** A folder that a walk is in, and those above it. */
typedef struct et_folder_way {
    uint64_t device, number;
    const struct et_folder_way *above;
} et_folder_way;

/** "a/b" as a new string, to be released with et_dealloc; "b" where a is empty. NULL and ENOMEM. */
char *et_path_join(const char *a, const char *b);

/** Whether the path is a folder, links followed. */
bool et_is_folder(const char *path);

/** Whether something is at the path; false for NULL. */
bool et_exists(const char *path);

/** Whether both paths lead to one file or folder. */
bool et_same_file(const char *a, const char *b);

/** Fills *here for a step into the folder at `path`. False if it is none, or one of those above, where a link
 *  leads in a circle. */
bool et_folder_step(et_folder_way *here, const char *path, const et_folder_way *above);

/** Appends the names in a folder that do not begin with a dot, in the order of their bytes. EIO, ENOMEM. */
et_status et_folder_names(const char *path, et_names *names);

/** Makes the folder, and those above it, where they are not there yet. EIO and the like (et_errno_status)
 *  with what is in the way; ENOMEM. */
et_status et_folder_make(const char *path);

#endif
