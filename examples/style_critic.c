/* The verb judge:
 * what an independent listener, histograms and a search for copies say of generated pieces. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/folder.h"
#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "examples/style_compare.h"
#include "examples/style_listener.h"
#include "examples/style_report.h"
#include "examples/style_train.h"
#include "examples/style_verbs.h"
#include "examples/style_write.h"
#include "tensor/alloc.h"
#include "tensor/file.h"

enum { STREAM_JUDGE = 8000, SHOWN = 4 /* pieces of a style that are measured one by one */ };

/* What is known of the pieces of one style. */
typedef struct style_result {
    int64_t right, copies;
    style_histograms real, held, made;
    double accuracy; /* of the judge on held-out segments of the style */
} style_result;

typedef struct critic {
    et_cli *cli;
    style_reading run;
    style_data d;
    et_rnn_attention *listener;
    style_copies copies;
    style_result *of;   /* [S] */
    int64_t *asked;     /* [S] pieces */
    int64_t *counts;    /* [S, S] asked for, heard; without notes a piece is heard as nothing */
    double accuracy, majority;
    int64_t held, tries; /* segments of the validation part; drawings of a piece */
    const char *dir;
    et_report *report;
    char (*names)[48];  /* of the measured pieces [S SHOWN] */
    style_measures *measures;
    int n_measured;
} critic;

static bool is_there(const char *path)
{
    FILE *f = fopen(path, "rb");

    if (f)
        fclose(f);
    return f != NULL;
}

/* The weights in the file, where it has some of a judge that learned from this data; else *train: there is no
 * file, or the run's own is of other data. A file of --judge that is of other data is an error. */
static et_status read_listener(critic *c, const char *path, bool *train)
{
    et_strbuf why = ET_STRBUF_INIT;
    const bool there = is_there(path);
    const int is = there ? style_listener_is_of(path, &c->d, &why) : 0;
    et_status status = is < 0 ? (et_status)is : ET_OK;

    *train = is == 0;
    if (is == 1)
        status = et_run_load_weights(&c->listener->module, path);
    else if (there && !status && et_cli_given(c->cli, "judge"))
        status = et_raise(ET_EINVAL, "%s: %s: give another file with --judge; one that is not there is made",
                          path, why.data);
    else if (there && !status)
        printf("%s: %s: another one learns\n", path, why.data);
    et_strbuf_free(&why);
    et_module_eval(&c->listener->module);
    return status;
}

/* The judge of --judge (RUN/judge.safetensors), trained and written where it is not there yet, and its
 * accuracy on the validation part. */
static et_status make_listener(critic *c)
{
    const char *path = et_cli_text(c->cli, "judge");
    bool train = false;
    const int64_t S = c->run.styles.n, n = c->d.valid.n;
    int32_t *heard = et_alloc((size_t)n * sizeof *heard + 1);
    int64_t *of = et_alloc_zero((size_t)S + 1, sizeof *of), right = 0, most = 0;

    path = path ? path : et_run_path(c->run.run, "judge.safetensors");
    c->listener = path && heard && of ? style_listener_new(S) : NULL;
    et_status status = c->listener ? ET_OK : et_error_status();
    if (!status)
        status = read_listener(c, path, &train);
    if (!status && train) {
        status = et_writer_try(path); /* better known before it learns */
        if (!status)
            status = et_folder_make(c->dir);
        if (!status)
            status = style_listener_train(c->listener, &c->d);
        if (!status)
            status = style_listener_write(c->listener, &c->d, path);
    }
    if (!status)
        status = style_listen_items(c->listener, &c->d, &c->d.valid, heard);
    for (int64_t i = 0; !status && i < n; i++) {
        const int32_t y = et_data_i32(c->d.ds->y)[c->d.valid.items[i]];
        right += heard[i] == y;
        c->of[y].accuracy += heard[i] == y;
        of[y]++;
    }
    for (int64_t k = 0; !status && k < S; k++) {
        c->of[k].accuracy /= of[k] > 0 ? (double)of[k] : 1;
        most = of[k] > most ? of[k] : most;
    }
    c->accuracy = (double)right / (double)n;
    c->majority = (double)most / (double)n;
    c->held = n;
    et_dealloc(heard);
    et_dealloc(of);
    return status;
}

