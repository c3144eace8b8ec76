/* Convolutions (cross-correlations) over one or two axes and their gradients, by implicit matrix
 * products: patches are gathered block by block into a buffer that stays in the second-level
 * cache, never for a whole sample. For autograd/ops_conv.c. */
#ifndef ETUDE_TENSOR_CONV_H
#define ETUDE_TENSOR_CONV_H

#include "tensor/tensor.h"

/* Sizes. Over one axis, h, kh, sh, oh are 1 and ph is 0. */
typedef struct et_conv {
    int64_t batch, in, h, w; /* x [batch, in, h, w] */
    int64_t out, kh, kw;     /* weight [out, in, kh, kw] */
    int64_t sh, sw, ph, pw;  /* stride, padding with zeros on both sides */
    int64_t oh, ow;          /* y [batch, out, oh, ow], (h + 2 ph - kh) / sh + 1 and so on */
} et_conv;

/** y = x * weight + bias; arrays contiguous, float32 or float64, bias [out] or NULL. The bits do not depend
 *  on the number of threads; so below. ENOMEM. */
et_status et_conv_forward(et_dtype dtype, const et_conv *c, const void *x, const void *weight,
                          const void *bias, void *y);
/** dx (acc 0: =, 1: +=) the gradient of x from that of y. */
et_status et_conv_input_grad(et_dtype dtype, const et_conv *c, const void *weight, const void *dy, void *dx,
                             int acc);
/** dweight (+)= the gradient of the weight; sums [out], unless NULL, = the sums of dy, the bias's
 *  gradient. */
et_status et_conv_weight_grad(et_dtype dtype, const et_conv *c, const void *x, const void *dy, void *dweight,
                              int acc, double *sums);
/** The sums of dy alone. */
void et_conv_sums(et_dtype dtype, const et_conv *c, const void *dy, double *sums);

/** Whether the forward product of c (and, being one, the gradient of x) goes by et_conv_winograd: 3 x 3
 *  taps, or 3 along one axis, stride 1, float32, enough channels and positions. */
bool et_conv_winograd_fits(et_dtype dtype, const et_conv *c);
/** As et_conv_forward (acc 1: y is added to) in less arithmetic, with errors a few times as large. Turned:
 *  the weight is [in, out, kh, kw] and its kernels are turned around, as for the gradient of x. ENOMEM. */
et_status et_conv_winograd(const et_conv *c, const float *x, const float *weight, bool turned,
                           const float *bias, float *y, int acc);

/** Whether the forward product of c (and, being one, the gradient of x, whose input channels are those of dy)
 *  goes by et_conv_tall and its weight's gradient by et_conv_tall_weight_grad: kernels of several rows,
 *  stride 1, float32, few input channels. */
bool et_conv_tall_fits(et_dtype dtype, const et_conv *c);
/** As et_conv_forward (acc 1: y is added to, bias must be NULL) in about half of the arithmetic. ENOMEM. */
et_status et_conv_tall(const et_conv *c, const float *x, const float *weight, const float *bias, float *y,
                       int acc);
/** As et_conv_weight_grad. ENOMEM. */
et_status et_conv_tall_weight_grad(const et_conv *c, const float *x, const float *dy, float *dweight, int acc,
                                   double *sums);

/** Whether the weight is so small, and rows so long, that its gradient goes by et_conv_small_weight_grad. */
bool et_conv_small_fits(et_dtype dtype, const et_conv *c);
/** As et_conv_weight_grad, without transposing dy; sizes none of which is 0. */
et_status et_conv_small_weight_grad(et_dtype dtype, const et_conv *c, const void *x, const void *dy,
                                    void *dweight, int acc, double *sums);

#endif
