/* The models that music-search can train and ask: each is a row of functions. A model brings texts and sounds
 * to vectors whose inner product says how well they fit. */
#ifndef ETUDE_EXAMPLES_SEARCH_MODEL_H
#define ETUDE_EXAMPLES_SEARCH_MODEL_H

#include "autograd/ops.h"
#include "examples/common/runfolder.h"
#include "examples/search_data.h"
#include "models/bert.h"
#include "nn/module.h"

/* What a model is built for. */
typedef struct search_sizes {
    search_input input;         /* of sounds */
    int64_t vocabulary, tokens; /* of texts; the longest text, [CLS] and [SEP] counted */
    int64_t tags;               /* tags that texts may name */
} search_sizes;

/* A batch of n texts, each cut or filled up to the longest of them. */
typedef struct search_texts {
    et_tensor *ids;      /* int32 [n, T] */
    et_tensor *mask;     /* uint8 [n, T], 0 for padding */
    et_tensor *mentions; /* float32 [n, tags], 1 where the text names the tag; NULL without tags */
} search_texts;

typedef struct search_network {
    const char *name;      /* as --model takes it */
    const char *front_end; /* that its published size hears with */
    /* Under no parent; NULL on failure. cli: the options of train. */
    et_module *(*make)(const et_cli *cli, const search_sizes *sizes, et_rng *rng);
    /* Reads the weights of pre-trained towers that the options name; or NULL. */
    et_status (*start)(et_module *m, const et_cli *cli);
    int64_t (*width)(const et_module *m); /* of the vectors */
    /* Vectors [n, width], of unit length where the model says so. */
    et_tensor *(*text)(et_module *m, const search_texts *texts);
    et_tensor *(*audio)(et_module *m, et_tensor *x);
    /* The same in two steps, the first of which is always the same for the same input, so that training
     * computes it once (NULL: nothing is frozen). A base of texts is [n, T, ..] or [n, ..],
     * of sounds [n, ..]. */
    bool (*text_frozen)(const et_module *m), (*audio_frozen)(const et_module *m);
    et_tensor *(*text_base)(et_module *m, const search_texts *texts);
    et_tensor *(*text_rest)(et_module *m, et_tensor *base, const search_texts *texts);
    et_tensor *(*audio_base)(et_module *m, et_tensor *x);
    et_tensor *(*audio_rest)(et_module *m, et_tensor *base);
    /* The loss of n pairs of such vectors. tags: uint8 [n, tags] of the sounds, or NULL. */
    et_tensor *(*loss)(et_module *m, et_tensor *f, et_tensor *g, et_tensor *tags);
} search_network;

extern const search_network search_two_tower, search_clap, search_mulan, search_tags;

/* Their names for the option --model, and the one of that name (EINVAL for others). */
#define SEARCH_MODELS "two-tower|clap|mulan|tags"
const search_network *search_network_named(const char *name);

/* The text tower: BERT-base, or a small one for texts of `tokens` at most. */
et_bert_config search_text_tower(bool base, int64_t vocabulary, int64_t tokens);
/* Reads its weights (et_bert_load); EFORMAT for a file of other shapes. */
et_status search_load_text_tower(et_bert *text, const char *path);

typedef struct search_model {
    const search_network *network;
    et_module *root;
    search_sizes sizes;
    et_wordpiece *words;
    et_names tags;
    et_names genres; /* of the data that it learned from */
} search_model;

/* A new model as the options say; takes over `words`. The caller frees it. */
search_model *search_model_new(const et_cli *cli, const search_input *input, et_wordpiece *words,
                               const et_names *tags);
void search_model_free(search_model *m);

/* What building the model again takes:
 * the members "input", "tags" and "genres" of config.json, and vocab.txt. */
void search_model_describe(const search_model *m, et_json_writer *w);
et_status search_words_write(const et_wordpiece *words, et_run *run);
/* The vocabulary file that training reads: its own of a run that is gone on with, else --vocab's; or NULL. */
const char *search_words_given(const et_cli *cli, et_run *run);
/* EINVAL where --text-weights is given without --vocab. */
et_status search_check_weights(const et_cli *cli);
/* The trained model of a run, in evaluation mode. EFORMAT for a broken folder. */
search_model *search_model_open(const et_cli *cli, et_run *run);
/* The input that config.json tells of. */
et_status search_input_read(et_run *run, search_input *out);

/* A batch of texts, in the open scope. */
et_status search_texts_of(const search_model *m, int64_t n, const char *const *texts, search_texts *out);

/* Vectors of n texts, of n items of the data: [n, width], released with et_dealloc. NULL on failure. `what`
 * is shown with the progress, or NULL for none. */
float *search_embed_texts(search_model *m, int64_t n, const char *const *texts);
float *search_embed_items(search_model *m, const search_data *d, const int32_t *items, int64_t n,
                          const char *what);
/* The vector of a sound of any number of chunks x [chunks, frames, bins]:
 * the mean of theirs, of unit length if they are. */
et_status search_embed_chunks(search_model *m, et_tensor *x, float *out);

#endif
