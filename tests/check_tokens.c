/* Unicode, WordPiece, learned vocabularies, and both tokenisers on all captions; BPE by hand is in
 * check_bpe.c. fixtures/tokens.json is what a second implementation of the rules says (oracle/tokens.py). */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/bpe.h"
#include "datasets/csv.h"
#include "datasets/unicode.h"
#include "datasets/wordpiece.h"
#include "datasets/words.h"
#include "tensor/alloc.h"
#include "tensor/json.h"
#include "tensor/strbuf.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

#define ok(call) ck_assert_msg((call) == ET_OK, "%s", et_error_message())
#define made(pointer) ck_assert_msg((pointer) != NULL, "%s", et_error_message())

static const char small[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\nguitar\n##s\na\n##a\n!\n'\nn\n##n\n"
                            "\xe6\xb5\x81\ncafe\nt\ndon\n.\nx\n";

static et_wordpiece *small_wordpiece(void)
{
    et_vocabulary *v = et_vocabulary_parse(small, sizeof small - 1, "small");
    return v ? et_wordpiece_new(v) : NULL;
}

static et_json *reference(void)
{
    char path[1024];
    et_json *j = et_json_read(suite_file(path, sizeof path, "fixtures/tokens.json"), 1 << 20);
    made(j);
    return j;
}

static uint64_t fnv(uint64_t h, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            h = (h ^ ((uint32_t)ids[i] >> 8 * k & 0xff)) * 0x100000001b3u;
    return h;
}
static const uint64_t fnv_start = 0xcbf29ce484222325u;

static void same_hash(uint64_t h, const et_json_value *of, const char *key)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, h);
    ck_assert_str_eq(text, et_json_get_string(of, key, ""));
}

/* Bytes of a text written in hexadecimal digits. */
static size_t from_hex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return n;
}

/* --- unicode ------------------------------------------------------------------------------ */

START_TEST(unicode_characters)
{
    char bytes[4];
    uint32_t c;

    for (uint32_t i = 0; i <= 0x10ffff; i++) {
        size_t n = et_uc_encode(i, bytes);
        if (i >= 0xd800 && i < 0xe000) {
            ck_assert_uint_eq(et_uc_decode(bytes, n, &c), 1);
            ck_assert_uint_eq(c, 0xfffd);
            continue;
        }
        ck_assert_uint_eq(et_uc_decode(bytes, n, &c), n);
        ck_assert_uint_eq(c, i);
    }
    ck_assert_uint_eq(et_uc_class('A'), ET_UC_LETTER | ET_UC_CASED);
    ck_assert_uint_eq(et_uc_class('$'), ET_UC_PUNCTUATION);
    ck_assert_uint_eq(et_uc_class('.'), ET_UC_PUNCTUATION | ET_UC_IGNORED);
    ck_assert_uint_eq(et_uc_class('7'), ET_UC_NUMBER);
    ck_assert_uint_eq(et_uc_class(0xa0), ET_UC_SPACE);
    ck_assert_uint_eq(et_uc_class('\n'), ET_UC_SPACE | ET_UC_CONTROL);
    ck_assert_uint_eq(et_uc_class(0x301), ET_UC_MARK | ET_UC_IGNORED);
    ck_assert_uint_eq(et_uc_class(0x2014), ET_UC_PUNCTUATION);
    ck_assert_uint_eq(et_uc_class(0xad), ET_UC_CONTROL | ET_UC_IGNORED);
    ck_assert_uint_eq(et_uc_class(0x110000), 0);
    ck_assert_uint_eq(et_uc_combining(0x323), 220);
    ck_assert_uint_eq(et_uc_lower(0xc9), 0xe9);
    ck_assert_uint_eq(et_uc_lower(0x1e9e), 0xdf);
    ck_assert_uint_eq(et_uc_lower(0x101), 0x101);
    ck_assert_uint_eq(et_uc_lower(0x100), 0x101);
    ck_assert_uint_eq(et_uc_lower(0x1e921), 0x1e943);
    ck_assert(et_uc_is_ideograph(0x4e00) && et_uc_is_ideograph(0x2f800) && !et_uc_is_ideograph(0x3042));
}
END_TEST

