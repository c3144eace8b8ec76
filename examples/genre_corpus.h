/* The built-in corpus as genre-rnn reads it: 6 s of sound as mel spectra. */
#ifndef ETUDE_EXAMPLES_GENRE_CORPUS_H
#define ETUDE_EXAMPLES_GENRE_CORPUS_H

#include "datasets/dataset.h"

enum { GENRE_CORPUS_POOL = 4 /* frames of the front end (16 ms each) that make one of the sequence */ };

/* The items of et_corpus (with `songs` songs of each genre) that are of its split "test", or that are not:
 * x [N, T, 64], front end rnn64 averaged over GENRE_CORPUS_POOL frames; genres, names, groups and splits.
 * Each item is played and analysed by one of the threads; a progress bar on stdout shows how far they
 * are. The caller frees the set; NULL after an error. */
et_dataset *genre_corpus(int64_t songs, bool test);

#endif
