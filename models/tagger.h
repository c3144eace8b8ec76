/* Music taggers with two front ends and three back ends.
 *
 * Won, Chun and Serra, "Toward Interpretable Music Tagging with Self-Attention" (arXiv 1906.04972). Front end
 * Spec and back end CNN_P are those of Pons et al. (arXiv 1711.02520), front end Raw and back end CNN_L those
 * of SampleCNN (Lee et al., arXiv 1703.01789).
 *
 *   Spec   mel bands x frames: tall convolutions, the maximum over what remains of the frequency axis; and
 *          convolutions over time of the mean band
 *   Raw    samples: a convolution of stride 3, then convolutions with max pooling by 3
 *   CNN_P  three wide convolutions with residual connections, maximum and mean over time
 *   CNN_L  convolutions with max pooling by 3 until a few steps are left
 *   Att    a post-norm transformer encoder that reads its answer at an added position ([CLS])
 *
 * State dict, with the published names (a file's leading "module." is taken off by et_load_options.rewrite):
 *   Spec   front_end.input_bn, front_end.layers.I.{conv,bn} (I 0-5 vertical, 6-9 horizontal)
 *   Raw    front_end.init_conv.{conv,bn}, front_end.convs.I.{conv,bn}
 *   Att    front_end.conv1x1 and front_end.bn (Raw: front_end.conv1x1.{conv,bn}),
 *          back_end.encoder.layer.I. with BERT's names (nn/transformer.h), back_end.pooler.dense
 *   CNN_P  back_end.conv{1,2,3}, back_end.bn{1,2,3,4}, back_end.dense
 *   CNN_L  back_end.convs.I.{conv,bn}, back_end.conv1x1.{conv,bn}
 *   all    classifier */
#ifndef ETUDE_MODELS_TAGGER_H
#define ETUDE_MODELS_TAGGER_H

#include "nn/batch_norm.h"
#include "nn/transformer.h"
#include "nn/conv.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum et_tagger_front { ET_FRONT_SPEC, ET_FRONT_RAW } et_tagger_front;
typedef enum et_tagger_back { ET_BACK_CNN_P, ET_BACK_CNN_L, ET_BACK_ATT } et_tagger_back;

enum { ET_TAGGER_BLOCKS = 8, ET_TAGGER_VERTICAL = 6, ET_TAGGER_HORIZONTAL = 4, ET_TAGGER_LAYERS = 12 };

typedef struct et_tagger_config {
    et_tagger_front front;
    et_tagger_back back;
    int64_t tags;
    /* Spec */
    int64_t bands;                             /* mel bands, F */
    int64_t channels;                          /* c: branches have c, 2c, 4c, .. channels, 29 c together */
    int64_t tall[2];                           /* heights of the vertical branches: each 7, 3 and 1 wide */
    int64_t temporal[ET_TAGGER_HORIZONTAL];    /* kernels of the horizontal branches, odd */
    /* Raw */
    int64_t first;                             /* channels of the convolution of stride 3 */
    int first_pad;                             /* its padding: 1, SampleCNN 0 */
    int raw_blocks;
    int64_t raw_widths[ET_TAGGER_BLOCKS];
    /* CNN_P */
    int64_t wide, dense;                       /* channels; width of the dense layer */
    /* CNN_L */
    int long_blocks;
    int64_t long_widths[ET_TAGGER_BLOCKS];     /* the 1 x 1 convolution at the end keeps the last */
    /* Att */
    int64_t width, hidden;
    int heads, layers;
    double dropout;                            /* of attention and of the encoder's results */
    bool learned_cls;                          /* [CLS] is a parameter instead of a fixed vector */
    double out_dropout;                        /* before the classifier */
} et_tagger_config;

/** The published sizes: 50 tags, c 16 (Spec, 96 bands), 128 (Raw). */
et_tagger_config et_tagger_paper(et_tagger_front front, et_tagger_back back);
/** For the synthetic tasks: 24 bands, c 4, 8 tags; 2187 samples, c 8, 6 tags. */
et_tagger_config et_tagger_small(et_tagger_front front, et_tagger_back back);
/** SampleCNN as published, for 59 049 samples: 1 869 874 parameters. */
et_tagger_config et_tagger_sample_cnn(void);

/* Convolution, batch norm, ReLU. */
typedef struct et_tagger_conv {
    et_module module;
    et_conv_layer *conv;
    et_batch_norm_layer *bn;
} et_tagger_conv;

typedef struct et_tagger {
    et_module module;
    et_tagger_config config;
    int64_t front_width; /* channels that the front end gives */
    et_batch_norm_layer *input_bn;
    et_tagger_conv *vertical[ET_TAGGER_VERTICAL], *horizontal[ET_TAGGER_HORIZONTAL];
    et_tagger_conv *init_conv, *convs[ET_TAGGER_BLOCKS];
    et_conv_layer *project;        /* front end to the encoder's width */
    et_batch_norm_layer *project_bn;
    et_conv_layer *p_conv[3];
    et_batch_norm_layer *p_bn[4];
    et_linear_layer *dense;
    et_tagger_conv *l_convs[ET_TAGGER_BLOCKS], *l_last;
    et_transformer_block *encoder[ET_TAGGER_LAYERS];
    et_tensor *cls;                /* [width], fixed or a parameter (back_end.cls) */
    et_linear_layer *pooler;
    et_linear_layer *classifier;
    et_rng *rng;                   /* for dropout (et_tagger_set_rng); NULL: the thread's default generator */
} et_tagger;

/** A model under parent and name (both NULL: a root), initialised from rng as the layers are by default. Free
 *  the root with et_module_free. NULL on failure: EINVAL for sizes that do not fit, and as et_module_new. */
et_tagger *et_tagger_new(et_module *parent, const char *name, const et_tagger_config *config, et_rng *rng);

/** The generator of all dropout. */
void et_tagger_set_rng(et_tagger *m, et_rng *rng);

/** Logits [B, tags] of x: [B, bands, frames] (Spec) or [B, samples] (Raw). The loss is et_bce_with_logits.
 *  weights, where not NULL and the back end is Att, receives each layer's attention [B, heads, T + 1, T + 1],
 *  of `layers` entries (NULL for other back ends). Owned by the open scope. ESHAPE for a wrong x. */
et_tensor *et_tagger_forward(const et_tagger *m, et_tensor *x, et_tensor **weights);

/** How much each moment alone says for each tag (Att): probabilities [T + 1, tags] for one clip x, [1, ..].
 *  Row t is the answer when every head of the last layer looks at position t alone, whoever asks; position 0
 *  is [CLS], position p > 0 step p - 1 of the front end. Only position 0 of the rest of the network is
 *  needed, so that the whole map costs T + 1 rows. EINVAL for other back ends, in training, or more than one
 *  clip. */
et_tensor *et_tagger_contributions(const et_tagger *m, et_tensor *x);

#ifdef __cplusplus
}
#endif
#endif
