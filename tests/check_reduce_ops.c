/* What reductions, softmax, norms, dropout, activations and losses mean: values and gradients written by hand
 * or by formula, edges (nothing, infinities, huge numbers), and wrong use. */
#include "config.h"

#include "tests/values.h"

#include "autograd/op.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"

#define INF INFINITY

static et_tensor *nothing(int64_t rows, int64_t columns)
{
    return et_zeros(values_real, ET_SHAPE(rows, columns));
}

START_TEST(sums_and_means)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 1, 3), 1, 2, 3, 4, 5, 6), *y;

    HOLDS_ONE(et_sum(x, 0, NULL, false), 21);
    HOLDS(et_sum(x, 0, NULL, true), (1, 1, 1), 21);
    HOLDS(et_sum(x, ET_DIMS(0), false), (1, 3), 5, 7, 9);
    HOLDS(et_sum(x, ET_DIMS(1), false), (2, 3), 1, 2, 3, 4, 5, 6);
    HOLDS(et_sum(x, ET_DIMS(-1, 0), true), (1, 1, 1), 21);
    HOLDS(et_sum(x, ET_DIMS(2, 1), false), (2), 6, 15);
    HOLDS(et_mean(x, ET_DIMS(2), true), (2, 1, 1), 2, 5);
    HOLDS_ONE(et_mean(x, 0, NULL, false), 3.5);
    HOLDS_ONE(et_sum(et_scalar(values_real, 4), 0, NULL, false), 4);
    y = et_mean(x, ET_DIMS(0, 2), false);
    HOLDS(y, (1), 3.5);
    WORKS(et_backward_from(y, REAL((1), 12), 0));
    GRAD_HOLDS(x, (2, 1, 3), 2, 2, 2, 2, 2, 2);
    et_zero_grad_of(x);
    WORKS(et_backward_from(et_sum(x, ET_DIMS(2), false), REAL((2, 1), 1, 2), 0));
    GRAD_HOLDS(x, (2, 1, 3), 1, 1, 1, 2, 2, 2);
    /* of a transposed view, with all elements different */
    HOLDS(et_sum(et_permute(x, ET_DIMS(2, 1, 0)), ET_DIMS(0), false), (1, 2), 6, 15);

    HOLDS_ONE(et_sum(nothing(0, 3), 0, NULL, false), 0);
    HOLDS(et_sum(nothing(0, 3), ET_DIMS(0), false), (3), 0, 0, 0);
    HOLDS_NONE(et_sum(nothing(0, 3), ET_DIMS(1), false), (0));
    HOLDS(et_mean(nothing(2, 0), ET_DIMS(1), false), (2), NAN, NAN);
    /* no rows: what made them has a gradient of zeros */
    y = PARAM((2, 3), 1, 2, 3, 4, 5, 6);
    WORKS(et_backward(et_sum(et_linear(nothing(0, 3), y, NULL), 0, NULL, false)));
    GRAD_HOLDS(y, (2, 3), 0, 0, 0, 0, 0, 0);
    for (int way = 0; way < 5; way++) {
        et_tensor *h, *mean = REAL((2), 0, 0), *var = REAL((2), 1, 1);
        y = PARAM((2, 3), 1, 2, 3, 4, 5, 6);
        h = et_linear(nothing(0, 3), y, NULL);
        h = way < 2 ? et_logsumexp(h, way, false) : way == 2 ? et_layer_norm(h, NULL, NULL, 1e-5)
          : way == 3 ? et_batch_norm(h, mean, var, NULL, NULL, false, 0.1, 1e-5)
                     : et_max(h, ET_DIMS(1), false);
        WORKS(et_backward(et_sum(h, 0, NULL, false)));
        GRAD_HOLDS(y, (2, 3), 0, 0, 0, 0, 0, 0);
    }
    FAILS(et_sum(x, ET_DIMS(1, 1), false), ET_EINVAL, "sum: dimension 1 is named twice");
    FAILS(et_mean(x, ET_DIMS(0, -3), false), ET_EINVAL, "dimension 0 is named twice");
    FAILS(et_sum(x, ET_DIMS(3), false), ET_EINVAL, "dimension 3 of a tensor with 3");
    FAILS(et_sum(x, -1, NULL, false), ET_EINVAL, "0 to 8 dimensions");
    FAILS(et_sum(INTS((1), 1), 0, NULL, false), ET_EDTYPE, "sum: operand 0 is int32");
}
END_TEST

/* Every choice of dimensions, of tensors in order and turned, long and short along each; the same bits in
 * whatever pieces the work is done. */
