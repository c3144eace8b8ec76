/* y = f(a, b), element by element, with NumPy's broadcasting. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"
#include "tensor/iter.h"

static et_status binary_shape(et_node *n)
{
    int64_t shape[ET_MAX_DIMS];
    int ndim;
    const et_tensor *a = n->in[0], *b = n->in[1];

    if (et_broadcast_shape(a->ndim, a->shape, b->ndim, b->shape, &ndim, shape))
        return et_op_raise(n, ET_ESHAPE, "shapes do not broadcast: %s and %s", et_shape_str(a),
                           et_shape_str(b));
    return et_out(n, 0, a->dtype, ndim, shape);
}

/* --- the walk over two broadcast operands ---------------------------------------------- */

typedef void binary_kernel(int64_t n, const void *a, int sa, const void *b, int sb, void *y);

typedef struct {
    et_iter it; /* y, a, b */
    binary_kernel *f; /* NULL: y += a b, by */
    const et_kernels *k;
    char *y;
    const char *a, *b;
    size_t size;
    int64_t piece; /* elements of a row that one index of the loop stands for */
    int64_t per_row;
} binary_job;

static void binary_piece(int64_t lo, int64_t hi, void *user)
{
    const binary_job *j = user;
    const int last = j->it.ndim - 1, sa = j->it.strides[1][last] != 0, sb = j->it.strides[2][last] != 0;
    et_iter_row row = et_iter_seek(&j->it, lo / j->per_row);

    for (int64_t i = lo, from = lo % j->per_row * j->piece; i < hi; i++) {
        const int64_t n = min64(j->piece, j->it.n - from);
        const char *a = j->a + (size_t)(row.at[1] + sa * from) * j->size;
        const char *b = j->b + (size_t)(row.at[2] + sb * from) * j->size;
        char *y = j->y + (size_t)(row.at[0] + from) * j->size;
        if (j->f)
            j->f(n, a, sa, b, sb, y);
        else
            j->k->mul_acc(n, a, sa, b, sb, y, 1);
        if ((from += n) == j->it.n) {
            from = 0;
            et_iter_next(&j->it, &row);
        }
    }
}

/* y = f(a, b), or with f NULL y += a b, into contiguous y. Operands whose last (merged) dimension is strided
 * are copied first: the kernels take steps of 0 and 1. */
static et_status binary_into(et_node *n, et_tensor *y, const et_tensor *a, const et_tensor *b,
                             binary_kernel *f)
{
    binary_job j = {.f = f, .k = et_k(n), .size = et_dtype_size(y->dtype)};
    const et_tensor *ops[3] = {y, a, b};
    et_tensor *copy[3] = {NULL};

    if (!y->numel)
        return ET_OK;
    if (f && y->numel <= et_elem_grain() && et_same_shape(a, y) && et_same_shape(b, y) &&
        et_is_contiguous(a) && et_is_contiguous(b)) { /* the usual small case, without ado */
        void *py = et_data_mut(y);
        const void *pa = et_data(a), *pb = et_data(b);
        if (!py || !pa || !pb)
            return et_error_status();
        f(y->numel, pa, 1, pb, 1, py);
        return ET_OK;
    }
    et_iter_init(&j.it, y->ndim, y->shape, 3, ops);
    for (int k = 1; k < 3; k++)
        if (j.it.strides[k][j.it.ndim - 1] > 1) {
            copy[k] = et_temp(n, ops[k]->ndim, ops[k]->shape);
            if (!copy[k] || et_copy_into(copy[k], ops[k]))
                return et_error_status();
            ops[k] = copy[k];
        }
    et_iter_init(&j.it, y->ndim, y->shape, 3, ops);
    j.y = et_data_mut(y);
    j.a = et_data(ops[1]);
    j.b = et_data(ops[2]);
    if (!j.y || !j.a || !j.b)
        return et_error_status();
    j.piece = et_elem_grain();
    j.per_row = ceil_div(j.it.n, j.piece);
    int64_t cost = j.it.n < j.piece ? j.it.n : j.piece;
    et_parallel_for(j.it.rows * j.per_row, et_row_grain(j.it.rows * j.per_row, cost), binary_piece, &j);
    return ET_OK;
}

static et_status binary_fwd(et_node *n)
{
    return binary_into(n, n->out[0], n->in[0], n->in[1], et_k(n)->binary[*ET_ATTR(n, et_binary)]);
}

