/* Additive scores, e = v . tanh(W u + b), as one op: backward goes through the rows in blocks, so that the
 * gradient of what goes into tanh is in the caches and never in memory as a whole. */
#include "config.h"

#include "autograd/op.h"
#include "autograd/shards.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/gemm.h"
#include "tensor/ints.h"

enum { U, W, B, V };

static et_status scores_shape(et_node *n)
{
    const et_tensor *u = n->in[U], *w = n->in[W], *b = n->in[B], *v = n->in[V];

    if (w->ndim != 2)
        return et_op_raise(n, ET_ESHAPE, "w must be [A, H], it is %s", et_shape_str(w));
    if (u->ndim == 0 || u->shape[u->ndim - 1] != w->shape[1])
        return et_op_raise(n, ET_ESHAPE, "u is %s, its last size must be that of w, %s", et_shape_str(u),
                           et_shape_str(w));
    if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
        return et_op_raise(n, ET_ESHAPE, "b must be [%lld] for w %s, it is %s", (long long)w->shape[0],
                           et_shape_str(w), et_shape_str(b));
    if (v->ndim < 1 || v->ndim > 2 || v->numel != w->shape[0] || v->shape[v->ndim - 1] != w->shape[0])
        return et_op_raise(n, ET_ESHAPE, "v must be [%lld] or [1, %lld] for w %s, it is %s",
                           (long long)w->shape[0], (long long)w->shape[0], et_shape_str(w), et_shape_str(v));
    return et_out(n, 0, u->dtype, u->ndim - 1, u->shape);
}

static et_status scores_fwd(et_node *n)
{
    const et_tensor *w = n->in[W], *b = n->in[B];
    const int64_t rows = n->out[0]->numel, width = w->shape[0], depth = w->shape[1];
    et_tensor *t = et_save_extra(n, 0, w->dtype, ET_SHAPE(rows, width));
    et_gemm_args g = {.m = rows, .n = width, .k = depth, .rsa = depth, .csa = 1, .b = et_data(w),
                      .rsb = w->strides[1], .csb = w->strides[0], .ldc = width, .alpha = 1,
                      .act = ET_ACT_TANH};
    et_gemm_args e = {.m = rows, .n = 1, .k = width, .rsa = width, .csa = 1, .rsb = 1, .csb = width,
                      .ldc = 1, .alpha = 1};
    et_status status;

    g.a = et_contig(n, n->in[U]);
    g.bias = b ? et_contig(n, b) : NULL;
    g.c = t ? et_data_mut(t) : NULL;
    e.a = g.c;
    e.b = et_contig(n, n->in[V]);
    e.c = et_out_data(n, 0);
    if (!g.a || !g.b || (b && !g.bias) || !g.c || !e.b || !e.c)
        return et_error_status();
    status = et_product(n, w->dtype, &g);
    return status ? status : et_product(n, w->dtype, &e);
}

/* --- backward ------------------------------------------------------------------------ */

enum { BLOCK_BYTES = 262144, BLOCK_LEAST = 64, BLOCK_FINE = 6 /* rows */ };

typedef struct backward {
    const et_node *n;
    const et_kernels *k;
    size_t size;                  /* of a real */
    int64_t rows, width, depth;
    int64_t shard, block;         /* rows of a shard; that go through together */
    et_lanes lanes;
    const void *u, *w, *v, *t, *de;
    void *packed;                 /* w, or NULL */
    void *du;                     /* NULL: not needed */
    int du_acc;
    et_shard_grad dw, db, dv;
    char *own;                    /* [lanes][block, width]: dz */
} backward;

static void *at(const backward *p, const void *base, int64_t i)
{
    return (char *)(uintptr_t)base + (size_t)i * p->size;
}

