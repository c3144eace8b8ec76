/* Shared by the files of nn/ alone: the tree behind a root module, and lists of named
 * tensors that are written to files and read from them. */
#ifndef ETUDE_NN_INTERNAL_H
#define ETUDE_NN_INTERNAL_H

#include "nn/module.h"
#include "nn/optim.h"
#include "tensor/safetensors.h"

struct et_module_tree {
    et_module **modules; /* the root first, parents before children */
    int64_t n_modules, room_modules;
    et_entry *entries;
    int64_t n_entries, room_entries;
};

/* Makes room for one more item of `size` bytes in *items. */
et_status et_grow(void *items, int64_t n, int64_t *room, size_t size);

/* True if `name` is `path` or below it; all names are below "". */
bool et_path_within(const char *path, const char *name);

/* --- named tensors of a file ------------------------------------------------------------ */

typedef struct et_state_item {
    char *name;        /* in the file */
    et_tensor *tensor; /* not owned */
    et_tensor *staged; /* what was read for it */
    int part, parts;   /* reads the part-th of `parts` slices of the first axis; parts 0: all of it */
} et_state_item;

typedef struct et_state {
    et_state_item *items;
    int64_t n, room;
} et_state;

/* Adds t under the name prefix + name. */
et_status et_state_add(et_state *s, const char *prefix, const char *name, et_tensor *t);
/* Adds the parameters and buffers of m, tied ones once. */
et_status et_state_add_module(et_state *s, const char *prefix, const et_module *m);
/* True if t is in the list. */
bool et_state_lists(const et_state *s, const et_tensor *t);
/* True if the item can be read from the entry: its shape, and a dtype that converts. */
bool et_state_fits(const et_state_item *it, const et_safetensors_entry *e);
et_status et_state_write(const et_state *s, const char *path, const et_metadata *metadata, int64_t n);
/* Reads every item into memory of its own. exact: dtypes must agree. EINVAL if one is not in
 * the file, ESHAPE, EDTYPE. */
et_status et_state_stage(et_state *s, et_safetensors *file, bool exact);
/* Copies what was read into the tensors. Nothing is allocated. */
et_status et_state_commit(et_state *s);
void et_state_free(et_state *s);

/* --- metadata of a file ------------------------------------------------------------------ */

/* Metadata being put together: owned keys and values. */
typedef struct et_pairs {
    et_metadata *items;
    int64_t n, room;
} et_pairs;

/* Adds prefix + key = value. */
et_status et_pairs_put(et_pairs *p, const char *prefix, const char *key, const char *value);
et_status et_pairs_put_int(et_pairs *p, const char *prefix, const char *key, int64_t value);
void et_pairs_free(et_pairs *p);

/* The value of prefix + key in the file, NULL if there is none or memory is out. */
const char *et_meta_under(const et_safetensors *file, const char *prefix, const char *key);
/* The same as a whole number, `least` or more; EFORMAT otherwise. */
et_status et_meta_int(const et_safetensors *file, const char *path, const char *prefix, const char *key,
                      int64_t least, int64_t *out);

/* --- an optimiser's part of a checkpoint -------------------------------------------------- */

/* Adds the moments under the names prefix + "exp_avg." + parameter and so on. */
et_status et_optim_add_state(const et_optim *o, const char *prefix, et_state *s);
/* Rearranges the blocks if what is trained has changed; comes before the former. */
et_status et_optim_refresh(et_optim *o);
/* What moments do not hold, under the names prefix + "kind", "steps" and, where a parameter has
 * made fewer steps, "steps." + parameter. */
et_status et_optim_describe(const et_optim *o, const char *prefix, et_pairs *p);
/* Reads that; EINVAL for another kind, EFORMAT. Takes effect with et_optim_commit. */
et_status et_optim_stage(et_optim *o, const et_safetensors *file, const char *path, const char *prefix);
void et_optim_commit(et_optim *o);

#endif
