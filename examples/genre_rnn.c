/* genre-rnn: music genres from a recurrent network that pays attention.
 *
 *     genre-rnn train [--data DIR]       data -> model -> training -> report; without DIR,
 *                                        the built-in corpus
 *     genre-rnn eval --out RUN [--data DIR]
 *     genre-rnn explain --out RUN        which moments decided?
 *
 * The model is models/rnn_attention.c; data and recipes are genre_data.c. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/augment.h"
#include "datasets/batch.h"
#include "examples/common/cli.h"
#include "examples/common/run_model.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/genre_data.h"
#include "examples/genre_judge.h"
#include "examples/genre_model.h"
#include "examples/genre_report.h"
#include "models/rnn_attention.h"
#include "nn/optim.h"

/* --- the model that the options describe ------------------------------------------------- */

static int word(const char *const *words, const char *w)
{
    int i = 0;

    while (strcmp(words[i], w) != 0)
        i++;
    return i;
}

/* The order of et_rnn_kind, et_score_kind and et_rnn_pooling. */
static const char *const cells[] = {"rnn", "relu", "gru", "lstm"};
static const char *const scores[] = {"additive", "dot", "general"};
static const char *const poolings[] = {"attention", "last", "mean"};

static et_rnn_attention_config model_config(const et_cli *cli, const et_dataset *ds)
{
    return (et_rnn_attention_config){
        .features = ds->x->shape[2],
        .hidden = et_cli_int(cli, "hidden"),
        .attention = et_cli_int(cli, "attention"),
        .classes = et_dataset_classes(ds),
        .cell = (et_rnn_kind)word(cells, et_cli_text(cli, "cell")),
        .bidirectional = et_cli_flag(cli, "bidirectional"),
        .score = (et_score_kind)word(scores, et_cli_text(cli, "score")),
        .attend_over_input = et_cli_flag(cli, "attend-input"),
        .pooling = (et_rnn_pooling)word(poolings, et_cli_text(cli, "pooling")),
        .input_dropout = et_cli_real(cli, "input-dropout"),
        .dropout = et_cli_real(cli, "dropout"),
    };
}

/* Which data --data and --table mean; config.json gets the table that was taken. */
static et_status choose_data(et_cli *cli, genre_kind *kind)
{
    const char *table = et_cli_text(cli, "table"), *dir = et_cli_text(cli, "data");

    if (dir ? et_cli_refuse(cli, "task songs", "with --data") : et_cli_refuse(cli, "table", "without --data"))
        return et_error_status();
    int found = genre_kind_of(dir, table, et_cli_text(cli, "task"));
    if (found < 0)
        return et_error_status();
    *kind = (genre_kind)found;
    if (*kind == GENRE_PLANTED && et_cli_refuse(cli, "songs", "with --task planted"))
        return et_error_status();
    return genre_is_made(*kind) ? ET_OK : et_cli_default(cli, "table", genre_kind_name(*kind));
}

/* The defaults that depend on the data, from its recipe; for a run that is gone on with, its config. */
static et_status recipe_defaults(et_cli *cli, genre_kind kind, const genre_prep *prep,
                                 const et_json_value *config)
{
    const genre_recipe *r = &genre_recipes[kind];
    const bool moves = !config || et_json_get(et_json_get(config, "options"), "shift");
    bool paper = strcmp(et_cli_text(cli, "config"), "paper") == 0;
    double lr = r->lr;

    if (strcmp(et_cli_text(cli, "cell"), "rnn") == 0)
        lr /= 2;
    et_cli_default_int(cli, "epochs", r->epochs);
    et_cli_default_int(cli, "batch", r->batch);
    et_cli_default_real(cli, "lr", lr);
    et_cli_default_int(cli, "hidden", paper ? 128 : r->hidden);
    et_cli_default_int(cli, "attention", paper ? 64 : r->attention);
    et_cli_default_int(cli, "members", r->members);
    et_cli_default_int(cli, "crop", r->crop);
    et_cli_default_int(cli, "shift", moves ? r->shift : 0); /* runs begun before there was this option */
    et_cli_default_real(cli, "colour", prep->colour);
    et_cli_default_real(cli, "dropout", paper && r->dropout == 0 ? 0.3 : r->dropout);
    et_cli_default_real(cli, "input-dropout", r->input_dropout);
    et_cli_default_real(cli, "mixup", r->mixup);
    et_cli_default_real(cli, "feature-shift", r->feature_shift);
    et_cli_default_real(cli, "smoothing", r->smoothing);
    et_cli_default_int(cli, "patience", r->patience);
    return et_error_status();
}

