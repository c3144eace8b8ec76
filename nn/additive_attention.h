/* Attention of one learned question over a sequence: the weighted sum of its states, and
 * the weights, which are an interpretable curve over time.
 *
 *   additive   e_t = v . tanh(W u_t + b)        (with context: v . tanh(W u_t + U s + b))
 *   dot        e_t = u_t . s
 *   general    e_t = s . (W u_t)
 *
 *   alpha = softmax(e) over the valid steps;  c = sum_t alpha_t u_t
 *
 * The additive score is differentiated once (et_additive_scores).
 *
 * Sources: Bahdanau et al. 2015 (arXiv 1409.0473); Raffel and Ellis 2015 (arXiv 1512.08756);
 * Yang et al. 2016 (hierarchical attention networks). */
#ifndef ETUDE_NN_ADDITIVE_ATTENTION_H
#define ETUDE_NN_ADDITIVE_ATTENTION_H

#include "nn/linear.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_score_kind { ET_SCORE_ADDITIVE, ET_SCORE_DOT, ET_SCORE_GENERAL } et_score_kind;

/* Parameters: additive W.weight [A, H], W.bias [A], v.weight [1, A], and with context U.weight
 * [A, A], s [A]; dot s [H]; general W.weight [A, H], s [A]. */
typedef struct et_additive_attention {
    et_module module;
    et_score_kind kind;
    et_linear_layer *W, *v, *U;
    et_tensor *s;
} et_additive_attention;

/** hidden: H, the width of the states; width: A (not used by dot). context: with U and s
 *  (additive only). All initialised U(+-1/sqrt(fan_in)). NULL on failure: EINVAL for sizes
 *  below 1 or an unknown kind, and as et_module_new. */
et_additive_attention *et_additive_attention_new(et_module *parent, const char *name, et_score_kind kind,
                                                 int64_t hidden, int64_t width, bool context, et_rng *rng);

/** u        [B, T, H]
 *  lengths  int32 [B], valid steps of each row, or NULL: all. Others get weight 0; a row
 *           without a valid step gives zeros
 *  alpha    receives the weights [B, T]; or NULL
 *  return   c [B, H], owned by the open scope; NULL after an error (ESHAPE, EINVAL, ENOMEM) */
et_tensor *et_additive_attention_forward(const et_additive_attention *a, et_tensor *u, et_tensor *lengths,
                                         et_tensor **alpha);

#ifdef __cplusplus
}
#endif
#endif
