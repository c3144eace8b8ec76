/* Music taggers: see tagger.h. Shapes: x [B, F, T] or [B, samples]; features [B, C, T'] between the ends. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "models/tagger.h"
#include "tensor/mt19937.h"

/* --- sizes --------------------------------------------------------------------------- */

et_tagger_config et_tagger_paper(et_tagger_front front, et_tagger_back back)
{
    return (et_tagger_config){
        .front = front, .back = back, .tags = 50,
        .bands = 96, .channels = 16, .tall = {86, 38}, .temporal = {165, 129, 65, 33},
        .first = 128, .first_pad = 1, .raw_blocks = 4, .raw_widths = {128, 256, 256, 256},
        .wide = 512, .dense = 500,
        .long_blocks = 5, .long_widths = {256, 256, 256, 512, 512},
        .width = 512, .hidden = 2048, .heads = 8, .layers = 2, .dropout = 0.4, .out_dropout = 0.5,
    };
}

et_tagger_config et_tagger_small(et_tagger_front front, et_tagger_back back)
{
    et_tagger_config c = {
        .front = front, .back = back, .tags = front == ET_FRONT_SPEC ? 8 : 6,
        .bands = 24, .channels = 4, .tall = {21, 9}, .temporal = {33, 17, 9, 5},
        .first = 8, .first_pad = 1, .raw_blocks = 2, .raw_widths = {8, 16},
        .wide = 32, .dense = 64,
        .long_blocks = 3, .long_widths = {16, 32, 32},
        .width = 32, .hidden = 128, .heads = 4, .layers = 2,
    };

    if (front == ET_FRONT_RAW) {
        c.long_blocks = 4;
        c.long_widths[3] = 32;
    }
    return c;
}

et_tagger_config et_tagger_sample_cnn(void)
{
    et_tagger_config c = et_tagger_paper(ET_FRONT_RAW, ET_BACK_CNN_L);
    const int64_t raw[] = {128, 128, 256, 256}, rest[] = {256, 256, 256, 256, 512};

    c.first_pad = 0;
    for (int i = 0; i < 4; i++)
        c.raw_widths[i] = raw[i];
    for (int i = 0; i < 5; i++)
        c.long_widths[i] = rest[i];
    return c;
}

/* --- making -------------------------------------------------------------------------- */

static et_module *group(et_module *parent, const char *name)
{
    return parent ? et_module_new(sizeof(et_module), "Group", parent, name) : NULL;
}

/* The name of child number i; good until the next call with the same memory. */
static const char *numbered(char name[16], const char *before, int i)
{
    snprintf(name, 16, "%s%d", before, i);
    return name;
}

static et_tagger_conv *conv_new(et_module *parent, const char *name, const et_conv_config *config,
                                et_rng *rng)
{
    et_tagger_conv *c = parent ? et_module_new(sizeof *c, "ConvNormReLU", parent, name) : NULL;

    if (!c)
        return NULL;
    c->conv = config->kernel_h ? et_conv2d_layer_new(&c->module, "conv", config, rng)
                               : et_conv1d_layer_new(&c->module, "conv", config, rng);
    c->bn = et_batch_norm_layer_new(&c->module, "bn", config->out);
    return et_module_done(&c->module);
}

/* Kernel k, keeping the length. */
static et_conv_config same(int64_t in, int64_t out, int64_t k)
{
    return (et_conv_config){.in = in, .out = out, .kernel_w = k, .pad_w = k / 2};
}

static void make_spec(et_tagger *m, et_module *front, et_rng *rng)
{
    static const int64_t widths[] = {7, 3, 1};
    const et_tagger_config *c = &m->config;
    et_module *layers;
    char name[16];

    m->input_bn = et_batch_norm_layer_new(front, "input_bn", 1);
    layers = group(front, "layers");
    for (int i = 0; i < ET_TAGGER_VERTICAL; i++) {
        const int64_t out = c->channels << i % 3, w = widths[i % 3];
        m->vertical[i] = conv_new(
            layers, numbered(name, "", i),
            &(et_conv_config){.in = 1, .out = out, .kernel_h = c->tall[i / 3], .kernel_w = w, .pad_w = w / 2},
            rng);
        m->front_width += out;
    }
    for (int i = 0; i < ET_TAGGER_HORIZONTAL; i++) {
        const et_conv_config k = same(1, c->channels << i, c->temporal[i]);
        m->horizontal[i] = conv_new(layers, numbered(name, "", ET_TAGGER_VERTICAL + i), &k, rng);
        m->front_width += c->channels << i;
    }
}

