/* How all programs read a collection of sounds into a file of features (datasets/feature_cache.h): it is
 * shown how far they are, and Ctrl-C ends it without a half-made file. */
#ifndef ETUDE_EXAMPLES_COMMON_RUN_FEATURES_H
#define ETUDE_EXAMPLES_COMMON_RUN_FEATURES_H

#include "datasets/feature_cache.h"

/** et_feature_cache_open of these options but for its progress, which is shown as `what`. Path NULL: a
 *  temporary file, which loses its name as soon as it is open. EINVAL after Ctrl-C, which is caught
 *  meanwhile. */
et_feature_cache *et_run_features(const et_collection *c, const et_front_end *fe, const char *what,
                                  et_feature_cache_options options);

#endif
