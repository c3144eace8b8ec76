/* Single steps of recurrent cells. */
#include "config.h"

#include "nn/cells.h"

et_tensor *et_rnn_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h)
{
    /* h = tanh(W_ih x + b_ih + W_hh h + b_hh) */
    return et_tanh(et_add(et_linear(x, w->w_ih, w->b_ih), et_linear(h, w->w_hh, w->b_hh)));
}

et_tensor *et_gru_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h)
{
    et_tensor *i[3], *s[3], *r, *z, *n;

    if (et_chunk(et_linear(x, w->w_ih, w->b_ih), -1, 3, i) ||
        et_chunk(et_linear(h, w->w_hh, w->b_hh), -1, 3, s))
        return et_fail("gru cell");
    /* r = sigmoid(W_ir x + b_ir + W_hr h + b_hr) */
    r = et_sigmoid(et_add(i[0], s[0]));
    /* z = sigmoid(W_iz x + b_iz + W_hz h + b_hz) */
    z = et_sigmoid(et_add(i[1], s[1]));
    /* n = tanh(W_in x + b_in + r (W_hn h + b_hn)) */
    n = et_tanh(et_add(i[2], et_mul(r, s[2])));
    /* h = (1 - z) n + z h = n + z (h - n) */
    return et_add(n, et_mul(z, et_sub(h, n)));
}

et_tensor *et_lstm_cell_step(const et_rnn_weights *w, et_tensor *x, et_tensor *h, et_tensor **c)
{
    et_tensor *gate[4], *i, *f, *g, *o;
    et_tensor *sum = et_add(et_linear(x, w->w_ih, w->b_ih), et_linear(h, w->w_hh, w->b_hh));

    if (et_chunk(sum, -1, 4, gate)) {
        *c = NULL;
        return et_fail("lstm cell");
    }
    i = et_sigmoid(gate[0]); /* i = sigmoid(W_ii x + b_ii + W_hi h + b_hi) */
    f = et_sigmoid(gate[1]); /* f = sigmoid(W_if x + b_if + W_hf h + b_hf) */
    g = et_tanh(gate[2]);    /* g = tanh(W_ig x + b_ig + W_hg h + b_hg) */
    o = et_sigmoid(gate[3]); /* o = sigmoid(W_io x + b_io + W_ho h + b_ho) */
    /* c = f c + i g;  h = o tanh(c) */
    *c = et_add(et_mul(f, *c), et_mul(i, g));
    return et_mul(o, et_tanh(*c));
}
