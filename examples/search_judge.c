/* Retrieval, and zero-shot genres and tags, beside the published figures: see search_judge.h. */
#include "config.h"

#include "examples/search_judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "examples/common/textplot.h"
#include "tensor/alloc.h"
#include "tensor/gemm.h"

const char *const search_genre_prompts[SEARCH_GENRE_PROMPTS] = {"The {genre} song",
                                                                "this is a music of {genre}",
                                                                "this is a sound of {genre}", "{genre}"};
const char *const search_tag_prompts[SEARCH_TAG_PROMPTS] = {"{tag}", "song with this feature: {tag}",
                                                            "The {tag} song"};

/* 1 000 pairs of MusicCaps (tables 2.2, 2.4 and 3.4). */
const search_published search_published_retrieval[] = {
    {"model-1", {0.137, 0.434, 0.591, 31.875, 6, 0.259}},
    {"model-2", {0.159, 0.428, 0.577, 24.935, 6, 0.273}},
    {"model-3", {0.089, 0.300, 0.467, 29.314, 10, 0.181}},
    {"model-4", {0.069, 0.261, 0.413, 80.735, 15, 0.152}},
    {"model-5", {0.049, 0.174, 0.303, 119.496, 23, 0.108}},
    {"model-6", {0.178, 0.482, 0.627, 35.138, 5, 0.303}},
    {"model-7", {0.154, 0.455, 0.609, 53.423, 6, 0.281}},
    {"model-8", {0.166, 0.436, 0.579, 44.134, 6, 0.278}},
    {"model-9", {0.153, 0.424, 0.574, 44.251, 7, 0.269}},
    {"model-10", {0.111, 0.376, 0.541, 34.183, 8, 0.227}},
    {"CLAP Music", {0.124, 0.361, 0.482, 49.090, 11, 0.225}},
    {"CLAP Default", {0.120, 0.301, 0.449, 43.841, 12, 0.202}}};
const int search_n_published = sizeof search_published_retrieval / sizeof search_published_retrieval[0];

/* GTZAN (tables 3.2 and 3.5) and MagnaTagATune (3.3, 3.6 and 3.7), by prompt. */
const search_published_asked search_published_prompts[SEARCH_PUBLISHED_PROMPTS] = {
    {"zero-shot", {0.679, 0.372, 0.315, 0.360}, {0.680, 0.709, 0.756}},
    {"CLAP Music", {0.659, 0.634, 0.637, 0.520}, {0.767, 0.642, 0.798}},
    {"CLAP Default", {0.460, 0.629, 0.357, 0.334}, {0.749, 0.714, 0.767}}};

void search_prompt(char out[SEARCH_TEXT], const char *prompt, const char *word)
{
    const char *open = strchr(prompt, '{'), *close = strchr(prompt, '}');

    snprintf(out, SEARCH_TEXT, "%.*s%s%s", (int)(open - prompt), prompt, strcmp(word, "hiphop") == 0
             ? "hip hop" : word, close + 1);
}

/* S [n, m] = f g^T of vectors of `width`. */
static et_status products(int64_t n, int64_t m, int64_t width, const float *f, const float *g, float *S)
{
    return et_gemm(ET_F32, &(et_gemm_args){.m = n, .n = m, .k = width, .a = f, .rsa = width, .csa = 1, .b = g,
                                           .rsb = 1, .csb = width, .c = S, .ldc = m, .alpha = 1});
}

/* S [n, words]: how well each sound fits each word in that prompt. */
static et_status ask(search_model *m, const et_names *words, const char *prompt, int64_t n, const float *g,
                     float *S)
{
    const int64_t width = m->network->width(m->root), K = words->n;
    char(*texts)[SEARCH_TEXT] = et_alloc((size_t)K * sizeof *texts);
    const char **list = et_alloc((size_t)K * sizeof *list);
    float *f = NULL;
    et_status status = texts && list ? ET_OK : et_error_status();

    for (int64_t k = 0; k < K && !status; k++) {
        search_prompt(texts[k], prompt, words->items[k]);
        list[k] = texts[k];
    }
    if (!status && !(f = search_embed_texts(m, K, list)))
        status = et_error_status();
    if (!status)
        status = products(n, K, width, g, f, S);
    et_dealloc(f);
    et_dealloc(texts);
    et_dealloc((void *)list);
    return status;
}

et_status search_ask(search_model *m, const et_names *words, const char *const *prompts, int n_prompts,
                     const float *sound, float *fit)
{
    float *S = et_alloc((size_t)words->n * sizeof *S);
    et_status status = S ? ET_OK : et_error_status();

    for (int64_t k = 0; k < words->n; k++)
        fit[k] = 0;
    for (int p = 0; p < n_prompts && !status; p++) {
        status = ask(m, words, prompts[p], 1, sound, S);
        for (int64_t k = 0; k < words->n && !status; k++)
            fit[k] += S[k] / (float)n_prompts;
    }
    et_dealloc(S);
    return status;
}

