/* Wrong use of tensor/: shapes, dtypes, NULL, released tensors, wrong scopes, numbers out
 * of range, files. Each call must give its named error and nothing else. Malformed files
 * have tables of their own in check_npy.c, check_safetensors.c and check_json.c. */
#include "config.h"

#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tensor/json.h"
#include "tensor/kernels.h"
#include "tensor/npy.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"
#include "tests/files.h"
#include "tests/misuse.h"
#include "tests/suite.h"

static const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
static const int64_t huge[8] = {1 << 30, 1 << 30, 1 << 30, 1, 1, 1, 1, 1};
static const int64_t i00[2] = {0, 0}, i13[2] = {1, 3}, i20[2] = {2, 0}, neg[2] = {-1, 0};
static const int64_t s61[2] = {6, 1}, minus[2] = {-3, 1}, wide[2] = {4, 1}, vast[2] = {INT64_MAX, INT64_MAX};

#define NO_DTYPE ((et_dtype)99)

#define MAKING(X)                                                                                          \
    X(et_empty(NO_DTYPE, 0, NULL), ET_EDTYPE, "dtype 99 does not exist")                                   \
    X(et_empty((et_dtype)-1, 0, NULL), ET_EDTYPE, "dtype -1 does not exist")                               \
    X(et_empty(ET_F32, -1, NULL), ET_ESHAPE, "0 to 8 dimensions, not -1")                                  \
    X(et_empty(ET_F32, 9, nine), ET_ESHAPE, "0 to 8 dimensions, not 9")                                    \
    X(et_empty(ET_F32, 2, NULL), ET_EINVAL, "shape is NULL")                                               \
    X(et_zeros(ET_F32, ET_SHAPE(2, -3)), ET_ESHAPE, "negative size in shape [2, -3]")                      \
    X(et_zeros(ET_F32, 3, huge), ET_ESHAPE, "too many elements in shape [1073741824, 1073741824, ")        \
    X(et_zeros(ET_F64, ET_SHAPE(INT64_MAX)), ET_ESHAPE, "too many elements")                               \
    X(et_zeros(ET_F32, ET_SHAPE(0, INT64_MAX, 3)), ET_ESHAPE, "too many elements")                         \
    X(et_ones(ET_F32, 9, nine), ET_ESHAPE, "0 to 8 dimensions")                                            \
    X(et_full(NO_DTYPE, ET_SHAPE(2), 1), ET_EDTYPE, "dtype 99")                                            \
    X(et_scalar(NO_DTYPE, 1), ET_EDTYPE, "dtype 99")                                                       \
    X(et_from(ET_F32, ET_SHAPE(2), NULL), ET_EINVAL, "data is NULL")                                       \
    X(et_from(ET_F32, ET_SHAPE(-2), NULL), ET_ESHAPE, "negative size")                                     \
    X(et_arange(ET_F32, 0, 10, 0), ET_EINVAL, "arange: no sequence from 0 to 10 in steps of 0")            \
    X(et_arange(ET_F32, 0, NAN, 1), ET_EINVAL, "arange")                                                   \
    X(et_arange(ET_F32, 0, INFINITY, 1), ET_EINVAL, "arange")                                              \
    X(et_linspace(ET_F32, 0, 1, -1), ET_ESHAPE, "negative size")                                           \
    X(et_linspace(NO_DTYPE, 0, 1, 3), ET_EDTYPE, "dtype 99")                                               \
    X(et_empty_like(NULL), ET_EINVAL, "empty_like: tensor is NULL")                                        \
    X(et_zeros_like(NULL), ET_EINVAL, "zeros_like: tensor is NULL")                                        \
    X(et_clone(NULL), ET_EINVAL, "clone: tensor is NULL")                                                  \
    X(et_clone(f.released), ET_ESCOPE, "clone: the tensor's elements were released")                       \
    X(et_to(NULL, ET_F32), ET_EINVAL, "to: tensor is NULL")                                                \
    X(et_to(f.x, NO_DTYPE), ET_EDTYPE, "dtype 99")                                                         \
    X(et_to(f.released, ET_F64), ET_ESCOPE, "to: the tensor's elements were released")                     \
    X(et_detach(NULL), ET_EINVAL, "detach: tensor is NULL")                                                \
    X(et_detach(f.released), ET_ESCOPE, "et_keep")                                                         \
    X(et_own(f.computed), ET_ESCOPE, "own: an op computed this tensor")                                    \
    X(et_set_requires_grad(f.k, true), ET_EDTYPE, "a int32 tensor has no gradient")                        \
    X(et_set_requires_grad(f.b, true), ET_EDTYPE, "bfloat16")                                              \
    X(et_set_requires_grad(f.computed, false), ET_EGRAD, "only a leaf")
