/* HTS-AT: see htsat.h. Shapes: image [B, C, S, S], tokens [B, side, side, d], windows [B W, N, d]. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "models/htsat.h"
#include "nn/init.h"
#include "tensor/alloc.h"

#define APART -100.0 /* between tokens that the shift brought together */

et_htsat_config et_htsat_tiny(void)
{
    return (et_htsat_config){.bands = 64, .image = 256, .patch = 4, .window = 8, .width = 96, .stages = 4,
                             .depths = {2, 2, 6, 2}, .heads = {4, 8, 16, 32}, .eps = 1e-5, .drop_path = 0.1};
}

et_htsat_config et_htsat_base(void)
{
    et_htsat_config c = et_htsat_tiny();

    c.width = 128;
    c.depths[2] = 12;
    return c;
}

int64_t et_htsat_width(const et_htsat_config *config) { return config->width << (config->stages - 1); }

/* --- making one -------------------------------------------------------------------------------------- */

static const et_transformer_names names = {
    .attention = "attention", .q = "self.query", .k = "self.key", .v = "self.value", .qkv = "self.qkv",
    .out = "output.dense", .norm1 = "layernorm_before", .norm2 = "layernorm_after",
    .mlp = {"intermediate.dense", "output.dense"},
};

/* The band in which a shifted row lies:
 * 0 of [0, side - w), 1 of [side - w, side - w/2), 2 of [side - w/2, side). */
static int region(int64_t i, int64_t side, int64_t window)
{
    return (i >= side - window) + (i >= side - window / 2);
}

static void fill_mask(et_tensor *mask, int64_t side, int64_t w)
{
    float *p = mask ? et_data_mut(mask) : NULL;
    const int64_t cols = side / w, N = w * w;

    for (int64_t at = 0; p && at < cols * cols; at++)
        for (int64_t a = 0; a < N; a++)
            for (int64_t b = 0; b < N; b++) {
                const int64_t top = at / cols * w, left = at % cols * w;
                const bool same = region(top + a / w, side, w) == region(top + b / w, side, w) &&
                                  region(left + a % w, side, w) == region(left + b % w, side, w);
                p[(at * N + a) * N + b] = same ? 0 : (float)APART;
            }
}

static void release_stage(et_module *m) { et_dealloc(((et_htsat_stage *)m)->bias); }

/* The `number`-th stage; `first` of `total` blocks come before it. */
static et_htsat_stage *stage_new(et_module *parent, int number, const et_htsat_config *c, int first,
                                 int total, et_rng *rng)
{
    const int64_t width = c->width << number, side = (c->image / c->patch) >> number;
    const int64_t window = side < c->window ? side : c->window, rows = (2 * window - 1) * (2 * window - 1);
    const int heads = c->heads[number];
    char name[24];

    snprintf(name, sizeof name, "layers.%d", number);
    et_htsat_stage *s = et_module_new(sizeof *s, "SwinStage", parent, name);
    if (!s)
        return NULL;
    s->module.release = release_stage;
    s->side = side;
    s->window = window;
    et_module_note(&s->module, "%" PRId64 " x %" PRId64 ", %" PRId64, side, side, width);
    const et_transformer_config block = {.width = width, .heads = heads, .hidden = 4 * width,
                                         .act = ET_ACT_GELU, .eps = c->eps, .names = &names};
    s->blocks = et_transformer_new(&s->module, "blocks", c->depths[number], &block, rng);
    s->bias = et_alloc_zero((size_t)c->depths[number], sizeof(et_tensor *));
    for (int i = 0; s->bias && s->blocks && i < c->depths[number]; i++) {
        et_transformer_block *b = s->blocks->blocks[i];
        b->config.drop_path = total > 1 ? c->drop_path * (first + i) / (total - 1) : c->drop_path;
        s->bias[i] = et_module_param(et_module_child(&b->attn->module, "self"),
                                     "relative_position_bias_table", ET_SHAPE(rows, heads));
    }
    if (window < side && c->depths[number] > 1) {
        const int64_t windows = side / window * (side / window), N = window * window;
        s->mask = et_module_buffer(&s->module, "attn_mask", ET_ENTRY_CONSTANT, ET_F32,
                                   ET_SHAPE(windows, 1, N, N));
        fill_mask(s->mask, side, window);
    }
    if (number < c->stages - 1) {
        s->merge = et_linear_layer_new(&s->module, "downsample.reduction", 4 * width, 2 * width, false, rng);
        s->merge_norm = et_layer_norm_layer_new(&s->module, "downsample.norm", 4 * width, c->eps);
    }
    return et_module_done(&s->module);
}

