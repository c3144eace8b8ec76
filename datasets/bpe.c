/* Byte-level BPE: the table of merges, encoding and decoding. */
#include "config.h"

#include "datasets/bpe.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/bpe_internal.h"
#include "datasets/unicode.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

static const char *const texts[ET_N_SPECIALS] = {"<pad>", "<unk>", "<s>", "</s>", "<mask>"};

/* --- bytes as visible characters ------------------------------------------------------------ */

/* Bytes that are visible in Latin-1 stand for themselves, the 68 others for U+0100 on. */
static bool is_visible(unsigned byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

size_t et_bpe_byte_text(unsigned byte, char out[4])
{
    uint32_t c = byte;

    if (!is_visible(byte)) {
        c = 256;
        for (unsigned k = 0; k < byte; k++)
            c += !is_visible(k);
    }
    return et_uc_encode(c, out);
}

/* The byte that a character stands for, or -1. */
static int byte_of(uint32_t c)
{
    if (c < 256)
        return is_visible(c) ? (int)c : -1;
    for (unsigned byte = 0, k = 256; byte < 256; byte++)
        if (!is_visible(byte) && k++ == c)
            return (int)byte;
    return -1;
}

/* --- the tables ----------------------------------------------------------------------------- */

/* The slot of a pair: slots hold the rank + 1, 0: empty. */
static size_t slot_of(const et_bpe *b, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 32) & (b->n_slots - 1);

    for (; b->slots[i] != 0; i = (i + 1) & (b->n_slots - 1)) {
        const bpe_merge *m = &b->merges[b->slots[i] - 1];
        if (m->left == left && m->right == right)
            break;
    }
    return i;
}

et_bpe *et_bpe_new(int64_t merges)
{
    et_bpe *b = et_alloc_zero(1, sizeof *b);
    size_t slots = 16;

    if (!b)
        return NULL;
    while (slots < 2 * (size_t)merges + 2)
        slots *= 2;
    b->n_slots = slots;
    if (!(b->symbols = et_vocabulary_new()) ||
        !(b->merges = et_alloc_zero((size_t)merges, sizeof *b->merges)) ||
        !(b->slots = et_alloc_zero(slots, sizeof *b->slots))) {
        et_bpe_free(b);
        return NULL;
    }
    return b;
}

et_status et_bpe_add_merge(et_bpe *b, int32_t left, int32_t right, bool *twice)
{
    et_strbuf joined = ET_STRBUF_INIT;
    size_t slot = slot_of(b, left, right), nl, nr;
    const char *l = et_vocabulary_text(b->symbols, left, &nl);
    const char *r = et_vocabulary_text(b->symbols, right, &nr);
    int32_t id;

    *twice = b->slots[slot] != 0;
    if (*twice)
        return ET_OK;
    if (!l || !r)
        return et_error_status();
    et_strbuf_add(&joined, l, nl);
    et_strbuf_add(&joined, r, nr);
    id = joined.failed ? ET_ENOMEM : et_vocabulary_add(b->symbols, joined.data, joined.size);
    et_strbuf_free(&joined);
    if (id < 0)
        return et_error_status();
    b->merges[b->n_merges++] = (bpe_merge){left, right, id};
    b->slots[slot] = (int32_t)b->n_merges;
    return ET_OK;
}

et_status et_bpe_finish(et_bpe *b, const char *name)
{
    et_specials_find(&b->specials, texts, b->symbols);
    for (int k = 0; k < ET_N_SPECIALS; k++)
        if (b->specials.ids[k] >= b->size)
            b->specials.ids[k] = -1;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        if ((b->bytes[byte] = et_vocabulary_add(b->symbols, text, et_bpe_byte_text(byte, text))) < 0)
            return et_error_status();
    }
    if (et_vocabulary_size(b->symbols) > b->size && b->specials.ids[ET_TOKEN_UNK] < 0)
        return et_raise(ET_EFORMAT, "%s: has neither '%.80s' nor <unk>", name,
                        et_vocabulary_text(b->symbols, b->size, NULL));
    return ET_OK;
}

void et_bpe_free(et_bpe *b)
{
    if (!b)
        return;
    et_vocabulary_free(b->symbols);
    et_dealloc(b->merges);
    et_dealloc(b->slots);
    et_dealloc(b);
}

int32_t et_bpe_size(const et_bpe *b) { return b ? b->size : 0; }
int64_t et_bpe_merges(const et_bpe *b) { return b ? b->n_merges : 0; }

int32_t et_bpe_special(const et_bpe *b, et_special which)
{
    return b && (int)which >= 0 && (int)which < ET_N_SPECIALS ? b->specials.ids[which] : -1;
}

const char *et_bpe_text(const et_bpe *b, int32_t id)
{
    if (!b || id < 0 || id >= b->size) {
        et_raise(ET_EINVAL, "bpe: no entry %" PRId32 " among %" PRId32, id, et_bpe_size(b));
        return NULL;
    }
    return et_vocabulary_text(b->symbols, id, NULL);
}

/* --- encoding ------------------------------------------------------------------------------- */

enum { ON_STACK = 48 }; /* bytes of a word that needs no memory */

/* A pair that stood at `at` when it was noted. */
typedef struct entry {
    int32_t rank, at, left, right;
} entry;

/* A word at work: symbols in a list, and a heap of the pairs that can be joined. */
typedef struct word {
    const et_bpe *b;
    int32_t *symbol, *next, *prev; /* [n]; a symbol of -1 is gone */
    entry *heap;                   /* [3 n] */
    entry *batch;                  /* [n] */
    int32_t n, n_heap;
} word;

