/* Scopes: what they release and what they keep, what is not recorded,
 * and what happens when they are closed in the wrong order. */
#include "config.h"

#include <stdlib.h>

#include "tests/values.h"

#include "autograd/op.h"
#include "tensor/pool.h"

#define PENDING(status, words) values_fails(__LINE__, true, (status), (words))

START_TEST(inner_scope_releases)
{
    et_tensor *x = PARAM((2), 1, 2), *w = PARAM((2), 3, 4), *y;
    et_scope *inner = et_scope_open();
    et_tensor *a = et_add_scalar(x, 1); /* no backward rule reads a's operand, mul's reads a */
    et_tensor *b = et_add_scalar(a, 1); /* nothing reads this */

    y = et_scope_return(inner, et_mul(a, w));
    WORKS(et_scope_close(inner));
    ck_assert_ptr_nonnull(a->storage);
    ck_assert_ptr_null(b->storage);
    HOLDS(y, (2), 6, 12);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (2), 3, 4);
    GRAD_HOLDS(w, (2), 2, 3);
    ck_assert_ptr_null(a->storage); /* used, and given back */
    FAILS(et_neg(a), ET_ESCOPE, "neg: the elements of operand 0, shape [2], were released");
}
END_TEST

/* What is let go of is as after the end of its scope, whichever that is. */
START_TEST(let_go)
{
    et_tensor *x = PARAM((2), 1, 2), *a = et_mul_scalar(x, 2), *b = et_add_scalar(a, 1), *y = et_square(b);
    et_tensor *kept = et_keep(et_add_scalar(b, 1));
    const int64_t n = 1 << 16;
    et_pool_stats before, after;

    et_scope_let_go(NULL);
    et_scope_let_go(a); /* read by no rule */
    et_scope_let_go(b); /* by square's */
    et_scope_let_go(b);
    ck_assert_ptr_eq(et_scope_after(kept, kept), kept); /* still wanted, */
    ck_assert_ptr_null(et_scope_after(y, NULL));        /* and what an error left */
    ck_assert(!kept->on_tape && !y->on_tape);
    ck_assert_ptr_eq(et_scope_after(kept, y), y);
    et_tensor *used = et_add_scalar(x, 1), *made = et_mul_scalar(used, 2);
    ck_assert_ptr_eq(et_scope_after(used, made), made);
    ck_assert(!used->storage && made->storage);
    ck_assert_ptr_null(a->storage);
    ck_assert_ptr_nonnull(b->storage);
    HOLDS(kept, (2), 4, 6);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (2), 12, 20);
    ck_assert_ptr_null(b->storage);

    et_pool_get_stats(&before);
    et_scope_let_go(et_empty(ET_F32, 1, &n)); /* not recorded */
    et_tensor *own = et_empty_owned(ET_F32, 1, &n), *view = et_own(et_detach(own));
    et_scope_let_go(own);
    ck_assert_ptr_nonnull(et_data(view)); /* whose elements others share */
    et_scope_let_go(view);
    et_pool_get_stats(&after);
    ck_assert_uint_eq(after.current, before.current);
}
END_TEST

START_TEST(scope_returns)
{
    et_scope *one = et_scope_open(), *two = et_scope_open();
    et_tensor *x = REAL((1), 5), *y;

    ck_assert_ptr_eq(et_scope_return(two, x), x);
    ck_assert_ptr_eq(x->scope, one);
    ck_assert_ptr_eq(et_scope_return(two, x), x); /* it outlives this scope already */
    ck_assert_ptr_null(et_scope_return(two, NULL));
    FAILS(et_scope_return(one, REAL((1), 6)), ET_ESCOPE, "does not belong to this scope");
    WORKS(et_scope_close(two));
    ck_assert_ptr_eq(et_scope_return(one, x), x);
    WORKS(et_scope_close(one));
    y = et_neg(x);
    HOLDS(y, (1), -5);
}
END_TEST

