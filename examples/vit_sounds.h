/* Segments of sounds as genre-vit reads them: 512 frames of short spectra (front end vit129), from a file of
 * features that is made once. */
#ifndef ETUDE_EXAMPLES_VIT_SOUNDS_H
#define ETUDE_EXAMPLES_VIT_SOUNDS_H

#include "datasets/collection.h"
#include "datasets/dataset.h"
#include "datasets/split.h"

enum { VIT_SEGMENT = 512 /* frames: 5.94 s */ };

typedef struct vit_sounds vit_sounds;

/* Computes the features of all sounds, or finds them in the file `cache` (NULL: in a temporary one), and
 * cuts each sound into consecutive segments of 512 frames; what is left over is dropped. *segments has
 * labels, splits and names of each, and groups: the collection's, or the sound. Its x [N, 1] means
 * nothing: vit_sounds_read reads. key: as in et_feature_cache_options. Broken sounds and those shorter than a
 * segment are left out and counted in a line on stdout. EFORMAT if no segment is left; EIO, ENOMEM. The
 * caller frees both. */
et_status vit_sounds_open(const et_collection *c, const char *cache, const char *key, vit_sounds **sounds,
                          et_dataset **segments);
void vit_sounds_free(vit_sounds *s);

/* Features of a frame. */
int64_t vit_sounds_bins(const vit_sounds *s);

/* Mean and deviation of each bin over the given segments, [bins] each. */
et_status vit_sounds_fit(vit_sounds *s, const et_indices *items, float *mean, float *std);

/* From now on bins are standardised with these.
 * Without it each segment has mean 0 and deviation 1 of its own. */
et_status vit_sounds_standardize(vit_sounds *s, const float *mean, const float *std);

/* Segments by number: float32 [n, 512, bins], owned by the open scope. Fits genre_inputs. */
et_tensor *vit_sounds_read(const void *sounds, const int32_t *index, int64_t n);

#endif
