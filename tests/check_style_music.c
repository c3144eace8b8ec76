/* What style-vae measures of pieces: keys, copies, histograms, piano rolls;
 * the order of its batches; two axes of a cloud. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "examples/common/piano_roll.h"
#include "examples/style_compare.h"
#include "examples/style_model.h"
#include "examples/style_write.h"
#include "tests/suite.h"

enum { DURATION = 100 };

/* A piece whose pitch classes have the weights of a major key's profile, tonic `_i`: its clarity is 1. */
START_TEST(keys)
{
    static const double profile[12] = {6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66,
                                       2.29, 2.88};
    et_midi *m = et_midi_new(480);
    style_measures s;
    char text[16];

    ck_assert_int_eq(et_midi_add_track(m, ""), ET_OK);
    for (int k = 0; k < 12; k++)
        ck_assert_int_eq(et_midi_add_note(m, (et_midi_note){.start = 480 * k + (k == 5 ? 7 : 0),
                                                            .pitch = (uint8_t)(48 + (_i + k) % 12),
                                                            .duration = llrint(DURATION * profile[k]),
                                                            .velocity = 80}), ET_OK);
    et_midi_sort(m);
    style_measure(m, &s);
    ck_assert_int_eq(s.tonic, _i);
    ck_assert(!s.minor);
    ck_assert_double_ge(s.clarity, 0.9999);
    ck_assert_int_eq(s.notes, 12);
    ck_assert_int_eq(s.high - s.low, 11);
    ck_assert_double_eq_tol(s.on_grid, 11.0 / 12, 1e-12);
    ck_assert_int_eq(s.hanging, 0);
    ck_assert_ptr_nonnull(strstr(style_key(&s, text), "major"));
    et_midi_free(m);
    m = et_midi_new(480);
    style_measure(m, &s);
    ck_assert(s.notes == 0 && s.clarity == 0 && s.on_grid == 0);
    ck_assert_str_eq(style_key(&s, text), "no key");
    et_midi_free(m);
}
END_TEST

/* A data set of one piece cut into two segments of 10 notes, and one of another piece. */
static void pieces(style_data *d, float *x)
{
    static const int32_t n[3] = {11, 11, 11};

    *d = (style_data){.ds = et_dataset_new(), .events = style_events(true)};
    d->ds->x = et_dataset_tensor(ET_F32, 3, (const int64_t[3]){3, 11, 3});
    d->ds->y = et_dataset_tensor(ET_I32, 1, (const int64_t[1]){3});
    d->ds->lengths = et_dataset_tensor(ET_I32, 1, (const int64_t[1]){3});
    for (int s = 0; s < 3; s++) {
        for (int t = 0; t < 11; t++) {
            float *e = x + (s * 11 + t) * 3;
            e[0] = t == 10 ? 88 : (float)(40 + (s * 10 + t) * (s * 10 + t) % 17);
            e[1] = t == 10 ? -1 : (float)(1 + (s + t) % 3);
            e[2] = t == 10 ? -1 : 4;
        }
    }
    memcpy(et_data_mut(d->ds->x), x, 99 * sizeof *x);
    memcpy(et_data_mut(d->ds->lengths), n, sizeof n);
    et_fill(d->ds->y, 0);
    ck_assert_int_eq(et_names_add(&d->ds->names, "up/a.mid:0"), ET_OK);
    ck_assert_int_eq(et_names_add(&d->ds->names, "up/a.mid:4"), ET_OK);
    ck_assert_int_eq(et_names_add(&d->ds->names, "up/b.mid:8"), ET_OK);
    ck_assert_int_eq(et_names_add(&d->ds->classes, "up"), ET_OK);
    ck_assert_int_eq(et_split_all(d->ds, &d->train), ET_OK);
}

/* Notes from..from+n-1 of the first piece, transposed. */
static void stretch(const float *x, int from, int n, int shift, et_event *out)
{
    for (int t = 0; t < n; t++) {
        const int at = from + t, row = at / 10 * 11 + at % 10;
        out[t] = (et_event){(int16_t)(x[3 * row] + (float)shift), (int16_t)x[3 * row + 1], 2};
    }
}

