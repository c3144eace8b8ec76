/* Batch normalisation. */
#include "config.h"

#include "autograd/batch_norm.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

static et_status bn_shape(et_node *n)
{
    return et_bn_check(n) ? et_error_status() : et_out_like(n, 0, ET_BN_X);
}

static void flat_apply(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;
    const void *const norm[] = {et_bn_column(j, j->columns[0], lo), et_bn_column(j, j->columns[1], lo),
                                et_bn_column(j, j->columns[2], lo)};

    j->k->cols_apply(j->n, hi - lo, et_bn_column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu,
                     j->y + (j->c0 * j->rows + lo) * j->size);
}

static void flat_sums(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;
    const void *const norm[] = {et_bn_column(j, j->columns[0], lo), et_bn_column(j, j->columns[1], lo),
                                et_bn_column(j, j->columns[2], lo)};

    j->k->cols_sums(j->n, hi - lo, et_bn_column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu,
                    et_bn_column(j, j->gy, lo), j->first + j->c0 * j->rows + lo,
                    j->second + j->c0 * j->rows + lo);
}

static void flat_bwd(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;
    const void *const norm[] = {et_bn_column(j, j->columns[0], lo), et_bn_column(j, j->columns[1], lo),
                                et_bn_column(j, j->columns[2], lo)};
    const void *const coeffs[] = {et_bn_column(j, j->columns[3], lo), et_bn_column(j, j->columns[4], lo),
                                  et_bn_column(j, j->columns[5], lo)};

    j->k->cols_bwd(j->n, hi - lo, et_bn_column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu,
                   et_bn_column(j, j->gy, lo), coeffs, j->y + (j->c0 * j->rows + lo) * j->size, j->acc);
}

static void apply_piece(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->norm_apply(j->n, j->x + et_bn_row(j, r), &j->norms[et_bn_channel(j, r)],
                         j->y + et_bn_row(j, r));
}

static et_status bn_fwd(et_node *n)
{
    const void *gamma, *beta;
    void *rm, *rv;
    et_bn_job j;

    if (et_bn_start(n, &j, true))
        return et_error_status();
    if (!n->in[ET_BN_X]->numel)
        return ET_OK;
    et_tensor *stats = et_save_extra(n, 0, ET_F64, ET_SHAPE(j.channels, 2));
    char *y = et_out_data(n, 0);
    j.x = et_contig(n, n->in[ET_BN_X]);
    j.y = y;
    if (!stats || !(j.stats = et_data_mut(stats)) || !j.x || !y || et_bn_affine(n, &gamma, &beta) ||
        et_bn_running(n, &rm, &rv))
        return et_error_status();
    const int64_t step = et_bn_group(&j, 2);
    for (j.c0 = 0; j.c0 < j.channels; j.c0 += step) {
        j.some = j.channels - j.c0 < step ? j.channels - j.c0 : step;
        et_bn_stats(n, &j, rm, rv);
        et_bn_set_norms(n, &j, gamma, beta);
        et_bn_over(&j, 1, apply_piece, flat_apply);
    }
    return ET_OK;
}

/* --- backward --- */

static void sums_piece(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->norm_sums(j->n, j->x + et_bn_row(j, r), &j->norms[et_bn_channel(j, r)], j->gy + et_bn_row(j, r),
                        &j->first[et_bn_sum(j, r)], &j->second[et_bn_sum(j, r)]);
}

static void bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const et_bn_job *j = user;

    for (int64_t r = lo; r < hi; r++) {
        const double *f = j->coeffs + 3 * et_bn_channel(j, r);
        j->k->norm_bwd(j->n, j->x + et_bn_row(j, r), &j->norms[et_bn_channel(j, r)], j->gy + et_bn_row(j, r),
                       f[0], f[1], f[2], j->y + et_bn_row(j, r), j->acc);
    }
}

static et_status bn_bwd(et_node *n)
{
    const void *gamma, *beta;
    char *dx = NULL;
    et_bn_job j;

    if (!n->in[ET_BN_X]->numel)
        return et_bn_give_nothing(n);
    if (et_bn_start(n, &j, true) || et_bn_affine(n, &gamma, &beta))
        return et_error_status();
    j.coeffs = et_scratch(n, (size_t)(3 * j.channels) * sizeof(double));
    j.stats = et_data_mut(n->saved[0]);
    j.x = et_contig(n, n->in[ET_BN_X]);
    j.gy = et_gy_data(n, 0);
    if (!j.coeffs || !j.stats || !j.x || !j.gy)
        return et_error_status();
    if (et_needs(n, ET_BN_X)) {
        j.y = dx = et_gx_inplace(n, ET_BN_X, &j.acc);
        if (!dx)
            return et_error_status();
    }
    const int64_t step = et_bn_group(&j, 3);
    for (j.c0 = 0; j.c0 < j.channels; j.c0 += step) {
        j.some = j.channels - j.c0 < step ? j.channels - j.c0 : step;
        et_bn_set_norms(n, &j, gamma, beta);
        et_bn_over(&j, 2, sums_piece, flat_sums);
        et_bn_join(n, &j);
        if (dx)
            et_bn_over(&j, 2, bwd_piece, flat_bwd);
    }
    return et_bn_give(n, &j);
}

