/* Writing the built-in corpus into a folder. */
#ifndef ETUDE_EXAMPLES_MUSIC_CORPUS_H
#define ETUDE_EXAMPLES_MUSIC_CORPUS_H

#include "datasets/collection.h"

/** Writes the sound and the notes of every item of a collection that et_corpus made, in the place of an older
 *  corpus where there is one:
 *
 *     DIR/GENRE/NAME.wav, DIR/GENRE/NAME.mid    as data sets of sound and of notes have them
 *     DIR/tracks.csv        row, track, genre, genre_id, split; a folder with it is read as GTZAN is
 *     DIR/manifest.csv      file, style, group, fold of the MIDI files; fold 0 is held out
 *     DIR/captions.csv      track, file, genre, group, split, tags, caption
 *
 *  Tables come last: a folder without them is not whole. Progress is shown on the error output. *written is
 *  the number of items; fewer than all, and ET_OK, where Ctrl-C came between. EIO, EFULL, ENOMEM. */
et_status music_write_corpus(const et_collection *c, const char *dir, int64_t *written);

#endif
