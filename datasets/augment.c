/* Crops, masks, gains and mixtures of sequences. */
#include "config.h"

#include "datasets/augment.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/pool.h"

/* A batch as plain arrays. */
typedef struct sequences {
    int64_t B, T, F;
    float *x;
    const int32_t *lengths;
} sequences;

static et_status check_lengths(const char *what, const et_tensor *lengths, int64_t B, int64_t T)
{
    const int32_t *v;

    if (!lengths)
        return ET_OK;
    if (lengths->dtype != ET_I32 || lengths->ndim != 1 || lengths->shape[0] != B ||
        !et_is_contiguous(lengths))
        return et_raise(ET_ESHAPE, "%s: lengths must be int32 [%" PRId64 "]", what, B);
    v = et_data_i32(lengths);
    for (int64_t i = 0; v && i < B; i++)
        if (v[i] < 0 || v[i] > T)
            return et_raise(ET_EINVAL, "%s: length %" PRId32 " of %" PRId64 " steps", what, v[i], T);
    return v ? ET_OK : et_fail_status(what);
}

static et_status check_x(const char *what, const et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!x)
        return et_raise(ET_EINVAL, "%s: NULL", what);
    if (x->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "%s: x is %s, not float32", what, et_dtype_name(x->dtype));
    if (x->ndim != 3 || !et_is_contiguous(x))
        return et_raise(ET_ESHAPE, "%s: x is %s, not contiguous [B, T, F]", what,
                        et_shape_text(text, x->ndim, x->shape));
    return ET_OK;
}

static et_status open_batch(const char *what, sequences *s, et_tensor *x, const et_tensor *lengths,
                            const et_rng *rng)
{
    if (!rng)
        return et_raise(ET_EINVAL, "%s: no generator", what);
    if (check_x(what, x) < 0 || check_lengths(what, lengths, x->shape[0], x->shape[1]) < 0)
        return et_error_status();
    s->B = x->shape[0];
    s->T = x->shape[1];
    s->F = x->shape[2];
    s->x = et_data_mut(x);
    s->lengths = lengths ? et_data_i32(lengths) : NULL;
    return s->x ? ET_OK : et_fail_status(what);
}

static int64_t steps_of(const sequences *s, int64_t i) { return s->lengths ? s->lengths[i] : s->T; }

/* `take` of n steps of `width` numbers in a row from a random place. */
static void take_run(const float *from, int64_t n, int64_t take, int64_t width, float *to, et_rng *rng)
{
    memcpy(to, from + et_rng_below(rng, n - take + 1) * width, (size_t)(take * width) * sizeof *to);
}

/* Any `take` of them, in their order: each is taken with the chance that what is still wanted has among what
 * is left (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S). */
static void take_any(const float *from, int64_t n, int64_t take, int64_t width, float *to, et_rng *rng)
{
    for (int64_t t = 0; take > 0; t++)
        if (et_rng_below(rng, n - t) < take) {
            memcpy(to, from + t * width, (size_t)width * sizeof *to);
            to += width;
            take--;
        }
}

typedef void taking(const float *from, int64_t n, int64_t take, int64_t width, float *to, et_rng *rng);

static et_tensor *shorten(const char *what, const et_tensor *x, et_tensor *lengths, int64_t steps,
                          taking *how, et_rng *rng)
{
    int64_t shape[3], T, F;
    int32_t *len = NULL;
    const float *src;
    float *dst;
    et_tensor *out;

    if (!rng) {
        et_raise(ET_EINVAL, "%s: no generator", what);
        return NULL;
    }
    if (check_x(what, x) < 0 || check_lengths(what, lengths, x->shape[0], x->shape[1]) < 0)
        return NULL;
    T = x->shape[1];
    F = x->shape[2];
    if (steps < 1 || steps > T) {
        et_raise(ET_EINVAL, "%s: %" PRId64 " of %" PRId64 " steps", what, steps, T);
        return NULL;
    }
    shape[0] = x->shape[0];
    shape[1] = steps;
    shape[2] = F;
    out = et_empty(ET_F32, 3, shape);
    src = out ? et_data_f32(x) : NULL;
    dst = src ? et_data_mut(out) : NULL;
    if (dst && lengths)
        len = et_data_mut(lengths);
    if (!dst || (lengths && !len))
        return et_fail(what);
    for (int64_t i = 0; i < shape[0]; i++) {
        int64_t n = len ? len[i] : T, take = n < steps ? n : steps;
        float *row = dst + i * steps * F;
        how(src + i * T * F, n, take, F, row, rng);
        memset(row + take * F, 0, (size_t)((steps - take) * F) * sizeof *row);
        if (len)
            len[i] = (int32_t)take;
    }
    return out;
}

