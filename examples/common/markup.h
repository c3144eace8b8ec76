/* Text and bytes inside HTML and SVG: escaping and base64, in one place. */
#ifndef ETUDE_EXAMPLES_COMMON_MARKUP_H
#define ETUDE_EXAMPLES_COMMON_MARKUP_H

#include <stddef.h>

#include "tensor/strbuf.h"

/** Appends text that is safe as content and inside quoted attributes of HTML and XML:
 *  & < > " ' become references, bytes that are not UTF-8 and characters that XML forbids
 *  become U+FFFD. NULL appends nothing. */
bool et_markup_escape(et_strbuf *out, const char *text);

/** Appends n bytes in base64 (RFC 4648, with padding). */
bool et_markup_base64(et_strbuf *out, const void *data, size_t n);

/** Appends "data:TYPE;base64,..." */
bool et_markup_data_uri(et_strbuf *out, const char *type, const void *data, size_t n);

#endif
