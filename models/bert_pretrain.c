/* Pre-training of BERT: see bert_pretrain.h. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/bert_pretrain.h"
#include "nn/init.h"
#include "tensor/alloc.h"

/* With embeddings N(0, 1) logits would begin with a deviation of sqrt(d): the norm before them
 * brings it to 1. And neighbours are what words are guessed from: waves as positions (Vaswani et al. 2017,
 * here of variance 1) tell them at once. */
static void begin_plainly(et_bert_pretrain *m)
{
    const int64_t d = m->bert->config.width;
    et_tensor *table = m->bert->position->weight;
    float *p = table->dtype == ET_F32 ? et_data_mut(table) : NULL;

    et_fill(m->norm->weight, 1 / sqrt((double)d));
    for (int64_t i = 0; p && i < table->numel; i++) {
        const double angle = (double)(i / d) * pow(10000, -(double)(i % d / 2 * 2) / (double)d);
        p[i] = (float)(sqrt(2) * (i % 2 ? cos(angle) : sin(angle)));
    }
}

et_bert_pretrain *et_bert_pretrain_new(et_module *parent, const char *name, const et_bert_config *config,
                                       et_rng *rng)
{
    if (et_error_status())
        return NULL;
    if (!config) {
        et_raise(ET_EINVAL, "bert: no configuration");
        return NULL;
    }
    et_bert_pretrain *m = et_module_new(sizeof *m, "BERTPretraining", parent, name);
    const int64_t d = config->width;

    if (!m)
        return NULL;
    m->bert = et_bert_new(&m->module, "bert", config, rng);
    et_module *cls = m->bert ? et_module_new(sizeof *cls, "Heads", &m->module, "cls") : NULL;
    et_module *words = cls ? et_module_new(sizeof *words, "Words", cls, "predictions") : NULL;
    if (words) {
        m->bias = et_module_param(words, "bias", ET_SHAPE(config->vocabulary));
        m->transform = et_linear_layer_new(words, "transform.dense", d, d, true, rng);
        m->norm = et_layer_norm_layer_new(words, "transform.LayerNorm", d, config->eps);
        et_module *decoder = et_module_new(sizeof *decoder, "Tied", words, "decoder");
        if (decoder)
            et_module_tie(decoder, "weight", m->bert->word->weight);
        if (config->pooler)
            m->next = et_linear_layer_new(cls, "seq_relationship", d, 2, true, rng);
        if (!et_error_status())
            et_init_module_normal(cls, 0.02, 0, rng);
        if (!et_error_status() && config->plain_init)
            begin_plainly(m);
    }
    return et_module_done(&m->module);
}

et_status et_bert_pretrain_frequencies(et_bert_pretrain *m, const double *counts)
{
    if (et_error_status())
        return et_fail_status("bert");
    if (!m || !counts)
        return et_raise(ET_EINVAL, "bert: no model or no counts");
    const int64_t V = m->bert->config.vocabulary;
    double total = (double)V;
    et_scope *scope = et_scope_open();
    et_tensor *share = et_empty(ET_F32, ET_SHAPE(V));
    float *p = share ? et_data_mut(share) : NULL;

    for (int64_t v = 0; v < V && p; v++)
        if (!(counts[v] >= 0) || !isfinite(total += counts[v])) {
            et_raise(ET_EINVAL, "bert: a count of %g for word %" PRId64, counts[v], v);
            p = NULL;
        }
    for (int64_t v = 0; v < V && p; v++)
        p[v] = (float)log((counts[v] + 1) / total);
    if (p)
        et_copy_into(m->bias, share);
    if (scope)
        et_scope_close(scope);
    return et_error_status();
}

et_status et_bert_pretrain_load(et_bert_pretrain *m, const char *path, et_load_report *report)
{
    return et_module_load(m ? &m->module : NULL, path, &(et_load_options){.rewrite = true}, report);
}

/* --- data ------------------------------------------------------------------------------------ */

/* Numbers that are special, as a table [vocabulary]; NULL after an error. */
static uint8_t *special_table(const et_bert_masking *how)
{
    uint8_t *table = how->vocabulary > 0 ? et_alloc_zero((size_t)how->vocabulary, 1) : NULL;
    int64_t words = how->vocabulary;

    if (!table) {
        et_raise(ET_EINVAL, "bert: a vocabulary of %d", (int)how->vocabulary);
        return NULL;
    }
    for (int i = 0; i < how->n_special; i++)
        if (how->special[i] >= 0 && how->special[i] < how->vocabulary && !table[how->special[i]]) {
            table[how->special[i]] = 1;
            words--;
        }
    if (words > 0)
        return table;
    et_raise(ET_EINVAL, "bert: all numbers of the vocabulary are special");
    et_dealloc(table);
    return NULL;
}