et_tensor *et_augment_crop(const et_tensor *x, et_tensor *lengths, int64_t steps, et_rng *rng)
{
    return shorten("crop", x, lengths, steps, take_run, rng);
}

et_tensor *et_augment_pick(const et_tensor *x, et_tensor *lengths, int64_t steps, et_rng *rng)
{
    return shorten("pick", x, lengths, steps, take_any, rng);
}

/* A random run of 0 .. max places among n. */
static void draw_run(et_rng *rng, int64_t n, int64_t max, int64_t *from, int64_t *to)
{
    int64_t width = et_rng_below(rng, (max < n ? max : n) + 1);
    *from = et_rng_below(rng, n - width + 1);
    *to = *from + width;
}

static et_status check_mask(const char *what, int count, int64_t max_width)
{
    if (count < 0 || max_width < 0)
        return et_raise(ET_EINVAL, "%s: count %d, width %" PRId64, what, count, max_width);
    return ET_OK;
}

/* Masks runs of at most max_width steps and of at most `share` of the sequence. */
static void mask_steps(sequences *s, int count, int64_t max_width, double share, double value, et_rng *rng)
{
    int64_t from, to;

    for (int64_t i = 0; i < s->B; i++)
        for (int c = 0; c < count; c++) {
            const int64_t n = steps_of(s, i), most = (int64_t)(share * (double)n);
            draw_run(rng, n, max_width < most ? max_width : most, &from, &to);
            for (int64_t j = from * s->F; j < to * s->F; j++)
                s->x[i * s->T * s->F + j] = (float)value;
        }
}

et_status et_augment_time_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                               double value, et_rng *rng)
{
    sequences s;

    if (check_mask("time mask", count, max_width) < 0 || open_batch("time mask", &s, x, lengths, rng) < 0)
        return et_error_status();
    mask_steps(&s, count, max_width, 1, value, rng);
    return ET_OK;
}

et_status et_augment_feature_mask(et_tensor *x, const et_tensor *lengths, int count, int64_t max_width,
                                  double value, et_rng *rng)
{
    sequences s;
    int64_t from, to;

    if (check_mask("feature mask", count, max_width) < 0 ||
        open_batch("feature mask", &s, x, lengths, rng) < 0)
        return et_error_status();
    for (int64_t i = 0; i < s.B; i++)
        for (int c = 0; c < count; c++) {
            draw_run(rng, s.F, max_width, &from, &to);
            for (int64_t t = 0; t < steps_of(&s, i); t++)
                for (int64_t j = from; j < to; j++)
                    s.x[(i * s.T + t) * s.F + j] = (float)value;
        }
    return ET_OK;
}

/* x [n, F] becomes x at other times: step `from` goes to step `to`, the ends stay.
 * 0 < from, to < n - 1; `copy` has room for x. */
static void bend(float *x, float *copy, int64_t n, int64_t F, int64_t from, int64_t to)
{
    memcpy(copy, x, (size_t)(n * F) * sizeof *x);
    for (int64_t t = 0; t < n; t++) {
        const double before = (double)from / (double)to,
                     behind = (double)(n - 1 - from) / (double)(n - 1 - to);
        const double at = t < to ? (double)t * before : (double)from + (double)(t - to) * behind;
        const int64_t lo = at < (double)(n - 1) ? (int64_t)at : n - 2;
        const float part = (float)(at - (double)lo);
        for (int64_t f = 0; f < F; f++)
            x[t * F + f] = (1 - part) * copy[lo * F + f] + part * copy[(lo + 1) * F + f];
    }
}

