/* Pieces as sequences of events, for models that write music, and back.
 *
 * An event is a note: pitch, time since the note before (dt) and duration (dur), each one class of a
 * group; times count steps of a beat. A piece is cut into segments of some bars; each becomes the events
 * of the notes that begin in it and an END. The figures are those of Lim, Chan and Loo, "Style-conditioned
 * music generation" (ICME 2020), and of its code. */
#ifndef ETUDE_DATASETS_EVENTS_H
#define ETUDE_DATASETS_EVENTS_H

#include "datasets/collection.h"
#include "datasets/midi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Groups have the sizes pitches + 1 (the last is END), steps + 1 and steps + 1. */
typedef struct et_event_options {
    int low;           /* MIDI pitch of class 0; pitches outside are moved to the nearest inside */
    int pitches;       /* 1 .. 128 */
    int steps;         /* longest dt and dur; longer ones are cut, 1 .. 1024 */
    int steps_a_beat;  /* a beat is a quarter note; times are rounded to the nearest step */
    int bars;          /* of a segment */
    int min_notes;     /* segments with fewer are left out */
    bool melody_only;  /* notes of the first track that has any, and no others */
} et_event_options;

/** Low 21, 88 pitches, 32 steps, 8 a beat, segments of 4 bars with at least 5 notes, all tracks. */
et_event_options et_event_defaults(void);

/* One event. END has pitch == pitches and dt == dur == -1: no class of these groups. */
typedef struct et_event {
    int16_t pitch, dt, dur;
} et_event;

/* Events of the segments one after the other; segment s is events[begin[s]] .. events[begin[s + 1] - 1],
 * its END included. Owned by the caller: release with et_segments_free. */
typedef struct et_segments {
    et_event *events;
    int64_t *begin; /* [n + 1] */
    int64_t *bar;   /* [n] number of the segment's first bar */
    int64_t n, n_events;
} et_segments;

/** Cuts a piece (drums left out) into segments. Bars are those of et_midi_main_meter from tick 0; only as
 *  many as are whole before the last note ends; dt of a segment's first note counts from the note before it
 *  in the piece, and is 0 for the piece's first. `options` NULL means the defaults. EINVAL, ENOMEM. */
et_status et_segments_from_midi(const et_midi *midi, const et_event_options *options, et_segments *out);
void et_segments_free(et_segments *s);

/** The piece that n events say, up to END: first note at 0, velocity 100, 100 quarter notes a minute, 480
 *  ticks each. A note of duration 0 gets a quarter of a step. EINVAL for a class outside its group,
 *  ENOMEM. */
et_midi *et_events_to_midi(const et_event *events, int64_t n, const et_event_options *options);

/** The pieces below a folder: DIR/STYLE/NAME.mid (or .midi). Items are the files in alphabetical order,
 *  "style/name.mid" their names, styles the classes. If DIR has a manifest.csv with a column `file`, its
 *  columns `group` and `fold` are taken where they exist: fold 0 is the split "valid", the others "train".
 *  The sound of an item is what et_synth makes of it. EIO without such files, EFORMAT for a manifest that
 *  lacks a file, ENOMEM. */
et_collection *et_midi_folder(const char *dir);

/** Piece i of et_midi_folder: the file is read. */
et_midi *et_midi_folder_piece(const et_collection *c, int64_t i);

/** All segments of a collection's pieces as a data set: x float32 [N, T, 3] with the classes (pitch, dt,
 *  dur) of T events, 0 behind a sequence's end; lengths with END counted; y the style; names
 *  "item:bar"; groups (the collection's, else the piece) and split. `piece` gives the notes of an item:
 *  et_midi_folder_piece or et_corpus_midi. A piece that cannot be read is left out and its message added to
 *  `skipped` (NULL allowed). NULL and EINVAL, ENOMEM, or EFORMAT if no segment is left. */
et_dataset *et_segments_dataset(const et_collection *c, et_midi *(*piece)(const et_collection *c, int64_t i),
                                const et_event_options *options, et_names *skipped);

/** Moves all pitches of x [..., 3] by `shift` classes in place, around the ends; END and what stands
 *  behind it stay. lengths int32 [N] as in the data set. ESHAPE, EDTYPE. */
et_status et_events_transpose(et_tensor *x, const et_tensor *lengths, int shift,
                              const et_event_options *options);

#ifdef __cplusplus
}
#endif
#endif