/* Writes the first pieces of a style as files and keeps their measures. */
static et_status measure_some(critic *c, int32_t k, const et_segments *pieces)
{
    et_status status = ET_OK;

    for (int64_t i = 0; !status && i < pieces->n && i < SHOWN; i++) {
        const et_event *e = pieces->events + pieces->begin[i];
        et_midi *m = et_events_to_midi(e, pieces->begin[i + 1] - pieces->begin[i], &c->run.events);
        char *name = c->names[c->n_measured];
        const char *style = c->run.styles.items[k];
        snprintf(name, sizeof c->names[0], "%.*s-%d", et_text_cut(style, 30), style, (int)i + 1);
        status = m ? style_write(c->dir, name, m, NULL, name, &c->measures[c->n_measured++])
                   : et_error_status();
        et_midi_free(m);
    }
    return status;
}

static et_status judge_style(critic *c, int32_t k)
{
    const et_style_sampling how = style_sampling_of(c->cli);
    const int64_t n = et_cli_int(c->cli, "count"), S = c->run.styles.n;
    style_result *r = &c->of[k];
    et_rng rng = et_rng_make((uint64_t)et_cli_int(c->cli, "draw"), STREAM_JUDGE + (uint64_t)k);
    int32_t *heard = et_alloc((size_t)n * sizeof *heard + 1);
    et_segments pieces = {0};
    et_scope *scope = et_scope_open();
    et_tensor *z = et_zeros(ET_F32, ET_SHAPE(n, c->run.model->config.content));
    et_status status = z && heard ? et_fill_normal(z, &rng, 0, 1) : et_error_status();

    c->tries = style_tries(c->cli, c->run.model, &how);
    if (!status)
        status = style_write_chosen(c->run.model, z, et_full(ET_I32, ET_SHAPE(n), k), &how, c->tries, &rng,
                                    &pieces);
    if (!status)
        status = style_listen(c->listener, &pieces, heard);
    for (int64_t i = 0; !status && i < n; i++) {
        c->asked[k]++;
        r->right += heard[i] == k;
        if (heard[i] >= 0)
            c->counts[k * S + heard[i]]++;
        r->copies += style_copied(&c->copies, pieces.events + pieces.begin[i],
                                  pieces.begin[i + 1] - pieces.begin[i]);
    }
    if (!status)
        status = style_histogram(&pieces, &c->run.events, &r->made);
    if (!status)
        status = style_histogram_items(&c->d, &c->d.train, k, &r->real);
    if (!status)
        status = style_histogram_items(&c->d, &c->d.valid, k, &r->held);
    if (!status)
        status = measure_some(c, k, &pieces);
    et_segments_free(&pieces);
    et_scope_close(scope);
    et_dealloc(heard);
    return status;
}

/* --- showing --------------------------------------------------------------------------------------- */

/* How good a measured piece looks on paper: a clear key and notes on the grid; nothing without notes. */
static double merit(const style_measures *m) { return m->notes > 0 ? m->clarity * m->on_grid : -1; }

static void chart(et_report *r, const char *what, const char *x_label, int64_t n, double first,
                  const double *real, const double *made)
{
    double x[STYLE_DURATIONS];

    for (int64_t i = 0; i < n; i++)
        x[i] = first + (double)i;
    const et_series s[] = {{.name = "real", .n = n, .x = x, .y = real},
                           {.name = "generated", .n = n, .x = x, .y = made}};
    et_report_lines(r, &(et_chart){.what = what, .x_label = x_label, .y_label = "share of notes", .series = s,
                                   .n_series = 2}, what);
}

