/* Vocabularies from texts. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/tokenizer.h"
#include "datasets/unicode.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"
#include "tensor/strbuf.h"

static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

static et_vocabulary *begin(const et_names *texts, int32_t size)
{
    et_vocabulary *v;

    if (!texts || size < ET_N_SPECIALS) {
        et_raise(ET_EINVAL, "vocabulary: %s", texts ? "smaller than its five special tokens" : "no texts");
        return NULL;
    }
    v = et_vocabulary_new();
    for (int k = 0; v && k < ET_N_SPECIALS; k++)
        if (et_vocabulary_add(v, specials[k], strlen(specials[k])) < 0) {
            et_vocabulary_free(v);
            return NULL;
        }
    return v;
}

typedef struct counted {
    const char *text;
    int64_t count;
} counted;

static int by_count(const void *a, const void *b)
{
    const counted *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return strcmp(x->text, y->text);
}

/* The entries of `from` with their counts (NULL: all alike), most frequent first.
 * Each is released with the array. */
static counted **sort_entries(const et_vocabulary *from, const int64_t *counts)
{
    size_t n = (size_t)et_vocabulary_size(from), bytes;
    counted **sorted = et_mul_size(n, sizeof *sorted + sizeof **sorted, &bytes) ? et_alloc(bytes) : NULL;
    counted *items;

    if (!sorted)
        return NULL;
    items = (counted *)(void *)(sorted + n);
    for (size_t i = 0; i < n; i++) {
        items[i] = (counted){et_vocabulary_text(from, (int32_t)i, NULL), counts ? counts[i] : 0};
        sorted[i] = &items[i];
    }
    et_sort_pointers((void **)sorted, n, by_count);
    return sorted;
}

et_vocabulary *et_vocabulary_of_words(const et_names *texts, int32_t size, int64_t least)
{
    et_vocabulary *v = begin(texts, size);
    et_word_list list = {NULL, NULL, 0};
    counted **sorted = NULL;
    et_status status = v ? et_word_list_fill(&list, texts, et_words_bert) : et_error_status();

    if (status == ET_OK && !(sorted = sort_entries(list.words, list.counts)))
        status = et_error_status();
    for (int32_t i = 0; status == ET_OK && i < et_vocabulary_size(list.words); i++) {
        if (et_vocabulary_size(v) >= size || sorted[i]->count < least)
            break;
        if (et_vocabulary_add(v, sorted[i]->text, strlen(sorted[i]->text)) < 0)
            status = et_error_status();
    }
    et_dealloc(sorted);
    et_word_list_free(&list);
    if (status < 0) {
        et_vocabulary_free(v);
        return NULL;
    }
    return v;
}

/* Calls each(piece) for the characters of a word, those inside of it with ##. */
static et_status cut_characters(const char *word, size_t size, et_word_fn each, void *user)
{
    char piece[6] = "##";

    for (size_t i = 0; i < size;) {
        uint32_t c;
        size_t n = et_uc_decode(word + i, size - i, &c);
        et_status status;
        memcpy(piece + 2, word + i, n);
        status = i == 0 ? each(user, piece + 2, n) : each(user, piece, n + 2);
        if (status < 0)
            return status;
        i += n;
    }
    return ET_OK;
}

static et_status note_piece(void *user, const char *piece, size_t size)
{
    int32_t id = et_vocabulary_add(user, piece, size);
    return id < 0 ? et_error_status() : ET_OK;
}

typedef struct row {
    const et_vocabulary *v;
    int32_t *symbols;
    int64_t n;
} row;

static et_status append_piece(void *user, const char *piece, size_t size)
{
    row *r = user;
    r->symbols[r->n++] = et_vocabulary_find(r->v, piece, size);
    return ET_OK;
}

/* Adds the characters of all words to v, in the order of their bytes. */
static et_status add_alphabet(et_vocabulary *v, const et_vocabulary *words, int64_t *total)
{
    et_vocabulary *found = et_vocabulary_new();
    counted **sorted = NULL;
    et_status status = found ? ET_OK : et_error_status();

    *total = 0;
    for (int32_t w = 0; status == ET_OK && w < et_vocabulary_size(words); w++) {
        size_t n;
        const char *word = et_vocabulary_text(words, w, &n);
        *total += (int64_t)n;
        status = cut_characters(word, n, note_piece, found);
    }
    if (status == ET_OK && !(sorted = sort_entries(found, NULL)))
        status = et_error_status();
    for (int32_t i = 0; status == ET_OK && i < et_vocabulary_size(found); i++)
        status = note_piece(v, sorted[i]->text, strlen(sorted[i]->text));
    et_dealloc(sorted);
    et_vocabulary_free(found);
    return status;
}

et_vocabulary *et_vocabulary_of_pieces(const et_names *texts, int32_t size, int64_t least)
{
    et_vocabulary *v = begin(texts, size);
    et_word_list list = {NULL, NULL, 0};
    int64_t total, *starts = NULL;
    row r = {v, NULL, 0};
    et_status status = v ? et_word_list_fill(&list, texts, et_words_bert) : et_error_status();
    int32_t words = et_vocabulary_size(list.words);

    if (status == ET_OK)
        status = add_alphabet(v, list.words, &total);
    if (status == ET_OK && (!(r.symbols = et_alloc_zero((size_t)total, sizeof *r.symbols)) ||
                            !(starts = et_alloc_zero((size_t)words + 1, sizeof *starts))))
        status = et_error_status();
    for (int32_t w = 0; status == ET_OK && w < words; w++) {
        size_t n;
        const char *word = et_vocabulary_text(list.words, w, &n);
        status = cut_characters(word, n, append_piece, &r);
        starts[w + 1] = r.n;
    }
    if (status == ET_OK)
        status = et_learn_pairs(r.symbols, starts, list.counts, words, v, "##", size, least, NULL);
    et_dealloc(r.symbols);
    et_dealloc(starts);
    et_word_list_free(&list);
    if (status < 0) {
        et_vocabulary_free(v);
        return NULL;
    }
    return v;
}
