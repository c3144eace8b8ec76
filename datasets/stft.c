/* Short-time Fourier transforms, the lanes of a vector holding neighbouring frames. */
#include "config.h"

#include "datasets/stft.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/fft_rows.h"
#include "datasets/stft_rows.h"
#include "tensor/alloc.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"

static const double kaldi_emphasis = 0.97;

struct et_stft {
    et_stft_options o;
    et_fft *fft;
    float *window; /* [frame] */
    int64_t bins;
    int64_t left;   /* zeros before the frame within the transform */
    int64_t before; /* from a frame's first sample to sample t hop */
};

et_stft *et_stft_new(const et_stft_options *options)
{
    et_stft *s;
    int64_t frame;

    if (!options) {
        et_raise(ET_EINVAL, "et_stft_new: no options");
        return NULL;
    }
    frame = options->frame ? options->frame : options->n_fft;
    if (options->n_fft < 2 || frame < 1 || frame > options->n_fft || options->hop < 1 ||
        options->hop > ET_FFT_LONGEST || (unsigned)options->ends > ET_STFT_PADDED) {
        et_raise(ET_EINVAL, "et_stft_new: frames of %" PRId64 " in transforms of %" PRId64 ", hop %" PRId64
                 ", ends %d", frame, options->n_fft, options->hop, (int)options->ends);
        return NULL;
    }
    if (!(s = et_alloc_zero(1, sizeof *s)))
        return NULL;
    s->o = *options;
    s->o.frame = frame;
    s->bins = options->n_fft / 2 + 1;
    if (options->ends == ET_STFT_CENTRED) {
        s->left = (options->n_fft - frame) / 2;
        s->before = options->n_fft / 2 - s->left;
    }
    if (!(s->fft = et_fft_new(ET_F32, options->n_fft)) ||
        !(s->window = et_alloc((size_t)frame * sizeof *s->window)) ||
        et_window(options->window, options->symmetric, frame, s->window) < 0) {
        et_stft_free(s);
        return NULL;
    }
    return s;
}

void et_stft_free(et_stft *s)
{
    if (!s)
        return;
    et_fft_free(s->fft);
    et_dealloc(s->window);
    et_dealloc(s);
}

int64_t et_stft_bins(const et_stft *s) { return s->bins; }

int64_t et_stft_frames(const et_stft *s, int64_t n)
{
    switch (s->o.ends) {
    case ET_STFT_CENTRED: return n > s->o.n_fft / 2 ? 1 + (n - s->o.n_fft % 2) / s->o.hop : 0;
    case ET_STFT_INSIDE: return n >= s->o.frame ? 1 + (n - s->o.frame) / s->o.hop : 0;
    default: return n > 0 ? (n - 1) / s->o.hop + 1 : 0;
    }
}

const et_kernels *et_stft_kernels(const et_stft *s) { return s->fft->k; }

/* Sample j, which may lie before the first or behind the last. */
static float sample_at(const et_stft *s, const float *samples, int64_t n, int64_t j)
{
    if (s->o.ends == ET_STFT_CENTRED) {
        j = j < 0 ? -j : j;
        j = j >= n ? 2 * (n - 1) - j : j;
    }
    return j >= 0 && j < n ? samples[j] : 0;
}

/* Reals of a piece's memory: the samples of frames at an end, the transform's, the spectrum's. */
static int64_t edge_room(const et_stft *s) { return (s->fft->k->lanes - 1) * s->o.hop + s->o.frame; }
static int64_t rows_room(const et_stft *s, bool power)
{
    return (power ? 1 : 2) * s->bins * s->fft->k->lanes;
}

/* The spectra of frames first .. first + count - 1 as rows in `work`; returns them. */
static const float *block(const et_stft *s, const float *samples, int64_t n, int64_t first, int count,
                          bool power, float *work)
{
    const et_kernels *k = s->fft->k;
    const int64_t step = et_fft_rows_step(s->fft, k), frame = s->o.frame, hop = s->o.hop;
    const int64_t from = first * hop - s->before, to = from + (count - 1) * hop + frame;
    float *rows = work, *out = rows + et_fft_rows_work(s->fft, k), *edge = out + rows_room(s, power);
    const bool inside = from >= 0 && to <= n;

    for (int64_t j = from; !inside && j < to; j++)
        edge[j - from] = sample_at(s, samples, n, j);
    if (frame < s->o.n_fft) {
        memset(rows, 0, (size_t)(s->left * step) * sizeof *rows);
        memset(rows + (s->left + frame) * step, 0,
               (size_t)((s->o.n_fft - s->left - frame) * step) * sizeof *rows);
    }
    k->fft_load(frame, count, inside ? samples + from : edge, hop, s->o.kaldi ? NULL : s->window,
                rows + s->left * step, step);
    if (s->o.kaldi)
        k->fft_emphasis(frame, kaldi_emphasis, s->window, rows + s->left * step, step);
    et_fft_rows_forward(s->fft, k, rows, out, power);
    return out;
}

typedef struct job {
    const et_stft *s;
    const float *samples;
    int64_t n, frames, grain, piece, more;
    bool power;
    float *work;
    et_stft_body body;
    void *user;
} job;

