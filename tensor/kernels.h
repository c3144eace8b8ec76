/* The kernel table: what the inner loops of all operators are made of.
 *
 * The sources in tensor/kernels/ are written once, on vectors of `LANES` reals, and
 * compiled several times: float32 for each instruction set (x86-64 baseline, AVX2+FMA,
 * AVX-512, NEON, and plain C), and float64 once in plain C with libm's functions, which
 * is what the gradient checks run and the float32 kernels are compared with. Each
 * compilation fills one table; the CPU is asked once which float32 table to use
 * (ETUDE_ISA=generic|sse2|avx2|avx512|neon forces one).
 *
 * Pointers are to float or to double, as the table's dtype says. Arrays are contiguous
 * unless a stride or leading dimension (in elements) is given. Outputs may be the same
 * array as an input of the same shape, but may not overlap it otherwise. `acc` 0
 * overwrites the output, 1 adds to it. Kernels are single-threaded and reentrant;
 * callers cut the work with et_parallel_for. Sums have an error near one ulp per log2 n
 * and an order that depends on n alone. */
#ifndef ETUDE_TENSOR_KERNELS_H
#define ETUDE_TENSOR_KERNELS_H

#include "tensor/tensor.h"

/* y = f(x). In the second column, what the derivative rule reads. */
typedef enum et_unary {
    ET_U_NEG,        /* nothing */
    ET_U_ABS,        /* x */
    ET_U_SQUARE,     /* x */
    ET_U_RECIPROCAL, /* y */
    ET_U_EXP,        /* y */
    ET_U_EXPM1,      /* y */
    ET_U_LOG,        /* x */
    ET_U_LOG1P,      /* x */
    ET_U_SQRT,       /* y */
    ET_U_RSQRT,      /* y */
    ET_U_SIN,        /* x */
    ET_U_COS,        /* x */
    ET_U_TANH,       /* y */
    ET_U_SIGMOID,    /* y */
    ET_U_ERF,        /* x */
    ET_U_RELU,       /* y */
    ET_U_SOFTPLUS,   /* x: ln(1 + e^x), stable */
    ET_U_LOG_SIGMOID,/* x: -softplus(-x) */
    ET_U_ELU,        /* y: alpha 1 */
    ET_U_GELU,       /* x: exact, x cdf(x) */
    ET_U_GELU_TANH,  /* x: tanh approximation */
    ET_U_QUICK_GELU, /* x: x sigmoid(1.702 x) */
    ET_U_SILU,       /* x: x sigmoid(x) */
    ET_N_UNARY
} et_unary;

typedef enum et_binary { ET_B_ADD, ET_B_SUB, ET_B_MUL, ET_B_DIV, ET_B_MIN, ET_B_MAX, ET_N_BINARY } et_binary;

/* Vectors in the widest register tile of matrix products, and rows in the tallest. */
enum { ET_TILE_VECS = 4, ET_TILE_ROWS = 12 };

/* Cells of recurrent layers. */
typedef enum et_cell { ET_CELL_TANH, ET_CELL_RELU, ET_CELL_GRU, ET_CELL_LSTM, ET_N_CELLS } et_cell;

/* One step of a recurrent layer forward, for some rows of the batch. "Tiled" and "packed" are
 * the layouts of tensor/kernels/recurrent.h; a packed bias is a packed matrix with k = 1. */
typedef struct et_rec_step {
    int64_t rows, units;
    const void *weights; /* packed W_hh */
    const void *bias;    /* GRU: packed, b_hn at the third gate and 0 elsewhere */
    void *input;         /* tiled [input_rows]: W_ih x + biases; the cells write over it */
    int64_t input_rows;
    int64_t input_row;   /* the first of this step's rows in it */
    const void *state;   /* [rows, ldh] h before the step */
    void *next;          /* [rows, ldh] h after it; not the same memory */
    void *cell;          /* LSTM: [rows, ldh] c, before and after */
    int64_t ldh;         /* units rounded up to whole vectors */
    void *const *y;      /* [rows] where the output's row goes; NULL: the row pauses, its state stays */
    void *saved;         /* or NULL; receives for backward [rows, gates, units]: r, z, n | i, f, g, o */
} et_rec_step;

/* The same backward: from dh after the step to the gradients of the gates. dh before the step
 * is then dh + g W_hh. Rows whose d is NULL pause. */
