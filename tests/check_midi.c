/* MIDI files: hand-made ones byte by byte, broken in every way, written and read again. The pieces of the
 * data folder are in check_midi_data. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/midi.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* A file in the making. */
static unsigned char file[4096];
static size_t used;

static void put(const char *bytes, size_t n)
{
    ck_assert_uint_le(used + n, sizeof file);
    memcpy(file + used, bytes, n);
    used += n;
}

#define PUT(text) put(text, sizeof(text) - 1)

/* Header, then a track of the bytes given. */
static void begin(int format, int tracks, int division)
{
    const char head[14] = {'M', 'T', 'h', 'd', 0, 0, 0, 6, 0, (char)format, (char)(tracks >> 8), (char)tracks,
                           (char)(division >> 8), (char)division};
    used = 0;
    put(head, sizeof head);
}

static void chunk(const char *kind, const char *bytes, size_t n)
{
    const char length[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    put(kind, 4);
    put(length, 4);
    put(bytes, n);
}

#define TRACK(bytes) chunk("MTrk", bytes, sizeof(bytes) - 1)

static et_midi *parse(void)
{
    et_midi *m;

    et_error_clear();
    m = et_midi_parse(file, used, "piece");
    ck_assert_msg(m != NULL, "%s", et_error_message());
    return m;
}

static void refused(const char *words)
{
    et_error_clear();
    ck_assert_ptr_null(et_midi_parse(file, used, "piece"));
    ck_assert_msg(et_error_status() == ET_EFORMAT && strstr(et_error_message(), words) != NULL &&
                      strstr(et_error_message(), "piece") != NULL,
                  "message '%s' lacks '%s'", et_error_message(), words);
    et_error_clear();
}

static void is_note(const et_midi *m, int i, int64_t start, int64_t duration, int pitch, int velocity,
                    int channel, int program, int track)
{
    const et_midi_note *n = &m->notes[i];
    ck_assert_msg(n->start == start && n->duration == duration && n->pitch == pitch &&
                  n->velocity == velocity &&
                      n->channel == channel && n->program == program && n->track == track,
                  "note %d: start %d duration %d pitch %d velocity %d channel %d program %d track %d", i,
                  (int)n->start, (int)n->duration, n->pitch, n->velocity, n->channel, n->program, n->track);
}

/* --- reading ---------------------------------------------------------------------------- */

START_TEST(running_status)
{
    et_midi *m;

    begin(0, 1, 96);
    TRACK("\x00\xc2\x05"                 /* program 5 on channel 2 */
          "\x00\x92\x3c\x64"             /* on 60 */
          "\x60\x3e\x50"                 /* 96: on 62, running */
          "\x81\x40\x3c\x00"             /* 288: on 60 with velocity 0 = off */
          "\x00\xff\x01\x02hi"           /* a text between */
          "\x00\x3e\x00"                 /* running across it: off 62 */
          "\x00\xb2\x40\x7f\x00\x07\x40" /* controllers, running */
          "\x00\xe2\x00\x40\x00\xd2\x11\x00\xa2\x3c\x10"
          "\x00\xf0\x03\x01\x02\xf7"     /* system exclusive */
          "\x00\x92\x40\x01\x05\x82\x40\x00" /* on 64, off 64 */
          "\x00\xff\x2f\x00");
    m = parse();
    ck_assert_int_eq(m->format, 0);
    ck_assert_int_eq(m->resolution, 96);
    ck_assert_int_eq(m->n_notes, 3);
    is_note(m, 0, 0, 288, 60, 100, 2, 5, 0);
    is_note(m, 1, 96, 192, 62, 80, 2, 5, 0);
    is_note(m, 2, 288, 5, 64, 1, 2, 5, 0);
    ck_assert(m->end == 293 && m->hanging == 0 && m->stray == 0 && m->tracks.n == 1);
    et_midi_free(m);
}
END_TEST

START_TEST(tempo_meter_key)
{
    et_midi *m;
    int num, den;

    begin(1, 2, 100);
    TRACK("\x00\xff\x03\x04Name\x00\xff\x03\x05Other"
          "\x00\xff\x58\x04\x06\x03\x18\x08"
          "\x00\xff\x59\x02\xfd\x01"
          "\x64\xff\x51\x03\x0f\x42\x40"  /* tick 100: 1 s a quarter */
          "\x00\xff\x51\x03\x03\xd0\x90"  /* the same tick: 0.25 s counts */
          "\x81\x48\xff\x51\x03\x1e\x84\x80" /* tick 300: 2 s */
          "\x00\xff\x58\x04\x03\x02\x18\x08"
          "\x64\xff\x58\x04\x03\x03\x18\x08"
          "\x00\xff\x2f\x00");
    chunk("XYZ1", "alien", 5);
    TRACK("\x00\xff\x7f\x03" "abc" "\x00\xff\x60\x00\x00\x90\x3c\x40\x64\x80\x3c\x40\x00\xff\x2f\x00"
          "behind the end");
    PUT("garbage");
    m = parse();
    ck_assert_int_eq(m->tracks.n, 2);
    ck_assert_str_eq(m->tracks.items[0], "Name");
    ck_assert_str_eq(m->tracks.items[1], "");
    ck_assert_int_eq(m->n_tempos, 2);
    ck_assert(m->tempos[0].tick == 100 && m->tempos[0].usec == 250000);
    ck_assert(m->tempos[1].tick == 300 && m->tempos[1].usec == 2000000);
    ck_assert_int_eq(m->n_meters, 3);
    ck_assert(m->meters[0].numerator == 6 && m->meters[0].denominator == 8);
    ck_assert(m->keys[0].sharps == -3 && m->keys[0].minor && m->n_keys == 1);
    is_note(m, 0, 0, 100, 60, 64, 0, 0, 1);
    ck_assert_int_eq(m->end, 400);
    et_midi_main_meter(m, &num, &den); /* numerators 6 3 3, denominators 8 4 8: each for itself */
    ck_assert(num == 3 && den == 8);
    /* 100 ticks at 0.5 s, 200 at 0.25 s a quarter, then 2 s */
    ck_assert_double_eq_tol(et_midi_seconds(m, 50), 0.25, 1e-12);
    ck_assert_double_eq_tol(et_midi_seconds(m, 100), 0.5, 1e-12);
    ck_assert_double_eq_tol(et_midi_seconds(m, 200), 0.75, 1e-12);
    ck_assert_double_eq_tol(et_midi_seconds(m, 300), 1, 1e-12);
    ck_assert_double_eq_tol(et_midi_seconds(m, 350), 2, 1e-12);
    for (double t = 0; t < 500; t += 12.5)
        ck_assert_double_eq_tol(et_midi_tick(m, et_midi_seconds(m, t)), t, 1e-9);
    et_midi_free(m);
}
END_TEST

START_TEST(film_frames)
{
    const struct {
        int rate, ticks, resolution;
        double second;
    } cases[] = {{24, 4, 48, 96}, {25, 40, 500, 1000}, {29, 80, 1160, 80 * 30000 / 1001.0}, {30, 2, 30, 60}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        et_midi *m;
        begin(1, 1, (256 - cases[i].rate) << 8 | cases[i].ticks);
        TRACK("\x00\xff\x51\x03\x0f\x42\x40\x00\x90\x3c\x40\x64\x80\x3c\x40\x00\xff\x2f\x00");
        m = parse();
        ck_assert(m->smpte_rate == cases[i].rate && m->smpte_ticks == cases[i].ticks);
        ck_assert_int_eq(m->resolution, cases[i].resolution);
        ck_assert_double_eq_tol(et_midi_seconds(m, cases[i].second), 1, 1e-12); /* tempo does not matter */
        ck_assert_double_eq_tol(et_midi_tick(m, 1), cases[i].second, 1e-9);
        et_midi_quantise(m, 4);
        ck_assert(m->smpte_rate == 0 && m->resolution == 4 && m->n_tempos == 0);
        et_midi_free(m);
    }
}
END_TEST

START_TEST(pairing)
{
    et_midi *m;

    begin(0, 1, 96);
    TRACK("\x00\x80\x3c\x40"             /* an end of nothing */
          "\x00\x90\x3c\x10\x0a\x3c\x20" /* 0: on 60; 10: on 60 again */
          "\x0a\x3c\x00\x0a\x3c\x00"     /* 20: the first ends; 30: the second */
          "\x00\x91\x3c\x30"             /* 30: the same pitch on another channel, left hanging */
          "\x00\x90\x3c\x40"             /* 30: hanging too */
          "\x0a\x90\x3c\x41"             /* 40: and another */
          "\x0a\xff\x2f\x00");           /* 50 */
    m = parse();
    ck_assert_int_eq(m->n_notes, 5);
    is_note(m, 0, 0, 20, 60, 16, 0, 0, 0);
    is_note(m, 1, 10, 20, 60, 32, 0, 0, 0);
    is_note(m, 2, 30, 20, 60, 64, 0, 0, 0);
    is_note(m, 3, 30, 20, 60, 48, 1, 0, 0);
    is_note(m, 4, 40, 10, 60, 65, 0, 0, 0);
    ck_assert(m->hanging == 3 && m->stray == 1);
    et_midi_free(m);
}
END_TEST

START_TEST(odd_forms)
{
    et_midi *m;

    begin(1, 1, 96); /* no end of track, no events at all, a longer header */
    chunk("MTrk", "", 0);
    m = parse();
    ck_assert(m->n_notes == 0 && m->end == 0);
    et_midi_free(m);
    used = 0;
    PUT("MThd\0\0\0\x08\0\0\0\1\0\x60xx");
    TRACK("\x00\x90\x00\x7f\xff\xff\xff\x7f\x80\x00\x00");
    m = parse();
    is_note(m, 0, 0, (1 << 28) - 1, 0, 127, 0, 0, 0);
    et_midi_free(m);
}
END_TEST

#define BAD(bytes, words)  \
    do {                   \
        begin(0, 1, 96);   \
        TRACK(bytes);      \
        refused(words);    \
    } while (0)

START_TEST(broken)
{
    used = 0;
    refused("a MIDI file's header has 14 bytes, here are 0");
    PUT("RIFF\0\0\0\x06\0\1\0\1\0\x60");
    refused("no MThd");
    begin(2, 1, 96);
    refused("format 2");
    begin(3, 1, 96);
    refused("format 3 is unknown");
    begin(0, 2, 96);
    refused("format 0 with 2 tracks");
    begin(1, 0, 96);
    refused("format 1 with 0 tracks");
    begin(1, 1, 0);
    refused("0 ticks");
    begin(1, 1, (256 - 26) << 8 | 4);
    refused("26 frames");
    begin(1, 1, (256 - 25) << 8);
    refused("25 frames a second of 0");
    begin(1, 2, 96);
    TRACK("\x00\xff\x2f\x00");
    refused("after 1 of 2 tracks");
    used = 0;
    PUT("MThd\0\0\0\x05\0\1\0\1\0\x60");
    refused("header of 5");
    begin(1, 1, 96);
    PUT("MTrk\xff\xff\xff\xff\x00");
    refused("chunk of 4294967295 bytes");
    BAD("\x00\x3c\x40", "where a status belongs");
    BAD("\x00\x90\x3c", "ends in the middle");
    BAD("\x00\x90\x80\x40", "where a value belongs");
    BAD("\x00\x90\x3c\x90", "where a value belongs");
    BAD("\x80\x80\x80\x80\x00\x90\x3c\x40", "more than four bytes");
    BAD("\x00\xf1\x00", "status 0xf1");
    BAD("\x00\xfe", "status 0xfe");
    BAD("\x00\xf0\x05\x01", "goes beyond");
    BAD("\x00\xff\x01\x05\x01", "goes beyond");
    BAD("\x00\xff\x51\x03\x00\x00\x00", "tempo of 0");
    BAD("\x00\xff\x51\x02\x00\x01", "tempo of 2 bytes");
    BAD("\x00\xff\x58\x04\x00\x02\x18\x08", "meter of 0");
    BAD("\x00\xff\x58\x04\x04\x07\x18\x08", "meter of 4 over 2 to the 7");
    BAD("\x00\xff\x58\x01\x04", "meter of 1 bytes");
    BAD("\x00\xff\x59\x02\x08\x00", "key of 8 sharps");
    BAD("\x00\xff\x59\x02\xf8\x00", "key of -8 sharps");
    BAD("\x00\xff\x59\x02\x00\x02", "mode 2");
    fails_null(et_midi_read("/nonexistent/x.mid"), ET_EIO, "/nonexistent/x.mid");
    fails_null(et_midi_new(0), ET_EINVAL, "0 ticks");
    fails_null(et_midi_new(40000), ET_EINVAL, "40000 ticks");
}
END_TEST

/* A track may be longer than any file's ticks can count: 700 waits of 2^28. */
START_TEST(too_late)
{
    static char bytes[8 * 700];

    for (int i = 0; i < 600; i++)
        memcpy(bytes + 6 * i, "\xff\xff\xff\x7f\xc0\x01", 6);
    begin(0, 1, 96);
    chunk("MTrk", bytes, (size_t)6 * 600);
    refused("later than any piece lasts");
}
END_TEST

/* Files that fuzzing found, each a way of its own through the reader: read or refused, and what is read is
 * written and read again. */
START_TEST(found)
{
    char path[600], name[64];
    unsigned char *data;
    size_t size;
    et_midi *m;

    snprintf(name, sizeof name, "fixtures/midi/found%03d.mid", _i);
    data = get_file(suite_file(path, sizeof path, name), &size);
    et_error_clear();
    m = et_midi_parse(data, size, name);
    free(data);
    ck_assert_msg((m == NULL) == (et_error_status() == ET_EFORMAT), "%s", et_error_message());
    if (m && et_midi_format(m, &data, &size) == ET_OK) {
        et_midi *back = et_midi_parse(data, size, name);
        ck_assert_msg(back && back->n_notes == m->n_notes && back->hanging == 0 && back->stray == 0, "%s",
                      et_error_message());
        et_midi_free(back);
        et_dealloc(data);
    }
    et_error_clear();
    et_midi_free(m);
}
END_TEST

/* --- building and writing ------------------------------------------------------------------ */

/* A piece of random notes; no two of one track, channel and pitch overlap unless `overlap`. */
static et_midi *random_piece(uint64_t seed, bool first_track, bool overlap)
{
    et_rng rng = et_rng_make(seed, 0);
    et_midi *m = et_midi_new(1 + et_rng_below(&rng, 2000));
    int64_t free_at[3][128] = {{0}};

    ck_assert_int_eq(et_midi_add_track(m, first_track ? "" : "Conductor"), ET_OK);
    ck_assert_int_eq(et_midi_add_track(m, ""), ET_OK);
    ck_assert_int_eq(et_midi_add_track(m, "With \xc3\xa4 name"), ET_OK);
    for (int i = 0; i < 100; i++) {
        int track = (int)et_rng_below(&rng, first_track ? 3 : 2) + !first_track,
            pitch = (int)et_rng_below(&rng, 128);
        int64_t start = et_rng_below(&rng, 50000);
        et_midi_note n = {.start = start,
                          .duration = et_rng_below(&rng, 6) == 0 ? 0 : et_rng_below(&rng, 3000),
                          .track = track,
                          .pitch = (uint8_t)pitch,
                          .velocity = (uint8_t)(1 + et_rng_below(&rng, 127)),
                          .channel = (uint8_t)(track == 2 ? et_rng_below(&rng, 16) : track),
                          .program = (uint8_t)et_rng_below(&rng, 128)};
        if (!overlap) {
            if (n.start < free_at[track][pitch])
                n.start = free_at[track][pitch];
            free_at[track][pitch] = n.start + n.duration + 1;
        }
        ck_assert_int_eq(et_midi_add_note(m, n), ET_OK);
    }
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(et_midi_add_tempo(m, 1000 * i, 20 + 300 * et_rng_uniform(&rng)), ET_OK);
        ck_assert_int_eq(et_midi_add_meter(m, 777 * i, 1 + (int)et_rng_below(&rng, 255),
                                           1 << et_rng_below(&rng, 7)),
                         ET_OK);
        ck_assert_int_eq(et_midi_add_key(m, 500 * i, (int)et_rng_below(&rng, 15) - 7,
                                         et_rng_below(&rng, 2) == 1),
                         ET_OK);
    }
    et_midi_sort(m);
    return m;
}

