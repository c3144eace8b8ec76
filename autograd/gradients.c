/* Memory for gradients: the et_gx and et_gy calls of op.h, with which rules read the gradients of their
 * outputs and write those of their operands. Where they can they hand memory on instead of taking more: the
 * gradient of an output is not needed once its op's rule has run, and may become that of an operand. */
#include "config.h"

#include <string.h>

#include "autograd/sweep.h"

const et_tensor *et_gy(et_node *n, int k) { return n->out[k]->acc; }

const void *et_gy_data(et_node *n, int k)
{
    const et_tensor *g = et_gy(n, k);

    return g ? et_data(g) : NULL;
}

bool et_gradient_unshare(et_tensor **g)
{
    et_tensor *own = et_empty_owned((*g)->dtype, (*g)->ndim, (*g)->shape);

    if (!own || et_copy_into(own, *g)) {
        et_free(own);
        return false;
    }
    et_free(*g);
    *g = own;
    return true;
}

/* The tensor that gathers the gradient of t; *acc tells whether there is something in it. */
static et_tensor *gather_in(et_tensor *t, int *acc)
{
    bool leaf = !t->node && !(et_sweep_running && et_sweep_running->capture);
    et_tensor **slot = leaf ? &t->grad : &t->acc;

    *acc = leaf ? t->grad && t->reached : t->acc != NULL;
    if (!*slot)
        *slot = et_empty_owned(t->dtype, t->ndim, t->shape);
    if (*slot && leaf) {
        if ((*slot)->blank) { /* zeros that nobody has looked at: the rule overwrites instead of adding */
            if (!et_blank_open(*slot))
                return NULL;
            *acc = 0;
        }
        et_storage_gathers(*slot);
        t->reached = true;
    } else if (*slot && et_storage_shared(*slot) && !et_gradient_unshare(slot)) {
        return NULL;
    }
    return *slot;
}

void *et_gx(et_node *n, int i, int *acc)
{
    et_tensor *g = gather_in(n->in[i], acc);

    return g ? et_data_mut(g) : NULL;
}

et_tensor *et_gx_tensor(et_node *n, int i, int *acc)
{
    int begun;
    et_tensor *g = gather_in(n->in[i], acc ? acc : &begun);

    return g && !acc && !begun && et_fill(g, 0) ? NULL : g;
}

void *et_gx_add(et_node *n, int i)
{
    et_tensor *g = et_gx_tensor(n, i, NULL);

    return g ? et_data_mut(g) : NULL;
}

et_status et_gx_sum(et_node *n, int i, const et_tensor *g)
{
    int acc;

    if (!g)
        return ET_OK;
    et_tensor *d = gather_in(n->in[i], &acc);
    return d ? et_sum_to(d, g, acc) : et_error_status();
}

et_status et_gx_expand(et_node *n, int i, const et_tensor *g, double alpha)
{
    int acc;
    et_tensor *d = gather_in(n->in[i], &acc), *scaled = NULL;

    if (!d)
        return et_error_status();
    if (alpha != 1) {
        if (!(scaled = et_temp(n, g->ndim, g->shape)) || et_copy_into(scaled, g))
            return et_error_status();
        void *p = et_data_mut(scaled);
        et_kernels_for(d->dtype)->affine(g->numel, p, alpha, 0, p);
        g = scaled;
    }
    return acc ? et_add_into(d, g) : et_copy_into(d, g);
}

/* True if the gradient of output 0 is not needed once the running rule is done. */
static bool spent(const et_node *n)
{
    const et_tensor *y = n->out[0];

    return y->acc && !y->keep && y != et_sweep_running->root && !et_sweep_wants(et_sweep_running, y);
}

void *et_gy_over(et_node *n)
{
    return spent(n) && !et_storage_shared(n->out[0]->acc) ? et_data_mut(n->out[0]->acc) : NULL;
}

void *et_saved_over(et_node *n, int slot)
{
    if (et_sweep_running->retain)
        return NULL;
    et_sweep_running->spoiled = n;
    return et_data_mut(n->saved[slot]);
}

/* True if the gradient of output 0 may become that of operand i, which has none yet. */
static bool may_hand_on(const et_node *n, int i)
{
    const et_tensor *x = n->in[i];

    return spent(n) && x->node && !x->acc && x->numel == n->out[0]->numel;
}

/* Makes the gradient of output 0 that of operand i, in whose shape it is read from now on. */
static et_tensor *hand_on(et_node *n, int i)
{
    et_tensor *g = n->out[0]->acc, *x = n->in[i];

    g->ndim = x->ndim;
    memcpy(g->shape, x->shape, (size_t)x->ndim * sizeof *g->shape);
    et_dense_strides(x->ndim, x->shape, g->strides);
    n->out[0]->acc = NULL;
    return x->acc = g;
}

void *et_gx_over(et_node *n, int i, int *acc)
{
    const et_sweep *s = et_sweep_running;
    et_tensor *x = n->in[i];
    /* Nobody but this rule is still to see the elements of x, and its gradient has not begun. */
    const bool last = !s->retain && x->node && x->on_tape && !x->keep && !x->acc && x != s->root &&
                      n->saves & ET_SAVE_IN(i) && x->saved_by == 1;

    if (!last || !(x->acc = et_scope_salvage(x)))
        return et_error_status() ? NULL : et_gx(n, i, acc);
    *acc = 0;
    return et_data_mut(x->acc);
}

void *et_gx_inplace(et_node *n, int i, int *acc)
{
    if (!may_hand_on(n, i) || et_storage_shared(n->out[0]->acc))
        return et_gx(n, i, acc);
    *acc = 0;
    return et_data_mut(hand_on(n, i));
}

et_status et_gx_share(et_node *n, int i)
{
    const et_tensor *gy = et_gy(n, 0);
    et_tensor *x = n->in[i];

    if (!gy || et_sweep_running->capture || !x->node || x->acc || x->keep || !et_same_shape(gy, x))
        return et_gx_sum(n, i, gy);
    x->acc = et_own(et_detach(gy));
    return et_error_status();
}

et_status et_gx_pass(et_node *n, int i)
{
    const et_tensor *gy = et_gy(n, 0);
    et_tensor *x = n->in[i];
    int acc;

    if (!gy)
        return ET_OK;
    if (may_hand_on(n, i))
        return hand_on(n, i) ? ET_OK : et_error_status();
    if (gy->numel != x->numel)
        return et_gx_sum(n, i, gy);
    et_tensor *d = gather_in(x, &acc);
    if (!d)
        return et_error_status();
    et_tensor same = *gy; /* in x's shape */
    same.ndim = d->ndim;
    memcpy(same.shape, d->shape, sizeof same.shape);
    memcpy(same.strides, d->strides, sizeof same.strides);
    return et_sum_to(d, &same, acc);
}
