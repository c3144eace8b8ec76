/* Latent variables: divergences, and samples that gradients pass through. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

#if 0
/* ops.h: begin */
/* What et_latent_variance takes of the variances of the dimensions. */
typedef enum et_variance_of {
    ET_VARIANCE_MEAN,    /* their mean */
    ET_VARIANCE_HALF_SUM /* half their sum */
} et_variance_of;
/* ops.h: end */
#endif

/* --- divergence --------------------------------------------------------------------------------- */

ET_CALL(kl_call, et_gaussian_kl(in[0], in[1]))
static const et_sample kl_samples[] = {
    {.name = "matrix", .n_in = 2, .in = {{2, {3, 5}}, {2, {3, 5}}}, .call = kl_call},
};
const et_op et_op_gaussian_kl = {.name = "gaussian_kl", .args = "r r", .n_out = 1, ET_SAMPLES(kl_samples)};

/** KL(N(mu, exp(logvar)) || N(0, 1)) of each element, -1/2 (1 + logvar - mu^2 -
 *  exp(logvar)) (Kingma and Welling 2014, appendix B); reduce it as the model says. */
et_tensor *(et_gaussian_kl)(et_tensor *mu, et_tensor *logvar)
{
    et_tensor *inner = et_sub(et_add_scalar(logvar, 1), et_add(et_square(mu), et_exp(logvar)));

    return et_mul_scalar(inner, -0.5);
}

/* --- spread of the means -------------------------------------------------------------------------- */

ET_CALL(variance_mean, et_latent_variance(in[0], ET_VARIANCE_MEAN))
ET_CALL(variance_half, et_latent_variance(in[0], ET_VARIANCE_HALF_SUM))
static const et_sample variance_samples[] = {
    {.name = "mean", .n_in = 1, .in = {{2, {5, 3}}}, .call = variance_mean},
    {.name = "half sum", .n_in = 1, .in = {{2, {4, 3}}}, .call = variance_half},
};
const et_op et_op_latent_variance = {.name = "latent_variance", .args = "r", .n_out = 1,
                                     ET_SAMPLES(variance_samples)};

/** How far the means mu [N, D] of N posteriors are apart: with v_d = 1/N sum_n (mu_nd -
 *  mean_d)^2 their mean over d, or half their sum; one element. ESHAPE unless mu has two
 *  dimensions and items. */
et_tensor *(et_latent_variance)(et_tensor *mu, et_variance_of of)
{
    if (mu && (mu->ndim != 2 || mu->numel < 1)) {
        et_raise_here(ET_ESHAPE, "latent_variance: mu is %s, expected [items, dimensions]", et_shape_str(mu));
        return NULL;
    }
    et_tensor *v = et_var(mu, ET_DIMS(0), false, false);
    return of == ET_VARIANCE_MEAN ? et_mean(v, 0, NULL, false)
                                  : et_mul_scalar(et_sum(v, 0, NULL, false), 0.5);
}

ET_CALL(forcing_call, et_mu_forcing(in[0], 3, ET_VARIANCE_MEAN))
ET_CALL(forcing_slack, et_mu_forcing(in[0], 0.01, ET_VARIANCE_HALF_SUM))
static const et_sample forcing_samples[] = {
    {.name = "below the threshold", .n_in = 1, .in = {{2, {5, 3}}}, .call = forcing_call},
    {.name = "above", .n_in = 1, .in = {{2, {4, 3}}}, .call = forcing_slack},
};
const et_op et_op_mu_forcing = {.name = "mu_forcing", .args = "r", .n_out = 1, .flags = ET_OP_KINK,
                                ET_SAMPLES(forcing_samples)};

/** max(0, threshold - et_latent_variance(mu, of)): a hinge that keeps posteriors from
 *  collapsing onto one point (Liu et al. 2019, arXiv 1905.10072). */
et_tensor *(et_mu_forcing)(et_tensor *mu, double threshold, et_variance_of of)
{
    return et_relu(et_add_scalar(et_neg(et_latent_variance(mu, of)), threshold));
}

/* --- samples --------------------------------------------------------------------------------------- */

