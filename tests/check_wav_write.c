/* Writing WAV files: the bytes that SciPy writes, rounding, clipping, views, and what goes wrong. */
#include "config.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "datasets/audio.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* The samples of the fixtures: channel c, frame i is (5 (2 i + c) - 22) / 32. */
static et_tensor *fixture_samples(void)
{
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(2, 5));
    float *p = et_data_mut(x);

    for (int k = 0; k < 10; k++)
        p[k % 2 * 5 + k / 2] = (float)(5 * k - 22) / 32;
    return x;
}

START_TEST(same_bytes_as_others)
{
    static const struct {
        const char *file;
        et_wav_encoding encoding;
    } cases[] = {{"fixtures/audio/s16.wav", ET_WAV_PCM16},
                 {"fixtures/audio/s24.wav", ET_WAV_PCM24},
                 {"fixtures/audio/f32.wav", ET_WAV_FLOAT32}};
    et_tensor *x = fixture_samples();
    unsigned char *ours, *theirs;
    char path[1024];
    size_t a, b;

    ck_assert_int_eq(et_audio_write_wav(in_dir("a.wav"), x, 22050, cases[_i].encoding), ET_OK);
    ours = get_file(in_dir("a.wav"), &a);
    theirs = get_file(suite_file(path, sizeof path, cases[_i].file), &b);
    ck_assert_uint_eq(a, b);
    ck_assert_mem_eq(ours, theirs, a);
    ck_assert_int_eq(count_files(), 1);
    free(theirs);
    theirs = et_audio_wav("memory", x, 22050, cases[_i].encoding, &b); /* the same without a file */
    ck_assert_uint_eq(a, b);
    ck_assert_mem_eq(ours, theirs, a);
    et_dealloc(theirs);
    ck_assert_ptr_null(et_audio_wav("memory", x, 0, cases[_i].encoding, &b));
    ck_assert(et_error_status() == ET_EINVAL && strstr(et_error_message(), "memory: a rate of 0 Hz"));
    et_error_clear();
    free(ours);
    et_free(x);
}
END_TEST

START_TEST(rounding_and_clipping)
{
    static const float in[] = {0, 0.4f / 32768, -0.6f / 32768, 1.5f / 32768, 2.5f / 32768, 1, -1,
                               7, -7,           INFINITY,      -INFINITY};
    static const int out[] = {0, 0, -1, 2, 2, 32767, -32768, 32767, -32768, 32767, -32768};
    enum { N = sizeof in / sizeof in[0] };
    et_tensor *x = et_from(ET_F32, ET_SHAPE(N), in);
    et_audio a;

    ck_assert_int_eq(et_audio_write_wav(in_dir("a.wav"), x, 8000, ET_WAV_PCM16), ET_OK);
    ck_assert_int_eq(et_audio_read(in_dir("a.wav"), &a), ET_OK);
    for (int i = 0; i < N; i++)
        ck_assert_msg(et_data_f32(a.samples)[i] == (float)out[i] / 32768, "%d: %g", i,
                      (double)et_data_f32(a.samples)[i] * 32768);
    et_audio_free(&a);
    et_free(x);
}
END_TEST

/* Any number of channels and frames, odd sizes too; floats bit for bit, PCM within half a step. */
START_TEST(round_trip)
{
    et_wav_encoding encoding = (et_wav_encoding)(_i % 3);
    double step = encoding == ET_WAV_PCM16 ? 1 / 65536.0 : encoding == ET_WAV_PCM24 ? 1 / 16777216.0 : 0;
    int64_t channels = 1 + _i / 3 % 3, frames = _i < 9 ? 7 : 20001, wrong = 0;
    et_tensor *x = et_empty(ET_F32, ET_SHAPE(frames, channels)), *t;
    float *p = et_data_mut(x);
    unsigned char *data;
    et_audio a;
    size_t size;

    for (int64_t k = 0; k < x->numel; k++)
        p[k] = sinf((float)k * 0.7f) * 0.99f;
    t = et_raw_view(x, ET_SHAPE(channels, frames), (const int64_t[]){1, channels}, 0);
    ck_assert_int_eq(et_audio_write_wav(in_dir("a.wav"), t, 192000, encoding), ET_OK);
    ck_assert_int_eq(et_audio_read(in_dir("a.wav"), &a), ET_OK);
    ck_assert(a.rate == 192000 && et_same_shape(a.samples, t));
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < frames; i++)
            wrong += !(fabs((double)et_data_f32(a.samples)[c * frames + i] - p[i * channels + c]) <= step);
    ck_assert_int_eq(wrong, 0);
    if (frames == 7) {
        data = get_file(in_dir("a.wav"), &size);
        ck_assert_uint_eq(size % 2, 0);
        ck_assert_uint_eq(data[4] + 256u * data[5] + 8, size);
        free(data);
    }
    et_audio_free(&a);
    et_free(t);
    et_free(x);
}
END_TEST

static bool write_one(void *user)
{
    return et_audio_write_wav(in_dir("a.wav"), user, 8000, ET_WAV_PCM16) == ET_OK;
}

