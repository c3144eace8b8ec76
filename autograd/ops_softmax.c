/* softmax, log_softmax and logsumexp: the stable forms, which take the maximum off first. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

/* The kernels work on the last dimension, and so do the ops here: the public functions
 * turn another one round. */

typedef struct {
    const et_kernels *k;
    const char *x, *mask, *y;
    char *out;
    int64_t cols, ldm;
    size_t size;
    int acc;
    void (*rows)(int64_t rows, int64_t cols, const void *x, void *y);
    void (*rows_bwd)(int64_t rows, int64_t cols, const void *y, const void *dy, void *dx, int acc);
} row_job;

static int64_t cols_of(const et_tensor *x) { return x->shape[x->ndim - 1]; }
static int64_t rows_of(const et_tensor *x) { return cols_of(x) ? x->numel / cols_of(x) : 0; }

static et_status row_shape(et_node *n)
{
    if (n->in[0]->ndim < 1)
        return et_op_raise(n, ET_ESHAPE, "a scalar has no dimension to run along");
    return et_out_like(n, 0, 0);
}

static void fwd_piece(int64_t lo, int64_t hi, void *user)
{
    const row_job *j = user;
    size_t at = (size_t)(lo * j->cols) * j->size;

    if (j->rows)
        j->rows(hi - lo, j->cols, j->x + at, j->out + at);
    else
        j->k->softmax(hi - lo, j->cols, j->x + at, j->mask ? j->mask + (size_t)(lo * j->ldm) * j->size : NULL,
                      j->ldm, j->out + at);
}

static void bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const row_job *j = user;
    size_t at = (size_t)(lo * j->cols) * j->size;

    j->rows_bwd(hi - lo, j->cols, j->y + at, j->x + at, j->out + at, j->acc);
}

static et_status run_rows(const et_tensor *x, void (*piece)(int64_t, int64_t, void *), row_job *j)
{
    j->cols = cols_of(x);
    j->size = et_dtype_size(x->dtype);
    et_parallel_for(rows_of(x), et_row_grain(rows_of(x), 4 * j->cols), piece, j);
    return ET_OK;
}

/* dx += f(y, dy) row by row. */
static et_status row_bwd(et_node *n, int i, row_job *j)
{
    j->x = et_gy_data(n, 0);
    j->y = et_data(n->out[0]);
    j->out = et_gx_inplace(n, i, &j->acc);
    return j->x && j->y && j->out ? run_rows(n->out[0], bwd_piece, j) : et_error_status();
}

/* f(x) along dim, by turning it to the end. */
static et_tensor *along(const char *op, et_tensor *(*last)(et_tensor *x), et_tensor *x, int dim)
{
    if (!x || dim == -1 || dim == x->ndim - 1)
        return last(x);
    if (dim < -x->ndim || dim >= x->ndim) {
        et_raise_here(ET_EINVAL, "%s: dimension %d of a tensor with %d", op, dim, x->ndim);
        return NULL;
    }
    return et_transpose(last(et_transpose(x, dim, -1)), dim, -1);
}

/* --- softmax -------------------------------------------------------------------------------- */

static et_status softmax_shape(et_node *n)
{
    const et_tensor *x = n->in[0], *mask = n->in[1];
    int64_t shape[ET_MAX_DIMS];
    int ndim;

    if (mask) {
        bool fits = !et_broadcast_shape(x->ndim, x->shape, mask->ndim, mask->shape, &ndim, shape) &&
                    ndim == x->ndim;
        for (int d = 0; fits && d < ndim; d++)
            fits = shape[d] == x->shape[d];
        if (!fits)
            return et_op_raise(n, ET_ESHAPE, "the mask %s does not broadcast to %s", et_shape_str(mask),
                               et_shape_str(x));
    }
    return row_shape(n);
}