static void show_table(critic *c, double hit, double copied)
{
    enum { COLS = 8 };
    static const char *const header[COLS] = {"style", "pieces", "heard as asked", "judge on real ones",
                                             "copies", "pitch classes", "durations", "intervals"};
    const int64_t S = c->run.styles.n;
    char (*text)[COLS][40] = et_alloc_zero((size_t)S + 1, sizeof *text);
    const char **cells = et_alloc_zero((size_t)S, COLS * sizeof *cells);

    printf("%-12s %7s %9s %11s %7s   overlap of histograms with real pieces (of held-out ones with them)\n",
           "style", "pieces", "hit rate", "judge, real", "copies");
    for (int64_t k = 0; text && cells && k < S; k++) {
        const style_result *r = &c->of[k];
        const double o[6] = {style_overlap(STYLE_CLASSES, r->real.classes, r->made.classes),
                             style_overlap(STYLE_DURATIONS, r->real.durations, r->made.durations),
                             style_overlap(STYLE_INTERVALS, r->real.intervals, r->made.intervals),
                             style_overlap(STYLE_CLASSES, r->real.classes, r->held.classes),
                             style_overlap(STYLE_DURATIONS, r->real.durations, r->held.durations),
                             style_overlap(STYLE_INTERVALS, r->real.intervals, r->held.intervals)};
        snprintf(text[k][1], 40, "%" PRId64, c->asked[k]);
        snprintf(text[k][2], 40, "%.2f", (double)r->right / (double)c->asked[k]);
        snprintf(text[k][3], 40, "%.2f", r->accuracy);
        snprintf(text[k][4], 40, "%.3f", (double)r->copies / (double)c->asked[k]);
        for (int i = 0; i < 3; i++)
            snprintf(text[k][5 + i], 40, "%.2f (%.2f)", o[i], o[3 + i]);
        cells[k * COLS] = c->run.styles.items[k];
        for (int i = 1; i < COLS; i++)
            cells[k * COLS + i] = text[k][i];
        et_text_print(stdout, cells[k * COLS], 12);
        printf(" %7s %9s %11s %7s   pitch classes %s, durations %s, intervals %s\n", text[k][1], text[k][2],
               text[k][3], text[k][4], text[k][5], text[k][6], text[k][7]);
    }
    printf("hit rate %.3f (of %" PRId64 " drawing%s each), copies of %d notes %.3f; the judge names %.3f of "
           "%" PRId64 " held-out segment%s rightly (largest style: %.3f)\n", hit, c->tries,
           et_plural(c->tries), (int)STYLE_STRETCH, copied, c->accuracy, c->held, et_plural(c->held),
           c->majority);
    if (text && cells)
        et_report_table(c->report,
                        "Generated pieces by style. Overlap of histograms: 1 for equal ones; in brackets "
                        "that of held-out real segments.", COLS, header, (int)S, cells);
    et_dealloc(text);
    et_dealloc(cells);
}

/* Asked for downwards, heard across, in shares of the pieces asked for. */
static void show_confusion(critic *c, int64_t all)
{
    const int64_t S = c->run.styles.n;
    char caption[160] = "Styles asked for downwards, heard across; shares are of the pieces asked for.";
    int64_t silent = all;

    printf("%-12s", "heard as");
    for (int64_t j = 0; j < S; j++) {
        putchar(' ');
        et_text_print_right(stdout, c->run.styles.items[j], 9);
    }
    for (int64_t k = 0; k < S; k++) {
        putchar('\n');
        et_text_print(stdout, c->run.styles.items[k], 12);
        for (int64_t j = 0; j < S; j++) {
            printf(" %9.2f", (double)c->counts[k * S + j] / (double)c->asked[k]);
            silent -= c->counts[k * S + j];
        }
    }
    putchar('\n');
    if (silent > 0) {
        const size_t n = strlen(caption);
        snprintf(caption + n, sizeof caption - n, " Without notes: %" PRId64 " of %" PRId64 ".", silent, all);
        printf("%s\n", caption + n + 1);
    }
    et_report_confusion(c->report, (int)S, (const char *const *)c->run.styles.items, c->counts, c->asked,
                        caption);
}