START_TEST(sums_over_all_choices)
{
    values_real = values_reals[_i];
    static const int64_t shapes[][4] = {{3, 4, 2, 5}, {40, 3, 2, 70}, {2, 33, 17, 3}, {1, 6, 1, 9}};
    static const et_cutting cuttings[] = {ET_CUT_USUAL, ET_CUT_FINE, ET_CUT_FINE_REVERSED};
    et_rng rng = et_rng_make(3, 0);

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int turn = 0; turn < 3; turn++) {
            et_tensor *x = et_empty(values_real, 4, shapes[s]), *view = x;
            WORKS(et_fill_uniform(x, &rng, -1, 2));
            if (turn)
                view = et_permute(x, 4, turn == 1 ? (const int[]){1, 3, 0, 2} : (const int[]){3, 2, 1, 0});
            for (int over = 1; over < 16; over++) {
                int n = 0, dims[4];
                int64_t kept[4], count = 1;
                for (int d = 0; d < 4; d++) {
                    kept[d] = over >> d & 1 ? 1 : view->shape[d];
                    if (over >> d & 1) {
                        dims[n++] = d;
                        count *= view->shape[d];
                    }
                }
                et_tensor *wide = et_zeros(ET_F64, 4, kept), *first = NULL;
                for (int64_t e = 0; e < view->numel; e++) {
                    int64_t at[4], to[4], rest = e;
                    for (int d = 3; d >= 0; d--) {
                        at[d] = rest % view->shape[d];
                        to[d] = over >> d & 1 ? 0 : at[d];
                        rest /= view->shape[d];
                    }
                    et_set(wide, to, et_get(wide, to) + et_get(view, at));
                }
                for (int c = 0; c < 3; c++) {
                    et_set_cutting(cuttings[c]);
                    et_tensor *y = et_sum(view, n, dims, true);
                    et_set_cutting(ET_CUT_USUAL);
                    ck_assert_msg(y && et_allclose(y, wide, 1e-5, 1e-6 * (double)count, false),
                                  "over %d of shape %d, turned %d: %s", over, (int)s, turn,
                                  et_error_message());
                    ck_assert(c == 0 || et_equal(y, first));
                    first = c ? first : y;
                }
            }
        }
}
END_TEST

/* Number p of the 24 orders of four dimensions. */
static void order_of(int p, int order[4])
{
    int left[4] = {0, 1, 2, 3};

    for (int d = 0, n = 24; d < 4; d++) {
        p %= n;
        n /= 4 - d;
        order[d] = left[p / n];
        memmove(left + p / n, left + p / n + 1, (size_t)(3 - p / n) * sizeof *left);
    }
}

/* A view of all elements of x that has its dimensions in that order. */
static et_tensor *turned(et_tensor *x, const int order[4])
{
    int64_t shape[4], strides[4];

    for (int d = 0; d < 4; d++) {
        shape[d] = x->shape[order[d]];
        strides[d] = x->strides[order[d]];
    }
    return et_raw_view(x, 4, shape, strides, x->offset);
}

/* Element number e of what is summed, and of what is there before. Whole numbers: sums are exact. */
static double number(int64_t e) { return (double)(e * 7 % 11 - 5); }
static double before(int64_t e) { return (double)(e % 5 - 1); }

static et_tensor *numbers(int64_t n, double (*of)(int64_t e))
{
    et_tensor *x = et_empty(values_real, 1, &n);

    ck_assert_msg(x != NULL, "%s", et_error_message());
    for (int64_t e = 0; e < n; e++)
        et_set_real(x, et_data_mut(x), e, of(e));
    return x;
}

enum { MOST = 800 };

/* into[...] += number(place in src) for all elements of a shape of four dimensions. */
static void add_by_definition(const int64_t *shape, const int64_t *to, const int64_t *from, double *into)
{
    for (int64_t i = 0; i < shape[0]; i++)
        for (int64_t j = 0; j < shape[1]; j++)
            for (int64_t k = 0; k < shape[2]; k++)
                for (int64_t l = 0; l < shape[3]; l++)
                    into[i * to[0] + j * to[1] + k * to[2] + l * to[3]] +=
                        number(i * from[0] + j * from[1] + k * from[2] + l * from[3]);
}

/* Instead of what is there, or added to it, over every choice of dimensions of tensors turned in every way,
 * and spread along one; leading dimensions that are summed stay as ones, or go. */
