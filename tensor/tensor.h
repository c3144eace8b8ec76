/* The tensor: a dtype, a shape, strides and an offset over storage that several
 * tensors may share.
 *
 * Dimensions are in C order (the last is contiguous); strides and offsets count
 * elements and may be zero (a broadcast) but not negative. A tensor has 0 to
 * ET_MAX_DIMS dimensions; a size may be 0.
 *
 * Who owns a tensor: one that is made while a scope is open belongs to the innermost
 * scope of the calling thread and goes away with it (scope.h). One that is made with
 * no scope open belongs to the caller, who releases it with et_free. */
#ifndef ETUDE_TENSOR_TENSOR_H
#define ETUDE_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_MAX_DIMS = 8 };

typedef enum et_dtype {
    ET_F32,  /* the working type */
    ET_F64,  /* for checking gradients */
    ET_I32,  /* indices, labels, tokens */
    ET_U8,   /* bytes, and masks: 0 or not 0 */
    ET_BF16  /* storage: the upper half of a float32 */
} et_dtype;
enum { ET_N_DTYPES = 5 };

typedef struct et_storage et_storage;
typedef struct et_scope et_scope;
typedef struct et_node et_node;
typedef struct et_tensor et_tensor;

/* Fields may be read by anyone and are written by the library alone. */
struct et_tensor {
    int64_t shape[ET_MAX_DIMS];
    int64_t strides[ET_MAX_DIMS]; /* in elements */
    int64_t offset;               /* in elements, from the start of the storage */
    int64_t numel;                /* product of the shape */
    int32_t ndim;
    et_dtype dtype;
    bool requires_grad;           /* a leaf to be trained, or computed from one */
    bool keep;                    /* et_keep: backward does not release it */
    bool reached;                 /* backward has added to `grad` since it was last zeroed */
    bool recorded;                /* an op on a tape reads or made it */
    bool on_tape;                 /* its scope is closed, the tape still refers to it */
    bool blank;                   /* a gradient set to zero: no storage until somebody asks for the zeros */
    bool remakable;               /* the op that made it can make it again: its elements go with its scope,
                                     and backward has them made when it needs them */
    uint32_t made_version;        /* a version for elements that are not there: that which released ones had,
                                     or which those of a blank gradient will have; and, of a remakable
                                     tensor, that which its elements had when its op had made them */
    int32_t saved_by;             /* recorded ops whose backward is still to read it */
    const char *name;             /* of a parameter, for messages; not owned; or NULL */
    et_storage *storage;          /* NULL once released, and while blank */
    et_tensor *grad;              /* gradient of a leaf, owned by this tensor; or NULL */
    et_node *node;                /* the recorded op that made it, NULL for a leaf */
    et_scope *scope;              /* owner, NULL: the caller or a module */
    et_tensor *prev, *next;       /* links of the owner's list */
    et_tensor *acc;               /* gradient that a running backward sweep has gathered */
    uint64_t mark;                /* of the last et_grad that it matters to: see autograd/sweep.h */
};

/* --- dtypes ------------------------------------------------------------------ */

/** Bytes of one element. */
size_t et_dtype_size(et_dtype dtype);
/** "float32", "float64", "int32", "uint8", "bfloat16". */
const char *et_dtype_name(et_dtype dtype);
/** True for float32 and float64, the types that are differentiated. */
bool et_dtype_is_real(et_dtype dtype);
/** bfloat16 to float32, and float32 to the nearest bfloat16 (ties to even; a NaN
 *  stays a NaN). */
float et_bf16_to_f32(uint16_t b);
uint16_t et_f32_to_bf16(float f);

/* --- making ------------------------------------------------------------------ */

/** A contiguous tensor of the given shape, contents undefined. shape may be NULL
 *  when ndim is 0. Errors: ESHAPE (negative size, too many dimensions, too many
 *  elements), EDTYPE (no such dtype), EINVAL (shape is NULL), ENOMEM. */
