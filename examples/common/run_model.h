/* What all training runs do with their model: read its weights, and report. */
#ifndef ETUDE_EXAMPLES_COMMON_RUN_MODEL_H
#define ETUDE_EXAMPLES_COMMON_RUN_MODEL_H

#include "examples/common/report.h"
#include "examples/common/runfolder.h"
#include "nn/module.h"

/** Reads weights of a run (best.safetensors). A file of other shapes, or with a weight that is no number,
 *  is a broken run folder: EFORMAT. */
et_status et_run_load_weights(et_module *m, const char *path);

/** A chart of two columns of the log, `train` NULL: of one. Where the log has a column phase, a mark stands
 *  before each epoch that begins another. */
void et_run_report_curves(et_report *r, const et_run *run, const char *train, const char *valid,
                          const char *label);

/** Ends a report, which is released: the model's layers, the run's options, and writes report.html. */
et_status et_run_report_end(et_report *r, et_run *run, const et_module *m);

/** Ends a page, which is released, of work that came as far as `status`: where that is ET_OK, writes it into
 *  the run's folder by that name and says where. Returns the status, or that of writing. */
et_status et_run_page_end(et_report *page, et_run *run, const char *name, et_status status);

#endif
