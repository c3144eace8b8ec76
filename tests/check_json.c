/* JSON: values, everything that is not JSON, and the writer. */
#include "config.h"

#include <float.h>
#include <math.h>

#include "tensor/alloc.h"
#include "tensor/json.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static et_json *parse(const char *text) { return et_json_parse(text, strlen(text), "t"); }

START_TEST(json_values)
{
    et_json *j = parse(
        " {\"a\" : [1, -2.5e3, true, false, null, \"x\" ],\n\t\"b\":{ }, \"\":[\n], \"i\":9007199254740993,"
        "\"min\":-9223372036854775808, \"big\":9223372036854775808, \"z\":-0, \"e\":1E2\t} \r\n");
    const et_json_value *r, *v;

    ck_assert_msg(j != NULL, "%s", et_error_message());
    r = et_json_root(j);
    ck_assert(r->type == ET_JSON_OBJECT && r->count == 8 && !r->key);
    v = et_json_get(r, "a");
    ck_assert(v->type == ET_JSON_ARRAY && v->count == 6 && v->index == 0);
    ck_assert_str_eq(v->key, "a");
    v = v->first;
    ck_assert(v->type == ET_JSON_NUMBER && v->is_int && v->integer == 1 && v->number == 1 && v->index == 0);
    v = v->next;
    ck_assert(v->type == ET_JSON_NUMBER && !v->is_int && v->number == -2500);
    v = v->next;
    ck_assert(v->type == ET_JSON_BOOL && v->boolean);
    v = v->next;
    ck_assert(v->type == ET_JSON_BOOL && !v->boolean);
    v = v->next;
    ck_assert(v->type == ET_JSON_NULL);
    v = v->next;
    ck_assert(v->type == ET_JSON_STRING && v->length == 1 && !strcmp(v->string, "x") && !v->next &&
              v->index == 5);
    ck_assert(et_json_get(r, "b")->count == 0 && !et_json_get(r, "b")->first);
    ck_assert(et_json_get(r, "")->type == ET_JSON_ARRAY);
    ck_assert(et_json_get_int(r, "i", 0) == INT64_C(9007199254740993));
    ck_assert(et_json_get_int(r, "min", 0) == INT64_MIN);
    ck_assert(!et_json_get(r, "big")->is_int && et_json_get_number(r, "big", 0) == 9223372036854775808.0);
    ck_assert(et_json_get(r, "z")->is_int && signbit(et_json_get(r, "z")->number));
    ck_assert(et_json_get_number(r, "e", 0) == 100 && et_json_get_int(r, "e", -1) == -1);
    ck_assert_ptr_null(et_json_get(r, "c"));
    ck_assert_ptr_null(et_json_get(et_json_get(r, "a"), "c"));
    ck_assert_ptr_null(et_json_get(NULL, "c"));
    ck_assert(et_json_get_bool(r, "a", true) && !strcmp(et_json_get_string(r, "a", "other"), "other"));
    et_json_free(j);
    et_json_free(NULL);
}
END_TEST

START_TEST(json_strings)
{
    et_json *j = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83c\\uDFB9 "
                       "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xb9\\u0000!\"");
    const et_json_value *v = et_json_root(j);
    const char want[] =
        "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xb9 \xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xb9\0!";

    ck_assert_msg(j != NULL, "%s", et_error_message());
    ck_assert_uint_eq(v->length, sizeof want - 1);
    ck_assert_mem_eq(v->string, want, sizeof want);
    et_json_free(j);
}
END_TEST

/* The first and the last character of each length, and those beside the surrogates. */
START_TEST(json_edges_of_utf8)
{
    static const char text[] = "\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
                               "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"";
    et_json *j = parse(text);

    ck_assert_msg(j != NULL, "%s", et_error_message());
    ck_assert_uint_eq(et_json_root(j)->length, sizeof text - 3);
    ck_assert_mem_eq(et_json_root(j)->string, text + 1, sizeof text - 3);
    et_json_free(j);
}
END_TEST

