/* The gates of layer-norm LSTM and HyperLSTM cells: everything of a step but its products. */
#include "config.h"

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/ints.h"

enum { SHARDS = 16 }; /* of the rows, for sums over them: a fixed number, added in order */

/* Operands. */
enum { XW, HW, SCALE, BIAS, C, GAMMA, BETA, GAMMA_C, BETA_C, KEEP, N_IN };
enum { I, J, F, O, GATES }; /* order of the gates */
/* Saved extras. */
enum { PRE, ACT, TANH_C, STATS };
enum { N_STATS = 2 * (GATES + 1) }; /* of a row: mean and 1/deviation of each gate and of c' */

typedef struct {
    double eps;
} gates_attr;

typedef struct {
    const et_kernels *k;
    size_t size;
    int64_t rows, units, shard;
    double eps;
    const char *in[N_IN];
    char *h, *c, *pre, *act, *tanh_c, *stats, *work;
    /* backward */
    const char *dh, *dc;
    char *gx[N_IN];
    int acc[N_IN];
    char *sums; /* [SHARDS][bias, gamma, beta: 4n each; gamma_c, beta_c: n each] */
} gates_job;

static char *at(const gates_job *j, const void *p, int64_t i)
{
    return (char *)(uintptr_t)p + (size_t)i * j->size;
}

static et_status gates_shape(et_node *n)
{
    const et_tensor *xw = n->in[XW];
    static const char *const names[] = {"xw", "hw", "scale", "bias", "c", "gamma", "beta", "gamma_c",
                                        "beta_c", "keep"};

    if (xw->ndim != 2 || xw->shape[1] % GATES || xw->shape[1] < GATES)
        return et_op_raise(n, ET_ESHAPE, "xw is %s, expected [B, 4n]", et_shape_str(xw));
    const int64_t B = xw->shape[0], u = xw->shape[1] / GATES;
    const struct {
        int ndim;
        int64_t shape[3];
    } want[] = {{2, {B, 4 * u}}, {2, {B, 4 * u}}, {3, {12, B, u}}, {1, {4 * u}}, {2, {B, u}},
                {1, {4 * u}},    {1, {4 * u}},    {1, {u}},        {1, {u}},     {2, {B, u}}};
    for (int i = HW; i < N_IN; i++) {
        const et_tensor *t = n->in[i];
        bool same = !t || t->ndim == want[i].ndim;
        for (int d = 0; t && same && d < t->ndim; d++)
            same = t->shape[d] == want[i].shape[d];
        if (!same)
            return et_op_raise(n, ET_ESHAPE, "%s is %s, which does not fit xw %s", names[i], et_shape_str(t),
                               et_shape_str(xw));
    }
    if (n->in[SCALE] && !n->in[HW])
        return et_op_raise(n, ET_EINVAL, "scale without hw");
    if (!(ET_ATTR(n, gates_attr)->eps > 0))
        return et_op_raise(n, ET_EINVAL, "eps is %g, expected a positive number",
                           ET_ATTR(n, gates_attr)->eps);
    const et_status s = et_out(n, 0, xw->dtype, 2, want[C].shape);
    return s ? s : et_out(n, 1, xw->dtype, 2, want[C].shape);
}

/* `read`: the operands whose elements are read. */
static et_status start(et_node *n, unsigned read, gates_job *j)
{
    const et_tensor *c = n->in[C];

    *j = (gates_job){.k = et_k(n), .size = et_dtype_size(c->dtype), .eps = ET_ATTR(n, gates_attr)->eps,
                     .rows = c->shape[0], .units = c->shape[1]};
    j->shard = ceil_div(j->rows, SHARDS);
    for (int i = 0; i < N_IN; i++)
        if (n->in[i] && (read & ET_SAVE_IN(i)) && !(j->in[i] = et_contig(n, n->in[i])))
            return et_error_status();
    return ET_OK;
}

/* Scales of gate g in row b: for x (part 0), for h (1), and what is added (2). */
static const char *scale(const gates_job *j, int part, int g, int64_t b)
{
    return at(j, j->in[SCALE], ((part * GATES + g) * j->rows + b) * j->units);
}

