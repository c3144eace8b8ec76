/* Scaled dot-product attention: y = softmax(scale Q K^T + mask) V as one op. What is computed, and
 * how it is cut, is in attention.c. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/attention.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

#if 0
/* ops.h: begin */
/** Options of attention; NULL stands for none of them. */
typedef struct et_attention_opts {
    bool causal;        /* query i sees keys 0 .. i alone */
    bool merge_heads;   /* the result is [B, Tq, H dv], heads side by side, as the next projection reads it */
    double scale;       /* of the scores; 0 for 1 / sqrt(dk) */
    double dropout;     /* each weight is dropped with this probability, the others divided by 1 - dropout */
    et_rng *rng;        /* draws for dropout; NULL: the thread's default generator */
    et_tensor *weights; /* [B, H, Tq, Tk], or what broadcasts to it: used instead of the softmax; or NULL.
                           q, k, mask, scale, causal and dropout are not looked at then */
} et_attention_opts;
/* ops.h: end */
#endif

/* Operands: of three tensors, and of a packed one. */
enum { IN_Q, IN_K, IN_V, IN_BIAS, IN_MASK };
enum { IN_QKV, IN_PACKED_BIAS, IN_PACKED_MASK };

/* --- shapes ------------------------------------------------------------------------------ */

/* Strides of x read as [B, H, T, d], 0 where x broadcasts; a first dimension that divides B repeats.
 * False if it does not fit. */
static bool broadcast_heads(const et_tensor *x, const int64_t *strides, const int64_t size[4],
                            et_attn_heads *out)
{
    int64_t s[4] = {0};

    out->period = 0;
    if (x->ndim > 4)
        return false;
    for (int d = 0; d < x->ndim; d++) {
        const int at = 4 - x->ndim + d;
        if (at == 0 && x->shape[d] > 1 && x->shape[d] < size[at] && size[at] % x->shape[d] == 0)
            out->period = x->shape[d];
        else if (x->shape[d] != 1 && x->shape[d] != size[at])
            return false;
        s[at] = x->shape[d] == 1 && size[at] != 1 ? 0 : strides[d];
    }
    if (size[3] == 1)
        s[3] = 1;
    out->sb = s[0], out->sh = s[1], out->st = s[2], out->sd = s[3];
    return true;
}

/* Sizes, and the operands' strides, from shapes that attention_shape has checked. */
static void read_shapes(const et_node *n, et_attn_job *w)
{
    const et_attn_attr *at = ET_ATTR(n, et_attn_attr);
    const et_tensor *first = n->in[0];

    w->kr = et_k(n);
    w->at = *at;
    w->dtype = first->dtype;
    w->mixed = n->mixed && first->dtype == ET_F32;
    w->es = (int64_t)et_dtype_size(first->dtype);
    if (at->heads) {
        const int64_t wide = first->shape[2] / 3, d = wide / at->heads, *s = first->strides;
        w->b = first->shape[0], w->h = at->heads, w->tq = w->tk = first->shape[1], w->dk = w->dv = d;
        w->q = w->k = w->v = (et_attn_heads){NULL, s[0], d * s[2], s[1], s[2], 0};
    } else {
        const et_tensor *k = n->in[IN_K], *v = n->in[IN_V];
        w->b = first->shape[0], w->h = first->shape[1], w->tq = first->shape[2], w->dk = first->shape[3];
        w->tk = k->shape[2], w->dv = v->shape[3];
        w->q = (et_attn_heads){NULL, first->strides[0], first->strides[1], first->strides[2],
                               first->strides[3], 0};
        w->k = (et_attn_heads){NULL, k->strides[0], k->strides[1], k->strides[2], k->strides[3], 0};
        w->v = (et_attn_heads){NULL, v->strides[0], v->strides[1], v->strides[2], v->strides[3], 0};
    }
    if (w->at.scale == 0)
        w->at.scale = w->dk ? 1 / sqrt((double)w->dk) : 1;
}

static int bias_at(const et_node *n) { return ET_ATTR(n, et_attn_attr)->heads ? IN_PACKED_BIAS : IN_BIAS; }
static int mask_at(const et_node *n) { return ET_ATTR(n, et_attn_attr)->heads ? IN_PACKED_MASK : IN_MASK; }

