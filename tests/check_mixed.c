/* Mixed precision: which ops round what they multiply, that backward does as forward did, and that
 * a model learns with it. */
#include "config.h"

#include <math.h>

#include "nn/linear.h"
#include "nn/optim.h"
#include "tests/values.h"

/* Every element rounded to bfloat16, in x's dtype. */
static et_tensor *rounded(const et_tensor *x) { return et_to(et_to(et_to(x, ET_F32), ET_BF16), x->dtype); }

static et_tensor *random_of(int64_t rows, int64_t cols, uint64_t stream)
{
    et_rng rng = et_rng_make(3, stream);
    et_tensor *x = et_empty(values_real, ET_SHAPE(rows, cols));

    ck_assert_int_eq(et_fill_uniform(x, &rng, -1, 1), ET_OK);
    return x;
}

static void close_to(const et_tensor *got, const et_tensor *want, double tol)
{
    ck_assert_msg(got && want && et_allclose(got, want, tol, tol, false), "%s is not %s", et_to_string(got),
                  et_to_string(want));
}

enum { MATMUL, MATMUL_T, LINEAR, LINEAR_ACT, N_CALLS };

/* y = x w^T, with a bias in LINEAR_ACT, which stays float32. */
static et_tensor *call(int which, et_tensor *x, et_tensor *w)
{
    switch (which) {
    case MATMUL: return et_matmul(x, et_transpose(w, 0, 1));
    case MATMUL_T: return et_matmul_t(x, w, false, true);
    case LINEAR: return et_linear(x, w, NULL);
    default: return et_linear_act(x, w, et_full(x->dtype, ET_SHAPE(w->shape[0]), 1.0 / 3), ET_ACT_NONE);
    }
}

/* Values and both gradients are those of rounded operands, and differ from those without rounding;
 * backward runs outside. float64 is as without. */
START_TEST(products)
{
    const int which = _i / 2;
    values_real = _i % 2 ? ET_F64 : ET_F32;
    et_tensor *x = et_set_requires_grad(random_of(6, 40, 0), true),
              *w = et_set_requires_grad(random_of(9, 40, 1), true);
    et_tensor *g = random_of(6, 9, 2);

    ck_assert(!et_mixed_enabled());
    et_mixed_begin();
    ck_assert(et_mixed_enabled());
    et_tensor *y = call(which, x, w);
    et_mixed_end();
    ck_assert(!et_mixed_enabled());
    WORKS(et_backward_from(y, g, 0));
    if (values_real == ET_F64) {
        close_to(y, call(which, x, w), 0);
        return;
    }
    close_to(y, call(which, rounded(x), rounded(w)), 2e-6);
    close_to(et_grad_of(x), et_matmul(rounded(g), rounded(w)), 2e-6);
    close_to(et_grad_of(w), et_matmul_t(rounded(g), rounded(x), true, false), 2e-6);
    ck_assert(!et_allclose(y, call(which, x, w), 1e-4, 1e-4, false));
}
END_TEST

/* The largest |got - want| over the largest |want|. */
static double distance(const et_tensor *got, const et_tensor *want)
{
    double most = 0, size = 0;

    ck_assert(got && want && et_same_shape(got, want));
    const et_tensor *a = et_to(got, ET_F64), *b = et_to(want, ET_F64);
    for (int64_t i = 0; i < got->numel; i++) {
        const double x = et_data_f64(a)[i], y = et_data_f64(b)[i];
        most = fmax(most, fabs(x - y));
        size = fmax(size, fabs(y));
    }
    return most / size;
}

static et_tensor *heads_of(et_tensor *x) { return et_reshape(x, ET_SHAPE(1, 1, x->shape[0], x->shape[1])); }

/* Attention multiplies rounded queries, keys and values, forward and backward; the scores are so large that
 * rounding them shows. Weights are rounded too: half a unit of 2^-8 each. */
START_TEST(attention)
{
    enum { N_IN = 3 };
    et_tensor *in[N_IN], *same[N_IN], *heads[2][N_IN], *g;

    values_real = _i ? ET_F64 : ET_F32;
    for (int i = 0; i < N_IN; i++) {
        et_tensor *x = et_mul_scalar(random_of(40, 32, (uint64_t)i), i < 2 ? 8 : 1);
        in[i] = et_set_requires_grad(et_detach(x), true);
        same[i] = et_set_requires_grad(_i ? et_clone(x) : rounded(x), true);
        heads[0][i] = heads_of(in[i]);
        heads[1][i] = heads_of(same[i]);
    }
    g = heads_of(random_of(40, 32, 7));
    et_tensor *plain = et_attention(et_detach(heads[0][0]), et_detach(heads[0][1]), et_detach(heads[0][2]),
                                    NULL, NULL);
    et_mixed_begin();
    et_tensor *y = et_attention(heads[0][0], heads[0][1], heads[0][2], NULL, NULL);
    et_mixed_end();
    et_tensor *z = et_attention(heads[1][0], heads[1][1], heads[1][2], NULL, NULL);
    ck_assert(_i ? distance(y, plain) == 0 : distance(y, plain) > 0.02);
    ck_assert(distance(y, z) <= (_i ? 0 : 0.005));
    WORKS(et_backward_from(z, _i ? g : rounded(g), ET_RETAIN_GRAPH));
    WORKS(et_backward_from(y, g, ET_RETAIN_GRAPH));
    for (int i = 0; i < N_IN; i++)
        ck_assert_msg(distance(et_grad_of(in[i]), et_grad_of(same[i])) <= (_i ? 0 : 0.01), "gradient %d: %g",
                      i, distance(et_grad_of(in[i]), et_grad_of(same[i])));
}
END_TEST

