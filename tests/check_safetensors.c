/* Safetensors: a file written by hand, round trips, and everything that can be broken. */
#include "config.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/safetensors.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* A file of this header and n bytes of data, of exactly *size bytes; released with free. */
static unsigned char *file_of(const char *header, const void *data, size_t n, size_t *size)
{
    size_t length = strlen(header);
    unsigned char *f = malloc(8 + length + n);

    et_store_u64le(f, length);
    memcpy(f + 8, header, length);
    if (n)
        memcpy(f + 8 + length, data, n);
    *size = 8 + length + n;
    return f;
}

/* Every dtype that can be read, out of order, with metadata and a strange name. */
static const char all_header[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"by\":\"hand \\u00e9\"},"
    "\"f32\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"f64\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[12,20]},"
    "\"f16\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[8,12]},"
    "\"bf16\":{\"shape\":[1],\"data_offsets\":[20,22],\"dtype\":\"BF16\"},"
    "\"i64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[22,38]},"
    "\"none\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[38,38]},"
    "\"i32\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[38,42]},"
    "\"a.\\\"b\\\\\\n\\u20ac\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[42,45]},"
    "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[45,47]},"
    "\"i8\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[47,48]},"
    "\"u16\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[48,50]},"
    "\"f8\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[50,52]}}  ";

static const unsigned char all_data[52] = {0x00, 0x00, 0xC0, 0x3F, 0x00, 0x00, 0x00, 0xC0, /* f32: 1.5, -2 */
                                           0x00, 0x3C, 0x00, 0xB8,                         /* f16: 1, -0.5 */
                                           0x18, 0x2D, 0x44, 0x54, 0xFB, 0x21, 0x09, 0x40, /* f64: pi */
                                           0x80, 0x3F,                                     /* bf16: 1 */
                                           0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, /* i64: -1, */
                                           0xFF, 0xFF, 0xFF, 0x7F, 0x00, 0x00, 0x00, 0x00, /*   2147483647 */
                                           0x00, 0x00, 0x00, 0x80, /* i32: -2147483648 */
                                           0x00, 0x07, 0xFF,       /* u8: 0, 7, 255 */
                                           0x00, 0x02,             /* bool: false, true */
                                           0x80,                   /* i8: -128 */
                                           0xFF, 0xFF,             /* u16: 65535 */
                                           0x00, 0x00};

static void expect_values(et_safetensors *f, const char *name, et_dtype dtype, int ndim, const double *values)
{
    et_tensor *x = et_safetensors_load(f, name);
    int64_t k, one = 1, n;
    et_tensor *flat;

    ck_assert_msg(x != NULL, "%s", et_error_message());
    ck_assert_int_eq(x->dtype, dtype);
    ck_assert_int_eq(x->ndim, ndim);
    n = x->numel;
    flat = et_raw_view(x, 1, &n, &one, 0);
    for (k = 0; k < n; k++)
        ck_assert_msg(et_get(flat, &k) == values[k], "%s: %.17g", name, et_get(flat, &k));
    et_free(flat);
    et_free(x);
}

