/* The cache of features: kept, made anew, damaged, half made. */
#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "datasets/feature_cache.h"
#include "tensor/alloc.h"
#include "tests/chirps.h"

static void agrees(const et_feature_cache *cache, const et_collection *c, const et_front_end *fe)
{
    for (int64_t i = 0; i < et_feature_cache_size(cache); i++) {
        float *rows, *got;
        int64_t frames, bins = et_front_end_bins(fe);
        et_status s = et_item_features(c, i, fe, &rows, &frames);

        ck_assert_int_eq(et_feature_cache_frames(cache, i), frames);
        ck_assert_int_eq(s < 0, et_feature_cache_problem(cache, i) != NULL);
        if (s < 0) {
            ck_assert_str_eq(et_feature_cache_problem(cache, i), et_error_message());
            et_error_clear();
            continue;
        }
        made(got = et_alloc((size_t)(frames * bins) * 4));
        ok(et_feature_cache_read(cache, i, 0, frames, got));
        ck_assert(memcmp(got, rows, (size_t)(frames * bins) * 4) == 0);
        ok(et_feature_cache_read(cache, i, frames - 1, 1, got));
        ck_assert(memcmp(got, rows + (frames - 1) * bins, (size_t)bins * 4) == 0);
        fails(et_feature_cache_read(cache, i, 1, frames, got), ET_EINVAL, "no frames 1");
        et_dealloc(rows);
        et_dealloc(got);
    }
}

static bool count_progress(int64_t done, int64_t total, void *user)
{
    int64_t *n = user;
    ck_assert_int_eq(done, ++*n);
    ck_assert_int_eq(total, N);
    return true;
}

static bool open_is_new(const et_collection *c, const et_front_end *fe, const et_feature_cache_options *o,
                        const char *words)
{
    et_feature_cache *cache = et_feature_cache_open(c, fe, o);
    const char *why;
    bool is_new;

    made(cache);
    is_new = et_feature_cache_was_made(cache, &why);
    ck_assert_msg(strstr(why, words) != NULL, "'%s' lacks '%s'", why, words);
    agrees(cache, c, fe);
    ck_assert_int_eq(et_feature_cache_broken(cache), 2);
    et_feature_cache_free(cache);
    return is_new;
}

START_TEST(cache_is_kept_and_made_anew)
{
    et_collection *c = make_collection();
    et_front_end *fe = et_front_end_new("rnn64"), *other = et_front_end_new("won96");
    int64_t steps = 0;
    et_feature_cache_options o = {.path = in_dir("cache"), .key = "one", .threads = 2,
                                  .progress = count_progress, .user = &steps};
    size_t size, again;
    unsigned char *data, *data2;

    ck_assert(open_is_new(c, fe, &o, "no file yet"));
    ck_assert_int_eq(steps, N);
    ck_assert(!open_is_new(c, fe, &o, ""));
    ck_assert_int_eq(steps, N); /* nothing to wait for */
    data = get_file(o.path, &size);
    o.threads = 0; /* the same file whatever the threads */
    ck_assert_int_eq(unlink(o.path), 0);
    steps = 0;
    ck_assert(open_is_new(c, fe, &o, "no file yet"));
    data2 = get_file(o.path, &again);
    ck_assert(size == again && memcmp(data, data2, size) == 0);
    o.progress = NULL;
    o.key = "two";
    ck_assert(open_is_new(c, fe, &o, "other things"));
    ck_assert(open_is_new(c, other, &o, "other things"));
    ck_assert(open_is_new(c, fe, &o, "other things"));
    strcpy(c->names.items[3], "itemX");
    ck_assert(open_is_new(c, fe, &o, "other items"));
    ck_assert_int_eq(count_files(), 1);
    o.key = NULL;
    fails_null(et_feature_cache_open(c, fe, &o), ET_EINVAL, "a key must say");
    o.key = "x";
    o.path = in_dir("no/such/folder");
    fails_null(et_feature_cache_open(c, fe, &o), ET_EIO, "no/such/folder");
    free(data);
    free(data2);
    et_front_end_free(fe);
    et_front_end_free(other);
    et_collection_free(c);
}
END_TEST

