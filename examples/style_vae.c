/* style-vae: music written in a chosen style.
 *
 *     style-vae train [--data DIR]                        data -> model -> training -> report
 *     style-vae eval --out RUN [--data DIR]
 *     style-vae generate --out RUN --style reel           new pieces
 *     style-vae reconstruct --out RUN FILE.mid            a piece from its content and style
 *     style-vae transfer --out RUN FILE.mid --style air   the same content in another style
 *     style-vae interpolate --out RUN A.mid B.mid         from one piece to another
 *     style-vae collapse --out DIR                        posterior collapse, and its cure
 *     style-vae judge --out RUN                           how often a style is heard that was asked for
 *
 * The model is models/style_vae.c. */
#include "config.h"

#include <stdio.h>

#include "examples/common/cli.h"
#include "examples/common/run_train.h"
#include "examples/style_report.h"
#include "examples/style_train.h"
#include "examples/style_verbs.h"

/* --- training ------------------------------------------------------------------------------------------ */

static et_status load(const et_cli *cli, style_data *d)
{
    const style_source from = style_source_of(cli);
    const et_status status = style_data_load(&from, d);

    for (int64_t i = 0; i < d->skipped.n; i++)
        printf("left out: %s\n", d->skipped.items[i]);
    return status;
}

/* Judged on the validation data: the report. */
static et_status conclude(et_run *run, const style_data *d, const et_style_vae *m)
{
    style_verdict v = {0};
    et_status status = style_judge(m, d, &d->valid, &v);

    if (!status)
        status = style_report(run, d, &d->valid, &v, "validation", m, &d->ds->classes);
    if (!status) {
        style_verdict_print(&v, "validation");
        printf("report: %s\n", et_run_path(run, ET_RUN_REPORT));
    }
    style_verdict_free(&v);
    return status;
}

static int train(et_cli *cli)
{
    const bool resume = et_cli_flag(cli, "resume");
    et_style_vae *model = NULL;
    et_train_result result = {0};
    style_data d = {0};
    et_run *run = et_run_for_training(cli); /* which says what the data is of one that is gone on with */
    et_status status = run ? style_recipe_defaults(cli) : et_error_status();

    if (!status)
        status = load(cli, &d);
    if (!status)
        status = et_run_check_names(run, "styles", &d.ds->classes);
    if (!status)
        status = style_train(cli, run, &d, resume, &model, &result);
    if (!status && !result.interrupted)
        status = conclude(run, &d, model);
    const int code = et_run_exit(run, cli, status, &result);
    if (model)
        et_module_free(&model->module);
    style_data_free(&d);
    et_run_close(run);
    return code;
}

/* --- the command line ------------------------------------------------------------------------------ */

#define DATA_OPTIONS "data songs styles tracks longest most "
#define TRAINING_OPTIONS \
    DATA_OPTIONS "config seed threads epochs batch lr schedule transpose " STYLE_MODEL_NAMES