START_TEST(every_dtype)
{
    const et_safetensors_entry *e;
    const char *key, *value;
    unsigned char *data;
    et_safetensors *f;
    size_t size;

    data = file_of(all_header, all_data, sizeof all_data, &size);
    put_file(in_dir("all.safetensors"), data, size);
    f = _i ? et_safetensors_open(in_dir("all.safetensors"))
           : et_safetensors_open_memory(data, size, "memory");
    ck_assert_msg(f != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_safetensors_count(f), 12);
    expect_values(f, "f32", ET_F32, 1, (const double[]){1.5, -2});
    expect_values(f, "f16", ET_F32, 2, (const double[]){1, -0.5});
    expect_values(f, "f64", ET_F64, 0, (const double[]){3.141592653589793});
    expect_values(f, "bf16", ET_BF16, 1, (const double[]){1});
    expect_values(f, "i64", ET_I32, 1, (const double[]){-1, 2147483647});
    expect_values(f, "i32", ET_I32, 1, (const double[]){-2147483648.0});
    expect_values(f, "a.\"b\\\n\xe2\x82\xac", ET_U8, 1, (const double[]){0, 7, 255});
    expect_values(f, "bool", ET_U8, 1, (const double[]){0, 1});
    expect_values(f, "i8", ET_I32, 1, (const double[]){-128});
    expect_values(f, "u16", ET_I32, 1, (const double[]){65535});
    expect_values(f, "none", ET_F32, 2, NULL);
    e = et_safetensors_at(f, 2);
    ck_assert_str_eq(e->name, "f16");
    ck_assert_str_eq(e->stored, "F16");
    ck_assert(e->readable && e->dtype == ET_F32 && e->ndim == 2 && e->shape[0] == 2 && e->shape[1] == 1);
    ck_assert(e->end - e->begin == 4 && e->begin == 8 + strlen(all_header) + 8);
    ck_assert_ptr_eq(et_safetensors_find(f, "f16"), e);
    ck_assert_ptr_null(et_safetensors_at(f, -1));
    ck_assert_ptr_null(et_safetensors_at(f, 12));
    ck_assert_ptr_null(et_safetensors_find(f, "f17"));
    ck_assert_ptr_null(et_safetensors_find(f, "__metadata__"));
    ck_assert_int_eq(et_error_status(), ET_OK);
    ck_assert(!et_safetensors_find(f, "f8")->readable);
    fails_null(et_safetensors_load(f, "f8"), ET_EDTYPE, "\"f8\" has dtype F8_E4M3");
    fails_null(et_safetensors_load(f, "f17"), ET_EINVAL, "no tensor is named \"f17\"");
    fails_null(et_safetensors_load(f, "__metadata__"), ET_EINVAL, "no tensor");
    fails_null(et_safetensors_load(f, NULL), ET_EINVAL, "name is NULL");
    fails_null(et_safetensors_load(NULL, "f32"), ET_EINVAL, "file is NULL");
    ck_assert_str_eq(et_safetensors_meta(f, "format"), "pt");
    ck_assert_ptr_null(et_safetensors_meta(f, "other"));
    ck_assert(et_safetensors_meta_at(f, 1, &key, &value) && !strcmp(key, "by") &&
              !strcmp(value, "hand \xc3\xa9"));
    ck_assert(!et_safetensors_meta_at(f, 2, &key, &value) && !et_safetensors_meta_at(f, -1, &key, &value));
    et_safetensors_close(f);
    et_safetensors_close(NULL);
    free(data);
}
END_TEST