/* Out of the outermost scope: the caller owns the values, the history is gone. */
START_TEST(root_returns)
{
    et_tensor *w, *y;
    et_scope *scope;

    WORKS(et_scope_close(values_scope));
    w = et_set_requires_grad(et_full(ET_F64, ET_SHAPE(2), 3), true);
    scope = et_scope_open();
    y = et_scope_return(scope, et_square(w));
    WORKS(et_scope_close(scope));
    HOLDS(y, (2), 9, 9);
    ck_assert(!y->requires_grad && !y->node && !y->scope);
    et_free(y);
    et_free(w);
    values_scope = et_scope_open();
}
END_TEST

START_TEST(scopes_in_order)
{
    et_scope *one = et_scope_open(), *two = et_scope_open();

    ck_assert_int_eq(et_scope_depth(), 3);
    FAILS_STATUS(et_scope_close(one), ET_ESCOPE, "not the innermost");
    ck_assert_ptr_eq(et_scope_current(), two);
    WORKS(et_scope_close(two));
    WORKS(et_scope_close(one));
    FAILS_STATUS(et_scope_close(NULL), ET_EINVAL, "scope is NULL");
    ck_assert_int_eq(et_scope_depth(), 1);
}
END_TEST

/* An error stays pending in inner scopes; the outermost one begins without. */
START_TEST(outermost_clears)
{
    et_scope *inner;

    ck_assert_ptr_null(et_neg(NULL));
    ck_assert_ptr_nonnull(inner = et_scope_open());
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    WORKS(et_scope_close(inner));
    WORKS(et_scope_close(values_scope));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    ck_assert_ptr_nonnull(values_scope = et_scope_open());
    ck_assert_int_eq(et_error_status(), ET_OK);
}
END_TEST

/* What comes back early leaves scopes open: whoever called it closes them. */
START_TEST(scopes_unwind)
{
    et_scope *one = et_scope_open(), *two;
    et_tensor *x = PARAM((1), 3), *y;

    two = et_scope_open();
    y = et_square(x);
    ck_assert_ptr_nonnull(et_scope_open());
    ck_assert_ptr_nonnull(et_scope_open_root());
    ck_assert_int_eq(et_scope_unwind(two), 2);
    ck_assert_ptr_eq(et_scope_current(), two);
    ck_assert_int_eq(et_scope_unwind(two), 0);
    WORKS(et_backward(y));
    GRAD_HOLDS(x, (1), 6);
    ck_assert_int_eq(et_scope_unwind(one), 1);
    FAILS_STATUS((et_status)et_scope_unwind(two), ET_ESCOPE, "scope_unwind: the scope is not open");
    ck_assert_int_eq(et_scope_depth(), 2);
    WORKS(et_scope_close(one));
}
END_TEST

/* Out of a root into the scope around it: whoever was to read it on the tape that is gone is no
 * longer counted, so that it is kept for the rules of this one. */
START_TEST(counts_after_root)
{
    et_tensor *w = PARAM((2), 3, 5), *p = PARAM((2), 2, 4), *operand, *result, *y;
    et_scope *inner = et_scope_open(), *root = et_scope_open_root();

    operand = et_scope_return(root, et_mul_scalar(p, 2)); /* square reads it */
    result = et_scope_return(root, et_exp(p));            /* exp's own rule reads it */
    et_square(operand);
    WORKS(et_scope_close(root));
    ck_assert_int_eq(operand->saved_by, 0);
    ck_assert_int_eq(result->saved_by, 0);
    y = et_scope_return(inner, et_add(et_mul(operand, w), et_mul(result, w)));
    ck_assert_int_eq(operand->saved_by, 1);
    WORKS(et_scope_close(inner));
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(w, (2), 4 + exp(2), 8 + exp(4));
}
END_TEST

