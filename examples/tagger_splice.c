/* Two halves of clips put together: see tagger_splice.h. */
#include "config.h"

#include "examples/tagger_splice.h"

#include <string.h>

#include "autograd/ops.h"
#include "examples/common/textplot.h"

/* Means of a tag's contributions over the first and the second half of the steps. */
static void halves(const tagger_maps *maps, int64_t tag, double mean[2])
{
    const float *row = maps->contributions + tag * maps->steps;
    const int64_t middle = maps->steps / 2;

    mean[0] = mean[1] = 0;
    for (int64_t t = 0; t < maps->steps; t++)
        mean[t >= middle] += (double)row[t] / (double)(t >= middle ? maps->steps - middle : middle);
}

/* How much more a clip's half says of the one tag than of the other. */
static et_status clearness(const et_tagger *m, const tagger_data *d, int64_t item, int side, int64_t own,
                           int64_t other, int64_t rows, double *out)
{
    et_scope *scope = et_scope_open();
    tagger_maps maps = {.steps = 0};
    double a[2], b[2];
    et_status status = tagger_maps_make(m, tagger_item_input(d, item, rows), &maps);

    if (scope)
        et_scope_close(scope);
    if (status)
        return status;
    halves(&maps, own, a);
    halves(&maps, other, b);
    *out = a[side] - b[side];
    tagger_maps_free(&maps);
    return ET_OK;
}

et_status tagger_splice_choose(const et_tagger *m, const tagger_data *d, const tagger_verdict *v, int side,
                               int64_t own, int64_t other, int64_t rows, int64_t *item)
{
    int64_t tried[TAGGER_CANDIDATES];
    double most = 0, clear;
    int n = 0;

    for (; n < TAGGER_CANDIDATES; n++) {
        int64_t best = -1;
        float sure = 0;
        for (int64_t i = 0; i < v->n; i++) {
            const float *p = v->probabilities + i * v->tags;
            const uint8_t *on = v->truth + i * v->tags;
            bool taken = !on[own] || on[other];
            for (int k = 0; k < n; k++)
                taken = taken || tried[k] == i;
            if (!taken && (best < 0 || p[own] - p[other] > sure)) {
                best = i;
                sure = p[own] - p[other];
            }
        }
        if (best < 0)
            break;
        tried[n] = best;
        if (clearness(m, d, v->item[best], side, own, other, rows, &clear))
            return et_error_status();
        if (n == 0 || clear > most) {
            most = clear;
            *item = v->item[best];
        }
    }
    return n ? ET_OK : et_raise(ET_EINVAL,
                                "no item has the tag %s and not %s: name two with --first and --second",
                                d->ds->tag_names.items[own], d->ds->tag_names.items[other]);
}

/* The sound of a splice: the first half of a's `seconds`, the second of b's; b is at a's rate. */
static et_status splice_sounds(const et_audio *a, et_audio *b, double seconds, et_audio *out)
{
    if (b->rate != a->rate && et_audio_to_rate(b, a->rate))
        return et_error_status();
    const int64_t all = (int64_t)(seconds * (double)a->rate + 0.5), middle = all / 2;
    const int64_t n[2] = {a->samples->shape[1], b->samples->shape[1]};
    const int64_t end = n[1] > middle ? (n[1] < all ? n[1] : all) : middle;
    *out = (et_audio){.samples = et_dataset_tensor(ET_F32, ET_SHAPE(1, end)), .rate = a->rate};
    float *to = out->samples ? et_data_mut(out->samples) : NULL;
    const float *from[2] = {et_data_f32(a->samples), et_data_f32(b->samples)};
    if (!to || !from[0] || !from[1])
        return et_error_status();
    for (int64_t i = 0; i < end; i++)
        to[i] = i < n[i >= middle] ? from[i >= middle][i] : 0;
    return ET_OK;
}

static void print_halves(FILE *out, const tagger_data *d, const tagger_maps *maps, const int64_t tags[2])
{
    for (int k = 0; k < 2; k++) {
        double mean[2];
        halves(maps, tags[k], mean);
        et_text_print(out, d->ds->tag_names.items[tags[k]], 0);
        fprintf(out, ": %.3f in its half, %.3f in the other; stronger where it is: %s\n", mean[k],
                mean[1 - k], mean[k] > mean[1 - k] ? "yes" : "no");
    }
}

et_status tagger_splice(et_report *r, FILE *out, const et_tagger *m, const tagger_data *d,
                        const int64_t items[2], const int64_t tags[2], int64_t rows, const char *folder)
{
    const int time = d->front == ET_FRONT_SPEC ? 2 : 1;
    const int64_t middle = rows / 2;
    tagger_clip part[2] = {{.x = NULL}, {.x = NULL}}, clip = {.x = NULL};
    enum { MOST = 400 }; /* bytes of a name */
    tagger_maps maps = {.steps = 0};
    char names[2][64], name[2 * MOST + 16];
    et_scope *scope = et_scope_open();
    et_status status = tagger_item_clip(d, items[0], rows, &part[0]);

    if (!status)
        status = tagger_item_clip(d, items[1], rows, &part[1]);
    const char *const from[2] = {tagger_data_name(names[0], d, items[0]),
                                 tagger_data_name(names[1], d, items[1])};
    snprintf(name, sizeof name, "%.*s, then %.*s", et_text_cut(from[0], MOST), from[0],
             et_text_cut(from[1], MOST), from[1]);
    clip.name = name;
    const et_span spans[2] = {{0, tagger_time(d, (double)middle), d->ds->tag_names.items[tags[0]]},
                              {tagger_time(d, (double)middle), tagger_time(d, (double)rows),
                               d->ds->tag_names.items[tags[1]]}};
    clip.spans = spans;
    clip.n_spans = 2;
    if (!status) {
        clip.x = et_contiguous(et_concat(2, (et_tensor *const[]){et_slice(part[0].x, time, 0, middle, 1),
                                                                 et_slice(part[1].x, time, middle, rows, 1)},
                                                                 time));
        status = tagger_maps_make(m, clip.x, &maps);
    }
    if (!status && part[0].sound.samples && part[1].sound.samples)
        status = splice_sounds(&part[0].sound, &part[1].sound, (double)rows * d->row_seconds, &clip.sound);
    if (!status)
        status = tagger_report_clip(r, NULL, d, &clip, &maps, tags, 2, folder);
    if (!status) {
        et_text_print(out, name, 0);
        fputc('\n', out);
        print_halves(out, d, &maps, tags);
    }
    tagger_maps_free(&maps);
    et_audio_free(&clip.sound);
    et_audio_free(&part[0].sound);
    et_audio_free(&part[1].sound);
    if (scope)
        et_scope_close(scope);
    return status;
}
