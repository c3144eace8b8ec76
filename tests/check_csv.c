/* Numbers as text and comma-separated values: against strtod, by hand-made files good and
 * bad, cut at every byte, with every allocation failing. */
#include "config.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "tensor/alloc.h"
#include "tensor/number.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static uint64_t state;
static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* --- numbers ------------------------------------------------------------------- */

static void same_as_strtod(const char *text)
{
    double want = strtod(text, NULL), got = 42;
    ck_assert_msg(et_parse_double(text, strlen(text), &got), "'%s' refused", text);
    ck_assert_msg(memcmp(&got, &want, sizeof got) == 0, "'%.60s' gave %.17g, not %.17g", text, got, want);
}

START_TEST(numbers_known)
{
    static const char *const good[] = {"0",
                                       "-0",
                                       "1",
                                       "+1",
                                       "1.",
                                       ".5",
                                       "-.5e1",
                                       "1e0",
                                       "1E+2",
                                       "1e-2",
                                       "000123",
                                       "0.000",
                                       "0e999999999999",
                                       "123456789012345678901234567890",
                                       "1e308",
                                       "1.7976931348623157e308",
                                       "1.7976931348623158e308",
                                       "1.7976931348623159e308",
                                       "1e309",
                                       "-1e999",
                                       "1e99999999999999999999",
                                       "4.9e-324",
                                       "2.4703282292062327e-324",
                                       "2.4703282292062328e-324",
                                       "1e-400",
                                       "1e-99999999999999999999",
                                       "2.2250738585072011e-308",
                                       "2.2250738585072014e-308",
                                       "9007199254740993",
                                       "9007199254740992.5",
                                       "9007199254740993.0000000000000000001",
                                       "0.1",
                                       "0.2",
                                       "0.3",
                                       "1e22",
                                       "1e23",
                                       "8.41e21",
                                       "9.5367431640625e-07",
                                       "6.02214076e23",
                                       "5e-324",
                                       "1e15",
                                       "123456789012345e22",
                                       "123456789012345e-22",
                                       "-4.683093e-06"};
    static const char *const bad[] = {"",      "+",    "-",     ".",       "e1",  "1e",   "1e+",
                                      "1e+-1", "1..2", "1.2.3", " 1",      "1 ",  "0x10", "1,5",
                                      "1f",    "nanx", "in",    "infinit", "--1", "1_0",  "\xc2\xb2"};
    char digits[1100];
    double v = 42;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        same_as_strtod(good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!et_parse_double(bad[i], strlen(bad[i]), &v), "'%s' accepted", bad[i]);
        ck_assert(v == 42);
    }
    ck_assert(et_parse_double("NaN", 3, &v) && isnan(v));
    ck_assert(et_parse_double("-Infinity", 9, &v) && v < 0 && isinf(v));
    ck_assert(et_parse_double("inf", 3, &v) && v > 0 && isinf(v));
    ck_assert(et_parse_double("12345", 3, &v) && v == 123); /* only len bytes are read */

    /* Half-way between two doubles, the tie broken by a digit far behind. */
    snprintf(digits, sizeof digits, "9007199254740993.%01000d", 0);
    same_as_strtod(digits);
    digits[strlen(digits) - 1] = '1';
    same_as_strtod(digits);
}
END_TEST

START_TEST(numbers_random)
{
    char text[1600];

    state = 88172645463325252u + (uint64_t)_i;
    for (int i = 0; i < 4000; i++) {
        uint64_t bits = draw();
        double d;
        memcpy(&d, &bits, sizeof d);
        switch (i % 5) {
        case 0: snprintf(text, sizeof text, "%.17g", d); break;
        case 1: snprintf(text, sizeof text, "%.*g", 1 + (int)(draw() % 20), d); break;
        case 2:
            snprintf(text, sizeof text, "%u.%llue%d", (unsigned)(draw() % 1000), (unsigned long long)draw(),
                     (int)(draw() % 700) - 350);
            break;
        case 3: /* subnormal, all its digits */
            bits &= ((uint64_t)1 << 52) - 1;
            memcpy(&d, &bits, sizeof d);
            snprintf(text, sizeof text, "%.800g", d);
            break;
        default:
            snprintf(text, sizeof text, "%llu%llue-%d", (unsigned long long)draw(),
                     (unsigned long long)draw(), (int)(draw() % 360));
        }
        if (strstr(text, "nan") || strstr(text, "inf"))
            continue;
        same_as_strtod(text);
        if (isfinite(d)) {
            char buf[ET_NUMBER_TEXT];
            ck_assert_msg(strtod(et_format_double(buf, d), NULL) == d, "%s for %.17g", buf, d);
        }
    }
}
END_TEST

