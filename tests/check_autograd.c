/* Backward: what can be asked twice, and what happens when things are done in the wrong order. */
#include "config.h"

#include "tests/alloc_sweep.h"
#include "tests/values.h"

#include "autograd/op.h"
#include "tensor/pool.h"

/* --- backward ------------------------------------------------------------------------------- */

START_TEST(backward_twice)
{
    et_tensor *x = PARAM((2), 1, 2), *loss = et_sum(et_exp(x), 0, NULL, false), *again;

    WORKS(et_backward_from(loss, NULL, ET_RETAIN_GRAPH));
    GRAD_HOLDS(x, (2), exp(1), exp(2));
    WORKS(et_backward(loss));
    GRAD_HOLDS(x, (2), 2 * exp(1), 2 * exp(2)); /* gradients add up */
    FAILS_STATUS(et_backward(loss), ET_ESCOPE, "pass ET_RETAIN_GRAPH");
    GRAD_HOLDS(x, (2), 2 * exp(1), 2 * exp(2));
    /* Another graph over the same leaf adds too. */
    again = et_sum(x, 0, NULL, false);
    WORKS(et_backward(again));
    GRAD_HOLDS(x, (2), 2 * exp(1) + 1, 2 * exp(2) + 1);
    et_zero_grad_of(x);
    GRAD_HOLDS(x, (2), 0, 0);
    ck_assert(!x->reached);
}
END_TEST

/* Zeros that nobody looked at: the next backward starts anew; clones, views and new handles see them. */
START_TEST(backward_after_zero)
{
    et_tensor *x = PARAM((2), 1, 2), *view;

    for (int i = 0; i < 3; i++) {
        et_zero_grad_of(x);
        et_zero_grad_of(x);
        WORKS(et_backward(et_sum(et_square(x), 0, NULL, false)));
        ck_assert(x->reached);
        GRAD_HOLDS(x, (2), 2, 4);
    }
    et_zero_grad_of(x);
    HOLDS(et_clone(x->grad), (2), 0, 0);
    WORKS(et_backward(et_sum(et_square(x), 0, NULL, false)));
    et_zero_grad_of(x);
    HOLDS(view = et_detach(x->grad), (2), 0, 0);
    WORKS(et_backward(et_sum(et_square(x), 0, NULL, false)));
    HOLDS(view, (2), 2, 4);
    et_zero_grad_of(x); /* with another handle on the elements */
    HOLDS(view, (2), 0, 0);
    WORKS(et_backward(et_sum(x, 0, NULL, false)));
    et_zero_grad_of(x);
    et_set(x->grad, (const int64_t[]){1}, 5);
    GRAD_HOLDS(x, (2), 0, 5);
}
END_TEST

/* A gradient set to zero has no memory; whatever reads it finds zeros. */
START_TEST(zero_without_memory)
{
    const int64_t n = 1 << 18;
    et_tensor *x = et_set_requires_grad(et_full(ET_F32, 1, &n, 3), true), *w = PARAM((2), 3, 4);
    et_tensor *s = PARAM((1, 2), 1, 2), *y;
    et_pool_stats before, after;

    et_pool_get_stats(&before);
    WORKS(et_backward(et_sum(x, 0, NULL, false)));
    et_zero_grad_of(x);
    et_pool_get_stats(&after);
    ck_assert_uint_lt(after.current, before.current + (size_t)n);
    ck_assert_ptr_null(et_grad_of(x)->storage);

    WORKS(et_backward(et_sum(w, 0, NULL, false)));
    et_zero_grad_of(w);
    HOLDS(et_neg(et_grad_of(w)), (2), 0, 0); /* an op */
    WORKS(et_backward(et_sum(s, 0, NULL, false)));
    et_zero_grad_of(s);
    HOLDS(et_reverse_by_length(et_grad_of(s), INTS((1), 2)), (1, 2), 0, 0);
    et_zero_grad_of(s);
    ck_assert_ptr_eq(et_contiguous(et_grad_of(s)), et_grad_of(s));
    HOLDS(et_reshape(et_grad_of(s), ET_SHAPE(2)), (2), 0, 0); /* a view */

    /* What an op has saved of it is neither zero nor the next gradient. */
    WORKS(et_backward(et_sum(w, 0, NULL, false)));
    y = et_sum(et_mul(w, et_grad_of(w)), 0, NULL, false);
    et_zero_grad_of(w);
    FAILS_STATUS(et_backward(y), ET_ESCOPE, "mul: backward: operand 1 was released");
    WORKS(et_backward(et_sum(w, 0, NULL, false)));
    y = et_sum(et_mul(w, et_grad_of(w)), 0, NULL, false);
    et_zero_grad_of(w);
    ck_assert_ptr_nonnull(et_data_mut(et_grad_of(w)));
    FAILS_STATUS(et_backward(y), ET_EVERSION, "mul: backward: operand 1 was changed");

    et_zero_grad_of(w);
    WORKS(et_backward(et_sum(w, 0, NULL, false)));
    y = et_sum(et_mul(w, et_grad_of(w)), 0, NULL, false);
    et_release(et_grad_of(w)); /* it is the user's to give back as well */
    FAILS(et_clone(et_grad_of(w)), ET_ESCOPE, "released");
    et_zero_grad_of(w);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(et_data_mut(et_grad_of(w)));
    FAILS_STATUS(et_backward(y), ET_EVERSION, "mul: backward: operand 1 was changed");
    et_zero_grad_of(w);
    GRAD_HOLDS(w, (2), 0, 0);
}
END_TEST

