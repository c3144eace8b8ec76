/* One kernel table. Compiled once for each instruction set, with -DET_ISA_... and the
 * compiler's flags for it (tensor/local.mk); see tensor/kernels.h and vec.h. */
#include "config.h"

#include "tensor/kernels.h"
#include "tensor/kernels/vec.h"
#if defined(ET_ISA_F64)
#include "tensor/kernels/math_libm.h"
#else
#include "tensor/kernels/trig_pow.h"
#endif
#include "tensor/kernels/elementwise.h"
#include "tensor/kernels/reduce.h"
#include "tensor/kernels/rows.h"
#include "tensor/kernels/attention.h"
#include "tensor/kernels/optim.h"
#include "tensor/kernels/gemm.h"
#include "tensor/kernels/conv.h"
#include "tensor/kernels/winograd.h"
#include "tensor/kernels/conv_tall.h"
#include "tensor/kernels/pool.h"
#include "tensor/kernels/recurrent.h"
#include "tensor/kernels/recurrent_cells.h"
#include "tensor/kernels/fft.h"
#include "tensor/kernels/random.h"

extern const et_kernels V_TABLE;

const et_kernels V_TABLE = {
    .name = V_NAME,
    .dtype = V_DTYPE,
    .lanes = LANES,

#define F(upper, lower) [ET_U_##upper] = unary_##lower
    .unary = {F(NEG, neg), F(ABS, abs), F(SQUARE, square), F(RECIPROCAL, reciprocal), F(EXP, exp),
              F(EXPM1, expm1), F(LOG, log), F(LOG1P, log1p), F(SQRT, sqrt), F(RSQRT, rsqrt), F(SIN, sin),
              F(COS, cos), F(TANH, tanh), F(SIGMOID, sigmoid), F(ERF, erf), F(RELU, relu),
              F(SOFTPLUS, softplus), F(LOG_SIGMOID, log_sigmoid), F(ELU, elu), F(GELU, gelu),
              F(GELU_TANH, gelu_tanh), F(QUICK_GELU, quick_gelu), F(SILU, silu)},
#undef F
#define F(upper, lower) [ET_U_##upper] = bwd_##lower
    .unary_bwd = {F(NEG, neg), F(ABS, abs), F(SQUARE, square), F(RECIPROCAL, reciprocal), F(EXP, exp),
                  F(EXPM1, expm1), F(LOG, log), F(LOG1P, log1p), F(SQRT, sqrt), F(RSQRT, rsqrt), F(SIN, sin),
                  F(COS, cos), F(TANH, tanh), F(SIGMOID, sigmoid), F(ERF, erf), F(RELU, relu),
                  F(SOFTPLUS, softplus), F(LOG_SIGMOID, log_sigmoid), F(ELU, elu), F(GELU, gelu),
                  F(GELU_TANH, gelu_tanh), F(QUICK_GELU, quick_gelu), F(SILU, silu)},
#undef F
#define F(upper, lower) [ET_U_##upper] = unary_d_##lower
    .unary_d = {F(GELU, gelu), F(GELU_TANH, gelu_tanh), F(QUICK_GELU, quick_gelu), F(SILU, silu)},
#undef F
    .binary = {[ET_B_ADD] = binary_add, [ET_B_SUB] = binary_sub, [ET_B_MUL] = binary_mul,
               [ET_B_DIV] = binary_div, [ET_B_MIN] = binary_min, [ET_B_MAX] = binary_max},
    .fill = fill, .reverse = reverse, .axpby = axpby, .affine = affine, .mul_acc = mul_acc,
    .masked_fill = masked_fill, .where = where, .clamp = clamp, .clamp_bwd = clamp_bwd, .pow = power,
    .share = share, .transpose = transpose, .mask_scale = mask_scale,
#if !defined(ET_ISA_F64)
    .to_bf16 = to_bf16, .from_bf16 = from_bf16, .round_bf16 = round_bf16,
    .to_f64 = to_f64, .from_f64 = from_f64,
#endif

    .sum = sum, .row_sums = row_sums, .sum_sq = sum_sq, .dot = dot, .max = maximum, .min = minimum,
    .extremum = extremum, .col_extremum = col_extremum, .range = range,
    .col_sum = col_sum, .all_finite = all_finite,

    .softmax = softmax, .softmax_bwd = softmax_bwd, .log_softmax = log_softmax,
    .log_softmax_bwd = log_softmax_bwd, .logsumexp = logsumexp, .layer_norm = layer_norm,
    .layer_norm_again = layer_norm_again,
    .layer_norm_bwd = layer_norm_bwd,

    .sgd = sgd, .adam = adam,

    ATTN_TABLE,
    GEMM_TABLE,
    CONV_TABLE,
    WINO_TABLE,
    TALL_TABLE,
    POOL_TABLE,
    REC_TABLE,
    FFT_TABLE,
    RND_TABLE,
};
