/* report.html of style-vae: see style_report.h. */
#include "config.h"

#include "examples/style_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "examples/style_write.h"
#include "tensor/alloc.h"

enum { MOST_COLUMNS = 8, MOST_POINTS = 1500, PIECES_A_STYLE = 1, STREAM_REPORT = 5000, CAPTION = 160 };
static const et_style_sampling usual = {.temperature = 0.8, .max_events = 128};

void style_report_columns(et_report *r, int n, const et_run *const *runs, const char *const *columns,
                          const char *const *labels, const char *y_label, const char *caption)
{
    et_series s[MOST_COLUMNS];
    double *y[MOST_COLUMNS] = {NULL};
    const bool counts = strcmp(columns[0], "valid_active_units") == 0;
    int used = 0;

    for (int i = 0; i < n && i < MOST_COLUMNS; i++) {
        const int64_t rows = et_run_log_rows(runs[i]);
        y[i] = et_alloc_zero((size_t)rows + 1, sizeof *y[i]);
        if (y[i] && rows > 0 && et_run_log_column(runs[i], columns[i], y[i]) == ET_OK)
            s[used++] = (et_series){.name = labels[i], .n = rows, .y = y[i]};
    }
    if (used > 0)
        et_report_lines(r, &(et_chart){.what = y_label, .x_label = "epoch", .y_label = y_label, .series = s,
                                       .n_series = used, .counts = counts},
                        caption);
    for (int i = 0; i < MOST_COLUMNS; i++)
        et_dealloc(y[i]);
}

/* Training and validation values of one term. */
static void term(et_report *r, const et_run *run, const char *name, const char *label)
{
    char train[48], valid[48];

    snprintf(train, sizeof train, "train_%s", name);
    snprintf(valid, sizeof valid, "valid_%s", name);
    et_run_report_curves(r, run, train, valid, label);
}

static void learning(et_report *r, const et_run *run)
{
    const et_run *const runs[] = {run, run, run};

    if (et_run_log_rows(run) < 1)
        return;
    et_report_section(r, "Learning");
    et_report_text(r,
                   "The loss is 3 CE(pitch) + CE(dt) + CE(duration) + beta KL + the style's cross entropy + "
                   "the hinge of mu-forcing; here are its terms one by one. The validation loss counts "
                   "the divergence at its full weight.");
    term(r, run, "loss", "loss");
    term(r, run, "pitch_loss", "cross entropy of the pitch (nats an event)");
    term(r, run, "dt_loss", "cross entropy of dt");
    term(r, run, "dur_loss", "cross entropy of the duration");
    term(r, run, "kl_loss", "divergence (mean over dimensions)");
    term(r, run, "style_loss", "cross entropy of the style");
    term(r, run, "mu_loss", "hinge of mu-forcing");
    style_report_columns(r, 1, runs, (const char *const[]){"beta"}, (const char *const[]){"beta"},
                         "weight of the divergence (beta)", NULL);
    et_report_section(r, "What the latent space holds");
    style_report_columns(r, 2, runs, (const char *const[]){"valid_kl", "valid_mutual_information"},
                         (const char *const[]){"KL(q(z|x) || p)", "I(x; z)"}, "nats a segment",
                         "Divergence of the posterior from the prior, and mutual information of segment and "
                         "content.");
    style_report_columns(r, 1, runs, (const char *const[]){"valid_active_units"},
                         (const char *const[]){"active units"}, "active units",
                         "Dimensions of z_c whose mean varies by more than 0.01.");
    style_report_columns(r, 3, runs,
                         (const char *const[]){"valid_pitch_accuracy", "valid_dt_accuracy",
                                               "valid_dur_accuracy"},
                         (const char *const[]){"pitch", "dt", "duration"}, "accuracy of reconstruction",
                         "Share of events named rightly, fed with the true ones before (validation).");
}

