/* Growing texts, byte order, sorting, and files written in one step. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/file.h"
#include "tensor/sort.h"
#include "tensor/strbuf.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* --- texts, bytes, sorting ------------------------------------------------------------ */

START_TEST(text_grows)
{
    et_strbuf b = ET_STRBUF_INIT;
    char *s;
    int i;

    s = et_strbuf_take(&b);
    ck_assert_str_eq(s, "");
    et_dealloc(s);
    for (i = 0; i < 1000; i++)
        ck_assert(et_strbuf_printf(&b, "%04d", i));
    ck_assert_uint_eq(b.size, 4000);
    ck_assert_int_eq(memcmp(b.data + 3992, "09980999", 9), 0);
    et_strbuf_reset(&b);
    et_strbuf_fill(&b, 'x', 3);
    et_strbuf_putc(&b, 'y');
    et_strbuf_add(&b, "a\0b", 3);
    et_strbuf_puts(&b, "z");
    ck_assert_uint_eq(b.size, 8);
    ck_assert_int_eq(memcmp(b.data, "xxxya\0bz", 9), 0);
    et_strbuf_printf(&b, "%0500d", 7); /* longer than what is left */
    ck_assert_uint_eq(b.size, 508);
    ck_assert_int_eq(b.data[507], '7');
    ck_assert_uint_eq(strlen(b.data + 8), 500);
    et_strbuf_free(&b);
    ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(text_too_long)
{
    et_strbuf b = ET_STRBUF_INIT;

    et_strbuf_puts(&b, "x");
    ck_assert(!et_strbuf_reserve(&b, SIZE_MAX - 10));
    ck_assert_int_eq(et_error_status(), ET_ENOMEM);
    ck_assert(!et_strbuf_puts(&b, "y")); /* the failure sticks */
    ck_assert_ptr_null(et_strbuf_take(&b));
    ck_assert(et_strbuf_puts(&b, "z"));
    et_strbuf_free(&b);
    et_error_clear();
}
END_TEST

static bool build_text(void *user)
{
    et_strbuf b = ET_STRBUF_INIT;
    char *s;
    int i;

    (void)user;
    for (i = 0; i < 100; i++)
        et_strbuf_printf(&b, "line %d of some length\n", i);
    s = et_strbuf_take(&b);
    et_dealloc(s);
    return s != NULL;
}

START_TEST(text_without_memory) { ck_assert_int_gt(alloc_sweep("text", build_text, NULL), 3); }
END_TEST

START_TEST(byte_order)
{
    const unsigned char p[8] = {0x01, 0x82, 0x03, 0x84, 0x05, 0x86, 0x07, 0x88};
    unsigned char q[8];

    ck_assert_uint_eq(et_load_u16le(p), 0x8201);
    ck_assert_uint_eq(et_load_u16be(p), 0x0182);
    ck_assert_uint_eq(et_load_u32le(p), 0x84038201);
    ck_assert_uint_eq(et_load_u32be(p), 0x01820384);
    ck_assert(et_load_u64le(p) == UINT64_C(0x8807860584038201));
    ck_assert(et_load_u64be(p) == UINT64_C(0x0182038405860788));
    et_store_u64le(q, UINT64_C(0x8807860584038201));
    ck_assert_mem_eq(p, q, 8);
    ck_assert(et_bits_f32(0x3FC00000) == 1.5f && et_f32_bits(1.5f) == 0x3FC00000);
    ck_assert(et_bits_f64(UINT64_C(0x3FF8000000000000)) == 1.5 &&
              et_f64_bits(-2) == UINT64_C(0xC000000000000000));
}
END_TEST

static int compare_ints(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

START_TEST(sorting)
{
    static int values[1000], sorted[1000];
    static void *v[1000];
    uint32_t state = (uint32_t)_i;
    int n = _i < 20 ? _i : 1000, i;

    for (i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = _i % 3 == 0 ? i : _i % 3 == 1 ? -i : (int)(state >> 8) % 50;
        v[i] = &values[i];
    }
    et_sort_pointers(v, (size_t)n, compare_ints);
    for (i = 1; i < n; i++)
        ck_assert(*(int *)v[i - 1] <= *(int *)v[i]);
    for (i = 0; i < n; i++)
        sorted[i] = *(int *)v[i];
    et_sort_elements(values, (size_t)n, sizeof *values, compare_ints);
    ck_assert_mem_eq(values, sorted, (size_t)n * sizeof *values);
}
END_TEST

/* --- files ------------------------------------------------------------------------------- */

static void fill_pattern(unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 7 + i / 251);
}

START_TEST(file_round_trip)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 65535, 65536, 65537, 300000};
    size_t size = sizes[_i], got;
    unsigned char *data = malloc(size + 1), *back;

    fill_pattern(data, size);
    ck_assert_int_eq(et_file_write(in_dir("a"), data, size), ET_OK);
    ck_assert_int_eq(et_file_read(in_dir("a"), 1 << 20, &back, &got), ET_OK);
    ck_assert_uint_eq(got, size);
    ck_assert_int_eq(memcmp(back, data, size), 0);
    ck_assert_int_eq(back[size], 0);
    et_dealloc(back);
    ck_assert_int_eq(et_file_read(in_dir("a"), size, &back, &got), ET_OK);
    et_dealloc(back);
    if (size > 0)
        fails(et_file_read(in_dir("a"), size - 1, &back, &got), ET_EFORMAT, "limit");
    ck_assert_int_eq(count_files(), 1);
    free(data);
}
END_TEST

