/* Special tokens, counts of words, and learning which neighbours to join. */
#include "config.h"

#include "datasets/tokenizer.h"

#include <string.h>

#include "tensor/alloc.h"
#include "tensor/strbuf.h"

/* --- special tokens ------------------------------------------------------------------------ */

void et_specials_find(et_specials *s, const char *const texts[ET_N_SPECIALS], const et_vocabulary *v)
{
    s->texts = texts;
    for (int k = 0; k < ET_N_SPECIALS; k++)
        s->ids[k] = et_vocabulary_find(v, texts[k], strlen(texts[k]));
}

size_t et_specials_next(const et_specials *s, const char *text, size_t size, size_t from, int *which,
                        size_t *length)
{
    for (size_t i = from; i < size; i++) {
        const char *p = memchr(text + i, s->texts[0][0], size - i); /* all begin alike */
        if (!p)
            break;
        i = (size_t)(p - text);
        for (int k = 0; k < ET_N_SPECIALS; k++) {
            *length = strlen(s->texts[k]);
            if (s->ids[k] >= 0 && *length <= size - i && memcmp(p, s->texts[k], *length) == 0) {
                *which = k;
                return i;
            }
        }
    }
    *which = -1;
    *length = 0;
    return size;
}

bool et_specials_has(const et_specials *s, int32_t id)
{
    for (int k = 0; k < ET_N_SPECIALS; k++)
        if (s->ids[k] == id)
            return true;
    return false;
}

/* --- counts of words ----------------------------------------------------------------------- */

static et_status count_word(void *user, const char *word, size_t size)
{
    et_word_list *list = user;
    int32_t id = et_vocabulary_add(list->words, word, size);

    if (id < 0)
        return et_error_status();
    if ((size_t)id >= list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room, bytes;
        int64_t *p = et_mul_size(room, sizeof *p, &bytes) ? et_alloc_resize(list->counts, bytes) : NULL;
        if (!p)
            return et_raise(ET_ENOMEM, "words: out of memory");
        memset(p + list->room, 0, (room - list->room) * sizeof *p);
        list->counts = p;
        list->room = room;
    }
    list->counts[id]++;
    return ET_OK;
}

et_status et_word_list_fill(et_word_list *list, const et_names *texts,
                            et_status (*cut)(const char *, size_t, et_word_fn, void *))
{
    if (!list->words && !(list->words = et_vocabulary_new()))
        return et_error_status();
    for (int64_t i = 0; i < texts->n; i++)
        if (cut(texts->items[i], strlen(texts->items[i]), count_word, list) < 0)
            return et_error_status();
    return ET_OK;
}

void et_word_list_free(et_word_list *list)
{
    et_vocabulary_free(list->words);
    et_dealloc(list->counts);
    *list = (et_word_list){NULL, NULL, 0};
}

/* --- pairs of neighbours ------------------------------------------------------------------- */

typedef struct pair {
    int32_t left, right;
    int64_t count;
} pair;

typedef struct pairs {
    pair *items; /* [room], in the order in which they were first seen */
    int32_t *slots; /* [2 room] number + 1, 0: empty */
    size_t n, room;
} pairs;

static size_t slot_of(const pairs *p, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    size_t mask = 2 * p->room - 1, i = (size_t)(h >> 32) & mask;

    for (; p->slots[i] != 0; i = (i + 1) & mask) {
        const pair *q = &p->items[p->slots[i] - 1];
        if (q->left == left && q->right == right)
            break;
    }
    return i;
}

static et_status more_room(pairs *p)
{
    size_t room = p->room == 0 ? 1024 : 2 * p->room, bytes;
    pair *items;
    int32_t *slots;

    if (room > INT32_MAX / 2 || !et_mul_size(room, sizeof *items, &bytes))
        return et_raise(ET_ENOMEM, "pairs: too many");
    if (!(items = et_alloc_resize(p->items, bytes)))
        return et_fail_status("pairs");
    p->items = items;
    if (!(slots = et_alloc_zero(room, 2 * sizeof *slots)))
        return et_fail_status("pairs");
    et_dealloc(p->slots);
    p->slots = slots;
    p->room = room;
    for (size_t i = 0; i < p->n; i++)
        p->slots[slot_of(p, items[i].left, items[i].right)] = (int32_t)i + 1;
    return ET_OK;
}

