/* The index of a library of sounds: see search_index.h. */
#include "config.h"

#include "examples/search_index.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/corpora_build.h"
#include "datasets/folder.h"
#include "examples/common/progress.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/hash.h"
#include "tensor/safetensors.h"

enum { DEEPEST = 32, KEY = 32 };

void search_index_free(search_index *x)
{
    if (!x)
        return;
    et_dealloc(x->folder);
    et_names_free(&x->names);
    et_free(x->vectors);
    et_dealloc(x);
}

/* The folder's path from the root, to be released with et_dealloc. */
static char *absolute(const char *folder)
{
    char here[4096];

    if (folder[0] == '/')
        return et_alloc_string(folder);
    if (getcwd(here, sizeof here))
        return et_path_join(here, folder);
    et_raise(ET_EIO, "%s: the current folder has no name", folder);
    return NULL;
}

/* --- what is in a folder ---------------------------------------------------------------------------- */

/* The sounds below dir/under, in the order of their bytes. */
static et_status walk(const char *dir, const char *under, int depth, const et_folder_way *above,
                      et_names *out)
{
    et_names names = {0};
    et_folder_way way;
    char *here = et_path_join(dir, under);
    et_status status = here ? ET_OK : et_error_status();

    if (!status && et_folder_step(&way, here, above)) /* a link in a circle leads nowhere new */
        status = et_folder_names(here, &names);

    for (int64_t i = 0; i < names.n && !status; i++) {
        char *path = et_path_join(here, names.items[i]), *below = et_path_join(under, names.items[i]);
        bool is_sound = false;
        et_sound_stem(names.items[i], &is_sound);
        if (!path || !below)
            status = et_error_status();
        else if (et_is_folder(path))
            status = depth < DEEPEST ? walk(dir, below, depth + 1, &way, out) : ET_OK;
        else if (is_sound)
            status = et_names_add(out, below);
        et_dealloc(path);
        et_dealloc(below);
    }
    et_names_free(&names);
    et_dealloc(here);
    return status;
}

