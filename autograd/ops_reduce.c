/* Sums, means and extrema over dimensions. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

/* --- sum and mean -------------------------------------------------------------------------- */

typedef struct {
    bool over[ET_MAX_DIMS]; /* dimensions that are summed */
    bool mean;
    int n_dims, dims[ET_MAX_DIMS]; /* as the caller gave them; n_dims 0 means all */
    bool keepdim;
} sum_attr;

/* A handle on t (contiguous), shaped as x with the summed dimensions of size 1. */
static et_tensor with_ones(const et_tensor *t, const et_tensor *x, const bool *over)
{
    et_tensor v = *t;

    v.ndim = x->ndim;
    for (int d = 0; d < x->ndim; d++)
        v.shape[d] = over[d] ? 1 : x->shape[d];
    et_dense_strides(v.ndim, v.shape, v.strides);
    return v;
}

static et_status sum_shape(et_node *n)
{
    sum_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];
    int ndim = 0;

    for (int i = 0; i < a->n_dims; i++) {
        int d;
        if (et_op_dim(n, x->ndim, a->dims[i], &d))
            return ET_EINVAL;
        if (a->over[d])
            return et_op_raise(n, ET_EINVAL, "dimension %d is named twice", d);
        a->over[d] = true;
    }
    for (int d = 0; d < x->ndim; d++) {
        a->over[d] = a->over[d] || a->n_dims == 0;
        if (!a->over[d] || a->keepdim)
            shape[ndim++] = a->over[d] ? 1 : x->shape[d];
    }
    return et_out(n, 0, x->dtype, ndim, shape);
}

/* Factor of each element in the result: 1, or 1 / count for a mean. */
static double weight(const et_node *n)
{
    const sum_attr *a = ET_ATTR(n, sum_attr);
    const et_tensor *x = n->in[0];
    double count = 1;

    for (int d = 0; d < x->ndim; d++)
        if (a->over[d])
            count *= (double)x->shape[d];
    return a->mean ? 1 / count : 1;
}

static et_status sum_fwd(et_node *n)
{
    const sum_attr *a = ET_ATTR(n, sum_attr);
    et_tensor *y = n->out[0], v = with_ones(y, n->in[0], a->over);
    et_status status = et_sum_to(&v, n->in[0], 0);

    if (!status && a->mean) {
        double w = weight(n);
        void *p = et_out_data(n, 0);
        if (isinf(w)) /* of nothing: 0 / 0 */
            return et_fill(y, (double)NAN);
        et_k(n)->affine(y->numel, p, w, 0, p);
    }
    return status;
}

static et_status sum_bwd(et_node *n)
{
    et_tensor v = with_ones(et_gy(n, 0), n->in[0], ET_ATTR(n, sum_attr)->over);
    return et_gx_expand(n, 0, &v, weight(n));
}

static et_status sum_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const et_tensor *x = n->in[0];
    et_tensor v = with_ones(n->out[0], x, ET_ATTR(n, sum_attr)->over);
    et_tensor *g = et_expand(et_reshape(gy[0], v.ndim, v.shape), x->ndim, x->shape);

    gx[0] = ET_ATTR(n, sum_attr)->mean && x->numel ? et_mul_scalar(g, weight(n)) : g;
    return gx[0] ? ET_OK : et_error_status();
}

static et_tensor *reduce(const et_op *op, bool mean, et_tensor *x, int n_dims, const int *dims, bool keepdim)
{
    sum_attr a = {.mean = mean, .n_dims = n_dims, .keepdim = keepdim};

    if (n_dims < 0 || n_dims > ET_MAX_DIMS || (n_dims && !dims)) {
        et_raise_here(ET_EINVAL, "%s: expected 0 to %d dimensions, got %d", op->name, ET_MAX_DIMS, n_dims);
        return NULL;
    }
    if (n_dims)
        memcpy(a.dims, dims, (size_t)n_dims * sizeof *dims);
    return et_apply1(op, 1, (et_tensor *const[]){x}, &a, sizeof a);
}

