/* What music-tagger shows: see tagger_report.h. */
#include "config.h"

#include "examples/tagger_report.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/folder.h"
#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/file.h"

enum { SHOWN_TAGS = 10, PICTURES = 3, LEFT_ROOM = 110, RIGHT_ROOM = 150, SCALE = 3 };

/* A row of contributions that varies by less stays dark. */
#define LEAST_RANGE 0.1

double tagger_time(const tagger_data *d, double rows)
{
    return d->row_seconds > 0 ? rows * d->row_seconds : rows;
}

/* What was planted in an item, of the first tag that is on, as a span over the time axis. */
static void mark_event(const tagger_data *d, int64_t item, tagger_clip *clip)
{
    const int32_t *event = d->ds->events ? et_data_i32(d->ds->events) + 2 * item : NULL;
    const size_t tags = (size_t)tagger_data_tags(d);
    const uint8_t *on = event && event[0] < event[1] ? memchr(clip->truth, 1, tags) : NULL;

    if (!on)
        return;
    snprintf(clip->event_name, sizeof clip->event_name, "event of %s",
             d->ds->tag_names.items[on - clip->truth]);
    clip->event = (et_span){tagger_time(d, event[0]), tagger_time(d, event[1]), clip->event_name};
    clip->spans = &clip->event;
    clip->n_spans = 1;
}

et_status tagger_item_clip(const tagger_data *d, int64_t item, int64_t rows, tagger_clip *out)
{
    bool has;

    *out = (tagger_clip){.truth = (const uint8_t *)et_data(d->ds->tags) + item * tagger_data_tags(d)};
    mark_event(d, item, out);
    if (!(out->x = tagger_item_input(d, item, rows)))
        return et_error_status();
    return tagger_data_sound(d, item, (double)rows * d->row_seconds, &out->sound, &has);
}

/* --- pictures ------------------------------------------------------------------------------- */

/* A matrix [rows, cols], low frequencies first. */
typedef struct picture {
    float *data;
    int64_t rows, cols;
} picture;

/* The spectrogram of a clip: what Spec reads; of samples, front end won96. */
static et_status spectrogram(const tagger_clip *clip, picture *p)
{
    const float *x = et_data_f32(clip->x);

    *p = (picture){.data = NULL};
    if (clip->x->ndim == 3) {
        p->rows = clip->x->shape[1];
        p->cols = clip->x->shape[2];
        if (!(p->data = et_alloc_zero((size_t)p->rows, (size_t)p->cols * sizeof *p->data)))
            return et_error_status();
        memcpy(p->data, x, (size_t)(p->rows * p->cols) * sizeof *p->data);
        return ET_OK;
    }
    et_front_end *fe = et_front_end_new("won96");
    const int64_t n = clip->x->shape[1];
    float *frames = NULL;
    if (fe) {
        p->rows = et_front_end_bins(fe);
        p->cols = et_front_end_frames(fe, n);
        frames = et_alloc_zero((size_t)p->rows, (size_t)p->cols * sizeof *frames);
        p->data = et_alloc_zero((size_t)p->rows, (size_t)p->cols * sizeof *p->data);
    }
    if (frames && p->data && !et_front_end_run(fe, x, n, frames))
        for (int64_t t = 0; t < p->cols; t++)
            for (int64_t b = 0; b < p->rows; b++)
                p->data[b * p->cols + t] = frames[t * p->rows + b];
    et_dealloc(frames);
    et_front_end_free(fe);
    return et_error_status();
}

/* Values over steps as shares (0 .. 1) over columns: from lo to hi, where these are equal the values' own. */
static void spread(const float *values, int64_t steps, double lo, double hi, float *out, int64_t cols)
{
    if (!(lo < hi))
        et_finite_range(steps, values, &lo, &hi);
    for (int64_t c = 0; c < cols; c++) {
        const double v = (double)values[c * steps / cols];
        out[c] = hi > lo ? (float)((v - lo) / (hi - lo)) : 0;
    }
}

/* The last n bytes of a text or less, whole characters: clips of one track differ at the end of their
 * names. */
static const char *end_of(const char *text, size_t n)
{
    const size_t all = strlen(text);

    if (all <= n)
        return text;
    text += all - n;
    while (((unsigned char)*text & 0xC0) == 0x80)
        text++;
    return text;
}