static bool again_after_zero(void *user)
{
    et_tensor *const *x = user;
    et_scope *scope = et_scope_open_root();
    bool ok = true;

    for (int i = 0; i < 2 && ok; i++) {
        et_zero_grad_of(x[0]);
        ok = !et_backward(et_sum(et_square(x[0]), 0, NULL, false)) && et_data(et_grad_of(x[0]));
    }
    et_zero_grad_of(x[0]);
    ok = ok && et_get(et_grad_of(x[0]), (const int64_t[]){1}) == 0 && !et_error_status();
    et_zero_grad_of(x[0]);
    et_scope_close(scope);
    return ok;
}

START_TEST(zero_allocations)
{
    et_tensor *x = PARAM((2), 1, 2);

    ck_assert(again_after_zero(&x)); /* makes the gradient's handle, which stays */
    ck_assert_int_gt(alloc_sweep("zero", again_after_zero, &x), 10);
}
END_TEST

/* Both operands of the addition have one gradient's elements when that of the sum is added to one of them. */
static bool sum_beside_addition(void *user)
{
    et_scope *scope = et_scope_open_root();
    et_tensor *other = et_exp(user), *h = et_tanh(user), *sum = et_sum(h, 0, NULL, false);
    et_status status = et_backward(et_add(sum, et_sum(et_add(other, h), 0, NULL, false)));

    et_zero_grad_of(user);
    et_scope_close(scope);
    return !status;
}

START_TEST(shared_without_memory)
{
    et_tensor *x = PARAM((2), 1, 2);

    ck_assert(sum_beside_addition(x));
    ck_assert_int_gt(alloc_sweep("sum beside addition", sum_beside_addition, x), 10);
}
END_TEST

/* Backward of a permutation holds on to nothing. */
START_TEST(permuted_memory)
{
    et_tensor *x = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(256, 1024), 1), true), *y = x;
    et_pool_stats stats;

    for (int i = 0; i < 20; i++)
        y = et_mul_scalar(et_permute(y, ET_DIMS(1, 0)), 1);
    y = et_sum(y, 0, NULL, false);
    et_pool_get_stats(&stats);
    const size_t before = stats.current;
    WORKS(et_backward(y));
    et_pool_get_stats(&stats);
    ck_assert_uint_lt(stats.current, before); /* results went, one gradient came */
}
END_TEST

