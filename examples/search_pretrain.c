#include "config.h"

#include "examples/search_pretrain.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "datasets/batch.h"
#include "datasets/corpora.h"
#include "datasets/corpus.h"
#include "datasets/csv.h"
#include "datasets/folder.h"
#include "examples/common/interrupt.h"
#include "examples/common/run_model.h"
#include "examples/common/run_train.h"
#include "examples/search_model.h"
#include "models/bert_pretrain.h"
#include "nn/metrics.h"
#include "nn/nearest.h"
#include "nn/optim.h"
#include "tensor/alloc.h"

enum { BATCH = 64, VALID_EVERY = 20, STREAM_MASK = 5000, STREAM_EVAL = 4999, STREAM_WEIGHTS = 1 };

/* Captions in three parts, and what is said of those of the last in other words. */
typedef struct texts {
    et_names train, valid, test, aspects; /* aspects: as many as test, or none */
} texts;

typedef struct job {
    et_cli *cli;
    texts texts;
    et_wordpiece *words;
    et_bert_pretrain *model;
    et_run *run;
    int64_t tokens, size, at, epoch;
    int32_t *order;
    et_run_loop loop;
    double valid_loss;
} job;

/* --- captions ---------------------------------------------------------------------------------------- */

/* A caption to the training part, every twentieth to validation. */
static et_status add_training(texts *t, const char *caption)
{
    const int64_t n = t->train.n + t->valid.n;

    return et_names_add(n % VALID_EVERY == VALID_EVERY - 1 ? &t->valid : &t->train, caption);
}

/* MusicCaps: the rows of AudioSet's evaluation part are judged, with their lists of aspects. */
static et_status read_musiccaps(texts *t, const char *path)
{
    et_csv *table = et_csv_read(path, NULL);
    const int caption = table ? et_csv_column(table, "caption") : -1, aspects = table ? et_csv_find(table, "aspects") : -1;
    const int split = caption >= 0 ? et_csv_column(table, "split") : -1;
    et_status status = split >= 0 ? ET_OK : et_error_status();

    for (int64_t i = 0; !status && i < et_csv_rows(table); i++) {
        const char *text = et_csv_text(table, i, caption);
        if (strcmp(et_csv_text(table, i, split), "eval") != 0)
            status = add_training(t, text);
        else if (!(status = et_names_add(&t->test, text)) && aspects >= 0)
            status = et_names_add(&t->aspects, et_csv_text(table, i, aspects));
    }
    et_csv_free(table);
    return status;
}

/* A collection's captions: those of its test (or validation) part are judged. */
static et_status read_collection(texts *t, et_collection *c)
{
    const int32_t *split = c && c->split ? et_data_i32(c->split) : NULL;
    int64_t held = c ? et_names_find(&c->splits, "test") : -1;
    et_status status = c ? ET_OK : et_error_status();

    held = c && held < 0 ? et_names_find(&c->splits, "valid") : held;
    for (int64_t i = 0; !status && i < c->captions.n; i++)
        status = split && split[i] == held ? et_names_add(&t->test, c->captions.items[i]) : add_training(t, c->captions.items[i]);
    et_collection_free(c);
    return status;
}

static et_status read_texts(const et_cli *cli, texts *t)
{
    const char *dir = et_cli_text(cli, "data");
    const int kind = search_kind_of(dir, "corpus");
    et_corpus_options o = et_corpus_defaults();
    char *path = NULL;
    et_status status = kind < 0 ? et_error_status() : ET_OK;

    o.songs = et_cli_int(cli, "songs");
    if (kind == SEARCH_MUSICCAPS)
        status = (path = et_path_join(dir, "musiccaps.csv")) ? read_musiccaps(t, path) : et_error_status();
    else if (!status)
        status = read_collection(t, kind == SEARCH_CORPUS     ? et_corpus(&o)
                                    : kind == SEARCH_RENDERED ? et_rendered_excerpts(dir)
                                                              : et_recorded_clips(dir));
    et_dealloc(path);
    if (!status && (t->train.n < 1 || t->valid.n < 1 || t->test.n < 1))
        status = et_raise(ET_EINVAL, "%" PRId64 " captions are too few to train, validate and judge on",
                          t->train.n + t->valid.n + t->test.n);
    return status;
}

