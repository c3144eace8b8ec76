/* An optimiser from within: its blocks, shared by its arranging, its step and its files. */
#ifndef ETUDE_NN_OPTIM_INTERNAL_H
#define ETUDE_NN_OPTIM_INTERNAL_H

#include "nn/internal.h"

/* One parameter in a block. */
typedef struct et_optim_slot {
    const char *name; /* as the module sees it */
    et_tensor *p;
    int64_t offset;
    et_tensor *m, *v; /* handles on its moments, NULL where the kind has none */
    int64_t steps;    /* made with it: t of the formulas */
    int64_t staged;   /* the same, as read from a file */
} et_optim_slot;

/* The parameters of one group and dtype. */
typedef struct et_optim_block {
    int group;
    et_dtype dtype;
    int64_t numel; /* with gaps, which stay zero */
    et_tensor *w, *g, *m, *v;
    et_optim_slot *slots;
    int64_t n_slots;
} et_optim_block;

struct et_optim {
    et_module *module;
    et_optim_options options;
    et_optim_group *groups;
    int n_groups;
    int64_t steps, staged; /* made in all; as read from a file */
    et_optim_block *blocks;
    int n_blocks;
    /* requires_grad of all of the module's entries when the blocks were arranged. */
    bool *trained;
    int64_t n_entries;
    double *sums; /* of squares, one a piece */
    int64_t n_pieces;
};

#endif
