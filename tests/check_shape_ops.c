/* What the ops mean that cut, join, index, choose, convert, order and move elements: values and
 * gradients written by hand, and wrong use. */
#include "config.h"

#include <stdlib.h>

#include "autograd/op.h"
#include "tensor/order.h"
#include "tests/values.h"

static et_tensor *counting(int ndim, const int64_t *shape)
{
    et_tensor *x = et_empty(values_real, ndim, shape);

    for (int64_t i = 0; i < x->numel; i++)
        et_set(et_view(x, ET_SHAPE(-1)), &i, (double)i);
    return x;
}

#define COUNTING(shape) counting(ET_SHAPE shape)
#define TRAIN(x) et_set_requires_grad((x), true)

START_TEST(slices)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((3, 4))), *y;

    HOLDS(et_slice(x, 0, 1, 3, 1), (2, 4), 4, 5, 6, 7, 8, 9, 10, 11);
    HOLDS(et_slice(x, 1, 0, 4, 3), (3, 2), 0, 3, 4, 7, 8, 11);
    HOLDS(et_slice(x, -1, -2, INT64_MAX, 1), (3, 2), 2, 3, 6, 7, 10, 11);
    HOLDS(et_slice(x, 0, -100, 1, 1), (1, 4), 0, 1, 2, 3);
    HOLDS_NONE(et_slice(x, 1, 3, 1, 1), (3, 0));
    HOLDS_NONE(et_slice(x, 0, 9, 12, 1), (0, 4));
    HOLDS(et_slice(x, 0, 0, 3, INT64_MAX), (1, 4), 0, 1, 2, 3);
    y = et_slice(et_slice(x, 1, 1, 4, 2), 0, 0, 3, 2);
    ck_assert_ptr_eq(y->storage, x->storage);
    HOLDS(y, (2, 2), 1, 3, 9, 11);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 2, 3, 4), 0));
    GRAD_HOLDS(x, (3, 4), 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4);
    FAILS(et_slice(x, 0, 0, 3, 0), ET_EINVAL, "slice: the step is 0");
    FAILS(et_slice(x, 0, 0, 3, -1), ET_EINVAL, "at least 1");
    FAILS(et_slice(x, 2, 0, 1, 1), ET_EINVAL, "dimension 2");
    FAILS(et_slice(et_scalar(values_real, 1), 0, 0, 1, 1), ET_EINVAL, "slice");
}
END_TEST

START_TEST(selects)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((2, 3)));

    HOLDS(et_select(x, 0, 1), (3), 3, 4, 5);
    HOLDS(et_select(x, 1, -1), (2), 2, 5);
    HOLDS_ONE(et_select(et_select(x, 0, -2), 0, 2), 2);
    WORKS(et_backward_from(et_select(x, 1, 1), REAL((2), 7, 9), 0));
    GRAD_HOLDS(x, (2, 3), 0, 7, 0, 0, 9, 0);
    FAILS(et_select(x, 0, 2), ET_EINVAL, "select: index 2");
    FAILS(et_select(x, 1, -4), ET_EINVAL, "index -4");
    FAILS(et_select(x, -3, 0), ET_EINVAL, "dimension -3");
}
END_TEST

START_TEST(splits_and_chunks)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((2, 5))), *p[5] = {NULL};

    ck_assert_int_eq(et_split(x, 1, 2, 5, p), 3);
    HOLDS(p[0], (2, 2), 0, 1, 5, 6);
    HOLDS(p[1], (2, 2), 2, 3, 7, 8);
    HOLDS(p[2], (2, 1), 4, 9);
    ck_assert_ptr_eq(p[2]->storage, x->storage);
    WORKS(et_backward_from(et_mul(p[0], p[1]), NULL, 0));
    GRAD_HOLDS(x, (2, 5), 2, 3, 0, 1, 0, 7, 8, 5, 6, 0);
    ck_assert_int_eq(et_split(x, 0, 100, 1, p), 1);
    HOLDS(et_select(p[0], 0, 1), (5), 5, 6, 7, 8, 9);
    ck_assert_int_lt(et_split(x, 1, 2, 2, p), 0);
    FAILS((void *)0, ET_EINVAL, "makes more than 2");
    ck_assert_int_lt(et_split(x, 1, 0, 2, p), 0);
    FAILS((void *)0, ET_EINVAL, "split");

    WORKS(et_chunk(x, 1, 5, p));
    HOLDS(p[4], (2, 1), 4, 9);
    WORKS(et_chunk(x, 0, 2, p));
    HOLDS(p[1], (1, 5), 5, 6, 7, 8, 9);
    FAILS_STATUS(et_chunk(x, 1, 2, p), ET_ESHAPE, "does not divide into 2");
    ck_assert_int_ne(et_chunk(x, 1, 0, p), ET_OK);
    et_error_clear();
}
END_TEST

START_TEST(joins)
{
    values_real = values_reals[_i];
    et_tensor *a = PARAM((2, 1), 1, 2), *b = PARAM((2, 2), 3, 4, 5, 6),
              *none = et_zeros(values_real, ET_SHAPE(2, 0));
    et_tensor *xs[4] = {a, none, b, a}, *y = et_concat(4, xs, 1);

    HOLDS(y, (2, 4), 1, 3, 4, 1, 2, 5, 6, 2);
    WORKS(et_backward_from(y, REAL((2, 4), 1, 2, 3, 4, 5, 6, 7, 8), 0));
    GRAD_HOLDS(a, (2, 1), 5, 13); /* both places */
    GRAD_HOLDS(b, (2, 2), 2, 3, 6, 7);
    HOLDS(et_concat(2, (et_tensor *[]){b, et_permute(b, ET_DIMS(1, 0))}, -2), (4, 2), 3, 4, 5, 6, 3, 5, 4, 6);
    FAILS(et_concat(0, xs, 0), ET_EINVAL, "nothing to put together");
    FAILS(et_concat(2, (et_tensor *[]){a, b}, 0), ET_ESHAPE, "shapes differ outside dimension 0");
    FAILS(et_concat(2, (et_tensor *[]){a, et_zeros(ET_I32, ET_SHAPE(2, 1))}, 0), ET_EDTYPE, "dtypes differ");
    FAILS(et_concat(2, (et_tensor *[]){a, NULL}, 0), ET_EINVAL, "operand 1 is NULL");

    et_tensor *u = PARAM((2), 1, 2), *v = PARAM((2), 3, 4);
    HOLDS(et_stack(2, (et_tensor *[]){u, v}, 0), (2, 2), 1, 2, 3, 4);
    y = et_stack(2, (et_tensor *[]){u, v}, -1);
    HOLDS(y, (2, 2), 1, 3, 2, 4);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 2, 3, 4), 0));
    GRAD_HOLDS(u, (2), 1, 3);
    GRAD_HOLDS(v, (2), 2, 4);
    HOLDS(et_stack(2, (et_tensor *[]){et_scalar(values_real, 8), et_scalar(values_real, 9)}, 0), (2), 8, 9);
    FAILS(et_stack(2, (et_tensor *[]){u, a}, 0), ET_ESHAPE, "differ");
    FAILS(et_stack(2, (et_tensor *[]){u, v}, 2), ET_EINVAL, "dimension");
    FAILS(et_stack(0, xs, 0), ET_EINVAL, "stack: 0 tensors");
}
END_TEST