static et_status check_mask(const et_node *n, const et_tensor *mask, const int64_t size[4])
{
    et_attn_heads unused;

    if (!mask || broadcast_heads(mask, mask->strides, size, &unused))
        return ET_OK;
    return et_op_raise(n, ET_ESHAPE,
                       "the mask %s does not broadcast to [B, H, Tq, Tk] = [%lld, %lld, %lld, %lld]",
                       et_shape_str(mask), (long long)size[0], (long long)size[1], (long long)size[2],
                       (long long)size[3]);
}

static et_status check_operands(const et_node *n)
{
    const et_attn_attr *at = ET_ATTR(n, et_attn_attr);
    const et_tensor *q = n->in[0], *k, *v;

    if (at->heads) {
        if (q->ndim != 3 || q->shape[2] % (3 * (int64_t)at->heads) != 0)
            return et_op_raise(n, ET_ESHAPE, "expected qkv [B, T, 3 * %d * d], got %s", at->heads,
                               et_shape_str(q));
        return ET_OK;
    }
    k = n->in[IN_K], v = n->in[IN_V];
    if (q->ndim != 4 || k->ndim != 4 || v->ndim != 4)
        return et_op_raise(n, ET_ESHAPE, "q, k and v must be [B, H, T, d], got %s, %s and %s",
                           et_shape_str(q), et_shape_str(k), et_shape_str(v));
    for (int d = 0; d < 2; d++)
        if (q->shape[d] != k->shape[d] || q->shape[d] != v->shape[d])
            return et_op_raise(n, ET_ESHAPE, "batch and heads of q, k and v differ: %s, %s and %s",
                               et_shape_str(q), et_shape_str(k), et_shape_str(v));
    if (q->shape[3] != k->shape[3])
        return et_op_raise(n, ET_ESHAPE, "widths of q and k differ: %s and %s", et_shape_str(q),
                           et_shape_str(k));
    if (k->shape[2] != v->shape[2])
        return et_op_raise(n, ET_ESHAPE, "lengths of k and v differ: %s and %s", et_shape_str(k),
                           et_shape_str(v));
    return ET_OK;
}

static et_status attention_shape(et_node *n)
{
    et_status status = check_operands(n);
    et_attn_job w = {0};

    if (status != ET_OK)
        return status;
    read_shapes(n, &w);
    if (!(w.at.dropout >= 0 && w.at.dropout < 1))
        return et_op_raise(n, ET_EINVAL, "dropout must be at least 0 and below 1, it is %g", w.at.dropout);
    if (!isfinite(w.at.scale))
        return et_op_raise(n, ET_EINVAL, "the scale must be finite, it is %g", w.at.scale);
    const int64_t scores[4] = {w.b, w.h, w.tq, w.tk}, merged[3] = {w.b, w.tq, w.h * w.dv};
    const int64_t apart[4] = {w.b, w.h, w.tq, w.dv};
    if ((status = check_mask(n, n->in[bias_at(n)], scores)) != ET_OK ||
        (status = check_mask(n, n->in[mask_at(n)], scores)) != ET_OK)
        return status;
    status = w.at.merge ? et_out(n, 0, w.dtype, 3, merged) : et_out(n, 0, w.dtype, 4, apart);
    return status == ET_OK && n->op->n_out > 1 ? et_out(n, 1, w.dtype, 4, scores) : status;
}

/* --- forward and backward -------------------------------------------------------------------- */

/* The [B, H, Tq, dv] view of the output, dense at p. */
static et_attn_heads output_heads(const et_attn_job *w, const void *p)
{
    if (w->at.merge)
        return (et_attn_heads){(char *)p, w->tq * w->h * w->dv, w->dv, w->h * w->dv, 1, 0};
    return (et_attn_heads){(char *)p, w->h * w->tq * w->dv, w->tq * w->dv, w->dv, 1, 0};
}

