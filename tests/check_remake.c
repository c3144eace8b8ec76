/* Results that go with their scope and are made again when backward comes to read them (layer norm's, those
 * of a linear layer with GELU), and gradients that take the place of what was read last. */
#include "config.h"

#include "tests/alloc_sweep.h"
#include "tests/values.h"

#include "autograd/op.h"
#include "tensor/rng.h"

enum { ROWS = 37, WIDTH = 19, HIDDEN = 23, N_PARAMS = 7 };

/* x [ROWS, WIDTH], gain, shift, W1 [HIDDEN, WIDTH], b1, W2 [WIDTH, HIDDEN], b2. */
typedef struct net {
    et_tensor *p[N_PARAMS];
} net;

static net make_net(et_dtype dtype)
{
    const int64_t x[] = {ROWS, WIDTH}, w1[] = {HIDDEN, WIDTH}, w2[] = {WIDTH, HIDDEN};
    const int64_t *const shapes[N_PARAMS] = {x, w1 + 1, w1 + 1, w1, w1, w2, w2};
    const int ndim[N_PARAMS] = {2, 1, 1, 2, 1, 2, 1};
    et_rng rng = et_rng_make(3, 1);
    net n = {{NULL}};

    for (int i = 0; i < N_PARAMS; i++) {
        n.p[i] = et_empty(dtype, ndim[i], shapes[i]);
        et_fill_uniform(n.p[i], &rng, -1, 1);
        et_set_requires_grad(n.p[i], true);
    }
    return n;
}

/* The results that lie between: the norm's and the hidden layer's. */
typedef struct between {
    et_tensor *norm, *hidden;
} between;

/* linear(gelu(linear(norm(x)))); NULL after an error. */
static et_tensor *apply(const net *n, between *b)
{
    b->norm = et_layer_norm(n->p[0], n->p[1], n->p[2], 1e-5);
    b->hidden = et_linear_act(b->norm, n->p[3], n->p[4], ET_ACT_GELU);
    return et_linear(b->hidden, n->p[5], n->p[6]);
}

/* The same in a scope of its own. */
static et_tensor *apply_scoped(const net *n, between *b)
{
    et_scope *inner = et_scope_open();
    et_tensor *y = et_scope_return(inner, apply(n, b));

    if (inner)
        et_scope_close(inner);
    return y;
}

static void take_gradients(net *n, et_tensor **g)
{
    for (int i = 0; i < N_PARAMS; i++) {
        ck_assert_ptr_nonnull(g[i] = et_clone(et_grad_of(n->p[i])));
        et_zero_grad_of(n->p[i]);
    }
}

static void check_gradients(const net *n, et_tensor *const *g, const char *what)
{
    for (int i = 0; i < N_PARAMS; i++)
        ck_assert_msg(et_equal(et_grad_of(n->p[i]), g[i]), "%s: gradient %d differs", what, i);
}

static et_tensor *cotangent(const et_tensor *y)
{
    et_tensor *g = et_empty_like(y);
    et_rng rng = et_rng_make(4, 1);

    et_fill_uniform(g, &rng, -1, 1);
    return g;
}

START_TEST(same_bits)
{
    net n = make_net(_i ? ET_F64 : ET_F32);
    et_tensor *want[N_PARAMS], *y;
    between b;

    y = et_keep(apply(&n, &b));
    et_tensor *gy = cotangent(y);
    WORKS(et_backward_from(y, gy, 0));
    take_gradients(&n, want);

    et_tensor *again = et_keep(apply_scoped(&n, &b));
    ck_assert(et_equal(y, again));
    ck_assert_ptr_null(b.norm->storage);
    ck_assert_ptr_null(b.hidden->storage);
    WORKS(et_backward_from(again, gy, 0));
    check_gradients(&n, want, "scoped");
    ck_assert_ptr_null(b.norm->storage); /* made, read, and given back */
    ck_assert_ptr_null(b.hidden->storage);
    FAILS_STATUS(et_backward_from(again, gy, 0), ET_ESCOPE, "pass ET_RETAIN_GRAPH");
}
END_TEST

/* Twice through one graph: the second time what was made is still there. */
START_TEST(retained)
{
    net n = make_net(ET_F64);
    et_tensor *once[N_PARAMS], *y, *gy;
    between b;

    y = apply_scoped(&n, &b);
    gy = cotangent(y);
    WORKS(et_backward_from(y, gy, ET_RETAIN_GRAPH));
    take_gradients(&n, once);
    ck_assert_ptr_nonnull(b.norm->storage);
    ck_assert_ptr_nonnull(b.hidden->storage);
    WORKS(et_backward_from(y, gy, 0));
    check_gradients(&n, once, "the second time");
    ck_assert_ptr_null(b.norm->storage);
    ck_assert_ptr_null(b.hidden->storage);
}
END_TEST

