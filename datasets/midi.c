/* Pieces in memory: building, putting in order, the clock, the grid. */
#include "config.h"

#include "datasets/midi.h"

#include <inttypes.h>
#include <math.h>

#include "datasets/grow.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"

enum { DEFAULT_TEMPO = 500000 /* us a quarter note: 120 a minute */ };

et_midi *et_midi_new(int64_t resolution)
{
    et_midi *m;

    if (resolution < 1 || resolution > 32767) {
        et_raise(ET_EINVAL, "midi: %" PRId64 " ticks a quarter note are outside 1 .. 32767", resolution);
        return NULL;
    }
    m = et_alloc_zero(1, sizeof *m);
    if (m) {
        m->format = 1;
        m->resolution = resolution;
    }
    return m;
}

void et_midi_free(et_midi *m)
{
    if (!m)
        return;
    et_names_free(&m->tracks);
    et_dealloc(m->notes);
    et_dealloc(m->tempos);
    et_dealloc(m->meters);
    et_dealloc(m->keys);
    et_dealloc(m);
}

et_status et_midi_add_track(et_midi *m, const char *name)
{
    if (m->tracks.n >= 65535)
        return et_raise(ET_EINVAL, "midi: more than 65535 tracks");
    return et_names_add(&m->tracks, name);
}

et_status et_midi_check_note(const et_midi *m, const et_midi_note *n)
{
    if (n->start < 0 || n->start > ET_MIDI_MAX_TICK || n->duration < 0 || n->duration > ET_MIDI_MAX_TICK ||
        n->track < 0 || n->track >= m->tracks.n || n->pitch > 127 || n->velocity < 1 || n->velocity > 127 ||
        n->channel > 15 || n->program > 127)
        return et_raise(ET_EINVAL,
                        "midi: no such note: start %" PRId64 ", duration %" PRId64 ", track %d of %" PRId64
                        ", pitch %d, velocity %d, channel %d, program %d",
                        n->start, n->duration, (int)n->track, m->tracks.n, n->pitch, n->velocity, n->channel,
                        n->program);
    return ET_OK;
}

et_status et_midi_add_note(et_midi *m, et_midi_note n)
{
    et_midi_note *notes;

    if (et_midi_check_note(m, &n) < 0)
        return ET_EINVAL;
    notes = et_grow(m->notes, &m->note_room, m->n_notes, sizeof *notes);
    if (!notes)
        return ET_ENOMEM;
    m->notes = notes;
    notes[m->n_notes++] = n;
    return ET_OK;
}

et_status et_midi_add_tempo(et_midi *m, int64_t tick, double bpm)
{
    double usec = 60e6 / bpm;
    et_midi_tempo *tempos;

    if (tick < 0 || tick > ET_MIDI_MAX_TICK || !(bpm > 0) || !(usec >= 0.5 && usec < (1 << 24) - 0.5))
        return et_raise(ET_EINVAL, "midi: no such tempo: %g a minute at tick %" PRId64, bpm, tick);
    tempos = et_grow(m->tempos, &m->tempo_room, m->n_tempos, sizeof *tempos);
    if (!tempos)
        return ET_ENOMEM;
    m->tempos = tempos;
    tempos[m->n_tempos++] = (et_midi_tempo){tick, (int32_t)lrint(usec), 0};
    return ET_OK;
}

et_status et_midi_add_meter(et_midi *m, int64_t tick, int numerator, int denominator)
{
    et_midi_meter *meters;

    if (tick < 0 || tick > ET_MIDI_MAX_TICK || numerator < 1 || numerator > 255 || denominator < 1 ||
        denominator > 64 || (denominator & (denominator - 1)) != 0)
        return et_raise(ET_EINVAL, "midi: no such meter: %d/%d at tick %" PRId64, numerator, denominator,
                        tick);
    meters = et_grow(m->meters, &m->meter_room, m->n_meters, sizeof *meters);
    if (!meters)
        return ET_ENOMEM;
    m->meters = meters;
    meters[m->n_meters++] = (et_midi_meter){tick, numerator, denominator};
    return ET_OK;
}

et_status et_midi_add_key(et_midi *m, int64_t tick, int sharps, bool minor)
{
    et_midi_key *keys;

    if (tick < 0 || tick > ET_MIDI_MAX_TICK || sharps < -7 || sharps > 7)
        return et_raise(ET_EINVAL, "midi: no such key: %d sharps at tick %" PRId64, sharps, tick);
    keys = et_grow(m->keys, &m->key_room, m->n_keys, sizeof *keys);
    if (!keys)
        return ET_ENOMEM;
    m->keys = keys;
    keys[m->n_keys++] = (et_midi_key){tick, sharps, minor};
    return ET_OK;
}

/* --- order ------------------------------------------------------------------------------- */