static et_tensor *apply(const et_op *op, et_binary f, et_tensor *a, et_tensor *b)
{
    return et_apply1(op, 2, (et_tensor *const[]){a, b}, &f, sizeof f);
}

/* True if of y's dimensions the last of more than one element is one of x. */
static bool keeps_last(const et_tensor *x, const et_tensor *y)
{
    int d = y->ndim - 1, e = x->ndim - 1;

    for (; d > 0 && y->shape[d] == 1; d--)
        e--;
    return d < 0 || (e >= 0 && x->shape[e] == y->shape[d]);
}

/* Adds a b, both of shapes that broadcast to the output's, to the gradient of operand i. */
static et_status add_product(et_node *n, int i, const et_tensor *a, const et_tensor *b)
{
    const et_tensor *x = n->in[i], *y = n->out[0];
    binary_kernel *mul = et_k(n)->binary[ET_B_MUL];
    et_tensor *g;
    int acc;

    if (et_same_shape(x, y)) {
        g = et_gx_tensor(n, i, &acc);
        return g ? binary_into(n, g, a, b, acc ? NULL : mul) : et_error_status();
    }
    if (!keeps_last(x, y) && et_same_shape(a, y) && et_same_shape(b, y) && et_is_contiguous(a) &&
        et_is_contiguous(b)) {
        g = et_gx_tensor(n, i, &acc);
        return g ? et_sum_product_to(g, a, b, acc) : et_error_status();
    }
    g = et_temp(n, y->ndim, y->shape);
    if (!g || binary_into(n, g, a, b, mul))
        return et_error_status();
    return et_gx_sum(n, i, g);
}

#define BINARY(NAME, ...)                                    \
    static const et_sample NAME##_samples[] = {__VA_ARGS__}; \
    const et_op et_op_##NAME = {                             \
        .name = #NAME,                                       \
        .args = "r r",                                       \
        .n_out = 1,                                          \
        .flags = NAME##_flags,                               \
        .saves_for = NAME##_saves,                           \
        .shape = binary_shape,                               \
        .fwd = binary_fwd,                                   \
        .bwd = NAME##_bwd,                                   \
        .bwd_graph = NAME##_graph,                           \
        ET_SAMPLES(NAME##_samples),                          \
    }

/* The shapes that every binary op is checked in. */
#define SAMPLES(CALL, KIND, ALO, AHI, BLO, BHI)                                                              \
    {.name = "same shape", .n_in = 2, .in = {{2, {3, 5}, ALO, AHI, KIND}, {2, {3, 5}, BLO, BHI, KIND}},      \
     .call = CALL},                                                                                          \
    {.name = "row", .n_in = 2, .in = {{2, {3, 5}, ALO, AHI, KIND}, {1, {5}, BLO, BHI, KIND}}, .call = CALL}, \
    {.name = "column", .n_in = 2, .in = {{2, {4, 1}, ALO, AHI, KIND}, {2, {4, 3}, BLO, BHI, KIND}},          \
     .call = CALL},                                                                                          \
    {.name = "outer", .n_in = 2, .in = {{3, {2, 1, 3}, ALO, AHI, KIND}, {2, {4, 1}, BLO, BHI, KIND}},        \
     .call = CALL},                                                                                          \
    {.name = "scalar", .n_in = 2, .in = {{2, {3, 20}, ALO, AHI, KIND}, {0, {0}, BLO, BHI, KIND}},            \
     .call = CALL},                                                                                          \
    {.name = "past a piece", .n_in = 2,                                                                      \
     .in = {{1, {ET_GRAIN_ELEMS + 5}, ALO, AHI, KIND}, {1, {ET_GRAIN_ELEMS + 5}, BLO, BHI, KIND}},           \
     .call = CALL},                                                                                          \
    {.name = "scalars", .n_in = 2, .in = {{0, {0}, ALO, AHI, KIND}, {0, {0}, BLO, BHI, KIND}},               \
     .call = CALL},                                                                                          \
    {.name = "empty", .n_in = 2, .in = {{2, {0, 3}, ALO, AHI, KIND}, {1, {3}, BLO, BHI, KIND}},              \
     .call = CALL},                                                                                          \
    {.name = "empty rows", .n_in = 2, .in = {{2, {3, 0}, ALO, AHI, KIND}, {2, {3, 1}, BLO, BHI, KIND}},      \
     .call = CALL}

static unsigned saves_nothing(const et_node *n)
{
    (void)n;
    return ET_SAVE_NONE;
}

static unsigned saves_other(const et_node *n)
{
    return (et_needs(n, 0) ? ET_SAVE_IN(1) : 0u) | (et_needs(n, 1) ? ET_SAVE_IN(0) : 0u);
}

