/* Choosing by a mask, converting, and sorting. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

/* --- where ------------------------------------------------------------------------------------ */

static et_status where_shape(et_node *n)
{
    int64_t ab[ET_MAX_DIMS], shape[ET_MAX_DIMS];
    int nab, ndim;
    const et_tensor *m = n->in[0], *a = n->in[1], *b = n->in[2];

    if (et_broadcast_shape(a->ndim, a->shape, b->ndim, b->shape, &nab, ab) ||
        et_broadcast_shape(m->ndim, m->shape, nab, ab, &ndim, shape))
        return et_op_raise(n, ET_ESHAPE, "shapes do not broadcast: mask %s, %s and %s", et_shape_str(m),
                           et_shape_str(a), et_shape_str(b));
    return et_out(n, 0, a->dtype, ndim, shape);
}

/* The elements of t broadcast to the output's shape, contiguous. */
static const void *spread(et_node *n, const et_tensor *t)
{
    const et_tensor *y = n->out[0];
    et_tensor v = *t;

    v.ndim = y->ndim;
    v.numel = y->numel;
    for (int d = 0; d < y->ndim; d++) {
        int td = d - (y->ndim - t->ndim);
        v.shape[d] = y->shape[d];
        v.strides[d] = td < 0 || t->shape[td] == 1 ? 0 : t->strides[td];
    }
    return et_contig(n, &v);
}

static et_status where_fwd(et_node *n)
{
    const uint8_t *m = spread(n, n->in[0]);
    const void *a = spread(n, n->in[1]), *b = spread(n, n->in[2]);
    void *y = et_out_data(n, 0);

    if (!m || !a || !b || !y)
        return et_error_status();
    et_k(n)->where(n->out[0]->numel, m, a, 1, b, 1, y);
    return ET_OK;
}

static et_status where_bwd(et_node *n)
{
    const et_tensor *gy = et_gy(n, 0);
    const uint8_t *m = spread(n, n->in[0]);
    double zero = 0; /* of either dtype */

    for (int i = 1; i < 3; i++) {
        if (!et_needs(n, i))
            continue;
        et_tensor *t = et_temp(n, gy->ndim, gy->shape);
        if (!t || !m)
            return et_error_status();
        et_k(n)->where(gy->numel, m, i == 1 ? et_data(gy) : &zero, i == 1, i == 1 ? &zero : et_data(gy),
                       i == 2, et_data_mut(t));
        if (et_gx_sum(n, i, t))
            return et_error_status();
    }
    return ET_OK;
}

static et_status where_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *zero = et_scalar(gy[0]->dtype, 0);

    if (et_needs(n, 1))
        gx[1] = et_where(n->in[0], gy[0], zero);
    if (et_needs(n, 2))
        gx[2] = et_where(n->in[0], zero, gy[0]);
    return et_error_status();
}

ET_CALL(where_call, et_where(in[0], in[1], in[2]))
ET_CALL(fill_call, et_masked_fill(in[0], in[1], -3))
static const et_sample where_samples[] = {
    {.name = "same shape", .n_in = 3, .in = {{2, {3, 5}, 0, 0, ET_ARG_MASK}, {2, {3, 5}}, {2, {3, 5}}},
     .call = where_call},
    {.name = "broadcast", .n_in = 3, .in = {{2, {4, 1}, 0, 0, ET_ARG_MASK}, {1, {19}}, {3, {2, 1, 19}}},
     .call = where_call},
    {.name = "scalar", .n_in = 3, .in = {{1, {7}, 0, 0, ET_ARG_MASK}, {0, {0}}, {1, {7}}},
     .call = where_call},
    {.name = "empty", .n_in = 3, .in = {{1, {0}, 0, 0, ET_ARG_MASK}, {0, {0}}, {1, {0}}}, .call = where_call},
};
static const et_sample masked_fill_samples[] = {
    {.name = "a mask for each row", .n_in = 2, .in = {{2, {3, 5}}, {1, {5}, 0, 0, ET_ARG_MASK}},
     .call = fill_call},
};
const et_op et_op_where = {
    .name = "where", .args = "m r r", .n_out = 1, .saves = ET_SAVE_IN(0), .shape = where_shape,
    .fwd = where_fwd, .bwd = where_bwd, .bwd_graph = where_graph, ET_SAMPLES(where_samples),
};
const et_op et_op_masked_fill = {.name = "masked_fill", .args = "r m", .n_out = 1,
                                 ET_SAMPLES(masked_fill_samples)};

