/* The nearest of many vectors: by inner product, which for unit vectors is the cosine. */
#ifndef ETUDE_NN_NEAREST_H
#define ETUDE_NN_NEAREST_H

#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The k rows of vectors [n, d] with the largest inner product with query [d], the largest first, of equal
 *  ones that with the smaller number. index[k] and score[k] receive min(k, n) entries, whose number is
 *  returned; or a negative status. All rows are looked at: a block of them is multiplied and goes through a
 *  heap of the best so far. Threads share a block; the bits do not depend on their number. EINVAL (NULL, a
 *  negative size, d or k below 1), ENONFINITE (a NaN), ENOMEM. */
int64_t et_nearest(int64_t n, int64_t d, const float *vectors, const float *query, int64_t k, int32_t *index,
                   float *score);

/** Divides each row of vectors [n, d] by its length (by 1e-12 at least), in place. */
void et_unit_rows(int64_t n, int64_t d, float *vectors);

#ifdef __cplusplus
}
#endif
#endif
