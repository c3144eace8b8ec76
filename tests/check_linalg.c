/* matmul, linear, additive scores and attention against their definitions: values, layouts, threads, misuse.
 * Their gradients are checked with all other operators'. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/ops.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tests/files.h"
#include "tests/grad_sweep.h"
#include "tests/in_scope.h"
#include "tests/suite.h"

static et_tensor *random_tensor(et_dtype dtype, int ndim, const int64_t *shape, uint64_t seed)
{
    et_rng rng = et_rng_make(seed, 3);
    et_tensor *x = et_empty(ET_F32, ndim, shape);

    ck_assert_ptr_nonnull(x);
    ck_assert_int_eq(et_fill_uniform(x, &rng, -1, 1), ET_OK);
    return dtype == ET_F32 ? x : et_to(x, dtype);
}

static double at2(const et_tensor *x, int64_t i, int64_t j) { return et_get(x, (const int64_t[]){i, j}); }

static double at3(const et_tensor *x, int64_t i, int64_t j, int64_t k)
{
    return et_get(x, (const int64_t[]){i, j, k});
}

static double at4(const et_tensor *x, int64_t i, int64_t j, int64_t k, int64_t l)
{
    return et_get(x, (const int64_t[]){i, j, k, l});
}

/* x with two dimensions exchanged, as a view. */
static et_tensor *swapped(const et_tensor *x, int a, int b)
{
    int64_t shape[ET_MAX_DIMS], strides[ET_MAX_DIMS];

    memcpy(shape, x->shape, sizeof shape);
    memcpy(strides, x->strides, sizeof strides);
    shape[a] = x->shape[b], shape[b] = x->shape[a];
    strides[a] = x->strides[b], strides[b] = x->strides[a];
    return et_raw_view(x, x->ndim, shape, strides, x->offset);
}

#define ck_near(a, b, tol) \
    ck_assert_msg(fabs((a) - (b)) <= (tol), "%.9g instead of %.9g", (double)(a), (double)(b))

/* --- matmul ------------------------------------------------------------------------- */

START_TEST(matmul_batches)
{
    /* [2, 1, 3, 4] x [5, 4, 6] -> [2, 5, 3, 6], a permuted view against a plain tensor */
    et_tensor *a = swapped(random_tensor(ET_F32, ET_SHAPE(2, 3, 1, 4), 1), 1, 2);
    et_tensor *b = random_tensor(ET_F32, ET_SHAPE(5, 4, 6), 2), *y = et_matmul(a, b);

    ck_assert_ptr_nonnull(y);
    ck_assert(y->ndim == 4 && y->shape[0] == 2 && y->shape[1] == 5 && y->shape[2] == 3 && y->shape[3] == 6);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < 5; j++)
            for (int64_t r = 0; r < 3; r++)
                for (int64_t c = 0; c < 6; c++) {
                    double sum = 0;
                    for (int64_t p = 0; p < 4; p++)
                        sum += at4(a, i, 0, r, p) * at3(b, j, p, c);
                    ck_near(at4(y, i, j, r, c), sum, 1e-6);
                }
}
END_TEST

START_TEST(matmul_vectors)
{
    et_tensor *v = random_tensor(ET_F64, ET_SHAPE(4), 1), *m = random_tensor(ET_F64, ET_SHAPE(4, 3), 2);
    et_tensor *vm = et_matmul(v, m), *mv = et_matmul_t(m, v, true, false), *vv = et_matmul(v, v);
    double square = 0;

    ck_assert(vm && mv && vv);
    ck_assert(vm->ndim == 1 && vm->shape[0] == 3 && mv->ndim == 1 && mv->shape[0] == 3 && vv->ndim == 0);
    for (int64_t j = 0; j < 3; j++) {
        double sum = 0;
        for (int64_t p = 0; p < 4; p++)
            sum += et_get(v, &p) * at2(m, p, j);
        ck_near(et_get(vm, &j), sum, 1e-14);
        ck_near(et_get(mv, &j), sum, 1e-14);
    }
    for (int64_t p = 0; p < 4; p++)
        square += et_get(v, &p) * et_get(v, &p);
    ck_near(et_item(vv), square, 1e-14);
}
END_TEST

