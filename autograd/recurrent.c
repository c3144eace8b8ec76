/* Recurrent layers over time: operands, shapes, and the walk forward. The walk backward is in
 * recurrent_bwd.c; the cells themselves are kernels (tensor/kernels/recurrent_cells.h), and their equations
 * stand above et_rnn, et_gru and et_lstm in ops_recurrent.c.
 *
 * The batch is cut into shards of rows, each of which walks through time by itself. The products W_ih x of
 * some steps at a time, a *stretch*, are made before those steps, as one product of many rows; the
 * weights are packed once a call. Each step is then one product of the shard's rows with W_hh whose result
 * the cell takes out of the first-level cache. */
#include "config.h"

#include "autograd/recurrent.h"

#include <string.h>

#include "tensor/alloc.h"
#include "tensor/ints.h"

et_rec_operands et_rec_operand(et_cell cell)
{
    const et_rec_operands plain = {0, 1, -1, 2, 3, 4, 5, 6}, lstm = {0, 1, 2, 3, 4, 5, 6, 7};

    return cell == ET_CELL_LSTM ? lstm : plain;
}

static int cell_gates(et_cell cell)
{
    return cell == ET_CELL_GRU ? 3 : cell == ET_CELL_LSTM ? 4 : 1;
}

/* --- shapes -------------------------------------------------------------------------- */

/* Operand i, if it is there, must be [a, b], or [a] when b is negative. */
static et_status check(const et_node *n, int i, const char *name, int64_t a, int64_t b, const char *meaning)
{
    const et_tensor *t = n->in[i];

    if (!t || (t->ndim == (b < 0 ? 1 : 2) && t->shape[0] == a && (b < 0 || t->shape[1] == b)))
        return ET_OK;
    if (b < 0)
        return et_op_raise(n, ET_ESHAPE, "%s must be %s [%lld], not %s", name, meaning, (long long)a,
                           et_shape_str(t));
    return et_op_raise(n, ET_ESHAPE, "%s must be %s [%lld, %lld], not %s", name, meaning, (long long)a,
                       (long long)b, et_shape_str(t));
}

et_status et_rec_shape(et_node *n)
{
    const et_rec_attr *attr = ET_ATTR(n, et_rec_attr);
    const et_rec_operands at = et_rec_operand(attr->cell);
    const int gates = cell_gates(attr->cell);
    const char *rows = gates == 1 ? "[H, " : gates == 3 ? "[3H, " : "[4H, ";
    const et_tensor *x = n->in[at.x], *w = n->in[at.w_hh];
    et_status status;
    int64_t B, T, H;

    if (x->ndim != 3)
        return et_op_raise(n, ET_ESHAPE, "x must be [B, T, F], not %s", et_shape_str(x));
    if (w->ndim != 2 || w->shape[0] != gates * w->shape[1] || w->shape[1] == 0)
        return et_op_raise(n, ET_ESHAPE, "w_hh must be %sH] with H > 0, not %s", rows, et_shape_str(w));
    B = x->shape[0];
    T = x->shape[1];
    H = w->shape[1];
    if ((status = check(n, at.w_ih, "w_ih", gates * H, x->shape[2], "[gates H, F], here")) ||
        (status = check(n, at.b_ih, "b_ih", gates * H, -1, "[gates H], here")) ||
        (status = check(n, at.b_hh, "b_hh", gates * H, -1, "[gates H], here")) ||
        (status = check(n, at.h0, "h0", B, H, "[B, H], here")) ||
        (status = et_check_lengths(n, at.lengths, B, T)))
        return status;
    if (at.c0 >= 0 && (status = check(n, at.c0, "c0", B, H, "[B, H], here")))
        return status;
    if ((status = et_out(n, 0, x->dtype, ET_SHAPE(B, T, H))) ||
        (status = et_out(n, 1, x->dtype, ET_SHAPE(B, H))))
        return status;
    return at.c0 >= 0 ? et_out(n, 2, x->dtype, ET_SHAPE(B, H)) : ET_OK;
}

/* Backward reads y (for the states h_(t-1)) and W_hh always, x and W_ih only for each other's gradients, and
 * b_hh to make W_hn h + b_hn of a GRU again. */
unsigned et_rec_saves(const et_node *n)
{
    const et_rec_operands at = et_rec_operand(ET_ATTR(n, et_rec_attr)->cell);
    unsigned saves = ET_SAVE_OUT(0) | ET_SAVE_IN(at.w_hh);

    if (et_needs(n, at.w_ih))
        saves |= ET_SAVE_IN(at.x);
    if (et_needs(n, at.x))
        saves |= ET_SAVE_IN(at.w_ih);
    if (n->in[at.h0])
        saves |= ET_SAVE_IN(at.h0);
    if (ET_ATTR(n, et_rec_attr)->cell == ET_CELL_GRU && n->in[at.b_hh])
        saves |= ET_SAVE_IN(at.b_hh);
    if (n->in[at.lengths])
        saves |= ET_SAVE_IN(at.lengths);
    return saves;
}

