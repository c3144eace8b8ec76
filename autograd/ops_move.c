/* Elements moved about: flip, roll, repeat, pad. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

#if 0
/* ops.h: begin */
/* What et_pad puts around a tensor. */
typedef enum et_pad_mode {
    ET_PAD_CONSTANT,
    ET_PAD_REFLECT,  /* mirrored, without repeating the edge: c b | a b c | b a */
    ET_PAD_REPLICATE /* the edge repeated: a a | a b c | c c */
} et_pad_mode;
/* ops.h: end */
#endif

/* Rows of x along dim by a list of `count` numbers that `at` computes. */
static et_tensor *by_index(et_tensor *x, int dim, int64_t count,
                           int64_t (*at)(int64_t i, int64_t size, int64_t by), int64_t by)
{
    et_tensor *index = et_empty(ET_I32, 1, &count);
    int32_t *p = index ? et_data_mut(index) : NULL;

    for (int64_t i = 0; p && i < count; i++)
        p[i] = (int32_t)at(i, et_size(x, dim), by);
    return p ? et_index_select(x, dim, index) : NULL;
}

static int64_t clamped(int64_t i, int64_t size, int64_t by)
{
    i -= by;
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

static int64_t mirrored(int64_t i, int64_t size, int64_t by)
{
    i -= by;
    return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
}

/* --- flip and roll ------------------------------------------------------------------------------ */

extern const et_op et_op_flip, et_op_roll, et_op_pad;

typedef struct {
    int dim;
    int64_t shift; /* roll */
} move_attr;

/* Blocks [size, inner] of x, moved within to y; acc: added. */
typedef struct move_job {
    const et_kernels *k;
    int64_t size, inner, blocks, shift;
    size_t bytes; /* of one element */
    const char *x;
    char *y;
    int acc;
} move_job;

static et_status move_shape(et_node *n)
{
    move_attr *a = n->attr;
    const et_tensor *x = n->in[0];

    if (a->dim < -x->ndim || a->dim >= x->ndim)
        return et_op_raise(n, ET_EINVAL, "dimension %d of %s", a->dim, et_shape_str(x));
    a->dim += a->dim < 0 ? x->ndim : 0;
    return et_out_like(n, 0, 0);
}

static void put(const move_job *j, int64_t from, int64_t to, int64_t count)
{
    const char *x = j->x + (size_t)from * j->bytes;
    char *y = j->y + (size_t)to * j->bytes;

    if (j->acc)
        j->k->binary[ET_B_ADD](count, y, 1, x, 1, y);
    else
        memcpy(y, x, (size_t)count * j->bytes);
}

static void flip_piece(int64_t lo, int64_t hi, void *user)
{
    const move_job *j = user;

    for (int64_t b = lo; b < hi; b++) {
        const int64_t at = b * j->size * j->inner;
        if (j->inner == 1)
            j->k->reverse(j->size, j->x + (size_t)at * j->bytes, j->y + (size_t)at * j->bytes, j->acc);
        else
            for (int64_t i = 0; i < j->size; i++)
                put(j, at + (j->size - 1 - i) * j->inner, at + i * j->inner, j->inner);
    }
}

static void roll_piece(int64_t lo, int64_t hi, void *user)
{
    const move_job *j = user;
    const int64_t all = j->size * j->inner, shift = j->shift * j->inner;

    for (int64_t b = lo; b < hi; b++) {
        put(j, b * all, b * all + shift, all - shift);
        put(j, b * all + all - shift, b * all, shift);
    }
}

static et_status move(et_node *n, void (*piece)(int64_t lo, int64_t hi, void *user), int64_t shift,
                      const void *x, void *y, int acc)
{
    const et_tensor *t = n->in[0];
    const int dim = ET_ATTR(n, move_attr)->dim;
    move_job j = {.k = et_k(n), .size = t->shape[dim], .inner = 1, .blocks = 1, .x = x, .y = y, .acc = acc,
                  .bytes = et_dtype_size(t->dtype)};

    if (!x || !y)
        return et_error_status();
    for (int d = 0; d < t->ndim; d++)
        *(d < dim ? &j.blocks : &j.inner) *= d == dim ? 1 : t->shape[d];
    if (!t->numel)
        return ET_OK;
    j.shift = (shift % j.size + j.size) % j.size;
    et_parallel_for(j.blocks, et_row_grain(j.blocks, j.size * j.inner), piece, &j);
    return ET_OK;
}

static et_status flip_fwd(et_node *n)
{
    return move(n, flip_piece, 0, et_contig(n, n->in[0]), et_out_data(n, 0), 0);
}

static et_status flip_bwd(et_node *n)
{
    int acc;
    const void *gy = et_gy_data(n, 0);
    void *gx = et_gx(n, 0, &acc);

    return move(n, flip_piece, 0, gy, gx, acc);
}

static et_status flip_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_flip(gy[0], ET_ATTR(n, move_attr)->dim);
    return gx[0] ? ET_OK : et_error_status();
}

