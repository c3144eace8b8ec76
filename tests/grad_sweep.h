/* Backward after a backward that failed, at each of its requests for memory in turn. Used inside Check tests. */
#ifndef ETUDE_TESTS_GRAD_SWEEP_H
#define ETUDE_TESTS_GRAD_SWEEP_H

#include "autograd/ops.h"
#include "tests/alloc_sweep.h"

/* For each request in turn a graph is made anew, its et_grad fails, and a second call must say that it cannot
 * be called again (ESCOPE) or give the gradients of an undisturbed one. Returns how often it gave them. */
static inline int grad_sweep(const char *what, et_tensor *(*make)(void *user), void *user, int n,
                             et_tensor *const *inputs)
{
    enum { MOST = 8 };
    alloc_sweep_state s = {0, 0, true};
    et_tensor *want[MOST], *got[MOST], *y = make(user);
    int given = 0;

    ck_assert_int_le(n, MOST);
    ck_assert_int_eq(et_grad(1, &y, NULL, n, inputs, want, 0), ET_OK);
    for (; s.refused; s.allowed++) {
        et_scope *scope = et_scope_open();
        ck_assert_ptr_nonnull(y = make(user));
        s.passed = 0;
        s.refused = false;
        et_set_alloc_hook(alloc_sweep_hook, &s);
        et_status status = et_grad(1, &y, NULL, n, inputs, got, 0);
        et_set_alloc_hook(NULL, NULL);
        if (status) {
            ck_assert_int_eq(status, ET_ENOMEM);
            et_error_clear();
            status = et_grad(1, &y, NULL, n, inputs, got, 0);
            given += status == ET_OK;
            ck_assert_msg(!status || status == ET_ESCOPE, "%s: %s", what, et_error_message());
            et_error_clear();
        }
        for (int i = 0; i < n && !status; i++)
            ck_assert_msg(et_equal(got[i], want[i]), "%s: request %" PRId64 " refused: gradient %d", what,
                          s.allowed, i);
        ck_assert_int_eq(et_scope_close(scope), ET_OK);
    }
    return given;
}

#endif
