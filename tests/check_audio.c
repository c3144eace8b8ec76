/* Sound files: what SciPy, Python and sox wrote (tests/oracle/audio.py), what the formats' definitions
 * allow, what is broken, and real recordings. */
#include "config.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/audio.h"
#include "tensor/alloc.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/audio_bytes.h"
#include "tests/files.h"
#include "tests/suite.h"

/* --- files of other programs --------------------------------------------------------------------- */

/* Sample k, frame by frame, is (5 k - 22) / 32; A-law and mu-law come near. */
static const struct fixture {
    const char *name, *container, *encoding;
    double tolerance;
} fixtures[] = {{"u8.wav", "WAV", "PCM 8", 0},
                {"s16.wav", "WAV", "PCM 16", 0},
                {"s24.wav", "WAV", "PCM 24", 0},
                {"s32.wav", "WAV", "PCM 32", 0},
                {"f32.wav", "WAV", "float 32", 0},
                {"f64.wav", "WAV", "float 64", 0},
                {"extensible24.wav", "WAV", "PCM 24", 0},
                {"alaw.wav", "WAV", "A-law", 0.017},
                {"mulaw.wav", "WAV", "mu-law", 0.017},
                {"s8.au", "AU", "PCM 8", 0},
                {"s16.au", "AU", "PCM 16", 0},
                {"s24.au", "AU", "PCM 24", 0},
                {"s32.au", "AU", "PCM 32", 0},
                {"f32.au", "AU", "float 32", 0},
                {"f64.au", "AU", "float 64", 0},
                {"little16.au", "AU", "PCM 16", 0},
                {"alaw.au", "AU", "A-law", 0.017},
                {"mulaw.au", "AU", "mu-law", 0.017},
                {"s8.aiff", "AIFF", "PCM 8", 0},
                {"s16.aiff", "AIFF", "PCM 16", 0},
                {"s24.aiff", "AIFF", "PCM 24", 0},
                {"s32.aiff", "AIFF", "PCM 32", 0},
                {"s16.aifc", "AIFF-C", "PCM 16", 0},
                {"sowt.aifc", "AIFF-C", "PCM 16", 0},
                {"f32.aifc", "AIFF-C", "float 32", 0},
                {"f64.aifc", "AIFF-C", "float 64", 0},
                {"alaw.aifc", "AIFF-C", "A-law", 0.017},
                {"ulaw.aifc", "AIFF-C", "mu-law", 0.017}};
enum { N_FIXTURES = sizeof fixtures / sizeof fixtures[0] };

static const char *fixture_path(const char *name)
{
    static char path[1024];
    char inner[64];

    snprintf(inner, sizeof inner, "fixtures/audio/%s", name);
    return suite_file(path, sizeof path, inner);
}

static void expect_fixture(const et_audio *a, const struct fixture *f)
{
    const float *x = et_data_f32(a->samples);

    ck_assert_int_eq(a->rate, 22050);
    ck_assert_int_eq(a->samples->ndim, 2);
    ck_assert_int_eq(a->samples->shape[0], 2);
    ck_assert_int_eq(a->samples->shape[1], 5);
    for (int k = 0; k < 10; k++) {
        double want = (5 * k - 22) / 32.0, got = x[k % 2 * 5 + k / 2];
        ck_assert_msg(fabs(got - want) <= f->tolerance, "%s: sample %d is %g, not %g", f->name, k, got, want);
    }
}

START_TEST(other_programs_files)
{
    const struct fixture *f = &fixtures[_i];
    et_audio a, b;
    et_audio_info info;
    unsigned char *data;
    size_t size;

    ck_assert_msg(et_audio_read(fixture_path(f->name), &a) == ET_OK, "%s", et_error_message());
    expect_fixture(&a, f);
    ck_assert_int_eq(et_audio_read_info(fixture_path(f->name), &info), ET_OK);
    ck_assert_str_eq(info.container, f->container);
    ck_assert_str_eq(info.encoding, f->encoding);
    ck_assert(info.rate == 22050 && info.channels == 2 && info.frames == 5);
    data = get_file(fixture_path(f->name), &size);
    ck_assert_int_eq(et_audio_parse(data, size, "memory", &b), ET_OK);
    ck_assert(et_equal(a.samples, b.samples));
    free(data);
    et_audio_free(&a);
    et_audio_free(&b);
    ck_assert_ptr_null(a.samples);
}
END_TEST

