/* music-search: finding music by describing it.
 *
 *     music-search train [--data DIR]           captions and sounds -> two towers -> report
 *     music-search pretrain [--data DIR]        captions -> a text tower that guesses masked words
 *     music-search match --data DIR             a text tower that finds captions by their aspects
 *     music-search eval --out RUN               figures on the test part, beside the published ones
 *     music-search index DIR --out RUN          embeds a library of sounds
 *     music-search query "slow sad piano" -k 10 --out RUN
 *     music-search zero-shot [SOUND] --out RUN  genres and tags from prompts
 *
 * The models are rows of search_networks.c; data are search_data.c. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "examples/common/progress.h"
#include "examples/common/run_train.h"
#include "examples/common/textplot.h"
#include "examples/search_index.h"
#include "examples/search_judge.h"
#include "examples/search_match.h"
#include "examples/search_model.h"
#include "examples/search_pretrain.h"
#include "examples/search_report.h"
#include "examples/search_train.h"
#include "nn/nearest.h"
#include "tensor/alloc.h"

/* --- a run that is read ------------------------------------------------------------------------------- */

typedef struct reading {
    et_run *run;
    search_model *model;
    search_data *data;
    search_verdict v;
} reading;

static et_status open_model(et_cli *cli, reading *s)
{
    if (!(s->run = et_run_for_reading(cli)))
        return et_error_status();
    const char *verb = et_run_verb(s->run);
    if (verb[0] && strcmp(verb, "train") != 0)
        return et_raise(ET_EINVAL, "%s was made by %s and is a text tower alone: %s is for what train makes",
                        et_run_dir(s->run), verb, et_cli_verb(cli)->name);
    return (s->model = search_model_open(cli, s->run)) ? ET_OK : et_error_status();
}

/* The model and the test part of its data, or of other data. */
static et_status open_judged(et_cli *cli, reading *s)
{
    if (open_model(cli, s) || !(s->data = search_open_data(cli, s->run, &s->model->sizes.input)))
        return et_error_status();
    return search_judge(s->model, s->data, &s->data->test, true, &s->v);
}

static int close_reading(et_cli *cli, reading *s, et_status status)
{
    search_verdict_free(&s->v);
    search_data_free(s->data);
    search_model_free(s->model);
    et_run_close(s->run);
    return et_run_exit(NULL, cli, status, &(et_train_result){0});
}

/* --- verbs --------------------------------------------------------------------------------------------- */

static int eval(et_cli *cli)
{
    reading s = {0};
    et_figure figures[SEARCH_FIGURES];
    et_status status = open_judged(cli, &s);

    if (!status)
        status = et_run_metrics(s.run, "test", figures, search_figures(&s.v, NULL, figures));
    if (!status)
        status = search_report(s.run, s.model, s.data, &s.data->test, &s.v, "test");
    if (!status) {
        search_print(stdout, &s.v);
        printf("\nreport: %s\n", et_run_path(s.run, ET_RUN_REPORT));
    }
    return close_reading(cli, &s, status);
}

/* Where the index of a run is. */
static const char *index_path(const et_cli *cli, et_run *run)
{
    const char *path = et_cli_text(cli, "index");

    return path ? path : et_run_path(run, "index.safetensors");
}

static int make_index(et_cli *cli)
{
    reading s = {0};
    search_index *x = NULL;
    et_status status = open_model(cli, &s);
    const char *path = status ? NULL : index_path(cli, s.run);

    if (!status && (!path || !(x = search_index_make(s.model, s.run, et_cli_operand(cli, 0), path))))
        status = et_error_status();
    if (!status) {
        printf("%lld sound%s %s in %s", (long long)x->names.n, et_plural(x->names.n),
               x->names.n == 1 ? "is" : "are", path);
        if (x->broken > 0)
            printf(", %lld could not be read", (long long)x->broken);
        printf("\n");
    }
    search_index_free(x);
    return close_reading(cli, &s, status);
}