/* Sizes, and pointers to what both directions read. */
static et_status prepare(et_node *n, et_attn_job *w)
{
    const et_tensor *bias = n->in[bias_at(n)], *mask = n->in[mask_at(n)];

    read_shapes(n, w);
    w->q.p = (char *)et_data(n->in[0]);
    if (!w->q.p)
        return et_error_status();
    if (w->at.heads) {
        const int64_t third = w->h * w->dk * n->in[0]->strides[2] * w->es;
        w->k.p = w->q.p + third;
        w->v.p = w->k.p + third;
    } else {
        w->k.p = (char *)et_data(n->in[IN_K]);
        w->v.p = (char *)et_data(n->in[IN_V]);
        if (!w->k.p || !w->v.p)
            return et_error_status();
    }
    const int64_t scores[4] = {w->b, w->h, w->tq, w->tk};
    if (bias) {
        broadcast_heads(bias, bias->strides, scores, &w->bias);
        if (!(w->bias.p = (char *)et_data(bias)))
            return et_error_status();
    }
    if (mask) {
        broadcast_heads(mask, mask->strides, scores, &w->mask);
        if (!(w->mask.p = (char *)et_data(mask)))
            return et_error_status();
    }
    return ET_OK;
}

static et_status attention_fwd(et_node *n)
{
    et_attn_job w = {0};
    et_status status = prepare(n, &w);

    if (status != ET_OK)
        return status;
    w.y = output_heads(&w, et_out_data(n, 0));
    if (!w.y.p || (n->op->n_out > 1 && !(w.w = et_out_data(n, 1))))
        return et_error_status();
    if (n->recording) {
        et_tensor *lse = et_save_extra(n, 0, w.dtype, 3, (const int64_t[]){w.b, w.h, w.tq});
        if (!lse || !(w.lse = et_data_mut(lse)))
            return et_error_status();
    }
    return et_attn_forward(n, &w);
}

/* Forward: scores and sums. Backward: the scores again, dP, and the gradients of q, k and v. */
static double attention_flops(const et_node *n, bool backward)
{
    const bool packed = ET_ATTR(n, et_attn_attr)->heads > 0;
    et_attn_job w;
    int64_t widths;

    read_shapes(n, &w);
    widths = w.dk + w.dv;
    if (backward) {
        const bool q = et_needs(n, packed ? 0 : IN_Q), k = et_needs(n, packed ? 0 : IN_K);
        widths = w.dk + (q || k ? w.dv : 0) + (q ? w.dk : 0) + (k ? w.dk : 0) +
                 (et_needs(n, packed ? 0 : IN_V) ? w.dv : 0);
    }
    return 2 * (double)(w.b * w.h) * (double)w.tq * (double)w.tk * (double)widths;
}

/* Memory for the gradient of a [B, H, T, d] operand. One tensor may be several operands: they are then all
 * added to what is there, since their parts are not written one after the other. */
static et_status gradient(et_node *n, int i, const et_attn_job *w, int64_t t, int64_t d, et_attn_heads *g,
                          int *acc)
{
    if (!et_needs(n, i))
        return ET_OK;
    const bool twice = n->in[IN_Q] == n->in[IN_K] || n->in[IN_Q] == n->in[IN_V] || n->in[IN_K] == n->in[IN_V];
    *acc = 1;
    *g = (et_attn_heads){twice ? et_gx_add(n, i) : et_gx(n, i, acc), w->h * t * d, t * d, d, 1, 0};
    return g->p ? ET_OK : et_error_status();
}

