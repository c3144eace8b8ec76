/* A synthesizer: notes in, sound out. Twelve kinds of melodic instruments and a drum kit, made of sums of
 * partials, frequency modulation, plucked strings (Karplus and Strong) and filtered noise. Partials above
 * the Nyquist frequency are not made in the first place. The same piece, options and build give the same
 * samples. */
#ifndef ETUDE_DATASETS_SYNTH_H
#define ETUDE_DATASETS_SYNTH_H

#include "datasets/audio.h"
#include "datasets/midi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_synth_options {
    int64_t rate;       /* frames a second, 4000 .. 192000 */
    int channels;       /* 1, or 2: tracks spread from left to right */
    double reverb;      /* share of the room, 0 .. 1 */
    double peak;        /* largest magnitude of a sample, 0 .. 1: the piece is scaled to it */
    double begin, end;  /* seconds of the piece to make; end 0: all of it and the last note's decay */
    double max_seconds; /* a longer sound is refused */
    double tuning;      /* cents away from a' = 440 Hz */
    double brightness;  /* -1 (dull) .. 1 (sharp), 0 as the instruments are */
    uint64_t seed;      /* of noise, small deviations of pitch, plucks */
} et_synth_options;

/** 22050 Hz, stereo, reverb 0.15, peak 0.8, the whole piece, at most 1800 s, tuning 0,
 *  brightness 0, seed 1. */
et_synth_options et_synth_defaults(void);

/** Sound of the piece: samples [channels, frames]; release with et_audio_free. `options` NULL means the
 *  defaults. A piece without notes gives silence. EINVAL for an option outside of its range, a begin behind
 *  the last note, or a sound longer than max_seconds (the message says how long it is), ENOMEM. Safe to call
 *  from several threads. */
et_status et_synth(const et_midi *midi, const et_synth_options *options, et_audio *out);

/** The instrument that plays a General MIDI program 0 .. 127: "piano", "flute", ...;
 *  NULL and EINVAL outside. */
const char *et_synth_instrument(int program);

#ifdef __cplusplus
}
#endif
#endif
