/* NumPy's .npy files, one array each.
 *
 * Read: versions 1.0, 2.0 and 3.0, C and Fortran order, both byte orders, f2 f4 f8, i1 i2
 * i4 i8, u1 u2 u4 u8, b1. What the library has no dtype for is converted: f2 to float32,
 * b1 to uint8, the other integers to int32 where every one of them fits. The result is
 * contiguous in C order. Written: version 1.0, C order, little-endian. */
#ifndef ETUDE_TENSOR_NPY_H
#define ETUDE_TENSOR_NPY_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Reads a file. NULL and EIO, EFORMAT (malformed, truncated, bytes behind the array),
 *  EDTYPE (strings, complex, structures), ESHAPE (more than ET_MAX_DIMS dimensions),
 *  EINVAL (an integer beyond int32), ENOMEM. */
et_tensor *et_npy_read(const char *path);
/** The same from memory; `name` stands for the path in messages. */
et_tensor *et_npy_parse(const void *data, size_t size, const char *name);

/** Writes x, in one step (file.h). EDTYPE for bfloat16, which NumPy has not: convert with
 *  et_to. Refuses while an error is pending. */
et_status et_npy_write(const char *path, const et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