/* G.711 as the recommendation's tables give it: segments of 16 steps, each step twice as wide as in the
 * segment before; the output is the middle of the step. On a scale of 4096 (A-law) and 8159 (mu-law). */
static double g711(int code, bool a_law)
{
    int u = a_law ? code ^ 0x55 : 255 - code, segment = u / 16 % 8, step = u % 16;
    double value;

    if (a_law) {
        value = segment == 0 ? 2 * step + 1 : (2 * step + 33) * pow(2, segment - 1);
        return (u >= 128 ? value : -value) / 4096;
    }
    value = (2 * step + 33) * pow(2, segment) - 33;
    return (u >= 128 ? -value : value) / 8192;
}

START_TEST(laws)
{
    FILE *table = fopen(fixture_path("g711.csv"), "r");
    et_audio a, u;
    int code, alaw, mulaw, n = 0;

    ck_assert_ptr_nonnull(table);
    ck_assert_int_eq(et_audio_read(fixture_path("g711-alaw.au"), &a), ET_OK);
    ck_assert_int_eq(et_audio_read(fixture_path("g711-mulaw.au"), &u), ET_OK);
    ck_assert(a.samples->shape[0] == 1 && a.samples->shape[1] == 256 && a.rate == 8000);
    ck_assert_int_eq(fscanf(table, "code,alaw,mulaw\n"), 0);
    while (fscanf(table, "%d,%d,%d", &code, &alaw, &mulaw) == 3) {
        ck_assert_int_eq(code, n);
        ck_assert(et_data_f32(a.samples)[code] == (float)alaw / 32768);
        ck_assert(et_data_f32(u.samples)[code] == (float)mulaw / 32768);
        ck_assert(et_data_f32(a.samples)[code] == (float)g711(code, true));
        ck_assert(et_data_f32(u.samples)[code] == (float)g711(code, false));
        n++;
    }
    ck_assert_int_eq(n, 256);
    fclose(table);
    et_audio_free(&a);
    et_audio_free(&u);
}
END_TEST

/* --- files by the formats' definitions ----------------------------------------------------------- */

static const int16_t ramp[] = {-32768, -1, 0, 1, 256, 32767};
enum { N_RAMP = sizeof ramp / sizeof ramp[0] };

static void put_ramp(audio_bytes *b, bool big)
{
    for (int i = 0; i < N_RAMP; i++)
        big ? put_be(b, (uint16_t)ramp[i], 2) : put_le(b, (uint16_t)ramp[i], 2);
}

/* The file is the ramp in one channel. */
static void expect_ramp(const audio_bytes *b, const char *what, int64_t rate)
{
    et_audio a;

    ck_assert_msg(et_audio_parse(b->data, b->size, what, &a) == ET_OK, "%s", et_error_message());
    ck_assert_msg(a.rate == rate, "%s: %" PRId64 " Hz", what, a.rate);
    ck_assert_msg(a.samples->shape[0] == 1 && a.samples->shape[1] == N_RAMP, "%s: %" PRId64 " frames", what,
                  a.samples->shape[1]);
    for (int i = 0; i < N_RAMP; i++)
        ck_assert_msg(et_data_f32(a.samples)[i] == (float)ramp[i] / 32768, "%s: sample %d is %g", what, i,
                      (double)et_data_f32(a.samples)[i]);
    et_audio_free(&a);
}

