/* Failing every request for memory in turn: a function under test is run with its first
 * request refused, then its second, and so on until it gets all it asks for. Each failed
 * run must say so (ENOMEM) and must leave nothing behind in the pool; what malloc gave is
 * for the leak checker to see. Used inside Check tests. */
#ifndef ETUDE_TESTS_ALLOC_SWEEP_H
#define ETUDE_TESTS_ALLOC_SWEEP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "tensor/alloc.h"
#include "tensor/error.h"
#include "tensor/pool.h"
#include "tests/suite.h"

typedef struct alloc_sweep_state {
    int64_t passed, allowed; /* requests let through; how many may be */
    bool refused;
} alloc_sweep_state;

static inline bool alloc_sweep_hook(size_t bytes, void *user)
{
    alloc_sweep_state *s = user;

    (void)bytes;
    if (s->passed >= s->allowed) {
        s->refused = true;
        return false;
    }
    s->passed++;
    return true;
}

/* Runs body(user), which returns true when everything went well and releases what it made
 * in either case, until no request is refused. `what` stands in messages. Returns the
 * number of requests of the undisturbed run. */
static inline int64_t alloc_sweep(const char *what, bool (*body)(void *user), void *user)
{
    alloc_sweep_state s = {0, 0, false};
    et_pool_stats before, after;
    bool ok;

    et_error_clear();
    for (;;) {
        et_pool_get_stats(&before);
        s.passed = 0;
        s.refused = false;
        et_set_alloc_hook(alloc_sweep_hook, &s);
        ok = body(user);
        et_set_alloc_hook(NULL, NULL);
        et_pool_get_stats(&after);
        ck_assert_msg(after.current == before.current, "%s: request %" PRId64 " refused: %zu bytes are left",
                      what, s.allowed, after.current - before.current);
        if (!s.refused)
            break;
        ck_assert_msg(ok || et_error_status() == ET_ENOMEM, "%s: request %" PRId64 " refused: status %s (%s)",
                      what, s.allowed, et_status_name(et_error_status()), et_error_message());
        ck_assert_msg(!ok || et_error_status() == ET_OK,
                      "%s: request %" PRId64 " refused: success, yet \"%s\"", what, s.allowed,
                      et_error_message());
        et_error_clear();
        s.allowed++;
        ck_assert_msg(s.allowed < 100000, "%s: never satisfied", what);
    }
    ck_assert_msg(ok && et_error_status() == ET_OK, "%s: fails with all memory given: %s", what,
                  et_error_message());
    return s.passed;
}

#endif
