/* The work of attention, forward and backward.
 *
 * It is cut along batch and heads, in both directions alike. One head's queries go through in blocks of
 * rows: their scores (rows x keys) are made, turned into weights and used up while they are in the
 * cache, so that no matrix of all queries by all keys exists unless the weights are asked for. Forward
 * keeps ln sum e^score of each row; backward makes the weights again from it (as Dao et al. 2022,
 * "FlashAttention", without its recurrence over blocks of keys: a row fits the cache). */
#include "config.h"

#include <math.h>
#include <string.h>

#include "autograd/attention.h"
#include "tensor/gemm.h"
#include "tensor/ints.h"
#include "tensor/pool.h"
#include "tensor/rng_words.h"

enum {
    BLOCK = 48,    /* queries of a block */
    ONE_BLOCK = 64 /* up to so many are one block: a second would be short */
};

/* A thread's scratch. */
typedef struct workspace {
    char *s, *ds, *sd;  /* [block, tk]: scores, then weights; their gradient; weights after dropout */
    char *kt, *vt;      /* K^T [dk, ld], V^T [dv, ld] */
    char *copy;         /* K [tk, dk] (backward) or V [tk, dv] (forward), rows padded to whole vectors */
    char *row;          /* [tk], of a bias or a mask */
    char *inv;          /* [block]: 1 / sum of a row's e^(score - max) */
    char *keep;         /* [block, tk] bytes: what dropout keeps */
    char *words;        /* [tk] random words of 32 bits */
    const char *rows;   /* K or V as take_rows left it: `copy`, or where the operand lies */
    int64_t rows_ld;    /* elements from one of these rows to the next */
} workspace;

/* Elements from one row of a transposed matrix to the next: whole vectors, never a multiple of a page. */
static int64_t keys_ld(const et_attn_job *w)
{
    int64_t ld = round_up(w->tk, 16);

    return ld % 512 ? ld : ld + 16;
}

static int64_t width_ld(int64_t d) { return round_up(d, 16); }

/* Lays the workspace out at base (NULL: only measures). Returns its bytes. */
static int64_t lay_out(const et_attn_job *w, bool backward, char *base, workspace *ws)
{
    const int64_t rows = w->block * w->tk * w->es, drop = w->at.dropout > 0;
    const struct part {
        char **to;
        int64_t bytes;
    } parts[] = {{&ws->s, rows},
                 {&ws->ds, backward ? rows : 0},
                 {&ws->sd, backward && drop ? rows : 0},
                 {&ws->kt, w->dk * keys_ld(w) * w->es},
                 {&ws->vt, backward ? w->dv * keys_ld(w) * w->es : 0},
                 {&ws->copy, w->tk * width_ld(backward ? w->dk : w->dv) * w->es},
                 {&ws->row, w->tk * w->es},
                 {&ws->inv, w->block * w->es},
                 {&ws->keep, drop * w->block * w->tk},
                 {&ws->words, drop * w->tk * 4}};
    int64_t at = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i].to = base ? base + at : NULL;
        at += round_up(parts[i].bytes, ET_ALIGN);
    }
    return at;
}

/* Row i of head h of batch item b, and its first row. */
static char *row_of(const et_attn_job *w, const et_attn_heads *x, int64_t b, int64_t h, int64_t i)
{
    return x->p + (et_attn_batch(x, b) + h * x->sh + i * x->st) * w->es;
}

static char *head_of(const et_attn_job *w, const et_attn_heads *x, int64_t b, int64_t h)
{
    return row_of(w, x, b, h, 0);
}

static char *plus(const et_attn_job *w, char *p, int64_t elems) { return p + elems * w->es; }

static double real_at(const et_attn_job *w, const char *p, int64_t i)
{
    return w->dtype == ET_F32 ? (double)((const float *)(const void *)p)[i]
                              : ((const double *)(const void *)p)[i];
}

static void multiply(et_attn_job *w, const et_gemm_args *g)
{
    if ((w->mixed ? et_gemm_bf16(ET_F32, g) : et_gemm(w->dtype, g)) != ET_OK)
        atomic_store(&w->failed, true);
}

