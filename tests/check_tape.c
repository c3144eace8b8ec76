/* The tape: segments that are run again, what is told of it, and graphs of any size. */
#include "config.h"

#include <stdlib.h>

#include "tests/values.h"

#include "autograd/op.h"
#include "tensor/pool.h"
#include "tensor/rng.h"

/* --- checkpoint -------------------------------------------------------------------------------- */

static et_tensor *segment(et_tensor *const *in, int n_in, void *user)
{
    et_tensor *w = user;

    (void)n_in;
    return et_tanh(et_mul(et_dropout(et_exp(in[0]), 0.5, true, NULL), et_add(w, in[1])));
}

START_TEST(checkpoints)
{
    const int64_t n = 64;
    et_tensor *x = et_set_requires_grad(et_linspace(ET_F64, -1, 1, n), true), *w = PARAM((1), 0.7),
              *b = PARAM((1), 0.1);
    et_tensor *in[] = {x, b}, *plain, *again, *gx, *gw, *gb;
    et_rng after;

    et_seed(11);
    plain = et_keep(segment(in, 2, w));
    after = *et_rng_default();
    WORKS(et_backward_from(plain, NULL, 0));
    gx = et_clone(et_grad_of(x));
    gw = et_clone(et_grad_of(w));
    gb = et_clone(et_grad_of(b));
    et_zero_grad_of(x);
    et_zero_grad_of(w);
    et_zero_grad_of(b);
    et_seed(11);
    int64_t before = et_tape_length();
    again = et_keep(et_checkpoint(segment, in, 2, w));
    ck_assert_int_eq(et_tape_length(), before + 1);
    ck_assert(et_equal(plain, again));
    et_rng_u32(et_rng_default()); /* others draw before backward */
    et_no_grad_begin();
    WORKS(et_backward_from(again, NULL, 0)); /* the replay records all the same */
    et_no_grad_end();
    ck_assert(et_equal(et_grad_of(x), gx) && et_equal(et_grad_of(w), gw) && et_equal(et_grad_of(b), gb));
    ck_assert_uint_eq(et_rng_default()->counter, after.counter + 1); /* the replay leaves no trace */
}
END_TEST

/* et_grad through a checkpoint leaves gradients of leaves alone, and et_backward after it adds to them. */
START_TEST(grad_of_checkpoint)
{
    et_tensor *x = PARAM((2), 1, 2), *w = PARAM((1), 3), *b = PARAM((1), 0.5), *in[] = {x, b};
    et_tensor *y, *want[2], *got[2];

    et_seed(11);
    y = segment(in, 2, w);
    WORKS(et_grad(1, &y, NULL, 2, in, want, ET_RETAIN_GRAPH));
    WORKS(et_backward_from(y, NULL, 0));
    et_tensor *gw = et_clone(et_grad_of(w));
    et_zero_grad_of(w);
    et_zero_grad_of(x);
    et_zero_grad_of(b);
    et_seed(11);
    y = et_checkpoint(segment, in, 2, w);
    WORKS(et_grad(1, &y, NULL, 2, in, got, ET_RETAIN_GRAPH));
    ck_assert(et_equal(got[0], want[0]) && et_equal(got[1], want[1]));
    ck_assert(!w->reached && !x->reached && !b->reached);
    WORKS(et_grad(1, &y, NULL, 1, in + 1, got, ET_RETAIN_GRAPH));
    ck_assert(et_equal(got[0], want[1]));
    ck_assert(!w->reached);
    /* what the segment reads besides its operands, a leaf or not, can be asked for as well */
    WORKS(et_grad(1, &y, NULL, 1, &w, got, ET_RETAIN_GRAPH));
    ck_assert(et_equal(got[0], gw) && !w->reached);
    WORKS(et_backward_from(y, NULL, 0));
    ck_assert(et_equal(et_grad_of(w), gw) && et_equal(et_grad_of(x), want[0]));

    et_tensor *v = PARAM((1), 1.5), *u = et_mul_scalar(v, 2), *other = PARAM((1), 1);
    et_seed(11);
    y = et_checkpoint(segment, in, 2, u);
    WORKS(et_grad(1, &y, NULL, 1, &v, got, ET_RETAIN_GRAPH));
    ck_assert_double_eq_tol(et_item(got[0]), 2 * et_item(gw), 1e-12);
    WORKS(et_grad(1, &y, NULL, 1, &other, got, ET_RETAIN_GRAPH));
    ck_assert_ptr_null(got[0]);
    WORKS(et_grad(1, &y, NULL, 1, &other, got, ET_CREATE_GRAPH));
    ck_assert_ptr_null(got[0]);
    FAILS_STATUS(et_grad(1, &y, NULL, 1, &x, got, ET_CREATE_GRAPH), ET_EGRAD, "once only");
}
END_TEST

