/* The built-in corpus: short pieces in ten genres, composed and played by the library itself when they
 * are asked for. Nothing is downloaded or stored; an item is a function of the options and its number.
 *
 * A genre is a way to write: ranges of tempo, meters, scales, chord progressions, rhythm patterns, bass
 * lines and instruments, each with several choices, many shared with other genres. A song is drawn from
 * these; an item is a stretch of a song. Items of one song share their group and stand on one side of
 * the split. */
#ifndef ETUDE_DATASETS_CORPUS_H
#define ETUDE_DATASETS_CORPUS_H

#include "datasets/collection.h"
#include "datasets/midi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_corpus_options {
    int64_t songs;   /* of each genre, 1 .. 100000 */
    int64_t clips;   /* items of each song, 1 .. 100 */
    double seconds;  /* length of an item, 0.5 .. 120 */
    int64_t rate;    /* frames a second */
    int channels;    /* 1 or 2 */
    /* Difficulty, each 0 (none) .. 1 (nothing left to learn). */
    double mixing;  /* chance that a part of the song is written as another genre would */
    double noise;   /* strength of broadband noise; at 1 as loud as the music */
    double overlap; /* level of another song underneath; at 1 as loud */
    uint64_t seed;
} et_corpus_options;

/** 48 songs, 2 clips, 6 s, 16000 Hz, mono, mixing 0.04, noise 0.05, overlap 0.05, seed 1. */
et_corpus_options et_corpus_defaults(void);

/** The collection "built-in": items "blues.00000.0" (song, clip) and so on; classes are GTZAN's ten; tags
 *  with MagnaTagATune's names where they fit; captions; groups (songs); splits "train", "valid" and "test"
 *  (three fifths, a fifth, a fifth of the songs of each genre). Its load plays the item. `options` NULL means
 *  the defaults. The caller frees it with et_collection_free. NULL and EINVAL, ENOMEM. */
et_collection *et_corpus(const et_corpus_options *options);

/** The notes of item i of such a collection, as et_collection_audio plays them (without what noise and
 *  overlap add); the genre is its style label. The caller frees it. NULL and EINVAL (another collection,
 *  an index outside), ENOMEM. */
et_midi *et_corpus_midi(const et_collection *c, int64_t i);

/** True for a collection that et_corpus made. */
bool et_is_corpus(const et_collection *c);

#ifdef __cplusplus
}
#endif
#endif
