/* What text processing needs to know of Unicode: classes of characters, lower case, canonical
 * decomposition. Version 14 of the character database (unicode_tables.h). */
#ifndef ETUDE_DATASETS_UNICODE_H
#define ETUDE_DATASETS_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Classes; a character may have several. */
enum {
    ET_UC_CONTROL = 1,     /* categories Cc, Cf; tab, line feed and carriage return too */
    ET_UC_SPACE = 2,       /* property White_Space: Zs, Zl, Zp, U+0009 .. U+000D, U+0085 */
    ET_UC_MARK = 4,        /* category Mn: nonspacing marks */
    ET_UC_PUNCTUATION = 8, /* categories P*, and ASCII's symbols */
    ET_UC_LETTER = 16,     /* categories L* */
    ET_UC_NUMBER = 32,     /* categories N* */
    ET_UC_CASED = 64,      /* upper, lower or title case */
    ET_UC_IGNORED = 128    /* property Case_Ignorable: apostrophe, full stop, marks, ... */
};

/** Classes of a code point, 0 for what is none. */
unsigned et_uc_class(uint32_t c);

/** True for the ideographs of the blocks that BERT separates (not for kana or hangul). */
bool et_uc_is_ideograph(uint32_t c);

/** Canonical combining class. */
unsigned et_uc_combining(uint32_t c);

/** Simple lower case of one character; itself if it has none. */
uint32_t et_uc_lower(uint32_t c);

/* A text as code points. Begin with {NULL, 0, 0}; release with et_codes_free. */
typedef struct et_codes {
    uint32_t *items;
    int64_t n, capacity;
} et_codes;

/** Appends a code point. ENOMEM. */
et_status et_codes_add(et_codes *codes, uint32_t c);
void et_codes_free(et_codes *codes);

/** The character at s (n >= 1 bytes) into *c; returns its length in bytes. What is no UTF-8 (cut off,
 *  overlong, a surrogate, beyond U+10FFFF) gives U+FFFD and length 1. */
size_t et_uc_decode(const char *s, size_t n, uint32_t *c);

/** The character as 1 to 4 bytes; returns their number. */
size_t et_uc_encode(uint32_t c, char out[4]);

/** Appends the lower case of n characters, by the rules for whole words: U+0130 becomes i and
 *  U+0307, a capital sigma at the end of a word the final one. ENOMEM. */
et_status et_uc_lower_word(const uint32_t *s, size_t n, et_codes *out);

/** Appends the canonical decomposition (form NFD) of n characters. ENOMEM. */
et_status et_uc_decompose(const uint32_t *s, size_t n, et_codes *out);

#ifdef __cplusplus
}
#endif
#endif
