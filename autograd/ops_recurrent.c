/* Recurrent layers as single ops over whole sequences: tanh RNN, GRU and LSTM, one direction
 * each. Two directions are two calls, one with `reverse`, and a concatenation. The walk
 * through time, forward and backward, is in recurrent.c and recurrent_bwd.c; each cell's step
 * and its derivative in tensor/kernels/recurrent_cells.h. */
#include "config.h"

#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "autograd/recurrent.h"

#if 0
/* ops.h: begin */
/** Options of the recurrent layers; NULL stands for all false. */
typedef struct et_rnn_opts {
    bool reverse; /* time runs backwards: the first step reads the last frame */
    bool relu;    /* et_rnn: max(0, .) instead of tanh */
} et_rnn_opts;
/* ops.h: end */
#endif

/* Calls op and hands out its results. */
static et_tensor *apply(const et_op *op, et_cell cell, int n_in, et_tensor *const *in,
                        const et_rnn_opts *opts, et_tensor **h_n, et_tensor **c_n)
{
    et_rec_attr attr = {.cell = cell, .reverse = opts && opts->reverse}; /* forward notes its kernels */
    et_tensor *out[ET_MAX_OUT] = {NULL};

    if (h_n)
        *h_n = NULL;
    if (c_n)
        *c_n = NULL;
    if (et_apply(op, n_in, in, &attr, sizeof attr, out))
        return NULL;
    if (h_n)
        *h_n = out[1];
    if (c_n)
        *c_n = out[2];
    return out[0];
}

/* --- samples ------------------------------------------------------------------------------ */

#define X(B, T, F) {.ndim = 3, .shape = {B, T, F}}
#define M(R, C) {.ndim = 2, .shape = {R, C}}
#define V(N) {.ndim = 1, .shape = {N}}
#define LENGTHS(B, LO, HI) {.ndim = 1, .shape = {B}, .lo = LO, .hi = (HI) + 1, .kind = ET_ARG_INDEX}

static const et_rnn_opts backwards = {.reverse = true};

/* The operands of a sample in the op's order; absent ones are NULL. */
#define SAMPLE(name, expr)                                    \
    static int name(et_tensor *const *in, et_tensor **out)    \
    {                                                         \
        out[0] = (expr);                                      \
        return out[0] ? 2 : -1;                               \
    }

/* --- tanh RNN ------------------------------------------------------------------------------ */

SAMPLE(rnn_all, et_rnn(in[0], in[1], in[2], in[3], in[4], in[5], in[6], NULL, &out[1]))
SAMPLE(rnn_reverse, et_rnn(in[0], in[1], in[2], in[3], in[4], in[5], in[6], &backwards, &out[1]))
SAMPLE(rnn_square, et_rnn(in[0], in[1], in[2], in[3], in[4], in[5], NULL, NULL, &out[1]))
SAMPLE(rnn_bare, et_rnn(in[0], NULL, in[1], in[2], NULL, NULL, NULL, NULL, &out[1]))

/* relu, every preactivation away from 0: its sign is that of its row of the weights. */
static int rnn_relu(et_tensor *const *in, et_tensor **out)
{
    const et_rnn_opts opts = {.relu = true};
    const int64_t units = in[1] ? in[1]->shape[0] : 0;
    double signs[21];

    for (int64_t i = 0; i < units; i++)
        signs[i] = i % 3 == 1 ? -1 : 1;
    et_tensor *sign = et_to(et_from(ET_F64, ET_SHAPE(units, 1), signs), in[0] ? in[0]->dtype : ET_F64);
    out[0] = et_rnn(in[0], NULL, et_mul(in[1], sign), et_mul(in[2], sign), NULL, NULL, NULL, &opts, &out[1]);
    return out[0] ? 2 : -1;
}

#define POSITIVE(n, ...) {.ndim = n, .shape = {__VA_ARGS__}, .lo = 0.1, .hi = 1}

