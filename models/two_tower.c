/* Two towers for texts and sounds: see two_tower.h. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/two_tower.h"
#include "nn/init.h"

/* --- configurations ----------------------------------------------------------------------------- */

et_two_tower_config et_two_tower_base(void)
{
    return (et_two_tower_config){.text = et_bert_base(), .audio = et_ast_base(), .train_text = 5,
                                 .embedding = 128, .head_hidden = 512, .scale = ET_SCALE_EXP, .tau = 1};
}

et_two_tower_config et_two_tower_small(void)
{
    et_two_tower_config c = et_two_tower_base();

    c.text.vocabulary = 32;
    c.text.width = c.audio.width = 32;
    c.text.hidden = c.audio.hidden = 64;
    c.text.layers = c.audio.layers = 2;
    c.text.heads = c.audio.heads = 2;
    c.text.positions = 14;
    c.text.types = 2;
    c.text.dropout = c.text.attention_dropout = 0;
    c.audio.bands = 16;
    c.audio.frames = 64;
    c.audio.patch_bands = c.audio.patch_frames = 8;
    c.audio.step_bands = 4;
    c.audio.step_frames = 8;
    c.train_text = c.train_audio = ET_TWO_TOWER_ALL;
    c.embedding = 16;
    c.tau = 2;
    return c;
}

/* The published tables 2.3, 2.5 and 3.1. */
static const et_two_tower_row rows[] = {
    {"model-1", 1.0, 5, 0, 0, 0, 35636224},  {"model-2", 2.0, 5, 0, 0, 0, 35636224},
    {"model-3", 0.2, 5, 0, 0, 0, 35636224},  {"model-4", 0.2, 3, 3, 0, 0, 42725632},
    {"model-5", 0.2, 5, 5, 0, 0, 71077120},  {"model-6", 1.0, 5, 0, 0, 1, 42725632},
    {"model-7", 1.0, 5, 0, 0, 3, 56901376},  {"model-8", 1.0, 5, 0, 1, 1, 49813504},
    {"model-9", 1.0, 3, 0, 3, 3, 63989248},  {"model-10", 1.0, 5, 0, 3, 0, 56899840},
    {"zero-shot", 1.2, 5, 0, 0, 0, 35636224}};
enum { ROWS = sizeof rows / sizeof rows[0] };

const et_two_tower_row *et_two_tower_row_at(int i) { return i >= 0 && i < ROWS ? &rows[i] : NULL; }

static int least(int a, int b) { return a < b ? a : b; }

et_status et_two_tower_named(const char *name, et_two_tower_config *c)
{
    for (int i = 0; name && c && i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) {
            c->tau = rows[i].tau;
            c->train_text = least(rows[i].train_text, c->text.layers);
            c->train_audio = least(rows[i].train_audio, c->audio.layers);
            c->extra_text = rows[i].extra_text;
            c->extra_audio = rows[i].extra_audio;
            return ET_OK;
        }
    return et_raise(ET_EINVAL,
                    "two towers: no configuration \"%s\"; there are model-1 .. model-10 and zero-shot",
                    name ? name : "(null)");
}

/* --- making ---------------------------------------------------------------------------------------- */

static bool possible(const et_two_tower_config *c)
{
    return c->train_text >= ET_TWO_TOWER_ALL && c->train_text <= c->text.layers &&
           c->train_audio >= ET_TWO_TOWER_ALL && c->train_audio <= c->audio.layers && c->extra_text >= 0 &&
           c->extra_text <= ET_TWO_TOWER_EXTRA && c->extra_audio >= 0 &&
           c->extra_audio <= ET_TWO_TOWER_EXTRA && c->embedding >= 1 && isfinite(c->tau);
}

/* Attention layers alone, each with its norm. */
static void attention_layers(et_module *m, const char *name, int n, const et_mha_config *c, double eps,
                             et_mha **attn, et_layer_norm_layer **norm, et_rng *rng)
{
    char path[32];

    for (int i = 0; i < n && !et_error_status(); i++) {
        snprintf(path, sizeof path, "%s.%d.attn", name, i);
        attn[i] = et_mha_new(m, path, c, rng);
        snprintf(path, sizeof path, "%s.%d.norm", name, i);
        norm[i] = et_layer_norm_layer_new(m, path, c->width, eps);
    }
}

