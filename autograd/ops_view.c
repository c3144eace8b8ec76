/* Other shapes of the same elements: view, reshape, permute and what is made of them. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

typedef struct shape_attr {
    int ndim;
    int64_t shape[ET_MAX_DIMS];
} shape_attr;

/* --- view ------------------------------------------------------------------------------ */

/* Strides under which x's elements have `shape`, if there are any: every group of new dimensions must
 * cover a group of old ones that follow each other evenly. */
static bool view_strides(const et_tensor *x, int ndim, const int64_t *shape, int64_t *strides)
{
    int old = x->ndim - 1;
    int64_t left = 1, step = 1; /* of the group of old dimensions in hand: elements not yet covered, stride */

    if (x->numel == 0) {
        et_dense_strides(ndim, shape, strides);
        return true;
    }
    for (int d = ndim - 1; d >= 0; d--) {
        if (shape[d] == 1) {
            strides[d] = step;
            continue;
        }
        if (left == 1) {
            while (old >= 0 && x->shape[old] == 1)
                old--;
            step = x->strides[old];
            left = x->shape[old];
            int64_t next = step * left;
            while (--old >= 0 && (x->shape[old] == 1 || x->strides[old] == next)) {
                left *= x->shape[old];
                next *= x->shape[old];
            }
        }
        if (left % shape[d] != 0)
            return false;
        strides[d] = step;
        step *= shape[d];
        left /= shape[d];
    }
    return true;
}

/* The shape asked for with its -1, if any, worked out from numel. */
static et_status resolve(const char *op, const et_tensor *x, int ndim, const int64_t *shape, shape_attr *out)
{
    int64_t known = 1, span = 1; /* span: with sizes of 0 as 1, which strides are made of */
    int open = -1;
    char text[ET_SHAPE_TEXT], from[ET_SHAPE_TEXT];
    bool good = ndim >= 0 && ndim <= ET_MAX_DIMS && (shape || !ndim);

    if (!good)
        return et_raise_here(ET_ESHAPE, "%s: expected 0 to %d dimensions, got %d", op, ET_MAX_DIMS, ndim);
    *out = (shape_attr){.ndim = ndim};
    for (int d = 0; d < ndim && good; d++) {
        out->shape[d] = shape[d];
        if (shape[d] == -1) {
            good = open < 0;
            open = d;
        } else {
            good = shape[d] >= 0 && et_mul_i64(span, shape[d] ? shape[d] : 1, &span);
            known *= good ? shape[d] : 1;
        }
    }
    if (good && open >= 0) {
        good = known > 0 && x->numel % known == 0;
        out->shape[open] = good ? x->numel / known : 0;
    } else {
        good = good && known == x->numel;
    }
    return good ? ET_OK
                : et_raise_here(ET_ESHAPE, "%s: %s cannot be made %s", op,
                                et_shape_text(from, x->ndim, x->shape), et_shape_text(text, ndim, shape));
}

static et_status view_fwd(et_node *n)
{
    const shape_attr *a = ET_ATTR(n, shape_attr);
    int64_t strides[ET_MAX_DIMS];
    char text[ET_SHAPE_TEXT];

    if (!view_strides(n->in[0], a->ndim, a->shape, strides))
        return et_op_raise(n, ET_ESHAPE, "%s with these strides is not %s without a copy: use et_reshape",
                           et_shape_str(n->in[0]), et_shape_text(text, a->ndim, a->shape));
    return et_out_view(n, a->ndim, a->shape, strides, n->in[0]->offset);
}

static et_status pass(et_node *n) { return et_gx_pass(n, 0); }

static et_status view_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_reshape(gy[0], n->in[0]->ndim, n->in[0]->shape);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(view_split, et_view(et_contiguous(in[0]), ET_SHAPE(2, 3, 2)))
ET_CALL(view_merge, et_view(et_contiguous(in[0]), ET_SHAPE(-1)))
ET_CALL(view_scalar, et_view(in[0], 0, NULL))
ET_CALL(view_empty, et_view(in[0], ET_SHAPE(3, 0, 5)))
ET_CALL(view_ones, et_view(in[0], ET_SHAPE(1, 4, 1, 3, 1)))
static const et_sample view_samples[] = {
    {"split", 1, {{2, {4, 3}, 0, 0, ET_ARG_REAL}}, view_split, 0},
    {"merge, -1", 1, {{3, {2, 3, 2}, 0, 0, ET_ARG_REAL}}, view_merge, 0},
    {"to a scalar", 1, {{2, {1, 1}, 0, 0, ET_ARG_REAL}}, view_scalar, 0},
    {"nothing", 1, {{2, {0, 4}, 0, 0, ET_ARG_REAL}}, view_empty, 0},
    {"ones put in", 1, {{2, {4, 3}, 0, 0, ET_ARG_REAL}}, view_ones, 0},
};

