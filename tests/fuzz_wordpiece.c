/* libFuzzer entry: the input is a vocabulary, a NUL and a text; without a NUL all of it is a text for a small
 * vocabulary. What is encoded must be inside the vocabulary and come back as text. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/wordpiece.h"
#include "tensor/alloc.h"

static const char small[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\nab\n##ab\n.\n'\n\xc3\x9f\n\xe6\xb5\x81\n\xcf\x82\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
    const char *text = (const char *)(cut ? cut + 1 : data);
    size_t n = cut ? size - (size_t)(cut + 1 - data) : size;
    et_tokens t = {NULL, 0, 0};
    et_wordpiece *w;
    char *back;

    et_error_clear();
    w = et_wordpiece_new(cut ? et_vocabulary_parse((const char *)data, (size_t)(cut - data), "fuzz")
                             : et_vocabulary_parse(small, sizeof small - 1, "small"));
    if ((w == NULL) == (et_error_status() == ET_OK))
        abort();
    if (!w)
        return 0;
    if (et_wordpiece_encode(w, text, n, &t) < 0 || t.n > (int64_t)(3 * n + 3))
        abort();
    for (int64_t i = 0; i < t.n; i++)
        if (t.ids[i] < 0 || t.ids[i] >= et_vocabulary_size(et_wordpiece_vocabulary(w)))
            abort();
    back = et_wordpiece_decode(w, t.ids, t.n);
    if (!back)
        abort();
    et_dealloc(back);
    et_tokens_free(&t);
    et_wordpiece_free(w);
    return 0;
}
