/* Batch norm: sizes, statistics and sums. */
#include "config.h"

#include <math.h>

#include "autograd/batch_norm.h"

enum { FLAT = 16 }; /* rows up to this length are not worth a call each */
enum { GROUP_BYTES = 2 << 20, FINE_GROUP_BYTES = 512 }; /* both passes go over so much at a time: the second
                                                           finds it in a cache */

et_status et_bn_check(et_node *n)
{
    et_bn_attr *a = n->attr;
    const et_tensor *x = n->in[ET_BN_X];
    const char *names[] = {"x", "running_mean", "running_var", "weight", "bias"};

    if (x->ndim < 2)
        return et_op_raise(n, ET_ESHAPE, "x is %s, expected [batch, channels, ..]", et_shape_str(x));
    if (et_op_dim(n, x->ndim, a->axis, &a->axis))
        return ET_EINVAL;
    const int64_t channels = x->shape[a->axis];
    for (int i = 1; i < 5; i++)
        if (n->in[i] && (n->in[i]->ndim != 1 || n->in[i]->shape[0] != channels))
            return et_op_raise(n, ET_ESHAPE, "%s is %s, expected [%lld] for x %s", names[i],
                               et_shape_str(n->in[i]), (long long)channels, et_shape_str(x));
    if (!(a->eps > 0))
        return et_op_raise(n, ET_EINVAL, "eps is %g, expected a positive number", a->eps);
    if (!(a->momentum >= 0 && a->momentum <= 1))
        return et_op_raise(n, ET_EINVAL, "momentum is %g, expected 0 to 1", a->momentum);
    if (!n->in[ET_BN_MEAN] != !n->in[ET_BN_VAR])
        return et_op_raise(n, ET_EINVAL, "one running statistic without the other");
    if (!a->training && !n->in[ET_BN_MEAN])
        return et_op_raise(n, ET_EINVAL, "evaluation needs running statistics");
    for (int i = ET_BN_MEAN; n->in[ET_BN_MEAN] && i <= ET_BN_VAR; i++) {
        if (n->needs[i])
            return et_op_raise(n, ET_EINVAL, "%s cannot get a gradient", names[i]);
        if (a->training && !et_is_contiguous(n->in[i]))
            return et_op_raise(n, ET_EINVAL, "%s is not contiguous, it cannot be updated", names[i]);
    }
    if (a->training && channels && x->numel / channels == 1)
        return et_op_raise(n, ET_ESHAPE, "x %s has one value a channel, which has no variance",
                           et_shape_str(x));
    return ET_OK;
}

et_status et_bn_start(et_node *n, et_bn_job *j, bool flat)
{
    const et_bn_attr *a = ET_ATTR(n, et_bn_attr);
    const et_tensor *x = n->in[ET_BN_X];

    *j = (et_bn_job){.k = et_k(n), .outer = 1, .channels = x->shape[a->axis], .inner = 1,
                  .size = (int64_t)et_dtype_size(x->dtype)};
    for (int d = 0; d < a->axis; d++)
        j->outer *= x->shape[d];
    for (int d = a->axis + 1; d < x->ndim; d++)
        j->inner *= x->shape[d];
    j->flat = flat && j->inner <= FLAT && j->outer > 1;
    j->rows = j->flat ? j->inner : j->outer;
    j->n = j->flat ? j->outer : j->inner;
    j->ldc = j->inner;
    j->ldo = j->channels * j->ldc;
    for (int i = 0; i < 6 && j->flat; i++)
        if (!(j->columns[i] = et_scratch(n, (size_t)(j->channels * j->rows * j->size))))
            return et_error_status();
    /* one row even where none is */
    const size_t sums = (size_t)((j->rows + 1) * j->channels) * sizeof(double);
    j->first = et_scratch(n, sums);
    j->second = et_scratch(n, sums);
    j->norms = et_scratch(n, (size_t)j->channels * sizeof(et_norm));
    return j->first && j->second && j->norms ? ET_OK : et_error_status();
}

int64_t et_bn_group(const et_bn_job *j, int64_t tensors)
{
    const int64_t bytes = j->rows * j->n * j->size * tensors;
    const int64_t fit = et_cut(GROUP_BYTES, FINE_GROUP_BYTES) / (bytes ? bytes : 1);

    return fit < 1 ? 1 : fit < j->channels ? fit : j->channels;
}

