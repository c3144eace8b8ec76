/* Pooling and batch norm: kernels of every table against definitions, values by hand, running statistics,
 * numbers far from zero, the same bits on any number of threads; wrong use; the layer. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/batch_norm.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"
#include "tests/alloc_sweep.h"
#include "tests/kernel_arrays.h"
#include "tests/misuse.h"
#include "tests/suite.h"

static array x, y, d, g;
static uint8_t at_[ARRAY_MAX];

/* --- max pooling --- */

/* Windows over one row of `width` elements, by the definition;
 * NaN is the largest, the first of equals wins. */
static int slow_max(const array *a, int64_t ldx, int64_t width, int64_t column, int64_t rows, int64_t i0,
                    int64_t kw, double *most)
{
    int which = -1;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < kw; j++) {
            if (column + j < 0 || column + j >= width)
                continue;
            const double v = get(a, i * ldx + column + j);
            if (which < 0 || (!isnan(*most) && (isnan(v) || v > *most))) {
                *most = v;
                which = (int)((i0 + i) * kw + j);
            }
        }
    return which;
}

START_TEST(max_windows)
{
    const et_kernels *k = table_at(_i);
    static const int64_t form[][3] = {{3, 3, 0}, {2, 2, 0}, {3, 2, 1}, {5, 2, 2},
                                      {2, 3, 0}, {1, 1, 0}, {4, 4, 0}};

    for (size_t f = 0; f < sizeof form / sizeof form[0]; f++)
        for (int64_t width = 5; width < 240; width += width < 60 ? 1 : 17)
            for (int64_t rows = 1; rows <= 2; rows++) {
                const int64_t kw = form[f][0], step = form[f][1], pad = form[f][2],
                              n = (width + 2 * pad - kw) / step + 1;
                fill_random(&x, k->dtype, (uint32_t)(width + 1), 2);
                for (int64_t i = 0; i < 2 * width; i++)
                    put(&x, i,
                        i % 29 == 28   ? (double)NAN
                        : i % 31 == 30 ? -(double)INFINITY
                                       : floor(2 * get(&x, i)));
                fill_random(&y, k->dtype, 7, 1);
                put(&y, n, 77); /* beyond the end */
                at_[n] = 99;
                k->max_pool(n, at(&x, 0), width, width, -pad, step, rows, 1, kw, at(&y, 0), at_);
                for (int64_t t = 0; t < n; t++) {
                    double most = 0;
                    const int which = slow_max(&x, width, width, t * step - pad, rows, 1, kw, &most);
                    ck_assert_msg(
                        at_[t] == which && (get(&y, t) == most || (isnan(most) && isnan(get(&y, t)))),
                        "%s: kernel %d, step %d, width %d, window %d: %g at %d, expected %g at %d", k->name,
                        (int)kw, (int)step, (int)width, (int)t, get(&y, t), at_[t], most, which);
                }
                ck_assert(get(&y, n) == 77 && at_[n] == 99);
            }
}
END_TEST

START_TEST(max_spread)
{
    const et_kernels *k = table_at(_i);

    for (int64_t step = 2; step <= 4; step++)
        for (int64_t n = 0; n < 70; n++)
            for (int acc = 0; acc < 2; acc++) {
                const int64_t ld = n * step;
                fill_random(&d, k->dtype, 3, 1);
                fill_random(&g, k->dtype, 4, 1);
                fill_random(&y, k->dtype, 4, 1);
                for (int64_t t = 0; t < n; t++)
                    at_[t] = (uint8_t)((t * 7 + t / 3) % (2 * step));
                k->max_pool_bwd(n, 2, step, at(&d, 0), at_, at(&g, 0), ld, acc);
                for (int64_t i = 0; i < 2 * ld + 8; i++) {
                    double want = acc || i >= 2 * ld ? get(&y, i) : 0;
                    if (i < 2 * ld && at_[i % ld / step] == i / ld * step + i % step)
                        want += get(&d, i % ld / step);
                    ck_assert_msg(fabs(get(&g, i) - want) <= 1e-6,
                                  "%s: step %d, %d windows, element %d: %g, expected %g", k->name, (int)step,
                                  (int)n, (int)i, get(&g, i), want);
                }
            }
}
END_TEST

