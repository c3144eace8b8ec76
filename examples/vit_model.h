/* The model that genre-vit's options describe. */
#ifndef ETUDE_EXAMPLES_VIT_MODEL_H
#define ETUDE_EXAMPLES_VIT_MODEL_H

#include "examples/common/cli.h"
#include "examples/genre_model.h"
#include "examples/vit_data.h"

/* EINVAL for options that mean nothing for such data. */
et_status vit_refuse(const et_cli *cli, vit_kind kind);

/* Sets the defaults that depend on data and configuration. EINVAL for options that mean nothing beside the
 * others. */
et_status vit_defaults(et_cli *cli, vit_kind kind);

/* True if a window's frames come from all of an item; else, or where a run says nothing, from a stretch. */
bool vit_spreads(const et_cli *cli);

/* True if GTZAN's levels are those about each band's mean; else, or where a run says nothing, about the
 * track's. */
bool vit_centres_bands(const et_cli *cli);

/* The items of data in memory as the model's windows, which it judges. */
et_dataset *vit_windows_of(const et_cli *cli, const et_dataset *ds);

/* Sizes of a model for inputs of `frames` frames of `features` features. */
et_vit_config vit_config_of(const et_cli *cli, vit_kind kind, int64_t frames, int64_t features,
                            int64_t classes);

/* A model of these sizes with the options' members and seed, and its standardisation as buffers: input_mean
 * and input_std [F]. The caller frees it. */
genre_model *vit_build(const et_cli *cli, const et_vit_config *c);

#endif