static void same(const et_midi *a, const et_midi *b, int moved)
{
    ck_assert_int_eq(a->resolution, b->resolution);
    ck_assert_int_eq(a->tracks.n + moved, b->tracks.n);
    for (int64_t t = 0; t < a->tracks.n; t++)
        ck_assert_str_eq(a->tracks.items[t], b->tracks.items[t + moved]);
    ck_assert_int_eq(a->n_notes, b->n_notes);
    for (int64_t i = 0; i < a->n_notes; i++) {
        const et_midi_note *n = &a->notes[i];
        is_note(b, (int)i, n->start, n->duration, n->pitch, n->velocity, n->channel, n->program,
                n->track + moved);
    }
    ck_assert(a->n_tempos == b->n_tempos && a->n_meters == b->n_meters && a->n_keys == b->n_keys);
    for (int64_t i = 0; i < a->n_tempos; i++)
        ck_assert(a->tempos[i].tick == b->tempos[i].tick && a->tempos[i].usec == b->tempos[i].usec &&
                  a->tempos[i].seconds == b->tempos[i].seconds);
    for (int64_t i = 0; i < a->n_meters; i++)
        ck_assert(a->meters[i].tick == b->meters[i].tick &&
                  a->meters[i].numerator == b->meters[i].numerator &&
                  a->meters[i].denominator == b->meters[i].denominator);
    for (int64_t i = 0; i < a->n_keys; i++)
        ck_assert(a->keys[i].tick == b->keys[i].tick && a->keys[i].sharps == b->keys[i].sharps &&
                  a->keys[i].minor == b->keys[i].minor);
    ck_assert_int_eq(a->end, b->end);
    ck_assert(b->hanging == 0 && b->stray == 0);
}