START_TEST(unicode_decomposition)
{
    /* e with dot below and circumflex, in any order; hangul; a compatibility ideograph. */
    static const struct { uint32_t in[4]; int n; uint32_t out[6]; int m; } rows[] = {
        {{0x1ec7}, 1, {'e', 0x323, 0x302}, 3},
        {{'e', 0x302, 0x323}, 3, {'e', 0x323, 0x302}, 3},
        {{0xac01}, 1, {0x1100, 0x1161, 0x11a8}, 3},
        {{0xac00}, 1, {0x1100, 0x1161}, 2},
        {{0xfa10}, 1, {0x585a}, 1},
        {{0x1d5}, 1, {'U', 0x308, 0x304}, 3},
        {{0x3b1, 0x345, 0x313}, 3, {0x3b1, 0x313, 0x345}, 3},
        {{0x2126, 'x'}, 2, {0x3a9, 'x'}, 2},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        et_codes out = {NULL, 0, 0};
        ok(et_uc_decompose(rows[r].in, (size_t)rows[r].n, &out));
        ck_assert_int_eq(out.n, rows[r].m);
        for (int i = 0; i < rows[r].m; i++)
            ck_assert_uint_eq(out.items[i], rows[r].out[i]);
        et_codes_free(&out);
    }
}
END_TEST

/* --- vocabulary ---------------------------------------------------------------------------- */

START_TEST(vocabulary_entries)
{
    et_vocabulary *v = et_vocabulary_new(), *back;
    char text[16];
    size_t n;

    for (int i = 0; i < 5000; i++) {
        int size = snprintf(text, sizeof text, "w%d", i * 7);
        ck_assert_int_eq(et_vocabulary_add(v, text, (size_t)size), i);
    }
    ck_assert_int_eq(et_vocabulary_add(v, "w70", 3), 10);
    ck_assert_int_eq(et_vocabulary_find(v, "w7", 2), 1);
    ck_assert_int_eq(et_vocabulary_find(v, "w71", 3), -1);
    ck_assert_str_eq(et_vocabulary_text(v, 3, &n), "w21");
    ck_assert_uint_eq(n, 3);
    fails_null(et_vocabulary_text(v, 5000, NULL), ET_EINVAL, "no entry 5000");
    fails_null(et_vocabulary_text(v, -1, NULL), ET_EINVAL, "no entry -1");
    ok(et_vocabulary_write(v, in_dir("v.txt")));
    back = et_vocabulary_read(in_dir("v.txt"));
    made(back);
    ck_assert_int_eq(et_vocabulary_size(back), 5000);
    ck_assert_str_eq(et_vocabulary_text(back, 4999, NULL), et_vocabulary_text(v, 4999, NULL));
    ck_assert_int_eq(et_vocabulary_add(v, "a\nb", 3), 5000);
    fails(et_vocabulary_write(v, in_dir("v.txt")), ET_EINVAL, "entry 5000");
    et_vocabulary_free(v);
    et_vocabulary_free(back);
    fails_null(et_vocabulary_parse("a\n\nb", 4, "x"), ET_EFORMAT, "x:2: an empty line");
    fails_null(et_vocabulary_parse("a\nb\na", 5, "x"), ET_EFORMAT, "x:3: 'a' stands already in line 1");
    fails_null(et_vocabulary_parse("a\0b", 3, "x"), ET_EFORMAT, "x:1: a NUL");
    fails_null(et_vocabulary_parse("", 0, "x"), ET_EFORMAT, "x: empty");
    fails_null(et_vocabulary_read(in_dir("none")), ET_EIO, "none");
    fails_null(et_wordpiece_new(et_vocabulary_parse("a\r\nb\r\n", 6, "x")), ET_EFORMAT, "no [UNK]");
}
END_TEST

