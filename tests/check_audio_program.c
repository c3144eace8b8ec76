/* Sound files that ffmpeg or sox decode: scripts under their names stand in for them, well-behaved and
 * not; the real sox where there is one. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "datasets/audio.h"
#include "datasets/audio_format.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static char *real_path;

static void setup(void)
{
    make_test_dir();
    real_path = strdup(getenv("PATH"));
    setenv("PATH", test_dir, 1);
    put_file(in_dir("a.mp3"), "ID3 and so on", 13);
}

static void teardown(void)
{
    setenv("PATH", real_path, 1);
    free(real_path);
    remove_test_dir();
}

/* A program in the test's folder. In its text, $here is that folder and $wav the fixture. */
static void put_program(const char *name, const char *text)
{
    char script[4096], cwd[1024], wav[1024];
    FILE *f;

    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    suite_file(wav, sizeof wav, "fixtures/audio/f32.wav");
    snprintf(script, sizeof script, "#!/bin/sh\nPATH=/usr/bin:/bin\nhere='%s'\nwav='%.1000s/%.1000s'\n%s\n",
             test_dir, wav[0] == '/' ? "" : cwd, wav, text);
    f = fopen(in_dir(name), "w");
    ck_assert_ptr_nonnull(f);
    fputs(script, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(in_dir(name), 0755), 0);
}

static void expect_fixture(et_audio *a)
{
    ck_assert(a->rate == 22050 && a->samples->shape[0] == 2 && a->samples->shape[1] == 5);
    for (int k = 0; k < 10; k++)
        ck_assert(et_data_f32(a->samples)[k % 2 * 5 + k / 2] == (float)(5 * k - 22) / 32);
    et_audio_free(a);
}

static int open_files(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(neither)
{
    et_audio a;

    fails(et_audio_read(in_dir("a.mp3"), &a), ET_EIO,
          "a.mp3: neither WAV, AU nor AIFF; to read other formats install ffmpeg or sox");
    put_file(in_dir("ffmpeg"), "no program", 10); /* not executable */
    ck_assert_int_eq(mkdir(in_dir("sox"), 0755), 0);
    fails(et_audio_read(in_dir("a.mp3"), &a), ET_EIO, "install ffmpeg or sox");
    setenv("PATH", "/dev/null:/nowhere", 1);
    fails(et_audio_read(in_dir("a.mp3"), &a), ET_EIO, "install ffmpeg or sox");
    unsetenv("PATH");
    setenv("PATH", "", 1);
    fails(et_audio_read(in_dir("a.mp3"), &a), ET_EIO, "install ffmpeg or sox");
    put_file(in_dir("empty.mp3"), "", 0);
    fails(et_audio_read(in_dir("empty.mp3"), &a), ET_EFORMAT, "empty.mp3: the file is empty");
}
END_TEST

START_TEST(decoded)
{
    static const char *const names[] = {"ffmpeg", "sox"};
    static const char *const texts[] = {
        "cat \"$wav\"", "cat \"$wav\"; exit 0", "echo 'a warning' >&2; sleep 0.1; cat \"$wav\"",
        /* it reads nothing, and no signal is ignored */
        "read -r line && exit 3; trap '' TERM; cat \"$wav\"",
        /* a child of its own keeps the pipes open */
        "sleep 60 & cat \"$wav\"; echo $! > \"$here/pid\"",
        /* a size that it could not know, as sox writes it, and as ffmpeg does */
        "dd if=\"$wav\" bs=1 count=54 2> /dev/null; printf '\\000\\360\\377\\177'; dd if=\"$wav\" bs=1 "
        "skip=58 2> "
        "/dev/null",
        "dd if=\"$wav\" bs=1 count=54 2> /dev/null; printf '\\377\\377\\377\\377'; dd if=\"$wav\" bs=1 "
        "skip=58 2> "
        "/dev/null"};
    int before = open_files();
    et_audio_info info;
    et_audio a;
    double begin = now();

    signal(SIGPIPE, SIG_IGN);
    put_program(names[_i % 2], texts[_i / 2]);
    ck_assert_msg(et_audio_read(in_dir("a.mp3"), &a) == ET_OK, "%s", et_error_message());
    expect_fixture(&a);
    ck_assert_int_eq(et_audio_read_info(in_dir("a.mp3"), &info), ET_OK);
    ck_assert_str_eq(info.container, names[_i % 2]);
    ck_assert_str_eq(info.encoding, "float 32");
    ck_assert(info.rate == 22050 && info.channels == 2 && info.frames == 5);
    ck_assert_int_eq(open_files(), before);
    ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD); /* nobody is left */
    ck_assert_double_lt(now() - begin, 20);
    if (access(in_dir("pid"), R_OK) == 0) {
        char text[32] = "";
        FILE *f = fopen(in_dir("pid"), "r");
        ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
        fclose(f);
        kill((pid_t)atol(text), SIGKILL);
    }
}
END_TEST

