/* Pieces as events: cutting, rounding, the way back, folders by style. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/events.h"
#include "datasets/split.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"
#include "tests/alloc_sweep.h"
#include "tests/symbolic.h"

static et_midi *empty(int numerator, int denominator)
{
    et_midi *m = et_midi_new(480);

    et_error_clear();
    et_midi_add_track(m, "");
    et_midi_add_track(m, "");
    et_midi_add_meter(m, 0, numerator, denominator);
    return m;
}

static void note(et_midi *m, double beat, double beats, int pitch, int track, int channel)
{
    ck_assert_int_eq(et_midi_add_note(m, (et_midi_note){llrint(beat * 480), llrint(beats * 480), track,
                                                        (uint8_t)pitch, 90, (uint8_t)channel, 0}),
                     ET_OK);
}

static void is(const et_segments *s, int64_t segment, int64_t at, int pitch, int dt, int dur)
{
    const et_event *e = &s->events[s->begin[segment] + at];
    ck_assert_msg(e->pitch == pitch && e->dt == dt && e->dur == dur, "segment %d event %d: %d %d %d",
                  (int)segment, (int)at, e->pitch, e->dt, e->dur);
}

/* Two segments of 4 bars of 3/4; worked out by hand. */
START_TEST(cutting)
{
    et_midi *m = empty(3, 4);
    et_segments s;

    note(m, 0, 1, 60, 0, 0);
    note(m, 0, 2, 48, 1, 1);       /* begins together: by pitch, whatever the track */
    note(m, 1, 0.5, 20, 0, 0);     /* too low: 21 */
    note(m, 1.5, 0.3, 110, 0, 0);  /* too high: 108; 2.4 steps */
    note(m, 1.7, 5, 70, 0, 0);     /* dt 0.2: 1.6 -> 2; longer than 4 beats: 32 */
    note(m, 2, 1, 40, 1, 9);       /* a drum */
    note(m, 11.9, 0.01, 72, 0, 0); /* the last of bar 4; dt 10.2 beats: 32; too short: 0 */
    for (int i = 0; i < 4; i++)
        note(m, 12 + i, 1, 60 + i, 0, 0); /* four notes: too few ... */
    for (int i = 0; i < 5; i++)
        note(m, 24 + 0.0625 * i, 1, 60 + i, 0, 0); /* ... half steps go to the even one; bars 8 .. */
    note(m, 36, 2.9, 60, 0, 0);    /* bar 12 is not whole */
    et_midi_sort(m);
    ck_assert_int_eq(et_segments_from_midi(m, NULL, &s), ET_OK);
    ck_assert_int_eq(s.n, 2);
    ck_assert_int_eq(s.begin[1] - s.begin[0], 7);
    is(&s, 0, 0, 48 - 21, 0, 16);
    is(&s, 0, 1, 60 - 21, 0, 8);
    is(&s, 0, 2, 0, 8, 4);
    is(&s, 0, 3, 87, 4, 2);
    is(&s, 0, 4, 70 - 21, 2, 32);
    is(&s, 0, 5, 72 - 21, 32, 0);
    is(&s, 0, 6, 88, -1, -1);
    ck_assert(s.bar[0] == 0 && s.bar[1] == 8);
    ck_assert_int_eq(s.begin[2] - s.begin[1], 6);
    is(&s, 1, 0, 39, 32, 8); /* nine beats after the note before it, which was in a segment left out */
    is(&s, 1, 1, 40, 0, 8);  /* 0.5 -> 0 */
    is(&s, 1, 2, 41, 0, 8);  /* ticks 60 - 30 again */
    is(&s, 1, 5, 88, -1, -1);
    et_segments_free(&s);
    et_midi_free(m);
}
END_TEST

