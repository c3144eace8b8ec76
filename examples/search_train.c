/* The verb train of music-search: see search_train.h. */
#include "config.h"

#include "examples/search_train.h"

#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/batch.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/search_bases.h"
#include "examples/search_judge.h"
#include "examples/search_model.h"
#include "examples/search_report.h"
#include "models/two_tower.h"
#include "nn/optim.h"
#include "tensor/alloc.h"

enum { STREAM_SHORTEN = 9000 };

/* --- defaults ------------------------------------------------------------------------------------ */

static et_status defaults(et_cli *cli, search_kind kind)
{
    const char *config = et_cli_text(cli, "config");
    const bool small = strcmp(config, "small") == 0;
    et_two_tower_config c = et_two_tower_base();

    if (small) { /* towers of one's own, which begin from nothing */
        c.train_text = c.train_audio = ET_TWO_TOWER_ALL;
        c.tau = 2;
    } else if (et_two_tower_named(config, &c)) {
        return et_error_status();
    }
    et_cli_default(cli, "size", small ? "small" : "base");
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0, task = kind == SEARCH_TASK;
    et_cli_default_int(cli, "train-text", c.train_text);
    et_cli_default_int(cli, "train-audio", c.train_audio);
    et_cli_default_int(cli, "extra-text", c.extra_text);
    et_cli_default_int(cli, "extra-audio", c.extra_audio);
    et_cli_default_real(cli, "tau", c.tau);
    /* On few pairs [CLS] soon says the same of every caption, at a high TAU all the sooner. */
    et_cli_default(cli, "pooling", base || task ? "cls" : "mean");
    et_cli_default_int(cli, "embedding", base ? 128 : task ? 16 : 64);
    et_cli_default_int(cli, "tokens", base ? 128 : task ? 14 : 48);
    et_cli_default_int(cli, "words", task ? 64 : 1200);
    et_cli_default_int(cli, "epochs", base ? 80 : task ? 7 : 24);
    et_cli_default_int(cli, "batch", 32);
    et_cli_default_real(cli, "lr", base ? 3e-4 : task ? 1e-3 : 5e-4);
    et_cli_default(cli, "schedule", base || task ? "constant" : "cosine");
    et_cli_default_real(cli, "weight-decay", base || task ? 0 : 0.1);
    et_cli_default_int(cli, "patience", base ? 3 : 0);
    et_cli_default_real(cli, "shorten", 0);
    return et_error_status();
}

/* Options that say how data are made, or where features are kept, beside data that know of neither. */
static et_status refuse_of_data(const et_cli *cli, search_kind kind)
{
    if (et_cli_text(cli, "data") && et_cli_refuse(cli, "task songs", "with --data"))
        return et_error_status();
    if (kind == SEARCH_TASK)
        return et_cli_refuse(cli, "songs cache", "with --task S-XM");
    return kind == SEARCH_RENDERED ? et_cli_refuse(cli, "cache", "with data that come as spectra") : ET_OK;
}

/* The same of models. */
static et_status refuse_of_model(const et_cli *cli)
{
    const char *model = et_cli_text(cli, "model");

    if (et_cli_text(cli, "vocab") && et_cli_refuse(cli, "words", "with --vocab"))
        return et_error_status();
    if (strcmp(model, search_tags.name) == 0 &&
        et_cli_refuse(cli, "embedding tokens text-weights shorten", "with --model tags"))
        return et_error_status();
    if (strcmp(model, search_two_tower.name) != 0)
        return et_cli_refuse(cli, "train-text train-audio extra-text extra-audio attention-only pooling head "
                                  "loss scale tau checkpoint audio-weights base-memory",
                             "with --model %s", model);
    if (et_cli_int(cli, "extra-text") + et_cli_int(cli, "extra-audio") == 0 &&
        et_cli_refuse(cli, "attention-only", "without --extra-text or --extra-audio"))
        return et_error_status();
    return et_cli_int(cli, "train-text") == ET_TWO_TOWER_ALL &&
                   et_cli_int(cli, "train-audio") == ET_TWO_TOWER_ALL
               ? et_cli_refuse(cli, "base-memory", "where nothing of the towers is frozen")
               : ET_OK;
}