static void make_raw(et_tagger *m, et_module *front, et_rng *rng)
{
    const et_tagger_config *c = &m->config;
    char name[16];

    m->init_conv = conv_new(front, "init_conv",
                            &(et_conv_config){.in = 1, .out = c->first, .kernel_w = 3, .stride_w = 3,
                                              .pad_w = c->first_pad}, rng);
    m->front_width = c->first;
    et_module *convs = group(front, "convs");
    for (int i = 0; i < c->raw_blocks; i++) {
        const et_conv_config k = same(m->front_width, c->raw_widths[i], 3);
        m->convs[i] = conv_new(convs, numbered(name, "", i), &k, rng);
        m->front_width = c->raw_widths[i];
    }
}

static void make_cnn_p(et_tagger *m, et_module *back, et_rng *rng)
{
    const et_tagger_config *c = &m->config;
    int64_t in = m->front_width;
    char name[16];

    for (int i = 0; i < 3; i++) {
        const et_conv_config k = same(in, c->wide, 7);
        m->p_conv[i] = et_conv1d_layer_new(back, numbered(name, "conv", i + 1), &k, rng);
        m->p_bn[i] = et_batch_norm_layer_new(back, numbered(name, "bn", i + 1), c->wide);
        in = c->wide;
    }
    m->dense = et_linear_layer_new(back, "dense", 2 * c->wide, c->dense, true, rng);
    m->p_bn[3] = et_batch_norm_layer_new(back, "bn4", c->dense);
}

static void make_cnn_l(et_tagger *m, et_module *back, et_rng *rng)
{
    const et_tagger_config *c = &m->config;
    et_module *convs = group(back, "convs");
    int64_t in = m->front_width;
    char name[16];

    for (int i = 0; i < c->long_blocks; i++) {
        const et_conv_config k = same(in, c->long_widths[i], 3);
        m->l_convs[i] = conv_new(convs, numbered(name, "", i), &k, rng);
        in = c->long_widths[i];
    }
    const et_conv_config k = same(in, in, 1);
    m->l_last = conv_new(back, "conv1x1", &k, rng);
}

/* The published vector: NumPy's RandomState(0).random_sample(width). */
static void fill_cls(et_tensor *cls)
{
    et_mt19937 mt;
    float *p = cls ? et_data_mut(cls) : NULL;

    et_mt19937_init(&mt, 0);
    for (int64_t i = 0; p && i < cls->numel; i++)
        p[i] = (float)et_mt19937_uniform(&mt);
}

static void make_att(et_tagger *m, et_module *front, et_module *back, et_rng *rng)
{
    const et_tagger_config *c = &m->config;
    char name[16];

    /* Spec: 1 x 1 without a group of its own; Raw: kernel 7 */
    if (c->front == ET_FRONT_SPEC) {
        const et_conv_config k = same(m->front_width, c->width, 1);
        m->project = et_conv1d_layer_new(front, "conv1x1", &k, rng);
        m->project_bn = et_batch_norm_layer_new(front, "bn", c->width);
    } else {
        const et_conv_config k = same(m->front_width, c->width, 7);
        et_tagger_conv *both = conv_new(front, "conv1x1", &k, rng);
        m->project = both ? both->conv : NULL;
        m->project_bn = both ? both->bn : NULL;
    }
    m->cls = c->learned_cls ? et_module_param(back, "cls", ET_SHAPE(c->width))
                            : et_module_buffer(back, "cls", ET_ENTRY_CONSTANT, ET_F32, ET_SHAPE(c->width));
    fill_cls(m->cls);
    et_module *layers = group(group(back, "encoder"), "layer");
    for (int i = 0; i < c->layers; i++)
        m->encoder[i] = et_transformer_block_new(
            layers, numbered(name, "", i),
            &(et_transformer_config){.width = c->width, .hidden = c->hidden, .heads = c->heads,
                                     .post_norm = true, .act = ET_ACT_GELU, .eps = 1e-12,
                                     .attention_dropout = c->dropout, .out_dropout = c->dropout,
                                     .mlp_dropout = c->dropout, .names = &et_transformer_names_bert},
            rng);
    m->pooler = et_linear_layer_new(group(back, "pooler"), "dense", c->width, c->width, true, rng);
}

