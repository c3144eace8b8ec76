/* Escaping and base64: see markup.h. */
#include "config.h"

#include "examples/common/markup.h"

#include <string.h>

#include "tensor/json.h"

bool et_markup_escape(et_strbuf *out, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)text[i];
        int len = et_utf8_length(text + i, n - i);

        if (len == 0 || (c < 0x20 && c != '\n' && c != '\t')) {
            et_strbuf_puts(out, "\xEF\xBF\xBD");
            len = 1;
        } else if (len == 3 && c == 0xEF && (unsigned char)text[i + 1] == 0xBF &&
                   (unsigned char)text[i + 2] >= 0xBE) {
            et_strbuf_puts(out, "\xEF\xBF\xBD"); /* U+FFFE and U+FFFF are no XML characters */
        } else if (c == '&') {
            et_strbuf_puts(out, "&amp;");
        } else if (c == '<') {
            et_strbuf_puts(out, "&lt;");
        } else if (c == '>') {
            et_strbuf_puts(out, "&gt;");
        } else if (c == '"') {
            et_strbuf_puts(out, "&quot;");
        } else if (c == '\'') {
            et_strbuf_puts(out, "&#39;");
        } else {
            et_strbuf_add(out, text + i, (size_t)len);
        }
        i += (size_t)len;
    }
    return !out->failed;
}

bool et_markup_base64(et_strbuf *out, const void *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;

    if (!et_strbuf_reserve(out, (n + 2) / 3 * 4))
        return false;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned v = (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8
                                                      : 0) | (left > 2 ? p[i + 2] : 0u);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};

        if (left < 3)
            four[3] = '=';
        if (left < 2)
            four[2] = '=';
        et_strbuf_add(out, four, 4);
    }
    return !out->failed;
}

bool et_markup_data_uri(et_strbuf *out, const char *type, const void *data, size_t n)
{
    et_strbuf_printf(out, "data:%s;base64,", type);
    return et_markup_base64(out, data, n);
}