static int by_number(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int compare_notes(const void *x, const void *y)
{
    const et_midi_note *a = x, *b = y;
    int c = by_number(a->start, b->start);

    c = c ? c : by_number(a->track, b->track);
    c = c ? c : by_number(a->pitch, b->pitch);
    c = c ? c : by_number(a->channel, b->channel);
    c = c ? c : by_number(a->duration, b->duration);
    c = c ? c : by_number(a->velocity, b->velocity);
    return c ? c : by_number(a->program, b->program);
}

static int compare_tempos(const void *x, const void *y)
{
    const et_midi_tempo *a = x, *b = y;
    int c = by_number(a->tick, b->tick);

    return c ? c : by_number(a->usec, b->usec);
}

static int compare_meters(const void *x, const void *y)
{
    const et_midi_meter *a = x, *b = y;
    int c = by_number(a->tick, b->tick);

    c = c ? c : by_number(a->numerator, b->numerator);
    return c ? c : by_number(a->denominator, b->denominator);
}

static int compare_keys(const void *x, const void *y)
{
    const et_midi_key *a = x, *b = y;
    int c = by_number(a->tick, b->tick);

    c = c ? c : by_number(a->sharps, b->sharps);
    return c ? c : by_number(a->minor, b->minor);
}

void et_midi_sort(et_midi *m)
{
    double seconds = 0;

    et_sort_elements(m->notes, (size_t)m->n_notes, sizeof *m->notes, compare_notes);
    et_sort_elements(m->tempos, (size_t)m->n_tempos, sizeof *m->tempos, compare_tempos);
    et_sort_elements(m->meters, (size_t)m->n_meters, sizeof *m->meters, compare_meters);
    et_sort_elements(m->keys, (size_t)m->n_keys, sizeof *m->keys, compare_keys);
    for (int64_t i = 0; i < m->n_notes; i++)
        if (m->notes[i].start + m->notes[i].duration > m->end)
            m->end = m->notes[i].start + m->notes[i].duration;
    for (int64_t i = 0; i < m->n_tempos; i++) {
        et_midi_tempo *t = &m->tempos[i];
        int64_t from = i > 0 ? t[-1].tick : 0;
        double usec = i > 0 ? t[-1].usec : DEFAULT_TEMPO;

        seconds += (double)(t->tick - from) / (double)m->resolution * usec * 1e-6;
        t->seconds = seconds;
    }
}

/* --- the clock ----------------------------------------------------------------------------- */

/* Seconds that a tick of an SMPTE file lasts. 29 stands for 30000/1001. */
static double smpte_tick(const et_midi *m)
{
    double rate = m->smpte_rate == 29 ? 30000.0 / 1001.0 : m->smpte_rate;

    return 1 / (rate * m->smpte_ticks);
}

double et_midi_seconds(const et_midi *m, double tick)
{
    int64_t lo = 0, hi = m->n_tempos; /* tempos before lo begin at or before tick, from hi on after it */
    double from = 0, seconds = 0, usec = DEFAULT_TEMPO;

    if (m->smpte_rate)
        return tick * smpte_tick(m);
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if ((double)m->tempos[mid].tick <= tick)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo > 0) {
        from = (double)m->tempos[lo - 1].tick;
        seconds = m->tempos[lo - 1].seconds;
        usec = m->tempos[lo - 1].usec;
    }
    return seconds + (tick - from) / (double)m->resolution * usec * 1e-6;
}

double et_midi_tick(const et_midi *m, double seconds)
{
    int64_t lo = 0, hi = m->n_tempos;
    double from = 0, began = 0, usec = DEFAULT_TEMPO;

    if (m->smpte_rate)
        return seconds / smpte_tick(m);
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (m->tempos[mid].seconds <= seconds)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo > 0) {
        from = (double)m->tempos[lo - 1].tick;
        began = m->tempos[lo - 1].seconds;
        usec = m->tempos[lo - 1].usec;
    }
    return from + (seconds - began) / (usec * 1e-6) * (double)m->resolution;
}

/* --- meter and grid -------------------------------------------------------------------------- */

void et_midi_main_meter(const et_midi *m, int *numerator, int *denominator)
{
    int64_t count[2][256] = {{0}};
    int best[2] = {4, 4};

    for (int64_t i = 0; i < m->n_meters; i++) {
        count[0][m->meters[i].numerator]++;
        count[1][m->meters[i].denominator]++;
    }
    for (int64_t i = m->n_meters; i-- > 0;) { /* backwards, so that the earlier of equals stays */
        if (i == m->n_meters - 1 || count[0][m->meters[i].numerator] >= count[0][best[0]])
            best[0] = m->meters[i].numerator;
        if (i == m->n_meters - 1 || count[1][m->meters[i].denominator] >= count[1][best[1]])
            best[1] = m->meters[i].denominator;
    }
    *numerator = best[0];
    *denominator = best[1];
}

/* The nearest step, halves to the even one, of a tick; exact as long as the product fits. */
static int64_t step_of(int64_t tick, int64_t steps, int64_t resolution)
{
    return (int64_t)llrint((double)tick * (double)steps / (double)resolution);
}

double et_midi_quantise(et_midi *m, int steps)
{
    int64_t on_grid = 0, resolution = m->resolution;
    double fraction;

    if (steps < 1 || steps > 32767) {
        et_raise(ET_EINVAL, "midi: %d steps a quarter note are outside 1 .. 32767", steps);
        return NAN;
    }
    for (int64_t i = 0; i < m->n_notes; i++) {
        et_midi_note *n = &m->notes[i];
        int64_t end = step_of(n->start + n->duration, steps, resolution);

        /* start * steps is a multiple of the resolution; taken apart so that it cannot overflow */
        on_grid += n->start % resolution * steps % resolution == 0;
        n->start = step_of(n->start, steps, resolution);
        n->duration = end > n->start ? end - n->start : 1;
    }
    for (int64_t i = 0; i < m->n_tempos; i++)
        m->tempos[i].tick = step_of(m->tempos[i].tick, steps, resolution);
    for (int64_t i = 0; i < m->n_meters; i++)
        m->meters[i].tick = step_of(m->meters[i].tick, steps, resolution);
    for (int64_t i = 0; i < m->n_keys; i++)
        m->keys[i].tick = step_of(m->keys[i].tick, steps, resolution);
    fraction = m->n_notes > 0 ? (double)on_grid / (double)m->n_notes : 1;
    if (m->smpte_rate) /* tempo did not matter: half a second was a quarter note */
        m->n_tempos = 0;
    m->resolution = steps;
    m->smpte_rate = m->smpte_ticks = 0;
    m->end = step_of(m->end, steps, resolution);
    et_midi_sort(m);
    return fraction;
}