/* Whether the model knows any of the words; pieces that it does not know say nothing to it. */
static bool knows(const et_wordpiece *words, const et_tokens *tokens)
{
    const int32_t unknown = et_wordpiece_special(words, ET_TOKEN_UNK);

    for (int64_t i = 0; i < tokens->n; i++)
        if (tokens->ids[i] != unknown)
            return true;
    return false;
}

static void print_answer(int64_t place, double score, const char *name)
{
    printf("%3lld. %6.3f  ", (long long)place, score);
    et_text_print(stdout, name, 0);
    putchar('\n');
}

static int query(et_cli *cli)
{
    reading s = {0};
    search_index *x = NULL;
    const char *text = et_cli_operand(cli, 0);
    const int shown = et_text_cut(text, 80);
    const int64_t k = et_cli_int(cli, "k");
    float *vector = NULL, *score = NULL;
    int32_t *best = NULL;
    et_tokens tokens = {NULL, 0, 0};

    et_status status = text[strspn(text, " \t\n")] ? open_model(cli, &s)
                                                   : et_raise(ET_EINVAL, "the query is empty");
    const char *path = status ? NULL : index_path(cli, s.run);
    if (!status && (!path || !(x = search_index_open(s.model, s.run, path))))
        status = et_error_status();
    const double began = et_seconds();
    if (!status)
        status = et_wordpiece_encode(s.model->words, text, strlen(text), &tokens);
    if (!status && tokens.n == 0)
        status = et_raise(ET_EINVAL, "\"%.*s\": there are no words in the query", shown, text);
    if (!status && !knows(s.model->words, &tokens))
        status = et_raise(ET_EINVAL, "\"%.*s\": the model knows none of these words", shown, text);
    if (!status && (!(score = et_alloc((size_t)k * sizeof *score)) ||
                    !(best = et_alloc((size_t)k * sizeof *best)) ||
                    !(vector = search_embed_texts(s.model, 1, &text))))
        status = et_error_status();
    const int64_t n = status ? 0 : et_nearest(x->names.n, x->vectors->shape[1], et_data(x->vectors), vector,
                                              k, best, score);
    if (n < 0)
        status = et_fail_status(path);
    for (int64_t i = 0; i < n; i++)
        print_answer(i + 1, (double)score[i], x->names.items[best[i]]);
    if (!status)
        printf("%lld of %lld sound%s in %.1f ms\n", (long long)n, (long long)x->names.n,
               et_plural(x->names.n), 1e3 * (et_seconds() - began));
    et_tokens_free(&tokens);
    et_dealloc(vector);
    et_dealloc(score);
    et_dealloc(best);
    search_index_free(x);
    return close_reading(cli, &s, status);
}

/* Prints the words that fit a sound best. */
static et_status print_best(search_model *m, const char *what, const et_names *words,
                            const char *const *prompts, int n_prompts, const float *sound)
{
    enum { MOST = 5 };
    const float one = 1;
    float *fit = et_alloc((size_t)(words->n + 1) * sizeof *fit), score[MOST];
    int32_t best[MOST];
    et_status status = fit ? search_ask(m, words, prompts, n_prompts, sound, fit) : et_error_status();
    const int64_t n = status ? status : et_nearest(words->n, 1, fit, &one, MOST, best, score);

    for (int64_t i = 0; i < n; i++) {
        fputs(i ? ", " : what, stdout);
        et_text_print(stdout, words->items[best[i]], 0);
        printf(" %.3f%s", (double)score[i], i == n - 1 ? "\n" : "");
    }
    et_dealloc(fit);
    return n < 0 ? (et_status)n : ET_OK;
}

