/* Events: cutting pieces into segments of them, and making pieces of them. */
#include "config.h"

#include "datasets/events.h"

#include <inttypes.h>
#include <math.h>

#include "datasets/grow.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"

enum { PIECE_TICKS = 480, PIECE_BPM = 100, PIECE_VELOCITY = 100 };

et_event_options et_event_defaults(void)
{
    et_event_options o = {
        .low = 21, .pitches = 88, .steps = 32, .steps_a_beat = 8, .bars = 4, .min_notes = 5,
        .melody_only = false};
    return o;
}

static et_status check_options(const et_event_options *o)
{
    if (o->low < 0 || o->pitches < 1 || o->pitches > 128 || o->low + o->pitches > 128 || o->steps < 1 ||
        o->steps > 1024 || o->steps_a_beat < 1 || o->steps_a_beat > PIECE_TICKS || o->bars < 1 ||
        o->bars > 1000000 || o->min_notes < 0)
        return et_raise(ET_EINVAL,
                        "events: bad options: low %d, pitches %d, steps %d, %d a beat, bars %d, min_notes %d",
                        o->low, o->pitches, o->steps, o->steps_a_beat, o->bars, o->min_notes);
    return ET_OK;
}

/* --- from a piece ------------------------------------------------------------------------- */

/* What et_segments_from_midi works on. */
typedef struct cutter {
    et_segments *s;
    const et_event_options *o;
    int64_t event_room, begin_room, bar_room;
    int64_t resolution;
} cutter;

static int steps_of(const cutter *c, int64_t ticks)
{
    double q = rint((double)ticks * c->o->steps_a_beat / (double)c->resolution);

    return q < c->o->steps ? (int)q : c->o->steps;
}

static et_status add_event(cutter *c, int pitch, int dt, int dur)
{
    et_event *events = et_grow(c->s->events, &c->event_room, c->s->n_events, sizeof *events);

    if (!events)
        return ET_ENOMEM;
    c->s->events = events;
    events[c->s->n_events++] = (et_event){(int16_t)pitch, (int16_t)dt, (int16_t)dur};
    return ET_OK;
}

/* Ends the segment that begins with bar `bar` and whose events stand behind the last one's, or takes them
 * back if they are too few. */
static et_status end_segment(cutter *c, int64_t bar)
{
    et_segments *s = c->s;
    int64_t *begin, *bars;

    if (s->n_events - s->begin[s->n] < c->o->min_notes || s->n_events == s->begin[s->n]) {
        s->n_events = s->begin[s->n];
        return ET_OK;
    }
    if (add_event(c, c->o->pitches, -1, -1) < 0)
        return ET_ENOMEM;
    begin = et_grow(s->begin, &c->begin_room, s->n + 1, sizeof *begin);
    if (!begin)
        return ET_ENOMEM;
    s->begin = begin;
    bars = et_grow(s->bar, &c->bar_room, s->n, sizeof *bars);
    if (!bars)
        return ET_ENOMEM;
    s->bar = bars;
    bars[s->n++] = bar;
    begin[s->n] = s->n_events;
    return ET_OK;
}

/* The first track that has notes other than drums; -1. */
static int32_t melody_track(const et_midi *m)
{
    int32_t track = -1;

    for (int64_t i = 0; i < m->n_notes; i++)
        if (m->notes[i].channel != ET_MIDI_DRUMS && (track < 0 || m->notes[i].track < track))
            track = m->notes[i].track;
    return track;
}

/* A note that counts: the piece has them by start and track, events are by start and pitch. */
typedef struct place {
    int64_t start, index;
    int pitch;
} place;

static int by_start_and_pitch(const void *x, const void *y)
{
    const place *a = x, *b = y;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->pitch != b->pitch)
        return a->pitch < b->pitch ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static place *sorted_notes(const et_midi *m, bool melody_only, int64_t *n)
{
    place *order = et_alloc_zero((size_t)m->n_notes, sizeof *order);
    int32_t track = melody_track(m);

    *n = 0;
    for (int64_t i = 0; order && i < m->n_notes; i++) {
        const et_midi_note *note = &m->notes[i];
        if (note->channel != ET_MIDI_DRUMS && (!melody_only || note->track == track))
            order[(*n)++] = (place){note->start, i, note->pitch};
    }
    if (order)
        et_sort_elements(order, (size_t)*n, sizeof *order, by_start_and_pitch);
    return order;
}

