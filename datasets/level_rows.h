/* The two steps of et_level, which front_end.c takes at different times. */
#ifndef ETUDE_DATASETS_LEVEL_ROWS_H
#define ETUDE_DATASETS_LEVEL_ROWS_H

#include "datasets/level.h"
#include "tensor/kernels.h"

/** scale * level + shift of n values by table k, in place */
void et_level_log(const et_kernels *k, et_level_kind kind, double floor, double scale, double shift,
                  int64_t n, float *x);

/** Raises what lies more than `top` below the maximum. */
void et_level_raise(const et_kernels *k, double top, int64_t n, float *x);

#endif
