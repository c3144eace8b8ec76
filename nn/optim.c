/* Optimisers over flat blocks. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/profile.h"
#include "nn/optim_internal.h"
#include "tensor/alloc.h"
#include "tensor/ints.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"

bool et_optim_is_matrix(const char *name, const et_tensor *parameter)
{
    (void)name;
    return parameter->ndim >= 2;
}

/* --- making ------------------------------------------------------------------------------- */

static const char *wrong(const et_optim_options *p)
{
    if (p->kind != ET_SGD && p->kind != ET_ADAM && p->kind != ET_ADAMW && p->kind != ET_SWATS)
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
    if (!(p->switch_eps >= 0) || !isfinite(p->switch_eps))
        return "switch_eps must be 0 or more";
    return p->eps >= 0 && isfinite(p->eps) ? NULL : "eps must be 0 or more";
}

/* With the defaults of what is 0. */
static et_optim_options complete(const et_optim_options *given)
{
    et_optim_options p = *given;

    if (p.beta1 == 0 && p.beta2 == 0)
        p.beta1 = 0.9, p.beta2 = 0.999;
    if (p.eps == 0)
        p.eps = 1e-8;
    if (p.switch_eps == 0)
        p.switch_eps = 1e-9;
    return p;
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
    o->options = complete(options);
    o->n_groups = groups ? n_groups : 1;
    o->groups = et_alloc_zero((size_t)o->n_groups, sizeof *o->groups);
    if (o->groups) {
        memcpy(o->groups, groups ? groups : &all, (size_t)o->n_groups * sizeof *o->groups);
        if (!et_optim_arrange(o) && et_optim_size(o) == 0)
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
    et_optim_free_blocks(o->blocks, o->n_blocks);
    et_dealloc(o->trained);
    et_dealloc(o->sums);
    et_dealloc(o->groups);
    et_dealloc(o);
}

/* --- the step ------------------------------------------------------------------------------ */

typedef struct pass {
    const et_optim *o;
    const et_optim_block *b;
    const et_kernels *k;
    char *w, *m, *v;
    size_t size;
    double lr, decay;
    double scale;    /* of the gradients: clipping's */
    double bc1, bc2; /* bias corrections 1 - beta1^t, 1 - beta2^t */
    int64_t base;    /* of the part of the block that is stepped */
    int first;       /* t is 1 */
    bool sgd;     /* by SGD's rule: momentum mu, perhaps Nesterov's form */
    double mu;
    double *sums; /* of squares, one a piece; or, of SWATS, the two products of a piece */
} pass;

/* What of one parameter lies in a piece of its block: n elements, from element `at` of the block on. */
typedef struct share {
    int64_t at, n;
    const void *g; /* their gradient; NULL: none */
} share;

/* The next share of elements at .. hi - 1 of a block, of parameter *k or a later one; false after all. */
static bool next_share(const pass *p, int64_t *k, int64_t at, int64_t hi, share *out)
{
    for (; *k < p->b->n_slots && p->b->slots[*k].offset < hi; ++*k) {
        const et_optim_slot *s = &p->b->slots[*k];
        const int64_t from = s->offset > at ? s->offset : at, end = s->offset + s->p->numel;
        const int64_t to = end < hi ? end : hi;
        if (from >= to)
            continue;
        *out = (share){.at = from, .n = to - from};
        if (s->g)
            out->g = (const char *)s->g + (size_t)(from - s->offset) * p->size;
        ++*k;
        return true;
    }
    return false;
}

/* The last parameter that begins at element `at` of the block or before. */
static int64_t slot_at(const et_optim_block *b, int64_t at)
{
    int64_t lo = 0, hi = b->n_slots;

    while (hi - lo > 1) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (b->slots[mid].offset <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void step_share(const pass *p, const share *s, double products[2])
{
    const et_optim_options *c = &p->o->options;
    const size_t at = (size_t)s->at * p->size;

    if (p->sgd) {
        p->k->sgd(s->n, p->w + at, s->g, p->m ? p->m + at : NULL, p->lr, p->mu, c->nesterov, p->decay,
                  p->scale, p->first);
        return;
    }
    p->k->adam(s->n, p->w + at, s->g, p->m + at, p->v + at, p->lr, c->beta1, c->beta2, c->eps, p->decay,
               c->kind == ET_ADAMW, p->bc1, p->bc2, p->scale);
    if (products)
        et_swats_products(p->b->dtype, s->n, p->w + at, s->g, p->m + at, p->v + at, c, p->lr, p->decay,
                          p->scale, p->bc1, p->bc2, products);
}

static void step_piece(int64_t lo, int64_t hi, void *user)
{
    const pass *p = user;
    double *products = p->sums ? p->sums + 2 * (lo / ET_OPTIM_PIECE) : NULL;
    int64_t k = slot_at(p->b, p->base + lo);
    share s;

    if (products)
        products[0] = products[1] = 0;
    while (next_share(p, &k, p->base + lo, p->base + hi, &s))
        step_share(p, &s, products);
}

static void square_piece(int64_t lo, int64_t hi, void *user)
{
    const pass *p = user;
    int64_t k = slot_at(p->b, lo);
    double sum = 0;
    share s;

    while (next_share(p, &k, lo, hi, &s))
        sum += s.g ? p->k->sum_sq(s.n, s.g) : 0;
    p->sums[lo / ET_OPTIM_PIECE] = sum;
}

/* The sum of squares of scale * g in plain double, for gradients whose squares leave float32. */
static double sum_slowly(const et_optim_slot *s, double scale)
{
    const float *f = s->p->dtype == ET_F32 ? s->g : NULL;
    const double *d = s->p->dtype == ET_F64 ? s->g : NULL;
    double sum = 0;

    for (int64_t i = 0; s->g && i < s->p->numel; i++) {
        double x = scale * (f ? (double)f[i] : d[i]);
        sum += x * x;
    }
    return sum;
}

/* True if a parameter is in its place and has a gradient as backward makes it: the user, or et_module_to, may
 * have taken either. */
static bool in_place(const et_optim_block *b, const et_tensor *p)
{
    const et_tensor *g = p->grad;

    return p->storage == b->w->storage && g && g->dtype == b->dtype && et_same_shape(g, p) &&
           et_is_contiguous(g);
}

/* Where the gradients are now. */
static et_status find_gradients(et_optim *o)
{
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++) {
            et_optim_slot *s = &o->blocks[i].slots[k];
            const et_tensor *g = s->p->grad;
            if (!in_place(&o->blocks[i], s->p))
                return et_raise(ET_EINVAL, "optim: %s or its gradient is not where the optimiser put it",
                                s->name);
            s->g = NULL;
            if (!g->blank && !(s->g = et_data(g)))
                return et_error_status();
        }
    return ET_OK;
}

/* Writes the zeros of gradients that hold no memory: their parameters are stepped too. */
static et_status complete_gradients(et_optim *o)
{
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++) {
            et_optim_slot *s = &o->blocks[i].slots[k];
            if (!s->g && !(s->g = et_data(s->p->grad)))
                return et_error_status();
        }
    return ET_OK;
}

double et_optim_grad_norm(et_optim *o)
{
    double total = 0;

    if (!o || find_gradients(o))
        return NAN;
    for (int i = 0; i < o->n_blocks; i++) {
        const et_optim_block *b = &o->blocks[i];
        const int64_t n = ceil_div(b->numel, ET_OPTIM_PIECE);
        pass p = {.b = b, .k = et_kernels_for(b->dtype), .size = et_dtype_size(b->dtype)};
        p.sums = o->sums;
        et_parallel_for(b->numel, ET_OPTIM_PIECE, square_piece, &p);
        for (int64_t k = 0; k < n; k++)
            total += p.sums[k];
    }
    if (isfinite(total))
        return sqrt(total);
    const double scale = 0x1p-500;
    total = 0;
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++)
            total += sum_slowly(&o->blocks[i].slots[k], scale);
    return sqrt(total) / scale;
}