/* Means over windows that touch, overlap, lie apart, are long, and fill more than one line. */
START_TEST(means_of_windows)
{
    static const int64_t form[][6] = {/* kernel, stride, size */
        {7, 7, 7, 7, 15, 61}, {3, 3, 1, 1, 6, 40},  {3, 3, 2, 2, 9, 33},    {1, 5, 1, 2, 2, 1500},
        {2, 2, 3, 4, 8, 37},  {2, 70, 1, 9, 4, 99}, {3, 63, 2, 500, 5, 1600}, {4, 1, 4, 1, 8, 1100}};
    const int64_t *f = form[_i % 8], shape[] = {1, 2, f[4], f[5]};
    const et_dtype dtype = _i < 8 ? ET_F32 : ET_F64;
    const double tol = dtype == ET_F32 ? 1e-5 : 1e-14;
    et_rng rng = et_rng_make(4, 0);
    et_scope *s = et_scope_open();
    et_tensor *a = et_empty(ET_F64, 4, shape), *b, *p;

    et_fill_normal(a, &rng, 0, 1);
    b = et_set_requires_grad(et_to(a, dtype), true);
    p = et_avg_pool2d(b, f[0], f[1], f[2], f[3]);
    ck_assert_msg(p != NULL, "%s", et_error_message());
    et_tensor *dp = et_empty(ET_F64, 4, p->shape), *want = et_zeros(ET_F64, 4, shape);
    et_fill_normal(dp, &rng, 0, 1);
    et_tensor *got = et_to(p, ET_F64);
    const double *px = et_data(a), *py = et_data(got), *pd = et_data(dp);
    double *pw = et_data_mut(want);
    for (int64_t t = 0; t < got->numel; t++) {
        const int64_t ow = p->shape[3], oh = p->shape[2];
        const int64_t from = (t / ow / oh * f[4] + t / ow % oh * f[2]) * f[5] + t % ow * f[3];
        double total = 0;
        for (int64_t i = 0; i < f[0] * f[1]; i++) {
            total += px[from + i / f[1] * f[5] + i % f[1]];
            pw[from + i / f[1] * f[5] + i % f[1]] += pd[t] / (double)(f[0] * f[1]);
        }
        ck_assert(fabs(py[t] - total / (double)(f[0] * f[1])) <= tol);
    }
    for (int twice = 1; twice <= 2; twice++) { /* overwritten, then added */
        et_tensor *again = et_avg_pool2d(b, f[0], f[1], f[2], f[3]);
        ck_assert_int_eq(et_backward_from(again, et_to(dp, dtype), 0), ET_OK);
        const double *pg = et_data(et_to(et_grad_of(b), ET_F64));
        for (int64_t i = 0; i < want->numel; i++)
            ck_assert(fabs(pg[i] - twice * pw[i]) <= tol);
    }
    et_scope_close(s);
}
END_TEST

START_TEST(ties_go_to_the_first)
{
    const float values[] = {1, 1, 1, 0, 2, 2, 5, 4, 5};
    et_scope *s = et_scope_open();
    et_tensor *a = et_set_requires_grad(et_from(ET_F32, ET_SHAPE(1, 1, 9), values), true);
    et_tensor *p = et_max_pool1d(a, 3, 3, 0);

    ck_assert(p && et_data_f32(p)[0] == 1 && et_data_f32(p)[1] == 2 && et_data_f32(p)[2] == 5);
    ck_assert_int_eq(et_backward(et_sum(p, 0, NULL, false)), ET_OK);
    const float want[] = {1, 0, 0, 0, 1, 0, 1, 0, 0};
    ck_assert_int_eq(memcmp(et_data(et_grad_of(a)), want, sizeof want), 0);
    et_scope_close(s);
}
END_TEST

/* --- batch norm --- */