MISUSE_TABLE(making, MAKING)

#define READING(X)                                                                                         \
    X((const float *)et_data(NULL), ET_EINVAL, "data: tensor is NULL")                                     \
    X((float *)et_data_mut(NULL), ET_EINVAL, "data_mut: tensor is NULL")                                   \
    X((const float *)et_data(f.released), ET_ESCOPE, "data: the tensor's elements were released")          \
    X((float *)et_data_mut(f.released), ET_ESCOPE, "et_scope_return")                                      \
    X(et_data_f32(f.d), ET_EDTYPE, "the tensor is float64, not float32")                                   \
    X(et_data_f64(f.x), ET_EDTYPE, "the tensor is float32, not float64")                                   \
    X(et_data_i32(f.m), ET_EDTYPE, "the tensor is uint8, not int32")                                       \
    X(et_data_f32(NULL), ET_EINVAL, "NULL")                                                                \
    X(et_item(f.x), ET_EINVAL, "item: a tensor of shape [2, 3] has no single element")                     \
    X(et_item(f.none), ET_EINVAL, "[0, 3]")                                                                \
    X(et_item(NULL), ET_EINVAL, "NULL")                                                                    \
    X(et_item(f.released), ET_ESCOPE, "released")                                                          \
    X(et_get(f.x, i13), ET_EINVAL, "index 3 of dimension 1 is outside [2, 3]")                             \
    X(et_get(f.x, i20), ET_EINVAL, "index 2 of dimension 0")                                               \
    X(et_get(f.x, neg), ET_EINVAL, "index -1 of dimension 0")                                              \
    X(et_get(f.none, i00), ET_EINVAL, "index 0 of dimension 0 is outside [0, 3]")                          \
    X(et_get(f.x, NULL), ET_EINVAL, "index -1 of dimension 0 is outside")                                  \
    X(et_get(NULL, i00), ET_EINVAL, "NULL")                                                                \
    X(et_set(f.x, i13, 1), ET_EINVAL, "index 3 of dimension 1")                                            \
    X(et_set(NULL, i00, 1), ET_EINVAL, "NULL")                                                             \
    X(et_set(f.released, i00, 1), ET_ESCOPE, "released")                                                   \
    X(et_fill(NULL, 0), ET_EINVAL, "NULL")                                                                 \
    X(et_fill(f.released, 0), ET_ESCOPE, "released")                                                       \
    X(et_copy_into(f.x, f.y), ET_ESHAPE, "copy_into: [4] does not broadcast to [2, 3]")                    \
    X(et_copy_into(f.y, f.x), ET_ESHAPE, "copy_into: [2, 3] does not broadcast to [4]")                    \
    X(et_copy_into(f.x, NULL), ET_EINVAL, "NULL")                                                          \
    X(et_copy_into(NULL, f.x), ET_EINVAL, "NULL")                                                          \
    X(et_copy_into(f.x, f.released), ET_ESCOPE, "released")                                                \
    X(et_size(f.x, 2), ET_EINVAL, "size: dimension 2 of a tensor with 2")                                  \
    X(et_size(f.x, -3), ET_EINVAL, "size: dimension -3")                                                   \
    X(et_size(NULL, 0), ET_EINVAL, "size: tensor is NULL")                                                 \
    X(et_raw_view(f.x, 2, i13, NULL, 0), ET_EINVAL, "NULL")                                                \
    X(et_raw_view(f.x, 2, NULL, s61, 0), ET_EINVAL, "NULL")                                                \
    X(et_raw_view(f.x, 2, f.x->shape, wide, 0), ET_EINVAL, "reaches outside")                              \
    X(et_raw_view(f.x, 2, f.x->shape, f.x->strides, 1), ET_EINVAL, "reaches outside")                      \
    X(et_raw_view(f.x, 2, f.x->shape, f.x->strides, -1), ET_EINVAL, "reaches outside")                     \
    X(et_raw_view(f.x, 2, f.x->shape, minus, 5), ET_EINVAL, "stride is negative")                          \
    X(et_raw_view(f.x, 2, f.x->shape, vast, 0), ET_EINVAL, "too large")                                    \
    X(et_raw_view(f.x, 9, nine, nine, 0), ET_ESHAPE, "0 to 8 dimensions")                                  \
    X(et_raw_view(NULL, 2, s61, s61, 0), ET_EINVAL, "view: tensor is NULL")                                \
    X(et_raw_view(f.released, 2, f.x->shape, f.x->strides, 0), ET_ESCOPE, "released")                      \
    X(et_relative_error(f.x, f.y), ET_ESHAPE, "relative_error: shapes differ")                             \
    X(et_relative_error(NULL, f.y), ET_ESHAPE, "NULL")                                                     \
    X(et_check_finite(f.nan, "loss"), ET_ENONFINITE, "loss: element [1, 0] is not finite")                 \
    X(et_check_finite(NULL, "loss"), ET_EINVAL, "NULL")                                                    \
    X(et_check_finite(f.released, "loss"), ET_ESCOPE, "released")                                          \
    X(et_to_string(NULL), ET_EINVAL, "to_string: the tensor is NULL")                                      \
    X(et_to_string(f.released), ET_ESCOPE, "released")                                                     \
    X(et_print(NULL, f.x), ET_EINVAL, "print: the file is NULL")                                           \
    X(et_print(stdout, NULL), ET_EINVAL, "NULL")
