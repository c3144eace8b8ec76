/* .npy files: what NumPy wrote (tests/oracle/npy.py), what we write, and what is broken. */
#include "config.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/npy.h"
#include "tensor/scope.h"
#include "tensor/wire.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static const struct fixture {
    const char *name;
    char kind; /* r: (3 k - 7) / 4, i: 3 k - 7, u: 3 k, b: 3 k is even */
    et_dtype dtype;
    int ndim;
    int64_t shape[8];
} fixtures[] = {{"f2", 'r', ET_F32, 2, {2, 3}},
                {"f4", 'r', ET_F32, 2, {2, 3}},
                {"f8", 'r', ET_F64, 2, {2, 3}},
                {"i1", 'i', ET_I32, 2, {2, 3}},
                {"i2", 'i', ET_I32, 2, {2, 3}},
                {"i4", 'i', ET_I32, 2, {2, 3}},
                {"i8", 'i', ET_I32, 2, {2, 3}},
                {"u1", 'u', ET_U8, 2, {2, 3}},
                {"u2", 'u', ET_I32, 2, {2, 3}},
                {"u4", 'u', ET_I32, 2, {2, 3}},
                {"u8", 'u', ET_I32, 2, {2, 3}},
                {"b1", 'b', ET_U8, 2, {2, 3}},
                {"big-f2", 'r', ET_F32, 2, {2, 3}},
                {"big-f4", 'r', ET_F32, 2, {2, 3}},
                {"big-f8", 'r', ET_F64, 2, {2, 3}},
                {"big-i2", 'i', ET_I32, 2, {2, 3}},
                {"big-i4", 'i', ET_I32, 2, {2, 3}},
                {"big-i8", 'i', ET_I32, 2, {2, 3}},
                {"big-u2", 'u', ET_I32, 2, {2, 3}},
                {"big-u4", 'u', ET_I32, 2, {2, 3}},
                {"big-u8", 'u', ET_I32, 2, {2, 3}},
                {"scalar", 'r', ET_F32, 0, {0}},
                {"vector", 'r', ET_F64, 1, {5}},
                {"empty", 'r', ET_F32, 3, {3, 0, 2}},
                {"eight", 'i', ET_I32, 8, {2, 1, 2, 1, 2, 1, 2, 1}},
                {"fortran", 'r', ET_F32, 3, {3, 4, 5}},
                {"fortran-big", 'i', ET_I32, 2, {3, 4}},
                {"version2", 'r', ET_F32, 2, {2, 3}},
                {"version3", 'r', ET_F32, 2, {2, 3}},
                {"long", 'u', ET_I32, 2, {40, 33}}};
enum { N_FIXTURES = sizeof fixtures / sizeof fixtures[0] };

static double element(char kind, int64_t k)
{
    switch (kind) {
    case 'r': return (double)(3 * k - 7) / 4;
    case 'i': return (double)(3 * k - 7);
    case 'u': return (double)(3 * k);
    default: return 3 * k % 2 == 0;
    }
}

static const char *fixture_path(int i)
{
    static char path[1024];
    char name[64];

    snprintf(name, sizeof name, "fixtures/npy/%s.npy", fixtures[i].name);
    return suite_file(path, sizeof path, name);
}

static void expect_fixture(const et_tensor *x, int i)
{
    const struct fixture *f = &fixtures[i];
    int64_t k, one = 1, n;
    et_tensor *flat;

    ck_assert_msg(x != NULL, "%s: %s", f->name, et_error_message());
    ck_assert_int_eq(x->dtype, f->dtype);
    ck_assert_int_eq(x->ndim, f->ndim);
    ck_assert(memcmp(x->shape, f->shape, (size_t)f->ndim * sizeof x->shape[0]) == 0);
    ck_assert(et_is_contiguous(x));
    n = x->numel;
    flat = et_raw_view(x, 1, &n, &one, 0);
    for (k = 0; k < n; k++)
        ck_assert_msg(et_get(flat, &k) == element(f->kind, k), "%s: element %d is %g", f->name, (int)k,
                      et_get(flat, &k));
    et_free(flat);
}

START_TEST(numpy_files)
{
    et_tensor *x = et_npy_read(fixture_path(_i)), *y;
    unsigned char *data;
    size_t size;

    expect_fixture(x, _i);
    data = get_file(fixture_path(_i), &size);
    y = et_npy_parse(data, size, "memory");
    expect_fixture(y, _i);
    free(data);
    et_free(x);
    et_free(y);
}
END_TEST