/* d/dx of sum (dy/dx)^2, through a norm that is gone. */
START_TEST(second_derivative)
{
    et_tensor *second[2];

    for (int scoped = 0; scoped < 2; scoped++) {
        net n = make_net(ET_F64);
        et_scope *inner = scoped ? et_scope_open() : NULL;
        et_tensor *h = et_layer_norm(n.p[0], n.p[1], n.p[2], 1e-5), *gx;
        et_tensor *y = et_sum(et_square(et_linear(h, n.p[3], n.p[4])), 0, NULL, false);
        if (scoped) {
            y = et_scope_return(inner, y);
            WORKS(et_scope_close(inner));
            ck_assert_ptr_null(h->storage);
        }
        WORKS(et_grad(1, &y, NULL, 1, &n.p[0], &gx, ET_CREATE_GRAPH));
        WORKS(et_backward(et_sum(et_square(gx), 0, NULL, false)));
        second[scoped] = et_clone(et_grad_of(n.p[0]));
    }
    ck_assert(et_equal(second[0], second[1]));
}
END_TEST

/* What is kept, looked at through another handle, or read to make the next result, stays. */
START_TEST(not_given_back)
{
    net n = make_net(ET_F64);
    et_tensor *want[N_PARAMS], *y, *gy, *view, *outer;
    et_scope *inner;
    between b;

    y = et_keep(apply(&n, &b));
    gy = cotangent(y);
    WORKS(et_backward_from(y, gy, 0));
    take_gradients(&n, want);

    inner = et_scope_open();
    y = apply(&n, &b);
    et_keep(b.norm);
    view = et_scope_return(inner, et_detach(b.hidden));
    y = et_scope_return(inner, y);
    WORKS(et_scope_close(inner));
    ck_assert_ptr_nonnull(b.norm->storage);
    ck_assert_ptr_nonnull(b.hidden->storage);
    et_tensor *before = et_clone(b.norm), *seen = et_clone(view);
    WORKS(et_backward_from(y, gy, 0));
    check_gradients(&n, want, "kept");
    ck_assert(et_equal(b.norm, before) && et_equal(view, seen)); /* no gradient took its place */

    inner = et_scope_open();
    et_tensor *first = et_layer_norm(n.p[0], n.p[1], n.p[2], 1e-5);
    et_tensor *second = et_layer_norm(first, NULL, NULL, 1e-5);
    outer = et_scope_return(inner, et_linear(second, n.p[3], NULL));
    WORKS(et_scope_close(inner));
    ck_assert_ptr_nonnull(first->storage);
    ck_assert_ptr_null(second->storage);
    WORKS(et_backward_from(outer, NULL, 0));
    ck_assert_ptr_null(first->storage);
}
END_TEST

/* What would be made of other numbers than at first is an error, not another result. */
START_TEST(changed)
{
    net n = make_net(ET_F64);
    et_scope *inner;
    et_tensor *y;
    between b;

    for (int i = 0; i < 3; i++) { /* x, gain, shift */
        y = apply_scoped(&n, &b);
        et_set(n.p[i], (const int64_t[]){0, 0}, 0.25);
        FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EVERSION, "layer_norm: backward: operand");
    }
    inner = et_scope_open();
    y = et_scope_return(inner, apply(&n, &b));
    et_set(b.hidden, (const int64_t[]){1, 1}, 7);
    WORKS(et_scope_close(inner));
    ck_assert_ptr_nonnull(b.hidden->storage);
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_EVERSION, "linear: backward: operand 0 was changed");
}
END_TEST

/* A chain of layers is made again link by link, not at once: what a layer's own result needs is kept, the
 * weights may have changed. */
START_TEST(chain)
{
    enum { LAYERS = 6, TOKENS = 4096, WIDE = 64 };
    const size_t one = (size_t)TOKENS * WIDE * sizeof(float);
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(TOKENS, WIDE)), *w[LAYERS], *y, *g;
    et_pool_stats before, after;

    for (int i = 0; i < LAYERS; i++)
        w[i] = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(WIDE, WIDE), 0.02), true);
    for (int turn = 0; turn < 3; turn++) { /* the first makes the parameters' gradients */
        et_scope *inner = et_scope_open();
        y = x;
        for (int i = 0; i < LAYERS; i++)
            y = et_linear_act(y, w[i], NULL, ET_ACT_GELU);
        y = et_scope_return(inner, y);
        WORKS(et_scope_close(inner));
        et_tensor *gy = et_ones(ET_F32, ET_SHAPE(TOKENS, WIDE));
        if (turn == 2) { /* the last weight's gradient does not depend on an earlier one as it is now */
            et_set(w[1], (const int64_t[]){0, 0}, 1);
            WORKS(et_grad(1, &y, NULL, 1, &w[LAYERS - 1], &g, ET_RETAIN_GRAPH));
            FAILS_STATUS(et_backward_from(y, gy, 0), ET_EVERSION, "linear_act: backward: operand 1");
            continue;
        }
        et_pool_reset_peak();
        et_pool_get_stats(&before);
        WORKS(et_backward_from(y, gy, 0));
        et_pool_get_stats(&after);
    }
    ck_assert_uint_lt(after.peak, before.current + 3 * one);
}
END_TEST