/* Every kind of damage is seen, and the file made anew. */
START_TEST(cache_damage)
{
    et_collection *c = make_collection();
    et_front_end *fe = et_front_end_new("rnn64");
    et_feature_cache_options o = {.path = in_dir("cache"), .key = "k"};
    size_t size, n;
    unsigned char *data, *now;

    ck_assert(open_is_new(c, fe, &o, ""));
    data = get_file(o.path, &size);
    for (int k = 0; k < 60; k++) {
        size_t at = k < 40 ? size - 1 - (size_t)k * 13 : (size_t)(k - 40) * (size - 1) / 19;
        data[at] ^= 1 << k % 8;
        put_file(o.path, data, size);
        data[at] ^= 1 << k % 8;
        ck_assert_msg(open_is_new(c, fe, &o, ""), "byte %zu", at);
        now = get_file(o.path, &n);
        ck_assert(n == size && memcmp(now, data, n) == 0);
        free(now);
    }
    for (int k = 0; k < 20; k++) {
        put_file(o.path, data, size * (size_t)k / 20);
        ck_assert(open_is_new(c, fe, &o, "damaged"));
    }
    ck_assert(!open_is_new(c, fe, &o, ""));
    /* a file of another kind is not written over */
    put_file(o.path, "RIFF", 4);
    fails_null(et_feature_cache_open(c, fe, &o), ET_EINVAL, "cache: no file of features");
    memset(data, 'x', size);
    put_file(o.path, data, size);
    fails_null(et_feature_cache_open(c, fe, &o), ET_EINVAL, "is not written over");
    now = get_file(o.path, &n);
    ck_assert(n == size && memcmp(now, data, n) == 0);
    free(now);
    free(data);
    et_front_end_free(fe);
    et_collection_free(c);
}
END_TEST

/* A file that changed, or went, is seen. */
START_TEST(cache_of_files)
{
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(4000));
    et_front_end *fe = et_front_end_new("rnn64");
    et_feature_cache_options o = {.threads = 1};
    et_feature_cache *cache;
    et_collection *c;
    const char *why;
    char path[600], wav[600];

    strcpy(path, in_dir("cache"));
    strcpy(wav, in_dir("a.wav"));
    o.path = path;
    ok(et_audio_write_wav(wav, x, 16000, ET_WAV_PCM16));
    made(c = et_collection_new("one"));
    ok(et_names_add(&c->names, "a"));
    ok(et_names_add(&c->files, wav));
    made(cache = et_feature_cache_open(c, fe, &o));
    const uint64_t sum = et_feature_cache_sum(cache);
    et_feature_cache_free(cache);
    made(cache = et_feature_cache_open(c, fe, &o));
    ck_assert(!et_feature_cache_was_made(cache, &why));
    ck_assert_uint_eq(et_feature_cache_sum(cache), sum);
    et_feature_cache_free(cache);
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    ok(et_audio_write_wav(wav, x, 16000, ET_WAV_PCM16)); /* the same sound again: another date alone */
    made(cache = et_feature_cache_open(c, fe, &o));
    ck_assert(et_feature_cache_was_made(cache, &why));
    ck_assert_uint_eq(et_feature_cache_sum(cache), sum);
    et_feature_cache_free(cache);
    nanosleep(&(struct timespec){0, 50000000}, NULL); /* file systems count time in steps */
    ((float *)et_data_mut(x))[5] = 0.5f; /* same size, another date */
    ok(et_audio_write_wav(wav, x, 16000, ET_WAV_PCM16));
    made(cache = et_feature_cache_open(c, fe, &o));
    ck_assert(et_feature_cache_was_made(cache, &why));
    ck_assert_str_eq(why, "a source has changed");
    ck_assert_int_eq(et_feature_cache_broken(cache), 0);
    ck_assert_uint_ne(et_feature_cache_sum(cache), sum);
    et_feature_cache_free(cache);
    ck_assert_int_eq(unlink(wav), 0);
    made(cache = et_feature_cache_open(c, fe, &o));
    ck_assert_int_eq(et_feature_cache_broken(cache), 1);
    ck_assert_ptr_nonnull(strstr(et_feature_cache_problem(cache, 0), "a.wav"));
    et_feature_cache_free(cache);
    et_collection_free(c);
    et_front_end_free(fe);
    et_free(x);
}
END_TEST

