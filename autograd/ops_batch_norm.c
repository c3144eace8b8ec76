/* Batch normalisation. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    int axis;
    bool training, relu;
    double momentum, eps;
} bn_attr;

enum { X, RUNNING_MEAN, RUNNING_VAR, GAMMA, BETA };

/* x is [outer, channels, inner]. Rows are the runs of one channel: element (o, c, i) at
 * o ldo + c ldc + i. Where inner is small (flat), rows are columns of x as a matrix [outer, channels inner]: column c inner + i
 * is row i of channel c. */
typedef struct {
    const et_kernels *k;
    int64_t outer, channels, inner, size;
    int64_t rows, n, ldo, ldc; /* rows a channel and elements a row */
    bool flat;
    const char *x, *gy;
    char *y;
    double *first, *second; /* [rows, channels] partial sums; flat: [channels, rows] */
    double *stats;          /* [channels, 2] mean, 1 / standard deviation */
    et_norm *norms;         /* [channels] */
    char *columns[6];       /* flat: [channels rows] reals each: mean, scale, shift; a, b, c of cols_bwd */
    double *coeffs;         /* [channels, 3] of norm_bwd */
    int64_t c0, some;       /* the group of channels in hand */
    int acc;
} bn_job;

enum { FLAT = 16 };            /* rows up to this length are shorter than what a call for each is worth */
enum { GROUP_BYTES = 2 << 20 }; /* both passes go over so much at a time: the second finds it in a cache */

static et_status bn_shape(et_node *n)
{
    bn_attr *a = n->attr;
    const et_tensor *x = n->in[X];
    const char *names[] = {"x", "running_mean", "running_var", "weight", "bias"};

    if (x->ndim < 2)
        return et_op_raise(n, ET_ESHAPE, "x is %s, expected [batch, channels, ..]", et_shape_str(x));
    if (et_op_dim(n, x->ndim, a->axis, &a->axis))
        return ET_EINVAL;
    const int64_t channels = x->shape[a->axis];
    for (int i = 1; i < 5; i++)
        if (n->in[i] && (n->in[i]->ndim != 1 || n->in[i]->shape[0] != channels))
            return et_op_raise(n, ET_ESHAPE, "%s is %s, expected [%lld] for x %s", names[i], et_shape_str(n->in[i]),
                               (long long)channels, et_shape_str(x));
    if (!(a->eps > 0))
        return et_op_raise(n, ET_EINVAL, "eps is %g, expected a positive number", a->eps);
    if (!(a->momentum >= 0 && a->momentum <= 1))
        return et_op_raise(n, ET_EINVAL, "momentum is %g, expected 0 to 1", a->momentum);
    if (!n->in[RUNNING_MEAN] != !n->in[RUNNING_VAR])
        return et_op_raise(n, ET_EINVAL, "one running statistic without the other");
    if (!a->training && !n->in[RUNNING_MEAN])
        return et_op_raise(n, ET_EINVAL, "evaluation needs running statistics");
    for (int i = RUNNING_MEAN; n->in[RUNNING_MEAN] && i <= RUNNING_VAR; i++) {
        if (n->needs[i])
            return et_op_raise(n, ET_EINVAL, "%s cannot get a gradient", names[i]);
        if (a->training && !et_is_contiguous(n->in[i]))
            return et_op_raise(n, ET_EINVAL, "%s is not contiguous, it cannot be updated", names[i]);
    }
    if (a->training && channels && x->numel / channels == 1)
        return et_op_raise(n, ET_ESHAPE, "x %s has one value a channel, which has no variance", et_shape_str(x));
    return et_out_like(n, 0, X);
}

