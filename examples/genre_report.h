/* What genre-rnn shows: attention over an item, and report.html. */
#ifndef ETUDE_EXAMPLES_GENRE_REPORT_H
#define ETUDE_EXAMPLES_GENRE_REPORT_H

#include <stdio.h>

#include "examples/common/run_model.h"
#include "examples/genre_data.h"
#include "examples/genre_judge.h"

/* Prints what the model says of item i of the verdict and its five strongest intervals. */
void genre_print_item(FILE *out, genre_kind kind, const et_dataset *ds, const et_indices *items,
                      const genre_verdict *v, int64_t i);

/* Adds item i to the report: its picture with the attention over it. */
void genre_report_item(et_report *r, genre_kind kind, const et_dataset *ds, const et_indices *items,
                       const genre_verdict *v, int64_t i);

/* Writes report.html: key figures, curves from the log, confusion, attention of some items,
 * the model and its options. name says which data the verdict is of ("valid", "test"). */
et_status genre_report(et_run *run, genre_kind kind, const et_dataset *ds, const et_indices *items,
                       const genre_verdict *v, const char *name, const genre_model *m);

#endif