MISUSE_TABLE(reading, READING)

static et_tensor *return_from_wrong_scope(misuse_set *f)
{
    et_scope *inner = et_scope_open();
    et_tensor *t = et_zeros(ET_F32, 0, NULL), *back;

    back = et_scope_return(f->outer, t);
    et_scope_close(inner);
    return back;
}

static et_status gemm_of(et_dtype dtype)
{
    et_gemm_args args = {.m = 1, .n = 1, .k = 1};

    return et_gemm(dtype, &args);
}

#define SYSTEM(X)                                                                                          \
    X(et_scope_close(NULL), ET_EINVAL, "scope_close: scope is NULL")                                       \
    X(et_scope_close(f.outer), ET_ESCOPE, "not the innermost")                                             \
    X(et_scope_return(NULL, f.x), ET_ESCOPE, "does not belong")                                            \
    X(return_from_wrong_scope(&f), ET_ESCOPE, "does not belong")                                           \
    X(et_set_num_threads(0), ET_EINVAL, "0 is not within 1..256")                                          \
    X(et_set_num_threads(-4), ET_EINVAL, "-4")                                                             \
    X(et_set_num_threads(257), ET_EINVAL, "257")                                                           \
    X(et_set_isa("avx9000"), ET_EINVAL, "no kernels named \"avx9000\"")                                    \
    X(et_set_isa(NULL), ET_EINVAL, "no kernels named")                                                     \
    X(gemm_of(ET_I32), ET_EDTYPE, "gemm: expected float32 or float64, got int32")                          \
    X(gemm_of(ET_BF16), ET_EDTYPE, "bfloat16")                                                             \
    X(et_fill_uniform(NULL, NULL, 0, 1), ET_EINVAL, "fill_uniform: the tensor is NULL")                    \
    X(et_fill_uniform(f.k, NULL, 0, 1), ET_EDTYPE, "fill_uniform: a tensor of int32")                      \
    X(et_fill_uniform(f.x, NULL, 1, 0), ET_EINVAL, "in order")                                             \
    X(et_fill_uniform(f.released, NULL, 0, 1), ET_ESCOPE, "released")                                      \
    X(et_fill_normal(f.x, NULL, 0, -1), ET_EINVAL, "fill_normal")                                          \
    X(et_fill_normal(f.released, NULL, 0, 1), ET_ESCOPE, "released")                                       \
    X(et_fill_trunc_normal(f.x, NULL, 0, 1, 2, -2), ET_EINVAL, "not in order")                             \
    X(et_fill_bernoulli(f.x, NULL, 1.5), ET_EINVAL, "probability")                                         \
    X(et_fill_bernoulli(f.b, NULL, 0.5), ET_EDTYPE, "bfloat16")                                            \
    X(et_fill_gumbel(f.m, NULL), ET_EDTYPE, "uint8")                                                       \
    X(et_permutation(NULL, -1), ET_EINVAL, "permutation")                                                  \
    X(et_categorical(NULL, NULL, 1), ET_EINVAL, "logits are NULL")                                         \
    X(et_categorical(NULL, f.x, -1), ET_EINVAL, "temperature")                                             \
    X(et_categorical(NULL, f.k, 1), ET_EDTYPE, "int32")                                                    \
    X(et_categorical(NULL, f.nan, 1), ET_ENONFINITE, "row 1")                                              \
    X(et_categorical(NULL, f.released, 1), ET_ESCOPE, "released")