/* What we write is byte for byte what NumPy writes. */
START_TEST(same_bytes_as_numpy)
{
    static const char *const names[] = {"f4", "f8", "i4", "u1", "scalar", "vector", "empty", "eight"};
    unsigned char *ours, *theirs;
    size_t a, b;
    et_tensor *x;
    int i = 0;

    while (strcmp(fixtures[i].name, names[_i]) != 0)
        i++;
    x = et_npy_read(fixture_path(i));
    ck_assert_int_eq(et_npy_write(in_dir("a.npy"), x), ET_OK);
    theirs = get_file(fixture_path(i), &a);
    ours = get_file(in_dir("a.npy"), &b);
    ck_assert_uint_eq(a, b);
    ck_assert_mem_eq(ours, theirs, a);
    free(ours);
    free(theirs);
    et_free(x);
}
END_TEST

static const struct {
    int ndim;
    int64_t shape[8];
} shapes[] = {{0, {0}},    {1, {1}},    {1, {0}},       {3, {3, 0, 2}},
              {1, {1000}}, {2, {7, 5}}, {3, {2, 3, 4}}, {8, {1, 2, 1, 3, 1, 2, 1, 2}}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* Any dtype and shape, stored plainly, with reversed strides, and repeated. */
START_TEST(round_trip)
{
    static const et_dtype dtypes[] = {ET_F32, ET_F64, ET_I32, ET_U8};
    et_dtype dtype = dtypes[_i / (3 * N_SHAPES)];
    int which = _i / 3 % N_SHAPES, layout = _i % 3, d, nd = shapes[which].ndim;
    const int64_t *shape = shapes[which].shape;
    int64_t strides[8], step = 1, n, k, one = 1;
    et_tensor *x, *base = et_empty(dtype, nd, shape), *flat, *y, *plain;

    n = base->numel;
    flat = et_raw_view(base, 1, &n, &one, 0);
    for (k = 0; k < n; k++)
        et_set(flat, &k, dtype == ET_F32 || dtype == ET_F64 ? (double)k / 3 - 5 : (double)(k % 256));
    for (d = 0; d < nd; d++) {
        strides[d] = layout == 2 ? (d == nd - 1 ? 1 : 0) : step;
        step *= shape[d];
    }
    x = layout == 0 ? et_raw_view(base, nd, shape, base->strides, 0)
                    : et_raw_view(base, nd, shape, strides, 0);
    ck_assert_msg(x != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_npy_write(in_dir("a.npy"), x), ET_OK);
    y = et_npy_read(in_dir("a.npy"));
    ck_assert_msg(y != NULL, "%s", et_error_message());
    plain = et_clone(x);
    ck_assert(et_equal(plain, y));
    ck_assert_int_eq(count_files(), 1);
    et_free(plain);
    et_free(y);
    et_free(x);
    et_free(flat);
    et_free(base);
}
END_TEST

/* A .npy file of version 1.0 with this header text and n bytes of elements. */
static unsigned char *npy(const char *header, size_t n, size_t *size)
{
    size_t length = strlen(header);
    unsigned char *f = malloc(10 + length + n + 1);

    memcpy(f, "\x93NUMPY\x01\x00", 8);
    f[8] = (unsigned char)length;
    f[9] = (unsigned char)(length >> 8);
    memcpy(f + 10, header, length);
    memset(f + 10 + length, 1, n);
    *size = 10 + length + n;
    return f;
}

#define H(descr, rest) "{'descr': " descr ", 'fortran_order': " rest "}\n"

/* More elements than are converted at once: integers of 64 bits, in either order, and rows with strides. */
START_TEST(long_arrays)
{
    enum { N = 1300, ROW = 1025 };
    static const char *const orders[] = {"False", "True"};
    char header[100];
    unsigned char *data;
    size_t size;

    for (int fortran = 0; fortran < 2; fortran++) {
        snprintf(header, sizeof header, H("'<i8'", "%s, 'shape': (2, %d)"), orders[fortran], N / 2);
        data = npy(header, N * 8, &size);
        for (int k = 0; k < N; k++)
            et_store_u64le(data + size - 8 * (N - k), (uint64_t)(int64_t)(3 * k - 1000));
        et_tensor *x = et_npy_parse(data, size, "long");
        ck_assert_msg(x != NULL, "%s", et_error_message());
        for (int64_t k = 0; k < N; k++) {
            const int64_t index[2] = {fortran ? k % 2 : k / (N / 2), fortran ? k / 2 : k % (N / 2)};
            ck_assert(et_get(x, index) == (double)(3 * k - 1000));
        }
        et_free(x);
        free(data);
    }

    et_tensor *base = et_empty(ET_F64, ET_SHAPE(ROW, 3)), *y;
    for (int64_t k = 0; k < 3 * ROW; k++)
        et_set(base, (const int64_t[]){k / 3, k % 3}, (double)k / 7);
    et_tensor *turned = et_raw_view(base, 2, (const int64_t[]){3, ROW}, (const int64_t[]){1, 3}, 0);
    ck_assert_int_eq(et_npy_write(in_dir("a.npy"), turned), ET_OK);
    y = et_npy_read(in_dir("a.npy"));
    ck_assert_msg(y != NULL, "%s", et_error_message());
    ck_assert(et_equal(turned, y));
    et_free(y);
    et_free(turned);
    et_free(base);
}
END_TEST

/* NaN, infinities, denormals and both zeros keep their bits; binary16 keeps its values. */
START_TEST(special_values)
{
    static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, 1.4e-45f, 3.4028235e38f};
    et_tensor *x = et_from(ET_F32, ET_SHAPE(6), values), *y;

    ck_assert_int_eq(et_npy_write(in_dir("a.npy"), x), ET_OK);
    y = et_npy_read(in_dir("a.npy"));
    ck_assert(et_equal(x, y));
    ck_assert(et_f16_to_f32(0x3C00) == 1 && et_f16_to_f32(0xC000) == -2 && et_f16_to_f32(0x7BFF) == 65504);
    ck_assert(et_f16_to_f32(0x0001) == ldexpf(1, -24) && et_f16_to_f32(0x83FF) == -ldexpf(1023, -24));
    ck_assert(et_f16_to_f32(0x0400) == ldexpf(1, -14) && signbit(et_f16_to_f32(0x8000)));
    ck_assert(et_f16_to_f32(0x7C00) == INFINITY && et_f16_to_f32(0xFC00) == -INFINITY &&
              isnan(et_f16_to_f32(0x7E01)));
    et_free(x);
    et_free(y);
}
END_TEST

