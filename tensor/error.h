/* Errors: a status code and one message per thread.
 *
 * Nothing in the library aborts or prints. A call that fails returns NULL (or a
 * negative et_status) and leaves one message, the first: later failures on the
 * same thread leave it alone until it is cleared. An expression can therefore be
 * nested freely and checked once at its end. */
#ifndef ETUDE_TENSOR_ERROR_H
#define ETUDE_TENSOR_ERROR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ET_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define ET_PRINTF(fmt, first)
#endif

typedef enum et_status {
    ET_OK = 0,
    ET_EINVAL = -1,     /* an argument is out of its range */
    ET_ESHAPE = -2,     /* shapes do not fit */
    ET_EDTYPE = -3,     /* a dtype that the operation does not take */
    ET_ENOMEM = -4,     /* out of memory */
    ET_EIO = -5,        /* the operating system refused a file operation */
    ET_EFORMAT = -6,    /* a file is malformed or truncated */
    ET_ESCOPE = -7,     /* no scope is open, or a tensor was already released */
    ET_EGRAD = -8,      /* a gradient that cannot be had */
    ET_EVERSION = -9,   /* a saved tensor was changed before backward read it */
    ET_ENONFINITE = -10, /* NaN or infinity where a finite number is needed */
    ET_EFULL = -11       /* no room is left on the disk, or none that this user may take */
} et_status;

/** Status of the pending error of this thread, ET_OK if there is none. */
et_status et_error_status(void);

/** Message of the pending error of this thread, "" if there is none. Valid until
 *  the next library call on this thread. */
const char *et_error_message(void);

/** Forgets the pending error of this thread. */
void et_error_clear(void);

/** Puts "where: " in front of the pending message and returns NULL, so that a
 *  model's function can end in `return et_fail("rnn step");`. Without a pending
 *  error it raises ET_EINVAL with the message "where: an argument is NULL". */
void *et_fail(const char *where);

/** As et_fail, but returns the pending (negative) status; without one the message is "where: failed". */
et_status et_fail_status(const char *where);

/** Sets the pending error of this thread unless there is one already. Its message is one line: control
 *  characters of what goes into it are question marks.
 *  Returns `status`, so that `return et_raise(ET_EINVAL, ...)` reads well. */
et_status et_raise(et_status status, const char *fmt, ...) ET_PRINTF(2, 3);

/** As et_raise, with "file:line: " of the caller that et_here() noted in front.
 *  Used by the operators. */
et_status et_raise_here(et_status status, const char *fmt, ...) ET_PRINTF(2, 3);

/** Notes the caller's place in its source for the next et_raise_here. The macros
 *  over the operators call it; `file` must be a string literal. */
void et_here(const char *file, int line);

/** The place noted last, or NULL and 0. */
const char *et_here_file(void);
int et_here_line(void);

/** A short name such as "ESHAPE" for a status. */
const char *et_status_name(et_status status);

#ifdef __cplusplus
}
#endif
#endif
