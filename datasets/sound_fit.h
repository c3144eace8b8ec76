/* Sounds as models of a fixed length take them. LAION's CLAP: 16 bits, then 480 000 samples at 48 kHz by
 * ET_FIT_REPEAT_PAD; Microsoft's: 220 500 at 44.1 kHz by ET_FIT_REPEAT; both cut longer sounds at random in
 * training. */
#ifndef ETUDE_DATASETS_SOUND_FIT_H
#define ETUDE_DATASETS_SOUND_FIT_H

#include "tensor/error.h"
#include "tensor/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What follows a sound that is too short. */
typedef enum et_fit {
    ET_FIT_PAD,       /* zeros */
    ET_FIT_REPEAT,    /* the sound again and again, the last time cut off */
    ET_FIT_REPEAT_PAD /* the sound as often as it fits whole, then zeros */
} et_fit;

/** x[n] as 16 bits would hold them: cut to -1 .. 1, times 32767, fraction dropped, divided by 32767. NaN
 *  becomes 0. EINVAL for NULL. */
et_status et_sound_quantise(float *x, int64_t n);

/** out[want] from x[n]: the part of a longer sound that begins at a random sample, or with rng NULL its
 *  beginning; a shorter one filled up. Nothing (n 0) gives zeros. EINVAL for NULL, a negative n, want < 1. */
et_status et_sound_fit(const float *x, int64_t n, et_fit how, et_rng *rng, int64_t want, float *out);

#ifdef __cplusplus
}
#endif
#endif