const et_op et_op_view = {
    .name = "view",
    .args = "a",
    .n_out = 1,
    .flags = ET_OP_VIEW,
    .saves = ET_SAVE_NONE,
    .fwd = view_fwd,
    .bwd = pass,
    .bwd_graph = view_graph,
    ET_SAMPLES(view_samples),
};

static et_tensor *view_as(et_tensor *x, const shape_attr *a)
{
    return et_apply1(&et_op_view, 1, (et_tensor *const[]){x}, a, sizeof *a);
}

/**
 * x with another shape of as many elements; shares x's storage.
 *
 * shape   [ndim] sizes; one of them may be -1 and is worked out (et_view(x, ET_SHAPE(4, -1)))
 *
 * Errors: ESHAPE if the numbers of elements differ, or if x's strides do not allow it without a copy.
 */
et_tensor *(et_view)(et_tensor *x, int ndim, const int64_t *shape)
{
    shape_attr a = {0};

    if (x && resolve("view", x, ndim, shape, &a) != ET_OK)
        return NULL;
    return view_as(x, &a);
}

/* --- contiguous ------------------------------------------------------------------------------- */

static et_status contiguous_shape(et_node *n)
{
    return et_out_like(n, 0, 0);
}

static et_status contiguous_fwd(et_node *n)
{
    return et_copy_into(n->out[0], n->in[0]);
}

static et_status contiguous_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    (void)n;
    gx[0] = gy[0];
    return ET_OK;
}

ET_CALL(contiguous_swapped, et_contiguous(et_transpose(in[0], 0, 1)))
static const et_sample contiguous_samples[] = {
    {"transposed", 1, {{2, {3, 4}, 0, 0, ET_ARG_REAL}}, contiguous_swapped, 0},
    {"nothing", 1, {{2, {0, 4}, 0, 0, ET_ARG_REAL}}, contiguous_swapped, 0},
};

const et_op et_op_contiguous = {
    .name = "contiguous",
    .args = "a",
    .n_out = 1,
    .saves = ET_SAVE_NONE,
    .shape = contiguous_shape,
    .fwd = contiguous_fwd,
    .bwd = pass,
    .bwd_graph = contiguous_graph,
    ET_SAMPLES(contiguous_samples),
};

/**
 * x itself if its elements lie in row-major order without gaps, else a copy that does so.
 */
et_tensor *(et_contiguous)(et_tensor *x)
{
    if (x && (x->storage || x->blank) && et_is_contiguous(x))
        return x;
    return et_apply1(&et_op_contiguous, 1, (et_tensor *const[]){x}, NULL, 0);
}

/* --- reshape ---------------------------------------------------------------------------------- */

ET_CALL(reshape_split, et_reshape(in[0], ET_SHAPE(2, 3, 2)))
ET_CALL(reshape_swapped, et_reshape(et_transpose(in[0], 0, 1), ET_SHAPE(6, -1)))
static const et_sample reshape_samples[] = {
    {"split", 1, {{2, {4, 3}, 0, 0, ET_ARG_REAL}}, reshape_split, 0},
    {"transposed, copied", 1, {{2, {4, 3}, 0, 0, ET_ARG_REAL}}, reshape_swapped, 0},
};

const et_op et_op_reshape = {.name = "reshape", ET_SAMPLES(reshape_samples)};

/**
 * x with another shape of as many elements: a view where x's strides allow it, else of a copy.
 *
 * shape   [ndim] sizes; one of them may be -1 and is worked out
 *
 * Errors: ESHAPE if the numbers of elements differ.
 */
et_tensor *(et_reshape)(et_tensor *x, int ndim, const int64_t *shape)
{
    int64_t strides[ET_MAX_DIMS];
    shape_attr a = {0};

    if (x) {
        if (resolve("reshape", x, ndim, shape, &a) != ET_OK)
            return NULL;
        if (!view_strides(x, a.ndim, a.shape, strides))
            x = (et_contiguous)(x);
    }
    return view_as(x, &a);
}

/* --- permute ------------------------------------------------------------------------------------ */

typedef struct permute_attr {
    int ndim;
    int dims[ET_MAX_DIMS];
} permute_attr;

/* x or its gradient with the dimensions in the order of dims. */
static void permuted(const et_tensor *x, const int *dims, int64_t *shape, int64_t *strides)
{
    for (int d = 0; d < x->ndim; d++) {
        shape[d] = x->shape[dims[d]];
        strides[d] = x->strides[dims[d]];
    }
}

static et_status permute_fwd(et_node *n)
{
    int64_t shape[ET_MAX_DIMS], strides[ET_MAX_DIMS];

    permuted(n->in[0], ET_ATTR(n, permute_attr)->dims, shape, strides);
    return et_out_view(n, n->in[0]->ndim, shape, strides, n->in[0]->offset);
}