double et_rec_flops(const et_node *n, bool backward)
{
    const et_rec_operands at = et_rec_operand(ET_ATTR(n, et_rec_attr)->cell);
    const et_tensor *x = n->in[at.x], *w_ih = n->in[at.w_ih], *w_hh = n->in[at.w_hh];
    const double in = (double)w_ih->numel, again = (double)w_hh->numel;
    double weights = in + again;

    if (backward) { /* dh goes through w_hh always */
        weights = again + et_needs(n, at.x) * in + et_needs(n, at.w_ih) * in + et_needs(n, at.w_hh) * again;
        if (ET_ATTR(n, et_rec_attr)->cell == ET_CELL_GRU) /* W_hn h */
            weights += again / 3;
    }
    return 2 * (double)(x->shape[0] * x->shape[1]) * weights;
}

/* --- the call ------------------------------------------------------------------------ */

/* *out: the elements of operand i, side by side; NULL if it is absent. False if that failed. */
static bool operand(et_node *n, int i, const void **out)
{
    *out = NULL;
    return i < 0 || !n->in[i] || (*out = et_contig(n, n->in[i])) != NULL;
}

enum { CHUNK_LEAST = 128, CHUNK_FINE = 6 /* rows */, CHUNK_BYTES = 131072 };

/* Rows of the products that backward makes of some steps at a time, a chunk: so many that the gates'
 * gradients and what they multiply stay in a second-level cache. */
static int64_t chunk_rows(const et_rec_call *c)
{
    const int64_t rows = CHUNK_BYTES / ((c->n_grads * c->H + max64(c->F, c->H)) * (int64_t)c->size);

    return et_cut(max64(rows, CHUNK_LEAST), CHUNK_FINE);
}

et_status et_rec_open(et_node *n, et_rec_call *c)
{
    const et_rec_attr *attr = ET_ATTR(n, et_rec_attr);
    const et_rec_operands at = et_rec_operand(attr->cell);
    const bool forward = attr->kernels == NULL; /* forward notes them: see et_rec_attr */
    const et_tensor *x = n->in[at.x];
    const void *lengths;

    memset(c, 0, sizeof *c);
    c->k = forward ? et_k(n) : attr->kernels;
    c->dtype = x->dtype;
    c->mixed = n->mixed && x->dtype == ET_F32;
    c->size = et_dtype_size(x->dtype);
    c->cell = attr->cell;
    c->at = at;
    c->gates = cell_gates(attr->cell);
    c->n_saved = c->cell == ET_CELL_GRU ? 3 : c->cell == ET_CELL_LSTM ? 4 : 0;
    c->n_grads = c->gates == 1 ? 1 : 4;
    c->reverse = attr->reverse;
    c->B = x->shape[0];
    c->T = x->shape[1];
    c->F = x->shape[2];
    c->H = n->in[at.w_hh]->shape[1];
    c->ldh = c->k->rec_packed(1, c->H, 1);
    c->rows = et_shard_rows(c->B, c->T, (double)c->gates * (double)c->H * (double)(c->F + c->H));
    c->lanes = et_lanes_for(c->rows > 0 ? ceil_div(c->B, c->rows) : 0);
    c->chunk = c->rows > 0 ? max64(1, min64(c->T, chunk_rows(c) / c->rows)) : 1;
    c->n_chunks = ceil_div(c->T, c->chunk);
    if (!operand(n, at.w_hh, &c->w_hh) || !operand(n, at.h0, &c->h0) || !operand(n, at.lengths, &lengths))
        return et_error_status();
    c->lengths = lengths;
    /* What backward does not read may be gone by then. */
    if (forward && (!operand(n, at.c0, &c->c0) || !operand(n, at.b_ih, &c->b_ih)))
        return et_error_status();
    if ((forward || c->cell == ET_CELL_GRU) && !operand(n, at.b_hh, &c->b_hh))
        return et_error_status();
    if ((forward || et_needs(n, at.w_ih)) && !operand(n, at.x, &c->x))
        return et_error_status();
    if ((forward || et_needs(n, at.x)) && !operand(n, at.w_ih, &c->w_ih))
        return et_error_status();
    return ET_OK;
}

int64_t et_rec_steps(const et_rec_call *c, int64_t lo, int64_t hi)
{
    int64_t steps = 0;

    for (int64_t b = lo; b < hi; b++)
        if (et_rec_length(c, b) > steps)
            steps = et_rec_length(c, b);
    return steps;
}

