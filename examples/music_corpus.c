/* music-data make-corpus: the built-in corpus as files. */
#include "config.h"

#include "examples/music_corpus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datasets/corpus.h"
#include "datasets/folder.h"
#include "examples/common/interrupt.h"
#include "examples/common/progress.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/strbuf.h"

static int class_of(const et_collection *c, int64_t i) { return et_data_i32(c->y)[i]; }

static const char *split_of(const et_collection *c, int64_t i)
{
    int32_t s = c->split ? et_data_i32(c->split)[i] : -1;

    return s < 0 ? "" : c->splits.items[s];
}

static int group_of(const et_collection *c, int64_t i)
{
    return c->groups ? et_data_i32(c->groups)[i] : (int)i;
}

/* DIR/GENRE/NAME and an ending, as a new string. */
static char *item_path(const et_collection *c, const char *dir, int64_t i, const char *ending)
{
    et_strbuf s = ET_STRBUF_INIT;

    et_strbuf_printf(&s, "%s/%s/%s%s", dir, c->classes.items[class_of(c, i)], c->names.items[i], ending);
    return et_strbuf_take(&s);
}

static et_status write_item(const et_collection *c, const char *dir, int64_t i)
{
    char *wav = item_path(c, dir, i, ".wav"), *mid = item_path(c, dir, i, ".mid");
    et_midi *midi = wav && mid ? et_corpus_midi(c, i) : NULL;
    et_audio a = {NULL, 0};
    et_status status = midi ? et_collection_audio(c, i, &a) : et_error_status();

    if (status == ET_OK)
        status = et_audio_write_wav(wav, a.samples, a.rate, ET_WAV_PCM16);
    if (status == ET_OK)
        status = et_midi_write(mid, midi);
    et_audio_free(&a);
    et_midi_free(midi);
    et_dealloc(wav);
    et_dealloc(mid);
    return status;
}

/* A field that may hold anything. */
static void put_quoted(et_strbuf *s, const char *text)
{
    et_strbuf_putc(s, '"');
    for (; *text; text++) {
        if (*text == '"')
            et_strbuf_putc(s, '"');
        et_strbuf_putc(s, *text);
    }
    et_strbuf_putc(s, '"');
}

static void put_tags(et_strbuf *s, const et_collection *c, int64_t i)
{
    const uint8_t *tags = c->tags ? et_data(c->tags) : NULL;
    const char *between = "";

    for (int64_t t = 0; tags && t < c->tag_names.n; t++)
        if (tags[i * c->tag_names.n + t]) {
            et_strbuf_printf(s, "%s%s", between, c->tag_names.items[t]);
            between = "; ";
        }
}

static et_status write_table(const char *dir, const char *name, et_strbuf *text)
{
    char *path = text->failed ? NULL : et_path_join(dir, name);
    et_status status = path ? et_file_write(path, text->data, text->size) : et_error_status();

    et_dealloc(path);
    et_strbuf_reset(text);
    return status;
}

static et_status write_tables(const et_collection *c, const char *dir)
{
    et_strbuf s = ET_STRBUF_INIT, tags = ET_STRBUF_INIT;
    et_status status;

    et_strbuf_puts(&s, "row,track,genre,genre_id,split\n");
    for (int64_t i = 0; i < c->names.n; i++)
        et_strbuf_printf(&s, "%" PRId64 ",%s,%s,%d,%s\n", i, c->names.items[i],
                         c->classes.items[class_of(c, i)], class_of(c, i), split_of(c, i));
    status = write_table(dir, "tracks.csv", &s);
    et_strbuf_puts(&s, "file,style,group,fold\n");
    for (int64_t i = 0; i < c->names.n; i++) {
        const char *genre = c->classes.items[class_of(c, i)];
        et_strbuf_printf(&s, "%s/%s.mid,%s,%d,%d\n", genre, c->names.items[i], genre, group_of(c, i),
                         strcmp(split_of(c, i), "train") == 0);
    }
    if (status == ET_OK)
        status = write_table(dir, "manifest.csv", &s);
    et_strbuf_puts(&s, "track,file,genre,group,split,tags,caption\n");
    for (int64_t i = 0; i < c->names.n; i++) {
        const char *genre = c->classes.items[class_of(c, i)];
        et_strbuf_printf(&s, "%s,%s/%s.wav,%s,%d,%s,", c->names.items[i], genre, c->names.items[i], genre,
                         group_of(c, i), split_of(c, i));
        et_strbuf_reset(&tags);
        put_tags(&tags, c, i);
        put_quoted(&s, tags.size ? tags.data : "");
        et_strbuf_putc(&s, ',');
        put_quoted(&s, i < c->captions.n ? c->captions.items[i] : "");
        et_strbuf_putc(&s, '\n');
    }
    s.failed = s.failed || tags.failed;
    if (status == ET_OK)
        status = write_table(dir, "captions.csv", &s);
    et_strbuf_free(&tags);
    et_strbuf_free(&s);
    return status;
}