static void gates_rows(int64_t lo, int64_t hi, void *user)
{
    const gates_job *j = user;
    const et_kernels *k = j->k;
    const int64_t u = j->units;

    for (int64_t b = lo; b < hi; b++) {
        char *pre = at(j, j->pre, b * GATES * u), *act = at(j, j->act, b * GATES * u);
        char *stats = at(j, j->stats, b * N_STATS), *c = at(j, j->c, b * u), *h = at(j, j->h, b * u);
        char *tc = at(j, j->tanh_c, b * u);
        for (int g = 0; g < GATES; g++) {
            const char *xw = at(j, j->in[XW], (b * GATES + g) * u);
            const char *hw = j->in[HW] ? at(j, j->in[HW], (b * GATES + g) * u) : NULL;
            char *p = at(j, pre, g * u), *a = at(j, act, g * u);
            if (j->in[SCALE]) {
                k->binary[ET_B_MUL](u, scale(j, 0, g, b), 1, xw, 1, p);
                k->mul_acc(u, scale(j, 1, g, b), 1, hw, 1, p, 1);
                k->axpby(u, 1, scale(j, 2, g, b), 1, p);
            } else if (hw) {
                k->binary[ET_B_ADD](u, xw, 1, hw, 1, p);
            } else {
                k->axpby(u, 1, xw, 0, p);
            }
            if (j->in[BIAS])
                k->axpby(u, 1, at(j, j->in[BIAS], g * u), 1, p);
            k->layer_norm(1, u, p, at(j, j->in[GAMMA], g * u), at(j, j->in[BETA], g * u), j->eps, a,
                          at(j, stats, 2 * g), at(j, stats, 2 * g + 1));
            if (g == F)
                k->affine(u, a, 1, 1, a);
            k->unary[g == J ? ET_U_TANH : ET_U_SIGMOID](u, a, a);
        }
        /* c' = f c + i keep tanh(j) */
        k->binary[ET_B_MUL](u, at(j, act, I * u), 1, at(j, act, J * u), 1, tc);
        if (j->in[KEEP])
            k->binary[ET_B_MUL](u, tc, 1, at(j, j->in[KEEP], b * u), 1, tc);
        k->mul_acc(u, at(j, act, F * u), 1, at(j, j->in[C], b * u), 1, tc, 1);
        k->axpby(u, 1, tc, 0, c);
        /* h = o tanh(LN(c')) */
        k->layer_norm(1, u, c, j->in[GAMMA_C], j->in[BETA_C], j->eps, tc, at(j, stats, 2 * GATES),
                      at(j, stats, 2 * GATES + 1));
        k->unary[ET_U_TANH](u, tc, tc);
        k->binary[ET_B_MUL](u, at(j, act, O * u), 1, tc, 1, h);
    }
}

static et_status gates_fwd(et_node *n)
{
    gates_job j;

    if (start(n, ~0u, &j) != ET_OK)
        return et_error_status();
    const et_dtype dtype = n->in[C]->dtype;
    et_tensor *pre = et_save_extra(n, PRE, dtype, 2, n->in[XW]->shape);
    et_tensor *act = et_save_extra(n, ACT, dtype, 2, n->in[XW]->shape);
    et_tensor *tanh_c = et_save_extra(n, TANH_C, dtype, 2, n->in[C]->shape);
    et_tensor *stats = et_save_extra(n, STATS, dtype, 2, (const int64_t[]){j.rows, N_STATS});
    j.h = et_out_data(n, 0);
    j.c = et_out_data(n, 1);
    if (!pre || !act || !tanh_c || !stats || !j.h || !j.c)
        return et_error_status();
    j.pre = et_data_mut(pre);
    j.act = et_data_mut(act);
    j.tanh_c = et_data_mut(tanh_c);
    j.stats = et_data_mut(stats);
    et_parallel_for(j.rows, et_row_grain(j.rows, 64 * j.units), gates_rows, &j);
    return ET_OK;
}

