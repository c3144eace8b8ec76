/* What music-tagger learns from, with the recipe of each: the built-in corpus, planted patterns and tones,
 * and corpora on the user's disk. Items are in memory, or they are sounds that background threads make into
 * features. */
#ifndef ETUDE_EXAMPLES_TAGGER_DATA_H
#define ETUDE_EXAMPLES_TAGGER_DATA_H

#include "datasets/augment.h"
#include "datasets/collection.h"
#include "datasets/feature_cache.h"
#include "datasets/split.h"
#include "models/tagger.h"

typedef enum tagger_kind {
    TAGGER_CORPUS,   /* the built-in corpus, 6 s of sound */
    TAGGER_PATTERNS, /* prototypes in noise, 64 frames of 24 bands */
    TAGGER_TONES,    /* tones in noise, 2187 samples */
    TAGGER_MTAT,     /* MagnaTagATune: annotations_final.csv and clips */
    TAGGER_LIST,     /* a list of clips with tags, such as those of the Million Song Dataset */
    TAGGER_RENDERED, /* rendered excerpts: logmel96x128.npy (Spec) or wav/ (Raw) */
    TAGGER_DIGITS    /* spoken digits */
} tagger_kind;

/* Defaults of the command line. */
typedef struct tagger_recipe {
    et_tagger_config net; /* without the number of tags */
    int64_t window;       /* frames or samples that the model reads */
    int64_t epochs, batch;
    int chunks;           /* of an item, which are judged and averaged */
    double lr, weight_decay, mixup;
    et_sound_augment sound; /* Raw */
    const char *schedule;
} tagger_recipe;

tagger_recipe tagger_recipe_of(tagger_kind kind, et_tagger_front front, et_tagger_back back, bool paper);

/* Front end Raw alone, front end Spec alone, or either: -1. */
int tagger_only_front(tagger_kind kind);

/* Where data come from. */
typedef struct tagger_source {
    const char *dir;   /* NULL: data that the program makes */
    const char *task;  /* which: "corpus", "patterns", "tones" */
    const char *lists; /* table of clips with their splits and perhaps tags, or NULL */
    const char *tags;  /* names of tags, a line each, or NULL */
    int64_t songs;     /* of each genre, in the corpus */
    bool test;         /* of planted patterns and tones: others than those of training */
    et_tagger_front front;
} tagger_source;

/* The kind that a source means; negative and EIO where the folder has none of the known tables. */
int tagger_kind_of(const tagger_source *from);

typedef struct tagger_data {
    tagger_kind kind;
    et_tagger_front front;
    et_dataset *ds;        /* labels, tags, names, splits; data in memory: x [N, T, bands] or [N, samples] */
    et_collection *sounds; /* NULL where nothing is heard */
    bool streamed;         /* rows are made of sounds: item i is sound i */
    et_front_end *fe;      /* of streamed Spec */
    et_feature_cache *cache;
    char key[48];          /* what the sounds are a function of, where they are no files */
    int64_t rate;          /* of streamed Raw, samples a second */
    int64_t bands;         /* numbers of a row */
    double row_seconds;    /* 0: rows have no duration */
    int64_t rows;          /* of an item in memory; 0 where items have their own lengths */
} tagger_data;

/* Labels, and data or the way to them. The caller frees it. NULL and EIO, EFORMAT, ENOMEM, EINVAL. */
tagger_data *tagger_data_load(const tagger_source *from);
void tagger_data_free(tagger_data *d);

/* Makes or opens the file that keeps the features of sounds, with so many background threads; without it, or
 * with `path` NULL, they are computed whenever they are needed. Nothing where there are no such features. */
et_status tagger_data_cache(tagger_data *d, const char *path, int workers);

int64_t tagger_data_tags(const tagger_data *d);

/* Makes the tags those of `names`, in that order: a trained model's. Tags that the data do not have are off
 * for all items. EINVAL if none of them is there. */
et_status tagger_data_align(tagger_data *d, const et_names *names);

/* The items to learn from and to validate with: the data's own split, or a fifth of the groups held out where
 * they have none. EFORMAT for a split without one of the two. */
et_status tagger_data_split(const tagger_data *d, et_indices *train, et_indices *valid);

/* The items to judge: those of the named split, or ("auto") the split "test" where there is one, else all.
 * *judged says which: the split, or "all"; of data that the program has made for a test, "test". */
et_status tagger_data_choose(const tagger_data *d, const char *split, et_indices *out, const char **judged);

/* The name of an item; buf is for those that have none. */
const char *tagger_data_name(char buf[64], const tagger_data *d, int64_t item);

/* The first `seconds` of an item's sound, mono at its own rate; the caller frees it.
 * *has is false where the item cannot be heard. */
et_status tagger_data_sound(const tagger_data *d, int64_t item, double seconds, et_audio *out, bool *has);

#endif
