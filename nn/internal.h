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
et_status et_state_write(const et_state *s, const char *path, const et_metadata *metadata, int64_t n);
/* Reads every item into memory of its own. exact: dtypes must agree. EINVAL if one is not in
 * the file, ESHAPE, EDTYPE. */
et_status et_state_stage(et_state *s, et_safetensors *file, bool exact);
/* Copies what was read into the tensors. Nothing is allocated. */
et_status et_state_commit(et_state *s);
void et_state_free(et_state *s);

/* --- an optimiser's part of a checkpoint -------------------------------------------------- */

/* Adds the moments under the names prefix + "exp_avg." + parameter and so on. */
et_status et_optim_add_state(const et_optim *o, const char *prefix, et_state *s);
const char *et_optim_kind_name(const et_optim *o);
/* Rearranges the blocks if what is trained has changed; comes before the former. */
et_status et_optim_refresh(et_optim *o);
/* What moments do not hold: the step number. */
void et_optim_set_steps(et_optim *o, int64_t steps);

/* Reads a whole decimal number, nothing else around it. */
bool et_read_u64(const char *s, uint64_t *out);

#endif
