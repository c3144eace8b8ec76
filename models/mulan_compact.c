/* MuLan, the compact rendition: see mulan_compact.h. Shapes: x [B, T, d], heads [B, H, T, d_head]. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "models/mulan_compact.h"
#include "nn/init.h"
#include "nn/multi_head_attention.h"
#include "tensor/alloc.h"

#define SCALE 8.0 /* of the cosine scores */
#define EPS 1e-5

et_mulan_compact_config et_mulan_compact(void)
{
    return (et_mulan_compact_config){.width = 512, .layers = 6, .heads = 8, .head_width = 64, .hidden = 1365,
                                     .patch = 16, .offsets = 128, .vocabulary = 49408, .positions = 256,
                                     .latent = 128, .patch_dropout = 0.25, .loss = ET_CONTRASTIVE_DECOUPLED,
                                     .log_scale = log(10)};
}

/* --- making one ------------------------------------------------------------------------------------- */

/* A parameter of ones. */
static et_tensor *ones(et_module *m, const char *name, int64_t n)
{
    et_tensor *t = et_module_param(m, name, ET_SHAPE(n));

    if (t)
        et_fill(t, 1);
    return t;
}

static et_module *group(et_module *parent, const char *name)
{
    return et_module_new(sizeof(et_module), "Group", parent, name);
}

static et_compact_layer *layer_new(et_module *parent, int i, const et_mulan_compact_config *c, et_rng *rng)
{
    const int64_t inner = c->heads * c->head_width;
    char name[16];

    snprintf(name, sizeof name, "%d", i);
    et_compact_layer *l = et_module_new(sizeof *l, "Layer", parent, name);
    if (!l)
        return NULL;
    et_module *attention = group(&l->module, "0"), *norm = attention ? group(attention, "norm") : NULL;
    if (norm) {
        l->norm = ones(norm, "gamma", c->width);
        l->to_q = et_linear_layer_new(attention, "to_q", c->width, inner, false, rng);
        l->to_kv = et_linear_layer_new(attention, "to_kv", c->width, 2 * inner, false, rng);
        l->q_scale = ones(attention, "q_scale", c->head_width);
        l->k_scale = ones(attention, "k_scale", c->head_width);
        l->out = et_linear_layer_new(attention, "to_out.0", inner, c->width, false, rng);
    }
    et_module *mlp = group(&l->module, "1"), *mlp_norm = mlp ? group(mlp, "0") : NULL;
    if (mlp_norm) {
        l->mlp_norm = ones(mlp_norm, "gamma", c->width);
        l->mlp[0] = et_linear_layer_new(mlp, "1", c->width, 2 * c->hidden, false, rng);
        l->mlp[1] = et_linear_layer_new(mlp, "4", c->hidden, c->width, false, rng);
    }
    return et_module_done(&l->module);
}

static void release(et_module *m) { et_dealloc(((et_compact_tower *)m)->layers); }

static et_compact_tower *tower_new(et_module *parent, const char *name, const et_mulan_compact_config *c,
                                   bool text, et_rng *rng)
{
    et_compact_tower *t = et_module_new(sizeof *t, text ? "TextTransformer" : "AudioTransformer", parent,
                                        name);
    const int64_t area = c->patch * c->patch;

    if (!t)
        return NULL;
    t->module.release = release;
    if (text) {
        t->words = et_embedding_layer_new(&t->module, "token_emb", c->vocabulary, c->width, -1, rng);
        t->positions = et_embedding_layer_new(&t->module, "pos_emb", c->positions, c->width, -1, rng);
        t->cls = et_module_param(&t->module, "cls_token", ET_SHAPE(c->width));
        if (t->cls)
            et_init_normal(t->cls, 1, rng);
    } else {
        t->patch_norm[0] = et_layer_norm_layer_new(&t->module, "to_patch_tokens.1", area, EPS);
        t->patch = et_linear_layer_new(&t->module, "to_patch_tokens.2", area, c->width, true, rng);
        t->patch_norm[1] = et_layer_norm_layer_new(&t->module, "to_patch_tokens.3", c->width, EPS);
        t->offsets[0] = et_linear_layer_new(&t->module, "dynamic_pos_bias_mlp.0", 2, c->offsets, true, rng);
        t->offsets[1] = et_linear_layer_new(&t->module, "dynamic_pos_bias_mlp.2", c->offsets, c->offsets,
                                            true, rng);
        t->offsets[2] = et_linear_layer_new(&t->module, "dynamic_pos_bias_mlp.4", c->offsets, c->heads,
                                            true, rng);
    }
    t->layers = et_alloc_zero((size_t)c->layers, sizeof(et_compact_layer *));
    et_module *list = t->layers ? et_module_new(sizeof *list, "Layers", &t->module, "transformer.layers")
                                : NULL;
    for (int i = 0; list && i < c->layers; i++, t->n_layers++)
        t->layers[i] = layer_new(list, i, c, rng);
    et_module *norm = group(&t->module, "norm");
    if (norm)
        t->norm = ones(norm, "gamma", c->width);
    return et_module_done(&t->module);
}

