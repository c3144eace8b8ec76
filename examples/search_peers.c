/* Two rows of search_model.h: CLAP and MuLan, which the two towers are measured against. What is learned
 * besides the towers and their heads is the scale of the similarities; losses are the papers' own. */
#include "config.h"

#include <string.h>

#include "examples/search_model.h"
#include "models/clap.h"
#include "models/mulan.h"

/* BERT-base; for S-XM its 2 layers of width 32, else 2 of width 128. */
static et_bert_config text_tower(const et_cli *cli, const search_sizes *s, et_bert_config small)
{
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;
    et_bert_config c = base ? et_bert_base() : small;

    if (!base && s->input.front_end[0]) {
        c.width = 128;
        c.hidden = 256;
        c.heads = 4;
        c.dropout = c.attention_dropout = 0.1;
    }
    if (!base)
        c.positions = s->tokens;
    c.vocabulary = s->vocabulary;
    return c;
}

static et_status start_text(et_bert *text, const et_cli *cli)
{
    const char *weights = et_cli_text(cli, "text-weights");

    return weights ? et_bert_load(text, weights, NULL) : ET_OK;
}

/* --- CLAP -------------------------------------------------------------------------------------------- */

/* HTS-AT where the spectrogram fits its image, else CNN14;
 * small: S-XM's three convolution blocks, for sounds a fourth. */
static et_module *make_clap(const et_cli *cli, const search_sizes *s, et_rng *rng)
{
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;
    et_clap_config c = base ? et_clap_tiny() : et_clap_small();

    c.text = text_tower(cli, s, c.text);
    c.joint = et_cli_int(cli, "embedding");
    c.cnn14.bands = s->input.bins;
    if (base && (c.htsat.image % s->input.bins ||
                 s->input.frames > c.htsat.image * (c.htsat.image / s->input.bins)))
        c.audio = ET_CLAP_CNN14;
    c.htsat.bands = s->input.bins;
    if (!base && s->input.front_end[0]) {
        c.cnn14 = (et_cnn14_config){.bands = s->input.bins, .blocks = 4, .widths = {8, 16, 32, 64},
                                    .embedding = 128, .dropout = 0.1};
    }
    et_clap *m = et_clap_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

static et_status start_clap(et_module *m, const et_cli *cli)
{
    return start_text(((const et_clap *)m)->text, cli);
}
static int64_t clap_width(const et_module *m) { return ((const et_clap *)m)->config.joint; }
static et_tensor *clap_audio(et_module *m, et_tensor *x)
{
    return et_clap_audio((const et_clap *)m, x, NULL);
}

static et_tensor *clap_text(et_module *m, const search_texts *t)
{
    return et_clap_text((const et_clap *)m, t->ids, t->mask);
}

static et_tensor *clap_loss(et_module *m, et_tensor *f, et_tensor *g, et_tensor *tags)
{
    (void)tags;
    return et_clap_pair_loss((const et_clap *)m, f, g);
}

const search_network search_clap = {.name = "clap", .front_end = "laion64", .make = make_clap,
                                    .start = start_clap, .width = clap_width, .text = clap_text,
                                    .audio = clap_audio, .loss = clap_loss};

/* --- MuLan ------------------------------------------------------------------------------------------- */

static et_module *make_mulan(const et_cli *cli, const search_sizes *s, et_rng *rng)
{
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;
    et_mulan_config c = base ? et_mulan_resnet50() : et_mulan_small();

    c.text = text_tower(cli, s, c.text);
    c.latent = et_cli_int(cli, "embedding");
    if (!base && s->input.front_end[0])
        c.resnet.width = 16;
    et_mulan *m = et_mulan_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

static et_status start_mulan(et_module *m, const et_cli *cli)
{
    return start_text(((const et_mulan *)m)->text, cli);
}
static int64_t mulan_width(const et_module *m) { return ((const et_mulan *)m)->config.latent; }
static et_tensor *mulan_audio(et_module *m, et_tensor *x) { return et_mulan_audio((const et_mulan *)m, x); }

static et_tensor *mulan_text(et_module *m, const search_texts *t)
{
    return et_mulan_text((const et_mulan *)m, t->ids, t->mask);
}

static et_tensor *mulan_loss(et_module *m, et_tensor *f, et_tensor *g, et_tensor *tags)
{
    (void)tags;
    return et_mulan_pair_loss((const et_mulan *)m, f, g);
}

const search_network search_mulan = {.name = "mulan", .front_end = "ast128", .make = make_mulan,
                                     .start = start_mulan, .width = mulan_width, .text = mulan_text,
                                     .audio = mulan_audio, .loss = mulan_loss};
