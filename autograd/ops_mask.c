/* Choosing by a mask, converting, and sorting. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"
#include "tensor/order.h"

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
    int acc;

    et_tensor *g = et_gx_tensor(n, 0, &acc);
    if (!g || !acc)
        return g ? et_copy_into(g, et_gy(n, 0)) : et_error_status();
    et_tensor *t = et_empty_owned(x->dtype, x->ndim, x->shape);
    et_status status = t ? et_copy_into(t, et_gy(n, 0)) : et_error_status();
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
    int64_t most; /* elements of the result along dim; -1: all */
} sort_attr;

static et_status sort_shape(et_node *n)
{
    sort_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];

    if (et_op_dim(n, x->ndim, a->dim, &a->dim))
        return ET_EINVAL;
    if (x->shape[a->dim] > INT32_MAX)
        return et_op_raise(n, ET_ESHAPE, "places along dimension %d of %s do not fit int32", a->dim,
                           et_shape_str(x));
    memcpy(shape, x->shape, sizeof shape);
    if (a->most < 0)
        a->most = shape[a->dim];
    shape[a->dim] = a->most;
    et_status status = et_out(n, 0, x->dtype, x->ndim, shape);
    return status ? status : et_out(n, 1, ET_I32, x->ndim, shape);
}

/* Rows of `size` elements, `inner` apart, of which `most` come to y. */
typedef struct sort_job {
    sort_attr a;
    et_dtype dtype;
    int64_t size, inner, rows, grain;
    size_t bytes; /* of scratch memory for one piece */
    const char *x;
    char *y, *scratch;
    int32_t *at;           /* forward writes */
    const int32_t *places; /* and backward reads */
    int acc;
} sort_job;

static sort_job sort_start(et_node *n)
{
    const et_tensor *x = n->in[0];
    sort_job j = {.a = *ET_ATTR(n, sort_attr), .dtype = x->dtype, .inner = 1};

    j.size = x->shape[j.a.dim];
    for (int d = j.a.dim + 1; d < x->ndim; d++)
        j.inner *= x->shape[d];
    j.rows = j.size ? x->numel / j.size : 0;
    return j;
}

/* Where the first element of row l is among rows of `size`. */
static int64_t sort_row(const sort_job *j, int64_t l, int64_t size)
{
    return l / j->inner * size * j->inner + l % j->inner;
}

#define SORT_ROW(type) \
    for (int64_t i = 0; i < most; i++) { \
        ((type *)j->y)[to + i * j->inner] = ((const type *)j->x)[from + at[i] * j->inner]; \
        j->at[to + i * j->inner] = at[i]; \
    }

static void sort_piece(int64_t lo, int64_t hi, void *user)
{
    const sort_job *j = user;
    const int64_t most = j->a.most;
    const size_t size = et_dtype_size(j->dtype);
    void *scratch = j->scratch + (size_t)(lo / j->grain) * j->bytes;

    for (int64_t l = lo; l < hi; l++) {
        const int64_t from = sort_row(j, l, j->size), to = sort_row(j, l, most);
        const int32_t *at = et_order(j->dtype, j->size, j->x + (size_t)from * size, j->inner, j->a.descending,
                                     most, scratch);
        if (j->dtype == ET_F32)
            SORT_ROW(float)
        else
            SORT_ROW(double)
    }
}

static et_status sort_fwd(et_node *n)
{
    sort_job j = sort_start(n);

    /* A piece for each thread, so that there are few with scratch memory; results do not depend on them. */
    j.grain = j.rows ? ceil_div(j.rows, et_threads_for(64.0 * (double)n->in[0]->numel)) : 1;
    j.bytes = (et_order_bytes(j.size) + 63) / 64 * 64;
    j.x = et_contig(n, n->in[0]);
    j.scratch = et_scratch(n, j.bytes * (size_t)ceil_div(j.rows, j.grain) + 1);
    j.y = et_out_data(n, 0);
    j.at = et_out_data(n, 1);
    if (!j.x || !j.scratch || !j.y || !j.at)
        return et_error_status();
    et_parallel_for(j.rows, j.grain, sort_piece, &j);
    return ET_OK;
}

/* x is the gradient of the result, y that of the operand. */
#define SORT_ROW_BWD(type) \
    { \
        const type *gy = (const type *)j->x + from; \
        type *gx = (type *)j->y + to; \
        for (int64_t i = 0; i < most; i++) { \
            type *g = gx + at[i * j->inner] * j->inner; \
            *g = add ? *g + gy[i * j->inner] : gy[i * j->inner]; \
        } \
    }

static void sort_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const sort_job *j = user;
    const int64_t most = j->a.most;
    const bool add = j->acc;

    for (int64_t l = lo; l < hi; l++) {
        const int64_t from = sort_row(j, l, most), to = sort_row(j, l, j->size);
        const int32_t *at = j->places + from;
        if (j->dtype == ET_F32)
            SORT_ROW_BWD(float)
        else
            SORT_ROW_BWD(double)
    }
}

static et_status sort_bwd(et_node *n)
{
    sort_job j = sort_start(n);

    if (!et_gy(n, 0))
        return ET_OK;
    j.x = et_gy_data(n, 0);
    j.places = et_data(n->out[1]);
    j.y = et_gx(n, 0, &j.acc);
    if (!j.x || !j.places || !j.y)
        return et_error_status();
    if (!j.acc && j.a.most < j.size) { /* else every element is written */
        et_k(n)->fill(n->in[0]->numel, 0, j.y);
        j.acc = 1;
    }
    et_parallel_for(j.rows, et_row_grain(j.rows, j.a.most), sort_bwd_piece, &j);
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
ET_CALL(topk_first, et_topk(in[0], 2, 0, NULL))
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
    {.name = "first", .n_in = 1, .in = {{2, {9, 2}, -1, 1, ET_ARG_DISTINCT}}, .call = topk_first},
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

static et_tensor *sorted(et_tensor *x, int dim, bool descending, int64_t most, et_tensor **indices)
{
    sort_attr a = {dim, descending, most};
    et_tensor *out[2] = {NULL};

    if (et_apply(&et_op_sort, 1, (et_tensor *const[]){x}, &a, sizeof a, out))
        return NULL;
    if (indices)
        *indices = out[1];
    return out[0];
}

/** x sorted along dim: stable, a NaN counts as the largest number. indices (or NULL)
 *  receives where each element was, int32. */
et_tensor *(et_sort)(et_tensor *x, int dim, bool descending, et_tensor **indices)
{
    return sorted(x, dim, descending, -1, indices);
}

/** The k largest elements along dim, the largest first, as et_sort.
 *  EINVAL unless 1 <= k <= size. */
et_tensor *(et_topk)(et_tensor *x, int64_t k, int dim, et_tensor **indices)
{
    const int64_t size = x ? et_size(x, dim) : k;

    if (size >= 0 && (k < 1 || k > size)) {
        et_raise_here(ET_EINVAL, "topk: %lld of dimension %d of %s", (long long)k, dim, et_shape_str(x));
        return NULL;
    }
    return sorted(x, dim, true, k, indices);
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
