/* Samples as files hold them, to float32. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "datasets/audio_format.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"

enum { BLOCK = 64 * 1024 }; /* bytes read at once, at least one frame */

const char *et_audio_encoding_name(const et_audio_layout *layout)
{
    static const char *const pcm[] = {"PCM 0",  "PCM 1",  "PCM 2",  "PCM 3",  "PCM 4",  "PCM 5",  "PCM 6",
                                      "PCM 7",  "PCM 8",  "PCM 9",  "PCM 10", "PCM 11", "PCM 12", "PCM 13",
                                      "PCM 14", "PCM 15", "PCM 16", "PCM 17", "PCM 18", "PCM 19", "PCM 20",
                                      "PCM 21", "PCM 22", "PCM 23", "PCM 24", "PCM 25", "PCM 26", "PCM 27",
                                      "PCM 28", "PCM 29", "PCM 30", "PCM 31", "PCM 32"};

    switch (layout->code) {
    case ET_CODE_U8:
    case ET_CODE_PCM: return pcm[layout->bits];
    case ET_CODE_FLOAT: return layout->bytes == 4 ? "float 32" : "float 64";
    case ET_CODE_ALAW: return "A-law";
    case ET_CODE_MULAW: return "mu-law";
    default: return "other";
    }
}

et_status et_audio_layout_finish(const et_reader *r, et_audio_layout *layout, uint64_t available)
{
    const char *name = et_reader_name(r);

    if (layout->rate < 1 || layout->rate > ET_AUDIO_MAX_RATE)
        return et_raise(ET_EFORMAT, "%s: a rate of %" PRId64 " Hz, not 1 .. %d", name, layout->rate,
                        ET_AUDIO_MAX_RATE);
    if (layout->channels < 1 || layout->channels > ET_AUDIO_MAX_CHANNELS)
        return et_raise(ET_EFORMAT, "%s: %" PRId64 " channels, not 1 .. %d", name, layout->channels,
                        ET_AUDIO_MAX_CHANNELS);
    layout->frames = (int64_t)(available / ((uint64_t)layout->channels * (uint64_t)layout->bytes));
    if (layout->frames == 0)
        return et_raise(ET_EFORMAT, "%s: there are no samples in it", name);
    return ET_OK;
}

/* The 256 values of ITU-T G.711, full scale 1. */
static float alaw_value(unsigned code)
{
    unsigned a = code ^ 0x55, exponent = (a >> 4) & 7, mantissa = a & 15;
    int magnitude = exponent == 0 ? (int)(mantissa * 16 + 8) : (int)((mantissa * 16 + 264) << (exponent - 1));

    return (float)(a & 0x80 ? magnitude : -magnitude) / 32768.0f;
}

static float mulaw_value(unsigned code)
{
    unsigned u = ~code & 0xff, exponent = (u >> 4) & 7, mantissa = u & 15;
    int magnitude = (int)((mantissa * 8 + 132) << exponent) - 132;

    return (float)(u & 0x80 ? -magnitude : magnitude) / 32768.0f;
}

/* A sample of 1 to 4 bytes in the upper bytes of 32 bits, whatever its width: full scale is 2^31. */
static float pcm_value(const unsigned char *p, int bytes, bool big)
{
    uint32_t u = 0;

    for (int i = 0; i < bytes; i++)
        u |= (uint32_t)p[big ? i : bytes - 1 - i] << (24 - 8 * i);
    return (float)((double)(u ^ 0x80000000u) - 2147483648.0) / 2147483648.0f;
}

static float float_value(const unsigned char *p, int bytes, bool big)
{
    if (bytes == 4)
        return et_bits_f32(big ? et_load_u32be(p) : et_load_u32le(p));
    return (float)et_bits_f64(big ? et_load_u64be(p) : et_load_u64le(p));
}

/* n samples, `step` bytes apart. */
static void decode_samples(const et_audio_layout *l, const float *table, const unsigned char *p, size_t step,
                           int64_t n, float *out)
{
    bool big = l->big_endian;

    if (table)
        for (int64_t i = 0; i < n; i++, p += step)
            out[i] = table[*p];
    else if (l->code == ET_CODE_FLOAT)
        for (int64_t i = 0; i < n; i++, p += step)
            out[i] = float_value(p, l->bytes, big);
    else if (l->bytes == 2 && !big) /* nearly all files */
        for (int64_t i = 0; i < n; i++, p += step)
            out[i] = (float)((int)(et_load_u16le(p) ^ 0x8000u) - 32768) / 32768.0f;
    else
        for (int64_t i = 0; i < n; i++, p += step)
            out[i] = pcm_value(p, l->bytes, big);
}

et_tensor *et_audio_decode(et_reader *r, const et_audio_layout *layout)
{
    size_t bytes = (size_t)layout->bytes, frame = bytes * (size_t)layout->channels;
    size_t room = frame > BLOCK ? frame : BLOCK / frame * frame;
    int64_t at_once = (int64_t)(room / frame);
    float table[256];
    bool use_table = layout->code == ET_CODE_U8 || layout->code == ET_CODE_ALAW ||
                     layout->code == ET_CODE_MULAW;
    unsigned char *block;
    et_tensor *samples;
    float *out;

    for (unsigned i = 0; use_table && i < 256; i++)
        table[i] = layout->code == ET_CODE_U8     ? ((float)i - 128.0f) / 128.0f
                   : layout->code == ET_CODE_ALAW ? alaw_value(i)
                                                  : mulaw_value(i);
    block = et_alloc(room);
    samples = block ? et_empty_owned(ET_F32, ET_SHAPE(layout->channels, layout->frames)) : NULL;
    out = samples ? et_data_mut(samples) : NULL;
    for (int64_t i = 0; out && i < layout->frames; i += at_once) {
        int64_t n = layout->frames - i < at_once ? layout->frames - i : at_once;

        if (et_reader_at(r, layout->offset + (uint64_t)i * frame, block, (size_t)n * frame) < 0) {
            et_free(samples);
            samples = NULL;
            break;
        }
        for (int64_t c = 0; c < layout->channels; c++)
            decode_samples(layout, use_table ? table : NULL, block + (size_t)c * bytes, frame, n,
                           out + c * layout->frames + i);
    }
    et_dealloc(block);
    return samples;
}