/** y = a where mask (uint8) is not 0, else b; shapes broadcast together. */
et_tensor *(et_where)(et_tensor *mask, et_tensor *a, et_tensor *b)
{
    return et_apply1(&et_op_where, 3, (et_tensor *const[]){mask, a, b}, NULL, 0);
}

/** y = value where mask (uint8, broadcasts to x) is not 0, else x. */
et_tensor *(et_masked_fill)(et_tensor *x, et_tensor *mask, double value)
{
    if (!et_op_scope("masked_fill"))
        return NULL;
    return et_where(mask, x ? et_scalar(x->dtype, value) : NULL, x);
}

/* --- cast ---------------------------------------------------------------------------------------- */

typedef struct {
    et_dtype dtype;
} cast_attr;

static et_status cast_shape(et_node *n)
{
    et_dtype dtype = ET_ATTR(n, cast_attr)->dtype;

    if (n->recording && !et_dtype_is_real(dtype))
        return et_op_raise(n, ET_EGRAD,
                           "a gradient is required and cannot pass through %s (use et_to on et_detach)",
                           et_dtype_name(dtype));
    return et_out(n, 0, dtype, n->in[0]->ndim, n->in[0]->shape);
}

static et_status cast_fwd(et_node *n) { return et_copy_into(n->out[0], n->in[0]); }

static et_status cast_bwd(et_node *n)
{
    const et_tensor *x = n->in[0];

    et_tensor *g = et_gx_tensor(n, 0), *t = et_empty_owned(x->dtype, x->ndim, x->shape);
    et_status status = g && t ? et_copy_into(t, et_gy(n, 0)) : et_error_status();
    if (!status)
        status = et_add_into(g, t);
    et_free(t);
    return status;
}

static et_status cast_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_cast(gy[0], n->in[0]->dtype);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(cast_same, et_cast(in[0], in[0] ? in[0]->dtype : ET_F32))
static const et_sample cast_samples[] = {
    {.name = "same dtype", .n_in = 1, .in = {{2, {3, 5}}}, .call = cast_same},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 5}}}, .call = cast_same},
};
const et_op et_op_cast = {
    .name = "cast", .args = "a", .n_out = 1, .shape = cast_shape, .fwd = cast_fwd, .bwd = cast_bwd,
    .bwd_graph = cast_graph, ET_SAMPLES(cast_samples),
};

/** The elements of x as another dtype, as et_to, with a gradient between float32 and
 *  float64. EGRAD where x requires a gradient and the dtype has none. */
et_tensor *(et_cast)(et_tensor *x, et_dtype dtype)
{
    return et_apply1(&et_op_cast, 1, (et_tensor *const[]){x}, &(cast_attr){dtype}, sizeof(cast_attr));
}

/* --- sort ------------------------------------------------------------------------------------------ */

typedef struct {
    int dim;
    bool descending;
} sort_attr;

static et_status sort_shape(et_node *n)
{
    sort_attr *a = n->attr;

    if (et_op_dim(n, n->in[0]->ndim, a->dim, &a->dim))
        return ET_EINVAL;
    et_status status = et_out_like(n, 0, 0);
    return status ? status : et_out(n, 1, ET_I32, n->in[0]->ndim, n->in[0]->shape);
}

