/* Whole tensors of random numbers. Draw i is a function of (seed, stream, counter + i
 * times the words of a draw) alone: pieces can be filled in any order, by any thread. */
#include "config.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "tensor/iter.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tensor/rng_words.h"

enum { CHUNK = 256 }; /* draws made at once, on the stack */

typedef struct fill fill;

struct fill {
    /* Makes draws i .. i + n - 1 (n <= CHUNK), contiguous, at out. */
    void (*draw)(const fill *f, int64_t i, int64_t n, void *out);
    et_rng rng;
    et_dtype dtype;
    size_t size;          /* bytes of an element */
    double a, b;          /* parameters: low and width; mean and standard deviation; ... */
    double lo, hi;        /* bounds */
    double p_lo, p_width; /* truncated normal: probability below lo, and inside */
    bool mirrored;        /* truncated normal: drawn for -x */
    uint64_t threshold;   /* Bernoulli: 1 for words below it */
    char *data;
};

/* --- the distributions --------------------------------------------------------------- */

static void uniform_f32(const fill *f, int64_t i, int64_t n, void *out)
{
    uint32_t w[CHUNK];
    float *y = out, lo = (float)f->a, width = (float)f->b, last = (float)f->hi, v;
    int64_t j;

    et_rng_words(&f->rng, f->rng.counter + (uint64_t)i, n, w);
    for (j = 0; j < n; j++) {
        v = lo + width * ((float)(int32_t)(w[j] >> 8) * 0x1p-24f);
        y[j] = v < last ? v : last;
    }
}

static void uniform_f64(const fill *f, int64_t i, int64_t n, void *out)
{
    uint32_t w[2 * CHUNK];
    double *y = out, v;
    int64_t j;

    et_rng_words(&f->rng, f->rng.counter + 2 * (uint64_t)i, 2 * n, w);
    for (j = 0; j < n; j++) {
        v = f->a + f->b * et_uniform53(w + 2 * j);
        y[j] = v < f->hi ? v : f->hi;
    }
}

/* Draws 2k and 2k + 1 are a pair made of the same two words. */
static void normal_f32(const fill *f, int64_t i, int64_t n, void *out)
{
    uint32_t w[CHUNK + 2];
    float *y = out, mean = (float)f->a, std = (float)f->b, radius = 0, angle = 0;
    int64_t first = i / 2 * 2, j;

    et_rng_words(&f->rng, f->rng.counter + (uint64_t)first, (i + n - first + 1) / 2 * 2, w);
    for (j = 0; j < n; j++) {
        const uint32_t *pair = w + (i + j - first) / 2 * 2;
        bool odd = (i + j) % 2 != 0;

        if (!odd || j == 0) {
            radius = std * sqrtf(-2.0f * logf((float)et_open32(pair[0])));
            angle = (float)ET_TWO_PI * ((float)(int32_t)(pair[1] >> 8) * 0x1p-24f);
        }
        y[j] = mean + radius * (odd ? sinf(angle) : cosf(angle));
    }
}

static void normal_f64(const fill *f, int64_t i, int64_t n, void *out)
{
    uint32_t w[2 * CHUNK + 4];
    double *y = out, pair[2] = {0, 0};
    int64_t first = i / 2 * 2, j;

    et_rng_words(&f->rng, f->rng.counter + 2 * (uint64_t)first, (i + n - first + 1) / 2 * 4, w);
    for (j = 0; j < n; j++) {
        bool odd = (i + j) % 2 != 0;

        if (!odd || j == 0)
            et_box_muller(w + (i + j - first) / 2 * 4, pair);
        y[j] = f->a + f->b * pair[odd];
    }
}

/* Inside (0, 1): one word for float32, two for float64. */
static void open_uniforms(const fill *f, int64_t i, int64_t n, double *u)
{
    uint32_t w[2 * CHUNK];
    int64_t words = f->dtype == ET_F32 ? 1 : 2, j;

    et_rng_words(&f->rng, f->rng.counter + (uint64_t)(words * i), words * n, w);
    for (j = 0; j < n; j++)
        u[j] = words == 1 ? et_open32(w[j]) : et_open53(w + 2 * j);
}

static void store_reals(et_dtype dtype, const double *u, int64_t n, void *out)
{
    int64_t j;

    if (dtype == ET_F64)
        memcpy(out, u, (size_t)n * sizeof *u);
    else
        for (j = 0; j < n; j++)
            ((float *)out)[j] = (float)u[j];
}

static double polynomial(const double c[8], double x)
{
    double y = c[7];
    int k;

    for (k = 6; k >= 0; k--)
        y = y * x + c[k];
    return y;
}

/* The quantile of N(0,1) at 0 < p < 1, to about 1e-16 relative (Wichura 1988, algorithm
 * AS 241, PPND16): a rational function in the middle, two of sqrt(-ln p) in the tails. */
