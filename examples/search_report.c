/* report.html of music-search: see search_report.h. */
#include "config.h"

#include "examples/search_report.h"

#include <stdio.h>
#include <string.h>

#include "examples/common/run_model.h"
#include "examples/common/textplot.h"
#include "nn/nearest.h"
#include "tensor/alloc.h"

enum { SHOWN = 60, QUERIES = 6, ANSWERS = 3, COLUMNS = 7, PLAYER_RATE = 16000 };

/* --- tables ----------------------------------------------------------------------------------------- */

/* Cells of a table of texts, put together one by one. */
typedef struct cells {
    et_names texts;
    et_status status;
} cells;

static void put(cells *c, const char *fmt, double v)
{
    char text[48];

    snprintf(text, sizeof text, fmt, v);
    if (!c->status)
        c->status = et_names_add(&c->texts, text);
}

static void put_name(cells *c, const char *name)
{
    if (!c->status)
        c->status = et_names_add(&c->texts, name);
}

static void put_retrieval(cells *c, const char *name, const double v[6])
{
    static const char *const formats[] = {"%.3f", "%.3f", "%.3f", "%.2f", "%.1f", "%.3f"};

    put_name(c, name);
    for (int k = 0; k < 6; k++)
        put(c, formats[k], v[k]);
}

static et_status end_table(et_report *r, cells *c, const char *caption, int cols, const char *const *header)
{
    if (!c->status)
        et_report_table(r, caption, cols, header, (int)(c->texts.n / cols),
                        (const char *const *)c->texts.items);
    et_names_free(&c->texts);
    return c->status;
}

static et_status figures(et_report *r, const search_verdict *v)
{
    static const char *const found[COLUMNS] = {"model", "R@1", "R@5", "R@10", "MeanR", "MedR", "MAP10"};
    static const char *const f1[] = {"prompt", "macro F1", "micro F1", "published: zero-shot", "CLAP Music",
                                     "CLAP Default"};
    static const char *const auc[] = {"prompt", "macro ROC-AUC", "published: zero-shot", "CLAP Music",
                                      "CLAP Default"};
    const et_retrieval_report *t = &v->found;
    cells c = {{0, NULL}, ET_OK};
    char name[64];

    snprintf(name, sizeof name, "this model, %lld sound%s", (long long)v->n, et_plural(v->n));
    put_retrieval(&c, name, (double[]){t->r_at_1, t->r_at_5, t->r_at_10, t->mean_rank, t->median_rank,
                                       t->map10});
    for (int i = 0; i < search_n_published; i++)
        put_retrieval(&c, search_published_retrieval[i].name, search_published_retrieval[i].values);
    et_status status = end_table(r, &c,
                                 "Finding a sound by its caption, ranks counted from 0. The rows below the "
                                 "first are published figures for 1000 clips of MusicCaps.",
                                 COLUMNS, found);
    if (!status && v->classes > 0) {
        for (int p = 0; p < SEARCH_GENRE_PROMPTS; p++) {
            put_name(&c, search_genre_prompts[p]);
            put(&c, "%.3f", v->f1_macro[p]);
            put(&c, "%.3f", v->f1_micro[p]);
            for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
                put(&c, "%.3f", search_published_prompts[k].f1[p]);
        }
        status = end_table(r, &c, "Genres from prompts; published is the macro F1 of ten genres (GTZAN).",
                           3 + SEARCH_PUBLISHED_PROMPTS, f1);
    }
    if (!status && v->tags > 0) {
        for (int p = 0; p < SEARCH_TAG_PROMPTS; p++) {
            put_name(&c, search_tag_prompts[p]);
            put(&c, "%.3f", v->roc_auc[p]);
            for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
                put(&c, "%.3f", search_published_prompts[k].auc[p]);
        }
        status = end_table(r, &c,
                           "Tags from prompts; published are 50 tags of MagnaTagATune, of which MuLan has "
                           "0.778 and 0.782.", 2 + SEARCH_PUBLISHED_PROMPTS, auc);
    }
    return status;
}

/* --- pictures --------------------------------------------------------------------------------------- */

static void similarity(et_report *r, const search_verdict *v)
{
    const int64_t n = v->n < SHOWN ? v->n : SHOWN;
    float *part = et_alloc_zero((size_t)n, (size_t)n * sizeof *part);
    char caption[160] = "Captions downwards, sounds across; what belongs together is on the diagonal.";
    const size_t said = strlen(caption);

    if (n < v->n)
        snprintf(caption + said, sizeof caption - said, " The first %lld of %lld are shown.", (long long)n,
                 (long long)v->n);
    for (int64_t i = 0; part && i < n; i++)
        memcpy(part + i * n, v->similarity + i * v->n, (size_t)n * sizeof *part);
    if (part)
        et_report_heatmap(r, &(et_heatmap){.what = "Similarity of captions and sounds", .x_label = "sound",
                                           .y_label = "caption", .value_label = "similarity", .rows = n,
                                           .cols = n, .data = part, .rows_down = true, .map = ET_CMAP_LAGOON,
                                           .height = 420},
                          caption);
    et_dealloc(part);
}

