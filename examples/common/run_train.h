/* How all programs train a run: the log goes on where the checkpoint stands, each epoch is shown and logged,
 * Ctrl-C ends the training after its checkpoint. A program's job holds an et_run_loop, which the callbacks of
 * its task ask. */
#ifndef ETUDE_EXAMPLES_COMMON_RUN_TRAIN_H
#define ETUDE_EXAMPLES_COMMON_RUN_TRAIN_H

#include "examples/common/progress.h"
#include "examples/common/runfolder.h"
#include "nn/train.h"

typedef struct et_run_loop {
    et_cli *cli;     /* --epochs and --seed are asked of it */
    et_run *run;     /* NULL: nothing is written */
    int64_t before;  /* epochs of the log that are another training's, before this one's */
    bool quiet;      /* nothing is shown */
    bool begun;      /* an epoch has begun */
    double epoch_began;
    et_progress progress;
} et_run_loop;

/** True if --precision, which the program must have, is bfloat16. */
bool et_run_mixed(const et_cli *cli);

/** Begins an epoch of so many items: the task's `begin`. Before the first, what the log has beyond the
 *  checkpoint is cut off, as it is trained again. */
et_status et_run_loop_epoch(et_run_loop *l, int64_t epoch, int64_t items);

/** True for an event that is a step, which is shown; false at the end of an epoch. */
bool et_run_loop_step(et_run_loop *l, const et_train_event *e);

/** Writes an epoch's figures to the log, where there is a run.
 *  figures[n] has to be there: it becomes "seconds". */
et_status et_run_loop_log(et_run_loop *l, const et_train_event *e, et_figure *figures, int n);

/** et_train_run with these options; filled in are epochs, seed, interrupted, the report's user (the task's),
 *  and, unless given, the paths of the run's checkpoint and weights. The caller still owns the optimiser. */
et_status et_run_loop_train(et_run_loop *l, et_module *m, et_optim *o, const et_train_task *task,
                            et_train_options options, et_train_result *result);

/** What a verb that trained or read returns: prints the error, or how a run that was stopped can be gone on
 *  with; run NULL: it cannot. Where it was stopped before an epoch was done, while data were read say, that is
 *  no error. */
int et_run_exit(et_run *run, const et_cli *cli, et_status status, const et_train_result *result);

#endif
