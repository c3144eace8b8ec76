/* Positions: tables of sines, and learned tables fitted to other sizes. */
#include "config.h"

#include <math.h>

#include "autograd/op.h"
#define ET_NO_PLACES /* ops made of others keep the place of the outermost call */
#include "autograd/ops.h"
#include "tensor/alloc.h"

/* --- one and two dimensions -------------------------------------------------------------------- */

static int positions_call(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_sinusoidal_positions(in[0]->dtype, 5, 6, 0);
    return out[0] ? 1 : -1;
}
static const et_sample positions_samples[] = {
    {.name = "five", .n_in = 1, .in = {{0, {0}, 0, 0, ET_ARG_CONST}}, .call = positions_call},
};
const et_op et_op_sinusoidal_positions = {.name = "sinusoidal_positions", .args = "", .n_out = 1,
                                          .flags = ET_OP_NODIFF, ET_SAMPLES(positions_samples)};

/** p [t, d] (Vaswani et al. 2017, section 3.5): p[i][2j] = sin(i / 10000^(2j/d)),
 *  p[i][2j+1] = cos of the same. With zero_rows > 0 the first rows are zero and the
 *  sequence starts, from position 1, after them (for a padding id). d even. */
et_tensor *(et_sinusoidal_positions)(et_dtype dtype, int64_t t, int64_t d, int64_t zero_rows)
{
    int64_t shape[2] = {t, d};

    if (!et_dtype_is_real(dtype) || t < 0 || d < 0 || d % 2 || zero_rows < 0) {
        et_raise_here(ET_EINVAL, "sinusoidal_positions: %lld positions of width %lld in %s", (long long)t,
                      (long long)d, et_dtype_name(dtype));
        return NULL;
    }
    et_tensor *p = et_zeros(dtype, 2, shape);
    for (int64_t i = zero_rows; p && i < t; i++)
        for (int64_t j = 0; j < d; j++) {
            double at = (double)(zero_rows ? i - zero_rows + 1 : i) *
                        pow(10000.0, -(double)(j / 2 * 2) / (double)d);
            et_set(p, (const int64_t[]){i, j}, j % 2 ? cos(at) : sin(at));
        }
    return p;
}

static int positions_2d_call(et_tensor *const *in, et_tensor **out)
{
    out[0] = et_sinusoidal_positions_2d(in[0]->dtype, 2, 3, 8);
    return out[0] ? 1 : -1;
}
static const et_sample positions_2d_samples[] = {
    {.name = "2 x 3", .n_in = 1, .in = {{0, {0}, 0, 0, ET_ARG_CONST}}, .call = positions_2d_call},
};
const et_op et_op_sinusoidal_positions_2d = {.name = "sinusoidal_positions_2d", .args = "", .n_out = 1,
                                             .flags = ET_OP_NODIFF, ET_SAMPLES(positions_2d_samples)};

/** p [rows cols, d] for the tokens of a grid, row by row (Beyer et al. 2022, arXiv
 *  2205.01580): with frequencies w_k = 10000^(-k / (d/4 - 1)), k < d/4, the token in column x
 *  of row y has sin(x w), cos(x w), sin(y w), cos(y w), a quarter of d each. d a multiple of 4
 *  and at least 8. */
et_tensor *(et_sinusoidal_positions_2d)(et_dtype dtype, int64_t rows, int64_t cols, int64_t d)
{
    int64_t tokens = 0;

    if (!et_dtype_is_real(dtype) || rows < 0 || cols < 0 || d < 8 || d % 4 ||
        !et_mul_i64(rows, cols, &tokens)) {
        et_raise_here(ET_EINVAL, "sinusoidal_positions_2d: %lld x %lld positions of width %lld in %s",
                      (long long)rows, (long long)cols, (long long)d, et_dtype_name(dtype));
        return NULL;
    }
    et_tensor *p = et_empty(dtype, 2, (const int64_t[]){tokens, d});
    for (int64_t i = 0; p && i < tokens; i++)
        for (int64_t j = 0; j < d; j++) {
            double frequency = pow(10000.0, -(double)(j % (d / 4)) / (double)(d / 4 - 1));
            double at = (double)(j < d / 2 ? i % cols : i / cols) * frequency;
            et_set(p, (const int64_t[]){i, j}, j / (d / 4) % 2 ? cos(at) : sin(at));
        }
    return p;
}

