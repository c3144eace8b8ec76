/* Writing safetensors. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/json.h"
#include "tensor/safetensors.h"
#include "tensor/sort.h"
#include "tensor/wire.h"

enum { PREFIX = 8, ALIGN = 8 };

static bool is_utf8(const char *s)
{
    size_t n = strlen(s);
    int length;

    for (; n > 0; s += length, n -= (size_t)length) {
        length = et_utf8_length(s, n);
        if (length == 0)
            return false;
    }
    return true;
}

static int compare_strings(const void *a, const void *b) { return strcmp(a, b); }

/* Checks that no two of the n strings at `first`, `step` bytes apart, are equal. */
static et_status check_unique(const char *const *first, size_t step, int64_t n, const char *what)
{
    et_status status = ET_OK;
    void **v;
    int64_t i;

    v = et_alloc((size_t)n * sizeof *v);
    if (!v)
        return ET_ENOMEM;
    for (i = 0; i < n; i++)
        memcpy(&v[i], (const char *)(const void *)first + (size_t)i * step, sizeof v[i]);
    et_sort_pointers(v, (size_t)n, compare_strings);
    for (i = 1; i < n && status == ET_OK; i++)
        if (!strcmp(v[i - 1], v[i]))
            status = et_raise(ET_EINVAL, "safetensors_write: the %s \"%.200s\" stands twice", what,
                              (char *)v[i]);
    et_dealloc(v);
    return status;
}

static et_status check(const et_named_tensor *tensors, int64_t n, const et_metadata *metadata, int64_t n_meta)
{
    et_status status;
    int64_t i;

    if (n < 0 || n_meta < 0 || (n > 0 && !tensors) || (n_meta > 0 && !metadata))
        return et_raise(ET_EINVAL, "safetensors_write: no list of %s is given", n ? "tensors" : "metadata");
    for (i = 0; i < n; i++) {
        if (!tensors[i].name || !tensors[i].tensor)
            return et_raise(ET_EINVAL, "safetensors_write: the %s number %" PRId64 " is NULL",
                            tensors[i].name ? "tensor" : "name", i);
        if (!is_utf8(tensors[i].name) || !strcmp(tensors[i].name, "__metadata__"))
            return et_raise(ET_EINVAL, "safetensors_write: the name \"%.200s\" is %s", tensors[i].name,
                            is_utf8(tensors[i].name) ? "reserved" : "not UTF-8");
        if (!et_data(tensors[i].tensor))
            return et_fail_status("safetensors_write");
    }
    for (i = 0; i < n_meta; i++) {
        if (!metadata[i].key || !metadata[i].value)
            return et_raise(ET_EINVAL, "safetensors_write: metadata number %" PRId64 " is NULL", i);
        if (!is_utf8(metadata[i].key) || !is_utf8(metadata[i].value))
            return et_raise(ET_EINVAL, "safetensors_write: metadata number %" PRId64 " is not UTF-8", i);
    }
    status = n > 1 ? check_unique(&tensors[0].name, sizeof *tensors, n, "name") : ET_OK;
    if (status == ET_OK && n_meta > 1)
        status = check_unique(&metadata[0].key, sizeof *metadata, n_meta, "metadata key");
    return status;
}

static const char *stored_dtype(et_dtype dtype)
{
    static const char *const name[ET_N_DTYPES] = {"F32", "F64", "I32", "U8", "BF16"};

    return name[dtype];
}

/* The eight bytes of length and the header, with blanks at the end that align the data. */
static bool put_header(et_strbuf *b, const et_named_tensor *tensors, int64_t n, const et_metadata *metadata,
                       int64_t n_meta)
{
    uint64_t at = 0;
    int64_t i;
    int d;

    et_strbuf_fill(b, 0, PREFIX);
    et_strbuf_putc(b, '{');
    for (i = 0; i < n_meta; i++) {
        et_strbuf_puts(b, i ? "," : "\"__metadata__\":{");
        et_json_escape(b, metadata[i].key, strlen(metadata[i].key));
        et_strbuf_putc(b, ':');
        et_json_escape(b, metadata[i].value, strlen(metadata[i].value));
    }
    if (n_meta > 0)
        et_strbuf_puts(b, n > 0 ? "}," : "}");
    for (i = 0; i < n && !b->failed; i++) {
        const et_tensor *x = tensors[i].tensor;
        uint64_t bytes = (uint64_t)x->numel * et_dtype_size(x->dtype);

        if (i > 0)
            et_strbuf_putc(b, ',');
        et_json_escape(b, tensors[i].name, strlen(tensors[i].name));
        et_strbuf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", stored_dtype(x->dtype));
        for (d = 0; d < x->ndim; d++)
            et_strbuf_printf(b, "%s%" PRId64, d ? "," : "", x->shape[d]);
        et_strbuf_printf(b, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + bytes);
        at += bytes;
    }
    et_strbuf_putc(b, '}');
    et_strbuf_fill(b, ' ', (ALIGN - b->size % ALIGN) % ALIGN);
    if (!b->failed)
        et_store_u64le((unsigned char *)b->data, b->size - PREFIX);
    return !b->failed;
}

et_status et_safetensors_write(const char *path, const et_named_tensor *tensors, int64_t n,
                               const et_metadata *metadata, int64_t n_meta)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_writer *w = NULL;
    et_status status;
    int64_t i;

    if (et_error_status() != ET_OK)
        return et_fail_status("safetensors_write");
    status = check(tensors, n, metadata, n_meta);
    if (status != ET_OK)
        return status;
    if (put_header(&b, tensors, n, metadata, n_meta))
        w = et_writer_open(path);
    if (w)
        et_writer_put(w, b.data, b.size);
    et_strbuf_free(&b);
    if (!w)
        return et_error_status();
    for (i = 0; i < n && status == ET_OK; i++)
        status = et_wire_write(w, tensors[i].tensor);
    if (status == ET_OK)
        return et_writer_commit(w);
    et_writer_discard(w);
    return status;
}