/* --- samples --- */

/* Shifts far enough from zero that no output is near the kink. */
static et_tensor *norm_relu(et_tensor *const *in)
{
    const double shift[] = {8, -8, 8};
    et_tensor *far = et_mul_scalar(in[2], 1); /* NULL where no scope would own the shifts */

    far = far ? et_add(far, et_to(et_from(ET_F64, ET_SHAPE(3), shift), far->dtype)) : NULL;

    return et_batch_norm_relu(in[0], NULL, NULL, in[1], far, true, 0.1, 1e-5);
}

/* Every second row on the other side of a mean near zero: the scale decides what passes. */
static et_tensor *norm_halves(et_tensor *const *in)
{
    const double sides[] = {6, -6, 6, -6};
    et_tensor *scale = et_add_scalar(in[1], 8);
    et_tensor *x = scale ? et_add(in[0], et_to(et_from(ET_F64, ET_SHAPE(4, 1), sides), scale->dtype)) : NULL;

    return et_batch_norm_relu(x, NULL, NULL, scale, in[2], true, 0.1, 1e-5);
}

/* Numbers whose sums float32 holds, but not their means. */
static et_tensor *norm_far(et_tensor *const *in)
{
    double far[2 * 3 * 35];
    et_tensor *x = et_mul_scalar(in[0], 1); /* NULL where no scope would own the numbers */

    for (int i = 0; i < 2 * 3 * 35; i++)
        far[i] = 4096 + i * 7 % 9 * 0.25;
    x = x ? et_add(x, et_to(et_from(ET_F64, ET_SHAPE(2, 3, 35), far), x->dtype)) : NULL;
    return et_batch_norm(x, NULL, NULL, in[1], in[2], true, 0.1, 1e-5);
}

ET_CALL(bn_far, norm_far(in))
ET_CALL(bn_affine, et_batch_norm(in[0], NULL, NULL, in[1], in[2], true, 0.1, 1e-5))
ET_CALL(bn_plain, et_batch_norm(in[0], NULL, NULL, NULL, NULL, true, 0.1, 1e-3))
ET_CALL(bn_eval, et_batch_norm(in[0], in[1], in[2], in[3], in[4], false, 0.1, 1e-5))
ET_CALL(bn_axis, et_batch_norm_axis(in[0], -1, NULL, NULL, in[1], in[2], true, 0.1, 1e-5))
ET_CALL(bn_relu, norm_relu(in))
ET_CALL(bn_halves, norm_halves(in))

#define VAR(n) {.ndim = 1, .shape = {n}, .lo = 0.5, .hi = 2, .kind = ET_ARG_CONST}
#define MEAN(n) {.ndim = 1, .shape = {n}, .kind = ET_ARG_CONST}
static const et_sample bn_samples[] = {
    {.name = "images", .n_in = 3, .in = {{4, {2, 3, 4, 5}}, {1, {3}}, {1, {3}}}, .call = bn_affine},
    {.name = "short sequences", .n_in = 3, .in = {{3, {4, 7, 3}}, {1, {7}}, {1, {7}}}, .call = bn_affine},
    {.name = "sequences past a vector", .n_in = 3, .in = {{3, {3, 2, 37}}, {1, {2}}, {1, {2}}},
     .call = bn_affine},
    {.name = "vectors", .n_in = 3, .in = {{2, {9, 5}}, {1, {5}}, {1, {5}}}, .call = bn_affine},
    {.name = "far from zero", .n_in = 3, .in = {{3, {2, 3, 35}, -1e-6, 1e-6}, {1, {3}}, {1, {3}}},
     .call = bn_far},
    {.name = "last axis", .n_in = 3, .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}}, .call = bn_axis},
    {.name = "one sample", .n_in = 3, .in = {{3, {1, 3, 6}}, {1, {3}}, {1, {3}}}, .call = bn_affine},
    {.name = "past a block", .n_in = 3, .in = {{3, {1, 1, 4100}}, {1, {1}}, {1, {1}}}, .call = bn_affine},
    {.name = "plain", .n_in = 1, .in = {{3, {4, 3, 2}}}, .call = bn_plain},
    {.name = "evaluation", .n_in = 5, .in = {{3, {2, 3, 4}}, MEAN(3), VAR(3), {1, {3}}, {1, {3}}},
     .call = bn_eval},
    {.name = "evaluation of vectors", .n_in = 5, .in = {{2, {4, 3}}, MEAN(3), VAR(3), {1, {3}}, {1, {3}}},
     .call = bn_eval},
    {.name = "empty", .n_in = 3, .in = {{3, {0, 3, 4}}, {1, {3}}, {1, {3}}}, .call = bn_affine},
};
const et_op et_op_batch_norm = {
    .name = "batch_norm", .args = "r r? r? r? r?", .n_out = 1, .flags = ET_OP_ONCE, .saves_for = et_bn_saves,
    .shape = bn_shape, .fwd = bn_fwd, .bwd = bn_bwd, ET_SAMPLES(bn_samples),
};

