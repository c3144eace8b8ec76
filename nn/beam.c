/* Parts of beam searches. */
#include "config.h"

#include <math.h>

#include "nn/beam.h"

int32_t et_likeliest(const float *logits, int64_t n)
{
    int32_t best = 0;

    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

int64_t et_beam_classes(const float *logits, int64_t n, int64_t width, int32_t *index, double *log_p)
{
    const double most = logits[et_likeliest(logits, n)];
    double sum = 0;
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - most);
    for (int32_t i = 0; i < n; i++) {
        const double p = (double)logits[i] - most - log(sum);
        int64_t k = found < width ? found++ : width;
        for (; k > 0 && log_p[k - 1] < p; k--)
            if (k < width) {
                log_p[k] = log_p[k - 1];
                index[k] = index[k - 1];
            }
        if (k < width) {
            log_p[k] = p;
            index[k] = i;
        }
    }
    return found;
}

void et_beam_offer(et_beam_candidate *best, int64_t *found, int64_t width, et_beam_candidate c)
{
    int64_t i = *found < width ? (*found)++ : width;

    for (; i > 0 && best[i - 1].log_p < c.log_p; i--)
        if (i < width)
            best[i] = best[i - 1];
    if (i < width)
        best[i] = c;
}
