/* Reading the GTZAN tables. */
#include "config.h"

#include "datasets/gtzan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/csv.h"
#include "datasets/folder.h"
#include "tensor/alloc.h"
#include "tensor/npy.h"

enum { BANDS = 128, FRAMES = 57, SEGMENTS = 10, MFCC = 20 };

static const char *const genres[ET_GTZAN_GENRES] = {"blues", "classical", "country", "disco",  "hiphop",
                                                    "jazz",  "metal",     "pop",     "reggae", "rock"};

/* Genres of the segment table, by their numbers in `genres`. */
static const int five[] = {0, 1, 4, 7, 9};

/* Features in the order of the columns; each of the names stands for a mean and a
 * variance, then comes the tempo, then 20 MFCC's means and variances. */
static const char *const track_bases[] = {
    "chroma_stft",        "rms",     "spectral_centroid", "spectral_bandwidth", "rolloff",
    "zero_crossing_rate", "harmony", "perceptr"};
static const char *const segment_bases[] = {
    "chroma_stft", "rms", "rolloff", "spectral_bandwidth", "spectral_centroid", "zero_crossing_rate"};

static const char *const files[] = {"spec128x57.npy", "features3_seq.csv", "features30.csv"};

const char *et_gtzan_genre(int id)
{
    if (id < 0 || id >= ET_GTZAN_GENRES) {
        et_raise(ET_EINVAL, "gtzan: no genre %d", id);
        return NULL;
    }
    return genres[id];
}

static int n_bases(et_gtzan_table table)
{
    return table == ET_GTZAN_SEGMENTS ? (int)(sizeof segment_bases / sizeof *segment_bases)
                                      : (int)(sizeof track_bases / sizeof *track_bases);
}

int et_gtzan_features(et_gtzan_table table)
{
    return table == ET_GTZAN_SPECTROGRAM ? BANDS : 2 * n_bases(table) + 1 + 2 * MFCC;
}

const char *et_gtzan_feature(et_gtzan_table table, int feature, char buf[32])
{
    int bases = n_bases(table), tempo = 2 * bases;

    if ((int)table < 0 || table > ET_GTZAN_TRACKS || feature < 0 || feature >= et_gtzan_features(table)) {
        et_raise(ET_EINVAL, "gtzan: no feature %d", feature);
        return NULL;
    }
    if (table == ET_GTZAN_SPECTROGRAM)
        snprintf(buf, 32, "band %d", feature);
    else if (feature < tempo)
        snprintf(buf, 32, "%s_%s", (table == ET_GTZAN_SEGMENTS ? segment_bases : track_bases)[feature / 2],
                 feature % 2 ? "var" : "mean");
    else if (feature == tempo)
        snprintf(buf, 32, "tempo");
    else
        snprintf(buf, 32, "mfcc%d_%s", (feature - tempo - 1) / 2 + 1,
                 (feature - tempo - 1) % 2 ? "var" : "mean");
    return buf;
}

static bool has(const char *dir, const char *name)
{
    char *path = et_path_join(dir, name);
    const bool there = et_exists(path);

    et_dealloc(path);
    return there;
}

bool et_gtzan_has(const char *dir, et_gtzan_table table)
{
    if (!dir || (int)table < 0 || table > ET_GTZAN_TRACKS)
        return false;
    return has(dir, files[table]) && (table != ET_GTZAN_SPECTROGRAM || has(dir, "tracks.csv"));
}

/* What all the tables have in common. */
typedef struct labels {
    const et_csv *t;
    int track, genre, genre_id, split; /* columns; -1: absent (genre or genre_id is there) */
    int class_of[ET_GTZAN_GENRES];     /* genre's number to class; -1: not in this table */
} labels;

static et_status open_labels(labels *l, const et_csv *t, et_gtzan_table table)
{
    l->t = t;
    if ((l->track = et_csv_column(t, "track")) < 0)
        return et_error_status();
    l->genre = et_csv_find(t, "genre");
    l->genre_id = et_csv_find(t, "genre_id");
    l->split = et_csv_find(t, "split");
    if (l->genre < 0 && l->genre_id < 0)
        return et_raise(ET_EFORMAT, "%s: no column named 'genre' or 'genre_id'", et_csv_name(t));
    for (int g = 0; g < ET_GTZAN_GENRES; g++)
        l->class_of[g] = table == ET_GTZAN_SEGMENTS ? -1 : g;
    if (table == ET_GTZAN_SEGMENTS)
        for (int k = 0; k < (int)(sizeof five / sizeof *five); k++)
            l->class_of[five[k]] = k;
    return ET_OK;
}

