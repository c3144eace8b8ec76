/* Reading Standard MIDI files ("Standard MIDI Files 1.0", MIDI Manufacturers Association 1988). */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "datasets/grow.h"
#include "datasets/midi.h"
#include "tensor/alloc.h"
#include "tensor/bytes.h"
#include "tensor/file.h"

enum {
    NONE = -1,
    FILE_LIMIT = 1 << 28, /* bytes; the largest pieces have some millions */
    META = 0xff,
    META_NAME = 0x03,
    META_END = 0x2f,
    META_TEMPO = 0x51,
    META_METER = 0x58,
    META_KEY = 0x59
};

/* Where the reader stands. Of the notes that sound, those of one channel and pitch form a queue: first
 * and last hold indices of notes, and the duration of a note holds the index of the next (or NONE). */
typedef struct reader {
    et_midi *m;
    const unsigned char *data;
    size_t at, end; /* end of the chunk */
    const char *name;
    int32_t track;
    int64_t tick;
    uint8_t program[16];
    int64_t open; /* notes that sound */
    int64_t first[16][128], last[16][128];
    int64_t track_tempos, track_meters, track_keys; /* where this track's begin in the arrays */
} reader;

static et_status ET_PRINTF(2, 3) bad(const reader *r, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return et_raise(ET_EFORMAT, "%s: byte %zu: %s", r->name, r->at, text);
}

static et_status byte(reader *r, int *out)
{
    if (r->at >= r->end)
        return bad(r, "track %d ends in the middle of an event", (int)r->track);
    *out = r->data[r->at++];
    return ET_OK;
}

/* A number of seven bits a byte, the highest first; four bytes at most. */
static et_status number(reader *r, uint32_t *out)
{
    uint32_t v = 0;
    int c = 0;

    for (int i = 0; i < 4; i++) {
        if (byte(r, &c) < 0)
            return ET_EFORMAT;
        v = v << 7 | (uint32_t)(c & 0x7f);
        if (c < 0x80) {
            *out = v;
            return ET_OK;
        }
    }
    return bad(r, "number of more than four bytes");
}

/* A data byte of a channel's event. */
static et_status value(reader *r, int *out)
{
    if (byte(r, out) < 0)
        return ET_EFORMAT;
    return *out < 0x80 ? ET_OK : bad(r, "status 0x%02x where a value belongs", *out);
}

/* --- notes ------------------------------------------------------------------------------ */

static et_status note_on(reader *r, int channel, int pitch, int velocity)
{
    et_midi_note note = {.start = r->tick,
                         .track = r->track,
                         .pitch = (uint8_t)pitch,
                         .velocity = (uint8_t)velocity,
                         .channel = (uint8_t)channel,
                         .program = r->program[channel]};
    int64_t i = r->m->n_notes;

    if (et_midi_add_note(r->m, note) < 0)
        return et_error_status();
    r->m->notes[i].duration = NONE;
    if (r->first[channel][pitch] == NONE)
        r->first[channel][pitch] = i;
    else
        r->m->notes[r->last[channel][pitch]].duration = i;
    r->last[channel][pitch] = i;
    r->open++;
    return ET_OK;
}

/* The note of that channel and pitch that began first ends. */
static void note_off(reader *r, int channel, int pitch)
{
    int64_t i = r->first[channel][pitch];
    et_midi_note *note;

    if (i == NONE) {
        r->m->stray++;
        return;
    }
    note = &r->m->notes[i];
    r->first[channel][pitch] = note->duration;
    note->duration = r->tick - note->start;
    r->open--;
}

static void end_hanging(reader *r)
{
    r->m->hanging += r->open;
    for (int c = 0; c < 16 && r->open > 0; c++)
        for (int p = 0; p < 128 && r->open > 0; p++)
            while (r->first[c][p] != NONE)
                note_off(r, c, p);
}

/* --- events ------------------------------------------------------------------------------ */

/* Where the last event of its kind in this track stands at the same tick it is replaced. */
static et_status tempo(reader *r, const unsigned char *p)
{
    et_midi *m = r->m;
    int32_t usec = p[0] << 16 | p[1] << 8 | p[2];

    if (usec == 0)
        return bad(r, "tempo of 0 microseconds a quarter note");
    if (m->n_tempos > r->track_tempos && m->tempos[m->n_tempos - 1].tick == r->tick)
        m->n_tempos--;
    if (et_midi_add_tempo(m, r->tick, 120) < 0)
        return et_error_status();
    m->tempos[m->n_tempos - 1].usec = usec;
    return ET_OK;
}

