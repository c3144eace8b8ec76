/* Contrastive losses: logits [N, N] compare item i of one kind with item j of another,
 * and i belongs to i. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

#if 0
/* ops.h: begin */
/* How et_scale_logits applies its parameter t to similarities s. */
typedef enum et_scale_mode {
    ET_SCALE_EXP,   /* s exp(t): t is the logarithm of a scale */
    ET_SCALE_DIVIDE /* s / t: t is a temperature */
} et_scale_mode;
/* ops.h: end */
#endif

/* True if logits are fit for `op`: a square of at least `least` pairs.
 * NULL passes with the error that made it. */
static bool pairs(const char *op, const et_tensor *logits, int64_t least)
{
    if (!logits)
        et_raise_here(ET_EINVAL, "%s: operand 0 is NULL", op);
    else if (logits->ndim != 2 || logits->shape[0] != logits->shape[1])
        et_raise_here(ET_ESHAPE, "%s: logits are %s, expected a square matrix", op, et_shape_str(logits));
    else if (logits->shape[0] < least)
        et_raise_here(ET_ESHAPE, "%s: %lld pairs, expected at least %lld", op, (long long)logits->shape[0],
                      (long long)least);
    else
        return et_op_scope(op);
    return false;
}

/* --- the scale --------------------------------------------------------------------------------- */

ET_CALL(scale_exp, et_scale_logits(in[0], in[1], ET_SCALE_EXP, 100))
ET_CALL(scale_held, et_scale_logits(in[0], in[1], ET_SCALE_EXP, 1.5))
ET_CALL(scale_divide, et_scale_logits(in[0], in[1], ET_SCALE_DIVIDE, INFINITY))
static const et_sample scale_samples[] = {
    {.name = "exp", .n_in = 2, .in = {{2, {3, 3}}, {0, {0}, 0, 2}}, .call = scale_exp},
    {.name = "held at its limit", .n_in = 2, .in = {{2, {3, 3}}, {0, {0}, 1, 2}}, .call = scale_held},
    {.name = "divide", .n_in = 2, .in = {{2, {3, 4}}, {1, {1}, 0.5, 2}}, .call = scale_divide},
};
const et_op et_op_scale_logits = {.name = "scale_logits", .args = "r r", .n_out = 1, .flags = ET_OP_KINK,
                                  ET_SAMPLES(scale_samples)};

/** Similarities times a learned scale (Radford et al. 2021, arXiv 2103.00020, section 2.4):
 *  s exp(t) or s / t, where the factor exp(t) or 1 / t is held at `limit` at most (100 in
 *  CLIP; INFINITY for none). A parameter beyond the limit has no gradient. similarity of any
 *  shape, t with one element: ESHAPE otherwise. EINVAL unless limit > 0. */
et_tensor *(et_scale_logits)(et_tensor *similarity, et_tensor *t, et_scale_mode mode, double limit)
{
    if (!(limit > 0)) {
        et_raise_here(ET_EINVAL, "scale_logits: the limit is %g, expected a positive number", limit);
        return NULL;
    }
    if (t && t->numel != 1) {
        et_raise_here(ET_ESHAPE, "scale_logits: the scale is %s, expected one element", et_shape_str(t));
        return NULL;
    }
    et_tensor *factor = et_reshape(mode == ET_SCALE_EXP ? et_exp(t) : et_reciprocal(t), 0, NULL);
    return et_mul(similarity, isinf(limit) ? factor : et_clamp(factor, -limit, limit));
}

/* --- losses ------------------------------------------------------------------------------------ */

ET_CALL(clip_call, et_clip_loss(in[0]))
static const et_sample clip_samples[] = {
    {.name = "square", .n_in = 1, .in = {{2, {4, 4}, -2, 2}}, .call = clip_call},
    {.name = "one pair", .n_in = 1, .in = {{2, {1, 1}}}, .call = clip_call},
};
const et_op et_op_clip_loss = {.name = "clip_loss", .args = "r", .n_out = 1, ET_SAMPLES(clip_samples)};

/** The symmetric contrastive loss of CLIP (Radford et al. 2021, arXiv 2103.00020): the mean
 *  of the cross entropies of the rows and of the columns of logits [N, N] (similarities
 *  times scale), item i belonging to item i. ESHAPE unless square. */
et_tensor *(et_clip_loss)(et_tensor *logits)
{
    if (!pairs("clip_loss", logits, 0))
        return NULL;
    et_tensor *labels = logits ? et_arange(ET_I32, 0, (double)logits->shape[0], 1) : NULL;
    et_tensor *rows = et_cross_entropy(logits, labels);
    return et_mul_scalar(et_add(rows, et_cross_entropy(et_transpose(logits, 0, 1), labels)), 0.5);
}