static et_status attention_bwd(et_node *n)
{
    et_attn_job w = {0};
    et_status status = prepare(n, &w);
    const et_tensor *gy = et_gy(n, 0), *bias = n->in[bias_at(n)];
    const int at = bias_at(n);

    if (status != ET_OK)
        return status;
    w.y = output_heads(&w, gy ? et_data(gy) : NULL);
    if (n->op->n_out > 1 && et_gy(n, 1))
        w.w = (char *)et_gy_data(n, 1);
    w.lse = (char *)et_data(n->saved[0]);
    if (!w.lse)
        return et_error_status();
    if (w.at.heads) {
        if (et_needs(n, 0)) {
            char *p = et_gx(n, 0, &w.acc_q);
            const int64_t third = w.h * w.dk;
            if (!p)
                return et_error_status();
            w.gq = w.gk = w.gv = (et_attn_heads){p, w.tq * 3 * third, w.dk, 3 * third, 1, 0};
            w.gk.p += third * w.es;
            w.gv.p += 2 * third * w.es;
            w.acc_k = w.acc_v = w.acc_q;
        }
    } else if ((status = gradient(n, IN_Q, &w, w.tq, w.dk, &w.gq, &w.acc_q)) != ET_OK ||
               (status = gradient(n, IN_K, &w, w.tk, w.dk, &w.gk, &w.acc_k)) != ET_OK ||
               (status = gradient(n, IN_V, &w, w.tk, w.dv, &w.gv, &w.acc_v)) != ET_OK) {
        return status;
    }
    w.units_b = w.b;
    w.units_h = w.h;
    if (et_needs(n, at)) {
        int64_t strides[ET_MAX_DIMS] = {0};
        const int64_t scores[4] = {w.b, w.h, w.tq, w.tk};
        et_dense_strides(bias->ndim, bias->shape, strides);
        broadcast_heads(bias, strides, scores, &w.gbias);
        if (bias->ndim == 0 || (w.tk != 1 && bias->shape[bias->ndim - 1] == 1))
            w.gbias.sd = 0;
        if (!(w.gbias.p = et_gx_add(n, at)))
            return et_error_status();
        if (w.gbias.sb == 0) /* heads that share a bias are one unit, so that one thread sums them */
            w.units_b = 1;
        else if (w.gbias.period)
            w.units_b = w.gbias.period;
        if (w.gbias.sh == 0)
            w.units_h = 1;
    }
    return et_attn_backward(n, &w);
}

/* --- samples ------------------------------------------------------------------------------------ */

#define B4(b, h, t, d) {.ndim = 4, .shape = {b, h, t, d}}
#define B3(b, t, d) {.ndim = 3, .shape = {b, t, d}}
#define M(r, c) {.ndim = 2, .shape = {r, c}}
#define MASK2(r, c) {.ndim = 2, .shape = {r, c}, .kind = ET_ARG_MASK, .hi = 0.7}
#define MASK4(b, h, q, k) {.ndim = 4, .shape = {b, h, q, k}, .kind = ET_ARG_MASK, .hi = 0.7}

static const et_attention_opts causal = {.causal = true}, merged = {.merge_heads = true, .scale = 0.3};
static const et_attention_opts causal_merged = {.causal = true, .merge_heads = true};

ET_CALL(plain, et_attention(in[0], in[1], in[2], NULL, NULL))
ET_CALL(with_mask, et_attention(in[0], in[1], in[2], in[3], NULL))
ET_CALL(with_causal, et_attention(in[0], in[1], in[2], NULL, &causal))
ET_CALL(with_merged, et_attention(in[0], in[1], in[2], NULL, &merged))
ET_CALL(self, et_attention(in[0], in[0], in[0], NULL, NULL))
ET_CALL(packed, et_attention_qkv(in[0], 2, NULL, NULL))
ET_CALL(packed_all, et_attention_qkv(in[0], 2, in[1], &causal_merged))

/* The second key is hidden from all, the third query sees nothing. */
static int with_infinities(et_tensor *const *in, et_tensor **out)
{
    const double x = -INFINITY, mask[3][4] = {{0, x, 0.5, 0}, {0, x, x, 1}, {x, x, x, x}};
    et_tensor *m = et_to(et_from(ET_F64, ET_SHAPE(3, 4), mask), in[0] ? in[0]->dtype : ET_F64);

    out[0] = et_attention(in[0], in[1], in[2], m, NULL);
    return out[0] ? 1 : -1;
}

static int with_dropout(et_tensor *const *in, et_tensor **out)
{
    et_rng rng = et_rng_make(5, 1);
    const et_attention_opts opts = {.dropout = 0.4, .rng = &rng};

    out[0] = et_attention(in[0], in[1], in[2], NULL, &opts);
    return out[0] ? 1 : -1;
}

static int weights_too(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_attention_weights(in[0], in[1], in[2], in[3], &causal, &out[1]);
    return out[0] ? 2 : -1;
}

