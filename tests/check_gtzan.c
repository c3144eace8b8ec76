/* The GTZAN tables: small folders made here, broken in every way;
 * the real data where they are present. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/gtzan.h"
#include "datasets/split.h"
#include "datasets/standardize.h"
#include "tensor/alloc.h"
#include "tests/alloc_sweep.h"
#include "tests/files.h"
#include "tests/suite.h"

static void setup(void)
{
    make_test_dir();
    et_error_clear();
}

static void put(const char *file, const void *data, size_t size) { put_file(in_dir(file), data, size); }

static void text(const char *file, const char *s) { put(file, s, strlen(s)); }

/* An array of n tracks, element i being i * 7 % 256. */
static size_t make_npy(unsigned char *out, const char *type, int n, int bands, int frames)
{
    char header[119];
    size_t size = (size_t)n * (size_t)bands * (size_t)frames;
    int used = snprintf(header, sizeof header,
                        "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d, %d), }", type, n, bands,
                        frames);
    memset(header + used, ' ', sizeof header - (size_t)used);
    header[117] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(out + 10, header, 118);
    for (size_t i = 0; i < size; i++)
        out[128 + i] = (unsigned char)(i * 7 % 256);
    return 128 + size;
}

static unsigned char npy[128 + 4 * 128 * 57];

static void refused(et_gtzan_table table, et_status status, const char *words)
{
    et_dataset *ds;
    et_error_clear();
    ds = et_gtzan_load(test_dir, table);
    ck_assert_msg(ds == NULL, "accepted, expected '%s'", words);
    ck_assert_msg(et_error_status() == status, "%s: %s", et_status_name(et_error_status()),
                  et_error_message());
    ck_assert_msg(strstr(et_error_message(), words) != NULL, "message '%s' lacks '%s'", et_error_message(),
                  words);
    et_error_clear();
}

static et_dataset *load(et_gtzan_table table)
{
    et_dataset *ds = et_gtzan_load(test_dir, table);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert_int_eq(et_dataset_check(ds), ET_OK);
    return ds;
}

/* --- the spectrogram ------------------------------------------------------------------ */

START_TEST(spectrogram)
{
    et_dataset *ds;

    put("spec128x57.npy", npy, make_npy(npy, "|u1", 3, 128, 57));
    text("tracks.csv",
         "row,track,genre,genre_id,split\n2,a,rock,9,train\n0,b,blues,0,test\n1,\"c, d\",jazz,5,test\n");
    ds = load(ET_GTZAN_SPECTROGRAM);
    ck_assert_int_eq(et_dataset_size(ds), 3);
    ck_assert(ds->x->shape[1] == 57 && ds->x->shape[2] == 128);
    ck_assert_int_eq(et_dataset_classes(ds), 10);
    ck_assert_str_eq(ds->classes.items[9], "rock");
    ck_assert_str_eq(ds->names.items[0], "b");
    ck_assert_str_eq(ds->names.items[1], "c, d");
    ck_assert_int_eq(et_data_i32(ds->y)[1], 5);
    ck_assert_int_eq(et_data_i32(ds->y)[2], 9);
    ck_assert_str_eq(ds->splits.items[et_data_i32(ds->split)[2]], "train");
    for (int i = 0; i < 3; i++)
        for (int s = 0; s < 57; s += 8)
            for (int f = 0; f < 128; f += 9)
                ck_assert(et_data_f32(ds->x)[(i * 57 + s) * 128 + f] ==
                          (float)((((i * 128 + f) * 57 + s) * 7 % 256) / 255.0));
    et_dataset_free(ds);
    ck_assert(et_gtzan_has(test_dir, ET_GTZAN_SPECTROGRAM) && !et_gtzan_has(test_dir, ET_GTZAN_TRACKS));

    /* As little as there may be: no row numbers, no split, genres by name or by number. */
    text("tracks.csv", "genre,track\nrock,a\nblues,b\njazz,c\n");
    ds = load(ET_GTZAN_SPECTROGRAM);
    ck_assert(ds->split == NULL && ds->splits.n == 0);
    ck_assert_int_eq(et_data_i32(ds->y)[0], 9);
    et_dataset_free(ds);
    text("tracks.csv", "genre_id,track,split\n9,a,\n0,b,\n5,c,x\n");
    ds = load(ET_GTZAN_SPECTROGRAM);
    ck_assert_int_eq(et_data_i32(ds->y)[0], 9);
    ck_assert_int_eq(et_data_i32(ds->split)[0], -1);
    ck_assert_int_eq(et_data_i32(ds->split)[2], 0);
    et_dataset_free(ds);
}
END_TEST