/* What a sound is, by prompts. */
static int name_sound(et_cli *cli, const char *path)
{
    reading s = {0};
    float *sound = NULL;
    et_status status = et_cli_refuse(cli, "data cache top-tags", "beside a SOUND");

    if (!status)
        status = open_model(cli, &s);
    if (!status && s.model->genres.n == 0 && s.model->tags.n == 0)
        status = et_raise(ET_EINVAL, "the model's data had neither genres nor tags");
    if (!status && (!(sound = et_alloc((size_t)s.model->network->width(s.model->root) * sizeof *sound)) ||
                    search_embed_sound(s.model, s.run, path, sound)))
        status = et_error_status();
    if (!status && s.model->genres.n > 0)
        status = print_best(s.model, "genres: ", &s.model->genres, search_genre_prompts, SEARCH_GENRE_PROMPTS,
                            sound);
    if (!status && s.model->tags.n > 0)
        status = print_best(s.model, "tags:   ", &s.model->tags, search_tag_prompts, SEARCH_TAG_PROMPTS,
                            sound);
    et_dealloc(sound);
    return close_reading(cli, &s, status);
}

/* The items that are judged: those of the split "test", where there is one, else all. */
static et_status judged_items(const et_dataset *ds, et_indices *items)
{
    et_status status = et_names_find(&ds->splits, "test") < 0 ? ET_OK : et_split_named(ds, "test", items);

    return status || items->n > 0 ? status : et_split_all(ds, items);
}

/* Figures of prompts over sounds without captions, each heard as a whole, as in an index. */
static int ask_sounds(et_cli *cli, const et_collection *c)
{
    reading s = {0};
    et_indices items = {0};
    et_dataset *ds = NULL;
    float *vectors = NULL;
    et_status status = et_cli_refuse(cli, "cache", "with sounds that have no captions");

    if (!status && c->tag_names.n == 0)
        status = et_cli_refuse(cli, "top-tags", "but with MagnaTagATune");
    if (!status)
        status = open_model(cli, &s);
    if (!status && (!(ds = et_collection_labels(c)) ||
                    !(ds->x = et_dataset_tensor(ET_F32, ET_SHAPE(et_collection_size(c), 1))) ||
                    et_fill(ds->x, 0) || judged_items(ds, &items) ||
                    !(vectors = search_embed_collection(s.model, s.run, c, &items))))
        status = et_error_status();
    if (!status)
        status = search_judge_prompts(s.model, ds, &items, vectors, &s.v);
    if (!status && s.v.classes == 0 && s.v.tags == 0)
        status = et_raise(ET_EINVAL, "%s: there is one genre alone", et_cli_text(cli, "data"));
    if (!status)
        search_print(stdout, &s.v);
    et_dealloc(vectors);
    et_indices_free(&items);
    et_dataset_free(ds);
    return close_reading(cli, &s, status);
}

/* Figures of prompts over the test part; of a sound, which words fit it best. */
static int zero_shot(et_cli *cli)
{
    reading s = {0};

    if (et_cli_operands(cli) > 0)
        return name_sound(cli, et_cli_operand(cli, 0));
    const int top = (int)et_cli_int(cli, "top-tags");
    et_collection *sounds =
        et_cli_given(cli, "data") ? search_plain_sounds(et_cli_text(cli, "data"), top) : NULL;
    if (sounds) {
        const int code = ask_sounds(cli, sounds);
        et_collection_free(sounds);
        return code;
    }
    if (et_error_status() || et_cli_refuse(cli, "top-tags", "but with MagnaTagATune"))
        return et_cli_fail(cli);
    et_status status = open_judged(cli, &s);
    if (!status && s.v.classes == 0 && s.v.tags == 0)
        status = et_raise(ET_EINVAL, "the data have neither genres nor tags");
    if (!status)
        search_print(stdout, &s.v);
    return close_reading(cli, &s, status);
}

/* --- the command line ------------------------------------------------------------------------------ */

#define OF_MODEL                                                                                             \
    "model size train-text train-audio extra-text extra-audio attention-only pooling head embedding tokens " \
    "loss scale tau "                                                                                        \
    "checkpoint "
/* What other verbs take from the run. */
#define OF_THE_RUN                                                                                   \
    "model@ size@ train-text@ train-audio@ extra-text@ extra-audio@ attention-only@ pooling@ head@ " \
    "embedding@ tokens@ "                                                                            \
    "loss@ scale@ tau@ checkpoint@ seed@ "

