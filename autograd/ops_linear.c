/* The linear layer, y = act(x W^T + b), as one op: bias and activation are the product's epilogue,
 * and the weight's gradient is added where it is kept. */
#include "config.h"

#include <string.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "autograd/shards.h"
#include "tensor/gemm.h"
#include "tensor/ints.h"

#if 0
/* ops.h: begin */
#include "tensor/gemm.h" /* et_act */
/* ops.h: end */
#endif

typedef struct linear_attr {
    et_act act;
} linear_attr;

static et_status linear_shape(et_node *n)
{
    const et_tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    int64_t shape[ET_MAX_DIMS];

    if (w->ndim != 2)
        return et_op_raise(n, ET_ESHAPE, "the weight must be [out, in], it is %s", et_shape_str(w));
    if (x->ndim == 0 || x->shape[x->ndim - 1] != w->shape[1])
        return et_op_raise(n, ET_ESHAPE, "x is %s, its last size must be that of the weight, %s",
                           et_shape_str(x), et_shape_str(w));
    if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
        return et_op_raise(n, ET_ESHAPE, "the bias must be [%lld] for a weight %s, it is %s",
                           (long long)w->shape[0], et_shape_str(w), et_shape_str(b));
    for (int d = 0; d < x->ndim; d++)
        shape[d] = x->shape[d];
    shape[x->ndim - 1] = w->shape[0];
    return et_out(n, 0, x->dtype, x->ndim, shape);
}

/* x as a matrix of rows: as it lies where its leading dimensions follow each other evenly, else a copy. */
static const void *as_rows(et_node *n, const et_tensor *x, int64_t *rs, int64_t *cs)
{
    const int last = x->ndim - 1;
    int64_t step = 0, next = 0; /* from row to row; what the stride of the next dimension must be */
    bool even = true;

    for (int d = last - 1; d >= 0 && even; d--) {
        if (x->shape[d] == 1)
            continue;
        even = x->strides[d] != 0 && (!step || x->strides[d] == next); /* 0: rows that repeat (expand) */
        step = step ? step : x->strides[d];
        next = x->strides[d] * x->shape[d];
    }
    *rs = even && step ? step : x->shape[last];
    *cs = even ? x->strides[last] : 1;
    return even ? et_data(x) : et_contig(n, x);
}

static int64_t row_count(const et_tensor *x)
{
    int64_t rows = 1;

    for (int d = 0; d < x->ndim - 1; d++)
        rows *= x->shape[d];
    return rows;
}

static et_status linear_fwd(et_node *n)
{
    const et_tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    et_gemm_args g = {.m = row_count(x), .n = w->shape[0], .k = w->shape[1], .rsb = w->strides[1],
                      .csb = w->strides[0], .ldc = w->shape[0], .alpha = 1,
                      .act = ET_ATTR(n, linear_attr)->act};

    g.a = as_rows(n, x, &g.rsa, &g.csa);
    g.b = et_data(w);
    g.c = et_out_data(n, 0);
    g.bias = b ? et_contig(n, b) : NULL;
    if (!g.a || !g.b || !g.c || (b && !g.bias))
        return et_error_status();
    if (g.act == ET_ACT_GELU && n->recording) {
        const et_tensor *y = n->out[0];
        et_tensor *z = et_save_extra(n, 0, y->dtype, y->ndim, y->shape);
        if (!z)
            return et_error_status();
        g.out = g.c;
        g.ldo = g.ldc;
        if (!(g.c = et_data_mut(z)))
            return et_error_status();
    }
    return et_product(n, x->dtype, &g);
}

typedef struct gelu_job {
    const et_kernels *kr;
    int64_t es;
    char *z, *y;
} gelu_job;

static void gelu_body(int64_t lo, int64_t hi, void *user)
{
    const gelu_job *j = user;
    char *z = j->z + lo * j->es;

    j->kr->unary_d[ET_U_GELU](hi - lo, z, j->y + lo * j->es, z);
}

