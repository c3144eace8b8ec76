/* Parts of tensors, and tensors put together from parts. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

/* t with dimension dim cut to start, start + step, ...: `count` of them. Shares t's elements. */
static et_tensor part_of(const et_tensor *t, int dim, int64_t start, int64_t step, int64_t count)
{
    et_tensor v = *t;

    v.offset += start * t->strides[dim];
    v.strides[dim] = step * t->strides[dim];
    v.numel = t->shape[dim] ? t->numel / t->shape[dim] * count : 0;
    v.shape[dim] = count;
    return v;
}

/* --- slice ---------------------------------------------------------------------------------- */

typedef struct {
    int dim;
    int64_t start, stop, step, count;
} slice_attr;

static et_status slice_fwd(et_node *n)
{
    slice_attr *a = n->attr;
    const et_tensor *x = n->in[0];

    if (et_op_dim(n, x->ndim, a->dim, &a->dim))
        return ET_EINVAL;
    if (a->step < 1)
        return et_op_raise(n, ET_EINVAL, "the step is %lld, expected at least 1", (long long)a->step);
    int64_t size = x->shape[a->dim];
    int64_t *ends[] = {&a->start, &a->stop};
    for (int i = 0; i < 2; i++) { /* as in Python: from the end when negative, cut to the size */
        if (*ends[i] < 0)
            *ends[i] += size;
        *ends[i] = *ends[i] < 0 ? 0 : *ends[i] > size ? size : *ends[i];
    }
    a->count = a->stop > a->start ? (a->stop - a->start - 1) / a->step + 1 : 0;
    if (a->count < 2)
        a->step = 1; /* its product with a stride might not fit */
    et_tensor v = part_of(x, a->dim, a->count ? a->start : 0, a->step, a->count);
    return et_out_view(n, v.ndim, v.shape, v.strides, v.offset);
}

static et_status slice_bwd(et_node *n)
{
    const slice_attr *a = ET_ATTR(n, slice_attr);

    et_tensor *g = et_gx_tensor(n, 0, NULL);
    if (!g)
        return et_error_status();
    et_tensor v = part_of(g, a->dim, a->start, a->step, a->count);
    return a->count ? et_add_into(&v, et_gy(n, 0)) : ET_OK;
}

static et_status slice_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const slice_attr *a = ET_ATTR(n, slice_attr);
    const et_tensor *x = n->in[0], *y = n->out[0];
    et_tensor *steps = et_arange(ET_I32, (double)a->start, (double)(a->start + a->count * a->step),
                                 (double)a->step);
    et_tensor *index = et_index_along(steps, a->dim, y->ndim, y->shape);

    gx[0] = et_scatter_add(et_zeros(x->dtype, x->ndim, x->shape), a->dim, index, gy[0]);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(slice_rows, et_slice(in[0], 0, 1, 3, 1))
ET_CALL(slice_step, et_slice(in[0], -1, 1, -1, 2))
ET_CALL(slice_none, et_slice(in[0], 1, 3, 3, 1))
static const et_sample slice_samples[] = {
    {.name = "rows", .n_in = 1, .in = {{2, {4, 3}}}, .call = slice_rows},
    {.name = "last, step 2, from the end", .n_in = 1, .in = {{3, {2, 3, 7}}}, .call = slice_step},
    {.name = "nothing", .n_in = 1, .in = {{2, {3, 5}}}, .call = slice_none},
};
const et_op et_op_slice = {
    .name = "slice", .args = "a", .n_out = 1, .flags = ET_OP_VIEW, .fwd = slice_fwd, .bwd = slice_bwd,
    .bwd_graph = slice_graph, ET_SAMPLES(slice_samples),
};

/** A view of x with dimension dim cut to start, start + step, ... below stop. As in Python,
 *  start and stop count from the end when negative and are cut to the size; step >= 1. */
et_tensor *(et_slice)(et_tensor *x, int dim, int64_t start, int64_t stop, int64_t step)
{
    slice_attr a = {dim, start, stop, step, 0};

    return et_apply1(&et_op_slice, 1, (et_tensor *const[]){x}, &a, sizeof a);
}

/* --- select ----------------------------------------------------------------------------------- */

ET_CALL(select_row, et_select(in[0], 0, 1))
ET_CALL(select_last, et_select(in[0], -1, -1))
static const et_sample select_samples[] = {
    {.name = "row", .n_in = 1, .in = {{2, {3, 4}}}, .call = select_row},
    {.name = "last of the last", .n_in = 1, .in = {{3, {2, 3, 4}}}, .call = select_last},
};
const et_op et_op_select = {.name = "select", .args = "a", .n_out = 1, ET_SAMPLES(select_samples)};

