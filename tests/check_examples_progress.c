/* What the example programs share: progress, Ctrl-C. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "examples/common/run_features.h"
#include "tests/files.h"
#include "tests/suite.h"

/* --- progress ------------------------------------------------------------------------ */

static double fake_time;

static double fake_now(void)
{
    return fake_time;
}

static char *printed(FILE *f, char *buf, size_t size)
{
    rewind(f);
    buf[fread(buf, 1, size - 1, f)] = '\0';
    fclose(f);
    return buf;
}

static void begin(et_progress *p, FILE *f, bool terminal, int width)
{
    fake_time = 100;
    et_progress_begin(p, f, 1000, "epoch %d/%d", 3, 20);
    p->now = fake_now;
    p->began = 100;
    p->terminal = terminal;
    p->colour = p->unicode = false;
    p->width = width;
}

START_TEST(progress_in_lines)
{
    char text[4096];
    et_progress p;
    FILE *f = tmpfile();

    begin(&p, f, false, 80);
    for (int i = 1; i <= 1000; i++) {
        fake_time = 100 + i * 0.07;
        et_progress_step(&p, i, "loss %.2f", 1.0);
    }
    et_progress_note(&p, "a note");
    et_progress_end(&p, "loss %.3f", 0.5);
    ck_assert_str_eq(printed(f, text, sizeof text), "epoch 3/20  42%  14/s  loss 1.00  30.0 s\n"
                                                    "epoch 3/20  85%  14/s  loss 1.00  1:00\n"
                                                    "a note\n"
                                                    "epoch 3/20  14/s  loss 0.500  1:10\n");
}
END_TEST

START_TEST(progress_on_a_terminal)
{
    static char text[1 << 16];

    for (int width = 20; width <= 200; width += 30) {
        et_progress p;
        FILE *f = tmpfile();
        int draws = 0;

        begin(&p, f, true, width);
        for (int i = 1; i <= 1000; i++) {
            fake_time = 100 + i * 0.002; /* two seconds in all */
            et_progress_step(&p, i, "loss %.2f  accuracy %.2f", 1.0, 0.5);
        }
        et_progress_end(&p, "loss 0.5");
        printed(f, text, sizeof text);
        for (const char *s = text; (s = strchr(s, '\r'));) {
            size_t n = strcspn(s + 1, "\r\033\n");

            ck_assert_msg(n < (size_t)width, "%zu columns of %d: %.*s", n, width, (int)n, s + 1);
            draws += n > 0;
            s += n + 1;
        }
        ck_assert_int_ge(draws, 15);
        ck_assert_int_le(draws, 21);
        ck_assert_ptr_nonnull(strstr(text, "\r\033[Kepoch 3/20  500/s  loss 0.5  2.0 s\n"));
        if (width == 110) {
            ck_assert_ptr_nonnull(strstr(text, "left"));
            ck_assert_ptr_nonnull(strstr(text, "####"));
        }
    }
}
END_TEST

START_TEST(durations)
{
    static const struct {
        double s;
        const char *text;
    } cases[] = {{0, "0.0 s"},   {59.94, "59.9 s"}, {59.96, "1:00"},      {187, "3:07"},
                 {3599.7, "1:00:00"}, {3765, "1:02:45"}, {-1, "?"}, {NAN, "?"}, {INFINITY, "?"}};
    char buf[ET_DURATION_TEXT];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(et_duration_text(buf, cases[i].s), cases[i].text);
}
END_TEST

START_TEST(terminal_settings)
{
    FILE *f = tmpfile();

    setenv("COLUMNS", "123", 1);
    ck_assert_int_eq(et_terminal_width(f), 123);
    setenv("COLUMNS", "5", 1);
    ck_assert_int_eq(et_terminal_width(f), 80);
    setenv("COLUMNS", "wide", 1);
    ck_assert_int_eq(et_terminal_width(f), 80);
    ck_assert(!et_terminal_is(f) && !et_terminal_colour(f));
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    ck_assert(et_terminal_unicode());
    setenv("LC_ALL", "C", 1);
    ck_assert(!et_terminal_unicode());
    fclose(f);
}
END_TEST

/* --- Ctrl-C -------------------------------------------------------------------------- */

START_TEST(first_interrupt_asks)
{
    ck_assert_int_eq(et_interrupt_catch(), ET_OK);
    et_interrupt_reset();
    ck_assert(!et_interrupted());
    raise(SIGINT);
    ck_assert(et_interrupted());
    et_interrupt_reset();
    raise(SIGTERM);
    ck_assert(et_interrupted());
    et_interrupt_reset();
}
END_TEST

START_TEST(second_interrupt_stops)
{
    et_interrupt_catch();
    et_interrupt_reset();
    raise(SIGINT);
    raise(SIGINT);
    exit(0); /* not reached: Check expects 130 */
}
END_TEST

static int64_t stopped_at; /* the item with which Ctrl-C comes; -1: with none */

static et_status hum(const et_collection *c, int64_t i, et_audio *out)
{
    *out = (et_audio){.samples = et_dataset_tensor(ET_F32, ET_SHAPE(1, 16000)), .rate = 16000};
    (void)c;
    if (i == stopped_at)
        raise(SIGTERM);
    return out->samples ? et_fill(out->samples, 0.1 * (double)i) : et_error_status();
}

/* The file of features comes whole or not at all, wherever it is, and a signal does afterwards what it did
 * before. _i: 1: they were caught. */
START_TEST(features_are_read)
{
    et_collection *c = et_collection_new("hum");
    et_front_end *fe = et_front_end_new("won96");

    ck_assert(c && fe && !et_names_add(&c->names, "a") && !et_names_add(&c->names, "b"));
    c->load = hum;
    setenv("TMPDIR", test_dir, 1);
    et_interrupt_reset();
    ck_assert_int_eq(_i ? et_interrupt_catch() : et_interrupt_release(), ET_OK);
    for (int named = 0; named < 2; named++)
        for (stopped_at = 1; stopped_at >= -1; stopped_at -= 2) {
            et_feature_cache *cache = et_run_features(
                c, fe, "reading", (et_feature_cache_options){.path = named ? in_dir("f") : NULL, .key = "k"});
            ck_assert_int_eq(et_interrupt_caught(), _i);
            if (stopped_at < 0) {
                ck_assert_msg(cache != NULL, "%s", et_error_message());
                ck_assert_int_eq(et_feature_cache_size(cache), 2);
                et_feature_cache_free(cache);
                ck_assert_int_eq(count_files(), named);
            } else {
                ck_assert(!cache && et_error_status() == ET_EINVAL);
                ck_assert_int_eq(count_files(), 0);
                et_interrupt_reset();
                et_error_clear();
            }
        }
    et_front_end_free(fe);
    et_collection_free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("examples_progress");
    TCase *rest = tcase_create("progress"), *features = tcase_create("features");

    tcase_add_checked_fixture(rest, et_error_clear, NULL);
    tcase_add_test(rest, progress_in_lines);
    tcase_add_test(rest, progress_on_a_terminal);
    tcase_add_test(rest, durations);
    tcase_add_test(rest, terminal_settings);
    tcase_add_test(rest, first_interrupt_asks);
    tcase_add_checked_fixture(features, make_test_dir, remove_test_dir);
    tcase_add_loop_test(features, features_are_read, 0, 2);
    suite_add_tcase(suite, features);
    if (suite_forks())
        tcase_add_exit_test(rest, second_interrupt_stops, 130);
    suite_add_tcase(suite, rest);
    return suite_run(suite);
}
