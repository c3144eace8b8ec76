/* The models of music-search as rows of functions: see search_model.h. */
#include "config.h"

#include "examples/search_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/tokens.h"
#include "examples/common/progress.h"
#include "examples/common/run_model.h"
#include "nn/nearest.h"
#include "tensor/alloc.h"

#define VOCABULARY "vocab.txt"

enum { BATCH = 64, STREAM_WEIGHTS = 1 };

static const search_network *const networks[] = {&search_two_tower, &search_clap, &search_mulan,
                                                 &search_tags};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

const search_network *search_network_named(const char *name)
{
    for (int i = 0; i < NETWORKS; i++)
        if (strcmp(networks[i]->name, name) == 0)
            return networks[i];
    et_raise(ET_EINVAL, "--model %s: there are " SEARCH_MODELS, name);
    return NULL;
}

/* --- making ------------------------------------------------------------------------------------- */

search_model *search_model_new(const et_cli *cli, const search_input *input, et_wordpiece *words,
                               const et_names *tags)
{
    search_model *m = et_alloc_zero(1, sizeof *m);
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), STREAM_WEIGHTS);

    if (!m || !words) {
        et_wordpiece_free(words);
        et_dealloc(m);
        return NULL;
    }
    m->words = words;
    m->network = search_network_named(et_cli_text(cli, "model"));
    m->sizes = (search_sizes){*input, et_vocabulary_size(et_wordpiece_vocabulary(words)),
                              et_cli_int(cli, "tokens"), tags->n};
    if (m->network && !et_names_copy(&m->tags, tags) && (m->root = m->network->make(cli, &m->sizes, &rng)))
        return m;
    search_model_free(m);
    return NULL;
}

void search_model_free(search_model *m)
{
    if (!m)
        return;
    if (m->root)
        et_module_free(m->root);
    et_wordpiece_free(m->words);
    et_names_free(&m->tags);
    et_names_free(&m->genres);
    et_dealloc(m);
}

void search_model_describe(const search_model *m, et_json_writer *w)
{
    const search_input *in = &m->sizes.input;

    et_json_key(w, "input");
    et_json_open_object(w);
    et_json_key(w, "front_end");
    et_json_string(w, in->front_end);
    et_json_key(w, "frames");
    et_json_int(w, in->frames);
    et_json_key(w, "bins");
    et_json_int(w, in->bins);
    et_json_key(w, "seconds");
    et_json_number(w, in->seconds);
    et_json_close(w);
    et_run_write_names(w, "tags", &m->tags);
    et_run_write_names(w, "genres", &m->genres);
}

et_status search_check_weights(const et_cli *cli)
{
    if (et_cli_text(cli, "text-weights") && !et_cli_text(cli, "vocab"))
        return et_raise(ET_EINVAL,
                        "--text-weights needs the vocabulary that they were trained with: --vocab");
    return ET_OK;
}

et_status search_words_write(const et_wordpiece *words, et_run *run)
{
    const char *path = et_run_path(run, VOCABULARY);

    return path ? et_vocabulary_write(et_wordpiece_vocabulary(words), path) : et_error_status();
}

const char *search_words_given(const et_cli *cli, et_run *run)
{
    return run && et_cli_flag(cli, "resume") && et_run_has_checkpoint(run) ? et_run_path(run, VOCABULARY)
                                                                           : et_cli_text(cli, "vocab");
}

et_status search_input_read(et_run *run, search_input *out)
{
    const et_json_value *in = et_json_get(et_run_config(run), "input");

    *out = (search_input){.frames = et_json_get_int(in, "frames", 0), .bins = et_json_get_int(in, "bins", 0),
                          .seconds = et_json_get_number(in, "seconds", -1)};
    snprintf(out->front_end, sizeof out->front_end, "%s", et_json_get_string(in, "front_end", "?"));
    if (out->frames < 1 || out->frames > 1 << 20 || out->bins < 1 || out->bins > 1 << 16 ||
        !(out->seconds >= 0))
        return et_raise(ET_EFORMAT, "%s: no valid \"input\" in it", et_run_path(run, ET_RUN_CONFIG));
    return ET_OK;
}

search_model *search_model_open(const et_cli *cli, et_run *run)
{
    const char *vocabulary = et_run_path(run, VOCABULARY), *weights = et_run_path(run, ET_RUN_BEST);
    search_input input;
    et_names names = {0};
    search_model *m = NULL;
    et_status status = vocabulary && weights ? search_input_read(run, &input) : et_error_status();

    if (!status)
        status = et_run_read_names(run, "tags", &names);
    if (!status && (m = search_model_new(cli, &input, et_wordpiece_read(vocabulary), &names)) &&
        (et_run_read_names(run, "genres", &m->genres) || et_run_load_weights(m->root, weights))) {
        search_model_free(m);
        m = NULL;
    }
    et_names_free(&names);
    if (m)
        et_module_eval(m->root);
    return m;
}

/* --- texts ---------------------------------------------------------------------------------------- */

