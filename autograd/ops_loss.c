/* Losses. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

#if 0
/* ops.h: begin */
/* What a loss does with the losses of single items. */
typedef enum et_reduction { ET_REDUCE_MEAN, ET_REDUCE_SUM, ET_REDUCE_NONE } et_reduction;

/* Options of et_cross_entropy_with. All zero: none of them, mean. */
typedef struct et_cross_entropy_opts {
    et_reduction reduction;
    double label_smoothing;   /* this share of the target is spread evenly over all K classes (for a
                                 share e over the K - 1 others give e K / (K - 1)) */
    bool ignore;              /* items whose label is ignore_index count for nothing */
    int32_t ignore_index;
    et_tensor *weight;        /* [K] weight of each class; or NULL */
} et_cross_entropy_opts;
/* ops.h: end */
#endif

/* --- cross entropy ----------------------------------------------------------------------------- */

/* Per item, with target q_j = (1 - s) [j = label] + s / K and class weights w_j:
 *
 *   L = sum_j q_j w_j (lse - x_j),   lse = ln sum_j exp x_j
 *   dL/dx_j = S softmax(x)_j - q_j w_j,   S = sum_j q_j w_j
 *
 * The mean divides by the sum of w[label] over the items that count (their number without
 * weights). Saved: lse [items]. */
typedef struct {
    et_cross_entropy_opts o;
    double norm; /* what the items' losses are multiplied with */
} ce_attr;

static int64_t classes_of(const et_tensor *x) { return x->shape[x->ndim - 1]; }

static bool counts(const ce_attr *a, int32_t label) { return !(a->o.ignore && label == a->o.ignore_index); }

static et_status ce_shape(et_node *n)
{
    const ce_attr *a = ET_ATTR(n, ce_attr);
    const et_tensor *x = n->in[0], *label = n->in[1], *w = n->in[2];

    if (x->ndim < 1 || label->ndim != x->ndim - 1 ||
        memcmp(label->shape, x->shape, (size_t)label->ndim * sizeof *x->shape) != 0)
        return et_op_raise(n, ET_ESHAPE,
                           "logits %s need labels of their shape without the last dimension, got %s",
                           et_shape_str(x), et_shape_str(label));
    if (classes_of(x) < 1)
        return et_op_raise(n, ET_ESHAPE, "logits %s have no classes", et_shape_str(x));
    if (w && (w->ndim != 1 || w->shape[0] != classes_of(x)))
        return et_op_raise(n, ET_ESHAPE, "class weights are %s, expected [%lld]", et_shape_str(w),
                           (long long)classes_of(x));
    if (w && w->requires_grad)
        return et_op_raise(n, ET_EGRAD, "class weights cannot be trained");
    if (!(a->o.label_smoothing >= 0 && a->o.label_smoothing <= 1))
        return et_op_raise(n, ET_EINVAL, "label smoothing is %g, expected 0 to 1", a->o.label_smoothing);
    if (a->o.reduction == ET_REDUCE_NONE)
        return et_out(n, 0, x->dtype, label->ndim, label->shape);
    return et_out(n, 0, x->dtype, 0, NULL);
}

/* Rows that go to threads. */
typedef struct {
    const ce_attr *a;
    const et_kernels *k;
    const et_tensor *x;
    int64_t cols;
    size_t size;
    const char *px, *gy;
    const int32_t *label;
    char *lse, *gx;
} ce_job;

static void ce_lse_piece(int64_t lo, int64_t hi, void *user)
{
    const ce_job *j = user;

    j->k->logsumexp(hi - lo, j->cols, j->px + (size_t)(lo * j->cols) * j->size,
                    j->lse + (size_t)lo * j->size);
}