static const char *const malformed[][2] = {{"", "ends where a value"},
                                           {" ", "ends where a value"},
                                           {"{", "a key in quotes"},
                                           {"[", "ends where a value"},
                                           {"[1", "',' is expected"},
                                           {"[1,", "ends where a value"},
                                           {"[1,]", "a value is expected"},
                                           {"{\"a\"", "':' is expected"},
                                           {"{\"a\":", "ends where a value"},
                                           {"{\"a\":1", "',' is expected"},
                                           {"{\"a\":1,", "a key in quotes"},
                                           {"{\"a\":1,}", "a key in quotes"},
                                           {"{a:1}", "a key in quotes"},
                                           {"{1:1}", "a key in quotes"},
                                           {"[1 2]", "',' is expected"},
                                           {"1 2", "something follows"},
                                           {"[]]", "something follows"},
                                           {"{\"a\":1 \"b\":2}", "',' is expected"},
                                           {"nul", "a value is expected"},
                                           {"True", "a value is expected"},
                                           {"NaN", "a value is expected"},
                                           {"+1", "a value is expected"},
                                           {"01", "something follows"},
                                           {"1.", "malformed number"},
                                           {".5", "a value is expected"},
                                           {"-", "malformed number"},
                                           {"1e", "malformed number"},
                                           {"1e+", "malformed number"},
                                           {"1e999", "too large"},
                                           {"-a", "malformed number"},
                                           {"'a'", "a value is expected"},
                                           {"\"a", "does not end"},
                                           {"\"\\\"", "does not end"},
                                           {"\"\\x\"", "unknown escape"},
                                           {"\"\\u12g4\"", "hexadecimal"},
                                           {"\"\\u12\"", "hexadecimal"},
                                           {"\"\\ud800\"", "surrogate"},
                                           {"\"\\ud800\\u0041\"", "surrogate"},
                                           {"\"\\udc00\"", "surrogate"},
                                           {"\"\n\"", "control character"},
                                           {"\"\x80\"", "not UTF-8"},
                                           {"\"\xc0\x80\"", "not UTF-8"},
                                           {"\"\xe0\x9f\xbf\"", "not UTF-8"},
                                           {"\"\xed\xa0\x80\"", "not UTF-8"},
                                           {"\"\xf4\x90\x80\x80\"", "not UTF-8"},
                                           {"\"\xf5\x80\x80\x80\"", "not UTF-8"},
                                           {"\"\xe2\x82\"", "not UTF-8"},
                                           {"\"\xf0\x82\x82\xac\"", "not UTF-8"},
                                           {"\"\xff\"", "not UTF-8"},
                                           {"/* */1", "a value is expected"},
                                           {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\" stands twice"},
                                           {"{\"a\":1,\"\\u0061\":3}", "\"a\" stands twice"},
                                           {"[1}", "',' is expected"},
                                           {"{\"a\":1]", "',' is expected"},
                                           {"]", "a value is expected"}};
enum { N_MALFORMED = sizeof malformed / sizeof malformed[0] };

START_TEST(json_malformed) { fails_null(parse(malformed[_i][0]), ET_EFORMAT, malformed[_i][1]); }
END_TEST

START_TEST(json_place_of_error)
{
    fails_null(parse("{\n  \"a\": 1,\n  \"b\": x\n}"), ET_EFORMAT,
               "t: line 3, column 8: a value is expected");
    fails_null(parse("[\nx]"), ET_EFORMAT, "t: line 2, column 1: a value is expected");
    fails_null(et_json_parse(NULL, 0, "t"), ET_EINVAL, "NULL");
    fails_null(et_json_parse("1\0", 2, "t"), ET_EFORMAT, "something follows");
}
END_TEST

START_TEST(json_depth)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_json *j;

    et_strbuf_fill(&b, '[', ET_JSON_MAX_DEPTH);
    et_strbuf_fill(&b, ']', ET_JSON_MAX_DEPTH);
    j = et_json_parse(b.data, b.size, "t");
    ck_assert_ptr_nonnull(j);
    et_json_free(j);
    et_strbuf_reset(&b);
    et_strbuf_fill(&b, '[', 1000000);
    fails_null(et_json_parse(b.data, b.size, "t"), ET_EFORMAT, "levels");
    et_strbuf_free(&b);
}
END_TEST