/* --- forward --------------------------------------------------------------------------- */

/* What the shards share, and where a lane has its own memory. */
typedef struct forward {
    et_rec_call c;
    int64_t stretch;             /* steps whose input products are made at once */
    void *w_ih, *w_hh;           /* packed */
    void *b_in, *b_rec;          /* packed: added to the input product; to W_hn h of a GRU */
    void *y, *h_n, *c_n, *saved, *cells;
    char *own;                   /* [lanes][own_bytes] */
    int64_t own_bytes, inputs_at, state_at, next_at, cell_at, rows_at; /* offsets in own */
} forward;

/* x of steps first .. first + count - 1, as rows in the order of the steps. */
static void gather(const et_rec_call *c, int64_t lo, int64_t rows, int64_t first, int64_t count,
                   int64_t steps, char *to)
{
    const size_t bytes = (size_t)c->F * c->size;

    for (int64_t s = first; s < first + count; s++)
        for (int64_t b = lo; b < lo + rows; b++, to += bytes)
            memcpy(to, et_rec_at(c, c->x, (b * c->T + et_rec_frame(c, s, steps)) * c->F), bytes);
}

/* Rows [lo, lo + rows) of a plain [B, H] operand (NULL: zeros) to rows ldh apart, and back. */
static void read_state(const et_rec_call *c, const void *from, int64_t lo, int64_t rows, void *to)
{
    memset(to, 0, (size_t)(rows * c->ldh) * c->size);
    for (int64_t i = 0; from && i < rows; i++)
        memcpy(et_rec_at(c, to, i * c->ldh), et_rec_at(c, from, (lo + i) * c->H), (size_t)c->H * c->size);
}

static void write_state(const et_rec_call *c, const void *from, int64_t lo, int64_t rows, void *to)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(et_rec_at(c, to, (lo + i) * c->H), et_rec_at(c, from, i * c->ldh), (size_t)c->H * c->size);
}

/* The whole walk of one shard. Rows past their length take no part in a step: their y is 0, their state
 * stays. */
static et_status forward_shard(const void *user, int64_t shard, int64_t lane)
{
    const forward *f = user;
    const et_rec_call *c = &f->c;
    const int64_t lo = shard * c->rows, rows = c->B - lo < c->rows ? c->B - lo : c->rows;
    const int64_t steps = et_rec_steps(c, lo, lo + rows);
    char *own = f->own + lane * f->own_bytes;
    void *inputs = own + f->inputs_at, *state = own + f->state_at, *next = own + f->next_at;
    void **y = (void **)(void *)(own + f->rows_at);
    et_rec_step s = {.rows = rows, .units = c->H, .weights = f->w_hh, .bias = f->b_rec, .input = inputs,
                     .cell = own + f->cell_at, .ldh = c->ldh, .y = y};

    read_state(c, c->h0, lo, rows, state);
    if (c->cell == ET_CELL_LSTM)
        read_state(c, c->c0, lo, rows, s.cell);
    for (int64_t step = 0; step < steps; step++) {
        const int64_t in_stretch = step % f->stretch, frame = et_rec_frame(c, step, steps);
        if (in_stretch == 0) {
            const int64_t count = steps - step < f->stretch ? steps - step : f->stretch;
            gather(c, lo, rows, step, count, steps, own);
            s.input_rows = count * rows;
            c->k->rec_product(c->gates, c->H, s.input_rows, c->F, own, c->F, f->w_ih, f->b_in, inputs);
        }
        s.input_row = in_stretch * rows;
        if (f->cells && step % c->chunk == 0)
            memcpy(et_rec_cells(c, f->cells, lo, rows, step), s.cell, (size_t)(rows * c->ldh) * c->size);
        s.state = state;
        s.next = next;
        if (f->saved)
            s.saved = et_rec_at(c, f->saved, (lo * c->T + step * rows) * c->n_saved * c->H);
        for (int64_t i = 0; i < rows; i++)
            y[i] = frame < et_rec_length(c, lo + i)
                       ? et_rec_at(c, f->y, ((lo + i) * c->T + frame) * c->H) : NULL;
        c->k->rec_step[c->cell](&s);
        next = state;
        state = s.next;
    }
    for (int64_t b = lo; b < lo + rows; b++) {
        const int64_t length = et_rec_length(c, b);
        memset(et_rec_at(c, f->y, (b * c->T + length) * c->H), 0, (size_t)((c->T - length) * c->H) * c->size);
    }
    write_state(c, state, lo, rows, f->h_n);
    if (c->cell == ET_CELL_LSTM)
        write_state(c, s.cell, lo, rows, f->c_n);
    return ET_OK;
}

/* Packs the weights and biases. Both biases go into the input product, except that of a
 * GRU's candidate, which the reset gate multiplies together with W_hn h. */