static et_status ce_fwd(et_node *n)
{
    ce_attr *a = n->attr;
    const et_tensor *x = n->in[0];
    const et_kernels *k = et_k(n);
    int64_t cols = classes_of(x), rows = n->in[1]->numel;
    size_t size = et_dtype_size(x->dtype);
    double s = a->o.label_smoothing, total = 0, weight = 0;

    const char *px = et_contig(n, x);
    const int32_t *label = et_contig(n, n->in[1]);
    const void *w = n->in[2] ? et_contig(n, n->in[2]) : NULL;
    et_tensor *saved = et_save_extra(n, 0, x->dtype, 1, &rows);
    void *y = et_out_data(n, 0);
    if (!px || !label || !saved || !y || (n->in[2] && !w))
        return et_error_status();
    void *lse = et_data_mut(saved);
    ce_job job = {.k = k, .cols = cols, .size = size, .px = px, .lse = lse};
    et_parallel_for(rows, et_row_grain(rows, 4 * cols), ce_lse_piece, &job);
    for (int64_t r = 0; r < rows; r++) {
        double loss = 0;
        if (counts(a, label[r])) {
            if (label[r] < 0 || label[r] >= cols)
                return et_op_raise(n, ET_EINVAL, "label %d of item %lld is outside 0 .. %lld", (int)label[r],
                                   (long long)r, (long long)cols - 1);
            const void *row = px + (size_t)(r * cols) * size;
            double z = et_real_at(x, lse, r), wl = w ? et_real_at(x, w, label[r]) : 1;
            loss = (1 - s) * wl * (z - et_real_at(x, row, label[r]));
            for (int64_t c = 0; s > 0 && c < cols; c++)
                loss += s / (double)cols * (w ? et_real_at(x, w, c) : 1) * (z - et_real_at(x, row, c));
            weight += wl;
        }
        total += loss;
        if (a->o.reduction == ET_REDUCE_NONE)
            et_set_real(x, y, r, loss);
    }
    a->norm = a->o.reduction == ET_REDUCE_MEAN ? (weight > 0 ? 1 / weight : 0) : 1;
    if (a->o.reduction != ET_REDUCE_NONE)
        et_set_real(x, y, 0, total * a->norm);
    return ET_OK;
}

/* q_j w_j of one item, into t [cols] (zeros for one that does not count); returns S. */
static double targets(const ce_attr *a, const et_tensor *x, const void *w, int32_t label, void *t)
{
    int64_t cols = classes_of(x);
    double s = a->o.label_smoothing, sum = 0;

    for (int64_t c = 0; c < cols; c++) {
        double q = counts(a, label) ? (c == label ? 1 - s : 0) + s / (double)cols : 0;
        q *= w ? et_real_at(x, w, c) : 1;
        et_set_real(x, t, c, q);
        sum += q;
    }
    return sum;
}

enum { BLOCK_BYTES = 16384, FINE_BLOCK_BYTES = 64 };

/* Without weights and smoothing the gradient is scale (softmax - 1 at the label): made in place, some rows at
 * a time, so that they stay in the first-level cache. */
static void ce_plain_piece(int64_t lo, int64_t hi, void *user)
{
    const ce_job *j = user;
    const bool each = j->a->o.reduction == ET_REDUCE_NONE;
    const int64_t fit = et_cut(BLOCK_BYTES, FINE_BLOCK_BYTES) / (j->cols * (int64_t)j->size);
    const int64_t block = max64(1, fit);

    for (int64_t first = lo; first < hi; first += block) {
        const int64_t rows = hi - first < block ? hi - first : block;
        const size_t at = (size_t)(first * j->cols) * j->size, bytes = (size_t)j->cols * j->size;
        memcpy(j->gx + at, j->px + at, (size_t)rows * bytes);
        j->k->attn_weights(rows, j->cols, j->gx + at, NULL, 0, j->lse + (size_t)first * j->size);
        if (!each)
            j->k->affine(rows * j->cols, j->gx + at, j->a->norm * et_real_at(j->x, j->gy, 0), 0, j->gx + at);
        for (int64_t r = first; r < first + rows; r++) {
            const double scale = j->a->norm * et_real_at(j->x, j->gy, each ? r : 0);
            char *row = j->gx + (size_t)r * bytes;
            if (each)
                j->k->affine(j->cols, row, scale, 0, row);
            if (counts(j->a, j->label[r]))
                et_set_real(j->x, row, j->label[r], et_real_at(j->x, row, j->label[r]) - scale);
            else
                j->k->fill(j->cols, 0, row);
        }
    }
}

