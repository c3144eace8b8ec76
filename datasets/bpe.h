/* Byte-level byte-pair encoding, as GPT-2 and RoBERTa read text.
 *
 * A text is cut into words (et_words_gpt2), a word into its bytes, each written as one visible character;
 * then of all neighbours the pair that was learned first is joined, wherever it stands, again and again.
 * Any bytes can be encoded and come back the same. <s>, <pad>, </s>, <unk> and <mask> in the text stand for
 * themselves where the vocabulary has them; <mask> takes the white space in front of it along.
 * Source: Sennrich et al. 2016 (arXiv 1508.07909), Radford et al. 2019, Liu et al. 2019 (arXiv
 * 1907.11692). */
#ifndef ETUDE_DATASETS_BPE_H
#define ETUDE_DATASETS_BPE_H

#include "datasets/tokens.h"
#include "datasets/vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_bpe et_bpe;

/** A tokeniser from a vocabulary (JSON: an object of texts and their numbers 0 .. n-1) and merges (a pair
 *  a line, the first learned first; a first line "#version..." is passed over). It may be used by several
 *  threads at once. The caller owns it. NULL and EIO; EFORMAT with file and line for what is not of that
 *  form, numbers that are not 0 .. n-1 each once, a pair that comes twice, or bytes and pairs that the
 *  vocabulary lacks while it has no <unk> to stand for them; ENOMEM. */
et_bpe *et_bpe_read(const char *vocabulary, const char *merges);

/** The same from memory; the names stand for the files in messages. */
et_bpe *et_bpe_parse(const char *vocabulary, size_t n_vocabulary, const char *vocabulary_name,
                     const char *merges, size_t n_merges, const char *merges_name);

/** Learns merges from texts: <s>, <pad>, </s>, <unk>, the 256 bytes and joined pairs, the most frequent
 *  first (ties in the order of bytes), while a pair occurs `least` times, up to `size` entries of which
 *  the last is <mask>. EINVAL for a size below 261; ENOMEM. */
et_bpe *et_bpe_learn(const et_names *texts, int32_t size, int64_t least);

/** Writes the two files. EIO, ENOMEM. */
et_status et_bpe_write(const et_bpe *b, const char *vocabulary, const char *merges);

void et_bpe_free(et_bpe *b);

/** Entries of the vocabulary; number of merges; number of a special token, -1 if there is none. */
int32_t et_bpe_size(const et_bpe *b);
int64_t et_bpe_merges(const et_bpe *b);
int32_t et_bpe_special(const et_bpe *b, et_special which);

/** Text of an entry as it stands in the file. NULL and EINVAL outside. */
const char *et_bpe_text(const et_bpe *b, int32_t id);

/** Appends the pieces of a text of n bytes (any bytes), without <s> and </s>: et_tokens_row adds them.
 *  EINVAL for a word of 2^31 bytes; ENOMEM. */
et_status et_bpe_encode(const et_bpe *b, const char *text, size_t n, et_tokens *out);

/** The text of n tokens; special tokens are left out but for <unk> and <mask>. *size (may be NULL) its
 *  bytes, a NUL follows. To be released with et_dealloc. NULL and EINVAL for a number outside, ENOMEM. */
char *et_bpe_decode(const et_bpe *b, const int32_t *ids, int64_t n, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
