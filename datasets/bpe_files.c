/* Byte-level BPE: reading and writing its files, learning its merges. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/bpe_internal.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/json.h"
#include "tensor/strbuf.h"

enum { FILE_LIMIT = 256 << 20 };

/* --- reading ---------------------------------------------------------------------------- */

/* Members of the object by their numbers. */
static et_status read_vocabulary(et_bpe *b, const et_json_value *root, const char *name)
{
    const et_json_value **by_id;
    et_status status = ET_OK;

    if (root->type != ET_JSON_OBJECT || root->count == 0 || root->count > INT32_MAX / 2)
        return et_raise(ET_EFORMAT, "%s: not an object of texts and numbers", name);
    if (!(by_id = et_alloc_zero(root->count, sizeof *by_id)))
        return et_fail_status(name);
    for (const et_json_value *m = root->first; m && status == ET_OK; m = m->next) {
        if (m->type != ET_JSON_NUMBER || !m->is_int || m->integer < 0 || m->integer >= (int64_t)root->count)
            status = et_raise(ET_EFORMAT, "%s: '%.80s' has no number in 0 .. %zu", name, m->key,
                              root->count - 1);
        else if (by_id[m->integer])
            status = et_raise(ET_EFORMAT, "%s: '%.80s' and '%.80s' are both %" PRId64, name,
                              by_id[m->integer]->key, m->key, m->integer);
        else if (m->key_length == 0)
            status = et_raise(ET_EFORMAT, "%s: an empty text", name);
        else
            by_id[m->integer] = m;
    }
    for (size_t i = 0; i < root->count && status == ET_OK; i++)
        if (et_vocabulary_add(b->symbols, by_id[i]->key, by_id[i]->key_length) < 0)
            status = et_error_status();
    b->size = et_vocabulary_size(b->symbols);
    et_dealloc(by_id);
    return status;
}

static et_status read_merges(et_bpe *b, const char *text, size_t n, const char *name)
{
    int64_t line = 1;

    for (size_t at = 0, next; at < n; at = next, line++) {
        const char *start = text + at, *end = memchr(start, '\n', n - at), *blank;
        size_t size = end ? (size_t)(end - start) : n - at;
        int32_t left, right;
        bool twice;

        next = at + size + 1;
        if (size > 0 && start[size - 1] == '\r')
            size--;
        if (line == 1 && size >= 8 && memcmp(start, "#version", 8) == 0)
            continue;
        if (size == 0 && next >= n)
            continue;
        blank = memchr(start, ' ', size);
        if (!blank || blank == start || blank == start + size - 1 || memchr(start, '\0', size) ||
            memchr(blank + 1, ' ', size - (size_t)(blank + 1 - start)))
            return et_raise(ET_EFORMAT, "%s:%" PRId64 ": not two texts with a blank between", name, line);
        left = et_vocabulary_add(b->symbols, start, (size_t)(blank - start));
        right = et_vocabulary_add(b->symbols, blank + 1, size - (size_t)(blank + 1 - start));
        if (left < 0 || right < 0 || et_bpe_add_merge(b, left, right, &twice) < 0)
            return et_error_status();
        if (twice)
            return et_raise(ET_EFORMAT, "%s:%" PRId64 ": this pair stands there already", name, line);
    }
    return ET_OK;
}

et_bpe *et_bpe_parse(const char *vocabulary, size_t n_vocabulary, const char *vocabulary_name,
                     const char *merges, size_t n_merges, const char *merges_name)
{
    int64_t lines = 1;
    et_json *json;
    et_bpe *b = NULL;

    if (!vocabulary || !vocabulary_name || (!merges && n_merges > 0) || !merges_name) {
        et_raise(ET_EINVAL, "bpe: NULL");
        return NULL;
    }
    for (size_t i = 0; i < n_merges; i++)
        lines += merges[i] == '\n';
    if (!(json = et_json_parse(vocabulary, n_vocabulary, vocabulary_name)))
        return NULL;
    b = et_bpe_new(lines);
    if (b && (read_vocabulary(b, et_json_root(json), vocabulary_name) < 0 ||
              read_merges(b, merges, n_merges, merges_name) < 0 || et_bpe_finish(b, vocabulary_name) < 0)) {
        et_bpe_free(b);
        b = NULL;
    }
    et_json_free(json);
    return b;
}

et_bpe *et_bpe_read(const char *vocabulary, const char *merges)
{
    unsigned char *v, *m;
    size_t nv, nm;
    et_bpe *b = NULL;

    if (et_file_read(vocabulary, FILE_LIMIT, &v, &nv) < 0)
        return NULL;
    if (et_file_read(merges, FILE_LIMIT, &m, &nm) == ET_OK) {
        b = et_bpe_parse((const char *)v, nv, vocabulary, (const char *)m, nm, merges);
        et_dealloc(m);
    }
    et_dealloc(v);
    return b;
}

/* --- writing ---------------------------------------------------------------------------- */

