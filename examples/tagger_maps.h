/* What a tagger with attention listens to: maps over the time of one clip. */
#ifndef ETUDE_EXAMPLES_TAGGER_MAPS_H
#define ETUDE_EXAMPLES_TAGGER_MAPS_H

#include "examples/tagger_batches.h"

/* Maps of a clip over the steps of the front end; [CLS], which is before them, is left out. */
typedef struct tagger_maps {
    int64_t steps, tags;
    int heads;
    double rows_per_step;  /* frames or samples of the input */
    float *first;          /* [steps] first layer's attention: mean over who asks, summed over the heads */
    float *attention;      /* [steps] what [CLS] looks at in the last layer, summed over the heads */
    float *by_head;        /* [heads, steps] the same for each head */
    float *contributions;  /* [tags, steps] probabilities as if that step alone were looked at */
    float *probabilities;  /* [tags] the model's answer */
} tagger_maps;

/* Makes the maps of x, one clip as the model reads it, in evaluation mode. The caller releases them. EINVAL
 * for a model without attention. */
et_status tagger_maps_make(const et_tagger *m, et_tensor *x, tagger_maps *out);
void tagger_maps_free(tagger_maps *maps);

/* The first `rows` rows of an item as the model reads them, [1, bands, rows] or [1, rows];
 * owned by the open scope. */
et_tensor *tagger_item_input(const tagger_data *d, int64_t item, int64_t rows);

/* Whether values over steps point at rows from .. to - 1: 1 if the step of the largest value (the first of
 * equal ones) touches them, else 0; by chance the share of steps that do, *chance. (The "pointing game" of
 * Zhang et al. 2016, arXiv 1608.00507, along time.) */
double tagger_pointing(const float *values, int64_t steps, double rows_per_step, int64_t from, int64_t to,
                       double *chance);

/* The localisation score: the mean of tagger_pointing over the items whose event is known (at most `most` of
 * them), each with the contribution map of the first tag that is on, which is the event's. NaN for data
 * without events and models without attention. */
et_status tagger_localisation(const et_tagger *m, const tagger_data *d, const et_indices *items, int64_t rows,
                              int64_t most, double *out);

#endif