START_TEST(moments_far_from_zero)
{
    const et_kernels *k = table_at(_i);
    static const int64_t lengths[] = {1, 2, 15, 16, 17, 1000, 4095, 4096, 4097, 4200};

    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
        for (int c = 0; c < 3; c++) {
            const int64_t n = lengths[l];
            const double centre = c == 0 ? 0 : c == 1 ? 1000 : -3e4;
            long double sum = 0, squares = 0;
            double mean, m2;

            fill_random(&x, k->dtype, (uint32_t)l + 1, 1);
            for (int64_t i = 0; i < n; i++) {
                put(&x, i, centre + get(&x, i));
                sum += (long double)get(&x, i);
            }
            put(&x, n, 1e9);
            sum /= (long double)n;
            for (int64_t i = 0; i < n; i++)
                squares += ((long double)get(&x, i) - sum) * ((long double)get(&x, i) - sum);
            k->moments(n, at(&x, 0), &mean, &m2);
            ck_assert_msg(fabs(mean - (double)sum) <= 2e-7 * fabs(centre) + 1e-7,
                          "%s: mean of %d around %g: %g", k->name, (int)n, centre, mean - (double)sum);
            /* where blocks are joined, what their means are off by counts; how floats are added differs by
             * machine (FLT_EVAL_METHOD) */
            ck_assert_msg(
                fabs(m2 - (double)squares) <= 5e-5 * (double)squares + 1e-9 * centre * centre * (n == 1),
                "%s: m2 of %d around %g: %g, expected %g", k->name, (int)n, centre, m2, (double)squares);
        }
}
END_TEST

/* A first row of another level must not spoil the variance of what follows. */
START_TEST(uneven_rows)
{
    enum { B = 40, L = 50 };
    et_scope *s = et_scope_open();
    et_tensor *in = et_empty(ET_F32, ET_SHAPE(B, 1, L)), *mean = et_zeros(ET_F32, ET_SHAPE(1));
    et_tensor *var = et_ones(ET_F32, ET_SHAPE(1));
    double sum = 0, squares = 0;
    float *p = et_data_mut(in);

    for (int i = 0; i < B * L; i++) {
        p[i] = i < L ? 0.0f : 5000.0f + (float)(i * 37 % 101) / 50;
        sum += (double)p[i];
    }
    for (int i = 0; i < B * L; i++)
        squares += ((double)p[i] - sum / (B * L)) * ((double)p[i] - sum / (B * L));
    et_tensor *out = et_batch_norm(in, mean, var, NULL, NULL, true, 0.1, 1e-5);
    ck_assert_ptr_nonnull(out);
    ck_assert(fabs((double)et_data_f32(mean)[0] - 0.1 * sum / (B * L)) <= 1e-4);
    ck_assert(fabs((double)et_data_f32(var)[0] / (0.9 + 0.1 * squares / (B * L - 1)) - 1) <= 1e-6);
    const double deviation = sqrt(squares / (B * L) + 1e-5);
    for (int i = 0; i < B * L; i++)
        ck_assert(fabs((double)et_data_f32(out)[i] - ((double)p[i] - sum / (B * L)) / deviation) <= 1e-5);
    et_scope_close(s);
}
END_TEST

START_TEST(threads)
{
    enum { B = 6, C = 33, L = 3000 };
    static float keep[2][4][B * C * L];
    const int count[] = {1, 2, 3, 5};

    for (int t = 0; t < 4; t++) {
        const int n = t > 0;
        et_rng rng = et_rng_make(5, 0);
        et_scope *s = et_scope_open();
        ck_assert_int_eq(et_set_num_threads(count[t]), ET_OK);
        et_tensor *in = et_empty(ET_F32, ET_SHAPE(B, C, L)), *w = et_empty(ET_F32, ET_SHAPE(C));
        et_tensor *b = et_empty(ET_F32, ET_SHAPE(C)), *c = et_empty(ET_F32, ET_SHAPE(B, C, L / 3));
        et_fill_normal(in, &rng, 1, 2), et_fill_normal(w, &rng, 1, 1), et_fill_normal(b, &rng, 0, 1);
        et_fill_normal(c, &rng, 0, 1);
        et_set_requires_grad(in, true), et_set_requires_grad(w, true), et_set_requires_grad(b, true);
        et_tensor *out = et_max_pool1d(et_batch_norm_relu(in, NULL, NULL, w, b, true, 0.1, 1e-5), 3, 3, 0);
        ck_assert_int_eq(et_backward_from(out, c, 0), ET_OK);
        et_tensor *got[] = {out, et_grad_of(in), et_grad_of(w), et_grad_of(b)};
        for (int i = 0; i < 4; i++) {
            memcpy(keep[n][i], et_data(got[i]), (size_t)got[i]->numel * 4);
            ck_assert_int_eq(memcmp(keep[0][i], keep[n][i], (size_t)got[i]->numel * 4), 0);
        }
        et_scope_close(s);
    }
}
END_TEST

