/* How well a tagger does: macro ROC-AUC and average precision, by tag. */
#ifndef ETUDE_EXAMPLES_TAGGER_JUDGE_H
#define ETUDE_EXAMPLES_TAGGER_JUDGE_H

#include "examples/common/runfolder.h"
#include "examples/tagger_batches.h"

enum { TAGGER_FIGURES = 9 };

typedef struct tagger_verdict {
    double roc_auc, pr_auc; /* means over the tags that have both kinds of item */
    double loss;            /* mean binary cross-entropy of the items' probabilities */
    double accuracy;        /* of the likeliest class, where classes are among the tags; else NaN */
    double localisation;    /* tagger_localisation, where it was asked for; else NaN */
    int64_t used, skipped;  /* tags in the means, and not */
    int64_t n, tags;
    int32_t *item;          /* [n] of the data; sounds that cannot be read are not among them */
    float *probabilities;   /* [n, tags], means over an item's chunks */
    uint8_t *truth;         /* [n, tags] */
    double *tag_auc, *tag_ap; /* [tags]; NaN where skipped */
    int64_t *positives;     /* [tags] */
} tagger_verdict;

/* Judges the model, in evaluation mode, on all chunks of the items. *v must be zero or an earlier verdict.
 * EFORMAT where no sound can be read. A macro mean without any tag is NaN. */
et_status tagger_judge(const et_tagger *m, const tagger_data *d, tagger_batches *b, tagger_verdict *v);
void tagger_verdict_free(tagger_verdict *v);

/* The figures by name, for the log ("valid_loss" ...) or the metrics; returns their number. */
int tagger_figures(const tagger_verdict *v, bool log, et_figure out[TAGGER_FIGURES]);

/* Writes tags.csv: tag, positives, roc_auc, pr_auc. */
et_status tagger_write_tags(et_run *run, const tagger_data *d, const tagger_verdict *v);

#endif
