/* The matrix product of two operands of any rank.
 *
 * All products are et_gemm's, which takes any strides, so transposed and permuted views are
 * never copied. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/gemm.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* --- batches of products ---------------------------------------------------------- */

enum { MAX_BATCH = ET_MAX_DIMS };

/* A batch of matrices: element (i, j) of the one at index x is at p + sum x[d] bs[d] + i rs + j cs. */
typedef struct matrices {
    char *p;
    int64_t rs, cs, bs[MAX_BATCH];
} matrices;

/* C = A B (+ C) for every index of a common batch shape. A batch stride of 0 repeats A or B; in C it
 * sums over that dimension. */
typedef struct products {
    const et_node *node; /* whose rule it is */
    et_dtype dtype;
    int64_t m, n, k;
    int nb;
    int64_t size[MAX_BATCH];
    matrices a, b, c; /* c.cs is 1 */
    int acc;
} products;

static void drop_dim(products *w, int d)
{
    w->nb--;
    for (; d < w->nb; d++) {
        w->size[d] = w->size[d + 1];
        w->a.bs[d] = w->a.bs[d + 1];
        w->b.bs[d] = w->b.bs[d + 1];
        w->c.bs[d] = w->c.bs[d + 1];
    }
}

/* Makes the batch as small as the strides allow: neighbouring dimensions become one, a dimension that
 * is summed over becomes part of k and one over which B repeats part of m where they follow on evenly. */
static void merge_dims(products *w)
{
    for (int d = w->nb - 1; d >= 0; d--)
        if (w->size[d] == 1)
            drop_dim(w, d);
    for (int d = w->nb - 2; d >= 0; d--) {
        const int64_t n = w->size[d + 1];
        if (w->a.bs[d] == n * w->a.bs[d + 1] && w->b.bs[d] == n * w->b.bs[d + 1] &&
            w->c.bs[d] == n * w->c.bs[d + 1]) {
            w->size[d + 1] *= w->size[d];
            drop_dim(w, d);
        }
    }
    for (int d = w->nb - 1; d >= 0; d--) {
        const int64_t n = w->size[d];
        if (w->c.bs[d] == 0 && w->a.bs[d] == w->k * w->a.cs && w->b.bs[d] == w->k * w->b.rs)
            w->k *= n;
        else if (w->b.bs[d] == 0 && w->a.bs[d] == w->m * w->a.rs && w->c.bs[d] == w->m * w->c.rs)
            w->m *= n;
        else
            continue;
        drop_dim(w, d);
    }
}

static void swap_dims(products *w, int i, int j)
{
    int64_t *const of[] = {w->size, w->a.bs, w->b.bs, w->c.bs};

    for (int t = 0; t < COUNT(of); t++) {
        int64_t x = of[t][i];
        of[t][i] = of[t][j];
        of[t][j] = x;
    }
}

/* Brings the batch into the form that run_products walks: as few dimensions as can be, those that are summed
 * over first. Returns the number of the others. */
static int arrange(products *w)
{
    int64_t total = 1;
    int kept = 0;

    for (int d = 0; d < w->nb; d++)
        total *= w->size[d];
    if (total == 0) { /* an empty sum, or nothing at all */
        for (int d = 0; d < w->nb; d++)
            if (w->c.bs[d] == 0)
                w->size[d] = 1;
        w->k = 0;
    }
    merge_dims(w);
    for (int d = w->nb - 1; d >= 0; d--)
        if (w->c.bs[d] != 0)
            swap_dims(w, d, w->nb - 1 - kept++);
    return kept;
}

/* One call of et_gemm takes up to two dimensions of the batch, the inner ones; the outer ones, sums among
 * them, are walked here. */
