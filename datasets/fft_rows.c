/* Real transforms on rows: the complex one of half the length, or Bluestein's convolution. */
#include "config.h"

#include "datasets/fft_rows.h"

#include <string.h>

/* p + that many rows of table k */
static void *rows_at(const et_kernels *k, void *p, int64_t rows)
{
    return (char *)p + (size_t)(rows * k->lanes) * et_dtype_size(k->dtype);
}

static void clear_rows(const et_kernels *k, void *p, int64_t rows)
{
    memset(p, 0, (size_t)(rows * k->lanes) * et_dtype_size(k->dtype));
}

int64_t et_fft_rows_work(const et_fft *plan, const et_kernels *k)
{
    return 2 * (plan->N + 2 * plan->M) * k->lanes;
}

int64_t et_fft_rows_step(const et_fft *plan, const et_kernels *k)
{
    return plan->roots ? k->lanes : 2 * k->lanes;
}

/* Transforms the complex rows [N] at the beginning of work in place; returns where result k stands. */
static const int32_t *transform(const et_fft *plan, const et_kernels *k, void *work)
{
    void *a, *b;

    if (plan->M == 0) {
        k->fft_passes(&plan->passes, work);
        return plan->order;
    }
    /* X[k] = c[k] sum over j of (z[j] c[j]) conj c[k - j]: a convolution, done by transforms of
     * length M. Back is forward with real and imaginary parts swapped before and after. */
    a = rows_at(k, work, 2 * plan->N);
    b = rows_at(k, a, 2 * plan->M);
    k->fft_scale(plan->N, NULL, work, plan->chirp, 0, a);
    clear_rows(k, rows_at(k, a, 2 * plan->N), 2 * (plan->M - plan->N));
    k->fft_passes(&plan->passes, a);
    k->fft_scale(plan->M, plan->order, a, plan->filter, 1, b);
    k->fft_passes(&plan->passes, b);
    k->fft_scale(plan->N, plan->order, b, plan->chirp_back, 1, work);
    return plan->natural;
}

void et_fft_rows_forward(const et_fft *plan, const et_kernels *k, void *work, void *out, bool power)
{
    if (!plan->roots) /* odd: imaginary parts 0 */
        for (int64_t j = 0; j < plan->N; j++)
            clear_rows(k, rows_at(k, work, 2 * j + 1), 1);
    k->fft_split(plan->N, transform(plan, k, work), plan->roots, work, out, power);
}

void et_fft_rows_inverse(const et_fft *plan, const et_kernels *k, const void *X, void *work, void *out)
{
    k->fft_join(plan->N, plan->roots, 1.0 / (double)plan->n, X, work);
    k->fft_scale(plan->N, transform(plan, k, work), work, NULL, 1, out);
}
