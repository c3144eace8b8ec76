/* What the processor can do, and how large its caches are. */
#ifndef ETUDE_TENSOR_CPU_H
#define ETUDE_TENSOR_CPU_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_cpu {
    bool sse2;   /* x86-64 baseline */
    bool avx2;   /* AVX2 and FMA */
    bool avx512; /* AVX-512 F, DQ, BW and VL */
    bool avx512_bf16; /* the same, and its products of bfloat16 */
    bool neon;   /* aarch64 */
    int64_t l1d; /* bytes of the data caches that a core sees; a typical size if unknown */
    int64_t l2;
    int64_t l3;
} et_cpu;

/** The processor of this machine, asked once. A vector extension counts only if the
 *  operating system saves its registers too. Owned by the library. */
const et_cpu *et_cpu_info(void);

#ifdef __cplusplus
}
#endif
#endif
