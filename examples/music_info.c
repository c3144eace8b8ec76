/* music-data info: a file of any kind that the library reads, and folders of them. */
#include "config.h"

#include "examples/music_info.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datasets/audio.h"
#include "datasets/csv.h"
#include "datasets/folder.h"
#include "examples/common/progress.h"
#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"

enum {
    CURVE = 60,     /* characters of the curve of loudness */
    MAX_DEPTH = 16, /* of folders in folders */
    NAMED = 10,     /* broken files named, the others are counted */
    MAX_RATES = 64  /* different kinds of sound told apart in a folder */
};

static void print_path(const char *path)
{
    et_text_print(stdout, path, 0);
    putchar('\n');
}

/* --- which kind ----------------------------------------------------------------------------------- */

typedef enum kind { SOUND, NOTES, ARRAY, TENSORS, TABLE, OTHER } kind;

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);

    return n > m && strcasecmp(path + n - m, end) == 0;
}

/* By its first bytes; what they do not tell, by its name. */
static et_status find_kind(const char *path, kind *k)
{
    static const char *const sounds[] = {".wav", ".au",   ".snd",  ".aif", ".aiff", ".aifc", ".mp3",
                                         ".ogg", ".opus", ".flac", ".m4a", ".aac",  ".wma"};
    unsigned char head[12] = {0};
    et_reader *r = et_reader_open(path);
    uint64_t size;

    if (!r)
        return et_error_status();
    size = et_reader_size(r);
    if (et_reader_at(r, 0, head, size < sizeof head ? (size_t)size : sizeof head) < 0) {
        et_reader_close(r);
        return et_error_status();
    }
    et_reader_close(r);
    *k = OTHER;
    if (memcmp(head, "MThd", 4) == 0 || ends_with(path, ".mid") || ends_with(path, ".midi"))
        *k = NOTES;
    else if (memcmp(head, "\x93NUMPY", 6) == 0 || ends_with(path, ".npy"))
        *k = ARRAY;
    else if (ends_with(path, ".safetensors") || ends_with(path, ".ckpt"))
        *k = TENSORS;
    else if (ends_with(path, ".csv"))
        *k = TABLE;
    else if (memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RF64", 4) == 0 || memcmp(head, ".snd", 4) == 0 ||
             memcmp(head, "FORM", 4) == 0)
        *k = SOUND;
    for (size_t i = 0; *k == OTHER && i < sizeof sounds / sizeof sounds[0]; i++)
        if (ends_with(path, sounds[i]))
            *k = SOUND;
    return ET_OK;
}

/* --- sounds ----------------------------------------------------------------------------------------- */

static void print_level(const char *what, double amplitude)
{
    if (amplitude > 0)
        printf("%s %.1f dB", what, 20 * log10(amplitude));
    else
        printf("%s silent", what);
}

/* Loudness over time, as one line of characters. */
static et_status print_curve(const float *x, int64_t n)
{
    double level[CURVE];
    et_strbuf line = ET_STRBUF_INIT;
    int parts = n < CURVE ? (int)n : CURVE;
    et_status status;

    for (int p = 0; p < parts; p++) {
        int64_t begin = n * p / parts, end = n * (p + 1) / parts;
        double power = 0;

        for (int64_t i = begin; i < end; i++)
            power += (double)x[i] * x[i];
        level[p] = sqrt(power / (double)(end - begin));
    }
    status = et_text_spark(&line, parts, level, parts, et_terminal_unicode());
    if (status == ET_OK)
        printf("  loudness |%s|\n", line.data);
    et_strbuf_free(&line);
    return status;
}

static et_status sound_info(const char *path)
{
    et_audio_info info;
    et_audio a;
    double peak = 0, power = 0, sum = 0;
    int64_t full = 0, strange = 0, n;
    const float *x;
    et_status status;

    if (et_audio_read_info(path, &info) < 0 || et_audio_read(path, &a) < 0)
        return et_error_status();
    print_path(path);
    printf("  %s, %s, %" PRId64 " Hz, %" PRId64 " channel%s, %" PRId64 " frame%s (%.2f s)\n",
           info.container, info.encoding, info.rate, info.channels, et_plural(info.channels), info.frames,
           et_plural(info.frames), (double)info.frames / (double)info.rate);
    n = a.samples->numel;
    x = et_data_f32(a.samples);
    for (int64_t i = 0; i < n; i++) {
        double v = x[i];

        if (!isfinite(v)) {
            strange++;
            continue;
        }
        peak = fmax(peak, fabs(v));
        power += v * v;
        sum += v;
        full += fabs(v) >= 32767.0 / 32768;
    }
    print_level("  peak", peak);
    n -= strange;
    print_level(", RMS", n > 0 ? sqrt(power / (double)n) : 0);
    printf(", mean %.4f, %" PRId64 " sample%s at full scale\n",
           fabs(sum) < 5e-5 * (double)n || n == 0 ? 0 : sum / (double)n, full, et_plural(full));
    if (strange > 0)
        printf("  %" PRId64 " sample%s\n", strange, strange == 1 ? " is no number" : "s are no numbers");
    status = et_audio_to_mono(&a);
    if (status == ET_OK && strange == 0)
        status = print_curve(et_data_f32(a.samples), a.samples->numel);
    et_audio_free(&a);
    return status;
}

