/* A text that grows. The first failed allocation sticks: later additions do
 * nothing, and one test at the end is enough. */
#ifndef ETUDE_TENSOR_STRBUF_H
#define ETUDE_TENSOR_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_strbuf {
    char *data; /* size bytes and a NUL; NULL while nothing was added */
    size_t size;
    size_t capacity; /* bytes allocated */
    bool failed;     /* an allocation failed; ET_ENOMEM was raised */
} et_strbuf;

#define ET_STRBUF_INIT    \
    {                     \
        NULL, 0, 0, false \
    }

/** Makes room for `more` further bytes. All of these return false once b has failed. */
bool et_strbuf_reserve(et_strbuf *b, size_t more);
/** Appends n bytes, a string, one character, `count` copies of one, or a formatted text. */
bool et_strbuf_add(et_strbuf *b, const void *data, size_t n);
bool et_strbuf_puts(et_strbuf *b, const char *s);
bool et_strbuf_putc(et_strbuf *b, char c);
bool et_strbuf_fill(et_strbuf *b, char c, size_t count);
bool et_strbuf_printf(et_strbuf *b, const char *fmt, ...) ET_PRINTF(2, 3);

/** Hands the text to the caller, who releases it with et_dealloc, and empties b.
 *  "" if nothing was added; NULL if b has failed. */
char *et_strbuf_take(et_strbuf *b);
/** Forgets the text but keeps the memory (and a failure). */
void et_strbuf_reset(et_strbuf *b);
/** Releases the memory; b may be used again. */
void et_strbuf_free(et_strbuf *b);

#ifdef __cplusplus
}
#endif
#endif