/* Class of a row's genre. */
static et_status read_class(const labels *l, int64_t row, int32_t *out)
{
    int64_t id = -1, by_name = -1;
    int column = l->genre >= 0 ? l->genre : l->genre_id;

    if (l->genre_id >= 0 && et_csv_int(l->t, row, l->genre_id, 0, ET_GTZAN_GENRES - 1, &id) < 0)
        return et_error_status();
    if (l->genre >= 0) {
        const char *name = et_csv_text(l->t, row, l->genre);
        for (int g = 0; g < ET_GTZAN_GENRES; g++)
            if (strcmp(name, genres[g]) == 0)
                by_name = g;
        if (by_name < 0)
            return et_csv_raise(l->t, row, l->genre, ET_EFORMAT, "'%.40s' is not one of the ten genres",
                                name);
        if (id >= 0 && id != by_name)
            return et_csv_raise(l->t, row, l->genre_id, ET_EFORMAT,
                                "%" PRId64 ", but '%s' is number %" PRId64, id, name, by_name);
        id = by_name;
    }
    if (l->class_of[id] < 0)
        return et_csv_raise(l->t, row, column, ET_EFORMAT, "genre '%s' is not in a table of five genres",
                            genres[id]);
    *out = l->class_of[id];
    return ET_OK;
}

/* Number of a row's split, a new one if need be; -1 without. */
static et_status read_split(const labels *l, int64_t row, et_dataset *ds, int32_t *out)
{
    const char *name = l->split >= 0 ? et_csv_text(l->t, row, l->split) : "";
    int64_t which = et_names_find(&ds->splits, name);

    if (name[0] != '\0' && which < 0) {
        if (ds->splits.n >= 1000)
            return et_csv_raise(l->t, row, l->split, ET_EFORMAT, "more than 1000 splits");
        if (et_names_add(&ds->splits, name) < 0)
            return et_error_status();
        which = ds->splits.n - 1;
    }
    *out = (int32_t)which;
    return ET_OK;
}

/* A set of n items, classes named. */
static et_dataset *new_set(const labels *l, int ndim, const int64_t *shape)
{
    et_dataset *ds = et_dataset_new();
    int classes = 0;

    if (!ds)
        return NULL;
    ds->x = et_dataset_tensor(ET_F32, ndim, shape);
    ds->y = ds->x ? et_dataset_tensor(ET_I32, 1, shape) : NULL;
    if (ds->y && l->split >= 0)
        ds->split = et_dataset_tensor(ET_I32, 1, shape);
    if (!ds->y || (l->split >= 0 && !ds->split))
        goto fail;
    for (int g = 0; g < ET_GTZAN_GENRES; g++)
        if (l->class_of[g] == classes) {
            if (et_names_add(&ds->classes, genres[g]) < 0)
                goto fail;
            classes++;
        }
    return ds;
fail:
    et_dataset_free(ds);
    return NULL;
}

/* Name, class and split of item i, which stands in `row`. */
static et_status read_item(const labels *l, int64_t row, et_dataset *ds, int64_t i)
{
    int32_t *y = et_data_mut(ds->y), *split = ds->split ? et_data_mut(ds->split) : NULL;

    if (!y || (ds->split && !split))
        return et_fail_status("gtzan");
    if (et_names_add(&ds->names, et_csv_text(l->t, row, l->track)) < 0)
        return et_error_status();
    if (read_class(l, row, &y[i]) < 0)
        return et_error_status();
    return split ? read_split(l, row, ds, &split[i]) : ET_OK;
}

typedef struct place {
    const char *track;
    int64_t row, segment;
    int64_t first; /* row where the track appears first */
} place;

