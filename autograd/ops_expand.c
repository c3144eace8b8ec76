/* Broadcasting written out: expand, and its transpose, sum_to_size. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    int ndim;
    int64_t shape[ET_MAX_DIMS];
} size_attr;

static et_tensor *apply(const et_op *op, et_tensor *x, int ndim, const int64_t *shape)
{
    size_attr a = {.ndim = ndim};

    if (ndim < 0 || ndim > ET_MAX_DIMS || (ndim && !shape)) {
        et_raise_here(ET_ESHAPE, "%s: expected 0 to %d dimensions, got %d", op->name, ET_MAX_DIMS, ndim);
        return NULL;
    }
    if (ndim)
        memcpy(a.shape, shape, (size_t)ndim * sizeof *shape);
    return et_apply1(op, 1, (et_tensor *const[]){x}, &a, sizeof a);
}

/* --- expand ------------------------------------------------------------------------------ */

static et_status expand_fwd(et_node *n)
{
    const size_attr *a = ET_ATTR(n, size_attr);
    const et_tensor *x = n->in[0];
    int64_t strides[ET_MAX_DIMS], shape[ET_MAX_DIMS];
    char text[ET_SHAPE_TEXT];

    if (a->ndim < x->ndim)
        return et_op_raise(n, ET_ESHAPE, "%s has more dimensions than %s", et_shape_str(x),
                           et_shape_text(text, a->ndim, a->shape));
    for (int d = 0; d < a->ndim; d++) {
        int xd = d - (a->ndim - x->ndim);
        int64_t size = xd < 0 ? 1 : x->shape[xd];
        shape[d] = a->shape[d] == -1 && xd >= 0 ? size : a->shape[d];
        if (shape[d] != size && size != 1)
            return et_op_raise(n, ET_ESHAPE, "%s does not broadcast to %s", et_shape_str(x),
                               et_shape_text(text, a->ndim, a->shape));
        strides[d] = xd < 0 || size == 1 ? 0 : x->strides[xd];
    }
    return et_out_view(n, a->ndim, shape, strides, x->offset);
}

static et_status expand_bwd(et_node *n) { return et_gx_sum(n, 0, et_gy(n, 0)); }

static et_status expand_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_sum_to_size(gy[0], n->in[0]->ndim, n->in[0]->shape);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(expand_row, et_expand(in[0], ET_SHAPE(4, 3)))
ET_CALL(expand_column, et_expand(in[0], ET_SHAPE(2, 3, -1)))
ET_CALL(expand_outer, et_expand(in[0], ET_SHAPE(3, 2, 4, 5)))
ET_CALL(expand_empty, et_expand(in[0], ET_SHAPE(0, 3)))
static const et_sample expand_samples[] = {
    {.name = "row", .n_in = 1, .in = {{1, {3}}}, .call = expand_row},
    {.name = "scalar", .n_in = 1, .in = {{0, {0}}}, .call = expand_row},
    {.name = "column, -1", .n_in = 1, .in = {{2, {1, 5}}}, .call = expand_column},
    {.name = "in the middle", .n_in = 1, .in = {{3, {2, 1, 5}}}, .call = expand_outer},
    {.name = "to nothing", .n_in = 1, .in = {{2, {1, 3}}}, .call = expand_empty},
};
const et_op et_op_expand = {
    .name = "expand", .args = "r", .n_out = 1, .flags = ET_OP_VIEW, .fwd = expand_fwd, .bwd = expand_bwd,
    .bwd_graph = expand_graph, ET_SAMPLES(expand_samples),
};

/** A view of x with dimensions of size 1, and new leading ones, repeated to `shape`; -1
 *  keeps a size. Use it as et_expand(x, ET_SHAPE(8, -1, 3)). ESHAPE where x does not
 *  broadcast. */
et_tensor *(et_expand)(et_tensor *x, int ndim, const int64_t *shape)
{
    return apply(&et_op_expand, x, ndim, shape);
}

/* --- sum_to_size --------------------------------------------------------------------------- */

static et_status sum_to_size_shape(et_node *n)
{
    const size_attr *a = ET_ATTR(n, size_attr);
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];
    int ndim;
    char text[ET_SHAPE_TEXT];

    if (et_broadcast_shape(x->ndim, x->shape, a->ndim, a->shape, &ndim, shape) || ndim != x->ndim ||
        memcmp(shape, x->shape, (size_t)ndim * sizeof *shape) != 0)
        return et_op_raise(n, ET_ESHAPE, "%s does not come from broadcasting %s", et_shape_str(x),
                           et_shape_text(text, a->ndim, a->shape));
    return et_out(n, 0, x->dtype, a->ndim, a->shape);
}

static et_status sum_to_size_fwd(et_node *n) { return et_sum_to(n->out[0], n->in[0], 0); }

static et_status sum_to_size_bwd(et_node *n) { return et_gx_expand(n, 0, et_gy(n, 0), 1); }

static et_status sum_to_size_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_expand(gy[0], n->in[0]->ndim, n->in[0]->shape);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(sum_to_row, et_sum_to_size(in[0], ET_SHAPE(5)))
ET_CALL(sum_to_column, et_sum_to_size(in[0], ET_SHAPE(4, 1)))
ET_CALL(sum_to_one, et_sum_to_size(in[0], 0, NULL))
ET_CALL(sum_to_middle, et_sum_to_size(in[0], ET_SHAPE(2, 1, 3)))
ET_CALL(sum_to_ends, et_sum_to_size(in[0], ET_SHAPE(1, 4, 1)))
static const et_sample sum_to_size_samples[] = {
    {.name = "row", .n_in = 1, .in = {{2, {4, 5}}}, .call = sum_to_row},
    {.name = "column", .n_in = 1, .in = {{2, {4, 5}}}, .call = sum_to_column},
    {.name = "scalar", .n_in = 1, .in = {{2, {4, 5}}}, .call = sum_to_one},
    {.name = "middle", .n_in = 1, .in = {{3, {2, 4, 3}}}, .call = sum_to_middle},
    {.name = "ends", .n_in = 1, .in = {{3, {2, 4, 3}}}, .call = sum_to_ends},
    {.name = "of nothing", .n_in = 1, .in = {{2, {0, 5}}}, .call = sum_to_row},
    {.name = "unchanged", .n_in = 1, .in = {{1, {5}}}, .call = sum_to_row},
};
const et_op et_op_sum_to_size = {
    .name = "sum_to_size", .args = "r", .n_out = 1, .shape = sum_to_size_shape, .fwd = sum_to_size_fwd,
    .bwd = sum_to_size_bwd, .bwd_graph = sum_to_size_graph, ET_SAMPLES(sum_to_size_samples),
};

/** x summed over the dimensions that broadcasting a tensor of `shape` to x's shape would
 *  repeat: the transpose of et_expand. ESHAPE if x's shape does not come from `shape`. */
et_tensor *(et_sum_to_size)(et_tensor *x, int ndim, const int64_t *shape)
{
    return apply(&et_op_sum_to_size, x, ndim, shape);
}