/* Sets ws->rows to one head of K or V, [tk, width]: copied side by side where many queries read it. */
static void take_rows(const et_attn_job *w, workspace *ws, const et_attn_heads *x, int64_t b, int64_t h,
                      int64_t width)
{
    ws->rows = head_of(w, x, b, h);
    ws->rows_ld = x->st;
    if (x->sd == 1 && w->tq <= ONE_BLOCK)
        return;
    w->kr->gemm_pack(w->tk, width, ws->rows, x->st, x->sd, ws->copy, width_ld(width));
    ws->rows = ws->copy;
    ws->rows_ld = width_ld(width);
}

/* --- one block of queries ------------------------------------------------------------- *
 *
 * S are the scores, P = softmax(S) the weights, Y = P V the result; dX is the gradient of X. */

/* Queries i0 .. i0 + rows - 1 of one head, and the keys that they see: no more than the first `cols`. */
typedef struct block {
    int64_t b, h, i0, rows, cols;
    int64_t first;    /* number of query i0 among the queries of all heads */
    const char *bias; /* [rows, cols], bias_ld apart: for the kernels to add to the scores; or NULL */
    int64_t bias_ld;
} block;

/* Keys that one of the queries before `end` sees. */
static int64_t keys_seen(const et_attn_job *w, int64_t end)
{
    return w->at.causal ? min64(w->tk, end) : w->tk;
}

static block block_at(const et_attn_job *w, int64_t b, int64_t h, int64_t i0, int64_t rows)
{
    return (block){.b = b, .h = h, .i0 = i0, .rows = rows, .cols = keys_seen(w, i0 + rows),
                   .first = (b * w->h + h) * w->tq + i0};
}

/* Row r of the block in x, a bias or a mask, whose elements have `size` bytes: where it lies, or gathered
 * into `buffer` if its elements are not neighbours. */
static const char *mask_row(const et_attn_heads *x, int64_t size, const block *q, int64_t r, char *buffer)
{
    const char *p = x->p + (et_attn_batch(x, q->b) + q->h * x->sh + (q->i0 + r) * x->st) * size;

    if (x->sd == 1 || q->cols == 1)
        return p;
    for (int64_t j = 0; j < q->cols; j++)
        memcpy(buffer + j * size, p + j * x->sd * size, (size_t)size);
    return buffer;
}

/* ws->s = S = scale Q K^T [rows, cols], -inf where masked. A bias whose rows are contiguous is left to the
 * kernels that follow, which add it (q->bias); any other is added here. */
static void make_scores(et_attn_job *w, workspace *ws, block *q)
{
    const et_kernels *kr = w->kr;

    multiply(w, &(et_gemm_args){.m = q->rows, .n = q->cols, .k = w->dk,
                                .a = row_of(w, &w->q, q->b, q->h, q->i0), .rsa = w->q.st, .csa = w->q.sd,
                                .b = ws->kt, .rsb = keys_ld(w), .csb = 1, .c = ws->s, .ldc = q->cols,
                                .alpha = w->at.scale});
    if (w->bias.p && w->bias.sd == 1) {
        q->bias = row_of(w, &w->bias, q->b, q->h, q->i0);
        q->bias_ld = w->bias.st;
    }
    for (int64_t r = 0; r < q->rows; r++) {
        char *s = plus(w, ws->s, r * q->cols);
        const int64_t seen = min64(q->cols, keys_seen(w, q->i0 + r + 1));
        if (w->bias.p && !q->bias)
            kr->binary[ET_B_ADD](q->cols, s, 1, mask_row(&w->bias, w->es, q, r, ws->row), 1, s);
        if (w->mask.p)
            kr->masked_fill(q->cols, s, (const uint8_t *)mask_row(&w->mask, 1, q, r, ws->row), -INFINITY, s);
        if (seen < q->cols)
            kr->fill(q->cols - seen, -INFINITY, plus(w, s, seen));
    }
}

/* ws->keep [rows, cols]: which weights dropout keeps. Weight (query, key) has a random word of its own, so
 * the choice is the same in backward, and for any cut into blocks. */
