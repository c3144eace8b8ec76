/* Multi-layer perceptron. */
#include "config.h"

#include <inttypes.h>

#include "nn/mlp.h"
#include "tensor/alloc.h"

static void release(et_module *m) { et_dealloc(((et_mlp *)m)->layers); }

et_mlp *et_mlp_new(et_module *parent, const char *name, const et_mlp_config *config, et_rng *rng)
{
    et_mlp *m;
    char layer[24];

    if (et_error_status())
        return NULL;
    if (!config || !config->widths || config->n_widths < 2 ||
        !(config->dropout >= 0 && config->dropout < 1)) {
        et_raise(ET_EINVAL, "mlp %s: no configuration, fewer than two widths, or dropout out of range",
                 name ? name : "");
        return NULL;
    }
    m = et_module_new(sizeof *m, "MLP", parent, name);
    if (!m)
        return NULL;
    m->module.release = release;
    m->n_layers = config->n_widths - 1;
    m->act = config->act;
    m->dropout = config->dropout;
    m->layers = et_alloc_zero((size_t)m->n_layers, sizeof *m->layers);
    et_module_note(&m->module, "%" PRId64 " -> %" PRId64, config->widths[0], config->widths[m->n_layers]);
    for (int i = 0; m->layers && i < m->n_layers; i++) {
        snprintf(layer, sizeof layer, "fc%d", i + 1);
        m->layers[i] = et_linear_layer_new(&m->module, layer, config->widths[i], config->widths[i + 1],
                                           !config->no_bias, rng);
    }
    return et_module_done(&m->module);
}

et_tensor *et_mlp_forward(const et_mlp *m, et_tensor *x)
{
    if (!m)
        return et_fail("mlp");
    for (int i = 0; i < m->n_layers - 1; i++) {
        x = et_linear_layer_forward_act(m->layers[i], x, m->act);
        if (m->dropout > 0)
            x = et_dropout(x, m->dropout, m->module.training, m->rng);
    }
    return et_linear_layer_forward(m->layers[m->n_layers - 1], x);
}
