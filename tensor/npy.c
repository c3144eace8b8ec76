/* .npy: "\x93NUMPY", two bytes of version, the length of the header (2 bytes, from
 * version 2 on 4), the header, the elements. The header is a Python dictionary of three
 * entries, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, with blanks and a
 * new line at the end that align the elements. */
#include "config.h"

#include "tensor/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/strbuf.h"
#include "tensor/wire.h"

enum { MAX_HEADER = 1 << 20, PREFIX = 10, ALIGN = 64 };

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

typedef struct header {
    et_wire wire;
    bool big_endian, fortran;
    int ndim;
    int64_t shape[ET_MAX_DIMS];
} header;

/* The text of the header while it is read. */
typedef struct text {
    const char *at, *end;
    const char *name; /* of the file */
} text;

/* --- reading the header ------------------------------------------------------------- */

static bool malformed(const text *t, const char *what)
{
    et_raise(ET_EFORMAT, "%s: not a valid .npy header: %s", t->name, what);
    return false;
}

static void blanks(text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r'))
        t->at++;
}

/* Skips blanks and, if it comes next, c. */
static bool accept(text *t, char c)
{
    blanks(t);
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

static bool accept_word(text *t, const char *word)
{
    size_t n = strlen(word);

    blanks(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
        return false;
    t->at += n;
    return true;
}

/* A string that begins here, in either kind of quotes, without escapes, of less than `size` bytes. */
static bool quoted(text *t, char *out, size_t size)
{
    size_t n = 0;
    char quote;

    if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
        return malformed(t, "a string is expected");
    quote = *t->at++;
    while (t->at < t->end && *t->at != quote && n + 1 < size)
        out[n++] = *t->at++;
    if (t->at == t->end || *t->at != quote)
        return malformed(t, "a string that does not end, or a very long one");
    t->at++;
    out[n] = 0;
    return true;
}

static bool parse_descr(text *t, header *h)
{
    static const struct {
        char code[3];
        unsigned char wire;
    } known[] = {{"b1", ET_WIRE_BOOL}, {"u1", ET_WIRE_U8},  {"i1", ET_WIRE_I8},  {"u2", ET_WIRE_U16},
                 {"i2", ET_WIRE_I16},  {"u4", ET_WIRE_U32}, {"i4", ET_WIRE_I32}, {"u8", ET_WIRE_U64},
                 {"i8", ET_WIRE_I64},  {"f2", ET_WIRE_F16}, {"f4", ET_WIRE_F32}, {"f8", ET_WIRE_F64}};
    char descr[32];
    size_t i;

    blanks(t);
    if (t->at < t->end && *t->at == '[') {
        et_raise(ET_EDTYPE, "%s: an array of structures; plain numbers are expected", t->name);
        return false;
    }
    if (!quoted(t, descr, sizeof descr))
        return false;
    for (i = 0; descr[0] && i < sizeof known / sizeof known[0]; i++)
        if (strchr("<>|=", descr[0]) && !strcmp(descr + 1, known[i].code)) {
            h->wire = (et_wire)known[i].wire;
            h->big_endian = descr[0] == '>';
            if (et_wire_size(h->wire) > 1 && (descr[0] == '|' || descr[0] == '='))
                break;
            return true;
        }
    et_raise(ET_EDTYPE, "%s: elements of type '%s', which cannot be read", t->name, descr);
    return false;
}

static bool parse_shape(text *t, header *h)
{
    uint64_t v;
    bool comma = false;

    if (!accept(t, '('))
        return malformed(t, "the shape must be a tuple");
    h->ndim = 0;
    while (!accept(t, ')')) {
        if (h->ndim > 0 && !comma)
            return malformed(t, "a comma is missing in the shape");
        if (t->at == t->end || *t->at < '0' || *t->at > '9')
            return malformed(t, "a size in the shape is not a number");
        for (v = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
            if (v > ((uint64_t)INT64_MAX - 9) / 10)
                return malformed(t, "a size in the shape is too large");
            v = v * 10 + (uint64_t)(*t->at - '0');
        }
        if (t->at < t->end && *t->at == 'L') /* as Python 2 wrote some */
            t->at++;
        if (h->ndim == ET_MAX_DIMS) {
            et_raise(ET_ESHAPE, "%s: more than %d dimensions", t->name, ET_MAX_DIMS);
            return false;
        }
        h->shape[h->ndim++] = (int64_t)v;
        comma = accept(t, ',');
    }
    return h->ndim != 1 || comma || malformed(t, "a tuple of one number needs a comma");
}

static bool parse_header(text *t, header *h)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0, now;
    bool comma = true, ok;
    char key[32];

    if (!accept(t, '{'))
        return malformed(t, "it does not begin with '{'");
    while (!accept(t, '}')) {
        if (!comma)
            return malformed(t, "a comma is missing");
        if (!quoted(t, key, sizeof key))
            return false;
        if (!accept(t, ':'))
            return malformed(t, "':' is missing");
        if (!strcmp(key, "descr")) {
            now = DESCR;
            ok = parse_descr(t, h);
        } else if (!strcmp(key, "fortran_order")) {
            now = ORDER;
            h->fortran = accept_word(t, "True");
            ok = h->fortran || accept_word(t, "False") || malformed(t, "fortran_order must be True or False");
        } else if (!strcmp(key, "shape")) {
            now = SHAPE;
            ok = parse_shape(t, h);
        } else {
            return malformed(t, "an unknown key");
        }
        if (!ok)
            return false;
        if (seen & now)
            return malformed(t, "a key stands twice");
        seen |= now;
        comma = accept(t, ',');
    }
    blanks(t);
    if (t->at != t->end)
        return malformed(t, "something follows the dictionary");
    return seen == (DESCR | ORDER | SHAPE) || malformed(t, "a key is missing");
}

/* Bytes of all elements, false on overflow. A shape with a zero has none. */
static bool data_bytes(const header *h, uint64_t *bytes)
{
    int64_t n = (int64_t)et_wire_size(h->wire);
    bool empty = false, fits = true;
    int d;

    for (d = 0; d < h->ndim; d++) {
        empty |= h->shape[d] == 0;
        if (fits && h->shape[d] != 0)
            fits = et_mul_i64(n, h->shape[d], &n);
    }
    *bytes = empty ? 0 : (uint64_t)n;
    return empty || fits;
}

/* Reads what stands before the header: where that starts, and its length. */
static bool read_prefix(et_reader *r, uint64_t *start, uint64_t *length)
{
    const char *name = et_reader_name(r);
    const uint64_t size = et_reader_size(r);
    unsigned char prefix[PREFIX + 2] = {0};

    if (size < PREFIX || et_reader_at(r, 0, prefix, PREFIX) != ET_OK || memcmp(prefix, magic, sizeof magic)) {
        et_raise(ET_EFORMAT, "%s: not a .npy file", name);
        return false;
    }
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0) {
        et_raise(ET_EFORMAT, "%s: .npy version %d.%d is unknown", name, prefix[6], prefix[7]);
        return false;
    }
    *start = PREFIX;
    if (prefix[6] > 1) {
        *start = PREFIX + 2;
        if (et_reader_at(r, 0, prefix, PREFIX + 2) != ET_OK)
            return false;
    }
    *length = prefix[6] > 1 ? et_load_u32le(prefix + 8) : et_load_u16le(prefix + 8);
    if (*length > MAX_HEADER || *length > size - *start) {
        et_raise(ET_EFORMAT, "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64, name, *length, size);
        return false;
    }
    return true;
}

/* Reads prefix and header. Returns where the elements start; 0 after an error. */
static uint64_t read_header(et_reader *r, header *h)
{
    uint64_t start, length;

    if (!read_prefix(r, &start, &length))
        return 0;
    char *head = et_alloc((size_t)length);
    if (!head)
        return 0;
    text t = {.at = head, .end = head + length, .name = et_reader_name(r)};
    const bool ok = et_reader_at(r, start, head, (size_t)length) == ET_OK && parse_header(&t, h);
    et_dealloc(head);
    return ok ? start + length : 0;
}

static et_tensor *read_array(et_reader *r)
{
    const char *name = et_reader_name(r);
    const uint64_t size = et_reader_size(r);
    uint64_t bytes;
    header h = {0};
    et_tensor *x;
    const uint64_t start = read_header(r, &h);

    if (!start)
        return NULL;
    if (!data_bytes(&h, &bytes) || bytes != size - start) {
        char shape[ET_SHAPE_TEXT];

        et_raise(ET_EFORMAT, "%s: %" PRIu64 " bytes follow the header, which does not fit the shape %s", name,
                 size - start, et_shape_text(shape, h.ndim, h.shape));
        return NULL;
    }
    x = et_empty(et_wire_dtype(h.wire), h.ndim, h.shape);
    if (!x)
        return NULL;
    if (et_wire_read(r, start, h.wire, h.big_endian, h.fortran, x, name) != ET_OK) {
        et_free(et_own(x));
        return NULL;
    }
    return x;
}

et_tensor *et_npy_read(const char *path)
{
    et_reader *r = et_reader_open(path);
    et_tensor *x = r ? read_array(r) : NULL;

    et_reader_close(r);
    return x;
}

et_tensor *et_npy_parse(const void *data, size_t size, const char *name)
{
    et_reader *r = et_reader_memory(data, size, name);
    et_tensor *x = r ? read_array(r) : NULL;

    et_reader_close(r);
    return x;
}

/* --- writing -------------------------------------------------------------------------- */

/* Prefix and header, a multiple of ALIGN bytes in all. */
static bool put_header(et_strbuf *b, const et_tensor *x)
{
    static const char *const descr[ET_N_DTYPES] = {"<f4", "<f8", "<i4", "|u1", NULL};
    size_t length;
    int d;

    et_strbuf_add(b, magic, sizeof magic);
    et_strbuf_add(b, "\1\0\0\0", 4);
    et_strbuf_printf(b, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[x->dtype]);
    for (d = 0; d < x->ndim; d++)
        et_strbuf_printf(b, "%s%" PRId64, d ? ", " : "", x->shape[d]);
    et_strbuf_puts(b, x->ndim == 1 ? ",), }" : "), }");
    et_strbuf_fill(b, ' ', (ALIGN - (b->size + 1) % ALIGN) % ALIGN);
    et_strbuf_putc(b, '\n');
    if (b->failed)
        return false;
    length = b->size - PREFIX; /* eight sizes of 19 digits stay far below 65536 */
    et_store_u16le((unsigned char *)b->data + 8, (uint16_t)length);
    return true;
}

et_status et_npy_write(const char *path, const et_tensor *x)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_writer *w = NULL;
    et_status status;

    if (et_error_status() != ET_OK)
        return et_fail_status("npy_write");
    if (!path || !x)
        return et_raise(ET_EINVAL, "npy_write: the %s is NULL", path ? "tensor" : "path");
    if (x->dtype == ET_BF16)
        return et_raise(ET_EDTYPE, "npy_write: %s: NumPy has no bfloat16; convert to float32 first", path);
    if (!et_data(x))
        return et_fail_status("npy_write");
    if (put_header(&b, x))
        w = et_writer_open(path);
    if (!w) {
        et_strbuf_free(&b);
        return et_error_status();
    }
    et_writer_put(w, b.data, b.size);
    et_strbuf_free(&b);
    status = et_wire_write(w, x);
    if (status == ET_OK)
        return et_writer_commit(w);
    et_writer_discard(w);
    return status;
}