static et_status ce_bwd(et_node *n)
{
    const ce_attr *a = ET_ATTR(n, ce_attr);
    const et_tensor *x = n->in[0], *g = et_gy(n, 0);
    const et_kernels *k = et_k(n);
    int64_t cols = classes_of(x), rows = n->in[1]->numel;
    size_t size = et_dtype_size(x->dtype);
    int acc;

    if (!et_needs(n, 0))
        return ET_OK;
    const char *px = et_contig(n, x);
    const int32_t *label = et_contig(n, n->in[1]);
    const void *w = n->in[2] ? et_contig(n, n->in[2]) : NULL, *gy = et_data(g), *lse = et_data(n->saved[0]);
    char *gx = et_gx(n, 0, &acc);
    void *q = et_scratch(n, (size_t)cols * size), *p = et_scratch(n, (size_t)cols * size);
    if (!px || !label || !gy || !gx || !q || !p || (n->in[2] && !w))
        return et_error_status();
    if (!acc && !w && a->o.label_smoothing == 0) {
        ce_job j = {a, k, x, cols, size, px, gy, label, (char *)(uintptr_t)lse, gx};
        et_parallel_for(rows, et_row_grain(rows, 4 * cols), ce_plain_piece, &j);
        return ET_OK;
    }
    for (int64_t r = 0; r < rows; r++) {
        double scale = a->norm * et_real_at(x, gy, a->o.reduction == ET_REDUCE_NONE ? r : 0);
        double sum = targets(a, x, w, label[r], q);
        size_t at = (size_t)(r * cols) * size;
        if (!counts(a, label[r])) {
            if (!acc)
                k->fill(cols, 0, gx + at);
            continue;
        }
        k->affine(cols, px + at, 1, -et_real_at(x, lse, r), p);
        k->unary[ET_U_EXP](cols, p, p);
        k->axpby(cols, scale * sum, p, acc, gx + at);
        k->axpby(cols, -scale, q, 1, gx + at);
    }
    return ET_OK;
}

static et_status ce_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const ce_attr *a = ET_ATTR(n, ce_attr);
    et_tensor *x = n->in[0], *g = gy[0];
    int64_t cols = classes_of(x), rows = n->in[1]->numel, shape[ET_MAX_DIMS];
    et_tensor *q = et_empty(x->dtype, x->ndim, x->shape);

    memcpy(shape, x->shape, sizeof shape);
    shape[x->ndim - 1] = 1;
    et_tensor *sum = et_empty(x->dtype, x->ndim, shape);
    if (!q || !sum)
        return et_error_status();
    const int32_t *label = et_contig(n, n->in[1]);
    const void *w = n->in[2] ? et_contig(n, n->in[2]) : NULL;
    char *pq = et_data_mut(q);
    for (int64_t r = 0; r < rows; r++)
        et_set_real(x, et_data_mut(sum), r,
                    targets(a, x, w, label[r], pq + (size_t)(r * cols) * et_dtype_size(x->dtype)));
    if (a->o.reduction == ET_REDUCE_NONE)
        g = et_reshape(g, x->ndim, shape);
    gx[0] = et_mul(et_mul_scalar(g, a->norm), et_sub(et_mul(et_softmax(x, -1), sum), q));
    return gx[0] ? ET_OK : et_error_status();
}

static unsigned ce_saves(const et_node *n)
{
    return ET_SAVE_IN(0) | ET_SAVE_IN(1) | (n->in[2] ? ET_SAVE_IN(2) : 0u);
}

static const et_cross_entropy_opts opts_sum = {.reduction = ET_REDUCE_SUM, .label_smoothing = 0.1};
static const et_cross_entropy_opts opts_none = {.reduction = ET_REDUCE_NONE, .ignore = true,
                                                .ignore_index = 1};