/* Sizes that the layers do not check themselves. */
static bool sizes_fit(const et_tagger_config *c)
{
    bool good = c && c->tags >= 1 && c->out_dropout >= 0 && c->out_dropout < 1;

    if (good && c->front == ET_FRONT_SPEC) {
        good = c->channels >= 1 && c->tall[0] >= 1 && c->tall[1] >= 1 && c->tall[0] <= c->bands &&
               c->tall[1] <= c->bands;
        for (int i = 0; i < ET_TAGGER_HORIZONTAL; i++)
            good = good && c->temporal[i] % 2 == 1;
    } else if (good) {
        good = c->raw_blocks >= 0 && c->raw_blocks <= ET_TAGGER_BLOCKS &&
               (c->first_pad == 0 || c->first_pad == 1);
    }
    if (good && c->back == ET_BACK_ATT)
        good = c->layers >= 1 && c->layers <= ET_TAGGER_LAYERS && c->width >= 2 && c->width % 2 == 0;
    else if (good && c->back == ET_BACK_CNN_L)
        good = c->long_blocks >= 1 && c->long_blocks <= ET_TAGGER_BLOCKS;
    if (!good)
        et_raise(ET_EINVAL, "tagger: %s", c ? "sizes do not fit" : "no configuration");
    return good;
}

et_tagger *et_tagger_new(et_module *parent, const char *name, const et_tagger_config *config, et_rng *rng)
{
    if (et_error_status() || !sizes_fit(config))
        return NULL;
    et_tagger *m = et_module_new(sizeof *m, "Tagger", parent, name);
    if (!m)
        return NULL;
    m->config = *config;
    et_module *front = group(&m->module, "front_end"), *back = NULL;
    if (front && config->front == ET_FRONT_SPEC)
        make_spec(m, front, rng);
    else if (front)
        make_raw(m, front, rng);
    int64_t last = config->dense;
    if (!et_error_status() && (back = group(&m->module, "back_end"))) {
        if (config->back == ET_BACK_CNN_P) {
            make_cnn_p(m, back, rng);
        } else if (config->back == ET_BACK_CNN_L) {
            make_cnn_l(m, back, rng);
            last = config->long_widths[config->long_blocks - 1];
        } else {
            make_att(m, front, back, rng);
            last = config->width;
        }
    }
    m->classifier = et_linear_layer_new(&m->module, "classifier", last, config->tags, true, rng);
    return et_module_done(&m->module);
}

void et_tagger_set_rng(et_tagger *m, et_rng *rng)
{
    m->rng = rng;
    for (int i = 0; i < m->config.layers && m->encoder[i]; i++)
        et_transformer_block_set_rng(m->encoder[i], rng);
}

/* --- front ends ---------------------------------------------------------------------- */

static et_tensor *conv_forward(const et_tagger_conv *c, et_tensor *x)
{
    return c ? et_batch_norm_layer_forward_relu(c->bn, et_conv_layer_forward(c->conv, x)) : et_fail("tagger");
}

/* Batch norm, ReLU and perhaps pooling of a cheap convolution of what the model reads. Its result, many times
 * as large, is not kept in training: backward makes it again, and then leaves the running statistics
 * alone. */
static et_tensor *conv_again(et_tensor *const *in, int n, void *conv, bool columns)
{
    const et_tagger_conv *c = conv;
    const et_batch_norm_layer *bn = c->bn;
    const bool second = bn->module.training && et_grad_enabled();
    et_tensor *h = et_conv_layer_forward(c->conv, in[0]);

    (void)n;
    if (columns && h)
        return second ? et_batch_norm_relu_max_pool(h, NULL, NULL, bn->weight, bn->bias, true, bn->momentum,
                                                    bn->eps, h->shape[2], 1)
                      : et_batch_norm_layer_forward_relu_pool(bn, h, h->shape[2], 1);
    return second ? et_batch_norm_relu(h, NULL, NULL, bn->weight, bn->bias, true, bn->momentum, bn->eps)
                  : et_batch_norm_layer_forward_relu(bn, h);
}

static et_tensor *rows_again(et_tensor *const *in, int n, void *conv)
{
    return conv_again(in, n, conv, false);
}
static et_tensor *columns_again(et_tensor *const *in, int n, void *conv)
{
    return conv_again(in, n, conv, true);
}