START_TEST(settings)
{
    et_midi *m = empty(4, 4);
    et_event_options o = et_event_defaults();
    et_segments s;

    for (int i = 0; i < 16; i++) {
        note(m, i, 1, 60 + i, 1, 0);
        note(m, i, 1, 40, 0, 9); /* drums in the first track: the melody is the second */
    }
    note(m, 0, 16, 30, 1, 0);
    et_midi_sort(m);
    o = (et_event_options){.low = 60, .pitches = 12, .steps = 4, .steps_a_beat = 2, .bars = 1,
                           .min_notes = 5};
    ck_assert_int_eq(et_segments_from_midi(m, &o, &s), ET_OK);
    ck_assert_int_eq(s.n, 1); /* the first bar has five */
    is(&s, 0, 0, 0, 0, 4);    /* 30 is raised to 60, 16 beats are cut to 4 steps */
    is(&s, 0, 1, 0, 0, 2);
    is(&s, 0, 2, 1, 2, 2);
    is(&s, 0, 5, 12, -1, -1);
    et_segments_free(&s);
    o.min_notes = 0;
    ck_assert_int_eq(et_segments_from_midi(m, &o, &s), ET_OK);
    ck_assert_int_eq(s.n, 4);
    et_segments_free(&s);
    note(m, 0, 16, 35, 0, 0); /* now the first track has a melody */
    et_midi_sort(m);
    o.melody_only = true;
    ck_assert_int_eq(et_segments_from_midi(m, &o, &s), ET_OK);
    ck_assert(s.n == 1 && s.n_events == 2);
    et_segments_free(&s);
    et_midi_free(m);

    m = et_midi_new(480); /* nothing */
    ck_assert_int_eq(et_segments_from_midi(m, NULL, &s), ET_OK);
    ck_assert(s.n == 0 && s.n_events == 0);
    et_segments_free(&s);
#define BAD(change)                                                                \
    do {                                                                           \
        o = et_event_defaults();                                                   \
        change;                                                                    \
        fails(et_segments_from_midi(m, &o, &s), ET_EINVAL, "events: bad options"); \
    } while (0)
    BAD(o.low = -1);
    BAD(o.low = 41);
    BAD(o.pitches = 0);
    BAD(o.steps = 0);
    BAD(o.steps_a_beat = 0);
    BAD(o.bars = 0);
    BAD(o.min_notes = -1);
    et_midi_free(m);
}
END_TEST

/* Random events to a piece, to a file, back to the same events. */
START_TEST(round_trips)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        et_rng rng = et_rng_make(seed, 0);
        et_event events[41];
        et_event_options o = et_event_defaults();
        et_midi *m, *file;
        et_segments s;
        unsigned char *data;
        size_t size;
        int n = 5 + (int)et_rng_below(&rng, 35);
        for (int i = 0; i < n; i++) {
            events[i] = (et_event){(int16_t)et_rng_below(&rng, 88), (int16_t)(i ? et_rng_below(&rng, 33) : 0),
                                   (int16_t)et_rng_below(&rng, 33)};
            if (i > 0 && events[i].dt == 0 && events[i].pitch <= events[i - 1].pitch)
                events[i].dt = 1; /* those that begin together stand by pitch */
        }
        events[n] = (et_event){88, -1, -1};
        m = et_events_to_midi(events, n + 1, NULL);
        ck_assert_ptr_nonnull(m);
        ck_assert(m->notes[0].velocity == 100 && m->tempos[0].usec == 600000 && m->notes[0].start == 0);
        ck_assert_int_eq(et_midi_format(m, &data, &size), ET_OK);
        file = et_midi_parse(data, size, "events");
        ck_assert_int_eq(file->n_notes, n);
        o.bars = 1000;
        note(m, 4000, 4, 108, 0, 0); /* so that the bars are whole; it is cut off by number below */
        et_midi_sort(m);
        ck_assert_int_eq(et_segments_from_midi(m, &o, &s), ET_OK);
        ck_assert(s.n == 1 || (s.n == 2 && s.bar[1] == 1000));
        for (int i = 0; i < n; i++)
            is(&s, 0, i, events[i].pitch, events[i].dt, events[i].dur);
        et_segments_free(&s);
        et_dealloc(data);
        et_midi_free(file);
        et_midi_free(m);
    }
}
END_TEST

START_TEST(to_midi)
{
    const et_event events[] = {{10, 5, 8}, {12, 4, 0}, {88, -1, -1}, {3, 3, 3}};
    et_event bad = {89, 0, 0};
    et_midi *m = et_events_to_midi(events, 4, NULL);

    ck_assert_int_eq(m->n_notes, 2);
    ck_assert(m->notes[0].start == 0 && m->notes[0].duration == 480 && m->notes[0].pitch == 31);
    ck_assert(m->notes[1].start == 240 && m->notes[1].duration == 15 && m->notes[1].pitch == 33);
    et_midi_free(m);
    m = et_events_to_midi(events, 0, NULL);
    ck_assert_int_eq(m->n_notes, 0);
    et_midi_free(m);
    fails_null(et_events_to_midi(&bad, 1, NULL), ET_EINVAL, "pitch 89");
    bad = (et_event){0, 33, 0};
    fails_null(et_events_to_midi(&bad, 1, NULL), ET_EINVAL, "dt 33");
    bad = (et_event){0, 0, -1};
    fails_null(et_events_to_midi(&bad, 1, NULL), ET_EINVAL, "dur -1");
}
END_TEST

