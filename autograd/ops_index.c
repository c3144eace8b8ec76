/* Elements by number: gather, scatter_add, index_select, reverse_by_length, embedding, one_hot. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

typedef struct {
    int dim;
    int64_t padding; /* of embedding: this id has no gradient; -1: none */
} index_attr;

et_tensor *et_index_along(const et_tensor *index, int dim, int ndim, const int64_t *shape)
{
    int64_t strides[ET_MAX_DIMS] = {0};

    if (!index)
        return NULL;
    strides[dim] = index->strides[0];
    return et_raw_view(index, ndim, shape, strides, index->offset);
}

static et_status bad_index(const et_node *n, int64_t id, int64_t size)
{
    return et_op_raise(n, ET_EINVAL, "index %lld is outside 0 .. %lld", (long long)id, (long long)size - 1);
}

/* --- walking an index tensor ----------------------------------------------------------------- */

/* Entry c of line l names `run` neighbours of x, from x's element at(l) + id x_step + c c_step on. Lines lie
 * along dim where index is the same for all that is behind it, so that a run is all of that, else along the
 * last dimension. Lines of one block, those with the same place before dim, are neighbours. */
typedef struct walk {
    const int32_t *id;   /* the different ones, [ids] */
    int64_t ids;
    int dims;            /* of the lines' places */
    int64_t shape[ET_MAX_DIMS], id_strides[ET_MAX_DIMS], x_strides[ET_MAX_DIMS];
    int64_t lines, blocks, count, run, id_step, x_step, c_step;
    int64_t padding;     /* entries with this id are left out of sums */
    int64_t strips, strip; /* for sums: parts of a block, and runs or entries in each */
    const et_kernels *k;
    size_t size;
    const char *from;
    char *to;
} walk;

/* In forward; backward has the same ids. */
static et_status check_ids(const et_node *n, const walk *w, int64_t size)
{
    int32_t least, most;

    w->k->range(w->ids, w->id, &least, &most);
    for (int64_t i = 0; (least < 0 || most >= size) && i < w->ids; i++)
        if (w->id[i] < 0 || w->id[i] >= size)
            return bad_index(n, w->id[i], size);
    return ET_OK;
}

/* index has x's dimensions. */
static et_status walk_init(walk *w, et_node *n, const et_tensor *x, const et_tensor *index, int dim)
{
    et_tensor once = *index;
    int64_t id_stride = 1, x_stride = 1, behind = 1;
    bool same = true;

    *w = (walk){.k = et_k(n), .size = et_dtype_size(x->dtype), .lines = 1, .blocks = 1, .run = 1,
                .padding = -1};
    for (int d = 0; d < x->ndim; d++)
        if (index->numel && index->strides[d] == 0) {
            once.numel /= once.shape[d];
            once.shape[d] = 1;
        }
    if (!(w->id = et_contig(n, &once)))
        return et_error_status();
    for (int d = dim + 1; d < x->ndim; d++) {
        same = same && once.shape[d] == 1 && index->shape[d] == x->shape[d];
        behind *= x->shape[d];
    }
    const int along = same ? dim : x->ndim - 1;
    w->run = same ? behind : 1;
    w->count = index->shape[along];
    w->c_step = !same;
    w->x_step = behind;
    for (int d = x->ndim - 1; d >= 0; d--) {
        const int64_t stride = once.shape[d] == 1 ? 0 : id_stride;
        if (d == along) {
            w->id_step = stride;
        } else if (d < along) {
            w->shape[d] = index->shape[d];
            w->id_strides[d] = stride;
            w->x_strides[d] = d == dim ? 0 : x_stride;
            w->lines *= index->shape[d];
            w->blocks *= d < dim ? index->shape[d] : 1;
        }
        id_stride *= once.shape[d];
        x_stride *= x->shape[d];
    }
    w->dims = along;
    w->ids = once.numel;
    return ET_OK;
}

