/* Corpora on disk as collections: GTZAN, MagnaTagATune, lists of clips with tags (such as those of the
 * Million Song Dataset), MusicCaps, tables of clips, folders of classes. The layouts are in doc/data.md.
 *
 * Making a collection opens no sound: a broken or missing file is an error of et_collection_audio for its
 * item alone. Every function returns a collection that the caller frees, or NULL and EIO, EFORMAT (with file
 * and line), ENOMEM. */
#ifndef ETUDE_DATASETS_CORPORA_H
#define ETUDE_DATASETS_CORPORA_H

#include "datasets/collection.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A folder with a folder of sounds for each class. Items are "CLASS/FILE" without the ending. */
et_collection *et_folder_of_classes(const char *dir);

/** GTZAN's recordings: dir/GENRE/GENRE.NNNNN.wav (or .au, ...), or the same below dir/genres or
 *  dir/genres_original. Items are tracks ("blues.00000"; files that do not begin with their genre are
 *  "GENRE/FILE"), classes the ten genres. `tracks` is a table with columns track and split; NULL:
 *  dir/tracks.csv where there is one. Tracks that it does not name have no split. */
et_collection *et_gtzan_recordings(const char *dir, const char *tracks);

/** GTZAN's recordings, as et_gtzan_recordings, where its genres lie below dir/genres or dir/genres_original,
 *  or all folders of sounds are its genres; else a genre for each folder of sounds, as et_folder_of_classes.
 *  NULL without an error where there are none. */
et_collection *et_genre_folders(const char *dir);

/* Where the parts of a corpus of tags are; a NULL leaves a part out. */
typedef struct et_tag_files {
    const char *audio; /* folder of clips; NULL: items have no sound (et_magnatagatune: the corpus folder) */
    const char *lists; /* table of the clips to take (a cleaned list): split, clip and perhaps tags */
    const char *tags;  /* names of tags, one a line, or a table with a column tag; NULL: all that there are */
    bool keep_untagged; /* keep clips that have none of the tags */
    int top;            /* of et_magnatagatune's tags those that most clips have; 0: all */
} et_tag_files;

/** MagnaTagATune: dir/annotations_final.csv (fields separated by tabs) and the clips. Items are paths without
 *  their ending; tags are those of files->tags, in its order, or of them the files->top most frequent. With
 *  files->lists only its clips, in its splits; else the split is that of the folder's digit: 0-b "train",
 *  c "valid", d-f "test". Clips of one track are a group. `files` may be NULL. */
et_collection *et_magnatagatune(const char *dir, const et_tag_files *files);

/** Clips, splits and tags from files->lists alone; its tags are numbers of lines of files->tags, or (without
 *  that) names, separated by blanks. A list without a column tags gives no tags. */
et_collection *et_tag_list(const char *name, const et_tag_files *files);

/** MusicCaps: a table with columns ytid and caption, and split or is_audioset_eval; with `audio` only the
 *  rows whose clip is in that folder, as YTID.wav (or another ending). */
et_collection *et_musiccaps(const char *table, const char *audio);

/* What MusicCaps has in words, a row each. */
typedef struct et_musiccaps_texts {
    et_names captions;
    et_names aspects; /* "slow; sad; piano"; none where the table has no such column */
    uint8_t *eval;    /* 1: of AudioSet's evaluation part */
} et_musiccaps_texts;

/** Reads them from a table with columns caption, perhaps aspects or aspect_list (as it is published,
 *  "['slow', 'sad', 'piano']"), and split ("eval") or is_audioset_eval ("True"). Release with
 *  et_musiccaps_texts_free, also after a failure. EIO, EFORMAT, ENOMEM. */
et_status et_musiccaps_texts_read(const char *table, et_musiccaps_texts *out);
void et_musiccaps_texts_free(et_musiccaps_texts *t);

/** Rendered excerpts: dir/clips.csv and dir/wav/. Only clips whose WAV is there, or all (without sound) if
 *  none is. Classes are styles; fold 0 is "valid", the others are "train". */
et_collection *et_rendered_clips(const char *dir);

/** The same of all excerpts, in the order of et_rendered_mels; those without a WAV have no sound. */
et_collection *et_rendered_excerpts(const char *dir);

/** Spectrograms of all rendered excerpts: x [N, 128 frames, 96 bands], level / 255 (a level is 110/255 dB,
 *  0 is -60 dB), of dir/logmel96x128.npy; labels, tags, groups and splits as et_rendered_clips. */
et_dataset *et_rendered_mels(const char *dir);

/** Spoken digits: dir/files.csv, and the WAV files in dir/fsdd/ or dir/. Classes are digits, tags digit and
 *  speaker, takes 5 and 6 "valid", the others "train". */
et_collection *et_spoken_digits(const char *dir);

/** Recorded clips: dir/clips.csv with columns wav, genre, caption. An empty genre is "unknown". */
et_collection *et_recorded_clips(const char *dir);

#ifdef __cplusplus
}
#endif
#endif
