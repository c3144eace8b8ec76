/* What genre-vit shows: figures, attention over a spectrogram, report.html. */
#ifndef ETUDE_EXAMPLES_VIT_REPORT_H
#define ETUDE_EXAMPLES_VIT_REPORT_H

#include <stdio.h>

#include "examples/common/report.h"
#include "examples/common/runfolder.h"
#include "examples/genre_judge.h"
#include "examples/vit_data.h"

/* Accuracy of tracks: the segments of a group answer together, by the mean of their probabilities. */
double vit_track_accuracy(const et_dataset *ds, const et_indices *items, const genre_verdict *v);

/* The verdict's figures for metrics.json; returns their number (at most GENRE_FIGURES + 1). "accuracy" is
 * that of tracks, "segment_accuracy" that of segments. */
int vit_figures(const et_dataset *ds, const et_indices *items, const genre_verdict *v, et_figure *out);

/* Adds item i to the report and prints its strongest patches to `out` (NULL: not): the input as the model
 * sees it, and its patches by attention rollout and by the last block's attention, mean over the members. The
 * source says how inputs are read. */
et_status vit_report_item(et_report *r, FILE *out, const vit_source *source, const et_dataset *ds,
                          const et_indices *items, const genre_verdict *v, int64_t i, const genre_model *m);

/* Writes report.html: key figures, curves of each fold in the log, confusion, attention over some items, the
 * model and its options. */
et_status vit_report(et_run *run, const vit_source *source, const et_dataset *ds, const et_indices *items,
                     const genre_verdict *v, const char *name, const genre_model *m);

#endif