START_TEST(file_replaced_keeps_mode)
{
    unsigned char *back;
    struct stat st;
    size_t size;

    put_file(in_dir("a"), "old", 3);
    ck_assert_int_eq(chmod(in_dir("a"), 0640), 0);
    ck_assert_int_eq(et_file_write(in_dir("a"), "newer", 5), ET_OK);
    back = get_file(in_dir("a"), &size);
    ck_assert(size == 5 && !memcmp(back, "newer", 5));
    ck_assert(stat(in_dir("a"), &st) == 0 && (st.st_mode & 0777) == 0640);
    ck_assert_int_eq(count_files(), 1);
    free(back);
}
END_TEST

START_TEST(file_in_working_directory)
{
    char here[4096];

    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(test_dir), 0);
    ck_assert_int_eq(et_file_write("plain", "x", 1), ET_OK);
    ck_assert_int_eq(chdir(here), 0);
    ck_assert_int_eq(access(in_dir("plain"), R_OK), 0);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

/* Pieces shorter and longer than what is gathered before a write. */
START_TEST(written_in_pieces)
{
    enum { SIZE = 300000 };
    static unsigned char data[SIZE];
    et_writer *w = et_writer_open(in_dir("a"));
    unsigned char *back;
    size_t size = 0, piece;

    ck_assert_ptr_nonnull(w);
    fill_pattern(data, SIZE);
    for (size_t at = 0, i = 0; at < SIZE; at += piece, i++) {
        piece = i % 9 == 8 ? 70000 : 1 + i * 997 % 9000;
        piece = piece < SIZE - at ? piece : SIZE - at;
        ck_assert_int_eq(et_writer_put(w, data + at, piece), ET_OK);
    }
    ck_assert_int_eq(et_writer_commit(w), ET_OK);
    back = get_file(in_dir("a"), &size);
    ck_assert_uint_eq(size, SIZE);
    ck_assert_int_eq(memcmp(back, data, SIZE), 0);
    free(back);
}
END_TEST

/* A pipe gives what is in it, and says how much only at its end. */
START_TEST(pipe_read)
{
    enum { SIZE = 50000 };
    static unsigned char data[SIZE];
    unsigned char *back;
    size_t size;
    int status;

    fill_pattern(data, SIZE);
    ck_assert_int_eq(mkfifo(in_dir("p"), 0600), 0);
    for (int limit = SIZE - 1; limit <= SIZE; limit++) {
        const pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            const int fd = open(in_dir("p"), O_WRONLY);

            signal(SIGPIPE, SIG_IGN); /* who reads may have enough */
            _exit(fd < 0 || write(fd, data, SIZE) < 0 ? 1 : 0);
        }
        if (limit < SIZE)
            fails(et_file_read(in_dir("p"), (size_t)limit, &back, &size), ET_EFORMAT, "more than the limit");
        else
            ck_assert_int_eq(et_file_read(in_dir("p"), (size_t)limit, &back, &size), ET_OK);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
    }
    ck_assert_uint_eq(size, SIZE);
    ck_assert_int_eq(memcmp(back, data, SIZE), 0);
    ck_assert_int_eq(back[SIZE], 0);
    et_dealloc(back);
}
END_TEST

static void expect_old(void)
{
    size_t size;
    unsigned char *back = get_file(in_dir("a"), &size);

    ck_assert(size == 3 && !memcmp(back, "old", 3));
    free(back);
    ck_assert_int_eq(count_files(), 1);
}

