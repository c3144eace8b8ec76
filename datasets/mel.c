/* Mel filter banks and cepstra. */
#include "config.h"

#include "datasets/mel.h"

#include <inttypes.h>
#include <math.h>

#include "datasets/bands.h"
#include "datasets/mel_bands.h"
#include "tensor/alloc.h"

double et_mel_from_hz(et_mel_bank bank, double hz)
{
    if (bank != ET_MEL_SLANEY)
        return 1127 * log1p(hz / 700);
    return hz < 1000 ? 3 * hz / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

double et_mel_to_hz(et_mel_bank bank, double mel)
{
    if (bank != ET_MEL_SLANEY)
        return 700 * expm1(mel / 1127);
    return mel < 15 ? 200 * mel / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

/* Height at f of the triangle with its feet at a and c and its top, 1, at b. */
static double triangle(double f, double a, double b, double c)
{
    double rise = (f - a) / (b - a), fall = (c - f) / (c - b);
    double height = rise < fall ? rise : fall;

    return height > 0 ? height : 0;
}

/* The points of filter i in the unit in which the bank's triangles are straight. */
typedef struct filter {
    double a, b, c, scale;
} filter;

static filter filter_at(et_mel_bank bank, int64_t i, int64_t n, double low, double high)
{
    const double first = et_mel_from_hz(bank, low), last = et_mel_from_hz(bank, high);
    double p[3];

    for (int j = 0; j < 3; j++) {
        p[j] = first + (last - first) * (double)(i + j) / (double)(n + 1);
        if (bank != ET_MEL_KALDI)
            p[j] = et_mel_to_hz(bank, p[j]);
    }
    return (filter){p[0], p[1], p[2], bank == ET_MEL_SLANEY ? 2 / (p[2] - p[0]) : 1};
}

/* The weight of bin b, at frequency hz */
static double weight(const et_mel *mel, et_mel_bank bank, const filter *f, int64_t b, double hz)
{
    if (bank != ET_MEL_KALDI)
        return f->scale * triangle(hz, f->a, f->b, f->c);
    return b == mel->bins - 1 ? 0 : triangle(et_mel_from_hz(bank, hz), f->a, f->b, f->c);
}

/* Finds the bands, and writes their weights where there is room for them; the number of weights. */
static int64_t fill(et_mel *mel, et_mel_bank bank, double rate, int64_t n_fft, double low, double high)
{
    int64_t total = 0;

    for (int64_t i = 0; i < mel->filters; i++) {
        const filter f = filter_at(bank, i, mel->filters, low, high);
        et_band band = {0, 0};

        for (int64_t b = 0; b < mel->bins; b++) {
            const double w = weight(mel, bank, &f, b, (double)b * rate / (double)n_fft);
            if (!(w > 0))
                continue;
            if (band.count == 0)
                band.first = (int32_t)b;
            band.count++;
            if (mel->weights)
                mel->weights[total] = (float)w;
            total++;
        }
        mel->bands[i] = band;
    }
    return total;
}

et_mel *et_mel_new(et_mel_bank bank, int64_t n, double rate, int64_t n_fft, double low, double high)
{
    enum { MOST = 1 << 26 };
    et_mel *mel;

    if ((unsigned)bank > ET_MEL_KALDI || n < 1 || n > 65536 || n_fft < 2 || n_fft > MOST || !(rate > 0) ||
        !(low >= 0) || !(low < high) || !(high <= rate / 2)) {
        et_raise(ET_EINVAL, "et_mel_new: bank %d of %" PRId64
                 " filters from %g to %g Hz, rate %g, transforms of %"
                 PRId64, (int)bank, n, low, high, rate, n_fft);
        return NULL;
    }
    if (!(mel = et_alloc_zero(1, sizeof *mel)))
        return NULL;
    mel->filters = n;
    mel->bins = n_fft / 2 + 1;
    if ((mel->bands = et_alloc((size_t)n * sizeof *mel->bands)))
        mel->weights = et_alloc((size_t)fill(mel, bank, rate, n_fft, low, high) * sizeof *mel->weights);
    if (!mel->weights) {
        et_mel_free(mel);
        return NULL;
    }
    fill(mel, bank, rate, n_fft, low, high);
    return mel;
}

void et_mel_free(et_mel *mel)
{
    if (!mel)
        return;
    et_dealloc(mel->bands);
    et_dealloc(mel->weights);
    et_dealloc(mel);
}

int64_t et_mel_filters(const et_mel *mel) { return mel->filters; }
int64_t et_mel_bins(const et_mel *mel) { return mel->bins; }

et_tensor *et_mel_matrix(const et_mel *mel)
{
    et_tensor *out;
    const float *w;
    float *p;

    if (!mel) {
        et_raise(ET_EINVAL, "et_mel_matrix: NULL");
        return NULL;
    }
    out = et_zeros(ET_F32, ET_SHAPE(mel->filters, mel->bins));
    p = out ? et_data_mut(out) : NULL;
    if (!p)
        return et_fail("et_mel_matrix");
    w = mel->weights;
    for (int64_t i = 0; i < mel->filters; i++)
        for (int32_t j = 0; j < mel->bands[i].count; j++)
            p[i * mel->bins + mel->bands[i].first + j] = *w++;
    return out;
}

et_status et_mel_apply(const et_mel *mel, int64_t frames, const float *x, float *out)
{
    if (!mel || frames < 0 || (frames > 0 && (!x || !out)))
        return et_raise(ET_EINVAL, "et_mel_apply: %" PRId64 " frames%s", frames, mel && x &&
                        out ? "" : ", NULL");
    if (et_bands_apply(mel->filters, mel->bands, mel->weights, frames, mel->bins, x, out) < 0)
        return et_fail_status("et_mel_apply");
    return ET_OK;
}

et_status et_mfcc(int64_t frames, int64_t bands, const float *x, int64_t n, float *out)
{
    const double pi = 3.14159265358979323846;
    et_band *whole;
    float *w = NULL;
    et_status status;

    if (frames < 0 || bands < 1 || bands > 65536 || n < 1 || n > bands || (frames > 0 && (!x || !out)))
        return et_raise(ET_EINVAL, "et_mfcc: %" PRId64 " coefficients of %" PRId64 " frames of %" PRId64
                        " bands%s", n, frames, bands, x && out ? "" : ", NULL");
    if ((whole = et_alloc((size_t)n * sizeof *whole)))
        w = et_alloc_zero((size_t)n, (size_t)bands * sizeof *w);
    for (int64_t k = 0; w && k < n; k++) {
        whole[k] = (et_band){0, (int32_t)bands};
        for (int64_t i = 0; i < bands; i++) /* the angle within a turn, as a fraction of 4 bands */
            w[k * bands + i] = (float)(sqrt((k == 0 ? 1.0 : 2.0) / (double)bands) *
                                       cos(2 * pi * (double)(k * (2 * i + 1) % (4 * bands)) /
                                           (double)(4 * bands)));
    }
    status = w ? et_bands_apply(n, whole, w, frames, bands, x, out) : ET_ENOMEM;
    et_dealloc(whole);
    et_dealloc(w);
    return status < 0 ? et_fail_status("et_mfcc") : ET_OK;
}