et_status et_bpe_write(const et_bpe *b, const char *vocabulary, const char *merges)
{
    et_strbuf text = ET_STRBUF_INIT;
    et_json_writer w;
    et_status status;

    if (!b)
        return et_raise(ET_EINVAL, "bpe: NULL");
    et_json_begin(&w, &text, 0);
    et_json_open_object(&w);
    for (int32_t i = 0; i < b->size; i++) {
        et_json_key(&w, et_vocabulary_text(b->symbols, i, NULL));
        et_json_int(&w, i);
    }
    et_json_close(&w);
    status = et_json_end(&w);
    if (status == ET_OK)
        status = et_file_write(vocabulary, text.data, text.size);
    et_strbuf_reset(&text);
    et_strbuf_puts(&text, "#version: 0.2\n");
    for (int64_t i = 0; i < b->n_merges; i++)
        et_strbuf_printf(&text, "%s %s\n", et_vocabulary_text(b->symbols, b->merges[i].left, NULL),
                         et_vocabulary_text(b->symbols, b->merges[i].right, NULL));
    if (status == ET_OK)
        status = text.failed ? et_fail_status("bpe") : et_file_write(merges, text.data, text.size);
    et_strbuf_free(&text);
    return status;
}

/* --- learning --------------------------------------------------------------------------- */

static et_status add(et_vocabulary *v, const char *text, size_t n)
{
    return et_vocabulary_add(v, text, n) < 0 ? et_error_status() : ET_OK;
}

enum { FIRST_BYTE = 4 }; /* the symbol of byte 0: special tokens come first */

/* Special tokens, then one symbol for each byte. */
static et_status add_first_symbols(et_vocabulary *v)
{
    static const char *const special[FIRST_BYTE] = {"<s>", "<pad>", "</s>", "<unk>"};

    for (int k = 0; k < FIRST_BYTE; k++)
        if (add(v, special[k], strlen(special[k])) < 0)
            return et_error_status();
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        if (add(v, text, et_bpe_byte_text(byte, text)) < 0)
            return et_error_status();
    }
    return ET_OK;
}

/* The words as symbols of their bytes: word w is (*symbols)[(*starts)[w] .. (*starts)[w + 1]). */
static et_status spell(const et_word_list *list, int32_t **symbols, int64_t **starts)
{
    const int32_t words = et_vocabulary_size(list->words);
    int64_t total = 0;

    for (int32_t w = 0; w < words; w++) {
        size_t n;
        et_vocabulary_text(list->words, w, &n);
        total += (int64_t)n;
    }
    if (!(*symbols = et_alloc_zero((size_t)total, sizeof **symbols)) ||
        !(*starts = et_alloc_zero((size_t)words + 1, sizeof **starts)))
        return et_error_status();
    for (int32_t w = 0; w < words; w++) {
        size_t n;
        const char *word = et_vocabulary_text(list->words, w, &n);
        int32_t *to = *symbols + (*starts)[w];
        for (size_t i = 0; i < n; i++)
            to[i] = FIRST_BYTE + (unsigned char)word[i];
        (*starts)[w + 1] = (*starts)[w] + (int64_t)n;
    }
    return ET_OK;
}

/* What learning works on, released together. */
typedef struct learning {
    et_word_list list;
    et_tokens merges; /* pairs */
    int32_t *symbols;
    int64_t *starts;
    et_vocabulary *v;
} learning;

/* Words are taken apart into bytes, pairs of symbols joined till there are `size`; *b receives the result,
 * which owns the vocabulary from then on. */
static et_status learn(learning *l, const et_names *texts, int32_t size, int64_t least, et_bpe **b)
{
    bool twice;

    if (add_first_symbols(l->v) < 0 || et_word_list_fill(&l->list, texts, et_words_gpt2) < 0 ||
        spell(&l->list, &l->symbols, &l->starts) < 0 ||
        et_learn_pairs(l->symbols, l->starts, l->list.counts, et_vocabulary_size(l->list.words), l->v, "",
                       size - 1, least, &l->merges) < 0 ||
        add(l->v, "<mask>", 6) < 0 || !(*b = et_bpe_new(l->merges.n / 2)))
        return et_error_status();
    et_vocabulary_free((*b)->symbols);
    (*b)->symbols = l->v;
    l->v = NULL;
    (*b)->size = et_vocabulary_size((*b)->symbols);
    for (int64_t i = 0; i < l->merges.n; i += 2)
        if (et_bpe_add_merge(*b, l->merges.ids[i], l->merges.ids[i + 1], &twice) < 0)
            return et_error_status();
    return et_bpe_finish(*b, "bpe");
}

et_bpe *et_bpe_learn(const et_names *texts, int32_t size, int64_t least)
{
    learning l = {.v = NULL};
    et_bpe *b = NULL;

    if (!texts || size < 261) {
        et_raise(ET_EINVAL, "bpe: %s", texts ? "smaller than bytes and special tokens, 261" : "no texts");
        return NULL;
    }
    if (!(l.v = et_vocabulary_new()))
        return NULL;
    const et_status status = learn(&l, texts, size, least, &b);
    et_word_list_free(&l.list);
    et_tokens_free(&l.merges);
    et_dealloc(l.symbols);
    et_dealloc(l.starts);
    et_vocabulary_free(l.v);
    if (status == ET_OK)
        return b;
    et_bpe_free(b);
    return NULL;
}
