/* What music-search gives its models to hear: sounds as the published CLAP takes them, and as others do. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/search_captions.h"
#include "examples/search_data.h"
#include "tensor/scope.h"
#include "tests/files.h"
#include "tests/suite.h"

enum { RATE = 48000, WANT = 10 * RATE, FRAMES = 1001, BANDS = 64 };

static void begin(void)
{
    make_test_dir();
    et_error_clear();
    et_scope_open();
}

static void end(void)
{
    while (et_scope_current())
        et_scope_close(et_scope_current());
    remove_test_dir();
}

/* n samples that do not repeat, louder than full scale in places. */
static et_audio sound(int64_t n, int64_t rate)
{
    et_audio a = {et_dataset_tensor(ET_F32, ET_SHAPE(1, n)), rate};
    float *x = et_data_mut(a.samples);

    for (int64_t i = 0; i < n; i++)
        x[i] = 1.1f * (float)sin(0.02 * (double)i + 1e-7 * (double)i * (double)i);
    return a;
}

/* As 16 bits hold it, by the definition. */
static float held(float v)
{
    return truncf(fmaxf(-1, fminf(1, v)) * 32767) / 32767;
}

static search_input input_of(const char *front_end)
{
    search_input in;

    ck_assert_int_eq(search_input_of(SEARCH_RECORDED, front_end, &in), ET_OK);
    return in;
}

START_TEST(inputs)
{
    search_input in = input_of("laion64");

    ck_assert_str_eq(in.front_end, "laion64");
    ck_assert_int_eq(in.frames, FRAMES);
    ck_assert_int_eq(in.bins, BANDS);
    ck_assert(in.seconds == 10 && search_silence(&in) == -100);
    in = input_of("ast128");
    ck_assert(in.frames == 1024 && in.bins == 128 && in.seconds == 10);
    in = input_of(NULL);
    ck_assert_str_eq(in.front_end, "mel96");
    ck_assert(in.bins == 96 && search_silence(&in) == -2);
    ck_assert_int_eq(search_input_of(SEARCH_RENDERED, "laion64", &in), ET_OK); /* there is no sound to hear */
    ck_assert_str_eq(in.front_end, "mel96");
    ck_assert(in.frames == 128 && in.seconds == 6);
    ck_assert_int_eq(search_input_of(SEARCH_TASK, "laion64", &in), ET_OK);
    ck_assert(in.front_end[0] == '\0' && in.frames == 64 && in.bins == 16);
    fails(search_input_of(SEARCH_RECORDED, "laion65", &in), ET_EINVAL, "laion65");
}
END_TEST

/* 2.9 s: three times, then silence. 11 s: all of it. */
START_TEST(heard_by_clap)
{
    static const int64_t lengths[] = {139200, WANT - 1, WANT, 11 * RATE, 1};
    const search_input in = input_of("laion64");
    et_front_end *fe = et_front_end_new(in.front_end);

    for (int k = 0; k < 5; k++) {
        const int64_t n = lengths[k], whole = n < WANT ? WANT / n * n : n;
        et_audio a = sound(n, RATE), b = sound(n, RATE);
        ck_assert_int_eq(search_hear(&in, fe, &a), ET_OK);
        ck_assert_int_eq(a.rate, RATE);
        ck_assert_int_eq(a.samples->numel, n < WANT ? WANT : n);
        const float *x = et_data(a.samples), *from = et_data(b.samples);
        for (int64_t i = 0; i < a.samples->numel; i++) {
            const float want = i < whole ? held(from[i % n]) : 0;
            if (!(fabsf(x[i] - want) <= 1e-7f))
                ck_abort_msg("%d samples: %g at %d, expected %g", (int)n, (double)x[i], (int)i, (double)want);
        }
        et_audio_free(&a);
        et_audio_free(&b);
    }
    et_front_end_free(fe);
}
END_TEST

START_TEST(heard_by_others)
{
    const search_input in = input_of(NULL);
    et_front_end *fe = et_front_end_new(in.front_end);
    const int64_t rate = et_front_end_rate(fe);
    et_audio a = sound(rate, rate), b = sound(rate, rate);

    ck_assert_int_eq(search_hear(&in, fe, &a), ET_OK);
    ck_assert_int_eq(a.samples->numel, rate);
    ck_assert_int_eq(memcmp(et_data(a.samples), et_data(b.samples), (size_t)rate * sizeof(float)), 0);
    et_audio_free(&a);
    et_audio_free(&b);
    et_front_end_free(fe);
}
END_TEST

/* Features of files are those of what is heard, read from the cache too. */
START_TEST(features)
{
    static const char table[] = "wav,genre,caption\nshort.wav,jazz,a short tone\n";
    const search_input in = input_of("laion64");
    const search_source from = {SEARCH_RECORDED, test_dir, 1, in_dir("features.cache"), true};
    et_front_end *fe = et_front_end_new(in.front_end);
    et_audio a = sound(139200, RATE);
    float *want = malloc(sizeof(float) * FRAMES * BANDS);

    put_file(in_dir("clips.csv"), table, sizeof table - 1);
    ck_assert_int_eq(et_audio_write_wav(in_dir("short.wav"), a.samples, RATE, ET_WAV_FLOAT32), ET_OK);
    ck_assert_int_eq(search_hear(&in, fe, &a), ET_OK);
    ck_assert_int_eq(et_front_end_frames(fe, WANT), FRAMES);
    ck_assert_int_eq(et_front_end_run(fe, et_data(a.samples), WANT, want), ET_OK);
    ck_assert(fabsf(want[(FRAMES - 1) * BANDS] - search_silence(&in)) < 1e-4f); /* three times 2.9 s */
    ck_assert(want[860 * BANDS] > -60);
    for (int again = 0; again < 2; again++) {
        search_data *d = search_data_load(&from, &in);
        ck_assert_msg(d != NULL, "%s", et_error_message());
        ck_assert_int_eq(d->test.n, 1);
        const et_tensor *x = search_sounds(d, d->test.items, 1);
        ck_assert_ptr_nonnull(x);
        ck_assert_int_eq(x->numel, FRAMES * BANDS);
        ck_assert_int_eq(memcmp(et_data(x), want, sizeof(float) * FRAMES * BANDS), 0);
        search_data_free(d);
    }
    free(want);
    et_audio_free(&a);
    et_front_end_free(fe);
}
END_TEST

/* Each is nearest to its own. Where size_t cannot count the bytes of all products, that is an error. */
START_TEST(captions_found)
{
    enum { N = 32768 };
    float *x = calloc(N, sizeof *x);
    et_retrieval_report found;

    ck_assert_ptr_nonnull(x);
    x[0] = 1;
    x[1] = -1;
    ck_assert_int_eq(search_captions_found(2, 1, x, x, &found), ET_OK);
    ck_assert(found.r_at_1 == 1 && found.mean_rank == 0);
    if (sizeof(size_t) == 4) /* 4 GiB */
        fails(search_captions_found(N, 1, x, x, &found), ET_ENOMEM, "out of memory");
    free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("search data");
    TCase *t = tcase_create("sounds");

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, inputs);
    tcase_add_test(t, heard_by_clap);
    tcase_add_test(t, heard_by_others);
    tcase_add_test(t, features);
    tcase_add_test(t, captions_found);
    suite_add_tcase(s, t);
    return suite_run(s);
}
