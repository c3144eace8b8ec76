/* What genre-vit shows: see vit_report.h. */
#include "config.h"

#include "examples/vit_report.h"

#include <stdlib.h>
#include <string.h>

#include "autograd/ops.h"
#include "examples/common/textplot.h"
#include "examples/genre_report.h"
#include "models/vit.h"
#include "nn/metrics.h"
#include "tensor/alloc.h"

enum { STRONGEST = 5, PICTURES = 6, LAYERS = 64, RIGHT_ROOM = 150 /* so that pictures line up */ };

double vit_track_accuracy(const et_dataset *ds, const et_indices *items, const genre_verdict *v)
{
    const int32_t *group = ds->groups ? et_data_i32(ds->groups) : NULL;
    int64_t tracks = 0, right = 0;
    double *p = et_alloc((size_t)v->classes * sizeof *p);

    if (!group || !p) {
        et_dealloc(p);
        return v->accuracy;
    }
    for (int64_t i = 0; i < v->n; i++) {
        bool first = true;
        for (int64_t k = 0; first && k < i; k++)
            first = group[items->items[k]] != group[items->items[i]];
        if (!first)
            continue;
        memset(p, 0, (size_t)v->classes * sizeof *p);
        for (int64_t k = i; k < v->n; k++)
            for (int64_t c = 0; group[items->items[k]] == group[items->items[i]] && c < v->classes; c++)
                p[c] += (double)v->probabilities[k * v->classes + c];
        int64_t best = 0;
        for (int64_t c = 1; c < v->classes; c++)
            best = p[c] > p[best] ? c : best;
        tracks++;
        right += best == et_data_i32(ds->y)[items->items[i]];
    }
    et_dealloc(p);
    return tracks ? (double)right / (double)tracks : 0;
}

int vit_figures(const et_dataset *ds, const et_indices *items, const genre_verdict *v, et_figure *out)
{
    int n = genre_figures(v, false, out);

    for (int i = 0; i < n; i++)
        if (strcmp(out[i].name, "accuracy") == 0)
            out[i].value = vit_track_accuracy(ds, items, v);
    out[n++] = (et_figure){"segment_accuracy", v->accuracy};
    return n;
}

/* Relevance [rows, cols] of the patches of x [1, T, F], the members' mean:
 * by rollout, or the last block's. */
static et_status relevance(const genre_model *m, et_tensor *x, bool rollout, float *out)
{
    const et_vit *first = (const et_vit *)m->members[0];
    int64_t n = first->rows * first->cols;
    et_tensor *attention[LAYERS];

    memset(out, 0, (size_t)n * sizeof *out);
    for (int k = 0; k < m->n; k++) {
        const et_vit *vit = (const et_vit *)m->members[k];
        et_tensor *r = et_vit_forward(vit, x, attention) ? et_vit_relevance(vit, attention, rollout) : NULL;
        if (!r || !(r = et_contiguous(r)))
            return et_error_status();
        for (int64_t i = 0; i < n; i++)
            out[i] += et_data_f32(r)[i] / (float)m->n;
    }
    return ET_OK;
}

/* The patch that covers frame t and bin f of the input, by centres. */
static int64_t patch_at(const et_vit *m, int64_t t, int64_t f)
{
    const et_vit_config *c = &m->config;
    double down = ((double)t + 0.5) / (double)c->frames, across = ((double)f + 0.5) / (double)c->bins;
    int64_t row = (int64_t)((c->transpose ? across : down) * (double)c->height) / c->step_h;
    int64_t col = (int64_t)((c->transpose ? down : across) * (double)c->width) / c->step_w;

    row = row < m->rows ? row : m->rows - 1;
    col = col < m->cols ? col : m->cols - 1;
    return row * m->cols + col;
}

/* Prints which part of the input a patch covers: seconds or frames, and bins. */
static void print_part(FILE *out, vit_kind kind, const et_vit *m, int64_t patch)
{
    const et_vit_config *c = &m->config;
    const double seconds = vit_frame_seconds(kind);
    const double row = (double)(patch / m->cols * c->step_h) / (double)c->height,
                 col = (double)(patch % m->cols * c->step_w) / (double)c->width,
                 high = (double)c->patch_h / (double)c->height, wide = (double)c->patch_w / (double)c->width,
                 T = (double)c->frames, F = (double)c->bins;
    const double t = T * (c->transpose ? col : row), f = F * (c->transpose ? row : col);
    const double t_end = t + T * (c->transpose ? wide : high), f_end = f + F * (c->transpose ? high : wide);

    if (seconds > 0)
        fprintf(out, "%.2f to %.2f s", t * seconds, t_end * seconds);
    else
        fprintf(out, "frames %.0f to %.0f", t, t_end);
    fprintf(out, ", %s %.0f to %.0f", kind == VIT_SPECTROGRAM ? "mel bands" : "bins", f, f_end);
}

