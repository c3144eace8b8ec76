/* Corpora that are folders, or tables of clips. */
#include "config.h"

#include "datasets/corpora.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/corpora_build.h"
#include "datasets/folder.h"
#include "datasets/gtzan.h"
#include "tensor/alloc.h"
#include "tensor/npy.h"
#include "tensor/strbuf.h"

/* --- folders ----------------------------------------------------------------------------- */

/* Adds the sounds in dir/class. With `short_names` items whose file begins with the class ("blues.00000") are
 * named by it alone. */
static void add_class(et_build *b, const char *dir, const char *class, bool short_names)
{
    const size_t length = strlen(class);
    et_names files = {0, NULL};
    char *path = et_path_join(dir, class);

    if (b->status == ET_OK)
        b->status = path ? et_folder_names(path, &files) : et_error_status();
    for (int64_t i = 0; b->status == ET_OK && i < files.n; i++) {
        bool is_sound;
        size_t n = et_sound_stem(files.items[i], &is_sound);
        char *file = is_sound ? et_path_join(path, files.items[i]) : NULL, *name = NULL;

        if (!is_sound)
            continue;
        files.items[i][n] = '\0';
        name = short_names && strncmp(files.items[i], class, length) == 0 && files.items[i][length] == '.'
                   ? et_alloc_string(files.items[i])
                   : et_path_join(class, files.items[i]);
        if (file && name) {
            et_build_item(b, name, file);
            et_build_class(b, class);
        } else {
            b->status = et_error_status();
        }
        et_dealloc(file);
        et_dealloc(name);
    }
    et_names_free(&files);
    et_dealloc(path);
}

et_collection *et_folder_of_classes(const char *dir)
{
    et_names entries = {0, NULL};
    et_build b;

    if (!dir) {
        et_raise(ET_EINVAL, "corpus: NULL");
        return NULL;
    }
    et_build_begin(&b, dir);
    if (b.status == ET_OK)
        b.status = et_folder_names(dir, &entries);
    for (int64_t i = 0; b.status == ET_OK && i < entries.n; i++) {
        char *path = et_path_join(dir, entries.items[i]);
        if (!path)
            b.status = et_error_status();
        else if (et_is_folder(path))
            add_class(&b, dir, entries.items[i], false);
        et_dealloc(path);
    }
    et_names_free(&entries);
    if (b.status == ET_OK && b.c->names.n == 0)
        b.status = et_raise(ET_EFORMAT, "%s: no folders with sounds in it", dir);
    return et_build_end(&b, true);
}

/* Splits of the items from a table of tracks. */
static et_status take_splits(et_build *b, const et_csv *t)
{
    int track = et_csv_column(t, "track"), split = track >= 0 ? et_csv_column(t, "split") : -1;
    et_vocabulary *rows = split >= 0 ? et_vocabulary_new() : NULL;
    et_status status = rows ? ET_OK : et_error_status();

    for (int64_t i = 0; status == ET_OK && i < et_csv_rows(t); i++) {
        const char *name = et_csv_text(t, i, track);
        int32_t id = et_vocabulary_add(rows, name, strlen(name));
        if (id < 0)
            status = et_error_status();
        else if (id != i)
            status = et_csv_raise(t, i, track, ET_EFORMAT, "'%.40s' stands already in line %" PRId64, name,
                                  et_csv_line(t, id));
    }
    for (int64_t i = 0; status == ET_OK && i < b->c->names.n; i++) {
        const char *name = b->c->names.items[i], *file = strrchr(name, '/');
        int32_t row = et_vocabulary_find(rows, name, strlen(name));
        if (row < 0 && file) /* the table may name what is in a genre's folder by its file alone */
            row = et_vocabulary_find(rows, file + 1, strlen(file + 1));
        int64_t which = row >= 0 ? et_names_find(&b->c->splits, et_csv_text(t, row, split)) : -1;
        if (row >= 0 && which < 0 && et_csv_text(t, row, split)[0] != '\0') {
            which = b->c->splits.n;
            status = et_names_add(&b->c->splits, et_csv_text(t, row, split));
        }
        b->split.ids[i] = (int32_t)which;
    }
    et_vocabulary_free(rows);
    return status;
}

