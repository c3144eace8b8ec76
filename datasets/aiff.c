/* AIFF and AIFF-C. Source: Apple, "Audio Interchange File Format AIFF-C", draft of 1991. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "datasets/audio_format.h"
#include "tensor/bytes.h"

enum { COMM_AIFF = 18, COMM_AIFC = 22, SSND_HEAD = 8 };

/* By the four letters of the compression. Bytes 0: as many as the sample's bits need. */
static const struct aiff_encoding {
    char letters[5];
    et_sample_code code;
    int bytes;
    bool little_endian;
} encodings[] = {
    {"NONE", ET_CODE_PCM, 0, false},   {"twos", ET_CODE_PCM, 0, false},   {"sowt", ET_CODE_PCM, 0, true},
    {"raw ", ET_CODE_U8, 1, false},    {"in24", ET_CODE_PCM, 3, false},   {"in32", ET_CODE_PCM, 4, false},
    {"42ni", ET_CODE_PCM, 3, true},    {"23ni", ET_CODE_PCM, 4, true},    {"fl32", ET_CODE_FLOAT, 4, false},
    {"FL32", ET_CODE_FLOAT, 4, false}, {"fl64", ET_CODE_FLOAT, 8, false}, {"FL64", ET_CODE_FLOAT, 8, false},
    {"alaw", ET_CODE_ALAW, 1, false},  {"ALAW", ET_CODE_ALAW, 1, false},  {"ulaw", ET_CODE_MULAW, 1, false},
    {"ULAW", ET_CODE_MULAW, 1, false}};

/* An 80-bit extended number as a rate: the nearest whole one, 0 where it is none in range. */
static int64_t extended_rate(const unsigned char *p)
{
    int exponent = et_load_u16be(p) & 0x7fff;
    uint64_t mantissa = et_load_u64be(p + 2);
    double rate = ldexp((double)mantissa, exponent - 16383 - 63);

    return p[0] & 0x80 || !(rate <= ET_AUDIO_MAX_RATE) ? 0 : (int64_t)(rate + 0.5);
}

static et_status parse_comm(const char *name, const unsigned char *p, bool aifc, et_audio_layout *l)
{
    const char *letters = aifc ? (const char *)p + 18 : "NONE";

    l->channels = et_load_u16be(p);
    l->frames = et_load_u32be(p + 2);
    l->bits = et_load_u16be(p + 6);
    l->rate = extended_rate(p + 8);
    l->other = et_load_u32be((const unsigned char *)letters);
    l->code = ET_CODE_OTHER;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if (memcmp(encodings[i].letters, letters, 4) == 0) {
            l->code = encodings[i].code;
            l->bytes = encodings[i].bytes;
            l->big_endian = !encodings[i].little_endian;
        }
    if (l->code != ET_CODE_PCM && l->code != ET_CODE_U8)
        return ET_OK;
    if (l->bytes == 0)
        l->bytes = (l->bits + 7) / 8;
    if (l->bits < 1 || l->bytes > 4 || l->bits > 8 * l->bytes)
        return et_raise(ET_EFORMAT, "%s: samples of %d bits", name, l->bits);
    return ET_OK;
}

/* The COMM chunk of `length` bytes at `at`: form of the samples. */
static et_status read_comm(et_reader *r, uint64_t at, uint64_t length, bool aifc, et_audio_layout *l)
{
    const uint64_t least = aifc ? COMM_AIFC : COMM_AIFF;
    unsigned char head[COMM_AIFC];

    if (length < least)
        return et_raise(ET_EFORMAT, "%s: a COMM chunk of %" PRIu64 " bytes, not %" PRIu64, et_reader_name(r),
                        length, least);
    if (et_reader_at(r, at, head, (size_t)least) < 0)
        return et_error_status();
    return parse_comm(et_reader_name(r), head, aifc, l);
}

/* The SSND chunk of `length` bytes at `at`: where the samples are, and their bytes. */
static et_status read_ssnd(et_reader *r, uint64_t at, uint64_t length, et_audio_layout *l, uint64_t *samples)
{
    unsigned char head[SSND_HEAD];

    if (length < SSND_HEAD)
        return et_raise(ET_EFORMAT, "%s: an SSND chunk of %" PRIu64 " bytes", et_reader_name(r), length);
    if (et_reader_at(r, at, head, SSND_HEAD) < 0)
        return et_error_status();
    const uint64_t skip = SSND_HEAD + (uint64_t)et_load_u32be(head);
    if (skip > length)
        return et_raise(ET_EFORMAT, "%s: its samples begin behind the end of their chunk", et_reader_name(r));
    l->offset = at + skip;
    *samples = length - skip;
    return ET_OK;
}

et_status et_aiff_layout(et_reader *r, et_audio_layout *l)
{
    const char *name = et_reader_name(r);
    uint64_t size = et_reader_size(r), at = 12, samples = 0;
    unsigned char head[12];
    bool aifc, have_comm = false, have_samples = false;
    int64_t frames;

    memset(l, 0, sizeof *l);
    if (et_reader_at(r, 0, head, 12) < 0)
        return et_error_status();
    aifc = memcmp(head + 8, "AIFC", 4) == 0;
    l->container = aifc ? "AIFF-C" : "AIFF";
    if (!aifc && memcmp(head + 8, "AIFF", 4) != 0)
        return et_raise(ET_EFORMAT, "%s: an IFF file, but not of sound", name);
    while (!have_comm || !have_samples) {
        uint64_t length;

        if (size - at < 8)
            return et_raise(ET_EFORMAT, "%s: truncated: it ends before its %s chunk", name,
                            have_comm ? "SSND" : "COMM");
        if (et_reader_at(r, at, head, 8) < 0)
            return et_error_status();
        at += 8;
        length = et_load_u32be(head + 4);
        if (length > size - at)
            return et_raise(ET_EFORMAT, "%s: truncated in a chunk of %" PRIu64 " bytes at byte %" PRIu64,
                            name, length, at);
        if (memcmp(head, "COMM", 4) == 0 && !have_comm) {
            if (read_comm(r, at, length, aifc, l) < 0)
                return et_error_status();
            have_comm = true;
        } else if (memcmp(head, "SSND", 4) == 0 && !have_samples) {
            if (read_ssnd(r, at, length, l, &samples) < 0)
                return et_error_status();
            have_samples = true;
        }
        at += length;
        if (length % 2 == 1 && at < size)
            at++;
    }
    if (l->code == ET_CODE_OTHER)
        return ET_OK;
    frames = l->frames;
    if (frames > 0 &&
        (uint64_t)frames > samples / ((uint64_t)l->channels * (uint64_t)l->bytes + !l->channels))
        return et_raise(ET_EFORMAT, "%s: truncated: %" PRId64 " frames are announced in %" PRIu64 " bytes",
                        name, frames, samples);
    return et_audio_layout_finish(r, l, (uint64_t)frames * (uint64_t)l->channels * (uint64_t)l->bytes);
}