static int by_track(const void *a, const void *b)
{
    const place *x = a, *y = b;
    int c = strcmp(x->track, y->track);
    if (c != 0)
        return c;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_appearance(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* All rows, a track's together in the order of their segments (column `segment`, -1: a
 * track has one row), tracks as they first appear. A track or segment that comes twice is
 * an error. *longest: most rows of a track; *tracks: their number. To be released. */
static place *sort_rows(const labels *l, int segment, int64_t *tracks, int64_t *longest)
{
    int64_t n = et_csv_rows(l->t), run = 0;
    place *p = et_alloc_zero((size_t)n, sizeof *p);

    *tracks = *longest = 0;
    if (!p)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        p[i].track = et_csv_text(l->t, i, l->track);
        p[i].row = i;
        if (p[i].track[0] == '\0') {
            et_csv_raise(l->t, i, l->track, ET_EFORMAT, "the track has no name");
            goto fail;
        }
        if (segment >= 0 && et_csv_int(l->t, i, segment, 0, 100000, &p[i].segment) < 0)
            goto fail;
    }
    qsort(p, (size_t)n, sizeof *p, by_track);
    for (int64_t i = 0; i < n; i++) {
        bool same = i > 0 && strcmp(p[i].track, p[i - 1].track) == 0;
        if (same && p[i].segment == p[i - 1].segment) {
            et_csv_raise(l->t, p[i].row, segment >= 0 ? segment : l->track, ET_EFORMAT,
                         "'%.40s' stands already in line %" PRId64,
                         et_csv_text(l->t, p[i].row, segment >= 0 ? segment : l->track),
                         et_csv_line(l->t, p[i - 1].row));
            goto fail;
        }
        run = same ? run + 1 : 1;
        *tracks += !same;
        if (run > *longest)
            *longest = run;
    }
    /* Give all rows of a track its first row. */
    for (int64_t i = 0, j; i < n; i = j) {
        int64_t first = p[i].row;
        for (j = i; j < n && strcmp(p[j].track, p[i].track) == 0; j++)
            if (p[j].row < first)
                first = p[j].row;
        for (int64_t k = i; k < j; k++)
            p[k].first = first;
    }
    qsort(p, (size_t)n, sizeof *p, by_appearance);
    return p;
fail:
    et_dealloc(p);
    return NULL;
}

/* A row's features. */
static et_status read_features(const et_csv *t, int64_t row, int n, const int *columns, float *to)
{
    double v;

    for (int f = 0; f < n; f++) {
        if (et_csv_double(t, row, columns[f], &v) < 0)
            return et_error_status();
        if (v > 3e38 || v < -3e38)
            return et_csv_raise(t, row, columns[f], ET_EFORMAT, "%g is too large for a float32", v);
        to[f] = (float)v;
    }
    return ET_OK;
}

/* A further row of a track must have the genre and the part of the split that its first row, item, has. */
static et_status check_row(const labels *l, const place *p, et_dataset *ds, int64_t item)
{
    int32_t genre, split = -1;

    if (read_class(l, p->row, &genre) < 0 || read_split(l, p->row, ds, &split) < 0)
        return et_error_status();
    if (genre != et_data_i32(ds->y)[item] || (ds->split && split != et_data_i32(ds->split)[item]))
        return et_csv_raise(l->t, p->row, l->track, ET_EFORMAT,
                            "'%.40s' has another genre or split in line %" PRId64, p->track,
                            et_csv_line(l->t, p[-1].row));
    return ET_OK;
}

/* Reads all rows, in the order p, into ds->x: [tracks, features], or with ds->lengths, which are counted
 * here, [tracks, longest, features]. */
static et_status fill_features(const labels *l, const place *p, int features, const int *columns,
                               int64_t longest, et_dataset *ds)
{
    float *x = et_fill(ds->x, 0) < 0 ? NULL : et_data_mut(ds->x);
    int32_t *lengths = ds->lengths ? et_data_mut(ds->lengths) : NULL;
    int64_t item = -1, step = 0;

    if (!x || (ds->lengths && !lengths))
        return et_error_status();
    for (int64_t i = 0; i < et_csv_rows(l->t); i++) {
        const bool first = i == 0 || p[i].first != p[i - 1].first;
        if (first)
            step = 0;
        if (first ? read_item(l, p[i].row, ds, ++item) : check_row(l, &p[i], ds, item))
            return et_error_status();
        float *to = x + (lengths ? item * longest + step : item) * features;
        if (read_features(l->t, p[i].row, features, columns, to))
            return et_error_status();
        step++;
        if (lengths)
            lengths[item] = (int32_t)step;
    }
    return ET_OK;
}

