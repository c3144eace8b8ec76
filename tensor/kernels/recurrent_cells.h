/* One step of each cell over the rows of a shard: the recurrent product of a few rows, then
 * the gates from the product's tile while that is in the first-level cache. See et_rec_step
 * and et_rec_back in tensor/kernels.h for what is read and written.
 *
 * A row that pauses (its sequence is over, or has not begun in reverse) keeps its state and
 * its carried gradients; its gate gradients are zero. */

/* Copies the state of a paused row's units. */
static inline void rec_pause(const et_rec_step *s, int64_t row, int64_t first)
{
    v_store((real *)s->next + row * s->ldh + first,
            v_load((const real *)s->state + row * s->ldh + first));
}

/* State and output of one row's units. */
static inline void rec_emit(const et_rec_step *s, int64_t row, int64_t first, vr h)
{
    v_store((real *)s->next + row * s->ldh + first, h);
    rec_store((real *)s->y[row] + first, h, s->units - first);
}

/* A gate for backward. Its next block is asked for: in rows so far apart no prefetcher sees a run. */
static inline void rec_save(const et_rec_step *s, int64_t row, int gates, int gate, int64_t first, vr x)
{
    real *to = (real *)s->saved + (row * gates + gate) * s->units + first;

    rec_store(to, x, s->units - first);
    __builtin_prefetch(to + LANES, 1);
}

/* h' = f(W h + input), f being tanh or the positive part. */
static inline void rec_rnn_step(const et_rec_step *s, int relu)
{
    const int64_t nv = rec_blocks(s->units);
    int64_t v0, gv, r, n, i, v;

    for (v0 = 0; v0 < nv; v0 += gv) {
        real *in = (real *)s->input + v0 * s->input_rows * LANES;
        gv = rec_group_width(1, s->units, v0);
        in += s->input_row * gv * LANES;
        for (r = 0; r < s->rows; r += n, in += n * gv * LANES) {
            n = s->rows - r < REC_MR ? s->rows - r : REC_MR;
            rec_group(n, s->units, (const real *)s->state + r * s->ldh, s->ldh,
                      (const real *)s->weights + v0 * s->units * LANES, gv, NULL, 1, in, gv * LANES);
            for (i = 0; i < n; i++)
                for (v = 0; v < gv; v++) {
                    const int64_t first = (v0 + v) * LANES;
                    const vr a = v_load(in + (i * gv + v) * LANES);
                    if (!s->y[r + i])
                        rec_pause(s, r + i, first);
                    else
                        rec_emit(s, r + i, first, relu ? v_max(a, v_set(0)) : v_tanh(a));
                }
        }
    }
}

static void rnn_tanh_step(const et_rec_step *s)
{
    rec_rnn_step(s, 0);
}

static void rnn_relu_step(const et_rec_step *s)
{
    rec_rnn_step(s, 1);
}

/* r = sigmoid(.), z = sigmoid(.), q = W_hn h + b_hn, n = tanh(input_n + r q),
 * h' = n + z (h - n). Saved: r, z, n. */
static void gru_step(const et_rec_step *s)
{
    const int64_t blocks = rec_blocks(s->units);
    real tile[REC_MR * 3 * LANES];
    int64_t u, r, n, i;

    for (u = 0; u < blocks; u++) {
        const int64_t first = u * LANES;
        const real *in = (const real *)s->input + 3 * (u * s->input_rows + s->input_row) * LANES;
        for (r = 0; r < s->rows; r += n) {
            n = s->rows - r < REC_MR ? s->rows - r : REC_MR;
            rec_group(n, s->units, (const real *)s->state + r * s->ldh, s->ldh,
                      (const real *)s->weights + 3 * u * s->units * LANES, 3,
                      (const real *)s->bias + 3 * u * LANES, 0, tile, 3 * LANES);
            for (i = 0; i < n; i++) {
                const real *t = tile + i * 3 * LANES, *x = in + (r + i) * 3 * LANES;
                vr reset, keep, cand, h;
                if (!s->y[r + i]) {
                    rec_pause(s, r + i, first);
                    continue;
                }
                reset = v_sigmoid(v_load(t) + v_load(x));
                keep = v_sigmoid(v_load(t + LANES) + v_load(x + LANES));
                cand = v_tanh(v_load(x + 2 * LANES) + reset * v_load(t + 2 * LANES));
                h = v_load((const real *)s->state + (r + i) * s->ldh + first);
                rec_emit(s, r + i, first, cand + keep * (h - cand));
                if (s->saved) {
                    rec_save(s, r + i, 3, 0, first, reset);
                    rec_save(s, r + i, 3, 1, first, keep);
                    rec_save(s, r + i, 3, 2, first, cand);
                }
            }
        }
    }
}

