/* y = f(x), element by element. The functions and their derivatives are kernels
 * (tensor/kernels/elementwise.h); here stand what backward reads and the rule once more,
 * composed of ops, for higher derivatives. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    const et_kernels *k;
    et_unary f;
    const char *x, *s;
    char *y, *d;
    size_t size;
    int acc;
} unary_job;

static void unary_piece(int64_t lo, int64_t hi, void *user)
{
    const unary_job *j = user;
    size_t at = (size_t)lo * j->size;

    if (j->d)
        j->k->unary_d[j->f](hi - lo, j->x + at, j->y + at, j->d + at);
    else
        j->k->unary[j->f](hi - lo, j->x + at, j->y + at);
}

static void unary_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const unary_job *j = user;
    size_t at = (size_t)lo * j->size;

    if (j->d)
        j->k->mul_acc(hi - lo, j->d + at, 1, j->x + at, 1, j->y + at, j->acc);
    else
        j->k->unary_bwd[j->f](hi - lo, j->s ? j->s + at : NULL, j->x + at, j->y + at, j->acc);
}

static et_status unary_shape(et_node *n) { return et_out_like(n, 0, 0); }

static et_status unary_fwd(et_node *n)
{
    et_unary f = *ET_ATTR(n, et_unary);
    const et_tensor *x = n->in[0];
    unary_job j = {.k = et_k(n), .f = f, .size = et_dtype_size(x->dtype)};

    j.x = et_contig(n, x);
    j.y = et_out_data(n, 0);
    if (n->recording && j.k->unary_d[f]) {
        et_tensor *d = et_save_extra(n, 0, x->dtype, x->ndim, x->shape);
        if (!d)
            return et_error_status();
        j.d = et_data_mut(d);
    }
    if (!j.x || !j.y)
        return et_error_status();
    et_parallel_for(x->numel, et_elem_grain(), unary_piece, &j);
    return ET_OK;
}

static et_status unary_bwd(et_node *n)
{
    unary_job j = {.k = et_k(n), .f = *ET_ATTR(n, et_unary), .size = et_dtype_size(n->in[0]->dtype)};

    if (n->n_saved)
        j.d = et_data_mut(n->saved[0]);
    else if (n->saves == ET_SAVE_IN(0))
        j.s = et_contig(n, n->in[0]);
    else if (n->saves == ET_SAVE_OUT(0))
        j.s = et_data(n->out[0]);
    j.x = et_gy_data(n, 0);
    j.y = et_gx_inplace(n, 0, &j.acc);
    if (!j.x || !j.y || (n->saves && !j.s))
        return et_error_status();
    et_parallel_for(n->in[0]->numel, et_elem_grain(), unary_bwd_piece, &j);
    return ET_OK;
}

/* The forms of GELU, and SiLU, save their derivative instead. */
static unsigned derivative_or_x(const et_node *n) { return n->n_saved ? ET_SAVE_NONE : ET_SAVE_IN(0); }