static et_tensor *weighted(et_tensor *const *in)
{
    et_cross_entropy_opts o = {.label_smoothing = 0.2, .ignore = true, .ignore_index = 1, .weight = in[2]};

    return et_cross_entropy_with(in[0], in[1], &o);
}

ET_CALL(ce_mean, et_cross_entropy(in[0], in[1]))
ET_CALL(ce_sum, et_cross_entropy_with(in[0], in[1], &opts_sum))
ET_CALL(ce_none, et_cross_entropy_with(in[0], in[1], &opts_none))
ET_CALL(ce_weighted, weighted(in))
static const et_sample cross_entropy_samples[] = {
    {.name = "mean", .n_in = 2, .in = {{2, {4, 5}, -2, 2}, {1, {4}, 0, 5, ET_ARG_INDEX}}, .call = ce_mean},
    {.name = "past a vector", .n_in = 2, .in = {{3, {2, 2, 19}}, {2, {2, 2}, 0, 19, ET_ARG_INDEX}},
     .call = ce_mean},
    {.name = "past a block of rows", .n_in = 2, .in = {{2, {90, 41}}, {1, {90}, 0, 41, ET_ARG_INDEX}},
     .call = ce_mean},
    {.name = "one item", .n_in = 2, .in = {{1, {5}}, {0, {0}, 0, 5, ET_ARG_INDEX}}, .call = ce_mean},
    {.name = "empty", .n_in = 2, .in = {{2, {0, 5}}, {1, {0}, 0, 5, ET_ARG_INDEX}}, .call = ce_mean},
};
static const et_sample cross_entropy_with_samples[] = {
    {.name = "sum, smoothed", .n_in = 2, .in = {{2, {4, 5}}, {1, {4}, 0, 5, ET_ARG_INDEX}}, .call = ce_sum},
    {.name = "none, some ignored", .n_in = 2, .in = {{2, {6, 3}}, {1, {6}, 0, 3, ET_ARG_INDEX}},
     .call = ce_none},
    {.name = "none, past a block", .n_in = 2, .in = {{2, {90, 41}}, {1, {90}, 0, 41, ET_ARG_INDEX}},
     .call = ce_none},
    {.name = "weighted, smoothed, some ignored", .n_in = 3,
     .in = {{2, {6, 3}}, {1, {6}, 0, 3, ET_ARG_INDEX}, {1, {3}, 0.5, 2, ET_ARG_CONST}}, .call = ce_weighted},
};
const et_op et_op_cross_entropy = {
    .name = "cross_entropy", .args = "r i r?", .n_out = 1, .saves_for = ce_saves, .shape = ce_shape,
    .fwd = ce_fwd, .bwd = ce_bwd, .bwd_graph = ce_graph, ET_SAMPLES(cross_entropy_samples),
};
const et_op et_op_cross_entropy_with = {.name = "cross_entropy_with", .args = "r i", .n_out = 1,
                                        ET_SAMPLES(cross_entropy_with_samples)};

/** The mean over all items of -ln softmax(logits)[label].
 *
 *  logits [..., K]; labels int32 [...], 0 .. K-1. Computed from the logits with
 *  log-sum-exp. Of no items: 0. Errors: ESHAPE; EINVAL for a label outside. */
et_tensor *(et_cross_entropy)(et_tensor *logits, et_tensor *labels)
{
    ce_attr a = {{ET_REDUCE_MEAN, 0, false, 0, NULL}, 0};

    return et_apply1(&et_op_cross_entropy, 3, (et_tensor *const[]){logits, labels, NULL}, &a, sizeof a);
}

/** et_cross_entropy with options. The mean is over the items that count, weighted by the
 *  weight of their label's class; when none counts it is 0, with no gradient. */
et_tensor *(et_cross_entropy_with)(et_tensor *logits, et_tensor *labels, const et_cross_entropy_opts *opts)
{
    ce_attr a = {.norm = 0};

    if (opts)
        a.o = *opts;
    return et_apply1(&et_op_cross_entropy, 3, (et_tensor *const[]){logits, labels, a.o.weight}, &a, sizeof a);
}

