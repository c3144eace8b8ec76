/* What music-search learns from: sounds with captions. The built-in corpus, the task S-XM of made-up
 * sounds, or tables on disk: rendered excerpts (logmel96x128.npy), MusicCaps with its clips, a table of
 * recorded clips. */
#ifndef ETUDE_EXAMPLES_SEARCH_DATA_H
#define ETUDE_EXAMPLES_SEARCH_DATA_H

#include "datasets/collection.h"
#include "datasets/feature_cache.h"
#include "datasets/front_end.h"
#include "datasets/split.h"
#include "datasets/wordpiece.h"

typedef enum search_kind {
    SEARCH_TASK,      /* S-XM: 128 combinations of four attributes, [64, 16] */
    SEARCH_CORPUS,    /* the library's own pieces, 10 s */
    SEARCH_RENDERED,  /* rendered excerpts, 6 s */
    SEARCH_MUSICCAPS, /* MusicCaps, 10 s */
    SEARCH_RECORDED,  /* clips.csv with captions, 10 s */
    SEARCH_KINDS
} search_kind;

/* Which kind the folder holds; `task` decides where dir is NULL.
 * Negative and an error for a folder that holds none. */
int search_kind_of(const char *dir, const char *task);
const char *search_kind_name(search_kind kind);

enum { SEARCH_FRONT_END = 24 };

/* Sounds without captions, to tell genres or tags of: MagnaTagATune with its `top` most frequent tags
 * (0: all), or a folder for each genre (et_genre_folders). NULL without an error where the folder has
 * captions, or is neither. */
et_collection *search_plain_sounds(const char *dir, int top);

/* How a model hears: what it reads of a sound. Kept in config.json. */
typedef struct search_input {
    char front_end[SEARCH_FRONT_END]; /* "" for S-XM, whose sounds are no sounds */
    int64_t frames, bins;             /* of one chunk */
    double seconds;                   /* of one chunk; 0 for S-XM */
} search_input;

/* The input for a kind of data: where there is sound to compute it from, of that front end (NULL: mel96). */
et_status search_input_of(search_kind kind, const char *front_end, search_input *out);

/* A recording as the model hears it: mono, at the front end's rate; with laion64 as LAION's CLAP was trained:
 * of 16 bits, and one that is too short again and again, as often as it fits whole, then silence. */
et_status search_hear(const search_input *input, const et_front_end *fe, et_audio *a);

typedef struct search_source {
    search_kind kind;
    const char *dir;   /* NULL for data that the program makes */
    int64_t songs;     /* of each genre, in the corpus */
    const char *cache; /* file for features of sounds */
    bool whole;        /* all of it is to be judged on: the test part are all items, the others none */
} search_source;

typedef struct search_data {
    search_source from;
    search_input input;
    et_collection *c; /* names, captions, classes, tags, perhaps sounds */
    et_dataset *ds;   /* its labels; x where features are in memory, else NULL */
    et_names captions;
    et_front_end *fe; /* with a cache */
    et_feature_cache *cache;
    et_indices train, valid, test; /* groups stay on one side; of MusicCaps 500 validate, 1000 test */
} search_data;

/* Reads or makes the data. Features of sounds are computed once and kept in from->cache. */
search_data *search_data_load(const search_source *from, const search_input *input);
void search_data_free(search_data *d);

int64_t search_data_size(const search_data *d);
/* The name of item i; buf has room for one that is made up. */
const char *search_item_name(const search_data *d, int64_t i, char buf[64]);

/* x float32 [n, frames, bins] of those items, in the open scope:
 * the first chunk of each, cut or filled up. */
et_tensor *search_sounds(const search_data *d, const int32_t *items, int64_t n);

/* Features as front ends give them, brought to the range that models read:
 * mel96's -60 .. 50 dB to -2 .. 2. */
void search_scale(const search_input *input, int64_t n, float *x);
/* Silence in that range. */
float search_silence(const search_input *input);

/* For each text, which of the tags it names: mentions [n, tags] of 0 and 1. A tag is named where its words
 * stand in the text one after the other, whatever their case. */
void search_mentions(const et_names *tags, int64_t n, const char *const *texts, uint8_t *mentions);

/* The captions of those items. */
et_status search_captions_of(const search_data *d, const et_indices *items, et_names *out);

#endif