MISUSE_TABLE(system, SYSTEM)

static et_status write_two(const char *a, const char *b, const et_tensor *x)
{
    const et_named_tensor list[2] = {{a, x}, {b, x}};

    return et_safetensors_write(in_dir("two"), list, 2, NULL, 0);
}

static et_status write_pending(const et_tensor *x, bool npy)
{
    const et_named_tensor list[1] = {{"x", x}};

    et_raise(ET_ESHAPE, "an earlier mistake");
    return npy ? et_npy_write(in_dir("a"), x) : et_safetensors_write(in_dir("a"), list, 1, NULL, 0);
}

static et_status read_limited(const char *path, size_t limit)
{
    unsigned char *data;
    size_t size;

    put_file(in_dir("ten"), "0123456789", 10);
    return et_file_read(path, limit, &data, &size);
}

#define FILES(X)                                                                                           \
    X(et_npy_read(NULL), ET_EINVAL, "NULL")                                                                \
    X(et_npy_read("no\nsuch\033[1mfile"), ET_EIO, "no?such?[1mfile: ")                                     \
    X(et_npy_read(""), ET_EIO, "cannot open")                                                              \
    X(et_npy_read(in_dir("none.npy")), ET_EIO, "none.npy: cannot open: No such file")                      \
    X(et_npy_read(test_dir), ET_EIO, "is a directory")                                                     \
    X(et_npy_parse(NULL, 8, "x"), ET_EINVAL, "NULL")                                                       \
    X(et_npy_parse("x", 1, NULL), ET_EINVAL, "NULL")                                                       \
    X(et_npy_parse("not an array at all", 19, "x"), ET_EFORMAT, "x: not a .npy file")                      \
    X(et_npy_write(NULL, f.x), ET_EINVAL, "path is NULL")                                                  \
    X(et_npy_write(in_dir("a"), NULL), ET_EINVAL, "tensor is NULL")                                        \
    X(et_npy_write(in_dir("a"), f.b), ET_EDTYPE, "no bfloat16")                                            \
    X(et_npy_write(in_dir("a"), f.released), ET_ESCOPE, "released")                                        \
    X(et_npy_write(in_dir("none/a"), f.x), ET_EIO, "none/a")                                               \
    X(et_npy_write("", f.x), ET_EINVAL, "path is empty")                                                   \
    X(write_pending(f.x, true), ET_ESHAPE, "npy_write: an earlier mistake")                                \
    X(write_pending(f.x, false), ET_ESHAPE, "safetensors_write: an earlier mistake")                       \
    X(et_safetensors_open(NULL), ET_EINVAL, "NULL")                                                        \
    X(et_safetensors_open(in_dir("none")), ET_EIO, "none: cannot open")                                    \
    X(et_safetensors_open_memory("1234", 4, "m"), ET_EFORMAT, "m: 4 bytes are too few")                    \
    X(et_safetensors_load(NULL, "x"), ET_EINVAL, "file is NULL")                                           \
    X(et_safetensors_write(in_dir("a"), NULL, 2, NULL, 0), ET_EINVAL, "no list of tensors")                \
    X(write_two("a", "a", f.x), ET_EINVAL, "the name \"a\" stands twice")                                  \
    X(write_two("a", NULL, f.x), ET_EINVAL, "name number 1 is NULL")                                       \
    X(write_two("a", "__metadata__", f.x), ET_EINVAL, "reserved")                                          \
    X(write_two("a", "\xfe", f.x), ET_EINVAL, "not UTF-8")                                                 \
    X(write_two("a", "b", NULL), ET_EINVAL, "tensor number 0 is NULL")                                     \
    X(write_two("a", "b", f.released), ET_ESCOPE, "released")                                              \
    X(et_json_parse(NULL, 0, "t"), ET_EINVAL, "NULL")                                                      \
    X(et_json_parse("{", 1, "t"), ET_EFORMAT, "t: line 1, column 2")                                       \
    X(et_json_read(in_dir("none"), 10), ET_EIO, "none")                                                    \
    X(et_file_write(in_dir("a"), NULL, 3), ET_EINVAL, "data is NULL")                                      \
    X(et_file_write(NULL, "abc", 3), ET_EINVAL, "path is NULL")                                            \
    X(read_limited(in_dir("ten"), 9), ET_EFORMAT, "10 bytes, more than the limit of 9")                    \
    X(read_limited(NULL, 9), ET_EINVAL, "NULL")