static void choose_kept(const et_attn_job *w, workspace *ws, const block *q)
{
    const double limit = w->at.dropout * 4294967296.0; /* 2^32: all words below are dropped */
    const uint32_t threshold = limit >= 4294967295.0 ? UINT32_MAX : (uint32_t)limit;
    uint32_t *words = (uint32_t *)(void *)ws->words;

    for (int64_t r = 0; r < q->rows; r++) {
        const uint64_t word = (uint64_t)((q->first + r) * w->tk);
        et_rng_words(&w->at.rng, w->at.rng.counter + word, q->cols, words);
        w->kr->between(q->cols, words, threshold, UINT32_MAX, (uint8_t *)ws->keep + r * q->cols);
    }
}

/* out = x / (1 - dropout) where the block's weights are kept, 0 where they are dropped. */
static void drop(const et_attn_job *w, const workspace *ws, const block *q, const char *x, char *out)
{
    w->kr->mask_scale(q->rows * q->cols, x, (const uint8_t *)ws->keep, 1 / (1 - w->at.dropout), out, 0);
}

/* --- forward ------------------------------------------------------------------------------ */

/* Y = P V for a block of queries. The softmax kernel leaves e^(S - max) and 1 / its sum (ws->inv): the
 * division is done to the rows of Y, which are shorter than those of P. */
static void forward_block(et_attn_job *w, workspace *ws, block q)
{
    const int64_t rows = q.rows, cols = q.cols;
    char *y = row_of(w, &w->y, q.b, q.h, q.i0);

    make_scores(w, ws, &q);
    w->kr->attn_softmax(rows, cols, ws->s, q.bias, q.bias_ld, w->lse ? plus(w, w->lse, q.first) : NULL,
                        ws->inv);
    for (int64_t r = 0; w->w && r < rows; r++) {
        char *out = plus(w, w->w, (q.first + r) * w->tk);
        w->kr->affine(cols, plus(w, ws->s, r * cols), real_at(w, ws->inv, r), 0, out);
        if (cols < w->tk)
            w->kr->fill(w->tk - cols, 0, plus(w, out, cols));
    }
    if (w->at.dropout > 0) {
        choose_kept(w, ws, &q);
        drop(w, ws, &q, ws->s, ws->s);
    }
    multiply(w, &(et_gemm_args){.m = rows, .n = w->dv, .k = cols, .a = ws->s, .rsa = cols, .csa = 1,
                                .b = ws->rows, .rsb = ws->rows_ld, .csb = 1, .c = y, .ldc = w->y.st,
                                .alpha = 1});
    for (int64_t r = 0; r < rows; r++)
        w->kr->affine(w->dv, plus(w, y, r * w->y.st), real_at(w, ws->inv, r), 0, plus(w, y, r * w->y.st));
}

static void forward_body(int64_t lo, int64_t hi, void *user)
{
    et_attn_job *w = user;
    const int64_t blocks = ceil_div(w->tq, w->block);
    const int64_t per_chunk = ceil_div(blocks, w->chunks) * w->block;
    int64_t ready = -1; /* the head whose keys and values are laid out */
    workspace ws;

    lay_out(w, false, w->scratch + lo / w->per * w->slot, &ws);
    for (int64_t t = lo; t < hi; t++) {
        const int64_t unit = t / w->chunks, b = unit / w->h, h = unit % w->h;
        const int64_t i0 = t % w->chunks * per_chunk, i1 = min64(i0 + per_chunk, w->tq);
        if (ready != unit) {
            w->kr->gemm_pack(w->dk, w->tk, head_of(w, &w->k, b, h), w->k.sd, w->k.st, ws.kt, keys_ld(w));
            take_rows(w, &ws, &w->v, b, h, w->dv);
            ready = unit;
        }
        for (int64_t i = i0; i < i1; i += w->block)
            forward_block(w, &ws, block_at(w, b, h, i, min64(w->block, i1 - i)));
    }
}

/* --- backward ------------------------------------------------------------------------------ */