static et_status cut(cutter *c, const et_midi *m, const place *order, int64_t n)
{
    int numerator, denominator;
    double bar;
    int64_t bars, end = 0, segment = -1, before = -1, at;

    et_midi_main_meter(m, &numerator, &denominator);
    bar = (double)m->resolution * 4 * numerator / denominator;
    for (int64_t i = 0; i < n; i++) {
        const et_midi_note *note = &m->notes[order[i].index];
        if (note->start + note->duration > end)
            end = note->start + note->duration;
    }
    bars = (int64_t)floor((double)end / bar);
    for (int64_t i = 0; i < n; i++) {
        const et_midi_note *note = &m->notes[order[i].index];
        int pitch = note->pitch - c->o->low;

        at = (int64_t)floor((double)note->start / bar);
        if (at >= bars)
            break;
        if (at / c->o->bars != segment) {
            if (segment >= 0 && end_segment(c, segment * c->o->bars) < 0)
                return ET_ENOMEM;
            segment = at / c->o->bars;
        }
        pitch = pitch < 0 ? 0 : pitch >= c->o->pitches ? c->o->pitches - 1 : pitch;
        if (add_event(c, pitch, before < 0 ? 0 : steps_of(c, note->start - before),
                      steps_of(c, note->duration)) < 0)
            return ET_ENOMEM;
        before = note->start;
    }
    return segment >= 0 ? end_segment(c, segment * c->o->bars) : ET_OK;
}

et_status et_segments_from_midi(const et_midi *m, const et_event_options *options, et_segments *out)
{
    et_event_options o = options ? *options : et_event_defaults();
    cutter c = {.s = out, .o = &o, .resolution = m->resolution, .begin_room = 0};
    int64_t n;
    place *order;
    et_status s;

    *out = (et_segments){0};
    if (check_options(&o) < 0)
        return et_error_status();
    out->begin = et_grow(NULL, &c.begin_room, 0, sizeof *out->begin);
    if (!out->begin)
        return ET_ENOMEM;
    out->begin[0] = 0;
    order = sorted_notes(m, o.melody_only, &n);
    s = order ? cut(&c, m, order, n) : ET_ENOMEM;
    et_dealloc(order);
    if (s < 0)
        et_segments_free(out);
    return s;
}

void et_segments_free(et_segments *s)
{
    et_dealloc(s->events);
    et_dealloc(s->begin);
    et_dealloc(s->bar);
    *s = (et_segments){0};
}

/* --- to a piece ----------------------------------------------------------------------------- */

et_midi *et_events_to_midi(const et_event *events, int64_t n, const et_event_options *options)
{
    et_event_options o = options ? *options : et_event_defaults();
    double step = (double)PIECE_TICKS / o.steps_a_beat;
    int64_t at = 0; /* steps */
    et_midi *m;

    if (check_options(&o) < 0)
        return NULL;
    m = et_midi_new(PIECE_TICKS);
    if (!m || et_midi_add_track(m, "") < 0 || et_midi_add_tempo(m, 0, PIECE_BPM) < 0)
        goto fail;
    for (int64_t i = 0; i < n && events[i].pitch != o.pitches; i++) {
        const et_event *e = &events[i];
        et_midi_note note = {.velocity = PIECE_VELOCITY};

        if (e->pitch < 0 || e->pitch > o.pitches || e->dt < 0 || e->dt > o.steps || e->dur < 0 ||
            e->dur > o.steps) {
            et_raise(ET_EINVAL, "events: event %" PRId64 " is pitch %d, dt %d, dur %d", i, e->pitch, e->dt,
                     e->dur);
            goto fail;
        }
        at += i > 0 ? e->dt : 0;
        note.start = llrint((double)at * step);
        note.duration = llrint((e->dur > 0 ? e->dur : 0.25) * step);
        if (note.duration < 1)
            note.duration = 1;
        note.pitch = (uint8_t)(o.low + e->pitch);
        if (et_midi_add_note(m, note) < 0)
            goto fail;
    }
    et_midi_sort(m);
    return m;
fail:
    et_midi_free(m);
    return NULL;
}

et_status et_events_transpose(et_tensor *x, const et_tensor *lengths, int shift,
                              const et_event_options *options)
{
    et_event_options o = options ? *options : et_event_defaults();
    const int32_t *n;
    float *v;

    if (check_options(&o) < 0)
        return et_error_status();
    if (x->dtype != ET_F32 || lengths->dtype != ET_I32)
        return et_raise(ET_EDTYPE, "events: x is %s and lengths %s, not float32 and int32",
                        et_dtype_name(x->dtype), et_dtype_name(lengths->dtype));
    if (x->ndim != 3 || x->shape[2] != 3 || !et_is_contiguous(x) || lengths->ndim != 1 ||
        lengths->shape[0] != x->shape[0] || !et_is_contiguous(lengths))
        return et_raise(ET_ESHAPE, "events: x must be [N, T, 3] and lengths [N]");
    v = et_data_mut(x);
    n = et_data(lengths);
    if (!v || !n)
        return et_error_status();
    shift = (shift % o.pitches + o.pitches) % o.pitches;
    for (int64_t i = 0; i < x->shape[0]; i++)
        for (int64_t t = 0; t < x->shape[1] && t < n[i]; t++) {
            float *pitch = &v[(i * x->shape[1] + t) * 3];
            if (*pitch >= 0 && *pitch < (float)o.pitches)
                *pitch = (float)(((int)*pitch + shift) % o.pitches);
        }
    return ET_OK;
}
