/* The verbs of style-vae that read a run: see style_verbs.h. */
#include "config.h"

#include "examples/style_verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "examples/style_report.h"
#include "examples/style_train.h"
#include "examples/style_write.h"
#include "tensor/alloc.h"

enum { STREAM_WRITE = 6000, NAMES = 400 };

/* Options of drawing, of verbs that write, where nothing is drawn. */
static et_status refuse_of_sampling(const et_cli *cli)
{
    if (et_cli_given(cli, "beam") && et_cli_int(cli, "beam") > 1)
        return et_cli_refuse(cli, "temperature top-k greedy tries", "with --beam");
    return et_cli_given(cli, "greedy") ? et_cli_refuse(cli, "temperature top-k tries", "with --greedy")
                                       : ET_OK;
}

et_status style_open(et_cli *cli, style_reading *s)
{
    *s = (style_reading){.run = refuse_of_sampling(cli) ? NULL : et_run_for_reading(cli)};
    if (!s->run)
        return et_error_status();
    s->model = style_model_load(cli, s->run, &s->styles);
    if (!s->model)
        return et_error_status();
    s->events = style_events(strcmp(et_cli_text(cli, "tracks"), "melody") == 0);
    return ET_OK;
}

void style_close(style_reading *s)
{
    if (s->model)
        et_module_free(&s->model->module);
    et_names_free(&s->styles);
    et_run_close(s->run);
}

int32_t style_number(const et_names *styles, const char *name)
{
    char all[NAMES];
    const int64_t k = et_names_find(styles, name);

    return k >= 0 ? (int32_t)k : et_raise(ET_EINVAL, "--style: the run does not know %s; it knows %s", name,
                                          et_text_list(all, sizeof all, styles));
}

et_style_sampling style_sampling_of(const et_cli *cli)
{
    const bool greedy = et_cli_flag(cli, "greedy");

    return (et_style_sampling){.temperature = greedy ? 0 : et_cli_real(cli, "temperature"),
                               .top_k = et_cli_int(cli, "top-k"), .beam = et_cli_int(cli, "beam"),
                               .max_events = et_cli_int(cli, "max-events")};
}

static et_rng rng_of(const et_cli *cli)
{
    return et_rng_make((uint64_t)et_cli_int(cli, "draw"), STREAM_WRITE);
}

/* --- eval ------------------------------------------------------------------------------------------ */