/* FOLDER/NAME-WHAT.png; signs that do not belong into a file's name become '_'. Letters beyond ASCII stay:
 * they tell tags of other languages apart. */
static et_status write_picture(const char *folder, const char *name, const char *what, const picture *p,
                               const float *overlay)
{
    char file[240];
    size_t size;

    snprintf(file, sizeof file, "%s-%s.png", end_of(name, 150), end_of(what, 60));
    for (char *c = file; *c; c++)
        if ((unsigned char)*c < 0x80 && !isalnum((unsigned char)*c) && !strchr(".-", *c))
            *c = '_';
    uint8_t *png = et_tinted_png(p->rows, p->cols, p->data, overlay, SCALE, ET_CMAP_EMBER, &size);
    char *path = png ? et_path_join(folder, file) : NULL;
    et_status status = path ? et_file_write(path, png, size) : et_error_status();
    et_dealloc(path);
    et_dealloc(png);
    return status;
}

/* --- one clip --------------------------------------------------------------------------------- */

/* The likeliest tags, most likely first; those that are on before others of the same probability. */
static int choose_tags(const tagger_maps *maps, int64_t *tags)
{
    int n = 0;

    for (; n < SHOWN_TAGS && n < maps->tags; n++) {
        int64_t best = -1;
        for (int64_t k = 0; k < maps->tags; k++) {
            bool taken = false;
            for (int i = 0; i < n; i++)
                taken = taken || tags[i] == k;
            if (!taken && (best < 0 || maps->probabilities[k] > maps->probabilities[best]))
                best = k;
        }
        tags[n] = best;
    }
    return n;
}

static void print_clip(FILE *out, const tagger_data *d, const tagger_clip *clip, const tagger_maps *maps,
                       const int64_t *tags, int n)
{
    et_text_print(out, clip->name, 0);
    fputc('\n', out);
    for (int i = 0; i < n; i++) {
        const float *row = maps->contributions + tags[i] * maps->steps;
        int64_t most = 0;
        for (int64_t t = 1; t < maps->steps; t++)
            if (row[t] > row[most])
                most = t;
        fputs("  ", out);
        et_text_print(out, d->ds->tag_names.items[tags[i]], 14);
        fprintf(out, " %5.1f %%%s  strongest at %.2f%s (%.2f)\n",
                100 * (double)maps->probabilities[tags[i]], clip->truth && clip->truth[tags[i]] ? " *" : "  ",
                tagger_time(d, ((double)most + 0.5) * maps->rows_per_step), d->row_seconds > 0 ? " s" : "",
                (double)row[most]);
    }
}

/* "rock, guitar" of the tags that are on. */
static void list_tags(char *text, size_t size, const tagger_data *d, const uint8_t *on)
{
    size_t used = 0;

    text[0] = 0;
    for (int64_t k = 0; on && k < tagger_data_tags(d) && used + 1 < size; k++)
        if (on[k]) {
            int n = snprintf(text + used, size - used, "%s%s", used ? ", " : "", d->ds->tag_names.items[k]);
            used += n > 0 ? (size_t)n : 0;
        }
    if (!text[0])
        snprintf(text, size, "none");
}

/* Everything a clip's pictures are drawn from. */
typedef struct canvas {
    picture spectrum;
    float *overlay;   /* [cols] */
    double *curve;    /* [2, steps] */
    float *rows;      /* [n_tags, steps] */
    const char *names[SHOWN_TAGS], *heads[64];
    char head_text[64][12];
} canvas;

static void canvas_free(canvas *c)
{
    et_dealloc(c->spectrum.data);
    et_dealloc(c->overlay);
    et_dealloc(c->curve);
    et_dealloc(c->rows);
}