static et_status genres(search_model *m, const et_dataset *ds, const et_indices *items, const float *g,
                        search_verdict *v)
{
    const int64_t n = items->n, K = et_dataset_classes(ds);
    float *S = et_alloc_zero((size_t)n, (size_t)K * sizeof *S);
    int32_t *predicted = et_alloc((size_t)n * sizeof *predicted),
            *truth = et_alloc((size_t)n * sizeof *truth);
    int64_t *counts = et_alloc_zero((size_t)K, (size_t)K * sizeof *counts);
    et_status status = S && predicted && truth && counts ? ET_OK : et_error_status();
    et_class_report report;

    for (int64_t i = 0; i < n && !status; i++)
        truth[i] = et_data_i32(ds->y)[items->items[i]];
    for (int p = 0; p < SEARCH_GENRE_PROMPTS && !status; p++) {
        status = ask(m, &ds->classes, search_genre_prompts[p], n, g, S);
        if (!status)
            status = et_metric_argmax(n, K, S, predicted);
        if (!status)
            status = et_metric_confusion(n, K, predicted, truth, counts);
        if (!status)
            status = et_metric_report(K, counts, &report, NULL);
        if (!status) {
            v->f1_macro[p] = report.f1_macro;
            v->f1_micro[p] = report.f1_micro;
        }
    }
    v->classes = K;
    et_dealloc(S);
    et_dealloc(predicted);
    et_dealloc(truth);
    et_dealloc(counts);
    return status;
}

static et_status tags(search_model *m, const et_dataset *ds, const et_indices *items, const float *g,
                      search_verdict *v)
{
    const int64_t n = items->n, L = ds->tag_names.n;
    float *S = et_alloc_zero((size_t)n, (size_t)L * sizeof *S);
    uint8_t *labels = et_alloc_zero((size_t)n, (size_t)L);
    et_status status = S && labels ? ET_OK : et_error_status();
    et_tag_report report;

    for (int64_t i = 0; i < n && !status; i++)
        memcpy(labels + i * L, (const uint8_t *)et_data(ds->tags) + items->items[i] * L, (size_t)L);
    for (int p = 0; p < SEARCH_TAG_PROMPTS && !status; p++) {
        status = ask(m, &ds->tag_names, search_tag_prompts[p], n, g, S);
        if (!status)
            status = et_metric_tags(n, L, S, labels, &report, NULL, NULL);
        if (!status)
            v->roc_auc[p] = report.roc_auc;
    }
    v->tags = L;
    et_dealloc(S);
    et_dealloc(labels);
    return status;
}

et_status search_judge(search_model *m, const search_data *d, const et_indices *items, bool zero_shot,
                       search_verdict *v)
{
    const int64_t n = items->n, width = m->network->width(m->root);
    const char **captions = et_alloc((size_t)n * sizeof *captions);
    float *f = NULL, *g = NULL;

    *v = (search_verdict){.n = n};
    v->similarity = et_alloc_zero((size_t)n, (size_t)n * sizeof *v->similarity);
    v->ranks = et_alloc((size_t)n * sizeof *v->ranks);
    et_status status = captions && v->similarity && v->ranks ? ET_OK : et_error_status();
    for (int64_t i = 0; i < n && !status; i++)
        captions[i] = d->captions.items[items->items[i]];
    if (!status && (!(f = search_embed_texts(m, n, captions)) ||
                    !(g = search_embed_items(m, d, items->items, n, NULL))))
        status = et_error_status();
    if (!status)
        status = products(n, n, width, f, g, v->similarity);
    if (!status)
        status = et_metric_ranks(n, n, v->similarity, NULL, v->ranks);
    if (!status)
        status = et_metric_retrieval(n, v->ranks, 0, &v->found);
    if (!status && zero_shot && d->from.kind != SEARCH_TASK && et_dataset_classes(d->ds) > 1)
        status = genres(m, d->ds, items, g, v);
    if (!status && zero_shot && d->ds->tags)
        status = tags(m, d->ds, items, g, v);
    et_dealloc((void *)captions);
    et_dealloc(f);
    et_dealloc(g);
    return status;
}

et_status search_judge_prompts(search_model *m, const et_dataset *ds, const et_indices *items, const float *g,
                               search_verdict *v)
{
    et_status status = ET_OK;

    *v = (search_verdict){.n = items->n};
    if (et_dataset_classes(ds) > 1)
        status = genres(m, ds, items, g, v);
    if (!status && ds->tags)
        status = tags(m, ds, items, g, v);
    return status;
}

void search_verdict_free(search_verdict *v)
{
    et_dealloc(v->similarity);
    et_dealloc(v->ranks);
    *v = (search_verdict){0};
}

/* --- printing ------------------------------------------------------------------------------------- */

static double best(const double *v, int n)
{
    double most = v[0];

    for (int i = 1; i < n; i++)
        most = fmax(most, v[i]);
    return most;
}

