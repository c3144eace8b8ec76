/* What music-tagger's options say of data and model. */
#ifndef ETUDE_EXAMPLES_TAGGER_MODEL_H
#define ETUDE_EXAMPLES_TAGGER_MODEL_H

#include "examples/common/cli.h"
#include "examples/common/runfolder.h"
#include "examples/tagger_batches.h"

/* Where the data come from. */
tagger_source tagger_source_of(const et_cli *cli);

/* The kind of the data, which the model must fit; --model gets its default. EINVAL where it does not. */
et_status tagger_check_front(et_cli *cli, int *kind);

/* The defaults that depend on data and configuration. */
et_status tagger_defaults(et_cli *cli, tagger_kind kind);

/* The model that the options describe, drawn from the seed. */
et_tagger *tagger_build(const et_cli *cli, const tagger_data *d);

/* How batches are made in training; how items are judged. */
tagger_batch_options tagger_training(const et_cli *cli);
tagger_batch_options tagger_judging(const et_cli *cli);

/* The file that keeps features: --cache, or one in the run folder; NULL for "none". */
const char *tagger_cache(const et_cli *cli, et_run *run);

/* Makes the data's tags those of the run, whose names config.json has. */
et_status tagger_align(et_run *run, tagger_data *d);

#endif
