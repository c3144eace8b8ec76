/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must give a
 * tensor or an error, and no more elements than bytes; every one can be printed. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tensor/alloc.h"
#include "tensor/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    et_tensor *x;
    char *text;

    et_error_clear();
    x = et_npy_parse(data, size, "fuzz");
    if ((x == NULL) == (et_error_status() == ET_OK))
        abort();
    if (x && x->numel > (int64_t)size)
        abort();
    if (x) {
        text = et_to_string(x);
        if (!text)
            abort();
        et_dealloc(text);
    }
    et_free(x);
    return 0;
}