/* A word for a chosen place. */
static int32_t replacement(const et_bert_masking *how, const uint8_t *special, int32_t was, et_rng *rng)
{
    const double masked = how->masked + how->random > 0 ? how->masked : 0.8;
    const double random = how->masked + how->random > 0 ? how->random : 0.1, u = et_rng_uniform(rng);
    int32_t word;

    if (u < masked)
        return how->mask;
    if (u >= masked + random)
        return was;
    do
        word = (int32_t)et_rng_below(rng, how->vocabulary);
    while (special[word]);
    return word;
}

static bool share_fits(double p) { return p >= 0 && p <= 1; }

/* ids and mask, and what is to be done with them. */
static et_status check_masking(const et_bert_masking *how, const et_tensor *ids, const et_tensor *mask)
{
    if (et_error_status())
        return et_fail_status("bert");
    if (!how || !ids || !share_fits(how->share) || !share_fits(how->masked) || !share_fits(how->random) ||
        how->masked + how->random > 1 || how->mask < 0 || how->mask >= how->vocabulary ||
        how->n_special < 0 || (how->n_special && !how->special))
        return et_raise(ET_EINVAL,
                        "bert: words cannot be masked so: shares outside of [0, 1], or [MASK] of the "
                        "vocabulary");
    if (ids->dtype != ET_I32 || (mask && mask->dtype != ET_U8))
        return et_raise(ET_EDTYPE, "bert: words must be int32 and their mask uint8");
    if (ids->ndim != 2 || (mask && !et_same_shape(ids, mask)))
        return et_raise(ET_ESHAPE, "bert: words must be [B, T], and their mask too");
    return ET_OK;
}

et_status et_bert_mask_words(const et_bert_masking *how, const et_tensor *ids, const et_tensor *mask,
                             et_rng *rng, et_tensor **masked, et_tensor **targets)
{
    et_status status = check_masking(how, ids, mask);

    *masked = *targets = NULL;
    if (status)
        return status;
    const int64_t B = ids->shape[0], T = ids->shape[1];
    const double share = how->share > 0 ? how->share : 0.15;
    et_tensor *to = et_clone(ids), *wanted = et_full(ET_I32, ET_SHAPE(B, T), ET_BERT_NO_TARGET);
    const et_tensor *valid = mask ? et_contiguous((et_tensor *)mask) : NULL;
    int64_t *place = et_alloc_zero((size_t)T + 1, sizeof *place);
    uint8_t *special = to && wanted && place && (!mask || valid) ? special_table(how) : NULL;
    int32_t *row = special ? et_data_mut(to) : NULL, *target = special ? et_data_mut(wanted) : NULL;
    const uint8_t *keep = special && valid ? et_data(valid) : NULL;

    if (!rng)
        rng = et_rng_default();
    for (int64_t b = 0; special && b < B && !status; b++, row += T, target += T) {
        int64_t n = 0;
        for (int64_t t = 0; t < T && !status; t++) {
            if (row[t] < 0 || row[t] >= how->vocabulary)
                status = et_raise(ET_EINVAL, "bert: word %d of row %" PRId64 " is not one of %d", (int)row[t],
                                  b, (int)how->vocabulary);
            else if ((!keep || keep[b * T + t]) && !special[row[t]])
                place[n++] = t;
        }
        const int64_t chosen = n && !status ? (int64_t)fmax(1, floor(share * (double)n + 0.5)) : 0;
        for (int64_t i = 0; i < chosen; i++) { /* the first `chosen` of a shuffle */
            const int64_t k = i + et_rng_below(rng, n - i), t = place[k];
            place[k] = place[i];
            target[t] = row[t];
            row[t] = replacement(how, special, row[t], rng);
        }
    }
    et_dealloc(place);
    if (!special && !status)
        status = et_error_status();
    et_dealloc(special);
    if (status)
        return status;
    *masked = to;
    *targets = wanted;
    return ET_OK;
}