/* Conv, BN, ReLU of samples. */
static et_tensor *first_conv(et_tagger_conv *c, et_tensor *x)
{
    if (!c)
        return et_fail("tagger");
    return c->module.training ? et_checkpoint(rows_again, &x, 1, c) : conv_forward(c, x);
}

/* Conv, BN, ReLU, the maximum over the frequency axis: [B, 1, F, T] to [B, o, T]. */
static et_tensor *vertical(et_tagger_conv *c, et_tensor *x)
{
    if (!c)
        return et_fail("tagger");
    return et_squeeze(
        c->module.training ? et_checkpoint(columns_again, &x, 1, c) : conv_again(&x, 1, c, true), 2);
}

/* [B, F, T] to [B, 29 c, T]: vertical branches hear timbre, horizontal ones the course of loudness. */
static et_tensor *spec_forward(const et_tagger *m, et_tensor *x)
{
    et_tensor *h[ET_TAGGER_VERTICAL + ET_TAGGER_HORIZONTAL];

    x = et_batch_norm_layer_forward(m->input_bn, et_unsqueeze(x, 1)); /* [B, 1, F, T] */
    et_tensor *mean = et_mean(x, ET_DIMS(2), false);                  /* [B, 1, T] */
    for (int i = 0; i < ET_TAGGER_VERTICAL; i++) {
        et_scope *block = et_scope_open();
        h[i] = et_scope_return(block, vertical(m->vertical[i], x));
        et_scope_close(block);
    }
    for (int i = 0; i < ET_TAGGER_HORIZONTAL; i++)
        h[ET_TAGGER_VERTICAL + i] = conv_forward(m->horizontal[i], mean);
    return et_error_status() ? NULL : et_concat(ET_TAGGER_VERTICAL + ET_TAGGER_HORIZONTAL, h, 1);
}

/* Conv, BN, ReLU, max pooling by 3. */
static et_tensor *pooled(const et_tagger_conv *c, et_tensor *x)
{
    return c ? et_batch_norm_layer_forward_relu_pool(c->bn, et_conv_layer_forward(c->conv, x), 1, 3)
             : et_fail("tagger");
}

/* [B, samples] to [B, C, samples / 3^(blocks + 1)]. */
static et_tensor *raw_forward(const et_tagger *m, et_tensor *x)
{
    et_tensor *h = first_conv(m->init_conv, et_unsqueeze(x, 1));

    for (int i = 0; i < m->config.raw_blocks; i++)
        h = pooled(m->convs[i], h);
    return h;
}

static et_tensor *front_forward(const et_tagger *m, et_tensor *x)
{
    const et_tagger_config *c = &m->config;
    const bool spec = c->front == ET_FRONT_SPEC;
    et_tensor *h;

    if (!x)
        return et_fail("tagger");
    if (spec ? x->ndim != 3 || x->shape[1] != c->bands : x->ndim != 2) {
        if (spec)
            et_raise(ET_ESHAPE, "tagger: x must be [B, %" PRId64 ", frames]", c->bands);
        else
            et_raise(ET_ESHAPE, "tagger: x must be [B, samples]");
        return NULL;
    }
    h = spec ? spec_forward(m, x) : raw_forward(m, x);
    if (c->back == ET_BACK_ATT)
        h = et_batch_norm_layer_forward_relu(m->project_bn, et_conv_layer_forward(m->project, h));
    return h;
}

/* --- back ends ----------------------------------------------------------------------- */

/* With C(x) = ReLU(BN(conv 7 x)):  r_1 = C_1(x),  r_2 = pool2(C_2(r_1) + r_1),  r_3 = C_3(r_2) + r_2; then
 * ReLU(BN(W [max over time of r_3, mean over time of r_3] + b)). */
static et_tensor *cnn_p_forward(const et_tagger *m, et_tensor *x)
{
    et_tensor *r = NULL;

    for (int i = 0; i < 3; i++) {
        et_tensor *h = et_batch_norm_layer_forward_relu(m->p_bn[i],
                                                        et_conv_layer_forward(m->p_conv[i], i ? r : x));
        r = i ? et_add(h, r) : h;
        if (i == 1)
            r = et_max_pool1d(r, 2, 2, 0);
    }
    et_tensor *both = et_concat(2, (et_tensor *const[]){et_global_max_pool(r), et_global_avg_pool(r)}, 1);
    return et_batch_norm_layer_forward_relu(m->p_bn[3], et_linear_layer_forward(m->dense, both));
}

