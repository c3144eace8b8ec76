/* genre-vit: music genres from patches of spectrograms.
 *
 *     genre-vit train [--data DIR] [--config paper]    data -> model -> training -> report
 *     genre-vit eval --out RUN [--data DIR]
 *     genre-vit explain --out RUN                      which patches decided?
 *     genre-vit ablate [--data DIR]                    the paper's choices beside others, one table
 *
 * The model is models/vit.c. Data and recipes are in vit_data.c, recordings in vit_sounds.c, training in
 * vit_train.c and vit_folds.c, the table in vit_ablate.c, eval and explain in vit_read.c, pictures in
 * vit_report.c. */
#include "config.h"

#include "examples/vit_read.h"
#include "examples/vit_train.h"

#define MODEL_OPTIONS \
    "members pooling image-height image-width transpose patch-height patch-width step-height step-width " \
    "width blocks heads head-width hidden acts head1 head2 dropout head-dropout drop-path window frames " \
    "centre "
#define TRAINING_OPTIONS \
    "data cache task config seed threads epochs batch lr weight-decay schedule clip mixup smoothing shift " \
    "equalise precision standardize folds split "
/* What eval and explain take from the run. */
#define OF_THE_RUN \
    "task@ members@ pooling@ image-height@ image-width@ transpose@ patch-height@ patch-width@ step-height@ " \
    "step-width@ width@ blocks@ heads@ head-width@ hidden@ acts@ head1@ head2@ dropout@ head-dropout@ " \
    "drop-path@ window@ frames@ centre@ standardize@ seed@ "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder", TRAINING_OPTIONS MODEL_OPTIONS
     "fold keep recompute out resume overwrite profile", NULL, 0, 0, vit_train},
    {"eval", "judge a trained model on every item of the data",
     OF_THE_RUN "out! data cache threads", NULL, 0, 0, vit_eval},
    {"explain", "show which patches the attention weighs most",
     OF_THE_RUN "out! data cache threads item count", NULL, 0, 0, vit_explain},
    {"ablate", "train variants of the model and compare them after the last epoch",
     TRAINING_OPTIONS MODEL_OPTIONS, NULL, 0, 0, vit_ablate},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder with GTZAN's spectrograms (spec128x57.npy and tracks.csv), or with a folder of sounds for "
     "each genre (blues/blues.00000.wav, ...); a built-in task without it"},
    {"cache", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Where the spectra of a folder of sounds are kept for the next time; a temporary file without it"},
    {"task", ET_OPTION_CHOICE, "corpus|waves", "corpus", 0, 0,
     "Without --data: the genres of pieces that the program composes and plays, or a sine along time or "
     "frequency in noise"},
    {"pooling", ET_OPTION_CHOICE, "flatten|mean|class|statistics", NULL, 0, 0,
     "What the head reads: all tokens side by side, their mean, a class token, or their mean and deviation"},
    {"image-height", ET_OPTION_INT, "N", NULL, 1, 4096,
     "Rows (time) of the image that spectrograms are resized to"},
    {"image-width", ET_OPTION_INT, "N", NULL, 1, 4096, "Its columns (frequency)"},
    {"transpose", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Time along the image's columns instead"},
    {"patch-height", ET_OPTION_INT, "N", NULL, 1, 4096, "Rows of a patch"},
    {"patch-width", ET_OPTION_INT, "N", NULL, 1, 4096, "Columns of a patch"},
    {"step-height", ET_OPTION_INT, "N", "0", 0, 4096,
     "Rows from a patch to the next; 0: patches side by side"},
    {"step-width", ET_OPTION_INT, "N", "0", 0, 4096, "Columns from a patch to the next"},
    {"width", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of a token"},
    {"blocks", ET_OPTION_INT, "N", NULL, 1, 64, "Encoder blocks"},
    {"heads", ET_OPTION_INT, "N", NULL, 1, 1024, "Attention heads of a block"},
    {"head-width", ET_OPTION_INT, "N", NULL, 0, 65536,
     "Width of a head; 0: the heads share the token's width"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the hidden layer of a block's perceptron"},
    {"acts", ET_OPTION_INT, "N", NULL, 1, 2,
     "GELU behind the first of its layers alone (1) or behind both (2)"},
    {"head1", ET_OPTION_INT, "N", NULL, 0, 65536, "Width of the head's first hidden layer; 0: none"},
    {"head2", ET_OPTION_INT, "N", NULL, 0, 65536, "Width of its second; 0: none"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the blocks"},
    {"head-dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the head"},
    {"drop-path", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Chance that an item skips a branch of the last block"},
    {"recompute", ET_OPTION_INT, "N", "0", 0, 64,
     "Blocks, from the first, whose insides backward computes again instead of keeping them: less memory, "
     "more time"},
    {"window", ET_OPTION_INT, "N", "0", 0, 100000,
     "Frames that the model sees: random ones in training, three such windows of an item in judging; 0: all"},
    {"frames", ET_OPTION_CHOICE, "stretch|spread", NULL, 0, 0,
     "Which they are: a stretch of the item, or single ones from all of it, in their order"},
    {"centre", ET_OPTION_CHOICE, "track|bands", NULL, 0, 0,
     "What is taken off the levels of GTZAN's spectrograms: a track's mean level, or the mean of each of its "
     "bands, so that only what changes in a band is left of them"},
    {"shift", ET_OPTION_INT, "N", NULL, 0, 4096,
     "In training, spectra move up or down by up to N bands, as if in another key"},
    {"equalise", ET_OPTION_REAL, "X", "0", 0, 100,
     "In training, a random smooth curve along frequency, four cosines of up to X each, is added to the "
     "levels"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine", NULL, 0, 0,
     "The rate over time; cosine begins with a warm-up"},
    {"clip", ET_OPTION_REAL, "X", NULL, 0, 1e6, "Clip a member's gradient to this norm; 0: not"},
    {"weight-decay", ET_OPTION_REAL, "X", NULL, 0, 10, "Decoupled weight decay (AdamW)"},
    {"standardize", ET_OPTION_CHOICE, "segment|training", "segment", 0, 0,
     "What levels of sounds are standardised with: each segment's own mean and deviation, or those of each "
     "bin in the training part"},
    {"folds", ET_OPTION_INT, "N", NULL, 0, 1000,
     "Parts that the data are cut into, one of them held out; 0: the data's own split"},
    {"fold", ET_OPTION_TEXT, "K,...", "0,1", 0, 0,
     "Which of them are held out, one after the other, in a run for each"},
    {"keep", ET_OPTION_CHOICE, "loss|accuracy", NULL, 0, 0,
     "The epoch that is kept: that of the least validation loss, or of the greatest accuracy a segment"},
    {"split", ET_OPTION_CHOICE, "track|segment", "track", 0, 0,
     "Whether folds keep the segments of a track together"},
    GENRE_OPTIONS,
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "genre-vit",
    .summary = "music genres from patches of spectrograms",
    .about =
        "Without --data it learns a task that it makes itself. With GTZAN's spectrograms or a folder of "
        "recordings it learns genres; a recording is cut into segments of 5.94 s. "
        "--config paper is the paper's model and training. Defaults depend on data and configuration "
        "and are written to config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