/* A source that waits for a program to decode it is read as soon as that is installed. */
START_TEST(cache_of_what_could_not_be_read)
{
    static const char script[] = "#!/bin/sh\ncat \"${0%/*}/s.wav\"\n";
    et_tensor *x = et_zeros(ET_F32, ET_SHAPE(4000));
    et_front_end *fe = et_front_end_new("rnn64");
    et_feature_cache_options o = {.path = in_dir("cache")};
    char *path = strdup(getenv("PATH")), *both = malloc(strlen(path) + 600);
    et_feature_cache *cache;
    et_collection *c;
    const char *why;

    put_file(in_dir("a.mp3"), "music", 5);
    ok(et_audio_write_wav(in_dir("s.wav"), x, 16000, ET_WAV_PCM16));
    made(c = et_collection_new("one"));
    ok(et_names_add(&c->names, "a"));
    ok(et_names_add(&c->files, in_dir("a.mp3")));
    setenv("PATH", test_dir, 1); /* neither ffmpeg nor sox */
    for (int k = 0; k < 2; k++) {
        made(cache = et_feature_cache_open(c, fe, &o));
        ck_assert(et_feature_cache_was_made(cache, &why) == (k == 0));
        ck_assert_ptr_nonnull(strstr(et_feature_cache_problem(cache, 0), "install ffmpeg"));
        et_feature_cache_free(cache);
    }
    put_file(in_dir("ffmpeg"), script, sizeof script - 1);
    ck_assert_int_eq(chmod(in_dir("ffmpeg"), 0755), 0);
    sprintf(both, "%s:%s", test_dir, path);
    setenv("PATH", both, 1);
    for (int k = 0; k < 2; k++) {
        made(cache = et_feature_cache_open(c, fe, &o));
        ck_assert(et_feature_cache_was_made(cache, &why) == (k == 0));
        ck_assert_str_eq(why, k == 0 ? "a source can be read now" : "");
        ck_assert_int_eq(et_feature_cache_broken(cache), 0);
        et_feature_cache_free(cache);
    }
    et_collection_free(c);
    et_front_end_free(fe);
    et_free(x);
    free(path);
    free(both);
}
END_TEST

static bool give_up(int64_t done, int64_t total, void *user)
{
    (void)total;
    (void)user;
    return done < 4;
}

static bool kill_me(int64_t done, int64_t total, void *user)
{
    (void)total;
    (void)user;
    if (done == 4)
        raise(SIGKILL);
    return true;
}

START_TEST(cache_half_way)
{
    et_collection *c = make_collection();
    et_front_end *fe = et_front_end_new("rnn64");
    et_feature_cache_options o = {.path = in_dir("cache"), .key = "k", .threads = 2, .progress = give_up};
    size_t size, n;
    unsigned char *data, *now;
    pid_t child;
    int status;

    fails_null(et_feature_cache_open(c, fe, &o), ET_EINVAL, "given up at item 4 of 12");
    ck_assert_int_eq(count_files(), 0);
    o.progress = NULL;
    ck_assert(open_is_new(c, fe, &o, "no file yet"));
    data = get_file(o.path, &size);
    child = fork();
    if (child == 0) {
        o.key = "another";
        o.progress = kill_me;
        et_feature_cache_open(c, fe, &o);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    now = get_file(o.path, &n);
    ck_assert(n == size && memcmp(now, data, n) == 0); /* the old one stands */
    ck_assert(!open_is_new(c, fe, &o, ""));
    free(data);
    free(now);
    et_front_end_free(fe);
    et_collection_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("feature_cache");
    TCase *t = tcase_create("feature_cache");

    tcase_add_checked_fixture(t, et_error_clear, NULL);
    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, cache_is_kept_and_made_anew);
    tcase_add_test(t, cache_damage);
    tcase_add_test(t, cache_of_files);
    tcase_add_test(t, cache_of_what_could_not_be_read);
    tcase_add_test(t, cache_half_way);
    suite_add_tcase(s, t);
    return suite_run(s);
}
