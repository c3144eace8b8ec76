/* The synthesizer: pitch, band, level, length, the same bits. */
#include "config.h"

#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/synth.h"
#include "tensor/alloc.h"
#include "tensor/rng.h"
#include "tests/alloc_sweep.h"
#include "tests/suite.h"

#define PI 3.14159265358979323846

enum { RATE = 22050 };

static et_midi *one_note(int pitch, int program, int channel, int64_t ticks)
{
    et_midi *m = et_midi_new(480); /* 960 ticks a second */

    et_midi_add_track(m, "");
    et_midi_add_note(m, (et_midi_note){0, ticks, 0, (uint8_t)pitch, 100, (uint8_t)channel, (uint8_t)program});
    et_midi_sort(m);
    return m;
}

static et_audio play(const et_midi *m, const et_synth_options *o)
{
    et_audio a;

    et_error_clear();
    ck_assert_msg(et_synth(m, o, &a) == ET_OK, "%s", et_error_message());
    return a;
}

static et_synth_options dry(double seconds)
{
    et_synth_options o = et_synth_defaults();

    o.channels = 1;
    o.reverb = 0;
    o.end = seconds;
    return o;
}

/* Power at `hz` in n samples under a Blackman window (side lobes 58 dB down). */
static double power_at(const float *x, int64_t n, double hz)
{
    static double window[16384];
    double complex sum = 0, turn = 1, step = cexp(-2 * PI * I * hz / RATE);

    ck_assert_int_eq(n, 16384);
    for (int64_t i = 0; window[n - 1] == 0 && i < n; i++)
        window[i] = 0.42 - 0.5 * cos(2 * PI * (double)i / (double)n) + 0.08 *
                    cos(4 * PI * (double)i / (double)n);
    for (int64_t i = 0; i < n; i++, turn *= step)
        sum += window[i] * x[i] * turn;
    return creal(sum) * creal(sum) + cimag(sum) * cimag(sum);
}

static float most(const et_audio *a)
{
    const float *x = et_data(a->samples);
    float m = 0;
    int64_t finite = 0;

    for (int64_t i = 0; i < a->samples->numel; i++) {
        finite += isfinite(x[i]) != 0;
        m = fabsf(x[i]) > m ? fabsf(x[i]) : m;
    }
    ck_assert_int_eq(finite, a->samples->numel);
    return m;
}

/* Every program sounds at the pitch it is given: within 15 cents of it (unisons are detuned on purpose)
 * there is 20 dB more than a semitone away on either side. Timpani have partials of their own. */
START_TEST(pitch)
{
    static const int pitches[] = {45, 57, 69, 81};
    int program = _i;
    const char *name = et_synth_instrument(program);

    for (int i = 0; i < program; i++)
        if (strcmp(name, et_synth_instrument(i)) == 0)
            return; /* it has been heard */
    if (strcmp(name, "timpani") == 0)
        return;
    for (size_t k = 0; k < sizeof pitches / sizeof *pitches; k++) {
        et_midi *m = one_note(pitches[k], program, 0, 1920);
        et_synth_options o = dry(1.2);
        et_audio a = play(m, &o);
        const float *x = (const float *)et_data(a.samples) + 2000;
        double hz = 440 * exp2((pitches[k] - 69) / 12.0), here = 0, beside = 0;
        ck_assert_float_eq_tol(most(&a), 0.8f, 1e-4f);
        for (int harmonic = 1; harmonic <= 3; harmonic++) {
            for (double cents = -15; cents <= 15; cents += 5)
                here = fmax(here, power_at(x, 16384, harmonic * hz * exp2(cents / 1200)));
            for (double cents = 80; cents <= 120; cents += 10) {
                beside = fmax(beside, power_at(x, 16384, harmonic * hz * exp2(cents / 1200)));
                beside = fmax(beside, power_at(x, 16384, harmonic * hz * exp2(-cents / 1200)));
            }
        }
        ck_assert_msg(here > 100 * beside, "%s, pitch %d: %.1f dB", name, pitches[k],
                      10 * log10(here / beside));
        et_audio_free(&a);
        et_midi_free(m);
    }
}
END_TEST

/* A tone folded back at the Nyquist frequency would stand between the harmonics:
 * a' sharp is no divisor of the rate. */
