/* Walking several tensors of one (broadcast) shape together: dimensions of size 1 are
 * dropped and neighbours merged where every operand allows it, so that the usual case
 * is one long row. */
#ifndef ETUDE_TENSOR_ITER_H
#define ETUDE_TENSOR_ITER_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_ITER_OPS = 4 };

typedef struct et_iter {
    int n_ops;
    int ndim;                                     /* at least 1 */
    int64_t shape[ET_MAX_DIMS];
    int64_t strides[ET_ITER_OPS][ET_MAX_DIMS];    /* in elements, 0 where broadcast */
    int64_t rows;                                 /* product of all sizes but the last */
    int64_t n;                                    /* size of the last: elements of a row */
} et_iter;

/** Prepares a walk over `shape`; ops[k] must broadcast to it. */
void et_iter_init(et_iter *it, int ndim, const int64_t *shape, int n_ops, const et_tensor *const *ops);

/** A row of the walk: where it starts in each operand, in elements from the first. */
typedef struct et_iter_row {
    int64_t at[ET_ITER_OPS];
    int64_t index[ET_MAX_DIMS];
} et_iter_row;

/** Row `row`. */
et_iter_row et_iter_seek(const et_iter *it, int64_t row);
/** The row after *r; after the last one, the first. */
void et_iter_next(const et_iter *it, et_iter_row *r);

#ifdef __cplusplus
}
#endif
#endif