/* Both operands of a sum have its gradient, on one memory until one of them is added to or kept. */
START_TEST(residuals)
{
    et_tensor *x = PARAM((2), 1, 2), *w = PARAM((2), 3, 4), *y = x, *branch, *sum;

    for (int i = 0; i < 3; i++) /* y + w y: the gradient of y gathers two parts */
        y = et_add(y, et_mul(w, y));
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (2), 64, 125);
    GRAD_HOLDS(w, (2), 48, 150);

    et_zero_grad_of(x);
    branch = et_neg(x);
    y = et_add(branch, branch); /* with itself */
    WORKS(et_backward_from(et_mul_scalar(y, 5), NULL, 0));
    GRAD_HOLDS(x, (2), -10, -10);

    /* Kept ones have gradients of their own. */
    branch = et_keep(et_mul_scalar(x, 2));
    sum = et_keep(et_add(et_keep(et_mul_scalar(x, 1)), et_reshape(branch, ET_SHAPE(2))));
    WORKS(et_backward_from(et_mul_scalar(sum, 7), NULL, 0));
    et_zero_grad_of(branch);
    GRAD_HOLDS(branch, (2), 0, 0);
    GRAD_HOLDS(sum, (2), 7, 7);

    /* What works in place does not spoil the other. */
    et_zero_grad_of(x);
    y = et_add(et_mul_scalar(x, 10), et_mul_scalar(x, 3));
    WORKS(et_backward_from(et_mul_scalar(y, 2), NULL, 0));
    GRAD_HOLDS(x, (2), 26, 26);
    et_zero_grad_of(x);
    y = et_linear_act(et_reshape(x, ET_SHAPE(1, 2)), REAL((2, 2), 1, 0, 0, 1), NULL, ET_ACT_TANH);
    y = et_add(et_mul_scalar(x, 10), y);
    WORKS(et_backward_from(et_mul_scalar(y, 2), NULL, 0));
    GRAD_HOLDS(x, (2), 20 + 2 / pow(cosh(1), 2), 20 + 2 / pow(cosh(2), 2));
    /* Nor does another reader of one what the other gets, before or after the sum. */
    for (int form = 0; form < 4; form++) {
        et_zero_grad_of(x);
        branch = et_mul_scalar(x, 1);
        y = et_mul_scalar(x, 1);
        et_tensor *squares = form & 1 ? et_square(y) : NULL;
        sum = form & 2 ? et_add(y, branch) : et_add(branch, y);
        y = et_add(sum, squares ? squares : et_square(y));
        WORKS(et_backward_from(et_mul_scalar(y, 1), NULL, 0));
        GRAD_HOLDS(x, (2), 4, 6);
    }
    /* Nor is it lost where the gradient of a linear layer could lie in place of what that has read. */
    et_zero_grad_of(x);
    et_scope *inner = et_scope_open();
    branch = et_mul_scalar(et_reshape(x, ET_SHAPE(1, 2)), 1);
    y = et_scope_return(inner, et_add(et_linear(branch, PARAM((2, 2), 1, 2, 3, 4), NULL), branch));
    WORKS(et_scope_close(inner));
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (2), 5, 7);
}
END_TEST

/* A cotangent that is a leaf's gradient is what it was when backward began. */
START_TEST(cotangent_of_leaf)
{
    for (int form = 0; form < 4; form++) {
        et_tensor *w = PARAM((1), 5), *u = PARAM((1), 7), *two, *g;
        WORKS(et_backward_from(et_mul_scalar(w, 1), NULL, 0));
        two = et_mul_scalar(u, 2);
        g = form & 1 ? et_detach(et_grad_of(w)) : et_grad_of(w);
        WORKS(et_backward_from(form & 2 ? et_add(et_mul_scalar(w, 10), two) : et_sub(two, w), g, 0));
        GRAD_HOLDS(u, (1), 2);
        GRAD_HOLDS(w, (1), form & 2 ? 11 : 0);
    }
}
END_TEST

/* No copy of the gradient for a branch that reads it alone. */
START_TEST(residual_memory)
{
    const int64_t rows = 1 << 10, d = 64;
    const size_t bytes = sizeof(float) * (size_t)(rows * d);
    et_tensor *w = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(d, d), 0.01), true);
    et_tensor *x = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(rows, d), 1), true), *y;
    et_pool_stats stats;

    et_scope *block = et_scope_open();
    y = et_add(et_mul_scalar(x, 2), et_linear(et_mul_scalar(x, 3), w, NULL));
    y = et_scope_return(block, et_sum(et_mul_scalar(y, 1), 0, NULL, false));
    et_scope_close(block);
    et_pool_get_stats(&stats);
    const size_t before = stats.current;
    et_pool_reset_peak();
    WORKS(et_backward(y));
    et_pool_get_stats(&stats);
    ck_assert_msg(stats.peak < before + 2 * bytes + bytes / 2, "%zu bytes more, one gradient has %zu",
                  stats.peak - before, bytes);
}
END_TEST

