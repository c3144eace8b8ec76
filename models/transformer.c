/* The Transformer: see transformer.h; decoding token by token is in transformer_decode.c. Numbers are
 * the sections and equations of arXiv 1706.03762. Shapes: tokens [B, T], x [B, T, d],
 * heads [B, H, T, d/H]. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "models/transformer.h"
#include "models/transformer_internal.h"
#include "nn/init.h"
#include "nn/mask.h"
#include "nn/multi_head_attention.h"
#include "tensor/alloc.h"

et_encoder_decoder_config et_encoder_decoder_base(int64_t vocabulary)
{
    return (et_encoder_decoder_config){.vocabulary = vocabulary, .width = 512, .hidden = 2048, .heads = 8,
                                       .encoder_layers = 6, .decoder_layers = 6, .max_length = 512,
                                       .dropout = 0.1};
}

et_encoder_decoder_config et_encoder_decoder_big(int64_t vocabulary)
{
    et_encoder_decoder_config c = et_encoder_decoder_base(vocabulary);

    c.width = 1024;
    c.hidden = 4096;
    c.heads = 16;
    c.dropout = 0.3;
    return c;
}

et_encoder_decoder_config et_encoder_decoder_small(int64_t vocabulary)
{
    return (et_encoder_decoder_config){.vocabulary = vocabulary, .width = 32, .hidden = 64, .heads = 4,
                                       .encoder_layers = 2, .decoder_layers = 2, .max_length = 64};
}

/* --- making one ----------------------------------------------------------------------------------- */

static et_joint_attention *attention_new(et_module *parent, const char *name, int64_t d, et_rng *rng)
{
    et_joint_attention *a = et_module_new(sizeof *a, "MultiHeadAttention", parent, name);

    if (!a)
        return NULL;
    et_module_note(&a->module, "%" PRId64, d);
    a->in_proj_weight = et_module_param(&a->module, "in_proj_weight", ET_SHAPE(3 * d, d));
    a->in_proj_bias = et_module_param(&a->module, "in_proj_bias", ET_SHAPE(3 * d));
    if (a->in_proj_weight)
        et_init_xavier_uniform(a->in_proj_weight, 1, rng);
    a->out_proj = et_linear_layer_xavier_new(&a->module, "out_proj", d, d, rng);
    return et_module_done(&a->module);
}

static et_coder_layer *layer_new(et_module *parent, int number, const et_encoder_decoder_config *c,
                                 bool decoder, et_rng *rng)
{
    const double eps = 1e-5;
    char name[16];

    snprintf(name, sizeof name, "%d", number);
    et_coder_layer *l = et_module_new(sizeof *l, decoder ? "DecoderLayer" : "EncoderLayer", parent, name);
    if (!l)
        return NULL;
    l->self = attention_new(&l->module, "self_attn", c->width, rng);
    if (decoder)
        l->cross = attention_new(&l->module, "multihead_attn", c->width, rng);
    l->linear1 = et_linear_layer_xavier_new(&l->module, "linear1", c->width, c->hidden, rng);
    l->linear2 = et_linear_layer_xavier_new(&l->module, "linear2", c->hidden, c->width, rng);
    l->norm1 = et_layer_norm_layer_new(&l->module, "norm1", c->width, eps);
    l->norm2 = et_layer_norm_layer_new(&l->module, "norm2", c->width, eps);
    if (decoder)
        l->norm3 = et_layer_norm_layer_new(&l->module, "norm3", c->width, eps);
    return et_module_done(&l->module);
}

/* The stack `name`: its layers and the norm behind them. */
static et_coder_layer **stack_new(et_encoder_decoder *m, const char *name, int layers, bool decoder,
                                  et_layer_norm_layer **norm, et_rng *rng)
{
    const et_encoder_decoder_config *c = &m->config;
    et_coder_layer **all = et_alloc_zero((size_t)layers, sizeof(et_coder_layer *));
    et_module *stack = all ? et_module_new(sizeof *stack, decoder ? "Decoder" : "Encoder", &m->module, name)
                           : NULL;
    et_module *list = stack ? et_module_new(sizeof *list, "Layers", stack, "layers") : NULL;

    for (int i = 0; list && i < layers; i++)
        all[i] = layer_new(list, i, c, decoder, rng);
    if (stack && (c->pre_norm || !c->no_final_norm))
        *norm = et_layer_norm_layer_new(stack, "norm", c->width, 1e-5);
    return all;
}

static void release(et_module *module)
{
    et_encoder_decoder *m = (et_encoder_decoder *)module;

    et_dealloc(m->encoder);
    et_dealloc(m->decoder);
}