static et_status softmax_fwd(et_node *n)
{
    const et_tensor *x = n->in[0], *mask = n->in[1];
    const int64_t wide = mask && mask->ndim ? cols_of(mask) : 1;
    row_job j = {.k = et_k(n)};

    j.x = et_contig(n, x);
    j.out = et_out_data(n, 0);
    if (mask && mask->numel == wide && wide == cols_of(x)) { /* one row for all */
        j.mask = et_contig(n, mask);
    } else if (mask) {
        et_tensor *all = et_temp(n, x->ndim, x->shape);
        if (!all || et_copy_into(all, mask))
            return et_error_status();
        j.mask = et_data(all);
        j.ldm = cols_of(x);
    }
    return j.x && j.out && (j.mask || !mask) ? run_rows(x, fwd_piece, &j) : et_error_status();
}

static et_status softmax_bwd(et_node *n)
{
    row_job j = {.k = et_k(n), .rows_bwd = et_k(n)->softmax_bwd};

    if (n->in[1] && et_needs(n, 1)) {
        et_tensor *t = et_temp(n, n->out[0]->ndim, n->out[0]->shape);
        row_job m = j;
        m.x = et_gy_data(n, 0);
        m.y = et_data(n->out[0]);
        m.out = t ? et_data_mut(t) : NULL;
        if (!m.x || !m.y || !m.out || run_rows(n->out[0], bwd_piece, &m) || et_gx_sum(n, 1, t))
            return et_error_status();
    }
    return et_needs(n, 0) ? row_bwd(n, 0, &j) : ET_OK;
}

static et_status softmax_graph(et_node *n, et_tensor *const *gys, et_tensor **gx)
{
    et_tensor *y = n->out[0], *gy = gys[0];

    gx[0] = et_mul(y, et_sub(gy, et_sum(et_mul(gy, y), ET_DIMS(-1), true)));
    gx[1] = n->in[1] ? gx[0] : NULL;
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(softmax_call, et_softmax(in[0], -1))
ET_CALL(softmax_first, et_softmax(in[0], 0))
ET_CALL(softmax_mask_call, et_softmax_masked(in[0], in[1], -1))
static const et_sample softmax_samples[] = {
    {.name = "rows", .n_in = 1, .in = {{2, {3, 5}, -2, 2}}, .call = softmax_call},
    {.name = "past a vector", .n_in = 1, .in = {{3, {2, 2, 19}, -2, 2}}, .call = softmax_call},
    {.name = "past a piece", .n_in = 1, .in = {{2, {900, 11}, -2, 2}}, .call = softmax_call},
    {.name = "first dimension", .n_in = 1, .in = {{2, {4, 3}, -2, 2}}, .call = softmax_first},
    {.name = "one column", .n_in = 1, .in = {{2, {4, 1}, -2, 2}}, .call = softmax_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 3}}}, .call = softmax_call},
};
static const et_sample softmax_masked_samples[] = {
    {.name = "one row of masks", .n_in = 2, .in = {{3, {2, 3, 5}, -2, 2}, {1, {5}, -2, 2}},
     .call = softmax_mask_call},
    {.name = "past a piece", .n_in = 2, .in = {{2, {900, 11}, -2, 2}, {2, {900, 11}}},
     .call = softmax_mask_call},
    {.name = "a mask each", .n_in = 2, .in = {{3, {2, 3, 5}, -2, 2}, {3, {2, 1, 5}}},
     .call = softmax_mask_call},
};
const et_op et_op_softmax = {
    .name = "softmax", .args = "r r?", .n_out = 1, .saves = ET_SAVE_OUT(0), .shape = softmax_shape,
    .fwd = softmax_fwd, .bwd = softmax_bwd, .bwd_graph = softmax_graph, ET_SAMPLES(softmax_samples),
};
const et_op et_op_softmax_masked = {.name = "softmax_masked", .args = "r r", .n_out = 1,
                                    ET_SAMPLES(softmax_masked_samples)};

static et_tensor *softmax_last(et_tensor *x)
{
    return et_apply1(&et_op_softmax, 2, (et_tensor *const[]){x, NULL}, NULL, 0);
}

