/* What style-vae learns from: segments of four bars of pieces in several styles, cut out of folders of
 * MIDI files or of the built-in corpus. */
#ifndef ETUDE_EXAMPLES_STYLE_DATA_H
#define ETUDE_EXAMPLES_STYLE_DATA_H

#include "datasets/events.h"
#include "datasets/split.h"
#include "models/style_vae.h"

/* Where pieces come from and what is taken of them. */
typedef struct style_source {
    const char *dir;    /* DIR/STYLE/NAME.mid; NULL: the built-in corpus */
    int64_t songs;      /* of each genre of the corpus */
    const char *styles; /* names with commas between; NULL: all that there are */
    bool melody;        /* the first track alone */
    int64_t longest;    /* segments of more events (END counted) are left out; 0: none */
    int64_t most;       /* training segments of a style at most, drawn at random; 0: all */
} style_source;

typedef struct style_data {
    et_dataset *ds;           /* segments (et_segments_dataset); classes are the styles */
    et_indices train, valid;  /* pieces of one group on one side */
    et_indices test;          /* of the corpus; else empty */
    et_names skipped;         /* what was wrong with pieces that are left out */
    et_event_options events;
} style_data;

/* What events are, for models and files. */
et_event_options style_events(bool melody);

/* Reads all of it; folders without the manifest's folds are split at random by group, a tenth for
 * validation. EINVAL for a style that is not there; what et_midi_folder says; EFORMAT if a part is empty. */
et_status style_data_load(const style_source *from, style_data *out);
/* As style_data_load, for judging: segments of all pieces of a folder whose style is in `styles`, and none of
 * them is left out for its length; all of them are in `test`. */
et_status style_data_judged(const style_source *from, const et_names *styles, style_data *out);
void style_data_free(style_data *d);

/* The segments of one piece, read from a file. EFORMAT if it has none. */
et_status style_piece(const char *path, const et_event_options *o, et_segments *out);

/* The training segments in the order of an epoch, order[d->train.n]: a permutation in which the segments of
 * a batch are of similar length. A function of its arguments. */
et_status style_order(const style_data *d, int64_t batch, uint64_t seed, int64_t epoch, int32_t *order);

/* A batch of segments of the data set, no longer than its longest; shift: of all pitches.
 * In the open scope. */
et_status style_batch(const style_data *d, const int32_t *index, int64_t n, int shift, et_style_batch *out);

/* The same of segments of a piece: s->n rows, all of style `label`. */
et_status style_piece_batch(const et_segments *s, int32_t label, et_style_batch *out);

#endif