START_TEST(too_many_samples)
{
    et_tensor *zero = et_zeros(ET_F32, ET_SHAPE(1)),
              *huge = et_raw_view(zero, ET_SHAPE(1, (int64_t)1 << 31), (const int64_t[]){0, 0}, 0);
    unsigned char *old;
    size_t size;

    ck_assert_ptr_nonnull(huge);
    put_file(in_dir("a.wav"), "old", 3);
    fails(et_audio_write_wav(in_dir("a.wav"), huge, 8000, ET_WAV_PCM16), ET_EINVAL,
          "too many for a WAV file");
    old = get_file(in_dir("a.wav"), &size);
    ck_assert(size == 3 && memcmp(old, "old", 3) == 0);
    free(old);
    ck_assert_int_eq(count_files(), 1);
    et_free(huge);
    et_free(zero);
}
END_TEST

START_TEST(writing_fails)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(100000)), *wide = et_zeros(ET_F64, ET_SHAPE(2)),
              *cube = et_zeros(ET_F32, ET_SHAPE(2, 2, 2)), *scalar = et_scalar(ET_F32, 1),
              *none = et_zeros(ET_F32, ET_SHAPE(0, 4)), *zero = et_zeros(ET_F32, ET_SHAPE(1));
    struct rlimit limit, small;
    unsigned char *old;
    size_t size;

    put_file(in_dir("a.wav"), "old", 3);
    fails(et_audio_write_wav(NULL, x, 8000, ET_WAV_PCM16), ET_EINVAL, "NULL");
    fails(et_audio_write_wav(in_dir("a.wav"), NULL, 8000, ET_WAV_PCM16), ET_EINVAL, "NULL");
    fails(et_audio_write_wav(in_dir("a.wav"), wide, 8000, ET_WAV_PCM16), ET_EDTYPE,
          "a.wav: samples are float32");
    fails(et_audio_write_wav(in_dir("a.wav"), cube, 8000, ET_WAV_PCM16), ET_ESHAPE, "[2, 2, 2]");
    fails(et_audio_write_wav(in_dir("a.wav"), scalar, 8000, ET_WAV_PCM16), ET_ESHAPE, "[]");
    fails(et_audio_write_wav(in_dir("a.wav"), none, 8000, ET_WAV_PCM16), ET_ESHAPE, "[0, 4]");
    fails(et_audio_write_wav(in_dir("a.wav"), x, 0, ET_WAV_PCM16), ET_EINVAL, "a rate of 0 Hz");
    fails(et_audio_write_wav(in_dir("a.wav"), x, -8000, ET_WAV_PCM16), ET_EINVAL, "a rate of -8000 Hz");
    fails(et_audio_write_wav(in_dir("a.wav"), x, 10000001, ET_WAV_PCM16), ET_EINVAL, "a rate of 10000001 Hz");
    fails(et_audio_write_wav(in_dir("a.wav"), x, 8000, (et_wav_encoding)3), ET_EINVAL, "number 3");
    fails(et_audio_write_wav(in_dir("none/a.wav"), x, 8000, ET_WAV_PCM16), ET_EIO, "none/a.wav");
    fails(et_audio_write_wav(test_dir, x, 8000, ET_WAV_PCM16), ET_EIO, test_dir);
    et_fill(x, 0.25);
    et_set(x, (const int64_t[]){77777}, NAN);
    fails(et_audio_write_wav(in_dir("a.wav"), x, 8000, ET_WAV_PCM16), ET_EINVAL,
          "frame 77777 of channel 0 is not a number");
    fails(et_audio_write_wav(in_dir("a.wav"), x, 8000, ET_WAV_PCM24), ET_EINVAL, "a.wav");
    et_set(x, (const int64_t[]){77777}, 0);
    et_raise(ET_EINVAL, "something before");
    ck_assert_int_eq(et_audio_write_wav(in_dir("a.wav"), x, 8000, ET_WAV_PCM16), ET_EINVAL);
    et_error_clear();
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(et_audio_write_wav(in_dir("a.wav"), x, 8000, ET_WAV_PCM16), ET_EFULL);
    ck_assert_msg(strncmp(et_error_message(), test_dir, strlen(test_dir)) == 0 &&
                      strstr(et_error_message(), "a.wav: cannot write") &&
                      !strstr(strstr(et_error_message(), "a.wav") + 1, "a.wav"), /* once */
                  "%s", et_error_message());
    et_error_clear();
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_ge(alloc_sweep("WAV write", write_one, zero), 2);
    put_file(in_dir("a.wav"), "old", 3);
    fails(et_audio_write_wav(in_dir("a.wav"), none, 8000, ET_WAV_PCM16), ET_ESHAPE, "[0, 4]");
    old = get_file(in_dir("a.wav"), &size);
    ck_assert(size == 3 && memcmp(old, "old", 3) == 0);
    free(old);
    ck_assert_int_eq(count_files(), 1);
    et_free(zero);
    et_free(none);
    et_free(scalar);
    et_free(cube);
    et_free(wide);
    et_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wav_write");
    TCase *tc = tcase_create("wav_write");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, same_bytes_as_others, 0, 3);
    tcase_add_test(tc, rounding_and_clipping);
    tcase_add_loop_test(tc, round_trip, 0, 18);
    if (sizeof(size_t) > 4) /* a tensor of 32 bits has not that many */
        tcase_add_test(tc, too_many_samples);
    tcase_add_test(tc, writing_fails);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