/* --- batches ----------------------------------------------------------------------------------------- */

/* ids and mask [n, T] of captions list[order[0 .. n-1]] (order NULL: the first ones), cut to the longest. */
static et_status rows_of(const job *j, const et_names *list, const int32_t *order, int64_t from, int64_t n, et_tensor **ids,
                         et_tensor **mask)
{
    const char *chosen[BATCH * 4];
    const search_model m = {.words = j->words, .sizes = {.tokens = j->tokens}};
    search_texts t;

    for (int64_t i = 0; i < n; i++)
        chosen[i] = list->items[order ? order[from + i] : from + i];
    et_status status = search_texts_of(&m, n, chosen, &t);
    *ids = t.ids;
    *mask = t.mask;
    return status;
}

static et_bert_masking masking(const job *j, int32_t special[ET_N_SPECIALS])
{
    for (int i = 0; i < ET_N_SPECIALS; i++)
        special[i] = et_wordpiece_special(j->words, (et_special)i);
    return (et_bert_masking){.mask = special[ET_TOKEN_MASK],
                             .vocabulary = et_vocabulary_size(et_wordpiece_vocabulary(j->words)), .special = special,
                             .n_special = ET_N_SPECIALS};
}

/* The loss of a batch; *n, where not NULL, receives the number of words to be guessed. */
static et_tensor *loss_of(const job *j, const et_names *list, const int32_t *order, int64_t from, int64_t size, et_rng *rng,
                          double *n, double *rare, const double *surprise)
{
    int32_t special[ET_N_SPECIALS];
    const et_bert_masking how = masking(j, special);
    et_tensor *ids, *mask, *masked, *targets;

    if (rows_of(j, list, order, from, size, &ids, &mask) || et_bert_mask_words(&how, ids, mask, rng, &masked, &targets))
        return NULL;
    const int32_t *t = et_data(targets);
    for (int64_t i = 0; n && i < targets->numel; i++)
        if (t[i] != ET_BERT_NO_TARGET) {
            *n += 1;
            *rare += surprise[t[i]];
        }
    return et_bert_pretrain_loss(j->model, masked, NULL, mask, targets, NULL);
}

/* The mean loss over a part's masked words, and what knowing each word's frequency alone would give. */
static et_status judge(const job *j, const et_names *list, const double *surprise, double *loss, double *unigram)
{
    et_rng rng = et_rng_make((uint64_t)et_cli_int(j->cli, "seed"), STREAM_EVAL);
    double sum = 0, words = 0, rare = 0;
    et_status status = ET_OK;

    for (int64_t from = 0; from < list->n && !status; from += BATCH) {
        const int64_t size = list->n - from < BATCH ? list->n - from : BATCH;
        double n = 0;
        et_scope *scope = et_scope_open();
        et_tensor *l = scope ? loss_of(j, list, NULL, from, size, &rng, &n, &rare, surprise) : NULL;
        status = l ? ET_OK : et_error_status();
        sum += l ? n * et_item(l) : 0;
        words += n;
        if (scope)
            et_scope_close(scope);
    }
    *loss = sum / words;
    *unigram = rare / words;
    return status;
}

/* -ln of each word's share of the training captions (one more of each); released with et_dealloc. */
static double *surprises(const job *j)
{
    const int32_t V = et_vocabulary_size(et_wordpiece_vocabulary(j->words));
    double *out = et_alloc((size_t)V * sizeof *out), total = V;
    et_tokens tokens = {NULL, 0, 0};
    et_status status = out ? ET_OK : et_error_status();

    for (int32_t k = 0; k < V && out; k++)
        out[k] = 1;
    for (int64_t i = 0; i < j->texts.train.n && !status; i++) {
        tokens.n = 0;
        status = et_wordpiece_encode(j->words, j->texts.train.items[i], strlen(j->texts.train.items[i]), &tokens);
        for (int64_t t = 0; t < tokens.n && t < j->tokens - 2; t++, total++)
            out[tokens.ids[t]] += 1;
    }
    for (int32_t k = 0; k < V && out; k++)
        out[k] = -log(out[k] / total);
    et_tokens_free(&tokens);
    if (!status)
        return out;
    et_dealloc(out);
    return NULL;
}