/* Many members, found one by one; a duplicate among them. */
START_TEST(json_many_members)
{
    et_strbuf b = ET_STRBUF_INIT;
    char key[32];
    et_json *j;
    int i;

    for (i = 0; i < 20000; i++)
        et_strbuf_printf(&b, "%c\"k%d\": %d", i ? ',' : '{', i * 7919 % 20000, i);
    et_strbuf_putc(&b, '}');
    j = et_json_parse(b.data, b.size, "t");
    ck_assert_ptr_nonnull(j);
    for (i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 20000);
        ck_assert_int_eq(et_json_get_int(et_json_root(j), key, -1), i);
    }
    ck_assert_ptr_null(et_json_get(et_json_root(j), "k20000"));
    et_json_free(j);
    b.size--;
    et_strbuf_puts(&b, ",\"k777\":0}");
    fails_null(et_json_parse(b.data, b.size, "t"), ET_EFORMAT, "\"k777\" stands twice");
    et_strbuf_free(&b);
}
END_TEST

static const char sample[] =
    "{\"name\": \"\xc3\xa9tude\\n\", \"list\": [1, 2.5, [], {}], \"deep\": {\"x\": {\"y\": null}}}";

/* Cut anywhere: an error, and no byte behind the end is read. */
START_TEST(json_truncated)
{
    size_t n;

    for (n = 0; n < sizeof sample - 1; n++) {
        char *cut = malloc(n + !n);

        memcpy(cut, sample, n);
        fails_null(et_json_parse(cut, n, "t"), ET_EFORMAT, "t: line 1");
        free(cut);
    }
}
END_TEST

static bool parse_sample(void *user)
{
    et_json *j = parse(user);
    bool ok = j != NULL;

    et_json_free(j);
    return ok;
}

static bool write_sample(void *user)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_json_writer w;
    bool ok;
    int i;

    (void)user;
    et_json_begin(&w, &b, 2);
    et_json_open_array(&w);
    for (i = 0; i < 100; i++)
        et_json_string(&w, "some text");
    et_json_close(&w);
    ok = et_json_end(&w) == ET_OK;
    et_strbuf_free(&b);
    return ok;
}

START_TEST(json_without_memory)
{
    et_strbuf b = ET_STRBUF_INIT;
    int i;

    for (i = 0; i < 500; i++)
        et_strbuf_printf(&b, "%s%s", i ? "," : "[", sample);
    et_strbuf_putc(&b, ']');
    ck_assert_int_gt(alloc_sweep("json", parse_sample, b.data), 3);
    et_strbuf_free(&b);
    ck_assert_int_gt(alloc_sweep("json writer", write_sample, NULL), 3);
}
END_TEST

START_TEST(json_written)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_json_writer w;

    et_json_begin(&w, &b, 0);
    et_json_open_object(&w);
    et_json_key(&w, "a\"\\\n\t\x01\x7f");
    et_json_open_array(&w);
    et_json_number(&w, 0.1);
    et_json_number(&w, -3);
    et_json_number(&w, NAN);
    et_json_number(&w, INFINITY);
    et_json_int(&w, INT64_MIN);
    et_json_bool(&w, true);
    et_json_null(&w);
    et_json_string(&w, NULL);
    et_json_close(&w);
    et_json_key(&w, "\xc3\xa9");
    et_json_string(&w, "bad \xff byte");
    et_json_key(&w, "o");
    et_json_open_object(&w);
    et_json_close(&w);
    et_json_close(&w);
    ck_assert_int_eq(et_json_end(&w), ET_OK);
    ck_assert_str_eq(b.data,
                     "{\"a\\\"\\\\\\n\\t\\u0001\\u007f\": [0.1, -3, null, null, -9223372036854775808, true, "
                     "null, null], \"\xc3\xa9\": \"bad \\ufffd byte\", \"o\": {}}");
    et_strbuf_reset(&b);
    et_json_begin(&w, &b, 2);
    et_json_open_object(&w);
    et_json_key(&w, "a");
    et_json_open_array(&w);
    et_json_int(&w, 1);
    et_json_int(&w, 2);
    et_json_close(&w);
    et_json_key(&w, "b");
    et_json_open_array(&w);
    et_json_close(&w);
    et_json_close(&w);
    ck_assert_int_eq(et_json_end(&w), ET_OK);
    ck_assert_str_eq(b.data, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
    et_strbuf_reset(&b);
    ck_assert(et_json_escape(&b, "e\xc3\xa9", 2)); /* the last character is cut */
    ck_assert_str_eq(b.data, "\"e\\ufffd\"");
    et_strbuf_free(&b);
}
END_TEST

