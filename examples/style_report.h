/* What style-vae shows of a run: report.html. */
#ifndef ETUDE_EXAMPLES_STYLE_REPORT_H
#define ETUDE_EXAMPLES_STYLE_REPORT_H

#include "examples/common/report.h"
#include "examples/style_model.h"

/* Writes report.html: key figures, the terms of the loss over time, the latent space, confusion of the style
 * head, pieces in every style and one rebuilt, the model and its options. `name` says which data the verdict
 * is of. Pieces go to the folder's pieces/. */
et_status style_report(et_run *run, const style_data *d, const et_indices *items, const style_verdict *v,
                       const char *name, const et_style_vae *m, const et_names *styles);

/* A chart of columns of logs: column names[i] of runs[i], under labels[i]. */
void style_report_columns(et_report *r, int n, const et_run *const *runs, const char *const *columns,
                          const char *const *labels, const char *y_label, const char *caption);

/* z_c in two dimensions, coloured by style. */
void style_report_plane(et_report *r, const style_verdict *v, const et_names *styles);

/* Writes n pieces of events as dir/NAME-1 ... and adds them to the report with their measures.
 * `captions` may be NULL. */
et_status style_report_pieces(et_report *r, const char *dir, const char *name, const et_segments *pieces,
                              const et_event_options *o, const char *const *captions);

#endif
