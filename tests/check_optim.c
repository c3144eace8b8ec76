/* Optimisers: PyTorch's trajectories (tests/oracle/optimisers.py), blocks, groups, clipping,
 * freezing on the way, state files, wrong use, allocation failures. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/internal.h"
#include "nn/optim.h"
#include "tensor/parallel.h"
#include "tensor/pool.h"
#include "tensor/safetensors.h"
#include "tensor/scope.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static et_module *pair(int64_t na, int64_t nb)
{
    et_module *m = et_module_new(sizeof *m, "Pair", NULL, NULL);

    et_module_param(m, "a", ET_SHAPE(3, na));
    et_module_param(m, "b", ET_SHAPE(nb));
    return et_module_done(m);
}

/* Gives p a gradient as backward would. */
static void give_grad(et_tensor *p, const et_tensor *g)
{
    if (!p->grad)
        p->grad = et_empty_owned(p->dtype, p->ndim, p->shape);
    ck_assert_int_eq(et_copy_into(p->grad, g), ET_OK);
    p->reached = true;
}

static const struct run {
    const char *name;
    et_optim_options options;
} runs[] = {
    {"sgd", {.kind = ET_SGD, .lr = 0.1}},
    {"sgd_decay", {.kind = ET_SGD, .lr = 0.1, .weight_decay = 0.05}},
    {"sgd_momentum", {.kind = ET_SGD, .lr = 0.05, .momentum = 0.9}},
    {"sgd_momentum_decay", {.kind = ET_SGD, .lr = 0.05, .momentum = 0.9, .weight_decay = 0.05}},
    {"sgd_nesterov", {.kind = ET_SGD, .lr = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01}},
    {"adam", {.kind = ET_ADAM, .lr = 0.02}},
    {"adam_decay",
     {.kind = ET_ADAM, .lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.05}},
    {"adamw", {.kind = ET_ADAMW, .lr = 0.02, .weight_decay = 0.1}},
    {"adam_late", {.kind = ET_ADAM, .lr = 0.02, .weight_decay = 0.05}},
    {"swats", {.kind = ET_SWATS, .lr = 0.02, .weight_decay = 0.05, .switch_eps = 1e-3}},
    {"swats_never", {.kind = ET_SWATS, .lr = 0.02, .switch_eps = 1e-12}},
    {"sgd_late", {.kind = ET_SGD, .lr = 0.05, .momentum = 0.9, .nesterov = true}},
};
enum { N_RUNS = sizeof runs / sizeof *runs };

/* Row `step` of a [20, ...] trajectory. */
static et_tensor *at_step(const et_tensor *all, int step, const et_tensor *like)
{
    int64_t strides[ET_MAX_DIMS];

    for (int d = 0; d < like->ndim; d++)
        strides[d] = all->strides[d + 1];
    return et_raw_view(all, like->ndim, like->shape, strides, step * all->strides[0]);
}

/* _i: run, and float64 or float32 (odd) */
START_TEST(trajectory)
{
    const struct run *run = &runs[_i / 2];
    const et_dtype dtype = _i % 2 ? ET_F32 : ET_F64;
    const double tol = _i % 2 ? 1e-5 : 1e-10;
    char path[512], name[64];
    et_safetensors *f = et_safetensors_open(suite_file(path, sizeof path, "fixtures/optimisers.safetensors"));
    et_module *m = pair(4, 5);
    static const char *const which[2] = {"a", "b"};

    ck_assert_msg(f && m, "%s", et_error_message());
    ck_assert_int_eq(et_module_to(m, dtype), ET_OK);
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "%s0", which[k]);
        ck_assert_int_eq(et_safetensors_load_into(f, name, et_module_find(m, which[k])), ET_OK);
    }
    const int late = strstr(run->name, "_late") ? 7 : 0; /* steps for which b is frozen */
    et_set_requires_grad(et_module_find(m, "b"), late == 0);
    et_optim *o = et_optim_new(m, &run->options, NULL, 0);
    ck_assert_msg(o != NULL, "%s", et_error_message());
    for (int step = 0; step < 20; step++) {
        if (step == 12) { /* goes on from a file */
            ck_assert_int_eq(et_optim_save(o, in_dir("state")), ET_OK);
            et_optim_free(o);
            o = et_optim_new(m, &run->options, NULL, 0);
            ck_assert_msg(et_optim_load(o, in_dir("state")) == ET_OK, "%s", et_error_message());
        }
        et_scope *scope = et_scope_open();
        et_set_requires_grad(et_module_find(m, "b"), step >= late);
        for (int k = 0; k < 2; k++) {
            et_tensor *p = et_module_find(m, which[k]);
            if (!p->requires_grad)
                continue;
            snprintf(name, sizeof name, "curve_%s", which[k]);
            et_tensor *g = et_clone(at_step(et_to(et_safetensors_load(f, name), dtype), step, p));
            for (int64_t i = 0; i < p->numel; i++) {
                if (dtype == ET_F64)
                    ((double *)et_data_mut(g))[i] += 0.3 * ((const double *)et_data(p))[i];
                else
                    ((float *)et_data_mut(g))[i] += 0.3f * ((const float *)et_data(p))[i];
            }
            give_grad(p, g);
        }
        ck_assert_int_eq(step % 2 ? et_optim_step(o) : et_optim_step_zero(o, 0, NULL), ET_OK);
        for (int k = 0; k < 2; k++) {
            et_tensor *p = et_module_find(m, which[k]);
            snprintf(name, sizeof name, "%s/%s", run->name, which[k]);
            et_tensor *want = at_step(et_to(et_safetensors_load(f, name), dtype), step, p);
            ck_assert_msg(et_allclose(p, want, tol, tol, false), "%s, step %d: %s, expected %s", run->name,
                          step + 1, et_to_string(p), et_to_string(want));
            if (step % 2 == 0 && p->requires_grad)
                ck_assert(et_get(p->grad, (const int64_t[]){0, 0}) == 0 && !p->reached);
        }
        ck_assert_int_eq(et_scope_close(scope), ET_OK);
    }
    ck_assert_int_eq(et_optim_steps(o), 20);
    ck_assert_int_eq(et_optim_size(o), 17);
    double rate;
    const int64_t switched = et_optim_switched(o, &rate);
    if (run->options.kind == ET_SWATS) {
        snprintf(name, sizeof name, "%s/switch", run->name);
        et_tensor *found = et_safetensors_load(f, name);
        const double *want = et_data_f64(found);
        ck_assert_int_eq(switched, (int64_t)want[0]);
        ck_assert(switched ? fabs(rate - want[1]) <= tol * 10 : isnan(rate) &&
                  !strcmp(run->name, "swats_never"));
        et_free(found);
    } else {
        ck_assert(switched == 0 && isnan(rate));
    }
    et_optim_free(o);
    et_module_free(m);
    et_safetensors_close(f);
}
END_TEST