static et_status start(et_node *n, bn_job *j)
{
    const bn_attr *a = ET_ATTR(n, bn_attr);
    const et_tensor *x = n->in[X];

    *j = (bn_job){.k = et_k(n), .outer = 1, .channels = x->shape[a->axis], .inner = 1,
                  .size = (int64_t)et_dtype_size(x->dtype)};
    for (int d = 0; d < a->axis; d++)
        j->outer *= x->shape[d];
    for (int d = a->axis + 1; d < x->ndim; d++)
        j->inner *= x->shape[d];
    j->flat = j->inner <= FLAT && j->outer > 1;
    j->rows = j->flat ? j->inner : j->outer;
    j->n = j->flat ? j->outer : j->inner;
    j->ldc = j->inner;
    j->ldo = j->channels * j->ldc;
    for (int i = 0; i < 6 && j->flat; i++)
        if (!(j->columns[i] = et_scratch(n, (size_t)(j->channels * j->rows * j->size))))
            return et_error_status();
    j->first = et_scratch(n, (size_t)((j->rows + 1) * j->channels) * sizeof(double)); /* one row even where none is */
    j->second = et_scratch(n, (size_t)((j->rows + 1) * j->channels) * sizeof(double));
    j->norms = et_scratch(n, (size_t)j->channels * sizeof(et_norm));
    return j->first && j->second && j->norms ? ET_OK : et_error_status();
}

/* Channels of a group, each with `tensors` arrays; depends on sizes alone, and the bits do not depend on it. */
static int64_t group(const bn_job *j, int64_t tensors)
{
    const int64_t bytes = j->rows * j->n * j->size * tensors, fit = GROUP_BYTES / (bytes ? bytes : 1);

    return fit < 1 ? 1 : fit < j->channels ? fit : j->channels;
}

/* Row r of the group is that of channel c0 + r % some. */
static int64_t channel_of(const bn_job *j, int64_t r) { return j->c0 + r % j->some; }

static int64_t row_at(const bn_job *j, int64_t r)
{
    return (r / j->some * j->ldo + channel_of(j, r) * j->ldc) * j->size;
}

/* Where the sums of row r of channel c are. */
static int64_t sum_of(const bn_job *j, int64_t r, int64_t c) { return j->flat ? c * j->rows + r : r * j->channels + c; }

/* The same for row r of the group. */
static int64_t sum_at(const bn_job *j, int64_t r) { return sum_of(j, r / j->some, channel_of(j, r)); }

/* Rows of the group go to `piece`, or where they are columns, to `flat`. */
static void over(bn_job *j, int64_t cost, void (*piece)(int64_t lo, int64_t hi, void *user),
                 void (*flat)(int64_t lo, int64_t hi, void *user))
{
    enum { WIDE = 64 }; /* columns, so that threads do not meet in a line of memory */

    if (j->flat)
        et_parallel_for(j->some * j->rows, (ET_GRAIN_ELEMS / (cost * j->n) / WIDE + 1) * WIDE, flat, j);
    else
        et_parallel_for(j->rows * j->some, et_row_grain(j->rows * j->some, cost * j->n), piece, j);
}

/* Column lo of the group in an array that begins at p. */
static const char *column(const bn_job *j, const char *p, int64_t lo) { return p + (j->c0 * j->rows + lo) * j->size; }

static void flat_moments(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;

    j->k->cols_moments(j->n, hi - lo, column(j, j->x, lo), j->ldo, j->first + j->c0 * j->rows + lo,
                       j->second + j->c0 * j->rows + lo);
}

static void flat_apply(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;
    const void *const norm[] = {column(j, j->columns[0], lo), column(j, j->columns[1], lo),
                                column(j, j->columns[2], lo)};

    j->k->cols_apply(j->n, hi - lo, column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu,
                     j->y + (j->c0 * j->rows + lo) * j->size);
}

static void flat_sums(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;
    const void *const norm[] = {column(j, j->columns[0], lo), column(j, j->columns[1], lo),
                                column(j, j->columns[2], lo)};

    j->k->cols_sums(j->n, hi - lo, column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu, column(j, j->gy, lo),
                    j->first + j->c0 * j->rows + lo, j->second + j->c0 * j->rows + lo);
}