static double normal_quantile(double p)
{
    static const double mid[2][8] = {
        {3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
         4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3},
        {1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
         2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3}};
    static const double near[2][8] = {
        {1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
         3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
         2.27238449892691845833e-2, 7.74545014278341407640e-4},
        {1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
         1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
         1.05075007164441684324e-9}};
    static const double far[2][8] = {
        {6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
         2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
         2.71155556874348757815e-5, 2.01033439929228813265e-7},
        {1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
         7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
         2.04426310338993978564e-15}};
    double q = p - 0.5, r;

    if (fabs(q) <= 0.425) {
        r = 0.180625 - q * q;
        return q * polynomial(mid[0], r) / polynomial(mid[1], r);
    }
    r = sqrt(-log(q < 0 ? p : 1.0 - p));
    r = r <= 5.0 ? polynomial(near[0], r - 1.6) / polynomial(near[1], r - 1.6)
                 : polynomial(far[0], r - 5.0) / polynomial(far[1], r - 5.0);
    return q < 0 ? -r : r;
}

/* Probability that N(0,1) is below z. */
static double normal_cdf(double z) { return 0.5 * erfc(-z * 0.70710678118654752440); }

static void trunc_normal(const fill *f, int64_t i, int64_t n, void *out)
{
    double u[CHUNK], z;
    int64_t j;

    open_uniforms(f, i, n, u);
    for (j = 0; j < n; j++) {
        z = normal_quantile(fmin(fmax(f->p_lo + u[j] * f->p_width, DBL_MIN), 1.0 - 0x1p-53));
        u[j] = fmin(fmax(f->a + f->b * (f->mirrored ? -z : z), f->lo), f->hi);
    }
    store_reals(f->dtype, u, n, out);
}

static void gumbel(const fill *f, int64_t i, int64_t n, void *out)
{
    double u[CHUNK];
    int64_t j;

    open_uniforms(f, i, n, u);
    for (j = 0; j < n; j++)
        u[j] = -log(-log(u[j]));
    store_reals(f->dtype, u, n, out);
}

static void bernoulli(const fill *f, int64_t i, int64_t n, void *out)
{
    uint32_t w[CHUNK], last = (uint32_t)(f->threshold - 1);
    int64_t j;

    if (f->threshold == 0) {
        memset(out, 0, (size_t)n * f->size);
        return;
    }
    et_rng_words(&f->rng, f->rng.counter + (uint64_t)i, n, w);
    switch (f->dtype) {
    case ET_F32:
        for (j = 0; j < n; j++)
            ((float *)out)[j] = (float)(w[j] <= last);
        break;
    case ET_F64:
        for (j = 0; j < n; j++)
            ((double *)out)[j] = (double)(w[j] <= last);
        break;
    case ET_I32:
        for (j = 0; j < n; j++)
            ((int32_t *)out)[j] = w[j] <= last;
        break;
    default:
        et_kernels_for(ET_F32)->between(n, w, 0, last, out);
        break;
    }
}

/* --- the walk over the tensor ---------------------------------------------------------- */

static void fill_piece(int64_t lo, int64_t hi, void *user)
{
    const fill *f = user;
    int64_t i, n;

    for (i = lo; i < hi; i += n) {
        n = hi - i < CHUNK ? hi - i : CHUNK;
        f->draw(f, i, n, f->data + (size_t)i * f->size);
    }
}

/* Rows with gaps between their elements. One thread: elements may share memory. */
static void fill_strided(const fill *f, const et_iter *it)
{
    double buffer[CHUNK];
    int64_t row, i, j, n, stride = it->strides[0][it->ndim - 1];
    et_iter_row at = et_iter_seek(it, 0);
    char *to;

    for (row = 0; row < it->rows; row++, et_iter_next(it, &at)) {
        to = f->data + (size_t)at.at[0] * f->size;
        for (i = 0; i < it->n; i += n) {
            n = it->n - i < CHUNK ? it->n - i : CHUNK;
            f->draw(f, row * it->n + i, n, buffer);
            for (j = 0; j < n; j++)
                memcpy(to + (size_t)((i + j) * stride) * f->size, (char *)buffer + (size_t)j * f->size,
                       f->size);
        }
    }
}

/* Runs f over x and moves the generator on by `words` a draw. */
static et_status run(fill *f, et_tensor *x, et_rng *r, int words, bool pairs)
{
    const et_tensor *ops[1] = {x};
    et_iter it;

    f->data = et_data_mut(x);
    if (!f->data)
        return et_error_status();
    if (x->numel == 0)
        return ET_OK;
    r = r ? r : et_rng_default();
    f->rng = *r;
    et_iter_init(&it, x->ndim, x->shape, 1, ops);
    if (it.rows == 1 && it.strides[0][it.ndim - 1] == 1)
        et_parallel_for(x->numel, ET_GRAIN_ELEMS, fill_piece, f);
    else
        fill_strided(f, &it);
    r->counter += (uint64_t)words * (uint64_t)(pairs ? (x->numel + 1) / 2 * 2 : x->numel);
    return ET_OK;
}

