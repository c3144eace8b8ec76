/* Transformer encoder: blocks in both orders of norm, and stacks of them. Within a block each result is let
 * go as soon as it has been used (et_scope_after), so that a forward pass needs the memory of one part. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "nn/transformer.h"
#include "tensor/alloc.h"

const et_transformer_names et_transformer_names_plain = {
    .attention = "attn", .q = "q", .k = "k", .v = "v", .qkv = "qkv", .out = "o",
    .norm1 = "ln1", .norm2 = "ln2", .mlp = {"mlp.0", "mlp.1"},
};
const et_transformer_names et_transformer_names_bert = {
    .attention = "attention", .q = "self.query", .k = "self.key", .v = "self.value", .qkv = "self.qkv",
    .out = "output.dense", .norm1 = "attention.output.LayerNorm", .norm2 = "output.LayerNorm",
    .mlp = {"intermediate.dense", "output.dense"},
};
const et_transformer_names et_transformer_names_vit = {
    .attention = "attention", .q = "attention.query", .k = "attention.key", .v = "attention.value",
    .qkv = "attention.qkv", .out = "output.dense", .norm1 = "layernorm_before", .norm2 = "layernorm_after",
    .mlp = {"intermediate.dense", "output.dense"},
};

/* True if p is a chance that something is dropped. */
static bool chance(double p) { return p >= 0 && p < 1; }

et_transformer_block *et_transformer_block_new(et_module *parent, const char *name,
                                               const et_transformer_config *config, et_rng *rng)
{
    const et_transformer_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->width < 1 || c->hidden < 1 || !chance(c->out_dropout) || !chance(c->hidden_dropout) ||
        !chance(c->mlp_dropout) || !chance(c->drop_path) || !(c->eps >= 0)) {
        et_raise(ET_EINVAL, "transformer block %s: %s", name ? name : "",
                 c ? "a size, a dropout or eps is out of range" : "no configuration");
        return NULL;
    }
    et_transformer_block *b = et_module_new(sizeof *b, "TransformerBlock", parent, name);
    if (!b)
        return NULL;
    b->config = *c;
    b->config.names = NULL;
    const et_transformer_names *as = c->names ? c->names : &et_transformer_names_plain;
    const double eps = c->eps > 0 ? c->eps : 1e-6;
    const et_mha_config attention = {.width = c->width,
                                     .heads = c->heads,
                                     .head_width = c->head_width,
                                     .fused = c->fused,
                                     .dropout = c->attention_dropout,
                                     .names = {c->fused ? as->qkv : as->q, as->k, as->v, as->out}};
    et_module_note(&b->module, "%" PRId64 ", %s-norm", c->width, c->post_norm ? "post" : "pre");
    /* In the order in which they are used. */
    if (!c->post_norm)
        b->ln1 = et_layer_norm_layer_new(&b->module, as->norm1, c->width, eps);
    b->attn = et_mha_new(&b->module, as->attention, &attention, rng);
    if (c->post_norm)
        b->ln1 = et_layer_norm_layer_new(&b->module, as->norm1, c->width, eps);
    else
        b->ln2 = et_layer_norm_layer_new(&b->module, as->norm2, c->width, eps);
    b->mlp[0] = et_linear_layer_new(&b->module, as->mlp[0], c->width, c->hidden, true, rng);
    b->mlp[1] = et_linear_layer_new(&b->module, as->mlp[1], c->hidden, c->width, true, rng);
    if (c->post_norm)
        b->ln2 = et_layer_norm_layer_new(&b->module, as->norm2, c->width, eps);
    return et_module_done(&b->module);
}

void et_transformer_block_set_rng(et_transformer_block *b, et_rng *rng)
{
    b->rng = rng;
    b->attn->rng = rng;
}

/* act(l x) */
static et_tensor *activated(const et_transformer_block *b, const et_linear_layer *l, et_tensor *x)
{
    if (b->config.act == ET_ACT_GELU && b->config.gelu_tanh)
        return et_gelu_tanh(et_linear_layer_forward(l, x));
    return et_linear_layer_forward_act(l, x, b->config.act);
}

/* M(x), h = act(W_0 x + b_0): the rest of the perceptron, with its dropouts. */
static et_tensor *perceptron(const et_transformer_block *b, et_tensor *h)
{
    const et_transformer_config *c = &b->config;
    const bool training = b->module.training;
    et_tensor *y = et_scope_after(h, et_dropout(h, c->hidden_dropout, training, b->rng));

    y = et_scope_after(y, c->act_twice ? activated(b, b->mlp[1], y) : et_linear_layer_forward(b->mlp[1], y));
    return et_scope_after(y, et_dropout(y, c->mlp_dropout, training, b->rng));
}

