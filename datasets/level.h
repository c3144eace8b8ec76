/* Levels: logarithms of power, with a floor. */
#ifndef ETUDE_DATASETS_LEVEL_H
#define ETUDE_DATASETS_LEVEL_H

#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_level_kind {
    ET_LEVEL_LN,           /* ln(max(x, floor)) */
    ET_LEVEL_POWER_DB,     /* 10 log10(max(x, floor)) */
    ET_LEVEL_AMPLITUDE_DB  /* 20 log10(max(x, floor)); of a power, this is "amplitude on power" */
} et_level_kind;

/** x[n] to levels, in place. floor > 0. With top > 0 what lies more than `top` below the largest level
 *  is raised to that ("top_db"); 0: not. NaN stays, and then nothing is raised. EINVAL for bad arguments. */
et_status et_level(et_level_kind kind, double floor, double top, int64_t n, float *x);

#ifdef __cplusplus
}
#endif
#endif