START_TEST(gathers_and_scatters)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((3, 2))), *y;

    y = et_gather(x, 0, INTS((2, 2), 2, 0, 2, 1));
    HOLDS(y, (2, 2), 4, 1, 4, 3);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 2, 3, 4), 0));
    GRAD_HOLDS(x, (3, 2), 0, 2, 0, 4, 4, 0); /* twice from row 2 */
    HOLDS(et_gather(x, 1, INTS((3, 3), 0, 1, 0, 1, 1, 1, 0, 0, 0)), (3, 3), 0, 1, 0, 3, 3, 3, 4, 4, 4);
    FAILS(et_gather(x, 0, INTS((1, 2), 3, 0)), ET_EINVAL, "index 3 is outside 0 .. 2");
    FAILS(et_gather(x, 0, INTS((1, 2), -1, 0)), ET_EINVAL, "index -1");
    FAILS(et_gather(x, 0, INTS((2), 0, 0)), ET_ESHAPE, "does not fit");
    FAILS(et_gather(x, 0, INTS((1, 3), 0, 0, 0)), ET_ESHAPE, "index [1, 3] does not fit [3, 2]");
    FAILS(et_gather(x, 1, INTS((4, 1), 0, 0, 0, 0)), ET_ESHAPE, "index [4, 1] does not fit [3, 2]");
    FAILS(et_gather(x, 0, REAL((1, 2), 0, 0)), ET_EDTYPE, "expected int32");

    et_tensor *to = PARAM((3), 10, 20, 30), *src = PARAM((4), 1, 2, 3, 4);
    y = et_scatter_add(to, 0, INTS((4), 2, 0, 2, 2), src);
    HOLDS(y, (3), 12, 20, 38);
    WORKS(et_backward_from(y, REAL((3), 5, 6, 7), 0));
    GRAD_HOLDS(to, (3), 5, 6, 7);
    GRAD_HOLDS(src, (4), 7, 5, 7, 7);
    WORKS(et_backward_from(et_scatter_add(to, 0, INTS((4), 0, 1, 0, 2), src), REAL((3), 1, 2, 3), 0));
    GRAD_HOLDS(to, (3), 6, 8, 10);
    GRAD_HOLDS(src, (4), 8, 7, 8, 10);
    FAILS(et_scatter_add(to, 0, INTS((2), 0, 3), et_slice(src, 0, 0, 2, 1)), ET_EINVAL, "outside");
    FAILS(et_scatter_add(to, 0, INTS((2), 0, 1), src), ET_ESHAPE, "the source");
    FAILS(et_scatter_add(x, 0, INTS((1, 3), 0, 0, 0), REAL((1, 3), 1, 2, 3)), ET_ESHAPE, "does not fit");

    y = et_index_select(x, 0, INTS((3), 1, 1, 0));
    HOLDS(y, (3, 2), 2, 3, 2, 3, 0, 1);
    HOLDS(et_index_select(x, -1, INTS((1), 1)), (3, 1), 1, 3, 5);
    FAILS(et_index_select(x, 0, INTS((1, 1), 0)), ET_ESHAPE, "expected one dimension");
    FAILS(et_index_select(x, 1, INTS((1), 2)), ET_EINVAL, "outside");
}
END_TEST

/* As gather's and scatter_add's formulas say, element by element. */
static void check_gather(const et_tensor *x, int dim, const et_tensor *index, const et_tensor *y,
                         const et_tensor *gy, const et_tensor *gx)
{
    double *sums = calloc((size_t)x->numel + 1, sizeof *sums);
    et_tensor *g = et_reshape(et_detach((et_tensor *)gx), 1, &x->numel);

    for (int64_t i = 0; i < index->numel; i++) {
        int64_t at[ET_MAX_DIMS], from[ET_MAX_DIMS], rest = i, flat = 0;
        for (int d = x->ndim - 1; d >= 0; d--) {
            from[d] = at[d] = rest % index->shape[d];
            rest /= index->shape[d];
        }
        from[dim] = (int64_t)et_get(index, at);
        for (int d = 0; d < x->ndim; d++)
            flat = flat * x->shape[d] + from[d];
        ck_assert(et_get(y, at) == et_get(x, from));
        sums[flat] += et_get(gy, at);
    }
    for (int64_t i = 0; i < x->numel; i++)
        ck_assert(et_get(g, &i) == sums[i]);
    free(sums);
}

/* Every dimension of some shapes, by indices of their own, by the same for all that is behind, or along any
 * dimensions, and by none; sizes around those of vectors, cut as usual and finely. Whole numbers: sums are
 * exact. */