/* "SIZE SECONDS.NANOSECONDS" of a file: what changes when it does. */
static et_status stamp(const char *folder, const char *name, char out[64])
{
    char *path = et_path_join(folder, name);
    struct stat st;

    if (!path)
        return et_error_status();
    if (stat(path, &st) != 0) /* gone since it was listed: reading it will say so */
        memset(&st, 0, sizeof st);
    snprintf(out, 64, "%" PRId64 " %" PRId64 ".%09ld", (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
             (long)st.st_mtim.tv_nsec);
    et_dealloc(path);
    return ET_OK;
}

/* A number that changes with the run's weights. */
static et_status model_key(et_run *run, char out[KEY])
{
    const char *path = et_run_path(run, ET_RUN_BEST);
    unsigned char *data = NULL;
    size_t size = 0;

    if (!path || et_file_read(path, SIZE_MAX, &data, &size))
        return et_error_status();
    snprintf(out, KEY, "%.16" PRIx64, et_hash(ET_HASH_START, data, size));
    et_dealloc(data);
    return ET_OK;
}

/* The pending error becomes that of a malformed file, with what is to be done. */
static void blame_file(const char *advice)
{
    char why[512];

    snprintf(why, sizeof why, "%s", et_error_message());
    et_error_clear();
    et_raise(ET_EFORMAT, "%s%s", why, advice);
}

/* --- sounds to vectors ------------------------------------------------------------------------------- */

/* x [chunks, frames, bins] of a sound, which is released, in the open scope: consecutive pieces as long as
 * the model hears at a time. The last one is filled up with silence, and left out where it is less than a
 * quarter and not alone. */
static et_tensor *chunks_of(const search_input *in, const et_front_end *fe, et_audio *a, const char *name)
{
    const int64_t length = (int64_t)(in->seconds * (double)et_front_end_rate(fe));
    float *rows = NULL;

    if (et_audio_check_finite(a) || search_hear(in, fe, a)) {
        et_audio_free(a);
        et_fail_status(name);
        return NULL;
    }
    const int64_t samples = a->samples->numel, whole = samples / length, left = samples % length;
    const int64_t chunks = whole + (whole == 0 || left >= length / 4), size = in->frames * in->bins;
    et_tensor *x = et_front_end_frames(fe, samples) > 0
                       ? et_empty(ET_F32, ET_SHAPE(chunks, in->frames, in->bins))
                       : NULL;
    if (!x)
        et_raise(ET_EFORMAT, "%s: too short", name);
    else
        et_fill(x, (double)search_silence(in));
    for (int64_t c = 0; x && c < chunks; c++) {
        const int64_t n = samples - c * length < length ? samples - c * length : length,
                      have = et_front_end_frames(fe, n);
        const int64_t taken = have < in->frames ? have : in->frames;
        if (have < 1) /* a rest that is less than a frame */
            continue;
        rows = et_alloc_zero((size_t)have, (size_t)in->bins * sizeof *rows);
        if (!rows || et_front_end_run(fe, et_data_f32(a->samples) + c * length, n, rows)) {
            x = NULL;
            et_fail_status(name);
        } else {
            search_scale(in, taken * in->bins, rows);
            memcpy((float *)et_data_mut(x) + c * size, rows, (size_t)(taken * in->bins) * sizeof *rows);
        }
        et_dealloc(rows);
    }
    et_audio_free(a);
    return x;
}

/* The vector of a sound, which is released. */
static et_status embed_sound(search_model *m, const et_front_end *fe, et_audio *a, const char *name,
                             float *out)
{
    et_scope *scope = et_scope_open();
    et_tensor *x = scope ? chunks_of(&m->sizes.input, fe, a, name) : NULL;
    et_status status = x ? search_embed_chunks(m, x, out) : et_error_status();

    if (x && status)
        et_fail_status(name);
    if (et_error_status() == ET_ENONFINITE)
        blame_file("");
    if (scope)
        et_scope_close(scope);
    else
        et_audio_free(a);
    return status;
}

static et_status embed_file(search_model *m, const et_front_end *fe, const char *path, float *out)
{
    et_audio a;

    return et_audio_read(path, &a) ? et_error_status() : embed_sound(m, fe, &a, path, out);
}

static et_status embed(search_model *m, const et_front_end *fe, const char *folder, const char *name,
                       float *out)
{
    char *path = et_path_join(folder, name);
    et_status status = path ? embed_file(m, fe, path, out) : et_error_status();

    et_dealloc(path);
    return status;
}

/* The front end that the model hears with. */
static et_front_end *ear(const search_model *m, const et_run *run)
{
    if (m->sizes.input.front_end[0] != '\0')
        return et_front_end_new(m->sizes.input.front_end);
    et_raise(ET_EINVAL, "%s learned the task S-XM, whose sounds are no sounds", et_run_dir(run));
    return NULL;
}

et_status search_embed_sound(search_model *m, et_run *run, const char *path, float *out)
{
    et_front_end *fe = ear(m, run);
    et_status status = fe ? embed_file(m, fe, path, out) : et_error_status();

    et_front_end_free(fe);
    return status;
}

float *search_embed_collection(search_model *m, et_run *run, const et_collection *c, et_indices *items)
{
    const int64_t width = m->network->width(m->root), all = items->n;
    et_front_end *fe = ear(m, run);
    float *vectors = fe ? et_alloc_zero((size_t)all, (size_t)width * sizeof *vectors) : NULL;
    et_status status = vectors ? ET_OK : et_error_status();
    et_progress progress;

    if (!status)
        et_progress_begin(&progress, stdout, all, "hearing");
    for (int64_t i = items->n = 0; i < all && !status; i++) {
        const int32_t item = items->items[i];
        et_audio a;
        if (!et_collection_audio(c, item, &a) &&
            !embed_sound(m, fe, &a, c->names.items[item], vectors + items->n * width)) {
            items->items[items->n++] = item;
        } else if ((status = et_error_status()) != ET_ENOMEM) {
            et_progress_note(&progress, "left out: %s", et_error_message());
            et_error_clear();
            status = ET_OK;
        }
        et_progress_step(&progress, i + 1, "%s", "");
    }
    if (vectors)
        et_progress_end(&progress, "%lld sound%s", (long long)items->n, et_plural(items->n));
    if (!status && items->n == 0)
        status = et_raise(ET_EINVAL, "none of the sounds can be read, of which there %s %lld",
                          all == 1 ? "is" : "are", (long long)all);
    et_front_end_free(fe);
    if (!status)
        return vectors;
    et_dealloc(vectors);
    return NULL;
}

/* --- the file ---------------------------------------------------------------------------------------- */

/* Appends "FLAG STAMP NAME" and a NUL. */
static et_status put_line(et_strbuf *lines, const char *folder, const char *name, bool good)
{
    char text[64];

    if (stamp(folder, name, text))
        return et_error_status();
    et_strbuf_printf(lines, "%c %s %s", good ? '+' : '-', text, name);
    et_strbuf_putc(lines, '\0');
    return lines->failed ? ET_ENOMEM : ET_OK;
}

/* A path need not be UTF-8, as texts of the file's header must be. */
static et_tensor *bytes_of(const char *text, size_t n)
{
    return et_own(et_from(ET_U8, ET_SHAPE((int64_t)n), text));
}

static et_status write_index(const search_index *x, const et_strbuf *lines, const char *path, const char *key)
{
    et_tensor *text = bytes_of(lines->data, lines->size), *folder = bytes_of(x->folder, strlen(x->folder));
    const et_metadata meta[] = {{"format", "music-search index"}, {"model", key}};
    const et_named_tensor tensors[] = {{"vectors", x->vectors}, {"files", text}, {"folder", folder}};
    et_status status = text && folder ? et_safetensors_write(path, tensors, 3, meta, 2) : et_error_status();

    et_free(text);
    et_free(folder);
    return status;
}

/* Embeds the files: vectors of those that can be read, whose names go to x, and a line for every one. */
static et_status embed_files(search_model *m, const et_front_end *fe, search_index *x, const et_names *files,
                             float *vectors, et_strbuf *lines)
{
    const int64_t width = m->network->width(m->root);
    et_status status = ET_OK;
    et_progress progress;

    et_progress_begin(&progress, stdout, files->n, "embedding");
    for (int64_t i = 0; i < files->n && !status; i++) {
        const bool good = embed(m, fe, x->folder, files->items[i], vectors + x->names.n * width) == ET_OK;
        if (!good && et_error_status() == ET_ENOMEM) {
            status = ET_ENOMEM;
            break;
        }
        if (!good) {
            et_progress_note(&progress, "left out: %s", et_error_message());
            et_error_clear();
            x->broken++;
        } else {
            status = et_names_add(&x->names, files->items[i]);
        }
        if (!status)
            status = put_line(lines, x->folder, files->items[i], good);
        et_progress_step(&progress, i + 1, "%s", "");
    }
    et_progress_end(&progress, "%lld sound%s", (long long)x->names.n, et_plural(x->names.n));
    return status;
}

search_index *search_index_make(search_model *m, et_run *run, const char *folder, const char *path)
{
    const int64_t width = m->network->width(m->root);
    search_index *x = et_alloc_zero(1, sizeof *x);
    et_names files = {0};
    et_strbuf lines = ET_STRBUF_INIT;
    et_front_end *fe = NULL;
    float *vectors = NULL;
    char key[KEY];

    if (!x)
        return NULL;
    if ((fe = ear(m, run)) && !et_is_folder(folder))
        et_raise(ET_EINVAL, "%s: no such folder", folder);
    else if (fe && (x->folder = absolute(folder)) && !model_key(run, key) &&
             !walk(x->folder, "", 0, NULL, &files) && files.n == 0)
        et_raise(ET_EINVAL, "%s: no sounds there", folder);
    if (!et_error_status() && !et_writer_try(path))
        vectors = et_alloc_zero((size_t)files.n, (size_t)width * sizeof *vectors);
    et_status status = vectors ? embed_files(m, fe, x, &files, vectors, &lines) : et_error_status();
    if (!status && x->names.n == 0)
        status = et_raise(ET_EINVAL, "%s: none of its sounds can be read, of which there %s %lld", folder,
                          files.n == 1 ? "is" : "are", (long long)files.n);
    if (!status && (x->vectors = et_empty_owned(ET_F32, ET_SHAPE(x->names.n, width)))) {
        memcpy(et_data_mut(x->vectors), vectors, (size_t)(x->names.n * width) * sizeof *vectors);
        status = write_index(x, &lines, path, key);
    } else if (!status) {
        status = et_error_status();
    }
    et_dealloc(vectors);
    et_strbuf_free(&lines);
    et_names_free(&files);
    et_front_end_free(fe);
    if (!status)
        return x;
    search_index_free(x);
    return NULL;
}

/* Whether the lines of the file are the folder's files now; names of the good ones to x. */
static et_status compare(search_index *x, const et_tensor *files, bool *same)
{
    const char *line = et_data(files), *end = line + files->numel;
    et_names now = {0};
    int64_t i = 0;
    et_status status = walk(x->folder, "", 0, NULL, &now);

    *same = true;
    for (; line < end && !status && *same; i++) {
        char text[64];
        const size_t n = strnlen(line, (size_t)(end - line));
        const char *name;
        if (line + n == end || i >= now.n || n < 2) {
            *same = false;
            break;
        }
        if ((status = stamp(x->folder, now.items[i], text)))
            break;
        name = line + 3 + strlen(text); /* "+ STAMP NAME" */
        *same = n > strlen(text) + 3 && strncmp(line + 2, text, strlen(text)) == 0 &&
                strcmp(name, now.items[i]) == 0;
        if (*same && line[0] == '+')
            status = et_names_add(&x->names, name);
        else
            x->broken++;
        line += n + 1;
    }
    *same = *same && i == now.n;
    et_names_free(&now);
    return status;
}

/* The folder that the file names, as bytes; former ones have it in their metadata. */
static char *read_folder(et_safetensors *file)
{
    if (!et_safetensors_find(file, "folder"))
        return et_alloc_string(et_safetensors_meta(file, "folder"));

    et_tensor *bytes = et_own(et_safetensors_load(file, "folder"));
    const size_t n = bytes && bytes->dtype == ET_U8 ? (size_t)bytes->numel : 0;
    char *folder = n ? et_alloc_zero(n + 1, 1) : NULL;

    if (folder)
        memcpy(folder, et_data(bytes), n);
    else if (!et_error_status())
        et_raise(ET_EFORMAT, "the index names no folder");
    et_free(bytes);
    return folder;
}

search_index *search_index_open(search_model *m, et_run *run, const char *path)
{
    search_index *x = et_alloc_zero(1, sizeof *x);
    const bool none = !et_exists(path) && errno == ENOENT;
    et_safetensors *file = x && !none ? et_safetensors_open(path) : NULL;
    const char *format = file ? et_safetensors_meta(file, "format") : NULL, *why = NULL;
    const char *model = file ? et_safetensors_meta(file, "model") : NULL;
    et_tensor *files = NULL;
    char key[KEY];
    bool same = true;

    if (none)
        et_raise(ET_EINVAL, "%s: there is no index yet: music-search index makes one of a folder of sounds",
                 path);
    else if (file && (!format || strcmp(format, "music-search index") != 0 || !model ||
                      !(et_safetensors_find(file, "folder") || et_safetensors_meta(file, "folder"))))
        et_raise(ET_EINVAL, "%s: no index of music-search", path);
    if (!et_error_status() && !model_key(run, key)) {
        x->folder = read_folder(file);
        x->vectors = et_own(et_safetensors_load(file, "vectors"));
        files = et_own(et_safetensors_load(file, "files"));
    }
    if (!et_error_status() && (files->dtype != ET_U8 || files->ndim != 1 || x->vectors->dtype != ET_F32 ||
                               x->vectors->ndim != 2))
        et_raise(ET_EINVAL, "%s: no index of music-search", path);
    if (!et_error_status() && et_check_finite(x->vectors, "vectors"))
        et_fail_status(path);
    if (et_error_status() == ET_EFORMAT || et_error_status() == ET_ENONFINITE)
        blame_file("; if it is an index that was damaged, music-search index makes it again");
    if (!et_error_status()) {
        if (strcmp(model, key) != 0)
            why = "of another model";
        else if (!et_is_folder(x->folder))
            et_raise(ET_EINVAL, "%s: its folder %s is not there", path, x->folder);
        else if (!compare(x, files, &same) && !same)
            why = "older than its folder";
        else if (x->vectors->shape[0] != x->names.n || x->vectors->shape[1] != m->network->width(m->root))
            why = "not whole";
    }
    et_free(files);
    et_safetensors_close(file);
    if (!et_error_status() && !why)
        return x;
    search_index *again = NULL;
    if (!et_error_status()) {
        printf("the index is %s: it is made anew\n", why);
        again = search_index_make(m, run, x->folder, path);
    }
    search_index_free(x);
    return again;
}