/* Where GTZAN's genres may lie: in the folder itself, or below it. */
static const char *const below[] = {"", "genres", "genres_original"};

et_collection *et_gtzan_recordings(const char *dir, const char *tracks)
{
    char *top = NULL, *own = NULL;
    et_build b;

    if (!dir) {
        et_raise(ET_EINVAL, "gtzan: NULL");
        return NULL;
    }
    et_build_begin(&b, "gtzan");
    for (int k = 0; b.status == ET_OK && k < 3 && b.c->names.n == 0; k++) {
        et_dealloc(top);
        if (!(top = k == 0 ? et_alloc_string(dir) : et_path_join(dir, below[k])))
            b.status = et_error_status();
        for (int g = 0; b.status == ET_OK && g < ET_GTZAN_GENRES; g++) {
            char *path = et_path_join(top, et_gtzan_genre(g));
            if (!path)
                b.status = et_error_status();
            else if (et_vocabulary_add(b.classes, et_gtzan_genre(g), strlen(et_gtzan_genre(g))) < 0)
                b.status = et_error_status();
            else if (et_is_folder(path))
                add_class(&b, top, et_gtzan_genre(g), true);
            et_dealloc(path);
        }
    }
    if (b.status == ET_OK && b.c->names.n == 0)
        b.status = et_raise(ET_EFORMAT, "%s: no folders of GTZAN's genres with sounds in it", dir);
    if (b.status == ET_OK && !tracks) {
        if (!(own = et_path_join(dir, "tracks.csv")))
            b.status = et_error_status();
        else if (et_exists(own))
            tracks = own;
    }
    if (b.status == ET_OK && tracks) {
        et_csv *t = et_csv_read(tracks, NULL);
        b.status = t ? take_splits(&b, t) : et_error_status();
        et_csv_free(t);
    }
    et_dealloc(top);
    et_dealloc(own);
    return et_build_end(&b, true);
}

static bool is_gtzan_genre(const char *name)
{
    for (int g = 0; g < ET_GTZAN_GENRES; g++)
        if (strcmp(et_gtzan_genre(g), name) == 0)
            return true;
    return false;
}

/* True if there is a folder of one of GTZAN's genres in dir/place. */
static bool has_genres(const char *dir, const char *place)
{
    char *top = et_path_join(dir, place);
    bool found = false;

    for (int g = 0; top && g < ET_GTZAN_GENRES && !found; g++) {
        char *path = et_path_join(top, et_gtzan_genre(g));
        found = path && et_is_folder(path);
        et_dealloc(path);
    }
    et_dealloc(top);
    return found;
}

et_collection *et_genre_folders(const char *dir)
{
    if (dir && (has_genres(dir, below[1]) || has_genres(dir, below[2])))
        return et_gtzan_recordings(dir, NULL);

    et_collection *c = et_folder_of_classes(dir);
    bool gtzan = c != NULL;
    for (int64_t k = 0; gtzan && k < c->classes.n; k++)
        gtzan = is_gtzan_genre(c->classes.items[k]);
    if (gtzan) {
        et_collection_free(c);
        return et_gtzan_recordings(dir, NULL);
    }
    if (!c && et_error_status() == ET_EFORMAT) /* no folders of sounds */
        et_error_clear();
    return c;
}

/* --- tables of clips ---------------------------------------------------------------------- */

/* Columns that a table has, by name, and what else there is to say of row i; NULL: none. */
typedef struct columns {
    const char *file, *class, *no_class, *tags, *caption, *group, *fold;
    void (*more)(et_build *b, const et_csv *t, int64_t i);
} columns;

