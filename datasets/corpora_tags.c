/* Corpora of clips with tags. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/corpora.h"
#include "datasets/corpora_build.h"
#include "datasets/folder.h"
#include "tensor/alloc.h"

/* Names of tags: a table with a column tag, or a line each. */
static et_vocabulary *read_tags(const char *path)
{
    size_t n = strlen(path);
    et_vocabulary *v;
    et_csv *t;
    int tag;

    if (n < 4 || strcmp(path + n - 4, ".csv") != 0)
        return et_vocabulary_read(path);
    if (!(t = et_csv_read(path, NULL)))
        return NULL;
    tag = et_csv_column(t, "tag");
    v = tag >= 0 ? et_vocabulary_new() : NULL;
    for (int64_t i = 0; v && i < et_csv_rows(t); i++) {
        const char *name = et_csv_text(t, i, tag);
        int32_t id = et_vocabulary_add(v, name, strlen(name));
        if (id >= 0 && (id != i || name[0] == '\0'))
            et_csv_raise(t, i, tag, ET_EFORMAT, "'%.40s' is empty or stands there already", name);
        if (id != i || name[0] == '\0') {
            et_vocabulary_free(v);
            v = NULL;
        }
    }
    et_csv_free(t);
    return v;
}

/* What clips of one track have in common: bytes of the path without the two times at its end. */
static size_t track_of(const char *clip)
{
    size_t n = strlen(clip), at = n;

    for (int dashes = 0; at > 0 && dashes < 2;) {
        at--;
        if (clip[at] == '-')
            dashes++;
        else if (clip[at] < '0' || clip[at] > '9')
            return n;
    }
    return at > 0 ? at : n;
}

/* A new item for the clip; its file is searched for where there is a folder, and where nothing is found is
 * named so that reading it says what is missing. */
static void add_clip(et_build *b, const char *clip, const char *audio)
{
    char *path = audio ? et_find_sound(audio, clip) : NULL;

    if (audio && !path && et_error_status() == ET_OK)
        path = et_path_join(audio, clip);
    if (audio && !path)
        b->status = et_error_status();
    et_build_item(b, clip, path);
    et_build_group(b, clip, track_of(clip));
    et_dealloc(path);
}

/* --- lists ------------------------------------------------------------------------------------ */

/* The tags of a row of a list: numbers of entries of `names`, or names. */
static void add_listed(et_build *b, const et_csv *t, int64_t row, int column, const et_vocabulary *names)
{
    const char *text = et_csv_text(t, row, column);

    if (!names) {
        et_build_tags(b, text);
        return;
    }
    while (b->status == ET_OK && *(text += strspn(text, " ")) != '\0') {
        char *end;
        long k = strtol(text, &end, 10);
        const char *name;
        size_t n;
        if (end == text || (*end != ' ' && *end != '\0') || k < 0 || k >= et_vocabulary_size(names)) {
            b->status = et_csv_raise(t, row, column, ET_EFORMAT,
                                     "'%.20s' is no number of a tag, 0 .. %" PRId32, text,
                                     et_vocabulary_size(names) - 1);
            return;
        }
        name = et_vocabulary_text(names, (int32_t)k, &n);
        et_build_tag(b, name, n);
        text = end;
    }
}

/* All tags in their order, whether a clip has them or not. */
static void name_tags(et_build *b, const et_vocabulary *names)
{
    for (int32_t i = 0; b->status == ET_OK && i < et_vocabulary_size(names); i++) {
        size_t n;
        const char *name = et_vocabulary_text(names, i, &n);
        if (et_vocabulary_add(b->tags, name, n) < 0)
            b->status = et_error_status();
    }
}

