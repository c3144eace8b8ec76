/* Checkpoints: all that a run needs to go on as if it had not been interrupted, in one
 * safetensors file. Parameters and buffers are stored under "model.", moments under
 * "optim.", the rest as metadata. */
#ifndef ETUDE_NN_CHECKPOINT_H
#define ETUDE_NN_CHECKPOINT_H

#include "nn/early_stop.h"
#include "nn/module.h"
#include "nn/optim.h"
#include "tensor/rng.h"
#include "tensor/safetensors.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_named_rng {
    const char *name;
    et_rng *rng;
} et_named_rng;

typedef struct et_checkpoint_state {
    et_module *module;
    et_optim *optim;    /* or NULL */
    et_named_rng *rngs; /* generators whose states belong to the run */
    int n_rngs;
    const et_metadata *metadata; /* what must agree when the run goes on (the model's sizes, say) */
    int64_t n_metadata;
    /* Written by et_checkpoint_save, set by et_checkpoint_load: */
    int64_t epoch, step;    /* epochs and steps done */
    int64_t phase, phase_began; /* of the last epoch done: its phase, and the epoch that this began with */
    et_early_stop progress; /* best value, its epoch, epochs since; the settings are not stored */
} et_checkpoint_state;

/** Writes the file in one step: the old one stays until the new one is on the disk. Refuses
 *  while an error is pending. EINVAL, EIO, ENOMEM. */
et_status et_checkpoint_save(const et_checkpoint_state *c, const char *path);

/** Reads a checkpoint of the same module (names, shapes, dtypes), optimiser, generators and
 *  metadata. Everything is checked and read before anything is changed. EINVAL (it is
 *  another run's), ESHAPE, EDTYPE, EIO, EFORMAT (damaged), ENOMEM. */
et_status et_checkpoint_load(et_checkpoint_state *c, const char *path);

/** The phase that a checkpoint's optimiser belongs to, without reading more. EIO, EFORMAT. */
et_status et_checkpoint_phase(const char *path, int64_t *phase);

#ifdef __cplusplus
}
#endif
#endif