et_status et_augment_time_warp(et_tensor *x, const et_tensor *lengths, int64_t warp, et_rng *rng)
{
    sequences s;
    float *copy;

    if (warp < 0)
        return et_raise(ET_EINVAL, "time warp: %" PRId64 " steps", warp);
    if (open_batch("time warp", &s, x, lengths, rng) < 0)
        return et_error_status();
    if (warp == 0 || warp > s.T)
        return ET_OK;
    if (!(copy = et_pool_alloc((size_t)(s.T * s.F) * sizeof *copy)))
        return et_fail_status("time warp");
    for (int64_t i = 0; i < s.B; i++) {
        const int64_t n = steps_of(&s, i), places = n - 2 * warp - 2;
        int64_t from;
        if (places < 1)
            continue;
        from = warp + 1 + et_rng_below(rng, places);
        bend(s.x + i * s.T * s.F, copy, n, s.F, from, from - warp + et_rng_below(rng, 2 * warp + 1));
    }
    et_pool_free(copy);
    return ET_OK;
}

et_status et_augment_spec(et_tensor *x, const et_tensor *lengths, const et_spec_augment *policy, et_rng *rng)
{
    sequences s;

    if (!policy || !(policy->time_share >= 0 && policy->time_share <= 1))
        return et_raise(ET_EINVAL, "spec augment: %s", policy ? "a share outside 0 .. 1" : "no policy");
    if (check_mask("spec augment", policy->time_masks, policy->time_width) < 0 ||
        check_mask("spec augment", policy->feature_masks, policy->feature_width) < 0 ||
        et_augment_time_warp(x, lengths, policy->warp, rng) < 0 ||
        et_augment_feature_mask(x, lengths, policy->feature_masks, policy->feature_width, policy->value,
                                rng) < 0 ||
        open_batch("spec augment", &s, x, lengths, rng) < 0)
        return et_error_status();
    mask_steps(&s, policy->time_masks, policy->time_width, policy->time_share, policy->value, rng);
    return ET_OK;
}

et_status et_augment_gain(et_tensor *x, const et_tensor *lengths, double scale, double shift, et_rng *rng)
{
    sequences s;

    if (!isfinite(scale) || !isfinite(shift))
        return et_raise(ET_EINVAL, "gain: scale %g, shift %g", scale, shift);
    if (open_batch("gain", &s, x, lengths, rng) < 0)
        return et_error_status();
    for (int64_t i = 0; i < s.B; i++) {
        float a = (float)(1 + scale * et_rng_normal(rng)), b = (float)(shift * et_rng_normal(rng));
        float *row = s.x + i * s.T * s.F;
        for (int64_t j = 0; j < steps_of(&s, i) * s.F; j++)
            row[j] = a * row[j] + b;
    }
    return ET_OK;
}

et_status et_augment_feature_shift(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng)
{
    sequences s;

    if (!(std >= 0) || !isfinite(std))
        return et_raise(ET_EINVAL, "feature shift: deviation %g", std);
    if (open_batch("feature shift", &s, x, lengths, rng) < 0)
        return et_error_status();
    for (int64_t i = 0; i < s.B; i++)
        for (int64_t f = 0; f < s.F; f++) {
            float shift = (float)(std * et_rng_normal(rng));
            for (int64_t t = 0; t < steps_of(&s, i); t++)
                s.x[(i * s.T + t) * s.F + f] += shift;
        }
    return ET_OK;
}

/* The width numbers of a run move by n places, |n| < width; its ends are repeated. */
static void move(float *run, int64_t width, int64_t n)
{
    const float first = run[0], last = run[width - 1];

    memmove(run + (n > 0 ? n : 0), run - (n < 0 ? n : 0), (size_t)(width - (n < 0 ? -n : n)) * sizeof *run);
    for (int64_t f = 0; f < n; f++)
        run[f] = first;
    for (int64_t f = width + n; f < width; f++)
        run[f] = last;
}

