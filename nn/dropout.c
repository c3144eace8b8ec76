/* Dropout as a layer. */
#include "config.h"

#include "nn/dropout.h"

et_dropout_layer *et_dropout_layer_new(et_module *parent, const char *name, double p)
{
    et_dropout_layer *l = et_module_new(sizeof *l, "Dropout", parent, name);

    if (!l)
        return NULL;
    if (!(p >= 0 && p < 1))
        et_raise(ET_EINVAL, "dropout %s: a probability of %g, expected 0 <= p < 1", l->module.path, p);
    l->p = p;
    et_module_note(&l->module, "p %g", p);
    return et_module_done(&l->module);
}

et_tensor *et_dropout_layer_forward(const et_dropout_layer *l, et_tensor *x)
{
    if (!l)
        return et_fail("dropout");
    return l->p == 0 ? x : et_dropout(x, l->p, l->module.training, l->rng);
}
