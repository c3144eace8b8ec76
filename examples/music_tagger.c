/* music-tagger: several tags for a piece of music, and what the model listens to.
 *
 *     music-tagger train [--data DIR] [--model spec-att] [--config paper]
 *                                                       data -> model -> training -> report
 *     music-tagger eval --out RUN [--data DIR]
 *     music-tagger explain --out RUN [--item NAME]      attention and contributions over time, with the sound
 *     music-tagger splice --out RUN [--first A --second B]
 *                                                       half of a quiet clip, half of a loud one
 *
 * The models are those of models/tagger.c; data and recipes are tagger_data.c, training tagger_train.c,
 * figures tagger_judge.c, maps tagger_maps.c, pictures tagger_report.c. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/folder.h"
#include "examples/common/cli.h"
#include "examples/common/runfolder.h"
#include "examples/common/run_model.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/tagger_batches.h"
#include "examples/tagger_judge.h"
#include "examples/tagger_maps.h"
#include "examples/tagger_measure.h"
#include "examples/tagger_model.h"
#include "examples/tagger_report.h"
#include "examples/tagger_splice.h"
#include "examples/tagger_train.h"

/* --- reading a run ------------------------------------------------------------------------------- */

typedef struct reading {
    et_run *run;
    tagger_data *d;
    et_indices items;
    const char *judged; /* which items these are */
    et_tagger *model;
    int64_t rows;
} reading;

static et_status open_reading(et_cli *cli, reading *s)
{
    int kind;

    if (!(s->run = et_run_for_reading(cli)))
        return et_error_status();
    const bool learned_data = et_json_get(et_json_get(et_run_config(s->run), "options"), "data") != NULL;
    if ((et_cli_text(cli, "data") != NULL) != learned_data)
        return et_raise(ET_EINVAL, "%s learned %s: judge it with%s --data", et_run_dir(s->run),
                        learned_data ? "data of a folder" : "what the program makes",
                        learned_data ? "" : "out");
    if (tagger_check_front(cli, &kind))
        return et_error_status();
    tagger_source from = tagger_source_of(cli);
    const char *cache = tagger_cache(cli, s->run);
    from.test = true;
    if (cache && !et_run_cache_fits(s->run, cli))
        cache = et_run_path(s->run, "features-test.cache");
    if (!(s->d = tagger_data_load(&from)) || tagger_align(s->run, s->d) ||
        tagger_data_cache(s->d, cache, (int)et_cli_int(cli, "workers")))
        return et_error_status();
    if (tagger_data_choose(s->d, et_cli_text(cli, "split"), &s->items, &s->judged))
        return et_error_status();
    if (!(s->model = tagger_build(cli, s->d)))
        return et_error_status();
    et_status status = et_run_load_weights(&s->model->module, et_run_path(s->run, ET_RUN_BEST));
    et_module_eval(&s->model->module);
    s->rows = et_cli_int(cli, "window");
    return status;
}

static void close_reading(reading *s)
{
    et_indices_free(&s->items);
    if (s->model)
        et_module_free(&s->model->module);
    tagger_data_free(s->d);
    et_run_close(s->run);
}

static void print_tags(const tagger_data *d, const tagger_verdict *v)
{
    printf("%-20s %7s %8s %8s\n", "tag", "items", "ROC-AUC", "AP");
    for (int64_t k = 0; k < v->tags; k++) {
        et_text_print(stdout, d->ds->tag_names.items[k], 20);
        if (isnan(v->tag_auc[k]))
            printf(" %7" PRId64 " %8s %8s\n", v->positives[k], "-", "-");
        else
            printf(" %7" PRId64 " %8.4f %8.4f\n", v->positives[k], v->tag_auc[k], v->tag_ap[k]);
    }
}