static void inverse(const permute_attr *a, int *back)
{
    for (int d = 0; d < a->ndim; d++)
        back[a->dims[d]] = d;
}

static et_status permute_bwd(et_node *n)
{
    int64_t shape[ET_MAX_DIMS], strides[ET_MAX_DIMS];
    const et_tensor *gy = et_gy(n, 0);
    int back[ET_MAX_DIMS] = {0};

    if (!gy)
        return et_error_status();
    inverse(ET_ATTR(n, permute_attr), back);
    permuted(gy, back, shape, strides);
    et_tensor *g = et_raw_view(gy, gy->ndim, shape, strides, gy->offset);
    et_status status = g ? et_gx_sum(n, 0, g) : et_error_status();
    et_scope_let_go(g);
    return status;
}

static et_status permute_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    int back[ET_MAX_DIMS] = {0};

    inverse(ET_ATTR(n, permute_attr), back);
    gx[0] = et_permute(gy[0], n->in[0]->ndim, back);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(permute_turn, et_permute(in[0], ET_DIMS(2, 0, 1)))
ET_CALL(permute_last, et_permute(in[0], ET_DIMS(0, -1, 1)))
ET_CALL(permute_scalar, et_permute(in[0], 0, NULL))
static const et_sample permute_samples[] = {
    {"turn", 1, {{3, {2, 3, 4}, 0, 0, ET_ARG_REAL}}, permute_turn, 0},
    {"from the end", 1, {{3, {2, 3, 4}, 0, 0, ET_ARG_REAL}}, permute_last, 0},
    {"scalar", 1, {{0, {0}, 0, 0, ET_ARG_REAL}}, permute_scalar, 0},
    {"nothing", 1, {{3, {2, 0, 4}, 0, 0, ET_ARG_REAL}}, permute_turn, 0},
};

const et_op et_op_permute = {
    .name = "permute",
    .args = "a",
    .n_out = 1,
    .flags = ET_OP_VIEW,
    .saves = ET_SAVE_NONE,
    .fwd = permute_fwd,
    .bwd = permute_bwd,
    .bwd_graph = permute_graph,
    ET_SAMPLES(permute_samples),
};

/**
 * x with its dimensions in another order; shares x's storage.
 *
 * dims    [ndim] each dimension of x once: y.shape[d] = x.shape[dims[d]]; negative ones count from the
 *         end (et_permute(x, ET_DIMS(0, 2, 1)))
 *
 * Errors: EINVAL unless dims names every dimension once.
 */
et_tensor *(et_permute)(et_tensor *x, int ndim, const int *dims)
{
    permute_attr a = {.ndim = ndim};
    bool seen[ET_MAX_DIMS] = {false};
    char text[ET_SHAPE_TEXT];

    if (!x)
        return et_apply1(&et_op_permute, 1, &x, &a, sizeof a);
    if (ndim != x->ndim || (ndim && !dims)) {
        et_raise_here(ET_EINVAL, "permute: %d dimensions are named, %s has %d", ndim,
                      et_shape_text(text, x->ndim, x->shape), x->ndim);
        return NULL;
    }
    for (int d = 0; d < ndim; d++) {
        const int at = dims[d] < 0 ? dims[d] + ndim : dims[d];
        if (at < 0 || at >= ndim || seen[at]) {
            et_raise_here(ET_EINVAL, "permute: dimension %d of %s is %s", dims[d],
                          et_shape_text(text, x->ndim, x->shape), at < 0 ||
                          at >= ndim ? "not there" : "named twice");
            return NULL;
        }
        seen[at] = true;
        a.dims[d] = at;
    }
    return et_apply1(&et_op_permute, 1, &x, &a, sizeof a);
}

/* --- made of these --------------------------------------------------------------------------------- */

/* dim counted from the start; -1 and an error outside 0 .. ndim-1. */
static int place(const char *op, const et_tensor *x, int dim, int ndim)
{
    char text[ET_SHAPE_TEXT];
    const int at = dim < 0 ? dim + ndim : dim;

    if (at >= 0 && at < ndim)
        return at;
    et_raise_here(ET_EINVAL, "%s: %s has no dimension %d", op, et_shape_text(text, x->ndim, x->shape), dim);
    return -1;
}

ET_CALL(transpose_ends, et_transpose(in[0], 0, -1))
static const et_sample transpose_samples[] = {
    {"first and last", 1, {{3, {2, 3, 4}, 0, 0, ET_ARG_REAL}}, transpose_ends, 0},
};
const et_op et_op_transpose = {.name = "transpose", ET_SAMPLES(transpose_samples)};

/**
 * x with dimensions d0 and d1 exchanged; shares x's storage. Negative ones count from the end.
 * Errors: EINVAL outside.
 */