/* local_att: conv, BN, relu, conv, BN; global_att: the same of the mean over all positions. */
static void fusion_new(et_htsat *m, et_module *patch, et_rng *rng)
{
    static const char *const at[2][2][2] = {{{"local_att.0", "local_att.1"}, {"local_att.3", "local_att.4"}},
                                            {{"global_att.1", "global_att.2"},
                                             {"global_att.4", "global_att.5"}}};
    const int64_t d = m->config.width, between = d / 4, p = m->config.patch;
    const et_conv_config wide = {.in = 1, .out = d, .kernel_h = p, .kernel_w = 3 * p, .stride_h = p,
                                 .stride_w = 3 * p};
    et_module *fusion = et_module_new(sizeof *fusion, "AttentionalFusion", patch, "fusion_model");

    m->local_proj = et_conv2d_layer_new(patch, "mel_conv2d", &wide, rng);
    for (int where = 0; fusion && where < 2; where++)
        for (int i = 0; i < 2; i++) {
            const et_conv_config one = {.in = i ? between : d, .out = i ? d : between, .kernel_h = 1,
                                        .kernel_w = 1};
            m->fuse_conv[where][i] = et_conv2d_layer_new(fusion, at[where][i][0], &one, rng);
            m->fuse_bn[where][i] = et_batch_norm_layer_new(fusion, at[where][i][1], one.out);
        }
}

static bool sizes_fit(const et_htsat_config *c)
{
    if (!c || c->bands < 1 || c->patch < 1 || c->window < 2 || c->width < 4 || c->stages < 1 ||
        c->stages > ET_HTSAT_STAGES || c->image < 1 || c->image % c->bands || c->image % c->patch ||
        !(c->eps > 0) || c->classes < 0 || (c->fusion && c->width % 4))
        return false;
    int64_t side = c->image / c->patch;
    for (int i = 0; i < c->stages; i++, side /= 2) {
        const int64_t window = side < c->window ? side : c->window;
        if (c->depths[i] < 1 || c->heads[i] < 1 || side < 1 || side % window ||
            (i < c->stages - 1 && side % 2))
            return false;
    }
    return true;
}