/* Where the ids of line l begin; *x receives where its part of x does. */
static const int32_t *walk_line(const walk *w, int64_t l, int64_t *x)
{
    int64_t id = 0;

    *x = 0;
    for (int d = w->dims - 1; d >= 0; d--) {
        const int64_t c = l % w->shape[d];
        l /= w->shape[d];
        id += c * w->id_strides[d];
        *x += c * w->x_strides[d];
    }
    return w->id + id;
}

/* to[c] = from[id[c] x_step + c c_step] */
#define GATHER_LINE(type) \
    do { \
        const type *from = (const type *)w->from + x; \
        type *to = (type *)w->to + lo; \
        if (w->x_step == 1 && w->id_step == 1) /* along the last dimension */ \
            for (int64_t c = 0; c < m; c++) \
                to[c] = from[id[c]]; \
        else \
            for (int64_t c = 0; c < m; c++) \
                to[c] = from[id[c * w->id_step] * w->x_step + c * w->c_step]; \
    } while (0)

/* Entries lo .. hi-1, counted through all lines. */
static void gather_piece(int64_t lo, int64_t hi, void *user)
{
    const walk *w = user;

    for (int64_t m; lo < hi; lo += m) {
        const int64_t first = lo % w->count;
        int64_t x;
        const int32_t *id = walk_line(w, lo / w->count, &x) + first * w->id_step;
        const size_t row = (size_t)w->run * w->size;
        m = min64(hi - lo, w->count - first);
        x += first * w->c_step;
        if (w->run == 1 && w->size == 4)
            GATHER_LINE(uint32_t);
        else if (w->run == 1)
            GATHER_LINE(uint64_t);
        else
            for (int64_t c = 0; c < m; c++)
                memcpy(w->to + (size_t)(lo + c) * row,
                       w->from + (size_t)(x + id[c * w->id_step] * w->x_step) * w->size, row);
    }
}

/* to[i] = the element of from that entry i names */
static void walk_gather(walk *w, const void *from, void *to)
{
    const int64_t entries = w->run ? w->lines * w->count : 0;

    w->from = from;
    w->to = to;
    et_parallel_for(entries, et_row_grain(entries, w->run), gather_piece, w);
}

#define ADD_LINE(type) \
    do { \
        const type *from = (const type *)w->from + l * w->count + lo; \
        type *to = (type *)w->to + x; \
        for (int64_t c = lo; c < hi; c++) \
            to[id[c * w->id_step] * w->x_step + c * w->c_step] += *from++; \
    } while (0)

/* True where sums go run by run; else they go number by number, and no id is left out. */
static bool by_runs(const walk *w) { return w->run > 1 || w->padding >= 0; }

/* Columns lo .. hi-1 of the runs of line l. */
static void add_runs(const walk *w, int64_t l, const int32_t *id, int64_t x, int64_t lo, int64_t hi)
{
    for (int64_t c = 0; c < w->count; c++) {
        const int64_t row = id[c * w->id_step];
        if (row == w->padding)
            continue;
        const char *from = w->from + (size_t)((l * w->count + c) * w->run + lo) * w->size;
        char *to = w->to + (size_t)(x + row * w->x_step + lo) * w->size;
        w->k->binary[ET_B_ADD](hi - lo, to, 1, from, 1, to);
    }
}

/* Strips of blocks: what is added to one element is in one strip, in index's order. */
static void scatter_piece(int64_t first, int64_t end, void *user)
{
    const walk *w = user;
    const int64_t lines = w->lines / w->blocks;

    for (int64_t s = first; s < end; s++) {
        const int64_t lo = s % w->strips * w->strip,
                      hi = min64(lo + w->strip, by_runs(w) ? w->run : w->count), block = s / w->strips;
        for (int64_t l = block * lines; l < (block + 1) * lines; l++) {
            int64_t x;
            const int32_t *id = walk_line(w, l, &x);
            if (by_runs(w))
                add_runs(w, l, id, x, lo, hi);
            else if (w->size == 4)
                ADD_LINE(float);
            else
                ADD_LINE(double);
        }
    }
}

