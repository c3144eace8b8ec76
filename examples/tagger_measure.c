/* Judging a part of the data and saying so: see tagger_measure.h. */
#include "config.h"

#include "examples/tagger_measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "examples/common/textplot.h"
#include "examples/tagger_maps.h"
#include "examples/tagger_model.h"

enum { LOCALISED = 200 /* events that the localisation score is a mean of, at most */ };

void tagger_tell_broken(const tagger_batches *b)
{
    const et_names *broken = tagger_batches_broken(b);

    for (int64_t i = 0; broken && i < broken->n && i < 3; i++)
        fprintf(stderr, "left out: %s\n", broken->items[i]);
    if (broken && broken->n > 3)
        fprintf(stderr, "left out: %" PRId64 " more\n", broken->n - 3);
}

et_status tagger_measure(et_cli *cli, et_run *run, const et_tagger *m, const tagger_data *d,
                         const char *section, const et_indices *items, tagger_verdict *v)
{
    et_figure figures[TAGGER_FIGURES];
    tagger_batch_options o = tagger_judging(cli);
    tagger_batches *b = tagger_batches_new(d, items, &o);
    et_status status = b ? tagger_judge(m, d, b, v) : et_error_status();

    if (!status)
        status = tagger_localisation(m, d, items, o.rows, LOCALISED, &v->localisation);
    if (!status)
        status = et_run_metrics(run, section, figures, tagger_figures(v, false, figures));
    if (b && !status)
        tagger_tell_broken(b);
    tagger_batches_free(b);
    return status;
}

void tagger_print_verdict(const char *name, const tagger_verdict *v, et_run *run)
{
    printf("%s: ROC-AUC %.4f, average precision %.4f over %" PRId64 " tag%s (%" PRId64 " skipped), loss %.3f",
           name, v->roc_auc, v->pr_auc, v->used, et_plural(v->used), v->skipped, v->loss);
    if (!isnan(v->accuracy))
        printf(", accuracy %.4f", v->accuracy);
    if (!isnan(v->localisation))
        printf(", localisation %.3f", v->localisation);
    printf("\nreport: %s\n", et_run_path(run, ET_RUN_REPORT));
}
