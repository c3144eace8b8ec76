/* Reading safetensors. */
#include "config.h"

#include "tensor/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/json.h"
#include "tensor/sort.h"
#include "tensor/wire.h"

enum { PREFIX = 8, MAX_HEADER = 100 * 1000 * 1000, WHAT = 512 };

typedef struct entry {
    et_safetensors_entry public;
    et_wire wire;
} entry;

struct et_safetensors {
    et_reader *reader;
    et_json *json;
    const et_json_value *metadata;
    entry *entries;
    int64_t n;
    uint64_t start; /* of the elements */
};

/* The dtypes of the format; those beyond our own are known by their size. */
static const struct {
    const char *name;
    int bits;
    int wire; /* -1: cannot be read */
} dtypes[] = {{"BOOL", 8, ET_WIRE_BOOL},
              {"U8", 8, ET_WIRE_U8},
              {"I8", 8, ET_WIRE_I8},
              {"U16", 16, ET_WIRE_U16},
              {"I16", 16, ET_WIRE_I16},
              {"U32", 32, ET_WIRE_U32},
              {"I32", 32, ET_WIRE_I32},
              {"U64", 64, ET_WIRE_U64},
              {"I64", 64, ET_WIRE_I64},
              {"F16", 16, ET_WIRE_F16},
              {"BF16", 16, ET_WIRE_BF16},
              {"F32", 32, ET_WIRE_F32},
              {"F64", 64, ET_WIRE_F64},
              {"F8_E5M2", 8, -1},
              {"F8_E4M3", 8, -1},
              {"F8_E8M0", 8, -1},
              {"C64", 64, -1},
              {"F4", 4, -1},
              {"F6_E2M3", 6, -1},
              {"F6_E3M2", 6, -1}};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

/* --- the header -------------------------------------------------------------------- */

static bool malformed(const et_safetensors *f, const char *name, const char *what)
{
    et_raise(ET_EFORMAT, "%s: tensor \"%.200s\": %s", et_reader_name(f->reader), name, what);
    return false;
}

/* A non-negative integer. */
static bool get_size(const et_json_value *v, int64_t *out)
{
    *out = v && v->type == ET_JSON_NUMBER && v->is_int ? v->integer : -1;
    return *out >= 0;
}

static bool read_shape(const et_safetensors *f, const et_json_value *v, et_safetensors_entry *e)
{
    const et_json_value *s;

    if (!v || v->type != ET_JSON_ARRAY)
        return malformed(f, e->name, "\"shape\" is not an array");
    if (v->count > ET_MAX_DIMS) {
        et_raise(ET_ESHAPE, "%s: tensor \"%.200s\" has %zu dimensions, at most %d can be read",
                 et_reader_name(f->reader), e->name, v->count, ET_MAX_DIMS);
        return false;
    }
    for (s = v->first; s; s = s->next)
        if (!get_size(s, &e->shape[e->ndim++]))
            return malformed(f, e->name, "a size is not a non-negative integer");
    return true;
}

/* Bits of all elements, false if they do not fit. A shape with a zero has none. */
static bool data_bits(const et_safetensors_entry *e, int bits, int64_t *out)
{
    bool fits = true;
    int d;

    for (d = 0; d < e->ndim; d++)
        if (e->shape[d] == 0) {
            *out = 0;
            return true;
        }
    *out = bits;
    for (d = 0; d < e->ndim && fits; d++)
        fits = et_mul_i64(*out, e->shape[d], out);
    return fits;
}

static bool read_place(const et_safetensors *f, const et_json_value *v, int bits, et_safetensors_entry *e)
{
    uint64_t room = et_reader_size(f->reader) - f->start;
    int64_t begin, end, want;

    if (!v || v->type != ET_JSON_ARRAY || v->count != 2 || !get_size(v->first, &begin) ||
        !get_size(v->first->next, &end))
        return malformed(f, e->name, "\"data_offsets\" are not two non-negative integers");
    if (begin > end || (uint64_t)end > room)
        return malformed(f, e->name, "\"data_offsets\" lie outside of the file");
    if (!data_bits(e, bits, &want) || want % 8 || want / 8 != end - begin)
        return malformed(f, e->name, "\"data_offsets\" do not fit shape and dtype");
    e->begin = f->start + (uint64_t)begin;
    e->end = f->start + (uint64_t)end;
    return true;
}

