/* The sizes of the models whose answers are in fixtures/clap. Used inside Check tests. */
#ifndef ETUDE_TESTS_LITTLE_CLAP_H
#define ETUDE_TESTS_LITTLE_CLAP_H

#include <string.h>

#include "models/clap.h"

static inline et_bert_config little_text(bool roberta)
{
    return (et_bert_config){.vocabulary = 12, .width = 8, .hidden = 12, .layers = 2, .heads = 2,
                            .positions = 9, .types = roberta ? 1 : 2, .pooler = true, .roberta = roberta,
                            .pad = roberta, .eps = roberta ? 1e-5 : 1e-12};
}

/* base: those of the published models. */
static inline et_clap_config clap_config(const char *name, bool base)
{
    et_clap_config c = strcmp(name, "clap-htsat-base") == 0 ? et_clap_base()
                       : strcmp(name, "clap-microsoft") == 0 ? et_clap_microsoft() : et_clap_tiny();

    c.htsat.fusion = strcmp(name, "clap-fusion") == 0;
    c.audio = strstr(name, "htsat") || c.htsat.fusion ? ET_CLAP_HTSAT : ET_CLAP_CNN14;
    c.cnn14.classes = 0;
    if (!base) {
        c.text = little_text(!c.microsoft);
        c.joint = 6;
        c.htsat.bands = 16;
        c.htsat.image = 32;
        c.htsat.patch = 2;
        c.htsat.window = 4;
        c.htsat.width = 8;
        c.htsat.stages = 2;
        c.htsat.depths[0] = c.htsat.depths[1] = c.htsat.heads[0] = 2;
        c.htsat.heads[1] = 4;
        c.cnn14 = (et_cnn14_config){.bands = 7, .blocks = 2, .widths = {4, 6}, .embedding = 10};
    }
    c.text.dropout = c.text.attention_dropout = c.cnn14.dropout = c.dropout = c.htsat.drop_path = 0;
    return c;
}

#endif
