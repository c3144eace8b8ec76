/* Normalisation over the last dimension. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

enum { SHARDS = 16 }; /* of the rows, for sums over them: a fixed number, added in order */

typedef struct {
    double eps;
} norm_attr;

typedef struct {
    const et_kernels *k;
    const char *x, *gamma, *beta, *gy;
    char *y, *mean, *rstd, *dgamma, *dbeta;
    int64_t rows, cols, shard;
    double eps;
    size_t size;
    int acc;
    bool again; /* mean and rstd are read */
} norm_job;

static void start(const et_node *n, norm_job *j)
{
    const et_tensor *x = n->in[0];

    *j = (norm_job){.k = et_k(n), .eps = ET_ATTR(n, norm_attr)->eps, .size = et_dtype_size(x->dtype)};
    j->cols = x->shape[x->ndim - 1];
    j->rows = j->cols ? x->numel / j->cols : 0;
    j->shard = ceil_div(j->rows, SHARDS);
}

static et_status norm_shape(et_node *n)
{
    const et_tensor *x = n->in[0];
    const char *names[] = {"x", "gamma", "beta"};

    if (x->ndim < 1)
        return et_op_raise(n, ET_ESHAPE, "a scalar has no last dimension");
    for (int i = 1; i < 3; i++)
        if (n->in[i] && (n->in[i]->ndim != 1 || n->in[i]->shape[0] != x->shape[x->ndim - 1]))
            return et_op_raise(n, ET_ESHAPE, "%s is %s, expected [%lld] for x %s", names[i],
                               et_shape_str(n->in[i]), (long long)x->shape[x->ndim - 1], et_shape_str(x));
    if (!(ET_ATTR(n, norm_attr)->eps > 0))
        return et_op_raise(n, ET_EINVAL, "eps is %g, expected a positive number", ET_ATTR(n, norm_attr)->eps);
    return et_out_like(n, 0, 0);
}

static void norm_piece(int64_t lo, int64_t hi, void *user)
{
    const norm_job *j = user;
    size_t at = (size_t)(lo * j->cols) * j->size, row = (size_t)lo * j->size;

    if (j->again)
        j->k->layer_norm_again(hi - lo, j->cols, j->x + at, j->gamma, j->beta, j->mean + row, j->rstd + row,
                               j->y + at);
    else
        j->k->layer_norm(hi - lo, j->cols, j->x + at, j->gamma, j->beta, j->eps, j->y + at,
                         j->mean ? j->mean + row : NULL, j->rstd ? j->rstd + row : NULL);
}

/* y, and for backward each row's moments; again: from those. */
static et_status norm_into(et_node *n, void *y, bool again)
{
    norm_job j;

    start(n, &j);
    j.x = et_contig(n, n->in[0]);
    j.gamma = n->in[1] ? et_contig(n, n->in[1]) : NULL;
    j.beta = n->in[2] ? et_contig(n, n->in[2]) : NULL;
    j.y = y;
    j.again = again;
    if (!j.x || !j.y || (n->in[1] && !j.gamma) || (n->in[2] && !j.beta))
        return et_error_status();
    if (again) {
        j.mean = et_data_mut(n->saved[0]);
        j.rstd = et_data_mut(n->saved[1]);
        if (!j.mean || !j.rstd)
            return et_error_status();
    } else if (n->recording) {
        et_tensor *mean = et_save_extra(n, 0, n->in[0]->dtype, 1, &j.rows);
        et_tensor *rstd = et_save_extra(n, 1, n->in[0]->dtype, 1, &j.rows);
        if (!mean || !rstd)
            return et_error_status();
        j.mean = et_data_mut(mean);
        j.rstd = et_data_mut(rstd);
    }
    et_parallel_for(j.rows, et_row_grain(j.rows, 4 * j.cols), norm_piece, &j);
    return ET_OK;
}

static et_status norm_fwd(et_node *n)
{
    return norm_into(n, et_out_data(n, 0), false);
}

static et_status norm_remake(et_node *n, void *y) { return norm_into(n, y, true); }

/* One shard of rows: its part of dx, and its own sums for dgamma and dbeta. */
static void norm_bwd_shard(int64_t lo, int64_t hi, void *user)
{
    const norm_job *j = user;

    for (int64_t s = lo; s < hi; s++) {
        int64_t from = s * j->shard, to = from + j->shard < j->rows ? from + j->shard : j->rows;
        size_t at = (size_t)(from * j->cols) * j->size, row = (size_t)from * j->size;
        size_t part = (size_t)(s * j->cols) * j->size;
        if (from >= to)
            continue;
        j->k->layer_norm_bwd(to - from, j->cols, j->x + at, j->gamma, j->mean + row, j->rstd + row,
                             j->gy + at, j->y ? j->y + at : NULL, j->acc, j->dgamma ? j->dgamma + part : NULL,
                             j->dbeta ? j->dbeta + part : NULL);
    }
}