#define REDUCTION(NAME)                                                                             \
    ET_CALL(NAME##_all, et_##NAME(in[0], 0, NULL, false))                                           \
    ET_CALL(NAME##_all_keep, et_##NAME(in[0], 0, NULL, true))                                       \
    ET_CALL(NAME##_last, et_##NAME(in[0], ET_DIMS(-1), false))                                      \
    ET_CALL(NAME##_first, et_##NAME(in[0], ET_DIMS(0), true))                                       \
    ET_CALL(NAME##_middle, et_##NAME(in[0], ET_DIMS(1), false))                                     \
    ET_CALL(NAME##_ends, et_##NAME(in[0], ET_DIMS(2, 0), false))                                    \
    static const et_sample NAME##_samples[] = {                                                     \
        {.name = "all", .n_in = 1, .in = {{3, {2, 3, 4}}}, .call = NAME##_all},                     \
        {.name = "all, keepdim", .n_in = 1, .in = {{2, {3, 7}}}, .call = NAME##_all_keep},          \
        {.name = "last", .n_in = 1, .in = {{2, {3, 19}}}, .call = NAME##_last},                     \
        {.name = "first, keepdim", .n_in = 1, .in = {{2, {4, 19}}}, .call = NAME##_first},          \
        {.name = "middle", .n_in = 1, .in = {{3, {2, 4, 3}}}, .call = NAME##_middle},               \
        {.name = "ends", .n_in = 1, .in = {{3, {2, 4, 3}}}, .call = NAME##_ends},                   \
        {.name = "scalar", .n_in = 1, .in = {{0, {0}}}, .call = NAME##_all},                        \
        {.name = "empty kept", .n_in = 1, .in = {{2, {0, 3}}}, .call = NAME##_last},                \
    };                                                                                              \
    const et_op et_op_##NAME = {                                                                    \
        .name = #NAME, .args = "r", .n_out = 1, .shape = sum_shape, .fwd = sum_fwd, .bwd = sum_bwd, \
        .bwd_graph = sum_graph, ET_SAMPLES(NAME##_samples),                                         \
    }

REDUCTION(sum);
/** The sum over the given dimensions (0, NULL: all), which go away, or stay with size 1
 *  when keepdim: et_sum(x, ET_DIMS(0, 2), false). Of no elements: 0. */
et_tensor *(et_sum)(et_tensor *x, int n_dims, const int *dims, bool keepdim)
{
    return reduce(&et_op_sum, false, x, n_dims, dims, keepdim);
}

REDUCTION(mean);
/** The mean over the given dimensions, as et_sum. Of no elements: NaN. */
et_tensor *(et_mean)(et_tensor *x, int n_dims, const int *dims, bool keepdim)
{
    return reduce(&et_op_mean, true, x, n_dims, dims, keepdim);
}

/* --- variance ------------------------------------------------------------------------------- */

ET_CALL(var_biased, et_var(in[0], ET_DIMS(-1), false, false))
ET_CALL(var_first, et_var(in[0], ET_DIMS(0), true, true))
static const et_sample var_samples[] = {
    {.name = "last, biased", .n_in = 1, .in = {{2, {3, 7}}}, .call = var_biased},
    {.name = "first, unbiased, keepdim", .n_in = 1, .in = {{2, {5, 3}}}, .call = var_first},
    {.name = "of one", .n_in = 1, .in = {{2, {3, 1}}}, .call = var_biased},
};
const et_op et_op_var = {.name = "var", .args = "r", .n_out = 1, ET_SAMPLES(var_samples)};

/** The variance over the given dimensions, as et_sum: mean((x - mean(x))^2), times
 *  N / (N - 1) when unbiased. In two passes, so that a large mean costs no accuracy. */
et_tensor *(et_var)(et_tensor *x, int n_dims, const int *dims, bool unbiased, bool keepdim)
{
    et_tensor *mean = et_mean(x, n_dims, dims, true);
    et_tensor *v = et_mean(et_square(et_sub(x, mean)), n_dims, dims, keepdim);

    if (!v || !unbiased)
        return v;
    double count = v->numel ? (double)x->numel / (double)v->numel : 0;
    return et_mul_scalar(v, count / (count - 1));
}

/* --- max and min ---------------------------------------------------------------------------- */

typedef struct {
    int dim;
    bool keepdim, min;
} extremum_attr;

static et_status extremum_shape(et_node *n)
{
    extremum_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];
    int ndim = 0;

    if (et_op_dim(n, x->ndim, a->dim, &a->dim))
        return ET_EINVAL;
    if (x->shape[a->dim] == 0 || x->shape[a->dim] > INT32_MAX)
        return et_op_raise(n, ET_ESHAPE, "dimension %d of %s has no extremum", a->dim, et_shape_str(x));
    for (int d = 0; d < x->ndim; d++)
        if (d != a->dim || a->keepdim)
            shape[ndim++] = d == a->dim ? 1 : x->shape[d];
    et_status status = et_out(n, 0, x->dtype, ndim, shape);
    return status ? status : et_out(n, 1, ET_I32, ndim, shape);
}

typedef struct {
    const et_kernels *k;
    const char *x;
    char *y;
    int32_t *at;
    int64_t size, inner; /* of the dimension; elements after it */
    size_t es;
    bool min;
} extremum_job;

/* Index: (outer, inner), as the result. */
static void extremum_piece(int64_t lo, int64_t hi, void *user)
{
    const extremum_job *j = user;

    for (int64_t i = lo, n; i < hi; i += n) {
        const int64_t outer = i / j->inner, in = i % j->inner;
        const char *x = j->x + (size_t)(outer * j->size * j->inner + in) * j->es;
        n = min64(hi - i, j->inner - in);
        if (j->inner == 1)
            j->at[i] = (int32_t)j->k->extremum(j->size, x, j->min);
        else
            j->k->col_extremum(j->size, n, x, j->inner, j->min, j->at + i);
        for (int64_t c = 0; c < n; c++)
            memcpy(j->y + (size_t)(i + c) * j->es, x + (size_t)(j->at[i + c] * j->inner + c) * j->es, j->es);
    }
}

static int64_t inner_of(const et_tensor *x, int dim)
{
    int64_t inner = 1;

    for (int d = dim + 1; d < x->ndim; d++)
        inner *= x->shape[d];
    return inner;
}

static et_status extremum_fwd(et_node *n)
{
    const extremum_attr *a = ET_ATTR(n, extremum_attr);
    const et_tensor *x = n->in[0];
    extremum_job j = {.k = et_k(n), .min = a->min, .es = et_dtype_size(x->dtype), .size = x->shape[a->dim]};

    j.inner = inner_of(x, a->dim);
    j.x = et_contig(n, x);
    j.y = et_out_data(n, 0);
    j.at = et_out_data(n, 1);
    if (!j.x || !j.y || !j.at)
        return et_error_status();
    int64_t count = n->out[0]->numel;
    et_parallel_for(count, et_row_grain(count, 2 * j.size), extremum_piece, &j);
    return ET_OK;
}

static et_status extremum_bwd(et_node *n)
{
    const extremum_attr *a = ET_ATTR(n, extremum_attr);
    const et_tensor *x = n->in[0];
    const void *gy = et_gy_data(n, 0);

    if (!gy)
        return ET_OK;
    const int32_t *at = et_data(n->out[1]);
    void *gx = et_gx_add(n, 0);
    if (!at || !gx)
        return et_error_status();
    int64_t inner = inner_of(x, a->dim), size = x->shape[a->dim];
    for (int64_t i = 0; i < n->out[0]->numel; i++) {
        int64_t p = i / inner * size * inner + at[i] * inner + i % inner;
        et_add_real(x, gx, p, et_real_at(x, gy, i));
    }
    return ET_OK;
}

/* gx = gy where x is the extremum that was taken, else 0. */
static et_status extremum_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const extremum_attr *a = ET_ATTR(n, extremum_attr);
    const et_tensor *x = n->in[0];
    et_tensor *taken = et_zeros(x->dtype, x->ndim, x->shape);
    int64_t shape[ET_MAX_DIMS], inner = inner_of(x, a->dim);

    if (!gy[0])
        return ET_OK;
    if (!taken)
        return et_error_status();
    const int32_t *at = et_data(n->out[1]);
    for (int64_t i = 0; i < n->out[0]->numel; i++) {
        int64_t p = i / inner * x->shape[a->dim] * inner + at[i] * inner + i % inner;
        et_set_real(x, et_data_mut(taken), p, 1);
    }
    memcpy(shape, x->shape, sizeof shape);
    shape[a->dim] = 1;
    gx[0] = et_mul(et_reshape(gy[0], x->ndim, shape), taken);
    return gx[0] ? ET_OK : et_error_status();
}

static et_tensor *extremum(const et_op *op, et_tensor *x, int dim, bool keepdim, bool min,
                           et_tensor **indices)
{
    extremum_attr a = {dim, keepdim, min};
    et_tensor *out[2] = {NULL};

    if (et_apply(op, 1, (et_tensor *const[]){x}, &a, sizeof a, out))
        return NULL;
    if (indices)
        *indices = out[1];
    return out[0];
}

#define EXTREMUM(NAME)                                                                                   \
    ET_CALL(NAME##_last, et_##NAME(in[0], -1, false, NULL))                                              \
    ET_CALL(NAME##_first, et_##NAME(in[0], 0, true, NULL))                                               \
    ET_CALL(NAME##_middle, et_##NAME(in[0], 1, false, NULL))                                             \
    static const et_sample NAME##_samples[] = {                                                          \
        {.name = "last", .n_in = 1, .in = {{2, {3, 7}, -1, 1, ET_ARG_DISTINCT}}, .call = NAME##_last},   \
        {.name = "first, keepdim", .n_in = 1, .in = {{2, {4, 3}, -1, 1, ET_ARG_DISTINCT}},               \
         .call = NAME##_first},                                                                          \
        {.name = "middle", .n_in = 1, .in = {{3, {2, 3, 4}, -1, 1, ET_ARG_DISTINCT}},                    \
         .call = NAME##_middle},                                                                         \
        {.name = "of one", .n_in = 1, .in = {{2, {3, 1}, -1, 1, ET_ARG_DISTINCT}}, .call = NAME##_last}, \
        {.name = "past a piece", .n_in = 1, .in = {{2, {1700, 11}, -500, 500, ET_ARG_DISTINCT}},         \
         .call = NAME##_last},                                                                           \
        {.name = "of no rows", .n_in = 1, .in = {{2, {0, 3}}}, .call = NAME##_last},                     \
    };                                                                                                   \
    const et_op et_op_##NAME = {                                                                         \
        .name = #NAME, .args = "r", .n_out = 2, .flags = ET_OP_KINK, .saves = ET_SAVE_OUT(1),            \
        .shape = extremum_shape, .fwd = extremum_fwd, .bwd = extremum_bwd, .bwd_graph = extremum_graph,  \
        ET_SAMPLES(NAME##_samples),                                                                      \
    }

EXTREMUM(max);
/** The largest element along dim, which goes away, or stays with size 1 when keepdim; NaN
 *  if there is one. The gradient goes to the first largest. indices (or NULL) receives
 *  where they are, int32. ESHAPE when the dimension is empty. */
et_tensor *(et_max)(et_tensor *x, int dim, bool keepdim, et_tensor **indices)
{
    return extremum(&et_op_max, x, dim, keepdim, false, indices);
}

EXTREMUM(min);
/** The smallest element along dim, as et_max. */
et_tensor *(et_min)(et_tensor *x, int dim, bool keepdim, et_tensor **indices)
{
    return extremum(&et_op_min, x, dim, keepdim, true, indices);
}
