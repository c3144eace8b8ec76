/* An optimiser from within: its blocks, shared by its arranging, its step and its files. */
#ifndef ETUDE_NN_OPTIM_INTERNAL_H
#define ETUDE_NN_OPTIM_INTERNAL_H

#include "nn/internal.h"

enum { ET_OPTIM_PIECE = 16 * 1024 /* elements of a block that one thread steps at a time */ };

/* One parameter in a block. */
typedef struct et_optim_slot {
    const char *name; /* as the module sees it */
    et_tensor *p;
    int64_t offset;
    et_tensor *begin; /* its gradient, which it has not got yet */
    const void *g;    /* the gradient's elements, while a step runs: NULL where they are zero */
    et_tensor *m, *v; /* handles on its moments, NULL where the kind has none */
    int64_t steps;    /* made with it: t of the formulas */
    int64_t staged;   /* the same, as read from a file */
} et_optim_slot;

/* The parameters of one group and dtype. */
typedef struct et_optim_block {
    int group;
    et_dtype dtype;
    int64_t numel; /* with gaps, which stay zero */
    et_tensor *w, *m, *v;
    et_optim_slot *slots;
    int64_t n_slots;
} et_optim_block;

/* What SWATS knows besides Adam's moments. */
typedef struct et_swats {
    double lambda;   /* running mean of the estimates, biased towards 0 */
    int64_t at;      /* steps after which SGD began, 0: not yet */
    double rate;     /* what it began with */
    double rate_lr;  /* rate / lr at that moment */
} et_swats;

/* Adam's step p = -lr m' / (sqrt(v') + eps), just made with these corrected moments over n elements, and the
 * gradient it was made for, scale * g + decay * (w before the step): adds p.p and p.g to out[0], out[1]. */
void et_swats_products(et_dtype dtype, int64_t n, const void *w, const void *g, const void *m, const void *v,
                       const et_optim_options *c, double lr, double decay, double scale, double bc1,
                       double bc2, double out[2]);

/* Takes the step's products; switches when it is time. */
void et_swats_judge(et_optim *o, double pp, double pg);

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
    double *sums; /* two a piece of the largest block: of squares, or SWATS's products */
    bool fresh;   /* being arranged anew: moments and steps are not carried over */
    et_swats swats, swats_staged;
};

/* Arranges all parameters in blocks. On failure everything is as before. */
et_status et_optim_arrange(et_optim *o);
void et_optim_free_blocks(et_optim_block *blocks, int n);

#endif
