/* Cutting texts into words. */
#include "config.h"

#include "datasets/words.h"

#include <stdbool.h>
#include <string.h>

#include "datasets/unicode.h"
#include "tensor/strbuf.h"

/* --- BERT ------------------------------------------------------------------------------ */

typedef struct bert {
    et_codes word, lowered, plain; /* as it stands, in lower case, decomposed */
    et_strbuf out;
    et_word_fn each;
    void *user;
} bert;

static et_status give(bert *b)
{
    et_status status = ET_OK;

    if (b->out.failed)
        return et_fail_status("words");
    if (b->out.size > 0)
        status = b->each(b->user, b->out.data, b->out.size);
    et_strbuf_reset(&b->out);
    return status;
}

/* What stood between white space: lower case, no accents, cut at punctuation. */
static et_status end_word(bert *b)
{
    b->lowered.n = b->plain.n = 0;
    if (et_uc_lower_word(b->word.items, (size_t)b->word.n, &b->lowered) < 0 ||
        et_uc_decompose(b->lowered.items, (size_t)b->lowered.n, &b->plain) < 0)
        return et_error_status();
    b->word.n = 0;
    for (int64_t i = 0; i < b->plain.n; i++) {
        unsigned class = et_uc_class(b->plain.items[i]);
        char bytes[4];
        et_status status;

        if (class & ET_UC_MARK)
            continue;
        if (class & ET_UC_PUNCTUATION && (status = give(b)) < 0)
            return status;
        et_strbuf_add(&b->out, bytes, et_uc_encode(b->plain.items[i], bytes));
        if (class & ET_UC_PUNCTUATION && (status = give(b)) < 0)
            return status;
    }
    return give(b);
}

et_status et_words_bert(const char *text, size_t size, et_word_fn each, void *user)
{
    bert b = {.out = ET_STRBUF_INIT, .each = each, .user = user};
    et_status status = ET_OK;

    if ((!text && size > 0) || !each)
        return et_raise(ET_EINVAL, "words: NULL");
    for (size_t i = 0; i < size && status == ET_OK;) {
        uint32_t c;
        unsigned class;
        bool alone;

        i += et_uc_decode(text + i, size - i, &c);
        class = et_uc_class(c);
        /* Separators are white space here, also those that cleaning alone would leave. */
        if (c == '\t' || c == '\n' || c == '\r' || ((class & ET_UC_SPACE) && !(class & ET_UC_CONTROL))) {
            status = end_word(&b);
            continue;
        }
        if (c == 0 || c == 0xfffd || class & ET_UC_CONTROL)
            continue;
        alone = et_uc_is_ideograph(c);
        if (alone)
            status = end_word(&b);
        if (status == ET_OK)
            status = et_codes_add(&b.word, c);
        if (status == ET_OK && alone)
            status = end_word(&b);
    }
    if (status == ET_OK)
        status = end_word(&b);
    et_codes_free(&b.word);
    et_codes_free(&b.lowered);
    et_codes_free(&b.plain);
    et_strbuf_free(&b.out);
    return status;
}

/* --- GPT-2 ----------------------------------------------------------------------------- */

typedef enum kind { LETTER, NUMBER, SPACE, OTHER, END } kind;

/* Kind of the character at text[i] and its length in bytes. */
static kind kind_at(const char *text, size_t size, size_t i, size_t *length)
{
    uint32_t c;
    unsigned class;

    *length = 0;
    if (i >= size)
        return END;
    *length = et_uc_decode(text + i, size - i, &c);
    class = et_uc_class(c);
    return class & ET_UC_LETTER ? LETTER : class & ET_UC_NUMBER ? NUMBER : class & ET_UC_SPACE
           ? SPACE : OTHER;
}

/* End of the run of characters of one kind that begins at i; *last is where its last one begins. */
static size_t run_end(const char *text, size_t size, size_t i, kind k, size_t *last)
{
    size_t length;

    while (kind_at(text, size, i, &length) == k && length > 0) {
        *last = i;
        i += length;
    }
    return i;
}

static size_t contraction(const char *text, size_t size, size_t i)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};

    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        size_t n = strlen(endings[k]);
        if (n <= size - i && memcmp(text + i, endings[k], n) == 0)
            return n;
    }
    return 0;
}

et_status et_words_gpt2(const char *text, size_t size, et_word_fn each, void *user)
{
    if ((!text && size > 0) || !each)
        return et_raise(ET_EINVAL, "words: NULL");
    for (size_t i = 0, end; i < size; i = end) {
        size_t length, last = i, first = i + (text[i] == ' ');
        kind k = kind_at(text, size, first, &length);
        et_status status;

        if ((end = i + contraction(text, size, i)) == i) {
            if (k == LETTER || k == NUMBER || k == OTHER) {
                end = run_end(text, size, first, k, &last);
            } else {
                end = run_end(text, size, i, SPACE, &last);
                if (end < size && last > i)
                    end = last; /* the last one stays in front of what follows */
            }
        }
        if ((status = each(user, text + i, end - i)) < 0)
            return status;
    }
    return ET_OK;
}
