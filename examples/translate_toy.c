/* translate-toy: the Transformer on two small tasks of translation.
 *
 *     translate-toy train                       sequences of eight symbols, to be reversed
 *     translate-toy train --data DIR            MusicCaps: a sentence from a list of aspects
 *     translate-toy eval --out RUN [--beam N]
 *     translate-toy translate --out RUN TEXT...
 *
 * The model is models/transformer.c; data are made in translate_data.c, judged in translate_judge.c. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "datasets/batch.h"
#include "examples/common/cli.h"
#include "examples/common/run_model.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/translate_judge.h"
#include "nn/optim.h"
#include "nn/train.h"
#include "tensor/alloc.h"

#define VOCABULARY "vocab.txt"

enum { REVERSALS = 6400, REVERSALS_HELD = 500, SHOWN = 8 };

/* --- what the options say ----------------------------------------------------------------------- */

static et_status recipe_defaults(et_cli *cli)
{
    const bool text = et_cli_text(cli, "data") != NULL, paper = strcmp(et_cli_text(cli, "config"),
                                                                       "paper") == 0;
    const struct { const char *name; int64_t reverse, text, paper; } ints[] = {
        {"width", 32, 64, 512}, {"hidden", 64, 128, 2048}, {"heads", 4, 4, 8}, {"layers", 2, 2, 6},
        {"epochs", 8, 30, 30}, {"batch", 64, 32, 32}, {"warmup", 200, 400, 4000}};

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        et_cli_default_int(cli, ints[i].name,
                           paper && i < 4 ? ints[i].paper : paper && i == 6 ? ints[i].paper : text
                           ? ints[i].text : ints[i].reverse);
    et_cli_default_real(cli, "lr", paper ? 1 : 0.5);
    return et_cli_default_real(cli, "dropout", text || paper ? 0.1 : 0);
}

/* words: the vocabulary of a run that there is; NULL: one is learned. */
static translate_data *load_data(const et_cli *cli, const char *words)
{
    const char *dir = et_cli_text(cli, "data");

    return dir ? translate_captions(dir, words, et_cli_int(cli, "vocabulary"), et_cli_int(cli, "length"))
               : translate_reversals(REVERSALS, REVERSALS_HELD, (uint64_t)et_cli_int(cli, "seed"));
}

static et_encoder_decoder *build(const et_cli *cli, int64_t vocabulary, int64_t length)
{
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), 1);
    const et_encoder_decoder_config c = {
        .vocabulary = vocabulary,
        .width = et_cli_int(cli, "width"),
        .hidden = et_cli_int(cli, "hidden"),
        .heads = (int)et_cli_int(cli, "heads"),
        .encoder_layers = (int)et_cli_int(cli, "layers"),
        .decoder_layers = (int)et_cli_int(cli, "layers"),
        .max_length = length,
        .dropout = et_cli_real(cli, "dropout"),
        .pre_norm = et_cli_flag(cli, "pre-norm"),
    };

    return et_encoder_decoder_new(NULL, NULL, &c, &rng);
}

static et_translate_options greedily(translate_marks marks)
{
    return (et_translate_options){.begin = marks.begin, .end = marks.end, .beam = 1};
}

static et_translate_options by_beam(const et_cli *cli, translate_marks marks)
{
    et_translate_options how = greedily(marks);

    how.beam = et_cli_int(cli, "beam");
    how.length_penalty = et_cli_real(cli, "length-penalty");
    return how;
}

/* --- training ------------------------------------------------------------------------------------- */

typedef struct job {
    et_cli *cli;
    et_run *run;
    translate_data *data;
    et_encoder_decoder *model;
    translate_batch batch;
    int32_t *order; /* of this epoch */
    int64_t at;     /* items of it that were given out */
    translate_verdict valid;
    et_run_loop loop;
} job;

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    j->at = 0;
    et_batch_order(j->data->train.items, j->data->train.n, true, (uint64_t)et_cli_int(j->cli, "seed"), epoch,
                   j->order);
    return et_run_loop_epoch(&j->loop, epoch, j->data->train.n);
}

static int64_t next_batch(void *user)
{
    job *j = user;
    const int64_t size = et_cli_int(j->cli, "batch"), left = j->data->train.n - j->at,
                  n = left < size ? left : size;

    if (n < 1)
        return 0;
    if (translate_gather(j->data, j->order + j->at, n, &j->batch))
        return et_error_status();
    j->at += n;
    return n;
}

static et_tensor *batch_loss(void *user)
{
    const job *j = user;

    return et_encoder_decoder_loss(j->model, j->batch.source, j->batch.lengths, j->batch.target,
                                   j->data->marks.pad, et_cli_real(j->cli, "smoothing"));
}

