/* Folders of MIDI files by style. */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "datasets/csv.h"
#include "datasets/events.h"
#include "datasets/folder.h"
#include "datasets/synth.h"
#include "tensor/alloc.h"
#include "tensor/sort.h"
#include "tensor/strbuf.h"

static bool is_midi(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && dot != name && (strcasecmp(dot, ".mid") == 0 || strcasecmp(dot, ".midi") == 0);
}

/* Adds the files of the folder dir/style; y counts them by style as it goes. */
static et_status add_style(et_collection *c, const char *dir, const char *style)
{
    et_names files = {0};
    char *path = et_path_join(dir, style), *name = NULL, *file = NULL;
    et_status s = path ? ET_OK : ET_ENOMEM;
    bool any = false;

    if (s == ET_OK && et_is_folder(path))
        s = et_folder_names(path, &files);
    for (int64_t i = 0; s == ET_OK && i < files.n; i++) {
        if (!is_midi(files.items[i]))
            continue;
        name = et_path_join(style, files.items[i]);
        file = name ? et_path_join(dir, name) : NULL;
        s = file ? et_names_add(&c->names, name) : ET_ENOMEM;
        if (s == ET_OK)
            s = et_names_add(&c->files, file);
        et_dealloc(name);
        et_dealloc(file);
        any = true;
    }
    if (s == ET_OK && any)
        s = et_names_add(&c->classes, style);
    et_names_free(&files);
    et_dealloc(path);
    return s;
}

/* Labels: an item's style stands before the slash of its name, and styles come one after the other. */
static et_status add_labels(et_collection *c)
{
    int32_t *y, style = 0;

    c->y = et_dataset_tensor(ET_I32, 1, &c->names.n);
    y = c->y ? et_data_mut(c->y) : NULL;
    if (!y)
        return et_error_status();
    for (int64_t i = 0; i < c->names.n; i++) {
        const char *class = c->classes.items[style];
        size_t n = strlen(class);
        if (strncmp(c->names.items[i], class, n) != 0 || c->names.items[i][n] != '/')
            style++;
        y[i] = style;
    }
    return ET_OK;
}

/* Row of each file of the manifest, by name: both are sorted and merged. */
typedef struct row {
    const char *file;
    int64_t number;
} row;

static int by_file(const void *a, const void *b)
{
    const row *x = a, *y = b;
    int c = strcmp(x->file, y->file);

    return c ? c : (x->number > y->number) - (x->number < y->number);
}

static row *sorted_rows(const et_csv *t, int file)
{
    row *rows = et_alloc_zero((size_t)et_csv_rows(t), sizeof *rows);

    for (int64_t i = 0; rows && i < et_csv_rows(t); i++)
        rows[i] = (row){et_csv_text(t, i, file), i};
    if (rows)
        et_sort_elements(rows, (size_t)et_csv_rows(t), sizeof *rows, by_file);
    return rows;
}

static int64_t find_row(const row *rows, int64_t n, const char *file)
{
    int64_t lo = 0, hi = n;

    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        int c = strcmp(rows[mid].file, file);
        if (c == 0)
            return rows[mid].number;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

/* Groups and splits of the items from the manifest's columns. */
static et_status take_manifest(et_collection *c, const et_csv *t)
{
    int file = et_csv_column(t, "file"), group = et_csv_find(t, "group"), fold = et_csv_find(t, "fold");
    row *rows = file >= 0 ? sorted_rows(t, file) : NULL;
    int32_t *groups = NULL, *split = NULL;
    et_status s = rows ? ET_OK : et_error_status();

    if (s == ET_OK && group >= 0) {
        c->groups = et_dataset_tensor(ET_I32, 1, &c->names.n);
        groups = c->groups ? et_data_mut(c->groups) : NULL;
        s = groups ? ET_OK : et_error_status();
    }
    if (s == ET_OK && fold >= 0) {
        c->split = et_dataset_tensor(ET_I32, 1, &c->names.n);
        split = c->split ? et_data_mut(c->split) : NULL;
        s = split ? et_names_add(&c->splits, "train") : et_error_status();
        if (s == ET_OK)
            s = et_names_add(&c->splits, "valid");
    }
    for (int64_t i = 0; s == ET_OK && i < c->names.n; i++) {
        int64_t at = find_row(rows, et_csv_rows(t), c->names.items[i]), v = 0;
        if (at < 0)
            s = et_raise(ET_EFORMAT, "%s: has no line for '%s'", et_csv_name(t), c->names.items[i]);
        if (s == ET_OK && groups) {
            s = et_csv_int(t, at, group, INT32_MIN, INT32_MAX, &v);
            groups[i] = (int32_t)v;
        }
        if (s == ET_OK && split) {
            s = et_csv_int(t, at, fold, 0, INT32_MAX, &v);
            split[i] = v == 0;
        }
    }
    et_dealloc(rows);
    return s;
}

static et_status read_manifest(et_collection *c, const char *dir)
{
    char *path = et_path_join(dir, "manifest.csv");
    struct stat st;
    et_csv *t = NULL;
    et_status s = path ? ET_OK : ET_ENOMEM;

    if (s == ET_OK && stat(path, &st) == 0) {
        t = et_csv_read(path, NULL);
        s = t ? take_manifest(c, t) : et_error_status();
    }
    et_csv_free(t);
    et_dealloc(path);
    return s;
}

static et_status load(const et_collection *c, int64_t i, et_audio *out)
{
    et_midi *m = et_midi_folder_piece(c, i);
    et_status s = m ? et_synth(m, NULL, out) : et_error_status();

    et_midi_free(m);
    return s;
}

et_collection *et_midi_folder(const char *dir)
{
    et_collection *c = et_collection_new(dir);
    et_names styles = {0};
    et_status s = c ? et_folder_names(dir, &styles) : ET_ENOMEM;

    for (int64_t i = 0; s == ET_OK && i < styles.n; i++)
        s = add_style(c, dir, styles.items[i]);
    et_names_free(&styles);
    if (s == ET_OK && c->names.n == 0)
        s = et_raise(ET_EIO, "%s: no MIDI files there (as STYLE/NAME.mid)", dir);
    if (s == ET_OK)
        s = add_labels(c);
    if (s == ET_OK)
        s = read_manifest(c, dir);
    if (s < 0) {
        et_collection_free(c);
        return NULL;
    }
    c->load = load;
    return c;
}

et_midi *et_midi_folder_piece(const et_collection *c, int64_t i)
{
    if (!c || i < 0 || i >= c->files.n) {
        et_raise(ET_EINVAL, "midi folder: no piece %" PRId64, i);
        return NULL;
    }
    return et_midi_read(c->files.items[i]);
}
