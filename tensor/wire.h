/* Element types of files, among them those that the library has no tensors of, and
 * their conversion to what it has. */
#ifndef ETUDE_TENSOR_WIRE_H
#define ETUDE_TENSOR_WIRE_H

#include "tensor/file.h"
#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_wire {
    ET_WIRE_BOOL,
    ET_WIRE_U8,
    ET_WIRE_I8,
    ET_WIRE_U16,
    ET_WIRE_I16,
    ET_WIRE_U32,
    ET_WIRE_I32,
    ET_WIRE_U64,
    ET_WIRE_I64,
    ET_WIRE_F16,
    ET_WIRE_BF16,
    ET_WIRE_F32,
    ET_WIRE_F64
} et_wire;
enum { ET_N_WIRES = 13 };

/** Bytes of one element. */
size_t et_wire_size(et_wire wire);
/** What elements become in memory: BOOL and U8 uint8 (0 or 1 for BOOL), the other
 *  integers int32, F16 and F32 float32, the rest their own. */
et_dtype et_wire_dtype(et_wire wire);
/** How a tensor is written. */
et_wire et_wire_of(et_dtype dtype);

/** Converts n elements at src, any alignment, little- or big-endian, to et_wire_dtype at
 *  dst. Returns n, or the index of the first integer that does not fit int32. */
int64_t et_wire_decode(et_wire wire, bool big_endian, const unsigned char *src, int64_t n, void *dst);
/** Turns the n elements of `dtype` at p into little-endian bytes, in place. */
void et_wire_encode(et_dtype dtype, int64_t n, void *p);
/** True if a tensor's memory is already what a little-endian file holds. */
bool et_wire_is_memory(et_wire wire, bool big_endian);

/** IEEE binary16 to float32: exact, a NaN stays one. */
float et_f16_to_f32(uint16_t h);

/* --- whole tensors --------------------------------------------------------------- */

/** Fills dst (contiguous, of dtype et_wire_dtype) with its numel elements from the file at
 *  `offset`; with `fortran` they come with the first index running fastest. `what` names
 *  the array in messages ("weights.npy" or "x.safetensors: layer.0"). EFORMAT (truncated),
 *  EINVAL (an integer too large), EIO, ENOMEM. */
et_status et_wire_read(et_reader *r, uint64_t offset, et_wire wire, bool big_endian, bool fortran,
                       et_tensor *dst, const char *what);
/** Appends the elements of x, any strides, in row-major order. */
et_status et_wire_write(et_writer *w, const et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