static int eval(et_cli *cli)
{
    reading s = {.rows = 0};
    tagger_verdict v = {0};
    et_status status = open_reading(cli, &s);

    if (!status)
        status = tagger_measure(cli, s.run, s.model, s.d, s.judged, &s.items, &v);
    if (!status)
        status = tagger_write_tags(s.run, s.d, &v);
    if (!status)
        status = tagger_report(s.run, s.d, &v, s.judged, s.model, s.rows);
    if (!status) {
        print_tags(s.d, &v);
        printf("%" PRId64 " item%s; ", v.n, et_plural(v.n));
        tagger_print_verdict(s.judged, &v, s.run);
    }
    tagger_verdict_free(&v);
    close_reading(&s);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}

/* --- what it listens to ----------------------------------------------------------------------------- */

/* The folder of pictures in the run's folder, made where it is not there. */
static const char *picture_folder(et_run *run)
{
    const char *folder = et_run_path(run, "pictures");

    return folder && et_folder_make(folder) == ET_OK ? folder : NULL;
}

/* Ends a page of pictures. */
static et_status end_pictures(et_report *r, et_run *run, const char *name, et_status status)
{
    if (!(status = et_run_page_end(r, run, name, status)))
        printf("pictures: %s\n", et_run_path(run, "pictures"));
    return status;
}

static et_status explain_item(reading *s, et_report *r, int64_t item, const char *folder)
{
    et_scope *scope = et_scope_open();
    tagger_clip clip;
    tagger_maps maps = {.steps = 0};
    char name[64];
    et_status status = tagger_item_clip(s->d, item, s->rows, &clip);

    clip.name = tagger_data_name(name, s->d, item);
    if (!status)
        status = tagger_maps_make(s->model, clip.x, &maps);
    if (!status)
        status = tagger_report_clip(r, stdout, s->d, &clip, &maps, NULL, -1, folder);
    tagger_maps_free(&maps);
    et_audio_free(&clip.sound);
    if (scope)
        et_scope_close(scope);
    return status;
}

/* Prints and draws what some items are tagged for: explain.html and pictures. */
static int explain(et_cli *cli)
{
    reading s = {.rows = 0};
    const char *wanted = et_cli_text(cli, "item"), *folder = NULL;
    int64_t left = et_cli_int(cli, "count"), shown = 0;
    et_status status = open_reading(cli, &s);
    et_report *r = status ? NULL : et_report_new("What the tagger listens to", NULL);

    if (!status && !(folder = picture_folder(s.run)))
        status = et_error_status();
    for (int64_t i = 0; !status && i < s.items.n && shown < left; i++) {
        char name[64];
        if (wanted && strcmp(tagger_data_name(name, s.d, s.items.items[i]), wanted) != 0)
            continue;
        status = explain_item(&s, r, s.items.items[i], folder);
        shown++;
    }
    if (!status && wanted && shown == 0)
        status = et_raise(ET_EINVAL, "no item is called %s", wanted);
    status = end_pictures(r, s.run, "explain.html", status);
    close_reading(&s);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}

/* The tag of an option, by name. */
static et_status find_tag(const et_cli *cli, const char *option, const tagger_data *d, int64_t *tag)
{
    const char *name = et_cli_text(cli, option);
    char all[400];

    *tag = et_names_find(&d->ds->tag_names, name);
    return *tag >= 0 ? ET_OK : et_raise(ET_EINVAL, "--%s: the run does not know %s; it knows %s", option,
                                        name, et_text_list(all, sizeof all, &d->ds->tag_names));
}

/* The item of an option, by name. */
static et_status find_item(const tagger_data *d, const char *wanted, int64_t *item)
{
    char name[64];

    for (int64_t i = 0; i < et_dataset_size(d->ds); i++)
        if (strcmp(tagger_data_name(name, d, i), wanted) == 0) {
            *item = i;
            return ET_OK;
        }
    return et_raise(ET_EINVAL, "no item is called %s", wanted);
}