static et_status run_products(products *w)
{
    const int64_t es = (int64_t)et_dtype_size(w->dtype);
    const int kept = arrange(w), inner = kept < 2 ? kept : 2, outer = w->nb - inner, last = w->nb - 1;
    int64_t index[MAX_BATCH] = {0}, total = 1;
    et_gemm_args g = {.m = w->m, .n = w->n, .k = w->k, .alpha = 1, .rsa = w->a.rs, .csa = w->a.cs,
                      .rsb = w->b.rs, .csb = w->b.cs, .ldc = w->c.rs, .batch = 1, .batch2 = 1};

    if (inner > 0) {
        g.batch = w->size[last];
        g.sa = w->a.bs[last], g.sb = w->b.bs[last], g.sc = w->c.bs[last];
    }
    if (inner > 1) {
        g.batch2 = w->size[last - 1];
        g.sa2 = w->a.bs[last - 1], g.sb2 = w->b.bs[last - 1], g.sc2 = w->c.bs[last - 1];
    }
    if (g.batch == 0 || g.batch2 == 0)
        return ET_OK;
    for (int d = 0; d < outer; d++)
        total *= w->size[d];
    for (int64_t i = 0; i < total; i++) {
        int64_t a = 0, b = 0, c = 0;
        bool first = true; /* for these elements of C */
        for (int d = 0; d < outer; d++) {
            a += index[d] * w->a.bs[d];
            b += index[d] * w->b.bs[d];
            c += index[d] * w->c.bs[d];
            first = first && (w->c.bs[d] != 0 || index[d] == 0);
        }
        g.a = w->a.p + a * es;
        g.b = w->b.p + b * es;
        g.c = w->c.p + c * es;
        g.beta = first ? w->acc : 1;
        et_status status = et_product(w->node, w->dtype, &g);
        if (status != ET_OK)
            return status;
        for (int d = outer - 1; d >= 0 && ++index[d] == w->size[d]; d--)
            index[d] = 0;
    }
    return ET_OK;
}

/* --- matmul --------------------------------------------------------------------------- */

typedef struct matmul_attr {
    bool trans_a, trans_b;
} matmul_attr;

/* What a call multiplies: sizes, and the shape of the batch. */
typedef struct matmul_plan {
    int64_t m, n, k;
    int nb;
    int64_t batch[ET_MAX_DIMS];
} matmul_plan;

/* Operand x as matrices over a batch of nb dimensions. A vector is a row (`row`) or a column. */
static matrices operand(const et_tensor *x, char *p, const int64_t *strides, bool trans, bool row, int nb)
{
    const int lead = x->ndim > 2 ? x->ndim - 2 : 0;
    matrices mx = {.p = p};

    if (x->ndim == 1) {
        mx.rs = row ? x->numel : strides[0];
        mx.cs = row ? strides[0] : 1;
    } else {
        mx.rs = strides[x->ndim - (trans ? 1 : 2)];
        mx.cs = strides[x->ndim - (trans ? 2 : 1)];
    }
    for (int d = 0; d < lead; d++)
        mx.bs[nb - lead + d] = x->shape[d] == 1 ? 0 : strides[d];
    return mx;
}

static matrices operand_of(const et_tensor *x, bool trans, bool row, int nb)
{
    return operand(x, (char *)et_data(x), x->strides, trans, row, nb);
}

/* The gradient of x, contiguous at p. */
static matrices gradient_of(const et_tensor *x, void *p, bool row, int nb)
{
    int64_t strides[ET_MAX_DIMS];

    et_dense_strides(x->ndim, x->shape, strides);
    return operand(x, p, strides, false, row, nb);
}

static matrices transposed(matrices mx)
{
    int64_t rs = mx.rs;

    mx.rs = mx.cs;
    mx.cs = rs;
    return mx;
}

/* The output (or its gradient), dense [batch, m, n] at p. */
static matrices output(const matmul_plan *plan, const void *p)
{
    matrices mx = {.p = (char *)p, .rs = plan->n, .cs = 1};
    int64_t step = plan->m * plan->n;

    for (int d = plan->nb - 1; d >= 0; d--) {
        mx.bs[d] = plan->batch[d] == 1 ? 0 : step;
        step *= plan->batch[d];
    }
    return mx;
}

