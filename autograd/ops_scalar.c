/* Element-wise ops with a number beside the tensor. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"

typedef struct {
    double a, b;
} scalar_attr;

typedef struct {
    const char *x, *gy;
    char *y;
    size_t size;
    int acc;
    const et_kernels *k;
    double a, b;
} scalar_job;

static et_status same_shape(et_node *n) { return et_out_like(n, 0, 0); }

/* Runs `piece` over the elements of x -> y, in pieces. */
static et_status forward(et_node *n, void (*piece)(int64_t lo, int64_t hi, void *job))
{
    const scalar_attr *at = ET_ATTR(n, scalar_attr);
    scalar_job j = {.k = et_k(n), .size = et_dtype_size(n->in[0]->dtype), .a = at->a, .b = at->b};

    j.x = et_contig(n, n->in[0]);
    j.y = et_out_data(n, 0);
    if (!j.x || !j.y)
        return et_error_status();
    et_parallel_for(n->in[0]->numel, et_elem_grain(), piece, &j);
    return ET_OK;
}

/* Runs `piece` over gy (and x when the op saved it) -> gx. */
static et_status backward(et_node *n, void (*piece)(int64_t lo, int64_t hi, void *job))
{
    const scalar_attr *at = ET_ATTR(n, scalar_attr);
    scalar_job j = {.k = et_k(n), .size = et_dtype_size(n->in[0]->dtype), .a = at->a, .b = at->b};

    if (n->saves && !(j.x = et_contig(n, n->in[0])))
        return et_error_status();
    j.gy = et_gy_data(n, 0);
    j.y = et_gx_inplace(n, 0, &j.acc);
    if (!j.gy || !j.y)
        return et_error_status();
    et_parallel_for(n->in[0]->numel, et_elem_grain(), piece, &j);
    return ET_OK;
}

static et_tensor *apply(const et_op *op, et_tensor *x, double a, double b)
{
    return et_apply1(op, 1, (et_tensor *const[]){x}, &(scalar_attr){a, b}, sizeof(scalar_attr));
}

/* The shapes that every op here is checked in. */
#define SAMPLES(CALL, KIND, LO, HI)                                                        \
    {.name = "matrix", .n_in = 1, .in = {{2, {3, 5}, LO, HI, KIND}}, .call = CALL},        \
    {.name = "past a vector", .n_in = 1, .in = {{1, {37}, LO, HI, KIND}}, .call = CALL},   \
    {.name = "past a piece", .n_in = 1, .in = {{1, {ET_GRAIN_ELEMS + 5}, LO, HI, KIND}}, .call = CALL}, \
    {.name = "scalar", .n_in = 1, .in = {{0, {0}, LO, HI, KIND}}, .call = CALL},           \
    {.name = "empty", .n_in = 1, .in = {{2, {0, 3}, LO, HI, KIND}}, .call = CALL}

/* --- y = x + c ----------------------------------------------------------------------------- */

static void add_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;

    j->k->affine(hi - lo, j->x + (size_t)lo * j->size, 1, j->a, j->y + (size_t)lo * j->size);
}

static et_status add_scalar_fwd(et_node *n) { return forward(n, add_piece); }
static et_status add_scalar_bwd(et_node *n) { return et_gx_pass(n, 0); }

static et_status add_scalar_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    (void)n;
    gx[0] = gy[0];
    return ET_OK;
}

ET_CALL(add_scalar_call, et_add_scalar(in[0], 1.5))
static const et_sample add_scalar_samples[] = {SAMPLES(add_scalar_call, ET_ARG_REAL, -1, 1)};
const et_op et_op_add_scalar = {
    .name = "add_scalar", .args = "r", .n_out = 1, .saves = ET_SAVE_NONE, .shape = same_shape,
    .fwd = add_scalar_fwd, .bwd = add_scalar_bwd, .bwd_graph = add_scalar_graph,
    ET_SAMPLES(add_scalar_samples),
};

/** y = x + c */
et_tensor *(et_add_scalar)(et_tensor *x, double c) { return apply(&et_op_add_scalar, x, c, 0); }

