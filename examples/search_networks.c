/* The rows of search_model.h: two towers, and what they are compared with, a classifier of tags. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/search_model.h"
#include "models/two_tower.h"

/* --- two towers ------------------------------------------------------------------------------------ */

static int choice(const char *const *words, const char *w)
{
    int i = 0;

    while (strcmp(words[i], w) != 0)
        i++;
    return i;
}

/* In the order of the library's enumerations. */
static const char *const heads[] = {"linear", "mlp", "skip-mlp"};
static const char *const losses[] = {"clip", "mulan", "decoupled", "sigmoid"};
static const char *const poolings[] = {"cls", "pooler", "mean", "max"};

et_bert_config search_text_tower(bool base, int64_t vocabulary, int64_t tokens)
{
    et_bert_config c = base ? et_bert_base() : et_two_tower_small().text;

    c.vocabulary = vocabulary;
    if (!base) { /* 2 layers of width 128 learn in minutes on one core */
        c.positions = tokens;
        c.width = 128;
        c.hidden = 256;
        c.heads = 4;
        c.dropout = c.attention_dropout = 0.1;
    }
    return c;
}

/* Towers that learn in minutes on one core: 2 and 3 layers of width 128. */
static et_two_tower_config small_towers(const search_sizes *s)
{
    et_two_tower_config c = et_two_tower_small();

    c.text = search_text_tower(false, s->vocabulary, s->tokens);
    c.audio.width = 128;
    c.audio.hidden = 256;
    c.audio.heads = 4;
    c.audio.layers = 3;
    c.audio.dropout = c.audio.attention_dropout = 0.1;
    c.audio.patch_bands = c.audio.step_bands = s->input.bins; /* a token hears all bands at once */
    c.audio.patch_frames = c.audio.step_frames = 8;
    return c;
}

/* Towers of the size that the options name, for these inputs. */
static et_two_tower_config towers(const et_cli *cli, const search_sizes *s)
{
    const bool task = s->input.front_end[0] == '\0', base = strcmp(et_cli_text(cli, "size"), "base") == 0;
    et_two_tower_config c = base ? et_two_tower_base() : task ? et_two_tower_small() : small_towers(s);

    c.text.vocabulary = s->vocabulary;
    if (!base)
        c.text.positions = s->tokens;
    c.audio.frames = s->input.frames;
    c.audio.bands = s->input.bins;
    if (base && task) { /* 64 x 16 take smaller patches */
        c.audio.patch_bands = c.audio.patch_frames = 8;
        c.audio.step_bands = 4;
        c.audio.step_frames = 8;
    }
    return c;
}

static int at_most(int64_t n, int layers) { return n > layers ? layers : (int)n; }

static et_module *make_two_tower(const et_cli *cli, const search_sizes *s, et_rng *rng)
{
    et_two_tower_config c = towers(cli, s);

    c.train_text = at_most(et_cli_int(cli, "train-text"), c.text.layers);
    c.train_audio = at_most(et_cli_int(cli, "train-audio"), c.audio.layers);
    c.extra_text = (int)et_cli_int(cli, "extra-text");
    c.extra_audio = (int)et_cli_int(cli, "extra-audio");
    c.attention_only = et_cli_flag(cli, "attention-only");
    c.pooling = (et_bert_pooling)choice(poolings, et_cli_text(cli, "pooling"));
    c.head = (et_projection_kind)choice(heads, et_cli_text(cli, "head"));
    c.embedding = et_cli_int(cli, "embedding");
    c.head_hidden = 4 * c.embedding;
    c.loss = (et_contrastive_form)choice(losses, et_cli_text(cli, "loss"));
    c.scale = strcmp(et_cli_text(cli, "scale"), "exp") == 0 ? ET_SCALE_EXP : ET_SCALE_DIVIDE;
    c.tau = et_cli_real(cli, "tau");
    c.checkpoint = et_cli_flag(cli, "checkpoint");
    et_two_tower *m = et_two_tower_new(NULL, NULL, &c, rng);
    return m ? &m->module : NULL;
}

/* A file of other shapes is the file's fault, not the program's. */
static et_status of_the_file(void)
{
    char why[512];

    if (et_error_status() != ET_ESHAPE)
        return et_error_status();
    snprintf(why, sizeof why, "%s", et_error_message());
    et_error_clear();
    return et_raise(ET_EFORMAT, "%s", why);
}

et_status search_load_text_tower(et_bert *text, const char *path)
{
    et_bert_load(text, path, NULL);
    return of_the_file();
}

