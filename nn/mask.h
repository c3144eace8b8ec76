/* Masks from the lengths of padded sequences. */
#ifndef ETUDE_NN_MASK_H
#define ETUDE_NN_MASK_H

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** uint8 [B, T]: 1 in the first lengths[b] (int32 [B]) places of row b, 0 behind them. To mask
 *  keys in attention, give it as [B, 1, 1, T] (et_mask_keys). EDTYPE, ESHAPE, EINVAL for a
 *  length outside 0 .. T, ENOMEM. */
et_tensor *et_mask_lengths(const et_tensor *lengths, int64_t T);
/** The same as [B, 1, 1, T], which broadcasts to attention scores [B, H, Tq, T]. */
et_tensor *et_mask_keys(const et_tensor *lengths, int64_t T);
/** Real [B, T]: 0 in valid places, -inf behind them, to be added to scores. */
et_tensor *et_mask_additive(const et_tensor *lengths, int64_t T, et_dtype dtype);

#ifdef __cplusplus
}
#endif
#endif