START_TEST(spectrogram_broken)
{
    static const struct {
        const char *tracks, *words;
    } cases[] = {
        {"row,track,genre\n0,a,rock\n1,b,blues\n", "has 3 tracks, "},
        {"row,track,genre\n0,a,rock\n1,b,blues\n3,c,jazz\n",
         "tracks.csv:4: column 'row': 3 is not in 0 .. 2"},
        {"row,track,genre\n0,a,rock\n1,b,blues\n0,c,jazz\n",
         "tracks.csv:4: column 'row': 0 stands already in line 2"},
        {"row,track,genre\n0,a,rock\n1,b,blues\n2,a,jazz\n",
         "tracks.csv:4: column 'track': 'a' stands already in line 2"},
        {"row,track,genre\n0,a,rock\n1,b,polka\n2,c,jazz\n",
         "tracks.csv:3: column 'genre': 'polka' is not one of"},
        {"row,track,genre,genre_id\n0,a,rock,9\n1,b,blues,1\n2,c,jazz,5\n",
         "column 'genre_id': 1, but 'blues' is number 0"},
        {"row,track,genre_id\n0,a,9\n1,b,10\n2,c,5\n",
         "tracks.csv:3: column 'genre_id': 10 is not in 0 .. 9"},
        {"row,track,genre_id\n0,a,9\n1,b,x\n2,c,5\n", "'x' is not an integer"},
        {"row,track\n0,a\n1,b\n2,c\n", "no column named 'genre' or 'genre_id'"},
        {"row,genre\n0,rock\n1,blues\n2,jazz\n", "no column named 'track'"},
        {"row,track,genre\n0,a,rock\n1,,blues\n2,c,jazz\n",
         "tracks.csv:3: column 'track': the track has no name"},
        {"row,track,genre\n0,a,rock\n1,b\n", "tracks.csv:3: 2 fields"},
        {"row,track,genre\n", "a header and no rows"},
    };
    put("spec128x57.npy", npy, make_npy(npy, "|u1", 3, 128, 57));
    refused(ET_GTZAN_SPECTROGRAM, ET_EIO, "tracks.csv");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text("tracks.csv", cases[i].tracks);
        refused(ET_GTZAN_SPECTROGRAM, ET_EFORMAT, cases[i].words);
    }
    text("tracks.csv", "track,genre\na,rock\nb,blues\nc,jazz\n");
    put("spec128x57.npy", npy, make_npy(npy, "|u1", 3, 57, 128));
    refused(ET_GTZAN_SPECTROGRAM, ET_EFORMAT, "uint8 [3, 57, 128], expected uint8 [tracks, 128, 57]");
    put("spec128x57.npy", npy, make_npy(npy, "|i1", 3, 128, 57));
    refused(ET_GTZAN_SPECTROGRAM, ET_EFORMAT, "int32 [3, 128, 57], expected uint8");
    for (size_t n = 0, size = make_npy(npy, "|u1", 3, 128, 57); n < size; n += n < 140 ? 1 : 997) {
        put("spec128x57.npy", npy, n);
        refused(ET_GTZAN_SPECTROGRAM, ET_EFORMAT, "spec128x57.npy");
    }
    et_error_clear();
    ck_assert_ptr_null(et_gtzan_load("/nonexistent", ET_GTZAN_TRACKS));
    ck_assert_int_eq(et_error_status(), ET_EIO);
    et_error_clear();
    ck_assert_ptr_null(et_gtzan_load(NULL, ET_GTZAN_TRACKS));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
    et_error_clear();
    ck_assert_ptr_null(et_gtzan_load(test_dir, (et_gtzan_table)3));
    ck_assert_int_eq(et_error_status(), ET_EINVAL);
}
END_TEST

/* --- features ----------------------------------------------------------------------------- */

/* Rows "track,segment,genre_id,split" of `rows` with the features row + f/100; `last`
 * replaces the last feature of the last row where not NULL. */
static char *feature_table(et_gtzan_table table, int n, const char *const *rows, const char *last)
{
    static char out[60000];
    char name[32];
    int features = et_gtzan_features(table), used;

    used = snprintf(out, sizeof out, "track,%sgenre_id,split", table == ET_GTZAN_SEGMENTS ? "segment," : "");
    /* Columns in another order than the library's: the last feature first. */
    for (int f = features - 1; f >= 0; f--)
        used += snprintf(out + used, sizeof out - (size_t)used, ",%s", et_gtzan_feature(table, f, name));
    for (int i = 0; i < n; i++) {
        used += snprintf(out + used, sizeof out - (size_t)used, "\n%s", rows[i]);
        for (int f = features - 1; f >= 0; f--)
            if (last && i == n - 1 && f == 0)
                used += snprintf(out + used, sizeof out - (size_t)used, ",%s", last);
            else
                used += snprintf(out + used, sizeof out - (size_t)used, ",%d.%02d", i, f);
    }
    return out;
}