#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *header;
    size_t n;
    et_status status; /* ET_OK: can be opened */
    const char *words;
} headers[] = {
    {"{}", 0, ET_OK, ""},
    {"{\"__metadata__\":{}}", 0, ET_OK, ""},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 8, ET_OK, ""},
    {"{" T("a", "F32", "[0,9223372036854775807]", "[0,0]") "}", 0, ET_OK, ""},
    {"{" T("a", "F32", "[9223372036854775807,0]", "[0,0]") "}", 0, ET_OK, ""},
    {"{" T("a", "F32", "[0]", "[8,8]") "," T("b", "F32", "[2]", "[0,8]") "," T("c", "F32", "[0]",
                                                                               "[0,0]") "}",
     8, ET_OK, ""},
    {"{" T("a", "F4", "[4]", "[0,2]") "}", 2, ET_OK, ""},
    {"", 0, ET_EFORMAT, "line 1"},
    {"[]", 0, ET_EFORMAT, "not a JSON object"},
    {"{\"a\":1}", 0, ET_EFORMAT, "\"a\": it is described"},
    {"{\"a\":{}}", 0, ET_EFORMAT, "\"a\": \"dtype\""},
    {"{" T("a", "F33", "[2]", "[0,8]") "}", 8, ET_EFORMAT, "unknown dtype"},
    {"{" T("a", "F32\\u0000", "[2]", "[0,8]") "}", 8, ET_EFORMAT, "unknown dtype"},
    {"{\"a\":{\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, ET_EFORMAT, "not a string"},
    {"{" T("a", "F32", "2", "[0,8]") "}", 8, ET_EFORMAT, "\"shape\" is not an array"},
    {"{" T("a", "F32", "[2.0]", "[0,8]") "}", 8, ET_EFORMAT, "non-negative integer"},
    {"{" T("a", "F32", "[-2]", "[0,8]") "}", 8, ET_EFORMAT, "non-negative integer"},
    {"{" T("a", "F32", "[\"2\"]", "[0,8]") "}", 8, ET_EFORMAT, "non-negative integer"},
    {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", 8, ET_ESHAPE, "9 dimensions"},
    {"{" T("a", "F32", "[2]", "[0,7]") "}", 7, ET_EFORMAT, "do not fit shape"},
    {"{" T("a", "F32", "[2]", "[0,12]") "}", 12, ET_EFORMAT, "do not fit shape"},
    {"{" T("a", "F4", "[3]", "[0,2]") "}", 2, ET_EFORMAT, "do not fit shape"},
    {"{" T("a", "F32", "[4611686018427387904,4]", "[0,8]") "}", 8, ET_EFORMAT, "do not fit shape"},
    {"{" T("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, ET_EFORMAT, "do not fit shape"},
    {"{" T("a", "F32", "[2]", "[8,0]") "}", 8, ET_EFORMAT, "outside"},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 7, ET_EFORMAT, "outside"},
    {"{" T("a", "F32", "[2]", "[9223372036854775800,9223372036854775807]") "}", 8, ET_EFORMAT, "outside"},
    {"{" T("a", "F32", "[2]", "[-8,0]") "}", 8, ET_EFORMAT, "two non-negative"},
    {"{" T("a", "F32", "[2]", "[0,8,16]") "}", 8, ET_EFORMAT, "two non-negative"},
    {"{" T("a", "F32", "[2]", "[8]") "}", 8, ET_EFORMAT, "two non-negative"},
    {"{" T("a", "F32", "[2]", "[0,99999999999999999999]") "}", 8, ET_EFORMAT, "two non-negative"},
    {"{" T("a", "F32", "[2]", "8") "}", 8, ET_EFORMAT, "two non-negative"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[4,12]") "}", 12, ET_EFORMAT,
     "\"b\": its data overlaps"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[0,8]") "}", 8, ET_EFORMAT, "overlaps"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[12,20]") "}", 20, ET_EFORMAT, "gap before"},
    {"{" T("a", "F32", "[2]", "[4,12]") "}", 12, ET_EFORMAT, "gap before"},
    {"{" T("a", "F32", "[2]", "[0,8]") "}", 9, ET_EFORMAT, ": 1 bytes follow"},
    {"{" T("a", "F32", "[2]", "[0,8]") "," T("a", "F32", "[2]", "[8,16]") "}", 16, ET_EFORMAT,
     "\"a\" stands twice"},
    {"{" T("a", "F32", "[2]", "[0,8],\"x\":1") "}", 8, ET_EFORMAT, "exactly"},
    {"{" T("a\\u0000b", "F32", "[2]", "[0,8]") "}", 8, ET_EFORMAT, "NUL"},
    {"{\"__metadata__\":[]}", 0, ET_EFORMAT, "not an object"},
    {"{\"__metadata__\":{\"a\":1}}", 0, ET_EFORMAT, "\"a\" is not a string"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}", 8, ET_EFORMAT,
     "twice"},
    {"{} x", 0, ET_EFORMAT, "follows the value"}};
enum { N_HEADERS = sizeof headers / sizeof headers[0] };

START_TEST(header_texts)
{
    static const unsigned char zeros[64];
    unsigned char *data;
    et_safetensors *f;
    size_t size;

    data = file_of(headers[_i].header, zeros, headers[_i].n, &size);
    f = et_safetensors_open_memory(data, size, "t.st");
    outcome(f, headers[_i].status, headers[_i].words, "t.st: ");
    et_safetensors_close(f);
    free(data);
}
END_TEST