/* --- a learned table in another size ------------------------------------------------------------ */

/* w [to, from] with y = w x: linear interpolation between the centres of `from` cells that are
 * stretched to `to`; beyond the outer centres the edge goes on. */
static et_tensor *stretching(et_dtype dtype, int64_t from, int64_t to)
{
    et_tensor *w = et_zeros(dtype, 2, (const int64_t[]){to, from});

    for (int64_t i = 0; w && i < to; i++) {
        double at = ((double)i + 0.5) * (double)from / (double)to - 0.5;
        at = at < 0 ? 0 : at;
        int64_t low = (int64_t)at < from - 1 ? (int64_t)at : from - 1;
        double share = low < from - 1 ? at - (double)low : 0;
        et_set(w, (const int64_t[]){i, low}, 1 - share);
        if (share > 0)
            et_set(w, (const int64_t[]){i, low + 1}, share);
    }
    return w;
}

/* table [R, C, D] with `size` cells along dimension dim, 0 or 1. */
static et_tensor *fit_along(et_tensor *table, int dim, int64_t size)
{
    int64_t from = et_size(table, dim);

    if (!table || from == size)
        return table;
    if (size < from) {
        int64_t start = from / 2 - size / 2;
        return et_slice(table, dim, start, start + size, 1);
    }
    et_tensor *w = stretching(table->dtype, from, size);
    if (dim == 1)
        return et_matmul(w, table);
    int64_t cols = table->shape[1], width = table->shape[2];
    et_tensor *flat = et_matmul(w, et_reshape(table, ET_SHAPE(from, cols * width)));
    return et_reshape(flat, ET_SHAPE(size, cols, width));
}

ET_CALL(fit_crop, et_fit_positions(in[0], 2, 3))
ET_CALL(fit_stretch, et_fit_positions(in[0], 5, 7))
ET_CALL(fit_both, et_fit_positions(in[0], 2, 7))
static const et_sample fit_samples[] = {
    {.name = "cropped", .n_in = 1, .in = {{3, {3, 6, 2}}}, .call = fit_crop},
    {.name = "stretched", .n_in = 1, .in = {{3, {3, 4, 2}}}, .call = fit_stretch},
    {.name = "cropped and stretched", .n_in = 1, .in = {{3, {4, 5, 3}}}, .call = fit_both},
    {.name = "as it is", .n_in = 1, .in = {{3, {2, 3, 2}}}, .call = fit_crop},
};
const et_op et_op_fit_positions = {.name = "fit_positions", .args = "r", .n_out = 1, ET_SAMPLES(fit_samples)};

/** A table of positions [R, C, D] for a grid of another size, [rows, cols, D]. A dimension
 *  that shrinks is cut out around the middle, from R/2 - rows/2 on; one that grows is
 *  interpolated linearly between the cells' centres (bilinear, half-pixel centres, as in
 *  Gong et al. 2021, arXiv 2104.01778). Gradients reach the table. ESHAPE unless the table
 *  has three dimensions and cells; EINVAL unless rows and cols are at least 1. */
et_tensor *(et_fit_positions)(et_tensor *table, int64_t rows, int64_t cols)
{
    if (table && (table->ndim != 3 || table->shape[0] < 1 || table->shape[1] < 1)) {
        et_raise_here(ET_ESHAPE, "fit_positions: the table is %s, expected [rows, cols, width]",
                      et_shape_str(table));
        return NULL;
    }
    if (rows < 1 || cols < 1) {
        et_raise_here(ET_EINVAL, "fit_positions: a grid of %lld x %lld", (long long)rows, (long long)cols);
        return NULL;
    }
    if (!table)
        return et_reshape(table, 0, NULL);
    return et_op_scope("fit_positions") ? fit_along(fit_along(table, 0, rows), 1, cols) : NULL;
}
