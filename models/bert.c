/* BERT: see bert.h. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/bert.h"
#include "nn/init.h"

et_bert_config et_bert_base(void)
{
    return (et_bert_config){.vocabulary = 30522, .width = 768, .hidden = 3072, .layers = 12, .heads = 12,
                            .positions = 512, .types = 2, .pooler = true, .eps = 1e-12, .dropout = 0.1,
                            .attention_dropout = 0.1};
}

/* As the base, with another width, heads of 64 and four times the width in the perceptron. */
static et_bert_config sized(int64_t width, int layers)
{
    et_bert_config c = et_bert_base();

    c.width = width;
    c.hidden = 4 * width;
    c.layers = layers;
    c.heads = (int)(width / 64);
    return c;
}

et_bert_config et_bert_small(void) { return sized(512, 4); }
et_bert_config et_bert_mini(void) { return sized(256, 4); }
et_bert_config et_bert_tiny(void) { return sized(128, 2); }

et_bert_config et_roberta_base(void)
{
    et_bert_config c = et_bert_base();

    c.vocabulary = 50265;
    c.positions = 514;
    c.types = 1;
    c.roberta = true;
    c.pad = 1;
    c.eps = 1e-5;
    return c;
}

et_status et_bert_named(const char *name, et_bert_config *config)
{
    static const struct { const char *name; et_bert_config (*make)(void); } all[] = {
        {"bert-base", et_bert_base}, {"bert-small", et_bert_small}, {"bert-mini", et_bert_mini},
        {"bert-tiny", et_bert_tiny}, {"roberta-base", et_roberta_base}};

    for (size_t i = 0; name && config && i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *config = all[i].make();
            return ET_OK;
        }
    return et_raise(ET_EINVAL,
                    "bert: no configuration \"%s\"; there are bert-base, bert-small, bert-mini, bert-tiny "
                    "and roberta-base", name ? name : "(null)");
}

et_bert *et_bert_new(et_module *parent, const char *name, const et_bert_config *config, et_rng *rng)
{
    const et_bert_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->vocabulary < 1 || c->positions < 1 || c->types < 1 || c->layers < 1 ||
        !(c->dropout >= 0 && c->dropout < 1) || c->pad < 0 || c->pad >= c->vocabulary ||
        (c->roberta && c->positions <= c->pad + 1)) {
        et_raise(ET_EINVAL, "bert%s%s: %s", name ? " " : "", name ? name : "",
                 c ? "a size is below 1, the dropout not in [0, 1) or `pad` out of range"
                   : "no configuration");
        return NULL;
    }
    et_bert *m = et_module_new(sizeof *m, "BERT", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    et_module_note(&m->module, "%d layers, %" PRId64, c->layers, c->width);
    m->embeddings = et_module_new(sizeof *m->embeddings, "Embeddings", &m->module, "embeddings");
    if (m->embeddings) {
        m->word = et_embedding_layer_new(m->embeddings, "word_embeddings", c->vocabulary, c->width, -1, rng);
        m->position = et_embedding_layer_new(m->embeddings, "position_embeddings", c->positions, c->width,
                                             -1, rng);
        m->type = et_embedding_layer_new(m->embeddings, "token_type_embeddings", c->types, c->width, -1, rng);
        m->norm = et_layer_norm_layer_new(m->embeddings, "LayerNorm", c->width, c->eps);
    }
    m->encoder = et_transformer_new(&m->module, "encoder.layer", c->layers,
                                    &(et_transformer_config){.width = c->width,
                                                             .heads = c->heads,
                                                             .hidden = c->hidden,
                                                             .post_norm = true,
                                                             .act = ET_ACT_GELU,
                                                             .gelu_tanh = c->gelu_tanh,
                                                             .eps = c->eps,
                                                             .attention_dropout = c->attention_dropout,
                                                             .out_dropout = c->dropout,
                                                             .mlp_dropout = c->dropout,
                                                             .names = &et_transformer_names_bert},
                                    rng);
    if (c->pooler)
        m->pooler = et_linear_layer_new(&m->module, "pooler.dense", c->width, c->width, true, rng);
    if (!et_error_status() && !c->plain_init)
        et_init_module_normal(&m->module, 0.02, 0, rng);
    return et_module_done(&m->module);
}