START_TEST(copies)
{
    style_data d;
    style_copies c;
    et_event e[20];
    float x[99];

    pieces(&d, x);
    ck_assert_int_eq(style_copies_of(&d, &d.train, &c), ET_OK);
    ck_assert_int_eq(c.n, 5); /* 20 notes in a row: five stretches, none in the 10 of the other piece */
    stretch(x, 3, 16, 5, e);
    ck_assert(style_copied(&c, e, 16)); /* across the segments, elsewhere */
    ck_assert(!style_copied(&c, e, 15));
    e[0].dt++; /* that counts from a note before the stretch */
    ck_assert(style_copied(&c, e, 16));
    e[7].dt++;
    ck_assert(!style_copied(&c, e, 16));
    stretch(x, 3, 16, 5, e);
    e[9].pitch++;
    ck_assert(!style_copied(&c, e, 16));
    stretch(x, 3, 16, 5, e);
    e[15] = (et_event){88, -1, -1}; /* END is no note */
    ck_assert(!style_copied(&c, e, 16));
    style_copies_free(&c);
    style_data_free(&d);
}
END_TEST

START_TEST(histograms)
{
    style_data d;
    style_histograms h;
    float x[99];
    double sum = 0;

    pieces(&d, x);
    ck_assert_int_eq(style_histogram_items(&d, &d.train, 0, &h), ET_OK);
    ck_assert_int_eq(h.notes, 30);
    ck_assert_double_eq(h.durations[4], 1);
    for (int i = 0; i < STYLE_INTERVALS; i++)
        sum += h.intervals[i];
    ck_assert_double_eq_tol(sum, 1, 1e-12);
    ck_assert_double_eq_tol(style_overlap(STYLE_INTERVALS, h.intervals, h.intervals), 1, 1e-12);
    ck_assert_double_eq(style_overlap(3, (const double[]){1, 0, 0}, (const double[]){0.25, 0.5, 0.25}), 0.25);
    ck_assert_int_eq(style_histogram_items(&d, &d.train, 1, &h), ET_OK);
    ck_assert(h.notes == 0 && h.pieces == 0 && h.clarity == 0 && h.range == 0);
    style_data_free(&d);

    /* Means over pieces: an octave's scale on sixteenths,
     * and two notes a fifth apart of which one is between them. */
    static const int scale[] = {0, 2, 4, 5, 7, 9, 11, 12};
    et_event e[12];
    for (int i = 0; i < 8; i++)
        e[i] = (et_event){(int16_t)(39 + scale[i]), (int16_t)(i ? 2 : 0), 2};
    e[8] = e[11] = (et_event){88, -1, -1};
    e[9] = (et_event){39, 0, 2};
    e[10] = (et_event){46, 3, 2};
    const et_segments two = {.events = e, .begin = (int64_t[]){0, 9, 12}, .n = 2, .n_events = 12};
    const et_event_options o = et_event_defaults();
    style_measures of[2];
    for (int i = 0; i < 2; i++) {
        et_midi *m = et_events_to_midi(e + two.begin[i], two.begin[i + 1] - two.begin[i], &o);
        style_measure(m, &of[i]);
        et_midi_free(m);
    }
    ck_assert_int_eq(style_histogram(&two, &o, &h), ET_OK);
    ck_assert_int_eq(h.pieces, 2);
    ck_assert_double_eq(h.range, (12 + 7) / 2.0);
    ck_assert_double_eq(h.on_grid, (1 + 0.5) / 2);
    ck_assert_double_eq_tol(h.clarity, (of[0].clarity + of[1].clarity) / 2, 1e-12);
    ck_assert(of[0].clarity > 0.7 && of[0].tonic == 0 && fabs(of[0].clarity - of[1].clarity) > 1e-3);
}
END_TEST

/* ln p(style) as the style head of m says it of each piece. */
static void heard(const et_style_vae *m, const et_segments *pieces, const int32_t *styles, double *out)
{
    et_style_batch b;
    et_style_posterior q;

    ck_assert_int_eq(style_piece_batch(pieces, 0, &b), ET_OK);
    ck_assert_msg(et_style_vae_encode(m, &b, &q) == ET_OK, "%s", et_error_message());
    et_tensor *p = et_log_softmax(q.alpha, -1);
    for (int64_t i = 0; i < pieces->n; i++)
        out[i] = et_get(p, (const int64_t[]){i, styles[i]});
}

