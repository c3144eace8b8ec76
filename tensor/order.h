/* The order of numbers. */
#ifndef ETUDE_TENSOR_ORDER_H
#define ETUDE_TENSOR_ORDER_H

#include <stdbool.h>

#include "tensor/tensor.h"

/** Bytes of scratch memory for n numbers. */
size_t et_order_bytes(int64_t n);

/** at[i] = the place in x of the number that comes i-th, for i < k. x: n numbers of a real dtype, `step`
 *  elements apart. Stable; -0 equals 0, and a NaN is larger than any number and equals every other. Returns
 *  at, which is in `scratch`. */
const int32_t *et_order(et_dtype dtype, int64_t n, const void *x, int64_t step, bool descending, int64_t k,
                        void *scratch);

#endif
