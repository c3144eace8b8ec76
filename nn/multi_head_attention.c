/* Multi-head attention. */
#include "config.h"

#include <inttypes.h>

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
    if (!x || x->ndim != 3 || heads < 1 || x->shape[2] % heads)
        return x ? et_raise(ET_ESHAPE, "multi-head attention: %" PRId64 " heads do not divide the operand", heads), NULL : NULL;
    return et_permute(et_view(x, ET_SHAPE(x->shape[0], x->shape[1], heads, x->shape[2] / heads)), ET_DIMS(0, 2, 1, 3));
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
        q = et_mha_heads(part[0], m->config.heads), k = et_mha_heads(part[1], m->config.heads), v = et_mha_heads(part[2], m->config.heads);
    } else {
        q = et_mha_heads(et_linear_layer_forward(m->q, x), m->config.heads);
        k = et_mha_heads(et_linear_layer_forward(m->k, memory), m->config.heads);
        v = et_mha_heads(et_linear_layer_forward(m->v, memory), m->config.heads);
    }
    y = call->weights ? et_attention_weights(q, k, v, call->mask, &opts, call->weights)
                      : et_attention(q, k, v, call->mask, &opts);
    return y ? y : et_fail(m->module.path);
}

et_tensor *et_mha_forward(const et_mha *m, et_tensor *x, et_tensor *memory, const et_mha_call *call)
{
    et_tensor *y = et_mha_attend(m, x, memory, call);

    return y ? et_linear_layer_forward(m->out, y) : NULL;
}