/* dbias += dS, summed over what the bias broadcasts. */
static void add_bias_gradient(et_attn_job *w, workspace *ws, const block *q)
{
    for (int64_t r = 0; r < q->rows; r++) {
        char *g = row_of(w, &w->gbias, q->b, q->h, q->i0 + r), *ds = plus(w, ws->ds, r * q->cols);
        if (w->gbias.sd == 1)
            w->kr->axpby(q->cols, 1, ds, 1, g);
        else if (w->dtype == ET_F32)
            *(float *)(void *)g += (float)w->kr->sum(q->cols, ds);
        else
            *(double *)(void *)g += w->kr->sum(q->cols, ds);
    }
}

/* dV += P^T dY, P as it was after dropout. The first block of a head writes where there is nothing yet. */
static void add_value_gradient(et_attn_job *w, workspace *ws, const block *q, const char *gy)
{
    const char *p = ws->s;

    if (w->at.dropout > 0) {
        drop(w, ws, q, ws->s, ws->sd);
        p = ws->sd;
    }
    multiply(w, &(et_gemm_args){.m = q->cols, .n = w->dv, .k = q->rows, .a = p, .rsa = 1, .csa = q->cols,
                                .b = gy, .rsb = w->y.st, .csb = 1, .c = head_of(w, &w->gv, q->b, q->h),
                                .ldc = w->gv.st, .alpha = 1, .beta = q->i0 == 0 ? w->acc_v : 1});
}

/* ws->ds = dP, the gradient of the weights before dropout: dY V^T, and what reaches them directly where they
 * are a result themselves. */
static void make_weights_gradient(et_attn_job *w, workspace *ws, const block *q, const char *gy)
{
    const int64_t rows = q->rows, cols = q->cols;

    if (gy) {
        multiply(w, &(et_gemm_args){.m = rows, .n = cols, .k = w->dv, .a = gy, .rsa = w->y.st, .csa = 1,
                                    .b = ws->vt, .rsb = keys_ld(w), .csb = 1, .c = ws->ds, .ldc = cols,
                                    .alpha = 1});
        if (w->at.dropout > 0)
            drop(w, ws, q, ws->ds, ws->ds);
    } else {
        w->kr->fill(rows * cols, 0, ws->ds);
    }
    for (int64_t r = 0; w->w && r < rows; r++)
        w->kr->axpby(cols, 1, plus(w, w->w, (q->first + r) * w->tk), 1, plus(w, ws->ds, r * cols));
}

static void backward_block(et_attn_job *w, workspace *ws, block q)
{
    const int64_t rows = q.rows, cols = q.cols;
    char *gy = w->y.p ? row_of(w, &w->y, q.b, q.h, q.i0) : NULL;

    make_scores(w, ws, &q);
    /* P = e^(S - ln sum e^S) */
    w->kr->attn_weights(rows, cols, ws->s, q.bias, q.bias_ld, plus(w, w->lse, q.first));
    if (w->at.dropout > 0)
        choose_kept(w, ws, &q);
    if (w->gv.p && gy)
        add_value_gradient(w, ws, &q, gy);
    if (!w->gq.p && !w->gk.p && !w->gbias.p)
        return;
    make_weights_gradient(w, ws, &q, gy);
    /* dS = P (dP - sum P dP) */
    w->kr->softmax_bwd(rows, cols, ws->s, ws->ds, ws->ds, 0);
    /* dQ += scale dS K */
    if (w->gq.p)
        multiply(w, &(et_gemm_args){.m = rows, .n = w->dk, .k = cols, .a = ws->ds, .rsa = cols, .csa = 1,
                                    .b = ws->rows, .rsb = ws->rows_ld, .csb = 1,
                                    .c = row_of(w, &w->gq, q.b, q.h, q.i0), .ldc = w->gq.st,
                                    .alpha = w->at.scale, .beta = w->acc_q});
    /* dK += scale dS^T Q */
    if (w->gk.p)
        multiply(w, &(et_gemm_args){.m = cols, .n = w->dk, .k = rows, .a = ws->ds, .rsa = 1, .csa = cols,
                                    .b = row_of(w, &w->q, q.b, q.h, q.i0), .rsb = w->q.st, .csb = w->q.sd,
                                    .c = head_of(w, &w->gk, q.b, q.h), .ldc = w->gk.st,
                                    .alpha = w->at.scale, .beta = q.i0 == 0 ? w->acc_k : 1});
    if (w->gbias.p)
        add_bias_gradient(w, ws, &q);
}

