/* Front ends: golden values, a second implementation's values, threads, instruction sets, misuse, memory. */
#include "config.h"

#include "datasets/front_end.h"

#include "tensor/parallel.h"
#include "tensor/pool.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/spectra_signal.h"

/* Features of x; the caller frees them. */
enum { FRONT_ENDS = 13 };

static float *features(const et_front_end *fe, const float *x, int64_t n)
{
    const int64_t count = et_front_end_frames(fe, n) * et_front_end_bins(fe);
    float *out = malloc((size_t)count * sizeof *out);

    ck_assert_ptr_nonnull(out);
    ck_assert_msg(et_front_end_run(fe, x, n, out) == ET_OK, "%s", et_error_message());
    return out;
}

/* --- golden values ----------------------------------------------------------------------- */

typedef struct golden {
    const char *name;
    double seconds;
    int rows;
} golden;

static const golden goldens[] = {
    {"ast128:log", 1, 36}, {"ast128", 1, 8}, {"won96", 1, 33}, {"won96:power", 1, 33}, {"laion64", 0.5, 30}};
enum { GOLDENS = sizeof goldens / sizeof goldens[0] };

typedef struct compared {
    const char *name;
    const float *values;
    int64_t bins;
    double top; /* the largest value */
    double worst, worst_low;
} compared;

/* 1e-3 on decibels and 1e-4 on natural logarithms above -10 (spread by the normalisation of ast128);
 * what is close to the rounding of float32, 80 dB below the clip's loudest band, within 0.5. */
static void look_golden(int64_t row, int64_t column, double value, void *user)
{
    compared *c = user;
    const bool ln = strncmp(c->name, "ast128", 6) == 0, db20 = strcmp(c->name, "won96") == 0;
    const double got = (double)c->values[row * c->bins + column], error = fabs(got - value);
    const double range = ln ? 18.4 : db20 ? 160 : 80;
    const bool low = c->top - value > range;
    const double tolerance = low ? 0.5 : ln ? 1e-4 : 1e-3;

    ck_assert_msg(error <= tolerance, "%s[%d][%d]: %.7g, expected %.7g within %g", c->name, (int)row,
                  (int)column, got, value, tolerance);
    if (low)
        c->worst_low = fmax(c->worst_low, error);
    else
        c->worst = fmax(c->worst, error);
}

START_TEST(golden_values)
{
    const golden *g = &goldens[_i % GOLDENS];
    et_front_end *fe;
    compared c = {g->name, NULL, 0, -INFINITY, 0, 0};
    int64_t n, count;
    float *x, *y;

    ck_assert(et_set_isa(spectra_isa(_i / GOLDENS)) == ET_OK);
    fe = et_front_end_new(g->name);
    ck_assert_msg(fe != NULL, "%s", et_error_message());
    n = (int64_t)(g->seconds * (double)et_front_end_rate(fe));
    x = malloc((size_t)n * sizeof *x);
    for (int64_t j = 0; j < n; j++) {
        const double a = 2 * 3.14159265358979323846 * (double)j / (double)et_front_end_rate(fe);
        x[j] = (float)(0.5 * sin(440 * a) + 0.25 * sin(3000 * a));
    }
    y = features(fe, x, n);
    c.values = y;
    c.bins = et_front_end_bins(fe);
    for (int64_t i = 0; i < et_front_end_frames(fe, n) * c.bins; i++)
        c.top = fmax(c.top, (double)y[i]);
    count = spectra_values("fixtures/spectra-golden.csv", g->name, look_golden, &c);
    ck_assert_int_eq(count, g->rows);
    printf("# %s, %s: %d golden values agree, largest error %.2g, near rounding %.2g\n", g->name, et_isa(),
           (int)count, c.worst, c.worst_low);
    free(x);
    free(y);
    et_front_end_free(fe);
}
END_TEST

/* --- a second implementation --------------------------------------------------------------- */

static void look_one(int64_t row, int64_t column, double value, void *user)
{
    (void)row;
    (void)column;
    *(double *)user = value;
}