/** y = exp(x) / sum exp(x) along dim. A row of -inf gives zeros. A temperature divides x
 *  first: et_softmax(et_mul_scalar(x, 1 / t), dim). */
et_tensor *(et_softmax)(et_tensor *x, int dim) { return along("softmax", softmax_last, x, dim); }

/** softmax(x + mask) along dim; mask: a real tensor that broadcasts to x, -inf where
 *  nothing may go. A row that is wholly masked gives zeros and no gradient. */
et_tensor *(et_softmax_masked)(et_tensor *x, et_tensor *mask, int dim)
{
    if (!x || dim == -1 || dim == x->ndim - 1) {
        if (!mask)
            et_raise_here(ET_EINVAL, "softmax_masked: the mask is NULL");
        return mask ? et_apply1(&et_op_softmax, 2, (et_tensor *const[]){x, mask}, NULL, 0) : NULL;
    }
    if (mask && mask->ndim != x->ndim)
        mask = et_expand(mask, x->ndim, x->shape);
    return et_transpose(et_softmax_masked(et_transpose(x, dim, -1), et_transpose(mask, dim, -1), -1),
                        dim, -1);
}

/* --- log_softmax ------------------------------------------------------------------------------ */

static et_status log_softmax_fwd(et_node *n)
{
    row_job j = {.k = et_k(n), .rows = et_k(n)->log_softmax};

    j.x = et_contig(n, n->in[0]);
    j.out = et_out_data(n, 0);
    return j.x && j.out ? run_rows(n->in[0], fwd_piece, &j) : et_error_status();
}

static et_status log_softmax_bwd(et_node *n)
{
    row_job j = {.k = et_k(n), .rows_bwd = et_k(n)->log_softmax_bwd};

    return row_bwd(n, 0, &j);
}

static et_status log_softmax_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_sub(gy[0], et_mul(et_exp(n->out[0]), et_sum(gy[0], ET_DIMS(-1), true)));
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(log_softmax_call, et_log_softmax(in[0], -1))
ET_CALL(log_softmax_first, et_log_softmax(in[0], 0))
static const et_sample log_softmax_samples[] = {
    {.name = "rows", .n_in = 1, .in = {{2, {3, 5}, -2, 2}}, .call = log_softmax_call},
    {.name = "past a vector", .n_in = 1, .in = {{3, {2, 2, 19}, -2, 2}}, .call = log_softmax_call},
    {.name = "past a piece", .n_in = 1, .in = {{2, {900, 11}, -2, 2}}, .call = log_softmax_call},
    {.name = "first dimension", .n_in = 1, .in = {{2, {4, 3}, -2, 2}}, .call = log_softmax_first},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 3}}}, .call = log_softmax_call},
};
const et_op et_op_log_softmax = {
    .name = "log_softmax", .args = "r", .n_out = 1, .saves = ET_SAVE_OUT(0), .shape = row_shape,
    .fwd = log_softmax_fwd, .bwd = log_softmax_bwd, .bwd_graph = log_softmax_graph,
    ET_SAMPLES(log_softmax_samples),
};

static et_tensor *log_softmax_last(et_tensor *x)
{
    return et_apply1(&et_op_log_softmax, 1, (et_tensor *const[]){x}, NULL, 0);
}

/** y = x - ln sum exp(x) along dim */
et_tensor *(et_log_softmax)(et_tensor *x, int dim) { return along("log_softmax", log_softmax_last, x, dim); }

/* --- logsumexp -------------------------------------------------------------------------------- */

static et_status logsumexp_shape(et_node *n)
{
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];

    if (x->ndim < 1)
        return et_op_raise(n, ET_ESHAPE, "a scalar has no dimension to run along");
    for (int d = 0; d < x->ndim; d++)
        shape[d] = d == x->ndim - 1 ? 1 : x->shape[d];
    return et_out(n, 0, x->dtype, x->ndim, shape);
}