void et_bert_set_rng(et_bert *m, et_rng *rng)
{
    m->rng = rng;
    for (int i = 0; i < m->encoder->layers; i++)
        et_transformer_block_set_rng(m->encoder->blocks[i], rng);
}

/* RoBERTa's positions of ids [B, T]: pad + 1, pad + 2, .. of tokens that are not padding. */
static et_tensor *counted_positions(const et_bert *m, const et_tensor *ids)
{
    et_tensor *at = et_empty(ET_I32, ids->ndim, ids->shape), *plain = et_contiguous((et_tensor *)ids);
    const int32_t pad = m->config.pad;

    if (!at || !plain)
        return NULL;
    const int32_t *from = et_data(plain);
    int32_t *to = et_data_mut(at);
    for (int64_t b = 0; b < ids->shape[0]; b++) {
        int32_t next = pad;
        for (int64_t t = b * ids->shape[1]; t < (b + 1) * ids->shape[1]; t++)
            to[t] = from[t] == pad ? pad : ++next;
    }
    return at;
}

et_tensor *et_bert_embed(const et_bert *m, et_tensor *ids, et_tensor *types)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !ids || et_error_status())
        return et_fail("bert");
    const et_bert_config *c = &m->config;
    const int64_t longest = c->positions - (c->roberta ? c->pad + 1 : 0);
    if (ids->dtype != ET_I32 || (types && types->dtype != ET_I32)) {
        et_raise(ET_EDTYPE, "bert: ids and types must be int32");
        return NULL;
    }
    if (ids->ndim != 2 || ids->shape[1] > longest || (types && !et_same_shape(ids, types))) {
        et_raise(ET_ESHAPE, "bert: ids are %s, expected [B, at most %" PRId64
                 "], and types of the same shape", et_shape_text(text, ids->ndim, ids->shape), longest);
        return NULL;
    }
    et_tensor *x = et_embedding_layer_forward(m->word, ids);
    et_tensor *position = c->roberta ? et_embedding_layer_forward(m->position, counted_positions(m, ids))
                                     : et_slice(m->position->weight, 0, 0, ids->shape[1], 1);
    et_tensor *type = types ? et_embedding_layer_forward(m->type, types)
                            : et_slice(m->type->weight, 0, 0, 1, 1);
    /* x_0 = LN(word[id] + position[t] + type[s]) */
    x = et_scope_after(x, et_add(x, type));
    x = et_scope_after(x, et_add(x, position));
    x = et_scope_after(x, et_layer_norm_layer_forward(m->norm, x));
    x = et_dropout(x, c->dropout, m->embeddings->training, m->rng);
    return x ? x : et_fail("bert");
}

/* mask [B, T] as attention takes it, [B, 1, 1, T]; false if it does not fit x. */
static bool key_mask(const et_tensor *x, et_tensor *mask, et_tensor **keys)
{
    *keys = NULL;
    if (!mask)
        return !et_error_status();
    if (mask->dtype != ET_U8 || mask->ndim != 2 || mask->shape[0] != x->shape[0] ||
        mask->shape[1] != x->shape[1]) {
        et_raise(mask->dtype == ET_U8 ? ET_ESHAPE : ET_EDTYPE, "bert: the mask must be uint8 [%" PRId64
                 ", %" PRId64 "]", x->shape[0], x->shape[1]);
        return false;
    }
    *keys = et_reshape(mask, ET_SHAPE(mask->shape[0], 1, 1, mask->shape[1]));
    return *keys != NULL;
}

/* True if x can be hidden states of m. */
static bool states(const et_bert *m, const et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return false;
    if (x->ndim == 3 && x->shape[2] == m->config.width)
        return true;
    et_raise(ET_ESHAPE, "bert: hidden states are %s, expected [B, T, %" PRId64 "]",
             et_shape_text(text, x->ndim, x->shape), m->config.width);
    return false;
}

