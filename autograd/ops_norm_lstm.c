/* Layer-norm LSTM and HyperLSTM as one op over whole sequences, one direction each: operands, shapes and
 * samples. The walks through time are in norm_lstm.c and norm_lstm_bwd.c. */
#include "config.h"

#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/norm_lstm.h"
#include "autograd/ops.h"
#include "autograd/shards.h"

#if 0
/* ops.h: begin */
/** The small layer-norm LSTM of k units that scales a HyperLSTM's weights. */
typedef struct et_hyper_cell {
    et_tensor *xu;    /* [B, T, 4k]     product of the input */
    et_tensor *w_u;   /* [n + k, 4k]    recurrent weights, of [h, u] */
    et_tensor *norm;  /* [10k]          as the large cell's */
    et_tensor *zw;    /* [k, 12e]       Z: of s_gx in the order i, j, f, o, then of s_gh, then of d_g */
    et_tensor *zb;    /* [12e]          z0 */
    et_tensor *alpha; /* [12, e, n]     A */
} et_hyper_cell;
/* ops.h: end */
#endif

enum { GATES = ET_NL_GATES, SCALES = ET_NL_SCALES };

static et_status check(const et_node *n, int i, const char *name, int ndim, int64_t a, int64_t b, int64_t c)
{
    const et_tensor *t = n->in[i];
    const int64_t want[3] = {a, b, c};
    bool same = !t || t->ndim == ndim;

    for (int d = 0; t && same && d < ndim; d++)
        same = t->shape[d] == want[d];
    return same ? ET_OK : et_op_raise(n, ET_ESHAPE, "%s is %s, which does not fit the other operands", name,
                                      et_shape_str(t));
}

static et_status norm_shape(et_node *n)
{
    const et_tensor *xw = n->in[ET_NL_XW], *xu = n->in[ET_NL_XU], *zw = n->in[ET_NL_ZW];
    const double eps = ET_ATTR(n, et_norm_lstm_attr)->eps;

    if (xw->ndim != 3 || xw->shape[2] % GATES || xw->shape[2] < GATES)
        return et_op_raise(n, ET_ESHAPE, "xw is %s, expected [B, T, 4n]", et_shape_str(xw));
    const int64_t B = xw->shape[0], T = xw->shape[1], u = xw->shape[2] / GATES;
    int64_t k = 0, e = 0;
    for (int i = ET_NL_XU; i < ET_NL_IN; i++)
        if (!n->in[i] != !xu)
            return et_op_raise(n, ET_EINVAL, "a part of the small cell is missing");
    if (xu) {
        if (xu->ndim != 3 || xu->shape[2] % GATES || xu->shape[2] < GATES)
            return et_op_raise(n, ET_ESHAPE, "xu is %s, expected [B, T, 4k]", et_shape_str(xu));
        if (zw->ndim != 2 || zw->shape[1] % SCALES || zw->shape[1] < SCALES)
            return et_op_raise(n, ET_ESHAPE, "zw is %s, expected [k, 12e]", et_shape_str(zw));
        k = xu->shape[2] / GATES;
        e = zw->shape[1] / SCALES;
    }
    if (check(n, ET_NL_STATE, "state", 2, B, 2 * (u + k), 0) ||
        check(n, ET_NL_W_HH, "w_hh", 2, u, GATES * u, 0) ||
        check(n, ET_NL_NORM, "norm", 1, (2 * GATES + 2) * u, 0, 0) ||
        check(n, ET_NL_BIAS, "bias", 1, GATES * u, 0, 0) || check(n, ET_NL_KEEP, "keep", 3, B, T, u) ||
        check(n, ET_NL_XU, "xu", 3, B, T, GATES * k) || check(n, ET_NL_W_U, "w_u", 2, u + k, GATES * k, 0) ||
        check(n, ET_NL_NORM_U, "norm of the small cell", 1, (2 * GATES + 2) * k, 0, 0) ||
        check(n, ET_NL_ZW, "zw", 2, k, SCALES * e, 0) || check(n, ET_NL_ZB, "zb", 1, SCALES * e, 0, 0) ||
        check(n, ET_NL_ALPHA, "alpha", 3, SCALES, e, u) || et_check_lengths(n, ET_NL_LENGTHS, B, T))
        return et_error_status();
    if (!(eps > 0))
        return et_op_raise(n, ET_EINVAL, "eps is %g, expected a positive number", eps);
    const et_status s = et_out(n, 0, xw->dtype, ET_SHAPE(B, T, u));
    return s ? s : et_out(n, 1, xw->dtype, ET_SHAPE(B, 2 * (u + k)));
}