START_TEST(features)
{
    static const char *const rows[] = {"b,1,4,train", "a,0,9,test",  "b,0,4,train",
                                       "a,2,9,test",  "b,2,4,train", "a,1,9,test"};
    static const char *const tracks[] = {"x,3,train", "y,9,"};
    char name[32];
    et_dataset *ds;

    text("features3_seq.csv", feature_table(ET_GTZAN_SEGMENTS, 6, rows, NULL));
    ds = load(ET_GTZAN_SEGMENTS);
    ck_assert(ds->x->shape[0] == 2 && ds->x->shape[1] == 10 && ds->x->shape[2] == 53);
    ck_assert_int_eq(et_dataset_classes(ds), 5);
    ck_assert_str_eq(ds->names.items[0], "b");
    ck_assert_str_eq(ds->classes.items[et_data_i32(ds->y)[0]], "hiphop");
    ck_assert_str_eq(ds->classes.items[et_data_i32(ds->y)[1]], "rock");
    ck_assert(et_data_i32(ds->lengths)[0] == 3 && et_data_i32(ds->lengths)[1] == 3);
    /* Item "b": rows 2, 0, 4 in the order of the segments. */
    ck_assert(et_data_f32(ds->x)[7] == (float)2.07 && et_data_f32(ds->x)[53 + 52] == (float)0.52 &&
              et_data_f32(ds->x)[106] == 4);
    ck_assert(et_data_f32(ds->x)[3 * 53] == 0);
    ck_assert(et_data_f32(ds->x)[530 + 53] == 5.0f);
    ck_assert_int_eq(et_gtzan_log_variances(ds, ET_GTZAN_SEGMENTS), ET_OK);
    ck_assert(et_data_f32(ds->x)[7] == (float)log((float)2.07 + 1e-8)); /* spectral_bandwidth_var */
    ck_assert(et_data_f32(ds->x)[6] == (float)2.06 && et_data_f32(ds->x)[12] == (float)2.12 &&
              et_data_f32(ds->x)[13] == (float)2.13);
    ck_assert(et_data_f32(ds->x)[14] == (float)log((float)2.14 + 1e-8));
    ck_assert(et_data_f32(ds->x)[3 * 53 + 7] == 0); /* behind the end */
    fails(et_gtzan_log_variances(ds, ET_GTZAN_TRACKS), ET_ESHAPE, "[2, 10, 53], 57 features");
    fails(et_gtzan_centre_recordings(ds, ET_GTZAN_TRACKS, 1), ET_EINVAL, "table 2 has no segments");
    fails(et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, 1.5), ET_EINVAL, "colour 1.5, expected 0 .. 1");
    fails(et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, -0.5), ET_EINVAL, "colour -0.5");
    fails(et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, NAN), ET_EINVAL, "colour nan");
    fails(et_gtzan_log_variances(ds, ET_GTZAN_SPECTROGRAM), ET_EINVAL, "no variances");
    et_dataset_free(ds);

    text("features30.csv", feature_table(ET_GTZAN_TRACKS, 2, tracks, "-1.5e3"));
    ds = load(ET_GTZAN_TRACKS);
    ck_assert(ds->x->ndim == 2 && ds->x->shape[0] == 2 && ds->x->shape[1] == 57 && ds->lengths == NULL);
    ck_assert_int_eq(et_data_i32(ds->y)[0], 3);
    ck_assert(et_data_f32(ds->x)[57] == -1500);
    ck_assert_int_eq(et_data_i32(ds->split)[1], -1);
    et_dataset_free(ds);

    ck_assert_str_eq(et_gtzan_feature(ET_GTZAN_TRACKS, 16, name), "tempo");
    ck_assert_str_eq(et_gtzan_feature(ET_GTZAN_TRACKS, 56, name), "mfcc20_var");
    ck_assert_str_eq(et_gtzan_feature(ET_GTZAN_SEGMENTS, 12, name), "tempo");
    ck_assert_str_eq(et_gtzan_feature(ET_GTZAN_SEGMENTS, 13, name), "mfcc1_mean");
    ck_assert_str_eq(et_gtzan_feature(ET_GTZAN_SPECTROGRAM, 127, name), "band 127");
    ck_assert_ptr_null(et_gtzan_feature(ET_GTZAN_TRACKS, 57, name));
    ck_assert_str_eq(et_gtzan_genre(4), "hiphop");
    et_error_clear();
    ck_assert_ptr_null(et_gtzan_genre(10));
}
END_TEST

