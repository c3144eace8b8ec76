/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must be read or
 * refused; what is read, written and read again has the same numbers and strings. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_value(et_strbuf *b, const et_json_value *v)
{
    const et_json_value *c;
    et_json_writer w;

    switch (v->type) {
    case ET_JSON_NULL: et_strbuf_puts(b, "null"); break;
    case ET_JSON_BOOL: et_strbuf_puts(b, v->boolean ? "true" : "false"); break;
    case ET_JSON_NUMBER:
        et_json_begin(&w, b, 0);
        if (v->is_int && v->integer != 0) /* -0 is a double */
            et_json_int(&w, v->integer);
        else
            et_json_number(&w, v->number);
        if (et_json_end(&w) != ET_OK)
            abort();
        break;
    case ET_JSON_STRING: et_json_escape(b, v->string, v->length); break;
    case ET_JSON_ARRAY:
    case ET_JSON_OBJECT:
        et_strbuf_putc(b, v->type == ET_JSON_ARRAY ? '[' : '{');
        for (c = v->first; c; c = c->next) {
            if (c != v->first)
                et_strbuf_putc(b, ',');
            if (c->key) {
                et_json_escape(b, c->key, c->key_length);
                et_strbuf_putc(b, ':');
            }
            write_value(b, c);
        }
        et_strbuf_putc(b, v->type == ET_JSON_ARRAY ? ']' : '}');
        break;
    }
}

static int same(const et_json_value *a, const et_json_value *b)
{
    const et_json_value *c, *d;

    if (a->type != b->type || a->count != b->count || a->key_length != b->key_length)
        return 0;
    if (a->key_length && memcmp(a->key, b->key, a->key_length) != 0)
        return 0;
    if (a->type == ET_JSON_BOOL && a->boolean != b->boolean)
        return 0;
    if (a->type == ET_JSON_NUMBER &&
        (memcmp(&a->number, &b->number, sizeof a->number) != 0 || (a->is_int && a->integer != b->integer)))
        return 0;
    if (a->type == ET_JSON_STRING && (a->length != b->length || memcmp(a->string, b->string, a->length) != 0))
        return 0;
    for (c = a->first, d = b->first; c && d; c = c->next, d = d->next)
        if (!same(c, d))
            return 0;
    return !c && !d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_json *j, *again;

    et_error_clear();
    j = et_json_parse(data ? (const char *)data : "", size, "fuzz");
    if ((j == NULL) == (et_error_status() == ET_OK))
        abort();
    if (j) {
        write_value(&b, et_json_root(j));
        again = et_json_parse(b.data, b.size, "again");
        if (!again || !same(et_json_root(j), et_json_root(again)))
            abort();
        et_json_free(again);
        et_strbuf_free(&b);
    }
    et_json_free(j);
    return 0;
}