void style_report_plane(et_report *r, const style_verdict *v, const et_names *styles)
{
    const int64_t n = v->n < MOST_POINTS ? v->n : MOST_POINTS;
    double *xy = et_alloc_zero((size_t)v->n, 2 * sizeof *xy),
           *sorted = et_alloc_zero((size_t)n, 2 * sizeof *sorted);
    double share[2];
    et_series *s = et_alloc_zero((size_t)styles->n + 1, sizeof *s);
    char caption[CAPTION];
    int64_t at = 0;

    if (xy && sorted && s && !style_plane(v->n, v->width, v->mean, xy, share)) {
        for (int64_t k = 0; k < styles->n; k++) {
            s[k] = (et_series){.name = styles->items[k], .x = sorted + at, .y = sorted + n + at,
                               .points = true};
            for (int64_t i = 0; i < n; i++) {
                const int64_t item = i * v->n / n;
                if (v->truth[item] != k)
                    continue;
                sorted[at] = xy[item];
                sorted[n + at++] = xy[v->n + item];
                s[k].n++;
            }
        }
        int used = 0;
        for (int64_t k = 0; k < styles->n; k++)
            if (s[k].n > 0)
                s[used++] = s[k];
        snprintf(caption, sizeof caption,
                 "Means of z_c along their two main axes, which hold %.0f and %.0f %% of the variance.",
                 100 * share[0], 100 * share[1]);
        et_report_lines(r, &(et_chart){.what = "Content by style", .x_label = "first axis",
                                       .y_label = "second axis", .series = s, .n_series = used}, caption);
    }
    et_dealloc(xy);
    et_dealloc(sorted);
    et_dealloc(s);
}

et_status style_report_pieces(et_report *r, const char *dir, const char *name, const et_segments *pieces,
                              const et_event_options *o, const char *const *captions)
{
    style_measures *measures = et_alloc_zero((size_t)pieces->n + 1, sizeof *measures);
    char (*files)[80] = et_alloc_zero((size_t)pieces->n + 1, sizeof *files);
    const char **names = et_alloc_zero((size_t)pieces->n + 1, sizeof *names);
    et_status status = et_error_status();

    for (int64_t i = 0; !status && i < pieces->n; i++) {
        const et_event *e = pieces->events + pieces->begin[i];
        et_midi *m = et_events_to_midi(e, pieces->begin[i + 1] - pieces->begin[i], o);
        snprintf(files[i], sizeof files[i], "%.*s-%" PRId64, et_text_cut(name, 50), name, i + 1);
        names[i] = files[i];
        status = m ? style_write(dir, files[i], m, r, captions ? captions[i] : files[i], &measures[i])
                   : et_error_status();
        et_midi_free(m);
    }
    if (!status && r)
        style_measure_table(r, (int)pieces->n, names, measures);
    et_dealloc(measures);
    et_dealloc(files);
    et_dealloc(names);
    return status;
}

/* Pieces of contents drawn from the prior, some in every style. */
static et_status pieces_in_styles(et_report *r, const char *dir, const style_data *d, const et_style_vae *m,
                                  const et_names *styles, et_rng *rng)
{
    const int64_t n = styles->n * PIECES_A_STYLE;
    const char **captions = et_alloc_zero((size_t)n, sizeof *captions);
    et_segments pieces = {0};
    et_tensor *z = et_zeros(ET_F32, ET_SHAPE(n, m->config.content)), *y = et_zeros(ET_I32, ET_SHAPE(n));
    et_status status = captions && z && y ? et_fill_normal(z, rng, 0, 1) : et_error_status();
    int32_t *label = status ? NULL : et_data_mut(y);

    for (int64_t i = 0; label && i < n; i++) {
        label[i] = (int32_t)(i / PIECES_A_STYLE);
        captions[i] = styles->items[label[i]];
    }
    if (!status)
        status = style_write_events(m, z, y, &usual, rng, &pieces);
    et_report_section(r, "Pieces in every style");
    et_report_text(r, "Contents drawn from the prior, temperature %.1f.", usual.temperature);
    if (!status)
        status = style_report_pieces(r, dir, "prior", &pieces, &d->events, captions);
    et_segments_free(&pieces);
    et_dealloc(captions);
    return status;
}

/* Three segments: the one of batch b, and the two pieces behind it. */
static et_status behind_segment(const et_style_batch *b, const et_segments *pieces, et_segments *three)
{
    const int32_t length = et_data_i32(b->lengths)[0];
    const float *x = et_data_f32(b->x);

    three->n = 3;
    three->events = et_alloc((size_t)(length + pieces->n_events) * sizeof *three->events + 1);
    three->begin = et_alloc_zero(4, sizeof *three->begin);
    if (!three->events || !three->begin)
        return et_error_status();
    for (int32_t t = 0; t < length; t++)
        three->events[t] = (et_event){(int16_t)x[3 * t], (int16_t)x[3 * t + 1], (int16_t)x[3 * t + 2]};
    for (int64_t t = 0; t < pieces->n_events; t++)
        three->events[length + t] = pieces->events[t];
    for (int i = 0; i < 3; i++)
        three->begin[i + 1] = length + pieces->begin[i];
    return ET_OK;
}

