/* The loops of peak.c, one for each instruction set of the build. */
#ifndef ETUDE_BENCH_PEAK_H
#define ETUDE_BENCH_PEAK_H

#include <stdint.h>

enum { BENCH_PEAK_CHAINS = 12 };

/* a = a scale + shift, `rounds` times on BENCH_PEAK_CHAINS vectors at once. The result is
 * there for the compiler not to leave the work out. */
double et_kernels_generic_peak(int64_t rounds, float scale, float shift);
double et_kernels_sse2_peak(int64_t rounds, float scale, float shift);
double et_kernels_avx2_peak(int64_t rounds, float scale, float shift);
double et_kernels_avx512_peak(int64_t rounds, float scale, float shift);
double et_kernels_neon_peak(int64_t rounds, float scale, float shift);

#endif
