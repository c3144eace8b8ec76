/* Levels: see level.h. Decibels and natural logarithms are one kernel with other constants. */
#include "config.h"

#include "datasets/level.h"

#include <inttypes.h>
#include <math.h>

#include "datasets/level_rows.h"

void et_level_log(const et_kernels *k, et_level_kind kind, double floor, double scale, double shift,
                  int64_t n, float *x)
{
    static const double units[] = { /* of a natural logarithm */
        [ET_LEVEL_LN] = 1,
        [ET_LEVEL_POWER_DB] = 4.34294481903251827651,
        [ET_LEVEL_AMPLITUDE_DB] = 8.68588963806503655302,
    };

    k->clamp(n, x, floor, INFINITY, x);
    k->unary[ET_U_LOG](n, x, x);
    k->affine(n, x, units[kind] * scale, shift, x);
}

void et_level_raise(const et_kernels *k, double top, int64_t n, float *x)
{
    const double most = k->max(n, x);

    if (!isnan(most))
        k->clamp(n, x, most - top, INFINITY, x);
}

et_status et_level(et_level_kind kind, double floor, double top, int64_t n, float *x)
{
    const et_kernels *k = et_kernels_for(ET_F32);

    if ((unsigned)kind > ET_LEVEL_AMPLITUDE_DB || !(floor > 0) || !(top >= 0) || n < 0 || (n > 0 && !x))
        return et_raise(ET_EINVAL, "et_level: kind %d, floor %g, top %g, %" PRId64 " values%s", (int)kind,
                        floor, top, n, x ? "" : ", NULL");
    et_level_log(k, kind, floor, 1, 0, n, x);
    if (top > 0)
        et_level_raise(k, top, n, x);
    return ET_OK;
}