/* Whether a file is named as an item of the genre: "jazz.00000.0.wav". */
static bool is_item(const char *genre, const char *name)
{
    static const char digits[] = "0123456789";
    const size_t n = strlen(genre);

    if (strncmp(name, genre, n) != 0 || name[n] != '.')
        return false;
    name += n + 1;
    const size_t song = strspn(name, digits);
    if (song < 5 || name[song] != '.')
        return false;
    name += song + 1;
    const size_t clip = strspn(name, digits);
    return clip > 0 && (strcmp(name + clip, ".wav") == 0 || strcmp(name + clip, ".mid") == 0);
}

/* A file that is not there is as good as removed. */
static et_status remove_file(const char *dir, const char *name)
{
    char *path = et_path_join(dir, name);
    et_status status = path ? ET_OK : et_error_status();

    if (status == ET_OK && unlink(path) != 0 && errno != ENOENT)
        status = et_raise(ET_EIO, "cannot remove %s: %s", path, strerror(errno));
    et_dealloc(path);
    return status;
}

/* Takes what an older corpus has left: its tables, then its items, of which there may have been more. */
static et_status remove_old(const et_collection *c, const char *dir)
{
    static const char *const tables[] = {"tracks.csv", "manifest.csv", "captions.csv"};
    et_status status = ET_OK;

    for (int i = 0; status == ET_OK && i < 3; i++)
        status = remove_file(dir, tables[i]);
    for (int64_t k = 0; status == ET_OK && k < c->classes.n; k++) {
        char *path = et_path_join(dir, c->classes.items[k]);
        et_names names = {0};
        status = path ? et_folder_names(path, &names) : et_error_status();
        for (int64_t i = 0; status == ET_OK && i < names.n; i++)
            if (is_item(c->classes.items[k], names.items[i]))
                status = remove_file(path, names.items[i]);
        et_names_free(&names);
        et_dealloc(path);
    }
    return status;
}

et_status music_write_corpus(const et_collection *c, const char *dir, int64_t *written)
{
    et_progress p;
    et_status status = ET_OK;
    int64_t i;

    *written = 0;
    for (int64_t k = 0; status == ET_OK && k < c->classes.n; k++) {
        char *path = et_path_join(dir, c->classes.items[k]);

        status = path ? et_folder_make(path) : et_error_status();
        et_dealloc(path);
    }
    if (status == ET_OK)
        status = remove_old(c, dir);
    if (status == ET_OK)
        status = et_interrupt_catch();
    if (status < 0)
        return status;
    et_progress_begin(&p, stderr, c->names.n, "make-corpus");
    for (i = 0; status == ET_OK && i < c->names.n && !et_interrupted(); i++) {
        status = write_item(c, dir, i);
        if (status == ET_OK)
            et_progress_step(&p, i + 1, "%s", c->names.items[i]);
    }
    *written = status == ET_OK ? i : i - 1;
    et_progress_end(&p, "%s", "");
    return status == ET_OK && *written == c->names.n ? write_tables(c, dir) : status;
}