START_TEST(sums_into)
{
    static const int64_t shapes[][4] = {{2, 66, 3, 2}, {33, 1, 2, 5}, {1, 3, 4, 2}, {2, 0, 1, 3}};
    static double want[MOST];

    values_real = values_reals[_i % 2];
    et_set_cutting(_i / 2 ? ET_CUT_FINE_REVERSED : ET_CUT_USUAL);
    for (int s = 0; s < 4; s++)
        for (int p = 0; p < 24; p++) {
            const int64_t *size = shapes[s];
            et_scope *scope = et_scope_open();
            int order[4];
            order_of(p, order);
            et_tensor *x = numbers(size[0] * size[1] * size[2] * size[3], number);
            for (int c = 0; c < 128; c++) {
                et_tensor *src = turned(et_view(x, 4, size), order);
                if (c & 64)
                    src->strides[p % 4] = 0;
                const int over = c & 15, acc = c >> 4 & 1, gone = c >> 5 & 1;
                int64_t shape[4], strides[4], n = 1;
                int first = 0;
                for (int d = 3; d >= 0; d--) {
                    shape[d] = over >> d & 1 ? 1 : src->shape[d];
                    strides[d] = over >> d & 1 ? 0 : n;
                    n *= shape[d];
                }
                while (gone && first < 4 && over >> first & 1)
                    first++;
                et_tensor *dst = et_view(numbers(n, before), 4 - first, shape + first);
                for (int64_t e = 0; e < n; e++)
                    want[e] = acc ? before(e) : 0;
                add_by_definition(src->shape, strides, src->strides, want);
                WORKS(et_sum_to(dst, src, acc));
                for (int64_t e = 0; e < n; e++)
                    ck_assert_msg(et_real_at(dst, et_data(dst), e) == want[e],
                                  "%d of shape %d in order %d: element %d is %g, not %g", c, s, p, (int)e,
                                  et_real_at(dst, et_data(dst), e), want[e]);
                et_free(dst), et_free(src);
            }
            et_scope_close(scope);
        }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

/* To elements in any order, all of memory or every second of it, those of a tensor that is spread along any
 * dimensions and is in any order too. */
START_TEST(spread_into)
{
    static const int64_t shapes[][4] = {{2, 3, 4, 5}, {1, 40, 2, 1}, {2, 1, 1, 40}};
    static double want[MOST];

    values_real = values_reals[_i % 2];
    et_set_cutting(_i / 2 ? ET_CUT_FINE_REVERSED : ET_CUT_USUAL);
    for (int s = 0; s < 3; s++)
        for (int c = 0; c < 24 * 24 * 2; c++) {
            const int64_t *size = shapes[s], n = size[0] * size[1] * size[2] * size[3];
            const int step = 1 + c % 2, over = c / 2 % 16;
            et_scope *scope = et_scope_open();
            int order[4], back[4];
            order_of(c / 2 % 24, order);
            et_tensor *base = numbers(n * step, before);
            int64_t strides[4], shape[4];
            et_dense_strides(4, size, strides);
            for (int d = 0; d < 4; d++)
                strides[d] *= step;
            et_tensor *dst = turned(et_raw_view(base, 4, size, strides, step - 1), order);
            order_of(c / 48, order);
            for (int d = 0; d < 4; d++)
                back[order[d]] = d;
            for (int d = 0; d < 4; d++)
                shape[d] = over >> order[d] & 1 ? 1 : dst->shape[order[d]];
            et_tensor *x = numbers(shape[0] * shape[1] * shape[2] * shape[3], number);
            et_tensor *src = et_expand(turned(et_view(x, 4, shape), back), 4, dst->shape);
            for (int64_t e = 0; e < base->numel; e++)
                want[e] = before(e);
            add_by_definition(dst->shape, dst->strides, src->strides, want + dst->offset);
            WORKS(et_add_into(dst, src));
            for (int64_t e = 0; e < base->numel; e++)
                ck_assert_msg(et_real_at(base, et_data(base), e) == want[e],
                              "%d of shape %d: element %d is %g, not %g", c, s, (int)e,
                              et_real_at(base, et_data(base), e), want[e]);
            et_scope_close(scope);
        }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

/* Adding 2^-24 to 1 a million times must not be lost, as it would be one by one in float32. */
START_TEST(long_sums)
{
    const int64_t n = 1 << 20;
    et_tensor *x = et_full(ET_F32, 1, &n, ldexp(1, -24));

    et_set(x, (const int64_t[]){0}, 1);
    ck_assert_double_eq_tol(et_item(et_sum(x, 0, NULL, false)), 1 + (double)(n - 1) * ldexp(1, -24), 1e-6);
}
END_TEST

START_TEST(variances)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 3), 1, 2, 6, 5, 5, 5), *y;

    HOLDS(et_var(x, ET_DIMS(1), false, false), (2), 14.0 / 3, 0);
    HOLDS(et_var(x, ET_DIMS(1), true, true), (2, 1), 7, 0);
    HOLDS_ONE(et_var(x, 0, NULL, false, false), 20.0 / 6);
    y = et_var(x, ET_DIMS(-1), false, false);
    WORKS(et_backward_from(y, REAL((2), 3, 1), 0)); /* 2 (x - mean) / N */
    GRAD_HOLDS(x, (2, 3), -4, -2, 6, 0, 0, 0);
    /* A large mean costs nothing. */
    HOLDS_ONE(et_var(et_to(et_add_scalar(REAL((4), 1, 2, 3, 4), 1e6), values_real), 0, NULL, false, false),
              1.25);
    HOLDS(et_var(REAL((2, 1), 1, 2), ET_DIMS(1), true, false), (2), NAN, NAN);
    FAILS(et_var(x, ET_DIMS(0, 0), true, false), ET_EINVAL, "named twice");
}
END_TEST