static const et_sample rnn_samples[] = {
    {"lengths", 7, {X(3, 4, 2), M(3, 5), M(5, 2), M(5, 5), V(5), V(5), LENGTHS(3, 0, 4)}, rnn_all, 0},
    {"reverse, lengths", 7,
     {X(3, 4, 2), M(3, 5), M(5, 2), M(5, 5), V(5), V(5), LENGTHS(3, 0, 4)}, rnn_reverse, 0},
    {"only what must be there", 3, {X(2, 3, 4), M(3, 4), M(3, 3)}, rnn_bare, 0},
    {"one frame of one row", 3, {X(1, 1, 2), M(2, 2), M(2, 2)}, rnn_bare, 0},
    {"h0 of w_hh's shape", 6, {X(3, 2, 3), M(3, 3), M(3, 3), M(3, 3), V(3), V(3)}, rnn_square, 0},
    {"no rows", 3, {X(0, 3, 2), M(2, 2), M(2, 2)}, rnn_bare, 0},
    {"relu", 3, {POSITIVE(3, 2, 3, 2), POSITIVE(2, 5, 2), POSITIVE(2, 5, 5)}, rnn_relu, 0},
    {"relu, past a vector", 3, {POSITIVE(3, 2, 3, 2), POSITIVE(2, 21, 2), POSITIVE(2, 21, 21)}, rnn_relu, 0},
};

const et_op et_op_rnn = {
    .name = "rnn", .args = "r r? r r r? r? i?", .n_out = 2, .flags = ET_OP_ONCE, .saves_for = et_rec_saves,
    .shape = et_rec_shape, .fwd = et_rec_fwd, .bwd = et_rec_bwd, .flops = et_rec_flops,
    ET_SAMPLES(rnn_samples),
};

/**
 * Elman's recurrent layer over whole sequences:
 *
 *   h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh),   y_t = h_t
 *
 * x        [B, T, F]
 * h0       [B, H]     state before the first step; NULL: zeros
 * w_ih     [H, F]     w_hh [H, H]
 * b_ih     [H]        b_hh [H]; each may be NULL
 * lengths  int32 [B]  frames of each row, 0 .. T; NULL: T. In frames past its length a row's y
 *                     is 0 and its state stays; in reverse, each row starts from its own last
 *                     frame
 * opts     direction and activation; NULL: forward, tanh
 * h_n      receives [B, H], the state after the last step; may be NULL
 * return   [B, T, H]
 *
 * One direction; for two, call it twice and concatenate. Can be differentiated once.
 * Errors: ESHAPE; EDTYPE; EINVAL for a length outside 0 .. T; ENOMEM.
 * Source: Elman, Finding structure in time, 1990.
 */
et_tensor *(et_rnn)(et_tensor *x, et_tensor *h0, et_tensor *w_ih, et_tensor *w_hh, et_tensor *b_ih,
                    et_tensor *b_hh, et_tensor *lengths, const et_rnn_opts *opts, et_tensor **h_n)
{
    et_tensor *in[] = {x, h0, w_ih, w_hh, b_ih, b_hh, lengths};

    return apply(&et_op_rnn, opts && opts->relu ? ET_CELL_RELU : ET_CELL_TANH, 7, in, opts, h_n, NULL);
}

/* --- GRU ------------------------------------------------------------------------------------ */

SAMPLE(gru_all, et_gru(in[0], in[1], in[2], in[3], in[4], in[5], in[6], NULL, &out[1]))
SAMPLE(gru_reverse, et_gru(in[0], in[1], in[2], in[3], in[4], in[5], in[6], &backwards, &out[1]))
SAMPLE(gru_bare, et_gru(in[0], NULL, in[1], in[2], NULL, NULL, NULL, NULL, &out[1]))
SAMPLE(gru_b_ih, et_gru(in[0], in[1], in[2], in[3], in[4], NULL, NULL, NULL, &out[1]))
SAMPLE(gru_b_hh, et_gru(in[0], NULL, in[1], in[2], NULL, in[3], NULL, &backwards, &out[1]))