static void print_item(FILE *out, const char *name, const et_dataset *ds, const genre_verdict *v, int64_t i,
                       int32_t truth, vit_kind kind, const et_vit *m, const float *weight)
{
    int64_t strongest[STRONGEST];
    int n = genre_strongest(weight, m->rows * m->cols, STRONGEST, strongest);

    et_text_print(out, name, 0);
    fputs(": ", out);
    et_text_print(out, ds->classes.items[v->predicted[i]], 0);
    fprintf(out, " (%.0f %%), truly ", 100 * (double)v->probabilities[i * v->classes + v->predicted[i]]);
    et_text_print(out, ds->classes.items[truth], 0);
    fputs("\n  strongest patches by attention rollout\n", out);
    for (int k = 0; k < n; k++) {
        fprintf(out, "    %d. row %lld, column %lld (", k + 1, (long long)(strongest[k] / m->cols),
                (long long)(strongest[k] % m->cols));
        print_part(out, kind, m, strongest[k]);
        fprintf(out, ")  weight %.3f\n", (double)weight[strongest[k]]);
    }
}

/* The item's spectrogram x [T, F] as picture [bins, T], and the mean weight of each frame behind the T times
 * in curve [2, T]. weight (or NULL: 1) is that of each patch; the picture is then as bright as it says. */
static void fill_picture(const et_vit *vit, const float *x, const float *weight, double unit, float *picture,
                         double *curve)
{
    const int64_t T = vit->config.frames, bins = vit->config.bins, F = vit->config.channels * bins;
    float lo = x[0], most = 0;

    for (int64_t t = 0; t < T; t++)
        for (int64_t f = 0; f < bins; f++)
            lo = x[t * F + f] < lo ? x[t * F + f] : lo;
    for (int64_t p = 0; weight && p < vit->rows * vit->cols; p++)
        most = weight[p] > most ? weight[p] : most;
    for (int64_t t = 0; t < T; t++) {
        curve[t] = ((double)t + 0.5) * unit;
        curve[T + t] = 0;
        for (int64_t f = 0; f < bins; f++) {
            const float w = weight ? weight[patch_at(vit, t, f)] : 1;
            picture[f * T + t] = weight ? (x[t * F + f] - lo) * w / most : x[t * F + f];
            curve[T + t] += (double)w / (double)bins;
        }
    }
}

et_status vit_report_item(et_report *r, FILE *out, const vit_source *source, const et_dataset *ds,
                          const et_indices *items, const genre_verdict *v, int64_t i, const genre_model *m)
{
    static const char *const what[] = {"The input as the model sees it",
                                       "The same, as bright as attention rollout weighs its patches",
                                       "The same, as bright as the last block's attention weighs them"};
    const et_vit *vit = (const et_vit *)m->members[0];
    int32_t at = items->items[i], truth = et_data_i32(ds->y)[at];
    const vit_kind kind = source->kind;
    const genre_inputs inputs = vit_inputs(source);
    int64_t T = vit->config.frames, bins = vit->config.bins, F = vit->config.channels * bins;
    double unit = vit_frame_seconds(kind) > 0 ? vit_frame_seconds(kind) : 1;
    float *weight = et_alloc_zero((size_t)vit->rows, (size_t)vit->cols * sizeof *weight);
    float *picture = et_alloc_zero((size_t)T, (size_t)bins * sizeof *picture);
    double *curve = et_alloc_zero((size_t)T, 2 * sizeof *curve);
    et_scope *scope = et_scope_open();
    et_tensor *input = !scope ? NULL
                       : inputs.read ? inputs.read(inputs.user, &at, 1)
                                     : et_from(ET_F32, ET_SHAPE(1, T, F),
                                               et_data_f32(ds->x) + (int64_t)at * T * F);
    const float *x = input ? et_data_f32(input) : NULL;
    et_status status = weight && picture && curve && x ? ET_OK : et_error_status();
    char name[80], caption[320];

    snprintf(name, sizeof name, ds->names.n > at ? "%s" : "item %s",
             ds->names.n > at ? ds->names.items[at] : "");
    if (ds->names.n <= at)
        snprintf(name, sizeof name, "item %d", (int)at);
    et_no_grad_begin();
    for (int view = 0; !status && view < 3; view++) {
        if (view > 0)
            status = relevance(m, input, view == 1, weight);
        if (!status)
            fill_picture(vit, x, view ? weight : NULL, unit, picture, curve);
        if (!status && view == 1 && out)
            print_item(out, name, ds, v, i, truth, kind, vit, weight);
        et_series line = {.name = "mean weight", .n = T, .x = curve, .y = curve + T};
        et_heatmap map = {.what = what[view], .x_label = vit_frame_seconds(kind) > 0 ? "time (s)" : "frame",
                          .y_label = kind == VIT_SPECTROGRAM ? "mel band" : "bin", .value_label = "level",
                          .rows = bins, .cols = T, .data = picture, .x1 = (double)T * unit,
                          .y1 = (double)bins, .height = 200, .curves = &line, .n_curves = view > 0,
                          .curve_label = "weight", .right_room = RIGHT_ROOM};
        snprintf(caption, sizeof caption, "%s: %s, truly %s. %s.", name, ds->classes.items[v->predicted[i]],
                 ds->classes.items[truth], what[view]);
        if (!status)
            et_report_heatmap(r, &map, caption);
    }
    et_no_grad_end();
    if (scope)
        et_scope_close(scope);
    et_dealloc(weight);
    et_dealloc(picture);
    et_dealloc(curve);
    return status;
}