static void flat_bwd(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;
    const void *const norm[] = {column(j, j->columns[0], lo), column(j, j->columns[1], lo),
                                column(j, j->columns[2], lo)};
    const void *const coeffs[] = {column(j, j->columns[3], lo), column(j, j->columns[4], lo),
                                  column(j, j->columns[5], lo)};

    j->k->cols_bwd(j->n, hi - lo, column(j, j->x, lo), j->ldo, norm, j->norms[j->c0].relu, column(j, j->gy, lo),
                   coeffs, j->y + (j->c0 * j->rows + lo) * j->size, j->acc);
}

static void moments_piece(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->moments(j->n, j->x + row_at(j, r), &j->first[sum_at(j, r)], &j->second[sum_at(j, r)]);
}

static void apply_piece(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->norm_apply(j->n, j->x + row_at(j, r), &j->norms[channel_of(j, r)], j->y + row_at(j, r));
}

static double element(const et_tensor *t, const void *p, int64_t i)
{
    return t->dtype == ET_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put(const et_tensor *t, void *p, int64_t i, double v)
{
    if (t->dtype == ET_F64)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

/* Mean and deviation of the group's channels from their rows', joined in order; running statistics follow. */
static void batch_stats(et_node *n, bn_job *j, void *rm, void *rv)
{
    const bn_attr *a = ET_ATTR(n, bn_attr);
    const double count = (double)(j->rows * j->n);
    const et_tensor *run_mean = n->in[RUNNING_MEAN], *run_var = n->in[RUNNING_VAR];

    over(j, 2, moments_piece, flat_moments);
    for (int64_t c = j->c0; c < j->c0 + j->some; c++) {
        double mean = 0, m2 = 0;
        for (int64_t r = 0; r < j->rows; r++) { /* Chan, Golub and LeVeque 1979 */
            const double delta = j->first[sum_of(j, r, c)] - mean, share = 1 / (double)(r + 1);
            mean += delta * share;
            m2 += j->second[sum_of(j, r, c)] + delta * delta * share * (double)r * (double)j->n;
        }
        j->stats[2 * c] = mean;
        j->stats[2 * c + 1] = 1 / sqrt(m2 / count + a->eps);
        if (run_mean) {
            const double m = element(run_mean, rm, c), v = element(run_var, rv, c);
            put(run_mean, rm, c, m + a->momentum * (mean - m));
            put(run_var, rv, c, v + a->momentum * (m2 / (count - 1) - v));
        }
    }
}

/* What rounding to a real has added to the mean of a flat channel. */
static double rounding(const et_node *n, const bn_job *j, int64_t c)
{
    return element(n->in[X], j->columns[0], c * j->rows) - j->norms[c].mean;
}

/* Scale and shift of the group's channels. */
static void set_norms(const et_node *n, bn_job *j, const void *gamma, const void *beta)
{
    for (int64_t c = j->c0; c < j->c0 + j->some; c++)
        j->norms[c] = (et_norm){.mean = j->stats[2 * c],
                                .scale = j->stats[2 * c + 1] * (gamma ? element(n->in[GAMMA], gamma, c) : 1),
                                .shift = beta ? element(n->in[BETA], beta, c) : 0,
                                .relu = ET_ATTR(n, bn_attr)->relu};
    for (int64_t c = j->c0; j->flat && c < j->c0 + j->some; c++) {
        const et_norm *norm = &j->norms[c];
        for (int64_t at = c * j->rows; at < (c + 1) * j->rows; at++) {
            put(n->in[X], j->columns[0], at, norm->mean);
            put(n->in[X], j->columns[1], at, norm->scale);
            put(n->in[X], j->columns[2], at, norm->shift + rounding(n, j, c) * norm->scale);
        }
    }
}

/* Weight and bias, NULL where there is none. */
static et_status affine(et_node *n, const void **gamma, const void **beta)
{
    *gamma = n->in[GAMMA] ? et_contig(n, n->in[GAMMA]) : NULL;
    *beta = n->in[BETA] ? et_contig(n, n->in[BETA]) : NULL;
    return (n->in[GAMMA] && !*gamma) || (n->in[BETA] && !*beta) ? et_error_status() : ET_OK;
}

/* The running statistics: to be written in training, else read. */
static et_status running(et_node *n, void **mean, void **var)
{
    const bool training = ET_ATTR(n, bn_attr)->training;
    void **to[] = {mean, var};

    for (int i = 0; i < 2; i++) {
        et_tensor *t = n->in[RUNNING_MEAN + i];
        *to[i] = !t ? NULL : training ? et_data_mut(t) : (void *)(uintptr_t)et_contig(n, t);
        if (t && !*to[i])
            return et_error_status();
    }
    return ET_OK;
}

static et_status bn_fwd(et_node *n)
{
    const bn_attr *a = ET_ATTR(n, bn_attr);
    const void *gamma, *beta;
    void *rm, *rv;
    bn_job j;

    if (start(n, &j))
        return et_error_status();
    if (!n->in[X]->numel)
        return ET_OK;
    et_tensor *stats = et_save_extra(n, 0, ET_F64, ET_SHAPE(j.channels, 2));
    char *y = et_out_data(n, 0);
    j.x = et_contig(n, n->in[X]);
    j.y = y;
    if (!stats || !(j.stats = et_data_mut(stats)) || !j.x || !y || affine(n, &gamma, &beta) ||
        running(n, &rm, &rv))
        return et_error_status();
    const int64_t step = group(&j, 2);
    for (j.c0 = 0; j.c0 < j.channels; j.c0 += step) {
        j.some = j.channels - j.c0 < step ? j.channels - j.c0 : step;
        if (a->training)
            batch_stats(n, &j, rm, rv);
        else
            for (int64_t c = j.c0; c < j.c0 + j.some; c++) {
                j.stats[2 * c] = element(n->in[RUNNING_MEAN], rm, c);
                j.stats[2 * c + 1] = 1 / sqrt(element(n->in[RUNNING_VAR], rv, c) + a->eps);
            }
        set_norms(n, &j, gamma, beta);
        over(&j, 1, apply_piece, flat_apply);
    }
    return ET_OK;
}

/* --- backward --- */

static void sums_piece(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;

    for (int64_t r = lo; r < hi; r++)
        j->k->norm_sums(j->n, j->x + row_at(j, r), &j->norms[channel_of(j, r)], j->gy + row_at(j, r),
                        &j->first[sum_at(j, r)], &j->second[sum_at(j, r)]);
}

static void bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const bn_job *j = user;

    for (int64_t r = lo; r < hi; r++) {
        const double *f = j->coeffs + 3 * channel_of(j, r);
        j->k->norm_bwd(j->n, j->x + row_at(j, r), &j->norms[channel_of(j, r)], j->gy + row_at(j, r), f[0], f[1], f[2],
                       j->y + row_at(j, r), j->acc);
    }
}

/* Sums over the rows of each channel, in order, into the first row's place; and what they make of
 * dx = scale (g - mean(g) - (x - mean) rstd^2 mean(g (x - mean))), in evaluation scale g. */
static void join_sums(const et_node *n, const bn_job *j, bool training)
{
    const double share = training ? 1 / (double)(j->rows * j->n) : 0;

    for (int64_t c = j->c0; c < j->c0 + j->some; c++) {
        double *first = &j->first[sum_of(j, 0, c)], *second = &j->second[sum_of(j, 0, c)];
        for (int64_t r = 1; r < j->rows; r++) {
            *first += j->first[sum_of(j, r, c)];
            *second += j->second[sum_of(j, r, c)];
        }
        if (j->flat) /* the kernel's differences are from the rounded mean */
            *second += rounding(n, j, c) * *first;
        const double s = j->norms[c].scale, r = j->stats[2 * c + 1];
        j->coeffs[3 * c] = s;
        j->coeffs[3 * c + 1] = -s * r * r * *second * share;
        j->coeffs[3 * c + 2] = -s * *first * share;
        for (int64_t at = c * j->rows; j->flat && at < (c + 1) * j->rows; at++) {
            put(n->in[X], j->columns[3], at, s);
            put(n->in[X], j->columns[4], at, j->coeffs[3 * c + 1]);
            put(n->in[X], j->columns[5], at, j->coeffs[3 * c + 2] + rounding(n, j, c) * j->coeffs[3 * c + 1]);
        }
    }
}

/* Gradient of the weight (its sums times 1 / deviation) or the bias. */
static et_status give(et_node *n, int i, const bn_job *j, const double *sums, bool scaled)
{
    int acc;
    void *g = et_gx(n, i, &acc);

    if (!g)
        return et_error_status();
    for (int64_t c = 0; c < j->channels; c++)
        put(n->in[i], g, c, sums[sum_of(j, 0, c)] * (scaled ? j->stats[2 * c + 1] : 1) + (acc ? element(n->in[i], g, c) : 0));
    return ET_OK;
}

/* Without elements the sums are zero. */
static et_status empty_bwd(et_node *n)
{
    for (int i = GAMMA; i <= BETA; i++)
        if (et_needs(n, i) && !et_gx_add(n, i))
            return et_error_status();
    return ET_OK;
}

static et_status bn_bwd(et_node *n)
{
    const bn_attr *a = ET_ATTR(n, bn_attr);
    const void *gamma, *beta;
    char *dx = NULL;
    bn_job j;

    if (!n->in[X]->numel)
        return empty_bwd(n);
    if (start(n, &j) || affine(n, &gamma, &beta))
        return et_error_status();
    j.coeffs = et_scratch(n, (size_t)(3 * j.channels) * sizeof(double));
    j.stats = et_data_mut(n->saved[0]);
    j.x = et_contig(n, n->in[X]);
    j.gy = et_gy_data(n, 0);
    if (!j.coeffs || !j.stats || !j.x || !j.gy)
        return et_error_status();
    if (et_needs(n, X)) {
        j.y = dx = et_gx_inplace(n, X, &j.acc);
        if (!dx)
            return et_error_status();
    }
    const int64_t step = group(&j, 3);
    for (j.c0 = 0; j.c0 < j.channels; j.c0 += step) {
        j.some = j.channels - j.c0 < step ? j.channels - j.c0 : step;
        set_norms(n, &j, gamma, beta);
        over(&j, 2, sums_piece, flat_sums);
        join_sums(n, &j, a->training);
        if (dx)
            over(&j, 2, bwd_piece, flat_bwd);
    }
    if ((et_needs(n, GAMMA) && give(n, GAMMA, &j, j.second, true)) ||
        (et_needs(n, BETA) && give(n, BETA, &j, j.first, false)))
        return et_error_status();
    return ET_OK;
}

static unsigned bn_saves(const et_node *n)
{
    return ET_SAVE_IN(X) | (n->in[GAMMA] ? ET_SAVE_IN(GAMMA) : 0u) |
           (n->in[BETA] && ET_ATTR(n, bn_attr)->relu ? ET_SAVE_IN(BETA) : 0u);
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
    {.name = "sequences past a vector", .n_in = 3, .in = {{3, {3, 2, 37}}, {1, {2}}, {1, {2}}}, .call = bn_affine},
    {.name = "vectors", .n_in = 3, .in = {{2, {9, 5}}, {1, {5}}, {1, {5}}}, .call = bn_affine},
    {.name = "last axis", .n_in = 3, .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}}, .call = bn_axis},
    {.name = "one sample", .n_in = 3, .in = {{3, {1, 3, 6}}, {1, {3}}, {1, {3}}}, .call = bn_affine},
    {.name = "past a block", .n_in = 3, .in = {{3, {1, 1, 4100}}, {1, {1}}, {1, {1}}}, .call = bn_affine},
    {.name = "plain", .n_in = 1, .in = {{3, {4, 3, 2}}}, .call = bn_plain},
    {.name = "evaluation", .n_in = 5, .in = {{3, {2, 3, 4}}, MEAN(3), VAR(3), {1, {3}}, {1, {3}}}, .call = bn_eval},
    {.name = "evaluation of vectors", .n_in = 5, .in = {{2, {4, 3}}, MEAN(3), VAR(3), {1, {3}}, {1, {3}}},
     .call = bn_eval},
    {.name = "empty", .n_in = 3, .in = {{3, {0, 3, 4}}, {1, {3}}, {1, {3}}}, .call = bn_affine},
};
const et_op et_op_batch_norm = {
    .name = "batch_norm", .args = "r r? r? r? r?", .n_out = 1, .flags = ET_OP_ONCE, .saves_for = bn_saves,
    .shape = bn_shape, .fwd = bn_fwd, .bwd = bn_bwd, ET_SAMPLES(bn_samples),
};

