/* Byte-level BPE on vocabularies and merges made by hand. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/bpe.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())
#define made(pointer) ck_assert_msg((pointer) != NULL, "%s", et_error_message())

static const char tiny_vocab[] =
    "{\"<s>\":0,\"<pad>\":1,\"</s>\":2,\"<unk>\":3,\"a\":4,\"b\":5,\"ab\":6,\"aba\":7,"
                                 "\"<mask>\":8,\"\xc4\xa0\":9,\"\xc4\xa0" "ab\":10}";
static const char tiny_merges[] = "#version: 0.2\na b\n\xc4\xa0 ab\nab a\n";

START_TEST(bpe_by_hand)
{
    et_bpe *b = et_bpe_parse(tiny_vocab, sizeof tiny_vocab - 1, "v", tiny_merges, sizeof tiny_merges - 1,
                             "m");
    static const struct { const char *text; int n; int32_t ids[8]; } rows[] = {
        {"abab", 2, {6, 6}}, {"aba", 1, {7}}, {"ab ab", 2, {6, 10}}, {"ab a", 3, {6, 9, 4}},
        {"abc", 2, {6, 3}}, {"a <mask></s>b", 4, {4, 8, 2, 5}}, {"ababa", 2, {6, 7}}, {"", 0, {0}},
    };
    char *text;

    made(b);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        et_tokens t = {NULL, 0, 0};
        ok(et_bpe_encode(b, rows[r].text, strlen(rows[r].text), &t));
        ck_assert_msg(t.n == rows[r].n, "'%s': %" PRId64, rows[r].text, t.n);
        for (int i = 0; i < rows[r].n; i++)
            ck_assert_int_eq(t.ids[i], rows[r].ids[i]);
        et_tokens_free(&t);
    }
    ck_assert_int_eq(et_bpe_special(b, ET_TOKEN_BEGIN), 0);
    ck_assert_int_eq(et_bpe_special(b, ET_TOKEN_MASK), 8);
    made(text = et_bpe_decode(b, (const int32_t[]){0, 6, 10, 3, 8, 2, 1}, 7, NULL));
    ck_assert_str_eq(text, "ab ab<unk><mask>");
    et_dealloc(text);
    fails_null(et_bpe_decode(b, (const int32_t[]){11}, 1, NULL), ET_EINVAL, "no entry 11 among 11");
    et_bpe_free(b);
}
END_TEST

/* Merges in an order that no learning gives: each pair is joined everywhere before the next. */
START_TEST(bpe_everywhere)
{
    static const char vocab[] = "{\"<unk>\":0,\"a\":1,\"b\":2,\"ab\":3,\"abab\":4,\"c\":5,\"abc\":6}";
    static const char merges[] = "ab c\nabc ab\na b\n";
    et_bpe *b = et_bpe_parse(vocab, sizeof vocab - 1, "v", merges, sizeof merges - 1, "m");
    et_tokens t = {NULL, 0, 0};

    made(b);
    /* a b joined twice, then ab c twice; "abc ab" finds no ab left. */
    ok(et_bpe_encode(b, "abcabc", 6, &t));
    ck_assert_int_eq(t.n, 2);
    ck_assert(t.ids[0] == 6 && t.ids[1] == 6);
    et_tokens_free(&t);
    et_bpe_free(b);
}
END_TEST

START_TEST(bpe_refused)
{
    static const struct { const char *vocab, *merges, *words; } rows[] = {
        {"[1]", "", "v: not an object"},
        {"{}", "", "v: not an object"},
        {"{\"a\":0,\"b\":0}", "", "'a' and 'b' are both 0"},
        {"{\"a\":2}", "", "'a' has no number in 0 .. 0"},
        {"{\"a\":0.5}", "", "'a' has no number"},
        {"{\"\":0}", "", "an empty text"},
        {"{\"a\":0}", "", "nor <unk>"},
        {"{\"<unk>\":0}", "a\n", "m:1: not two texts"},
        {"{\"<unk>\":0}", "a b\n\na c\n", "m:2: not two texts"},
        {"{\"<unk>\":0}", "a b c\n", "m:1: not two texts"},
        {"{\"<unk>\":0}", "a b\na b\n", "m:2: this pair stands there already"},
        {"{\"<unk>\":0", "", "v"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        fails_null(et_bpe_parse(rows[r].vocab, strlen(rows[r].vocab), "v", rows[r].merges,
                                strlen(rows[r].merges), "m"),
                   ET_EFORMAT, rows[r].words);
    fails_null(et_bpe_read(in_dir("none"), in_dir("none")), ET_EIO, "none");
    fails_null(et_bpe_learn(&(et_names){0, NULL}, 260, 1), ET_EINVAL, "261");
}
END_TEST

/* A million letters in a row take no time that grows with their square. */
START_TEST(bpe_long_word)
{
    et_bpe *b = et_bpe_parse(tiny_vocab, sizeof tiny_vocab - 1, "v", tiny_merges, sizeof tiny_merges - 1,
                             "m");
    et_tokens t = {NULL, 0, 0};
    size_t n = 1000000;
    char *text = malloc(n);

    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? 'b' : 'a';
    ok(et_bpe_encode(b, text, n, &t));
    ck_assert_int_eq(t.n, 500000);
    et_tokens_free(&t);
    free(text);
    et_bpe_free(b);
}
END_TEST

static bool parse_bpe(void *user)
{
    et_bpe *b = et_bpe_parse(tiny_vocab, sizeof tiny_vocab - 1, "v", tiny_merges, sizeof tiny_merges - 1,
                             "m");
    bool good = b && et_bpe_write(b, in_dir("a"), in_dir("b")) == ET_OK;
    (void)user;
    et_bpe_free(b);
    return good;
}

START_TEST(out_of_memory)
{
    ck_assert_int_gt(alloc_sweep("bpe files", parse_bpe, NULL), 20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bpe");
    TCase *t = tcase_create("bpe");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, bpe_by_hand);
    tcase_add_test(t, bpe_everywhere);
    tcase_add_test(t, bpe_refused);
    tcase_add_test(t, bpe_long_word);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