/** Batch normalisation (Ioffe and Szegedy 2015) over the batch and all axes but the second.
 *
 *    y = (x - mean) / sqrt(var + eps) * weight + bias
 *
 *  x [B, C, ..]; running_mean, running_var, weight, bias [C], or NULL for none. In training, mean and var
 *  (biased) are those of x, and running_mean and running_var, where given, move towards them by `momentum`
 *  (var unbiased):
 *
 *    running = (1 - momentum) running + momentum batch
 *
 *  In evaluation they are used instead and stay as they are.
 *  Errors: ESHAPE, also for one value a channel in training; EINVAL for eps, momentum, missing running
 *  statistics in evaluation. Can be differentiated once. */
et_tensor *(et_batch_norm)(et_tensor *x, et_tensor *running_mean, et_tensor *running_var, et_tensor *weight,
                           et_tensor *bias, bool training, double momentum, double eps)
{
    et_bn_attr a = {1, training, false, momentum, eps, 1, 1};

    return et_apply1(&et_op_batch_norm, 5, (et_tensor *const[]){x, running_mean, running_var, weight, bias},
                     &a, sizeof a);
}

static const et_sample bn_relu_samples[] = {
    {.name = "images", .n_in = 3, .in = {{4, {2, 3, 4, 5}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "vectors", .n_in = 3, .in = {{2, {9, 3}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "sequences", .n_in = 3, .in = {{3, {2, 3, 35}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "half of the vectors", .n_in = 3, .in = {{2, {4, 5}}, {1, {5}}, {1, {5}}}, .call = bn_halves},
};
const et_op et_op_batch_norm_relu = {
    .name = "batch_norm_relu", .args = "r r? r? r? r?", .n_out = 1, .flags = ET_OP_ONCE | ET_OP_KINK,
    .saves_for = et_bn_saves, .shape = bn_shape, .fwd = bn_fwd, .bwd = bn_bwd, ET_SAMPLES(bn_relu_samples),
};

/** relu(et_batch_norm(..)) in one pass over the data, which backward reads x alone for. */
et_tensor *(et_batch_norm_relu)(et_tensor *x, et_tensor *running_mean, et_tensor *running_var,
                                et_tensor *weight, et_tensor *bias, bool training, double momentum,
                                double eps)
{
    et_bn_attr a = {1, training, true, momentum, eps, 1, 1};

    return et_apply1(&et_op_batch_norm_relu, 5,
                     (et_tensor *const[]){x, running_mean, running_var, weight, bias}, &a, sizeof a);
}

static const et_sample bn_axis_samples[] = {
    {.name = "last axis", .n_in = 3, .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}}, .call = bn_axis},
};
const et_op et_op_batch_norm_axis = {.name = "batch_norm_axis", .args = "r r? r?", .flags = ET_OP_ONCE,
                                     .n_out = 1, ET_SAMPLES(bn_axis_samples)};

/** et_batch_norm with the channels along `axis` (from the end when negative). */
et_tensor *(et_batch_norm_axis)(et_tensor *x, int axis, et_tensor *running_mean, et_tensor *running_var,
                                et_tensor *weight, et_tensor *bias, bool training, double momentum,
                                double eps)
{
    et_bn_attr a = {axis, training, false, momentum, eps, 1, 1};

    return et_apply1(&et_op_batch_norm, 5, (et_tensor *const[]){x, running_mean, running_var, weight, bias},
                     &a, sizeof a);
}