/* Two losses share their beginning: the first backward has released it. */
START_TEST(shared_beginning)
{
    et_tensor *x = PARAM((2), 1, 2), *h, *one, *two;
    char words[64];

    snprintf(words, sizeof words, "check_autograd.c:%d: exp: backward has run", __LINE__ + 1);
    h = et_exp(x);
    one = et_sum(h, 0, NULL, false);
    two = et_sum(et_add_scalar(h, 1), 0, NULL, false);
    WORKS(et_backward(one));
    FAILS_STATUS(et_backward(two), ET_ESCOPE, words);
}
END_TEST

/* Backward is done with all that ran before the tensor it starts from, and with nothing behind it. */
START_TEST(independent_losses)
{
    et_tensor *x = PARAM((2), 1, 2), *one = et_sum(et_exp(x), 0, NULL, false), *two, *three;

    two = et_sum(et_square(x), 0, NULL, false);
    three = et_sum(et_sin(x), 0, NULL, false);
    WORKS(et_backward(two));
    GRAD_HOLDS(x, (2), 2, 4);
    FAILS_STATUS(et_backward(one), ET_ESCOPE, "ET_RETAIN_GRAPH");
    WORKS(et_backward(three));
    GRAD_HOLDS(x, (2), 2 + cos(1), 4 + cos(2));
}
END_TEST

START_TEST(backward_misuse)
{
    et_tensor *x = PARAM((2), 1, 2), *y = et_exp(x), *other;
    et_scope *root;

    FAILS_STATUS(et_backward(y), ET_EINVAL, "the loss has shape [2], expected one element");
    FAILS_STATUS(et_backward(NULL), ET_EINVAL, "tensor is NULL");
    FAILS_STATUS(et_backward_from(y, REAL((3), 1, 2, 3), 0), ET_ESHAPE, "the gradient is float64 [3]");
    FAILS_STATUS(et_backward_from(y, et_ones(ET_F32, ET_SHAPE(2)), 0), ET_ESHAPE, "float32 [2]");
    FAILS_STATUS(et_backward_from(y, NULL, ET_CREATE_GRAPH), ET_EINVAL, "use et_grad");
    FAILS_STATUS(et_backward(REAL((1), 1)), ET_EGRAD, "requires a gradient");
    FAILS_STATUS(et_backward_from(INTS((1), 1), NULL, 0), ET_EDTYPE, "int32");
    root = et_scope_open_root();
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_ESCOPE, "another tape");
    other = et_square(x);
    WORKS(et_backward_from(other, NULL, 0));
    WORKS(et_scope_close(root));
    GRAD_HOLDS(x, (2), 2, 4);
    FAILS(et_set_requires_grad(y, true), ET_EGRAD, "");
    FAILS(et_set_requires_grad(INTS((1), 1), true), ET_EDTYPE, "");
    /* A pending error stops backward, and its message stays. */
    ck_assert_ptr_null(et_add(x, NULL));
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EINVAL, "add: operand 1 is NULL");
    WORKS(et_backward_from(y, NULL, 0));
}
END_TEST

START_TEST(changed_after_saving)
{
    et_tensor *x = PARAM((2), 1, 2), *w = PARAM((2), 3, 4), *y, *e;
    char words[128];

    w->name = "encoder.weight";
    snprintf(words, sizeof words, "check_autograd.c:%d: mul: backward: operand 1 encoder.weight was changed",
             __LINE__ + 1);
    y = et_mul(x, w);
    y = et_sum(y, 0, NULL, false);
    et_fill(w, 5);
    FAILS_STATUS(et_backward(y), ET_EVERSION, words);
    ck_assert_ptr_null(et_grad_of(x));

    e = et_exp(x); /* reads its result */
    y = et_sum(e, 0, NULL, false);
    et_set(e, (const int64_t[]){0}, 0);
    FAILS_STATUS(et_backward(y), ET_EVERSION, "exp: backward: the result was changed");
    /* Through a view, which shares its elements: */
    y = et_square(x);
    et_fill(et_detach(x), 1);
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EVERSION, "square: backward: operand 0");
    /* What backward does not read may change. */
    y = et_add_scalar(x, 1);
    et_fill(x, 7);
    WORKS(et_backward_from(y, NULL, 0));
}
END_TEST