START_TEST(header_lengths)
{
    static const uint64_t lengths[] = {3, 100, 100000001, UINT64_C(1) << 32, UINT64_MAX, UINT64_MAX - 7};
    unsigned char data[10] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    size_t i;

    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        et_store_u64le(data, lengths[i]);
        fails_null(et_safetensors_open_memory(data, sizeof data, "t"), ET_EFORMAT, "t: a header of");
    }
    fails_null(et_safetensors_open_memory(data, 7, "t"), ET_EFORMAT, "too few");
    fails_null(et_safetensors_open_memory("", 0, "t"), ET_EFORMAT, "too few");
    fails_null(et_safetensors_open_memory(NULL, 1, "t"), ET_EINVAL, "NULL");
    fails_null(et_safetensors_open(in_dir("none")), ET_EIO, "/none: cannot open");
    fails_null(et_safetensors_open(test_dir), ET_EIO, "directory");
    fails_null(et_safetensors_open(NULL), ET_EINVAL, "NULL");
}
END_TEST

static void load_all(et_safetensors *f)
{
    int64_t i;

    for (i = 0; i < et_safetensors_count(f); i++) {
        et_tensor *x = et_safetensors_load(f, et_safetensors_at(f, i)->name);

        ck_assert_int_eq(x != NULL, et_error_status() == ET_OK);
        et_error_clear();
        et_free(x);
    }
}

START_TEST(truncated)
{
    unsigned char *data, *cut;
    size_t size, n;

    data = file_of(all_header, all_data, sizeof all_data, &size);
    for (n = 0; n < size; n++) {
        cut = malloc(n + !n);
        memcpy(cut, data, n);
        fails_null(et_safetensors_open_memory(cut, n, "cut"), ET_EFORMAT, "cut: ");
        free(cut);
    }
    free(data);
}
END_TEST

START_TEST(bits_flipped)
{
    unsigned char *data, *copy;
    uint32_t state = (uint32_t)_i + 1;
    et_safetensors *f;
    int i, k, opened = 0;
    size_t size;

    data = file_of(all_header, all_data, sizeof all_data, &size);
    copy = malloc(size);
    for (i = 0; i < 1000; i++) {
        memcpy(copy, data, size);
        for (k = 0; k <= i % 3; k++) {
            state = state * 1664525u + 1013904223u;
            copy[(state >> 8) % size] ^= (unsigned char)(1u << (state >> 5 & 7));
        }
        f = et_safetensors_open_memory(copy, size, "flipped");
        ck_assert_int_eq(f != NULL, et_error_status() == ET_OK);
        et_error_clear();
        opened += f != NULL;
        load_all(f);
        et_safetensors_close(f);
    }
    ck_assert_int_gt(opened, 10);
    free(copy);
    free(data);
}
END_TEST

START_TEST(integers_beyond_int32)
{
    const unsigned char big[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0};
    unsigned char *data;
    et_safetensors *f;
    size_t size;

    data = file_of("{" T("ids", "I64", "[2]", "[0,16]") "}", big, 16, &size);
    f = et_safetensors_open_memory(data, size, "t.st");
    ck_assert_ptr_nonnull(f);
    fails_null(et_safetensors_load(f, "ids"), ET_EINVAL,
               "t.st: tensor \"ids\": element 1 does not fit int32");
    et_safetensors_close(f);
    free(data);
}
END_TEST

/* --- into existing tensors ------------------------------------------------------------- */