/* i, f, o = sigmoid(.), g = tanh(.), c' = f c + i g, h' = o tanh(c').
 * Saved: i, f, g, o. */
static void lstm_step(const et_rec_step *s)
{
    const int64_t blocks = rec_blocks(s->units);
    int64_t u, r, n, i;

    for (u = 0; u < blocks; u++) {
        const int64_t first = u * LANES;
        real *in = (real *)s->input + 4 * (u * s->input_rows + s->input_row) * LANES;
        for (r = 0; r < s->rows; r += n) {
            n = s->rows - r < REC_MR ? s->rows - r : REC_MR;
            rec_group(n, s->units, (const real *)s->state + r * s->ldh, s->ldh,
                      (const real *)s->weights + 4 * u * s->units * LANES, 4, NULL, 1, in + r * 4 * LANES,
                      4 * LANES);
            for (i = 0; i < n; i++) {
                const real *t = in + (r + i) * 4 * LANES;
                real *cell = (real *)s->cell + (r + i) * s->ldh + first;
                vr in_gate, forget, cand, out, c1;
                if (!s->y[r + i]) {
                    rec_pause(s, r + i, first);
                    continue;
                }
                in_gate = v_sigmoid(v_load(t));
                forget = v_sigmoid(v_load(t + LANES));
                cand = v_tanh(v_load(t + 2 * LANES));
                out = v_sigmoid(v_load(t + 3 * LANES));
                c1 = forget * v_load(cell) + in_gate * cand;
                v_store(cell, c1);
                rec_emit(s, r + i, first, out * v_tanh(c1));
                if (s->saved) {
                    rec_save(s, r + i, 4, 0, first, in_gate);
                    rec_save(s, r + i, 4, 1, first, forget);
                    rec_save(s, r + i, 4, 2, first, cand);
                    rec_save(s, r + i, 4, 3, first, out);
                }
            }
        }
    }
}

/* --- backward ---------------------------------------------------------------------- */

/* Gradient of gate g, for the products after the loop and for the one of this step. */
static inline void rec_gate(const et_rec_back *s, int64_t row, int64_t first, int64_t d_gate, int64_t g_gate,
                            vr x)
{
    const int64_t n = s->units - first;

    if (d_gate >= 0)
        rec_store((real *)s->d[row] + d_gate * s->units + first, x, n);
    if (g_gate >= 0)
        rec_store((real *)s->g + row * s->ldg + g_gate * s->units + first, x, n);
}

/* Calls one(s, row, first unit, index into dh and dc) for each block of units of each row, in the order of
 * the tiles. */
typedef void (*rec_one)(const et_rec_back *s, int64_t row, int64_t first, int64_t at);

static inline void rec_back_rows(const et_rec_back *s, int gates, rec_one one)
{
    const int64_t nv = rec_blocks(s->units);
    int64_t v0, gv, i, v;
    int gate;

    for (v0 = 0; v0 < nv; v0 += gv) {
        gv = rec_group_width(1, s->units, v0);
        for (v = 0; v < gv; v++)
            for (i = 0; i < s->rows; i++) {
                const int64_t first = (v0 + v) * LANES;
                if (s->d[i])
                    one(s, i, first, (v0 * s->rows + i * gv + v) * LANES);
                else
                    for (gate = 0; gate < gates; gate++)
                        rec_gate(s, i, first, -1, gate, v_set(0));
            }
    }
}

/* da = dh (1 - h'^2) or dh [h' > 0]; dh before the product is zero. */
static inline void rec_rnn_tanh(const et_rec_back *s, int64_t row, int64_t first, int64_t at)
{
    const int64_t n = s->units - first;
    real *carried = (real *)s->dh + at;
    const vr y = rec_load((const real *)s->y[row] + first, n);
    const vr dh = v_load(carried) + rec_load((const real *)s->dy[row] + first, n);

    v_store(carried, v_set(0));
    rec_gate(s, row, first, 0, 0, dh * (v_set(1) - y * y));
}

static inline void rec_rnn_relu(const et_rec_back *s, int64_t row, int64_t first, int64_t at)
{
    const int64_t n = s->units - first;
    real *carried = (real *)s->dh + at;
    const vr y = rec_load((const real *)s->y[row] + first, n);
    const vr dh = v_load(carried) + rec_load((const real *)s->dy[row] + first, n);

    v_store(carried, v_set(0));
    rec_gate(s, row, first, 0, 0, v_sel(v_lt(v_set(0), y), dh, v_set(0)));
}

/* dn = dh (1 - z) (1 - n^2), dr = dn q r (1 - r), dz = dh (h - n) z (1 - z), dq = dn r;
 * dh before the product is dh z. d: r, z, n; g: r, z, q. */