START_TEST(reference_values)
{
    const char *name = et_front_end_names()[_i];
    et_front_end *fe = et_front_end_new(name);
    spectra_matrix m = {name, NULL, 0, 1e-4, 0};
    char what[64];
    double frames;
    float *x = spectra_signal(16000), *y;

    ck_assert_msg(fe != NULL, "%s", et_error_message());
    ck_assert_str_eq(et_front_end_name(fe), name);
    y = features(fe, x, 16000);
    snprintf(what, sizeof what, "frames/%s", name);
    spectra_values("fixtures/spectra.csv", what, look_one, &frames);
    ck_assert_int_eq(et_front_end_frames(fe, 16000), (int64_t)frames);
    snprintf(what, sizeof what, "front/%s", name);
    m.values = y;
    m.columns = et_front_end_bins(fe);
    ck_assert_int_eq(spectra_values("fixtures/spectra.csv", what, spectra_look, &m), 24);
    printf("# %s: largest error %.2g\n", name, m.worst);
    free(x);
    free(y);
    et_front_end_free(fe);
}
END_TEST

/* --- shapes ------------------------------------------------------------------------------------ */

START_TEST(shapes)
{
    static const struct {
        const char *name;
        int64_t rate, bins, n, frames, least; /* frames of n samples; fewest samples that give one */
    } rows[] = {
        {"won96", 16000, 96, 160000, 626, 257},       {"ast128", 16000, 128, 160000, 998, 400},
        {"laion64", 48000, 64, 480000, 1001, 513},    {"ms64", 44100, 64, 220500, 690, 513},
        {"mulan", 16000, 64, 160000, 1000, 1},        {"mulan:128", 16000, 128, 160000, 1000, 1},
        {"vit129", 22050, 129, 661500, 2583, 256},    {"rnn64", 16000, 64, 160000, 626, 257},
        {"mel96", 22050, 96, 220500, 216, 1025},      {"mulan:power", 16000, 65, 160000, 13334, 65},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        et_front_end *fe = et_front_end_new(rows[i].name);
        float *x = calloc((size_t)rows[i].least, sizeof *x), *y;
        ck_assert_int_eq(et_front_end_rate(fe), rows[i].rate);
        ck_assert_int_eq(et_front_end_bins(fe), rows[i].bins);
        ck_assert_int_eq(et_front_end_frames(fe, rows[i].n), rows[i].frames);
        ck_assert_int_eq(et_front_end_frames(fe, rows[i].least - 1), 0);
        ck_assert_int_ge(et_front_end_frames(fe, rows[i].least), 1);
        ck_assert_int_eq(et_front_end_frames(fe, 0), 0);
        ck_assert_int_eq(et_front_end_frames(fe, -5), 0);
        y = features(fe, x, rows[i].least);
        free(x);
        free(y);
        et_front_end_free(fe);
    }
}
END_TEST

