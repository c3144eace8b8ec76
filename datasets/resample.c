/* Another rate for a recording: band-limited interpolation.
 *
 * With the rates reduced to from : to, output j lies at t = j from / to on the axis of the input, and
 *
 *   y[j] = sum_n x[n] g(n - t),   g(d) = c sinc(c d) cos^2(pi c d / (2 zeros)) for |c d| < zeros, else 0
 *
 * with c = roll-off min(from, to) / from, zeros = 6, roll-off = 0.99. Only `to` different fractions of t
 * occur: their taps are tabulated, a row each (polyphase form). Source: Smith, "Digital Audio Resampling",
 * with the Hann window; the same figures as torchaudio's default. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "datasets/audio_format.h"
#include "tensor/alloc.h"

enum {
    ZEROS = 6,
    LANES = 8,       /* sums that a dot product is cut into, a multiple of any vector's floats here */
    MAX_RATIO = 1000 /* of rates: a header that says 1 Hz does not ask for a terabyte */
};
static const double roll_off = 0.99;
static const double pi = 3.14159265358979323846;

typedef struct filter {
    int64_t from, to; /* reduced */
    int64_t rows;     /* tabulated: all `to`, or as many as there are outputs */
    int64_t taps;     /* of a row, a multiple of LANES; those behind the window are 0 */
    int64_t *first;   /* [rows] input of the first tap of output j = row */
    float *table;     /* [rows][taps] */
} filter;

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static double tap(double c, double d)
{
    double u = c * d, w;

    if (!(fabs(u) < ZEROS))
        return 0;
    w = cos(pi * u / (2 * ZEROS));
    return c * w * w * (u == 0 ? 1 : sin(pi * u) / (pi * u));
}

static et_status make_filter(filter *f, int64_t n_out)
{
    double c = roll_off * (double)(f->from < f->to ? f->from : f->to) / (double)f->from;
    double half = ZEROS / c; /* of the window, in inputs */
    size_t n;

    f->rows = f->to < n_out ? f->to : n_out;
    f->taps = ((int64_t)(2 * half) + 1 + LANES - 1) / LANES * LANES;
    f->first = et_alloc_zero((size_t)f->rows, sizeof *f->first);
    f->table = et_mul_size((size_t)f->rows, (size_t)f->taps, &n) ? et_alloc_zero(n, sizeof *f->table) : NULL;
    if (!f->first || !f->table)
        return et_raise(ET_ENOMEM, "sound: no memory for a filter from %" PRId64 " to %" PRId64, f->from,
                        f->to);
    for (int64_t i = 0; i < f->rows; i++) {
        double t = (double)i * (double)f->from / (double)f->to;
        int64_t first = (int64_t)ceil(t - half);

        f->first[i] = first;
        for (int64_t k = 0; k < f->taps; k++) /* the whole part of t apart: exact for late outputs */
            f->table[i * f->taps + k] = (float)tap(c, (double)(first + k) - t);
    }
    return ET_OK;
}

/* taps is a multiple of LANES. */
static float dot(const float *restrict x, const float *restrict h, int64_t taps)
{
    float sum[LANES] = {0};

    for (int64_t k = 0; k < taps; k += LANES)
        for (int v = 0; v < LANES; v++)
            sum[v] += x[k + v] * h[k + v];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Where taps lie outside of the input, which is silence. */
static float dot_at_edge(const float *x, int64_t n, int64_t at, const float *h, int64_t taps)
{
    int64_t lo = at < 0 ? -at : 0, hi = n - at < taps ? n - at : taps;
    float sum = 0;

    for (int64_t k = lo; k < hi; k++)
        sum += x[at + k] * h[k];
    return sum;
}

static void run_filter(const filter *f, const float *x, int64_t n, float *y, int64_t n_out)
{
    int64_t row = 0, base = 0;

    for (int64_t j = 0; j < n_out; j++) {
        const float *h = f->table + row * f->taps;
        int64_t at = base + f->first[row];

        y[j] = at >= 0 && at + f->taps <= n ? dot(x + at, h, f->taps) : dot_at_edge(x, n, at, h, f->taps);
        if (++row == f->to) {
            row = 0;
            base += f->from;
        }
    }
}

et_status et_audio_to_rate(et_audio *audio, int64_t rate)
{
    filter f = {0};
    int64_t channels, n, n_out, g;
    et_tensor *to;
    const float *in;
    float *out;
    et_status status;

    if (et_audio_check(audio) < 0)
        return et_error_status();
    if (rate < 1 || rate > ET_AUDIO_MAX_RATE)
        return et_raise(ET_EINVAL, "sound: a rate of %" PRId64 " Hz, not 1 .. %d", rate, ET_AUDIO_MAX_RATE);
    if (rate == audio->rate)
        return ET_OK;
    if (audio->rate > ET_AUDIO_MAX_RATE || audio->rate / MAX_RATIO >= rate || rate / MAX_RATIO >= audio->rate)
        return et_raise(ET_EINVAL, "sound: rates of %" PRId64 " Hz and %" PRId64 " Hz are too far apart",
                        audio->rate, rate);
    channels = audio->samples->shape[0];
    n = audio->samples->shape[1];
    g = common_divisor(audio->rate, rate);
    f.from = audio->rate / g;
    f.to = rate / g;
    if (!et_mul_i64(n, f.to, &n_out) || n_out > INT64_MAX - f.from)
        return et_raise(ET_ENOMEM, "sound: %" PRId64 " frames are too many to resample", n);
    n_out = (n_out + f.from - 1) / f.from;
    status = make_filter(&f, n_out);
    to = status == ET_OK ? et_empty_owned(ET_F32, ET_SHAPE(channels, n_out)) : NULL;
    in = et_data_f32(audio->samples);
    out = to && in ? et_data_mut(to) : NULL;
    if (out) {
        for (int64_t c = 0; c < channels; c++)
            run_filter(&f, in + c * n, n, out + c * n_out, n_out);
        et_free(audio->samples);
        *audio = (et_audio){to, rate};
    } else {
        et_free(to);
        status = et_fail_status("sound");
    }
    et_dealloc(f.first);
    et_dealloc(f.table);
    return status;
}