et_tensor *(et_transpose)(et_tensor *x, int d0, int d1)
{
    int dims[ET_MAX_DIMS];
    int a, b;

    if (!x)
        return (et_permute)(NULL, 0, NULL);
    if ((a = place("transpose", x, d0, x->ndim)) < 0 || (b = place("transpose", x, d1, x->ndim)) < 0)
        return NULL;
    for (int d = 0; d < x->ndim; d++)
        dims[d] = d == a ? b : d == b ? a : d;
    return (et_permute)(x, x->ndim, dims);
}

ET_CALL(unsqueeze_first, et_unsqueeze(in[0], 0))
ET_CALL(unsqueeze_last, et_unsqueeze(in[0], -1))
static const et_sample unsqueeze_samples[] = {
    {"first", 1, {{2, {3, 4}, 0, 0, ET_ARG_REAL}}, unsqueeze_first, 0},
    {"last", 1, {{2, {3, 4}, 0, 0, ET_ARG_REAL}}, unsqueeze_last, 0},
};
const et_op et_op_unsqueeze = {.name = "unsqueeze", ET_SAMPLES(unsqueeze_samples)};

/**
 * x with a dimension of size one put in at place dim of the result; -1 puts it last.
 * Errors: EINVAL outside; ESHAPE for too many dimensions.
 */
et_tensor *(et_unsqueeze)(et_tensor *x, int dim)
{
    shape_attr a = {0};
    int at;

    if (!x)
        return view_as(x, &a);
    if ((at = place("unsqueeze", x, dim, x->ndim + 1)) < 0)
        return NULL;
    if (x->ndim == ET_MAX_DIMS) {
        et_raise_here(ET_ESHAPE, "unsqueeze: the tensor has %d dimensions already", ET_MAX_DIMS);
        return NULL;
    }
    for (int d = 0; d < x->ndim; d++)
        a.shape[d + (d >= at)] = x->shape[d];
    a.shape[at] = 1;
    a.ndim = x->ndim + 1;
    return view_as(x, &a);
}

ET_CALL(squeeze_middle, et_squeeze(in[0], 1))
ET_CALL(squeeze_wide, et_squeeze(in[0], -1))
static const et_sample squeeze_samples[] = {
    {"middle", 1, {{3, {3, 1, 4}, 0, 0, ET_ARG_REAL}}, squeeze_middle, 0},
    {"not of size one", 1, {{2, {3, 4}, 0, 0, ET_ARG_REAL}}, squeeze_wide, 0},
};
const et_op et_op_squeeze = {.name = "squeeze", ET_SAMPLES(squeeze_samples)};

/**
 * x without dimension dim if that is of size one, else x as it is. Negative dims count from the end.
 * Errors: EINVAL outside.
 */
et_tensor *(et_squeeze)(et_tensor *x, int dim)
{
    shape_attr a = {0};
    int at;

    if (!x)
        return view_as(x, &a);
    if ((at = place("squeeze", x, dim, x->ndim)) < 0)
        return NULL;
    for (int d = 0; d < x->ndim; d++)
        if (d != at || x->shape[d] != 1)
            a.shape[a.ndim++] = x->shape[d];
    return view_as(x, &a);
}

ET_CALL(flatten_tail, et_flatten(in[0], 1, -1))
ET_CALL(flatten_all, et_flatten(in[0], 0, -1))
static const et_sample flatten_samples[] = {
    {"but the first", 1, {{3, {2, 3, 4}, 0, 0, ET_ARG_REAL}}, flatten_tail, 0},
    {"all", 1, {{3, {2, 3, 4}, 0, 0, ET_ARG_REAL}}, flatten_all, 0},
};
const et_op et_op_flatten = {.name = "flatten", ET_SAMPLES(flatten_samples)};

/**
 * x with dimensions first .. last made one (a view where possible); a scalar becomes [1]. Negative ones
 * count from the end. Errors: EINVAL outside, or last before first.
 */
et_tensor *(et_flatten)(et_tensor *x, int first, int last)
{
    shape_attr a = {0};
    int from, to;

    if (!x || x->ndim == 0)
        return (et_reshape)(x, 1, (const int64_t[]){1});
    if ((from = place("flatten", x, first, x->ndim)) < 0 || (to = place("flatten", x, last, x->ndim)) < 0)
        return NULL;
    if (to < from) {
        et_raise_here(ET_EINVAL, "flatten: dimension %d comes before %d", last, first);
        return NULL;
    }
    for (int d = 0; d < x->ndim; d++) {
        if (d > from && d <= to)
            a.shape[a.ndim - 1] *= x->shape[d];
        else
            a.shape[a.ndim++] = x->shape[d];
    }
    return (et_reshape)(x, a.ndim, a.shape);
}