/* --- batch norm, ReLU and pooling in one --- */

static double value(const et_tensor *x, int64_t i)
{
    return x->dtype == ET_F64 ? ((const double *)et_data(x))[i] : (double)((const float *)et_data(x))[i];
}

static void tensors_near(et_tensor *got, et_tensor *want, double tol, const char *what)
{
    ck_assert_msg(got && want && got->numel == want->numel, "%s: %s", what, et_error_message());
    double most = 0, error = 0;

    for (int64_t i = 0; i < want->numel; i++) {
        const double p = value(got, i), q = value(want, i);
        most = fmax(most, fabs(q));
        error = fmax(error, fabs(p - q));
    }
    ck_assert_msg(error <= tol * (most + 1e-3), "%s: off by %g of %g", what, error, most);
}

/* The result and gradients of x, weight and bias, as the fused op or as its parts give them. */
static void fused_or_not(bool fused, et_dtype dtype, const int64_t shape[4], int64_t kh, int64_t kw,
                         bool training, et_tensor *got[6])
{
    et_rng rng = et_rng_make(7, 0);
    const int64_t C = shape[1];
    et_tensor *in = et_empty(dtype, 4, shape), *w = et_empty(dtype, ET_SHAPE(C)),
              *b = et_empty(dtype, ET_SHAPE(C));
    et_tensor *mean = et_empty(dtype, ET_SHAPE(C)), *var = et_ones(dtype, ET_SHAPE(C));
    et_tensor *out;

    et_fill_normal(in, &rng, 1, 2), et_fill_normal(w, &rng, 0.5, 1), et_fill_normal(b, &rng, 0, 1);
    et_fill_normal(mean, &rng, 0, 1);
    et_set_requires_grad(in, true), et_set_requires_grad(w, true), et_set_requires_grad(b, true);
    if (fused && shape[2] == 1 && kh == 1) /* the form with one axis */
        out = et_batch_norm_relu_max_pool(et_view(in, ET_SHAPE(shape[0], C, shape[3])), mean, var, w, b,
                                          training, 0.1, 1e-5, 1, kw);
    else if (fused)
        out = et_batch_norm_relu_max_pool(in, mean, var, w, b, training, 0.1, 1e-5, kh, kw);
    else
        out = et_max_pool2d(et_batch_norm_relu(in, mean, var, w, b, training, 0.1, 1e-5), kh, kw, kh, kw, 0,
                            0);
    ck_assert_msg(out != NULL, "%s", et_error_message());
    et_tensor *cotangent = et_empty(dtype, out->ndim, out->shape);
    et_fill_normal(cotangent, &rng, 0, 1);
    ck_assert_int_eq(et_backward_from(out, cotangent, ET_RETAIN_GRAPH), ET_OK);
    got[0] = out, got[1] = et_grad_of(in), got[2] = et_grad_of(w), got[3] = et_grad_of(b);
    got[4] = mean, got[5] = var;
}

