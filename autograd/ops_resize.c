/* Interpolation along one dimension. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

#if 0
/* ops.h: begin */
/* How et_resize mixes neighbours. */
typedef enum et_resize_mode {
    ET_RESIZE_LINEAR, /* of two; two dimensions, one after the other: bilinear */
    ET_RESIZE_CUBIC   /* of four, by the cubic convolution kernel, a = -0.75 (Keys 1981); bicubic likewise */
} et_resize_mode;
/* ops.h: end */
#endif

enum { TAPS = 4, FEW = 4 /* columns */ };

typedef struct resize_attr {
    int dim, mode;
    bool align, transposed;
    int64_t from, to; /* sizes along dim; transposed: gradients of `to` elements become gradients of `from` */
} resize_attr;

/* What element i of the result is made of: `count` neighbours with their weights. */
typedef struct taps {
    int count;
    int64_t at[TAPS];
    double weight[TAPS];
} taps;

/* (a + 2) |t|^3 - (a + 3) |t|^2 + 1 for |t| <= 1, a |t|^3 - 5a |t|^2 + 8a |t| - 4a for |t| < 2 */
static double keys(double t)
{
    const double a = -0.75;

    t = fabs(t);
    return t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((t - 5) * t + 8) * t * a - 4 * a : 0;
}

static int64_t inside(int64_t i, int64_t size) { return i < 0 ? 0 : i < size ? i : size - 1; }

/* Element i lies at i (from - 1) / (to - 1) with aligned corners, else at (i + 1/2) from / to - 1/2. */
static taps taps_of(const resize_attr *a, int64_t i)
{
    taps t = {0};
    double s;

    if (a->align)
        s = a->to > 1 ? (double)i * (double)(a->from - 1) / (double)(a->to - 1) : 0;
    else
        s = ((double)i + 0.5) * (double)a->from / (double)a->to - 0.5;
    if (a->mode == ET_RESIZE_LINEAR && s < 0)
        s = 0;
    const int64_t left = (int64_t)floor(s);
    const double f = s - (double)left;
    if (a->mode == ET_RESIZE_LINEAR) {
        t.count = 2;
        t.at[0] = inside(left, a->from);
        t.at[1] = inside(left + 1, a->from);
        t.weight[0] = 1 - f;
        t.weight[1] = f;
    } else {
        t.count = 4;
        for (int k = 0; k < 4; k++) {
            t.at[k] = inside(left + k - 1, a->from);
            t.weight[k] = keys(f - (double)(k - 1));
        }
    }
    return t;
}

static et_status resize_shape(et_node *n)
{
    resize_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    int64_t shape[ET_MAX_DIMS];

    if (et_op_dim(n, x->ndim, a->dim, &a->dim))
        return et_error_status();
    if (!a->transposed)
        a->from = x->shape[a->dim];
    if (a->to < 1 || a->from < 1)
        return et_op_raise(n, ET_EINVAL, "%lld elements cannot become %lld", (long long)a->from,
                           (long long)a->to);
    for (int d = 0; d < x->ndim; d++)
        shape[d] = x->shape[d];
    shape[a->dim] = a->transposed ? a->from : a->to;
    return et_out(n, 0, x->dtype, x->ndim, shape);
}

typedef struct resize_job {
    resize_attr a;
    const et_kernels *k;
    const taps *taps; /* [to] */
    et_dtype dtype;
    int64_t inner, size; /* elements behind dim; bytes of one */
    const char *x;
    char *y;
    bool transposed;
    int acc;
} resize_job;

/* Element i, or column c of row i, of what has `to` of them, against its neighbours. */
#define MIX_COLUMN(type) \
    do { \
        const type *in = (const type *)x + c; \
        type *out = (type *)y + c; \
        for (int64_t i = 0; i < j->a.to; i++) { \
            const taps *t = &j->taps[i]; \
            if (j->transposed) { \
                for (int k = 0; k < t->count; k++) \
                    out[t->at[k] * inner] += (type)t->weight[k] * in[i * inner]; \
                continue; \
            } \
            type sum = j->acc ? out[i * inner] : 0; \
            for (int k = 0; k < t->count; k++) \
                sum += (type)t->weight[k] * in[t->at[k] * inner]; \
            out[i * inner] = sum; \
        } \
    } while (0)

/* A block of few columns, one after the other. */
static void mix_columns(const resize_job *j, const char *x, char *y)
{
    const int64_t inner = j->inner;

    for (int64_t c = 0; c < inner; c++)
        if (j->dtype == ET_F32)
            MIX_COLUMN(float);
        else
            MIX_COLUMN(double);
}

/* A block row by row. */
static void mix_rows(const resize_job *j, const char *x, char *y)
{
    const int64_t row = j->inner * j->size;

    for (int64_t i = 0; i < j->a.to; i++) {
        const taps *t = &j->taps[i];
        for (int k = 0; k < t->count; k++)
            if (j->transposed)
                j->k->axpby(j->inner, t->weight[k], x + i * row, 1, y + t->at[k] * row);
            else
                j->k->axpby(j->inner, t->weight[k], x + t->at[k] * row, k > 0 || j->acc, y + i * row);
    }
}