START_TEST(kept)
{
    et_tensor *x = PARAM((2), 1, 2), *lost = et_square(x), *kept = et_keep(et_mul_scalar(lost, 3));
    et_tensor *loss = et_sum(et_exp(kept), 0, NULL, false);

    WORKS(et_backward_from(loss, et_full(ET_F64, 0, NULL, 5), ET_RETAIN_GRAPH));
    GRAD_HOLDS(kept, (2), 5 * exp(3), 5 * exp(12));
    et_zero_grad_of(x);
    WORKS(et_backward(loss));
    HOLDS(kept, (2), 3, 12);
    GRAD_HOLDS(kept, (2), exp(3), exp(12));
    GRAD_HOLDS(x, (2), 6 * exp(3), 12 * exp(12));
    HOLDS_ONE(loss, exp(3) + exp(12));
    ck_assert_ptr_null(et_grad_of(lost));
    ck_assert_ptr_null(et_data(lost));
    PENDING(ET_ESCOPE, "released");
    /* What is read in another shape has a gradient in its own. */
    kept = et_keep(et_mul_scalar(PARAM((2, 2), 1, 2, 3, 4), 2));
    WORKS(et_backward_from(et_mul_scalar(et_reshape(kept, ET_SHAPE(4)), 5), REAL((4), 1, 2, 3, 4), 0));
    GRAD_HOLDS(kept, (2, 2), 5, 10, 15, 20);
}
END_TEST

/* A tensor in an inner scope that is closed may be looked at if it is kept. */
START_TEST(kept_in_closed_scope)
{
    et_tensor *x = PARAM((1), 2);
    et_scope *inner = et_scope_open();
    et_tensor *a = et_keep(et_add_scalar(x, 1)), *y = et_scope_return(inner, et_neg(a));

    WORKS(et_scope_close(inner));
    HOLDS(a, (1), 3);
    WORKS(et_backward_from(y, NULL, 0));
    HOLDS(a, (1), 3);
    GRAD_HOLDS(a, (1), -1);
}
END_TEST

START_TEST(no_grad_nests)
{
    et_tensor *x = PARAM((1), 2), *y;

    ck_assert(et_grad_enabled());
    et_no_grad_begin();
    et_no_grad_begin();
    et_no_grad_end();
    ck_assert(!et_grad_enabled());
    y = et_square(x);
    ck_assert(!y->requires_grad && !y->node);
    ck_assert_int_eq(et_tape_length(), 0);
    et_no_grad_end();
    et_no_grad_end(); /* one too many does no harm */
    ck_assert(et_grad_enabled());
    FAILS_STATUS(et_backward(y), ET_EGRAD, "no recorded op made this tensor");
    ck_assert(et_square(x)->requires_grad);
    ck_assert_int_eq(et_tape_length(), 1);
}
END_TEST

/* What leads to nothing that is trained is neither recorded nor kept. */
START_TEST(prunes)
{
    et_tensor *x = PARAM((2), 1, 2), *frozen = REAL((2), 3, 4), *a = et_exp(frozen), *b, *d;
    et_scope *inner;

    ck_assert_int_eq(et_tape_length(), 0);
    inner = et_scope_open();
    b = et_scope_return(inner, et_mul(et_sin(a), x));
    WORKS(et_scope_close(inner));
    ck_assert_int_eq(et_tape_length(), 1);
    d = et_detach(b);
    ck_assert(!d->requires_grad);
    ck_assert_ptr_eq(d->storage, b->storage);
    WORKS(et_backward_from(et_mul(b, d), NULL, 0)); /* d counts as a constant */
    GRAD_HOLDS(x, (2), pow(sin(exp(3)), 2), 2 * pow(sin(exp(4)), 2));
    ck_assert_ptr_null(et_grad_of(frozen));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scopes");
    TCase *tc = tcase_create("scopes");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_test(tc, inner_scope_releases);
    tcase_add_test(tc, let_go);
    tcase_add_test(tc, scope_returns);
    tcase_add_test(tc, root_returns);
    tcase_add_test(tc, scopes_in_order);
    tcase_add_test(tc, outermost_clears);
    tcase_add_test(tc, scopes_unwind);
    tcase_add_test(tc, counts_after_root);
    tcase_add_test(tc, kept);
    tcase_add_test(tc, kept_in_closed_scope);
    tcase_add_test(tc, no_grad_nests);
    tcase_add_test(tc, prunes);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
