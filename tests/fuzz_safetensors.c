/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must be opened or
 * refused, and every tensor of an opened file be loaded or refused. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *key, *value;
    size_t total = 0;
    et_safetensors *f;

    et_error_clear();
    f = et_safetensors_open_memory(data, size, "fuzz");
    if ((f == NULL) == (et_error_status() == ET_OK))
        abort();
    for (int64_t i = 0; i < et_safetensors_count(f); i++) {
        const et_safetensors_entry *e = et_safetensors_at(f, i);
        et_tensor *x;

        if (et_safetensors_find(f, e->name) != e || e->end > size || e->begin > e->end)
            abort();
        total += (size_t)(e->end - e->begin);
        x = et_safetensors_load(f, e->name);
        if ((x == NULL) == (et_error_status() == ET_OK))
            abort();
        et_error_clear();
        et_free(x);
    }
    if (total > size)
        abort();
    for (int64_t i = 0; et_safetensors_meta_at(f, i, &key, &value); i++)
        if (strlen(key) > size || strlen(value) > size)
            abort();
    et_safetensors_close(f);
    return 0;
}
