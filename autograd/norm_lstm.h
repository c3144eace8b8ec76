/* What forward and backward of layer-norm LSTM and HyperLSTM share: the cell, and a call's sizes, operands,
 * shards and packed weights. n units, k of a HyperLSTM's small cell (0: there is none), e its embedding.
 *
 * Each shard of the batch walks its own steps. What it keeps of them for backward are the products and the
 * states; layer norms, gates and scales are made again there, which costs little beside them. */
#ifndef ETUDE_AUTOGRAD_NORM_LSTM_H
#define ETUDE_AUTOGRAD_NORM_LSTM_H

#include "autograd/op.h"
#include "autograd/shards.h"

typedef struct et_norm_lstm_attr {
    bool reverse;
    double eps;
} et_norm_lstm_attr;

/* Operands. */
enum {
    ET_NL_XW, ET_NL_STATE, ET_NL_W_HH, ET_NL_NORM, ET_NL_BIAS, ET_NL_KEEP, ET_NL_LENGTHS,
    ET_NL_XU, ET_NL_W_U, ET_NL_NORM_U, ET_NL_ZW, ET_NL_ZB, ET_NL_ALPHA, /* the small cell: all or none */
    ET_NL_IN
};

/* Saved extras, each a shard's after the other's; of the states the one before the first step is kept too. */
enum {
    ET_NL_HU,    /* [T + 1][rows][n + k]: h, u */
    ET_NL_CV,    /* [T + 1][rows][n + k]: c, v, the cells */
    ET_NL_HW,    /* [T][rows][4n]: h W_hh; without a small cell xw + h W_hh + bias */
    ET_NL_PRE_U, /* [T][rows][4k]: xu + [h, u] W_u */
    ET_NL_Z,     /* [T][rows][12e]: u Z + z0 */
    ET_NL_SAVED
};

enum { ET_NL_I, ET_NL_J, ET_NL_F, ET_NL_O, ET_NL_GATES }; /* order of the gates */
/* Three for each gate: the factors s_x of xw (the first four), s_h of h W_hh (four more), and the offset
 * d. */
enum { ET_NL_SCALES = 3 * ET_NL_GATES };

/* --- the cell, for one row --------------------------------------------------------------------- */

/* gamma, beta [4u] of the gates, then gamma, beta [u] of the cell, follow each other in `norm`. */
typedef struct et_norm_cell {
    const et_kernels *kr;
    size_t size; /* of a real */
    int64_t units;
    const void *norm;
    double eps;
} et_norm_cell;

enum { ET_NL_STATS = 2 * (ET_NL_GATES + 1) }; /* mean and 1/deviation of each gate and of c' */

typedef struct et_norm_row {
    const void *pre;  /* [4u] */
    const void *c;    /* [u] */
    const void *keep; /* [u] or NULL: 1 */
    void *act;        /* [4u]: receives sigmoid, for j tanh, of the normalised gates */
    void *tanh_c;     /* [u]: tanh(LN(c')) */
    void *stats;      /* [ET_NL_STATS] */
    void *c_new, *h_new; /* [u] */
} et_norm_row;

/* i = sigmoid(LN(pre_i)),  f = sigmoid(LN(pre_f) + 1),  o = sigmoid(LN(pre_o))
 * c' = f c + i keep tanh(LN(pre_j)),   h' = o tanh(LN(c')) */
void et_norm_cell_fwd(const et_norm_cell *cell, const et_norm_row *r);

/* From the gradients dh of h' and dc of c', which becomes that of c, to dpre [4u]; adds to dkeep (or NULL),
 * and to dnorm as `norm`. work: [5u]. */
void et_norm_cell_bwd(const et_norm_cell *cell, const et_norm_row *r, const void *dh, void *dc, void *dkeep,
                      void *dpre, void *dnorm, void *work);

/* --- the call ------------------------------------------------------------------------------------ */

/* The right side of products at every step, packed where there are many. */
typedef struct et_step_matrix {
    int64_t k, n;
    const void *b; int64_t rsb, csb;
    const void *packed;
} et_step_matrix;

typedef struct et_norm_call {
    const et_kernels *kr;
    et_dtype dtype;
    bool mixed;             /* backward's large products are of bfloat16 */
    bool reverse;
    size_t size;            /* of a real */
    int64_t B, T, n, k, e;
    int64_t rows;           /* of a shard (the last may have fewer) */
    et_lanes lanes;
    const void *in[ET_NL_IN];
    const int32_t *lengths; /* or NULL: all T */
    et_norm_cell cell, small;
    bool kept;              /* `saved` has all steps; else two states, by turns, and one step */
    void *saved[ET_NL_SAVED];
} et_norm_call;

/* Fills in *c from the node; reads the data of `operands`, a mask of ET_SAVE_IN. */
et_status et_norm_open(et_node *n, unsigned operands, et_norm_call *c);

/* Packs b [k, n] if more than one step will need it. */
et_status et_step_matrix_open(et_node *n, const et_norm_call *c, int64_t k, int64_t cols, const void *b,
                              int64_t rsb, int64_t csb, et_step_matrix *m);
/* to [rows, m->n] = a [rows, m->k] b + bias + beta to; bias may be NULL. */
et_status et_step_product(const et_norm_call *c, const et_step_matrix *m, int64_t rows, const void *a,
                          int64_t lda, const void *bias, double beta, void *to, int64_t ldc);

/* The matrices A_0 .. A_11 [e, n] (turned: transposed), as right sides of step products. */
et_status et_norm_alpha_open(et_node *n, const et_norm_call *c, bool turned, et_step_matrix m[ET_NL_SCALES]);
/* scale [rows][12][n]: s_i = z_i A_i, z being [rows][12 e]. */
et_status et_norm_scales(const et_norm_call *c, const et_step_matrix m[ET_NL_SCALES], int64_t rows,
                         const void *z, void *scale);

/* pre [4n] of row b of the batch at the step that reads `frame`; scale [12][n] (NULL: there is none) and
 * hw [4n] are those of the row at that step. */
void et_norm_pre(const et_norm_call *c, int64_t b, int64_t frame, const void *scale, const void *hw,
                 void *pre);

/* Address of element i. */
static inline void *et_norm_at(const et_norm_call *c, const void *p, int64_t i)
{
    return (char *)(uintptr_t)p + (size_t)i * c->size;
}

/* Steps of row b. */
static inline int64_t et_norm_length(const et_norm_call *c, int64_t b)
{
    return c->lengths ? c->lengths[b] : c->T;
}

/* Frame of row b's step: forward from 0, in reverse from the row's last. */
static inline int64_t et_norm_frame(const et_norm_call *c, int64_t b, int64_t step)
{
    return c->reverse ? et_norm_length(c, b) - 1 - step : step;
}

/* Reals a row and step in saved[what]. */
int64_t et_norm_width(const et_norm_call *c, int what);
/* Start of the shard's rows, the first of which is row lo, at `step`, in saved[what]. */
void *et_norm_saved(const et_norm_call *c, int what, int64_t lo, int64_t rows, int64_t step);

et_status et_norm_lstm_fwd(et_node *n);
et_status et_norm_lstm_bwd(et_node *n);

#endif
