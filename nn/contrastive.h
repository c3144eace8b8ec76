/* Losses of two towers: N pairs of unit vectors f_i (texts) and g_i (sounds), of which pair i belongs
 * together.
 *
 *   S_ij = f_i . g_j,   logits = S exp(t)  or  S / t
 *
 * with t a constant ("TAU") or learned. */
#ifndef ETUDE_NN_CONTRASTIVE_H
#define ETUDE_NN_CONTRASTIVE_H

#include "autograd/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_contrastive_form {
    ET_CONTRASTIVE_CLIP,      /* mean of the cross entropies of rows and of columns (et_clip_loss) */
    ET_CONTRASTIVE_MULAN,     /* one sum over all wrong pairs of a row and a column (et_mulan_loss) */
    ET_CONTRASTIVE_DECOUPLED, /* the same with a logarithm each (et_decoupled_loss) */
    ET_CONTRASTIVE_SIGMOID    /* every pair a question of its own (et_sigmoid_pair_loss) */
} et_contrastive_form;

/** S [N, M] of f [N, d] and g [M, d]. ESHAPE. */
et_tensor *et_similarity(et_tensor *f, et_tensor *g);

/** The loss of logits [N, N] in that form. */
et_tensor *et_contrastive_loss(et_contrastive_form form, et_tensor *logits);

/** The loss of f and g [N, d] with the constant t: ET_SCALE_EXP gives logits S exp(t), ET_SCALE_DIVIDE S / t.
 *  EINVAL unless t is finite and the factor is. */
et_tensor *et_contrastive_loss_at(et_contrastive_form form, et_scale_mode mode, double t, et_tensor *f,
                                  et_tensor *g);

/** The loss of f and g [N, d] with a learned t (one element):
 *  logits S min(exp(t), limit), et_scale_logits. */
et_tensor *et_contrastive_loss_learned(et_contrastive_form form, et_tensor *t, double limit, et_tensor *f,
                                       et_tensor *g);

#ifdef __cplusplus
}
#endif
#endif