/* Written and read again, doubles are the same to the last bit. */
START_TEST(json_doubles_round_trip)
{
    static const double v[] = {0.1,  1.0 / 3, 5e-324, DBL_MAX, -DBL_MIN, 1e22, 1e23, 123456789012345680.0,
                               -0.0, 2.5};
    et_strbuf b = ET_STRBUF_INIT;
    const et_json_value *e;
    et_json_writer w;
    et_json *j;
    size_t i;

    et_json_begin(&w, &b, 0);
    et_json_open_array(&w);
    for (i = 0; i < sizeof v / sizeof v[0]; i++)
        et_json_number(&w, v[i]);
    et_json_close(&w);
    ck_assert_int_eq(et_json_end(&w), ET_OK);
    j = et_json_parse(b.data, b.size, "t");
    ck_assert_ptr_nonnull(j);
    for (i = 0, e = et_json_root(j)->first; e; e = e->next, i++)
        ck_assert_mem_eq(&e->number, &v[i], sizeof v[i]);
    ck_assert_uint_eq(i, sizeof v / sizeof v[0]);
    et_json_free(j);
    et_strbuf_free(&b);
}
END_TEST

static et_status misuse(int kind, et_strbuf *b)
{
    et_json_writer w;
    int i;

    et_json_begin(&w, b, 0);
    switch (kind) {
    case 0: break;
    case 1: et_json_open_object(&w); break;
    case 2:
        et_json_open_object(&w);
        et_json_int(&w, 1);
        break;
    case 3:
        et_json_open_array(&w);
        et_json_key(&w, "a");
        break;
    case 4: et_json_close(&w); break;
    case 5:
        et_json_int(&w, 1);
        et_json_int(&w, 2);
        break;
    case 6:
        et_json_open_object(&w);
        et_json_key(&w, "a");
        et_json_key(&w, "b");
        break;
    case 7:
        et_json_open_object(&w);
        et_json_key(&w, "a");
        et_json_close(&w);
        break;
    case 8:
        et_json_open_object(&w);
        et_json_key(&w, NULL);
        break;
    default:
        for (i = 0; i <= ET_JSON_MAX_DEPTH; i++)
            et_json_open_array(&w);
    }
    return et_json_end(&w);
}

START_TEST(json_writer_misused)
{
    static const char *const words[] = {
        "no value",        "left open",      "without a key", "outside of an object",
        "nothing is open", "second value",   "two keys",      "without a value",
        "NULL key",        "too many levels"};
    et_strbuf b = ET_STRBUF_INIT;

    fails(misuse(_i, &b), ET_EINVAL, words[_i]);
    et_strbuf_free(&b);
}
END_TEST

START_TEST(json_files)
{
    et_json *j;

    put_file(in_dir("a.json"), "[1]", 3);
    j = et_json_read(in_dir("a.json"), 100);
    ck_assert_ptr_nonnull(j);
    et_json_free(j);
    fails_null(et_json_read(in_dir("a.json"), 2), ET_EFORMAT, "limit");
    fails_null(et_json_read(in_dir("b.json"), 100), ET_EIO, "b.json");
    put_file(in_dir("a.json"), "[1", 2);
    fails_null(et_json_read(in_dir("a.json"), 100), ET_EFORMAT, "a.json: line 1, column 3");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json");
    TCase *tc = tcase_create("json");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, json_values);
    tcase_add_test(tc, json_strings);
    tcase_add_test(tc, json_edges_of_utf8);
    tcase_add_loop_test(tc, json_malformed, 0, N_MALFORMED);
    tcase_add_test(tc, json_place_of_error);
    tcase_add_test(tc, json_depth);
    tcase_add_test(tc, json_many_members);
    tcase_add_test(tc, json_truncated);
    tcase_add_test(tc, json_without_memory);
    tcase_add_test(tc, json_written);
    tcase_add_test(tc, json_doubles_round_trip);
    tcase_add_loop_test(tc, json_writer_misused, 0, 10);
    suite_add_tcase(s, tc);
    tc = tcase_create("files");
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_test(tc, json_files);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
