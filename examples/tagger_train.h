/* music-tagger train. */
#ifndef ETUDE_EXAMPLES_TAGGER_TRAIN_H
#define ETUDE_EXAMPLES_TAGGER_TRAIN_H

#include "examples/common/cli.h"

/* The verb: its exit status. */
int tagger_train(et_cli *cli);

#endif