/* What leaves its tape, or is released by hand, does not come back. */
START_TEST(not_made_again)
{
    net n = make_net(ET_F64);
    et_tensor *want, *y, *gy, *f;
    between b;

    /* A result of one tape is an operand of the next. */
    et_scope *root = et_scope_open_root();
    f = et_scope_return(root, et_layer_norm(n.p[0], n.p[1], n.p[2], 1e-5));
    WORKS(et_scope_close(root));
    want = et_linear(f, n.p[3], NULL);
    WORKS(et_backward_from(want, NULL, 0));
    want = et_clone(et_grad_of(n.p[3]));
    et_zero_grad_of(n.p[3]);
    root = et_scope_open_root();
    f = et_scope_return(root, et_layer_norm(n.p[0], n.p[1], n.p[2], 1e-5));
    WORKS(et_scope_close(root));
    et_scope *inner = et_scope_open();
    y = et_scope_return(inner, et_linear(et_scope_take(f), n.p[3], NULL));
    WORKS(et_scope_close(inner));
    WORKS(et_backward_from(y, NULL, 0));
    ck_assert(et_equal(et_grad_of(n.p[3]), want));

    y = apply_scoped(&n, &b);
    gy = cotangent(y);
    WORKS(et_backward_from(y, gy, ET_RETAIN_GRAPH));
    et_release(b.hidden);
    FAILS_STATUS(et_backward_from(y, gy, 0), ET_ESCOPE, "operand 0 was released");
}
END_TEST

/* The first rows of a result, read last by a linear layer: their gradient does not take the place of all. */
START_TEST(part_of_more)
{
    et_tensor *g[2];

    for (int scoped = 0; scoped < 2; scoped++) {
        net n = make_net(ET_F64);
        et_scope *inner = scoped ? et_scope_open() : NULL;
        et_tensor *h = et_layer_norm(n.p[0], n.p[1], n.p[2], 1e-5), *first = et_slice(h, 0, 0, 1, 1);
        et_tensor *y = et_linear(first, n.p[3], n.p[4]);
        if (scoped) {
            y = et_scope_return(inner, y);
            WORKS(et_scope_close(inner));
        }
        WORKS(et_backward_from(y, cotangent(y), 0));
        g[scoped] = et_clone(et_grad_of(n.p[0]));
    }
    ck_assert(et_equal(g[0], g[1]));
}
END_TEST

/* The gradient of what a linear layer reads last lies where that lay. */
START_TEST(gradient_in_place)
{
    const int64_t rows = 4096, width = 64;
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(rows, width)), *w[2], *y;
    et_pool_stats before, after;

    for (int i = 0; i < 2; i++)
        w[i] = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(width, width), 0.01 * (i + 1)), true);
    for (int turn = 0; turn < 2; turn++) { /* the first makes the parameters' gradients */
        et_scope *inner = et_scope_open();
        et_tensor *h = et_linear(x, w[0], NULL);
        y = et_scope_return(inner, et_linear(h, w[1], NULL));
        WORKS(et_scope_close(inner));
        et_tensor *gy = et_ones(ET_F32, ET_SHAPE(rows, width));
        et_pool_reset_peak();
        et_pool_get_stats(&before);
        WORKS(et_backward_from(y, gy, 0));
        et_pool_get_stats(&after);
        ck_assert_ptr_null(h->storage);
    }
    ck_assert_uint_lt(after.peak, before.current + (size_t)(rows * width) * sizeof(float));
    /* Twice dW1[o, i] = sum over rows r of (1 W2)[r, o] x[r, i]. */
    ck_assert_double_eq_tol(et_get(et_grad_of(w[0]), (const int64_t[]){0, 0}), 2 * rows * width * 0.02, 1);
}
END_TEST

static bool forward_and_backward(void *user)
{
    const net *n = user;
    et_scope *root = et_scope_open_root();
    bool good = false;
    between b;

    if (root) {
        et_tensor *y = apply_scoped(n, &b);
        good = y && et_backward_from(y, NULL, 0) == ET_OK;
        et_scope_close(root);
    }
    for (int i = 0; i < N_PARAMS; i++)
        et_zero_grad_of(n->p[i]);
    return good;
}

START_TEST(allocations)
{
    net n = make_net(ET_F32);

    ck_assert(forward_and_backward(&n)); /* makes the parameters' gradients, which stay */
    ck_assert_int_gt(alloc_sweep("remake", forward_and_backward, &n), 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remake");
    TCase *tc = tcase_create("remake");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, same_bits, 0, 2);
    tcase_add_test(tc, retained);
    tcase_add_test(tc, second_derivative);
    tcase_add_test(tc, not_given_back);
    tcase_add_test(tc, changed);
    tcase_add_test(tc, chain);
    tcase_add_test(tc, not_made_again);
    tcase_add_test(tc, part_of_more);
    tcase_add_test(tc, gradient_in_place);
    tcase_add_test(tc, allocations);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
