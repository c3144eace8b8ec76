/* Writing Standard MIDI files of format 1. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "datasets/midi.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/sort.h"
#include "tensor/strbuf.h"

enum { LONGEST_WAIT = (1 << 28) - 1 /* four bytes of seven bits */ };

/* At one tick: ends of notes that began before, then notes without length, then beginnings. */
typedef enum order { END, BRIEF, BEGIN } order;

typedef struct event {
    int64_t tick;
    const et_midi_note *note;
    order what;
} event;

static int compare_events(const void *x, const void *y)
{
    const event *a = x, *b = y;

    if (a->tick != b->tick)
        return a->tick < b->tick ? -1 : 1;
    if (a->what != b->what)
        return a->what < b->what ? -1 : 1;
    return a->note < b->note ? -1 : a->note > b->note;
}

static void put_bytes(et_strbuf *b, const unsigned char *p, size_t n) { et_strbuf_add(b, p, n); }

#define PUT(b, ...) \
    put_bytes(b, (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

static void put_u32(et_strbuf *b, uint32_t v)
{
    PUT(b, (unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v);
}

static void put_number(et_strbuf *b, uint32_t v)
{
    for (int shift = 21; shift > 0; shift -= 7)
        if (v >> shift)
            PUT(b, (unsigned char)(0x80 | (v >> shift & 0x7f)));
    PUT(b, (unsigned char)(v & 0x7f));
}

/* The wait from *at to tick, which must not be too long for a file. */
static et_status put_wait(et_strbuf *b, int64_t *at, int64_t tick)
{
    if (tick < *at || tick - *at > LONGEST_WAIT)
        return et_raise(ET_EINVAL, "midi: from tick %" PRId64 " to %" PRId64
                        " is not a wait that a file can hold", *at, tick);
    put_number(b, (uint32_t)(tick - *at));
    *at = tick;
    return ET_OK;
}

static void put_name(et_strbuf *b, const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > LONGEST_WAIT)
        return;
    PUT(b, 0, 0xff, 0x03);
    put_number(b, (uint32_t)n);
    et_strbuf_add(b, name, n);
}

/* Appends the chunk with the events in `body`, which is emptied, and an end at tick `end`. */
static et_status put_track(et_strbuf *file, et_strbuf *body, int64_t at, int64_t end)
{
    if (put_wait(body, &at, end > at ? end : at) < 0)
        return ET_EINVAL;
    PUT(body, 0xff, 0x2f, 0);
    if (body->size > UINT32_MAX)
        return et_raise(ET_EINVAL, "midi: a track of more than 4 GiB");
    et_strbuf_puts(file, "MTrk");
    put_u32(file, (uint32_t)body->size);
    et_strbuf_add(file, body->data, body->size);
    et_strbuf_reset(body);
    return ET_OK;
}

/* Tempo, meter and key, merged in order of time. */
static et_status put_conductor(et_strbuf *b, const et_midi *m, int64_t *at)
{
    int64_t t = 0, s = 0, k = 0;

    while (t < m->n_tempos || s < m->n_meters || k < m->n_keys) {
        int64_t meter = s < m->n_meters ? m->meters[s].tick : INT64_MAX;
        int64_t tempo = t < m->n_tempos ? m->tempos[t].tick : INT64_MAX;
        int64_t key = k < m->n_keys ? m->keys[k].tick : INT64_MAX;

        if (meter <= tempo && meter <= key) {
            unsigned char power = 0;
            while (1 << power < m->meters[s].denominator)
                power++;
            if (put_wait(b, at, meter) < 0)
                return ET_EINVAL;
            PUT(b, 0xff, 0x58, 4, (unsigned char)m->meters[s].numerator, power, 24, 8);
            s++;
        } else if (tempo <= key) {
            uint32_t usec = (uint32_t)m->tempos[t].usec;
            if (put_wait(b, at, tempo) < 0)
                return ET_EINVAL;
            PUT(b, 0xff, 0x51, 3, (unsigned char)(usec >> 16), (unsigned char)(usec >> 8),
                (unsigned char)usec);
            t++;
        } else {
            if (put_wait(b, at, key) < 0)
                return ET_EINVAL;
            PUT(b, 0xff, 0x59, 2, (unsigned char)m->keys[k].sharps, m->keys[k].minor);
            k++;
        }
    }
    return ET_OK;
}

/* The notes of the events, of one track, with a change of program before each note that needs one. */
static et_status put_notes(et_strbuf *b, const event *events, int64_t n, int64_t *at)
{
    uint8_t program[16] = {0};

    for (int64_t i = 0; i < n; i++) {
        const et_midi_note *note = events[i].note;

        if (events[i].what != END && program[note->channel] != note->program) {
            program[note->channel] = note->program;
            if (put_wait(b, at, events[i].tick) < 0)
                return ET_EINVAL;
            PUT(b, (unsigned char)(0xc0 | note->channel), note->program);
        }
        if (events[i].what != END) {
            if (put_wait(b, at, events[i].tick) < 0)
                return ET_EINVAL;
            PUT(b, (unsigned char)(0x90 | note->channel), note->pitch, note->velocity);
        }
        if (events[i].what != BEGIN) {
            if (put_wait(b, at, events[i].tick) < 0)
                return ET_EINVAL;
            PUT(b, (unsigned char)(0x80 | note->channel), note->pitch, 64);
        }
    }
    return ET_OK;
}

/* Events of all notes, those of a track together and in order: track t has events[begin[t]] ..
 * events[begin[t + 1] - 1]. begin has tracks + 2 elements, all 0. */
static et_status collect(const et_midi *m, event *events, int64_t *begin)
{
    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        if (et_midi_check_note(m, n) < 0)
            return ET_EINVAL;
        begin[n->track + 2] += n->duration == 0 ? 1 : 2;
    }
    for (int64_t t = 0; t < m->tracks.n; t++)
        begin[t + 2] += begin[t + 1];
    for (int64_t i = 0; i < m->n_notes; i++) { /* moves begin[t + 1] from track t's beginning to its end */
        const et_midi_note *n = &m->notes[i];
        int64_t *next = &begin[n->track + 1];
        if (n->duration == 0) {
            events[(*next)++] = (event){n->start, n, BRIEF};
        } else {
            events[(*next)++] = (event){n->start, n, BEGIN};
            events[(*next)++] = (event){n->start + n->duration, n, END};
        }
    }
    for (int64_t t = 0; t < m->tracks.n; t++)
        et_sort_elements(events + begin[t], (size_t)(begin[t + 1] - begin[t]), sizeof *events,
                         compare_events);
    return ET_OK;
}

static et_status put_file(et_strbuf *file, const et_midi *m, const event *events, const int64_t *begin)
{
    et_strbuf body = ET_STRBUF_INIT;
    int64_t at = 0, moved = m->tracks.n > 0 && begin[1] > 0; /* notes in track 0 */
    int64_t tracks = m->tracks.n + moved > 0 ? m->tracks.n + moved : 1;
    et_status s;

    if (tracks > 65535)
        return et_raise(ET_EINVAL, "midi: more than 65535 tracks");
    et_strbuf_puts(file, "MThd");
    put_u32(file, 6);
    PUT(file, 0, 1, (unsigned char)(tracks >> 8), (unsigned char)tracks);
    if (m->smpte_rate)
        PUT(file, (unsigned char)(256 - m->smpte_rate), (unsigned char)m->smpte_ticks);
    else
        PUT(file, (unsigned char)(m->resolution >> 8), (unsigned char)m->resolution);

    if (m->tracks.n > 0 && !moved)
        put_name(&body, m->tracks.items[0]);
    s = put_conductor(&body, m, &at);
    if (s == ET_OK)
        s = put_track(file, &body, at, m->end);
    for (int64_t t = moved ? 0 : 1; s == ET_OK && t < m->tracks.n; t++) {
        at = 0;
        put_name(&body, m->tracks.items[t]);
        s = put_notes(&body, events + begin[t], begin[t + 1] - begin[t], &at);
        if (s == ET_OK)
            s = put_track(file, &body, at, at);
    }
    if (s == ET_OK && (file->failed || body.failed))
        s = ET_ENOMEM;
    et_strbuf_free(&body);
    return s;
}

et_status et_midi_format(const et_midi *m, unsigned char **data, size_t *size)
{
    et_strbuf file = ET_STRBUF_INIT;
    event *events = et_alloc_zero((size_t)m->n_notes, 2 * sizeof *events);
    int64_t *begin = events ? et_alloc_zero((size_t)m->tracks.n + 2, sizeof *begin) : NULL;
    et_status s = begin ? collect(m, events, begin) : ET_ENOMEM;

    if (s == ET_OK)
        s = put_file(&file, m, events, begin);
    if (s == ET_OK) {
        *size = file.size;
        *data = (unsigned char *)et_strbuf_take(&file);
        s = *data ? ET_OK : ET_ENOMEM;
    }
    et_strbuf_free(&file);
    et_dealloc(begin);
    et_dealloc(events);
    return s;
}

et_status et_midi_write(const char *path, const et_midi *m)
{
    unsigned char *data;
    size_t size;
    et_status s = et_midi_format(m, &data, &size);

    if (s < 0)
        return et_fail_status(path);
    s = et_file_write(path, data, size);
    et_dealloc(data);
    return s;
}
