/* What the two tokenisers share inside of this folder: special tokens in running text, counts of words, and
 * learning which neighbours to join. */
#ifndef ETUDE_DATASETS_TOKENIZER_H
#define ETUDE_DATASETS_TOKENIZER_H

#include "datasets/tokens.h"
#include "datasets/vocabulary.h"
#include "datasets/words.h"

/* The texts of the special tokens, and their numbers, -1 where the vocabulary has none. */
typedef struct et_specials {
    const char *const *texts; /* [ET_N_SPECIALS] */
    int32_t ids[ET_N_SPECIALS];
} et_specials;

/** Looks the special tokens up. */
void et_specials_find(et_specials *s, const char *const texts[ET_N_SPECIALS], const et_vocabulary *v);

/** The first special token in text[from .. size-1]: returns where it begins (size if there is none), which
 *  one it is and its length. */
size_t et_specials_next(const et_specials *s, const char *text, size_t size, size_t from, int *which,
                        size_t *length);

/** True if the token is a special one. */
bool et_specials_has(const et_specials *s, int32_t id);

/* Words, each as a row of symbols (numbers of entries of a vocabulary), and how often they occur.
 * Begin with all 0. */
typedef struct et_word_list {
    et_vocabulary *words;
    int64_t *counts; /* [words] */
    size_t room;
} et_word_list;

/** Cuts every text by `cut` (one of words.h) and counts the words. ENOMEM. */
et_status et_word_list_fill(et_word_list *list, const et_names *texts,
                            et_status (*cut)(const char *, size_t, et_word_fn, void *));
void et_word_list_free(et_word_list *list);

/** Joins the most frequent pair of neighbouring symbols, again and again, until v has `size` entries or no
 *  pair occurs `least` times. symbols[starts[w] .. starts[w + 1] - 1] is word w, which occurs counts[w]
 *  times; symbols is changed. Of equally frequent pairs that with the smaller left text, then the smaller
 *  right one, in the order of bytes, is taken. The joined text is left and right, without `inner` at the
 *  beginning of right; it is added to v, and (left, right) to `pairs` (which may be NULL). ENOMEM. */
et_status et_learn_pairs(int32_t *symbols, const int64_t *starts, const int64_t *counts, int64_t words,
                         et_vocabulary *v, const char *inner, int32_t size, int64_t least, et_tokens *pairs);

#endif