static et_module *make_rnn(const void *config, et_module *parent, const char *name, et_rng *rng)
{
    et_rnn_attention *m = et_rnn_attention_new(parent, name, config, rng);

    return m ? &m->module : NULL;
}

static et_tensor *ask_rnn(const et_module *m, et_tensor *x, et_tensor *lengths, et_tensor **alpha)
{
    return et_rnn_attention_forward((const et_rnn_attention *)m, x, lengths, alpha);
}

/* The model with its standardisation as buffers: input_mean and input_std [F]. */
static genre_model *build(const et_cli *cli, const et_dataset *ds)
{
    static const genre_network network = {true, make_rnn, ask_rnn};
    et_rnn_attention_config c = model_config(cli, ds);
    genre_model *m = genre_model_new(&network, &c, (int)et_cli_int(cli, "members"),
                                     (uint64_t)et_cli_int(cli, "seed"));

    if (m && genre_model_inputs(m, c.features)) {
        genre_model_free(m);
        return NULL;
    }
    return m;
}

/* --- training ------------------------------------------------------------------------------ */

/* What the training loop's callbacks work on. */
typedef struct job {
    et_cli *cli;
    genre_kind kind;
    genre_prep prep;
    et_dataset *ds;
    et_indices train_items, valid_items;
    genre_model *model;
    et_batches *batches;
    et_batch batch;      /* the step's */
    et_tensor *targets;  /* [B, K], its labels as probabilities */
    et_rng augment;      /* stream of the epoch */
    genre_verdict valid;
    et_run *run;
    et_run_loop loop;
} job;

enum { STREAM_AUGMENT = 1000 };

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    j->augment = et_rng_make((uint64_t)et_cli_int(j->cli, "seed"), STREAM_AUGMENT + (uint64_t)epoch);
    if (et_run_loop_epoch(&j->loop, epoch, et_batches_items(j->batches)))
        return et_error_status();
    return et_batches_start(j->batches, epoch);
}

/* How often the bands of a spectrum stand in a frame: with their changes. */
static int64_t channels(const genre_prep *prep) { return 1 + prep->flux + prep->roughness; }

/* Crops, moves, mixes and smooths a batch; targets [B, K] are probabilities then. */
static et_tensor *augment(job *j, et_batch *b)
{
    int64_t crop = et_cli_int(j->cli, "crop"), T = b->x->shape[1];
    double smoothing = et_cli_real(j->cli, "smoothing"), mixup = et_cli_real(j->cli, "mixup");
    const double shift = et_cli_real(j->cli, "feature-shift");
    const int64_t bands = et_cli_int(j->cli, "shift");

    if (crop > 0 && crop < T)
        b->x = et_augment_crop(b->x, b->lengths, crop, &j->augment);
    if (bands > 0 && b->x && et_augment_transpose(b->x, b->lengths, channels(&j->prep), bands, &j->augment))
        return NULL;
    if (shift > 0 && b->x && et_augment_feature_shift(b->x, b->lengths, shift, &j->augment))
        return NULL;
    et_tensor *targets = et_augment_one_hot(b->y, et_dataset_classes(j->ds), smoothing);
    if (!b->x || !targets || (mixup > 0 && et_augment_mixup(b->x, targets, b->lengths, mixup, &j->augment)))
        return NULL;
    return targets;
}

static int64_t next_batch(void *user)
{
    job *j = user;

    if (!et_batches_more(j->batches))
        return 0;
    if (et_batches_next(j->batches, &j->batch) || !(j->targets = augment(j, &j->batch)))
        return et_error_status();
    return j->batch.n;
}

/* L = -(1/N) sum_i sum_k y_ik ln p_ik, a sum over samples   (2.10) */
static et_tensor *batch_loss(void *user)
{
    job *j = user;

    return genre_model_loss(j->model, j->batch.x, j->batch.lengths, j->targets, NULL);
}

/* The validation loss chooses; with it come the figures of the log. */
static et_status validate(void *user, double *metric)
{
    job *j = user;
    et_status status = genre_judge(j->model, j->ds, (genre_inputs){0}, &j->valid_items, &j->valid);

    *metric = j->valid.loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;
    et_figure figures[GENRE_FIGURES + 3];

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    int n = genre_figures(&j->valid, true, figures);
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"lr", e->lr};
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  accuracy %.3f%s", e->loss, j->valid.loss,
                    j->valid.accuracy, e->improved ? "  best" : "");
    return et_run_loop_log(&j->loop, e, figures, n);
}

/* Standardises the data with the training part's statistics, which the model keeps. */
static et_status standardize(job *j)
{
    et_status status = genre_model_fit(j->model, j->ds, &j->train_items);

    return status ? status : genre_model_standardize(j->model, j->prep.clip, j->ds);
}

