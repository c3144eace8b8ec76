/* Initialisers of parameters. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "nn/init.h"
#include "tensor/alloc.h"

et_status et_init_fans(const et_tensor *w, int64_t *fan_in, int64_t *fan_out)
{
    int64_t field = 1;

    if (!w)
        return et_raise(ET_EINVAL, "init: the tensor is NULL");
    if (w->ndim < 2)
        return et_raise(ET_ESHAPE, "init: a weight of %d dimensions has no fan", (int)w->ndim);
    for (int d = 2; d < w->ndim; d++)
        field *= w->shape[d];
    *fan_in = w->shape[1] * field;
    *fan_out = w->shape[0] * field;
    return ET_OK;
}

et_status et_init_uniform(et_tensor *w, double bound, et_rng *rng)
{
    return et_fill_uniform(w, rng, -bound, bound);
}

et_status et_init_normal(et_tensor *w, double std, et_rng *rng) { return et_fill_normal(w, rng, 0, std); }

et_status et_init_trunc_normal(et_tensor *w, double std, double cut, et_rng *rng)
{
    return et_fill_trunc_normal(w, rng, 0, std, -cut, cut);
}

et_status et_init_fan(et_tensor *w, int64_t fan, et_rng *rng)
{
    if (fan < 1)
        return et_raise(ET_EINVAL, "init: a fan of %" PRId64, fan);
    return et_init_uniform(w, 1 / sqrt((double)fan), rng);
}

/* The square root of `numerator` over fan_in, or over both fans. 0 for an empty weight. */
static et_status spread(const et_tensor *w, double numerator, bool both, double *out)
{
    int64_t in, outs;
    et_status status = et_init_fans(w, &in, &outs);

    if (status)
        return status;
    in += both ? outs : 0;
    *out = in ? sqrt(numerator / (double)in) : 0;
    return ET_OK;
}

et_status et_init_xavier_uniform(et_tensor *w, double gain, et_rng *rng)
{
    double s;
    et_status status = spread(w, 6, true, &s);

    return status ? status : et_init_uniform(w, gain * s, rng);
}

et_status et_init_xavier_normal(et_tensor *w, double gain, et_rng *rng)
{
    double s;
    et_status status = spread(w, 2, true, &s);

    return status ? status : et_init_normal(w, gain * s, rng);
}

et_status et_init_he_uniform(et_tensor *w, double gain, et_rng *rng)
{
    double s;
    et_status status = spread(w, 3, false, &s);

    return status ? status : et_init_uniform(w, gain * s, rng);
}

et_status et_init_he_normal(et_tensor *w, double gain, et_rng *rng)
{
    double s;
    et_status status = spread(w, 1, false, &s);

    return status ? status : et_init_normal(w, gain * s, rng);
}

/* Makes the k <= n rows of a [k, n] orthonormal. Each row is cleared of the ones before it
 * twice, which keeps the error at rounding size; a row that vanishes is drawn again. */
static void orthonormal(double *a, int64_t k, int64_t n, et_rng *rng)
{
    for (int64_t i = 0; i < k; i++) {
        double *row = a + i * n, norm = 0;
        while (!(norm > 1e-6)) {
            for (int64_t c = 0; c < n; c++)
                row[c] = et_rng_normal(rng);
            for (int pass = 0; pass < 2; pass++)
                for (int64_t j = 0; j < i; j++) {
                    double dot = 0;
                    for (int64_t c = 0; c < n; c++)
                        dot += row[c] * a[j * n + c];
                    for (int64_t c = 0; c < n; c++)
                        row[c] -= dot * a[j * n + c];
                }
            norm = 0;
            for (int64_t c = 0; c < n; c++)
                norm += row[c] * row[c];
            norm = sqrt(norm);
        }
        for (int64_t c = 0; c < n; c++)
            row[c] /= norm;
    }
}

et_status et_init_orthogonal_gates(et_tensor *w, int gates, double gain, et_rng *rng)
{
    double *a;
    et_status status = ET_OK;

    if (!w)
        return et_raise(ET_EINVAL, "init_orthogonal: the tensor is NULL");
    if (w->ndim != 2 || gates < 1 || w->shape[0] % gates)
        return et_raise(ET_ESHAPE, "init_orthogonal: a tensor of %d dimensions in %d blocks of rows",
                        (int)w->ndim, gates);
    if (!rng)
        rng = et_rng_default();
    const int64_t m = w->shape[0] / gates, n = w->shape[1], k = m < n ? m : n, len = m < n ? n : m;
    a = et_alloc_zero((size_t)k, (size_t)len * sizeof *a);
    if (!a)
        return et_error_status();
    for (int g = 0; g < gates && !status; g++) {
        orthonormal(a, k, len, rng);
        for (int64_t i = 0; i < m && !status; i++)
            for (int64_t j = 0; j < n && !status; j++) {
                const int64_t at[2] = {g * m + i, j};
                status = et_set(w, at, gain * (m < n ? a[i * len + j] : a[j * len + i]));
            }
    }
    et_dealloc(a);
    return status;
}

et_status et_init_orthogonal(et_tensor *w, double gain, et_rng *rng)
{
    return et_init_orthogonal_gates(w, 1, gain, rng);
}

et_status et_init_module_normal(et_module *m, double std, double cut, et_rng *rng)
{
    et_status status = ET_OK;
    const et_entry *e;

    if (!m)
        return et_raise(ET_EINVAL, "init: the module is NULL");
    for (int64_t i = 0; (e = et_module_entry(m, i)) && !status; i++) {
        const char *dot = strrchr(e->name, '.');
        if (e->kind != ET_ENTRY_PARAMETER || e->tied)
            continue;
        if (e->tensor->ndim >= 2)
            status = cut > 0 ? et_init_trunc_normal(e->tensor, std, cut, rng)
                             : et_init_normal(e->tensor, std, rng);
        else if (strcmp(dot ? dot + 1 : e->name, "bias") == 0)
            status = et_fill(e->tensor, 0);
    }
    return status;
}
