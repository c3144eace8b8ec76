/* Sequences of token numbers, and their rows in a batch. */
#ifndef ETUDE_DATASETS_TOKENS_H
#define ETUDE_DATASETS_TOKENS_H

#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The tokens that stand for no text. */
typedef enum et_special {
    ET_TOKEN_PAD,   /* [PAD]   <pad>  behind the end of a row */
    ET_TOKEN_UNK,   /* [UNK]   <unk>  what the vocabulary cannot say */
    ET_TOKEN_BEGIN, /* [CLS]   <s>    before the first piece */
    ET_TOKEN_END,   /* [SEP]   </s>   behind the last */
    ET_TOKEN_MASK   /* [MASK]  <mask> a piece to be guessed */
} et_special;
enum { ET_N_SPECIALS = 5 };

/* Begin with {NULL, 0, 0}; release with et_tokens_free. */
typedef struct et_tokens {
    int32_t *ids;
    int64_t n, capacity;
} et_tokens;

/** Appends a token. ENOMEM. */
et_status et_tokens_add(et_tokens *tokens, int32_t id);
void et_tokens_free(et_tokens *tokens);

/** One row of a batch: begin, the tokens cut on the right to what fits, end, then pad up to row[length];
 *  mask[length] is 1 for tokens and 0 for padding (mask may be NULL). A negative begin or end is left
 *  out. Returns the tokens of the row, padding not counted; EINVAL if not even begin and end fit. */
int64_t et_tokens_row(const et_tokens *tokens, int32_t begin, int32_t end, int32_t pad, int64_t length,
                      int32_t *row, uint8_t *mask);

#ifdef __cplusplus
}
#endif
#endif
