/* What genre-rnn shows: see genre_report.h. */
#include "config.h"

#include "examples/genre_report.h"

#include <stdio.h>

#include "examples/common/textplot.h"
#include "tensor/alloc.h"

enum { STRONGEST = 5, PICTURES = 6, BANDS = 128 };

/* "1.31 - 1.39 s", or "frame 15" where frames have no duration. */
static const char *interval(char buf[48], genre_kind kind, int64_t t)
{
    double s = genre_frame_seconds(kind);

    if (s > 0)
        snprintf(buf, 48, "%.2f - %.2f s", (double)t * s, (double)(t + 1) * s);
    else
        snprintf(buf, 48, "frame %lld", (long long)t);
    return buf;
}

static const char *item_name(char buf[64], const et_dataset *ds, int32_t at)
{
    if (ds->names.n > at)
        snprintf(buf, 64, "%s", ds->names.items[at]);
    else
        snprintf(buf, 64, "item %d", (int)at);
    return buf;
}

static int64_t steps_of(const et_dataset *ds, int32_t at)
{
    return ds->lengths ? et_data_i32(ds->lengths)[at] : ds->x->shape[1];
}

void genre_print_item(FILE *out, genre_kind kind, const et_dataset *ds, const et_indices *items,
                      const genre_verdict *v, int64_t i)
{
    int32_t at = items->items[i];
    const float *p = v->probabilities + i * v->classes;
    int64_t frames[STRONGEST];
    char name[64], span[48];

    et_text_print(out, item_name(name, ds, at), 0);
    fputs(": ", out);
    et_text_print(out, ds->classes.items[v->predicted[i]], 0);
    fputs(", truly ", out);
    et_text_print(out, ds->classes.items[et_data_i32(ds->y)[at]], 0);
    fputc('\n', out);
    for (int64_t k = 0; k < v->classes; k++)
        if (p[k] >= 0.05f) {
            fputs("  ", out);
            et_text_print(out, ds->classes.items[k], 12);
            fprintf(out, " %5.1f %%\n", 100 * (double)p[k]);
        }
    fprintf(out, "  attention is strongest at\n");
    int n = genre_strongest(v->alpha + i * v->T, steps_of(ds, at), STRONGEST, frames);
    for (int k = 0; k < n; k++)
        fprintf(out, "    %d. %-16s  weight %.3f\n", k + 1, interval(span, kind, frames[k]),
                (double)v->alpha[i * v->T + frames[k]]);
}

void genre_report_item(et_report *r, genre_kind kind, const et_dataset *ds, const et_indices *items,
                       const genre_verdict *v, int64_t i)
{
    int32_t at = items->items[i];
    int64_t T = steps_of(ds, at), F = ds->x->shape[2], frames[STRONGEST];
    int64_t shown = kind == GENRE_SPECTROGRAM && F > BANDS ? BANDS : F; /* their flux is left out */
    double seconds = genre_frame_seconds(kind), unit = seconds > 0 ? seconds : 1;
    char name[64], caption[256], digit[STRONGEST][12];
    const float *x = et_data_f32(ds->x);
    float *picture = et_alloc_zero((size_t)shown, (size_t)T * sizeof *picture);
    double *curve = et_alloc_zero((size_t)T, 2 * sizeof *curve);
    et_span spans[STRONGEST];

    if (!x || !picture || !curve) {
        et_dealloc(picture);
        et_dealloc(curve);
        return;
    }
    x += (int64_t)at * ds->x->shape[1] * F;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t f = 0; f < shown; f++)
            picture[f * T + t] = x[t * F + f];
        curve[t] = ((double)t + 0.5) * unit;
        curve[T + t] = (double)v->alpha[i * v->T + t];
    }
    int n = genre_strongest(v->alpha + i * v->T, T, STRONGEST, frames);
    for (int k = 0; k < n; k++) {
        snprintf(digit[k], sizeof digit[k], "%d", k + 1);
        spans[k] = (et_span){(double)frames[k] * unit, (double)(frames[k] + 1) * unit, digit[k]};
    }
    et_series weights = {.name = "attention", .n = T, .x = curve, .y = curve + T};
    et_heatmap map = {
        .what = "The input with the attention over it",
        .x_label = seconds > 0 ? "time (s)" : "frame",
        .y_label = kind == GENRE_SPECTROGRAM ? "mel band" : "feature",
        .value_label = kind == GENRE_PLANTED ? "value" : "standardised level",
        .rows = shown,
        .cols = T,
        .data = picture,
        .x1 = (double)T * unit,
        .y1 = (double)shown,
        .height = 220,
        .curves = &weights,
        .n_curves = 1,
        .curve_label = "weight",
        .spans = spans,
        .n_spans = n,
    };
    snprintf(caption, sizeof caption, "%s: %s, truly %s. The numbered frames weigh most.",
             item_name(name, ds, at), ds->classes.items[v->predicted[i]],
             ds->classes.items[et_data_i32(ds->y)[at]]);
    et_report_heatmap(r, &map, caption);
    et_dealloc(picture);
    et_dealloc(curve);
}

et_status genre_report(et_run *run, genre_kind kind, const et_dataset *ds, const et_indices *items,
                       const genre_verdict *v, const char *name, const genre_model *m)
{
    char accuracy[32], f1[32], loss[32], count[32], mass[32];
    et_report *r = et_report_new("Genres from a recurrent network with attention",
                                 "A recurrent network reads the frames, attention weighs its states, and the "
                                 "weighted sum is classified.");

    snprintf(accuracy, sizeof accuracy, "%.3f", v->accuracy);
    snprintf(f1, sizeof f1, "%.3f", v->f1_macro);
    snprintf(loss, sizeof loss, "%.3f", v->loss);
    snprintf(count, sizeof count, "%lld", (long long)v->n);
    snprintf(mass, sizeof mass, "%.3f", v->attention_mass);
    et_key keys[] = {{"accuracy", accuracy, name}, {"macro F1", f1, name}, {"loss", loss, name},
                     {"items", count, name}, {"attention on the event", mass,
                                              "and the four frames after it"}};
    et_report_keys(r, keys, ds->events ? 5 : 4);
    if (et_run_log_rows(run) > 0) {
        et_report_section(r, "Learning");
        et_run_report_curves(r, run, "train_loss", "valid_loss", "loss");
        et_run_report_curves(r, run, NULL, "valid_accuracy", "accuracy");
    }
    et_report_section(r, "Confusion");
    et_report_confusion(r, (int)v->classes, (const char *const *)ds->classes.items, v->counts, NULL,
                        "True classes downwards, the model's answers across; shares are of a row.");
    et_report_section(r, "Attention over time");
    et_report_text(r,
                   "Each picture is an input as the model sees it, standardised; the line is the weight of "
                   "every frame. A recurrent state must first take an event in, so that weight lies "
                   "slightly after it.");
    for (int64_t c = 0, shown = 0; c < v->classes && shown < PICTURES; c++)
        for (int64_t i = 0; i < v->n; i++)
            if (et_data_i32(ds->y)[items->items[i]] == c) {
                genre_report_item(r, kind, ds, items, v, i);
                shown++;
                break;
            }
    return et_run_report_end(r, run, m->root);
}