static et_status validate(void *user, double *metric)
{
    job *j = user;
    const et_translate_options greedy = greedily(j->data->marks);
    const et_status status =
        translate_judge(j->model, j->data, &j->data->valid, et_cli_int(j->cli, "judge"), &greedy, &j->valid,
                        NULL);

    *metric = j->valid.loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  exact %.3f  BLEU %.3f%s", e->loss,
                    j->valid.loss, j->valid.exact, j->valid.bleu, e->improved ? "  best" : "");
    et_figure figures[6] = {{"train_loss", e->loss}, {"valid_loss", j->valid.loss},
                            {"valid_exact", j->valid.exact},
                            {"valid_bleu", j->valid.bleu}, {"lr", e->lr}};
    return et_run_loop_log(&j->loop, e, figures, 5);
}

/* --- judging ---------------------------------------------------------------------------------------- */

static et_status write_metrics(et_run *run, const char *section, const translate_verdict *v)
{
    const et_figure figures[] = {{"loss", v->loss}, {"perplexity", exp(v->loss)}, {"exact", v->exact},
                                 {"bleu", v->bleu},
                                 {"judged", (double)v->n}};

    return et_run_metrics(run, section, figures, sizeof figures / sizeof *figures);
}

/* The first pairs with what the model made of them, as a table of three columns. */
static et_status add_examples(et_report *r, const translate_data *d, const int32_t *results, int64_t n)
{
    static const char *const header[] = {"source", "wanted", "made"};
    char *cells[SHOWN * 3] = {NULL};
    et_status status = ET_OK;

    for (int64_t i = 0; i < n && status == ET_OK; i++) {
        const int64_t at = d->valid.items[i];
        cells[3 * i] = translate_text(d->words, d->source + at * d->S, d->lengths[at]);
        cells[3 * i + 1] = translate_text(d->words, d->target + at * d->T, d->wanted[at]);
        cells[3 * i + 2] = translate_text(d->words, results + i * (d->T - 1), d->T - 1);
        status = et_error_status();
    }
    if (status == ET_OK)
        et_report_table(r, "The first of the validation part.", 3, header, (int)n,
                        (const char *const *)cells);
    for (int64_t i = 0; i < n * 3; i++)
        et_dealloc(cells[i]);
    return status;
}

static et_status write_report(et_run *run, const et_encoder_decoder *m, const translate_data *d,
                              const translate_verdict *v, const int32_t *results)
{
    char exact[32], bleu[32], loss[32];
    et_report *r = et_report_new("Translation by a Transformer",
                                 "An encoder reads the source; a decoder writes the result token by token "
                                 "and looks at both.");

    snprintf(exact, sizeof exact, "%.3f", v->exact);
    snprintf(bleu, sizeof bleu, "%.3f", v->bleu);
    snprintf(loss, sizeof loss, "%.3f", v->loss);
    const et_key keys[] = {{"exact matches", exact, "whole sequences"}, {"BLEU", bleu, "of tokens"},
                           {"loss", loss, "nats a token"}};
    et_report_keys(r, keys, 3);
    if (et_run_log_rows(run) > 0) {
        et_report_section(r, "Learning");
        et_run_report_curves(r, run, "train_loss", "valid_loss", "loss");
        et_run_report_curves(r, run, NULL, "valid_bleu", "BLEU");
    }
    et_report_section(r, "Translations");
    if (add_examples(r, d, results, v->n < SHOWN ? v->n : SHOWN)) {
        et_report_free(r);
        return et_error_status();
    }
    return et_run_report_end(r, run, &m->module);
}

/* Judges the validation part and writes metrics.json and report.html. */
static et_status conclude(const et_cli *cli, et_run *run, const et_encoder_decoder *m,
                          const translate_data *d, const char *section, et_translate_options how)
{
    const int64_t most = et_cli_int(cli, "judge");
    int32_t *results = et_alloc_zero((size_t)most, (size_t)(d->T - 1) * sizeof *results);
    translate_verdict v;
    et_status status = results ? translate_judge(m, d, &d->valid, most, &how, &v, results)
                               : et_error_status();

    if (status == ET_OK)
        status = write_metrics(run, section, &v);
    if (status == ET_OK)
        status = write_report(run, m, d, &v, results);
    if (status == ET_OK)
        printf("%s, %s: loss %.3f (perplexity %.2f), %lld translation%s: exact %.3f, BLEU %.3f\nreport: %s\n",
               section, how.beam > 1 ? "beam" : "greedy", v.loss, exp(v.loss), (long long)v.n,
               et_plural(v.n), v.exact, v.bleu, et_run_path(run, ET_RUN_REPORT));
    et_dealloc(results);
    return status;
}