static inline void rec_gru(const et_rec_back *s, int64_t row, int64_t first, int64_t at)
{
    const int64_t n = s->units - first;
    const real *saved = (const real *)s->saved + row * 3 * s->units + first;
    const vr one = v_set(1), reset = rec_load(saved, n), keep = rec_load(saved + s->units, n);
    const vr cand = rec_load(saved + 2 * s->units, n), q = v_load((const real *)s->q + at);
    const vr h = rec_load((const real *)s->h[row] + first, n);
    real *carried = (real *)s->dh + at;
    const vr dh = v_load(carried) + rec_load((const real *)s->dy[row] + first, n);
    const vr through = dh * keep;
    const vr dn = (dh - through) * (one - cand * cand);
    const vr dq = dn * reset;

    v_store(carried, through);
    rec_gate(s, row, first, 0, 0, dq * q * (one - reset));
    rec_gate(s, row, first, 1, 1, through * (h - cand) * (one - keep));
    rec_gate(s, row, first, 2, -1, dn);
    rec_gate(s, row, first, -1, 2, dq);
    rec_store((real *)s->dq + row * s->units + first, dq, n);
}

/* t = tanh(f c + i g); dc' = dc + dh o (1 - t^2); di = dc' g i (1 - i), df = dc' c f (1 - f),
 * dg = dc' i (1 - g^2), do = dh t o (1 - o); dc = dc' f, dh before the product is zero. */
static inline void rec_lstm(const et_rec_back *s, int64_t row, int64_t first, int64_t at)
{
    const int64_t n = s->units - first;
    const real *saved = (const real *)s->saved + row * 4 * s->units + first;
    const vr one = v_set(1), in_gate = rec_load(saved, n), forget = rec_load(saved + s->units, n);
    const vr cand = rec_load(saved + 2 * s->units, n), out = rec_load(saved + 3 * s->units, n);
    const vr c = v_load((const real *)s->c + row * s->ldh + first);
    real *carried = (real *)s->dh + at, *cell = (real *)s->dc + at;
    const vr dh = v_load(carried) + rec_load((const real *)s->dy[row] + first, n);
    const vr t = v_tanh(forget * c + in_gate * cand);
    const vr dho = dh * out;
    const vr dc = v_load(cell) + dho * (one - t * t);
    const vr dci = dc * in_gate, dcf = dc * forget;

    v_store(carried, v_set(0));
    v_store(cell, dcf);
    rec_gate(s, row, first, 0, 0, dci * cand * (one - in_gate));
    rec_gate(s, row, first, 1, 1, dcf * c * (one - forget));
    rec_gate(s, row, first, 2, 2, dci * (one - cand * cand));
    rec_gate(s, row, first, 3, 3, dho * t * (one - out));
}

/* c' = f c + i g, as lstm_step has made it. */
static void lstm_cell(const et_rec_back *s, void *next)
{
    const int64_t blocks = rec_blocks(s->units);

    for (int64_t u = 0; u < blocks; u++)
        for (int64_t i = 0; i < s->rows; i++) {
            const int64_t first = u * LANES, n = s->units - first, at = i * s->ldh + first;
            const real *saved = (const real *)s->saved + i * 4 * s->units + first;
            const vr c = v_load((const real *)s->c + at);
            v_store((real *)next + at, s->d[i] ? rec_load(saved + s->units, n) * c +
                                                     rec_load(saved, n) * rec_load(saved + 2 * s->units, n)
                                               : c);
        }
}

static void rnn_tanh_back(const et_rec_back *s)
{
    rec_back_rows(s, 1, rec_rnn_tanh);
}

static void rnn_relu_back(const et_rec_back *s)
{
    rec_back_rows(s, 1, rec_rnn_relu);
}

static void gru_back(const et_rec_back *s)
{
    rec_back_rows(s, 3, rec_gru);
}

static void lstm_back(const et_rec_back *s)
{
    rec_back_rows(s, 4, rec_lstm);
}

/* The fields of the table. */
#define REC_TABLE                                                                                       \
    .rec_packed = rec_packed, .rec_pack = rec_pack, .rec_product = rec_product, .rec_tile = rec_tile,   \
    .rec_untile = rec_untile,                                                                           \
    .rec_step = {[ET_CELL_TANH] = rnn_tanh_step, [ET_CELL_RELU] = rnn_relu_step,                        \
                 [ET_CELL_GRU] = gru_step, [ET_CELL_LSTM] = lstm_step},                                 \
    .rec_back = {[ET_CELL_TANH] = rnn_tanh_back, [ET_CELL_RELU] = rnn_relu_back,                        \
                 [ET_CELL_GRU] = gru_back, [ET_CELL_LSTM] = lstm_back},                                \
    .rec_cell = lstm_cell
