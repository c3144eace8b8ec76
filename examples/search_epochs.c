#include "config.h"

#include "examples/search_epochs.h"

#include <string.h>

#include "datasets/batch.h"
#include "examples/common/interrupt.h"
#include "tensor/alloc.h"

uint64_t search_epochs_seed(const search_epochs *e) { return (uint64_t)et_cli_int(e->cli, "seed"); }

et_status search_epochs_open(search_epochs *e, et_cli *cli, et_run *run, int64_t n)
{
    const int64_t batch = et_cli_int(cli, "batch");

    *e = (search_epochs){.cli = cli, .run = run, .n = n, .size = batch < n ? batch : n};
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
    if (!e->begun) { /* what the log has beyond the checkpoint is trained again */
        e->begun = true;
        if (epoch > 0)
            printf("going on after epoch %lld\n", (long long)epoch);
        if (et_run_log_cut(e->run, epoch))
            return et_error_status();
    }
    if (search_epochs_order(e->n, search_epochs_seed(e), epoch, e->order))
        return et_error_status();
    e->at = 0;
    e->epoch = epoch;
    e->epoch_began = et_seconds();
    et_progress_begin(&e->progress, stdout, e->n, "epoch %lld/%lld", (long long)epoch + 1,
                      (long long)et_cli_int(e->cli, "epochs"));
    return ET_OK;
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
    et_figure figures[8] = {{"valid_loss", e->valid_loss}, {"train_loss", event->loss}, {"lr", event->lr},
                            {"seconds", et_seconds() - e->epoch_began}};

    if (!event->epoch_ended) {
        et_progress_step(&e->progress, event->items, "loss %.3f", event->loss);
        return ET_OK;
    }
    for (int i = 0; i < n; i++)
        figures[4 + i] = more[i];
    if (n > 0)
        et_progress_end(&e->progress, "loss %.3f  valid %.3f  %s %.3f%s", event->loss, e->valid_loss, more[0].name, more[0].value,
                        event->improved ? "  best" : "");
    else
        et_progress_end(&e->progress, "loss %.3f  valid %.3f%s", event->loss, e->valid_loss, event->improved ? "  best" : "");
    return et_run_log(e->run, event->epoch + 1, figures, 4 + n);
}

et_train_options search_epochs_options(search_epochs *e)
{
    const int64_t epochs = et_cli_int(e->cli, "epochs"), steps = e->n / e->size * epochs;

    e->schedule = (et_schedule){.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(e->cli, "lr"), .total = steps,
                                .warmup = steps / 10};
    return (et_train_options){
        .epochs = epochs,
        .mixed = strcmp(et_cli_text(e->cli, "precision"), "bfloat16") == 0,
        .schedule = &e->schedule,
        .seed = search_epochs_seed(e),
        .last_path = et_run_path(e->run, ET_RUN_LAST),
        .best_path = et_run_path(e->run, ET_RUN_BEST),
        .resume = et_cli_flag(e->cli, "resume"),
        .interrupted = et_interrupted,
    };
}
