/* Features of a whole collection in one file: computed once, in parallel, and read from there afterwards.
 *
 * The file says what it was made of: the front end's signature, the collection's name and key, and the name,
 * size and date of every source. Where any of this differs, the file is damaged (it has checksums), or a
 * source that could not be opened can be read now, it is made anew. A file of another kind is left alone. It
 * is written beside and renamed into place, so that a program that is killed leaves the old one. */
#ifndef ETUDE_DATASETS_FEATURE_CACHE_H
#define ETUDE_DATASETS_FEATURE_CACHE_H

#include "datasets/collection.h"
#include "datasets/front_end.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_feature_cache et_feature_cache;

typedef struct et_feature_cache_options {
    const char *path; /* of the file */
    /* Changes when the sounds do: needed for a collection whose items are no files (its options, say); may be
     * NULL for files, whose size and date are looked at. */
    const char *key;
    int threads; /* 0 .. 256 that work in the background; 0: the caller's alone */
    /* Called after each item while the file is made, on the caller's thread; false gives up. May be NULL. */
    bool (*progress)(int64_t done, int64_t total, void *user);
    void *user;
} et_feature_cache_options;

/** Sound of item i at the front end's rate, mono, as features: *frames rows of et_front_end_bins, released
 *  with et_dealloc. EFORMAT, EIO, ... for a broken item, with its name; ESHAPE for one that is too short;
 *  ENOMEM. */
et_status et_item_features(const et_collection *c, int64_t i, const et_front_end *fe, float **rows,
                           int64_t *frames);

/** Opens the file, or makes it. Broken items are kept with what is wrong with them and have no frames. The
 *  cache is for reading by several threads at once. NULL and EINVAL, EIO, ENOMEM; EINVAL too for a file that
 *  is none of features, and "given up" when progress said so. */
et_feature_cache *et_feature_cache_open(const et_collection *c, const et_front_end *fe,
                                        const et_feature_cache_options *options);
void et_feature_cache_free(et_feature_cache *cache);

/** True if the file was made by this call of open; why: "no file yet", "another front end", ...
 *  ("" if it was found good). */
bool et_feature_cache_was_made(const et_feature_cache *cache, const char **why);

/** Number of items; of broken ones; of features of a frame; of frames of item i (0 if broken). */
int64_t et_feature_cache_size(const et_feature_cache *cache);
int64_t et_feature_cache_broken(const et_feature_cache *cache);
int64_t et_feature_cache_bins(const et_feature_cache *cache);
int64_t et_feature_cache_frames(const et_feature_cache *cache, int64_t i);

/** A number that is another one where any feature is, or the frames of any item: for what is computed from
 *  all of them. */
uint64_t et_feature_cache_sum(const et_feature_cache *cache);

/** What is wrong with item i; NULL if nothing is. */
const char *et_feature_cache_problem(const et_feature_cache *cache, int64_t i);

/** Reads frames from .. from + n - 1 of item i into out[n][bins]. EINVAL outside, EIO, EFORMAT, ENOMEM. */
et_status et_feature_cache_read(const et_feature_cache *cache, int64_t i, int64_t from, int64_t n,
                                float *out);

#ifdef __cplusplus
}
#endif
#endif