et_status et_augment_transpose(et_tensor *x, const et_tensor *lengths, int64_t groups, int64_t most,
                               et_rng *rng)
{
    sequences s;

    if (open_batch("transpose", &s, x, lengths, rng) < 0)
        return et_error_status();
    if (groups < 1 || s.F % groups)
        return et_raise(ET_EINVAL, "transpose: %" PRId64 " features in %" PRId64 " groups", s.F, groups);
    if (most < 0 || most >= s.F / groups)
        return et_raise(ET_EINVAL, "transpose: by %" PRId64 " of %" PRId64 " features", most, s.F / groups);
    for (int64_t i = 0; i < s.B; i++) {
        const int64_t n = et_rng_below(rng, 2 * most + 1) - most;
        for (int64_t j = 0; j < steps_of(&s, i) * groups; j++)
            move(s.x + i * s.T * s.F + j * (s.F / groups), s.F / groups, n);
    }
    return ET_OK;
}

et_status et_augment_equalise(et_tensor *x, const et_tensor *lengths, int64_t features, int64_t terms,
                              double most, et_rng *rng)
{
    const double pi = 3.14159265358979323846;
    sequences s;
    float *curve;

    if (!(most >= 0) || !isfinite(most))
        return et_raise(ET_EINVAL, "equalise: by %g", most);
    if (open_batch("equalise", &s, x, lengths, rng) < 0)
        return et_error_status();
    if (features < 1 || features > s.F || terms < 0 || terms > features)
        return et_raise(ET_EINVAL, "equalise: %" PRId64 " terms, %" PRId64 " of %" PRId64 " features", terms,
                        features, s.F);
    if (!(curve = et_pool_alloc((size_t)features * sizeof *curve)))
        return et_fail_status("equalise");
    for (int64_t i = 0; i < s.B; i++) {
        memset(curve, 0, (size_t)features * sizeof *curve);
        for (int64_t k = 0; k < terms; k++) {
            const double a = most * (2 * et_rng_uniform(rng) - 1);
            for (int64_t f = 0; f < features; f++)
                curve[f] += (float)(a * cos(pi * (double)k * ((double)f + 0.5) / (double)features));
        }
        for (int64_t t = 0; t < steps_of(&s, i); t++)
            for (int64_t f = 0; f < features; f++)
                s.x[(i * s.T + t) * s.F + f] += curve[f];
    }
    et_pool_free(curve);
    return ET_OK;
}

et_status et_augment_noise(et_tensor *x, const et_tensor *lengths, double std, et_rng *rng)
{
    sequences s;

    if (!(std >= 0) || !isfinite(std))
        return et_raise(ET_EINVAL, "noise: deviation %g", std);
    if (open_batch("noise", &s, x, lengths, rng) < 0)
        return et_error_status();
    for (int64_t i = 0; i < s.B; i++) {
        float *row = s.x + i * s.T * s.F;
        for (int64_t j = 0; j < steps_of(&s, i) * s.F; j++)
            row[j] += (float)(std * et_rng_normal(rng));
    }
    return ET_OK;
}

et_tensor *et_augment_one_hot(const et_tensor *y, int64_t K, double smoothing)
{
    int64_t shape[2];
    const int32_t *label;
    et_tensor *out;
    float *p;

    if (!y || y->dtype != ET_I32 || y->ndim != 1 || !et_is_contiguous(y)) {
        et_raise(ET_ESHAPE, "one hot: labels must be contiguous int32 [B]");
        return NULL;
    }
    if (K < 1 || !(smoothing >= 0 && smoothing < 1)) {
        et_raise(ET_EINVAL, "one hot: %" PRId64 " classes, smoothing %g", K, smoothing);
        return NULL;
    }
    if (!(label = et_data_i32(y)))
        return et_fail("one hot");
    shape[0] = y->shape[0];
    shape[1] = K;
    for (int64_t i = 0; i < shape[0]; i++)
        if (label[i] < 0 || label[i] >= K) {
            et_raise(ET_EINVAL, "one hot: label %" PRId32 " of item %" PRId64 " is not in 0 .. %" PRId64,
                     label[i], i, K - 1);
            return NULL;
        }
    out = et_full(ET_F32, 2, shape, smoothing / (double)K);
    p = out ? et_data_mut(out) : NULL;
    if (!p)
        return et_fail("one hot");
    for (int64_t i = 0; i < shape[0]; i++)
        p[i * K + label[i]] += (float)(1 - smoothing);
    return out;
}