/* Element i of from is added to the element of `to` that entry i names. */
static void walk_add(walk *w, const void *from, void *to)
{
    const int64_t all = by_runs(w) ? w->run : w->count;
    const int64_t entries = w->run ? w->lines * w->count : 0;

    if (!entries)
        return;
    w->from = from;
    w->to = to;
    w->strip = all;
    if (w->blocks == 1 && (by_runs(w) || w->c_step)) /* else entries of one line may meet */
        w->strip = min64(all, round_up(ceil_div(et_elem_grain(), by_runs(w) ? entries : w->lines), 64));
    w->strips = ceil_div(all, w->strip);
    const int64_t pieces = w->blocks * w->strips;
    et_parallel_for(pieces, et_row_grain(pieces, entries * w->run / pieces), scatter_piece, w);
}

/* index must have x's dimensions, none larger but along dim. */
static et_status check_index(const et_node *n, const et_tensor *x, const et_tensor *index, int dim)
{
    bool fits = x->ndim == index->ndim;

    for (int d = 0; fits && d < x->ndim; d++)
        fits = d == dim || index->shape[d] <= x->shape[d];
    if (!fits)
        return et_op_raise(n, ET_ESHAPE, "index %s does not fit %s along dimension %d", et_shape_str(index),
                           et_shape_str(x), dim);
    return ET_OK;
}

/* --- gather ------------------------------------------------------------------------------------- */

static et_status gather_shape(et_node *n)
{
    index_attr *a = n->attr;
    const et_tensor *x = n->in[0], *index = n->in[1];

    if (et_op_dim(n, x->ndim, a->dim, &a->dim) || check_index(n, x, index, a->dim))
        return et_error_status();
    return et_out(n, 0, x->dtype, index->ndim, index->shape);
}

static et_status gather_fwd(et_node *n)
{
    const void *x = et_contig(n, n->in[0]);
    void *y = et_out_data(n, 0);
    const int dim = ET_ATTR(n, index_attr)->dim;
    walk w;

    if (!x || !y || walk_init(&w, n, n->in[0], n->in[1], dim) || check_ids(n, &w, n->in[0]->shape[dim]))
        return et_error_status();
    walk_gather(&w, x, y);
    return ET_OK;
}

static et_status gather_bwd(et_node *n)
{
    const void *gy = et_gy_data(n, 0);
    void *gx = et_gx_add(n, 0);
    walk w;

    if (!gy || !gx || walk_init(&w, n, n->in[0], n->in[1], ET_ATTR(n, index_attr)->dim))
        return et_error_status();
    walk_add(&w, gy, gx);
    return ET_OK;
}

static et_status gather_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const et_tensor *x = n->in[0];

    gx[0] = et_scatter_add(et_zeros(x->dtype, x->ndim, x->shape), ET_ATTR(n, index_attr)->dim, n->in[1],
                           gy[0]);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(gather_first, et_gather(in[0], 0, in[1]))
ET_CALL(gather_last, et_gather(in[0], -1, in[1]))
static const et_sample gather_samples[] = {
    {.name = "first", .n_in = 2, .in = {{2, {4, 3}}, {2, {6, 3}, 0, 4, ET_ARG_INDEX}}, .call = gather_first},
    {.name = "last, fewer rows", .n_in = 2, .in = {{2, {4, 5}}, {2, {3, 7}, 0, 5, ET_ARG_INDEX}},
     .call = gather_last},
    {.name = "first, fewer behind", .n_in = 2, .in = {{3, {3, 2, 19}}, {3, {4, 1, 17}, 0, 3, ET_ARG_INDEX}},
     .call = gather_first},
    {.name = "nothing", .n_in = 2, .in = {{2, {4, 5}}, {2, {4, 0}, 0, 5, ET_ARG_INDEX}}, .call = gather_last},
};
const et_op et_op_gather = {
    .name = "gather", .args = "r i", .n_out = 1, .saves = ET_SAVE_IN(1), .shape = gather_shape,
    .fwd = gather_fwd, .bwd = gather_bwd, .bwd_graph = gather_graph, ET_SAMPLES(gather_samples),
};