/* Half of a quiet clip and half of a loud one, or of others: splice.html and pictures. */
static int splice(et_cli *cli)
{
    static const char *const sides[2] = {"first", "second"};
    reading s = {.rows = 0};
    tagger_verdict v = {0};
    int64_t tags[2] = {0, 0}, items[2] = {0, 0};
    tagger_batches *b = NULL;
    const char *folder = NULL;
    et_status status = open_reading(cli, &s);

    if (!status)
        status = find_tag(cli, "tag", s.d, &tags[0]);
    if (!status)
        status = find_tag(cli, "against", s.d, &tags[1]);
    const bool choose = !et_cli_text(cli, "first") || !et_cli_text(cli, "second");
    const tagger_batch_options o = tagger_judging(cli);
    if (!status && choose)
        status = (b = tagger_batches_new(s.d, &s.items, &o)) ? tagger_judge(s.model, s.d, b, &v)
                                                             : et_error_status();
    for (int k = 0; !status && k < 2; k++)
        status = et_cli_text(cli, sides[k])
                     ? find_item(s.d, et_cli_text(cli, sides[k]), &items[k])
                     : tagger_splice_choose(s.model, s.d, &v, k, tags[k], tags[1 - k], s.rows, &items[k]);
    et_report *r = status ? NULL : et_report_new("Two clips, spliced",
                                                 "The first half of one and the second half of another: "
                                                 "where does the model hear what each is tagged?");
    if (!status && !(folder = picture_folder(s.run)))
        status = et_error_status();
    if (!status)
        status = tagger_splice(r, stdout, s.model, s.d, items, tags, s.rows, folder);
    status = end_pictures(r, s.run, "splice.html", status);
    tagger_verdict_free(&v);
    tagger_batches_free(b);
    close_reading(&s);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}

/* --- the command line ----------------------------------------------------------------------------------- */

#define MODEL_OPTIONS \
    "model channels width layers heads hidden wide dropout out-dropout learned-cls window chunks "