static void make_extras(et_two_tower *m, et_rng *rng)
{
    const et_two_tower_config *c = &m->config;
    et_module *self = &m->module;

    if (c->attention_only) {
        const et_mha_config text = {.width = c->text.width, .heads = c->text.heads,
                                    .dropout = c->text.attention_dropout};
        const et_mha_config audio = {.width = c->audio.width, .heads = c->audio.heads};
        attention_layers(self, "text_extra", c->extra_text, &text, c->text.eps, m->text_attn,
                         m->text_attn_norm, rng);
        attention_layers(self, "audio_extra", c->extra_audio, &audio, c->audio.eps, m->audio_attn,
                         m->audio_attn_norm, rng);
    } else {
        if (c->extra_text)
            m->text_extra = et_transformer_new(
                self, "text_extra", c->extra_text,
                &(et_transformer_config){.width = c->text.width,
                                         .heads = c->text.heads,
                                         .hidden = c->text.hidden,
                                         .post_norm = true,
                                         .act = ET_ACT_GELU,
                                         .eps = c->text.eps,
                                         .attention_dropout = c->text.attention_dropout,
                                         .out_dropout = c->text.dropout,
                                         .mlp_dropout = c->text.dropout},
                rng);
        if (c->extra_audio)
            m->audio_extra = et_transformer_new(self, "audio_extra", c->extra_audio,
                                                &(et_transformer_config){.width = c->audio.width,
                                                                         .heads = c->audio.heads,
                                                                         .hidden = c->audio.hidden,
                                                                         .act = ET_ACT_GELU,
                                                                         .eps = c->audio.eps},
                                                rng);
    }
    /* Fresh layers begin as BERT's do. */
    for (int k = 0; k < 2 && !et_error_status(); k++) {
        et_module *extra = et_module_child(self, k ? "audio_extra" : "text_extra");
        if (extra)
            et_init_module_normal(extra, 0.02, 0, rng);
    }
    if (c->extra_audio)
        m->audio_norm = et_layer_norm_layer_new(self, "audio_norm", c->audio.width, c->audio.eps);
}

et_two_tower *et_two_tower_new(et_module *parent, const char *name, const et_two_tower_config *config,
                               et_rng *rng)
{
    if (et_error_status())
        return NULL;
    if (!config || !possible(config)) {
        et_raise(ET_EINVAL, "two towers%s%s: %s", name ? " " : "", name ? name : "",
                 config ? "layers, the width of the shared space or tau out of range" : "no configuration");
        return NULL;
    }
    et_two_tower *m = et_module_new(sizeof *m, "TwoTower", parent, name);
    if (!m)
        return NULL;
    m->config = *config;
    const et_two_tower_config *c = &m->config;
    m->text = et_bert_new(&m->module, "text", &c->text, rng);
    m->audio = et_ast_new(&m->module, "audio", &c->audio, rng);
    make_extras(m, rng);
    et_projection_config head = {.kind = c->head, .in = c->text.width, .hidden = c->head_hidden,
                                 .out = c->embedding, .dropout = 0.1};
    m->text_head = et_projection_new(&m->module, "text_head", &head, rng);
    head.in = c->audio.width;
    m->audio_head = et_projection_new(&m->module, "audio_head", &head, rng);
    if (!et_error_status() && m->text->pooler && c->pooling != ET_BERT_POOLER)
        et_module_freeze(&m->text->pooler->module, NULL); /* nobody reads it */
    et_transformer *const trained[] = {m->text ? m->text->encoder : NULL, m->audio ? m->audio->encoder : NULL,
                                       m->text_extra, m->audio_extra};
    for (int i = 0; i < 4 && !et_error_status(); i++)
        if (trained[i])
            trained[i]->checkpoint = c->checkpoint;
    if (!et_error_status() && c->train_text >= 0)
        et_bert_train_last(m->text, c->train_text);
    if (!et_error_status() && c->train_audio >= 0)
        et_ast_train_last(m->audio, c->train_audio);
    return et_module_done(&m->module);
}

/* --- running --------------------------------------------------------------------------------------- */

/* The first layer that is trained. */
static int first_of(int layers, int trained) { return trained < 0 ? 0 : layers - trained; }

bool et_two_tower_text_frozen(const et_two_tower *m) { return m->config.train_text >= 0; }
bool et_two_tower_audio_frozen(const et_two_tower *m) { return m->config.train_audio >= 0; }

/* True if a base is the pooled vector alone. */
static bool pools(int trained, int extra) { return trained == 0 && extra == 0; }

/* x through attention layers alone, of whose result the first n tokens are read: the last one computes no
 * others. In the order of the tower's own layers: x = LN(x + A(x)), or x = x + A(LN(x)). */
static et_tensor *attend(et_mha *const *attn, et_layer_norm_layer *const *norm, int count, bool post_norm,
                         et_tensor *x, et_tensor *keys, int64_t n)
{
    for (int i = 0; i < count && x; i++) {
        et_tensor *a = post_norm ? x : et_layer_norm_layer_forward(norm[i], x), *queries = a;
        if (i == count - 1 && n < x->shape[1]) {
            queries = et_slice(a, 1, 0, n, 1);
            x = et_slice(x, 1, 0, n, 1);
        }
        x = et_add(x, et_mha_forward(attn[i], queries, a, &(et_mha_call){.mask = keys}));
        if (post_norm)
            x = et_layer_norm_layer_forward(norm[i], x);
    }
    return x;
}

