/* Windows of maps and interpolation: values written by hand and by formulas, wrong use. Gradients are
 * check_ops', parity with PyTorch is check_parity's. */
#include "config.h"

#include <math.h>

#include "tests/values.h"

static double at(const et_tensor *x, int64_t i)
{
    return x->dtype == ET_F64 ? et_data_f64(x)[i] : (double)et_data_f32(x)[i];
}

#define COUNT(shape) values_count(ET_SHAPE shape)

/* 0, 1, 2, ... */
static et_tensor *values_count(int ndim, const int64_t *shape)
{
    et_tensor *x = et_empty(ET_F64, ndim, shape);

    for (int64_t i = 0; i < x->numel; i++)
        ((double *)et_data_mut(x))[i] = (double)i;
    return et_to(x, values_real);
}

/* A map whose element (y, x) is 10 y + x, windows of two tokens, shifted by one. */
START_TEST(windows)
{
    values_real = values_reals[_i];
    et_tensor *x = et_empty(values_real, ET_SHAPE(1, 4, 4, 1));

    for (int y = 0; y < 4; y++)
        for (int c = 0; c < 4; c++)
            et_set(x, (const int64_t[]){0, y, c, 0}, 10 * y + c);
    et_tensor *plain = et_window_partition(x, 2, 0), *shifted = et_window_partition(x, 2, 1);
    HOLDS(plain, (4, 4, 1), 0, 1, 10, 11, 2, 3, 12, 13, 20, 21, 30, 31, 22, 23, 32, 33);
    HOLDS(shifted, (4, 4, 1), 11, 12, 21, 22, 13, 10, 23, 20, 31, 32, 1, 2, 33, 30, 3, 0);
    et_tensor *back = et_window_reverse(shifted, 4, 4, 2, 1);
    HOLDS(et_reshape(back, ET_SHAPE(16)), (16), 0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33);
    HOLDS(et_patch_merge(x), (1, 2, 2, 4), 0, 10, 1, 11, 2, 12, 3, 13, 20, 30, 21, 31, 22, 32, 23, 33);

    FAILS(et_window_partition(x, 3, 0), ET_ESHAPE, "windows of 3 do not divide a map of 4 x 4");
    FAILS(et_window_partition(x, 2, 2), ET_EINVAL, "a shift of 2, expected 0 .. 1");
    FAILS(et_window_partition(x, 0, 0), ET_ESHAPE, "windows of 0");
    FAILS(et_window_partition(plain, 2, 0), ET_ESHAPE, "expected [B, H, W, C]");
    FAILS(et_window_reverse(plain, 4, 8, 2, 0), ET_ESHAPE, "expected [B * 8, 4, C]");
    FAILS(et_window_reverse(plain, 4, 4, 4, 0), ET_ESHAPE, "expected [B * 1, 16, C]");
    const int64_t vast = INT64_C(1) << 32; /* its square is 0 in 64 bits */
    FAILS(et_window_reverse(plain, vast, vast, vast, 0), ET_ESHAPE, "windows are");
    FAILS(et_window_reverse(plain, vast, vast, 1, 0), ET_ESHAPE, "windows are");
    FAILS(et_window_reverse(NULL, 4, 4, 2, 0), ET_EINVAL, "NULL");
    FAILS(et_patch_merge(et_window_partition(x, 2, 0)), ET_ESHAPE, "patch_merge");
    FAILS(et_patch_merge(et_zeros(values_real, ET_SHAPE(1, 3, 2, 1))), ET_ESHAPE, "even H and W");
    FAILS(et_patch_merge(NULL), ET_EINVAL, "patch_merge");
}
END_TEST

/* Windows of 1 x 2 and 2 x 1: the table's rows are the differences -1, 0, 1. */
START_TEST(relative_bias)
{
    values_real = values_reals[_i];
    et_tensor *table = et_set_requires_grad(et_reshape(COUNT((6)), ET_SHAPE(3, 2)), true);
    et_tensor *bias = et_relative_bias(table, 1, 2);

    HOLDS(bias, (1, 2, 2, 2), 2, 0, 4, 2, 3, 1, 5, 3);
    HOLDS(et_relative_bias(table, 2, 1), (1, 2, 2, 2), 2, 0, 4, 2, 3, 1, 5, 3);
    WORKS(et_backward_from(bias, NULL, 0));
    HOLDS(et_grad_of(table), (3, 2), 1, 1, 2, 2, 1, 1);
    FAILS(et_relative_bias(table, 2, 2), ET_ESHAPE, "expected [9, heads]");
    FAILS(et_relative_bias(table, 0, 2), ET_ESHAPE, "relative_bias");
    FAILS(et_relative_bias(table, 2, INT64_MAX), ET_ESHAPE, "a window of 2 x 9223372036854775807 tokens");
    FAILS(et_relative_bias(NULL, 1, 2), ET_EINVAL, "relative_bias");
}
END_TEST