static const struct {
    const char *header;
    size_t n;
    et_status status; /* ET_OK: is read */
    const char *words;
} headers[] = {{H("'<f4'", "False, 'shape': (2, 3), "), 24, ET_OK, ""},
               {"{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":True}", 24, ET_OK, ""},
               {H("'<f4'", "False, 'shape': (2L, 3L)"), 24, ET_OK, ""},
               {H("'|u1'", "False, 'shape': ()"), 1, ET_OK, ""},
               {H("'<u1'", "False, 'shape': (3,)"), 3, ET_OK, ""},
               {H("'<f4'", "False, 'shape': (0, 9223372036854775807)"), 0, ET_EFORMAT, "too large"},
               {H("'<f4'", "False, 'shape': (2, 3)"), 23, ET_EFORMAT, "does not fit the shape [2, 3]"},
               {H("'<f4'", "False, 'shape': (2, 3)"), 25, ET_EFORMAT, "25 bytes"},
               {H("'<f4'", "False, 'shape': (3)"), 12, ET_EFORMAT, "comma"},
               {H("'<f4'", "False, 'shape': 3"), 12, ET_EFORMAT, "tuple"},
               {H("'<f4'", "False, 'shape': (-3,)"), 12, ET_EFORMAT, "not a number"},
               {H("'<f4'", "False, 'shape': (3 4)"), 12, ET_EFORMAT, "comma"},
               {H("'<f4'", "False, 'shape': (3,,)"), 12, ET_EFORMAT, "not a number"},
               {H("'<f4'", "False, 'shape': (4611686018427387904, 4)"), 0, ET_EFORMAT, "does not fit"},
               {H("'<f4'", "False, 'shape': (2147483648, 2147483648, 4)"), 0, ET_EFORMAT, "does not fit"},
               {H("'<f4'", "False, 'shape': (9223372036854775807,)"), 12, ET_EFORMAT, "too large"},
               {H("'<f4'", "False, 'shape': (99999999999999999999999999,)"), 12, ET_EFORMAT, "too large"},
               {H("'<f4'", "False, 'shape': (1000000000000,)"), 12, ET_EFORMAT, "does not fit"},
               {H("'<f4'", "False, 'shape': (1,1,1,1,1,1,1,1,1)"), 4, ET_ESHAPE, "8 dimensions"},
               {H("'<f4'", "Maybe, 'shape': (3,)"), 12, ET_EFORMAT, "True or False"},
               {H("'<f4'", "False, 'shape': (3,"), 12, ET_EFORMAT, "not a number"},
               {H("'<f4'", "False"), 12, ET_EFORMAT, "missing"},
               {H("'<f4'", "False, 'shape': (3,), 'shape': (3,)"), 12, ET_EFORMAT, "twice"},
               {H("'<f4'", "False, 'shape': (3,), 'other': 1"), 12, ET_EFORMAT, "unknown key"},
               {H("'<f4'", "False 'shape': (3,)"), 12, ET_EFORMAT, "comma"},
               {H("'<c8'", "False, 'shape': (3,)"), 24, ET_EDTYPE, "'<c8'"},
               {H("'<U4'", "False, 'shape': (3,)"), 48, ET_EDTYPE, "'<U4'"},
               {H("'|O'", "False, 'shape': (3,)"), 24, ET_EDTYPE, "'|O'"},
               {H("'|f4'", "False, 'shape': (3,)"), 12, ET_EDTYPE, "'|f4'"},
               {H("'=f4'", "False, 'shape': (3,)"), 12, ET_EDTYPE, "'=f4'"},
               {H("'f4'", "False, 'shape': (3,)"), 12, ET_EDTYPE, "'f4'"},
               {H("''", "False, 'shape': (3,)"), 12, ET_EDTYPE, "''"},
               {H("[('a', '<f4')]", "False, 'shape': (3,)"), 12, ET_EDTYPE, "structures"},
               {H("3", "False, 'shape': (3,)"), 12, ET_EFORMAT, "string"},
               {H("'<f4", "False, 'shape': (3,)"), 12, ET_EDTYPE, ""},
               {"", 0, ET_EFORMAT, "'{'"},
               {"{}", 0, ET_EFORMAT, "missing"},
               {"{} x", 0, ET_EFORMAT, "follows"},
               {"[]", 0, ET_EFORMAT, "'{'"}};