/* --- verbs ---------------------------------------------------------------------------------------------- */

static et_status run_training(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    const et_optim_options adam = {.kind = ET_ADAM, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-9};
    const et_schedule noam = {.kind = ET_SCHEDULE_NOAM, .lr = et_cli_real(cli, "lr"),
                              .warmup = et_cli_int(cli, "warmup"), .width = (double)et_cli_int(cli, "width")};
    et_optim *opt = et_optim_new(&j->model->module, &adam, NULL, 0);
    const et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                                .validate = validate};
    const et_train_options options = {
        .schedule = &noam,
        .resume = et_cli_flag(cli, "resume"),
        .report = report,
    };

    j->loop = (et_run_loop){.cli = cli, .run = j->run};
    const et_status status =
        opt ? et_run_loop_train(&j->loop, &j->model->module, opt, &task, options, result) : et_error_status();

    et_optim_free(opt);
    return status;
}

static et_status check_options(const et_cli *cli)
{
    return et_cli_text(cli, "data") ? ET_OK : et_cli_refuse(cli, "vocabulary length", "without --data");
}

/* Data and model come before config.json: what is wrong with them leaves no run behind. */
static et_status prepare(job *j)
{
    et_json_writer w;

    if (check_options(j->cli)) /* --data may be that of the run */
        return et_error_status();
    const bool goes_on = et_cli_flag(j->cli, "resume") && et_run_has_checkpoint(j->run);
    if (recipe_defaults(j->cli) ||
        !(j->data = load_data(j->cli, goes_on ? et_run_path(j->run, VOCABULARY) : NULL)))
        return et_error_status();
    const translate_data *d = j->data;
    j->model = build(j->cli, d->vocabulary, d->S > d->T ? d->S : d->T);
    j->order = et_alloc((size_t)d->train.n * sizeof *j->order);
    if (!j->model || !j->order || et_run_config_begin(j->run, j->cli, &w) || et_run_config_end(j->run, &w))
        return et_error_status();
    if (d->words && et_vocabulary_write(et_wordpiece_vocabulary(d->words), et_run_path(j->run, VOCABULARY)))
        return et_error_status();
    printf("%lld training and %lld validation pair%s, %lld tokens in the vocabulary\n", (long long)d->train.n,
           (long long)d->valid.n, et_plural(d->valid.n), (long long)d->vocabulary);
    et_module_print(&j->model->module, stdout);
    return ET_OK;
}

static int train(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = (j.run = et_run_for_training(cli)) ? prepare(&j) : et_error_status();

    if (status == ET_OK)
        status = run_training(&j, &result);
    if (status == ET_OK && !result.interrupted)
        status = conclude(cli, j.run, j.model, j.data, "valid", greedily(j.data->marks));
    const int code = et_run_exit(j.run, cli, status, &result);
    if (j.model)
        et_module_free(&j.model->module);
    et_dealloc(j.order);
    translate_data_free(j.data);
    et_run_close(j.run);
    return code;
}

/* The model with the run's best weights. */
static et_encoder_decoder *load_model(et_run *run, const et_cli *cli, int64_t vocabulary, int64_t length)
{
    et_encoder_decoder *m = build(cli, vocabulary, length);

    if (!m || et_run_load_weights(&m->module, et_run_path(run, ET_RUN_BEST))) {
        if (m)
            et_module_free(&m->module);
        return NULL;
    }
    et_module_eval(&m->module);
    return m;
}

/* The run, where the options that were given mean something. */
static et_run *open_reading(et_cli *cli)
{
    return et_cli_int(cli, "beam") == 1 && et_cli_refuse(cli, "length-penalty", "with --beam 1")
               ? NULL
               : et_run_for_reading(cli);
}

