/* A directory for the files of a test, looked through and removed at its end. */
#ifndef ETUDE_TESTS_FILES_H
#define ETUDE_TESTS_FILES_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/suite.h"

/* The call must return the status and leave a message that contains the words. */
#define fails(call, status_, words)                                                         \
    do {                                                                                    \
        et_error_clear();                                                                   \
        ck_assert_int_eq((call), (status_));                                                \
        ck_assert_msg(strstr(et_error_message(), words) != NULL, "message '%s' lacks '%s'", \
                      et_error_message(), words);                                           \
        et_error_clear();                                                                   \
    } while (0)

/* The same for calls that return a pointer. */
#define fails_null(call, status_, words) fails((call) == NULL ? et_error_status() : ET_OK, status_, words)

/* What a reader gave: something where the status is OK;
 * else NULL and an error with the words and the name of the file. */
static inline void outcome(const void *got, et_status status, const char *words, const char *name)
{
    if (status == ET_OK) {
        ck_assert_msg(got != NULL, "%s", et_error_message());
        return;
    }
    ck_assert_ptr_null(got);
    ck_assert_int_eq(et_error_status(), status);
    ck_assert_msg(strstr(et_error_message(), words) && strstr(et_error_message(), name),
                  "message '%s' lacks '%s'", et_error_message(), words);
    et_error_clear();
}

static char test_dir[256];

static inline void make_test_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(test_dir, sizeof test_dir, "%.200s/etude-check-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(test_dir));
}

/* Path of a file in the directory; eight paths may be in use at once. */
static inline const char *in_dir(const char *name)
{
    static char paths[8][600];
    static int next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof paths[0], "%s/%.300s", test_dir, name);
    return p;
}

/* Number of entries in the directory. */
static inline int count_files(void)
{
    DIR *d = opendir(test_dir);
    struct dirent *e;
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static inline void remove_test_dir(void)
{
    DIR *d = opendir(test_dir);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            char path[1024];

            snprintf(path, sizeof path, "%s/%s", test_dir, e->d_name);
            if (unlink(path) != 0)
                rmdir(path);
        }
    if (d)
        closedir(d);
    rmdir(test_dir);
}

/* Writes and reads files by libc alone. */
static inline void put_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

/* Released with free. */
static inline unsigned char *get_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *data = malloc(1 << 20);

    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(data);
    *size = fread(data, 1, 1 << 20, f);
    ck_assert_uint_lt(*size, 1 << 20);
    fclose(f);
    return data;
}

/* A copy of a safetensors file in which the value of a key of its metadata begins with other characters. */
static inline void put_damaged(const char *copy, const char *path, const char *key, const char *with)
{
    size_t size;
    char *data = (char *)get_file(path, &size), quoted[80];

    snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    char *at = strstr(data + 8, quoted); /* behind the length of the header */
    ck_assert_msg(at, "no %s in %s", quoted, path);
    memcpy(at + strlen(quoted), with, strlen(with));
    put_file(copy, data, size);
    free(data);
}

#endif