static const struct fused_case {
    int64_t shape[4], kh, kw;
} fused_cases[] = {
    {{2, 3, 1, 20}, 1, 3},      {{3, 5, 1, 9001}, 1, 3}, /* past a block, with a remainder */
    {{1, 2, 1, 17000}, 1, 256}, {{2, 2, 1, 7}, 1, 7},
    {{2, 3, 11, 37}, 11, 1},    {{2, 4, 59, 256}, 59, 1}, /* a plane of two blocks */
    {{1, 2, 120, 300}, 16, 16}, {{2, 3, 7, 9}, 2, 4},     /* remainders below and at the side */
    {{5, 3, 4, 1}, 4, 1},       {{4, 3, 1, 1}, 1, 1},     {{1, 2, 9, 20000}, 2, 2},
    {{1, 2, 1, 8200}, 1, 16}, /* less than a window more than a block */
};

START_TEST(fused_pool)
{
    static const char *const what[] = {"result",      "gradient of x", "of the weight",
                                       "of the bias", "mean",          "variance"};
    const struct fused_case *c = &fused_cases[_i / 2];
    const et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    const size_t size = et_dtype_size(dtype);

    for (int training = 0; training < 2; training++) {
        et_scope *s = et_scope_open();
        et_tensor *parts[6], *one[6], *again[6];
        fused_or_not(false, dtype, c->shape, c->kh, c->kw, training, parts);
        fused_or_not(true, dtype, c->shape, c->kh, c->kw, training, one);
        if (c->shape[2] * c->shape[3] > 16) /* the same bits; small planes have kernels of their own */
            ck_assert_int_eq(memcmp(et_data(one[0]), et_data(parts[0]), (size_t)parts[0]->numel * size), 0);
        for (int i = 0; i < 6; i++)
            tensors_near(one[i], parts[i], dtype == ET_F32 ? 2e-6 : 1e-12, what[i]);
        for (int threads = 2; threads < 4; threads++) {
            ck_assert_int_eq(et_set_num_threads(threads), ET_OK);
            fused_or_not(true, dtype, c->shape, c->kh, c->kw, training, again);
            for (int i = 0; i < 6; i++)
                ck_assert_int_eq(memcmp(et_data(one[i]), et_data(again[i]), (size_t)one[i]->numel * size), 0);
        }
        ck_assert_int_eq(et_set_num_threads(1), ET_OK);
        et_scope_close(s);
    }
}
END_TEST

/* Neither the normalised x nor its gradient before the pooling is ever there as a whole. */
START_TEST(fused_pool_memory)
{
    enum { B = 4, C = 16, L = 30000 };
    et_pool_stats before, after;
    et_scope *s = et_scope_open();
    et_tensor *in = et_ones(ET_F32, ET_SHAPE(B, C, L)), *w = et_ones(ET_F32, ET_SHAPE(C));
    et_rng rng = et_rng_make(1, 0);

    et_fill_normal(in, &rng, 0, 1);
    et_set_requires_grad(w, true);
    et_pool_get_stats(&before);
    et_pool_reset_peak();
    et_tensor *out = et_batch_norm_relu_max_pool(in, NULL, NULL, w, NULL, true, 0.1, 1e-5, 1, 3);
    et_tensor *loss = et_mean(out, 0, NULL, false);
    ck_assert_int_eq(et_backward(loss), ET_OK);
    et_pool_get_stats(&after);
    /* results and their gradients, a third each, and bytes */
    ck_assert_msg(after.peak - before.current < (size_t)(B * C * L) * 4, "%zu bytes",
                  (size_t)(after.peak - before.current));
    et_scope_close(s);
}
END_TEST

/* --- wrong use --- */