et_htsat *et_htsat_new(et_module *parent, const char *name, const et_htsat_config *config, et_rng *rng)
{
    const et_htsat_config *c = config;
    int total = 0, first = 0;

    if (et_error_status())
        return NULL;
    if (!sizes_fit(c)) {
        et_raise(ET_EINVAL, "htsat%s%s: %s", name ? " " : "", name ? name : "",
                 c ? "sizes do not fit" : "no configuration");
        return NULL;
    }
    et_htsat *m = et_module_new(sizeof *m, "HTSAT", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    et_module *patch = et_module_new(sizeof *patch, "PatchEmbedding", &m->module, "patch_embed");
    if (patch) {
        const et_conv_config square = {.in = 1, .out = c->width, .kernel_h = c->patch, .kernel_w = c->patch,
                                       .stride_h = c->patch, .stride_w = c->patch};
        m->proj = et_conv2d_layer_new(patch, "proj", &square, rng);
        m->patch_norm = et_layer_norm_layer_new(patch, "norm", c->width, c->eps);
        if (c->fusion)
            fusion_new(m, patch, rng);
    }
    for (int i = 0; i < c->stages; i++)
        total += c->depths[i];
    for (int i = 0; i < c->stages; first += c->depths[i++])
        m->stages[i] = stage_new(&m->module, i, c, first, total, rng);
    for (int i = 0; i < c->stages && m->stages[i]; i++)
        et_init_module_normal(&m->stages[i]->module, 0.02, 0, rng);
    m->bn = et_batch_norm_layer_new(&m->module, "batch_norm", c->bands);
    const int64_t wide = et_htsat_width(c);
    m->norm = et_layer_norm_layer_new(&m->module, "norm", wide, c->eps);
    if (c->classes) { /* over a map whose rows are those of one quarter */
        const int64_t ratio = c->image / c->bands, rows = ((c->image / c->patch) >> (c->stages - 1)) / ratio;
        const et_conv_config k = {.in = wide, .out = c->classes, .kernel_h = rows > 0 ? rows : 1,
                                  .kernel_w = 3, .pad_w = 1};
        m->tscam = et_conv2d_layer_new(&m->module, "tscam_conv", &k, rng);
        m->head = et_linear_layer_new(&m->module, "head", c->classes, c->classes, true, rng);
    }
    return et_module_done(&m->module);
}

void et_htsat_set_rng(et_htsat *m, et_rng *rng)
{
    for (int i = 0; i < m->config.stages; i++)
        for (int b = 0; b < m->stages[i]->blocks->layers; b++)
            et_transformer_block_set_rng(m->stages[i]->blocks->blocks[b], rng);
}

/* --- image and tokens ---------------------------------------------------------------------------------- */

/* x [B, C, frames, bands] as [B, C, S, S]: row q bands + f holds band f of the q-th stretch of time. */
static et_tensor *fold(const et_htsat_config *c, et_tensor *x)
{
    const int64_t B = x->shape[0], C = x->shape[1], ratio = c->image / c->bands, frames = c->image * ratio;

    if (x->shape[2] < frames)
        x = et_resize(x, 2, frames, ET_RESIZE_CUBIC, true);
    x = et_permute(et_reshape(x, ET_SHAPE(B, C, ratio, c->image, c->bands)), ET_DIMS(0, 1, 2, 4, 3));
    return et_reshape(x, ET_SHAPE(B, C, c->image, c->image));
}

/* A convolution whose patches lie side by side, as a product: image [B, 1, S, S] -> [B, d, rows, cols] (or,
 * `last`, [B, rows, cols, d]). */
static et_tensor *tokens_of(const et_conv_layer *l, et_tensor *image, bool last)
{
    const et_conv_config *k = &l->config;

    if (!image)
        return NULL;
    const int64_t rows = image->shape[2] / k->kernel_h, cols = image->shape[3] / k->kernel_w;
    et_tensor *patches = et_patches(image, k->kernel_h, k->kernel_w, k->stride_h, k->stride_w);
    et_tensor *y = et_linear(patches, et_view(l->weight, ET_SHAPE(k->out, k->kernel_h * k->kernel_w)),
                             l->bias);

    y = et_reshape(y, ET_SHAPE(image->shape[0], rows, cols, k->out));
    return last ? y : et_contiguous(et_permute(y, ET_DIMS(0, 3, 1, 2)));
}

static et_tensor *fuse_branch(const et_htsat *m, int where, et_tensor *x)
{
    et_tensor *y = et_batch_norm_layer_forward_relu(m->fuse_bn[where][0],
                                                    et_conv_layer_forward(m->fuse_conv[where][0], x));

    return et_batch_norm_layer_forward(m->fuse_bn[where][1],
                                       et_conv_layer_forward(m->fuse_conv[where][1], y));
}

/* Attentional fusion of the map x of the whole clip and r of its chunks (Dai et al. 2021, arXiv 2009.14082):
 * 2 x w + 2 r (1 - w) = 2 ((x - r) w + r),  w = sigmoid(local(x + r) + global(x + r));
 * all [B, d, side, side] */
static et_tensor *fuse(const et_htsat *m, et_tensor *x, et_tensor *r)
{
    et_tensor *both = et_add(x, r);
    et_tensor *w = et_add(fuse_branch(m, 0, both), fuse_branch(m, 1, et_mean(both, ET_DIMS(2, 3), true)));

    w = et_sigmoid(w);
    return et_mul_scalar(et_add(et_mul(et_sub(x, r), w), r), 2);
}

/* The maps of the three chunks of images [B, 3, S, S], one behind the other along time:
 * [B, d, side, side]. */
static et_tensor *local_map(const et_htsat *m, et_tensor *images)
{
    if (!images)
        return NULL;
    const int64_t B = images->shape[0], n = images->shape[1], S = m->config.image, side = S / m->config.patch;
    const int64_t d = m->config.width, cols = S / (3 * m->config.patch);
    et_tensor *y = tokens_of(m->local_proj, et_reshape(images, ET_SHAPE(B * n, 1, S, S)), true);

    /* [B, n, side, cols, d] -> [B, d, side, n cols] */
    y = et_permute(et_reshape(y, ET_SHAPE(B, n, side, cols, d)), ET_DIMS(0, 4, 2, 1, 3));
    y = et_reshape(y, ET_SHAPE(B, d, side, n * cols));
    return et_pad(y, 1, (const int64_t[]){0, side - n * cols}, ET_PAD_CONSTANT, 0);
}

/* Rows of x [B, ..] where `longer` is set are replaced by those of some [count, ..], in order. */
static et_tensor *replaced(et_tensor *x, et_tensor *some, const uint8_t *longer)
{
    if (!x || !some)
        return NULL;
    const int64_t B = x->shape[0];
    et_tensor *index = et_empty(ET_I32, ET_SHAPE(B));
    int32_t *p = index ? et_data_mut(index) : NULL, next = (int32_t)B;

    for (int64_t b = 0; p && b < B; b++)
        p[b] = longer[b] ? next++ : (int32_t)b;
    return et_index_select(et_concat(2, (et_tensor *[]){x, some}, 0), 0, index);
}

/* Tokens [B, side, side, d] of images [B, C, S, S]. */
static et_tensor *embed(const et_htsat *m, et_tensor *images, et_tensor *longer)
{
    et_tensor *whole = images && images->shape[1] > 1 ? et_contiguous(et_slice(images, 1, 0, 1, 1)) : images;
    const int64_t B = images ? images->shape[0] : 0;
    et_tensor *flags = longer ? et_contiguous(longer) : NULL;
    const uint8_t *set = flags ? et_data(flags) : NULL;
    int64_t count = 0;

    if (!images)
        return NULL;
    for (int64_t b = 0; set && b < B; b++)
        count += set[b] != 0;
    et_tensor *x = tokens_of(m->proj, whole, true);
    if (count) {
        et_tensor *index = et_empty(ET_I32, ET_SHAPE(count));
        int32_t *p = index ? et_data_mut(index) : NULL;
        for (int64_t b = 0; p && b < B; b++)
            if (set[b])
                *p++ = (int32_t)b;
        et_tensor *chunks = et_contiguous(et_slice(et_index_select(images, 0, index), 1, 1, ET_HTSAT_CHUNKS,
                                                   1));
        et_tensor *global = et_contiguous(et_permute(et_index_select(x, 0, index), ET_DIMS(0, 3, 1, 2)));
        et_tensor *fused = fuse(m, global, local_map(m, chunks));
        x = replaced(x, et_contiguous(et_permute(fused, ET_DIMS(0, 2, 3, 1))), set);
    }
    return et_layer_norm_layer_forward(m->patch_norm, x);
}

/* --- stages ---------------------------------------------------------------------------------------- */

/* Block i of a stage on x [B, side, side, d] (Liu et al. 2021, arXiv 2103.14030, eqs. 3 and 4): attention
 * within windows, all else token by token.
 *
 *   x' = x + W-MSA(LN(x)),   y = x' + MLP(LN(x')),   head = softmax(q k^T / sqrt(d_head) + bias) v
 *
 * Odd blocks (SW-MSA) shift the windows by half of one; the mask then keeps tokens apart that only the shift
 * has brought into one window. */
static et_tensor *swin_block(const et_htsat_stage *s, int i, et_tensor *x)
{
    const et_transformer_block *b = s->blocks->blocks[i];
    const int64_t shift = i % 2 && s->mask ? s->window / 2 : 0;
    et_scope *inner = et_scope_open();

    if (!inner)
        return NULL;
    et_tensor *windows = et_window_partition(et_layer_norm_layer_forward(b->ln1, x), s->window, shift);
    et_tensor *bias = et_relative_bias(s->bias[i], s->window, s->window);
    if (shift)
        bias = et_add(bias, et_to(s->mask, x->dtype));
    et_tensor *attended = et_mha_attend(b->attn, windows, NULL, &(et_mha_call){.mask = bias});
    attended = et_window_reverse(attended, s->side, s->side, s->window, shift);
    x = et_scope_return(inner, et_transformer_block_finish(b, x, attended));
    et_scope_close(inner);
    return x;
}

et_tensor *et_htsat_forward(const et_htsat *m, et_tensor *x, et_tensor *longer)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return et_fail("htsat");
    const et_htsat_config *c = &m->config;
    const int64_t frames = c->image * (c->image / c->bands);
    const bool good = c->fusion ? x->ndim == 4 && x->shape[1] == ET_HTSAT_CHUNKS : x->ndim == 3;
    if (!good || x->shape[x->ndim - 1] != c->bands || x->shape[x->ndim - 2] > frames ||
        x->shape[x->ndim - 2] < 1) {
        et_raise(ET_ESHAPE, "htsat: spectrograms are %s, expected [B, %sat most %" PRId64 ", %" PRId64 "]",
                 et_shape_text(text, x->ndim, x->shape), c->fusion ? "4, " : "", frames, c->bands);
        return NULL;
    }
    if (longer && (!c->fusion || longer->dtype != ET_U8 || longer->ndim != 1 ||
                   longer->shape[0] != x->shape[0])) {
        et_raise(ET_EINVAL, "htsat: `longer` must be uint8 [B], of a model with fusion");
        return NULL;
    }
    if (!c->fusion)
        x = et_unsqueeze(x, 1);
    x = et_batch_norm_layer_forward_axis(m->bn, x, -1);
    x = x ? embed(m, fold(c, x), longer) : NULL;
    for (int i = 0; x && i < c->stages; i++) {
        const et_htsat_stage *s = m->stages[i];
        for (int b = 0; x && b < s->blocks->layers; b++)
            x = swin_block(s, b, x);
        if (s->merge) /* 2 x 2 neighbours side by side, [.., 4 d], then W LN(..), [.., 2 d] */
            x = et_linear_layer_forward(s->merge,
                                        et_layer_norm_layer_forward(s->merge_norm, et_patch_merge(x)));
    }
    /* the mean over all positions of LN(x) */
    x = et_mean(et_layer_norm_layer_forward(m->norm, x), ET_DIMS(1, 2), false);
    return x ? x : et_fail("htsat");
}