static et_status draw(et_report *r, const tagger_data *d, const tagger_clip *clip, const tagger_maps *maps,
                      const int64_t *tags, int n, canvas *c)
{
    const double rows = (double)clip->x->shape[clip->x->ndim - 1];
    const double end = tagger_time(d, rows), covered = tagger_time(d,
                                                                   (double)maps->steps * maps->rows_per_step);
    const char *unit = d->row_seconds > 0 ? "time (s)" : "frame";
    const int heads = maps->heads < 64 ? maps->heads : 64;
    char truth[200], caption[1024];
    unsigned char *wav = NULL;
    size_t size = 0;

    for (int h = 0; h < heads; h++) {
        snprintf(c->head_text[h], sizeof c->head_text[h], "head %d", h + 1);
        c->heads[h] = c->head_text[h];
    }
    for (int64_t t = 0; t < maps->steps; t++) {
        c->curve[t] = tagger_time(d, ((double)t + 0.5) * maps->rows_per_step);
        c->curve[maps->steps + t] = (double)maps->attention[t];
    }
    for (int i = 0; i < n; i++) {
        const float *row = maps->contributions + tags[i] * maps->steps;
        double lo, hi;
        c->names[i] = d->ds->tag_names.items[tags[i]];
        et_finite_range(maps->steps, row, &lo, &hi);
        spread(row, maps->steps, lo, fmax(hi, lo + LEAST_RANGE), c->rows + i * maps->steps, maps->steps);
    }
    spread(maps->attention, maps->steps, 0, 0, c->overlay, c->spectrum.cols);
    et_series attention = {.name = "attention", .n = maps->steps, .x = c->curve, .y = c->curve + maps->steps};
    const et_heatmap pictures[] = {
        {.what = "The spectrogram with the attention of the last layer over it", .x_label = unit,
         .y_label = "mel band", .value_label = "level", .rows = c->spectrum.rows, .cols = c->spectrum.cols,
         .data = c->spectrum.data, .x1 = end, .y1 = (double)c->spectrum.rows, .height = 180,
         .overlay = c->overlay, .curves = &attention, .n_curves = 1, .curve_label = "attention",
         .spans = clip->spans, .n_spans = clip->n_spans, .left_room = LEFT_ROOM, .right_room = RIGHT_ROOM},
        {.what = "Attention of the last layer's heads over time", .x_label = unit, .value_label = "weight",
         .rows = heads, .cols = maps->steps, .data = maps->by_head, .row_names = c->heads, .x1 = covered,
         .height = 16.0 * heads, .map = ET_CMAP_LAGOON, .left_room = LEFT_ROOM, .right_room = RIGHT_ROOM},
        {.what = "Contribution of each moment to each tag", .x_label = unit, .value_label = "contribution",
         .rows = n, .cols = maps->steps, .data = c->rows, .row_names = c->names, .x1 = covered,
         .height = 20.0 * n, .hi = 1, .map = ET_CMAP_LAGOON, .left_room = LEFT_ROOM,
         .right_room = RIGHT_ROOM},
    };
    list_tags(truth, sizeof truth, d, clip->truth);
    snprintf(caption, sizeof caption,
             "%.*s. Its tags: %s. Above, the spectrogram, tinted where [CLS] looks in the last layer (the "
             "line is the sum over the heads); then each head; then, for each tag, what the model would say "
             "if it looked at that moment alone: from the smallest of these probabilities to the largest, or "
             "to one that is %.1f larger.",
             et_text_cut(clip->name, 400), clip->name, clip->truth ? truth : "not known", LEAST_RANGE);
    if (clip->sound.samples)
        wav = et_audio_wav(clip->name, clip->sound.samples, clip->sound.rate, ET_WAV_PCM16, &size);
    if (!clip->sound.samples || wav)
        et_report_listen(r, pictures, 3, wav, size, caption);
    et_dealloc(wav);
    return et_error_status();
}

et_status tagger_report_clip(et_report *r, FILE *out, const tagger_data *d, const tagger_clip *clip,
                             const tagger_maps *maps, const int64_t *wanted, int n_wanted, const char *folder)
{
    int64_t tags[SHOWN_TAGS];
    canvas c = {.overlay = NULL};
    int n = n_wanted;

    for (int i = 0; i < n_wanted; i++)
        tags[i] = wanted[i];
    if (n_wanted < 0)
        n = choose_tags(maps, tags);
    et_status status = spectrogram(clip, &c.spectrum);
    c.overlay = et_alloc_zero((size_t)c.spectrum.cols + 1, sizeof *c.overlay);
    c.curve = et_alloc_zero((size_t)maps->steps, 2 * sizeof *c.curve);
    c.rows = et_alloc_zero((size_t)n, (size_t)maps->steps * sizeof *c.rows);
    if (!status)
        status = et_error_status();
    if (!status)
        status = draw(r, d, clip, maps, tags, n, &c);
    if (!status && folder)
        status = write_picture(folder, clip->name, "attention", &c.spectrum, c.overlay);
    for (int i = 0; !status && folder && i < n; i++) {
        spread(maps->contributions + tags[i] * maps->steps, maps->steps, 0, 1, c.overlay, c.spectrum.cols);
        status = write_picture(folder, clip->name, d->ds->tag_names.items[tags[i]], &c.spectrum, c.overlay);
    }
    if (!status && out)
        print_clip(out, d, clip, maps, tags, n);
    canvas_free(&c);
    return status;
}

