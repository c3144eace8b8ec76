/* What genre-rnn learns from: the built-in corpus, the task of planted prototypes, or the tables of
 * the GTZAN collection; with the training recipe of each. */
#ifndef ETUDE_EXAMPLES_GENRE_DATA_H
#define ETUDE_EXAMPLES_GENRE_DATA_H

#include "datasets/dataset.h"
#include "datasets/split.h"
#include "datasets/standardize.h"
#include "tensor/json.h"

typedef enum genre_kind {
    GENRE_PLANTED,     /* noise with one of six prototypes in it, [64, 16] */
    GENRE_SPECTROGRAM, /* spec128x57.npy: the first 5 s, [57, 128], ten genres */
    GENRE_SEGMENTS,    /* features3_seq.csv: segments of 3 s, [10, 53], five genres */
    GENRE_CORPUS,      /* the library's own pieces in ten genres, 6 s of mel spectra, [94, 64] */
    GENRE_KINDS
} genre_kind;

/* How a kind of data is trained on: defaults of the command line. */
typedef struct genre_recipe {
    int64_t members;   /* networks that learn side by side */
    int64_t epochs, batch, hidden, attention, crop, /* crop: frames of a training sequence, 0: all */
        shift;                               /* bands that a spectrum moves by in training, at most */
    double lr, dropout, input_dropout, mixup, feature_shift, smoothing, clip_norm;
    bool cosine;       /* the rate falls to zero along a half cosine; else it is constant */
    int64_t patience;  /* epochs without a better validation loss before training stops; 0: never */
} genre_recipe;

extern const genre_recipe genre_recipes[GENRE_KINDS];

/* Name of a kind, as --table takes it; seconds of a frame (0: frames have no duration). */
const char *genre_kind_name(genre_kind kind);
double genre_frame_seconds(genre_kind kind);

/* The kind that `table` ("auto", "spectrogram", "segments") means in the folder dir, or, without one
 * (NULL), that `task` ("corpus", "planted") means. Negative and an error if the folder has neither table. */
int genre_kind_of(const char *dir, const char *table, const char *task);

/* Whether the program makes data of that kind itself. */
bool genre_is_made(genre_kind kind);

/* What is done to the data before the model sees it, in this order. config.json holds it, so that
 * a model is judged on data prepared as its training data was. */
typedef struct genre_prep {
    bool log_variances; /* logarithms of the variances among the features (segments only) */
    double colour;      /* the part of a track's colour taken off, with all its level; 0: none (segments) */
    bool centre;        /* each item's own mean taken away */
    bool flux;          /* each frame's features followed by their change since the frame before */
    bool roughness;     /* and by their second difference along the features */
    bool centre_features; /* each feature's mean over the item taken from it; not from flux and roughness */
    double clip;        /* after standardising by feature: limit in deviations, 0: none */
} genre_prep;

genre_prep genre_prep_default(genre_kind kind);
/* The member "preprocessing" of config.json, and back. A configuration without it is of a run with
 * the defaults, one without "colour" of a run with none of it taken off. EFORMAT, with
 * the path, for a step or value that this program does not know. */
void genre_prep_write(const genre_prep *p, et_json_writer *w);
et_status genre_prep_read(const et_json_value *config, const char *path, genre_kind kind, genre_prep *out);

/* Where data come from. */
typedef struct genre_source {
    genre_kind kind;
    const char *dir; /* NULL for data that the program makes */
    int64_t songs;   /* of each genre, in the corpus */
} genre_source;

/* Gives ds the splits "train", its first n_train items, and "valid", the others. */
et_status genre_mark_splits(et_dataset *ds, int64_t n_train);

/* The data for training: sets "train" and "valid", not yet standardised. The
 * caller frees data and indices. */
et_status genre_load_train(const genre_source *from, const genre_prep *prep, et_dataset **ds,
                           et_indices *train, et_indices *valid);

/* A test set, every row of it: the folder's, the corpus's part "test", or fresh planted items. */
et_status genre_load_test(const genre_source *from, const genre_prep *prep, et_dataset **ds, et_indices *all);

#endif