MISUSE_TABLE(files, FILES)

/* The first error stays; NULL passes through everything that follows. */
START_TEST(first_error_stays)
{
    misuse_set f = misuse_begin();

    ck_assert_ptr_null(et_clone(et_detach(et_to(et_empty(ET_F32, -7, NULL), ET_F64))));
    ck_assert_int_eq(et_error_status(), ET_ESHAPE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "not -7"));
    ck_assert_ptr_null(et_fail("model"));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "model: "));
    ck_assert_int_eq(et_fail_status("training"), ET_ESHAPE);
    ck_assert_ptr_eq(strstr(et_error_message(), "training: model: "), et_error_message());
    et_error_clear();
    ck_assert_str_eq(et_error_message(), "");
    ck_assert_ptr_null(et_fail("nothing"));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    misuse_end(&f);
}
END_TEST

/* Without a scope, what a failed call had made goes away too. */
START_TEST(nothing_left_without_scope)
{
    et_pool_stats before, after;

    et_pool_get_stats(&before);
    ck_assert_ptr_null(et_from(ET_F32, ET_SHAPE(100), NULL));
    et_error_clear();
    et_pool_get_stats(&after);
    ck_assert_uint_eq(before.current, after.current);
}
END_TEST

_Static_assert(N_making_misuses + N_reading_misuses + N_system_misuses + N_files_misuses >= 100,
               "the tables have at least 100 rows");

int main(void)
{
    Suite *s = suite_create("misuse");
    TCase *tc = tcase_create("misuse");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, making_misuses, 0, N_making_misuses);
    tcase_add_loop_test(tc, reading_misuses, 0, N_reading_misuses);
    tcase_add_loop_test(tc, system_misuses, 0, N_system_misuses);
    tcase_add_loop_test(tc, files_misuses, 0, N_files_misuses);
    tcase_add_test(tc, first_error_stays);
    tcase_add_test(tc, nothing_left_without_scope);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