START_TEST(wav_chunks)
{
    audio_bytes b = {{0}, 0};

    begin_wav(&b, "RIFF");
    put_chunk(&b, "JUNK", 5); /* odd: a pad byte follows */
    put_fmt(&b, 1, 1, 11025, 2, 16);
    put_chunk(&b, "LIST", 7);
    put_chunk(&b, "data", 0);
    put_fmt(&b, 1, 1, 11025, 2, 16);
    fails(et_audio_parse(b.data, b.size, "zero.wav", &(et_audio){0}), ET_EFORMAT,
          "zero.wav: there are no samples");

    b.size = 0;
    begin_wav(&b, "RIFF");
    put_chunk(&b, "JUNK", 5);
    put_fmt(&b, 1, 1, 11025, 2, 16);
    put_chunk(&b, "LIST", 7);
    put_text(&b, "data");
    put_le(&b, 2 * N_RAMP, 4);
    put_ramp(&b, false);
    expect_ramp(&b, "nothing behind", 11025);
    put_text(&b, "and some rubbish");
    expect_ramp(&b, "rubbish behind", 11025);

    /* The size that programs write into a pipe. */
    b.size = 0;
    begin_wav(&b, "RIFF");
    put_fmt(&b, 1, 1, 11025, 2, 16);
    put_text(&b, "data");
    put_le(&b, 0xFFFFFFFF, 4);
    put_ramp(&b, false);
    expect_ramp(&b, "unknown size", 11025);
    put_le(&b, 7, 1);
    expect_ramp(&b, "half a frame more", 11025);
}
END_TEST

START_TEST(wav_of_64_bits)
{
    static const char *const magics[] = {"RF64", "BW64"};
    audio_bytes b = {{0}, 0};
    et_audio_info info;

    begin_wav(&b, magics[_i]);
    put_text(&b, "ds64");
    put_le(&b, 28, 4);
    put_le(&b, 4096, 8);
    put_le(&b, 2 * N_RAMP, 8);
    put_le(&b, N_RAMP, 8);
    put_le(&b, 0, 4);
    put_fmt(&b, 1, 1, 96000, 2, 16);
    put_text(&b, "data");
    put_le(&b, 0xFFFFFFFF, 4);
    put_ramp(&b, false);
    put_chunk(&b, "LIST", 8);
    expect_ramp(&b, magics[_i], 96000);
    put_file(in_dir("a.wav"), b.data, b.size);
    ck_assert_int_eq(et_audio_read_info(in_dir("a.wav"), &info), ET_OK);
    ck_assert_str_eq(info.container, magics[_i]);
    b.data[12 + 8 + 8] = 255; /* more than is there */
    fails(et_audio_parse(b.data, b.size, "r.wav", &(et_audio){0}), ET_EFORMAT, "r.wav: truncated: 255 bytes");
    b.data[12 + 8 + 15] = 255;
    fails(et_audio_parse(b.data, b.size, "r.wav", &(et_audio){0}), ET_EFORMAT, "r.wav: truncated");
    b.data[12 + 4] = 20;
    fails(et_audio_parse(b.data, b.size, "r.wav", &(et_audio){0}), ET_EFORMAT, "ds64 chunk of 20 bytes");
}
END_TEST

/* Fewer bits than bytes hold stand at the upper end. */
START_TEST(odd_widths)
{
    static const struct {
        int bits, bytes;
        uint32_t raw;
        float value;
        const char *encoding;
    } cases[] = {{12, 2, 0x4010, 0x401 / 2048.0f, "PCM 12"},
                 {20, 3, 0xC00010, -0x3FFFF / 524288.0f, "PCM 20"},
                 {24, 4, 0x80000000, -1, "PCM 24"},
                 {4, 1, 0xC0, 0.5f, "PCM 4"},
                 {8, 2, 0x8000, -1, "PCM 8"},
                 {32, 4, 0x7FFFFFFF, 1, "PCM 32"}};
    audio_bytes b = {{0}, 0};
    et_audio a;
    et_audio_info info;

    begin_wav(&b, "RIFF");
    put_fmt(&b, 1, 1, 8000, cases[_i].bytes, cases[_i].bits);
    put_text(&b, "data");
    put_le(&b, (uint32_t)cases[_i].bytes, 4);
    put_le(&b, cases[_i].raw, cases[_i].bytes);
    ck_assert_msg(et_audio_parse(b.data, b.size, "odd", &a) == ET_OK, "%s", et_error_message());
    ck_assert_msg(et_data_f32(a.samples)[0] == cases[_i].value, "%d bits: %g", cases[_i].bits,
                  (double)et_data_f32(a.samples)[0]);
    et_audio_free(&a);
    put_file(in_dir("a.wav"), b.data, b.size);
    ck_assert_int_eq(et_audio_read_info(in_dir("a.wav"), &info), ET_OK);
    ck_assert_str_eq(info.encoding, cases[_i].encoding);
}
END_TEST

