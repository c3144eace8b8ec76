/* What the readers of sound files share: where a file's samples are and how they are written there. */
#ifndef ETUDE_DATASETS_AUDIO_FORMAT_H
#define ETUDE_DATASETS_AUDIO_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/audio.h"
#include "tensor/file.h"

typedef enum et_sample_code {
    ET_CODE_OTHER, /* known to the container, not to the library: for ffmpeg or sox */
    ET_CODE_U8,    /* PCM of one byte, 128 is silence */
    ET_CODE_PCM,   /* two's complement, `bytes` of them, left-justified */
    ET_CODE_FLOAT, /* IEEE 754, 4 or 8 bytes */
    ET_CODE_ALAW,
    ET_CODE_MULAW
} et_sample_code;

typedef struct et_audio_layout {
    const char *container;
    et_sample_code code;
    int bytes; /* of a sample: 1 .. 4 for PCM, 4 or 8 for floats */
    int bits;  /* that count, for the name of the encoding */
    bool big_endian;
    unsigned other; /* the container's number or four letters of an encoding that is ET_CODE_OTHER */
    int64_t rate, channels, frames;
    uint64_t offset; /* of the first sample in the file */
} et_audio_layout;

enum { ET_AUDIO_MAX_CHANNELS = 1024, ET_AUDIO_MAX_RATE = 10000000 };

/** Fills *layout from the file's header. `streamed` lets the data end before the header says: what a
 *  program writes to a pipe has a made-up size. EFORMAT with the file's name. */
et_status et_wav_layout(et_reader *r, bool streamed, et_audio_layout *layout);
et_status et_au_layout(et_reader *r, et_audio_layout *layout);
et_status et_aiff_layout(et_reader *r, et_audio_layout *layout);

/** Sets layout->frames to the whole frames in `available` bytes.
 *  EFORMAT where rate, channels or frames are out of range. */
et_status et_audio_layout_finish(const et_reader *r, et_audio_layout *layout, uint64_t available);

/** Name of the layout's encoding, such as "PCM 16". */
const char *et_audio_encoding_name(const et_audio_layout *layout);

/** Reads all samples as float32 [channels, frames], owned by nobody's scope.
 *  NULL and EIO, EFORMAT, ENOMEM. */
et_tensor *et_audio_decode(et_reader *r, const et_audio_layout *layout);

/** Has ffmpeg, else sox, decode the file at `path` of file_size bytes: a WAV file in memory, which the
 *  caller releases with et_dealloc, and the program's name. `why` says what the library itself found; it
 *  stands in the message when neither program is there, which is EIO. A program that gives nothing for
 *  `patience` seconds, or is not done in 20 times that, is killed. EFORMAT, EIO, ENOMEM. */
et_status et_audio_run_decoder(const char *path, uint64_t file_size, const char *why, double patience,
                               unsigned char **wav, size_t *size, const char **program);

/** EINVAL, EDTYPE, ESHAPE unless it is a recording as et_audio says. */
et_status et_audio_check(const et_audio *audio);

#endif