et_encoder_decoder *et_encoder_decoder_new(et_module *parent, const char *name,
                                           const et_encoder_decoder_config *config, et_rng *rng)
{
    const et_encoder_decoder_config *c = config;

    if (et_error_status())
        return NULL;
    if (c->vocabulary < 1 || c->width < 2 || c->hidden < 1 || c->heads < 1 || c->encoder_layers < 1 ||
        c->decoder_layers < 1 || c->max_length < 1 || !(c->dropout >= 0 && c->dropout < 1)) {
        et_raise(ET_EINVAL,
                 "transformer: vocabulary %" PRId64 ", width %" PRId64 ", %d heads, hidden %" PRId64
                 ", %d + %d layers, max_length %" PRId64 " or dropout %g is out of range",
                 c->vocabulary, c->width, c->heads, c->hidden, c->encoder_layers, c->decoder_layers,
                 c->max_length, c->dropout);
        return NULL;
    }
    if (c->width % c->heads) {
        et_raise(ET_EINVAL, "transformer: %d heads do not divide a width of %" PRId64, c->heads, c->width);
        return NULL;
    }
    if (c->width % 2) {
        et_raise(ET_EINVAL, "transformer: a width of %" PRId64 " is odd: half of the positions are cosines",
                 c->width);
        return NULL;
    }
    et_encoder_decoder *m = et_module_new(sizeof *m, "EncoderDecoder", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    m->module.release = release;
    m->embedding = et_embedding_layer_new(&m->module, "embedding", c->vocabulary, c->width, -1, rng);
    if (m->embedding)
        et_init_normal(m->embedding->weight, 1 / sqrt((double)c->width), rng);
    m->positions = et_positions_sinusoidal_new(&m->module, "positions", c->max_length, c->width);
    m->encoder = stack_new(m, "encoder", c->encoder_layers, false, &m->encoder_norm, rng);
    m->decoder = stack_new(m, "decoder", c->decoder_layers, true, &m->decoder_norm, rng);
    return et_module_done(&m->module);
}

/* --- parts --------------------------------------------------------------------------------------------- */

static et_tensor *dropped(const et_encoder_decoder *m, et_tensor *x)
{
    return et_dropout(x, m->config.dropout, m->module.training, m->rng);
}

et_tensor *et_joint_project(const et_encoder_decoder *m, const et_joint_attention *a, int p, et_tensor *x)
{
    const int64_t d = m->config.width;
    et_tensor *w = et_slice(a->in_proj_weight, 0, p * d, (p + 1) * d, 1);
    et_tensor *y = et_linear(x, w, et_slice(a->in_proj_bias, 0, p * d, (p + 1) * d, 1));

    return et_mha_heads(y, m->config.heads);
}

static et_attention_opts attention_opts(const et_encoder_decoder *m, bool causal)
{
    return (et_attention_opts){.causal = causal, .merge_heads = true, .rng = m->rng,
                               .dropout = m->module.training ? m->config.dropout : 0};
}

/* MultiHead(Q, K, V) = Concat(head_1 .. head_H) W_O                       (section 3.2)
 * head_i = softmax(Q_i K_i^T / sqrt(d_k)) V_i                             (eq. 1) */
et_tensor *et_joint_attend(const et_encoder_decoder *m, const et_joint_attention *a, et_tensor *q,
                           et_tensor *k, et_tensor *v, et_tensor *mask, bool causal)
{
    const et_attention_opts o = attention_opts(m, causal);

    return et_linear_layer_forward(a->out_proj, et_attention(q, k, v, mask, &o));
}

et_tensor *et_coder_before(const et_encoder_decoder *m, const et_layer_norm_layer *norm, et_tensor *x)
{
    return m->config.pre_norm ? et_layer_norm_layer_forward(norm, x) : x;
}

/* LayerNorm(x + Sublayer(x))   (3.1); pre-norm: x + Sublayer(LayerNorm(x)) */
et_tensor *et_coder_after(const et_encoder_decoder *m, const et_layer_norm_layer *norm, et_tensor *x,
                          et_tensor *out)
{
    et_tensor *y = et_add(x, dropped(m, out));

    return m->config.pre_norm ? y : et_layer_norm_layer_forward(norm, y);
}

/* FFN(x) = max(0, x W_1 + b_1) W_2 + b_2   (2) */
et_tensor *et_coder_feed_forward(const et_encoder_decoder *m, const et_coder_layer *l, et_tensor *x)
{
    return et_linear_layer_forward(l->linear2,
                                   dropped(m, et_linear_layer_forward_act(l->linear1, x, ET_ACT_RELU)));
}

et_tensor *et_coder_logits(const et_encoder_decoder *m, et_tensor *x)
{
    if (m->decoder_norm)
        x = et_layer_norm_layer_forward(m->decoder_norm, x);
    return et_linear(x, m->embedding->weight, NULL); /* the embedding is the output's weight   (3.4) */
}

et_tensor *et_coder_source_mask(et_tensor *lengths, int64_t S)
{
    return lengths ? et_mask_keys(lengths, S) : NULL;
}

/* sqrt(d) E[token] + PE, dropout   (3.4, 3.5, 5.4) */
static et_tensor *embed(const et_encoder_decoder *m, et_tensor *tokens)
{
    et_tensor *x = et_mul_scalar(et_embedding_layer_forward(m->embedding, tokens),
                                 sqrt((double)m->config.width));

    return dropped(m, et_positions_forward(m->positions, x));
}

/* Self-attention of x. */
static et_tensor *self_attention(const et_encoder_decoder *m, const et_joint_attention *a, et_tensor *x,
                                 et_tensor *mask, bool causal)
{
    const et_attention_opts o = attention_opts(m, causal);
    et_tensor *qkv = et_linear(x, a->in_proj_weight, a->in_proj_bias);

    return et_linear_layer_forward(a->out_proj, et_attention_qkv(qkv, m->config.heads, mask, &o));
}

/* --- forward --------------------------------------------------------------------------------------- */

et_tensor *et_encoder_decoder_encode(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths)
{
    if (!m || !source || et_error_status())
        return et_fail("transformer");
    et_tensor *x = embed(m, source), *mask = x ? et_coder_source_mask(lengths, x->shape[1]) : NULL;

    for (int i = 0; i < m->config.encoder_layers; i++) {
        const et_coder_layer *l = m->encoder[i];
        x = et_coder_after(m, l->norm1, x, self_attention(m, l->self, et_coder_before(m, l->norm1, x), mask,
                                                          false));
        x = et_coder_after(m, l->norm2, x, et_coder_feed_forward(m, l, et_coder_before(m, l->norm2, x)));
    }
    if (m->encoder_norm)
        x = et_layer_norm_layer_forward(m->encoder_norm, x);
    return x ? x : et_fail("transformer");
}

et_tensor *et_encoder_decoder_decode(const et_encoder_decoder *m, et_tensor *memory, et_tensor *lengths,
                                     et_tensor *target)
{
    if (!m || !memory || !target || et_error_status())
        return et_fail("transformer");
    et_tensor *x = embed(m, target), *mask = et_coder_source_mask(lengths, memory->shape[1]);

    for (int i = 0; i < m->config.decoder_layers; i++) {
        const et_coder_layer *l = m->decoder[i];
        /* a token sees those before it (3.2.3), then the source */
        x = et_coder_after(m, l->norm1, x, self_attention(m, l->self, et_coder_before(m, l->norm1, x),
                                                          NULL, true));
        et_tensor *q = et_joint_project(m, l->cross, 0, et_coder_before(m, l->norm2, x));
        et_tensor *k = et_joint_project(m, l->cross, 1, memory),
                  *v = et_joint_project(m, l->cross, 2, memory);
        x = et_coder_after(m, l->norm2, x, et_joint_attend(m, l->cross, q, k, v, mask, false));
        x = et_coder_after(m, l->norm3, x, et_coder_feed_forward(m, l, et_coder_before(m, l->norm3, x)));
    }
    et_tensor *logits = et_coder_logits(m, x);
    return logits ? logits : et_fail("transformer");
}

et_tensor *et_encoder_decoder_loss(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths,
                                   et_tensor *target, int32_t pad, double smoothing)
{
    const et_cross_entropy_opts o = {.label_smoothing = smoothing, .ignore = true, .ignore_index = pad};
    et_tensor *memory = et_encoder_decoder_encode(m, source, lengths);

    if (!memory || !target)
        return et_fail("transformer");
    if (target->ndim != 2) {
        et_raise(ET_ESHAPE, "transformer: the targets must be [B, T], they have %d dimension%s", target->ndim,
                 target->ndim == 1 ? "" : "s");
        return NULL;
    }
    const int64_t T = target->shape[1];
    et_tensor *given = et_contiguous(et_slice(target, 1, 0, T - 1, 1));
    et_tensor *wanted = et_contiguous(et_slice(target, 1, 1, T, 1));
    return et_cross_entropy_with(et_encoder_decoder_decode(m, memory, lengths, given), wanted, &o);
}