/* Column of that name, -1 for none. */
static int column_of(et_build *b, const et_csv *t, const char *name)
{
    int column = name ? et_csv_column(t, name) : -1;

    if (name && column < 0 && b->status == ET_OK)
        b->status = et_error_status();
    return column;
}

/* Says of the item just made what row i of the table says. */
static void describe(et_build *b, const et_csv *t, const columns *names, int64_t i)
{
    int class = column_of(b, t, names->class), tags = column_of(b, t, names->tags);
    int caption = column_of(b, t, names->caption), group = column_of(b, t, names->group);
    int fold = column_of(b, t, names->fold);

    if (b->status < 0)
        return;
    if (class >= 0) {
        const char *text = et_csv_text(t, i, class);
        et_build_class(b, text[0] == '\0' && names->no_class ? names->no_class : text);
    }
    if (tags >= 0)
        et_build_tags(b, et_csv_text(t, i, tags));
    if (caption >= 0)
        et_build_caption(b, et_csv_text(t, i, caption));
    if (group >= 0)
        et_build_group(b, et_csv_text(t, i, group), strlen(et_csv_text(t, i, group)));
    if (fold >= 0) {
        int64_t v;
        if (et_csv_int(t, i, fold, 0, INT32_MAX, &v) < 0)
            b->status = et_error_status();
        else
            et_build_split(b, v == 0 ? "valid" : "train");
    }
    if (names->more)
        names->more(b, t, i);
}

/* Name of row i's clip: its file's without the ending, or made as the files' names are. */
static char *clip_name(const et_csv *t, const columns *names, int64_t i, int file, int class)
{
    et_strbuf b = ET_STRBUF_INIT;
    const char *wav = et_csv_text(t, i, file);
    bool is_sound;

    if (wav[0] != '\0')
        et_strbuf_add(&b, wav, et_sound_stem(wav, &is_sound));
    else
        et_strbuf_printf(&b, "clip%05" PRId64 "_%s", i, names->class ? et_csv_text(t, i, class) : "");
    return et_strbuf_take(&b);
}

/* A table's clips; their files are in dir. Where `all` is not set, only those whose file is there. */
static void add_table(et_build *b, const et_csv *t, const columns *names, const char *dir, bool all)
{
    int file = column_of(b, t, names->file), class = column_of(b, t, names->class);

    for (int64_t i = 0; b->status == ET_OK && i < et_csv_rows(t); i++) {
        const char *wav = et_csv_text(t, i, file);
        char *path = et_path_join(dir, wav), *name = clip_name(t, names, i, file, class);

        if (!path || !name) {
            b->status = et_error_status();
        } else if (wav[0] != '\0' && et_exists(path)) {
            et_build_item(b, name, path);
            describe(b, t, names, i);
        } else if (all) {
            et_build_item(b, name, NULL);
            describe(b, t, names, i);
        }
        et_dealloc(path);
        et_dealloc(name);
    }
}

static const columns rendered = {
    .file = "wav", .class = "style", .tags = "tags", .caption = "caption", .group = "group", .fold = "fold"};

/* One collection of the excerpts: with all of them, or those that can be heard. */
static et_collection *rendered_clips(const char *dir, bool all)
{
    char *wav = et_path_join(dir, "wav");
    et_csv *t = wav ? et_csv_in(dir, "clips.csv") : NULL;
    et_collection *c = NULL;
    et_build b;

    if (t) {
        et_build_begin(&b, "rendered");
        add_table(&b, t, &rendered, wav, all);
        if (b.status == ET_OK && !all && b.c->names.n == 0)
            add_table(&b, t, &rendered, wav, true);
        c = et_build_end(&b, true);
    }
    et_csv_free(t);
    et_dealloc(wav);
    return c;
}

et_collection *et_rendered_clips(const char *dir)
{
    if (dir)
        return rendered_clips(dir, false);
    et_raise(ET_EINVAL, "corpus: NULL");
    return NULL;
}

et_collection *et_rendered_excerpts(const char *dir)
{
    if (dir)
        return rendered_clips(dir, true);
    et_raise(ET_EINVAL, "corpus: NULL");
    return NULL;
}

