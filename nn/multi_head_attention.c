/* Multi-head attention: projections around et_attention, and two forms that do without keys and values: of
 * few queries (attend_few), and of self-attention with wide heads (forward_folded). */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "nn/multi_head_attention.h"

static const char *name_of(const et_mha_config *c, int i, const char *usual)
{
    return c->names[i] ? c->names[i] : usual;
}

et_mha *et_mha_new(et_module *parent, const char *name, const et_mha_config *config, et_rng *rng)
{
    et_mha *m;
    et_mha_config c;

    if (et_error_status())
        return NULL;
    if (!config || config->width < 1 || config->heads < 1 || config->head_width < 0 || config->memory < 0 ||
        !(config->dropout >= 0 && config->dropout < 1) ||
        (config->fused && config->memory && config->memory != config->width)) {
        et_raise(ET_EINVAL, "multi-head attention %s: %s", name ? name : "",
                 config ? "sizes or dropout are out of range, or fused with a memory" : "no configuration");
        return NULL;
    }
    c = *config;
    if (!c.head_width && c.width % c.heads) {
        et_raise(ET_EINVAL, "multi-head attention %s: %d heads do not divide a width of %" PRId64,
                 name ? name : "", c.heads, c.width);
        return NULL;
    }
    c.head_width = c.head_width ? c.head_width : c.width / c.heads;
    c.memory = c.memory ? c.memory : c.width;
    m = et_module_new(sizeof *m, "MultiHeadAttention", parent, name);
    if (!m)
        return NULL;
    const int64_t inner = c.heads * c.head_width;
    et_module_note(&m->module, "%" PRId64 ", %d heads of %" PRId64, c.width, c.heads, c.head_width);
    if (c.fused) {
        m->qkv = et_linear_layer_new(&m->module, name_of(&c, 0, "qkv"), c.width, 3 * inner, !c.no_bias, rng);
    } else {
        m->q = et_linear_layer_new(&m->module, name_of(&c, 0, "q"), c.width, inner, !c.no_bias, rng);
        m->k = et_linear_layer_new(&m->module, name_of(&c, 1, "k"), c.memory, inner, !c.no_bias, rng);
        m->v = et_linear_layer_new(&m->module, name_of(&c, 2, "v"), c.memory, inner, !c.no_bias, rng);
    }
    m->out = et_linear_layer_new(&m->module, name_of(&c, 3, "out"), inner, c.width, !c.no_bias, rng);
    for (int i = 0; i < 4; i++)
        c.names[i] = NULL;
    m->config = c;
    return et_module_done(&m->module);
}

et_tensor *et_mha_heads(et_tensor *x, int64_t heads)
{
    if (!x)
        return NULL;
    if (x->ndim != 3 || heads < 1 || x->shape[2] % heads) {
        et_raise(ET_ESHAPE, "multi-head attention: %" PRId64 " heads do not divide the operand", heads);
        return NULL;
    }
    return et_permute(et_view(x, ET_SHAPE(x->shape[0], x->shape[1], heads, x->shape[2] / heads)),
                      ET_DIMS(0, 2, 1, 3));
}

/* True if there is no mask of T keys, or one that is the same for all heads and queries of an item. */
static bool one_mask(const et_tensor *mask, int64_t T)
{
    const int last = mask ? mask->ndim - 1 : 0;

    return !mask || (last < 4 && (last < 0 || mask->shape[last] == 1 || mask->shape[last] == T) &&
                     (last < 1 || mask->shape[last - 1] == 1) && (last < 2 || mask->shape[last - 2] == 1));
}

/* True if the memory's keys and values need not be made (see attend_few) and that is much cheaper: few
 * queries look at many rows. */
static bool few(const et_mha *m, const et_tensor *x, const et_tensor *memory, const et_mha_call *call)
{
    const et_mha_config *c = &m->config;

    if (!m->q || c->no_folding || x->shape[2] != c->width || memory->shape[2] != c->memory ||
        memory->shape[0] != x->shape[0] || call->causal || call->weights ||
        !one_mask(call->mask, memory->shape[1]))
        return false;
    /* multiplications of a head and item, half of them */
    const double n = (double)x->shape[1], T = (double)memory->shape[1], w = (double)c->head_width,
                 M = (double)c->memory, made = T * w * (M + n), folded = n * M * (w + T);
    return n > 0 && 2 * folded <= made;
}

/* [x 1] and [W_v b_v], W_v [H, w, M]: where the sums of the weights' rows are not all 1, because of dropout
 * or because an item has no key to look at, what a head finds is not all of its bias. */