/* --- captions from aspects ------------------------------------------------------------------------------ */

/* Unit vectors [n, d]: the mean of the hidden states of each text, less the mean of all texts. */
static et_status means(const job *j, const et_names *list, float *out)
{
    const int64_t d = j->model->bert->config.width;
    et_status status = ET_OK;

    et_no_grad_begin();
    for (int64_t from = 0; from < list->n && !status; from += BATCH) {
        const int64_t size = list->n - from < BATCH ? list->n - from : BATCH;
        et_tensor *ids, *mask, *x = NULL;
        et_scope *scope = et_scope_open();
        if (scope && !rows_of(j, list, NULL, from, size, &ids, &mask)) {
            x = et_bert_forward(j->model->bert, ids, NULL, mask, NULL);
            x = et_contiguous(et_bert_pool(j->model->bert, x, mask, ET_BERT_MEAN));
        }
        status = x ? ET_OK : et_error_status();
        if (x)
            memcpy(out + from * d, et_data(x), (size_t)(size * d) * sizeof *out);
        if (scope)
            et_scope_close(scope);
    }
    et_no_grad_end();
    for (int64_t k = 0; k < d && !status; k++) {
        double mean = 0;
        for (int64_t i = 0; i < list->n; i++)
            mean += (double)out[i * d + k] / (double)list->n;
        for (int64_t i = 0; i < list->n; i++)
            out[i * d + k] -= (float)mean;
    }
    if (!status)
        et_unit_rows(list->n, d, out);
    return status;
}

/* How well the caption that belongs to a list of aspects is found among all captions of the test part, by the cosine
 * of mean hidden states: nothing is trained for it. */
static et_status retrieve(const job *j, et_retrieval_report *out)
{
    const int64_t n = j->texts.test.n, d = j->model->bert->config.width;
    float *f = et_alloc((size_t)(n * d) * sizeof *f), *g = et_alloc((size_t)(n * d) * sizeof *g);
    int64_t *ranks = et_alloc((size_t)n * sizeof *ranks);
    et_status status = f && g && ranks ? means(j, &j->texts.aspects, f) : et_error_status();

    if (!status)
        status = means(j, &j->texts.test, g);
    for (int64_t i = 0; i < n && !status; i++) {
        ranks[i] = 0;
        const float *a = f + i * d;
        double own = 0;
        for (int64_t k = 0; k < d; k++)
            own += (double)a[k] * (double)g[i * d + k];
        for (int64_t other = 0; other < n; other++) {
            double s = 0;
            for (int64_t k = 0; k < d; k++)
                s += (double)a[k] * (double)g[other * d + k];
            ranks[i] += s > own || (s == own && other < i);
        }
    }
    if (!status)
        status = et_metric_retrieval(n, ranks, 0, out);
    et_dealloc(f);
    et_dealloc(g);
    et_dealloc(ranks);
    return status;
}

/* --- training -------------------------------------------------------------------------------------------- */

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;

    int32_t *all = et_alloc((size_t)j->texts.train.n * sizeof *all);
    for (int64_t i = 0; all && i < j->texts.train.n; i++)
        all[i] = (int32_t)i;
    if (all)
        et_batch_order(all, j->texts.train.n, true, (uint64_t)et_cli_int(j->cli, "seed"), epoch, j->order);
    et_dealloc(all);
    j->at = 0;
    j->epoch = epoch;
    return et_error_status() ? et_error_status() : et_run_loop_epoch(&j->loop, epoch, j->texts.train.n);
}

static int64_t next_batch(void *user)
{
    job *j = user;

    if (j->at + j->size > j->texts.train.n)
        return 0;
    j->at += j->size;
    return j->size;
}