/** y[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on: y has the shape of index
 *  (int32, x's number of dimensions, none larger than x's but along dim). EINVAL for an
 *  index outside. */
et_tensor *(et_gather)(et_tensor *x, int dim, et_tensor *index)
{
    return et_apply1(&et_op_gather, 2, (et_tensor *const[]){x, index}, &(index_attr){.dim = dim},
                     sizeof(index_attr));
}

/* --- scatter_add --------------------------------------------------------------------------------- */

static et_status scatter_shape(et_node *n)
{
    index_attr *a = n->attr;
    const et_tensor *x = n->in[0], *index = n->in[1], *src = n->in[2];

    if (et_op_dim(n, x->ndim, a->dim, &a->dim) || check_index(n, x, index, a->dim))
        return et_error_status();
    if (!et_same_shape(index, src))
        return et_op_raise(n, ET_ESHAPE, "index is %s, the source %s", et_shape_str(index),
                           et_shape_str(src));
    return et_out_like(n, 0, 0);
}

static et_status scatter_fwd(et_node *n)
{
    const void *src = et_contig(n, n->in[2]);
    const int dim = ET_ATTR(n, index_attr)->dim;
    walk w;

    if (!src || et_copy_into(n->out[0], n->in[0]) || walk_init(&w, n, n->in[0], n->in[1], dim) ||
        check_ids(n, &w, n->in[0]->shape[dim]))
        return et_error_status();
    walk_add(&w, src, et_out_data(n, 0));
    return ET_OK;
}

static et_status scatter_bwd(et_node *n)
{
    const et_tensor *src = n->in[2];

    if (et_needs(n, 2)) {
        const void *gy = et_gy_data(n, 0);
        int acc;
        walk w;
        void *gs = et_gx(n, 2, &acc), *part = gs;
        if (acc)
            part = et_scratch(n, (size_t)src->numel * et_dtype_size(src->dtype) + 1);
        if (!gy || !gs || !part || walk_init(&w, n, n->in[0], n->in[1], ET_ATTR(n, index_attr)->dim))
            return et_error_status();
        walk_gather(&w, gy, part);
        if (acc)
            w.k->axpby(src->numel, 1, part, 1, gs);
    }
    return et_needs(n, 0) ? et_gx_pass(n, 0) : ET_OK;
}

static et_status scatter_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = gy[0];
    if (et_needs(n, 2) && !(gx[2] = et_gather(gy[0], ET_ATTR(n, index_attr)->dim, n->in[1])))
        return et_error_status();
    return ET_OK;
}

ET_CALL(scatter_first, et_scatter_add(in[0], 0, in[1], in[2]))
ET_CALL(scatter_last, et_scatter_add(in[0], -1, in[1], in[2]))
static const et_sample scatter_samples[] = {
    {.name = "first", .n_in = 3, .in = {{2, {4, 3}}, {2, {6, 3}, 0, 4, ET_ARG_INDEX}, {2, {6, 3}}},
     .call = scatter_first},
    {.name = "last, fewer rows", .n_in = 3, .in = {{2, {4, 5}}, {2, {3, 7}, 0, 5, ET_ARG_INDEX}, {2, {3, 7}}},
     .call = scatter_last},
};
const et_op et_op_scatter_add = {
    .name = "scatter_add", .args = "r i r", .n_out = 1, .saves = ET_SAVE_IN(1), .shape = scatter_shape,
    .fwd = scatter_fwd, .bwd = scatter_bwd, .bwd_graph = scatter_graph, ET_SAMPLES(scatter_samples),
};

/** y = x, with src[i][j][k] added at [index[i][j][k]][j][k] for dim 0, and so on, in
 *  row-major order. index int32 and src of one shape. EINVAL for an index outside. */
et_tensor *(et_scatter_add)(et_tensor *x, int dim, et_tensor *index, et_tensor *src)
{
    return et_apply1(&et_op_scatter_add, 3, (et_tensor *const[]){x, index, src}, &(index_attr){.dim = dim},
                     sizeof(index_attr));
}

/* --- index_select -------------------------------------------------------------------------------- */