static const et_verb verbs[] = {
    {"train", "train a model and write the run folder",
     "data task songs config " OF_MODEL
     "words vocab text-weights audio-weights base-memory cache shorten seed threads epochs batch lr schedule "
     "clip weight-decay precision patience out resume overwrite profile",
     NULL, 0, 0, search_train},
    {"pretrain", "a text tower that guesses masked words of captions, for train --text-weights",
     "data songs size tokens words vocab mask seed threads epochs batch lr weight-decay precision out resume "
     "overwrite profile",
     NULL, 0, 0, search_pretrain},
    {"match", "a text tower that finds captions by their aspects, which shows what pretrain is good for",
     "data size tokens words vocab text-weights base-lr pairs pooling embedding tau seed threads "
     "epochs batch lr weight-decay precision patience out resume overwrite profile",
     NULL, 0, 0, search_match},
    {"eval", "judge a trained model on the test part of its data: retrieval, genres and tags", OF_THE_RUN
     "task@ songs@ out! data cache threads", NULL, 0, 0, eval},
    {"zero-shot", "genres and tags from prompts: of a sound, or on the test part of the data", OF_THE_RUN
     "task@ songs@ out! data top-tags cache threads", "SOUND", 0, 1, zero_shot},
    {"index", "embed every sound below a folder", OF_THE_RUN "out! index threads", "DIR", 1, 1, make_index},
    {"query", "find the sounds of the index that fit a description", OF_THE_RUN "out! index k threads",
     "TEXT", 1, 1, query},
    {NULL, NULL, NULL, NULL, 0, 0, NULL},
};