et_collection *et_tag_list(const char *name, const et_tag_files *files)
{
    et_vocabulary *names = NULL;
    et_csv *t = NULL;
    et_build b;
    int clip, split, tags;

    if (!name || !files || !files->lists) {
        et_raise(ET_EINVAL, "tags: no list of clips");
        return NULL;
    }
    et_build_begin(&b, name);
    if (b.status == ET_OK && files->tags && !(names = read_tags(files->tags)))
        b.status = et_error_status();
    if (b.status == ET_OK && !(t = et_csv_read(files->lists, NULL)))
        b.status = et_error_status();
    if (b.status == ET_OK && (clip = et_csv_column(t, "clip")) >= 0) {
        split = et_csv_find(t, "split");
        tags = et_csv_find(t, "tags");
        if (tags >= 0)
            name_tags(&b, names);
        for (int64_t i = 0; b.status == ET_OK && i < et_csv_rows(t); i++) {
            add_clip(&b, et_csv_text(t, i, clip), files->audio);
            if (split >= 0)
                et_build_split(&b, et_csv_text(t, i, split));
            if (tags >= 0)
                add_listed(&b, t, i, tags, names);
        }
    } else if (b.status == ET_OK) {
        b.status = et_error_status();
    }
    et_csv_free(t);
    et_vocabulary_free(names);
    return et_build_end(&b, false);
}

/* --- MagnaTagATune ----------------------------------------------------------------------------- */

/* Split of a clip by its folder's digit. */
static const char *split_of(const char *clip)
{
    char digit = clip[0];

    if (digit == '\0' || clip[1] != '/')
        return "";
    if ((digit >= '0' && digit <= '9') || digit == 'a' || digit == 'b')
        return "train";
    return digit == 'c' ? "valid" : digit >= 'd' && digit <= 'f' ? "test" : "";
}

/* What the annotations are read into. */
typedef struct mtat {
    et_build *b;
    const et_csv *t;
    const et_tag_files *files;
    const char *audio;
    int *columns; /* [n_tags] of the tags that are taken */
    int n_tags, path;
    et_csv *lists;
    et_vocabulary *listed; /* rows of the lists by clip; NULL: no lists */
} mtat;

/* Of the tags those that most clips have, in the order that they had; of two with as many the former. */
static et_status keep_top(mtat *m)
{
    int64_t *clips = et_alloc_zero((size_t)m->n_tags + 1, sizeof *clips), has;
    int kept = 0;
    et_status status = clips ? ET_OK : et_error_status();

    for (int k = 0; k < m->n_tags; k++)
        for (int64_t row = 0; !status && row < et_csv_rows(m->t); row++) {
            status = et_csv_int(m->t, row, m->columns[k], 0, 1, &has);
            clips[k] += status ? 0 : has;
        }
    for (int k = 0; !status && k < m->n_tags; k++) {
        int before = 0; /* tags that come first */
        for (int l = 0; l < m->n_tags; l++)
            before += clips[l] > clips[k] || (clips[l] == clips[k] && l < k);
        if (before < m->files->top)
            m->columns[kept++] = m->columns[k];
    }
    m->n_tags = kept;
    et_dealloc(clips);
    return status;
}

/* Finds the columns of the tags: the named ones, or all but clip_id and mp3_path. */
static et_status find_columns(mtat *m, const et_vocabulary *names)
{
    int n = et_csv_columns(m->t);

    if ((m->path = et_csv_column(m->t, "mp3_path")) < 0)
        return et_error_status();
    if (!(m->columns = et_alloc_zero((size_t)(names ? et_vocabulary_size(names) : n), sizeof *m->columns)))
        return et_error_status();
    for (int32_t i = 0; names && i < et_vocabulary_size(names); i++)
        if ((m->columns[m->n_tags++] = et_csv_column(m->t, et_vocabulary_text(names, i, NULL))) < 0)
            return et_error_status();
    for (int c = 0; !names && c < n; c++)
        if (c != m->path && strcmp(et_csv_header(m->t, c), "clip_id") != 0)
            m->columns[m->n_tags++] = c;
    if (m->files->top > 0 && m->files->top < m->n_tags && keep_top(m))
        return et_error_status();
    for (int k = 0; k < m->n_tags; k++) {
        const char *name = et_csv_header(m->t, m->columns[k]);
        if (et_vocabulary_add(m->b->tags, name, strlen(name)) < 0)
            return et_error_status();
    }
    return ET_OK;
}