START_TEST(transposing)
{
    et_tensor *x = et_dataset_tensor(ET_F32, 3, (int64_t[]){2, 3, 3}),
              *n = et_dataset_tensor(ET_I32, 1, (int64_t[]){2});
    float *v = et_data_mut(x);
    int32_t *l = et_data_mut(n);
    const float before[18] = {0, 1, 2, 87, 1, 2, 88, -1, -1, 5, 1, 2, 88, -1, -1, 0, 0, 0};
    const float up[18] = {3, 1, 2, 2, 1, 2, 88, -1, -1, 8, 1, 2, 88, -1, -1, 0, 0, 0};

    memcpy(v, before, sizeof before);
    l[0] = 3, l[1] = 2;
    ck_assert_int_eq(et_events_transpose(x, n, 3, NULL), ET_OK);
    ck_assert_mem_eq(v, up, sizeof up);
    ck_assert_int_eq(et_events_transpose(x, n, -3, NULL), ET_OK);
    ck_assert_mem_eq(v, before, sizeof before);
    fails(et_events_transpose(n, n, 1, NULL), ET_EDTYPE, "int32");
    fails(et_events_transpose(x, x, 1, NULL), ET_EDTYPE, "float32");
    et_free(n);
    n = et_dataset_tensor(ET_I32, 1, (int64_t[]){3});
    fails(et_events_transpose(x, n, 1, NULL), ET_ESHAPE, "[N, T, 3]");
    et_free(n);
    et_free(x);
}
END_TEST

/* --- folders -------------------------------------------------------------------------------- */

static void folder(const char *name) { ck_assert_int_eq(mkdir(in_dir(name), 0700), 0); }

static void piece_file(const char *name, int first, int notes)
{
    et_midi *m = empty(4, 4);
    for (int i = 0; i < notes; i++)
        note(m, i, 1, first + i % 12, 0, 0);
    et_midi_sort(m);
    ck_assert_int_eq(et_midi_write(in_dir(name), m), ET_OK);
    et_midi_free(m);
}