search_data *search_open_data(et_cli *cli, et_run *run, const search_input *input)
{
    const char *dir = et_cli_text(cli, "data");
    const char *cache = et_run_cache_fits(run, cli) ? et_cli_text(cli, "cache") : NULL;
    const et_run_data given = input ? et_run_data_given(run, cli) : ET_RUN_DATA_OWN;
    const bool whole = given != ET_RUN_DATA_OWN;
    const int kind = search_kind_of(dir, et_cli_text(cli, "task"));
    search_input fitting;

    if (kind < 0 || refuse_of_data(cli, (search_kind)kind))
        return NULL;
    if (!input) {
        const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;
        const search_network *network = search_network_named(et_cli_text(cli, "model"));
        if (!network || search_input_of((search_kind)kind, base ? network->front_end : NULL, &fitting))
            return NULL;
    }
    const search_input *in = input ? input : &fitting;
    if ((kind == SEARCH_TASK) != (in->front_end[0] == '\0')) {
        et_raise(ET_EINVAL, "%s: the model learned %s", dir ? dir : et_cli_text(cli, "task"),
                 kind == SEARCH_TASK ? "sounds, not S-XM" : "the task S-XM, not sounds");
        return NULL;
    }
    if (!cache && !(cache = et_run_path(run, whole ? "features-test.cache" : ET_RUN_FEATURES)))
        return NULL;
    if (given == ET_RUN_DATA_OTHER)
        printf("other data than what was learned from: all of it is judged\n");
    if (given == ET_RUN_DATA_UNKNOWN)
        printf("what was learned from is not at %s any more: nobody can tell whether these are other data; "
               "all of them are judged\n",
               et_json_get_string(et_json_get(et_run_config(run), "options"), "data", "?"));
    return search_data_load(&(search_source){(search_kind)kind, dir, et_cli_int(cli, "songs"), cache, whole},
                            in);
}

/* The vocabulary: a file's, or learned from the captions. */
static et_wordpiece *vocabulary(const et_cli *cli, et_run *run, const search_data *d)
{
    const char *path = search_words_given(cli, run);
    const int32_t size = (int32_t)et_cli_int(cli, "words");
    et_names captions = {0};
    et_wordpiece *w = NULL;

    if (path)
        return et_wordpiece_read(path);
    if (!search_captions_of(d, &d->train, &captions))
        w = et_wordpiece_new(d->from.kind == SEARCH_TASK ? et_vocabulary_of_words(&captions, size, 1)
                                                         : et_vocabulary_of_pieces(&captions, size, 2));
    et_names_free(&captions);
    return w;
}

/* --- the task of the training loop ------------------------------------------------------------------ */

typedef struct job {
    et_cli *cli;
    search_data *data;
    search_model *model;
    search_bases *bases; /* of what is frozen */
    et_run *run;
    int64_t size, epoch, at; /* of a batch; the current epoch, and how far it is */
    int32_t *order;      /* of the epoch's items */
    int64_t batch;       /* items of the step */
    search_verdict valid;
    double valid_loss;
    et_run_loop loop;
} job;

static uint64_t seed_of(const job *j) { return (uint64_t)et_cli_int(j->cli, "seed"); }

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    j->at = 0;
    j->epoch = epoch;
    et_batch_order(j->data->train.items, j->data->train.n, true, seed_of(j), epoch, j->order);
    return et_run_loop_epoch(&j->loop, epoch, j->data->train.n);
}

/* A last batch that is not full has fewer wrong pairs to tell apart: it is left out. */
static int64_t next_batch(void *user)
{
    job *j = user;

    if (j->at + j->size > j->data->train.n)
        return 0;
    j->at += j->size;
    return j->size;
}

/* uint8 [n, tags] of these items. */
static et_tensor *tags_of(const et_tensor *all, const int32_t *items, int64_t n)
{
    const int64_t L = all->shape[1];
    et_tensor *tags = et_empty(ET_U8, ET_SHAPE(n, L));
    uint8_t *out = tags ? et_data_mut(tags) : NULL;

    for (int64_t i = 0; out && i < n; i++)
        memcpy(out + i * L, (const uint8_t *)et_data(all) + items[i] * L, (size_t)L);
    return tags;
}

/* Goes on by n words, to the beginning of one. */
static const char *words_on(const char *p, int64_t n)
{
    for (p += strspn(p, " \t\n"); n > 0 && *p; n--) {
        p += strcspn(p, " \t\n");
        p += strspn(p, " \t\n");
    }
    return p;
}

