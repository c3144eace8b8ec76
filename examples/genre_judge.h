/* How well a genre model does: figures, confusion, attention. */
#ifndef ETUDE_EXAMPLES_GENRE_JUDGE_H
#define ETUDE_EXAMPLES_GENRE_JUDGE_H

#include "datasets/dataset.h"
#include "datasets/split.h"
#include "examples/common/runfolder.h"
#include "examples/genre_model.h"

enum { GENRE_FIGURES = 6 };

typedef struct genre_verdict {
    double loss, accuracy, f1_macro;
    double attention_entropy; /* nats */
    double attention_mass;    /* on the known event and the four frames after it; NaN without events */
    int64_t n, classes, T;
    int64_t *counts;          /* [K, K], a row per true class */
    float *probabilities;     /* [n, K] */
    float *alpha;             /* [n, T] */
    int32_t *predicted;       /* [n] */
} genre_verdict;

/* How inputs are read that do not stand in the data set's x: [n, T, F] of the items index[0 .. n-1], owned by
 * the open scope. Without `read` they stand there. */
typedef struct genre_inputs {
    et_tensor *(*read)(const void *user, const int32_t *index, int64_t n);
    const void *user;
} genre_inputs;

/* Judges the model on the items, in evaluation mode and in batches. *v must be zero or an
 * earlier verdict, whose memory is released first. */
et_status genre_judge(const genre_model *m, const et_dataset *ds, genre_inputs inputs,
                      const et_indices *items, genre_verdict *v);
void genre_verdict_free(genre_verdict *v);

/* The figures by name, for the log ("valid_loss" ...) or the metrics; returns their number. */
int genre_figures(const genre_verdict *v, bool log, et_figure out[GENRE_FIGURES]);

/* The `count` frames of greatest weight in alpha [T], strongest first, into at; fewer when T is
 * smaller. Returns their number. */
int genre_strongest(const float *alpha, int64_t T, int count, int64_t *at);

#endif