START_TEST(extrema)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 3), 4, 9, 9, -1, -5, -5), *y, *k;

    y = et_max(x, 1, false, &k);
    HOLDS(y, (2), 9, -1);
    HOLDS(k, (2), 1, 0);
    WORKS(et_backward_from(y, REAL((2), 3, 4), 0)); /* to the first of equals */
    GRAD_HOLDS(x, (2, 3), 0, 3, 0, 4, 0, 0);
    et_zero_grad_of(x);
    y = et_min(x, -1, true, &k);
    HOLDS(y, (2, 1), 4, -5);
    HOLDS(k, (2, 1), 0, 1);
    WORKS(et_backward_from(y, REAL((2, 1), 3, 4), 0));
    GRAD_HOLDS(x, (2, 3), 3, 0, 0, 0, 4, 0);
    HOLDS(et_max(x, 0, false, NULL), (3), 4, 9, 9);
    HOLDS(et_max(REAL((2, 2), 1, NAN, -INF, INF), 1, false, &k), (2), NAN, INF);
    HOLDS(k, (2), 1, 1);
    HOLDS(et_min(REAL((1, 3), NAN, 1, NAN), 1, false, &k), (1), NAN);
    HOLDS(k, (1), 0);
    HOLDS_NONE(et_max(nothing(0, 3), 1, false, NULL), (0));
    FAILS(et_max(nothing(0, 3), 0, false, NULL), ET_ESHAPE, "no extremum");
    FAILS(et_max(x, 2, false, NULL), ET_EINVAL, "max: dimension 2");
}
END_TEST

/* Along every dimension of tensors longer than vectors, with ties and NaN, against a search one by one. */
START_TEST(many_extrema)
{
    values_real = values_reals[_i];
    et_rng rng = et_rng_make(5, 0);
    et_tensor *x = et_empty(values_real, ET_SHAPE(5, 37, 83)), *places;

    WORKS(et_fill_uniform(x, &rng, -4, 4));
    for (int64_t e = 0; e < x->numel; e++) { /* few values, so that many are equal; some NaN */
        const int64_t at[] = {e / (37 * 83), e / 83 % 37, e % 83};
        et_set(x, at, e % 101 == 7 ? (double)NAN : floor(et_get(x, at)));
    }
    for (int dim = 0; dim < 3; dim++)
        for (int min = 0; min < 2; min++) {
            et_tensor *y = min ? et_min(x, dim, true, &places) : et_max(x, dim, true, &places);
            ck_assert_msg(y != NULL, "%s", et_error_message());
            for (int64_t e = 0; e < y->numel; e++) {
                int64_t at[3], rest = e, best = 0;
                for (int d = 2; d >= 0; d--) {
                    at[d] = rest % y->shape[d];
                    rest /= y->shape[d];
                }
                const double got = et_get(y, at), where = et_get(places, at);
                double top = et_get(x, at);
                for (int64_t k = 1; k < x->shape[dim] && !isnan(top); k++) {
                    at[dim] = k;
                    const double v = et_get(x, at);
                    if (isnan(v) || (min ? v < top : v > top)) {
                        top = v;
                        best = k;
                    }
                }
                ck_assert_msg(where == (double)best && (got == top || (isnan(got) && isnan(top))),
                              "dimension %d, %s %d: %g at %g, not %g at %d", dim, min ? "min" : "max", (int)e,
                              got, where, top, (int)best);
            }
        }
}
END_TEST