/* Blocks pool3(ReLU(BN(conv 3))), then ReLU(BN(conv 1)) and the maximum over what is left of time. */
static et_tensor *cnn_l_forward(const et_tagger *m, et_tensor *x)
{
    for (int i = 0; i < m->config.long_blocks; i++)
        x = pooled(m->l_convs[i], x);
    return et_global_max_pool(conv_forward(m->l_last, x));
}

/* x_0 = [CLS; h_1; ..; h_T] + P, h [B, d, T] to [B, T + 1, d]: P are sinusoids, 0 at [CLS]. */
static et_tensor *sequence(const et_tagger *m, et_tensor *h)
{
    if (!h)
        return NULL;
    const int64_t d = m->config.width;
    et_tensor *cls = et_expand(et_view(m->cls, ET_SHAPE(1, 1, d)), ET_SHAPE(h->shape[0], 1, d));
    et_tensor *s = et_concat(2, (et_tensor *const[]){cls, et_permute(h, ET_DIMS(0, 2, 1))}, 1);

    return s ? et_add(s, et_sinusoidal_positions(s->dtype, s->shape[1], d, 1)) : NULL;
}

/* tanh(W x_0 + b) */
static et_tensor *pooler(const et_tagger *m, et_tensor *first)
{
    return et_linear_layer_forward_act(m->pooler, first, ET_ACT_TANH);
}

/* x' = LN(x_(l-1) + MSA(x_(l-1))),  x_l = LN(x' + FFN(x'))  for every layer l;  tanh(W x_L[CLS] + b). Of what
 * the last layer makes of other positions nothing is read. */
static et_tensor *att_forward(const et_tagger *m, et_tensor *h, et_tensor **weights)
{
    const int last = m->config.layers - 1;

    h = sequence(m, h);
    for (int i = 0; i <= last; i++)
        h = i == last && !weights
                ? et_transformer_block_front(m->encoder[i], h, NULL, 1)
                : et_transformer_block_forward(m->encoder[i], h,
                                               &(et_mha_call){.weights = weights ? &weights[i] : NULL});
    return pooler(m, et_select(h, 1, 0));
}

et_tensor *et_tagger_forward(const et_tagger *m, et_tensor *x, et_tensor **weights)
{
    if (!m)
        return et_fail("tagger");
    const et_tagger_config *c = &m->config;
    for (int i = 0; weights && i < c->layers; i++)
        weights[i] = NULL;

    et_scope *inner = et_scope_open(); /* what no backward rule will read goes at its end */
    et_tensor *h = front_forward(m, x);
    h = c->back == ET_BACK_CNN_P   ? cnn_p_forward(m, h)
        : c->back == ET_BACK_CNN_L ? cnn_l_forward(m, h)
                                   : att_forward(m, h, weights);
    h = et_linear_layer_forward(m->classifier, et_dropout(h, c->out_dropout, m->module.training, m->rng));
    for (int i = 0; weights && i < c->layers; i++)
        if (weights[i])
            weights[i] = et_scope_return(inner, weights[i]);
    h = et_scope_return(inner, h);
    et_scope_close(inner);
    return h ? h : et_fail("tagger");
}

et_tensor *et_tagger_contributions(const et_tagger *m, et_tensor *x)
{
    if (!m)
        return et_fail("tagger");
    const int last = m->config.layers - 1;
    if (m->config.back != ET_BACK_ATT || m->module.training || (x && (x->ndim < 2 || x->shape[0] != 1))) {
        et_raise(ET_EINVAL,
                 "tagger: contributions are those of one clip to a model with attention, in evaluation");
        return NULL;
    }
    et_tensor *h = sequence(m, front_forward(m, x));
    for (int i = 0; i < last; i++)
        h = et_transformer_block_forward(m->encoder[i], h, NULL);
    if (!h)
        return et_fail("tagger");
    /* Were the last layer's attention on key t alone, in all heads, its result would be the value row V_t,
     * whatever the query. What follows needs x_0 alone, so one row for each t is the whole map
     * (Won et al. 2019, arXiv 1911.04385). */
    et_tensor *v = et_squeeze(et_linear_layer_forward(m->encoder[last]->attn->v, h), 0); /* [T + 1, d] */
    et_tensor *answer = pooler(m, et_transformer_block_finish(m->encoder[last], et_select(h, 1, 0), v));
    return et_sigmoid(et_linear_layer_forward(m->classifier, answer));
}
