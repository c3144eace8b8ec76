/* Where the time of a step goes: every op that runs while a profile is on, forward and backward, with its
 * time, arithmetic and bytes; as a table, and as a trace that browsers draw (chrome://tracing,
 * ui.perfetto.dev).
 *
 *     et_profile *p = et_profile_begin(1000);
 *     ... a few steps ...
 *     et_profile_end(p);
 *     et_profile_print(p, stdout);
 *     et_profile_write(p, "step.json");
 *     et_profile_free(p);
 *
 * A profile belongs to the thread that began it and sees that thread's ops; what their kernels do on
 * other threads is in their time. While none is on, each op pays for one test of a pointer. */
#ifndef ETUDE_AUTOGRAD_PROFILE_H
#define ETUDE_AUTOGRAD_PROFILE_H

#include <stdint.h>
#include <stdio.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_profile et_profile;

typedef enum et_profile_kind {
    ET_PROFILE_FORWARD,  /* an op's forward */
    ET_PROFILE_BACKWARD, /* its backward, into memory or (ET_CREATE_GRAPH) as recorded ops */
    ET_PROFILE_PART      /* what et_profile_part_begin named */
} et_profile_kind;

/* All calls of one op in one direction, or all parts of one name. A result that backward has made again
 * (op.h, remake) is a call of forward. */
typedef struct et_profile_row {
    const char *name; /* valid as long as the profile */
    et_profile_kind kind;
    int64_t calls;
    double seconds; /* without the ops and parts that ran inside */
    double total;   /* with them */
    double flops;   /* of matrix products and convolutions, two for a multiply-add; 0 for other ops */
    double bytes;   /* of operands read and results written, each once; 0 for views */
} et_profile_row;

/** Starts to watch the calling thread. Of the first max_events ops and parts the trace keeps time and place
 *  (about 100 bytes each); the table counts all. NULL and EINVAL if this thread has a profile on already or
 *  max_events is negative, ENOMEM. Release with et_profile_free. */
et_profile *et_profile_begin(int64_t max_events);
/** Stops watching; the profile stays to be read. For the thread that began it. NULL is allowed. */
void et_profile_end(et_profile *p);
/** Ends it if it is on. NULL is allowed. */
void et_profile_free(et_profile *p);

/** Between these calls the thread does what `name` says: "batch", "backward". Parts nest and must be ended in
 *  the order opposite to their beginning. They do nothing while no profile is on. `name` is copied. */
void et_profile_part_begin(const char *name);
void et_profile_part_end(void);

/** The rows, the one with most time of its own first, at most `room` of them to rows. Returns how many there
 *  are. Of what has not ended nothing is counted. */
int64_t et_profile_rows(const et_profile *p, et_profile_row *rows, int64_t room);
/** Seconds from et_profile_begin to et_profile_end, or to now while it is on. */
double et_profile_seconds(const et_profile *p);
/** Events kept for the trace, and those that came after max_events. */
int64_t et_profile_events(const et_profile *p);
int64_t et_profile_dropped(const et_profile *p);

/** Prints the table. EIO if it cannot be written, ENOMEM if something was lost for want of memory. */
et_status et_profile_print(const et_profile *p, FILE *out);
/** Writes the trace: JSON in Chrome's "trace event" format, times in microseconds; one complete event ("X")
 *  an op or part, with the shape of its (first) result, the place of the call, FLOPs and bytes, and a counter
 *  of the memory that the pool has handed out. Errors: EIO, ENOMEM. */
et_status et_profile_write(const et_profile *p, const char *path);

#ifdef __cplusplus
}
#endif
#endif