/* Means of style_measure over all pieces of all styles, generated and held-out ones,
 * each style counting alike. */
static void show_measures(critic *c)
{
    static const char *const header[] = {"pieces", "clarity of the key", "range (semitones)",
                                         "on the sixteenth grid"};
    const char *cells[8];
    char text[2][3][16];
    double mean[2][3] = {{0}};

    for (int64_t k = 0; k < c->run.styles.n; k++)
        for (int i = 0; i < 2; i++) {
            const style_histograms *h = i ? &c->of[k].held : &c->of[k].made;
            mean[i][0] += h->clarity / (double)c->run.styles.n;
            mean[i][1] += h->range / (double)c->run.styles.n;
            mean[i][2] += h->on_grid / (double)c->run.styles.n;
        }
    for (int i = 0; i < 2; i++) {
        cells[4 * i] = i ? "real, held out" : "generated";
        for (int j = 0; j < 3; j++) {
            snprintf(text[i][j], 16, j == 1 ? "%.1f" : "%.3f", mean[i][j]);
            cells[4 * i + 1 + j] = text[i][j];
        }
        printf("%s: clarity of the key %s, range %s semitones, %s of the notes on the grid\n", cells[4 * i],
               text[i][0], text[i][1], text[i][2]);
    }
    et_report_table(c->report, "Means over all pieces, each style counting alike", 4, header, 2, cells);
}

static et_status show_pieces(critic *c)
{
    int best = 0, worst = 0;
    const char **names = et_alloc_zero((size_t)c->n_measured + 1, sizeof *names);
    et_status status = names ? ET_OK : et_error_status();
    int64_t hanging = 0;
    double clarity = 0, range = 0, grid = 0;

    for (int i = 0; !status && i < c->n_measured; i++) {
        const style_measures *m = &c->measures[i];
        names[i] = c->names[i];
        best = merit(m) > merit(&c->measures[best]) ? i : best;
        worst = merit(m) < merit(&c->measures[worst]) ? i : worst;
        hanging += m->hanging;
        clarity += m->clarity / c->n_measured;
        range += (double)(m->high - m->low) / c->n_measured;
        grid += m->on_grid / c->n_measured;
    }
    if (!status) {
        et_report_section(c->report, "Pieces measured");
        style_measure_table(c->report, c->n_measured, names, c->measures);
        printf("%d piece%s measured: clarity of the key %.2f, range %.1f semitones, %.1f %% of the notes on "
               "the grid, %" PRId64
               " hanging; best %s, worst %s\n", c->n_measured, et_plural(c->n_measured), clarity, range,
               100 * grid, hanging,
               names[best], names[worst]);
    }
    for (int i = 0; !status && i < 2; i++) {
        char path[4200], caption[96];
        const char *name = names[i ? worst : best];
        snprintf(path, sizeof path, "%s/%s.mid", c->dir, name);
        snprintf(caption, sizeof caption, "%s: %s", i ? "the worst of them" : "the best of them", name);
        et_midi *m = et_midi_read(path);
        status = m ? style_write(c->dir, name, m, c->report, caption, NULL) : et_error_status();
        et_midi_free(m);
    }
    et_dealloc(names);
    return status;
}