static et_tensor *fails(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in;
    (void)user;
    return et_add(in[0], REAL((3), 1, 2, 3));
}

static et_tensor *passes_on(et_tensor *const *in, int n_in, void *user)
{
    (void)n_in;
    (void)user;
    return in[0];
}

static et_tensor *gives_user(et_tensor *const *in, int n_in, void *user)
{
    (void)in;
    (void)n_in;
    return user;
}

/* Comes back with a scope open in call number *user. */
static et_tensor *leaves_open(et_tensor *const *in, int n_in, void *user)
{
    int *left = user;

    (void)n_in;
    if (--*left == 0 && !et_scope_open())
        return NULL;
    return et_square(in[0]);
}

START_TEST(checkpoint_misuse)
{
    et_tensor *x = PARAM((2), 1, 2), *y;
    int calls = 1;

    FAILS(et_checkpoint(leaves_open, &x, 1, &calls), ET_ESCOPE, "returned with 1 scope of its own open");
    calls = 2;
    y = et_checkpoint(leaves_open, &x, 1, &calls);
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_ESCOPE, "returned with 1 scope of its own open");
    ck_assert_int_eq(et_scope_depth(), 1);
    ck_assert(et_grad_enabled());

    FAILS(et_checkpoint(fails, &x, 1, NULL), ET_ESHAPE, "add: ");
    FAILS(et_checkpoint(passes_on, &x, 1, NULL), ET_EINVAL, "returned its operand 0");
    FAILS(et_checkpoint(gives_user, &x, 1, PARAM((1), 3)), ET_EINVAL, "a tensor that was there before it");
    FAILS(et_checkpoint(gives_user, &x, 1, et_exp(x)), ET_EINVAL, "a tensor that was there before it");
    FAILS(et_checkpoint(NULL, &x, 1, NULL), ET_EINVAL, "expected a segment");
    ck_assert_int_eq(et_scope_depth(), 1);
    ck_assert(et_grad_enabled());
}
END_TEST

/* --- looking at it ------------------------------------------------------------------------------ */

START_TEST(anomalies)
{
    et_tensor *x = PARAM((2), 1, -1), *y;
    char place[64];

    ck_assert(!et_anomaly());
    et_set_anomaly(true);
    snprintf(place, sizeof place, "check_tape.c:%d: log: ", __LINE__ + 1);
    FAILS(et_log(x), ET_ENONFINITE, place);
    /* Forward is finite, backward is not: the slope of sqrt at 0. */
    x = PARAM((2), 0, 4);
    snprintf(place, sizeof place, "check_tape.c:%d: sqrt: backward made a NaN or infinity", __LINE__ + 1);
    y = et_sqrt(et_mul_scalar(x, 2));
    FAILS_STATUS(et_backward_from(y, NULL, 0), ET_ENONFINITE, place);
    /* No op is to blame for what a leaf brings along. */
    x = PARAM((2), NAN, 4);
    y = et_mul(et_square(x), PARAM((2), 1, 2));
    WORKS(et_backward_from(y, NULL, 0));
    et_set_anomaly(false);
    ck_assert_ptr_nonnull(et_log(et_neg(x)));
}
END_TEST

/* Only the rule is to blame that makes one of numbers, whichever operand's gradient that is. */
START_TEST(anomaly_of_operands)
{
    const double huge = 1e200;

    et_set_anomaly(true);
    for (int i = 0; i < 2; i++) {
        et_tensor *p[] = {PARAM((1), i ? huge : 1), PARAM((1), i ? 1 : huge)};
        FAILS_STATUS(et_backward_from(et_mul(p[0], p[1]), REAL((1), huge), 0), ET_ENONFINITE,
                     "mul: backward made a NaN or infinity");
        WORKS(et_backward_from(et_mul(p[0], p[1]), NULL, 0)); /* to add to it makes none */
        et_zero_grad_of(p[i]);
        WORKS(et_backward_from(et_mul(p[0], p[1]), REAL((1), INFINITY), 0)); /* it was there before */
    }
    et_set_anomaly(false);
}
END_TEST

