/* Sound files: which reader a file needs; mono. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/audio_format.h"
#include "tensor/alloc.h"

enum { PATIENCE = 60 }; /* seconds that a decoding program may be silent */

/* The layout of a file that begins as one of the library's formats;
 * ET_CODE_OTHER otherwise, with what was found in `why`. */
static et_status find_layout(et_reader *r, bool streamed, et_audio_layout *l, char *why, size_t room)
{
    uint64_t size = et_reader_size(r);
    unsigned char magic[4] = {0};
    et_status status;

    memset(l, 0, sizeof *l);
    if (size == 0)
        return et_raise(ET_EFORMAT, "%s: the file is empty", et_reader_name(r));
    if (et_reader_at(r, 0, magic, size < 4 ? (size_t)size : 4) < 0)
        return et_error_status();
    if (memcmp(magic, "RIFF", 4) == 0 || memcmp(magic, "RF64", 4) == 0 || memcmp(magic, "BW64", 4) == 0) {
        status = et_wav_layout(r, streamed, l);
    } else if (memcmp(magic, ".snd", 4) == 0 || memcmp(magic, "dns.", 4) == 0 ||
               memcmp(magic, ".sd", 4) == 0 || memcmp(magic, "\0ds.", 4) == 0) {
        status = et_au_layout(r, l);
    } else if (memcmp(magic, "FORM", 4) == 0) {
        status = et_aiff_layout(r, l);
    } else {
        snprintf(why, room, "neither WAV, AU nor AIFF");
        return ET_OK;
    }
    if (status == ET_OK && l->code == ET_CODE_OTHER)
        snprintf(why, room, "%s of encoding 0x%x", l->container, l->other);
    return status;
}

static et_status decode_memory(const char *path, const unsigned char *wav, size_t size, const char *program,
                               et_audio *out, et_audio_info *info)
{
    et_reader *r = et_reader_memory(wav, size, path);
    et_audio_layout l;
    char why[64];
    et_status status = ET_OK;

    if (!r)
        return et_error_status();
    if (size == 0)
        status = et_raise(ET_EFORMAT, "%s: %s found no samples in it", path, program);
    else if (find_layout(r, true, &l, why, sizeof why) < 0)
        status = et_error_status();
    else if (l.code == ET_CODE_OTHER)
        status = et_raise(ET_EFORMAT, "%s: what %s made of it is no WAV file", path, program);
    else if (info)
        *info = (et_audio_info){program, et_audio_encoding_name(&l), l.rate, l.channels, l.frames};
    else
        *out = (et_audio){et_audio_decode(r, &l), l.rate};
    if (status == ET_OK && !info && !out->samples)
        status = et_error_status();
    et_reader_close(r);
    return status;
}

/* One of out and info is NULL. */
static et_status read_sound(const char *path, et_audio *out, et_audio_info *info)
{
    et_reader *r = et_reader_open(path);
    uint64_t file_size;
    et_audio_layout l;
    char why[64];
    unsigned char *wav;
    const char *program;
    et_status status;
    size_t size;

    if (!r)
        return et_error_status();
    file_size = et_reader_size(r);
    status = find_layout(r, false, &l, why, sizeof why);
    if (status == ET_OK && l.code != ET_CODE_OTHER) {
        if (info) {
            *info = (et_audio_info){l.container, et_audio_encoding_name(&l), l.rate, l.channels, l.frames};
        } else {
            *out = (et_audio){et_audio_decode(r, &l), l.rate};
            status = out->samples ? ET_OK : et_error_status();
        }
    }
    et_reader_close(r);
    if (status < 0 || l.code != ET_CODE_OTHER)
        return status;
    status = et_audio_run_decoder(path, file_size, why, PATIENCE, &wav, &size, &program);
    if (status < 0)
        return status;
    status = decode_memory(path, wav, size, program, out, info);
    et_dealloc(wav);
    return status;
}