/* x + branch, where the branch is not skipped. */
static et_tensor *residual(const et_transformer_block *b, et_tensor *x, et_tensor *branch)
{
    branch = et_scope_after(branch, et_drop_path(branch, b->config.drop_path, b->module.training, b->rng));
    return et_scope_after(branch, et_add(x, branch));
}

/* What follows the attention, a = A(..). */
static et_tensor *finish(const et_transformer_block *b, et_tensor *x, et_tensor *a)
{
    x = residual(b, x, et_scope_after(a, et_dropout(a, b->config.out_dropout, b->module.training, b->rng)));
    if (!b->config.post_norm) {
        et_tensor *y = et_layer_norm_layer_forward(b->ln2, x);
        return residual(b, x, perceptron(b, et_scope_after(y, activated(b, b->mlp[0], y))));
    }
    x = et_scope_after(x, et_layer_norm_layer_forward(b->ln1, x));
    et_tensor *y = residual(b, x, perceptron(b, activated(b, b->mlp[0], x)));
    return et_scope_after(y, et_layer_norm_layer_forward(b->ln2, y));
}

et_tensor *et_transformer_block_finish(const et_transformer_block *b, et_tensor *x, et_tensor *attended)
{
    return b ? finish(b, x, et_linear_layer_forward(b->attn->out, attended)) : et_fail("transformer block");
}

et_tensor *et_transformer_block_forward(const et_transformer_block *b, et_tensor *x, const et_mha_call *call)
{
    if (!b || !x)
        return et_fail("transformer block");
    /* What no backward rule will read goes when the block has been passed. */
    et_scope *inner = et_scope_open();
    if (!inner)
        return NULL;
    et_tensor *a = b->config.post_norm ? x : et_layer_norm_layer_forward(b->ln1, x);
    et_tensor *attended = et_mha_forward(b->attn, a, NULL, call);
    x = finish(b, x, a == x ? attended : et_scope_after(a, attended));
    if (call && call->weights && *call->weights)
        *call->weights = et_scope_return(inner, *call->weights);
    x = et_scope_return(inner, x);
    et_scope_close(inner);
    return x ? x : et_fail(b->module.path);
}

/* True if x has tokens and n of them in front; else an error that names m. */
static bool has_front(const et_module *m, const et_tensor *x, int64_t n)
{
    char text[ET_SHAPE_TEXT];

    if (x->ndim == 3 && n >= 1 && n <= x->shape[1])
        return true;
    et_raise(ET_EINVAL, "%s %s: the first %" PRId64 " tokens of %s", m->kind, m->path, n,
             et_shape_text(text, x->ndim, x->shape));
    return false;
}

/* Sets *front to the part of a mask for the n tokens in front of x, NULL for no mask; false if it has neither
 * one row nor one for each token. */
static bool mask_front(const et_transformer_block *b, et_tensor *mask, const et_tensor *x, int64_t n,
                       et_tensor **front)
{
    const int queries = mask ? mask->ndim - 2 : -1;
    char text[ET_SHAPE_TEXT];

    *front = mask;
    if (queries < 0 || mask->shape[queries] == 1)
        return true;
    if (mask->shape[queries] == x->shape[1])
        return (*front = et_slice(mask, queries, 0, n, 1)) != NULL;
    et_raise(ET_ESHAPE, "transformer block %s: the mask is %s, which does not fit %" PRId64 " tokens",
             b->module.path, et_shape_text(text, mask->ndim, mask->shape), x->shape[1]);
    return false;
}

/* False where computing n tokens of x alone would save nothing or cannot be done: fused projections make
 * queries, keys and values of the same tokens. */
static bool cuts(const et_transformer_block *b, const et_tensor *x, int64_t n)
{
    return n < x->shape[1] && !b->config.fused;
}

et_tensor *et_transformer_block_front(const et_transformer_block *b, et_tensor *x, et_tensor *mask, int64_t n)
{
    et_mha_call call = {.mask = mask};

    if (!b || !x)
        return et_fail("transformer block");
    if (!has_front(&b->module, x, n))
        return NULL;
    et_scope *inner = et_scope_open();
    if (!inner)
        return NULL;
    et_tensor *a = NULL, *y = NULL;
    if (!cuts(b, x, n)) {
        y = et_transformer_block_forward(b, x, &call);
        y = n < x->shape[1] ? et_slice(y, 1, 0, n, 1) : y;
    } else if (mask_front(b, mask, x, n, &call.mask)) {
        a = b->config.post_norm ? x : et_layer_norm_layer_forward(b->ln1, x);
        y = finish(b, et_slice(x, 1, 0, n, 1), et_mha_forward(b->attn, et_slice(a, 1, 0, n, 1), a, &call));
    }
    y = et_scope_return(inner, y);
    et_scope_close(inner);
    return y ? y : et_fail(b->module.path);
}

static void release(et_module *m) { et_dealloc(((et_transformer *)m)->blocks); }

