/* The verb match of music-search: see search_match.h. */
#include "config.h"

#include "examples/search_match.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/autograd.h"
#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "examples/search_captions.h"
#include "examples/search_epochs.h"
#include "examples/search_model.h"
#include "nn/contrastive.h"
#include "nn/nearest.h"
#include "nn/optim.h"
#include "nn/projection.h"
#include "tensor/alloc.h"

enum { BATCH = 64, STREAM_WEIGHTS = 1 };

enum { ASPECTS, CAPTIONS };

/* unit(head(pool(BERT(ids)))) of either text, with one head for both sides. */
typedef struct matcher {
    et_module module;
    et_bert *text;
    et_projection *head;
} matcher;

typedef struct job {
    et_cli *cli;
    search_captions captions;
    et_wordpiece *words;
    matcher *model;
    et_run *run;
    int64_t tokens;
    search_epochs epochs;
    et_retrieval_report valid;
} job;

/* --- the model ------------------------------------------------------------------------------------- */

static et_bert_pooling pooling(const et_cli *cli)
{
    const char *how = et_cli_text(cli, "pooling");

    return strcmp(how, "cls") == 0 ? ET_BERT_CLS : strcmp(how, "pooler") == 0 ? ET_BERT_POOLER
         : strcmp(how, "max") == 0 ? ET_BERT_MAX : ET_BERT_MEAN;
}

/* Brings the embeddings to a root mean square of 0.02. The norm behind them undoes it: the tower stays the
 * function that it is, but steps of one size now change its words as quickly as those of a new one. */
static void scale_embeddings(const et_bert *m)
{
    et_embedding_layer *const tables[] = {m->word, m->position, m->type};
    const float *w = et_data(m->word->weight);
    double square = 0;

    for (int64_t i = 0; i < m->word->weight->numel; i++)
        square += (double)w[i] * (double)w[i] / (double)m->word->weight->numel;
    for (int k = 0; k < 3; k++) {
        float *p = et_data_mut(tables[k]->weight);
        for (int64_t i = 0; i < tables[k]->weight->numel; i++)
            p[i] *= (float)(0.02 / fmax(sqrt(square), 1e-6));
    }
}

static et_status make_model(job *j)
{
    const et_cli *cli = j->cli;
    const char *weights = et_cli_text(cli, "text-weights");
    et_rng rng = et_rng_make((uint64_t)et_cli_int(cli, "seed"), STREAM_WEIGHTS);
    const et_bert_config c = search_text_tower(strcmp(et_cli_text(cli, "size"), "base") == 0,
                                               et_vocabulary_size(et_wordpiece_vocabulary(j->words)),
                                               j->tokens);
    matcher *m = j->model = et_module_new(sizeof *m, "Matcher", NULL, NULL);

    if (!m)
        return et_error_status();
    m->text = et_bert_new(&m->module, "text", &c, &rng);
    const et_projection_config head = {.in = c.width, .out = et_cli_int(cli, "embedding")};
    m->head = et_projection_new(&m->module, "head", &head, &rng);
    if (!et_error_status() && weights && !search_load_text_tower(m->text, weights))
        scale_embeddings(m->text);
    if (!et_error_status() && pooling(cli) != ET_BERT_POOLER)
        et_module_freeze(&m->text->pooler->module, NULL);
    return et_error_status();
}

/* What the tower makes of texts, [n, width]. */
static et_tensor *pooled(const job *j, const et_names *list, const int32_t *order, int64_t from, int64_t n)
{
    et_tensor *ids, *mask;

    if (search_captions_rows(j->words, j->tokens, list, order, from, n, &ids, &mask))
        return NULL;
    const et_bert *text = j->model->text;
    return et_bert_encode_pooled(text, 0, et_bert_embed(text, ids, NULL), mask, pooling(j->cli));
}

static const et_names *side_of(const search_pairs *p, int side)
{
    return side == ASPECTS ? &p->aspects : &p->captions;
}

/* Unit vectors [n, d] of texts order[from .. from + n - 1] of a side. */
static et_tensor *vectors(const job *j, const search_pairs *p, int side, const int32_t *order, int64_t from,
                          int64_t n)
{
    return et_l2_normalize(
        et_projection_forward(j->model->head, pooled(j, side_of(p, side), order, from, n)), 1e-12);
}