static et_status read_lists(mtat *m)
{
    int clip;

    if (!m->files->lists)
        return ET_OK;
    if (!(m->lists = et_csv_read(m->files->lists, NULL)) || (clip = et_csv_column(m->lists, "clip")) < 0 ||
        et_csv_column(m->lists, "split") < 0 || !(m->listed = et_vocabulary_new()))
        return et_error_status();
    for (int64_t i = 0; i < et_csv_rows(m->lists); i++) {
        const char *name = et_csv_text(m->lists, i, clip);
        int32_t id = et_vocabulary_add(m->listed, name, strlen(name));
        if (id < 0)
            return et_error_status();
        if (id != i)
            return et_csv_raise(m->lists, i, clip, ET_EFORMAT, "'%.60s' stands already in line %" PRId64,
                                name, et_csv_line(m->lists, id));
    }
    return ET_OK;
}

/* One row of the annotations. */
static void add_annotated(mtat *m, int64_t row)
{
    et_build *b = m->b;
    char *clip = et_alloc_string(et_csv_text(m->t, row, m->path));
    const char *split = "";
    bool is_sound, take;
    int64_t has;

    if (!clip) {
        b->status = et_error_status();
        return;
    }
    clip[et_sound_stem(clip, &is_sound)] = '\0';
    if (m->listed) {
        int32_t at = et_vocabulary_find(m->listed, clip, strlen(clip));
        take = at >= 0;
        if (take)
            split = et_csv_text(m->lists, at, et_csv_find(m->lists, "split"));
    } else {
        take = m->files->keep_untagged;
        split = split_of(clip);
        for (int k = 0; b->status == ET_OK && !take && k < m->n_tags; k++) {
            if (et_csv_int(m->t, row, m->columns[k], 0, 1, &has) < 0)
                b->status = et_error_status();
            take = b->status == ET_OK && has;
        }
    }
    if (take && b->status == ET_OK) {
        add_clip(b, clip, m->audio);
        et_build_split(b, split);
        for (int k = 0; b->status == ET_OK && k < m->n_tags; k++) {
            const char *name = et_csv_header(m->t, m->columns[k]);
            if (et_csv_int(m->t, row, m->columns[k], 0, 1, &has) < 0)
                b->status = et_error_status();
            else if (has)
                et_build_tag(b, name, strlen(name));
        }
    }
    et_dealloc(clip);
}

et_collection *et_magnatagatune(const char *dir, const et_tag_files *files)
{
    static const et_tag_files none;
    const et_csv_limits tabs = {.separator = '\t'};
    et_vocabulary *names = NULL;
    char *path = NULL;
    et_csv *t = NULL;
    et_build b;
    mtat m = {.b = &b, .files = files ? files : &none};

    if (!dir) {
        et_raise(ET_EINVAL, "magnatagatune: NULL");
        return NULL;
    }
    m.audio = m.files->audio ? m.files->audio : dir;
    et_build_begin(&b, "magnatagatune");
    if (b.status == ET_OK && (!(path = et_path_join(dir, "annotations_final.csv")) ||
                              !(t = et_csv_read(path, &tabs)) ||
                              (m.files->tags && !(names = read_tags(m.files->tags)))))
        b.status = et_error_status();
    m.t = t;
    if (b.status == ET_OK)
        b.status = find_columns(&m, names);
    if (b.status == ET_OK)
        b.status = read_lists(&m);
    for (int64_t i = 0; b.status == ET_OK && i < et_csv_rows(t); i++)
        add_annotated(&m, i);
    et_vocabulary_free(m.listed);
    et_csv_free(m.lists);
    et_dealloc(m.columns);
    et_vocabulary_free(names);
    et_csv_free(t);
    et_dealloc(path);
    return et_build_end(&b, false);
}