/* An op, its samples in [lo, hi), and dx as an expression of x, y and gy. */
#define UNARY(NAME, SAVES, FLAGS, KIND, LO, HI, DX)                                                       \
    static et_status NAME##_graph(et_node *n, et_tensor *const *gys, et_tensor **gx)                      \
    {                                                                                                     \
        et_tensor *x = n->in[0], *y = n->out[0], *gy = gys[0];                                            \
        (void)x;                                                                                          \
        (void)y;                                                                                          \
        gx[0] = (DX);                                                                                     \
        return gx[0] ? ET_OK : et_error_status();                                                         \
    }                                                                                                     \
    ET_CALL(NAME##_call, et_##NAME(in[0]))                                                                \
    static const et_sample NAME##_samples[] = {                                                           \
        {.name = "matrix", .n_in = 1, .in = {{2, {3, 5}, LO, HI, KIND}}, .call = NAME##_call},            \
        {.name = "past a vector", .n_in = 1, .in = {{1, {37}, LO, HI, KIND}}, .call = NAME##_call},       \
        {.name = "past a piece", .n_in = 1, .in = {{1, {ET_GRAIN_ELEMS + 5}, LO, HI, KIND}},              \
         .call = NAME##_call},                                                                            \
        {.name = "scalar", .n_in = 1, .in = {{0, {0}, LO, HI, KIND}}, .call = NAME##_call},               \
        {.name = "empty", .n_in = 1, .in = {{2, {0, 3}, LO, HI, KIND}}, .call = NAME##_call},             \
    };                                                                                                    \
    const et_op et_op_##NAME = {                                                                          \
        .name = #NAME,                                                                                    \
        .args = "r",                                                                                      \
        .n_out = 1,                                                                                       \
        .flags = FLAGS,                                                                                   \
        SAVES,                                                                                            \
        .shape = unary_shape,                                                                             \
        .fwd = unary_fwd,                                                                                 \
        .bwd = unary_bwd,                                                                                 \
        .bwd_graph = NAME##_graph,                                                                        \
        ET_SAMPLES(NAME##_samples),                                                                       \
    }

#define READS_X .saves = ET_SAVE_IN(0)
#define READS_Y .saves = ET_SAVE_OUT(0)
#define READS_NOTHING .saves = ET_SAVE_NONE
#define READS_DERIVATIVE .saves_for = derivative_or_x, .graph_reads = ET_SAVE_IN(0)

static et_tensor *apply(const et_op *op, et_unary f, et_tensor *x)
{
    return et_apply1(op, 1, (et_tensor *const[]){x}, &f, sizeof f);
}

/* c - x */
static et_tensor *from(double c, et_tensor *x) { return et_add_scalar(et_neg(x), c); }

UNARY(neg, READS_NOTHING, 0, ET_ARG_REAL, -2, 2, et_neg(gy));
/** y = -x */
et_tensor *(et_neg)(et_tensor *x) { return apply(&et_op_neg, ET_U_NEG, x); }

UNARY(abs, READS_X, ET_OP_KINK, ET_ARG_AWAY, -2, 2, et_mul(gy, et_sign(x)));
/** y = |x|; the derivative at 0 is 0. */
et_tensor *(et_abs)(et_tensor *x) { return apply(&et_op_abs, ET_U_ABS, x); }

UNARY(square, READS_X, 0, ET_ARG_REAL, -2, 2, et_mul(gy, et_mul_scalar(x, 2)));
/** y = x^2 */
et_tensor *(et_square)(et_tensor *x) { return apply(&et_op_square, ET_U_SQUARE, x); }

UNARY(reciprocal, READS_Y, 0, ET_ARG_REAL, 0.5, 2, et_neg(et_mul(gy, et_square(y))));
/** y = 1 / x */
et_tensor *(et_reciprocal)(et_tensor *x) { return apply(&et_op_reciprocal, ET_U_RECIPROCAL, x); }

UNARY(exp, READS_Y, 0, ET_ARG_REAL, -2, 2, et_mul(gy, y));
/** y = e^x */
et_tensor *(et_exp)(et_tensor *x) { return apply(&et_op_exp, ET_U_EXP, x); }

UNARY(expm1, READS_Y, 0, ET_ARG_REAL, -2, 2, et_mul(gy, et_add_scalar(y, 1)));
/** y = e^x - 1, exact near 0 */
et_tensor *(et_expm1)(et_tensor *x) { return apply(&et_op_expm1, ET_U_EXPM1, x); }

UNARY(log, READS_X, 0, ET_ARG_REAL, 0.3, 3, et_div(gy, x));
/** y = ln x; NaN below 0, -inf at 0 */
et_tensor *(et_log)(et_tensor *x) { return apply(&et_op_log, ET_U_LOG, x); }

UNARY(log1p, READS_X, 0, ET_ARG_REAL, -0.5, 3, et_div(gy, et_add_scalar(x, 1)));
/** y = ln(1 + x), exact near 0 */
et_tensor *(et_log1p)(et_tensor *x) { return apply(&et_op_log1p, ET_U_LOG1P, x); }

UNARY(sqrt, READS_Y, 0, ET_ARG_REAL, 0.5, 3, et_mul_scalar(et_div(gy, y), 0.5));
/** y = x^(1/2) */
et_tensor *(et_sqrt)(et_tensor *x) { return apply(&et_op_sqrt, ET_U_SQRT, x); }

UNARY(rsqrt, READS_Y, 0, ET_ARG_REAL, 0.5, 3, et_mul_scalar(et_mul(gy, et_mul(y, et_square(y))), -0.5));
/** y = x^(-1/2) */
et_tensor *(et_rsqrt)(et_tensor *x) { return apply(&et_op_rsqrt, ET_U_RSQRT, x); }

UNARY(sin, READS_X, 0, ET_ARG_REAL, -3, 3, et_mul(gy, et_cos(x)));
/** y = sin x, x in radians */
et_tensor *(et_sin)(et_tensor *x) { return apply(&et_op_sin, ET_U_SIN, x); }

UNARY(cos, READS_X, 0, ET_ARG_REAL, -3, 3, et_neg(et_mul(gy, et_sin(x))));
/** y = cos x, x in radians */
et_tensor *(et_cos)(et_tensor *x) { return apply(&et_op_cos, ET_U_COS, x); }

UNARY(tanh, READS_Y, 0, ET_ARG_REAL, -2, 2, et_mul(gy, from(1, et_square(y))));
/** y = tanh x */
et_tensor *(et_tanh)(et_tensor *x) { return apply(&et_op_tanh, ET_U_TANH, x); }

UNARY(sigmoid, READS_Y, 0, ET_ARG_REAL, -4, 4, et_mul(gy, et_mul(y, from(1, y))));
/** y = 1 / (1 + e^-x) */
et_tensor *(et_sigmoid)(et_tensor *x) { return apply(&et_op_sigmoid, ET_U_SIGMOID, x); }

/* 2 / sqrt(pi) */
#define TWO_SQRT_PI 1.1283791670955125739
UNARY(erf, READS_X, 0, ET_ARG_REAL, -2, 2, et_mul(gy, et_mul_scalar(et_exp(et_neg(et_square(x))),
                                                                    TWO_SQRT_PI)));
/** y = 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x */
et_tensor *(et_erf)(et_tensor *x) { return apply(&et_op_erf, ET_U_ERF, x); }

UNARY(relu, READS_Y, ET_OP_KINK, ET_ARG_AWAY, -2, 2, et_mul(gy, et_sign(y)));
/** y = max(x, 0); the derivative at 0 is 0; a NaN stays one. */
et_tensor *(et_relu)(et_tensor *x) { return apply(&et_op_relu, ET_U_RELU, x); }

UNARY(softplus, READS_X, 0, ET_ARG_REAL, -4, 4, et_mul(gy, et_sigmoid(x)));
/** y = ln(1 + e^x), without overflow */
et_tensor *(et_softplus)(et_tensor *x) { return apply(&et_op_softplus, ET_U_SOFTPLUS, x); }

UNARY(log_sigmoid, READS_X, 0, ET_ARG_REAL, -4, 4, et_mul(gy, et_sigmoid(et_neg(x))));
/** y = ln(1 / (1 + e^-x)), without overflow */
et_tensor *(et_log_sigmoid)(et_tensor *x) { return apply(&et_op_log_sigmoid, ET_U_LOG_SIGMOID, x); }

UNARY(elu, READS_Y, ET_OP_KINK, ET_ARG_AWAY, -2, 2,
      et_mul(gy, et_add_scalar(et_minimum(y, et_scalar(y->dtype, 0)), 1)));
/** y = x for x > 0, else e^x - 1 (alpha 1) */
et_tensor *(et_elu)(et_tensor *x) { return apply(&et_op_elu, ET_U_ELU, x); }

/* d/dx [x P(x)] for P the normal distribution function: P(x) + x p(x). */
static et_tensor *gelu_slope(et_tensor *x)
{
    et_tensor *cdf = et_add_scalar(et_mul_scalar(et_erf(et_mul_scalar(x, 0.70710678118654752440)), 0.5), 0.5);
    et_tensor *pdf = et_mul_scalar(et_exp(et_mul_scalar(et_square(x), -0.5)), 0.39894228040143267794);

    return et_add(cdf, et_mul(x, pdf));
}

UNARY(gelu, READS_DERIVATIVE, 0, ET_ARG_REAL, -3, 3, et_mul(gy, gelu_slope(x)));
/** y = x/2 (1 + erf(x / sqrt 2)), the exact form (Hendrycks and Gimpel 2016, arXiv 1606.08415) */
et_tensor *(et_gelu)(et_tensor *x) { return apply(&et_op_gelu, ET_U_GELU, x); }

/* y = x/2 (1 + t), t = tanh(u), u = a (x + b x^3):
 * dy/dx = (1 + t)/2 + x/2 (1 - t^2) a (1 + 3 b x^2) */
#define GELU_A 0.79788456080286535588 /* sqrt(2 / pi) */
#define GELU_B 0.044715
static et_tensor *gelu_tanh_slope(et_tensor *x)
{
    et_tensor *x2 = et_square(x);
    et_tensor *t = et_tanh(et_mul(et_mul_scalar(x, GELU_A), et_add_scalar(et_mul_scalar(x2, GELU_B), 1)));
    et_tensor *du = et_mul_scalar(et_add_scalar(et_mul_scalar(x2, 3 * GELU_B), 1), GELU_A);

    return et_mul_scalar(et_add(et_add_scalar(t, 1), et_mul(et_mul(x, from(1, et_square(t))), du)), 0.5);
}

UNARY(gelu_tanh, READS_DERIVATIVE, 0, ET_ARG_REAL, -3, 3, et_mul(gy, gelu_tanh_slope(x)));
/** y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the approximation of GELU */
et_tensor *(et_gelu_tanh)(et_tensor *x) { return apply(&et_op_gelu_tanh, ET_U_GELU_TANH, x); }

/* d/dx [x s(c x)] = s + c x s (1 - s) */
static et_tensor *swish_slope(et_tensor *x, double c)
{
    et_tensor *s = et_sigmoid(et_mul_scalar(x, c));

    return et_add(s, et_mul(et_mul_scalar(x, c), et_mul(s, from(1, s))));
}

UNARY(quick_gelu, READS_DERIVATIVE, 0, ET_ARG_REAL, -3, 3, et_mul(gy, swish_slope(x, 1.702)));
/** y = x sigmoid(1.702 x) */
et_tensor *(et_quick_gelu)(et_tensor *x) { return apply(&et_op_quick_gelu, ET_U_QUICK_GELU, x); }

UNARY(silu, READS_DERIVATIVE, 0, ET_ARG_REAL, -3, 3, et_mul(gy, swish_slope(x, 1)));
/** y = x sigmoid(x) */
et_tensor *(et_silu)(et_tensor *x) { return apply(&et_op_silu, ET_U_SILU, x); }

ET_CALL(geglu_call, et_geglu(in[0]))
static const et_sample geglu_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {{2, {3, 8}, -3, 3}}, .call = geglu_call},
    {.name = "past a vector", .n_in = 1, .in = {{1, {38}, -3, 3}}, .call = geglu_call},
    {.name = "empty", .n_in = 1, .in = {{2, {0, 4}}}, .call = geglu_call},
};
const et_op et_op_geglu = {.name = "geglu", .args = "r", .n_out = 1, ET_SAMPLES(geglu_samples)};

/** y = a gelu(b), a and b the first and second half of x's last dimension (Shazeer 2020,
 *  arXiv 2002.05202). ESHAPE unless that is even. */
et_tensor *(et_geglu)(et_tensor *x)
{
    if (!x || !et_op_scope("geglu"))
        return et_gelu(x);
    if (x->ndim < 1 || x->shape[x->ndim - 1] % 2) {
        et_raise_here(ET_ESHAPE, "geglu: x is %s, expected an even last dimension", et_shape_str(x));
        return NULL;
    }
    const int64_t half = x->shape[x->ndim - 1] / 2;
    return et_mul(et_slice(x, -1, 0, half, 1), et_gelu(et_slice(x, -1, half, 2 * half, 1)));
}