START_TEST(round_trips)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        for (int first = 0; first < 2; first++) {
            et_midi *m = random_piece(seed, first, false), *back;
            if (seed % 7 == 0) {
                m->smpte_rate = 25;
                m->smpte_ticks = 40;
                m->resolution = 500;
                et_midi_sort(m);
            }
            ck_assert_int_eq(et_midi_write(in_dir("x.mid"), m), ET_OK);
            back = et_midi_read(in_dir("x.mid"));
            ck_assert_msg(back != NULL, "%s", et_error_message());
            same(m, back, first);
            et_midi_free(m);
            et_midi_free(back);
        }
}
END_TEST

static int compare_ticks(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Notes that overlap keep their beginnings; the ends are the same ticks, in order. */
START_TEST(overlaps)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        et_midi *m = random_piece(seed, true, true), *back;
        unsigned char *data;
        size_t size;
        int64_t ends[2][100];
        ck_assert_int_eq(et_midi_format(m, &data, &size), ET_OK);
        back = et_midi_parse(data, size, "piece");
        ck_assert(back && back->n_notes == 100 && back->hanging == 0 && back->stray == 0);
        for (int i = 0; i < 100; i++) {
            ck_assert(m->notes[i].start == back->notes[i].start && m->notes[i].pitch == back->notes[i].pitch);
            ends[0][i] = m->notes[i].start + m->notes[i].duration;
            ends[1][i] = back->notes[i].start + back->notes[i].duration;
        }
        qsort(ends[0], 100, sizeof(int64_t), compare_ticks);
        qsort(ends[1], 100, sizeof(int64_t), compare_ticks);
        ck_assert_mem_eq(ends[0], ends[1], sizeof ends[0]);
        et_dealloc(data);
        et_midi_free(m);
        et_midi_free(back);
    }
}
END_TEST

