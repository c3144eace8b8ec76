/* WordPiece: texts as pieces of words, as BERT's uncased models read them.
 *
 * A text is cut into words (et_words_bert). A word is its longest beginning that the vocabulary has, then
 * the longest continuation, written with ## in front, and so on; if at some place none fits, or if it has
 * more than 100 characters, the whole word is [UNK]. [PAD], [UNK], [CLS], [SEP] and [MASK] in the text
 * stand for themselves where the vocabulary has them.
 * Source: Devlin et al. 2018 (arXiv 1810.04805) and the authors' tokeniser. */
#ifndef ETUDE_DATASETS_WORDPIECE_H
#define ETUDE_DATASETS_WORDPIECE_H

#include "datasets/tokens.h"
#include "datasets/vocabulary.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_wordpiece et_wordpiece;

/** A tokeniser with a vocabulary, which it takes over (releases it also on failure). It may be used by
 *  several threads at once. A NULL vocabulary passes its error on. NULL and EFORMAT if there is no [UNK],
 *  ENOMEM. */
et_wordpiece *et_wordpiece_new(et_vocabulary *v);

/** The same with a vocabulary file (vocab.txt). */
et_wordpiece *et_wordpiece_read(const char *path);
void et_wordpiece_free(et_wordpiece *w);

/** Its vocabulary, owned by it; number of a special token, -1 if the vocabulary lacks it. */
const et_vocabulary *et_wordpiece_vocabulary(const et_wordpiece *w);
int32_t et_wordpiece_special(const et_wordpiece *w, et_special which);

/** Appends the pieces of a text of n bytes (any bytes), without [CLS] and [SEP]:
 *  et_tokens_row adds them. ENOMEM. */
et_status et_wordpiece_encode(const et_wordpiece *w, const char *text, size_t n, et_tokens *out);

/** The text of n tokens: words with blanks between them, none before , . ! ? and within contractions;
 *  special tokens left out but for [UNK] and [MASK]. To be released with et_dealloc. NULL and EINVAL for
 *  a number outside of the vocabulary, ENOMEM. */
char *et_wordpiece_decode(const et_wordpiece *w, const int32_t *ids, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
