/* Modules: trees of layers that own named tensors.
 *
 * A layer is a struct whose first member is an et_module. It is made under a parent and a
 * name (or as a root, with neither), and its tensors get dotted names from the root down:
 * "encoder.layers.0.attn.qkv.weight". The root owns all modules and tensors below it and
 * frees them together. Every function here takes any module and means the part of the tree
 * under it; the names it reads and gives are relative to that module.
 *
 * Errors stick (error.h): a constructor called while one is pending, or under a NULL parent
 * then, returns NULL, so that a model is built line by line and checked once at its end:
 *
 *     typedef struct classifier { et_module module; et_linear_layer *hidden, *out; } classifier;
 *
 *     classifier *m = et_module_new(sizeof *m, "Classifier", parent, name);
 *     if (!m) return NULL;
 *     m->hidden = et_linear_layer_new(&m->module, "hidden", 64, 32, true, rng);
 *     m->out = et_linear_layer_new(&m->module, "out", 32, 10, true, rng);
 *     return et_module_done(&m->module);
 */
#ifndef ETUDE_NN_MODULE_H
#define ETUDE_NN_MODULE_H

#include <stdio.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_module et_module;

/* Fields may be read by anyone and are written by the functions below alone. */
struct et_module {
    const char *kind; /* "Linear", for the summary; not owned */
    char *path;       /* dotted name from the root, "" for the root */
    et_module *root, *parent;
    bool training; /* true: dropout drops, batch norm uses the batch's statistics */
    bool held;     /* stays in evaluation (et_module_hold_eval) */
    char note[64]; /* sizes for the summary: "64 -> 128" */
    /* Called before the module is freed, for memory of its own beyond tensors; or NULL. */
    void (*release)(et_module *self);
    struct et_module_tree *tree; /* of the root: everything below it */
};

typedef enum et_entry_kind {
    ET_ENTRY_PARAMETER,
    ET_ENTRY_BUFFER,  /* not trained, part of the state (running means) */
    ET_ENTRY_CONSTANT /* not trained and not part of the state (tables that sizes determine) */
} et_entry_kind;

/* A named tensor of a module. */
typedef struct et_entry {
    char *name; /* from the root */
    et_tensor *tensor;
    et_module *owner;
    et_entry_kind kind;
    bool tied; /* a further name of a tensor that another entry owns */
} et_entry;

/* --- making and freeing -------------------------------------------------------------- */

/** A module of `size` bytes (zeroed, the et_module first) named `name` under parent. Both
 *  NULL: a root. A dotted name ("attention.output.dense") puts it below the modules of those
 *  names, which are made where there are none. kind is kept, not copied. The new module trains
 *  if its parent does. NULL on failure, and while an error is pending. Errors: EINVAL (a name
 *  with an empty part, or one that is taken; a size too small), ENOMEM. */
void *et_module_new(size_t size, const char *kind, et_module *parent, const char *name);

/** To end a constructor with: returns m if no error is pending; else frees m and what is
 *  below it (also when it has a parent, which forgets it) and returns NULL. */
void *et_module_done(et_module *m);

/** Frees a root with all modules and tensors below it; NULL is allowed. EINVAL, and
 *  nothing is freed, for a module that has a parent. */
et_status et_module_free(et_module *root);

/** Sets the note of the summary. */
void et_module_note(et_module *m, const char *fmt, ...) ET_PRINTF(2, 3);

/** Adds a float32 parameter of that shape, filled with zeros, to be trained. Owned by the
 *  root. NULL and EINVAL (the name), ESHAPE, ENOMEM. */
et_tensor *et_module_param(et_module *m, const char *name, int ndim, const int64_t *shape);
/** Adds a tensor that is not trained, filled with zeros. kind: ET_ENTRY_BUFFER or
 *  ET_ENTRY_CONSTANT. */
et_tensor *et_module_buffer(et_module *m, const char *name, et_entry_kind kind, et_dtype dtype, int ndim,
                            const int64_t *shape);
/** Gives a tensor of the same tree a further name (tied weights): it stays one parameter,
 *  is counted, trained and saved once, and may be loaded under either name. Returns it.
 *  EINVAL if t is not in the tree or the name is taken. */
et_tensor *et_module_tie(et_module *m, const char *name, et_tensor *t);

/* --- looking ------------------------------------------------------------------------- */

/** The i-th entry under m in the order they were added, NULL beyond the last. */
const et_entry *et_module_entry(const et_module *m, int64_t i);
int64_t et_module_n_entries(const et_module *m);
/** An entry's name as m sees it. */
const char *et_module_entry_name(const et_module *m, const et_entry *e);
/** The tensor or the module of that dotted name, NULL (no error) if there is none. */
et_tensor *et_module_find(const et_module *m, const char *name);
et_module *et_module_child(const et_module *m, const char *name);