static const et_sample gru_samples[] = {
    {"lengths", 7, {X(3, 4, 2), M(3, 3), M(9, 2), M(9, 3), V(9), V(9), LENGTHS(3, 0, 4)}, gru_all, 0},
    {"reverse, lengths", 7,
     {X(3, 4, 2), M(3, 3), M(9, 2), M(9, 3), V(9), V(9), LENGTHS(3, 0, 4)}, gru_reverse, 0},
    {"only what must be there", 3, {X(2, 3, 4), M(6, 4), M(6, 2)}, gru_bare, 0},
    {"without b_hh", 5, {X(2, 3, 2), M(2, 2), M(6, 2), M(6, 2), V(6)}, gru_b_ih, 0},
    {"reverse, without b_ih", 4, {X(2, 3, 2), M(6, 2), M(6, 2), V(6)}, gru_b_hh, 0},
    {"one frame of one row", 3, {X(1, 1, 2), M(6, 2), M(6, 2)}, gru_bare, 0},
    {"no frames", 5, {X(2, 0, 2), M(2, 2), M(6, 2), M(6, 2), V(6)}, gru_b_ih, 0},
    {"two shards", 7, {X(64, 20, 3), M(64, 16), M(48, 3), M(48, 16), V(48), V(48), LENGTHS(64, 0, 20)},
     gru_all, 0},
};

const et_op et_op_gru = {
    .name = "gru", .args = "r r? r r r? r? i?", .n_out = 2, .flags = ET_OP_ONCE, .saves_for = et_rec_saves,
    .shape = et_rec_shape, .fwd = et_rec_fwd, .bwd = et_rec_bwd, .flops = et_rec_flops,
    ET_SAMPLES(gru_samples),
};

/**
 * Gated recurrent units over whole sequences, gates in the order r, z, n:
 *
 *   r = sigmoid(W_ir x_t + b_ir + W_hr h + b_hr)
 *   z = sigmoid(W_iz x_t + b_iz + W_hz h + b_hz)
 *   n = tanh(W_in x_t + b_in + r (W_hn h + b_hn))
 *   h_t = (1 - z) n + z h,   y_t = h_t,   h being h_(t-1)
 *
 * x        [B, T, F]
 * h0       [B, H]     state before the first step; NULL: zeros
 * w_ih     [3H, F]    w_hh [3H, H]
 * b_ih     [3H]       b_hh [3H]; each may be NULL
 * lengths  int32 [B]  frames of each row, 0 .. T; NULL: T. In frames past its length a row's y
 *                     is 0 and its state stays; in reverse, each row starts from its own last
 *                     frame
 * opts     direction; NULL: forward
 * h_n      receives [B, H], the state after the last step; may be NULL
 * return   [B, T, H]
 *
 * One direction; for two, call it twice and concatenate. Can be differentiated once.
 * Errors: ESHAPE; EDTYPE; EINVAL for a length outside 0 .. T; ENOMEM.
 * Source: Cho et al. 2014 (arXiv 1406.1078), with the reset gate applied after the product
 * with W_hn.
 */
et_tensor *(et_gru)(et_tensor *x, et_tensor *h0, et_tensor *w_ih, et_tensor *w_hh, et_tensor *b_ih,
                    et_tensor *b_hh, et_tensor *lengths, const et_rnn_opts *opts, et_tensor **h_n)
{
    et_tensor *in[] = {x, h0, w_ih, w_hh, b_ih, b_hh, lengths};

    return apply(&et_op_gru, ET_CELL_GRU, 7, in, opts, h_n, NULL);
}

/* --- LSTM ----------------------------------------------------------------------------------- */

#define SAMPLE3(name, expr)                                   \
    static int name(et_tensor *const *in, et_tensor **out)    \
    {                                                         \
        out[0] = (expr);                                      \
        return out[0] ? 3 : -1;                               \
    }

SAMPLE3(lstm_all, et_lstm(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], NULL, &out[1], &out[2]))
SAMPLE3(lstm_reverse,
        et_lstm(in[0], in[1], in[2], in[3], in[4], in[5], in[6], in[7], &backwards, &out[1], &out[2]))