START_TEST(gathers_by_definition)
{
    static const int64_t shapes[][3] = {{5, 3, 17}, {2, 9, 1}, {1, 4, 33}, {40, 2, 64}, {3, 1, 2},
                                        {4, 9, 70}};
    const int64_t *shape = shapes[_i / 3];
    const int dim = _i % 3;
    et_rng rng = et_rng_make(5, 0);

    for (int kind = 0; kind < 14; kind++) {
        values_real = values_reals[kind % 2];
        const int spread = kind > 6 ? kind - 6 : 0; /* bits of dimensions */
        const int64_t count = kind == 6 ? 0 : kind < 4 || spread ? shape[dim] + kind : 1;
        int64_t wide[3] = {shape[0], shape[1], shape[2]}, cut[3];
        et_tensor *x = TRAIN(COUNTING((shape[0], shape[1], shape[2]))), *index, *y, *gy, *more;
        et_set_cutting(spread ? ET_CUT_FINE_REVERSED : kind == 2 || kind > 3 ? ET_CUT_FINE : ET_CUT_USUAL);
        wide[dim] = count;
        for (int d = 0; d < 3; d++)
            cut[d] = kind == 3 && d != dim ? (wide[d] + 1) / 2 : wide[d];
        index = kind < 4 || kind > 5 ? et_empty(ET_I32, 3, cut) : et_empty(ET_I32, 1, &count);
        int32_t *id = et_data_mut(index);
        for (int64_t i = 0; i < index->numel; i++)
            id[i] = (int32_t)et_rng_below(&rng, shape[dim]);
        for (int d = 0; d < 3; d++)
            if (spread >> d & 1)
                index->strides[d] = 0;
        y = index->ndim == 3 ? et_gather(x, dim, index) : et_index_select(x, dim, index);
        ck_assert_msg(y != NULL, "%s", et_error_message());
        if (index->ndim == 1)
            index = et_index_along(index, dim, 3, wide);
        gy = counting(3, y->shape);
        more = TRAIN(et_zeros(values_real, 3, y->shape));
        WORKS(et_backward_from(y, gy, 0));
        check_gather(x, dim, index, y, gy, et_grad_of(x));
        /* the other way about: scatter_add's sums, and its gradient */
        et_tensor *sum = et_scatter_add(et_zeros(values_real, 3, shape), dim, index, et_add(gy, more));
        check_gather(x, dim, index, y, gy, sum);
        WORKS(et_backward_from(sum, x, 0));
        check_gather(x, dim, index, et_grad_of(more), gy, et_grad_of(x));
    }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

/* Sums of what is added to one element are made in index's order, whatever the pieces. */
START_TEST(scatters_in_order)
{
    et_rng rng = et_rng_make(8, 0);

    values_real = values_reals[_i % 2];
    for (int c = 0; c < 4 * 16; c++) {
        const int64_t shape[4] = {3, 2, 3, 70};
        et_tensor *index = et_empty(ET_I32, 4, shape), *src = et_empty(values_real, 4, shape), *y[2];
        int32_t *id = et_data_mut(index);
        for (int64_t i = 0; i < index->numel; i++)
            id[i] = (int32_t)et_rng_below(&rng, 2);
        for (int d = 0; d < 4; d++)
            if (c >> d & 1)
                index->strides[d] = 0;
        WORKS(et_fill_normal(src, &rng, 0, 1));
        for (int k = 0; k < 2; k++) {
            et_set_cutting(k ? ET_CUT_FINE_REVERSED : ET_CUT_USUAL);
            y[k] = et_scatter_add(et_zeros(values_real, 4, shape), c / 16, index, src);
            et_set_cutting(ET_CUT_USUAL);
        }
        ck_assert(y[0] && y[1] && et_equal(y[0], y[1]));
    }
}
END_TEST

START_TEST(embeddings)
{
    values_real = values_reals[_i];
    et_tensor *w = PARAM((3, 2), 1, 2, 3, 4, 5, 6), *y = et_embedding(w, INTS((2, 2), 2, 0, 2, 1), 1), *g;

    HOLDS(y, (2, 2, 2), 5, 6, 1, 2, 5, 6, 3, 4);
    WORKS(et_backward_from(y, REAL((2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8), 0));
    GRAD_HOLDS(w, (3, 2), 3, 4, 0, 0, 6, 8); /* row 1 pads: read, but not trained */
    w = PARAM((2, 1), 1, 2);
    WORKS(et_backward_from(et_embedding(w, INTS((3), 0, 0, 1), -1), NULL, 0));
    GRAD_HOLDS(w, (2, 1), 2, 1);
    WORKS(et_backward_from(et_embedding(w, INTS((3), 0, 0, 1), 0), NULL, 0));
    GRAD_HOLDS(w, (2, 1), 2, 2);
    y = et_embedding(w, et_slice(INTS((4), 1, 0, 1, 1), 0, 0, 4, 2), 0); /* of every second id */
    WORKS(et_grad(1, &y, NULL, 1, &w, &g, ET_CREATE_GRAPH));
    HOLDS(g, (2, 1), 0, 2);
    FAILS(et_embedding(w, INTS((1), 2), -1), ET_EINVAL, "outside 0 .. 1");
    FAILS(et_embedding(w, INTS((1), -1), -1), ET_EINVAL, "index -1");
    FAILS(et_embedding(REAL((1), 1), INTS((1), 0), -1), ET_ESHAPE, "expected [words, width]");

    HOLDS(et_one_hot(INTS((2, 1), 2, 0), 3, values_real), (2, 1, 3), 0, 0, 1, 1, 0, 0);
    ck_assert(!et_one_hot(INTS((1), 0), 2, values_real)->requires_grad);
    FAILS(et_one_hot(INTS((1), 3), 3, values_real), ET_EINVAL, "outside");
    FAILS(et_one_hot(INTS((1), 0), 0, values_real), ET_EINVAL, "0 classes");
    FAILS(et_one_hot(INTS((1), 0), 3, ET_I32), ET_EDTYPE, "cannot make int32");
    FAILS(et_one_hot(REAL((1), 0), 3, values_real), ET_EDTYPE, "expected int32");
}
END_TEST

START_TEST(masks)
{
    values_real = values_reals[_i];
    et_tensor *a = PARAM((2, 2), 1, 2, 3, 4), *b = PARAM((1, 2), 8, 9), *y;

    y = et_where(MASK((2, 1), 1, 0), a, b);
    HOLDS(y, (2, 2), 1, 2, 8, 9);
    WORKS(et_backward_from(y, REAL((2, 2), 1, 2, 3, 4), 0));
    GRAD_HOLDS(a, (2, 2), 1, 2, 0, 0);
    GRAD_HOLDS(b, (1, 2), 3, 4);
    /* What is not chosen does not count, be it NaN. */
    a = PARAM((2), NAN, 2);
    y = et_where(MASK((2), 0, 200), a, et_zeros_like(a));
    HOLDS(y, (2), 0, 2);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(a, (2), 0, 1);
    FAILS(et_where(MASK((3), 0, 1, 0), a, a), ET_ESHAPE, "where: shapes do not broadcast");
    FAILS(et_where(INTS((2), 0, 1), a, a), ET_EDTYPE, "expected a uint8 mask");

    a = PARAM((2, 2), 1, 2, 3, 4);
    y = et_masked_fill(a, MASK((2), 0, 1), -INFINITY);
    HOLDS(y, (2, 2), 1, -INFINITY, 3, -INFINITY);
    WORKS(et_backward_from(y, REAL((2, 2), 5, 6, 7, 8), 0));
    GRAD_HOLDS(a, (2, 2), 5, 0, 7, 0);
    FAILS(et_masked_fill(a, MASK((3), 0, 1, 0), 0), ET_ESHAPE, "broadcast");
}
END_TEST

START_TEST(casts)
{
    values_real = ET_F32;
    et_tensor *x = PARAM((3), 1, -2.5, 1e-3), *y = et_cast(x, ET_F64);

    ck_assert_int_eq(y->dtype, ET_F64);
    HOLDS(et_cast(y, ET_F32), (3), 1, -2.5, 1e-3);
    WORKS(et_backward_from(y, et_to(REAL((3), 1, 2, 3), ET_F64), 0));
    ck_assert_int_eq(et_grad_of(x)->dtype, ET_F32);
    GRAD_HOLDS(x, (3), 1, 2, 3);
    FAILS(et_cast(x, ET_I32), ET_EGRAD, "cannot pass through int32");
    FAILS(et_cast(x, ET_BF16), ET_EGRAD, "cannot pass through bfloat16");

    et_tensor *plain = REAL((5), 1.9, -1.9, 3e9, NAN, 300);
    HOLDS(et_cast(plain, ET_I32), (5), 1, -1, 2147483647, 0, 300);
    HOLDS(et_cast(plain, ET_U8), (5), 1, 0, 255, 0, 255);
    /* bfloat16 has 8 bits: 257 falls halfway and goes to even, 259 to 260. */
    y = et_cast(REAL((4), 257, 259, -1.00390625, INFINITY), ET_BF16);
    ck_assert_int_eq(y->dtype, ET_BF16);
    HOLDS(et_cast(y, ET_F32), (4), 256, 260, -1, INFINITY);
    et_no_grad_begin();
    ck_assert_ptr_nonnull(et_cast(x, ET_BF16));
    et_no_grad_end();
}
END_TEST

START_TEST(orders)
{
    values_real = values_reals[_i];
    et_tensor *x = PARAM((2, 4), 2, 1, 2, 0, -1, NAN, 5, -INFINITY), *k, *y;

    y = et_sort(x, 1, false, &k);
    HOLDS(y, (2, 4), 0, 1, 2, 2, -INFINITY, -1, 5, NAN);
    HOLDS(k, (2, 4), 3, 1, 0, 2, 3, 0, 2, 1); /* the first 2 stays before the second */
    ck_assert_int_eq(k->dtype, ET_I32);
    WORKS(et_backward_from(y, REAL((2, 4), 1, 2, 3, 4, 5, 6, 7, 8), 0));
    GRAD_HOLDS(x, (2, 4), 3, 2, 4, 1, 6, 8, 7, 5);
    y = et_sort(et_detach(x), -1, true, &k);
    HOLDS(y, (2, 4), 2, 2, 1, 0, NAN, 5, -1, -INFINITY);
    HOLDS(k, (2, 4), 0, 2, 1, 3, 1, 2, 0, 3);
    HOLDS(et_argsort(x, 1, true), (2, 4), 0, 2, 1, 3, 1, 2, 0, 3);
    HOLDS(et_sort(COUNTING((3, 1)), 0, true, NULL), (3, 1), 2, 1, 0);
    FAILS(et_sort(x, 2, true, NULL), ET_EINVAL, "sort: dimension 2");
    FAILS(et_sort(INTS((1), 1), 0, true, NULL), ET_EDTYPE, "sort");
    FAILS(et_sort(et_zeros(values_real, ET_SHAPE(0, INT64_C(1) << 31)), 1, true, NULL), ET_ESHAPE,
          sizeof(size_t) > 4 ? "int32" : "too many elements");

    x = PARAM((5), 3, 7, 7, -1, 5);
    y = et_topk(x, 3, 0, &k);
    HOLDS(y, (3), 7, 7, 5);
    HOLDS(k, (3), 1, 2, 4);
    WORKS(et_backward_from(y, REAL((3), 1, 2, 3), 0));
    GRAD_HOLDS(x, (5), 0, 1, 2, 0, 3);
    HOLDS(et_topk(REAL((3), 1, NAN, 9), 1, 0, NULL), (1), NAN);
    FAILS(et_topk(x, 0, 0, NULL), ET_EINVAL, "topk: 0 of dimension 0");
    FAILS(et_topk(x, 6, 0, NULL), ET_EINVAL, "topk: 6");

    HOLDS(et_argmax(REAL((2, 3), 1, 5, 5, 2, NAN, NAN), 1, false), (2), 1, 1);
    HOLDS(et_argmax(REAL((2, 2), -2, -1, -1, -3), 0, true), (1, 2), 1, 0);
    FAILS(et_argmax(et_zeros(values_real, ET_SHAPE(2, 0)), 1, false), ET_ESHAPE, "no extremum");
}
END_TEST

/* -1, 0 or 1: how a and b stand in ascending order; a NaN is the largest number. */
static int compare(double a, double b)
{
    return isnan(a) || isnan(b) ? !!isnan(a) - !!isnan(b) : (a > b) - (a < b);
}

/* Of any number of elements, some of them equal, along each of three dimensions: every place once, in order
 * and those that are equal by their places; topk as the beginning of the whole; and gradients. */
START_TEST(orders_by_definition)
{
    static const int sizes[] = {1, 2, 15, 16, 17, 47, 48, 49, 50, 255, 300};
    static const double special[] = {0.0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 1e-40, -1e-40, 3e38};
    const int n = sizes[_i / 2], half = n / 2, quarter = n / 4;
    const int tops[] = {1, n, half ? half : 1, quarter ? quarter : 1, n < 10 ? 1 : n / 10};
    et_rng rng = et_rng_make(6, 0);

    values_real = values_reals[_i % 2];
    for (int kind = 0; kind < 6; kind++) {
        const int dim = kind % 3;
        const bool down = kind >= 3;
        int64_t shape[3] = {2, 1, 2}, at[3];
        shape[dim] = n;
        et_tensor *x = TRAIN(et_empty(values_real, 3, shape)), *k, *y, *z, *kz;
        et_tensor *flat = et_view(x, ET_SHAPE(-1));
        for (int64_t i = 0; i < x->numel; i++)
            et_set(flat, &i, i % 5 ? et_rng_normal(&rng) : special[et_rng_below(&rng, 10)]);
        y = et_sort(x, dim, down, &k);
        ck_assert_msg(y != NULL, "%s", et_error_message());
        et_tensor *gy = counting(3, y->shape);
        WORKS(et_backward_from(y, gy, 0));
        for (int row = 0; row < (dim == 1 ? 4 : 2); row++) {
            double last = 0, v;
            int64_t place, before = -1;
            char seen[300] = {0};
            for (int d = 0; d < 3; d++)
                at[d] = d == dim ? 0 : d == 2 || (dim == 2 && d == 0) ? row % 2 : row / 2;
            for (int i = 0; i < n; i++, last = v, before = place) {
                int64_t from[3] = {at[0], at[1], at[2]};
                at[dim] = i;
                v = et_get(y, at);
                from[dim] = place = (int64_t)et_get(k, at);
                const double here = et_get(x, from);
                ck_assert(place >= 0 && place < n && !seen[place]++);
                ck_assert(compare(here, v) == 0 && !signbit(here) == !signbit(v));
                const int order = i ? (down ? compare(v, last) : compare(last, v)) : -1;
                ck_assert(order < 0 || (order == 0 && before < place));
                ck_assert(et_get(et_grad_of(x), from) == et_get(gy, at));
            }
        }
        for (int t = 0; down && t < 5; t++) {
            et_zero_grad_of(x);
            y = et_sort(et_detach(x), dim, true, &k);
            z = et_topk(x, tops[t], dim, &kz);
            ck_assert_msg(z != NULL, "%s", et_error_message());
            ck_assert_int_eq(z->shape[dim], tops[t]);
            WORKS(et_backward_from(z, et_slice(gy, dim, 0, tops[t], 1), ET_RETAIN_GRAPH));
            WORKS(et_backward_from(z, et_slice(gy, dim, 0, tops[t], 1), 0));
            for (int64_t i = 0; i < y->numel; i++) {
                int64_t rest = i, from[3];
                for (int d = 2; d >= 0; rest /= shape[d--])
                    from[d] = at[d] = rest % shape[d];
                from[dim] = (int64_t)et_get(k, at);
                const bool in = at[dim] < tops[t];
                ck_assert(!in || et_get(kz, at) == et_get(k, at));
                ck_assert(!in || compare(et_get(z, at), et_get(y, at)) == 0);
                ck_assert(et_get(et_grad_of(x), from) == (in ? 2 * et_get(gy, at) : 0));
            }
        }
    }
}
END_TEST

/* The first k places of any number of elements; scratch memory is as large as et_order_bytes says. */
START_TEST(orders_in_scratch)
{
    static const int sizes[] = {1, 2, 48, 49, 60, 250};
    enum { MOST = 250, GUARD = 64 };
    char *scratch = malloc(et_order_bytes(MOST) + GUARD), guard[GUARD];
    double wide[3 * MOST];
    float narrow[3 * MOST];
    et_rng rng = et_rng_make(7, 0);

    ck_assert_ptr_nonnull(scratch);
    memset(guard, 0x5a, GUARD);
    for (int c = 0; c < 6 * 4 * 3 * 2 * 2 * 4; c++) {
        const int n = sizes[c % 6], step = 1 + c / 24 % 3;
        const int k = (const int[]){1, (n + 4) / 5, (n + 3) / 4, n}[c / 6 % 4];
        const bool down = c / 72 % 2, single = c / 144 % 2;
        const int kind = c / 288; /* whole, of which one byte differs, already in order, almost equal */
        const size_t bytes = et_order_bytes(n);
        char seen[MOST] = {0};
        for (int i = 0; i < step * n; i++) {
            const double v = (double)et_rng_below(&rng, 90);
            wide[i] = kind == 0 ? v - 45 : kind == 1 ? 1 + v / 128 : kind == 2 ? i / 2 : 1 + ldexp(v, -50);
            narrow[i] = (float)wide[i];
            if (single)
                wide[i] = narrow[i];
        }
        memcpy(scratch + bytes, guard, GUARD);
        const int32_t *at = et_order(single ? ET_F32 : ET_F64, n, single ? (void *)narrow : (void *)wide,
                                     step, down, k, scratch);
        ck_assert(!memcmp(scratch + bytes, guard, GUARD));
        for (int i = 0; i < k; i++) {
            ck_assert(at[i] >= 0 && at[i] < n && !seen[at[i]]++);
            const double v = wide[at[i] * step];
            for (int j = 0; j < n; j++) /* what is left comes later */
                if (!seen[j])
                    ck_assert(v == wide[j * step] ? at[i] < j : down == (v > wide[j * step]));
        }
    }
    free(scratch);
}
END_TEST

enum { LONGEST = 48 };

/* y must hold x's element at places[d][i] along each dimension d (y's last are x's), or `value` where one of
 * them is -1, and give its gradient to where elements came from, added to what is there. x counts. */
static void check_moved(et_tensor *x, et_tensor *y, int places[][LONGEST], double value)
{
    const int more = y->ndim - x->ndim;
    double *sums = calloc((size_t)x->numel + 1, sizeof *sums);
    et_tensor *gy = counting(y->ndim, y->shape);

    for (int64_t i = 0; i < y->numel; i++) {
        int64_t at[ET_MAX_DIMS], rest = i, from = 0, stride = 1;
        bool in = true;
        for (int d = y->ndim - 1; d >= 0; rest /= y->shape[d--]) {
            at[d] = rest % y->shape[d];
            if (d < more)
                continue;
            in = in && places[d][at[d]] >= 0;
            from += places[d][at[d]] * stride;
            stride *= x->shape[d - more];
        }
        ck_assert(et_get(y, at) == (in ? (double)from : value));
        if (in)
            sums[from] += (double)i;
    }
    WORKS(et_backward_from(y, gy, ET_RETAIN_GRAPH));
    WORKS(et_backward_from(y, gy, 0));
    for (int64_t i = 0; i < x->numel; i++)
        ck_assert(et_real_at(x, et_data(et_grad_of(x)), i) == 2 * sums[i]);
    et_zero_grad_of(x);
    free(sums);
}

static void whole(int places[][LONGEST])
{
    for (int d = 0; d < ET_MAX_DIMS; d++)
        for (int i = 0; i < LONGEST; i++)
            places[d][i] = i;
}

/* Around any dimension, by any number of places; long and short beside it. */
START_TEST(movements_by_definition)
{
    static const int64_t shapes[][3] = {{2, 3, 37}, {5, 4, 3}, {1, 1, 1}, {33, 2, 1}};
    int places[ET_MAX_DIMS][LONGEST];

    values_real = values_reals[_i % 2];
    et_set_cutting(_i / 2 ? ET_CUT_FINE_REVERSED : ET_CUT_USUAL);
    for (int c = 0; c < 12; c++) {
        et_tensor *x = TRAIN(counting(3, shapes[c / 3]));
        const int dim = c % 3, n = (int)x->shape[dim];
        whole(places);
        for (int i = 0; i < n; i++)
            places[dim][i] = n - 1 - i;
        check_moved(x, et_flip(x, dim), places, 0);
        for (int shift = -2 * n - 1; shift <= 2 * n + 1; shift++) {
            for (int i = 0; i < n; i++)
                places[dim][i] = (i - shift + 3 * n) % n;
            check_moved(x, et_roll(x, shift, n % 2 ? dim : dim - 3), places, 0);
        }
    }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

/* As many times as one likes, of none to four dimensions in up to all that there may be. */
START_TEST(repeats_by_definition)
{
    static const int64_t times[] = {2, 1, 3, 1, 1, 2, 1, 2};
    int places[ET_MAX_DIMS][LONGEST];

    values_real = values_reals[_i];
    for (int ndim = 0; ndim <= 4; ndim++)
        for (int n = ndim; n <= ET_MAX_DIMS; n++)
            for (int first = 0; first + n <= ET_MAX_DIMS; first++) {
                et_tensor *x = TRAIN(counting(ndim, (const int64_t[]){2, 3, 1, 2}));
                et_tensor *y = et_repeat(x, n, times + first);
                ck_assert_msg(y && y->ndim == n, "%s", et_error_message());
                whole(places);
                for (int d = 0; d < n; d++) {
                    const int64_t size = d < n - ndim ? 1 : x->shape[d - (n - ndim)];
                    ck_assert_int_eq(y->shape[d], size * times[first + d]);
                    for (int64_t i = 0; i < y->shape[d]; i++)
                        places[d][i] = (int)(i % size);
                }
                check_moved(x, y, places, 0);
            }
}
END_TEST

/* Around any of one to four dimensions. */
START_TEST(pads_by_definition)
{
    static const et_pad_mode modes[] = {ET_PAD_CONSTANT, ET_PAD_REFLECT, ET_PAD_REPLICATE};
    static const int64_t widths[] = {1, 2, 0, 3, 2, 0, 0, 0, 0, 1, 3, 3, 0, 0};
    int places[ET_MAX_DIMS][LONGEST];

    values_real = values_reals[_i % 2];
    et_set_cutting(_i / 2 ? ET_CUT_FINE_REVERSED : ET_CUT_USUAL);
    for (int c = 0; c < 3 * 4 * 4; c++) {
        const et_pad_mode mode = modes[c % 3];
        const int ndim = 1 + c / 3 % 4;
        const int64_t *around = widths + 2 * (c / 12);
        et_tensor *x = TRAIN(counting(ndim, (const int64_t[]){4, 5, 4, 19} + 4 - ndim));
        for (int n = 1; n <= ndim; n++) {
            et_tensor *y = et_pad(x, n, around, mode, -7);
            ck_assert_msg(y && y->ndim == ndim, "%s", et_error_message());
            whole(places);
            for (int i = 0; i < n; i++) {
                const int d = ndim - 1 - i, size = (int)x->shape[d], before = (int)around[2 * i];
                ck_assert_int_eq(y->shape[d], size + before + around[2 * i + 1]);
                for (int k = 0; k < y->shape[d]; k++) {
                    const int at = k - before, near = at < 0 ? 0 : at >= size ? size - 1 : at;
                    places[d][k] = at == near                ? at
                                   : mode == ET_PAD_CONSTANT ? -1
                                   : mode == ET_PAD_REFLECT  ? 2 * near - at
                                                             : near;
                }
            }
            if (n == 1 && c / 12 == 3)
                ck_assert_ptr_eq(y, x); /* nothing around */
            else
                check_moved(x, y, places, -7);
        }
    }
    et_set_cutting(ET_CUT_USUAL);
}
END_TEST

START_TEST(movements)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((2, 3))), *y;

    HOLDS(et_flip(x, 0), (2, 3), 3, 4, 5, 0, 1, 2);
    y = et_flip(x, -1);
    HOLDS(y, (2, 3), 2, 1, 0, 5, 4, 3);
    WORKS(et_backward_from(y, COUNTING((2, 3)), 0));
    GRAD_HOLDS(x, (2, 3), 2, 1, 0, 5, 4, 3);
    WORKS(et_backward_from(et_flip(x, -1), COUNTING((2, 3)), 0));
    GRAD_HOLDS(x, (2, 3), 4, 2, 0, 10, 8, 6);
    FAILS(et_flip(x, 2), ET_EINVAL, "flip: dimension 2");

    HOLDS(et_roll(x, 1, 1), (2, 3), 2, 0, 1, 5, 3, 4);
    HOLDS(et_roll(x, -4, 1), (2, 3), 1, 2, 0, 4, 5, 3);
    HOLDS(et_roll(x, 6, 0), (2, 3), 0, 1, 2, 3, 4, 5);
    x = TRAIN(COUNTING((3)));
    WORKS(et_backward_from(et_roll(x, 1, 0), REAL((3), 10, 20, 30), 0));
    GRAD_HOLDS(x, (3), 20, 30, 10);
    WORKS(et_backward_from(et_roll(x, 1, 0), REAL((3), 10, 20, 30), 0));
    GRAD_HOLDS(x, (3), 40, 60, 20);

    x = PARAM((1, 2), 1, 2);
    y = et_repeat(x, ET_SHAPE(2, 2, 1));
    HOLDS(y, (2, 2, 2), 1, 2, 1, 2, 1, 2, 1, 2);
    WORKS(et_backward_from(y, COUNTING((2, 2, 2)), 0));
    GRAD_HOLDS(x, (1, 2), 12, 16);
    HOLDS(et_repeat(x, ET_SHAPE(1, 2)), (1, 4), 1, 2, 1, 2);
    HOLDS_NONE(et_repeat(x, ET_SHAPE(0, 3)), (0, 6));
    HOLDS_NONE(et_repeat(x, ET_SHAPE(2, 1, 0, 1, 3)), (2, 1, 0, 1, 6));
    ck_assert_int_eq(et_repeat(x, ET_SHAPE(1, 1, 1, 300, 1))->shape[3], 300);
    FAILS(et_repeat(x, ET_SHAPE(2)), ET_EINVAL, "at least as many counts");
    FAILS(et_repeat(x, ET_SHAPE(2, -1)), ET_EINVAL, "repeat: -1 times");
}
END_TEST

START_TEST(pads)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((2, 3))), *y;

    y = et_pad(x, 2, (const int64_t[]){1, 0, 0, 1}, ET_PAD_CONSTANT, -7);
    HOLDS(y, (3, 4), -7, 0, 1, 2, -7, 3, 4, 5, -7, -7, -7, -7);
    WORKS(et_backward_from(y, COUNTING((3, 4)), 0));
    GRAD_HOLDS(x, (2, 3), 1, 2, 3, 5, 6, 7);
    WORKS(et_backward_from(et_pad(x, 1, (const int64_t[]){1, 1}, ET_PAD_CONSTANT, 0), COUNTING((2, 5)), 0));
    GRAD_HOLDS(x, (2, 3), 2, 4, 6, 11, 13, 15);
    HOLDS(et_pad(INTS((1, 2), 5, 6), 2, (const int64_t[]){0, 1, 1, 0}, ET_PAD_CONSTANT, 3), (2, 3), 3, 3, 3, 5,
          6, 3);
    et_zero_grad_of(x);
    y = et_pad(x, 1, (const int64_t[]){2, 1}, ET_PAD_REFLECT, 0);
    HOLDS(y, (2, 6), 2, 1, 0, 1, 2, 1, 5, 4, 3, 4, 5, 4);
    WORKS(et_backward_from(y, et_ones(values_real, ET_SHAPE(2, 6)), 0));
    GRAD_HOLDS(x, (2, 3), 1, 3, 2, 1, 3, 2);
    et_zero_grad_of(x);
    y = et_pad(x, 1, (const int64_t[]){2, 1}, ET_PAD_REPLICATE, 0);
    HOLDS(y, (2, 6), 0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5);
    WORKS(et_backward_from(y, et_ones(values_real, ET_SHAPE(2, 6)), 0));
    GRAD_HOLDS(x, (2, 3), 3, 1, 2, 3, 1, 2);
    FAILS(et_pad(x, 0, NULL, ET_PAD_CONSTANT, 1), ET_EINVAL, "widths for 0");
    HOLDS(et_pad(et_zeros(values_real, ET_SHAPE(0)), 1, (const int64_t[]){1, 1}, ET_PAD_CONSTANT, 4), (2), 4,
          4);
    FAILS(et_pad(x, 1, (const int64_t[]){3, 0}, ET_PAD_REFLECT, 0), ET_ESHAPE, "cannot be mirrored");
    FAILS(et_pad(x, 1, (const int64_t[]){-1, 0}, ET_PAD_CONSTANT, 0), ET_EINVAL, "negative widths");
    FAILS(et_pad(x, 3, (const int64_t[]){0, 0, 0, 0, 1, 1}, ET_PAD_CONSTANT, 0), ET_EINVAL, "widths for 3");
    FAILS(et_pad(x, 1, (const int64_t[]){1, INT64_C(1) << 31}, ET_PAD_CONSTANT, 0), ET_ESHAPE,
          "1 and 2147483648 elements around dimension 1 are too many");
}
END_TEST

