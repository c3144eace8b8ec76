/* Learning rates over time. */
#include "config.h"

#include <math.h>
#include <stddef.h>

#include "nn/schedule.h"

#define PI 3.14159265358979323846

static const char *wrong(const et_schedule *s)
{
    if (!s)
        return "NULL";
    if (!(s->lr >= 0) || !isfinite(s->lr))
        return "the rate must be 0 or more";
    if (!(s->least >= 0) || s->least > s->lr)
        return "the least rate must be between 0 and the first";
    switch (s->kind) {
    case ET_SCHEDULE_CONSTANT: return NULL;
    case ET_SCHEDULE_STEP:
        if (s->every < 1)
            return "`every` must be 1 or more";
        /* fall through */
    case ET_SCHEDULE_EXPONENTIAL: return s->gamma > 0 && isfinite(s->gamma) ? NULL : "gamma must be positive";
    case ET_SCHEDULE_NOAM:
        return s->warmup >= 1 && s->width > 0 ? NULL : "Noam's needs a warm-up and a width";
    case ET_SCHEDULE_WARMUP_COSINE:
        return s->warmup >= 0 && s->warmup < s->total ? NULL : "the warm-up must end before the total";
    }
    return "unknown kind";
}

et_status et_schedule_check(const et_schedule *s)
{
    return wrong(s) ? et_raise(ET_EINVAL, "schedule: %s", wrong(s)) : ET_OK;
}

double et_schedule_lr(const et_schedule *s, int64_t t)
{
    if (wrong(s) || t < 0)
        return NAN;
    const double x = (double)t;
    switch (s->kind) {
    case ET_SCHEDULE_STEP: return fmax(s->lr * pow(s->gamma, (double)(t / s->every)), s->least);
    case ET_SCHEDULE_EXPONENTIAL: return fmax(s->lr * pow(s->gamma, x), s->least);
    case ET_SCHEDULE_NOAM:
        return s->lr / sqrt(s->width) * fmin(1 / sqrt(x + 1), (x + 1) * pow((double)s->warmup, -1.5));
    case ET_SCHEDULE_WARMUP_COSINE:
        if (t < s->warmup)
            return s->lr * (x + 1) / (double)s->warmup;
        if (t >= s->total)
            return 0;
        return 0.5 * s->lr * (1 + cos(PI * (double)(t - s->warmup) / (double)(s->total - s->warmup)));
    default: return s->lr;
    }
}

double et_kl_weight(double k, int64_t t)
{
    if (!(k > 0) || t < 0)
        return NAN;
    return 1 - k / (k + exp((double)t / k)); /* exp may be infinite: 1 */
}