/* Of several drawings the one that is heard best is kept, for each piece by itself: the first of them is what
 * one drawing gives. One try is one drawing; a model without a style head cannot choose. */
START_TEST(chosen)
{
    enum { N = 6, TRIES = 5 };
    static const int32_t styles[N] = {0, 1, 2, 2, 1, 0};
    et_style_vae_config c = et_style_vae_small();
    const et_style_sampling how = {.temperature = 1, .max_events = 12};
    double one[N], best[N];
    int better = 0;

    c.cell = ET_VAE_GRU;
    c.styles = 3;
    for (int k = 0; k < 2; k++) {
        c.discrete_label = k == 1;
        et_rng rng = et_rng_make(17, 0), first = et_rng_make(4, 4), same = first, all = first;
        et_style_vae *m = et_style_vae_new(NULL, NULL, &c, &rng);
        et_segments pieces[3] = {{0}, {0}, {0}};
        ck_assert_msg(m != NULL, "%s", et_error_message());
        for (int64_t i = 0; i < et_module_n_entries(&m->module); i++)
            et_fill_normal(et_module_entry(&m->module, i)->tensor, &rng, 0, 0.4);
        et_module_eval(&m->module);
        et_scope *s = et_scope_open();
        et_tensor *z = et_zeros(ET_F32, ET_SHAPE(N, c.content)), *y = et_from(ET_I32, ET_SHAPE(N), styles);
        et_fill_normal(z, &rng, 0, 1);
        ck_assert_int_eq(style_write_events(m, z, y, &how, &first, &pieces[0]), ET_OK);
        ck_assert_int_eq(style_write_chosen(m, z, y, &how, 1, &same, &pieces[1]), ET_OK);
        ck_assert_int_eq(pieces[0].n_events, pieces[1].n_events);
        const size_t size = (size_t)pieces[0].n_events * sizeof *pieces[0].events;
        ck_assert(!memcmp(pieces[0].events, pieces[1].events, size));
        const et_status status = style_write_chosen(m, z, y, &how, TRIES, &all, &pieces[2]);
        ck_assert_int_eq(status, k ? ET_EINVAL : ET_OK);
        et_error_clear();
        if (k == 0) {
            heard(m, &pieces[0], styles, one);
            heard(m, &pieces[2], styles, best);
            ck_assert_int_eq(pieces[2].n, N);
            for (int i = 0; i < N; i++) {
                ck_assert_msg(best[i] >= one[i] - 1e-5, "piece %d: %g of one drawing, %g of %d", i, one[i],
                              best[i], TRIES);
                better += best[i] > one[i] + 1e-5;
            }
            ck_assert_msg(better >= 3, "%d of %d pieces are better than the first drawing", better, N);
        }
        for (int i = 0; i < 3; i++)
            et_segments_free(&pieces[i]);
        et_scope_close(s);
        et_module_free(&m->module);
    }
}
END_TEST

/* Every segment once; batches of similar length; the same for the same epoch, another for another. */
START_TEST(orders)
{
    enum { N = 250, BATCH = 8 };
    style_data d = {.ds = et_dataset_new()};
    int32_t first[N], again[N], other[N], seen[N] = {0};
    double spread = 0;

    d.ds->lengths = et_dataset_tensor(ET_I32, 1, (const int64_t[1]){N});
    d.ds->x = et_dataset_tensor(ET_F32, 3, (const int64_t[3]){N, 100, 1});
    d.ds->y = et_dataset_tensor(ET_I32, 1, (const int64_t[1]){N});
    et_fill(d.ds->y, 0);
    ck_assert_int_eq(et_names_add(&d.ds->classes, "up"), ET_OK);
    int32_t *length = et_data_mut(d.ds->lengths);
    for (int i = 0; i < N; i++)
        length[i] = 1 + i * 37 % 100;
    ck_assert_int_eq(et_split_all(d.ds, &d.train), ET_OK);
    ck_assert_int_eq(style_order(&d, BATCH, 5, 2, first), ET_OK);
    ck_assert_int_eq(style_order(&d, BATCH, 5, 2, again), ET_OK);
    ck_assert_int_eq(style_order(&d, BATCH, 5, 3, other), ET_OK);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_mem_ne(first, other, sizeof first);
    for (int i = 0; i < N; i++)
        seen[first[i]]++;
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seen[i], 1);
    for (int b = 0; b < N / BATCH; b++) {
        int32_t lo = 1000, hi = 0;
        for (int i = 0; i < BATCH; i++) {
            const int32_t l = length[first[b * BATCH + i]];
            lo = l < lo ? l : lo;
            hi = l > hi ? l : hi;
        }
        spread += (double)(hi - lo) / (N / BATCH);
    }
    ck_assert_double_le(spread, 40); /* batches at random span 78 on average */
    style_data_free(&d);
}
END_TEST