/** Numbers of elements of all parameters; of those to be trained. Tied ones count once. */
int64_t et_module_count(const et_module *m);
int64_t et_module_count_trainable(const et_module *m);
/** ENONFINITE, naming the first tensor and index, if a parameter or buffer holds a NaN or infinity. */
et_status et_module_check_finite(const et_module *m);

/** Prints one line a layer and one a tensor, with shapes and numbers of parameters, and
 *  the sums. EIO if `out` fails. */
et_status et_module_print(const et_module *m, FILE *out);

/* --- setting ------------------------------------------------------------------------- */

/** Training mode (as new modules are) or evaluation. */
void et_module_train(et_module *m);
void et_module_eval(et_module *m);
/** Keeps m and what is below it in evaluation mode whatever et_module_train says, as layers
 *  that are not trained want; or (on false) gives them back their root's mode. */
void et_module_hold_eval(et_module *m, bool on);

/** Excludes from training, or includes again, the parameters named `prefix` or below it
 *  ("encoder.layers.1" does not mean encoder.layers.10); NULL for all. An optimiser takes
 *  notice at its next step. EINVAL if no name fits. */
et_status et_module_freeze(et_module *m, const char *prefix);
et_status et_module_unfreeze(et_module *m, const char *prefix);

/** Converts every real parameter and buffer to float32 or float64; handles stay valid,
 *  gradients are dropped. To be called before an optimiser is made. EDTYPE, ENOMEM (then
 *  nothing has changed). */
et_status et_module_to(et_module *m, et_dtype dtype);

/** Sets the gradients of all parameters to zero. */
void et_zero_grad(et_module *m);

/** Names of the trainable parameters that no backward has reached since gradients were
 *  last zeroed, at most `max` of them to names; returns their number. Ask between
 *  et_backward and the optimiser's step. */
int64_t et_module_unreached(const et_module *m, const char **names, int64_t max);

/* --- files --------------------------------------------------------------------------- */

/** Writes parameters and buffers as safetensors, in one step (tied ones once), with
 *  n_meta pairs of metadata given flat: key, value, ... EIO, ENOMEM; refuses while an
 *  error is pending. */
et_status et_module_save(const et_module *m, const char *path, const char *const *metadata, int n_meta);

typedef struct et_name_list {
    int64_t n;
    char **items;
} et_name_list;

/* What became of a file's tensors. Names are the module's in missing, else the file's. */
typedef struct et_load_report {
    int64_t loaded;
    int64_t passed_over;     /* tensors of the file that are not wanted (pass_over, keep, `rewrite`) */
    int64_t kept;            /* tensors of the module that stay as they are (optional, keep) */
    et_name_list missing;    /* in the module, not in the file */
    et_name_list unexpected; /* in the file, not in the module */
    et_name_list misshaped;  /* in both, with another shape or a dtype that does not convert */
    et_name_list shapes;     /* of the misshaped: "F32 [2, 3] in the file, expected float32 [2, 4]" */
} et_load_report;

/* A part of a name, whole between dots ("mlp.fc1"), and what the module calls it. */
typedef struct et_rename {
    const char *from, *to;
} et_rename;

typedef struct et_load_options {
    bool partial; /* load what fits; else anything missing, unexpected or misshaped is an error */
    /* Names of other libraries' files: a leading "module." goes; LayerNorm.gamma and .beta are
     * LayerNorm.weight and .bias; num_batches_tracked, position_ids, relative_position_index
     * and attn_mask may be missing or too many; "qkv" is cut along its first axis in three
     * where the module has q, k, v (or query, key, value; q_proj, k_proj, v_proj) instead. */
    bool rewrite;
    const char *prefix; /* a further leading part to take off the file's names ("bert."); or NULL */
    /* Made in their order after the above, each where it first fits; ends with {NULL, NULL}. Or NULL. */
    const et_rename *renames;
    /* Lists of paths of the module, each meaning what is below it too and ending with NULL; or NULL: */
    const char *const *pass_over; /* of tensors of the file that the module may not have */
    const char *const *optional;  /* of tensors of the module that the file may not have */
    const char *const *keep;      /* of tensors of the module that are not to be read in any case */
    bool compare;                 /* only report: nothing is read, and no misfit is an error */
} et_load_options;

/** Reads parameters and buffers; reals are converted to the module's dtypes. Everything is
 *  checked and read before anything is changed. options NULL: all false. report may be
 *  NULL, else release it with et_load_report_free (also after an error).
 *  ESHAPE, EINVAL with the first names of each kind; EIO, EFORMAT, ENOMEM. */
et_status et_module_load(et_module *m, const char *path, const et_load_options *options,
                         et_load_report *report);
void et_load_report_free(et_load_report *report);
/** Prints the numbers on one line and each tensor that did not fit on its own. EIO. */
et_status et_load_report_print(const et_load_report *report, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
