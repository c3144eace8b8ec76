/* Vision Transformer over spectrograms: see vit.h.
 *
 * Equations (1) to (4) are those of Dosovitskiy et al. Shapes: x [B, T, C F], image [B, C, H, W],
 * patches x_p [B, N, C h w], tokens z [B, N, d].
 *
 * Differs from them: no class token unless asked for (the head then reads all tokens), GELU behind both
 * layers of the perceptron in (3), heads of any width, dropout in the blocks. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/vit.h"
#include "nn/init.h"

et_vit_config et_vit_paper(void)
{
    return (et_vit_config){.frames = 512, .bins = 129, .channels = 1, .height = 128, .width = 32,
                           .patch_h = 16, .patch_w = 4, .d = 128, .layers = 8, .heads = 4, .head_width = 128,
                           .hidden = 256, .head = {2048, 1024}, .classes = 10, .dropout = 0.1,
                           .head_dropout = 0.5};
}

et_vit_config et_vit_small(void)
{
    return (et_vit_config){.frames = 32, .bins = 16, .channels = 1, .height = 32, .width = 16, .patch_h = 8,
                           .patch_w = 4, .d = 32, .layers = 2, .heads = 2, .head_width = 16, .hidden = 64,
                           .head = {64}, .classes = 6, .dropout = 0.1, .head_dropout = 0.5};
}

/* Linear layers: Glorot uniform weights, biases 0. */
static void init_linear(const et_module *m, et_rng *rng)
{
    for (int64_t i = 0; i < et_module_n_entries(m); i++) {
        const et_entry *e = et_module_entry(m, i);
        if (strcmp(e->owner->kind, "Linear") != 0)
            continue;
        if (e->tensor->ndim == 2)
            et_init_xavier_uniform(e->tensor, 1, rng);
        else
            et_fill(e->tensor, 0);
    }
}

/* The mean and the standard deviation of y [B, N, d] over N, [B, 2 d] (Snyder et al. 2018, "X-vectors"). */
static et_tensor *statistics(et_tensor *y)
{
    et_tensor *deviation = et_sqrt(et_add_scalar(et_var(y, ET_DIMS(1), false, false), 1e-6));

    return et_concat(2, (et_tensor *[]){et_mean(y, ET_DIMS(1), false), deviation}, 1);
}

/* True if the sizes make sense; fills in what may be 0. */
static bool complete(et_vit_config *c)
{
    c->channels = c->channels ? c->channels : 1;
    c->step_h = c->step_h ? c->step_h : c->patch_h;
    c->step_w = c->step_w ? c->step_w : c->patch_w;
    return c->frames >= 1 && c->bins >= 1 && c->channels >= 1 && c->patch_h >= 1 && c->patch_w >= 1 &&
           c->step_h >= 1 && c->step_w >= 1 && c->height >= c->patch_h && c->width >= c->patch_w &&
           c->d >= 1 && c->classes >= 1 && c->head_dropout >= 0 && c->head_dropout < 1 &&
           c->recomputed >= 0 && c->recomputed <= c->layers;
}

/* E and E_pos, and x_class where there is one. */
static void make_patches(et_vit *m, et_rng *rng)
{
    const et_vit_config *c = &m->config;
    const bool cls = c->pooling == ET_VIT_CLASS;
    et_module *patch = et_module_new(sizeof *patch, "PatchEmbedding", &m->module, "patch");

    if (!patch)
        return;
    et_module_note(patch, "%lld x %lld patches", (long long)m->rows, (long long)m->cols);
    m->proj = et_linear_layer_new(patch, "proj", c->channels * c->patch_h * c->patch_w, c->d, true, rng);
    m->pos = et_module_param(patch, "pos", ET_SHAPE(m->rows * m->cols + cls, c->d));
    m->cls = cls ? et_module_param(patch, "cls", ET_SHAPE(c->d)) : NULL;
}

