/* What the training runs on texts alone share: epochs over n items in batches, what is shown and logged of
 * them, a learning rate that rises and falls. */
#ifndef ETUDE_EXAMPLES_SEARCH_EPOCHS_H
#define ETUDE_EXAMPLES_SEARCH_EPOCHS_H

#include "datasets/dataset.h"
#include "examples/common/run_train.h"

typedef struct search_epochs {
    et_run_loop loop;
    int64_t n, size;   /* items; of a batch */
    int64_t at, epoch; /* how far the epoch is */
    int32_t *order;    /* of its items */
    double valid_loss;
    et_schedule schedule;
} search_epochs;

/* Batches of --batch items, of n at most. ENOMEM. Release with search_epochs_free. */
et_status search_epochs_open(search_epochs *e, et_cli *cli, et_run *run, int64_t n);
void search_epochs_free(search_epochs *e);

uint64_t search_epochs_seed(const search_epochs *e);

/* An order of 0 .. n-1 that depends on n, seed and epoch alone. */
et_status search_epochs_order(int64_t n, uint64_t seed, int64_t epoch, int32_t *order);

/* Parts of a training task: the epoch's order and progress; items of the next batch,
 * order[at - size .. at - 1]. A last batch that is not full is left out. */
et_status search_epochs_begin(search_epochs *e, int64_t epoch);
int64_t search_epochs_next(search_epochs *e);
/* Of texts, after search_epochs_begin: brings those of much the same length together, so that little of a
 * batch is padding. Eight batches of the order at a time are sorted, then batches are drawn in any order;
 * what they have no room for is left out, whatever its length. */
et_status search_epochs_bucket(search_epochs *e, const et_names *texts);
/* Shows a step; of an epoch's end logs the losses and `more` figures, the first of which is shown too. */
et_status search_epochs_report(search_epochs *e, const et_train_event *event, const et_figure *more, int n);

/* Trains as the options say; the learning rate rises for a tenth of the steps and falls to zero. */
et_status search_epochs_train(search_epochs *e, et_module *m, et_optim *o, const et_train_task *task,
                              et_status (*report)(void *user, const et_train_event *event), int64_t patience,
                              et_train_result *result);

#endif