#define OF_THE_RUN                                                                                   \
    "task@ songs@ lists tags model@ config@ channels@ width@ layers@ heads@ hidden@ wide@ dropout@ " \
    "out-dropout@ "                                                                                  \
    "learned-cls@ seed@ window chunks cache workers "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     "data task songs lists tags config seed threads workers cache epochs batch lr weight-decay schedule "
     "switch-eps patience mixup speed place gain noise precision "
     MODEL_OPTIONS "out resume overwrite profile", NULL, 0, 0, tagger_train},
    {"eval", "judge a trained model: every tag, and their means", OF_THE_RUN "out! data split threads", NULL,
     0, 0, eval},
    {"explain", "show what the model listens to: attention and contributions over time, with the sound",
     OF_THE_RUN "out! data split threads item count", NULL, 0, 0, explain},
    {"splice", "show what it hears in half of a quiet clip and half of a loud one, or of others",
     OF_THE_RUN "out! data split threads tag against first second", NULL, 0, 0, splice},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder: MagnaTagATune (annotations_final.csv and clips), clips of a list (--lists), rendered "
     "excerpts (clips.csv), spoken digits (files.csv); data that the program makes without it"},
    {"task", ET_OPTION_CHOICE, "corpus|patterns|tones", "corpus", 0, 0,
     "Without --data: pieces that the program composes and plays, planted patterns in spectrograms, or tones "
     "in noise"},
    {"songs", ET_OPTION_INT, "N", "48", 5, 10000,
     "Songs of each genre in the corpus; two clips of 6 s are cut from each"},
    {"lists", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "A table of clips (columns clip, split, tags): those to be taken"},
    {"tags", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Names of the tags to be taken, a line each or a table with a column tag"},
    {"model", ET_OPTION_CHOICE, "spec-att|spec-cnn-p|spec-cnn-l|raw-att|raw-cnn-p|raw-cnn-l|sample-cnn",
     NULL, 0, 0, "Front end (mel spectra or samples) and back end"},
    {"channels", ET_OPTION_INT, "N", NULL, 1, 4096,
     "Channels of the front end's first layer; others in proportion"},
    {"width", ET_OPTION_INT, "N", NULL, 2, 65536, "Width of the encoder (att)"},
    {"layers", ET_OPTION_INT, "N", NULL, 1, ET_TAGGER_LAYERS, "Its layers"},
    {"heads", ET_OPTION_INT, "N", NULL, 1, 1024, "Its attention heads"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the hidden layer of its perceptrons"},
    {"wide", ET_OPTION_INT, "N", NULL, 1, 65536, "Channels of the back end (cnn-p, cnn-l)"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout in the encoder"},
    {"out-dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout before the classifier"},
    {"learned-cls", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "The vector at which the encoder answers is learned, not fixed"},
    {"window", ET_OPTION_INT, "N", NULL, 9, 10000000,
     "Frames (16 ms) or samples (16 kHz) that the model reads: a random stretch in training. 1024 or 262440 "
     "are 16.4 s"},
    {"chunks", ET_OPTION_INT, "N", NULL, 1, 1024,
     "Evenly spaced stretches of an item that are judged and averaged"},
    {"cache", ET_OPTION_TEXT, "FILE|none", NULL, 0, 0,
     "Keeps the features of all sounds; none: they are computed anew in the background. Default: in the "
     "run folder"},
    {"workers", ET_OPTION_INT, "N", "2", 0, 256, "Background threads that read sounds"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine|paper|swats|plateau", NULL, 0, 0,
     "Adam at a constant rate or one that falls along a cosine after a warm-up; the paper's: half of the "
     "epochs Adam, then SGD at 10, 1 and 0.1 times its rate, each from the best weights so far; Adam until "
     "SWATS goes over to SGD; or SampleCNN's: SGD at five rates, each a fifth of the one before, from the "
     "best weights so far (--patience)"},
    {"patience", ET_OPTION_INT, "N", NULL, 1, 1000000,
     "Epochs without a better validation, after which the schedule plateau takes the next rate or ends"},
    {"switch-eps", ET_OPTION_REAL, "X", NULL, 1e-15, 1e6,
     "How well SWATS must know the rate of SGD before it takes it (its paper: 1e-9)"},
    {"weight-decay", ET_OPTION_REAL, "X", NULL, 0, 10, "Weight decay"},
    {"mixup", ET_OPTION_REAL, "A", NULL, 0, 100, "Mixup with weights drawn from Beta(A, A); 0: none"},
    {"speed", ET_OPTION_REAL, "X", NULL, 0, 1,
     "Samples are played slower or faster by up to 1 + X in training"},
    {"place", ET_OPTION_CHOICE, "start|anywhere", NULL, 0, 0,
     "Where in the window a sound that is shorter begins in training"},
    {"gain", ET_OPTION_REAL, "DB", NULL, 0, 120,
     "Samples are softer or louder by up to DB decibels in training"},
    {"noise", ET_OPTION_REAL, "X", NULL, 0, 100,
     "White noise in training, up to X times the sound's root mean square"},
    {"precision", ET_OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0, "Of matrix products in training"},
    {"split", ET_OPTION_TEXT, "NAME", "auto", 0, 0,
     "Which items: a split of the data, \"all\", or \"auto\": the split test where there is one, else all"},
    {"item", ET_OPTION_TEXT, "NAME", NULL, 0, 0, "The item to explain, by name; the first ones without it"},
    {"count", ET_OPTION_INT, "N", "5", 1, 1000, "How many items to explain"},
    {"tag", ET_OPTION_TEXT, "TAG", "quiet", 0, 0, "The tag of the first half"},
    {"against", ET_OPTION_TEXT, "TAG", "loud", 0, 0, "The tag of the second half"},
    {"first", ET_OPTION_TEXT, "NAME", NULL, 0, 0, "The clip of the first half; the clearest one without it"},
    {"second", ET_OPTION_TEXT, "NAME", NULL, 0, 0, "The clip of the second half"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "music-tagger",
    .summary = "tags for music, and what the model listens to",
    .about =
        "Without --data it learns the tags of pieces that it composes and plays itself. --config paper is "
        "the paper's model and training. Defaults depend on data and configuration and are written to "
        "config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