/* One row: `grad` holds the gradients of the normalised gates [4n], then of the sums [4n]. */
static void row_bwd(const gates_job *j, int64_t b, char *grad, char *sums)
{
    const et_kernels *k = j->k;
    const int64_t u = j->units;
    const char *act = at(j, j->act, b * GATES * u), *pre = at(j, j->pre, b * GATES * u);
    const char *stats = at(j, j->stats, b * N_STATS), *tc = at(j, j->tanh_c, b * u), *c = at(j, j->c, b * u);
    char *dpre = at(j, grad, GATES * u), *dc = at(j, grad, 2 * GATES * u), *t = at(j, dc, u);
    char *d_bias = sums, *d_gamma = at(j, sums, GATES * u), *d_beta = at(j, sums, 2 * GATES * u);
    char *d_gamma_c = at(j, sums, 3 * GATES * u), *d_beta_c = at(j, d_gamma_c, u);

    /* h = o tanh(LN(c')) */
    if (j->dc)
        k->axpby(u, 1, at(j, j->dc, b * u), 0, dc);
    else
        k->fill(u, 0, dc);
    if (j->dh) {
        const char *dh = at(j, j->dh, b * u);
        k->binary[ET_B_MUL](u, dh, 1, tc, 1, at(j, grad, O * u));
        k->binary[ET_B_MUL](u, dh, 1, at(j, act, O * u), 1, t);
        k->unary_bwd[ET_U_TANH](u, tc, t, t, 0);
        k->layer_norm_bwd(1, u, c, j->in[GAMMA_C], at(j, stats, 2 * GATES), at(j, stats, 2 * GATES + 1),
                          t, dc, 1, d_gamma_c, d_beta_c);
    } else {
        k->fill(u, 0, at(j, grad, O * u));
    }
    /* c' = f c + i keep tanh(j) */
    if (j->gx[C])
        k->mul_acc(u, dc, 1, at(j, act, F * u), 1, at(j, j->gx[C], b * u), j->acc[C]);
    k->binary[ET_B_MUL](u, dc, 1, at(j, j->in[C], b * u), 1, at(j, grad, F * u));
    if (j->gx[KEEP]) {
        k->binary[ET_B_MUL](u, at(j, act, I * u), 1, at(j, act, J * u), 1, t);
        k->mul_acc(u, dc, 1, t, 1, at(j, j->gx[KEEP], b * u), j->acc[KEEP]);
    }
    if (j->in[KEEP])
        k->binary[ET_B_MUL](u, dc, 1, at(j, j->in[KEEP], b * u), 1, dc);
    k->binary[ET_B_MUL](u, dc, 1, at(j, act, J * u), 1, at(j, grad, I * u));
    k->binary[ET_B_MUL](u, dc, 1, at(j, act, I * u), 1, at(j, grad, J * u));
    for (int g = 0; g < GATES; g++) {
        char *d = at(j, grad, g * u), *dp = at(j, dpre, g * u);
        const int64_t at_x = (b * GATES + g) * u;
        k->unary_bwd[g == J ? ET_U_TANH : ET_U_SIGMOID](u, at(j, act, g * u), d, d, 0);
        k->layer_norm_bwd(1, u, at(j, pre, g * u), at(j, j->in[GAMMA], g * u), at(j, stats, 2 * g),
                          at(j, stats, 2 * g + 1), d, dp, 0, at(j, d_gamma, g * u), at(j, d_beta, g * u));
        k->axpby(u, 1, dp, 1, at(j, d_bias, g * u));
        for (int part = 0; part < 2; part++) { /* XW, HW */
            if (j->gx[part]) {
                char *to = at(j, j->gx[part], at_x);
                if (j->in[SCALE])
                    k->mul_acc(u, dp, 1, scale(j, part, g, b), 1, to, j->acc[part]);
                else
                    k->axpby(u, 1, dp, j->acc[part], to);
            }
            if (j->gx[SCALE])
                k->mul_acc(u, dp, 1, at(j, j->in[part], at_x), 1,
                           at(j, j->gx[SCALE], ((part * GATES + g) * j->rows + b) * u), j->acc[SCALE]);
        }
        if (j->gx[SCALE])
            k->axpby(u, 1, dp, j->acc[SCALE], at(j, j->gx[SCALE], ((2 * GATES + g) * j->rows + b) * u));
    }
}

