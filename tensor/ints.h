/* Arithmetic of sizes: the less, the more, and quotients that are rounded up, for a >= 0 and b > 0. */
#ifndef ETUDE_TENSOR_INTS_H
#define ETUDE_TENSOR_INTS_H

#include <stdint.h>

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

#endif
