/* Single random words, computed from their definition. */
#ifndef ETUDE_TESTS_RNG_WORD_H
#define ETUDE_TESTS_RNG_WORD_H

#include "tensor/rng.h"

/* Word n of stream (seed, stream) by the definition. */
static inline uint32_t word(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint32_t ctr[4] = {(uint32_t)(n / 4), (uint32_t)(n / 4 >> 32), (uint32_t)stream,
                       (uint32_t)(stream >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];

    et_philox(ctr, key, out);
    return out[n % 4];
}

#endif
