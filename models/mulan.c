/* MuLan: see mulan.h. */
#include "config.h"

#include <math.h>

#include "models/mulan.h"

static et_mulan_config base(et_mulan_audio_kind audio)
{
    return (et_mulan_config){.audio = audio, .resnet = et_resnet_50(1, 0), .ast = et_ast_base(),
                             .text = et_bert_base(), .latent = 128, .loss = ET_CONTRASTIVE_MULAN,
                             .temperature = 0.07, .limit = 100};
}

et_mulan_config et_mulan_resnet50(void) { return base(ET_MULAN_RESNET); }
et_mulan_config et_mulan_ast(void) { return base(ET_MULAN_AST); }

et_mulan_config et_mulan_small(void)
{
    et_mulan_config c = base(ET_MULAN_RESNET);

    c.resnet = (et_resnet_config){.channels = 1, .width = 8, .blocks = {1, 1, 1, 1}};
    c.text = (et_bert_config){.vocabulary = 32, .width = 32, .hidden = 64, .layers = 2, .heads = 2,
                              .positions = 14, .types = 2, .pooler = true, .eps = 1e-12, .plain_init = true};
    c.latent = 16;
    return c;
}

et_mulan *et_mulan_new(et_module *parent, const char *name, const et_mulan_config *config, et_rng *rng)
{
    const et_mulan_config *c = config;

    if (et_error_status())
        return NULL;
    if (!c || c->latent < 1 || !(c->temperature > 0) || !(c->limit > 0)) {
        et_raise(ET_EINVAL,
                 "mulan%s%s: no configuration, or a width, temperature or limit that is not positive",
                 name ? " " : "", name ? name : "");
        return NULL;
    }
    et_mulan *m = et_module_new(sizeof *m, "MuLan", parent, name);
    if (!m)
        return NULL;
    m->config = *c;
    int64_t width = c->ast.width;
    if (c->audio == ET_MULAN_RESNET) {
        m->resnet = et_resnet_new(&m->module, "audio", &c->resnet, rng);
        width = c->resnet.classes ? c->resnet.classes : et_resnet_width(&c->resnet);
    } else {
        m->ast = et_ast_new(&m->module, "audio", &c->ast, rng);
    }
    m->text = et_bert_new(&m->module, "text", &c->text, rng);
    m->audio_projection = et_linear_layer_new(&m->module, "audio_projection", width, c->latent, true, rng);
    m->text_projection = et_linear_layer_new(&m->module, "text_projection", c->text.width, c->latent,
                                             true, rng);
    m->logit_scale = et_module_param(&m->module, "logit_scale", 0, NULL);
    if (m->logit_scale)
        et_fill(m->logit_scale, -log(c->temperature));
    return et_module_done(&m->module);
}

et_tensor *et_mulan_audio(const et_mulan *m, et_tensor *x)
{
    if (!m || !x)
        return et_fail("mulan");
    et_tensor *y = m->resnet ? et_resnet_forward(m->resnet, et_unsqueeze(x, 1))
                             : et_ast_encode_pooled(m->ast, 0, et_ast_embed(m->ast, x));
    y = et_l2_normalize(et_linear_layer_forward(m->audio_projection, y), 1e-12); /* unit(W_a A(x) + b_a) */
    return y ? y : et_fail("mulan");
}

et_tensor *et_mulan_text(const et_mulan *m, et_tensor *ids, et_tensor *mask)
{
    if (!m || !ids)
        return et_fail("mulan");
    /* unit(W_t BERT(ids)[CLS] + b_t) */
    et_tensor *y = et_bert_encode_pooled(m->text, 0, et_bert_embed(m->text, ids, NULL), mask, ET_BERT_CLS);
    y = et_l2_normalize(et_linear_layer_forward(m->text_projection, y), 1e-12);
    return y ? y : et_fail("mulan");
}

et_tensor *et_mulan_pair_loss(const et_mulan *m, et_tensor *f, et_tensor *g)
{
    if (!m || !f || !g)
        return et_fail("mulan");
    et_tensor *loss = et_contrastive_loss_learned(m->config.loss, m->logit_scale, m->config.limit, f, g);
    return loss ? loss : et_fail("mulan");
}
