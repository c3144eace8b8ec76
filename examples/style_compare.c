/* Generated pieces beside real ones: see style_compare.h. */
#include "config.h"

#include "examples/style_compare.h"

#include <stdlib.h>
#include <string.h>

#include "examples/style_write.h"
#include "tensor/alloc.h"
#include "tensor/hash.h"
#include "tensor/sort.h"

/* --- histograms ------------------------------------------------------------------------------------ */

static et_status add_piece(const et_event *e, int64_t n, const et_event_options *o, style_histograms *h)
{
    et_midi *m = et_events_to_midi(e, n, o);
    style_measures key;

    if (!m)
        return et_error_status();
    style_measure(m, &key);
    et_midi_free(m);
    h->pieces++;
    h->clarity += key.clarity;
    h->range += key.high - key.low;
    h->on_grid += key.on_grid;
    for (int64_t t = 0; t < n && e[t].dt >= 0; t++) {
        h->classes[(e[t].pitch + o->low - key.tonic + 120) % 12]++;
        h->durations[e[t].dur]++;
        if (t > 0) {
            int interval = e[t].pitch - e[t - 1].pitch;
            interval = interval > 12 ? 12 : interval < -12 ? -12 : interval;
            h->intervals[interval + 12]++;
        }
        h->notes++;
    }
    return ET_OK;
}

static void normalise(int64_t n, double *p)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += p[i];
    for (int64_t i = 0; i < n && sum > 0; i++)
        p[i] /= sum;
}

static void finish(style_histograms *h)
{
    normalise(STYLE_CLASSES, h->classes);
    normalise(STYLE_DURATIONS, h->durations);
    normalise(STYLE_INTERVALS, h->intervals);
    if (h->pieces > 0) {
        h->clarity /= (double)h->pieces;
        h->range /= (double)h->pieces;
        h->on_grid /= (double)h->pieces;
    }
}

et_status style_histogram(const et_segments *pieces, const et_event_options *o, style_histograms *out)
{
    et_status status = ET_OK;

    *out = (style_histograms){.notes = 0};
    for (int64_t i = 0; !status && i < pieces->n; i++)
        status = add_piece(pieces->events + pieces->begin[i], pieces->begin[i + 1] - pieces->begin[i],
                           o, out);
    finish(out);
    return status;
}

/* The events of a segment of the data set, END too; returns their number. */
static int64_t events_of(const style_data *d, int32_t item, et_event *out)
{
    const int64_t T = d->ds->x->shape[1], n = et_data_i32(d->ds->lengths)[item];
    const float *x = et_data_f32(d->ds->x) + (int64_t)item * T * 3;

    for (int64_t t = 0; t < n; t++)
        out[t] = (et_event){(int16_t)x[3 * t], (int16_t)x[3 * t + 1], (int16_t)x[3 * t + 2]};
    return n;
}

et_status style_histogram_items(const style_data *d, const et_indices *items, int32_t style,
                                style_histograms *out)
{
    et_event *e = et_alloc((size_t)d->ds->x->shape[1] * sizeof *e + 1);
    et_status status = e ? ET_OK : et_error_status();

    *out = (style_histograms){.notes = 0};
    for (int64_t i = 0; !status && i < items->n; i++)
        if (et_data_i32(d->ds->y)[items->items[i]] == style) {
            const int64_t n = events_of(d, items->items[i], e);
            status = add_piece(e, n, &d->events, out);
        }
    finish(out);
    et_dealloc(e);
    return status;
}

double style_overlap(int64_t n, const double *p, const double *q)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += p[i] < q[i] ? p[i] : q[i];
    return sum;
}

/* --- copies ---------------------------------------------------------------------------------------- */

/* A hash of the 15 intervals and times of 16 notes, as et_hash but over numbers: two different stretches
 * agree by accident with a chance of about n 2^-64. */
static uint64_t hash(const et_event *e)
{
    uint64_t h = ET_HASH_START;

    for (int t = 1; t < STYLE_STRETCH; t++) {
        h = (h ^ (uint64_t)(e[t].pitch - e[t - 1].pitch + 128)) * ET_HASH_PRIME;
        h = (h ^ (uint64_t)(e[t].dt + 1)) * ET_HASH_PRIME;
    }
    return h;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Whether segment b follows segment a in the same piece: names are "item:bar". */
static bool follows(const style_data *d, int32_t a, int32_t b)
{
    const char *x = d->ds->names.items[a], *y = d->ds->names.items[b];
    const char *colon = strrchr(x, ':'), *other = strrchr(y, ':');

    return colon && other && colon - x == other - y && strncmp(x, y, (size_t)(colon - x)) == 0 &&
           strtol(other + 1, NULL, 10) - strtol(colon + 1, NULL, 10) == d->events.bars;
}

et_status style_copies_of(const style_data *d, const et_indices *items, style_copies *out)
{
    const int64_t T = d->ds->x->shape[1];
    int64_t events = 0, n = 0;

    for (int64_t i = 0; i < items->n; i++)
        events += et_data_i32(d->ds->lengths)[items->items[i]];
    out->n = 0;
    out->stretch = et_alloc((size_t)events * sizeof *out->stretch + 1);
    et_event *run = et_alloc((size_t)(STYLE_STRETCH + T) * sizeof *run + 1);
    for (int64_t i = 0; out->stretch && run && i < items->n; i++) {
        if (i > 0 && !follows(d, items->items[i - 1], items->items[i]))
            n = 0;
        if (n > STYLE_STRETCH - 1) { /* what a stretch that begins before may need */
            memmove(run, run + n - (STYLE_STRETCH - 1), (STYLE_STRETCH - 1) * sizeof *run);
            n = STYLE_STRETCH - 1;
        }
        const int64_t more = events_of(d, items->items[i], run + n);
        n += more - (more > 0 && run[n + more - 1].dt < 0);
        for (int64_t t = 0; t + STYLE_STRETCH <= n; t++)
            out->stretch[out->n++] = hash(run + t);
    }
    et_dealloc(run);
    if (out->stretch)
        et_sort_elements(out->stretch, (size_t)out->n, sizeof *out->stretch, by_value);
    return et_error_status();
}

void style_copies_free(style_copies *c)
{
    et_dealloc(c->stretch);
    *c = (style_copies){0};
}

bool style_copied(const style_copies *c, const et_event *events, int64_t n)
{
    for (int64_t t = 0; t + STYLE_STRETCH <= n && events[t + STYLE_STRETCH - 1].dt >= 0; t++) {
        const uint64_t h = hash(events + t);
        if (bsearch(&h, c->stretch, (size_t)c->n, sizeof h, by_value))
            return true;
    }
    return false;
}