/* --- wordpiece ------------------------------------------------------------------------------ */

static void encodes(const et_wordpiece *w, const char *text, const char *pieces)
{
    et_tokens t = {NULL, 0, 0};
    et_strbuf b = ET_STRBUF_INIT;

    ok(et_wordpiece_encode(w, text, strlen(text), &t));
    for (int64_t i = 0; i < t.n; i++)
        et_strbuf_printf(&b, "%s%s", i ? " " : "", et_vocabulary_text(et_wordpiece_vocabulary(w), t.ids[i],
                                                                      NULL));
    ck_assert_str_eq(b.data ? b.data : "", pieces);
    et_strbuf_free(&b);
    et_tokens_free(&t);
}

START_TEST(wordpiece_by_hand)
{
    et_wordpiece *w = small_wordpiece();
    char word[120];

    made(w);
    encodes(w, "Unaffable guitars!", "un ##aff ##able guitar ##s !");
    encodes(w, "guitarx unx x", "[UNK] [UNK] x"); /* a word that breaks off is unknown whole */
    encodes(w, "Caf\xc3\xa9 CAFE\xcc\x81", "cafe cafe");
    encodes(w, "a\xe6\xb5\x81\xe6\xb5\x81\x61", "a \xe6\xb5\x81 \xe6\xb5\x81 a");
    encodes(w, "don't.", "don ' t .");
    encodes(w, "a[MASK]!  [mask]", "a [MASK] ! [UNK] [UNK] [UNK]");
    encodes(w, "gui\ttar gui\x07tar \xff" "a\xc3", "[UNK] [UNK] guitar a");
    encodes(w, "", "");
    memset(word, 'a', sizeof word);
    word[100] = '\0';
    {
        et_tokens t = {NULL, 0, 0};
        ok(et_wordpiece_encode(w, word, 100, &t));
        ck_assert_int_eq(t.n, 100);
        word[100] = 'a';
        ok(et_wordpiece_encode(w, word, 101, &t));
        ck_assert_int_eq(t.n, 101);
        ck_assert_int_eq(t.ids[100], et_wordpiece_special(w, ET_TOKEN_UNK));
        et_tokens_free(&t);
    }
    ck_assert_int_eq(et_wordpiece_special(w, ET_TOKEN_PAD), 0);
    ck_assert_int_eq(et_wordpiece_special(w, ET_TOKEN_BEGIN), 2);
    ck_assert_int_eq(et_wordpiece_special(w, ET_TOKEN_END), 3);
    ck_assert_int_eq(et_wordpiece_special(w, (et_special)9), -1);
    et_wordpiece_free(w);
}
END_TEST

START_TEST(wordpiece_back)
{
    et_wordpiece *w = small_wordpiece();
    const int32_t ids[] = {2, 5, 6, 7, 8, 9, 12, 19, 13, 18, 20, 1, 4, 3, 0, 0}, bad[] = {99};
    char *text = et_wordpiece_decode(w, ids, sizeof ids / sizeof *ids);

    made(text);
    ck_assert_str_eq(text, "unaffable guitars! don't. [UNK] [MASK]");
    et_dealloc(text);
    text = et_wordpiece_decode(w, NULL, 0);
    ck_assert_str_eq(text, "");
    et_dealloc(text);
    fails_null(et_wordpiece_decode(w, bad, 1), ET_EINVAL, "no entry 99");
    fails_null(et_wordpiece_decode(NULL, ids, 1), ET_EINVAL, "NULL");
    fails(et_wordpiece_encode(w, NULL, 3, NULL), ET_EINVAL, "NULL");
    et_wordpiece_free(w);
}
END_TEST