/* Both feature tables: a track is one row, or one step of a sequence for each row. */
static et_dataset *load_features(const et_csv *t, et_gtzan_table table)
{
    labels l;
    bool steps = table == ET_GTZAN_SEGMENTS;
    int features = et_gtzan_features(table), segment = -1, columns[2 * 32 + 1 + 2 * MFCC];
    int64_t tracks, longest, shape[3];
    place *p = NULL;
    et_dataset *ds = NULL;

    if (open_labels(&l, t, table) < 0)
        return NULL;
    if (steps && (segment = et_csv_column(t, "segment")) < 0)
        return NULL;
    for (int f = 0; f < features; f++) {
        char name[32];
        if ((columns[f] = et_csv_column(t, et_gtzan_feature(table, f, name))) < 0)
            return NULL;
    }
    if (!(p = sort_rows(&l, segment, &tracks, &longest)))
        return NULL;
    if (longest < SEGMENTS)
        longest = SEGMENTS;
    shape[0] = tracks;
    shape[1] = steps ? longest : features;
    shape[2] = features;
    ds = new_set(&l, steps ? 3 : 2, shape);
    const bool good = ds && (!steps || (ds->lengths = et_dataset_tensor(ET_I32, 1, shape))) &&
                      fill_features(&l, p, features, columns, longest, ds) == ET_OK;
    et_dealloc(p);
    if (good)
        return ds;
    et_dataset_free(ds);
    return NULL;
}

/* Items of tracks.csv in the order of the array's rows: order[r] = line of the table. */
static int64_t *array_order(const labels *l, int64_t n)
{
    int column = et_csv_find(l->t, "row");
    int64_t *order = et_alloc_zero((size_t)n, sizeof *order);

    if (!order)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        order[i] = -1;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = i;
        if (column >= 0 && et_csv_int(l->t, i, column, 0, n - 1, &r) < 0)
            goto fail;
        if (order[r] >= 0) {
            et_csv_raise(l->t, i, column, ET_EFORMAT, "%" PRId64 " stands already in line %" PRId64, r,
                         et_csv_line(l->t, order[r]));
            goto fail;
        }
        order[r] = i;
    }
    return order;
fail:
    et_dealloc(order);
    return NULL;
}

static et_dataset *load_spectrogram(const et_csv *t, const et_tensor *levels, const char *npy)
{
    labels l;
    int64_t n = et_csv_rows(t), shape[3] = {n, FRAMES, BANDS}, tracks, longest, *order = NULL;
    et_dataset *ds = NULL;
    const uint8_t *from;
    float *x;
    place *p;

    if (open_labels(&l, t, ET_GTZAN_SPECTROGRAM) < 0)
        return NULL;
    if (levels->dtype != ET_U8 || levels->ndim != 3 || levels->shape[1] != BANDS ||
        levels->shape[2] != FRAMES) {
        char text[ET_SHAPE_TEXT];
        et_raise(ET_EFORMAT, "%s: %s %s, expected uint8 [tracks, %d, %d]", npy, et_dtype_name(levels->dtype),
                 et_shape_text(text, levels->ndim, levels->shape), BANDS, FRAMES);
        return NULL;
    }
    if (levels->shape[0] != n) {
        et_raise(ET_EFORMAT, "%s has %" PRId64 " tracks, %s %" PRId64, npy, levels->shape[0], et_csv_name(t),
                 n);
        return NULL;
    }
    p = sort_rows(&l, -1, &tracks, &longest); /* no track twice */
    et_dealloc(p);
    if (!p || !(order = array_order(&l, n)))
        return NULL;
    if (!(ds = new_set(&l, 3, shape)) || !(x = et_data_mut(ds->x)) || !(from = et_data(levels)))
        goto fail;
    for (int64_t i = 0; i < n; i++) {
        if (read_item(&l, order[i], ds, i) < 0)
            goto fail;
        for (int f = 0; f < BANDS; f++)
            for (int s = 0; s < FRAMES; s++)
                x[(i * FRAMES + s) * BANDS + f] = (float)from[(i * BANDS + f) * FRAMES + s] / 255.0f;
    }
    et_dealloc(order);
    return ds;
fail:
    et_dealloc(order);
    et_dataset_free(ds);
    return NULL;
}

