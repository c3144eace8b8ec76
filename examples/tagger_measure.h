/* Judging a part of the data and saying so. */
#ifndef ETUDE_EXAMPLES_TAGGER_MEASURE_H
#define ETUDE_EXAMPLES_TAGGER_MEASURE_H

#include "examples/common/cli.h"
#include "examples/tagger_judge.h"

/* Judges the model on the items, as the options say,
 * and writes the figures into that section of metrics.json. */
et_status tagger_measure(et_cli *cli, et_run *run, const et_tagger *m, const tagger_data *d,
                         const char *section, const et_indices *items, tagger_verdict *v);

/* Prints the means, and where the report is. */
void tagger_print_verdict(const char *name, const tagger_verdict *v, et_run *run);

/* Tells on the error output which sounds could not be read. */
void tagger_tell_broken(const tagger_batches *b);

#endif
