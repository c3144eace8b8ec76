/* Heads into a shared space. */
#include "config.h"

#include <inttypes.h>

#include "nn/projection.h"

et_projection *et_projection_new(et_module *parent, const char *name, const et_projection_config *config,
                                 et_rng *rng)
{
    static const char *const kinds[] = {"linear", "mlp", "skip-mlp"};

    if (et_error_status())
        return NULL;
    if (!config || config->in < 1 || config->out < 1 ||
        (config->kind == ET_PROJECTION_MLP && config->hidden < 1) ||
        !(config->dropout >= 0 && config->dropout < 1) || !(config->eps >= 0)) {
        et_raise(ET_EINVAL, "projection %s: no configuration, a size below 1, or dropout or eps out of range",
                 name ? name : "");
        return NULL;
    }
    et_projection *p = et_module_new(sizeof *p, "Projection", parent, name);
    if (!p)
        return NULL;
    p->config = *config;
    const et_projection_config *c = &p->config;
    const int64_t between = c->kind == ET_PROJECTION_MLP ? c->hidden : c->out;
    et_module_note(&p->module, "%s, %" PRId64 " -> %" PRId64, kinds[c->kind], c->in, c->out);
    p->linear1 = et_linear_layer_new(&p->module, "linear1", c->in, between, !c->no_bias, rng);
    if (c->kind != ET_PROJECTION_LINEAR)
        p->linear2 = et_linear_layer_new(&p->module, "linear2", between, c->out, !c->no_bias, rng);
    if (c->kind == ET_PROJECTION_SKIP)
        p->norm = et_layer_norm_layer_new(&p->module, c->norm_name ? c->norm_name : "norm", c->out,
                                          c->eps > 0 ? c->eps : 1e-5);
    p->config.norm_name = NULL;
    return et_module_done(&p->module);
}

et_tensor *et_projection_forward(const et_projection *p, et_tensor *x)
{
    if (!p)
        return et_fail("projection");
    switch (p->config.kind) {
    case ET_PROJECTION_MLP: { /* y = W_2 act(W_1 x + b_1) + b_2 */
        const et_act act = p->config.relu ? ET_ACT_RELU : ET_ACT_GELU;
        return et_linear_layer_forward(p->linear2, et_linear_layer_forward_act(p->linear1, x, act));
    }
    case ET_PROJECTION_SKIP: { /* y = LN(p + dropout(W_2 gelu(p) + b_2)) */
        et_tensor *first = et_linear_layer_forward(p->linear1, x);
        et_tensor *second = et_linear_layer_forward(p->linear2, et_gelu(first));
        second = et_dropout(second, p->config.dropout, p->module.training, p->rng);
        return et_layer_norm_layer_forward(p->norm, et_add(first, second));
    }
    default:
        return et_linear_layer_forward(p->linear1, x);
    }
}
