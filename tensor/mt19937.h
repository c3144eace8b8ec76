/* The Mersenne Twister as NumPy's RandomState draws from it. Nothing in the library
 * draws its own numbers here (see rng.h): it makes the vectors that published models
 * took from NumPy with a fixed seed. */
#ifndef ETUDE_TENSOR_MT19937_H
#define ETUDE_TENSOR_MT19937_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_MT_WORDS = 624 };

typedef struct et_mt19937 {
    uint32_t state[ET_MT_WORDS];
    int next; /* of the words not yet handed out */
} et_mt19937;

/** The state that RandomState(seed) begins with. */
void et_mt19937_init(et_mt19937 *mt, uint32_t seed);
uint32_t et_mt19937_u32(et_mt19937 *mt);
/** [0, 1), 53 bits: RandomState.random_sample(). */
double et_mt19937_uniform(et_mt19937 *mt);

#ifdef __cplusplus
}
#endif
#endif