static et_status roll_fwd(et_node *n)
{
    return move(n, roll_piece, ET_ATTR(n, move_attr)->shift, et_contig(n, n->in[0]), et_out_data(n, 0), 0);
}

static et_status roll_bwd(et_node *n)
{
    int acc;
    const void *gy = et_gy_data(n, 0);
    void *gx = et_gx(n, 0, &acc);

    return move(n, roll_piece, -ET_ATTR(n, move_attr)->shift, gy, gx, acc);
}

static et_status roll_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const move_attr *a = ET_ATTR(n, move_attr);

    gx[0] = et_roll(gy[0], -a->shift, a->dim);
    return gx[0] ? ET_OK : et_error_status();
}

/** x in reverse order along dim. */
et_tensor *(et_flip)(et_tensor *x, int dim)
{
    return et_apply1(&et_op_flip, 1, (et_tensor *const[]){x}, &(move_attr){dim, 0}, sizeof(move_attr));
}

/** x moved by `shift` along dim; what leaves at one end enters at the other. */
et_tensor *(et_roll)(et_tensor *x, int64_t shift, int dim)
{
    const int64_t size = x && dim >= -x->ndim && dim < x->ndim ? et_size(x, dim) : 0;
    move_attr a = {dim, size ? shift % size : 0};

    return et_apply1(&et_op_roll, 1, (et_tensor *const[]){x}, &a, sizeof a);
}

/** x repeated times[d] times along each dimension;
 *  further dimensions are put in front, as in PyTorch's repeat. */
et_tensor *(et_repeat)(et_tensor *x, int n, const int64_t *times)
{
    int64_t shape[ET_MAX_DIMS] = {0};

    if (!x || n < x->ndim || n > ET_MAX_DIMS || !times) {
        et_raise_here(ET_EINVAL, "repeat: expected at least as many counts as %s has dimensions",
                      et_shape_str(x));
        return NULL;
    }
    for (int d = 0; d < n; d++) {
        const int xd = d - (n - x->ndim);
        int64_t size;
        shape[d] = xd < 0 ? 1 : x->shape[xd];
        if (times[d] < 0 || !et_mul_i64(shape[d], times[d], &size)) {
            et_raise_here(ET_EINVAL, "repeat: %lld times along dimension %d", (long long)times[d], d);
            return NULL;
        }
    }
    x = et_reshape(x, n, shape);
    for (int d = n - 1; x && d >= 0; d--) {
        int64_t parts[3] = {1, 1, 1}; /* before d; copies; from d on */
        if (times[d] == 1)
            continue;
        for (int i = 0; i < n; i++)
            parts[i < d ? 0 : 2] *= shape[i];
        const int64_t wide[3] = {parts[0], times[d], parts[2]};
        shape[d] *= times[d];
        x = et_reshape(et_expand(et_reshape(x, 3, parts), 3, wide), n, shape);
    }
    return x;
}

/* --- pad -------------------------------------------------------------------------------------- */

typedef struct {
    int64_t before[ET_MAX_DIMS], after[ET_MAX_DIMS];
    double value;
} pad_attr;

static et_status pad_shape(et_node *n)
{
    const pad_attr *a = ET_ATTR(n, pad_attr);
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];

    for (int d = 0; d < x->ndim; d++)
        shape[d] = a->before[d] + x->shape[d] + a->after[d];
    return et_out(n, 0, x->dtype, x->ndim, shape);
}

/* Planes of rows: those of x, and where they lie in the result. */
typedef struct pad_job {
    const et_kernels *k;
    const pad_attr *a;
    int dims;            /* before the last two */
    int64_t shape[ET_MAX_DIMS], wide[ET_MAX_DIMS];
    int64_t planes, rows, width, ld; /* ld: width of the result */
    size_t bytes;
    char *x, *y;
    bool cut;            /* from y to x */
    int acc;
} pad_job;

