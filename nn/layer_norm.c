/* Layer normalisation. */
#include "config.h"

#include <inttypes.h>

#include "nn/layer_norm.h"

et_layer_norm_layer *et_layer_norm_layer_new(et_module *parent, const char *name, int64_t d, double eps)
{
    et_layer_norm_layer *l = et_module_new(sizeof *l, "LayerNorm", parent, name);

    if (!l)
        return NULL;
    if (d < 1 || !(eps > 0))
        et_raise(ET_EINVAL, "layer norm %s: a width of %" PRId64 ", eps %g", l->module.path, d, eps);
    l->eps = eps;
    et_module_note(&l->module, "%" PRId64 ", eps %g", d, eps);
    l->weight = et_module_param(&l->module, "weight", ET_SHAPE(d));
    l->bias = et_module_param(&l->module, "bias", ET_SHAPE(d));
    if (l->weight)
        et_fill(l->weight, 1);
    return et_module_done(&l->module);
}

et_tensor *et_layer_norm_layer_forward(const et_layer_norm_layer *l, et_tensor *x)
{
    return l ? et_layer_norm(x, l->weight, l->bias, l->eps) : et_fail("layer norm");
}
