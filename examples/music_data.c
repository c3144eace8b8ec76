/* music-data: a look at sounds, notes and texts, and a way to make them.
 *
 *     music-data info FILE...
 *     music-data spectrogram FILE --front-end NAME -o x.png
 *     music-data midi FILE
 *     music-data render FILE.mid -o x.wav
 *     music-data make-corpus DIR
 *     music-data tokenize TEXT */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "datasets/audio.h"
#include "datasets/corpus.h"
#include "datasets/folder.h"
#include "datasets/front_end.h"
#include "datasets/synth.h"
#include "examples/common/cli.h"
#include "examples/common/colormap.h"
#include "examples/common/textplot.h"
#include "examples/music_corpus.h"
#include "examples/music_info.h"
#include "examples/music_text.h"
#include "tensor/alloc.h"
#include "tensor/file.h"

enum { MANY = 1000000 /* operands */, MAX_WIDTH = 65535 /* of a PNG file */ };

/* --- looking ------------------------------------------------------------------------------------------ */

/* Every file is looked at; one that cannot be read gives a line, and the status is 2 in the end. */
static int info(et_cli *cli)
{
    int status = ET_EXIT_OK;

    for (int i = 0; i < et_cli_operands(cli); i++)
        if (music_info(et_cli_operand(cli, i)) < 0) {
            int failure = et_cli_fail(cli);

            if (status != ET_EXIT_FAILURE)
                status = failure;
            et_error_clear();
        }
    return status;
}

static int midi(et_cli *cli)
{
    et_midi *m = et_midi_read(et_cli_operand(cli, 0));

    if (!m)
        return et_cli_fail(cli);
    music_print_midi(et_cli_operand(cli, 0), m, et_cli_int(cli, "notes"));
    et_midi_free(m);
    return ET_EXIT_OK;
}

