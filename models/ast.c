/* AST: see ast.h. Shapes: x [B, T, F], image [B, 1, F, T], tokens [B, special + N, d]. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "models/ast.h"
#include "nn/init.h"
#include "tensor/safetensors.h"

/* d of 64 for each head. */
static et_ast_config sized(int heads)
{
    return (et_ast_config){.bands = 128, .frames = 1024, .patch_bands = 16, .patch_frames = 16,
                           .step_bands = 10, .step_frames = 10, .width = 64 * heads, .hidden = 256 * heads,
                           .layers = 12, .heads = heads, .eps = 1e-12};
}

et_ast_config et_ast_base(void) { return sized(12); }
et_ast_config et_ast_small(void) { return sized(6); }
et_ast_config et_ast_tiny(void) { return sized(3); }

et_status et_ast_named(const char *name, et_ast_config *config)
{
    static const struct { const char *name; int heads; } all[] = {{"ast-base", 12}, {"ast-small", 6},
                                                                  {"ast-tiny", 3}};

    for (size_t i = 0; name && config && i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) {
            *config = sized(all[i].heads);
            return ET_OK;
        }
    return et_raise(ET_EINVAL, "ast: no configuration \"%s\"; there are ast-base, ast-small and ast-tiny",
                    name ? name : "(null)");
}

/* E, b, E_pos and the tokens in front. */
static void make_embeddings(et_ast *m)
{
    const et_ast_config *c = &m->config;

    m->embeddings = et_module_new(sizeof *m->embeddings, "Embeddings", &m->module, "embeddings");
    if (!m->embeddings)
        return;
    m->cls = et_module_param(m->embeddings, "cls_token", ET_SHAPE(1, 1, c->width));
    if (!c->single)
        m->dist = et_module_param(m->embeddings, "distillation_token", ET_SHAPE(1, 1, c->width));
    m->position = et_module_param(m->embeddings, "position_embeddings",
                                  ET_SHAPE(1, m->special + m->rows * m->cols, c->width));
    et_module *patch = et_module_new(sizeof *patch, "PatchEmbedding", m->embeddings,
                                     "patch_embeddings.projection");
    if (patch) {
        m->patch_weight = et_module_param(patch, "weight",
                                          ET_SHAPE(c->width, 1, c->patch_bands, c->patch_frames));
        m->patch_bias = et_module_param(patch, "bias", ET_SHAPE(c->width));
    }
}

et_ast *et_ast_new(et_module *parent, const char *name, const et_ast_config *config, et_rng *rng)
{
    const et_ast_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->patch_bands < 1 || c->patch_frames < 1 || c->step_bands < 1 || c->step_frames < 1 ||
        c->bands < c->patch_bands || c->frames < c->patch_frames || c->width < 1 || c->layers < 1 ||
        c->classes < 0 || !(c->dropout >= 0 && c->dropout < 1)) {
        et_raise(ET_EINVAL, "ast%s%s: %s", name ? " " : "", name ? name : "",
                 c ? "a size is below 1, the spectrogram smaller than a patch, or the dropout not in [0, 1)"
                   : "no configuration");
        return NULL;
    }
    et_ast *m = et_module_new(sizeof *m, "AST", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    m->rows = (c->bands - c->patch_bands) / c->step_bands + 1;
    m->cols = (c->frames - c->patch_frames) / c->step_frames + 1;
    m->special = c->single ? 1 : 2;
    et_module_note(&m->module, "%" PRId64 " x %" PRId64 " patches", m->rows, m->cols);
    make_embeddings(m);
    m->encoder = et_transformer_new(&m->module, "encoder.layer", c->layers,
                                    &(et_transformer_config){.width = c->width,
                                                             .heads = c->heads,
                                                             .hidden = c->hidden,
                                                             .act = ET_ACT_GELU,
                                                             .eps = c->eps,
                                                             .attention_dropout = c->attention_dropout,
                                                             .out_dropout = c->dropout,
                                                             .mlp_dropout = c->dropout,
                                                             .names = &et_transformer_names_vit},
                                    rng);
    m->norm = et_layer_norm_layer_new(&m->module, "layernorm", c->width, c->eps);
    if (c->classes) {
        m->class_norm = et_layer_norm_layer_new(&m->module, "classifier.layernorm", c->width, c->eps);
        m->classifier = et_linear_layer_new(&m->module, "classifier.dense", c->width, c->classes, true, rng);
    }
    if (!et_error_status())
        et_init_module_normal(&m->module, 0.02, 0.04, rng);
    return et_module_done(&m->module);
}