static et_status logsumexp_fwd(et_node *n)
{
    const et_tensor *x = n->in[0];
    const void *p = et_contig(n, x);
    void *y = et_out_data(n, 0);

    if (!p || !y)
        return et_error_status();
    if (cols_of(x) == 0)
        return et_fill(n->out[0], (double)-INFINITY);
    et_k(n)->logsumexp(rows_of(x), cols_of(x), p, y);
    return ET_OK;
}

/* dx = dy exp(x - y); nothing where y is not finite */
static et_status logsumexp_bwd(et_node *n)
{
    const et_tensor *x = n->in[0];
    const et_kernels *k = et_k(n);
    int64_t cols = cols_of(x);
    size_t size = et_dtype_size(x->dtype);
    int acc;

    if (!x->numel)
        return et_gx_add(n, 0) ? ET_OK : et_error_status();
    const char *px = et_contig(n, x), *py = et_data(n->out[0]), *gy = et_gy_data(n, 0);
    char *gx = et_gx(n, 0, &acc), *t = et_scratch(n, (size_t)cols * size);
    if (!px || !py || !gy || !gx || !t)
        return et_error_status();
    for (int64_t r = 0; r < rows_of(x); r++) {
        double y = et_real_at(x, py, r), g = et_real_at(x, gy, r);
        size_t at = (size_t)(r * cols) * size;
        if (isfinite(y)) {
            k->affine(cols, px + at, 1, -y, t);
            k->unary[ET_U_EXP](cols, t, t);
        } else {
            k->fill(cols, 0, t);
            g = 0;
        }
        k->axpby(cols, g, t, acc, gx + at);
    }
    return ET_OK;
}

static et_status logsumexp_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_mul(gy[0], et_softmax(n->in[0], -1)); /* zeros, not NaN, for a row of -inf */
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(logsumexp_call, et_logsumexp(in[0], -1, false))
ET_CALL(logsumexp_first, et_logsumexp(in[0], 0, true))

/* Rows of -inf where in[1] is set: there the result is -inf, of which exp makes 0. */
static et_tensor *logsumexp_of_nothing(et_tensor *x, et_tensor *rows)
{
    return et_exp(et_logsumexp(et_add(x, et_masked_fill(et_zeros_like(x), rows, -INFINITY)), -1, false));
}

ET_CALL(logsumexp_inf, logsumexp_of_nothing(in[0], in[1]))
static const et_sample logsumexp_samples[] = {
    {.name = "rows", .n_in = 1, .in = {{2, {3, 5}, -2, 2}}, .call = logsumexp_call},
    {.name = "past a vector", .n_in = 1, .in = {{3, {2, 2, 19}, -2, 2}}, .call = logsumexp_call},
    {.name = "past a piece", .n_in = 1, .in = {{2, {900, 11}, -2, 2}}, .call = logsumexp_call},
    {.name = "first dimension, keepdim", .n_in = 1, .in = {{2, {4, 3}, -2, 2}}, .call = logsumexp_first},
    {.name = "rows of -inf", .n_in = 2, .in = {{2, {9, 3}}, {2, {9, 1}, 0, 0, ET_ARG_MASK}},
     .call = logsumexp_inf},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 3}}}, .call = logsumexp_call},
};
const et_op et_op_logsumexp = {
    .name = "logsumexp", .args = "r", .n_out = 1, .saves = ET_SAVE_IN(0) | ET_SAVE_OUT(0),
    .shape = logsumexp_shape, .fwd = logsumexp_fwd, .bwd = logsumexp_bwd, .bwd_graph = logsumexp_graph,
    ET_SAMPLES(logsumexp_samples),
};

static et_tensor *logsumexp_last(et_tensor *x)
{
    return et_apply1(&et_op_logsumexp, 1, (et_tensor *const[]){x}, NULL, 0);
}

/** y = ln sum exp(x) along dim, which goes away, or stays with size 1 when keepdim. Of
 *  nothing, or of -inf alone: -inf. */
et_tensor *(et_logsumexp)(et_tensor *x, int dim, bool keepdim)
{
    et_tensor *y = along("logsumexp", logsumexp_last, x, dim);

    return keepdim ? y : et_squeeze(y, dim);
}
