/* The JSON writer. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/json.h"
#include "tensor/number.h"

bool et_json_escape(et_strbuf *out, const char *s, size_t n)
{
    size_t i = 0;
    int length;

    et_strbuf_putc(out, '"');
    while (i < n) {
        unsigned char c = (unsigned char)s[i];

        length = et_utf8_length(s + i, n - i);
        if (length == 0)
            et_strbuf_puts(out, "\\ufffd");
        else if (c == '"' || c == '\\')
            et_strbuf_printf(out, "\\%c", c);
        else if (c == '\n')
            et_strbuf_puts(out, "\\n");
        else if (c == '\t')
            et_strbuf_puts(out, "\\t");
        else if (c < 0x20 || c == 0x7F)
            et_strbuf_printf(out, "\\u%04x", c);
        else
            et_strbuf_add(out, s + i, (size_t)length);
        i += length ? (size_t)length : 1;
    }
    return et_strbuf_putc(out, '"');
}

void et_json_begin(et_json_writer *w, et_strbuf *out, int indent)
{
    memset(w, 0, sizeof *w);
    w->out = out;
    w->indent = indent;
}

static bool wrong(et_json_writer *w, const char *what)
{
    if (!w->failed)
        et_raise(ET_EINVAL, "json writer: %s", what);
    w->failed = true;
    return false;
}

static void new_line(et_json_writer *w)
{
    if (w->indent > 0) {
        et_strbuf_putc(w->out, '\n');
        et_strbuf_fill(w->out, ' ', (size_t)(w->indent * w->depth));
    }
}

/* Comma and line break before a key or an element. */
static void separate(et_json_writer *w)
{
    if (w->filled[w->depth - 1])
        et_strbuf_puts(w->out, w->indent > 0 ? "," : ", ");
    w->filled[w->depth - 1] = true;
    new_line(w);
}

/* Before a value: true if one may stand here. */
static bool before_value(et_json_writer *w)
{
    if (w->failed)
        return false;
    if (w->depth == 0) {
        if (w->done)
            return wrong(w, "a second value after the outermost");
    } else if (w->object[w->depth - 1]) {
        if (!w->has_key)
            return wrong(w, "a value without a key in an object");
        w->has_key = false;
    } else {
        separate(w);
    }
    w->done = w->depth == 0;
    return true;
}

static void open_container(et_json_writer *w, bool object)
{
    if (!before_value(w))
        return;
    if (w->depth == ET_JSON_MAX_DEPTH) {
        wrong(w, "too many levels");
        return;
    }
    w->object[w->depth] = object;
    w->filled[w->depth] = false;
    w->done = false;
    w->depth++;
    et_strbuf_putc(w->out, object ? '{' : '[');
}

void et_json_open_object(et_json_writer *w) { open_container(w, true); }

void et_json_open_array(et_json_writer *w) { open_container(w, false); }

void et_json_close(et_json_writer *w)
{
    if (w->failed)
        return;
    if (w->depth == 0 || w->has_key) {
        wrong(w, w->depth ? "a key without a value" : "nothing is open to be closed");
        return;
    }
    w->depth--;
    if (w->filled[w->depth])
        new_line(w);
    et_strbuf_putc(w->out, w->object[w->depth] ? '}' : ']');
    w->done = w->depth == 0;
}

void et_json_key(et_json_writer *w, const char *key)
{
    if (w->failed)
        return;
    if (w->depth == 0 || !w->object[w->depth - 1] || w->has_key || !key) {
        wrong(w, !key ? "a NULL key" : w->has_key ? "two keys in a row" : "a key outside of an object");
        return;
    }
    separate(w);
    et_json_escape(w->out, key, strlen(key));
    et_strbuf_puts(w->out, ": ");
    w->has_key = true;
}

void et_json_string(et_json_writer *w, const char *s)
{
    if (!s)
        et_json_null(w);
    else if (before_value(w))
        et_json_escape(w->out, s, strlen(s));
}

void et_json_number(et_json_writer *w, double x)
{
    char text[ET_NUMBER_TEXT];

    if (!isfinite(x)) {
        et_json_null(w);
        return;
    }
    if (before_value(w)) {
        et_format_double(text, x);
        et_strbuf_puts(w->out, text);
    }
}

void et_json_int(et_json_writer *w, int64_t i)
{
    if (before_value(w))
        et_strbuf_printf(w->out, "%" PRId64, i);
}

void et_json_bool(et_json_writer *w, bool b)
{
    if (before_value(w))
        et_strbuf_puts(w->out, b ? "true" : "false");
}

void et_json_null(et_json_writer *w)
{
    if (before_value(w))
        et_strbuf_puts(w->out, "null");
}

et_status et_json_end(et_json_writer *w)
{
    if (!w->failed && !w->done)
        wrong(w, w->depth ? "an object or array is left open" : "no value was written");
    if (!w->failed && !w->out->failed)
        return ET_OK;
    return et_fail_status("json");
}