/* [SHARDS, cols] of zeros. */
static char *shard_sums(et_node *n, const norm_job *j)
{
    char *p = et_scratch(n, (size_t)(SHARDS * j->cols) * j->size);

    if (p)
        j->k->fill(SHARDS * j->cols, 0, p);
    return p;
}

static et_status norm_bwd(et_node *n)
{
    norm_job j;
    bool gamma = et_needs(n, 1), beta = et_needs(n, 2);

    start(n, &j);
    if (!n->in[0]->numel && !gamma && !beta)
        return et_gx_add(n, 0) ? ET_OK : et_error_status();
    j.x = et_contig(n, n->in[0]);
    j.gamma = n->in[1] ? et_contig(n, n->in[1]) : NULL;
    j.mean = et_data_mut(n->saved[0]);
    j.rstd = et_data_mut(n->saved[1]);
    j.gy = et_gy_data(n, 0);
    if (!j.x || !j.gy || (n->in[1] && !j.gamma) || (gamma && !(j.dgamma = shard_sums(n, &j))) ||
        (beta && !(j.dbeta = shard_sums(n, &j))))
        return et_error_status();
    if (et_needs(n, 0) && !(j.y = et_gx_inplace(n, 0, &j.acc)))
        return et_error_status();
    et_parallel_for(SHARDS, et_row_grain(SHARDS, 8 * j.shard * j.cols), norm_bwd_shard, &j);
    for (int i = 1; i < 3; i++) {
        int acc;
        if (!et_needs(n, i))
            continue;
        void *g = et_gx(n, i, &acc);
        if (!g)
            return et_error_status();
        j.k->col_sum(SHARDS, j.cols, i == 1 ? j.dgamma : j.dbeta, j.cols, g, acc);
    }
    return ET_OK;
}

/* With z = (x - mean) / sqrt(var + eps) and g = gy gamma:
 * dx = (g - mean(g) - z mean(g z)) / sqrt(var + eps) over the last dimension. */
static et_status norm_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *x = n->in[0], *centred = et_sub(x, et_mean(x, ET_DIMS(-1), true));
    et_tensor *var = et_mean(et_square(centred), ET_DIMS(-1), true);
    et_tensor *rstd = et_rsqrt(et_add_scalar(var, ET_ATTR(n, norm_attr)->eps));
    et_tensor *z = et_mul(centred, rstd);

    if (et_needs(n, 0)) {
        et_tensor *g = n->in[1] ? et_mul(gy[0], n->in[1]) : gy[0];
        et_tensor *along = et_mul(z, et_mean(et_mul(g, z), ET_DIMS(-1), true));
        gx[0] = et_mul(rstd, et_sub(et_sub(g, et_mean(g, ET_DIMS(-1), true)), along));
    }
    if (et_needs(n, 1))
        gx[1] = et_mul(gy[0], z);
    if (et_needs(n, 2))
        gx[2] = gy[0];
    return et_error_status();
}

/* beta is read for the result alone, when it is made again. */
static unsigned norm_saves(const et_node *n)
{
    return ET_SAVE_IN(0) | (n->in[1] ? ET_SAVE_IN(1) : 0u) | (n->in[2] ? ET_SAVE_IN(2) : 0u);
}

ET_CALL(norm_affine, et_layer_norm(in[0], in[1], in[2], 1e-5))
ET_CALL(norm_gain, et_layer_norm(in[0], in[1], NULL, 1e-3))
ET_CALL(norm_shift, et_layer_norm(in[0], NULL, in[1], 1e-3))
ET_CALL(norm_plain, et_layer_norm(in[0], NULL, NULL, 1e-12))
ET_CALL_SCOPED(norm_again, et_square(et_layer_norm(in[0], in[1], in[2], 1e-5)))
static const et_sample layer_norm_samples[] = {
    {.name = "gain and shift", .n_in = 3, .in = {{3, {2, 3, 5}}, {1, {5}}, {1, {5}}}, .call = norm_affine},
    {.name = "past a vector", .n_in = 3, .in = {{2, {4, 19}}, {1, {19}}, {1, {19}}}, .call = norm_affine},
    {.name = "more rows than shards", .n_in = 3, .in = {{2, {37, 3}}, {1, {3}}, {1, {3}}},
     .call = norm_affine},
    {.name = "past a piece", .n_in = 3, .in = {{2, {900, 11}}, {1, {11}}, {1, {11}}}, .call = norm_affine},
    {.name = "past the columns that go together", .n_in = 3, .in = {{2, {2, 1025}}, {1, {1025}}, {1, {1025}}},
     .call = norm_affine},
    {.name = "past a panel of columns", .n_in = 3, .in = {{2, {2, 261}}, {1, {261}}, {1, {261}}},
     .call = norm_affine},
    {.name = "gain alone", .n_in = 2, .in = {{2, {3, 5}}, {1, {5}}}, .call = norm_gain},
    {.name = "shift alone", .n_in = 2, .in = {{2, {3, 5}}, {1, {5}}}, .call = norm_shift},
    {.name = "plain", .n_in = 1, .in = {{2, {3, 6}}}, .call = norm_plain},
    {.name = "made again", .n_in = 3, .in = {{2, {7, 5}}, {1, {5}}, {1, {5}}}, .call = norm_again},
    {.name = "empty", .n_in = 3, .in = {{2, {0, 5}}, {1, {5}}, {1, {5}}}, .call = norm_affine},
};
const et_op et_op_layer_norm = {
    .name = "layer_norm", .args = "r r? r?", .n_out = 1, .saves_for = norm_saves, .shape = norm_shape,
    .fwd = norm_fwd, .remake = norm_remake, .remake_reads = ET_SAVE_IN(0) | ET_SAVE_IN(1) | ET_SAVE_IN(2),
    .bwd = norm_bwd, .bwd_graph = norm_graph, ET_SAMPLES(layer_norm_samples),
};

