/* Windows: see window.h, which has their formulas. */
#include "config.h"

#include "datasets/window.h"

#include <inttypes.h>
#include <math.h>

et_status et_window(et_window_kind kind, bool symmetric, int64_t n, float *w)
{
    static const double terms[][3] = {
        [ET_WINDOW_RECTANGULAR] = {1, 0, 0},
        [ET_WINDOW_HANN] = {0.5, 0.5, 0},
        [ET_WINDOW_HAMMING] = {0.54, 0.46, 0},
        [ET_WINDOW_BLACKMAN] = {0.42, 0.5, 0.08},
    };
    const double turn = 2 * 3.14159265358979323846 / (double)(symmetric ? n - 1 : n);

    if (!w || n < 1)
        return et_raise(ET_EINVAL, "et_window: %" PRId64 " places%s", n, w ? "" : ", NULL");
    if ((unsigned)kind >= sizeof terms / sizeof terms[0])
        return et_raise(ET_EINVAL, "et_window: no window number %d", (int)kind);
    for (int64_t j = 0; j < n; j++) {
        const double a = turn * (double)j, *t = terms[kind];
        w[j] = n == 1 ? 1 : (float)(t[0] - t[1] * cos(a) + t[2] * cos(2 * a));
    }
    return ET_OK;
}
