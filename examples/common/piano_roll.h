/* Piano rolls: notes as bars, time to the right, pitch upwards. */
#ifndef ETUDE_EXAMPLES_COMMON_PIANO_ROLL_H
#define ETUDE_EXAMPLES_COMMON_PIANO_ROLL_H

#include "datasets/midi.h"
#include "tensor/strbuf.h"

/** Appends the piece as one <svg> element that stands by itself or inside a page: notes without drums, a
 *  colour for each track, a line at each bar, octaves named. A piece without notes gives an empty frame.
 *  ENOMEM. */
et_status et_piano_roll(et_strbuf *out, const et_midi *piece, const char *title);

#endif