/* Gamma(shape, 1), by rejection; below 1 by the boost of Marsaglia and Tsang, section 6,
 * in logarithms, because the result may be too small for a double. */
static double log_gamma_variate(et_rng *rng, double shape)
{
    double boost = 0, d, c;

    if (shape < 1) {
        boost = log(1 - et_rng_uniform(rng)) / shape;
        shape += 1;
    }
    d = shape - 1.0 / 3;
    c = 1 / sqrt(9 * d);
    for (;;) {
        double z = et_rng_normal(rng), v = 1 + c * z, u = 1 - et_rng_uniform(rng);
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(u) < 0.5 * z * z + d - d * v + d * log(v))
            return log(d * v) + boost;
    }
}

double et_rng_beta(et_rng *rng, double a)
{
    double p = log_gamma_variate(rng, a), q = log_gamma_variate(rng, a);
    return 1 / (1 + exp(q - p));
}

/* Each row of v [B, width] becomes l v[i] + (1 - l) v[p(i)]; `copy` has room for v. */
static void mix(float *v, float *copy, int64_t B, int64_t width, const int32_t *p, float l)
{
    memcpy(copy, v, (size_t)(B * width) * sizeof *v);
    for (int64_t i = 0; i < B; i++) {
        const float *a = copy + i * width, *b = copy + p[i] * width;
        for (int64_t j = 0; j < width; j++)
            v[i * width + j] = l * a[j] + (1 - l) * b[j];
    }
}

et_status et_augment_mixup(et_tensor *x, et_tensor *targets, et_tensor *lengths, double alpha, et_rng *rng)
{
    int64_t B, largest;
    double l;
    et_tensor *order, *room;
    const int32_t *p;
    float *xp, *tp, *copy;

    if (!rng || !x || !targets)
        return et_raise(ET_EINVAL, "mixup: NULL");
    if (!(alpha >= 0) || !isfinite(alpha))
        return et_raise(ET_EINVAL, "mixup: alpha %g", alpha);
    if (x->dtype != ET_F32 || targets->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "mixup: x and targets must be float32");
    if (x->ndim < 1 || targets->ndim != 2 || targets->shape[0] != x->shape[0] || !et_is_contiguous(x) ||
        !et_is_contiguous(targets)) {
        char a[ET_SHAPE_TEXT], b[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "mixup: x is %s, targets %s", et_shape_text(a, x->ndim, x->shape),
                        et_shape_text(b, targets->ndim, targets->shape));
    }
    B = x->shape[0];
    if (lengths && check_lengths("mixup", lengths, B, x->ndim > 1 ? x->shape[1] : 0) < 0)
        return et_error_status();
    if (alpha == 0 || B == 0)
        return ET_OK;
    l = et_rng_beta(rng, alpha);
    largest = x->numel > targets->numel ? x->numel : targets->numel;
    if (largest < B)
        largest = B;
    order = et_permutation(rng, B);
    room = order ? et_empty(ET_F32, 1, &largest) : NULL;
    p = room ? et_data_i32(order) : NULL;
    copy = p ? et_data_mut(room) : NULL;
    xp = copy ? et_data_mut(x) : NULL;
    tp = xp ? et_data_mut(targets) : NULL;
    if (tp) {
        mix(xp, copy, B, x->numel / B, p, (float)l);
        mix(tp, copy, B, targets->shape[1], p, (float)l);
    }
    if (tp && lengths) {
        int32_t *len = et_data_mut(lengths), *old = (int32_t *)copy; /* room for B numbers of 4 bytes */
        memcpy(old, len, (size_t)B * sizeof *old);
        for (int64_t i = 0; i < B; i++)
            len[i] = old[p[i]] < old[i] ? old[p[i]] : old[i];
    }
    et_free(order); /* what a scope owns stays */
    et_free(room);
    return tp ? ET_OK : et_fail_status("mixup");
}