/* Raises ENONFINITE with the name of a parameter whose gradient is not finite. */
static et_status blame(const et_optim *o, double norm)
{
    for (int i = 0; i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++) {
            const et_optim_slot *s = &o->blocks[i].slots[k];
            if (s->g && !et_kernels_for(s->p->dtype)->all_finite(s->p->numel, s->g))
                return et_raise(ET_ENONFINITE, "optim_step: the gradient of %s is not finite", s->name);
        }
    return et_raise(ET_ENONFINITE, "optim_step: the norm of the gradient is %g", norm);
}

/* Steps the block: one pass over each run of parameters that have made the same number of steps,
 * which are all of them unless some were unfrozen later. */
static void step_block(pass *p, et_optim_block *b, double products[2])
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
        et_parallel_for(end - p->base, ET_OPTIM_PIECE, step_piece, p);
        for (int64_t i = 0; p->sums && i < ceil_div(end - p->base, ET_OPTIM_PIECE); i++) {
            products[0] += p->sums[2 * i];
            products[1] += p->sums[2 * i + 1];
        }
    }
    for (int64_t k = 0; k < b->n_slots; k++)
        b->slots[k].steps++;
}

static et_status step(et_optim *o, double scale)
{
    const et_optim_options *c = &o->options;
    const bool swats = c->kind == ET_SWATS, switched = swats && o->swats.at > 0;
    double products[2] = {0, 0};

    if (complete_gradients(o))
        return et_fail_status("optim_step");
    o->steps++;
    for (int i = 0; i < o->n_blocks; i++) {
        et_optim_block *b = &o->blocks[i];
        const et_optim_group *group = &o->groups[b->group];
        pass p = {.o = o,
                  .b = b,
                  .k = et_kernels_for(b->dtype),
                  .size = et_dtype_size(b->dtype),
                  .scale = scale};
        p.w = et_data_mut(b->w);
        p.m = b->m ? et_data_mut(b->m) : NULL;
        p.v = b->v ? et_data_mut(b->v) : NULL;
        p.lr = c->lr * (group->lr_scale == 0 ? 1 : group->lr_scale);
        p.decay = group->no_decay ? 0 : c->weight_decay;
        p.sgd = c->kind == ET_SGD || switched;
        p.mu = c->momentum;
        p.sums = swats && !switched ? o->sums : NULL;
        if (switched) {
            p.mu = c->beta1;
            p.lr *= (1 - c->beta1) * o->swats.rate_lr;
        }
        step_block(&p, b, products);
    }
    if (swats && !switched)
        et_swats_judge(o, products[0], products[1]);
    return ET_OK;
}

