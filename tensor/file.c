/* Whole files in, whole files out: over POSIX descriptors, so that every failure is
 * seen where it happens. */
#include "config.h"

#include "tensor/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "tensor/alloc.h"
#include "tensor/os.h"

enum {
    BUFFER = 64 * 1024,  /* bytes gathered before a write */
    MAX_CHUNK = 1 << 30, /* most bytes asked of one system call */
    MAX_TRIES = 1000     /* names tried for the new file */
};

et_status et_errno_status(int e)
{
    return e == ENOSPC || e == EDQUOT || e == EFBIG ? ET_EFULL : ET_EIO;
}

static et_status raise_errno(const char *path, const char *what)
{
    int e = errno;
    char text[160];

    if (strerror_r(e, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", e);
    return et_raise(et_errno_status(e), "%s: %s: %s", path, what, text);
}

/* open(2), tried again when a signal interrupts it. */
static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* --- reading ----------------------------------------------------------------------- */

/* Reads fd to its end into *buf, which grows from `expected` bytes, and counts them in *used. A byte is left
 * at the end for the caller's 0. */
static et_status read_to_end(int fd, const char *path, size_t limit, size_t expected, unsigned char **buf,
                             size_t *used)
{
    size_t capacity = expected;
    ssize_t got = 1;

    /* One byte more than expected, so that the end is seen without another round. */
    while (got != 0) {
        if (*used + 2 > capacity || !*buf) {
            capacity = *buf ? 2 * capacity : capacity + 2;
            if (capacity < 4096 && *buf)
                capacity = 4096;
            unsigned char *more = et_alloc_resize(*buf, capacity);
            if (!more)
                return ET_ENOMEM;
            *buf = more;
        }
        const size_t room = capacity - *used - 1;
        got = read(fd, *buf + *used, room < MAX_CHUNK ? room : MAX_CHUNK);
        if (got < 0 && errno != EINTR)
            return raise_errno(path, "cannot read");
        *used += got > 0 ? (size_t)got : 0;
        if (*used > limit)
            return et_raise(ET_EFORMAT, "%s: more than the limit of %zu bytes", path, limit);
    }
    return ET_OK;
}

et_status et_file_read(const char *path, size_t limit, unsigned char **data, size_t *size)
{
    unsigned char *buf = NULL;
    size_t used = 0, expected = 0;
    struct stat st;
    et_status status = ET_OK;

    if (!path || !data || !size)
        return et_raise(ET_EINVAL, "file read: NULL argument");
    *data = NULL;
    *size = 0;
    const int fd = open_retry(path, O_RDONLY, 0);
    if (fd < 0)
        return raise_errno(path, "cannot open");
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        expected = (size_t)st.st_size;
        if ((uint64_t)st.st_size > limit)
            status = et_raise(ET_EFORMAT, "%s: %" PRIu64 " bytes, more than the limit of %zu", path,
                              (uint64_t)st.st_size, limit);
    }
    if (status == ET_OK)
        status = read_to_end(fd, path, limit, expected, &buf, &used);
    close(fd);
    if (status != ET_OK) {
        et_dealloc(buf);
        return status;
    }
    buf[used] = 0;
    *data = buf;
    *size = used;
    return ET_OK;
}

struct et_reader {
    char *name;
    const unsigned char *memory; /* or NULL: */
    int fd;
    uint64_t size;
};

static et_reader *make_reader(const char *name)
{
    et_reader *r = et_alloc_zero(1, sizeof *r);

    if (!r)
        return NULL;
    r->fd = -1;
    r->name = et_alloc_string(name);
    if (!r->name) {
        et_dealloc(r);
        return NULL;
    }
    return r;
}

et_reader *et_reader_open(const char *path)
{
    et_reader *r;
    struct stat st;

    if (!path) {
        et_raise(ET_EINVAL, "open: the path is NULL");
        return NULL;
    }
    r = make_reader(path);
    if (!r)
        return NULL;
    r->fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* O_NONBLOCK: do not wait on a pipe */
    if (r->fd < 0 || fstat(r->fd, &st) != 0) {
        raise_errno(path, "cannot open");
    } else if (!S_ISREG(st.st_mode)) {
        et_raise(ET_EIO, "%s: cannot open: %s", path,
                 S_ISDIR(st.st_mode) ? "is a directory" : "not a regular file");
    } else {
        r->size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
        return r;
    }
    et_reader_close(r);
    return NULL;
}

et_reader *et_reader_memory(const void *data, size_t size, const char *name)
{
    et_reader *r;

    if ((!data && size) || !name) {
        et_raise(ET_EINVAL, "open: NULL argument");
        return NULL;
    }
    r = make_reader(name);
    if (!r)
        return NULL;
    r->memory = data ? data : (const unsigned char *)"";
    r->size = size;
    return r;
}

uint64_t et_reader_size(const et_reader *r) { return r->size; }

const char *et_reader_name(const et_reader *r) { return r->name; }

et_status et_reader_at(et_reader *r, uint64_t offset, void *dst, size_t size)
{
    unsigned char *p = dst;
    ssize_t got;

    if (offset > r->size || size > r->size - offset)
        return et_raise(ET_EFORMAT,
                        "%s: truncated: bytes %" PRIu64 " to %" PRIu64 " are wanted, it has %" PRIu64,
                        r->name, offset, offset + size, r->size);
    if (r->memory) {
        if (size)
            memcpy(dst, r->memory + offset, size);
        return ET_OK;
    }
    while (size > 0) {
        got = pread(r->fd, p, size < MAX_CHUNK ? size : MAX_CHUNK, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return raise_errno(r->name, "cannot read");
        if (got == 0)
            return et_raise(ET_EFORMAT, "%s: became shorter while it was read", r->name);
        p += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return ET_OK;
}

void et_reader_close(et_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    et_dealloc(r->name);
    et_dealloc(r);
}

/* --- writing ------------------------------------------------------------------------- */

struct et_writer {
    char *path;      /* as it was given, for messages */
    char *target;    /* the same with links followed */
    char *temporary; /* the new file beside the target */
    size_t dir_size; /* length of the target's directory with its last slash, 0: none */
    int fd;
    et_status status; /* of the first failure */
    size_t used;
    unsigned char buffer[BUFFER];
};

static void release_writer(et_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    et_dealloc(w->temporary);
    et_dealloc(w->target);
    et_dealloc(w->path);
    et_dealloc(w);
}

/* The file that `path` names: of a link what it leads to, so that the link stays one. A device or a pipe is
 * no file that another can take the place of. NULL after an error; to be released with et_dealloc. */
static char *find_target(const char *path)
{
    struct stat st;
    char *real = NULL, *target;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        et_raise(ET_EIO, "%s: cannot write: %s", path,
                 S_ISDIR(st.st_mode) ? "is a directory" : "not a regular file");
        return NULL;
    }
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        real = et_os_real_path(path);
    target = et_alloc_string(real ? real : path);
    free(real);
    return target;
}

et_writer *et_writer_open(const char *path)
{
    et_writer *w;
    const char *slash;
    struct stat st;
    size_t room;
    int i;

    if (!path || !*path) {
        et_raise(ET_EINVAL, "file write: %s", path ? "the path is empty" : "the path is NULL");
        return NULL;
    }
    w = et_alloc(sizeof *w);
    if (!w)
        return NULL;
    w->fd = -1;
    w->status = ET_OK;
    w->used = 0;
    w->temporary = NULL;
    w->path = et_alloc_string(path);
    w->target = w->path ? find_target(path) : NULL;
    slash = w->target ? strrchr(w->target, '/') : NULL;
    w->dir_size = slash ? (size_t)(slash - w->target) + 1 : 0;
    room = w->dir_size + 64;
    w->temporary = w->target ? et_alloc(room) : NULL;
    if (!w->temporary) {
        release_writer(w);
        return NULL;
    }
    /* The directory's own name for the new file: short, so that it fits wherever the
     * target does, and told from those of other processes by the process id. */
    for (i = 0; i < MAX_TRIES && w->fd < 0; i++) {
        snprintf(w->temporary, room, "%.*s.et-%ld-%d.tmp", (int)w->dir_size, w->target, (long)getpid(), i);
        w->fd = open_retry(w->temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (w->fd < 0 && errno != EEXIST)
            break;
    }
    if (w->fd < 0) {
        raise_errno(path, "cannot create a file beside it");
        release_writer(w);
        return NULL;
    }
    if (stat(w->target, &st) == 0 && S_ISREG(st.st_mode))
        (void)!fchmod(w->fd, st.st_mode & 0777); /* the old file's permissions, where that is allowed */
    return w;
}

static et_status write_all(et_writer *w, const unsigned char *p, size_t size)
{
    ssize_t put;

    while (size > 0 && w->status == ET_OK) {
        put = write(w->fd, p, size < MAX_CHUNK ? size : MAX_CHUNK);
        if (put < 0) {
            if (errno != EINTR)
                w->status = raise_errno(w->path, "cannot write");
            continue;
        }
        p += put;
        size -= (size_t)put;
    }
    return w->status;
}

et_status et_writer_put(et_writer *w, const void *data, size_t size)
{
    if (w->status != ET_OK || size == 0)
        return w->status;
    if (size > BUFFER - w->used) {
        write_all(w, w->buffer, w->used);
        w->used = 0;
        if (size >= BUFFER)
            return write_all(w, data, size);
    }
    memcpy(w->buffer + w->used, data, size);
    w->used += size;
    return w->status;
}

/* Asks that the directory's new entry reach the disk; not every file system can. */
static void sync_directory(et_writer *w)
{
    int fd;

    w->temporary[w->dir_size] = 0;
    fd = open_retry(w->dir_size ? w->temporary : ".", O_RDONLY, 0);
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
}

et_status et_writer_commit(et_writer *w)
{
    et_status status;
    int rc;

    write_all(w, w->buffer, w->used);
    if (w->status == ET_OK && fsync(w->fd) != 0 && errno != EINVAL && errno != EROFS)
        w->status = raise_errno(w->path, "cannot flush to the disk");
    rc = close(w->fd);
    w->fd = -1;
    if (w->status == ET_OK && rc != 0 && errno != EINTR)
        w->status = raise_errno(w->path, "cannot close");
    if (w->status == ET_OK && rename(w->temporary, w->target) != 0)
        w->status = raise_errno(w->path, "cannot rename into place");
    if (w->status == ET_OK)
        sync_directory(w);
    else
        (void)unlink(w->temporary);
    status = w->status;
    release_writer(w);
    return status;
}

void et_writer_discard(et_writer *w)
{
    if (!w)
        return;
    (void)unlink(w->temporary);
    release_writer(w);
}

et_status et_writer_try(const char *path)
{
    et_writer *w = et_writer_open(path);

    et_writer_discard(w);
    return w ? ET_OK : et_error_status();
}

et_status et_file_write(const char *path, const void *data, size_t size)
{
    et_writer *w;

    if (!data && size)
        return et_raise(ET_EINVAL, "file write: the data is NULL");
    w = et_writer_open(path);
    if (!w)
        return et_error_status();
    et_writer_put(w, data, size);
    return et_writer_commit(w);
}