static void near(const et_tensor *got, int64_t n, const double *want)
{
    ck_assert_msg(got && got->numel == n, "%s", et_error_message());
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(fabs(at(got, i) - want[i]) < (got->dtype == ET_F64 ? 5e-11 : 2e-6),
                      "element %d: %.12f, expected %.12f", (int)i, at(got, i), want[i]);
}

/* The published values, and what every interpolation keeps: constants, and (linear) straight lines inside. */
START_TEST(resizing)
{
    values_real = values_reals[_i];
    static const double five[] = {1, 2, 4, 3, 0}, six[] = {1, 2, 4, 3, 0, 5};
    static const double cubic[] = {1, 1.3702623907, 2.3338192420, 3.6253644315, 4.0860058309, 3.3833819242,
                                   1.6355685131, 0};
    static const double halves[] = {1.5, 3.5, 2.5};
    et_tensor *x = et_to(et_from(ET_F64, ET_SHAPE(5), five), values_real),
              *y = et_to(et_from(ET_F64, ET_SHAPE(6), six), values_real);

    near(et_resize(x, 0, 8, ET_RESIZE_CUBIC, true), 8, cubic);
    near(et_resize(y, 0, 3, ET_RESIZE_LINEAR, false), 3, halves);
    for (int mode = 0; mode < 2; mode++)
        for (int align = 0; align < 2; align++) {
            et_tensor *ones = et_resize(et_full(values_real, ET_SHAPE(2, 7, 3), 2.5), 1, 11,
                                        (et_resize_mode)mode, align);
            for (int64_t i = 0; i < 66; i++)
                ck_assert_double_eq_tol(at(ones, i), 2.5, 1e-6);
            et_tensor *same = et_resize(y, 0, 6, (et_resize_mode)mode, align);
            near(same, 6, six);
            et_tensor *line = et_resize(COUNT((9)), 0, 17, (et_resize_mode)mode, align);
            for (int64_t i = 4; mode == ET_RESIZE_LINEAR && i < 13; i++) /* away from the edges */
                ck_assert_double_eq_tol(at(line, i), align ? (double)i / 2 : ((double)i + 0.5) * 9 / 17 - 0.5,
                                        1e-5);
        }
    FAILS(et_resize(x, 0, 0, ET_RESIZE_LINEAR, false), ET_EINVAL, "5 elements cannot become 0");
    FAILS(et_resize(et_zeros(values_real, ET_SHAPE(2, 0)), 1, 3, ET_RESIZE_LINEAR, false), ET_EINVAL,
          "0 elements cannot become 3");
    FAILS(et_resize(x, 1, 3, ET_RESIZE_LINEAR, false), ET_EINVAL, "resize");
    FAILS(et_resize(NULL, 0, 3, ET_RESIZE_LINEAR, false), ET_EINVAL, "NULL");
}
END_TEST

/* A mask of two items over a batch of six: item b takes b mod 2, as if it were repeated;
 * also its gradient. */
START_TEST(repeated_mask)
{
    values_real = values_reals[_i];
    et_rng rng = et_rng_make(3, 0);
    et_tensor *q = et_empty(values_real, ET_SHAPE(6, 2, 3, 4)),
              *mask = et_empty(values_real, ET_SHAPE(2, 2, 3, 3));

    et_fill_normal(q, &rng, 0, 1);
    et_fill_normal(mask, &rng, 0, 1);
    et_tensor *few = et_set_requires_grad(mask, true), *copy = et_clone(mask);
    et_tensor *many = et_set_requires_grad(et_repeat(copy, ET_SHAPE(3, 1, 1, 1)), true);
    et_tensor *a = et_attention(q, q, q, few, NULL), *b = et_attention(q, q, q, many, NULL);
    for (int64_t i = 0; i < a->numel; i++)
        ck_assert_double_eq(at(a, i), at(b, i));
    WORKS(et_backward(et_sum(et_add(et_square(a), et_square(b)), 0, NULL, false)));
    et_tensor *sum = et_sum(et_reshape(et_grad_of(many), ET_SHAPE(3, 2, 2, 3, 3)), ET_DIMS(0), false);
    for (int64_t i = 0; i < sum->numel; i++)
        ck_assert_double_eq_tol(at(et_grad_of(few), i), at(sum, i), 1e-5);
    FAILS(et_attention(q, q, q, et_zeros(values_real, ET_SHAPE(4, 1, 1, 3)), NULL), ET_ESHAPE,
          "does not broadcast");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("windows");
    TCase *tc = tcase_create("values");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, windows, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, relative_bias, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, resizing, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, repeated_mask, 0, VALUES_N_REALS);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
