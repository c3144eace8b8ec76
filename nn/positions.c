/* Positional encodings. */
#include "config.h"

#include <inttypes.h>

#include "nn/init.h"
#include "nn/positions.h"

static et_positions *new_positions(et_module *parent, const char *name, const char *kind, int64_t max,
                                   int64_t d)
{
    et_positions *p = et_module_new(sizeof *p, kind, parent, name);

    if (!p)
        return NULL;
    et_module_note(&p->module, "%" PRId64 " x %" PRId64, max, d);
    if (max < 1 || d < 1)
        et_raise(ET_EINVAL, "positions %s: %" PRId64 " steps of width %" PRId64, p->module.path, max, d);
    return et_module_done(&p->module);
}

et_positions *et_positions_sinusoidal_new(et_module *parent, const char *name, int64_t max, int64_t d)
{
    et_positions *p = new_positions(parent, name, "SinusoidalPositions", max, d);
    et_scope *scope;

    if (!p)
        return NULL;
    p->table = et_module_buffer(&p->module, "table", ET_ENTRY_CONSTANT, ET_F32, ET_SHAPE(max, d));
    scope = p->table ? et_scope_open() : NULL;
    if (scope) {
        et_tensor *values = et_sinusoidal_positions(ET_F32, max, d, 0);
        if (values)
            et_copy_into(p->table, values);
        et_scope_close(scope);
    }
    return et_module_done(&p->module);
}

et_positions *et_positions_learned_new(et_module *parent, const char *name, int64_t max, int64_t d,
                                       double std, et_rng *rng)
{
    et_positions *p = new_positions(parent, name, "LearnedPositions", max, d);

    if (!p)
        return NULL;
    p->learned = true;
    p->table = et_module_param(&p->module, "weight", ET_SHAPE(max, d));
    if (p->table)
        et_init_trunc_normal(p->table, std, 2 * std, rng);
    return et_module_done(&p->module);
}

et_tensor *et_positions_forward(const et_positions *p, et_tensor *x)
{
    char text[ET_SHAPE_TEXT];

    if (!p || !x)
        return et_fail("positions");
    const int64_t T = x->ndim >= 2 ? x->shape[x->ndim - 2] : 0;
    if (x->ndim < 2 || T > p->table->shape[0] || x->shape[x->ndim - 1] != p->table->shape[1]) {
        et_raise(ET_ESHAPE, "positions %s: %s, expected [B, T, %" PRId64 "] with T up to %" PRId64,
                 p->module.path, et_shape_text(text, x->ndim, x->shape), p->table->shape[1],
                 p->table->shape[0]);
        return NULL;
    }
    return et_add(x, et_slice(p->table, 0, 0, T, 1));
}