static void piece(int64_t lo, int64_t hi, void *user)
{
    const job *j = user;
    const et_kernels *k = j->s->fft->k;
    float *work = j->work + lo / j->grain * j->piece;

    for (int64_t b = lo; b < hi; b++) {
        const int64_t first = b * k->lanes, left = j->frames - first;
        const int count = left < k->lanes ? (int)left : k->lanes;
        const float *rows = block(j->s, j->samples, j->n, first, count, j->power, work);
        j->body(k, first, count, rows, work + j->piece - j->more, j->user);
    }
}

et_status et_stft_each(const char *what, const et_stft *s, const float *samples, int64_t n, bool power,
                       int64_t more, et_stft_body body, void *user)
{
    enum { PIECES = 16 }; /* at most: each has memory of its own */
    job j = {.s = s, .samples = samples, .n = n, .more = more, .power = power, .body = body, .user = user};
    int64_t blocks, least, lanes;

    if (!s || !samples)
        return et_raise(ET_EINVAL, "%s: NULL", what);
    if ((j.frames = et_stft_frames(s, n)) == 0)
        return et_raise(ET_ESHAPE, "%s: %" PRId64 " samples are too few for one frame of %" PRId64, what, n,
                        s->o.frame);
    lanes = s->fft->k->lanes;
    blocks = (j.frames - 1) / lanes + 1;
    j.grain = (blocks - 1) / PIECES + 1;
    least = et_row_grain(blocks, lanes * s->o.n_fft);
    j.grain = j.grain < least ? least : j.grain;
    j.piece = et_fft_rows_work(s->fft, s->fft->k) + rows_room(s, power) + edge_room(s) + more;
    j.piece = (j.piece + 15) / 16 * 16; /* whole cache lines */
    if (!(j.work = et_pool_alloc((size_t)(((blocks - 1) / j.grain + 1) * j.piece) * sizeof *j.work)))
        return et_fail_status(what);
    et_parallel_for(blocks, j.grain, piece, &j);
    et_pool_free(j.work);
    return ET_OK;
}

/* Rows to out[frames][width] */
typedef struct target {
    float *out;
    int64_t width;
} target;

static void keep(const et_kernels *k, int64_t first, int count, const float *rows, float *more, void *user)
{
    const target *t = user;

    (void)more;
    k->fft_store(t->width, count, rows, k->lanes, t->out + first * t->width, t->width);
}

static et_status run(const char *what, const et_stft *s, const float *samples, int64_t n, bool power,
                     float *out)
{
    target t = {out, 0};

    if (!s || !out)
        return et_raise(ET_EINVAL, "%s: NULL", what);
    t.width = (power ? 1 : 2) * s->bins;
    return et_stft_each(what, s, samples, n, power, 0, keep, &t);
}

et_status et_stft_power(const et_stft *s, const float *samples, int64_t n, float *out)
{
    return run("et_stft_power", s, samples, n, true, out);
}

et_status et_stft_forward(const et_stft *s, const float *samples, int64_t n, float *out)
{
    return run("et_stft_forward", s, samples, n, false, out);
}

et_status et_stft_inverse(const et_stft *s, const float *X, int64_t frames, float *samples, int64_t n)
{
    const et_kernels *k;
    int64_t n_fft, frame, lanes;
    float *time, *weight;

    if (!s || !X || !samples)
        return et_raise(ET_EINVAL, "et_stft_inverse: NULL");
    if (s->o.kaldi)
        return et_raise(ET_EINVAL, "et_stft_inverse: frames that lost their mean cannot be put together");
    if (frames < 1 || et_stft_frames(s, n) != frames)
        return et_raise(ET_ESHAPE, "et_stft_inverse: %" PRId64 " samples have %" PRId64
                        " frames, not %" PRId64, n, et_stft_frames(s, n), frames);
    k = s->fft->k;
    n_fft = s->o.n_fft;
    frame = s->o.frame;
    lanes = k->lanes;
    if (!(time = et_pool_alloc((size_t)(lanes * n_fft + n) * sizeof *time)))
        return et_fail_status("et_stft_inverse");
    weight = time + lanes * n_fft;
    memset(weight, 0, (size_t)n * sizeof *weight);
    memset(samples, 0, (size_t)n * sizeof *samples);
    for (int64_t t = 0; t < frames; t++) {
        const float *x = time + t % lanes * n_fft + s->left;
        const int64_t from = t * s->o.hop - s->before;
        const int64_t lo = from < 0 ? -from : 0, hi = from + frame > n ? n - from : frame;
        if (t % lanes == 0 &&
            et_fft_inverse(s->fft, frames - t < lanes ? frames - t : lanes, X + t * 2 * s->bins, 2 * s->bins,
                           time, n_fft) < 0) {
            et_pool_free(time);
            return et_fail_status("et_stft_inverse");
        }
        for (int64_t j = lo; j < hi; j++) {
            samples[from + j] += x[j] * s->window[j];
            weight[from + j] += s->window[j] * s->window[j];
        }
    }
    for (int64_t j = 0; j < n; j++)
        samples[j] = weight[j] > 1e-11f ? samples[j] / weight[j] : 0;
    et_pool_free(time);
    return ET_OK;
}