et_status et_audio_read(const char *path, et_audio *out)
{
    et_status status;

    if (!path || !out)
        return et_raise(ET_EINVAL, "sound: NULL argument");
    status = read_sound(path, out, NULL);
    if (status < 0)
        *out = (et_audio){NULL, 0};
    return status;
}

et_status et_audio_read_info(const char *path, et_audio_info *out)
{
    if (!path || !out)
        return et_raise(ET_EINVAL, "sound: NULL argument");
    memset(out, 0, sizeof *out);
    return read_sound(path, NULL, out);
}

et_status et_audio_parse(const void *data, size_t size, const char *name, et_audio *out)
{
    et_reader *r;
    et_audio_layout l;
    et_status status;
    char why[64];

    if (!name || !out || (!data && size))
        return et_raise(ET_EINVAL, "sound: NULL argument");
    *out = (et_audio){NULL, 0};
    r = et_reader_memory(data, size, name);
    if (!r)
        return et_error_status();
    status = find_layout(r, false, &l, why, sizeof why);
    if (status == ET_OK && l.code == ET_CODE_OTHER)
        status = et_raise(ET_EFORMAT, "%s: %s", name, why);
    if (status == ET_OK) {
        *out = (et_audio){et_audio_decode(r, &l), l.rate};
        if (!out->samples) {
            status = et_error_status();
            *out = (et_audio){NULL, 0};
        }
    }
    et_reader_close(r);
    return status;
}

void et_audio_free(et_audio *audio)
{
    if (!audio)
        return;
    et_free(audio->samples);
    *audio = (et_audio){NULL, 0};
}

et_status et_audio_check(const et_audio *audio)
{
    const et_tensor *x = audio ? audio->samples : NULL;

    if (!x)
        return et_raise(ET_EINVAL, "sound: NULL");
    if (x->dtype != ET_F32)
        return et_raise(ET_EDTYPE, "sound: samples are float32, not %s", et_dtype_name(x->dtype));
    if (x->ndim != 2 || x->shape[0] < 1 || !et_is_contiguous(x)) {
        char text[ET_SHAPE_TEXT];
        return et_raise(ET_ESHAPE, "sound: samples are [channels, frames], one after the other, not %s",
                        et_shape_text(text, x->ndim, x->shape));
    }
    if (audio->rate < 1)
        return et_raise(ET_EINVAL, "sound: a rate of %" PRId64 " Hz", audio->rate);
    return ET_OK;
}

et_status et_audio_check_finite(const et_audio *audio)
{
    const float *x;
    int64_t n = 0;

    if (et_audio_check(audio) < 0 || !(x = et_data_f32(audio->samples)))
        return et_error_status();
    for (int64_t i = 0; i < audio->samples->numel; i++)
        n += !isfinite(x[i]);
    return n == 0 ? ET_OK
                  : et_raise(ET_ENONFINITE, "%" PRId64 " sample%s infinite or no number%s", n,
                             n == 1 ? " is" : "s are", n == 1 ? "" : "s");
}

et_status et_audio_to_mono(et_audio *audio)
{
    int64_t channels, frames;
    et_tensor *mono;
    const float *in;
    float *out;

    if (et_audio_check(audio) < 0)
        return et_error_status();
    channels = audio->samples->shape[0];
    frames = audio->samples->shape[1];
    if (channels == 1)
        return ET_OK;
    mono = et_empty_owned(ET_F32, ET_SHAPE(1, frames));
    in = et_data_f32(audio->samples);
    out = mono && in ? et_data_mut(mono) : NULL;
    if (!out) {
        et_free(mono);
        return et_fail_status("sound");
    }
    for (int64_t i = 0; i < frames; i++) {
        double sum = 0;

        for (int64_t c = 0; c < channels; c++)
            sum += in[c * frames + i];
        out[i] = (float)(sum / (double)channels);
    }
    et_free(audio->samples);
    audio->samples = mono;
    return ET_OK;
}