START_TEST(au_headers)
{
    audio_bytes b = {{0}, 0};

    for (int big = 0; big < 2; big++)
        for (int known = 0; known < 2; known++) {
            void (*put)(audio_bytes *, uint64_t, int) = big ? put_be : put_le;

            b.size = 0;
            put_text(&b, big ? ".snd" : "dns.");
            put(&b, 32, 4); /* eight bytes of remarks */
            put(&b, known ? 2 * N_RAMP : 0xFFFFFFFF, 4);
            put(&b, 3, 4);
            put(&b, 22050, 4);
            put(&b, 1, 4);
            put_text(&b, "remarks.");
            put_ramp(&b, big);
            expect_ramp(&b, "au", 22050);
        }
}
END_TEST

/* An AIFF file: the sound chunk first where `early`, `skip` bytes before its samples. */
static void make_aiff(audio_bytes *b, bool early, int skip, const char *letters, int bits, int exponent,
                      uint64_t mantissa)
{
    b->size = 0;
    put_text(b, "FORM");
    put_be(b, 1000, 4);
    put_text(b, letters ? "AIFC" : "AIFF");
    for (int part = 0; part < 2; part++)
        if (part == !early) {
            put_text(b, "SSND");
            put_be(b, (uint64_t)(8 + skip + 2 * N_RAMP), 4);
            put_be(b, (uint64_t)skip, 4);
            put_be(b, 0, 4);
            for (int i = 0; i < skip; i++)
                put_be(b, 0x77, 1);
            put_ramp(b, !letters || strcmp(letters, "sowt") != 0);
            if (skip % 2)
                put_be(b, 0, 1);
        } else {
            put_text(b, "COMM");
            put_be(b, letters ? 23 : 18, 4);
            put_be(b, 1, 2);
            put_be(b, N_RAMP, 4);
            put_be(b, (uint64_t)bits, 2);
            put_be(b, (uint64_t)(exponent + 16383), 2);
            put_be(b, mantissa, 8);
            if (letters) {
                put_text(b, letters);
                put_be(b, 0, 2); /* an empty name and its pad byte */
            }
            put_chunk_be(b, "NAME", 3);
        }
}

START_TEST(aiff_chunks)
{
    audio_bytes b = {{0}, 0};

    for (int early = 0; early < 2; early++)
        for (int skip = 0; skip < 4; skip++)
            for (int form = 0; form < 4; form++) {
                static const char *const letters[] = {NULL, "NONE", "sowt", "twos"};
                make_aiff(&b, early, skip, letters[form], 16, 15, 0xBB80000000000000);
                expect_ramp(&b, "aiff", 48000);
            }
    make_aiff(&b, false, 0, NULL, 16, 14, 0xAC44000000000000); /* 22050 */
    expect_ramp(&b, "aiff", 22050);
    make_aiff(&b, false, 0, NULL, 16, 14, 0xADDD1745D1745D17); /* the first Macintosh: 22254.5454 */
    expect_ramp(&b, "aiff", 22255);
    make_aiff(&b, false, 0, NULL, 16, 0, 0x8000000000000000);
    expect_ramp(&b, "aiff", 1);
    make_aiff(&b, false, 0, NULL, 16, 63, 48000); /* not normalised */
    expect_ramp(&b, "aiff", 48000);
}
END_TEST