/* What verbs on a run take from it. */
#define OF_THE_RUN STYLE_MODEL_TAKEN "config@ "
#define DATA_OF_THE_RUN "songs@ styles@ longest@ most@ "
#define SAMPLING "temperature top-k beam greedy max-events draw to threads "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     TRAINING_OPTIONS "mu-forcing out resume overwrite profile", NULL, 0, 0, train},
    {"eval", "judge a trained model: all of --data, or the part of its own data that it did not learn from",
     OF_THE_RUN DATA_OF_THE_RUN "out! data threads", NULL, 0, 0, style_verb_eval},
    {"generate", "write new pieces in a style", OF_THE_RUN "out! style! count tries " SAMPLING, NULL, 0, 0,
     style_verb_generate},
    {"reconstruct", "write a piece again from its content and style", OF_THE_RUN "out! style " SAMPLING,
     "FILE.mid", 1, 1, style_verb_reconstruct},
    {"transfer", "write a piece's content in another style", OF_THE_RUN "out! style! " SAMPLING, "FILE.mid",
     1, 1, style_verb_transfer},
    {"interpolate", "go from the content of one piece to that of another",
     OF_THE_RUN "out! style steps " SAMPLING, "A.mid B.mid", 2, 2, style_verb_interpolate},
    {"judge",
     "generate pieces in every style and let an independent classifier judge them; histograms, copies, "
     "measures",
     OF_THE_RUN DATA_OF_THE_RUN "out! data count tries judge " SAMPLING, NULL, 0, 0, style_verb_judge},
    {"collapse",
     "train the same model without and with mu-forcing: what its content holds, in a figure and a table",
     TRAINING_OPTIONS "mu-forcing@ out! overwrite profile", NULL, 0, 0, style_verb_collapse},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder of MIDI files by style (DIR/STYLE/NAME.mid), perhaps with a manifest.csv that says groups and "
     "folds; without it the program learns from pieces in ten genres that it composes itself"},
    {"songs", ET_OPTION_INT, "N", "40", 5, 10000, "Songs of each genre of the built-in corpus"},
    {"styles", ET_OPTION_TEXT, "A,B,...", NULL, 0, 0,
     "The styles to learn, in this order; without it all that there are"},
    {"tracks", ET_OPTION_CHOICE, "melody|all", NULL, 0, 0,
     "Notes of a piece: those of its first track, or all but drums"},
    {"longest", ET_OPTION_INT, "N", NULL, 0, 100000, "Leave out segments of more events; 0: none"},
    {"most", ET_OPTION_INT, "N", "0", 0, 100000000,
     "Training segments of a style at most, drawn at random; 0: all"},
    {"config", ET_OPTION_CHOICE, "small|medium|paper", "small", 0, 0,
     "Sizes of model and training: small learns in a minute, medium is for real music on an ordinary "
     "computer, paper has the published sizes"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine|exponential", NULL, 0, 0,
     "The rate over time; exponential is the paper's, 0.95 every 5000 steps, not below 1e-4"},
    {"transpose", ET_OPTION_INT, "N", NULL, 0, 40,
     "Training batches are moved by up to N semitones up or down"},
    STYLE_MODEL_OPTIONS,
    {"style", ET_OPTION_TEXT, "NAME", NULL, 0, 0,
     "The style to write in; where it is not required: as the piece is heard"},
    {"count", ET_OPTION_INT, "N", "8", 1, 10000, "Pieces to write"},
    {"tries", ET_OPTION_INT, "N", NULL, 1, 64,
     "Draw each piece so often and keep the one in which the model's own style head hears the style best; 4, "
     "with --greedy, --beam and in models of labels 1"},
    {"steps", ET_OPTION_INT, "N", "7", 2, 1000, "Pieces on the way, both ends counted"},
    {"temperature", ET_OPTION_REAL, "X", "0.8", 0, 100,
     "Of the softmax that events are drawn from; 0: the likeliest"},
    {"greedy", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Always the likeliest event"},
    {"top-k", ET_OPTION_INT, "K", "0", 0, 1000,
     "Draw among the K likeliest classes of each group; 0: among all"},
    {"beam", ET_OPTION_INT, "N", "0", 0, 16, "Beam search of this width instead of drawing; 0: none"},
    {"max-events", ET_OPTION_INT, "N", "128", 1, 4096, "Longest piece (of a segment of four bars)"},
    {"draw", ET_OPTION_INT, "N", "1", 0, 9007199254740991.0, "Seed of what is drawn in writing"},
    {"judge", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Weights of a judge, trained on the data and written there if there are none; RUN/judge.safetensors "
     "without it"},
    {"to", ET_OPTION_TEXT, "DIR", NULL, 0, 0, "Folder for the files; RUN/VERB without it"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "style-vae",
    .summary = "music written in a chosen style by a variational autoencoder",
    .about =
        "It learns from segments of four bars what of them is style and what is content, and writes new "
        "ones: in a style that is asked for, with the content of a given piece, or on the way from one "
        "piece to another. What it writes stands as MIDI, WAV and piano roll (SVG) in a folder, and on "
        "a page with players.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