static int64_t sums_of(const gates_job *j) { return (3 * GATES + 2) * j->units; }
static int64_t work_of(const gates_job *j) { return (2 * GATES + 2) * j->units; }

static void gates_bwd_shard(int64_t lo, int64_t hi, void *user)
{
    const gates_job *j = user;

    for (int64_t s = lo; s < hi; s++)
        for (int64_t b = s * j->shard; b < (s + 1) * j->shard && b < j->rows; b++)
            row_bwd(j, b, at(j, j->work, s * work_of(j)), at(j, j->sums, s * sums_of(j)));
}

static et_status gates_bwd(et_node *n)
{
    static const struct {
        int operand, offset, width; /* in units */
    } shared[] = {{BIAS, 0, GATES}, {GAMMA, GATES, GATES}, {BETA, 2 * GATES, GATES}, {GAMMA_C, 3 * GATES, 1},
                  {BETA_C, 3 * GATES + 1, 1}};
    gates_job j;

    if (start(n, n->saves, &j) != ET_OK)
        return et_error_status();
    j.c = (char *)(uintptr_t)et_data(n->out[1]);
    j.pre = et_data_mut(n->saved[PRE]);
    j.act = et_data_mut(n->saved[ACT]);
    j.tanh_c = et_data_mut(n->saved[TANH_C]);
    j.stats = et_data_mut(n->saved[STATS]);
    j.work = et_scratch(n, (size_t)(SHARDS * work_of(&j)) * j.size);
    j.sums = et_scratch(n, (size_t)(SHARDS * sums_of(&j)) * j.size);
    if (et_gy(n, 0))
        j.dh = et_gy_data(n, 0);
    if (et_gy(n, 1))
        j.dc = et_gy_data(n, 1);
    if (!j.c || !j.pre || !j.act || !j.tanh_c || !j.stats || !j.work || !j.sums || et_error_status())
        return et_error_status();
    j.k->fill(SHARDS * sums_of(&j), 0, j.sums);
    for (int i = 0; i < N_IN; i++)
        if (et_needs(n, i) && (i <= SCALE || i == C || i == KEEP) && !(j.gx[i] = et_gx(n, i, &j.acc[i])))
            return et_error_status();
    et_parallel_for(SHARDS, et_row_grain(SHARDS, 128 * j.shard * j.units), gates_bwd_shard, &j);
    for (size_t p = 0; p < sizeof shared / sizeof *shared; p++) {
        int acc;
        if (!et_needs(n, shared[p].operand))
            continue;
        void *g = et_gx(n, shared[p].operand, &acc);
        if (!g)
            return et_error_status();
        j.k->col_sum(SHARDS, shared[p].width * j.units, at(&j, j.sums, shared[p].offset * j.units),
                     sums_of(&j), g, acc);
    }
    return ET_OK;
}

static unsigned gates_saves(const et_node *n)
{
    unsigned s = ET_SAVE_IN(C) | ET_SAVE_IN(GAMMA) | ET_SAVE_IN(BETA) | ET_SAVE_IN(GAMMA_C) |
                 ET_SAVE_IN(BETA_C) |
                 ET_SAVE_OUT(1) | (n->in[KEEP] ? ET_SAVE_IN(KEEP) : 0u);

    /* the products meet scales alone */
    return n->in[SCALE] ? s | ET_SAVE_IN(XW) | ET_SAVE_IN(HW) | ET_SAVE_IN(SCALE) : s;
}

static int gates_hyper(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_norm_lstm_gates(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], in[8], in[9], 1e-3,
                                &out[1]);
    return out[0] ? 2 : -1;
}

static int gates_plain(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_norm_lstm_gates(in[0], NULL, NULL, NULL, in[1], in[2], in[3], in[4], in[5], NULL, 1e-3,
                                &out[1]);
    return out[0] ? 2 : -1;
}