START_TEST(positions)
{
    values_real = values_reals[_i];
    /* 10000^(2/4) = 100 */
    HOLDS(et_sinusoidal_positions(values_real, 3, 4, 0), (3, 4), 0, 1, 0, 1, sin(1), cos(1), sin(0.01),
          cos(0.01), sin(2), cos(2), sin(0.02), cos(0.02));
    HOLDS(et_sinusoidal_positions(values_real, 3, 2, 2), (3, 2), 0, 0, 0, 0, sin(1), cos(1));
    FAILS(et_sinusoidal_positions(values_real, 3, 5, 0), ET_EINVAL, "width 5");
    FAILS(et_sinusoidal_positions(ET_I32, 3, 4, 0), ET_EINVAL, "int32");
}
END_TEST

START_TEST(positions_of_a_grid)
{
    values_real = values_reals[_i];
    /* width 8: frequencies 1 and 10000^-1 */
    HOLDS(et_sinusoidal_positions_2d(values_real, 1, 2, 8), (2, 8), 0, 0, 1, 1, 0, 0, 1, 1, sin(1), sin(1e-4),
          cos(1), cos(1e-4), 0, 0, 1, 1);
    HOLDS(et_select(et_sinusoidal_positions_2d(values_real, 3, 2, 8), 0, 5), (8), sin(1), sin(1e-4), cos(1),
          cos(1e-4), sin(2), sin(2e-4), cos(2), cos(2e-4));
    HOLDS_NONE(et_sinusoidal_positions_2d(values_real, 0, 2, 8), (0, 8));
    FAILS(et_sinusoidal_positions_2d(values_real, 2, 2, 6), ET_EINVAL, "width 6");
    FAILS(et_sinusoidal_positions_2d(values_real, 2, 2, 4), ET_EINVAL, "width 4");
    FAILS(et_sinusoidal_positions_2d(values_real, INT64_MAX, 2, 8), ET_EINVAL, "positions");

    et_tensor *x = TRAIN(COUNTING((1, 5, 1))), *y = et_fit_positions(x, 1, 3);
    HOLDS(y, (1, 3, 1), 1, 2, 3); /* around the middle, 2 */
    HOLDS(et_fit_positions(x, 1, 2), (1, 2, 1), 1, 2);
    y = et_fit_positions(x, 2, 10); /* centres at -0.25, 0.25, 0.75, ... */
    HOLDS(et_select(y, 0, 1), (10, 1), 0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4);
    WORKS(et_backward_from(y, NULL, 0));
    GRAD_HOLDS(x, (1, 5, 1), 4, 4, 4, 4, 4);
    ck_assert_ptr_eq(et_fit_positions(x, 1, 5), x);
    FAILS(et_fit_positions(x, 0, 5), ET_EINVAL, "a grid of 0 x 5");
    FAILS(et_fit_positions(COUNTING((2, 3)), 2, 3), ET_ESHAPE, "[2, 3], expected [rows, cols, width]");
    FAILS(et_fit_positions(NULL, 2, 3), ET_EINVAL, "NULL");
}
END_TEST