/* Values of a deterministic curve. */
static void fill(et_tensor *t, double a)
{
    for (int64_t i = 0; i < t->numel; i++)
        ((float *)et_data_mut(t))[i] = (float)sin(a + 0.37 * (double)i);
}

static void give(et_module *m, double a)
{
    const et_entry *e;

    for (int64_t i = 0; (e = et_module_entry(m, i)); i++)
        if (!e->tied && e->tensor->requires_grad) {
            et_tensor *g = et_empty_owned(e->tensor->dtype, e->tensor->ndim, e->tensor->shape);
            fill(g, a + (double)i);
            give_grad(e->tensor, g);
            et_free(g);
        }
}

/* After a restart an optimiser goes on as a new one would; a switched SWATS follows a schedule. */
START_TEST(restarting)
{
    const et_optim_options first = {.kind = _i ? ET_SWATS : ET_ADAM, .lr = 0.1, .switch_eps = 1e3};
    const et_optim_options then = {.kind = ET_SGD, .lr = 0.05, .momentum = 0.9, .nesterov = true};
    et_module *a = pair(2, 3), *b = pair(2, 3);
    et_optim *o = et_optim_new(a, &first, NULL, 0), *p;

    fill(et_module_find(a, "a"), 1), fill(et_module_find(a, "b"), 2);
    for (int step = 0; step < 4; step++) {
        give(a, 0.1 * step);
        ck_assert_int_eq(et_optim_step(o), ET_OK);
    }
    ck_assert_int_eq(et_optim_switched(o, NULL), _i ? 2 : 0);
    ck_assert_int_eq(et_copy_into(et_module_find(b, "a"), et_module_find(a, "a")), ET_OK);
    ck_assert_int_eq(et_copy_into(et_module_find(b, "b"), et_module_find(a, "b")), ET_OK);
    fails(et_optim_restart(o, &(et_optim_options){.kind = ET_SGD, .lr = -1}), ET_EINVAL, "learning rate");
    ck_assert_int_eq(et_optim_steps(o), 4); /* nothing has changed */
    ck_assert_int_eq(et_optim_restart(o, &then), ET_OK);
    ck_assert_int_eq(et_optim_steps(o), 0);
    ck_assert_int_eq(et_optim_switched(o, NULL), 0);
    p = et_optim_new(b, &then, NULL, 0);
    for (int step = 0; step < 3; step++) {
        give(a, 0.7 * step), give(b, 0.7 * step);
        ck_assert(et_optim_step(o) == ET_OK && et_optim_step(p) == ET_OK);
    }
    ck_assert(et_equal(et_module_find(a, "a"), et_module_find(b, "a")));
    ck_assert(et_equal(et_module_find(a, "b"), et_module_find(b, "b")));
    et_optim_free(o), et_optim_free(p);
    et_module_free(a), et_module_free(b);
}
END_TEST

