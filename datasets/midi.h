/* Standard MIDI files: notes, tempo, meter and key, read from format 0 or 1 and written as format 1. */
#ifndef ETUDE_DATASETS_MIDI_H
#define ETUDE_DATASETS_MIDI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_MIDI_DRUMS = 9 /* the channel of percussion, counted from 0 */ };

/* No event is later: four years at 480 ticks a quarter note. */
#define ET_MIDI_MAX_TICK ((int64_t)1 << 37)

/* A note. Times are in ticks. */
typedef struct et_midi_note {
    int64_t start, duration;
    int32_t track;    /* 0 .. tracks.n - 1 */
    uint8_t pitch;    /* 0 .. 127, 60 is the middle C */
    uint8_t velocity; /* 1 .. 127 */
    uint8_t channel;  /* 0 .. 15 */
    uint8_t program;  /* 0 .. 127, the channel's instrument in this track when the note began */
} et_midi_note;

/* From `tick` on a quarter note takes `usec` microseconds. */
typedef struct et_midi_tempo {
    int64_t tick;
    int32_t usec;   /* 1 .. 2^24 - 1 */
    double seconds; /* time of that tick: set by reading and by et_midi_sort */
} et_midi_tempo;

typedef struct et_midi_meter {
    int64_t tick;
    int32_t numerator, denominator; /* 1 .. 255; a power of two up to 64 */
} et_midi_meter;

typedef struct et_midi_key {
    int64_t tick;
    int32_t sharps; /* -7 (seven flats) .. 7 */
    bool minor;
} et_midi_key;

/* A piece. All arrays are owned by it and stand in order of time (notes: start, track, pitch). */
typedef struct et_midi {
    int format;         /* of the file it came from, 1 for one made here */
    int64_t resolution; /* ticks a quarter note, 1 .. 32767 */
    /* Files that count film frames instead of quarter notes: frames a second (24, 25, 29 for 29.97,
     * 30) and ticks a frame; both 0 otherwise. Then tempo does not matter, and `resolution` is the
     * ticks of half a second. */
    int smpte_rate, smpte_ticks;
    et_names tracks; /* [T] their names, "" for none */
    et_midi_note *notes;
    et_midi_tempo *tempos;
    et_midi_meter *meters;
    et_midi_key *keys;
    int64_t n_notes, n_tempos, n_meters, n_keys;
    int64_t end; /* last tick: of an event, or the end of a note */
    /* What reading had to mend. */
    int64_t hanging; /* notes without an end: they last until their track ends */
    int64_t stray;   /* ends without a note: left out */
    int64_t note_room, tempo_room, meter_room, key_room; /* how much memory the arrays have */
} et_midi;

/** Reads a file. Running status (also across meta events), system exclusive and unknown meta events,
 *  chunks of other kinds and bytes behind the last track are taken in stride. A note ends at the
 *  first end of its pitch and channel in its track that no earlier note has taken; starting with
 *  velocity 0 is an end. Controllers and bends are left out. The caller frees the piece.
 *
 *  NULL and EFORMAT with the file's name, the byte and what is wrong there: not MIDI, format 2,
 *  truncated, fewer tracks than said, a number of more than four bytes, a status that no file may
 *  have, a tempo, meter or key that means nothing. EIO, ENOMEM. */
et_midi *et_midi_read(const char *path);

/** The same for `size` bytes in memory; `name` stands for the file in messages. */
et_midi *et_midi_parse(const void *data, size_t size, const char *name);

/** Writes format 1, beside and renamed into place. Track 0 holds tempo, meter and key; a piece with
 *  notes in its track 0 has its tracks moved up by one. Notes of one track, channel and pitch that
 *  overlap come back from a file with their ends in order. EINVAL for a note or event that a file cannot hold
 *  (says which), EIO, ENOMEM. */
et_status et_midi_write(const char *path, const et_midi *midi);

/** The same into memory that the caller releases with et_dealloc. */
et_status et_midi_format(const et_midi *midi, unsigned char **data, size_t *size);

/** An empty piece without tracks; ticks a quarter note 1 .. 32767 (480 is usual). The caller owns it.
 *  NULL and EINVAL or ENOMEM. */
et_midi *et_midi_new(int64_t resolution);
void et_midi_free(et_midi *midi);

/** Each appends a track (a copy of the name), a note, a tempo in quarter notes a minute, a meter, a
 *  key. et_midi_sort is due after the last. EINVAL for values outside of their range, ENOMEM. */
et_status et_midi_add_track(et_midi *midi, const char *name);
et_status et_midi_add_note(et_midi *midi, et_midi_note note);
/** EINVAL, with all its values, for a note that is out of range or in a track that is not there. */
et_status et_midi_check_note(const et_midi *midi, const et_midi_note *note);
et_status et_midi_add_tempo(et_midi *midi, int64_t tick, double bpm);
et_status et_midi_add_meter(et_midi *midi, int64_t tick, int numerator, int denominator);
et_status et_midi_add_key(et_midi *midi, int64_t tick, int sharps, bool minor);

/** Puts everything in order of time, sets the tempos' seconds and moves `end` behind the last note. */
void et_midi_sort(et_midi *midi);

/** Time of a tick in seconds (120 quarter notes a minute before the first tempo), and the tick, with
 *  its fraction, of a time. */
double et_midi_seconds(const et_midi *midi, double tick);
double et_midi_tick(const et_midi *midi, double seconds);

/** The meter that most meter events name, numerators and denominators counted each for itself (the
 *  earlier among equals); 4/4 without any. */
void et_midi_main_meter(const et_midi *midi, int *numerator, int *denominator);

/** Moves every note to a grid of `steps` per quarter note, in place: start and end go to the nearest
 *  step (halves to the even one), a note lasts at least one. Afterwards a tick is a step. Returns the
 *  fraction of notes whose start stood on the grid before (1 without notes); NaN and EINVAL for
 *  steps outside 1 .. 32767. */
double et_midi_quantise(et_midi *midi, int steps);

#ifdef __cplusplus
}
#endif
#endif