typedef struct et_rec_back {
    int64_t rows, units;
    const void *saved;       /* what the step forward saved */
    const void *const *dy;   /* [rows] gradients of the step's output */
    const void *const *y;    /* tanh, relu: [rows] the step's output */
    const void *const *h;    /* GRU: [rows] h before the step */
    const void *q;           /* GRU: tiled, W_hn h + b_hn */
    const void *c;           /* LSTM: [rows, ldh] c before the step */
    int64_t ldh;
    void *const *d;          /* [rows] receive the gates' gradients, units each of a | r, z, n | i, f, g, o;
                                may be the rows of `saved` */
    void *dq;                /* GRU: [rows, units] receives that of W_hn h + b_hn */
    void *g;                 /* [rows, ldg] receives what W_hh is multiplied with, gates units a row */
    int64_t ldg;
    void *dh;                /* tiled: in, dh after the step; out, what reaches h past the product */
    void *dc;                /* LSTM: tiled, dc after and before the step */
} et_rec_back;

/* Blocks of four random words that are made at once. */
enum { ET_PHILOX_BLOCKS = 16 };

/* Fourier transforms. The largest radix of a pass, and most passes of one transform. */
enum { ET_FFT_RADIX = 31, ET_FFT_PASSES = 32 };

/* The passes of a complex transform of length n, the product of the radices (2, 4, 8 or odd). With
 * m what is left of n after a pass of radix r: twiddles (re, im) of exp(-2 pi i j q / (r m)) for
 * j < m, 0 < q < r, j slower; roots, for an odd radix, (cos, sin) of 2 pi j / r. */
typedef struct et_fft_passes {
    int64_t n;
    int count;
    int radix[ET_FFT_PASSES];
    const void *twiddles[ET_FFT_PASSES], *roots[ET_FFT_PASSES];
} et_fft_passes;

/* One real sequence of 2 N reals, N = lanes M and M a multiple of lanes. */
typedef struct et_fft_one {
    et_fft_passes columns, across;             /* of length M, and of length lanes */
    const int32_t *column_order, *across_order; /* where result k stands after the passes */
    const void *twiddles;                      /* [M][re, im][lanes] of exp(-2 pi i k l / N) */
    const void *roots;                         /* [re, im][N / 2] of exp(-pi i k / N) / 2 */
} et_fft_one;

/* A run of `count` neighbouring weights, from bin `first` on. */
typedef struct et_band {
    int32_t first, count;
} et_band;

/* Batch norm of one channel: act((x - mean) scale + shift), act being relu or nothing. */
typedef struct et_norm {
    double mean, scale, shift;
    int relu;
} et_norm;

/* Tiles of 2 x 2 results of a convolution: rows row0 .. row0 + rows - 1 of them, cols in each. Along one axis
 * (h, oh, rows 1): tiles of 2 results, col0 .. col0 + cols - 1. */
typedef struct et_winograd {
    int64_t h, w, ph, pw; /* of x: size, padding */
    int64_t oh, ow;       /* of y */
    int64_t row0, rows, col0, cols;
    int64_t ld, step;     /* elements from channel to channel and matrix to matrix of what is transformed */
} et_winograd;

/* Elements of half a row of patches: cols + 1, and room for vectors behind. */
#define WINO_LINE(cols, lanes) (((cols) + 2 * (lanes)) / (lanes) * (lanes) + (lanes))

/* The points of tensor/kernels/conv_tall.h beside 0 and infinity are +-A and +-B. Of those with short squares
 * and cubes these gave about the smallest errors. */
#define ET_TALL_A 0.625
#define ET_TALL_B 1.5

/* The kernel of output o and input c: its 3 or 3 x 3 taps from w + o out_step + c in_step on, turned: in
 * reverse order; of `size` elements. */
typedef struct et_winograd_weights {
    const void *w;
    int64_t out_step, in_step, size;
    int turned;
} et_winograd_weights;

/* The transforms, 4 matrices for one axis, 16 for two. */
typedef struct et_winograd_kernels {
    /* v[k step + c ld + t] = element k of the transformed patch of tile t and channel c; x is a sample's
     * first channel, lines scratch memory of 4 (rows + 1) WINO_LINE(cols, lanes). Rows of v have room for
     * rows cols + lanes. */
    void (*input)(const et_winograd *s, int64_t channels, const void *x, void *lines, void *v);
    /* The results of m, as v, to rows of y, a sample's first channel; bias [channels] or NULL. Reads up to
     * lanes behind a row's tiles. */
    void (*output)(const et_winograd *s, int64_t channels, const void *m, const void *bias, int acc, void *y);
    /* u[k step + o in + c] = element k of the transformed kernel of o and c */
    void (*weights)(int64_t outs, int64_t in, const et_winograd_weights *w, void *u, int64_t step);
} et_winograd_kernels;