/* logits with -inf on the diagonal. */
static et_tensor *others(et_tensor *logits)
{
    int64_t n = logits->shape[0];
    et_tensor *diagonal = et_zeros(ET_U8, 2, logits->shape);

    for (int64_t i = 0; diagonal && i < n; i++)
        ((uint8_t *)et_data_mut(diagonal))[i * n + i] = 1;
    return diagonal ? et_masked_fill(logits, diagonal, -INFINITY) : NULL;
}

/* [N] the diagonal. */
static et_tensor *matches(et_tensor *logits)
{
    et_tensor *index = et_arange(ET_I32, 0, (double)logits->shape[0], 1);

    return et_squeeze(et_gather(logits, 1, et_unsqueeze(index, 1)), 1);
}

ET_CALL(mulan_call, et_mulan_loss(in[0]))
static const et_sample mulan_samples[] = {
    {.name = "square", .n_in = 1, .in = {{2, {4, 4}, -2, 2}}, .call = mulan_call},
    {.name = "two pairs", .n_in = 1, .in = {{2, {2, 2}}}, .call = mulan_call},
};
const et_op et_op_mulan_loss = {.name = "mulan_loss", .args = "r", .n_out = 1, ET_SAMPLES(mulan_samples)};

/** The contrastive loss of MuLan (Huang et al. 2022, arXiv 2208.12415): the mean over i of
 *
 *    -x_ii + ln(sum_{j != i} exp x_ij + sum_{j != i} exp x_ji),   x = logits [N, N].
 *
 *  The match is not among the terms it is compared with, so the loss may be negative. ESHAPE
 *  unless square with at least two pairs. */
et_tensor *(et_mulan_loss)(et_tensor *logits)
{
    if (!pairs("mulan_loss", logits, 2))
        return NULL;
    et_tensor *off = others(logits);
    et_tensor *both = et_concat(2, (et_tensor *[]){off, et_transpose(off, 0, 1)}, 1);
    return et_mean(et_sub(et_logsumexp(both, 1, false), matches(logits)), 0, NULL, false);
}

ET_CALL(decoupled_call, et_decoupled_loss(in[0]))
static const et_sample decoupled_samples[] = {
    {.name = "square", .n_in = 1, .in = {{2, {4, 4}, -2, 2}}, .call = decoupled_call},
    {.name = "two pairs", .n_in = 1, .in = {{2, {2, 2}}}, .call = decoupled_call},
};
const et_op et_op_decoupled_loss = {.name = "decoupled_loss", .args = "r", .n_out = 1,
                                    ET_SAMPLES(decoupled_samples)};

/** Decoupled contrastive learning (Yeh et al. 2021, arXiv 2110.06848) in both directions: as
 *  et_mulan_loss, with the mean of two logarithms instead of one of the sum,
 *
 *    -x_ii + 1/2 (ln sum_{j != i} exp x_ij + ln sum_{j != i} exp x_ji). */
et_tensor *(et_decoupled_loss)(et_tensor *logits)
{
    if (!pairs("decoupled_loss", logits, 2))
        return NULL;
    et_tensor *off = others(logits);
    et_tensor *both = et_add(et_logsumexp(off, 1, false), et_logsumexp(off, 0, false));
    return et_mean(et_sub(et_mul_scalar(both, 0.5), matches(logits)), 0, NULL, false);
}

ET_CALL(sigmoid_call, et_sigmoid_pair_loss(in[0]))
static const et_sample sigmoid_samples[] = {
    {.name = "square", .n_in = 1, .in = {{2, {4, 4}, -2, 2}}, .call = sigmoid_call},
    {.name = "one pair", .n_in = 1, .in = {{2, {1, 1}}}, .call = sigmoid_call},
};
const et_op et_op_sigmoid_pair_loss = {.name = "sigmoid_pair_loss", .args = "r", .n_out = 1,
                                       ET_SAMPLES(sigmoid_samples)};

/** The pairwise sigmoid loss (Zhai et al. 2023, arXiv 2303.15343): every pair is a question of
 *  its own, -1/N sum_ij ln s(z_ij x_ij) with z = 1 on the diagonal and -1 elsewhere, s the
 *  logistic function. logits include scale and bias. ESHAPE unless square with a pair. */
et_tensor *(et_sigmoid_pair_loss)(et_tensor *logits)
{
    if (!pairs("sigmoid_pair_loss", logits, 1))
        return NULL;
    et_tensor *sum = et_sub(et_sum(et_softplus(logits), 0, NULL, false),
                            et_sum(matches(logits), 0, NULL, false));
    return et_mul_scalar(sum, 1 / (double)logits->shape[0]);
}
