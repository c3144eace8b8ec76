/* libFuzzer entry: clang -fsanitize=fuzzer,address,undefined. Any bytes must give a sound or an error, no
 * more samples than bytes, and memory for little more than those; every sound can be mixed and resampled. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "datasets/audio.h"
#include "tensor/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Four bytes a sample, and the reader's block. */
static bool within_reason(size_t bytes, void *user)
{
    const size_t *size = user;

    if (bytes > 4 * *size + 128 * 1024)
        abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    et_audio a;
    et_status status;
    int64_t rate;

    et_error_clear();
    et_set_alloc_hook(within_reason, &size);
    status = et_audio_parse(data, size, "fuzz", &a);
    et_set_alloc_hook(NULL, NULL);
    if ((status == ET_OK) != (et_error_status() == ET_OK) || (status == ET_OK) != (a.samples != NULL))
        abort();
    if (status != ET_OK)
        return 0;
    if (a.samples->numel < 1 || a.samples->numel > (int64_t)size || a.rate < 1)
        abort();
    rate = a.rate;
    if (et_audio_to_mono(&a) != ET_OK)
        abort();
    if (a.samples->numel < 4096 && et_audio_to_rate(&a, rate > 100000 ? rate / 3 : rate * 2 + 1) != ET_OK)
        abort();
    et_audio_free(&a);
    return 0;
}