static void pad_piece(int64_t lo, int64_t hi, void *user)
{
    const pad_job *j = user;
    const size_t row = (size_t)j->width * j->bytes;

    for (int64_t p = lo; p < hi; p++) {
        int64_t rest = p, at = 0, run = 1;
        for (int d = j->dims + 1; d >= 0; d--) {
            const int64_t c = d >= j->dims ? 0 : rest % j->shape[d];
            at += (j->a->before[d] + c) * run;
            run *= j->wide[d];
            rest /= d >= j->dims ? 1 : j->shape[d];
        }
        char *x = j->x + (size_t)(p * j->rows) * row, *y = j->y + (size_t)at * j->bytes;
        for (int64_t r = 0; r < j->rows; r++, x += row, y += (size_t)j->ld * j->bytes)
            if (j->acc)
                j->k->binary[ET_B_ADD](j->width, x, 1, y, 1, x);
            else
                memcpy(j->cut ? x : y, j->cut ? y : x, row);
    }
}

static et_status pad_run(et_node *n, const void *x, const void *y, bool cut, int acc)
{
    const et_tensor *t = n->in[0];
    pad_attr a = {{0}, {0}, 0};
    pad_job j = {.k = et_k(n), .a = &a, .bytes = et_dtype_size(t->dtype), .x = (char *)x,
                 .y = (char *)y, .planes = 1, .cut = cut, .acc = acc};
    const int more = t->ndim < 2; /* at least two dimensions */

    if (!x || !y)
        return et_error_status();
    j.shape[0] = j.wide[0] = 1;
    for (int d = 0; d < t->ndim; d++) {
        j.shape[d + more] = t->shape[d];
        j.wide[d + more] = n->out[0]->shape[d];
        a.before[d + more] = ET_ATTR(n, pad_attr)->before[d];
    }
    j.dims = t->ndim + more - 2;
    for (int d = 0; d < j.dims; d++)
        j.planes *= j.shape[d];
    j.rows = j.shape[j.dims];
    j.width = j.shape[j.dims + 1];
    j.ld = j.wide[j.dims + 1];
    if (t->numel)
        et_parallel_for(j.planes, et_row_grain(j.planes, j.rows * j.width), pad_piece, &j);
    return ET_OK;
}

static et_status pad_fwd(et_node *n)
{
    if (et_fill(n->out[0], ET_ATTR(n, pad_attr)->value))
        return et_error_status();
    return pad_run(n, et_contig(n, n->in[0]), et_out_data(n, 0), false, 0);
}

static et_status pad_bwd(et_node *n)
{
    int acc;
    const void *gy = et_gy_data(n, 0);
    void *gx = et_gx(n, 0, &acc);

    return pad_run(n, gx, gy, true, acc);
}

static et_status pad_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const pad_attr *a = ET_ATTR(n, pad_attr);
    et_tensor *g = gy[0];

    for (int d = 0; g && d < n->in[0]->ndim; d++)
        if (a->before[d] || a->after[d])
            g = et_slice(g, d, a->before[d], a->before[d] + n->in[0]->shape[d], 1);
    gx[0] = g;
    return g ? ET_OK : et_error_status();
}

static et_tensor *pad_one(et_tensor *x, int dim, int64_t before, int64_t after, et_pad_mode mode)
{
    int64_t size = et_size(x, dim);

    if (before == 0 && after == 0)
        return x;
    if (size == 0 || (mode == ET_PAD_REFLECT && (before >= size || after >= size))) {
        et_raise_here(ET_ESHAPE, "pad: %lld and %lld elements around dimension %d of %s cannot be mirrored",
                      (long long)before, (long long)after, dim, et_shape_str(x));
        return NULL;
    }
    return by_index(x, dim, before + size + after, mode == ET_PAD_REFLECT ? mirrored : clamped, before);
}

/** x with widths[2 i] elements before and widths[2 i + 1] after dimension -1 - i, for i < n_dims: the last
 *  dimension first, as in torch.nn.functional.pad. value is for ET_PAD_CONSTANT. ESHAPE where a reflection is
 *  wider than the tensor. */
