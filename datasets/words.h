/* Cutting texts into words, which are then cut into the pieces of a vocabulary. */
#ifndef ETUDE_DATASETS_WORDS_H
#define ETUDE_DATASETS_WORDS_H

#include <stddef.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Is given each word in turn: `size` bytes, valid during the call.
 *  Anything but ET_OK ends the work and is returned. */
typedef et_status (*et_word_fn)(void *user, const char *word, size_t size);

/** As BERT's uncased models do it. Bytes that are no UTF-8, U+0000, U+FFFD and control characters vanish;
 *  each CJK ideograph stands alone; words between white space become lower case and lose their accents
 *  (decomposition, marks removed); each punctuation character is a word of its own. ENOMEM.
 *  Source: Devlin et al. 2018 (arXiv 1810.04805) and the authors' tokeniser. */
et_status et_words_bert(const char *text, size_t size, et_word_fn each, void *user);

/** As GPT-2 and RoBERTa do it, by the pattern
 *
 *      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 *  Words are pieces of the text itself and together make it up again; a byte that is no UTF-8 counts as a
 *  character that is neither letter, number nor space. Asks for no memory. */
et_status et_words_gpt2(const char *text, size_t size, et_word_fn each, void *user);

#ifdef __cplusplus
}
#endif
#endif