/* The first block writes the rows of dK or dV that it sees and later ones add to them: where nothing is to be
 * added to, zeros in the rows beyond. */
static void clear_rest(const et_attn_job *w, const et_attn_heads *g, int64_t b, int64_t h, int64_t width,
                       int acc)
{
    const int64_t reached = w->tq == 0 ? 0 : keys_seen(w, min64(w->block, w->tq));

    if (!g->p || acc)
        return;
    for (int64_t j = reached; j < w->tk; j++)
        w->kr->fill(width, 0, row_of(w, g, b, h, j));
}

static void backward_head(et_attn_job *w, workspace *ws, int64_t b, int64_t h)
{
    w->kr->gemm_pack(w->dk, w->tk, head_of(w, &w->k, b, h), w->k.sd, w->k.st, ws->kt, keys_ld(w));
    if (w->gq.p)
        take_rows(w, ws, &w->k, b, h, w->dk);
    if (w->gq.p || w->gk.p || w->gbias.p)
        w->kr->gemm_pack(w->dv, w->tk, head_of(w, &w->v, b, h), w->v.sd, w->v.st, ws->vt, keys_ld(w));
    clear_rest(w, &w->gk, b, h, w->dk, w->acc_k);
    clear_rest(w, &w->gv, b, h, w->dv, w->acc_v);
    if (!w->y.p && w->gv.p && !w->acc_v) /* only the weights have a gradient: V has none */
        for (int64_t j = 0; j < w->tk; j++)
            w->kr->fill(w->dv, 0, row_of(w, &w->gv, b, h, j));
    for (int64_t i = 0; i < w->tq; i += w->block)
        backward_block(w, ws, block_at(w, b, h, i, min64(w->block, w->tq - i)));
}

static void backward_body(int64_t lo, int64_t hi, void *user)
{
    et_attn_job *w = user;
    const int64_t nb = w->b / w->units_b, nh = w->h / w->units_h;
    workspace ws;

    lay_out(w, true, w->scratch + lo / w->per * w->slot, &ws);
    for (int64_t unit = lo; unit < hi; unit++) {
        const int64_t b0 = unit / w->units_h, h0 = unit % w->units_h * nh;
        for (int64_t b = b0; b < nb * w->units_b; b += w->units_b)
            for (int64_t h = h0; h < h0 + nh; h++)
                backward_head(w, &ws, b, h);
    }
}

/* --- cutting --------------------------------------------------------------------------------- */

static et_status run(et_node *n, et_attn_job *w, bool backward)
{
    const double flops = 2.0 * (double)(w->b * w->h) * (double)w->tq * (double)w->tk *
                         (double)(w->dk + w->dv);
    const int threads = et_threads_for(flops);
    int64_t units;
    workspace ws;

    if (w->b * w->h == 0)
        return ET_OK;
    w->block = w->tq > ONE_BLOCK ? BLOCK : w->tq > 0 ? w->tq : 1;
    w->chunks = 1;
    if (!backward && w->b * w->h < 2 * threads) { /* few heads: their queries are cut as well */
        const int64_t blocks = max64(1, ceil_div(w->tq, w->block));
        w->chunks = min64(blocks, ceil_div(2 * threads, w->b * w->h));
    }
    units = backward ? w->units_b * w->units_h : w->b * w->h * w->chunks;
    w->per = ceil_div(units, threads);
    w->slot = lay_out(w, backward, NULL, &ws);
    w->scratch = et_scratch(n, (size_t)(ceil_div(units, w->per) * w->slot));
    if (!w->scratch)
        return et_error_status();
    atomic_init(&w->failed, false);
    et_parallel_for(units, w->per, backward ? backward_body : forward_body, w);
    if (atomic_load(&w->failed)) {
        et_raise(ET_ENOMEM, "attention: out of memory");
        return et_error_status();
    }
    return ET_OK;
}

et_status et_attn_forward(et_node *n, et_attn_job *w)
{
    return run(n, w, false);
}

et_status et_attn_backward(et_node *n, et_attn_job *w)
{
    return run(n, w, true);
}