/* --- broken files -------------------------------------------------------------------------------- */

START_TEST(wrong_headers)
{
    static const struct {
        const char *file;
        int at, bytes; /* written there, least significant first; of 0 bytes, the file is cut there */
        uint64_t value;
        const char *words;
    } cases[] = {{"s16.wav", 0, 0, 0, "is empty"},
                 {"s16.wav", 2, 0, 0, "neither WAV, AU nor AIFF"},
                 {"s16.wav", 0, 4, 0x58464952, "neither WAV, AU nor AIFF"}, /* RIFX */
                 {"s16.wav", 8, 4, 0x20495641, "not of sound"},             /* AVI */
                 {"s16.wav", 12, 1, 'g', "samples come before the fmt chunk"},
                 {"s16.wav", 16, 4, 14, "a fmt chunk of 14 bytes"},
                 {"s16.wav", 16, 4, 0xFFFFFFFF, "truncated in a chunk of 4294967295 bytes at byte 20"},
                 {"s16.wav", 20, 2, 2, "WAV of encoding 0x2"},
                 {"s16.wav", 20, 2, 0xFFFE, "an extensible fmt chunk of 16 bytes"},
                 {"s16.wav", 22, 2, 0, "frames of 4 bytes for 0 channels"},
                 {"s16.wav", 22, 2, 3, "frames of 4 bytes for 3 channels"},
                 {"s16.wav", 24, 4, 0, "a rate of 0 Hz"},
                 {"s16.wav", 24, 4, 0xFFFFFFFF, "a rate of 4294967295 Hz"},
                 {"s16.wav", 32, 2, 0, "frames of 0 bytes"},
                 {"s16.wav", 32, 2, 16, "16 bits in samples of 8 bytes"},
                 {"s16.wav", 34, 2, 0, "0 bits in samples of 2 bytes"},
                 {"s16.wav", 34, 2, 17, "17 bits in samples of 2 bytes"},
                 {"s16.wav", 36, 1, 'x', "ends before its data chunk"},
                 {"s16.wav", 40, 4, 21, "truncated: 21 bytes of samples are announced, 20 are there"},
                 {"s16.wav", 40, 4, 0xFFFFFFFE, "truncated: 4294967294 bytes"},
                 {"s16.wav", 40, 4, 3, "there are no samples"},
                 {"f32.wav", 34, 2, 16, "16 bits in samples of 4 bytes do not fit WAV format 3"},
                 {"alaw.wav", 32, 2, 4, "8 bits in samples of 2 bytes do not fit WAV format 6"},
                 {"extensible24.wav", 44, 2, 0x92, "WAV of encoding 0x92"},
                 {"extensible24.wav", 47, 1, 9, "WAV of encoding"},
                 {"s16.au", 4, 4, 0x17000000, "begin at byte 23, inside the header"},
                 {"s16.au", 4, 4, 0xFFFFFFFF, "begin at byte 4294967295"},
                 {"s16.au", 8, 4, 0x15000000, "truncated: 21 bytes"},
                 {"s16.au", 8, 4, 0xFEFFFFFF, "truncated: 4294967294 bytes"},
                 {"s16.au", 8, 4, 0, "there are no samples"},
                 {"s16.au", 12, 4, 0x17000000, "AU of encoding 0x17"},
                 {"s16.au", 16, 4, 0, "a rate of 0 Hz"},
                 {"s16.au", 20, 4, 0, "0 channels"},
                 {"s16.au", 20, 4, 0x01040000, "1025 channels"},
                 {"s16.au", 20, 4, 0x000000FF, "4278190080 channels"},
                 {"s16.aiff", 8, 4, 0x5856538, "not of sound"},
                 {"s16.aiff", 16, 4, 0x11000000, "a COMM chunk of 17 bytes"},
                 {"s16.aiff", 12, 1, 'X', "ends before its COMM chunk"},
                 {"s16.aiff", 20, 2, 0, "0 channels"},
                 {"s16.aiff", 22, 4, 0, "there are no samples"},
                 {"s16.aiff", 22, 4, 0x06000000, "truncated: 6 frames are announced in 20 bytes"},
                 {"s16.aiff", 22, 4, 0xFFFFFFFF, "truncated: 4294967295 frames"},
                 {"s16.aiff", 26, 2, 0, "samples of 0 bits"},
                 {"s16.aiff", 26, 2, 0x2100, "samples of 33 bits"},
                 {"s16.aiff", 28, 2, 0xFF7F, "a rate of 0 Hz"}, /* infinite */
                 {"s16.aiff", 28, 1, 0xC0, "a rate of 0 Hz"},   /* negative */
                 {"s16.aiff", 42, 4, 0x07000000, "an SSND chunk of 7 bytes"},
                 {"s16.aiff", 42, 4, 0x1D000000, "truncated in a chunk of 29 bytes"},
                 {"s16.aiff", 46, 4, 0x15000000, "behind the end of their chunk"},
                 {"s16.aiff", 46, 4, 0xFFFFFFFF, "behind the end of their chunk"},
                 {"s16.aifc", 50, 4, 0x32323747, "AIFF-C of encoding 0x47373232"}}; /* G722 */
    et_audio a;
    et_audio_info info;
    unsigned char *data;
    size_t size;

    setenv("PATH", test_dir, 1); /* neither ffmpeg nor sox */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool foreign = strstr(cases[i].words, "of encoding") || strstr(cases[i].words, "neither");
        const et_status wanted = foreign ? ET_EIO : ET_EFORMAT; /* for a program that is not there */
        char words[160];

        data = get_file(fixture_path(cases[i].file), &size);
        if (cases[i].bytes == 0)
            size = (size_t)cases[i].at;
        for (int k = 0; k < cases[i].bytes; k++)
            data[cases[i].at + k] = (unsigned char)(cases[i].value >> 8 * k);
        put_file(in_dir("broken"), data, size);
        free(data);
        snprintf(words, sizeof words, "%s", cases[i].words);
        fails(et_audio_read(in_dir("broken"), &a), wanted, words);
        fails(et_audio_read(in_dir("broken"), &a), wanted, "/broken: ");
        ck_assert_ptr_null(a.samples);
        fails(et_audio_read_info(in_dir("broken"), &info), wanted, words);
    }
    fails(et_audio_read(in_dir("none.wav"), &a), ET_EIO, "none.wav: cannot open");
    fails(et_audio_read(test_dir, &a), ET_EIO, "is a directory");
    fails(et_audio_read(NULL, &a), ET_EINVAL, "NULL");
    fails(et_audio_read(in_dir("broken"), NULL), ET_EINVAL, "NULL");
    fails(et_audio_read_info(NULL, &info), ET_EINVAL, "NULL");
    fails(et_audio_parse(NULL, 3, "x", &a), ET_EINVAL, "NULL");
}
END_TEST