/* The name is one argument, whatever is in it, and never an option, an address or a command. */
START_TEST(names)
{
    static const char *const names[] = {
        "two words.mp3",   "-i",         "|touch x",      "$(touch x)", "'\"`;.mp3",
        "http://host/a.x", "file:a.mp3", "new\nline.mp3", "*?[a].mp3"};
    char cwd[1024], want[700];
    et_audio a;

    put_program("ffmpeg", "for a; do printf '%s\\n' \"$a\"; done > \"$here/arguments\"; cat \"$wav\"");
    put_program("sox", "for a; do printf '%s\\n' \"$a\"; done > \"$here/arguments\"; cat \"$wav\"");
    ck_assert_ptr_nonnull(getcwd(cwd, sizeof cwd));
    ck_assert_int_eq(mkdir(in_dir("http:"), 0755), 0);
    ck_assert_int_eq(mkdir(in_dir("http:/host"), 0755), 0);
    put_file(in_dir(names[_i]), "sound", 5);
    for (int program = 0; program < 2; program++) {
        for (int full = 0; full < 2; full++) {
            unsigned char *said;
            size_t size;

            snprintf(want, sizeof want, "%s%s%s%s\n", program ? "" : "file:", full ? test_dir : ".", "/",
                     names[_i]);
            ck_assert_int_eq(chdir(full ? "/" : test_dir), 0);
            ck_assert_msg(et_audio_read(full ? in_dir(names[_i]) : names[_i], &a) == ET_OK, "%s",
                          et_error_message());
            ck_assert_int_eq(chdir(cwd), 0);
            et_audio_free(&a);
            said = get_file(in_dir("arguments"), &size);
            said[size] = 0;
            ck_assert_msg(strstr((char *)said, want) != NULL, "'%s' lacks '%s'", said, want);
            free(said);
        }
        unlink(in_dir("ffmpeg"));
    }
    ck_assert_int_ne(access(in_dir("x"), F_OK), 0);
    unlink(in_dir("http:/host/a.x"));
    rmdir(in_dir("http:/host"));
}
END_TEST

START_TEST(failing)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"echo 'a.mp3: Invalid data' >&2; exit 1", "a.mp3: ffmpeg cannot read it: a.mp3: Invalid data"},
        {"cat \"$wav\"; printf 'one\\ntwo\\033[0m\\n\\n' >&2; exit 69", "ffmpeg cannot read it: one two [0m"},
        {"exit 1", "ffmpeg cannot read it: it does not say why"},
        {"exit 0", "ffmpeg found no samples in it"},
        {"echo hello", "what ffmpeg made of it is no WAV file"},
        {"head -c 20 \"$wav\"", "truncated"},
        {"kill -9 $$", "ffmpeg was ended by signal 9"},
        {"cat /dev/zero", "ffmpeg makes more than 67108864 bytes of it"},
        {"cat /dev/zero >&2", "ffmpeg was not done with it in 6 seconds"},
        {"sleep 1000", "ffmpeg has hung: nothing came of it for 0.3 seconds"},
        {"cat \"$wav\"; sleep 1000", "ffmpeg has hung"},
        {"exec 1>&- 2>&-; sleep 1000", "ffmpeg has hung"},
        {"trap '' INT TERM HUP PIPE; sleep 1000 & sleep 1000", "ffmpeg has hung"},
        {"while :; do printf x; sleep 0.1; done", "ffmpeg was not done with it in 6 seconds"}};
    int before = open_files();
    unsigned char *wav = NULL;
    const char *program;
    et_status status;
    size_t size;
    et_audio a;

    put_program("ffmpeg", cases[_i].text);
    put_program("sox", "cat \"$wav\""); /* ffmpeg's word is final */
    if (strstr(cases[_i].words, "seconds") || strstr(cases[_i].words, "hung")) {
        status = et_audio_run_decoder(in_dir("a.mp3"), 13, "mp3", 0.3, &wav, &size, &program);
        ck_assert_ptr_null(wav);
    } else {
        status = et_audio_read(in_dir("a.mp3"), &a);
        ck_assert_ptr_null(a.samples);
    }
    ck_assert_int_eq(status, ET_EFORMAT);
    ck_assert_msg(strstr(et_error_message(), cases[_i].words) != NULL, "'%s' lacks '%s'", et_error_message(),
                  cases[_i].words);
    for (const char *p = et_error_message(); *p; p++)
        ck_assert_int_ge((unsigned char)*p, ' ');
    ck_assert_int_eq(open_files(), before);
    ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    et_error_clear();
}
END_TEST