/* Whether features a and b are of the same value, to the last digits of a float. */
static bool near(float a, double b) { return fabs(a - b) < 1e-5; }

/* Item "b" holds r + f/100 with r = 2, 0, 4 at feature f, mean 2 + f/100; "a" r = 1, 5, 3, mean 3 + f/100. */
START_TEST(recordings)
{
    static const char *const rows[] = {"b,1,4,train", "a,0,9,test",  "b,0,4,train",
                                       "a,2,9,test",  "b,2,4,train", "a,1,9,test"};
    static const double x0[][3] = {{2, 0, 4}, {1, 5, 3}}, mean[] = {2, 3}, parts[] = {0, 0.7, 1};

    text("features3_seq.csv", feature_table(ET_GTZAN_SEGMENTS, 6, rows, NULL));
    for (int p = 0; p < 3; p++) {
        et_dataset *ds = load(ET_GTZAN_SEGMENTS);
        ck_assert_int_eq(et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, parts[p]), ET_OK);
        for (int i = 0; i < 2; i++)
            for (int f = 0; f < 53; f++) {
                /* 2: rms_mean; 13: mfcc1_mean; 15, 17, .. 51: the other cepstral means */
                const double part = f == 2 || f == 13 ? 1 : f > 13 && f % 2 ? parts[p] : 0,
                             off = f / 100.0 - part * (mean[i] + f / 100.0);
                const float *x = et_data_f32(ds->x) + i * 530 + f;
                for (int t = 0; t < 3; t++)
                    ck_assert_msg(near(x[t * 53], x0[i][t] + off), "item %d, segment %d, feature %d: %g", i,
                                  t, f, x[t * 53]);
                ck_assert(x[3 * 53] == 0); /* behind the end */
            }
        et_dataset_free(ds);
    }
}
END_TEST

START_TEST(recordings_of_tracks)
{
    static const char *const tracks[] = {"x,3,train", "y,9,"};
    et_dataset *ds;

    text("features30.csv", feature_table(ET_GTZAN_TRACKS, 2, tracks, NULL));
    ds = load(ET_GTZAN_TRACKS);
    fails(et_gtzan_centre_recordings(ds, ET_GTZAN_SEGMENTS, 1), ET_ESHAPE, "[2, 57], 53 features expected");
    et_dataset_free(ds);
}
END_TEST

START_TEST(features_broken)
{
    static const struct {
        const char *rows[2], *last, *words;
        et_status status;
    } cases[] = {
        {{"a,0,9,t", "a,0,9,t"},
         NULL,
         "features3_seq.csv:3: column 'segment': '0' stands already in line 2",
         ET_EFORMAT},
        {{"a,0,9,t", "a,1,7,t"}, NULL, "'a' has another genre or split in line 2", ET_EFORMAT},
        {{"a,0,9,t", "a,1,9,v"}, NULL, "'a' has another genre or split", ET_EFORMAT},
        {{"a,0,9,t", "b,0,5,t"},
         NULL,
         "column 'genre_id': genre 'jazz' is not in a table of five",
         ET_EFORMAT},
        {{"a,0,9,t", "b,x,9,t"}, NULL, "column 'segment': 'x' is not an integer", ET_EFORMAT},
        {{"a,0,9,t", "b,-1,9,t"}, NULL, "-1 is not in 0 ..", ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"},
         "nan",
         "features3_seq.csv:3: column 'chroma_stft_mean': 'nan' is not a finite",
         ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"}, "1e39", "too large for a float32", ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"}, "1e999", "not a finite", ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"}, "", "empty", ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"}, "1.2.3", "'1.2.3' is not a number", ET_EFORMAT},
        {{"a,0,9,t", "b,0,9,t"}, "1,2", "58 fields in a table of 57", ET_EFORMAT},
    };
    char *s;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text("features3_seq.csv", feature_table(ET_GTZAN_SEGMENTS, 2, cases[i].rows, cases[i].last));
        refused(ET_GTZAN_SEGMENTS, cases[i].status, cases[i].words);
    }
    s = feature_table(ET_GTZAN_SEGMENTS, 2, cases[7].rows, NULL);
    memcpy(strstr(s, "tempo"), "tempi", 5);
    text("features3_seq.csv", s);
    refused(ET_GTZAN_SEGMENTS, ET_EFORMAT, "no column named 'tempo'");
    text("features3_seq.csv", "track,genre_id\na,0\n");
    refused(ET_GTZAN_SEGMENTS, ET_EFORMAT, "no column named 'segment'");
}
END_TEST