/* --- the page ----------------------------------------------------------------------------------- */

/* A number with three decimals, or a dash. */
static const char *number(char buf[24], double x)
{
    if (isnan(x))
        snprintf(buf, 24, "-");
    else
        snprintf(buf, 24, "%.3f", x);
    return buf;
}

static void tag_table(et_report *r, const tagger_data *d, const tagger_verdict *v)
{
    static const char *const header[] = {"tag", "items", "ROC-AUC", "average precision"};
    const char **cells = et_alloc_zero((size_t)v->tags, 4 * sizeof *cells);
    char (*text)[3][24] = et_alloc_zero((size_t)v->tags, sizeof *text);

    if (cells && text)
        for (int64_t k = 0; k < v->tags; k++) {
            snprintf(text[k][0], 24, "%" PRId64, v->positives[k]);
            cells[4 * k] = d->ds->tag_names.items[k];
            cells[4 * k + 1] = text[k][0];
            cells[4 * k + 2] = number(text[k][1], v->tag_auc[k]);
            cells[4 * k + 3] = number(text[k][2], v->tag_ap[k]);
        }
    if (cells && text)
        et_report_table(r, "A tag that no item or every item has is in no mean.", 4, header, (int)v->tags,
                        cells);
    et_dealloc(cells);
    et_dealloc(text);
}

static et_status show_items(et_report *r, const tagger_data *d, const tagger_verdict *v, const et_tagger *m,
                            int64_t rows)
{
    et_status status = ET_OK;
    char name[64];

    et_report_section(r, "What it listens to");
    et_report_text(r,
                   "The first clips. A click on a picture goes to that moment; the verb explain shows "
                   "others.");
    for (int64_t i = 0; !status && i < v->n && i < PICTURES; i++) {
        et_scope *scope = et_scope_open();
        tagger_clip clip;
        tagger_maps maps = {.steps = 0};
        status = tagger_item_clip(d, v->item[i], rows, &clip);
        clip.name = tagger_data_name(name, d, v->item[i]);
        if (!status)
            status = tagger_maps_make(m, clip.x, &maps);
        if (!status)
            status = tagger_report_clip(r, NULL, d, &clip, &maps, NULL, -1, NULL);
        tagger_maps_free(&maps);
        et_audio_free(&clip.sound);
        if (scope)
            et_scope_close(scope);
    }
    return status;
}

et_status tagger_report(et_run *run, const tagger_data *d, const tagger_verdict *v, const char *name,
                        const et_tagger *m, int64_t rows)
{
    char text[5][24], count[24];
    et_report *r = et_report_new("Music tags, and what the model listens to",
                                 "A convolutional front end reads sound, a back end gathers it over time, "
                                 "and every tag gets a probability.");
    int n = 4;

    snprintf(count, sizeof count, "%" PRId64, v->n);
    et_key keys[6] = {{"ROC-AUC", number(text[0], v->roc_auc), "mean over tags"},
                      {"average precision", number(text[1], v->pr_auc), "mean over tags"},
                      {"loss", number(text[2], v->loss), name},
                      {"items", count, name}};
    if (!isnan(v->accuracy))
        keys[n++] = (et_key){"accuracy", number(text[3], v->accuracy), "of the class"};
    if (!isnan(v->localisation))
        keys[n++] = (et_key){"localisation", number(text[4], v->localisation), "of known events"};
    et_report_keys(r, keys, n);
    if (et_run_log_rows(run) > 0) {
        et_report_section(r, "Learning");
        et_run_report_curves(r, run, "train_loss", "valid_loss", "loss");
        et_run_report_curves(r, run, NULL, "valid_roc_auc", "ROC-AUC");
    }
    et_report_section(r, "Tags");
    tag_table(r, d, v);
    et_status status = m->config.back == ET_BACK_ATT ? show_items(r, d, v, m, rows) : ET_OK;
    if (status) {
        et_report_free(r);
        return status;
    }
    return et_run_report_end(r, run, &m->module);
}