static et_status meter(reader *r, const unsigned char *p)
{
    et_midi *m = r->m;

    if (p[0] == 0 || p[1] > 6)
        return bad(r, "meter of %d over 2 to the %d", p[0], p[1]);
    if (m->n_meters > r->track_meters && m->meters[m->n_meters - 1].tick == r->tick)
        m->n_meters--;
    return et_midi_add_meter(m, r->tick, p[0], 1 << p[1]);
}

static et_status key(reader *r, const unsigned char *p)
{
    et_midi *m = r->m;
    int sharps = p[0] < 0x80 ? p[0] : p[0] - 256;

    if (sharps < -7 || sharps > 7 || p[1] > 1)
        return bad(r, "key of %d sharps, mode %d", sharps, p[1]);
    if (m->n_keys > r->track_keys && m->keys[m->n_keys - 1].tick == r->tick)
        m->n_keys--;
    return et_midi_add_key(m, r->tick, sharps, p[1] == 1);
}

static et_status track_name(reader *r, const unsigned char *p, size_t size)
{
    char **slot = &r->m->tracks.items[r->track], *s;

    if (**slot != '\0') /* the first name counts */
        return ET_OK;
    s = et_alloc(size + 1);
    if (!s)
        return ET_ENOMEM;
    memcpy(s, p, size);
    s[size] = '\0'; /* a NUL within ends it earlier */
    et_dealloc(*slot);
    *slot = s;
    return ET_OK;
}

static et_status meta(reader *r, bool *ended)
{
    const unsigned char *p;
    uint32_t size = 0;
    int type = 0;

    if (byte(r, &type) < 0 || number(r, &size) < 0)
        return ET_EFORMAT;
    if (size > r->end - r->at)
        return bad(r, "meta event 0x%02x of %" PRIu32 " bytes goes beyond the end of track %d", type, size,
                   (int)r->track);
    p = r->data + r->at;
    r->at += size;
    switch (type) {
    case META_END:
        *ended = true;
        return ET_OK;
    case META_NAME:
        return track_name(r, p, size);
    case META_TEMPO:
        return size == 3 ? tempo(r, p) : bad(r, "tempo of %" PRIu32 " bytes, not 3", size);
    case META_METER:
        return size >= 2 ? meter(r, p) : bad(r, "meter of %" PRIu32 " bytes, not 4", size);
    case META_KEY:
        return size == 2 ? key(r, p) : bad(r, "key of %" PRIu32 " bytes, not 2", size);
    default:
        return ET_OK;
    }
}

/* An event of a channel; its first value has been read where the status was running. */
static et_status channel_event(reader *r, int status, int first)
{
    int channel = status & 15, second = 0;

    if (first == NONE && value(r, &first) < 0)
        return ET_EFORMAT;
    if ((status & 0xe0) != 0xc0 && value(r, &second) < 0) /* program and pressure have one value */
        return ET_EFORMAT;
    switch (status & 0xf0) {
    case 0x90:
        if (second > 0)
            return note_on(r, channel, first, second);
        /* fall through */
    case 0x80:
        note_off(r, channel, first);
        return ET_OK;
    case 0xc0:
        r->program[channel] = (uint8_t)first;
        return ET_OK;
    default:
        return ET_OK;
    }
}

static et_status read_track(reader *r)
{
    int status = 0, c = 0;
    bool ended = false;
    uint32_t wait = 0, size = 0;
    et_status s;

    if (et_midi_add_track(r->m, "") < 0)
        return et_error_status();
    r->tick = 0;
    memset(r->program, 0, sizeof r->program);
    r->track_tempos = r->m->n_tempos;
    r->track_meters = r->m->n_meters;
    r->track_keys = r->m->n_keys;
    while (!ended && r->at < r->end) {
        if (number(r, &wait) < 0)
            return ET_EFORMAT;
        r->tick += wait;
        if (r->tick > ET_MIDI_MAX_TICK)
            return bad(r, "event later than any piece lasts");
        if (byte(r, &c) < 0)
            return ET_EFORMAT;
        if (c < 0x80) {
            if (status == 0)
                return bad(r, "value 0x%02x where a status belongs", c);
            s = channel_event(r, status, c);
        } else if (c < 0xf0) {
            status = c;
            s = channel_event(r, status, NONE);
        } else if (c == META) {
            s = meta(r, &ended);
        } else if (c == 0xf0 || c == 0xf7) {
            if (number(r, &size) < 0)
                return ET_EFORMAT;
            if (size > r->end - r->at)
                return bad(r, "system exclusive message of %" PRIu32 " bytes goes beyond the end of track %d",
                           size, (int)r->track);
            r->at += size;
            s = ET_OK;
        } else {
            return bad(r, "status 0x%02x may not stand in a file", c);
        }
        if (s < 0)
            return et_error_status();
    }
    end_hanging(r);
    if (r->tick > r->m->end)
        r->m->end = r->tick;
    return ET_OK;
}