/* --- a + b, a - b ------------------------------------------------------------------------ */

static et_status add_bwd(et_node *n)
{
    et_status status = et_needs(n, 1) ? et_gx_share(n, 1) : ET_OK;

    return !status && et_needs(n, 0) ? et_gx_pass(n, 0) : status;
}

static et_status add_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    (void)n;
    gx[0] = gx[1] = gy[0];
    return ET_OK;
}

enum { add_flags = 0 };
#define add_saves saves_nothing
ET_CALL(add_call, et_add(in[0], in[1]))
BINARY(add, SAMPLES(add_call, ET_ARG_REAL, -1, 1, -1, 1));
/** y = a + b, shapes broadcast together. */
et_tensor *(et_add)(et_tensor *a, et_tensor *b) { return apply(&et_op_add, ET_B_ADD, a, b); }

static et_status sub_bwd(et_node *n)
{
    const et_tensor *gy = et_gy(n, 0);
    et_status status = ET_OK;

    if (et_needs(n, 1)) {
        et_tensor *t = et_temp(n, gy->ndim, gy->shape);
        if (!t)
            return et_error_status();
        et_k(n)->unary[ET_U_NEG](gy->numel, et_data(gy), et_data_mut(t));
        status = et_gx_sum(n, 1, t);
    }
    return !status && et_needs(n, 0) ? et_gx_pass(n, 0) : status;
}

static et_status sub_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    (void)n;
    gx[0] = gy[0];
    gx[1] = et_neg(gy[0]);
    return gx[1] ? ET_OK : et_error_status();
}

enum { sub_flags = 0 };
#define sub_saves saves_nothing
ET_CALL(sub_call, et_sub(in[0], in[1]))
BINARY(sub, SAMPLES(sub_call, ET_ARG_REAL, -1, 1, -1, 1));
/** y = a - b, shapes broadcast together. */
et_tensor *(et_sub)(et_tensor *a, et_tensor *b) { return apply(&et_op_sub, ET_B_SUB, a, b); }

/* --- a b -------------------------------------------------------------------------------- */

static et_status mul_bwd(et_node *n)
{
    et_status status = et_needs(n, 0) ? add_product(n, 0, et_gy(n, 0), n->in[1]) : ET_OK;

    return !status && et_needs(n, 1) ? add_product(n, 1, et_gy(n, 0), n->in[0]) : status;
}

static et_status mul_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    if (et_needs(n, 0))
        gx[0] = et_mul(gy[0], n->in[1]);
    if (et_needs(n, 1))
        gx[1] = et_mul(gy[0], n->in[0]);
    return et_error_status();
}

enum { mul_flags = 0 };
#define mul_saves saves_other
ET_CALL(mul_call, et_mul(in[0], in[1]))
BINARY(mul, SAMPLES(mul_call, ET_ARG_REAL, -1, 1, -1, 1));
/** y = a b, element by element, shapes broadcast together. */
et_tensor *(et_mul)(et_tensor *a, et_tensor *b) { return apply(&et_op_mul, ET_B_MUL, a, b); }

/* --- a / b ------------------------------------------------------------------------------- */

static unsigned div_saves(const et_node *n) { return ET_SAVE_IN(1) | (et_needs(n, 1) ? ET_SAVE_OUT(0) : 0u); }

/* da = gy / b, db = -gy y / b */
static et_status div_bwd(et_node *n)
{
    const et_tensor *gy = et_gy(n, 0), *b = n->in[1];
    const et_kernels *k = et_k(n);
    et_tensor *da = et_temp(n, gy->ndim, gy->shape), *minus;

    if (!da || binary_into(n, da, gy, b, k->binary[ET_B_DIV]))
        return et_error_status();
    if (et_needs(n, 0) && et_gx_sum(n, 0, da))
        return et_error_status();
    if (!et_needs(n, 1))
        return ET_OK;
    if (!(minus = et_temp(n, 0, NULL)) || et_fill(minus, -1) ||
        binary_into(n, da, da, minus, k->binary[ET_B_MUL]))
        return et_error_status();
    return add_product(n, 1, da, n->out[0]);
}

static et_status div_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *da = et_div(gy[0], n->in[1]);

    gx[0] = da;
    if (et_needs(n, 1))
        gx[1] = et_neg(et_mul(da, n->out[0]));
    return et_error_status();
}

