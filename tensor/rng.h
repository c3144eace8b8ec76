/* Random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", 2011). A generator is (seed, stream, counter): the n-th number of a
 * stream is a function of these alone, so that nothing depends on threads and a
 * state can be saved in a checkpoint as three integers. */
#ifndef ETUDE_TENSOR_RNG_H
#define ETUDE_TENSOR_RNG_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_rng {
    uint64_t seed, stream;
    uint64_t counter; /* index of the next 32-bit word in the stream */
} et_rng;

/** A generator at the start of its stream. */
et_rng et_rng_make(uint64_t seed, uint64_t stream);

/** The block function: ten rounds on a 128-bit counter and a 64-bit key. */
void et_philox(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/** One number; each advances the counter by a fixed amount. */
uint32_t et_rng_u32(et_rng *r);                   /* 1 word */
uint64_t et_rng_u64(et_rng *r);                   /* 2 words */
double et_rng_uniform(et_rng *r);                 /* [0, 1), 53 bits, 2 words */
double et_rng_normal(et_rng *r);                  /* N(0,1), Box-Muller, 4 words */
int64_t et_rng_below(et_rng *r, int64_t n);       /* 0 .. n-1, unbiased enough: 64-bit multiply, 2 words */

/** Fills a real tensor (any strides): the element with row-major index i takes the
 *  i-th draw, whatever the threads. `r` may be NULL: then the thread's default
 *  generator (et_seed) is used. float32 draws use 24 bits, float64 53.
 *  Errors: EDTYPE, EINVAL for bad parameters. */
et_status et_fill_uniform(et_tensor *x, et_rng *r, double lo, double hi);
et_status et_fill_normal(et_tensor *x, et_rng *r, double mean, double std);
/** Normal cut to [lo, hi] by the inverse of the distribution function. */
et_status et_fill_trunc_normal(et_tensor *x, et_rng *r, double mean, double std, double lo, double hi);
et_status et_fill_bernoulli(et_tensor *x, et_rng *r, double p); /* 0 or 1; also int32 and uint8 */
et_status et_fill_gumbel(et_tensor *x, et_rng *r);              /* -ln(-ln u) */

/** int32 [n]: a random permutation of 0 .. n-1 (Fisher-Yates). */
et_tensor *et_permutation(et_rng *r, int64_t n);
/** The same in place on caller memory. */
void et_shuffle(et_rng *r, int32_t *items, int64_t n);

/** int32 [...]: draws from softmax(logits / temperature) over the last axis of
 *  logits [..., K]. temperature > 0. */
et_tensor *et_categorical(et_rng *r, const et_tensor *logits, double temperature);

/** Sets the default generator of this thread to (seed, stream 0). */
void et_seed(uint64_t seed);
/** The default generator of this thread: dropout and initialisers use it when
 *  given no other. */
et_rng *et_rng_default(void);

#ifdef __cplusplus
}
#endif
#endif