#define ONES(...) et_ones(ET_F32, ET_SHAPE(__VA_ARGS__))
#define C5 ONES(1, 2, 5)
#define MISUSES(X)                                                                                          \
    X(et_max_pool1d(f.x, 2, 2, 0), ET_ESHAPE, "x is [2, 3], expected [batch, channels, length]")            \
    X(et_max_pool1d(C5, 0, 2, 0), ET_EINVAL, "a window of 0 and a stride of 2")                             \
    X(et_max_pool1d(C5, 2, 0, 0), ET_EINVAL, "a stride of 0")                                               \
    X(et_max_pool1d(C5, 2, 2, 2), ET_EINVAL, "a padding of 2, expected at most half the window of 2")       \
    X(et_max_pool1d(C5, 6, 1, 0), ET_ESHAPE, "a window of 6 is longer than dimension 2")                    \
    X(et_max_pool1d(ONES(1, 1, 0), 2, 1, 1), ET_ESHAPE, "a window of 2 is longer than dimension 2")         \
    X(et_max_pool2d(ONES(1, 1, 0, 3), 2, 2, 1, 1, 1, 1), ET_ESHAPE, "2 is longer than dimension 2")         \
    X(et_max_pool1d(ONES(1, 1, 400), 257, 1, 0), ET_EINVAL, "more than 256 elements")                       \
    X(et_max_pool2d(ONES(1, 1, 40, 40), 17, 16, 1, 1, 0, 0), ET_EINVAL, "more than 256 elements")           \
    X(et_max_pool2d(C5, 2, 2, 2, 2, 0, 0), ET_ESHAPE, "expected [batch, channels, height, width]")          \
    X(et_avg_pool1d(C5, 6, 1), ET_ESHAPE, "a window of 6 is longer")                                        \
    X(et_avg_pool2d(ONES(1, 1, 2, 2), 2, 3, 1, 1), ET_ESHAPE, "a window of 3 is longer than dimension 3")   \
    X(et_global_max_pool(f.x), ET_ESHAPE, "global_max_pool: x is [2, 3]")                                   \
    X(et_global_avg_pool(f.x), ET_ESHAPE, "global_avg_pool: x is [2, 3]")                                   \
    X(et_batch_norm(f.y, NULL, NULL, NULL, NULL, true, 0.1, 1e-5), ET_ESHAPE,                               \
      "expected [batch, channels, ..]")                                                                     \
    X(et_batch_norm(f.x, NULL, NULL, f.y, NULL, true, 0.1, 1e-5), ET_ESHAPE, "weight is [4], expected [3]") \
    X(et_batch_norm(f.x, f.y, f.y, NULL, NULL, true, 0.1, 1e-5), ET_ESHAPE, "running_mean is [4]")          \
    X(et_batch_norm(f.x, NULL, NULL, NULL, NULL, false, 0.1, 1e-5), ET_EINVAL,                              \
      "evaluation needs running statistics")                                                                \
    X(et_batch_norm(f.x, ONES(3), NULL, NULL, NULL, true, 0.1, 1e-5), ET_EINVAL, "one running statistic")   \
    X(et_batch_norm(f.x, NULL, NULL, NULL, NULL, true, 0.1, 0), ET_EINVAL, "eps is 0")                      \
    X(et_batch_norm(f.x, NULL, NULL, NULL, NULL, true, 1.5, 1e-5), ET_EINVAL, "momentum is 1.5")            \
    X(et_batch_norm(ONES(1, 3, 1), NULL, NULL, NULL, NULL, true, 0.1, 1e-5), ET_ESHAPE,                     \
      "one value a channel")                                                                                \
    X(et_batch_norm(f.x, et_set_requires_grad(ONES(3), true), ONES(3), NULL, NULL, false, 0.1, 1e-5),       \
      ET_EINVAL, "running_mean cannot get a gradient")                                                      \
    X(et_batch_norm_axis(f.x, 2, NULL, NULL, NULL, NULL, true, 0.1, 1e-5), ET_EINVAL, "dimension 2")        \
    X(et_batch_norm_relu_max_pool(f.x, NULL, NULL, NULL, NULL, true, 0.1, 1e-5, 1, 1), ET_ESHAPE,           \
      "x is [2, 3], expected")                                                                              \
    X(et_batch_norm_relu_max_pool(C5, NULL, NULL, NULL, NULL, true, 0.1, 1e-5, 1, 0), ET_EINVAL,            \
      "a window of 1 x 0")                                                                                  \
    X(et_batch_norm_relu_max_pool(C5, NULL, NULL, NULL, NULL, true, 0.1, 1e-5, 2, 2), ET_ESHAPE,            \
      "larger than")                                                                                        \
    X(et_batch_norm_relu_max_pool(ONES(1, 1, 400), NULL, NULL, NULL, NULL, true, 0.1, 1e-5, 1, 257),        \
      ET_EINVAL, "expected 1 to 256 elements")                                                              \
    X(et_batch_norm_relu_max_pool(C5, NULL, NULL, NULL, NULL, true, 0.1, 0, 1, 2), ET_EINVAL, "eps is 0")   \
    X(et_batch_norm_layer_forward_relu_pool(NULL, f.x, 1, 2), ET_EINVAL, "batch norm")                      \
    X(et_batch_norm_layer_forward(NULL, f.x), ET_EINVAL, "batch norm")