/* True if a comes strictly before b; a NaN counts as the largest number. */
static bool before(double a, double b, bool descending)
{
    if (isnan(a) || isnan(b))
        return descending ? isnan(a) && !isnan(b) : !isnan(a) && isnan(b);
    return descending ? a > b : a < b;
}

/* Merge sort of n numbers' places, stable. tmp has room for n. */
static void merge_sort(const double *v, int32_t *at, int32_t *tmp, int64_t n, bool descending)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * run) {
            int64_t mid = lo + run < n ? lo + run : n, hi = lo + 2 * run < n ? lo + 2 * run : n;
            int64_t i = lo, j = mid;
            for (int64_t k = lo; k < hi; k++)
                tmp[k] = j < hi && (i >= mid || before(v[at[j]], v[at[i]], descending)) ? at[j++] : at[i++];
        }
        memcpy(at, tmp, (size_t)n * sizeof *at);
    }
}

static et_status sort_fwd(et_node *n)
{
    const sort_attr *a = ET_ATTR(n, sort_attr);
    const et_tensor *x = n->in[0];
    int64_t size = x->shape[a->dim], inner = 1;

    for (int d = a->dim + 1; d < x->ndim; d++)
        inner *= x->shape[d];
    const void *px = et_contig(n, x);
    double *v = et_scratch(n, (size_t)size * sizeof *v + 1);
    int32_t *at = et_scratch(n, (size_t)size * sizeof *at + 1),
            *tmp = et_scratch(n, (size_t)size * sizeof *tmp + 1);
    void *y = et_out_data(n, 0);
    int32_t *index = et_out_data(n, 1);
    if (!px || !v || !at || !tmp || !y || !index)
        return et_error_status();
    for (int64_t l = 0; size && l < x->numel / size; l++) {
        int64_t base = l / inner * size * inner + l % inner;
        for (int64_t i = 0; i < size; i++) {
            v[i] = et_real_at(x, px, base + i * inner);
            at[i] = (int32_t)i;
        }
        merge_sort(v, at, tmp, size, a->descending);
        for (int64_t i = 0; i < size; i++) {
            int64_t p = base + i * inner;
            index[p] = at[i];
            et_set_real(x, y, p, v[at[i]]);
        }
    }
    return ET_OK;
}

static et_status sort_bwd(et_node *n)
{
    const sort_attr *a = ET_ATTR(n, sort_attr);
    const et_tensor *x = n->in[0];
    int64_t size = x->shape[a->dim], inner = 1;
    const void *gy = et_gy_data(n, 0);

    for (int d = a->dim + 1; d < x->ndim; d++)
        inner *= x->shape[d];
    if (!gy)
        return ET_OK;
    const int32_t *at = et_data(n->out[1]);
    void *gx = et_gx_add(n, 0);
    if (!at || !gx)
        return et_error_status();
    for (int64_t i = 0; i < x->numel; i++) {
        int64_t p = i / (size * inner) * size * inner + at[i] * inner + i % inner;
        et_add_real(x, gx, p, et_real_at(x, gy, i));
    }
    return ET_OK;
}

static et_status sort_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const et_tensor *x = n->in[0];

    if (!gy[0])
        return ET_OK;
    gx[0] = et_scatter_add(et_zeros(x->dtype, x->ndim, x->shape), ET_ATTR(n, sort_attr)->dim, n->out[1],
                           gy[0]);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(sort_last, et_sort(in[0], -1, false, NULL))