static et_status show(critic *c)
{
    const int64_t S = c->run.styles.n;
    double hit = 0, copied = 0;
    int64_t all = 0;
    char accuracy[64], text[2][32];

    for (int64_t k = 0; k < S; k++) {
        all += c->asked[k];
        hit += (double)c->of[k].right / (double)c->asked[k] / (double)S;
        copied += (double)c->of[k].copies / (double)c->asked[k] / (double)S;
    }
    snprintf(text[0], 32, "%.3f", hit);
    snprintf(text[1], 32, "%.3f", copied);
    snprintf(accuracy, sizeof accuracy, "%.3f", c->accuracy);
    const et_key keys[] = {{"style hit rate", text[0], "mean over styles"},
                           {"pieces with a copy", text[1], "16 notes or more"},
                           {"the judge on real pieces", accuracy, "held out"}};
    et_report_keys(c->report, keys, 3);
    et_report_text(c->report,
                   "The judge is a bidirectional recurrent network with attention that has learned from the "
                   "real training segments alone. A copy is a stretch of 16 notes whose intervals "
                   "and times stand in a training piece.");
    if (c->tries > 1)
        et_report_text(c->report,
                       "Each piece was drawn %" PRId64 " times and is the one in which the model's own style "
                       "head heard the style best; the judge had no part in that.", c->tries);
    show_table(c, hit, copied);
    show_confusion(c, all);
    show_measures(c);
    et_status status = show_pieces(c);
    for (int64_t k = 0; !status && k < S; k++) {
        style_result *r = &c->of[k];
        et_report_section(c->report, c->run.styles.items[k]);
        chart(c->report, "Pitch classes above the tonic", "semitones above the tonic", STYLE_CLASSES, 0,
              r->real.classes, r->made.classes);
        chart(c->report, "Durations", "duration in 32nd notes", STYLE_DURATIONS, 0, r->real.durations,
              r->made.durations);
        chart(c->report, "Intervals", "semitones from the note before", STYLE_INTERVALS, -12,
              r->real.intervals, r->made.intervals);
    }
    const et_figure figures[] = {{"hit_rate", hit}, {"copies", copied}, {"judge_accuracy", c->accuracy},
                                 {"pieces", (double)all}, {"tries", (double)c->tries}};
    return status ? status : et_run_metrics(c->run.run, "judge", figures, 5);
}

int style_verb_judge(et_cli *cli)
{
    critic c = {.cli = cli};
    et_status status = style_open(cli, &c.run);
    const int64_t S = status ? 0 : c.run.styles.n;
    const char *to = et_cli_text(cli, "to");

    if (!status) {
        const style_source from = style_source_of(cli);
        status = style_data_load(&from, &c.d);
    }
    for (int64_t k = 0; !status && k < S; k++)
        if (c.d.ds->classes.n != S || et_names_find(&c.d.ds->classes, c.run.styles.items[k]) != k)
            status = et_raise(ET_EINVAL, "%s has other styles than the run",
                              et_cli_text(cli, "data") ? et_cli_text(cli, "data") : "the built-in corpus");
    c.of = et_alloc_zero((size_t)S + 1, sizeof *c.of);
    c.asked = et_alloc_zero((size_t)S + 1, sizeof *c.asked);
    c.counts = et_alloc_zero((size_t)S, (size_t)S * sizeof *c.counts);
    c.names = et_alloc_zero((size_t)S, SHOWN * sizeof *c.names);
    c.measures = et_alloc_zero((size_t)S, SHOWN * sizeof *c.measures);
    if (!status && (!c.of || !c.asked || !c.counts || !c.names || !c.measures))
        status = et_error_status();
    if (!status) {
        c.dir = to ? to : et_run_path(c.run.run, "judge");
        c.report = et_report_new("Generated pieces, judged",
                                 "What an independent listener, histograms and a search for copies say.");
        status = c.dir && c.report ? ET_OK : et_error_status();
    }
    if (!status)
        status = make_listener(&c);
    if (!status)
        status = style_copies_of(&c.d, &c.d.train, &c.copies);
    for (int64_t k = 0; !status && k < S; k++)
        status = judge_style(&c, (int32_t)k);
    if (!status)
        status = show(&c);
    status = et_run_page_end(c.report, c.run.run, "judge.html", status);
    style_copies_free(&c.copies);
    if (c.listener)
        et_module_free(&c.listener->module);
    et_dealloc(c.of);
    et_dealloc(c.asked);
    et_dealloc(c.counts);
    et_dealloc(c.names);
    et_dealloc(c.measures);
    style_data_free(&c.d);
    style_close(&c.run);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}
