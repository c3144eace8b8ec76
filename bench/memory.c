/* Counts what the process asks of the system. With the GNU C library the functions of
 * malloc's family are defined here, which the linker then takes for everybody's: each
 * counts and passes on. */
#include "config.h"
#undef _POSIX_C_SOURCE
#define _GNU_SOURCE 1 /* syscall, for mmap passed on */

#include "bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#if HAVE_SYS_RESOURCE_H
#include <sys/resource.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && defined(__x86_64__) && !defined(SANITIZED)
#define COUNTED 1
#include <sys/mman.h>
#include <sys/syscall.h>

static atomic_uint_fast64_t mallocs, frees, maps;

/* The C library's own, under the names that it keeps for this purpose. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

static void count(atomic_uint_fast64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count(&mallocs);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count(&mallocs);
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    count(&mallocs);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    count(&mallocs);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(&mallocs);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment < sizeof(void *) || (alignment & (alignment - 1)))
        return EINVAL;
    count(&mallocs);
    void *p = __libc_memalign(alignment, size);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void free(void *p)
{
    if (p)
        count(&frees);
    __libc_free(p);
}

void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    count(&maps);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

int munmap(void *address, size_t length)
{
    count(&maps);
    return (int)syscall(SYS_munmap, address, length);
}
#endif

/* Resident memory of the process, in KiB: read without stdio, which would allocate. */
static double resident(void)
{
    char text[128];
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t n = file < 0 ? -1 : read(file, text, sizeof text - 1);
    long size, pages;

    if (file >= 0)
        close(file);
    if (n <= 0)
        return NAN;
    text[n] = '\0';
    if (sscanf(text, "%ld %ld", &size, &pages) != 2)
        return NAN;
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

void bench_memory_now(bench_memory *out)
{
    *out = (bench_memory){.resident_kib = resident()};
#if HAVE_SYS_RESOURCE_H
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) == 0) {
        out->minor_faults = use.ru_minflt;
        out->major_faults = use.ru_majflt;
    }
#endif
#if defined(COUNTED)
    out->counted = true;
    out->mallocs = atomic_load(&mallocs);
    out->frees = atomic_load(&frees);
    out->maps = atomic_load(&maps);
#endif
}