/* level [N, bands, frames] to x [N, frames, bands]. */
static et_tensor *turn_levels(const et_tensor *level)
{
    int64_t n = level->shape[0], bands = level->shape[1], frames = level->shape[2];
    et_tensor *x = et_dataset_tensor(ET_F32, ET_SHAPE(n, frames, bands));
    const uint8_t *from = et_data(level);
    float *to = x ? et_data_mut(x) : NULL;

    for (int64_t i = 0; to && i < n; i++, from += bands * frames, to += bands * frames)
        for (int64_t f = 0; f < frames; f++)
            for (int64_t k = 0; k < bands; k++)
                to[f * bands + k] = (float)from[k * frames + f] / 255;
    return x;
}

et_dataset *et_rendered_mels(const char *dir)
{
    et_collection *c = NULL;
    et_dataset *ds = NULL;
    et_tensor *level = NULL;
    char *path = NULL;

    if (!dir) {
        et_raise(ET_EINVAL, "corpus: NULL");
        return NULL;
    }
    if (!(c = rendered_clips(dir, true)) || !(path = et_path_join(dir, "logmel96x128.npy")) ||
        !(level = et_npy_read(path)) || !(level = et_own(level)))
        goto end;
    if (level->dtype != ET_U8 || level->ndim != 3 || level->shape[0] != c->names.n || level->shape[1] < 1 ||
        level->shape[2] < 1) {
        char text[ET_SHAPE_TEXT];
        et_raise(ET_EFORMAT, "%s: %s %s, expected uint8 [%" PRId64 ", bands, frames]", path,
                 et_dtype_name(level->dtype), et_shape_text(text, level->ndim, level->shape), c->names.n);
        goto end;
    }
    if ((ds = et_collection_labels(c)) && !(ds->x = turn_levels(level))) {
        et_dataset_free(ds);
        ds = NULL;
    }
end:
    et_free(level);
    et_dealloc(path);
    et_collection_free(c);
    return ds;
}

et_collection *et_recorded_clips(const char *dir)
{
    static const columns names = {.file = "wav", .class = "genre", .no_class = "unknown",
                                  .caption = "caption"};
    et_csv *t;
    et_collection *c = NULL;
    et_build b;

    if (!dir) {
        et_raise(ET_EINVAL, "corpus: NULL");
        return NULL;
    }
    if ((t = et_csv_in(dir, "clips.csv"))) {
        et_build_begin(&b, "recorded");
        add_table(&b, t, &names, dir, true);
        c = et_build_end(&b, true);
    }
    et_csv_free(t);
    return c;
}

static void say_digit(et_build *b, const et_csv *t, int64_t i)
{
    int speaker = column_of(b, t, "speaker"), take = column_of(b, t, "take");
    int64_t number;

    if (b->status < 0)
        return;
    if (et_csv_int(t, i, take, 0, INT32_MAX, &number) < 0) {
        b->status = et_error_status();
        return;
    }
    et_build_tags(b, et_csv_text(t, i, et_csv_find(t, "digit")));
    et_build_tags(b, et_csv_text(t, i, speaker));
    et_build_split(b, number == 5 || number == 6 ? "valid" : "train");
}

et_collection *et_spoken_digits(const char *dir)
{
    static const columns names = {.file = "file", .class = "digit", .more = say_digit};
    et_csv *t;
    char *wavs;
    et_collection *c = NULL;
    et_build b;

    if (!dir) {
        et_raise(ET_EINVAL, "corpus: NULL");
        return NULL;
    }
    wavs = et_path_join(dir, "fsdd");
    if (wavs && (t = et_csv_in(dir, "files.csv"))) {
        et_build_begin(&b, "digits");
        add_table(&b, t, &names, et_is_folder(wavs) ? wavs : dir, true);
        c = et_build_end(&b, true);
        et_csv_free(t);
    }
    et_dealloc(wavs);
    return c;
}