static et_status pack(et_node *n, forward *f)
{
    const et_rec_call *c = &f->c;
    const int64_t G = c->gates * c->H, inside = c->cell == ET_CELL_GRU ? 2 * c->H : G;
    const int64_t padded = c->k->rec_packed(c->gates, c->H, 1);
    char *plain = et_scratch(n, (size_t)(2 * G) * c->size);
    char *in = plain, *rec;

    f->w_ih = et_scratch(n, (size_t)c->k->rec_packed(c->gates, c->H, c->F) * c->size);
    f->w_hh = et_scratch(n, (size_t)c->k->rec_packed(c->gates, c->H, c->H) * c->size);
    f->b_in = et_scratch(n, (size_t)padded * c->size);
    f->b_rec = et_scratch(n, (size_t)padded * c->size);
    if (!plain || !f->w_ih || !f->w_hh || !f->b_in || !f->b_rec)
        return et_error_status();
    rec = et_rec_at(c, plain, G);
    memset(plain, 0, (size_t)(2 * G) * c->size);
    if (c->b_ih)
        memcpy(in, c->b_ih, (size_t)G * c->size);
    if (c->b_hh) {
        c->k->axpby(inside, 1, c->b_hh, 1, in);
        memcpy(et_rec_at(c, rec, inside), et_rec_at(c, c->b_hh, inside), (size_t)(G - inside) * c->size);
    }
    c->k->rec_pack(c->gates, c->H, 1, in, 1, 0, f->b_in);
    c->k->rec_pack(c->gates, c->H, 1, rec, 1, 0, f->b_rec);
    c->k->rec_pack(c->gates, c->H, c->F, c->w_ih, c->F, 1, f->w_ih);
    c->k->rec_pack(c->gates, c->H, c->H, c->w_hh, c->H, 1, f->w_hh);
    return ET_OK;
}

/* What backward is to read: the gates of every step and, for an LSTM, the cell states before every chunk. */
static et_status open_saved(et_node *n, forward *f)
{
    const et_rec_call *c = &f->c;
    et_tensor *t = et_save_extra(n, 0, c->dtype, ET_SHAPE(c->B * c->T * c->n_saved * c->H));

    if (!t || !(f->saved = et_data_mut(t)))
        return et_error_status();
    if (c->cell != ET_CELL_LSTM)
        return ET_OK;
    t = et_save_extra(n, 1, c->dtype, ET_SHAPE(c->B * c->n_chunks * c->ldh));
    return t && (f->cells = et_data_mut(t)) ? ET_OK : et_error_status();
}

/* The lanes' own memory: x of a stretch, its input products, the state before and after a step, the cell
 * state, pointers to rows of y. */
static et_status open_own(et_node *n, forward *f)
{
    const et_rec_call *c = &f->c;
    const int64_t state = et_rec_bytes(c, c->rows * c->ldh);

    /* 64 rows: the weights' panels are read once for eight tiles, and what is computed
     * ahead stays in the second-level cache. */
    f->stretch = ceil_div(64, c->rows);
    if (f->stretch > c->T && c->T > 0)
        f->stretch = c->T;
    f->inputs_at = et_rec_bytes(c, f->stretch * c->rows * c->F);
    f->state_at = f->inputs_at + et_rec_bytes(c, c->k->rec_packed(c->gates, c->H, f->stretch * c->rows));
    f->next_at = f->state_at + state;
    f->cell_at = f->next_at + state;
    f->rows_at = f->cell_at + state;
    f->own_bytes = f->rows_at + round_up(c->rows * (int64_t)sizeof(void *), 64);
    f->own = et_scratch(n, (size_t)(f->own_bytes * c->lanes.count));
    return f->own ? ET_OK : et_error_status();
}

et_status et_rec_fwd(et_node *n)
{
    forward f = {.own = NULL};
    et_rec_attr *attr = n->attr;
    et_rec_call *c = &f.c;
    et_status status;

    attr->kernels = NULL;
    if ((status = et_rec_open(n, c)))
        return status;
    attr->kernels = c->k;
    f.y = et_out_data(n, 0);
    f.h_n = et_out_data(n, 1);
    f.c_n = c->cell == ET_CELL_LSTM ? et_out_data(n, 2) : NULL;
    if (!f.y || !f.h_n || (c->cell == ET_CELL_LSTM && !f.c_n))
        return et_error_status();
    if (c->B == 0)
        return ET_OK;
    if ((status = pack(n, &f)) || (n->recording && c->n_saved > 0 && (status = open_saved(n, &f))) ||
        (status = open_own(n, &f)))
        return status;
    return et_shards_run(n, &c->lanes, forward_shard, &f);
}