START_TEST(swats_rates)
{
    const et_optim_options options = {.kind = ET_SWATS, .lr = 0.1, .switch_eps = 1e3};
    et_module *m = pair(2, 3);
    et_optim *o = et_optim_new(m, &options, NULL, 0);
    et_tensor *b = et_module_find(m, "b"), *g = et_empty_owned(ET_F32, 1, b->shape);
    double rate, before;

    fill(b, 1), fill(et_module_find(m, "a"), 0.5);
    for (int step = 0; step < 2; step++) {
        give(m, 0.3);
        ck_assert_int_eq(et_optim_step_zero(o, 0, NULL), ET_OK);
    }
    ck_assert_int_eq(et_optim_switched(o, &rate), 2);
    ck_assert(rate > 0);
    ck_assert_int_eq(et_optim_set_lr(o, 0.025), ET_OK); /* a quarter of the rate */
    ck_assert_int_eq(et_fill(g, 2), ET_OK);
    give_grad(b, g);
    before = et_get(b, (const int64_t[]){1});
    ck_assert_int_eq(et_optim_step(o), ET_OK); /* v = g: b -= (1 - 0.9) rate / 4 * 2 */
    ck_assert(fabs(before - et_get(b, (const int64_t[]){1}) - 0.1 * rate / 4 * 2) < 1e-6);
    et_free(g);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

START_TEST(groups)
{
    et_module *m = pair(2, 3);
    const et_optim_group g[] = {{.select = et_optim_is_matrix, .lr_scale = 0.5},
                                {.prefix = "b", .no_decay = true}};
    const et_optim_options sgd = {.kind = ET_SGD, .lr = 1, .weight_decay = 0.5};

    et_fill(et_module_find(m, "a"), 2);
    et_fill(et_module_find(m, "b"), 2);
    et_optim *o = et_optim_new(m, &sgd, g, 2);
    ck_assert_int_eq(et_optim_step(o), ET_OK); /* zero gradients: only decay acts */
    ck_assert_double_eq(et_get(et_module_find(m, "a"), (const int64_t[]){2, 1}), 2 - 0.5 * 0.5 * 2);
    ck_assert_double_eq(et_get(et_module_find(m, "b"), (const int64_t[]){1}), 2);
    et_optim_free(o);
    /* What no group takes is left alone. */
    o = et_optim_new(m, &sgd, (const et_optim_group[]){{.prefix = "a"}, {.prefix = "none"}}, 2);
    ck_assert_int_eq(et_optim_size(o), 6);
    give(m, 1);
    ck_assert_int_eq(et_optim_step(o), ET_OK);
    ck_assert_double_eq(et_get(et_module_find(m, "b"), (const int64_t[]){1}), 2);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

START_TEST(clipping)
{
    et_module *m = pair(700, 5000);
    et_optim *o = et_sgd_new(m, 1, 0);
    double norm, sum = 0;

    give(m, 0.2);
    for (int k = 0; k < 2; k++) {
        const et_tensor *g = et_module_find(m, k ? "b" : "a")->grad;
        for (int64_t i = 0; i < g->numel; i++)
            sum += (double)et_data_f32(g)[i] * et_data_f32(g)[i];
    }
    const float g0 = et_data_f32(et_module_find(m, "b")->grad)[7];
    ck_assert_int_eq(et_optim_step_zero(o, 1e9, &norm), ET_OK);
    ck_assert_double_eq_tol(norm, sqrt(sum), 1e-6 * norm);
    ck_assert_double_eq_tol(et_data_f32(et_module_find(m, "b"))[7], -g0, 1e-7);
    et_fill(et_module_find(m, "b"), 0);
    give(m, 0.2);
    ck_assert_int_eq(et_optim_step_zero(o, 0.5, &norm), ET_OK);
    ck_assert_double_eq_tol(norm, sqrt(sum), 1e-6 * norm);
    ck_assert_double_eq_tol(et_data_f32(et_module_find(m, "b"))[7], -g0 * 0.5 / norm, 1e-9);
    /* Squares beyond float32. */
    give(m, 0);
    et_set(et_module_find(m, "b")->grad, (const int64_t[]){3}, 1e30);
    ck_assert_double_eq_tol(et_optim_grad_norm(o), 1e30, 1e24);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

START_TEST(not_finite)
{
    et_module *m = pair(2, 3);
    et_optim *o = et_adam_new(m, 0.1);
    double before;

    give(m, 0.2);
    before = et_get(et_module_find(m, "a"), (const int64_t[]){1, 1});
    et_set(et_module_find(m, "b")->grad, (const int64_t[]){1}, _i ? NAN : INFINITY);
    ck_assert_int_eq(et_optim_step_zero(o, 1, NULL), ET_ENONFINITE);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "gradient of b "));
    ck_assert_double_eq(et_get(et_module_find(m, "a"), (const int64_t[]){1, 1}), before);
    ck_assert_int_eq(et_optim_steps(o), 0);
    /* And nothing while that is pending. */
    ck_assert_int_eq(et_optim_step(o), ET_ENONFINITE);
    ck_assert_int_eq(et_optim_steps(o), 0);
    et_error_clear();
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

/* Parameters lie in one block; a frozen one is left out, a tied one is there once. */
START_TEST(places)
{
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_tensor *a = et_module_param(m, "a", ET_SHAPE(3, 3)), *b = et_module_param(m, "b", ET_SHAPE(2));
    et_tensor *c = et_module_param(m, "c", ET_SHAPE(4));

    ck_assert_ptr_eq(et_module_tie(m, "again", a), a);
    ck_assert_int_eq(et_module_freeze(m, "b"), ET_OK);
    fill(a, 1), fill(b, 2), fill(c, 3);
    et_tensor *was = et_own(et_clone(a));
    et_optim *o = et_adam_new(m, 0.1);
    ck_assert_int_eq(et_optim_size(o), 13);
    ck_assert_ptr_eq(a->storage, c->storage);
    ck_assert_ptr_ne(a->storage, b->storage);
    ck_assert(!b->grad && a->grad && !a->grad->storage); /* gradients begin as zeros without memory, */
    ck_assert(et_equal(a, was));
    give(m, 1);
    ck_assert_int_eq(et_optim_step_zero(o, 0, NULL), ET_OK);
    ck_assert(!et_equal(a, was));
    ck_assert_ptr_null(a->grad->storage); /* which they are again after the step */
    ck_assert(et_get(a->grad, (const int64_t[]){2, 1}) == 0);
    et_free(was);
    et_optim_free(o);
    fill(a, 1); /* parameters stay valid without it */
    et_module_free(m);
}
END_TEST

/* What the optimiser did not put there is refused, not read. */
START_TEST(displaced)
{
    const int64_t strides[] = {0, 0};
    et_module *m = pair(2, 3);
    et_optim *o = et_sgd_new(m, 1, 0);
    et_tensor *a = et_module_find(m, "a"), *one = et_own(et_ones(ET_F32, 0, NULL)), *own;

    give(m, 1);
    own = a->grad;
    a->grad = et_own(et_raw_view(one, 2, a->shape, strides, 0)); /* repeated */
    fails(et_optim_step(o), ET_EINVAL, "a or its gradient is not where");
    ck_assert(isnan(et_optim_grad_norm(o)));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_free(a->grad);
    a->grad = NULL;
    fails(et_optim_step(o), ET_EINVAL, "a or its gradient");
    a->grad = own;
    et_release(own);
    fails(et_optim_step_zero(o, 1, NULL), ET_ESCOPE, "released");
    ck_assert_int_eq(et_optim_steps(o), 0);
    et_zero_grad_of(a);
    ck_assert_int_eq(et_optim_step(o), ET_OK);
    ck_assert_int_eq(et_module_to(m, ET_F64), ET_OK);
    ck_assert(isnan(et_optim_grad_norm(o)));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    et_free(one);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

/* A gradient that was taken away comes back as zeros with the next optimiser; a parameter that two groups
 * would take has one place. */
START_TEST(second_optimiser)
{
    const et_optim_options sgd = {.kind = ET_SGD, .lr = 1};
    const et_optim_group g[] = {{.prefix = "a"}, {.prefix = "again"}};
    et_pool_stats before, after;

    et_pool_get_stats(&before);
    et_module *m = et_module_new(sizeof *m, "M", NULL, NULL);
    et_tensor *a = et_module_param(m, "a", ET_SHAPE(3, 3));
    ck_assert_ptr_eq(et_module_tie(m, "again", a), a);
    et_optim *o = et_optim_new(m, &sgd, g, 2);
    ck_assert_msg(o != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_optim_size(o), 9);
    for (int i = 0; i < 2; i++) {
        et_scope *scope = et_scope_open();
        fill(a, 1);
        ck_assert_int_eq(et_backward(et_sum(a, 0, NULL, false)), ET_OK);
        ck_assert(et_get(a->grad, (const int64_t[]){1, 1}) == 1);
        if (i == 0) {
            et_optim_free(o);
            et_free(a->grad);
            a->grad = NULL;
            o = et_optim_new(m, &sgd, g, 2);
        } else {
            ck_assert_int_eq(et_optim_step(o), ET_OK);
        }
        et_scope_close(scope);
    }
    et_optim_free(o);
    et_module_free(m);
    et_pool_get_stats(&after);
    ck_assert_uint_eq(after.current, before.current);
}
END_TEST

/* Freezing in between keeps the moments of the others:
 * c goes the way it goes in a run where b is never trained. */
START_TEST(freezing)
{
    et_tensor *end[2];

    for (int run = 0; run < 2; run++) {
        et_module *m = pair(2, 3);
        et_tensor *a = et_module_find(m, "a"), *b = et_module_find(m, "b");
        fill(a, 1), fill(b, 2);
        if (run)
            et_module_freeze(m, "b");
        et_optim *o = et_adam_new(m, 0.1);
        for (int step = 0; step < 6; step++) {
            if (!run && step == 2)
                et_module_freeze(m, "b");
            if (!run && step == 4)
                et_module_unfreeze(m, "b");
            et_tensor *was = et_own(et_clone(b));
            et_optim_zero_grad(o);
            et_tensor *g = et_own(et_clone(a));
            fill(g, step);
            give_grad(a, g);
            if (b->requires_grad) {
                et_tensor *gb = et_own(et_clone(b));
                fill(gb, 1 + step);
                give_grad(b, gb);
                et_free(gb);
            }
            ck_assert_int_eq(et_optim_step_zero(o, 0, NULL), ET_OK);
            ck_assert_int_eq(et_equal(b, was), !b->requires_grad);
            et_free(g);
            et_free(was);
        }
        end[run] = et_own(et_clone(a));
        et_optim_free(o);
        et_module_free(m);
    }
    ck_assert(et_equal(end[0], end[1]));
    et_free(end[0]);
    et_free(end[1]);
}
END_TEST

/* The moments of both parameters are in the file, under their names, and nothing else. */
static void check_names(const char *path, const et_optim_options *options)
{
    static const char *const momentum[] = {"momentum.a", "momentum.b"};
    static const char *const adam[] = {"exp_avg.a", "exp_avg.b", "exp_avg_sq.a", "exp_avg_sq.b"};
    const bool sgd = options->kind == ET_SGD;
    const int n = !sgd ? 4 : options->momentum > 0 ? 2 : 0;
    et_safetensors *f = et_safetensors_open(path);

    ck_assert_int_eq(et_safetensors_count(f), n);
    for (int i = 0; i < n; i++)
        ck_assert_ptr_nonnull(et_safetensors_find(f, sgd ? momentum[i] : adam[i]));
    et_safetensors_close(f);
}

/* A run that goes on from a file ends with the bits of one that was not interrupted; a is trained from the
 * second step on. */
START_TEST(state_files)
{
    const char *path = in_dir("optim.safetensors");
    et_module *m[2] = {pair(2, 3), pair(2, 3)};
    et_optim_options options = runs[_i].options;
    et_optim *o[2];

    for (int k = 0; k < 2; k++) {
        fill(et_module_find(m[k], "a"), 1), fill(et_module_find(m[k], "b"), 2);
        o[k] = et_optim_new(m[k], &options, NULL, 0);
    }
    for (int step = 0; step < 3; step++) {
        et_set_requires_grad(et_module_find(m[0], "a"), step > 0);
        give(m[0], step);
        ck_assert_int_eq(et_optim_step_zero(o[0], 0, NULL), ET_OK);
    }
    ck_assert_int_eq(et_optim_save(o[0], path), ET_OK);
    check_names(path, &options);
    for (int k = 0; k < 2; k++)
        et_copy_into(et_module_find(m[1], k ? "a" : "b"), et_module_find(m[0], k ? "a" : "b"));
    ck_assert_msg(et_optim_load(o[1], path) == ET_OK, "%s", et_error_message());
    for (int step = 3; step < 5; step++)
        for (int k = 0; k < 2; k++) {
            give(m[k], step);
            ck_assert_int_eq(et_optim_step_zero(o[k], 0, NULL), ET_OK);
        }
    ck_assert(et_equal(et_module_find(m[0], "a"), et_module_find(m[1], "a")));
    ck_assert(et_equal(et_module_find(m[0], "b"), et_module_find(m[1], "b")));
    /* Another kind of optimiser refuses it. */
    et_optim *other = options.kind == ET_SGD ? et_adam_new(m[1], 1) : et_sgd_new(m[1], 1, 0.5);
    ck_assert_int_eq(et_optim_load(other, path), ET_EINVAL);
    et_error_clear();
    et_optim_free(other);
    for (int k = 0; k < 2; k++) {
        et_optim_free(o[k]);
        et_module_free(m[k]);
    }
}
END_TEST

/* SWATS goes on from a file as it would have, before the switch and after it; what is damaged is refused. */
START_TEST(swats_states)
{
    static const char *const keys[] = {"kind", "steps", "switched", "lambda", "rate", "rate_lr"};
    const et_optim_options options = {.kind = ET_SWATS, .lr = 0.1, .beta2 = 0.9, .switch_eps = 1e3};
    et_module *m = pair(2, 3);

    for (int saved = 1; saved < 3; saved++) { /* it switches after two steps */
        et_tensor *start[2] = {NULL}, *end[2][2];
        double rate[2];
        for (int again = 0; again < 2; again++) { /* all steps, and those from the file on */
            et_optim *o = et_optim_new(m, &options, NULL, 0);
            for (int i = 0; i < 2; i++)
                if (again)
                    et_copy_into(et_module_find(m, i ? "b" : "a"), start[i]);
                else
                    fill(et_module_find(m, i ? "b" : "a"), i);
            for (size_t i = 0; again && i < sizeof keys / sizeof keys[0]; i++) {
                put_damaged(in_dir("damaged"), in_dir("swats"), keys[i], "x");
                fails(et_optim_load(o, in_dir("damaged")), i ? ET_EFORMAT : ET_EINVAL, i ? keys[i] : "xwats");
                ck_assert(et_optim_steps(o) == 0 && et_optim_switched(o, NULL) == 0);
            }
            if (again)
                ck_assert_msg(et_optim_load(o, in_dir("swats")) == ET_OK, "%s", et_error_message());
            for (int step = again ? saved : 0; step < 3; step++) {
                ck_assert_int_eq(et_optim_switched(o, NULL), step < 2 ? 0 : 2);
                for (int i = 0; i < 2 && !again && step == saved; i++)
                    start[i] = et_clone(et_module_find(m, i ? "b" : "a"));
                if (!again && step == saved)
                    ck_assert_int_eq(et_optim_save(o, in_dir("swats")), ET_OK);
                ck_assert_int_eq(et_optim_set_lr(o, step < 2 ? 0.1 : 0.025), ET_OK);
                give(m, 0.3 + step);
                ck_assert_int_eq(et_optim_step(o), ET_OK);
            }
            et_optim_switched(o, &rate[again]);
            for (int i = 0; i < 2; i++)
                end[again][i] = et_clone(et_module_find(m, i ? "b" : "a"));
            et_optim_free(o);
        }
        ck_assert_double_eq(rate[0], rate[1]);
        for (int i = 0; i < 2; i++) {
            ck_assert(et_equal(end[0][i], end[1][i]));
            et_free(start[i]), et_free(end[0][i]), et_free(end[1][i]);
        }
    }
    et_module_free(m);
}
END_TEST

/* --- by definition ------------------------------------------------------------------------ */

/* More than a piece, in the middle of the block and behind it; two groups. */
enum { PARTS = 5 };
static const int64_t part_sizes[PARTS] = {70000, 5, 40000, 17, 17000};
static const et_optim_group part_groups[2] = {{.prefix = "e", .lr_scale = 0.25}, {.lr_scale = 1}};
static const char part_names[PARTS][2] = {"a", "b", "c", "d", "e"};

static et_module *parts(et_tensor *p[PARTS])
{
    et_module *m = et_module_new(sizeof *m, "Parts", NULL, NULL);

    for (int i = 0; i < PARTS; i++) {
        ck_assert_ptr_nonnull(p[i] = et_module_param(m, part_names[i], ET_SHAPE(part_sizes[i])));
        ck_assert_int_eq(et_fill(p[i], 0), ET_OK);
    }
    ck_assert_ptr_nonnull(m = et_module_done(m));
    ck_assert_int_eq(et_module_to(m, ET_F64), ET_OK);
    return m;
}

/* Element i of the gradient of part k at a step: never 0. */
static double slope(int step, int k, int64_t i) { return 1.5 + sin(0.3 * step + k + 0.01 * (double)i); }

static void give_slopes(et_tensor *const p[PARTS], int step)
{
    for (int k = 0; k < PARTS; k++) {
        et_tensor *g = p[k]->requires_grad ? et_empty_owned(ET_F64, 1, p[k]->shape) : NULL;
        for (int64_t i = 0; g && i < g->numel; i++)
            ((double *)et_data_mut(g))[i] = slope(step, k, i);
        if (g)
            give_grad(p[k], g);
        et_free(g);
    }
}

/* SGD with momentum: at first the outer parts are frozen, then the last two for a while; a file is read. */
START_TEST(momentum_by_definition)
{
    const et_optim_options sgd = {.kind = ET_SGD, .lr = 0.5, .momentum = 0.5};
    static double w[PARTS][70000], v[PARTS][70000];
    int steps[PARTS] = {0};
    et_tensor *p[PARTS];
    et_pool_stats before, after;

    et_pool_get_stats(&before);
    et_module *m = parts(p);
    et_set_requires_grad(p[0], false), et_set_requires_grad(p[4], false);
    et_optim *o = et_optim_new(m, &sgd, part_groups, 2);
    ck_assert_int_eq(et_optim_size(o), 40022);
    for (int step = 0; step < 6; step++) {
        double sum = 0, norm;
        if (step == 1)
            et_set_requires_grad(p[0], true), et_set_requires_grad(p[4], true);
        if (step == 3 || step == 5)
            et_set_requires_grad(p[3], step == 5), et_set_requires_grad(p[4], step == 5);
        if (step == 4) {
            ck_assert_int_eq(et_optim_save(o, in_dir("state")), ET_OK);
            et_optim_free(o);
            o = et_optim_new(m, &sgd, part_groups, 2);
            ck_assert_msg(et_optim_load(o, in_dir("state")) == ET_OK, "%s", et_error_message());
        }
        give_slopes(p, step);
        for (int k = 0; k < PARTS; k++)
            for (int64_t i = 0; p[k]->requires_grad && i < part_sizes[k]; i++)
                sum += slope(step, k, i) * slope(step, k, i);
        const double clip = step % 2 ? 10 : 0, scale = clip > 0 ? clip / sqrt(sum) : 1;
        ck_assert_int_eq(et_optim_step_zero(o, clip, &norm), ET_OK);
        ck_assert_double_eq_tol(norm, sqrt(sum), 1e-9 * norm);
        ck_assert_int_eq(et_optim_steps(o), step + 1);
        for (int k = 0; k < PARTS; k++) {
            ck_assert(!p[k]->requires_grad == !p[k]->grad);
            ck_assert(!p[k]->grad || (p[k]->grad->blank && !p[k]->reached));
            ck_assert((p[k]->storage == p[1]->storage) == (p[k]->requires_grad && k != 4));
            for (int64_t i = 0; p[k]->requires_grad && i < part_sizes[k]; i++) {
                v[k][i] = scale * slope(step, k, i) + (steps[k] ? 0.5 * v[k][i] : 0);
                w[k][i] -= 0.5 * (k == 4 ? 0.25 : 1) * v[k][i];
            }
            steps[k] = p[k]->requires_grad ? steps[k] + 1 : 0; /* frozen, it loses its moments */
            for (int64_t i = 0; i < part_sizes[k]; i++)
                ck_assert_msg(fabs(et_data_f64(p[k])[i] - w[k][i]) < 1e-9, "step %d: %s[%d] is %g, not %g",
                              step, part_names[k], (int)i, et_data_f64(p[k])[i], w[k][i]);
        }
    }
    et_optim_free(o);
    et_module_free(m);
    et_pool_get_stats(&after);
    ck_assert_uint_eq(after.current, before.current);
}
END_TEST

/* The first step of Adam is lr g / (|g| + eps), and so is any if g stays as it is. */
START_TEST(swats_by_definition)
{
    const et_optim_options swats = {
        .kind = ET_SWATS, .lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 0.5, .switch_eps = 1e3};
    double products[2][2] = {{0}}, rate;
    et_tensor *p[PARTS];
    et_pool_stats before, after;

    et_pool_get_stats(&before);
    et_module *m = parts(p);
    et_set_requires_grad(p[0], false);
    et_optim *o = et_optim_new(m, &swats, part_groups, 2);
    for (int step = 0; step < 2; step++) {
        if (step)
            et_set_requires_grad(p[0], true);
        give_slopes(p, 0);
        ck_assert_int_eq(et_optim_step_zero(o, 0, NULL), ET_OK);
        for (int k = step ? 0 : 1; k < PARTS; k++)
            for (int64_t i = 0; i < part_sizes[k]; i++) {
                const double g = slope(0, k, i), move = -0.1 * (k == 4 ? 0.25 : 1) * g / (g + 0.5);
                products[step][0] += move * move;
                products[step][1] += move * g;
                ck_assert(fabs(et_data_f64(p[k])[i] - (step && k ? 2 : 1) * move) < 1e-9);
            }
    }
    const double first = -products[0][0] / products[0][1], second = -products[1][0] / products[1][1];
    const double estimate = (0.9 * 0.1 * first + 0.1 * second) / (1 - 0.9 * 0.9);
    ck_assert_int_eq(et_optim_switched(o, &rate), 2);
    ck_assert_double_eq_tol(rate, estimate, 1e-9 * estimate);
    /* From now on SGD, its momentum begun anew. */
    double at[PARTS];
    for (int k = 0; k < PARTS; k++)
        at[k] = et_data_f64(p[k])[1];
    give_slopes(p, 0);
    ck_assert_int_eq(et_optim_step(o), ET_OK);
    for (int k = 0; k < PARTS; k++)
        ck_assert_double_eq_tol(at[k] - et_data_f64(p[k])[1],
                                0.2 * rate * (k == 4 ? 0.25 : 1) * slope(0, k, 1), 1e-9);
    et_optim_free(o);
    et_module_free(m);
    et_pool_get_stats(&after);
    ck_assert_uint_eq(after.current, before.current);
}
END_TEST

/* Squares beyond double, anywhere. */
START_TEST(huge_norm)
{
    et_tensor *p[PARTS];
    et_module *m = parts(p);
    et_optim *o = et_optim_new(m, &(et_optim_options){.kind = ET_SGD, .lr = 1}, part_groups, 2);

    give_slopes(p, 0);
    for (int k = 0; k < PARTS; k++)
        for (int last = 0; last < 2; last++)
            ((double *)et_data_mut(p[k]->grad))[last ? part_sizes[k] - 1 : 0] = 1e200;
    ck_assert_double_eq_tol(et_optim_grad_norm(o), 1e200 * sqrt(2 * PARTS), 1e190);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

/* Whichever gradient is amiss, it is named, and nothing is stepped. */
START_TEST(any_gradient_amiss)
{
    et_tensor *p[PARTS];
    et_module *m = parts(p);
    et_optim *o = et_optim_new(m, &(et_optim_options){.kind = ET_SGD, .lr = 1}, part_groups, 2);
    char words[64];

    for (int k = 0; k < PARTS; k++) {
        give_slopes(p, 0);
        ((double *)et_data_mut(p[k]->grad))[3] = NAN;
        snprintf(words, sizeof words, "gradient of %s is not finite", part_names[k]);
        fails(et_optim_step_zero(o, 1, NULL), ET_ENONFINITE, words);
        et_free(p[k]->grad);
        p[k]->grad = NULL;
        snprintf(words, sizeof words, "optim: %s or its gradient", part_names[k]);
        fails(et_optim_step(o), ET_EINVAL, words);
        ck_assert_ptr_nonnull(p[k]->grad = et_blank_new(p[k]));
    }
    ck_assert_int_eq(et_optim_steps(o), 0);
    et_optim_zero_grad(o);
    for (int k = 0; k < PARTS; k++)
        ck_assert(p[k]->grad->blank && et_data_f64(p[k])[0] == 0);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

/* A state may be saved before the first step, and when a parameter has made none. */
START_TEST(states_without_steps)
{
    et_module *m = pair(2, 3);
    et_tensor *b = et_module_find(m, "b");

    et_set_requires_grad(b, false);
    for (int steps = 0; steps < 2; steps++) {
        et_optim *o = et_adam_new(m, 0.1), *other;
        for (int step = 0; step < steps; step++) {
            give(m, 1);
            ck_assert_int_eq(et_optim_step(o), ET_OK);
        }
        et_set_requires_grad(b, true);
        give(m, 1);
        et_set(b->grad, (const int64_t[]){1}, NAN);
        ck_assert_int_eq(et_optim_step_zero(o, 1, NULL), ET_ENONFINITE); /* b has a place now */
        et_error_clear();
        ck_assert_int_eq(et_optim_save(o, in_dir("state")), ET_OK);
        other = et_adam_new(m, 0.1);
        ck_assert_msg(et_optim_load(other, in_dir("state")) == ET_OK, "%s", et_error_message());
        ck_assert_int_eq(et_optim_steps(other), steps);
        et_optim_free(other);
        et_optim_free(o);
        et_set_requires_grad(b, false);
    }
    et_module_free(m);
}
END_TEST

START_TEST(wrong_options)
{
    static const et_optim_options bad[] = {
        {.kind = ET_ADAM, .lr = -1},           {.kind = ET_ADAM, .lr = NAN},  {.kind = ET_SGD, .momentum = 1},
        {.kind = ET_SGD, .nesterov = true},    {.kind = ET_ADAM, .beta1 = 1}, {.kind = ET_ADAM, .eps = -1},
        {.kind = ET_ADAM, .weight_decay = -1}, {.kind = (et_optim_kind)7},
    };
    et_module *m = pair(2, 3);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(et_optim_new(m, &bad[i], NULL, 0));
        ck_assert_int_eq(et_error_status(), ET_EINVAL);
        et_error_clear();
    }
    fails_null(et_adam_new(NULL, 1), ET_EINVAL, "the module is NULL");
    fails_null(et_optim_new(m, NULL, NULL, 0), ET_EINVAL, "no options");
    fails_null(et_optim_new(m, &runs[0].options, part_groups, 0), ET_EINVAL, "no groups");
    et_module_freeze(m, NULL);
    ck_assert_ptr_null(et_adam_new(m, 1));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "no parameter to train"));
    et_error_clear();
    et_module_free(m);
}
END_TEST

/* A step has the same bits for any number of threads, and asks for no memory. */
START_TEST(threads)
{
    et_module *m[2];
    alloc_sweep_state none = {0, 0, false};

    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(et_set_num_threads(k ? 3 : 1), ET_OK);
        m[k] = pair(20011, 70001);
        fill(et_module_find(m[k], "a"), 1), fill(et_module_find(m[k], "b"), 2);
        et_optim *o = et_adam_new(m[k], 0.1);
        for (int step = 0; step < 2; step++) {
            give(m[k], step);
            et_set_alloc_hook(alloc_sweep_hook, &none);
            ck_assert_int_eq(et_optim_step_zero(o, 0.7, NULL), ET_OK);
            et_set_alloc_hook(NULL, NULL);
        }
        et_optim_free(o);
    }
    ck_assert(!none.refused);
    ck_assert(et_equal(et_module_find(m[0], "a"), et_module_find(m[1], "a")));
    ck_assert(et_equal(et_module_find(m[0], "b"), et_module_find(m[1], "b")));
    for (int k = 0; k < 2; k++)
        et_module_free(m[k]);
}
END_TEST

static bool make_and_step(void *user)
{
    et_module *m = pair(2, 3);
    et_optim *o = m ? et_adam_new(m, 0.1) : NULL;
    bool ok = o && !et_optim_step(o) && !et_module_freeze(m, "a") && !et_optim_step(o);

    (void)user;
    et_optim_free(o);
    et_module_free(m);
    return ok;
}

START_TEST(allocations) { ck_assert_int_gt(alloc_sweep("adam", make_and_step, NULL), 10); }
END_TEST

/* A step that is refused memory for its new blocks is made later, with all that it needs. */
START_TEST(step_after_refusal)
{
    alloc_sweep_state s = {0, 0, true};

    for (; s.refused; s.allowed++) {
        et_module *m = pair(2, 3);
        et_optim *o;

        et_module_freeze(m, "b");
        o = et_sgd_new(m, 1, 0.5);
        et_module_unfreeze(m, "b");
        give(m, 1);
        s.passed = 0, s.refused = false;
        et_set_alloc_hook(alloc_sweep_hook, &s);
        const et_status status = et_optim_step_zero(o, 1, NULL);
        et_set_alloc_hook(NULL, NULL);
        ck_assert_int_eq(status, s.refused ? ET_ENOMEM : ET_OK);
        et_error_clear();
        if (s.refused)
            ck_assert_int_eq(et_optim_step_zero(o, 1, NULL), ET_OK);
        ck_assert_int_eq(et_optim_steps(o), 1);
        et_optim_free(o);
        et_module_free(m);
    }
    ck_assert_int_gt(s.allowed, 5);
}
END_TEST

static bool save_and_load(void *o)
{
    return !et_optim_save(o, in_dir("state")) && !et_optim_load(o, in_dir("state"));
}

/* Of a parameter that has made fewer steps the file tells more. */
START_TEST(allocations_of_states)
{
    et_module *m = pair(2, 3);
    et_optim *o;

    et_module_freeze(m, "a");
    o = et_adam_new(m, 0.1);
    for (int step = 0; step < 2; step++) {
        et_set_requires_grad(et_module_find(m, "a"), step == 1);
        give(m, step);
        ck_assert_int_eq(et_optim_step(o), ET_OK);
    }
    ck_assert_int_gt(alloc_sweep("state", save_and_load, o), 10);
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("optim");
    TCase *tc = tcase_create("optim");

    tcase_add_checked_fixture(tc, et_error_clear, NULL);
    tcase_add_checked_fixture(tc, make_test_dir, remove_test_dir);
    tcase_add_loop_test(tc, trajectory, 0, 2 * N_RUNS);
    tcase_add_loop_test(tc, restarting, 0, 2);
    tcase_add_test(tc, swats_rates);
    tcase_add_test(tc, groups);
    tcase_add_test(tc, clipping);
    tcase_add_loop_test(tc, not_finite, 0, 2);
    tcase_add_test(tc, places);
    tcase_add_test(tc, displaced);
    tcase_add_test(tc, second_optimiser);
    tcase_add_test(tc, freezing);
    tcase_add_loop_test(tc, state_files, 0, N_RUNS);
    tcase_add_test(tc, swats_states);
    tcase_add_test(tc, momentum_by_definition);
    tcase_add_test(tc, swats_by_definition);
    tcase_add_test(tc, huge_norm);
    tcase_add_test(tc, any_gradient_amiss);
    tcase_add_test(tc, states_without_steps);
    tcase_add_test(tc, wrong_options);
    tcase_add_test(tc, threads);
    tcase_add_test(tc, allocations);
    tcase_add_test(tc, step_after_refusal);
    tcase_add_test(tc, allocations_of_states);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
