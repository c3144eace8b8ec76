#include "config.h"

#include "examples/search_bases.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "examples/common/progress.h"
#include "tensor/alloc.h"
#include "tensor/safetensors.h"

enum { BATCH = 16, KEY = 160 };

struct search_bases {
    int32_t *row;             /* of each item; -1: not in the training or validation part */
    int32_t *items;           /* and back */
    int64_t n;
    et_tensor *text, *audio;  /* [n, ...], or NULL */
};

/* A number that changes with the weights of the model's frozen part. */
static uint64_t weights_key(const et_module *m)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */

    for (int64_t i = 0; i < et_module_n_entries(m); i++) {
        const et_entry *e = et_module_entry(m, i);
        if (e->tensor->requires_grad || e->tensor->dtype != ET_F32)
            continue;
        const unsigned char *p = et_data(e->tensor);
        for (int64_t k = 0; k < e->tensor->numel * 4; k++)
            h = (h ^ p[k]) * 1099511628211u;
    }
    return h;
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
        status = x && all ? ET_OK : et_error_status();
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

/* Takes what the file has, if it was made of the same weights and data; whatever else is in it is of no
 * interest. */
static void read_file(search_bases *b, const char *path, const char *key)
{
    et_safetensors *file = et_safetensors_open(path);
    const char *found = file ? et_safetensors_meta(file, "made of") : NULL;

    if (found && strcmp(found, key) == 0) {
        b->text = et_safetensors_find(file, "text") ? et_own(et_safetensors_load(file, "text")) : NULL;
        b->audio = et_safetensors_find(file, "audio") ? et_own(et_safetensors_load(file, "audio")) : NULL;
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

search_bases *search_bases_open(search_model *m, const search_data *d, et_run *run, int64_t mebibytes)
{
    search_bases *b = et_alloc_zero(1, sizeof *b);
    const search_network *net = m->network;
    const char *path = et_run_path(run, "towers.safetensors");
    const bool text = net->text_base && net->text_frozen(m->root),
               audio = net->audio_base && net->audio_frozen(m->root);
    char key[KEY];

    if (!b || !path)
        return b;
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
    snprintf(key, sizeof key, "%s %" PRId64 " %" PRId64 " %.16" PRIx64, search_kind_name(d->from.kind), b->n,
             d->from.songs, weights_key(m->root));
    read_file(b, path, key);
    const bool had = b->text || b->audio;
    if (text && !b->text)
        b->text = compute(b, m, d, true, mebibytes);
    if (audio && !b->audio && !et_error_status())
        b->audio = compute(b, m, d, false, mebibytes);
    if (et_error_status() || (!had && write_file(b, path, key))) {
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
