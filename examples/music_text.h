/* Texts as the tokens that models read. */
#ifndef ETUDE_EXAMPLES_MUSIC_TEXT_H
#define ETUDE_EXAMPLES_MUSIC_TEXT_H

#include "tensor/error.h"

/** Prints the pieces of a text with their numbers, and what they make when put together again. Without
 *  `merges` by WordPiece, as BERT's uncased models do it, over the file `vocabulary`; with it by byte-level
 *  pair encoding, as RoBERTa does it. A NULL vocabulary means one of `size` pieces learned from the
 *  captions of the built-in corpus. The statuses of the readers; EINVAL for merges without a vocabulary. */
et_status music_tokenize(const char *text, const char *vocabulary, const char *merges, int size);

#endif
