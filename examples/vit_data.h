/* What genre-vit learns from, with the recipe of each: waves in noise, GTZAN's table of spectrograms,
 * pieces that the library plays itself, folders of recordings. */
#ifndef ETUDE_EXAMPLES_VIT_DATA_H
#define ETUDE_EXAMPLES_VIT_DATA_H

#include "datasets/dataset.h"
#include "datasets/split.h"
#include "examples/genre_judge.h"
#include "examples/vit_sounds.h"
#include "models/vit.h"

typedef enum vit_kind {
    VIT_WAVES,       /* noise with a sine along one of two axes, [32, 16] */
    VIT_SPECTROGRAM, /* spec128x57.npy: the first 5 s, 57 frames of 128 bands and their change, ten genres */
    VIT_MUSIC,       /* the built-in corpus: sound -> 129 bins of short spectra -> segments of 512 frames */
    VIT_AUDIO        /* the same of a folder of recordings, as GTZAN's: a folder for each genre */
} vit_kind;

/* Defaults of the command line. */
typedef struct vit_recipe {
    et_vit_config net;  /* without the data's sizes */
    int64_t members;
    bool bands;         /* each band's mean is taken off a track's levels, else their mean level */
    bool spread;        /* windows have any frames of an item, in their order, else a stretch of it */
    int64_t shift;      /* bands by which a training item's spectra move up or down at most */
    int64_t epochs, batch;
    int64_t folds;      /* parts of the data, of which two are held out in turn; 0: the data's own split */
    double lr, weight_decay, mixup, smoothing, clip;
    bool cosine;
    bool by_accuracy;   /* kept is the epoch with the best validation accuracy, else the least loss */
} vit_recipe;

/* The recipe of a kind; `paper`: the paper's model and training on those data. */
vit_recipe vit_recipe_of(vit_kind kind, bool paper);

const char *vit_kind_name(vit_kind kind);
/* Seconds of a frame, 0 if frames have no duration. */
double vit_frame_seconds(vit_kind kind);
/* Runs of as many features in a frame: levels, and by how much they have changed. */
int64_t vit_channels(vit_kind kind);

/* Data as the programs' verbs load them once. */
typedef struct vit_source {
    vit_kind kind;
    et_dataset *ds;      /* items but for standardising by feature; their x where it is in memory */
    vit_sounds *sounds;  /* where it is else; NULL: in memory */
} vit_source;

/* What --data names: a folder with the table or with recordings; without it (NULL) what `task` names.
 * Negative and an error if the folder has neither. */
int vit_kind_of(const char *dir, const char *task);

/* Reads them. `test`: a test set, every item of it; else training and validation data. GTZAN's levels are
 * those about the track's mean, with `bands` about the mean of each of its bands (EINVAL for other data);
 * segments of sound have mean 0 and deviation 1 each, the segments of a piece or recording share their group.
 * cache: a file for the features of recordings, or NULL. Release with vit_unload, whatever is returned. */
et_status vit_load(vit_kind kind, const char *dir, const char *cache, bool bands, bool test, vit_source *out);
void vit_unload(vit_source *source);

/* Frames and features of an item. */
int64_t vit_frames(const vit_source *source);
int64_t vit_features(const vit_source *source);

/* How inputs are read. */
genre_inputs vit_inputs(const vit_source *source);

/* True if features are to be standardised with the training part's means and deviations. */
bool vit_standardizes(vit_kind kind);

/* For data in memory: each item as `count` windows of `window` frames, which share its group. They are
 * stretches, evenly spaced, the first at the item's begin and the last at its end; or, `spread`, evenly
 * spaced frames of all of it, each window's a little later than those of the one before. window 0 or all
 * frames: one. */
et_dataset *vit_windows(const et_dataset *ds, int64_t window, int64_t count, bool spread);

#endif
