/* The pending error of each thread: the first one stays until it is cleared. */
#include "config.h"

#include "tensor/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 1024 };

/* Per thread: the pending error, and where the caller of the running op stands. */
static _Thread_local struct {
    et_status status;
    char message[MESSAGE_SIZE];
    const char *file;
    int line;
} state;

et_status et_error_status(void) { return state.status; }

const char *et_error_message(void) { return state.status ? state.message : ""; }

void et_error_clear(void)
{
    state.status = ET_OK;
    state.message[0] = '\0';
}

void et_here(const char *file, int line)
{
    state.file = file;
    state.line = line;
}

const char *et_here_file(void) { return state.file; }
int et_here_line(void) { return state.line; }

/* A file's name, say, may hold control characters: in the message they are question marks. */
static void keep_one_line(void)
{
    for (char *c = state.message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
}

/* Writes the message after `used` bytes of prefix. */
static void set_message(et_status status, size_t used, const char *fmt, va_list ap)
{
    state.status = status;
    vsnprintf(state.message + used, MESSAGE_SIZE - used, fmt, ap);
    keep_one_line();
}

et_status et_raise(et_status status, const char *fmt, ...)
{
    if (!state.status) {
        va_list ap;
        va_start(ap, fmt);
        set_message(status, 0, fmt, ap);
        va_end(ap);
    }
    return status;
}

et_status et_raise_here(et_status status, const char *fmt, ...)
{
    if (!state.status) {
        size_t used = 0;
        va_list ap;
        if (state.file) {
            int n = snprintf(state.message, MESSAGE_SIZE / 2, "%s:%d: ", state.file, state.line);
            used = n < 0 ? 0 : n < MESSAGE_SIZE / 2 ? (size_t)n : MESSAGE_SIZE / 2 - 1;
        }
        va_start(ap, fmt);
        set_message(status, used, fmt, ap);
        va_end(ap);
    }
    return status;
}

et_status et_fail_status(const char *where)
{
    char old[MESSAGE_SIZE];

    if (!state.status)
        return et_raise(ET_EINVAL, "%s: failed", where);
    memcpy(old, state.message, sizeof old);
    int n = snprintf(state.message, MESSAGE_SIZE, "%s: ", where);
    if (n >= 0 && n < MESSAGE_SIZE - 1) {
        size_t room = (size_t)(MESSAGE_SIZE - 1 - n), len = strlen(old);
        if (len > room)
            len = room;
        memcpy(state.message + n, old, len);
        state.message[(size_t)n + len] = '\0';
    }
    keep_one_line();
    return state.status;
}

void *et_fail(const char *where)
{
    if (state.status)
        et_fail_status(where);
    else
        et_raise(ET_EINVAL, "%s: an argument is NULL", where);
    return NULL;
}

const char *et_status_name(et_status status)
{
    switch (status) {
    case ET_OK: return "OK";
    case ET_EINVAL: return "EINVAL";
    case ET_ESHAPE: return "ESHAPE";
    case ET_EDTYPE: return "EDTYPE";
    case ET_ENOMEM: return "ENOMEM";
    case ET_EIO: return "EIO";
    case ET_EFORMAT: return "EFORMAT";
    case ET_ESCOPE: return "ESCOPE";
    case ET_EGRAD: return "EGRAD";
    case ET_EVERSION: return "EVERSION";
    case ET_ENONFINITE: return "ENONFINITE";
    case ET_EFULL: return "EFULL";
    }
    return "unknown status";
}