/* The trained model on the training and validation data: metrics.json and report.html. */
static et_status conclude(job *j)
{
    et_figure figures[GENRE_FIGURES];
    genre_verdict v = {0};
    et_status status = genre_judge(j->model, j->ds, (genre_inputs){0}, &j->train_items, &v);

    if (!status)
        status = et_run_metrics(j->run, "train", figures, genre_figures(&v, false, figures));
    if (!status)
        status = genre_judge(j->model, j->ds, (genre_inputs){0}, &j->valid_items, &v);
    if (!status)
        status = et_run_metrics(j->run, "valid", figures, genre_figures(&v, false, figures));
    if (!status)
        status = genre_report(j->run, j->kind, j->ds, &j->valid_items, &v, "validation", j->model);
    if (!status) {
        printf("validation: accuracy %.3f, macro F1 %.3f, loss %.3f", v.accuracy, v.f1_macro, v.loss);
        if (!isnan(v.attention_mass))
            printf(", attention on the event %.3f", v.attention_mass);
        printf("\nreport: %s\n", et_run_path(j->run, ET_RUN_REPORT));
    }
    genre_verdict_free(&v);
    return status;
}

/* Data, model, optimiser, loop. */
static et_status train_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    et_batch_options bo = {.size = et_cli_int(cli, "batch"), .shuffle = true,
                           .seed = (uint64_t)et_cli_int(cli, "seed")};
    et_json_writer w;

    bo.drop_last = j->train_items.n >= bo.size;
    j->model = build(cli, j->ds);
    if (!j->model || standardize(j))
        return et_error_status();
    j->batches = et_batches_new(j->ds, j->train_items.items, j->train_items.n, &bo);
    et_optim *opt = et_adamw_new(j->model->root, et_cli_real(cli, "lr"), et_cli_real(cli, "weight-decay"));
    bool begun = j->batches && opt && et_run_config_begin(j->run, cli, &w) == ET_OK;
    if (begun)
        genre_prep_write(&j->prep, &w);
    if (!begun || et_run_config_end(j->run, &w)) {
        et_optim_free(opt);
        return et_error_status();
    }
    printf("%lld training and %lld validation item%s of %lld frames, %lld features, %lld classes\n",
           (long long)j->train_items.n, (long long)j->valid_items.n, et_plural(j->valid_items.n),
           (long long)j->ds->x->shape[1], (long long)j->ds->x->shape[2],
           (long long)et_dataset_classes(j->ds));
    et_module_print(j->model->root, stdout);

    int64_t steps = et_batches_count(j->batches) * et_cli_int(cli, "epochs");
    et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"), .total = steps};
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                          .validate = validate};
    const et_train_options options = {
        .mixed = et_run_mixed(cli),
        .clip = genre_model_clip(j->model, genre_recipes[j->kind].clip_norm),
        .schedule = genre_recipes[j->kind].cosine ? &cosine : NULL,
        .patience = et_cli_int(cli, "patience"),
        .resume = et_cli_flag(cli, "resume"),
        .report = report,
    };
    j->loop = (et_run_loop){.cli = cli, .run = j->run};
    et_status status = et_run_loop_train(&j->loop, j->model->root, opt, &task, options, result);
    et_optim_free(opt);
    if (!status && !result->interrupted)
        status = conclude(j);
    return status;
}

/* What --colour says, where it is given. */
static et_status choose_colour(et_cli *cli, genre_kind kind, genre_prep *prep)
{
    if (!et_cli_given(cli, "colour"))
        return ET_OK;
    prep->colour = et_cli_real(cli, "colour");
    if (kind != GENRE_SEGMENTS && prep->colour > 0)
        return et_raise(ET_EINVAL, "--colour is for the features of segments: other data have no cepstra");
    return ET_OK;
}

/* Options of the attention where there is none, and the width of scores that have none: dot products. */
static et_status refuse_of_attention(const et_cli *cli)
{
    const char *pooling = et_cli_text(cli, "pooling"), *score = et_cli_text(cli, "score");

    if (strcmp(pooling, "attention") != 0)
        return et_cli_refuse(cli, "score attention attend-input", "with --pooling %s", pooling);
    return strcmp(score, "dot") == 0 ? et_cli_refuse(cli, "attention", "with --score dot") : ET_OK;
}