void et_bn_over(et_bn_job *j, int64_t cost, void (*piece)(int64_t lo, int64_t hi, void *user),
                void (*flat)(int64_t lo, int64_t hi, void *user))
{
    const int64_t wide = et_cut(64, 2); /* columns, so that threads do not meet in a line of memory */

    if (j->flat)
        et_parallel_for(j->some * j->rows, (et_elem_grain() / (cost * j->n) / wide + 1) * wide, flat, j);
    else
        et_parallel_for(j->rows * j->some, et_row_grain(j->rows * j->some, cost * j->n), piece, j);
}

static void flat_moments(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;

    j->k->cols_moments(j->n, hi - lo, et_bn_column(j, j->x, lo), j->ldo, j->first + j->c0 * j->rows + lo,
                       j->second + j->c0 * j->rows + lo);
}

static void moments_piece(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->moments(j->n, j->x + et_bn_row(j, r), &j->first[et_bn_sum(j, r)], &j->second[et_bn_sum(j, r)]);
}

/* Mean and deviation of the group's channels from their rows', joined in order; running statistics follow. */
static void batch_stats(et_node *n, et_bn_job *j, void *rm, void *rv)
{
    const et_bn_attr *a = ET_ATTR(n, et_bn_attr);
    const double count = (double)(j->rows * j->n);
    const et_tensor *run_mean = n->in[ET_BN_MEAN], *run_var = n->in[ET_BN_VAR];

    et_bn_over(j, 2, moments_piece, flat_moments);
    for (int64_t c = j->c0; c < j->c0 + j->some; c++) {
        double mean = 0, m2 = 0;
        for (int64_t r = 0; r < j->rows; r++) { /* Chan, Golub and LeVeque 1979 */
            const double delta = j->first[et_bn_sum_of(j, r, c)] - mean, share = 1 / (double)(r + 1);
            mean += delta * share;
            m2 += j->second[et_bn_sum_of(j, r, c)] + delta * delta * share * (double)r * (double)j->n;
        }
        j->stats[2 * c] = mean;
        j->stats[2 * c + 1] = 1 / sqrt(m2 / count + a->eps);
        if (run_mean) {
            const double m = et_real_at(run_mean, rm, c), v = et_real_at(run_var, rv, c);
            et_set_real(run_mean, rm, c, m + a->momentum * (mean - m));
            et_set_real(run_var, rv, c, v + a->momentum * (m2 / (count - 1) - v));
        }
    }
}

/* What rounding to a real has added to the mean of a flat channel. */
static double rounding(const et_node *n, const et_bn_job *j, int64_t c)
{
    return et_real_at(n->in[ET_BN_X], j->columns[0], c * j->rows) - j->norms[c].mean;
}

void et_bn_set_norms(const et_node *n, et_bn_job *j, const void *gamma, const void *beta)
{
    for (int64_t c = j->c0; c < j->c0 + j->some; c++)
        j->norms[c] = (et_norm){.mean = j->stats[2 * c],
                                .scale = j->stats[2 * c + 1] *
                                         (gamma ? et_real_at(n->in[ET_BN_GAMMA], gamma, c) : 1),
                                .shift = beta ? et_real_at(n->in[ET_BN_BETA], beta, c) : 0,
                                .relu = ET_ATTR(n, et_bn_attr)->relu};
    for (int64_t c = j->c0; j->flat && c < j->c0 + j->some; c++) {
        const et_norm *norm = &j->norms[c];
        for (int64_t at = c * j->rows; at < (c + 1) * j->rows; at++) {
            et_set_real(n->in[ET_BN_X], j->columns[0], at, norm->mean);
            et_set_real(n->in[ET_BN_X], j->columns[1], at, norm->scale);
            et_set_real(n->in[ET_BN_X], j->columns[2], at, norm->shift + rounding(n, j, c) * norm->scale);
        }
    }
}

et_status et_bn_affine(et_node *n, const void **gamma, const void **beta)
{
    *gamma = n->in[ET_BN_GAMMA] ? et_contig(n, n->in[ET_BN_GAMMA]) : NULL;
    *beta = n->in[ET_BN_BETA] ? et_contig(n, n->in[ET_BN_BETA]) : NULL;
    return (n->in[ET_BN_GAMMA] && !*gamma) || (n->in[ET_BN_BETA] && !*beta) ? et_error_status() : ET_OK;
}