START_TEST(accumulates)
{
    et_tensor *x = PARAM((2), 1, 2);

    for (int batch = 1; batch <= 2; batch++) {
        et_scope *step = et_scope_open_root();
        WORKS(et_backward(et_sum(et_mul_scalar(x, batch * 10), 0, NULL, false)));
        WORKS(et_scope_close(step));
    }
    GRAD_HOLDS(x, (2), 30, 30);
}
END_TEST

/* --- et_grad ---------------------------------------------------------------------------------- */

START_TEST(grad_of_anything)
{
    et_tensor *x = PARAM((2), 1, 2), *other = PARAM((1), 1), *h = et_square(x),
              *y = et_sum(et_exp(h), 0, NULL, false);
    et_tensor *in[] = {x, h, other, y, x, x}, *g[6];
    et_scope *empty = et_scope_open_root();

    WORKS(et_grad(1, &x, NULL, 1, &x, g, 0)); /* nothing is recorded here */
    HOLDS(g[0], (2), 1, 1);
    WORKS(et_scope_close(empty));
    WORKS(et_grad(1, &y, NULL, 6, in, g, ET_RETAIN_GRAPH));
    HOLDS(g[0], (2), 2 * exp(1), 4 * exp(4));
    HOLDS(g[1], (2), exp(1), exp(4));
    ck_assert_ptr_null(g[2]); /* not reached */
    HOLDS_ONE(g[3], 1);
    ck_assert(g[4] == g[0] && g[5] == g[0]);
    WORKS(et_grad(1, &y, NULL, 2, in + 4, g, ET_RETAIN_GRAPH)); /* side by side */
    HOLDS(g[0], (2), 2 * exp(1), 4 * exp(4));
    ck_assert_ptr_eq(g[1], g[0]);
    ck_assert_ptr_null(et_grad_of(x)); /* untouched */
    WORKS(
        et_grad(2, (et_tensor *[]){y, h}, (et_tensor *[]){et_full(ET_F64, 0, NULL, 10), NULL}, 1, in, g, 0));
    HOLDS(g[0], (2), 20 * exp(1) + 2, 40 * exp(4) + 4);
    FAILS_STATUS(et_grad(1, &y, NULL, 1, in, g, 0), ET_ESCOPE, "ET_RETAIN_GRAPH");

    /* Of what lies between rules that work in place. */
    in[0] = et_mul_scalar(x, 2);
    in[1] = et_exp(in[0]);
    in[2] = et_add_scalar(in[1], 1);
    y = et_mul_scalar(in[2], 3);
    WORKS(et_grad(1, &y, NULL, 4, in, g, 0));
    HOLDS(g[0], (2), 3 * exp(2), 3 * exp(4));
    HOLDS(g[1], (2), 3, 3);
    HOLDS(g[2], (2), 3, 3);
    ck_assert_ptr_null(g[3]);

    y = et_sum(x, 0, NULL, false);
    in[0] = x;
    FAILS_STATUS(et_grad(1, &y, NULL, 1, (et_tensor *[]){REAL((1), 1)}, g, 0), ET_EGRAD,
                 "input 0 does not require");
    FAILS_STATUS(et_grad(1, &y, NULL, 1, (et_tensor *[]){NULL}, g, 0), ET_EINVAL, "input 0 is NULL");
    FAILS_STATUS(et_grad(1, NULL, NULL, 1, in, g, 0), ET_EINVAL, "outputs is NULL");
    FAILS_STATUS(et_grad(1, &y, NULL, 1, NULL, g, 0), ET_EINVAL, "inputs is NULL");
    FAILS_STATUS(et_grad(1, &y, NULL, 1, in, NULL, 0), ET_EINVAL, "grads is NULL");
    FAILS_STATUS(et_grad(-1, &y, NULL, 1, in, g, 0), ET_EINVAL, "negative number");
    FAILS_STATUS(et_grad(1, &y, NULL, 1, in, g, 64), ET_EINVAL, "unknown flags 64");
    et_no_grad_begin();
    FAILS_STATUS(et_grad(1, &y, NULL, 1, in, g, ET_CREATE_GRAPH), ET_EGRAD, "inside et_no_grad_begin");
    et_no_grad_end();
}
END_TEST