MISUSE_TABLE(pool, MISUSES)

/* --- the layer --- */

START_TEST(layer)
{
    et_batch_norm_layer *l = et_batch_norm_layer_new(NULL, NULL, 3);
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var",
                                        "num_batches_tracked"};
    et_rng rng = et_rng_make(9, 0);
    double first = 0;

    ck_assert_ptr_nonnull(l);
    ck_assert_int_eq(et_module_n_entries(&l->module), 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(et_module_entry(&l->module, i)->name, names[i]);
    ck_assert_int_eq(et_module_count(&l->module), 6);
    for (int t = 0; t < 3; t++) {
        et_scope *s = et_scope_open();
        et_tensor *in = et_empty(ET_F32, ET_SHAPE(8, 3, 5));
        et_fill_normal(in, &rng, 4, 3);
        if (t == 2)
            et_module_eval(&l->module);
        const double before = (double)et_data_f32(l->running_mean)[0];
        et_tensor *out = et_batch_norm_layer_forward(l, in);
        ck_assert_ptr_nonnull(out);
        if (t == 2) { /* evaluation uses what was gathered, and leaves it */
            ck_assert((double)et_data_f32(l->running_mean)[0] == before);
            const double want = ((double)et_data_f32(in)[0] - before) /
                                sqrt((double)et_data_f32(l->running_var)[0] + 1e-5);
            ck_assert(fabs((double)et_data_f32(out)[0] - want) <= 1e-5);
            et_tensor *open = et_batch_norm_layer_forward_relu(l, in);
            for (int64_t i = 0; i < out->numel; i++)
                ck_assert(et_data_f32(open)[i] == (et_data_f32(out)[i] > 0 ? et_data_f32(out)[i] : 0));
        } else {
            ck_assert((double)et_data_f32(l->running_mean)[0] > before);
        }
        first += before;
        et_scope_close(s);
    }
    ck_assert(first > 0);
    ck_assert_int_eq(((const int32_t *)et_data(l->num_batches_tracked))[0], 2);
    et_module_free(&l->module);
    ck_assert_ptr_null(et_batch_norm_layer_new(NULL, NULL, 0));
    ck_assert(et_error_status() == ET_EINVAL && strstr(et_error_message(), "0 channels"));
}
END_TEST

static bool make_layer(void *user)
{
    et_batch_norm_layer *l = et_batch_norm_layer_new(NULL, NULL, *(int64_t *)user);

    if (l)
        et_module_free(&l->module);
    return l != NULL;
}

START_TEST(layer_memory)
{
    int64_t channels = 4;

    ck_assert_int_gt(alloc_sweep("batch norm layer", make_layer, &channels), 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool_norm");
    TCase *t = tcase_create("pool_norm");

    tcase_add_checked_fixture(t, et_error_clear, et_error_clear);
    tcase_add_loop_test(t, max_windows, 0, table_count());
    tcase_add_loop_test(t, max_spread, 0, table_count());
    tcase_add_loop_test(t, means_of_windows, 0, 16);
    tcase_add_test(t, ties_go_to_the_first);
    tcase_add_loop_test(t, moments_far_from_zero, 0, table_count());
    tcase_add_test(t, uneven_rows);
    tcase_add_test(t, threads);
    tcase_add_loop_test(t, fused_pool, 0, 2 * (int)(sizeof fused_cases / sizeof *fused_cases));
    tcase_add_test(t, fused_pool_memory);
    tcase_add_loop_test(t, pool_misuses, 0, N_pool_misuses);
    tcase_add_test(t, layer);
    tcase_add_test(t, layer_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