/* --- chunks ------------------------------------------------------------------------------ */

/* The header: format, number of tracks, what a tick is. */
static et_status read_header(reader *r, size_t size, int *tracks)
{
    const unsigned char *p = r->data;
    uint32_t length;
    int division, rate;

    if (size < 14 || memcmp(p, "MThd", 4) != 0)
        return bad(r, size < 14 && memcmp(p, "MThd", size < 4 ? size : 4) == 0
                          ? "a MIDI file's header has 14 bytes, here are %zu"
                          : "not a MIDI file (no MThd; %zu bytes)",
                   size);
    length = et_load_u32be(p + 4);
    if (length < 6 || length > size - 8)
        return bad(r, "header of %" PRIu32 " bytes", length);
    r->m->format = et_load_u16be(p + 8);
    *tracks = et_load_u16be(p + 10);
    division = et_load_u16be(p + 12);
    if (r->m->format > 2)
        return bad(r, "format %d is unknown", r->m->format);
    if (r->m->format == 2)
        return bad(r, "format 2 (separate patterns) is not read, 0 and 1 are");
    if (*tracks < 1 || (r->m->format == 0 && *tracks != 1))
        return bad(r, "format %d with %d tracks", r->m->format, *tracks);
    if (division < 0x8000) {
        if (division == 0)
            return bad(r, "0 ticks a quarter note");
        r->m->resolution = division;
    } else {
        rate = 256 - (division >> 8);
        if ((rate != 24 && rate != 25 && rate != 29 && rate != 30) || (division & 0xff) == 0)
            return bad(r, "%d frames a second of %d ticks", rate, division & 0xff);
        r->m->smpte_rate = rate;
        r->m->smpte_ticks = division & 0xff;
        r->m->resolution = rate * (division & 0xff) / 2;
    }
    r->at = 8 + (size_t)length;
    return ET_OK;
}

static et_status read_all(reader *r, size_t size)
{
    int tracks = 0;

    if (read_header(r, size, &tracks) < 0)
        return et_error_status();
    while (r->m->tracks.n < tracks) {
        const unsigned char *p = r->data + r->at;
        uint32_t length;

        if (size - r->at < 8)
            return bad(r, "the file ends after %" PRId64 " of %d tracks", r->m->tracks.n, tracks);
        length = et_load_u32be(p + 4);
        if (length > size - r->at - 8)
            return bad(r, "chunk of %" PRIu32 " bytes, but the file has %zu more", length, size - r->at - 8);
        r->at += 8;
        r->end = r->at + length;
        if (memcmp(p, "MTrk", 4) == 0) {
            size_t end = r->end;

            r->track = (int32_t)r->m->tracks.n;
            if (read_track(r) < 0)
                return et_error_status();
            r->at = end;
        } else {
            r->at = r->end;
        }
    }
    return ET_OK;
}

et_midi *et_midi_parse(const void *data, size_t size, const char *name)
{
    reader *r;
    et_midi *m = et_midi_new(480);

    if (!m)
        return NULL;
    r = et_alloc_zero(1, sizeof *r);
    if (!r) {
        et_midi_free(m);
        return NULL;
    }
    r->m = m;
    r->data = data;
    r->name = name;
    memset(r->first, 0xff, sizeof r->first); /* NONE */
    if (read_all(r, size) < 0) {
        et_midi_free(m);
        m = NULL;
    } else {
        et_midi_sort(m);
    }
    et_dealloc(r);
    return m;
}

et_midi *et_midi_read(const char *path)
{
    unsigned char *data;
    size_t size;
    et_midi *m;

    if (et_file_read(path, FILE_LIMIT, &data, &size) < 0)
        return NULL;
    m = et_midi_parse(data, size, path);
    et_dealloc(data);
    return m;
}