static et_tensor *loss_of(const job *j, const search_pairs *p, const int32_t *order, int64_t from, int64_t n)
{
    return et_contrastive_loss_at(ET_CONTRASTIVE_CLIP, ET_SCALE_EXP, et_cli_real(j->cli, "tau"),
                                  vectors(j, p, ASPECTS, order, from, n),
                                  vectors(j, p, CAPTIONS, order, from, n));
}

/* --- judging --------------------------------------------------------------------------------------- */

static et_status embed(const job *j, const search_pairs *p, int side, int64_t d, float *out)
{
    const int64_t all = p->captions.n;
    et_status status = ET_OK;

    for (int64_t from = 0; from < all && !status; from += BATCH) {
        const int64_t n = all - from < BATCH ? all - from : BATCH;
        et_scope *scope = et_scope_open();
        const et_tensor *v = scope ? et_contiguous(vectors(j, p, side, NULL, from, n)) : NULL;
        status = v ? et_check_finite(v, "vectors") : et_error_status();
        if (v)
            memcpy(out + from * d, et_data(v), (size_t)(n * d) * sizeof *out);
        if (scope)
            et_scope_close(scope);
    }
    return status;
}

/* How well captions of a part are found by their aspects among all of it. */
static et_status judge(const job *j, const search_pairs *p, et_retrieval_report *out)
{
    const int64_t n = p->captions.n, d = et_cli_int(j->cli, "embedding");
    float *f = et_alloc_zero((size_t)n, (size_t)d * sizeof *f),
          *g = et_alloc_zero((size_t)n, (size_t)d * sizeof *g);
    et_status status = f && g ? ET_OK : et_error_status();

    et_no_grad_begin();
    if (!status && !(status = embed(j, p, ASPECTS, d, f)) &&
        !(status = embed(j, p, CAPTIONS, d, g)))
        status = search_captions_found(n, d, f, g, out);
    et_no_grad_end();
    et_dealloc(f);
    et_dealloc(g);
    return status;
}

/* --- training ---------------------------------------------------------------------------------------- */

static et_status begin_epoch(void *user, int64_t epoch)
{
    return search_epochs_begin(&((job *)user)->epochs, epoch);
}
static int64_t next_batch(void *user) { return search_epochs_next(&((job *)user)->epochs); }

static et_tensor *batch_loss(void *user)
{
    const job *j = user;
    const search_epochs *e = &j->epochs;

    return loss_of(j, &j->captions.train, e->order, e->at - e->size, e->size);
}

/* The loss over batches of the training's size chooses. */
static et_status validate(void *user, double *metric)
{
    job *j = user;
    const search_pairs *p = &j->captions.valid;
    const int64_t size = j->epochs.size < p->captions.n ? j->epochs.size : p->captions.n;
    double sum = 0;
    int64_t n = 0;
    et_status status = ET_OK;

    for (int64_t at = 0; at + size <= p->captions.n && !status; at += size, n++) {
        et_scope *scope = et_scope_open();
        const et_tensor *loss = scope ? loss_of(j, p, NULL, at, size) : NULL;
        status = loss ? ET_OK : et_error_status();
        sum += loss ? et_item(loss) : 0;
        if (scope)
            et_scope_close(scope);
    }
    *metric = j->epochs.valid_loss = sum / (double)n;
    return status ? status : judge(j, p, &j->valid);
}

static et_status report(void *user, const et_train_event *e)
{
    job *j = user;

    return search_epochs_report(&j->epochs, e, (et_figure[]){{"valid_r_at_10", j->valid.r_at_10}}, 1);
}

/* --- a run ----------------------------------------------------------------------------------------- */

static et_status conclude(job *j)
{
    et_run *run = j->run;
    const int64_t n = j->captions.test.captions.n;
    et_retrieval_report r;
    et_status status = judge(j, &j->captions.test, &r);

    if (!status)
        status = et_run_metrics(run, "test",
                                (et_figure[]){{"r_at_1", r.r_at_1}, {"r_at_5", r.r_at_5},
                                              {"r_at_10", r.r_at_10},
                                              {"mean_rank", r.mean_rank}, {"median_rank", r.median_rank},
                                              {"map10", r.map10}}, 6);
    if (status)
        return status;
    printf("test: captions from aspects among %lld: R@1 %.3f, R@5 %.3f, R@10 %.3f, median rank %g, MAP10 "
           "%.3f; guessing %.4f at 10\n",
           (long long)n, r.r_at_1, r.r_at_5, r.r_at_10, r.median_rank, r.map10, fmin(10 / (double)n, 1));
    et_report *page = et_report_new("Finding captions by their aspects", "A text tower reads both.");
    et_report_section(page, "Learning");
    et_run_report_curves(page, run, "train_loss", "valid_loss", "loss");
    et_run_report_curves(page, run, NULL, "valid_r_at_10", "R@10");
    return et_run_report_end(page, run, &j->model->module);
}

