/* Ops that draw random numbers. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    double p;
    et_rng *rng;
} dropout_attr;

/* Saved: the mask, uint8, 1 where an element stays. */
typedef struct {
    const et_kernels *k;
    const char *x;
    const uint8_t *m;
    char *y;
    double scale;
    size_t size;
    int acc;
} dropout_job;

static void dropout_piece(int64_t lo, int64_t hi, void *user)
{
    const dropout_job *j = user;
    size_t at = (size_t)lo * j->size;

    j->k->mask_scale(hi - lo, j->x + at, j->m + lo, j->scale, j->y + at, j->acc);
}

static et_status dropout_shape(et_node *n)
{
    double p = ET_ATTR(n, dropout_attr)->p;

    if (!(p >= 0 && p < 1))
        return et_op_raise(n, ET_EINVAL, "the probability is %g, expected 0 <= p < 1", p);
    return et_out_like(n, 0, 0);
}

static et_status dropout_fwd(et_node *n)
{
    const dropout_attr *a = ET_ATTR(n, dropout_attr);
    const et_tensor *x = n->in[0];
    dropout_job j = {.k = et_k(n), .scale = 1 / (1 - a->p), .size = et_dtype_size(x->dtype)};
    et_tensor *mask = et_save_extra(n, 0, ET_U8, x->ndim, x->shape);

    if (!mask || et_fill_bernoulli(mask, a->rng, 1 - a->p))
        return et_error_status();
    j.x = et_contig(n, x);
    j.m = et_data(mask);
    j.y = et_out_data(n, 0);
    if (!j.x || !j.y)
        return et_error_status();
    et_parallel_for(x->numel, et_elem_grain(), dropout_piece, &j);
    return ET_OK;
}

static et_status dropout_bwd(et_node *n)
{
    dropout_job j = {.k = et_k(n), .scale = 1 / (1 - ET_ATTR(n, dropout_attr)->p),
                     .size = et_dtype_size(n->in[0]->dtype)};

    j.m = et_data(n->saved[0]);
    j.x = et_gy_data(n, 0);
    j.y = et_gx_inplace(n, 0, &j.acc);
    if (!j.x || !j.y)
        return et_error_status();
    et_parallel_for(n->in[0]->numel, et_elem_grain(), dropout_piece, &j);
    return ET_OK;
}

static et_status dropout_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *kept = et_to(n->saved[0], n->in[0]->dtype);

    gx[0] = et_mul_scalar(et_mul(gy[0], kept), 1 / (1 - ET_ATTR(n, dropout_attr)->p));
    return gx[0] ? ET_OK : et_error_status();
}

/* The same draws in every run. */
static et_tensor *sample_dropout(et_tensor *x, double p)
{
    et_rng rng = et_rng_make(7, 1);

    return et_dropout(x, p, true, &rng);
}

ET_CALL(dropout_call, sample_dropout(in[0], 0.4))
static const et_sample dropout_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {{2, {3, 5}}}, .call = dropout_call},
    {.name = "past a vector", .n_in = 1, .in = {{1, {37}}}, .call = dropout_call},
    {.name = "past a piece", .n_in = 1, .in = {{1, {ET_GRAIN_ELEMS + 5}}}, .call = dropout_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 5}}}, .call = dropout_call},
};
const et_op et_op_dropout = {
    .name = "dropout", .args = "r", .n_out = 1, .saves = ET_SAVE_NONE, .shape = dropout_shape,
    .fwd = dropout_fwd, .bwd = dropout_bwd, .bwd_graph = dropout_graph, ET_SAMPLES(dropout_samples),
};

/** Inverted dropout (Srivastava et al. 2014): in training each element of x becomes 0
 *  with probability p, else x / (1 - p); x itself otherwise, and for p = 0. rng: where draws
 *  come from, NULL for the thread's default generator; a draw for each element moves it on.
 *  EINVAL unless 0 <= p < 1. */
et_tensor *(et_dropout)(et_tensor *x, double p, bool training, et_rng *rng)
{
    if (x && p >= 0 && p < 1 && (!training || p == 0))
        return x;
    return et_apply1(&et_op_dropout, 1, (et_tensor *const[]){x}, &(dropout_attr){p, rng},
                     sizeof(dropout_attr));
}

/* The same draws in every run: of five items some stay and some go. */
static et_tensor *sample_drop_path(et_tensor *x)
{
    et_rng rng = et_rng_make(7, 1);

    return et_drop_path(x, 0.4, true, &rng);
}

ET_CALL(drop_path_call, sample_drop_path(in[0]))
static const et_sample drop_path_samples[] = {
    {.name = "five items", .n_in = 1, .in = {{3, {5, 2, 3}}}, .call = drop_path_call},
    {.name = "numbers", .n_in = 1, .in = {{1, {19}}}, .call = drop_path_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 5}}}, .call = drop_path_call},
};
const et_op et_op_drop_path = {.name = "drop_path", .args = "r", .n_out = 1, ET_SAMPLES(drop_path_samples)};

/** Stochastic depth (Huang et al. 2016, arXiv 1603.09382): as et_dropout, but each item
 *  x[b] of the first dimension is kept or dropped as a whole, with one draw an item. Apply it
 *  to a residual branch. ESHAPE for a scalar; EINVAL unless 0 <= p < 1. */
et_tensor *(et_drop_path)(et_tensor *x, double p, bool training, et_rng *rng)
{
    int64_t shape[ET_MAX_DIMS];

    if (!(p >= 0 && p < 1)) {
        et_raise_here(ET_EINVAL, "drop_path: the probability is %g, expected 0 <= p < 1", p);
        return NULL;
    }
    if (!x || !training || p == 0)
        return x ? x : et_mul_scalar(x, 1);
    if (!et_op_scope("drop_path"))
        return NULL;
    if (x->ndim < 1 || !et_dtype_is_real(x->dtype)) {
        et_raise_here(x->ndim < 1 ? ET_ESHAPE : ET_EDTYPE,
                      "drop_path: x is %s %s, expected real items [B, ...]", et_dtype_name(x->dtype),
                      et_shape_str(x));
        return NULL;
    }
    for (int d = 0; d < x->ndim; d++)
        shape[d] = d ? 1 : x->shape[0];
    et_tensor *kept = et_empty(x->dtype, x->ndim, shape);
    if (!kept || et_fill_bernoulli(kept, rng, 1 - p))
        return NULL;
    return et_mul(x, et_mul_scalar(kept, 1 / (1 - p)));
}