/* Programs that pay no heed to their children have no exit status to look at. */
START_TEST(children_ignored)
{
    et_audio a;

    signal(SIGCHLD, SIG_IGN);
    put_program("ffmpeg", "cat \"$wav\"");
    ck_assert_msg(et_audio_read(in_dir("a.mp3"), &a) == ET_OK, "%s", et_error_message());
    expect_fixture(&a);
}
END_TEST

/* Without the three usual files, pipes do not land in their places. */
START_TEST(nothing_open)
{
    et_audio a;
    et_status status;
    int saved[3];

    put_program("ffmpeg", "cat \"$wav\"");
    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD, 100);
        close(fd);
    }
    status = et_audio_read(in_dir("a.mp3"), &a);
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    ck_assert_msg(status == ET_OK, "%s", et_error_message());
    expect_fixture(&a);
}
END_TEST

static void *read_often(void *path)
{
    int good = 0;

    for (int i = 0; i < 10; i++) {
        et_audio a;

        et_error_clear();
        if (et_audio_read(path, &a) == ET_OK && a.samples->shape[1] == 5)
            good++;
        et_audio_free(&a);
    }
    return good == 10 ? path : NULL;
}

START_TEST(threads)
{
    pthread_t thread[4];
    int before = open_files();
    char path[600];
    void *result;

    put_program("ffmpeg", "cat \"$wav\"");
    snprintf(path, sizeof path, "%s", in_dir("a.mp3"));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_often, path), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_int_eq(open_files(), before);
}
END_TEST

static bool read_one(void *user)
{
    et_audio a;

    if (et_audio_read(user, &a) < 0)
        return false;
    et_audio_free(&a);
    return true;
}

START_TEST(without_memory)
{
    char path[600];

    put_program("ffmpeg", "cat \"$wav\"");
    snprintf(path, sizeof path, "%s", in_dir("a.mp3"));
    ck_assert_int_ge(alloc_sweep("decoding", read_one, path), 6);
}
END_TEST

/* FLAC keeps the samples; sox can write it. */
START_TEST(real_sox)
{
    char command[4096], wav[1024];
    et_audio a;

    setenv("PATH", real_path, 1);
    if (system("sox --version > /dev/null 2>&1") != 0) {
        printf("# no sox: skipped\n");
        return;
    }
    snprintf(command, sizeof command, "sox -D '%s' -b 16 '%s'",
             suite_file(wav, sizeof wav, "fixtures/audio/s16.wav"), in_dir("a b.flac"));
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(et_audio_read(in_dir("a b.flac"), &a) == ET_OK, "%s", et_error_message());
    expect_fixture(&a);
    put_file(in_dir("b.flac"), "fLaC and then nonsense", 22);
    et_error_clear();
    ck_assert_int_eq(et_audio_read(in_dir("b.flac"), &a), ET_EFORMAT);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "b.flac: "));
    et_error_clear();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audio_program");
    TCase *tc = tcase_create("audio_program");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, neither);
    tcase_add_loop_test(tc, decoded, 0, 14);
    tcase_add_loop_test(tc, names, 0, 9);
    tcase_add_loop_test(tc, failing, 0, 14);
    tcase_add_test(tc, children_ignored);
    tcase_add_test(tc, nothing_open);
    tcase_add_test(tc, threads);
    tcase_add_test(tc, without_memory);
    tcase_add_test(tc, real_sox);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
