/* view, reshape, permute and what is made of them: shapes, what shares storage, misuse. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "autograd/ops.h"
#include "tests/files.h"
#include "tests/in_scope.h"
#include "tests/suite.h"

/* [2, 3, 4] with elements 0 .. 23; of any dtype, since nothing is computed. */
static et_tensor *numbers(et_dtype dtype)
{
    return et_reshape(et_arange(dtype, 0, 24, 1), ET_SHAPE(2, 3, 4));
}

static bool has_shape(const et_tensor *x, int ndim, const int64_t *shape)
{
    return x && x->ndim == ndim && (ndim == 0 || !memcmp(x->shape, shape, sizeof(int64_t) * (size_t)ndim));
}

/* Elements of y in row-major order are `expected`. */
static bool holds(const et_tensor *y, const int *expected)
{
    for (int64_t i = 0; i < y->numel; i++) {
        int64_t index[ET_MAX_DIMS], rest = i;
        for (int d = y->ndim - 1; d >= 0; d--) {
            index[d] = rest % y->shape[d];
            rest /= y->shape[d];
        }
        if (et_get(y, index) != expected[i])
            return false;
    }
    return true;
}

START_TEST(views_share)
{
    static const et_dtype dtypes[] = {ET_F32, ET_F64, ET_I32};
    et_tensor *x = numbers(dtypes[_i]), *y = et_view(x, ET_SHAPE(4, -1)), *z = et_reshape(x, ET_SHAPE(3, 8));

    ck_assert(has_shape(y, ET_SHAPE(4, 6)) && has_shape(z, ET_SHAPE(3, 8)));
    ck_assert(y->storage == x->storage && z->storage == x->storage);
    ck_assert(et_contiguous(x) == x);
    et_set(x, (const int64_t[]){1, 2, 3}, -7);
    ck_assert(et_get(y, (const int64_t[]){3, 5}) == -7 && et_get(z, (const int64_t[]){2, 7}) == -7);
}
END_TEST

START_TEST(permuted_elements)
{
    static const int turned[24] = {0, 4, 8, 12, 16, 20, 1, 5, 9, 13, 17, 21, 2, 6, 10, 14, 18, 22, 3, 7,
                                   11, 15, 19, 23};
    et_tensor *x = numbers(ET_F32), *y = et_permute(x, ET_DIMS(2, 0, 1)), *flat = et_flatten(y, 0, -1);

    ck_assert(has_shape(y, ET_SHAPE(4, 2, 3)) && y->storage == x->storage && holds(y, turned));
    ck_assert(has_shape(flat, ET_SHAPE(24)) && flat->storage != x->storage && holds(flat, turned));
    ck_assert(holds(et_contiguous(y), turned) && et_is_contiguous(et_contiguous(y)));
    /* dimensions 0 and 1 of y follow each other evenly: merging them is a view still */
    et_tensor *merged = et_view(y, ET_SHAPE(4, 6));
    ck_assert(has_shape(merged, ET_SHAPE(4, 6)) && holds(merged, turned));
    ck_assert(has_shape(et_transpose(x, -1, 0), ET_SHAPE(4, 3, 2)));
    ck_assert(et_get(et_transpose(x, -1, 0), (const int64_t[]){3, 1, 0}) == 7);
}
END_TEST

START_TEST(ones_and_nothing)
{
    et_tensor *x = numbers(ET_F32), *s = et_scalar(ET_F32, 5), *none = et_zeros(ET_F32, ET_SHAPE(0, 3));

    ck_assert(has_shape(et_unsqueeze(x, 0), ET_SHAPE(1, 2, 3, 4)));
    ck_assert(has_shape(et_unsqueeze(x, -1), ET_SHAPE(2, 3, 4, 1)));
    ck_assert(has_shape(et_unsqueeze(s, 0), ET_SHAPE(1)));
    ck_assert(has_shape(et_squeeze(et_unsqueeze(x, 1), 1), ET_SHAPE(2, 3, 4)));
    ck_assert(has_shape(et_squeeze(x, 1), ET_SHAPE(2, 3, 4)));
    ck_assert(has_shape(et_flatten(x, 1, 2), ET_SHAPE(2, 12)));
    ck_assert(has_shape(et_flatten(s, 0, -1), ET_SHAPE(1)));
    ck_assert(has_shape(et_reshape(s, ET_SHAPE(1, 1)), ET_SHAPE(1, 1)));
    ck_assert(has_shape(et_view(et_full(ET_F32, ET_SHAPE(1, 1), 2), 0, NULL), 0, NULL));
    ck_assert(has_shape(et_reshape(none, ET_SHAPE(3, 0, 5)), ET_SHAPE(3, 0, 5)));
    ck_assert(has_shape(et_permute(none, ET_DIMS(1, 0)), ET_SHAPE(3, 0)));
    /* a broadcast dimension merges with none */
    et_tensor *wide = et_expand(et_view(x, ET_SHAPE(24, 1)), ET_SHAPE(24, 2));
    ck_assert(has_shape(et_reshape(wide, ET_SHAPE(48)), ET_SHAPE(48)));
    ck_assert(et_get(et_reshape(wide, ET_SHAPE(48)), (const int64_t[]){47}) == 23);
}
END_TEST