/* Blocks [from, inner] and [to, inner], one of them read and the other written. */
static void resize_piece(int64_t lo, int64_t hi, void *user)
{
    const resize_job *j = user;
    const int64_t row = j->inner * j->size, read = j->transposed ? j->a.to : j->a.from,
                  written = j->transposed ? j->a.from : j->a.to;

    for (int64_t b = lo; b < hi; b++) {
        const char *x = j->x + b * read * row;
        char *y = j->y + b * written * row;
        if (j->transposed && !j->acc)
            j->k->fill(written * j->inner, 0, y);
        if (j->inner > FEW)
            mix_rows(j, x, y);
        else
            mix_columns(j, x, y);
    }
}

static et_status resize_run(et_node *n, const void *x, void *y, bool transposed, int acc)
{
    const resize_attr *a = ET_ATTR(n, resize_attr);
    const et_tensor *t = n->in[0];
    resize_job j = {.a = *a, .k = et_k(n), .dtype = t->dtype, .inner = 1,
                    .size = (int64_t)et_dtype_size(t->dtype), .x = x, .y = y, .transposed = transposed,
                    .acc = acc};
    int64_t outer = 1;

    if (!x || !y)
        return et_error_status();
    if (!t->numel) /* the table would be as long as the dimension all the same */
        return ET_OK;
    taps *table = et_scratch(n, (size_t)a->to * sizeof *table);
    if (!table)
        return et_error_status();
    for (int64_t i = 0; i < a->to; i++)
        table[i] = taps_of(a, i);
    j.taps = table;
    for (int d = 0; d < a->dim; d++)
        outer *= t->shape[d];
    for (int d = a->dim + 1; d < t->ndim; d++)
        j.inner *= t->shape[d];
    et_parallel_for(outer, et_row_grain(outer, TAPS * a->to * j.inner), resize_piece, &j);
    return ET_OK;
}

static et_status resize_fwd(et_node *n)
{
    return resize_run(n, et_contig(n, n->in[0]), et_out_data(n, 0), ET_ATTR(n, resize_attr)->transposed, 0);
}

static et_status resize_bwd(et_node *n)
{
    const void *gy = et_gy_data(n, 0);
    int acc;
    void *gx = et_gx(n, 0, &acc);

    return resize_run(n, gy, gx, !ET_ATTR(n, resize_attr)->transposed, acc);
}

extern const et_op et_op_resize;

/* The gradient is the transposed mixing, whose gradient is the mixing again. */
static et_status resize_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    resize_attr a = *ET_ATTR(n, resize_attr);

    a.transposed = !a.transposed;
    gx[0] = et_apply1(&et_op_resize, 1, gy, &a, sizeof a);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(resize_linear, et_resize(in[0], 1, 5, ET_RESIZE_LINEAR, false))
ET_CALL(resize_linear_less, et_resize(in[0], -1, 3, ET_RESIZE_LINEAR, true))
ET_CALL(resize_cubic, et_resize(in[0], 0, 7, ET_RESIZE_CUBIC, true))
ET_CALL(resize_cubic_less, et_resize(in[0], -1, 4, ET_RESIZE_CUBIC, false))
ET_CALL(resize_one, et_resize(in[0], 0, 1, ET_RESIZE_CUBIC, true))
static const et_sample resize_samples[] = {
    {.name = "linear", .n_in = 1, .in = {{3, {2, 3, 4}}}, .call = resize_linear},
    {.name = "linear, smaller, aligned", .n_in = 1, .in = {{2, {2, 7}}}, .call = resize_linear_less},
    {.name = "cubic, aligned", .n_in = 1, .in = {{2, {5, 6}}}, .call = resize_cubic},
    {.name = "cubic, smaller", .n_in = 1, .in = {{3, {1, 2, 9}}}, .call = resize_cubic_less},
    {.name = "to one", .n_in = 1, .in = {{1, {4}}}, .call = resize_one},
    {.name = "nothing behind", .n_in = 1, .in = {{3, {2, 3, 0}}}, .call = resize_linear},
};
const et_op et_op_resize = {
    .name = "resize", .args = "r", .n_out = 1, .shape = resize_shape, .fwd = resize_fwd, .bwd = resize_bwd,
    .bwd_graph = resize_graph, ET_SAMPLES(resize_samples),
};

/** x with `size` elements along dim, interpolated between those that it has. Corners: with align_corners the
 *  first and the last element stay the first and the last, else elements are areas of equal size (half-pixel
 *  centres). Nothing is smoothed before a reduction. As PyTorch's interpolate. EINVAL for a size below 1 or
 *  an empty dimension. */
et_tensor *(et_resize)(et_tensor *x, int dim, int64_t size, et_resize_mode mode, bool align_corners)
{
    return et_apply1(&et_op_resize, 1, (et_tensor *const[]){x},
                     &(resize_attr){.dim = dim, .mode = (int)mode, .align = align_corners, .to = size},
                     sizeof(resize_attr));
}
