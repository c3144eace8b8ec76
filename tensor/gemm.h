/* Matrix products: C = act(alpha A B + beta C + bias), packed panels and a
 * register-blocked micro-kernel (Goto and van de Geijn 2008). A and B have any row and
 * column strides, so the four transposes and views are one code path. */
#ifndef ETUDE_TENSOR_GEMM_H
#define ETUDE_TENSOR_GEMM_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_act { ET_ACT_NONE, ET_ACT_RELU, ET_ACT_TANH, ET_ACT_SIGMOID, ET_ACT_GELU } et_act;

typedef struct et_gemm_args {
    int64_t m, n, k;
    const void *a; int64_t rsa, csa; /* A [m,k]: element (i,p) at a + i rsa + p csa */
    const void *b; int64_t rsb, csb; /* B [k,n]: element (p,j) at b + p rsb + j csb */
    const void *packed;              /* or B as et_gemm_pack left it, for et_gemm alone: b is not read;
                                        no batch */
    void *c; int64_t ldc;            /* C [m,n]: rows contiguous, ldc >= n apart */
    double alpha, beta;              /* beta 0: C is not read */
    const void *bias;                /* [n], added to every row; or NULL */
    et_act act;                      /* applied last */
    void *out; int64_t ldo;          /* [m,n]: receives act(C), C what act is applied to; or NULL: C does */
    int64_t batch;                   /* number of products, 0 counts as 1 */
    int64_t sa, sb, sc;              /* from one product to the next, in elements (sa, sb 0: shared) */
    int64_t so;                      /* the same for out */
    int64_t batch2;                  /* a second, outer level of the batch, 0 counts as 1 */
    int64_t sa2, sb2, sc2, so2;
} et_gemm_args;

/** Runs the product on et_get_num_threads() threads (one inside a parallel body); the
 *  bits do not depend on their number. dtype float32 or float64. k = 0 gives beta C + ....
 *  Errors: ENOMEM (packing buffers), EDTYPE. */
et_status et_gemm(et_dtype dtype, const et_gemm_args *args);

/** For a B of many products, which need not pack it each time, nor ask for memory then: the bytes of a packed
 *  B [k,n], and B packed into so many (aligned to 64) by this thread. Readable by the kernels that are chosen
 *  at the time alone. */
size_t et_gemm_packed_bytes(et_dtype dtype, int64_t k, int64_t n);
void et_gemm_pack(et_dtype dtype, int64_t k, int64_t n, const void *b, int64_t rsb, int64_t csb,
                  void *packed);

/** The same with A and B in bfloat16 and sums in float32: arrays of bfloat16 (from ET_BF16), or of
 *  float32 whose elements are rounded to the nearest bfloat16, ties to even, on the way (from
 *  ET_F32). C, bias and out are float32.
 *
 *  Where the CPU multiplies bfloat16 by itself (et_bf16_native) it does; subnormal numbers count as
 *  zero then. Elsewhere the operands are widened, and the bits are those of et_gemm on rounded
 *  operands without gaps. Each is the same for any number of threads. Errors: as et_gemm. */
et_status et_gemm_bf16(et_dtype from, const et_gemm_args *args);

/** Whether the chosen instruction set is AVX-512 and the CPU has VDPBF16PS. */
bool et_bf16_native(void);

#ifdef __cplusplus
}
#endif

#endif
