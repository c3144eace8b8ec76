/* Optimisers over flat blocks. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/profile.h"
#include "nn/optim_internal.h"
#include "tensor/alloc.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"

enum {
    ALIGN = 16,       /* a parameter's place in its block begins at a multiple, in elements */
    PIECE = 16 * 1024 /* elements of a block that one thread steps at a time */
};

bool et_optim_is_matrix(const char *name, const et_tensor *parameter)
{
    (void)name;
    return parameter->ndim >= 2;
}

/* --- arranging -------------------------------------------------------------------------- */

static bool has_m(const et_optim *o) { return o->options.kind != ET_SGD || o->options.momentum > 0; }
static bool has_v(const et_optim *o) { return o->options.kind != ET_SGD; }

static void free_block(et_optim_block *b)
{
    for (int64_t i = 0; i < b->n_slots; i++) {
        et_free(b->slots[i].m);
        et_free(b->slots[i].v);
    }
    et_free(b->w);
    et_free(b->g);
    et_free(b->m);
    et_free(b->v);
    et_dealloc(b->slots);
}

static void free_blocks(et_optim_block *blocks, int n)
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

static et_tensor *new_block(et_dtype dtype, int64_t n)
{
    et_tensor *t = et_empty_owned(dtype, 1, &n);

    if (t && et_fill(t, 0)) {
        et_free(t);
        return NULL;
    }
    return t;
}