/* A run of neighbouring words of a text, as likely to be long as short; released with et_dealloc. */
static char *some_words(const char *text, et_rng *rng)
{
    int64_t n = 0;

    for (const char *p = words_on(text, 0); *p; p = words_on(p, 1))
        n++;
    const int64_t take = n ? 1 + et_rng_below(rng, n) : 0;
    const char *from = words_on(text, n ? et_rng_below(rng, n - take + 1) : 0);
    const size_t bytes = (size_t)(words_on(from, take) - from);
    char *out = et_alloc(bytes + 1);
    if (out) {
        memcpy(out, from, bytes);
        out[bytes] = '\0';
    }
    return out;
}

/* Captions of items; with a generator some are cut to a few of their words, as prompts and queries are short.
 * What is in `own` is to be released. */
static et_status captions_of(const job *j, const int32_t *items, int64_t n, et_rng *rng,
                             const char **captions, char **own)
{
    const double chance = et_cli_real(j->cli, "shorten");

    for (int64_t i = 0; i < n; i++) {
        own[i] = NULL;
        captions[i] = j->data->captions.items[items[i]];
        if (rng && et_rng_uniform(rng) < chance)
            captions[i] = own[i] = some_words(captions[i], rng);
    }
    return et_error_status();
}

/* The loss of these items. */
static et_tensor *loss_of(job *j, const int32_t *items, int64_t n, et_rng *rng)
{
    const search_model *m = j->model;
    const char **captions = et_alloc((size_t)n * sizeof *captions);
    char **own = et_alloc_zero((size_t)n, sizeof *own);
    et_tensor *f = NULL, *g = NULL, *tags = NULL, *loss = NULL;
    search_texts texts;

    if (captions && own && !captions_of(j, items, n, rng, captions, own) &&
        !search_texts_of(m, n, captions, &texts)) {
        if (j->data->ds->tags)
            tags = tags_of(j->data->ds->tags, items, n);
        et_tensor *a = search_base_of_texts(j->bases, items, n, texts.ids->shape[1]);
        et_tensor *b = search_base_of_sounds(j->bases, items, n);
        if (!et_error_status()) {
            f = a ? m->network->text_rest(m->root, a, &texts) : m->network->text(m->root, &texts);
            g = b ? m->network->audio_rest(m->root, b)
                  : m->network->audio(m->root, search_sounds(j->data, items, n));
            loss = m->network->loss(m->root, f, g, tags);
        }
    }
    for (int64_t i = 0; own && i < n; i++)
        et_dealloc(own[i]);
    et_dealloc(own);
    et_dealloc((void *)captions);
    return loss;
}

static et_tensor *batch_loss(void *user)
{
    job *j = user;
    et_rng rng = et_rng_make(seed_of(j) + (uint64_t)j->epoch, STREAM_SHORTEN + (uint64_t)j->at);

    return loss_of(j, j->order + j->at - j->size, j->size, &rng);
}

/* The validation loss chooses, over batches of the training's size; with it comes what is found. */
static et_status validate(void *user, double *metric)
{
    job *j = user;
    const et_indices *items = &j->data->valid;
    const int64_t size = items->n < j->size ? items->n : j->size;
    double sum = 0;
    int64_t n = 0;
    et_status status = ET_OK;

    for (int64_t at = 0; at + size <= items->n && !status; at += size, n++) {
        et_scope *scope = et_scope_open();
        et_tensor *loss = scope ? loss_of(j, items->items + at, size, NULL) : NULL;
        status = loss ? ET_OK : et_error_status();
        sum += loss ? et_item(loss) : 0;
        if (scope)
            et_scope_close(scope);
    }
    search_verdict_free(&j->valid);
    *metric = j->valid_loss = sum / (double)n;
    return status ? status : search_judge(j->model, j->data, items, false, &j->valid);
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;
    et_figure figures[SEARCH_FIGURES + 4];

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    int n = search_figures(&j->valid, "valid_", figures);
    figures[n++] = (et_figure){"valid_loss", j->valid_loss};
    figures[n++] = (et_figure){"train_loss", e->loss};
    figures[n++] = (et_figure){"lr", e->lr};
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f  R@10 %.3f%s", e->loss, j->valid_loss,
                    j->valid.found.r_at_10, e->improved ? "  best" : "");
    return et_run_loop_log(&j->loop, e, figures, n);
}

/* --- a run -------------------------------------------------------------------------------------------- */

/* metrics.json and report.html. */
static et_status conclude(job *j)
{
    et_figure figures[SEARCH_FIGURES];
    search_verdict v = {0};
    et_status status = search_judge(j->model, j->data, &j->data->valid, true, &v);

    if (!status)
        status = et_run_metrics(j->run, "valid", figures, search_figures(&v, NULL, figures));
    if (!status)
        status = search_report(j->run, j->model, j->data, &j->data->valid, &v, "validation");
    if (!status)
        printf("validation: R@1 %.3f, R@10 %.3f, median rank %g among %lld; report: %s\n", v.found.r_at_1,
               v.found.r_at_10, v.found.median_rank, (long long)v.n, et_run_path(j->run, ET_RUN_REPORT));
    search_verdict_free(&v);
    return status;
}