/* GELU's result; z, which was kept for it, becomes the derivative, which backward asks for next. */
static et_status linear_remake(et_node *n, void *y)
{
    const et_tensor *z = n->saved[0];
    gelu_job j = {.kr = et_k(n), .es = (int64_t)et_dtype_size(z->dtype), .y = y};

    if (!(j.z = et_data_mut(n->saved[0])))
        return et_error_status();
    et_parallel_for(z->numel, et_elem_grain(), gelu_body, &j);
    return ET_OK;
}

static double linear_flops(const et_node *n, bool backward)
{
    return 2 * (double)n->out[0]->numel * (double)n->in[1]->shape[1] *
           (backward ? et_needs(n, 0) + et_needs(n, 1) : 1);
}

/* --- backward ------------------------------------------------------------------------ */

/* With dY the output's gradient and dZ that of Z = X W^T + b, which goes into the activation:
 *
 *   dZ = dY act'(Z),   db = sum of dZ over the rows,   dW = dZ^T X,   dX = dZ W
 *
 * Many rows and a small weight: rows go through all four by blocks that stay in the cache (back_by_shards).
 * Else: one after the other, each on all threads (back_in_turn). */
typedef struct backward {
    et_node *n;
    const et_kernels *kr;
    int64_t rows, width, depth; /* Y is [rows, width], X [rows, depth], W [width, depth] */
    int64_t es;                 /* bytes of an element */
    et_act act;
    const char *s;              /* what act' reads, Z for GELU, else Y; */
    bool slope;                 /* or act'(Z) itself */
    const char *gy;             /* dY */
    const char *x, *w;          /* NULL: the other's gradient is not needed */
    int64_t rsx, csx, rsw, csw;
    char *dx;                   /* NULL: not needed */
    int dx_acc;
} backward;

/* Elements at .. at + count of dZ, to gz. */
static void through_act(const backward *p, int64_t at, int64_t count, char *gz)
{
    const char *s = p->s + at * p->es, *gy = p->gy + at * p->es;

    if (p->slope)
        p->kr->binary[ET_B_MUL](count, s, 1, gy, 1, gz);
    else
        p->kr->unary_bwd[p->act == ET_ACT_RELU   ? ET_U_RELU
                         : p->act == ET_ACT_TANH ? ET_U_TANH
                         : p->act == ET_ACT_GELU ? ET_U_GELU
                                                 : ET_U_SIGMOID](count, s, gy, gz, 0);
}

/* What backward reads. */
static et_status backward_open(et_node *n, backward *p)
{
    const et_tensor *x = n->in[0], *w = n->in[1];

    *p = (backward){.n = n, .kr = et_k(n), .rows = row_count(x), .width = w->shape[0], .depth = w->shape[1],
                    .es = (int64_t)et_dtype_size(x->dtype), .act = ET_ATTR(n, linear_attr)->act,
                    .slope = n->remade, .gy = et_gy_data(n, 0)};
    if (p->act != ET_ACT_NONE)
        p->s = et_data(p->act == ET_ACT_GELU ? n->saved[0] : n->out[0]);
    if (et_needs(n, 0)) {
        p->w = et_data(w);
        p->rsw = w->strides[0];
        p->csw = w->strides[1];
    }
    if (et_needs(n, 1))
        p->x = as_rows(n, x, &p->rsx, &p->csx);
    return et_error_status();
}

/* dW (+)= dZ^T X of rows first .. first + count - 1, whose dZ is gz. */
static et_status weight_product(const backward *p, int64_t first, int64_t count, const void *gz, void *dw,
                                int acc)
{
    const et_gemm_args g = {.m = p->width, .n = p->depth, .k = count, .a = gz, .rsa = 1, .csa = p->width,
                            .b = p->x + first * p->rsx * p->es, .rsb = p->rsx, .csb = p->csx, .c = dw,
                            .ldc = p->depth, .alpha = 1, .beta = acc};

    return et_product(p->n, p->kr->dtype, &g);
}

/* dX (+)= dZ W of the same rows; packed: W as et_gemm_pack left it, or NULL. */
static et_status input_product(const backward *p, int64_t first, int64_t count, const void *gz,
                               const void *packed)
{
    const et_gemm_args g = {.m = count, .n = p->depth, .k = p->width, .a = gz, .rsa = p->width, .csa = 1,
                            .b = p->w, .rsb = p->rsw, .csb = p->csw, .packed = packed,
                            .c = p->dx + first * p->depth * p->es, .ldc = p->depth, .alpha = 1,
                            .beta = p->dx_acc};

    return et_product(p->n, p->kr->dtype, &g);
}

