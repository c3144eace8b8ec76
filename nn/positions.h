/* Positional encodings: what is added to a sequence so that order matters. */
#ifndef ETUDE_NN_POSITIONS_H
#define ETUDE_NN_POSITIONS_H

#include "autograd/ops.h"
#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sinusoidal: a table that sizes determine, not part of the state.
 * Learned: the parameter weight [max, d]. */
typedef struct et_positions {
    et_module module;
    et_tensor *table;
    bool learned;
} et_positions;

/** sin and cos of geometric frequencies (et_sinusoidal_positions), for up to `max` steps.
 *  EINVAL for sizes below 1 or an odd d. */
et_positions *et_positions_sinusoidal_new(et_module *parent, const char *name, int64_t max, int64_t d);
/** Learned, drawn from N(0, std) cut at two standard deviations. */
et_positions *et_positions_learned_new(et_module *parent, const char *name, int64_t max, int64_t d,
                                       double std, et_rng *rng);

/** x [B, T, d] (or [T, d]) + the first T rows of the table. ESHAPE if T > max or d differs. */
et_tensor *et_positions_forward(const et_positions *p, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