/* Checks x and prepares f. */
static et_status begin(fill *f, const et_tensor *x, const char *what, bool integers)
{
    if (!x)
        return et_raise(ET_EINVAL, "%s: the tensor is NULL", what);
    if (!et_dtype_is_real(x->dtype) && !(integers && (x->dtype == ET_I32 || x->dtype == ET_U8)))
        return et_raise(ET_EDTYPE, "%s: a tensor of %s; it must be %s", what, et_dtype_name(x->dtype),
                        integers ? "float32, float64, int32 or uint8" : "float32 or float64");
    memset(f, 0, sizeof *f);
    f->dtype = x->dtype;
    f->size = et_dtype_size(x->dtype);
    return ET_OK;
}

/* x as a number of the dtype. */
static double rounded(et_dtype dtype, double x) { return dtype == ET_F32 ? (double)(float)x : x; }

et_status et_fill_uniform(et_tensor *x, et_rng *r, double lo, double hi)
{
    et_status status;
    fill f;

    status = begin(&f, x, "fill_uniform", false);
    if (status != ET_OK)
        return status;
    f.a = rounded(f.dtype, lo);
    f.b = rounded(f.dtype, rounded(f.dtype, hi) - f.a);
    if (!(lo <= hi) || !isfinite(f.a) || !isfinite(f.b))
        return et_raise(ET_EINVAL, "fill_uniform: the bounds must be finite and in order, they are %g and %g",
                        lo, hi);
    /* The largest number below hi, for what rounding would lift to it. */
    f.hi = rounded(f.dtype, hi);
    if (f.hi > f.a)
        f.hi = f.dtype == ET_F32 ? (double)nextafterf((float)f.hi, (float)f.a) : nextafter(f.hi, f.a);
    f.draw = f.dtype == ET_F32 ? uniform_f32 : uniform_f64;
    return run(&f, x, r, f.dtype == ET_F32 ? 1 : 2, false);
}

et_status et_fill_normal(et_tensor *x, et_rng *r, double mean, double std)
{
    et_status status;
    fill f;

    status = begin(&f, x, "fill_normal", false);
    if (status != ET_OK)
        return status;
    if (!isfinite(rounded(f.dtype, mean)) || !isfinite(rounded(f.dtype, std)) || !(std >= 0))
        return et_raise(ET_EINVAL,
                        "fill_normal: mean %g, standard deviation %g: both must be finite, the second "
                        "not negative",
                        mean, std);
    f.a = mean;
    f.b = std;
    f.draw = f.dtype == ET_F32 ? normal_f32 : normal_f64;
    return run(&f, x, r, f.dtype == ET_F32 ? 1 : 2, true);
}

et_status et_fill_trunc_normal(et_tensor *x, et_rng *r, double mean, double std, double lo, double hi)
{
    double z_lo, z_hi, t;
    et_status status;
    fill f;

    status = begin(&f, x, "fill_trunc_normal", false);
    if (status != ET_OK)
        return status;
    if (!isfinite(mean) || !isfinite(std) || !(std > 0))
        return et_raise(ET_EINVAL,
                        "fill_trunc_normal: mean %g, standard deviation %g: both must be finite, the "
                        "second positive",
                        mean, std);
    if (!(lo < hi))
        return et_raise(ET_EINVAL, "fill_trunc_normal: the bounds are not in order: %g and %g", lo, hi);
    z_lo = (lo - mean) / std;
    z_hi = (hi - mean) / std;
    f.mirrored = z_lo > 0; /* small probabilities are exact in the lower tail only */
    if (f.mirrored) {
        t = z_lo;
        z_lo = -z_hi;
        z_hi = -t;
    }
    f.p_lo = normal_cdf(z_lo);
    f.p_width = normal_cdf(z_hi) - f.p_lo;
    if (!(f.p_width > 0))
        return et_raise(ET_EINVAL,
                        "fill_trunc_normal: [%g, %g] is too far from the mean %g (standard deviation %g)", lo,
                        hi, mean, std);
    f.a = mean;
    f.b = std;
    f.lo = lo;
    f.hi = hi;
    f.draw = trunc_normal;
    return run(&f, x, r, f.dtype == ET_F32 ? 1 : 2, false);
}

et_status et_fill_bernoulli(et_tensor *x, et_rng *r, double p)
{
    et_status status;
    fill f;

    status = begin(&f, x, "fill_bernoulli", true);
    if (status != ET_OK)
        return status;
    if (!(p >= 0 && p <= 1))
        return et_raise(ET_EINVAL, "fill_bernoulli: the probability must be in 0 .. 1, it is %g", p);
    f.threshold = (uint64_t)(p * 0x1p32 + 0.5);
    f.draw = bernoulli;
    return run(&f, x, r, 1, false);
}

et_status et_fill_gumbel(et_tensor *x, et_rng *r)
{
    et_status status;
    fill f;

    status = begin(&f, x, "fill_gumbel", false);
    if (status != ET_OK)
        return status;
    f.draw = gumbel;
    return run(&f, x, r, f.dtype == ET_F32 ? 1 : 2, false);
}