static et_status start_two_tower(et_module *m, const et_cli *cli)
{
    const et_two_tower *t = (const et_two_tower *)m;
    const char *text = et_cli_text(cli, "text-weights"), *audio = et_cli_text(cli, "audio-weights");

    if (text && search_load_text_tower(t->text, text))
        return et_error_status();
    if (audio)
        et_ast_load(t->audio, audio, NULL);
    return of_the_file();
}

static const et_two_tower *two(const et_module *m) { return (const et_two_tower *)m; }
static int64_t two_width(const et_module *m) { return two(m)->config.embedding; }
static bool two_text_frozen(const et_module *m) { return et_two_tower_text_frozen(two(m)); }
static bool two_audio_frozen(const et_module *m) { return et_two_tower_audio_frozen(two(m)); }
static et_tensor *two_audio(et_module *m, et_tensor *x) { return et_two_tower_audio(two(m), x); }
static et_tensor *two_audio_base(et_module *m, et_tensor *x) { return et_two_tower_audio_base(two(m), x); }
static et_tensor *two_audio_rest(et_module *m, et_tensor *base)
{
    return et_two_tower_audio_rest(two(m), base);
}

static et_tensor *two_text(et_module *m, const search_texts *t)
{
    return et_two_tower_text(two(m), t->ids, t->mask);
}

static et_tensor *two_text_base(et_module *m, const search_texts *t)
{
    return et_two_tower_text_base(two(m), t->ids, t->mask);
}

static et_tensor *two_text_rest(et_module *m, et_tensor *base, const search_texts *t)
{
    return et_two_tower_text_rest(two(m), base, t->mask);
}

static et_tensor *two_loss(et_module *m, et_tensor *f, et_tensor *g, et_tensor *tags)
{
    (void)tags;
    return et_two_tower_loss(two(m), f, g);
}

const search_network search_two_tower = {
    .name = "two-tower",
    .front_end = "ast128",
    .make = make_two_tower,
    .start = start_two_tower,
    .width = two_width,
    .text = two_text,
    .audio = two_audio,
    .text_frozen = two_text_frozen,
    .audio_frozen = two_audio_frozen,
    .text_base = two_text_base,
    .text_rest = two_text_rest,
    .audio_base = two_audio_base,
    .audio_rest = two_audio_rest,
    .loss = two_loss,
};

/* --- tags -------------------------------------------------------------------------------------------- */

/* The audio tower of the former with a classifier of tags. A sound's vector are the logits of its tags; a
 * text's has 1/n at the n tags that it names, so that their product is the mean of these tags' logits. */
typedef struct tag_model {
    et_module module;
    et_ast *audio;
} tag_model;

static et_module *make_tags(const et_cli *cli, const search_sizes *s, et_rng *rng)
{
    et_two_tower_config c = towers(cli, s);

    if (s->tags < 1) {
        et_raise(ET_EINVAL, "--model tags: the data have no tags");
        return NULL;
    }
    tag_model *m = et_module_new(sizeof *m, "TagSearch", NULL, NULL);
    if (!m)
        return NULL;
    c.audio.classes = s->tags;
    /* the public name, by which --audio-weights knows a tower: pre-training is to tell tags */
    m->audio = et_ast_new(&m->module, "audio_spectrogram_transformer", &c.audio, rng);
    return et_module_done(&m->module);
}

static const tag_model *tagger(const et_module *m) { return (const tag_model *)m; }

static int64_t tag_width(const et_module *m) { return tagger(m)->audio->config.classes; }

static et_tensor *tag_audio(et_module *m, et_tensor *x)
{
    const et_ast *a = tagger(m)->audio;

    return et_ast_classify(a, et_ast_encode_pooled(a, 0, et_ast_embed(a, x)));
}

static et_tensor *tag_text(et_module *m, const search_texts *t)
{
    (void)m;
    et_tensor *n = et_clamp(et_sum(t->mentions, ET_DIMS(1), true), 1, INFINITY);
    return et_div(t->mentions, n);
}

static et_tensor *tag_loss(et_module *m, et_tensor *f, et_tensor *g, et_tensor *tags)
{
    (void)m;
    (void)f;
    return et_bce_with_logits(g, et_cast(tags, ET_F32), ET_REDUCE_MEAN);
}

const search_network search_tags = {
    .name = "tags", .front_end = "ast128", .make = make_tags, .width = tag_width, .text = tag_text,
    .audio = tag_audio, .loss = tag_loss};