static et_status write_config(job *j)
{
    et_json_writer w;

    if (et_run_config_begin(j->run, j->cli, &w))
        return et_error_status();
    search_model_describe(j->model, &w);
    return et_run_config_end(j->run, &w);
}

static et_status train_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    const search_data *d = j->data;
    const int64_t batch = et_cli_int(cli, "batch");

    j->size = batch < d->train.n ? batch : d->train.n;
    j->order = et_alloc((size_t)d->train.n * sizeof *j->order);
    j->model = j->order ? search_model_new(cli, &d->input, vocabulary(cli, j->run, d), &d->ds->tag_names)
                        : NULL;
    if (!j->model || et_names_copy(&j->model->genres, &d->ds->classes) ||
        (j->model->network->start && j->model->network->start(j->model->root, cli)))
        return et_error_status();
    et_optim *opt = et_adamw_new(j->model->root, et_cli_real(cli, "lr"), et_cli_real(cli, "weight-decay"));
    if (!opt || write_config(j) || search_words_write(j->model->words, j->run) ||
        !(j->bases = search_bases_open(j->model, d, j->run, cli))) {
        et_optim_free(opt);
        return et_error_status();
    }
    printf("%lld training and %lld validation pair%s; sounds of %lld frames and %lld bands, %lld words and "
           "pieces of words\n",
           (long long)d->train.n, (long long)d->valid.n, et_plural(d->valid.n), (long long)d->input.frames,
           (long long)d->input.bins, (long long)j->model->sizes.vocabulary);
    if (d->cache && et_feature_cache_broken(d->cache) > 0)
        printf("left out: %lld sound%s that cannot be read\n", (long long)et_feature_cache_broken(d->cache),
               et_plural(et_feature_cache_broken(d->cache)));
    et_module_print(j->model->root, stdout);

    const int64_t steps = d->train.n / j->size * et_cli_int(cli, "epochs");
    et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"), .total = steps,
                          .warmup = steps / 20};
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                          .validate = validate};
    const et_train_options options = {
        .mixed = et_run_mixed(cli),
        .clip = et_cli_real(cli, "clip"),
        .schedule = strcmp(et_cli_text(cli, "schedule"), "cosine") == 0 ? &cosine : NULL,
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

/* Defaults, and what can be said of the options before the data are read. */
static et_status check_options(et_cli *cli, et_run *run)
{
    const int kind = search_kind_of(et_cli_text(cli, "data"), et_cli_text(cli, "task"));
    const char *vocab = search_words_given(cli, run);

    if (kind < 0 || refuse_of_data(cli, (search_kind)kind) || defaults(cli, (search_kind)kind) ||
        refuse_of_model(cli))
        return et_error_status();
    const bool two_towers = strcmp(et_cli_text(cli, "model"), search_two_tower.name) == 0;
    if (et_cli_real(cli, "shorten") > 0 && two_towers && et_cli_int(cli, "train-text") != ET_TWO_TOWER_ALL)
        return et_raise(ET_EINVAL,
                        "--shorten: of a text tower that is frozen in part only whole captions are known");
    if (search_check_weights(cli))
        return et_error_status();
    et_wordpiece_free(vocab ? et_wordpiece_read(vocab) : NULL);
    return et_error_status();
}

/* The run folder, which says what the options are of a run that is gone on with, and the data. */
static et_status open_job(job *j)
{
    et_cli *cli = j->cli;

    if (!(j->run = et_run_for_training(cli)) || check_options(cli, j->run) ||
        !(j->data = search_open_data(cli, j->run, NULL)))
        return et_error_status();
    /* Towers may meet other tags, which are words to them; a classifier is of its own. */
    if (strcmp(et_cli_text(cli, "model"), search_tags.name) == 0 &&
        et_run_check_names(j->run, "tags", &j->data->ds->tag_names))
        return et_error_status();
    return ET_OK;
}

int search_train(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = open_job(&j);

    if (!status)
        status = train_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    search_verdict_free(&j.valid);
    search_bases_free(j.bases);
    et_dealloc(j.order);
    search_model_free(j.model);
    search_data_free(j.data);
    et_run_close(j.run);
    return code;
}
