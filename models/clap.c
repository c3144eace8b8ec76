/* CLAP: see clap.h. */
#include "config.h"

#include <math.h>

#include "models/clap.h"

#define FIRST_SCALE (1 / 0.07)

static et_clap_config laion(et_htsat_config htsat)
{
    return (et_clap_config){.audio = ET_CLAP_HTSAT, .htsat = htsat, .cnn14 = et_cnn14_base(),
                            .text = et_roberta_base(), .joint = 512, .loss = ET_CONTRASTIVE_CLIP,
                            .limit = 100};
}

et_clap_config et_clap_tiny(void) { return laion(et_htsat_tiny()); }
et_clap_config et_clap_base(void) { return laion(et_htsat_base()); }

void et_clap_complete(et_clap_config *c)
{
    c->htsat.classes = c->cnn14.classes = 527;
    c->transforms = true;
}

et_clap_config et_clap_microsoft(void)
{
    et_clap_config c = laion(et_htsat_tiny());

    c.audio = ET_CLAP_CNN14;
    c.text = et_bert_base();
    c.microsoft = true;
    c.joint = 1024;
    c.dropout = 0.5;
    return c;
}

et_clap_config et_clap_small(void)
{
    et_clap_config c = laion(et_htsat_tiny());

    c.audio = ET_CLAP_CNN14;
    c.cnn14 = (et_cnn14_config){.bands = 16, .blocks = 3, .widths = {8, 16, 32}, .embedding = 64,
                                .classes = 8};
    c.text = (et_bert_config){.vocabulary = 32, .width = 32, .hidden = 64, .layers = 2, .heads = 2,
                              .positions = 14, .types = 2, .pooler = true, .eps = 1e-12, .plain_init = true};
    c.joint = 32;
    c.one_scale = true;
    return c;
}

static et_tensor *scale_new(et_module *m, const char *name)
{
    et_tensor *t = et_module_param(m, name, 0, NULL);

    if (t)
        et_fill(t, log(FIRST_SCALE));
    return t;
}

static void transform_new(et_module *m, const char *name, int64_t width, et_rng *rng)
{
    et_module *t = et_module_new(sizeof *t, "Transform", m, name);

    et_linear_layer_new(t, "sequential.0", width, width, true, rng);
    et_linear_layer_new(t, "sequential.3", width, width, true, rng);
}

et_clap *et_clap_new(et_module *parent, const char *name, const et_clap_config *config, et_rng *rng)
{
    const et_clap_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->joint < 1 || !(c->limit > 0) || (!c->microsoft && !c->text.pooler)) {
        et_raise(ET_EINVAL,
                 "clap%s%s: no configuration, a width or limit that is not positive, or a text tower without "
                 "a pooler", name ? " " : "", name ? name : "");
        return NULL;
    }
    et_clap *m = et_module_new(sizeof *m, "CLAP", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    const bool ms = c->microsoft;
    const char *tower = ms ? "audio_encoder.base" : "audio_model.audio_encoder";
    m->text = et_bert_new(&m->module, ms ? "caption_encoder.base" : "text_model", &c->text, rng);
    if (c->audio == ET_CLAP_HTSAT)
        m->htsat = et_htsat_new(&m->module, tower, &c->htsat, rng);
    else
        m->cnn14 = et_cnn14_new(&m->module, tower, &c->cnn14, rng);
    et_projection_config head = {.kind = ms ? ET_PROJECTION_SKIP : ET_PROJECTION_MLP, .in = c->text.width,
                                 .out = c->joint, .hidden = c->joint, .relu = true, .no_bias = ms,
                                 .dropout = ms ? c->dropout : 0, .norm_name = "layer_norm"};
    m->text_head = et_projection_new(&m->module, ms ? "caption_encoder.projection" : "text_projection",
                                     &head, rng);
    head.in = m->htsat ? et_htsat_width(&c->htsat) : c->cnn14.embedding;
    m->audio_head = et_projection_new(&m->module, ms ? "audio_encoder.projection" : "audio_projection",
                                      &head, rng);
    m->scale = scale_new(&m->module, ms ? "logit_scale" : "logit_scale_a");
    if (!ms && !c->one_scale)
        m->other_scale = scale_new(&m->module, "logit_scale_t");
    if (!ms && c->transforms) {
        transform_new(&m->module, "text_transform", c->joint, rng);
        transform_new(&m->module, "audio_transform", c->joint, rng);
    }
    return et_module_done(&m->module);
}