static int weights_alone(et_tensor *const *in, et_tensor **out)
{
    return et_attention_weights(in[0], in[1], in[2], NULL, NULL, &out[0]) ? 1 : -1;
}

static int weights_dropout(et_tensor *const *in, et_tensor **out)
{
    et_rng rng = et_rng_make(5, 2);
    const et_attention_opts opts = {.dropout = 0.3, .rng = &rng, .merge_heads = true};

    out[0] = et_attention_weights(in[0], in[1], in[2], NULL, &opts, &out[1]);
    return out[0] ? 2 : -1;
}

static const et_sample attention_samples[] = {
    {"self", 1, {B4(2, 2, 3, 4)}, self, 0},
    {"lengths and widths differ", 3, {B4(2, 2, 3, 4), B4(2, 2, 5, 4), B4(2, 2, 5, 3)}, plain, 0},
    {"past a piece", 3, {B4(2, 2, 128, 16), B4(2, 2, 128, 16), B4(2, 2, 128, 16)}, plain, 0},
    {"causal", 3, {B4(1, 2, 4, 3), B4(1, 2, 4, 3), B4(1, 2, 4, 2)}, with_causal, 0},
    {"causal, more keys", 3, {B4(1, 1, 3, 2), B4(1, 1, 5, 2), B4(1, 1, 5, 2)}, with_causal, 0},
    {"causal, more queries", 3, {B4(1, 1, 5, 2), B4(1, 1, 3, 2), B4(1, 1, 3, 2)}, with_causal, 0},
    {"heads side by side, scale", 3, {B4(2, 2, 3, 4), B4(2, 2, 3, 4), B4(2, 2, 3, 2)}, with_merged, 0},
    {"bias of every score", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), B4(2, 2, 3, 4)}, with_mask,
     0},
    {"bias shared by the batch", 4, {B4(3, 2, 3, 2), B4(3, 2, 4, 2), B4(3, 2, 4, 3), B4(1, 2, 3, 4)},
     with_mask, 0},
    {"bias shared by batch and heads", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), M(3, 4)},
     with_mask, 0},
    {"bias of the keys", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), B4(2, 1, 1, 4)}, with_mask, 0},
    {"bias of the queries", 4, {B4(2, 1, 3, 2), B4(2, 1, 4, 2), B4(2, 1, 4, 3), M(3, 1)}, with_mask, 0},
    {"byte mask", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), MASK2(3, 4)}, with_mask, 0},
    {"byte mask of everything", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), MASK4(2, 2, 3, 4)},
     with_mask, 0},
    {"byte mask of the batch", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), MASK4(2, 1, 1, 1)},
     with_mask, 0},
    {"rows that see nothing", 3, {B4(1, 2, 3, 2), B4(1, 2, 4, 2), B4(1, 2, 4, 2)}, with_infinities, 0},
    {"dropout", 3, {B4(1, 2, 3, 2), B4(1, 2, 4, 2), B4(1, 2, 4, 2)}, with_dropout, 0},
    {"several blocks", 3, {B4(1, 1, 67, 2), B4(1, 1, 3, 2), B4(1, 1, 3, 2)}, plain, 0},
    {"several blocks, causal", 3, {B4(1, 1, 67, 1), B4(1, 1, 67, 1), B4(1, 1, 67, 1)}, with_causal, 0},
    {"one of everything", 3, {B4(1, 1, 1, 1), B4(1, 1, 1, 1), B4(1, 1, 1, 1)}, plain, 0},
    {"no queries", 3, {B4(2, 1, 0, 3), B4(2, 1, 4, 3), B4(2, 1, 4, 2)}, plain, 0},
    {"no keys", 3, {B4(2, 1, 3, 3), B4(2, 1, 0, 3), B4(2, 1, 0, 2)}, plain, 0},
    {"bias of every second of the batch", 4, {B4(4, 2, 3, 2), B4(4, 2, 4, 2), B4(4, 2, 4, 3), B4(2, 2, 3, 4)},
     with_mask, 0},
    {"byte mask of every second of the batch", 4, {B4(4, 2, 3, 2), B4(4, 2, 4, 2), B4(4, 2, 4, 3),
                                                   MASK4(2, 1, 3, 4)},
     with_mask, 0},
    {"no batch", 3, {B4(0, 1, 3, 3), B4(0, 1, 4, 3), B4(0, 1, 4, 2)}, plain, 0},
};