/* A slip of the hand must not cost the file that is read. */
static et_status check_out(const et_cli *cli)
{
    const char *in = et_cli_operand(cli, 0), *out = et_cli_text(cli, "out");
    struct stat a, b;

    if (stat(in, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return et_raise(ET_EINVAL, "--out: %s is the file that is read", out);
    return ET_OK;
}

/* The sound as the front end wants it, from `begin` to `end` seconds (0: its end). */
static et_status read_part(const et_cli *cli, int64_t rate, et_audio *a, const float **samples, int64_t *n)
{
    const char *path = et_cli_operand(cli, 0);
    double begin = et_cli_real(cli, "begin"), end = et_cli_real(cli, "end");
    int64_t first, last;

    if (et_audio_read(path, a) < 0 || et_audio_to_mono(a) < 0 || et_audio_to_rate(a, rate) < 0)
        return et_error_status();
    first = (int64_t)(begin * (double)rate);
    last = end > 0 ? (int64_t)(end * (double)rate) : a->samples->shape[1];
    if (last > a->samples->shape[1])
        last = a->samples->shape[1];
    if (first >= last) {
        char to[48] = " on";
        if (end > 0)
            snprintf(to, sizeof to, " to --end %g", end);
        return et_raise(ET_EINVAL, "%s: nothing is left from --begin %g%s: it lasts %.2f s", path, begin, to,
                        (double)a->samples->shape[1] / (double)rate);
    }
    *samples = et_data_f32(a->samples) + first;
    *n = last - first;
    return ET_OK;
}

/* features [frames][bins] as a picture: time to the right, the lowest bin at the bottom. */
static et_status write_picture(const char *path, const float *features, int64_t frames, int64_t bins,
                               int64_t zoom)
{
    int64_t width = frames * zoom, height = bins * zoom;
    float *turned;
    uint8_t *png;
    size_t size;
    et_status status;

    if (width > MAX_WIDTH)
        return et_raise(ET_EINVAL,
                        "%s: %" PRId64
                        " frames are too many for a picture: choose a part with --begin and --end",
                        path, frames);
    turned = et_alloc_zero((size_t)width, (size_t)height * sizeof *turned);
    if (!turned)
        return et_error_status();
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            turned[y * width + x] = features[x / zoom * bins + y / zoom];
    png = et_matrix_png(height, width, turned, NAN, NAN, 1, ET_CMAP_EMBER, &size);
    et_dealloc(turned);
    status = png ? et_file_write(path, png, size) : et_error_status();
    et_dealloc(png);
    return status;
}

static et_status draw(et_cli *cli, const et_front_end *fe)
{
    int64_t n = 0, frames, bins = et_front_end_bins(fe);
    const char *out = et_cli_text(cli, "out");
    const float *samples = NULL;
    et_audio a = {NULL, 0};
    float *features = NULL;
    double lo, hi;
    et_status status = check_out(cli);

    if (status == ET_OK)
        status = read_part(cli, et_front_end_rate(fe), &a, &samples, &n);
    frames = status == ET_OK ? et_front_end_frames(fe, n) : 0;
    if (status == ET_OK && frames < 1)
        status = et_raise(ET_EINVAL, "%s: %" PRId64 " sample%s too few for a frame of %s",
                          et_cli_operand(cli, 0), n, n == 1 ? " is" : "s are", et_front_end_name(fe));
    if (status == ET_OK) {
        features = et_alloc_zero((size_t)frames, (size_t)bins * sizeof *features);
        status = features ? et_front_end_run(fe, samples, n, features) : et_error_status();
    }
    if (status == ET_OK)
        status = write_picture(out, features, frames, bins, et_cli_int(cli, "zoom"));
    if (status == ET_OK) {
        et_finite_range(frames * bins, features, &lo, &hi);
        et_text_print(stdout, out, 0);
        printf(": %s, %" PRId64 " frame%s of %" PRId64 " bins, %.2f s at %" PRId64
               " Hz, values %.2f to %.2f\n",
               et_front_end_name(fe), frames, et_plural(frames), bins, (double)n / (double)a.rate, a.rate, lo,
               hi);
    }
    et_dealloc(features);
    et_audio_free(&a);
    return status;
}

static int spectrogram(et_cli *cli)
{
    et_front_end *fe = et_front_end_new(et_cli_text(cli, "front-end"));
    et_status status = fe ? draw(cli, fe) : et_error_status();

    et_front_end_free(fe);
    return status == ET_OK ? ET_EXIT_OK : et_cli_fail(cli);
}

static int tokenize(et_cli *cli)
{
    if ((et_cli_text(cli, "vocab") && et_cli_refuse(cli, "size", "with --vocab")) ||
        music_tokenize(et_cli_operand(cli, 0), et_cli_text(cli, "vocab"), et_cli_text(cli, "merges"),
                       (int)et_cli_int(cli, "size")) < 0)
        return et_cli_fail(cli);
    return ET_EXIT_OK;
}

/* --- making --------------------------------------------------------------------------------------------- */

static et_wav_encoding encoding_of(const et_cli *cli)
{
    const char *word = et_cli_text(cli, "encoding");

    return strcmp(word, "float32") == 0 ? ET_WAV_FLOAT32
           : strcmp(word, "pcm24") == 0 ? ET_WAV_PCM24
                                        : ET_WAV_PCM16;
}

static int render(et_cli *cli)
{
    const char *out = et_cli_text(cli, "out");
    et_synth_options o = et_synth_defaults();
    et_midi *m;
    et_audio a = {NULL, 0};
    et_status status;

    if (et_cli_default_int(cli, "rate", o.rate) < 0 || et_cli_default_int(cli, "channels", o.channels) < 0)
        return et_cli_fail(cli);
    o.rate = et_cli_int(cli, "rate");
    o.channels = (int)et_cli_int(cli, "channels");
    o.reverb = et_cli_real(cli, "reverb");
    o.peak = et_cli_real(cli, "peak");
    o.begin = et_cli_real(cli, "begin");
    o.end = et_cli_real(cli, "end");
    o.tuning = et_cli_real(cli, "tuning");
    o.brightness = et_cli_real(cli, "brightness");
    o.seed = (uint64_t)et_cli_int(cli, "seed");
    m = check_out(cli) == ET_OK ? et_midi_read(et_cli_operand(cli, 0)) : NULL;
    status = m ? et_synth(m, &o, &a) : et_error_status();
    if (status == ET_OK)
        status = et_audio_write_wav(out, a.samples, a.rate, encoding_of(cli));
    if (status == ET_OK) {
        et_text_print(stdout, out, 0);
        printf(": %.2f s, %" PRId64 " note%s\n", (double)a.samples->shape[1] / (double)a.rate, m->n_notes,
               et_plural(m->n_notes));
    }
    et_audio_free(&a);
    et_midi_free(m);
    return status == ET_OK ? ET_EXIT_OK : et_cli_fail(cli);
}

/* A folder that is not there or empty, unless --overwrite says that it need not be. */
static et_status check_folder(const et_cli *cli, const char *dir)
{
    et_names names = {0};
    et_status status = ET_OK;

    if (!et_is_folder(dir) || et_cli_flag(cli, "overwrite"))
        return ET_OK;
    status = et_folder_names(dir, &names);
    if (status == ET_OK && names.n > 0)
        status = et_raise(ET_EINVAL, "%s is not empty; --overwrite writes there all the same", dir);
    et_names_free(&names);
    return status;
}

static int make_corpus(et_cli *cli)
{
    const char *dir = et_cli_operand(cli, 0);
    et_corpus_options o = et_corpus_defaults();
    et_collection *c = NULL;
    int64_t written = 0, all;
    et_status status = ET_OK;

    if (et_cli_default_int(cli, "songs", o.songs) < 0 || et_cli_default_int(cli, "clips", o.clips) < 0 ||
        et_cli_default_real(cli, "seconds", o.seconds) < 0 || et_cli_default_int(cli, "rate", o.rate) < 0 ||
        et_cli_default_int(cli, "channels", o.channels) < 0 ||
        et_cli_default_real(cli, "mixing", o.mixing) < 0 || et_cli_default_real(cli, "noise", o.noise) < 0 ||
        et_cli_default_real(cli, "overlap", o.overlap) < 0)
        return et_cli_fail(cli);
    o = (et_corpus_options){.songs = et_cli_int(cli, "songs"),
                            .clips = et_cli_int(cli, "clips"),
                            .seconds = et_cli_real(cli, "seconds"),
                            .rate = et_cli_int(cli, "rate"),
                            .channels = (int)et_cli_int(cli, "channels"),
                            .mixing = et_cli_real(cli, "mixing"),
                            .noise = et_cli_real(cli, "noise"),
                            .overlap = et_cli_real(cli, "overlap"),
                            .seed = (uint64_t)et_cli_int(cli, "seed")};
    status = check_folder(cli, dir);
    c = status == ET_OK ? et_corpus(&o) : NULL;
    if (status == ET_OK)
        status = c ? music_write_corpus(c, dir, &written) : et_error_status();
    all = c ? et_collection_size(c) : 0;
    et_collection_free(c);
    if (status < 0)
        return et_cli_fail(cli);
    et_text_print(stdout, dir, 0);
    printf(": %" PRId64 " of %" PRId64 " item%s, each as .wav and .mid%s\n", written, all, et_plural(all),
           written < all ? "; without its tables: begin again with --overwrite" : "");
    return written < all ? ET_EXIT_INTERRUPTED : ET_EXIT_OK;
}

/* --- the command line ----------------------------------------------------------------------------------- */

static const et_verb verbs[] = {
    {"info", "say what is in a file (sound, MIDI, .npy, .safetensors, .csv) or below a folder", "", "FILE...",
     1, MANY, info},
    {"spectrogram", "draw what a model sees of a sound, one pixel for each number",
     "out! front-end begin end zoom", "FILE", 1, 1, spectrogram},
    {"midi", "show the clock, tracks and notes of a MIDI file", "notes", "FILE", 1, 1, midi},
    {"render", "play a MIDI file with the built-in synthesizer into a WAV file",
     "out! rate channels encoding reverb peak begin end tuning brightness seed", "FILE", 1, 1, render},
    {"make-corpus", "write the built-in corpus as files: ten genres, with notes, tags and captions",
     "songs clips seconds rate channels mixing noise overlap seed overwrite", "DIR", 1, 1, make_corpus},
    {"tokenize", "cut a text into the pieces that models read", "vocab merges size", "TEXT", 1, 1, tokenize},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"out", ET_OPTION_TEXT, "PATH", NULL, 0, 0, "What to write"},
    {"notes", ET_OPTION_INT, "N", "0", 0, 1e9, "List the first N notes"},
    {"front-end", ET_OPTION_TEXT, "NAME", "won96", 0, 0,
     "Features: won96, ast128, laion64, ms64, mulan, vit129, rnn64, mel96, or a variant such as won96:power "
     "(a wrong name lists "
     "them all)"},
    {"zoom", ET_OPTION_INT, "N", "1", 1, 16, "Draw each number as N x N pixels"},
    {"rate", ET_OPTION_INT, "HZ", NULL, 4000, 192000,
     "Frames a second (default: 22050; of make-corpus the corpus's own)"},
    {"channels", ET_OPTION_INT, "N", NULL, 1, 2,
     "1: mono, 2: stereo (default: 2; of make-corpus the corpus's own)"},
    {"encoding", ET_OPTION_CHOICE, "pcm16|pcm24|float32", "pcm16", 0, 0, "Of the samples in the WAV file"},
    {"reverb", ET_OPTION_REAL, "X", "0.15", 0, 1, "Share of the room in the sound, up to 1"},
    {"peak", ET_OPTION_REAL, "X", "0.8", 0, 1, "Largest sample, up to 1 for full scale"},
    {"begin", ET_OPTION_REAL, "S", "0", 0, 1e6, "Second to begin with"},
    {"end", ET_OPTION_REAL, "S", "0", 0, 1e6, "Second to end with; 0: all of it"},
    {"tuning", ET_OPTION_REAL, "CENTS", "0", -1200, 1200, "Distance from a' = 440 Hz"},
    {"brightness", ET_OPTION_REAL, "X", "0", -1, 1, "From -1 (dull) to 1 (sharp)"},
    {"songs", ET_OPTION_INT, "N", NULL, 1, 100000, "Songs of each genre"},
    {"clips", ET_OPTION_INT, "N", NULL, 1, 100, "Items of each song"},
    {"seconds", ET_OPTION_REAL, "S", NULL, 0.5, 120, "Length of an item"},
    {"mixing", ET_OPTION_REAL, "P", NULL, 0, 1, "Chance that a part is written as another genre would"},
    {"noise", ET_OPTION_REAL, "X", NULL, 0, 1, "Noise, at 1 as loud as the music"},
    {"overlap", ET_OPTION_REAL, "X", NULL, 0, 1, "Another song underneath, at 1 as loud"},
    {"vocab", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Vocabulary: a piece a line as BERT's uncased models have it (vocab.txt), or with --merges RoBERTa's "
     "JSON; "
     "without it one is learned from the captions of the built-in corpus"},
    {"merges", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "Merges of a byte-level pair encoding"},
    {"size", ET_OPTION_INT, "N", "800", 5, 1000000, "Pieces of the vocabulary that is learned"},
    {"overwrite", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "Write into a folder that is not empty; the items and tables of a corpus that was made there go"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "music-data",
    .summary = "look at sounds, notes and texts, and make them",
    .about = "WAV, AU and AIFF files are read by the program itself; of other sounds (mp3, ogg, flac, ...) "
             "ffmpeg or sox "
             "makes something that it can read, where one of the two is installed.\n\n"
             "make-corpus without options writes what other programs learn from when they get no --data.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