/** Element `index` (from the end when negative) along dim, which goes away: a view.
 *  EINVAL outside. */
et_tensor *(et_select)(et_tensor *x, int dim, int64_t index)
{
    int64_t size = x ? et_size(x, dim) : 0;

    if (x && size < 0)
        return NULL;
    if (x && (index >= size || index < -size)) {
        et_raise_here(ET_EINVAL, "select: index %lld of dimension %d of %s", (long long)index, dim,
                      et_shape_str(x));
        return NULL;
    }
    index += index < 0 ? size : 0;
    return et_squeeze(et_slice(x, dim, index, index + 1, 1), dim);
}

/* --- split and chunk --------------------------------------------------------------------------- */

static int split_call(et_tensor *const *in, et_tensor **out)
{
    return et_split(in[0], 0, 3, ET_MAX_OUT, out);
}
static int chunk_call(et_tensor *const *in, et_tensor **out)
{
    return et_chunk(in[0], -1, 3, out) ? -1 : 3;
}
static const et_sample split_samples[] = {
    {.name = "a short last one", .n_in = 1, .in = {{2, {7, 2}}}, .call = split_call},
};
static const et_sample chunk_samples[] = {
    {.name = "three gates", .n_in = 1, .in = {{2, {2, 6}}}, .call = chunk_call},
};
const et_op et_op_split = {.name = "split", .args = "a", .n_out = 1, ET_SAMPLES(split_samples)};
const et_op et_op_chunk = {.name = "chunk", .args = "a", .n_out = 1, ET_SAMPLES(chunk_samples)};

/** Views of `size` elements each along dim (the last may be shorter) to parts[0 .. max).
 *  Returns their number, or a negative status; EINVAL when there would be more than max. */
int (et_split)(et_tensor *x, int dim, int64_t size, int max, et_tensor **parts)
{
    int64_t all = x ? et_size(x, dim) : -1;

    if (!x)
        return et_raise_here(ET_EINVAL, "split: operand 0 is NULL");
    if (all < 0)
        return et_error_status();
    if (size < 1 || (all ? (all - 1) / size + 1 : 0) > max)
        return et_raise_here(ET_EINVAL,
                             "split: %s cut to pieces of %lld along dimension %d makes more than %d",
                             et_shape_str(x), (long long)size, dim, max);
    int count = (int)(all ? (all - 1) / size + 1 : 0);
    for (int i = 0; i < count; i++)
        if (!(parts[i] = et_slice(x, dim, i * size, i + 1 < count ? (i + 1) * size : all, 1)))
            return et_error_status();
    return count;
}

/** `count` views of equal size along dim to parts[0 .. count).
 *  ESHAPE when count does not divide the size. */
et_status (et_chunk)(et_tensor *x, int dim, int count, et_tensor **parts)
{
    int64_t all = x ? et_size(x, dim) : -1;

    if (!x)
        return et_raise_here(ET_EINVAL, "chunk: operand 0 is NULL");
    if (all < 0)
        return et_error_status();
    if (count < 1 || all % count)
        return et_raise_here(ET_ESHAPE, "chunk: dimension %d of %s does not divide into %d", dim,
                             et_shape_str(x), count);
    for (int i = 0; i < count; i++)
        if (!(parts[i] = et_slice(x, dim, i * (all / count), (i + 1) * (all / count), 1)))
            return et_error_status();
    return ET_OK;
}

/* --- concat and stack ---------------------------------------------------------------------------- */

typedef struct {
    int dim;
} concat_attr;

static et_status concat_shape(et_node *n)
{
    concat_attr *a = n->attr;
    int64_t shape[ET_MAX_DIMS], total = 0;

    if (n->n_in < 1)
        return et_op_raise(n, ET_EINVAL, "nothing to put together");
    const et_tensor *x = n->in[0];
    if (et_op_dim(n, x->ndim, a->dim, &a->dim))
        return ET_EINVAL;
    for (int i = 0; i < n->n_in; i++) {
        const et_tensor *t = n->in[i];
        bool fits = t->ndim == x->ndim;
        for (int d = 0; fits && d < x->ndim; d++)
            fits = d == a->dim || t->shape[d] == x->shape[d];
        if (!fits)
            return et_op_raise(n, ET_ESHAPE,
                               "shapes differ outside dimension %d: operand 0 is %s, operand %d %s", a->dim,
                               et_shape_str(x), i, et_shape_str(t));
        if (t->dtype != x->dtype)
            return et_op_raise(n, ET_EDTYPE, "dtypes differ: %s and %s", et_dtype_name(x->dtype),
                               et_dtype_name(t->dtype));
        total += t->shape[a->dim];
    }
    memcpy(shape, x->shape, sizeof shape);
    shape[a->dim] = total;
    return et_out(n, 0, x->dtype, x->ndim, shape);
}