et_tensor *et_empty(et_dtype dtype, int ndim, const int64_t *shape);
/** The same filled with zeros, ones, `value` (converted as et_fill does). */
et_tensor *et_zeros(et_dtype dtype, int ndim, const int64_t *shape);
et_tensor *et_ones(et_dtype dtype, int ndim, const int64_t *shape);
et_tensor *et_full(et_dtype dtype, int ndim, const int64_t *shape, double value);
/** A zero-dimensional tensor. */
et_tensor *et_scalar(et_dtype dtype, double value);
/** A copy of `data`, which holds the elements of a contiguous tensor. EINVAL if it is NULL (without elements
 *  it may be). */
et_tensor *et_from(et_dtype dtype, int ndim, const int64_t *shape, const void *data);
/** [n] start, start + step, ...; n = ceil((stop - start) / step), as in NumPy, 0 if that is less. EINVAL for
 *  a step of 0 and where there is no such n. */
et_tensor *et_arange(et_dtype dtype, double start, double stop, double step);
/** [n] evenly spaced from start to stop inclusive. */
et_tensor *et_linspace(et_dtype dtype, double start, double stop, int64_t n);
/** A contiguous tensor shaped and typed as x; et_zeros_like fills it with zeros. */
et_tensor *et_empty_like(const et_tensor *x);
et_tensor *et_zeros_like(const et_tensor *x);
/** A contiguous copy of x, without history. */
et_tensor *et_clone(const et_tensor *x);
/** The elements of x as another dtype (contiguous copy, without history; the
 *  differentiable form is et_cast). Real to integer truncates towards zero and
 *  saturates; NaN gives 0. */
et_tensor *et_to(const et_tensor *x, et_dtype dtype);
/** A second handle on x's storage: same elements, no history, no gradient. */
et_tensor *et_detach(const et_tensor *x);

/* Shapes written in place: ET_SHAPE(3, 4) expands to `2, (const int64_t[]){3, 4}`. */
#define ET_SHAPE(...) \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__}
/* Lists of dimensions likewise: ET_DIMS(0, 2) expands to `2, (const int[]){0, 2}`. */
#define ET_DIMS(...) (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), (const int[]){__VA_ARGS__}

/* --- ownership --------------------------------------------------------------- */

/** As et_empty, but owned by the caller even while a scope is open. */
et_tensor *et_empty_owned(et_dtype dtype, int ndim, const int64_t *shape);
/** Takes x out of its scope: the caller owns it from now on. Returns x. x must be a
 *  leaf (ESCOPE otherwise: use et_detach or et_clone first). */
et_tensor *et_own(et_tensor *x);
/** Releases a tensor that the caller owns, its gradient with it. NULL is allowed;
 *  a tensor that a scope owns is left to its scope. */
void et_free(et_tensor *x);
/** Gives the elements of x back at once; the handle stays, and using its elements is
 *  ESCOPE from then on. */
void et_release(et_tensor *x);
/** Copies x's elements to block (contiguous, same dtype) from element `offset` on and
 *  makes x a handle on that place: what the optimisers' flat blocks are made with. EDTYPE; EINVAL where the
 *  block has no room. */
et_status et_move_into(et_tensor *x, et_tensor *block, int64_t offset);
/** Marks x so that backward neither releases it nor drops its gradient. Returns x. */
et_tensor *et_keep(et_tensor *x);
/** Marks a leaf of a real dtype as one to be trained. Returns x.
 *  EDTYPE for other dtypes, EGRAD for a tensor that an op computed. */
et_tensor *et_set_requires_grad(et_tensor *x, bool on);
/** The gradient of x that backward accumulated, or NULL. Owned by x. */
et_tensor *et_grad_of(const et_tensor *x);
/** Sets x's gradient to zero if it has one: the handle stays, its memory goes back to the pool (unless
 *  another handle shares it). Whoever looks at it before the next backward finds zeros, written then. */
