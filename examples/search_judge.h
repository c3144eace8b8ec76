/* How well a model of music-search finds: retrieval of sounds by their captions, and genres and tags without
 * having been trained on them, from prompts. With the published figures to compare with. */
#ifndef ETUDE_EXAMPLES_SEARCH_JUDGE_H
#define ETUDE_EXAMPLES_SEARCH_JUDGE_H

#include "examples/search_model.h"
#include "nn/metrics.h"

enum { SEARCH_GENRE_PROMPTS = 4, SEARCH_TAG_PROMPTS = 3, SEARCH_FIGURES = 32, SEARCH_TEXT = 256 };

extern const char *const search_genre_prompts[SEARCH_GENRE_PROMPTS],
    *const search_tag_prompts[SEARCH_TAG_PROMPTS];

/* Replaces the part in braces of a prompt. */
void search_prompt(char out[SEARCH_TEXT], const char *prompt, const char *word);

typedef struct search_verdict {
    int64_t n;           /* captions, and sounds among which each is to find its own */
    float *similarity;   /* [n, n]: caption, sound */
    int64_t *ranks;      /* [n], from 0 */
    et_retrieval_report found;
    int64_t classes, tags;                      /* 0: no zero-shot figures of these */
    double f1_macro[SEARCH_GENRE_PROMPTS], f1_micro[SEARCH_GENRE_PROMPTS];
    double roc_auc[SEARCH_TAG_PROMPTS];
} search_verdict;

/* Asks m with the captions of the items; with zero_shot also with prompts.
 * Released with search_verdict_free. */
et_status search_judge(search_model *m, const search_data *d, const et_indices *items, bool zero_shot,
                       search_verdict *v);
/* The same with prompts alone, of sounds that have classes or tags; g [items, width] are their vectors. */
et_status search_judge_prompts(search_model *m, const et_dataset *ds, const et_indices *items, const float *g,
                               search_verdict *v);
void search_verdict_free(search_verdict *v);

/* Of a sound's vector [width]: how well each word fits it, the mean over the prompts; fit [words]. */
et_status search_ask(search_model *m, const et_names *words, const char *const *prompts, int n_prompts,
                     const float *sound, float *fit);

/* The figures for log.jsonl (with the prefix "valid_") and metrics.json. Returns their number. */
int search_figures(const search_verdict *v, const char *prefix, et_figure out[SEARCH_FIGURES]);

/* Prints them beside the published ones. */
void search_print(FILE *out, const search_verdict *v);

/* A row of a table of published figures. */
typedef struct search_published {
    const char *name;
    double values[6]; /* R@1, R@5, R@10, MeanR, MedR, MAP10 */
} search_published;
extern const search_published search_published_retrieval[];
extern const int search_n_published;

/* Published figures of prompts: macro F1 of the ten genres of GTZAN,
 * macro ROC-AUC of 50 tags of MagnaTagATune. */
enum { SEARCH_PUBLISHED_PROMPTS = 3 };
typedef struct search_published_asked {
    const char *name;
    double f1[SEARCH_GENRE_PROMPTS], auc[SEARCH_TAG_PROMPTS];
} search_published_asked;
extern const search_published_asked search_published_prompts[SEARCH_PUBLISHED_PROMPTS];

#endif