START_TEST(load_into)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(2)), *d = et_zeros(ET_F64, ET_SHAPE(2)),
              *b = et_zeros(ET_BF16, ET_SHAPE(2));
    et_tensor *wide = et_zeros(ET_F32, ET_SHAPE(2, 3)), *i = et_zeros(ET_I32, ET_SHAPE(2)),
              *s = et_zeros(ET_F32, ET_SHAPE(3)), *square = et_zeros(ET_F32, ET_SHAPE(2, 2));
    int64_t two = 2, three = 3, k = 1, at[2] = {1, 1};
    et_tensor *column = et_raw_view(wide, 1, &two, &three, 1);
    unsigned char *data;
    et_safetensors *f;
    uint32_t version;
    size_t size;

    data = file_of(all_header, all_data, sizeof all_data, &size);
    f = et_safetensors_open_memory(data, size, "t.st");
    ck_assert_ptr_nonnull(f);
    version = et_version(x);
    ck_assert_int_eq(et_safetensors_load_into(f, "f32", x), ET_OK);
    ck_assert(et_get(x, &k) == -2 && et_version(x) != version);
    ck_assert_int_eq(et_safetensors_load_into(f, "f32", d), ET_OK);
    ck_assert(et_get(d, &k) == -2);
    ck_assert_int_eq(et_safetensors_load_into(f, "f32", b), ET_OK);
    ck_assert(et_get(b, &k) == -2);
    ck_assert_int_eq(et_safetensors_load_into(f, "f32", column), ET_OK);
    ck_assert(et_get(wide, at) == -2);
    at[1] = 0;
    ck_assert(et_get(wide, at) == 0);
    ck_assert_int_eq(et_safetensors_load_into(f, "i64", i), ET_OK);
    ck_assert(et_get(i, &k) == 2147483647);
    fails(et_safetensors_load_into(f, "f32", s), ET_ESHAPE, "\"f32\" is [2], [3] is expected");
    fails(et_safetensors_load_into(f, "f16", x), ET_ESHAPE, "is [2, 1]");
    fails(et_safetensors_load_into(f, "f16", square), ET_ESHAPE, "is [2, 1], [2, 2] is expected");
    fails(et_safetensors_load_into(f, "f32", i), ET_EDTYPE, "is F32, int32 is expected");
    fails(et_safetensors_load_into(f, "i64", x), ET_EDTYPE, "is I64, float32 is expected");
    fails(et_safetensors_load_into(f, "f32", NULL), ET_EINVAL, "NULL");
    fails(et_safetensors_load_into(f, "other", x), ET_EINVAL, "\"other\"");
    fails(et_safetensors_load_into(f, "f8", x), ET_EDTYPE, "F8_E4M3");
    et_safetensors_close(f);
    free(data);
    et_free(column);
    et_free(wide);
    et_free(x);
    et_free(d);
    et_free(b);
    et_free(i);
    et_free(s);
    et_free(square);
}
END_TEST

/* --- writing ----------------------------------------------------------------------------- */

START_TEST(written_bytes)
{
    const float v[3] = {1, 2, 3};
    et_tensor *x = et_from(ET_F32, ET_SHAPE(3), v), *y = et_scalar(ET_U8, 7);
    et_named_tensor list[2] = {{"w\"", x}, {"b", y}};
    et_metadata meta[2] = {{"k", "v\n"}, {"a", ""}};
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\\n\",\"a\":\"\"},"
                                 "\"w\\\"\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                                 "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[12,13]}}";
    size_t size, length = (sizeof header - 1 + 7) / 8 * 8, i;
    unsigned char *f;

    ck_assert_int_eq(et_safetensors_write(in_dir("a"), list, 2, meta, 2), ET_OK);
    f = get_file(in_dir("a"), &size);
    ck_assert_uint_eq(et_load_u64le(f), length);
    ck_assert_uint_eq(size, 8 + length + 13);
    ck_assert_mem_eq(f + 8, header, sizeof header - 1);
    for (i = sizeof header - 1; i < length; i++)
        ck_assert_int_eq(f[8 + i], ' ');
    ck_assert_mem_eq(f + 8 + length, "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\7", 13);
    free(f);
    et_free(x);
    et_free(y);
}
END_TEST

/* Elements begin at a multiple of 8, however long the names are, and no further on than need be. */
START_TEST(aligned)
{
    et_tensor *x = et_scalar(ET_F64, 1);
    char name[10] = "";

    for (size_t n = 1; n < sizeof name; n++) {
        name[n - 1] = 'n';
        ck_assert_int_eq(et_safetensors_write(in_dir("a"), &(et_named_tensor){name, x}, 1, NULL, 0), ET_OK);
        size_t size, plain = strlen("{\"\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}") + n;
        unsigned char *f = get_file(in_dir("a"), &size);
        ck_assert_uint_eq(et_load_u64le(f), (plain + 7) / 8 * 8);
        ck_assert_uint_eq(size, 8 + (plain + 7) / 8 * 8 + 8);
        free(f);
    }
    et_free(x);
}
END_TEST