enum { div_flags = 0 };
ET_CALL(div_call, et_div(in[0], in[1]))
BINARY(div, SAMPLES(div_call, ET_ARG_REAL, -1, 1, 0.5, 2));
/** y = a / b, element by element, shapes broadcast together. */
et_tensor *(et_div)(et_tensor *a, et_tensor *b) { return apply(&et_op_div, ET_B_DIV, a, b); }

/* --- min(a, b), max(a, b) ----------------------------------------------------------------- */

/* gy goes to the operand that was taken, one half to each where they are equal: factors for `mine`. */
static et_tensor *share_of(et_node *n, const et_tensor *mine, const et_tensor *other)
{
    const et_tensor *y = n->out[0];
    et_tensor *a = et_temp(n, y->ndim, y->shape), *b = et_temp(n, y->ndim, y->shape);

    if (!a || !b || et_copy_into(a, mine) || et_copy_into(b, other))
        return NULL;
    et_k(n)->share(y->numel, et_data(a), et_data(b), *ET_ATTR(n, et_binary) == ET_B_MIN, et_data_mut(a));
    return a;
}

static et_status extremum_bwd(et_node *n)
{
    for (int i = 0; i < 2; i++) {
        if (!et_needs(n, i))
            continue;
        et_tensor *share = share_of(n, n->in[i], n->in[1 - i]);
        if (!share || add_product(n, i, et_gy(n, 0), share))
            return et_error_status();
    }
    return ET_OK;
}

static et_status extremum_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    for (int i = 0; i < 2; i++) {
        if (!et_needs(n, i))
            continue;
        et_tensor *share = share_of(n, n->in[i], n->in[1 - i]);
        gx[i] = share ? et_mul(gy[0], et_clone(share)) : NULL;
    }
    return et_error_status();
}

static unsigned saves_both(const et_node *n)
{
    (void)n;
    return ET_SAVE_IN(0) | ET_SAVE_IN(1);
}

enum { minimum_flags = ET_OP_KINK, maximum_flags = ET_OP_KINK };
#define minimum_saves saves_both
#define minimum_bwd extremum_bwd
#define minimum_graph extremum_graph
#define maximum_saves saves_both
#define maximum_bwd extremum_bwd
#define maximum_graph extremum_graph
ET_CALL(minimum_call, et_minimum(in[0], in[1]))
ET_CALL(minimum_of_equals, et_minimum(in[0], in[0]))
BINARY(minimum, SAMPLES(minimum_call, ET_ARG_REAL, -1, 0.45, 0.55, 1),
       {.name = "the other", .n_in = 2, .in = {{1, {5}, 0.6, 1}, {2, {2, 5}, 0, 0.5}}, .call = minimum_call},
       {.name = "equal", .n_in = 1, .in = {{1, {5}}}, .call = minimum_of_equals});
/** y = min(a, b), element by element, shapes broadcast together; NaN if either is. Equal
 *  operands share the gradient; where one is NaN, both have all of it. */
et_tensor *(et_minimum)(et_tensor *a, et_tensor *b) { return apply(&et_op_minimum, ET_B_MIN, a, b); }

ET_CALL(maximum_call, et_maximum(in[0], in[1]))
ET_CALL(maximum_of_equals, et_maximum(in[0], in[0]))
BINARY(maximum, SAMPLES(maximum_call, ET_ARG_REAL, -1, 0.45, 0.55, 1),
       {.name = "the other", .n_in = 2, .in = {{1, {5}, 0.6, 1}, {2, {2, 5}, 0, 0.5}}, .call = maximum_call},
       {.name = "equal", .n_in = 1, .in = {{1, {5}}}, .call = maximum_of_equals});
/** y = max(a, b), element by element, shapes broadcast together; NaN if either is. Equal
 *  operands share the gradient; where one is NaN, both have all of it. */
et_tensor *(et_maximum)(et_tensor *a, et_tensor *b) { return apply(&et_op_maximum, ET_B_MAX, a, b); }

/* --- a^b ---------------------------------------------------------------------------------- */

static et_status pow_fwd(et_node *n) { return binary_into(n, n->out[0], n->in[0], n->in[1], et_k(n)->pow); }

/* b - 1, and 0 for b = 0, where the gradient of a^b is 0 even at a = 0. */
static et_tensor *exponent_below(et_node *n)
{
    et_tensor *e = et_temp(n, n->in[1]->ndim, n->in[1]->shape);

    if (!e || et_copy_into(e, n->in[1]))
        return NULL;
    void *p = et_data_mut(e);
    for (int64_t i = 0; i < e->numel; i++) {
        double b = et_real_at(e, p, i);
        et_set_real(e, p, i, b == 0 ? 0 : b - 1); /* NaN stays */
    }
    return e;
}