static const et_option options[] = {
    {"data", ET_OPTION_TEXT, "DIR", NULL, 0, 0,
     "A folder with clips.csv and logmel96x128.npy (rendered excerpts), with musiccaps.csv and "
     "clips/YTID.wav (what learns from captions alone does without clips), or with clips.csv and its WAV "
     "files; without it the program makes its data itself, but no aspects for match"},
    {"task", ET_OPTION_CHOICE, "corpus|S-XM", "corpus", 0, 0,
     "Without --data: pieces in ten genres that the program composes, plays and describes, or the task S-XM "
     "of made-up sounds with four attributes"},
    {"songs", ET_OPTION_INT, "N", "40", 5, 10000,
     "Songs of each genre in the corpus; two clips of 10 s are cut from each"},
    {"config", ET_OPTION_CHOICE,
     "small|model-1|model-2|model-3|model-4|model-5|model-6|model-7|model-8|model-9|model-10|zero-shot",
     "small", 0, 0,
     "Small towers that learn from nothing, or a row of the published tables: what of BERT-base and AST-base "
     "is trained, which attention layers are added, TAU"},
    {"model", ET_OPTION_CHOICE, SEARCH_MODELS, "two-tower", 0, 0,
     "Two towers, or what they are compared with: CLAP, MuLan, or a classifier of tags, which finds what has "
     "the tags that a text names"},
    {"size", ET_OPTION_CHOICE, "small|base", NULL, 0, 0,
     "Of the towers: 2 and 3 layers of width 128, or BERT-base and AST-base. A published row can be had with "
     "small towers too"},
    {"train-text", ET_OPTION_INT, "N", NULL, -1, 12,
     "Last layers of the text tower that are trained; -1: all of it"},
    {"train-audio", ET_OPTION_INT, "N", NULL, -1, 12, "The same of the audio tower"},
    {"extra-text", ET_OPTION_INT, "N", NULL, 0, 12, "Attention layers added behind the text tower"},
    {"extra-audio", ET_OPTION_INT, "N", NULL, 0, 12, "Attention layers added behind the audio tower"},
    {"attention-only", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "Added layers are attention and norm, without a perceptron"},
    {"pooling", ET_OPTION_CHOICE, "cls|pooler|mean|max", NULL, 0, 0, "What the text's head reads"},
    {"head", ET_OPTION_CHOICE, "linear|mlp|skip-mlp", "linear", 0, 0, "Heads of both towers"},
    {"embedding", ET_OPTION_INT, "N", NULL, 1, 4096, "Width of the shared space"},
    {"tokens", ET_OPTION_INT, "N", NULL, 3, 512, "Longest text, in pieces of words; what is longer is cut"},
    {"words", ET_OPTION_INT, "N", NULL, 8, 100000,
     "Size of the vocabulary that is learned from the captions"},
    {"vocab", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "A WordPiece vocabulary instead (vocab.txt)"},
    {"text-weights", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Weights that the text tower begins with (safetensors with the public names of BERT); they need "
     "--vocab"},
    {"base-lr", ET_OPTION_REAL, "X", "1", 1e-6, 10, "Rate of the text tower, as a multiple of --lr"},
    {"pairs", ET_OPTION_INT, "N", "0", 0, 1000000, "So many captions with aspects are learned from; 0: all"},
    {"mask", ET_OPTION_REAL, "X", "0.3", 0.01, 0.9,
     "Share of the words that are masked in training; judged are 0.15"},
    {"audio-weights", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Weights that the audio tower begins with (safetensors, either layout of AST's checkpoints)"},
    {"loss", ET_OPTION_CHOICE, "clip|mulan|decoupled|sigmoid", "clip", 0, 0,
     "Contrastive loss; mulan is the formula that is printed beside the published tables, clip what gave "
     "them"},
    {"scale", ET_OPTION_CHOICE, "exp|divide", "exp", 0, 0,
     "Similarities are multiplied by exp(TAU), or divided by TAU"},
    {"tau", ET_OPTION_REAL, "X", NULL, -20, 20, "TAU"},
    {"checkpoint", ET_OPTION_FLAG, NULL, NULL, 0, 0,
     "Compute trained layers again in backward instead of keeping what is inside: less memory, more time"},
    {"base-memory", ET_OPTION_INT, "MIB", "4096", 0, 1 << 20,
     "What frozen towers say of the data is kept in memory and in the run's folder where it takes no more "
     "than this"},
    {"cache", ET_OPTION_TEXT, "FILE", NULL, 0, 0,
     "Where features of sounds are kept; features.cache in the run's folder"},
    {"shorten", ET_OPTION_REAL, "X", NULL, 0, 1,
     "Chance that a caption is cut to some neighbouring words of it in training, as prompts are short; for "
     "text towers that are not frozen"},
    {"schedule", ET_OPTION_CHOICE, "constant|cosine", NULL, 0, 0,
     "Learning rate: the same throughout, or falling to zero"},
    {"clip", ET_OPTION_REAL, "X", "0", 0, 1e6, "Global norm of the gradients at most; 0: not clipped"},
    {"weight-decay", ET_OPTION_REAL, "X", NULL, 0, 10, "Decoupled weight decay (AdamW)"},
    {"precision", ET_OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0,
     "What training multiplies: with bfloat16, linear layers and matrix products round their operands to it"},
    {"patience", ET_OPTION_INT, "N", NULL, 0, 1000000,
     "Stop after so many epochs without a better validation loss; 0: never"},
    {"index", ET_OPTION_TEXT, "FILE", NULL, 0, 0, "The index; index.safetensors in the run's folder"},
    {"top-tags", ET_OPTION_INT, "N", "50", 0, 1000,
     "Of MagnaTagATune's tags the N that most of its clips have, and the clips that have one of them; 0: all "
     "tags"},
    {"k", ET_OPTION_INT, "N", "10", 1, 1000000, "How many sounds to name"},
    {NULL, ET_OPTION_FLAG, NULL, NULL, 0, 0, NULL},
};

static const et_program program = {
    .name = "music-search",
    .summary = "finding music by describing it",
    .about =
        "A text tower (BERT) reads captions, an audio tower (AST) hears sounds, and both lead into one "
        "space. Without --data it learns from pieces that it composes, plays and describes itself. "
        "Defaults of the training options depend on --config and the data and are written to "
        "config.json.",
    .verbs = verbs,
    .options = options,
};

int main(int argc, char **argv) { return et_cli_main(&program, argc, argv); }