/* Every beginning of a file is refused: none of it looks whole. */
START_TEST(truncated)
{
    et_midi *m = random_piece(3, false, false);
    unsigned char *data;
    size_t size;

    ck_assert_int_eq(et_midi_format(m, &data, &size), ET_OK);
    for (size_t n = 0; n < size; n++) {
        unsigned char *part = malloc(n ? n : 1); /* so that tools see where it ends */
        memcpy(part, data, n);
        et_error_clear();
        ck_assert_msg(et_midi_parse(part, n, "piece") == NULL, "%zu of %zu bytes read", n, size);
        ck_assert_int_eq(et_error_status(), ET_EFORMAT);
        free(part);
    }
    et_dealloc(data);
    et_midi_free(m);
}
END_TEST

START_TEST(bad_values)
{
    et_midi *m = et_midi_new(480);
    const et_midi_note good = {0, 10, 0, 60, 64, 0, 0};
    et_midi_note n = good;
    unsigned char *data;
    size_t size;

    fails(et_midi_add_note(m, good), ET_EINVAL, "track 0 of 0");
    ck_assert_int_eq(et_midi_add_track(m, ""), ET_OK);
    ck_assert_int_eq(et_midi_add_note(m, good), ET_OK);
    n.start = -1;
    fails(et_midi_add_note(m, n), ET_EINVAL, "start -1");
    n = good, n.duration = -1;
    fails(et_midi_add_note(m, n), ET_EINVAL, "duration -1");
    n = good, n.pitch = 128;
    fails(et_midi_add_note(m, n), ET_EINVAL, "pitch 128");
    n = good, n.velocity = 0;
    fails(et_midi_add_note(m, n), ET_EINVAL, "velocity 0");
    n = good, n.channel = 16;
    fails(et_midi_add_note(m, n), ET_EINVAL, "channel 16");
    n = good, n.program = 128;
    fails(et_midi_add_note(m, n), ET_EINVAL, "program 128");
    n = good, n.start = ET_MIDI_MAX_TICK + 1;
    fails(et_midi_add_note(m, n), ET_EINVAL, "no such note");
    fails(et_midi_add_tempo(m, 0, 0), ET_EINVAL, "no such tempo");
    fails(et_midi_add_tempo(m, 0, NAN), ET_EINVAL, "no such tempo");
    fails(et_midi_add_tempo(m, 0, 3), ET_EINVAL, "no such tempo: 3");
    fails(et_midi_add_tempo(m, -1, 100), ET_EINVAL, "tick -1");
    fails(et_midi_add_meter(m, 0, 0, 4), ET_EINVAL, "0/4");
    fails(et_midi_add_meter(m, 0, 256, 4), ET_EINVAL, "256/4");
    fails(et_midi_add_meter(m, 0, 3, 5), ET_EINVAL, "3/5");
    fails(et_midi_add_meter(m, 0, 3, 128), ET_EINVAL, "3/128");
    fails(et_midi_add_key(m, 0, 8, false), ET_EINVAL, "8 sharps");
    ck_assert_int_eq(m->n_notes, 1);
    m->notes[0].start = 1 << 28; /* a wait that four bytes cannot hold */
    et_midi_sort(m);
    fails(et_midi_format(m, &data, &size), ET_EINVAL, "not a wait");
    m->notes[0].track = 5;
    fails(et_midi_write(in_dir("bad.mid"), m), ET_EINVAL, "track 5 of 1");
    ck_assert_int_eq(access(in_dir("bad.mid"), F_OK), -1);
    m->notes[0] = good;
    m->end = 0;
    fails(et_midi_write("/nonexistent/x.mid", m), ET_EIO, "/nonexistent/x.mid");
    et_midi_free(m);
    et_midi_free(NULL);
}
END_TEST

