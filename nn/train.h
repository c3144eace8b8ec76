/* The training loop: epochs of steps over a task that gives batches and losses, with
 * clipping, a schedule, early stopping, and a checkpoint after every epoch.
 *
 * A run is a function of its seed: batches are the task's (datasets/batch.h draws them from
 * seed and epoch), and the thread's default generator, which dropout draws from, is set to
 * (seed, epoch) at the start of each. A run that goes on from the checkpoint of its last
 * whole epoch therefore ends with the same bits as one that was not interrupted. */
#ifndef ETUDE_NN_TRAIN_H
#define ETUDE_NN_TRAIN_H

#include "nn/checkpoint.h"
#include "nn/schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is trained on; `user` is handed to each. A function that fails leaves an error pending. */
typedef struct et_train_task {
    void *user;
    /** Begins epoch 0, 1, ...; may be NULL. */
    et_status (*begin)(void *user, int64_t epoch);
    /** Makes the next batch, inside the step's scope. Its number of items; 0 when the epoch
     *  has no more; negative: a status. */
    int64_t (*next)(void *user);
    /** The loss of that batch, one element: the mean over its items. Called a second time for
     *  the same batch to find out what made a loss that is not finite. */
    et_tensor *(*loss)(void *user);
    /** A measure on the validation data, in evaluation mode with nothing recorded; may be NULL. */
    et_status (*validate)(void *user, double *metric);
} et_train_task;

/* A part of a run with an optimiser of its own. */
typedef struct et_train_phase {
    int64_t epochs; /* at least 1; the last phase lasts to the end of the run */
    et_optim_options optim;
    int64_t patience; /* epochs without improvement after which it ends, the last one with the run; 0: none */
} et_train_phase;

typedef struct et_train_event {
    bool epoch_ended;              /* else: a step was made */
    int64_t epoch, step;           /* current epoch, from 0; steps made in all */
    int64_t epoch_step, items;     /* steps and items of this epoch so far */
    double loss;                   /* mean over these items */
    double lr;                     /* of the last step */
    int phase;                     /* which of the options' phases, from 0 */
    double metric;                 /* of validation, when the epoch has ended; else NaN */
    bool improved;                 /* it is the best so far */
    const et_early_stop *progress; /* best value, its epoch */
} et_train_event;

typedef struct et_train_options {
    int64_t epochs;              /* in all, those before a resumed checkpoint included */
    bool mixed;                  /* losses are computed in mixed precision (et_mixed_begin) */
    double clip;                 /* global norm of the gradients; 0: not clipped */
    const et_schedule *schedule; /* NULL: the optimiser's rate */
    /* Phases one after the other, NULL: the optimiser as it was made. At the beginning of each the optimiser
     * begins anew with the phase's options (et_optim_restart), at that of all but the first from the best
     * weights so far, where there is validation. Not together with a schedule. */
    const et_train_phase *phases;
    int n_phases;
    bool maximise;               /* the metric: larger is better */
    int64_t patience;            /* epochs without improvement before the run ends; 0: never */
    double min_delta;
    uint64_t seed;
    const char *last_path;       /* checkpoint after each epoch, and before the first; or NULL */
    const char *best_path;       /* weights of the best epoch; needed with last_path and validate */
    bool resume;                 /* go on from last_path if that file exists */
    const et_metadata *metadata; /* goes to the checkpoint and must agree when resuming */
    int64_t n_metadata;
    et_named_rng *rngs; /* generators of the task's own, kept in the checkpoint */
    int n_rngs;
    bool (*interrupted)(void); /* asked before each step; true ends the run. NULL: never */
    /** Told of every step and epoch (that of an epoch comes before its checkpoint); may be
     *  NULL. A negative status ends the run. */
    et_status (*report)(void *user, const et_train_event *event);
    void *report_user;
} et_train_options;

typedef struct et_train_result {
    int64_t epochs, steps; /* whole epochs and steps made, before resuming too */
    int64_t first_epoch;   /* that this call began with: 0, or what it resumed from */
    double loss;           /* training loss of the last epoch, NaN without one */
    double best;           /* NaN without validation */
    int64_t best_epoch;    /* -1 without validation */
    bool early, interrupted;
} et_train_result;

/** Trains m. Afterwards m is in evaluation mode and, unless interrupted, holds the weights
 *  of the best epoch where there is validation. An interrupted epoch is lost: what stays is
 *  the checkpoint before it.
 *
 *  result may be NULL. No scope may be open. Errors: EINVAL (options), ENONFINITE (names the
 *  step and the op that first made a NaN or infinity; no step was made with it, and the files
 *  are those of the epoch before), and whatever the task, the optimiser or files fail with. */
et_status et_train_run(et_module *m, et_optim *o, const et_train_task *task, const et_train_options *options,
                       et_train_result *result);

#ifdef __cplusplus
}
#endif
#endif
