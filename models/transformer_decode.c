/* Decoding token by token, greedily or with a beam. Every layer keeps the keys and values of the tokens
 * before, so that a step costs one token. */
#include "config.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/transformer.h"
#include "models/transformer_internal.h"
#include "nn/beam.h"
#include "tensor/alloc.h"

enum { KEYS = 1, VALUES = 2 };

/* What the decoder remembers of `rows` sequences. */
typedef struct {
    int64_t rows, most;
    et_tensor **self, **cross; /* [layers][2]: keys and values, [rows, H, most or S, d / H] */
    et_tensor *mask;           /* of the source, or NULL */
} cache;

static void cache_free(cache *c)
{
    et_dealloc(c->self);
    et_dealloc(c->cross);
}

/* Keys and values of the source, rows of `memory`; room for those of `most` tokens. */
static et_status cache_begin(const et_encoder_decoder *m, cache *c, et_tensor *memory, et_tensor *lengths,
                             int64_t most)
{
    const int layers = m->config.decoder_layers;
    const int64_t H = m->config.heads, width = m->config.width / H;

    *c = (cache){.rows = memory->shape[0], .most = most};
    c->self = et_alloc_zero((size_t)layers, 2 * sizeof(et_tensor *));
    c->cross = et_alloc_zero((size_t)layers, 2 * sizeof(et_tensor *));
    if (!c->self || !c->cross)
        return et_error_status();
    for (int i = 0; i < layers; i++)
        for (int p = KEYS; p <= VALUES; p++) {
            c->self[2 * i + p - 1] = et_zeros(memory->dtype, ET_SHAPE(c->rows, H, most, width));
            c->cross[2 * i + p - 1] = et_contiguous(et_joint_project(m, m->decoder[i]->cross, p, memory));
        }
    c->mask = et_coder_source_mask(lengths, memory->shape[1]);
    return et_error_status();
}

/* Row b goes on from what row from[b] was. */
static et_status cache_reorder(const et_encoder_decoder *m, cache *c, const int32_t *from, int64_t n)
{
    et_tensor *index = et_from(ET_I32, ET_SHAPE(n), from);

    for (int i = 0; index && i < 2 * m->config.decoder_layers && !et_error_status(); i++)
        et_copy_into(et_slice(c->self[i], 0, 0, n, 1), et_index_select(c->self[i], 0, index));
    return et_error_status();
}

/* Logits float32 [rows, V] of what follows `tokens` [rows], which stand at place t. */
static et_tensor *step(const et_encoder_decoder *m, cache *c, const int32_t *tokens, int64_t t)
{
    const int64_t V = m->config.vocabulary;
    et_tensor *ids = et_from(ET_I32, ET_SHAPE(c->rows, 1), tokens);
    et_tensor *x = et_mul_scalar(et_embedding_layer_forward(m->embedding, ids),
                                 sqrt((double)m->config.width));

    x = et_add(x, et_slice(m->positions->table, 0, t, t + 1, 1)); /* sqrt(d) E[token] + PE_t   (3.4, 3.5) */
    for (int i = 0; i < m->config.decoder_layers && x; i++) {
        const et_coder_layer *l = m->decoder[i];
        et_tensor *in = et_coder_before(m, l->norm1, x), *seen[2];
        for (int p = KEYS; p <= VALUES; p++) {
            et_tensor *all = c->self[2 * i + p - 1], *now = et_joint_project(m, l->self, p, in);
            if (!now || et_copy_into(et_slice(all, 2, t, t + 1, 1), now))
                return NULL;
            seen[p - 1] = et_slice(all, 2, 0, t + 1, 1);
        }
        et_tensor *q = et_joint_project(m, l->self, 0, in);
        x = et_coder_after(m, l->norm1, x, et_joint_attend(m, l->self, q, seen[0], seen[1], NULL, false));
        q = et_joint_project(m, l->cross, 0, et_coder_before(m, l->norm2, x));
        x = et_coder_after(m, l->norm2, x,
                           et_joint_attend(m, l->cross, q, c->cross[2 * i], c->cross[2 * i + 1], c->mask,
                                           false));
        x = et_coder_after(m, l->norm3, x, et_coder_feed_forward(m, l, et_coder_before(m, l->norm3, x)));
    }
    et_tensor *logits = et_to(et_coder_logits(m, x), ET_F32);
    return logits ? et_contiguous(et_view(logits, ET_SHAPE(c->rows, V))) : NULL;
}

