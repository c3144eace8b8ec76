/* Captions without sounds: what text towers learn from. MusicCaps has beside each caption what it says in a
 * few words (its aspects); a caption is to be found by them. */
#ifndef ETUDE_EXAMPLES_SEARCH_CAPTIONS_H
#define ETUDE_EXAMPLES_SEARCH_CAPTIONS_H

#include "datasets/wordpiece.h"
#include "examples/common/runfolder.h"
#include "nn/metrics.h"
#include "tensor/tensor.h"

/* aspects: as many as captions, or none. */
typedef struct search_pairs {
    et_names captions, aspects;
} search_pairs;

typedef struct search_captions {
    search_pairs train, valid, test;
} search_captions;

/* Reads the captions of --data, or of the corpus: MusicCaps's rows of AudioSet's evaluation part are judged
 * on, elsewhere the test (or validation) part; every twentieth of the others validates. EINVAL if a part has
 * none. Release with search_captions_free, also after a failure. */
et_status search_captions_read(const et_cli *cli, search_captions *out);
void search_captions_free(search_captions *c);

/* A vocabulary file's tokeniser (path NULL: one of `size` pieces learned from the captions),
 * with all special tokens. */
et_wordpiece *search_captions_words(const search_captions *c, const char *path, int64_t size);

/* Writes what a run begins with: config.json, of the options alone, and vocab.txt. */
et_status search_captions_begin(et_run *run, const et_cli *cli, const et_wordpiece *words);

/* Rows of list[order[from .. from + n - 1]] (order NULL: in their order): ids int32 and mask uint8 [n, T], of
 * `tokens` at most and cut to the longest; in the open scope. */
et_status search_captions_rows(const et_wordpiece *words, int64_t tokens, const et_names *list,
                               const int32_t *order, int64_t from, int64_t n, et_tensor **ids,
                               et_tensor **mask);

/* How well g_i [n, d] is found by f_i among all g: unit vectors. */
et_status search_captions_found(int64_t n, int64_t d, const float *f, const float *g,
                                et_retrieval_report *out);

#endif