static int gates_sum(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_norm_lstm_gates(in[0], in[1], NULL, in[2], in[3], in[4], in[5], in[6], in[7], NULL, 1e-3,
                                &out[1]);
    return out[0] ? 2 : -1;
}

#define M(r, c) {2, {r, c}}
#define V(n) {1, {n}}
static const et_sample gates_samples[] = {
    {.name = "HyperLSTM", .n_in = 10, .call = gates_hyper,
     .in = {M(3, 20), M(3, 20), {3, {12, 3, 5}}, V(20), M(3, 5), V(20), V(20), V(5), V(5), M(3, 5)}},
    {.name = "past a vector and the shards", .n_in = 10, .call = gates_hyper,
     .in = {M(19, 76), M(19, 76), {3, {12, 19, 19}}, V(76), M(19, 19), V(76), V(76), V(19), V(19),
            M(19, 19)}},
    {.name = "layer-norm LSTM", .n_in = 8, .call = gates_sum,
     .in = {M(3, 20), M(3, 20), V(20), M(3, 5), V(20), V(20), V(5), V(5)}},
    {.name = "only what must be there", .n_in = 6, .call = gates_plain,
     .in = {M(2, 16), M(2, 4), V(16), V(16), V(4), V(4)}},
    {.name = "no rows", .n_in = 6, .call = gates_plain, .in = {M(0, 16), M(0, 4), V(16), V(16), V(4), V(4)}},
};
const et_op et_op_norm_lstm_gates = {
    .name = "norm_lstm_gates", .args = "r r? r? r? r r r r r r?", .n_out = 2, .flags = ET_OP_ONCE,
    .saves_for = gates_saves, .shape = gates_shape, .fwd = gates_fwd, .bwd = gates_bwd,
    ET_SAMPLES(gates_samples),
};

/**
 * What follows the products in a step of a layer-norm LSTM or HyperLSTM, gates in the order
 * i, j, f, o, each of n units:
 *
 *   pre_g = s_gx xw_g + s_gh hw_g + d_g + bias_g
 *   i = sigmoid(LN(pre_i)),  f = sigmoid(LN(pre_f) + 1),  o = sigmoid(LN(pre_o))
 *   c' = f c + i keep tanh(LN(pre_j)),   h' = o tanh(LN(c'))
 *
 * xw       [B, 4n]    product of the input;  hw [B, 4n] product of the state, or NULL
 * scale    [12, B, n] of i, j, f, o: s_gx, then s_gh, then d_g (HyperLSTM); NULL: 1, 1, 0
 * bias     [4n]       or NULL
 * c        [B, n]     the cell before the step
 * gamma, beta     [4n] gain and shift of each gate's layer norm
 * gamma_c, beta_c [n]  of the cell's
 * keep     [B, n]     factor of the candidate (recurrent dropout: 0 or 1/keep), or NULL
 * eps      of all layer norms
 * c_new    receives c' [B, n]; may be NULL
 * return   h' [B, n]
 *
 * Can be differentiated once. Errors: ESHAPE; EINVAL (eps, scale without hw); ENOMEM.
 * Source: Ha, Dai and Le 2016 (arXiv 1609.09106), appendix A.2; Ba, Kiros and Hinton 2016.
 */
et_tensor *(et_norm_lstm_gates)(et_tensor *xw, et_tensor *hw, et_tensor *scale, et_tensor *bias, et_tensor *c,
                                et_tensor *gamma, et_tensor *beta, et_tensor *gamma_c, et_tensor *beta_c,
                                et_tensor *keep, double eps, et_tensor **c_new)
{
    et_tensor *in[] = {xw, hw, scale, bias, c, gamma, beta, gamma_c, beta_c, keep}, *out[ET_MAX_OUT] = {NULL};
    const gates_attr attr = {eps};

    if (c_new)
        *c_new = NULL;
    if (et_apply(&et_op_norm_lstm_gates, N_IN, in, &attr, sizeof attr, out))
        return NULL;
    if (c_new)
        *c_new = out[1];
    return out[0];
}