/* --- MusicCaps ----------------------------------------------------------------------------- */

et_collection *et_musiccaps(const char *table, const char *audio)
{
    et_csv *t;
    et_collection *c;
    et_build b;
    int id, caption, split, is_eval;

    if (!table || !(t = et_csv_read(table, NULL))) {
        et_raise(ET_EINVAL, "corpus: NULL");
        return NULL;
    }
    et_build_begin(&b, "musiccaps");
    id = column_of(&b, t, "ytid");
    caption = column_of(&b, t, "caption");
    split = et_csv_find(t, "split");
    is_eval = et_csv_find(t, "is_audioset_eval");
    for (int64_t i = 0; b.status == ET_OK && i < et_csv_rows(t); i++) {
        const char *name = et_csv_text(t, i, id);
        char *file = audio ? et_find_sound(audio, name) : NULL;

        if (!file && et_error_status() == ET_ENOMEM)
            b.status = ET_ENOMEM;
        if (file || !audio) {
            et_build_item(&b, name, file);
            et_build_caption(&b, et_csv_text(t, i, caption));
            if (split >= 0)
                et_build_split(&b, et_csv_text(t, i, split));
            else if (is_eval >= 0)
                et_build_split(&b, strcmp(et_csv_text(t, i, is_eval), "True") == 0 ? "eval" : "train");
        }
        et_dealloc(file);
    }
    if (b.status == ET_OK && b.c->names.n == 0)
        b.status = et_raise(ET_EFORMAT, "%s: none of the clips of %s is in it", audio ? audio : table, table);
    c = et_build_end(&b, false);
    et_csv_free(t);
    return c;
}

/* Adds the texts of a list as Python writes it, "; " between them. */
static et_status add_list(et_names *out, const char *list)
{
    et_strbuf b = ET_STRBUF_INIT;
    et_status status;
    char quote = '\0';

    for (const char *p = list; *p; p++) {
        if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
            if (b.size > 0)
                et_strbuf_puts(&b, "; ");
        } else if (*p == quote) {
            quote = '\0';
        } else if (quote) {
            p += *p == '\\' && p[1]; /* takes the next byte as it is */
            et_strbuf_putc(&b, *p);
        }
    }
    status = b.failed ? ET_ENOMEM : et_names_add(out, b.size ? b.data : "");
    et_strbuf_free(&b);
    return status;
}

et_status et_musiccaps_texts_read(const char *table, et_musiccaps_texts *out)
{
    et_csv *t = et_csv_read(table, NULL);
    const int caption = t ? et_csv_column(t, "caption") : -1, aspects = t ? et_csv_find(t, "aspects") : -1;
    const int list = t ? et_csv_find(t, "aspect_list") : -1;
    const int flag = t ? et_csv_find(t, "is_audioset_eval") : -1;
    const int split = !t ? -1 : flag < 0 ? et_csv_column(t, "split") : et_csv_find(t, "split");
    const int64_t n = t ? et_csv_rows(t) : 0;
    et_status status = et_error_status();

    *out = (et_musiccaps_texts){0};
    if (!status && !(out->eval = et_alloc_zero((size_t)n + 1, 1)))
        status = et_error_status();
    for (int64_t i = 0; !status && i < n; i++) {
        out->eval[i] = split >= 0 ? strcmp(et_csv_text(t, i, split), "eval") == 0
                                  : strcmp(et_csv_text(t, i, flag), "True") == 0;
        status = et_names_add(&out->captions, et_csv_text(t, i, caption));
        if (!status && aspects >= 0)
            status = et_names_add(&out->aspects, et_csv_text(t, i, aspects));
        else if (!status && list >= 0)
            status = add_list(&out->aspects, et_csv_text(t, i, list));
    }
    et_csv_free(t);
    return status;
}

void et_musiccaps_texts_free(et_musiccaps_texts *t)
{
    et_names_free(&t->captions);
    et_names_free(&t->aspects);
    et_dealloc(t->eval);
    t->eval = NULL;
}