et_mulan_compact_model *et_mulan_compact_new(et_module *parent, const char *name,
                                             const et_mulan_compact_config *config, et_rng *rng)
{
    const et_mulan_compact_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->width < 4 || c->width % 4 || c->layers < 1 || c->heads < 1 || c->head_width < 1 ||
        c->hidden < 1 || c->patch < 1 || c->offsets < 1 || c->vocabulary < 1 || c->positions < 1 ||
        c->latent < 1 || !(c->patch_dropout >= 0 && c->patch_dropout < 1) ||
        !(c->dropout >= 0 && c->dropout < 1) || !isfinite(c->log_scale)) {
        et_raise(ET_EINVAL, "compact mulan%s%s: no configuration, or a size or chance out of range",
                 name ? " " : "", name ? name : "");
        return NULL;
    }
    et_mulan_compact_model *m = et_module_new(sizeof *m, "MuLanCompact", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    m->audio = tower_new(&m->module, "audio", c, false, rng);
    m->text = tower_new(&m->module, "text", c, true, rng);
    m->text_to_latents = et_linear_layer_new(&m->module, "text_to_latents", c->width, c->latent, true, rng);
    m->audio_to_latents = et_linear_layer_new(&m->module, "audio_to_latents", c->width, c->latent, true, rng);
    m->temperature = et_module_param(&m->module, "temperature", ET_SHAPE(1));
    if (m->temperature)
        et_fill(m->temperature, c->log_scale);
    return et_module_done(&m->module);
}

/* --- forward ------------------------------------------------------------------------------------------ */

static et_tensor *normed(et_tensor *x, et_tensor *gain) { return et_layer_norm(x, gain, NULL, EPS); }

/* softmax(8 q k^T + bias) v with unit q and k times their gains */
static et_tensor *attention(const et_mulan_compact_model *m, const et_compact_layer *l, et_tensor *x,
                            et_tensor *bias)
{
    const et_mulan_compact_config *c = &m->config;
    const int64_t inner = c->heads * c->head_width;
    const et_attention_opts o = {.scale = SCALE, .merge_heads = true, .rng = m->rng,
                                 .dropout = m->module.training ? c->dropout : 0};

    x = normed(x, l->norm);
    et_tensor *kv = et_linear_layer_forward(l->to_kv, x);
    et_tensor *q = et_mha_heads(et_linear_layer_forward(l->to_q, x), c->heads);
    et_tensor *k = et_mha_heads(et_slice(kv, 2, 0, inner, 1), c->heads),
              *v = et_mha_heads(et_slice(kv, 2, inner, 2 * inner, 1), c->heads);
    q = et_mul(et_l2_normalize(q, 1e-12), l->q_scale);
    k = et_mul(et_l2_normalize(k, 1e-12), l->k_scale);
    return et_linear_layer_forward(l->out, et_attention(q, k, v, bias, &o));
}

static et_tensor *layers(const et_mulan_compact_model *m, const et_compact_tower *t, et_tensor *x,
                         et_tensor *bias)
{
    for (int i = 0; x && i < t->n_layers; i++) {
        const et_compact_layer *l = t->layers[i];
        et_scope *inner = et_scope_open();
        if (!inner)
            return NULL;
        x = et_add(x, attention(m, l, x, bias)); /* x + A(LN(x)), then x + W_2 geglu(W_1 LN(x)) */
        et_tensor *h = et_geglu(et_linear_layer_forward(l->mlp[0], normed(x, l->mlp_norm)));
        h = et_dropout(h, m->config.dropout, m->module.training, m->rng);
        x = et_scope_return(inner, et_add(x, et_linear_layer_forward(l->mlp[1], h)));
        et_scope_close(inner);
    }
    return normed(x, t->norm);
}

/* The network's bias of every offset in a grid of patches, [1, heads, N, N]. */
static et_tensor *offset_bias(const et_compact_tower *t, int64_t rows, int64_t cols, et_dtype dtype)
{
    const int64_t n = (2 * rows - 1) * (2 * cols - 1);
    et_tensor *all = et_empty(ET_F32, ET_SHAPE(n, 2));
    float *p = all ? et_data_mut(all) : NULL;

    for (int64_t i = 0; p && i < n; i++) {
        p[2 * i] = (float)(i / (2 * cols - 1) - rows + 1);
        p[2 * i + 1] = (float)(i % (2 * cols - 1) - cols + 1);
    }
    et_tensor *h = et_silu(et_linear_layer_forward(t->offsets[0], et_to(all, dtype)));
    h = et_silu(et_linear_layer_forward(t->offsets[1], h));
    return et_relative_bias(et_linear_layer_forward(t->offsets[2], h), rows, cols);
}

