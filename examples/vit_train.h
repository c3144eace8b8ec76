/* Training of genre-vit: one fold, and the verbs train and ablate. */
#ifndef ETUDE_EXAMPLES_VIT_TRAIN_H
#define ETUDE_EXAMPLES_VIT_TRAIN_H

#include "datasets/batch.h"
#include "examples/common/run_train.h"
#include "examples/genre_judge.h"
#include "examples/vit_model.h"

/* What the training loop's callbacks work on: one fold. */
typedef struct vit_job {
    et_cli *cli;
    const vit_source *source;
    et_dataset *ds;       /* whole items */
    et_dataset *windows;  /* what is judged: vit_windows_of them, or ds itself */
    et_indices train_items, valid_items;     /* of ds */
    et_indices train_windows, valid_windows; /* of windows */
    int64_t fold;         /* which part is held out */
    int64_t place;        /* of the fold among those that are trained */
    int64_t frames, epochs;
    genre_model *model;
    et_batches *batches;
    et_batch batch;
    et_tensor *targets;   /* [B, K], its labels as probabilities */
    int64_t right;        /* of the epoch's training items so far */
    et_rng augment;
    genre_verdict valid;
    et_run *run;          /* NULL: nothing is written, nothing chosen: the last epoch stays */
    bool quiet;
    et_run_loop loop;
} vit_job;

/* The items of the job's fold: without --folds the data's own split, else one of so many parts of whole
 * recordings (or, with --split segment, of single segments) held out. */
et_status vit_job_load(vit_job *j);
void vit_job_unload(vit_job *j);

/* The model, not trained yet, and the data standardised for it.
 * sizes: the model's, or NULL for what the options say. */
et_status vit_job_model(vit_job *j, const et_vit_config *sizes);
/* Model, optimiser, loop. */
et_status vit_job_train(vit_job *j, const et_vit_config *sizes, et_train_result *result);

/* The verbs. */
int vit_train(et_cli *cli);
int vit_ablate(et_cli *cli);

#endif
