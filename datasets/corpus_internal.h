/* What the sources of the built-in corpus share. */
#ifndef ETUDE_DATASETS_CORPUS_INTERNAL_H
#define ETUDE_DATASETS_CORPUS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "datasets/corpus.h"
#include "datasets/gtzan.h"
#include "tensor/rng.h"

enum {
    CORPUS_TICKS = 480, /* a quarter note */
    CORPUS_STEP = 120,  /* patterns have sixteenths */
    CORPUS_BARS = 12,   /* longest progression */
    CORPUS_TAGS = 34
};

typedef enum scale { MAJOR, MINOR, DORIAN, MIXOLYDIAN, HARMONIC_MINOR, PHRYGIAN } scale;
typedef enum chord_kind { TRIAD, SEVENTH, DOMINANT, POWER } chord_kind;

/* How the chords are played. */
typedef enum comping {
    HELD,      /* once a bar */
    QUARTERS,
    OFF_BEATS, /* short, between the beats */
    BACK_BEATS,
    EIGHTHS,
    GALLOP,
    CHARLESTON,
    SYNCOPATED,
    ARPEGGIO,
    ALBERTI
} comping;

/* What the bass does. */
typedef enum bass_line { ROOTS, ROOT_FIFTH, WALKING, PUMPING, OCTAVES, BROKEN, RIFF, NO_BASS } bass_line;

/* What the drums do; the patterns are in corpus_parts.c. */
typedef enum drumming {
    NO_DRUMS, SHUFFLE, TRAIN, FOUR_FLOOR, BOOM_BAP, TRAP, SWING_RIDE, BRUSHES, DOUBLE_KICK, HALF_TIME,
    STRAIGHT, DRIVING, ONE_DROP, STEPPERS, BALLAD
} drumming;

/* A way to write. Lists of four hold choices of equal chance, some of them several times. */
typedef struct genre_style {
    double slow, quick;      /* quarter notes a minute */
    uint8_t waltz;           /* of 16 songs this many are in 3/4, */
    uint8_t compound;        /* and this many in 6/8 */
    double swing_lo, swing_hi; /* where the second eighth of a beat falls, 0.5 is even */
    uint8_t scales[4], progressions[4], chords[4], comping[4], bass[4], drums[4];
    uint8_t lead_programs[4], chord_programs[4], bass_programs[4], pad_programs[4];
    double lead, pad;        /* chance that there is one */
    double density_lo, density_hi; /* of the lead: notes a step */
    uint8_t lead_low, lead_high;   /* its range */
    double leaps;            /* chance of a leap in the melody */
    double short_notes;      /* how much of its time a lead note sounds, 0 .. 1: low is staccato */
    double bright_lo, bright_hi, room_lo, room_hi;
    double loud;                   /* velocity, and of it: */
    double bass_level, drum_level; /* 1 as the others */
} genre_style;

extern const genre_style corpus_styles[ET_GTZAN_GENRES];

/* Degrees of the chords, a bar each. */
typedef struct progression {
    uint8_t n, degrees[CORPUS_BARS];
} progression;

extern const progression corpus_progressions[];

/* What was drawn for a song: all that its notes follow from. */
typedef struct song {
    int genre;
    double bpm, swing;
    int numerator, denominator, steps; /* of a bar */
    int tonic;                         /* 0 .. 11 */
    scale mode;
    const progression *chords;
    chord_kind kind;
    comping comp;
    bass_line bass;
    drumming drums;
    int lead_program, chord_program, bass_program, pad_program;
    bool lead, pad;
    double density, leaps, held, loud, bass_level, drum_level;
    int low, high; /* of the lead */
    double tuning, brightness, room, peak;
    uint64_t seed, stream; /* of everything below */
} song;

/* Draws song `number` of a genre; stream numbers of songs are multiples of 2^20. */
void corpus_song(const et_corpus_options *o, int genre, uint64_t number, song *s);

/* Its notes from bar `first` on for `seconds`. */
et_midi *corpus_compose(const song *s, int64_t first, double seconds);

/* The parts; each adds the notes of bar `bar` (the song's count) from `at` (tick) on to its track. */
typedef struct composer {
    const song *s;
    et_midi *m;
    int64_t bar, at;
    int degree;   /* of the bar's chord */
    int next;     /* of the next bar's */
    int pitches[5], n_pitches; /* of the chord, in the middle of the keyboard */
    et_rng rng;   /* of this bar and part */
    int32_t track;
    int channel, program;
    double level;
} composer;

/* A note of `steps` from step `step` on (both may have fractions); velocity 0 .. 1. Swings and wavers. */
et_status corpus_note(composer *c, double step, double steps, int pitch, double velocity);
/* Pitch of a degree of the song's scale, counted from the tonic in octave 4
 * (degree 7 is an octave higher). */
int corpus_degree(const song *s, int degree);

et_status corpus_drums(composer *c);
et_status corpus_bass(composer *c);
et_status corpus_chords(composer *c);
et_status corpus_pad(composer *c);
et_status corpus_lead(composer *c);

/* Names of tags 0 .. CORPUS_TAGS - 1, and which of them a song has. */
extern const char *const corpus_tag_names[CORPUS_TAGS];
void corpus_tags(const song *s, uint8_t tags[CORPUS_TAGS]);

/* A caption of the song, another one for each rng; the caller releases it with et_dealloc. */
char *corpus_caption(const song *s, et_rng *rng);

#endif
