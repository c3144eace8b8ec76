/* C = act(alpha A B + beta C + bias + residual). */
#include "config.h"

#include <math.h>

#include "tensor/gemm.h"

static double act_value(et_act act, double x, double *slope)
{
    double y, e;

    switch (act) {
    case ET_ACT_RELU:
        *slope = x > 0 ? 1 : 0;
        return x > 0 || x != x ? x : 0;
    case ET_ACT_TANH:
        y = tanh(x);
        *slope = 1 - y * y;
        return y;
    case ET_ACT_SIGMOID:
        y = x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
        *slope = y * (1 - y);
        return y;
    case ET_ACT_GELU:
        y = 0.5 * erfc(-x * 0.70710678118654752440);
        e = exp(-0.5 * x * x) * 0.39894228040143267794;
        *slope = y + x * e;
        return x * y;
    default:
        *slope = 1;
        return x;
    }
}

#define DEFINE_GEMM(NAME, REAL)                                                                       \
    static void NAME(const et_gemm_args *g, int64_t batch)                                            \
    {                                                                                                 \
        const REAL *a = (const REAL *)g->a + batch * g->sa, *b = (const REAL *)g->b + batch * g->sb;  \
        const REAL *bias = g->bias;                                                                   \
        REAL *c = (REAL *)g->c + batch * g->sc;                                                       \
                                                                                                      \
        for (int64_t i = 0; i < g->m; i++)                                                            \
            for (int64_t j = 0; j < g->n; j++) {                                                      \
                double sum = 0, slope;                                                                \
                for (int64_t p = 0; p < g->k; p++)                                                    \
                    sum += (double)a[i * g->rsa + p * g->csa] * (double)b[p * g->rsb + j * g->csb];   \
                sum *= g->alpha;                                                                      \
                if (g->beta != 0)                                                                     \
                    sum += g->beta * (double)c[i * g->ldc + j];                                       \
                if (bias)                                                                             \
                    sum += (double)bias[j];                                                           \
                if (g->residual)                                                                      \
                    sum += (double)((const REAL *)g->residual)[batch * g->sr + i * g->ldr + j];       \
                c[i * g->ldc + j] = (REAL)act_value(g->act, sum, &slope);                             \
                if (g->deriv)                                                                         \
                    ((REAL *)g->deriv)[batch * g->sd + i * g->ldd + j] = (REAL)slope;                 \
            }                                                                                         \
    }

DEFINE_GEMM(gemm_f32, float)
DEFINE_GEMM(gemm_f64, double)

et_status et_gemm(et_dtype dtype, const et_gemm_args *args)
{
    int64_t batch = args->batch ? args->batch : 1;

    if (!et_dtype_is_real(dtype))
        return et_raise(ET_EDTYPE, "gemm: expected float32 or float64, got %s", et_dtype_name(dtype));
    for (int64_t i = 0; i < batch; i++)
        dtype == ET_F32 ? gemm_f32(args, i) : gemm_f64(args, i);
    return ET_OK;
}
