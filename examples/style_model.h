/* The model that the options of style-vae describe, and what is asked of it. */
#ifndef ETUDE_EXAMPLES_STYLE_MODEL_H
#define ETUDE_EXAMPLES_STYLE_MODEL_H

#include "examples/common/runfolder.h"
#include "examples/style_data.h"
#include "models/style_vae.h"

/* The options of the model, as rows of the program's table, and their names for verbs that set them (all but
 * mu-forcing) and for verbs that take them from the run. */
#define STYLE_MODEL_OPTIONS                                                                                \
    {"cell", ET_OPTION_CHOICE, "hyper_lstm|lstm|gru", NULL, 0, 0,                                          \
     "Recurrent cell: HyperLSTM, layer-norm LSTM or GRU"},                                                 \
    {"units", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the recurrent networks"},                      \
    {"hyper-units", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of a HyperLSTM's small LSTM"},              \
    {"hyper-embedding", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of what it scales weights by"},         \
    {"head", ET_OPTION_INT, "N", NULL, 1, 65536, "Hidden width of the heads of content and style"},        \
    {"content", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the content z_c"},                           \
    {"style-width", ET_OPTION_INT, "N", NULL, 1, 65536, "Width of the style z_s, a row of the codebook"},  \
    {"labels", ET_OPTION_FLAG, NULL, NULL, 0, 0,                                                           \
     "The baseline: the label itself, one-hot, instead of style head and codebook"},                       \
    {"combine", ET_OPTION_CHOICE, "concat|add", "concat", 0, 0, "How z_c and z_s become one vector"},      \
    {"style-at", ET_OPTION_CHOICE, "start|every-event", NULL, 0, 0,                                        \
     "Where the decoder is given z_s (with --labels: the label): in the vector it begins from, or beside " \
     "every event, too"},                                                                                  \
    {"encoder-keep", ET_OPTION_REAL, "P", NULL, 0.01, 1,                                                   \
     "Share of candidates kept in the encoder (recurrent dropout)"},                                       \
    {"decoder-keep", ET_OPTION_REAL, "P", NULL, 0.01, 1, "The same in the decoder"},                       \
    {"tau", ET_OPTION_REAL, "X", NULL, 1e-4, 100,                                                          \
     "Temperature of the Gumbel softmax, at its end if it falls"},                                         \
    {"tau-start", ET_OPTION_REAL, "X", "1", 1e-4, 100,                                                     \
     "Its temperature at the first step, with --tau-decay"},                                               \
    {"tau-decay", ET_OPTION_REAL, "X", "0", 0, 1, "Factor of the temperature a step; 0: constant"},        \
    {"kl-weight", ET_OPTION_REAL, "X", NULL, 0, 1000,                                                      \
     "Weight of the divergence (a mean over dimensions) at the end"},                                      \
    {"kl-k", ET_OPTION_REAL, "X", NULL, 1e-3, 1e9,                                                         \
     "How slowly that weight rises: it is at one half in step K ln K"},                                    \
    {"mu-forcing", ET_OPTION_CHOICE, "per-dim|half-sum|none", "per-dim", 0, 0,                             \
     "What mu-forcing bounds: the mean variance of the dimensions of mu, half their sum, or nothing"},     \
    {"mu-threshold", ET_OPTION_REAL, "X", NULL, 0, 1e6,                                                    \
     "Least variance that mu-forcing asks for (half-sum: of the half sum)"},                               \
    {"recompute", ET_OPTION_FLAG, NULL, NULL, 0, 0,                                                        \
     "Run the encoder again in backward instead of keeping its steps: less than half of the memory, a "    \
     "fifth more time"},                                                                                   \
    {"style-loss", ET_OPTION_CHOICE, "logits|sample", "logits", 0, 0,                                      \
     "What the cross entropy of the style looks at: its logits or the drawn category"}
#define STYLE_MODEL_NAMES                                                                                   \
    "cell units hyper-units hyper-embedding head content style-width labels combine style-at encoder-keep " \
    "decoder-keep tau "                                                                                     \
    "tau-start tau-decay kl-weight kl-k mu-threshold style-loss recompute "