START_TEST(rows)
{
    int32_t pieces[] = {10, 11, 12}, row[6];
    et_tokens t = {pieces, 3, 3};
    uint8_t mask[6];

    ck_assert_int_eq(et_tokens_row(&t, 2, 3, 0, 6, row, mask), 5);
    ck_assert(row[0] == 2 && row[1] == 10 && row[3] == 12 && row[4] == 3 && row[5] == 0);
    ck_assert(mask[4] == 1 && mask[5] == 0);
    ck_assert_int_eq(et_tokens_row(&t, 2, 3, 0, 4, row, NULL), 4);
    ck_assert(row[0] == 2 && row[1] == 10 && row[2] == 11 && row[3] == 3);
    ck_assert_int_eq(et_tokens_row(&t, -1, -1, 1, 4, row, mask), 3);
    ck_assert(row[2] == 12 && row[3] == 1);
    fails((et_status)et_tokens_row(&t, 2, 3, 0, 1, row, mask), ET_EINVAL, "no room");
}
END_TEST

static et_status append_word(void *user, const char *word, size_t size)
{
    et_strbuf_add(user, word, size);
    et_strbuf_putc(user, '\n');
    return ET_OK;
}

/* The cases of the fixture: words, and numbers where the vocabulary is there. */
START_TEST(wordpiece_cases)
{
    char path[1024], text[4096];
    const char *file = suite_data(path, sizeof path, "bert_vocab/vocab.txt");
    et_wordpiece *w = file ? et_wordpiece_read(file) : NULL;
    et_json *j = reference();
    const et_json_value *cases = et_json_get(et_json_get(et_json_root(j), "wordpiece"), "cases");
    int n = 0;

    ck_assert_msg(w || !file, "%s", et_error_message());
    for (const et_json_value *c = cases->first; c; c = c->next, n++) {
        size_t size = from_hex(et_json_get_string(c, "text", ""), text);
        et_strbuf got = ET_STRBUF_INIT, want = ET_STRBUF_INIT;
        et_tokens t = {NULL, 0, 0};

        for (const et_json_value *word = et_json_get(c, "words")->first; word; word = word->next)
            append_word(&want, word->string, word->length);
        /* Where there are special tokens, words alone are another thing. */
        ok(et_words_bert(text, size, append_word, &got));
        ck_assert_str_eq(got.data ? got.data : "", want.data ? want.data : "");
        if (w) {
            int64_t i = 0;
            ok(et_wordpiece_encode(w, text, size, &t));
            ck_assert_int_eq(t.n, (int64_t)et_json_get(c, "ids")->count);
            for (const et_json_value *id = et_json_get(c, "ids")->first; id; id = id->next)
                ck_assert_int_eq(t.ids[i++], id->integer);
        }
        et_strbuf_free(&got);
        et_strbuf_free(&want);
        et_tokens_free(&t);
    }
    printf("# wordpiece: %d cases agree\n", n);
    ck_assert_int_gt(n, 20);
    et_json_free(j);
    et_wordpiece_free(w);
}
END_TEST

/* --- over all captions ------------------------------------------------------------------------ */

static et_names captions;

static bool read_captions(void)
{
    char path[1024];
    const char *file = suite_data(path, sizeof path, "musiccaps/musiccaps.csv");
    et_csv *t = file ? et_csv_read(file, NULL) : NULL;
    int column = t ? et_csv_column(t, "caption") : -1;

    for (int64_t i = 0; t && i < et_csv_rows(t); i++)
        ok(et_names_add(&captions, et_csv_text(t, i, column)));
    et_csv_free(t);
    return captions.n > 0;
}

