/* Safetensors files: named tensors with metadata.
 *
 * Eight bytes of header length, a JSON object that maps names to dtype, shape and place,
 * and the elements, little-endian, without gaps. Names are any UTF-8.
 *
 * Opening reads and checks the header alone (at most 100 MB): every place lies in the
 * file and has the size of its shape and dtype, and together they cover the data without
 * overlap or gap, as the format demands. Tensors are read one by one when asked for. */
#ifndef ETUDE_TENSOR_SAFETENSORS_H
#define ETUDE_TENSOR_SAFETENSORS_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_safetensors et_safetensors; /* an open file */

typedef struct et_safetensors_entry {
    const char *name;   /* UTF-8 */
    const char *stored; /* dtype in the file: "F32", "BF16", "I64", ... */
    bool readable;      /* false: a dtype that cannot be read (F8_E4M3, ...) */
    et_dtype dtype;     /* what it is read as: F16 as float32, I64 as int32, BOOL as uint8 (0 or 1) */
    int ndim;
    int64_t shape[ET_MAX_DIMS];
    uint64_t begin, end; /* bytes, from the start of the file */
} et_safetensors_entry;

/** Opens a file; one process may hold many. NULL and EIO, EFORMAT, ESHAPE (more than
 *  ET_MAX_DIMS dimensions), ENOMEM. */
et_safetensors *et_safetensors_open(const char *path);
/** The same over memory that stays the caller's; `name` stands for the path in messages. */
et_safetensors *et_safetensors_open_memory(const void *data, size_t size, const char *name);
/** NULL is allowed. Entries and metadata go away, loaded tensors stay. */
void et_safetensors_close(et_safetensors *file);

/** Number of tensors; the i-th in the order of the header, NULL outside. */
int64_t et_safetensors_count(const et_safetensors *file);
const et_safetensors_entry *et_safetensors_at(const et_safetensors *file, int64_t i);
/** The entry of that name, or NULL (no error). */
const et_safetensors_entry *et_safetensors_find(const et_safetensors *file, const char *name);
/** Metadata under `key`, or NULL (no error). */
const char *et_safetensors_meta(const et_safetensors *file, const char *key);
/** The i-th metadata pair; false outside. */
bool et_safetensors_meta_at(const et_safetensors *file, int64_t i, const char **key, const char **value);

/** Reads one tensor. NULL and EINVAL (no such name, an integer beyond int32),
 *  EDTYPE, EIO, EFORMAT, ENOMEM. */
et_tensor *et_safetensors_load(et_safetensors *file, const char *name);
/** Reads into dst, which must have the same shape and the dtype that it is read as; reals
 *  and bfloat16 are converted into one another. ESHAPE, EDTYPE besides the above; dst is
 *  undefined after EIO. */
et_status et_safetensors_load_into(et_safetensors *file, const char *name, et_tensor *dst);

/* --- writing ------------------------------------------------------------------------- */

typedef struct et_named_tensor {
    const char *name;
    const et_tensor *tensor;
} et_named_tensor;

typedef struct et_metadata {
    const char *key, *value;
} et_metadata;

/** Writes n tensors in the given order and n_meta pairs of metadata, in one step (file.h).
 *  uint8 is stored as U8. EINVAL (NULL, a name or key twice, not UTF-8, or reserved), EIO,
 *  ENOMEM. Refuses while an error is pending. */
et_status et_safetensors_write(const char *path, const et_named_tensor *tensors, int64_t n,
                               const et_metadata *metadata, int64_t n_meta);

#ifdef __cplusplus
}
#endif
#endif