START_TEST(numbers_format)
{
    char buf[ET_NUMBER_TEXT];
    ck_assert_str_eq(et_format_double(buf, 0.1), "0.1");
    ck_assert_str_eq(et_format_double(buf, -2), "-2");
    ck_assert_str_eq(et_format_double(buf, 1e300), "1e+300");
    ck_assert_str_eq(et_format_double(buf, 1 / 3.0), "0.3333333333333333");
    ck_assert_str_eq(et_format_double(buf, NAN), "nan");
    ck_assert_str_eq(et_format_double(buf, -HUGE_VAL), "-inf");
    ck_assert_str_eq(et_format_double(buf, -DBL_MIN), "-2.2250738585072014e-308");
}
END_TEST

START_TEST(integers)
{
    int64_t v = 42;
    ck_assert(et_parse_i64("-9223372036854775808", 20, &v) && v == INT64_MIN);
    ck_assert(et_parse_i64("9223372036854775807", 19, &v) && v == INT64_MAX);
    ck_assert(et_parse_i64("+007", 4, &v) && v == 7);
    ck_assert(et_parse_i64("-0", 2, &v) && v == 0);
    v = 42;
    ck_assert(!et_parse_i64("9223372036854775808", 19, &v) && !et_parse_i64("-9223372036854775809", 20, &v));
    ck_assert(!et_parse_i64("", 0, &v) && !et_parse_i64("-", 1, &v) && !et_parse_i64("1.0", 3, &v));
    ck_assert(!et_parse_i64("99999999999999999999999", 23, &v) && v == 42);
}
END_TEST

START_TEST(unsigned_integers)
{
    static const char *const bad[] = {"", "-1", "+1", "1 ", "18446744073709551616", "99999999999999999999"};
    uint64_t v = 42;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert(!et_parse_u64(bad[i], strlen(bad[i]), &v) && v == 42);
    ck_assert(!et_parse_u64(NULL, 1, &v) && v == 42);
    ck_assert(et_parse_u64("0", 1, &v) && v == 0);
    ck_assert(et_parse_u64("1234567890123456789", 19, &v) && v == 1234567890123456789u);
    ck_assert(et_parse_u64("18446744073709551615", 20, &v) && v == UINT64_MAX);
    ck_assert(et_parse_u64("123", 2, &v) && v == 12);
}
END_TEST

/* --- tables ---------------------------------------------------------------------- */

static et_csv *table(const char *text) { return et_csv_parse(text, strlen(text), "t.csv", NULL); }

static void field(const et_csv *t, int64_t row, int column, const char *want)
{
    const char *got = et_csv_text(t, row, column);
    ck_assert_ptr_nonnull(got);
    ck_assert_str_eq(got, want);
}

START_TEST(forms)
{
    et_csv *t = table("\xEF\xBB\xBFname,\"va\"\"lue\",c\r\n"
                      "plain,1,\r\n"
                      "\"a,b\",\"line\nbreak\r\nhere\",\"\"\"q\"\"\"\n"
                      "last,\"\",end");

    ck_assert_msg(t != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_csv_rows(t), 3);
    ck_assert_int_eq(et_csv_columns(t), 3);
    ck_assert_str_eq(et_csv_header(t, 0), "name");
    ck_assert_str_eq(et_csv_header(t, 1), "va\"lue");
    ck_assert_int_eq(et_csv_find(t, "c"), 2);
    ck_assert_int_eq(et_csv_find(t, "d"), -1);
    ck_assert_int_eq(et_error_status(), ET_OK);
    field(t, 0, 0, "plain");
    field(t, 0, 2, "");
    field(t, 1, 0, "a,b");
    field(t, 1, 1, "line\nbreak\r\nhere");
    field(t, 1, 2, "\"q\"");
    field(t, 2, 1, "");
    field(t, 2, 2, "end");
    ck_assert_int_eq(et_csv_line(t, 0), 2);
    ck_assert_int_eq(et_csv_line(t, 1), 3);
    ck_assert_int_eq(et_csv_line(t, 2), 6);
    ck_assert_str_eq(et_csv_name(t), "t.csv");
    et_csv_free(t);

    t = table("only\n");
    ck_assert_int_eq(et_csv_rows(t), 0);
    et_csv_free(t);
    t = table("a,b\n1,");
    ck_assert_int_eq(et_csv_rows(t), 1);
    field(t, 0, 1, "");
    et_csv_free(t);
}
END_TEST

