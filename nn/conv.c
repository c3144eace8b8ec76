/* Convolution layers. */
#include "config.h"

#include <inttypes.h>

#include "nn/conv.h"
#include "nn/init.h"

static et_conv_layer *layer_new(et_module *parent, const char *name, const et_conv_config *config, bool two,
                                et_rng *rng)
{
    et_conv_layer *l = et_module_new(sizeof *l, two ? "Conv2d" : "Conv1d", parent, name);

    if (!l)
        return NULL;
    et_conv_config c = *config;
    if (!two) {
        c.kernel_h = c.stride_h = 1;
        c.pad_h = 0;
    }
    c.stride_h = c.stride_h ? c.stride_h : 1;
    c.stride_w = c.stride_w ? c.stride_w : 1;
    l->config = c;
    if (c.in < 1 || c.out < 1 || c.kernel_h < 1 || c.kernel_w < 1 || c.stride_h < 1 || c.stride_w < 1 ||
        c.pad_h < 0 || c.pad_w < 0)
        et_raise(ET_EINVAL,
                 "convolution %s: %" PRId64 " -> %" PRId64 " channels, kernel %" PRId64 " x %" PRId64
                 ", stride %" PRId64
                 " x %" PRId64 ", padding %" PRId64 " x %" PRId64,
                 l->module.path, c.in, c.out, c.kernel_h, c.kernel_w, c.stride_h, c.stride_w, c.pad_h,
                 c.pad_w);
    if (two)
        et_module_note(&l->module, "%" PRId64 " -> %" PRId64 ", %" PRId64 " x %" PRId64, c.in, c.out,
                       c.kernel_h, c.kernel_w);
    else
        et_module_note(&l->module, "%" PRId64 " -> %" PRId64 ", %" PRId64, c.in, c.out, c.kernel_w);
    const int64_t shape[] = {c.out, c.in, two ? c.kernel_h : c.kernel_w, c.kernel_w};
    l->weight = et_module_param(&l->module, "weight", two ? 4 : 3, shape);
    if (!c.no_bias)
        l->bias = et_module_param(&l->module, "bias", ET_SHAPE(c.out));
    if (l->weight)
        et_init_fan(l->weight, l->weight->numel / c.out, rng);
    if (l->bias)
        et_init_fan(l->bias, l->weight->numel / c.out, rng);
    return et_module_done(&l->module);
}

et_conv_layer *et_conv1d_layer_new(et_module *parent, const char *name, const et_conv_config *config,
                                   et_rng *rng)
{
    return layer_new(parent, name, config, false, rng);
}

et_conv_layer *et_conv2d_layer_new(et_module *parent, const char *name, const et_conv_config *config,
                                   et_rng *rng)
{
    return layer_new(parent, name, config, true, rng);
}

et_tensor *et_conv_layer_forward(const et_conv_layer *l, et_tensor *x)
{
    if (!l)
        return et_fail("convolution");
    const et_conv_config *c = &l->config;
    if (l->weight->ndim == 3)
        return et_conv1d(x, l->weight, l->bias, c->stride_w, c->pad_w);
    return et_conv2d(x, l->weight, l->bias, c->stride_h, c->stride_w, c->pad_h, c->pad_w);
}