static void make_blocks(et_vit *m, et_rng *rng)
{
    const et_vit_config *c = &m->config;
    const et_transformer_config block = {.width = c->d,
                                         .heads = c->heads,
                                         .head_width = c->head_width,
                                         .hidden = c->hidden,
                                         .act = ET_ACT_GELU,
                                         .act_twice = !c->act_once,
                                         .attention_dropout = c->dropout,
                                         .hidden_dropout = c->dropout,
                                         .mlp_dropout = c->dropout,
                                         .drop_path = c->drop_path};

    m->blocks = et_transformer_new(&m->module, "blocks", c->layers, &block, rng);
    if (m->blocks) {
        m->blocks->checkpoint = c->recomputed > 0;
        m->blocks->kept = c->layers - c->recomputed;
    }
}

/* The perceptron that reads the tokens: hidden layers, then one to the classes. */
static void make_head(et_vit *m, et_rng *rng)
{
    const et_vit_config *c = &m->config;
    et_module *head = et_module_new(sizeof *head, "Head", &m->module, "head");
    int64_t in = c->pooling == ET_VIT_FLATTEN      ? m->rows * m->cols * c->d
                 : c->pooling == ET_VIT_STATISTICS ? 2 * c->d : c->d;
    char layer[16];

    for (int i = 0; head && i < ET_VIT_HEAD_LAYERS && c->head[i] > 0; i++, m->n_head++) {
        snprintf(layer, sizeof layer, "%d", i);
        m->head[i] = et_linear_layer_new(head, layer, in, c->head[i], true, rng);
        in = c->head[i];
    }
    if (head)
        m->out = et_linear_layer_new(head, "out", in, c->classes, true, rng);
}

et_vit *et_vit_new(et_module *parent, const char *name, const et_vit_config *config, et_rng *rng)
{
    et_vit *m;
    et_vit_config c;

    if (et_error_status())
        return NULL;
    c = config ? *config : (et_vit_config){0};
    if (!complete(&c)) {
        et_raise(ET_EINVAL,
                 "vit%s%s: a size is below 1, the image smaller than a patch, a dropout not in [0, 1), or "
                 "too many blocks computed again",
                 name ? " " : "", name ? name : "");
        return NULL;
    }
    m = et_module_new(sizeof *m, "ViT", parent, name);
    if (!m)
        return NULL;
    m->rows = (c.height - c.patch_h) / c.step_h + 1;
    m->cols = (c.width - c.patch_w) / c.step_w + 1;
    m->config = c;
    make_patches(m, rng);
    make_blocks(m, rng);
    m->ln = et_layer_norm_layer_new(&m->module, "ln", c.d, 1e-6);
    make_head(m, rng);
    if (et_error_status())
        return et_module_done(&m->module);

    init_linear(&m->module, rng);
    et_init_uniform(m->pos, 0.05, rng);
    if (m->cls)
        et_init_uniform(m->cls, 0.05, rng);
    return et_module_done(&m->module);
}

et_tensor *et_vit_image(const et_vit *m, et_tensor *x)
{
    const et_vit_config *c = m ? &m->config : NULL;
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return et_fail("vit");
    if (x->ndim != 3 || x->shape[1] != c->frames || x->shape[2] != c->channels * c->bins) {
        et_raise(ET_ESHAPE, "vit: spectrograms are %s, expected [B, %lld, %lld]",
                 et_shape_text(text, x->ndim, x->shape), (long long)c->frames,
                 (long long)(c->channels * c->bins));
        return NULL;
    }
    /* [B, T, C F] -> [B, C, T, F], or with time across [B, C, F, T] */
    et_tensor *image = et_reshape(x, ET_SHAPE(x->shape[0], c->frames, c->channels, c->bins));
    image = c->transpose ? et_permute(image, ET_DIMS(0, 2, 3, 1)) : et_permute(image, ET_DIMS(0, 2, 1, 3));
    /* Bilinear, half-pixel centres, no antialias; the rows first, which are mixed as wholes. */
    if (image && image->shape[2] != c->height)
        image = et_resize(image, 2, c->height, ET_RESIZE_LINEAR, false);
    if (image && image->shape[3] != c->width)
        image = et_resize(image, 3, c->width, ET_RESIZE_LINEAR, false);
    return image;
}