static const et_sample weights_samples[] = {
    {"both, causal, bias", 4, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3), M(3, 4)}, weights_too, 0},
    {"weights alone", 3, {B4(2, 2, 3, 2), B4(2, 2, 4, 2), B4(2, 2, 4, 3)}, weights_alone, 0},
    {"dropout, heads side by side", 3, {B4(1, 2, 3, 2), B4(1, 2, 4, 2), B4(1, 2, 4, 3)}, weights_dropout, 0},
};

static const et_sample qkv_samples[] = {
    {"packed", 1, {B3(2, 3, 12)}, packed, 0},
    {"packed, causal, bias, heads side by side", 2, {B3(2, 3, 12), M(3, 3)}, packed_all, 0},
    {"packed, byte mask", 2, {B3(2, 3, 6), MASK2(1, 3)}, packed_all, 0},
    {"packed, bias of every second of the batch", 2, {B3(4, 3, 12), B4(2, 2, 3, 3)}, packed_all, 0},
};

/* --- the ops -------------------------------------------------------------------------------------- */

#define SAVES                                                                                            \
    (ET_SAVE_IN(IN_Q) | ET_SAVE_IN(IN_K) | ET_SAVE_IN(IN_V) | ET_SAVE_IN(IN_BIAS) | ET_SAVE_IN(IN_MASK))

const et_op et_op_attention = {
    .name = "attention",
    .args = "rrrr?m?",
    .n_out = 1,
    .flags = ET_OP_ONCE,
    .saves = SAVES,
    .shape = attention_shape,
    .fwd = attention_fwd,
    .flops = attention_flops,
    .bwd = attention_bwd,
    ET_SAMPLES(attention_samples),
};

const et_op et_op_attention_weights = {
    .name = "attention_weights",
    .args = "rrrr?m?",
    .n_out = 2,
    .flags = ET_OP_ONCE,
    .saves = SAVES,
    .shape = attention_shape,
    .fwd = attention_fwd,
    .flops = attention_flops,
    .bwd = attention_bwd,
    ET_SAMPLES(weights_samples),
};

const et_op et_op_attention_qkv = {
    .name = "attention_qkv",
    .args = "rr?m?",
    .n_out = 1,
    .flags = ET_OP_ONCE,
    .saves = ET_SAVE_IN(IN_QKV) | ET_SAVE_IN(IN_PACKED_BIAS) | ET_SAVE_IN(IN_PACKED_MASK),
    .shape = attention_shape,
    .fwd = attention_fwd,
    .flops = attention_flops,
    .bwd = attention_bwd,
    ET_SAMPLES(qkv_samples),
};

/* Runs op on its operands, the mask in the place of its dtype. Draws its random words. */
static et_status apply(const et_op *op, int n_in, et_tensor *const *in, et_tensor *mask, int heads,
                       const et_attention_opts *opts, et_tensor **out)
{
    et_attn_attr attr = {.heads = heads};
    et_tensor *all[IN_MASK + 1] = {NULL};
    const bool bytes = mask && mask->dtype == ET_U8;

    memcpy(all, in, sizeof(et_tensor *) * (size_t)n_in);
    all[n_in] = bytes ? NULL : mask;
    all[n_in + 1] = bytes ? mask : NULL;
    if (opts) {
        attr.causal = opts->causal;
        attr.merge = opts->merge_heads;
        attr.scale = opts->scale;
        attr.dropout = opts->dropout;
    }
    et_rng *rng = opts && opts->dropout > 0 ? (opts->rng ? opts->rng : et_rng_default()) : NULL;
    if (rng)
        attr.rng = *rng;
    et_status status = et_apply(op, n_in + 2, all, &attr, sizeof attr, out);
    if (status == ET_OK && rng) {
        const et_tensor *q = in[0], *k = in[heads ? 0 : IN_K];
        rng->counter += heads ? (uint64_t)(q->shape[0] * heads * q->shape[1] * q->shape[1])
                              : (uint64_t)(q->numel / (q->shape[3] ? q->shape[3] : 1) * k->shape[2]);
    }
    return status;
}