static int eval(et_cli *cli)
{
    et_run *run = open_reading(cli);
    if (run && et_cli_given(cli, "data") &&
        !et_json_get(et_json_get(et_run_config(run), "options"), "data"))
        et_raise(ET_EINVAL, "%s learned to reverse sequences: judge it without --data", et_run_dir(run));
    translate_data *d = et_error_status() ? NULL : load_data(cli, et_run_path(run, VOCABULARY));
    et_encoder_decoder *m = d ? load_model(run, cli, d->vocabulary, d->S > d->T ? d->S : d->T) : NULL;
    const et_status status = m ? conclude(cli, run, m, d, "test", by_beam(cli, d->marks))
                               : et_error_status();

    if (m)
        et_module_free(&m->module);
    translate_data_free(d);
    et_run_close(run);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* Prints what the model makes of one text. */
static et_status translate_one(const et_cli *cli, const et_encoder_decoder *m, const et_wordpiece *words,
                               const char *text)
{
    const int64_t S = m->config.max_length;
    const et_translate_options how = by_beam(cli, translate_marks_of(words));
    et_scope *scope = et_scope_open();
    et_tensor *row = et_zeros(ET_I32, ET_SHAPE(1, S));
    const int64_t n = row ? translate_read(words, text, S, et_data_mut(row)) : et_error_status();
    et_tensor *y = n > 0 ? et_encoder_decoder_translate(m, et_contiguous(et_slice(row, 1, 0, n, 1)), NULL,
                                                        &how) : NULL;
    char *made = y ? translate_text(words, et_data(y), y->shape[1]) : NULL;

    if (made)
        printf("%s\n", made);
    et_dealloc(made);
    if (scope)
        et_scope_close(scope);
    return et_error_status();
}

static int translate(et_cli *cli)
{
    et_run *run = open_reading(cli);
    const bool text = run && et_cli_text(cli, "data");
    const char *path = text ? et_run_path(run, VOCABULARY) : NULL;
    et_wordpiece *words = path ? et_wordpiece_read(path) : NULL;
    et_encoder_decoder *m = NULL;

    if (run && et_error_status() == ET_OK)
        m = load_model(run, cli, translate_vocabulary(words), text ? et_cli_int(cli, "length") : 10);
    et_status status = m ? ET_OK : et_error_status();
    for (int i = 0; status == ET_OK && i < et_cli_operands(cli); i++)
        status = translate_one(cli, m, words, et_cli_operand(cli, i));
    if (m)
        et_module_free(&m->module);
    et_wordpiece_free(words);
    et_run_close(run);
    return status ? et_cli_fail(cli) : ET_EXIT_OK;
}

/* --- the command line ------------------------------------------------------------------------------ */

#define MODEL_OPTIONS "width hidden heads layers pre-norm dropout vocabulary length "
#define OF_THE_RUN "width@ hidden@ heads@ layers@ pre-norm@ dropout@ vocabulary@ length@ seed@ "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     "data config seed threads epochs batch lr warmup smoothing judge " MODEL_OPTIONS
     "out resume overwrite profile", NULL, 0, 0, train},
    {"eval", "judge a trained model on the validation part",
     OF_THE_RUN "out! data threads judge beam length-penalty", NULL, 0, 0, eval},
    {"translate", "translate texts with a trained model", OF_THE_RUN "out! data@ threads beam length-penalty",
     "TEXT...", 1, 1000, translate},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder with MusicCaps (musiccaps.csv): captions from aspects; sequences of symbols to be reversed "
     "without it"},
    {"lr", ET_OPTION_REAL, "X", NULL, 1e-6, 100, "Factor of the Noam schedule's rate"},
    {"warmup", ET_OPTION_INT, "N", NULL, 1, 1000000, "Steps until that rate is greatest"},
    {"smoothing", ET_OPTION_REAL, "S", "0.1", 0, 0.9, "Label smoothing"},
    {"judge", ET_OPTION_INT, "N", "200", 1, 100000, "Translations that are made to judge by"},
    {"beam", ET_OPTION_INT, "N", "4", 1, 64, "Width of the beam; 1: greedy"},
    {"length-penalty", ET_OPTION_REAL, "A", "0.6", 0, 10,
     "A beam's results are compared by log p / ((5 + length) / 6)^A"},
    {"width", ET_OPTION_INT, "N", NULL, 2, 65536, "Width of a token"},
    {"hidden", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the feed-forward networks"},
    {"heads", ET_OPTION_INT, "N", NULL, 1, 1024, "Attention heads, which share the width"},
    {"layers", ET_OPTION_INT, "N", NULL, 1, 64, "Layers of the encoder, and of the decoder"},
    {"pre-norm", ET_OPTION_FLAG, NULL, NULL, 0, 0, "Norms in front of each sublayer instead of behind it"},
    {"dropout", ET_OPTION_REAL, "P", NULL, 0, 0.99, "Dropout"},
    {"vocabulary", ET_OPTION_INT, "N", "2000", 300, 100000,
     "Pieces of words that are learned from the texts"},
    {"length", ET_OPTION_INT, "N", "40", 4, 512, "Tokens that a text is cut to"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "translate-toy",
    .summary = "the Transformer on two small tasks of translation",
    .about =
        "Without --data it learns to reverse sequences of eight symbols (letters a to i on the command "
        "line). With MusicCaps it learns to write the first sentence of a clip's caption from the list "
        "of its aspects. --config paper is the original's base model.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