enum { N_HEADERS = sizeof headers / sizeof headers[0] };

START_TEST(header_texts)
{
    unsigned char *data;
    et_tensor *x;
    size_t size;

    data = npy(headers[_i].header, headers[_i].n, &size);
    x = et_npy_parse(data, size, "t.npy");
    outcome(x, headers[_i].status, headers[_i].words, "t.npy");
    et_free(x);
    free(data);
}
END_TEST

START_TEST(integers_beyond_int32)
{
    unsigned char *data;
    size_t size;

    data = npy(H("'<i8'", "False, 'shape': (3,)"), 24, &size); /* 0x0101010101010101 */
    fails_null(et_npy_parse(data, size, "t.npy"), ET_EINVAL, "t.npy: element 0 does not fit int32");
    memset(data + size - 24, 0, 24);
    data[size - 8 + 4] = 1; /* the last is 2^32 */
    fails_null(et_npy_parse(data, size, "t.npy"), ET_EINVAL, "element 2");
    free(data);
    data = npy(H("'<u4'", "False, 'shape': (1,)"), 4, &size);
    memset(data + size - 4, 255, 4);
    fails_null(et_npy_parse(data, size, "t.npy"), ET_EINVAL, "element 0");
    free(data);
}
END_TEST

START_TEST(other_files)
{
    unsigned char *data;
    size_t size;

    fails_null(et_npy_read(in_dir("none.npy")), ET_EIO, "none.npy: cannot open");
    fails_null(et_npy_read(NULL), ET_EINVAL, "NULL");
    fails_null(et_npy_parse(NULL, 10, "x"), ET_EINVAL, "NULL");
    put_file(in_dir("a.npy"), "PK\3\4 and so on, long enough", 26);
    fails_null(et_npy_read(in_dir("a.npy")), ET_EFORMAT, "a.npy: not a .npy file");
    data = get_file(fixture_path(1), &size);
    fails_null(et_npy_parse(data, 120, "cut"), ET_EFORMAT, "a header of 118 bytes in a file of 120");
    data[6] = 4;
    fails_null(et_npy_parse(data, size, "v4"), ET_EFORMAT, "version 4.0");
    data[6] = 2; /* the header's length is now the first four bytes: far too long */
    fails_null(et_npy_parse(data, size, "v2"), ET_EFORMAT, "a header of");
    free(data);
}
END_TEST