/* Sizes of the product; ESHAPE without a message if they do not fit. */
static et_status matmul_sizes(const et_node *n, matmul_plan *plan)
{
    const et_tensor *a = n->in[0], *b = n->in[1];
    const matmul_attr *at = ET_ATTR(n, matmul_attr);
    const int la = a->ndim > 2 ? a->ndim - 2 : 0, lb = b->ndim > 2 ? b->ndim - 2 : 0;
    int64_t inner;

    plan->m = a->ndim == 1 ? 1 : a->shape[a->ndim - (at->trans_a ? 1 : 2)];
    plan->k = a->ndim == 1 ? a->shape[0] : a->shape[a->ndim - (at->trans_a ? 2 : 1)];
    plan->n = b->ndim == 1 ? 1 : b->shape[b->ndim - (at->trans_b ? 2 : 1)];
    inner = b->ndim == 1 ? b->shape[0] : b->shape[b->ndim - (at->trans_b ? 1 : 2)];
    if (inner != plan->k)
        return ET_ESHAPE;
    return et_broadcast_shape(la, a->shape, lb, b->shape, &plan->nb, plan->batch);
}

static et_status matmul_shape(et_node *n)
{
    const et_tensor *a = n->in[0], *b = n->in[1];
    const matmul_attr *at = ET_ATTR(n, matmul_attr);
    matmul_plan plan;
    int64_t shape[ET_MAX_DIMS + 2];
    int ndim;

    if (a->ndim == 0 || b->ndim == 0)
        return et_op_raise(n, ET_ESHAPE, "operands need at least one dimension: %s x %s", et_shape_str(a),
                           et_shape_str(b));
    if ((at->trans_a && a->ndim == 1) || (at->trans_b && b->ndim == 1))
        return et_op_raise(n, ET_ESHAPE, "a vector cannot be transposed: %s x %s", et_shape_str(a),
                           et_shape_str(b));
    if (matmul_sizes(n, &plan) != ET_OK) {
        const char *how = at->trans_a && at->trans_b ? " (both transposed)"
                          : at->trans_a              ? " (the first transposed)"
                          : at->trans_b              ? " (the second transposed)"
                                                     : "";
        int64_t ka = a->shape[a->ndim == 1 ? 0 : a->ndim - (at->trans_a ? 2 : 1)];
        int64_t kb = b->shape[b->ndim == 1 ? 0 : b->ndim - (at->trans_b ? 1 : 2)];
        return et_op_raise(n, ET_ESHAPE, "%s differ: %s x %s%s", ka != kb ? "inner sizes" : "batch sizes",
                           et_shape_str(a), et_shape_str(b), how);
    }
    ndim = plan.nb;
    memcpy(shape, plan.batch, sizeof(int64_t) * (size_t)ndim);
    if (a->ndim > 1)
        shape[ndim++] = plan.m;
    if (b->ndim > 1)
        shape[ndim++] = plan.n;
    return et_out(n, 0, a->dtype, ndim, shape);
}

/* What all three products of the op share. */
static products start_products(const et_node *n, const matmul_plan *plan)
{
    products w = {.node = n, .dtype = n->in[0]->dtype, .nb = plan->nb};

    memcpy(w.size, plan->batch, sizeof(int64_t) * (size_t)plan->nb);
    return w;
}

static et_status matmul_fwd(et_node *n)
{
    const matmul_attr *at = ET_ATTR(n, matmul_attr);
    matmul_plan plan;
    void *y = et_out_data(n, 0);

    if (!y)
        return et_error_status();
    matmul_sizes(n, &plan);
    products w = start_products(n, &plan);
    w.m = plan.m, w.n = plan.n, w.k = plan.k;
    w.a = operand_of(n->in[0], at->trans_a, true, plan.nb);
    w.b = operand_of(n->in[1], at->trans_b, false, plan.nb);
    w.c = output(&plan, y);
    return run_products(&w);
}

static double matmul_flops(const et_node *n, bool backward)
{
    matmul_plan plan;

    matmul_sizes(n, &plan);
    return 2 * (double)n->out[0]->numel * (double)plan.k * (backward ? et_needs(n, 0) + et_needs(n, 1) : 1);
}

