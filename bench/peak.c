/* The most multiply-adds a second that one instruction set's vectors reach in registers:
 * compiled, as the kernels are, once for each (tensor/kernels/vec.h says which). */
#include "config.h"

#include "tensor/kernels/vec.h"

#include "bench/peak.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

/* Twelve chains: enough to hide the latency of two units. They are spelled out so that
 * they stay in registers. */
double JOIN(V_TABLE, _peak)(int64_t rounds, float scale, float shift)
{
    const vr x = v_set(scale), y = v_set(shift);
    vr a = y, b = y + x, c = b + x, d = c + x, e = d + x, f = e + x;
    vr g = f + x, h = g + x, i = h + x, j = i + x, k = j + x, l = k + x;

    for (int64_t n = 0; n < rounds; n++) {
        a = v_fma(a, x, y);
        b = v_fma(b, x, y);
        c = v_fma(c, x, y);
        d = v_fma(d, x, y);
        e = v_fma(e, x, y);
        f = v_fma(f, x, y);
        g = v_fma(g, x, y);
        h = v_fma(h, x, y);
        i = v_fma(i, x, y);
        j = v_fma(j, x, y);
        k = v_fma(k, x, y);
        l = v_fma(l, x, y);
    }
    return (double)v_hsum(((a + b) + (c + d)) + ((e + f) + (g + h)) + ((i + j) + (k + l)));
}
