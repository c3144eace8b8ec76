/* The blocks of an optimiser: parameters and moments side by side. They are arranged when it is made, when it
 * begins anew, and when what is trained has changed. Memory for the new blocks is asked for before anything
 * moves into them. */
#include "config.h"

#include <string.h>

#include "nn/optim_internal.h"
#include "tensor/alloc.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/scope.h"

enum { ALIGN = 16 /* a parameter's place in its block begins at a multiple, in elements */ };

static bool has_m(const et_optim *o) { return o->options.kind != ET_SGD || o->options.momentum > 0; }
static bool has_v(const et_optim *o) { return o->options.kind != ET_SGD; }

static void free_block(et_optim_block *b)
{
    for (int64_t i = 0; i < b->n_slots; i++) {
        et_free(b->slots[i].begin);
        et_free(b->slots[i].m);
        et_free(b->slots[i].v);
    }
    et_free(b->w);
    et_free(b->m);
    et_free(b->v);
    et_dealloc(b->slots);
}

void et_optim_free_blocks(et_optim_block *blocks, int n)
{
    for (int i = 0; i < n; i++)
        free_block(&blocks[i]);
    et_dealloc(blocks);
}

/* The group that takes an entry, -1 for none. */
static int group_of(const et_optim *o, const et_entry *e)
{
    const char *name = et_module_entry_name(o->module, e);

    if (e->kind != ET_ENTRY_PARAMETER || !e->tensor->requires_grad)
        return -1;
    for (int g = 0; g < o->n_groups; g++) {
        const et_optim_group *group = &o->groups[g];
        if (et_path_within(group->prefix ? group->prefix : "", name) &&
            (!group->select || group->select(name, e->tensor)))
            return g;
    }
    return -1;
}

static et_tensor *new_block(et_dtype dtype, int64_t n) { return et_own(et_zeros(dtype, 1, &n)); }

/* A handle, shaped as p, on a place in a block. */
static et_tensor *handle(const et_tensor *flat, int64_t offset, const et_tensor *p)
{
    int64_t strides[ET_MAX_DIMS];

    et_dense_strides(p->ndim, p->shape, strides);
    return et_own(et_raw_view(flat, p->ndim, p->shape, strides, offset));
}

static const et_optim_slot *find_slot(const et_optim_block *blocks, int n, const et_tensor *p)
{
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < blocks[i].n_slots; k++)
            if (blocks[i].slots[k].p == p)
                return &blocks[i].slots[k];
    return NULL;
}

/* Gathers the parameters of (group, dtype) that are not in one of the n blocks already (two groups may take a
 * tied one) into blocks[n], without moving them. */
static et_status collect(const et_optim *o, int group, et_dtype dtype, et_optim_block *blocks, int n)
{
    et_optim_block *b = &blocks[n];
    int64_t room = 0;
    const et_entry *e;
    et_status status = ET_OK;

    *b = (et_optim_block){.group = group, .dtype = dtype};
    for (int64_t i = 0; (e = et_module_entry(o->module, i)) && !status; i++) {
        if (group_of(o, e) != group || e->tensor->dtype != dtype || find_slot(blocks, n + 1, e->tensor))
            continue;
        status = et_grow(&b->slots, b->n_slots, &room, sizeof *b->slots);
        if (status)
            break;
        b->slots[b->n_slots++] =
            (et_optim_slot){.name = et_module_entry_name(o->module, e), .p = e->tensor, .offset = b->numel};
        b->numel += round_up(e->tensor->numel, ALIGN);
    }
    return status;
}

