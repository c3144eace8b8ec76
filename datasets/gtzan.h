/* The GTZAN genre collection as tables of measured features: a folder with
 *
 *   tracks.csv         row, track, genre, genre_id, split
 *   spec128x57.npy     uint8 [N][128 mel bands][57 frames], row r of it is track r
 *   features30.csv     track, genre_id, split and 57 features over 30 s
 *   features3_seq.csv  track, segment, genre_id, split and 53 features over each of ten
 *                      (sometimes fewer) segments of 3 s; five genres
 *
 * Each table is read for itself: a folder may lack the files of the others. Any folder of
 * the same form will do (a separate test part, say): genres are known by name or by their
 * number 0 .. 9 in alphabetical order, columns by name in any order; the split may have
 * other values than "train" and "valid", or the column be absent or empty. */
#ifndef ETUDE_DATASETS_GTZAN_H
#define ETUDE_DATASETS_GTZAN_H

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_GTZAN_GENRES = 10 };

typedef enum et_gtzan_table {
    /* x [N, 57, 128]: the spectrogram of the first 5 s, time first, level / 255. A level is
     * a step of about 0.6 dB between a track's own minimum and maximum. */
    ET_GTZAN_SPECTROGRAM,
    /* x [N, 10, 53] (more steps if a track has more segments), with lengths. */
    ET_GTZAN_SEGMENTS,
    /* x [N, 57] */
    ET_GTZAN_TRACKS
} et_gtzan_table;

/** Name of genre 0 .. 9, "blues" to "rock"; NULL and EINVAL outside. */
const char *et_gtzan_genre(int id);

/** Number of features of an item's last axis, and their names: "band 0" ... for the
 *  spectrogram, the columns' names otherwise. NULL and EINVAL outside. */
int et_gtzan_features(et_gtzan_table table);
const char *et_gtzan_feature(et_gtzan_table table, int feature, char buf[32]);

/** True if the folder has the files of that table. */
bool et_gtzan_has(const char *dir, et_gtzan_table table);

/** Reads a table. Classes: the ten genres, for the segments the five that exist there
 *  (blues, classical, hiphop, pop, rock); their numbers in y do not depend on which genres
 *  the folder holds. Names are the tracks'. The caller frees the set.
 *
 *  Errors, with file, line and column: EIO (no such file), EFORMAT (a missing column, a
 *  field that is no finite number, an unknown genre, a genre_id that is not the genre's, a row
 *  number that is not one of the array's or comes twice, another number of tracks than
 *  rows in the array, a track or segment that comes twice, an array of another type or
 *  shape), ENOMEM. */
et_dataset *et_gtzan_load(const char *dir, et_gtzan_table table);

/** v -> ln(max(v, 0) + 1e-8) for every feature that is a variance, in place: they spread over
 *  many powers of ten. For the two tables of features, before standardising; steps behind a
 *  sequence's end stay 0. ESHAPE if ds is not of that table. */
et_status et_gtzan_log_variances(et_dataset *ds, et_gtzan_table table);

/** Takes from each track of the segments what belongs to its recording, in place: from rms_mean and
 *  mfcc1_mean (how loud it was mastered) their mean over the track's segments (of a single one: all of
 *  them), from mfcc2_mean .. mfcc20_mean
 *  (its colour) `colour` times that, 0 .. 1; with 1, whole, it is cepstral mean subtraction (Furui 1981).
 *  Needs no fitting; to be done before standardising, before or after the logarithms. EINVAL for another
 *  table or colour, ESHAPE if ds is not of that table. */
et_status et_gtzan_centre_recordings(et_dataset *ds, et_gtzan_table table, double colour);

#ifdef __cplusplus
}
#endif
#endif
