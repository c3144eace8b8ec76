/* The training of a run: see run_train.h. */
#include "config.h"

#include "examples/common/run_train.h"

#include <stdio.h>
#include <string.h>

#include "examples/common/interrupt.h"

bool et_run_mixed(const et_cli *cli) { return strcmp(et_cli_text(cli, "precision"), "bfloat16") == 0; }

et_status et_run_loop_epoch(et_run_loop *l, int64_t epoch, int64_t items)
{
    if (!l->begun && l->run) {
        if (epoch > 0)
            printf("going on after epoch %lld\n", (long long)epoch);
        if (et_run_log_cut(l->run, l->before + epoch))
            return et_error_status();
    }
    l->begun = true;
    l->epoch_began = et_seconds();
    if (!l->quiet)
        et_progress_begin(&l->progress, stdout, items, "epoch %lld/%lld", (long long)epoch + 1,
                          (long long)et_cli_int(l->cli, "epochs"));
    return ET_OK;
}

bool et_run_loop_step(et_run_loop *l, const et_train_event *e)
{
    if (!e->epoch_ended && !l->quiet)
        et_progress_step(&l->progress, e->items, "loss %.3f", e->loss);
    return !e->epoch_ended;
}

et_status et_run_loop_log(et_run_loop *l, const et_train_event *e, et_figure *figures, int n)
{
    figures[n] = (et_figure){"seconds", et_seconds() - l->epoch_began};
    return l->run ? et_run_log(l->run, l->before + e->epoch + 1, figures, n + 1) : ET_OK;
}

et_status et_run_loop_train(et_run_loop *l, et_module *m, et_optim *o, const et_train_task *task,
                            et_train_options options, et_train_result *result)
{
    options.epochs = et_cli_int(l->cli, "epochs");
    options.seed = (uint64_t)et_cli_int(l->cli, "seed");
    options.interrupted = et_interrupted;
    options.report_user = task->user;
    if (l->run && !options.last_path)
        options.last_path = et_run_path(l->run, ET_RUN_LAST);
    if (l->run && !options.best_path)
        options.best_path = et_run_path(l->run, ET_RUN_BEST);
    if (l->run && (!options.last_path || !options.best_path))
        return et_error_status();
    const et_status status = et_train_run(m, o, task, &options, result);
    et_progress_drop(&l->progress);
    return status;
}

int et_run_exit(et_run *run, const et_cli *cli, et_status status, const et_train_result *result)
{
    if (status == ET_EINVAL && et_interrupted() && result->epochs == 0) { /* the cache of features gave up */
        et_error_clear();
        if (run && et_run_has_checkpoint(run))
            et_run_print_resume(run, cli, 0, stdout);
        else
            printf("\nstopped%s\n", run ? " before the first epoch" : "");
        return ET_EXIT_INTERRUPTED;
    }
    if (status)
        return et_cli_fail(cli);
    if (!result->interrupted)
        return ET_EXIT_OK;
    if (run)
        et_run_print_resume(run, cli, result->epochs, stdout);
    else
        printf("\nstopped before all was trained, which cannot be gone on with\n");
    return ET_EXIT_INTERRUPTED;
}