/* --- y = c x ------------------------------------------------------------------------------- */

static void mul_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;

    /* adding -0 leaves every product as it is, one of 0 with its sign */
    j->k->affine(hi - lo, j->x + (size_t)lo * j->size, j->a, -0.0, j->y + (size_t)lo * j->size);
}

static void mul_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;

    j->k->axpby(hi - lo, j->a, j->gy + (size_t)lo * j->size, j->acc, j->y + (size_t)lo * j->size);
}

static et_status mul_scalar_fwd(et_node *n) { return forward(n, mul_piece); }
static et_status mul_scalar_bwd(et_node *n) { return backward(n, mul_bwd_piece); }

static et_status mul_scalar_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    gx[0] = et_mul_scalar(gy[0], ET_ATTR(n, scalar_attr)->a);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(mul_scalar_call, et_mul_scalar(in[0], -1.5))
static const et_sample mul_scalar_samples[] = {SAMPLES(mul_scalar_call, ET_ARG_REAL, -1, 1)};
const et_op et_op_mul_scalar = {
    .name = "mul_scalar", .args = "r", .n_out = 1, .saves = ET_SAVE_NONE, .shape = same_shape,
    .fwd = mul_scalar_fwd, .bwd = mul_scalar_bwd, .bwd_graph = mul_scalar_graph,
    ET_SAMPLES(mul_scalar_samples),
};

/** y = c x */
et_tensor *(et_mul_scalar)(et_tensor *x, double c) { return apply(&et_op_mul_scalar, x, c, 0); }

/* --- y = x^p ------------------------------------------------------------------------------- */

/* y = x^p, p as a number of the tensor's dtype. */
static void power(const scalar_job *j, int64_t n, const void *x, double p, void *y)
{
    float pf = (float)p;

    j->k->pow(n, x, 1, j->k->dtype == ET_F64 ? (const void *)&p : (const void *)&pf, 0, y);
}

static void pow_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;

    power(j, hi - lo, j->x + (size_t)lo * j->size, j->a, j->y + (size_t)lo * j->size);
}

enum { POW_BLOCK = 256 };

static void pow_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;
    double t[POW_BLOCK]; /* p x^(p-1), of either dtype */

    for (int64_t at = lo; at < hi; at += POW_BLOCK) {
        int64_t n = hi - at < POW_BLOCK ? hi - at : POW_BLOCK;
        size_t off = (size_t)at * j->size;
        if (j->a == 0) { /* also at 0, where x^-1 is infinite */
            j->k->fill(n, 0, t);
        } else {
            power(j, n, j->x + off, j->a - 1, t);
            j->k->affine(n, t, j->a, 0, t);
        }
        j->k->mul_acc(n, t, 1, j->gy + off, 1, j->y + off, j->acc);
    }
}

static et_status pow_scalar_fwd(et_node *n) { return forward(n, pow_piece); }
static et_status pow_scalar_bwd(et_node *n) { return backward(n, pow_bwd_piece); }

static et_status pow_scalar_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    double p = ET_ATTR(n, scalar_attr)->a;

    gx[0] = p == 0 ? et_mul_scalar(gy[0], 0)
                   : et_mul(gy[0], et_mul_scalar(et_pow_scalar(n->in[0], p - 1), p));
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(pow_scalar_call, et_pow_scalar(in[0], 2.5))
ET_CALL(pow_cube_call, et_pow_scalar(in[0], 3))
static const et_sample pow_scalar_samples[] = {
    SAMPLES(pow_scalar_call, ET_ARG_REAL, 0.3, 2),
    {.name = "a whole power of negative numbers", .n_in = 1, .in = {{1, {6}, -2, -0.3}},
     .call = pow_cube_call},
};
const et_op et_op_pow_scalar = {
    .name = "pow_scalar", .args = "r", .n_out = 1, .saves = ET_SAVE_IN(0), .shape = same_shape,
    .fwd = pow_scalar_fwd, .bwd = pow_scalar_bwd, .bwd_graph = pow_scalar_graph,
    ET_SAMPLES(pow_scalar_samples),
};