/* --- many rows, a small weight: rows in the cache go to all three gradients --------------- */

/* Where that pays, as measured (doc/performance.md): from MANY_ROWS rows on, for weights of at most
 * WALK_ELEMS elements, because each shard's sum of the weight's gradient is to stay in the cache, and of at
 * most 1 / SMALL of those of dZ and X together. A block is WALK_BYTES of dZ and X, about, and a multiple of
 * WALK_ROWS, itself one of every tile's height. FINE_..: where work is cut finely. */
enum {
    MANY_ROWS = 1024, FINE_MANY_ROWS = 2,
    SMALL = 16, FINE_SMALL = 1,
    WALK_ELEMS = 500000,
    WALK_BYTES = 768 * 1024,
    WALK_ROWS = 48, FINE_WALK_ROWS = 3
};

typedef struct walk {
    const backward *p;
    int64_t shard, block;       /* rows of a shard; of a block */
    char *gz;                   /* [rows, width] dZ, where there is room for all of it, else NULL: */
    char *own;                  /* [lanes][block, width], of the block in hand */
    et_lanes lanes;
    et_shard_grad dw, db;
    char *packed;               /* [lanes][packed_bytes] w as the products read it, or NULL; */
    int64_t packed_bytes;
    bool *made;                 /* [lanes] and whether it is there */
} walk;

/* w in the order in which this lane's products read it, packed by the thread that reads it. */
static const void *packed_for(const walk *k, int64_t lane)
{
    const backward *p = k->p;

    if (!k->packed)
        return NULL;
    char *packed = k->packed + lane * k->packed_bytes;
    if (!k->made[lane])
        et_gemm_pack(p->kr->dtype, p->width, p->depth, p->w, p->rsw, p->csw, packed);
    k->made[lane] = true;
    return packed;
}

static et_status back_shard(const void *user, int64_t shard, int64_t lane)
{
    const walk *k = user;
    const backward *p = k->p;
    const void *packed = packed_for(k, lane);
    const int64_t from = shard * k->shard, to = min64(p->rows, from + k->shard);
    et_status status = ET_OK;

    for (int64_t r = from, n; r < to && !status; r += n) {
        n = min64(k->block, to - r);
        const int64_t at = r * p->width;
        char *gz = k->gz ? k->gz + at * p->es : k->own + lane * k->block * p->width * p->es;
        if (p->act != ET_ACT_NONE)
            through_act(p, at, n * p->width, gz);
        if (k->db.to)
            p->kr->col_sum(n, p->width, gz, p->width, k->db.part[shard], r > from || (!shard && k->db.acc));
        if (k->dw.to)
            status = weight_product(p, r, n, gz, k->dw.part[shard], r > from || (!shard && k->dw.acc));
        if (p->dx && !status)
            status = input_product(p, r, n, gz, packed);
    }
    et_shard_end(p->kr, &k->lanes, &k->dw, shard);
    et_shard_end(p->kr, &k->lanes, &k->db, shard);
    return status;
}

/* Shards of the rows, eight at most, whose sums for the weight and the bias are added up in order; a thread
 * reads rows that it made. */
