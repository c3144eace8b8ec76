/* What frozen towers say, computed once: see search_bases.h. */
#include "config.h"

#include "examples/search_bases.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "tensor/alloc.h"
#include "tensor/hash.h"
#include "tensor/safetensors.h"

enum { BATCH = 16, KEY = 80 };

struct search_bases {
    int32_t *row;             /* of each item; -1: not in the training or validation part */
    int32_t *items;           /* and back */
    int64_t n;
    et_tensor *text, *audio;  /* [n, ...], or NULL */
};

/* --- what the bases depend on ------------------------------------------------------------------------- */

static uint64_t mix_text(uint64_t h, const char *text) { return et_hash(h, text, strlen(text) + 1); }
static uint64_t mix_int(uint64_t h, int64_t v) { return et_hash(h, &v, sizeof v); }

/* The weights of the model's frozen part, and what else decides what it makes of an input. */
static uint64_t mix_model(uint64_t h, const search_model *m, const et_cli *cli)
{
    static const char *const texts[] = {"model", "size", "pooling"};
    static const char *const numbers[] = {"train-text", "train-audio", "extra-text", "extra-audio", "tokens"};
    const et_vocabulary *words = et_wordpiece_vocabulary(m->words);
    const search_input *in = &m->sizes.input;

    for (int64_t i = 0; i < et_module_n_entries(m->root); i++) {
        const et_entry *e = et_module_entry(m->root, i);
        if (!e->tensor->requires_grad && e->tensor->dtype == ET_F32)
            h = et_hash(h, et_data(e->tensor), (size_t)e->tensor->numel * sizeof(float));
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        h = mix_text(h, et_cli_text(cli, texts[i]));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        h = mix_int(h, et_cli_int(cli, numbers[i]));
    for (int32_t v = 0; v < et_vocabulary_size(words); v++)
        h = mix_text(h, et_vocabulary_text(words, v, NULL));
    h = mix_int(mix_int(mix_text(h, in->front_end), in->frames), in->bins);
    return et_hash(h, &in->seconds, sizeof in->seconds);
}

/* The items, their captions, and their sounds. */
static uint64_t mix_data(uint64_t h, const search_bases *b, const search_data *d)
{
    const size_t size = (size_t)(d->input.frames * d->input.bins) * sizeof(float);

    for (int64_t i = 0; i < b->n; i++) {
        h = mix_text(mix_int(h, b->items[i]), d->captions.items[b->items[i]]);
        if (!d->cache)
            h = et_hash(h, (const char *)et_data(d->ds->x) + (size_t)b->items[i] * size, size);
    }
    if (!d->cache)
        return h;
    h = mix_text(h, et_front_end_signature(d->fe));
    return mix_int(h, (int64_t)et_feature_cache_sum(d->cache));
}

/* --- computing -------------------------------------------------------------------------------------- */

/* The base of items [from, from + count) of the list; texts are not cut to the longest of a batch. */
static et_tensor *base_of(const search_bases *b, search_model *m, const search_data *d, bool text,
                          int64_t from, int64_t count)
{
    const char *captions[BATCH];
    search_texts t;

    if (!text)
        return m->network->audio_base(m->root, search_sounds(d, b->items + from, count));
    for (int64_t i = 0; i < count; i++)
        captions[i] = d->captions.items[b->items[from + i]];
    if (search_texts_of(m, count, captions, &t))
        return NULL;
    const int64_t missing = m->sizes.tokens - t.ids->shape[1];
    et_tensor *x = m->network->text_base(m->root, &t);
    return missing > 0 && x && x->ndim == 3 ? et_pad(x, 2, (const int64_t[]){0, 0, 0, missing},
                                                     ET_PAD_CONSTANT, 0) : x;
}

static et_tensor *compute(const search_bases *b, search_model *m, const search_data *d, bool text,
                          int64_t mebibytes)
{
    et_tensor *all = NULL;
    et_progress progress;
    et_status status = ET_OK;

    et_progress_begin(&progress, stdout, b->n, "frozen tower of %s", text ? "texts" : "sounds");
    et_no_grad_begin();
    for (int64_t from = 0; from < b->n && !status; from += BATCH) {
        const int64_t count = b->n - from < BATCH ? b->n - from : BATCH;
        et_scope *scope = et_scope_open();
        et_tensor *x = scope ? et_contiguous(base_of(b, m, d, text, from, count)) : NULL;
        if (x && !all) {
            int64_t shape[ET_MAX_DIMS] = {b->n};
            memcpy(shape + 1, x->shape + 1, (size_t)(x->ndim - 1) * sizeof *shape);
            if (x->numel / count * b->n / (1 << 18) > mebibytes) {
                et_progress_note(&progress,
                                 "the frozen tower of %s gives more than %lld MiB: it is computed in every "
                                 "step", text ? "texts" : "sounds", (long long)mebibytes);
                et_scope_close(scope);
                break;
            }
            all = et_empty_owned(ET_F32, x->ndim, shape);
        }
        status = et_interrupted() ? et_raise(ET_EINVAL, "interrupted") : x && all ? ET_OK : et_error_status();
        if (!status)
            memcpy((float *)et_data_mut(all) + from * (x->numel / count), et_data(x),
                   (size_t)x->numel * sizeof(float));
        if (scope)
            et_scope_close(scope);
        et_progress_step(&progress, from + count, "%s", "");
    }
    et_no_grad_end();
    if (status || !all) {
        et_progress_drop(&progress);
        et_free(all);
        return NULL;
    }
    et_progress_end(&progress, "%s", "");
    return all;
}

/* --- the file ------------------------------------------------------------------------------------------ */

/* One of the file's tensors, NULL where it is not there or of another shape than the model makes. */
static et_tensor *read_base(et_safetensors *file, const search_bases *b, search_model *m,
                            const search_data *d, bool text)
{
    const char *name = text ? "text" : "audio";
    int64_t shape[ET_MAX_DIMS] = {b->n};
    et_tensor *x = NULL;

    if (!et_safetensors_find(file, name))
        return NULL;
    et_no_grad_begin();
    et_scope *scope = et_scope_open();
    const et_tensor *one = scope ? base_of(b, m, d, text, 0, 1) : NULL;
    et_no_grad_end();
    if (one) {
        memcpy(shape + 1, one->shape + 1, (size_t)(one->ndim - 1) * sizeof *shape);
        x = et_empty_owned(ET_F32, one->ndim, shape);
    }
    if (scope)
        et_scope_close(scope);
    if (!x || !et_safetensors_load_into(file, name, x))
        return x;
    et_free(x);
    return NULL;
}

/* Takes what the file has, if it was made of the same weights and data; whatever else is in it is of no
 * interest. */
static void read_file(search_bases *b, search_model *m, const search_data *d, bool text, bool audio,
                      const char *path, const char *key)
{
    et_safetensors *file = et_safetensors_open(path);
    const char *found = file ? et_safetensors_meta(file, "made of") : NULL;

    if (found && strcmp(found, key) == 0) {
        b->text = text ? read_base(file, b, m, d, true) : NULL;
        b->audio = audio ? read_base(file, b, m, d, false) : NULL;
    }
    et_safetensors_close(file);
    et_error_clear();
}

static et_status write_file(const search_bases *b, const char *path, const char *key)
{
    et_named_tensor tensors[2];
    int64_t n = 0;

    if (b->text)
        tensors[n++] = (et_named_tensor){"text", b->text};
    if (b->audio)
        tensors[n++] = (et_named_tensor){"audio", b->audio};
    return n ? et_safetensors_write(path, tensors, n, &(et_metadata){"made of", key}, 1) : ET_OK;
}

search_bases *search_bases_open(search_model *m, const search_data *d, et_run *run, const et_cli *cli)
{
    search_bases *b = et_alloc_zero(1, sizeof *b);
    const search_network *net = m->network;
    const char *path = b ? et_run_path(run, "towers.safetensors") : NULL;
    const bool text = net->text_base && net->text_frozen(m->root),
               audio = net->audio_base && net->audio_frozen(m->root);
    const int64_t mebibytes = et_cli_int(cli, "base-memory");
    char key[KEY];

    if (!path) {
        et_dealloc(b);
        return NULL;
    }
    b->row = et_alloc((size_t)search_data_size(d) * sizeof *b->row);
    b->items = et_alloc((size_t)(d->train.n + d->valid.n) * sizeof *b->items);
    if (!b->row || !b->items) {
        search_bases_free(b);
        return NULL;
    }
    for (int64_t i = 0; i < search_data_size(d); i++)
        b->row[i] = -1;
    for (int k = 0; k < 2; k++) {
        const et_indices *part = k ? &d->valid : &d->train;
        for (int64_t i = 0; i < part->n; i++) {
            b->row[part->items[i]] = (int32_t)b->n;
            b->items[b->n++] = part->items[i];
        }
    }
    if (!text && !audio)
        return b;
    const uint64_t of = mix_data(mix_model(ET_HASH_START, m, cli), b, d);
    snprintf(key, sizeof key, "%s %" PRId64 " %.16" PRIx64, search_kind_name(d->from.kind), b->n, of);
    read_file(b, m, d, text, audio, path, key);
    bool made = false;
    if (text && !b->text)
        made = (b->text = compute(b, m, d, true, mebibytes)) != NULL;
    if (audio && !b->audio && !et_error_status() && (b->audio = compute(b, m, d, false, mebibytes)))
        made = true;
    if (et_error_status() || (made && write_file(b, path, key))) {
        search_bases_free(b);
        return NULL;
    }
    return b;
}

void search_bases_free(search_bases *b)
{
    if (!b)
        return;
    et_free(b->text);
    et_free(b->audio);
    et_dealloc(b->row);
    et_dealloc(b->items);
    et_dealloc(b);
}

static et_tensor *pick(const search_bases *b, et_tensor *all, const int32_t *items, int64_t n)
{
    et_tensor *rows = all ? et_empty(ET_I32, ET_SHAPE(n)) : NULL;
    int32_t *row = rows ? et_data_mut(rows) : NULL;

    for (int64_t i = 0; row && i < n; i++)
        row[i] = b->row[items[i]];
    return rows ? et_index_select(all, 0, rows) : NULL;
}

et_tensor *search_base_of_texts(const search_bases *b, const int32_t *items, int64_t n, int64_t T)
{
    et_tensor *x = pick(b, b->text, items, n);

    return x && x->ndim == 3 ? et_slice(x, 1, 0, T, 1) : x;
}

et_tensor *search_base_of_sounds(const search_bases *b, const int32_t *items, int64_t n)
{
    return pick(b, b->audio, items, n);
}