/* A cloud along (3, 4, 0) / 5 with a tenth of the deviation across. */
START_TEST(planes)
{
    enum { N = 200 };
    float x[N * 3];
    double xy[2 * N], share[2];

    for (int i = 0; i < N; i++) {
        const double a = (i - (N - 1) / 2.0), b = (i % 2 ? 1 : -1) * 5.0;
        x[3 * i] = (float)(0.6 * a - 0.8 * b);
        x[3 * i + 1] = (float)(0.8 * a + 0.6 * b);
        x[3 * i + 2] = 7;
    }
    ck_assert_int_eq(style_plane(N, 3, x, xy, share), ET_OK);
    ck_assert_double_eq_tol(share[0] + share[1], 1, 1e-6);
    ck_assert_double_ge(share[0], 0.99);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(fabs(xy[i]), fabs(i - (N - 1) / 2.0), 0.2);
}
END_TEST

START_TEST(rolls)
{
    et_strbuf out = ET_STRBUF_INIT;
    et_midi *m = et_midi_new(480);

    ck_assert_int_eq(et_midi_add_track(m, ""), ET_OK);
    ck_assert_int_eq(et_midi_add_note(m, (et_midi_note){.start = 0, .duration = 480, .pitch = 60,
                                                        .velocity = 80}), ET_OK);
    ck_assert_int_eq(et_midi_add_note(m, (et_midi_note){.start = 3360, .duration = 480, .pitch = 72,
                                                        .velocity = 80}), ET_OK);
    ck_assert_int_eq(et_midi_add_note(m, (et_midi_note){.start = 0, .duration = 480, .pitch = 35,
                                                        .velocity = 80, .channel = 9}), ET_OK);
    et_midi_sort(m);
    ck_assert_int_eq(et_piano_roll(&out, m, "a <b> & c"), ET_OK);
    ck_assert_ptr_nonnull(strstr(out.data, "a &lt;b&gt; &amp; c"));
    int rects = 0;
    for (const char *s = out.data; (s = strstr(s, "rx=\"1\"")); s++)
        rects++;
    ck_assert_int_eq(rects, 2); /* drums have no pitch */
    /* 13 rows of 6 below 20: the upper note on top; 722 wide, the second note begins at 7/8 of it */
    ck_assert_ptr_nonnull(strstr(out.data, "<rect x=\"665.8\" y=\"20\""));
    ck_assert_ptr_nonnull(strstr(out.data, "<rect x=\"34.0\" y=\"92\""));
    ck_assert_ptr_nonnull(strstr(out.data, ">C4</text>"));
    et_midi_free(m);
    et_strbuf_free(&out);
    m = et_midi_new(480);
    ck_assert_int_eq(et_piano_roll(&out, m, NULL), ET_OK);
    ck_assert_ptr_null(strstr(out.data, "rx=\"1\""));
    et_midi_free(m);
    et_strbuf_free(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measures of music");
    TCase *tc = tcase_create("measures");

    tcase_add_loop_test(tc, keys, 0, 12);
    tcase_add_test(tc, copies);
    tcase_add_test(tc, histograms);
    tcase_add_test(tc, chosen);
    tcase_add_test(tc, orders);
    tcase_add_test(tc, planes);
    tcase_add_test(tc, rolls);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