static bool read_entry(const et_safetensors *f, const et_json_value *member, entry *out)
{
    et_safetensors_entry *e = &out->public;
    const et_json_value *stored;
    int i = 0;

    e->name = member->key;
    if (strlen(member->key) != member->key_length)
        return malformed(f, e->name, "the name contains a NUL");
    if (member->type != ET_JSON_OBJECT)
        return malformed(f, e->name, "it is described by something else than an object");
    stored = et_json_get(member, "dtype");
    if (!stored || stored->type != ET_JSON_STRING)
        return malformed(f, e->name, "\"dtype\" is not a string");
    while (i < N_DTYPES && strcmp(stored->string, dtypes[i].name))
        i++;
    if (i == N_DTYPES || strlen(stored->string) != stored->length)
        return malformed(f, e->name, "an unknown dtype");
    if (member->count != 3)
        return malformed(f, e->name, "exactly \"dtype\", \"shape\" and \"data_offsets\" are expected");
    e->stored = dtypes[i].name;
    e->readable = dtypes[i].wire >= 0;
    out->wire = e->readable ? (et_wire)dtypes[i].wire : ET_WIRE_U8;
    e->dtype = et_wire_dtype(out->wire);
    return read_shape(f, et_json_get(member, "shape"), e) &&
           read_place(f, et_json_get(member, "data_offsets"), dtypes[i].bits, e);
}

static bool read_metadata(et_safetensors *f, const et_json_value *v)
{
    const et_json_value *m;

    f->metadata = v;
    if (v->type != ET_JSON_OBJECT) {
        et_raise(ET_EFORMAT, "%s: \"__metadata__\" is not an object", et_reader_name(f->reader));
        return false;
    }
    for (m = v->first; m; m = m->next)
        if (m->type != ET_JSON_STRING) {
            et_raise(ET_EFORMAT, "%s: metadata \"%.200s\" is not a string", et_reader_name(f->reader),
                     m->key);
            return false;
        }
    return true;
}