START_TEST(softmaxes)
{
    values_real = values_reals[_i];
    const double e = exp(1), s = 1 + e + e * e;
    et_tensor *x = PARAM((1, 3), 0, 1, 2), *y = et_softmax(x, 1);
    const double p[3] = {1 / s, e / s, e * e / s};

    HOLDS(y, (1, 3), p[0], p[1], p[2]);
    WORKS(et_backward_from(y, REAL((1, 3), 1, 0, 0), 0)); /* p_0 (d_0k - p_k) */
    GRAD_HOLDS(x, (1, 3), p[0] * (1 - p[0]), -p[0] * p[1], -p[0] * p[2]);
    HOLDS(et_softmax(REAL((3, 1), 0, 1, 2), 0), (3, 1), p[0], p[1], p[2]);
    HOLDS(et_softmax(REAL((2, 2), 1e30, 1e30, -1e30, 1e30), 1), (2, 2), 0.5, 0.5, 0, 1);
    HOLDS(et_softmax(REAL((2, 2), -INF, -INF, -INF, 3), -1), (2, 2), 0, 0, 0, 1);
    HOLDS(et_log_softmax(REAL((2, 2), 1000, 1000, -1000, 0), 1), (2, 2), -log(2), -log(2), -1000, 0);
    HOLDS_NONE(et_softmax(nothing(0, 3), 1), (0, 3));
    HOLDS_NONE(et_softmax(nothing(2, 0), 1), (2, 0));
    FAILS(et_softmax(et_scalar(values_real, 1), 0), ET_EINVAL, "softmax: dimension 0 of a tensor with 0");
    FAILS(et_softmax(x, 2), ET_EINVAL, "dimension 2");

    x = PARAM((2), 0, log(3));
    WORKS(et_backward_from(et_log_softmax(x, 0), REAL((2), 1, 0), 0)); /* d_0k - p_k */
    GRAD_HOLDS(x, (2), 0.75, -0.75);

    HOLDS(et_logsumexp(REAL((2, 2), 1000, 1000, -INF, -INF), 1, false), (2), 1000 + log(2), -INF);
    HOLDS(et_logsumexp(REAL((1, 2), -INF, 5), 1, true), (1, 1), 5);
    HOLDS(et_logsumexp(nothing(2, 0), 1, false), (2), -INF, -INF);
    et_zero_grad_of(x);
    WORKS(et_backward_from(et_logsumexp(x, 0, false), NULL, 0));
    GRAD_HOLDS(x, (2), 0.25, 0.75);
}
END_TEST

/* A row of which all is masked gives zeros and takes no part in the gradient. */
START_TEST(masked_softmax)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 2), 1, 1, 5, 7), *mask = REAL((2, 2), 0, 0, -INF, -INF), *y;

    y = et_softmax_masked(x, mask, 1);
    HOLDS(y, (2, 2), 0.5, 0.5, 0, 0);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 0, 3, 4), 0));
    GRAD_HOLDS(x, (2, 2), 0.25, -0.25, 0, 0);
    HOLDS(et_softmax_masked(x, REAL((2), -INF, 0), 1), (2, 2), 0, 1, 0, 1);
    /* a number for each row, as many as a row has, is no row for all */
    et_tensor *rows = REAL((2, 1), -INF, 1), *one = REAL((2, 1), 3, 5);
    HOLDS(et_softmax_masked(REAL((2, 2), 4, 4, 7, 7), rows, 1), (2, 2), 0, 0, 0.5, 0.5);
    HOLDS(et_softmax_masked(one, rows, 1), (2, 1), 0, 1);
    HOLDS(et_softmax_masked(one, REAL((1), -INF), 1), (2, 1), 0, 0);
    HOLDS(et_softmax_masked(one, et_scalar(values_real, -INF), 1), (2, 1), 0, 0);
    FAILS(et_softmax_masked(x, REAL((3), 0, 0, 0), 1), ET_ESHAPE, "does not broadcast");
    FAILS(et_softmax_masked(x, NULL, 1), ET_EINVAL, "mask is NULL");
    /* A row of -inf in itself is the same, with logarithms too. */
    x = PARAM((1, 2), -INF, -INF);
    WORKS(et_backward_from(et_softmax(x, 1), REAL((1, 2), 1, 2), 0));
    GRAD_HOLDS(x, (1, 2), 0, 0);
    et_zero_grad_of(x);
    WORKS(et_backward_from(et_logsumexp(x, 1, false), NULL, 0));
    GRAD_HOLDS(x, (1, 2), 0, 0);
}
END_TEST