int64_t et_bert_pair(const int32_t *a, int64_t na, const int32_t *b, int64_t nb, int32_t cls, int32_t sep,
                     int32_t pad, int64_t T, int32_t *row, int32_t *types, uint8_t *mask)
{
    const int64_t room = T - (b ? 3 : 2);
    int64_t n = 0, second;

    if (room < 0 || na < 0 || nb < 0 || (na && !a) || !row)
        return et_raise(ET_EINVAL, "bert: a row of %" PRId64 " tokens has no room for a sentence", T);
    nb = b ? nb : 0;
    if (na + nb > room) { /* the longer one is cut until it fits or they are even, then both are */
        const int64_t even = room - room / 2, most = room - nb > even ? room - nb : even;
        na = na < most ? na : most;
        nb = room - na;
    }
    row[n++] = cls;
    if (na)
        memcpy(row + n, a, (size_t)na * sizeof *row);
    row[n += na] = sep;
    second = ++n;
    if (b) {
        if (nb)
            memcpy(row + n, b, (size_t)nb * sizeof *row);
        row[n += nb] = sep;
        n++;
    }
    for (int64_t t = 0; t < T; t++) {
        if (t >= n)
            row[t] = pad;
        if (types)
            types[t] = t >= second && t < n;
        if (mask)
            mask[t] = t < n;
    }
    return n;
}

/* --- losses ---------------------------------------------------------------------------------- */

et_tensor *et_bert_predict(const et_bert_pretrain *m, et_tensor *x, et_tensor *at)
{
    const int64_t d = m && m->bert ? m->bert->config.width : 0;

    if (!m || !x || !at)
        return et_fail("bert");
    if (x->ndim != 3 || x->shape[2] != d) {
        et_raise(ET_ESHAPE, "bert: hidden states must be [B, T, %" PRId64 "]", d);
        return NULL;
    }
    /* E LN(gelu(W x_t + b)) + c: the logits of the masked words */
    et_tensor *h = et_index_select(et_reshape(x, ET_SHAPE(x->shape[0] * x->shape[1], d)), 0, at);
    h = et_layer_norm_layer_forward(m->norm, et_linear_layer_forward_act(m->transform, h, ET_ACT_GELU));
    et_tensor *logits = et_linear(h, m->bert->word->weight, m->bias);
    return logits ? logits : et_fail("bert");
}

et_tensor *et_bert_masked_loss(const et_bert_pretrain *m, et_tensor *x, const et_tensor *targets)
{
    int64_t n = 0;

    if (!m || !x || !targets)
        return et_fail("bert");
    if (targets->dtype != ET_I32 || targets->ndim != 2 || x->ndim != 3 || x->shape[0] != targets->shape[0] ||
        x->shape[1] != targets->shape[1] || targets->numel > INT32_MAX) {
        et_raise(targets->dtype == ET_I32 ? ET_ESHAPE : ET_EDTYPE,
                 "bert: targets must be int32 [B, T] beside hidden states [B, T, d]");
        return NULL;
    }
    et_tensor *plain = et_contiguous((et_tensor *)targets);
    const int32_t *from = plain ? et_data(plain) : NULL;
    for (int64_t i = 0; from && i < plain->numel; i++)
        n += from[i] != ET_BERT_NO_TARGET;
    if (from && !n) {
        et_raise(ET_EINVAL, "bert: no word is to be guessed");
        return NULL;
    }
    et_tensor *at = et_empty(ET_I32, ET_SHAPE(n)), *words = et_empty(ET_I32, ET_SHAPE(n));
    if (!from || !at || !words)
        return et_fail("bert");
    int32_t *p = et_data_mut(at), *w = et_data_mut(words);
    for (int64_t i = 0; i < plain->numel; i++)
        if (from[i] != ET_BERT_NO_TARGET) {
            *p++ = (int32_t)i;
            *w++ = from[i];
        }
    return et_cross_entropy(et_bert_predict(m, x, at), words);
}

et_tensor *et_bert_next_loss(const et_bert_pretrain *m, et_tensor *x, et_tensor *labels)
{
    if (!m || !x || !labels)
        return et_fail("bert");
    if (!m->next) {
        et_raise(ET_EINVAL, "bert: a model without a pooler does not guess next sentences");
        return NULL;
    }
    /* V tanh(W_p x_CLS + b_p) + d: the logits of "follows" and "does not" */
    return et_cross_entropy(et_linear_layer_forward(m->next, et_bert_pool(m->bert, x, NULL, ET_BERT_POOLER)),
                            labels);
}

et_tensor *et_bert_pretrain_loss(const et_bert_pretrain *m, et_tensor *ids, et_tensor *types, et_tensor *mask,
                                 const et_tensor *targets, et_tensor *labels)
{
    if (!m)
        return et_fail("bert");
    et_tensor *x = et_bert_forward(m->bert, ids, types, mask, NULL),
              *loss = et_bert_masked_loss(m, x, targets);

    if (loss && labels)
        loss = et_add(loss, et_bert_next_loss(m, x, labels));
    return loss ? loss : et_fail("bert");
}