et_transformer *et_transformer_new(et_module *parent, const char *name, int layers,
                                   const et_transformer_config *config, et_rng *rng)
{
    char block[16];

    if (et_error_status())
        return NULL;
    if (layers < 1 || !config) {
        et_raise(ET_EINVAL, "transformer %s: %d blocks, or no configuration", name ? name : "", layers);
        return NULL;
    }
    et_transformer *t = et_module_new(sizeof *t, "Transformer", parent, name);
    if (!t)
        return NULL;
    t->module.release = release;
    t->layers = layers;
    t->blocks = et_alloc_zero((size_t)layers, sizeof(et_transformer_block *));
    for (int i = 0; t->blocks && i < layers; i++) {
        et_transformer_config c = *config;
        c.drop_path = layers > 1 ? config->drop_path * i / (layers - 1) : config->drop_path;
        snprintf(block, sizeof block, "%d", i);
        t->blocks[i] = et_transformer_block_new(&t->module, block, &c, rng);
    }
    return et_module_done(&t->module);
}

/* A block that is computed again in backward: in[0] is x, in[1] (or none) the mask. */
static et_tensor *again(et_tensor *const *in, int n, void *block)
{
    return et_transformer_block_forward(block, in[0], &(et_mha_call){.mask = n > 1 ? in[1] : NULL});
}

/* A mask of bytes as real numbers to be added: 0 or -inf. */
static et_tensor *added(et_tensor *mask, et_dtype dtype)
{
    return mask->dtype == ET_U8 ? et_where(mask, et_scalar(dtype, 0), et_scalar(dtype, -INFINITY)) : mask;
}

/* x through blocks first .. end - 1. */
static et_tensor *through(const et_transformer *t, int first, int end, et_tensor *x, et_tensor *mask,
                          et_tensor **hidden)
{
    const et_mha_call call = {.mask = mask};

    if (!t || !x)
        return et_fail("transformer");
    if (first < 0 || first > t->layers) {
        et_raise(ET_EINVAL, "transformer %s: cannot begin at block %d of %d", t->module.path, first,
                 t->layers);
        return NULL;
    }
    et_tensor *in[2] = {x, t->checkpoint && mask ? added(mask, x->dtype) : NULL};
    for (int i = first; i < end; i++) {
        et_transformer_block *b = t->blocks[i];
        in[0] = x;
        const bool compute_again = t->checkpoint && i < t->layers - t->kept && b->module.training && !b->rng;
        x = compute_again ? et_checkpoint(again, in, mask ? 2 : 1, b)
                          : et_transformer_block_forward(b, x, &call);
        if (hidden)
            hidden[i] = x;
        else if (i > first)
            et_scope_after(in[0], x);
    }
    return x;
}

et_tensor *et_transformer_forward_from(const et_transformer *t, int first, et_tensor *x, et_tensor *mask,
                                       et_tensor **hidden)
{
    for (int i = 0; hidden && t && i < t->layers; i++)
        hidden[i] = NULL;
    return through(t, first, t ? t->layers : 0, x, mask, hidden);
}

et_tensor *et_transformer_forward_front(const et_transformer *t, int first, et_tensor *x, et_tensor *mask,
                                        int64_t n)
{
    if (!t || !x)
        return et_fail("transformer");
    if (!has_front(&t->module, x, n))
        return NULL;
    et_transformer_block *last = t->blocks[t->layers - 1];
    const bool cut = first < t->layers && cuts(last, x, n);
    et_tensor *y = through(t, first, cut ? t->layers - 1 : t->layers, x, mask, NULL);

    if (!y || (!cut && n == x->shape[1]))
        return y;
    return cut ? et_scope_after(y == x ? NULL : y, et_transformer_block_front(last, y, mask, n))
               : et_slice(y, 1, 0, n, 1);
}

et_tensor *et_transformer_forward(const et_transformer *t, et_tensor *x, et_tensor *mask, et_tensor **weights)
{
    if (!t || !weights)
        return et_transformer_forward_from(t, 0, x, mask, NULL);
    for (int i = 0; i < t->layers; i++) {
        et_mha_call call = {.mask = mask, .weights = &weights[i]};
        x = et_transformer_block_forward(t->blocks[i], x, &call);
    }
    return x;
}

et_status et_transformer_train_last(et_transformer *t, int n)
{
    et_status status = ET_OK;

    if (!t || n < 0)
        return et_raise(ET_EINVAL, "transformer: %d blocks are to be trained, or there is no transformer", n);
    for (int i = 0; i < t->layers && !status; i++) {
        const bool frozen = i < t->layers - n;
        et_module_hold_eval(&t->blocks[i]->module, frozen);
        status = frozen ? et_module_freeze(&t->blocks[i]->module, NULL)
                        : et_module_unfreeze(&t->blocks[i]->module, NULL);
    }
    return status;
}
