/* Tensors made from numbers, their shapes in words and by dimension, and those moved into a block. */
#include "config.h"

#include <string.h>

#include "tensor/tensor.h"
#include "tests/files.h"
#include "tests/in_scope.h"
#include "tests/suite.h"

/* x is [n], with these elements to the last bit. */
static void expect_sequence(const et_tensor *x, int64_t n, const double *expected)
{
    ck_assert_msg(x != NULL, "%s", et_error_message());
    ck_assert_int_eq(x->ndim, 1);
    ck_assert_int_eq(x->shape[0], n);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(et_get(x, &i) == expected[i], "number %d is %.17g, not %.17g", (int)i, et_get(x, &i),
                      expected[i]);
}

#define IS(x, ...)                                                              \
    expect_sequence(x, (int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)), \
                    (const double[]){__VA_ARGS__})

/* Steps that meet the end, pass it, or lead downwards; the end itself is left out. */
START_TEST(steps)
{
    IS(et_arange(ET_F64, 2, 3, 0.25), 2, 2.25, 2.5, 2.75);
    IS(et_arange(ET_F32, 2, 3.125, 0.5), 2, 2.5, 3);
    IS(et_arange(ET_I32, 10, 3, -3), 10, 7, 4);
    IS(et_arange(ET_F64, 10, 4, -2.5), 10, 7.5, 5);
    expect_sequence(et_arange(ET_F64, 3, 3, 1), 0, NULL);
    expect_sequence(et_arange(ET_F64, 3, 5, -1), 0, NULL);
}
END_TEST

/* Both ends are there, the last one exactly. */
START_TEST(even_spaces)
{
    IS(et_linspace(ET_F64, -1, 2, 4), -1, 0, 1, 2);
    IS(et_linspace(ET_F32, 5, 3, 5), 5, 4.5, 4, 3.5, 3);
    IS(et_linspace(ET_F64, 1, 1e-20, 2), 1, 1e-20);
    IS(et_linspace(ET_F64, 7, 9, 1), 7);
    expect_sequence(et_linspace(ET_F64, 7, 9, 0), 0, NULL);
}
END_TEST

START_TEST(shapes)
{
    const int64_t sizes[8] = {2, 1, 3, 1, 1, 1, 1, 5}, shape[3] = {4, 0, 3};
    et_tensor *x = et_zeros(ET_F32, 8, sizes);
    int64_t strides[3];
    char text[ET_SHAPE_TEXT];

    ck_assert_str_eq(et_shape_text(text, 8, sizes), "[2, 1, 3, 1, 1, 1, 1, 5]");
    ck_assert_str_eq(et_shape_text(text, 0, NULL), "[]");
    for (int d = 0; d < 8; d++) {
        ck_assert_int_eq(et_size(x, d), sizes[d]);
        ck_assert_int_eq(et_size(x, d - 8), sizes[d]);
    }
    et_dense_strides(3, shape, strides);
    ck_assert(strides[0] == 3 && strides[1] == 3 && strides[2] == 1);
}
END_TEST

/* Into a block with more room than it takes, before it and after. */
START_TEST(moved)
{
    et_tensor *flat = et_arange(ET_F32, 0, 6, 1), *block = et_full(ET_F32, ET_SHAPE(10), -1);
    et_tensor *x = et_raw_view(flat, ET_SHAPE(3, 2), (const int64_t[]){1, 3}, 0);

    fails(et_move_into(x, block, 5), ET_EINVAL, "no room");
    fails(et_move_into(x, block, -1), ET_EINVAL, "no room");
    fails(et_move_into(x, block, INT64_MAX), ET_EINVAL, "no room");
    fails(et_move_into(flat, x, 0), ET_EINVAL, "no room"); /* its elements do not lie in a row */
    fails(et_move_into(x, et_zeros(ET_F64, ET_SHAPE(10)), 0), ET_EDTYPE, "float32 into a block of float64");
    ck_assert(x->storage == flat->storage);
    ck_assert_int_eq(et_move_into(x, block, 3), ET_OK);
    ck_assert(x->storage == block->storage && et_is_contiguous(x));
    IS(block, -1, -1, -1, 0, 3, 1, 4, 2, 5, -1);
    et_set(x, (const int64_t[]){2, 0}, 8);
    ck_assert(et_get(block, (const int64_t[]){7}) == 8);
    ck_assert(et_get(flat, (const int64_t[]){2}) == 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor");
    TCase *tc = tcase_create("tensor");

    tcase_add_checked_fixture(tc, open_scope, close_scope);
    tcase_add_test(tc, steps);
    tcase_add_test(tc, even_spaces);
    tcase_add_test(tc, shapes);
    tcase_add_test(tc, moved);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
