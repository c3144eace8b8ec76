/* Epochs over texts: see search_epochs.h. */
#include "config.h"

#include "examples/search_epochs.h"

#include <stdlib.h>
#include <string.h>

#include "datasets/batch.h"
#include "tensor/alloc.h"

enum { BUCKET = 8 }; /* so many batches are sorted by length together */

uint64_t search_epochs_seed(const search_epochs *e) { return (uint64_t)et_cli_int(e->loop.cli, "seed"); }

et_status search_epochs_open(search_epochs *e, et_cli *cli, et_run *run, int64_t n)
{
    const int64_t batch = et_cli_int(cli, "batch");

    *e = (search_epochs){.loop = {.cli = cli, .run = run}, .n = n, .size = batch < n ? batch : n};
    e->order = et_alloc((size_t)n * sizeof *e->order);
    return e->order ? ET_OK : et_error_status();
}

void search_epochs_free(search_epochs *e)
{
    et_dealloc(e->order);
    e->order = NULL;
}

et_status search_epochs_order(int64_t n, uint64_t seed, int64_t epoch, int32_t *order)
{
    int32_t *all = et_alloc((size_t)n * sizeof *all);

    for (int64_t i = 0; all && i < n; i++)
        all[i] = (int32_t)i;
    if (all)
        et_batch_order(all, n, true, seed, epoch, order);
    et_dealloc(all);
    return et_error_status();
}

et_status search_epochs_begin(search_epochs *e, int64_t epoch)
{
    e->at = 0;
    e->epoch = epoch;
    et_status status = search_epochs_order(e->n, search_epochs_seed(e), epoch, e->order);
    return status ? status : et_run_loop_epoch(&e->loop, epoch, e->n);
}

/* An item and the bytes of its text. */
typedef struct sized {
    size_t bytes;
    int32_t item;
} sized;

static int by_bytes(const void *a, const void *b)
{
    const sized *x = a, *y = b;

    return x->bytes != y->bytes ? (x->bytes > y->bytes) - (x->bytes < y->bytes)
                                : (x->item > y->item) - (x->item < y->item);
}

et_status search_epochs_bucket(search_epochs *e, const et_names *texts)
{
    const int64_t batches = e->n / e->size, used = batches * e->size, span = BUCKET * e->size;
    sized *all = et_alloc((size_t)used * sizeof *all);
    int32_t *turn = et_alloc((size_t)batches * sizeof *turn);
    et_status status = all && turn ? search_epochs_order(batches, search_epochs_seed(e) + 1, e->epoch, turn)
                                   : et_error_status();

    for (int64_t i = 0; i < used && !status; i++)
        all[i] = (sized){strlen(texts->items[e->order[i]]), e->order[i]};
    for (int64_t from = 0; from < used && !status; from += span)
        qsort(all + from, (size_t)(used - from < span ? used - from : span), sizeof *all, by_bytes);
    for (int64_t i = 0; i < used && !status; i++)
        e->order[i] = all[turn[i / e->size] * e->size + i % e->size].item;
    et_dealloc(all);
    et_dealloc(turn);
    return status;
}

int64_t search_epochs_next(search_epochs *e)
{
    if (e->at + e->size > e->n)
        return 0;
    e->at += e->size;
    return e->size;
}

et_status search_epochs_report(search_epochs *e, const et_train_event *event, const et_figure *more, int n)
{
    et_figure figures[8] = {{"valid_loss", e->valid_loss}, {"train_loss", event->loss}, {"lr", event->lr}};

    if (et_run_loop_step(&e->loop, event))
        return ET_OK;
    for (int i = 0; i < n; i++)
        figures[3 + i] = more[i];
    if (n > 0)
        et_progress_end(&e->loop.progress, "loss %.3f  valid %.3f  %s %.3f%s", event->loss, e->valid_loss,
                        more[0].name, more[0].value, event->improved ? "  best" : "");
    else
        et_progress_end(&e->loop.progress, "loss %.3f  valid %.3f%s", event->loss, e->valid_loss,
                        event->improved ? "  best" : "");
    return et_run_loop_log(&e->loop, event, figures, 3 + n);
}

et_status search_epochs_train(search_epochs *e, et_module *m, et_optim *o, const et_train_task *task,
                              et_status (*report)(void *user, const et_train_event *event), int64_t patience,
                              et_train_result *result)
{
    const et_cli *cli = e->loop.cli;
    const int64_t steps = e->n / e->size * et_cli_int(cli, "epochs");

    e->schedule = (et_schedule){.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"),
                                .total = steps, .warmup = steps / 10};
    const et_train_options options = {
        .mixed = et_run_mixed(cli),
        .schedule = &e->schedule,
        .patience = patience,
        .resume = et_cli_flag(cli, "resume"),
        .report = report,
    };
    return et_run_loop_train(&e->loop, m, o, task, options, result);
}