/* Cut at any byte: an error, and no byte behind the end is read. */
START_TEST(truncated)
{
    const char *name = fixtures[_i].name;
    unsigned char *data, *cut;
    size_t size, n;
    et_audio a;

    data = get_file(fixture_path(name), &size);
    for (n = 0; n < size; n++) {
        cut = malloc(n + !n);
        memcpy(cut, data, n);
        fails(et_audio_parse(cut, n, "cut", &a), ET_EFORMAT, "cut: ");
        ck_assert_ptr_null(a.samples);
        free(cut);
    }
    free(data);
}
END_TEST

/* What the library asks for while it reads, at most. */
static bool count_bytes(size_t bytes, void *user)
{
    size_t *most = user;

    if (bytes > *most)
        *most = bytes;
    return true;
}

/* Bits flipped at random: a sound or an error, and no more memory than the file justifies: four bytes for
 * each of its own, beside the reader's block. */
START_TEST(bits_flipped)
{
    unsigned char *data, *copy;
    uint32_t random = 12345u + (uint32_t)_i;
    size_t size, most = 0;
    et_audio a;

    data = get_file(fixture_path(fixtures[_i].name), &size);
    copy = malloc(size);
    et_set_alloc_hook(count_bytes, &most);
    for (int round = 0; round < 2000; round++) {
        memcpy(copy, data, size);
        for (int k = 0; k <= round % 4; k++) {
            random = random * 1664525u + 1013904223u;
            copy[(random >> 8) % size] ^= (unsigned char)(1u << (random >> 5 & 7));
        }
        et_error_clear();
        if (et_audio_parse(copy, size, "flipped", &a) == ET_OK) {
            ck_assert_int_le(a.samples->numel, (int64_t)size);
            ck_assert_int_ge(a.samples->numel, 1);
            et_audio_free(&a);
        } else {
            ck_assert_int_eq(et_error_status(), ET_EFORMAT);
            ck_assert_ptr_nonnull(strstr(et_error_message(), "flipped: "));
        }
    }
    et_set_alloc_hook(NULL, NULL);
    ck_assert_uint_le(most, 80 * 1024);
    free(copy);
    free(data);
}
END_TEST

