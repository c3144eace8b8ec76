/* The 3799 pieces of the data folder, read and compared with the manifest, which another program wrote. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "datasets/midi.h"
#include "tensor/alloc.h"
#include "tests/symbolic.h"

/* Tracks with notes. */
static int note_tracks(const et_midi *m)
{
    bool has[256] = {false};
    int n = 0;

    for (int64_t i = 0; i < m->n_notes; i++)
        has[m->notes[i].track & 255] = true;
    for (int i = 0; i < 256; i++)
        n += has[i];
    return n;
}

static int64_t whole(const et_csv *t, int64_t row, const char *column)
{
    int64_t v = 0;
    ck_assert_msg(et_csv_int(t, row, et_csv_column(t, column), -1000000, 1000000, &v) == ET_OK, "%s",
                  et_error_message());
    return v;
}

static double real(const et_csv *t, int64_t row, const char *column)
{
    double v = 0;
    ck_assert_msg(et_csv_double(t, row, et_csv_column(t, column), &v) == ET_OK, "%s", et_error_message());
    return v;
}

/* Notes, tracks, length, range, tempo, meter and key of one piece. */
static void compare(const et_csv *t, int64_t row, const et_midi *m)
{
    const char *name = et_csv_text(t, row, et_csv_column(t, "file"));
    const char *key = et_csv_text(t, row, et_csv_column(t, "key_sharps"));
    int lo = 127, hi = 0;
    int64_t last = 0;
    char meter[32];

    for (int64_t i = 0; i < m->n_notes; i++) {
        const et_midi_note *n = &m->notes[i];
        lo = n->pitch < lo ? n->pitch : lo;
        hi = n->pitch > hi ? n->pitch : hi;
        last = n->start + n->duration > last ? n->start + n->duration : last;
    }
    ck_assert_msg(m->format == 1 && m->resolution == 480 && m->hanging == 0 && m->stray == 0, "%s", name);
    ck_assert_msg(m->n_notes == whole(t, row, "n_notes"), "%s: %" PRId64 " notes", name, m->n_notes);
    ck_assert_msg(note_tracks(m) == whole(t, row, "n_tracks"), "%s: %d tracks", name, note_tracks(m));
    /* two digits behind the point */
    ck_assert_msg(fabs((double)last / 480 - real(t, row, "length_quarters")) < 0.0051, "%s: %g quarters",
                  name, (double)last / 480);
    ck_assert_msg(lo == whole(t, row, "pitch_min") && hi == whole(t, row, "pitch_max"), "%s: %d .. %d", name,
                  lo, hi);
    ck_assert_msg(m->n_tempos >= 1 && m->tempos[0].tick == 0, "%s: %" PRId64 " tempos", name, m->n_tempos);
    ck_assert_msg(fabs(60e6 / m->tempos[0].usec - real(t, row, "bpm")) < 0.051, "%s: %g bpm", name,
                  60e6 / m->tempos[0].usec);
    ck_assert_msg(m->n_meters >= 1, "%s: no meter", name);
    snprintf(meter, sizeof meter, "%d/%d", m->meters[0].numerator, m->meters[0].denominator);
    ck_assert_msg(strcmp(meter, et_csv_text(t, row, et_csv_column(t, "time_signature"))) == 0, "%s: %s",
                  name, meter);
    if (*key)
        ck_assert_msg(m->n_keys >= 1 && m->keys[0].sharps == whole(t, row, "key_sharps"), "%s: key", name);
    else
        ck_assert_msg(m->n_keys == 0, "%s: has a key", name);
}

START_TEST(manifest)
{
    et_csv *t;
    int64_t notes = 0;
    int file;

    if (!unpack_symbolic(NULL))
        return;
    t = et_csv_read(in_dir("manifest.csv"), NULL);
    ck_assert_msg(t != NULL, "%s", et_error_message());
    file = et_csv_column(t, "file");
    ck_assert_int_eq(et_csv_rows(t), 3799);
    for (int64_t row = 0; row < et_csv_rows(t); row++) {
        et_midi *m = et_midi_read(in_dir(et_csv_text(t, row, file))), *back;
        unsigned char *data;
        size_t size;
        ck_assert_msg(m != NULL, "%s", et_error_message());
        compare(t, row, m);
        notes += m->n_notes;
        /* written and read again it is the same piece */
        ck_assert_int_eq(et_midi_format(m, &data, &size), ET_OK);
        back = et_midi_parse(data, size, "again");
        ck_assert_msg(back != NULL, "%s", et_error_message());
        compare(t, row, back);
        ck_assert(back->n_notes == m->n_notes);
        for (int64_t i = 0; i < m->n_notes; i++)
            ck_assert(back->notes[i].start == m->notes[i].start &&
                      back->notes[i].duration == m->notes[i].duration &&
                      back->notes[i].pitch == m->notes[i].pitch &&
                      back->notes[i].track == m->notes[i].track &&
                      back->notes[i].velocity == m->notes[i].velocity);
        et_dealloc(data);
        et_midi_free(back);
        et_midi_free(m);
    }
    printf("# %" PRId64 " pieces, %" PRId64 " notes agree with the manifest\n", et_csv_rows(t), notes);
    et_csv_free(t);
}
END_TEST

/* Two pieces of each style: every beginning is refused without reading outside of it. */
START_TEST(truncated)
{
    static const char *const names[] = {"air_oneill_0329", "chorale_bach_chor192", "pop_pop909_459",
                                        "ragtime_joplin_mapleleaf", "waltz_nott_waltzes36"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[600], name[64];
        unsigned char *data;
        size_t size;
        snprintf(name, sizeof name, "symbolic/samples/%s.mid", names[i]);
        if (!suite_data(path, sizeof path, name))
            return;
        data = get_file(path, &size);
        for (size_t n = 0; n < size; n++) {
            unsigned char *part = malloc(n ? n : 1);
            memcpy(part, data, n);
            et_error_clear();
            ck_assert_msg(et_midi_parse(part, n, names[i]) == NULL, "%s: %zu bytes read", names[i], n);
            ck_assert_int_eq(et_error_status(), ET_EFORMAT);
            free(part);
        }
        free(data);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("midi data");
    TCase *t = tcase_create("pieces");

    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, make_test_dir, remove_symbolic);
    tcase_add_test(t, manifest);
    tcase_add_test(t, truncated);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