START_TEST(matmul_transposes)
{
    for (int t = 0; t < 4; t++) {
        et_tensor *a = random_tensor(ET_F32, t & 1 ? 2 : 2, t & 1 ? (const int64_t[]){7, 5}
                                                                  : (const int64_t[]){5, 7}, 1);
        et_tensor *b = random_tensor(ET_F32, 2, t & 2 ? (const int64_t[]){6, 7} : (const int64_t[]){7, 6}, 2);
        et_tensor *y = et_matmul_t(a, b, t & 1, t & 2);
        ck_assert_ptr_nonnull(y);
        for (int64_t i = 0; i < 5; i++)
            for (int64_t j = 0; j < 6; j++) {
                double sum = 0;
                for (int64_t p = 0; p < 7; p++)
                    sum += (t & 1 ? at2(a, p, i) : at2(a, i, p)) * (t & 2 ? at2(b, j, p) : at2(b, p, j));
                ck_near(at2(y, i, j), sum, 2e-6);
            }
    }
}
END_TEST

/* --- linear --------------------------------------------------------------------------- */

static double act_value(et_act act, double x)
{
    switch (act) {
    case ET_ACT_RELU: return x > 0 ? x : 0;
    case ET_ACT_TANH: return tanh(x);
    case ET_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case ET_ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2.0));
    default: return x;
    }
}

START_TEST(linear_values)
{
    const et_act act = (et_act)_i;
    et_tensor *wide = random_tensor(ET_F32, ET_SHAPE(2, 9, 8), 1);
    /* rows that lie apart: columns 1 .. 5 of eight */
    et_tensor *x = et_raw_view(wide, ET_SHAPE(2, 9, 5), wide->strides, wide->offset + 1);
    et_tensor *w = random_tensor(ET_F32, ET_SHAPE(11, 5), 2), *b = random_tensor(ET_F32, ET_SHAPE(11), 3);
    et_tensor *y = et_linear_act(x, w, b, act), *bare = et_linear(x, w, NULL);

    ck_assert(y && bare && y->ndim == 3 && y->shape[2] == 11);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t r = 0; r < 9; r++)
            for (int64_t o = 0; o < 11; o++) {
                double sum = 0;
                for (int64_t p = 0; p < 5; p++)
                    sum += at3(x, i, r, p) * at2(w, o, p);
                ck_near(at3(bare, i, r, o), sum, 2e-6);
                ck_near(at3(y, i, r, o), act_value(act, sum + et_get(b, &o)), 3e-6);
            }
}
END_TEST

/* --- additive scores ------------------------------------------------------------------ */

enum { STATES, INNER, SHIFT, OUTER, N_SCORED };

enum { ROWS = 4500, WIDE = 40, UNITS = 48 }; /* several shards of several blocks */

/* u [2, ROWS, WIDE] as columns 1 .. WIDE of WIDE + 3, w [UNITS, WIDE], b, v; gradients of all in g. Composed
 * or in one op. */
static et_tensor *score(et_dtype dtype, bool composed, unsigned flags, et_tensor **g)
{
    et_tensor *wide = et_set_requires_grad(random_tensor(dtype, ET_SHAPE(2, ROWS, WIDE + 3), 1), true), *e;
    et_tensor *u = et_slice(wide, 2, 1, WIDE + 1, 1), *p[N_SCORED] = {wide};

    p[INNER] = et_set_requires_grad(random_tensor(dtype, ET_SHAPE(UNITS, WIDE), 2), true);
    p[SHIFT] = et_set_requires_grad(random_tensor(dtype, ET_SHAPE(UNITS), 3), true);
    p[OUTER] = et_set_requires_grad(random_tensor(dtype, ET_SHAPE(1, UNITS), 4), true);
    e = composed ? et_view(et_linear(et_tanh(et_linear(u, p[INNER], p[SHIFT])), p[OUTER], NULL),
                           ET_SHAPE(2, ROWS))
                 : et_additive_scores(u, p[INNER], p[SHIFT], p[OUTER]);
    ck_assert_ptr_nonnull(et_keep(e));
    et_tensor *de = random_tensor(dtype, ET_SHAPE(2, ROWS), 5);
    ck_assert_int_eq(et_grad(1, &e, &de, N_SCORED, p, g, flags), ET_OK);
    return e;
}