/* An output named twice has the sum of the cotangents, which stay what they are. */
START_TEST(grad_of_one_twice)
{
    et_tensor *x = PARAM((2), 1, 2), *c = PARAM((2), 3, 4), *y = et_square(x), *out[] = {y, y}, *g, *second;

    for (int flags = ET_RETAIN_GRAPH; flags <= (ET_RETAIN_GRAPH | ET_CREATE_GRAPH); flags++)
        for (int form = 0; form < 4; form++) { /* ones or c, ones or c */
            et_tensor *cotangents[] = {form & 1 ? c : NULL, form & 2 ? c : NULL};
            const int ones = 2 - (form & 1) - form / 2;
            WORKS(et_grad(2, out, cotangents, 1, &x, &g, flags));
            HOLDS(g, (2), 2 * (ones + (2 - ones) * 3), 4 * (ones + (2 - ones) * 4));
            HOLDS(c, (2), 3, 4);
            if (flags & ET_CREATE_GRAPH && ones < 2) {
                WORKS(et_grad(1, &g, NULL, 1, &c, &second, ET_RETAIN_GRAPH));
                HOLDS(second, (2), (2 - ones) * 2, (2 - ones) * 4);
            }
        }
    FAILS_STATUS(et_grad(2, (et_tensor *[]){y, NULL}, NULL, 1, &x, &g, 0), ET_EINVAL, "tensor is NULL");
    FAILS_STATUS(et_grad(2, (et_tensor *[]){NULL, y}, NULL, 1, &x, &g, 0), ET_EINVAL, "tensor is NULL");
    et_release(c);
    FAILS_STATUS(et_grad(1, &y, &c, 1, &x, &g, 0), ET_ESCOPE, "released");
}
END_TEST

/* f = x0^2 x1 + exp(x1), whose second derivatives are [2 x1, 2 x0; 2 x0, exp(x1)]. */
START_TEST(hessian)
{
    et_tensor *x = PARAM((2), 3, 0.5), *x0 = et_select(x, 0, 0), *x1 = et_select(x, 0, 1), *g, *h, *third;
    et_tensor *f = et_add(et_mul(et_square(x0), x1), et_exp(x1)), *row;

    WORKS(et_grad(1, &f, NULL, 1, &x, &g, ET_CREATE_GRAPH));
    HOLDS(g, (2), 3, 9 + exp(0.5));
    ck_assert(g->requires_grad);
    for (int i = 0; i < 2; i++) {
        row = et_select(g, 0, i);
        WORKS(et_grad(1, &row, NULL, 1, &x, &h, ET_CREATE_GRAPH));
        if (i == 0)
            HOLDS(h, (2), 1, 6);
        else
            HOLDS(h, (2), 6, exp(0.5));
    }
    row = et_select(h, 0, 1);
    WORKS(et_grad(1, &row, NULL, 1, &x, &third, 0));
    HOLDS(third, (2), 0, exp(0.5));
}
END_TEST

/* A penalty on the gradient, trained by et_backward through et_grad. */
START_TEST(gradient_penalty)
{
    et_tensor *x = PARAM((1), 2), *w = PARAM((1), 3), *y = et_mul(et_square(x), w), *g;

    WORKS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH)); /* 2 w x */
    WORKS(et_backward_from(et_square(g), NULL, 0));         /* 4 w^2 x^2 */
    GRAD_HOLDS(w, (1), 8 * 3 * 4);
    GRAD_HOLDS(x, (1), 8 * 9 * 2);
}
END_TEST