/* ln a, and 0 for a = 0, where the gradient of 0^b by b is 0. */
static et_tensor *log_base(et_node *n)
{
    et_tensor *l = et_temp(n, n->in[0]->ndim, n->in[0]->shape);

    if (!l || et_copy_into(l, n->in[0]))
        return NULL;
    void *p = et_data_mut(l);
    for (int64_t i = 0; i < l->numel; i++)
        if (et_real_at(l, p, i) == 0)
            et_set_real(l, p, i, 1);
    et_k(n)->unary[ET_U_LOG](l->numel, p, p);
    return l;
}

/* da = gy b a^(b-1), db = gy y ln a */
static et_status pow_bwd(et_node *n)
{
    const et_tensor *y = n->out[0];
    const et_kernels *k = et_k(n);
    et_tensor *t = et_temp(n, y->ndim, y->shape), *other;

    if (!t)
        return et_error_status();
    if (et_needs(n, 0)) {
        other = exponent_below(n);
        if (!other || binary_into(n, t, n->in[0], other, k->pow) ||
            binary_into(n, t, t, n->in[1], k->binary[ET_B_MUL]) || add_product(n, 0, et_gy(n, 0), t))
            return et_error_status();
    }
    if (et_needs(n, 1)) {
        other = log_base(n);
        if (!other || binary_into(n, t, y, other, k->binary[ET_B_MUL]) || add_product(n, 1, et_gy(n, 0), t))
            return et_error_status();
    }
    return ET_OK;
}

static et_status pow_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    et_tensor *a = n->in[0], *b = n->in[1];

    if (et_needs(n, 0))
        gx[0] = et_mul(gy[0], et_mul(b, et_pow(a, et_add_scalar(b, -1))));
    if (et_needs(n, 1)) {
        et_tensor *zero = et_zeros(ET_U8, a->ndim, a->shape), *base = et_contiguous(a);
        for (int64_t i = 0; zero && base && i < a->numel; i++)
            ((uint8_t *)et_data_mut(zero))[i] = et_real_at(base, et_data(base), i) == 0;
        gx[1] = et_mul(gy[0], et_mul(n->out[0], et_log(et_masked_fill(a, zero, 1))));
    }
    return et_error_status();
}

static unsigned pow_saves(const et_node *n)
{
    return ET_SAVE_IN(0) | ET_SAVE_IN(1) | (et_needs(n, 1) ? ET_SAVE_OUT(0) : 0u);
}

ET_CALL(pow_call, et_pow(in[0], in[1]))
ET_CALL(pow_squares, et_pow(in[0], et_full(in[0]->dtype, 1, (const int64_t[]){1}, 2)))

/* The first and the last base are 0: so is their logarithm's part of the gradient. */
static int pow_of_zero(et_tensor *const *in, et_tensor **out)
{
    const double marks[5] = {0, 1, 1, 0, 0};
    et_tensor *keep = et_to(et_from(ET_F64, ET_SHAPE(5), marks), in[0] ? in[0]->dtype : ET_F64);

    out[0] = et_pow(et_mul(in[0], keep), in[1]);
    return out[0] ? 1 : -1;
}

static const et_sample pow_samples[] = {
    SAMPLES(pow_call, ET_ARG_REAL, 0.3, 2, -2, 2),
    {.name = "bases of zero", .n_in = 2, .in = {{1, {5}, 0.3, 2}, {1, {5}, 2.2, 3}}, .call = pow_of_zero},
    {.name = "squares", .n_in = 1, .in = {{2, {2, 5}, -2, 2}}, .call = pow_squares},
};
const et_op et_op_pow = {
    .name = "pow", .args = "r r", .n_out = 1, .saves_for = pow_saves, .shape = binary_shape, .fwd = pow_fwd,
    .bwd = pow_bwd, .bwd_graph = pow_graph, ET_SAMPLES(pow_samples),
};
/** y = a^b, element by element, shapes broadcast together; C's pow, so a negative a wants a whole
 *  b. The gradient by a is 0 where b = 0, and that by b is 0 where a = 0. For one exponent for all
 *  see et_pow_scalar. */
et_tensor *(et_pow)(et_tensor *a, et_tensor *b)
{
    return et_apply1(&et_op_pow, 2, (et_tensor *const[]){a, b}, NULL, 0);
}