START_TEST(layer_norms)
{
    values_real = values_reals[_i];
    const double v[6] = {1, 2, 6, -1, 0.5, 2}, g[3] = {2, 1, -1}, b[3] = {0, 1, 0.5}, eps = 1e-5;
    double want[6];
    et_tensor *x = values_make(values_real, ET_SHAPE(2, 3), 6, v), *y;

    for (int r = 0; r < 2; r++) {
        double mean = (v[3 * r] + v[3 * r + 1] + v[3 * r + 2]) / 3, var = 0;
        for (int i = 0; i < 3; i++)
            var += (v[3 * r + i] - mean) * (v[3 * r + i] - mean) / 3;
        for (int i = 0; i < 3; i++)
            want[3 * r + i] = (v[3 * r + i] - mean) / sqrt(var + eps) * g[i] + b[i];
    }
    y = et_layer_norm(x, values_make(values_real, ET_SHAPE(3), 3, g),
                      values_make(values_real, ET_SHAPE(3), 3, b), eps);
    values_check(__LINE__, y, ET_SHAPE(2, 3), 6, want);
    HOLDS(et_layer_norm(REAL((2), 7, 7), NULL, NULL, eps), (2), 0, 0);
    HOLDS(et_layer_norm(REAL((1, 2), 0, 2), NULL, REAL((2), 1, 1), 3), (1, 2), 0.5, 1.5);
    FAILS(et_layer_norm(x, REAL((2), 1, 1), NULL, eps), ET_ESHAPE, "expected [3]");
    FAILS(et_layer_norm(x, NULL, NULL, 0), ET_EINVAL, "eps is 0");
    FAILS(et_layer_norm(et_scalar(values_real, 1), NULL, NULL, eps), ET_ESHAPE, "scalar");

    x = PARAM((2, 2), 3, 4, 0, 0);
    y = et_l2_normalize(x, 0.5);
    HOLDS(y, (2, 2), 0.6, 0.8, 0, 0);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 0, 1, 2), 0));
    GRAD_HOLDS(x, (2, 2), 0.128, -0.096, 2, 4); /* (1 - 0.36) / 5, -0.48 / 5; gy / eps */
    FAILS(et_l2_normalize(x, 0), ET_EINVAL, "eps is 0");
}
END_TEST

START_TEST(grouped_norms)
{
    values_real = values_reals[_i];
    et_tensor *x = REAL((1, 4), 1, 3, 10, 30), *gamma = REAL((4), 1, 2, 3, 4), *beta = REAL((4), 0, 0, 0, 1);

    HOLDS(et_layer_norm_grouped(x, 2, NULL, NULL, 1e-30), (1, 4), -1, 1, -1, 1);
    HOLDS(et_layer_norm_grouped(x, 2, gamma, beta, 1e-30), (1, 4), -1, 2, -3, 5);
    FAILS(et_layer_norm_grouped(x, 3, NULL, NULL, 1), ET_ESHAPE, "x [1, 4] in 3 groups");
    FAILS(et_layer_norm_grouped(x, 0, NULL, NULL, 1), ET_ESHAPE, "in 0 groups");
    FAILS(et_layer_norm_grouped(x, 2, REAL((2), 1, 1), NULL, 1), ET_ESHAPE, "gamma [2]");
    FAILS(et_layer_norm_grouped(x, 2, NULL, NULL, 0), ET_EINVAL, "eps is 0");
    FAILS(et_layer_norm_grouped(NULL, 2, NULL, NULL, 1), ET_EINVAL, "NULL");
}
END_TEST

START_TEST(multiples)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((3), -0.0, 0, 3), *y = et_mul_scalar(x, -2);

    HOLDS(y, (3), 0, 0, -6);
    for (int64_t i = 0; i < 3; i++)
        ck_assert_int_eq(!signbit(et_get(y, &i)), i == 0);
    WORKS(et_backward_from(y, REAL((3), 1, 2, 3), 0));
    GRAD_HOLDS(x, (3), -2, -4, -6);
}
END_TEST

