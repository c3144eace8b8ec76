/* Speed, place, level and noise of sounds. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "datasets/augment.h"
#include "tensor/alloc.h"

static et_status check(const et_tensor *x, const et_tensor *lengths, const et_sound_augment *o,
                       const et_rng *rng)
{
    char text[ET_SHAPE_TEXT];

    if (!x || !o || !rng)
        return et_raise(ET_EINVAL, "sound: NULL");
    if (x->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "sound: x is %s, not float32", et_dtype_name(x->dtype));
    if (x->ndim != 2 || !et_is_contiguous(x))
        return et_raise(ET_ESHAPE, "sound: x is %s, not contiguous [B, samples]",
                        et_shape_text(text, x->ndim, x->shape));
    if (!(o->speed >= 0 && o->speed <= 1) || !(o->gain >= 0 && o->gain <= 120) ||
        !(o->noise >= 0 && o->noise <= 100))
        return et_raise(ET_EINVAL, "sound: speed %g, gain %g, noise %g", o->speed, o->gain, o->noise);
    if (!lengths)
        return ET_OK;
    if (lengths->dtype != ET_I32 || lengths->ndim != 1 || lengths->shape[0] != x->shape[0] ||
        !et_is_contiguous(lengths))
        return et_raise(ET_ESHAPE, "sound: lengths must be int32 [%" PRId64 "]", x->shape[0]);
    const int32_t *v = et_data_i32(lengths);
    for (int64_t i = 0; v && i < x->shape[0]; i++)
        if (v[i] < 0 || v[i] > x->shape[1])
            return et_raise(ET_EINVAL, "sound: length %" PRId32 " of %" PRId64 " samples", v[i], x->shape[1]);
    return v ? ET_OK : et_fail_status("sound");
}

/* x[n] at place p, 0 <= p <= n - 1: the cubic through its neighbours
 * with the slopes of Catmull and Rom 1974. */
static float between(const float *x, int64_t n, double p)
{
    const int64_t i = (int64_t)p;
    const double f = p - (double)i, b = (double)x[i], c = (double)x[i + 1 < n ? i + 1 : i];
    const double a = (double)x[i > 0 ? i - 1 : 0], d = (double)x[i + 2 < n ? i + 2 : n - 1];

    return (float)(b + f * ((c - a) / 2 + f * (a - 2.5 * b + 2 * c - d / 2 + f *
                                               ((d - a) / 2 + 1.5 * (b - c)))));
}

et_status et_augment_sound(et_tensor *x, const et_tensor *lengths, const et_sound_augment *o, et_rng *rng)
{
    if (check(x, lengths, o, rng))
        return et_error_status();
    const int64_t B = x->shape[0], N = x->shape[1];
    const int32_t *length = lengths ? et_data_i32(lengths) : NULL;
    float *row = et_data_mut(x), *was = et_alloc((size_t)N * sizeof *was + 1);

    for (int64_t i = 0; row && was && i < B; i++, row += N) {
        /* drawn whatever the options are, so that one does not change what the others do */
        const double rate = exp((2 * et_rng_uniform(rng) - 1) * log1p(o->speed));
        const double place = et_rng_uniform(rng),
                     level = pow(10, (2 * et_rng_uniform(rng) - 1) * o->gain / 20);
        const double hiss = o->noise * et_rng_uniform(rng);
        const int64_t n = length ? length[i] : N;
        double power = 0;
        if (n == 0)
            continue;
        memcpy(was, row, (size_t)n * sizeof *was);
        for (int64_t t = 0; t < n; t++)
            power += (double)was[t] * (double)was[t];
        const int64_t m = (int64_t)((double)(n - 1) / rate) + 1;
        const int64_t shift = o->place ? (int64_t)floor(place * (double)((m < N ? N - m : m - N) + 1)) : 0;
        const int64_t to = m < N ? shift : 0, from = m < N ? 0 : shift, end = m < N ? m : N;
        memset(row, 0, (size_t)N * sizeof *row);
        for (int64_t t = 0; t < end; t++) {
            const double p = (double)(from + t) * rate;
            row[to + t] = (float)level * between(was, n, p < (double)(n - 1) ? p : (double)(n - 1));
        }
        for (int64_t t = 0; hiss > 0 && t < N; t++)
            row[t] += (float)(level * hiss * sqrt(power / (double)n) * et_rng_normal(rng));
    }
    et_dealloc(was);
    return et_error_status();
}