void et_zero_grad_of(et_tensor *x);

/* --- reading and writing ----------------------------------------------------- */

/** First element of x. et_data is for reading; et_data_mut raises the version of the
 *  storage, so that a saved copy or packed weight is known to be stale. NULL and an
 *  error if x was released. Elements are at data + sum(index[i] * strides[i]). */
const void *et_data(const et_tensor *x);
void *et_data_mut(et_tensor *x);
/** As et_data, checked to be of that dtype. */
const float *et_data_f32(const et_tensor *x);
const double *et_data_f64(const et_tensor *x);
const int32_t *et_data_i32(const et_tensor *x);
/** Number of times the storage was opened for writing. */
uint32_t et_version(const et_tensor *x);

/** Value of the only element (EINVAL and NaN if there is not exactly one). */
double et_item(const et_tensor *x);
/** Element at index[ndim] as a double; NaN and EINVAL outside. Setting one converts as et_fill. */
double et_get(const et_tensor *x, const int64_t *index);
et_status et_set(et_tensor *x, const int64_t *index, double value);

/** Sets every element to `value`. */
et_status et_fill(et_tensor *x, double value);
/** dst[...] = src[...], src broadcast to dst's shape and converted to its dtype.
 *  The two may not overlap unless they are the same elements. ESHAPE if src does not broadcast. */
et_status et_copy_into(et_tensor *dst, const et_tensor *src);

/* --- shape ------------------------------------------------------------------- */

/** True if the elements lie side by side in row-major order, or there are none; true if the shapes are
 *  equal. False for NULL. */
bool et_is_contiguous(const et_tensor *x);
bool et_same_shape(const et_tensor *a, const et_tensor *b);
/** Size of dimension dim; a negative dim counts from the end. -1 and an error
 *  outside. */
int64_t et_size(const et_tensor *x, int dim);
/** NumPy's broadcasting rule for two shapes: *n dimensions to out[max(na, nb)]. ESHAPE (without a message) if
 *  they do not fit. */
et_status et_broadcast_shape(int na, const int64_t *a, int nb, const int64_t *b, int *n, int64_t *out);
/** Strides, [ndim], of a contiguous tensor of that shape; a size of 0 counts as 1. */
void et_dense_strides(int ndim, const int64_t *shape, int64_t *strides);
enum { ET_SHAPE_TEXT = 192 };
/** Writes "[3, 4]" into buf and returns buf. */
char *et_shape_text(char buf[ET_SHAPE_TEXT], int ndim, const int64_t *shape);

/** Views without history (the differentiable ones are the ops et_view, et_permute,
 *  et_slice, et_expand): a tensor of that shape over x's storage, element `offset` of which is its first; it
 *  belongs to the open scope, or to the caller. EINVAL for what reaches outside, or a negative stride. */
et_tensor *et_raw_view(const et_tensor *x, int ndim, const int64_t *shape, const int64_t *strides,
                       int64_t offset);

/* --- comparing and printing -------------------------------------------------- */

/** True if shapes agree and |a - b| <= atol + rtol |b| everywhere (NaN equals NaN
 *  when equal_nan; an infinity is close to itself alone). */
bool et_allclose(const et_tensor *a, const et_tensor *b, double rtol, double atol, bool equal_nan);
/** True if dtype, shape and every bit agree. */
bool et_equal(const et_tensor *a, const et_tensor *b);
/** ||a - b|| / max(||b||, tiny): the figure that parity tests bound. */
double et_relative_error(const et_tensor *a, const et_tensor *b);
/** ENONFINITE, naming `what` and the first index, if x holds a NaN or infinity. */
et_status et_check_finite(const et_tensor *x, const char *what);

/** Prints x as NumPy would (four digits, summarised above 1000 elements). */
et_status et_print(FILE *out, const et_tensor *x);
/** The same text, in memory to be released with et_dealloc; NULL on failure. */
char *et_to_string(const et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