static et_status matmul_bwd(et_node *n)
{
    const matmul_attr *at = ET_ATTR(n, matmul_attr);
    matmul_plan plan;
    const void *gy = et_gy_data(n, 0);

    if (!gy)
        return et_error_status();
    matmul_sizes(n, &plan);
    const matrices dc = output(&plan, gy);
    if (et_needs(n, 0)) { /* dA = dC B^T, or its transpose B dC^T */
        products w = start_products(n, &plan);
        const matrices b = operand_of(n->in[1], at->trans_b, false, plan.nb);
        void *ga = et_gx(n, 0, &w.acc);
        if (!ga)
            return et_error_status();
        w.c = gradient_of(n->in[0], ga, true, plan.nb);
        w.k = plan.n;
        w.m = at->trans_a ? plan.k : plan.m;
        w.n = at->trans_a ? plan.m : plan.k;
        w.a = at->trans_a ? b : dc;
        w.b = at->trans_a ? transposed(dc) : transposed(b);
        et_status status = run_products(&w);
        if (status != ET_OK)
            return status;
    }
    if (et_needs(n, 1)) { /* dB = A^T dC, or its transpose dC^T A */
        products w = start_products(n, &plan);
        const matrices a = operand_of(n->in[0], at->trans_a, true, plan.nb);
        void *gb = et_gx(n, 1, &w.acc);
        if (!gb)
            return et_error_status();
        w.c = gradient_of(n->in[1], gb, false, plan.nb);
        w.k = plan.m;
        w.m = at->trans_b ? plan.n : plan.k;
        w.n = at->trans_b ? plan.k : plan.n;
        w.a = at->trans_b ? transposed(dc) : transposed(a);
        w.b = at->trans_b ? a : dc;
        return run_products(&w);
    }
    return ET_OK;
}

/* As matmul_bwd. A vector is made a matrix first;
 * its gradient comes out as a row, [.., 1, k], and is summed back to [k]. */
static et_status matmul_bwd_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const bool ta = ET_ATTR(n, matmul_attr)->trans_a, tb = ET_ATTR(n, matmul_attr)->trans_b;
    et_tensor *a = n->in[0], *b = n->in[1], *g = gy[0];
    const bool row = a->ndim == 1, column = b->ndim == 1;

    if (!g)
        return ET_OK;
    if (row) {
        a = et_unsqueeze(a, 0);
        g = et_unsqueeze(g, column ? -1 : -2);
    }
    if (column) {
        b = et_unsqueeze(b, -1);
        g = et_unsqueeze(g, -1);
    }
    if (!a || !b || !g)
        return et_error_status();
    if (et_needs(n, 0)) {
        gx[0] = ta ? et_matmul_t(b, g, tb, true) : et_matmul_t(g, b, false, !tb);
        if (!gx[0])
            return et_error_status();
    }
    if (et_needs(n, 1)) {
        gx[1] = tb || column ? et_matmul_t(g, a, true, ta) : et_matmul_t(a, g, !ta, false);
        if (!gx[1])
            return et_error_status();
    }
    return ET_OK;
}

static unsigned matmul_saves(const et_node *n)
{
    return (n->needs[1] ? ET_SAVE_IN(0) : 0) | (n->needs[0] ? ET_SAVE_IN(1) : 0);
}

ET_CALL(matmul_sample, et_matmul(in[0], in[1]))
ET_CALL(matmul_self, et_matmul(in[0], in[0]))
ET_CALL(matmul_tn, et_matmul_t(in[0], in[1], true, false))
ET_CALL(matmul_nt, et_matmul_t(in[0], in[1], false, true))
ET_CALL(matmul_tt, et_matmul_t(in[0], in[1], true, true))

#define V(n) {.ndim = 1, .shape = {n}}
#define M(r, c) {.ndim = 2, .shape = {r, c}}
#define B3(b, r, c) {.ndim = 3, .shape = {b, r, c}}
#define B4(a, b, r, c) {.ndim = 4, .shape = {a, b, r, c}}