ET_CALL(select_first, et_index_select(in[0], 0, in[1]))
ET_CALL(select_middle, et_index_select(in[0], 1, in[1]))
static const et_sample index_select_samples[] = {
    {.name = "rows", .n_in = 2, .in = {{2, {4, 3}}, {1, {6}, 0, 4, ET_ARG_INDEX}}, .call = select_first},
    {.name = "middle", .n_in = 2, .in = {{3, {2, 3, 4}}, {1, {2}, 0, 3, ET_ARG_INDEX}},
     .call = select_middle},
    {.name = "one of each row", .n_in = 2, .in = {{2, {3, 5}}, {1, {1}, 0, 5, ET_ARG_INDEX}},
     .call = select_middle},
};
const et_op et_op_index_select = {.name = "index_select", .args = "r i", .n_out = 1,
                                  ET_SAMPLES(index_select_samples)};

/** The slices of x along dim that index [n] (int32) names, in that order. EINVAL for an
 *  index outside, ESHAPE unless index has one dimension. */
et_tensor *(et_index_select)(et_tensor *x, int dim, et_tensor *index)
{
    int64_t shape[ET_MAX_DIMS];

    if (!x || !index || !index->storage)
        return et_gather(x, dim, index);
    if (!et_op_scope("index_select") || et_size(x, dim) < 0)
        return NULL;
    if (index->ndim != 1) {
        et_raise_here(ET_ESHAPE, "index_select: index is %s, expected one dimension", et_shape_str(index));
        return NULL;
    }
    dim += dim < 0 ? x->ndim : 0;
    memcpy(shape, x->shape, sizeof shape);
    shape[dim] = index->shape[0];
    return et_gather(x, dim, et_index_along(index, dim, x->ndim, shape));
}

/* --- reverse_by_length ----------------------------------------------------------------------------- */

ET_CALL(reverse_call, et_reverse_by_length(in[0], in[1]))
static const et_sample reverse_samples[] = {
    {.name = "sequences", .n_in = 2, .in = {{3, {3, 5, 2}}, {1, {3}, 0, 6, ET_ARG_INDEX}},
     .call = reverse_call},
    {.name = "numbers", .n_in = 2, .in = {{2, {4, 3}}, {1, {4}, 1, 4, ET_ARG_INDEX}}, .call = reverse_call},
};
const et_op et_op_reverse_by_length = {.name = "reverse_by_length", .args = "r i", .n_out = 1,
                                       ET_SAMPLES(reverse_samples)};

/** Sequences x [B, T, ...] with the first lengths[b] steps (int32 [B], 0 .. T) of each in reverse
 *  order and the rest as it is: what a backward direction over padded sequences reads. */
et_tensor *(et_reverse_by_length)(et_tensor *x, et_tensor *lengths)
{
    int64_t strides[ET_MAX_DIMS] = {0};

    if (!x || !lengths || !lengths->storage || (!x->storage && !x->blank))
        return et_gather(x, 0, lengths);
    if (!et_op_scope("reverse_by_length"))
        return NULL;
    if (lengths->dtype != ET_I32) {
        et_raise_here(ET_EDTYPE, "reverse_by_length: lengths are %s, expected int32",
                      et_dtype_name(lengths->dtype));
        return NULL;
    }
    if (x->ndim < 2 || lengths->ndim != 1 || lengths->shape[0] != x->shape[0] || x->shape[1] > INT32_MAX) {
        et_raise_here(ET_ESHAPE, "reverse_by_length: x is %s and lengths %s, expected [B, T, ...] and [B]",
                      et_shape_str(x), et_shape_str(lengths));
        return NULL;
    }
    const int64_t B = x->shape[0], T = x->shape[1];
    et_tensor *index = et_empty(ET_I32, 2, x->shape);
    int32_t *p = index ? et_data_mut(index) : NULL;
    const int32_t *n = et_data(lengths);
    if (!p || !n)
        return NULL;
    for (int64_t b = 0; b < B; b++) {
        const int32_t length = n[b * lengths->strides[0]];
        if (length < 0 || length > T) {
            et_raise_here(ET_EINVAL, "reverse_by_length: length %d of sequence %lld is outside 0 .. %lld",
                          (int)length, (long long)b, (long long)T);
            return NULL;
        }
        for (int64_t t = 0; t < T; t++)
            p[b * T + t] = (int32_t)(t < length ? length - 1 - t : t);
    }
    strides[0] = T;
    strides[1] = 1;
    return et_gather(x, 1, et_raw_view(index, x->ndim, x->shape, strides, index->offset));
}

