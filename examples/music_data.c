/* music-data: a look at sounds, notes and texts, and a way to make them.
 *
 *     music-data info FILE...
 *     music-data midi FILE
 *     music-data render FILE.mid -o x.wav */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "datasets/audio.h"
#include "datasets/synth.h"
#include "examples/common/cli.h"
#include "examples/music_info.h"

enum { MANY = 1000000 /* operands */ };

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

/* --- making --------------------------------------------------------------------------------------------- */

static et_wav_encoding encoding_of(const et_cli *cli)
{
    const char *word = et_cli_text(cli, "encoding");

    return strcmp(word, "float32") == 0 ? ET_WAV_FLOAT32 : strcmp(word, "pcm24") == 0 ? ET_WAV_PCM24 : ET_WAV_PCM16;
}

static int render(et_cli *cli)
{
    const char *out = et_cli_text(cli, "out");
    et_synth_options o = et_synth_defaults();
    et_midi *m;
    et_audio a = {NULL, 0};
    et_status status;

    o.rate = et_cli_int(cli, "rate");
    o.channels = (int)et_cli_int(cli, "channels");
    o.reverb = et_cli_real(cli, "reverb");
    o.peak = et_cli_real(cli, "peak");
    o.begin = et_cli_real(cli, "begin");
    o.end = et_cli_real(cli, "end");
    o.tuning = et_cli_real(cli, "tuning");
    o.brightness = et_cli_real(cli, "brightness");
    o.seed = (uint64_t)et_cli_int(cli, "seed");
    m = et_midi_read(et_cli_operand(cli, 0));
    status = m ? et_synth(m, &o, &a) : et_error_status();
    if (status == ET_OK)
        status = et_audio_write_wav(out, a.samples, a.rate, encoding_of(cli));
    if (status == ET_OK) {
        music_print_text(out);
        printf(": %.2f s, %" PRId64 " notes\n", (double)a.samples->shape[1] / (double)a.rate, m->n_notes);
    }
    et_audio_free(&a);
    et_midi_free(m);
    return status == ET_OK ? ET_EXIT_OK : et_cli_fail(cli);
}

/* --- the command line ----------------------------------------------------------------------------------- */

static const et_verb verbs[] = {
    {"info", "say what is in a file (sound, MIDI, .npy, .safetensors, .csv) or below a folder", "", "FILE...", 1, MANY,
     info},
    {"midi", "show the clock, tracks and notes of a MIDI file", "notes", "FILE", 1, 1, midi},
    {"render", "play a MIDI file with the built-in synthesizer into a WAV file",
     "out! rate channels encoding reverb peak begin end tuning brightness seed", "FILE", 1, 1, render},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"out", ET_OPTION_TEXT, "PATH", NULL, 0, 0, "What to write; short: -o"},
    {"notes", ET_OPTION_INT, "N", "0", 0, 1e9, "List the first N notes"},
    {"rate", ET_OPTION_INT, "HZ", "22050", 4000, 192000, "Frames a second"},
    {"channels", ET_OPTION_INT, "N", "2", 1, 2, "1: mono, 2: stereo"},
    {"encoding", ET_OPTION_CHOICE, "pcm16|pcm24|float32", "pcm16", 0, 0, "Of the samples in the WAV file"},
    {"reverb", ET_OPTION_REAL, "X", "0.15", 0, 1, "Share of the room in the sound, up to 1"},
    {"peak", ET_OPTION_REAL, "X", "0.8", 0, 1, "Largest sample, up to 1 for full scale"},
    {"begin", ET_OPTION_REAL, "S", "0", 0, 1e6, "Second of the piece to begin with"},
    {"end", ET_OPTION_REAL, "S", "0", 0, 1e6, "Second of the piece to end with; 0: all of it"},
    {"tuning", ET_OPTION_REAL, "CENTS", "0", -1200, 1200, "Distance from a' = 440 Hz"},
    {"brightness", ET_OPTION_REAL, "X", "0", -1, 1, "From -1 (dull) to 1 (sharp)"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "music-data",
    .summary = "look at sounds, notes and texts, and make them",
    .about = "WAV, AU and AIFF files are read by the program itself; of other sounds (mp3, ogg, flac, ...) ffmpeg or sox "
             "makes something that it can read, where one of the two is installed.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