START_TEST(additive_scores)
{
    et_tensor *want[N_SCORED], *got[N_SCORED], *first[N_SCORED];
    et_tensor *y = score(ET_F64, true, 0, want), *e = score(ET_F64, false, 0, got);

    for (int i = -1; i < N_SCORED; i++) {
        const et_tensor *a = i < 0 ? y : want[i], *b = i < 0 ? e : got[i];
        ck_assert(et_same_shape(a, b));
        for (int64_t j = 0; j < a->numel; j++)
            ck_assert_double_eq_tol(et_data_f64(a)[j], et_data_f64(b)[j], 1e-12);
    }
    const int before = et_get_num_threads(), threads[] = {1, 2, 3, 8};
    for (int t = 0; t < 4; t++) {
        ck_assert_int_eq(et_set_num_threads(threads[t]), ET_OK);
        e = score(ET_F32, false, t ? 0 : ET_RETAIN_GRAPH, t ? got : first);
        y = t ? y : e;
        ck_assert(et_equal(e, y));
        for (int i = 0; t && i < N_SCORED; i++)
            ck_assert_msg(et_equal(got[i], first[i]), "%d threads: gradient %d", threads[t], i);
    }
    ck_assert_int_eq(et_set_num_threads(before), ET_OK);
}
END_TEST

static et_tensor *make_scores(void *user)
{
    et_tensor *const *p = user;

    return et_additive_scores(p[STATES], p[INNER], p[SHIFT], p[OUTER]);
}

/* Whatever the call that failed has written over. */
START_TEST(scores_again_after_an_error)
{
    et_tensor *p[] = {random_tensor(ET_F32, ET_SHAPE(ROWS, WIDE), 1),
                      random_tensor(ET_F32, ET_SHAPE(UNITS, WIDE), 2),
                      random_tensor(ET_F32, ET_SHAPE(UNITS), 3), random_tensor(ET_F32, ET_SHAPE(UNITS), 4)};
    const int before = et_get_num_threads();

    for (int i = 0; i < N_SCORED; i++)
        et_set_requires_grad(p[i], true);
    ck_assert_int_eq(et_set_num_threads(1), ET_OK);
    ck_assert_int_gt(grad_sweep("additive_scores", make_scores, p, N_SCORED, p), 0);
    ck_assert_int_eq(et_set_num_threads(before), ET_OK);
}
END_TEST

/* --- attention ----------------------------------------------------------------------------- */

typedef struct attention_case {
    int64_t b, h, tq, tk, dk, dv;
    bool causal, bias, mask, merge;
} attention_case;

static const attention_case cases[] = {
    {2, 3, 7, 7, 4, 4, false, false, false, false}, {2, 2, 64, 64, 32, 32, false, false, false, true},
    {1, 2, 130, 200, 16, 24, false, true, false, false}, {1, 2, 130, 131, 8, 9, true, false, true, true},
    {2, 1, 49, 512, 5, 3, true, true, true, false}, {3, 1, 1, 33, 8, 8, false, true, true, false},
};

/* The definition, in double. */
static void attention_reference(const attention_case *c, const et_tensor *q, const et_tensor *k,
                                const et_tensor *v, const et_tensor *bias, const et_tensor *mask, int64_t b,
                                int64_t h, int64_t i, double *p, double *y)
{
    double sum = 0;

    for (int64_t j = 0; j < c->tk; j++) {
        double s = 0;
        for (int64_t d = 0; d < c->dk; d++)
            s += at4(q, b, h, i, d) * at4(k, b, h, j, d);
        s = s / sqrt((double)c->dk) + (bias ? at3(bias, h, i, j) : 0);
        if ((c->causal && j > i) || (mask && at4(mask, b, 0, 0, j) == 0))
            s = -INFINITY;
        p[j] = exp(s);
        sum += p[j];
    }
    for (int64_t j = 0; j < c->tk; j++)
        p[j] = sum > 0 ? p[j] / sum : 0;
    for (int64_t d = 0; d < c->dv; d++) {
        y[d] = 0;
        for (int64_t j = 0; j < c->tk; j++)
            y[d] += p[j] * at4(v, b, h, j, d);
    }
}

