/* This file alone asks for more than POSIX.1-2008: configure finds out what there is. */
#include "config.h"
#undef _POSIX_C_SOURCE
#define _GNU_SOURCE 1
#define _DARWIN_C_SOURCE 1
#define __BSD_VISIBLE 1

#include "tensor/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if HAVE_FLOCK
#include <sys/file.h>
#endif
#if HAVE_SYS_MMAN_H
#include <sys/mman.h>
#endif
#if HAVE_SCHED_GETAFFINITY
#include <sched.h>
#endif

#if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#define MAP_ANONYMOUS MAP_ANON
#endif

enum { HUGE_PAGE = 2 << 20 };

void *et_os_region(size_t bytes)
{
#if HAVE_SYS_MMAN_H && defined(MAP_ANONYMOUS)
    /* Map a huge page more than asked for, and give back what sticks out. */
    size_t total = bytes + HUGE_PAGE;
    if (total < bytes)
        return NULL;
    char *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t head = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (head)
        munmap(p, head);
    munmap(p + head + bytes, HUGE_PAGE - head);
#ifdef MADV_HUGEPAGE
    madvise(p + head, bytes, MADV_HUGEPAGE);
#endif
    return p + head;
#else
    void *p = NULL;
    return posix_memalign(&p, HUGE_PAGE, bytes) == 0 ? p : NULL;
#endif
}

void et_os_region_free(void *region, size_t bytes)
{
#if HAVE_SYS_MMAN_H && defined(MAP_ANONYMOUS)
    munmap(region, bytes);
#else
    (void)bytes;
    free(region);
#endif
}

int et_os_processors(void)
{
#if HAVE_SCHED_GETAFFINITY && defined(CPU_COUNT)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
#ifdef _SC_NPROCESSORS_ONLN
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > 0)
        return n > 1024 ? 1024 : (int)n;
#endif
    return 1;
}

int et_os_lock_folder(const char *path)
{
#if HAVE_FLOCK
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    const bool locked = errno == EWOULDBLOCK;
    close(fd);
    return locked ? ET_OS_LOCKED : -1;
#else
    (void)path;
    return -1;
#endif
}

char *et_os_real_path(const char *path) { return realpath(path, NULL); }

double et_os_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