et_tensor *et_clap_audio(const et_clap *m, et_tensor *x, et_tensor *longer)
{
    if (!m || !x)
        return et_fail("clap");
    if (longer && !m->htsat) {
        et_raise(ET_EINVAL, "clap: a tower without fusion takes no flags of longer sounds");
        return NULL;
    }
    et_tensor *y = m->htsat ? et_htsat_forward(m->htsat, x, longer) : et_cnn14_forward(m->cnn14, x);
    y = et_l2_normalize(et_projection_forward(m->audio_head, y), 1e-12); /* g = unit(head_a(sound)) */
    return y ? y : et_fail("clap");
}

et_tensor *et_clap_text(const et_clap *m, et_tensor *ids, et_tensor *mask)
{
    if (!m || !ids)
        return et_fail("clap");
    et_tensor *y = et_bert_encode_pooled(m->text, 0, et_bert_embed(m->text, ids, NULL), mask,
                                         m->config.microsoft ? ET_BERT_CLS : ET_BERT_POOLER);
    y = et_l2_normalize(et_projection_forward(m->text_head, y), 1e-12); /* f = unit(head_t(text)) */
    return y ? y : et_fail("clap");
}

et_tensor *et_clap_pair_loss(const et_clap *m, et_tensor *f, et_tensor *g)
{
    if (!m || !f || !g)
        return et_fail("clap");
    et_tensor *loss = et_contrastive_loss_learned(m->config.loss, m->scale, m->config.limit, f, g);
    return loss ? loss : et_fail("clap");
}

et_status et_clap_load(et_clap *m, const char *path, et_load_report *report)
{
    /* LAION's names as those of Hugging Face's conversion */
    static const et_rename names[] = {
        /* HTS-AT alone: CNN14 has a bn0 of its own */
        {"audio_branch.bn0", "audio_model.audio_encoder.batch_norm"},
        {"text_branch", "text_model"},
        {"audio_branch", "audio_model.audio_encoder"},
        {"text_projection.0", "text_projection.linear1"},
        {"text_projection.2", "text_projection.linear2"},
        {"audio_projection.0", "audio_projection.linear1"},
        {"audio_projection.2", "audio_projection.linear2"},
        {"norm1", "layernorm_before"},
        {"norm2", "layernorm_after"},
        {"attn.proj", "attention.output.dense"},
        {"attn", "attention.self"},
        {"mlp.fc1", "intermediate.dense"},
        {"mlp.fc2", "output.dense"},
        {NULL, NULL},
    };
    static const char *const may[] = {"audio_model.audio_encoder.spectrogram_extractor",
                                      "audio_model.audio_encoder.logmel_extractor",
                                      "audio_model.audio_encoder.tscam_conv",
                                      "audio_model.audio_encoder.head",
                                      "audio_model.audio_encoder.fc_audioset",
                                      "audio_encoder.base.spectrogram_extractor",
                                      "audio_encoder.base.logmel_extractor", "audio_encoder.base.fc_audioset",
                                      "text_transform", "audio_transform", NULL};
    et_load_options o = {.rewrite = true, .pass_over = may};

    if (!m)
        return et_raise(ET_EINVAL, "clap: no model");
    o.renames = m->htsat ? names : names + 1;
    return et_module_load(&m->module, path, &o, report);
}