/* All rows at once; out [rows, most]. */
static et_status greedy(const et_encoder_decoder *m, cache *c, const et_translate_options *o, int32_t *out)
{
    int32_t *now = et_alloc((size_t)c->rows * sizeof *now);
    int64_t open = c->rows;

    for (int64_t b = 0; now && b < c->rows; b++)
        now[b] = o->begin;
    for (int64_t t = 0; now && t < c->most && open && !et_error_status(); t++) {
        et_scope *inner = et_scope_open();
        et_tensor *y = inner ? step(m, c, now, t) : NULL;
        const float *l = y ? et_data(y) : NULL;
        for (int64_t b = 0; l && b < c->rows; b++) {
            if (t && now[b] == o->end)
                continue; /* ended before */
            now[b] = et_likeliest(l + b * m->config.vocabulary, m->config.vocabulary);
            out[b * c->most + t] = now[b];
            open -= now[b] == o->end;
        }
        et_scope_close(inner);
    }
    et_dealloc(now);
    return et_error_status();
}

/* --- beam ------------------------------------------------------------------------------------------ */

/* The words of the beams, and the best ended one. */
typedef struct {
    int32_t *words, *next, *best; /* [width, most] twice, [most] */
    double best_score;
    bool ended;
} hypotheses;

/* A result that has ended, or would be cut: kept if its score is the best. */
static void finish(hypotheses *h, const int32_t *words, int64_t length, int64_t most, double log_p,
                   double penalty, int32_t end)
{
    /* s(Y, X) = log P(Y|X) / lp(Y),  lp(Y) = ((5 + |Y|) / 6)^alpha   (Wu et al. 2016, eq. 14 without cp) */
    const double score = log_p / pow((5 + (double)length) / 6, penalty);

    if (h->ended && score <= h->best_score)
        return;
    h->ended = true;
    h->best_score = score;
    for (int64_t t = 0; t < most; t++)
        h->best[t] = t < length ? words[t] : end;
}

/* The likeliest continuations of the beams by one token: `found` of them, 2 width at most, so that
 * as many go on even where all beams could end. */
static int64_t extend(const float *logits, int64_t V, int64_t beams, const double *log_p, int64_t width,
                      et_beam_candidate *best)
{
    int32_t index[2 * ET_BEAM_MOST];
    double p[2 * ET_BEAM_MOST];
    int64_t found = 0;

    for (int32_t b = 0; b < beams; b++) {
        const int64_t n = et_beam_classes(logits + b * V, V, 2 * width, index, p);
        for (int64_t i = 0; i < n; i++)
            et_beam_offer(best, &found, 2 * width,
                          (et_beam_candidate){.log_p = log_p[b] + p[i], .from = b, .choice = {index[i]}});
    }
    return found;
}