START_TEST(folders)
{
    et_collection *c;
    et_names skipped = {0};
    et_dataset *ds;
    et_audio a;
    const float *x;
    const char *manifest =
        "group,file,fold,other\n7,waltz/a.mid,0,x\n8,jig/b.MIDI,3,x\n9,jig/c.mid,0,x\n7,jig/d.mid,1,\n";

    folder("jig");
    folder("waltz");
    folder("none");
    fails_null(et_midi_folder(test_dir), ET_EIO, "no MIDI files there");
    fails_null(et_midi_folder(in_dir("nowhere")), ET_EIO, "nowhere");
    piece_file("waltz/a.mid", 60, 16);
    piece_file("jig/b.MIDI", 50, 32);
    piece_file("jig/d.mid", 50, 4);
    put_file(in_dir("jig/c.mid"), "MThd", 4);
    put_file(in_dir("jig/readme.txt"), "x", 1);
    put_file(in_dir("none/.mid"), "x", 1);
    c = et_midi_folder(test_dir);
    ck_assert_msg(c && et_collection_check(c) == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(et_collection_size(c), 4);
    ck_assert_str_eq(c->names.items[0], "jig/b.MIDI");
    ck_assert_str_eq(c->names.items[3], "waltz/a.mid");
    ck_assert(c->classes.n == 2 && strcmp(c->classes.items[1], "waltz") == 0 && !c->groups && !c->split);
    ck_assert(((const int32_t *)et_data(c->y))[2] == 0 && ((const int32_t *)et_data(c->y))[3] == 1);
    ck_assert_int_eq(et_collection_audio(c, 0, &a), ET_OK);
    ck_assert_int_gt(a.samples->shape[1], 15 * a.rate);
    et_audio_free(&a);
    fails(et_collection_audio(c, 1, &a), ET_EFORMAT, "jig/c.mid");
    fails_null(et_midi_folder_piece(c, 4), ET_EINVAL, "no piece 4");

    ds = et_segments_dataset(c, et_midi_folder_piece, NULL, &skipped);
    ck_assert_msg(ds && et_dataset_check(ds) == ET_OK, "%s", et_error_message());
    ck_assert_int_eq(skipped.n, 1);
    ck_assert(strstr(skipped.items[0], "jig/c.mid") != NULL);
    et_names_free(&skipped);
    ck_assert(ds->x->shape[0] == 3 && ds->x->shape[1] == 17 && ds->x->shape[2] == 3);
    ck_assert_str_eq(ds->names.items[1], "jig/b.MIDI:4");
    x = et_data(ds->x);
    ck_assert(x[0] == 29 && x[1] == 0 && x[2] == 8 && x[3] == 30 && x[4] == 8);
    ck_assert(x[16 * 3] == 88 && x[16 * 3 + 1] == -1);
    ck_assert(((const int32_t *)et_data(ds->y))[2] == 1 && ((const int32_t *)et_data(ds->groups))[1] == 0 &&
              ((const int32_t *)et_data(ds->lengths))[0] == 17);
    et_dataset_free(ds);
    et_collection_free(c);

    put_file(in_dir("manifest.csv"), manifest, strlen(manifest));
    c = et_midi_folder(test_dir);
    ck_assert_msg(c && et_collection_check(c) == ET_OK, "%s", et_error_message());
    ck_assert(((const int32_t *)et_data(c->groups))[0] == 8 && ((const int32_t *)et_data(c->groups))[3] == 7);
    ck_assert(((const int32_t *)et_data(c->split))[0] == 0 && ((const int32_t *)et_data(c->split))[3] == 1);
    ck_assert_str_eq(c->splits.items[1], "valid");
    ds = et_segments_dataset(c, et_midi_folder_piece, NULL, NULL);
    ck_assert(((const int32_t *)et_data(ds->split))[2] == 1 &&
              ((const int32_t *)et_data(ds->groups))[2] == 7);
    et_dataset_free(ds);
    et_collection_free(c);
    put_file(in_dir("manifest.csv"), "file\nwaltz/a.mid\n", 17);
    fails_null(et_midi_folder(test_dir), ET_EFORMAT, "no line for 'jig/b.MIDI'");
    put_file(in_dir("manifest.csv"), "name\nwaltz/a.mid\n", 17);
    fails_null(et_midi_folder(test_dir), ET_EFORMAT, "file");
}
END_TEST

static bool gather(void *user)
{
    et_collection *c = et_midi_folder(test_dir);
    et_names skipped = {0};
    et_dataset *ds = c ? et_segments_dataset(c, et_midi_folder_piece, NULL, &skipped) : NULL;
    bool ok = ds != NULL;

    (void)user;
    et_dataset_free(ds);
    et_names_free(&skipped);
    et_collection_free(c);
    return ok;
}

START_TEST(memory)
{
    folder("jig");
    piece_file("jig/b.mid", 50, 20);
    put_file(in_dir("jig/c.mid"), "MThd", 4);
    put_file(in_dir("manifest.csv"), "file,group,fold\njig/b.mid,1,0\njig/c.mid,2,1\n", 44);
    ck_assert_int_gt(alloc_sweep("folder", gather, NULL), 20);
}
END_TEST

/* The real pieces: on the sixteenth grid as their README says, by style; segments of all. */
START_TEST(real_pieces)
{
    et_collection *c;
    et_dataset *ds;
    et_names skipped = {0};
    et_indices train, valid;
    int64_t notes = 0, longest = 0;
    double on_grid = 0;

    if (!unpack_symbolic("chorale") || !unpack_symbolic("jig"))
        return;
    c = et_midi_folder(test_dir);
    ck_assert_msg(c != NULL, "%s", et_error_message());
    ck_assert(c->names.n == 296 + 698 && c->classes.n == 2);
    for (int64_t i = 0; i < c->names.n; i++) {
        et_midi *m = et_midi_folder_piece(c, i);
        notes += m->n_notes;
        on_grid += et_midi_quantise(m, 4) * (double)m->n_notes;
        et_midi_free(m);
    }
    ck_assert_double_gt(on_grid, 0.91 * (double)notes);
    ds = et_segments_dataset(c, et_midi_folder_piece, NULL, &skipped);
    ck_assert(ds && skipped.n == 0 && et_dataset_check(ds) == ET_OK);
    for (int64_t i = 0; i < et_dataset_size(ds); i++)
        if (((const int32_t *)et_data(ds->lengths))[i] > longest)
            longest = ((const int32_t *)et_data(ds->lengths))[i];
    ck_assert_int_eq(longest, ds->x->shape[1]);
    ck_assert(et_split_named(ds, "train", &train) == ET_OK && et_split_named(ds, "valid", &valid) == ET_OK);
    ck_assert(train.n + valid.n == et_dataset_size(ds) && valid.n > et_dataset_size(ds) / 16);
    printf("# %" PRId64 " pieces: %.3f of %" PRId64 " notes begin on a sixteenth; %" PRId64
           " segments, longest %" PRId64
           " events\n",
           c->names.n, on_grid / (double)notes, notes, et_dataset_size(ds), longest);
    et_indices_free(&train);
    et_indices_free(&valid);
    et_dataset_free(ds);
    et_collection_free(c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("events");
    TCase *t = tcase_create("events");

    tcase_add_test(t, cutting);
    tcase_add_test(t, settings);
    tcase_add_test(t, round_trips);
    tcase_add_test(t, to_midi);
    tcase_add_test(t, transposing);
    suite_add_tcase(s, t);
    t = tcase_create("folders");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, make_test_dir, remove_symbolic);
    tcase_add_test(t, folders);
    tcase_add_test(t, memory);
    tcase_add_test(t, real_pieces);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