/* Order of entries by place; those without bytes before those that begin there. */
static int compare_places(const void *a, const void *b)
{
    const et_safetensors_entry *x = &((const entry *)a)->public, *y = &((const entry *)b)->public;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The entries, in the order of their places, must follow one another from the start of
 * the data to its end. */
static bool check_cover(const et_safetensors *f)
{
    uint64_t at = f->start, size = et_reader_size(f->reader);
    bool ok = true;
    int64_t i;
    void **v;

    v = et_alloc((size_t)f->n * sizeof *v);
    if (!v)
        return false;
    for (i = 0; i < f->n; i++)
        v[i] = &f->entries[i];
    et_sort_pointers(v, (size_t)f->n, compare_places);
    for (i = 0; i < f->n && ok; i++) {
        const et_safetensors_entry *e = &((const entry *)v[i])->public;

        if (e->begin != at)
            ok = malformed(f, e->name,
                           e->begin < at ? "its data overlaps another's" : "there is a gap before its data");
        at = e->end;
    }
    et_dealloc(v);
    if (ok && at != size) {
        et_raise(ET_EFORMAT, "%s: %" PRIu64 " bytes follow the last tensor", et_reader_name(f->reader),
                 size - at);
        return false;
    }
    return ok;
}

static bool read_header(et_safetensors *f)
{
    const char *name = et_reader_name(f->reader);
    uint64_t size = et_reader_size(f->reader), length;
    unsigned char prefix[PREFIX];
    const et_json_value *root, *m;
    char *text;

    if (size < PREFIX) {
        et_raise(ET_EFORMAT, "%s: %" PRIu64 " bytes are too few for a safetensors file", name, size);
        return false;
    }
    if (et_reader_at(f->reader, 0, prefix, PREFIX) != ET_OK)
        return false;
    length = et_load_u64le(prefix);
    if (length > MAX_HEADER || length > size - PREFIX) {
        et_raise(ET_EFORMAT, "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64 " (limit %d)", name,
                 length, size, MAX_HEADER);
        return false;
    }
    f->start = PREFIX + length;
    text = et_alloc((size_t)length);
    if (text && et_reader_at(f->reader, PREFIX, text, (size_t)length) == ET_OK)
        f->json = et_json_parse(text, (size_t)length, name);
    et_dealloc(text);
    root = et_json_root(f->json);
    if (!root)
        return false;
    if (root->type != ET_JSON_OBJECT) {
        et_raise(ET_EFORMAT, "%s: the header is not a JSON object", name);
        return false;
    }
    f->entries = et_alloc_zero(root->count, sizeof *f->entries);
    if (!f->entries)
        return false;
    for (m = root->first; m; m = m->next) {
        if (!strcmp(m->key, "__metadata__")) {
            if (!read_metadata(f, m))
                return false;
        } else if (!read_entry(f, m, &f->entries[f->n++])) {
            return false;
        }
    }
    return check_cover(f);
}

static et_safetensors *open_reader(et_reader *reader)
{
    et_safetensors *f;

    if (!reader)
        return NULL;
    f = et_alloc_zero(1, sizeof *f);
    if (!f) {
        et_reader_close(reader);
        return NULL;
    }
    f->reader = reader;
    if (!read_header(f)) {
        et_safetensors_close(f);
        return NULL;
    }
    return f;
}

et_safetensors *et_safetensors_open(const char *path) { return open_reader(et_reader_open(path)); }

et_safetensors *et_safetensors_open_memory(const void *data, size_t size, const char *name)
{
    return open_reader(et_reader_memory(data, size, name));
}

void et_safetensors_close(et_safetensors *file)
{
    if (!file)
        return;
    et_dealloc(file->entries);
    et_json_free(file->json);
    et_reader_close(file->reader);
    et_dealloc(file);
}

/* --- what is in it --------------------------------------------------------------------- */

int64_t et_safetensors_count(const et_safetensors *file) { return file ? file->n : 0; }

const et_safetensors_entry *et_safetensors_at(const et_safetensors *file, int64_t i)
{
    return file && i >= 0 && i < file->n ? &file->entries[i].public : NULL;
}

/* Entries are the members of the header in their order, without the metadata. */
static const entry *find(const et_safetensors *file, const char *name)
{
    const et_json_value *m = file ? et_json_get(et_json_root(file->json), name) : NULL;

    if (!m || m == file->metadata)
        return NULL;
    return &file->entries[m->index - (file->metadata && file->metadata->index < m->index)];
}

const et_safetensors_entry *et_safetensors_find(const et_safetensors *file, const char *name)
{
    const entry *e = find(file, name);

    return e ? &e->public : NULL;
}

const char *et_safetensors_meta(const et_safetensors *file, const char *key)
{
    return file && file->metadata ? et_json_get_string(file->metadata, key, NULL) : NULL;
}

bool et_safetensors_meta_at(const et_safetensors *file, int64_t i, const char **key, const char **value)
{
    const et_json_value *m = file && file->metadata && i >= 0 ? file->metadata->first : NULL;

    for (; m && i > 0; i--)
        m = m->next;
    if (!m)
        return false;
    *key = m->key;
    *value = m->string;
    return true;
}

/* --- loading --------------------------------------------------------------------------- */

static const entry *entry_to_load(const et_safetensors *file, const char *name)
{
    const entry *e;

    if (!file || !name) {
        et_raise(ET_EINVAL, "safetensors_load: the %s is NULL", file ? "name" : "file");
        return NULL;
    }
    e = find(file, name);
    if (!e)
        et_raise(ET_EINVAL, "%s: no tensor is named \"%.200s\"", et_reader_name(file->reader), name);
    else if (!e->public.readable)
        et_raise(ET_EDTYPE, "%s: tensor \"%.200s\" has dtype %s, which cannot be read",
                 et_reader_name(file->reader), name, e->public.stored);
    return e && e->public.readable ? e : NULL;
}

static et_status load(et_safetensors *file, const entry *e, et_tensor *dst)
{
    char what[WHAT];

    snprintf(what, sizeof what, "%.250s: tensor \"%.200s\"", et_reader_name(file->reader), e->public.name);
    return et_wire_read(file->reader, e->public.begin, e->wire, false, false, dst, what);
}

et_tensor *et_safetensors_load(et_safetensors *file, const char *name)
{
    const entry *e = entry_to_load(file, name);
    et_tensor *x = e ? et_empty(e->public.dtype, e->public.ndim, e->public.shape) : NULL;

    if (x && load(file, e, x) != ET_OK) {
        et_free(et_own(x));
        return NULL;
    }
    return x;
}

static bool is_float(et_dtype dtype) { return et_dtype_is_real(dtype) || dtype == ET_BF16; }

et_status et_safetensors_load_into(et_safetensors *file, const char *name, et_tensor *dst)
{
    const entry *e = entry_to_load(file, name);
    char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
    et_status status;
    et_tensor *x;

    if (!e)
        return et_error_status();
    if (!dst)
        return et_raise(ET_EINVAL, "safetensors_load_into: the tensor for \"%.200s\" is NULL", name);
    if (e->public.ndim != dst->ndim ||
        memcmp(e->public.shape, dst->shape, (size_t)dst->ndim * sizeof(int64_t)))
        return et_raise(ET_ESHAPE, "%s: tensor \"%.200s\" is %s, %s is expected",
                        et_reader_name(file->reader), name, et_shape_text(a, e->public.ndim, e->public.shape),
                        et_shape_text(b, dst->ndim, dst->shape));
    if (e->public.dtype != dst->dtype && !(is_float(e->public.dtype) && is_float(dst->dtype)))
        return et_raise(ET_EDTYPE, "%s: tensor \"%.200s\" is %s, %s is expected",
                        et_reader_name(file->reader), name, e->public.stored, et_dtype_name(dst->dtype));
    if (e->public.dtype == dst->dtype && et_is_contiguous(dst))
        return load(file, e, dst);
    x = et_safetensors_load(file, name);
    if (!x)
        return et_error_status();
    status = et_copy_into(dst, x);
    et_free(et_own(x));
    return status;
}