static bool read_one(void *user)
{
    et_audio a;

    if (et_audio_read(fixture_path(user), &a) < 0)
        return false;
    et_audio_free(&a);
    return true;
}

static bool read_and_mix(void *user)
{
    et_audio a;
    bool ok;

    if (et_audio_read(fixture_path(user), &a) < 0)
        return false;
    ok = et_audio_to_mono(&a) == ET_OK;
    et_audio_free(&a);
    return ok;
}

START_TEST(without_memory)
{
    static char *const names[] = {"s16.wav", "mulaw.au", "sowt.aifc"};

    ck_assert_int_ge(alloc_sweep("sound", read_one, names[_i]), 3);
    ck_assert_int_ge(alloc_sweep("mono", read_and_mix, names[_i]), 4);
}
END_TEST

/* --- mono; scopes -------------------------------------------------------------------------------- */

START_TEST(mono)
{
    et_scope *scope = et_scope_open();
    et_audio a, none = {NULL, 0};
    et_tensor *flat = et_zeros(ET_F32, ET_SHAPE(4)), *wide = et_zeros(ET_F64, ET_SHAPE(1, 4));

    ck_assert_int_eq(et_audio_read(fixture_path("s16.wav"), &a), ET_OK);
    ck_assert_int_eq(et_audio_to_mono(&a), ET_OK);
    fails(et_audio_to_mono(&none), ET_EINVAL, "NULL");
    fails(et_audio_to_mono(&(et_audio){flat, 8000}), ET_ESHAPE, "[4]");
    fails(et_audio_to_mono(&(et_audio){wide, 8000}), ET_EDTYPE, "float64");
    ck_assert_int_eq(et_scope_close(scope), ET_OK);
    ck_assert(a.samples->shape[0] == 1 && a.samples->shape[1] == 5); /* no scope's */
    for (int i = 0; i < 5; i++)
        ck_assert(et_data_f32(a.samples)[i] == (float)(10 * (2 * i) + 5 - 44) / 64);
    ck_assert_int_eq(et_audio_to_mono(&a), ET_OK);
    ck_assert_int_eq(a.samples->shape[1], 5);
    et_audio_free(&a);
    et_audio_free(&a);
    et_audio_free(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audio");
    TCase *tc = tcase_create("audio");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, other_programs_files, 0, N_FIXTURES);
    tcase_add_test(tc, laws);
    tcase_add_test(tc, wav_chunks);
    tcase_add_loop_test(tc, wav_of_64_bits, 0, 2);
    tcase_add_loop_test(tc, odd_widths, 0, 6);
    tcase_add_test(tc, au_headers);
    tcase_add_test(tc, aiff_chunks);
    tcase_add_test(tc, wrong_headers);
    tcase_add_loop_test(tc, truncated, 0, N_FIXTURES);
    tcase_add_loop_test(tc, bits_flipped, 0, N_FIXTURES);
    tcase_add_loop_test(tc, without_memory, 0, 3);
    tcase_add_test(tc, mono);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