/* Equal operands share the gradient; beside NaN both have all of it, as in PyTorch. */
START_TEST(extremes)
{
    values_real = values_reals[_i];
    for (int max = 0; max < 2; max++) {
        et_tensor *a = PARAM((5), 1, 2, 3, NAN, 5), *b = PARAM((5), 2, 2, 2, 4, NAN);
        et_tensor *y = max ? et_maximum(a, b) : et_minimum(a, b), *ga[1];
        HOLDS(y, (5), max ? 2 : 1, 2, max ? 3 : 2, NAN, NAN);
        WORKS(et_grad(1, &y, NULL, 1, &a, ga, ET_CREATE_GRAPH));
        HOLDS(ga[0], (5), !max, 0.5, max, 1, 1);
        WORKS(et_backward_from(y, NULL, 0));
        GRAD_HOLDS(a, (5), !max, 0.5, max, 1, 1);
        GRAD_HOLDS(b, (5), max, 0.5, !max, 1, 1);
    }
}
END_TEST

START_TEST(powers)
{
    values_real = values_reals[_i];
    et_tensor *a = PARAM((4), 2, 0, 0, 0), *b = PARAM((4), 3, 2, 0, 1), *y = et_pow(a, b);

    HOLDS(y, (4), 8, 0, 1, 0);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(a, (4), 12, 0, 0, 1);
    GRAD_HOLDS(b, (4), 8 * log(2), 0, 0, 0);
    a = PARAM((3), -3, -2, -1);
    y = et_pow(a, REAL((3), 2, 3, 0.5));
    HOLDS(y, (3), 9, -8, NAN);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(a, (3), -6, 12, NAN);
    FAILS(et_pow(a, REAL((2), 1, 2)), ET_ESHAPE, "pow: shapes do not broadcast: [3] and [2]");

    a = PARAM((3), -3, 0, 2); /* the gradient of what is 1 everywhere */
    y = et_pow_scalar(a, 0);
    HOLDS(y, (3), 1, 1, 1);
    et_tensor *g;
    WORKS(et_grad(1, &y, NULL, 1, &a, &g, ET_CREATE_GRAPH));
    HOLDS(g, (3), 0, 0, 0);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(a, (3), 0, 0, 0);
}
END_TEST

START_TEST(dropouts)
{
    values_real = values_reals[_i];
    const int64_t n = 100000;
    const double p = 0.25;
    et_rng rng = et_rng_make(3, 0), again = rng;
    et_tensor *x = et_set_requires_grad(et_full(values_real, 1, &n, 2), true),
              *y = et_dropout(x, p, true, &rng), *z;
    int64_t kept = 0;

    for (int64_t i = 0; i < n; i++) {
        double v = et_get(y, &i);
        ck_assert(v == 0 || fabs(v - 2 / (1 - p)) < 1e-6);
        kept += v != 0;
    }
    /* Binomial: five standard deviations are 685. */
    ck_assert_int_lt(llabs((long long)kept - 75000), 700);
    ck_assert_uint_ne(rng.counter, again.counter);
    z = et_dropout(x, p, true, &again);
    ck_assert(et_equal(y, z));
    ck_assert_uint_eq(rng.counter, again.counter);
    ck_assert(!et_equal(y, et_dropout(x, p, true, &rng)));
    WORKS(et_backward_from(y, NULL, 0)); /* the same elements, the same factor */
    for (int64_t i = 0; i < n; i++)
        ck_assert(fabs(et_get(et_grad_of(x), &i) - et_get(z, &i) / 2) < 1e-6);

    again = rng;
    ck_assert_ptr_eq(et_dropout(x, p, false, &rng), x);
    ck_assert_uint_eq(rng.counter, again.counter);
    ck_assert(et_equal(et_dropout(x, 0, true, &rng), x));
    FAILS(et_dropout(x, 1, true, &rng), ET_EINVAL, "probability is 1");
    FAILS(et_dropout(x, -0.1, true, &rng), ET_EINVAL, "expected 0 <= p < 1");
    FAILS(et_dropout(x, NAN, true, &rng), ET_EINVAL, "probability is nan");
}
END_TEST

