/* The verbs of genre-vit that read a run: eval and explain. */
#ifndef ETUDE_EXAMPLES_VIT_READ_H
#define ETUDE_EXAMPLES_VIT_READ_H

#include "datasets/dataset.h"
#include "examples/common/cli.h"
#include "examples/common/runfolder.h"

int vit_eval(et_cli *cli);
int vit_explain(et_cli *cli);

/** EINVAL unless `genres` are those that the run learned, in their order, where config.json says which. */
et_status vit_check_genres(const et_run *run, const et_names *genres);

#endif
