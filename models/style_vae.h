/* Style-conditioned variational autoencoder of music.
 *
 * A bidirectional recurrent network reads a few bars as events (pitch, time since the note before,
 * duration). Two heads make of its last states the content z_c, a Gaussian, and the style, a category
 * whose row of a trained codebook is z_s. A recurrent decoder begins from z' = [z_c, z_s] and writes
 * the events again. Lim, Chan and Loo, Style-conditioned music generation (ICME 2020); mu-forcing against
 * posterior collapse: Liu et al. (arXiv 1905.10072); HyperLSTM: Ha, Dai and Le (arXiv 1609.09106).
 *
 * The baseline has no style head and no codebook: z' = [z_c, one-hot of the given label].
 *
 * State dict: pitch_embedding [P + 1, 32], style_codebook [S, 80]; enc_fw.*, enc_bw.*, dec.* (HyperLSTM or
 * layer-norm LSTM, nn/norm_lstm.h; GRU: weight_ih_l0, ...); cont_head, z_mean, z_logvar, cat_head, z_cat,
 * dec_init, logits, each .weight and .bias. */
#ifndef ETUDE_MODELS_STYLE_VAE_H
#define ETUDE_MODELS_STYLE_VAE_H

#include "nn/linear.h"
#include "nn/norm_lstm.h"
#include "nn/rnn.h"
#include "nn/style_codebook.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_vae_cell { ET_VAE_HYPER_LSTM, ET_VAE_NORM_LSTM, ET_VAE_GRU } et_vae_cell;

/* Hyper-parameters. Defaults: et_style_vae_paper, _medium and _small. */
typedef struct et_style_vae_config {
    int64_t pitches, steps;        /* groups of P + 1 (the last is END), D + 1 and D + 1 classes */
    int64_t styles;                /* S */
    int64_t pitch_embedding;       /* width */
    et_vae_cell cell;
    int64_t units, hyper_units, hyper_embedding; /* n, k, e; the latter two of the HyperLSTM alone */
    int64_t head;                  /* hidden width of the two heads */
    int64_t content, style;        /* widths of z_c and z_s */
    bool discrete_label;           /* the baseline: the label instead of style head and codebook */
    bool add_style;                /* z' = z_c + z_s (equal widths) instead of [z_c, z_s] */
    bool style_always;             /* the decoder reads z_s (baseline: the label) beside every event, too */
    double encoder_keep, decoder_keep; /* recurrent dropout: share of candidates kept in training */
    double tau;                    /* temperature of the Gumbel softmax */
    double tau_decay;              /* tau at step t is max(tau, tau_start decay^t); 0: constant */
    double tau_start;
    double kl_weight, kl_k;        /* the divergence counts kl_weight et_kl_weight(kl_k, step) */
    double mu_threshold;           /* beta_mu of mu-forcing; 0: none */
    et_variance_of mu_variance;    /* what it bounds: mean over dimensions, or half the sum */
    bool style_loss_of_sample;     /* cross entropy of the drawn category instead of its logits */
    bool recompute;                /* in training backward runs the encoder again instead of keeping its
                                    * steps: half of the memory, a fifth more time, equal numbers */
} et_style_vae_config;

/** P 88, D 32, S 2, HyperLSTM 512/256, z_c 120, z_s 80:
 *  10 985 037 parameters (baseline 9 290 667, layer-norm LSTM 6 273 869). */
et_style_vae_config et_style_vae_paper(void);
/** GRU 256 (or a HyperLSTM 256/32), heads 128, z_c 8, z_s 32 beside every event, little room for content so
 *  that the style is left to z_s: for real music on an ordinary computer. */
et_style_vae_config et_style_vae_medium(void);
/** P 24, D 8, S 2, HyperLSTM 32/16, z_c 16, z_s 8: 111 877 parameters (baseline 105 043). */
et_style_vae_config et_style_vae_small(void);

/* One of the three recurrent networks, as the configuration's cell says. */
typedef union et_vae_net {
    et_hyper_lstm *hyper;
    et_norm_lstm *norm;
    et_rnn_layer *gru;
} et_vae_net;