static et_status prepare(et_optim *o)
{
    if (et_error_status())
        return et_fail_status("optim_step");
    if (!o)
        return et_raise(ET_EINVAL, "optim_step: the optimiser is NULL");
    et_status status = et_optim_refresh(o);
    return status ? status : find_gradients(o);
}

et_status et_optim_step(et_optim *o)
{
    et_status status;

    et_profile_part_begin("optimiser");
    status = prepare(o);
    if (!status)
        status = step(o, 1);
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
    if ((status = step(o, scale)))
        return status;
    et_optim_zero_grad(o);
    return ET_OK;
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
    for (int i = 0; o && i < o->n_blocks; i++)
        for (int64_t k = 0; k < o->blocks[i].n_slots; k++)
            et_zero_grad_of(o->blocks[i].slots[k].p);
}

et_status et_optim_restart(et_optim *o, const et_optim_options *options)
{
    if (et_error_status())
        return et_fail_status("optim_restart");
    if (!o || !options || wrong(options))
        return et_raise(ET_EINVAL, "optim_restart: %s", !o || !options ? "NULL" : wrong(options));
    const et_optim_options before = o->options;
    o->options = complete(options);
    o->fresh = true;
    et_status status = et_optim_arrange(o);
    o->fresh = false;
    if (status) {
        o->options = before;
        return et_fail_status("optim_restart");
    }
    o->steps = 0;
    o->swats = (et_swats){.lambda = 0};
    return ET_OK;
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
