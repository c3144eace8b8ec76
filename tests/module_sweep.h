/* Failing every request for memory of a module that is made and used, in turn. Used inside Check tests. */
#ifndef ETUDE_TESTS_MODULE_SWEEP_H
#define ETUDE_TESTS_MODULE_SWEEP_H

#include "nn/module.h"
#include "tests/alloc_sweep.h"

/* Makes *m (NULL on failure) and uses it inside the open scope; true when everything went well. */
typedef bool module_use(et_module **m);

static inline bool module_sweep_once(void *user)
{
    et_module *m = NULL;
    et_scope *s = et_scope_open();
    const bool ok = (*(module_use *const *)user)(&m);

    if (s)
        et_scope_close(s);
    if (m)
        et_module_free(m);
    return ok;
}

/* Sweeps over all requests of `use`, which must be more than `least`. */
static inline void module_sweep(module_use *use, int64_t least)
{
    ck_assert_int_gt(alloc_sweep("build and run", module_sweep_once, (void *)&use), least);
}

#endif