static et_status add_pair(pairs *p, int32_t left, int32_t right, int64_t count)
{
    size_t slot;

    if (p->n == p->room && more_room(p) < 0)
        return et_error_status();
    slot = slot_of(p, left, right);
    if (p->slots[slot] == 0) {
        p->items[p->n] = (pair){left, right, 0};
        p->slots[slot] = (int32_t)++p->n;
    }
    p->items[p->slots[slot] - 1].count += count;
    return ET_OK;
}

/* Adds `count` to every pair of a word of n symbols. */
static et_status add_word(pairs *p, const int32_t *word, int64_t n, int64_t count)
{
    for (int64_t i = 0; i + 1 < n; i++)
        if (add_pair(p, word[i], word[i + 1], count) < 0)
            return et_error_status();
    return ET_OK;
}

static int compare_texts(const et_vocabulary *v, int32_t a, int32_t b)
{
    size_t na, nb;
    const char *ta = et_vocabulary_text(v, a, &na), *tb = et_vocabulary_text(v, b, &nb);
    int c = memcmp(ta, tb, na < nb ? na : nb);
    return c != 0 ? c : (na > nb) - (na < nb);
}

/* The most frequent pair, NULL if none occurs. */
static const pair *most_frequent(const pairs *p, const et_vocabulary *v)
{
    const pair *best = NULL;

    for (size_t i = 0; i < p->n; i++) {
        const pair *q = &p->items[i];
        int c;
        if (q->count < 1 || (best && q->count < best->count))
            continue;
        if (best && q->count == best->count) {
            c = compare_texts(v, q->left, best->left);
            if (c == 0)
                c = compare_texts(v, q->right, best->right);
            if (c > 0)
                continue;
        }
        best = q;
    }
    return best;
}

/* Joins left and right in a word of n symbols; returns how many are left. */
static int64_t join(int32_t *word, int64_t n, int32_t left, int32_t right, int32_t joined)
{
    int64_t to = 0;

    for (int64_t i = 0; i < n; i++)
        if (i + 1 < n && word[i] == left && word[i + 1] == right) {
            word[to++] = joined;
            i++;
        } else {
            word[to++] = word[i];
        }
    return to;
}

static bool contains(const int32_t *word, int64_t n, int32_t left, int32_t right)
{
    for (int64_t i = 0; i + 1 < n; i++)
        if (word[i] == left && word[i + 1] == right)
            return true;
    return false;
}

/* Number of the text of left and right together. */
static int32_t add_joined(et_vocabulary *v, int32_t left, int32_t right, const char *inner)
{
    et_strbuf b = ET_STRBUF_INIT;
    size_t nl, nr, skip = strlen(inner);
    const char *l = et_vocabulary_text(v, left, &nl), *r = et_vocabulary_text(v, right, &nr);
    int32_t id;

    if (nr < skip || memcmp(r, inner, skip) != 0)
        skip = 0;
    et_strbuf_add(&b, l, nl);
    et_strbuf_add(&b, r + skip, nr - skip);
    id = b.failed ? ET_ENOMEM : et_vocabulary_add(v, b.data, b.size);
    et_strbuf_free(&b);
    return id;
}

et_status et_learn_pairs(int32_t *symbols, const int64_t *starts, const int64_t *counts, int64_t words,
                         et_vocabulary *v, const char *inner, int32_t size, int64_t least, et_tokens *merges)
{
    pairs p = {NULL, NULL, 0, 0};
    int64_t *lengths = et_alloc_zero((size_t)words, sizeof *lengths);
    et_status status = lengths ? ET_OK : et_error_status();

    for (int64_t w = 0; status == ET_OK && w < words; w++) {
        lengths[w] = starts[w + 1] - starts[w];
        status = add_word(&p, symbols + starts[w], lengths[w], counts[w]);
    }
    while (status == ET_OK && et_vocabulary_size(v) < size) {
        const pair *best = most_frequent(&p, v);
        int32_t left, right, joined;

        if (!best || best->count < least)
            break;
        left = best->left;
        right = best->right;
        joined = add_joined(v, left, right, inner);
        if (joined < 0 || (merges && (et_tokens_add(merges, left) < 0 || et_tokens_add(merges, right) < 0)))
            status = et_error_status();
        for (int64_t w = 0; status == ET_OK && w < words; w++) {
            int32_t *word = symbols + starts[w];
            if (!contains(word, lengths[w], left, right))
                continue;
            status = add_word(&p, word, lengths[w], -counts[w]);
            lengths[w] = join(word, lengths[w], left, right, joined);
            if (status == ET_OK)
                status = add_word(&p, word, lengths[w], counts[w]);
        }
    }
    et_dealloc(lengths);
    et_dealloc(p.items);
    et_dealloc(p.slots);
    return status;
}