/* The numbers of `keep` of n tokens, drawn, in order. */
static et_tensor *some_of(int64_t n, int64_t keep, et_rng *rng)
{
    et_tensor *index = et_empty(ET_I32, ET_SHAPE(keep));
    int32_t *p = index ? et_data_mut(index) : NULL;
    int64_t at = 0;

    rng = rng ? rng : et_rng_default();
    for (int64_t i = 0; p && i < n; i++) /* each of the rest is as likely */
        if ((int64_t)et_rng_below(rng, (uint64_t)(n - i)) < keep - at)
            p[at++] = (int32_t)i;
    return index;
}

et_tensor *et_mulan_compact_audio(const et_mulan_compact_model *m, et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return et_fail("compact mulan");
    const et_mulan_compact_config *c = &m->config;
    const et_compact_tower *t = m->audio;
    const int64_t rows = x->ndim == 3 ? x->shape[1] / c->patch : 0,
                  cols = x->ndim == 3 ? x->shape[2] / c->patch : 0;
    if (rows < 1 || cols < 1) {
        et_raise(ET_ESHAPE,
                 "compact mulan: spectrograms are %s, expected [B, bins, frames] of at least %" PRId64
                 " each", et_shape_text(text, x->ndim, x->shape), c->patch);
        return NULL;
    }
    /* patches -> LN, linear, LN, + 2-D sinusoids;  y = mean of LN(x_L) */
    et_tensor *y = et_slice(et_slice(x, 1, 0, rows * c->patch, 1), 2, 0, cols * c->patch, 1);
    y = et_patchify(et_unsqueeze(y, 1), c->patch, c->patch);
    y = et_linear_layer_forward(t->patch, et_layer_norm_layer_forward(t->patch_norm[0], y));
    y = et_layer_norm_layer_forward(t->patch_norm[1], y);
    y = et_add(y, et_sinusoidal_positions_2d(x->dtype, rows, cols, c->width));
    et_tensor *bias = offset_bias(t, rows, cols, x->dtype);
    const int64_t N = rows * cols, keep = N - (int64_t)((double)N * c->patch_dropout);
    if (m->module.training && keep < N) {
        et_tensor *index = some_of(N, keep, m->rng);
        y = et_index_select(y, 1, index);
        bias = et_index_select(et_index_select(bias, 2, index), 3, index);
    }
    y = et_mean(layers(m, t, y, bias), ET_DIMS(1), false);
    y = et_l2_normalize(et_linear_layer_forward(m->audio_to_latents, y), 1e-12);
    return y ? y : et_fail("compact mulan");
}

/* uint8 [B, 1, 1, T + 1]: 1 for [CLS] and for ids that are not `pad`. */
static et_tensor *seen(et_tensor *ids, int32_t pad)
{
    const int64_t B = ids->shape[0], T = ids->shape[1];
    et_tensor *mask = et_empty(ET_U8, ET_SHAPE(B, 1, 1, T + 1)), *plain = et_contiguous(ids);
    uint8_t *p = mask ? et_data_mut(mask) : NULL;

    for (int64_t b = 0; p && plain && b < B; b++)
        for (int64_t i = 0; i <= T; i++)
            p[b * (T + 1) + i] = i == 0 || et_data_i32(plain)[b * T + i - 1] != pad;
    return mask;
}

et_tensor *et_mulan_compact_text(const et_mulan_compact_model *m, et_tensor *ids)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !ids)
        return et_fail("compact mulan");
    const et_mulan_compact_config *c = &m->config;
    const et_compact_tower *t = m->text;
    if (ids->dtype != ET_I32 || ids->ndim != 2 || ids->shape[1] > c->positions) {
        et_raise(ids->dtype == ET_I32 ? ET_ESHAPE : ET_EDTYPE,
                 "compact mulan: ids are %s, expected int32 [B, at most %" PRId64 "]",
                 et_shape_text(text, ids->ndim, ids->shape), c->positions);
        return NULL;
    }
    const int64_t B = ids->shape[0], T = ids->shape[1];
    /* [CLS] + words + learned positions;  y = LN(x_L)[CLS] */
    et_tensor *x = et_add(et_embedding_layer_forward(t->words, ids),
                          et_slice(t->positions->weight, 0, 0, T, 1));
    x = et_concat(2, (et_tensor *[]){et_expand(t->cls, ET_SHAPE(B, 1, c->width)), x}, 1);
    x = et_select(layers(m, t, x, seen(ids, c->pad)), 1, 0);
    x = et_l2_normalize(et_linear_layer_forward(m->text_to_latents, x), 1e-12);
    return x ? x : et_fail("compact mulan");
}

et_tensor *et_mulan_compact_loss(const et_mulan_compact_model *m, et_tensor *f, et_tensor *g)
{
    if (!m || !f || !g)
        return et_fail("compact mulan");
    et_tensor *loss = et_contrastive_loss_learned(m->config.loss, m->temperature, (double)INFINITY, f, g);
    return loss ? loss : et_fail("compact mulan");
}
