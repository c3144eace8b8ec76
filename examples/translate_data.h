/* What translate-toy learns from: pairs of token sequences. */
#ifndef ETUDE_EXAMPLES_TRANSLATE_DATA_H
#define ETUDE_EXAMPLES_TRANSLATE_DATA_H

#include "datasets/split.h"
#include "datasets/wordpiece.h"

/* Numbers of the tokens that stand for no text, in both tasks. */
typedef struct translate_marks {
    int32_t pad, begin, end;
} translate_marks;

typedef struct translate_data {
    et_wordpiece *words; /* of texts; NULL: symbols to be reversed */
    int64_t vocabulary;
    translate_marks marks;
    int64_t n, S, T;     /* pairs; room of a source, of a target */
    int32_t *source;     /* [n, S] */
    int32_t *lengths;    /* [n], tokens of each source */
    int32_t *target;     /* [n, T]: begin, tokens, end, padding */
    int32_t *wanted;     /* [n], tokens of each target with begin and end */
    et_indices train, valid;
} translate_data;

/* `train` + `valid` sequences of eight symbols, and the same reversed. NULL: ENOMEM. */
translate_data *translate_reversals(int64_t train, int64_t valid, uint64_t seed);

/* MusicCaps (dir/musiccaps.csv): from a clip's aspects the first sentence of its caption. Pieces of words are
 * read from the file `words`; where it is NULL, at most `vocabulary` are learned from the training part.
 * Texts are cut to `length` tokens. NULL: EIO, EFORMAT, ENOMEM. */
translate_data *translate_captions(const char *dir, const char *words, int64_t vocabulary, int64_t length);

void translate_data_free(translate_data *d);

/* The tokens of what a user wrote (letters a .. i for symbols) into row [S]; returns their number, EINVAL for
 * what cannot be read. `words` NULL: symbols. */
int64_t translate_read(const et_wordpiece *words, const char *text, int64_t S, int32_t *row);

/* Text of the tokens up to `end` (or n). Released with et_dealloc. NULL: ENOMEM. */
char *translate_text(const et_wordpiece *words, const int32_t *row, int64_t n);

/* What symbols' pad, begin and end are, and those of a vocabulary. */
translate_marks translate_marks_of(const et_wordpiece *words);
/* Numbers that there are: of a vocabulary, or of symbols. */
int64_t translate_vocabulary(const et_wordpiece *words);

#endif
