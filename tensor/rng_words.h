/* What rng.c and rng_fill.c share: words of a stream, and the real numbers made of
 * them. */
#ifndef ETUDE_TENSOR_RNG_WORDS_H
#define ETUDE_TENSOR_RNG_WORDS_H

#include <math.h>

#include "tensor/rng.h"

#define ET_TWO_PI 6.283185307179586476925286766559

/** The n words of r's stream from word `first` on (r->counter is not looked at). */
void et_rng_words(const et_rng *r, uint64_t first, int64_t n, uint32_t *out);

/** 53 bits of two words in [0, 1). */
static inline double et_uniform53(const uint32_t w[2])
{
    return ((double)(w[0] >> 5) * 67108864.0 + (double)(w[1] >> 6)) * 0x1p-53;
}

/** Inside (0, 1), the ends excluded: the middle of one of 2^32 or 2^53 equal parts. */
static inline double et_open32(uint32_t w) { return ((double)w + 0.5) * 0x1p-32; }

/* The middle of the last part rounds to 1, so there half a part less is added. */
static inline double et_open53(const uint32_t w[2])
{
    double u = et_uniform53(w) + 0x1p-54;

    return u < 1.0 ? u : 1.0 - 0x1p-53;
}

/** Two independent N(0,1) of four words (Box and Muller 1958). */
static inline void et_box_muller(const uint32_t w[4], double y[2])
{
    double radius = sqrt(-2.0 * log(et_open53(w))), angle = ET_TWO_PI * et_uniform53(w + 2);

    y[0] = radius * cos(angle);
    y[1] = radius * sin(angle);
}

#endif