START_TEST(attention_values)
{
    const attention_case *c = &cases[_i / 2];
    const et_dtype dtype = _i % 2 ? ET_F64 : ET_F32;
    const double tol = dtype == ET_F32 ? 3e-6 : 1e-13;
    /* q is a view of [B, T, H, d], as a projection leaves it; k and v are plain */
    et_tensor *q = swapped(random_tensor(dtype, ET_SHAPE(c->b, c->tq, c->h, c->dk), 1), 1, 2);
    et_tensor *k = random_tensor(dtype, ET_SHAPE(c->b, c->h, c->tk, c->dk), 2);
    et_tensor *v = random_tensor(dtype, ET_SHAPE(c->b, c->h, c->tk, c->dv), 3);
    et_tensor *bias = c->bias ? random_tensor(dtype, ET_SHAPE(c->h, c->tq, c->tk), 4) : NULL;
    et_tensor *mask = c->mask ? et_empty(ET_U8, ET_SHAPE(c->b, 1, 1, c->tk)) : NULL;
    const et_attention_opts opts = {.causal = c->causal, .merge_heads = c->merge};
    double p[512], y[64];
    et_tensor *w, *out;

    if (mask) {
        et_rng rng = et_rng_make(8, 8);
        ck_assert_int_eq(et_fill_bernoulli(mask, &rng, 0.6), ET_OK);
        if (c->b > 1) /* a sequence of padding alone */
            for (int64_t j = 0; j < c->tk; j++)
                et_set(mask, (const int64_t[]){1, 0, 0, j}, 0);
    }
    if (bias && mask) { /* one op takes one mask: fold the bytes into the bias, as users do */
        bias = et_empty(dtype, ET_SHAPE(c->b, c->h, c->tq, c->tk));
        for (int64_t b = 0; b < c->b; b++)
            for (int64_t h = 0; h < c->h; h++)
                for (int64_t i = 0; i < c->tq; i++)
                    for (int64_t j = 0; j < c->tk; j++)
                        et_set(bias, (const int64_t[]){b, h, i, j},
                               at4(mask, b, 0, 0, j) == 0 ? -INFINITY
                                                          : (double)(i % 3) - (double)(j % 5) / 2);
    }
    out = et_attention_weights(q, k, v, bias ? bias : mask, &opts, &w);
    ck_assert_msg(out != NULL, "%s", et_error_message());
    et_tensor *alone = et_attention(q, k, v, bias ? bias : mask, &opts);
    ck_assert(alone && et_equal(alone, out));
    for (int64_t b = 0; b < c->b; b++)
        for (int64_t h = 0; h < c->h; h++)
            for (int64_t i = 0; i < c->tq; i++) {
                et_tensor *own = bias && mask ? et_raw_view(bias, 3, bias->shape + 1, bias->strides + 1,
                                                            bias->offset + b * bias->strides[0])
                                              : bias;
                attention_reference(c, q, k, v, own, mask, b, h, i, p, y);
                for (int64_t j = 0; j < c->tk; j++)
                    ck_near(at4(w, b, h, i, j), p[j], tol);
                for (int64_t d = 0; d < c->dv; d++)
                    ck_near(c->merge ? at3(out, b, i, h * c->dv + d) : at4(out, b, h, i, d), y[d], tol);
            }
}
END_TEST

