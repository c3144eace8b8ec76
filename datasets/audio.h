/* Sound: reading files of samples, and writing them.
 *
 * Read by the library itself: WAV (PCM of 8, 16, 24 and 32 bits, float32 and float64, A-law, mu-law,
 * extensible, RF64), AU/SND, AIFF and AIFF-C of the same encodings. Anything else goes through the
 * user's own ffmpeg or sox, where one is on the PATH. */
#ifndef ETUDE_DATASETS_AUDIO_H
#define ETUDE_DATASETS_AUDIO_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A recording. `samples` is owned by the struct (by no scope): release with et_audio_free. */
typedef struct et_audio {
    et_tensor *samples; /* float32 [channels, frames], full scale is -1 .. 1 */
    int64_t rate;       /* frames a second */
} et_audio;

/* What a file's header says. */
typedef struct et_audio_info {
    const char *container; /* "WAV", "RF64", "AU", "AIFF", or the program that decoded it */
    const char *encoding;  /* "PCM 16", "float 32", "A-law", ... */
    int64_t rate, channels, frames;
} et_audio_info;

typedef enum et_wav_encoding { ET_WAV_PCM16, ET_WAV_PCM24, ET_WAV_FLOAT32 } et_wav_encoding;

/** Reads a sound file whole. EFORMAT with the file's name and what is wrong with it (not a sound,
 *  truncated, no samples, ...), EIO (also where it needs a program that is not there), ENOMEM; nothing is
 *  left in *out then. */
et_status et_audio_read(const char *path, et_audio *out);

/** The same of size bytes at data; `name` stands for the path in messages.
 *  Formats of other programs are EFORMAT here. */
et_status et_audio_parse(const void *data, size_t size, const char *name, et_audio *out);

/** What is in the file, without its samples where the format is one of the library's own. */
et_status et_audio_read_info(const char *path, et_audio_info *out);

/** Writes a WAV file, beside and renamed into place. Samples float32 [frames] or [channels, frames];
 *  PCM clips at full scale, and rounds to nearest. ESHAPE, EDTYPE, EINVAL (rate), EIO, EFULL. */
et_status et_audio_write_wav(const char *path, const et_tensor *samples, int64_t rate,
                             et_wav_encoding encoding);

/** The same file as bytes in memory, `name` standing for it in messages; *size of them, to be released with
 *  et_dealloc. NULL on failure. */
unsigned char *et_audio_wav(const char *name, const et_tensor *samples, int64_t rate,
                            et_wav_encoding encoding, size_t *size);

/** Releases the samples; the struct itself is the caller's. */
void et_audio_free(et_audio *audio);

/** ENONFINITE where a sample is infinite or no number, which files of floats can hold. */
et_status et_audio_check_finite(const et_audio *audio);

/** Averages the channels in place: samples become [1, frames]. ENOMEM. */
et_status et_audio_to_mono(et_audio *audio);

/** Brings the recording to `rate` frames a second, in place: windowed-sinc polyphase filter (Hann
 *  window, 6 zero crossings, roll-off 0.99). EINVAL for a rate below 1, ENOMEM. */
et_status et_audio_to_rate(et_audio *audio, int64_t rate);

#ifdef __cplusplus
}
#endif
#endif
