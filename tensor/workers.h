/* The threads behind et_parallel_for: they are started when first needed, and wait for the next body to run. */
#ifndef ETUDE_TENSOR_WORKERS_H
#define ETUDE_TENSOR_WORKERS_H

enum { ET_MAX_THREADS = 256 };

/* body(rank, size, user) on `size` threads at once: rank 0 is the calling thread, which returns when all have. The
 * size is at most `wanted` (1 .. ET_MAX_THREADS), less where the system has no more threads, and 1 while the
 * workers run another thread's body. A rank but 0 is the same thread in every call. */
void et_workers_run(int wanted, void (*body)(int rank, int size, void *user), void *user);

#endif
