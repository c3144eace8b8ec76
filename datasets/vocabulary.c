/* Texts and their numbers: one block of text, and an open hash table. */
#include "config.h"

#include "datasets/vocabulary.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/strbuf.h"

enum { FILE_LIMIT = 256 << 20 };

struct et_vocabulary {
    et_strbuf text; /* the entries, each with a NUL behind it */
    size_t *starts; /* [room + 1]; entry i is text[starts[i] .. starts[i + 1] - 2] */
    size_t room;
    int32_t *slots; /* [n_slots] number + 1, 0: empty */
    size_t n_slots; /* a power of two, at least twice the entries */
    int32_t n;
};

et_vocabulary *et_vocabulary_new(void)
{
    et_vocabulary *v = et_alloc_zero(1, sizeof *v);

    if (!v)
        return NULL;
    v->n_slots = 64;
    v->slots = et_alloc_zero(v->n_slots, sizeof *v->slots);
    if (!v->slots) {
        et_dealloc(v);
        return NULL;
    }
    return v;
}

void et_vocabulary_free(et_vocabulary *v)
{
    if (!v)
        return;
    et_strbuf_free(&v->text);
    et_dealloc(v->starts);
    et_dealloc(v->slots);
    et_dealloc(v);
}

int32_t et_vocabulary_size(const et_vocabulary *v) { return v ? v->n : 0; }

/* FNV-1a, the high half folded in. */
static size_t hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the text, or the empty one where it would go. */
static size_t slot_of(const et_vocabulary *v, const char *text, size_t n)
{
    size_t i = hash(text, n) & (v->n_slots - 1);

    for (; v->slots[i] != 0; i = (i + 1) & (v->n_slots - 1)) {
        size_t start = v->starts[v->slots[i] - 1];
        if (v->starts[v->slots[i]] - start - 1 == n && memcmp(v->text.data + start, text, n) == 0)
            break;
    }
    return i;
}

int32_t et_vocabulary_find(const et_vocabulary *v, const char *text, size_t n)
{
    return v && text ? v->slots[slot_of(v, text, n)] - 1 : -1;
}

static et_status more_slots(et_vocabulary *v)
{
    size_t old = v->n_slots;
    int32_t *slots = et_alloc_zero(old, 2 * sizeof *slots);

    if (!slots)
        return et_fail_status("vocabulary");
    et_dealloc(v->slots);
    v->slots = slots;
    v->n_slots = 2 * old;
    for (int32_t i = 0; i < v->n; i++)
        v->slots[slot_of(v, v->text.data + v->starts[i], v->starts[i + 1] - v->starts[i] - 1)] = i + 1;
    return ET_OK;
}

int32_t et_vocabulary_add(et_vocabulary *v, const char *text, size_t n)
{
    int32_t found;

    if (!v || !text)
        return et_raise(ET_EINVAL, "vocabulary: NULL");
    if ((found = et_vocabulary_find(v, text, n)) >= 0)
        return found;
    if (v->n == INT32_MAX - 1)
        return et_raise(ET_ENOMEM, "vocabulary: too many entries");
    if ((size_t)v->n + 2 > v->room) {
        size_t room = v->room == 0 ? 64 : 2 * v->room, bytes;
        size_t *starts = et_mul_size(room, sizeof *starts, &bytes) ? et_alloc_resize(v->starts, bytes) : NULL;
        if (!starts)
            return et_raise(ET_ENOMEM, "vocabulary: out of memory");
        starts[0] = 0;
        v->starts = starts;
        v->room = room;
    }
    if (2 * ((size_t)v->n + 1) > v->n_slots && more_slots(v) < 0)
        return et_error_status();
    if (!et_strbuf_reserve(&v->text, n + 1))
        return et_fail_status("vocabulary");
    v->slots[slot_of(v, text, n)] = v->n + 1;
    et_strbuf_add(&v->text, text, n);
    et_strbuf_putc(&v->text, '\0');
    v->starts[++v->n] = v->text.size;
    return v->n - 1;
}

const char *et_vocabulary_text(const et_vocabulary *v, int32_t id, size_t *n)
{
    if (!v || id < 0 || id >= v->n) {
        et_raise(ET_EINVAL, "vocabulary: no entry %" PRId32 " among %" PRId32, id, et_vocabulary_size(v));
        return NULL;
    }
    if (n)
        *n = v->starts[id + 1] - v->starts[id] - 1;
    return v->text.data + v->starts[id];
}

/* --- files ----------------------------------------------------------------------------- */

et_vocabulary *et_vocabulary_parse(const char *text, size_t n, const char *name)
{
    et_vocabulary *v = et_vocabulary_new();
    int64_t line = 1;

    if (!v)
        return NULL;
    if (n > 0 && !text) {
        et_raise(ET_EINVAL, "vocabulary: NULL");
        goto fail;
    }
    for (size_t at = 0, next; at < n; at = next, line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t size = end ? (size_t)(end - text) - at : n - at;
        int32_t before = v->n;

        next = at + size + 1;
        if (end && size > 0 && text[at + size - 1] == '\r')
            size--;
        if (size == 0) {
            et_raise(ET_EFORMAT, "%s:%" PRId64 ": an empty line", name, line);
            goto fail;
        }
        if (memchr(text + at, '\0', size)) {
            et_raise(ET_EFORMAT, "%s:%" PRId64 ": a NUL byte", name, line);
            goto fail;
        }
        if (et_vocabulary_add(v, text + at, size) < 0)
            goto fail;
        if (v->n == before) {
            et_raise(ET_EFORMAT, "%s:%" PRId64 ": '%.*s' stands already in line %" PRId32, name, line,
                     size < 80 ? (int)size : 80, text + at, et_vocabulary_find(v, text + at, size) + 1);
            goto fail;
        }
    }
    if (v->n == 0) {
        et_raise(ET_EFORMAT, "%s: empty", name);
        goto fail;
    }
    return v;
fail:
    et_vocabulary_free(v);
    return NULL;
}

et_vocabulary *et_vocabulary_read(const char *path)
{
    et_vocabulary *v;
    unsigned char *data;
    size_t size;

    if (et_file_read(path, FILE_LIMIT, &data, &size) < 0)
        return NULL;
    v = et_vocabulary_parse((const char *)data, size, path);
    et_dealloc(data);
    return v;
}

et_status et_vocabulary_write(const et_vocabulary *v, const char *path)
{
    et_writer *w;

    if (!v || v->n == 0)
        return et_raise(ET_EINVAL, "vocabulary: empty");
    for (int32_t i = 0; i < v->n; i++) {
        size_t n;
        const char *text = et_vocabulary_text(v, i, &n);
        if (n == 0 || memchr(text, '\n', n) || memchr(text, '\0', n) || text[n - 1] == '\r')
            return et_raise(ET_EINVAL, "vocabulary: entry %" PRId32 " cannot stand in a line", i);
    }
    if (!(w = et_writer_open(path)))
        return et_error_status();
    for (int32_t i = 0; i < v->n; i++) {
        size_t n;
        const char *text = et_vocabulary_text(v, i, &n);
        et_writer_put(w, text, n);
        et_writer_put(w, "\n", 1);
    }
    return et_writer_commit(w);
}