static void append_bias(const et_mha *m, et_tensor **x, et_tensor **Wv)
{
    const et_tensor *W = *Wv;

    if (!W || !*x)
        return;
    et_tensor *ones = et_expand(et_ones(W->dtype, ET_SHAPE(1, 1, 1)),
                                ET_SHAPE((*x)->shape[0], (*x)->shape[1], 1));
    *x = et_concat(2, (et_tensor *[]){*x, ones}, 2);
    *Wv = et_concat(2, (et_tensor *[]){*Wv, et_view(m->v->bias, ET_SHAPE(W->shape[0], W->shape[1], 1))}, 2);
}

/* What n queries x [B, n, d] find in a memory y [B, T, M] without its keys and values. Head h's scores are
 *
 *   q_h k_h^T = q_h (y W_k^T + 1 b_k^T)^T = (q_h W_k) y^T + c,
 *
 * where c is the same for every key, so that softmax does not see it; and its weights P_h find
 *
 *   P_h (y W_v^T + 1 b_v^T) = (P_h y) W_v^T + (P_h 1) b_v^T, where mostly P_h 1 = 1.
 *
 * Products with W_k and W_v have n rows then, not T. Keys and values of all heads are y itself: the H n
 * queries of an item go through as those of one head. */
static et_tensor *attend_few(const et_mha *m, et_tensor *x, et_tensor *y, et_tensor *mask)
{
    const et_mha_config *c = &m->config;
    const int64_t B = x->shape[0], n = x->shape[1], H = c->heads, w = c->head_width, M = c->memory;
    const et_attention_opts opts = {.scale = 1 / sqrt((double)w),
                                    .dropout = m->module.training ? c->dropout : 0, .rng = m->rng};
    const bool ones = (opts.dropout > 0 || mask) && m->v->bias;
    et_tensor *Wk = et_view(m->k->weight, ET_SHAPE(H, w, M)), *Wv = et_view(m->v->weight, ET_SHAPE(H, w, M)),
              *values = y;

    et_tensor *q = et_view(et_linear_layer_forward(m->q, x), ET_SHAPE(B * n, H, w));
    q = et_matmul(et_permute(q, ET_DIMS(1, 0, 2)), Wk); /* q_h W_k of all heads, [H, B n, M] */
    q = et_reshape(et_permute(q, ET_DIMS(1, 0, 2)), ET_SHAPE(B, 1, n * H, M));
    if (ones)
        append_bias(m, &values, &Wv);
    et_tensor *found = et_attention(q, et_unsqueeze(y, 1), et_unsqueeze(values, 1), mask, &opts); /* P_h y */
    found = et_permute(et_view(found, ET_SHAPE(B * n, H, M + ones)), ET_DIMS(1, 0, 2));
    et_tensor *heads = et_matmul_t(found, Wv, false, true); /* [H, B n, w] */
    heads = et_reshape(et_permute(heads, ET_DIMS(1, 0, 2)), ET_SHAPE(B, n, H * w));
    return ones || !m->v->bias ? heads : et_add(heads, m->v->bias);
}

et_tensor *et_mha_attend(const et_mha *m, et_tensor *x, et_tensor *memory, const et_mha_call *call)
{
    static const et_mha_call plain;
    et_attention_opts opts = {.merge_heads = true};
    et_tensor *q, *k, *v, *y, *part[3];

    if (call && call->weights)
        *call->weights = NULL;
    if (!m || !x)
        return et_fail("multi-head attention");
    call = call ? call : &plain;
    if (x->ndim != 3 || (memory && memory->ndim != 3)) {
        et_raise(ET_ESHAPE, "multi-head attention %s: operands must be [B, T, d]", m->module.path);
        return NULL;
    }
    if (m->qkv && memory && memory != x) {
        et_raise(ET_EINVAL, "multi-head attention %s: fused projections take no memory", m->module.path);
        return NULL;
    }
    memory = memory ? memory : x;
    if (few(m, x, memory, call)) {
        y = attend_few(m, x, memory, call->mask);
        return y ? y : et_fail(m->module.path);
    }
    opts.causal = call->causal;
    opts.dropout = m->module.training ? m->config.dropout : 0;
    opts.rng = m->rng;
    if (m->qkv && !call->weights) {
        y = et_attention_qkv(et_linear_layer_forward(m->qkv, x), m->config.heads, call->mask, &opts);
        return y ? y : et_fail(m->module.path);
    }
    if (m->qkv) {
        if (et_chunk(et_linear_layer_forward(m->qkv, x), -1, 3, part))
            return et_fail(m->module.path);
        q = et_mha_heads(part[0], m->config.heads);
        k = et_mha_heads(part[1], m->config.heads);
        v = et_mha_heads(part[2], m->config.heads);
    } else {
        q = et_mha_heads(et_linear_layer_forward(m->q, x), m->config.heads);
        k = et_mha_heads(et_linear_layer_forward(m->k, memory), m->config.heads);
        v = et_mha_heads(et_linear_layer_forward(m->v, memory), m->config.heads);
    }
    y = call->weights ? et_attention_weights(q, k, v, call->mask, &opts, call->weights)
                      : et_attention(q, k, v, call->mask, &opts);
    return y ? y : et_fail(m->module.path);
}