/* Loss and accuracy of each fold, on training and validation data: the rows of a fold follow each other in
 * the log. */
static void fold_curves(et_report *r, const et_run *run)
{
    static const char *const columns[] = {"train_loss", "valid_loss", "train_accuracy", "valid_accuracy",
                                          "fold"};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    int64_t rows = et_run_log_rows(run);
    double *y = et_alloc_zero((size_t)rows, COLUMNS * sizeof *y);

    for (int c = 0; y && c < COLUMNS; c++)
        if (et_run_log_column(run, columns[c], y + c * rows))
            rows = 0;
    const double *fold = y ? y + 4 * rows : NULL;
    for (int64_t from = 0, n = 0; y && from < rows; from += n) {
        char caption[32];
        for (n = 1; from + n < rows && fold[from + n] == fold[from];)
            n++;
        et_series losses[] = {{.name = "training", .n = n, .y = y + from},
                              {.name = "validation", .n = n, .y = y + rows + from}};
        et_series accuracy[] = {{.name = "training", .n = n, .y = y + 2 * rows + from},
                                {.name = "validation", .n = n, .y = y + 3 * rows + from}};
        snprintf(caption, sizeof caption, "Fold %.0f.", fold[from]);
        const char *text = n < rows ? caption : NULL;
        et_report_lines(r, &(et_chart){.what = "loss", .x_label = "epoch", .y_label = "loss",
                                       .series = losses, .n_series = 2}, text);
        et_report_lines(r, &(et_chart){.what = "accuracy", .x_label = "epoch", .y_label = "accuracy",
                                       .series = accuracy, .n_series = 2}, text);
    }
    et_dealloc(y);
}

et_status vit_report(et_run *run, const vit_source *source, const et_dataset *ds, const et_indices *items,
                     const genre_verdict *v, const char *name, const genre_model *m)
{
    char accuracy[32], tracks[32], f1[32], loss[32], count[32];
    et_report *r = et_report_new("Genres from patches of spectrograms",
                                 "A spectrogram is cut into patches, a transformer encoder lets each look at "
                                 "all others, and a perceptron names the genre.");
    et_status status = ET_OK;

    snprintf(accuracy, sizeof accuracy, "%.3f", v->accuracy);
    snprintf(tracks, sizeof tracks, "%.3f", vit_track_accuracy(ds, items, v));
    snprintf(f1, sizeof f1, "%.3f", v->f1_macro);
    snprintf(loss, sizeof loss, "%.3f", v->loss);
    snprintf(count, sizeof count, "%lld", (long long)v->n);
    et_key keys[] = {{"accuracy", accuracy, "segments"}, {"accuracy", tracks, "tracks"},
                     {"macro F1", f1, name},
                     {"loss", loss, name}, {"segments", count, name}};
    et_report_keys(r, keys, 5);
    if (et_run_log_rows(run) > 0) {
        et_report_section(r, "Learning");
        fold_curves(r, run);
    }
    et_report_section(r, "Confusion");
    et_report_confusion(r, (int)v->classes, (const char *const *)ds->classes.items, v->counts, NULL,
                        "True classes downwards, the model's answers across; shares are of a row.");
    et_report_section(r, "Attention over spectrograms");
    et_report_text(r,
                   "Attention rollout follows the blocks' attention and their residual connections from the "
                   "first to the last; the last block's attention is what the head's tokens looked at in "
                   "the end.");
    for (int64_t c = 0, shown = 0; c < v->classes && shown < PICTURES; c++)
        for (int64_t i = 0; !status && i < v->n; i++)
            if (et_data_i32(ds->y)[items->items[i]] == c) {
                status = vit_report_item(r, NULL, source, ds, items, v, i, m);
                shown++;
                break;
            }
    if (status) {
        et_report_free(r);
        return status;
    }
    return et_run_report_end(r, run, m->root);
}