/* A segment of the data beside what the model makes of its content, in its own style and in another. */
static et_status segment_rebuilt(et_report *r, const char *dir, const style_data *d, int32_t item,
                                 const et_style_vae *m, const et_names *styles, et_rng *rng)
{
    const et_style_sampling greedy = {.max_events = usual.max_events};
    const int64_t S = styles->n;
    et_segments pieces = {0}, three = {0};
    et_style_batch b;
    et_tensor *heard;
    et_status status = style_batch(d, &item, 1, 0, &b);

    if (status)
        return status;
    const int32_t truth = et_data_i32(b.labels)[0], other = (int32_t)((truth + 1) % S);
    const char *const captions[] = {"the segment", "rebuilt", S > 1 ? styles->items[other] : "rebuilt again"};
    et_tensor *mean = style_content(m, &b, &heard);
    et_tensor *two = et_concat(2, (et_tensor *const[]){mean, mean}, 0);
    et_tensor *in = et_from(ET_I32, ET_SHAPE(2), (const int32_t[]){truth, other});
    status = two && in ? style_write_events(m, two, in, &greedy, rng, &pieces) : et_error_status();
    if (!status)
        status = behind_segment(&b, &pieces, &three);
    if (!status)
        status = style_report_pieces(r, dir, "rebuilt", &three, &d->events, captions);
    et_segments_free(&three);
    et_segments_free(&pieces);
    return status;
}

/* Pieces to be heard. */
static et_status players(et_report *r, et_run *run, const style_data *d, const et_indices *items,
                         const et_style_vae *m, const et_names *styles)
{
    const char *dir = et_run_path(run, "pieces");
    et_rng rng = et_rng_make(1, STREAM_REPORT);

    if (!dir)
        return et_error_status();
    et_scope *s = et_scope_open();
    et_status status = pieces_in_styles(r, dir, d, m, styles, &rng);
    et_report_section(r, "A segment rebuilt");
    et_report_text(r,
                   "A segment of the data, what the model writes from its content (the likeliest events), "
                   "and the same content in another style.");
    if (!status)
        status = segment_rebuilt(r, dir, d, items->items[0], m, styles, &rng);
    if (s)
        et_scope_close(s);
    return status;
}

et_status style_report(et_run *run, const style_data *d, const et_indices *items, const style_verdict *v,
                       const char *name, const et_style_vae *m, const et_names *styles)
{
    char text[6][32];
    et_report *r = et_report_new("Music in a chosen style",
                                 "Segments of four bars become a content and a style; a recurrent network "
                                 "writes them again, or others of the same content in another style.");

    snprintf(text[0], 32, "%.3f", v->accuracy[0]);
    snprintf(text[1], 32, "%.3f / %.3f", v->accuracy[1], v->accuracy[2]);
    snprintf(text[2], 32, "%.1f", v->kl_nats);
    snprintf(text[3], 32, "%" PRId64 " of %" PRId64, v->active, v->width);
    snprintf(text[4], 32, "%.2f", v->mutual);
    snprintf(text[5], 32, "%.3f", v->style_accuracy);
    const et_key keys[] = {{"pitches right", text[0], name}, {"dt / durations right", text[1], name},
                           {"KL (nats a segment)", text[2], name}, {"active units", text[3], name},
                           {"mutual information (nats)", text[4], name},
                           {"styles right", text[5], "the style head"}};
    et_report_keys(r, keys, m->config.discrete_label ? 5 : 6);
    learning(r, run);
    style_report_plane(r, v, styles);
    if (!m->config.discrete_label) {
        const int64_t S = styles->n;
        int64_t *counts = et_alloc_zero((size_t)S, (size_t)S * sizeof *counts);
        for (int64_t i = 0; counts && i < v->n; i++)
            counts[v->truth[i] * S + v->heard[i]]++;
        et_report_section(r, "Styles as the model hears them");
        if (counts)
            et_report_confusion(r, (int)S, (const char *const *)styles->items, counts, NULL,
                                "True styles downwards, the style head's answers across; shares are of a "
                                "row.");
        et_dealloc(counts);
    }
    const et_status status = players(r, run, d, items, m, styles);
    if (status) {
        et_report_free(r);
        return status;
    }
    return et_run_report_end(r, run, &m->module);
}