/** y = x^p, as the C function pow: a negative x has only whole powers, others are NaN. */
et_tensor *(et_pow_scalar)(et_tensor *x, double p) { return apply(&et_op_pow_scalar, x, p, 0); }

/* --- y = min(max(x, lo), hi) ------------------------------------------------------------------ */

static void clamp_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;

    j->k->clamp(hi - lo, j->x + (size_t)lo * j->size, j->a, j->b, j->y + (size_t)lo * j->size);
}

static void clamp_bwd_piece(int64_t lo, int64_t hi, void *user)
{
    const scalar_job *j = user;
    size_t off = (size_t)lo * j->size;

    j->k->clamp_bwd(hi - lo, j->x + off, j->a, j->b, j->gy + off, j->y + off, j->acc);
}

static et_status clamp_shape(et_node *n)
{
    const scalar_attr *a = ET_ATTR(n, scalar_attr);

    if (!(a->a <= a->b))
        return et_op_raise(n, ET_EINVAL, "expected lo <= hi, got %g and %g", a->a, a->b);
    return et_out_like(n, 0, 0);
}

static et_status clamp_fwd(et_node *n) { return forward(n, clamp_piece); }
static et_status clamp_bwd(et_node *n) { return backward(n, clamp_bwd_piece); }

static et_status clamp_graph(et_node *n, et_tensor *const *gy, et_tensor **gx)
{
    const scalar_attr *a = ET_ATTR(n, scalar_attr);
    et_tensor *x = n->in[0], *ones = et_ones(x->dtype, x->ndim, x->shape);

    if (!ones)
        return et_error_status();
    const void *px = et_contig(n, x);
    et_tensor *inside = et_zeros(x->dtype, x->ndim, x->shape);
    if (!px || !inside)
        return et_error_status();
    et_k(n)->clamp_bwd(x->numel, px, a->a, a->b, et_data(ones), et_data_mut(inside), 0);
    gx[0] = et_mul(gy[0], inside);
    return gx[0] ? ET_OK : et_error_status();
}

ET_CALL(clamp_call, et_clamp(in[0], -1, 1))
static const et_sample clamp_samples[] = {SAMPLES(clamp_call, ET_ARG_AWAY, -3, 3)};
const et_op et_op_clamp = {
    .name = "clamp", .args = "r", .n_out = 1, .flags = ET_OP_KINK, .saves = ET_SAVE_IN(0),
    .shape = clamp_shape, .fwd = clamp_fwd, .bwd = clamp_bwd, .bwd_graph = clamp_graph,
    ET_SAMPLES(clamp_samples),
};

/** y = min(max(x, lo), hi); NaN stays. The derivative is 1 from lo to hi inclusive.
 *  EINVAL unless lo <= hi. */
et_tensor *(et_clamp)(et_tensor *x, double lo, double hi) { return apply(&et_op_clamp, x, lo, hi); }

/* --- y = -1, 0 or 1 ----------------------------------------------------------------------------- */

static et_status sign_fwd(et_node *n)
{
    const et_tensor *x = n->in[0];
    const void *p = et_contig(n, x);
    void *q = et_out_data(n, 0);

    if (!p || !q)
        return et_error_status();
    for (int64_t i = 0; i < x->numel; i++) {
        const double v = et_real_at(x, p, i);
        et_set_real(x, q, i, isnan(v) ? v : (v > 0) - (v < 0));
    }
    return ET_OK;
}

ET_CALL(sign_call, et_sign(in[0]))
static const et_sample sign_samples[] = {SAMPLES(sign_call, ET_ARG_AWAY, -3, 3)};
const et_op et_op_sign = {
    .name = "sign", .args = "r", .n_out = 1, .flags = ET_OP_NODIFF, .shape = same_shape, .fwd = sign_fwd,
    ET_SAMPLES(sign_samples),
};

/** y = -1, 0 or 1, the sign of x; NaN stays. Has no gradient. */
et_tensor *(et_sign)(et_tensor *x) { return et_apply1(&et_op_sign, 1, (et_tensor *const[]){x}, NULL, 0); }
