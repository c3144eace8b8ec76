/* Metadata of the files of runs: keys with a prefix, text and whole numbers. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nn/internal.h"
#include "tensor/alloc.h"
#include "tensor/number.h"
#include "tensor/strbuf.h"

void et_pairs_free(et_pairs *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        et_dealloc((char *)p->items[i].key);
        et_dealloc((char *)p->items[i].value);
    }
    et_dealloc(p->items);
}

/* prefix + key, allocated. */
static char *join(const char *prefix, const char *key)
{
    et_strbuf b = ET_STRBUF_INIT;

    et_strbuf_puts(&b, prefix);
    et_strbuf_puts(&b, key);
    return et_strbuf_take(&b);
}

et_status et_pairs_put(et_pairs *p, const char *prefix, const char *key, const char *value)
{
    et_status status = et_grow(&p->items, p->n, &p->room, sizeof *p->items);
    char *k, *v;

    if (status)
        return status;
    k = join(prefix, key);
    v = k ? et_alloc_string(value) : NULL;
    if (!v) {
        et_dealloc(k);
        return et_error_status();
    }
    p->items[p->n++] = (et_metadata){k, v};
    return ET_OK;
}

et_status et_pairs_put_int(et_pairs *p, const char *prefix, const char *key, int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, value);
    return et_pairs_put(p, prefix, key, text);
}

const char *et_meta_under(const et_safetensors *file, const char *prefix, const char *key)
{
    char *name = join(prefix, key);
    const char *value = name ? et_safetensors_meta(file, name) : NULL;

    et_dealloc(name);
    return value;
}

et_status et_meta_int(const et_safetensors *file, const char *path, const char *prefix, const char *key,
                      int64_t least, int64_t *out)
{
    const char *text = et_meta_under(file, prefix, key);

    if (et_error_status())
        return et_error_status();
    if (!text || !et_parse_i64(text, strlen(text), out) || *out < least)
        return et_raise(ET_EFORMAT, "%s: no valid \"%s%s\"", path, prefix, key);
    return ET_OK;
}