/* One direction of the encoder. */
typedef struct et_style_reader {
    const struct et_style_vae *model;
    bool reverse;
} et_style_reader;

typedef struct et_style_vae {
    et_module module;
    et_style_vae_config config;
    et_tensor *pitch_embedding, *style_codebook; /* the codebook is NULL in the baseline */
    et_vae_net enc_fw, enc_bw, dec;
    et_linear_layer *cont_head, *z_mean, *z_logvar, *cat_head, *z_cat, *dec_init, *logits;
    et_style_reader readers[2];
} et_style_vae;

/** A model under parent and name (both NULL: a root). Dense layers are Xavier uniform, embedding and codebook
 *  U(-1, 1). NULL on failure: EINVAL for figures out of range. */
et_style_vae *et_style_vae_new(et_module *parent, const char *name, const et_style_vae_config *config,
                               et_rng *rng);

/* A batch of sequences: x float32 [B, T, 3], classes of pitch, dt and dur; lengths int32 [B], 1 .. T,
 * END counted; labels int32 [B]. What stands behind a row's end is not read; END's dt and dur are
 * no classes (any number). */
typedef struct et_style_batch {
    et_tensor *x, *lengths, *labels;
} et_style_batch;

/* The posterior of a batch. */
typedef struct et_style_posterior {
    et_tensor *mean, *logvar; /* [B, content] */
    et_tensor *alpha;         /* [B, S] logits of the style; NULL in the baseline */
} et_style_posterior;

/* The terms of the loss, one element each. */
typedef struct et_style_loss {
    et_tensor *total;
    et_tensor *pitch, *dt, *dur; /* cross entropies */
    et_tensor *kl;               /* mean over batch and dimensions, nats, without its weight */
    et_tensor *style;            /* 0 in the baseline */
    et_tensor *mu;               /* hinge of mu-forcing; 0 where there is none */
    double beta;                 /* et_kl_weight at this step */
} et_style_loss;

/** All but the last event of each row is read (END excluded). ET_OK, or the error's status. */
et_status et_style_vae_encode(const et_style_vae *m, const et_style_batch *b, et_style_posterior *out);

/** Logits [B, T, P + 1 + 2 (D + 1)] of the events of b,
 *  each read off the ones before it; z [B, width of z']. */
et_tensor *et_style_vae_decode(const et_style_vae *m, et_tensor *z, const et_style_batch *b);

/** z' [B, ..] of content z_c [B, content] and z_cat [B, S],
 *  the weight of each style (one-hot rows, or drawn). */
et_tensor *et_style_vae_latent(const et_style_vae *m, et_tensor *z_c, et_tensor *z_cat);

/** The loss at training step `step`, all terms to be minimised:
 *  L = 3 CE_pitch + CE_dt + CE_dur + kl_weight beta(step) KL + L_s + L_mu. In training z_c and the category
 *  are drawn (rng NULL: the thread's default generator); in evaluation z_c is the mean and the style the
 *  likeliest one (the label in the baseline). `logits` may be NULL. ET_OK, or the error's status. */
et_status et_style_vae_loss(const et_style_vae *m, const et_style_batch *b, int64_t step, et_rng *rng,
                            et_style_loss *out, et_style_posterior *posterior, et_tensor **logits);

typedef struct et_style_sampling {
    double temperature; /* of all three groups; 0: the likeliest class (greedy) */
    int64_t top_k;      /* only the k likeliest classes of each group; 0: all */
    int64_t beam;       /* > 1: beam search of that width instead (temperature and top_k are not read) */
    int64_t max_events; /* 512 */
} et_style_sampling;

/** Writes a piece for each row of z [B, width of z']. Returns classes int32 [B, max_events, 3] (-1 behind the
 *  end; END itself stands with dt and dur -1) and in *lengths int32 [B], END counted where it came. Owned by
 *  the open scope; nothing is recorded. NULL after an error. */
et_tensor *et_style_vae_generate(const et_style_vae *m, et_tensor *z, const et_style_sampling *sampling,
                                 et_rng *rng, et_tensor **lengths);

#ifdef __cplusplus
}
#endif
#endif