et_dataset *et_gtzan_load(const char *dir, et_gtzan_table table)
{
    char *csv_path = NULL, *npy_path = NULL;
    et_csv *t = NULL;
    et_tensor *levels = NULL;
    et_dataset *ds = NULL;
    bool spectrogram = table == ET_GTZAN_SPECTROGRAM;

    if (!dir || (int)table < 0 || table > ET_GTZAN_TRACKS) {
        et_raise(ET_EINVAL, "gtzan: no folder, or no table %d", (int)table);
        return NULL;
    }
    csv_path = et_path_join(dir, spectrogram ? "tracks.csv" : files[table]);
    t = csv_path ? et_csv_read(csv_path, NULL) : NULL;
    if (t && et_csv_rows(t) == 0) {
        et_raise(ET_EFORMAT, "%s: a header and no rows", csv_path);
    } else if (t && spectrogram) {
        npy_path = et_path_join(dir, files[table]);
        levels = npy_path ? et_npy_read(npy_path) : NULL;
        if (levels)
            ds = load_spectrogram(t, et_own(levels), npy_path);
        et_free(levels);
    } else if (t) {
        ds = load_features(t, table);
    }
    et_csv_free(t);
    et_dealloc(csv_path);
    et_dealloc(npy_path);
    if (ds && et_dataset_check(ds) < 0) {
        et_dataset_free(ds);
        ds = NULL;
    }
    return ds;
}

/* Whether ds has the features of that table, `ndim` dimensions (0: any). */
static et_status check_features(const et_dataset *ds, et_gtzan_table table, int ndim)
{
    const int F = et_gtzan_features(table);
    char text[ET_SHAPE_TEXT];

    if (et_dataset_check(ds) < 0)
        return et_error_status();
    if (ds->x->shape[ds->x->ndim - 1] == F && (ndim == 0 || ds->x->ndim == ndim))
        return ET_OK;
    return et_raise(ET_ESHAPE, "gtzan: the data are %s, %d features expected",
                    et_shape_text(text, ds->x->ndim, ds->x->shape), F);
}

et_status et_gtzan_log_variances(et_dataset *ds, et_gtzan_table table)
{
    int64_t F, steps, n;
    const int32_t *lengths;
    float *x;

    if (table != ET_GTZAN_SEGMENTS && table != ET_GTZAN_TRACKS)
        return et_raise(ET_EINVAL, "gtzan: table %d has no variances", (int)table);
    if (check_features(ds, table, 0))
        return et_error_status();
    F = et_gtzan_features(table);
    n = et_dataset_size(ds);
    steps = n > 0 ? ds->x->numel / (n * F) : 0;
    lengths = ds->lengths ? et_data_i32(ds->lengths) : NULL;
    if (!(x = et_data_mut(ds->x)))
        return et_fail_status("gtzan");
    for (int f = 0; f < F; f++) {
        char name[32];
        size_t len = strlen(et_gtzan_feature(table, f, name));
        if (len < 4 || strcmp(name + len - 4, "_var") != 0)
            continue;
        for (int64_t i = 0; i < n; i++)
            for (int64_t t = 0; t < (lengths ? lengths[i] : steps); t++) {
                float *v = &x[(i * steps + t) * F + f];
                *v = (float)log((*v > 0 ? *v : 0.0) + 1e-8);
            }
    }
    return ET_OK;
}

/* x[0], x[stride], ... x[(n - 1) stride] less `part` of their mean. */
static void pull(float *x, int64_t n, int64_t stride, double part)
{
    double sum = 0;

    for (int64_t t = 0; t < n; t++)
        sum += x[t * stride];
    for (int64_t t = 0; t < n; t++)
        x[t * stride] = (float)(x[t * stride] - part * sum / (double)n);
}

et_status et_gtzan_centre_recordings(et_dataset *ds, et_gtzan_table table, double colour)
{
    float *x;

    if (table != ET_GTZAN_SEGMENTS)
        return et_raise(ET_EINVAL, "gtzan: table %d has no segments", (int)table);
    if (!(colour >= 0 && colour <= 1))
        return et_raise(ET_EINVAL, "gtzan: colour %g, expected 0 .. 1", colour);
    if (check_features(ds, table, 3))
        return et_error_status();
    const int64_t n = et_dataset_size(ds), T = ds->x->shape[1], F = ds->x->shape[2];
    const int32_t *lengths = ds->lengths ? et_data_i32(ds->lengths) : NULL;
    if (!(x = et_data_mut(ds->x)))
        return et_fail_status("gtzan");
    for (int f = 0; f < F; f++) {
        char name[32];
        const bool rms = strcmp(et_gtzan_feature(table, f, name), "rms_mean") == 0;
        if (!rms && (strncmp(name, "mfcc", 4) != 0 || !strstr(name, "_mean")))
            continue;
        const double part = rms || strcmp(name, "mfcc1_mean") == 0 ? 1 : colour;
        for (int64_t i = 0; i < n; i++)
            pull(x + i * T * F + f, lengths ? lengths[i] : T, F, part);
    }
    return ET_OK;
}