/** Layer normalisation over the last dimension (Ba, Kiros and Hinton 2016, eq. 3-4).
 *
 *    y = (x - mean) / sqrt(var + eps) * gamma + beta,   var the biased variance
 *
 *  x [..., C]; gamma, beta [C], or NULL for none; eps > 0. */
et_tensor *(et_layer_norm)(et_tensor *x, et_tensor *gamma, et_tensor *beta, double eps)
{
    return et_apply1(&et_op_layer_norm, 3, (et_tensor *const[]){x, gamma, beta}, &(norm_attr){eps},
                     sizeof(norm_attr));
}

/* --- in groups --------------------------------------------------------------------------------- */

ET_CALL(grouped_affine, et_layer_norm_grouped(in[0], 4, in[1], in[2], 1e-3))
ET_CALL(grouped_plain, et_layer_norm_grouped(in[0], 2, NULL, NULL, 1e-3))
static const et_sample grouped_samples[] = {
    {.name = "four gates", .n_in = 3, .in = {{2, {3, 20}}, {1, {20}}, {1, {20}}}, .call = grouped_affine},
    {.name = "plain", .n_in = 1, .in = {{3, {2, 3, 6}}}, .call = grouped_plain},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 6}}}, .call = grouped_plain},
};
const et_op et_op_layer_norm_grouped = {.name = "layer_norm_grouped", .args = "r r? r?", .n_out = 1,
                                        ET_SAMPLES(grouped_samples)};

/** et_layer_norm of each of `groups` equal parts of the last dimension by itself, such as the
 *  gates of a layer-norm LSTM: x [..., groups n]; gamma, beta [groups n], or NULL for none.
 *  ESHAPE where the sizes do not fit. */
et_tensor *(et_layer_norm_grouped)(et_tensor *x, int64_t groups, et_tensor *gamma, et_tensor *beta,
                                   double eps)
{
    int64_t shape[ET_MAX_DIMS + 1];

    if (!x)
        return et_layer_norm(x, gamma, beta, eps);
    const int64_t width = x->ndim ? x->shape[x->ndim - 1] : 0;
    if (x->ndim < 1 || x->ndim == ET_MAX_DIMS || groups < 1 || width % groups ||
        (gamma && gamma->numel != width) || (beta && beta->numel != width)) {
        et_raise_here(ET_ESHAPE, "layer_norm_grouped: x %s in %lld groups, with gamma %s and beta %s",
                      et_shape_str(x), (long long)groups, et_shape_str(gamma), et_shape_str(beta));
        return NULL;
    }
    for (int d = 0; d < x->ndim - 1; d++)
        shape[d] = x->shape[d];
    shape[x->ndim - 1] = groups;
    shape[x->ndim] = width / groups;
    et_tensor *y = et_layer_norm(et_reshape(x, x->ndim + 1, shape), NULL, NULL, eps);
    y = et_reshape(y, x->ndim, x->shape);
    y = gamma ? et_mul(y, gamma) : y;
    return beta ? et_add(y, beta) : y;
}

/* --- l2_normalize ------------------------------------------------------------------------------ */

ET_CALL(l2_call, et_l2_normalize(in[0], 1e-12))
static const et_sample l2_samples[] = {
    {.name = "rows", .n_in = 1, .in = {{2, {3, 5}}}, .call = l2_call},
    {.name = "vector", .n_in = 1, .in = {{1, {19}}}, .call = l2_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 5}}}, .call = l2_call},
};
const et_op et_op_l2_normalize = {.name = "l2_normalize", .args = "r", .n_out = 1, ET_SAMPLES(l2_samples)};

/** y = x / max(||x||, eps) over the last dimension; a row of zeros stays one, with
 *  gradient gy / eps. */
et_tensor *(et_l2_normalize)(et_tensor *x, double eps)
{
    if (!(eps > 0)) {
        et_raise_here(ET_EINVAL, "l2_normalize: eps is %g, expected a positive number", eps);
        return NULL;
    }
    et_tensor *square = et_sum(et_square(x), ET_DIMS(-1), true);
    return et_mul(x, et_rsqrt(et_clamp(square, eps * eps, 1e300)));
}