et_tensor *et_vit_forward(const et_vit *m, et_tensor *x, et_tensor **attention)
{
    et_tensor *image = et_vit_image(m, x);

    if (!image)
        return NULL;
    const et_vit_config *c = &m->config;
    const int64_t B = image->shape[0];
    const bool training = m->module.training;

    /* z_0 = [x_class; x_p^1 E; x_p^2 E; ...; x_p^N E] + E_pos   (1) */
    et_tensor *patches = et_patches(image, c->patch_h, c->patch_w, c->step_h, c->step_w);
    et_tensor *z = et_linear_layer_forward(m->proj, patches);
    if (m->cls)
        z = et_concat(2, (et_tensor *[]){et_expand(m->cls, ET_SHAPE(B, 1, c->d)), z}, 1);
    z = et_add(z, m->pos);

    /* z'_l = MSA(LN(z_(l-1))) + z_(l-1)   (2)
     * z_l  = MLP(LN(z'_l)) + z'_l         (3) */
    if (attention)
        z = et_transformer_forward(m->blocks, z, NULL, attention);
    else if (c->pooling == ET_VIT_CLASS) /* of z_L, z_L^0 alone is read */
        z = et_transformer_forward_front(m->blocks, 0, z, NULL, 1);
    else
        z = et_transformer_forward_from(m->blocks, 0, z, NULL, NULL);

    /* y = LN(z_L^0)   (4): of the class token, the mean token and perhaps its deviation, or all of them */
    et_tensor *y = et_layer_norm_layer_forward(m->ln, z);
    if (c->pooling == ET_VIT_CLASS)
        y = et_select(y, 1, 0);
    else if (c->pooling == ET_VIT_MEAN)
        y = et_mean(y, ET_DIMS(1), false);
    else if (c->pooling == ET_VIT_STATISTICS)
        y = statistics(y);
    else
        y = et_flatten(y, 1, 2);

    /* The head: y = GELU(W_i dropout(y) + b_i), then the logits W dropout(y) + b */
    for (int i = 0; i < m->n_head; i++)
        y = et_linear_layer_forward_act(m->head[i], et_dropout(y, c->head_dropout, training, m->rng),
                                        ET_ACT_GELU);
    et_tensor *logits = et_linear_layer_forward(m->out, et_dropout(y, c->head_dropout, training, m->rng));
    return logits ? logits : et_fail("vit");
}

/* The mean over heads of a block's attention (the last block's) or, with rollout, that of all blocks: Abnar
 * and Zuidema 2020, "Quantifying Attention Flow in Transformers" (arXiv 2005.00928), section 3. */
et_tensor *et_vit_relevance(const et_vit *m, et_tensor *const *attention, bool rollout)
{
    et_tensor *joint = NULL;

    if (!m || !attention)
        return et_fail("vit relevance");
    const int layers = m->blocks->layers;
    for (int l = rollout ? 0 : layers - 1; l < layers; l++) {
        et_tensor *a = et_mean(attention[l], ET_DIMS(1), false); /* over heads: [B, N, N] */
        if (!a)
            return et_fail("vit relevance");
        if (rollout) { /* joint = A~_L .. A~_1 with A~ = (A + I) / 2 */
            et_tensor *eye = et_zeros(a->dtype, ET_SHAPE(a->shape[1], a->shape[1]));
            for (int64_t i = 0; eye && i < a->shape[1]; i++)
                et_set(eye, (const int64_t[]){i, i}, 0.5);
            a = et_add(et_mul_scalar(a, 0.5), eye);
        }
        joint = joint ? et_matmul(a, joint) : a;
    }
    if (!m->cls)
        return et_mean(joint, ET_DIMS(1), false);
    /* The class token's row without its own column; what is left sums to 1 again. */
    et_tensor *row = et_slice(et_select(joint, 1, 0), 1, 1, m->rows * m->cols + 1, 1);
    return et_div(row, et_sum(row, ET_DIMS(1), true));
}