et_status et_bn_running(et_node *n, void **mean, void **var)
{
    const bool training = ET_ATTR(n, et_bn_attr)->training;
    void **to[] = {mean, var};

    for (int i = 0; i < 2; i++) {
        et_tensor *t = n->in[ET_BN_MEAN + i];
        *to[i] = !t ? NULL : training ? et_data_mut(t) : (void *)(uintptr_t)et_contig(n, t);
        if (t && !*to[i])
            return et_error_status();
    }
    return ET_OK;
}

void et_bn_stats(et_node *n, et_bn_job *j, void *mean, void *var)
{
    const et_bn_attr *a = ET_ATTR(n, et_bn_attr);

    if (a->training) {
        batch_stats(n, j, mean, var);
        return;
    }
    for (int64_t c = j->c0; c < j->c0 + j->some; c++) {
        j->stats[2 * c] = et_real_at(n->in[ET_BN_MEAN], mean, c);
        j->stats[2 * c + 1] = 1 / sqrt(et_real_at(n->in[ET_BN_VAR], var, c) + a->eps);
    }
}

void et_bn_join(const et_node *n, const et_bn_job *j)
{
    const double share = ET_ATTR(n, et_bn_attr)->training ? 1 / (double)(j->rows * j->n) : 0;

    for (int64_t c = j->c0; c < j->c0 + j->some; c++) {
        double *first = &j->first[et_bn_sum_of(j, 0, c)], *second = &j->second[et_bn_sum_of(j, 0, c)];
        for (int64_t r = 1; r < j->rows; r++) {
            *first += j->first[et_bn_sum_of(j, r, c)];
            *second += j->second[et_bn_sum_of(j, r, c)];
        }
        if (j->flat) /* the kernel's differences are from the rounded mean */
            *second += rounding(n, j, c) * *first;
        const double s = j->norms[c].scale, r = j->stats[2 * c + 1];
        j->coeffs[3 * c] = s;
        j->coeffs[3 * c + 1] = -s * r * r * *second * share;
        j->coeffs[3 * c + 2] = -s * *first * share;
        for (int64_t at = c * j->rows; j->flat && at < (c + 1) * j->rows; at++) {
            et_set_real(n->in[ET_BN_X], j->columns[3], at, s);
            et_set_real(n->in[ET_BN_X], j->columns[4], at, j->coeffs[3 * c + 1]);
            et_set_real(n->in[ET_BN_X], j->columns[5], at,
                        j->coeffs[3 * c + 2] + rounding(n, j, c) * j->coeffs[3 * c + 1]);
        }
    }
}

/* Gradient of the weight (its sums times 1 / deviation) or the bias. */
static et_status give(et_node *n, int i, const et_bn_job *j, const double *sums, bool scaled)
{
    int acc;
    void *g = et_gx(n, i, &acc);

    if (!g)
        return et_error_status();
    for (int64_t c = 0; c < j->channels; c++)
        et_set_real(n->in[i], g, c,
                    sums[et_bn_sum_of(j, 0, c)] * (scaled ? j->stats[2 * c + 1] : 1) +
                        (acc ? et_real_at(n->in[i], g, c) : 0));
    return ET_OK;
}

et_status et_bn_give(et_node *n, const et_bn_job *j)
{
    if ((et_needs(n, ET_BN_GAMMA) && give(n, ET_BN_GAMMA, j, j->second, true)) ||
        (et_needs(n, ET_BN_BETA) && give(n, ET_BN_BETA, j, j->first, false)))
        return et_error_status();
    return ET_OK;
}

et_status et_bn_give_nothing(et_node *n)
{
    for (int i = ET_BN_X; i <= ET_BN_BETA; i++)
        if (et_needs(n, i) && !et_gx_add(n, i))
            return et_error_status();
    return ET_OK;
}

unsigned et_bn_saves(const et_node *n)
{
    return ET_SAVE_IN(ET_BN_X) | (n->in[ET_BN_GAMMA] ? ET_SAVE_IN(ET_BN_GAMMA) : 0u) |
           (n->in[ET_BN_BETA] && ET_ATTR(n, et_bn_attr)->relu ? ET_SAVE_IN(ET_BN_BETA) : 0u);
}