/* All dtypes and shapes, in one file, any strides; order, names and metadata are kept. */
START_TEST(round_trip)
{
    static const et_dtype dtypes[] = {ET_F32, ET_F64, ET_I32, ET_U8, ET_BF16};
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 0, 2}, {5, 1, 7}, {2, 3, 4}};
    et_named_tensor list[60];
    static char names[60][40];
    et_metadata meta[1] = {{"\xf0\x9f\x8e\xb9", "\x01\x7f \xc3\xa9"}};
    int n = 0, d, s, layout;
    et_safetensors *f;
    int64_t i, k;

    for (d = 0; d < 5; d++)
        for (s = 0; s < 4; s++)
            for (layout = 0; layout < 3; layout++) {
                int64_t strides[3] = {1, shapes[s][0], shapes[s][0] * shapes[s][1]}, size, one = 1;
                et_tensor *base = et_empty(dtypes[d], 3, shapes[s]), *flat, *x = base;

                size = base->numel;
                flat = et_raw_view(base, 1, &size, &one, 0);
                for (k = 0; k < size; k++)
                    et_set(flat, &k, (double)(k % 100) + (dtypes[d] == ET_F64 ? 1.0 / 3 : 0));
                et_free(flat);
                if (layout == 1) {
                    x = et_raw_view(base, 3, shapes[s], strides, 0);
                    et_free(base);
                } else if (layout == 2) {
                    x = et_raw_view(base, 0, NULL, NULL, 0); /* 0-d, or an empty one's start */
                    if (size == 0) {
                        et_error_clear();
                        et_free(x);
                        x = base;
                    } else {
                        et_free(base);
                    }
                }
                ck_assert_msg(x != NULL, "%s", et_error_message());
                snprintf(names[n], sizeof names[n], "t/%d.%d \xe2\x82\xac\"%d", 97 * n % 60, d, layout);
                list[n].name = names[n];
                list[n++].tensor = x;
            }
    ck_assert_int_eq(et_safetensors_write(in_dir("a"), list, n, meta, 1), ET_OK);
    f = et_safetensors_open(in_dir("a"));
    ck_assert_msg(f != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_safetensors_count(f), n);
    ck_assert_str_eq(et_safetensors_meta(f, meta[0].key), meta[0].value);
    for (i = 0; i < n; i++) {
        et_tensor *x = et_safetensors_load(f, list[i].name), *want = et_clone(list[i].tensor);

        ck_assert_msg(x != NULL, "%s", et_error_message());
        ck_assert(et_equal(x, want));
        ck_assert_str_eq(et_safetensors_at(f, i)->name, list[i].name);
        et_free(x);
        et_free(want);
        et_free((et_tensor *)list[i].tensor);
    }
    et_safetensors_close(f);
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(et_safetensors_write(in_dir("a"), NULL, 0, NULL, 0), ET_OK);
    f = et_safetensors_open(in_dir("a"));
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(et_safetensors_count(f), 0);
    et_safetensors_close(f);
}
END_TEST

