/* WordPiece. */
#include "config.h"

#include "datasets/wordpiece.h"

#include <string.h>

#include "datasets/tokenizer.h"
#include "datasets/unicode.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

enum { LONGEST_WORD = 100 }; /* characters */

static const char *const texts[ET_N_SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

struct et_wordpiece {
    et_vocabulary *v;
    et_specials specials;
    size_t longest; /* bytes of the longest entry */
};

et_wordpiece *et_wordpiece_new(et_vocabulary *v)
{
    et_wordpiece *w;

    if (!v) {
        et_raise(ET_EINVAL, "wordpiece: no vocabulary");
        return NULL;
    }
    w = et_alloc_zero(1, sizeof *w);
    if (!w) {
        et_vocabulary_free(v);
        return NULL;
    }
    w->v = v;
    et_specials_find(&w->specials, texts, v);
    for (int32_t i = 0; i < et_vocabulary_size(v); i++) {
        size_t n;
        et_vocabulary_text(v, i, &n);
        if (n > w->longest)
            w->longest = n;
    }
    if (w->specials.ids[ET_TOKEN_UNK] < 0) {
        et_raise(ET_EFORMAT, "wordpiece: the vocabulary has no [UNK]");
        et_wordpiece_free(w);
        return NULL;
    }
    return w;
}

et_wordpiece *et_wordpiece_read(const char *path)
{
    et_vocabulary *v = et_vocabulary_read(path);
    et_wordpiece *w = v ? et_wordpiece_new(v) : NULL;

    return w || !v ? w : et_fail(path); /* the vocabulary's own error names the file */
}

void et_wordpiece_free(et_wordpiece *w)
{
    if (!w)
        return;
    et_vocabulary_free(w->v);
    et_dealloc(w);
}

const et_vocabulary *et_wordpiece_vocabulary(const et_wordpiece *w) { return w ? w->v : NULL; }

int32_t et_wordpiece_special(const et_wordpiece *w, et_special which)
{
    return w && (int)which >= 0 && (int)which < ET_N_SPECIALS ? w->specials.ids[which] : -1;
}

typedef struct work {
    const et_wordpiece *w;
    et_tokens *out;
} work;

static bool starts_character(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

/* The longest piece of word[at ..] that the vocabulary has; -1 if none. *end: where it ends. */
static int32_t longest_piece(const et_wordpiece *w, const char *word, size_t size, size_t at, size_t *end)
{
    char piece[2 + 4 * LONGEST_WORD] = "##";
    size_t n = size - at;

    if (n > w->longest)
        n = w->longest;
    memcpy(piece + 2, word + at, n);
    for (; n > 0; n--) {
        int32_t id;
        if (at + n < size && !starts_character(word[at + n]))
            continue;
        id = et_vocabulary_find(w->v, at == 0 ? piece + 2 : piece, at == 0 ? n : n + 2);
        if (id >= 0) {
            *end = at + n;
            return id;
        }
    }
    return -1;
}

static et_status encode_word(void *user, const char *word, size_t size)
{
    work *k = user;
    int64_t before = k->out->n;
    size_t characters = 0;

    for (size_t i = 0; i < size && characters <= LONGEST_WORD; i++)
        characters += starts_character(word[i]);
    for (size_t at = 0; characters <= LONGEST_WORD && at < size;) {
        int32_t id = longest_piece(k->w, word, size, at, &at);
        if (id < 0) {
            characters = LONGEST_WORD + 1;
            break;
        }
        if (et_tokens_add(k->out, id) < 0)
            return et_error_status();
    }
    if (characters <= LONGEST_WORD)
        return ET_OK;
    k->out->n = before;
    return et_tokens_add(k->out, k->w->specials.ids[ET_TOKEN_UNK]);
}

et_status et_wordpiece_encode(const et_wordpiece *w, const char *text, size_t n, et_tokens *out)
{
    work k = {w, out};

    if (!w || !out || (!text && n > 0))
        return et_raise(ET_EINVAL, "wordpiece: NULL");
    for (size_t at = 0; at < n;) {
        size_t length, next;
        int which;

        next = et_specials_next(&w->specials, text, n, at, &which, &length);
        if (next > at && et_words_bert(text + at, next - at, encode_word, &k) < 0)
            return et_error_status();
        if (which >= 0 && et_tokens_add(out, w->specials.ids[which]) < 0)
            return et_error_status();
        at = next + length;
    }
    return ET_OK;
}

/* --- back to text ------------------------------------------------------------------------- */

/* Replaces every `from` by `to`, which is shorter. */
static void replace(et_strbuf *b, const char *from, const char *to)
{
    size_t n = strlen(from), m = strlen(to), kept = 0;

    for (size_t i = 0; i < b->size;) {
        if (n <= b->size - i && memcmp(b->data + i, from, n) == 0) {
            memcpy(b->data + kept, to, m);
            kept += m;
            i += n;
        } else {
            b->data[kept++] = b->data[i++];
        }
    }
    if (b->data)
        b->data[kept] = '\0';
    b->size = kept;
}

char *et_wordpiece_decode(const et_wordpiece *w, const int32_t *ids, int64_t n)
{
    static const char *const tidy[][2] = {{" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},
                                          {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                          {" 've", "'ve"}, {" 're", "'re"}};
    et_strbuf b = ET_STRBUF_INIT;

    if (!w || n < 0 || (!ids && n > 0)) {
        et_raise(ET_EINVAL, "wordpiece: NULL");
        return NULL;
    }
    for (int64_t i = 0; i < n; i++) {
        size_t size;
        const char *piece = et_vocabulary_text(w->v, ids[i], &size);
        bool inner;

        if (!piece) {
            et_strbuf_free(&b);
            return et_fail("wordpiece");
        }
        if (ids[i] == w->specials.ids[ET_TOKEN_PAD] || ids[i] == w->specials.ids[ET_TOKEN_BEGIN] ||
            ids[i] == w->specials.ids[ET_TOKEN_END])
            continue;
        inner = size > 2 && piece[0] == '#' && piece[1] == '#';
        if (b.size > 0 && !inner)
            et_strbuf_putc(&b, ' ');
        et_strbuf_add(&b, piece + (inner ? 2 : 0), size - (inner ? 2 : 0));
    }
    for (size_t k = 0; k < sizeof tidy / sizeof *tidy; k++)
        replace(&b, tidy[k][0], tidy[k][1]);
    return et_strbuf_take(&b);
}