START_TEST(once_only)
{
    et_tensor *x = PARAM((2, 2), 1, 2, 3, 5), *w = PARAM((1, 2), 1, 2), *g;
    et_tensor *alone = et_linear_act(x, w, NULL, ET_ACT_RELU);
    et_tensor *y[] = {alone, et_sum(et_linear_act(x, w, NULL, ET_ACT_RELU), 0, NULL, false)};

    for (int i = 0; i < 2; i++) { /* where the sweep begins, and further down */
        FAILS_STATUS(et_grad(1, &y[i], NULL, 1, &x, &g, ET_CREATE_GRAPH), ET_EGRAD,
                     "linear_act: can be differentiated once only");
        WORKS(et_grad(1, &y[i], NULL, 1, &x, &g, ET_RETAIN_GRAPH));
        HOLDS(g, (2, 2), 1, 2, 1, 2);
    }
}
END_TEST

/* An op whose rules use scratch memory; the one named here fails, most without a word. With CONSTANT its
 * recorded derivative is zero. */
static enum rule { NONE, FORWARD, REMAKE, BACKWARD, GRAPH, CONSTANT } failing;

static et_status begin_rule(et_node *n, enum rule rule)
{
    if (!et_scratch(n, 1))
        return et_error_status();
    return failing != rule ? ET_OK : rule == BACKWARD ? et_raise(ET_ENOMEM, "out of memory") : ET_EINVAL;
}

static et_status copy_shape(et_node *n) { return et_out_like(n, 0, 0); }

static et_status copy_fwd(et_node *n)
{
    et_status status = begin_rule(n, FORWARD);

    return status || !et_save_extra(n, 0, ET_F64, 0, NULL) ? status : et_copy_into(n->out[0], n->in[0]);
}

static et_status copy_remake(et_node *n, void *y)
{
    memset(y, 0, sizeof(double));
    et_status status = begin_rule(n, REMAKE);

    if (!status)
        memcpy(y, et_data(n->in[0]), (size_t)n->in[0]->numel * sizeof(double));
    return status;
}

static et_status copy_bwd(et_node *n)
{
    et_saved_over(n, 0);
    et_status status = begin_rule(n, BACKWARD);

    return status ? status : et_gx_pass(n, 0);
}

static et_status copy_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    if (failing != CONSTANT)
        gx[0] = gy[0];
    return begin_rule(n, GRAPH);
}

static const et_op copy_op = {
    .name = "copy", .args = "r", .n_out = 1, .saves = ET_SAVE_IN(0), .shape = copy_shape, .fwd = copy_fwd,
    .remake = copy_remake, .remake_reads = ET_SAVE_IN(0), .bwd = copy_bwd, .bwd_graph = copy_graph,
};

/* Its error names the op; what the rule has spoilt is not used again. */
START_TEST(failing_rules)
{
    et_tensor *x = PARAM((2), 1, 2), *y, *g;

    failing = FORWARD;
    FAILS(et_apply1(&copy_op, 1, &x, NULL, 0), ET_EINVAL, "copy: failed");
    failing = NONE;
    et_scope *inner = et_scope_open();
    y = et_scope_return(inner, et_square(et_apply1(&copy_op, 1, &x, NULL, 0)));
    WORKS(et_scope_close(inner));
    failing = REMAKE;
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EINVAL, "copy: its result could not be made again");
    failing = GRAPH;
    FAILS_STATUS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH), ET_EINVAL, "copy: backward failed");
    failing = NONE;
    WORKS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH));
    HOLDS(g, (2), 2, 4);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (2), 2, 4);

    y = et_apply1(&copy_op, 1, &x, NULL, 0);
    failing = BACKWARD;
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_ENOMEM, "copy: out of memory");
    failing = NONE;
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_ESCOPE, "copy: backward has run through this op already");

    inner = et_scope_open();
    y = et_scope_return(inner, et_square(et_apply1(&copy_op, 1, &x, NULL, 0)));
    WORKS(et_scope_close(inner));
    failing = REMAKE;
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EINVAL, "copy: its result could not be made again");
    failing = CONSTANT;
    y = et_square(et_apply1(&copy_op, 1, &x, NULL, 0));
    WORKS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH));
    ck_assert_ptr_null(g);
}
END_TEST

