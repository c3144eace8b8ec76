/* A genre classifier as the programs train and judge it: one network, or several of the same form
 * that learn side by side from different first weights and are asked together (their probabilities
 * are averaged). On few recordings networks that differ in nothing but their first weights disagree
 * often; their mean is better than most of them. All of them are one module and one file. */
#ifndef ETUDE_EXAMPLES_GENRE_MODEL_H
#define ETUDE_EXAMPLES_GENRE_MODEL_H

#include "datasets/split.h"
#include "nn/module.h"
#include "tensor/rng.h"

enum { GENRE_MEMBERS = 32 };

/* Options that the programs share, rows of their tables. */
#define GENRE_OPTIONS                                                                                        \
    {"members", ET_OPTION_INT, "N", NULL, 1, GENRE_MEMBERS,                                                  \
     "Networks that learn side by side and answer together, the mean of their probabilities"},               \
    {"mixup", ET_OPTION_REAL, "A", NULL, 0, 100, "Mixup with weights drawn from Beta(A, A); 0: none"},       \
    {"smoothing", ET_OPTION_REAL, "S", NULL, 0, 0.9, "Label smoothing"},                                     \
    {"precision", ET_OPTION_CHOICE, "float32|bfloat16", "float32", 0, 0,                                     \
     "What training multiplies: with bfloat16, linear layers and matrix products round their operands to "   \
     "it; sums, "                                                                                            \
     "weights and all else stay float32"},                                                                   \
    {"item", ET_OPTION_TEXT, "NAME", NULL, 0, 0, "The item to explain, by name; the first ones without it"}, \
    {"count", ET_OPTION_INT, "N", "5", 1, 1000, "How many items to explain"}

/* How one network is made (under parent and name, both NULL: a root) and asked: logits [B, K] of x;
 * attention, where not NULL, receives its weights [B, T] of the frames. */
typedef struct genre_network {
    bool attends; /* it has such weights; else attention is always NULL */
    et_module *(*make)(const void *config, et_module *parent, const char *name, et_rng *rng);
    et_tensor *(*forward)(const et_module *m, et_tensor *x, et_tensor *lengths, et_tensor **attention);
} genre_network;

/* With one member root is that network, its state dict the network's own; with more the networks
 * are its children "0", "1", ... */
typedef struct genre_model {
    const genre_network *network;
    et_module *root;
    et_module *members[GENRE_MEMBERS];
    int n;
} genre_model;

/* `members` networks (1 .. GENRE_MEMBERS) drawn from the seed. The caller frees it. */
genre_model *genre_model_new(const genre_network *network, const void *config, int members, uint64_t seed);
void genre_model_free(genre_model *m);

/* Adds to root what inputs are standardised with: input_mean 0 and input_std 0, [n] each. */
et_status genre_model_inputs(genre_model *m, int64_t n);

/* Sets these to the statistics of the given items, feature by feature. */
et_status genre_model_fit(genre_model *m, const et_dataset *ds, const et_indices *items);

/* Standardises the data with them, in place; results are cut to -clip .. clip (0: not). */
et_status genre_model_standardize(const genre_model *m, double clip, et_dataset *ds);

/* The loss of a batch: -(1/N) sum_i sum_k y_ik ln p_ik for targets [B, K], mean over the members. *right,
 * where right is not NULL: the items whose greatest sum of logits is at the greatest target. */
et_tensor *genre_model_loss(const genre_model *m, et_tensor *x, et_tensor *lengths, et_tensor *targets,
                            int64_t *right);

/* Probabilities [B, K], mean over the members, and the mean of their attention (or NULL). */
et_tensor *genre_model_ask(const genre_model *m, et_tensor *x, et_tensor *lengths, et_tensor **attention);

/* The norm to clip a step's gradient at, so that each member's own gradient is clipped at about `norm`. */
double genre_model_clip(const genre_model *m, double norm);

/* Loads best.safetensors of a run; a file of other shapes is a broken run folder. */
et_status genre_model_load(genre_model *m, const char *path);

#endif
