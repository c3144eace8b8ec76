/* What music-data says about files and folders. */
#ifndef ETUDE_EXAMPLES_MUSIC_INFO_H
#define ETUDE_EXAMPLES_MUSIC_INFO_H

#include "datasets/midi.h"
#include "tensor/error.h"

/** Prints what is in a file of sound, notes, tensors or a table, or below a folder. What a folder holds
 *  that cannot be read is named and counted, and is no error. The statuses of the readers. */
et_status music_info(const char *path);

/** Prints a piece: its clock, its tracks, a picture of its notes, and the first `list` notes. */
void music_print_midi(const char *path, const et_midi *midi, int64_t list);

#endif