void et_ast_set_rng(et_ast *m, et_rng *rng)
{
    m->rng = rng;
    for (int i = 0; i < m->encoder->layers; i++)
        et_transformer_block_set_rng(m->encoder->blocks[i], rng);
}

et_tensor *et_ast_embed(const et_ast *m, et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !x)
        return et_fail("ast");
    const et_ast_config *c = &m->config;
    if (x->ndim != 3 || x->shape[1] != c->frames || x->shape[2] != c->bands) {
        et_raise(ET_ESHAPE, "ast: spectrograms are %s, expected [B, %" PRId64 ", %" PRId64 "]",
                 et_shape_text(text, x->ndim, x->shape), c->frames, c->bands);
        return NULL;
    }
    const int64_t B = x->shape[0], d = c->width;
    /* The image is [B, 1, F, T]; a patch times the kernel as a matrix is the convolution. */
    et_tensor *image = et_unsqueeze(et_permute(x, ET_DIMS(0, 2, 1)), 1);
    et_tensor *patches = et_patches(image, c->patch_bands, c->patch_frames, c->step_bands, c->step_frames);
    et_tensor *kernel = et_view(m->patch_weight, ET_SHAPE(d, c->patch_bands * c->patch_frames));
    et_tensor *z[3] = {et_expand(m->cls, ET_SHAPE(B, 1, d)), m->dist ? et_expand(m->dist, ET_SHAPE(B, 1, d))
                                                                     : NULL};
    z[m->special] = et_linear(patches, kernel, m->patch_bias);
    /* z_0 = [cls; dist; x_p E + b] + E_pos */
    et_tensor *y = et_add(et_concat(m->special + 1, z, 1), m->position);
    y = et_dropout(y, c->dropout, m->embeddings->training, m->rng);
    return y ? y : et_fail("ast");
}

et_tensor *et_ast_encode(const et_ast *m, int first, et_tensor *x, et_tensor **hidden)
{
    for (int i = 0; hidden && m && i <= m->config.layers; i++)
        hidden[i] = NULL;
    if (!m || !x)
        return et_fail("ast");
    et_tensor *y = et_transformer_forward_from(m->encoder, first, x, NULL, hidden ? hidden + 1 : NULL);
    if (hidden && y)
        hidden[first] = x;
    y = et_layer_norm_layer_forward(m->norm, y); /* y = LN(z_L) */
    return y ? y : et_fail("ast");
}

et_tensor *et_ast_forward(const et_ast *m, et_tensor *x, et_tensor **hidden)
{
    return et_ast_encode(m, 0, et_ast_embed(m, x), hidden);
}

et_tensor *et_ast_pool(const et_ast *m, et_tensor *y)
{
    char text[ET_SHAPE_TEXT];

    if (!m || !y)
        return et_fail("ast");
    if (y->ndim != 3 || y->shape[1] < m->special || y->shape[2] != m->config.width) {
        et_raise(ET_ESHAPE, "ast: hidden states are %s, expected [B, %d or more, %" PRId64 "]",
                 et_shape_text(text, y->ndim, y->shape), m->special, m->config.width);
        return NULL;
    }
    /* (y_0 + y_1) / 2, or y_0 */
    y = m->dist ? et_mean(et_slice(y, 1, 0, 2, 1), ET_DIMS(1), false) : et_select(y, 1, 0);
    return y ? y : et_fail("ast");
}

et_tensor *et_ast_encode_pooled(const et_ast *m, int first, et_tensor *x)
{
    if (!m || !x)
        return et_fail("ast");
    et_tensor *y = et_transformer_forward_front(m->encoder, first, x, NULL, m->special);
    return et_ast_pool(m, et_layer_norm_layer_forward(m->norm, y)); /* of y = LN(z_L) */
}

et_tensor *et_ast_classify(const et_ast *m, et_tensor *pooled)
{
    if (!m || !pooled)
        return et_fail("ast");
    if (!m->classifier) {
        et_raise(ET_EINVAL, "ast: this model has no classifier");
        return NULL;
    }
    /* W LN(pooled) + b */
    et_tensor *y = et_linear_layer_forward(m->classifier, et_layer_norm_layer_forward(m->class_norm, pooled));
    return y ? y : et_fail("ast");
}