/* What a full disk looks like (EFBIG stands in for ENOSPC): writing fails half-way. */
START_TEST(disk_full)
{
    struct rlimit limit, small;
    static char data[200000];
    et_writer *w;

    put_file(in_dir("a"), "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    fails(et_file_write(in_dir("a"), data, sizeof data), ET_EFULL, "cannot write");
    w = et_writer_open(in_dir("a"));
    ck_assert_ptr_nonnull(w);
    ck_assert_int_eq(et_writer_put(w, data, 70000), ET_OK);
    ck_assert_int_eq(et_writer_put(w, data, 70000), ET_EFULL);
    ck_assert_int_eq(et_writer_put(w, data, 1), ET_EFULL); /* the failure sticks */
    fails(et_writer_commit(w), ET_EFULL, "");
    w = et_writer_open(in_dir("a"));
    ck_assert_ptr_nonnull(w);
    ck_assert_int_eq(et_writer_put(w, data, 60000), ET_OK);
    ck_assert_int_eq(et_writer_put(w, data, 60000), ET_OK); /* still in the buffer */
    fails(et_writer_commit(w), ET_EFULL, "/a: cannot write: ");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_old();
}
END_TEST

START_TEST(writer_discarded)
{
    et_writer *w;

    put_file(in_dir("a"), "old", 3);
    w = et_writer_open(in_dir("a"));
    ck_assert_int_eq(count_files(), 2);
    et_writer_put(w, "new", 3);
    et_writer_discard(w);
    et_writer_discard(NULL);
    expect_old();
    ck_assert_int_eq(et_writer_try(in_dir("a")), ET_OK);
    expect_old();
    fails(et_writer_try(in_dir("none/a")), ET_EIO, "none/a: cannot create");
}
END_TEST

/* A link stays one, and the file that it leads to is replaced where that is; a link to nothing yet is as good
 * as no file. */
START_TEST(links_are_followed)
{
    const char *far = in_dir("d/far");
    unsigned char *back;
    struct stat st;
    size_t size;

    ck_assert_int_eq(mkdir(in_dir("d"), 0700), 0);
    put_file(far, "old", 3);
    ck_assert_int_eq(symlink("d/far", in_dir("a")), 0);
    ck_assert_int_eq(et_file_write(in_dir("a"), "newer", 5), ET_OK);
    ck_assert(lstat(in_dir("a"), &st) == 0 && S_ISLNK(st.st_mode));
    back = get_file(far, &size);
    ck_assert(size == 5 && !memcmp(back, "newer", 5));
    free(back);
    ck_assert_int_eq(unlink(far), 0);
    ck_assert_int_eq(et_file_write(in_dir("a"), "newer", 5), ET_OK);
    back = get_file(in_dir("a"), &size);
    ck_assert_uint_eq(size, 5);
    free(back);
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

/* What is there and no file is left alone: a pipe stays a pipe, also behind a link. */
START_TEST(pipes_are_not_replaced)
{
    struct stat st;

    ck_assert_int_eq(mkfifo(in_dir("p"), 0600), 0);
    ck_assert_int_eq(symlink("p", in_dir("l")), 0);
    fails(et_file_write(in_dir("p"), "x", 1), ET_EIO, "/p: cannot write: not a regular file");
    fails(et_file_write(in_dir("l"), "x", 1), ET_EIO, "/l: cannot write: not a regular file");
    ck_assert(lstat(in_dir("p"), &st) == 0 && S_ISFIFO(st.st_mode));
    ck_assert(lstat(in_dir("l"), &st) == 0 && S_ISLNK(st.st_mode));
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

/* Two writers of one file do not meet; the last to commit wins. */
START_TEST(two_writers)
{
    et_writer *v = et_writer_open(in_dir("a")), *w = et_writer_open(in_dir("a"));
    size_t size;
    unsigned char *back;

    ck_assert(v && w);
    et_writer_put(v, "first", 5);
    et_writer_put(w, "second", 6);
    ck_assert_int_eq(et_writer_commit(w), ET_OK);
    ck_assert_int_eq(et_writer_commit(v), ET_OK);
    back = get_file(in_dir("a"), &size);
    ck_assert(size == 5 && !memcmp(back, "first", 5));
    free(back);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(wrong_paths)
{
    unsigned char *data;
    char path[5000];
    size_t size;

    fails(et_file_write(in_dir("none/a"), "x", 1), ET_EIO, "none/a: cannot create");
    fails(et_file_write("", "x", 1), ET_EINVAL, "empty");
    fails(et_file_write(NULL, "x", 1), ET_EINVAL, "NULL");
    fails(et_file_write(in_dir("a"), NULL, 1), ET_EINVAL, "NULL");
    ck_assert_int_eq(mkdir(in_dir("d"), 0700), 0);
    fails(et_file_write(in_dir("d"), "x", 1), ET_EIO, "/d: cannot write: is a directory");
    ck_assert_int_eq(count_files(), 1);
    fails(et_file_read(in_dir("none"), 10, &data, &size), ET_EIO, "/none: cannot open: No such file");
    fails(et_file_read(in_dir("d"), 10, &data, &size), ET_EIO, "/d: cannot read");
    fails(et_file_read(NULL, 10, &data, &size), ET_EINVAL, "NULL");
    fails_null(et_reader_open(in_dir("none")), ET_EIO, "/none: cannot open");
    fails_null(et_reader_open(in_dir("d")), ET_EIO, "directory");
    fails_null(et_reader_open(NULL), ET_EINVAL, "NULL");
    fails_null(et_reader_memory(NULL, 1, "x"), ET_EINVAL, "NULL");
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    fails(et_file_write(path, "x", 1), ET_EIO, "xxx");
}
END_TEST

START_TEST(reader_in_bounds)
{
    et_reader *r;
    char b[8];
    int i;

    put_file(in_dir("a"), "01234567", 8);
    for (i = 0; i < 2; i++) {
        r = i ? et_reader_memory("01234567", 8, "memory") : et_reader_open(in_dir("a"));
        ck_assert_ptr_nonnull(r);
        ck_assert_uint_eq(et_reader_size(r), 8);
        memset(b, 0, sizeof b);
        ck_assert_int_eq(et_reader_at(r, 3, b, 5), ET_OK);
        ck_assert_int_eq(memcmp(b, "34567", 5), 0);
        ck_assert_int_eq(et_reader_at(r, 8, b, 0), ET_OK);
        fails(et_reader_at(r, 4, b, 5), ET_EFORMAT, "truncated: bytes 4 to 9 are wanted, it has 8");
        fails(et_reader_at(r, 9, b, 0), ET_EFORMAT, "truncated");
        fails(et_reader_at(r, UINT64_MAX, b, 2), ET_EFORMAT, "truncated");
        if (i == 0) {
            ck_assert_int_eq(truncate(in_dir("a"), 4), 0);
            fails(et_reader_at(r, 3, b, 5), ET_EFORMAT, "shorter");
        }
        et_reader_close(r);
    }
    et_reader_close(NULL);
}
END_TEST

/* The lowest descriptor that is free. */
static int free_descriptor(void)
{
    const int fd = open(test_dir, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

/* However files are used, every descriptor is closed and nobody else's. */
START_TEST(descriptors_are_closed)
{
    const int before = free_descriptor();
    unsigned char *data;
    et_writer *w;
    size_t size;

    ck_assert_int_eq(et_file_write(in_dir("a"), "new", 3), ET_OK);
    ck_assert_int_eq(et_file_read(in_dir("a"), 3, &data, &size), ET_OK);
    et_dealloc(data);
    fails(et_file_read(in_dir("a"), 2, &data, &size), ET_EFORMAT, "limit");
    et_reader_close(et_reader_open(in_dir("a")));
    fails_null(et_reader_open(test_dir), ET_EIO, "directory");
    w = et_writer_open(in_dir("a"));
    ck_assert_ptr_nonnull(w);
    et_writer_discard(w);
    ck_assert_int_eq(free_descriptor(), before);
    et_reader_close(et_reader_memory("x", 1, "memory"));
    fails_null(et_reader_open(in_dir("none")), ET_EIO, "none");
    ck_assert_int_eq(free_descriptor(), before);
}
END_TEST

static bool use_files(void *user)
{
    unsigned char *data;
    size_t size;
    et_reader *r;
    bool ok;

    (void)user;
    if (et_file_write(in_dir("s"), "new", 3) != ET_OK)
        return false;
    if (et_file_read(in_dir("s"), 100, &data, &size) != ET_OK)
        return false;
    et_dealloc(data);
    r = et_reader_open(in_dir("s"));
    ok = r != NULL;
    et_reader_close(r);
    return ok;
}

START_TEST(files_without_memory)
{
    ck_assert_int_ge(alloc_sweep("files", use_files, NULL), 6);
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("files");
    TCase *tc = tcase_create("texts");

    tcase_add_test(tc, text_grows);
    tcase_add_test(tc, text_too_long);
    tcase_add_test(tc, text_without_memory);
    tcase_add_test(tc, byte_order);
    tcase_add_loop_test(tc, sorting, 0, 26);
    suite_add_tcase(s, tc);
    tc = tcase_create("files");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, file_round_trip, 0, 8);
    tcase_add_test(tc, file_replaced_keeps_mode);
    tcase_add_test(tc, file_in_working_directory);
    tcase_add_test(tc, written_in_pieces);
    tcase_add_test(tc, pipe_read);
    tcase_add_test(tc, disk_full);
    tcase_add_test(tc, writer_discarded);
    tcase_add_test(tc, links_are_followed);
    tcase_add_test(tc, pipes_are_not_replaced);
    tcase_add_test(tc, two_writers);
    tcase_add_test(tc, wrong_paths);
    tcase_add_test(tc, reader_in_bounds);
    tcase_add_test(tc, descriptors_are_closed);
    tcase_add_test(tc, files_without_memory);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