#define STYLE_MODEL_TAKEN                                                                                \
    "cell@ units@ hyper-units@ hyper-embedding@ head@ content@ style-width@ labels@ combine@ style-at@ " \
    "encoder-keep@ "                                                                                     \
    "decoder-keep@ tau@ tau-start@ tau-decay@ kl-weight@ kl-k@ mu-forcing@ mu-threshold@ style-loss@ "   \
    "recompute@ tracks@ seed@ "

/* Sets the defaults of these options from --config. */
et_status style_model_defaults(et_cli *cli);

/* The model of the options, for so many styles. */
et_style_vae *style_model_new(const et_cli *cli, int64_t styles);

/* A trained model of a run, in evaluation mode, and its styles. The caller frees both. */
et_style_vae *style_model_load(et_cli *cli, et_run *run, et_names *styles);

/* --- what it makes of data ---------------------------------------------------------------------------- */

/* How well it does on some segments. Cross entropies and accuracies are those of an event;
 * z_c is the mean. */
typedef struct style_verdict {
    double loss;                 /* with the divergence at its full weight */
    double pitch, dt, dur;       /* cross entropies */
    double kl, style, mu;        /* terms as in the loss: KL a mean over dimensions */
    double accuracy[3];          /* pitch (END too), dt, dur; fed with the true events before */
    double kl_nats;              /* of a segment: the sum over dimensions */
    double mutual;               /* I(x; z_c) in nats, of up to 1000 segments (and at most the log of that) */
    double style_accuracy;       /* of the style head; NaN in the baseline */
    int64_t active;              /* dimensions whose mean varies by more than 0.01 */
    int64_t n, width, styles;
    float *mean, *logvar;        /* [n, width] */
    int32_t *truth, *heard;      /* [n] styles: given, and as the style head hears them (baseline: -1) */
} style_verdict;

enum { STYLE_FIGURES = 16 };

/* Judges the model in evaluation mode. *v must be zero or an earlier verdict, whose memory is released. */
et_status style_judge(const et_style_vae *m, const style_data *d, const et_indices *items, style_verdict *v);
void style_verdict_free(style_verdict *v);
/* One line on the standard output: accuracies, divergence, units, mutual information, style head. */
void style_verdict_print(const style_verdict *v, const char *what);
/* Its figures under their names, each behind `prefix` ("valid_", ""); the names are in `names`.
 * Returns their number. */
int style_figures(const style_verdict *v, const char *prefix, char names[STYLE_FIGURES][32],
                  et_figure out[STYLE_FIGURES]);

/* The two axes along which the rows of x [n, width] vary most: xy[n] and xy[n + n] their coordinates,
 * share[2] the shares of the variance. */
et_status style_plane(int64_t n, int64_t width, const float *x, double *xy, double share[2]);

/* --- what it writes ------------------------------------------------------------------------------------- */

/* z_c [n, content] of segments of a piece: the posterior's mean; *heard their styles as the model hears them,
 * in the open scope (NULL in the baseline). */
et_tensor *style_content(const et_style_vae *m, const et_style_batch *b, et_tensor **heard);

/* Pieces of z_c [n, content] in styles [n]. The caller releases *out. */
et_status style_write_events(const et_style_vae *m, et_tensor *z_c, et_tensor *styles,
                             const et_style_sampling *how, et_rng *rng, et_segments *out);
/* --tries; where it is not given 4, or 1 without a style head and where nothing is drawn. */
int64_t style_tries(const et_cli *cli, const et_style_vae *m, const et_style_sampling *how);
/* The same, each piece the one of `tries` drawings of its content in which the model's own style head hears
 * the style most surely. EINVAL for more than one try without a style head. */
et_status style_write_chosen(const et_style_vae *m, et_tensor *z_c, et_tensor *styles,
                             const et_style_sampling *how, int64_t tries, et_rng *rng, et_segments *out);
/* The same with the styles' weights [n, S]. */
et_status style_write_mixed(const et_style_vae *m, et_tensor *z_c, et_tensor *weights,
                            const et_style_sampling *how, et_rng *rng, et_segments *out);

#endif
