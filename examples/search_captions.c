/* Captions for towers that learn from texts alone: see search_captions.h. */
#include "config.h"

#include "examples/search_captions.h"

#include <inttypes.h>
#include <string.h>

#include "autograd/ops.h"
#include "datasets/corpora.h"
#include "datasets/corpus.h"
#include "datasets/folder.h"
#include "examples/search_data.h"
#include "examples/search_model.h"
#include "tensor/alloc.h"
#include "tensor/gemm.h"

enum { VALID_EVERY = 20 };

/* --- reading ------------------------------------------------------------------------------------------- */

static et_status add(search_pairs *p, const char *caption, const char *aspects)
{
    et_status status = et_names_add(&p->captions, caption);

    return status || !aspects ? status : et_names_add(&p->aspects, aspects);
}

/* To the training part, every twentieth to validation. */
static et_status add_training(search_captions *c, const char *caption, const char *aspects)
{
    const int64_t n = c->train.captions.n + c->valid.captions.n;

    return add(n % VALID_EVERY == VALID_EVERY - 1 ? &c->valid : &c->train, caption, aspects);
}

static et_status read_musiccaps(search_captions *c, const char *path)
{
    et_musiccaps_texts t;
    et_status status = et_musiccaps_texts_read(path, &t);

    for (int64_t i = 0; !status && i < t.captions.n; i++) {
        const char *text = t.captions.items[i], *said = t.aspects.n ? t.aspects.items[i] : NULL;
        status = t.eval[i] ? add(&c->test, text, said) : add_training(c, text, said);
    }
    et_musiccaps_texts_free(&t);
    return status;
}

static et_status read_collection(search_captions *out, et_collection *c)
{
    const int32_t *split = c && c->split ? et_data_i32(c->split) : NULL;
    int64_t held = c ? et_names_find(&c->splits, "test") : -1;
    et_status status = c ? ET_OK : et_error_status();

    held = c && held < 0 ? et_names_find(&c->splits, "valid") : held;
    for (int64_t i = 0; !status && i < c->captions.n; i++)
        status = split && split[i] == held ? add(&out->test, c->captions.items[i], NULL)
                                           : add_training(out, c->captions.items[i], NULL);
    et_collection_free(c);
    return status;
}

et_status search_captions_read(const et_cli *cli, search_captions *out)
{
    const char *dir = et_cli_text(cli, "data");
    const int kind = search_kind_of(dir, "corpus");
    et_corpus_options o = et_corpus_defaults();
    char *path = NULL;
    et_status status = kind < 0 ? et_error_status() : ET_OK;

    if (!status && dir)
        status = et_cli_refuse(cli, "songs", "with --data");
    if (!status && et_cli_text(cli, "vocab"))
        status = et_cli_refuse(cli, "words", "with --vocab");
    if (status)
        return status;
    if (kind == SEARCH_CORPUS)
        o.songs = et_cli_int(cli, "songs");
    if (kind == SEARCH_MUSICCAPS)
        status = (path = et_path_join(dir, "musiccaps.csv")) ? read_musiccaps(out, path) : et_error_status();
    else if (!status)
        status = read_collection(out, kind == SEARCH_CORPUS     ? et_corpus(&o)
                                      : kind == SEARCH_RENDERED ? et_rendered_excerpts(dir)
                                                                : et_recorded_clips(dir));
    et_dealloc(path);
    const int64_t train = out->train.captions.n, valid = out->valid.captions.n, test = out->test.captions.n;
    if (!status && (train < 1 || valid < 1 || test < 1))
        status = et_raise(ET_EINVAL, "%" PRId64 " caption%s too few to train, validate and judge on",
                          train + valid + test, train + valid + test == 1 ? " is" : "s are");
    return status;
}

void search_captions_free(search_captions *c)
{
    search_pairs *const parts[] = {&c->train, &c->valid, &c->test};

    for (int i = 0; i < 3; i++) {
        et_names_free(&parts[i]->captions);
        et_names_free(&parts[i]->aspects);
    }
}

/* --- tokens ---------------------------------------------------------------------------------------- */

et_wordpiece *search_captions_words(const search_captions *c, const char *path, int64_t size)
{
    et_wordpiece *w = path ? et_wordpiece_read(path)
                           : et_wordpiece_new(et_vocabulary_of_pieces(&c->train.captions, (int32_t)size, 2));

    for (int k = 0; w && k < ET_N_SPECIALS; k++)
        if (et_wordpiece_special(w, (et_special)k) < 0) {
            et_raise(ET_EFORMAT, "%s: a special token such as [MASK] is missing",
                     path ? path : "the captions' vocabulary");
            et_wordpiece_free(w);
            w = NULL;
        }
    return w;
}

et_status search_captions_begin(et_run *run, const et_cli *cli, const et_wordpiece *words)
{
    et_json_writer w;

    if (et_run_config_begin(run, cli, &w) || et_run_config_end(run, &w))
        return et_error_status();
    return search_words_write(words, run);
}

et_status search_captions_rows(const et_wordpiece *words, int64_t tokens, const et_names *list,
                               const int32_t *order, int64_t from, int64_t n, et_tensor **ids,
                               et_tensor **mask)
{
    const search_model m = {.words = (et_wordpiece *)(uintptr_t)words, .sizes = {.tokens = tokens}};
    const char **chosen = et_alloc((size_t)n * sizeof *chosen);
    search_texts t = {0};
    et_status status = chosen ? ET_OK : et_error_status();

    for (int64_t i = 0; i < n && !status; i++)
        chosen[i] = list->items[order ? order[from + i] : from + i];
    if (!status)
        status = search_texts_of(&m, n, chosen, &t);
    et_dealloc((void *)chosen);
    *ids = t.ids;
    *mask = t.mask;
    return status;
}

/* --- finding --------------------------------------------------------------------------------------- */

et_status search_captions_found(int64_t n, int64_t d, const float *f, const float *g,
                                et_retrieval_report *out)
{
    float *S = et_alloc_zero((size_t)n, (size_t)n * sizeof *S);
    int64_t *ranks = et_alloc((size_t)n * sizeof *ranks);
    et_status status = S && ranks ? ET_OK : et_error_status();

    if (!status)
        status = et_gemm(ET_F32, &(et_gemm_args){.m = n, .n = n, .k = d, .a = f, .rsa = d, .csa = 1, .b = g,
                                                 .rsb = 1, .csb = d, .c = S, .ldc = n, .alpha = 1});
    if (!status)
        status = et_metric_ranks(n, n, S, NULL, ranks);
    if (!status)
        status = et_metric_retrieval(n, ranks, 0, out);
    et_dealloc(S);
    et_dealloc(ranks);
    return status;
}
