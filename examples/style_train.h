/* Training of style-vae. */
#ifndef ETUDE_EXAMPLES_STYLE_TRAIN_H
#define ETUDE_EXAMPLES_STYLE_TRAIN_H

#include "examples/style_model.h"
#include "nn/train.h"

/* The source that the options data, songs, styles, tracks, longest and most describe. */
style_source style_source_of(const et_cli *cli);

/* Defaults of the training options from --config. */
et_status style_recipe_defaults(et_cli *cli);

/* Trains a model of the options on the data and leaves log, checkpoint, weights, configuration and metrics in
 * the run's folder; with `resume` it goes on from the folder's checkpoint. *model, the trained one, is the
 * caller's. result->interrupted: it was stopped, after saving. */
et_status style_train(et_cli *cli, et_run *run, const style_data *d, bool resume, et_style_vae **model,
                      et_train_result *result);

#endif