/** Batch normalisation (Ioffe and Szegedy 2015) over the batch and all axes but the second.
 *
 *    y = (x - mean) / sqrt(var + eps) * weight + bias
 *
 *  x [B, C, ..]; running_mean, running_var, weight, bias [C], or NULL for none. In training, mean and var (biased)
 *  are those of x, and running_mean and running_var, where given, move towards them by `momentum` (var unbiased):
 *  running = (1 - momentum) running + momentum batch. In evaluation they are used instead and stay as they are.
 *  Errors: ESHAPE, also for one value a channel in training; EINVAL for eps, momentum, missing running
 *  statistics in evaluation. Can be differentiated once. */
et_tensor *(et_batch_norm)(et_tensor *x, et_tensor *running_mean, et_tensor *running_var, et_tensor *weight,
                           et_tensor *bias, bool training, double momentum, double eps)
{
    const bn_attr a = {1, training, false, momentum, eps};

    return et_apply1(&et_op_batch_norm, 5, (et_tensor *const[]){x, running_mean, running_var, weight, bias}, &a,
                     sizeof a);
}

static const et_sample bn_relu_samples[] = {
    {.name = "images", .n_in = 3, .in = {{4, {2, 3, 4, 5}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "vectors", .n_in = 3, .in = {{2, {9, 3}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "sequences", .n_in = 3, .in = {{3, {2, 3, 35}}, {1, {3}}, {1, {3}}}, .call = bn_relu},
    {.name = "half of the vectors", .n_in = 3, .in = {{2, {4, 5}}, {1, {5}}, {1, {5}}}, .call = bn_halves},
};
const et_op et_op_batch_norm_relu = {
    .name = "batch_norm_relu", .args = "r r? r? r? r?", .n_out = 1, .flags = ET_OP_ONCE | ET_OP_KINK,
    .saves_for = bn_saves, .shape = bn_shape, .fwd = bn_fwd, .bwd = bn_bwd, ET_SAMPLES(bn_relu_samples),
};

/** relu(et_batch_norm(..)) in one pass over the data, which backward reads x alone for. */
et_tensor *(et_batch_norm_relu)(et_tensor *x, et_tensor *running_mean, et_tensor *running_var, et_tensor *weight,
                                et_tensor *bias, bool training, double momentum, double eps)
{
    const bn_attr a = {1, training, true, momentum, eps};

    return et_apply1(&et_op_batch_norm_relu, 5, (et_tensor *const[]){x, running_mean, running_var, weight, bias}, &a,
                     sizeof a);
}

static const et_sample bn_axis_samples[] = {
    {.name = "last axis", .n_in = 3, .in = {{3, {2, 7, 3}}, {1, {3}}, {1, {3}}}, .call = bn_axis},
};
const et_op et_op_batch_norm_axis = {.name = "batch_norm_axis", .args = "r r? r?", .flags = ET_OP_ONCE, .n_out = 1,
                                     ET_SAMPLES(bn_axis_samples)};

/** et_batch_norm with the channels along `axis` (from the end when negative). */
et_tensor *(et_batch_norm_axis)(et_tensor *x, int axis, et_tensor *running_mean, et_tensor *running_var,
                                et_tensor *weight, et_tensor *bias, bool training, double momentum, double eps)
{
    const bn_attr a = {axis, training, false, momentum, eps};

    return et_apply1(&et_op_batch_norm, 5, (et_tensor *const[]){x, running_mean, running_var, weight, bias}, &a,
                     sizeof a);
}
