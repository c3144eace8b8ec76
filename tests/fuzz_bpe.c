/* libFuzzer entry: the input is vocabulary, merges and text with a NUL between; without a NUL all of it is a
 * text. With all bytes in the vocabulary a text must come back as it was. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/bpe.h"
#include "tensor/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encodes, decodes and compares. */
static void through(const et_bpe *b, const char *text, size_t n, int exact)
{
    et_tokens t = {NULL, 0, 0};
    size_t size;
    char *back;

    if (et_bpe_encode(b, text, n, &t) < 0 || t.n > (int64_t)n)
        abort();
    for (int64_t i = 0; i < t.n; i++)
        if (t.ids[i] < 0 || t.ids[i] >= et_bpe_size(b))
            abort();
    back = et_bpe_decode(b, t.ids, t.n, &size);
    if (!back || (exact && (size != n || (n > 0 && memcmp(back, text, n) != 0))))
        abort();
    et_dealloc(back);
    et_tokens_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *first = size > 0 ? memchr(data, 0, size) : NULL;
    const uint8_t *second = first ? memchr(first + 1, 0, size - (size_t)(first + 1 - data)) : NULL;
    et_bpe *b;

    et_error_clear();
    if (second) {
        b = et_bpe_parse((const char *)data, (size_t)(first - data), "v", (const char *)first + 1,
                         (size_t)(second - first - 1), "m");
        if ((b == NULL) == (et_error_status() == ET_OK))
            abort();
        if (b)
            through(b, (const char *)second + 1, size - (size_t)(second + 1 - data), 0);
    } else {
        char *copy = malloc(size + 1);
        et_names texts = {1, &copy};
        if (!copy)
            abort();
        memcpy(copy, data, size);
        copy[size] = '\0';
        b = et_bpe_learn(&texts, 280, 2);
        if (!b)
            abort();
        /* Special tokens in the text are left out or stand for themselves. */
        through(b, (const char *)data, size, size == 0 || !memchr(data, '<', size));
        free(copy);
    }
    et_bpe_free(b);
    return 0;
}