/* A run that is gone on with says how its data was prepared. */
static et_status load(job *j)
{
    const et_json_value *config = et_run_config(j->run);

    if (choose_data(j->cli, &j->kind) || refuse_of_attention(j->cli))
        return et_error_status();
    if (j->kind == GENRE_SEGMENTS && et_cli_given(j->cli, "shift") && et_cli_int(j->cli, "shift") > 0)
        return et_raise(ET_EINVAL, "--shift is for spectra: the features of segments are no bands");
    if (genre_prep_read(config, et_run_path(j->run, ET_RUN_CONFIG), j->kind, &j->prep) ||
        (!config && choose_colour(j->cli, j->kind, &j->prep)))
        return et_error_status();
    genre_source from = {j->kind, et_cli_text(j->cli, "data"), et_cli_int(j->cli, "songs")};
    return genre_load_train(&from, &j->prep, &j->ds, &j->train_items, &j->valid_items);
}

/* The run folder, which says what the data of a run is that is gone on with, and the data. */
static et_status open_job(job *j)
{
    if (!(j->run = et_run_for_training(j->cli)) || load(j) ||
        recipe_defaults(j->cli, j->kind, &j->prep, et_run_config(j->run)))
        return et_error_status();
    const int64_t shift = et_cli_int(j->cli, "shift"), bands = j->ds->x->shape[2] / channels(&j->prep);
    if (shift >= bands && shift > 0)
        return et_raise(ET_EINVAL, "--shift %lld: the spectra have %lld bands", (long long)shift,
                        (long long)bands);
    return ET_OK;
}

static int train(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = open_job(&j);

    if (!status)
        status = train_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    et_batches_free(j.batches);
    et_indices_free(&j.train_items);
    et_indices_free(&j.valid_items);
    genre_verdict_free(&j.valid);
    et_dataset_free(j.ds);
    genre_model_free(j.model);
    et_run_close(j.run);
    return code;
}

/* --- reading a run ----------------------------------------------------------------------------- */

/* A trained model and the data to judge it on, standardised as in training. */
typedef struct reading {
    et_run *run;
    genre_kind kind;
    genre_prep prep;
    et_dataset *ds;
    et_indices items;
    genre_model *model;
    genre_verdict v;
} reading;

static et_status open_reading(et_cli *cli, reading *s)
{
    s->run = et_run_for_reading(cli);
    if (!s->run)
        return et_error_status();
    if (choose_data(cli, &s->kind))
        return et_error_status();
    if (!genre_is_made(s->kind) && !et_json_get(et_json_get(et_run_config(s->run), "options"), "data"))
        return et_raise(ET_EINVAL, "%s learned the built-in task: judge it without --data",
                        et_run_dir(s->run));
    et_status status =
        genre_prep_read(et_run_config(s->run), et_run_path(s->run, ET_RUN_CONFIG), s->kind, &s->prep);
    if (!status)
        status = genre_load_test(&(genre_source){s->kind, et_cli_text(cli, "data"), et_cli_int(cli, "songs")},
                                 &s->prep, &s->ds, &s->items);
    if (!status)
        status = (s->model = build(cli, s->ds)) ? ET_OK : et_error_status();
    if (!status)
        status = genre_model_load(s->model, et_run_path(s->run, ET_RUN_BEST));
    if (!status) {
        et_module_eval(s->model->root);
        status = genre_model_standardize(s->model, s->prep.clip, s->ds);
    }
    return status ? status : genre_judge(s->model, s->ds, (genre_inputs){0}, &s->items, &s->v);
}

static void close_reading(reading *s)
{
    genre_verdict_free(&s->v);
    et_indices_free(&s->items);
    et_dataset_free(s->ds);
    genre_model_free(s->model);
    et_run_close(s->run);
}

