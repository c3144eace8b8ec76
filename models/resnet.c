/* ResNet: see resnet.h. Shapes: x [B, C, H, W]. */
#include "config.h"

#include <stdio.h>

#include "models/resnet.h"
#include "tensor/alloc.h"

et_resnet_config et_resnet_50(int64_t channels, int64_t classes)
{
    return (et_resnet_config){.channels = channels, .width = 64, .blocks = {3, 4, 6, 3}, .classes = classes};
}

int64_t et_resnet_width(const et_resnet_config *config)
{
    return config->width * (1 << (ET_RESNET_STAGES - 1)) * ET_RESNET_WIDENING;
}

/* A square convolution without bias that keeps the size but for the stride. */
static et_conv_layer *conv(et_module *parent, const char *name, int64_t in, int64_t out, int64_t kernel,
                           int64_t stride, et_rng *rng)
{
    const et_conv_config c = {.in = in, .out = out, .kernel_h = kernel, .kernel_w = kernel,
                              .stride_h = stride, .stride_w = stride, .pad_h = kernel / 2,
                              .pad_w = kernel / 2, .no_bias = true};

    return et_conv2d_layer_new(parent, name, &c, rng);
}

static et_bottleneck *bottleneck_new(et_module *parent, const char *name, int64_t in, int64_t width,
                                     int64_t stride, et_rng *rng)
{
    et_bottleneck *b = et_module_new(sizeof *b, "Bottleneck", parent, name);
    const int64_t out = width * ET_RESNET_WIDENING;

    if (!b)
        return NULL;
    b->conv[0] = conv(&b->module, "conv1", in, width, 1, 1, rng);
    b->bn[0] = et_batch_norm_layer_new(&b->module, "bn1", width);
    b->conv[1] = conv(&b->module, "conv2", width, width, 3, stride, rng);
    b->bn[1] = et_batch_norm_layer_new(&b->module, "bn2", width);
    b->conv[2] = conv(&b->module, "conv3", width, out, 1, 1, rng);
    b->bn[2] = et_batch_norm_layer_new(&b->module, "bn3", out);
    if (stride != 1 || in != out) {
        b->shortcut = conv(&b->module, "downsample.0", in, out, 1, stride, rng);
        b->shortcut_bn = et_batch_norm_layer_new(&b->module, "downsample.1", out);
    }
    return et_module_done(&b->module);
}

static void release(et_module *m) { et_dealloc(((et_resnet *)m)->blocks); }

et_resnet *et_resnet_new(et_module *parent, const char *name, const et_resnet_config *config, et_rng *rng)
{
    const et_resnet_config *c = config;
    int count = 0;
    char text[32];

    if (et_error_status())
        return NULL;
    for (int i = 0; c && i < ET_RESNET_STAGES && count >= 0; i++)
        count = c->blocks[i] < 1 || c->blocks[i] > 1000 ? -1 : count + c->blocks[i];
    if (!c || count < 0 || c->channels < 1 || c->width < 1 || c->classes < 0) {
        et_raise(ET_EINVAL, "resnet%s%s: no configuration, or a size below 1", name ? " " : "",
                 name ? name : "");
        return NULL;
    }
    et_resnet *m = et_module_new(sizeof *m, "ResNet", parent, name);
    if (!m)
        return NULL;
    m->module.release = release;
    m->config = *c;
    m->n_blocks = count;
    m->blocks = et_alloc_zero((size_t)count, sizeof(et_bottleneck *));
    m->conv1 = conv(&m->module, "conv1", c->channels, c->width, 7, 2, rng);
    m->bn1 = et_batch_norm_layer_new(&m->module, "bn1", c->width);
    int64_t in = c->width;
    for (int stage = 0, at = 0; m->blocks && stage < ET_RESNET_STAGES; stage++)
        for (int i = 0; i < c->blocks[stage]; i++) {
            const int64_t width = c->width << stage;
            snprintf(text, sizeof text, "layer%d.%d", stage + 1, i);
            m->blocks[at++] = bottleneck_new(&m->module, text, in, width, stage > 0 && i == 0 ? 2 : 1, rng);
            in = width * ET_RESNET_WIDENING;
        }
    if (c->classes)
        m->fc = et_linear_layer_new(&m->module, "fc", in, c->classes, true, rng);
    return et_module_done(&m->module);
}

static et_tensor *bottleneck_forward(const et_bottleneck *b, et_tensor *x)
{
    et_scope *inner = et_scope_open(); /* what no backward rule will read goes at the block's end */

    if (!inner)
        return NULL;
    /* relu(BN(conv 1x1(relu(BN(conv 3x3, stride s(relu(BN(conv 1x1(x)))))))) + shortcut(x)) */
    et_tensor *y = et_batch_norm_layer_forward_relu(b->bn[0], et_conv_layer_forward(b->conv[0], x));
    y = et_batch_norm_layer_forward_relu(b->bn[1], et_conv_layer_forward(b->conv[1], y));
    y = et_batch_norm_layer_forward(b->bn[2], et_conv_layer_forward(b->conv[2], y));
    if (b->shortcut)
        x = et_batch_norm_layer_forward(b->shortcut_bn, et_conv_layer_forward(b->shortcut, x));
    y = et_scope_return(inner, et_relu(et_add(y, x)));
    et_scope_close(inner);
    return y;
}

et_tensor *et_resnet_forward(const et_resnet *m, et_tensor *x)
{
    if (!m || !x)
        return et_fail("resnet");
    /* stem, blocks, the mean over all positions [, W y + b] */
    et_tensor *y = et_batch_norm_layer_forward_relu(m->bn1, et_conv_layer_forward(m->conv1, x));
    y = et_max_pool2d(y, 3, 3, 2, 2, 1, 1);
    for (int i = 0; y && i < m->n_blocks; i++)
        y = bottleneck_forward(m->blocks[i], y);
    y = et_global_avg_pool(y);
    if (m->fc)
        y = et_linear_layer_forward(m->fc, y);
    return y ? y : et_fail("resnet");
}
