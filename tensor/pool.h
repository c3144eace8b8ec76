/* The memory pool: tensors live in large regions (2 MiB aligned, asked to be huge
 * pages) that are touched once and used again, so that a steady training step asks
 * nothing of the system. Two-level segregated fit (Masmano et al. 2004). Small blocks and
 * large ones that are given back wait for the next of their size; others are joined with
 * free neighbours at once, large ones when nothing else serves.
 *
 * With a sanitizer, or with ETUDE_POOL=system in the environment, every block comes
 * from malloc instead, so that tools can see its edges. Thread-safe. */
#ifndef ETUDE_TENSOR_POOL_H
#define ETUDE_TENSOR_POOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_ALIGN = 64 }; /* of every block, in bytes */

typedef struct et_pool_stats {
    size_t current;         /* bytes handed out now */
    size_t peak;            /* most bytes handed out at once since et_pool_reset_peak */
    size_t reserved;        /* bytes taken from the system */
    uint64_t requests;      /* blocks asked for */
    uint64_t hits;          /* of these, served without asking the system */
    uint64_t system_allocs; /* regions (or blocks) asked of the system */
} et_pool_stats;

/** A block of at least `bytes` bytes, aligned to ET_ALIGN, contents undefined.
 *  NULL and ET_ENOMEM on failure. 0 bytes give a unique pointer. */
void *et_pool_alloc(size_t bytes);

/** Gives a block back; NULL is allowed. */
void et_pool_free(void *block);

/** Counters since the start of the process. */
void et_pool_get_stats(et_pool_stats *out);

/** Makes `peak` the current value. */
void et_pool_reset_peak(void);

/** Returns regions that are wholly free to the system. */
void et_pool_trim(void);

#ifdef __cplusplus
}
#endif
#endif
