/* The verb pretrain of music-search: see search_pretrain.h. Words are masked anew in every epoch. */
#include "config.h"

#include "examples/search_pretrain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "examples/search_captions.h"
#include "examples/search_epochs.h"
#include "examples/search_model.h"
#include "models/bert_pretrain.h"
#include "nn/nearest.h"
#include "nn/optim.h"
#include "tensor/alloc.h"

/* LAYERS: of BERT-base, the embeddings counted. */
enum { BATCH = 64, LAYERS = 13, STREAM_MASK = 5000, STREAM_EVAL = 4999, STREAM_WEIGHTS = 1 };

typedef struct job {
    et_cli *cli;
    search_captions captions;
    /* What has a word to be guessed: captions and what is said of them in other words, and the captions to
     * choose by and to judge on. */
    et_names train, valid, test;
    et_wordpiece *words;
    et_bert_pretrain *model;
    et_run *run;
    int64_t tokens;
    search_epochs epochs;
} job;

/* --- batches ----------------------------------------------------------------------------------------- */

static et_bert_masking masking(const job *j, int32_t special[ET_N_SPECIALS])
{
    for (int i = 0; i < ET_N_SPECIALS; i++)
        special[i] = et_wordpiece_special(j->words, (et_special)i);
    return (et_bert_masking){.mask = special[ET_TOKEN_MASK],
                             .vocabulary = et_vocabulary_size(et_wordpiece_vocabulary(j->words)),
                             .special = special, .n_special = ET_N_SPECIALS};
}

/* The loss of a batch of whose words that share is masked;
 * *n, where not NULL, receives the number of words to be guessed. */