/* --- tensors and tables ----------------------------------------------------------------------------- */

static et_status array_info(const char *path)
{
    et_tensor *x = et_npy_read(path), *wide = x ? et_to(x, ET_F64) : NULL;
    const double *v = wide ? et_data_f64(wide) : NULL;
    double low = INFINITY, high = -INFINITY, sum = 0;
    char shape[ET_SHAPE_TEXT];
    int64_t finite = 0;

    if (v) {
        print_path(path);
        printf("  NumPy array, read as %s %s\n", et_dtype_name(x->dtype),
               et_shape_text(shape, x->ndim, x->shape));
        for (int64_t i = 0; i < wide->numel; i++)
            if (isfinite(v[i])) {
                low = fmin(low, v[i]);
                high = fmax(high, v[i]);
                sum += v[i];
                finite++;
            }
        if (finite > 0)
            printf("  %g to %g, mean %g\n", low, high, sum / (double)finite);
        if (finite < wide->numel)
            printf("  %" PRId64 " of %" PRId64 " element%s infinite or no numbers\n", wide->numel - finite,
                   wide->numel, et_plural(wide->numel));
    }
    et_free(wide);
    et_free(x);
    return v ? ET_OK : et_error_status();
}

static et_status tensors_info(const char *path)
{
    et_safetensors *f = et_safetensors_open(path);
    const char *key, *value;
    char shape[ET_SHAPE_TEXT];
    double elements = 0;

    if (!f)
        return et_error_status();
    print_path(path);
    printf("  safetensors, %" PRId64 " tensor%s\n", et_safetensors_count(f),
           et_plural(et_safetensors_count(f)));
    for (int64_t i = 0; et_safetensors_meta_at(f, i, &key, &value); i++) {
        printf("  ");
        et_text_print(stdout, key, 0);
        printf(": ");
        et_text_print(stdout, value, 0);
        putchar('\n');
    }
    for (int64_t i = 0; i < et_safetensors_count(f); i++) {
        const et_safetensors_entry *e = et_safetensors_at(f, i);
        double n = 1;

        for (int d = 0; d < e->ndim; d++)
            n *= (double)e->shape[d];
        elements += n;
        printf("  %-4s %-20s ", e->stored, et_shape_text(shape, e->ndim, e->shape));
        print_path(e->name);
    }
    printf("  %.0f elements in all\n", elements);
    et_safetensors_close(f);
    return ET_OK;
}

static et_status table_info(const char *path)
{
    et_csv *t = et_csv_read(path, NULL);

    if (!t)
        return et_error_status();
    print_path(path);
    printf("  table of %" PRId64 " row%s, %d column%s:", et_csv_rows(t), et_plural(et_csv_rows(t)),
           et_csv_columns(t), et_plural(et_csv_columns(t)));
    for (int c = 0; c < et_csv_columns(t); c++) {
        printf(c ? ", " : " ");
        et_text_print(stdout, et_csv_header(t, c), 0);
    }
    putchar('\n');
    et_csv_free(t);
    return ET_OK;
}

/* --- folders ---------------------------------------------------------------------------------------- */

typedef struct sounds {
    et_audio_info like; /* what these have in common */
    int64_t n;
    double seconds;
} sounds;

typedef struct tally {
    int64_t folders, foreign, midi, notes, arrays, tables, others, broken;
    sounds kinds[MAX_RATES];
    int n_kinds;
} tally;

static void count_sound(tally *t, const et_audio_info *info)
{
    int i = 0;

    while (i < t->n_kinds &&
           (strcmp(t->kinds[i].like.container, info->container) != 0 ||
            strcmp(t->kinds[i].like.encoding, info->encoding) != 0 || t->kinds[i].like.rate != info->rate ||
            t->kinds[i].like.channels != info->channels))
        i++;
    if (i == MAX_RATES)
        i--; /* no folder is that mixed: they stand with the last */
    if (i == t->n_kinds)
        t->kinds[t->n_kinds++] = (sounds){*info, 0, 0};
    t->kinds[i].n++;
    t->kinds[i].seconds += (double)info->frames / (double)info->rate;
}