ET_CALL(sort_first, et_sort(in[0], 0, true, NULL))
ET_CALL(sort_middle, et_sort(in[0], 1, false, NULL))
ET_CALL(topk_call, et_topk(in[0], 3, -1, NULL))
ET_CALL(argsort_call, et_argsort(in[0], -1, false))
ET_CALL(argmax_call, et_argmax(in[0], -1, false))
static const et_sample sort_samples[] = {
    {.name = "last", .n_in = 1, .in = {{2, {3, 7}, -1, 1, ET_ARG_DISTINCT}}, .call = sort_last},
    {.name = "first, descending", .n_in = 1, .in = {{2, {5, 3}, -1, 1, ET_ARG_DISTINCT}}, .call = sort_first},
    {.name = "middle", .n_in = 1, .in = {{3, {2, 4, 3}, -1, 1, ET_ARG_DISTINCT}}, .call = sort_middle},
    {.name = "empty", .n_in = 1, .in = {{2, {3, 0}}}, .call = sort_last},
};
static const et_sample topk_samples[] = {
    {.name = "three of seven", .n_in = 1, .in = {{2, {3, 7}, -1, 1, ET_ARG_DISTINCT}}, .call = topk_call},
};
static const et_sample argsort_samples[] = {
    {.name = "last", .n_in = 1, .in = {{2, {3, 7}}}, .call = argsort_call},
};
static const et_sample argmax_samples[] = {
    {.name = "last", .n_in = 1, .in = {{2, {3, 7}}}, .call = argmax_call},
};
const et_op et_op_sort = {
    .name = "sort", .args = "r", .n_out = 2, .flags = ET_OP_KINK, .saves = ET_SAVE_OUT(1),
    .shape = sort_shape, .fwd = sort_fwd, .bwd = sort_bwd, .bwd_graph = sort_graph, ET_SAMPLES(sort_samples),
};
const et_op et_op_topk = {.name = "topk", .args = "r", .n_out = 1, .flags = ET_OP_KINK,
                          ET_SAMPLES(topk_samples)};
const et_op et_op_argsort = {.name = "argsort", .args = "r", .n_out = 1, .flags = ET_OP_NODIFF,
                             ET_SAMPLES(argsort_samples)};
const et_op et_op_argmax = {.name = "argmax", .args = "r", .n_out = 1, .flags = ET_OP_NODIFF,
                            ET_SAMPLES(argmax_samples)};

/** x sorted along dim: stable, a NaN counts as the largest number. indices (or NULL)
 *  receives where each element was, int32. */
et_tensor *(et_sort)(et_tensor *x, int dim, bool descending, et_tensor **indices)
{
    et_tensor *out[2] = {NULL};

    if (et_apply(&et_op_sort, 1, (et_tensor *const[]){x}, &(sort_attr){dim, descending}, sizeof(sort_attr),
                 out))
        return NULL;
    if (indices)
        *indices = out[1];
    return out[0];
}

/** The k largest elements along dim, the largest first, as et_sort.
 *  EINVAL unless 1 <= k <= size. */
et_tensor *(et_topk)(et_tensor *x, int64_t k, int dim, et_tensor **indices)
{
    et_tensor *at = NULL;
    et_tensor *y = et_sort(x, dim, true, &at);

    if (!y)
        return NULL;
    if (k < 1 || k > et_size(x, dim)) {
        et_raise_here(ET_EINVAL, "topk: %lld of dimension %d of %s", (long long)k, dim, et_shape_str(x));
        return NULL;
    }
    if (indices)
        *indices = et_slice(at, dim, 0, k, 1);
    return et_slice(y, dim, 0, k, 1);
}

/** int32: where the elements of x come to stand in order along dim, as et_sort. */
et_tensor *(et_argsort)(et_tensor *x, int dim, bool descending)
{
    et_tensor *at = NULL;

    et_no_grad_begin();
    et_tensor *y = et_sort(x, dim, descending, &at);
    et_no_grad_end();
    return y ? at : NULL;
}

/** int32: the place of the first largest element along dim, which goes away, or stays with
 *  size 1 when keepdim; the first NaN if there is one. */
et_tensor *(et_argmax)(et_tensor *x, int dim, bool keepdim)
{
    et_tensor *at = NULL;

    et_no_grad_begin();
    et_tensor *y = et_max(x, dim, keepdim, &at);
    et_no_grad_end();
    return y ? at : NULL;
}
