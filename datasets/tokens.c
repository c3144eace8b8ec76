/* Sequences of token numbers: see tokens.h. */
#include "config.h"

#include "datasets/tokens.h"

#include <inttypes.h>

#include "datasets/grow.h"

et_status et_tokens_add(et_tokens *tokens, int32_t id)
{
    int32_t *ids = et_grow(tokens->ids, &tokens->capacity, tokens->n, sizeof *ids);

    if (!ids)
        return et_fail_status("tokens");
    tokens->ids = ids;
    tokens->ids[tokens->n++] = id;
    return ET_OK;
}

void et_tokens_free(et_tokens *tokens)
{
    et_dealloc(tokens->ids);
    *tokens = (et_tokens){NULL, 0, 0};
}

int64_t et_tokens_row(const et_tokens *tokens, int32_t begin, int32_t end, int32_t pad, int64_t length,
                      int32_t *row, uint8_t *mask)
{
    int64_t ends = (begin >= 0) + (end >= 0), n, at = 0;

    if (!tokens || !row || length < ends)
        return et_raise(ET_EINVAL, "tokens: a row of %" PRId64 " has no room for the first and last token",
                        length);
    n = tokens->n < length - ends ? tokens->n : length - ends;
    if (begin >= 0)
        row[at++] = begin;
    for (int64_t i = 0; i < n; i++)
        row[at++] = tokens->ids[i];
    if (end >= 0)
        row[at++] = end;
    for (int64_t i = 0; i < length; i++) {
        if (i >= at)
            row[i] = pad;
        if (mask)
            mask[i] = i < at;
    }
    return at;
}
