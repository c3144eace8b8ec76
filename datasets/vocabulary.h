/* A vocabulary: texts numbered from 0, found by their number or by their bytes. */
#ifndef ETUDE_DATASETS_VOCABULARY_H
#define ETUDE_DATASETS_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_vocabulary et_vocabulary;

/** An empty one. The caller owns it. NULL and ENOMEM. */
et_vocabulary *et_vocabulary_new(void);
void et_vocabulary_free(et_vocabulary *v);

/** Number of entries. */
int32_t et_vocabulary_size(const et_vocabulary *v);

/** Number of the text of n bytes, or -1. */
int32_t et_vocabulary_find(const et_vocabulary *v, const char *text, size_t n);

/** Number of the text, which is appended if it is new. ENOMEM (negative). */
int32_t et_vocabulary_add(et_vocabulary *v, const char *text, size_t n);

/** Text of an entry, NUL behind it; *n (may be NULL) its bytes. NULL and EINVAL outside. Valid until the
 *  next et_vocabulary_add. */
const char *et_vocabulary_text(const et_vocabulary *v, int32_t id, size_t *n);

/** Reads a file of one entry a line (LF or CRLF), numbered in their order. EIO; EFORMAT with the line for
 *  one that is empty, stands there twice or holds a NUL, and for an empty file; ENOMEM. */
et_vocabulary *et_vocabulary_read(const char *path);

/** The same for n bytes in memory; `name` stands for the file in messages. */
et_vocabulary *et_vocabulary_parse(const char *text, size_t n, const char *name);

/** Writes such a file. EINVAL for an entry that is empty or holds a line break; EIO, ENOMEM. */
et_status et_vocabulary_write(const et_vocabulary *v, const char *path);

/* --- learned from texts ------------------------------------------------------------------ */

/* For both: [PAD], [UNK], [CLS], [SEP] and [MASK] are numbers 0 to 4; texts are cut into words as BERT does
 * it (words.h); what is equally frequent comes in the order of its bytes. The result serves et_wordpiece_new
 * (wordpiece.h). EINVAL for a size below 5; ENOMEM. */

/** Whole words, the most frequent first, up to `size` entries; words seen less than `least` times are left
 *  out (and become [UNK]). */
et_vocabulary *et_vocabulary_of_words(const et_names *texts, int32_t size, int64_t least);

/** Pieces of words: every character, as the beginning of a word and (with ##) inside of one, where it occurs;
 *  then the most frequent pair of neighbouring pieces is joined, again and again, up to `size` entries or
 *  until no pair is seen `least` times. The characters are all there even if they are more than `size`. */
et_vocabulary *et_vocabulary_of_pieces(const et_names *texts, int32_t size, int64_t least);

#ifdef __cplusplus
}
#endif
#endif