static et_status back_by_shards(backward *p)
{
    et_node *n = p->n;
    const int64_t row = (p->width + p->depth) * p->es, some = et_cut(WALK_ROWS, FINE_WALK_ROWS);
    char *over = et_gy_over(n);
    walk k = {.p = p};
    et_status status;

    k.shard = et_shard_rows(p->rows, 2, (double)p->width * (double)(p->depth + 1));
    k.block = min64(k.shard, max64(1, et_cut(WALK_BYTES / row, 1) / some) * some);
    if (n->mixed) /* each product packs w anew */
        k.block = k.shard;
    k.lanes = et_lanes_for(ceil_div(p->rows, k.shard));
    k.lanes.spent = over;
    k.lanes.spent_bytes = k.shard * p->width * p->es;
    k.gz = p->act == ET_ACT_NONE ? (char *)(uintptr_t)p->gy : over;
    if (!k.gz && !(k.own = et_scratch(n, (size_t)(k.lanes.count * k.block * p->width * p->es))))
        return et_error_status();
    if (p->w && !n->mixed) {
        const size_t lanes = (size_t)k.lanes.count;
        k.packed_bytes = round_up((int64_t)et_gemm_packed_bytes(p->kr->dtype, p->width, p->depth), 64);
        if (!(k.packed = et_scratch(n, lanes * (size_t)k.packed_bytes)) ||
            !(k.made = et_scratch(n, lanes * sizeof *k.made)))
            return et_error_status();
        memset(k.made, 0, lanes * sizeof *k.made);
    }
    if ((p->w && !(p->dx = et_gx_over(n, 0, &p->dx_acc))) ||
        et_shard_grad_open(n, 1, &k.lanes, p->width * p->depth, &k.dw) ||
        et_shard_grad_open(n, 2, &k.lanes, p->width, &k.db))
        return et_error_status();
    if ((status = et_shards_run(n, &k.lanes, back_shard, &k)))
        return status;
    et_shard_grad_sum(p->kr, &k.lanes, &k.dw);
    et_shard_grad_sum(p->kr, &k.lanes, &k.db);
    return ET_OK;
}

/* --- else: one gradient after the other, each on all threads ------------------------------ */

enum {
    SHARDS = 16,                 /* of the rows, at most, */
    LEAST = 32, FINE_LEAST = 2,  /* with so many rows each */
    BLOCK = 8192, FINE_BLOCK = 8 /* elements that go through the activation and into the sums together */
};

typedef struct act_pass {
    const backward *p;
    char *gz;      /* dZ; is dY where there is no activation */
    int64_t shard; /* rows */
    char *sums;    /* [shards, width] of the bias's gradient, or NULL */
} act_pass;

/* Rows of some shards once through the activation and into the bias's gradient. */
static void rows_body(int64_t lo, int64_t hi, void *user)
{
    const act_pass *a = user;
    const backward *p = a->p;
    const int64_t some = max64(1, et_cut(BLOCK, FINE_BLOCK) / p->width);

    for (int64_t i = lo; i < hi; i++) {
        const int64_t from = i * a->shard, to = min64(from + a->shard, p->rows);
        for (int64_t r = from; r < to; r += some) {
            const int64_t n = min64(some, to - r), at = r * p->width;
            if (p->act != ET_ACT_NONE)
                through_act(p, at, n * p->width, a->gz + at * p->es);
            if (a->sums)
                p->kr->col_sum(n, p->width, a->gz + at * p->es, p->width, a->sums + i * p->width * p->es,
                               r > from);
        }
    }
}

/* dZ, all of it; adds up the bias's gradient on the way, in shards that the number of rows decides, so that a
 * thread reads what it wrote. NULL on failure. */
static const void *before_act(const backward *p)
{
    et_node *n = p->n;
    act_pass a = {.p = p, .gz = (char *)(uintptr_t)p->gy};
    int64_t shards = max64(1, min64(p->rows / et_cut(LEAST, FINE_LEAST), SHARDS));
    const bool bias = et_needs(n, 2);
    int acc;

    if (p->act == ET_ACT_NONE && !bias)
        return a.gz;
    if (p->act != ET_ACT_NONE && !(a.gz = et_gy_over(n)) &&
        !(a.gz = et_scratch(n, (size_t)(p->rows * p->width * p->es))))
        return NULL;
    char *gb = bias ? et_gx(n, 2, &acc) : NULL;
    a.sums = bias ? et_scratch(n, (size_t)(shards * p->width * p->es)) : NULL;
    if (bias && (!gb || !a.sums))
        return NULL;
    if (p->rows && p->width) {
        a.shard = ceil_div(p->rows, shards);
        shards = ceil_div(p->rows, a.shard);
        et_parallel_for(shards, et_row_grain(shards, a.shard * p->width), rows_body, &a);
    } else {
        shards = 0;
    }
    if (bias)
        p->kr->col_sum(shards, p->width, a.sums, p->width, gb, acc);
    return a.gz;
}