START_TEST(values)
{
    et_csv *t = table("x,y\n 1.5 ,7\n1e400,-8\nnan,9.5\n,\nabc,99999999999999999999\n");
    double d;
    int64_t i;

    ck_assert_int_eq(et_csv_double(t, 0, 0, &d), ET_OK);
    ck_assert(d == 1.5);
    ck_assert_int_eq(et_csv_int(t, 0, 1, 0, 10, &i), ET_OK);
    ck_assert_int_eq(i, 7);
    fails(et_csv_double(t, 1, 0, &d), ET_EFORMAT, "t.csv:3: column 'x': '1e400' is not a finite number");
    fails(et_csv_double(t, 2, 0, &d), ET_EFORMAT, "t.csv:4: column 'x': 'nan' is not a finite number");
    fails(et_csv_double(t, 3, 0, &d), ET_EFORMAT, "t.csv:5: column 'x': empty");
    fails(et_csv_double(t, 4, 0, &d), ET_EFORMAT, "t.csv:6: column 'x': 'abc' is not a number");
    fails(et_csv_int(t, 1, 1, 0, 10, &i), ET_EFORMAT, "t.csv:3: column 'y': -8 is not in 0 .. 10");
    fails(et_csv_int(t, 2, 1, 0, 10, &i), ET_EFORMAT, "'9.5' is not an integer");
    fails(et_csv_int(t, 4, 1, 0, 10, &i), ET_EFORMAT, "is not an integer");
    fails(et_csv_double(t, 5, 0, &d), ET_EINVAL, "no row 5");
    fails(et_csv_double(t, 0, 2, &d), ET_EINVAL, "no column 2");
    fails(et_csv_column(t, "z"), -1, "t.csv: no column named 'z'");
    fails(et_csv_raise(t, 2, -1, ET_EFORMAT, "what %d", 3), ET_EFORMAT, "t.csv:4: what 3");
    ck_assert_ptr_null(et_csv_header(t, -1));
    et_csv_free(t);
}
END_TEST

/* Numbers do not depend on the locale; skipped where no locale with a decimal comma exists. */
START_TEST(decimal_comma)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "nl_NL.UTF-8"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_ALL, names[i])) {
            char buf[ET_NUMBER_TEXT];
            double v;
            ck_assert(et_parse_double("1.5", 3, &v) && v == 1.5);
            ck_assert(!et_parse_double("1,5", 3, &v));
            ck_assert_str_eq(et_format_double(buf, 1.5), "1.5");
            setlocale(LC_ALL, "C");
        }
}
END_TEST

