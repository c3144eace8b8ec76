/* Batch normalisation as a layer. */
#include "config.h"

#include <inttypes.h>

#include "nn/batch_norm.h"

et_batch_norm_layer *et_batch_norm_layer_new(et_module *parent, const char *name, int64_t channels)
{
    et_batch_norm_layer *l = et_module_new(sizeof *l, "BatchNorm", parent, name);

    if (!l)
        return NULL;
    if (channels < 1)
        et_raise(ET_EINVAL, "batch norm %s: %" PRId64 " channels", l->module.path, channels);
    l->momentum = 0.1;
    l->eps = 1e-5;
    et_module_note(&l->module, "%" PRId64, channels);
    l->weight = et_module_param(&l->module, "weight", ET_SHAPE(channels));
    l->bias = et_module_param(&l->module, "bias", ET_SHAPE(channels));
    l->running_mean = et_module_buffer(&l->module, "running_mean", ET_ENTRY_BUFFER, ET_F32,
                                       ET_SHAPE(channels));
    l->running_var = et_module_buffer(&l->module, "running_var", ET_ENTRY_BUFFER, ET_F32, ET_SHAPE(channels));
    l->num_batches_tracked =
        et_module_buffer(&l->module, "num_batches_tracked", ET_ENTRY_BUFFER, ET_I32, 0, NULL);
    if (l->weight)
        et_fill(l->weight, 1);
    if (l->running_var)
        et_fill(l->running_var, 1);
    return et_module_done(&l->module);
}

/* y, counted as a batch in training. */
static et_tensor *counted(const et_batch_norm_layer *l, et_tensor *y)
{
    int32_t *batches = y && l->module.training ? et_data_mut(l->num_batches_tracked) : NULL;

    if (batches && *batches < INT32_MAX)
        ++*batches;
    return y;
}

static et_tensor *forward(const et_batch_norm_layer *l, et_tensor *x, bool relu)
{
    if (!l)
        return et_fail("batch norm");
    const bool training = l->module.training;
    return counted(l, relu ? et_batch_norm_relu(x, l->running_mean, l->running_var, l->weight, l->bias,
                                                training, l->momentum, l->eps)
                           : et_batch_norm(x, l->running_mean, l->running_var, l->weight, l->bias, training,
                                           l->momentum, l->eps));
}

et_tensor *et_batch_norm_layer_forward(const et_batch_norm_layer *l, et_tensor *x)
{
    return forward(l, x, false);
}

et_tensor *et_batch_norm_layer_forward_relu(const et_batch_norm_layer *l, et_tensor *x)
{
    return forward(l, x, true);
}

et_tensor *et_batch_norm_layer_forward_relu_pool(const et_batch_norm_layer *l, et_tensor *x, int64_t kernel_h,
                                                 int64_t kernel_w)
{
    if (!l)
        return et_fail("batch norm");
    return counted(l,
                   et_batch_norm_relu_max_pool(x, l->running_mean, l->running_var, l->weight, l->bias,
                                               l->module.training, l->momentum, l->eps, kernel_h, kernel_w));
}

et_tensor *et_batch_norm_layer_forward_axis(const et_batch_norm_layer *l, et_tensor *x, int axis)
{
    if (!l)
        return et_fail("batch norm");
    return counted(l, et_batch_norm_axis(x, axis, l->running_mean, l->running_var, l->weight, l->bias,
                                         l->module.training, l->momentum, l->eps));
}