/* --- embedding -------------------------------------------------------------------------------------- */

static et_status embedding_shape(et_node *n)
{
    const et_tensor *w = n->in[0], *ids = n->in[1];
    int64_t shape[ET_MAX_DIMS];

    if (w->ndim != 2)
        return et_op_raise(n, ET_ESHAPE, "the table is %s, expected [words, width]", et_shape_str(w));
    if (ids->ndim == ET_MAX_DIMS)
        return et_op_raise(n, ET_ESHAPE, "too many dimensions in ids %s", et_shape_str(ids));
    memcpy(shape, ids->shape, sizeof shape);
    shape[ids->ndim] = w->shape[1];
    return et_out(n, 0, w->dtype, ids->ndim + 1, shape);
}

/* Rows of the table are runs, the ids one line. */
static et_status embedding_walk(walk *w, et_node *n)
{
    const et_tensor *table = n->in[0], *ids = n->in[1];

    *w = (walk){.id = et_contig(n, ids), .ids = ids->numel, .lines = 1, .blocks = 1, .count = ids->numel,
                .run = table->shape[1], .id_step = 1, .x_step = table->shape[1],
                .padding = ET_ATTR(n, index_attr)->padding, .k = et_k(n),
                .size = et_dtype_size(table->dtype)};
    return w->id ? ET_OK : et_error_status();
}

static et_status embedding_fwd(et_node *n)
{
    const void *table = et_contig(n, n->in[0]);
    void *y = et_out_data(n, 0);
    walk w;

    if (!table || !y || embedding_walk(&w, n) || check_ids(n, &w, n->in[0]->shape[0]))
        return et_error_status();
    walk_gather(&w, table, y);
    return ET_OK;
}

static et_status embedding_bwd(et_node *n)
{
    const void *gy = et_gy_data(n, 0);
    void *gx = et_gx_add(n, 0);
    walk w;

    if (!gy || !gx || embedding_walk(&w, n))
        return et_error_status();
    walk_add(&w, gy, gx);
    return ET_OK;
}

static et_status embedding_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const index_attr *a = ET_ATTR(n, index_attr);
    et_tensor *w = n->in[0], *ids = n->in[1], *g = gy[0];
    int64_t shape[2] = {ids->numel, w->shape[1]};
    et_tensor *flat = et_reshape(ids, 1, &ids->numel);

    g = et_reshape(g, 2, shape);
    if (a->padding >= 0 && flat && g) { /* no gradient from the padding's rows */
        et_tensor *mask = et_empty(w->dtype, 2, (const int64_t[]){ids->numel, 1});
        const int32_t *id = et_contig(n, ids);
        for (int64_t i = 0; mask && id && i < ids->numel; i++)
            et_set(mask, (const int64_t[]){i, 0}, id[i] != a->padding);
        g = et_mul(g, mask);
    }
    gx[0] = et_scatter_add(et_zeros(w->dtype, 2, w->shape), 0, et_index_along(flat, 0, 2, shape), g);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(embedding_call, et_embedding(in[0], in[1], -1))