START_TEST(written_wrong)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(2));
    et_named_tensor twice[3] = {{"a", x}, {"b", x}, {"a", x}}, one[1] = {{"a", x}};
    et_metadata same[2] = {{"k", "1"}, {"k", "2"}};
    const char *path = in_dir("a");

    put_file(path, "old", 3);
    fails(et_safetensors_write(path, twice, 3, NULL, 0), ET_EINVAL, "\"a\" stands twice");
    fails(et_safetensors_write(path, one, 1, same, 2), ET_EINVAL, "\"k\" stands twice");
    fails(et_safetensors_write(path, NULL, 1, NULL, 0), ET_EINVAL, "no list");
    fails(et_safetensors_write(path, one, -1, NULL, 0), ET_EINVAL, "no list");
    fails(et_safetensors_write(path, one, 1, NULL, 1), ET_EINVAL, "no list");
    one[0].name = NULL;
    fails(et_safetensors_write(path, one, 1, NULL, 0), ET_EINVAL, "name number 0 is NULL");
    one[0].name = "__metadata__";
    fails(et_safetensors_write(path, one, 1, NULL, 0), ET_EINVAL, "reserved");
    one[0].name = "\xff";
    fails(et_safetensors_write(path, one, 1, NULL, 0), ET_EINVAL, "not UTF-8");
    one[0].name = "a";
    one[0].tensor = NULL;
    fails(et_safetensors_write(path, one, 1, NULL, 0), ET_EINVAL, "tensor number 0 is NULL");
    one[0].tensor = x;
    same[0].value = NULL;
    fails(et_safetensors_write(path, one, 1, same, 1), ET_EINVAL, "metadata number 0 is NULL");
    same[0].value = "\xc3";
    fails(et_safetensors_write(path, one, 1, same, 1), ET_EINVAL, "not UTF-8");
    fails(et_safetensors_write(NULL, one, 1, NULL, 0), ET_EINVAL, "NULL");
    fails(et_safetensors_write(in_dir("none/a"), one, 1, NULL, 0), ET_EIO, "none/a");
    et_raise(ET_ESHAPE, "before");
    ck_assert_int_eq(et_safetensors_write(path, one, 1, NULL, 0),
                     ET_ESHAPE); /* refused while an error is pending */
    et_error_clear();
    ck_assert_int_eq(count_files(), 1);
    et_free(x);
}
END_TEST

START_TEST(disk_full)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(100000));
    et_named_tensor list[2] = {{"a", x}, {"b", x}};
    struct rlimit limit, small;
    unsigned char *old;
    size_t size;

    put_file(in_dir("a"), "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 500000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails(et_safetensors_write(in_dir("a"), list, 2, NULL, 0), ET_EFULL, "/a: cannot write");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    old = get_file(in_dir("a"), &size);
    ck_assert(size == 3 && !memcmp(old, "old", 3));
    free(old);
    ck_assert_int_eq(count_files(), 1);
    et_free(x);
}
END_TEST

/* --- memory -------------------------------------------------------------------------------- */

static bool read_all(void *user)
{
    et_safetensors *f = et_safetensors_open(in_dir("all"));
    et_tensor *into = et_zeros(ET_F64, ET_SHAPE(2)), *x = f ? et_safetensors_load(f, "f16") : NULL;
    bool ok = f && into && x && et_safetensors_load_into(f, "f32", into) == ET_OK;

    (void)user;
    et_free(x);
    et_free(into);
    et_safetensors_close(f);
    return ok;
}

static bool read_in_scope(void *user)
{
    et_scope *scope = et_scope_open();
    bool ok = scope && read_all(user);

    return (!scope || et_scope_close(scope) == ET_OK) && ok;
}

static bool write_all(void *user)
{
    return et_safetensors_write(in_dir("new"), user, 2, (const et_metadata[]){{"a", "b"}, {"c", "d"}}, 2) ==
           ET_OK;
}

START_TEST(without_memory)
{
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(10));
    et_named_tensor list[2] = {{"a", x}, {"b", x}};
    unsigned char *data;
    size_t size;

    data = file_of(all_header, all_data, sizeof all_data, &size);
    put_file(in_dir("all"), data, size);
    free(data);
    ck_assert_int_gt(alloc_sweep("safetensors read", read_all, NULL), 6);
    ck_assert_int_gt(alloc_sweep("safetensors read in a scope", read_in_scope, NULL), 6);
    ck_assert_int_gt(alloc_sweep("safetensors write", write_all, list), 5);
    ck_assert_int_eq(count_files(), 2);
    et_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("safetensors");
    TCase *tc = tcase_create("safetensors");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, every_dtype, 0, 2);
    tcase_add_loop_test(tc, header_texts, 0, N_HEADERS);
    tcase_add_test(tc, header_lengths);
    tcase_add_test(tc, truncated);
    tcase_add_loop_test(tc, bits_flipped, 0, 4);
    tcase_add_test(tc, integers_beyond_int32);
    tcase_add_test(tc, load_into);
    tcase_add_test(tc, written_bytes);
    tcase_add_test(tc, aligned);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, written_wrong);
    tcase_add_test(tc, disk_full);
    tcase_add_test(tc, without_memory);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