/* Standard draws for x, the same ones in float32 and float64; NULL passes. */
static et_tensor *noise(const char *op, const et_tensor *x, et_rng *rng,
                        et_status (*fill)(et_tensor *, et_rng *))
{
    if (!x) {
        et_raise_here(ET_EINVAL, "%s: operand 0 is NULL", op);
        return NULL;
    }
    if (!et_op_scope(op))
        return NULL;
    if (!et_dtype_is_real(x->dtype)) {
        et_raise_here(ET_EDTYPE, "%s: operand 0 is %s, expected float32 or float64", op,
                      et_dtype_name(x->dtype));
        return NULL;
    }
    et_tensor *e = et_empty(ET_F32, x->ndim, x->shape);
    return e && fill(e, rng) == ET_OK ? et_to(e, x->dtype) : NULL;
}

static et_status fill_standard(et_tensor *x, et_rng *rng) { return et_fill_normal(x, rng, 0, 1); }

/* The same draws in every run. */
static et_tensor *sample_gaussian(et_tensor *mu, et_tensor *logvar)
{
    et_rng rng = et_rng_make(5, 1);

    return et_reparameterize(mu, logvar, &rng);
}

ET_CALL(gaussian_call, sample_gaussian(in[0], in[1]))
static const et_sample reparameterize_samples[] = {
    {.name = "matrix", .n_in = 2, .in = {{2, {3, 5}}, {2, {3, 5}}}, .call = gaussian_call},
    {.name = "empty", .n_in = 2, .in = {{2, {0, 5}}, {2, {0, 5}}}, .call = gaussian_call},
};
const et_op et_op_reparameterize = {.name = "reparameterize", .args = "r r", .n_out = 1,
                                    ET_SAMPLES(reparameterize_samples)};

/** A draw of N(mu, exp(logvar)) that gradients pass through: mu + exp(logvar / 2) e, e from
 *  N(0, 1) (Kingma and Welling 2014). mu and logvar of one shape (ESHAPE); rng NULL: the
 *  thread's default generator, moved on by a draw for each element. */
et_tensor *(et_reparameterize)(et_tensor *mu, et_tensor *logvar, et_rng *rng)
{
    if (mu && logvar && !et_same_shape(mu, logvar)) {
        et_raise_here(ET_ESHAPE, "reparameterize: shapes differ, %s and %s", et_shape_str(mu),
                      et_shape_str(logvar));
        return NULL;
    }
    et_tensor *e = noise("reparameterize", mu, rng, fill_standard);
    return et_add(mu, et_mul(et_exp(et_mul_scalar(logvar, 0.5)), e));
}

static et_tensor *sample_gumbel(et_tensor *logits)
{
    et_rng rng = et_rng_make(5, 1);

    return et_gumbel_softmax(logits, 0.7, false, &rng);
}

ET_CALL(gumbel_call, sample_gumbel(in[0]))
static const et_sample gumbel_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {{2, {3, 5}, -2, 2}}, .call = gumbel_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 5}}}, .call = gumbel_call},
};
const et_op et_op_gumbel_softmax = {.name = "gumbel_softmax", .args = "r", .n_out = 1,
                                    ET_SAMPLES(gumbel_samples)};

/** A draw of a category that gradients pass through: softmax((logits + G) / tau) over the last
 *  dimension, G of the Gumbel distribution (Jang et al. 2017, arXiv 1611.01144). With `hard`
 *  the value is the one-hot vector of the largest and the gradient that of the soft draw. rng
 *  as in et_reparameterize. EINVAL unless tau > 0. */
et_tensor *(et_gumbel_softmax)(et_tensor *logits, double tau, bool hard, et_rng *rng)
{
    if (!(tau > 0)) {
        et_raise_here(ET_EINVAL, "gumbel_softmax: tau is %g, expected a positive number", tau);
        return NULL;
    }
    et_tensor *g = noise("gumbel_softmax", logits, rng, et_fill_gumbel);
    et_tensor *soft = et_softmax(et_mul_scalar(et_add(logits, g), 1 / tau), -1);
    if (!hard || !soft)
        return soft;
    et_tensor *one = et_one_hot(et_argmax(soft, -1, false), soft->shape[soft->ndim - 1], soft->dtype);
    return et_add(soft, et_sub(one, et_detach(soft)));
}