et_tensor *(et_pad)(et_tensor *x, int n_dims, const int64_t *widths, et_pad_mode mode, double value)
{
    if (!x || !widths || n_dims < 0 || n_dims > x->ndim) {
        et_raise_here(ET_EINVAL, "pad: widths for %d dimensions of %s", n_dims, et_shape_str(x));
        return NULL;
    }
    if (!et_op_scope("pad"))
        return NULL;
    pad_attr a = {.value = value};
    bool any = false;
    for (int i = 0; i < n_dims; i++) {
        const int d = x->ndim - 1 - i;
        a.before[d] = widths[2 * i];
        a.after[d] = widths[2 * i + 1];
        any = any || a.before[d] || a.after[d];
        if (a.before[d] < 0 || a.after[d] < 0) {
            et_raise_here(ET_EINVAL, "pad: negative widths are not taken; use et_slice");
            return NULL;
        }
        if (a.before[d] > INT32_MAX || a.after[d] > INT32_MAX) {
            et_raise_here(ET_ESHAPE, "pad: %lld and %lld elements around dimension %d are too many",
                          (long long)a.before[d], (long long)a.after[d], d);
            return NULL;
        }
    }
    if (mode == ET_PAD_CONSTANT)
        return any ? et_apply1(&et_op_pad, 1, (et_tensor *const[]){x}, &a, sizeof a) : x;
    for (int i = 0; x && i < n_dims; i++)
        x = pad_one(x, x->ndim - 1 - i, widths[2 * i], widths[2 * i + 1], mode);
    return x;
}

ET_CALL(flip_call, et_flip(in[0], -1))
ET_CALL(flip_first, et_flip(in[0], 0))
ET_CALL(roll_call, et_roll(in[0], 2, 0))
ET_CALL(roll_back, et_roll(in[0], -3, 1))
ET_CALL(repeat_call, et_repeat(in[0], ET_SHAPE(2, 1, 3)))
ET_CALL(pad_constant, et_pad(in[0], 2, (const int64_t[]){1, 2, 0, 3}, ET_PAD_CONSTANT, 0.5))
ET_CALL(pad_all, et_pad(in[0], 4, (const int64_t[]){1, 2, 0, 3, 2, 0, 1, 1}, ET_PAD_CONSTANT, 0))
ET_CALL(pad_reflect, et_pad(in[0], 1, (const int64_t[]){2, 3}, ET_PAD_REFLECT, 0))
ET_CALL(pad_replicate, et_pad(in[0], 2, (const int64_t[]){2, 1, 1, 1}, ET_PAD_REPLICATE, 0))
static const et_sample flip_samples[] = {
    {.name = "last", .n_in = 1, .in = {{2, {2, 5}}}, .call = flip_call},
    {.name = "past a vector", .n_in = 1, .in = {{2, {2, 37}}}, .call = flip_call},
    {.name = "first", .n_in = 1, .in = {{2, {5, 2}}}, .call = flip_first},
    {.name = "empty", .n_in = 1, .in = {{2, {3, 0}}}, .call = flip_call},
};
static const et_sample roll_samples[] = {
    {.name = "forth", .n_in = 1, .in = {{2, {5, 2}}}, .call = roll_call},
    {.name = "back", .n_in = 1, .in = {{2, {2, 4}}}, .call = roll_back},
    {.name = "rows of vectors", .n_in = 1, .in = {{3, {2, 2, 19}}}, .call = roll_back},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 3}}}, .call = roll_call},
};
static const et_sample repeat_samples[] = {{.name = "matrix", .n_in = 1, .in = {{2, {2, 3}}},
                                            .call = repeat_call}};
static const et_sample pad_samples[] = {
    {.name = "constant", .n_in = 1, .in = {{2, {2, 3}}}, .call = pad_constant},
    {.name = "four dimensions", .n_in = 1, .in = {{4, {2, 3, 2, 5}}}, .call = pad_all},
    {.name = "reflect", .n_in = 1, .in = {{2, {2, 4}}}, .call = pad_reflect},
    {.name = "replicate", .n_in = 1, .in = {{3, {1, 2, 3}}}, .call = pad_replicate},
};
const et_op et_op_flip = {
    .name = "flip", .args = "r", .n_out = 1, .saves = ET_SAVE_NONE, .shape = move_shape, .fwd = flip_fwd,
    .bwd = flip_bwd, .bwd_graph = flip_graph, ET_SAMPLES(flip_samples),
};
const et_op et_op_roll = {
    .name = "roll", .args = "r", .n_out = 1, .saves = ET_SAVE_NONE, .shape = move_shape, .fwd = roll_fwd,
    .bwd = roll_bwd, .bwd_graph = roll_graph, ET_SAMPLES(roll_samples),
};
const et_op et_op_repeat = {.name = "repeat", .args = "r", .n_out = 1, ET_SAMPLES(repeat_samples)};
const et_op et_op_pad = {
    .name = "pad", .args = "a", .n_out = 1, .saves = ET_SAVE_NONE, .shape = pad_shape, .fwd = pad_fwd,
    .bwd = pad_bwd, .bwd_graph = pad_graph, ET_SAMPLES(pad_samples),
};
