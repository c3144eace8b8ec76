/* Captioned sounds and sequences to reverse. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "datasets/synthetic.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

/* The captions name their attributes; the sounds have them. */
START_TEST(captioned)
{
    et_names captions = {0}, words = {0};
    et_dataset *ds = et_captioned(256, 1, 0, true, &captions);
    int templates[3] = {0};

    ck_assert_msg(ds && et_dataset_check(ds) == ET_OK, "%s", et_error_message());
    ck_assert(ds->classes.n == 128 && captions.n == 256);
    for (int64_t i = 0; i < 256; i++) {
        const char *caption = captions.items[i];
        char name[64], text[128], *word, *rest;
        ck_assert_int_eq(((const int32_t *)et_data(ds->y))[i], i % 128);
        snprintf(name, sizeof name, "%s", ds->classes.items[i % 128]);
        for (word = strtok_r(name, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            ck_assert_msg(strstr(caption, word) != NULL, "'%s' lacks %s", caption, word);
        templates[caption[0] == 'a' ? 0 : strncmp(caption, "the", 3) == 0 ? 1 : 2]++;
        snprintf(text, sizeof text, "%s", caption);
        for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            if (et_names_find(&words, word) < 0)
                ck_assert_int_eq(et_names_add(&words, word), ET_OK);
    }
    ck_assert(templates[0] > 40 && templates[1] > 40 && templates[2] > 40);
    ck_assert_int_le(words.n, 28);
    et_dataset_free(ds);
    et_names_free(&words);
    et_names_free(&captions);
}
END_TEST

/* A sound is on half of the time, so its mean level at a bin is half of timbre and bump: the bump of 2 in its
 * own register shows as 1 beside the sounds that differ in register alone. */
START_TEST(registers)
{
    et_names captions = {0};
    et_dataset *ds = et_captioned(1280, 1, 0, true, &captions);
    const float *x = et_data(ds->x);
    double mean[4][4] = {{0}}; /* of register at the centre of register */

    for (int64_t i = 0; i < 1280; i++)
        for (int c = 0; c < 4; c++)
            for (int t = 0; t < 64; t++)
                mean[i / 2 % 4][c] += x[i * 1024 + t * 16 + 2 + 4 * c] / (320 * 64);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            if (r != c) /* beside it the bump has 0.03 of its height */
                ck_assert_double_eq_tol(mean[c][c] - mean[r][c],
                                        1 - 0.5 * 2 * exp(-0.5 * 16 * (r - c) * (r - c) / 2.25), 0.05);
    et_dataset_free(ds);
    et_names_free(&captions);
}
END_TEST

/* The level of the noise, from second differences in time of the slow sounds, which hardly ever switch. */
START_TEST(noise)
{
    et_names captions = {0};
    et_dataset *ds = et_captioned(1280, 1, 0, true, &captions);
    const float *x = et_data(ds->x);
    double power[2] = {0};

    for (int64_t i = 0; i < 1280; i++)
        for (int t = 0; t + 2 < 64; t++) {
            double d = x[i * 1024 + t * 16] - 2 * x[i * 1024 + (t + 1) * 16] + x[i * 1024 + (t + 2) * 16];
            if (i / 8 % 4 == 0 && fabs(d) < 9)
                power[i % 2] += d * d / 6 / (320 / 2 * 62);
        }
    ck_assert_msg(sqrt(power[0]) > 0.28 && sqrt(power[0]) < 0.75, "clean: %g", sqrt(power[0]));
    ck_assert_msg(sqrt(power[1]) > 0.85 && sqrt(power[1]) < 1.15, "noisy: %g", sqrt(power[1]));
    et_dataset_free(ds);
    et_names_free(&captions);
}
END_TEST

START_TEST(drawn)
{
    et_names a = {0}, b = {0}, c = {0};
    et_dataset *few = et_captioned(10, 3, 0, false, &a), *more = et_captioned(2000, 3, 0, false, &b);
    et_dataset *other = et_captioned(10, 3, 1, false, &c);
    int counts[128] = {0}, empty = 0;

    ck_assert_mem_eq(et_data(few->x), et_data(more->x), 10 * 1024 * sizeof(float));
    ck_assert_mem_ne(et_data(few->x), et_data(other->x), 10 * 1024 * sizeof(float));
    for (int i = 0; i < 10; i++)
        ck_assert_str_eq(a.items[i], b.items[i]);
    for (int i = 0; i < 2000; i++)
        counts[((const int32_t *)et_data(more->y))[i]]++;
    for (int k = 0; k < 128; k++)
        empty += counts[k] == 0;
    ck_assert_int_eq(empty, 0);
    et_dataset_free(few);
    et_dataset_free(more);
    et_dataset_free(other);
    et_names_free(&a);
    et_names_free(&b);
    et_names_free(&c);
    fails_null(et_captioned(-1, 1, 0, false, &a), ET_EINVAL, "-1 of part 0");
    fails_null(et_captioned(1, 1, -1, false, &a), ET_EINVAL, "part -1");
}
END_TEST

START_TEST(reversal)
{
    et_dataset *ds = et_reversal(1000, 1, 0), *part = et_reversal(1000, 1, 1);
    const float *x = et_data(ds->x);
    int counts[12] = {0};

    ck_assert(et_dataset_check(ds) == ET_OK && ds->x->shape[1] == 8);
    for (int i = 0; i < 8000; i++) {
        ck_assert_msg(x[i] >= 3 && x[i] <= 11 && x[i] == floorf(x[i]), "symbol %g", x[i]);
        counts[(int)x[i]]++;
    }
    for (int k = 3; k < 12; k++)
        ck_assert_msg(abs(counts[k] - 889) < 150, "symbol %d: %d", k, counts[k]);
    ck_assert_mem_ne(x, et_data(part->x), 8000 * sizeof(float));
    et_dataset_free(ds);
    et_dataset_free(part);
    fails_null(et_reversal(-1, 1, 0), ET_EINVAL, "reversal");
}
END_TEST

static bool both(void *user)
{
    et_names captions = {0};
    et_dataset *a = et_captioned(3, 1, 0, false, &captions), *b = a ? et_reversal(3, 1, 0) : NULL;
    bool ok = b != NULL;

    (void)user;
    et_dataset_free(a);
    et_dataset_free(b);
    et_names_free(&captions);
    return ok;
}

START_TEST(memory) { ck_assert_int_gt(alloc_sweep("tasks", both, NULL), 100); }
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("synthetic");
    TCase *t = tcase_create("tasks");

    tcase_add_test(t, captioned);
    tcase_add_test(t, registers);
    tcase_add_test(t, noise);
    tcase_add_test(t, drawn);
    tcase_add_test(t, reversal);
    tcase_add_test(t, memory);
    suite_add_tcase(s, t);
    return s;
}

int main(void) { return suite_run(suite()); }