/* A mask that broadcasts, real or of bytes, is as if it were written out. */
START_TEST(attention_masks)
{
    const int64_t size[4] = {2, 3, 70, 5};
    et_tensor *q = random_tensor(ET_F64, ET_SHAPE(2, 3, 70, 4), 1);
    et_tensor *k = random_tensor(ET_F64, ET_SHAPE(2, 3, 5, 4), 2);
    et_tensor *v = random_tensor(ET_F64, ET_SHAPE(2, 3, 5, 2), 3);
    et_rng rng = et_rng_make(8, 8);

    for (int form = 0; form < 64; form++) { /* of which dimensions there is one; of bytes; a transposed view */
        int64_t shape[4], stored[4];
        for (int d = 0; d < 4; d++)
            shape[d] = form >> d & 1 ? 1 : size[d];
        for (int d = 0; d < 4; d++)
            stored[d] = shape[form & 32 && d >= 2 ? 5 - d : d];
        et_tensor *mask = form & 16 ? et_empty(ET_U8, 4, stored) : random_tensor(ET_F64, 4, stored, 4);
        if (form & 16)
            ck_assert_int_eq(et_fill_bernoulli(mask, &rng, 0.6), ET_OK);
        if (form & 32)
            mask = swapped(mask, 2, 3);
        et_tensor *whole = et_empty(mask->dtype, 4, size);
        for (int64_t i = 0; i < whole->numel; i++) {
            const int64_t at[4] = {i / 5 / 70 / 3, i / 5 / 70 % 3, i / 5 % 70, i % 5};
            int64_t from[4];
            for (int d = 0; d < 4; d++)
                from[d] = shape[d] == 1 ? 0 : at[d];
            et_set(whole, at, et_get(mask, from));
        }
        et_tensor *y = et_attention(q, k, v, mask, NULL), *want = et_attention(q, k, v, whole, NULL);
        ck_assert_msg(y && want && et_allclose(y, want, 0, 1e-12, false), "form %d", form);
    }
}
END_TEST

START_TEST(attention_packed)
{
    enum { B = 2, T = 50, H = 3, D = 8 };
    et_tensor *qkv = random_tensor(ET_F32, ET_SHAPE(B, T, 3 * H * D), 1), *part[3];
    const int64_t strides[4] = {T * 3 * H * D, D, 3 * H * D, 1};
    const et_attention_opts opts = {.causal = true, .merge_heads = true};

    for (int i = 0; i < 3; i++)
        part[i] = et_raw_view(qkv, ET_SHAPE(B, H, T, D), strides, qkv->offset + i * H * D);
    et_tensor *a = et_attention_qkv(qkv, H, NULL, &opts),
              *b = et_attention(part[0], part[1], part[2], NULL, &opts);
    ck_assert(a && b && et_equal(a, b));
    ck_assert(a->ndim == 3 && a->shape[2] == H * D);
}
END_TEST

/* Each weight of all, in row-major order, has a word of the generator to itself. */
START_TEST(attention_dropout)
{
    enum { B = 2, H = 2, TQ = 120, TK = 121 };
    et_tensor *q = random_tensor(ET_F64, ET_SHAPE(B, H, TQ, 4), 1),
              *k = random_tensor(ET_F64, ET_SHAPE(B, H, TK, 4), 2);
    et_tensor *eye = et_zeros(ET_F64, ET_SHAPE(B, H, TK, TK)), *w;
    et_rng rng = et_rng_make(3, 0), words, again = rng;
    et_attention_opts opts = {.dropout = 0.25, .rng = &rng, .causal = _i};
    int64_t kept = 0, seen = 0;

    et_rng_u32(&rng); /* not only from the beginning of a stream */
    again = words = rng;
    for (int64_t i = 0; i < B * H * TK; i++)
        et_set(eye, (const int64_t[]){i / TK / H, i / TK % H, i % TK, i % TK}, 1);
    /* with V = I the result is the weights after dropout */
    et_tensor *y = et_attention_weights(q, k, eye, NULL, &opts, &w);
    ck_assert_ptr_nonnull(y);
    ck_assert_int_eq((int64_t)(rng.counter - again.counter), B * H * TQ * TK);
    for (int64_t at = 0; at < B * H * TQ * TK; at++) {
        const int64_t b = at / TK / TQ / H, h = at / TK / TQ % H, i = at / TK % TQ, j = at % TK;
        const bool keep = et_rng_u32(&words) >= 1u << 30;
        ck_near(at4(y, b, h, i, j), keep ? at4(w, b, h, i, j) / 0.75 : 0, 1e-13);
        seen += !opts.causal || j <= i;
        kept += at4(y, b, h, i, j) != 0;
    }
    ck_near((double)kept / (double)seen, 0.75, 0.02);
    opts.rng = &again;
    ck_assert(et_equal(y, et_attention(q, k, eye, NULL, &opts)));
    ck_assert(!et_equal(y, et_attention(q, k, eye, NULL, &opts))); /* the generator went on */
}
END_TEST