int style_verb_eval(et_cli *cli)
{
    char names[STYLE_FIGURES][32];
    et_figure figures[STYLE_FIGURES];
    style_reading s;
    style_data d = {0};
    style_verdict v = {0};
    et_status status = style_open(cli, &s);
    const et_indices *items = &d.test;
    const char *what = "all of the data";

    if (!status && et_cli_given(cli, "data")) {
        const style_source from = style_source_of(cli);
        status = style_data_judged(&from, &s.styles, &d);
    } else if (!status) { /* the part of the run's own data that training did not see */
        const style_source from = style_source_of(cli);
        status = style_data_load(&from, &d);
        if (!status && d.test.n == 0) {
            items = &d.valid;
            what = "validation part of the run's data";
        } else {
            what = "test part of the corpus";
        }
    }
    if (!status)
        status = style_judge(s.model, &d, items, &v);
    if (!status)
        status = et_run_metrics(s.run, "test", figures, style_figures(&v, "", names, figures));
    if (!status)
        status = style_report(s.run, &d, items, &v, "test", s.model, &s.styles);
    if (!status) {
        style_verdict_print(&v, what);
        printf("report: %s\n", et_run_path(s.run, ET_RUN_REPORT));
    }
    style_verdict_free(&v);
    style_data_free(&d);
    style_close(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- verbs that write ------------------------------------------------------------------------------ */

/* A page of its own, RUN/VERB.html, for what a verb writes to RUN/VERB/ (or --to). */
typedef struct page {
    et_report *report;
    const char *dir;
    char name[32], file[40];
} page;

static et_status page_begin(page *p, const et_cli *cli, style_reading *s, const char *title, const char *lead)
{
    const char *to = et_cli_text(cli, "to");

    snprintf(p->name, sizeof p->name, "%s", et_cli_verb(cli)->name);
    snprintf(p->file, sizeof p->file, "%s.html", p->name);
    p->dir = to ? to : et_run_path(s->run, p->name);
    p->report = et_report_new(title, lead);
    return p->dir && p->report ? ET_OK : et_error_status();
}

/* Writes the page of a verb that came as far as `status`, closes what it opened, and says the exit code. */
static int verb_end(const et_cli *cli, page *p, style_reading *s, et_scope *scope, et_status status)
{
    if (!(status = et_run_page_end(p->report, s->run, p->file, status)))
        printf("files: %s\n", p->dir);
    et_scope_close(scope);
    style_close(s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

static et_status print_pieces(const et_segments *pieces, const et_event_options *o, const char *name)
{
    for (int64_t i = 0; i < pieces->n; i++) {
        et_midi *m = et_events_to_midi(pieces->events + pieces->begin[i],
                                       pieces->begin[i + 1] - pieces->begin[i], o);
        style_measures x;
        char key[16];
        if (!m)
            return et_error_status();
        style_measure(m, &x);
        printf("%s-%" PRId64 ": %" PRId64
               " note%s, %.1f quarters, %s (clarity %.2f), range %d semitones, %.0f %% on the grid\n", name,
               i + 1, x.notes, et_plural(x.notes), x.beats, style_key(&x, key), x.clarity, x.high - x.low,
               100 * x.on_grid);
        et_midi_free(m);
    }
    return ET_OK;
}

int style_verb_generate(et_cli *cli)
{
    style_reading s;
    page p = {0};
    et_segments pieces = {0};
    et_scope *scope = et_scope_open();
    et_status status = style_open(cli, &s);
    const char *style = et_cli_text(cli, "style");
    const et_style_sampling how = style_sampling_of(cli);
    const int64_t n = et_cli_int(cli, "count");
    et_rng rng = rng_of(cli);
    const int32_t k = status ? status : style_number(&s.styles, style);

    status = k < 0 ? k : page_begin(&p, cli, &s, "Pieces in a style", "Contents are drawn from the prior.");
    if (!status) {
        et_tensor *z = et_zeros(ET_F32, ET_SHAPE(n, s.model->config.content));
        status = z ? et_fill_normal(z, &rng, 0, 1) : et_error_status();
        if (!status)
            status = style_write_chosen(s.model, z, et_full(ET_I32, ET_SHAPE(n), k), &how,
                                        style_tries(cli, s.model, &how), &rng, &pieces);
    }
    if (!status)
        et_report_section(p.report, style);
    if (!status)
        status = style_report_pieces(p.report, p.dir, style, &pieces, &s.events, NULL);
    if (!status)
        status = print_pieces(&pieces, &s.events, style);
    et_segments_free(&pieces);
    return verb_end(cli, &p, &s, scope, status);
}

/* All segments one after the other, their ENDs left out:
 * dt of a segment's first note counts from the note before it. */
static et_status join(et_segments *s)
{
    int64_t n = 0;

    for (int64_t i = 0; i < s->n; i++) {
        int64_t end = s->begin[i + 1];
        if (end > s->begin[i] && s->events[end - 1].dt < 0)
            end--;
        for (int64_t t = s->begin[i]; t < end; t++)
            s->events[n++] = s->events[t];
    }
    s->n = 1;
    s->begin[1] = s->n_events = n;
    return ET_OK;
}

/* The segments of a file, and the content and style in which the model hears each. */
typedef struct heard_piece {
    et_segments segments;
    et_style_batch batch;
    et_tensor *z, *styles;
} heard_piece;

static et_status hear(const et_cli *cli, const style_reading *s, int operand, heard_piece *h)
{
    et_status status = style_piece(et_cli_operand(cli, operand), &s->events, &h->segments);

    if (!status)
        status = style_piece_batch(&h->segments, 0, &h->batch);
    if (!status && !(h->z = style_content(s->model, &h->batch, &h->styles)))
        status = et_error_status();
    return status;
}

/* The style that a piece is in: --style, or as most of its segments are heard. */
static int32_t style_of(const et_cli *cli, const style_reading *s, et_tensor *heard)
{
    const char *style = et_cli_text(cli, "style");
    int32_t best = 0;

    if (style)
        return style_number(&s->styles, style);
    if (!heard)
        return et_raise(ET_EINVAL, "a model with labels does not hear styles: --style says the piece's");
    for (int64_t k = 0, most = -1; k < s->styles.n; k++) {
        int64_t votes = 0;
        for (int64_t i = 0; i < heard->numel; i++)
            votes += et_data_i32(heard)[i] == k;
        if (votes > most) {
            most = votes;
            best = (int32_t)k;
        }
    }
    return best;
}

/* The original and what is written from its content in style k
 * (negative: each segment in the style it was heard in). */
static et_status rewrite(et_cli *cli, style_reading *s, page *p, const char *label, int32_t k, heard_piece *h)
{
    const et_style_sampling how = style_sampling_of(cli);
    et_rng rng = rng_of(cli);
    et_segments made = {0};
    et_tensor *styles = k < 0 ? h->styles : et_full(ET_I32, ET_SHAPE(h->segments.n), k);
    et_status status = styles ? style_write_events(s->model, h->z, styles, &how, &rng, &made)
                              : et_error_status();
    const char *const original[] = {"the original, as events"}, *const new[] = {label};

    if (!status)
        status = join(&h->segments);
    if (!status)
        status = join(&made);
    if (!status)
        et_report_section(p->report, "Original");
    if (!status)
        status = style_report_pieces(p->report, p->dir, "original", &h->segments, &s->events, original);
    if (!status)
        et_report_section(p->report, label);
    if (!status)
        status = style_report_pieces(p->report, p->dir, p->name, &made, &s->events, new);
    if (!status)
        status = print_pieces(&made, &s->events, p->name);
    et_segments_free(&made);
    return status;
}

/* Prints how many events of the file are named rightly, fed with the true ones before. */
static et_status print_accuracy(const style_reading *s, const et_style_batch *b)
{
    const style_data d = {.ds = &(et_dataset){.x = b->x, .y = b->labels, .lengths = b->lengths},
                          .events = s->events};
    const int64_t n = b->x->shape[0];
    et_indices all = {.items = et_alloc((size_t)n * sizeof *all.items + 1), .n = n};
    style_verdict v = {0};

    for (int64_t i = 0; all.items && i < n; i++)
        all.items[i] = (int32_t)i;
    const et_status status = all.items ? style_judge(s->model, &d, &all, &v) : et_error_status();
    if (!status)
        printf("%" PRId64
               " segment%s: pitch %.3f, dt %.3f, duration %.3f of the events right, KL %.1f nats a segment\n",
               n, et_plural(n), v.accuracy[0], v.accuracy[1], v.accuracy[2], v.kl_nats);
    style_verdict_free(&v);
    et_indices_free(&all);
    return status;
}

int style_verb_reconstruct(et_cli *cli)
{
    style_reading s;
    page p = {0};
    heard_piece h = {.z = NULL};
    et_scope *scope = et_scope_open();
    et_status status = style_open(cli, &s);

    if (!status)
        status = hear(cli, &s, 0, &h);
    const int32_t k = status ? status : style_of(cli, &s, h.styles);
    if (!status && k < 0)
        status = k;
    if (!status)
        status = et_fill(h.batch.labels, k);
    if (!status && !et_cli_text(cli, "style")) {
        fputs("heard as ", stdout);
        et_text_print(stdout, s.styles.items[k], 0);
        putchar('\n');
    }
    if (!status)
        status = print_accuracy(&s, &h.batch);
    if (!status)
        status = page_begin(&p, cli, &s, "A piece rebuilt",
                            "Every four bars are written again from their content and style.");
    if (!status)
        status = rewrite(cli, &s, &p, "Rebuilt", k, &h);
    et_segments_free(&h.segments);
    return verb_end(cli, &p, &s, scope, status);
}

int style_verb_transfer(et_cli *cli)
{
    style_reading s;
    page p = {0};
    heard_piece h = {.z = NULL};
    et_scope *scope = et_scope_open();
    et_status status = style_open(cli, &s);
    const int32_t k = status ? status : style_number(&s.styles, et_cli_text(cli, "style"));

    status = k < 0 ? k : hear(cli, &s, 0, &h);
    if (!status)
        status = page_begin(&p, cli, &s, "A piece in another style",
                            "The content z_c of every four bars stays; the style changes.");
    if (!status)
        status = rewrite(cli, &s, &p, s.styles.items[k], k, &h);
    et_segments_free(&h.segments);
    return verb_end(cli, &p, &s, scope, status);
}

/* From the first segment of A to that of B, in equal steps; styles change along with it. */
int style_verb_interpolate(et_cli *cli)
{
    style_reading s;
    page p = {0};
    heard_piece h[2] = {{.z = NULL}, {.z = NULL}};
    et_segments made = {0};
    int32_t style[2] = {0, 0};
    et_scope *scope = et_scope_open();
    et_status status = style_open(cli, &s);
    const int64_t steps = et_cli_int(cli, "steps");
    const et_style_sampling how = style_sampling_of(cli);
    et_rng rng = rng_of(cli);

    for (int i = 0; !status && i < 2; i++) {
        status = hear(cli, &s, i, &h[i]);
        if (!status && (style[i] = style_of(cli, &s, h[i].styles)) < 0)
            status = style[i];
    }
    if (!status)
        status = page_begin(&p, cli, &s, "From one piece to another",
                            "The content goes in equal steps from the first four bars of one piece to those "
                            "of another.");
    if (!status) {
        const int64_t w = s.model->config.content, S = s.styles.n;
        et_tensor *way = et_zeros(ET_F32, ET_SHAPE(steps, w)), *mix = et_zeros(ET_F32, ET_SHAPE(steps, S));
        et_tensor *a = et_contiguous(h[0].z), *c = et_contiguous(h[1].z);
        float *to = way ? et_data_mut(way) : NULL, *weight = mix ? et_data_mut(mix) : NULL;
        for (int64_t i = 0; to && weight && a && c && i < steps; i++) {
            const float t = steps > 1 ? (float)i / (float)(steps - 1) : 0;
            for (int64_t k = 0; k < w; k++)
                to[i * w + k] = (1 - t) * et_data_f32(a)[k] + t * et_data_f32(c)[k];
            weight[i * S + style[0]] += 1 - t;
            weight[i * S + style[1]] += t;
        }
        status = et_error_status() ? et_error_status()
                                   : style_write_mixed(s.model, way, mix, &how, &rng, &made);
    }
    if (!status) {
        et_report_section(p.report, "The way");
        et_report_text(p.report, "%s (%s) to %s (%s)", et_cli_operand(cli, 0), s.styles.items[style[0]],
                       et_cli_operand(cli, 1), s.styles.items[style[1]]);
        status = style_report_pieces(p.report, p.dir, "step", &made, &s.events, NULL);
    }
    if (!status)
        status = print_pieces(&made, &s.events, "step");
    et_segments_free(&h[0].segments);
    et_segments_free(&h[1].segments);
    et_segments_free(&made);
    return verb_end(cli, &p, &s, scope, status);
}
