/* The verbs of genre-vit that read a run: eval and explain. */
#ifndef ETUDE_EXAMPLES_VIT_READ_H
#define ETUDE_EXAMPLES_VIT_READ_H

#include "datasets/dataset.h"
#include "examples/common/cli.h"
#include "examples/common/runfolder.h"

int vit_eval(et_cli *cli);
int vit_explain(et_cli *cli);

#endif