/* All but what the kept products hold: the first state, xu and zb, and xw where there are no scales. */
static unsigned norm_saves(const et_node *n)
{
    unsigned saves = 0;

    for (int i = 0; i < ET_NL_IN; i++)
        if (n->in[i] && i != ET_NL_STATE && i != ET_NL_XU && i != ET_NL_ZB &&
            (i != ET_NL_XW || n->in[ET_NL_XU]))
            saves |= ET_SAVE_IN(i);
    return saves;
}

/* Two a multiply-add; backward makes the scales again. */
static double norm_flops(const et_node *n, bool backward)
{
    const et_tensor *xw = n->in[ET_NL_XW];
    const double rows = (double)(xw->shape[0] * xw->shape[1]);
    double weights = (double)n->in[ET_NL_W_HH]->numel, scales = 0;

    if (n->in[ET_NL_XU]) {
        scales = (double)n->in[ET_NL_ALPHA]->numel;
        weights += (double)(n->in[ET_NL_W_U]->numel + n->in[ET_NL_ZW]->numel) + scales;
    }
    return 2 * rows * (backward ? 2 * weights + scales : weights);
}

/* --- samples ------------------------------------------------------------------------------------- */

static et_tensor *sample_call(et_tensor *const *in, et_tensor *bias, et_tensor *keep, et_tensor *lengths,
                              const et_hyper_cell *hyper, bool reverse, et_tensor **out)
{
    return out[0] = et_norm_lstm_walk(in[0], in[1], in[2], in[3], bias, keep, lengths, hyper, 1e-3, reverse,
                                      &out[1]);
}

static int norm_all(et_tensor *const *in, et_tensor **out)
{
    const et_hyper_cell hyper = {in[6], in[7], in[8], in[9], in[10], in[11]};

    return sample_call(in, in[4], in[5], NULL, &hyper, false, out) ? 2 : -1;
}

static int norm_reverse(et_tensor *const *in, et_tensor **out)
{
    const et_hyper_cell hyper = {in[6], in[7], in[8], in[9], in[10], in[11]};

    return sample_call(in, in[4], in[5], in[12], &hyper, true, out) ? 2 : -1;
}

static int norm_lengths(et_tensor *const *in, et_tensor **out)
{
    return sample_call(in, in[4], NULL, in[5], NULL, false, out) ? 2 : -1;
}

static int norm_bare(et_tensor *const *in, et_tensor **out)
{
    return sample_call(in, NULL, NULL, NULL, NULL, false, out) ? 2 : -1;
}

#define S(b, t, c) {3, {b, t, c}}
#define M(r, c) {2, {r, c}}
#define V(n) {1, {n}}
#define LENGTHS(B, LO, HI) {.ndim = 1, .shape = {B}, .lo = LO, .hi = (HI) + 1, .kind = ET_ARG_INDEX}
/* Operands of a HyperLSTM but for the lengths. */
#define HYPER(B, T, n, k, e)                                                                        \
    S(B, T, 4 * (n)), M(B, 2 * ((n) + (k))), M(n, 4 * (n)), V(10 * (n)), V(4 * (n)), S(B, T, n),        \
        S(B, T, 4 * (k)), M((n) + (k), 4 * (k)), V(10 * (k)), M(k, 12 * (e)), V(12 * (e)), S(12, e, n)