/* A recurrent layer computes forward as without; backward rounds what its large products multiply. */
START_TEST(recurrent)
{
    enum { B = 3, T = 5, F = 6, H = 7, N_IN = 3 };
    et_tensor *in[2][N_IN], *y[2], *g;

    values_real = _i ? ET_F64 : ET_F32;
    for (int k = 0; k < 2; k++) {
        in[k][0] = et_set_requires_grad(et_detach(et_reshape(random_of(B * T, F, 0), ET_SHAPE(B, T, F))),
                                        true);
        in[k][1] = et_set_requires_grad(random_of(3 * H, F, 1), true);
        in[k][2] = et_set_requires_grad(random_of(3 * H, H, 2), true);
        if (k)
            et_mixed_begin();
        y[k] = et_gru(in[k][0], NULL, in[k][1], in[k][2], NULL, NULL, NULL, NULL, NULL);
        if (k)
            et_mixed_end();
    }
    close_to(y[1], y[0], 0);
    g = et_reshape(random_of(B * T, H, 3), ET_SHAPE(B, T, H));
    WORKS(et_backward_from(y[0], g, ET_RETAIN_GRAPH));
    WORKS(et_backward_from(y[1], g, ET_RETAIN_GRAPH));
    for (int i = 0; i < N_IN; i++) {
        const double d = distance(et_grad_of(in[1][i]), et_grad_of(in[0][i]));
        ck_assert_msg(_i ? d == 0 : d > 1e-5 && d < 0.01, "gradient %d: %g", i, d);
    }
}
END_TEST

/* Begin and end nest; an end too many does no harm; other ops are not touched. */
START_TEST(nests)
{
    values_real = ET_F32;
    et_tensor *x = random_of(3, 4, 5);

    et_mixed_begin();
    et_mixed_begin();
    et_mixed_end();
    ck_assert(et_mixed_enabled());
    et_tensor *y = et_mul(x, x), *s = et_softmax(x, -1);
    et_mixed_end();
    et_mixed_end();
    ck_assert(!et_mixed_enabled());
    close_to(y, et_mul(x, x), 0);
    close_to(s, et_softmax(x, -1), 0);
}
END_TEST

static et_tensor *segment(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in, (void)user;
    return et_tanh(et_linear(in[0], in[1], NULL));
}

/* A checkpoint computes again as it did at first, inside or outside of mixed precision. */
START_TEST(checkpoints)
{
    values_real = ET_F32;
    et_tensor *x[2], *w[2];

    for (int i = 0; i < 2; i++) {
        x[i] = et_set_requires_grad(random_of(5, 30, 0), true);
        w[i] = et_set_requires_grad(random_of(7, 30, 1), true);
        et_tensor *in[2] = {x[i], w[i]};
        if (_i)
            et_mixed_begin();
        et_tensor *y = i ? et_checkpoint(segment, in, 2, NULL) : segment(in, 2, NULL);
        if (_i)
            et_mixed_end();
        else
            et_mixed_begin(), et_mixed_begin();
        WORKS(et_backward_from(y, NULL, 0));
        ck_assert(et_mixed_enabled() == !_i);
        if (!_i) {
            et_mixed_end();
            ck_assert(et_mixed_enabled());
            et_mixed_end();
        }
    }
    close_to(et_grad_of(x[1]), et_grad_of(x[0]), 0);
    close_to(et_grad_of(w[1]), et_grad_of(w[0]), 0);
}
END_TEST

/* Parity of pairs of bits, by a network of two layers: what float32 learns, mixed precision learns. The
 * weights keep numbers that bfloat16 has not. */
START_TEST(learns)
{
    et_rng rng = et_rng_make(1, 0);
    et_module *m = et_module_new(sizeof *m, "Net", NULL, NULL);
    et_linear_layer *hidden = et_linear_layer_new(m, "hidden", 2, 8, true, &rng);
    et_linear_layer *out = et_linear_layer_new(m, "out", 8, 2, true, &rng);
    double loss = 1;

    ck_assert_ptr_nonnull(et_module_done(m));
    et_optim *o = et_adam_new(m, 0.02);
    values_real = ET_F32;
    et_tensor *x = REAL((4, 2), 0, 0, 0, 1, 1, 0, 1, 1), *y = INTS((4), 0, 1, 1, 0);
    for (int i = 0; i < 400; i++) {
        et_scope *step = et_scope_open_root();
        et_mixed_begin();
        et_tensor *l = et_cross_entropy(
            et_linear_layer_forward(out, et_linear_layer_forward_act(hidden, x, ET_ACT_TANH)), y);
        et_mixed_end();
        loss = et_item(l);
        WORKS(et_backward(l));
        WORKS(et_optim_step_zero(o, 1, NULL));
        WORKS(et_scope_close(step));
    }
    ck_assert_double_lt(loss, 0.02);
    ck_assert(!et_allclose(hidden->weight, rounded(hidden->weight), 0, 0, false));
    et_optim_free(o);
    et_module_free(m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mixed");
    TCase *tc = tcase_create("mixed");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, products, 0, 2 * N_CALLS);
    tcase_add_loop_test(tc, attention, 0, 2);
    tcase_add_loop_test(tc, recurrent, 0, 2);
    tcase_add_test(tc, nests);
    tcase_add_loop_test(tc, checkpoints, 0, 2);
    tcase_add_test(tc, learns);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