static const et_sample matmul_samples[] = {
    {"matrices", 2, {M(3, 4), M(4, 5)}, matmul_sample, 0},
    {"the same twice", 1, {M(3, 3)}, matmul_self, 0},
    {"one of everything", 2, {M(1, 1), M(1, 1)}, matmul_sample, 0},
    {"wider than a tile", 2, {M(13, 20), M(20, 19)}, matmul_sample, 0},
    {"vector, vector", 2, {V(5), V(5)}, matmul_sample, 0},
    {"vector, matrix", 2, {V(4), M(4, 3)}, matmul_sample, 0},
    {"matrix, vector", 2, {M(3, 4), V(4)}, matmul_sample, 0},
    {"vector, batch", 2, {V(4), B3(2, 4, 3)}, matmul_sample, 0},
    {"batch, vector", 2, {B3(2, 3, 4), V(4)}, matmul_sample, 0},
    {"batch", 2, {B3(2, 3, 4), B3(2, 4, 5)}, matmul_sample, 0},
    {"batch, shared matrix", 2, {B3(2, 3, 4), M(4, 5)}, matmul_sample, 0},
    {"shared matrix, batch", 2, {M(3, 4), B3(2, 4, 5)}, matmul_sample, 0},
    {"batch of one", 2, {B3(1, 3, 4), B3(3, 4, 2)}, matmul_sample, 0},
    {"batches broadcast both ways", 2, {B4(2, 1, 3, 4), B4(1, 3, 4, 2)}, matmul_sample, 0},
    {"batches of different depth", 2, {B4(2, 3, 2, 4), B3(3, 4, 2)}, matmul_sample, 0},
    {"no rows", 2, {M(0, 4), M(4, 5)}, matmul_sample, 0},
    {"nothing to sum", 2, {M(3, 0), M(0, 5)}, matmul_sample, 0},
    {"no batch, shared matrix", 2, {B3(0, 3, 4), M(4, 5)}, matmul_sample, 0},
};

static const et_sample matmul_t_samples[] = {
    {"first transposed", 2, {M(4, 3), M(4, 5)}, matmul_tn, 0},
    {"second transposed", 2, {M(3, 4), M(5, 4)}, matmul_nt, 0},
    {"both transposed", 2, {M(4, 3), M(5, 4)}, matmul_tt, 0},
    {"batch, first transposed", 2, {B3(2, 4, 3), B3(2, 4, 5)}, matmul_tn, 0},
    {"batch, second transposed and shared", 2, {B3(2, 3, 4), M(5, 4)}, matmul_nt, 0},
    {"first transposed and shared", 2, {M(4, 3), B3(2, 4, 5)}, matmul_tn, 0},
    {"batch, both transposed", 2, {B3(2, 4, 3), B3(2, 5, 4)}, matmul_tt, 0},
    {"vector, transposed", 2, {V(4), M(3, 4)}, matmul_nt, 0},
    {"transposed, vector", 2, {M(4, 3), V(4)}, matmul_tn, 0},
};

const et_op et_op_matmul = {
    .name = "matmul",
    .args = "rr",
    .n_out = 1,
    .saves_for = matmul_saves,
    .shape = matmul_shape,
    .fwd = matmul_fwd,
    .flops = matmul_flops,
    .bwd = matmul_bwd,
    .bwd_graph = matmul_bwd_graph,
    ET_SAMPLES(matmul_samples),
};

const et_op et_op_matmul_t = {.name = "matmul_t", ET_SAMPLES(matmul_t_samples)};

static et_tensor *multiply(et_tensor *a, et_tensor *b, bool trans_a, bool trans_b)
{
    const matmul_attr attr = {trans_a, trans_b};

    return et_apply1(&et_op_matmul, 2, (et_tensor *const[]){a, b}, &attr, sizeof attr);
}

/**
 * Matrix product, with torch.matmul's rules.
 *
 *   y[.., i, j] = sum_p a[.., i, p] b[.., p, j]
 *
 * a       [.., m, k], or [k]: counts as one row
 * b       [.., k, n], or [k]: counts as one column
 * return  [.., m, n], without m where a is a vector and without n where b is one; the leading
 *         dimensions of a and b are broadcast. Any strides: transposed and permuted views are
 *         read where they lie.
 *
 * Errors: ESHAPE for a scalar, or sizes that do not fit.
 * Saves a for b's gradient and b for a's.
 */
et_tensor *(et_matmul)(et_tensor *a, et_tensor *b)
{
    return multiply(a, b, false, false);
}

/**
 * Matrix product of operands either of which may be transposed.
 *
 * As et_matmul, of a [.., k, m] when trans_a and b [.., n, k] when trans_b (the last two
 * dimensions swap). Errors: also ESHAPE when the operand to be transposed is a vector.
 */
et_tensor *(et_matmul_t)(et_tensor *a, et_tensor *b, bool trans_a, bool trans_b)
{
    return multiply(a, b, trans_a, trans_b);
}