/* Rows first .. first + count - 1: dz = de v (1 - t^2), and what it adds to. */
static et_status back_block(const backward *p, int64_t shard, int64_t first, int64_t count, void *dz)
{
    const et_dtype dtype = p->k->dtype;
    const int64_t A = p->width, H = p->depth;
    const void *t = at(p, p->t, first * A), *de = at(p, p->de, first), *u = at(p, p->u, first * H);
    et_status status = ET_OK;

    if (p->dv.to) {
        const et_gemm_args g = {.m = 1, .n = A, .k = count, .a = de, .rsa = 1, .csa = 1, .b = t, .rsb = A,
                                .csb = 1, .c = p->dv.part[shard], .ldc = A, .alpha = 1, .beta = 1};
        status = et_product(p->n, dtype, &g);
    }
    if (status || !(p->dw.to || p->db.to || p->du))
        return status;
    for (int64_t i = 0; i < count; i++)
        p->k->affine(A, p->v, et_real_at(p->n->out[0], de, i), 0, at(p, dz, i * A));
    p->k->unary_bwd[ET_U_TANH](count * A, t, dz, dz, 0);
    if (p->db.to)
        p->k->col_sum(count, A, dz, A, p->db.part[shard], 1);
    if (p->dw.to) {
        const et_gemm_args g = {.m = A, .n = H, .k = count, .a = dz, .rsa = 1, .csa = A, .b = u, .rsb = H,
                                .csb = 1, .c = p->dw.part[shard], .ldc = H, .alpha = 1, .beta = 1};
        status = et_product(p->n, dtype, &g);
    }
    if (!status && p->du) {
        const et_gemm_args g = {.m = count, .n = H, .k = A, .a = dz, .rsa = A, .csa = 1, .b = p->w, .rsb = H,
                                .csb = 1, .packed = p->packed, .c = at(p, p->du, first * H), .ldc = H,
                                .alpha = 1, .beta = p->du_acc};
        status = et_product(p->n, dtype, &g);
    }
    return status;
}

static et_status back_shard(const void *user, int64_t shard, int64_t lane)
{
    const backward *p = user;
    const et_shard_grad *sums[] = {&p->dw, &p->db, &p->dv};
    const int64_t to = min64(p->rows, (shard + 1) * p->shard);
    et_status status = ET_OK;

    for (int i = 0; i < 3; i++)
        et_shard_begin(p->k, sums[i], shard);
    for (int64_t r = shard * p->shard; r < to && !status; r += p->block)
        status = back_block(p, shard, r, min64(p->block, to - r), at(p, p->own, lane * p->block * p->width));
    for (int i = 0; i < 3; i++)
        et_shard_end(p->k, &p->lanes, sums[i], shard);
    return status;
}

/* w in the order in which the products with dz read it, for all of them. */
static et_status pack(et_node *n, backward *p)
{
    if (!p->du || n->mixed)
        return ET_OK;
    p->packed = et_scratch(n, et_gemm_packed_bytes(p->k->dtype, p->width, p->depth));
    if (!p->packed)
        return et_error_status();
    et_gemm_pack(p->k->dtype, p->width, p->depth, p->w, p->depth, 1, p->packed);
    return ET_OK;
}

static et_status scores_bwd(et_node *n)
{
    backward p = {.n = n, .k = et_k(n), .rows = n->out[0]->numel, .width = n->in[W]->shape[0],
                  .depth = n->in[W]->shape[1]};
    const bool below = et_needs(n, U) || et_needs(n, W) || et_needs(n, B); /* tanh */
    et_status status;

    if (p.rows == 0 || p.width == 0) {
        for (int i = 0; i < n->n_in; i++)
            if (et_needs(n, i) && !et_gx_add(n, i))
                return et_error_status();
        return ET_OK;
    }
    p.size = et_dtype_size(p.k->dtype);
    p.shard = et_shard_rows(p.rows, 1, 2.0 * (double)p.width * (double)(p.depth + 1));
    p.block = BLOCK_BYTES / (2 * (p.width + p.depth) * (int64_t)p.size);
    p.block = min64(p.shard, et_cut(max64(p.block, BLOCK_LEAST), BLOCK_FINE));
    p.lanes = et_lanes_for(ceil_div(p.rows, p.shard));
    if (!(p.de = et_gy_data(n, 0)) || !(p.t = et_data(n->saved[0])) ||
        (below && !(p.v = et_contig(n, n->in[V]))) ||
        (et_needs(n, W) && !(p.u = et_contig(n, n->in[U]))) ||
        (et_needs(n, U) && (!(p.w = et_contig(n, n->in[W])) || !(p.du = et_gx(n, U, &p.du_acc)))) ||
        !(p.own = et_scratch(n, (size_t)(p.lanes.count * p.block * p.width) * p.size)))
        return et_error_status();
    p.lanes.spent = et_saved_over(n, 0);
    p.lanes.spent_bytes = p.shard * p.width * (int64_t)p.size;
    if ((status = et_shard_grad_open(n, W, &p.lanes, p.width * p.depth, &p.dw)) ||
        (status = et_shard_grad_open(n, B, &p.lanes, p.width, &p.db)) ||
        (status = et_shard_grad_open(n, V, &p.lanes, p.width, &p.dv)) || (status = pack(n, &p)) ||
        (status = et_shards_run(n, &p.lanes, back_shard, &p)))
        return status;
    et_shard_grad_sum(p.k, &p.lanes, &p.dw);
    et_shard_grad_sum(p.k, &p.lanes, &p.db);
    et_shard_grad_sum(p.k, &p.lanes, &p.dv);
    return ET_OK;
}