static bool load_table(void *user)
{
    et_dataset *ds = et_gtzan_load(test_dir, *(et_gtzan_table *)user);
    et_dataset_free(ds);
    return ds != NULL;
}

START_TEST(out_of_memory)
{
    static const char *const rows[] = {"a,0,9,t", "b,0,9,t"};
    et_gtzan_table spectrograms = ET_GTZAN_SPECTROGRAM, segments = ET_GTZAN_SEGMENTS;

    put("spec128x57.npy", npy, make_npy(npy, "|u1", 3, 128, 57));
    text("tracks.csv",
         "row,track,genre,genre_id,split\n2,a,rock,9,train\n0,b,blues,0,test\n1,c,jazz,5,test\n");
    text("features3_seq.csv", feature_table(ET_GTZAN_SEGMENTS, 2, rows, NULL));
    ck_assert_int_gt(alloc_sweep("spectrograms", load_table, &spectrograms), 20);
    ck_assert_int_gt(alloc_sweep("segments", load_table, &segments), 20);
}
END_TEST

/* --- the real data ---------------------------------------------------------------------------- */

START_TEST(real_tables)
{
    static const int64_t per_genre[10] = {69, 68, 68, 64, 65, 60, 64, 54, 60, 68};
    static const int64_t per_five[5] = {69, 68, 65, 54, 68};
    char path[1000];
    et_dataset *ds;
    et_indices train, valid;
    et_standardizer s;
    int64_t counts[10], nine = 0;

    if (!suite_data(path, sizeof path, "gtzan"))
        return;
    ds = et_gtzan_load(path, ET_GTZAN_SPECTROGRAM);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert(ds->x->shape[0] == 640 && ds->x->shape[1] == 57 && ds->x->shape[2] == 128);
    ck_assert_int_eq(et_dataset_count(ds, counts), ET_OK);
    for (int k = 0; k < 10; k++)
        ck_assert_int_eq(counts[k], per_genre[k]);
    ck_assert_int_eq(et_split_named(ds, "train", &train), ET_OK);
    ck_assert_int_eq(et_split_named(ds, "valid", &valid), ET_OK);
    ck_assert(train.n == 443 && valid.n == 197);
    ck_assert_int_eq(et_standardizer_fit(&s, ds, train.items, train.n, ET_STANDARDIZE_FEATURE), ET_OK);
    ck_assert_int_eq(et_standardizer_apply(&s, ds), ET_OK);
    ck_assert_int_eq(et_check_finite(ds->x, "x"), ET_OK);
    et_standardizer_free(&s);
    et_indices_free(&train);
    et_indices_free(&valid);
    et_dataset_free(ds);

    ds = et_gtzan_load(path, ET_GTZAN_TRACKS);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert(ds->x->shape[0] == 640 && ds->x->shape[1] == 57);
    ck_assert_str_eq(ds->names.items[0], "blues.00029");
    ck_assert(et_data_f32(ds->x)[0] == (float)0.2803566);
    et_dataset_free(ds);

    ds = et_gtzan_load(path, ET_GTZAN_SEGMENTS);
    ck_assert_msg(ds != NULL, "%s", et_error_message());
    ck_assert(ds->x->shape[0] == 324 && ds->x->shape[1] == 10 && ds->x->shape[2] == 53);
    ck_assert_int_eq(et_dataset_count(ds, counts), ET_OK);
    for (int k = 0; k < 5; k++)
        ck_assert_int_eq(counts[k], per_five[k]);
    for (int i = 0; i < 324; i++)
        nine += et_data_i32(ds->lengths)[i] == 9;
    ck_assert_int_eq(nine, 2);
    ck_assert(et_data_f32(ds->x)[53] == (float)0.3089882);
    et_dataset_free(ds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gtzan");
    TCase *tc = tcase_create("gtzan");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, remove_test_dir);
    tcase_add_test(tc, spectrogram);
    tcase_add_test(tc, spectrogram_broken);
    tcase_add_test(tc, features);
    tcase_add_test(tc, recordings);
    tcase_add_test(tc, recordings_of_tracks);
    tcase_add_test(tc, features_broken);
    tcase_add_test(tc, out_of_memory);
    tcase_add_test(tc, real_tables);
    suite_add_tcase(suite, tc);

    return suite_run(suite);
}