et_status search_texts_of(const search_model *m, int64_t n, const char *const *texts, search_texts *out)
{
    const int64_t T = m->sizes.tokens, L = m->tags.n;
    et_tensor *ids = et_empty(ET_I32, ET_SHAPE(n, T)), *mask = et_empty(ET_U8, ET_SHAPE(n, T));
    int64_t longest = 1;
    et_status status = ids && mask ? ET_OK : et_error_status();

    *out = (search_texts){0};
    for (int64_t i = 0; i < n && !status; i++) {
        et_tokens tokens = {NULL, 0, 0};
        status = et_wordpiece_encode(m->words, texts[i], strlen(texts[i]), &tokens);
        const int64_t used = status ? 0
                                    : et_tokens_row(&tokens, et_wordpiece_special(m->words, ET_TOKEN_BEGIN),
                                                    et_wordpiece_special(m->words, ET_TOKEN_END),
                                                    et_wordpiece_special(m->words, ET_TOKEN_PAD), T,
                                                    (int32_t *)et_data_mut(ids) + i * T,
                                                    (uint8_t *)et_data_mut(mask) + i * T);
        status = used < 0 ? (et_status)used : status;
        longest = used > longest ? used : longest;
        et_tokens_free(&tokens);
    }
    if (!status) {
        out->ids = et_contiguous(et_slice(ids, 1, 0, longest, 1));
        out->mask = et_contiguous(et_slice(mask, 1, 0, longest, 1));
    }
    if (!status && L > 0) {
        uint8_t *named = et_alloc_zero((size_t)n, (size_t)L);
        out->mentions = named ? et_empty(ET_F32, ET_SHAPE(n, L)) : NULL;
        float *v = out->mentions ? et_data_mut(out->mentions) : NULL;
        if (v)
            search_mentions(&m->tags, n, texts, named);
        for (int64_t i = 0; v && i < n * L; i++)
            v[i] = named[i];
        et_dealloc(named);
    }
    return et_error_status();
}

/* --- vectors ---------------------------------------------------------------------------------------- */

/* Copies vectors [n, width] to out; they must be numbers. */
static et_status take(const search_model *m, et_tensor *v, int64_t n, float *out)
{
    v = et_contiguous(v);
    if (!v)
        return et_error_status();
    memcpy(out, et_data(v), (size_t)(n * m->network->width(m->root)) * sizeof *out);
    return et_check_finite(v, "vectors");
}

/* Runs body for batches of n things, in evaluation mode and with nothing recorded. */
typedef et_tensor *(*batch_fn)(search_model *m, int64_t from, int64_t count, void *user);

static float *in_batches(search_model *m, int64_t n, batch_fn body, void *user, const char *what)
{
    const int64_t width = m->network->width(m->root);
    const bool training = m->root->training;
    float *out = et_alloc_zero((size_t)n, (size_t)width * sizeof *out);
    et_status status = out ? ET_OK : et_error_status();
    et_progress progress;

    if (what)
        et_progress_begin(&progress, stdout, n, "%s", what);
    et_module_eval(m->root);
    et_no_grad_begin();
    for (int64_t from = 0; from < n && !status; from += BATCH) {
        const int64_t count = n - from < BATCH ? n - from : BATCH;
        et_scope *scope = et_scope_open();
        status = scope ? take(m, body(m, from, count, user), count, out + from * width) : et_error_status();
        if (scope)
            et_scope_close(scope);
        if (what)
            et_progress_step(&progress, from + count, "%s", "");
    }
    et_no_grad_end();
    if (training)
        et_module_train(m->root);
    if (what && status)
        et_progress_drop(&progress);
    else if (what)
        et_progress_end(&progress, "%s", "");
    if (!status)
        return out;
    et_dealloc(out);
    return NULL;
}

static et_tensor *texts_batch(search_model *m, int64_t from, int64_t count, void *user)
{
    search_texts t;

    return search_texts_of(m, count, (const char *const *)user + from,
                           &t) ? NULL : m->network->text(m->root, &t);
}

float *search_embed_texts(search_model *m, int64_t n, const char *const *texts)
{
    return in_batches(m, n, texts_batch, (void *)(uintptr_t)texts, NULL);
}

typedef struct item_list {
    const search_data *data;
    const int32_t *items;
} item_list;

static et_tensor *items_batch(search_model *m, int64_t from, int64_t count, void *user)
{
    const item_list *l = user;

    return m->network->audio(m->root, search_sounds(l->data, l->items + from, count));
}

float *search_embed_items(search_model *m, const search_data *d, const int32_t *items, int64_t n,
                          const char *what)
{
    return in_batches(m, n, items_batch, &(item_list){d, items}, what);
}

static et_tensor *chunks_batch(search_model *m, int64_t from, int64_t count, void *user)
{
    return m->network->audio(m->root, et_slice(user, 0, from, from + count, 1));
}

et_status search_embed_chunks(search_model *m, et_tensor *x, float *out)
{
    const int64_t width = m->network->width(m->root);
    float *v = x ? in_batches(m, x->shape[0], chunks_batch, x, NULL) : NULL;

    if (!v)
        return et_error_status();
    memset(out, 0, (size_t)width * sizeof *out);
    for (int64_t c = 0; c < x->shape[0]; c++)
        for (int64_t j = 0; j < width; j++)
            out[j] += v[c * width + j] / (float)x->shape[0];
    if (x->shape[0] > 1 && m->network != &search_tags)
        et_unit_rows(1, width, out);
    et_dealloc(v);
    return ET_OK;
}
