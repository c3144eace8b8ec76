/* When to stop. */
#include "config.h"

#include <math.h>

#include "nn/early_stop.h"
#include "nn/internal.h"
#include "tensor/alloc.h"

et_early_stop et_early_stop_make(bool maximise, int64_t patience, double min_delta)
{
    return (et_early_stop){maximise, patience, min_delta, NAN, -1, 0};
}

bool et_early_stop_update(et_early_stop *s, int64_t epoch, double value)
{
    const double gain = s->maximise ? value - s->best : s->best - value;
    const bool first = s->best_epoch < 0 && !isnan(value);

    if (!first && !(gain > s->min_delta)) {
        s->waited++;
        return false;
    }
    s->best = value;
    s->best_epoch = epoch;
    s->waited = 0;
    return true;
}

bool et_early_stop_done(const et_early_stop *s) { return s->patience > 0 && s->waited >= s->patience; }

struct et_weights {
    et_state state;
};

void et_weights_free(et_weights *w)
{
    if (!w)
        return;
    et_state_free(&w->state);
    et_dealloc(w);
}

et_weights *et_weights_new(et_module *m)
{
    et_weights *w;

    if (!m) {
        et_raise(ET_EINVAL, "weights: the module is NULL");
        return NULL;
    }
    w = et_alloc_zero(1, sizeof *w);
    if (!w)
        return NULL;
    bool failed = et_state_add_module(&w->state, "", m) != ET_OK;
    for (int64_t i = 0; i < w->state.n && !failed; i++) {
        et_state_item *it = &w->state.items[i];
        it->staged = et_empty_owned(it->tensor->dtype, it->tensor->ndim, it->tensor->shape);
        failed = !it->staged;
    }
    if (failed || et_weights_store(w)) {
        et_weights_free(w);
        return NULL;
    }
    return w;
}

et_status et_weights_store(et_weights *w)
{
    et_status status = ET_OK;

    for (int64_t i = 0; i < w->state.n && !status; i++)
        status = et_copy_into(w->state.items[i].staged, w->state.items[i].tensor);
    return status;
}

et_status et_weights_restore(et_weights *w) { return et_state_commit(&w->state); }
