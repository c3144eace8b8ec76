/* The inner part of products of bfloat16 where the CPU has an instruction for them: used by
 * tensor/gemm_bf16.c. An operand is packed as pairs, element 2p of k in the lower half of a word
 * and 2p + 1 in the upper, zero beyond the end of k. */
#ifndef ETUDE_TENSOR_BF16_H
#define ETUDE_TENSOR_BF16_H

#include "tensor/tensor.h"

enum {
    ET_BF16_LANES = 16, /* lines (rows of A, columns of B) packed together */
    ET_BF16_ROWS = 8,   /* of a tile; divides LANES */
    ET_BF16_COLS = 48   /* of a tile and a panel; a multiple of LANES */
};

typedef struct et_bf16_kernels {
    /* out[p step + j] = the pair (2p, 2p + 1) of line j, for p < (k + 1) / 2 and j < LANES; lines from
     * `lines` on are zero. Element q of line j is at src + (j ls + q ks) elements of `from`, float32
     * (rounded) or bfloat16. */
    void (*pack)(et_dtype from, int64_t k, int64_t lines, const void *src, int64_t ls, int64_t ks,
                 uint32_t *out, int64_t step);
    /* c = alpha a b + beta c + bias for rows <= ROWS and cols <= COLS; pairs of the two of k. Row i of
     * pair p is a[p LANES + i], column j b[p width + j], width = cols rounded up to LANES. bias may be
     * NULL; with beta 0 c is not read. */
    void (*tile)(int64_t rows, int64_t cols, int64_t pairs, const uint32_t *a, const uint32_t *b, float *c,
                 int64_t ldc, float alpha, float beta, const float *bias);
} et_bf16_kernels;

#endif