static et_status back_in_turn(backward *p)
{
    et_node *n = p->n;
    const void *gz = before_act(p);
    et_status status = gz ? ET_OK : et_error_status();
    int acc;

    if (status == ET_OK && et_needs(n, 1)) {
        void *dw = et_gx(n, 1, &acc);
        status = dw ? weight_product(p, 0, p->rows, gz, dw, acc) : et_error_status();
    }
    if (status == ET_OK && et_needs(n, 0)) { /* over X, which is not read any more */
        p->dx = et_gx_over(n, 0, &p->dx_acc);
        status = p->dx ? input_product(p, 0, p->rows, gz, NULL) : et_error_status();
    }
    return status;
}

static et_status linear_bwd(et_node *n)
{
    const int64_t many = et_cut(MANY_ROWS, FINE_MANY_ROWS), small = et_cut(SMALL, FINE_SMALL);
    backward p;
    et_status status = backward_open(n, &p);

    if (status)
        return status;
    if (p.rows >= many && p.width && p.depth && p.width * (p.depth + 1) <= WALK_ELEMS &&
        small * p.width * p.depth <= p.rows * (p.width + p.depth))
        return back_by_shards(&p);
    return back_in_turn(&p);
}

static unsigned linear_saves(const et_node *n)
{
    const et_act act = ET_ATTR(n, linear_attr)->act;

    return (n->needs[1] ? ET_SAVE_IN(0) : 0) | (n->needs[0] ? ET_SAVE_IN(1) : 0) |
           (act != ET_ACT_NONE && act != ET_ACT_GELU ? ET_SAVE_OUT(0) : 0);
}

static et_status linear_bwd_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *g = gy[0];

    if (!g)
        return ET_OK;
    if (et_needs(n, 0) && !(gx[0] = et_matmul(g, n->in[1])))
        return et_error_status();
    if (et_needs(n, 1)) {
        const int64_t rows = row_count(n->in[0]);
        et_tensor *gm = et_reshape(g, ET_SHAPE(rows, n->in[1]->shape[0]));
        et_tensor *xm = et_reshape(n->in[0], ET_SHAPE(rows, n->in[1]->shape[1]));
        if (!(gx[1] = et_matmul_t(gm, xm, true, false)))
            return et_error_status();
    }
    if (et_needs(n, 2))
        gx[2] = g; /* summed over the leading dimensions */
    return ET_OK;
}

/* --- samples ---------------------------------------------------------------------------- */

ET_CALL(linear_sample, et_linear(in[0], in[1], in[2]))
ET_CALL(linear_bare, et_linear(in[0], in[1], NULL))
ET_CALL(act_none, et_linear_act(in[0], in[1], in[2], ET_ACT_NONE))
ET_CALL(act_tanh, et_linear_act(in[0], in[1], in[2], ET_ACT_TANH))
ET_CALL(act_sigmoid, et_linear_act(in[0], in[1], in[2], ET_ACT_SIGMOID))
ET_CALL(act_gelu, et_linear_act(in[0], in[1], in[2], ET_ACT_GELU))
ET_CALL(act_gelu_bare, et_linear_act(in[0], in[1], NULL, ET_ACT_GELU))
ET_CALL_SCOPED(act_gelu_again, et_square(et_linear_act(in[0], in[1], in[2], ET_ACT_GELU)))
/* The bias keeps every sum far from the kink: +10 in even columns, -10 in odd ones. */
ET_CALL(act_relu, et_linear_act(in[0], in[1],
                                et_add(in[2], et_to(et_from(ET_F64, ET_SHAPE(4),
                                                            (const double[]){10, -10, 10, -10}),
                                                    in[2] ? in[2]->dtype : ET_F64)),
                                ET_ACT_RELU))

#define V(n) {.ndim = 1, .shape = {n}}
#define M(r, c) {.ndim = 2, .shape = {r, c}}
#define B3(b, r, c) {.ndim = 3, .shape = {b, r, c}}