START_TEST(cross_entropies)
{
    values_real = values_reals[_i];
    const double l2 = log(2), l3 = log(3);
    et_tensor *x = PARAM((3, 2), 0, 0, 0, l3, l3, 0), *none = INTS((3), 5, 5, 5), *y;
    et_cross_entropy_opts o = {.ignore = true, .ignore_index = 5};

    /* -ln of 1/2, 3/4 and 1/4 */
    y = et_cross_entropy(x, INTS((3), 0, 1, 1));
    HOLDS_ONE(y, (l2 - log(0.75) - log(0.25)) / 3);
    WORKS(et_backward(y)); /* (p - target) / 3 */
    GRAD_HOLDS(x, (3, 2), -0.5 / 3, 0.5 / 3, 0.25 / 3, -0.25 / 3, 0.75 / 3, -0.75 / 3);

    et_zero_grad_of(x);
    y = et_cross_entropy_with(x, INTS((3), 0, 5, 1), &o);
    HOLDS_ONE(y, (l2 + log(4)) / 2);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (3, 2), -0.25, 0.25, 0, 0, 0.375, -0.375);
    et_zero_grad_of(x);
    y = et_cross_entropy_with(x, none, &o);
    HOLDS_ONE(y, 0);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (3, 2), 0, 0, 0, 0, 0, 0);

    o.reduction = ET_REDUCE_NONE;
    HOLDS(et_cross_entropy_with(x, INTS((3), 0, 5, 1), &o), (3), l2, 0, log(4));
    o.reduction = ET_REDUCE_SUM;
    HOLDS_ONE(et_cross_entropy_with(x, INTS((3), 0, 5, 1), &o), l2 + log(4));
    o = (et_cross_entropy_opts){.weight = REAL((2), 3, 1)};
    HOLDS_ONE(et_cross_entropy_with(x, INTS((3), 0, 1, 1), &o), (3 * l2 - log(0.75) + log(4)) / 5);
    o = (et_cross_entropy_opts){.label_smoothing = 1};
    HOLDS_ONE(et_cross_entropy_with(REAL((1, 2), 0, l3), INTS((1), 0), &o), (log(4) - log(0.75)) / 2);

    HOLDS_ONE(et_cross_entropy(REAL((1, 3), 1e4, -1e4, 0), INTS((1), 1)), 2e4);
    HOLDS_ONE(et_cross_entropy(nothing(0, 3), et_zeros(ET_I32, ET_SHAPE(0))), 0);
    HOLDS_ONE(et_cross_entropy(REAL((2, 1, 2), 0, 0, 0, 0), INTS((2, 1), 0, 1)), l2);
    FAILS(et_cross_entropy(x, INTS((3), 0, 2, 1)), ET_EINVAL, "label 2 of item 1 is outside 0 .. 1");
    FAILS(et_cross_entropy(x, INTS((3), 0, 0, -1)), ET_EINVAL, "label -1 of item 2");
    FAILS(et_cross_entropy(x, none), ET_EINVAL, "label 5");
    FAILS(et_cross_entropy(x, INTS((2), 0, 1)), ET_ESHAPE, "labels of their shape without the last");
    FAILS(et_cross_entropy(x, REAL((3), 0, 1, 0)), ET_EDTYPE, "expected int32");
    FAILS(et_cross_entropy_with(x, INTS((3), 0, 0, 0), &(et_cross_entropy_opts){.label_smoothing = 1.5}),
          ET_EINVAL, "label smoothing is 1.5");
    FAILS(
        et_cross_entropy_with(x, INTS((3), 0, 0, 0), &(et_cross_entropy_opts){.weight = REAL((3), 1, 1, 1)}),
        ET_ESHAPE, "class weights are [3]");

    HOLDS_ONE(et_cross_entropy_soft(REAL((1, 2), 0, l3), REAL((1, 2), 0.5, 0.5), ET_REDUCE_SUM),
              (log(4) - log(0.75)) / 2);
}
END_TEST

/* Activations of -1, 0.5 and 2; the values are of float64 programs in another library,
 * with ten decimals. */
START_TEST(golden_activations)
{
    static const struct {
        et_tensor *(*f)(et_tensor *);
        double y[3];
    } rows[] = {
        {et_gelu, {-0.1586552539, 0.3457312306, 1.9544997361}},
        {et_gelu_tanh, {-0.1588080094, 0.3457140098, 1.9545976941}},
        {et_quick_gelu, {-0.1542042341, 0.3503884366, 1.9356586231}},
        {et_elu, {-0.6321205588, 0.5, 2}},
    };
    et_tensor *y = rows[_i].f(REAL((3), -1, 0.5, 2));

    for (int64_t i = 0; i < 3; i++)
        ck_assert_double_eq_tol(et_get(y, &i), rows[_i].y[i], 6e-11);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reductions");
    TCase *tc = tcase_create("semantics");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, sums_and_means, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, sums_over_all_choices, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, sums_into, 0, 4);
    tcase_add_loop_test(tc, spread_into, 0, 4);
    tcase_add_test(tc, long_sums);
    tcase_add_loop_test(tc, variances, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, extrema, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, many_extrema, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, softmaxes, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, masked_softmax, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, layer_norms, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, grouped_norms, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, multiples, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, extremes, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, powers, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, dropouts, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, cross_entropies, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, golden_activations, 0, 4);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