SAMPLE3(lstm_bare, et_lstm(in[0], NULL, NULL, in[1], in[2], NULL, NULL, NULL, NULL, &out[1], &out[2]))
SAMPLE3(lstm_h0, et_lstm(in[0], in[1], NULL, in[2], in[3], in[4], NULL, NULL, NULL, &out[1], &out[2]))
SAMPLE3(lstm_c0, et_lstm(in[0], NULL, in[1], in[2], in[3], NULL, in[4], NULL, &backwards, &out[1], &out[2]))

static const et_sample lstm_samples[] = {
    {"lengths", 8,
     {X(3, 4, 2), M(3, 3), M(3, 3), M(12, 2), M(12, 3), V(12), V(12), LENGTHS(3, 0, 4)}, lstm_all, 0},
    {"reverse, lengths", 8,
     {X(3, 4, 2), M(3, 3), M(3, 3), M(12, 2), M(12, 3), V(12), V(12), LENGTHS(3, 0, 4)}, lstm_reverse, 0},
    {"only what must be there", 3, {X(2, 3, 4), M(8, 4), M(8, 2)}, lstm_bare, 0},
    {"without c0, b_hh", 5, {X(2, 3, 2), M(2, 2), M(8, 2), M(8, 2), V(8)}, lstm_h0, 0},
    {"reverse, without h0, b_ih", 5, {X(2, 3, 2), M(2, 2), M(8, 2), M(8, 2), V(8)}, lstm_c0, 0},
    {"one frame of one row", 3, {X(1, 1, 2), M(8, 2), M(8, 2)}, lstm_bare, 0},
    {"two shards", 8,
     {X(56, 20, 3), M(56, 16), M(56, 16), M(64, 3), M(64, 16), V(64), V(64), LENGTHS(56, 0, 20)}, lstm_all,
     0},
};

const et_op et_op_lstm = {
    .name = "lstm", .args = "r r? r? r r r? r? i?", .n_out = 3, .flags = ET_OP_ONCE,
    .saves_for = et_rec_saves, .shape = et_rec_shape, .fwd = et_rec_fwd, .bwd = et_rec_bwd,
    .flops = et_rec_flops, ET_SAMPLES(lstm_samples),
};

/**
 * Long short-term memory over whole sequences, gates in the order i, f, g, o:
 *
 *   i = sigmoid(W_ii x_t + b_ii + W_hi h + b_hi)
 *   f = sigmoid(W_if x_t + b_if + W_hf h + b_hf)
 *   g = tanh(W_ig x_t + b_ig + W_hg h + b_hg)
 *   o = sigmoid(W_io x_t + b_io + W_ho h + b_ho)
 *   c_t = f c + i g,   h_t = o tanh(c_t),   y_t = h_t,   h and c being those of t-1
 *
 * x        [B, T, F]
 * h0, c0   [B, H]     state before the first step; each may be NULL: zeros
 * w_ih     [4H, F]    w_hh [4H, H]
 * b_ih     [4H]       b_hh [4H]; each may be NULL
 * lengths  int32 [B]  frames of each row, 0 .. T; NULL: T. In frames past its length a row's y
 *                     is 0 and its state stays; in reverse, each row starts from its own last
 *                     frame
 * opts     direction; NULL: forward
 * h_n, c_n receive [B, H], the state after the last step; each may be NULL
 * return   [B, T, H]
 *
 * One direction; for two, call it twice and concatenate. Can be differentiated once.
 * Errors: ESHAPE; EDTYPE; EINVAL for a length outside 0 .. T; ENOMEM.
 * Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 (forget gate).
 */
et_tensor *(et_lstm)(et_tensor *x, et_tensor *h0, et_tensor *c0, et_tensor *w_ih, et_tensor *w_hh,
                     et_tensor *b_ih, et_tensor *b_hh, et_tensor *lengths, const et_rnn_opts *opts,
                     et_tensor **h_n, et_tensor **c_n)
{
    et_tensor *in[] = {x, h0, c0, w_ih, w_hh, b_ih, b_hh, lengths};

    return apply(&et_op_lstm, ET_CELL_LSTM, 8, in, opts, h_n, c_n);
}
