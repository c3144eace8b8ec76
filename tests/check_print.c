/* Printing: what NumPy prints (tests/oracle/print.py makes the table), in other layouts,
 * to a file, and with too little memory. */
#include "config.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/alloc.h"
#include "tensor/tensor.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

struct literal {
    et_dtype dtype;
    int ndim;
    int64_t shape[5];
    double values[8];
    const char *text;
};

/* 0, 1, 2, ... times factor. */
struct range {
    et_dtype dtype;
    int ndim;
    int64_t shape[5];
    double factor;
    const char *text;
};

#include "tests/print_table.h"

enum { N_LITERALS = sizeof literals / sizeof literals[0], N_RANGES = sizeof ranges / sizeof ranges[0] };

static et_tensor *make(et_dtype dtype, int ndim, const int64_t *shape, const double *values, double factor)
{
    et_tensor *flat, *x = et_empty(dtype, ndim, shape);
    int64_t n, one = 1, i;

    ck_assert_ptr_nonnull(x);
    n = x->numel;
    flat = et_raw_view(x, 1, &n, &one, 0);
    for (i = 0; i < n; i++)
        ck_assert_int_eq(et_set(flat, &i, values ? values[i] : (double)i * factor), ET_OK);
    et_free(flat);
    return x;
}

static void expect(const et_tensor *x, const char *want)
{
    char *text = et_to_string(x);

    ck_assert_msg(text != NULL, "%s", et_error_message());
    ck_assert_msg(!strcmp(text, want), "printed\n%s\nexpected\n%s", text, want);
    et_dealloc(text);
}

START_TEST(as_numpy)
{
    const struct literal *l = &literals[_i];
    et_tensor *x = make(l->dtype, l->ndim, l->shape, l->values, 0);

    expect(x, l->text);
    et_free(x);
}
END_TEST

START_TEST(ranges_as_numpy)
{
    const struct range *r = &ranges[_i];
    et_tensor *x = make(r->dtype, r->ndim, r->shape, NULL, r->factor);

    expect(x, r->text);
    et_free(x);
}
END_TEST

/* bfloat16, which NumPy has not, prints as the float32 of the same value. */
START_TEST(bfloat16)
{
    const float values[3] = {1, -2.5f, 0.1f};
    et_tensor *x = et_from(ET_F32, ET_SHAPE(3), values), *b = et_to(x, ET_BF16);

    expect(b, "[ 1.     -2.5     0.1001]");
    et_free(x);
    et_free(b);
}
END_TEST

START_TEST(transposed_and_broadcast)
{
    const int32_t values[6] = {1, 2, 3, 4, 5, 6};
    const int64_t shape[2] = {3, 2}, strides[2] = {1, 3}, zero[2] = {0, 1};
    et_tensor *x = et_from(ET_I32, ET_SHAPE(2, 3), values), *t = et_raw_view(x, 2, shape, strides, 0);
    et_tensor *row = et_raw_view(x, 2, shape, zero, 4);

    expect(t, "[[1 4]\n [2 5]\n [3 6]]");
    expect(row, "[[5 6]\n [5 6]\n [5 6]]");
    et_free(row);
    et_free(t);
    et_free(x);
}
END_TEST

START_TEST(to_a_file)
{
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 2));
    FILE *f = tmpfile(), *r;
    char text[64] = "";
    size_t n;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(et_print(f, x), ET_OK);
    rewind(f);
    n = fread(text, 1, sizeof text - 1, f);
    ck_assert_uint_eq(n, strlen("[[1. 1.]\n [1. 1.]]\n"));
    ck_assert_str_eq(text, "[[1. 1.]\n [1. 1.]]\n");
    fclose(f);
    r = fopen("/dev/null", "r"); /* not open for writing */
    ck_assert_ptr_nonnull(r);
    setvbuf(r, NULL, _IONBF, 0);
    ck_assert_int_eq(et_print(r, x), ET_EIO);
    et_error_clear();
    fclose(r);
    ck_assert_int_eq(et_print(NULL, x), ET_EINVAL);
    et_error_clear();
    ck_assert_int_eq(et_print(stdout, NULL), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "NULL"));
    et_error_clear();
    et_free(x);
}
END_TEST

/* A program's locale does not change the decimal point. */
START_TEST(other_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "ru_RU.UTF-8"};
    const float values[2] = {0.5f, 1e9f};
    et_tensor *x = et_from(ET_F32, ET_SHAPE(1), values), *y = et_from(ET_F32, ET_SHAPE(2), values);
    et_tensor *z = et_scalar(ET_F64, 0.25);
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!setlocale(LC_NUMERIC, names[i]))
            continue;
        expect(x, "[0.5]");
        expect(y, "[5.e-01 1.e+09]");
        expect(z, "0.25");
        setlocale(LC_NUMERIC, "C");
    }
    et_free(x);
    et_free(y);
    et_free(z);
}
END_TEST

static bool print_it(void *user)
{
    char *text = et_to_string(user);

    et_dealloc(text);
    return text != NULL;
}

START_TEST(without_memory)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(30, 30));

    ck_assert_int_gt(alloc_sweep("print", print_it, x), 3);
    et_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("print");
    TCase *tc = tcase_create("print");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, as_numpy, 0, N_LITERALS);
    tcase_add_loop_test(tc, ranges_as_numpy, 0, N_RANGES);
    tcase_add_test(tc, bfloat16);
    tcase_add_test(tc, transposed_and_broadcast);
    tcase_add_test(tc, to_a_file);
    tcase_add_test(tc, other_locale);
    tcase_add_test(tc, without_memory);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