START_TEST(band)
{
    static const int programs[] = {0, 4, 6, 16, 19, 24, 30, 38, 56, 57, 80, 81, 104, 114};
    int pitch = 94; /* 1865 Hz: five harmonics below Nyquist's */
    double hz = 440 * exp2((pitch - 69) / 12.0);

    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++) {
        et_midi *m = one_note(pitch, programs[k], 0, 1920);
        et_synth_options o = dry(1.2);
        et_audio a;
        const float *x;
        double tones = 0, folded = 0;
        o.brightness = 1;
        a = play(m, &o);
        x = (const float *)et_data(a.samples) + 2000;
        /* players in unison are some cents apart */
        for (int harmonic = 1; harmonic * hz < RATE / 2.0; harmonic++) {
            double loudest = 0;
            for (double cents = -7; cents <= 7; cents++)
                loudest = fmax(loudest, power_at(x, 16384, harmonic * hz * exp2(cents / 1200)));
            tones += loudest;
        }
        for (int harmonic = 6; harmonic < 24; harmonic++) {
            double alias = fabs(remainder(harmonic * hz, RATE)), off = fabs(remainder(alias, hz));
            if (off > 60) /* else it stands on a harmonic */
                folded = fmax(folded, power_at(x, 16384, alias));
        }
        ck_assert_msg(folded < tones * 1e-4, "%s: %.1f dB", et_synth_instrument(programs[k]),
                      10 * log10(folded / tones));
        et_audio_free(&a);
        et_midi_free(m);
    }
}
END_TEST

START_TEST(tuning)
{
    et_midi *m = one_note(69, 16, 0, 1920);
    et_synth_options o = dry(1.2);
    et_audio a;
    const float *x;

    o.tuning = 50;
    a = play(m, &o);
    x = (const float *)et_data(a.samples) + 2000;
    ck_assert_double_gt(power_at(x, 16384, 440 * exp2(50 / 1200.0)), 50 * power_at(x, 16384, 440));
    et_audio_free(&a);
    et_midi_free(m);
}
END_TEST

/* Every key of the drum channel makes a sound that begins at once and dies away. */
START_TEST(drums)
{
    for (int key = 0; key < 128; key++) {
        et_midi *m = one_note(key, 0, ET_MIDI_DRUMS, 100);
        et_synth_options o = dry(0);
        et_audio a = play(m, &o);
        const float *x = et_data(a.samples);
        int64_t n = a.samples->numel;
        double first = 0, last = 0;
        ck_assert_float_eq_tol(most(&a), 0.8f, 1e-4f);
        for (int64_t i = 0; i < n; i++)
            *(i < n / 2 ? &first : &last) += x[i] * x[i];
        ck_assert_msg(first > 10 * last && fabsf(x[n - 1]) < 0.01f, "key %d", key);
        et_audio_free(&a);
        et_midi_free(m);
    }
}
END_TEST

START_TEST(lengths)
{
    et_midi *m = one_note(60, 0, 0, 960);
    et_synth_options o = dry(0);
    et_audio a = play(m, &o), b;

    /* a second, and the release of a quarter */
    ck_assert_int_ge(a.samples->shape[1], RATE * 5 / 4);
    ck_assert_int_lt(a.samples->shape[1], RATE * 3 / 2);
    et_audio_free(&a);
    o.end = 0.5;
    a = play(m, &o);
    ck_assert(a.samples->shape[0] == 1 && a.samples->shape[1] == RATE / 2 && a.rate == RATE);
    et_audio_free(&a);
    o.begin = 0.25; /* what sounds then goes on */
    o.channels = 2;
    a = play(m, &o);
    ck_assert(a.samples->shape[0] == 2 && a.samples->shape[1] == (RATE + 2) / 4);
    ck_assert_float_eq_tol(most(&a), 0.8f, 1e-4f);
    et_audio_free(&a);
    o.begin = 5;
    o.end = 6;
    a = play(m, &o);
    ck_assert_float_eq(most(&a), 0);
    et_audio_free(&a);
    o.end = 0; /* without an end there is nothing to make */
    ck_assert_int_eq(et_synth(m, &o, &b), ET_EINVAL);
    ck_assert_ptr_nonnull(strstr(et_error_message(), "nothing sounds from 5 s on"));
    et_error_clear();
    et_midi_free(m);

    m = et_midi_new(480);
    a = play(m, NULL);
    ck_assert(a.samples->shape[0] == 2 && a.samples->shape[1] == 1 && most(&a) == 0);
    et_audio_free(&a);
    et_midi_free(m);

    m = one_note(60, 16, 0, 960 * 3000);
    ck_assert(et_synth(m, NULL, &b) == ET_OK); /* a note is let go after a minute */
    ck_assert(b.samples->shape[1] < RATE * 62);
    et_audio_free(&b);
    et_midi_free(m);
}
END_TEST

static et_midi *random_piece(int notes, double seconds)
{
    static const uint8_t programs[4] = {0, 24, 48, 73};
    et_rng rng = et_rng_make(7, 0);
    et_midi *m = et_midi_new(480);

    for (int t = 0; t < 5; t++)
        et_midi_add_track(m, "");
    for (int i = 0; i < notes; i++) {
        int t = (int)et_rng_below(&rng, 5);
        et_midi_add_note(m, (et_midi_note){et_rng_below(&rng, (int64_t)(960 * seconds)),
                                           100 + et_rng_below(&rng, 800), t,
                                           (uint8_t)(40 + et_rng_below(&rng, 45)), 90,
                                           (uint8_t)(t < 4 ? t : 9), t < 4 ? programs[t] : 0});
    }
    et_midi_sort(m);
    return m;
}