/* Allocates all that a block needs and copies the moments that its parameters have already. */
static et_status furnish(const et_optim *o, et_optim_block *b)
{
    if (!(b->w = new_block(b->dtype, b->numel)) || (has_m(o) && !(b->m = new_block(b->dtype, b->numel))) ||
        (has_v(o) && !(b->v = new_block(b->dtype, b->numel))))
        return et_error_status();
    for (int64_t i = 0; i < b->n_slots; i++) {
        et_optim_slot *s = &b->slots[i];
        const et_optim_slot *old = find_slot(o->blocks, o->n_blocks, s->p);
        if ((b->m && !(s->m = handle(b->m, s->offset, s->p))) ||
            (b->v && !(s->v = handle(b->v, s->offset, s->p))))
            return et_error_status();
        if (o->fresh)
            old = NULL;
        s->steps = old ? old->steps : 0;
        if (old && ((s->m && et_copy_into(s->m, old->m)) || (s->v && et_copy_into(s->v, old->v))))
            return et_error_status();
        if (!s->p->grad && !(s->begin = et_blank_new(s->p)))
            return et_error_status();
    }
    return ET_OK;
}

/* Moves the parameters in; each has a gradient then. Nothing is allocated, so it cannot fail half way. */
static et_status move_in(et_optim_block *b)
{
    et_status status = ET_OK;

    for (int64_t i = 0; i < b->n_slots && !status; i++) {
        et_optim_slot *s = &b->slots[i];
        status = et_move_into(s->p, b->w, s->offset);
        if (!s->p->grad) {
            s->p->grad = s->begin;
            s->p->reached = false;
            s->begin = NULL;
        }
    }
    return status;
}

/* Gives parameters that are no longer trained memory of their own. */
static et_status move_out(const et_optim *o, const et_optim_block *blocks, int n)
{
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++) {
            et_tensor *p = o->blocks[i].slots[k].p, *own;
            et_status status;
            if (find_slot(blocks, n, p))
                continue;
            own = et_empty_owned(p->dtype, 1, &p->numel);
            status = own ? et_move_into(p, own, 0) : et_error_status();
            et_free(own);
            if (status)
                return status;
            et_free(p->grad);
            p->grad = NULL;
            p->reached = false;
        }
    return ET_OK;
}

et_status et_optim_arrange(et_optim *o)
{
    const int max = 2 * o->n_groups;
    et_optim_block *blocks = et_alloc_zero((size_t)max, sizeof *blocks);
    const int64_t n_entries = et_module_n_entries(o->module);
    bool *trained = et_alloc((size_t)n_entries * sizeof *trained);
    double *sums = NULL;
    int64_t pieces = 0;
    int n = 0;
    et_status status = blocks && trained ? ET_OK : et_error_status();

    for (int i = 0; i < max && !status; i++) {
        status = collect(o, i / 2, i % 2 ? ET_F64 : ET_F32, blocks, n);
        if (!status && blocks[n].n_slots) {
            status = furnish(o, &blocks[n]);
            pieces = max64(pieces, ceil_div(blocks[n].numel, ET_OPTIM_PIECE));
            n++;
        } else if (status) {
            n++;
        }
    }
    if (!status && !(sums = et_alloc_zero((size_t)pieces, 2 * sizeof *sums)))
        status = et_error_status();
    if (!status)
        status = move_out(o, blocks, n);
    for (int i = 0; i < n && !status; i++)
        status = move_in(&blocks[i]);
    if (status) {
        et_optim_free_blocks(blocks, n);
        et_dealloc(trained);
        et_dealloc(sums);
        return status;
    }
    for (int64_t i = 0; i < n_entries; i++)
        trained[i] = et_module_entry(o->module, i)->tensor->requires_grad;
    et_optim_free_blocks(o->blocks, o->n_blocks);
    et_dealloc(o->trained);
    et_dealloc(o->sums);
    o->blocks = blocks;
    o->n_blocks = n;
    o->trained = trained;
    o->n_entries = n_entries;
    o->sums = sums;
    return ET_OK;
}

et_status et_optim_refresh(et_optim *o)
{
    const et_entry *e;
    int64_t i;

    for (i = 0; (e = et_module_entry(o->module, i)); i++)
        if (i >= o->n_entries || o->trained[i] != e->tensor->requires_grad)
            return et_optim_arrange(o);
    return i == o->n_entries ? ET_OK : et_optim_arrange(o);
}
