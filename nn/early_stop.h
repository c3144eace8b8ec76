/* When to stop: the best value of a measure so far, and the epochs since; and a copy of the
 * weights that reached it. */
#ifndef ETUDE_NN_EARLY_STOP_H
#define ETUDE_NN_EARLY_STOP_H

#include "nn/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_early_stop {
    bool maximise;      /* larger is better */
    int64_t patience;   /* stop after so many epochs in a row without improvement; 0: never */
    double min_delta;   /* what counts as improvement is more than this */
    double best;        /* so far; NaN before the first */
    int64_t best_epoch; /* -1 before the first */
    int64_t waited;     /* epochs since then */
} et_early_stop;

/** With these settings, before the first epoch. */
et_early_stop et_early_stop_make(bool maximise, int64_t patience, double min_delta);
/** Takes the value of an epoch; true if it is the best so far. NaN never is. */
bool et_early_stop_update(et_early_stop *s, int64_t epoch, double value);
/** True when patience is at its end. */
bool et_early_stop_done(const et_early_stop *s);

/* A copy of a module's parameters and buffers. */
typedef struct et_weights et_weights;

/** A copy of what m holds now; NULL and ENOMEM on failure. The module must outlive all
 *  calls but et_weights_free. */
et_weights *et_weights_new(et_module *m);
void et_weights_free(et_weights *w);
/** Copies from the module, or back into it. */
et_status et_weights_store(et_weights *w);
et_status et_weights_restore(et_weights *w);

#ifdef __cplusplus
}
#endif
#endif