START_TEST(wordpiece_captions)
{
    char path[1024];
    const char *file = suite_data(path, sizeof path, "bert_vocab/vocab.txt");
    et_wordpiece *w;
    et_json *j = reference();
    const et_json_value *want = et_json_get(et_json_root(j), "wordpiece");
    const et_json_value *first = et_json_get(want, "first")->first;
    int64_t total = 0, unknown = 0;
    uint64_t h = fnv_start;

    if (file && read_captions()) {
        made(w = et_wordpiece_read(file));
        for (int64_t i = 0; i < captions.n; i++) {
            et_tokens t = {NULL, 0, 0};
            ok(et_wordpiece_encode(w, captions.items[i], strlen(captions.items[i]), &t));
            for (int64_t k = 0; k < t.n; k++)
                unknown += t.ids[k] == 100;
            if (first) {
                ck_assert_int_eq(t.n, first->integer);
                first = first->next;
            }
            total += t.n;
            h = fnv(h, t.ids, t.n);
            et_tokens_free(&t);
        }
        printf("# wordpiece: %" PRId64 " captions, %" PRId64 " tokens, %" PRId64 " unknown\n", captions.n,
               total, unknown);
        ck_assert_int_eq(captions.n, et_json_get_int(want, "captions", -1));
        ck_assert_int_eq(total, et_json_get_int(want, "tokens", -1));
        ck_assert_int_eq(unknown, et_json_get_int(want, "unknown", -1));
        same_hash(h, want, "hash");
        et_wordpiece_free(w);
    }
    et_names_free(&captions);
    et_json_free(j);
}
END_TEST

START_TEST(bpe_captions)
{
    et_json *j = reference();
    const et_json_value *want = et_json_get(et_json_root(j), "bpe"),
                        *first = et_json_get(want, "first")->first;
    et_bpe *b, *back;
    int64_t total = 0;
    uint64_t h = fnv_start;
    char text[4096];

    if (read_captions()) {
        made(b = et_bpe_learn(&captions, 1500, 2));
        ck_assert_int_eq(et_bpe_size(b), et_json_get_int(want, "size", -1));
        ck_assert_int_eq(et_bpe_merges(b), et_json_get_int(want, "merges", -1));
        ok(et_bpe_write(b, in_dir("vocab.json"), in_dir("merges.txt")));
        made(back = et_bpe_read(in_dir("vocab.json"), in_dir("merges.txt")));
        et_bpe_free(b);
        { /* merges as they stand in the file */
            size_t size;
            char *merges = (char *)get_file(in_dir("merges.txt"), &size), *line = strchr(merges, '\n') + 1;
            for (; first; first = first->next, line = strchr(line, '\n') + 1)
                ck_assert(strncmp(line, first->string, first->length) == 0 && line[first->length] == '\n');
            free(merges);
        }
        for (int64_t i = 0; i < captions.n; i++) {
            et_tokens t = {NULL, 0, 0};
            size_t size, n = strlen(captions.items[i]);
            char *text_back;
            ok(et_bpe_encode(back, captions.items[i], n, &t));
            total += t.n;
            h = fnv(h, t.ids, t.n);
            made(text_back = et_bpe_decode(back, t.ids, t.n, &size));
            ck_assert(size == n && memcmp(text_back, captions.items[i], n) == 0);
            et_dealloc(text_back);
            et_tokens_free(&t);
        }
        printf("# bpe: %" PRId64 " captions, %" PRId64 " merges learned, %" PRId64 " tokens\n", captions.n,
               et_bpe_merges(back), total);
        ck_assert_int_eq(total, et_json_get_int(want, "tokens", -1));
        same_hash(h, want, "hash");
        for (const et_json_value *c = et_json_get(want, "cases")->first; c; c = c->next) {
            et_tokens t = {NULL, 0, 0};
            size_t n = from_hex(et_json_get_string(c, "text", ""), text);
            int64_t i = 0;
            ok(et_bpe_encode(back, text, n, &t));
            ck_assert_msg(t.n == (int64_t)et_json_get(c, "ids")->count, "%.*s: %" PRId64 " tokens", (int)n,
                          text, t.n);
            for (const et_json_value *id = et_json_get(c, "ids")->first; id; id = id->next)
                ck_assert_int_eq(t.ids[i++], id->integer);
            et_tokens_free(&t);
        }
        et_bpe_free(back);
    }
    et_names_free(&captions);
    et_json_free(j);
}
END_TEST