/* A handle, shaped as p, on a place in a block. */
static et_tensor *handle(const et_tensor *flat, int64_t offset, const et_tensor *p)
{
    int64_t strides[ET_MAX_DIMS], run = 1;

    for (int d = p->ndim - 1; d >= 0; d--) {
        strides[d] = run;
        run *= p->shape[d] ? p->shape[d] : 1;
    }
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

/* Gathers the parameters of (group, dtype) into *b, without moving them. */
static et_status collect(const et_optim *o, int group, et_dtype dtype, et_optim_block *b)
{
    int64_t room = 0;
    const et_entry *e;
    et_status status = ET_OK;

    *b = (et_optim_block){.group = group, .dtype = dtype};
    for (int64_t i = 0; (e = et_module_entry(o->module, i)) && !status; i++) {
        if (group_of(o, e) != group || e->tensor->dtype != dtype || find_slot(b, 1, e->tensor))
            continue;
        status = et_grow(&b->slots, b->n_slots, &room, sizeof *b->slots);
        if (status)
            break;
        b->slots[b->n_slots++] =
            (et_optim_slot){.name = et_module_entry_name(o->module, e), .p = e->tensor, .offset = b->numel};
        b->numel += (e->tensor->numel + ALIGN - 1) / ALIGN * ALIGN;
    }
    return status;
}

/* Allocates all that a block needs and copies the moments that its parameters have already. */
static et_status furnish(const et_optim *o, et_optim_block *b, et_tensor **grads)
{
    if (!(b->w = new_block(b->dtype, b->numel)) || !(b->g = new_block(b->dtype, b->numel)) ||
        (has_m(o) && !(b->m = new_block(b->dtype, b->numel))) ||
        (has_v(o) && !(b->v = new_block(b->dtype, b->numel))))
        return et_error_status();
    for (int64_t i = 0; i < b->n_slots; i++) {
        et_optim_slot *s = &b->slots[i];
        const et_optim_slot *old = find_slot(o->blocks, o->n_blocks, s->p);
        if ((b->m && !(s->m = handle(b->m, s->offset, s->p))) ||
            (b->v && !(s->v = handle(b->v, s->offset, s->p))))
            return et_error_status();
        s->steps = old ? old->steps : 0;
        if (old && ((s->m && et_copy_into(s->m, old->m)) || (s->v && et_copy_into(s->v, old->v))))
            return et_error_status();
        if (!s->p->grad && !(grads[i] = handle(b->g, s->offset, s->p)))
            return et_error_status();
    }
    return ET_OK;
}

/* Moves parameters and gradients in. Nothing is allocated, so that it does not fail half way. */
static et_status move_in(et_optim_block *b, et_tensor **grads)
{
    et_status status = ET_OK;

    for (int64_t i = 0; i < b->n_slots && !status; i++) {
        et_optim_slot *s = &b->slots[i];
        status = et_move_into(s->p, b->w, s->offset);
        if (!status && s->p->grad) {
            status = et_move_into(s->p->grad, b->g, s->offset);
            if (!status && !s->p->reached) /* what it holds counts for nothing */
                status = et_fill(s->p->grad, 0);
        } else if (!status) {
            s->p->grad = grads[i];
            grads[i] = NULL;
            s->p->reached = false;
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
            if (find_slot(blocks, n, p))
                continue;
            own = et_empty_owned(p->dtype, 1, &p->numel);
            if (!own || et_move_into(p, own, 0)) {
                et_free(own);
                return et_error_status();
            }
            et_free(own);
            et_free(p->grad);
            p->grad = NULL;
            p->reached = false;
        }
    return ET_OK;
}

/* Arranges all parameters in blocks. On failure everything is as before. */
static et_status arrange(et_optim *o)
{
    const int max = 2 * o->n_groups;
    et_optim_block *blocks = et_alloc_zero((size_t)max, sizeof *blocks);
    const int64_t n_entries = et_module_n_entries(o->module);
    bool *trained = et_alloc((size_t)n_entries + 1);
    et_tensor ***grads = et_alloc_zero((size_t)max, sizeof *grads);
    double *sums = NULL;
    int64_t pieces = 0;
    int n = 0;
    et_status status = blocks && trained && grads ? ET_OK : et_error_status();

    for (int i = 0; i < max && !status; i++) {
        status = collect(o, i / 2, i % 2 ? ET_F64 : ET_F32, &blocks[n]);
        if (!status && blocks[n].n_slots) {
            grads[n] = et_alloc_zero((size_t)blocks[n].n_slots, sizeof **grads);
            status = grads[n] ? furnish(o, &blocks[n], grads[n]) : et_error_status();
            pieces += (blocks[n].numel + PIECE - 1) / PIECE;
            n++;
        } else if (status) {
            n++;
        }
    }
    if (!status && !(sums = et_alloc_zero((size_t)pieces + 1, sizeof *sums)))
        status = et_error_status();
    if (!status)
        status = move_out(o, blocks, n);
    for (int i = 0; i < n && !status; i++)
        status = move_in(&blocks[i], grads[i]);
    for (int i = 0; grads && blocks && i < n; i++) {
        for (int64_t k = 0; grads[i] && k < blocks[i].n_slots; k++)
            et_free(grads[i][k]);
        et_dealloc(grads[i]);
    }
    et_dealloc(grads);
    if (status) {
        free_blocks(blocks, n);
        et_dealloc(trained);
        et_dealloc(sums);
        return status;
    }
    for (int64_t i = 0; i < n_entries; i++)
        trained[i] = et_module_entry(o->module, i)->tensor->requires_grad;
    free_blocks(o->blocks, o->n_blocks);
    et_dealloc(o->trained);
    et_dealloc(o->sums);
    o->blocks = blocks;
    o->n_blocks = n;
    o->trained = trained;
    o->n_entries = n_entries;
    o->sums = sums;
    o->n_pieces = pieces;
    return ET_OK;
}

et_status et_optim_refresh(et_optim *o)
{
    const et_entry *e;
    int64_t i;

    for (i = 0; (e = et_module_entry(o->module, i)); i++)
        if (i >= o->n_entries || o->trained[i] != e->tensor->requires_grad)
            return arrange(o);
    return i == o->n_entries ? ET_OK : arrange(o);
}

/* --- making ------------------------------------------------------------------------------- */

static const char *wrong(const et_optim_options *p)
{
    if (p->kind != ET_SGD && p->kind != ET_ADAM && p->kind != ET_ADAMW)
        return "unknown kind";
    if (!(p->lr >= 0) || !isfinite(p->lr))
        return "the learning rate must be 0 or more";
    if (!(p->weight_decay >= 0) || !isfinite(p->weight_decay))
        return "the weight decay must be 0 or more";
    if (!(p->momentum >= 0 && p->momentum < 1))
        return "the momentum must be in [0, 1)";
    if (p->nesterov && p->momentum == 0)
        return "Nesterov's form needs momentum";
    if (!(p->beta1 >= 0 && p->beta1 < 1 && p->beta2 >= 0 && p->beta2 < 1))
        return "beta1 and beta2 must be in [0, 1)";
    return p->eps >= 0 && isfinite(p->eps) ? NULL : "eps must be 0 or more";
}

et_optim *et_optim_new(et_module *m, const et_optim_options *options, const et_optim_group *groups,
                       int n_groups)
{
    static const et_optim_group all = {NULL, NULL, 1, false};
    et_optim *o;

    if (et_error_status())
        return NULL;
    if (!m || !options || (groups && n_groups < 1)) {
        et_raise(ET_EINVAL, "optim_new: %s",
                 !m        ? "the module is NULL"
                 : options ? "no groups"
                           : "no options");
        return NULL;
    }
    if (wrong(options)) {
        et_raise(ET_EINVAL, "optim_new: %s", wrong(options));
        return NULL;
    }
    o = et_alloc_zero(1, sizeof *o);
    if (!o)
        return NULL;
    o->module = m;
    o->options = *options;
    if (options->beta1 == 0 && options->beta2 == 0)
        o->options.beta1 = 0.9, o->options.beta2 = 0.999;
    if (options->eps == 0)
        o->options.eps = 1e-8;
    o->n_groups = groups ? n_groups : 1;
    o->groups = et_alloc_zero((size_t)o->n_groups, sizeof *o->groups);
    if (o->groups) {
        memcpy(o->groups, groups ? groups : &all, (size_t)o->n_groups * sizeof *o->groups);
        if (!arrange(o) && et_optim_size(o) == 0)
            et_raise(ET_EINVAL, "optim_new: the module has no parameter to train");
    }
    if (et_error_status()) {
        et_optim_free(o);
        return NULL;
    }
    return o;
}

et_optim *et_sgd_new(et_module *m, double lr, double momentum)
{
    return et_optim_new(m, &(et_optim_options){.kind = ET_SGD, .lr = lr, .momentum = momentum}, NULL, 0);
}

et_optim *et_adam_new(et_module *m, double lr)
{
    return et_optim_new(m, &(et_optim_options){.kind = ET_ADAM, .lr = lr}, NULL, 0);
}

et_optim *et_adamw_new(et_module *m, double lr, double weight_decay)
{
    return et_optim_new(m, &(et_optim_options){.kind = ET_ADAMW, .lr = lr, .weight_decay = weight_decay},
                        NULL, 0);
}

void et_optim_free(et_optim *o)
{
    if (!o)
        return;
    free_blocks(o->blocks, o->n_blocks);
    et_dealloc(o->trained);
    et_dealloc(o->sums);
    et_dealloc(o->groups);
    et_dealloc(o);
}

/* --- the step ------------------------------------------------------------------------------ */

typedef struct pass {
    const et_optim *o;
    const et_kernels *k;
    char *w, *g, *m, *v;
    size_t size;
    double lr, decay, scale, bc1, bc2;
    int64_t base; /* of the part of the block that is stepped */
    int first, zero;
    double *sums;
} pass;

static void step_piece(int64_t lo, int64_t hi, void *user)
{
    const pass *p = user;
    const et_optim_options *c = &p->o->options;
    const size_t at = (size_t)(p->base + lo) * p->size;
    const int64_t n = hi - lo;

    if (c->kind == ET_SGD)
        p->k->sgd(n, p->w + at, p->g + at, p->m ? p->m + at : NULL, p->lr, c->momentum, c->nesterov, p->decay,
                  p->scale, p->first, p->zero);
    else
        p->k->adam(n, p->w + at, p->g + at, p->m + at, p->v + at, p->lr, c->beta1, c->beta2, c->eps, p->decay,
                   c->kind == ET_ADAMW, p->bc1, p->bc2, p->scale, p->zero);
}

static void square_piece(int64_t lo, int64_t hi, void *user)
{
    const pass *p = user;

    p->sums[lo / PIECE] = p->k->sum_sq(hi - lo, p->g + (size_t)lo * p->size);
}

/* The sum of squares of scale * g in plain double, for gradients whose squares leave float32. */
static double sum_slowly(const et_optim_block *b, double scale)
{
    const float *f = b->dtype == ET_F32 ? et_data(b->g) : NULL;
    const double *d = f ? NULL : et_data(b->g);
    double sum = 0;

    for (int64_t i = 0; i < b->numel; i++) {
        double x = scale * (f ? (double)f[i] : d[i]);
        sum += x * x;
    }
    return sum;
}

double et_optim_grad_norm(et_optim *o)
{
    double total = 0;
    int64_t at = 0;

    if (!o)
        return NAN;
    for (int i = 0; i < o->n_blocks; i++) {
        const et_optim_block *b = &o->blocks[i];
        const int64_t n = (b->numel + PIECE - 1) / PIECE;
        pass p = {
            .k = et_kernels_for(b->dtype), .g = (char *)et_data_mut(b->g), .size = et_dtype_size(b->dtype)};
        p.sums = o->sums + at;
        et_parallel_for(b->numel, PIECE, square_piece, &p);
        for (int64_t k = 0; k < n; k++)
            total += p.sums[k];
        at += n;
    }
    if (isfinite(total))
        return sqrt(total);
    const double scale = 0x1p-500;
    total = 0;
    for (int i = 0; i < o->n_blocks; i++)
        total += sum_slowly(&o->blocks[i], scale);
    return sqrt(total) / scale;
}

/* Raises ENONFINITE with the name of a parameter whose gradient is not finite. */
static et_status blame(const et_optim *o, double norm)
{
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++) {
            const et_optim_slot *s = &o->blocks[i].slots[k];
            if (!et_kernels_for(s->p->dtype)->all_finite(s->p->numel, et_data(s->p->grad)))
                return et_raise(ET_ENONFINITE, "optim_step: the gradient of %s is not finite", s->name);
        }
    return et_raise(ET_ENONFINITE, "optim_step: the norm of the gradient is %g", norm);
}

/* True if the user (or et_to) has taken gradients or parameters out of their places. */
static bool displaced(const et_optim_block *b)
{
    for (int64_t i = 0; i < b->n_slots; i++) {
        const et_tensor *p = b->slots[i].p;
        if (p->storage != b->w->storage || !p->grad || p->grad->storage != b->g->storage)
            return true;
    }
    return false;
}

/* Steps the block: one pass over each run of parameters that have made the same number of steps,
 * which are all of them unless some were unfrozen later. */
static void step_block(pass *p, et_optim_block *b)
{
    const et_optim_options *c = &p->o->options;

    for (int64_t k = 0, next; k < b->n_slots; k = next) {
        const int64_t t = b->slots[k].steps;
        for (next = k; next < b->n_slots && b->slots[next].steps == t; next++)
            ;
        const int64_t end = next < b->n_slots ? b->slots[next].offset : b->numel;
        p->base = b->slots[k].offset;
        p->first = t == 0;
        p->bc1 = 1 - pow(c->beta1, (double)(t + 1));
        p->bc2 = 1 - pow(c->beta2, (double)(t + 1));
        et_parallel_for(end - p->base, PIECE, step_piece, p);
    }
    for (int64_t k = 0; k < b->n_slots; k++)
        b->slots[k].steps++;
}

static et_status step(et_optim *o, double scale, bool zero)
{
    const et_optim_options *c = &o->options;

    o->steps++;
    for (int i = 0; i < o->n_blocks; i++) {
        et_optim_block *b = &o->blocks[i];
        const et_optim_group *group = &o->groups[b->group];
        pass p = {.o = o,
                  .k = et_kernels_for(b->dtype),
                  .size = et_dtype_size(b->dtype),
                  .scale = scale,
                  .zero = zero};
        p.w = et_data_mut(b->w);
        p.g = et_data_mut(b->g);
        p.m = b->m ? et_data_mut(b->m) : NULL;
        p.v = b->v ? et_data_mut(b->v) : NULL;
        p.lr = c->lr * (group->lr_scale == 0 ? 1 : group->lr_scale);
        p.decay = group->no_decay ? 0 : c->weight_decay;
        step_block(&p, b);
        for (int64_t k = 0; zero && k < b->n_slots; k++)
            b->slots[k].p->reached = false;
    }
    return ET_OK;
}

static et_status prepare(et_optim *o)
{
    if (et_error_status())
        return et_fail_status("optim_step");
    if (!o)
        return et_raise(ET_EINVAL, "optim_step: the optimiser is NULL");
    et_status status = et_optim_refresh(o);
    for (int i = 0; i < o->n_blocks && !status; i++)
        if (displaced(&o->blocks[i]))
            return et_raise(ET_EINVAL,
                            "optim_step: parameters or gradients were moved out of the optimiser's blocks");
    return status;
}

et_status et_optim_step(et_optim *o)
{
    et_status status;

    et_profile_part_begin("optimiser");
    status = prepare(o);
    if (!status)
        status = step(o, 1, false);
    et_profile_part_end();
    return status;
}

static et_status clip_and_step(et_optim *o, double clip, double *norm)
{
    et_status status = prepare(o);
    double scale = 1;

    if (status)
        return status;
    if (!(clip >= 0))
        return et_raise(ET_EINVAL, "optim_step: a clipping norm of %g", clip);
    if (clip > 0 || norm) {
        const double size = et_optim_grad_norm(o);
        if (norm)
            *norm = size;
        if (!isfinite(size))
            return blame(o, size);
        if (clip > 0 && size > clip)
            scale = clip / size;
    }
    return step(o, scale, true);
}

et_status et_optim_step_zero(et_optim *o, double clip, double *norm)
{
    et_status status;

    et_profile_part_begin("optimiser");
    status = clip_and_step(o, clip, norm);
    et_profile_part_end();
    return status;
}

void et_optim_zero_grad(et_optim *o)
{
    for (int i = 0; o && i < o->n_blocks; i++) {
        et_fill(o->blocks[i].g, 0);
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++)
            o->blocks[i].slots[k].p->reached = false;
    }
}

/* --- settings -------------------------------------------------------------------- */

double et_optim_lr(const et_optim *o) { return o ? o->options.lr : NAN; }

et_status et_optim_set_lr(et_optim *o, double lr)
{
    if (!o || !(lr >= 0) || !isfinite(lr))
        return et_raise(ET_EINVAL, "optim_set_lr: %s", o ? "the learning rate must be 0 or more" : "NULL");
    o->options.lr = lr;
    return ET_OK;
}

int64_t et_optim_steps(const et_optim *o) { return o ? o->steps : 0; }

int64_t et_optim_size(const et_optim *o)
{
    int64_t n = 0;

    for (int i = 0; o && i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++)
            n += o->blocks[i].slots[k].p->numel;
    return n;
}