static const et_sample norm_samples[] = {
    {.name = "HyperLSTM", .n_in = 12, .call = norm_all, .in = {HYPER(3, 3, 4, 3, 2)}},
    {.name = "HyperLSTM, one frame", .n_in = 12, .call = norm_all, .in = {HYPER(2, 1, 3, 2, 1)}},
    {.name = "reverse, lengths",
     .n_in = 13,
     .call = norm_reverse,
     .in = {HYPER(6, 3, 3, 4, 1), LENGTHS(6, 0, 3)}},
    {.name = "layer-norm LSTM, lengths",
     .n_in = 6,
     .call = norm_lengths,
     .in = {S(3, 4, 20), M(3, 10), M(5, 20), V(50), V(20), LENGTHS(3, 0, 4)}},
    {.name = "only what must be there",
     .n_in = 4,
     .call = norm_bare,
     .in = {S(2, 3, 16), M(2, 8), M(4, 16), V(40)}},
    {.name = "no rows", .n_in = 4, .call = norm_bare, .in = {S(0, 3, 16), M(0, 8), M(4, 16), V(40)}},
    {.name = "no frames", .n_in = 4, .call = norm_bare, .in = {S(2, 0, 16), M(2, 8), M(4, 16), V(40)}},
    {.name = "two shards and chunks",
     .n_in = 4,
     .call = norm_bare,
     .in = {S(56, 20, 64), M(56, 32), M(16, 64), V(160)}},
};
const et_op et_op_norm_lstm_walk = {
    .name = "norm_lstm_walk", .args = "r r r r r? r? i? r? r? r? r? r? r?", .n_out = 2, .flags = ET_OP_ONCE,
    .saves_for = norm_saves, .shape = norm_shape, .fwd = et_norm_lstm_fwd, .bwd = et_norm_lstm_bwd,
    .flops = norm_flops, ET_SAMPLES(norm_samples),
};

/**
 * A layer-norm LSTM or HyperLSTM of n units over whole sequences, gates in the order i, j, f, o, LN being a
 * layer norm with gain and shift. From h and c, at every step:
 *
 *   pre_g = s_gx xw_g + s_gh (h W_hh)_g + d_g + bias_g
 *   i = sigmoid(LN(pre_i)),  f = sigmoid(LN(pre_f) + 1),  o = sigmoid(LN(pre_o))
 *   c' = f c + i keep tanh(LN(pre_j)),   h' = o tanh(LN(c'))
 *
 * and y is h'. In a layer-norm LSTM s is 1 and d is 0. In a HyperLSTM a small cell of the same equations goes
 * first, from u and v to u' and v' with pre = xu + [h, u] W_u; then
 *
 *   z = u' Z + z0,   s_gx = z_gx A_gx,   s_gh = z_gh A_gh,   d_g = z_gd A_gd
 *
 * xw       [B, T, 4n]  product of the input
 * state    [B, 2n]     h, c before the first step; HyperLSTM: [B, 2 (n + k)], h, u, c, v
 * w_hh     [n, 4n]
 * norm     [10n]       gains of the gates' layer norms, their shifts (4n each), gain and shift of the cell's
 * bias     [4n]        or NULL
 * keep     [B, T, n]   factor of the candidate (recurrent dropout: 0 or 1/keep), or NULL
 * lengths  int32 [B]   steps of each row, 0 .. T; NULL: T. Behind its end a row's state stays, y repeats it
 * hyper    the small cell; NULL: layer-norm LSTM
 * eps      of all layer norms
 * reverse  each row begins with its own last frame; y stands where its input does
 * last     receives the state after the last step, as `state`; may be NULL
 * return   y [B, T, n]
 *
 * Can be differentiated once. Errors: ESHAPE; EINVAL (eps, a length outside 0 .. T, a small cell that lacks
 * a part); ENOMEM.
 * Source: Ha, Dai and Le 2016 (arXiv 1609.09106), appendix A.2; Ba, Kiros and Hinton 2016.
 */
et_tensor *(et_norm_lstm_walk)(et_tensor *xw, et_tensor *state, et_tensor *w_hh, et_tensor *norm,
                               et_tensor *bias, et_tensor *keep, et_tensor *lengths,
                               const et_hyper_cell *hyper, double eps, bool reverse, et_tensor **last)
{
    static const et_hyper_cell none = {NULL, NULL, NULL, NULL, NULL, NULL};
    const et_hyper_cell *u = hyper ? hyper : &none;
    et_tensor *in[] = {xw,    state,  w_hh,    norm,  bias,  keep,    lengths,
                       u->xu, u->w_u, u->norm, u->zw, u->zb, u->alpha};
    et_tensor *out[ET_MAX_OUT] = {NULL};
    const et_norm_lstm_attr attr = {reverse, eps};

    if (last)
        *last = NULL;
    if (et_apply(&et_op_norm_lstm_walk, ET_NL_IN, in, &attr, sizeof attr, out))
        return NULL;
    if (last)
        *last = out[1];
    return out[0];
}