static et_tensor *loss_of(const job *j, const et_names *list, const int32_t *order, int64_t from,
                          int64_t size, double share, et_rng *rng, double *n, double *rare,
                          const double *surprise)
{
    int32_t special[ET_N_SPECIALS];
    et_bert_masking how = masking(j, special);
    et_tensor *ids, *mask, *masked, *targets;

    how.share = share;
    if (search_captions_rows(j->words, j->tokens, list, order, from, size, &ids, &mask) ||
        et_bert_mask_words(&how, ids, mask, rng, &masked, &targets))
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
static et_status judge(const job *j, const et_names *list, const double *surprise, double *loss,
                       double *unigram)
{
    et_rng rng = et_rng_make(search_epochs_seed(&j->epochs), STREAM_EVAL);
    double sum = 0, words = 0, rare = 0;
    et_status status = ET_OK;

    for (int64_t from = 0; from < list->n && !status; from += BATCH) {
        const int64_t size = list->n - from < BATCH ? list->n - from : BATCH;
        double n = 0;
        et_scope *scope = et_scope_open();
        et_tensor *l = scope ? loss_of(j, list, NULL, from, size, 0.15, &rng, &n, &rare, surprise) : NULL;
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

/* How often each word stands in the training captions; released with et_dealloc. */
static double *frequencies(const job *j)
{
    double *out = et_alloc_zero((size_t)et_vocabulary_size(et_wordpiece_vocabulary(j->words)), sizeof *out);
    const et_names *list = &j->captions.train.captions;
    et_tokens tokens = {NULL, 0, 0};
    et_status status = out ? ET_OK : et_error_status();

    for (int64_t i = 0; i < list->n && !status; i++) {
        tokens.n = 0;
        status = et_wordpiece_encode(j->words, list->items[i], strlen(list->items[i]), &tokens);
        for (int64_t t = 0; t < tokens.n && t < j->tokens - 2; t++)
            out[tokens.ids[t]] += 1;
    }
    et_tokens_free(&tokens);
    if (!status)
        return out;
    et_dealloc(out);
    return NULL;
}

/* -ln of each word's share of the training captions (one more of each), in the place of counts. */
static void surprises(int32_t V, double *counts)
{
    double total = V;

    for (int32_t v = 0; v < V; v++)
        total += counts[v];
    for (int32_t v = 0; v < V; v++)
        counts[v] = -log((counts[v] + 1) / total);
}

/* --- captions from aspects ------------------------------------------------------------------------------ */

/* Of each layer from the embeddings (0) on unit vectors [n, d]: the mean of the hidden states of each text,
 * less the mean of all texts. */
static et_status means(const job *j, const et_names *list, float *out)
{
    const et_bert *m = j->model->bert;
    const int64_t d = m->config.width, layers = m->config.layers + 1;
    et_tensor *hidden[LAYERS];
    et_status status = ET_OK;

    et_no_grad_begin();
    for (int64_t from = 0; from < list->n && !status; from += BATCH) {
        const int64_t size = list->n - from < BATCH ? list->n - from : BATCH;
        et_tensor *ids, *mask;
        et_scope *scope = et_scope_open();
        if (scope && !search_captions_rows(j->words, j->tokens, list, NULL, from, size, &ids, &mask))
            et_bert_forward(m, ids, NULL, mask, hidden);
        for (int64_t k = 0; k < layers && !et_error_status(); k++) {
            const et_tensor *x = et_contiguous(et_bert_pool(m, hidden[k], mask, ET_BERT_MEAN));
            if (x)
                memcpy(out + (k * list->n + from) * d, et_data(x), (size_t)(size * d) * sizeof *out);
        }
        status = et_error_status();
        if (scope)
            et_scope_close(scope);
    }
    et_no_grad_end();
    for (int64_t k = 0; k < layers * d && !status; k++) {
        float *column = out + k / d * list->n * d + k % d;
        double mean = 0;
        for (int64_t i = 0; i < list->n; i++)
            mean += (double)column[i * d] / (double)list->n;
        for (int64_t i = 0; i < list->n; i++)
            column[i * d] -= (float)mean;
    }
    if (!status)
        et_unit_rows(layers * list->n, d, out);
    return status;
}

/* How well the caption that belongs to a list of aspects is found among all captions of the test part, by the
 * cosine of mean hidden states of each layer: nothing is trained for it. */
static et_status retrieve(const job *j, et_retrieval_report out[LAYERS])
{
    const search_pairs *test = &j->captions.test;
    const int64_t n = test->captions.n, d = j->model->bert->config.width,
                  layers = j->model->bert->config.layers + 1;
    float *f = et_alloc_zero((size_t)n, (size_t)(layers * d) * sizeof *f),
          *g = et_alloc_zero((size_t)n, (size_t)(layers * d) * sizeof *g);
    et_status status = f && g ? means(j, &test->aspects, f) : et_error_status();

    if (!status)
        status = means(j, &test->captions, g);
    for (int64_t k = 0; k < layers && !status; k++)
        status = search_captions_found(n, d, f + k * n * d, g + k * n * d, &out[k]);
    et_dealloc(f);
    et_dealloc(g);
    return status;
}

/* Both for each layer, beside each other. */
static void print_found(const job *j, const et_retrieval_report *before, const et_retrieval_report *after)
{
    printf("captions from aspects among %lld, by mean hidden states: R@10 and median rank, untrained\n",
           (long long)j->captions.test.captions.n);
    for (int k = 0; k <= j->model->bert->config.layers; k++) {
        char name[16];
        snprintf(name, sizeof name, k ? "layer %d" : "embeddings", k);
        printf("  %-12s %.3f %6g, %.3f %6g\n", name, after[k].r_at_10, after[k].median_rank,
               before[k].r_at_10, before[k].median_rank);
    }
}

/* --- training -------------------------------------------------------------------------------------- */

static et_status begin_epoch(void *user, int64_t epoch)
{
    job *j = user;
    et_status status = search_epochs_begin(&j->epochs, epoch);

    return status ? status : search_epochs_bucket(&j->epochs, &j->train);
}

static int64_t next_batch(void *user) { return search_epochs_next(&((job *)user)->epochs); }

/* The words that are masked are other ones in every epoch. */
static et_tensor *batch_loss(void *user)
{
    job *j = user;
    const search_epochs *e = &j->epochs;
    et_rng rng = et_rng_make(search_epochs_seed(e) + (uint64_t)e->epoch, STREAM_MASK + (uint64_t)e->at);

    return loss_of(j, &j->train, e->order, e->at - e->size, e->size, et_cli_real(j->cli, "mask"), &rng, NULL,
                   NULL, NULL);
}

static et_status validate(void *user, double *metric)
{
    job *j = user;
    double unigram, *none = et_alloc_zero((size_t)et_vocabulary_size(et_wordpiece_vocabulary(j->words)),
                                          sizeof *none);
    et_status status = none ? judge(j, &j->valid, none, &j->epochs.valid_loss, &unigram)
                            : et_error_status();

    et_dealloc(none);
    *metric = j->epochs.valid_loss;
    return status;
}

static et_status report(void *user, const et_train_event *e)
{
    return search_epochs_report(&((job *)user)->epochs, e, NULL, 0);
}

/* The test part: figures, metrics.json and report.html. */
static et_status conclude(job *j, const et_retrieval_report *before)
{
    double loss = NAN, unigram = NAN, *surprise = frequencies(j);
    et_retrieval_report after[LAYERS];
    et_figure figures[2 + 2 * LAYERS];
    char names[2 * LAYERS][40];
    int n = 0;
    et_status status;

    if (surprise)
        surprises(et_vocabulary_size(et_wordpiece_vocabulary(j->words)), surprise);
    et_module_eval(&j->model->module);
    et_no_grad_begin();
    status = surprise ? judge(j, &j->test, surprise, &loss, &unigram) : et_error_status();
    et_no_grad_end();
    et_dealloc(surprise);
    figures[n++] = (et_figure){"loss", loss};
    figures[n++] = (et_figure){"unigram_entropy", unigram};
    if (!status && j->captions.test.aspects.n > 0)
        status = retrieve(j, after);
    for (int k = 0; k <= j->model->bert->config.layers && j->captions.test.aspects.n > 0 && !status; k++)
        for (int untrained = 0; untrained < 2; untrained++) {
            char *name = names[2 * k + untrained];
            snprintf(name, sizeof names[0], "%sr_at_10_layer_%d", untrained ? "untrained_" : "", k);
            figures[n++] = (et_figure){name, untrained ? before[k].r_at_10 : after[k].r_at_10};
        }
    if (!status)
        status = et_run_metrics(j->run, "test", figures, n);
    if (status)
        return status;
    printf("test: loss %.3f a masked word; its frequency alone would give %.3f\n", loss, unigram);
    if (n > 2)
        print_found(j, before, after);
    et_report *r = et_report_new("Guessing masked words of captions",
                                 "A text tower learns to guess words that are hidden from it.");
    et_report_section(r, "Learning");
    et_run_report_curves(r, j->run, "train_loss", "valid_loss", "loss");
    return et_run_report_end(r, j->run, &j->model->module);
}

static et_status defaults(et_cli *cli)
{
    et_cli_default(cli, "size", "small");
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;

    et_cli_default_int(cli, "tokens", base ? 128 : 96);
    et_cli_default_int(cli, "words", 4000);
    et_cli_default_int(cli, "epochs", 20);
    et_cli_default_int(cli, "batch", base ? 32 : 16);
    et_cli_default_real(cli, "lr", base ? 1e-4 : 1e-3);
    et_cli_default_real(cli, "weight-decay", 0.01);
    return et_error_status();
}

/* Adds the texts that have a word to be guessed among the tokens that are read: of others nothing is learned,
 * and of a batch of them there is no loss. */
static et_status add_guessable(const job *j, const et_names *texts, et_names *out)
{
    int32_t special[ET_N_SPECIALS];
    et_tokens tokens = {NULL, 0, 0};
    et_status status = ET_OK;

    masking(j, special);
    for (int64_t i = 0; i < texts->n && !status; i++) {
        bool has = false;
        tokens.n = 0;
        status = et_wordpiece_encode(j->words, texts->items[i], strlen(texts->items[i]), &tokens);
        for (int64_t t = 0; t < tokens.n && t < j->tokens - 2 && !has; t++) {
            has = true;
            for (int k = 0; k < ET_N_SPECIALS; k++)
                has = has && tokens.ids[t] != special[k];
        }
        if (!status && has)
            status = et_names_add(out, texts->items[i]);
    }
    et_tokens_free(&tokens);
    return status;
}

/* What is learned from (captions, and their lists of aspects), chosen by and judged on. */
static et_status gather(job *j)
{
    const search_captions *c = &j->captions;

    if (add_guessable(j, &c->train.captions, &j->train) || add_guessable(j, &c->train.aspects, &j->train) ||
        add_guessable(j, &c->valid.captions, &j->valid) || add_guessable(j, &c->test.captions, &j->test))
        return et_error_status();
    if (j->train.n < 1 || j->valid.n < 1 || j->test.n < 1)
        return et_raise(ET_EINVAL, "of the captions to %s none has a word of the vocabulary",
                        j->train.n < 1 ? "learn from" : j->valid.n < 1 ? "choose by" : "judge on");
    return ET_OK;
}

/* The model, which begins with the words' frequencies; of its rest the next sentence is not asked for:
 * captions are not pairs. */
static et_status make_model(job *j)
{
    const et_cli *cli = j->cli;
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;
    et_bert_config c = search_text_tower(base, et_vocabulary_size(et_wordpiece_vocabulary(j->words)),
                                         j->tokens);
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), STREAM_WEIGHTS);
    c.plain_init = !base;
    double *counts = (j->model = et_bert_pretrain_new(NULL, NULL, &c, &rng)) ? frequencies(j) : NULL;

    if (counts && !et_bert_pretrain_frequencies(j->model, counts)) {
        et_module_freeze(&j->model->next->module, NULL);
        et_module_freeze(&j->model->bert->pooler->module, NULL);
        et_module_eval(&j->model->module);
    }
    et_dealloc(counts);
    return et_error_status();
}

/* Data and model. */
static et_status prepare(job *j)
{
    et_cli *cli = j->cli;

    if (defaults(cli) || search_captions_read(cli, &j->captions))
        return et_error_status();
    j->tokens = et_cli_int(cli, "tokens");
    j->words = search_captions_words(&j->captions, search_words_given(cli, j->run), et_cli_int(cli, "words"));
    return !j->words || gather(j) || make_model(j) ? et_error_status() : ET_OK;
}

static et_status pretrain_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    et_run *run = j->run;
    et_retrieval_report before[LAYERS];

    if (search_epochs_open(&j->epochs, cli, run, j->train.n) ||
        (j->captions.test.aspects.n > 0 && retrieve(j, before)))
        return et_error_status();
    et_optim *opt = et_adamw_new(&j->model->module, et_cli_real(cli, "lr"), et_cli_real(cli, "weight-decay"));
    if (!opt || search_captions_begin(run, cli, j->words)) {
        et_optim_free(opt);
        return et_error_status();
    }
    printf("%lld text%s to learn from, %lld caption%s to choose by, %lld to judge on; %d words and pieces of "
           "words\n",
           (long long)j->train.n, et_plural(j->train.n), (long long)j->valid.n, et_plural(j->valid.n),
           (long long)j->test.n,
           (int)et_vocabulary_size(et_wordpiece_vocabulary(j->words)));
    const et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                                .validate = validate};
    et_status status = search_epochs_train(&j->epochs, &j->model->module, opt, &task, report, 0, result);
    et_optim_free(opt);
    return status || result->interrupted ? status : conclude(j, before);
}

int search_pretrain(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = (j.run = et_run_for_training(cli)) ? prepare(&j) : et_error_status();

    if (!status)
        status = pretrain_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    if (code == ET_EXIT_OK) {
        fputs("to begin with it: train --text-weights ", stdout);
        et_cli_print_word(et_run_path(j.run, ET_RUN_BEST), stdout);
        fputs(" --vocab ", stdout);
        et_cli_print_word(et_run_path(j.run, "vocab.txt"), stdout);
        printf(" --tokens %lld\n", (long long)j.tokens);
    }
    search_captions_free(&j.captions);
    et_names_free(&j.train);
    et_names_free(&j.valid);
    et_names_free(&j.test);
    if (j.model)
        et_module_free(&j.model->module);
    et_wordpiece_free(j.words);
    search_epochs_free(&j.epochs);
    et_run_close(j.run);
    return code;
}