START_TEST(learned_vocabularies)
{
    et_json *j = reference();
    const et_json_value *words = et_json_get(et_json_root(j), "words"),
                        *first = et_json_get(words, "first")->first;
    const et_json_value *pieces = et_json_get(et_json_root(j), "pieces");

    if (read_captions()) {
        et_vocabulary *v = et_vocabulary_of_words(&captions, 505, 1);
        uint64_t h = fnv_start;
        made(v);
        ck_assert_int_eq(et_vocabulary_size(v), 505);
        for (int32_t i = 5; first; first = first->next)
            ck_assert_str_eq(et_vocabulary_text(v, i++, NULL), first->string);
        ck_assert_str_eq(et_vocabulary_text(v, 504, NULL), et_json_get_string(words, "last", ""));
        et_vocabulary_free(v);
        made(v = et_vocabulary_of_words(&captions, 1000000, 1));
        ck_assert_int_eq(et_vocabulary_size(v), 5 + et_json_get_int(words, "different", -1));
        et_vocabulary_free(v);
        made(v = et_vocabulary_of_pieces(&captions, 800, 2));
        ck_assert_int_eq(et_vocabulary_size(v), et_json_get_int(pieces, "size", -1));
        for (int32_t i = 0; i < 800; i++) {
            size_t n;
            const char *text = et_vocabulary_text(v, i, &n);
            for (size_t k = 0; k <= n && k + (i == 799) <= n; k++) {
                int32_t byte = k < n ? (unsigned char)text[k] : '\n';
                h = fnv(h, &byte, 1);
            }
        }
        same_hash(h, pieces, "hash");
        et_vocabulary_free(v);
    }
    et_names_free(&captions);
    et_json_free(j);
}
END_TEST

/* --- out of memory ------------------------------------------------------------------------------- */

static bool all_of_it(void *user)
{
    et_names texts = {0, NULL};
    et_vocabulary *v = NULL, *v2 = NULL;
    et_wordpiece *w = NULL;
    et_bpe *b = NULL;
    et_tokens t = {NULL, 0, 0};
    char *text = NULL;
    bool good = false;

    (void)user;
    if (et_names_add(&texts, "a guitar plays a guit\xc3\xa1r") < 0 ||
        et_names_add(&texts, "guitars play") < 0)
        goto end;
    if (!(v = et_vocabulary_of_words(&texts, 20, 1)) || !(v2 = et_vocabulary_of_pieces(&texts, 40, 2)))
        goto end;
    w = et_wordpiece_new(v2);
    v2 = NULL;
    if (!w || et_wordpiece_encode(w, "Guitars \xe6\xb5\x81 play", 16, &t) < 0 ||
        !(text = et_wordpiece_decode(w, t.ids, t.n)))
        goto end;
    et_dealloc(text);
    text = NULL;
    t.n = 0;
    if (!(b = et_bpe_learn(&texts, 270, 2)) ||
        et_bpe_encode(b, "a long word of more than fortyeightlettersinarowsothatmemoryisneededforitall",
                      75, &t) < 0 ||
        !(text = et_bpe_decode(b, t.ids, t.n, NULL)))
        goto end;
    good = true;
end:
    et_names_free(&texts);
    et_vocabulary_free(v);
    et_vocabulary_free(v2);
    et_wordpiece_free(w);
    et_bpe_free(b);
    et_tokens_free(&t);
    et_dealloc(text);
    return good;
}

START_TEST(out_of_memory)
{
    ck_assert_int_gt(alloc_sweep("tokens", all_of_it, NULL), 60);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokens");
    TCase *t = tcase_create("tokens");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, unicode_characters);
    tcase_add_test(t, unicode_decomposition);
    tcase_add_test(t, vocabulary_entries);
    tcase_add_test(t, wordpiece_by_hand);
    tcase_add_test(t, wordpiece_back);
    tcase_add_test(t, rows);
    tcase_add_test(t, wordpiece_cases);
    tcase_add_test(t, wordpiece_captions);
    tcase_add_test(t, bpe_captions);
    tcase_add_test(t, learned_vocabularies);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return suite_run(s);
}