START_TEST(grid)
{
    et_midi *m = et_midi_new(480);

    et_midi_add_track(m, "");
    et_midi_add_note(m, (et_midi_note){0, 480, 0, 60, 64, 0, 0});
    et_midi_add_note(m, (et_midi_note){119, 3, 0, 61, 64, 0, 0});   /* step 1, and too short: one step */
    et_midi_add_note(m, (et_midi_note){300, 180, 0, 62, 64, 0, 0}); /* 2.5: to 2; end 4 */
    et_midi_add_note(m, (et_midi_note){420, 241, 0, 63, 64, 0, 0}); /* 3.5: to 4; end 5.5083: 6 */
    et_midi_add_note(m, (et_midi_note){360, 60, 0, 64, 64, 0, 0});  /* 3; end 3.5: 4 */
    et_midi_add_tempo(m, 240, 60);
    et_midi_sort(m);
    ck_assert_double_eq_tol(et_midi_quantise(m, 4), 2 / 5.0, 1e-12);
    ck_assert(m->resolution == 4 && m->tempos[0].tick == 2 && m->end == 6);
    is_note(m, 0, 0, 4, 60, 64, 0, 0, 0);
    is_note(m, 1, 1, 1, 61, 64, 0, 0, 0);
    is_note(m, 2, 2, 2, 62, 64, 0, 0, 0);
    is_note(m, 3, 3, 1, 64, 64, 0, 0, 0);
    is_note(m, 4, 4, 2, 63, 64, 0, 0, 0);
    ck_assert_double_eq_tol(et_midi_seconds(m, 4), 0.25 + 0.5, 1e-12);
    ck_assert_double_eq(et_midi_quantise(m, 4), 1);
    et_error_clear();
    ck_assert(isnan(et_midi_quantise(m, 0)) && et_error_status() == ET_EINVAL);
    et_error_clear();
    et_midi_free(m);
    m = et_midi_new(480);
    ck_assert_double_eq(et_midi_quantise(m, 4), 1);
    et_midi_free(m);
}
END_TEST

