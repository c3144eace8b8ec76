/* Post-norm encoder layer with the names of the BERT family. */
#include "config.h"

#include <inttypes.h>

#include "nn/bert_layer.h"
#include "nn/multi_head_attention.h"

/* A module that only groups others. */
static et_module *group(et_module *parent, const char *name)
{
    return parent ? et_module_new(sizeof(et_module), "Group", parent, name) : NULL;
}

et_bert_layer *et_bert_layer_new(et_module *parent, const char *name, const et_bert_layer_config *config, et_rng *rng)
{
    et_bert_layer *l = et_module_new(sizeof *l, "BertLayer", parent, name);

    if (!l)
        return NULL;
    et_bert_layer_config c = *config;
    c.eps = c.eps > 0 ? c.eps : 1e-12;
    l->config = c;
    if (c.width < 1 || c.hidden < 1 || c.heads < 1 || c.width % c.heads || !(c.attention_dropout >= 0) ||
        !(c.attention_dropout < 1) || !(c.hidden_dropout >= 0) || !(c.hidden_dropout < 1))
        et_raise(ET_EINVAL,
                 "encoder layer %s: width %" PRId64 ", hidden %" PRId64 ", %d heads, dropouts %g and %g do not fit",
                 l->module.path, c.width, c.hidden, c.heads, c.attention_dropout, c.hidden_dropout);
    et_module_note(&l->module, "%" PRId64 ", %d heads, %" PRId64, c.width, c.heads, c.hidden);
    et_module *attention = group(&l->module, "attention"), *self = group(attention, "self");
    l->query = et_linear_layer_new(self, "query", c.width, c.width, true, rng);
    l->key = et_linear_layer_new(self, "key", c.width, c.width, true, rng);
    l->value = et_linear_layer_new(self, "value", c.width, c.width, true, rng);
    et_module *mixed = group(attention, "output");
    l->attended = et_linear_layer_new(mixed, "dense", c.width, c.width, true, rng);
    l->attended_norm = et_layer_norm_layer_new(mixed, "LayerNorm", c.width, c.eps);
    l->inner = et_linear_layer_new(group(&l->module, "intermediate"), "dense", c.width, c.hidden, true, rng);
    et_module *output = group(&l->module, "output");
    l->out = et_linear_layer_new(output, "dense", c.hidden, c.width, true, rng);
    l->out_norm = et_layer_norm_layer_new(output, "LayerNorm", c.width, c.eps);
    return et_module_done(&l->module);
}

et_tensor *et_bert_layer_finish(const et_bert_layer *l, et_tensor *x, et_tensor *attended)
{
    if (!l)
        return et_fail("encoder layer");
    const bool training = l->module.training;
    const double p = l->config.hidden_dropout;

    /* x = LN(x + O(..)) */
    et_tensor *a = et_dropout(et_linear_layer_forward(l->attended, attended), p, training, l->rng);
    x = et_layer_norm_layer_forward(l->attended_norm, et_add(x, a));
    /* x = LN(x + W_2 gelu(W_1 x)) */
    et_tensor *h = et_linear_layer_forward(l->out, et_linear_layer_forward_act(l->inner, x, ET_ACT_GELU));
    return et_layer_norm_layer_forward(l->out_norm, et_add(x, et_dropout(h, p, training, l->rng)));
}

et_tensor *et_bert_layer_forward(const et_bert_layer *l, et_tensor *x, et_tensor *mask, et_tensor **weights)
{
    if (weights)
        *weights = NULL;
    if (!l || !x)
        return et_fail("encoder layer");
    if (x->ndim != 3 || x->shape[2] != l->config.width) {
        et_raise(ET_ESHAPE, "encoder layer %s: x must be [B, T, %" PRId64 "]", l->module.path, l->config.width);
        return NULL;
    }
    const et_attention_opts opts = {.merge_heads = true, .rng = l->rng,
                                    .dropout = l->module.training ? l->config.attention_dropout : 0};
    et_tensor *q = et_mha_heads(et_linear_layer_forward(l->query, x), l->config.heads);
    et_tensor *k = et_mha_heads(et_linear_layer_forward(l->key, x), l->config.heads);
    et_tensor *v = et_mha_heads(et_linear_layer_forward(l->value, x), l->config.heads);
    return et_bert_layer_finish(l, x, weights ? et_attention_weights(q, k, v, mask, &opts, weights)
                                              : et_attention(q, k, v, mask, &opts));
}