static bool before(const entry *a, const entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(word *w, int32_t at)
{
    int32_t behind = w->next[at], left = w->symbol[at], right, i;
    size_t slot;
    entry e;

    if (behind >= w->n)
        return;
    right = w->symbol[behind];
    slot = slot_of(w->b, left, right);
    if (w->b->slots[slot] == 0)
        return;
    e = (entry){w->b->slots[slot] - 1, at, left, right};
    for (i = w->n_heap++; i > 0 && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static entry pop(word *w)
{
    entry top = w->heap[0], last = w->heap[--w->n_heap];
    int32_t i = 0;

    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= w->n_heap)
            break;
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return top;
}

/* True while the pair still stands where it was noted. */
static bool stands(const word *w, const entry *e)
{
    return w->symbol[e->at] == e->left && w->next[e->at] < w->n && w->symbol[w->next[e->at]] == e->right;
}

static void join(word *w, const entry *e)
{
    int32_t gone = w->next[e->at];

    w->symbol[e->at] = w->b->merges[e->rank].joined;
    w->symbol[gone] = -1;
    w->next[e->at] = w->next[gone];
    if (w->next[gone] < w->n)
        w->prev[w->next[gone]] = e->at;
    push(w, e->at);
    if (w->prev[e->at] >= 0)
        push(w, w->prev[e->at]);
}

/* All places of the pair of the lowest rank are joined before another pair is looked at. */
static void join_all(word *w)
{
    for (int32_t i = 0; i + 1 < w->n; i++)
        push(w, i);
    while (w->n_heap > 0) {
        int32_t n = 0, rank = w->heap[0].rank;

        while (w->n_heap > 0 && w->heap[0].rank == rank) {
            entry e = pop(w);
            if (stands(w, &e))
                w->batch[n++] = e;
        }
        for (int32_t i = 0; i < n; i++)
            if (stands(w, &w->batch[i]))
                join(w, &w->batch[i]);
    }
}

typedef struct work {
    const et_bpe *b;
    et_tokens *out;
} work;

static et_status encode_word(void *user, const char *text, size_t size)
{
    work *k = user;
    int32_t numbers[3 * ON_STACK];
    entry entries[4 * ON_STACK];
    void *memory = NULL;
    word w = {.b = k->b, .n = (int32_t)size};
    et_status status = ET_OK;

    if (size > INT32_MAX / 4)
        return et_raise(ET_EINVAL, "bpe: a word of %zu bytes", size);
    w.heap = entries;
    w.symbol = numbers;
    if (size > ON_STACK) {
        if (!(memory = et_alloc_zero(size, 4 * sizeof(entry) + 3 * sizeof(int32_t))))
            return et_fail_status("bpe");
        w.heap = memory;
        w.symbol = (int32_t *)(void *)(w.heap + 4 * size);
    }
    w.batch = w.heap + 3 * size;
    w.next = w.symbol + size;
    w.prev = w.next + size;
    for (int32_t i = 0; i < w.n; i++) {
        w.symbol[i] = k->b->bytes[(unsigned char)text[i]];
        w.next[i] = i + 1;
        w.prev[i] = i - 1;
    }
    join_all(&w);
    for (int32_t i = 0; i < w.n && status == ET_OK; i = w.next[i])
        status = et_tokens_add(k->out, w.symbol[i] < k->b->size ? w.symbol[i]
                                                                : k->b->specials.ids[ET_TOKEN_UNK]);
    et_dealloc(memory);
    return status;
}

/* Length of text without the white space at its end. */
static size_t without_end(const char *text, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n;) {
        uint32_t c;
        i += et_uc_decode(text + i, n - i, &c);
        if (!(et_uc_class(c) & ET_UC_SPACE))
            kept = i;
    }
    return kept;
}

et_status et_bpe_encode(const et_bpe *b, const char *text, size_t n, et_tokens *out)
{
    work k = {b, out};

    if (!b || !out || (!text && n > 0))
        return et_raise(ET_EINVAL, "bpe: NULL");
    for (size_t at = 0; at < n;) {
        size_t length, next, size;
        int which;

        next = et_specials_next(&b->specials, text, n, at, &which, &length);
        size = next - at;
        if (which == ET_TOKEN_MASK)
            size = without_end(text + at, size);
        if (et_words_gpt2(text + at, size, encode_word, &k) < 0)
            return et_error_status();
        if (which >= 0 && et_tokens_add(out, b->specials.ids[which]) < 0)
            return et_error_status();
        at = next + length;
    }
    return ET_OK;
}

char *et_bpe_decode(const et_bpe *b, const int32_t *ids, int64_t n, size_t *size)
{
    et_strbuf out = ET_STRBUF_INIT;

    if (!b || n < 0 || (!ids && n > 0)) {
        et_raise(ET_EINVAL, "bpe: NULL");
        return NULL;
    }
    for (int64_t i = 0; i < n; i++) {
        const char *piece = et_bpe_text(b, ids[i]);
        size_t length;

        if (!piece) {
            et_strbuf_free(&out);
            return NULL;
        }
        if (ids[i] == b->specials.ids[ET_TOKEN_PAD] || ids[i] == b->specials.ids[ET_TOKEN_BEGIN] ||
            ids[i] == b->specials.ids[ET_TOKEN_END])
            continue;
        et_vocabulary_text(b->symbols, ids[i], &length);
        if (et_specials_has(&b->specials, ids[i])) {
            et_strbuf_add(&out, piece, length);
            continue;
        }
        for (size_t k = 0, used; k < length; k += used) {
            uint32_t c;
            int byte;
            used = et_uc_decode(piece + k, length - k, &c);
            byte = byte_of(c);
            if (byte >= 0)
                et_strbuf_putc(&out, (char)byte);
            else
                et_strbuf_add(&out, piece + k, used); /* an entry that is not made of bytes */
        }
    }
    if (size)
        *size = out.size;
    return et_strbuf_take(&out);
}