static void histogram(et_report *r, const search_verdict *v)
{
    static const int64_t ends[] = {1, 2, 5, 10, 20, 50, 100, INT64_MAX};
    static const char *const names[] = {"0", "1", "2 - 4", "5 - 9", "10 - 19", "20 - 49", "50 - 99",
                                        "100 and more"};
    enum { BINS = sizeof ends / sizeof ends[0] };
    et_bar bars[BINS];

    for (int k = 0; k < BINS; k++)
        bars[k] = (et_bar){.name = names[k]};
    for (int64_t i = 0; i < v->n; i++) {
        int k = 0;
        while (v->ranks[i] >= ends[k])
            k++;
        bars[k].value += 1;
    }
    et_report_bars(r, &(et_bars){.what = "How many captions have their sound at which rank",
                                 .label = "captions", .bars = bars, .n_bars = BINS},
                   "Ranks of the right sound, from 0.");
}

/* --- answers ---------------------------------------------------------------------------------------- */

/* A player of item i, where it can be heard. */
static et_status player(et_report *r, const search_data *d, int64_t i)
{
    et_audio a;
    unsigned char *wav = NULL;
    size_t size = 0;

    if (!d->c || !d->c->load || (d->c->files.n == 0 && d->from.kind != SEARCH_CORPUS))
        return ET_OK;
    if (et_collection_audio(d->c, i, &a)) { /* a report without that sound is a report */
        et_error_clear();
        return ET_OK;
    }
    et_status status = et_audio_to_mono(&a);
    if (!status)
        status = et_audio_to_rate(&a, PLAYER_RATE);
    if (!status && (wav = et_audio_wav(d->c->names.items[i], a.samples, a.rate, ET_WAV_PCM16, &size)))
        et_report_audio(r, wav, size, NULL);
    et_dealloc(wav);
    et_audio_free(&a);
    return status ? status : et_error_status();
}

/* Some captions, evenly spread, and the sounds that fit them best. */
static et_status answers(et_report *r, const search_data *d, const et_indices *items, const search_verdict *v)
{
    const int64_t shown = v->n < QUERIES ? v->n : QUERIES;
    const float one = 1;
    et_status status = ET_OK;

    for (int64_t q = 0; q < shown && !status; q++) {
        const int64_t i = q * v->n / shown;
        int32_t best[ANSWERS];
        float score[ANSWERS];
        char text[512], name[64];
        const int64_t n = et_nearest(v->n, 1, v->similarity + i * v->n, &one, ANSWERS, best, score);
        if (n < 0)
            return (et_status)n;
        et_report_text(r, "\"%s\" - its own sound is %s at rank %lld.", d->captions.items[items->items[i]],
                       search_item_name(d, items->items[i], name), (long long)v->ranks[i]);
        for (int64_t k = 0; k < n && !status; k++) {
            const int32_t item = items->items[best[k]];
            snprintf(text, sizeof text, "%lld. %s (%.3f)%s: %s", (long long)k + 1,
                     search_item_name(d, item, name), (double)score[k], best[k] == i ? ", the right one" : "",
                     d->captions.items[item]);
            et_report_text(r, "%s", text);
            status = player(r, d, item);
        }
    }
    return status;
}

et_status search_report(et_run *run, const search_model *m, const search_data *d, const et_indices *items,
                        const search_verdict *v, const char *part)
{
    char r1[32], r10[32], median[32], n[32];
    et_report *r = et_report_new("Finding music by describing it",
                                 "A tower reads captions, another hears sounds, and both lead into one "
                                 "space, in which a caption and its sound lie close together.");

    snprintf(r1, sizeof r1, "%.3f", v->found.r_at_1);
    snprintf(r10, sizeof r10, "%.3f", v->found.r_at_10);
    snprintf(median, sizeof median, "%g", v->found.median_rank);
    snprintf(n, sizeof n, "%lld", (long long)v->n);
    et_report_keys(r, (et_key[]){{"R@1", r1, part}, {"R@10", r10, part}, {"median rank", median, "from 0"},
                                 {"sounds", n, part}}, 4);
    et_report_section(r, "Figures");
    et_status status = figures(r, v);
    if (!status && et_run_log_rows(run) > 0) {
        et_report_section(r, "Learning");
        et_run_report_curves(r, run, "train_loss", "valid_loss", "loss");
        et_run_report_curves(r, run, NULL, "valid_r_at_10", "R@10 on validation data");
    }
    et_report_section(r, "Similarity");
    similarity(r, v);
    histogram(r, v);
    et_report_section(r, "Answers");
    if (!status)
        status = answers(r, d, items, v);
    if (!status)
        return et_run_report_end(r, run, m->root);
    et_report_free(r);
    return status;
}
