/* AU, also called SND: Sun's and NeXT's files. Source: the NeXT and Sun man pages of soundstruct and
 * audio files, as in the header's own fields: magic, offset, size, encoding, rate, channels. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/audio_format.h"
#include "tensor/bytes.h"

enum { HEADER = 24 };

/* By number of the encoding. */
static const struct au_encoding {
    unsigned number;
    et_sample_code code;
    int bytes;
} encodings[] = {{1, ET_CODE_MULAW, 1}, {2, ET_CODE_PCM, 1},   {3, ET_CODE_PCM, 2},   {4, ET_CODE_PCM, 3},
                 {5, ET_CODE_PCM, 4},   {6, ET_CODE_FLOAT, 4}, {7, ET_CODE_FLOAT, 8}, {27, ET_CODE_ALAW, 1}};

et_status et_au_layout(et_reader *r, et_audio_layout *l)
{
    const char *name = et_reader_name(r);
    unsigned char head[HEADER];
    uint64_t size = et_reader_size(r), rest, length;

    memset(l, 0, sizeof *l);
    if (et_reader_at(r, 0, head, HEADER) < 0)
        return et_error_status();
    l->container = "AU";
    l->big_endian = head[0] == '.'; /* ".snd", DEC's ".sd"; the reverse from a little-endian machine */
    l->offset = l->big_endian ? et_load_u32be(head + 4) : et_load_u32le(head + 4);
    length = l->big_endian ? et_load_u32be(head + 8) : et_load_u32le(head + 8);
    l->other = l->big_endian ? et_load_u32be(head + 12) : et_load_u32le(head + 12);
    l->rate = l->big_endian ? et_load_u32be(head + 16) : et_load_u32le(head + 16);
    l->channels = l->big_endian ? et_load_u32be(head + 20) : et_load_u32le(head + 20);
    if (l->offset < HEADER)
        return et_raise(ET_EFORMAT, "%s: its samples begin at byte %" PRIu64 ", inside the header", name,
                        l->offset);
    if (l->offset > size)
        return et_raise(ET_EFORMAT, "%s: truncated: its samples begin at byte %" PRIu64 ", it has %" PRIu64,
                        name, l->offset, size);
    rest = size - l->offset;
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++)
        if (encodings[i].number == l->other) {
            l->code = encodings[i].code;
            l->bytes = encodings[i].bytes;
            l->bits = 8 * l->bytes;
        }
    if (l->code == ET_CODE_OTHER)
        return ET_OK;
    if (length == UINT32_MAX) /* unknown when the header was written */
        length = rest;
    if (length > rest)
        return et_raise(ET_EFORMAT,
                        "%s: truncated: %" PRIu64 " bytes of samples are announced, %" PRIu64 " are there",
                        name, length, rest);
    return et_audio_layout_finish(r, l, length);
}