static unsigned scores_saves(const et_node *n)
{
    return (et_needs(n, W) ? ET_SAVE_IN(U) : 0) | (et_needs(n, U) ? ET_SAVE_IN(W) : 0) |
           (et_needs(n, U) || et_needs(n, W) || et_needs(n, B) ? ET_SAVE_IN(V) : 0);
}

static double scores_flops(const et_node *n, bool backward)
{
    const double rows = 2 * (double)n->out[0]->numel, v = (double)n->in[V]->numel;

    return rows * ((double)n->in[W]->numel * (backward ? et_needs(n, U) + et_needs(n, W) : 1) +
                   v * (backward ? et_needs(n, V) : 1));
}

/* --- samples ---------------------------------------------------------------------------- */

ET_CALL(scores_all, et_additive_scores(in[0], in[1], in[2], in[3]))
ET_CALL(scores_bare, et_additive_scores(in[0], in[1], NULL, in[2]))

#define V1(n) {.ndim = 1, .shape = {n}}
#define M(r, c) {.ndim = 2, .shape = {r, c}}
#define B3(b, r, c) {.ndim = 3, .shape = {b, r, c}}

static const et_sample scores_samples[] = {
    {"sequences", 4, {B3(2, 3, 4), M(5, 4), V1(5), V1(5)}, scores_all, 0},
    {"v as a row", 4, {M(3, 4), M(5, 4), V1(5), M(1, 5)}, scores_all, 0},
    {"no b", 3, {B3(2, 3, 4), M(5, 4), V1(5)}, scores_bare, 0},
    {"one state", 4, {V1(4), M(3, 4), V1(3), V1(3)}, scores_all, 0},
    {"u of w's shape", 4, {M(4, 4), M(4, 4), V1(4), V1(4)}, scores_all, 0},
    {"all vectors of one size", 4, {V1(4), M(4, 4), V1(4), V1(4)}, scores_all, 0},
    {"many states", 4, {B3(31, 17, 3), M(2, 3), V1(2), V1(2)}, scores_all, 0},
    {"no states", 4, {B3(2, 0, 4), M(5, 4), V1(5), V1(5)}, scores_all, 0},
    {"no inputs", 4, {M(3, 0), M(5, 0), V1(5), V1(5)}, scores_all, 0},
};

const et_op et_op_additive_scores = {
    .name = "additive_scores",
    .args = "r r r? r",
    .n_out = 1,
    .flags = ET_OP_ONCE,
    .saves_for = scores_saves,
    .shape = scores_shape,
    .fwd = scores_fwd,
    .bwd = scores_bwd,
    .flops = scores_flops,
    ET_SAMPLES(scores_samples),
};

/**
 * Scores of additive attention: e = v . tanh(W u + b).
 *
 * u       [.., H]   states, H wide
 * w       [A, H]    to the A units that are compared with v
 * b       [A], or NULL for none
 * v       [A] or [1, A]
 * return  [..]      one score a state
 *
 * Saves tanh(W u + b); u for w's gradient, w for u's, and v for those of u, w and b. Multiplies bfloat16 in
 * mixed precision (et_mixed_begin). Can be differentiated once; compose et_linear, et_tanh and et_linear for
 * more.
 * Errors: ESHAPE; ENOMEM. Source: Bahdanau, Cho and Bengio 2015 (arXiv 1409.0473), appendix A.1.2.
 */
et_tensor *(et_additive_scores)(et_tensor *u, et_tensor *w, et_tensor *b, et_tensor *v)
{
    return et_apply1(&et_op_additive_scores, 4, (et_tensor *const[]){u, w, b, v}, NULL, 0);
}
