/* The verb train of music-search. */
#ifndef ETUDE_EXAMPLES_SEARCH_TRAIN_H
#define ETUDE_EXAMPLES_SEARCH_TRAIN_H

#include "examples/common/runfolder.h"
#include "examples/search_data.h"

/** Data -> model -> training -> report; the exit status. */
int search_train(et_cli *cli);

/** The data that --data, --task and --songs mean, for a model with that input (NULL: the one that fits the
 *  data and --size); features go to --cache, else into the run's folder. Of a model that is read, other data
 *  than it learned from are the test part as a whole. */
search_data *search_open_data(et_cli *cli, et_run *run, const search_input *input);

#endif
