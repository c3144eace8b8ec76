/* What POSIX.1-2008 leaves out, with a fallback each: large aligned regions (anonymous
 * mmap, huge pages), the number of processors, locked folders, where links lead, and the clock. */
#ifndef ETUDE_TENSOR_OS_H
#define ETUDE_TENSOR_OS_H

#include <stddef.h>

/** A region of `bytes` bytes (a multiple of 2 MiB) aligned to 2 MiB, asked to be huge
 *  pages where the system knows them; NULL if it cannot be had. */
void *et_os_region(size_t bytes);
void et_os_region_free(void *region, size_t bytes);

/** Processors that this process may run on, at least 1. */
int et_os_processors(void);

/** Locks a folder, until the descriptor that is returned is closed or the process ends, however it does.
 *  ET_OS_LOCKED: somebody else has locked it; another negative number: nobody can. */
int et_os_lock_folder(const char *path);
enum { ET_OS_LOCKED = -2 };

/** Where the path leads, links followed; to be released with free. NULL where nothing is there. */
char *et_os_real_path(const char *path);

/** Seconds of a clock that never jumps. */
double et_os_seconds(void);

#endif