/* One element into many, pieces of 4096 bytes and what is left over. */
START_TEST(one_into_many)
{
    const et_dtype dtypes[] = {ET_U8, ET_BF16, ET_F32, ET_F64};

    for (int d = 0; d < 4; d++) {
        const int64_t piece = 4096 / (int64_t)et_dtype_size(dtypes[d]);
        const int64_t sizes[] = {1, 2, 3, piece - 1, piece, piece + 1, 3 * piece + 1};
        for (int i = 0; i < 7; i++) {
            et_tensor *x = et_full(dtypes[d], ET_SHAPE(2, sizes[i]), 7);
            for (int64_t j = 0; j < x->numel; j++)
                ck_assert(et_get(x, (const int64_t[]){j / sizes[i], j % sizes[i]}) == 7);
            if (!et_dtype_is_real(dtypes[d]))
                continue;
            et_set(x, (const int64_t[]){1, 0}, 5);
            et_tensor *y = et_contiguous(et_expand(et_slice(x, 1, 0, 1, 1), ET_SHAPE(2, sizes[i])));
            for (int64_t j = 0; j < y->numel; j++)
                ck_assert(et_get(y, (const int64_t[]){j / sizes[i], j % sizes[i]}) == (j < sizes[i] ? 7 : 5));
        }
    }
}
END_TEST

START_TEST(misuse)
{
    et_tensor *x = numbers(ET_F32), *none = et_zeros(ET_F32, ET_SHAPE(0, 3));
    const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 24};

    fails_null(et_view(x, ET_SHAPE(5, 5)), ET_ESHAPE, "check_view.c:");
    fails_null(et_view(x, ET_SHAPE(5, 5)), ET_ESHAPE, "[2, 3, 4] cannot be made [5, 5]");
    fails_null(et_reshape(x, ET_SHAPE(-1, -1)), ET_ESHAPE, "reshape");
    fails_null(et_reshape(x, ET_SHAPE(7, -1)), ET_ESHAPE, "reshape");
    fails_null(et_reshape(x, ET_SHAPE(-2, -12)), ET_ESHAPE, "reshape");
    fails_null(et_reshape(x, ET_SHAPE(INT64_MAX, 4)), ET_ESHAPE, "reshape");
    fails_null(et_reshape(none, ET_SHAPE(0, -1)), ET_ESHAPE, "reshape");
    fails_null(et_view(x, 9, nine), ET_ESHAPE, "0 to 8 dimensions");
    fails_null(et_view(x, -1, nine), ET_ESHAPE, "0 to 8 dimensions");
    fails_null(et_view(et_transpose(x, 0, 2), ET_SHAPE(24)), ET_ESHAPE, "use et_reshape");
    fails_null(et_permute(x, ET_DIMS(0, 1)), ET_EINVAL, "2 dimensions are named");
    fails_null(et_permute(x, ET_DIMS(0, 1, 1)), ET_EINVAL, "named twice");
    fails_null(et_permute(x, ET_DIMS(0, 1, 3)), ET_EINVAL, "not there");
    fails_null(et_transpose(x, 0, 3), ET_EINVAL, "has no dimension 3");
    fails_null(et_unsqueeze(x, 4), ET_EINVAL, "has no dimension 4");
    fails_null(et_unsqueeze(et_zeros(ET_F32, 8, nine), 0), ET_ESHAPE, "8 dimensions already");
    fails_null(et_squeeze(x, -4), ET_EINVAL, "has no dimension -4");
    fails_null(et_flatten(x, 2, 1), ET_EINVAL, "comes before");
    fails_null(et_view(NULL, ET_SHAPE(1)), ET_EINVAL, "NULL");
    fails_null(et_permute(NULL, ET_DIMS(0)), ET_EINVAL, "NULL");
    fails_null(et_flatten(NULL, 0, 1), ET_EINVAL, "NULL");
    fails_null(et_unsqueeze(NULL, 0), ET_EINVAL, "NULL");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("view");
    TCase *tc = tcase_create("view");

    tcase_add_checked_fixture(tc, open_scope, close_scope);
    tcase_add_loop_test(tc, views_share, 0, 3);
    tcase_add_test(tc, permuted_elements);
    tcase_add_test(tc, ones_and_nothing);
    tcase_add_test(tc, one_into_many);
    tcase_add_test(tc, misuse);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