/* True if keys and values need not be made (see below) and that is cheaper: heads as wide as x, and more rows
 * of x than a head has columns. */
static bool folds(const et_mha *m, const et_tensor *x, const et_tensor *memory, const et_mha_call *call)
{
    const et_mha_config *c = &m->config;

    return m->q && !c->no_folding && c->memory == c->width && c->head_width >= c->width &&
           (!memory || memory == x) && x->ndim == 3 && x->shape[2] == c->width &&
           x->shape[0] * x->shape[1] >= c->head_width && !(call && (call->mask || call->causal ||
                                                                    call->weights));
}

/* Self-attention without keys and values. Of head h's scores
 *
 *   q_h k_h^T = (x W_q^T + b_q) (x W_k^T + b_k)^T = (x A_h^T + a_h) x^T + c,
 *   A_h = W_k^T W_q,  a_h = W_k^T b_q,
 *
 * where c is the same for every key, so that softmax does not see it; and of what the heads' weights P_h find
 *
 *   y = sum_h P_h (x W_v^T + 1 b_v^T) W_o^T + b_o = sum_h (P_h [x 1]) U_h^T + b_o,
 *   U_h = W_o [W_v b_v].
 *
 * The column of ones is needed where dropout changes the sums of P_h's rows; they are 1 else. The x are keys
 * and values of all heads alike, so the H T queries of an item go through, as they lie, as those of one
 * head. */
static et_tensor *forward_folded(const et_mha *m, et_tensor *x)
{
    const et_mha_config *c = &m->config;
    const int64_t B = x->shape[0], T = x->shape[1], d = c->width, H = c->heads, w = c->head_width;
    const et_attention_opts opts = {.scale = 1 / sqrt((double)w),
                                    .dropout = m->module.training ? c->dropout : 0, .rng = m->rng};
    const bool ones = opts.dropout > 0 && m->v->bias;
    const int64_t wide = d + ones;
    et_tensor *Wk = et_view(m->k->weight, ET_SHAPE(H, w, d)), *Wv = et_view(m->v->weight, ET_SHAPE(H, w, d));
    et_tensor *a = NULL, *bo = m->out->bias, *values = x;

    /* all A_h [H d, d] and a_h as one linear layer, whose result is compared with x itself */
    et_tensor *A = et_matmul_t(Wk, et_view(m->q->weight, ET_SHAPE(H, w, d)), true, false);
    if (m->q->bias)
        a = et_reshape(et_matmul(et_view(m->q->bias, ET_SHAPE(H, 1, w)), Wk), ET_SHAPE(H * d));
    et_tensor *q = et_linear(x, et_reshape(A, ET_SHAPE(H * d, d)), a);
    if (ones)
        append_bias(m, &values, &Wv);
    else if (m->v->bias) /* W_o b_v goes into the bias, as P_h 1 = 1 */
        bo = et_linear(m->v->bias, m->out->weight, bo);
    /* P_h [x 1] of all heads */
    et_tensor *found = et_attention(et_view(q, ET_SHAPE(B, 1, T * H, d)), et_unsqueeze(x, 1),
                                    et_unsqueeze(values, 1), NULL, &opts);
    et_tensor *Wo = et_permute(et_view(m->out->weight, ET_SHAPE(d, H, w)), ET_DIMS(1, 0, 2));
    et_tensor *U = et_permute(et_matmul(Wo, Wv), ET_DIMS(1, 0, 2)); /* U_h side by side, [d, H, wide] */
    return et_linear(et_view(found, ET_SHAPE(B, T, H * wide)), et_reshape(U, ET_SHAPE(d, H * wide)), bo);
}

et_tensor *et_mha_forward(const et_mha *m, et_tensor *x, et_tensor *memory, const et_mha_call *call)
{
    et_tensor *y;

    if (!m || !x || !folds(m, x, memory, call)) {
        y = et_mha_attend(m, x, memory, call);
        return y ? et_linear_layer_forward(m->out, y) : NULL;
    }
    y = forward_folded(m, x);
    return y ? y : et_fail(m->module.path);
}
