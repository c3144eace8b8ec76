/* Jobs done by background threads, their results taken in order. Not installed. */
#ifndef ETUDE_DATASETS_ORDERED_H
#define ETUDE_DATASETS_ORDERED_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

typedef struct et_ordered et_ordered;

typedef struct et_ordered_jobs {
    int64_t n;     /* jobs 0 .. n - 1 */
    int threads;   /* 0: each job is done when its result is taken, by the one who takes it */
    int64_t ahead; /* results that may wait to be taken, at least 1 */
    size_t size;   /* bytes of a result */
    /* Does a job: fills the result, which is all 0. Called by several threads at once, never twice for a job.
     * On failure it must leave nothing to be released. */
    et_status (*work)(void *user, int64_t job, void *result);
    void (*drop)(void *result); /* releases a result that nobody takes */
    void *user;
} et_ordered_jobs;

/** Starts the threads. Fewer than asked for, even none, when the system refuses more.
 *  NULL and ENOMEM, EINVAL. */
et_ordered *et_ordered_start(const et_ordered_jobs *jobs);

/** Waits for the result of the next job and copies it to result, whose content is the caller's from then on.
 *  The failure of a job is raised here, and the next call goes on with the job behind it. EINVAL behind the
 *  last. */
et_status et_ordered_take(et_ordered *o, void *result);

/** Jobs not taken yet. */
int64_t et_ordered_left(const et_ordered *o);

/** Ends: waits for the jobs that run, starts no others, drops results not taken. NULL is allowed. */
void et_ordered_stop(et_ordered *o);

#endif
