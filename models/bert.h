/* BERT: a transformer encoder over text (Devlin et al. 2019, arXiv 1810.04805), and RoBERTa (Liu et al.
 * 2019, arXiv 1907.11692), which differs in how positions are counted.
 *
 *   x_0 = LN(word[id] + position[t] + type[s]),   x_i = post-norm layer i of x_(i-1)
 *   pooled = tanh(W x_L[CLS] + b)
 *
 * State dict, with the public names: embeddings.{word,position,token_type}_embeddings.weight,
 * embeddings.LayerNorm, encoder.layer.{i} (et_transformer_names_bert), pooler.dense. */
#ifndef ETUDE_MODELS_BERT_H
#define ETUDE_MODELS_BERT_H

#include "nn/embedding.h"
#include "nn/transformer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_bert_config {
    int64_t vocabulary;          /* V */
    int64_t width, hidden;       /* d; of the layers' perceptrons */
    int layers, heads;
    int64_t positions;           /* longest sequence, and RoBERTa's pad + 1 rows before it */
    int64_t types;               /* of segments */
    bool pooler;                 /* there is one */
    bool roberta;                /* positions count from pad + 1; `pad` tokens are passed over, at pad */
    int32_t pad;
    bool gelu_tanh;              /* GELU in its tanh form, as the TensorFlow code has it */
    double eps;                  /* of the layer norms */
    double dropout;              /* of embeddings and branches */
    double attention_dropout;    /* of the attention's weights */
    bool plain_init;             /* for small models: linear U(+-1/sqrt(fan_in)), embeddings N(0, 1) */
} et_bert_config;

/** bert-base-uncased: V 30522, d 768, 12 layers of 12 heads, 3072, 512 positions: 109 482 240 parameters. */
et_bert_config et_bert_base(void);
/** The smaller published sizes: d 512, 4 layers of 8 heads; d 256, 4 of 4; d 128, 2 of 2. */
et_bert_config et_bert_small(void);
et_bert_config et_bert_mini(void);
et_bert_config et_bert_tiny(void);
/** roberta-base: V 50265, 514 positions (two of them for padding), one type: 124 645 632 parameters. */
et_bert_config et_roberta_base(void);
/** One of the above by name: "bert-base", "bert-small", "bert-mini", "bert-tiny", "roberta-base".
 *  EINVAL lists them. */
et_status et_bert_named(const char *name, et_bert_config *config);

typedef struct et_bert {
    et_module module;
    et_bert_config config;
    et_module *embeddings;
    et_embedding_layer *word, *position, *type;
    et_layer_norm_layer *norm;
    et_transformer *encoder; /* its `checkpoint` may be set */
    et_linear_layer *pooler; /* or NULL */
    et_rng *rng;             /* for the embeddings' dropout; see et_bert_set_rng */
} et_bert;

/** A model under parent and name (both NULL: a root). Matrices are N(0, 0.02), biases 0, but for plain_init.
 *  NULL on failure: EINVAL for sizes below 1, heads that do not divide the width, dropouts outside [0, 1), a
 *  pad outside the vocabulary. */
et_bert *et_bert_new(et_module *parent, const char *name, const et_bert_config *config, et_rng *rng);

/** Sets the generator of all dropout; NULL: the thread's default one. */
void et_bert_set_rng(et_bert *m, et_rng *rng);

/** Hidden states [B, T, d] of the last layer for ids int32 [B, T]. types: int32 [B, T], or NULL for all 0.
 *  mask: uint8 [B, T], 0 where not to look (padding), or NULL. hidden, where not NULL, receives the embedded
 *  input and what each layer made, hidden[layers + 1]. Owned by the open scope. ESHAPE (more tokens than
 *  positions, other shapes), EDTYPE, EINVAL for an id outside. */
et_tensor *et_bert_forward(const et_bert *m, et_tensor *ids, et_tensor *types, et_tensor *mask,
                           et_tensor **hidden);

/** Its two halves: the embedded input [B, T, d], and that through layers first .. layers - 1, of which
 *  hidden, where not NULL, receives [first] = x and [i + 1] what layer i made. What comes before the trained
 *  layers can thus be computed once. */
et_tensor *et_bert_embed(const et_bert *m, et_tensor *ids, et_tensor *types);
et_tensor *et_bert_encode(const et_bert *m, int first, et_tensor *x, et_tensor *mask, et_tensor **hidden);

/* How a sequence becomes one vector. */
typedef enum et_bert_pooling {
    ET_BERT_CLS,    /* the first token's hidden state */
    ET_BERT_POOLER, /* tanh(W . + b) of it */
    ET_BERT_MEAN,   /* the mean over valid tokens */
    ET_BERT_MAX     /* the largest of each element over valid tokens */
} et_bert_pooling;

/** How many of T tokens, from the first on, a pooling reads: 1 or T. */
int64_t et_bert_pool_reads(et_bert_pooling how, int64_t T);

/** [B, d] of hidden states [B, T, d]; mask as above. EINVAL for ET_BERT_POOLER without one. */
et_tensor *et_bert_pool(const et_bert *m, et_tensor *x, et_tensor *mask, et_bert_pooling how);

/** et_bert_pool of et_bert_encode, [B, d]: x through layers first .. layers - 1, pooled. Where `how` reads
 *  [CLS] alone, the last layer computes no other token. Errors as those of both. */
et_tensor *et_bert_encode_pooled(const et_bert *m, int first, et_tensor *x, et_tensor *mask,
                                 et_bert_pooling how);

/** Trains the last n layers alone: embeddings, pooler and the layers below are frozen and stay in evaluation
 *  mode. EINVAL for a negative n. */
et_status et_bert_train_last(et_bert *m, int n);

/** Reads a safetensors file with the public names: the prefix "bert." (RoBERTa: "roberta.") and
 *  LayerNorm.{gamma,beta} are understood, heads of pre-training (cls.*, lm_head.*) passed over, and a pooler
 *  may be missing. report, or NULL, tells what was missing, unexpected or misshaped: an error, and nothing is
 *  changed then. Errors as et_module_load. */
et_status et_bert_load(et_bert *m, const char *path, et_load_report *report);

#ifdef __cplusplus
}
#endif
#endif
