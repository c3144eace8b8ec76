/* The threads behind et_parallel_for: they are started when first needed, and wait for the next body. */
#ifndef ETUDE_TENSOR_WORKERS_H
#define ETUDE_TENSOR_WORKERS_H

#include <pthread.h>

enum { ET_MAX_THREADS = 256 };

/* body(rank, size, user) on `size` threads at once: rank 0 is the calling thread, which returns when all
 * have. The size is at most `wanted` (1 .. ET_MAX_THREADS), less where the system has no more threads, and 1
 * while the workers run another thread's body. A rank but 0 is the same thread in every call, until the
 * thread whose call started it ends. The calling thread is not cancelled meanwhile. */
void et_workers_run(int wanted, void (*body)(int rank, int size, void *user), void *user);

/* As pthread_create: a thread with a stack of 4 MiB. Signals are left to the program's threads, but for those
 * that a fault of the thread raises. */
int et_thread_start(pthread_t *thread, void *(*run)(void *user), void *user);

#endif