/* A sweep that fails leaves nothing behind that the next would add to. */
START_TEST(after_failure)
{
    et_tensor *x = PARAM((2), 1, 2), *w = PARAM((2), 3, 4), *h = et_mul_scalar(x, 2), *bad = et_mul(h, w);
    et_tensor *p = PARAM((1), 1), *q = PARAM((1), 1), *y = et_square(x), *g[4];
    et_tensor *in[] = {p, h, x, q}, *out[] = {p, q, h, et_add(bad, et_mul_scalar(h, 3))}, *starts[] = {y, h};

    et_fill(w, 5);
    for (int flags = ET_RETAIN_GRAPH; flags <= (ET_RETAIN_GRAPH | ET_CREATE_GRAPH); flags++) {
        FAILS_STATUS(et_grad(4, out, NULL, 4, in, g, flags), ET_EVERSION, "mul: backward: operand 1");
        FAILS_STATUS(et_grad(2, starts, (et_tensor *[]){NULL, p}, 1, &x, g, flags), ET_ESHAPE, "[1]");
        WORKS(et_grad(3, out, NULL, 4, in, g, ET_RETAIN_GRAPH));
        HOLDS(g[0], (1), 1);
        HOLDS(g[1], (2), 1, 1);
        HOLDS(g[2], (2), 2, 2);
        HOLDS(g[3], (1), 1);
        WORKS(et_grad(1, &y, NULL, 1, &x, g, ET_RETAIN_GRAPH));
        HOLDS(g[0], (2), 2, 4);
    }
    FAILS_STATUS(et_backward_from(out[3], NULL, 0), ET_EVERSION, "mul: backward: operand 1");
    et_scope *root = et_scope_open_root();
    bad = et_mul(w, w);
    y = et_add(bad, et_add_scalar(h, 3));
    et_fill(w, 6);
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EVERSION, "mul: backward: operand 0");
    WORKS(et_scope_close(root));
    WORKS(et_backward_from(et_mul_scalar(h, 7), NULL, 0));
    GRAD_HOLDS(x, (2), 14, 14);
}
END_TEST

/* et_silu keeps its derivative and not what it was called with, which goes with its scope. */
static et_tensor *inner_silu(et_tensor *x, bool keep)
{
    et_scope *scope = et_scope_open();
    et_tensor *h = et_mul_scalar(x, 2);
    et_tensor *y = et_scope_return(scope, et_silu(keep ? et_keep(h) : h));

    et_scope_close(scope);
    return y;
}

START_TEST(graph_reads)
{
    et_tensor *x = PARAM((2), 1, 2), *y = et_silu(et_mul_scalar(x, 2)), *want, *g;

    WORKS(et_grad(1, &y, NULL, 1, &x, &want, ET_CREATE_GRAPH));
    y = inner_silu(x, true);
    WORKS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH));
    ck_assert(et_equal(g, want));
    y = inner_silu(x, false);
    FAILS_STATUS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH), ET_ESCOPE,
                 "silu: backward: operand 0 was released: for ET_CREATE_GRAPH mark it with et_keep");
    WORKS(et_grad(1, &y, NULL, 1, &x, &g, 0));

    y = et_silu(x);
    et_fill(x, 3);
    FAILS_STATUS(et_grad(1, &y, NULL, 1, &x, &g, ET_CREATE_GRAPH), ET_EVERSION,
                 "silu: backward: operand 0 was changed after the op had read it");
    WORKS(et_grad(1, &y, NULL, 1, &x, &g, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("autograd");
    TCase *tc = tcase_create("backward");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_test(tc, backward_twice);
    tcase_add_test(tc, backward_after_zero);
    tcase_add_test(tc, zero_without_memory);
    tcase_add_test(tc, zero_allocations);
    tcase_add_test(tc, shared_without_memory);
    tcase_add_test(tc, permuted_memory);
    tcase_add_test(tc, residuals);
    tcase_add_test(tc, cotangent_of_leaf);
    tcase_add_test(tc, residual_memory);
    tcase_add_test(tc, shared_beginning);
    tcase_add_test(tc, independent_losses);
    tcase_add_test(tc, backward_misuse);
    tcase_add_test(tc, changed_after_saving);
    tcase_add_test(tc, accumulates);
    tcase_add_test(tc, grad_of_anything);
    tcase_add_test(tc, grad_of_one_twice);
    tcase_add_test(tc, hessian);
    tcase_add_test(tc, gradient_penalty);
    tcase_add_test(tc, once_only);
    tcase_add_test(tc, failing_rules);
    tcase_add_test(tc, after_failure);
    tcase_add_test(tc, graph_reads);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