typedef struct et_kernels {
    const char *name; /* "avx512" */
    et_dtype dtype;
    int lanes;

    /* --- elementwise --- */
    void (*unary[ET_N_UNARY])(int64_t n, const void *x, void *y);
    /* dx (+)= dy f'(s), s being x or y as the enum's comment says. dx may be dy. */
    void (*unary_bwd[ET_N_UNARY])(int64_t n, const void *s, const void *dy, void *dx, int acc);
    /* y = f(x) and d = f'(x) at once, where both cost little more than one; else NULL
     * (GELU's three forms and SILU have it). Backward is then mul_acc(d, dy). */
    void (*unary_d[ET_N_UNARY])(int64_t n, const void *x, void *y, void *d);
    /* y[i] = f(a[i sa], b[i sb]); sa, sb are 0 or 1. */
    void (*binary[ET_N_BINARY])(int64_t n, const void *a, int sa, const void *b, int sb, void *y);
    void (*fill)(int64_t n, double value, void *y);
    /* y[i] (+)= x[n - 1 - i], other memory */
    void (*reverse)(int64_t n, const void *x, void *y, int acc);
    /* y = alpha x + beta y; with beta 0, y is not read. */
    void (*axpby)(int64_t n, double alpha, const void *x, double beta, void *y);
    /* y = alpha x + shift */
    void (*affine)(int64_t n, const void *x, double alpha, double shift, void *y);
    /* y (+)= a b; sa, sb as in binary */
    void (*mul_acc)(int64_t n, const void *a, int sa, const void *b, int sb, void *y, int acc);
    /* y = x where m is not 0, else value; x may be NULL (then value elsewhere 0: y = m ? 0 : value) */
    void (*masked_fill)(int64_t n, const void *x, const uint8_t *m, double value, void *y);
    /* y = m ? a : b; sa, sb as in binary */
    void (*where)(int64_t n, const uint8_t *m, const void *a, int sa, const void *b, int sb, void *y);
    /* y = min(max(x, lo), hi), NaN stays; dx (+)= lo <= x <= hi ? dy : 0 */
    void (*clamp)(int64_t n, const void *x, double lo, double hi, void *y);
    void (*clamp_bwd)(int64_t n, const void *x, double lo, double hi, const void *dy, void *dx, int acc);
    /* y = a's share of the gradient of max(a, b), or min: 1 where it was taken, 1/2 where they are equal, 0;
     * 1 with a NaN */
    void (*share)(int64_t n, const void *a, const void *b, int min, void *y);
    void (*pow)(int64_t n, const void *x, int sx, const void *e, int se, void *y);
    /* float32 alone (NULL in float64): y = x as bfloat16, to the nearest, ties to even;
     * the reverse; and there and back */
    void (*to_bf16)(int64_t n, const float *x, uint16_t *y);
    void (*from_bf16)(int64_t n, const uint16_t *x, float *y);
    void (*round_bf16)(int64_t n, const float *x, float *y);
    /* likewise: y = x as double, and the reverse */
    void (*to_f64)(int64_t n, const float *x, double *y);
    void (*from_f64)(int64_t n, const double *x, float *y);
    /* to[i ldt + k] = from[k ldf + i] for i < m, k < n, whatever the elements' bits say */
    void (*transpose)(int64_t m, int64_t n, const void *from, int64_t ldf, void *to, int64_t ldt);
    /* y = m ? x scale : 0 (dropout) */
    void (*mask_scale)(int64_t n, const void *x, const uint8_t *m, double scale, void *y, int acc);

    /* --- reductions --- */
    double (*sum)(int64_t n, const void *x);
    double (*sum_sq)(int64_t n, const void *x);
    double (*dot)(int64_t n, const void *x, const void *y);
    double (*max)(int64_t n, const void *x);            /* NaN if any is; -inf for n = 0 */
    double (*min)(int64_t n, const void *x);
    /* the place of the first maximum or minimum, NaN going before all; of each column of x [rows, cols] */
    int64_t (*extremum)(int64_t n, const void *x, int min);
    void (*col_extremum)(int64_t rows, int64_t cols, const void *x, int64_t ld, int min, int32_t *at);
    /* y[i] = sum_j x[i ld + j] */
    void (*row_sums)(int64_t rows, int64_t cols, const void *x, int64_t ld, double *y);
    void (*range)(int64_t n, const int32_t *x, int32_t *least, int32_t *most); /* 0 is counted in */
    /* y[j] (+)= sum_i x[i ld + j]: rows added in blocks, pairwise */
    void (*col_sum)(int64_t rows, int64_t cols, const void *x, int64_t ld, void *y, int acc);
    /* 1 if all are finite */
    int (*all_finite)(int64_t n, const void *x);

    /* --- rows: [rows, cols] contiguous --- */
    /* y = exp(x + mask - max) / sum; mask NULL or [cols] rows at stride ldm (0: one row for
     * all). A row whose every entry is -inf gives zeros. */
    void (*softmax)(int64_t rows, int64_t cols, const void *x, const void *mask, int64_t ldm, void *y);
    /* dx (+)= y (dy - sum(dy y)) */
    void (*softmax_bwd)(int64_t rows, int64_t cols, const void *y, const void *dy, void *dx, int acc);
    void (*log_softmax)(int64_t rows, int64_t cols, const void *x, void *y);
    /* dx (+)= dy - exp(y) sum(dy) */
    void (*log_softmax_bwd)(int64_t rows, int64_t cols, const void *y, const void *dy, void *dx, int acc);
    /* y[i] = ln sum_j exp(x[i][j]), -inf for a row of -inf */
    void (*logsumexp)(int64_t rows, int64_t cols, const void *x, void *y);
    /* y = (x - mean) rstd gamma + beta; mean and rstd [rows] are written where not NULL;
     * gamma, beta may be NULL */
    void (*layer_norm)(int64_t rows, int64_t cols, const void *x, const void *gamma, const void *beta,
                       double eps, void *y, void *mean, void *rstd);
    /* the same y, the same bits, from what layer_norm wrote to mean and rstd */
    void (*layer_norm_again)(int64_t rows, int64_t cols, const void *x, const void *gamma, const void *beta,
                             const void *mean, const void *rstd, void *y);
    /* dx (+)= ..., dgamma and dbeta (+= always, may be NULL) [cols] */
    void (*layer_norm_bwd)(int64_t rows, int64_t cols, const void *x, const void *gamma, const void *mean,
                           const void *rstd, const void *dy, void *dx, int acc, void *dgamma, void *dbeta);

    /* --- attention: scores s [rows, cols] contiguous to weights, in place; mask as in softmax --- */
    /* s = exp(s + mask - max); inv [rows] = 1 / sum of what s holds then, and
     * lse [rows] = ln sum exp(s + mask), may be NULL. A row of -inf: zeros, lse -inf, inv 0. */
    void (*attn_softmax)(int64_t rows, int64_t cols, void *s, const void *mask, int64_t ldm, void *lse,
                         void *inv);
    /* s = exp(s + mask - lse); zeros where lse is -inf */
    void (*attn_weights)(int64_t rows, int64_t cols, void *s, const void *mask, int64_t ldm, const void *lse);

    /* --- optimisers; see nn/optim.h for the formulas. g is multiplied by gscale first (clipping). --- */
    void (*sgd)(int64_t n, void *w, const void *g, void *buf, double lr, double momentum, int nesterov,
                double weight_decay, double gscale, int first);
    /* adamw: decay is decoupled. bc1, bc2: 1 - beta^t */
    void (*adam)(int64_t n, void *w, const void *g, void *m, void *v, double lr, double beta1, double beta2,
                 double eps, double weight_decay, int adamw, double bc1, double bc2, double gscale);

    /* --- matrix products: the inner part of tensor/gemm.c (users call et_gemm) --- */
    int gemm_vecs;                      /* a panel of B is at most gemm_vecs lanes columns wide */
    int gemm_rows[ET_TILE_VECS + 1];    /* [v]: most rows of a tile v vectors wide */
    /* [v][r]: `count` tiles of r rows and v vectors side by side:
     * c = alpha a b + beta c + bias. A has any strides; row p of B's panel t starts at
     * b + t bstep + p ldb; bias may be NULL; with beta 0, c is not read. Rows of the last panel
     * must be whole vectors. */
    void (*gemm_tile[ET_TILE_VECS + 1][ET_TILE_ROWS + 1])(int64_t count, int64_t k, const void *a,
                                                          int64_t rsa, int64_t csa, const void *b,
                                                          int64_t ldb, int64_t bstep, void *c, int64_t ldc,
                                                          double alpha, double beta, const void *bias);
    /* The same for few rows or columns, by dot products; k is contiguous in A and B, rows of
     * A are lda and columns of B ldb apart. */
    void (*gemm_dots)(int64_t m, int64_t n, int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb,
                      void *c, int64_t ldc, double alpha, double beta, const void *bias);
    /* One panel of B: out[p width + j] = b[p rsb + j csb] for j < n, 0 for n <= j < width.
     * width is a multiple of lanes. */
    void (*gemm_pack)(int64_t k, int64_t n, const void *b, int64_t rsb, int64_t csb, void *out,
                      int64_t width);
    /* Rows of A for tiles of t = gemm_rows[gemm_vecs] rows (the last has fewer, h): row r at
     * out[(r / t) step + p h + r % t] = a[r rsa + p csa], where step >= k t. */
    void (*gemm_pack_rows)(int64_t k, int64_t rows, const void *a, int64_t rsa, int64_t csa, void *out,
                           int64_t step);

    /* --- convolutions: the inner part of tensor/conv.c; tiles as in gemm_tile --- */
    /* c (+)= a b + bias: a's rows are rsa apart and contiguous, row p of b starts at b + off[p], bias [r]
     * or NULL is one number a row. */
    void (*conv_tile[ET_TILE_VECS + 1][ET_TILE_ROWS + 1])(int64_t count, int64_t k, const void *a,
                                                          int64_t rsa, const void *b, const int64_t *off,
                                                          void *c, int64_t ldc, const void *bias, int acc);
    /* c (+)= a b: row i of a is contiguous from a + off[i], b is in packed panels of k rows. */
    void (*conv_wtile[ET_TILE_VECS + 1][ET_TILE_ROWS + 1])(int64_t count, int64_t k, const void *a,
                                                           const int64_t *off, const void *b, void *c,
                                                           int64_t ldc, int acc);
    /* `count` rows, lds and ldd apart: dst[t] = src[start + t step], 0 outside src[0 .. width), for t < n. */
    void (*conv_gather)(int64_t count, const void *src, int64_t lds, int64_t width, int64_t start,
                        int64_t step, void *dst, int64_t ldd, int64_t n);
    /* `rows` rows of an image x [h, w]: dst[r ldd + t] = x[first + r sh][start + t sw],
     * 0 outside, for t < n. */
    void (*conv_rows)(int64_t rows, const void *x, int64_t h, int64_t w, int64_t first, int64_t sh,
                      int64_t start, int64_t sw, void *dst, int64_t ldd, int64_t n);
    /* n positions of a grid with rows of ow, from (row, col) on, as each tap (i, k) of a kernel sees each of
     * `count` images x [h, w]: for position (r, c), dst[t] = x[r sh + i - ph][c sw + k - pw], 0 outside.
     * Lines are ldd apart, taps behind each other, then images. */
    void (*conv_lines)(int64_t count, const void *x, int64_t h, int64_t w, int64_t sh, int64_t sw, int64_t kh,
                       int64_t kw, int64_t ph, int64_t pw, int64_t ow, int64_t row, int64_t col, int64_t n,
                       void *dst, int64_t ldd);
    /* dst[start + t step] += src[t] inside dst[0 .. width), for t < n. */
    void (*conv_scatter)(int64_t count, const void *src, int64_t lds, void *dst, int64_t ldd, int64_t width,
                         int64_t start, int64_t step, int64_t n);
    /* sums[o taps + t] += the sum over r < rows, q < n of dy[o ld_out + r ld_row + q]
     * lines[off[t] + r step + q]. */
    void (*conv_dots)(int64_t outs, int64_t taps, int64_t rows, int64_t n, const void *dy, int64_t ld_out,
                      int64_t ld_row, const void *lines, const int64_t *off, int64_t step, double *sums);

    /* --- convolutions with 3 (x 3) taps in tiles of 2 (x 2) results: for tensor/conv_winograd.c --- */
    et_winograd_kernels winograd[3]; /* by the number of axes, 1 or 2 */

    /* --- convolutions with tall kernels, four rows of results and three taps at a time:
     * for tensor/conv_tall.c. Rows are whole vectors, but for n of tall_output. --- */
    /* v[k step + r ld + t] = element k of the transformed x[r .. r + 5][t], rows ld apart. */
    void (*tall_input)(int64_t rows, int64_t ld, const void *x, void *v, int64_t step);
    /* The results of m[k step + o ld + t], k < 6, t < n, to `rows` (up to 4) rows of y,
     * y[o area + r w + t] = ... + bias[o], bias [outs] or NULL; acc 1: += ..., bias must be NULL. */
    void (*tall_output)(int64_t outs, int64_t n, const void *m, int64_t ld, int64_t step, int rows,
                        const void *bias, int acc, void *y, int64_t area, int64_t w);
    /* The reverse: m[k step + t] from the gradients of four rows, dy[r n + t]. */
    void (*tall_output_grad)(int64_t n, const void *dy, void *m, int64_t step);

    /* --- pooling: for autograd/ops_pool.c --- */
    /* One row of outputs: y[t] = max over taps i0 .. i0 + rows - 1 along the column and j < kw along the row
     * of x[(i - i0) ldx + start + t step + j], where that column lies within 0 .. width-1;
     * at[t] = i kw + j of the first maximum (NaN is the largest). */
    void (*max_pool)(int64_t n, const void *x, int64_t ldx, int64_t width, int64_t start, int64_t step,
                     int64_t rows, int64_t i0, int64_t kw, void *y, uint8_t *at);
    /* Windows of kh rows and step columns that follow each other without gap or overlap: the gradient of
     * n windows, dx[i ldx + t step + j] (+)= at[t] == i step + j ? dy[t] : 0. */
    void (*max_pool_bwd)(int64_t n, int64_t kh, int64_t step, const void *dy, const uint8_t *at, void *dx,
                         int64_t ldx, int acc);
    /* dx[start + t step + tap[at[t]]] += dy[t], one after the other */
    void (*max_pool_scatter)(int64_t n, const void *dy, const uint8_t *at, const int64_t *tap, int64_t start,
                             int64_t step, void *dx);

    /* y[t] = scale (x[2 t] + x[2 t + 1]), the sum of `rows` rows;
     * and dx[2 t], dx[2 t + 1] (+)= scale dy[t] in each row. */
    void (*avg_pairs)(int64_t n, int64_t rows, const void *x, int64_t ldx, double scale, void *y);
    void (*avg_pairs_bwd)(int64_t n, int64_t rows, const void *dy, double scale, void *dx, int64_t ldx,
                          int acc);

    /* --- batch norm: elements of one channel --- */
    /* Mean of x and the sum of squared differences from it. */
    void (*moments)(int64_t n, const void *x, double *mean, double *m2);
    /* y = act((x - mean) scale + shift) */
    void (*norm_apply)(int64_t n, const void *x, const et_norm *norm, void *y);
    /* With g = dy act'(..): the sums of g and of g (x - mean). */
    void (*norm_sums)(int64_t n, const void *x, const et_norm *norm, const void *dy, double *sum,
                      double *dot);
    /* dx (+)= a g + b (x - mean) + c */
    void (*norm_bwd)(int64_t n, const void *x, const et_norm *norm, const void *dy, double a, double b,
                     double c, void *dx, int acc);

    /* The same for channels that lie side by side: x, dy, y and dx are [rows, cols], rows ld apart;
     * norm: arrays of cols reals each, mean, scale and shift; coeffs: a, b and c. */
    void (*cols_moments)(int64_t rows, int64_t cols, const void *x, int64_t ld, double *mean, double *m2);
    void (*cols_apply)(int64_t rows, int64_t cols, const void *x, int64_t ld, const void *const norm[3],
                       int relu, void *y);
    void (*cols_sums)(int64_t rows, int64_t cols, const void *x, int64_t ld, const void *const norm[3],
                      int relu, const void *dy, double *sum, double *dot);
    void (*cols_bwd)(int64_t rows, int64_t cols, const void *x, int64_t ld, const void *const norm[3],
                     int relu, const void *dy, const void *const coeffs[3], void *dx, int acc);

    /* --- recurrent layers: the inner part of autograd/recurrent.c --- */
    /* Reals in the packed or tiled form of gates x units columns (k inputs or k rows). */
    int64_t (*rec_packed)(int gates, int64_t units, int64_t k);
    /* The weight of output (gate g, unit j) and input p is w[(g units + j) rs + p cs]. */
    void (*rec_pack)(int gates, int64_t units, int64_t k, const void *w, int64_t rs, int64_t cs,
                     void *packed);
    /* c (tiled) = bias (packed) + a w, or c += a w when bias is NULL; a [rows, k], lda apart */
    void (*rec_product)(int gates, int64_t units, int64_t rows, int64_t k, const void *a, int64_t lda,
                        const void *packed, const void *bias, void *c);
    /* Plain rows of `units` reals, ld apart, to tiled ones of one gate (NULL: zeros), and back. */
    void (*rec_tile)(int64_t units, int64_t rows, const void *from, int64_t ld, void *tiled);
    void (*rec_untile)(int64_t units, int64_t rows, const void *tiled, void *to, int64_t ld, int acc);
    void (*rec_step[ET_N_CELLS])(const et_rec_step *s);
    void (*rec_back[ET_N_CELLS])(const et_rec_back *s);
    /* LSTM: next [rows, ldh] = c after the step, of rows, units, saved, c, ldh and d (NULL: c stays) */
    void (*rec_cell)(const et_rec_back *s, void *next);

    /* --- spectra: the inner part of datasets/fft_rows.c. A row is `lanes` reals, one of each of
     * `lanes` sequences side by side; a complex row is a row of real and one of imaginary parts --- */
    /* Complex rows [n] transformed in place; result k stands at the place that the plan lists. */
    void (*fft_passes)(const et_fft_passes *s, void *rows);
    /* Row j, row_step reals apart, = x[i][j] window[j] for sequences i < count, 0 beyond; sequences
     * are x_step apart; window NULL: ones. */
    void (*fft_load)(int64_t n, int count, const void *x, int64_t x_step, const void *window, void *rows,
                     int64_t row_step);
    /* x[i][j] = row j's place i for i < count */
    void (*fft_store)(int64_t n, int count, const void *rows, int64_t row_step, void *x, int64_t x_step);
    /* Rows [n] in place: y = x - mean, then (y[j] - coefficient y[j - 1]) window[j], y[-1] being y[0] */
    void (*fft_emphasis)(int64_t n, double coefficient, const void *window, void *rows, int64_t row_step);
    /* out[k] = rows[order[k]] factors[k] for complex rows; order NULL: k, factors (re, im) NULL: 1;
     * swap: real and imaginary parts change places. out is other memory. */
    void (*fft_scale)(int64_t n, const int32_t *order, const void *rows, const void *factors, int swap,
                      void *out);
    /* The bins 0 .. n of 2 n reals from the transform of x[2j] + i x[2j+1]; roots [n / 2 + 1] are
     * exp(-pi i k / n) / 2. roots NULL: the bins 0 .. n / 2 as they are. power: rows of re^2 + im^2. */
    void (*fft_split)(int64_t n, const int32_t *order, const void *roots, const void *rows, void *out,
                      int power);
    /* Its inverse, times 2 scale (roots NULL: the whole of a Hermitian spectrum, times scale), with
     * real and imaginary parts swapped: the passes then transform back. */
    void (*fft_join)(int64_t n, const void *roots, double scale, const void *spectrum, void *rows);
    /* The bins 0 .. N of one sequence, (re, im) each;
     * work has room for 4 N + 2 lanes reals. NULL where lanes is 1. */
    void (*fft_one)(const et_fft_one *s, const void *x, void *work, void *out);
    /* out row i = the sum of the band's rows times its weights; weights of all bands follow each other */
    void (*band_sums)(int64_t n, const et_band *bands, const void *weights, const void *rows, void *out);

    /* --- random words (tensor/rng.c) --- */
    /* The words of ET_PHILOX_BLOCKS blocks of a stream, from number `counter` on; NULL where this instruction
     * set has nothing better than et_philox. */
    void (*philox)(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t *out);
    /* y = lo <= x <= hi ? 1 : 0, for lo <= hi */
    void (*between)(int64_t n, const uint32_t *x, uint32_t lo, uint32_t hi, uint8_t *y);
} et_kernels;

/** The table for a real dtype: the chosen instruction set's for float32, plain C for
 *  float64. NULL for other dtypes. */
const et_kernels *et_kernels_for(et_dtype dtype);

/** float32 tables that this machine can run, best first; their number. */
int et_kernels_available(const et_kernels *out[], int max);

/** Chooses the float32 table by name; EINVAL if this machine or build lacks it. */
et_status et_set_isa(const char *name);
/** Name of the chosen one. */
const char *et_isa(void);

#endif
