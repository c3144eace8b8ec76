/* Segments of many pieces as one data set. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "datasets/events.h"
#include "datasets/grow.h"
#include "tensor/alloc.h"
#include "tensor/strbuf.h"

/* All events of all pieces, until their number and longest sequence are known. */
typedef struct gathered {
    et_segments *pieces; /* [n items] */
    int64_t n, longest;
} gathered;

static void release(gathered *g, int64_t items)
{
    for (int64_t i = 0; g->pieces && i < items; i++)
        et_segments_free(&g->pieces[i]);
    et_dealloc(g->pieces);
}

/* Keeps the pending message and forgets the error. */
static et_status note_skipped(et_names *skipped)
{
    char text[512];

    snprintf(text, sizeof text, "%s", et_error_message());
    et_error_clear();
    return skipped ? et_names_add(skipped, text) : ET_OK;
}

static et_status gather(const et_collection *c, et_midi *(*piece)(const et_collection *c, int64_t i),
                        const et_event_options *o, et_names *skipped, gathered *g)
{
    int64_t n = et_collection_size(c);

    g->pieces = et_alloc_zero((size_t)n, sizeof *g->pieces);
    if (!g->pieces)
        return ET_ENOMEM;
    for (int64_t i = 0; i < n; i++) {
        et_segments *s = &g->pieces[i];
        et_midi *m = piece(c, i);
        et_status status = m ? et_segments_from_midi(m, o, s) : et_error_status();

        et_midi_free(m);
        if (status < 0) {
            if ((status != ET_EFORMAT && status != ET_EIO) || note_skipped(skipped) < 0)
                return et_error_status();
            continue;
        }
        g->n += s->n;
        for (int64_t k = 0; k < s->n; k++)
            if (s->begin[k + 1] - s->begin[k] > g->longest)
                g->longest = s->begin[k + 1] - s->begin[k];
    }
    if (g->n == 0)
        return et_raise(ET_EFORMAT, "%s: no piece has a segment", c->name);
    if (g->n > INT32_MAX)
        return et_raise(ET_EFORMAT, "%s: more than 2^31 segments", c->name);
    return ET_OK;
}

/* The fields whose sizes are known now. */
static et_status make_fields(et_dataset *ds, const et_collection *c, const gathered *g)
{
    ds->x = et_dataset_tensor(ET_F32, 3, (const int64_t[3]){g->n, g->longest, 3});
    ds->y = ds->x ? et_dataset_tensor(ET_I32, 1, &g->n) : NULL;
    ds->lengths = ds->y ? et_dataset_tensor(ET_I32, 1, &g->n) : NULL;
    ds->groups = ds->lengths ? et_dataset_tensor(ET_I32, 1, &g->n) : NULL;
    if (!ds->groups || et_fill(ds->x, 0) < 0 || et_names_copy(&ds->classes, &c->classes) < 0)
        return et_error_status();
    if (c->split) {
        ds->split = et_dataset_tensor(ET_I32, 1, &g->n);
        if (!ds->split || et_names_copy(&ds->splits, &c->splits) < 0)
            return et_error_status();
    }
    return c->classes.n > 0 ? ET_OK : et_names_add(&ds->classes, c->name);
}

static et_status fill(et_dataset *ds, const et_collection *c, const gathered *g)
{
    float *x = et_data_mut(ds->x);
    int32_t *y = et_data_mut(ds->y), *lengths = et_data_mut(ds->lengths), *groups = et_data_mut(ds->groups);
    int32_t *split = ds->split ? et_data_mut(ds->split) : NULL;
    const int32_t *from_y = c->y ? et_data(c->y) : NULL, *from_groups = c->groups ? et_data(c->groups) : NULL;
    const int32_t *from_split = c->split ? et_data(c->split) : NULL;
    et_strbuf name = ET_STRBUF_INIT;
    et_status status = ET_OK;
    int64_t row = 0;

    for (int64_t i = 0; status == ET_OK && i < et_collection_size(c); i++) {
        const et_segments *s = &g->pieces[i];
        for (int64_t k = 0; status == ET_OK && k < s->n; k++, row++) {
            const et_event *e = s->events + s->begin[k];
            lengths[row] = (int32_t)(s->begin[k + 1] - s->begin[k]);
            for (int64_t t = 0; t < lengths[row]; t++) {
                float *to = &x[(row * g->longest + t) * 3];
                to[0] = e[t].pitch;
                to[1] = e[t].dt;
                to[2] = e[t].dur;
            }
            y[row] = from_y ? from_y[i] : 0;
            groups[row] = from_groups ? from_groups[i] : (int32_t)i;
            if (split)
                split[row] = from_split[i];
            et_strbuf_reset(&name);
            status = et_strbuf_printf(&name, "%s:%" PRId64, c->names.items[i], s->bar[k]) ? ET_OK : ET_ENOMEM;
            if (status == ET_OK)
                status = et_names_add(&ds->names, name.data);
        }
    }
    et_strbuf_free(&name);
    return status;
}

et_dataset *et_segments_dataset(const et_collection *c, et_midi *(*piece)(const et_collection *c, int64_t i),
                                const et_event_options *options, et_names *skipped)
{
    gathered g = {0};
    et_dataset *ds = et_dataset_new();

    if (ds && (gather(c, piece, options, skipped, &g) < 0 || make_fields(ds, c, &g) < 0 ||
               fill(ds, c, &g) < 0)) {
        et_dataset_free(ds);
        ds = NULL;
    }
    release(&g, et_collection_size(c));
    return ds;
}