static int eval(et_cli *cli)
{
    reading s = {0};
    et_figure figures[GENRE_FIGURES];
    et_status status = open_reading(cli, &s);
    const char *judged = status ? NULL : et_run_judged(s.run, cli);

    if (!status)
        status = et_run_metrics(s.run, judged, figures, genre_figures(&s.v, false, figures));
    if (!status)
        status = genre_report(s.run, s.kind, s.ds, &s.items, &s.v, judged, s.model);
    if (!status) {
        printf("%s: %lld item%s, accuracy %.3f, macro F1 %.3f, loss %.3f, attention entropy %.2f nats",
               judged, (long long)s.v.n, et_plural(s.v.n), s.v.accuracy, s.v.f1_macro, s.v.loss,
               s.v.attention_entropy);
        if (!isnan(s.v.attention_mass))
            printf(", attention on the event %.3f", s.v.attention_mass);
        printf("\nreport: %s\n", et_run_path(s.run, ET_RUN_REPORT));
    }
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* Prints the five strongest intervals of some items, and draws them: explain.html. */
static int explain(et_cli *cli)
{
    reading s = {0};
    const char *wanted = et_cli_text(cli, "item");
    int64_t left = et_cli_int(cli, "count");
    et_status status = open_reading(cli, &s);
    et_report *r = status ? NULL : et_report_new("What the attention listened to", NULL);

    for (int64_t i = 0; !status && i < s.v.n && left > 0; i++) {
        int32_t at = s.items.items[i];
        if (wanted && (s.ds->names.n <= at || strcmp(s.ds->names.items[at], wanted) != 0))
            continue;
        genre_print_item(stdout, s.kind, s.ds, &s.items, &s.v, i);
        genre_report_item(r, s.kind, s.ds, &s.items, &s.v, i);
        left--;
    }
    if (!status && wanted && left == et_cli_int(cli, "count"))
        status = et_raise(ET_EINVAL, "no item is called %s", wanted);
    status = et_run_page_end(r, s.run, "explain.html", status);
    close_reading(&s);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- the command line --------------------------------------------------------------------------- */

/* What eval and explain take from the run: its model, and which table it learned. */
#define OF_THE_RUN                                                                                        \
    "table@ task@ songs@ members@ cell@ score@ pooling@ bidirectional@ attend-input@ hidden@ attention@ " \
    "dropout@ input-dropout@ seed@ "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     "data table task songs config members cell score pooling bidirectional attend-input hidden attention "
     "dropout input-dropout seed threads epochs batch lr colour crop shift mixup feature-shift smoothing "
     "weight-decay precision patience out resume overwrite profile",
     NULL, 0, 0, train},
    {"eval", "judge a trained model on every item of the data", OF_THE_RUN "out! data threads",
     NULL, 0, 0, eval},
    {"explain", "show which moments the attention weighs most",
     OF_THE_RUN "out! data threads item count", NULL, 0, 0, explain},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder with the GTZAN tables (spec128x57.npy and tracks.csv, or features3_seq.csv); without it the "
     "program makes its data itself, see --task"},
    {"table", ET_OPTION_CHOICE, "auto|spectrogram|segments", "auto", 0, 0,
     "Which table of the folder: 57 frames of 128 bands in ten genres, or segments of 3 s with 53 features "
     "in five; auto takes the first that is there"},
    {"task", ET_OPTION_CHOICE, "corpus|planted", "corpus", 0, 0,
     "Without --data: pieces in ten genres that the program composes and plays, or noise in which one of six "
     "prototypes is hidden"},
    {"songs", ET_OPTION_INT, "N", "50", 5, 10000,
     "Songs of each genre in the corpus; two clips of 6 s are cut from each"},
    {"cell", ET_OPTION_CHOICE, "gru|lstm|rnn", "gru", 0, 0, "Recurrent cell"},
    {"score", ET_OPTION_CHOICE, "additive|dot|general", "additive", 0, 0, "How attention scores a frame"},
    {"pooling", ET_OPTION_CHOICE, "attention|last|mean", "attention", 0, 0,
     "What the classifier reads: the attended state, the last one, or the mean"},
    {"bidirectional", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Read the sequence in both directions"},
    {"attend-input", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "Attend over the frames themselves instead of the states"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the recurrent state"},
    {"attention", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the attention's hidden layer"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout on the attended state"},
    {"input-dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout on the frames"},
    {"crop", ET_OPTION_INT, "N", NULL, 0, 1000000, "Frames of a random crop in training; 0: all"},
    {"colour", ET_OPTION_REAL, "P", NULL, 0, 1,
     "Of segments: the part of a recording's colour that is taken off, the mean of each cepstral coefficient "
     "over the track; its mean level goes wholly. 0: neither"},
    {"shift", ET_OPTION_INT, "N", NULL, 0, 4096,
     "In training, spectra move up or down by up to N bands, as if in another key"},
    {"feature-shift", ET_OPTION_REAL, "S", NULL, 0, 100,
     "Shift each feature of each training sequence by S standard deviations times a normal draw; 0: none"},
    {"weight-decay", ET_OPTION_REAL, "X", "0", 0, 10, "Decoupled weight decay (AdamW)"},
    {"patience", ET_OPTION_INT, "N", NULL, 0, 1000000,
     "Stop after so many epochs without a better validation loss; 0: never"},
    GENRE_OPTIONS,
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "genre-rnn",
    .summary = "music genres from a recurrent network with attention",
    .about =
        "Without --data it learns the genres of pieces that it composes and plays itself, with --task "
        "planted to find prototypes hidden in noise. With the GTZAN tables it learns genres from "
        "recordings. Defaults of the training options depend on the data and are written to "
        "config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