/* Silence is at the floor everywhere, however the front end writes it. */
START_TEST(silence)
{
    static const struct {
        const char *name;
        double floor;
    } rows[] = {
        {"won96", -100},      {"won96:power", -100}, {"ast128:log", -15.942385}, {"ast128", -1.277594},
        {"laion64", -100},    {"ms64", -100},        {"mulan", -13.815511},      {"vit129", -100},
        {"laion64:htk", -100}, {"rnn64", -100},      {"mulan:power", 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        et_front_end *fe = et_front_end_new(rows[i].name);
        float *x = calloc(3000, sizeof *x), *y = features(fe, x, 3000);
        for (int64_t j = 0; j < et_front_end_frames(fe, 3000) * et_front_end_bins(fe); j++)
            ck_assert_msg(fabs((double)y[j] - rows[i].floor) <= 2e-5, "%s: silence is %.8g, not %g",
                          rows[i].name, (double)y[j], rows[i].floor);
        free(x);
        free(y);
        et_front_end_free(fe);
    }
}
END_TEST

START_TEST(padding)
{
    et_front_end *ast = et_front_end_new("ast128"), *won = et_front_end_new("won96");

    ck_assert(fabs(et_front_end_padding(ast) - 0.4670324) < 5e-8);
    ck_assert(et_front_end_padding(won) == 0);
    et_front_end_free(ast);
    et_front_end_free(won);
}
END_TEST

/* Nothing of won96 is more than 80 dB below its loudest band, and something is at that floor. */
START_TEST(top_of_clip)
{
    et_front_end *fe = et_front_end_new("won96");
    const int64_t n = 8000, count = et_front_end_frames(fe, n) * et_front_end_bins(fe);
    float *x = malloc((size_t)n * sizeof *x), *y, most = -INFINITY, least = INFINITY;

    for (int64_t j = 0; j < n; j++)
        x[j] = (float)sin(0.3 * (double)j);
    y = features(fe, x, n);
    for (int64_t i = 0; i < count; i++) {
        most = y[i] > most ? y[i] : most;
        least = y[i] < least ? y[i] : least;
    }
    ck_assert(fabs((double)(most - least) - 80) < 1e-4);
    free(x);
    free(y);
    et_front_end_free(fe);
}
END_TEST

/* --- the same bits ------------------------------------------------------------------------------- */

START_TEST(threads)
{
    const char *name = et_front_end_names()[_i];
    et_front_end *fe = et_front_end_new(name);
    const int64_t n = 100000 + 37;
    const size_t bytes = (size_t)(et_front_end_frames(fe, n) * et_front_end_bins(fe)) * sizeof(float);
    float *x = spectra_signal(n), *one, *more;

    et_set_num_threads(1);
    one = features(fe, x, n);
    for (int t = 2; t <= 5; t++) {
        et_set_num_threads(t);
        more = features(fe, x, n);
        ck_assert_msg(memcmp(one, more, bytes) == 0, "%s: %d threads give other bits", name, t);
        free(more);
    }
    free(x);
    free(one);
    et_front_end_free(fe);
}
END_TEST

/* A frame has the same bits wherever it stands among the lanes of a vector. */
START_TEST(places)
{
    et_front_end *fe = et_front_end_new("ast128:log");
    float *x = spectra_signal(16000), *y, *z;

    ck_assert(et_set_isa(spectra_isa(_i)) == ET_OK);
    et_front_end_free(fe);
    fe = et_front_end_new("ast128:log");
    y = features(fe, x, 16000);
    for (int t = 1; t < 40; t++) {
        z = features(fe, x + 160 * t, 16000 - 160 * t);
        ck_assert_msg(memcmp(z, y + 128 * t,
                             (size_t)(et_front_end_frames(fe, 16000) - t) * 128 * sizeof *z) == 0,
                      "frame %d differs in another place", t);
        free(z);
    }
    free(x);
    free(y);
    et_front_end_free(fe);
}
END_TEST

START_TEST(instruction_sets)
{
    const char *name = et_front_end_names()[_i];
    float *x = spectra_signal(20000), *best = NULL;

    for (int i = 0; i < spectra_isas(); i++) {
        et_front_end *fe;
        float *y;
        ck_assert(et_set_isa(spectra_isa(i)) == ET_OK);
        fe = et_front_end_new(name);
        y = features(fe, x, 20000);
        for (int64_t j = 0; best && j < et_front_end_frames(fe, 20000) * et_front_end_bins(fe); j++)
            ck_assert_msg(fabs((double)(y[j] - best[j])) <= 1e-3, "%s: %s gives %.8g, %s %.8g", name,
                          spectra_isa(i), (double)y[j], spectra_isa(0), (double)best[j]);
        if (best)
            free(y);
        else
            best = y;
        et_front_end_free(fe);
    }
    free(x);
    free(best);
}
END_TEST

/* --- names, misuse, memory -------------------------------------------------------------------------- */

START_TEST(names)
{
    const char *const *all = et_front_end_names();
    int count = 0;

    for (; all[count]; count++) {
        et_front_end *fe = et_front_end_new(all[count]);
        ck_assert_msg(fe != NULL, "%s", et_error_message());
        ck_assert_str_eq(et_front_end_name(fe), all[count]);
        for (int other = 0; other < count; other++) {
            et_front_end *before = et_front_end_new(all[other]);
            ck_assert_str_ne(et_front_end_signature(fe), et_front_end_signature(before));
            et_front_end_free(before);
        }
        ck_assert(strncmp(et_front_end_signature(fe), all[count], strlen(all[count])) == 0);
        et_front_end_free(fe);
    }
    ck_assert_int_eq(count, FRONT_ENDS);
}
END_TEST

START_TEST(misuse)
{
    et_front_end *fe = et_front_end_new("won96");
    float x[400] = {0}, y[2 * 96];

    fails_null(et_front_end_new(NULL), ET_EINVAL, "no front end \"(null)\"; there are won96, won96:power");
    fails_null(et_front_end_new(""), ET_EINVAL, "no front end \"\"");
    fails_null(et_front_end_new("won96:"), ET_EINVAL, "vit129, rnn64, mel96");
    fails_null(et_front_end_new("WON96"), ET_EINVAL, "no front end \"WON96\"");
    fails(et_front_end_run(NULL, x, 400, y), ET_EINVAL, "NULL");
    fails(et_front_end_run(fe, NULL, 400, y), ET_EINVAL, "NULL");
    fails(et_front_end_run(fe, x, 400, NULL), ET_EINVAL, "NULL");
    fails(et_front_end_run(fe, x, 256, y), ET_ESHAPE, "won96: 256 samples are too few for one frame of 512");
    fails(et_front_end_run(fe, x, 0, y), ET_ESHAPE, "0 samples");
    fails(et_front_end_run(fe, x, -1, y), ET_ESHAPE, "-1 samples");
    et_front_end_free(fe);
    et_front_end_free(NULL);
}
END_TEST

/* A NaN or an infinity among the samples spoils the frames that hold it, and no others. */
START_TEST(not_numbers)
{
    et_front_end *fe = et_front_end_new("rnn64");
    float *x = spectra_signal(16000), *y = features(fe, x, 16000), *z;

    x[8000] = NAN;
    z = features(fe, x, 16000);
    for (int64_t t = 0; t < 63; t++) {
        const bool inside = t * 256 - 256 <= 8000 && 8000 < t * 256 + 256;
        ck_assert_msg(inside ? isnan(z[t * 64 + 20]) : memcmp(y + t * 64, z + t * 64, 64 * sizeof *y) == 0,
                      "frame %d", (int)t);
    }
    free(x);
    free(y);
    free(z);
    et_front_end_free(fe);
}
END_TEST

typedef struct sweep {
    const char *name;
    const float *x;
    float *y;
} sweep;

static bool make_and_run(void *user)
{
    const sweep *s = user;
    et_front_end *fe = et_front_end_new(s->name);
    bool good = fe && et_front_end_run(fe, s->x, 2000, s->y) == ET_OK;

    et_front_end_free(fe);
    return good;
}

START_TEST(out_of_memory)
{
    float *x = spectra_signal(2000), *y = malloc(200000 * sizeof *y);
    sweep s = {et_front_end_names()[_i], x, y};

    ck_assert_int_gt(alloc_sweep(s.name, make_and_run, &s), 5);
    free(x);
    free(y);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("front_end");
    TCase *tc = tcase_create("front_end");

    tcase_add_loop_test(tc, golden_values, 0, GOLDENS * spectra_isas());
    tcase_add_loop_test(tc, reference_values, 0, FRONT_ENDS);
    tcase_add_test(tc, shapes);
    tcase_add_test(tc, silence);
    tcase_add_test(tc, padding);
    tcase_add_test(tc, top_of_clip);
    tcase_add_loop_test(tc, threads, 0, FRONT_ENDS);
    tcase_add_loop_test(tc, places, 0, spectra_isas());
    tcase_add_loop_test(tc, instruction_sets, 0, FRONT_ENDS);
    tcase_add_test(tc, names);
    tcase_add_test(tc, misuse);
    tcase_add_test(tc, not_numbers);
    tcase_add_loop_test(tc, out_of_memory, 0, FRONT_ENDS);
    suite_add_tcase(s, tc);
    return s;
}

int main(void) { return suite_run(make_suite()); }