/* The words that are masked are other ones in every epoch. */
static et_tensor *batch_loss(void *user)
{
    job *j = user;
    et_rng rng = et_rng_make((uint64_t)et_cli_int(j->cli, "seed") + (uint64_t)j->epoch, STREAM_MASK + (uint64_t)j->at);

    return loss_of(j, &j->texts.train, j->order, j->at - j->size, j->size, &rng, NULL, NULL, NULL);
}

static et_status validate(void *user, double *metric)
{
    job *j = user;
    double unigram, *none = et_alloc_zero((size_t)et_vocabulary_size(et_wordpiece_vocabulary(j->words)), sizeof *none);
    et_status status = none ? judge(j, &j->texts.valid, none, &j->valid_loss, &unigram) : et_error_status();

    et_dealloc(none);
    *metric = j->valid_loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;

    if (et_run_loop_step(&j->loop, e))
        return ET_OK;
    et_progress_end(&j->loop.progress, "loss %.3f  valid %.3f%s", e->loss, j->valid_loss, e->improved ? "  best" : "");
    et_figure figures[4] = {{"valid_loss", j->valid_loss}, {"train_loss", e->loss}, {"lr", e->lr}};
    return et_run_loop_log(&j->loop, e, figures, 3);
}

/* The test part: figures, metrics.json and report.html. */
static et_status conclude(job *j, const et_retrieval_report *before)
{
    double loss = NAN, unigram = NAN, *surprise = surprises(j);
    et_retrieval_report after;
    et_figure figures[8];
    int n = 0;
    et_status status;

    et_module_eval(&j->model->module);
    et_no_grad_begin();
    status = surprise ? judge(j, &j->texts.test, surprise, &loss, &unigram) : et_error_status();
    et_no_grad_end();
    et_dealloc(surprise);
    figures[n++] = (et_figure){"loss", loss};
    figures[n++] = (et_figure){"unigram_entropy", unigram};
    if (!status && j->texts.aspects.n > 0 && !(status = retrieve(j, &after))) {
        figures[n++] = (et_figure){"r_at_10", after.r_at_10};
        figures[n++] = (et_figure){"median_rank", after.median_rank};
        figures[n++] = (et_figure){"untrained_r_at_10", before->r_at_10};
        figures[n++] = (et_figure){"untrained_median_rank", before->median_rank};
    }
    if (!status)
        status = et_run_metrics(j->run, "test", figures, n);
    if (status)
        return status;
    printf("test: loss %.3f a masked word; its frequency alone would give %.3f\n", loss, unigram);
    if (n > 2)
        printf("captions from aspects among %lld, by mean hidden states: R@10 %.3f, median rank %g; untrained %.3f, %g\n",
               (long long)j->texts.test.n, after.r_at_10, after.median_rank, before->r_at_10, before->median_rank);
    et_report *r = et_report_new("Guessing masked words of captions", "A text tower learns to guess words that are hidden from it.");
    et_report_section(r, "Learning");
    et_run_report_curves(r, j->run, "train_loss", "valid_loss", "loss");
    return et_run_report_end(r, j->run, &j->model->module);
}

static et_status defaults(et_cli *cli)
{
    et_cli_default(cli, "size", "small");
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;

    et_cli_default_int(cli, "tokens", base ? 128 : 64);
    et_cli_default_int(cli, "words", 4000);
    et_cli_default_int(cli, "epochs", 20);
    et_cli_default_int(cli, "batch", 32);
    et_cli_default_real(cli, "lr", base ? 1e-4 : 1e-3);
    et_cli_default_real(cli, "weight-decay", 0.01);
    return et_error_status();
}