static bool read_and_write(void *user)
{
    et_midi *m = et_midi_parse(file, used, "piece");
    unsigned char *data = NULL;
    size_t size = 0;
    bool ok = m && et_midi_format(m, &data, &size) == ET_OK;

    (void)user;
    if (ok)
        et_dealloc(data);
    et_midi_free(m);
    return ok;
}

START_TEST(memory)
{
    begin(0, 1, 96);
    TRACK("\x00\xff\x03\x02hi\x00\xff\x51\x03\x03\xd0\x90\x00\xff\x58\x04\x06\x03\x18\x08\x00\xff\x59\x02\x01"
          "\x00"
          "\x00\x90\x3c\x40\x64\x80\x3c\x40\x00\xff\x2f\x00");
    ck_assert_int_gt(alloc_sweep("read and write", read_and_write, NULL), 8);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("midi");
    TCase *t = tcase_create("reading");

    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_add_test(t, running_status);
    tcase_add_test(t, tempo_meter_key);
    tcase_add_test(t, film_frames);
    tcase_add_test(t, pairing);
    tcase_add_test(t, odd_forms);
    tcase_add_test(t, broken);
    tcase_add_test(t, too_late);
    tcase_add_loop_test(t, found, 1, 35);
    suite_add_tcase(s, t);
    t = tcase_create("writing");
    tcase_add_checked_fixture(t, make_test_dir, remove_test_dir);
    tcase_add_test(t, round_trips);
    tcase_add_test(t, overlaps);
    tcase_add_test(t, truncated);
    tcase_add_test(t, bad_values);
    tcase_add_test(t, grid);
    tcase_add_test(t, memory);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