/* What a function writes to a file, as text. */
static char *text_of(et_status (*print)(FILE *))
{
    static char text[4096];
    FILE *f = tmpfile();
    size_t n;

    ck_assert_ptr_nonnull(f);
    WORKS(print(f));
    rewind(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

START_TEST(tape_text)
{
    et_tensor *w = PARAM((2), 1, 2), *x = REAL((3, 1), 1, 2, 3), *y;
    char want[512];
    const char *text;
    int line;

    ck_assert_str_eq(text_of(et_tape_print), "");
    w->name = "w";
    line = __LINE__ + 1;
    y = et_mul(x, w);
    y = et_exp(y);
    snprintf(want, sizeof want,
             "%%0 = mul(leaf, w) float64 [3, 2]  %s:%d\n%%1 = exp(%%0) float64 [3, 2]  %s:%d\n", __FILE__,
             line, __FILE__, line + 1);
    ck_assert_str_eq(text_of(et_tape_print), want);
    text = text_of(et_tape_dot);
    ck_assert_ptr_nonnull(strstr(text, "digraph tape {"));
    ck_assert_ptr_nonnull(strstr(text, "n0 [label=\"mul\\n[3, 2]\"];"));
    ck_assert_ptr_nonnull(strstr(text, "n0 -> n1;"));
    ck_assert_ptr_nonnull(strstr(text, "[label=\"w\\n[2]\", shape=ellipse, style=bold];"));
    ck_assert_str_eq(text + strlen(text) - 2, "}\n");
    WORKS(et_backward_from(y, NULL, 0));
    ck_assert_ptr_nonnull(strstr(text_of(et_tape_print), "(released)"));
    FAILS_STATUS(et_tape_print(NULL), ET_EINVAL, "file is NULL");
    FAILS_STATUS(et_tape_dot(NULL), ET_EINVAL, "file is NULL");
}
END_TEST

/* --- size --------------------------------------------------------------------------------------- */

START_TEST(long_chain)
{
    enum { LENGTH = 1000000 };
    et_tensor *x = PARAM((1), 1), *y = x;

    for (int i = 0; i < LENGTH; i++) {
        et_scope *inner = et_scope_open();
        y = et_scope_return(inner, et_add_scalar(y, 1));
        WORKS(et_scope_close(inner));
    }
    ck_assert_int_eq(et_tape_length(), LENGTH);
    HOLDS(y, (1), 1 + LENGTH);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (1), 1);
}
END_TEST

/* One tensor read a thousand times, summed by one op of a thousand operands. */
START_TEST(wide)
{
    static et_tensor *parts[1000];
    et_tensor *x = PARAM((1), 3), *y;

    for (int i = 0; i < 1000; i++)
        parts[i] = et_mul_scalar(x, i);
    y = et_sum(et_concat(1000, parts, 0), 0, NULL, false);
    HOLDS_ONE(y, 3 * 499500.0);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (1), 499500);

    /* Differentiated twice, by what every second operand is made of. */
    et_tensor *w = PARAM((1), 2), *g, *second;
    for (int i = 0; i < 1000; i++)
        parts[i] = et_mul_scalar(i % 2 ? w : x, i);
    y = et_sum(et_square(et_concat(1000, parts, 0)), 0, NULL, false);
    WORKS(et_grad(1, &y, NULL, 1, &w, &g, ET_CREATE_GRAPH));
    HOLDS(g, (1), 4 * 166666500.0); /* 1 + 9 + 25 + ... + 999^2 = 500 (4 500^2 - 1) / 3 */
    WORKS(et_grad(1, &g, NULL, 1, &w, &second, 0));
    HOLDS(second, (1), 2 * 166666500.0);
}
END_TEST

/* Steps after the first ask the system for nothing. */
START_TEST(steady)
{
    et_tensor *w = et_set_requires_grad(et_full(ET_F32, ET_SHAPE(64, 64), 0.01), true);
    et_tensor *x = et_full(ET_F32, ET_SHAPE(32, 64), 0.5);
    et_pool_stats first, last;

    for (int i = 0; i < 5; i++) {
        et_scope *step = et_scope_open_root();
        WORKS(et_backward(et_mean(et_square(et_matmul(et_tanh(et_matmul(x, w)), w)), 0, NULL, false)));
        WORKS(et_scope_close(step));
        et_pool_get_stats(i == 0 ? &first : &last);
    }
    ck_assert_uint_eq(first.current, last.current);
    if (!getenv("ETUDE_POOL")) /* blocks of malloc's own are asked for each time */
        ck_assert_uint_eq(first.reserved, last.reserved);
}
END_TEST

/* A tensor of the caller's that is freed while the tape refers to it stays until the tape goes, and no longer. */
START_TEST(freed_early)
{
    et_tensor *x = et_set_requires_grad(et_own(REAL((2), 2, 3)), true), *w = PARAM((2), 5, 7);
    et_tensor *y = et_sum(et_mul(x, w), 0, NULL, false);

    et_free(x);
    WORKS(et_backward(y));
    GRAD_HOLDS(w, (2), 2, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tape");
    TCase *tc = tcase_create("tape");

    tcase_set_timeout(tc, 120); /* a million nodes, on any machine */
    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_test(tc, checkpoints);
    tcase_add_test(tc, grad_of_checkpoint);
    tcase_add_test(tc, checkpoint_misuse);
    tcase_add_test(tc, anomalies);
    tcase_add_test(tc, anomaly_of_operands);
    tcase_add_test(tc, tape_text);
    tcase_add_test(tc, long_chain);
    tcase_add_test(tc, wide);
    tcase_add_test(tc, steady);
    tcase_add_test(tc, freed_early);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