/* x through the blocks before the trained ones. */
static et_tensor *below(const et_transformer *t, int first, et_tensor *x, et_tensor *keys)
{
    for (int i = 0; i < first; i++)
        x = et_transformer_block_forward(t->blocks[i], x, &(et_mha_call){.mask = keys});
    return x;
}

/* mask [B, T] as attention takes it. */
static et_tensor *keys_of(et_tensor *mask)
{
    return mask ? et_reshape(mask, ET_SHAPE(mask->shape[0], 1, 1, mask->shape[mask->ndim - 1])) : NULL;
}

et_tensor *et_two_tower_text_base(const et_two_tower *m, et_tensor *ids, et_tensor *mask)
{
    if (!m || !ids)
        return et_fail("two towers, texts");
    if (mask && (mask->ndim != 2 || !et_same_shape(ids, mask))) {
        et_raise(ET_ESHAPE, "two towers, texts: the mask must be [B, T], as the ids");
        return NULL;
    }
    const et_two_tower_config *c = &m->config;
    et_tensor *x = et_bert_embed(m->text, ids, NULL);
    x = pools(c->train_text, c->extra_text)
            ? et_bert_encode_pooled(m->text, 0, x, mask, c->pooling)
            : below(m->text->encoder, first_of(c->text.layers, c->train_text), x, keys_of(mask));
    return x ? x : et_fail("two towers, texts");
}

et_tensor *et_two_tower_text_rest(const et_two_tower *m, et_tensor *base, et_tensor *mask)
{
    if (!m || !base)
        return et_fail("two towers, texts");
    const et_two_tower_config *c = &m->config;
    const int first = first_of(c->text.layers, c->train_text);
    et_tensor *x = base;
    if (c->extra_text) {
        x = et_bert_encode(m->text, first, x, mask, NULL);
        const int64_t T = x ? x->shape[1] : 0, n = et_bert_pool_reads(c->pooling, T);
        x = m->text_extra ? et_transformer_forward_front(m->text_extra, 0, x, keys_of(mask), n)
                          : attend(m->text_attn, m->text_attn_norm, c->extra_text, true, x, keys_of(mask), n);
        x = et_bert_pool(m->text, x, n < T ? NULL : mask, c->pooling);
    } else if (c->train_text) {
        x = et_bert_encode_pooled(m->text, first, x, mask, c->pooling);
    }
    x = et_l2_normalize(et_projection_forward(m->text_head, x), 1e-12); /* f = unit(head_text(..)) */
    return x ? x : et_fail("two towers, texts");
}

et_tensor *et_two_tower_audio_base(const et_two_tower *m, et_tensor *x)
{
    if (!m || !x)
        return et_fail("two towers, sounds");
    const et_two_tower_config *c = &m->config;
    et_tensor *y = et_ast_embed(m->audio, x);
    if (pools(c->train_audio, c->extra_audio))
        y = et_ast_encode_pooled(m->audio, 0, y);
    else if (c->train_audio == 0) /* the whole tower, with its last norm */
        y = et_ast_encode(m->audio, 0, y, NULL);
    else
        y = below(m->audio->encoder, first_of(c->audio.layers, c->train_audio), y, NULL);
    return y ? y : et_fail("two towers, sounds");
}

et_tensor *et_two_tower_audio_rest(const et_two_tower *m, et_tensor *base)
{
    if (!m || !base)
        return et_fail("two towers, sounds");
    const et_two_tower_config *c = &m->config;
    const int first = first_of(c->audio.layers, c->train_audio);
    et_tensor *x = base;
    if (c->extra_audio) {
        const int64_t n = m->audio->special;
        x = c->train_audio ? et_ast_encode(m->audio, first, x, NULL) : x;
        x = m->audio_extra ? et_transformer_forward_front(m->audio_extra, 0, x, NULL, n)
                           : attend(m->audio_attn, m->audio_attn_norm, c->extra_audio, false, x, NULL, n);
        x = et_ast_pool(m->audio, et_layer_norm_layer_forward(m->audio_norm, x));
    } else if (c->train_audio) {
        x = et_ast_encode_pooled(m->audio, first, x);
    }
    x = et_l2_normalize(et_projection_forward(m->audio_head, x), 1e-12); /* g = unit(head_audio(..)) */
    return x ? x : et_fail("two towers, sounds");
}

et_tensor *et_two_tower_text(const et_two_tower *m, et_tensor *ids, et_tensor *mask)
{
    return et_two_tower_text_rest(m, et_two_tower_text_base(m, ids, mask), mask);
}

et_tensor *et_two_tower_audio(const et_two_tower *m, et_tensor *x)
{
    return et_two_tower_audio_rest(m, et_two_tower_audio_base(m, x));
}

et_tensor *et_two_tower_loss(const et_two_tower *m, et_tensor *f, et_tensor *g)
{
    return m ? et_contrastive_loss_at(m->config.loss, m->config.scale, m->config.tau, f, g)
             : et_fail("two towers");
}