static et_status defaults(et_cli *cli)
{
    et_cli_default(cli, "size", "small");
    const bool base = strcmp(et_cli_text(cli, "size"), "base") == 0;

    et_cli_default(cli, "pooling", "mean");
    et_cli_default_int(cli, "embedding", 128);
    et_cli_default_int(cli, "tokens", base ? 128 : 96);
    et_cli_default_int(cli, "words", 4000);
    et_cli_default_int(cli, "epochs", 10);
    et_cli_default_int(cli, "batch", 64);
    et_cli_default_real(cli, "tau", 3);
    et_cli_default_real(cli, "lr", base ? 1e-4 : 1e-3);
    et_cli_default_real(cli, "weight-decay", 0.01);
    et_cli_default_int(cli, "patience", 0);
    return et_error_status();
}

/* Data and model. */
static et_status prepare(job *j)
{
    et_cli *cli = j->cli;

    if (defaults(cli) || search_check_weights(cli))
        return et_error_status();
    if (et_cli_text(cli, "data") && search_captions_read(cli, &j->captions))
        return et_error_status();
    if (j->captions.train.aspects.n < 1)
        return et_raise(ET_EINVAL,
                        "the captions come without aspects to find them by: --data DIR with musiccaps.csv is "
                        "needed");
    j->tokens = et_cli_int(cli, "tokens");
    j->words = search_captions_words(&j->captions, search_words_given(cli, j->run), et_cli_int(cli, "words"));
    return j->words ? make_model(j) : et_error_status();
}

static et_status match_job(job *j, et_train_result *result)
{
    et_cli *cli = j->cli;
    et_run *run = j->run;
    const int64_t all = j->captions.train.captions.n, pairs = et_cli_int(cli, "pairs");
    et_retrieval_report before;

    if (search_epochs_open(&j->epochs, cli, run, pairs > 0 && pairs < all ? pairs : all) ||
        judge(j, &j->captions.test, &before))
        return et_error_status();
    printf("before training: R@1 %.3f, R@10 %.3f\n", before.r_at_1, before.r_at_10);
    const et_optim_options how = {
        .kind = ET_ADAMW, .lr = et_cli_real(cli, "lr"), .weight_decay = et_cli_real(cli, "weight-decay")};
    const et_optim_group groups[] = {{.prefix = "text", .lr_scale = et_cli_real(cli, "base-lr")},
                                     {.prefix = NULL}};
    et_optim *opt = et_optim_new(&j->model->module, &how, groups, 2);
    if (!opt || search_captions_begin(run, cli, j->words)) {
        et_optim_free(opt);
        return et_error_status();
    }
    printf("%lld caption%s with aspects to learn from, %lld to choose by, %lld to judge on\n",
           (long long)j->epochs.n, et_plural(j->epochs.n), (long long)j->captions.valid.captions.n,
           (long long)j->captions.test.captions.n);
    const et_train_task task = {.user = j, .begin = begin_epoch, .next = next_batch, .loss = batch_loss,
                                .validate = validate};
    et_status status = search_epochs_train(&j->epochs, &j->model->module, opt, &task, report,
                                           et_cli_int(cli, "patience"), result);
    et_optim_free(opt);
    return status || result->interrupted ? status : conclude(j);
}

int search_match(et_cli *cli)
{
    job j = {.cli = cli};
    et_train_result result = {0};
    et_status status = (j.run = et_run_for_training(cli)) ? prepare(&j) : et_error_status();

    if (!status)
        status = match_job(&j, &result);
    const int code = et_run_exit(j.run, cli, status, &result);
    search_captions_free(&j.captions);
    if (j.model)
        et_module_free(&j.model->module);
    et_wordpiece_free(j.words);
    search_epochs_free(&j.epochs);
    et_run_close(j.run);
    return code;
}