et_status et_ast_train_last(et_ast *m, int n)
{
    if (!m)
        return et_raise(ET_EINVAL, "ast: no model");
    et_status status = et_transformer_train_last(m->encoder, n);
    if (status)
        return status;
    et_module_hold_eval(m->embeddings, true);
    status = et_module_freeze(m->embeddings, NULL);
    if (status)
        return status;
    return n > 0 ? et_module_unfreeze(&m->norm->module, NULL) : et_module_freeze(&m->norm->module, NULL);
}

/* --- files --------------------------------------------------------------------------------- */

/* The position table of a file [1, special + rows old, d] for m's grid. */
static et_tensor *fitted(const et_ast *m, et_tensor *table)
{
    const int64_t d = m->config.width, s = m->special, N = table->shape[1];
    et_tensor *grid = et_view(et_slice(table, 1, s, N, 1), ET_SHAPE(m->rows, (N - s) / m->rows, d));

    grid = et_reshape(et_fit_positions(grid, m->rows, m->cols), ET_SHAPE(1, m->rows * m->cols, d));
    return et_concat(2, (et_tensor *const[]){et_slice(table, 1, 0, s, 1), grid}, 1);
}

/* Reads the position table called `name` in the file and adapts it. */
static et_tensor *adapted(const et_ast *m, const char *path, const char *name)
{
    et_safetensors *file = et_safetensors_open(path);
    const et_safetensors_entry *e = file ? et_safetensors_find(file, name) : NULL;
    et_tensor *table = NULL;

    /* what does not have m's width and a grid of m's rows stays misshaped */
    if (e && e->ndim == 3 && e->shape[0] == 1 && e->shape[2] == m->config.width && e->shape[1] > m->special &&
        (e->shape[1] - m->special) % m->rows == 0 && (table = et_empty(ET_F32, e->ndim, e->shape)) &&
        et_safetensors_load_into(file, name, table))
        table = NULL;
    et_safetensors_close(file);
    return table ? fitted(m, table) : NULL;
}

et_status et_ast_load(et_ast *m, const char *path, et_load_report *report)
{
    static const et_rename names[] = {
        {"v.cls_token", "embeddings.cls_token"},
        {"v.dist_token", "embeddings.distillation_token"},
        {"v.pos_embed", "embeddings.position_embeddings"},
        {"v.patch_embed.proj", "embeddings.patch_embeddings.projection"},
        {"v.blocks", "encoder.layer"},
        {"v.norm", "layernorm"},
        {"mlp_head.0", "classifier.layernorm"},
        {"mlp_head.1", "classifier.dense"},
        {"norm1", "layernorm_before"},
        {"norm2", "layernorm_after"},
        {"attn.qkv", "attention.attention.qkv"},
        {"attn.proj", "attention.output.dense"},
        {"mlp.fc1", "intermediate.dense"},
        {"mlp.fc2", "output.dense"},
        {NULL, NULL},
    };
    static const char *const may[] = {"v.head", "v.head_dist", "classifier", NULL},
                      *const optional[] = {"classifier", NULL},
                      *const position[] = {"embeddings.position_embeddings", NULL};
    et_load_options o = {.rewrite = true, .prefix = "audio_spectrogram_transformer.", .renames = names,
                         .pass_over = may, .optional = optional, .compare = true};
    et_load_report found = {0};
    et_tensor *table = NULL;

    if (report)
        *report = found;
    if (!m || et_error_status())
        return m ? et_fail_status("ast") : et_raise(ET_EINVAL, "ast: no model");
    et_scope *inner = et_scope_open();
    if (!inner)
        return et_error_status();
    et_status status = et_module_load(&m->module, path, &o, &found);
    if (!status && found.misshaped.n == 1 && strstr(found.misshaped.items[0], "pos"))
        table = adapted(m, path, found.misshaped.items[0]);
    et_load_report_free(&found);
    status = et_error_status();
    o.keep = table ? position : NULL;
    o.compare = false;
    if (!status)
        status = et_module_load(&m->module, path, &o, report);
    if (!status && table)
        status = et_copy_into(m->position, table);
    et_scope_close(inner);
    return status;
}
