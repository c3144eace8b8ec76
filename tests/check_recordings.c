/* Real recordings: every WAV file of the data beside the sources is read, and each sample compared with
 * the two bytes it stands in. */
#include "config.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/audio.h"
#include "tests/suite.h"

/* A file of 16 bits in one channel, whose header is the plain one of 44 bytes. */
static void expect_recording(const char *name, const unsigned char *data, size_t size, int64_t rate)
{
    et_audio a;
    double power = 0;
    int64_t frames = (int64_t)(size - 44) / 2, wrong = 0;

    ck_assert_msg(et_audio_parse(data, size, name, &a) == ET_OK, "%s", et_error_message());
    ck_assert_msg(a.rate == rate && a.samples->shape[0] == 1 && a.samples->shape[1] == frames,
                  "%s: %d Hz, %d of %d", name, (int)a.rate, (int)a.samples->shape[1], (int)frames);
    for (int64_t i = 0; i < frames; i++) {
        int v = data[44 + 2 * i] + 256 * data[45 + 2 * i];
        float want = (float)(v < 32768 ? v : v - 65536) / 32768;

        wrong += et_data_f32(a.samples)[i] != want;
        power += (double)want * want;
    }
    ck_assert_msg(wrong == 0, "%s: %d samples are wrong", name, (int)wrong);
    ck_assert_msg(power > 1e-6 * (double)frames, "%s is silent", name);
    ck_assert_int_eq(et_audio_to_rate(&a, 16000), ET_OK);
    ck_assert_int_eq(a.samples->shape[1], (frames * 16000 + rate - 1) / rate);
    for (int64_t i = 0; i < a.samples->shape[1]; i++)
        wrong += !(fabsf(et_data_f32(a.samples)[i]) < 1.5f);
    ck_assert_msg(wrong == 0, "%s: %d samples are beyond all bounds", name, (int)wrong);
    et_audio_free(&a);
}

START_TEST(clips)
{
    char folder[1024], path[2048];
    unsigned char *data = malloc(4 << 20);
    struct dirent *e;
    DIR *d;
    int n = 0;

    if (!suite_data(path, sizeof path, "real_clips/clips.csv")) {
        free(data);
        return;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL) {
        size_t length = strlen(e->d_name), size;
        et_audio_info info;
        FILE *f;

        if (length < 4 || strcmp(e->d_name + length - 4, ".wav") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        ck_assert_int_eq(et_audio_read_info(path, &info), ET_OK);
        ck_assert_str_eq(info.encoding, "PCM 16");
        f = fopen(path, "rb");
        ck_assert_ptr_nonnull(f);
        size = fread(data, 1, 4 << 20, f);
        fclose(f);
        expect_recording(e->d_name, data, size, 22050);
        n++;
    }
    closedir(d);
    free(data);
    printf("# %d clips\n", n);
    ck_assert_int_ge(n, 1);
}
END_TEST

/* The files of a .tar.gz, through the user's gzip. */
START_TEST(archives)
{
    static const struct {
        const char *name;
        int64_t rate;
        int files;
    } archives[] = {{"fsdd/wav.tar.gz", 8000, 840}, {"rendered/wav.tar.gz", 22050, 54}};
    char path[1024], command[1200];
    unsigned char head[512], *data = malloc(4 << 20);
    int n = 0;
    FILE *f;

    if (!suite_data(path, sizeof path, archives[_i].name)) {
        free(data);
        return;
    }
    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    while (fread(head, 1, 512, f) == 512 && head[0]) {
        char octal[13] = {0}, name[101] = {0};
        size_t size, padded;

        memcpy(octal, head + 124, 12);
        memcpy(name, head, 100);
        size = (size_t)strtoul(octal, NULL, 8);
        padded = (size + 511) / 512 * 512;
        ck_assert_uint_le(padded, 4 << 20);
        ck_assert_uint_eq(fread(data, 1, padded, f), padded);
        if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".wav") == 0) {
            expect_recording(name, data, size, archives[_i].rate);
            n++;
        }
    }
    while (fread(head, 1, 512, f) == 512)
        ;
    pclose(f);
    free(data);
    printf("# %s: %d files\n", archives[_i].name, n);
    ck_assert_int_eq(n, archives[_i].files);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recordings");
    TCase *tc = tcase_create("recordings");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, clips);
    tcase_add_loop_test(tc, archives, 0, 2);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