START_TEST(patches)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((1, 2, 2, 4))), *y = et_patchify(x, 2, 2);

    HOLDS(y, (1, 2, 8), 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    HOLDS(et_reshape(et_unpatchify(y, 2, 2, 4, 2, 2), ET_SHAPE(16)), (16), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
          10, 11, 12, 13, 14, 15);
    HOLDS(et_patches(x, 2, 2, 2, 2), (1, 2, 8), 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    x = TRAIN(COUNTING((1, 1, 3, 3)));
    y = et_patches(x, 2, 2, 1, 1);
    HOLDS(y, (1, 4, 4), 0, 1, 3, 4, 1, 2, 4, 5, 3, 4, 6, 7, 4, 5, 7, 8);
    WORKS(et_backward_from(y, NULL, 0)); /* how many patches an element is in */
    GRAD_HOLDS(x, (1, 1, 3, 3), 1, 2, 1, 2, 4, 2, 1, 2, 1);
    HOLDS(et_patches(x, 1, 2, 2, 9), (1, 2, 2), 0, 1, 6, 7);
    FAILS(et_patchify(x, 2, 3), ET_ESHAPE, "not made of whole patches of 2 x 3");
    FAILS(et_patchify(COUNTING((3, 3)), 1, 1), ET_ESHAPE, "patchify: x is [3, 3], expected [B, C, H, W]");
    FAILS(et_patchify(x, 0, 1), ET_EINVAL, "patches of 0 x 1");
    FAILS(et_patchify(NULL, 1, 1), ET_EINVAL, "NULL");
    FAILS(et_patches(x, 4, 1, 1, 1), ET_ESHAPE, "smaller than a patch of 4 x 1");
    FAILS(et_patches(x, 1, 1, 1, 0), ET_EINVAL, "1 and 0 apart");
    FAILS(et_unpatchify(y, 2, 2, 4, 2, 2), ET_ESHAPE, "patches are [1, 4, 4], for 2 channels of 2 x 4");
    FAILS(et_unpatchify(y, 1, 4, 4, 0, 2), ET_ESHAPE, "blocks of 0 x 2");
    FAILS(et_unpatchify(et_zeros(values_real, ET_SHAPE(1, 0, 1)), 1, INT64_C(1) << 61, 8, 1, 1), ET_ESHAPE,
          "patches are [1, 0, 1]");
    FAILS(et_unpatchify(NULL, 1, 4, 4, 2, 2), ET_EINVAL, "NULL");
}
END_TEST

START_TEST(reversals)
{
    values_real = values_reals[_i];
    et_tensor *x = TRAIN(COUNTING((3, 4))), *y = et_reverse_by_length(x, INTS((3), 4, 1, 3));

    HOLDS(y, (3, 4), 3, 2, 1, 0, 4, 5, 6, 7, 10, 9, 8, 11);
    WORKS(et_backward_from(y, COUNTING((3, 4)), 0));
    GRAD_HOLDS(x, (3, 4), 3, 2, 1, 0, 4, 5, 6, 7, 10, 9, 8, 11);
    HOLDS(et_reverse_by_length(COUNTING((1, 2, 2)), INTS((1), 2)), (1, 2, 2), 2, 3, 0, 1);
    y = et_reverse_by_length(x, et_select(INTS((3, 2), 4, 9, 1, 9, 3, 9), 1, 0));
    HOLDS(y, (3, 4), 3, 2, 1, 0, 4, 5, 6, 7, 10, 9, 8, 11);
    if (sizeof(size_t) > 4)
        FAILS(et_reverse_by_length(et_expand(REAL((1, 1), 1), ET_SHAPE(1, INT64_C(1) << 31)), INTS((1), 1)),
              ET_ESHAPE, "[1, 2147483648] and lengths [1]");
    FAILS(et_reverse_by_length(x, INTS((3), 4, 5, 1)), ET_EINVAL, "length 5 of sequence 1 is outside 0 .. 4");
    FAILS(et_reverse_by_length(x, INTS((3), 4, -1, 1)), ET_EINVAL, "length -1");
    FAILS(et_reverse_by_length(x, INTS((2), 1, 1)), ET_ESHAPE, "lengths [2]");
    FAILS(et_reverse_by_length(x, MASK((3), 1, 1, 1)), ET_EDTYPE, "lengths are uint8");
    FAILS(et_reverse_by_length(x, NULL), ET_EINVAL, "NULL");
}
END_TEST

/* Items go or stay as a whole, those that stay grow by 1 / (1 - p). */
START_TEST(paths)
{
    values_real = values_reals[_i];
    et_rng rng = et_rng_make(3, 0);
    et_tensor *x = TRAIN(et_ones(values_real, ET_SHAPE(4000, 2))), *y = et_drop_path(x, 0.25, true, &rng);
    int64_t kept = 0;

    WORKS(et_backward_from(y, NULL, ET_RETAIN_GRAPH));
    for (int64_t i = 0; i < 4000; i++) {
        double a = et_get(y, (const int64_t[]){i, 0});
        ck_assert(a == 0 || fabs(a - 4 / 3.0) < 1e-6);
        ck_assert(a == et_get(y, (const int64_t[]){i, 1}));
        ck_assert(a == et_get(et_grad_of(x), (const int64_t[]){i, 1}));
        kept += a > 0;
    }
    ck_assert(kept > 2880 && kept < 3120);
    ck_assert_ptr_eq(et_drop_path(x, 0.25, false, &rng), x);
    ck_assert_ptr_eq(et_drop_path(x, 0, true, &rng), x);
    FAILS(et_drop_path(et_scalar(values_real, 1), 0.5, true, NULL), ET_ESHAPE, "drop_path: x is");
    FAILS(et_drop_path(NULL, 0.5, true, NULL), ET_EINVAL, "NULL");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shape ops");
    TCase *tc = tcase_create("semantics");

    tcase_add_checked_fixture(tc, values_begin, values_end);
    tcase_add_loop_test(tc, slices, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, selects, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, splits_and_chunks, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, joins, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, gathers_and_scatters, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, gathers_by_definition, 0, 18);
    tcase_add_loop_test(tc, scatters_in_order, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, embeddings, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, masks, 0, VALUES_N_REALS);
    tcase_add_test(tc, casts);
    tcase_add_loop_test(tc, orders, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, orders_by_definition, 0, 22);
    tcase_add_test(tc, orders_in_scratch);
    tcase_add_loop_test(tc, movements_by_definition, 0, 4);
    tcase_add_loop_test(tc, repeats_by_definition, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, pads_by_definition, 0, 4);
    tcase_add_loop_test(tc, movements, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, pads, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, positions, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, positions_of_a_grid, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, patches, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, reversals, 0, VALUES_N_REALS);
    tcase_add_loop_test(tc, paths, 0, VALUES_N_REALS);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