/* One source, in `c` as `width` equal rows; the best result to out [most]. */
static et_status search(const et_encoder_decoder *m, cache *c, const et_translate_options *o, int32_t *out)
{
    const int64_t width = c->rows, most = c->most;
    int32_t *words = et_alloc_zero((size_t)most, 2 * (size_t)width * sizeof *words), now[ET_BEAM_MOST],
            from[ET_BEAM_MOST];
    hypotheses h = {.words = words, .next = words ? words + width * most : NULL, .best = out};
    double log_p[ET_BEAM_MOST] = {0};
    et_beam_candidate found[2 * ET_BEAM_MOST];
    int64_t beams = 1; /* the first step has one */

    for (int64_t b = 0; b < width; b++)
        now[b] = o->begin;
    for (int64_t t = 0; words && t < most && beams && !et_error_status(); t++) {
        et_scope *inner = et_scope_open();
        et_tensor *y = inner ? step(m, c, now, t) : NULL;
        int64_t n = y ? extend(et_data(y), m->config.vocabulary, beams, log_p, width, found) : 0, going = 0;

        for (int64_t i = 0; i < n && going < width; i++) {
            const et_beam_candidate *a = &found[i];
            int32_t *row = h.next + going * most;
            memcpy(row, h.words + a->from * most, (size_t)t * sizeof *row);
            row[t] = a->choice[0];
            if (a->choice[0] == o->end || t == most - 1) {
                if (i < width)
                    finish(&h, row, t + 1, most, a->log_p, o->length_penalty, o->end);
                continue;
            }
            log_p[going] = a->log_p;
            from[going] = a->from;
            now[going++] = a->choice[0];
        }
        if (going)
            cache_reorder(m, c, from, going);
        et_scope_close(inner);
        int32_t *swap = h.words;
        h.words = h.next;
        h.next = swap;
        beams = going;
        /* no longer result can become better than the one that is there */
        if (h.ended && beams && log_p[0] / pow((5 + (double)most) / 6, o->length_penalty) <= h.best_score)
            break;
    }
    et_dealloc(words);
    return et_error_status();
}

/* --- both ------------------------------------------------------------------------------------------ */

/* One row of the memory, `width` times. */
static et_tensor *repeated(et_tensor *memory, int64_t b, int64_t width)
{
    return et_contiguous(et_expand(et_slice(memory, 0, b, b + 1, 1),
                                   ET_SHAPE(width, memory->shape[1], memory->shape[2])));
}

static et_status search_all(const et_encoder_decoder *m, et_tensor *memory, et_tensor *lengths,
                            const et_translate_options *o, int64_t most, int32_t *out)
{
    for (int64_t b = 0; b < memory->shape[0] && !et_error_status(); b++) {
        et_scope *item = et_scope_open();
        et_tensor *len = lengths ? et_full(ET_I32, ET_SHAPE(o->beam), et_get(lengths, &b)) : NULL;
        et_tensor *rows = repeated(memory, b, o->beam);
        cache c = {.rows = 0};
        if (rows && cache_begin(m, &c, rows, len, most) == ET_OK)
            search(m, &c, o, out + b * most);
        cache_free(&c);
        et_scope_close(item);
    }
    return et_error_status();
}

et_tensor *et_encoder_decoder_translate(const et_encoder_decoder *m, et_tensor *source, et_tensor *lengths,
                                        const et_translate_options *options)
{
    const et_translate_options *o = options;

    if (!m || !source || et_error_status())
        return et_fail("transformer");
    const int64_t most = o->max_length ? o->max_length : m->config.max_length, V = m->config.vocabulary;
    if (most < 1 || most > m->config.max_length || o->beam < 0 || o->beam > ET_BEAM_MOST || o->begin < 0 ||
        o->begin >= V || o->end < 0 || o->end >= V || !(o->length_penalty >= 0)) {
        et_raise(ET_EINVAL,
                 "transformer: max_length %" PRId64 " (at most %" PRId64 "), beam %" PRId64
                 " (at most %d), begin %d, end %d or length_penalty %g is out of range",
                 most, m->config.max_length, o->beam, ET_BEAM_MOST, (int)o->begin, (int)o->end,
                 o->length_penalty);
        return NULL;
    }
    et_no_grad_begin();
    et_tensor *memory = et_encoder_decoder_encode(m, source, lengths);
    et_tensor *out = memory ? et_full(ET_I32, ET_SHAPE(memory->shape[0], most), o->end) : NULL;
    if (out && o->beam > 1) {
        search_all(m, memory, lengths, o, most, et_data_mut(out));
    } else if (out) {
        cache c;
        if (cache_begin(m, &c, memory, lengths, most) == ET_OK)
            greedy(m, &c, o, et_data_mut(out));
        cache_free(&c);
    }
    et_no_grad_end();
    return et_error_status() ? et_fail("transformer") : out;
}