et_tensor *et_bert_encode(const et_bert *m, int first, et_tensor *x, et_tensor *mask, et_tensor **hidden)
{
    et_tensor *keys;

    for (int i = 0; hidden && m && i <= m->config.layers; i++)
        hidden[i] = NULL;
    if (!states(m, x) || !key_mask(x, mask, &keys))
        return et_fail("bert");
    /* x_i = post-norm layer i of x_(i-1) */
    et_tensor *y = et_transformer_forward_from(m->encoder, first, x, keys, hidden ? hidden + 1 : NULL);
    if (hidden && y)
        hidden[first] = x;
    return y ? y : et_fail("bert");
}

et_tensor *et_bert_forward(const et_bert *m, et_tensor *ids, et_tensor *types, et_tensor *mask,
                           et_tensor **hidden)
{
    return et_bert_encode(m, 0, et_bert_embed(m, ids, types), mask, hidden);
}

et_tensor *et_bert_pool(const et_bert *m, et_tensor *x, et_tensor *mask, et_bert_pooling how)
{
    et_tensor *keys, *y;

    if (!states(m, x) || !key_mask(x, mask, &keys))
        return et_fail("bert");
    if (how == ET_BERT_CLS) {
        y = et_select(x, 1, 0);
    } else if (how == ET_BERT_POOLER && m->pooler) { /* tanh(W x_L[CLS] + b) */
        y = et_linear_layer_forward_act(m->pooler, et_select(x, 1, 0), ET_ACT_TANH);
    } else if (how == ET_BERT_MEAN || how == ET_BERT_MAX) {
        et_tensor *valid = mask ? et_reshape(mask, ET_SHAPE(x->shape[0], x->shape[1], 1)) : NULL;
        if (how == ET_BERT_MAX) {
            y = et_max(valid ? et_where(valid, x, et_scalar(x->dtype, -INFINITY)) : x, 1, false, NULL);
        } else if (valid) {
            et_tensor *weight = et_cast(valid, x->dtype);
            y = et_div(et_sum(et_mul(x, weight), ET_DIMS(1), false), et_sum(weight, ET_DIMS(1), false));
        } else {
            y = et_mean(x, ET_DIMS(1), false);
        }
    } else {
        et_raise(ET_EINVAL, "bert: %s", how == ET_BERT_POOLER ? "this model has no pooler"
                                                              : "no such pooling");
        return NULL;
    }
    return y ? y : et_fail("bert");
}

int64_t et_bert_pool_reads(et_bert_pooling how, int64_t T)
{
    return how == ET_BERT_CLS || how == ET_BERT_POOLER ? 1 : T;
}

et_tensor *et_bert_encode_pooled(const et_bert *m, int first, et_tensor *x, et_tensor *mask,
                                 et_bert_pooling how)
{
    et_tensor *keys;

    if (!states(m, x) || !key_mask(x, mask, &keys))
        return et_fail("bert");
    if (et_bert_pool_reads(how, x->shape[1]) == x->shape[1])
        return et_bert_pool(m, et_bert_encode(m, first, x, mask, NULL), mask, how);
    return et_bert_pool(m, et_transformer_forward_front(m->encoder, first, x, keys, 1), NULL, how);
}

et_status et_bert_train_last(et_bert *m, int n)
{
    if (!m)
        return et_raise(ET_EINVAL, "bert: no model");
    et_status status = et_transformer_train_last(m->encoder, n);
    if (status)
        return status;
    et_module_hold_eval(m->embeddings, true);
    status = et_module_freeze(m->embeddings, NULL);
    return status || !m->pooler ? status : et_module_freeze(&m->pooler->module, NULL);
}

et_status et_bert_load(et_bert *m, const char *path, et_load_report *report)
{
    /* a file's pooler or heads that the model does not have, and the other way round */
    static const char *const may[] = {"cls", "lm_head", "pooler", NULL}, *const optional[] = {"pooler", NULL};
    et_load_options o = {.rewrite = true, .pass_over = may, .optional = optional};

    if (!m)
        return et_raise(ET_EINVAL, "bert: no model");
    o.prefix = m->config.roberta ? "roberta." : "bert.";
    return et_module_load(&m->module, path, &o, report);
}