/* Cut at any byte: an error, and no byte behind the end is read. */
START_TEST(truncated)
{
    unsigned char *data, *cut;
    size_t size, n;

    data = get_file(fixture_path(_i), &size);
    if (size > 400)
        size = 400;
    for (n = 0; n < size - (size < 400 ? 0 : 1); n++) {
        cut = malloc(n + !n);
        memcpy(cut, data, n);
        fails_null(et_npy_parse(cut, n, "cut"), ET_EFORMAT, "cut: ");
        free(cut);
    }
    free(data);
}
END_TEST

/* Bits flipped at random: a tensor or an error, nothing else. */
START_TEST(bits_flipped)
{
    unsigned char *data, *copy;
    uint32_t state = (uint32_t)_i + 1;
    size_t size, at;
    et_tensor *x;
    int i, k, flips;

    data = get_file(fixture_path(_i), &size);
    copy = malloc(size);
    for (i = 0; i < 400; i++) {
        memcpy(copy, data, size);
        flips = 1 + i % 4;
        for (k = 0; k < flips; k++) {
            state = state * 1664525u + 1013904223u;
            at = (state >> 8) % (size < 140 ? size : 140);
            copy[at] ^= (unsigned char)(1u << (state >> 5 & 7));
        }
        x = et_npy_parse(copy, size, "flipped");
        ck_assert_int_eq(x != NULL, et_error_status() == ET_OK);
        et_error_clear();
        et_free(x);
    }
    free(copy);
    free(data);
}
END_TEST

static bool read_fixture(void *user)
{
    et_tensor *x = et_npy_read(fixture_path(*(int *)user));

    et_free(x);
    return x != NULL;
}

static bool write_tensor(void *user) { return et_npy_write(in_dir("a.npy"), user) == ET_OK; }

/* A read in a scope that fails leaves nothing there. */
static bool read_in_scope(void *user)
{
    et_scope *scope = et_scope_open();
    et_tensor *x = scope ? et_npy_read(fixture_path(*(int *)user)) : NULL;

    if (scope && et_scope_close(scope) != ET_OK)
        return false;
    return x != NULL;
}

START_TEST(without_memory)
{
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(10, 10));
    int i = _i;

    ck_assert_int_ge(alloc_sweep("npy read", read_fixture, &i), 3);
    ck_assert_int_ge(alloc_sweep("npy read in a scope", read_in_scope, &i), 3);
    put_file(in_dir("a.npy"), "old", 3);
    ck_assert_int_ge(alloc_sweep("npy write", write_tensor, x), 3);
    ck_assert_int_eq(count_files(), 1);
    et_free(x);
}
END_TEST

START_TEST(writing_fails)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(100000)), *b = et_zeros(ET_BF16, ET_SHAPE(2));
    struct rlimit limit, small;
    unsigned char *old;
    size_t size;

    put_file(in_dir("a.npy"), "old", 3);
    fails(et_npy_write(in_dir("a.npy"), b), ET_EDTYPE, "bfloat16");
    fails(et_npy_write(in_dir("a.npy"), NULL), ET_EINVAL, "NULL");
    fails(et_npy_write(NULL, x), ET_EINVAL, "NULL");
    fails(et_npy_write(in_dir("none/a.npy"), x), ET_EIO, "none/a.npy");
    et_raise(ET_EINVAL, "something before");
    ck_assert_int_eq(et_npy_write(in_dir("a.npy"), x), ET_EINVAL); /* refused while an error is pending */
    ck_assert_ptr_nonnull(strstr(et_error_message(), "something before"));
    et_error_clear();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 200000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails(et_npy_write(in_dir("a.npy"), x), ET_EFULL, "a.npy: cannot write");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    old = get_file(in_dir("a.npy"), &size);
    ck_assert(size == 3 && !memcmp(old, "old", 3));
    free(old);
    ck_assert_int_eq(count_files(), 1);
    et_free(x);
    et_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("npy");
    TCase *tc = tcase_create("npy");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, numpy_files, 0, N_FIXTURES);
    tcase_add_loop_test(tc, same_bytes_as_numpy, 0, 8);
    tcase_add_loop_test(tc, round_trip, 0, 4 * N_SHAPES * 3);
    tcase_add_test(tc, long_arrays);
    tcase_add_test(tc, special_values);
    tcase_add_loop_test(tc, header_texts, 0, N_HEADERS);
    tcase_add_test(tc, integers_beyond_int32);
    tcase_add_test(tc, other_files);
    tcase_add_loop_test(tc, truncated, 0, N_FIXTURES);
    tcase_add_loop_test(tc, bits_flipped, 0, N_FIXTURES);
    tcase_add_loop_test(tc, without_memory, 0, 3);
    tcase_add_test(tc, writing_fails);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