/* Attention with weights that the caller gives. */
static et_tensor *with_weights(et_tensor *weights, et_tensor *v, bool merge)
{
    et_tensor *y = et_matmul(weights, v);

    if (!y || !merge)
        return y;
    y = et_transpose(y, 1, 2);
    return y ? et_reshape(y, ET_SHAPE(y->shape[0], y->shape[1], y->shape[2] * y->shape[3])) : NULL;
}

/**
 * Scaled dot-product attention: y = softmax(scale q k^T + mask) v.
 *
 * q       [B, H, Tq, dk]   any strides: views of a packed projection are read where they lie
 * k       [B, H, Tk, dk]
 * v       [B, H, Tk, dv]
 * mask    what broadcasts to [B, H, Tq, Tk], or NULL: real, added to the scaled scores (and differentiated,
 *         so that it can be a relative position bias), or uint8, 0 where a query must not look. Its first of
 *         four dimensions may also divide B: item b then takes b mod that (the windows of several images, one
 *         after the other)
 * opts    or NULL
 * return  [B, H, Tq, dv], or [B, Tq, H dv] with merge_heads
 *
 * A query that sees no key gives zeros. With causal, query i sees keys 0 .. i, whatever Tq and Tk.
 * The scores are made in blocks of queries, never [Tq, Tk] as a whole. Can be differentiated once.
 *
 * Errors: ESHAPE if sizes do not fit; EINVAL for a dropout outside [0, 1).
 * Saves its operands and ln sum e^score, [B, H, Tq].
 * Source: Vaswani et al. 2017, eq. 1.
 */
et_tensor *(et_attention)(et_tensor *q, et_tensor *k, et_tensor *v, et_tensor *mask,
                          const et_attention_opts *opts)
{
    et_tensor *y = NULL;

    if (opts && opts->weights)
        return with_weights(opts->weights, v, opts->merge_heads);
    return apply(&et_op_attention, 3, (et_tensor *const[]){q, k, v}, mask, 0, opts, &y) == ET_OK ? y : NULL;
}

/**
 * Attention that also returns its weights.
 *
 * As et_attention; *weights receives softmax(...), [B, H, Tq, Tk], before dropout. It can be
 * differentiated like the result.
 */
et_tensor *(et_attention_weights)(et_tensor *q, et_tensor *k, et_tensor *v, et_tensor *mask,
                                  const et_attention_opts *opts, et_tensor **weights)
{
    et_tensor *out[ET_MAX_OUT] = {NULL};

    if (!weights) {
        et_raise_here(ET_EINVAL,
                      "attention_weights: there is no place for the weights; et_attention needs none");
        return NULL;
    }
    *weights = NULL;
    if (opts && opts->weights) {
        et_tensor *y = with_weights(opts->weights, v, opts->merge_heads);
        *weights = y ? opts->weights : NULL;
        return y;
    }
    if (apply(&et_op_attention_weights, 3, (et_tensor *const[]){q, k, v}, mask, 0, opts, out) != ET_OK)
        return NULL;
    *weights = out[1];
    return out[0];
}

/**
 * Self-attention on a packed projection.
 *
 * qkv     [B, T, 3 H d]: queries, keys and values of all heads, one after the other, as one linear layer
 *         makes them; its gradient is written in the same order
 * heads   H
 * mask, opts, return, errors: as et_attention, with Tq = Tk = T and dk = dv = d (opts->weights is not used);
 *         EINVAL unless heads >= 1
 */
et_tensor *(et_attention_qkv)(et_tensor *qkv, int heads, et_tensor *mask, const et_attention_opts *opts)
{
    et_tensor *y = NULL;

    if (heads < 1) {
        et_raise_here(ET_EINVAL, "attention_qkv: at least one head is needed, got %d", heads);
        return NULL;
    }
    return apply(&et_op_attention_qkv, 1, (et_tensor *const[]){qkv}, mask, heads, opts, &y) == ET_OK
           ? y : NULL;
}
