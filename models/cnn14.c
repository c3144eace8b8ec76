/* CNN14: see cnn14.h. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "models/cnn14.h"
#include "nn/init.h"

et_cnn14_config et_cnn14_base(void)
{
    return (et_cnn14_config){.bands = 64, .blocks = 6, .widths = {64, 128, 256, 512, 1024, 2048},
                             .embedding = 2048, .classes = 527, .dropout = 0.2};
}

static et_cnn14_block *block_new(et_module *parent, int number, int64_t in, int64_t out, et_rng *rng)
{
    static const char *const convs[] = {"conv1", "conv2"}, *const norms[] = {"bn1", "bn2"};
    char name[24];

    snprintf(name, sizeof name, "conv_block%d", number);
    et_cnn14_block *b = et_module_new(sizeof *b, "ConvBlock", parent, name);
    if (!b)
        return NULL;
    for (int i = 0; i < 2; i++) {
        const et_conv_config c = {.in = i ? out : in, .out = out, .kernel_h = 3, .kernel_w = 3, .pad_h = 1,
                                  .pad_w = 1, .no_bias = true};
        b->conv[i] = et_conv2d_layer_new(&b->module, convs[i], &c, rng);
        b->bn[i] = et_batch_norm_layer_new(&b->module, norms[i], out);
        if (b->conv[i])
            et_init_xavier_uniform(b->conv[i]->weight, 1, rng);
    }
    return et_module_done(&b->module);
}

et_cnn14 *et_cnn14_new(et_module *parent, const char *name, const et_cnn14_config *config, et_rng *rng)
{
    const et_cnn14_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->bands < 1 || c->blocks < 1 || c->blocks > ET_CNN14_BLOCKS || c->embedding < 1 ||
        c->classes < 0 || !(c->dropout >= 0 && c->dropout < 1)) {
        et_raise(ET_EINVAL, "cnn14%s%s: no configuration, or a size or the dropout out of range",
                 name ? " " : "", name ? name : "");
        return NULL;
    }
    et_cnn14 *m = et_module_new(sizeof *m, "CNN14", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    m->bn0 = et_batch_norm_layer_new(&m->module, "bn0", c->bands);
    for (int i = 0; i < c->blocks; i++)
        m->blocks[i] = block_new(&m->module, i + 1, i ? c->widths[i - 1] : 1, c->widths[i], rng);
    m->fc1 = et_linear_layer_xavier_new(&m->module, "fc1", c->widths[c->blocks - 1], c->embedding, rng);
    if (c->classes)
        m->classifier = et_linear_layer_xavier_new(&m->module, "fc_audioset", c->embedding, c->classes, rng);
    return et_module_done(&m->module);
}

static et_tensor *block_forward(const et_cnn14 *m, int i, et_tensor *x)
{
    const et_cnn14_block *b = m->blocks[i];
    et_scope *inner = et_scope_open(); /* what no backward rule will read goes at the block's end */

    if (!inner)
        return NULL;
    /* pool(relu(BN(conv 3x3(relu(BN(conv 3x3 x)))))) */
    for (int k = 0; k < 2; k++)
        x = et_batch_norm_layer_forward_relu(b->bn[k], et_conv_layer_forward(b->conv[k], x));
    if (i < m->config.blocks - 1)
        x = et_avg_pool2d(x, 2, 2, 2, 2);
    x = et_scope_return(inner, et_dropout(x, m->config.dropout, m->module.training, m->rng));
    et_scope_close(inner);
    return x;
}

et_tensor *et_cnn14_forward(const et_cnn14 *m, et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return et_fail("cnn14");
    if (x->ndim != 3 || x->shape[2] != m->config.bands) {
        et_raise(ET_ESHAPE, "cnn14: spectrograms are %s, expected [B, frames, %" PRId64 "]",
                 et_shape_text(text, x->ndim, x->shape), m->config.bands);
        return NULL;
    }
    x = et_unsqueeze(et_batch_norm_layer_forward_axis(m->bn0, x, -1), 1);
    for (int i = 0; x && i < m->config.blocks; i++)
        x = block_forward(m, i, x);
    /* h = mean over bands [B, C, frames], then the maximum over time + the mean over time */
    et_tensor *h = et_mean(x, ET_DIMS(3), false);
    h = et_add(et_global_max_pool(h), et_global_avg_pool(h));
    h = et_linear_layer_forward_act(m->fc1, h, ET_ACT_RELU); /* y = relu(W h + b) */
    return h ? h : et_fail("cnn14");
}