/* --- compositions --------------------------------------------------------------------------------- */

static et_tensor *reduced(et_tensor *loss, et_reduction reduction)
{
    return reduction == ET_REDUCE_NONE  ? loss
           : reduction == ET_REDUCE_SUM ? et_sum(loss, 0, NULL, false)
                                        : et_mean(loss, 0, NULL, false);
}

/* Broadcasting [N, 1] against [N] would give a loss of N x N terms: an error here. NULL is the
 * business of the ops that follow. */
static bool same_shapes(const char *op, const et_tensor *a, const et_tensor *b)
{
    if (!a || !b || et_same_shape(a, b))
        return true;
    et_raise_here(ET_ESHAPE, "%s: shapes differ, %s and %s", op, et_shape_str(a), et_shape_str(b));
    return false;
}

ET_CALL(soft_call, et_cross_entropy_soft(in[0], in[1], ET_REDUCE_MEAN))
static const et_sample soft_samples[] = {
    {.name = "both", .n_in = 2, .in = {{2, {3, 5}}, {2, {3, 5}, 0, 1}}, .call = soft_call},
};
const et_op et_op_cross_entropy_soft = {.name = "cross_entropy_soft", .args = "r r", .n_out = 1,
                                        ET_SAMPLES(soft_samples)};

/** -sum_k target_k ln softmax(logits)_k over the last dimension; logits and targets
 *  [..., K], the targets' rows are probabilities. reduction is over the items. ESHAPE unless
 *  both have one shape. */
et_tensor *(et_cross_entropy_soft)(et_tensor *logits, et_tensor *targets, et_reduction reduction)
{
    if (!same_shapes("cross_entropy_soft", logits, targets))
        return NULL;
    et_tensor *terms = et_mul(targets, et_log_softmax(logits, -1));

    return reduced(et_neg(et_sum(terms, ET_DIMS(-1), false)), reduction);
}

ET_CALL(bce_call, et_bce_with_logits(in[0], in[1], ET_REDUCE_MEAN))
ET_CALL(bce_none, et_bce_with_logits(in[0], in[1], ET_REDUCE_NONE))
static const et_sample bce_samples[] = {
    {.name = "mean", .n_in = 2, .in = {{2, {3, 5}, -4, 4}, {2, {3, 5}, 0, 1}}, .call = bce_call},
    {.name = "none", .n_in = 2, .in = {{2, {3, 19}, -4, 4}, {2, {3, 19}, 0, 1}}, .call = bce_none},
};
const et_op et_op_bce_with_logits = {.name = "bce_with_logits", .args = "r r", .n_out = 1,
                                     ET_SAMPLES(bce_samples)};

/** -t ln s(x) - (1 - t) ln(1 - s(x)), s the logistic function, as softplus(x) - t x: no
 *  overflow for any x. x and t of one shape (ESHAPE), 0 <= t <= 1. */
et_tensor *(et_bce_with_logits)(et_tensor *x, et_tensor *t, et_reduction reduction)
{
    if (!same_shapes("bce_with_logits", x, t))
        return NULL;
    return reduced(et_sub(et_softplus(x), et_mul(t, x)), reduction);
}

ET_CALL(mse_call, et_mse(in[0], in[1], ET_REDUCE_MEAN))
static const et_sample mse_samples[] = {
    {.name = "mean", .n_in = 2, .in = {{2, {3, 5}}, {2, {3, 5}}}, .call = mse_call},
};
const et_op et_op_mse = {.name = "mse", .args = "r r", .n_out = 1, ET_SAMPLES(mse_samples)};

/** (a - b)^2, a and b of one shape (ESHAPE). */
et_tensor *(et_mse)(et_tensor *a, et_tensor *b, et_reduction reduction)
{
    if (!same_shapes("mse", a, b))
        return NULL;
    return reduced(et_square(et_sub(a, b)), reduction);
}
