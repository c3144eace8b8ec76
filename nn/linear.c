/* Linear layer. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/linear.h"

et_linear_layer *et_linear_layer_new(et_module *parent, const char *name, int64_t in, int64_t out, bool bias,
                                     et_rng *rng)
{
    et_linear_layer *l = et_module_new(sizeof *l, "Linear", parent, name);

    if (!l)
        return NULL;
    if (in < 1 || out < 1)
        et_raise(ET_EINVAL, "linear layer %s: %" PRId64 " inputs, %" PRId64 " outputs", l->module.path, in,
                 out);
    et_module_note(&l->module, "%" PRId64 " -> %" PRId64, in, out);
    l->weight = et_module_param(&l->module, "weight", ET_SHAPE(out, in));
    if (bias)
        l->bias = et_module_param(&l->module, "bias", ET_SHAPE(out));
    if (l->weight)
        et_init_fan(l->weight, in, rng);
    if (l->bias)
        et_init_fan(l->bias, in, rng);
    return et_module_done(&l->module);
}

et_linear_layer *et_linear_layer_xavier_new(et_module *parent, const char *name, int64_t in, int64_t out,
                                            et_rng *rng)
{
    et_linear_layer *l = et_linear_layer_new(parent, name, in, out, true, rng);

    if (l && et_init_xavier_uniform(l->weight, 1, rng) == ET_OK)
        et_fill(l->bias, 0);
    return l;
}

et_tensor *et_linear_layer_forward(const et_linear_layer *l, et_tensor *x)
{
    return l ? et_linear(x, l->weight, l->bias) : et_fail("linear layer");
}

et_tensor *et_linear_layer_forward_act(const et_linear_layer *l, et_tensor *x, et_act act)
{
    return l ? et_linear_act(x, l->weight, l->bias, act) : et_fail("linear layer");
}
