/* A text that grows: the capacity doubles, and there is always room for a NUL. */
#include "config.h"

#include "tensor/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tensor/alloc.h"

bool et_strbuf_reserve(et_strbuf *b, size_t more)
{
    size_t need, capacity;
    char *data;

    if (b->failed)
        return false;
    if (more > SIZE_MAX / 4 - b->size) {
        et_raise(ET_ENOMEM, "a text of more than %zu bytes", SIZE_MAX / 4);
        b->failed = true;
        return false;
    }
    need = b->size + more + 1;
    if (need <= b->capacity)
        return true;
    capacity = b->capacity ? b->capacity : 64;
    while (capacity < need)
        capacity *= 2;
    data = et_alloc_resize(b->data, capacity);
    if (!data) {
        b->failed = true;
        return false;
    }
    if (!b->data)
        data[0] = 0;
    b->data = data;
    b->capacity = capacity;
    return true;
}

bool et_strbuf_add(et_strbuf *b, const void *data, size_t n)
{
    if (!et_strbuf_reserve(b, n))
        return false;
    if (n)
        memcpy(b->data + b->size, data, n);
    b->size += n;
    b->data[b->size] = 0;
    return true;
}

bool et_strbuf_puts(et_strbuf *b, const char *s) { return et_strbuf_add(b, s, strlen(s)); }

bool et_strbuf_putc(et_strbuf *b, char c) { return et_strbuf_add(b, &c, 1); }

bool et_strbuf_fill(et_strbuf *b, char c, size_t count)
{
    if (!et_strbuf_reserve(b, count))
        return false;
    memset(b->data + b->size, c, count);
    b->size += count;
    b->data[b->size] = 0;
    return true;
}

bool et_strbuf_printf(et_strbuf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (!et_strbuf_reserve(b, 1))
        return false;
    va_start(ap, fmt);
    n = vsnprintf(b->data + b->size, b->capacity - b->size, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->data[b->size] = 0;
        et_raise(ET_EINVAL, "cannot format a text with \"%s\"", fmt);
        b->failed = true;
        return false;
    }
    if ((size_t)n >= b->capacity - b->size) {
        if (!et_strbuf_reserve(b, (size_t)n)) {
            b->data[b->size] = 0;
            return false;
        }
        va_start(ap, fmt);
        vsnprintf(b->data + b->size, b->capacity - b->size, fmt, ap);
        va_end(ap);
    }
    b->size += (size_t)n;
    return true;
}

char *et_strbuf_take(et_strbuf *b)
{
    char *data = NULL;

    if (et_strbuf_reserve(b, 0)) {
        data = b->data;
        b->data = NULL;
    }
    et_strbuf_free(b);
    return data;
}

void et_strbuf_reset(et_strbuf *b)
{
    b->size = 0;
    if (b->data)
        b->data[0] = 0;
}

void et_strbuf_free(et_strbuf *b)
{
    static const et_strbuf empty = ET_STRBUF_INIT;

    et_dealloc(b->data);
    *b = empty;
}