static et_status concat_fwd(et_node *n)
{
    int dim = ET_ATTR(n, concat_attr)->dim;
    int64_t at = 0;

    for (int i = 0; i < n->n_in; i++) {
        int64_t count = n->in[i]->shape[dim];
        et_tensor v = part_of(n->out[0], dim, at, 1, count);
        if (n->in[i]->numel && et_copy_into(&v, n->in[i]))
            return et_error_status();
        at += count;
    }
    return ET_OK;
}

static et_status concat_bwd(et_node *n)
{
    int dim = ET_ATTR(n, concat_attr)->dim;
    int64_t at = 0;

    for (int i = 0; i < n->n_in; i++) {
        int64_t count = n->in[i]->shape[dim];
        et_tensor v = part_of(et_gy(n, 0), dim, at, 1, count);
        if (et_needs(n, i) && et_gx_sum(n, i, &v))
            return et_error_status();
        at += count;
    }
    return ET_OK;
}

static et_status concat_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    int dim = ET_ATTR(n, concat_attr)->dim;
    int64_t at = 0;

    for (int i = 0; i < n->n_in; i++) {
        int64_t count = n->in[i]->shape[dim];
        if (et_needs(n, i) && !(gx[i] = et_slice(gy[0], dim, at, at + count, 1)))
            return et_error_status();
        at += count;
    }
    return ET_OK;
}

ET_CALL(concat_rows, et_concat(3, in, 0))
ET_CALL(concat_last, et_concat(2, in, -1))
ET_CALL(stack_first, et_stack(2, in, 0))
ET_CALL(stack_last, et_stack(2, in, -1))
static const et_sample concat_samples[] = {
    {.name = "rows", .n_in = 3, .in = {{2, {2, 3}}, {2, {1, 3}}, {2, {3, 3}}}, .call = concat_rows},
    {.name = "last", .n_in = 2, .in = {{3, {2, 2, 3}}, {3, {2, 2, 2}}}, .call = concat_last},
    {.name = "with nothing", .n_in = 2, .in = {{2, {2, 3}}, {2, {2, 0}}}, .call = concat_last},
};
static const et_sample stack_samples[] = {
    {.name = "first", .n_in = 2, .in = {{2, {2, 3}}, {2, {2, 3}}}, .call = stack_first},
    {.name = "last", .n_in = 2, .in = {{2, {2, 3}}, {2, {2, 3}}}, .call = stack_last},
    {.name = "scalars", .n_in = 2, .in = {{0, {0}}, {0, {0}}}, .call = stack_first},
};
const et_op et_op_concat = {
    .name = "concat", .args = "a*", .n_out = 1, .shape = concat_shape, .fwd = concat_fwd, .bwd = concat_bwd,
    .bwd_graph = concat_graph, ET_SAMPLES(concat_samples),
};
const et_op et_op_stack = {.name = "stack", .args = "a*", .n_out = 1, ET_SAMPLES(stack_samples)};

/** The n tensors xs, of one dtype and of shapes that agree outside dim,
 *  behind each other along dim. */
et_tensor *(et_concat)(int n, et_tensor *const *xs, int dim)
{
    concat_attr a = {dim};

    return et_apply1(&et_op_concat, n, xs, &a, sizeof a);
}

enum { STACK_MAX = 256 };

/** The n tensors xs of one shape along a new dimension dim (-1: the last); at most 256. */
et_tensor *(et_stack)(int n, et_tensor *const *xs, int dim)
{
    et_tensor *few[STACK_MAX];

    if (n < 1 || n > STACK_MAX) {
        et_raise_here(ET_EINVAL, "stack: %d tensors, expected 1 to %d", n, STACK_MAX);
        return NULL;
    }
    for (int i = 0; i < n; i++)
        if (!(few[i] = et_unsqueeze(xs[i], dim)))
            return NULL;
    return et_concat(n, few, dim);
}