static et_status pretrain_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    const char *vocab = et_cli_text(cli, "vocab"), *path = et_run_path(j->run, "vocab.txt");
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), STREAM_WEIGHTS);
    et_retrieval_report before = {0};
    et_json_writer w;

    j->tokens = et_cli_int(cli, "tokens");
    j->size = et_cli_int(cli, "batch") < j->texts.train.n ? et_cli_int(cli, "batch") : j->texts.train.n;
    if (j->size > BATCH * 4)
        return et_raise(ET_EINVAL, "--batch %lld: at most %d here", (long long)j->size, BATCH * 4);
    j->order = et_alloc((size_t)j->texts.train.n * sizeof *j->order);
    j->words = vocab ? et_wordpiece_read(vocab)
                     : et_wordpiece_new(et_vocabulary_of_pieces(&j->texts.train, (int32_t)et_cli_int(cli, "words"), 2));
    if (!path || !j->order || !j->words)
        return et_error_status();
    for (int k = 0; k < ET_N_SPECIALS; k++)
        if (et_wordpiece_special(j->words, (et_special)k) < 0)
            return et_raise(ET_EFORMAT, "%s: a special token such as [MASK] is missing", vocab);
    const et_bert_config c = search_text_tower(strcmp(et_cli_text(cli, "size"), "base") == 0,
                                               et_vocabulary_size(et_wordpiece_vocabulary(j->words)), j->tokens);
    j->model = et_bert_pretrain_new(NULL, NULL, &c, &rng);
    if (!j->model)
        return et_error_status();
    /* The next sentence is not asked for: captions are not pairs. */
    et_module_freeze(&j->model->next->module, NULL);
    et_module_freeze(&j->model->bert->pooler->module, NULL);
    et_module_eval(&j->model->module);
    if (j->texts.aspects.n > 0 && retrieve(j, &before))
        return et_error_status();
    et_optim *opt = et_adamw_new(&j->model->module, et_cli_real(cli, "lr"), et_cli_real(cli, "weight-decay"));
    if (!opt || et_run_config_begin(j->run, cli, &w) || et_run_config_end(j->run, &w) ||
        et_vocabulary_write(et_wordpiece_vocabulary(j->words), path)) {
        et_optim_free(opt);
        return et_error_status();
    }
    printf("%lld captions to learn from, %lld to choose by, %lld to judge on; %d words and pieces of words\n",
           (long long)j->texts.train.n, (long long)j->texts.valid.n, (long long)j->texts.test.n, (int)c.vocabulary);
    const int64_t steps = j->texts.train.n / j->size * et_cli_int(cli, "epochs");
    et_schedule cosine = {.kind = ET_SCHEDULE_WARMUP_COSINE, .lr = et_cli_real(cli, "lr"), .total = steps, .warmup = steps / 20};
    et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss, .validate = validate};
    const et_train_options options = {
        .mixed = strcmp(et_cli_text(cli, "precision"), "bfloat16") == 0,
        .schedule = &cosine,
        .resume = et_cli_flag(cli, "resume"),
        .report = report,
    };
    j->loop = (et_run_loop){.cli = cli, .run = j->run};
    et_status status = et_run_loop_train(&j->loop, &j->model->module, opt, &task, options, result);
    et_optim_free(opt);
    return status || result->interrupted ? status : conclude(j, &before);
}

int search_pretrain(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = et_cli_flag(cli, "resume") ? ET_OK : read_texts(cli, &j.texts);

    if (!status && !(j.run = et_run_for_training(cli)))
        status = et_error_status();
    if (!status && et_cli_flag(cli, "resume"))
        status = read_texts(cli, &j.texts);
    if (!status && !(status = defaults(cli)) && !(status = et_interrupt_catch()))
        status = pretrain_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    if (code == ET_EXIT_OK) {
        printf("to begin with it: train --text-weights %s", et_run_path(j.run, ET_RUN_BEST));
        printf(" --vocab %s --tokens %lld\n", et_run_path(j.run, "vocab.txt"), (long long)j.tokens);
    }
    et_names_free(&j.texts.train);
    et_names_free(&j.texts.valid);
    et_names_free(&j.texts.test);
    et_names_free(&j.texts.aspects);
    if (j.model)
        et_module_free(&j.model->module);
    et_wordpiece_free(j.words);
    et_dealloc(j.order);
    et_run_close(j.run);
    return code;
}