ET_CALL(embedding_padded, et_embedding(in[0], in[1], 2))
static const et_sample embedding_samples[] = {
    {.name = "a batch of words", .n_in = 2, .in = {{2, {5, 3}}, {2, {2, 4}, 0, 5, ET_ARG_INDEX}},
     .call = embedding_call},
    {.name = "past a vector", .n_in = 2, .in = {{2, {3, 19}}, {1, {6}, 0, 3, ET_ARG_INDEX}},
     .call = embedding_call},
    {.name = "past a piece", .n_in = 2, .in = {{2, {5, 131}}, {1, {600}, 0, 5, ET_ARG_INDEX}},
     .call = embedding_call},
    /* The padding's row has no gradient, though it has a derivative: only bwd and bwd_graph are compared. */
    {.name = "padding", .n_in = 2, .in = {{2, {4, 3}}, {1, {9}, 0, 4, ET_ARG_INDEX}},
     .call = embedding_padded, .tol = 1e30},
    {.name = "no words", .n_in = 2, .in = {{2, {3, 4}}, {1, {0}, 0, 3, ET_ARG_INDEX}},
     .call = embedding_call},
};
const et_op et_op_embedding = {
    .name = "embedding", .args = "r i", .n_out = 1, .saves = ET_SAVE_IN(1), .shape = embedding_shape,
    .fwd = embedding_fwd, .bwd = embedding_bwd, .bwd_graph = embedding_graph, ET_SAMPLES(embedding_samples),
};

/** Rows of weight [V, D] by number: y [..., D] for ids int32 [...]. The row padding_idx (-1:
 *  none) receives no gradient. EINVAL for an id outside 0 .. V-1. */
et_tensor *(et_embedding)(et_tensor *weight, et_tensor *ids, int64_t padding_idx)
{
    return et_apply1(&et_op_embedding, 2, (et_tensor *const[]){weight, ids}, &(index_attr){0, padding_idx},
                     sizeof(index_attr));
}

/* --- one_hot ------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t classes;
    et_dtype dtype;
} one_hot_attr;

static et_status one_hot_shape(et_node *n)
{
    const one_hot_attr *a = ET_ATTR(n, one_hot_attr);
    const et_tensor *ids = n->in[0];
    int64_t shape[ET_MAX_DIMS];

    if (a->classes < 1 || ids->ndim == ET_MAX_DIMS)
        return et_op_raise(n, ET_EINVAL, "%lld classes for ids %s", (long long)a->classes, et_shape_str(ids));
    if (!et_dtype_is_real(a->dtype))
        return et_op_raise(n, ET_EDTYPE, "cannot make %s, expected float32 or float64",
                           et_dtype_name(a->dtype));
    memcpy(shape, ids->shape, sizeof shape);
    shape[ids->ndim] = a->classes;
    return et_out(n, 0, a->dtype, ids->ndim + 1, shape);
}

static et_status one_hot_fwd(et_node *n)
{
    const one_hot_attr *a = ET_ATTR(n, one_hot_attr);
    const et_tensor *ids = n->in[0];
    const int32_t *id = et_contig(n, ids);

    if (!id || et_fill(n->out[0], 0))
        return et_error_status();
    void *y = et_out_data(n, 0);
    for (int64_t i = 0; i < ids->numel; i++) {
        if (id[i] < 0 || id[i] >= a->classes)
            return bad_index(n, id[i], a->classes);
        et_add_real(n->out[0], y, i * a->classes + id[i], 1);
    }
    return ET_OK;
}

ET_CALL(one_hot_call, et_one_hot(in[0], 4, ET_F64))
static const et_sample one_hot_samples[] = {
    {.name = "a batch", .n_in = 1, .in = {{2, {2, 3}, 0, 4, ET_ARG_INDEX}}, .call = one_hot_call},
};
const et_op et_op_one_hot = {
    .name = "one_hot", .args = "i", .n_out = 1, .flags = ET_OP_NODIFF, .shape = one_hot_shape,
    .fwd = one_hot_fwd, ET_SAMPLES(one_hot_samples),
};

/** y [..., classes]: 1 at ids [...] (int32), else 0, in float32 or float64. Has no
 *  gradient. EINVAL for an id outside. */
et_tensor *(et_one_hot)(et_tensor *ids, int64_t classes, et_dtype dtype)
{
    return et_apply1(&et_op_one_hot, 1, (et_tensor *const[]){ids}, &(one_hot_attr){classes, dtype},
                     sizeof(one_hot_attr));
}