START_TEST(attention_given_weights)
{
    et_tensor *v = random_tensor(ET_F32, ET_SHAPE(2, 3, 5, 4), 1);
    et_tensor *weights = et_full(ET_F32, ET_SHAPE(2, 3, 6, 5), 0.2), *w;
    const et_attention_opts opts = {.weights = weights, .merge_heads = true};
    et_tensor *q = random_tensor(ET_F32, ET_SHAPE(2, 3, 6, 2), 2),
              *k = random_tensor(ET_F32, ET_SHAPE(2, 3, 5, 2), 3);
    et_tensor *y = et_attention_weights(q, k, v, NULL, &opts, &w);

    ck_assert(y && w == weights && y->ndim == 3 && y->shape[1] == 6 && y->shape[2] == 12);
    for (int64_t h = 0; h < 3; h++)
        for (int64_t d = 0; d < 4; d++) {
            double mean = 0;
            for (int64_t j = 0; j < 5; j++)
                mean += at4(v, 1, h, j, d) / 5;
            ck_near(at3(y, 1, 2, h * 4 + d), mean, 1e-6);
        }
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------ */

static et_tensor *leaf(int ndim, const int64_t *shape, uint64_t seed)
{
    return et_set_requires_grad(random_tensor(ET_F32, ndim, shape, seed), true);
}

/* Results and gradients, the same bits for any number of threads. */
START_TEST(threads)
{
    static const int counts[] = {1, 2, 3, 8};
    et_tensor *first[8] = {NULL};

    for (int t = 0; t < 4; t++) {
        ck_assert_int_eq(et_set_num_threads(counts[t]), ET_OK);
        et_tensor *x = leaf(ET_SHAPE(4, 150, 96), 1), *w = leaf(ET_SHAPE(288, 96), 2),
                  *b = leaf(ET_SHAPE(288), 3);
        et_tensor *bias = leaf(ET_SHAPE(3, 150, 150), 4), *w2 = leaf(ET_SHAPE(96, 64), 5);
        const et_attention_opts opts = {.merge_heads = true};
        et_tensor *qkv = et_linear_act(x, w, b, ET_ACT_GELU);
        et_tensor *y = et_matmul(et_attention_qkv(qkv, 3, bias, &opts), w2);
        ck_assert_msg(y != NULL, "%s", et_error_message());
        y = et_keep(y);
        ck_assert_int_eq(et_backward_from(y, NULL, 0), ET_OK);
        et_tensor *now[6] = {y, et_grad_of(x), et_grad_of(w), et_grad_of(b), et_grad_of(bias),
                             et_grad_of(w2)};
        for (int i = 0; i < 6; i++) {
            ck_assert_ptr_nonnull(now[i]);
            if (t == 0)
                first[i] = et_clone(now[i]);
            else
                ck_assert_msg(et_equal(first[i], now[i]), "result %d differs on %d threads", i, counts[t]);
        }
    }
    et_set_num_threads(1);
}
END_TEST

/* Many rows and a small weight: by shards, in two blocks each. Where the output's gradient is still to be read,
 * as that of backward's start, every thread has a block of its own instead: the same bits. */
START_TEST(linear_by_shards)
{
    static const int counts[] = {1, 2, 3, 8};
    et_tensor *first[3] = {NULL};

    for (int t = 0; t < 8; t++) {
        ck_assert_int_eq(et_set_num_threads(counts[t / 2]), ET_OK);
        et_tensor *x = leaf(ET_SHAPE(30000, 24), 1), *w = leaf(ET_SHAPE(40, 24), 2), *b = leaf(ET_SHAPE(40), 3);
        et_tensor *y = et_linear_act(x, w, b, ET_ACT_TANH);
        ck_assert_int_eq(et_backward_from(t % 2 ? y : et_mul_scalar(y, 1), NULL, 0), ET_OK);
        et_tensor *now[3] = {et_grad_of(x), et_grad_of(w), et_grad_of(b)};
        for (int i = 0; i < 3; i++) {
            ck_assert_ptr_nonnull(now[i]);
            if (t == 0)
                first[i] = et_clone(now[i]);
            else
                ck_assert_msg(et_equal(first[i], now[i]), "gradient %d differs on %d threads%s", i, counts[t / 2],
                              t % 2 ? ", backward starts here" : "");
        }
    }
    et_set_num_threads(1);
}
END_TEST

/* A row wider than the elements that usually go through together: one by one. */
START_TEST(linear_wide)
{
    et_tensor *b = leaf(ET_SHAPE(9000), 3);
    et_tensor *y = et_linear(leaf(ET_SHAPE(3, 2), 1), leaf(ET_SHAPE(9000, 2), 2), b);

    ck_assert_int_eq(et_backward_from(y, et_full(ET_F32, ET_SHAPE(3, 9000), 0.5), 0), ET_OK);
    for (int64_t i = 0; i < 9000; i++)
        ck_assert_double_eq(et_get(et_grad_of(b), &i), 1.5);
}
END_TEST

/* --- misuse -------------------------------------------------------------------------------------- */

START_TEST(misuse)
{
    et_tensor *s = et_scalar(ET_F32, 1), *v = et_zeros(ET_F32, ET_SHAPE(4)),
              *m = et_zeros(ET_F32, ET_SHAPE(3, 4));
    et_tensor *d = et_zeros(ET_F64, ET_SHAPE(4, 2)), *b2 = et_zeros(ET_F32, ET_SHAPE(2, 3, 4));
    et_tensor *b3 = et_zeros(ET_F32, ET_SHAPE(3, 4, 5)), *i = et_zeros(ET_I32, ET_SHAPE(4, 4));
    et_tensor *q = et_zeros(ET_F32, ET_SHAPE(2, 2, 3, 4)), *k5 = et_zeros(ET_F32, ET_SHAPE(2, 2, 3, 5));
    et_tensor *k1 = et_zeros(ET_F32, ET_SHAPE(2, 1, 3, 4)), *kl = et_zeros(ET_F32, ET_SHAPE(2, 2, 6, 4));
    et_attention_opts opts = {.dropout = 1};

    fails_null(et_matmul(s, m), ET_ESHAPE, "matmul: ");
    fails_null(et_matmul(m, m), ET_ESHAPE, "inner sizes differ: [3, 4] x [3, 4]");
    fails_null(et_matmul(m, m), ET_ESHAPE, "check_linalg.c:");
    fails_null(et_matmul(v, m), ET_ESHAPE, "inner sizes");
    fails_null(et_matmul(b2, b3), ET_ESHAPE, "batch sizes differ");
    fails_null(et_matmul_t(v, m, true, false), ET_ESHAPE, "vector cannot be transposed");
    fails_null(et_matmul_t(m, m, true, true), ET_ESHAPE, "both transposed");
    fails_null(et_matmul(m, d), ET_EDTYPE, "matmul");
    fails_null(et_matmul(m, i), ET_EDTYPE, "matmul");
    fails_null(et_linear(m, v, NULL), ET_ESHAPE, "[out, in]");
    fails_null(et_linear(m, b2, NULL), ET_ESHAPE, "[out, in]");
    fails_null(et_linear(s, m, NULL), ET_ESHAPE, "last size");
    fails_null(et_linear(b3, m, NULL), ET_ESHAPE, "last size");
    fails_null(et_linear(m, m, v), ET_ESHAPE, "bias must be [3]");
    fails_null(et_linear_act(m, m, NULL, (et_act)17), ET_EINVAL, "unknown activation 17");
    fails_null(et_attention(m, q, q, NULL, NULL), ET_ESHAPE, "[B, H, T, d]");
    fails_null(et_attention(q, k1, q, NULL, NULL), ET_ESHAPE, "batch and heads");
    fails_null(et_attention(q, k5, q, NULL, NULL), ET_ESHAPE, "widths of q and k");
    fails_null(et_attention(q, kl, q, NULL, NULL), ET_ESHAPE, "lengths of k and v");
    fails_null(et_attention(q, q, q, m, NULL), ET_ESHAPE, "does not broadcast");
    fails_null(et_attention(q, q, q, i, NULL), ET_EDTYPE, "attention");
    fails_null(et_attention(q, q, q, NULL, &opts), ET_EINVAL, "dropout");
    opts.dropout = NAN;
    fails_null(et_attention(q, q, q, NULL, &opts), ET_EINVAL, "dropout");
    opts = (et_attention_opts){.scale = INFINITY};
    fails_null(et_attention(q, q, q, NULL, &opts), ET_EINVAL, "scale");
    fails_null(et_attention_qkv(b2, 0, NULL, NULL), ET_EINVAL, "at least one head");
    fails_null(et_attention_qkv(b2, 1, NULL, NULL), ET_ESHAPE, "qkv");
    /* NULL passes the first message on */
    ck_assert_ptr_null(et_linear(et_matmul(m, m), m, NULL));
    ck_assert_ptr_nonnull(strstr(et_error_message(), "inner sizes"));
    et_error_clear();
    ck_assert_ptr_null(et_matmul(NULL, m));
    ck_assert_int_ne(et_error_status(), ET_OK);
    et_error_clear();
}
END_TEST

/* --- memory that runs out ---------------------------------------------------------------------- */

static bool whole_step(void *user)
{
    et_scope *own = et_scope_open();
    et_tensor *x = et_ones(ET_F32, ET_SHAPE(2, 70, 40)), *w = et_ones(ET_F32, ET_SHAPE(96, 40));
    et_tensor *b = et_ones(ET_F32, ET_SHAPE(96)), *bias = et_zeros(ET_F32, ET_SHAPE(2, 70, 70));
    et_tensor *m = et_ones(ET_F32, ET_SHAPE(2, 70, 70));
    const et_attention_opts opts = {.merge_heads = true};
    et_tensor *leaves[] = {x, w, b, bias, m}, *y = NULL;
    bool ok = true;

    (void)user;
    for (int i = 0; i < 5; i++)
        ok = ok && leaves[i] && et_set_requires_grad(leaves[i], true);
    if (ok) {
        y = et_attention_qkv(et_linear_act(x, w, b, ET_ACT_GELU), 2, bias, &opts);
        y = et_mul(et_matmul(m, y), et_unsqueeze(et_additive_scores(x, w, b, b), -1));
        ok = y && et_backward_from(y, NULL, 0) == ET_OK;
    }
    if (own)
        et_scope_close(own);
    return ok;
}

START_TEST(memory_runs_out)
{
    ck_assert(whole_step(NULL));
    ck_assert_int_gt(alloc_sweep("linear, attention, matmul, scores", whole_step, NULL), 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linalg");
    TCase *tc = tcase_create("linalg");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, open_scope, close_scope);
    tcase_add_test(tc, matmul_batches);
    tcase_add_test(tc, matmul_vectors);
    tcase_add_test(tc, matmul_transposes);
    tcase_add_loop_test(tc, linear_values, ET_ACT_NONE, ET_ACT_GELU + 1);
    tcase_add_test(tc, additive_scores);
    tcase_add_test(tc, scores_again_after_an_error);
    tcase_add_loop_test(tc, attention_values, 0, 2 * (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(tc, attention_masks);
    tcase_add_test(tc, attention_packed);
    tcase_add_loop_test(tc, attention_dropout, 0, 2);
    tcase_add_test(tc, attention_given_weights);
    tcase_add_test(tc, threads);
    tcase_add_test(tc, linear_by_shards);
    tcase_add_test(tc, linear_wide);
    tcase_add_test(tc, misuse);
    suite_add_tcase(suite, tc);
    tc = tcase_create("memory");
    tcase_add_test(tc, memory_runs_out);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
