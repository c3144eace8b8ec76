/* Optimisers: SGD, Adam, AdamW, SWATS.
 *
 * With g the gradient (times the clipping factor) of a parameter w, at step t = 1, 2, ...:
 *
 *   SGD     g += wd w;  buf = mu buf + g (buf = g at the first step);
 *           w -= lr (g + mu buf) with Nesterov, lr buf without;  w -= lr g for mu = 0
 *   Adam    g += wd w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
 *           w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *   AdamW   w -= lr wd w, then Adam's step without decay
 *   SWATS   Adam's step p, and from it an estimate of the rate that SGD would need:
 *           gamma = p.p / (-p.g);  lambda = b2 lambda + (1 - b2) gamma   (unless p.g = 0)
 *           At the first step t > 1 with |lambda / (1 - b2^t) - gamma| < switch_eps and a positive
 *           estimate L = lambda / (1 - b2^t) Adam ends. From the next step on
 *           v = b1 v + g (v = 0 before);  w -= (1 - b1) L v
 *           The products are over all parameters. When lr changes after the switch (a schedule),
 *           L changes in proportion.
 *
 * Sources: Sutskever et al. 2013; Kingma and Ba 2015 (arXiv 1412.6980); Loshchilov and
 * Hutter 2019 (arXiv 1711.05101); Keskar and Socher 2017 (arXiv 1712.07628). The trajectories are
 * PyTorch's, that of SWATS an independent implementation's.
 *
 * When the optimiser is made, the trainable parameters of each group and dtype move into
 * one contiguous block; their moments lie in others; handles stay valid. A step is one pass over
 * them. Tied parameters have one place; frozen ones stay where they are. Every parameter has a
 * gradient from then on, which has memory of its own from the backward that makes it until it is
 * set to zero, so that the next forward can use that.
 * When parameters are frozen or unfrozen, the next step rearranges the blocks: moments stay
 * with their parameters, new ones begin at zero, and t counts the steps since then. A frozen
 * parameter's moments are forgotten.
 *
 * A block is one storage with one version. Writing into any parameter between forward and
 * backward (et_copy_into, et_data_mut, loading weights) therefore makes backward fail with
 * EVERSION for every parameter of its group and dtype that a rule has saved, not only for the
 * one that was written: write before forward or after backward.
 *
 * A parameter that backward has not reached has a zero gradient: momentum and decay still
 * act on it. The module must outlive every call but et_optim_free. */
#ifndef ETUDE_NN_OPTIM_H
#define ETUDE_NN_OPTIM_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_optim_kind { ET_SGD, ET_ADAM, ET_ADAMW, ET_SWATS } et_optim_kind;

typedef struct et_optim_options {
    et_optim_kind kind;
    double lr;           /* the rate, 0 or more; a training loop with a schedule sets it before each step */
    double momentum;     /* SGD; 0: none */
    bool nesterov;       /* SGD; needs momentum */
    double beta1, beta2; /* Adam, SWATS: 0.9 and 0.999 where both are 0 */
    double eps;          /* Adam, SWATS: 1e-8 where it is 0 */
    double weight_decay;
    double switch_eps;   /* SWATS: 1e-9 where it is 0 */
} et_optim_options;

/* Which parameters a group has, and how it differs. Each parameter goes to the first group
 * that takes it; what none takes is not trained. */
typedef struct et_optim_group {
    const char *prefix; /* parameters named so or below it; NULL: all */
    /* And for which this is true; NULL: all. et_optim_is_matrix keeps decay from biases and norms. */
    bool (*select)(const char *name, const et_tensor *parameter);
    double lr_scale; /* the group's rate is lr times this; 0 for 1 */
    bool no_decay;   /* without weight_decay */
} et_optim_group;

/** True for parameters with two dimensions or more. */
bool et_optim_is_matrix(const char *name, const et_tensor *parameter);

typedef struct et_optim et_optim;

/** An optimiser of m's trainable parameters; groups NULL: one group of all. NULL on
 *  failure: EINVAL (an option out of range, nothing to train), ENOMEM. Then nothing has
 *  moved. */
et_optim *et_optim_new(et_module *m, const et_optim_options *options, const et_optim_group *groups,
                       int n_groups);
/** Short forms with the usual settings. */
et_optim *et_sgd_new(et_module *m, double lr, double momentum);
et_optim *et_adam_new(et_module *m, double lr);
et_optim *et_adamw_new(et_module *m, double lr, double weight_decay);
/** Parameters stay where they are and valid. NULL is allowed. */
void et_optim_free(et_optim *o);

/** One step. Refuses, changing nothing, while an error is pending (whose status it returns); EINVAL if a
 *  parameter or gradient was taken away, ENOMEM. Allocates nothing unless
 *  what is trained has changed, or a gradient is still zero, which is then written.
 *  Gradients are left as they are. */
et_status et_optim_step(et_optim *o);
/** The same, with the gradients clipped to the global norm `clip` (0: not), and then
 *  et_optim_zero_grad. *norm receives the norm before clipping where it is not NULL (then, or
 *  with clip, the gradients are checked: ENONFINITE names a parameter, and nothing changes). */
et_status et_optim_step_zero(et_optim *o, double clip, double *norm);
/** Square root of the sum of squares of all gradients, summed in double in a fixed order;
 *  infinite or NaN if one is not finite. NaN and EINVAL if a parameter or gradient was taken away. */
double et_optim_grad_norm(et_optim *o);
/** et_zero_grad_of for each of the optimiser's parameters. */
void et_optim_zero_grad(et_optim *o);

/** The rate of the next step; NaN of NULL. Setting it: EINVAL unless it is finite and 0 or more. */
double et_optim_lr(const et_optim *o);
et_status et_optim_set_lr(et_optim *o, double lr);
/** SWATS: the number of steps after which it went over to SGD, and the rate L it found then (*rate, where not
 *  NULL); 0 and NaN before, and of other kinds. */
int64_t et_optim_switched(const et_optim *o, double *rate);
/** Begins anew with other options: of any kind, without moments, at step 0. Parameters, groups and gradients
 *  stay. On failure (EINVAL, ENOMEM) nothing has changed. */
et_status et_optim_restart(et_optim *o, const et_optim_options *options);
/** Steps made; elements trained. */
int64_t et_optim_steps(const et_optim *o);
int64_t et_optim_size(const et_optim *o);

/** Moments and step numbers as a safetensors file, by the parameters' names. Loading demands
 *  an optimiser of the same kind over the same parameters, and changes nothing otherwise.
 *  Both refuse while an error is pending. EIO, ENOMEM; loading EFORMAT, and EINVAL, ESHAPE or EDTYPE for
 *  another optimiser's file. */
et_status et_optim_save(const et_optim *o, const char *path);
et_status et_optim_load(et_optim *o, const char *path);

#ifdef __cplusplus
}
#endif
#endif