START_TEST(same_bits)
{
    et_midi *m = random_piece(60, 5);
    et_synth_options o = et_synth_defaults();
    et_audio a = play(m, NULL), b = play(m, &o), c;

    ck_assert_int_eq(a.samples->numel, b.samples->numel);
    ck_assert_mem_eq(et_data(a.samples), et_data(b.samples), (size_t)a.samples->numel * sizeof(float));
    o.seed = 2;
    c = play(m, &o);
    ck_assert_mem_ne(et_data(a.samples), et_data(c.samples), (size_t)a.samples->numel * sizeof(float));
    et_audio_free(&a);
    et_audio_free(&b);
    et_audio_free(&c);
    et_midi_free(m);
}
END_TEST

/* Left and right differ, and no sample passes the peak however many notes there are. */
START_TEST(stereo)
{
    et_midi *m = random_piece(300, 3);
    et_synth_options o = et_synth_defaults();
    et_audio a;
    const float *x;
    double difference = 0;

    o.peak = 1;
    a = play(m, &o);
    x = et_data(a.samples);
    ck_assert_float_le(most(&a), 1);
    for (int64_t i = 0; i < a.samples->shape[1]; i++)
        difference += fabs(x[i] - x[i + a.samples->shape[1]]);
    ck_assert_double_gt(difference / (double)a.samples->shape[1], 1e-3);
    et_audio_free(&a);
    et_midi_free(m);
}
END_TEST

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 30 s in four voices; the limit is far from what it takes, for slow machines and sanitizers. */
START_TEST(speed)
{
    et_midi *m = random_piece(240, 30);
    double before = cpu_seconds();
    et_audio a = play(m, NULL);

    before = cpu_seconds() - before;
    printf("# 30 s of sound, 240 notes: %.3f s\n", before);
    ck_assert_double_lt(before, 5);
    et_audio_free(&a);
    et_midi_free(m);
}
END_TEST

START_TEST(refused)
{
    et_midi *m = one_note(60, 0, 0, 960), *late = one_note(60, 0, 0, 960);
    et_audio a;
    et_synth_options o;

#define BAD(change, words)                                                                           \
    do {                                                                                             \
        o = et_synth_defaults();                                                                     \
        change;                                                                                      \
        et_error_clear();                                                                            \
        ck_assert_int_eq(et_synth(m, &o, &a), ET_EINVAL);                                            \
        ck_assert_msg(strstr(et_error_message(), words) != NULL, "%s lacks %s", et_error_message(), words); \
        ck_assert_ptr_null(a.samples);                                                               \
    } while (0)
    BAD(o.rate = 3999, "3999 frames");
    BAD(o.rate = 192001, "192001 frames");
    BAD(o.channels = 3, "3 channels");
    BAD(o.channels = 0, "0 channels");
    BAD(o.reverb = 1.1, "reverb");
    BAD(o.reverb = NAN, "reverb");
    BAD(o.peak = -0.1, "peak");
    BAD(o.brightness = 2, "brightness");
    BAD(o.tuning = 2000, "tuning");
    BAD(o.begin = -1, "from -1");
    BAD((o.begin = 2, o.end = 1), "from 2 to 1");
    BAD(o.end = NAN, "stretch");
    BAD(o.max_seconds = 1, "more than 1");
    BAD((o.end = 20, o.max_seconds = 10), "lasts 20 s, more than 10");
    late->notes[0].start = ET_MIDI_MAX_TICK;
    et_midi_sort(late);
    et_error_clear();
    ck_assert_int_eq(et_synth(late, NULL, &a), ET_EINVAL);
    et_error_clear();
    ck_assert(et_synth_instrument(-1) == NULL && et_error_status() == ET_EINVAL);
    et_error_clear();
    ck_assert(et_synth_instrument(128) == NULL && et_error_status() == ET_EINVAL);
    et_error_clear();
    et_midi_free(m);
    et_midi_free(late);
}
END_TEST

static bool play_once(void *user)
{
    et_audio a;
    bool ok = et_synth(user, NULL, &a) == ET_OK;

    if (ok)
        et_audio_free(&a);
    return ok;
}

START_TEST(memory)
{
    et_midi *m = one_note(60, 0, 0, 100);
    ck_assert_int_gt(alloc_sweep("synth", play_once, m), 5);
    et_midi_free(m);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("synth");
    TCase *t = tcase_create("sound");

    tcase_add_loop_test(t, pitch, 0, 128);
    tcase_add_test(t, band);
    tcase_add_test(t, tuning);
    tcase_add_test(t, drums);
    tcase_add_test(t, lengths);
    tcase_add_test(t, same_bits);
    tcase_add_test(t, stereo);
    tcase_add_test(t, speed);
    tcase_add_test(t, refused);
    tcase_add_test(t, memory);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