int search_figures(const search_verdict *v, const char *prefix, et_figure out[SEARCH_FIGURES])
{
    /* With a prefix, and without. */
    static const char *const names[][2] = {
        {"valid_r_at_1", "r_at_1"},         {"valid_r_at_5", "r_at_5"},
        {"valid_r_at_10", "r_at_10"},
        {"valid_mean_rank", "mean_rank"},   {"valid_median_rank", "median_rank"}, {"valid_map10", "map10"}};
    static const char *const f1[] = {"f1_macro_prompt_1", "f1_macro_prompt_2", "f1_macro_prompt_3",
                                     "f1_macro_prompt_4"};
    static const char *const micro[] = {"f1_micro_prompt_1", "f1_micro_prompt_2", "f1_micro_prompt_3",
                                        "f1_micro_prompt_4"};
    static const char *const auc[] = {"roc_auc_prompt_1", "roc_auc_prompt_2", "roc_auc_prompt_3"};
    const double values[] = {v->found.r_at_1,    v->found.r_at_5,      v->found.r_at_10,
                             v->found.mean_rank, v->found.median_rank, v->found.map10};
    int n = 0;

    for (int i = 0; i < 6; i++)
        out[n++] = (et_figure){names[i][prefix ? 0 : 1], values[i]};
    if (v->classes > 0)
        out[n++] = (et_figure){"f1_macro", best(v->f1_macro, SEARCH_GENRE_PROMPTS)};
    for (int p = 0; p < SEARCH_GENRE_PROMPTS && v->classes > 0; p++) {
        out[n++] = (et_figure){f1[p], v->f1_macro[p]};
        out[n++] = (et_figure){micro[p], v->f1_micro[p]};
    }
    if (v->tags > 0)
        out[n++] = (et_figure){"roc_auc", best(v->roc_auc, SEARCH_TAG_PROMPTS)};
    for (int p = 0; p < SEARCH_TAG_PROMPTS && v->tags > 0; p++)
        out[n++] = (et_figure){auc[p], v->roc_auc[p]};
    return n;
}

static void print_row(FILE *out, const char *name, const double v[6])
{
    fprintf(out, "  %-24s %6.3f %6.3f %6.3f %8.3f %6.1f %6.3f\n", name, v[0], v[1], v[2], v[3], v[4], v[5]);
}

/* What guessing gives among n. */
static void chance(int64_t n, double v[6])
{
    const double N = (double)n;

    v[5] = 0;
    for (int k = 0; k < 10 && k < n; k++)
        v[5] += 1 / (k + 1.0) / N;
    v[0] = 1 / N;
    v[1] = fmin(5 / N, 1);
    v[2] = fmin(10 / N, 1);
    v[3] = v[4] = (N - 1) / 2;
}

static void print_found(FILE *out, const search_verdict *v)
{
    const et_retrieval_report *r = &v->found;
    double guess[6];
    char name[48];

    chance(v->n, guess);
    fprintf(out, "\nfinding a sound by its caption (ranks from 0)\n  %-24s %6s %6s %6s %8s %6s %6s\n", "",
            "R@1", "R@5", "R@10", "MeanR", "MedR", "MAP10");
    snprintf(name, sizeof name, "this model, %lld sound%s", (long long)v->n, et_plural(v->n));
    print_row(out, name, (double[]){r->r_at_1, r->r_at_5, r->r_at_10, r->mean_rank, r->median_rank,
                                    r->map10});
    print_row(out, "guessing", guess);
    fprintf(out, "  published, 1000 sounds of MusicCaps:\n");
    for (int i = 0; i < search_n_published; i++)
        print_row(out, search_published_retrieval[i].name, search_published_retrieval[i].values);
}

void search_print(FILE *out, const search_verdict *v)
{
    if (v->ranks)
        print_found(out, v);
    if (v->classes > 0) {
        fprintf(out,
                "\ngenres from prompts, %lld classes (F1; published: GTZAN, 10 classes)\n  %-32s %6s %6s",
                (long long)v->classes, "", "macro", "micro");
        for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
            fprintf(out, " %13s", search_published_prompts[k].name);
        for (int p = 0; p < SEARCH_GENRE_PROMPTS; p++) {
            fprintf(out, "\n  %-32s %6.3f %6.3f", search_genre_prompts[p], v->f1_macro[p], v->f1_micro[p]);
            for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
                fprintf(out, " %13.3f", search_published_prompts[k].f1[p]);
        }
        fprintf(out, "\n");
    }
    if (v->tags > 0) {
        fprintf(out,
                "\ntags from prompts, %lld tag%s (macro ROC-AUC; published: MagnaTagATune, 50 tags; MuLan "
                "M-AST 0.778, M-ResNet-50 0.782)\n  %-32s %6s",
                (long long)v->tags, et_plural(v->tags), "", "");
        for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
            fprintf(out, " %13s", search_published_prompts[k].name);
        for (int p = 0; p < SEARCH_TAG_PROMPTS; p++) {
            fprintf(out, "\n  %-32s %6.3f", search_tag_prompts[p], v->roc_auc[p]);
            for (int k = 0; k < SEARCH_PUBLISHED_PROMPTS; k++)
                fprintf(out, " %13.3f", search_published_prompts[k].auc[p]);
        }
        fprintf(out, "\n");
    }
}