START_TEST(malformed)
{
    static const struct {
        const char *text, *words;
        size_t size; /* 0: strlen */
    } cases[] = {
        {"", "empty", 0},
        {"\xEF\xBB\xBF", "empty", 0},
        {"a,b\n1\n", "t.csv:2: 1 fields in a table of 2 columns", 0},
        {"a,b\n1,2\n3,4,5\n", "t.csv:3: 3 fields in a table of 2 columns", 0},
        {"a,b\n1,2\n\n", "t.csv:3: 1 fields", 0},
        {"a,b\n1,\"2\n3\n", "t.csv:2: field 2: quote is not closed", 0},
        {"a,b\n1,\"2\"x\n", "t.csv:2: field 2: text behind the closing quote", 0},
        {"a,b\n1,2\"\n", "t.csv:2: field 2: quote inside", 0},
        {"a,b\n1,2\rx\n", "t.csv:2: field 2: carriage return", 0},
        {"a,b\n1,\"x\ny\" \n", "t.csv:3: field 2: text behind", 0},
        {"a,,b\n", "t.csv:1: column 2 has no name", 0},
        {"a,b,a\n", "t.csv:1: two columns are named 'a'", 0},
        {"a\n1\0002\n", "t.csv:2: field 1: NUL byte", 6},
        {"a\n\"1\0002\"\n", "t.csv:2: field 1: NUL byte", 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        et_error_clear();
        ck_assert_ptr_null(et_csv_parse(cases[i].text, cases[i].size ? cases[i].size : strlen(cases[i].text),
                                        "t.csv", NULL));
        ck_assert_int_eq(et_error_status(), ET_EFORMAT);
        ck_assert_msg(strstr(et_error_message(), cases[i].words) != NULL, "case %zu: '%s' lacks '%s'", i,
                      et_error_message(), cases[i].words);
    }
}
END_TEST

START_TEST(limits)
{
    et_csv_limits two = {.rows = 2}, columns = {.columns = 2}, bytes = {.bytes = 5};

    ck_assert_ptr_null(et_csv_parse("a\n1\n2\n3\n", 8, "t", &two));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "more than 2 rows"));
    et_error_clear();
    et_csv_free(et_csv_parse("a\n1\n2\n", 6, "t", &two));
    ck_assert_int_eq(et_error_status(), ET_OK);
    ck_assert_ptr_null(et_csv_parse("a,b,c\n", 6, "t", &columns));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "too many columns"));
    et_error_clear();
    ck_assert_ptr_null(et_csv_parse("a\n1\n2\n", 6, "t", &bytes));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "limit of 5 bytes"));
    et_error_clear();
    ck_assert_ptr_null(et_csv_read("/nonexistent/t.csv", NULL));
    ck_assert_int_eq(et_error_status(), ET_EIO);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "/nonexistent/t.csv"));
    et_error_clear();
    ck_assert_ptr_null(et_csv_read(NULL, NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_csv_parse(NULL, 0, "t", NULL));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
}
END_TEST

static const char sample[] = "a,\"b\"\r\n1,\"x, \"\"y\"\"\nz\"\r\n22,\n\"\",last\n";

/* Each beginning of a file is either read or refused with a message; the block is of the
 * exact size, so that a sanitizer sees a read past it. */
START_TEST(cut_anywhere)
{
    for (size_t n = 0; n < sizeof sample; n++) {
        char *text = malloc(n > 0 ? n : 1);
        et_csv *t;
        memcpy(text, sample, n);
        et_error_clear();
        t = et_csv_parse(text, n, "t.csv", NULL);
        ck_assert((t != NULL) == (et_error_status() == ET_OK));
        if (!t)
            ck_assert_int_eq(et_error_status(), ET_EFORMAT);
        for (int64_t r = 0; r < et_csv_rows(t); r++)
            for (int c = 0; c < et_csv_columns(t); c++)
                ck_assert(strlen(et_csv_text(t, r, c)) < sizeof sample);
        et_csv_free(t);
        free(text);
    }
}
END_TEST

START_TEST(any_bytes)
{
    static const char alphabet[] = ",,\"\"\n\n\r1a.e-\0 ";
    char text[40];

    state = 1234567u + (uint64_t)_i;
    for (int round = 0; round < 5000; round++) {
        size_t n = draw() % sizeof text;
        et_csv *t;
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[draw() % sizeof alphabet];
        et_error_clear();
        t = et_csv_parse(text, n, "t.csv", NULL);
        ck_assert((t != NULL) == (et_error_status() == ET_OK));
        et_csv_free(t);
    }
}
END_TEST

static bool parse_sample(void *user)
{
    et_csv *t = et_csv_parse(user, strlen(user), "t.csv", NULL);
    et_csv_free(t);
    return t != NULL;
}

START_TEST(out_of_memory)
{
    char text[sizeof sample];
    memcpy(text, sample, sizeof sample);
    ck_assert_int_ge(alloc_sweep("csv", parse_sample, text), 5); /* table, name, text, fields, lines */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csv");
    TCase *tc = tcase_create("csv");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_test(tc, numbers_known);
    tcase_add_loop_test(tc, numbers_random, 0, 5);
    tcase_add_test(tc, numbers_format);
    tcase_add_test(tc, integers);
    tcase_add_test(tc, unsigned_integers);
    tcase_add_test(tc, decimal_comma);
    tcase_add_test(tc, forms);
    tcase_add_test(tc, values);
    tcase_add_test(tc, malformed);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, cut_anywhere);
    tcase_add_loop_test(tc, any_bytes, 0, 4);
    tcase_add_test(tc, out_of_memory);
    suite_add_tcase(suite, tc);

    return suite_run(suite);
}
