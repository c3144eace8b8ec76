/* Sounds of a fixed length. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/sound_fit.h"

et_status et_sound_quantise(float *x, int64_t n)
{
    if (n < 0 || (n > 0 && !x))
        return et_raise(ET_EINVAL, "sound_quantise: %" PRId64 " samples%s", n, x ? "" : ", NULL");
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] > 1 ? 1 : x[i] < -1 ? -1 : x[i] == x[i] ? x[i] : 0;
        /* rounded to a float also where float is computed in double */
        x[i] = (float)(int32_t)(float)(v * 32767) / 32767;
    }
    return ET_OK;
}

et_status et_sound_fit(const float *x, int64_t n, et_fit how, et_rng *rng, int64_t want, float *out)
{
    if (!out || n < 0 || (n > 0 && !x) || want < 1 || (unsigned)how > ET_FIT_REPEAT_PAD)
        return et_raise(ET_EINVAL, "sound_fit: %" PRId64 " samples to %" PRId64 ", way %d%s", n, want,
                        (int)how, !out || (n > 0 && !x) ? ", NULL" : "");
    if (n >= want) {
        const int64_t from = rng ? et_rng_below(rng, n - want + 1) : 0;
        memcpy(out, x + from, (size_t)want * sizeof *out);
        return ET_OK;
    }
    const int64_t whole = n == 0 ? 0 : how == ET_FIT_PAD ? 1 : want / n;
    int64_t at = 0;
    for (int64_t i = 0; i < whole; i++, at += n)
        memcpy(out + at, x, (size_t)n * sizeof *out);
    if (n && how == ET_FIT_REPEAT) {
        memcpy(out + at, x, (size_t)(want - at) * sizeof *out);
        at = want;
    }
    memset(out + at, 0, (size_t)(want - at) * sizeof *out);
    return ET_OK;
}