/* A file that cannot be read is part of the answer: the first are named. */
static et_status count_broken(tally *t)
{
    if (et_error_status() == ET_ENOMEM)
        return ET_ENOMEM;
    if (t->broken++ < NAMED) {
        printf("  broken: ");
        print_path(et_error_message());
    }
    et_error_clear();
    return ET_OK;
}

static et_status count_file(tally *t, const char *path)
{
    et_audio_info info;
    et_midi *midi;
    kind k;

    if (find_kind(path, &k) < 0)
        return count_broken(t);
    if (k == SOUND && !ends_with(path, ".wav") && !ends_with(path, ".au") && !ends_with(path, ".snd") &&
        !ends_with(path, ".aif") && !ends_with(path, ".aiff") && !ends_with(path, ".aifc")) {
        t->foreign++; /* each would have to be decoded */
    } else if (k == SOUND) {
        if (et_audio_read_info(path, &info) < 0)
            return count_broken(t);
        count_sound(t, &info);
    } else if (k == NOTES) {
        midi = et_midi_read(path);
        if (!midi)
            return count_broken(t);
        t->midi++;
        t->notes += midi->n_notes;
        et_midi_free(midi);
    } else if (k == ARRAY || k == TENSORS) {
        t->arrays++;
    } else if (k == TABLE) {
        t->tables++;
    } else {
        t->others++;
    }
    return ET_OK;
}

static et_status count_folder(tally *t, const char *path, int depth, const et_folder_way *above)
{
    et_names names = {0};
    et_folder_way way;
    et_status status;

    if (!et_folder_step(&way, path, above)) /* a link in a circle: what it leads to is counted */
        return ET_OK;
    t->folders += depth > 0;
    status = et_folder_names(path, &names);
    if (status == ET_EIO && depth > 0)
        return count_broken(t);
    for (int64_t i = 0; status == ET_OK && i < names.n; i++) {
        char *inner = et_path_join(path, names.items[i]);

        if (!inner)
            status = ET_ENOMEM;
        else if (!et_is_folder(inner))
            status = count_file(t, inner);
        else if (depth < MAX_DEPTH)
            status = count_folder(t, inner, depth + 1, &way);
        et_dealloc(inner);
    }
    et_names_free(&names);
    return status;
}

static void print_count(int64_t n, const char *one, const char *many)
{
    if (n > 0)
        printf("  %" PRId64 " %s\n", n, n == 1 ? one : many);
}

static et_status folder_info(const char *path)
{
    tally t = {0};

    print_path(path);
    if (count_folder(&t, path, 0, NULL) < 0)
        return et_error_status();
    print_count(t.folders, "folder below it", "folders below it");
    for (int i = 0; i < t.n_kinds; i++) {
        const sounds *s = &t.kinds[i];

        printf("  %" PRId64 " sound%s: %s, %s, %" PRId64 " Hz, %" PRId64
               " channel%s; %.0f:%02.0f:%02.0f in all, %.2f s "
               "on average\n",
               s->n, et_plural(s->n), s->like.container, s->like.encoding, s->like.rate,
               s->like.channels, et_plural(s->like.channels), floor(s->seconds / 3600),
               floor(fmod(s->seconds, 3600) / 60), floor(fmod(s->seconds, 60)), s->seconds / (double)s->n);
    }
    print_count(t.foreign, "sound for ffmpeg or sox", "sounds for ffmpeg or sox");
    if (t.midi > 0)
        printf("  %" PRId64 " MIDI file%s with %" PRId64 " note%s\n", t.midi, et_plural(t.midi), t.notes,
               et_plural(t.notes));
    print_count(t.arrays, "file of tensors", "files of tensors");
    print_count(t.tables, "table", "tables");
    print_count(t.others, "other file", "other files");
    print_count(t.broken, "file that cannot be read", "files that cannot be read");
    return ET_OK;
}

/* ------------------------------------------------------------------------------------------------------ */

et_status music_info(const char *path)
{
    et_midi *midi;
    kind k;

    if (et_is_folder(path))
        return folder_info(path);
    if (find_kind(path, &k) < 0)
        return et_error_status();
    switch (k) {
    case NOTES:
        midi = et_midi_read(path);
        if (midi)
            music_print_midi(path, midi, 0);
        et_midi_free(midi);
        return midi ? ET_OK : et_error_status();
    case ARRAY: return array_info(path);
    case TENSORS: return tensors_info(path);
    case TABLE: return table_info(path);
    default: return sound_info(path);
    }
}
