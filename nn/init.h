/* Initialisers. Each draws from an explicit generator (NULL: the thread's default one), so
 * that a model is a function of its seed. Tensors are float32 or float64. */
#ifndef ETUDE_NN_INIT_H
#define ETUDE_NN_INIT_H

#include "nn/module.h"
#include "tensor/rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Inputs and outputs of a weight: [out, in] has fan_in = in; [out, in, k, ...] (convolution)
 *  has fan_in = in k ... and fan_out = out k .... ESHAPE below two dimensions. */
et_status et_init_fans(const et_tensor *w, int64_t *fan_in, int64_t *fan_out);

/** U(-bound, bound). */
et_status et_init_uniform(et_tensor *w, double bound, et_rng *rng);
/** N(0, std). */
et_status et_init_normal(et_tensor *w, double std, et_rng *rng);
/** N(0, std) cut to [-cut, cut]: cut = 2 with std 0.02 is timm's, cut = 2 std BERT's. */
et_status et_init_trunc_normal(et_tensor *w, double std, double cut, et_rng *rng);
/** U(-1/sqrt(fan), 1/sqrt(fan)): the usual default of linear and convolution weights and
 *  biases (fan = fan_in) and of recurrent layers (fan = H). EINVAL for fan < 1. */
et_status et_init_fan(et_tensor *w, int64_t fan, et_rng *rng);
/** Glorot and Bengio 2010: U(+-gain sqrt(6 / (fan_in + fan_out))), or
 *  N(0, gain sqrt(2 / (fan_in + fan_out))). */
et_status et_init_xavier_uniform(et_tensor *w, double gain, et_rng *rng);
et_status et_init_xavier_normal(et_tensor *w, double gain, et_rng *rng);
/** He et al. 2015: U(+-gain sqrt(3 / fan_in)), or N(0, gain / sqrt(fan_in)); gain sqrt(2) for relu. */
et_status et_init_he_uniform(et_tensor *w, double gain, et_rng *rng);
et_status et_init_he_normal(et_tensor *w, double gain, et_rng *rng);
/** Rows (or columns, where there are fewer of them) of w [m, n] become orthonormal, times
 *  gain: Gram-Schmidt on a Gaussian matrix, which is uniform over such matrices (Saxe et al.
 *  2014). ESHAPE unless w has two dimensions; ENOMEM. */
et_status et_init_orthogonal(et_tensor *w, double gain, et_rng *rng);
/** The same for each of `gates` equal blocks of rows of a recurrent weight [gates H, H]. */
et_status et_init_orthogonal_gates(et_tensor *w, int gates, double gain, et_rng *rng);

/** Every parameter below m: those of two and more dimensions N(0, std), cut to [-cut, cut] unless cut is 0,
 *  biases 0; weights of norms stay. */
et_status et_init_module_normal(et_module *m, double std, double cut, et_rng *rng);

#ifdef __cplusplus
}
#endif
#endif