static const et_sample linear_samples[] = {
    {"rows", 3, {M(3, 4), M(5, 4), V(5)}, linear_sample, 0},
    {"past a piece", 3, {M(600, 2), M(131, 2), V(131)}, linear_sample, 0},
    {"shards of the rows", 3, {M(1024, 3), M(2, 3), V(2)}, linear_sample, 0},
    {"no bias", 2, {M(3, 4), M(5, 4)}, linear_bare, 0},
    {"vector", 3, {V(4), M(5, 4), V(5)}, linear_sample, 0},
    {"three dimensions", 3, {B3(2, 3, 4), M(5, 4), V(5)}, linear_sample, 0},
    {"many rows, few columns", 3, {M(70, 3), M(2, 3), V(2)}, linear_sample, 0},
    {"no rows", 3, {M(0, 4), M(5, 4), V(5)}, linear_sample, 0},
    {"no inputs", 3, {M(3, 0), M(5, 0), V(5)}, linear_sample, 0},
};

static const et_sample linear_act_samples[] = {
    {"tanh", 3, {B3(2, 3, 4), M(5, 4), V(5)}, act_tanh, 0},
    {"sigmoid", 3, {M(3, 4), M(5, 4), V(5)}, act_sigmoid, 0},
    {"tanh, past a piece", 3, {M(600, 2), M(67, 2), V(67)}, act_tanh, 0},
    {"gelu, past a piece", 3, {M(600, 2), M(67, 2), V(67)}, act_gelu, 0},
    {"gelu", 3, {M(3, 4), M(5, 4), V(5)}, act_gelu, 0},
    {"gelu, no bias", 2, {M(3, 4), M(5, 4)}, act_gelu_bare, 0},
    {"gelu, made again", 3, {M(7, 4), M(5, 4), V(5)}, act_gelu_again, 0},
    {"relu", 3, {M(3, 3), M(4, 3), V(4)}, act_relu, 0},
    {"none", 3, {M(3, 4), M(5, 4), V(5)}, act_none, 0},
    {"no rows", 3, {M(0, 4), M(5, 4), V(5)}, act_gelu, 0},
};

const et_op et_op_linear = {
    .name = "linear",
    .args = "rrr?",
    .n_out = 1,
    .saves_for = linear_saves,
    .shape = linear_shape,
    .fwd = linear_fwd,
    .flops = linear_flops,
    .bwd = linear_bwd,
    .bwd_graph = linear_bwd_graph,
    ET_SAMPLES(linear_samples),
};

const et_op et_op_linear_act = {
    .name = "linear_act",
    .args = "rrr?",
    .n_out = 1,
    .flags = ET_OP_ONCE,
    .saves_for = linear_saves,
    .shape = linear_shape,
    .fwd = linear_fwd,
    .remake = linear_remake,
    .flops = linear_flops,
    .bwd = linear_bwd,
    ET_SAMPLES(linear_act_samples),
};

/**
 * Linear layer: y = x W^T + b.
 *
 * x       [.., in]
 * weight  [out, in]
 * bias    [out], or NULL for none
 * return  [.., out]
 *
 * Multiplies bfloat16 in mixed precision (et_mixed_begin). Errors: ESHAPE if sizes do not fit. Saves x for
 * the weight's gradient and the weight for x's.
 */
et_tensor *(et_linear)(et_tensor *x, et_tensor *weight, et_tensor *bias)
{
    const linear_attr attr = {ET_ACT_NONE};

    return et_apply1(&et_op_linear, 3, (et_tensor *const[]){x, weight, bias}, &attr, sizeof attr);
}

/**
 * Linear layer and activation in one pass: y = act(x W^T + b).
 *
 * As et_linear; act is ET_ACT_NONE, ET_ACT_RELU, ET_ACT_TANH, ET_ACT_SIGMOID or ET_ACT_GELU (the exact
 * form). Backward reads the output, for GELU what went into it, which is saved beside it. Can be
 * differentiated once; compose et_linear and the activation for more.
 * Errors: as et_linear; EINVAL for an unknown activation.
 */
et_tensor *(et_linear_act)(et_tensor *x, et_tensor *weight, et_tensor *bias, et_act act)
{
    const linear_attr attr = {act};

    if ((int)act < ET_ACT_NONE || (int)act > ET_ACT_GELU) {
        et_raise_here(ET_EINVAL, "linear_act: unknown activation %d", (int)act);
        return NULL;
    }
    return et_apply1(&et_op_linear_act, 3, (et_tensor *const[]){x, weight, bias}, &attr, sizeof attr);
}
